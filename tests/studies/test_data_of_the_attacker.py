"""What the page computes with, at toy size."""

import numpy as np

from oracles import RNG, random_images, random_network
from studies import data_of_the_attacker as study


def test_single_precision():
    """What was in single precision stays as it is, and the largest rounding is told."""
    net = random_network(RNG(0), [(5, "tanh")], 4)
    rounded, lost = study.in_single_precision(net)
    expected = max(np.abs(layer.matrix - layer.matrix.astype("float32")).max() for layer in net.weighted)
    assert lost == expected > 0
    assert study.in_single_precision(rounded)[1] == 0
    np.testing.assert_allclose(rounded(random_images(RNG(1), net, 3)), net(random_images(RNG(1), net, 3)), atol=1e-5)


def test_references():
    """All choices and margins; converged attacks win by the margin and only what may change does."""
    net = random_network(RNG(0), [(5, "tanh")], 4)
    x = random_images(RNG(1), net, 3)
    runs = study.references(net, x, (net.classify(x) + 1) % 4, margins=[1e-3, 0.1])
    assert [(run["on"], run["margin"]) for run in runs[:3]] == [("weights", 1e-3), ("weights", 0.1), ("input", 1e-3)]
    for run in runs:
        best = run["converged"]
        assert (best["lead"] >= 0.999 * run["margin"]).all()
        np.testing.assert_allclose(best["objective"], np.sum(best["relative"] ** 2, axis=1))
        changed = {"weights": [1, 1, 0], "input": [0, 0, 1], "both": [1, 1, 1]}[run["on"]]
        np.testing.assert_array_equal(best["relative"] > 0, np.tile(changed, (3, 1)))
    table = study.summary(runs)
    assert (table.converged == 1).all()
    assert (table.least <= table["median"]).all()


def test_what_is_proved_is_below_every_attack():
    """For each part that may change and each target, in single precision; nothing for the class itself."""
    net = random_network(RNG(0), [(5, "tanh")], 4)
    x = random_images(RNG(1), net, 3)
    lower, own = study.proved(net, x), net.classify(x)
    assert lower.dtype == np.float32
    np.testing.assert_array_equal(lower[:, np.arange(3), own], 0.0)
    for shift in (1, 2, 3):
        target = (own + shift) % 4
        for run in study.references(net, x, target, margins=[1e-6]):
            size = np.sqrt(run["converged"]["objective"])
            found = lower[("input", "weights", "both").index(run["on"]), np.arange(3), target]
            some = run["converged"]["success"]
            assert (found[some] <= size[some]).all()
            assert np.median(found[some] / size[some]) > 0.7
