"""From the graph of a model to a sequence of layers, in which blocks whose paths meet in a sum are ``Residual``.

A reader puts down the values of a model in the order in which they are computed, each with the layers that make it from
the value before it, or from the sum of several. A value d *dominates* v if every way from the input to v leads through
d; the nearest such d is where the ways to v part. Where values are summed, the block from the nearest one that
dominates the sum becomes the sum of the sequences that lead from there to each of them.
"""

from dataclasses import dataclass, field

from bea.networks.layers import Activation, Layer, Weighted
from bea.networks.residual import Residual
from bea.networks.sequence import leaves

OTHER_FORM = (
    "expected a sequence of layers and residual blocks, that is sums of paths that part at one value and share nothing "
    "behind it"
)


@dataclass(frozen=True)
class Value:
    """One value of a model: the sum of its inputs, and what the layers make of it."""

    inputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    shape: tuple[int, ...]
    parting: str
    depth: int


@dataclass
class Graph:
    """The values that the output of a model may be made of; it grows as the reader goes on.

    Parameters
    ----------
    source : str
        Name of the value that is the input.
    shape : tuple of int
        Its shape, without the axis of the samples.
    """

    source: str
    shape: tuple[int, ...]
    values: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self):
        self.values[self.source] = Value((), (), tuple(self.shape), self.source, 0)

    def put(self, name: str, inputs, layers, where: str) -> None:
        """Add the value that the layers make of the sum of values; ``where`` names its place in the model in errors."""
        inputs, shapes = tuple(inputs), [self.values[each].shape for each in inputs]
        if len(set(shapes)) > 1:
            raise ValueError(f"model: {where}: expected summands of one shape, received {shapes}")
        shape, parting = shapes[0], inputs[0]
        try:
            for layer in layers:
                shape = layer.output_shape(shape)
        except ValueError as error:
            raise ValueError(f"model: {where}: {error}") from None
        for each in inputs[1:]:
            parting = self._common(parting, each)
        self.values[name] = Value(inputs, tuple(layers), shape, parting, self.values[parting].depth + 1)

    def _common(self, one, other) -> str:
        """Return the last value that dominates both, or is one of them."""
        while one != other:
            if self.values[one].depth >= self.values[other].depth:
                one = self.values[one].parting
            else:
                other = self.values[other].parting
        return one

    def sequence(self, target: str) -> tuple[Layer, ...]:
        """Return the layers that lead from the input to a value.

        Raises
        ------
        ValueError
            If a part of the graph has another form.
        """
        return self._between(self.source, target, set())

    def _between(self, start, target, seen) -> tuple[Layer, ...]:
        layers = ()
        while target != start:
            if target in seen:
                raise ValueError(f"model: {OTHER_FORM}, received a graph in which two of them use {target!r}")
            seen.add(target)
            value = self.values[target]
            layers = (*value.layers, *layers)
            if len(value.inputs) > 1:
                layers = (added([self._between(value.parting, each, seen) for each in value.inputs]), *layers)
            target = value.parting
        return layers


def added(paths) -> Residual:
    """Return the sum of two or more sequences; the branch is the one with more layers with weights, else the first."""
    first, *others = (tuple(path) for path in paths)
    for other in others:
        branch, shortcut = (other, first) if _weights(other) > _weights(first) or not first else (first, other)
        first = (Residual(branch or (Activation("linear"),), shortcut),)
    return first[0]


def _weights(path) -> int:
    return sum(isinstance(layer, Weighted) for layer in leaves(path))
