"""The search behind converged attacks: from where to start, what to do at kinks, and how never to fail.

A search is a sequential quadratic programme in the unknowns of ``bea.reduction``. It may end in a poor local optimum
where constraints bend much, so it is repeated from elsewhere; at the kinks of ReLUs, so these are rounded off first,
less and less; or at a point where the target does not win, and then it starts from a point where it does: a change of
the last layer alone, or an image of the target class.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from bea.layers import Activation, MaxPool, Weighted, flat
from bea.quadratic import smallest_feasible
from bea.reduction import Reduction, Tail
from bea.sequential import Solution, everything, solve

TOLERANCE = 1e-7  # of the KKT residual
MAX_ITERATIONS = 200
SLOW = 9  # linearisations after which another start is worth its time
FARTHER = (2.0, 1.5)  # other starts, as multiples of the point found first
ROUNDINGS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of ReLUs, in units of the typical norm of a row before them
STAGE_ITERATIONS = 15
STAGE_TOLERANCE = 1e-3
REPAIRS = 20
HALVINGS = 40
TINY = np.finfo(float).tiny


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

    def value(self, tau) -> tuple[np.ndarray, list]:
        """Return the constraints at τ, (n, classes - 1), and what the derivatives need."""
        logits, memory = self.tail.forward(tau)
        rows = np.arange(len(logits))[:, None]
        return logits[rows, self.target[:, None]] - logits[rows, self.others] - self.margin, memory

    def jacobian(self, memory, chosen) -> np.ndarray:
        """Return the derivatives of the ``chosen`` constraints (n, q), (n, q, unknowns)."""
        return self.tail.pull_back(np.take_along_axis(self._differences, chosen[:, :, None], axis=1), memory)

    def gradient(self, memory, multipliers) -> np.ndarray:
        """Return the derivative of ``multipliers · constraints``, (n, unknowns)."""
        return self.tail.pull_back(multipliers[:, None] @ self._differences, memory)[:, 0]

    def take(self, samples) -> "Lead":
        """Return the constraints of some of the samples."""
        return replace(self, tail=self.tail.take(samples), target=self.target[samples])

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
    if not best.won.all():
        samples = np.flatnonzero(~best.won)
        start, feasible = _change_last_layer(lead, best, samples)
        best.improve(samples[feasible], start[feasible], feasible=True)
    if not best.won.all():
        samples = np.flatnonzero(~best.won)
        start, feasible = _change_input(lead, best, samples, None if examples is None else reduction.to_tail(examples))
        best.improve(samples[feasible], start[feasible], feasible=True)
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
    solution = solve(lead, tau, allowed=allowed, tolerance=TOLERANCE, max_iterations=MAX_ITERATIONS, curved=not kinked)
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
        G = some.jacobian(memory, everything(g))
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


def _change_last_layer(lead: Lead, best, samples) -> tuple[np.ndarray, np.ndarray]:
    """Propose the smallest change of the last layer alone; the logits are affine in it, so it is exact."""
    tau = np.zeros((len(samples), best.solution.tau.shape[1]))
    columns = lead.tail.last_layer
    if columns is None:
        return tau, np.zeros(len(samples), bool)
    some = lead.take(samples)
    g, memory = some.value(tau)
    G = some.jacobian(memory, everything(g))[:, :, columns]
    multipliers, solved, _ = smallest_feasible(G @ G.swapaxes(1, 2), 0.1 * best.allowed[samples, None] - g)
    tau[:, columns] = np.nan_to_num(multipliers[:, None] @ G)[:, 0]
    return tau, solved


def _change_input(lead: Lead, best, samples, examples) -> tuple[np.ndarray, np.ndarray]:
    """Propose the way to the nearest known input of the target class, up to where the target wins."""
    tail, tau = lead.tail, np.zeros((len(samples), best.solution.tau.shape[1]))
    if tail.input_scales is None:
        return tau, np.zeros(len(samples), bool)
    known = tail.x if examples is None else np.concatenate([examples, tail.x])
    logits = replace(tail, x=known, input_scales=np.ones(len(known))).forward(np.zeros((len(known), tau.shape[1])))[0]
    ahead = logits[:, lead.target[samples]].T - np.where(
        np.eye(tail.classes, dtype=bool)[lead.target[samples]][:, None], -np.inf, logits
    ).max(axis=2)
    ways = known[None] - tail.x[samples][:, None]
    lengths = np.where(ahead > lead.margin, np.sqrt(np.sum(flat(ways, keep=2) ** 2, axis=2)), np.inf)
    nearest = lengths.argmin(axis=1)
    feasible = np.isfinite(lengths.min(axis=1)) & (tail.input_scales[samples] > 0)
    way = flat(ways[np.arange(len(samples)), nearest]) / np.maximum(tail.input_scales[samples], TINY)[:, None]
    some, low, high = lead.take(samples), np.zeros(len(samples)), np.ones(len(samples))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        tau[:, -way.shape[1] :] = middle[:, None] * way
        wins = some.value(tau)[0].min(axis=1) >= 0
        low, high = np.where(wins, low, middle), np.where(wins, middle, high)
    tau[:, -way.shape[1] :] = high[:, None] * way
    return tau, feasible
