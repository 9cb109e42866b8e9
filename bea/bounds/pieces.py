"""Networks made of linear pieces, taken apart: which layers are covered, and by how much their inputs can move."""

import functools
from dataclasses import dataclass, replace

import numpy as np

from bea.bounds.lipschitz import gamma, lipschitz_constant
from bea.bounds.pooling_front import deviations
from bea.networks.global_pooling import GlobalAveragePool
from bea.networks.layers import Activation, Dense, Flatten
from bea.networks.network import Network
from bea.networks.normalisation import PReLU, Scale
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.sliding import reach
from bea.networks.windows import AveragePool, Convolution, MaxPool

POSITIVE = (AveragePool, Crop, Flatten, GlobalAveragePool, Pad, Permute, Reshape)  # linear, no number in them negative
RISING = ("relu", "relu6", "clip", "hard_tanh", "hard_sigmoid")  # never falling: they change places with a maximum


@dataclass(frozen=True, eq=False)
class Pieces:
    """A network whose layers are affine, maxima of windows, or elementwise functions made of straight lines.

    Attributes
    ----------
    layers : tuple
        Those of the network; a rising activation in front of a max pooling stands behind it instead, which is the
        same map and has fewer kinks.
    norms : list of float
        Proven Lipschitz constants of all layers but the last.
    reach : list of float
        R for every layer: its input moves by no more than ``R ‖δ‖``.
    apart : list of float
        T for every max pooling, else zero: ``(Σ_w ‖u_w‖²)^½ ≤ T ‖δ‖``, u_w what the entries of window w move by, less
        their mean where that is known to be shorter.
    signs : list
        For every affine layer the two linear ones with its positive and with its negative numbers, without signs;
        the second is None if there are none. None for other layers.
    window : range
        Layers that look through windows at the image, or at single entries, one after the other.
    span : pair of int
        Height and width of what one number in front of or behind such a layer sees of the image, at most.
    """

    layers: tuple
    norms: list[float]
    reach: list[float]
    apart: list[float]
    signs: list
    window: range
    span: tuple[int, int]


@functools.lru_cache(maxsize=16)
def linear_pieces(net: Network) -> Pieces:
    """Return the parts of the network and their constants, or raise ``ValueError``; remembered for each network."""
    for number, layer in enumerate(net.layers[:-1]):
        if not (isinstance(layer, (*POSITIVE, Convolution, Dense, MaxPool, Scale)) or has_only_kinks(layer)):
            raise _refusal(net, f"received {_named(layer)} as layers[{number}]")
    layers = _maxima_first(net.layers)
    window, span = _seen(layers, net.input_shape)
    for number, layer in enumerate(layers):
        if isinstance(layer, MaxPool) and number not in window:
            raise _refusal(net, f"received a MaxPool behind {_named(layers[window.stop])}")
    norms, reached, apart, shapes = [], [1.0], [], [net.input_shape]
    for number, layer in enumerate(layers[:-1]):
        norms.append(lipschitz_constant(layer, shapes[-1]))
        apart.append(_apart(layers, number, norms, reached, shapes) if isinstance(layer, MaxPool) else 0.0)
        reached.append(reached[-1] * norms[-1] * (1.0 + gamma(2)))
        shapes.append(layer.output_shape(shapes[-1]))
    return Pieces(layers, norms, reached, apart, [_signs(layer) for layer in layers], window, span)


def has_only_kinks(layer) -> bool:
    """Return whether the layer is an elementwise function made of straight lines, without jumps."""
    if isinstance(layer, PReLU):
        return True
    return isinstance(layer, Activation) and layer.function.bend is None and layer.steepest is not None


def _refusal(net, received):
    shape, instead = net.input_shape, "the method 'lipschitz' covers it"
    try:
        for layer in net.layers:
            lipschitz_constant(layer, shape)
            shape = layer.output_shape(shape)
    except ValueError:
        instead = "no other method covers it, as it has a layer without Lipschitz constant"
    return ValueError(
        "net: expected dense layers, each with one activation at most, or convolutions, max and average pooling, fixed "
        "scales, dense layers and activations made of straight lines (relu, leaky_relu, clip, …), for the method "
        f"'local', {received}; {instead}"
    )


def _named(layer):
    return f"the activation {layer.name}" if isinstance(layer, Activation) else f"a {type(layer).__name__}"


def _maxima_first(layers):
    """Return the layers with rising activations behind the max pooling that follows them."""
    layers = list(layers)
    for end in range(len(layers), 1, -1):
        for i in range(end - 1):
            if isinstance(layers[i], Activation) and layers[i].name in RISING and isinstance(layers[i + 1], MaxPool):
                layers[i], layers[i + 1] = layers[i + 1], layers[i]
    return tuple(layers)


def _seen(layers, shape):
    """Return ``window`` and ``span``. Layers in front that only move pixels do not matter."""
    start = 0
    while isinstance(layers[start], Permute | Reshape):
        shape, start = layers[start].output_shape(shape), start + 1
    if len(shape) != 3:
        return range(start, start), (1, 1)
    span, step, stop = [1, 1], [1, 1], start
    for layer in layers[start:]:
        if isinstance(layer, Convolution | MaxPool | AveragePool):
            size = reach(layer.size, layer.dilation) if isinstance(layer, Convolution) else layer.size
            span = [seen + (length - 1) * s for seen, length, s in zip(span, size, step, strict=True)]
            step = [s * stride for s, stride in zip(step, layer.stride, strict=True)]
        elif not (isinstance(layer, Scale | Pad | Crop) or has_only_kinks(layer)):
            break
        stop += 1
    return range(start, stop), tuple(min(seen, length) for seen, length in zip(span, shape, strict=False))


def _apart(layers, number, norms, reached, shapes):
    """Return T of a max pooling; behind a plain convolution from the movement without the means of the windows."""
    pool, before = layers[number], layers[number - 1] if number else None
    fits = isinstance(before, Convolution) and before.plain
    if fits and pool.stride == pool.size and not any(map(any, pool.padding)):
        return reached[-2] * lipschitz_constant(deviations(before, pool), shapes[-2]) * (1.0 + gamma(2))
    return reached[-1] * norms[-1] * (1.0 + gamma(2))


def _signs(layer):
    if isinstance(layer, POSITIVE):
        return layer, None
    if isinstance(layer, Convolution | Dense):
        parts = np.maximum(layer.kernel, 0.0), np.maximum(-layer.kernel, 0.0)
        return tuple(replace(layer, matrix=part, bias=False) for part in parts)
    if isinstance(layer, Scale):
        return Scale(np.maximum(layer.factor, 0.0)), Scale(np.maximum(-layer.factor, 0.0))
    return None
