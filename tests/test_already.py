"""Images that have the class asked for already: a success each, with no change, and no trouble to the others."""

import numpy as np
import pytest

from bea import attack
from bea.attacks import (
    backward_error_attack,
    carlini_wagner,
    componentwise_attack,
    fewest_pixels,
    fgsm,
    lbfgs_attack,
    newton_attack,
    pgd,
    saliency_attack,
    smallest_epsilon,
    smallest_pgd,
)
from oracles import HIDDEN, random_images, random_network

RNG = np.random.default_rng
N = 12
THERE = np.arange(N) % 3 == 1  # have the target's class already


def case(name="two", **options):
    """A network, images, and targets, a third of them the present classes."""
    net = random_network(RNG(5), HIDDEN[name], 4, (2, 3), input_range=(0, 1), **options)
    x = random_images(RNG(6), net, N)
    return net, x, (net.classify(x) + np.where(THERE, 0, 1 + np.arange(N) % 2)) % 4


WAYS = [
    *((on, {"method": method}) for on in ("weights", "input", "both") for method in ("first-order", "converged")),
    *(("input", {"method": method, "clip": True}) for method in ("first-order", "converged")),
]


@pytest.mark.parametrize(("on", "options"), WAYS)
def test_the_others_get_what_they_get_alone(on, options):
    """And those get zeros of the same shapes, the network as it is, and the lead that they have."""
    net, x, target = case()
    whole, alone = attack(net, x, target, on, **options), attack(net, x[~THERE], target[~THERE], on, **options)
    np.testing.assert_array_equal(whole.already, THERE)
    assert whole.success[THERE].all()
    assert whole.perturbation.attained[THERE].all()
    for name in ("success", "objective", "margin", "iterations", "kkt_residual"):
        np.testing.assert_array_equal(getattr(whole, name)[~THERE], getattr(alone, name))
    np.testing.assert_array_equal(whole.perturbation.norms[~THERE], alone.perturbation.norms)
    assert not whole.perturbation.norms[THERE].any()
    logits = net(x[THERE])
    leads = np.sort(logits, axis=1)[:, -1] - np.sort(logits, axis=1)[:, -2]
    np.testing.assert_array_equal(whole.margin[THERE], leads)
    np.testing.assert_array_equal(net.perturbed_logits(whole.perturbation)[THERE], logits)
    assert whole.standing == alone.standing


@pytest.mark.parametrize("method", ["first-order", "converged"])
def test_a_batch_of_nothing_else(method):
    """All images there: zeros, and a lead below the margin asked for is no failure."""
    net, x, _ = case("three")
    result = attack(net, x, net.classify(x), "both", method=method, margin=1e3)
    assert result.already.all()
    assert not result.objective.any()
    assert (result.margin < 1e3).all()
    np.testing.assert_array_equal(result.images, x)


def test_leads_of_activated_outputs_are_theirs():
    """The margin is in units of what is constrained."""
    net, x, target = case(output_activation="tanh")
    result = attack(net, x, target, activated=True)
    outputs = np.sort(np.tanh(net(x[THERE])), axis=1)
    np.testing.assert_allclose(result.margin[THERE], outputs[:, -1] - outputs[:, -2], rtol=1e-14)


SEARCHES = (
    backward_error_attack,
    carlini_wagner,
    componentwise_attack,
    fewest_pixels,
    lbfgs_attack,
    newton_attack,
    saliency_attack,
    smallest_epsilon,
    smallest_pgd,
)


@pytest.mark.parametrize("search", SEARCHES)
def test_attacks_on_the_input_leave_them_alone(search):
    """Whether the target is the label or the label is another; the others are as without them."""
    net, x, target = case("one" if search is fewest_pixels else "two")
    for label in (net.classify(x), (target + 3) % 4):
        result = search(net, x, label, target=target)
        np.testing.assert_array_equal(result.already, THERE)
        assert not result.dx[THERE].any()
        assert not result.norm[THERE].any()
        assert result.success[THERE].all()
        alone = search(net, x[~THERE], label[~THERE], target=target[~THERE])
        np.testing.assert_allclose(result.dx[~THERE], alone.dx, rtol=1e-9, atol=1e-12)


def test_a_step_that_is_given_is_taken_by_all():
    """`fgsm` goes on towards the target; `pgd` stops at a success, and so does not start."""
    net, x, target = case()
    label = net.classify(x)
    step = fgsm(net, x, label, 0.05, target=target)
    assert (step.linf[THERE] == 0.05).all()
    assert not step.already.any()
    assert not pgd(net, x, label, 0.05, target=target).dx[THERE].any()


def test_without_a_target_those_that_have_another_class_are_there():
    """A label that the network does not give needs no attack."""
    net, x, _ = case()
    label = (net.classify(x) + THERE) % 4
    np.testing.assert_array_equal(backward_error_attack(net, x, label).already, THERE)
