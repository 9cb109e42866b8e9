"""Both sides at toy size: no proof beyond an attack, exact ends where there are some, and made-up tables summed up."""

import numpy as np
import pandas as pd
import pytest

from bea import attack
from bea.bounds import local_bound
from bea.numerics.arrays import image_norms
from oracles import RNG, random_images, random_network
from studies import both_sides as study

MARGIN = 1e-6


@pytest.fixture(scope="module")
def nets():
    return {"affine-0": random_network(RNG(1)), "tanh-0": random_network(RNG(2), [(5, "tanh")])}


def test_every_attempt_is_enclosed(nets):
    """Table 2: printed values beside their pair; of an affine network proof and attack are one number."""
    x = random_images(RNG(3), nets["tanh-0"], 2)
    x, source, target = np.repeat(x, 2, axis=0), np.array([7, 7, 8, 8]), np.array([0, 1, 0, 1])
    printed = {7: {0: 0.1, 1: 0.2}, 8: {0: 0.3, 1: 0.4}}
    table = study.table_two(nets, x, source, target, printed, margin=MARGIN)
    assert table.printed.tolist() == [0.1, 0.2, 0.3, 0.4] * 2
    assert (table.proved <= table.converged * (1 + 1e-9)).all()
    affine = table[table.net == "affine-0"]
    assert (affine.converged > 0).any()
    np.testing.assert_allclose(affine["first"], affine.converged, rtol=1e-14)
    np.testing.assert_allclose(affine.proved, affine.converged, rtol=1.2e-5)  # the attack asks for a margin


def test_every_part_is_enclosed(nets):
    """The attack is the least over all classes, the proof below it, and all weights need no more than one layer."""
    x = random_images(RNG(4), nets["tanh-0"], 5)
    table = study.enclosed(nets, x, margin=MARGIN, candidates=3)
    assert list(dict.fromkeys(table.part[table.net == "tanh-0"])) == [
        "layer 1", "layer 2", "all weights", "weights and input",
    ]  # fmt: skip
    assert (table.share <= 1 + 1e-9).all()
    assert table.share.median() > 0.9
    net, upper = nets["tanh-0"], table[table.net == "tanh-0"].pivot(index="image", columns="part", values="upper")
    least = np.full(5, np.inf)
    for target in range(net.classes):
        found = attack(net, x, np.full(5, target), (2,), method="converged", margin=MARGIN)
        least = np.where(net.classify(x) == target, least, np.minimum(least, np.sqrt(found.objective)))
    np.testing.assert_allclose(upper["layer 2"], least, rtol=1e-9)
    assert (upper["weights and input"] <= upper["all weights"] * (1 + 1e-6)).all()
    assert (upper["all weights"] <= upper[["layer 1", "layer 2"]].min(axis=1) * (1 + 1e-6)).all()


def test_the_weak_layer_is_proved_where_no_other_can_do_with_less():
    """Image 0: proved; image 1: the other layer's bound is too low; the network of one layer is left out."""
    rows = [("a", 0, "layer 1", 1.0, 0.9), ("a", 0, "layer 2", 3.0, 2.0), ("a", 0, "all weights", 0.5, 0.5),
            ("a", 1, "layer 1", 1.0, 0.9), ("a", 1, "layer 2", 3.0, 0.8), ("b", 0, "layer 1", 1.0, 1.0)]  # fmt: skip
    (row,) = study.weakest(pd.DataFrame(rows, columns=["net", "image", "part", "upper", "lower"])).itertuples()
    assert (row.net, row.part, row.images, row.proved, row.factor) == ("a", "layer 1", 2, 1, pytest.approx(1.4))


def test_attacks_are_measured_by_what_is_proved(nets):
    """All images classified as labelled, no attack shorter than the proof; without pieces it is the tight bound."""
    net = nets["tanh-0"]
    x = random_images(RNG(5), net, 6)
    labels = net.classify(x)
    labels[1] = (labels[1] + 1) % net.classes
    table = study.shortest({"tanh-0": net}, x, labels, {"tanh-0": 0.01}, nodes=50, margin=MARGIN)
    assert table.groupby("attack").image.apply(list).tolist() == [[0, 2, 3, 4, 5]] * 4
    assert not (table.over < 0).any()
    own = table[table.attack == "backward error"]
    assert own.optimal.all()
    assert (own.length == own.upper).all()
    plain = study.shortest({"tanh-0": net}, x, labels, {"tanh-0": 0.01}, nodes=0, margin=MARGIN)
    radius = local_bound(net, x)[0][plain.image[:5]]
    np.testing.assert_allclose(plain.lower[:5], radius, rtol=1e-8)
    measured = study.attacks_measured(table).set_index("attack")
    assert (measured.images == 5).all()
    assert measured.optimal["backward error"] == 5
    assert measured.most["L-BFGS"] > measured.most["backward error"]


def test_first_layers_are_settled_where_the_tight_bound_is_not():
    """Shares of the shortest change known, a row an image; branching is never below the tight bound."""
    net = random_network(RNG(8), [(8, "relu"), (6, "relu")], 3, (4,))
    table = study.first_layers({"relu-0": net}, random_images(RNG(9), net, 5), gap=0.01, nodes=40)
    assert list(table.columns) == ["kind", "plain", "lower", "optimal"]
    assert (table.kind == "relu").all()
    assert len(table) == 5
    assert (table.plain <= table.lower + 1e-9).all()
    assert (table.optimal == (table.lower >= 0.99)).all()
    assert table.optimal.sum() > (table.plain > 0.99).sum()


def test_what_is_enclosed_is_summed_up():
    """Quantiles by part, with a key for prose; means and counts of the one attack that the enclosure starts from."""
    shares = pd.DataFrame({"net": "tanh-tanh-0", "part": "all weights", "share": np.linspace(0.5, 1.0, 101)})
    (row,) = study.middles(shares).itertuples()
    assert (row.key, row.low, row.median, row.high) == (
        "tanh_tanh_all_weights",
        *map(pytest.approx, (0.525, 0.75, 0.975)),
    )
    rows = [
        ("relu-0", 0, "backward error", 1.0, 0.9, 1.0, 5, False),
        ("relu-0", 1, "backward error", 2.0, 1.5, 1.6, 9, False),
        ("relu-0", 0, "L-BFGS", 3.0, 0.9, 1.0, 5, False),
    ]
    columns = ["net", "image", "attack", "length", "lower", "upper", "nodes", "optimal"]
    (row,) = study.settled(pd.DataFrame(rows, columns=columns), 0.01).itertuples()
    assert (row.kind, row.images, row.optimal, row.most, row.shorter) == ("relu", 2, 0, 9, 1)
    assert (row.lower, row.upper, row.apart) == pytest.approx((1.2, 1.3, 1 / 12))


def test_lengths_are_of_changes_that_win(nets):
    """The length of every attack is that of a change after which the class is another."""
    net, x = nets["affine-0"], random_images(RNG(6), nets["affine-0"], 4)
    table = study.shortest({"affine-0": net}, x, net.classify(x), {"affine-0": 0.01}, nodes=0, margin=MARGIN)
    for key, run in study.RIVALS.items():
        found = run(net, x, net.classify(x), margin=MARGIN)
        expected = np.where(net.classify(x + np.nan_to_num(found.dx)) != net.classify(x), image_norms(found.dx), np.nan)
        np.testing.assert_allclose(table.length[table.attack == key], expected, rtol=1e-12)
