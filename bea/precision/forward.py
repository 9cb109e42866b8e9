"""The forward pass of a network as a machine with few digits computes it."""

import functools
from dataclasses import dataclass

import numpy as np

from bea.networks.global_pooling import GlobalMaxPool
from bea.networks.layers import Activation, Dense, Flatten, Readout, Weighted
from bea.networks.network import Network
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.residual import Residual
from bea.networks.sequence import leaves
from bea.networks.sliding import put_around
from bea.networks.windows import AveragePool, Convolution, MaxPool
from bea.numerics.arrays import flat
from bea.numerics.blocks import block_size, in_blocks
from bea.precision.formats import Format
from bea.precision.products import Arithmetic, inner_products
from bea.precision.quantisation import machine_for, zero_scales


@dataclass(frozen=True, eq=False)
class LowPrecision:
    """What a network computes with few digits for n images.

    Attributes
    ----------
    logits : array (n, classes)
        In float64, numbers of the format; infinite or NaN where something was too large.
    classes : array (n,) of int
        The largest logit; ``-1`` where a logit is not finite, so that there is no class.
    finite : bool array (n,)
        Whether all logits are.
    overflowed : bool array (n,)
        Whether an input, a product, a sum or an output of a layer was beyond the largest number; a logit may be finite
        in spite of it.
    subnormal : bool array (n,)
        Whether an input, a product or an output of a layer was not zero and below the smallest normal number, so that
        digits may have been lost. (Sums of such numbers are exact.)
    weights_overflowed, weights_subnormal : int
        How many weights were so; they concern all images.
    zero_scales : int
        With "int8", how many scales are zero because all of their weights are; these stay zero.
    """

    logits: np.ndarray
    classes: np.ndarray
    finite: np.ndarray
    overflowed: np.ndarray
    subnormal: np.ndarray
    weights_overflowed: int = 0
    weights_subnormal: int = 0
    zero_scales: int = 0


def low_precision(
    net: Network,
    x,
    format,
    accumulator=None,
    rounding="nearest",
    order="sequential",
    int8="per_channel",
    activations="float32",
    seed=None,
) -> LowPrecision:
    """Return the logits of a network that is evaluated with few digits.

    Rounded are, in this order: the image and all weights, to the format; every product and every sum of an inner
    product, to the accumulator's format, the bias being added last; the sum, to the format; and the result of an
    activation, which is the exact one of its rounded argument, to the format. Maxima and reshapes round nothing. The
    average of a window is a sum, and a quotient. "sequential" adds the products from the first to the last,
    "pairwise" neighbours first, so that none takes part in more than ⌈log₂ columns⌉ additions; columns of a convolution
    are in the order of its matrix.

    Parameters
    ----------
    net : Network
        Of dense layers, convolutions without groups, poolings, reshapes, activations and residual sums.
    x : array (n, *input_shape)
    format : str or Format
        "float32", "float16", "bfloat16", "float8_e4m3", "float8_e5m2"; or "int8": weights in 8 bits (see
        ``bea.precision.quantised``), multiplied by their scale before use, and all else in the format ``activations``.
    accumulator : str or Format, optional
        Of products and sums; the format itself unless given.
    rounding : {"nearest", "stochastic"}
    order : {"sequential", "pairwise"}
    int8 : {"per_channel", "per_tensor"}
        How weights share scales, with "int8".
    activations : str or Format
        With "int8".
    seed : int, optional
        Of stochastic rounding. An image's draws depend on its place in the batch.

    Raises
    ------
    ValueError
        For unknown formats, roundings or orders, images of wrong shape or range, and layers without a pass here.
    """
    x = net.check_images(x)
    zeros = zero_scales(net, int8) if format == "int8" else 0
    net, machine = machine_for(net, format, accumulator, rounding, order, int8, activations, seed)
    weights = rounded_weights(net, machine)

    def each(x):
        run = Pass.of(x, machine, weights)
        logits = run.through(net.layers, run.kept(x, machine.stored(x)))
        return logits, run.overflowed, run.subnormal

    # Stochastic rounding draws its numbers in order, and so takes all images at once.
    size = block_size(net.layers, net.input_shape) if rounding == "nearest" else max(len(x), 1)
    logits, overflowed, subnormal = in_blocks(each, size, x)
    return result_of(logits, overflowed, subnormal, machine, weights, zeros)


def result_of(logits, overflowed, subnormal, machine: Arithmetic, weights: dict, zeros=0) -> LowPrecision:
    """Return the result of a pass from its logits and masks, the weights as ``rounded_weights`` returns them."""
    finite = np.isfinite(logits).all(axis=1)
    classes = np.where(finite, np.where(finite[:, None], logits, 0.0).argmax(axis=1), -1)
    beyond = sum(int(np.count_nonzero(~np.isfinite(matrix))) for matrix in weights.values())
    small = sum(int(np.count_nonzero(is_subnormal(layer.matrix, machine.format))) for layer in weights)
    return LowPrecision(logits, classes, finite, overflowed, subnormal, beyond, small, zeros)


def check_sequence(net: Network) -> None:
    """Raise ``ValueError`` for a network with residual sums."""
    if any(layer.paths for layer in net.layers):
        raise ValueError("net: expected layers one after the other, received a residual sum")


def rounded_weights(net: Network, machine: Arithmetic) -> dict:
    """Return layer → its matrix as the machine stores it, for all layers with weights and a ``Readout``."""
    layers = (layer for layer in leaves(net.layers) if isinstance(layer, Weighted | Readout))
    return {layer: machine.stored(layer.matrix) for layer in layers}


def is_subnormal(v, format: Format) -> np.ndarray:
    """Return which numbers are not zero and lose digits in the format because they are small."""
    return (v != 0.0) & (np.abs(v) < format.smallest_normal)


@dataclass(frozen=True, eq=False)
class Pass:
    """One block of n images on its way through a network, and what happened to them: masks (n,), which are updated.

    Attributes
    ----------
    machine : Arithmetic
    weights : dict
        As ``rounded_weights`` returns it.
    overflowed, subnormal : bool array (n,)
        As in ``LowPrecision``.
    """

    machine: Arithmetic
    weights: dict
    overflowed: np.ndarray
    subnormal: np.ndarray

    @classmethod
    def of(cls, x, machine, weights) -> "Pass":
        """Return the beginning of a pass of the images x."""
        return cls(machine, weights, np.zeros(len(x), dtype=bool), np.zeros(len(x), dtype=bool))

    def through(self, layers, y) -> np.ndarray:
        """Return what comes out of a sequence of layers for y (n, …), numbers of the format."""
        with np.errstate(over="ignore", invalid="ignore"):
            for layer in layers:
                y = _step(layer, y, self)
        return y

    def kept(self, v, stored) -> np.ndarray:
        """Return the stored ones of the numbers v (n, …), after a look at whether they were too large or too small."""
        np.logical_or(self.overflowed, _any(~np.isfinite(stored)), out=self.overflowed)
        np.logical_or(self.subnormal, _any(is_subnormal(v, self.machine.format)), out=self.subnormal)
        return stored

    def affine(self, layer, h) -> np.ndarray:
        """Return the stored sums (n, positions, rows) for the inputs h (n, positions, columns) of a layer."""
        matrix, machine = self.weights[layer], self.machine
        kernel, bias = (matrix[:, :-1], matrix[:, -1]) if layer.bias else (matrix, None)
        n, positions, columns = h.shape
        inputs = h.reshape(n * positions, columns)
        sums = inner_products(kernel, bias, inputs, machine).reshape(n, positions, len(matrix))
        # The smallest product of an input is that with the smallest weight of its column.
        smallest = np.min(np.abs(kernel), axis=0, where=kernel != 0.0, initial=np.inf)
        products = np.multiply(np.abs(inputs), smallest, where=inputs != 0.0, out=np.zeros(inputs.shape))
        small = is_subnormal(products, machine.accumulator)
        np.logical_or(self.subnormal, _any(small.reshape(n, positions, columns)), out=self.subnormal)
        return self.kept(sums, sums if machine.accumulator == machine.format else machine.stored(sums))


def _any(mask):
    """Return for which samples (n, …) any entry is true."""
    return flat(mask).any(axis=1)


@functools.singledispatch
def _step(layer, y, run):
    raise ValueError(f"net: expected layers with a low-precision pass, received a {type(layer).__name__}")


@_step.register
def _(layer: Flatten | Reshape | Permute | Pad | Crop | MaxPool | GlobalMaxPool, y, run):
    return layer.forward(y)


@_step.register
def _(layer: Dense | Readout, y, run):
    return run.affine(layer, y[:, None])[:, 0]


@_step.register
def _(layer: Convolution, y, run):
    if layer.groups > 1:
        raise ValueError(f"net: expected convolutions without groups, received one with {layer.groups}")
    h = layer.unfold(y)
    return run.affine(layer, h[..., :-1] if layer.bias else h).reshape(len(y), *layer.output_shape(y.shape[1:]))


@_step.register
def _(layer: Activation, y, run):
    v = layer.forward(y)
    return run.kept(v, run.machine.stored(v))


@_step.register
def _(layer: AveragePool, y, run):
    padded, total = put_around(y, layer.padding), None
    for pixels in layer.offsets(y.shape[1:]):
        total = padded[pixels] if total is None else run.machine.accumulated(total + padded[pixels])
    v = run.machine.accumulated(total / layer.counts(y.shape[1:]))
    return run.kept(v, run.machine.stored(v))


@_step.register
def _(layer: Residual, y, run):
    branch, shortcut = (run.through(path, y) for path in layer.paths)
    v = branch + shortcut
    return run.kept(v, run.machine.stored(v))
