"""Smallest vectors that solve smooth equations, for a batch at once: minimise ½‖τ‖² subject to F(τ) = 0.

Sequential quadratic programming with equality constraints (Nocedal and Wright, Numerical Optimization, ch. 18).

(E1) At the current point F is linearised with its Jacobian G. The smallest solution of ``F + G (τ⁺ - τ) = 0`` is
``Gᵀ λ`` with ``G Gᵀ λ = G τ - F``, and ``d = Gᵀ λ - τ`` is the step.
(E2) The residual of a point is the larger one of ‖d‖ / ‖Gᵀ λ‖ and of the share of F(0) that is left: both are zero
just where the first-order conditions ``τ = Gᵀ λ`` and ``F(τ) = 0`` hold.
(E3) Where steps have stopped to be quick, d is improved: along the directions in which F stays, the Lagrangian
``½‖τ‖² - λ·F(τ)`` is minimised to second order by conjugate gradients, as in ``bea.numerics.sequential``.
(E4) A line search on the merit ``½‖τ‖² + ρ ‖F(τ)‖``, ρ above ‖λ‖, makes every step count. A full step that bends off
the constraints is corrected first by the smallest vector that mends F there to first order.
(E5) At the end such vectors alone are added where F is not met yet: better attained than nearly optimal.
"""

from dataclasses import dataclass

import numpy as np

from bea.numerics.blocks import blocks, side_by_side
from bea.numerics.small_matrices import gram

TINY = np.finfo(float).tiny
SUFFICIENT = 1e-4  # share of the predicted decrease that a step must bring
HALVINGS = 20
RANK = 1e-14  # eigenvalues of G Gᵀ below so much of the largest one count as zero
STRAIGHT = 3  # steps before curvature is looked at
PRODUCTS = 8  # with the Hessian, at most, in one step
REDUCTION = 0.01  # of the residual, at which conjugate gradients stop
DIFFERENCE = 1e-6  # step of the differences, relative to the size of τ
NEAR = 1e4  # residuals, in units of the tolerance, from which on one that stays is rounding
ROUNDING = 1e-12  # of the merit, relative: near the end no decrease can be told from it
REPAIRS = 10
PATIENCE = 8  # steps without a smaller residual, after which a search is given up: at a kink it may turn in circles


@dataclass(frozen=True, eq=False)
class EqualitySolution:
    """What came of a batch of n problems.

    Attributes
    ----------
    tau : array (n, unknowns)
    iterations : int array (n,)
        Steps made.
    residual : array (n,)
        That of (E2) at τ.
    missing : array (n,)
        ‖F(τ)‖/‖F(0)‖.
    """

    tau: np.ndarray
    iterations: np.ndarray
    residual: np.ndarray
    missing: np.ndarray


def solve_equations(equations, n: int, unknowns: int, *, tolerance, max_iterations, block) -> EqualitySolution:
    """Find points that satisfy the first-order conditions of ``min ½‖τ‖²`` subject to ``F(τ) = 0``, from τ = 0 on.

    Parameters
    ----------
    equations : object
        ``value(tau)`` returns F (n, k) and a memory; ``jacobian(memory)`` returns G (n, k, unknowns);
        ``gradient(tau, multipliers)`` returns Gᵀλ at τ; ``take(samples)`` the same for some of the samples.
    n, unknowns : int
        Number of problems, and of unknowns of each.
    tolerance : float
        Residual at which a sample is done.
    max_iterations : int
    block : int
        Samples worked on at a time; threads take blocks side by side.
    """

    def one(part) -> EqualitySolution:
        return _solve_block(equations.take(part), part.stop - part.start, unknowns, tolerance, max_iterations)

    found = list(side_by_side(one, blocks(n, block)))
    return EqualitySolution(*(np.concatenate([getattr(each, name) for each in found]) for name in vars(found[0])))


# Far out numbers may overflow; such samples are reported by their residual.
@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _solve_block(equations, n, unknowns, tolerance, max_iterations) -> EqualitySolution:
    tau, iterations = np.zeros((n, unknowns)), np.zeros(n, int)
    residual, missing, penalty = np.full(n, np.inf), np.full(n, np.inf), np.zeros(n)
    best, since = residual.copy(), np.zeros(n, int)
    size, going = np.maximum(_norm(equations.value(tau)[0]), TINY), np.arange(n)
    for iteration in range(max_iterations + 1):
        here, point = equations.take(going), tau[going]
        F, memory = here.value(point)
        G = here.jacobian(memory)
        inverse = _pseudo_inverse(gram(G))
        multipliers = np.matvec(inverse, np.matvec(G, point) - F)
        aimed = np.vecmat(multipliers, G)
        step, left = aimed - point, _norm(F)
        missing[going] = left / size[going]
        found = np.maximum(_norm(step) / np.maximum(_norm(aimed), TINY), missing[going])
        before, nothing = residual[going], left + _norm(point) <= TINY
        residual[going] = np.where(np.isnan(found), np.inf, np.where(nothing, 0.0, found))
        # What no longer gets better near the end has met rounding.
        there = (residual[going] <= tolerance) | ((residual[going] > 0.5 * before) & (before <= NEAR * tolerance))
        since[going] = np.where(residual[going] < best[going], 0, since[going] + 1)
        best[going] = np.minimum(best[going], residual[going])
        there |= since[going] >= PATIENCE
        if iteration == max_iterations or there.all():
            break
        weight = 1.5 * _norm(multipliers)
        penalty[going] = np.where(np.isfinite(weight), np.clip(penalty[going], weight, 20.0 * weight), 0.0)
        slope = np.vecdot(point, step) - penalty[going] * left
        steps = [step]
        if iteration >= STRAIGHT:
            steps.insert(0, _curved_step(here, point, multipliers, aimed, step, G, inverse))
        new, moved = _line_search(here, point, left, steps, slope, penalty[going], (G, inverse), ~there)
        tau[going], iterations[going] = new, iterations[going] + moved
        going = going[moved]
        if not len(going):
            break
    lost = np.flatnonzero(missing > tolerance)
    for _ in range(REPAIRS if len(lost) else 0):
        here = equations.take(lost)
        F, memory = here.value(tau[lost])
        G = here.jacobian(memory)
        tau[lost] -= np.vecmat(np.matvec(_pseudo_inverse(gram(G)), F), G)
    if len(lost):
        missing[lost] = _norm(equations.take(lost).value(tau[lost])[0]) / size[lost]
        missing[np.isnan(missing)] = np.inf
        residual[lost] = np.maximum(residual[lost], missing[lost])
    return EqualitySolution(tau, iterations, residual, missing)


def _curved_step(equations, tau, multipliers, aimed, d, G, inverse):
    """(E3) Return d improved by the curvature W = Σ_j λ_j ∇²F_j: ``(I - P W) z = P W d`` with ``G z = 0``."""
    size = np.maximum(_norm(tau), 1e-3 * _norm(aimed))

    def along(v):
        return v - np.vecmat(np.matvec(inverse, np.matvec(G, v)), G)

    def curvature(v):
        h = (DIFFERENCE * size / np.maximum(_norm(v), TINY))[:, None]
        return (equations.gradient(tau + h * v, multipliers) - aimed) / h

    z, r = np.zeros_like(d), along(curvature(d))
    p, square = r, np.vecdot(r, r)
    enough, going = REDUCTION**2 * square, square > 0
    for _ in range(PRODUCTS):
        Hp = along(p - curvature(p))
        bend = np.vecdot(p, Hp)
        going &= bend > 1e-3 * np.vecdot(p, p)
        if not going.any():
            break
        length = np.where(going, square / np.where(going, bend, 1.0), 0.0)[:, None]
        z, r = z + length * p, r - length * Hp
        last, square = square, np.vecdot(r, r)
        going &= square > enough
        p = r + (square / np.maximum(last, TINY))[:, None] * p
    return d + z


def _line_search(equations, tau, left, steps, slope, penalty, back, waiting):
    """(E4) Try the steps in turn, each shortened thrice, the last one often; return new points and who has moved."""
    G, inverse = back
    merit, new, moved = 0.5 * np.vecdot(tau, tau) + penalty * left, tau.copy(), np.zeros(len(tau), bool)
    for number, step in enumerate(steps):
        for halving in range(HALVINGS if number == len(steps) - 1 else 3):
            rest = np.flatnonzero(waiting & ~moved)
            if not len(rest):
                break
            length, some = 0.5**halving, equations.take(rest)
            trial = tau[rest] + length * step[rest]
            F = some.value(trial)[0]
            value = 0.5 * np.vecdot(trial, trial) + penalty[rest] * _norm(F)
            if halving == 0:
                mended = trial - np.vecmat(np.matvec(inverse[rest], F), G[rest])
                again = 0.5 * np.vecdot(mended, mended) + penalty[rest] * _norm(some.value(mended)[0])
                better = again < value
                trial[better], value[better] = mended[better], again[better]
            enough = SUFFICIENT * length * np.minimum(slope[rest], 0.0) + ROUNDING * merit[rest]
            good = value <= merit[rest] + enough
            new[rest[good]], moved[rest[good]] = trial[good], True
    return new, moved


def _pseudo_inverse(K) -> np.ndarray:
    """Return the pseudo-inverses of symmetric matrices (n, k, k), zero for such that are not finite."""
    finite = np.isfinite(K).all(axis=(1, 2))
    eigenvalues, vectors = np.linalg.eigh(np.where(finite[:, None, None], K, 0.0))
    kept = eigenvalues > RANK * np.maximum(eigenvalues[:, -1:], TINY)
    return (vectors * np.where(kept, 1.0 / np.where(kept, eigenvalues, 1.0), 0.0)[:, None]) @ vectors.swapaxes(1, 2)


def _norm(vectors) -> np.ndarray:
    return np.linalg.norm(vectors, axis=1)
