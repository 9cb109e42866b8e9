"""Changes of weights at toy size: an affine network is exact, all else is enclosed; made-up tables summed up."""

import numpy as np
import pandas as pd
import pytest

from bea import attack
from oracles import RNG, random_images, random_network
from studies import weights_at_scale as study


@pytest.fixture(scope="module")
def table():
    """Two networks, of which the second gets fewer images; one label is wrong."""
    nets = {"affine-0": random_network(RNG(1)), "tanh-0": random_network(RNG(2), [(5, "tanh")])}
    x = random_images(RNG(3), nets["tanh-0"], 6)
    labels = nets["tanh-0"].classify(x)
    labels[1] = (labels[1] + 1) % 4
    found = study.changes(nets, x, labels, images={"affine-0": 6, "tanh-0": 3}, margin=1e-6)
    return nets, x, labels, found


def test_every_image_meets_every_other_class(table):
    """Rows of the images that are right; sizes are those of the attack, above the proof; shares add up to one."""
    nets, x, labels, found = table
    own = found[found.net == "tanh-0"]
    assert own.image.tolist() == [0, 0, 0, 2, 2, 2]
    assert (own.source == labels[own.image]).all()
    assert (own.target != own.source).all()
    best = attack(nets["tanh-0"], x[own.image], own.target.to_numpy(), method="converged", margin=1e-6)
    np.testing.assert_allclose(own.converged, np.sqrt(best.objective), rtol=1e-12)
    assert (found.proved <= found.converged * (1 + 1e-9)).all()
    np.testing.assert_allclose(own[["layer 1", "layer 2"]].sum(axis=1), 1.0, rtol=1e-12)
    logits = nets["tanh-0"](x[own.image])
    np.testing.assert_allclose(own.lead, logits[range(6), own.source] - logits[range(6), own.target], rtol=1e-9)


def test_blocks_of_images_make_the_same_table(table, monkeypatch):
    """However many images go at a time, and when more are asked for than there are."""
    nets, x, labels, found = table
    monkeypatch.setattr(study, "BLOCK", 4)
    again = study.changes(nets, x, labels, images={"affine-0": 9, "tanh-0": 3}, margin=1e-6)
    pd.testing.assert_frame_equal(again, found, rtol=1e-12)


def test_of_an_affine_network_all_three_are_one(table):
    """First order, converged and proved."""
    own = table[3].query("net == 'affine-0'")
    np.testing.assert_allclose(own.converged, own["first"], rtol=1e-9)
    np.testing.assert_allclose(own.proved, own.converged, rtol=2e-5)
    assert own.won.all()


@pytest.fixture(scope="module")
def made_up():
    """Four attacks on two images, one of which fails, and one of which is shorter than what is proved."""
    return pd.DataFrame({
        "net": "a-0", "image": [0, 0, 1, 1], "source": [3, 3, 5, 5], "target": [1, 2, 1, 2],
        "lead": [1.0, 2.0, 3.0, 4.0], "first": 1.0, "won": [True, False, False, False],
        "converged": [1.0, 2.0, 3.0, np.nan], "proved": [1.1, 1.0, 1.0, 1.0],
        "layer 1": 0.75, "layer 2": 0.25,
    })  # fmt: skip


def test_summaries(made_up):
    """Medians, failures and shares; the nearest class of the most and least fragile image."""
    (row,) = study.summary(made_up).itertuples()
    assert (row.images, row.attacks, row.failed, row.first, row.excess, row.median) == (2, 4, 1, 0.25, 2.0, 2.0)
    assert (row.above, row.layers, row.rank) == (1, "75%, 25%", pytest.approx(1.0))
    assert study.extremes(made_up, 1)[["image", "target"]].to_numpy().tolist() == [[0, 1], [1, 1]]


def test_pairs_of_classes(made_up):
    """A row a pair of classes that was met; as a grid, with blanks where none was."""
    pairs = study.by_pair(pd.concat([made_up, made_up]))
    assert pairs.attacks.tolist() == [2] * 4
    grid = study.grid(pairs)
    assert grid.shape == (10, 10)
    assert grid.loc[3, [1, 2]].tolist() == [1.0, 2.0]
    assert grid.notna().sum().sum() == 3


def test_sizes_in_the_order_of_the_lead_and_by_share():
    """Forty attacks whose size is twice their lead: two in each twentieth; shares count all of a network's alone."""
    lead = np.arange(40.0)[::-1]
    table = pd.DataFrame({"net": np.repeat(["a-0", "b-0"], 40), "lead": np.tile(lead, 2)})
    table["converged"] = np.where(table.net == "a-0", 2.0, 3.0) * table.lead
    bands = study.by_lead(table).query("net == 'a-0'")
    np.testing.assert_allclose(bands.lead, np.arange(0.5, 40.0, 2.0))
    np.testing.assert_allclose(bands["median"], 2.0 * bands.lead)
    np.testing.assert_allclose(bands.high - bands.low, 1.8)
    shares = study.by_share(table).query("net == 'b-0'")
    np.testing.assert_allclose(shares["size"], 117.0 * shares.share)
