"""Kinks rounded off: smooth ReLUs ``(v + √(v² + a²))/2`` in place of ReLUs, and other kinks alike.

At a kink a linearisation says what happens on one side only, so searches begin where there is none, with a large a.
A function whose slope jumps by κ at t gains ``κ r(v - t)``, r being the smooth ReLU less the ReLU, which is even.
"""

from dataclasses import dataclass

import numpy as np

from bea.networks.activations import PARAMETRIC, SECOND
from bea.networks.global_pooling import GlobalMaxPool
from bea.networks.layers import Activation, Layer, Weighted
from bea.networks.normalisation import PReLU
from bea.networks.sequence import leaves, replaced
from bea.networks.windows import MaxPool

RELU = Activation("relu")


@dataclass(frozen=True, eq=False)
class RoundedOff(Layer):
    """An elementwise layer with its kinks rounded off; it lives within searches only, and no file holds one.

    Parameters
    ----------
    layer : Activation or PReLU
    width : float
        a > 0.
    """

    layer: Activation | PReLU
    width: float

    def output_shape(self, shape):
        return self.layer.output_shape(shape)

    def forward(self, y):
        smooth, _ = PARAMETRIC["smooth_relu"]
        return self.layer.forward(y) + sum(jump * smooth(-np.abs(y - t), self.width) for t, jump in self.layer.kinks)

    def slope(self, v, y):
        """Return the derivative at v, y being the value there."""
        smooth, slope = PARAMETRIC["smooth_relu"]
        at_kink = np.logical_or.reduce([v == t for t, _ in self.layer.kinks])
        total = self.layer.slope(np.where(at_kink, np.nextafter(v, -np.inf), v), y)  # that of the left side
        for t, jump in self.layer.kinks:
            away = -np.abs(v - t)
            steep = slope(away, smooth(away, self.width), self.width)
            total = total + jump * np.where(v > t, -steep, steep)
        return total

    def pull_back(self, rows, y, output):
        return rows * self.slope(y, output)[:, None]

    def push_forward(self, dy, y, output):
        return dy * self.slope(y, output)

    def bend(self, rows, dy, y, output):
        second = sum(jump * SECOND["smooth_relu"](y - t, None, self.width) for t, jump in self.layer.kinks)
        return self.layer.bend(rows, dy, y, output) + rows * (second * dy)[:, None]


def has_kinks(layers) -> bool:
    """Return whether there are kinks that ``round_off_kinks`` takes away."""
    return any(getattr(layer, "kinks", ()) for layer in leaves(layers))


def has_maxima(layers) -> bool:
    """Return whether there are maxima over windows, the kinks that ``round_off_kinks`` leaves."""
    return any(isinstance(layer, MaxPool | GlobalMaxPool) for layer in leaves(layers))


def round_off_kinks(layers, width: float, *, relative: bool = False) -> tuple:
    """Return the layers with their kinks rounded off, those of maxima left aside.

    Parameters
    ----------
    layers : sequence of layers
    width : float
        a; zero leaves the kinks.
    relative : bool
        Whether ``width`` is in units of the typical norm of a row of the matrix before the kinks, one where there is no
        matrix before them.
    """
    unit = 1.0

    def change(layer):
        nonlocal unit
        if relative and isinstance(layer, Weighted):
            unit = np.linalg.norm(layer.matrix) / np.sqrt(len(layer.matrix))
        a = width * unit
        if not a or not getattr(layer, "kinks", ()):
            return layer
        return Activation("smooth_relu", a) if layer == RELU else RoundedOff(layer, a)

    return replaced(layers, change)
