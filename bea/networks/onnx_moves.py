"""The operators of ONNX that only move entries, or put zeros around them."""

import math

import numpy as np

from bea.networks import translating
from bea.networks.layers import Flatten
from bea.networks.onnx_node import BATCH, axes_of
from bea.networks.reshaping import Permute, Reshape


def _pad(settings, shape):
    pads, value, axes = settings.whole(1, "pads"), settings.array(2, settings.get("value", 0.0)), settings.whole(3, "")
    if settings.get("mode", "constant") != "constant" or np.any(value):
        raise ValueError(f"expected padding with zeros, received {settings.get('mode', 'constant')} {value}")
    rank = len(shape) + 1
    sides = np.zeros((2, rank), dtype=int)
    sides[:, range(rank) if axes is None else axes] = np.reshape(pads, (2, -1))
    if sides[:, 0].any():
        raise ValueError(f"expected no padding along the samples, received {pads}")
    return translating.padded([tuple(pair) for pair in sides.T[1:].tolist()], shape)


def _reshape(settings, shape):
    batch, *target = settings.whole(1, "shape")
    target = [shape[number] if size == 0 and number < len(shape) else size for number, size in enumerate(target)]
    whole = -1 not in target and math.prod(target) == math.prod(shape)
    if not target or not (whole or batch == BATCH or (-1 in target and batch > 0)):
        raise ValueError(f"expected the samples to stay the first axis, received {[batch, *target]} for {shape}")
    return translating.reshaped(target, shape)


def _flatten(settings, shape):
    if settings.get("axis", 1) % (len(shape) + 1) != 1:
        raise ValueError(f"expected the samples to stay the first axis, received axis {settings.get('axis')}")
    return (Flatten(),)


def _transpose(settings, shape):
    order = settings.get("perm", list(range(len(shape), -1, -1)))
    if order[0] != 0:
        raise ValueError(f"expected the samples to stay the first axis, received {order}")
    return (Permute([axis - 1 for axis in order[1:]]),)


def _squeeze(settings, shape):
    axes = settings.whole(1, "axes")
    axes = [axis for axis, size in enumerate(shape) if size == 1] if axes is None else axes_of(axes, shape)
    return (Reshape([size for axis, size in enumerate(shape) if axis not in axes]),)


def _unsqueeze(settings, shape):
    axes = settings.whole(1, "axes")
    rank = len(shape) + len(axes)
    sizes, axes = iter(shape), axes_of(axes, range(rank))
    return (Reshape([1 if axis in axes else next(sizes) for axis in range(rank)]),)


KINDS = {
    "Flatten": _flatten,
    "Pad": _pad,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
