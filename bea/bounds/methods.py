"""Lower bounds of the smallest perturbation that changes the class, of the input (paper P) or of the weights (paper B).

The problem: a number that ``min {‖r‖ : class of x + r ≠ class of x}`` cannot fall below. It goes from the logits back
to the image: κ of a layer is how far its input must move before the class can change, and a layer with the Lipschitz
constant L that has κ behind it withstands κ / L. The last layer is exact: κ is the distance to the nearest hyperplane
between the class and another. Where weights change, the number is the relative norm of eq. (5) of paper B, and
``bea.bounds.weight_local`` and ``bea.bounds.weight_lipschitz`` say how it is found.
"""

from dataclasses import dataclass

import numpy as np

from bea.backward.closed_form import changing
from bea.bounds import printed
from bea.bounds.lipschitz import gamma, lipschitz_constant
from bea.bounds.printed import ratio
from bea.bounds.rounding import error_of
from bea.bounds.weight_methods import WEIGHT_METHODS
from bea.bounds.within_ball import within_ball
from bea.networks.layers import Dense
from bea.networks.leads import lead_over_each
from bea.networks.network import Network
from bea.numerics.blocks import block_size, in_blocks
from bea.numerics.progress import showing
from bea.reports.pictures import draw_shares
from bea.reports.results import Report


@dataclass(frozen=True, eq=False)
class LowerBound(Report):
    """Lower bounds for a batch of n images.

    Attributes
    ----------
    radius : array (n,)
        With ``on="input"`` the Euclidean length, in the unit of the pixels, of input perturbations below which the
        class cannot change; otherwise their relative norm √(Σ ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²), without unit.
        Perturbations may leave the range of the pixels. Zero for a misclassified image where labels were given.
    layers : array (n, layers)
        κ of every layer: how far its input must move at least. The first column is ``radius``. Where not the input
        alone changes, a layer has no such number of its own, and there is this column only.
    rival : array (n,) of int
        The class that limits the bound at the logits, or the one that was given.
    method : str
        By which it was found, as in ``lower_bound``.
    on : str or tuple
        What may change, as in ``lower_bound``.
    """

    radius: np.ndarray
    layers: np.ndarray
    rival: np.ndarray
    method: str
    on: str | tuple = "input"

    @property
    def standing(self) -> str:
        """What is known of the radius: it is proven, but not by the printed theorems."""
        return "as printed, not proven" if self.method == "peck" else f"proven ({self.method})"

    def columns(self) -> dict[str, np.ndarray]:
        """Return ``radius``, ``rival`` and κ of every layer but the first, whose κ is the radius."""
        kappa = {f"kappa_{number}": column for number, column in enumerate(self.layers.T[1:], 2)}
        return {"radius": self.radius, "rival": self.rival} | kappa

    def measured(self) -> tuple[str, np.ndarray]:
        """Return the radius."""
        if self.on == "input":
            return "radius, unit of the pixels", self.radius
        return "radius √(Σ ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²)", self.radius

    def tally(self) -> str:
        """Return in words how many images have a radius that is not zero."""
        return f"{np.count_nonzero(self.radius > 0.0)} of {len(self.radius)} samples have a positive radius"

    def draw(self, samples):
        """Return a figure of how the radii are distributed."""
        name, values = self.measured()
        return draw_shares({self.standing: values if samples is None else values[samples]}, name)


def lower_bound(
    net: Network, x, label=None, *, on="input", rival=None, method="lipschitz", curvature=0.0, progress=False
) -> LowerBound:
    """Return how large a perturbation must be at least before the class can change (paper P, sections 4 and 5).

    The class is that of the network in real arithmetic with the stored weights; with the methods ``"lipschitz"`` and
    ``"local"`` the radius is proven in spite of rounding (see ``bea.bounds.lipschitz``, ``bea.bounds.rounding`` and the
    modules named below), and zero where the lead of the class is no larger than the rounding of the logits may be.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
    label : array (n,) of int, optional
        Where the class is another, the radius is zero. The class itself unless given.
    on : {"input", "weights", "both"} or tuple
        What may change, as in ``bea.attack``. The word "input" asks for the Euclidean length of Δx, in the unit of the
        pixels; all others, and ``("input",)``, for the relative norm √(Σ ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²) of eq. (5) of
        paper B, A_i with its bias: for √objective of what ``bea.attack`` returns.
    rival : array (n,) of int, optional
        The class that would have to lead all others, so that the radius is below what ``bea.attack`` with this target
        can find; zero where it is the class of the image. Any other class unless given. Not with ``on="input"``.
    method : {"lipschitz", "local", "peck"}
        One proven constant a layer; what can be proved in a ball around the image, tighter and slower; or the printed
        theorems, which are not proven (see ``bea.bounds.printed``) and are about the input. "local" improves on the
        first column of "lipschitz" only, and is never below it; its other κ are those of the latter. For the input it
        takes what fits the network:
        ``bea.bounds.ball_dense`` for dense layers with sigmoid, tanh, ReLU, smooth or not, or none between them,
        ``bea.bounds.ball_pooling`` for (Convolution, MaxPool) once or more, Flatten, Dense, ReLU, Dense, sharper by
        ``bea.bounds.ball_windows`` for two such blocks, and ``bea.bounds.ball_pieces`` for any sequence of
        convolutions, max and average pooling, fixed scales, dense layers and activations made of straight lines
        (relu, leaky_relu, PReLU, clip, …). Residual, normalising and radial layers, and other activations behind
        convolutions, have the method "lipschitz" only. For weights it covers what ``bea.bounds.ball_dense`` does from
        the first layer that changes on; and if it is only one layer and no rival is given, what any of these covers
        behind it.
    curvature : float
        M of theorem 4.1, for the method ``"peck"``; zero is the limit.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Raises
    ------
    ValueError
        For another method, or "peck" where not the input alone changes, an unknown ``on``, a rival with ``on="input"``,
        a curvature that is negative, not finite, or given for another method than ``"peck"``, images of wrong shape or
        range, labels or rivals of wrong shape or range, or a layer that the method does not cover.
    TypeError
        For labels or rivals that are not integers.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {sorted(METHODS)}, received {method!r}")
    if not 0.0 <= curvature < np.inf:
        raise ValueError(f"curvature: expected a finite number from 0 on, received {curvature!r}")
    if curvature and method != "peck":
        raise ValueError(f"curvature: expected none for the method {method!r}, received {curvature!r}")
    change, relative = changing(net, on), on != "input"
    if relative and method == "peck":
        raise ValueError(f"on: expected \"input\" for the method 'peck', received {on!r}")
    if rival is not None and not relative:
        raise ValueError('rival: expected none with on="input"; on=("input",) takes one, and measures Δx by ‖Δx‖/‖x‖')
    x = net.check_images(x)
    label = None if label is None else net.check_classes(label, len(x), "label")
    given = rival is not None
    rivals = net.check_classes(rival, len(x), "rival")[:, None] if given else np.zeros((len(x), 0), int)
    within = WEIGHT_METHODS[method](net, change, given) if relative else METHODS[method](net, curvature)
    arrays = (x, rivals) if relative else (x,)
    with showing(progress):
        layers, rival, own = in_blocks(within, block_size(net.layers, net.input_shape), *arrays)
    if label is not None:
        layers[own != label] = 0.0
    return LowerBound(layers[:, 0].copy(), layers, rival, method, on)


def proven_distances(layer: Dense, logits, error) -> np.ndarray:
    """Return how far the input of the last layer must move before another class wins, (n, classes), rounded down.

    ``(logit_c - logit_c') / ‖w_c - w_c'‖`` with c the leading class, infinite for c' = c; ``error`` (n, classes) bounds
    that of the logits. Zero where the lead may be an effect of rounding.
    """
    own = logits.argmax(axis=1)[:, None]
    slack = np.take_along_axis(error, own, 1)
    lead = lead_over_each(logits, own[:, 0]) * (1.0 - gamma(2)) - (error + slack) * (1.0 + gamma(4))
    norms = np.linalg.norm(layer.kernel[:, None] - layer.kernel, axis=2) * (1.0 + gamma(layer.kernel.shape[1] + 4))
    distances = _down(ratio(np.maximum(lead * (1.0 - gamma(2)), 0.0), norms[own[:, 0]]))
    np.put_along_axis(distances, own, np.inf, axis=1)
    return distances


def _lipschitz(net, curvature):
    constants, shape = [], net.input_shape
    for layer in net.layers[:-1]:
        constants.append(lipschitz_constant(layer, shape))
        shape = layer.output_shape(shape)

    def each(x):
        values = net.trace(x)
        distances = proven_distances(net.layers[-1], values[-1], error_of(net, values))
        kappa = np.empty((len(x), len(net.layers)))
        kappa[:, -1] = distances.min(axis=1)
        for number in range(len(constants) - 1, -1, -1):
            kappa[:, number] = _down(ratio(kappa[:, number + 1], constants[number]))
        return kappa, distances.argmin(axis=1), values[-1].argmax(axis=1)

    return each


def _local(net, curvature):
    within = within_ball(net)  # networks that none covers are refused before any work
    modular = _lipschitz(net, curvature)

    def each(x):
        kappa, rival, own = modular(x)
        radius, nearest = within(net, x)
        better = radius > kappa[:, 0]
        kappa[:, 0] = np.where(better, radius, kappa[:, 0])
        return kappa, np.where(better, nearest, rival), own

    return each


def _peck(net, curvature):
    printed.printed_steps(net)  # layers without a theorem are refused before any work

    def each(x):
        return *printed.chain(net, x, curvature=curvature), net.classify(x)

    return each


# Each returns a function of a block of images: κ of every layer, the rival and the class.
METHODS = {"lipschitz": _lipschitz, "local": _local, "peck": _peck}


def _down(numbers):
    """Return the next floats towards zero: lower bounds of what was rounded to nearest."""
    return np.where(np.isinf(numbers), np.inf, np.nextafter(numbers, 0.0))
