"""Carlini and Wagner's attack: the distance and how much the class asked for falls short, by gradient descent.

For every weight of a search (``bea.attacks.penalty``) it solves (paper R, eq. 6, with another loss than the
cross-entropy)

    minimise ‖Δx‖² + weight · max(max_{j≠t} y_j - y_t + margin, 0)

over Δx, y the logits at x + Δx and t the target; without one, the loss is ``max(y_l - max_{j≠l} y_j + margin, 0)``
with the label l.
Unlike the cross-entropy this loss is zero as soon as the target leads by the margin, and it is an exact penalty: for
every weight above the multiplier of the constraint "leads by the margin" the smallest Δx that meets it is a solution.
"""

import numpy as np

from bea.attacks.common import achieved, check_aim, conclude, in_image_blocks
from bea.attacks.penalty import PenaltyResult, check_search, search_weight
from bea.networks.network import Network
from bea.networks.pixels import into_range
from bea.numerics.arrays import column, image_norms
from bea.numerics.checks import check_count
from bea.numerics.progress import showing


def carlini_wagner(
    net: Network,
    x,
    label,
    *,
    target=None,
    margin=1e-3,
    clip=False,
    weights=(0.1, 1e10),
    halvings=4,
    steps=200,
    progress=False,
) -> PenaltyResult:
    """Short Δx by gradient descent on ‖Δx‖² plus a weighted shortfall (paper R, eq. 6; Carlini and Wagner 2017).

    Descent is the plain one, all images at once, from zero for every weight, with ``clip`` projected to the range after
    every step. Step k has length 1/(2k), which suits the curvature 2 of ‖Δx‖², whatever the network: the first goes to
    the solution if the logits are affine and the weight is the multiplier, and without a range Δx is after k steps the
    mean of all gradients met, times -weight/2. Of all iterates that are a success the shortest counts.

    Carlini and Wagner substitute ``x + Δx = ½ (tanh u + 1)`` for the box and use Adam. Where a pixel is 0 or 1, as most
    are in MNIST, the substitution has no slope, and with as many steps of a tuned length it ended farther away on the
    dense networks of this book than the projection, which needs no tuning.

    Parameters
    ----------
    net, x, label, target, clip
        As in ``bea.attacks.gradient_signs.fgsm``.
    margin : float
        By how much, in units of the logits, the class asked for must lead; positive.
    weights : pair of float
        The first weight of the shortfall to try and the largest, in squared pixels by unit of the logits.
    halvings : int
        Weights tried between a failure and a success.
    steps : int
        Of gradient descent for each weight.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Returns
    -------
    PenaltyResult
        ``dx`` is NaN, and so is ``weight``, where no weight gave a success.

    Raises
    ------
    ValueError
        For images of wrong shape or range, classes of wrong shape or out of range, ``clip`` for a network without
        range, a margin that is not positive, weights that are not a positive pair from small to large, or counts that
        are no whole numbers.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip)
    check_search(margin, weights, halvings)
    check_count("steps", steps)

    def block(x, aim):
        def solve(rest, weight, _):
            return _descend(net, x[rest], aim[rest], targeted, margin, clip, weight, steps)

        already = achieved(net.classify(x), aim, targeted)
        dx, weight = search_weight(solve, x.shape, weights=weights, halvings=halvings, already=already)
        dx = into_range(net, x, dx) if clip else dx
        return *conclude(net, x, dx, aim, targeted), weight

    with showing(progress):
        return PenaltyResult(*in_image_blocks(net, block, x, aim))


def _descend(net, x, aim, targeted, margin, clip, weight, steps):
    """Return the shortest Δx met that is a success, zero where there is none, and where there is one."""
    dx, shortest, size = np.zeros_like(x), np.zeros_like(x), np.full(len(x), np.inf)
    low, high = np.subtract.outer(net.input_range, x) if clip else (None, None)
    for k in range(1, steps + 2):  # the last point is only looked at
        short, slope = _shortfall(net, x + dx, aim, targeted, margin)
        now = image_norms(dx)
        better = (short <= 0.0) & (now < size)
        shortest[better], size[better] = dx[better], now[better]
        dx = (1.0 - 1.0 / k) * dx - column(weight / (2.0 * k), x) * slope
        if clip:
            np.clip(dx, low, high, out=dx)
    return shortest, np.isfinite(size)


def _shortfall(net, x, aim, targeted, margin):
    """Return by how much the class asked for falls short of its lead, and the derivative of the positive part."""
    sign, short = 1.0 if targeted else -1.0, np.empty(len(x))

    def weights(logits):
        rows, rivals = np.arange(len(x)), logits.copy()
        rivals[rows, aim] = -np.inf
        rival = rivals.argmax(axis=1)
        short[:] = margin - sign * (logits[rows, aim] - logits[rows, rival])
        slope = np.zeros_like(logits)
        slope[rows, rival] = sign * (short > 0.0)
        slope[rows, aim] = -sign * (short > 0.0)
        return slope

    slope = net.gradient(x, weights)  # before the shortfall is read
    return short, slope
