"""What is done to a sequence of layers, also within those that are made of sequences themselves (``Layer.paths``).

The order of layers with weights is that of the sequence; within a layer, path after path.
"""

from collections.abc import Callable, Iterator

import numpy as np

from bea.networks.layers import Dense, Layer, Weighted
from bea.networks.positions import products


def leaves(layers) -> Iterator[Layer]:
    """Yield the layers, and in place of one with paths those of its paths."""
    for layer in layers:
        if layer.paths:
            for path in layer.paths:
                yield from leaves(path)
        else:
            yield layer


def replaced(layers, change: Callable[[Layer], Layer]) -> tuple:
    """Return the layers with ``change(layer)`` in place of each of the ``leaves``, in their order."""
    return tuple(
        layer.with_paths(*(replaced(path, change) for path in layer.paths)) if layer.paths else change(layer)
        for layer in layers
    )


def shapes_of(layers, shape) -> Iterator[tuple]:
    """Yield each of the ``leaves`` with the shapes of its input and its output; the first input is of ``shape``."""
    for layer in layers:
        output = layer.output_shape(shape)
        if layer.paths:
            for path in layer.paths:
                yield from shapes_of(path, shape)
        else:
            yield layer, shape, output
        shape = output


def run(layers, y) -> np.ndarray:
    """Return what comes out of the sequence for a batch y."""
    for layer in layers:
        y = layer.forward(y)
    return y


def trace(layers, y) -> list[np.ndarray]:
    """Return a batch y, and the output of every layer."""
    values = [y]
    for layer in layers:
        values.append(layer.forward(values[-1]))
    return values


def pull_back(layers, rows, values) -> np.ndarray:
    """Multiply rows by the Jacobian of the sequence at the ``values`` that ``trace`` returned."""
    for layer, y, output in _steps(layers, values):
        rows = layer.pull_back(rows, y, output)
    return rows


def push_forward(layers, dy, values) -> list[np.ndarray]:
    """Return the tangent dy of the input, and that of the output of every layer."""
    tangents = [dy]
    for layer, y, output in zip(layers, values[:-1], values[1:], strict=True):
        tangents.append(layer.push_forward(tangents[-1], y, output))
    return tangents


def bend(layers, rows, dy, values) -> np.ndarray | float:
    """Return the derivative of ``pull_back(layers, rows, values)`` when the input moves along dy, rows fixed."""
    tangents, moved = push_forward(layers, dy, values), 0.0
    for (layer, y, output), tangent in zip(_steps(layers, values), tangents[-2::-1], strict=True):
        if isinstance(moved, np.ndarray):
            moved = layer.pull_back(moved, y, output)
        moved = moved + layer.bend(rows, tangent, y, output)
        rows = layer.pull_back(rows, y, output)
    return moved


def expand(layers, values, rows, wanted: list, found: list) -> np.ndarray:
    """Pull rows back and list what every layer with weights multiplies, and its derivative by ``A h``.

    Parameters
    ----------
    layers : sequence of layers
    values : list of arrays
        What ``trace`` returned.
    rows : array (n or 1, classes, *output shape)
    wanted : list of bool
        Whether a layer with weights is to be listed, the last one first; each takes its own from the front.
    found : list
        Pairs (h, S), or (None, None) where they are not wanted; each layer puts its own to the front.
    """
    for layer, y, output in _steps(layers, values):
        if layer.paths:
            # The last path is the one whose layers are last.
            parts = [expand(path, trace(path, y), rows, wanted, found) for path in reversed(layer.paths)]
            rows = sum(parts[1:], parts[0])
            continue
        if isinstance(layer, Weighted):
            if not wanted.pop(0):
                found.insert(0, (None, None))
            elif isinstance(layer, Dense):
                found.insert(0, (layer.augment(y), rows))
            else:
                h = layer.unfold(y)
                found.insert(0, (h, rows.reshape(*rows.shape[:2], h.shape[1], len(layer.matrix))))
        rows = layer.pull_back(rows, y, output)
    return rows


def collect_back(memory, rows, parts: list, missing: int, through: Callable) -> np.ndarray:
    """Pull rows back until no more than ``missing`` derivatives stand in ``parts``, the last layer's first.

    Parameters
    ----------
    memory : list of (layer, y, output, kept)
        ``kept`` is None where nothing changes, a list of such lists for a layer of several paths, and else what
        ``through`` needs.
    rows : array (n or 1, k, *output shape)
    parts : list
        Gets the derivatives.
    through : function
        ``through(rows, layer, y, output, kept, parts, missing)`` puts the derivative by a layer's change into
        ``parts``, and returns the rows in front of the layer, if they are needed still.
    """
    for layer, y, output, kept in reversed(memory):
        if len(parts) == missing:
            break
        if layer.paths:
            found = [collect_back(path, rows, parts, missing, through) for path in reversed(kept)]
            if len(parts) < missing:
                rows = sum(found[1:], found[0])
        elif kept is None:
            rows = layer.pull_back(rows, y, output)
        else:
            rows = through(rows, layer, y, output, kept, parts, missing)
    return rows


def forward_changed(layers, y, changes: Iterator) -> np.ndarray:
    """Return the output with each matrix changed by the next of ``changes``, as ``Perturbation.dA`` holds them."""
    for layer in layers:
        if layer.paths:
            parts = [forward_changed(path, y, changes) for path in layer.paths]
            y = sum(parts[1:], parts[0])
            continue
        output = layer.forward(y)
        if isinstance(layer, Weighted) and (change := next(changes)) is not None:
            if isinstance(layer, Dense):
                left, right = change
                output = output + left * np.sum(right * layer.augment(y), axis=1, keepdims=True)
            else:
                output = output + products(layer.unfold(y), change).reshape(output.shape)
        y = output
    return y


def _steps(layers, values):
    """Yield every layer with its input and output, the last one first."""
    return zip(reversed(layers), values[-2::-1], values[:0:-1], strict=True)
