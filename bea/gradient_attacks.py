"""Attacks along the sign of the loss gradient: one step (FGSM), the smallest step that succeeds, and many steps (PGD).

Here a change is small if its largest pixel is. Of all Δx with ``‖Δx‖∞ ≤ ε`` the one step ``ε sign ∇J`` raises the loss
J most, to first order, and many smaller steps raise it further (paper R, eqs. 3 and 7).
"""

import math
from dataclasses import dataclass

import numpy as np

from bea.input_attacks import (
    InputAttackResult,
    achieved,
    check_aim,
    check_count,
    check_each,
    check_positive,
    column,
    conclude,
    in_blocks,
    into_range,
)
from bea.loss import scaled_gradient
from bea.network import Network
from bea.rays import BLOCK_NUMBERS, NARROWEST, Rays, isolate, locate

METHODS = ("exact", "bisection", "scan")
COARSE = 16  # steps of the grid on which "exact" looks for a first success


@dataclass(frozen=True, eq=False)
class StepResult(InputAttackResult):
    """What came of a batch of n attacks that keep every pixel within a step; see ``InputAttackResult``.

    Attributes
    ----------
    epsilon : array (n,)
        Length of the step before clipping, in units of the pixels; NaN where no step was found.
    """

    epsilon: np.ndarray


@dataclass(frozen=True, eq=False)
class SmallestEpsilon(StepResult):
    """What came of a search for the smallest step.

    Attributes
    ----------
    proved : bool array (n,)
        Whether it was proved that no step succeeds that is smaller by more than the tolerance, or, where ``epsilon``
        is NaN, none at all. Only the method "exact" proves anything.
    """

    proved: np.ndarray


def fgsm(net: Network, x, label, epsilon, *, target=None, clip=False) -> StepResult:
    """One step along the sign of the loss gradient (paper D, section 4; paper R, eq. 7; paper B, section 4.2.2).

    Untargeted ``Δx = ε sign ∇_x J(x, label)``, targeted ``Δx = -ε sign ∇_x J(x, target)``, with sign 0 = 0. Where the
    gradient is zero in every pixel the ray does not move: no success, unless x itself has the class that is asked for.
    Only the sign of the gradient is needed, so a loss or a gradient too small for float64 does no harm.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    label : int array (n,)
        Class to get away from: the true or the present one.
    epsilon : float or array (n,)
        Step, positive, in units of the pixels.
    target : int array (n,), optional
        Class to reach, different from the label; without one any class but the label is a success.
    clip : bool
        Whether ``x + Δx`` is clipped to ``net.input_range``.

    Returns
    -------
    StepResult

    Raises
    ------
    ValueError
        For images of wrong shape or range, classes of wrong shape or out of range, a target that is the label, a step
        that is not positive or of wrong shape, or ``clip`` for a network without range.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip)
    epsilon = check_each("epsilon", epsilon, len(x))

    def block(x, aim, epsilon):
        return _arrive(net, x, _ray(net, x, aim, targeted), aim, targeted, epsilon, clip)

    return StepResult(*in_blocks(net, block, x, aim, epsilon, numbers=BLOCK_NUMBERS))


def smallest_epsilon(
    net: Network, x, label, *, target=None, method="exact", largest=1.0, step=0.001, tolerance=1e-6, clip=False
) -> SmallestEpsilon:
    """Smallest step along the sign of the loss gradient that succeeds (paper D, section 5.2.1).

    ``ε_min = min {ε ≥ 0 : x + ε s has the class that is asked for}``, s the direction of ``fgsm``.

    - "scan" tries 0, ``step``, 2 ``step``, … as the report does first. It overlooks successes between two steps.
    - "bisection" halves [0, ``largest``] as the report does then. It finds ε_min if the steps that succeed form an
      interval up to ``largest``; if not, it finds some boundary of them, or, where ``largest`` fails, nothing.
    - "exact" needs no such assumption: it locates a boundary and proves, as ``bea.rays`` describes, that no step
      before it succeeds, or else takes the first of those it finds instead.

    The end that succeeds is returned, so the boundary that was found is at most ``tolerance`` below it, or ``step`` in
    a scan. Where two logits are equal and larger than all others, neither class counts as given.

    Parameters
    ----------
    net, x, label, target, clip
        As in ``fgsm``.
    method : {"exact", "bisection", "scan"}
    largest : float
        Longest step tried, in units of the pixels.
    step : float
        Step of the scan, in units of the pixels.
    tolerance : float
        Accuracy of ε_min by the other methods, absolute, in units of the pixels.

    Returns
    -------
    SmallestEpsilon
        ``epsilon`` is ε_min: 0 where x itself has the class that is asked for, NaN where no step up to ``largest``
        succeeds, for instance because the gradient is zero. ``success`` is what the network says of ``x + dx``: at a
        tie, and for a tolerance near rounding, it may be False although a step was found.

    Raises
    ------
    ValueError
        As ``fgsm``, for an unknown method, and for ``largest``, ``step`` or ``tolerance`` that are not positive, or a
        scan whose step is beyond ``largest``.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip)
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, received {method!r}")
    for name, value in (("largest", largest), ("step", step), ("tolerance", tolerance)):
        check_positive(name, value)
    if method == "scan" and step > largest:
        raise ValueError(f"step: expected at most the largest step tried, {largest:g}, received {step:g}")
    search = {
        "exact": lambda succeeds, rays: _exactly(succeeds, rays, targeted, largest, tolerance),
        "bisection": lambda succeeds, rays: _by_bisection(succeeds, len(rays.x), largest, tolerance),
        "scan": lambda succeeds, rays: _by_scan(
            succeeds, len(rays.x), step * np.arange(math.floor(largest / step * (1.0 + 1e-12)) + 1)
        ),
    }[method]

    def block(x, aim):
        rays = Rays(net, x, _ray(net, x, aim, targeted), aim, clip)
        epsilon, proved = search(lambda samples, step: (rays.lead(samples, step) > 0.0) == targeted, rays)
        return *_arrive(net, x, rays.direction, aim, targeted, epsilon, clip), proved

    return SmallestEpsilon(*in_blocks(net, block, x, aim, numbers=BLOCK_NUMBERS))


def pgd(
    net: Network,
    x,
    label,
    epsilon,
    *,
    target=None,
    steps=40,
    step=None,
    random_start=False,
    seed=0,
    clip=False,
    stop=True,
) -> StepResult:
    """Repeated steps along the sign of the loss gradient, each brought back into the box (paper R, after eq. 7).

    Maximises ``J(x + Δx, label)``, or minimises ``J(x + Δx, target)``, over ``‖Δx‖∞ ≤ ε``, with ``clip`` also over
    ``x + Δx`` in the range of the pixels: projected gradient ascent that looks at the sign only, as for small ε one
    step would be exact. One step of length ε is ``fgsm``.

    Parameters
    ----------
    net, x, label, target, clip
        As in ``fgsm``.
    epsilon : float or array (n,)
        Largest change of a pixel, positive.
    steps : int
        Steps at most.
    step : float or array (n,), optional
        Length of one step in units of the pixels, ``2.5 epsilon / steps`` unless given.
    random_start : bool
        Whether to start at a random point of the box instead of at x, drawn with ``seed`` for the batch as a whole.
    stop : bool
        Whether an image stops at its first success, without a random start at x if it has the class already. One that
        goes on is more likely to fool other networks too.

    Returns
    -------
    StepResult
        ``epsilon`` is the one given.

    Raises
    ------
    ValueError
        As ``fgsm``, and for ``steps`` that are no positive whole number or a ``step`` that is not positive.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip)
    epsilon = check_each("epsilon", epsilon, len(x))
    check_count("steps", steps)
    step = 2.5 * epsilon / steps if step is None else check_each("step", step, len(x))
    dx = np.zeros_like(x)
    if random_start:
        dx = column(epsilon, x) * np.random.default_rng(seed).uniform(-1.0, 1.0, x.shape)

    def block(x, dx, aim, epsilon, step):
        return *_iterate(net, x, dx, aim, targeted, epsilon, step, steps, clip, stop), epsilon

    return StepResult(*in_blocks(net, block, x, dx, aim, epsilon, step))


def smallest_pgd(
    net: Network, x, label, *, target=None, steps=10, largest=1.0, tolerance=1e-3, clip=False
) -> StepResult:
    """Small box in which ``pgd`` succeeds: starts from the smallest step of FGSM and halves what is below it.

    Success need not be monotone in ε, so this is an upper bound of the smallest ε, never above that of FGSM.

    Parameters
    ----------
    net, x, label, target, clip
        As in ``fgsm``.
    steps : int
        Steps of ``pgd`` at most, each of length ``2.5 ε / steps``.
    largest : float
        Largest ε tried.
    tolerance : float
        Accuracy of the halving, absolute, in units of the pixels.

    Returns
    -------
    StepResult
        ``epsilon`` is 0 where x itself has the class that is asked for, NaN where nothing was found.

    Raises
    ------
    ValueError
        As ``pgd``, and for ``largest`` or ``tolerance`` that are not positive.
    TypeError
        For classes that are not integers.
    """
    check_count("steps", steps)
    check_positive("tolerance", tolerance)
    first = smallest_epsilon(net, x, label, target=target, largest=largest, clip=clip)
    x, aim, targeted = check_aim(net, x, label, target, clip)

    def block(x, dx, aim, high):
        none = np.isnan(high)
        low, high, dx = np.zeros(len(x)), np.where(none, largest, high), np.nan_to_num(dx)
        trial = np.where(none, largest, 0.5 * high)  # where FGSM found nothing the largest box is tried first
        # Neighbours in floating point have nothing between them.
        while (rest := np.flatnonzero((high - low > tolerance) & (low < trial) & (trial < high) | none)).size:
            zero, edge = np.zeros_like(x[rest]), trial[rest]
            _, found, won, _ = _iterate(net, x[rest], zero, aim[rest], targeted, edge, 2.5 * edge / steps, steps, clip)
            dx[rest[won]] = found[won]
            low[rest[~won]], high[rest[won]] = edge[~won], edge[won]
            low[none & (low > 0.0)] = np.nan  # nothing at all
            high[np.isnan(low)] = np.nan
            none[:] = False
            trial = 0.5 * (low + high)
        dx[np.isnan(high)] = np.nan
        return *conclude(net, x, dx, aim, targeted), high

    return StepResult(*in_blocks(net, block, first.x, first.dx, aim, first.epsilon))


def _by_scan(succeeds, n, grid):
    """Return the first value of a grid that succeeds, NaN where none does, and that nothing was proved."""
    epsilon, rest = np.full(n, np.nan), np.arange(n)
    for step in grid:
        won = succeeds(rest, np.full(len(rest), step))
        epsilon[rest[won]] = step
        rest = rest[~won]
        if not rest.size:
            break
    return epsilon, np.zeros(n, dtype=bool)


def _by_bisection(succeeds, n, largest, tolerance):
    """Halve [0, largest] until it is no longer than the tolerance."""
    samples, low, high = np.arange(n), np.zeros(n), np.full(n, largest)
    never = ~succeeds(samples, high)
    high[succeeds(samples, low)] = 0.0
    while (high - low).max(initial=0.0) > tolerance:
        middle = 0.5 * (low + high)
        if ((middle == low) | (middle == high)).all():  # neighbours in floating point
            break
        won = succeeds(samples, middle)
        low, high = np.where(won, low, middle), np.where(won, middle, high)
    return np.where(never & (high > 0.0), np.nan, high), np.zeros(n, dtype=bool)


def _exactly(succeeds, rays, targeted, largest, tolerance):
    """Return the first change of class, located and proved to be the first, and where that was proved."""
    n = len(rays.x)
    epsilon, _ = _by_scan(succeeds, n, largest * np.arange(COARSE + 1) / COARSE)
    some = np.flatnonzero(epsilon > 0.0)
    goal = np.full(n, targeted)  # whether the aim leads where the attack succeeds
    last, epsilon[some] = locate(rays, some, epsilon[some] - largest / COARSE, epsilon[some], goal[some], tolerance)
    clear = np.where(np.isnan(epsilon), largest, 0.0)  # up to where no success is known
    clear[some] = last
    some = np.flatnonzero(clear > 0.0)
    start, neither = np.zeros(len(some)), ~goal[some]
    found, unresolved = isolate(rays, some, start, clear[some], neither, neither, NARROWEST * largest)
    samples, _, _, won = found
    _, first = locate(rays, *found, tolerance)
    earlier = (won == targeted) & succeeds(samples, first)
    np.fmin.at(epsilon, samples[earlier], first[earlier])
    return epsilon, np.bincount(unresolved, minlength=n) == 0


def _ray(net, x, aim, targeted):
    """Return the direction of the step, of entries -1, 0 and 1."""
    direction, _ = scaled_gradient(net, x, aim)
    return np.sign(-direction if targeted else direction)


def _arrive(net, x, ray, aim, targeted, epsilon, clip):
    """Return the fields of the result after a step of ``epsilon`` (n,)."""
    dx = column(epsilon, x) * ray
    if clip:
        dx = into_range(net, x, dx)
    return *conclude(net, x, dx, aim, targeted), epsilon


def _iterate(net, x, dx, aim, targeted, epsilon, step, steps, clip, stop=True):
    """Return the fields of an ``InputAttackResult`` after so many steps from dx, or at the first success."""
    edge = np.broadcast_to(column(epsilon, x), x.shape)
    low, high = -edge, edge
    if clip:
        low, high = np.maximum(low, net.input_range[0] - x), np.minimum(high, net.input_range[1] - x)
    dx, rest = np.clip(dx, low, high), np.arange(len(x))
    for _ in range(steps):
        if stop:
            rest = rest[~achieved(net.classify(x[rest] + dx[rest]), aim[rest], targeted)]
        ahead = dx[rest] + column(step[rest], x) * _ray(net, x[rest] + dx[rest], aim[rest], targeted)
        dx[rest] = np.clip(ahead, low[rest], high[rest])
    dx = into_range(net, x, dx) if clip else dx
    return conclude(net, x, dx, aim, targeted)
