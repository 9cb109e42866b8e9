"""Small models for the recipes of the gallery, trained in seconds, and the few lines of mathematics around them."""

import numpy as np
from matplotlib.text import Text
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from bea import Network
from lab.keras_backend import keras
from studies.own_network import Subject, as_network

COLOURS = ("red", "green", "blue")
ZEROS = {"kernel_initializer": "zeros"}  # until random numbers come, as Keras would compile its own for every shape


def wines(seed=0) -> Subject:
    """Return a network for 13 measurements of wines, each with mean 0 and deviation 1, and all wines."""
    x, labels = load_wine(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    model = MLPClassifier((8,), "tanh", learning_rate_init=0.05, tol=0.01, random_state=seed).fit(x, labels)
    return Subject("wines", as_network(model, (13,)), x, labels)


def coloured_discs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 32, 32, 3) of a disc on a grey ground, and which of ``COLOURS`` it has; both are noisy."""
    rng = np.random.default_rng(seed)
    labels, radius, middle = rng.integers(3, size=n), rng.uniform(6, 11, n), rng.uniform(11, 20, (2, n))
    rows, columns = np.mgrid[:32, :32]
    away = (rows - middle[0, :, None, None]) ** 2 + (columns - middle[1, :, None, None]) ** 2
    inside = (away < radius[:, None, None] ** 2)[..., None]
    ground, disc = rng.uniform(0.2, 0.8, (n, 1, 1, 1)), rng.uniform(0.1, 0.6, (n, 1, 1, 3))
    disc[np.arange(n), 0, 0, labels] += 0.3
    return np.clip(np.where(inside, disc, ground) + rng.normal(0.0, 0.03, (n, 32, 32, 3)), 0.0, 1.0), labels


def colour_model(images: int, seed=0):
    """Return a Keras model of two convolutions for ``coloured_discs``."""
    layers = [keras.layers.Conv2D(filters, 5, 2, activation="relu", **ZEROS) for filters in (8, 16)]
    layers += [keras.layers.MaxPooling2D(), keras.layers.Flatten(), keras.layers.Dense(3, "softmax", **ZEROS)]
    return with_learnt_head(keras.Sequential([keras.Input((32, 32, 3)), *layers]), *coloured_discs(images, seed), seed)


def residual_model(seed=0):
    """Return a Keras model with a residual block for scikit-learn's digits, (8, 8, 1), and images it did not see."""
    image = keras.Input((8, 8, 1))
    y = z = keras.layers.Conv2D(8, 3, padding="same", activation="relu", **ZEROS)(image)
    z = keras.layers.Conv2D(8, 3, padding="same", activation="relu", **ZEROS)(z)
    z = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, padding="same", **ZEROS)(z))
    y = keras.layers.MaxPooling2D()(keras.layers.ReLU()(keras.layers.Add()([y, z])))
    model = keras.Model(image, keras.layers.Dense(10, "softmax", **ZEROS)(keras.layers.Flatten()(y)))
    x, labels = load_digits(return_X_y=True)
    x = (x / 16.0).reshape(-1, 8, 8, 1)
    return with_learnt_head(model, x[900:], labels[900:], seed), x[:900], labels[:900]


def with_learnt_head(model, x, labels, seed=0):
    """Return a Keras model with random weights, but for the last layer, which is fitted to the images."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            kernel, bias = layer.get_weights()
            layer.set_weights([rng.normal(0.0, np.sqrt(2.0 / kernel[..., 0].size), kernel.shape), bias])
    features = Network.from_keras(model).trace(x)[-2]
    head = LogisticRegression(max_iter=300, tol=0.01).fit(features, labels)
    model.layers[-1].set_weights([head.coef_.T, head.intercept_])
    return model


def resized(figure, width: float, height: float):
    """Return a figure in another size, inches, with letters that fit it."""
    figure.set_size_inches(width, height)
    for text in figure.findobj(Text):
        text.set_fontsize(min(text.get_fontsize(), 7.5))
    return figure
