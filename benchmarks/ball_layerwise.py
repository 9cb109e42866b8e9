"""Radii of networks of one layer, or of one constant a layer, proved again in balls: the last layer is exact."""

from dataclasses import dataclass

import numpy as np
from flint import arb, arb_mat, ctx

from bea.bounds.lipschitz import lipschitz_constant
from bea.networks.network import Network
from benchmarks.balls import BITS, dot, matrix, root, times


def leads_apart(layer, logits: list[arb], own: int, moved: arb) -> bool:
    """Return whether the own class leads all others wherever the input of the last layer has moved so far at most."""
    for rival, rows in enumerate(layer.kernel.tolist()):
        row = [arb(a) - arb(b) for a, b in zip(layer.kernel[own].tolist(), rows, strict=True)]
        if rival != own and not logits[own] - logits[rival] > root(dot(row, row)) * moved:
            return False
    return True


def layerwise_reach(net: Network) -> arb:
    """Return how far the input of the last layer moves at most where the image moves by one, a constant a layer.

    The constants are those of ``bea.bounds.lipschitz``, which proves them by Cholesky factorisations in float64.
    """
    reach, shape = arb(1), net.input_shape
    for layer in net.layers[:-1]:
        reach *= arb(lipschitz_constant(layer, shape))
        shape = layer.output_shape(shape)
    return reach


def biases(layer) -> list[arb]:
    """Return the biases of a weighted layer, zeros where it has none."""
    numbers = layer.matrix[:, -1] if layer.bias else np.zeros(len(layer.matrix))
    return [arb(number) for number in numbers.tolist()]


def affine(kernel: arb_mat, layer, y: list[arb]) -> list[arb]:
    """Return what a dense layer gives."""
    return [number + bias for number, bias in zip(times(kernel, y), biases(layer), strict=True)]


@dataclass(frozen=True, eq=False)
class Affine:
    """A network of one dense layer: the lead of the own class falls by ‖d‖ r at most."""

    net: Network

    @ctx.workprec(BITS)
    def proves(self, image, radius: float) -> bool:
        """Return whether the class of an image (input_shape) is proved to lead all others within the radius."""
        layer, own = self.net.layers[-1], int(self.net.classify(image[None])[0])
        logits = affine(matrix(layer.kernel), layer, image.ravel().tolist())
        return not radius > 0.0 or leads_apart(layer, logits, own, arb(radius))
