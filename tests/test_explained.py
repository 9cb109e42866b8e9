"""The backward error without linearisation, the proof under it, and the condition number between both errors."""

import numpy as np
import pytest
from scipy.optimize import minimize

from bea import Activation, Dense, Network, attack, backward_error, condition_number
from bea.bounds import outputs_bound
from bea.numerics.arrays import image_norms
from oracles import KINKED_IMAGES, SMOOTH_IMAGES, explicit_map, image_network, random_images, random_network

RNG = np.random.default_rng
METHODS = ("linearised", "converged")
ONS = ("weights", "input", "both", (1,), (2, "input"))
every_on = pytest.mark.parametrize("on", ONS)


def problem(seed=0, n=6, size=0.1, activation="tanh", hidden=5):
    """A small network, images, and logits near theirs."""
    net = random_network(RNG(seed), [(hidden, activation)], 3, (4,))
    x = RNG(seed + 1).random((n, 4)) + 0.1
    return net, x, net(x) + size * RNG(seed + 2).standard_normal((n, 3))


def parts_of(net, x, on):
    """Numbers of the layers that change, and whether the input does."""
    everything = tuple(range(1, len(net.weighted) + 1))
    parts = {"weights": everything, "input": ("input",), "both": (*everything, "input")}.get(on, on)
    return [part for part in parts if part != "input"], "input" in parts


def by_slsqp(net, x, y_hat, on, relative=True):
    """Smallest θ for one image by SLSQP on all entries, the logits of dense layers computed by hand; or None."""
    numbers, moves = parts_of(net, x, on)
    matrices = [layer.matrix for layer in net.weighted]
    scales = [np.full(matrices[k - 1].size, np.linalg.norm(matrices[k - 1]) if relative else 1.0) for k in numbers]
    scales = np.concatenate([*scales, np.full(x.size if moves else 0, np.linalg.norm(x) if relative else 1.0)])

    def logits(theta):
        left, changed = theta * scales, list(matrices)
        for k in numbers:
            own, left = np.split(left, [matrices[k - 1].size])
            changed[k - 1] = matrices[k - 1] + own.reshape(matrices[k - 1].shape)
        y = x + left if moves else x
        for k, matrix in enumerate(changed, 1):
            y = matrix[:, :-1] @ y + matrix[:, -1]
            if k < len(changed):
                y = np.tanh(y)
        return y - y_hat

    result = minimize(
        lambda theta: 0.5 * theta @ theta, np.zeros(len(scales)), jac=lambda theta: theta, method="SLSQP",
        constraints={"type": "eq", "fun": logits}, options={"ftol": 1e-15, "maxiter": 500},
    )  # fmt: skip
    return np.linalg.norm(result.x) if result.success and np.abs(logits(result.x)).max() < 1e-8 else None


@every_on
@pytest.mark.parametrize("relative", [True, False], ids=["relative", "plain"])
def test_it_is_what_a_general_optimiser_finds_in_all_entries(on, relative):
    net, x, y_hat = problem(size=0.5)
    found = backward_error(net, x, y_hat, on, relative, method="converged")
    sizes = np.sqrt(found.objective if relative else (found.norms**2).sum(axis=1))
    expected = [by_slsqp(net, *each, on, relative) for each in zip(x, y_hat, strict=True)]
    there = np.array([size is not None for size in expected])  # tanh is bounded: some logits are out of reach
    assert there.sum() >= 3
    assert found.attained[there].all()
    assert found.residual[there].max() <= 1e-9
    ratio = sizes[there] / np.array(expected, dtype=float)[there]
    assert ratio.max() <= 1 + 1e-6  # SLSQP may end in a worse local optimum
    assert np.median(ratio) >= 1 - 1e-6


@every_on
@pytest.mark.parametrize("name", [*SMOOTH_IMAGES, *KINKED_IMAGES])
def test_the_perturbed_network_has_the_wanted_logits(name, on):
    """Also with convolutions and pools; put into the network, not into the reduced problem."""
    net = image_network(name, 0)
    x = random_images(RNG(1), net, 3)
    y_hat = net(x) + 1e-3 * RNG(2).standard_normal((3, net.classes))
    on = tuple(part for part in on if part == "input" or part <= len(net.weighted)) if isinstance(on, tuple) else on
    linear = backward_error(net, x, y_hat, on)
    found = backward_error(net, x, y_hat, on, method="converged")
    here = linear.attained
    assert here.any() or name == "max pools"  # which let too little through for some changes
    assert found.attained[here].all()
    assert found.standing == "locally optimal"
    miss = image_norms(net.perturbed_logits(found) - y_hat)[here]
    assert (miss <= 2e-6 * image_norms(y_hat - net(x))[here]).all()
    if name in SMOOTH_IMAGES and here.any():
        assert found.residual[here].max() <= 1e-6


def test_one_affine_layer_is_exact_in_the_first_step():
    net = Network([Dense(RNG(0).standard_normal((3, 5)))], (4,))
    x, y_hat = RNG(1).random((5, 4)), RNG(2).standard_normal((5, 3))
    for on in ("weights", "input"):
        linear, found = (backward_error(net, x, y_hat, on, method=way) for way in ("linearised", "converged"))
        np.testing.assert_allclose(found.objective, linear.objective, rtol=1e-12)
        assert (found.iterations <= 1).all()
        np.testing.assert_allclose(outputs_bound(net, x, y_hat, on), np.sqrt(found.objective), rtol=1e-8)


def test_linearised_and_converged_differ_by_the_second_order():
    """Halving the change of the logits halves the relative difference of the two."""
    net, x, y_hat = problem(n=20)
    gaps = []
    for share in (0.04, 0.02, 0.01):
        y = net(x) + share * (y_hat - net(x))
        linear, found = (
            np.sqrt(backward_error(net, x, y, "both", method=way).objective) for way in ("linearised", "converged")
        )
        gaps.append(np.abs(found / linear - 1).max())
    assert gaps[0] > 1e-6
    np.testing.assert_allclose([gaps[1] / gaps[0], gaps[2] / gaps[1]], 0.5, atol=0.02)


def test_activated_outputs_are_explained_too():
    net = random_network(RNG(0), [(5, "tanh")], 3, (4,), output_activation="sigmoid")
    x = RNG(1).random((4, 4))
    y_hat = np.clip(net.activate(net(x)) + 0.05 * RNG(2).standard_normal((4, 3)), 0.01, 0.99)
    found = backward_error(net, x, y_hat, "both", activated=True, method="converged")
    assert found.attained.all()
    np.testing.assert_allclose(net.activate(net.perturbed_logits(found)), y_hat, atol=1e-8)


def test_what_no_change_reaches_is_not_attained():
    """A change of a layer before saturated units of a sigmoid cannot raise a logit beyond their sum."""
    net = Network([Dense(RNG(0).standard_normal((4, 3))), Activation("sigmoid"), Dense(np.ones((2, 5)))], (2,))
    x = RNG(1).random((2, 2))
    found = backward_error(net, x, np.array([[9.0, 9.0], [2.5, 2.5]]), "input", method="converged")
    assert not found.attained[0]
    assert np.isnan(found.objective[0])
    assert found.residual[0] > 1e-3


def test_logits_as_they_are_need_no_change():
    net, x, _ = problem()
    found = backward_error(net, x, net(x), "both", method="converged")
    assert (found.objective == 0.0).all()
    assert found.attained.all()


def test_a_sample_does_not_depend_on_the_others():
    net, x, y_hat = problem(n=9, size=0.5)
    whole = backward_error(net, x, y_hat, "both", method="converged").objective
    alone = [backward_error(net, x[i : i + 1], y_hat[i : i + 1], "both", method="converged") for i in range(9)]
    np.testing.assert_allclose([one.objective[0] for one in alone], whole, rtol=1e-8)


@every_on
@pytest.mark.parametrize(("activation", "size"), [("tanh", 0.01), ("tanh", 0.5), ("relu", 0.1)])
def test_the_bound_is_below_what_is_found_and_near_it_for_small_changes(on, activation, size):
    net, x, y_hat = problem(size=size, activation=activation, n=12)
    found = backward_error(net, x, y_hat, on, method="converged")
    plain, local = (outputs_bound(net, x, y_hat, on, method) for method in ("lipschitz", "local"))
    upper = np.where(found.attained, np.sqrt(found.objective), np.inf)
    assert (plain > 0.0).all()
    assert (local >= plain).all()
    assert (local <= upper).all()
    if size == 0.01:
        assert np.median(local / upper) >= 0.99


def test_the_bound_covers_convolutions():
    net = image_network(next(iter(SMOOTH_IMAGES)), 0)
    x = random_images(RNG(1), net, 4)
    y_hat = net(x) + 0.1 * RNG(2).standard_normal((4, net.classes))
    for on in ("weights", "input"):
        found = backward_error(net, x, y_hat, on, method="converged")
        bound = outputs_bound(net, x, y_hat, on)
        assert (bound > 0.0).all()
        assert (bound[found.attained] <= np.sqrt(found.objective[found.attained])).all()


@every_on
def test_the_condition_number_is_the_norm_of_the_explicit_map(on):
    net, x, _ = problem()
    found = condition_number(net, x, on)
    for i, image in enumerate(x):
        A, scales = explicit_map(net, image, on, relative=True)
        expected = np.linalg.norm(A * scales, 2) / np.linalg.norm(net(x)[i])
        assert found[i] == pytest.approx(expected, rel=1e-12)


@every_on
def test_forward_error_is_condition_times_backward_error_at_most(on):
    """Without remainder for the linearised one, up to second order for the converged one; attained by one direction."""
    net, x, _ = problem(n=20)
    y, K = net(x), condition_number(net, x, on)
    A, scales = explicit_map(net, x[0], on, relative=True)
    worst = np.linalg.svd(A * scales)[0][:, 0]
    y_hat = y + 1e-3 * RNG(5).standard_normal(y.shape)
    y_hat[0] = y[0] + 1e-4 * worst
    forward = image_norms(y_hat - y) / image_norms(y)
    linear, found = (np.sqrt(backward_error(net, x, y_hat, on, method=way).objective) for way in METHODS)
    assert (forward <= K * linear * (1 + 1e-12)).all()
    assert (forward <= K * found * (1 + 0.01)).all()
    assert forward[0] == pytest.approx(K[0] * linear[0], rel=1e-9)


def test_an_attack_costs_no_more_than_the_change_to_its_own_logits():
    """The attack asks for an order, the backward error of its logits for just these: nothing smaller gives them."""
    net, x, _ = problem(n=8)
    won = attack(net, x, (net.classify(x) + 1) % 3, "both", method="converged")
    logits = net.perturbed_logits(won.perturbation)
    found = backward_error(net, x, logits, "both", method="converged")
    np.testing.assert_allclose(found.objective, won.objective, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda net, x, y: backward_error(net, x, y, method="exact"), "method: expected"),
        (lambda net, x, y: outputs_bound(net, x, y, method="exact"), "method: expected"),
        (lambda net, x, y: outputs_bound(net, x, y[:, :2]), "y_hat: expected"),
        (lambda net, x, y: outputs_bound(net, x, y, "bias"), "on: expected"),
        (lambda net, x, y: condition_number(net, x, "bias"), "on: expected"),
        (lambda net, x, y: condition_number(net, x[:, :2]), "x: expected"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call(*problem())


def test_a_softmax_has_no_converged_activated_error():
    net = random_network(RNG(0), [(5, "tanh")], 3, (4,), output_activation="softmax")
    x = RNG(1).random((2, 4))
    with pytest.raises(ValueError, match="activated: expected"):
        backward_error(net, x, net.activate(net(x)), activated=True, method="converged")
