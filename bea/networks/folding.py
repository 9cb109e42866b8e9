"""Batch normalisation after training is an affine map of the entries, and folds into a neighbour with weights."""

import math

import numpy as np

from bea.networks.layers import Dense
from bea.networks.normalisation import Scale
from bea.networks.windows import Convolution


def batch_normalisation(mean, variance, epsilon, gain=1.0, offset=0.0) -> Scale:
    """Return what a trained batch normalisation does, ``gain (y - mean)/√(variance + ε) + offset``, as a ``Scale``.

    Parameters
    ----------
    mean, variance : array (channels,)
        The moving ones.
    epsilon : float
        ε: Keras has 1e-3, PyTorch 1e-5.
    gain, offset : array (channels,), optional
        γ and β of Ioffe and Szegedy (2015); Keras' ``gamma``, ``beta``, PyTorch's ``weight``, ``bias``.

    Raises
    ------
    ValueError
        For a variance that is negative, or zero with ε = 0.
    """
    mean, variance = np.asarray(mean, dtype=float), np.asarray(variance, dtype=float)
    if not (epsilon >= 0.0 and (variance >= 0.0).all() and (variance + epsilon > 0.0).all()):
        raise ValueError(f"variance: expected numbers that are positive with {epsilon!r} added, received {variance}")
    factor = np.asarray(gain, dtype=float) / np.sqrt(variance + epsilon)
    return Scale(factor, np.asarray(offset, dtype=float) - factor * mean)


def fold_scales(layers, input_shape) -> tuple:
    """Return layers of the same function in which every ``Scale`` that can is folded into a neighbour with weights.

    Into the ``Dense`` or ``Convolution`` before it, and else into the one behind it, where a shift may not meet zeros
    of padding. Rows are multiplied and biases moved (a bias is added where there was none), so that nothing is
    neglected but the rounding of the new weights. The insides of ``Residual`` are folded too. What cannot be folded
    stays a ``Scale``.

    Parameters
    ----------
    layers : sequence of layers
    input_shape : tuple of int
        Shape of one input of the first of them.
    """
    folded, shapes = [], [tuple(input_shape)]  # the shapes are those of the inputs of the layers in ``folded``
    for layer in layers:
        output = layer.output_shape(shapes[-1])
        if layer.paths:
            layer = layer.with_paths(*(fold_scales(path, shapes[-1]) for path in layer.paths))
        before = folded[-1] if folded else None
        joined = None
        if isinstance(layer, Scale) and isinstance(before, Dense | Convolution):
            joined = _into_rows(before, layer, shapes[-1])
        elif isinstance(before, Scale) and isinstance(layer, Dense | Convolution):
            joined = _into_columns(layer, before, shapes[-1])
        if joined is None:
            folded.append(layer)
        else:
            folded[-1] = joined
            shapes.pop()
        shapes.append(output)
    return tuple(folded)


def _into_rows(layer, scale, shape):
    """Return the layer with the scale of its output of ``shape`` in its matrix; None where it differs by the place."""
    factor, shift = (_by_channel(array, shape) for array in (scale.factor, scale.shift))
    if factor is None:
        return None
    bias = layer.matrix[:, -1] if layer.bias else np.zeros(len(layer.matrix))
    return _with(layer, layer.kernel * factor[:, None], bias * factor + shift)


def _into_columns(layer, scale, shape):
    """Return the layer with the scale of its input of ``shape`` in its matrix; None where that cannot be."""
    factor, shift = (_by_channel(array, shape) for array in (scale.factor, scale.shift))
    padded = isinstance(layer, Convolution) and any(map(any, layer.padding))
    if factor is None or (padded and shift.any()):
        return None
    if isinstance(layer, Convolution):
        # For every row the channels of its group, pixel by pixel of the window.
        repeats, rows = math.prod(layer.size), len(layer.matrix) // layer.groups
        factor, shift = (
            np.repeat(np.tile(array.reshape(layer.groups, -1), repeats), rows, axis=0) for array in (factor, shift)
        )
    bias = layer.matrix[:, -1] if layer.bias else 0.0
    return _with(layer, layer.kernel * factor, bias + np.sum(layer.kernel * shift, axis=1))


def _with(layer, kernel, bias):
    """Return the layer with another kernel and bias, without a bias if it had none and needs none."""
    if not layer.bias and not bias.any():
        return layer.with_matrix(kernel)
    matrix = np.column_stack([kernel, bias])
    if isinstance(layer, Dense):
        return Dense(matrix)
    return Convolution(matrix, layer.size, layer.stride, layer.padding, True, layer.dilation, layer.groups)


def _by_channel(array, shape):
    """Return one number a channel, the last axis of ``shape``; None where the array differs from place to place."""
    if math.prod(array.shape[:-1]) != 1:
        return None
    return np.broadcast_to(array.reshape(-1) if array.ndim else array, shape[-1:])
