"""Lower bounds for convolutions with max pooling in front of one hidden layer of ReLUs (LeNet), tight within a ball.

The problem is that of ``bea.bounds.ball_dense``: for the own class and a rival, a lower bound of their lead where
‖δ‖ ≤ r. With d the difference of the last rows, the lead is linear in δ as long as every maximum stays where it is and
no unit switches; what is left counts against it only where it can lower the lead. The steps are proved under these
names in book/tight_bound.md:

P1. A unit with d < 0 that switches adds ``d (|t| - |v|)₊``, t being what its input v has moved by.
P2. A parabola lies above, ``(|t| - |v|)₊ ≤ t²/(4w) + w - |v|`` for every w ≥ |v|, and
   ``Σ c t² ≤ λ_max(√c V Vᵀ √c) ‖Δφ‖²``, φ being the input of the hidden layer V.
P3. A maximum never moves by less than the entry that was the largest, so a window that pulls the lead up loses nothing
   against this entry. One that pulls it down, with q, loses q times what it rises by more than a mean of its largest
   entries, bounded by straight lines in the length of what its entries have moved by, their common part left out.
P4. All these lengths share one r: ``Σ_w ‖u_w‖² ≤ (T r)²`` and ``‖Δφ‖ ≤ R r``. The worst share is bounded by duality:
   for every λ > 0 by ``Σ_w max_t (line(t) - λ t²) + λ (T r)²``.
P5. What stands for the maxima is linear; it goes back through the convolution to the block before, and to the image.
P6. T and R are constants of the network (``bea.bounds.pooling_front``).

For two blocks ``bea.bounds.ball_windows`` goes on from here.
"""

import math
from dataclasses import dataclass

import numpy as np

from bea.bounds.pooling_front import Front, take_apart
from bea.bounds.rounding import error_of
from bea.networks.leads import lead_over_each
from bea.networks.network import Network
from bea.numerics.blocks import in_blocks

ROUNDING = 1e-9  # of the sum of all terms of a bound, far above what their rounding can be
WIDTHS = (0.1, 0.2)  # w of the parabolas, in units of the largest t
SHARES = np.geomspace(0.03, 1.0, 12)  # λ, in units of the best one without thresholds
TYPICAL = 1.0 / 15  # of the whole length: what a window's entries are expected to move by; sound whatever they do
TRIALS = 7  # radii tried for the nearest rival
IMAGES = 32  # bounded at a time
FARTHEST = 1e4  # no larger radius is tried


def convolutional_bound(net: Network, x) -> tuple[np.ndarray, np.ndarray]:
    """Return how far every image must move at least before its class can change, and the class that limits it.

    Parameters
    ----------
    net : Network
        (Convolution, MaxPool) once or more, Flatten, Dense, ReLU, Dense; only the first convolution may be padded, and
        no windows of a pooling overlap.
    x : array (n, *input_shape)

    Returns
    -------
    radius : array (n,)
        Euclidean length in the unit of the pixels, zero for a tie, ``FARTHEST`` at most.
    rival : array (n,) of int

    Raises
    ------
    ValueError
        For other networks, and images of wrong shape or range.
    """
    front = take_apart(net)
    x = net.check_images(x)
    return in_blocks(lambda part: _search(front, net, part), IMAGES, x)


@dataclass(frozen=True, eq=False)
class State:
    """What is known at n images: the largest entries first in every window, and the inputs of the ReLUs.

    Attributes
    ----------
    order, gap : arrays (n, windows, m), one pair a block
        Pixels of every window from the largest to the smallest entry, and how far each is below the largest.
    v : array (n, units)
    lead : array (n, classes)
        Logit of the own class less the others, less what rounding may have done.
    own : array (n,) of int
    """

    order: list
    gap: list
    v: np.ndarray
    lead: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, front, net, x):
        """Return that of images x."""
        values = net.trace(x)
        order, gap = [], []
        for number, (_, pool) in enumerate(front.blocks):
            entries = windows(values[2 * number + 1], pool)
            order.append(np.argsort(-entries, axis=2, kind="stable"))
            entries = np.take_along_axis(entries, order[-1], 2)
            gap.append(entries[:, :, :1] - entries)
        logits, error = values[-1], error_of(net, values)
        own, everyone = logits.argmax(axis=1), np.arange(len(x))
        doubt = error + error[everyone, own][:, None]
        return cls(order, gap, values[-3], lead_over_each(logits, own) - doubt, own)

    def take(self, some):
        """Return that of some of the images."""
        parts = [[array[some] for array in arrays] for arrays in (self.order, self.gap)]
        return State(*parts, self.v[some], self.lead[some], self.own[some])


def windows(values, pool) -> np.ndarray:
    """Return the entries of every window, (n, windows, m), for values (n, height, width, channels)."""
    n, height, width, channels = values.shape
    (a, b), rows, columns = pool.size, height // pool.size[0], width // pool.size[1]
    cut = values[:, : rows * a, : columns * b].reshape(n, rows, a, columns, b, channels)
    return cut.transpose(0, 1, 3, 5, 2, 4).reshape(n, rows * columns * channels, a * b)


def from_windows(entries, pool, shape) -> np.ndarray:
    """Return values (n, height, width, channels) with these entries of windows; zero where there is no window."""
    (height, width, channels), (a, b) = shape, pool.size
    rows, columns = height // a, width // b
    values = np.zeros((len(entries), height, width, channels))
    cut = entries.reshape(len(entries), rows, columns, channels, a, b).transpose(0, 1, 4, 2, 5, 3)
    values[:, : rows * a, : columns * b] = cut.reshape(len(entries), rows * a, columns * b, channels)
    return values


def loss_of_lead(front: Front, state: State, shapes, rival, r) -> np.ndarray:
    """Return by how much the lead over the rivals (n,) can fall where ‖δ‖ ≤ r (n,), at most (P1 to P5).

    ``shapes`` are those of the input and of what every block gives out.
    """
    d = front.last.kernel[state.own] - front.last.kernel[rival]
    q = (d * (state.v > 0.0)) @ front.hidden.kernel
    total = switching_loss(front.products, np.maximum(-d, 0.0), np.abs(state.v), front.reach * r)
    # What rounding may have taken from sums that cancel.
    total += ROUNDING * (np.abs(d) @ np.sqrt(np.diag(front.products))) * front.reach * r
    for number in range(len(front.blocks) - 1, -1, -1):
        convolution, pool = front.blocks[number]
        gap, length = state.gap[number], front.moves[number] * r
        weights, offset, slope = mean_weights(gap, q.reshape(len(q), -1), TYPICAL * length)
        total += shared_loss(np.maximum(-q.reshape(len(q), -1), 0.0), offset, slope, length)
        spread = np.zeros_like(gap)
        np.put_along_axis(spread, state.order[number], weights * q.reshape(len(q), -1)[:, :, None], 2)
        inside = convolution.output_shape(shapes[number])
        rows = from_windows(spread, pool, inside)[:, None]
        q = convolution.pull_back(rows, np.empty((len(q), *shapes[number])), None)[:, 0]
    gradient = q.reshape(len(q), -1)
    return total + np.sqrt(np.vecdot(gradient, gradient)) * r


def switching_loss(products, weight, distance, reach) -> np.ndarray:
    """Return an upper bound of ``Σ weight (|V Δφ| - distance)₊`` where ‖Δφ‖ ≤ reach (n,), (n,).

    Step P2. ``products`` is V Vᵀ; weight and distance (n, units).
    """
    farthest = np.sqrt(np.diag(products)) * reach[:, None]
    weight = np.where(farthest > distance, weight, 0.0)
    # Only the units that count, padded to the same number for all images.
    count = max(1, int(np.count_nonzero(weight, axis=1).max(initial=0)))
    units = np.argsort(weight == 0.0, axis=1, kind="stable")[:, :count]
    weight, distance, farthest = (np.take_along_axis(a, units, 1) for a in (weight, distance, farthest))
    products = products[units[:, :, None], units[:, None]]
    best = np.full(len(weight), np.inf)
    for share in WIDTHS:
        w = np.maximum(distance, share * farthest)
        root = np.sqrt(weight / (4.0 * np.maximum(w, 1e-300)))
        largest = np.linalg.eigvalsh(root[:, :, None] * products * root[:, None])[:, -1]
        best = np.minimum(best, np.vecdot(weight, w - distance) + largest * reach * reach)
    return best


def mean_weights(gap, q, typical):
    """Return the weights of the mean that stands for each maximum, and lines above what the maximum rises by more (P3).

    The mean is that of the 1, 2, … or m largest entries, whichever the maximum outruns least where the entries, less
    their mean, have moved by ``typical`` (n,). For q ≥ 0 it is the largest entry alone.

    Parameters
    ----------
    gap : array (n, windows, m)
        How far every entry is below the largest, rising.
    q : array (n, windows)

    Returns
    -------
    weights : array (n, windows, m)
        In the order of ``gap``.
    offset, slope : arrays (2, n, windows)
        ``Δmax - Δmean ≤ max(offset + slope t)`` over the two lines, t the length by which the entries moved.
    """
    m, level = gap.shape[2], np.zeros(gap.shape[:2])
    chosen, least = np.zeros(gap.shape[:2], dtype=int), None
    lines = np.zeros((2, 2, *gap.shape[:2]))
    for s in range(1, m + 1):
        # An entry of the mean, e_j - mean, has the length √(1 - 1/s), any other one √(1 + 1/s) and its gap to make up.
        offset = np.stack([level, -gap[:, :, s] if s < m else level])
        slope = np.array([math.sqrt(1.0 - 1.0 / s), math.sqrt(1.0 + 1.0 / s) if s < m else math.sqrt(1.0 - 1.0 / s)])
        slope = np.broadcast_to(slope[:, None, None], offset.shape)
        expected = (offset + slope * typical[:, None]).max(axis=0)
        better = np.ones_like(chosen, dtype=bool) if least is None else (expected < least) & (q < 0.0)
        least = expected if least is None else np.where(better, expected, least)
        chosen = np.where(better, s, chosen)
        lines = np.where(better, np.stack([offset, slope]), lines)
    return (np.arange(m) < chosen[:, :, None]) / chosen[:, :, None], *lines


def shared_loss(q, offset, slope, length) -> np.ndarray:
    """Return an upper bound of ``Σ_w q_w max(offset + slope t_w)₊`` where ``Σ t_w² ≤ length²``, (n,), by step P4."""
    reached = (offset + slope * length[:, None]).max(axis=0) > 0.0
    q, steep = np.where(reached, q, 0.0), slope.max(axis=0)
    best_without = np.sqrt(np.sum((q * steep) ** 2, axis=1)) / np.maximum(2.0 * length, 1e-100)
    best = np.full(len(q), np.inf)
    for share in SHARES:
        multiplier = np.maximum(share * best_without, 1e-300)
        gain = np.maximum((q * offset + (q * slope) ** 2 / (4.0 * multiplier[:, None])).max(axis=0), 0.0)
        best = np.minimum(best, gain.sum(axis=1) + multiplier * length * length)
    return best


def first_order(net: Network, state: State, x) -> np.ndarray:
    """Return how far every class is to first order, (n, classes), infinite for the own one."""
    slopes, everyone = net.linearise(x).jacobian, np.arange(len(x))
    slopes = np.linalg.norm(slopes[everyone, state.own][:, None] - slopes, axis=2)
    distance = np.maximum(state.lead, 0.0) / np.maximum(slopes, 1e-100)
    distance[everyone, state.own] = np.inf
    return distance


def _search(front, net, x):
    state = State.of(front, net, x)
    shapes = [net.input_shape]
    for convolution, pool in front.blocks:
        shapes.append(pool.output_shape(convolution.output_shape(shapes[-1])))
    (n, classes), everyone = state.lead.shape, np.arange(len(x))
    distance = first_order(net, state, x)
    order = distance.argsort(axis=1)
    radius, rival = np.full(n, np.inf), order[:, 0].copy()
    for rank in range(classes - 1):
        j = order[:, rank]
        bounded = np.isfinite(radius)
        holds = np.zeros(n, dtype=bool)
        if bounded.any():
            some = np.flatnonzero(bounded)
            lost = loss_of_lead(front, state.take(some), shapes, j[some], radius[some])
            holds[some] = state.lead[some, j[some]] > lost * (1.0 + ROUNDING)
        some = np.flatnonzero(~holds & (state.lead[everyone, j] > 0.0))
        if len(some):
            top = np.minimum(np.minimum(distance[some, j[some]], radius[some]), FARTHEST)
            found = _largest(front, state.take(some), shapes, j[some], top)
            closer = found < radius[some]
            radius[some[closer]], rival[some[closer]] = found[closer], j[some[closer]]
        tied = ~(state.lead[everyone, j] > 0.0)
        radius[tied], rival[tied] = 0.0, np.where(radius[tied] > 0.0, j[tied], rival[tied])
    return radius * (1.0 - ROUNDING), rival


def _largest(front, state, shapes, rival, top):
    """Return the largest radius up to ``top`` (n,) at which the lead was proved, from so many trials."""
    lead = state.lead[np.arange(len(rival)), rival]
    low, high = np.zeros(len(rival)), np.full(len(rival), np.inf)
    r = 0.15 * top
    for _ in range(TRIALS):
        lost = loss_of_lead(front, state, shapes, rival, r) * (1.0 + ROUNDING)
        good = lost < lead
        low, high = np.where(good, np.maximum(low, r), low), np.where(good, high, np.minimum(high, r))
        # The loss grows a little faster than r.
        guess = r * (lead / np.maximum(lost, 1e-100)) ** 0.8 * 0.995
        middle = np.where(np.isfinite(high), 0.5 * (low + high), 2.0 * r)
        inside = (guess > low) & (guess < high)
        r = np.minimum(np.where(inside, guess, middle), top)
    return low
