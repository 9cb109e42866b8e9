"""Assumption 4.3 on small windows, beside a loop over them."""

import numpy as np

import oracles
from bea.networks.windows import MaxPool
from studies import pooling_assumption as study


def test_windows_are_tested_one_by_one():
    rng = np.random.default_rng(0)
    X, R = rng.integers(-200, 50, (2, 3, 4, 6, 2)) / 64  # sums are exact
    found = study.tests(MaxPool(2), X, R)
    for n in range(3):
        moved, own = [], []
        for i, j, c in np.ndindex(2, 3, 2):
            part = (n, slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2), c)
            a, b, d = X[part].max(), R[part].max(), (X[part] + R[part]).max()
            assert found["assumption"][n, i, j, c]
            assert found["grows"][n, i, j, c] == (abs(d) <= abs(a) + abs(b))
            assert found["moves"][n, i, j, c] == (abs(d - a) <= abs(b))
            moved.append(d - a)
            own.append(b)
        assert found["norm_moves"][n] == (np.linalg.norm(moved) <= np.linalg.norm(own))
        assert found["lipschitz"][n]
    assert not found["moves"].all()
    assert not found["grows"].all()


def test_the_smallest_case_moves_although_its_change_has_no_maximum():
    assert study.smallest_case() == {"before": 1.0, "after": 0.0, "moved": 1.0, "own": 0.0}


def test_counts_on_a_network():
    net = oracles.image_network("max pools", 0)
    x = oracles.random_images(np.random.default_rng(0), net, 4)
    labels = net.classify(x)
    table = study.how_often({"net": net}, x, labels, epsilon=0.1)
    pools = [layer for layer in net.layers if isinstance(layer, MaxPool)]
    assert list(table.pooling) == list(range(1, len(pools) + 1))
    assert (table.assumption == 1).all()
    points = study.cloud(net, x, labels, epsilon=0.1, most=20)
    assert (points.moved <= points.own + 1e-12).all()
    _, R = study.movements(net, x, labels, epsilon=0.1)[net.layers.index(pools[0])]
    assert points.own.isin(pools[0].forward(R).ravel()).all()
