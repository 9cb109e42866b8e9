"""What all readers of models end with: the output of a network, and the comparison of the copy with the original."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bea.networks.activations import softmax
from bea.networks.graph import Graph
from bea.networks.layers import Activation, Dense, Flatten, Layer, Readout
from bea.networks.normalisation import Scale
from bea.networks.sequence import leaves
from bea.networks.tidying import MOVES, tidied

SET_ASIDE = ("linear", "sigmoid", "tanh")  # activations of the output that keep the order of the classes


@dataclass(frozen=True)
class Softmax(Layer):
    """The softmax of a model, or its logarithm; it may only be the last layer, and no network has it."""

    where: str
    logarithm: bool = False

    def output_shape(self, shape):
        """Return the shape as it is."""
        return shape


@dataclass(frozen=True, eq=False)
class Reading:
    """A model that was read.

    Attributes
    ----------
    layers, input_shape, output_activation
        As in ``Network``.
    ending : {"activated", "log-softmax", "softmax", "one output"}
        What the outputs of the model are: activated logits, their softmax or its logarithm, or the sigmoid of the
        second logit, the first of which is zero.
    outputs : function
        From a batch of inputs to the outputs of the model, an array.
    tolerance : float
        By how much its arithmetic may make the copy differ, relative to the largest output, or 1 if that is larger.
    batch : int
        How many samples the model takes at a time, 0 for any number.
    """

    layers: tuple
    input_shape: tuple[int, ...]
    output_activation: str
    ending: str
    outputs: Callable
    tolerance: float
    batch: int = 0


def read(graph: Graph, target: str, outputs: Callable, tolerance: float, batch: int = 0) -> Reading:
    """Return the network that leads to a value of a graph.

    Raises
    ------
    ValueError
        If the graph is no sequence of layers and residual blocks, or its output is not that of a classifier.
    """
    layers, activation, ending = list(graph.sequence(target)), "linear", "activated"
    shape, moves = graph.values[target].shape, []
    while layers and isinstance(layers[-1], MOVES):
        moves.insert(0, layers.pop())
    last = layers[-1] if layers else None
    if isinstance(last, Softmax):
        layers.pop()
        activation, ending = "softmax", "log-softmax" if last.logarithm else "softmax"
    elif isinstance(last, Activation) and last.name in SET_ASIDE:
        activation = layers.pop().name
    for layer in leaves(layers):
        if isinstance(layer, Softmax):
            raise ValueError(f"model: {layer.where}: expected a softmax at the end only, received one within")
    if sum(size > 1 for size in shape) > 1:
        raise ValueError(
            f"model: expected one number for each class as its output, received an output of shape {shape}: pool or "
            "flatten it, and end with a dense layer"
        )
    layers = list(tidied((*layers, *moves, Flatten()), graph.shape))
    if max(shape) == 1:
        if activation != "sigmoid":
            raise ValueError(
                "model: expected at least two outputs, one a class, or a single one with a sigmoid, received one "
                "output without: a regression has no classes"
            )
        layers.append(Readout.of_one_output())
        activation, ending = "softmax", "one output"
    elif not layers or not isinstance(layers[-1], Dense | Readout):
        layers.append(Readout.identity(max(shape)))
    return Reading(tuple(layers), graph.shape, activation, ending, outputs, tolerance, batch)


def check_copy(net, reading: Reading) -> None:
    """Raise ``ValueError`` unless model and network agree on random inputs from the whole range.

    Without a range they are between -2 and 2, or so that a first layer that rescales takes them there. Some are drawn
    together towards zero, so that not all classes are saturated, and probabilities are compared by their logarithms.
    """
    probe = _probe(net)
    outputs = 1 if reading.ending == "one output" else net.classes
    with np.errstate(over="ignore", invalid="ignore"):
        theirs = _outputs(reading, probe)
        if theirs.shape[1] != outputs:
            raise ValueError(f"model: expected {outputs} outputs as its copy has, received {theirs.shape[1]}")
        ours, theirs = _comparable(net, net(probe), theirs, reading.ending)
    finite = np.isfinite(theirs) & np.isfinite(ours)  # functions may overflow
    gap = np.max(np.abs(ours - theirs)[finite], initial=0.0) / np.max(np.abs(theirs[finite]), initial=1.0)
    if not (finite.any(axis=0).all() and gap <= reading.tolerance):
        raise ValueError(
            f"model: expected outputs that equal those of its copy on random inputs, received ones that differ by "
            f"{gap:.1e}, {np.count_nonzero(~finite)} of {finite.size} not finite: it computes something else than its "
            "layers say"
        )


def _outputs(reading, x) -> np.ndarray:
    """Return the outputs (n, …) of the model for x, as many samples at a time as it takes."""
    size = reading.batch or len(x)
    parts = [np.resize(x[i : i + size], (size, *x.shape[1:])) for i in range(0, len(x), size)]
    found = [np.asarray(reading.outputs(part), dtype=float).reshape(size, -1) for part in parts]
    return np.concatenate(found)[: len(x)]


def _probe(net) -> np.ndarray:
    """Return four images from the whole range, the last two near that of the smallest numbers."""
    rng, sizes = np.random.default_rng(0), np.reshape([1.0, 1.0, 0.1, 0.01], (4, *[1] * len(net.input_shape)))
    low, high = (-2.0, 2.0) if net.input_range is None else net.input_range
    smallest = min(max(low, 0.0), high)
    probe = smallest + sizes * (rng.uniform(low, high, (4, *net.input_shape)) - smallest)
    first = net.layers[0]
    if net.input_range is None and isinstance(first, Scale):
        return (probe - first.shift) / np.where(first.factor == 0.0, 1.0, first.factor)
    return probe


def _comparable(net, logits, theirs, ending) -> tuple[np.ndarray, np.ndarray]:
    """Return what is compared: of the network with these logits, and of the model."""
    if ending == "one output":
        return softmax(logits)[:, 1:], theirs
    if ending == "activated":
        return net.activate(logits), theirs
    ours = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    if ending == "log-softmax":
        return ours, theirs
    # Single precision has no smaller probabilities.
    return np.maximum(ours, np.log(1e-30)), np.log(np.maximum(theirs, 1e-30))
