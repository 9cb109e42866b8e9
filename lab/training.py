"""Training with Keras, as the papers say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from time import process_time

import jax
import numpy as np

from bea.networks.network import Network
from lab.datasets import Dataset
from lab.keras_backend import keras


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training leaves: enough to make the Keras model again, and how it came about.

    Attributes
    ----------
    architecture : str
        The model without its weights, as Keras' JSON.
    weights : list of float32 arrays
        In Keras' order.
    curves : dict
        ``accuracy`` and ``loss`` on the training images, ``val_accuracy`` and ``val_loss`` on the test images, each of
        shape (passes,).
    seconds : float
        Processor time of the training.
    """

    architecture: str
    weights: list[np.ndarray]
    curves: dict[str, np.ndarray]
    seconds: float

    def model(self):
        """Return the Keras model."""
        import lab.keras_models  # noqa: F401  (Keras finds our layers only if they have been imported)

        model = keras.models.model_from_json(self.architecture)
        model.set_weights(self.weights)
        return model


def train_from_seed(
    make: Callable,
    data: Dataset,
    *,
    seed: int,
    batch_sizes,
    epochs=1,
    images=None,
    weight_decay=0.0,
    through=None,
    **options,
) -> Trained:
    """Make a model and train it by ``train``, once for every size of a batch.

    Parameters
    ----------
    make : function
        Of ``lab.keras_models``: ``make(seed=seed, **options)`` returns the untrained model.
    data : Dataset
        Its images are brought to the shape that the model wants.
    seed : int
        Fixes the initial weights and the order of the images.
    batch_sizes : list of int
        One a leg. Each leg starts Adam anew.
    epochs : int
        Passes of each leg.
    images : int, optional
        Training images of a leg, and test images, at most; every leg takes the next ones. All, if left out.
    weight_decay : float
    through : function, optional
        ``through(model)`` returns a model that shares the weights and is trained in its place.
    """
    start, model = process_time(), make(seed=seed, **options)
    architecture, worker = model.to_json(), through(model) if through else model
    data = replace(data, x_train=_shaped(data.x_train, model), x_test=_shaped(data.x_test, model))
    legs = [train(worker, _leg(data, k, images), epochs, size, weight_decay) for k, size in enumerate(batch_sizes)]
    curves = {name: np.concatenate([leg[name] for leg in legs]) for name in legs[0]}
    return Trained(architecture, model.get_weights(), curves, process_time() - start)


def opened(trained: Mapping[str, Trained], input_range=(0.0, 1.0)) -> tuple[dict[str, Network], dict]:
    """Return trained networks and their Keras models, each under its name."""
    models = {name: one.model() for name, one in trained.items()}
    return {name: Network.from_keras(model, input_range=input_range) for name, model in models.items()}, models


def _shaped(images, model) -> np.ndarray:
    return images.reshape(len(images), *model.input_shape[1:])


def _leg(data: Dataset, k: int, images: int | None) -> Dataset:
    """Return the data with the training images of the k-th leg."""
    if images is None:
        return data
    n = min(images, len(data.x_train))
    chosen = np.arange(k * n, (k + 1) * n) % len(data.x_train)
    parts = {"x_train": data.x_train[chosen], "y_train": data.y_train[chosen]}
    return replace(data, **parts, x_test=data.x_test[:images], y_test=data.y_test[:images])


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
    tests = (data.x_test, data.y_test)
    history = fit(model, data.x_train, data.y_train, batch_size, epochs=epochs, validation_data=tests)
    return {name: np.array(values) for name, values in history.history.items()}


STEPS = 32  # of the optimiser in one call: calling takes longer than a step of a small network


def fit(model, images, labels, batch_size: int, **options):
    """Train a compiled model as Keras' ``fit`` does, in less time: see ``STEPS``.

    The weights are those of Keras to the last bit.
    """
    if any(isinstance(layer, keras.layers.Conv2D) for layer in model.layers):  # far slower inside one call
        return model.fit(images, labels, batch_size=batch_size, verbose=0, **options)
    if getattr(model, "batch_size", None) != batch_size:
        model.batch_size, model.train_step = batch_size, partial(_steps, model, batch_size)
        model.make_train_function(force=True)
    return model.fit(images, labels, batch_size=STEPS * batch_size, verbose=0, **options)


def _steps(model, batch_size, state, batch):
    """Take one step for every ``batch_size`` images, and one for the rest."""
    step = partial(type(model).train_step, model)
    whole = len(batch[0]) // batch_size * batch_size
    logs = {}
    if whole:
        parts = jax.tree.map(lambda array: array[:whole].reshape(-1, batch_size, *array.shape[1:]), batch)
        state, seen = jax.lax.scan(lambda now, part: step(now, part)[::-1], state, parts)
        logs = {name: values[-1] for name, values in seen.items()}
    if whole < len(batch[0]):
        logs, state = step(state, jax.tree.map(lambda array: array[whole:], batch))
    return logs, state


def train_until(model, data: Dataset, accuracy, *, rate, batch_size, images, most, worker=None) -> np.ndarray:
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
    worker : keras.Model, optional
        Shares the weights of the model and is trained in its place, ``faster_lenet``.

    Returns
    -------
    array
        The accuracies seen.
    """
    worker = model if worker is None else worker
    if not worker.compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        worker.compile(keras.optimizers.Adam(rate), loss)
    seen = []
    for part in range(most):
        chosen = np.arange(part * images, (part + 1) * images) % len(data.x_train)
        fit(worker, data.x_train[chosen], data.y_train[chosen], batch_size)
        seen.append(np.mean(Network.from_keras(model).classify(data.x_test) == data.y_test))
        if seen[-1] >= accuracy:
            break
    return np.array(seen)
