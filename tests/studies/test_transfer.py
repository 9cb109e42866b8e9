"""The studies of transfer, at toy size."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_1samp

import oracles
from bea import Dense, Network
from bea.attacks import fgsm
from lab.datasets import Dataset
from studies import transfer as study

RNG = np.random.default_rng
BUDGET = {"slow_images": 3, "lenet_images": 5, "lenet_slow": 2}


@pytest.fixture(scope="module")
def case():
    """Three networks of four classes over 2×3 pixels, and images that they have right."""
    net, x, labels, _ = oracles.random_case(0, n=60, input_range=(0.0, 1.0))
    shifted = [
        Network(
            (*net.layers[:-1], Dense(net.layers[-1].matrix + shift * RNG(k).random(net.layers[-1].matrix.shape))),
            (2, 3),
            input_range=(0.0, 1.0),
        )
        for k, shift in enumerate((0.2, 0.4))
    ]
    nets = {"one layer": net, "tanh": shifted[0], "smooth ReLU": shifted[1]}
    chosen = study.right_everywhere({kind: {"0": net} for kind, net in nets.items()}, x, labels, 8)
    return nets, x[chosen], labels[chosen]


@pytest.fixture(scope="module")
def shown(case):
    """What was made, stretched, and shown."""
    nets, x, y = case
    raw = study.crafted(nets, x, y, epsilon=0.2, candidates=2, **BUDGET)
    changes = study.stretched(nets["tanh"], x, raw, 0.2)
    return raw, changes, study.shown(nets, dict.fromkeys(nets), x, y, changes)


def test_images_that_all_have_right(case):
    nets, x, y = case
    assert 1 < len(x) <= 8
    assert all((net.classify(x) == y).all() for net in nets.values())
    with pytest.raises(ValueError, match="no image that all networks have right"):
        study.right_everywhere({"one": {"0": nets["tanh"]}}, x, (y + 1) % 4, 3)


def test_changes_of_one_norm(case, shown):
    nets, x, y = case
    raw, changes, _ = shown
    np.testing.assert_array_equal(raw["FGSM", "tanh"], fgsm(nets["tanh"], x, y, 0.2, clip=True).dx)
    assert study.made(raw["L-BFGS", "tanh"]).sum() == 3
    for dx in changes.values():
        there = study.made(dx)
        np.testing.assert_allclose(np.linalg.norm(dx[there], axis=(1, 2)), 0.2)
    with pytest.raises(ValueError, match="attack: expected one of"):
        study.craft("guess", nets["tanh"], x, y, epsilon=0.1, candidates=1)


def test_answers_and_rates(case, shown):
    nets, x, y = case
    raw, changes, answers = shown
    assert (answers.fooled <= answers.claimed).all()
    own = answers[(answers.attack == "PGD") & (answers.source == "tanh") & (answers.victim == "one layer")]
    moved = (x + changes["PGD", "tanh"])[own.image]
    np.testing.assert_array_equal(own.claimed, nets["one layer"].classify(moved) != y[own.image])
    rates = study.rates_of(answers)
    row = rates[(rates.attack == "PGD") & (rates.source == "tanh") & (rates.victim == "one layer")].iloc[0]
    expected = binomtest(int(own.fooled.sum()), len(own)).proportion_ci(0.95, "wilson")
    assert (row.rate, row.low, row.high) == pytest.approx((own.fooled.mean(), *expected))
    grid = study.between(rates, "PGD", "rate", list(nets))
    assert grid[1, 0] == row.rate
    attacks = study.by_attack(answers, rates, raw, changes, len(x))
    across = rates[(rates.attack == "PGD") & (rates.source != rates.victim)]
    assert attacks["mean"]["PGD"] == pytest.approx(across.rate.mean())
    assert attacks.low["PGD"] <= attacks["mean"]["PGD"] <= attacks.high["PGD"]
    assert attacks.beats["PGD"] == sum(row.low > study.noise_top(rates)[row.victim] for row in across.itertuples())
    assert attacks.pairs["PGD"] == 6
    roles = study.roles(rates, nets)
    several = rates[(rates.source == "tanh") & (rates.victim != "tanh") & ~rates.attack.isin(["Newton", "saliency"])]
    assert roles.source["tanh"] == pytest.approx(several.rate.mean())
    beside = study.cosines(nets, x, y, rates)
    assert len(beside) == 6
    assert beside.cosine.between(-1, 1).all()
    assert -1 <= study.rank_correlations(beside)[0] <= 1


def test_norms_and_seeds(case, shown):
    nets, x, y = case
    raw, _, answers = shown
    sizes = study.by_size(nets, x, y, raw, [0.2], ["FGSM"])
    own = answers[(answers.attack == "FGSM") & (answers.source != answers.victim)]
    assert sizes["FGSM"].iloc[0] == pytest.approx(own.groupby(["source", "victim"]).claimed.mean().mean())
    minimal = study.at_own_size(nets, x, y, raw, "backward error")
    assert 0 <= minimal["low"] <= minimal["share"] <= minimal["high"] <= 1
    seeds = study.between_seeds({kind: {"0": net} for kind, net in nets.items()}, x, y, epsilon=0.2, norm=0.2)
    by_pair = own.groupby(["source", "victim"]).claimed.mean()
    np.testing.assert_allclose(seeds.rate, by_pair.loc[pd.MultiIndex.from_frame(seeds[["source", "victim"]])])


def test_halves_and_their_intervals():
    labels = RNG(0).integers(0, 10, 1040)
    x = (0.5 * np.eye(10)[labels, :9] + 0.3 * RNG(1).random((1040, 9))).reshape(1040, 3, 3).astype(np.float32)
    data = Dataset("clouds", "", x[:1000], labels[:1000], x[1000:], labels[1000:])
    options = {"passes": 40, "most": 1000, "images": 20, "epsilon": 0.1, "norm": 0.2}
    counts, accuracies = study.halves(data, data.x_test.astype(float), data.y_test, pairs=2, **options)
    assert len(accuracies) == 10
    assert len(counts) == 2 * (2 * 20 + 5)
    assert (counts.fooled <= counts.claimed).all()
    assert (counts.claimed <= counts["shown"]).all()
    rates = study.settings(counts)
    one = counts[
        (counts.attack == "PGD") & (counts.division == 0) & counts.source.isin([0, 1]) & counts.victim.isin([0, 1])
    ]
    row = rates[(rates.data == "same") & (rates.architectures == "one") & (rates.attack == "PGD")].iloc[0]
    assert row.rate == pytest.approx(one.fooled.sum() / one["shown"].sum())
    assert len(study.costs(rates)) == 4
    assert len(study.beside_noise(counts)) == 2 * 2 * 2 * 6  # divisions, attacks, ways, pairs of the two halves
    values = [0.1, 0.2, 0.4]
    mean, half = study.mean_interval(values)
    assert (mean - half, mean + half) == pytest.approx(tuple(ttest_1samp(values, 0).confidence_interval()))


def test_a_victim_that_only_answers():
    """One affine victim in the place of both; its substitutes are trained on images as small as they may be."""
    rng = RNG(0)
    own = rng.random((12, 16, 16))
    victims = {
        kind: oracles.random_network(rng, (), 10, (16, 16), input_range=(0.0, 1.0)) for kind in ("smooth ReLU", "LeNet")
    }
    y = victims["LeNet"].classify(own)
    found = study.substitutes(victims, own, seeds=1, rounds=1, step=0.1, training_steps=2)
    assert list(found) == [f"{victim}/{learner}/{way}/0" for victim, learner, way in study.CASES]
    assert all(list(one.queries) == [12, 24] for one in found.values())
    assert 0 <= study.taught(found, 1) <= 1
    box = study.through(found, victims, dict.fromkeys(victims), own, y, few=5)
    white = box[(box.victim == "LeNet") & (box.learner == "itself") & (box.attack == "FGSM") & (box.level == 0.2)].iloc[
        0
    ]
    moved = own[:5] + fgsm(victims["LeNet"], own[:5], y[:5], 0.2, clip=True).dx
    assert white.claimed == (victims["LeNet"].classify(moved) != y[:5]).sum()
    assert white["shown"] == 5
    ended = study.at_the_end(box, 1)
    noise = box[(box.learner == "noise") & (box.victim == "LeNet")].set_index("level").high
    conv = ended[ended.learner == "convolutional"]
    np.testing.assert_array_equal(conv.clear, conv.low.to_numpy() > noise[conv.level].to_numpy())
    assert len(study.falls(ended)) == 6
    best = ended[
        (ended.victim == "LeNet") & ended.learner.isin(["dense", "convolutional"]) & (ended.level == 0.3)
    ].share.max()
    assert study.best_of_all(ended)["LeNet"]["large"] == best
    agree = study.agreements(found, victims, own)
    assert study.of_case(agree, "LeNet", "dense", -1).shape == (1, 2)
