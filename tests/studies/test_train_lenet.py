"""What is told about LeNet: sizes counted by hand, filters sorted, accuracies of made-up legs."""

import numpy as np
import pandas as pd
import pytest

from bea import Convolution, Dense, Flatten, MaxPool, Network
from lab.training import Trained
from studies import train_lenet as study


def network(side, channels):
    """LeNet with weights of zero."""
    last = ((side - 4) // 2 - 4) // 2
    layers = [Convolution(np.zeros((20, 25 * channels + 1)), (5, 5)), MaxPool(2)]
    layers += [Convolution(np.zeros((50, 501)), (5, 5)), MaxPool(2), Flatten()]
    layers += [Dense(np.zeros((500, 50 * last**2 + 1))), Dense(np.zeros((10, 501)))]
    return Network(tuple(layers), (side, side, channels))


def test_sizes_of_the_layers():
    """Those of exercise 1, and a unit after the second maximum sees 16 pixels each way."""
    table = study.constants(study.layers({"mnist": network(28, 1), "cifar10": network(32, 3)}))
    assert table.parameters.tolist() == [520 + 25050 + 400500 + 5010, 1520 + 25050 + 500 * 1251 + 5010]
    assert table[["t1", "t2", "n", "sees"]].to_numpy().tolist() == [[12, 4, 500, 16], [14, 5, 500, 16]]


def test_legs_and_accuracies():
    """Passes add up; the error is that of a share; the rise is that of the last leg."""
    curves = {"accuracy": np.array([0.5, 0.6]), "val_accuracy": np.array([0.7, 0.8])}
    data = type("Data", (), {"x_train": np.zeros((40, 1))})
    legs = study.curves({"a": Trained("", [], curves, 0.0)}, data, 10)
    assert legs.passes.tolist() == [0.25, 0.5]
    row = study.accuracy({"mnist": legs}, {"mnist": 100}, {"mnist": 0.75}).iloc[0]
    assert row["mean"] == 0.8
    assert row.error == pytest.approx(4.0)
    assert row.lead == pytest.approx(5.0)
    assert study.last_rise(legs) == "10.0"
    assert study.last_rise(pd.DataFrame({"passes": [1], "test": [0.5]})) == "an unknown number of"
    assert study.last_rise(None) == "an unknown number of"


def test_filters_are_sorted_by_their_norm():
    """Grey filters are grey, filters of one sign are not of both."""
    kernel = np.stack([np.ones((2, 2, 3)), -3.0 * np.ones((2, 2, 3)), np.zeros((2, 2, 3))], axis=-1)
    kernel[0, :, :, 2] = [[2.0, 2.0, 2.0], [-2.0, -2.0, -2.0]]
    filters, facts = study.sorted_filters(kernel)
    np.testing.assert_array_equal(filters[0], kernel[..., 1])
    assert (facts["filters"], facts["both"]) == (3, 1)
    assert facts["grey"] == pytest.approx(1.0)
    assert facts["norm"] == pytest.approx(np.linalg.norm(kernel))
