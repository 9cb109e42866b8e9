"""Networks as compositions of layers (paper B, eq. 3), and their first-order expansion (section 2.4).

A network is the map ``x -> y_p`` with ``y_i = f_i(A_i h_{i-1})``, where ``h_{i-1}`` is ``y_{i-1}`` with a one
appended when the layer has a bias, so that the bias is the last column of ``A_i``. Here the affine maps, the
activations and the reshapes are separate layers in one sequence; the *weighted* ones carry the index i.

A new kind of layer (convolution, pooling) needs the three methods of ``Layer`` and nothing else here.
"""

import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bea.files import replacing
from bea.perturbation import Perturbation

FORMAT = "bea network 1"

# f and f', the latter written in terms of (v, f(v)); all of them act elementwise.
ACTIVATIONS = {
    "linear": (lambda v: v, lambda v, y: np.ones_like(v)),
    "relu": (lambda v: np.maximum(v, 0.0), lambda v, y: (v > 0.0).astype(v.dtype)),
    "sigmoid": (lambda v: 0.5 * (1.0 + np.tanh(0.5 * v)), lambda v, y: y * (1.0 - y)),
    "tanh": (np.tanh, lambda v, y: 1.0 - y * y),
}
# Maps after the logits that leave the order of the classes as it is, so that attacks may work on the logits.
OUTPUT_ACTIVATIONS = ("linear", "sigmoid", "softmax", "tanh")


class Layer:
    """One map of the sequence. Batches have the sample as their first axis."""

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of one output for one input of ``shape``, or raise ``ValueError``."""
        raise NotImplementedError

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Map a batch (n, *shape)."""
        raise NotImplementedError

    def pull_back(self, rows: np.ndarray, y: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Multiply rows (n or 1, classes, *output shape) by the Jacobian at y; the result ends in ``shape``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Flatten(Layer):
    """Reshape a batch of arrays to a batch of vectors, last index fastest."""

    def output_shape(self, shape):
        return (math.prod(shape),)

    def forward(self, y):
        return _flat(y)

    def pull_back(self, rows, y, output):
        return rows.reshape(*rows.shape[:2], *y.shape[1:])


@dataclass(frozen=True)
class Activation(Layer):
    """An elementwise function, by its name in ``ACTIVATIONS``."""

    name: str

    def __post_init__(self):
        if self.name not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {sorted(ACTIVATIONS)}, received {self.name!r}")

    def output_shape(self, shape):
        return shape

    def forward(self, y):
        return ACTIVATIONS[self.name][0](y)

    def pull_back(self, rows, y, output):
        return rows * ACTIVATIONS[self.name][1](y, output)[:, None]


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """The affine map ``y -> A h``, h being y with a one appended if there is a bias.

    Parameters
    ----------
    matrix : array (rows, columns)
        A, with the bias as its last column when there is one.
    bias : bool
        Whether the last column of ``matrix`` is a bias.
    """

    matrix: np.ndarray
    bias: bool = True

    def __post_init__(self):
        if np.iscomplexobj(self.matrix):
            raise ValueError("matrix: expected real weights, received complex ones")
        matrix = np.array(self.matrix, dtype=float)
        if matrix.ndim != 2:
            raise ValueError(f"matrix: expected two dimensions (rows, columns), received shape {matrix.shape}")
        if not np.isfinite(matrix).all():
            bad = np.argwhere(~np.isfinite(matrix))[0]
            raise ValueError(
                f"matrix: expected finite weights, received {matrix[tuple(bad)]} at {tuple(map(int, bad))}"
            )
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)

    @property
    def kernel(self):
        """A without its bias column: what multiplies the input, (rows, inputs)."""
        return self.matrix[:, :-1] if self.bias else self.matrix

    def augment(self, y):
        """Return h: y (n, inputs) with a column of ones when there is a bias, (n, columns)."""
        return np.column_stack([y, np.ones(len(y))]) if self.bias else y

    def output_shape(self, shape):
        if shape != (self.kernel.shape[1],):
            raise ValueError(
                f"matrix: expected {math.prod(shape)} input columns for an input of shape {shape}"
                f"{' and one bias column' if self.bias else ''}, received shape {self.matrix.shape}"
            )
        return (len(self.matrix),)

    def forward(self, y):
        return self.augment(y) @ self.matrix.T

    def pull_back(self, rows, y, output):
        return rows @ self.kernel


@dataclass(frozen=True, eq=False)
class Linearisation:
    """First-order expansion of the logits of a batch in weights and input (section 2.4).

    ``logits(A + ΔA, x + Δx) ≈ logits + Σ_i S_i ΔA_i h_{i-1} + J Δx``, one sample at a time. Quantities that are the
    same for every sample have a first axis of length one.

    Attributes
    ----------
    logits : array (n, classes)
    inputs : list of arrays (n, columns_i)
        h_{i-1}, what each weighted layer multiplies.
    sensitivities : list of arrays (n or 1, classes, rows_i)
        S_i, the derivative of the logits with respect to A_i h_{i-1}.
    jacobian : array (n or 1, classes, pixels)
        J, the derivative of the logits with respect to the input, flattened.
    """

    logits: np.ndarray
    inputs: list[np.ndarray]
    sensitivities: list[np.ndarray]
    jacobian: np.ndarray


@dataclass(frozen=True, eq=False)
class Network:
    """An immutable feed-forward classifier in float64 (paper B, eq. 3).

    Parameters
    ----------
    layers : sequence of layers
        Applied in order; the last one is weighted, so that the output of the sequence is the logits.
    input_shape : tuple of int
        Shape of one image.
    output_activation : {"linear", "sigmoid", "softmax", "tanh"}
        What the trained model applies to the logits; it does not change the order of the classes.
    input_range : pair of float, optional
        Smallest and largest pixel value that an image may have; None for no limits.

    Raises
    ------
    ValueError
        If shapes do not fit together, weights are not finite, or the last layer has no weights.
    """

    layers: tuple
    input_shape: tuple[int, ...]
    output_activation: str = "linear"
    input_range: tuple[float, float] | None = None

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "input_shape", tuple(int(size) for size in self.input_shape))
        if self.output_activation not in OUTPUT_ACTIVATIONS:
            raise ValueError(
                f"output_activation: expected one of {OUTPUT_ACTIVATIONS}, received {self.output_activation!r}"
            )
        if self.input_range is not None:
            limits = np.asarray(self.input_range, dtype=float)
            if limits.shape != (2,) or not limits[0] < limits[1]:
                raise ValueError(f"input_range: expected (low, high) with low < high, received {self.input_range!r}")
            object.__setattr__(self, "input_range", tuple(limits.tolist()))
        if not self.layers or not isinstance(self.layers[-1], Dense):
            raise ValueError("layers: expected a last layer with weights, whose output is the logits")
        shape = self.input_shape
        for number, layer in enumerate(self.layers):
            try:
                shape = layer.output_shape(shape)
            except ValueError as error:
                raise ValueError(f"layers[{number}]: {error}") from None
        if shape[0] < 2:
            raise ValueError(f"layers: expected at least two classes, received {shape[0]}")

    @cached_property
    def weighted(self) -> tuple[Dense, ...]:
        """The weighted layers, i = 1, …, p."""
        return tuple(layer for layer in self.layers if isinstance(layer, Dense))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.weighted[-1].matrix)

    @cached_property
    def weight_norms(self) -> np.ndarray:
        """‖A_i‖ (Frobenius) of every weighted layer, (p,)."""
        norms = np.array([np.linalg.norm(layer.matrix) for layer in self.weighted])
        norms.flags.writeable = False
        return norms

    def check_images(self, x, name="x") -> np.ndarray:
        """Return ``x`` as a float64 batch ``(n, *input_shape)``, or raise ``ValueError``."""
        x = np.asarray(x, dtype=float)
        if x.shape[1:] != self.input_shape or x.ndim != len(self.input_shape) + 1:
            raise ValueError(f"{name}: expected a batch of shape (n, {str(self.input_shape)[1:]}, received {x.shape}")
        if not np.isfinite(x).all():
            raise ValueError(f"{name}: expected finite pixels, received NaN or Inf in image {_first(~np.isfinite(x))}")
        if self.input_range is not None:
            low, high = self.input_range
            outside = (x < low) | (x > high)
            if outside.any():
                raise ValueError(
                    f"{name}: expected pixels between {low:g} and {high:g}, "
                    f"received values from {x.min():g} to {x.max():g} (first in image {_first(outside)})"
                )
        return x

    def __call__(self, x) -> np.ndarray:
        """Return the logits (n, classes): the output of the last weighted layer, before any output activation."""
        return self._run(x)[-1]

    def classify(self, x) -> np.ndarray:
        """Return the class of every image, (n,): the index of the largest logit."""
        return self(x).argmax(axis=1)

    def linearise(self, x) -> Linearisation:
        """Expand the logits to first order in all weights and in the input (section 2.4)."""
        values = self._run(x)
        rows = np.eye(self.classes)[None]
        inputs, sensitivities = [], []
        for layer, y, output in zip(reversed(self.layers), values[-2::-1], values[:0:-1], strict=True):
            if isinstance(layer, Dense):
                inputs.insert(0, layer.augment(y))
                sensitivities.insert(0, rows)
            rows = layer.pull_back(rows, y, output)
        return Linearisation(values[-1], inputs, sensitivities, _flat(rows, keep=2))

    def perturbed_logits(self, perturbation: Perturbation) -> np.ndarray:
        """Return the logits (n, classes) when sample i goes through the network perturbed for sample i."""
        y = perturbation.x if perturbation.dx is None else perturbation.x + perturbation.dx
        factors = iter(perturbation.dA)
        for layer in self.layers:
            output = layer.forward(y)
            if isinstance(layer, Dense) and (pair := next(factors)) is not None:
                left, right = pair
                output = output + left * np.sum(right * layer.augment(y), axis=1, keepdims=True)
            y = output
        return y

    def perturbed(self, perturbation: Perturbation, i: int) -> tuple["Network", np.ndarray]:
        """Return network and image of sample ``i`` with its perturbation put in."""
        image = perturbation.x[i] if perturbation.dx is None else perturbation.x[i] + perturbation.dx[i]
        factors = iter(perturbation.dA)
        layers = []
        for layer in self.layers:
            if isinstance(layer, Dense) and (pair := next(factors)) is not None:
                layer = Dense(layer.matrix + np.outer(pair[0][i], pair[1][i]), layer.bias)
            layers.append(layer)
        return replace(self, layers=tuple(layers)), image

    @classmethod
    def from_keras(cls, model, input_range=None) -> "Network":
        """Convert a built Keras model whose layers are all known here.

        Parameters
        ----------
        model : keras.Model
            A sequence of ``Flatten``, ``Dense``, ``Activation``, ``ReLU`` and ``Dropout`` layers.
        input_range : pair of float, optional
            As in the constructor; Keras does not store it.

        Raises
        ------
        ValueError
            For a layer that has no counterpart, naming it, and for a model whose layers are no plain sequence.
        """
        layers, output_activation = [], "linear"
        for layer in model.layers:
            kind, config = type(layer).__name__, layer.get_config()
            activation = config.get("activation", "linear")
            if kind == "Flatten" and config.get("data_format") != "channels_first":
                layers.append(Flatten())
            elif kind == "Dense":
                weights = [np.asarray(array, dtype=float) for array in layer.get_weights()]
                matrix = np.column_stack([weights[0].T, *weights[1:]])
                layers.append(Dense(matrix, bias=config["use_bias"]))
            elif kind == "ReLU" and not (config["max_value"] or config["negative_slope"] or config["threshold"]):
                activation = "relu"
            elif kind not in ("Activation", "Dropout", "InputLayer"):
                raise ValueError(f"model: layer {layer.name!r} of type {kind} with {config} has no counterpart in bea")
            if activation == "linear":
                continue
            if layer is model.layers[-1]:
                output_activation = activation
            elif isinstance(activation, str) and activation in ACTIVATIONS:
                layers.append(Activation(activation))
            else:
                raise ValueError(
                    f"model: layer {layer.name!r}: expected an activation out of {sorted(ACTIVATIONS)}, "
                    f"received {activation!r}"
                )
        if not isinstance(model.input_shape, tuple) or not isinstance(model.output_shape, tuple):
            raise ValueError("model: expected one input and one output, received several")
        net = cls(tuple(layers), model.input_shape[1:], output_activation, input_range)
        _check_copy(net, model)
        return net

    def save(self, path) -> None:
        """Write the network to ``path`` (.npz, without pickle)."""
        header = {
            "format": FORMAT,
            "layers": [_describe(layer) for layer in self.layers],
            "input_shape": self.input_shape,
            "output_activation": self.output_activation,
            "input_range": self.input_range,
        }
        matrices = {f"A{i}": layer.matrix for i, layer in enumerate(self.weighted, start=1)}
        with replacing(path) as partial, open(partial, "wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **matrices)

    @classmethod
    def load(cls, path) -> "Network":
        """Read a network written by ``save``.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is truncated, not a network, or holds weights that are not finite or of the wrong shape.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: expected a network file, found none")
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(str(arrays["header"]))
            if header["format"] != FORMAT:
                raise ValueError(f"format {header['format']!r}")
            entries = [dict(entry) for entry in header["layers"]]
            input_range = header["input_range"] and tuple(header["input_range"])
            arguments = tuple(header["input_shape"]), header["output_activation"], input_range
        except Exception as error:  # a damaged file may fail in any way
            raise ValueError(
                f"{path}: expected a complete network file ({FORMAT}), found {path.stat().st_size} bytes "
                f"that are not one ({type(error).__name__}: {error})"
            ) from None
        layers, matrices = [], iter(range(1, len(entries) + 1))
        for number, entry in enumerate(entries):
            try:
                layers.append(_restore(entry, arrays, matrices))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}: layer {number}: {error}") from None
        try:
            return cls(tuple(layers), *arguments)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def _run(self, x) -> list[np.ndarray]:
        """Return the input and the output of every layer."""
        y = np.asarray(x, dtype=float)
        if y.shape[1:] != self.input_shape or y.ndim != len(self.input_shape) + 1:
            raise ValueError(f"x: expected a batch of shape (n, {str(self.input_shape)[1:]}, received {y.shape}")
        values = [y]
        for layer in self.layers:
            values.append(layer.forward(values[-1]))
        return values


def _check_copy(net: Network, model) -> None:
    """Raise ``ValueError`` unless the Keras model computes the same outputs as ``net`` on two random images."""
    probe = np.random.default_rng(0).random((2, *net.input_shape))
    theirs = np.asarray(model(probe.astype(model.compute_dtype)), dtype=float)
    ours = net(probe)
    if net.output_activation == "softmax":
        ours = np.exp(ours - ours.max(axis=1, keepdims=True))
        ours /= ours.sum(axis=1, keepdims=True)
    else:
        ours = ACTIVATIONS[net.output_activation][0](ours)
    gap = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1.0)
    if not gap <= 1e-3:  # single precision leaves about 1e-6; a wrong order of layers or pixels leaves about one
        raise ValueError(
            f"model: expected a plain sequence of layers with the channels last, received one whose outputs "
            f"differ from those of its layers in sequence by {gap:.1e}"
        )


def _describe(layer) -> dict:
    entry = {"kind": type(layer).__name__}
    if isinstance(layer, Dense):
        entry |= {"shape": list(layer.matrix.shape), "bias": bool(layer.bias)}
    elif isinstance(layer, Activation):
        entry |= {"name": layer.name}
    return entry


def _restore(entry: dict, arrays: dict, numbers) -> Layer:
    """Return the layer that ``_describe`` described; matrices are numbered in their order."""
    match entry:
        case {"kind": "Dense", "shape": shape, "bias": bias}:
            name = f"A{next(numbers)}"
            found = list(arrays[name].shape) if name in arrays else None
            if found != shape:
                raise ValueError(f"expected {name} of shape {shape}, found {found}")
            return Dense(arrays[name], bias)
        case {"kind": "Activation", "name": name}:
            return Activation(name)
        case {"kind": "Flatten"}:
            return Flatten()
    raise ValueError(f"expected a known kind of layer, found {entry}")


def _flat(y, keep=1) -> np.ndarray:
    """Reshape all axes but the first ``keep`` ones to a single one; empty batches have no ``-1``."""
    return y.reshape(*y.shape[:keep], math.prod(y.shape[keep:]))


def _first(mask) -> int:
    """Return the index of the first sample in which ``mask`` is true anywhere."""
    return int(np.argmax(mask.reshape(len(mask), -1).any(axis=1)))
