"""`bea.attack` with constraints on the activated outputs, as eq. (6) is printed."""

import importlib

import numpy as np
import pytest

from bea import Activation, Dense, Network, attack
from oracles import (
    RNG,
    explicit_map,
    least_distance,
    nonlinear_slsqp,
    output_and_slope,
    random_images,
    random_network,
    relative_error,
)

PARTS = {"weights": (1, 2), "input": ("input",), "both": (1, 2, "input")}
on_any = pytest.mark.parametrize("on", PARTS)
after_any = pytest.mark.parametrize("output", ["tanh", "sigmoid"])


def problem(output, seed=0, n=8):
    """Two layers with an output activation, images, and a class other than each one's present one."""
    rng = RNG(seed)
    net = random_network(rng, [(5, "tanh")], 4, (6,), output_activation=output)
    x = random_images(rng, net, n)
    return net, x, (net.classify(x) + rng.integers(1, 4, n)) % 4


def with_outputs_for_logits(net):
    """The same with an identity after the output activation."""
    layers = (*net.layers, Activation(net.output_activation), Dense(np.eye(net.classes), bias=False))
    return Network(layers, net.input_shape)


@on_any
@after_any
def test_first_order_it_solves_the_programme_as_printed(output, on):
    """min ‖θ‖² subject to linearised constraints on the outputs, by NNLS with 𝒜 written out."""
    net, x, target = problem(output)
    result = attack(net, x, target, on, margin=0.01, activated=True)
    for i in range(len(x)):
        A, scales = explicit_map(net, x[i], on, relative=True, activated=True)
        y = output_and_slope(net, net(x[i : i + 1])[0])[0]
        D = np.delete(np.eye(4)[target[i]] - np.eye(4), target[i], axis=0)
        theta = least_distance(D @ (A * scales), 0.01 - D @ y)
        assert relative_error(result.objective[i], theta @ theta) <= 1e-10
    reached = net.activate(net.perturbed_logits(result.perturbation))
    rows = np.arange(len(x))
    own = reached[rows, target].copy()
    reached[rows, target] = -np.inf
    np.testing.assert_allclose(result.margin, own - reached.max(axis=1), atol=1e-14)
    assert (result.success == (result.margin >= 0.01 - 1e-5)).all()


@on_any
@after_any
def test_converged_no_other_optimiser_finds_less(output, on):
    """Against SLSQP on all entries, the outputs being the logits of a longer network; the margin is met."""
    net, x, target = problem(output, seed=4, n=4)
    result = attack(net, x, target, on, method="converged", margin=0.01, activated=True)
    assert result.success.all()
    assert (result.margin >= 0.01 * (1 - 1e-3)).all()
    longer, compared = with_outputs_for_logits(net), 0
    for i in range(len(x)):
        theta = nonlinear_slsqp(longer, x[i], target[i], PARTS[on], 0.01)
        if theta is not None:
            compared += 1
            assert result.objective[i] <= theta @ theta * (1 + 1e-6)
    assert compared > 0


@pytest.mark.parametrize("t", [0.1, 1.0, 4.0, 9.0])
def test_two_outputs_have_a_closed_form(t):
    """From ±t the outputs ask for sinh 2t where the logits ask for 2t, but for the margin."""
    net = Network((Dense(np.array([[t], [-t]]), bias=False),), (1,), "tanh")
    x, target, margin = np.ones((1, 1)), np.array([1]), 1e-3
    outputs, logits = (attack(net, x, target, margin=margin, activated=a).objective[0] for a in (True, False))
    expected = (np.sinh(2 * t) + margin * np.cosh(t) ** 2) / (2 * t + margin)
    # The slope 1 - y² keeps an absolute error of u.
    assert relative_error(np.sqrt(outputs / logits), expected) <= 1e-14 + 5e-16 * np.cosh(t) ** 2


@after_any
def test_converged_only_the_margin_tells_the_forms_apart(output):
    """With hardly a margin both are the same problem, to first order they are not."""
    net, x, target = problem(output, seed=3)
    for method, same in (("converged", True), ("first-order", False)):
        outputs, logits = (
            attack(net, x, target, method=method, margin=1e-7, activated=activated).objective
            for activated in (True, False)
        )
        assert (np.abs(outputs / logits - 1) < 1e-5).all() == same


@after_any
def test_where_a_search_gets_lost_the_last_layer_changes(output, monkeypatch):
    """What is proposed then has the margin, whatever the rest of the search does."""
    net, x, target = problem(output, seed=1)
    search = importlib.import_module("bea.backward.search")
    found, start_from = [], search._change_last_layer

    def proposed(lead, zero, allowed):
        tau, feasible = start_from(lead, zero, allowed)
        found.append((lead.value(tau)[0], feasible))
        return tau, feasible

    monkeypatch.setattr(search, "_change_last_layer", proposed)
    monkeypatch.setattr(search, "_repair", lambda lead, tau, allowed: (tau, np.zeros(len(tau), bool)))
    result = attack(net, x, target, method="converged", margin=0.3, activated=True)
    assert result.success.all()
    leads, feasible = found[0]
    assert feasible.all()
    assert (leads >= -1e-9).all()


def test_a_linear_output_makes_no_difference():
    net = random_network(RNG(0), [(5, "tanh")], 4, (6,))
    x = random_images(RNG(1), net, 5)
    target = (net.classify(x) + 1) % 4
    for method in ("first-order", "converged"):
        one, other = (attack(net, x, target, method=method, activated=a).objective for a in (True, False))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("output", "margin", "message"),
    [
        ("softmax", 1e-3, "activated: expected an output activation that acts elementwise, received 'softmax'"),
        ("tanh", 2.0, "margin: expected less than 2, which no lead of outputs of tanh reaches, received 2.0"),
        ("sigmoid", 1.5, "margin: expected less than 1, which no lead of outputs of sigmoid reaches, received 1.5"),
    ],
)
def test_what_makes_no_sense_is_refused(output, margin, message):
    net, x, target = problem(output)
    with pytest.raises(ValueError, match=message):
        attack(net, x, target, margin=margin, activated=True)
