"""Backward errors of linear systems, where the idea comes from (paper B, introduction and end of section 2.1).

For ``A x = b`` and a computed solution x̂ with residual ``r = b - A x̂``, Rigal and Gaches (1967) found the smallest ε
for which ``(A + ΔA) x̂ = b + Δb`` with ``‖ΔA‖ ≤ ε ‖A‖`` and ``‖Δb‖ ≤ ε ‖b‖``. Matrices are measured by the Frobenius
norm, vectors by the Euclidean one, as in paper B. Everything here works on batches: any leading axes before
``(n, n)`` and ``(n,)``.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SolutionError:
    """How wrong a computed solution is, and how little the data must change to make it right.

    Attributes
    ----------
    backward : array
        η, the smallest ε.
    dA, db : arrays
        A perturbation that attains it.
    forward : array
        ‖x̂ - x‖ / ‖x̂‖.
    condition : array
        ‖A⁻¹‖₂ (‖A‖ + ‖b‖ / ‖x̂‖); forward ≤ condition · backward, with nothing neglected.
    """

    backward: np.ndarray
    dA: np.ndarray
    db: np.ndarray
    forward: np.ndarray
    condition: np.ndarray


def rigal_gaches(A, b, x_hat, sizes=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return η, ΔA, Δb: the backward error of ``x_hat`` and a perturbation that attains it.

    η is infinite, and ΔA and Δb do not explain ``x_hat``, when nothing that may change can change the residual.

    Parameters
    ----------
    A : array (..., m, n)
    b : array (..., m)
    x_hat : array (..., n)
    sizes : pair of array or float, optional
        What ΔA and Δb are measured by; (‖A‖, ‖b‖) when not given. Zero for what must not change.

    Raises
    ------
    ValueError
        If shapes do not match or something is not finite.
    """
    A, b, x_hat = check_system(A, b, x_hat)
    size_A, size_b = (np.linalg.norm(A, axis=(-2, -1)), np.linalg.norm(b, axis=-1)) if sizes is None else sizes
    if not (np.all(np.asarray(size_A) >= 0) and np.all(np.asarray(size_b) >= 0)):
        raise ValueError(f"sizes: expected two numbers or arrays that are not negative, received {sizes!r}")
    residual = twice_precise_residual(A, b, x_hat)
    length = np.linalg.norm(x_hat, axis=-1)
    share = size_A * length
    total = share + size_b
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.linalg.norm(residual, axis=-1)
        backward = np.where(wanted > 0, wanted / total, 0.0)
        direction = np.where(length[..., None] > 0, x_hat / length[..., None] ** 2, 0.0)
        dA = np.where(total > 0, share / total, 0.0)[..., None, None] * residual[..., :, None] * direction[..., None, :]
        db = -np.where(total > 0, size_b / total, 0.0)[..., None] * residual
    return backward, dA, db


def system_error(A, b, x_hat, x=None) -> SolutionError:
    """Return backward error, forward error and condition number of computed solutions of ``A x = b``.

    Parameters
    ----------
    A : array (..., n, n)
        Nonsingular.
    b, x_hat : arrays (..., n)
    x : array (..., n), optional
        The exact solution when it is known better than ``numpy.linalg.solve`` computes it.

    Raises
    ------
    ValueError
        If shapes do not match or something is not finite.
    numpy.linalg.LinAlgError
        If A is singular.
    """
    A, b, x_hat = check_system(A, b, x_hat, square=True)
    if x is None:
        x = np.linalg.solve(A, b[..., None])[..., 0]
    elif np.shape(x) != b.shape:
        raise ValueError(f"x: expected shape {b.shape}, received {np.shape(x)}")
    backward, dA, db = rigal_gaches(A, b, x_hat)
    length = np.linalg.norm(x_hat, axis=-1)
    smallest = np.linalg.svd(A, compute_uv=False)[..., -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        forward = np.linalg.norm(x_hat - x, axis=-1) / length
        condition = (np.linalg.norm(A, axis=(-2, -1)) + np.linalg.norm(b, axis=-1) / length) / smallest
    return SolutionError(backward, dA, db, forward, condition)


def eliminate(A, b, pivoting=True) -> np.ndarray:
    """Solve ``A x = b`` by Gaussian elimination in double precision, with or without row exchanges.

    Parameters
    ----------
    A : array (..., n, n)
    b : array (..., n)
    pivoting : bool
        Bring the largest entry of the column to the diagonal before each step.

    Raises
    ------
    ValueError
        If shapes do not match or something is not finite.
    """
    A, b, _ = check_system(A, b, b, square=True)
    tableau = np.concatenate([A, b[..., None]], axis=-1)
    n = A.shape[-1]
    flat = tableau.reshape(-1, n, n + 1)
    each = np.arange(len(flat))
    for k in range(n - 1):
        if pivoting:
            row = k + np.abs(flat[:, k:, k]).argmax(axis=1)
            flat[each, k], flat[each, row] = flat[each, row], flat[each, k]
        flat[:, k + 1 :, k:] -= (flat[:, k + 1 :, k] / flat[:, k, k][:, None])[..., None] * flat[:, k, None, k:]
    x = np.zeros(flat.shape[:-1])
    for k in reversed(range(n)):
        x[:, k] = (flat[:, k, n] - np.sum(flat[:, k, k + 1 : n] * x[:, k + 1 :], axis=1)) / flat[:, k, k]
    return x.reshape(b.shape)


def twice_precise_residual(A, b, x_hat) -> np.ndarray:
    """Return b - A x̂ as if computed in twice the precision: for a good x̂ it is all cancellation."""
    high, low = b, np.zeros_like(b)
    for j in range(A.shape[-1]):
        product, error = _two_product(A[..., j], x_hat[..., j, None])
        total = high - product
        moved = total - high
        low = low + ((high - (total - moved)) - (product + moved)) - error
        high = total
    return high + low


def _two_product(a, b):
    """Return the rounded product and its rounding error, which is a floating-point number (Dekker and Veltkamp)."""
    product = a * b
    halves = []
    for factor in (a, b):
        scaled = 134217729.0 * factor  # 2^27 + 1 splits 53 bits into two halves
        upper = scaled - (scaled - factor)
        halves += [upper, factor - upper]
    a1, a2, b1, b2 = halves
    return product, a2 * b2 - (((product - a1 * b1) - a2 * b1) - a1 * b2)


def check_system(A, b, x_hat, square=False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return A, b and x̂ in float64, or raise ``ValueError`` for shapes that do not match and numbers not finite."""
    A, b, x_hat = (np.asarray(array, dtype=float) for array in (A, b, x_hat))
    if A.ndim < 2 or (square and A.shape[-1] != A.shape[-2]):
        raise ValueError(f"A: expected shape (..., {'n, n' if square else 'm, n'}), received {A.shape}")
    for name, vector, length in (("b", b, A.shape[-2]), ("x_hat", x_hat, A.shape[-1])):
        if vector.shape != (*A.shape[:-2], length):
            expected = (*A.shape[:-2], length)
            raise ValueError(f"{name}: expected shape {expected} for A of shape {A.shape}, received {vector.shape}")
    for name, array in (("A", A), ("b", b), ("x_hat", x_hat)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, received NaN or Inf")
    return A, b, x_hat
