"""The part of a ball that lies in half-spaces: a smaller ball around it, and how far a quadratic stays positive.

Steps B2 and B3 of branching; see ``bea.bounds.branching``, and book/tight_bound.md for the proof. A half-space is
``{z : aᵀz ≥ s}``; of every ball there are several, as rows of A (n, D, k) and s (n, D). Rows of zeros with s = 0 stand
for none. Both steps are weak duality, and hold for every choice of multipliers λ ≥ 0, which a quadratic programme
chooses.
"""

import numpy as np

from bea.bounds.ball_quadratic import GAP, SOLVED
from bea.bounds.minorants import ROUNDING
from bea.numerics.quadratic import smallest_feasible

TRIALS = 7  # of μ


def ball_around(A, s, doubt, r):
    """Return (centre, radius) of a ball that holds all z with ``‖z‖ ≤ r`` and ``A z ≥ s`` (B2).

    The centre ``p = Aᵀλ`` is the shortest z in the half-spaces, if λ is the best one, and for every λ ≥ 0

        ``‖z - p‖² = ‖z‖² - 2 λᵀA z + ‖p‖² ≤ r² - 2 λᵀs + ‖p‖²`` .

    ``doubt`` (n, D) are the numbers that s was computed from. The radius is NaN where there is no such z.
    """
    λ, solved, _ = smallest_feasible(A @ A.swapaxes(1, 2), s)
    λ = np.where(solved[:, None], λ, 0.0)
    p = np.vecdot(λ[:, None], A.swapaxes(1, 2))
    square, ahead = np.vecdot(p, p), np.vecdot(λ, s)
    slack = ROUNDING * (r * r + square + np.vecdot(λ, np.abs(s) + doubt))
    left = r * r - 2.0 * ahead + square + slack
    with np.errstate(invalid="ignore"):
        return p, np.sqrt(left)


def least_distance(k, lin, H, A, s, doubt, r):
    """Return how long a z is at least where ``k + linᵀz - zᵀHz ≤ 0`` and ``A z ≥ s``, r at most, and such a z (B3).

    H is positive semidefinite. For every μ above its largest eigenvalue and every λ ≥ 0

        ``0 ≥ k + linᵀz - zᵀHz ≥ k + λᵀs + (lin - Aᵀλ)ᵀz + zᵀ(μ - H)z - μ ‖z‖²``

    so that ``μ ‖z‖² ≥ k + λᵀs - ¼ (lin - Aᵀλ)ᵀ(μ - H)⁻¹(lin - Aᵀλ)``. Where the right side is largest for its μ, its
    minimiser z is the only point that may be as near; the best μ is that at which the quadratic is zero there.
    """
    eigenvalues, vectors = np.linalg.eigh(H)
    plain, rows = (lin[:, None] @ vectors)[:, 0], A @ vectors
    length = np.sqrt(np.vecdot(plain, plain))
    largest = np.maximum(eigenvalues[:, -1], 0.0)
    least = np.maximum(largest * (1.0 + GAP), largest + GAP * length / (2.0 * r)) + 1e-300
    last = 1.0 / least  # the largest ν = 1/μ
    ν = 1.0 / np.maximum(largest + length / (2.0 * r), least)
    below, above = np.zeros(len(k)), last.copy()
    at_below, at_above, side = np.abs(k) + 1e-300, np.full(len(k), -np.inf), np.zeros(len(k))
    best, point, active = np.full(len(k), -np.inf), np.zeros_like(lin), None
    for _ in range(TRIALS):
        inverse = 1.0 / (1.0 / ν[:, None] - eigenvalues)
        scaled = rows * inverse[:, None]
        λ, solved, _ = smallest_feasible(0.5 * scaled @ rows.swapaxes(1, 2), s + 0.5 * np.vecdot(scaled, plain[:, None]), active)
        λ = np.where(solved[:, None], λ, 0.0)
        active = λ > 0.0
        turned = plain - np.vecdot(λ[:, None], rows.swapaxes(1, 2))
        z = -0.5 * inverse * turned
        ahead, rest = np.vecdot(λ, s), 0.25 * np.vecdot(inverse * turned, turned)
        size = np.vecdot(λ, np.abs(s) + doubt + np.sqrt(np.vecdot(A, A)) * r[:, None])
        square = (k + ahead - ROUNDING * size - rest * (1.0 + SOLVED)) * ν * (1.0 - SOLVED)
        better = square > best
        best, point = np.where(better, square, best), np.where(better[:, None], z, point)
        left = k + ahead - rest - np.vecdot(z, z) / ν
        near = left > 0.0
        # A side that stays twice counts for less, as in ``ball_dense``.
        at_above = np.where(near & (side > 0), 0.5 * at_above, at_above)
        at_below = np.where(~near & (side < 0), 0.5 * at_below, at_below)
        side = np.where(near, 1.0, -1.0)
        below, at_below = np.where(near, ν, below), np.where(near, left, at_below)
        above, at_above = np.where(near, above, ν), np.where(near, at_above, left)
        with np.errstate(invalid="ignore"):
            secant = below + (above - below) * at_below / (at_below - at_above)
        ν = np.where(np.isfinite(at_above), secant, np.minimum(2.0 * below, last))
    point = point * np.minimum(1.0, r / np.maximum(np.sqrt(np.vecdot(point, point)), 1e-300))[:, None]
    return np.minimum(np.sqrt(np.maximum(best, 0.0)), r), (vectors @ point[:, :, None])[:, :, 0]
