"""Kinks rounded off: networks with smooth ReLUs ``(v + √(v² + a²))/2`` in place of ReLUs.

At a kink a linearisation says what happens on one side only, so searches begin where there is none, with a large a.
"""

import numpy as np

from bea.networks.layers import Activation, Weighted

RELU = Activation("relu")


def round_off_relus(layers, width: float, *, relative: bool = False) -> tuple:
    """Return the layers with a smooth ReLU for every ReLU.

    Parameters
    ----------
    layers : sequence of layers
    width : float
        a; zero leaves the ReLUs.
    relative : bool
        Whether ``width`` is in units of the typical norm of a row of the matrix before the ReLU, one where there is no
        matrix before it.
    """
    rounded, unit = [], 1.0
    for layer in layers:
        if relative and isinstance(layer, Weighted):
            unit = np.linalg.norm(layer.matrix) / np.sqrt(len(layer.matrix))
        a = width * unit
        rounded.append(Activation("smooth_relu", a) if layer == RELU and a else layer)
    return tuple(rounded)
