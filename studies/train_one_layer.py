"""What trainings of one architecture from several seeds have in common, and what is left of them in the network."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bea import Network
from lab.keras_models import outputs
from lab.training import Trained


def learning_curves(trained: Mapping[str, Trained]) -> dict[str, np.ndarray]:
    """Return ``accuracy``, ``loss``, ``val_accuracy`` and ``val_loss`` of some trainings, (trainings, passes) each."""
    curves = [one.curves for one in trained.values()]
    return {name: np.array([own[name] for own in curves]) for name in curves[0]}


def by_length(nets: Mapping[str, Network], x, labels) -> pd.DataFrame:
    """Return ``net``, ``accuracy`` (share of the images) and ``norm`` (Frobenius, of the matrix of one layer)."""
    rows = [(name, np.mean(net.classify(x) == labels), net.weight_norms[0]) for name, net in nets.items()]
    return pd.DataFrame(rows, columns=["net", "accuracy", "norm"])


def keras_gap(nets: Mapping[str, Network], models: Mapping, x) -> float:
    """Return the largest difference between an output of a network and of its Keras model, over images and networks."""
    gaps = []
    for name, net in nets.items():
        images = x.reshape(len(x), *net.input_shape)
        gaps.append(np.abs(net.activate(net(images)) - outputs(models[name], images)).max())
    return max(gaps)


def never_inked(kernel, x) -> dict[str, float]:
    """Return how many pixels are zero in all images, ``never``, and their ``share`` of the squared norm of a kernel.

    Parameters
    ----------
    kernel : array (classes, pixels)
    x : array (n, *input_shape)
    """
    never = ~x.reshape(len(x), -1).any(axis=0)
    return {"never": never.sum(), "share": np.linalg.norm(kernel[:, never]) ** 2 / np.linalg.norm(kernel) ** 2}
