"""A network on coordinates of the row space of its first layer: other directions of the input have no effect.

With the QR decomposition ``W_1ᵀ = Bᵀ R`` of its kernel W_1 (rows, pixels) the first layer gives ``W_1 x = Rᵀ (B x)``:
of x it sees the coordinates B x alone. Where there are fewer rows than pixels, problems in x become smaller in B x.
"""

from dataclasses import replace

import numpy as np

from bea.networks.layers import Dense, Flatten
from bea.networks.network import Network
from bea.numerics.arrays import flat


def in_row_space(net: Network) -> tuple[Network, np.ndarray | None]:
    """Return a network on coordinates of the row space of the first layer, and an orthonormal basis (r, pixels) of it.

    The network itself, and no basis, where that would not spare unknowns.
    """
    position = next(i for i, layer in enumerate(net.layers) if not isinstance(layer, Flatten))
    layer = net.layers[position]
    if not isinstance(layer, Dense) or len(layer.matrix) >= layer.kernel.shape[1]:
        return net, None
    columns, triangle = np.linalg.qr(layer.kernel.T)
    matrix = np.column_stack([triangle.T, layer.matrix[:, -1]]) if layer.bias else triangle.T
    layers = (layer.with_matrix(matrix), *net.layers[position + 1 :])
    return replace(net, layers=layers, input_shape=(len(columns.T),), input_range=None), columns.T


def to_row_space(images, basis) -> np.ndarray:
    """Return the coordinates (n, r) of images in a basis; the images themselves if there is none."""
    return images if basis is None else flat(images) @ basis.T


def from_row_space(dx, basis, shape) -> np.ndarray:
    """Return the images of this shape that have the coordinates ``dx``; ``dx`` in this shape if there is no basis."""
    return (dx if basis is None else dx @ basis).reshape(shape)
