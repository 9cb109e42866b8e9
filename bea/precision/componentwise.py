"""How much each weight must change, entry by entry, to explain what was computed with few digits, layer by layer.

For one affine layer ``min {β : (A + ΔA) h = v̂, |ΔA| ≤ β |A|}`` is ``max_j |v̂ - A h|_j / (|A| |h|)_j`` (Oettli and
Prager 1964). In a network v̂ is what a layer has stored and ``h = f(v̂)`` of the layer before, not rounded: with these
changes the exact network passes through the very numbers that were computed, to the computed logits.
"""

import numpy as np

from bea.networks.layers import Weighted
from bea.networks.network import Network
from bea.numerics.arrays import flat
from bea.numerics.blocks import block_size, in_blocks
from bea.precision.forward import Pass, check_sequence, rounded_weights
from bea.precision.quantisation import machine_for


def layer_errors(
    net: Network,
    x,
    format,
    accumulator=None,
    order="sequential",
    int8="per_channel",
    activations="float32",
) -> np.ndarray:
    """Return β of every layer with weights, (n, p): what explains the logits of ``low_precision``, entry by entry.

    They are exactly those of the network for the same image with weights ``A_i + ΔA_i, |ΔA_i| ≤ β_i |A_i|``, which
    depend on the image. For one layer β is the smallest there is, the componentwise backward error on the weights; for
    several, max β_i is an upper bound of it, as other numbers between the layers might do with less. It is this that
    ``deterministic_bound`` bounds. For a convolution it is about the matrix of the whole layer, in which every position
    has weights of its own. Infinite or NaN where a sum is not finite, or not zero without any term.

    Parameters
    ----------
    net, x, format, accumulator, order, int8, activations
        As in ``bea.low_precision``, the network without residual sums.

    Raises
    ------
    ValueError
        For what ``low_precision`` refuses, and residual sums.
    """
    check_sequence(net)
    x = net.check_images(x)
    lowered, machine = machine_for(net, format, accumulator, "nearest", order, int8, activations)
    weights = rounded_weights(lowered, machine)

    def each(x):
        run, shares = Pass.of(x, machine, weights), []
        y, h = run.kept(x, machine.stored(x)), x
        for layer, low in zip(net.layers, lowered.layers, strict=True):
            y, exact = run.through([low], y), layer.forward(h)
            if isinstance(layer, Weighted):
                shares.append(_share(layer, h, y - exact))
                exact = y
            h = exact
        return np.stack(shares, axis=1)

    with np.errstate(invalid="ignore"):
        return in_blocks(each, block_size(net.layers, net.input_shape), x)


def _share(layer, h, residual):
    """Return ``max |residual| / (|A| |h|)`` over the entries of each image, (n,)."""
    sizes = layer.with_matrix(np.abs(layer.matrix)).forward(np.abs(h))
    with np.errstate(divide="ignore", invalid="ignore"):
        return flat(np.where(residual == 0.0, 0.0, np.abs(residual) / sizes)).max(axis=1)
