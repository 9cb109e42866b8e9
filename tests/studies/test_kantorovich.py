"""Enclosures at toy size: which image is measured how often, made-up tables that contradict, and the parabolas."""

import numpy as np
import pandas as pd
import pytest

from bea.bounds import distance_enclosure
from oracles import RNG, random_images, random_network
from studies import kantorovich as study

MARGIN = 1e-6


def toys():
    """Two networks of a kind, one of another, one that is wide."""
    kinds = {"tanh-0": 5, "tanh-1": 5, "other-0": 6, "other-1": 40}
    return {name: random_network(RNG(number), [(width, "tanh")]) for number, (name, width) in enumerate(kinds.items())}


def test_wide_networks_are_left_out():
    assert list(study.narrow(toys(), 6)) == ["tanh-0", "tanh-1", "other-0"]
    assert list(study.narrow(toys(), 5)) == ["tanh-0", "tanh-1"]


def test_the_first_network_of_a_kind_gets_all_images_and_others_a_few():
    """Lengths in their order, the tight bound for some, and classes that change where an end is guaranteed."""
    nets = study.narrow(toys(), 6)
    x, labels = random_images(RNG(5), nets["tanh-0"], 10), np.zeros(10, int)
    table = study.enclosures(nets, x, labels, few=3, proved=2, margin=MARGIN, candidates=3)
    assert table.groupby("net", sort=False).size().to_dict() == {"tanh-0": 10, "tanh-1": 3, "other-0": 10}
    assert table.groupby("net").tight.count().to_dict() == {"tanh-0": 2, "tanh-1": 2, "other-0": 2}
    np.testing.assert_array_equal(table.right[:10], nets["tanh-0"].classify(x) == 0)
    assert np.isfinite(table["ray upper"]).sum() >= 5
    for form in study.FORMS:
        assert (table[f"{form} lower"] <= table.newton * (1 + 1e-9)).all()
        assert (table.newton <= table[f"{form} upper"] * (1 + 1e-9)).all()
        np.testing.assert_array_equal(table[f"{form} became"], np.isfinite(table[f"{form} upper"]))
    found = distance_enclosure(nets["other-0"], x, margin=MARGIN, along_ray=True)
    np.testing.assert_array_equal(table["ray upper"][13:], found.upper)
    assert (table["ray h"] <= table["ball h"] * (1 + 1e-6)).mean() > 0.5


def made(**changes):
    """Two images of one network, one decided, with some columns changed."""
    columns = {"net": "a-0", "kind": "a", "newton": [1.0, 2.0], "attack": [1.1, 2.0], "tight": [0.9, 1.0]}
    for form in study.FORMS:
        columns |= {f"{form} lower": [0.8, 1.0], f"{form} upper": [1.5, np.inf], f"{form} became": [True, False]}
    return pd.DataFrame(columns | changes)


def test_what_contradicts_is_counted():
    """An attack beyond either end, a tight bound above one, and a guaranteed change that changes nothing."""
    row = study.decided(made()).iloc[0]
    assert (row["ball decided"], row["ball share"], row["ray outside"], row["ball against"], row["ray kept"]) == (
        1, 0.5, 0, 0, 0,
    )  # fmt: skip
    assert (row.least, row.middle, row.most) == pytest.approx((1.0, 1.05, 1.1))
    assert study.decided(made(attack=[1.6, 2.0])).iloc[0]["ball outside"] == 1
    assert study.decided(made(attack=[0.7, 2.0])).iloc[0]["ball outside"] == 1
    assert study.decided(made(attack=[np.inf, 2.0])).iloc[0]["ray outside"] == 1
    assert study.decided(made(tight=[1.6, 1.0])).iloc[0]["ray against"] == 1
    assert study.decided(made(**{"ray became": [False, False]})).iloc[0]["ray kept"] == 1


def test_the_majorant_has_its_roots_at_the_ends():
    """1 - s ∓ h s²/2 vanishes there; 1 at h = 0, and 2 for the upper end at ½."""
    h = np.linspace(0, 0.5, 11)
    lower, upper = study.majorant(h)
    np.testing.assert_allclose(1 - lower - h / 2 * lower**2, 0, atol=1e-14)
    np.testing.assert_allclose(1 - upper + h / 2 * upper**2, 0, atol=1e-14)
    assert (upper[0], lower[0], upper[-1]) == (1, 1, 2)


def test_the_example_has_one_rival_and_the_h_asked_for():
    lower, upper = study.majorant(0.3)
    rows = {"newton": [1.0, 1.0, 1.0, 1.0], "ball h": [0.3, 0.4, 0.41, 0.4], "ball lower": lower, "ball upper": upper}
    table = pd.DataFrame(rows)
    table.loc[1, "ball upper"] = np.inf
    assert study.example(table, 0.4).name == 0
    table.loc[2, ["ball lower", "ball upper"]] = study.majorant(0.41)
    assert study.example(table, 0.4).name == 2


def test_the_lead_stays_between_the_parabolas():
    """They touch it at the image, and the upper one vanishes where the change is guaranteed."""
    for seed in range(20):
        net = random_network(RNG(seed), [(5, "tanh")])
        x = random_images(RNG(seed + 50), net, 1)
        found = distance_enclosure(net, x, margin=MARGIN)
        if found.applies[0] and found.h[0] > 0.05:
            break
    line = study.along_gradient(net, x[0], margin=MARGIN, points=221)
    inside = line[line.s <= found.upper[0]]
    assert (inside.below <= inside.lead + 1e-12).all()
    assert (inside.lead <= inside.above + 1e-12).all()
    assert line.above[0] == line.lead[0] == line.below[0] > 0
    assert line.above[200] == pytest.approx(0, abs=1e-5 * line.lead[0])
    assert line.s[200] == pytest.approx(found.upper[0])
