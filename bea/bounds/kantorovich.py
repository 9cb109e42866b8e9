"""Upper and lower bounds of the distance to another class from one gradient and one bound of the curvature.

The problem: for the own class and a rival let ``g(δ)`` be the lead plus the margin by which the rival shall lead, with
the gap ``g₀ = g(0) > 0`` and the gradient g' at the image. How long is the shortest δ with ``g(δ) ≤ 0``? Newton's first
step to a root of g has the length ``g₀ / ‖g'‖``.

1. On the ball ‖δ‖ ≤ r the quadratics of ``bea.bounds.ball_dense`` (its steps D1 to D4, about the image) for the lead
   and for its negative say ``|g(δ) - g₀ - g'ᵀδ| ≤ M/2 ‖δ‖²``. Nothing else is needed of g: no second derivative.
2. From below: ``g(δ) ≥ g₀ - ‖g'‖ s - M s²/2`` where ‖δ‖ = s. So no root is nearer than
   ``(√(‖g'‖² + 2 M g₀) - ‖g'‖) / M``, which is theorem 4.1 of paper P for one number; it is less than g₀ / ‖g'‖.
3. From above: at ``δ = -s g'/‖g'‖`` one has ``g(δ) ≤ g₀ - ‖g'‖ s + M s²/2``, Kantorovich's majorant. If
   ``h = M g₀ / ‖g'‖² ≤ ½``, it is zero at ``s = (‖g'‖ - √(‖g'‖² - 2 M g₀)) / M``. If s ≤ r, this change is an attack.
4. The nearest rival counts: the distance to another class lies between the least lower and the least upper bound.

In units of Newton's step the two ends are ``2/(1 + √(1 ± 2h))``: from 1 at h = 0 to 0.83 and 2 at h = ½.

The ball must hold what is proved in it. The lower bound and Newton's step fit in the ball of radius g₀ / ‖g'‖. The
upper one asks for a larger ball, in which M is larger: r is raised until step 3 ends within it, or h exceeds ½.

Rounding is allowed for as in ``bea.bounds.ball_dense``: gaps count less or more by what ``bea.bounds.rounding`` says
and 1e-11 of their terms, ‖g'‖ by 1e-9 and M by 1e-7 of itself, each to the unfavourable side.
"""

from dataclasses import dataclass, replace

import numpy as np

from bea.bounds.ball_dense import FARTHEST, Pairs, images_at_once
from bea.bounds.ball_quadratic import SOLVED, inputs_and_outputs, quadratic_below
from bea.bounds.ball_ranges import Ball, hidden_stages, inputs_in_ball
from bea.bounds.minorants import ROUNDING
from bea.bounds.printed import fully_connected_bound
from bea.networks.layers import Dense
from bea.networks.network import Network
from bea.numerics.blocks import in_blocks
from bea.numerics.progress import showing
from bea.reports.pictures import draw_shares
from bea.reports.results import Report

TRIALS = 12  # radii tried for one pair of an image and a rival
BEYOND = 0.3  # how far the next radius goes beyond what the last one would have needed, in units of the rise
RELATIVE = 1e-9  # of the length of a gradient, to both sides


@dataclass(frozen=True, eq=False)
class DistanceEnclosure(Report):
    """What is proved of n images; lengths are Euclidean, in the unit of the pixels, which may leave their range.

    Attributes
    ----------
    lower, upper : arrays (n,)
        Between them lies the length of the shortest change after which another class leads the own one by the margin
        (or ties, with none). ``upper`` is infinite where no rival has h ≤ ½ in a ball that is large enough.
    first_order : array (n,)
        The least gap over ‖gradient‖, Newton's first step: between the two, and it proves nothing.
    h : array (n,)
        ``M g₀ / ‖g'‖²`` of the rival that gives ``upper``; where there is none, the least that was met, above ½ or in
        a ball too small.
    rival : array (n,) of int
        That rival.
    dx : array (n, *input_shape)
        The change that ``upper`` is the length of, against the gradient; NaN where there is none.
    """

    lower: np.ndarray
    upper: np.ndarray
    first_order: np.ndarray
    h: np.ndarray
    rival: np.ndarray
    dx: np.ndarray
    standing = "proven"

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays with an entry a sample."""
        return {name: getattr(self, name) for name in ("lower", "upper", "first_order", "h", "rival")}

    def measured(self) -> tuple[str, np.ndarray]:
        """Return the lower bound."""
        return "‖Δx‖ at least, unit of the pixels", self.lower

    def tally(self) -> str:
        """Return in words how many images have an upper bound."""
        return f"{np.count_nonzero(self.applies)} of {len(self.lower)} samples have an upper bound"

    def draw(self, samples):
        """Return a figure of how both bounds are distributed."""
        chosen = slice(None) if samples is None else samples
        series = {"lower bound": self.lower[chosen], "upper bound": self.upper[chosen]}
        return draw_shares(series, "‖Δx‖, unit of the pixels")

    @property
    def applies(self) -> np.ndarray:
        """Whether there is an upper bound, (n,)."""
        return np.isfinite(self.upper)


def distance_enclosure(net: Network, x, *, margin=0.0, along_ray=False, progress=False) -> DistanceEnclosure:
    """Enclose how far every image is from another class by Kantorovich's condition.

    Parameters
    ----------
    net : Network
        Of ``Dense`` layers with elementwise activations between them. Smooth ones are meant. A ReLU is one where no
        unit is at its kink at the image: its M is finite then, and large where a unit is near.
    x : array (n, *input_shape)
    margin : float
        By which a rival must lead, in units of the logits; not negative.
    along_ray : bool
        Whether to count one-sided curvature only: downwards for the lower bound; upwards, and only along the gradient,
        for the upper one and for h. Otherwise M is the larger of both, in all directions, as in the theorem.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Raises
    ------
    ValueError
        For a network with other layers, images of wrong shape or range, and a margin that is negative or not finite.
    """
    if not 0.0 <= margin < np.inf:
        raise ValueError(f"margin: expected a finite number from 0 on, received {margin!r}")
    x = net.check_images(x)
    if not hidden_stages(net):  # a linear stage behind the logits changes nothing
        net = replace(net, layers=(*net.layers, Dense(np.eye(net.classes), bias=False)))
    ball = Ball.of(hidden_stages(net))
    with showing(progress):
        ends = in_blocks(lambda part: _enclose(ball, net, part, margin, along_ray), images_at_once(ball), x)
    return DistanceEnclosure(*ends)


def curvature_in_ball(ball: Ball, v, d, r):
    """Bound by how much ``g(δ) = d·h`` falls below its tangent at the image where ‖δ‖ ≤ r (step 1).

    Parameters
    ----------
    v : array (n, rows)
        Inputs of the first activation at the image.
    d : array (n, inputs of the last layer)
        Its negative bounds by how much g rises above the tangent.
    r : array (n,)

    Returns
    -------
    curvature : array (n,)
        M with ``g(δ) ≥ g(0) + g'ᵀδ - M/2 ‖δ‖²``. Infinite where a ReLU is at its kink.
    size : array (n,)
        Sum of the absolute values of the terms whose rounding counts.
    """
    terms, Q, kinked = _about_image(ball, inputs_in_ball(ball, v, r), v, d)
    bend = np.linalg.eigvalsh(ball.rows.T @ Q @ ball.rows)[:, -1]
    return _curvature(bend, kinked), sum(np.abs(term).sum(axis=1) for term in terms)


def curvature_on_ray(ball: Ball, v, d, r, direction):
    """Return M (n,) of ``curvature_in_ball`` for ``δ = s · direction`` with 0 ≤ s ≤ r only.

    The segment is a ball in one dimension, about its middle. ``direction`` (n, k) has unit length or is zero.
    """
    rows = direction @ ball.rows.T
    middle = v + 0.5 * r[:, None] * rows
    known = inputs_in_ball(Ball(ball.stages, rows[:, :, None]), middle, 0.5 * r)
    _, Q, kinked = _about_image(ball, known, v, d)
    return _curvature(np.vecdot(rows, (Q @ rows[:, :, None])[:, :, 0]), kinked)


def _about_image(ball, known, v, d):
    """Return (terms, Q, kinked): ``d·h ≥ Σ terms + gᵀv' - v'ᵀQv'`` about the image, where no ReLU is at its kink."""
    reached, outputs = inputs_and_outputs(ball, v)
    terms, _, Q = quadratic_below(ball, known, reached, outputs, d, None)
    kinked = np.zeros(len(v), bool)
    for stage, inputs in zip(ball.stages, reached, strict=True):
        kinked |= (stage.activation.name == "relu") & (inputs == 0.0).any(axis=1)
    return terms, Q, kinked


def _curvature(bend, kinked):
    return np.where(kinked, np.inf, 2.0 * (1.0 + SOLVED) * np.maximum(bend, 0.0))


def _enclose(ball, net, x, margin, along_ray):
    pairs, everyone = Pairs.of(ball, net, x), np.arange(len(x))
    gradients = pairs.gradients()
    slopes = np.sqrt(np.vecdot(gradients, gradients))
    gaps = pairs.lead + pairs.doubt + margin
    with np.errstate(divide="ignore", invalid="ignore"):
        newton = np.where(gaps > 0.0, gaps / slopes, 0.0)
    newton[everyone, pairs.own] = np.nan
    order = newton.argsort(axis=1)
    lower, upper = np.full(len(x), np.inf), np.full(len(x), np.inf)
    h, rival = np.full(len(x), np.inf), order[:, 0].copy()
    for rank in range(net.classes - 1):
        j = order[:, rank]
        # Other rivals are farther than what is known already.
        far = pairs.clear(np.minimum(lower, FARTHEST))[everyone, j] & (newton[everyone, j] >= upper)
        some = np.flatnonzero(~far | (rank == 0))
        at = some, j[some]
        found = _one_rival(ball, pairs.v[some], pairs.d[at], gradients[at], gaps[at], pairs.doubt[at], along_ray)
        lower[some] = np.minimum(lower[some], found[0])
        better = np.where(np.isfinite(found[1]), found[1] < upper[some], np.isinf(upper[some]) & (found[2] < h[some]))
        chosen = some[better]
        upper[chosen], h[chosen], rival[chosen] = found[1][better], found[2][better], j[chosen]
    # Down to pixels: a gradient in the basis of the rows of A_1 is Qᵀ times that in the pixels.
    basis = np.linalg.qr(ball.stages[0].kernel.T)[0]
    chosen = gradients[everyone, rival]
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = chosen / np.sqrt(np.vecdot(chosen, chosen))[:, None]
        dx = np.where(np.isfinite(upper)[:, None], -upper[:, None] * (unit @ basis.T), np.nan)
    return lower, upper, np.nanmin(newton, axis=1), h, rival, dx.reshape(x.shape)


def _one_rival(ball, v, d, gradient, gap, doubt, along_ray):
    """Return (lower, upper, h) of pairs of an image and a rival; steps 2 and 3."""
    slope = np.sqrt(np.vecdot(gradient, gradient))
    direction = -gradient / np.maximum(slope, 1e-300)[:, None]
    steep, gentle = slope * (1.0 + RELATIVE), slope * (1.0 - RELATIVE)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.minimum(np.where(gap > 0.0, gap / slope, 0.0) * (1.0 + RELATIVE), FARTHEST)
    fits = r.copy()
    down, size = curvature_in_ball(ball, v, d, r)
    if along_ray:
        first = curvature_on_ray(ball, v, -d, r, direction)
    else:
        first = down = np.maximum(down, curvature_in_ball(ball, v, -d, r)[0])
    up = first.copy()
    slack = doubt + ROUNDING * size
    least, most = np.maximum(gap - slack, 0.0), gap + slack
    with np.errstate(divide="ignore", invalid="ignore"):
        h = np.where(slope > 0.0, up * most / gentle**2, np.inf)
    upper = np.full(len(v), np.inf)
    rest = np.flatnonzero(h <= 0.5)
    for _ in range(TRIALS):
        if not len(rest):
            break
        end = fully_connected_bound(most[rest], gentle[rest], 1, -up[rest]) * (1.0 + RELATIVE)
        inside = end <= r[rest]
        upper[rest[inside]] = end[inside]
        rest, end = rest[~inside], end[~inside]
        r[rest] = end + BEYOND * (end - r[rest])
        rest = rest[r[rest] <= FARTHEST]
        if along_ray:
            up[rest] = curvature_on_ray(ball, v[rest], -d[rest], r[rest], direction[rest])
        else:
            sides = (curvature_in_ball(ball, v[rest], sign * d[rest], r[rest])[0] for sign in (1.0, -1.0))
            up[rest] = np.maximum(*sides)
        h[rest] = up[rest] * most[rest] / gentle[rest] ** 2
        rest = rest[h[rest] <= 0.5]
    if not along_ray:  # one M for both ends, or a smaller one that holds where the lower one is
        down = np.where(np.isfinite(upper), np.minimum(up, first), first)
    known = np.isfinite(down)
    lower = fully_connected_bound(least, steep, 1, np.where(known, down, 0.0))
    # What is proved in the ball says nothing outside.
    return np.where(known, np.minimum(lower, fits) * (1.0 - RELATIVE), 0.0), upper, h
