"""The sandwich at toy size: proofs below witnesses, Keras asked, summaries by hand."""

import numpy as np
import pandas as pd
import pytest

from oracles import RNG, random_images, random_network
from studies import bounds_against_attacks as study


@pytest.fixture(scope="module")
def table():
    """Five images of a network 6-5-4, rebuilt in Keras."""
    net = random_network(RNG(2), [(5, "tanh")], 4)
    x = random_images(RNG(3), net, 5)
    own = study.five_lengths(net, None, x, net.classify(x), margin=1e-6, firm=1e-4, candidates=2, largest=2.0)
    return study.together({"toy": own}, {"toy": "tanh"})


def test_no_proof_is_above_a_witness(table):
    """Repaired below tight below the shorter witness; Keras confirms, at the latest the second time."""
    assert (table.repaired <= table.tight * (1 + 1e-6)).all()
    assert (table.tight <= table.upper).all()
    assert (table.upper <= table.fgs).all()
    assert (table.keras | table.again).all()
    assert table.right.all()


def test_a_network_in_a_row(table):
    """Means, standard errors and counts are those of NumPy."""
    row = study.networks(table, 0.5).iloc[0]
    assert row.low == pytest.approx(np.mean(table.tight), rel=1e-14)
    assert row.high_error == pytest.approx(np.std(table.upper, ddof=1) / np.sqrt(5), rel=1e-12)
    assert row.above == np.sum(table.tight / table.upper > 0.5)
    assert row.above_tight == 0
    assert study.ranges(study.networks(table, 0.5), ["tanh", "relu"], "images", "d") == {
        "tanh": "5",
        "relu": "not computed",
    }


def test_the_parabolas_are_below_minus_tanh():
    """On the interval, each touching where it says; about the worst point the last is nearest there."""
    v, short = np.linspace(-0.3, 1.7, 500), []
    for at, c in study.parabolas().values():
        y = np.tanh(at)
        below = -y - (1 - y * y) * (v - at) - c * (v - at) ** 2
        assert (below <= -np.tanh(v) + 1e-12).all()
        short.append(-np.tanh(v[-1]) - below[-1])
    assert short[0] > short[1] > short[2] == pytest.approx(0.0, abs=1e-12)


def test_images_are_picked_over_their_lengths():
    """Closed ones from short to long; the nearest where none is closed."""
    m = pd.DataFrame({"ratio": [0.9995, 0.5, 0.9999, 0.9], "attack": [3.0, 1.0, 2.0, 4.0]})
    assert study.closed(m, 1e-3, shown=2).attack.tolist() == [2.0, 3.0]
    assert study.closed(m, 1e-6, shown=2).attack.tolist() == [2.0, 3.0]


def test_the_cost_is_told_for_every_length():
    """Milliseconds, positive."""
    net = random_network(RNG(2), [(5, "tanh")], 4)
    found = study.cost(net, random_images(RNG(3), net, 3), margin=1e-6, candidates=2, largest=2.0)
    assert set(found) == {"once", "published", "repaired", "tight", "attack", "fgs"}
    assert min(found.values()) > 0.0
