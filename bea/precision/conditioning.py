"""Which components of a layer rounding hurts, and how much it helps to compute these alone with more digits.

The relative error of a component ``f(a·h + b)`` that rounding makes is at most about n u times

    κ = (|a|·|h| + |b|) / |a·h + b| · |v f'(v) / f(v)|,    v = a·h + b,

the condition number of the inner product times that of the activation, both componentwise (El Arar, Filip, Mary and
Riccietti 2025). It is large where the sum cancels, and small again where the activation is flat: a negative argument of
relu has κ = 0. They propose to compute all components with few digits, to estimate κ from these, and to compute those
with a large κ again with more.
"""

from dataclasses import dataclass

import numpy as np

from bea.networks.layers import Activation, Weighted
from bea.networks.network import Network
from bea.numerics.arrays import flat
from bea.numerics.blocks import block_size, in_blocks
from bea.precision.formats import find_format
from bea.precision.forward import LowPrecision, Pass, check_sequence, result_of, rounded_weights
from bea.precision.growth import terms_of
from bea.precision.products import arithmetic


@dataclass(frozen=True, eq=False)
class Recomputed:
    """What came of n images some of whose components were computed again.

    Attributes
    ----------
    result : LowPrecision
        As of ``low_precision``. What was too large with few digits, and was computed again, is marked still.
    share : array (n, p)
        Of the components of each layer with weights that were computed again.
    cost : array (n,)
        Products that were computed again, relative to all products of a pass.
    """

    result: LowPrecision
    share: np.ndarray
    cost: np.ndarray


def component_conditions(net: Network, x) -> list[np.ndarray]:
    """Return κ of every component behind every layer with weights, in float64, arrays (n, *output shape).

    The activation counts if it comes at once behind the layer. Infinite where the sum is zero and its terms are not.

    Parameters
    ----------
    net : Network
        Without residual sums.
    x : array (n, *input_shape)

    Raises
    ------
    ValueError
        For images of wrong shape or range, and residual sums.
    """
    check_sequence(net)
    values = net.trace(net.check_images(x))
    return [
        _conditions(layer, layer.matrix, y, output, following)
        for layer, y, output, following in zip(
            net.layers, values[:-1], values[1:], (*net.layers[1:], None), strict=True
        )
        if isinstance(layer, Weighted)
    ]


def recompute(
    net: Network,
    x,
    format,
    threshold,
    accumulator=None,
    high="float32",
    order="sequential",
) -> Recomputed:
    """Evaluate a network with few digits, and sums whose κ exceeds a threshold again with more.

    κ is estimated layer by layer from what was computed with few digits. A sum that is computed again takes the same
    rounded weights and inputs, has its products and sums in the format ``high``, and is then stored in ``format`` like
    the others, so that its relative error is a few u in place of n κ u. With the threshold zero nearly all are, with
    infinity only those are that were not finite.

    Parameters
    ----------
    net, x, format, accumulator, order
        As in ``bea.precision.low_precision``, without residual sums; ``format`` is not "int8".
    threshold : float
        From 0 on.
    high : str or Format
        Accumulator of what is computed again.

    Raises
    ------
    ValueError
        For what ``low_precision`` refuses, residual sums, and a threshold that is negative or NaN.
    """
    check_sequence(net)
    if not threshold >= 0.0:
        raise ValueError(f"threshold: expected a number from 0 on, received {threshold!r}")
    x = net.check_images(x)
    low = arithmetic(format, accumulator, "nearest", order)
    better = arithmetic(format, find_format(high, "high"), "nearest", order)
    weights = rounded_weights(net, low)
    products = terms_of(net)

    def each(x):
        run, again, shares = Pass.of(x, low, weights), Pass.of(x, better, weights), []
        y = run.kept(x, low.stored(x))
        for layer, following in zip(net.layers, (*net.layers[1:], None), strict=True):
            output = run.through([layer], y)
            if isinstance(layer, Weighted):
                # Beside an infinite sum κ would be zero.
                fine = np.isfinite(output) & (_conditions(layer, weights[layer], y, output, following) <= threshold)
                bad = ~fine
                output = np.where(bad, again.through([layer], y), output)
                shares.append(flat(bad).mean(axis=1))
            y = output
        return y, run.overflowed, run.subnormal, np.stack(shares, axis=1)

    *found, share = in_blocks(each, block_size(net.layers, net.input_shape), x)
    return Recomputed(result_of(*found, low, weights), share, share @ products / np.sum(products))


def _conditions(layer, matrix, y, sums, following):
    """Return κ (n, *output shape) for inputs y and the sums that were computed from them with the matrix."""
    with np.errstate(all="ignore"):
        sizes = layer.with_matrix(np.abs(matrix)).forward(np.abs(y)) if np.isfinite(matrix).all() else np.inf
        found = np.where(sizes == 0.0, 1.0, sizes / np.abs(sums))
        if isinstance(following, Activation):
            output = following.forward(sums)
            slope = following.slope(sums, output)
            # Where both are zero the quotient is one, unless the function is flat there.
            steep = np.where(output == 0.0, (slope != 0.0).astype(float), np.abs(sums * slope / output))
            found = np.where(steep == 0.0, 0.0, found * steep)
    return found
