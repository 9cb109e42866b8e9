"""The studies of the network written by hand, at toy size."""

from itertools import pairwise

import numpy as np
import pytest

from lab.by_hand import forward, train
from lab.datasets import Dataset
from lab.training_by_hand import Learnt, learn
from studies import train_by_hand as scratch

RNG = np.random.default_rng
WAY = {"rate": 0.5, "batch_size": 8, "a": 0.1, "images": 60}


def clouds(n=100):
    """Ten classes of 3×3 pixels, one bright pixel each, the tenth dark."""
    labels = RNG(0).integers(0, 10, n)
    x = (np.eye(10)[labels, :9] + 0.1 * RNG(1).random((n, 9))).reshape(n, 3, 3).astype(np.float32)
    return Dataset("clouds", "", x[:80], labels[:80], x[80:], labels[80:])


def test_gradients_and_steps_agree_with_keras():
    """Every array to rounding; float32 is back afterwards."""
    from lab.keras_backend import keras

    frame, apart, moved = scratch.beside_keras(clouds(), width=6, seed=0, steps=5, batch=8, **WAY)
    assert list(frame.array) == ["dW_1", "db_1", "dW_2", "db_2", "dW_3", "db_3", "dY_0"]
    assert frame.differences.max() < 1e-6
    assert frame.keras.max() < 1e-13
    assert apart.shape == (5, 3)
    assert apart.max() < 1e-13
    assert moved.min() > 1e-3
    assert keras.config.floatx() == "float32"


def test_learning_is_training_by_hand_looked_at_after_every_epoch():
    data = clouds()
    found = learn(data, width=6, seed=3, passes=3, kept=[1, 3], **WAY)
    x, tests = data.x_train[:60].reshape(60, 9).astype(float), data.x_test.reshape(20, 9).astype(float)
    for epoch, weights in enumerate(
        train([6, 6], x, data.y_train[:60], epochs=3, rate=0.5, batch_size=8, a=0.1, seed=3)
    ):
        assert found.curve[epoch] == np.mean(forward(weights, tests, 0.1)[1][-1].argmax(axis=1) == data.y_test)
    assert list(found.weights) == [1, 3]
    np.testing.assert_array_equal(found.weights[3][0][0], weights[0][0])


def test_one_thing_is_varied_at_a_time():
    """The usual way is trained once a seed and stands in every group."""
    options = {"rates": [0.5, 1.0], "batch_sizes": [4, 8], "smoothings": [0.1, 1.0]}
    frame = scratch.one_epoch(clouds(), seeds=2, width=6, **options, **WAY)
    assert len(frame) == 16
    usual = frame[frame.value == frame.varied.map({"rate": 0.5, "batch": 8, "ratio": 8, "smoothing": 0.1})]
    assert usual.groupby("seed").accuracy.nunique().tolist() == [1, 1]
    slow = learn(clouds(), width=6, seed=1, passes=1, **WAY | {"rate": 0.25, "batch_size": 4}).curve[0]
    assert frame[(frame.varied == "ratio") & (frame.value == 4) & (frame.seed == 1)].accuracy.item() == slow


@pytest.mark.parametrize("a", [0.01, 1.0])
def test_the_smooth_relu_is_right_to_rounding(a):
    row = scratch.smooth_relu_errors([a]).iloc[0]
    assert max(row.derivative, row.code, row.zero) < 1e-15
    assert (row.falls, row["at"]) == (0, 0)
    assert row.distance == pytest.approx(0.5)
    assert row.naive > 1e-8


def test_only_the_result_is_the_derivative():
    result, line = scratch.softmax_errors(samples=50, classes=4, seed=0).itertuples(index=False)
    assert max(result.true, result.others, line.true) < 1e-9
    assert line.others > 0.1
    assert line.size == 0


def made_up():
    curves = {"scratch-64-0": [0.5, 0.7, 0.9], "scratch-64-1": [0.7, 0.8, 0.9], "scratch-64-2": [0.6]}
    weights = [(RNG(0).standard_normal((n, m)), np.zeros(n)) for m, n in pairwise([9, 64, 64, 10])]
    kept = {name: {1: weights} | ({3: weights} if len(curve) > 1 else {}) for name, curve in curves.items()}
    return {name: Learnt(64, np.array(c), kept[name], dict.fromkeys(kept[name], 0.5)) for name, c in curves.items()}


def test_accuracies_by_epochs():
    """Medians over seeds, and the epochs needed, half way between the second and the third."""
    published = {"widths": {64: 0.55}, "epochs": {1: 0.61, 3: 0.825}}
    table = scratch.by_width_and_epochs(made_up(), widths=[64], epochs=[1, 3], published=published)
    assert table["median"].tolist() == pytest.approx([0.6, 0.6, 0.9])
    assert table.seeds.tolist() == [3, 3, 2]
    assert table.difference.tolist() == pytest.approx([0.05, -0.01, 0.075])
    assert table.needed[2] == pytest.approx(2.5)
    assert table.needed[:2].isna().all()
    level = scratch.levelling(scratch.curves_of(made_up(), 64))
    assert (level["last"], level["quarter"]) == (3, 1)
    assert level["gain"] == pytest.approx(0.15)


def test_kept_weights_become_networks():
    nets = scratch.as_networks(made_up(), 0.1, (3, 3))
    assert list(nets)[:2] == ["scratch-64-1-0", "scratch-64-3-0"]
    assert scratch.seeds_of(nets) == {"64-1": [0, 1, 2], "64-3": [0, 1]}
    assert scratch.file_gap(nets, made_up(), 0.1, clouds().x_test) < 1e-13
