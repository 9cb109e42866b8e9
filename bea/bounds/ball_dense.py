"""Lower bounds of the smallest change of an image that changes its class, from bounds that hold in a ball around it.

The problem: for the own class c of an image and a rival j, the lead ``g(δ) = logit_c(x + δ) - logit_j(x + δ)`` of a
network of dense layers; find the largest r for which a lower bound of ``min {g(δ) : ‖δ‖ ≤ r}`` is positive. The bound
is that of a quadratic function below g, and is made for each r in five steps. The page "The tight bound: theorem and
proof" of the book (book/tight_bound.md) proves them under the same names.

D1. Forwards: in the ball every hidden output is ``h = α + M δ + ε`` with |ε| ≤ ρ, as an activation lies between two
   parallel lines on the range of its input. So each input v of an activation has a range, and is affine up to a box.
D2. Backwards: ``d f(v)`` is replaced by ``d f(t) + s (v - t) - c (v - t)²`` below it on the range of v, where t is at
   or near v(δ̂), the input at a point δ̂ of the sphere.
D3. The quadratic part in h becomes one in v: with primes for differences from δ̂, h' is v' times numbers between the
   slopes of chords of f from v(δ̂), a sector around S: ``h' = S v' + ε`` with |ε| ≤ κ |v'|.
D4. Layer by layer, with ``v' = W h'`` and h of the layer before. What is left is ``k + lᵀδ - δᵀHδ``, in the span of the
   rows of A_1.
D5. For every μ above the largest eigenvalue of H, its minimum over the ball is at least ``k - μ r² - ¼ lᵀ(μ - H)⁻¹ l``
   (weak duality).
D6. What is free is searched for: δ̂, at which g shall be small, t, μ, and r. How good they are decides how tight the
   bound is, not whether it holds.

Rounding. What is computed is off by a small multiple of the rounding unit 1.1e-16 of the numbers that are added up. So
the bound must be positive after subtraction of ``ROUNDING`` = 1e-11 of the sum of the absolute values of its terms, of
``SOLVED`` = 1e-7 of the two terms with μ (no μ - λ is less than 1e-5 μ, which can cost that many digits), and of what
``bea.bounds.rounding`` bounds the error of the two logits by. Ranges are widened by 1e-9 of their width and 1e-11 of
the numbers in them, c by 1e-9 of itself, sectors by 1e-9, and the radius in the end is less by 1e-9 of itself. These
allowances are generous for layers of up to some thousand numbers, but no proof: ``benchmarks.ball_arithmetic`` is.
"""

from dataclasses import dataclass

import numpy as np

from bea.bounds.ball_quadratic import least_lead
from bea.bounds.ball_ranges import Ball, hidden_stages, inputs_in_ball, surely_lead
from bea.bounds.radius_search import FARTHEST, largest_radius, nearest_rival
from bea.bounds.rounding import error_of
from bea.networks.layers import Dense
from bea.networks.leads import lead_over_each
from bea.networks.network import Network
from bea.numerics.blocks import in_blocks

PAIR_NUMBERS = 2**19  # in one array that holds a matrix for every image
TINY = 1e-200  # instead of the length of a direction that has none: no radius that is met divided by it overflows


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
    return in_blocks(lambda part: _search(ball, net, part), images_at_once(ball), x)


def images_at_once(ball: Ball) -> int:
    """Return of how many images an array holds a matrix each, at most."""
    largest = max(ball.rows.shape[1], *(len(stage.kernel) for stage in ball.stages))
    return max(8, PAIR_NUMBERS // largest**2)


def descend(ball: Ball, v, d, r, start, pace=None, steps=10):
    """Return the point z (n, k) of length r with the least ``d·h``, h the last output, that some steps found.

    It is δ̂ of step D6. The steps go where the gradient points, all the way at first unless ``pace`` (n,) says how far.
    ``start`` (n, k) are directions.
    """
    length = np.sqrt(np.vecdot(start, start))[:, None]
    z = start * (r[:, None] / np.maximum(length, TINY))
    pace = 1.0 if pace is None else pace[:, None]
    best, least = z, np.full(len(v), np.inf)
    for step in range(steps):
        values, slopes = _run(ball, v, z)
        reached = np.vecdot(values[-1], d)
        better = reached < least
        best, least = np.where(better[:, None], z, best), np.where(better, reached, least)
        row = _back(ball, slopes, d)
        length = np.sqrt(np.vecdot(row, row))[:, None]
        turn = -row * (r[:, None] / np.maximum(length, TINY))
        z = z + (turn - z) * pace * (1.0 if step < 3 else 0.5)
        length = np.sqrt(np.vecdot(z, z))[:, None]
        z = z * (r[:, None] / np.maximum(length, TINY))
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


def _search(ball, net, x):
    pairs = Pairs.of(ball, net, x)
    distance = pairs.first_order()
    order = distance.argsort(axis=1)[:, :-1]
    return nearest_rival(order, lambda i, j, limit=None: pairs.largest(i, j, distance, limit), pairs.clear)


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
    doubt : array (n, classes)
        What rounding may have added to the lead over every class.
    constant, lead : arrays (n, classes)
        As ``d``, of the biases and of the logits, less ``doubt``.
    """

    ball: Ball
    v: np.ndarray
    own: np.ndarray
    d: np.ndarray
    doubt: np.ndarray
    constant: np.ndarray
    lead: np.ndarray

    @classmethod
    def of(cls, ball, net, x):
        """Return those of images (n, *input_shape)."""
        values, last = net.trace(x), net.layers[-1]
        first = next(number for number, layer in enumerate(net.layers) if isinstance(layer, Dense))
        v, logits, error = values[first + 1], values[-1], error_of(net, values)
        own = logits.argmax(axis=1)
        bias = last.matrix[:, -1] if last.bias else np.zeros(len(last.matrix))
        everyone = np.arange(len(own)), own
        doubt = error + error[everyone][:, None]
        lead, constant = lead_over_each(logits, own) - doubt, bias[own][:, None] - bias - doubt
        return cls(ball, v, own, last.kernel[own][:, None] - last.kernel, doubt, constant, lead)

    def gradients(self):
        """Return the gradients of the leads over every class at the image, (n, classes, k), in the ball's basis."""
        slopes = _run(self.ball, self.v, np.zeros((len(self.v), self.ball.rows.shape[1])))[1]
        return _back(self.ball, [slope[:, None] for slope in slopes], self.d)

    def first_order(self):
        """Return how far every class is to first order, (n, classes), NaN for the own one."""
        rows = self.gradients()
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.maximum(self.lead, 0.0) / np.sqrt(np.vecdot(rows, rows))
        distance = np.where(self.lead > 0.0, distance, 0.0)
        distance[np.arange(len(self.own)), self.own] = np.nan
        return distance

    def clear(self, radius):
        """Return for which classes step D1 alone says that they cannot win within the radius, (n, classes)."""
        known = inputs_in_ball(self.ball, self.v, radius)[-1]
        return surely_lead(self.ball.stages[-1], known, self.d, self.constant, radius)

    def largest(self, i, j, distance, limit=None):
        """Return the largest radius with a positive bound that a search finds for the images i and the classes j (D6).

        No more than ``limit`` (as many as i), which is tried first.
        """
        v, d, constant, lead = self.v[i], self.d[i, j], self.constant[i, j], self.lead[i, j]
        direction = -_back(self.ball, _run(self.ball, v, np.zeros((len(i), self.ball.rows.shape[1])))[1], d)

        def bound_at(some, r):
            point = descend(self.ball, v[some], d[some], r, direction[some])
            direction[some] = point
            return least_lead(self.ball, v[some], d[some], constant[some], r, point)

        start = np.clip(0.95 * distance[i, j], 0.0, FARTHEST)
        return largest_radius(bound_at, lead, start, limit, never=~d.any(axis=1))


def _affine(net, x):
    """Return the distance to the nearest hyperplane between the class and another, a network without hidden layers."""
    values = net.trace(x)
    logits, error = values[-1], error_of(net, values)
    own, everyone = logits.argmax(axis=1), np.arange(len(x))
    kernel = net.layers[-1].kernel
    norms = np.linalg.norm(kernel[:, None] - kernel, axis=2)[own]
    lead = np.maximum(lead_over_each(logits, own) - error - error[everyone, own][:, None], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(lead > 0.0, lead / norms, 0.0)
    distance[everyone, own] = np.inf
    # np.argmin would name the own class if no other one can win.
    rival = np.argsort(np.where(np.arange(net.classes) == own[:, None], np.nan, distance), axis=1)[:, 0]
    return distance.min(axis=1) * (1.0 - 1e-12), rival
