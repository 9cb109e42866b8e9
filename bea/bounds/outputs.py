"""Below which size no change of weights or input gives wanted logits: a proof under ``backward_error``.

The problem: a number that ``min √(Σ ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²)`` subject to ``logits(A + ΔA, x + Δx) = y_hat``
cannot fall below.

Let u be any vector of length one. A change that gives the logits moves ``u · logits`` by ``u · (y_hat - y)``. Changes
of size r move it by a bounded amount, and the size at which the bound is just enough is proved, for every u. The best
of two is taken: the direction of ``y_hat - y``, and the one in which the linearised problem is hardest,
``(𝒜𝒜ᵀ)⁻¹ (y_hat - y)``. With the latter and a bound that is right to first order, the proof is so, too.

"lipschitz": what reaches the last layer moves by ``γ r`` at most (``bea.bounds.weight_lipschitz``, W5), so that
``u · logits`` moves by ``(‖Wᵀ u‖² γ² + α² H²)^½ r`` at most, W the last layer's matrix without the bias, α = ‖A‖ of it
and H the longest input that it can meet. "local": ``√2 u · (y_hat - logits)`` takes the place of the lead of one class
over another in ``bea.bounds.weight_local``; the √2 is the length of the difference of two unit vectors.
"""

import numpy as np

from bea.backward.closed_form import Changing, changing, first_order
from bea.bounds.ball_dense import PAIR_NUMBERS
from bea.bounds.lipschitz import gamma
from bea.bounds.radius_search import FARTHEST, largest_radius
from bea.bounds.rounding import error_of
from bea.bounds.weight_ball import reach, weight_ball
from bea.bounds.weight_lipschitz import UP, withstood
from bea.bounds.weight_quadratic import descend, lead_and_gradient, least_lead
from bea.networks.network import Network
from bea.numerics.blocks import block_size, in_blocks

METHODS = ("lipschitz", "local")


def outputs_bound(net: Network, x, y_hat, on="weights", method="lipschitz") -> np.ndarray:
    """Return a proven lower bound (n,) of the relative size of every change with which the logits are ``y_hat``.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
    y_hat : array (n, classes)
        The logits to be explained.
    on : {"weights", "input", "both"} or tuple
        What may change, as in ``bea.backward_error``; the bound is for √objective of what that returns, relative.
    method : {"lipschitz", "local"}
        One proven constant a layer, for all layers that have one; or what can be proved in a ball around the image,
        never below that and slower, for dense layers with elementwise activations from the first change on.

    Raises
    ------
    ValueError
        For images or logits of wrong shape or range, an unknown ``on`` or ``method``, and a layer that the method does
        not cover.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, received {method!r}")
    x, change = net.check_images(x), changing(net, on)
    y_hat = np.asarray(y_hat, dtype=float)
    if y_hat.shape != (len(x), net.classes) or not np.isfinite(y_hat).all():
        raise ValueError(f"y_hat: expected finite logits of shape {(len(x), net.classes)}, received {y_hat.shape}")

    def each(x, y_hat):
        values = net.trace(x)
        move, error = y_hat - values[-1], error_of(net, values)
        error = error + gamma(net.classes + 4) * (np.abs(y_hat) + np.abs(values[-1]))
        found = np.zeros(len(x))
        hardest = np.linalg.pinv(first_order(net, x, change).gram(), rcond=1e-13, hermitian=True)
        for u in (move, np.matvec(hardest, move)):
            size = np.linalg.norm(u, axis=1, keepdims=True)
            u = np.divide(u, size, out=np.zeros_like(u), where=size > 0.0)
            wanted = np.maximum(np.vecdot(u, move) - np.vecdot(np.abs(u), error) * UP, 0.0)
            rows = np.linalg.norm(u @ net.layers[-1].kernel, axis=1) * UP * (1.0 + gamma(8 * net.classes))
            found = np.maximum(found, withstood(net, x, values, wanted[:, None], rows[:, None], 1.0, change)[0])
            if method == "local":
                found = np.maximum(found, _local(net, x, u, np.vecdot(u, y_hat), np.vecdot(np.abs(u), error), change))
        return found

    size = block_size(net.layers, net.input_shape)
    if method == "local":
        weight_ball(net, x[:0], change)  # a network that is not covered is refused before any work
        size = min(size, max(8, PAIR_NUMBERS // (2 + sum(len(layer.matrix) for layer in net.weighted)) ** 2))
    return in_blocks(each, size, x, y_hat)


def _local(net: Network, x, u, goal, doubt, change: Changing) -> np.ndarray:
    """Return the radius (n,) up to which ``u · logits`` stays below its goal (n,), zero where only the end changes."""
    ball = weight_ball(net, x, change)
    if ball is None:  # what "lipschitz" says is exact there
        return np.zeros(len(x))
    last = net.layers[-1]
    scaled = np.sqrt(2.0) * u
    d = -scaled @ ball.last
    bias = scaled @ last.matrix[:, -1] if last.bias else 0.0
    constant = np.sqrt(2.0) * (goal - doubt * UP) - bias
    here, everything = reach(ball, np.zeros(len(x))), np.zeros((len(x), sum(ball.sizes)))
    lead, gradient = (part[:, 0] for part in lead_and_gradient(here, d[:, None], everything))
    lead, direction = lead + constant, -gradient
    distance = np.divide(lead, np.linalg.norm(gradient, axis=1), out=np.zeros(len(x)), where=gradient.any(axis=1))

    def bound_at(some, r):
        known = reach(ball.take(some), r)
        point = direction[some] = descend(known, d[some], direction[some])
        return least_lead(known, d[some], constant[some], point)

    return largest_radius(bound_at, lead, np.clip(0.95 * distance, 0.0, FARTHEST))
