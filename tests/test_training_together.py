"""Several networks trained at once: the same as Keras does with each."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bea import Network
from lab import keras_models, training
from lab.training_together import with_small_outputs

keras = training.keras


@pytest.fixture(scope="module")
def data():
    """Noise and labels."""
    rng = np.random.default_rng(0)
    images = rng.random((40, 4, 3)).astype(np.float32)
    return SimpleNamespace(x_train=images, y_train=rng.integers(0, 3, 40))


@pytest.fixture(scope="module")
def nets():
    """Two networks 12-5-3."""
    models = [keras_models.dense_classifier([5, 3], ["tanh", "tanh"], (4, 3), seed=seed) for seed in (0, 1)]
    return {str(seed): Network.from_keras(model) for seed, model in enumerate(models)}


def by_keras(net, data, penalty, rate, epochs):
    """Train one network by Keras on all images at once."""
    model = keras_models.to_keras(replace(net, output_activation="linear"))

    def loss(labels, z):
        entropy = keras.losses.sparse_categorical_crossentropy(labels, keras.ops.tanh(z), from_logits=True)
        return entropy + 0.5 * penalty * keras.ops.sum(z**2, axis=-1)

    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(data.x_train, data.y_train, batch_size=len(data.x_train), epochs=epochs, verbose=0)
    return Network.from_keras(model)


def test_every_network_is_trained_as_by_keras(nets, data):
    """All images in one batch, so that their order does not matter; penalties differ."""
    found = with_small_outputs(nets, data, [0.0, 0.5], rates=[0.01] * 5, batch_size=40)
    for (name, net), penalty in zip(nets.items(), (0.0, 0.5), strict=True):
        expected = by_keras(net, data, penalty, 0.01, 5)
        for mine, theirs, before in zip(found[name].weighted, expected.weighted, net.weighted, strict=True):
            np.testing.assert_allclose(mine.matrix, theirs.matrix, atol=1e-4)
            assert np.abs(mine.matrix - before.matrix).max() > 0.01
        assert found[name].output_activation == "tanh"


def test_a_penalty_makes_the_logits_smaller(nets, data):
    """And batches, their order and the number of images count."""
    same = {"a": nets["0"], "b": nets["0"]}
    way = {"rates": [0.01] * 20, "batch_size": 8}
    found = with_small_outputs(same, data, [0.0, 1.0], **way)
    sizes = [np.abs(net(data.x_train.astype(float))).mean() for net in found.values()]
    assert sizes[1] < 0.5 * sizes[0]
    other = with_small_outputs(same, data, [0.0, 1.0], seed=1, **way)
    fewer = with_small_outputs(same, data, [0.0, 1.0], images=16, **way)
    for changed in (other, fewer):
        assert not np.array_equal(changed["a"].weighted[0].matrix, found["a"].weighted[0].matrix)


@pytest.mark.parametrize("penalties", [[0.1], [0.1, -0.1], [0.1, np.nan]])
def test_penalties_are_checked(nets, data, penalties):
    with pytest.raises(ValueError, match="penalties: expected 2 numbers from 0 on"):
        with_small_outputs(nets, data, penalties, rates=[0.01], batch_size=8)
