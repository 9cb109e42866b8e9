"""How near a rival can be in a part of a ball, by a semidefinite programme that takes all smooth units at once.

Step B6 of branching, for networks whose activations are smooth; see ``bea.bounds.branching``, and book/tight_bound.md
for the proof. The variables w are a one, the change of the image, and the outputs o of all hidden layers but the last.
The inputs u of all units are affine functions of w; u and o are scaled to [-1, 1] on their ranges. With any quadratic
functions κ and q such that, on these ranges,

    ``κ(u, f(u)) ≤ 0``  for a unit of an earlier layer,  ``q(u) ≤ ν d f(u)``  for one of the last,

and any ν > 0, the quadratic function ``‖δ‖² + Σ q(u) + ν constant + Σ κ(u, o)`` of w is nowhere above ``‖δ‖² + ν g``.
If it is never below D, no rival leads where ``‖δ‖² < D``.

Which κ and q are best is a semidefinite programme, if what they must fulfil is asked for at the points of a grid only.
An interior-point method solves it (``bea.bounds.interior_point``). It is no part of the proof: for that all κ and q
are lowered until they are right between the points of the grid, too.
"""

from dataclasses import dataclass

import numpy as np

from bea.bounds.ball_ranges import Ball
from bea.bounds.interior_point import multipliers
from bea.bounds.minorants import ROUNDING, slope_at
from bea.bounds.semidefinite import NARROW, first_inputs, next_inputs, surely_nearest
from bea.networks.activations import SECOND
from bea.networks.layers import Activation

GRID = np.linspace(-1.0, 1.0, 81)  # where κ and q are asked to be right
FINE = np.linspace(-1.0, 1.0, 769)  # where it is measured how far they must be lowered
TARGET = 0.1  # of the gap between the two programmes, at first, in units of the lead
LOW, ROUND = 0.1, 0.1  # how far below what they must fulfil the first q and κ are, and the first multiple of o² in κ
FLAT = 1e-4  # outputs are taken to move no less, relative: what rounding adds to o is then below ``ROUNDING``
SMOOTH = ("tanh", "sigmoid", "smooth_relu")


@dataclass(frozen=True, eq=False)
class Layer:
    """The units of a layer, K of them, and the numbers that make up their κ or q.

    Attributes
    ----------
    index : array (K, m) of int
        Which coefficients are theirs: of 1, u and u², and of o, u o and o² if it is not the last layer.
    middle, half, out, reach : arrays (K,)
        Their inputs are ``middle + half u`` and their outputs ``out + reach o``.
    d : array (K,)
        What the outputs of the last layer are multiplied by in the lead; none in the other layers.
    activation : Activation
    """

    index: np.ndarray
    middle: np.ndarray
    half: np.ndarray
    out: np.ndarray
    reach: np.ndarray
    d: np.ndarray | None
    activation: Activation

    def at(self, u):
        """Return (terms, bound) at inputs u (K, J) or (J,): (K, J, m), and what their sum over ν may be, (K, J)."""
        u = np.broadcast_to(u, (len(self.middle), u.shape[-1]))
        value = self.activation.forward(self.middle[:, None] + self.half[:, None] * u)
        if self.d is not None:
            return np.stack([np.ones_like(u), u, u * u], axis=2), self.d[:, None] * value
        o = (value - self.out[:, None]) / self.reach[:, None]
        return np.stack([np.ones_like(u), u, u * u, o, u * o, o * o], axis=2), np.zeros_like(u)

    def between(self, y, ν, apart):
        """Return by how much κ or q may exceed its bound between points that are so far apart, (K,).

        A function whose second derivative is at least -B is no more than ``B apart²/8`` above its chord.
        """
        steep, bend = _largest_slopes(self.activation, self.middle - self.half, self.middle + self.half)
        steep, bend = steep * self.half, bend * self.half**2
        if self.d is not None:
            return apart**2 / 8.0 * np.maximum(ν * np.abs(self.d) * bend - 2.0 * y[:, 2], 0.0)
        first, second = steep / self.reach, bend / self.reach
        bound = 2.0 * np.maximum(-y[:, 2], 0.0) + np.abs(y[:, 3]) * second
        bound += np.abs(y[:, 4]) * (2.0 * first + second)
        bound += 2.0 * np.maximum(-y[:, 5], 0.0) * first**2 + 2.0 * np.abs(y[:, 5]) * second
        return apart**2 / 8.0 * bound


@dataclass(frozen=True, eq=False)
class Curves:
    """One node: quadratic functions of the variables w (n,), of which the first is one.

    Attributes
    ----------
    rows : array (m, n)
        Affine functions of w: one, the inputs of all units, and the outputs of those that are not in the last layer.
    first, second : arrays (c,) of int
        The rows whose product every coefficient multiplies.
    layers : list of Layer
    fixed : array (n, n)
        Matrix of ‖δ‖²/r².
    lead : array (n, n)
        That of the constant of the lead.
    grids : list of tuples (terms, bound)
        Of every layer at the points of the grid.
    sizes : array (c,)
        Of the numbers that are added up in every product.
    narrow : bool array (units,)
        Whose range is taken to be wider than it is: to halve it changes nothing here.
    """

    rows: np.ndarray
    first: np.ndarray
    second: np.ndarray
    layers: list[Layer]
    fixed: np.ndarray
    lead: np.ndarray
    grids: list[tuple[np.ndarray, np.ndarray]]
    sizes: np.ndarray
    narrow: np.ndarray

    def matrix(self, y):
        """Return the symmetric matrix of all coefficients y (c + 2,), then the lead and w_0²."""
        c = len(self.first)
        half = self.rows[self.first].T @ (y[:c, None] * self.rows[self.second])
        total = (half + half.T) / 2 + y[c] * self.lead
        total[0, 0] += y[c + 1]
        return total

    def slacks(self, y):
        """Return by how much κ and q are below what they must be at the points of the grid, and ν."""
        ν, found = y[len(self.first)], []
        for layer, (terms, bound) in zip(self.layers, self.grids, strict=True):
            found.append((ν * bound - (terms @ y[layer.index][:, :, None])[:, :, 0]).ravel())
        return np.concatenate([*found, [ν]])

    def back(self, x):
        """Return the transpose of that."""
        c, start = len(self.first), 0
        found = np.zeros(c + 2)
        found[c] = x[-1]
        for layer, (terms, bound) in zip(self.layers, self.grids, strict=True):
            own = x[start : start + bound.size].reshape(bound.shape)
            found[layer.index] = -(own[:, None] @ terms)[:, 0]
            found[c] += np.vdot(own, bound)
            start += bound.size
        return found

    def weigh(self, M, q):
        """Add the matrix of the quadratic form with weights q of the slacks."""
        c, start = len(self.first), 0
        M[c, c] += q[-1]
        for layer, (terms, bound) in zip(self.layers, self.grids, strict=True):
            own, index = q[start : start + bound.size].reshape(bound.shape), layer.index
            M[index[:, :, None], index[:, None]] += terms.swapaxes(1, 2) @ (own[:, :, None] * terms)
            cross = ((own * bound)[:, None] @ terms)[:, 0]
            M[index, c] -= cross
            M[c, index] -= cross
            M[c, c] += np.vdot(own, bound**2)
            start += bound.size

    def products(self, Q):
        """Return ``aᵀQa``, ``aᵀQb``, ``bᵀQb`` for all pairs of products ``aᵀw wᵀb``, each (c, c)."""
        K = self.rows @ Q @ self.rows.T
        left, right = K[self.first], K[self.second]
        return left[:, self.first], left[:, self.second], right[:, self.second]

    def traces(self, Q):
        """Return the inner products of a symmetric matrix with what all of y multiply."""
        left = self.rows @ Q
        values = np.vecdot(left[self.first], self.rows[self.second])
        return np.concatenate([values, [np.vdot(self.lead, Q), Q[0, 0]]])


def curves(ball: Ball, low, high, v, d, constant, r) -> Curves:
    """Return the programme of one node: ranges of all units (units,), v (rows,), d (outputs,)."""
    k, widths = ball.rows.shape[1], [len(stage.kernel) for stage in ball.stages]
    n, units, start, out, size = 1 + k + sum(widths[:-1]), sum(widths), 0, None, None
    inputs, outputs, sizes, narrow, layers, products, number = [], [], [], [], [], [], 0
    scale = np.abs(d).sum() + np.abs(constant) + 1e-300
    for stage in ball.stages:
        part, last = slice(start, start + len(stage.kernel)), stage is ball.stages[-1]
        form, size = first_inputs(ball, v, r, n) if out is None else next_inputs(stage, out, size)
        middle = (low[part] + high[part]) / 2
        half = (high[part] - low[part]) / 2 * (1.0 + 1e-9)
        narrow.append(half < NARROW * size)
        half = np.maximum(half, NARROW * size)
        form[:, 0] -= middle
        inputs.append(form / half[:, None])
        sizes.append((size + np.abs(middle)) / half)
        ends = stage.activation.forward(np.array([middle - half, middle + half]))
        centre = ends.mean(axis=0)
        reach = np.maximum((ends[1] - ends[0]) / 2, FLAT * np.maximum(1.0, np.abs(centre)))
        of_inputs, one = 1 + np.arange(part.start, part.stop), np.zeros(len(middle), dtype=int)
        pairs = [(one, one), (one, of_inputs), (of_inputs, of_inputs)]
        if not last:
            of_outputs = units + of_inputs
            pairs += [(one, of_outputs), (of_inputs, of_outputs), (of_outputs, of_outputs)]
            own = np.zeros((len(middle), n))
            own[np.arange(len(middle)), k + of_inputs] = 1.0
            outputs.append(own)
            out, size = own * reach[:, None], np.abs(centre) + reach
            out[:, 0] = centre
        index = number + np.arange(len(pairs) * len(middle)).reshape(len(pairs), -1).T
        number, start = number + index.size, part.stop
        products.append(np.concatenate([np.array(pair) for pair in pairs], axis=1))
        layers.append(Layer(index, middle, half, centre, reach, d / scale if last else None, stage.activation))
    one = np.zeros((1, n))
    one[0, 0] = 1.0
    in_ball, lead = np.zeros(n), np.zeros((n, n))
    in_ball[1 : 1 + k], lead[0, 0] = 1.0, constant / scale
    first, second = np.concatenate(products, axis=1)
    sizes = np.concatenate([[1.0], *sizes, np.ones(sum(widths[:-1]))])
    grids = [layer.at(GRID) for layer in layers]
    rows = np.concatenate([one, *inputs, *outputs])
    sizes, narrow = sizes[first] * sizes[second], np.concatenate(narrow)
    return Curves(rows, first, second, layers, np.diag(in_ball), lead, grids, sizes, narrow)


def nearest_on_curves(problem: Curves, enough=1.0):
    """Return (reach, w, unit, place) of a node: no rival leads where ‖δ‖ is below ``reach`` times r, at most 1.

    w (n,) are the variables where the quadratic function is least, ``unit`` is the one at which the bound loses most
    there, of those that are not narrow, or None if all are, and ``place`` from -1 to 1 its input. The search ends when
    the reach is ``enough``.
    """
    reached = []

    def proved(y):
        reached.append(proved_on_curves(problem, y))
        return reached[-1]

    y, w = multipliers(problem, first_coefficients(problem), enough, TARGET, proved)
    proved(y)
    places = np.clip((problem.rows @ w)[1:], -1.0, 1.0)
    losses, start = [], 0
    for layer in problem.layers:
        terms, bound = layer.at(places[start : start + len(layer.middle), None])
        losses.append(y[-1] * bound[:, 0] - np.vecdot(terms[:, 0], y[layer.index]))
        start += len(layer.middle)
    losses = np.where(problem.narrow, -np.inf, np.concatenate(losses))
    unit = None if problem.narrow.all() else int(losses.argmax())
    return max(reached), w, unit, 0.0 if unit is None else places[unit]


def first_coefficients(problem: Curves):
    """Return coefficients, ν and zero (c + 2,) that fulfil all conditions: constants, and a multiple of o²."""
    y = np.zeros(len(problem.first) + 2)
    y[-2] = 1.0
    for layer, (_, bound) in zip(problem.layers, problem.grids, strict=True):
        y[layer.index[:, 0]] = bound.min(axis=1) - LOW
        if layer.d is None:
            y[layer.index[:, 0]] -= ROUND
            y[layer.index[:, 5]] = ROUND
    return y


def proved_on_curves(problem: Curves, y) -> float:
    """Return the reach that the coefficients prove, y (c + 1,), once κ and q are lowered; zero where ν is negative."""
    if not y[-1] >= 0.0:
        return 0.0
    y = lowered(problem, y)
    S = problem.fixed + problem.matrix(np.append(y, 0.0))
    return surely_nearest(S, np.abs(y[-1] * problem.lead[0, 0]) + np.abs(y[:-1]) @ problem.sizes + 1.0)


def lowered(problem: Curves, y):
    """Return coefficients whose κ and q are nowhere above what they must be, by smaller constants."""
    ν, y = y[-1], y.copy()
    for layer in problem.layers:
        own = y[layer.index]
        terms, bound = layer.at(FINE)
        above = (terms @ own[:, :, None])[:, :, 0] - ν * bound
        size = np.abs(own).sum(axis=1) + ν * np.abs(bound).max(axis=1)
        y[layer.index[:, 0]] -= above.max(axis=1) + layer.between(own, ν, FINE[1] - FINE[0]) + ROUNDING * size
    return y


def _largest_slopes(f, low, high):
    """Return the largest f' on a range, and a number that no |f''| exceeds there."""
    nearest = np.clip(0.0, low, high)
    steep = slope_at(f, nearest)
    if f.name == "smooth_relu":
        return slope_at(f, high), SECOND[f.name](nearest, None, f.parameter)
    # tanh'' = -2 tanh tanh', and sigmoid'' = sigmoid' (1 - 2 sigmoid): largest where tanh² = 1/3.
    most, times = {"tanh": (0.7699, 2.0), "sigmoid": (0.09623, 1.0)}[f.name]
    return steep, np.minimum(most, times * steep)
