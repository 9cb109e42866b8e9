"""Parts of a ball in which the inputs of some hidden units are restricted: bounds in them, and how to halve them.

Steps B1 to B4 of branching, for a batch of nodes, and the calls of B5 and B6; see ``bea.bounds.branching``, and
book/tight_bound.md for the proof.
"""

from dataclasses import dataclass, fields
from itertools import accumulate, pairwise

import numpy as np

from bea.bounds.ball_dense import descend, images_at_once
from bea.bounds.ball_quadratic import about_image, inputs_and_outputs, least_lead, quadratic_below
from bea.bounds.ball_ranges import Ball, Inputs, inputs_in_ball
from bea.bounds.curves import SMOOTH, curves, nearest_on_curves
from bea.bounds.half_spaces import ball_around, least_distance
from bea.bounds.minorants import BENT, band, chord_slope, minorant
from bea.bounds.semidefinite import nearest, programme
from bea.numerics.blocks import blocks

# The push of the parabolas of one bound after the other, with a kink, or nearly one, and without.
PUSHES = {True: (0.25, 0.4), False: (0.0, 0.0, 0.0)}
STEP = 0.5  # of the way from the point about which a bound was made to that where it vanishes: the next point
RATE = 1.0  # at which parabolas become flatter
ALONG = 1.6  # radii, how far away along the steepest direction a smooth bound is looked at
WIDTH = 0.03  # what the width of a band counts beside what a bound loses
THIN = 1e-12  # a range is no thinner, relative to what is in it or 1
LARGEST = 500  # smooth units, for B6: with more a node would take minutes, and gigabytes
MIDDLE = 0.1  # of its range: no end is nearer to where a smooth unit is halved


@dataclass(frozen=True, eq=False)
class Nodes:
    """Parts of balls, N of them; the units of all hidden layers stand side by side.

    Attributes
    ----------
    pair : array (N,) of int
        The pair of an image and a rival.
    low, high : arrays (N, units)
        In the node the inputs of all units are between them.
    split : bool array (N, 2, units)
        Whether low, and whether high, is where a node was halved.
    reach : array (N,)
        No point of the node that is nearer to the image has the rival's class; infinite for an empty node.
    home, point, worst : arrays (N, k)
        Points in the basis of the ball: δ̂ of step D6, another one about which to bound it, and where the bound says
        that the rival may be so near.
    flat : array (N, units)
        How much flatter than in step D2 every parabola is, from 0 to 1, the chord of its range.
    unit, at : arrays (N,)
        Where to halve it: the unit, and its input.
    """

    pair: np.ndarray
    low: np.ndarray
    high: np.ndarray
    split: np.ndarray
    reach: np.ndarray
    home: np.ndarray
    point: np.ndarray
    worst: np.ndarray
    flat: np.ndarray
    unit: np.ndarray
    at: np.ndarray

    @classmethod
    def joined(cls, parts):
        """Return those of several batches."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def take(self, some):
        """Return some of them."""
        return Nodes(*(getattr(self, field.name)[some] for field in fields(self)))

    def halves(self):
        """Return two nodes for each, which hold all of its points: the unit's input is ``at`` or less, or more (B1)."""
        n = len(self.pair)
        every = np.arange(n)
        both = self.take(np.tile(every, 2))
        both.high[every, self.unit] = np.minimum(self.high[every, self.unit], self.at)
        both.low[n + every, self.unit] = np.maximum(self.low[every, self.unit], self.at)
        both.split[every, 1, self.unit] = both.split[n + every, 0, self.unit] = True
        return both


def units_of(ball: Ball) -> list[slice]:
    """Return where the units of every hidden layer stand."""
    return [slice(a, b) for a, b in pairwise(accumulate((len(stage.kernel) for stage in ball.stages), initial=0))]


def ranges_in_ball(ball: Ball, v, r) -> tuple[np.ndarray, np.ndarray]:
    """Return (low, high), arrays (n, units): ranges of the inputs of all activations in the ball.

    They are those of step D1, and from the second layer on those of steps D2 to D6 for each unit and side. For units
    with a kink this is done only where the kink is within the range.
    """
    known = inputs_in_ball(ball, v, r)
    for number, stage in enumerate(ball.stages[1:], 1):
        here, before = known[number], Ball(ball.stages[:number], ball.rows)
        open_ = (here.low < 0.0) & (here.high > 0.0) | (stage.activation.name not in BENT)
        images, units = np.nonzero(open_)
        for part in blocks(len(images), images_at_once(ball)):
            i, unit = images[part], units[part]
            for sign, end in ((1.0, here.low), (-1.0, here.high)):
                d, constant = sign * stage.kernel[unit], sign * stage.bias[unit]
                point = descend(before, v[i], d, r[i], np.zeros((len(i), ball.rows.shape[1])))
                least = least_lead(before, v[i], d, constant, r[i], point)
                end[i, unit] = sign * np.fmax(sign * end[i, unit], least)
    return tuple(np.concatenate([getattr(here, side) for here in known], axis=1) for side in ("low", "high"))


def bounded(ball: Ball, nodes: Nodes, v, d, constant, r) -> Nodes:
    """Return the nodes with what is proved of them where ‖δ‖ ≤ r (N,).

    v (N, rows), d (N, inputs of the last layer) and constant (N,) are as in ``least_lead``.
    """
    if np.isnan(nodes.low).any() or np.isnan(nodes.high).any():  # it would be taken for a node that is empty
        raise FloatingPointError("a node's ranges are not numbers")
    parts = units_of(ball)
    centre, radius = ball_around(*_half_spaces(ball, nodes, v, parts[:1]), r)
    empty = np.isnan(radius)
    within = [(nodes.low[:, part], nodes.high[:, part]) for part in parts]
    known = inputs_in_ball(ball, v + centre @ ball.rows.T, np.where(empty, r, radius), within)
    low, high = (np.concatenate([getattr(here, side) for here in known], axis=1) for side in ("low", "high"))
    empty |= np.any(low > high, axis=1)
    low, high = np.where(empty[:, None], nodes.low, low), np.where(empty[:, None], nodes.high, high)
    high = np.maximum(high, low + THIN * (1.0 + np.abs(low)))  # D3 divides by widths
    reach, best = np.where(empty, np.inf, nodes.reach), np.full(len(r), -np.inf)
    half_spaces = _half_spaces(ball, nodes, v, parts, known, centre)
    bent, ends = any(stage.activation.name in BENT for stage in ball.stages), []
    point, flat, worst, touched = nodes.point.copy(), nodes.flat.copy(), nodes.worst.copy(), nodes.point.copy()
    for trial, push in enumerate(PUSHES[bent]):
        at_home = trial == 0 and not bent
        some = np.flatnonzero(reach < r)
        here = [Inputs(low[some, part], high[some, part], None, None, None) for part in parts]
        about = (nodes.home if at_home else point)[some]
        reached, outputs = inputs_and_outputs(ball, v[some] + about @ ball.rows.T)
        chords = None if at_home else [flat[some, part] for part in parts]
        quadratic = quadratic_below(ball, here, reached, outputs, d[some], push, convex=True, chords=chords)
        quadratic = about_image(constant[some], *quadratic, ball, about)
        found, z, axis = least_distance(*quadratic, *(array[some] for array in half_spaces), r[some])
        new = found > best[some]
        best[some[new]], worst[some[new]], touched[some[new]] = found[new], z[new], about[new]
        reach[some] = np.maximum(reach[some], found)
        for end in (z,) if bent else (about + ALONG * r[some, None] * sign * axis for sign in (1.0, -1.0)):
            ends.append(np.zeros_like(point))
            ends[-1][some] = end
        point[some] += STEP * np.all(point[some] == about, axis=1)[:, None] * (z - point[some])
        if not at_home:
            first = v[some] + z @ ball.rows.T
            spread = axis * np.sqrt(np.maximum(r[some] ** 2 - np.vecdot(z, z), 0.0))[:, None]
            flat[some] = _flatter(ball, flat[some], first, spread, low[some], high[some])
    unit, at, some = nodes.unit.copy(), nodes.at.copy(), np.flatnonzero(reach < r)
    here = [Inputs(low[some, part], high[some, part], None, None, None) for part in parts]
    inputs = [v[some] + z[some] @ ball.rows.T for z in (touched, *ends)]
    unit[some], at[some] = where_to_halve(ball, here, d[some], PUSHES[bent][-1], *inputs)
    point = touched if bent else point
    if by_programme := _programme_for(ball):
        for i in some:  # one after the other, as every node has matrices of its own size
            node = low[i], high[i], nodes.split[i], v[i], d[i], constant[i], r[i]
            found, w, halve = by_programme(ball, *node)
            reach[i], worst[i] = max(reach[i], found * r[i]), r[i] * w[1 : 1 + len(centre[i])]
            unit[i], at[i] = halve or (unit[i], at[i])
    return Nodes(nodes.pair, low, high, nodes.split, reach, nodes.home, point, worst, flat, unit, at)


def _programme_for(ball):
    """Return a function of a node that gives (reach, w, where to halve it or None), or None: B5 or B6."""
    names = {stage.activation.name for stage in ball.stages}
    if names <= {"relu", "linear"}:
        return _with_kinks if "relu" in names else None
    small = sum(len(stage.kernel) for stage in ball.stages) <= LARGEST
    return _with_curves if small and names <= set(SMOOTH) else None


def _with_kinks(ball, *node):
    problem = programme(ball, *node)
    found, w, gains = nearest(problem)
    return found, w, (problem.units[gains.argmax()], 0.0) if len(gains) else None


def _with_curves(ball, low, high, split, *lead):
    found, w, unit, place = nearest_on_curves(curves(ball, low, high, *lead))
    if not (np.isfinite(w).all() and np.isfinite(place)):  # the search ran away
        return found, np.append(1.0, np.zeros(len(w) - 1)), None
    if unit is None:
        return found, w, None
    return found, w, (unit, low[unit] + (high[unit] - low[unit]) * (0.5 + (0.5 - MIDDLE) * place))


def _flatter(ball, flat, first, spread, low, high):
    """Return how flat parabolas shall be next: a step of ascent (B4).

    A parabola becomes flatter by a multiple of ``(v - low)(v - high)``. The bound rises with it as the mean of that
    where the minimum is: at the first inputs, give or take a change of ``spread`` in the ball.
    """
    v = np.concatenate(inputs_and_outputs(ball, first)[0], axis=1)
    mean, rows = (v - low) * (v - high), len(ball.rows)
    mean[:, :rows] += (spread @ ball.rows.T) ** 2
    return np.clip(flat + RATE * mean / (high - low) ** 2, 0.0, 1.0)


def _half_spaces(ball, nodes, v, parts, known=None, centre=None):
    """Return (A, s, doubt) as in ``bea.bounds.half_spaces``, of all that was halved in the first layers (B2).

    From the second layer on they come from what is ``known`` in the ball about ``centre``: an affine form and a box.
    """
    units = parts[-1].stop
    split = nodes.split[:, :, :units].reshape(len(v), -1)
    depth = split.sum(axis=1).max(initial=0)
    order = (~split).argsort(axis=1, kind="stable")[:, :depth]
    node, number = np.nonzero(np.take_along_axis(split, order, axis=1))
    upper, unit = np.divmod(order[node, number], units)
    sign = np.where(upper, -1.0, 1.0)
    end = np.where(upper, nodes.high[node, unit], nodes.low[node, unit])
    A, s, doubt = np.zeros((len(v), depth, ball.rows.shape[1])), np.zeros((len(v), depth)), np.zeros((len(v), depth))
    for layer, part in enumerate(parts):
        of = (part.start <= unit) & (unit < part.stop)
        n, row, i = node[of], number[of], unit[of] - part.start
        if layer == 0:
            linear, middle, box = ball.rows[i], v[n, i], 0.0
            size = np.abs(middle)
        else:
            here = known[layer]
            linear, box = here.linear[n, i], np.vecdot(np.abs(ball.stages[layer].kernel[i]), here.box[n])
            middle = here.centre[n, i] - np.vecdot(linear, centre[n])
            size = np.abs(here.centre[n, i]) + np.vecdot(np.abs(linear), np.abs(centre[n])) + box
        A[n, row] = sign[of, None] * linear
        s[n, row] = sign[of] * (end[of] - middle) - box
        doubt[n, row] = np.abs(end[of]) + size
    return A, s, doubt


def where_to_halve(ball, known, d, push, about, *first):
    """Return a unit and an input for every node: where the bound loses most at some first inputs (B4).

    ``about`` are those about which it was made. A unit with a kink is halved there, another one where its parabola
    touches.
    """
    reached, _ = inputs_and_outputs(ball, about)
    inputs = [inputs_and_outputs(ball, point)[0] for point in first]
    weight, losses, places = d, [], []
    for number in range(len(ball.stages) - 1, -1, -1):
        stage, here, f = ball.stages[number], known[number], ball.stages[number].activation
        t, value, slope, c = minorant(f, weight, reached[number], here.low, here.high, push, number == 0)
        _, half = band(f, here.low, here.high, chord_slope(f, here.low, here.high))
        loss = WIDTH * np.abs(weight) * half
        for point in inputs:
            u = np.clip(point[number], here.low, here.high)
            loss += (weight * f.forward(u) - value - slope * (u - t) + c * (u - t) ** 2) / len(inputs)
        if f.name == "relu":
            loss = np.where((here.low < 0.0) & (here.high > 0.0), loss, 0.0)
        room = 0.0 if f.name == "relu" else MIDDLE * (here.high - here.low)
        losses.append(loss)
        places.append(np.clip(np.where(f.name in BENT, 0.0, t), here.low + room, here.high - room))
        if number > 0:
            weight = (slope - 2.0 * c * (reached[number] - t)) @ stage.kernel
    losses, places = (np.concatenate(arrays[::-1], axis=1) for arrays in (losses, places))
    unit = losses.argmax(axis=1)
    return unit, places[np.arange(len(unit)), unit]
