"""Batch normalisation folds away: beside the formula, and beside Keras on a small network."""

import numpy as np
import pytest

import oracles
from bea import Dense
from lab.datasets import Dataset
from studies import batch_normalisation as study

RNG = np.random.default_rng


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_folding_is_the_map_behind_the_layer(kind, bias):
    rng = RNG(0)
    if kind == "dense":
        layer, y = Dense(rng.standard_normal((3, 5 + bias)), bias), rng.standard_normal((4, 5))
    else:
        layer = oracles.random_convolution(rng, 3, 2, (2, 3), (1, 2), 1, bias)
        y = rng.standard_normal((4, 5, 6, 2))
    scale, shift = rng.standard_normal((2, 3))
    folded = study.folded(layer, scale, shift)
    assert type(folded) is type(layer)
    np.testing.assert_allclose(folded.forward(y), scale * layer.forward(y) + shift, atol=1e-13)


def test_a_trained_network_is_the_one_of_keras():
    labels = RNG(0).integers(0, 10, 300)
    x = (0.5 * np.eye(10)[labels, :9] + 0.3 * RNG(1).random((300, 9))).reshape(300, 3, 3).astype(np.float32)
    data = Dataset("clouds", "", x[:200], labels[:200], x[200:], labels[200:])
    nets, gaps = study.normalised(data, units=6, images=200, passes=3, seed=0)
    assert gaps["keras"] < 1e-5  # single precision: measured 3e-7
    assert gaps["apart"] < 1e-13
    assert gaps["images"] == 100
    assert gaps["same"] >= 99
    table = study.bounds(nets, x[200:208].astype(float), margin=1e-6)
    assert list(table.form) == ["folded", "apart"]
    assert (table.above == 0).all()
    assert table.repaired[0] >= table.repaired[1] > 0
    assert np.isnan(table.tight[1])
    assert table.tight[0] <= table.attack[0]
