"""The studies of the smallest ε, at toy size."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from bea import Activation, Dense, Network
from bea.attacks.loss import loss_gradient
from oracles import random_case, random_network
from studies import smallest_epsilon as study

FINE = np.linspace(0, 1, 20001)


@cache
def toy():
    """Two networks of three layers, images and labels."""
    net, x, labels, _ = random_case(3, "two", n=30, input_range=(0.0, 1.0))
    return {"scratch-64-1-0": net, "scratch-64-1-1": random_case(4, "two", n=2)[0]}, x, labels


def answers(net, image, aim, away, clip):
    """On a fine grid of a ray, whether the class is the aim."""
    gradient = np.sign(loss_gradient(net, image[None], np.array([aim])))
    moved = image + FINE[:, None, None] * (1 if away else -1) * gradient
    return net.classify(np.clip(moved, 0, 1) if clip else moved) == aim


def test_three_methods_against_a_fine_grid():
    nets, x, labels = toy()
    found = {
        name: study.smallest_steps(nets, x, labels, tolerance=1e-6, method=name, step=0.01)
        for name in ("scan", "bisection", "exact")
    }
    expected = [
        [FINE[(~right).argmax()] if (~right).any() else np.nan for right in runs]
        for runs in (
            [answers(net, image, label, True, False) for image, label in zip(x, labels, strict=True)]
            for net in nets.values()
        )
    ]
    np.testing.assert_allclose(found["exact"].epsilon, expected, rtol=0, atol=6e-5)
    checks = study.agreement(found, 0.01, 1e-6)
    assert checks["pairs"] == 60
    assert checks["never"] == np.isnan(expected).sum()
    assert study.by_method(found).method.tolist() == ["scan", "bisection", "exact"]


def test_shares_by_hand():
    row = study.shares(np.array([[0.0, 0.01, 0.02, 0.4]]), 0.01, 0.1).iloc[0]
    assert (row.wrong, row.near, row.near_all, row.fooled) == (1, 0.25, 0.5, 0.75)
    assert row.near_right == pytest.approx(1 / 3)
    assert row["mean"] == pytest.approx(0.43 / 3)
    assert row["std_all"] == pytest.approx(np.std([0, 0.01, 0.02, 0.4]))


def test_published_points_and_the_band():
    wrong, near = {"misclassified": 1, "images": 4}, {"epsilon": 0.1, "share": 1 / 3}
    curves = study.distribution_curves(
        np.array([[0.0, 0.05, 0.2, 0.3]]), 0.4, wrong, {"largest": 0.35}, near, {"epsilon": 0.25, "share": 0.95}
    )
    np.testing.assert_allclose(curves.points[1], (0.1, 0.5))
    assert curves.distance == pytest.approx(0.95 - 0.75)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("away", [False, True])
def test_odd_rays_are_those_of_a_fine_grid(clip, away):
    """A count of intervals of success, and the changes themselves."""
    nets, x, labels = toy()
    aim = labels if away else (labels + 1) % 4
    expected = []
    for i, image in enumerate(x):
        won = answers(nets["scratch-64-1-0"], image, aim[i], away, clip) != away
        starts = np.flatnonzero(np.diff(won.astype(int), prepend=0) == 1)
        returns = (away and won.any() and not won[starts[0] :].all()) or len(starts) > 1
        expected += [i] * bool(returns)
    odd, unresolved = study.changes_along("n", nets["scratch-64-1-0"], x, aim, clip=clip, away=away)
    assert ([ray.image for ray in odd], unresolved) == (expected, 0)
    for ray in odd:
        net = nets["scratch-64-1-0"]
        just = np.concatenate([ray.places - 1e-7, ray.places + 1e-7])
        before, after = (net.classify(ray.at(net, x, just)) == ray.aim).reshape(2, -1)
        assert (before != after).all()


def test_drawn_rays_and_their_stretches():
    nets, x, labels = toy()
    ray = study.OddRay("scratch-64-1-0", 2, True, True, int(labels[2]), True, np.array([0.2, 0.4]))
    assert ray.edges() == [0.2, 0.4, 1.0]
    images, titles = study.first_stretches(nets, [ray], x, labels)
    np.testing.assert_allclose(images, ray.at(nets[ray.net], x, [0.3]), rtol=1e-12)
    assert titles[0].endswith("0.20–0.40")
    lead = study.leads(nets, [ray], x, FINE[::1000])
    classes = nets[ray.net].classify(ray.at(nets[ray.net], x, FINE[::1000]))
    np.testing.assert_array_equal(lead[0] > 0, classes == labels[2])


def test_networks_take_part_with_their_own_numbers_of_images():
    net = random_network(np.random.default_rng(0), [(5, "tanh")], 10, (2, 3), input_range=(0.0, 1.0))
    x, labels = np.random.default_rng(1).random((30, 2, 3)), np.arange(30) % 10
    nets = {"a-0": net, "b-0": net, "rbf-0": net}
    counts, odd = study.interval_hypothesis(nets, x, labels, others=20, clipped=10, slow=5)
    assert counts.rays.tolist() == [30] * 4 + [20, 20, 10, 10] + [5] * 4
    assert counts.odd.sum() == len(odd)
    assert study.returns({"a-0": net}, x, labels).to_numpy().tolist() == [[counts.odd[0], counts.unresolved[0]]]
    table = study.interval_table(pd.DataFrame({
        "net": ["rbf-0"] * 4, "clip": [False, False, True, True], "away": [True, False, True, False],
        "rays": 9, "odd": [1, 2, 3, 4], "unresolved": 0,
    }))  # fmt: skip
    assert table.iloc[0].tolist() == ["radial basis", "1 of 9", "3 of 9", "2 of 9", "4 of 9"]


def test_names_and_turns():
    assert study.title_of("scratch-64-12-3") == "64 smooth ReLUs twice, 12 epochs"
    assert study.title_of("scratch-64-1-3") == "64 smooth ReLUs twice, 1 epoch"
    assert study.title_of("tanh-tanh-0") == "tanh-tanh"
    nets = dict.fromkeys(["a-1-0", "a-1-1", "b-0"])
    assert list(study.first_of_each(nets)) == ["a-1-0", "b-0"]
    rays = [study.OddRay(name, i, False, True, 0, True, np.zeros(2)) for i, name in enumerate(["a", "a", "b", "a"])]
    assert [ray.image for ray in study.in_turn(rays, 3)] == [0, 2, 1]


def test_robustness_along_epochs_and_widths():
    names = ["scratch-64-1-0", "scratch-64-3-0", "scratch-128-1-0"]
    epsilon = np.array([[0.0, 0.005, 0.1], [0.02, 0.005, 0.1], [0.0, 0.02, 0.1]])
    networks = study.robustness(names, epsilon, 0.01)
    longer, wider = study.medians(networks)
    assert (longer.epochs.tolist(), wider.width.tolist()) == ([1, 3], [64, 128])
    change = study.gains(longer, wider)
    assert change["gain"] == pytest.approx(1 / 3)
    assert (change["fooled_first"], change["wider"]) == (0.5, 0.0)
    assert change["mean_first"] == pytest.approx(0.0525)


def test_an_image_that_returns_is_found_and_confirmed_in_keras():
    """The lead is 1/2 - 5ε + 10 max(0, ε - 1/4): lost at 0.1, won back at 0.4; a change more is not confirmed."""
    layers = [
        Dense(np.array([[1.0, 0.1], [1.0, -0.25]])),
        Activation("relu"),
        Dense(np.array([[-5.0, 10, 1], [0, 0, 0]])),
    ]
    net, x, label = Network(layers, (1,), "softmax", (0.0, 1.0)), np.zeros((1, 1)), np.array([0])
    odd, unresolved = study.changes_along("n", net, x, label, clip=False, away=True)
    assert unresolved == 0
    np.testing.assert_allclose(odd[0].places, [0.1, 0.4], atol=1e-6)
    lie = replace(odd[0], places=np.array([0.1, 0.4, 0.7]), clip=True)
    found = study.in_keras({"n": net}, {"n": None}, [*odd, lie], x)
    assert found.confirmed.tolist() == [True, False]
    assert found.clipped.tolist() == [False, True]
