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
    assert (row.images, row.shorter, row.peer, row.median, row.theirs) == (4, 1, "other", 2.5, 2.45)
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
    """A network, images, and the classes that it gives them."""
    found = {"tanh-1": replace(random_network(RNG(1), [(5, "tanh")]), input_range=(-2.0, 2.0))}
    x = np.clip(random_images(RNG(3), found["tanh-1"], 12), -1.9, 1.9)
    return found, x, found["tanh-1"].classify(x)


def test_live_attacks_are_those_of_the_package(nets):
    """Only images classified as labelled, as many as asked for; the range costs length, the proof is below."""
    found, x, labels = nets
    labels = labels.copy()
    labels[0] = (labels[0] + 1) % 4
    table = study.live(found, x, labels, images=4, margin=1e-6)
    assert table.image.tolist() == [1, 2, 3, 4]
    own = backward_error_attack(found["tanh-1"], x[1:5], labels[1:5], margin=1e-6)
    np.testing.assert_allclose(table.free, own.l2, rtol=1e-12)
    assert (table.range >= table.free * (1 - 1e-6)).all()
    assert (table.free >= table.proved).all()


def test_a_leaderboard_has_all_problems_with_their_costs():
    """Each as `optimality` measures it; without a proved column nothing is said of what is proved."""
    runs = pd.DataFrame({
        "problem": ["free", "free", "range", "range"], "net": "a", "attack": ["other", "ours"] * 2,
        "passes": [1.0, 2.0, 3.0, 4.0], "ms": [5.0, 6.0, 7.0, 8.0],
    })  # fmt: skip
    problems = {"range": TABLE.drop(columns="proved"), "free": TABLE}
    found = study.leaderboard(problems, runs, 0.001).set_index(["problem", "attack"])
    assert found.index.tolist() == [("range", "ours"), ("range", "other"), ("free", "ours"), ("free", "other")]
    assert found.passes.tolist() == [4.0, 3.0, 2.0, 1.0]
    assert found.ms.tolist() == [8.0, 7.0, 6.0, 5.0]
    expected = study.optimality(TABLE, ["ours", "other"], 0.001)
    np.testing.assert_array_equal(found.relative, [*expected.relative] * 2)
    np.testing.assert_array_equal(found.proved["free"], expected.proved)
    assert found.proved["range"].isna().all()
    assert (found.images == 4).all()


def test_over_seeds_gives_means_with_students_interval():
    """Two networks of a kind: the half width is t times half their difference; one without peers that are shorter."""
    twice = [TABLE.assign(net="a-0"), TABLE.assign(net="a-1", other=2 * TABLE.other, ours=TABLE.ours + 0.5)]
    table = pd.concat(twice).assign(free=lambda t: t.proved * 2, weights=[1.0, 2, 3, 4, 3, 4, 5, 6])
    found = study.over_seeds(table, "ours", "free", ["other"], 0.001).set_index("measure")
    assert set(found.kind) == {"a"}
    assert (found.networks == 2).all()
    each = [study.optimality(own, ["ours", "other"], 0.001).iloc[0] for own in twice]
    columns = {"success": "success", "relative": "relative", "near": "near", "range": "median"}
    expected = {measure: [own[column] for own in each] for measure, column in columns.items()}
    expected |= {"ahead": [0.25, 0.0], "weights": [2.5, 4.5], "free": [4.0, 4.0]}
    expected["proved"] = study.optimality(table, ["free"], 0.001).proved.tolist()
    assert set(found.index) == set(expected)
    for measure, (first, second) in expected.items():
        assert found["mean"][measure] == pytest.approx((first + second) / 2)
        assert found.half[measure] == pytest.approx(12.706205 * abs(first - second) / 2, rel=1e-6, abs=1e-12)
