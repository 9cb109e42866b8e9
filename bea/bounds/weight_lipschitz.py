"""Lower bounds of the smallest change of the weights that changes the class, from one proven constant a layer.

The problem is that of ``bea.bounds.weight_local``, for any network whose layers have Lipschitz constants.

W5. Let all ‖ΔA_i‖ ≤ α_i ρ_i and ‖Δx‖ ≤ ‖x‖ ρ_0 with ``Σ ρ² ≤ r²``, and let y behind a layer move by ``Σ c_i ρ_i`` or
   less, which is ``γ r`` at most with ``γ² = Σ c_i²``. A layer with the constant L makes it L γ, and the change of its
   weights adds ``α H ρ_i`` with ``H = ‖h‖ + κ γ r``: γ becomes ``(L² γ² + α² H²)^½``. Paths that meet add up. The last
   layer loses ``(‖w_c - w_j‖² γ² + 2 α_p² H²)^½ r`` of the lead at most, and r is proved where that is less than it.

For a convolution h is the matrix of all patches: ``‖ΔA h‖ ≤ ‖ΔA‖ ‖h‖₂`` with its spectral norm (of groups the largest
one), which moves by no more than κ, the root of how many patches share a pixel, times what y moves by.
"""

from dataclasses import dataclass

import numpy as np

from bea.backward.closed_form import Changing
from bea.bounds.lipschitz import gamma, lipschitz_constant, overlap
from bea.bounds.printed import ratio
from bea.bounds.rounding import error_of, errors_of
from bea.networks.layers import Dense, Weighted
from bea.networks.leads import lead_over_each
from bea.networks.network import Network
from bea.networks.sequence import trace
from bea.numerics.arrays import image_norms

HALVINGS = 50
UP = 1.0 + gamma(32)  # covers the rounding of one step
MARGIN = 1e-9  # of an eigenvalue, relative, at which it can be proved


@dataclass(frozen=True, eq=False)
class Step:
    """A layer as W5 sees it.

    Attributes
    ----------
    constant : float
        L.
    alpha : float
        α, zero where the layer stays.
    length : array (n,)
        ‖h‖ at the image.
    growth : float
        κ.
    """

    constant: float
    alpha: float = 0.0
    length: np.ndarray | float = 0.0
    growth: float = 0.0

    def pass_on(self, moved, r):
        """Return γ behind the layer from γ (n,) before it."""
        return np.hypot(self.constant * moved, self.alpha * (self.length + self.growth * moved * r)) * UP


def constants_bound(net: Network, x, rivals, change: Changing) -> tuple[np.ndarray, np.ndarray]:
    """Return how large a change must be at least before a rival can win, and the rival that limits it.

    Arguments and result as of ``bea.bounds.weight_local.weight_bound``, for any layers.

    Raises
    ------
    ValueError
        If a layer has no Lipschitz constant.
    """
    values = net.trace(x)
    logits, error = values[-1], error_of(net, values)
    own, everyone = logits.argmax(axis=1), np.arange(len(x))
    doubt = error + error[everyone, own][:, None]
    lead = np.maximum(lead_over_each(logits, own) * (1.0 - gamma(2)) - doubt * (1.0 + gamma(4)), 0.0)
    counted = np.arange(net.classes) == rivals if rivals.shape[1] else np.arange(net.classes) != own[:, None]
    rows = np.linalg.norm(net.layers[-1].kernel[:, None] - net.layers[-1].kernel, axis=2)[own] * UP
    return withstood(net, x, values, np.where(counted, lead, np.inf), rows, np.sqrt(2.0), change)


def withstood(net: Network, x, values, leads, rows, length, change: Changing) -> tuple[np.ndarray, np.ndarray]:
    """Return the size (n,) below which no change takes all of any of several leads, and which of them limits it.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
    values : list of arrays
        What ``net.trace(x)`` returned.
    leads : array (n, k)
        By how much combinations of the logits may change.
    rows : array (n, k)
        Bounds of ‖Wᵀ u‖, u such a combination and W the last layer's matrix without the bias.
    length : float
        ‖u‖.
    change : Changing

    Raises
    ------
    ValueError
        If a layer has no Lipschitz constant.
    """
    changes = iter(np.where(change.layers, net.weight_norms, 0.0))
    steps = _steps(net.layers[:-1], values[:-1], changes, np.zeros(len(x)))
    end = _step(net.layers[-1], values[-2], values[-1], changes, errors_of(net.layers[:-1], values[:-1])[-1])
    start = image_norms(x) * float(change.input)

    def lost(r):
        """Return what every lead may lose for each unit of r, (n, k)."""
        moved = _pass_on(steps, start, r)
        gained = end.alpha * (end.length + end.growth * moved * r)
        return np.hypot(rows * moved[:, None], length * gained[:, None]) * UP

    def share(r):
        return np.where(np.isinf(leads), np.inf, ratio(leads, lost(r)))

    low = np.zeros(len(x))
    high = share(low).min(axis=1)  # the loss for each unit grows with r
    endless = np.isinf(high)
    high[endless] = 0.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        good = share(middle).min(axis=1) > middle * UP
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return np.where(endless, np.inf, low), share(low).argmin(axis=1)


def changed_length(layer: Weighted, y) -> np.ndarray:
    """Return a bound (n,) of ‖ΔA h‖/‖ΔA‖ for inputs y (n, …): ‖h‖, of all patches of a convolution ‖h‖₂."""
    if isinstance(layer, Dense):
        return image_norms(layer.augment(y)) * (1.0 + gamma(layer.matrix.shape[1] + 2))
    patches = layer.unfold(y)
    return _largest_singular(patches[:, None] if patches.ndim == 3 else patches.swapaxes(1, 2))


def _largest_singular(matrices):
    """Return a proven bound of the largest singular value (n,) of matrices (n, groups, …, …), the largest of a group.

    As in ``bea.bounds.lipschitz``: an estimate for the products, a little more, and a Cholesky factorisation.
    """
    if matrices.shape[2] > matrices.shape[3]:
        matrices = matrices.swapaxes(2, 3)
    products, (size, terms) = matrices @ matrices.swapaxes(2, 3), matrices.shape[2:]
    total = products.trace(axis1=2, axis2=3)
    bound = np.linalg.eigvalsh(products)[..., -1] * (1.0 + MARGIN) + 1e-3 * MARGIN * total + 1e-290
    try:
        np.linalg.cholesky(bound[..., None, None] * np.eye(size) - products)
    except np.linalg.LinAlgError:
        bound = total
    bound = bound + gamma(4 * (size + 2)) * size * bound + gamma(terms + size + 2) * total
    return np.sqrt(bound.max(axis=1)) * UP


def _steps(layers, values, changes, error):
    """Return what W5 needs of layers with the inputs and outputs ``values``: a ``Step`` each, or lists for its paths.

    ``changes`` yields α of every layer with weights, in their order; ``error`` (n,) bounds that of the first input.
    """
    found, errors = [], errors_of(layers, values)
    for layer, y, output, own in zip(layers, values[:-1], values[1:], errors[:-1], strict=True):
        known = (own + error) * UP
        if layer.paths:
            found.append([_steps(path, trace(path, y), changes, known) for path in layer.paths])
        else:
            found.append(_step(layer, y, output, changes, known))
        error = lipschitz_constant(layer, y.shape[1:]) * error * UP
    return found


def _step(layer, y, output, changes, error):
    constant = lipschitz_constant(layer, y.shape[1:])
    alpha = next(changes) if isinstance(layer, Weighted) else 0.0
    if not alpha:
        return Step(constant)
    growth = 1.0
    if not isinstance(layer, Dense):
        steps = layer.stride if layer.dilation == (1, 1) else (1, 1)  # as in the rounding of a convolution
        growth = np.sqrt(overlap(layer.size, steps, output.shape[1:3])) * UP
    return Step(constant, alpha * UP, (changed_length(layer, y) + growth * error) * UP, growth)


def _pass_on(steps, moved, r):
    for step in steps:
        if isinstance(step, list):
            moved = sum(_pass_on(path, moved, r) for path in step) * UP
        else:
            moved = step.pass_on(moved, r)
    return moved
