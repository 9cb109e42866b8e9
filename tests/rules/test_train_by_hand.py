"""Every outcome of the rules on the network written by hand, with the thresholds of the claims file."""

import numpy as np
import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import explained
from studies.train_by_hand import POINTS, smooth_relu_errors


@pytest.mark.parametrize(
    ("differences", "keras", "apart", "lowest", "verdict"),
    [
        (1e-8, 1e-15, 1e-16, 0.8, REPRODUCED),
        (1e-5, 1e-15, 1e-16, 0.8, CONTRADICTED),
        (1e-8, 1e-6, 1e-16, 0.8, CONTRADICTED),
        (1e-8, 1e-15, 1e-11, 0.8, CONTRADICTED),
        (1e-8, 1e-15, 1e-16, 0.4, CONTRADICTED),
    ],
)
def test_gradients_training_and_success_all_count(differences, keras, apart, lowest, verdict):
    errors = pd.DataFrame({"differences": [0.0, differences], "keras": [keras, 0.0]})
    accuracy = {"lowest": lowest, "median": 0.9, "highest": 0.91, "seeds": 3}
    outcome = judge("D1", errors, np.array([[0.0, apart]]), accuracy, [4, 3, 2])
    assert outcome.verdict == verdict
    assert "4-3-2 network of 23 numbers" in outcome.because


TAILS = {"tails": [1e-9, 2.5e-9]}  # the first is too far off for its a


@pytest.mark.parametrize(
    "change", [{"code": 1e-14}, {"falls": 1}, {"zero": 1e-14}, {"distance": 0.6}, {"at": 0.1}, {"tails": 0.1}, TAILS]
)
def test_every_property_of_the_smooth_relu_counts(change):
    errors = smooth_relu_errors([0.1, 1.0])
    assert judge("D2", errors, POINTS).verdict == REPRODUCED
    assert judge("D2", errors.assign(**change), POINTS).verdict == CONTRADICTED


@pytest.mark.parametrize(
    ("result", "line", "verdict"),
    [
        ((0, 0), (0, 0), REPRODUCED),
        ((0, 0), (0, 1), CORRECTED),
        ((0, 0), (1, 0), CORRECTED),
        ((1, 0), (0, 0), CONTRADICTED),
    ],
)
def test_result_and_line_are_told_apart(result, line, verdict):
    errors = pd.DataFrame([("result", *result), ("line", *line)], columns=["formula", "true", "others"])
    assert judge("D3", errors, published={"classes": 10}).verdict == verdict


PUBLISHED = {"widths": {64: 0.87, 128: 0.88}, "epochs": {1: 0.87, 40: 0.97}, "asymptote": 0.97}


@pytest.mark.parametrize(
    ("medians", "gain", "images", "verdict"),
    [
        ((0.87, 0.88, 0.97), 0.001, 60000, REPRODUCED),
        ((0.87, 0.90, 0.97), 0.001, 60000, UNDECIDED),
        ((0.88, 0.87, 0.97), 0.001, 60000, CONTRADICTED),
        ((0.87, 0.88, 0.95), 0.001, 60000, CONTRADICTED),
        ((0.87, 0.88, 0.97), 0.02, 60000, CONTRADICTED),
        ((0.87, 0.88, 0.97), 0.001, 10000, UNDECIDED),
    ],
)
def test_accuracies_order_and_levelling(medians, gain, images, verdict):
    rows = [(64, 1, 0.87), (128, 1, 0.88), (64, 1, 0.87), (64, 40, 0.97)]
    table = pd.DataFrame(rows, columns=["width", "epochs", "published"]).assign(seeds=3, deviation=0.004)
    table["median"] = [medians[i] for i in (0, 1, 0, 2)]
    table = table.assign(lowest=table["median"], highest=table["median"], difference=table["median"] - table.published)
    table["net"] = table.width.astype(str) + "-" + table.epochs.astype(str)
    assert judge("D4", table, {"gain": gain}, images, published=PUBLISHED).verdict == verdict
    assert judge("D4", table[:2], {"gain": gain}, images, published=PUBLISHED).verdict == UNDECIDED


def test_thresholds_are_printed():
    assert "within 1e-07 with Keras" in explained(CLAIMS["D1"])
    assert "from 60000 images" in explained(CLAIMS["D4"])
