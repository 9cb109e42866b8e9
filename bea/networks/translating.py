"""Layers of a model in the shapes that it has itself, made of those that a network has: shared by all readers.

Every function returns layers that act on a value of some ``shape``, without the axis of the samples.
"""

import math
import sys

import numpy as np

from bea.networks.folding import batch_normalisation
from bea.networks.global_pooling import GlobalAveragePool, GlobalMaxPool
from bea.networks.layers import Activation, Dense, Flatten
from bea.networks.normalisation import LayerNormalization, Scale
from bea.networks.reading import Softmax
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.tidying import Foldable
from bea.networks.windows import Convolution

LARGEST = sys.float_info.max  # for a limit that a function does not have


def on_images(layers, shape, channels_first=False) -> tuple:
    """Return layers on images (height, width, channels) as they act on a value that is one, or a line.

    A line (length, channels) is an image of height one. The channels may be the first axis instead of the last.
    """
    if len(shape) not in (2, 3):
        raise ValueError(f"expected an image or a line with channels, received an input of shape {shape}")
    axes = list(range(len(shape)))
    there, back = [], []
    if channels_first:
        there, back = [Permute((*axes[1:], 0))], [Permute((axes[-1], *axes[:-1]))]
        shape = (*shape[1:], shape[0])
    if len(shape) == 2:
        there, image = [*there, Reshape((1, *shape))], (1, *shape)
        for layer in layers:
            image = layer.output_shape(image)
        back = [Reshape(image[1:]), *back]
    return (*there, *layers, *back)


def convolution(kernel, bias, stride, padding, dilation, groups, shape, channels_first) -> tuple:
    """Return a convolution with ``kernel`` (filters, channels of a group, *window) and ``bias`` (filters,) or None.

    Other arguments have one entry for each axis of the window, ``padding`` pairs.
    """
    window = kernel.shape[2:]
    if len(window) + 1 != len(shape):
        raise ValueError(f"expected an input with {len(window)} axes and channels, received one of shape {shape}")
    matrix = np.moveaxis(kernel, 1, -1).reshape(len(kernel), -1)
    if bias is not None:
        matrix = np.column_stack([matrix, bias])
    size, stride, dilation = (_two(numbers, 1) for numbers in (window, stride, dilation))
    layer = Convolution(matrix, size, stride, _two(padding, (0, 0)), bias is not None, dilation, groups)
    return on_images([layer], shape, channels_first)


def pool(kind, size, stride, padding, shape, channels_first, **options) -> tuple:
    """Return the pooling ``kind`` with one entry for each axis of the window, ``padding`` pairs."""
    if len(size) + 1 != len(shape):
        raise ValueError(f"expected an input with {len(size)} axes and channels, received one of shape {shape}")
    layer = kind(_two(size, 1), _two(stride, 1), _two(padding, (0, 0)), **options)
    return on_images([layer], shape, channels_first)


def _two(entries, height):
    """Return one entry for each of height and width, when there may be none for the height."""
    entries = tuple(tuple(map(int, each)) if np.ndim(each) else int(each) for each in entries)
    return entries if len(entries) == 2 else (height, *entries)


def ceil_padding(lengths, size, stride, padding) -> list[tuple[int, int]]:
    """Return the padding with what lets the last window, which may hang over the edge, fit in."""
    found = []
    for length, window, step, (before, after) in zip(lengths, size, stride, padding, strict=True):
        windows = -(-(length + before + after - window) // step) + 1
        if (windows - 1) * step >= length + before:  # it would start behind the image
            windows -= 1
        found.append((before, max(after, (windows - 1) * step + window - length - before)))
    return found


def same_padding(lengths, size, stride, dilation, more_before=False) -> list[tuple[int, int]]:
    """Return the pixels before and after that make one window a step: ``same`` in Keras, ``SAME_UPPER`` in ONNX."""
    found = []
    for length, window, step, gap in zip(lengths, size, stride, dilation, strict=True):
        total = max((-(-length // step) - 1) * step + (window - 1) * gap + 1 - length, 0)
        found.append((total - total // 2, total // 2) if more_before else (total // 2, total - total // 2))
    return found


def dense(matrix, bias, shape) -> tuple:
    """Return the map of the last axis by ``matrix`` (rows, inputs) and ``bias`` (rows,) or None.

    Where there are more axes it is the same at every place: a convolution with windows of one pixel.
    """
    if len(shape) == 1:
        return (Dense(matrix if bias is None else np.column_stack([matrix, bias]), bias is not None),)
    ones = (1,) * (len(shape) - 1)
    return convolution(matrix.reshape(*matrix.shape, *ones), bias, ones, [(0, 0)] * len(ones), ones, 1, shape, False)


def along(array, axis, shape) -> np.ndarray:
    """Return one number a channel, an axis of ``shape``, so that it is aligned with the last axes."""
    return np.reshape(array, (-1,) + (1,) * (len(shape) - 1 - axis))


def batch_norm(mean, variance, epsilon, gain, offset, axis, shape) -> tuple:
    """Return batch normalisation at inference of the channels, which are an axis of ``shape``."""
    scale = batch_normalisation(mean, variance, epsilon, gain, offset)
    return (Foldable(along(scale.factor, axis, shape), along(scale.shift, axis, shape)),)


def layer_norm(axes, factor, shift, epsilon, shape) -> tuple:
    """Return layer normalisation over some axes of ``shape``; factor and shift are of the shape of these axes."""
    axes = sorted(axes)
    order = [*(axis for axis in range(len(shape)) if axis not in axes), *axes]
    layer = LayerNormalization(factor, shift, epsilon)
    if order == list(range(len(shape))):
        return (layer,)
    return Permute(order), layer, Permute(np.argsort(order).tolist())


def group_norm(groups, factor, shift, epsilon, axis, shape) -> tuple:
    """Return group normalisation: of the channels, an axis of ``shape``, each of ``groups`` parts with all its places.

    It is the layer normalisation of each part; then come factor and shift of every channel. As many groups as channels
    make instance normalisation.
    """
    channels = shape[axis]
    if not 0 < groups <= channels or channels % groups:
        raise ValueError(f"expected a number of groups that divides {channels} channels, received {groups}")
    size = math.prod(shape) // groups
    order = [axis, *(other for other in range(len(shape)) if other != axis)]
    factor, shift = (along(np.broadcast_to(array, channels), axis, shape) for array in (factor, shift))
    return (
        Permute(order),
        Reshape((groups, size)),
        LayerNormalization(np.ones(size), np.zeros(size), epsilon),
        *reshaped([shape[each] for each in order], (groups, size)),
        Permute(np.argsort(order).tolist()),
        Scale(factor, shift),
    )


def global_pool(kind, axes, keep, shape) -> tuple:
    """Return the mean or the largest entry over all axes of ``shape`` but one, with ``keep`` as axes of length one."""
    layer = {"average": GlobalAveragePool, "max": GlobalMaxPool}[kind]()
    (left,) = left_over = [axis for axis in range(len(shape)) if axis not in axes] or [None]
    if left is None or len(left_over) > 1:
        raise ValueError(f"expected a reduction over all axes but one, received axes {axes} of shape {shape}")
    moved = () if left == len(shape) - 1 else (Permute((*axes, left)),)
    kept = (Reshape([shape[left] if axis == left else 1 for axis in range(len(shape))]),) if keep else ()
    return (*moved, layer, *kept)


def padded(sides, shape) -> tuple:
    """Return zeros around, or with negative ``sides`` (before, after), one pair for each axis, entries cut off."""
    moved = [axis for axis, pair in enumerate(sides) if any(pair)]
    if not moved:
        return ()
    rest = [axis for axis in range(len(shape)) if axis not in moved]
    if len(shape) == 2 and len(moved) == 1:
        first = moved == [1]
    elif len(shape) == 3 and len(moved) < 3:
        # The channels may be any axis that is left alone: the last one, or else the first.
        first = 2 not in rest
        if first and 0 not in rest:
            raise ValueError(f"expected padding of height and width, received {sides} for shape {shape}")
    else:
        raise ValueError(f"expected padding of an image or a line, received {sides} for shape {shape}")
    spatial = sides[1:] if first else sides[:-1]
    layers = []
    for kind, sign in ((Pad, 1), (Crop, -1)):
        amounts = _two([[max(sign * side, 0) for side in pair] for pair in spatial], (0, 0))
        if any(map(any, amounts)):
            layers.append(kind(amounts))
    return on_images(layers, shape, first)


def reshaped(target, shape) -> tuple:
    """Return the reshape to ``target``, in which one size may be -1."""
    target, size = [int(each) for each in target], math.prod(shape)
    if -1 in target:
        target[target.index(-1)] = size // -math.prod(target)
    if math.prod(target) != size:
        raise ValueError(f"expected a shape of {size} entries as in {shape}, received {target}")
    return (Reshape(target),) if len(target) > 1 else (Flatten(),)


def softmax(axis, shape, where, logarithm=False) -> tuple:
    """Return the softmax over an axis of ``shape``, which must be the only one that is longer than one."""
    if math.prod(shape) != shape[axis]:
        raise ValueError(f"expected a softmax over all outputs, received axis {axis} of shape {shape}")
    return (Softmax(where, logarithm),)


def clip(low, high) -> tuple:
    """Return the clipping to [low, high], either of which may be missing."""
    if (low, high) == (0.0, None):
        return (Activation("relu"),)
    if (low, high) == (0.0, 6.0):
        return (Activation("relu6"),)
    low, high = (end if limit is None else limit for limit, end in ((low, -LARGEST), (high, LARGEST)))
    return (Activation("clip", (float(low), float(high))),)


def rectified(slope, threshold, largest) -> tuple:
    """Return ``min(v, largest)`` from the threshold on, ``slope (v - threshold)`` left of it; None for no largest."""
    if threshold == 0.0 and largest is None:
        return leaky(slope)
    if (slope, threshold, largest) == (0.0, 0.0, 6.0):
        return (Activation("relu6"),)
    return (Activation("clipped_relu", (slope, threshold, LARGEST if largest is None else largest)),)


def leaky(slope) -> tuple:
    """Return the leaky rectifier, or the plain one."""
    return (Activation("leaky_relu", float(slope)),) if slope else (Activation("relu"),)


def arithmetic(operation, constant, first) -> tuple:
    """Return factor and shift of an operation with a constant, which may stand first: Add, Sub, Mul or Div."""
    if operation == "Add":
        return 1.0, constant
    if operation == "Sub":
        return (-1.0, constant) if first else (1.0, -constant)
    if operation == "Mul":
        return constant, 0.0
    if first or not np.all(constant):
        raise ValueError("expected a division by a constant other than zero, received one of a constant or by zero")
    return 1.0 / constant, 0.0


def scaled(factor, shift, shape) -> tuple:
    """Return ``factor y + shift``; the arrays may have an axis of length one for the samples in front."""
    arrays = []
    for array in (factor, shift):
        array = np.asarray(array, dtype=float)
        arrays.append(array[0] if array.ndim == len(shape) + 1 and len(array) == 1 else array)
    return (Scale(*arrays),)
