"""What readers of models do to a sequence of layers before it is a network: fold, and undo moves that cancel.

A reader translates one layer at a time, in the shapes of the model. A convolution that has its channels first thus
comes with a ``Permute`` before and behind it, one along a line with a ``Reshape``. Such moves are carried on past the
layers that do not mind, until they meet their opposites.
"""

import math

import numpy as np

from bea.networks.folding import fold_scales
from bea.networks.layers import Activation, Flatten
from bea.networks.normalisation import PReLU, Scale
from bea.networks.reshaping import Permute, Reshape
from bea.networks.sequence import run

MOVES = Flatten | Permute | Reshape


class Foldable(Scale):
    """A ``Scale`` of a model that is to become part of a neighbour with weights: batch normalisation, or a bias."""


def tidied(layers, shape) -> tuple:
    """Return layers of the same function with as few moves of entries as can be, and the foldable scales folded."""
    return _folded(_carried(layers, shape), shape)


def _carried(layers, shape) -> tuple:
    """Return the layers with moves carried on as far as they go; there they are as few as can be."""
    done, moves, here = [], (), shape  # ``here`` is the shape before the moves, ``shape`` the one behind them
    for layer in layers:
        output = layer.output_shape(shape)
        if isinstance(layer, MOVES):
            moves = _joined((*moves, layer), here)
        elif moves and isinstance(layer, Activation):
            done.append(layer)
        elif moves and isinstance(layer, Scale | PReLU):
            done.append(_moved_back(layer, moves, here, shape))
        elif layer.paths and _permute_only(moves) and len(output) == len(here):
            there, back = moves[0], Permute(np.argsort(moves[0].axes).tolist())
            done.append(_with_paths(layer, [_carried((there, *path, back), here) for path in layer.paths]))
            here = done[-1].output_shape(here)
        else:
            if layer.paths:
                layer = _with_paths(layer, [_carried(path, shape) for path in layer.paths])
            done += [*moves, layer]
            moves, here = (), output
        shape = output
    return (*done, *moves)


def _permute_only(moves) -> bool:
    return len(moves) == 1 and isinstance(moves[0], Permute)


def _with_paths(layer, paths):
    branch, shortcut = paths
    return layer.with_paths(branch or (Activation("linear"),), shortcut)


def _places(moves, shape) -> np.ndarray:
    """Return, in the shape that moves end in, the number of the entry that comes to every place."""
    return run(moves, np.arange(math.prod(shape)).reshape(1, *shape))[0]


def _joined(moves, shape) -> tuple:
    """Return as few moves as can be that do the same to an input of ``shape``."""
    places = _places(moves, shape)
    if (places.ravel() == np.arange(places.size)).all():
        if places.shape == shape:
            return ()
        return (Flatten(),) if places.ndim == 1 else (Reshape(places.shape),)
    *before, last = moves
    if before and isinstance(last, Permute) and isinstance(before[-1], Permute):
        return (*before[:-1], Permute([before[-1].axes[axis] for axis in last.axes]))
    if before and not isinstance(last, Permute) and not isinstance(before[-1], Permute):
        return (*before[:-1], last)
    return tuple(moves)


def _moved_back(layer, moves, here, shape):
    """Return a layer with one number an entry as it is in front of the moves from shape ``here`` to ``shape``."""
    places = _places(moves, here)
    names = ("slopes",) if isinstance(layer, PReLU) else ("factor", "shift")
    arrays = []
    for name in names:
        array = np.empty(here)
        array.flat[places.ravel()] = np.broadcast_to(getattr(layer, name), shape).ravel()
        by_channel = array.reshape(-1, here[-1])
        arrays.append(by_channel[0] if (by_channel == by_channel[0]).all() else array)
    return type(layer)(*arrays)


def _folded(layers, shape) -> tuple:
    """Return the layers with every ``Foldable`` folded into a neighbour with weights, or left as a ``Scale``."""
    done, before = [], []  # ``before`` are the shapes of the inputs of the layers in ``done``
    for layer in layers:
        output = layer.output_shape(shape)
        if layer.paths:
            layer = layer.with_paths(*(_folded(path, shape) for path in layer.paths))
        foldable = done and (isinstance(layer, Foldable) or isinstance(done[-1], Foldable))
        joined = fold_scales((done[-1], layer), before[-1]) if foldable else ()
        if len(joined) == 1:
            done[-1] = joined[0]
        else:
            done.append(layer)
            before.append(shape)
        shape = output
    return _joined_scales(done)


def _joined_scales(layers) -> tuple:
    """Return the layers with one ``Scale`` for several in a row, and none where they undo each other."""
    done = []
    for layer in layers:
        if isinstance(layer, Scale):
            factor, shift = layer.factor, layer.shift
            if done and isinstance(done[-1], Scale):
                before = done.pop()
                factor, shift = factor * before.factor, factor * before.shift + shift
            if (factor == 1.0).all() and not shift.any():
                continue
            layer = Scale(factor, shift)
        done.append(layer)
    return tuple(done)
