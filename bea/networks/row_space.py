"""A network on coordinates of the row space of its first layer: other directions of the input have no effect."""

from dataclasses import replace

import numpy as np

from bea.networks.layers import Dense, Flatten
from bea.numerics.arrays import flat


def _narrow(net):
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


def _into(images, basis):
    """Return the coordinates of images in a basis."""
    return images if basis is None else flat(images) @ basis.T


def _back(dx, basis, shape):
    """Return the images of coordinates."""
    return dx if basis is None else (dx @ basis).reshape(shape)
