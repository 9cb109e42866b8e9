"""How near a rival can be in a part of a ball, by a semidefinite programme that takes all kinks at once.

Step B5 of branching, for networks whose activations are ReLUs; see ``bea.bounds.branching``, and book/tight_bound.md
for the proof. A ReLU parts its input v into ``p = max(v, 0)`` and ``q = max(-v, 0)``. On the range from -l to u

    ``p q = 0 ,  p² - u p ≤ 0 ,  q² - l q ≤ 0 .``

All p, q and the lead g are affine functions of the variables: the change of the image and the p of those units whose
kink is in their range. With any multipliers λ of the equalities, any κ ≥ 0 of the inequalities and any ν > 0

    ``‖δ‖² + ν g + Σ λ p q + Σ κ (p² - u p) + Σ κ' (q² - l q)``

is a quadratic function of the variables. If it is never below D, no rival leads where ``‖δ‖² < D``. An
interior-point method looks for good multipliers (``bea.bounds.interior_point``). It is no part of the proof. The proof
is the least value of one quadratic function, found by one Cholesky factorisation; rounding is allowed for as in
``bea.bounds.ball_dense``.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from bea.bounds.ball_ranges import Ball
from bea.bounds.interior_point import multipliers
from bea.bounds.minorants import ROUNDING

START = (0.2, 0.1, 1.0)  # the multipliers of equalities, of inequalities (half of that: squares), and of the lead
WIDEST = 900  # variables of a node
DEFINITE = 1e-10  # left out of the diagonal, relative: more than n² ε, what the factorisation rounds, for n < WIDEST
NARROW = 1e-3  # a range is taken to be no narrower, relative to the numbers that its unit adds up


@dataclass(frozen=True, eq=False)
class Programme:
    """One node as quadratic constraints of the variables w, of which the first is one and no other one exceeds one.

    Attributes
    ----------
    rows : array (m, n)
        Affine functions of w, from zero to one in the node: p/u and q/l of single units.
    first, second : arrays (c,) of int
        The rows whose product a constraint is.
    less : array (c,)
        What is subtracted from the second row, 0 or 1: the product is zero, or it is not positive.
    fixed : array (n, n)
        Matrix of ‖δ‖²/r².
    lead : array (n, n)
        That of the lead, which is affine, in units of the sum of its coefficients.
    size : float, array (c,)
        Of the numbers that are added up in the lead, and in each constraint.
    units : array of int
        The units with a kink; the first constraints are theirs, in this order.
    """

    rows: np.ndarray
    first: np.ndarray
    second: np.ndarray
    less: np.ndarray
    fixed: np.ndarray
    lead: np.ndarray
    size: tuple[float, np.ndarray]
    units: np.ndarray

    def matrix(self, y):
        """Return the symmetric matrix of all constraints with multipliers y (c + 2,), then the lead's and w_0²'s."""
        c = len(self.first)
        left = self.rows[self.first]
        right = self.rows[self.second]
        half = left.T @ (y[:c, None] * right)
        half[0] -= (y[:c] * self.less) @ left
        total = (half + half.T) / 2 + y[c] * self.lead
        total[0, 0] += y[c + 1]
        return total

    def products(self, Q):
        """Return ``aᵀQa``, ``aᵀQb``, ``bᵀQb`` for all pairs of constraints ``aᵀw wᵀb``, each (c, c)."""
        K, e = self.rows @ Q @ self.rows.T, self.rows @ Q[0]
        i, j, less = self.first, self.second, self.less
        cross = less[:, None] * e[j]
        return (
            K[np.ix_(i, i)],
            K[np.ix_(i, j)] - e[i][:, None] * less,
            K[np.ix_(j, j)] - cross - cross.T + Q[0, 0] * less[:, None] * less,
        )

    @property
    def positive(self):
        """Which multipliers must be: those of inequalities, and of the lead."""
        return np.append(np.flatnonzero(self.less > 0.0), len(self.first))

    def slacks(self, y):
        """Return the multipliers that must be positive."""
        return y[self.positive]

    def back(self, x):
        """Return these numbers at the place of those multipliers, and zeros."""
        found = np.zeros(len(self.first) + 2)
        found[self.positive] = x
        return found

    def weigh(self, M, q):
        """Add numbers to the diagonal of M, at the place of those multipliers."""
        M[self.positive, self.positive] += q

    def traces(self, Q):
        """Return the products of all constraints, the lead and ``w_0²`` with a symmetric matrix."""
        left = self.rows @ Q
        values = np.vecdot(left[self.first], self.rows[self.second]) - self.less * left[self.first, 0]
        return np.concatenate([values, [np.vdot(self.lead, Q), Q[0, 0]]])


def first_inputs(ball: Ball, v, r, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first layer's inputs (rows, n), affine in w, and the sums (rows,) of their terms' sizes."""
    form = np.zeros((len(v), n))
    form[:, 0], form[:, 1 : 1 + ball.rows.shape[1]] = v, r * ball.rows
    return form, np.abs(form).sum(axis=1)


def next_inputs(stage, outputs, size) -> tuple[np.ndarray, np.ndarray]:
    """Return the same of a later layer, from the outputs (K, n) of the layer before and the sizes of these (K,)."""
    form = stage.kernel @ outputs
    form[:, 0] += stage.bias
    return form, np.abs(stage.kernel) @ size + np.abs(stage.bias)


def programme(ball: Ball, low, high, split, v, d, constant, r) -> Programme:
    """Return the programme of one node: ranges of all units (units,), split (2, units), v (rows,), d (outputs,)."""
    k, start = ball.rows.shape[1], 0
    bent = np.concatenate([np.full(len(stage.kernel), stage.activation.name == "relu") for stage in ball.stages])
    kinked = bent & (low < 0.0) & (high > 0.0)
    halved = bent & ~kinked & split.any(axis=0)
    variables = 1 + k + np.arange(np.count_nonzero(kinked))
    n, positive, negative, out, size = 1 + k + len(variables), [], [], None, None
    for stage in ball.stages:
        part = slice(start, start + len(stage.kernel))
        form, size = first_inputs(ball, v, r, n) if out is None else next_inputs(stage, out, size)
        start, out = part.stop, form
        if stage.activation.name != "relu":
            continue
        above, below = np.maximum(high[part], NARROW * size), np.maximum(-low[part], NARROW * size)
        some, on = kinked[part], low[part] >= 0.0
        out = form * on[:, None]
        out[some, variables[np.cumsum(kinked)[part][some] - 1]] = above[some]
        after = np.where(some, above, np.where(on, size, 0.0))
        p, q = (out / above[:, None], after / above), ((out - form) / below[:, None], (size + after) / below)
        for rows, (form, sizes), other in ((positive, p, on), (negative, q, ~on)):
            rows += [[array[chosen] for array in (form, sizes)] for chosen in (some, halved[part] & other)]
        size = after
    # The p of units with a kink come first, then all others, and so do the q.
    parts = [*positive[::2], *positive[1::2], *negative[::2], *negative[1::2]]
    rows, sizes = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    kinks, everyone, many = np.flatnonzero(kinked), np.arange(len(rows)), sum(len(part[0]) for part in positive)
    first = np.concatenate([everyone[: len(kinks)], everyone])
    second = np.concatenate([many + everyone[: len(kinks)], everyone])
    less = np.concatenate([np.zeros(len(kinks)), np.ones(len(rows))])
    in_ball, lead, form = np.zeros(n), np.zeros((n, n)), d @ out
    in_ball[1 : 1 + k] = 1.0
    form[0] += constant
    scale = np.abs(form).sum() + 1e-300
    lead[0] = form / scale
    lead = (lead + lead.T) / 2
    size = ((np.abs(d) @ size + np.abs(constant)) / scale, sizes[first] * (sizes[second] + less))
    return Programme(rows, first, second, less, np.diag(in_ball), lead, size, kinks)


def nearest(problem: Programme, enough=1.0):
    """Return (reach, w, gains) of a node: no rival leads where ‖δ‖ is below ``reach`` times r, at most 1.

    w (n,) are the variables where the quadratic function is least, and gains (kinks,) tell by how much each kink
    keeps its bound low. The search ends when the reach is ``enough``.
    """
    start = np.where(problem.less > 0.0, START[1], START[0])
    y, w = multipliers(problem, np.concatenate([start, [START[2], 0.0]]), enough, target=1.0)
    m = len(problem.units)
    p, q = problem.rows[problem.first[:m]] @ w, problem.rows[problem.second[:m]] @ w
    return proved(problem, y), w, np.abs(y[:m] * p * q)


def proved(problem: Programme, y) -> float:
    """Return the reach that the multipliers y (c + 1,) prove: zero unless they are positive but for the equalities."""
    c = len(problem.first)
    if not (y[problem.positive] >= 0.0).all():
        return 0.0
    S = problem.fixed + problem.matrix(np.append(y, 0.0))
    total, each = problem.size
    return surely_nearest(S, y[c] * total + np.abs(y[:c]) @ each + 1.0)


def surely_nearest(S, size) -> float:
    """Return √D, at most 1, where ``wᵀSw`` is nowhere below D for w whose first variable is one.

    For every w the quadratic function is at least its value there less ``¼ gᵀP⁻¹g``, with the gradient g and the
    matrix P of its second-order part. P exceeds ``DEFINITE`` times its diagonal if twice that can be taken away.
    ``size`` is that of all numbers that were added up in S. Where P is not so, nothing is proved: zero.
    """
    P, half = S[1:, 1:], S[0, 1:]
    if len(P) >= WIDEST:
        return 0.0
    diagonal = np.diag(P)
    factor, failed = lapack.dpotrf(P - np.diag(2.0 * DEFINITE * diagonal), lower=1)
    if failed:
        return 0.0
    w = np.append(1.0, lapack.dpotrs(factor, -half, lower=1)[0])
    gradient, sizes = S @ w, np.abs(S) @ np.abs(w)  # half the gradient, up to 1e-13 of the sizes
    rest = np.sum((np.abs(gradient[1:]) + 1e-13 * sizes[1:]) ** 2 / diagonal) / DEFINITE
    lost = rest + ROUNDING * (np.abs(w) @ sizes + size)
    square = w @ gradient - lost
    return 1.0 if square >= 1.0 else float(np.sqrt(max(0.0, square))) * (1.0 - 1e-12)
