"""Multipliers that make a quadratic function as large as possible where it is least: an interior-point method.

The problem: of all quadratic functions ``wᵀS(y)w``, ``S(y) = fixed + Σ y_i B_i``, whose multipliers y fulfil some
linear conditions ``slacks(y) ≥ 0``, find that whose least value for ``w_0 = 1`` is largest. The last multiplier belongs
to ``w_0²``; minus that is the value, if S is positive semidefinite. The method is that of Helmberg, Rendl, Vanderbei
and Wolkowicz with Mehrotra's corrector. Steps B5 and B6 of branching use it; what they prove does not rest on it.
"""

from typing import Protocol

import numpy as np
from scipy.linalg import lapack

ITERATIONS = 100
ENOUGH = 1e-6  # by which the search shall exceed what is asked for, relative
ACCURACY = 1e-8  # of the gap between the two programmes: then the search ends
HOPELESS = 0.2  # of what is missing: where the gap is less, the search ends, too
REFUSED = 0.01  # the same of what the proof lacks where the value is enough: less, as the proof may gain more than it
SHORT = 0.97  # of the way to the boundary
FAR = 1e12  # multipliers that become larger prove nothing
BACK = 0.85  # what a step that leaves the cone is multiplied by


class Quadratics(Protocol):
    """What is asked of a programme; y has c multipliers, then that of the lead, and that of ``w_0²``.

    The first c matrices ``B_i`` are symmetric products of two vectors a_i and b_i, ``aᵀw wᵀb``.
    """

    lead: np.ndarray  # (n, n), the matrix of the multiplier of the lead
    fixed: np.ndarray  # (n, n)

    def matrix(self, y) -> np.ndarray:
        """Return ``Σ y_i B_i``."""

    def products(self, Q) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``aᵀQa``, ``aᵀQb``, ``bᵀQb`` for all pairs of the first c, each (c, c)."""

    def traces(self, Q) -> np.ndarray:
        """Return the inner products of all ``B_i`` with a symmetric matrix, (c + 2,)."""

    def slacks(self, y) -> np.ndarray:
        """Return the slacks of multipliers, a linear function."""

    def back(self, x) -> np.ndarray:
        """Return the transpose of ``slacks``, (c + 2,), of as many numbers as there are slacks."""

    def weigh(self, M, q) -> None:
        """Add to M (c + 2, c + 2) the matrix of the quadratic form ``Σ q slacks²``."""


def multipliers(problem: Quadratics, y, enough, target, proved=lambda y: np.inf):
    """Return multipliers y (c + 1,) without that of ``w_0²``, and the variables w where their function is least.

    S is positive definite in each step, and all slacks are positive, as they must be for the first y. The search ends
    when, with D the least value and μ the multiplier of the ball, ``√(1 + D/μ)`` is ``enough`` and ``proved(y)`` is so,
    too, or when the first, and then the second, lacks more than can still be gained.
    """
    n = len(problem.fixed)
    S = problem.fixed + problem.matrix(y)
    least = S[0, 0] - S[0, 1:] @ np.linalg.solve(S[1:, 1:], S[1:, 0])
    target = max(target, 0.1 * abs(least))
    y[-1] = target - least
    S[0, 0] += y[-1]
    inverse = _inverse(S)
    slacks = problem.slacks(y)
    X, x = target * inverse, target / slacks
    for _ in range(ITERATIONS):
        missing, gap = (enough + ENOUGH) ** 2 - (1.0 / inverse[0, 0] - y[-1]), np.sum(X * S) + x @ slacks
        off = problem.traces(X) + problem.back(x)  # what X and x violate; if nothing, the gap is one
        off[-1] -= 1.0
        doubt = gap + np.abs(y) @ np.abs(off)
        share = HOPELESS
        if missing < 0.0:
            missing, share = enough**2 - proved(y[:-1]) ** 2, REFUSED
        if missing <= 0.0 or doubt < max(ACCURACY, share * missing):
            break
        step = _step(problem, S, inverse, X, slacks, x, gap / (n + len(x)))
        if step is None:
            break
        along, dX, dx, across, dy = step
        ahead = y + across * dy
        if not np.abs(ahead).max() < FAR:  # where the other programme has no solution, y runs away
            break
        X, x, y = X + along * dX, x + along * dx, ahead
        S, slacks = problem.fixed + problem.matrix(y), problem.slacks(y)
        inverse = _inverse(S)
    return y[:-1], inverse[0] / inverse[0, 0]


def _step(problem, S, inverse, X, slacks, x, mean):
    """Return (share, ΔX, Δx, share, Δy), or None where the equations cannot be solved."""
    if not slacks.min() > 0.0:  # rounding is all there is
        return None
    quotient = x / slacks
    aa, ab, bb = problem.products(X)
    other_aa, other_ab, other_bb = problem.products(inverse)
    c = len(aa)
    M = np.zeros((c + 2, c + 2))
    M[:c, :c] = 0.25 * (ab.T * other_ab + bb * other_aa + aa * other_bb + ab * other_ab.T)
    for column, product in ((c, X @ problem.lead @ inverse), (c + 1, np.outer(X[:, 0], inverse[0]))):
        M[column] = M[:, column] = problem.traces(_symmetric(product))
    problem.weigh(M, quotient)
    if not (np.diag(M) > 0.0).all():
        return None
    scale = np.sqrt(np.diag(M))
    M = M / scale[:, None] / scale
    np.einsum("ii->i", M)[:] += 1e-13
    factor, failed = lapack.dpotrf(M, lower=1)
    if failed:
        return None

    def direction(target, bend, bent):
        goal = target * inverse - bend
        right = problem.traces(goal) + problem.back((target - bent) / slacks)
        right[-1] -= 1.0
        dy = lapack.dpotrs(factor, right / scale, lower=1)[0] / scale
        change, moved = problem.matrix(dy), problem.slacks(dy)
        dX = goal - X - _symmetric(X @ change @ inverse)
        dx = (target - bent) / slacks - x - quotient * moved
        return _largest(X, dX, x, dx), dX, dx, _largest(S, change, slacks, moved), dy, change, moved

    along, dX, dx, across, _, change, moved = direction(0.0, 0.0, 0.0)
    left = np.sum((X + along * dX) * (S + across * change)) + (x + along * dx) @ (slacks + across * moved)
    share = np.clip((left / mean / (len(X) + len(x))) ** 2, 0.02, 1.0)
    return direction(share * mean, _symmetric(dX @ change @ inverse), dx * moved)[:5]


def _largest(matrix, change, values, steps):
    """Return what share of a step leaves a matrix positive definite and values positive, at most 1."""
    down = steps < 0.0
    share = min(1.0, SHORT * np.min(-values[down] / steps[down], initial=np.inf))
    while share > 1e-8 and lapack.dpotrf(matrix + share / SHORT * change, lower=1)[1]:
        share *= BACK
    return share


def _symmetric(matrix):
    return (matrix + matrix.T) / 2


def _inverse(matrix):
    """Return the inverse of a positive definite matrix."""
    lower = np.tril(lapack.dpotri(lapack.dpotrf(matrix, lower=1)[0], lower=1)[0])
    return lower + np.tril(lower, -1).T
