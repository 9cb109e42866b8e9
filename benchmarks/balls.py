"""Balls, numbers known up to a radius, by Arb (python-flint): matrices and what is proved of them.

Every operation gives a ball that contains what it would give in real arithmetic, for any members of its operands; a
comparison is true only if it holds for all members. What is chosen, and not computed, is a float64 number, which is
exact. So what is proved here holds in real arithmetic, whatever NumPy did to find the choices.
"""

import functools

import numpy as np
from flint import arb, arb_mat

BITS = 128  # of every midpoint


def matrix(numbers) -> arb_mat:
    """Return float64 numbers (rows, columns) as exact balls."""
    return arb_mat(np.asarray(numbers, dtype=float).tolist())


def column(numbers) -> arb_mat:
    """Return a sequence of balls or numbers as a matrix of one column."""
    return arb_mat(len(numbers), 1, [arb(number) for number in numbers])


def times(left: arb_mat, numbers) -> list[arb]:
    """Return the product of a matrix and a vector, as a list."""
    return (left * column(numbers)).entries()


def dot(left, right) -> arb:
    """Return the sum of the products of two sequences."""
    return sum((a * b for a, b in zip(left, right, strict=True)), arb(0))


def framed(numbers, middle: arb_mat) -> arb_mat:
    """Return a matrix between two diagonal ones with these numbers."""
    rows = zip(numbers, middle.tolist(), strict=True)
    return arb_mat([[a * entry * b for entry, b in zip(row, numbers, strict=True)] for a, row in rows])


def difference(diagonal, matrix: arb_mat) -> arb_mat:
    """Return a diagonal matrix less another one."""
    rest = -matrix
    for i, number in enumerate(diagonal):
        rest[i, i] += number
    return rest


def floats(balls) -> np.ndarray:
    """Return the midpoints of a matrix or a sequence of balls, rounded to float64."""
    if isinstance(balls, arb_mat):
        return np.array([float(ball) for ball in balls.entries()]).reshape(balls.nrows(), balls.ncols())
    return np.array([float(ball) for ball in balls])


def root(number: arb) -> arb:
    """Return an upper bound of the root of a number that is not negative."""
    return number.upper().max(arb(0)).sqrt().upper()


def dominance(matrix: arb_mat) -> arb:
    """Return by how much every diagonal entry exceeds the sum of the others of its row at least.

    No eigenvalue of a symmetric matrix is less (Gershgorin).
    """
    rows = matrix.tolist()
    least = [row[i] - sum((abs(entry) for j, entry in enumerate(row) if j != i), arb(0)) for i, row in enumerate(rows)]
    return functools.reduce(arb.min, least).lower()


def least_eigenvalue(symmetric: arb_mat) -> arb:
    """Return a lower bound of the least eigenvalue of a matrix: where it is positive, the matrix is positive definite.

    The matrix exceeds an L Lᵀ, found in float64, by one whose eigenvalues are bounded. Minus infinity if there is none.
    """
    middle = floats(symmetric)
    try:
        lower = np.linalg.cholesky(middle - 1e-12 * np.trace(middle) / len(middle) * np.eye(len(middle)))
    except np.linalg.LinAlgError:
        return arb("-inf")
    lower = matrix(lower)
    return dominance(symmetric - lower * lower.transpose())


def inverse_form(symmetric: arb_mat, q: list[arb]) -> arb:
    """Return an upper bound of ``qᵀM⁻¹q``, M positive definite, or infinity where M is not proved to be so.

    For every s it is ``2 qᵀs - sᵀMs + eᵀM⁻¹e`` with ``e = q - M s``; s is found in float64.
    """
    least = least_eigenvalue(symmetric)
    if not least > 0:
        return arb("inf")
    s = [arb(number) for number in np.linalg.solve(floats(symmetric), floats(q)).tolist()]
    product = times(symmetric, s)
    error = [a - b for a, b in zip(q, product, strict=True)]
    return 2 * dot(q, s) - dot(s, product) + dot(error, error) / least


def root_above(symmetric: arb_mat) -> arb_mat:
    """Return a C, found in float64, for which CᵀC exceeds a positive semidefinite matrix, hardly and provably."""
    middle = floats(symmetric)
    size = max(np.trace(middle), 1e-280)
    for share in 10.0 ** np.arange(-13, 1):
        try:
            upper = np.linalg.cholesky((middle + middle.T) / 2 + share * size * np.eye(len(middle))).T
        except np.linalg.LinAlgError:
            continue
        upper = matrix(upper)
        if dominance(upper.transpose() * upper - symmetric) > 0:
            return upper
    raise ArithmeticError("no root of the matrix was found")
