"""Attacks by a penalty: a sum of the distance and of a loss, and the search for the weight between them.

Paper R (eq. 6, with p = 2) puts the adversarial example where a sum is smallest; here as

    minimise ‖Δx‖² + weight · loss(x + Δx)    over Δx, with ``clip`` such that x + Δx keeps within the range of pixels.

Paper R's c stands at the distance, so c = 1/weight: a search for the largest c that still gives an adversarial example
is one for the smallest weight. Its sign: away from the label the loss is -L(·, label), as printed in (6); towards a
target it is +L(·, target), as Szegedy et al. (2014, section 4.1) have it. With the other sign the sum is smallest where
the network is surest of the label, or of any class but the target. The distance is squared, which the printed (6)
leaves open: the L of most networks grows no faster than the distance, so with the square the sum has a minimum for
every weight, while c ‖Δx‖ - L has none where L grows faster than c ‖Δx‖.

A weight that is too small leaves the image near where it is, one that is too large takes it farther than needed. Hence
a search, for every sample on its own. Where the sum has several minima, as it has towards a concave loss like -J, a
solution lost on the way out may still be there on the way back; so the search goes back from its first success.
"""

from dataclasses import dataclass

import numpy as np

from bea.attacks.common import InputAttackResult
from bea.numerics.arrays import image_norms
from bea.numerics.checks import check_count, check_positive
from bea.numerics.progress import counting

FACTOR = 10.0  # between one weight and the next, until there is both a failure and a success


@dataclass(frozen=True, eq=False)
class PenaltyResult(InputAttackResult):
    """What came of a batch of n attacks by a penalty; see ``InputAttackResult``.

    Attributes
    ----------
    weight : array (n,)
        Weight of the loss with which ``dx`` was found, 1/c of paper R (eq. 6), in squared pixels by the unit of the
        loss; 0 where x itself has the class that is asked for, NaN where no weight gave a success.
    """

    weight: np.ndarray


def search_weight(solve, shape, *, weights, halvings, already=None) -> tuple[np.ndarray, np.ndarray]:
    """Find, for every sample, the weight whose solution is a success as close to the image as may be.

    Begins with the first of ``weights`` and multiplies by ``FACTOR`` as long as it fails, up to the last; then divides
    as long as it succeeds. Between this failure and this success it goes on in the middle, in the logarithm.

    Parameters
    ----------
    solve : function
        ``solve(rest, weight, start) -> (dx, won)`` solves the problems of the samples ``rest`` (m,), an index array,
        with a weight each (m,), from ``start`` (m, …): at first zero, then what it returned before, and once there is a
        success the shortest. Returns Δx (m, …) and whether it is a success (m,).
    shape : tuple of int
        Of all Δx, (n, …).
    weights : pair of float
        The first weight to try and the largest.
    halvings : int
        Calls between a failure and a success.
    already : bool array (n,), optional
        Samples that need no change, for which nothing is solved.

    Returns
    -------
    dx : array (n, …)
        The shortest success of every sample; NaN where there was none.
    weight : array (n,)
        The weight that led to it; NaN where there was none, 0 where none was needed.
    """
    n, (first, largest) = shape[0], weights
    dx, start, best = np.zeros(shape), np.zeros(shape), np.full(n, np.inf)
    weight, trial = np.full(n, np.nan), np.full(n, float(first))
    low, high, left = np.zeros(n), np.full(n, np.inf), np.full(n, halvings)
    active = np.ones(n, dtype=bool)
    if already is not None:
        active[already], best[already], weight[already] = False, 0.0, 0.0
    with counting(n) as tell:
        while (rest := np.flatnonzero(active)).size:
            found, won = solve(rest, trial[rest], start[rest])
            size = image_norms(found)
            shorter = won & (size < best[rest])
            some = rest[shorter]
            dx[some], best[some], weight[some] = found[shorter], size[shorter], trial[some]
            go_on = shorter | np.isinf(best[rest])
            start[rest[go_on]] = found[go_on]
            low[rest[~won]] = trial[rest[~won]]
            low[rest[won & np.isinf(high[rest])]] = 0.0  # what failed from the image may succeed on the way back
            high[rest[won]] = trial[rest[won]]
            failed, succeeded = low[rest] > 0.0, np.isfinite(high[rest])
            between = failed & succeeded
            trial[rest] = np.select(
                [between, failed],
                [np.sqrt(low[rest]) * np.sqrt(high[rest]), np.minimum(FACTOR * low[rest], largest)],
                high[rest] / FACTOR,
            )
            active[rest] = np.where(succeeded, (left[rest] > 0) & (trial[rest] > 0.0), low[rest] < largest)
            left[rest[between]] -= 1
            tell(n - np.count_nonzero(active))
    dx[np.isinf(best)] = np.nan
    return dx, weight


def check_search(margin, weights, halvings) -> None:
    """Raise ``ValueError`` unless the margin is positive and the weights a pair from small to large."""
    check_positive("margin", margin)
    if np.shape(weights) != (2,):
        raise ValueError(f"weights: expected (first, largest), received {weights!r}")
    for weight in weights:
        check_positive("weights", weight)
    if weights[0] > weights[1]:
        raise ValueError(f"weights: expected the first at most the largest, received {weights!r}")
    check_count("halvings", halvings, 0)
