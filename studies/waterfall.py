"""What bounding a network layer by layer loses, step by step (paper P, section 6): from the printed bound to an attack.

Between one constant a layer and the bound that looks at the whole network in a ball stands a third: one constant for
two neighbouring layers together. With an activation of slopes in [0, 1] between matrices B and A, each Jacobian of the
pair is ``B D A`` with ``D = ½ (I + E)``, ``‖E‖ ≤ 1``, or for a largest slope L with L times this; with maxima of
windows of m entries, ``D = M + E`` with M the mean of each window and ``‖E‖² ≤ 1 - 1/m``. So the pair moves its output
by at most

    ``½ ‖BA‖ + ½ ‖B‖ ‖A‖``   or   ``‖B M A‖ + √(1 - 1/m) ‖B‖ ‖A‖``

times what its input moves by; in place of the latter also by ‖B‖ ‖A‖ alone. Virmaux and Scaman (2018) split
networks in the same way, and find the best D. All norms are upper bounds, proven in floating point but for the
rounding of the products, for which ``ROUNDING`` of every constant is added.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from bea import Activation, Dense, Flatten, Network
from bea.bounds.lipschitz import lipschitz_constant, spectral_norm
from bea.bounds.methods import proven_distances
from bea.bounds.rounding import error_of
from bea.networks.layers import Weighted
from bea.networks.windows import AveragePool, MaxPool
from bea.numerics.blocks import in_blocks

UNITS = 64  # sent through two layers at a time
ROUNDING = 1e-9  # relative, far above what the rounding of a product of a few matrices can be
STEPS = {  # column → what it takes to come from the one before it to this one
    "repaired": "constants that are proven",
    "together": "two layers together",
    "tight": "the whole network, in a ball",
    "upper": "what is still open",
}


def together(net: Network, x) -> np.ndarray:
    """Return how far images (n, *input_shape) must move at least, by one constant for two neighbouring layers.

    For the last two layers the constant is one of the lead over each rival, and its row of weights stands for B.
    The better of all ways to part the layers into pairs and single ones counts.

    Raises
    ------
    ValueError
        For a network with other layers than dense ones, convolutions, maxima without overlap, flattening, and
        activations whose slopes lie in [0, 1].
    """
    blocks, values = _blocks(net), net.trace(x)
    singles, best = _prefixes(blocks)
    logits, last = values[-1], net.layers[-1]
    own, classes = logits.argmax(axis=1), logits.shape[1]
    lead = proven_distances(last, logits, error_of(net, values))  # over ‖w_c - w_j‖
    radius = np.full((len(x), classes), np.inf)
    for c in np.unique(own):
        for j in np.flatnonzero(np.arange(classes) != c):
            row = last.kernel[c] - last.kernel[j]
            some = own == c
            radius[some, j] = lead[some, j] * np.linalg.norm(row) / _lead_constant(blocks, singles, best, row)
    return radius.min(axis=1) * (1 - ROUNDING)


def _blocks(net):
    """Return every affine layer but the last as (layer, its input shape, what follows it before the next)."""
    blocks, shape = [], net.input_shape
    for layer in net.layers[:-1]:
        if isinstance(layer, Weighted):
            blocks.append([layer, shape, None])
        elif blocks and blocks[-1][2] is None and _joins(layer):
            blocks[-1][2] = layer
        elif not isinstance(layer, Flatten):
            raise ValueError(
                "net: expected affine layers with one activation or maxima without overlap between them, received "
                + ", ".join(type(layer).__name__ for layer in net.layers)
            )
        shape = layer.output_shape(shape)
    return blocks


def _joins(layer) -> bool:
    """Return whether a pair of affine layers with this one between them has a constant here."""
    if isinstance(layer, MaxPool):
        return layer.size == layer.stride
    return isinstance(layer, Activation) and layer.steepest <= 1


def _slope(between) -> float:
    """Return the largest slope of what stands between two affine layers; 1 for maxima and nothing."""
    return between.steepest if isinstance(between, Activation) else 1.0


def _prefixes(blocks) -> tuple[list[float], list[float]]:
    """Return the constant of every block alone, and the best ones of the first blocks, from none to all."""
    singles, best = [lipschitz_constant(layer, shape) * _slope(after) for layer, shape, after in blocks], [1.0]
    for k, single in enumerate(singles):
        alone = single * best[k]
        best.append(min(alone, _pair(blocks[k - 1], blocks[k], singles[k - 1] * single) * best[k - 1]) if k else alone)
    return singles, best


def _pair(first, second, product: float) -> float:
    """Return the constant of two neighbouring blocks, of which the constants have this product."""
    (before, shape, between), (behind, _, after) = first, second
    units = np.eye(math.prod(shape)).reshape(-1, *shape)
    joined = spectral_norm(in_blocks(lambda some: _joined(before, between, behind, some), UNITS, units))
    part = math.sqrt(1 - 1 / math.prod(between.size)) if isinstance(between, MaxPool) else 0.5
    return min(product, (joined * _slope(after) + part * product) * (1 + ROUNDING))


def _joined(before, between, behind, units) -> np.ndarray:
    """Send units (n, *shape) through the linear parts of two layers, with the middle of what is between them."""
    middle = _linear(before).forward(units)
    pools = isinstance(between, MaxPool)
    middle = AveragePool(between.size, between.stride).forward(middle) if pools else 0.5 * _slope(between) * middle
    middle = middle.reshape(len(middle), -1) if isinstance(behind, Dense) else middle
    return _linear(behind).forward(middle).reshape(len(units), -1)


def _linear(layer: Weighted) -> Weighted:
    """Return an affine layer without its bias."""
    return replace(layer, matrix=layer.kernel, bias=False)


def _lead_constant(blocks, singles, best, row) -> float:
    """Return the constant of the lead with the weights ``row`` on the output of the blocks."""
    size = float(np.linalg.norm(row))
    constant = size * best[-1]
    if blocks and isinstance(blocks[-1][0], Dense):
        joined = float(np.linalg.norm(row @ blocks[-1][0].kernel)) * _slope(blocks[-1][2])
        constant = min(constant, 0.5 * (joined + size * singles[-1]) * best[-2])
    return constant * (1 + ROUNDING)


def fall(table: pd.DataFrame) -> pd.DataFrame:
    """Take the way from the printed bound to the shortest change known apart, in logarithms.

    Parameters
    ----------
    table : DataFrame
        One row a network and image: ``net``, ``kind``, lengths ``published``, ``repaired``, ``together``, ``tight`` and
        ``upper``.

    Returns
    -------
    DataFrame, one row a network: ``net``, ``kind``, ``images`` whose lengths are all positive and finite, ``published``
    (mean decimal logarithm of the printed bound over the shortest change), and for every column of ``STEPS`` the mean
    decimal logarithm of it over the one before. The four add up to minus the first.
    """
    rows = []
    for (name, kind), m in table.groupby(["net", "kind"], sort=False):
        logs = np.log10(m[["published", *STEPS]].where(lambda values: values > 0)).replace(np.inf, np.nan).dropna()
        row = {"net": name, "kind": kind, "images": len(logs)}
        logs = logs.sub(logs.upper, axis=0).mean()
        rows.append(row | {"published": logs.published} | logs.diff()[list(STEPS)].to_dict())
    return pd.DataFrame(rows)
