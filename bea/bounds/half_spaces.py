"""The part of a ball that lies in half-spaces: a smaller ball around it, and how near a quadratic can vanish in it.

Steps B2 and B3 of branching; see ``bea.bounds.branching``, and book/tight_bound.md for the proof. A half-space is
``{z : aᵀz ≥ s}``; every ball has D of them, the rows of A (n, D, k) and s (n, D), where rows of zeros with s = 0 stand
for none. Both steps are weak duality: they hold for all multipliers λ ≥ 0, and a quadratic programme finds good ones.

Rounding is allowed for as in ``bea.bounds.ball_dense``. ``doubt`` (n, D) are the sizes of the numbers that s was
computed from.
"""

import numpy as np

from bea.bounds.ball_quadratic import GAP, SOLVED
from bea.bounds.minorants import ROUNDING
from bea.numerics.quadratic import smallest_feasible

TRIALS = 7  # of μ
RIDGE = 1e-10  # of the diagonal of a quadratic programme
BEYOND = 1e-5  # relative, of the last one beyond the best


def ball_around(A, s, doubt, r):
    """Return (centre, radius) of a ball that holds all z with ``‖z‖ ≤ r`` and ``A z ≥ s`` (B2).

    For every λ ≥ 0 and ``p = Aᵀλ``

        ``‖z - p‖² = ‖z‖² - 2 λᵀA z + ‖p‖² ≤ r² - 2 λᵀs + ‖p‖²`` .

    With the best λ, p is the shortest vector in the half-spaces. The radius is NaN where there is no such z.
    """
    λ = _multipliers(A @ A.swapaxes(1, 2), s)[0]
    p = _combined(λ, A)
    square = np.vecdot(p, p)
    slack = ROUNDING * (r * r + square + np.vecdot(λ, _sizes(A, s, doubt, r)))
    with np.errstate(invalid="ignore"):
        return p, np.sqrt(r * r - 2.0 * np.vecdot(λ, s) + square + slack)


def least_distance(k, lin, H, A, s, doubt, r):
    """Return a lower bound, at most r, of ‖z‖ where ``k + linᵀz - zᵀHz ≤ 0`` and ``A z ≥ s`` (B3).

    Also a z that is hardly longer than it may be, with the quadratic just below zero, and the direction (n, k) in
    which the quadratic falls most.

    For every μ ≥ 0 above the largest eigenvalue of H and every λ ≥ 0

        ``0 ≥ k + linᵀz - zᵀHz ≥ k + λᵀs + (lin - Aᵀλ)ᵀz + zᵀ(μ - H)z - μ ‖z‖²``

    so that ``μ ‖z‖² ≥ k + λᵀs - ¼ (lin - Aᵀλ)ᵀ(μ - H)⁻¹(lin - Aᵀλ)``. The best λ for one μ solves a quadratic
    programme, and its z is the minimiser of the right side. The bound is concave in ν = 1/μ, and largest where the
    quadratic vanishes at z: a secant finds it.
    """
    eigenvalues, vectors = np.linalg.eigh(H)
    plain, rows = (lin[:, None] @ vectors)[:, 0], A @ vectors
    sizes = _sizes(A, s, doubt, r)
    length = np.sqrt(np.vecdot(plain, plain))
    largest = np.maximum(eigenvalues[:, -1], 0.0)
    others = [np.abs(eigenvalues).max(axis=1), length / (2.0 * r), np.abs(k) / (r * r)]
    least = largest + GAP * np.maximum.reduce(others) + 1e-300
    last = 1.0 / least
    ν = 1.0 / np.maximum(largest + length / (2.0 * r), least)
    below, above = np.zeros(len(k)), last.copy()
    at_below, at_above, side = np.abs(k) + 1e-300, np.full(len(k), -np.inf), np.zeros(len(k))
    best, chosen, active = np.zeros(len(k)), ν, None
    for trial in range(TRIALS + 1):
        if trial == TRIALS:
            ν = np.minimum(chosen * (1.0 + BEYOND), last)
        inverse = 1.0 / (1.0 / ν[:, None] - eigenvalues)
        scaled = rows * inverse[:, None]
        λ, active = _multipliers(0.5 * scaled @ rows.swapaxes(1, 2), s + 0.5 * _products(scaled, plain), active)
        turned = plain - _combined(λ, rows)
        z = -0.5 * inverse * turned
        start, rest = k + np.vecdot(λ, s), 0.25 * np.vecdot(inverse * turned, turned)
        square = (start - ROUNDING * np.vecdot(λ, sizes) - rest * (1.0 + SOLVED)) * ν * (1.0 - SOLVED)
        left = start - rest - np.vecdot(z, z) / ν
        further = left > 0.0
        best, chosen = np.maximum(square, best), np.where(square > best, ν, chosen)
        # A side that stays twice counts for less, so that the secant does not creep towards the other one.
        at_above = np.where(further & (side > 0.0), 0.5 * at_above, at_above)
        at_below = np.where(~further & (side < 0.0), 0.5 * at_below, at_below)
        side = np.where(further, 1.0, -1.0)
        below, at_below = np.where(further, ν, below), np.where(further, left, at_below)
        above, at_above = np.where(further, above, ν), np.where(further, at_above, left)
        bounded = np.isfinite(at_above)
        secant = below + (above - below) * at_below / (at_below - np.where(bounded, at_above, -1.0))
        ν = np.where(bounded, secant, np.minimum(2.0 * below, last))
    shrink = np.minimum(1.0, r / np.maximum(np.sqrt(np.vecdot(z, z)), 1e-300))
    return np.minimum(np.sqrt(best), r), _products(vectors, z) * shrink[:, None], vectors[:, :, -1]


def _multipliers(K, c, guess=None):
    """Return λ ≥ 0 with the least ``½ λᵀKλ - cᵀλ``, zeros where none was found, and which are not zero.

    K is made a little larger: otherwise there would be no least value where half-spaces contradict each other, and
    just there a large λ proves that nothing is in all of them.
    """
    if not c.shape[1]:
        return c, None
    diagonal = np.einsum("nii->ni", K)
    λ, solved, _ = smallest_feasible(K + RIDGE * diagonal[:, None] * np.eye(c.shape[1]), c, guess)
    λ = np.where(solved[:, None], λ, 0.0)
    return λ, λ > 0.0


def _sizes(A, s, doubt, r):
    """Return the sizes of all numbers in a half-space where ‖z‖ ≤ r, (n, D)."""
    return np.abs(s) + doubt + np.sqrt(np.vecdot(A, A)) * r[:, None]


def _products(A, vector):
    return (A @ vector[:, :, None])[:, :, 0]


def _combined(λ, A):
    return (λ[:, None] @ A)[:, 0]
