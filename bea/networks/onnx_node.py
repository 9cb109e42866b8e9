"""A node of an ONNX model, as its converters see it, and what is known of the model so far."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bea.networks.graph import Graph

BATCH = 0  # what stands for the number of samples in a shape: in a Reshape, 0 is "as in the input"


@dataclass
class Model:
    """What is known of a model while its nodes are gone through.

    Attributes
    ----------
    graph : Graph
    made_by : dict
        The node that makes a value.
    constants : dict
        Arrays that do not depend on the input.
    fold : function
        Computes a node without the input among its arguments.
    weights : set
        Names of arrays that have become the weights of a layer.
    unknown : dict
        Values that no layers make, with the errors for when they are needed.
    """

    graph: Graph
    made_by: dict
    constants: dict
    fold: Callable
    weights: set = field(default_factory=set)
    unknown: dict = field(default_factory=dict)


@dataclass
class Settings:
    """One node, with its attributes and the arrays among its inputs."""

    model: Model
    node: object
    attributes: dict
    where: str

    def get(self, name, default=None):
        """Return an attribute."""
        return self.attributes.get(name, default)

    def array(self, number, default=None) -> np.ndarray | None:
        """Return an input that is a constant, in float64, or the default where there is none."""
        if number >= len(self.node.input) or not self.node.input[number]:
            return default
        if self.node.input[number] not in self.model.constants:
            raise ValueError(f"expected input {number} to be constant, received one that depends on the image")
        return np.asarray(self.model.constants[self.node.input[number]], dtype=float)

    def whole(self, number, name) -> list[int] | None:
        """Return whole numbers that are an input, or in older models an attribute; None for neither."""
        found = self.array(number)
        found = self.get(name) if found is None else found
        return None if found is None else [int(each) for each in np.atleast_1d(found)]

    def weights(self, number) -> np.ndarray:
        """Return the array that becomes the weights of a layer, of this one alone."""
        name, found = self.node.input[number], self.array(number)
        if name in self.model.weights:
            raise ValueError(f"expected weights of its own, received {name!r}, which another layer has too")
        self.model.weights.add(name)
        return found


def axes_of(given, shape) -> list[int]:
    """Return axes of a batch as axes of one sample."""
    rank = len(shape) + 1
    axes = sorted(int(axis) % rank for axis in given)
    if 0 in axes:
        raise ValueError(f"expected axes of one sample, received {list(given)}")
    return [axis - 1 for axis in axes]
