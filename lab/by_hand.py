"""A classifier written by hand: dense layers, smooth ReLU, back-propagation, gradient descent (paper D, section 3).

Letters are those of the report: ``Y_0`` the images, ``Ỹ_i = Y_{i-1} W_iᵀ + b_i`` and ``Y_i = f(Ỹ_i)`` the values of
layer i before and after its activation, q the softmax of the last ``Ỹ``, y the one-hot labels, and dZ the derivative
of the loss with respect to Z. Samples are rows. The weights are a list of pairs (W_i, b_i), W_i of shape (outputs,
inputs).
"""

from collections.abc import Iterator

import numpy as np

from bea.networks.activations import PARAMETRIC, softmax
from bea.networks.layers import Activation, Dense, Flatten
from bea.networks.network import Network

SMOOTH_RELU, SLOPE = PARAMETRIC["smooth_relu"]
Weights = list[tuple[np.ndarray, np.ndarray]]


def initial_weights(widths, rng) -> Weights:
    """Return normal weights over the square root of the number of inputs, and biases of zero.

    Parameters
    ----------
    widths : list of int
        Pixels, hidden units of each layer, classes.
    rng : numpy.random.Generator
    """
    pairs = zip(widths[1:], widths[:-1], strict=True)
    return [(rng.standard_normal((rows, inputs)) / np.sqrt(inputs), np.zeros(rows)) for rows, inputs in pairs]


def forward(weights: Weights, images, a) -> tuple[list, list]:
    """Return the values of all layers: [Y_0, …] (n, inputs_i), what each is given, and [Ỹ_1, …] (n, outputs_i)."""
    inputs, outputs = [], []
    for W, b in weights:
        inputs.append(SMOOTH_RELU(outputs[-1], a) if outputs else images)
        outputs.append(inputs[-1] @ W.T + b)
    return inputs, outputs


def gradients(weights: Weights, images, labels, a, by_images=True) -> tuple[Weights, np.ndarray | None]:
    """Return the derivatives of the loss, the mean of ``-Σ_k y_k log q_k`` over the batch (paper D, section 3).

    Parameters
    ----------
    weights : list of (W, b)
    images : array (n, pixels)
    labels : int array (n,)
    a : float
        Parameter of the smooth ReLU, positive.
    by_images : bool
        Whether to go on to the derivatives with respect to the images, which training does not need.

    Returns
    -------
    list of (dW, db)
        Of the shapes of the weights.
    dY_0 : array (n, pixels), or None
        Derivative with respect to the images.
    """
    inputs, outputs = forward(weights, images, a)
    d = softmax(outputs[-1])
    d[np.arange(len(labels)), labels] -= 1.0
    d /= len(labels)
    result = []
    for i in reversed(range(len(weights))):
        result.insert(0, (d.T @ inputs[i], d.sum(axis=0)))
        if i:
            d = d @ weights[i][0]
            d *= SLOPE(outputs[i - 1], inputs[i], a)
    return result, d @ weights[0][0] if by_images else None


def descend(weights: Weights, images, labels, *, rate, batch_size, a, rng) -> None:
    """Go once through the images in random order, changing the weights in place: ``W ← W - rate dW`` for each batch."""
    order = rng.permutation(len(images))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        slopes, _ = gradients(weights, images[batch].astype(float, copy=False), labels[batch], a, by_images=False)
        for (W, b), (dW, db) in zip(weights, slopes, strict=True):
            W -= rate * dW
            b -= rate * db


def train(
    hidden, images, labels, *, epochs, rate, batch_size, a, seed=0, classes=10, refresh=None
) -> Iterator[Weights]:
    """Train a network from random weights by mini-batch gradient descent, and yield its weights after every epoch.

    Parameters
    ----------
    hidden : list of int
        Units of the hidden layers.
    images : array (n, pixels)
    labels : int array (n,)
    epochs, batch_size : int
    rate : float
        Step along the negative mean gradient of a batch.
    a : float
        Parameter of the smooth ReLU, positive.
    seed : int
        Fixes the initial weights and the order of the images.
    classes : int
    refresh : function, optional
        Called with the weights before every epoch; returns the images and labels of this epoch.

    Raises
    ------
    ValueError
        At once, for images or labels of wrong shape, images that are not finite, labels that are no classes, and
        parameters that are not positive.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    images = images.astype(np.result_type(images, np.float32), copy=False)  # float32 stays so, a batch is made float64
    if images.ndim != 2 or not images.size:
        raise ValueError(f"images: expected shape (n, pixels), received {images.shape}")
    if not np.isfinite(images).all():
        raise ValueError("images: expected finite pixels, received NaN or Inf")
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels: expected {len(images)} integers, received {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels: expected classes 0 to {classes - 1}, received {labels.min()} to {labels.max()}")
    for name, value in (("rate", rate), ("a", a)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name}: expected a positive number, received {value!r}")
    for name, value in (("hidden", hidden), ("epochs", [epochs]), ("batch_size", [batch_size])):
        if not all(isinstance(number, int | np.integer) and number > 0 for number in value):
            raise ValueError(f"{name}: expected positive integers, received {value!r}")

    def epoch_by_epoch():
        rng = np.random.default_rng(seed)
        weights = initial_weights([images.shape[1], *hidden, classes], rng)
        for _ in range(epochs):
            x, y = refresh(weights) if refresh else (images, labels)
            descend(weights, x, y, rate=rate, batch_size=batch_size, a=a, rng=rng)
            yield [(W.copy(), b.copy()) for W, b in weights]

    return epoch_by_epoch()


def to_network(weights: Weights, a, input_shape=(28, 28), input_range=(0.0, 1.0)) -> Network:
    """Return the ``Network`` that computes the same logits, its biases as last columns."""
    layers = [Flatten()]
    for W, b in weights:
        layers += [Dense(np.column_stack([W, b])), Activation("smooth_relu", a)]
    return Network(layers[:-1], input_shape, "softmax", input_range)
