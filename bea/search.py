"""The search behind converged attacks: from where to start, what to do at kinks, and how never to fail.

A search is a sequential quadratic programme in the unknowns of ``bea.reduction``. It may end in a poor local optimum
where constraints bend much, so it is repeated from elsewhere; at the kinks of ReLUs, so these are rounded off first,
less and less; or at a point where the target does not win, and then it starts from a point where it does: a change of
the last layer alone, or an image of the target class.
"""

from dataclasses import dataclass, replace

import numpy as np

from bea.layers import Activation, Dense, MaxPool, Weighted, flat
from bea.quadratic import smallest_feasible
from bea.reduction import Reduction, Tail
from bea.sequential import Solution, solve

TOLERANCE = 1e-7  # of the KKT residual
MAX_ITERATIONS = 200
SLOW = 9  # linearisations after which another start is worth its time
FARTHER = (2.0, 1.5)  # other starts, as multiples of the point found first
ROUNDINGS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of ReLUs, in units of the typical norm of a row before them
STAGE_ITERATIONS = 15
REPAIRS = 20


@dataclass(frozen=True, eq=False)
class Lead:
    """The constraints ``logit_target - logit_j - margin ≥ 0``, j running over the other classes."""

    tail: Tail
    target: np.ndarray
    margin: float

    @property
    def others(self) -> np.ndarray:
        """Classes other than the target in ascending order, (n, classes - 1)."""
        return other_classes(self.target, self.tail.classes)

    def value(self, tau):
        logits, memory = self.tail.forward(tau)
        rows = np.arange(len(logits))[:, None]
        return logits[rows, self.target[:, None]] - logits[rows, self.others] - self.margin, memory

    def jacobian(self, memory):
        return self.tail.pull_back(self._differences, memory)

    def gradient(self, memory, multipliers):
        return self.tail.pull_back(multipliers[:, None] @ self._differences, memory)[:, 0]

    def take(self, samples) -> "Lead":
        return replace(self, tail=self.tail.take(samples), target=self.target[samples])

    def allowed(self, tau) -> np.ndarray:
        """Violation (n,) that counts as rounding."""
        return allowed_shortfall(self.tail.forward(tau)[0], self.margin)

    @property
    def _differences(self) -> np.ndarray:
        """Rows e_target - e_j, (n, classes - 1, classes)."""
        identity = np.eye(self.tail.classes)
        return identity[self.target][:, None] - identity[self.others]


def other_classes(target, classes: int) -> np.ndarray:
    """Return the classes other than the target, in ascending order, (n, classes - 1)."""
    return np.arange(classes - 1) + (np.arange(classes - 1) >= target[:, None])


def allowed_shortfall(logits, margin) -> np.ndarray:
    """Return by how much a margin may be missed because of rounding, (n,)."""
    return np.minimum(1e-9 * np.abs(logits).max(axis=1), 1e-3 * margin)


def search(reduction: Reduction, target, margin, *, starts=None, examples=None, seed=0) -> Solution:
    """Return the best points found for a batch. Arguments as in ``bea.attack.attack``."""
    tail = reduction.tail
    lead = Lead(tail, target, margin)
    zero = np.zeros((len(target), sum(tail.sizes)))
    allowed = allowed_shortfall(tail.forward(zero)[0], margin)
    best = _Best(lead, allowed, _descend(lead, zero, allowed))
    first = best.solution.tau.copy()
    again = np.full(len(first), True) if starts else (best.solution.iterations >= SLOW) | ~best.won
    rng = np.random.default_rng(seed)
    for number in range(1, starts or len(FARTHER) + 1):
        samples = np.flatnonzero(again)
        if number <= len(FARTHER):
            start = FARTHER[number - 1] * first[samples]
        else:
            directions = rng.standard_normal((len(samples), zero.shape[1]))
            sizes = np.linalg.norm(first[samples], axis=1) / np.linalg.norm(directions, axis=1)
            start = sizes[:, None] * directions
        best.improve(samples, start)
    for propose in (_change_last_layer, _change_input):
        samples = np.flatnonzero(~best.won)
        if len(samples):
            proposed, feasible = propose(reduction, lead, best, samples, examples)
            best.improve(samples[feasible], proposed[feasible], feasible=True)
    return best.solution


class _Best:
    """The best point of every sample so far."""

    def __init__(self, lead, allowed, solution):
        self.lead, self.allowed, self.solution = lead, allowed, solution
        self.won = self._wins(slice(None), solution.tau)

    def improve(self, samples, start, feasible=False):
        """Search from other points; if these are feasible, keep them at least."""
        if not len(samples):
            return
        if feasible:
            count = np.zeros(len(samples), int)
            self._keep(samples, Solution(start, count, np.full(len(samples), np.inf)))
        self._keep(samples, _descend(self.lead.take(samples), start, self.allowed[samples]))

    def _keep(self, samples, found):
        won = self._wins(samples, found.tau)
        shorter = np.sum(found.tau**2, axis=1) < np.sum(self.solution.tau[samples] ** 2, axis=1)
        better = won & (shorter | ~self.won[samples])
        for old, new in ((getattr(self.solution, f.name), getattr(found, f.name)) for f in fields(Solution)):
            old[samples[better]] = new[better]
        self.won[samples[better]] = True

    def _wins(self, samples, tau):
        return self.lead.take(samples).value(tau)[0].min(axis=1) >= -self.allowed[samples]


def _descend(lead: Lead, tau, allowed) -> Solution:
    """Search from ``tau``, over rounded kinks first if there are any; then remove what is left of a violation."""
    kinked = any(isinstance(layer, MaxPool) or layer == Activation("relu") for layer in lead.tail.layers)
    iterations = np.zeros(len(tau), int)
    if kinked:
        for fraction in ROUNDINGS:
            rounded = replace(lead, tail=_round_off(lead.tail, fraction))
            stage = solve(rounded, tau, allowed=allowed, tolerance=STAGE_TOLERANCE, max_iterations=STAGE_ITERATIONS)
            tau, iterations = stage.tau, iterations + stage.iterations
    solution = solve(
        lead, tau, allowed=allowed, tolerance=TOLERANCE, max_iterations=MAX_ITERATIONS, curved=not kinked
    )
    return replace(solution, tau=_repair(lead, solution.tau, allowed), iterations=solution.iterations + iterations)


def _repair(lead: Lead, tau, allowed) -> np.ndarray:
    """Move points that miss their constraints by the smallest steps that mend them to first order."""
    tau = tau.copy()
    for _ in range(REPAIRS):
        samples = np.arange(len(tau))
        g, memory = lead.value(tau)
        missed = g.min(axis=1) < -allowed
        if not missed.any():
            break
        samples, some = np.flatnonzero(missed), lead.take(missed)
        g, memory = some.value(tau[samples])
        G = some.jacobian(memory)
        # Aim a little beyond: rounding must not decide.
        multipliers, solved, _ = smallest_feasible(G @ G.swapaxes(1, 2), 0.1 * allowed[samples, None] - g)
        if not solved.any():
            break
        tau[samples[solved]] += (multipliers[solved, None] @ G[solved])[:, 0]
    return tau


def _round_off(tail: Tail, fraction) -> Tail:
    """Return the tail with every ReLU rounded off, in units of the typical norm of a row of the matrix before it."""
    layers, size = [], 1.0
    for layer in tail.layers:
        if isinstance(layer, Weighted):
            size = np.linalg.norm(layer.matrix) / np.sqrt(len(layer.matrix))
        layers.append(Activation("smooth_relu", fraction * size) if layer == Activation("relu") and size else layer)
    return replace(tail, layers=tuple(layers))


def _change_last_layer(reduction, lead, best, samples, examples):
    """Propose the smallest change of the last layer alone: exact, as the logits are affine in it."""
    some, zero = lead.take(samples), np.zeros((len(samples), best.solution.tau.shape[1]))
    tail = lead.tail
    weighted = [scale for scale in tail.weight_scales]
    if weighted and weighted[-1] is None or not weighted and reduction.first is None:
        return zero, np.full(len(samples), False)
    end = zero.shape[1] - (tail.sizes[-1] if weighted and tail.input_scales is not None else 0)
    columns = slice(end - lead.tail.classes, end)
    g, memory = some.value(zero)
    G = some.jacobian(memory)[:, :, columns]
    multipliers, solved, _ = smallest_feasible(G @ G.swapaxes(1, 2), 0.1 * best.allowed[samples, None] - g)
    zero[:, columns] = np.nan_to_num(multipliers[:, None] @ G)[:, 0]
    return zero, solved


def _change_input(reduction, lead, best, samples, examples):
    """Propose the way to the nearest input that belongs to the target, shortened until the target just wins."""
    tail, tau = lead.tail, np.zeros((len(samples), best.solution.tau.shape[1]))
    if tail.input_scales is None:
        return tau, np.full(len(samples), False)
    size = tail.sizes[-1]
    known = [tail.x, tail.x[best.won] + ...]
