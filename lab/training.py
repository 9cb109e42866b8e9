"""Training with Keras, as the papers say."""

import numpy as np

from bea.networks.network import Network
from lab.datasets import Dataset
from lab.keras_backend import keras


def train(model, data: Dataset, epochs: int, batch_size: int, weight_decay: float = 0.0) -> dict[str, np.ndarray]:
    """Train with Adam and sparse categorical cross-entropy, as paper B says (section 4).

    The loss takes what the model gives out for probabilities if its last layer is a softmax, for logits otherwise: a
    tanh there, as in section 4.1.2, is part of the logits. With ``weight_decay`` every step also shrinks all weights by
    this times the learning rate 0.001, which paper B does not (AdamW, Loshchilov and Hutter 2019).

    Returns
    -------
    dict
        ``accuracy`` and ``loss`` on the training images, ``val_accuracy`` and ``val_loss`` on the test images, each of
        shape (epochs,).
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, received {value}")
    if not 0.0 <= weight_decay < np.inf:
        raise ValueError(f"weight_decay: expected a finite number from 0 on, received {weight_decay!r}")
    last = model.layers[-1]
    activation = getattr(last, "activation", None)  # a pooling, dropout or Softmax layer has none
    probabilities = isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax
    model.compile(
        keras.optimizers.AdamW(weight_decay=weight_decay) if weight_decay else "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities),
        metrics=["accuracy"],
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


def train_until(model, data: Dataset, accuracy, *, rate, batch_size, images, most) -> np.ndarray:
    """Train with Adam as ``train`` does, but stop as soon as the model classifies this share of the test images.

    The training images pass in their order, ``images`` at a time, and the accuracy is looked at after each time. A
    model that was trained before goes on from where it stopped.

    Parameters
    ----------
    model : keras.Model
        Whose last layer gives logits.
    data : Dataset
    accuracy : float
        Share of the test images to reach.
    rate : float
        Adam's learning rate, for a model that was not trained before.
    batch_size : int
    images : int
        Training images between two looks at the accuracy.
    most : int
        Looks after which training ends anyway.

    Returns
    -------
    array
        The accuracies seen.
    """
    if not model.compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(rate), loss)
    seen = []
    for part in range(most):
        chosen = np.arange(part * images, (part + 1) * images) % len(data.x_train)
        model.fit(data.x_train[chosen], data.y_train[chosen], batch_size=batch_size, epochs=1, verbose=0)
        seen.append(np.mean(Network.from_keras(model).classify(data.x_test) == data.y_test))
        if seen[-1] >= accuracy:
            break
    return np.array(seen)
