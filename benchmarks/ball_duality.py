"""Steps D3 and D5 of ``bea.bounds.ball_dense`` in balls: a quadratic behind a layer, and the least of one in a ball."""

import numpy as np
from flint import arb, arb_mat
from scipy.optimize import minimize_scalar

from benchmarks.balls import difference, dot, floats, framed, inverse_form, root_above, times


def least_in_ball(
    products: arb_mat, lead: arb, g: list[arb], quadratic: list[arb] | arb_mat, moved: list[arb], radius: float
) -> arb:
    """Return a lower bound of ``lead + gᵀv' - v'ᵀQv'``, ``v' = A_1 δ - moved``, where ‖δ‖ ≤ radius (D5).

    With ``CᵀC ≥ Q``, ``G = A_1 A_1ᵀ`` and ``H = A_1ᵀCᵀC A_1``, what is left is ``k + (A_1ᵀp)ᵀδ - δᵀHδ``. For every μ
    above ``C G Cᵀ`` its minimum is no less than ``k - μ r² - (pᵀGp + qᵀ(μ - C G Cᵀ)⁻¹q)/(4 μ)``, ``q = C G p``.

    Parameters
    ----------
    products : arb_mat
        G.
    quadratic : list of arb or arb_mat
        Q, its diagonal if it has nothing else.
    moved : list of arb
        A_1 δ̂.
    """
    r = arb(radius)
    if isinstance(quadratic, list):
        roots = [c.sqrt() for c in quadratic]
        turned = [c * y for c, y in zip(quadratic, moved, strict=True)]
        inner = framed(roots, products)
    else:
        C = root_above(quadratic)
        turned = times(C.transpose(), times(C, moved))
        inner = C * products * C.transpose()
    lead -= dot(g, moved) + dot(moved, turned)
    p = [a + 2 * b for a, b in zip(g, turned, strict=True)]
    Gp = times(products, p)
    square = dot(p, Gp)
    q = [a * b for a, b in zip(roots, Gp, strict=True)] if isinstance(quadratic, list) else times(C, Gp)
    mu = arb(_best_multiplier(float(square), floats(inner), floats(q), radius))
    return (lead - mu * r * r - (square + inverse_form(difference([mu] * len(q), inner), q)) / (4 * mu)).lower()


def through(N: arb_mat, sectors: list[tuple[arb, arb]], width: np.ndarray) -> arb_mat:
    """Return Q with ``h'ᵀN h' ≤ v'ᵀQv'`` where every h' is v' times a number of its sector (D3).

    ``Q = S (N + N (T - N)⁻¹ N) S + T half²`` for a diagonal T that exceeds N: ``Σ_j |N_ij| size_j < T_i size_i``.
    """
    middle, half = [a for a, _ in sectors], [b for _, b in sectors]
    size = (floats(half) + 1e-9) * np.maximum(width, 1e-9)
    T = 2.0 * (np.abs(floats(N)) @ size) / size
    T = [arb(number) for number in (T + 1e-280).tolist()]
    sizes = [arb(number) for number in size.tolist()]
    for row, number, own in zip(N.tolist(), T, sizes, strict=True):
        if not dot([abs(entry) for entry in row], sizes) < number * own:
            raise ArithmeticError("T does not exceed N")
    Q = framed(middle, N + N * difference(T, N).solve(N))
    for i, (number, spread) in enumerate(zip(T, half, strict=True)):
        Q[i, i] += number * spread * spread
    return Q


def _best_multiplier(square, inner, q, radius) -> float:
    """Return about the μ that makes ``μ r² + (square + qᵀ(μ - inner)⁻¹q)/(4 μ)`` least, in float64."""
    eigenvalues, vectors = np.linalg.eigh((inner + inner.T) / 2)
    w, largest = (q @ vectors) ** 2, max(eigenvalues[-1], 0.0)
    scale = np.sqrt(max(square, 0.0)) / (2.0 * radius) + largest + 1e-280

    def value(log):
        mu = largest + np.exp(log)
        return mu * radius**2 + (square + np.sum(w / (mu - eigenvalues))) / (4.0 * mu)

    low = np.log(largest * 1e-7 + scale * 1e-9)
    found = minimize_scalar(value, bounds=(low, np.log(4.0 * scale)), method="bounded", options={"xatol": 1e-7})
    return float(largest + np.exp(found.x))
