"""Keras at the edge: build, train, save and load the models that become networks.

Importing this module imports Keras (seconds); nothing else in ``bea`` does.
"""

import os

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras

from bea.datasets import Dataset
from bea.files import replacing
from bea.network import Network


def dense_classifier(widths, activations, input_shape=(28, 28), seed=0):
    """Return an untrained Keras model: flatten, then dense layers with biases.

    Parameters
    ----------
    widths : list of int
        Neurons a layer; the last one is the number of classes.
    activations : list of str
        Keras' name of each layer's activation, "linear" for none.
    input_shape : tuple of int
    seed : int
        Fixes the initial weights, and the order of the samples in training.
    """
    if len(widths) != len(activations):
        raise ValueError(f"activations: expected {len(widths)}, one a layer, received {len(activations)}")
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(*pair) for pair in zip(widths, activations, strict=True)]
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), *layers])


def train(model, data: Dataset, epochs: int, batch_size: int) -> dict[str, np.ndarray]:
    """Train with Adam and sparse categorical cross-entropy, as paper B says (section 4).

    Returns
    -------
    dict
        ``accuracy`` and ``loss`` on the training images, ``val_accuracy`` and ``val_loss`` on the test images, each of
        shape (epochs,).
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, received {value}")
    softmax = keras.activations.serialize(model.layers[-1].activation) == "softmax"
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax), metrics=["accuracy"])
    history = model.fit(
        data.x_train,
        data.y_train,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=(data.x_test, data.y_test),
        verbose=0,
    )
    return {name: np.array(values) for name, values in history.history.items()}


def save(model, path) -> None:
    """Write the Keras model to ``path`` (.keras)."""
    with replacing(path) as partial:
        model.save(partial)


def load(path):
    """Read a Keras model.

    Raises
    ------
    ValueError
        If the file is missing or no complete Keras model.
    """
    try:
        return keras.saving.load_model(path)
    except Exception as error:
        raise ValueError(f"{path}: expected a complete Keras model, found {error}") from error


def put_weights(model, net: Network) -> None:
    """Put the weights of ``net`` into the Keras model of the same architecture."""
    weights = []
    for layer in net.weighted:
        weights += [layer.kernel.T] + ([layer.matrix[:, -1]] if layer.bias else [])
    model.set_weights(weights)


def outputs(model, x) -> np.ndarray:
    """Return what the Keras model computes for a batch, in its precision: logits, if its last layer is linear."""
    return np.asarray(model(np.asarray(x, dtype=model.compute_dtype)))
