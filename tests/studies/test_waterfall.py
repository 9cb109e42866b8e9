"""One constant for two layers: never below one a layer, never above what is there; and the fall adds up."""

import numpy as np
import pandas as pd
import pytest

import oracles
from bea import Activation, Dense, Flatten, Network, lower_bound
from bea.attacks import backward_error_attack
from bea.networks.windows import MaxPool
from studies import waterfall as study

RNG = np.random.default_rng


@pytest.fixture(params=["two-relu", "two", "three", "convolutions"])
def case(request):
    if request.param != "convolutions":
        net, x, _, _ = oracles.random_case(1, request.param, n=6)
        return net, x
    rng = RNG(0)
    layers = [
        oracles.random_convolution(rng, 3, 1, 3),
        MaxPool(2),
        oracles.random_convolution(rng, 4, 3, 2),
        MaxPool(2),
    ]
    tail = oracles.random_network(rng, [(6, "relu")], 4, (16,)).layers
    net = Network((*layers, Flatten(), *tail), (12, 12, 1), input_range=(0, 1))
    return net, rng.random((4, 12, 12, 1))


def test_between_one_constant_a_layer_and_an_attack(case):
    net, x = case
    layerwise, pairs = lower_bound(net, x).radius, study.together(net, x)
    assert (pairs >= layerwise * (1 - 1e-8)).all()
    assert (pairs > 1.001 * layerwise).any()
    attack = backward_error_attack(net, x, net.classify(x), margin=1e-6)
    assert (pairs[attack.success] <= attack.l2[attack.success]).all()


def test_two_layers_by_the_formula():
    rng = RNG(3)
    A, d = rng.standard_normal((5, 4)), rng.standard_normal((2, 5))
    net = Network((Dense(A, False), Activation("tanh"), Dense(d, False)), (4,))
    x = rng.random((3, 4))
    row = d[0] - d[1]
    constant = 0.5 * np.linalg.norm(row @ A) + 0.5 * np.linalg.norm(row) * np.linalg.norm(A, 2)
    expected = np.abs(np.tanh(x @ A.T) @ row) / constant
    np.testing.assert_allclose(study.together(net, x), expected, rtol=1e-7)


def test_every_jacobian_of_a_pair_is_within_its_constant():
    rng = RNG(4)
    layers = [oracles.random_convolution(rng, 2, 1, 3), MaxPool(2), oracles.random_convolution(rng, 3, 2, 2)]
    first, pool, second = layers
    blocks = [[first, (8, 8, 1), pool], [second, (3, 3, 2), None]]
    singles, best = study._prefixes(blocks)
    y, r = rng.standard_normal((2, 200, 8, 8, 1))
    before, after = y, y + 0.1 * r
    for layer in layers:
        before, after = layer.forward(before), layer.forward(after)
    growth = np.linalg.norm((after - before).reshape(200, -1), axis=1) / np.linalg.norm(
        0.1 * r.reshape(200, -1), axis=1
    )
    assert growth.max() <= best[-1] <= np.prod(singles) * (1 + 1e-9)


def test_other_layers_are_refused():
    net = Network((Activation("tanh"), Dense(np.ones((2, 3)), False)), (3,))
    with pytest.raises(ValueError, match="expected affine layers"):
        study.together(net, np.zeros((1, 3)))


def test_the_fall_adds_up():
    rng = RNG(0)
    lengths = {key: rng.uniform(1, 2, 7) for key in ("published", *study.STEPS)}
    table = pd.DataFrame({"net": "a", "kind": "k", **lengths})
    table.loc[6, "upper"] = np.inf
    row = study.fall(table).iloc[0]
    kept = table[:6]
    assert row.images == 6
    assert row.published == pytest.approx(np.log10(kept.published / kept.upper).mean())
    assert sum(row[key] for key in study.STEPS) == pytest.approx(-row.published)
    assert row.repaired == pytest.approx(np.log10(kept.repaired / kept.published).mean())
