"""Which decisions no rounding of a format can change.

The problem: bound ``|ŷ_k - y_k|`` for every logit k, ŷ computed with few digits (``low_precision``) and y by the same
network in float64, with image and weights rounded to the format: these are known. What is left are the roundings
of products, sums and stored results, which ``bea.precision.enclosure`` follows through the layers. If y leads by more
than they can change, the decision is safe, whatever they are.
"""

import numpy as np

from bea.networks.layers import Readout, Weighted
from bea.networks.network import Network
from bea.networks.sequence import leaves
from bea.numerics.blocks import block_size, in_blocks
from bea.precision.enclosure import SLACK, Known, Run, all_of
from bea.precision.forward import rounded_weights
from bea.precision.growth import proven_total
from bea.precision.products import ORDERS
from bea.precision.quantisation import machine_for


def certified(
    net: Network,
    x,
    format,
    accumulator=None,
    rounding="nearest",
    order="sequential",
    int8="per_channel",
    activations="float32",
    radius=None,
) -> np.ndarray:
    """Return for which images inference with few digits has the class of float64, whatever the roundings, (n,) bool.

    True is proven, for every outcome of every rounding of a product, a sum or a stored result: the network with image
    and weights as the format has them leads in float64 by more than all of these can change. Nothing overflows then,
    and what subnormal numbers lose is counted. False says nothing. The class is that of ``net.classify``.

    Parameters
    ----------
    net, x, format, accumulator, rounding, int8, activations
        As in ``bea.precision.low_precision``.
    order : {"sequential", "pairwise", "any"}
        Of the sums: that of ``low_precision``, or any at all, of which less can be proved.
    radius : array (n,), optional
        Relative norms √(Σ ‖ΔA_i‖²/‖A_i‖²) of changes of the weights below which no class changes, as
        ``bea.lower_bound`` proves with ``on="weights"``. Then those are certified, too, where all roundings together
        change less, by ``bea.precision.deterministic_bound`` and with what subnormal numbers may add; for dense layers
        with biases.

    Raises
    ------
    ValueError
        For what ``low_precision`` refuses, another order, and radii of wrong shape.
    """
    x = net.check_images(x)
    own, room = net.classify(x), np.zeros(len(x))
    in_order = _order_in(order)
    if radius is not None:
        room = np.asarray(radius, dtype=float)
        if room.shape != (len(x),):
            raise ValueError(f"radius: expected shape {(len(x),)}, received {room.shape}")
        room = room - proven_total(net, format, accumulator, rounding, in_order, int8, activations)
    sound = np.zeros(len(x), dtype=bool)
    # What holds in any order holds in each, and is found sooner.
    for each in dict.fromkeys(("any", order)):
        rest = np.flatnonzero(~sound)
        machine = format, accumulator, rounding, each, int8, activations
        sound[rest] = _leads(net, x[rest], own[rest], room[rest], *machine)
    return sound


def _leads(net, x, own, room, *machine):
    """Return for which images the class leads by more than all roundings, or there is ``room`` for these."""
    layers, each = _enclosing(net, *machine)
    last = layers[-1]

    def safe(x, own, room):
        known, run = each(x, layers[:-1])
        sums = run.affine(last, known.y[:, None], known.error[:, None])
        logits, rest = sums.value[:, 0], sums.rest[:, 0] + sums.of_weights[:, 0]
        kernel = run.weights[last][:, : last.kernel.shape[1]]
        leads = np.empty(len(x), dtype=bool)
        for c in np.unique(own):
            some, rivals = own == c, np.arange(net.classes) != c
            # What comes from before meets both rows at once; roundings in the layer itself do not.
            apart = known.error[some] @ np.abs(kernel[c] - kernel[rivals]).T
            doubt = (apart + rest[some, c, None] + rest[some][:, rivals]) * SLACK
            leads[some] = np.all(logits[some, c, None] - logits[some][:, rivals] > doubt, axis=1)
        return known.sound & sums.sound & (leads | (room > 0.0))

    with np.errstate(all="ignore"):  # a bound may be infinite, and then proves nothing
        return in_blocks(safe, block_size(net.layers, net.input_shape), x, own, room)


def enclosed_logits(
    net: Network,
    x,
    format,
    accumulator=None,
    rounding="nearest",
    order="sequential",
    int8="per_channel",
    activations="float32",
) -> tuple[np.ndarray, np.ndarray]:
    """Return middles and radii of intervals that hold the logits of ``low_precision``, two arrays (n, classes).

    A radius is infinite where something could be too large for the format. Arguments as in ``certified``.

    Raises
    ------
    ValueError
        As there.
    """
    x = net.check_images(x)
    layers, each = _enclosing(net, format, accumulator, rounding, order, int8, activations)

    def enclosed(x):
        known, _ = each(x, layers)
        return known.y, np.where(known.sound[:, None], known.error, np.inf)

    with np.errstate(all="ignore"):
        return in_blocks(enclosed, block_size(net.layers, net.input_shape), x)


def _order_in(order):
    """Return an order of which what holds for ``order`` holds, or raise ``ValueError``."""
    if order not in ("any", *ORDERS):
        raise ValueError(f"order: expected one of {('any', *ORDERS)}, received {order!r}")
    return "sequential" if order == "any" else order


def _enclosing(net, format, accumulator, rounding, order, int8, activations):
    """Return the layers of what is evaluated, and a function of images and layers to what is known behind these."""
    net, machine = machine_for(net, format, accumulator, rounding, _order_in(order), int8, activations)
    nearest = rounding == "nearest"
    layers = [layer for layer in leaves(net.layers) if isinstance(layer, Weighted | Readout)]
    weights = rounded_weights(net, machine) if nearest else {layer: layer.matrix for layer in layers}

    def each(x, layers):
        run = Run(machine, weights, order)
        middle = machine.stored(x) if nearest else x
        error = np.zeros_like(x) if nearest else run.stored(np.abs(x))
        known = Known(middle, error, all_of(np.isfinite(middle) & (np.abs(x) <= machine.format.largest)))
        return run.through(layers, known), run

    return net.layers, each
