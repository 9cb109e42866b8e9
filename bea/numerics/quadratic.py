"""The quadratic programme behind an attack (paper B, eq. 6), for a whole batch at once.

Find the smallest θ with ``G θ ≥ c``. Its dual needs only the Gram matrix ``K = G Gᵀ``:
minimise ``½ λᵀ K λ - cᵀ λ`` over ``λ ≥ 0``, then ``θ = Gᵀ λ``. With ten classes K is 9 × 9.

The method is the dual active set of Goldfarb and Idnani (1983): start from θ = 0, add the most violated constraint,
give up constraints whose multiplier would turn negative. It is finite, needs no feasible start, allows a singular
K, and finds out when no θ exists.
"""

import numpy as np

from bea.numerics.small_matrices import eliminate, solve_factored

EPS = np.finfo(float).eps
TOLERANCE = 1e-9  # by how much a constraint may be violated, relative to ‖g_i‖ ‖θ‖ + |c_i|


def smallest_feasible(K, c, guess=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve ``min ½ λᵀ K λ - cᵀ λ, λ ≥ 0`` for a batch.

    Parameters
    ----------
    K : array (n, k, k)
        Gram matrices, symmetric and positive semidefinite.
    c : array (n, k)
        Right-hand sides of ``G θ ≥ c``.
    guess : bool array (n, k), optional
        Constraints that may be the active ones: where they are, one linear system is all that is solved.

    Returns
    -------
    multipliers : array (n, k)
        λ; NaN where there is no solution.
    solved : bool array (n,)
        False where no θ satisfies the constraints, or none can be told from rounding.
    iterations : int array (n,)
        Constraints added or given up.
    """
    n, k = c.shape
    multipliers = np.zeros((n, k))
    active = np.zeros((n, k), dtype=bool)
    solved = np.zeros(n, dtype=bool)
    iterations = np.zeros(n, dtype=int)
    incoming = np.full(n, -1)
    running = np.arange(n)
    if guess is not None:
        multipliers, active = _try(K, c, guess)
        running = np.flatnonzero(~active.any(axis=1))
        solved[active.any(axis=1)] = True
    diagonal = np.einsum("nii->ni", K)
    for _ in range(100 * k):
        if not len(running):
            break
        K_r, lam, act, q = K[running], multipliers[running], active[running], incoming[running]
        slack = np.einsum("nij,nj->ni", K_r, lam) - c[running]
        rounding = 8 * k * EPS * (np.einsum("nij,nj->ni", np.abs(K_r), lam) + np.abs(c[running]))
        violated = (slack < -rounding) & ~act
        size = np.sqrt(np.maximum(diagonal[running], np.finfo(float).tiny))
        most = np.where(violated, slack / size, np.inf).argmin(axis=1)
        q = np.where(q < 0, np.where(violated.any(axis=1), most, -1), q)

        done = q < 0
        solved[running[done]] = True
        running, K_r, lam, act, q, slack = (a[~done] for a in (running, K_r, lam, act, q, slack))
        if not len(running):
            break
        rows = np.arange(len(running))
        iterations[running] += 1

        # r: how the active multipliers answer to a unit of the incoming one; z: curvature that is left for it.
        column = np.where(act, K_r[rows, :, q], 0.0)
        both = act[:, :, None] & act[:, None, :]
        r = np.linalg.solve(np.where(both, K_r, np.eye(k)), column[..., None])[..., 0]
        pivot = K_r[rows, q, q]
        z = pivot - np.sum(column * r, axis=1)
        # K carries errors of u·√(K_ii K_jj); what they do to z is all that tells a dependent constraint from others.
        lengths = size[~done]
        noise = 8 * k * EPS * (lengths[rows, q] + np.sum(np.abs(r) * lengths, axis=1)) ** 2
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratios = np.where(act & (r > 0), lam / r, np.inf)
            full = np.where(z > noise, -slack[rows, q] / z, np.inf)
        outgoing = ratios.argmin(axis=1)
        partial = ratios[rows, outgoing]
        step = np.minimum(full, partial)
        impossible = np.isinf(step)
        step = np.where(impossible, 0.0, step)

        lam = np.where(act, np.maximum(lam - step[:, None] * r, 0.0), lam)
        lam[rows, q] += step
        drop = (partial < full) & ~impossible
        act[rows[drop], outgoing[drop]] = False
        lam[rows[drop], outgoing[drop]] = 0.0
        act[rows[~drop], q[~drop]] = True
        q[~drop] = -1

        multipliers[running], active[running], incoming[running] = lam, act, q
        multipliers[running[impossible]] = np.nan
        running = running[~impossible]
    multipliers[~solved] = np.nan
    # θ = Σ λ_i g_i: where its terms cancel too far, as nearly dependent rows make them do, rounding is all there is.
    products = np.einsum("nij,nj->ni", K, multipliers)
    square = np.maximum(np.sum(multipliers * products, axis=1), 0.0)
    terms = np.sum(np.sqrt(np.maximum(diagonal, 0.0)) * multipliers, axis=1)
    solved &= 8 * k * EPS * terms**2 <= 0.01 * square
    allowed = TOLERANCE * (np.sqrt(diagonal * square[:, None]) + np.abs(c))
    solved &= (products - c >= -allowed).all(axis=1)
    multipliers[~solved] = np.nan
    return multipliers, solved, iterations


def _try(K, c, guess):
    """Return the multipliers if the guessed constraints are the active ones, zeros if not; and the active ones."""
    # Of the matrices only what belongs to guessed constraints, few as a rule.
    count = max(int(guess.sum(axis=1).max(initial=0)), 1)
    order = np.argsort(~guess, axis=1, kind="stable")[:, :count]
    kept, rows = np.take_along_axis(guess, order, axis=1), np.arange(len(K))[:, None, None]
    both = kept[:, :, None] & kept[:, None, :]
    system = np.where(both, K[rows, order[:, :, None], order[:, None]], np.eye(count))
    M, pivots = eliminate(system)
    # Dependent rows are left to the method itself, which can tell.
    shares = pivots / np.maximum(np.einsum("nii->ni", system), np.finfo(float).tiny)
    regular = (shares > 0).all(axis=1) & (np.prod(shares, axis=1) > 1e-10)
    M, pivots = np.where(regular[:, None, None], M, 0.0), np.where(regular[:, None], pivots, 1.0)
    multipliers = np.zeros_like(c)
    right = np.where(kept, np.take_along_axis(c, order, axis=1), 0.0)
    np.put_along_axis(multipliers, order, solve_factored(M, pivots, right), axis=1)
    slack = np.matvec(K, multipliers) - c
    right = regular & guess.any(axis=1) & (multipliers >= 0).all(axis=1) & (guess | (slack >= 0)).all(axis=1)
    return multipliers * right[:, None], guess & right[:, None]
