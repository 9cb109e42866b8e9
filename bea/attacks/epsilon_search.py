"""The smallest step along the gradient's sign that changes the class (paper D): by scan, by bisection, and exactly."""

import math
from dataclasses import dataclass

import numpy as np

from bea.attacks.common import StepResult, check_aim, in_image_blocks
from bea.attacks.gradient_signs import step_direction, take_step
from bea.attacks.ray_segments import BLOCK_NUMBERS, NARROWEST, Rays, isolate, locate
from bea.bounds.along_ray import unknown_slopes
from bea.networks.network import Network
from bea.numerics.checks import check_positive
from bea.numerics.progress import showing

METHODS = ("exact", "bisection", "scan")
COARSE = 16  # steps of the grid on which "exact" looks for a first success


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

    @property
    def standing(self) -> str:
        """For how many samples it is proven."""
        return f"proven for {np.count_nonzero(self.proved)}"


def smallest_epsilon(
    net: Network,
    x,
    label,
    *,
    target=None,
    method="exact",
    largest=1.0,
    step=0.001,
    tolerance=1e-6,
    clip=False,
    progress=False,
) -> SmallestEpsilon:
    """Smallest step along the sign of the loss gradient that succeeds (paper D, section 5.2.1).

    ``ε_min = min {ε ≥ 0 : x + ε s has the class that is asked for}``, s the direction of ``fgsm``.

    - "scan" tries 0, ``step``, 2 ``step``, … as the report does first. It overlooks successes between two steps.
    - "bisection" halves [0, ``largest``] as the report does then. It finds ε_min if the steps that succeed form an
      interval up to ``largest``; if not, it finds some boundary of them, or, where ``largest`` fails, nothing.
    - "exact" needs no such assumption: it locates a boundary and proves, as ``bea.attacks.ray_segments`` describes,
      that no step before it succeeds, or else takes the first of those it finds instead.

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
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Returns
    -------
    SmallestEpsilon
        ``epsilon`` is ε_min: 0 where x itself has the class that is asked for, NaN where no step up to ``largest``
        succeeds, for instance because the gradient is zero. ``success`` is what the network says of ``x + dx``: at a
        tie, and for a tolerance near rounding, it may be False although a step was found.

    Raises
    ------
    ValueError
        As ``fgsm``, for an unknown method, for ``largest``, ``step`` or ``tolerance`` that are not positive, a scan
        whose step is beyond ``largest``, and "exact" for a network whose function jumps, as that of ``Quantise`` does.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip)
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, received {method!r}")
    for name, value in (("largest", largest), ("step", step), ("tolerance", tolerance)):
        check_positive(name, value)
    if method == "exact" and (unknown := unknown_slopes(net.layers)):
        raise ValueError(
            f"method: expected 'bisection' or 'scan' for a network with {unknown}, whose slopes along a ray have no "
            "bounds here, received 'exact'"
        )
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
        rays = Rays(net, x, step_direction(net, x, aim, targeted), aim, clip)
        epsilon, proved = search(lambda samples, step: (rays.lead(samples, step) > 0.0) == targeted, rays)
        return *take_step(net, x, rays.direction, aim, targeted, epsilon, clip), proved

    with showing(progress):
        return SmallestEpsilon(*in_image_blocks(net, block, x, aim, numbers=BLOCK_NUMBERS))


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
