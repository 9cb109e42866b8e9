"""Rounding errors of a network that is evaluated in float64.

The problem: bound ``|computed logit - exact logit|`` of an image, the exact one being that of the stored weights in
real arithmetic. Layer by layer: what a layer computes from its input is off by a local error, and an error of its
input grows by its Lipschitz constant at most. All errors are Euclidean norms but the last, which is one a class.

Assumed are rounding to nearest without overflow, no squares that underflow, sums in any order (also with fused
operations), and elementary functions that are right within four units in the last place, the normal distribution
function within 32.
"""

import functools
import math

import numpy as np

from bea.bounds.lipschitz import gamma, lipschitz_constant, overlap
from bea.networks.global_pooling import GlobalAveragePool, GlobalMaxPool
from bea.networks.layers import Activation, Dense, Flatten
from bea.networks.normalisation import LayerNormalization, PReLU, Scale
from bea.networks.radial import RadialBasis
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.residual import Residual
from bea.networks.sequence import trace
from bea.networks.windows import AveragePool, Convolution, MaxPool
from bea.numerics.arrays import image_norms

FUNCTION = 16  # units of relative error of an elementwise function: sigmoid has the most operations
RELATIVE = ("sigmoid", "smooth_relu", "tanh")  # functions with such a relative error
EXACT = ("abs", "clip", "hard_tanh", "linear", "relu", "relu6")  # nothing to round
OTHERS = 64  # units of value and argument together: cancellation, as in v - tanh v, and rounded arguments
UNDERFLOW = 1e-290  # more than all products that underflow can add up to


def logit_error(net, x) -> np.ndarray:
    """Return a bound of ``|computed - exact|`` for every logit of a batch, (n, classes), in the unit of the logits.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)

    Raises
    ------
    ValueError
        If x has the wrong shape or range, or a layer has no Lipschitz constant.
    """
    return error_of(net, net.trace(net.check_images(x)))


def error_of(net, values) -> np.ndarray:
    """Return the same for what ``Network.trace`` returned: the input and the output of every layer."""
    error = errors_of(net.layers[:-1], values[:-1])[-1]
    last, norm = net.layers[-1], image_norms(values[-2])[:, None]
    rows, bias = np.linalg.norm(last.kernel, axis=1), np.abs(last.matrix[:, -1]) * last.bias
    return 1.01 * rows * error[:, None] + gamma(last.matrix.shape[1] + 1) * (rows * norm + bias) + UNDERFLOW


def errors_of(layers, values) -> list[np.ndarray]:
    """Return bounds (n,) of the Euclidean errors of all values, ``trace(layers, y)``; the first are exact."""
    errors = [np.zeros(len(values[0]))]
    for layer, y, output in zip(layers, values[:-1], values[1:], strict=True):
        passed = lipschitz_constant(layer, y.shape[1:]) * errors[-1] * (1.0 + gamma(8))
        errors.append(passed + _local(layer, image_norms(y), y, output))
    return errors


@functools.singledispatch
def _local(layer, norm, y, output):
    """Return a bound of the error (n,) that a layer makes with its input y, of which ``norm`` is the length."""
    raise ValueError(f"layer: expected one whose rounding is known, received a {type(layer).__name__}")


@_local.register
def _(layer: Flatten | MaxPool | GlobalMaxPool | Reshape | Permute | Pad | Crop, norm, y, output):
    return 0.0


@_local.register
def _(layer: Activation, norm, y, output):
    if layer.name in EXACT:
        return 0.0
    if layer.name in RELATIVE:
        return gamma(FUNCTION) * image_norms(output) + UNDERFLOW
    return gamma(OTHERS) * (image_norms(output) + norm) + UNDERFLOW


@_local.register
def _(layer: PReLU, norm, y, output):
    return gamma(2) * image_norms(output) + UNDERFLOW


@_local.register
def _(layer: Scale, norm, y, output):
    return gamma(3) * (lipschitz_constant(layer, y.shape[1:]) * norm + image_norms(output)) + UNDERFLOW


@_local.register
def _(layer: LayerNormalization, norm, y, output):
    # An error of y - m, which is at most that of a sum of N terms, grows by the constant of the layer; what comes
    # then, a sum of N squares, a root and a quotient, has no cancellation but that with the shift.
    terms = layer.factor.size
    shifts = np.linalg.norm(layer.shift) * math.sqrt(math.prod(y.shape[1:]) / terms)
    centred = 2.0 * gamma(terms + 2) * lipschitz_constant(layer, y.shape[1:]) * norm
    return centred + gamma(terms + 16) * (image_norms(output) + 2.0 * shifts) + UNDERFLOW


@_local.register
def _(layer: GlobalAveragePool, norm, y, output):
    return gamma(math.prod(y.shape[1:-1]) + 1) * lipschitz_constant(layer, y.shape[1:]) * norm + UNDERFLOW


@_local.register
def _(layer: Residual, norm, y, output):
    return sum(errors_of(path, trace(path, y))[-1] for path in layer.paths) + gamma(2) * image_norms(output)


@_local.register
def _(layer: AveragePool, norm, y, output):
    return gamma(math.prod(layer.size) + 1) * lipschitz_constant(layer, y.shape[1:]) * norm + UNDERFLOW


@_local.register
def _(layer: Dense, norm, y, output):
    return _affine(layer, norm, 1)


@_local.register
def _(layer: Convolution, norm, y, output):
    # All windows together are as long as y times the root of how many share a pixel, or shorter.
    windows = output.shape[1:3]
    steps = layer.stride if layer.dilation == (1, 1) else (1, 1)  # as many as a window has pixels at most
    return _affine(layer, norm * math.sqrt(overlap(layer.size, steps, windows)), math.prod(windows))


def _affine(layer, norm, positions):
    """Return γ_k (‖K‖_F ‖y‖ + ‖b‖), y all that the kernel K meets and b the bias, the same at so many positions."""
    bias = np.linalg.norm(layer.matrix[:, -1]) * layer.bias * math.sqrt(positions)
    return gamma(layer.matrix.shape[1] + 1) * (np.linalg.norm(layer.kernel) * norm + bias) + UNDERFLOW


@_local.register
def _(layer: RadialBasis, norm, y, output):
    # Cancellation in ‖y - c‖² leaves an error of (‖y‖ + ‖c‖)²; e⁻ᵗ has no slope above one, and t e⁻ᵗ ≤ 1.
    squares = (norm[:, None] + np.linalg.norm(layer.centres, axis=1)) ** 2
    return np.linalg.norm(gamma(y.shape[1] + 8) * layer.sharpness * squares + gamma(FUNCTION), axis=1)
