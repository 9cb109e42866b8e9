"""What the writers of models share: the layers of a model that was read, with the weights of one sample."""

import numpy as np

from bea.networks.layers import Weighted
from bea.networks.reading import Reading
from bea.networks.sequence import leaves


def weighted_layers(reading: Reading) -> list[Weighted]:
    """Return the layers with weights of a model that was read."""
    return [layer for layer in leaves(reading.layers) if isinstance(layer, Weighted)]


def changed_layers(weighted, perturbation, i: int) -> list[Weighted]:
    """Return layers with the weights that ``perturbation`` gives them for sample ``i``.

    Raises
    ------
    ValueError
        For other layers than those that were perturbed, as their norms tell, and for a sample without a perturbation.
    """
    norms = np.array([np.linalg.norm(layer.matrix) for layer in weighted])
    if not np.array_equal(norms, perturbation.weight_norms):
        raise ValueError(
            f"model: expected the one that was read, with weights of the norms {perturbation.weight_norms}, "
            f"received norms {norms}"
        )
    if not perturbation.attained[i]:
        raise ValueError(f"i: expected a sample with a perturbation, received {i}, which has none")
    return [layer.with_matrix(layer.matrix + perturbation.matrix(k, i)) for k, layer in enumerate(weighted)]
