"""Linear systems: the formula of Rigal and Gaches, the way from backward to forward error, and stable methods.

Studies draw from the generator that they are given, one after the other: their order in a chapter fixes its numbers.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from bea import Dense, Network, backward_error
from bea.backward.linear_systems import eliminate, rigal_gaches, system_error

UNIT_ROUNDOFF = np.finfo(float).eps / 2
SLSQP = {"method": "SLSQP", "options": {"ftol": 1e-14}}


def random_systems(rng, systems: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return normal A (systems, size, size), b (systems, size), and answers x̂ that have nothing to do with them."""
    shape = (systems, size)
    return rng.standard_normal((*shape, size)), rng.standard_normal(shape), rng.standard_normal(shape)


def attained(rng, systems: int, size: int) -> pd.DataFrame:
    """Put the perturbations of Rigal and Gaches into random systems.

    One row a system: ``eta`` (backward error), ``residual`` (largest entry of (A + ΔA)x̂ - (b + Δb)),
    ``gap`` (by how much ‖ΔA‖/‖A‖ and ‖Δb‖/‖b‖ differ from η, relative to η, the larger of the two).
    """
    A, b, x_hat = random_systems(rng, systems, size)
    eta, dA, db = rigal_gaches(A, b, x_hat)
    left = np.einsum("sij,sj->si", A + dA, x_hat) - (b + db)
    sizes = np.stack([np.linalg.norm(dA, axis=(1, 2)) / np.linalg.norm(A, axis=(1, 2)), _length(db) / _length(b)])
    return pd.DataFrame({"eta": eta, "residual": np.abs(left).max(axis=1), "gap": np.abs(sizes / eta - 1).max(axis=0)})


def optimised(rng, systems: int = 20, size: int = 3, starts: int = 3) -> pd.DataFrame:
    """Let SLSQP look for the smallest ε of the definition, knowing nothing of the formula.

    One row a system: ``eta`` (by the formula), ``found`` (smallest ε of all random starts).
    """
    A, b, x_hat = random_systems(rng, systems, size)
    found = [min(_smallest(rng, *system) for _ in range(starts)) for system in zip(A, b, x_hat, strict=True)]
    return pd.DataFrame({"eta": rigal_gaches(A, b, x_hat)[0], "found": found})


def _smallest(rng, A, b, x_hat) -> float:
    """Return the smallest ε that one search finds; its unknowns are ε, ΔA and Δb."""
    n, norm = len(b), np.linalg.norm

    def equations(z):
        return (A + z[1 : 1 + n * n].reshape(n, n)) @ x_hat - b - z[1 + n * n :]

    def sizes(z):
        return [z[0] - norm(z[1 : 1 + n * n]) / norm(A), z[0] - norm(z[1 + n * n :]) / norm(b)]

    start = np.concatenate([[1.0], 0.1 * rng.standard_normal(n * n + n)])
    constraints = [{"type": "eq", "fun": equations}, {"type": "ineq", "fun": sizes}]
    return minimize(lambda z: z[0], start, constraints=constraints, **SLSQP).fun


def special_case(rng, layers: int, rows: int = 3, columns: int = 4) -> pd.DataFrame:
    """Explain an output by the weights of a random layer: by ``backward_error``, by Rigal and Gaches, and by SLSQP.

    One row a layer: ``difference`` of the two ΔA, relative, and ``gain`` of the optimiser (by how much its
    ‖ΔA‖ is smaller, relative).
    """
    found = []
    for _ in range(layers):
        A, x, y_hat = rng.standard_normal((rows, columns)), rng.standard_normal(columns), rng.standard_normal(rows)
        net = Network([Dense(A, bias=False)], (columns,))
        ours = backward_error(net, x[None], y_hat[None], on="weights").matrix(0, 0)
        _, classical, _ = rigal_gaches(A, y_hat, x, sizes=(np.linalg.norm(A), 0.0))
        attained = {"type": "eq", "fun": lambda z, A=A, x=x, y=y_hat: (A + z.reshape(A.shape)) @ x - y}
        search = minimize(
            lambda z: z @ z, rng.standard_normal(A.size), jac=lambda z: 2 * z, constraints=attained, **SLSQP
        )
        size = np.linalg.norm(classical)
        found.append((np.linalg.norm(ours - classical) / size, 1 - np.sqrt(search.fun) / size))
    return pd.DataFrame(found, columns=["difference", "gain"])


def with_condition(rng, exponents, size: int) -> np.ndarray:
    """Return matrices with singular values from 1 down to 10**-exponent between random orthogonal factors."""
    left, right = (np.linalg.qr(rng.standard_normal((len(exponents), size, size)))[0] for _ in range(2))
    return (left * 10.0 ** (-np.outer(exponents, np.linspace(0, 1, size)))[:, None]) @ right


def worst_case(rng, systems: int, size: int, rounding: float) -> pd.DataFrame:
    """Put x̂ off in the direction that A shrinks most, by 10⁻⁴ to 10 times ‖x‖, twice for each condition number.

    One row a trial: ``forward`` and ``kappa`` (relative to x), ``ratio`` and ``ratio_computed`` (forward
    error over condition times backward error, relative to x and to x̂), ``longer`` (whether ‖x̂‖ > ‖x‖); ``plain``,
    ``rigorous`` and ``computed`` (relative to x̂), which inequality is broken by more than ``rounding`` (relative).
    """
    A = with_condition(rng, np.tile(np.linspace(0, 3, systems), 2), size)
    x = rng.standard_normal((2 * systems, size))
    b = np.einsum("sij,sj->si", A, x)
    far = 10.0 ** rng.uniform(-4, 1, 2 * systems) * rng.choice([-1, 1], 2 * systems)
    x_hat = x + (far * _length(x))[:, None] * np.linalg.svd(A)[2][:, -1]
    error = system_error(A, b, x_hat, x)
    norm_A, smallest = np.linalg.norm(A, axis=(1, 2)), np.linalg.svd(A, compute_uv=False)[:, -1]
    forward, kappa = _length(x_hat - x) / _length(x), (norm_A + _length(b) / _length(x)) / smallest
    denominator = 1 - norm_A / smallest * error.backward
    bound, bound_computed = kappa * error.backward, error.condition * error.backward
    return pd.DataFrame({
        "forward": forward, "kappa": kappa, "ratio": forward / bound, "ratio_computed": error.forward / bound_computed,
        "longer": _length(x_hat) > _length(x), "plain": forward > bound * (1 + rounding),
        "rigorous": (denominator > 0) & (forward * denominator > bound * (1 + rounding)),
        "computed": error.forward > bound_computed * (1 + rounding),
    })  # fmt: skip


def ill_conditioned(rng, systems: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return systems with condition numbers up to about 10¹³ whose exact solution is known: A, and x of ±1.

    Entries of A are multiples of 2⁻⁴⁶, so that A x has no rounding error. The first pivot is 2⁻⁴⁰: harmless for the
    problem, poison for who divides by it.
    """
    A = np.round(with_condition(rng, np.linspace(0, 12.5, systems), size) * 2.0**46) / 2.0**46
    A[:, 0, 0] = 2.0**-40
    return A, rng.choice([-1.0, 1.0], (systems, size))


def stability(A, x) -> pd.DataFrame:
    """Solve A x = b in three ways, where b is the exact product.

    One row a system and method: ``method``, ``condition``, ``backward`` (in units of the unit round-off),
    ``forward`` (relative to the computed solution).
    """
    b = np.einsum("sij,sj->si", A, x)
    answers = {
        "partial pivoting": eliminate(A, b),
        "computed inverse": np.einsum("sij,sj->si", np.linalg.inv(A), b),
        "no pivoting": eliminate(A, b, pivoting=False),
    }
    errors = {method: system_error(A, b, x_hat, x) for method, x_hat in answers.items()}
    condition = errors["partial pivoting"].condition
    return pd.concat([
        pd.DataFrame({
            "method": method, "condition": condition, "backward": error.backward / UNIT_ROUNDOFF,
            "forward": error.forward,
        }) for method, error in errors.items()
    ], ignore_index=True)  # fmt: skip


def smaller_pivots(A, x, powers=(-10, -20, -30, -40)) -> pd.DataFrame:
    """Eliminate without pivoting for several first pivots.

    One row a pivot: ``entry``, "2^-10", and ``backward`` (median backward error, in units of the unit
    round-off).
    """
    rows = []
    for power in powers:
        changed = A.copy()
        changed[:, 0, 0] = 2.0**power
        b = np.einsum("sij,sj->si", changed, x)
        eta, _, _ = rigal_gaches(changed, b, eliminate(changed, b, pivoting=False))
        rows.append((f"2^{power}", np.median(eta) / UNIT_ROUNDOFF))
    return pd.DataFrame(rows, columns=["entry", "backward"])


def _length(vectors) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)
