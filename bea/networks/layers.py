"""The layers that a network is made of (paper B, eq. 3).

A new kind needs the methods of ``Layer``; a kind with weights is a ``Weighted`` and also offers what that class
describes to the linearisation. Images have their channels last: (height, width, channels).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from bea.networks.activations import ACTIVATIONS, PARAMETRIC, SECOND
from bea.numerics.arrays import flat, read_only
from bea.reports.texts import outlined


class Layer:
    """One map of the sequence. Batches have the sample as their first axis."""

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
    """An elementwise function, by its name in ``ACTIVATIONS`` or, with its parameter a > 0, in ``PARAMETRIC``."""

    name: str
    parameter: float | None = None

    def __post_init__(self):
        a = self.parameter
        if self.name in PARAMETRIC:
            if not (isinstance(a, int | float | np.number) and 0.0 < a < math.inf):
                raise ValueError(f"parameter: expected a positive finite number for {self.name}, received {a!r}")
            object.__setattr__(self, "parameter", float(a))
        elif self.name not in ACTIVATIONS:
            raise ValueError(
                f"activation: expected one of {sorted([*ACTIVATIONS, *PARAMETRIC])}, received {self.name!r}"
            )
        elif a is not None:
            raise ValueError(f"parameter: expected none for {self.name}, received {a!r}")

    def output_shape(self, shape):
        return shape

    def forward(self, y):
        if self.name in PARAMETRIC:
            return PARAMETRIC[self.name][0](y, self.parameter)
        return ACTIVATIONS[self.name][0](y)

    def slope(self, v, y):
        """Return f'(v) where y = f(v)."""
        if self.name in PARAMETRIC:
            return PARAMETRIC[self.name][1](v, y, self.parameter)
        return ACTIVATIONS[self.name][1](v, y)

    def pull_back(self, rows, y, output):
        return rows * self.slope(y, output)[:, None]

    def push_forward(self, dy, y, output):
        return dy * self.slope(y, output)

    def bend(self, rows, dy, y, output):
        if self.name not in SECOND:
            return 0.0
        return rows * (SECOND[self.name](y, output, self.parameter) * dy)[:, None]


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
