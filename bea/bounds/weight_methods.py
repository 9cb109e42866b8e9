"""The methods of ``lower_bound`` where weights change: which bound covers which network and changes."""

from collections.abc import Callable

import numpy as np

from bea.backward.reduction import holding
from bea.bounds.lipschitz import gamma
from bea.bounds.printed import ratio
from bea.bounds.rounding import errors_of
from bea.bounds.weight_ball import weight_ball
from bea.bounds.weight_lipschitz import changed_length, constants_bound
from bea.bounds.weight_local import weight_bound
from bea.bounds.within_ball import within_ball
from bea.networks.layers import Weighted
from bea.networks.network import Network
from bea.networks.sequence import trace


def _lipschitz(net, change, given):
    constants_bound(net, *_nothing(net), change)  # layers without a constant are refused at once

    def each(x, rivals):
        radius, nearest = constants_bound(net, x, rivals, change)
        return radius[:, None], nearest, net.classify(x)

    return each


def _local(net, change, given):
    within, modular = _within(net, change, given), _lipschitz(net, change, given)

    def each(x, rivals):
        low, limiting, own = modular(x, rivals)
        radius, nearest = within(x, rivals)
        better = radius > low[:, 0]
        return np.maximum(radius[:, None], low), np.where(better, nearest, limiting), own

    return each


def _within(net, change, given):
    """Return the bound in a ball of changes that covers the network, a function of images and rivals."""
    try:
        weight_ball(net, _nothing(net)[0], change)
    except ValueError as error:
        if given or change.input or sum(change.layers) > 1:
            raise ValueError(f"{error}; the method 'lipschitz' covers more layers") from None
        return _of_one_layer(net, change.layers.index(True))
    return lambda x, rivals: weight_bound(net, x, rivals, change)


def _of_one_layer(net, number):
    """Return the bound for changes of one layer: that of what follows, for its output as the input (W1)."""
    position = holding(net.layers, number)[0]
    front, layer = net.layers[: position + 1], net.layers[position]
    if not isinstance(layer, Weighted):
        raise ValueError(
            f"net: expected no other paths beside a layer that changes, for the method 'local', received "
            f"a {type(layer).__name__} as layers[{position}]; the method 'lipschitz' covers it"
        )
    shape = net.input_shape
    for before in front:
        shape = before.output_shape(shape)
    tail = Network(net.layers[position + 1 :], shape)
    within, alpha = within_ball(tail), net.weight_norms[number]

    def each(x, rivals):
        values = trace(front, x)
        radius, rival = within(tail, values[-1])
        left = np.maximum(radius - errors_of(front, values)[-1], 0.0)
        return ratio(left, alpha * changed_length(layer, values[-2])) * (1.0 - gamma(8)), rival

    return each


def _nothing(net):
    """Return no images, and no rivals of them."""
    return np.zeros((0, *net.input_shape)), np.zeros((0, 0), int)


# Each returns a function of blocks of images (n, *input_shape) and rivals (n, 1), or (n, 0) if any class counts: the
# radii (n, 1), the rival that limits them (n,), and the class (n,). ``given`` says whether there are rivals.
WEIGHT_METHODS: dict[str, Callable] = {"lipschitz": _lipschitz, "local": _local}
