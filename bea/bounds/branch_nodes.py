"""A lower bound of the distance to a rival in part of a ball, where some units' inputs are restricted to ranges.

Step B1 to B3 of branching for a batch of nodes; see ``bea.bounds.branching``, and book/tight_bound.md for the proof.
"""

from dataclasses import dataclass, fields

import numpy as np

from bea.bounds.ball_quadratic import about_image, inputs_and_outputs, quadratic_below
from bea.bounds.ball_ranges import Ball, inputs_in_ball
from bea.bounds.half_spaces import ball_around, least_distance
from bea.bounds.minorants import BENT, band, chord_slope, minorant


@dataclass(frozen=True, eq=False)
class Nodes:
    """Parts of balls, of N pairs of an image and a rival.

    Units of all hidden layers stand side by side, ``units`` of them.

    Attributes
    ----------
    pair : array (N,) of int
    low, high : arrays (N, units)
        The inputs of all activations are between them in the node.
    split : bool array (N, 2, units)
        Whether low, and whether high, is where a parent was split.
    reach : array (N,)
        No point of the node that is as near to the image as this has the rival's class; infinite for an empty node.
    point : array (N, k)
        Where the rival may be as near as that, in the basis of the ball.
    unit : array (N,) of int
        Where to split it.
    at : array (N,)
        At which input of that unit.
    """

    pair: np.ndarray
    low: np.ndarray
    high: np.ndarray
    split: np.ndarray
    reach: np.ndarray
    point: np.ndarray
    unit: np.ndarray
    at: np.ndarray

    def take(self, some):
        """Return some of them."""
        return Nodes(*(getattr(self, field.name)[some] for field in fields(self)))

    def joined(self, other):
        """Return both."""
        return Nodes(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def children(self):
        """Return two of each, which hold all of its points: the unit's input is no more than ``at``, or no less."""
        both, rows = self.take(np.tile(np.arange(len(self.pair)), 2)), np.arange(2 * len(self.pair))
        n = len(self.pair)
        both.high[rows[:n], self.unit] = self.at
        both.split[rows[:n], 1, self.unit] = True
        both.low[rows[n:], self.unit] = self.at
        both.split[rows[n:], 0, self.unit] = True
        return both


def bounded(ball: Ball, nodes: Nodes, v, d, constant, r, tries) -> Nodes:
    """Return the nodes with their bounds within ‖δ‖ ≤ r (N,); v, d and constant as in ``least_lead``, one a node."""
    ends = np.cumsum([0] + [len(stage.kernel) for stage in ball.stages])
    parts = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
    # B2
    first = constraints(nodes, ball, v, None, None, parts[:1])
    centre, radius = ball_around(*first, r)
    empty = np.isnan(radius)
    within = [(nodes.low[:, part], nodes.high[:, part]) for part in parts]
    known = inputs_in_ball(ball, v + centre @ ball.rows.T, np.where(empty, r, radius), within)
    empty |= np.any([np.any(here.low > here.high, axis=1) for here in known], axis=0)
    low, high = (np.concatenate([getattr(here, side) for here in known], axis=1) for side in ("low", "high"))
    reach, point = np.where(empty, np.inf, nodes.reach), nodes.point.copy()
    unit, at = nodes.unit.copy(), nodes.at.copy()
    half_spaces = constraints(nodes, ball, v, known, centre, parts)
    gaps = np.full(len(r), -np.inf)
    start = nodes.point.copy()
    best = np.full(len(r), -np.inf)
    for push, part in tries:
        some = np.flatnonzero((reach < r))
        if not len(some):
            break
        here = [type(k)(k.low[some], k.high[some], None, None, None) for k in known]
        about = part * start[some]
        reached, outputs = inputs_and_outputs(ball, v[some] + about @ ball.rows.T)
        below = quadratic_below(ball, here, reached, outputs, d[some], push)
        quadratic = about_image(constant[some], *below, ball, about)
        found, z = least_distance(*quadratic, *(a[some] for a in half_spaces), r[some])
        start[some] = z
        new = found > best[some]
        best[some[new]] = found[new]
        reach[some] = np.fmax(reach[some], found)
        point[some[new]] = z[new]
        u, a = where_to_split(ball, here, reached, d[some], push, v[some] + z @ ball.rows.T)
        unit[some[new]], at[some[new]] = u[new], a[new]
    return Nodes(nodes.pair, low, high, nodes.split, reach, point, unit, at)


def constraints(nodes, ball, v, known, centre, parts):
    """Return (A, s, doubt) as in ``half_spaces``, of the splits in the first layers."""
    units = parts[-1].stop
    split = nodes.split[:, :, :units].reshape(len(v), -1)
    depth = split.sum(axis=1).max(initial=0)
    order = (~split).argsort(axis=1, kind="stable")[:, :depth]
    node, number = np.nonzero(np.take_along_axis(split, order, 1))
    which = order[node, number]
    upper, unit = which // units, which % units
    sign = np.where(upper, -1.0, 1.0)
    bound = np.where(upper, nodes.high[node, unit], nodes.low[node, unit])
    A, s, doubt = np.zeros((len(v), depth, ball.rows.shape[1])), np.zeros((len(v), depth)), np.zeros((len(v), depth))
    for stage, part in enumerate(parts):
        chosen = (part.start <= unit) & (unit < part.stop)
        n, j, k = node[chosen], number[chosen], unit[chosen] - part.start
        if stage == 0:
            row, middle, slack, size = ball.rows[k], v[n, k], 0.0, np.abs(v[n, k])
        else:
            row = known[stage].linear[n, k]
            off = np.vecdot(row, centre[n])
            middle = known[stage].centre[n, k]
            slack = np.vecdot(np.abs(ball.stages[stage].kernel[k]), known[stage].box[n])
            size = np.abs(middle) + np.vecdot(np.abs(row), np.abs(centre[n])) + slack
            middle = middle - off
        A[n, j] = sign[chosen, None] * row
        s[n, j] = sign[chosen] * (bound[chosen] - middle) - slack
        doubt[n, j] = np.abs(bound[chosen]) + size
    return A, s, doubt


def where_to_split(ball, known, reached, d, push, first):
    """Return the unit and the input at which to split: where the bound loses most at the first inputs ``first``."""
    inputs = inputs_and_outputs(ball, first)[0]
    weight, scores, places = d, [], []
    for number in range(len(ball.stages) - 1, -1, -1):
        stage, here = ball.stages[number], known[number]
        t, value, slope, c = minorant(stage.activation, weight, reached[number], here.low, here.high, push)
        u = np.clip(inputs[number], here.low, here.high)
        loss = weight * stage.activation.forward(u) - value - slope * (u - t) + c * (u - t) ** 2
        half = band(stage.activation, here.low, here.high, chord_slope(stage.activation, here.low, here.high))[1]
        loss = SCORE[0] * loss + SCORE[1] * np.abs(weight) * half
        if stage.activation.name in BENT:
            place = np.zeros_like(u)
            loss = np.where((here.low < 0) & (here.high > 0), loss, 0.0)
        else:
            margin = 0.1 * (here.high - here.low)
            place = np.clip(SCORE[2] * u + (1 - SCORE[2]) * t, here.low + margin, here.high - margin)
        scores.append(loss)
        places.append(place)
        if number > 0:
            weight = (slope - 2.0 * c * (reached[number] - t)) @ stage.kernel
    scores, places = np.concatenate(scores[::-1], axis=1), np.concatenate(places[::-1], axis=1)
    unit = scores.argmax(axis=1)
    return unit, places[np.arange(len(unit)), unit]


SCORE = [1.0, 0.1, 0.5]
