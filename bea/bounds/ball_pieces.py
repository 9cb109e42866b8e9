"""Lower bounds for networks made of linear pieces, such as the usual convolutional ones, tight within a ball.

The problem is that of ``bea.bounds.ball_dense``: for the own class and a rival, a lower bound of their lead where
‖δ‖ ≤ r. Layers are affine (convolution, average pooling, fixed scales, dense), maxima of windows, or elementwise
functions made of straight lines, such as ReLU, in any order.

Split. Let a linear map A_i stand for every layer f_i, and ``e_i = Δf_i - A_i Δy_{i-1}`` be what the layer moves by
   besides. As ``Δy_i = A_i Δy_{i-1} + e_i``, a linear function q of any Δy_p moves by ``q_0ᵀδ + Σ_i q_iᵀ e_i`` exactly,
   q_i being q pulled back through A_p, …, A_{i+1}. So it falls by ``‖q_0‖ r`` and what each ``q_iᵀ e_i`` can cost, at
   most. No A_i need be the derivative, and each q may have its own.
Kinks. A function of straight lines is an affine one and a multiple κ of ``(v - p)₊`` for each kink. Where κ q ≥ 0 the
   slope of ``(v - p)₊`` at the image stands for it, and e ≥ 0 costs nothing, as it is convex. Where κ q < 0 it is that
   of the chord over the range of v in the ball: e is no more than the chord's height over the function at the image,
   and, with β the distance of the two slopes and t what v moves by, than ``max(β |t|, (1 - β) |t| - |v - p|)``.
Maxima. Where q ≥ 0 the largest entry stands for the maximum, and costs nothing. Where q < 0 a mean of the largest
   entries does, as in step P3 of ``bea.bounds.ball_pooling``; besides its straight lines, e is no more than what an
   entry can rise by over the mean, less its gap.
Shares. So each e has a bound of its own, and straight lines in t; and all t of a layer share one length,
   ``Σ t² ≤ (R r)²`` (step P4). ``bea.bounds.piece_ranges`` has the bounds of each, forwards.

Rounding. See there for ranges. A pull-back is wrong by a multiple of the rounding unit of ‖q_i‖ times the norm of the
layer, and meets an input that moves by R r: ``ROUNDING`` = 1e-9 of ``‖q_i‖ R_i r`` is added for every layer, and as
much of the whole in the end. The lead is less by what ``bea.bounds.rounding`` bounds the error of two logits by.
"""

import math

import numpy as np

from bea.bounds.piece_ranges import NUMBERS, ROUNDING, Image, ranges_in_ball, scatter
from bea.bounds.pieces import Pieces, has_only_kinks, linear_pieces
from bea.bounds.rounding import error_of
from bea.networks.leads import lead_over_each
from bea.networks.network import Network
from bea.networks.sequence import shapes_of
from bea.networks.windows import MaxPool
from bea.numerics.arrays import flat
from bea.numerics.blocks import blocks, in_blocks

SHARES = np.geomspace(0.03, 1.0, 6)  # multipliers of the shared length, in units of the best one without thresholds
FARTHEST = 1e4  # no larger radius is tried
START = 0.1  # of the distance to first order: the first radius tried
TRIALS = (3, 5)  # radii tried with the slopes at the image, and then with those of the chords in the ball found


def pieces_bound(net: Network, x) -> tuple[np.ndarray, np.ndarray]:
    """Return how far every image must move at least before its class can change, and the class that limits it.

    An image takes about as long as a thousand gradients: each of eight radii costs two rows for every unit behind the
    windows, and norms of rows cost one tangent for every pixel and channel of a span, twice.

    Parameters
    ----------
    net : Network
        Of convolutions (strides, padding, groups, gaps), max and average pooling, global averages, ``Scale``, dense
        layers, reshapes, and elementwise functions made of straight lines (relu, leaky_relu, PReLU, clip, …).
    x : array (n, *input_shape)

    Returns
    -------
    radius : array (n,)
        Euclidean length in the unit of the pixels, zero for a tie, ``FARTHEST`` at most; at it all leads were proved.
    rival : array (n,) of int

    Raises
    ------
    ValueError
        For a network with other layers, and images of wrong shape or range.
    """
    pieces = linear_pieces(net)
    x = net.check_images(x)
    widest = max(math.prod(output) for _, _, output in shapes_of(net.layers, net.input_shape))
    return in_blocks(lambda part: _search(pieces, net, part), int(np.clip(NUMBERS // (64 * widest), 1, 16)), x)


def shared_cost(weight, most, offset, slope, length) -> np.ndarray:
    """Return an upper bound of ``Σ weight e`` where ``e ≤ most``, ``e ≤ max(offset + slope t)₊``, ``Σ t² ≤ length²``.

    Parameters
    ----------
    weight : array (n, k, numbers), not negative
    most : array (n, 1, numbers)
    offset, slope : arrays (2, n, 1, numbers)
        Two straight lines in t.
    length : array (n, 1)

    Returns
    -------
    array (n, k)
    """
    limit = weight * most
    best = limit.sum(axis=2)
    weight = np.where(most > 0.0, weight, 0.0)
    squares = weight * weight
    steepest = np.sqrt((squares * slope.max(axis=0) ** 2).sum(axis=2)) / np.maximum(2.0 * length, 1e-100)
    fixed, curved = [weight * o for o in offset], [squares * (0.25 * s * s) for s in slope]
    for share in SHARES:
        multiplier = np.maximum(share * steepest, 1e-300)
        inverse = 1.0 / multiplier[:, :, None]
        gain = np.maximum(*(a + inverse * b for a, b in zip(fixed, curved, strict=True)))
        gain = np.minimum(np.maximum(gain, 0.0), limit)
        best = np.minimum(best, gain.sum(axis=2) + multiplier * length * length)
    return best


def fall(pieces: Pieces, image: Image, ranges: list, q, number: int, r) -> np.ndarray:
    """Return by how much linear functions q (n, k, …) of the input of layer ``number`` can fall, (n, k).

    ``ranges`` are those of the layers in front, in a ball of radius r (n,).
    """
    widest = max(math.prod(y.shape[1:]) for y in image.values[: number + 1])
    parts = blocks(q.shape[1], max(1, NUMBERS // (max(1, len(r)) * widest)))
    return np.concatenate([_fall(pieces, image, ranges, q[:, part], number, r) for part in parts], axis=1)


def _fall(pieces, image, ranges, q, number, r):
    r = r[:, None]
    total = ROUNDING * _lengths(q) * pieces.reach[number] * r
    for i in range(number - 1, -1, -1):
        layer, y, output = pieces.layers[i], image.values[i], image.values[i + 1]
        if isinstance(layer, MaxPool):
            windows, most = image.windows[i], ranges[i]
            rows = flat(q, keep=2)
            falling = np.maximum(-rows, 0.0)
            lines = windows.offset[:, :, None], windows.slope[:, :, None]
            total = total + shared_cost(falling, most[:, None], *lines, pieces.apart[i] * r)
            total = total + 2.0 * (np.maximum(rows, 0.0) * windows.doubt[:, None]).sum(axis=2)
            rising, sinking = (
                scatter(layer, part, weights, y.shape[1:])
                for part, weights in ((np.maximum(q, 0.0), windows.largest), (np.minimum(q, 0.0), windows.weights))
            )
            q = rising + sinking
        elif has_only_kinks(layer):
            slope = image.left[i]
            for kink in ranges[i]:
                bent = flat(q * kink.jump, keep=2)
                falling = np.maximum(-bent, 0.0)
                offset, slopes, most = (flat(a, keep=a.ndim - y.ndim + 1) for a in (*kink.lines, kink.most))
                total = total + shared_cost(
                    falling, most[:, None], offset[:, :, None], slopes[:, :, None], pieces.reach[i] * r
                )
                total = total + 2.0 * (np.maximum(bent, 0.0) * flat(kink.doubt)[:, None]).sum(axis=2)
                slope = slope + kink.jump * np.where(q * kink.jump < 0.0, kink.chord[:, None], kink.right[:, None])
            q = q * slope
        else:
            q = layer.pull_back(q, y, output)
        total = total + ROUNDING * _lengths(q) * pieces.reach[i] * r
    return (total + _lengths(q) * r) * (1.0 + ROUNDING)


def _lengths(q):
    rows = flat(q, keep=2)
    return np.sqrt(np.vecdot(rows, rows))


def _search(pieces, net, x):
    values = net.trace(x)
    logits, error = values[-1], error_of(net, values)
    own, everyone = logits.argmax(axis=1), np.arange(len(x))
    rivals = (own[:, None] + np.arange(1, net.classes)) % net.classes
    lead = lead_over_each(logits, own) - error - error[everyone, own][:, None]
    lead = np.maximum(np.take_along_axis(lead, rivals, 1), 0.0)
    kernel, jacobian = net.layers[-1].kernel, net.linearise(x).jacobian
    jacobian = np.broadcast_to(jacobian, (len(x), *jacobian.shape[1:]))
    rows = kernel[own][:, None] - kernel[rivals]
    steep = np.linalg.norm(
        jacobian[everyone, own][:, None] - np.take_along_axis(jacobian, rivals[:, :, None], 1), axis=2
    )
    top = np.minimum((lead / np.maximum(steep, 1e-100)).min(axis=1), FARTHEST)
    low, high, r = np.zeros(len(x)), np.full(len(x), np.inf), START * top
    image = Image.of(pieces, x, r)
    for phase, trials in enumerate(TRIALS):
        if phase:
            high, r = np.full(len(x), np.inf), np.maximum(low, START * r)
            image = Image.of(pieces, x, r, ranges_in_ball(pieces, image, r, fall))
        for _ in range(trials):
            lost = fall(pieces, image, ranges_in_ball(pieces, image, r, fall), rows, len(pieces.layers) - 1, r)
            quotient = lead / np.maximum(lost, 1e-100)
            least, good = quotient.min(axis=1), (lost < lead).all(axis=1)
            rival = rivals[everyone, quotient.argmin(axis=1)]
            low, high = np.where(good, np.maximum(low, r), low), np.where(good, high, np.minimum(high, r))
            # The loss grows faster than r, here.
            guess, middle = r * least**0.6 * 0.995, np.where(np.isfinite(high), 0.5 * (low + high), 2.0 * r)
            r = np.minimum(np.where((guess > low) & (guess < high), guess, middle), top)
    return low * (1.0 - ROUNDING), rival
