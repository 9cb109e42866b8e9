"""Studies of a quantiser before a network at toy size: rounding by hand, and what each attack must leave alone."""

import numpy as np
import pandas as pd
import pytest

import oracles
from lab.keras_models import save, to_keras
from studies import hidden_gradient as study

LEVELS, EPSILON = 3, 0.4


@pytest.fixture(scope="module")
def toy():
    """Groups of networks of four classes over images of shape (2, 3), thirty images, and the classes of the first."""
    nets = [oracles.random_network(oracles.RNG(seed), [(5, "tanh")], input_range=(0.0, 1.0)) for seed in (0, 1)]
    groups = {"tanh": {"a": nets[0], "b": nets[1]}, "smooth ReLU": {"c": nets[0]}}
    x = oracles.random_images(oracles.RNG(4), nets[0], 30)
    return groups, x, nets[0].classify(x)


def rounded(x):
    """The images at levels 0, 1/2 and 1."""
    return np.rint(2 * x) / 2


def test_networks_of_each_kind_are_found_by_name():
    names = [*(f"tanh-tanh-{i}" for i in range(3)), "scratch-64-2-0", "scratch-64-3-0", "scratch-100-7-0", "relu-0"]
    found = study.grouped(dict.fromkeys(names), 2)
    assert [list(group) for group in found.values()] == [["tanh-tanh-0", "tanh-tanh-1"], ["scratch-64-3-0"], ["relu-0"]]
    assert list(study.grouped(dict.fromkeys([*names, "scratch-64-7-0"]), 2)["smooth ReLU"]) == ["scratch-64-7-0"]


def test_what_rounding_costs(toy):
    groups, x, labels = toy
    found = study.accuracies(groups, x, labels, [LEVELS]).set_index(["net", "levels"])
    for name, net in groups["tanh"].items():
        assert found.accuracy[name, "none"] == np.mean(net.classify(x) == labels)
        assert found.accuracy[name, "3"] == np.mean(net.classify(rounded(x)) == labels)
    np.testing.assert_array_equal(found.lost.xs("none", level="levels"), 0)


def test_no_gradient_gets_through(toy, tmp_path):
    groups, x, labels = toy
    save(to_keras(groups["tanh"]["a"]), tmp_path / "a.keras")
    found = study.gradients(groups["tanh"]["a"], tmp_path / "a.keras", x, labels, LEVELS)
    assert (found["keras"], found["bea"], found["pixels"]) == (0, 0, x.size)
    assert found["difference"] < 1e-5


def test_attacks_by_the_gradient_do_not_move(toy):
    net = oracles.random_network(oracles.RNG(5), [(5, "tanh")], input_range=(0.0, 1.0))
    x = toy[1]
    found = study.stuck({"tanh": {"a": net}}, x, net.classify(x), LEVELS, epsilon=EPSILON, steps=3)
    assert len(found) == 5
    assert (found["fooled, f"] > 0).all()
    assert (found[["fooled, f(Q)", "moved"]] == 0).all(axis=None)


def test_attacks_with_a_limit(toy):
    groups, x, labels = toy
    files, asking = dict.fromkeys("abc"), {"steps": 3, "directions": 5, "seed": 0}
    grid = study.limited(oracles.RNG(5), groups, files, x, labels, [LEVELS], [EPSILON], **asking)
    assert list(dict.fromkeys(grid.attack)) == study.ATTACKS
    assert (grid.after[grid.attack.isin(study.GRADIENT)] == 0).all()
    assert (grid["agree"] == grid.asked).all()
    net, noisy = groups["tanh"]["a"], np.clip(x + oracles.RNG(5).choice([-EPSILON, EPSILON], x.shape), 0, 1)
    chosen = net.classify(rounded(x)) == labels
    row = grid[(grid.attack == "noise") & (grid.net == "a")].iloc[0]
    assert row.before == np.mean(net.classify(noisy[chosen]) != labels[chosen])
    assert row.after == np.mean(net.classify(rounded(noisy[chosen])) != labels[chosen])
    assert row.asked == chosen.sum()


def test_attacks_without_a_limit(toy):
    groups, x, labels = toy
    one = {"tanh": {"a": groups["tanh"]["a"]}}
    found = study.unlimited(oracles.RNG(0), one, {"a": None}, x, labels, [LEVELS], x, first=8).set_index("attack")
    assert found.length[study.NEAREST] <= found.length["stretched"]
    assert found.fooled[study.NEAREST] == found.fooled["stretched"]
    assert found.fooled[study.GREEDY] == found.fooled["greedy on f"]
    assert found.length[study.GREEDY] <= found.length["greedy on f"]
    assert found.off.max() <= 0.5
    assert (found["agree"] == found.asked).all()
    ends = study.extremes(found.reset_index(), LEVELS)
    assert ends["rounded_low"] == ends["rounded_high"] == found.fooled[study.BEHIND]


def test_the_picture_shows_changes_of_one_image(toy):
    groups, x, labels = toy
    found = study.copies(oracles.RNG(0), groups["tanh"]["a"], LEVELS, x, labels, x, epsilon=EPSILON, steps=3)
    image, straight, *_ = found.values()
    assert len(found) == 6
    assert (image == x).all(axis=(1, 2)).any()
    assert np.abs(straight - image).max() <= EPSILON + 1e-12


def test_breaking_is_counted_on_means_and_without_noise():
    rows = [("PGD", 0.2, 1.0, 0.4), ("PGD", 0.2, 1.0, 0.8), ("PGD", 0.3, 1.0, 0.4), ("noise", 0.3, 1.0, 0.0)]
    grid = pd.DataFrame(rows, columns=["attack", "epsilon", "before", "after"]).assign(kind="tanh", levels=LEVELS)
    assert study.breaks(grid, 0.5).to_numpy().tolist() == [["PGD", 1, 1, 0, 1]]
    cells = study.means(grid).set_index(["attack", "epsilon"])
    assert tuple(cells.loc["PGD", 0.2][["after", "most", "above"]]) == (pytest.approx(0.6), 0.8, False)


def test_ranges_are_over_networks():
    frame = pd.DataFrame({"kind": ["b", "b", "a"], "levels": [4, 4, 4], "share": [0.2, 0.1, 0.3]})
    assert study.ranges(frame, ["kind"], "levels", "share").to_numpy().tolist() == [["b", "10% to 20%"], ["a", "30%"]]
