"""From networks back to Keras models. Nothing here imports Keras: a model brings it along."""

import numpy as np

from bea.networks.keras_reader import reading_of
from bea.networks.windows import Convolution
from bea.networks.writing import changed_layers, weighted_layers


def put_weights(model, net) -> None:
    """Put the weights of ``net`` into the Keras model of the same architecture."""
    model.set_weights(_weights(net.weighted))


def perturbed_copy(model, perturbation, i: int):
    """Return what ``Perturbation.keras_model`` does, and raise the same."""
    weighted = weighted_layers(reading_of(model))
    changed = changed_layers(weighted, perturbation, i)
    here, wanted = ([array.shape for array in arrays] for arrays in (model.get_weights(), _weights(weighted)))
    if here != wanted:
        raise ValueError(f"model: expected weights of the shapes {wanted} and no others, received {here}")
    if not all(map(np.array_equal, model.get_weights(), _weights(weighted))):
        raise ValueError(
            "model: expected weights that stand in the order and form of those of the network, received others of the "
            "same shapes"
        )
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
