"""Accuracies by family, and the slopes of a tanh after the last layer."""

import numpy as np

from lab.training import Trained
from oracles import random_images, random_network
from studies.train_deeper import BINS, LEAST_LOSS, final_accuracies, output_slopes, slope_shares

RNG = np.random.default_rng


def test_accuracies_are_those_of_the_last_pass():
    runs = [
        Trained("", [np.zeros((3, 2)), np.zeros(2)], {"val_accuracy": np.array([0.1, last])}, 0.0)
        for last in (0.5, 0.7)
    ]
    row = final_accuracies({"kind": {"kind-0": runs[0], "kind-1": runs[1]}}).iloc[0]
    assert (row["net"], row.seeds, row.weights, row.lowest, row.highest, row["each"]) == (
        "kind",
        2,
        8,
        0.5,
        0.7,
        [0.5, 0.7],
    )
    np.testing.assert_allclose(row["median"], 0.6)


def test_the_least_loss_is_approached_by_saturated_outputs():
    outputs = np.tanh([9.0] + 9 * [-9.0])
    np.testing.assert_allclose(LEAST_LOSS, np.log(np.exp(outputs - outputs[0]).sum()), rtol=1e-6)


def test_slopes_are_derivatives_of_tanh():
    """Against difference quotients; the shares of all bins make 100 %."""
    net = random_network(RNG(0), [(5, "tanh")])
    x, h = random_images(RNG(1), net, 20), 1e-6
    frame, slopes = output_slopes({"one": net}, x)
    logits = net(x)
    np.testing.assert_allclose(slopes, (np.tanh(logits + h) - np.tanh(logits - h)) / (2 * h), rtol=1e-6)
    assert frame.saturated[0] == np.mean(slopes < 0.01)
    shares = slope_shares(slopes, logits.argmax(axis=1))
    for name, mask in (
        ("right", logits == logits.max(1, keepdims=True)),
        ("others", logits < logits.max(1, keepdims=True)),
    ):
        np.testing.assert_allclose(shares[name].sum(), 100)
        steep = 100 * np.mean(slopes[mask] > BINS[-2])
        np.testing.assert_allclose(shares[name][-1], steep)
