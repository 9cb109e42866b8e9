"""Lower bounds of the smallest change of an image that changes its class, from bounds that hold in a ball around it.

The problem: for the own class c of an image and a rival j, the lead ``g(δ) = logit_c(x + δ) - logit_j(x + δ)`` of a
network of dense layers; find the largest r for which a lower bound of ``min {g(δ) : ‖δ‖ ≤ r}`` is positive. The bound
is that of a quadratic function below g, and is made for each r in four steps.

1. Forwards: in the ball every hidden output is ``h = α + M δ + ε`` with |ε| ≤ ρ, as an activation lies between two
   parallel lines on the range of its input. So each input v of an activation has a range, and is affine up to a box.
2. A point δ̂ of the sphere at which g is small; it decides how tight the bound is, not whether it holds.
3. Backwards: ``d f(v)`` is replaced by ``d f(t) + s (v - t) - c (v - t)²`` below it on the range of v, where t is at or
   near v(δ̂). With primes for differences from δ̂, the linear part goes on to ``v' = W h'`` and h of the layer before.
   In the quadratic part h' is v' of that layer times numbers between the slopes of chords of f from v(δ̂), a sector
   around S: ``h' = S v' + ε`` with |ε| ≤ κ |v'|. So it becomes a quadratic in v', that vanishes at δ̂.
4. What is left is ``k + lᵀδ - δᵀHδ``, in the span of the rows of A_1. For every μ above the largest eigenvalue of H,
   its minimum over the ball is at least ``k - μ r² - ¼ lᵀ(μ - H)⁻¹ l`` (weak duality), and the best μ is searched for.

Rounding. What is computed is off by a small multiple of the rounding unit 1.1e-16 of the numbers that are added up. So
the bound must be positive after subtraction of ``ROUNDING`` = 1e-11 of the sum of the absolute values of its terms, of
``SOLVED`` = 1e-7 of the two terms with μ (no μ - λ is less than 1e-5 μ, which can cost that many digits), and of what
``bea.rounding`` bounds the error of the two logits by. Ranges are widened by 1e-9 of their width and 1e-11 of the
numbers in them, c by 1e-9 of itself, sectors by 1e-9, and the radius in the end is less by 1e-9 of itself. These
allowances are generous for layers of up to some thousand numbers, but no proof in the sense of interval arithmetic.
"""

from dataclasses import dataclass

import numpy as np

from bea.blocks import blocks, side_by_side
from bea.layers import Activation, Dense, Flatten
from bea.minorants import BENT, ROUNDING, band, chord_slope, minorant, sector, slope_at
from bea.network import Network
from bea.rounding import error_of

SOLVED = 1e-7
GAP = 1e-5  # (μ - λ) / μ is no smaller
ACCURACY = 5e-4  # of the radius, relative: between one with a positive bound and one without
# (push, part): see ``least_lead``. With a kink, or nearly one, and without.
BENT_TRIES = ((0.15, 1.0), (0.3, 1.0))
SMOOTH_TRIES = ((0.0, 1.0), (0.0, 0.6))
FARTHEST = 1e4  # no larger radius is tried
PAIR_NUMBERS = 2**19  # in one array that holds a matrix for every image


@dataclass(frozen=True, eq=False)
class Stage:
    """A hidden layer ``h -> f(W h + b)`` with its activation f."""

    kernel: np.ndarray
    bias: np.ndarray
    activation: Activation


def local_bound(net: Network, x) -> tuple[np.ndarray, np.ndarray]:
    """Return how far every image must move at least before its class can change, and the class that limits it.

    The class is the largest logit; a tie has the radius 0. Without a hidden layer the radius is exact up to rounding.
    A class whose lead is constant never wins: its radius is infinite. Otherwise no more than ``FARTHEST`` is returned.

    Parameters
    ----------
    net : Network
        Of ``Dense`` layers with elementwise activations between them; the images may be flattened.
    x : array (n, *input_shape)

    Returns
    -------
    radius : array (n,)
        Euclidean length in the unit of the pixels; at it the bound was positive. Changes may leave the pixels' range.
    rival : array (n,) of int

    Raises
    ------
    ValueError
        For a network with other layers, and images of wrong shape or range.
    """
    stages = hidden_stages(net)
    x = net.check_images(x)
    if not stages:
        return _affine(net, x)
    ball = Ball.of(stages)
    largest = max(ball.rows.shape[1], *(len(stage.kernel) for stage in stages))
    size = max(8, PAIR_NUMBERS // largest**2)
    parts = side_by_side(lambda part: _search(ball, net, x[part]), blocks(len(x), size))
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def hidden_stages(net: Network) -> list[Stage]:
    """Return the hidden layers of a network of dense layers, or raise ``ValueError``."""
    stages, kernel = [], None
    for number, layer in enumerate(net.layers):
        if isinstance(layer, Dense):
            if kernel is not None:
                stages.append(Stage(*kernel, Activation("linear")))
            kernel = layer.kernel, layer.matrix[:, -1] if layer.bias else np.zeros(len(layer.matrix))
        elif isinstance(layer, Activation) and kernel is not None:
            stages.append(Stage(*kernel, layer))
            kernel = None
        elif not isinstance(layer, Flatten):
            raise ValueError(
                f"net: expected dense layers, each with one activation at most, for the method 'local', "
                f"received a {type(layer).__name__} as layers[{number}]"
            )
    return stages


@dataclass(frozen=True, eq=False)
class Ball:
    """A network around images, the change δ of the image measured in an orthonormal basis of the rows of A_1.

    Attributes
    ----------
    stages : list of Stage
    rows : array (rows of A_1, k)
        A_1 in that basis.
    """

    stages: list[Stage]
    rows: np.ndarray

    @classmethod
    def of(cls, stages):
        """Return that of a network with these hidden layers."""
        return cls(stages, np.linalg.qr(stages[0].kernel.T)[1].T)


# ---- Step 1: ranges


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is known of the inputs v of one activation in a ball.

    They are between ``low`` and ``high``, and ``v = centre + linear z + W ε`` with |ε| ≤ ``box``. W is the kernel in
    front of the activation; for the first layer there is no ε.
    """

    low: np.ndarray
    high: np.ndarray
    centre: np.ndarray
    linear: np.ndarray
    box: np.ndarray | None


def inputs_in_ball(ball: Ball, v, r) -> list[Inputs]:
    """Return what is known of the inputs of every activation where ‖δ‖ ≤ r (n,); v (n, rows) are the first ones.

    Two affine forms are carried along, with the slopes of chords of the ranges and with the slopes at the image.
    The range is what both leave; the first form is returned.
    """
    norms = np.linalg.norm(ball.rows, axis=1)
    low, high = _widened(v, v, norms * r[:, None])
    found = [Inputs(low, high, v, ball.rows, None)]
    forms, image = [(v, ball.rows, np.zeros_like(v))] * 2, v
    for before, stage in zip(ball.stages, ball.stages[1:], strict=False):
        slopes = chord_slope(before.activation, low, high), slope_at(before.activation, image)
        image = before.activation.forward(image) @ stage.kernel.T + stage.bias
        boxes, passed = [], []
        for (centre, linear, spread), slope in zip(forms, slopes, strict=True):
            offset, half = band(before.activation, low, high, slope)
            box = np.abs(slope) * spread + half
            centre = (slope * centre + offset) @ stage.kernel.T + stage.bias
            linear = stage.kernel @ (slope[:, :, None] * linear)
            passed.append((centre, linear, box @ np.abs(stage.kernel).T))
            boxes.append(box)
        forms = passed
        sides = [_widened(c, c, np.sqrt(np.vecdot(B, B)) * r[:, None] + spread) for c, B, spread in forms]
        low = np.maximum(*(side[0] for side in sides))
        high = np.minimum(*(side[1] for side in sides))
        found.append(Inputs(low, high, *forms[0][:2], boxes[0]))
    return found


def _widened(low, high, half):
    half = half * (1.0 + 1e-9) + ROUNDING * (np.abs(low) + half)
    return low - half, high + half


# ---- Step 2: where the lead is small


def descend(ball: Ball, v, d, r, start, steps=10):
    """Return the point z (n, k) of length r with the least ``d·h``, h the last output, that some steps found.

    The steps go where the gradient points. ``start`` (n, k) are directions.
    """
    length = np.sqrt(np.vecdot(start, start))[:, None]
    z = start * (r[:, None] / np.maximum(length, 1e-300))
    best, least = z, np.full(len(v), np.inf)
    for step in range(steps):
        values, slopes = _run(ball, v, z)
        reached = np.vecdot(values[-1], d)
        better = reached < least
        best, least = np.where(better[:, None], z, best), np.where(better, reached, least)
        row = _back(ball, slopes, d)
        length = np.sqrt(np.vecdot(row, row))[:, None]
        turn = -row * (r[:, None] / np.maximum(length, 1e-300))
        z = z + (turn - z) * (1.0 if step < 3 else 0.5)
        length = np.sqrt(np.vecdot(z, z))[:, None]
        z = z * (r[:, None] / np.maximum(length, 1e-300))
    return best


def _back(ball, slopes, d):
    """Return the gradient of ``d·h`` in the basis of the ball, where the activations have these slopes."""
    matrices = [ball.rows, *(stage.kernel for stage in ball.stages[1:])]
    for matrix, slope in zip(reversed(matrices), reversed(slopes), strict=True):
        d = (d * slope) @ matrix
    return d


def _run(ball, v, z):
    """Return all hidden outputs and slopes at the points z; v are the first inputs at the image."""
    values, slopes = [], []
    for number, stage in enumerate(ball.stages):
        v = v + z @ ball.rows.T if number == 0 else values[-1] @ stage.kernel.T + stage.bias
        values.append(stage.activation.forward(v))
        slopes.append(stage.activation.slope(v, values[-1]))
    return values, slopes


# ---- Steps 3 and 4: the bound


def least_lead(ball: Ball, v, d, constant, r, point, *, tries=None):
    """Return a lower bound of ``constant + d·h`` where ‖δ‖ ≤ r (n,), after its rounding; h is the last hidden output.

    Parameters
    ----------
    v : array (n, rows)
        Inputs of the first activation at the image.
    d : array (n, inputs of the last layer)
    constant, r : arrays (n,)
    point : array (n, k)
        Where the bound shall be tight, in the basis of ``ball``.
    tries : sequence of (push, part), optional
        Each is a bound: ``push`` as in ``minorant``, and tight at so large a part of ``point``, as less may bend less.
        The next try is for those whose bound is not positive yet, and the best one counts.
    """
    if tries is None:
        tries = BENT_TRIES if any(stage.activation.name in BENT for stage in ball.stages) else SMOOTH_TRIES
    best = np.full(len(v), -np.inf)
    for push, part in tries:
        some = np.flatnonzero(~(best > 0.0))
        bound = _one_bound(ball, v[some], d[some], constant[some], r[some], part * point[some], push)
        best[some] = np.fmax(best[some], bound)
    return best


def _one_bound(ball, v, d, constant, r, point, push):
    known = inputs_in_ball(ball, v, r)
    reached, outputs = [v + point @ ball.rows.T], []
    for before, stage in zip(ball.stages, ball.stages[1:], strict=False):
        outputs.append(before.activation.forward(reached[-1]))
        reached.append(outputs[-1] @ stage.kernel.T + stage.bias)
    quadratic = _quadratic_below(ball, known, reached, outputs, d, push)
    return _least(constant, *quadratic, ball, point, r)


def _least(constant, terms, g, Q, ball, point, r):
    """Return the bound of ``constant + Σ terms + gᵀv' - v'ᵀQv'``, v' the first inputs less those at the point."""
    lin, H = g @ ball.rows, ball.rows.T @ Q @ ball.rows
    turned = (H @ point[:, :, None])[:, :, 0]
    k, size = constant, np.abs(constant)
    for term in (*terms, -lin * point, -turned * point):
        k, size = k + term.sum(axis=1), size + np.abs(term).sum(axis=1)
    return ball_minimum(k - ROUNDING * size, lin + 2.0 * turned, H, r)


def _quadratic_below(ball, known, reached, outputs, d, push):
    """Return (terms, g, Q) with ``d·h ≥ Σ terms + gᵀv' - v'ᵀQv'``, v' as in ``_least`` (step 3)."""
    terms, weight, above = [], d, None
    for number in range(len(ball.stages) - 1, -1, -1):
        stage, here, at = ball.stages[number], known[number], reached[number]
        t, value, slope, c = minorant(stage.activation, weight, at, here.low, here.high, push)
        # In v' = v - at: value + slope (v' + off) - c (v' + off)².
        off = at - t
        terms += [value, slope * off, -c * off * off]
        g = slope - 2.0 * c * off
        Q = np.zeros((*at.shape, at.shape[1]))
        if above is not None:
            Q = _through(above, *sector(stage.activation, at, here.low, here.high), here.high - here.low)
        _diagonal(Q)[:] += c
        if number > 0:
            weight = g @ stage.kernel
            terms.append(-weight * outputs[number - 1])
            above = stage.kernel.T @ Q @ stage.kernel
    return terms, g, Q


def _through(N, middle, half, width):
    """Return Q with ``h'ᵀN h' ≤ v'ᵀQv'`` where every h' is v' times a number off the middle by half at most.

    ``h' = S v' + ε`` with |ε| ≤ half |v'|. For every diagonal T ≻ N, the quadratic in ε is completed to
    ``(S v' + ε)ᵀN(S v' + ε) ≤ (S v')ᵀ(N + N (T - N)⁻¹ N)(S v') + εᵀTε``. T is twice a diagonal matrix above N after
    Gershgorin, in which the ε count by how large they may become.
    """
    size = half * width + 1e-300
    T = 2.0 * (np.abs(N) @ size[:, :, None])[:, :, 0] / size + 1e-300
    rest = -N
    _diagonal(rest)[:] += T
    Q = middle[:, :, None] * (N + N @ np.linalg.solve(rest, N)) * middle[:, None]
    _diagonal(Q)[:] += T * half * half
    return Q


def _diagonal(matrices):
    """Return a view of the diagonals of matrices (n, m, m)."""
    return np.einsum("nii->ni", matrices)


def ball_minimum(k, lin, H, r):
    """Return a lower bound of ``k + linᵀz - zᵀHz`` where ‖z‖ ≤ r, H positive semidefinite, for a batch (step 4).

    The best μ is that with ``‖(μ - H)⁻¹ lin‖ = 2 r``, by Newton's method on the reciprocal of the norm.
    """
    eigenvalues, vectors = np.linalg.eigh(H)
    w = (lin[:, None] @ vectors)[:, 0] ** 2
    length = np.sqrt(np.sum(w, axis=1))
    largest = np.maximum(eigenvalues[:, -1], 0.0)
    least = np.maximum(largest * (1.0 + GAP), largest + GAP * length / (2.0 * r)) + 1e-300
    mu = largest + length / (2.0 * r) + least * GAP
    best = np.full(len(k), -np.inf)
    for _ in range(8):
        mu = np.maximum(mu, least)
        inverse = 1.0 / (mu[:, None] - eigenvalues)
        terms = w * inverse
        last = terms.sum(axis=1) / 4
        best = np.maximum(best, k - mu * r * r * (1.0 + SOLVED) - last * (1.0 + SOLVED))
        terms = terms * inverse
        square = terms.sum(axis=1)
        cube = np.vecdot(terms, inverse)
        mu = mu + (np.sqrt(square) / (2.0 * r) - 1.0) * square / np.maximum(cube, 1e-300)
    return best


# ---- The largest radius


def _search(ball, net, x):
    values = net._run(x)
    first = next(number for number, layer in enumerate(net.layers) if isinstance(layer, Dense))
    pairs = Pairs.of(ball, net, values[first + 1], values[-1], error_of(net, values))
    distance = pairs.first_order()
    order = distance.argsort(axis=1)
    rival = order[:, 0].copy()
    radius = pairs.largest(np.arange(len(x)), rival, distance)
    doubtful = ~pairs.clear(np.minimum(radius, FARTHEST))
    for rank in range(1, net.classes - 1):
        some = np.flatnonzero((radius > 0.0) & doubtful[np.arange(len(x)), order[:, rank]])
        j = order[some, rank]
        found = pairs.largest(some, j, distance, radius[some])
        closer = found < radius[some]
        radius[some[closer]], rival[some[closer]] = found[closer], j[closer]
    return radius * (1.0 - 1e-9), rival


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images of a batch, each with all classes.

    Attributes
    ----------
    ball : Ball
    v : array (n, rows)
        Inputs of the first activation.
    own : array (n,) of int
    d : array (n, classes, inputs of the last layer)
        Row of the own class in the last kernel less that of every class.
    constant, lead : arrays (n, classes)
        The same of the biases and of the logits, less what rounding may have added.
    """

    ball: Ball
    v: np.ndarray
    own: np.ndarray
    d: np.ndarray
    constant: np.ndarray
    lead: np.ndarray

    @classmethod
    def of(cls, ball, net, v, logits, error):
        """Return those of images with these first inputs and these logits, which have this error."""
        own, last = logits.argmax(axis=1), net.layers[-1]
        bias = last.matrix[:, -1] if last.bias else np.zeros(len(last.matrix))
        everyone = np.arange(len(own)), own
        doubt = error + error[everyone][:, None]
        lead = logits[everyone][:, None] - logits - doubt
        return cls(ball, v, own, last.kernel[own][:, None] - last.kernel, bias[own][:, None] - bias - doubt, lead)

    def first_order(self):
        """Return how far every class is to first order, (n, classes), NaN for the own one."""
        slopes = _run(self.ball, self.v, np.zeros((len(self.v), self.ball.rows.shape[1])))[1]
        rows = _back(self.ball, [slope[:, None] for slope in slopes], self.d)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.maximum(self.lead, 0.0) / np.sqrt(np.vecdot(rows, rows))
        distance = np.where(self.lead > 0.0, distance, 0.0)
        distance[np.arange(len(self.own)), self.own] = np.nan
        return distance

    def clear(self, radius):
        """Return for which classes step 1 alone says that they cannot win within the radius, (n, classes)."""
        known = inputs_in_ball(self.ball, self.v, radius)[-1]
        stage = self.ball.stages[-1]
        slope = chord_slope(stage.activation, known.low, known.high)
        offset, half = band(stage.activation, known.low, known.high, slope)
        rows = self.d * slope[:, None]
        pieces = [self.d * (slope * known.centre + offset)[:, None], -np.abs(self.d) * half[:, None]]
        if known.box is not None:
            pieces.append(-np.abs(rows @ stage.kernel) * known.box[:, None])
        linear = rows @ known.linear
        reach = np.sqrt(np.vecdot(linear, linear)) * radius[:, None]
        size = np.abs(self.constant) + reach + sum(np.abs(piece).sum(axis=2) for piece in pieces)
        return self.constant + sum(piece.sum(axis=2) for piece in pieces) - reach > ROUNDING * size

    def largest(self, i, j, distance, limit=None):
        """Return the largest radius with a positive bound that a search finds for the images i and the classes j.

        No more than ``limit`` (as many as i), which is tried first.
        """
        v, d, constant, lead = self.v[i], self.d[i, j], self.constant[i, j], self.lead[i, j]
        direction = -_back(self.ball, _run(self.ball, v, np.zeros((len(i), self.ball.rows.shape[1])))[1], d)
        start = np.clip(0.95 * distance[i, j], 0.0, FARTHEST)
        r = start if limit is None else np.minimum(limit, FARTHEST)
        never = (lead > 0.0) & ~d.any(axis=1)
        low, high = np.zeros(len(i)), np.full(len(i), np.inf)
        at_low, at_high, last = lead.copy(), np.full(len(i), -np.inf), np.zeros(len(i))
        for trial in range(40):
            known = (lead <= 0.0) | never | (low >= FARTHEST)
            open_ = np.flatnonzero(~known & (high > (1.0 + ACCURACY) * low))
            if not len(open_):
                break
            each = r[open_]
            point = descend(self.ball, v[open_], d[open_], each, direction[open_])
            direction[open_] = point
            bound = least_lead(self.ball, v[open_], d[open_], constant[open_], each, point)
            good = bound > 0.0
            up, down = open_[good], open_[~good]
            # A side that stays twice counts for less, so that the secant does not creep towards the other one.
            at_high[up[last[up] > 0]] *= 0.5
            at_low[down[last[down] < 0]] *= 0.5
            last[up], last[down] = 1.0, -1.0
            low[up], at_low[up] = each[good], bound[good]
            high[down], at_high[down] = each[~good], np.fmax(bound[~good], -3.0 * lead[down])
            if limit is not None and trial == 0:
                high[up] = low[up]
            r = _next_radius(low, high, at_low, at_high, lead)
        return np.where(never, np.inf, low)


def _next_radius(low, high, at_low, at_high, lead):
    bounded = np.isfinite(high)
    with np.errstate(divide="ignore", invalid="ignore"):
        secant = low + (high - low) * at_low / (at_low - at_high)
        beyond = low * np.clip(lead / np.maximum(lead - at_low, 1e-300), 1.02, 4.0)
    # A little to the side of the secant's zero that is less well known, so that the next two points enclose it.
    width = np.where(bounded, high - low, 0.0)
    nearer = secant + np.where(secant - low < high - secant, 0.4, -0.4) * ACCURACY * secant
    inner = np.clip(nearer, low + 0.05 * width, high - 0.05 * width)
    return np.minimum(np.where(bounded, inner, beyond), FARTHEST)


def _affine(net, x):
    """Return the distance to the nearest hyperplane between the class and another, a network without hidden layers."""
    values = net._run(x)
    logits, error = values[-1], error_of(net, values)
    own, everyone = logits.argmax(axis=1), np.arange(len(x))
    kernel = net.layers[-1].kernel
    norms = np.linalg.norm(kernel[:, None] - kernel, axis=2)[own]
    lead = np.maximum(logits[everyone, own][:, None] - logits - error - error[everyone, own][:, None], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(lead > 0.0, lead / norms, 0.0)
    distance[everyone, own] = np.inf
    # np.argmin would name the own class if no other one can win.
    rival = np.argsort(np.where(np.arange(net.classes) == own[:, None], np.nan, distance), axis=1)[:, 0]
    return distance.min(axis=1) * (1.0 - 1e-12), rival
