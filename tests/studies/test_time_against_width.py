"""The products are counted; what the times buy is read off a curve. No time is asserted."""

from itertools import pairwise

import numpy as np
import pandas as pd

from lab.datasets import Dataset
from studies import time_against_width as study


def test_products_are_counted_layer_by_layer():
    widths, total = [6, 5, 4, 3], 0
    for k, (a, b) in enumerate(pairwise(widths)):
        total += a * b  # forwards
        total += a * b  # the slope of the weights
        total += a * b if k else 0  # the slope of what came in
    assert study.multiplications(widths) == total


def test_costs_have_a_row_a_width():
    x, labels = np.random.default_rng(0).random((40, 2, 3)).astype(np.float32), np.arange(40) % 10
    data = Dataset("toy", "", x, labels, x, labels)
    table = study.costs(data, [3, 6], steps=2, repeats=2, rate=0.1, batch_size=8, a=0.1)
    assert list(table.width) == [3, 6]
    assert list(table.parameters) == [6 * w + w + w * w + w + 10 * w + 10 for w in (3, 6)]
    assert table.work[0] == table.time[0] == 1
    assert table.work[1] == study.multiplications([6, 6, 6, 10]) / study.multiplications([6, 3, 3, 10])


def test_the_same_time_buys_whole_epochs():
    table = pd.DataFrame({"time": [1.0, 3.7]})
    curve = np.array([0.5, 0.6, 0.7, 0.8])
    assert study.for_the_same(table, curve, 0.65) == {
        "ratio": 3.7, "epochs": 3, "accuracy": 0.7, "broad": 0.65, "needed": 3,
    }  # fmt: skip
    assert study.for_the_same(table, curve[:2], 0.9)["epochs"] == 2
    assert study.for_the_same(table, curve, 0.9)["needed"] == 0
