"""Layers that rescale: fixed affine maps of the entries, and normalisation of a layer's entries by each other."""

import math
from dataclasses import dataclass

import numpy as np

from bea.networks.layers import Layer
from bea.numerics.arrays import read_only


@dataclass(frozen=True, eq=False)
class Scale(Layer):
    """The affine map of every entry ``y -> factor y + shift``, which is fixed: no weights of the model.

    For ``Rescaling``, ``Normalization``, and a ``BatchNormalization`` without a neighbour into which
    ``bea.fold_scales`` could put it.

    Parameters
    ----------
    factor, shift : float or array
        Aligned with the last axes of an input, as NumPy broadcasts: one number, one a channel, or one an entry.
        They are kept as read-only arrays of one common shape.
    """

    factor: np.ndarray
    shift: np.ndarray = 0.0

    def __post_init__(self):
        factor, shift = read_only("factor", self.factor, "numbers"), read_only("shift", self.shift, "numbers")
        try:
            both = np.broadcast_arrays(factor, shift)
        except ValueError:
            raise ValueError(
                f"shift: expected a shape that fits factor's {factor.shape}, received {shift.shape}"
            ) from None
        for name, array in zip(("factor", "shift"), both, strict=True):
            object.__setattr__(self, name, read_only(name, array, "numbers"))

    def output_shape(self, shape):
        check_aligned("factor", self.factor, shape)
        return shape

    def forward(self, y):
        return self.factor * y + self.shift

    def pull_back(self, rows, y, output):
        return rows * self.factor

    def push_forward(self, dy, y, output):
        return dy * self.factor


@dataclass(frozen=True, eq=False)
class PReLU(Layer):
    """``y`` where it is positive and ``slopes · y`` elsewhere, a slope for each channel or entry; none is perturbed.

    Parameters
    ----------
    slopes : float or array
        Aligned with the last axes of an input, as NumPy broadcasts; read-only.
    """

    slopes: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "slopes", read_only("slopes", self.slopes, "numbers"))

    def output_shape(self, shape):
        check_aligned("slopes", self.slopes, shape)
        return shape

    @property
    def kinks(self) -> tuple:
        """Where the slope jumps: one pair (place, jump)."""
        return ((0.0, 1.0 - self.slopes),)

    def forward(self, y):
        return np.where(y > 0.0, y, self.slopes * y)

    def slope(self, v, y):
        """Return the derivative at v, y being the value there."""
        return np.where(v > 0.0, 1.0, self.slopes)

    def pull_back(self, rows, y, output):
        return rows * self.slope(y, output)[:, None]

    def push_forward(self, dy, y, output):
        return dy * self.slope(y, output)


@dataclass(frozen=True, eq=False)
class LayerNormalization(Layer):
    """``factor (y - m)/√(v + ε) + shift``, m and v mean and variance (divided by N) of a sample over its last axes.

    Parameters
    ----------
    factor, shift : array
        Of the shape of the axes that are normalised together, the last ones of an input; read-only, not perturbed.
    epsilon : float
        ε, positive: Keras has 1e-3, PyTorch 1e-5.
    """

    factor: np.ndarray
    shift: np.ndarray
    epsilon: float

    def __post_init__(self):
        for name in ("factor", "shift"):
            object.__setattr__(self, name, read_only(name, getattr(self, name), "numbers"))
        if not self.factor.ndim or self.factor.shape != self.shift.shape:
            raise ValueError(
                f"factor, shift: expected arrays of one shape, that of the axes to normalise, received "
                f"{self.factor.shape} and {self.shift.shape}"
            )
        if not (isinstance(self.epsilon, int | float | np.number) and 0.0 < self.epsilon < math.inf):
            raise ValueError(f"epsilon: expected a positive finite number, received {self.epsilon!r}")
        object.__setattr__(self, "epsilon", float(self.epsilon))

    def output_shape(self, shape):
        if shape[-self.factor.ndim :] != self.factor.shape:
            raise ValueError(f"factor: expected the shape of the last axes of {shape}, received {self.factor.shape}")
        return shape

    def forward(self, y):
        return self.factor * self._normalised(y)[0] + self.shift

    def pull_back(self, rows, y, output):
        z, length = self._normalised(y)
        return self._symmetric(rows * self.factor, z[:, None], length[:, None])

    def push_forward(self, dy, y, output):
        return self.factor * self._symmetric(dy, *self._normalised(y))

    def bend(self, rows, dy, y, output):
        # The Jacobian of z = (y - m)/s is J = (P - z zᵀ/N)/s, P taking off the mean, and s moves by the mean of z dy.
        z, length = (array[:, None] for array in self._normalised(y))
        rows, dy = rows * self.factor, dy[:, None]
        dz = self._symmetric(dy, z, length)
        turned = dz * self._mean(z * rows) + z * self._mean(dz * rows)
        return -(self._mean(z * dy) * self._symmetric(rows, z, length) + turned) / length

    def _mean(self, y):
        return y.mean(axis=tuple(range(-self.factor.ndim, 0)), keepdims=True)

    def _normalised(self, y):
        """Return z = (y - m)/s and s = √(v + ε)."""
        centred = y - self._mean(y)
        length = np.sqrt(self._mean(centred * centred) + self.epsilon)
        return centred / length, length

    def _symmetric(self, u, z, length):
        """Multiply u by the Jacobian of z, which is symmetric."""
        return (u - self._mean(u) - z * self._mean(z * u)) / length


def check_aligned(name, array, shape) -> None:
    """Raise ``ValueError`` unless the array is aligned with the last axes of an input of ``shape``."""
    fits = array.ndim <= len(shape) and all(
        size in (1, length) for size, length in zip(array.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(f"{name}: expected a shape that fits the last axes of {shape}, received {array.shape}")
