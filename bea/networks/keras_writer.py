"""From networks back to Keras models. Nothing here imports Keras: a model brings it along."""

import numpy as np

from bea.networks.keras_reader import reading_of
from bea.networks.layers import Weighted
from bea.networks.sequence import leaves
from bea.networks.windows import Convolution


def put_weights(model, net) -> None:
    """Put the weights of ``net`` into the Keras model of the same architecture."""
    model.set_weights(_weights(net.weighted))


def perturbed_copy(model, perturbation, i: int):
    """Return a copy of a Keras model with the weights that ``perturbation`` gives it for sample ``i``.

    Raises
    ------
    ValueError
        For a model with other weights than those that were perturbed, or with weights that are not those of its dense
        layers and convolutions one by one, and for a sample that has no perturbation.
    """
    weighted = [layer for layer in leaves(reading_of(model).layers) if isinstance(layer, Weighted)]
    norms = np.array([np.linalg.norm(layer.matrix) for layer in weighted])
    if not np.array_equal(norms, perturbation.weight_norms):
        raise ValueError(
            f"model: expected the one that was read, with weights of the norms {perturbation.weight_norms}, "
            f"received norms {norms}"
        )
    here, wanted = ([array.shape for array in arrays] for arrays in (model.get_weights(), _weights(weighted)))
    if here != wanted:
        raise ValueError(f"model: expected weights of the shapes {wanted} and no others, received {here}")
    if not perturbation.attained[i]:
        raise ValueError(f"i: expected a sample with a perturbation, received {i}, which has none")
    changed = [layer.with_matrix(layer.matrix + perturbation.matrix(k, i)) for k, layer in enumerate(weighted)]
    copy = type(model).from_config(model.get_config())
    copy.set_weights(_weights(changed))
    return copy


def _weights(weighted) -> list[np.ndarray]:
    """Return the weights of layers as Keras has them: kernels with the outputs as their last axis, then biases."""
    weights = []
    for layer in weighted:
        kernel = layer.kernel.T
        if isinstance(layer, Convolution):
            kernel = kernel.reshape(*layer.size, -1, len(layer.matrix))
        weights += [kernel] + ([layer.matrix[:, -1]] if layer.bias else [])
    return weights
