"""Every witness goes through the original Keras model again, in its own precision."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from bea.networks.network import Network


def keras_logits(file: Path | None, images, net: Network | None = None) -> np.ndarray:
    """Return the logits (n, classes) that a Keras model gives images (n, *input_shape).

    Parameters
    ----------
    file : Path or None
        Of the model (.keras). Its last activation is left out: a tanh of 9 is 1 in single precision, and two of them
        would be a tie.
    images : array
    net : Network, optional
        What to make the model from where there is no file: a network that was trained without Keras.
    """
    from lab.keras_models import outputs

    return outputs(_model_of(net) if file is None else _model(file), images)


def keras_classes(file: Path | None, images, net: Network | None = None) -> np.ndarray:
    """Return the classes (n,) that a Keras model gives images; see ``keras_logits``."""
    return keras_logits(file, images, net).argmax(axis=1)


def keras_logits_perturbed(file: Path | None, net: Network, perturbation, activated: bool = False) -> np.ndarray:
    """Return the logits (n, classes) of a Keras model with the weights and the image of each perturbation put in.

    With ``activated`` its last activation stays, and what comes out are its outputs. Without a ``file`` the model is
    made from the network, which was trained without Keras.
    """
    from lab.keras_models import load, outputs, put_weights, to_keras

    if file is None:
        model = to_keras(net) if activated else _model_of(net)
    else:
        model = load(file) if activated else _open(file)
    found = []
    for i in range(len(perturbation.x)):
        perturbed, image = net.perturbed(perturbation, i)
        put_weights(model, perturbed)
        found.append(outputs(model, image[None])[0])
    return np.array(found)


@cache
def _model(file: Path):
    return _open(file)


def _open(file: Path):
    from lab.keras_backend import keras
    from lab.keras_models import load

    model = load(file)
    if getattr(model.layers[-1], "activation", None) is not None:
        model.layers[-1].activation = keras.activations.linear
    return model


def _model_of(net: Network):
    from lab.keras_models import to_keras

    return to_keras(replace(net, output_activation="linear"))
