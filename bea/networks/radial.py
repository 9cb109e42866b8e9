"""Radial basis functions, a layer whose parameters are no matrix of a product."""

import math
from dataclasses import dataclass

import numpy as np

from bea.networks.layers import Layer
from bea.numerics.arrays import read_only


@dataclass(frozen=True, eq=False)
class RadialBasis(Layer):
    """Gaussian bumps of a vector: ``h_k = exp(-γ_k ‖y - c_k‖²)``.

    This is no ``Weighted`` layer: its centres meet y in a distance, not in a product, so there is no ΔA of paper B for
    them, and perturbations of the weights leave them alone. A bump further than ``√(745/γ_k)`` away is zero in float64,
    and so is its derivative.

    Parameters
    ----------
    centres : array (rows, inputs)
        c_k; read-only.
    sharpness : array (rows,)
        γ_k, positive; a width σ_k, the standard deviation of the bump, is ``γ_k = 1/(2 σ_k²)``. Read-only.

    Raises
    ------
    ValueError
        For arrays of wrong shape, complex or not finite, and a sharpness that is not positive.
    """

    centres: np.ndarray
    sharpness: np.ndarray

    def __post_init__(self):
        for name, dimensions in (("centres", 2), ("sharpness", 1)):
            array = read_only(name, getattr(self, name), "numbers")
            if array.ndim != dimensions or not len(array):
                shape = ("(rows,)", "(rows, inputs)")[dimensions - 1]
                raise ValueError(f"{name}: expected shape {shape}, at least one row, received {array.shape}")
            object.__setattr__(self, name, array)
        if self.sharpness.shape != self.centres.shape[:1]:
            raise ValueError(f"sharpness: expected shape {self.centres.shape[:1]}, received {self.sharpness.shape}")
        if self.sharpness.min() <= 0.0:
            raise ValueError(f"sharpness: expected positive numbers, received {self.sharpness.min()}")

    def output_shape(self, shape):
        if shape != self.centres.shape[1:]:
            raise ValueError(
                f"centres: expected {math.prod(shape)} columns for an input of shape {shape}, "
                f"received shape {self.centres.shape}"
            )
        return self.centres.shape[:1]

    def exponents(self, y):
        """Return -γ_k ‖y - c_k‖², (n, rows)."""
        # ‖y‖² - 2 c·y + ‖c‖² is one matrix product; rounding may leave it a little below zero.
        squares = np.vecdot(y, y)[:, None] - 2.0 * (y @ self.centres.T) + np.vecdot(self.centres, self.centres)
        return -self.sharpness * np.maximum(squares, 0.0)

    def forward(self, y):
        return np.exp(self.exponents(y))

    def pull_back(self, rows, y, output):
        # Σ_k w_k (c_k - y) with w_k = 2 γ_k h_k rows_k, as one product for the batch.
        weights = rows * (2.0 * self.sharpness * output)[:, None]
        product = weights.reshape(math.prod(weights.shape[:2]), weights.shape[2]) @ self.centres
        product = product.reshape(*weights.shape[:2], self.centres.shape[1])
        return product - weights.sum(axis=2, keepdims=True) * y[:, None]

    def push_forward(self, dy, y, output):
        return 2.0 * self.sharpness * output * (dy @ self.centres.T - np.vecdot(y, dy)[:, None])

    def bend(self, rows, dy, y, output):
        # Both factors of w_k (c_k - y) move: w_k with h_k, to which it is proportional, and y.
        moved = self.pull_back(rows, y, self.push_forward(dy, y, output))
        return moved - np.vecdot(rows, (2.0 * self.sharpness * output)[:, None])[:, :, None] * dy[:, None]
