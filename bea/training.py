"""Keras at the edge: build, train, save and load the models that become networks.

Importing this module imports Keras (seconds); nothing else in ``bea`` does.
"""

import os

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras

from bea.datasets import Dataset
from bea.files import replacing
from bea.layers import Convolution
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


def lenet(input_shape=(28, 28, 1), seed=0):
    """Return an untrained Keras model of the LeNet that comes with Caffe (paper P, section 5), for ten classes.

    20 filters of 5×5 pixels, maxima of 2×2, 50 filters of 5×5, maxima of 2×2, 500 ReLUs, ten logits. There is no
    activation after the convolutions.

    Parameters
    ----------
    input_shape : tuple of int
        Height, width and channels, at least 16×16 pixels.
    seed : int
        Fixes the initial weights, and the order of the samples in training.
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 16:
        raise ValueError(f"input_shape: expected (height, width, channels) from (16, 16, 1), received {input_shape}")
    keras.utils.set_random_seed(seed)
    layers = []
    for filters in (20, 50):
        layers += [keras.layers.Conv2D(filters, 5), keras.layers.MaxPooling2D(2)]
    layers += [keras.layers.Flatten(), keras.layers.Dense(500, "relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input(input_shape), *layers])


def train(model, data: Dataset, epochs: int, batch_size: int) -> dict[str, np.ndarray]:
    """Train with Adam and sparse categorical cross-entropy, as paper B says (section 4).

    The loss takes what the model gives out for probabilities if its last layer is a softmax, for logits otherwise: a
    tanh there, as in section 4.1.2, is part of the logits.

    Returns
    -------
    dict
        ``accuracy`` and ``loss`` on the training images, ``val_accuracy`` and ``val_loss`` on the test images, each of
        shape (epochs,).
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, received {value}")
    last = model.layers[-1]
    activation = getattr(last, "activation", None)  # a pooling, dropout or Softmax layer has none
    probabilities = isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities), metrics=["accuracy"]
    )
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
        kernel = layer.kernel.T
        if isinstance(layer, Convolution):
            kernel = kernel.reshape(*layer.size, -1, len(layer.matrix))
        weights += [kernel] + ([layer.matrix[:, -1]] if layer.bias else [])
    model.set_weights(weights)


def outputs(model, x) -> np.ndarray:
    """Return what the Keras model computes for a batch, in its precision: logits, if its last layer is linear."""
    return np.asarray(model(np.asarray(x, dtype=model.compute_dtype)))
