"""The comparison of lengths, on made-up tables whose answers can be told by hand; attacks of today, at toy size."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, sem

from bea.attacks import backward_error_attack
from oracles import RNG, random_images, random_network
from studies import state_of_the_art as study

INF = np.inf
TABLE = pd.DataFrame({
    "net": "a", "image": range(4), "ours": [1.0, 2.0, 3.0, 4.0], "other": [1.0, 2.2, 2.7, INF],
    "proved": [0.5, 2.0, 2.0, 3.0],
})  # fmt: skip


def test_fractions_count_the_images_that_are_left():
    """A failure never falls; the envelope falls first."""
    found = study.fractions(TABLE, ["ours", "other"], np.array([0.0, 1.0, 2.1, 2.7, 9.0]))
    assert found.ours.tolist() == [1.0, 0.75, 0.5, 0.5, 0.0]
    assert found.other.tolist() == [1.0, 0.75, 0.75, 0.25, 0.25]
    assert found.envelope.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_optimality_is_the_area_above_a_curve():
    """By numerical integration of the curves up to where the envelope is zero, and of what is proved."""
    found = study.optimality(TABLE, ["ours", "other"], 0.001).set_index("attack")
    grid = (np.arange(400_000) + 0.5) / 100_000
    curves = study.fractions(TABLE, ["ours", "other"], grid).assign(
        proved=study.fractions(TABLE, ["proved"], grid).proved
    )
    areas = (1 - curves).sum() / 100_000
    for name in ("ours", "other"):
        assert found.relative[name] == pytest.approx(areas[name] / areas.envelope, rel=1e-5)
        assert found.proved[name] == pytest.approx(areas[name] / areas.proved, rel=1e-5)
    assert found.success.tolist() == [1.0, 0.75]
    assert found.near.tolist() == [0.75, 0.5]
    assert study.optimality(TABLE, ["ours", "other"], 0.12).near.tolist() == [1.0, 0.75]
    perfect = study.optimality(TABLE.assign(ours=TABLE.proved), ["ours", "other"], 0.001)
    assert perfect.proved.iloc[0] == pytest.approx(1.0)


def test_duels_count_failures_as_infinitely_long():
    """Ours is shorter on two images, the other on one; the image on which it fails has no difference."""
    (row,) = study.duels(TABLE, "ours", ["other"], by=0.01).itertuples()
    assert (row.images, row.ours, row.peer, row.excluded) == (4, 2, 1, 1)
    assert row.p == row.holm == 1.0
    excess = np.array([0.0, 0.1, -0.1])
    assert row.excess == pytest.approx(excess.mean())
    assert row.high - row.excess == pytest.approx(norm.ppf(0.975) * sem(excess))


def test_holm_is_the_step_down_of_the_textbook():
    """0.01·3, then the larger of that and 0.02·2, then that and 0.5."""
    np.testing.assert_allclose(study.holm(np.array([0.5, 0.01, 0.02])), [0.5, 0.03, 0.04])
    np.testing.assert_allclose(study.holm(np.array([0.02, 0.5, 0.019])), [0.057, 0.5, 0.057])


def test_beaten_names_who_is_shorter():
    """On the third image, by a ninth; nobody where nothing is shorter."""
    (row,) = study.beaten(TABLE, "ours", ["other"], 0.001).itertuples()
    assert (row.images, row.shorter, row.peer) == (4, 1, "other")
    assert row.most == pytest.approx(3.0 / 2.7 - 1)
    (row,) = study.beaten(TABLE.assign(other=INF), "ours", ["other"], 0.001).itertuples()
    assert (row.shorter, row.peer) == (0, "none")


def test_sizes_count_failures_as_infinite():
    """Two images, of which one attack loses one; medians with that."""
    columns = {"net": "a", "attack": ["x", "x", "y", "y"], "size": [1.0, 2.0, 3.0, INF], "over": [1.0, 1.0, 3.0, INF]}
    first, second = study.sizes(pd.DataFrame(columns | {"ms": 5.0})).itertuples()
    assert (first.images, first.failed, first.over, first.ms) == (2, 0, 1.0, 5.0)
    assert (second.images, second.failed, second.over) == (2, 1, INF)


def test_who_did_not_take_part_is_left_out():
    """Another network on which only ours ran: no duel, no optimality of the other."""
    table = pd.concat([TABLE, TABLE.assign(net="b", other=np.nan)])
    assert study.optimality(table, ["ours", "other"], 0.001).groupby("net").size().to_dict() == {"a": 2, "b": 1}
    assert study.duels(table, "ours", ["other"], by=0.01).net.tolist() == ["a"]


@pytest.fixture(scope="module")
def nets():
    """Two networks of a kind, images, and the classes that the first gives them."""
    found = {f"tanh-{seed}": random_network(RNG(seed), [(5, "tanh")]) for seed in (1, 2)}
    found = {name: replace(net, input_range=(-2.0, 2.0)) for name, net in found.items()}
    x = np.clip(random_images(RNG(3), found["tanh-1"], 12), -1.9, 1.9)
    return found, x, found["tanh-1"].classify(x)


def test_live_attacks_are_those_of_the_package(nets):
    """Only images classified as labelled, as many as asked for; the range costs length, the proof is below."""
    found, x, labels = nets
    labels = labels.copy()
    labels[0] = (labels[0] + 1) % 4
    table = study.live({"tanh-1": found["tanh-1"]}, x, labels, images=4, margin=1e-6)
    assert table.image.tolist() == [1, 2, 3, 4]
    own = backward_error_attack(found["tanh-1"], x[1:5], labels[1:5], margin=1e-6)
    np.testing.assert_allclose(table.free, own.l2, rtol=1e-12)
    assert (table.range >= table.free * (1 - 1e-6)).all()
    assert (table.free >= table.proved).all()


def test_over_seeds_gives_means_with_students_interval(nets):
    """Of two networks the half width is t times half their difference."""
    found, x, _ = nets
    label = found["tanh-2"].classify(x)
    table = study.over_seeds(found, x, label, margin=1e-6).set_index("measure")
    shares = [np.mean(net.classify(x) == label) for net in found.values()]
    assert table["mean"]["accuracy"] == pytest.approx(np.mean(shares))
    assert table.half["accuracy"] == pytest.approx(12.706205 * abs(shares[0] - shares[1]) / 2, rel=1e-6)
    assert set(table.index) == {"accuracy", "range", "free", "proved", "weights"}
    assert (table.networks == 2).all()
