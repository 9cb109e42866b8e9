"""The layers that a network is made of (paper B, eq. 3).

A new kind needs the methods of ``Layer``; a kind with weights is a ``Weighted`` and also offers what that class
describes to the linearisation. Images have their channels last: (height, width, channels).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from bea.networks.elementwise import ELEMENTWISE, Elementwise, read_parameters
from bea.numerics.arrays import flat, read_only
from bea.reports.texts import outlined


class Layer:
    """One map of the sequence. Batches have the sample as their first axis.

    Attributes
    ----------
    paths : tuple of sequences of layers
        What the layer is made of, if it adds up the outputs of sequences of its input; empty for all others.
    """

    paths: tuple = ()

    def widest(self, shape: tuple[int, ...]) -> int:
        """Return how many numbers the largest array between its input of ``shape`` and its output has."""
        return math.prod(self.output_shape(shape))

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        cls.__repr__ = outlined  # a dataclass would write out all weights otherwise

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of one output for one input of ``shape``, or raise ``ValueError``."""
        raise NotImplementedError

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Map a batch (n, *shape)."""
        raise NotImplementedError

    def pull_back(self, rows: np.ndarray, y: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Multiply rows (n or 1, classes, *output shape) by the Jacobian at y; the result ends in ``shape``."""
        raise NotImplementedError

    def push_forward(self, dy: np.ndarray, y: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Multiply the Jacobian at y by a tangent dy (n, *shape) of y; the result is one of the output."""
        raise NotImplementedError

    def bend(self, rows: np.ndarray, dy: np.ndarray, y: np.ndarray, output: np.ndarray) -> np.ndarray | float:
        """Return the derivative of ``pull_back(rows, y, output)`` when y moves along dy (n, *shape), rows fixed.

        Zero, as here, where the map is affine or made of affine pieces.
        """
        return 0.0


@dataclass(frozen=True)
class Flatten(Layer):
    """Reshape a batch of arrays to a batch of vectors, last index fastest."""

    def output_shape(self, shape):
        return (math.prod(shape),)

    def forward(self, y):
        return flat(y)

    def pull_back(self, rows, y, output):
        return rows.reshape(*rows.shape[:2], *y.shape[1:])

    def push_forward(self, dy, y, output):
        return flat(dy)


@dataclass(frozen=True)
class Activation(Layer):
    """An elementwise function, by its name in ``bea.networks.elementwise.ELEMENTWISE``.

    Without parameter: abs, exponential, gelu (with the error function), gelu_tanh (the usual approximation of it),
    hard_sigmoid ``relu6(v + 3)/6``, hard_silu ``v hard_sigmoid(v)``, hard_tanh, linear, log_sigmoid, mish, relu, relu6,
    selu, sigmoid, silu (swish), softplus, softsign, sparse_plus, sparse_sigmoid, tanh, tanh_shrink ``v - tanh v``.

    With one, a number: celu (alpha > 0), elu (alpha > 0), hard_shrink (threshold ≥ 0), leaky_relu (slope left of
    zero), smooth_relu (a > 0), soft_shrink (threshold ≥ 0). Keras' ``squareplus(b)`` is smooth_relu with a = √b.

    With several, a tuple: clip (low, high), clipped_relu (slope, threshold, largest), which is ``min(v, largest)`` from
    the threshold on and ``slope (v - threshold)`` left of it (Keras' ``ReLU``), threshold (threshold, value), which is
    v right of the threshold and the value elsewhere (PyTorch's ``Threshold``; Keras' and ONNX' have the value 0).
    """

    name: str
    parameter: float | tuple[float, ...] | None = None

    def __post_init__(self):
        found = read_parameters(self.name, self.parameter)
        object.__setattr__(self, "parameter", (found if len(found) > 1 else found[0]) if found else None)

    @property
    def function(self) -> Elementwise:
        """The function, with its derivatives."""
        return ELEMENTWISE[self.name]

    @property
    def parameters(self) -> tuple[float, ...]:
        """The parameters, which all functions of ``function`` take behind their other arguments."""
        if self.parameter is None:
            return ()
        return self.parameter if isinstance(self.parameter, tuple) else (self.parameter,)

    @property
    def steepest(self) -> float | None:
        """The largest slope ``sup |f'|``; None where f jumps or has no such bound."""
        return self.function.steepest(*self.parameters)

    @property
    def kinks(self) -> tuple:
        """Where f' jumps: pairs (place, jump)."""
        return self.function.kinks(*self.parameters)

    @property
    def jumps(self) -> bool:
        """Whether the function itself jumps somewhere."""
        return self.steepest is None and self.name != "exponential"

    def output_shape(self, shape):
        return shape

    def forward(self, y):
        return self.function.value(y, *self.parameters)

    def slope(self, v, y):
        """Return f'(v) where y = f(v)."""
        return self.function.slope(v, y, *self.parameters)

    def pull_back(self, rows, y, output):
        return rows * self.slope(y, output)[:, None]

    def push_forward(self, dy, y, output):
        return dy * self.slope(y, output)

    def bend(self, rows, dy, y, output):
        if self.function.bend is None:
            return 0.0
        return rows * (self.function.bend(y, output, *self.parameters) * dy)[:, None]


class Weighted(Layer):
    """An affine map ``y -> A h``, the same matrix at every position.

    At a position, h holds the inputs that the matrix sees there, and a one if there is a bias. A dense layer has a
    single position, a convolution one for every pixel of its output.

    Attributes
    ----------
    matrix : array (rows, columns)
        A, with the bias as its last column when there is one; read-only.
    bias : bool
        Whether the last column of ``matrix`` is a bias.
    """

    matrix: np.ndarray
    bias: bool

    def __post_init__(self):
        matrix = read_only("matrix", self.matrix, "weights")
        if matrix.ndim != 2:
            raise ValueError(f"matrix: expected two dimensions (rows, columns), received shape {matrix.shape}")
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "bias", bool(self.bias))

    @property
    def kernel(self) -> np.ndarray:
        """A without its bias column: what multiplies the input, (rows, inputs)."""
        return self.matrix[:, :-1] if self.bias else self.matrix

    def with_matrix(self, matrix) -> "Weighted":
        """Return the same layer with another matrix."""
        return replace(self, matrix=matrix)

    def unfold(self, y: np.ndarray) -> np.ndarray:
        """Return h at every position, (n, positions, columns)."""
        raise NotImplementedError

    def fold(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Apply the adjoint of ``unfold`` without the ones.

        Takes ``rows`` (n, k, positions, inputs) to (n, k, *shape), where ``shape`` is that of one input of the layer.
        """
        raise NotImplementedError

    def columns_error(self, expected: int, shape: tuple[int, ...]) -> ValueError:
        """Return the error for an input of ``shape``, of which the matrix would have to meet so many numbers."""
        return ValueError(
            f"matrix: expected {expected} input columns for an input of shape {shape}"
            f"{' and one bias column' if self.bias else ''}, received shape {self.matrix.shape}"
        )


@dataclass(frozen=True, eq=False)
class Dense(Weighted):
    """The affine map of a vector, ``y -> A h``, h being y with a one appended if there is a bias.

    Parameters
    ----------
    matrix : array (rows, columns)
        A, with the bias as its last column when there is one.
    bias : bool
        Whether the last column of ``matrix`` is a bias.
    """

    matrix: np.ndarray
    bias: bool = True

    def augment(self, y):
        """Return h: y (n, inputs) with a column of ones when there is a bias, (n, columns)."""
        return np.column_stack([y, np.ones(len(y))]) if self.bias else y

    def unfold(self, y):
        return self.augment(y)[:, None]

    def fold(self, rows, shape):
        return rows.reshape(*rows.shape[:2], *shape)

    def output_shape(self, shape):
        if shape != (self.kernel.shape[1],):
            raise self.columns_error(math.prod(shape), shape)
        return (len(self.matrix),)

    def forward(self, y):
        product = y @ self.kernel.T
        if self.bias:
            product += self.matrix[:, -1]
        return product

    def pull_back(self, rows, y, output):
        # One product for the batch; NumPy would otherwise do one a sample.
        product = rows.reshape(math.prod(rows.shape[:2]), rows.shape[2]) @ self.kernel
        return product.reshape(*rows.shape[:2], self.kernel.shape[1])

    def push_forward(self, dy, y, output):
        return dy @ self.kernel.T


@dataclass(frozen=True, eq=False)
class Readout(Layer):
    """A fixed affine map of a vector to the logits, no weights of the model: for networks that do not end in ``Dense``.

    A network ends in a ``Dense`` or in this. Where the model ends in global pooling, say, or in a convolution and
    ``Flatten``, ``Readout.identity(classes)`` hands the classes on as they are. A model with a single output z, that of
    a sigmoid, is one of two classes with the logits (0, z), which ``Readout.of_one_output()`` makes of it: their
    softmax is ``(1 - σ(z), σ(z))``. The model's last layer keeps its one row, so that its norm and that of a change are
    the model's own; with two rows a change could be shared among them and would be shorter by √2.

    Parameters
    ----------
    matrix : array (classes, columns)
        With the bias as its last column when there is one.
    bias : bool
        Whether the last column of ``matrix`` is a bias.
    """

    matrix: np.ndarray
    bias: bool = False

    def __post_init__(self):
        affine = Dense(self.matrix, self.bias)
        for name in ("matrix", "bias", "kernel"):
            object.__setattr__(self, name, getattr(affine, name))
        object.__setattr__(self, "affine", affine)

    def output_shape(self, shape):
        return self.affine.output_shape(shape)

    def forward(self, y):
        return self.affine.forward(y)

    def pull_back(self, rows, y, output):
        return self.affine.pull_back(rows, y, output)

    def push_forward(self, dy, y, output):
        return self.affine.push_forward(dy, y, output)

    @classmethod
    def identity(cls, classes: int) -> "Readout":
        """Return the map that leaves the logits as they are."""
        return cls(np.eye(classes))

    @classmethod
    def of_one_output(cls) -> "Readout":
        """Return the map of one output z to the logits (0, z)."""
        return cls([[0.0], [1.0]])
