"""The search behind converged attacks: from where to start, what to do at kinks, and how never to fail.

A search is a sequential quadratic programme in the unknowns of ``bea.backward.reduction``. It may end in a poor local
optimum where constraints bend much, so it is repeated from elsewhere; at the kinks of ReLUs, so these are rounded off
first, less and less; or at a point where the target does not win, and then it starts from a point where it does: a
change of the last layer alone, or an image of the target class. The book's chapter *The converged attack* shows each
of these failures in the plane.
"""

from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from bea.backward.reduction import Reduction, Tail
from bea.networks.leads import lead_over_others
from bea.networks.smoothing import has_kinks, has_maxima, round_off_kinks
from bea.numerics.arrays import flat
from bea.numerics.blocks import block_size, blocks, side_by_side
from bea.numerics.quadratic import smallest_feasible
from bea.numerics.sequential import everything, solve
from bea.numerics.small_matrices import gram

TOLERANCE = 1e-7  # of the KKT residual
MAX_ITERATIONS = 200
HARD = 8  # steps; samples that need more are searched from other starts too
DEFAULT_STARTS = 3
FARTHER = 4.0  # length of the other starts, in units of that of the point found first
ROUNDINGS = (0.2, 0.02)  # of ReLUs, in units of the typical norm of a row before them
STAGE_ITERATIONS = 6
STAGE_TOLERANCE = 1e-3
REPAIRS = 20
HALVINGS = 40


@dataclass(frozen=True, eq=False)
class LeadConstraints:
    """The constraints ``y_target - y_j - margin ≥ 0``, y logits or activated outputs, j over the other classes.

    Attributes
    ----------
    tail : Tail
    margin : float
    differences : array (n, classes - 1, classes)
        Rows e_target - e_j.
    """

    tail: Tail
    margin: float
    differences: np.ndarray

    @property
    def count(self) -> int:
        """Number of constraints of a sample."""
        return self.differences.shape[1]

    def value(self, tau) -> tuple[np.ndarray, list]:
        """Return the constraints at τ, (n, classes - 1), and what the derivatives need."""
        outputs, memory = self.tail.forward(tau)
        return np.matvec(self.differences, outputs) - self.margin, memory

    def jacobian(self, memory, chosen) -> np.ndarray:
        """Return the derivatives of the ``chosen`` constraints (n, q), (n, q, unknowns)."""
        return self.tail.pull_back(self.differences[np.arange(len(chosen))[:, None], chosen], memory)

    def gradient(self, memory, multipliers) -> np.ndarray:
        """Return the derivative of ``multipliers · constraints``, (n, unknowns)."""
        return self.tail.pull_back(np.vecmat(multipliers, self.differences)[:, None], memory)[:, 0]

    def take(self, samples) -> "LeadConstraints":
        """Return the constraints of some of the samples."""
        return replace(self, tail=self.tail.take(samples), differences=self.differences[samples])


@dataclass(frozen=True, eq=False)
class Found:
    """Where searches have ended, and whether the target wins there."""

    tau: np.ndarray
    won: np.ndarray
    iterations: np.ndarray
    kkt_residual: np.ndarray

    def put(self, samples, other) -> None:
        """Overwrite some samples by the result of another search."""
        for field in fields(self):
            getattr(self, field.name)[samples] = getattr(other, field.name)

    def improve(self, samples, other) -> None:
        """Overwrite those of the samples for which another search was better."""
        shorter = np.sum(other.tau**2, axis=1) < np.sum(self.tau[samples] ** 2, axis=1)
        finished = (other.kkt_residual <= TOLERANCE) | (self.kkt_residual[samples] > TOLERANCE)
        better = other.won & (shorter & finished | ~self.won[samples])
        self.put(samples[better], other.take(better))

    def take(self, samples) -> "Found":
        """Return the result for some of the samples."""
        return Found(*(getattr(self, field.name)[samples] for field in fields(self)))


def search(reduction: Reduction, target, margin, allowed, *, starts=None, examples=None, seed=0) -> Found:
    """Return the best points found. A margin may be missed by ``allowed`` (n,); the rest is as in ``bea.attack``."""
    lead = LeadConstraints(reduction.tail, margin, lead_over_others(np.eye(reduction.tail.classes)[None], target))
    zero = np.broadcast_to(0.0, (len(target), sum(reduction.tail.sizes)))
    block = block_size(reduction.tail.layers, reduction.tail.x.shape[1:], zero.shape[1])
    start = zero
    if lead.tail.output is not None:  # from where the logits lead: farther out saturated outputs show no way
        start = _descend(replace(lead, tail=replace(lead.tail, output=None)), zero, allowed, block)[0].tau
    best, again = _descend(lead, start, allowed, block)
    if starts:
        again = np.arange(len(target))
    farther, rng = FARTHER * np.linalg.norm(best.tau, axis=1, keepdims=True), np.random.default_rng(seed)
    for _ in range(1, starts or DEFAULT_STARTS):
        direction = rng.standard_normal(zero.shape[1])  # one for all, so that no sample depends on the others
        start = farther[again] * (direction / np.linalg.norm(direction))
        known = np.where(best.kkt_residual[again, None] <= TOLERANCE, best.tau[again], np.nan)
        best.improve(again, _descend(lead.take(again), start, allowed[again], block, known)[0])
    by_input = partial(_change_input, reduction=reduction, examples=examples)
    for propose, always in ((_change_last_layer, False), (by_input, examples is not None)):
        stuck = best.kkt_residual > TOLERANCE if lead.tail.output is not None else False
        lost = np.flatnonzero(always | ~best.won | stuck)
        if len(lost):
            some = lead.take(lost)
            start, feasible = propose(some, zero[lost], allowed[lost])
            lost, some, start = lost[feasible], some.take(feasible), start[feasible]
            nothing = np.zeros(len(lost), int)
            best.improve(lost, Found(start, nothing == 0, nothing, np.full(len(lost), np.inf)))
            best.improve(lost, _descend(some, start, allowed[lost], block)[0])
    return best


def _descend(lead: LeadConstraints, start, allowed, block, known=None) -> tuple[Found, np.ndarray]:
    """Search from ``start`` (n, unknowns); return where that ends, and the samples that were hard or not won."""
    run = partial(solve, allowed=allowed, block=block)
    if has_maxima(lead.tail.layers) or has_kinks(lead.tail.layers):
        # Over rounded kinks, less and less rounded, and then over the kinks themselves.
        tau, iterations = start, np.zeros(len(start), int)
        for fraction in (*ROUNDINGS, 0.0):
            layers = round_off_kinks(lead.tail.layers, fraction, relative=True)
            stage = replace(lead, tail=replace(lead.tail, layers=layers))
            solution = run(stage, tau, tolerance=STAGE_TOLERANCE, max_iterations=STAGE_ITERATIONS, curved=False)
            tau, iterations = solution.tau, iterations + solution.iterations
        hard = np.zeros(len(start), bool)  # at a kink the conditions of optimality say nothing about a point
    else:
        solution = run(lead, start, tolerance=TOLERANCE, max_iterations=MAX_ITERATIONS, known=known)
        iterations = solution.iterations
        hard = iterations > HARD
    tau, won = solution.tau, np.zeros(len(start), bool)
    parts = blocks(len(start), block)

    def repair(part):
        return _repair(lead.take(part), tau[part], allowed[part])

    for part, result in zip(parts, side_by_side(repair, parts), strict=True):
        tau[part], won[part] = result
    return Found(tau, won, iterations, solution.kkt_residual), np.flatnonzero(hard | ~won)


def _repair(lead: LeadConstraints, tau, allowed) -> tuple[np.ndarray, np.ndarray]:
    """Move points that miss their constraints by the smallest steps that mend them to first order."""
    won = lead.value(tau)[0].min(axis=1) >= -allowed
    for _ in range(REPAIRS):
        lost = np.flatnonzero(~won)
        if not len(lost):
            break
        some = lead.take(lost)
        g, memory = some.value(tau[lost])
        G = some.jacobian(memory, everything(g))
        # Aim a little beyond: rounding must not decide.
        multipliers, solved, _ = smallest_feasible(gram(G), 0.1 * allowed[lost, None] - g)
        tau[lost] += (np.nan_to_num(multipliers)[:, None] @ G)[:, 0]
        won[lost] = some.value(tau[lost])[0].min(axis=1) >= -allowed[lost]
        if not solved.any():
            break
    return tau, won


def _change_last_layer(lead: LeadConstraints, zero, allowed) -> tuple[np.ndarray, np.ndarray]:
    """Propose the smallest change of the last layer alone; the logits are affine in it, so it is exact.

    Activated outputs are not, but tanh and sigmoid are odd about f(0): they lead by the margin where the target's logit
    is a and all others are -a, for the a below.
    """
    tau, columns = zero.copy(), lead.tail.last_layer
    if columns is None:
        return tau, np.zeros(len(tau), bool)
    if lead.tail.output is not None:
        a = {"tanh": np.arctanh(lead.margin / 2), "sigmoid": 2 * np.arctanh(lead.margin)}[lead.tail.output.name]
        signs = np.eye(lead.tail.classes) * np.sign(lead.differences.sum(axis=1))[:, :, None]
        lead = replace(lead, tail=replace(lead.tail, output=None), differences=signs, margin=a)
    g, memory = lead.value(tau)
    G = lead.jacobian(memory, everything(g))[:, :, columns]
    multipliers, solved, _ = smallest_feasible(gram(G), 0.1 * allowed[:, None] - g)
    tau[:, columns] = np.nan_to_num(multipliers[:, None] @ G)[:, 0]
    return tau, solved


def _change_input(lead: LeadConstraints, zero, allowed, reduction, examples) -> tuple[np.ndarray, np.ndarray]:
    """Propose the way to the nearest known input of the target class, up to where the target wins."""
    tail, tau, n = lead.tail, zero.copy(), len(zero)
    known = reduction.tail.x if examples is None else np.concatenate([reduction.to_tail(examples), reduction.tail.x])
    if tail.input_scales is None:
        return tau, np.zeros(n, bool)
    still = replace(tail, x=known, input_scales=np.ones(len(known)))
    logits = still.forward(np.zeros((len(known), zero.shape[1])))[0]
    nearest, length = np.zeros(n, int), np.full(n, np.inf)
    targets = lead.differences[:, 0].argmax(axis=1)
    for target in np.unique(targets):
        of_target = targets == target
        ahead = logits[:, target] - np.delete(logits, target, axis=1).max(axis=1) > lead.margin
        distances = cdist(flat(tail.x[of_target]), flat(known))
        distances[:, ~ahead] = np.inf
        nearest[of_target], length[of_target] = distances.argmin(axis=1), distances.min(axis=1)
    feasible = np.isfinite(length) & (tail.input_scales > 0)
    way = flat(known[nearest] - tail.x) / np.where(feasible, tail.input_scales, 1.0)[:, None]
    low, high = np.zeros(n), np.ones(n)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        tau[:, -way.shape[1] :] = middle[:, None] * way
        wins = lead.value(tau)[0].min(axis=1) >= 0
        low, high = np.where(wins, low, middle), np.where(wins, middle, high)
    tau[:, -way.shape[1] :] = high[:, None] * way
    return tau, feasible
