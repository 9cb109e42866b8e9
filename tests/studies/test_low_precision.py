"""Low precision at toy size: nothing beyond its bounds, no certified flip, and summaries against plain counting."""

import numpy as np
import pandas as pd
import pytest

from bea import attack, backward_error
from bea.precision import low_precision
from oracles import RNG, random_images, random_network
from studies import low_precision as study

FORMATS = ["float16", "bfloat16/float32", "float8_e5m2/float32", "int8"]


@pytest.fixture(scope="module")
def nets():
    return {"affine": random_network(RNG(1)), "tanh": random_network(RNG(2), [(5, "tanh")])}


@pytest.fixture(scope="module")
def x(nets):
    return random_images(RNG(3), nets["tanh"], 40)


@pytest.fixture(scope="module")
def table(nets, x):
    return study.decisions(nets, x, FORMATS)


def test_decisions_are_those_of_the_pass(nets, x, table):
    """Flips, backward and forward errors of one format against the functions of the package, image by image."""
    own = table[(table.net == "tanh") & (table.format == "float8_e5m2/float32")]
    net, found = nets["tanh"], low_precision(nets["tanh"], x, "float8_e5m2", "float32")
    np.testing.assert_array_equal(own.flipped, found.classes != net.classify(x))
    np.testing.assert_allclose(own.backward, np.sqrt(backward_error(net, x, found.logits).objective), rtol=1e-9)
    forward = np.linalg.norm(found.logits - net(x), axis=1) / np.linalg.norm(net(x), axis=1)
    np.testing.assert_allclose(own.forward, forward, rtol=1e-12)
    assert (own.forward <= own.condition * own.backward * (1 + 1e-9)).all()


def test_the_distance_is_the_smallest_first_order_attack(nets, x, table):
    """Over all targets, with a margin of nearly nothing; the proof is below the converged attack."""
    for name, net in nets.items():
        sizes = {"first-order": [], "converged": []}
        for target, method in ((target, method) for target in range(net.classes) for method in sizes):
            found = attack(net, x, np.full(len(x), target), margin=1e-9, method=method)
            sizes[method].append(np.where(net.classify(x) == target, np.inf, np.sqrt(found.objective)))
        own = table[(table.net == name) & (table.format == FORMATS[0])]
        np.testing.assert_allclose(own.distance, np.min(sizes["first-order"], axis=0), rtol=1e-6)
        assert (own.proved <= np.min(sizes["converged"], axis=0) * (1 + 1e-9)).all()


def test_no_certified_decision_flips_and_nothing_is_beyond_the_worst_case(nets, table):
    sums = study.overview(table, study.limits(nets, FORMATS))
    assert sums.broken.sum() == 0
    assert sums.beyond.max() == 0.0
    assert sums.flipped.sum() > 0
    assert 0 < sums.certified.sum() < sums.images.sum()
    assert (sums["median"] <= sums.largest).all()
    one = table[(table.net == "affine") & (table.format == "int8")]
    row = sums[(sums.net == "affine") & (sums.format == "int8")].iloc[0]
    assert (row.images, row.flipped, row.certified) == (40, one.flipped.sum(), one.certified.sum())


def test_random_layers_keep_to_both_bounds():
    found = study.over_dimension([10, 200], ["float16"], layers=3, seed=0)
    assert found.groupby("dimension").size().tolist() == [3, 3]
    assert (found.backward <= found.likely).all()
    assert (found.likely <= found.worst).all()
    assert (found[found.dimension == 200].likely < 0.8 * found[found.dimension == 200].worst).all()


def test_backward_errors_are_enclosed(nets, x):
    """One affine layer: all three numbers are one; two layers: the proof below what is found."""
    found = study.enclosed(nets, x[:10], ["float16", "bfloat16"])
    affine, tanh = (found[found.net == name] for name in nets)
    np.testing.assert_allclose(affine.linear, affine.converged, rtol=1e-9)
    np.testing.assert_allclose(affine.proved, affine.converged, rtol=1e-6)
    assert (tanh.proved <= tanh.converged).all()
    sums = study.judged(found)
    assert sums.logits.tolist() == [20, 20]
    assert (sums.broken == 0).all()
    assert (sums.found == 1).all()
    assert sums.gap.max() < 0.05


def test_other_parts_are_enclosed_too(nets, x):
    """To explain logits, two things together need no more than one of them."""
    found = study.by_part(nets["tanh"], x[:8], ["bfloat16"]).set_index("on")
    assert (found.proved <= found.converged).all()
    assert found.converged["both"] <= min(found.converged["weights"], found.converged["input"])
    assert (found.proved > 0.9 * found.converged).all()


def test_the_area_counts_pairs():
    """The share of pairs in which the positive has the higher score, a tie counting half; random scores: one half."""
    rng = RNG(0)
    score, positive = rng.integers(0, 8, 60).astype(float), rng.random(60) < 0.3
    pairs = score[positive][:, None] - score[~positive]
    area, low, high = study.area_under_roc(score, positive)
    assert area == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    assert low < 0.5 < high
    shifted = study.area_under_roc(score + 10.0 * positive, positive)
    assert shifted == (1.0, 1.0, 1.0)


def test_flips_are_predicted_where_there_are_enough():
    """Made up: rounding flips all whose distance is small; a format with few flips is left out."""
    distance = np.linspace(1.0, 2.0, 40)
    plain = {"net": "a", "image": np.arange(40), "distance": distance, "lead": distance}
    many = pd.DataFrame(plain | {"format": "m", "flipped": distance < 1.2, "backward": 1.1})
    few = pd.DataFrame(plain | {"format": "f", "flipped": distance < 1.05, "backward": 0.1})
    found = study.predictors(pd.concat([many, few]))
    assert found.format.unique().tolist() == ["m"]
    assert (found.area == 1.0).all()
    bins = study.flips_by_ratio(pd.concat([many, few]), bins=1)
    assert bins.images.sum() == 80
    assert bins.flipped.sum() == many.flipped.sum() + few.flipped.sum()
    bits = study.in_bits(many)
    assert dict(zip(bits.what, bits.bits, strict=True)) == {
        "attack": pytest.approx(-np.log2(1.5)), "m": pytest.approx(-np.log2(1.1)),
    }  # fmt: skip


def test_more_components_again_cost_more_and_help(nets, x):
    found = study.recomputed(nets["tanh"], x, "bfloat16", [1.0, 5.0])
    assert found.threshold.tolist() == [np.inf, 5.0, 1.0, 0.0]
    assert (np.diff(found.cost) >= 0).all()
    assert found.cost.iloc[0] == 0.0
    assert found.backward.iloc[-1] < found.backward.iloc[0]
