"""Training from a seed is `train` and nothing else, comes back from disk, and knows what it was made of."""

import numpy as np
import pytest

from bea import Dense, Flatten, Network
from lab import keras_models, memory, sources
from lab.datasets import Dataset
from lab.training import opened, train, train_from_seed
from studies.train_one_layer import by_length, keras_gap, learning_curves, never_inked

RNG = np.random.default_rng
OPTIONS = {"batch_sizes": [10], "widths": [4, 2], "activations": ["tanh", "linear"], "input_shape": (2, 2)}


def blobs(n=120):
    """Two classes that a straight line separates; the first pixel is always blank."""
    labels = RNG(3).integers(0, 2, n)
    x = np.clip(0.25 + 0.5 * labels[:, None, None] + 0.05 * RNG(4).standard_normal((n, 2, 2)), 0, 1).astype(np.float32)
    x[:, 0, 0] = 0.0
    return Dataset("blobs", "", x[:80], labels[:80], x[80:], labels[80:])


def trained(seed=1, **changes):
    return train_from_seed(keras_models.dense_classifier, blobs(), seed=seed, **OPTIONS | {"epochs": 2} | changes)


def test_it_is_the_training_of_the_model_itself():
    """Bit for bit; the model comes back from its architecture and weights."""
    model = keras_models.dense_classifier([4, 2], ["tanh", "linear"], (2, 2), seed=1)
    curves, found = train(model, blobs(), 2, 10), trained()
    for one, other in zip(model.get_weights(), found.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(curves["val_accuracy"], found.curves["val_accuracy"])


def test_legs_take_the_next_images_and_start_adam_anew():
    """Two legs of forty images are two trainings of one model, on the first and on the second forty."""
    data, model = blobs(), keras_models.dense_classifier([4, 2], ["tanh", "linear"], (2, 2), seed=1)
    for part, size in ((slice(0, 40), 10), (slice(40, 80), 20)):
        train(model, Dataset("", "", data.x_train[part], data.y_train[part], data.x_test, data.y_test), 1, size)
    found = trained(epochs=1, images=40, batch_sizes=[10, 20])
    assert found.curves["loss"].shape == (2,)
    for one, other in zip(model.get_weights(), found.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_that_shares_the_weights_may_be_trained():
    found = trained(through=lambda model: keras_models.keras.Sequential(model.layers))
    np.testing.assert_array_equal(found.weights[0], trained().weights[0])


def test_it_is_remembered_for_other_changes(tmp_path, monkeypatch):
    """A second call trains nothing; neither the attacks nor the chapters are among what it was made of."""
    monkeypatch.setenv("BEA_REMEMBERED", str(tmp_path))
    arguments = (train_from_seed, keras_models.dense_classifier, blobs())
    options = {"seed": 0, "epochs": 1} | OPTIONS
    first = memory.remember(*arguments, **options)
    monkeypatch.setattr(keras_models.keras.Sequential, "fit", None)
    np.testing.assert_array_equal(first.weights[0], memory.remember(*arguments, **options).weights[0])
    own = {path.relative_to(sources.ROOT).as_posix() for path in sources.files_reached("import lab.training")}
    assert "lab/training.py" in own
    assert not own & {"bea/backward/search.py", "lab/chapter.py", "studies/train_one_layer.py"}


def test_networks_are_those_of_the_models():
    nets, models = opened({"one": trained()})
    x = blobs().x_test
    gap = keras_gap(nets, models, x.reshape(len(x), -1))
    np.testing.assert_allclose(gap, np.abs(nets["one"](x) - np.asarray(models["one"](x))).max(), rtol=1e-6)
    assert gap < 1e-5
    assert nets["one"].input_range == (0.0, 1.0)


def test_curves_are_stacked():
    assert learning_curves({"a": trained(), "b": trained(2)})["val_loss"].shape == (2, 2)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_what_is_left_of_the_network(scale):
    """Accuracy and norm by their definitions, and the part of the weights that no image ever touched."""
    matrix = scale * RNG(0).standard_normal((2, 5))
    net, data = Network((Flatten(), Dense(matrix, bias=True)), (2, 2)), blobs()
    row = by_length({"net": net}, data.x_test, data.y_test).iloc[0]
    assert row.norm == pytest.approx(np.linalg.norm(matrix))
    assert row.accuracy == np.mean(
        (data.x_test.reshape(-1, 4) @ matrix[:, :4].T + matrix[:, 4]).argmax(1) == data.y_test
    )
    found = never_inked(matrix[:, :4], data.x_train)
    assert found["never"] == 1
    assert found["share"] == pytest.approx(np.sum(matrix[:, 0] ** 2) / np.sum(matrix[:, :4] ** 2))
