"""Rounding to a few levels, a layer whose derivative is zero wherever there is one."""

import math
from dataclasses import dataclass

import numpy as np

from bea.networks.layers import Layer


@dataclass(frozen=True)
class Quantise(Layer):
    """Every entry rounded to the nearest of so many equidistant values, those outside to an end; a tie to the even one.

    The derivative is zero wherever there is one, and ``pull_back`` says so: no gradient gets past this layer.

    Parameters
    ----------
    levels : int
        How many values, at least two.
    low, high : float
        The smallest and the largest of them.
    straight_through : bool
        Whether ``pull_back`` pretends that the layer is the identity instead, as Bengio et al. (2013) train through
        such steps and Athalye et al. (2018) attack through them. That is no derivative of anything here.

    Raises
    ------
    ValueError
        For ``levels`` that are no whole number from two on, and ends that are not finite or not in order.
    """

    levels: int
    low: float = 0.0
    high: float = 1.0
    straight_through: bool = False

    def __post_init__(self):
        if not isinstance(self.levels, int | np.integer) or isinstance(self.levels, bool) or self.levels < 2:
            raise ValueError(f"levels: expected a whole number from 2 on, received {self.levels!r}")
        ends = self.low, self.high
        if not (
            all(isinstance(end, int | float | np.number) for end in ends) and -math.inf < ends[0] < ends[1] < math.inf
        ):
            raise ValueError(f"low, high: expected finite numbers, low < high, received {self.low!r} and {self.high!r}")
        if not isinstance(self.straight_through, bool | np.bool_):
            raise ValueError(f"straight_through: expected True or False, received {self.straight_through!r}")
        for name, kind in (("levels", int), ("low", float), ("high", float), ("straight_through", bool)):
            object.__setattr__(self, name, kind(getattr(self, name)))

    def output_shape(self, shape):
        return shape

    @property
    def step(self) -> float:
        """Distance between neighbouring levels."""
        return (self.high - self.low) / (self.levels - 1)

    def forward(self, y):
        steps = self.levels - 1
        number = np.rint((np.clip(y, self.low, self.high) - self.low) * (steps / (self.high - self.low)))
        return self.low + number / steps * (self.high - self.low)

    def push_forward(self, dy, y, output):
        return dy if self.straight_through else np.zeros_like(dy)

    def pull_back(self, rows, y, output):
        if self.straight_through:
            return rows
        return np.zeros((*rows.shape[:2], *y.shape[1:]))
