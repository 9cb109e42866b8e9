"""What the numbers of a network made of linear pieces can reach while the image stays in a ball.

Forwards, every output of a layer is written as ``Δy = J δ + e`` with J the product of the maps A_i that stand for the
layers (``bea.bounds.ball_pieces``), fixed for an image. Three things are carried along: the norm of each row of J, so
that ``|J_j δ| ≤ ‖J_j‖ r``; bounds ``-low ≤ e ≤ high`` of each entry; and one E ≥ ‖e‖. An entry of W e behind a kernel W
is no more than the length of its row times E, nor than its positive and negative numbers make of low and high.

The rows of J are never formed. A number sees but a part of the image, its span; pixels further apart are moved at the
same time, and the squares of what they do to a number add up to that of its row. Behind the windows, where every number
sees the whole image, the rows of the units are bounded one by one as the lead is, by ``fall``.

Rounding. The values at the image are off by η in Euclidean norm at most (``bea.bounds.rounding``), and 1e-12 of them is
added for the sums made with them here: this is ``doubt``. ``|v - p|`` counts less by it and a gap less by twice as
much; the sides of a kink, or two entries of a window, that are no further from each other may be taken for one another,
which costs the same once more. Ranges, sums without cancellation, are widened by ``ROUNDING`` = 1e-9 of themselves in
every layer, and norms of rows by 2e-9 of R, which is above γ_k times all the terms that a row is made of.
"""

import math
from dataclasses import dataclass

import numpy as np

from bea.bounds.ball_pooling import mean_weights
from bea.bounds.pieces import Pieces, has_only_kinks
from bea.bounds.rounding import errors_of
from bea.networks.layers import Dense
from bea.networks.sequence import trace
from bea.networks.sliding import cut_off, put_around
from bea.networks.windows import Convolution, MaxPool
from bea.numerics.arrays import column, flat, image_norms
from bea.numerics.blocks import blocks

ROUNDING = 1e-9  # relative, far above what the rounding of any sum can be
NUMBERS = 2**21  # in one array that holds several rows or tangents for every image
TYPICAL = 0.2  # of the whole length: what a window's entries are expected to move by; sound whatever they do
NOWHERE = 1e100  # how far a pixel outside of the image is below the largest entry of its window


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of a max pooling at n images, m entries in each, and the means that stand for their maxima.

    Attributes
    ----------
    gap, largest, weights : arrays (n, windows, m)
        How far every entry is below the largest, less the doubt; one for the largest, else zero; weights in the mean.
    offset, slope : arrays (2, n, windows)
        Straight lines above what the maximum rises by over the mean.
    doubt : array (n, windows)
    """

    gap: np.ndarray
    largest: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    slope: np.ndarray
    doubt: np.ndarray

    @classmethod
    def of(cls, pool, y, η, typical):
        """Return those of inputs y with the errors η (n,), whose windows move by about ``typical`` (n,)."""
        entries = gathered(pool, y, -np.inf)
        order = np.argsort(-entries, axis=2, kind="stable")
        highest = entries.max(axis=2)
        doubt = η[:, None] + 1e-12 * np.abs(highest)
        gap = np.clip(highest[:, :, None] - entries - 2.0 * doubt[:, :, None], 0.0, NOWHERE)
        rising = np.take_along_axis(gap, order, 2)
        means, offset, slope = mean_weights(rising, -np.ones(highest.shape), typical)
        largest, weights = np.zeros_like(gap), np.empty_like(gap)
        np.put_along_axis(largest, order[:, :, :1], 1.0, 2)
        np.put_along_axis(weights, order, means, 2)
        return cls(gap, largest, weights, offset, slope, doubt)


@dataclass(frozen=True, eq=False)
class Kink:
    """One kink of an elementwise function, a multiple of ``(v - p)₊``, where its input v stays within a range.

    Attributes
    ----------
    jump : float or array
        κ, by which the slope jumps.
    right : bool array (n, …)
        Whether v > p at the image.
    chord, most : arrays (n, …)
        Slope of the chord of ``(v - p)₊`` over the range, and by how much it lies above at the image.
    lines : pair of arrays (2, n, …)
        Offset and slope of ``β t`` and ``(1 - β) t - |v - p|``.
    doubt : array (n, …)
        Where the side may be wrong: how much that can cost, else zero.
    """

    jump: np.ndarray
    right: np.ndarray
    chord: np.ndarray
    most: np.ndarray
    lines: tuple
    doubt: np.ndarray

    @classmethod
    def of(cls, place, jump, v, doubt, below, above):
        """Return that of inputs v (n, …), off by ``doubt``, which move between -below and above."""
        c = v - place
        below, above = below + doubt, above + doubt
        low, high = c - below, c + above
        crosses = (low < 0.0) & (high > 0.0)
        chord = np.where(crosses, np.clip(high / np.maximum(below + above, 1e-300), 0.0, 1.0), low >= 0.0)
        # The highest of a convex function over a line is at an end; both, as the slope of the chord is rounded.
        ends = np.maximum(chord * below, np.maximum(high, 0.0) - chord * above)
        most = np.where(crosses, np.maximum(ends - np.maximum(c, 0.0), 0.0) + doubt, 0.0)
        β, distance = np.where(c > 0.0, 1.0 - chord, chord), np.maximum(np.abs(c) - doubt, 0.0)
        lines = np.stack([np.zeros_like(c), -distance]), np.stack([β, 1.0 - β])
        return cls(jump, c > 0.0, chord, most, lines, np.where(distance > 0.0, 0.0, doubt))


@dataclass(frozen=True, eq=False)
class Image:
    """What is known at n images, whatever the ball.

    Attributes
    ----------
    values : list of arrays (n, …)
        The images and the output of every layer.
    errors : list of arrays (n,)
        Bounds of the Euclidean errors of the inputs of all layers.
    windows : list
        ``Windows`` for every max pooling, else None.
    left : list
        For elementwise functions the slope left of all kinks, else None.
    slopes : list
        For these, the slope of ``(v - p)₊`` that stands for each kink in J, arrays (n, …).
    rows : list
        For layers among the windows: ‖J_j‖ of every input of an elementwise function, (n, …), and that of every entry
        less the mean of its window, (n, windows, m); else None.
    """

    values: list
    errors: list
    windows: list
    left: list
    slopes: list
    rows: list

    @classmethod
    def of(cls, pieces: Pieces, x, r, ranges=None):
        """Return that of images x, with means and, if ``ranges`` are given, chords made for a ball of radius r (n,)."""
        values = trace(pieces.layers, x)
        errors = errors_of(pieces.layers[:-1], values[:-1])
        windows, left, slopes = ([None] * len(pieces.layers) for _ in range(3))
        for i, layer in enumerate(pieces.layers):
            if isinstance(layer, MaxPool):
                windows[i] = Windows.of(layer, values[i], errors[i], TYPICAL * pieces.apart[i] * r)
            elif has_only_kinks(layer):
                first = np.array([min((place for place, _ in layer.kinks), default=0.0) - 1.0])
                left[i] = layer.slope(first, layer.forward(first))
                at_image = [(values[i] > place).astype(float) for place, _ in layer.kinks]
                slopes[i] = [kink.chord for kink in ranges[i]] if ranges else at_image
        image = cls(values, errors, windows, left, slopes, [None] * len(pieces.layers))
        _add_rows(pieces, image)
        return image

    def slope(self, layer, i):
        """Return the slope of the elementwise layer i in J, (n, …)."""
        parts = [jump * slope for (_, jump), slope in zip(layer.kinks, self.slopes[i], strict=True)]
        return sum(parts, self.left[i] * np.ones_like(self.values[i]))


def gathered(pool, y, outside) -> np.ndarray:
    """Return the entries of all windows, (n, windows, m), with one value for those outside of the image."""
    padded = put_around(y, pool.padding, outside)
    return np.stack([flat(padded[pixels]) for pixels in pool.offsets(y.shape[1:])], axis=2)


def scatter(pool, q, weights, shape) -> np.ndarray:
    """Return rows q (n, k, windows…) times the means with these weights (n, windows, m), as rows of ``shape``."""
    total = put_around(np.zeros((*q.shape[:2], *shape)), pool.padding)
    for pixel, pixels in enumerate(pool.offsets(shape)):
        total[pixels] += q * weights[:, None, :, pixel].reshape(len(q), 1, *q.shape[2:])
    return cut_off(total, pool.padding)


def ranges_in_ball(pieces: Pieces, image: Image, r, fall) -> list:
    """Return for every layer what bounds its residual where ‖δ‖ ≤ r (n,).

    For a max pooling what the maximum rises by over the mean at most, (n, windows); for an elementwise function its
    ``Kink`` objects; None for affine layers.
    """
    low = high = np.zeros_like(image.values[0])
    length, found = np.zeros(len(r)), []
    for i, layer in enumerate(pieces.layers[:-1]):
        known, v = None, image.values[i]
        if i >= pieces.window.stop:
            if has_only_kinks(layer):
                known = _kinks(layer, image, i, *_of_units(pieces, image, found, i, r, fall))
            found.append(known)
            continue
        if isinstance(layer, MaxPool):
            known, low, high, added = _of_maxima(layer, image.windows[i], image.rows[i], low, high, r)
            length = pieces.norms[i] * length + np.minimum(added, math.sqrt(2.0) * pieces.apart[i] * r)
            low, high = (a.reshape(image.values[i + 1].shape) for a in (low, high))
        elif has_only_kinks(layer):
            straight = image.rows[i] * column(r, v)
            below, above = (straight + low) * (1.0 + ROUNDING), (straight + high) * (1.0 + ROUNDING)
            known = _kinks(layer, image, i, below, above)
            low, high, added, bent = _of_kinks(layer, image, i, below, above, low, high)
            slope = flat(np.abs(image.slope(layer, i))).max(axis=1)
            length = slope * length + np.minimum(added, bent * pieces.reach[i] * r)
        else:
            low, high = _of_affine(layer, pieces.signs[i], low, high, length)
            length = pieces.norms[i] * length
        length = length * (1.0 + ROUNDING)
        low, high = (np.minimum(a, column(length, a)) * (1.0 + ROUNDING) for a in (low, high))
        found.append(known)
    return found


def _of_affine(layer, signs, low, high, length):
    """Return the bounds of A e behind an affine layer."""
    positive, negative = signs
    below, above = positive.push_forward(low, low, None), positive.push_forward(high, high, None)
    if negative is not None:
        below, above = below + negative.push_forward(high, high, None), above + negative.push_forward(low, low, None)
    if isinstance(layer, Convolution | Dense):
        largest = np.linalg.norm(layer.kernel, axis=1) * column(length, below)
        below, above = np.minimum(below, largest), np.minimum(above, largest)
    return below, above


def _of_maxima(pool, windows, rows, low, high, r):
    """Return ``most``, the bounds of e behind the pooling, and the length of what this layer adds to e."""
    below, above = gathered(pool, low, 0.0), gathered(pool, high, 0.0)
    w = windows.weights
    mean_below, mean_above = (w * below).sum(axis=2), (w * above).sum(axis=2)
    # An entry of e less the mean of all, in which it has a part itself.
    over = rows * column(r, rows) + (1.0 - w) * above + mean_below[:, :, None] - w * below
    most = np.maximum((over * (1.0 + ROUNDING) - windows.gap).max(axis=2), 0.0)
    least = (w * windows.gap).sum(axis=2) + 4.0 * windows.doubt
    return most, mean_below + least, mean_above + most, image_norms(np.maximum(most, least))


def _doubt(image, i, place):
    """Return by how much ``v - p`` at the image may be wrong, (n, …)."""
    v = image.values[i]
    return column(image.errors[i], v) + 1e-12 * (np.abs(v) + abs(place))


def _kinks(layer, image, i, below, above):
    v = image.values[i]
    return [Kink.of(place, jump, v, _doubt(image, i, place), below, above) for place, jump in layer.kinks]


def _of_kinks(layer, image, i, below, above, low, high):
    """Return the bounds of e behind an elementwise function, and the length of what it adds to e.

    The latter twice, by its entries, and for inputs that move by 1 in all.
    """
    v, slope = image.values[i], image.slope(layer, i)
    up, down = np.maximum(slope, 0.0), np.maximum(-slope, 0.0)
    least, most, bent = np.zeros_like(v), np.zeros_like(v), 0.0
    for (place, jump), part in zip(layer.kinks, image.slopes[i], strict=True):
        c, doubt = v - place, 2.0 * _doubt(image, i, place)
        moves = [-below, above, np.clip(-c, -below, above)]
        gaps = [np.maximum(c + t, 0.0) - np.maximum(c, 0.0) - part * t for t in moves]
        ends = jump * (np.minimum.reduce(gaps) - doubt), jump * (np.maximum.reduce(gaps) + doubt)
        least, most = least + np.minimum(*ends), most + np.maximum(*ends)
        bent = bent + flat(np.abs(jump) * np.maximum(part, 1.0 - part)).max(axis=1)
    low, high = up * low + down * high - least, up * high + down * low + most
    return low, high, image_norms(np.maximum(most, -least)), bent


def _of_units(pieces, image, found, i, r, fall):
    """Return by how much every input of layer i can fall and rise, (n, …), each bounded by itself."""
    v = image.values[i]
    units = np.broadcast_to(np.eye(math.prod(v.shape[1:])), (len(v), *[math.prod(v.shape[1:])] * 2))
    units = units.reshape(*units.shape[:2], *v.shape[1:])
    return tuple(fall(pieces, image, found, sign * units, i, r).reshape(v.shape) for sign in (1.0, -1.0))


def _add_rows(pieces, image):
    """Put the norms of rows into ``image.rows``: pixels of one colour are never seen together."""
    if not pieces.window:
        return
    first = image.values[pieces.window.start]
    n, shape, (height, width) = len(first), first.shape[1:], pieces.span
    row, across, channel = np.indices(shape)
    colour = ((row % height) * width + across % width) * shape[2] + channel
    widest = max(math.prod(y.shape[1:]) for y in image.values)
    for part in blocks(height * width * shape[2], max(1, NUMBERS // (max(1, n) * widest))):
        dy = (colour == np.arange(part.start, part.stop)[:, None, None, None]).astype(float)
        k = len(dy)
        dy = np.broadcast_to(dy, (n, *dy.shape)).reshape(n * k, *shape)
        for i in pieces.window:
            layer, y = pieces.layers[i], image.values[i]
            if isinstance(layer, MaxPool):
                entries = gathered(layer, dy, 0.0)
                entries = entries.reshape(n, k, *entries.shape[1:])
                mean = np.vecdot(entries, image.windows[i].weights[:, None])
                _add_squares(image.rows, i, entries - mean[:, :, :, None])
                dy = mean.reshape(n * k, *image.values[i + 1].shape[1:])
            elif has_only_kinks(layer):
                dy = dy.reshape(n, k, *y.shape[1:])
                _add_squares(image.rows, i, dy)
                dy = (dy * image.slope(layer, i)[:, None]).reshape(n * k, *y.shape[1:])
            else:
                dy = layer.push_forward(dy, dy, None)
    for i in pieces.window:
        if image.rows[i] is not None:
            image.rows[i] = np.sqrt(image.rows[i]) * (1.0 + ROUNDING) + 2.0 * ROUNDING * pieces.reach[i]


def _add_squares(rows, i, changes):
    squares = np.square(changes).sum(axis=1)
    rows[i] = squares if rows[i] is None else rows[i] + squares
