"""The layers that a network is made of (paper B, eq. 3).

A new kind needs the three methods of ``Layer``; a kind with weights also what ``Dense`` offers to the linearisation.
"""

import math
from dataclasses import dataclass

import numpy as np

# f and f', the latter written in terms of (v, f(v)); all of them act elementwise.
ACTIVATIONS = {
    "linear": (lambda v: v, lambda v, y: np.ones_like(v)),
    "relu": (lambda v: np.maximum(v, 0.0), lambda v, y: (v > 0.0).astype(v.dtype)),
    "sigmoid": (lambda v: 0.5 * (1.0 + np.tanh(0.5 * v)), lambda v, y: y * (1.0 - y)),
    "tanh": (np.tanh, lambda v, y: 1.0 - y * y),
}


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
        return flat(y)

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


def flat(y, keep=1) -> np.ndarray:
    """Reshape all axes but the first ``keep`` ones to a single one; empty batches have no ``-1``."""
    return y.reshape(*y.shape[:keep], math.prod(y.shape[keep:]))
