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


def test_summaries():
    """Medians, failures and shares of a table made by hand; the nearest class of the most and least fragile image."""
    rows = pd.DataFrame({
        "net": "a-0", "image": [0, 0, 1, 1], "source": [3, 3, 5, 5], "target": [1, 2, 1, 2],
        "lead": [1.0, 2.0, 3.0, 4.0], "first": 1.0, "won": [True, False, False, False],
        "converged": [1.0, 2.0, 3.0, np.nan], "proved": 1.0,
        "layer 1": 0.75, "layer 2": 0.25,
    })  # fmt: skip
    (row,) = study.summary(rows).itertuples()
    assert (row.attacks, row.failed, row.first, row.excess, row.median) == (4, 1, 0.25, 2.0, 2.0)
    assert (row.layers, row.rank) == ("75%, 25%", pytest.approx(1.0))
    assert study.by_pair(rows).loc[3, [1, 2]].tolist() == [1.0, 2.0]
    assert study.by_pair(rows).shape == (10, 10)
    assert study.extremes(rows, 1)[["image", "target"]].to_numpy().tolist() == [[0, 1], [1, 1]]
