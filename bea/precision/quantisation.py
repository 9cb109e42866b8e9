"""Weights in 8 bits, symmetric: ``A ≈ s Q`` with whole numbers Q between -127 and 127 and a scale s.

The scale takes the largest weight to 127: ``s = max |A| / 127`` of the whole kernel ("per_tensor"), or one scale a row,
that is an output channel ("per_channel"). The bias keeps its digits, as it does in practice. Unlike
``bea.networks.quantiser.Quantise``, a layer that rounds what passes through it, this changes weights once and for all,
so that its backward error on the weights is known: it is ``s Q - A`` itself.
"""

from dataclasses import replace

import numpy as np

from bea.networks.layers import Weighted
from bea.networks.network import Network
from bea.networks.sequence import replaced
from bea.precision.formats import INT8_LEVELS, NAMES, Format
from bea.precision.products import Arithmetic, arithmetic

SCALES = ("per_tensor", "per_channel")


def quantised(net: Network, per="per_channel", bits=8) -> Network:
    """Return the network with its weights rounded to ``2^bits - 1`` equidistant levels around zero, biases untouched.

    Parameters
    ----------
    net : Network
    per : {"per_channel", "per_tensor"}
        Whether each row of a kernel has its own scale.
    bits : int
        From 2 to 24.

    Raises
    ------
    ValueError
        For an unknown ``per``, and bits out of range.
    """
    check_scales(per, "per")
    if not isinstance(bits, int | np.integer) or isinstance(bits, bool) or not 2 <= bits <= 24:
        raise ValueError(f"bits: expected a whole number from 2 to 24, received {bits!r}")
    levels = 2 ** (int(bits) - 1) - 1
    return replace(net, layers=replaced(net.layers, lambda layer: _quantised(layer, per, levels)))


def machine_for(
    net: Network,
    format,
    accumulator=None,
    rounding="nearest",
    order="sequential",
    int8="per_channel",
    activations="float32",
    seed=None,
) -> tuple[Network, Arithmetic]:
    """Return what ``low_precision`` with these arguments evaluates, and how: the network, its weights in 8 bits if so.

    Raises
    ------
    ValueError
        For what is unknown among the arguments.
    """
    check_scales(int8, "int8")
    if not isinstance(format, Format) and format not in NAMES:
        raise ValueError(f"format: expected one of {NAMES} or a Format, received {format!r}")
    if format == "int8":
        return quantised(net, int8), arithmetic(activations, accumulator, rounding, order, seed, "activations")
    return net, arithmetic(format, accumulator, rounding, order, seed)


def check_scales(per, name) -> None:
    """Raise ``ValueError`` for an unknown way to share scales."""
    if per not in SCALES:
        raise ValueError(f"{name}: expected one of {SCALES}, received {per!r}")


def scales(kernel, per="per_channel", levels=INT8_LEVELS) -> np.ndarray:
    """Return the scales of a kernel (rows, inputs), (rows, 1) or (1, 1); zero where all of its weights are zero."""
    return np.abs(kernel).max(axis=1 if per == "per_channel" else None, keepdims=True, initial=0.0) / levels


def zero_scales(net: Network, per) -> int:
    """Return how many scales are zero: rows, or kernels, without any weight but zero."""
    kernels = (layer.kernel for layer in net.weighted)
    return sum(int(np.count_nonzero(scales(kernel, per) == 0.0)) for kernel in kernels)


def _quantised(layer, per, levels):
    if not isinstance(layer, Weighted):
        return layer
    scale = scales(layer.kernel, per, levels)
    matrix = layer.matrix.copy()
    # All weights are zero where the scale is, and stay so.
    matrix[:, : layer.kernel.shape[1]] = scale * np.rint(layer.kernel / np.where(scale > 0.0, scale, 1.0))
    return layer.with_matrix(matrix)
