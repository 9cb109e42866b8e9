"""The attack by backward error on the input, in the form of the attacks of papers D and R.

Minimises ``‖Δx‖`` such that the target leads every other class by a margin (paper B, eq. 5, only the input changing);
without a target, the smallest such Δx over all classes but the label. ``bea.attack`` solves it by linearising again and
again, ``bea.backward.in_range`` with the pixels kept in their range; over maxima ``bea.backward.annealing`` does both.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from bea.attacks.common import InputAttackResult, achieved, check_aim, conclude
from bea.attacks.projected_gradient import smallest_pgd
from bea.backward.annealing import annealed
from bea.backward.closed_form import changing
from bea.backward.in_range import shortest_to_some_class
from bea.backward.smallest_attack import converged
from bea.networks.leads import lead_over_others, other_classes
from bea.networks.network import Network
from bea.networks.smoothing import has_maxima
from bea.numerics.arrays import column
from bea.numerics.blocks import blocks
from bea.numerics.checks import check_count, check_positive
from bea.numerics.progress import showing

IMAGES = 1000  # attacked at a time: nine times as many changes are held


class ShortestChange(InputAttackResult):
    """What came of a batch of n attacks, each locally optimal; see ``InputAttackResult``."""

    standing = "locally optimal"


def backward_error_attack(
    net: Network, x, label, *, target=None, margin=1e-3, clip=False, candidates=None, annealing=False, progress=False
) -> ShortestChange:
    """Smallest Δx with which the target leads by a margin, or any class but the label (paper B, section 3).

    Locally optimal, for an affine network optimal; of a black image too. Without a target every class is tried and the
    shortest Δx counts; over maxima of pooling, or with ``annealing``, only those nearest to first order; elsewhere with
    ``clip`` only classes whose Δx without the range is shorter than what was found with it.

    Parameters
    ----------
    net, x, label, target, clip
        As in ``bea.attacks.gradient_signs.fgsm``; without ``clip`` x + Δx may leave the range.
    margin : float
        By how much, in units of the logits, that class must lead; positive.
    candidates : int, optional
        How many classes are tried without a target, the nearest to first order; all others unless given.
    annealing : bool
        Whether ``bea.backward.annealing`` searches alone, as it does over maxima: in the range, with some 1300
        passes forward and backward an image, cheaper over ReLUs than to linearise as well; mostly as short, on single
        images of dense networks up to an eighth longer, and on affine ones by some 1e-4.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Returns
    -------
    ShortestChange
        ``dx`` is NaN where no point was met at which the class asked for leads by the margin.

    Raises
    ------
    ValueError
        For images of wrong shape or range, classes of wrong shape or out of range, a margin that is not positive,
        ``candidates`` that are no positive whole number, or ``clip`` for a network without range.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip)
    check_positive("margin", margin)
    if candidates is not None:
        check_count("candidates", candidates)
    rest = np.flatnonzero(~achieved(net.classify(x), aim, targeted))
    dx = np.zeros_like(x)
    with showing(progress):
        for part in blocks(len(rest), IMAGES):
            some = rest[part]
            aims = aim[some, None] if targeted else nearest_classes(net, x[some], aim[some])[:, :candidates]
            if annealing or has_maxima(net.layers):
                limited = net if clip else replace(net, input_range=None)
                dx[some] = annealed(limited, x[some], aims, margin, partial(_far, limited, x[some], margin))
                continue
            changes, lengths = _without_range(net, x[some], aims, margin)
            if clip:
                dx[some] = _in_range(net, x[some], aims, changes, lengths, margin)
            else:
                nearest = lengths.argmin(axis=1)
                dx[some] = changes[np.arange(len(some)), nearest]
    return ShortestChange(*conclude(net, x, dx, aim, targeted))


def nearest_classes(net: Network, x, label) -> np.ndarray:
    """Return the classes but the label, (n, classes - 1), by the distance of their boundaries to first order.

    ``‖Δx‖ ≈ (y_label - y_j)/‖J_label - J_j‖``, y the logits and J their Jacobian.
    """
    linear = net.linearise(x, layers=[False] * len(net.weighted))
    leads = lead_over_others(linear.logits, label)
    slopes = np.linalg.norm(lead_over_others(linear.jacobian, label), axis=2)
    distances = leads / np.maximum(slopes, np.finfo(float).tiny)
    return np.take_along_axis(other_classes(label, net.classes), distances.argsort(axis=1), 1)


def _without_range(net, x, aims, margin):
    """Return Δx for each image and each of its classes (n, tries, …), NaN for a failure, and the lengths."""
    n, tries = aims.shape
    # ‖Δx‖ relative to ‖x‖, as the search has it, is as short as ‖Δx‖; of a black image ‖Δx‖ itself.
    images = np.repeat(x, tries, axis=0)
    found = converged(net, images, aims.ravel(), changing(net, "input"), margin, black=1.0)
    dx = np.where(column(found.success, found.perturbation.dx), found.perturbation.dx, np.nan)
    lengths = np.where(found.success, found.perturbation.norms[:, -1], np.inf)
    return dx.reshape(n, tries, *x.shape[1:]), lengths.reshape(n, tries)


def _in_range(net, x, aims, changes, lengths, margin):
    """Return the shortest Δx within the range over the classes."""
    elsewhere = (lambda some, target: np.zeros_like(x[some]), partial(_far, net, x, margin))
    return shortest_to_some_class(net, x, aims, changes, lengths, margin, elsewhere)


def _far(net, x, margin, some, target):
    """Return changes of some images that reach the target, within the range if there is one, zero for none."""
    if net.input_range is None:
        return np.nan_to_num(_without_range(net, x[some], target[:, None], margin)[0][:, 0])
    low, high = net.input_range
    found = smallest_pgd(net, x[some], net.classify(x[some]), target=target, largest=high - low, steps=40, clip=True)
    return np.nan_to_num(found.dx)
