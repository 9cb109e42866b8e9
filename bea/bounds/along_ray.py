"""Bounds of values and slopes of a network on a segment of a ray, carried from layer to layer."""

import numpy as np

from bea.networks.activations import BELL_SHAPED
from bea.networks.global_pooling import GlobalAveragePool, GlobalMaxPool, lines
from bea.networks.layers import Activation, Flatten, Readout, Weighted
from bea.networks.normalisation import LayerNormalization, PReLU, Scale
from bea.networks.radial import RadialBasis
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.sequence import leaves, trace
from bea.networks.sliding import put_around
from bea.networks.windows import AveragePool, MaxPool
from bea.numerics.arrays import column

# Layers that are affine maps: at their head a network need not be run anew for every point of a ray.
AFFINE = (AveragePool, Crop, Flatten, GlobalAveragePool, Pad, Permute, Readout, Reshape, Scale, Weighted)


def value_bounds(y, z, low, high, width) -> tuple[np.ndarray, np.ndarray]:
    """Enclose a function between two points ``width`` apart, with the values y and z there and slopes in [low, high].

    It stays above the line that falls most steeply from y and the one that rises most steeply to z; they meet at the
    least value. The largest follows by symmetry.
    """
    width = column(width, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        dip = (high * y - low * z + low * high * width) / (high - low)
        peak = (high * z - low * y - low * high * width) / (high - low)
    turns = (low < 0.0) & (high > 0.0)
    least, most = np.minimum(y, z), np.maximum(y, z)
    # The bounds meet the ends up to rounding, so they are not allowed inside.
    return np.where(turns, np.minimum(dip, least), least), np.where(turns, np.maximum(peak, most), most)


def slope_bounds(layer, y, z, v, low, high, width) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds of the slope of a layer's output along a segment.

    Parameters
    ----------
    layer : Layer
    y, z : arrays (m, *shape)
        Its input at the two ends.
    v : array (m, *output shape)
        Its output at the first.
    low, high : arrays (m, *shape)
        Bounds of the slope of its input.
    width : array (m,)
        Length of the segments.
    """
    if layer.paths:
        total = [0.0, 0.0]
        for path in layer.paths:
            ends, slopes = (trace(path, end) for end in (y, z)), (low, high)
            for part, left, right, output in _parts(path, *ends):
                slopes = slope_bounds(part, left, right, output, *slopes, width)
            total = [one + other for one, other in zip(total, slopes, strict=True)]
        return tuple(total)
    if isinstance(layer, Activation) and layer.name in BELL_SHAPED:
        least, most = value_bounds(y, z, low, high, width)
        f = layer.forward
        at_least, at_most = layer.slope(least, f(least)), layer.slope(most, f(most))
        # Every activation has its largest slope at one end, or at zero.
        zero = np.zeros(1)
        steepest = np.where((least < 0.0) & (most > 0.0), layer.slope(zero, f(zero)), 0.0)
        flat, steep = np.minimum(at_least, at_most), np.maximum(np.maximum(at_least, at_most), steepest)
        return np.where(low < 0.0, low * steep, low * flat), np.where(high > 0.0, high * steep, high * flat)
    if isinstance(layer, PReLU) or (isinstance(layer, Activation) and not layer.jumps):
        return _products(_slope_range(layer, *value_bounds(y, z, low, high, width)), (low, high))
    if isinstance(layer, GlobalMaxPool):
        least, most = value_bounds(y, z, low, high, width)
        least, most, low, high = (lines(bound) for bound in (least, most, low, high))
        may_lead = most >= least.max(axis=1, keepdims=True)
        return np.where(may_lead, low, np.inf).min(axis=1), np.where(may_lead, high, -np.inf).max(axis=1)
    if isinstance(layer, LayerNormalization):
        return _normalised_slopes(layer, *value_bounds(y, z, low, high, width), low, high)
    if isinstance(layer, MaxPool):
        least, most = value_bounds(y, z, low, high, width)
        bar = layer.forward(least)
        most = put_around(most, layer.padding, -np.inf)
        low, high = (put_around(bound, layer.padding) for bound in (low, high))
        slopes = [np.full(v.shape, np.inf), np.full(v.shape, -np.inf)]
        for pixels in layer.offsets(y.shape[1:]):
            may_lead = most[pixels] >= bar
            slopes[0] = np.where(may_lead, np.minimum(slopes[0], low[pixels]), slopes[0])
            slopes[1] = np.where(may_lead, np.maximum(slopes[1], high[pixels]), slopes[1])
        return tuple(slopes)
    centre, radius = 0.5 * (low + high), 0.5 * (high - low)
    if isinstance(layer, RadialBasis):
        # The exponent -γ ‖y - c‖² has the slope -2 γ (y - c)·y', both factors known up to a radius.
        least, most = value_bounds(y, z, low, high, width)
        middle, reach = 0.5 * (least + most), 0.5 * (most - least)
        twice = 2.0 * layer.sharpness
        slope = twice * (centre @ layer.centres.T - np.vecdot(middle, centre)[:, None])
        spread = np.vecdot(np.abs(middle), radius) + np.vecdot(reach, np.abs(centre) + radius)
        spread = twice * (spread[:, None] + radius @ np.abs(layer.centres).T)
        low, high = slope - spread, slope + spread
        least, most = value_bounds(layer.exponents(y), layer.exponents(z), low, high, width)
        most = np.minimum(most, 0.0)  # no exponent is positive, its bound may be
        # Then the exponential, whose slope is its value.
        least, most = np.exp(least), np.exp(most)
        return np.where(low < 0.0, low * most, low * least), np.where(high > 0.0, high * most, high * least)
    if not isinstance(layer, AFFINE):
        raise TypeError(f"net: expected layers whose slopes are known here, received {unknown_slopes([layer])}")
    larger = layer
    if isinstance(layer, Weighted):
        larger = layer.with_matrix(np.abs(layer.matrix))
    elif isinstance(layer, Scale):
        larger = Scale(np.abs(layer.factor))
    centre, radius = layer.push_forward(centre, y, v), larger.push_forward(radius, y, v)
    return centre - radius, centre + radius


def unknown_slopes(layers) -> str | None:
    """Return the first layer that ``slope_bounds`` does not know, in words; None where it knows them all."""
    known = (*AFFINE, Activation, PReLU, MaxPool, GlobalMaxPool, LayerNormalization, RadialBasis)
    for layer in leaves(layers):
        if isinstance(layer, Activation) and layer.jumps:
            return f"the activation {layer.name}"
        if not isinstance(layer, known):
            return f"a {type(layer).__name__}"
    return None


def _normalised_slopes(layer, least, most, low, high) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds of the slope of a layer normalisation, given those of its input and of the slope of that.

    With c = y - m, s = √(mean c² + ε) and z = c/s it is ``factor (c' - z mean(z c'))/s``. What c' loses is a projection
    shortened, so that no entry is larger than ``‖c'‖/s``.
    """
    axes, n = tuple(range(-layer.factor.ndim, 0)), layer.factor.size

    def mean(y):
        return y.mean(axis=axes, keepdims=True)

    def centred(low, high):
        # Of the mean, an entry's own share moves with the entry.
        return low - low / n - (mean(high) - high / n), high - high / n - (mean(low) - low / n)

    c, slope = centred(least, most), centred(low, high)
    squares = [bound**2 for bound in c]
    nearest = np.where((c[0] < 0.0) & (c[1] > 0.0), 0.0, np.minimum(*squares))
    s = [np.sqrt(mean(square) + layer.epsilon) for square in (nearest, np.maximum(*squares))]
    inverse = 1.0 / s[1], 1.0 / s[0]
    z = _products(c, inverse)
    lost = _products(z, [mean(bound) for bound in _products(z, slope)])
    found = _products((slope[0] - lost[1], slope[1] - lost[0]), inverse)
    limit = np.sqrt(n * mean(np.maximum(*map(np.abs, slope)) ** 2)) * inverse[1]
    return _products([np.clip(bound, -limit, limit) for bound in found], (layer.factor, layer.factor))


def _products(one, other) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest product of numbers from two intervals."""
    products = [first * second for first in one for second in other]
    return np.minimum.reduce(products), np.maximum.reduce(products)


def _parts(layers, values, others):
    """Yield every layer with its input at both ends, and its output at the first."""
    return zip(layers, values[:-1], others[:-1], values[1:], strict=True)


def _slope_range(layer, least, most) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest slope of an elementwise layer between two arrays of arguments.

    It has them at an end, at a kink, on either side of that, or where the slope turns.
    """
    ends = [layer.slope(end, layer.forward(end)) for end in (least, most)]
    flat, steep = np.minimum(*ends), np.maximum(*ends)
    kinks = [np.nextafter(t, side) for t, _ in layer.kinks for side in (-np.inf, np.inf)]
    turns = layer.function.turns if isinstance(layer, Activation) else ()
    for place in (*kinks, *turns):
        at = np.full((1, *least.shape[1:]), place)
        slope = layer.slope(at, layer.forward(at))
        inside = (least <= place) & (place <= most)
        flat, steep = np.where(inside, np.minimum(flat, slope), flat), np.where(inside, np.maximum(steep, slope), steep)
    return flat, steep
