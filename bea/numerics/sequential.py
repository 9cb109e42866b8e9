"""Smallest vectors under smooth constraints, for a batch at once: minimise ½‖τ‖² subject to g(τ) ≥ 0.

Sequential quadratic programming (Nocedal and Wright, Numerical Optimization, ch. 18). The numbers are those of the
book's chapter *The converged attack*, which derives the steps and shows when they fail.

(S1) At the current point the constraints are linearised and the programme is solved exactly
(``bea.numerics.quadratic``), which gives multipliers λ and a step ``d = Gᵀλ - τ``. For one constraint, repeating just
that is the HLRF iteration of structural reliability; it converges slowly where the constraints bend.
(S2) The KKT residual says how far the point is from optimality.
(S3) d is improved: with the active constraints held, the Lagrangian ``½‖τ‖² - λ·g(τ)`` is minimised to second order by
conjugate gradients, whose products with the Hessian are differences of gradients.
(S4) A line search on the merit ``½‖τ‖² + ρ·(largest violation)``, ρ above the sum of the multipliers, makes every step
count. ρ may fall from one step to the next, so there is no proof that the search converges from everywhere.
(S5) Before a full step is refused it is corrected for the bending of the constraints.
"""

from dataclasses import dataclass, fields

import numpy as np

from bea.numerics.blocks import blocks, side_by_side
from bea.numerics.progress import counting
from bea.numerics.quadratic import smallest_feasible
from bea.numerics.small_matrices import eliminate, gram

TINY = np.finfo(float).tiny
DIFFERENCE = 1e-6  # step of the differences, relative to the size of τ
PRODUCTS = 6  # with the Hessian, at most, in one step
REDUCTION = 0.01  # of the residual, at which conjugate gradients stop
SUFFICIENT = 1e-4  # share of the predicted decrease that a step must bring
HALVINGS = 10
SHIFT = 1e-12
HEAVIEST = 20.0  # penalty, in units of what it must be: one that has grown far away would allow tiny steps only
STRAIGHT = 4  # steps before curvature is looked at: far from the solution it does not pay
PATIENCE, NEAR, SETTLED = 3, 0.2, 0.2  # steps, distance and residual from which other searches may be given up
SPARE = 1  # constraints looked at besides the active ones


@dataclass(frozen=True, eq=False)
class Solution:
    """What came of a batch of n problems.

    Attributes
    ----------
    tau : array (n, unknowns)
    iterations : int array (n,)
        Steps made.
    kkt_residual : array (n,)
        Largest violation of the first-order conditions of optimality at τ, see ``solve``; infinite where the
        linearised constraints contradict each other.
    """

    tau: np.ndarray
    iterations: np.ndarray
    kkt_residual: np.ndarray


def solve(constraints, tau, allowed, *, tolerance, max_iterations, block, curved=True, known=None) -> Solution:
    """Find points that satisfy the first-order conditions of ``min ½‖τ‖²`` subject to ``g(τ) ≥ 0``.

    (S2) The KKT residual of a point is the largest of: ‖τ - Gᵀλ‖ / ‖Gᵀλ‖ (stationarity), the largest violation relative
    to the largest right-hand side of the linearised programme (feasibility), and the largest λ_j g_j / ‖Gᵀλ‖²
    (complementarity), with λ the multipliers of the programme linearised at that point.

    Parameters
    ----------
    constraints : object
        ``value(tau)`` returns g (n, k) and a memory; ``jacobian(memory, chosen)`` returns the rows
        ``chosen`` (n, q) of G, (n, q, unknowns); ``gradient(memory, multipliers)`` returns Gᵀλ (n, unknowns);
        ``take(samples)`` the same for some samples; ``count`` is k.
    tau : array (n, unknowns)
        Where to start.
    allowed : array (n,)
        Violation that counts as rounding.
    tolerance : float
        KKT residual at which a sample is done, if its violation is allowed too.
    max_iterations : int
    block : int
        Samples worked on at a time.
    curved : bool
        Whether to use the curvature of the constraints; of no use where g is piecewise linear.
    known : array (n, unknowns), optional
        Solutions found from elsewhere, NaN where there is none: a search that comes near them, or that is about to
        end farther from zero, is given up.
    """
    n = len(tau)
    state = _State(
        tau=tau.copy(),
        multipliers=np.zeros((n, constraints.count)),
        iterations=np.zeros(n, int),
        kkt_residual=np.full(n, np.inf),
        penalty=np.zeros(n),
        going=np.full(n, True),
    )
    going = np.arange(n)
    with counting(n) as tell:
        for iteration in range(max_iterations + 1):
            if not len(going):
                break
            # In blocks with about the same number of active constraints, which need the same work.
            going = going[np.argsort((state.multipliers[going] > 0).sum(axis=1), kind="stable")]
            parts = [going[part] for part in blocks(len(going), block)]
            bent = curved and iteration >= STRAIGHT
            options = {"tolerance": tolerance, "last": iteration == max_iterations, "curved": bent}

            def step(part, options=options):
                return _step(constraints.take(part), state.take(part), allowed[part], **options)

            for part, result in zip(parts, side_by_side(step, parts), strict=True):
                state.put(part, result)
            going = np.sort(going[state.going[going]])
            if known is not None and iteration >= PATIENCE:
                going = going[~_hopeless(state.take(going), known[going])]
            tell(n - len(going))
    return Solution(state.tau, state.iterations, state.kkt_residual)


def _hopeless(state, known) -> np.ndarray:
    """Return which samples will end at the known points, or at worse ones, as far as one can tell."""
    size = np.linalg.norm(known, axis=1)
    near = np.linalg.norm(state.tau - known, axis=1) < NEAR * size
    return near | ((state.kkt_residual < SETTLED) & (np.linalg.norm(state.tau, axis=1) > (1 + SETTLED) * size))


@dataclass(frozen=True, eq=False)
class _State:
    """Where the samples of a batch are, and which of them still go on."""

    tau: np.ndarray
    multipliers: np.ndarray
    iterations: np.ndarray
    kkt_residual: np.ndarray
    penalty: np.ndarray
    going: np.ndarray

    def take(self, samples) -> "_State":
        return _State(*(getattr(self, field.name)[samples] for field in fields(self)))

    def put(self, samples, other) -> None:
        for field in fields(self):
            getattr(self, field.name)[samples] = getattr(other, field.name)


# Saturated units make numbers overflow; such samples are reported by their residual.
@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _step(constraints, state: _State, allowed, *, tolerance, last, curved) -> _State:
    """Linearise at the present points, judge them, and move those that are not done."""
    tau = state.tau
    g, memory = constraints.value(tau)
    active = state.multipliers > 0
    chosen, looked_at = _working_set(g, active)
    G = constraints.jacobian(memory, chosen)
    if not looked_at.all():
        G *= looked_at[:, :, None]
    near = np.take_along_axis(g, chosen, axis=1)
    K, c = gram(G), np.where(looked_at, _times(G, tau) - near, -TINY)
    some, solved = _programme(K, c, np.take_along_axis(active, chosen, axis=1))
    projected = _combine(G, some)
    residual = np.where(solved, _kkt_residual(tau, g, near, c, some, projected), np.inf)
    residual[np.isnan(residual)] = np.inf
    multipliers = np.zeros_like(g)
    np.put_along_axis(multipliers, chosen, some, axis=1)
    going = ((residual > tolerance) | (_violation(g) > allowed)) & np.isfinite(projected).all(axis=1) & (not last)
    enough = 1.5 * multipliers.sum(axis=1)
    # Where nothing is active the last penalty stays: with none, a step could go back to where the search came from.
    penalty = np.where(enough > 0, np.clip(state.penalty, enough, HEAVIEST * enough), state.penalty)
    result = _State(tau, multipliers, state.iterations, residual, penalty, going)
    if not going.any():
        return result

    move = np.flatnonzero(going)
    here, tau, g, projected = constraints.take(move), tau[move], g[move], projected[move]
    rows = _Active(G[move], K[move], some[move] > 0, chosen[move])
    steps = [projected - tau]
    if curved:
        steps.insert(0, _curved_step(here, tau, multipliers[move], projected, steps[0], rows))
    new, moved = _line_search(here, tau, g, steps, penalty[move], rows)
    # Where no step was any good, a constraint that was not looked at may be why: the next time look at all of them.
    partial = (looked_at.sum(axis=1) < constraints.count)[move]
    result.tau[move], result.going[move] = new, moved | partial
    multipliers[move[~moved & partial]] = 0.0
    result.iterations[move] += 1
    return result


def _working_set(g, active) -> tuple[np.ndarray, np.ndarray]:
    """Choose the constraints that (S1) looks at: the active ones, and the nearest of the others.

    Returns their numbers (n, q), and which of these to look at, so that no sample depends on the others of its block.
    """
    each = active.sum(axis=1)
    each = np.where(each > 0, each + SPARE, g.shape[1])
    count = min(int(each.max()), g.shape[1])
    chosen = np.argsort(np.where(active, -np.inf, g), axis=1, kind="stable")[:, :count]
    return chosen, np.arange(count) < each[:, None]


def everything(g) -> np.ndarray:
    """Return the numbers of all constraints for every sample, (n, k)."""
    return np.broadcast_to(np.arange(g.shape[1]), g.shape)


def _programme(K, c, guess):
    """(S1) Solve the linearised programme; where it contradicts itself, a relaxed one for a direction to go."""
    multipliers, solved, _ = smallest_feasible(K, c, guess)
    if not solved.all():
        bad = ~solved
        trace = np.einsum("nii->n", K[bad])[:, None, None]
        relaxed, _, _ = smallest_feasible(K[bad] + 1e-6 * trace * np.eye(K.shape[1]), c[bad])
        multipliers[bad] = np.nan_to_num(relaxed)
    return multipliers, solved


def _kkt_residual(tau, g, near, c, multipliers, projected):
    size = np.maximum(np.linalg.norm(projected, axis=1), TINY)
    stationarity = np.linalg.norm(projected - tau, axis=1) / size
    feasibility = _violation(g) / np.maximum(np.abs(c).max(axis=1), TINY)
    complementarity = np.abs(multipliers * near).max(axis=1) / np.maximum(size**2, TINY)
    return np.maximum(np.maximum(stationarity, feasibility), complementarity)


class _Active:
    """The rows of G whose constraints are active: projections on and along them."""

    def __init__(self, G, K, active, chosen):
        count = max(int(active.sum(axis=1).max()), 1)
        order = np.argsort(~active, axis=1, kind="stable")[:, :count]
        kept = np.take_along_axis(active, order, axis=1)
        samples = np.arange(len(K))[:, None]
        K = K[samples[:, :, None], order[:, :, None], order[:, None]] * (kept[:, :, None] & kept[:, None])
        # Nearly dependent rows: the shift costs digits of the projection, which the line search forgives.
        sizes = np.sqrt(np.maximum(np.where(kept, np.einsum("nii->ni", K), 1.0), TINY))
        unit = np.where(kept, SHIFT, 1.0)[:, None] * np.eye(count) + K / (sizes[:, :, None] * sizes[:, None, :])
        M, pivots = eliminate(unit)
        lengths = np.sqrt(np.maximum(pivots, SHIFT))
        self.rows = G[samples, order]
        self.inverse = M * (kept / lengths)[:, :, None] * (kept / sizes)[:, None, :]  # times the rows: orthonormal
        self.numbers = np.take_along_axis(chosen, order, axis=1)

    def tangential(self, v):
        """Return the part of v along which the active constraints do not change."""
        along = _times(self.inverse, _times(self.rows, v))
        return v - _combine(self.rows, _combine(self.inverse, along))

    def restoring(self, g, samples):
        """Return the smallest step that cancels g on the active constraints of some samples, to first order."""
        wanted = np.take_along_axis(-g, self.numbers[samples], axis=1)
        inverse = self.inverse[samples]
        return _combine(self.rows[samples], _combine(inverse, _times(inverse, wanted)))


def _curved_step(constraints, tau, multipliers, projected, d, active):
    """(S3) Return d improved by the curvature W = Σ_j λ_j ∇²g_j: (I - P W) z = P W d within the active constraints."""
    size = np.maximum(np.linalg.norm(tau, axis=1), 1e-3 * np.linalg.norm(projected, axis=1))

    def curvature(v):
        h = (DIFFERENCE * size / np.maximum(np.linalg.norm(v, axis=1), TINY))[:, None]
        _, memory = constraints.value(tau + h * v)
        return (constraints.gradient(memory, multipliers) - projected) / h

    z = np.zeros_like(d)
    r = active.tangential(curvature(d))
    p, square = r, _dot(r, r)
    enough = REDUCTION**2 * square
    going = square > 0
    for _ in range(PRODUCTS):
        Hp = active.tangential(p - curvature(p))
        bend = _dot(p, Hp)
        going &= bend > 1e-3 * _dot(p, p)
        if not going.any():
            break
        length = np.where(going, square / np.where(going, bend, 1.0), 0.0)[:, None]
        z, r = z + length * p, r - length * Hp
        last, square = square, _dot(r, r)
        going &= square > enough
        p = r + (square / np.maximum(last, TINY))[:, None] * p
    return d + z


def _line_search(constraints, tau, g, steps, penalty, active):
    """(S4) Try the steps in turn, each shortened twice, the last one often; return new points and who has moved."""
    merit = 0.5 * _dot(tau, tau) + penalty * _violation(g)
    new, moved = tau.copy(), np.zeros(len(tau), bool)
    for number, step in enumerate(steps):
        slope = _dot(tau, step) - penalty * _violation(g)
        for halving in range(HALVINGS if number == len(steps) - 1 else 3):
            waiting = np.flatnonzero(~moved & (slope < 0))
            if not len(waiting):
                break
            some = constraints if len(waiting) == len(tau) else constraints.take(waiting)
            length = 0.5**halving
            trial = tau[waiting] + length * step[waiting]
            reached, _ = some.value(trial)
            value = 0.5 * _dot(trial, trial) + penalty[waiting] * _violation(reached)
            enough = merit[waiting] + SUFFICIENT * length * slope[waiting] + 1e-13 * merit[waiting]
            bad = np.flatnonzero(value > enough)
            if halving == 0 and len(bad):
                # (S5) Without a correction, long steps along bent constraints are refused (Maratos).
                trial[bad] += active.restoring(reached[bad], waiting[bad])
                again, _ = some.take(bad).value(trial[bad])
                value[bad] = 0.5 * _dot(trial[bad], trial[bad]) + penalty[waiting[bad]] * _violation(again)
            good = value <= enough
            new[waiting[good]], moved[waiting[good]] = trial[good], True
    return new, moved


def _violation(g):
    return np.maximum(-g, 0.0).max(axis=1)


def _dot(a, b):
    return np.einsum("ni,ni->n", a, b)


def _times(G, v):
    """Return G v, one product a sample."""
    return np.matvec(G, v)


def _combine(G, weights):
    """Return Gᵀ weights, one product a sample."""
    return np.vecmat(weights, G)
