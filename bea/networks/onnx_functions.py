"""Elementwise functions that an ONNX model has in parts, as GELU made of Erf, recognised by their values.

Exporters write what has no operator of its own as several nodes. All nodes that reckon, number by number, with one
value and constants are one function of it; on a grid it is compared with those that a network has.
"""

import numpy as np

from bea.networks.layers import Activation
from bea.networks.normalisation import Scale

ELEMENTARY = {"Abs", "Add", "And", "Cast", "Clip", "Div", "Equal", "Erf", "Exp", "Greater", "GreaterOrEqual"}
ELEMENTARY |= {"HardSigmoid", "Identity", "Less", "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow"}
ELEMENTARY |= {"Reciprocal", "Relu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Sum", "Tanh", "Where"}
NAMES = ("gelu", "gelu_tanh", "silu", "mish", "hard_silu", "softsign", "tanh_shrink", "log_sigmoid", "softplus")
NAMES += ("selu",)
GRID = np.linspace(-8.0, 8.0, 257)
SHARP = 1e-5  # relative; the two kinds of GELU differ by 4e-4, and single precision leaves 1e-6


def recognised(values) -> tuple | None:
    """Return the layers of the function that has ``values`` on the grid, or twice a known one; None for no known one."""
    values = np.asarray(values, dtype=float).ravel()
    if values.shape != GRID.shape or not np.isfinite(values).all():
        return None
    candidates = [Activation(name) for name in NAMES]
    if 0.0 < (width := 8.0 - values[-1]) < 8.0:
        candidates.append(Activation("soft_shrink", float(np.round(width, 6))))
    for layer in candidates:
        expected = layer.forward(GRID)
        for times in (1.0, 2.0):
            if np.all(np.abs(values - times * expected) <= SHARP * np.maximum(np.abs(expected), 1.0)):
                return (layer,) if times == 1.0 else (layer, Scale(times))
    return None


class Functions:
    """Which values are a function of which other, number by number.

    Parameters
    ----------
    made_by : dict
        The node that makes a value.
    constants : dict
        Arrays that do not depend on the input.
    evaluator : function
        Of nodes, the name of a value and that of another: from the first, as an array, to the second.
    """

    def __init__(self, made_by, constants, evaluator):
        self.made_by, self.constants, self.evaluator = made_by, constants, evaluator
        self.roots = {}

    def note(self, node, inputs) -> None:
        """Remember of what value the output of a node is a function, given those inputs that are no constants."""
        roots = {self.roots.get(name, name) for name in inputs}
        numbers = all(np.size(self.constants[name]) == 1 for name in node.input if name in self.constants)
        if node.op_type in ELEMENTARY and len(roots) == 1 and numbers:
            self.roots |= dict.fromkeys(node.output, roots.pop())

    def layers_of(self, name) -> tuple | None:
        """Return the value of which another is a known function, and the layers that make it; None for no known one."""
        root = self.roots.get(name)
        if root is None:
            return None
        nodes, waiting = {}, [name]
        while waiting:
            each = waiting.pop()
            node = self.made_by.get(each)
            if each != root and node is not None and id(node) not in nodes:
                nodes[id(node)] = node
                waiting += node.input
        layers = recognised(self.evaluator(list(nodes.values()), root, name))
        return None if layers is None else (root, layers)
