"""Componentwise backward errors beside norm-wise ones, at toy size: inequalities, closed forms, made-up tables."""

import numpy as np
import pytest

from oracles import RNG, random_images, random_network
from studies import componentwise as study

MARGIN = 1e-4


def toy(hidden, seed=2):
    """A network, thirty images with blank pixels, the first with a wrong label."""
    net = random_network(RNG(seed), hidden, 4, input_range=(0.0, 1.0))
    x = random_images(RNG(1), net, 30)
    x[RNG(3).random(x.shape) < 0.3] = 0.0
    labels = net.classify(x)
    labels[0] = (labels[0] + 1) % 4
    return net, x, labels


@pytest.fixture
def measured(monkeypatch):
    """Both measures of a smooth network; the network stands for its Keras model."""
    monkeypatch.setattr(study, "keras_classes", lambda file, images, net: net.classify(images))
    net, x, labels = toy([(5, "tanh")])
    return net, x, labels, study.two_measures({"net": net}, {"net": None}, x, labels, margin=MARGIN)


def test_the_norm_is_at_most_epsilon(measured):
    """η ≤ ‖Δx‖/‖x‖ ≤ ε for every image, and no blank pixel is inked; what is in the range costs more."""
    _, x, _, found = measured
    assert list(found.image) == list(range(1, 30))
    won = np.isfinite(found.epsilon)
    assert won.sum() > 20
    assert (found.length <= found.epsilon * (1 + 1e-9))[won].all()
    assert (found.norm <= found.length * (1 + 1e-3))[won].all()
    assert not found.inked.any()
    assert found.touched.sum() > 0
    np.testing.assert_array_equal(found.blank, np.sum(x[found.image] == 0.0, axis=(1, 2)))
    inside = np.isfinite(found.inside)
    assert inside.sum() > 10
    assert (found.inside >= found.epsilon * (1 - 1e-3))[inside & won].all()


def test_summary_counts_and_compares(measured):
    *_, found = measured
    row = study.summary(found).iloc[0]
    won = [np.isfinite(found[key]).sum() for key in ("epsilon", "norm", "inside")]
    assert row.images == 29
    assert row.found == row.confirmed == sum(won)
    assert row.inked == 0
    assert row.below == 0
    assert row.least >= 1
    assert row.damped == pytest.approx((found.damped / found.epsilon).median())
    wrong = study.summary(found.assign(keras=found.found + 1)).iloc[0]
    assert wrong.found - wrong.confirmed == won[0]
    assert study.summary(found.assign(norm=2 * found.epsilon)).iloc[0].below == won[0]


def test_damped_steps_end_on_the_border_and_are_exact_for_one_layer_of_two_classes():
    """With a single rival the programme's solution does not move: a tenth of the way, again and again, is its ray."""
    net = random_network(RNG(5), [], 2, input_range=(0.0, 1.0))
    x = random_images(RNG(1), net, 20)
    labels = net.classify(x)
    exact = study.one_layer(net, x, labels, margin=MARGIN)
    np.testing.assert_allclose(study.damped(net, x, labels, margin=MARGIN), exact.input, rtol=1e-6)


def test_one_layer():
    """The search is the closed form; blank pixels are not used."""
    net, x, labels = toy([])
    table = study.one_layer(net, x, labels, margin=MARGIN)
    assert list(table.image) == list(range(1, 30))
    known = np.isfinite(table.searched)
    assert known.sum() > 10
    assert (table.gap[known] <= 1e-9).all()
    assert (table.used + table.dead == table.inked)[known].all()
    assert (table.weights > 0).all()


def test_pictures():
    """The componentwise change leaves blank pixels; both are within the range."""
    net, x, labels = toy([(5, "tanh")])
    found = study.pictures(net, x[1:6], labels[1:6], margin=MARGIN)
    blank, table = x[1:6] == 0.0, found.table.set_index("measure")
    assert blank.any()
    assert not found.componentwise[blank].any()
    ink, norm = table.loc["componentwise"], table.loc["norm-wise"]
    assert not ink.blank.any()
    assert (norm.norm.to_numpy() <= ink.norm.to_numpy() * (1 + 1e-3)).all()
    assert np.isinf(norm.epsilon).any()
    for change in (found.norm_wise, found.componentwise):
        assert (x[1:6] + np.nan_to_num(change) >= -1e-12).all()
        assert (x[1:6] + np.nan_to_num(change) <= 1 + 1e-12).all()


def test_more_that_may_change_costs_less():
    net, x, labels = toy([(5, "tanh")])
    row = study.places({"net": net}, x, labels, images=8, margin=MARGIN).iloc[0]
    assert row.images == 8
    assert row.won == 24
    assert row.both <= min(row.input, row.weights) * (1 + 1e-3)
