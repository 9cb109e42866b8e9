"""One step along the sign of the gradient: counts, pictures, contrasts and laws at toy size."""

import numpy as np
import pandas as pd
import pytest

from bea.attacks import fgsm
from oracles import random_images, random_network
from studies import first_hundred_images as study

RNG = np.random.default_rng
GRID = [0.0, 0.05, 0.3, 1.0]


@pytest.fixture
def case():
    """Two networks 6-5-4, thirty images, and labels that both give to most."""
    nets = {
        f"scratch-{width}-1-{seed}": random_network(RNG(seed), [(5, "tanh")]) for width in (64, 128) for seed in (0, 1)
    }
    x = random_images(RNG(7), nets["scratch-64-1-0"], 30)
    labels = nets["scratch-64-1-0"].classify(x)
    labels[:3] = (labels[:3] + 1) % 4
    return nets, x, labels


def test_counts_are_those_of_the_perturbed_images(case):
    """Image by image through the whole network, in both readings, with the best confidence."""
    nets, x, labels = case
    frame = study.follow(nets, x, labels, np.array(GRID))
    assert len(frame) == len(nets) * len(GRID)
    net, wrong = nets["scratch-64-1-1"], nets["scratch-64-1-1"].classify(x) != labels
    for k, epsilon in enumerate(GRID):
        row = frame[(frame.width == 64) & (frame.seed == 1)].iloc[k]
        sure = net.activate(net(x + epsilon * fgsm(net, x, labels, 1.0).dx))
        fooled = sure.argmax(axis=1) != labels
        assert (row["all"], row.new, row.repaired) == (fooled.sum(), (fooled & ~wrong).sum(), (wrong & ~fooled).sum())
        assert row.new_best == pytest.approx(max([0.0, *sure.max(axis=1)[fooled & ~wrong]]))
    assert study.table_of(frame, 128, "new").shape == (2, 4)
    assert study.counts_agree(nets, x, labels, study.follow(nets, x, labels, np.array([0.3, 0.05])))


def followed(new, best=0.5, width=64, epsilons=(0.02, 0.01)):
    """What `follow` would find for networks (rows) whose new counts are given."""
    rows = [
        (width, s, e, n, n, best * (n > 0)) for s, own in enumerate(new) for e, n in zip(epsilons, own, strict=True)
    ]
    return pd.DataFrame(rows, columns=["width", "seed", "epsilon", "all", "new", "new_best"]).assign(all_best=best)


def test_a_row_fits_within_our_range():
    """A confidence counts over the networks that have a new image."""
    ours = followed([[4, 0], [6, 0]])
    said = {"rows": [(0.02, 1, 5, 0.5), (0.01, 0, 1, 0.5)], "visible_epsilons": [0.02]}
    table = study.beside_report(ours, ours, 200, 64, said)
    assert table.new_counts.tolist() == [True, False]
    assert table.new_confidences.tolist() == [True, False]
    assert table.new_networks.tolist() == [2, 0]
    assert table.rate.tolist() == [2.5, 0.0]
    assert study.fits_of(table)["new"] == {"counts": 1, "confidences": 1, "both": 1, "each": [True, False]}
    chances = study.chances(table, ours, 200, 100, 0.9)
    assert chances["none"] == pytest.approx(0.9**100)
    assert chances["tail"][1] == 0.0


def test_networks_of_equal_seed_are_compared():
    both = pd.concat([followed([[4, 1], [6, 1], [9, 9]]), followed([[3, 1], [2, 1]], width=128)])
    table = study.fewer_when_wider(both, both, 50)
    assert table.epsilon.tolist() == [0.02, 0.01]
    assert table.fewer.tolist() == [2.5, 0.0]
    assert table.spread[0] == pytest.approx(np.std([1, 4], ddof=1))
    assert table.fewer_whole[0] == pytest.approx(5.0)
    assert table.pairs.tolist() == [2, 2]


def test_shares_after_longer_training(case):
    nets, x, labels = case
    frame = study.longer_training(nets, x, labels, epochs=[1], first=10, epsilon=0.3)
    net = nets["scratch-64-1-0"]
    new = (net.classify(x + fgsm(net, x, labels, 0.3).dx) != labels) & (net.classify(x) == labels)
    row = frame.iloc[0]
    assert (row.epochs, row.seed, row.wrong_first, row.new_first) == (1, 0, 3, new[:10].sum())
    assert (row.wrong, row.new, row.new_of_correct) == (0.1, new.mean(), new.sum() / 27)


def test_the_smallest_step_is_where_the_class_changes(case):
    nets, x, labels = case
    steps = study.smallest_steps(nets, x, labels, {"first": 5, "second": 0}, [0.9, 0.1])
    row, grid, scan = steps.iloc[0], np.linspace(0, 1, 1001), {}
    for name, net in nets.items():
        moved = x[5] + grid[:, None, None] * fgsm(net, x[5:6], labels[5:6], 1.0).dx
        wrong = grid[net.classify(moved) != labels[5]]
        scan[name] = min([*wrong, np.inf])
    first = np.array(list(scan.values()))
    np.testing.assert_allclose(
        [row.lowest, row["median"], row.highest], [first.min(), np.median(first), first.max()], atol=0.0011
    )
    assert row.fooled == np.sum((first > 0) & (first <= 0.9)) > 0
    assert scan[row.easiest] == first[first > 0].min()
    assert study.fooled_most(steps.assign(fooled=[1, 2])).counted == "second"
    assert study.fooled_most(steps.assign(fooled=1, fooled_2=1)).counted == "first"


def test_pictures_show_the_step(case):
    nets, x, labels = case
    net = nets["scratch-64-1-0"]
    found = study.stepped(net, x[4:6], labels[4:6], [0.0, 0.3])
    np.testing.assert_array_equal(found.after[0], x[4])
    np.testing.assert_allclose(found.after[1], x[5] + fgsm(net, x[5:6], labels[5:6], 0.3).dx[0])
    assert found.now[1] == net.classify(found.after[1:])[0]
    new, usual = study.newly_fooled(net, x, labels, 0.3, most=2)
    assert len(new.was) <= 2
    assert (new.was != new.now).all()
    assert usual == pytest.approx(np.median(net.activate(net(x)).max(axis=1)))


def test_visible_steps_reach_their_contrast():
    frame = study.visible_steps([0.01, 0.05])
    assert len(frame) == 18
    for row in frame.itertuples():
        at = study.GREYS[row.grey], study.ROOMS[row.room]
        assert study.contrast(*at, row.epsilon) >= row.contrast > study.contrast(*at, row.epsilon - 1e-6)


def test_falls_are_found_within_and_beyond():
    frame = followed([[5, 4, 4, 1]], epsilons=(0.0, 0.1, 0.2, 0.3))
    table = study.falls({"whole": frame}, 0.2).set_index("curve")
    assert table.loc["new", ["within", "beyond"]].tolist() == pytest.approx([1, 3])
    assert table.loc["all_best", ["within", "beyond"]].tolist() == [0, 0]
    assert len(table.groupby(["width", "seed"])) == 1


def test_the_law_of_linear_models():
    frame, excess = study.linear_models([10, 1000], trials=20, epsilon=0.01, seed=0)
    w = RNG(0).standard_normal(10)
    assert frame.change[0] == pytest.approx(0.01 * np.abs(w).sum())
    assert frame.error.max() < 1e-12
    assert excess < 1e-12
    assert (frame.largest <= frame.change).all()
    assert study.growth_rate([1, 10], [2.0, 200.0], 0.0) == pytest.approx(2.0)
    assert study.growth_rate([1], [2.0], 0.5) == 0.5
