"""Second derivatives of the loss with respect to the input, by propagation (paper R, sections B and C, n = 2).

A network is ``y_i = M_i(y_{i-1})``, ``y_0 = x``, one layer after another. The gradient of the loss J(x, k) of
``bea.attacks.loss`` comes back through it,

    g_p = ∂J/∂y_p = q - e_k,    g_{i-1} = M_i'(y_{i-1})ᵀ g_i,    g_0 = ∇J,

q being the softmax. Let x move: ``x + t v``. With a dot for d/dt at t = 0, each of these lines has its derivative,

    ẏ_0 = v,    ẏ_i = M_i'(y_{i-1}) ẏ_{i-1},
    ġ_p = (diag q - q qᵀ) ẏ_p,    ġ_{i-1} = M_i'(y_{i-1})ᵀ ġ_i + (M_i'(y_{i-1})ᵀ)˙ g_i,    ġ_0 = H v,

a pass forwards and one backwards (Pearlmutter, 1994). So one product of the Hessian H with v costs about as much as
two gradients, or as one where y_i and g_i are kept, and H is never formed. The last term is ``Layer.bend``: zero for
affine maps, pooling and ReLU, whose Jacobians do not change but at kinks, where there is no second derivative.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from bea.attacks.common import check_aim, in_image_blocks
from bea.attacks.loss import odds
from bea.networks.layers import Activation
from bea.networks.network import Network


def hessian_product(net: Network, x, label, direction) -> np.ndarray:
    """Product of the Hessian of the loss J(x, label) with a direction, (n, *input_shape).

    ``H v = d/dt ∇J(x + t v)`` at t = 0, exact, for every sample its own x and v; of the loss that ``loss_gradient``
    differentiates. At kinks of ReLU and ties of a maximum it is that of one of the pieces. Where a last "tanh" or
    "sigmoid" is saturated, 1 - f² or f (1 - f) cancels, and so does H.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    label : int array (n,)
        Class whose loss is differentiated.
    direction : array (n, *input_shape)
        v, finite.

    Raises
    ------
    ValueError
        For images of wrong shape or range, labels of wrong shape or out of range, directions of wrong shape or not
        finite.
    TypeError
        For labels that are not integers.
    """
    x, label, _ = check_aim(net, x, label)
    direction = np.asarray(direction, dtype=float)
    if direction.shape != x.shape or not np.isfinite(direction).all():
        raise ValueError(f"direction: expected finite numbers of shape {x.shape}, received shape {direction.shape}")
    return in_image_blocks(net, lambda x, label, v: expand(net, x, label).product(v), x, label, direction)


@dataclass(frozen=True, eq=False)
class Expansion:
    """Loss of a batch at one point each, and what its derivatives are made of.

    Attributes
    ----------
    layers : tuple of layers
        M_i.
    values : list of arrays (n, …)
        y_0, …, y_p.
    rows : list of arrays (n, 1, …)
        g_0, …, g_p.
    q : array (n, classes)
        The softmax of y_p.
    aim : int array (n,)
        k.
    loss : array (n,)
        J(x, k).
    """

    layers: tuple
    values: list
    rows: list
    q: np.ndarray
    aim: np.ndarray
    loss: np.ndarray

    @property
    def gradient(self) -> np.ndarray:
        """∇J, (n, …)."""
        return self.rows[0][:, 0]

    def take(self, samples) -> "Expansion":
        """Return the same for some of the samples."""
        values, rows = ([array[samples] for array in arrays] for arrays in (self.values, self.rows))
        return Expansion(self.layers, values, rows, self.q[samples], self.aim[samples], self.loss[samples])

    def product(self, v) -> np.ndarray:
        """Return H v, (n, …), for v of that shape."""
        tangents = [v]
        for layer, y, output in zip(self.layers, self.values[:-1], self.values[1:], strict=True):
            tangents.append(layer.push_forward(tangents[-1], y, output))
        # Equal tangents of all y_p do not change q, so the label's is set to zero: 1 - q_k small keeps its digits.
        dy = tangents.pop()
        dy = dy - np.take_along_axis(dy, self.aim[:, None], 1)
        moved = (self.q * (dy - np.vecdot(self.q, dy)[:, None]))[:, None]
        steps = zip(self.layers, self.rows[1:], tangents, self.values[:-1], self.values[1:], strict=True)
        for layer, rows, dy, y, output in reversed(list(steps)):
            moved = layer.pull_back(moved, y, output) + layer.bend(rows, dy, y, output)
        return moved[:, 0]


def expand(net, x, aim) -> Expansion:
    """Run images forwards and the gradient of J(x, aim) backwards."""
    layers, values = _layers(net), [x]
    for layer in layers:
        values.append(layer.forward(values[-1]))
    own = np.arange(net.classes) == aim[:, None]
    gap, log_shares = odds(values[-1], own)
    rest = expit(gap)  # 1 - q_k, to all digits
    q = np.where(own, expit(-gap), np.exp(log_shares) * rest)
    rows = [np.where(own, -rest, q)[:, None]]
    for layer, y, output in zip(reversed(layers), values[-2::-1], values[:0:-1], strict=True):
        rows.insert(0, layer.pull_back(rows[0], y, output))
    return Expansion(layers, values, rows, q, aim, np.logaddexp(0.0, gap)[:, 0])


def loss_values(net, x, aim) -> np.ndarray:
    """Return J(x, aim), (n,)."""
    for layer in _layers(net):
        x = layer.forward(x)
    gap, _ = odds(x, np.arange(net.classes) == aim[:, None])
    return np.logaddexp(0.0, gap)[:, 0]


def _layers(net) -> tuple:
    """Return the layers up to what the loss takes the softmax of."""
    plain = net.output_activation in ("linear", "softmax")
    return net.layers if plain else (*net.layers, Activation(net.output_activation))
