"""Keras models and data that several tests share."""

import numpy as np

from lab.datasets import Dataset
from lab.keras_backend import keras

layers = keras.layers
RNG = np.random.default_rng

# What each model consists of after its input of shape (2, 3).
MODELS = {
    "one layer": lambda: [layers.Flatten(), layers.Dense(4)],
    "hidden": lambda: [layers.Flatten(), layers.Dense(5, "tanh"), layers.Dense(6, "sigmoid"), layers.Dense(4)],
    "no bias": lambda: [layers.Flatten(), layers.Dense(5, "relu", use_bias=False), layers.Dense(4, use_bias=False)],
    "activation layers": lambda: [
        layers.Activation("tanh"),
        layers.Flatten(),
        layers.Dense(5),
        layers.Activation("sigmoid"),
        layers.Dense(5),
        layers.ReLU(),
        layers.Dropout(0.5),
        layers.Dense(4),
    ],
    "linear": lambda: [layers.Flatten(), layers.Dense(5, "linear"), layers.Activation("linear"), layers.Dense(4)],
}


# The same after an input of shape (9, 8, 2).
CONVOLUTIONAL = {
    "lenet": lambda: [
        layers.Conv2D(3, 3),
        layers.MaxPooling2D(2),
        layers.Conv2D(4, 2, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(5, "relu"),
        layers.Dense(4),
    ],
    "same": lambda: [layers.Conv2D(3, (4, 3), padding="same", activation="tanh"), layers.Flatten(), layers.Dense(4)],
    "same with strides": lambda: [
        layers.Conv2D(3, (4, 3), (3, 2), "same", activation="sigmoid", use_bias=False),
        layers.Conv2D(2, 2, 2, "same"),
        layers.Flatten(),
        layers.Dense(4),
    ],
    "steps over the edge": lambda: [layers.Conv2D(3, 1, (2, 3), "same"), layers.Flatten(), layers.Dense(4)],
    "valid with strides": lambda: [layers.Conv2D(3, (2, 3), (3, 2)), layers.ReLU(), layers.Flatten(), layers.Dense(4)],
    "overlapping pools": lambda: [
        layers.MaxPooling2D(3, (2, 1)),
        layers.Dropout(0.5),
        layers.Conv2D(3, 2),
        layers.Activation("tanh"),
        layers.AveragePooling2D((1, 2), (2, 1)),
        layers.Flatten(),
        layers.Dense(4),
    ],
    "average pools": lambda: [layers.AveragePooling2D(2), layers.Flatten(), layers.Dense(4, use_bias=False)],
}


def build(name, ending=()):
    """Return a model with random weights, biases included."""
    if name in MODELS:
        model = keras.Sequential([keras.Input((2, 3)), *MODELS[name](), *ending])
    else:
        model = keras.Sequential([keras.Input((9, 8, 2)), *CONVOLUTIONAL[name](), *ending])
    rng = RNG(1)
    model.set_weights([rng.standard_normal(array.shape) / 2 for array in model.get_weights()])
    return model


def blobs(n=400):
    """A data set of two classes that a straight line separates."""
    rng = RNG(3)
    labels = rng.integers(0, 2, n)
    x = np.clip(0.25 + 0.5 * labels[:, None, None] + 0.05 * rng.standard_normal((n, 2, 2)), 0, 1).astype(np.float32)
    return Dataset("blobs", "", x[:300], labels[:300], x[300:], labels[300:])
