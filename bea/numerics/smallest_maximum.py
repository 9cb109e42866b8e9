"""Sequential linear programmes for the smallest vector, by its largest entry, that meets one smooth constraint.

For each sample of a batch, minimise ``‖v‖∞`` subject to ``f(v) ≥ 0`` and ``low ≤ v ≤ high``. Linearised at v, and kept
within Δ of it, this is the linear programme

    minimise ε  subject to  f + G·(u - v) ≥ 0,  |u_k| ≤ ε,  |u_k - v_k| ≤ Δ,  low_k ≤ u_k ≤ high_k.

With a single constraint it has a closed form. Every entry goes in the direction s_k = sign G_k, as far as ε and its own
limit ``b_k = min(s_k v_k + Δ, limit)`` let it, so that ``u_k = s_k min(ε, b_k)``; then ``G·u = Σ_k |G_k| min(ε, b_k)``
is concave, increasing and piecewise linear in ε, and Newton's method finds where it reaches what is asked for after
finitely many steps. Without limits, ``ε = (G·v - f)/‖G‖₁`` and u is a corner of the box.

What the step brings is measured by ``‖v‖∞ + ρ max(0, -f)``. It is taken if that falls by a part of what the programme
promises; Δ grows where the promise was kept and shrinks where it was not (a trust region). At a solution every entry is
as far as ε and its limit let it be, or has G_k = 0: without limits, ``G·v = ε ‖G‖₁``. By how much ε could shrink
otherwise, to first order and relative to ε, is the residual.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SUFFICIENT = 1e-4  # part of the promised fall that a step must bring
KEPT, BROKEN = 0.75, 0.25  # parts of it from which on Δ grows, and up to which it shrinks
GROWS, SHRINKS = 1.6, 0.4
PENALTY = 2.0  # ρ, in units of the multiplier of the programme without limits
COLLAPSED = 1e-7  # Δ relative to ‖v‖∞, below which nothing is left to try
AGAIN = 0.03  # Δ relative to ‖v‖∞ where a search that has collapsed goes on
RENEWALS = 2
MET = 0.01
PIECES = 100  # of the concave function, at most; a dozen at most was met
TINY = np.finfo(float).tiny


@dataclass(frozen=True, eq=False)
class SmallestMaximum:
    """Where the search has ended for n samples.

    Attributes
    ----------
    v : array (n, unknowns)
    met : bool array (n,)
        Whether the constraint is missed by a hundredth of what it was missed by at the start, at most.
    residual : array (n,)
        Part of ‖v‖∞ that the linear programme at v, without Δ, promises to save; with limits, at most. Zero at a
        solution.
    iterations : int array (n,)
        Linear programmes solved.
    """

    v: np.ndarray
    met: np.ndarray
    residual: np.ndarray
    iterations: np.ndarray


def smallest_maximum(
    constraint: Callable, v, limits=None, *, reach=None, tolerance=1e-4, max_iterations=60
) -> SmallestMaximum:
    """Minimise ‖v‖∞ subject to ``f(v) ≥ 0`` and ``low ≤ v ≤ high``, locally.

    Parameters
    ----------
    constraint : function
        Of the numbers of some samples (k,) and their v (k, unknowns); returns f (k,) and its gradients G (k, unknowns).
    v : array (n, unknowns)
        Where to start.
    limits : pair of arrays (n, unknowns), optional
        Low and high, not positive and not negative.
    reach : float, optional
        Δ of the first step, relative to ‖v‖∞, or what the first programme without Δ needs if that is more; by default
        the latter.
    tolerance : float
        A sample is done when its residual is no larger, and its constraint is missed by no more than this part of what
        it was missed by at v = 0, as the linearisation at the start has it.
    max_iterations : int
    """
    v, n = v.copy(), len(v)
    f, G = constraint(np.arange(n), v)
    G = G.copy()
    slopes = np.maximum(np.abs(G).sum(axis=1), TINY)
    asked = np.maximum(np.abs(np.vecdot(G, v) - f), TINY)
    size, rho = np.abs(v).max(axis=1), PENALTY / slopes
    reach = asked / slopes if reach is None else np.maximum(reach * size, np.maximum(-f, 0.0) / slopes)
    residual = _residual(G, v, slopes, size, limits)
    iterations, renewals = np.zeros(n, int), np.zeros(n, int)
    going = np.flatnonzero((slopes > TINY) & np.isfinite(slopes))
    for _ in range(max_iterations):
        done = (residual[going] <= tolerance) & (np.abs(f[going]) <= tolerance * asked[going])
        again = going[~done & (reach[going] <= COLLAPSED * size[going])]
        reach[again], renewals[again] = AGAIN * size[again], renewals[again] + 1
        rho[again] = PENALTY / slopes[again]
        going = going[~done & (renewals[going] <= RENEWALS)]
        if not going.size:
            break
        here, slope, value, own = v[going], G[going], f[going], _some(limits, going)
        rho[going] = np.maximum(rho[going], PENALTY / slopes[going])
        lean = np.vecdot(slope, here)
        u = box_programme(slope, lean - value, here, reach[going], own)
        expected = value + np.vecdot(slope, u) - lean
        reached, steep = constraint(going, u)
        longest = np.abs(u).max(axis=1)
        before = size[going] + rho[going] * np.maximum(-value, 0.0)
        promised = before - longest - rho[going] * np.maximum(-expected, 0.0)
        fallen = before - longest - rho[going] * np.maximum(-reached, 0.0)
        kept = np.where(promised > 0.0, fallen / np.where(promised > 0.0, promised, 1.0), -1.0)
        good = kept >= SUFFICIENT
        moved = going[good]
        v[moved], f[moved], G[moved], size[moved] = u[good], reached[good], steep[good], longest[good]
        slopes[moved] = np.maximum(np.abs(steep[good]).sum(axis=1), TINY)
        residual[moved] = _residual(steep[good], u[good], slopes[moved], size[moved], _some(limits, moved))
        reach[going] *= np.where(kept >= KEPT, GROWS, np.where(kept <= BROKEN, SHRINKS, 1.0))
        iterations[going] += 1
    return SmallestMaximum(v, f >= -MET * asked, residual, iterations)


def box_programme(G, c, v, reach, limits=None) -> np.ndarray:
    """Return u (n, unknowns) with the least ‖u‖∞ such that ``G·u ≥ c``, within ``reach`` of v and the limits.

    Where nothing there is good enough, G·u is as large as may be.
    """
    ways, steep = np.sign(G), np.abs(G)
    ends = ways * v + reach[:, None]
    if limits is not None:
        ends = np.minimum(ends, _ends(G, limits))
    size = np.maximum(np.abs(v).max(axis=1) - reach, 0.0)
    rest, own, far, right = np.arange(len(v)), steep, ends, c
    for _ in range(PIECES):
        free = far > size[rest, None]
        slope = np.vecdot(own, free)
        missing = right - np.vecdot(own, np.minimum(far, size[rest, None]))
        short = (missing > 1e-14 * np.abs(right)) & (slope > 0.0)
        if not short.any():
            break
        if not short.all():
            rest, own, far, right = rest[short], own[short], far[short], right[short]
        size[rest] += missing[short] / slope[short]
    stays = np.clip(v, -size[:, None], size[:, None])
    return np.where(ways == 0.0, stays, ways * np.minimum(ends, size[:, None]))


def _some(limits, samples):
    """Return the limits of some samples."""
    return limits and tuple(limit[samples] for limit in limits)


def _ends(G, limits) -> np.ndarray:
    """Return how far every entry may go in the direction of G."""
    low, high = limits
    return np.where(G < 0.0, -low, high)


def _residual(G, v, slopes, size, limits) -> np.ndarray:
    """Return the first Newton step of ``box_programme`` from ‖v‖∞ towards smaller ε, relative; one where v is zero.

    ``slopes`` (n,) is ‖G‖₁.
    """
    if limits is None:
        full, scale = size * slopes, size * slopes
    else:
        ends, steep = _ends(G, limits), np.abs(G)
        full = np.vecdot(steep, np.minimum(size[:, None], ends))
        scale = size * np.vecdot(steep, ends > size[:, None])
    spare = full - np.vecdot(G, v)
    return np.where(spare < scale, spare / np.maximum(scale, TINY), 1.0)
