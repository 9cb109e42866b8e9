"""Robustness at toy size: enclosures hold, pairs are pairs, paths rise and fall as made up."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from oracles import RNG, random_images, random_network
from studies import robustness_and_accuracy as study


@pytest.fixture(scope="module")
def toy():
    """Two kinds of two networks each, and their enclosures on five images."""
    seeds = {"a/0": 0, "a/1": 1, "b/0": 5, "b/1": 6}
    nets = {name: random_network(RNG(seed), [(5, "tanh")], 4) for name, seed in seeds.items()}
    x = random_images(RNG(3), nets["a/0"], 5)
    return nets, x, study.enclosed(nets, x, margin=1e-6, candidates=3, wide=2)


def test_the_least_change_is_enclosed(toy):
    """No bound above the attack, and a random change below the bound changes no class."""
    nets, x, table = toy
    assert (table.tight <= table.found * (1 + 1e-9)).all()
    assert (table.repaired <= table.tight * (1 + 1e-6)).all()
    step = RNG(9).standard_normal(x.shape)
    step /= np.linalg.norm(step.reshape(len(x), -1), axis=1)[:, None, None]
    for name, m in table.groupby("net"):
        moved = x + step * m.tight.to_numpy()[:, None, None]
        np.testing.assert_array_equal(nets[name].classify(moved), nets[name].classify(x))


def test_pairs_over_images(toy):
    """The change is the difference of the means, its error that of the differences."""
    *_, table = toy
    nets = study.summary(table, dict.fromkeys(table.net, 0.5))
    found = study.change(table, nets, "a", "b")
    means = {kind: table[table.kind == kind].groupby("image").found.mean().to_numpy() for kind in "ab"}
    pairs = means["b"] - means["a"]
    assert found["change"] == pytest.approx(pairs.mean(), rel=1e-12)
    assert found["error"] == pytest.approx(pairs.std(ddof=1) / np.sqrt(5), rel=1e-12)
    assert study.change(table, nets, "a", "a")["change"] == 0.0


@pytest.mark.parametrize(
    ("accuracy", "rho", "expected"),
    [
        ([[0.8, 0.81], [0.9, 0.91], [0.7, 0.71]], [[1.0, 1.1], [1.5, 1.6], [2.0, 2.1]], (0.5, True, True)),
        ([[0.8, 0.92], [0.9, 0.91], [0.7, 0.71]], [[1.0, 1.1], [1.5, 1.6], [2.0, 2.1]], (0.5, False, True)),
        ([[0.9, 0.91], [0.8, 0.81], [0.7, 0.71]], [[1.0, 1.1], [0.9, 1.6], [0.9, 2.1]], (0.0, False, False)),
    ],
)
def test_rise_and_fall(accuracy, rho, expected):
    """Worst against best, not means."""
    columns = {"kind": np.repeat(["a", "b", "c"], 2), "accuracy": np.ravel(accuracy), "rho": np.ravel(rho)}
    nets = pd.DataFrame(columns | {"upper": np.ravel(rho), "proven": 0.1, "bounded": 5})
    path = study.rise_and_fall(nets, {"a": 0.0, "b": 0.5, "c": 1.0})
    assert (path["peak"], path["rise"], path["fall"]) == expected
    assert study.along(path, 2)


def test_trained_networks_of_a_seed_share_their_images():
    """Without noise and decay the two kinds are one; with decay the weights are smaller."""
    rng = RNG(0)
    data = SimpleNamespace(x_train=rng.random((40, 2, 3)), y_train=rng.integers(0, 10, 40), x_test=np.zeros((1, 2, 3)))
    kinds = {"plain": {}, "same": {"noise": 0.0}, "shrunk": {"decay": 0.5}}
    nets = study.trained(kinds, data, seeds=1, size=30, passes=2, units=4)
    np.testing.assert_array_equal(nets["plain/0"].weight_norms, nets["same/0"].weight_norms)
    assert (nets["shrunk/0"].weight_norms < nets["plain/0"].weight_norms).all()


def test_lbfgs_beside_bounds(toy):
    """The bound is below, the range costs."""
    _, x, _ = toy
    net = random_network(RNG(1), [(5, "tanh")], 4, input_range=(0, 1))
    norms = study.against_lbfgs(net, x, margin=1e-6, candidates=3).dropna()
    assert len(norms)
    assert (norms["tight"] <= norms["L-BFGS"]).all()
    table = study.quotients(norms).set_index("name")
    assert table.loc["L-BFGS", "median"] == 1.0
    assert table.loc["L-BFGS in range", "median"] >= 0.99
