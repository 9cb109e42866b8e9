"""The studies of the printed theorems at toy size: counterexamples by hand, random layers, costs by counting."""

import numpy as np
import pytest

from bea import Activation, Dense
from bea.bounds.cost import multiplications
from bea.bounds.printed import tanh_pair_curvature
from studies import four_theorems as study

TANH = Activation("tanh")


@pytest.fixture(scope="module")
def lenets():
    """Two LeNets of a tenth of the width, and images."""
    rng = np.random.default_rng(1)
    return {f"lenet-mnist-{seed}": study.widened(0.1, seed) for seed in (0, 1)}, rng.uniform(size=(3, 28, 28, 1))


@pytest.fixture(scope="module")
def tests():
    """The search on few random layers and one tanh layer."""
    rng = np.random.default_rng(2)
    return study.random_layers(2, 3, 0, Dense(rng.standard_normal((4, 7))), rng.uniform(size=(2, 6)))


def test_the_softmax_bound_is_exact_on_random_layers(tests):
    """Attained everywhere, and SLSQP says so too."""
    np.testing.assert_allclose(tests.softmax.ratio, 1, atol=1e-8)
    assert tests.softmax.scipy.abs().max() < 1e-4
    assert (tests.softmax.own <= tests.softmax.reached).all()


def test_smooth_layers_keep_the_theorem_and_kernels_do_not(tests):
    """M by norms holds, M by entries is larger; found ≤ proven, and a kernel of ones is beyond ‖W‖_F."""
    assert tests.smooth.norms.max() <= 1 + 1e-9
    one = tests.smooth[tests.smooth.kind != "two tanh layers"]
    assert len(tests.smooth) == 5
    assert (one.entries >= one.norms - 1e-12).all()
    kernels = tests.kernels
    assert (kernels.found <= kernels.proven * (1 + 1e-9)).all()
    assert (kernels.proven <= kernels.safe * (1 + 1e-6)).all()
    assert kernels.found[0] > kernels.frobenius[0]
    assert (tests.pooling.found <= tests.pooling.proven * (1 + 1e-9)).all()


def test_two_tanh_layers_have_no_second_derivative_beyond_m():
    """The norm of a Hessian by finite differences of the Jacobian is at most M, at random places."""
    rng, worst = np.random.default_rng(3), 0.0
    first, second = Dense(rng.standard_normal((3, 3))), Dense(rng.standard_normal((2, 4)))
    layers, M = [first, TANH, second, TANH], tanh_pair_curvature(first.kernel, second.kernel)
    for y in rng.standard_normal((50, 2)):
        steps = y + 1e-5 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1.0]])
        values = study.trace(layers, steps)
        J = study.pull_back(layers, np.broadcast_to(np.eye(2), (4, 2, 2)), values)
        H = np.stack([J[0] - J[1], J[2] - J[3]], axis=-1) / 2e-5
        worst = max(worst, np.linalg.norm(H, 2, axis=(1, 2)).max())
    assert 0 < worst <= M


def test_counterexamples_are_those_of_the_page():
    """√3 against √2, an infinite bound that a step of 1.5 beats, and a Hessian of norm d."""
    ones = study.overlapping_ones().set_index("key")
    np.testing.assert_allclose(ones.loc["line", ["norm", "frobenius"]].astype(float), np.sqrt([3, 2]))
    assert ones.changes.all()
    assert (ones.length < ones.theorem).all()
    assert study.off_unit() == {"infinite": True, "changes": True, "change": 1.5 + 1e-9, "safe": 0.5}
    assert study.sum_of_squares(16) == {"dimension": 16, "bound": 16.0, "repaired": 4.0, "length": 4.0}


def test_the_foot_on_the_hyperplane(lenets):
    """A rise is at most the step; the output layer of a LeNet is linear, so nothing else is said."""
    feet = study.changes_at_the_foot(*lenets)
    assert len(feet) == 6
    assert feet.rise.abs().max() <= 1 + 1e-9


def test_dense_relus_stay_below_the_norm_of_the_weights(lenets):
    """‖V‖ is never exceeded, ‖J‖ is nowhere below a tiny move's."""
    moves, attacks = study.dense_relus(*lenets, 4)
    assert moves.safe.max() <= 1 + 1e-9
    assert len(moves) == 2 * 3 * len(study.MULTIPLES)
    assert (attacks.quotient.dropna() > 0).all()


def test_first_layers_and_rises(lenets):
    """The leading direction has length one and moves the output by what is found."""
    nets, x = lenets
    first, directions = study.first_layers(nets, 4, 0)
    name = "lenet-mnist-1"
    kernel, R = nets[name].layers[0], directions[name]
    moved = kernel.forward(x + R) - kernel.forward(x)
    np.testing.assert_allclose(np.sqrt(np.square(moved).sum(axis=(1, 2, 3))), first.found[1])
    assert np.linalg.norm(R) == pytest.approx(1)
    assert set(study.rises(kernel, x, R, (1, 10), 2)) == {1, 10}


def test_the_product_of_the_factors(lenets):
    """With images the dense layer counts, without it does not."""
    nets, x = lenets
    with_images, without = study.chain_factors(nets, x), study.chain_factors(nets, x[:0])
    assert without["dense, M → 0"].isna().all()
    np.testing.assert_allclose(with_images["product"], without["product"] * with_images["dense, M → 0"])
    np.testing.assert_allclose(with_images["pooling 1"], 12)


def test_the_cost_of_a_small_lenet():
    """Parameters and multiplications of a LeNet with 2, 5 and 50 units, counted by hand; units of the text."""
    parameters, products = multiplications(study.widened(0.1, 0))
    assert parameters == 2 * 26 + 5 * 51 + 50 * 81 + 10 * 51
    assert products == 576 * 50 + 64 * 250 + 50 * 80 + 500 + (50 + 250) + (500 + 10)
    table = {"mnist": {"min": 2e-5}, "cifar10": {"min": 1e-6}, "dimension": {"mnist": 784, "cifar10": 3072}}
    units = study.units_in_text(table, {"mnist": 784 * 2e-5, "cifar10": 1e-6}).unit
    assert list(units) == ["length", "divided"]


def test_costs_grow(monkeypatch):
    """A singular value decomposition costs more than the rest, and times are there up to the width asked for."""
    monkeypatch.setattr(study, "WIDTHS", (0.1, 0.2))
    costs = study.costs(0.1, 0)
    assert (costs.svd > costs.plain).all()
    assert list(costs["time svd"].isna()) == [False, True]
    assert study.slopes(costs.assign(**{"time plain": 1.0, "time svd": 1.0, "time lanczos": 1.0}))["svd"] > 1
