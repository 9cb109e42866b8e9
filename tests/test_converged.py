"""`bea.attack`, converged: it succeeds, is locally optimal, no longer than what SLSQP finds, and breaks nothing."""

import numpy as np
import pytest
from scipy.optimize import nnls
from test_keras import double  # noqa: F401  the fixture

from bea import Activation, Dense, Network, attack, training
from oracles import (
    KINKED_IMAGES,
    SMOOTH_IMAGES,
    image_network,
    nonlinear_slsqp,
    perturbed_leads,
    random_images,
    random_network,
    relative_error,
    relative_scales,
    unknowns,
)

RNG = np.random.default_rng
MARGIN = 1e-3
ROUNDED = Activation("smooth_relu", 0.2)

# Widths and activations before the logits of four classes, over six pixels.
SMOOTH = {
    "tanh": [(5, "tanh")],
    "sigmoid": [(6, "sigmoid")],
    "rounded relu": [(6, ROUNDED)],
    "two hidden layers": [(7, "sigmoid"), (5, "tanh")],
    "rounded relus": [(6, ROUNDED), (6, ROUNDED)],
    "three hidden layers": [(9, "tanh"), (8, "tanh"), (7, "sigmoid")],
}
KINKED = {
    "relu": [(6, "relu")],
    "relus": [(8, "relu"), (6, "relu")],
    "three relus": [(10, "relu"), (10, "relu"), (8, "relu")],
    "mixed": [(7, "sigmoid"), (6, "relu")],
}
on_any = pytest.mark.parametrize("on", ["weights", "input", "both"])
on_one = pytest.mark.parametrize("on", ["weights", "input"])
smooth = pytest.mark.parametrize("name", [*SMOOTH, *SMOOTH_IMAGES])
kinked = pytest.mark.parametrize("name", [*KINKED, *KINKED_IMAGES])


def network(name, seed=0):
    """One of the networks above, or one over small images, with random weights."""
    if name in SMOOTH_IMAGES | KINKED_IMAGES:
        return image_network(name, seed)
    return random_network(RNG(seed), (SMOOTH | KINKED)[name], 4, (6,))


def known_images(net, seed=0, n=2000):
    """Images of many sizes, with the class that leads by more than the margin; where none does, they are left out."""
    rng = RNG(seed)
    images = rng.standard_normal((n, *net.input_shape)) * 10.0 ** rng.uniform(-1, 1.5, (n, *[1] * len(net.input_shape)))
    logits = np.sort(net(images), axis=1)
    images = images[logits[:, -1] - logits[:, -2] > 2 * MARGIN]
    return images, net.classify(images)


def problem(name, on, seed=0, n=30):
    """A network, images, targets, and options for the attack.

    A change of the input cannot reach every class of a small network with bounded activations, so that on input the
    targets are classes of known images, and these are given as examples. Networks that know but one are passed over.
    """
    net, rng = network(name, seed), RNG(seed + 100)
    x = random_images(rng, net, n)
    if on != "input":
        return net, x, (net.classify(x) + rng.integers(1, net.classes, n)) % net.classes, {}
    examples, classes = known_images(net, seed)
    present, own = np.unique(classes), net.classify(x)
    if len(present) == 1:
        return problem(name, on, seed + 100, n)
    place = rng.integers(len(present), size=n)
    target = np.where(present[place] == own, present[place - 1], present[place])
    assert (target != own).all()
    return net, x, target, {"examples": examples}


def converge(net, x, target, on, **options):
    return attack(net, x, target, on, method="converged", **options)


def parts_of(net, on):
    """What changes: numbers of the weighted layers, and "input"."""
    layers = range(1, len(net.weighted) + 1)
    return {"weights": [*layers], "input": ["input"], "both": [*layers, "input"]}[on]


def lead_in_network(net, result, i):
    """Target's logit less the largest other one in the network perturbed for sample i."""
    perturbed, image = net.perturbed(result.perturbation, i)
    logits = perturbed(image[None])[0]
    return logits[result.target[i]] - np.delete(logits, result.target[i]).max()


def is_honest(net, result):
    """Flags, margins and NaN are those of `net.perturbed`, one sample at a time."""
    leads = np.array([lead_in_network(net, result, i) for i in np.flatnonzero(result.success)])
    assert (leads >= result.margin_asked * (1 - 1e-3)).all()
    assert np.abs(leads - result.margin[result.success]).max(initial=0.0) <= 1e-13 * (
        1 + np.abs(leads).max(initial=0.0)
    )
    assert not np.isnan(result.objective[result.success]).any()
    failed = ~result.success
    assert (result.perturbation.attained == result.success).all()
    assert np.isnan(result.objective[failed]).all()
    assert np.isnan(result.margin[failed]).all()


# One affine layer


@on_one
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("margin", [1e-3, 0.5])
def test_one_affine_layer_converges_to_the_first_order_attack(on, bias, classes, margin):
    """There the first-order attack is the global optimum: the same objective and the same perturbation."""
    for seed in range(5):
        rng = RNG(seed)
        net = random_network(rng, [], classes, (8,), bias)
        x = random_images(rng, net, 20)
        target = (net.classify(x) + rng.integers(1, classes, len(x))) % classes
        expected, found = (attack(net, x, target, on, method=m, margin=margin) for m in ("first-order", "converged"))
        assert found.success.all()
        assert relative_error(found.objective, expected.objective) <= 1e-13
        for i in range(len(x)):
            assert relative_error(unknowns(found.perturbation, i), unknowns(expected.perturbation, i)) <= 1e-12


@pytest.mark.parametrize("bias", [True, False])
def test_two_classes_of_one_affine_layer_have_the_closed_form_of_rigal_and_gaches(bias):
    """ΔA = δ hᵀ / ‖h‖² and Δx = A⁺δ, for the change δ of the logits whose image is smallest."""
    net = random_network(RNG(1), [], 2, (7,), bias)
    x = random_images(RNG(2), net, 30)
    layer, target = net.weighted[0], 1 - net.classify(x)
    sign = np.where(target == 0, 1.0, -1.0)
    shortfall = MARGIN - sign * -np.diff(net(x), axis=1)[:, 0]
    weights, pixels = (converge(net, x, target, on) for on in ("weights", "input"))
    for i in range(len(x)):
        h = np.append(x[i], 1.0) if bias else x[i]
        change = np.outer(sign[i] * np.array([0.5, -0.5]) * shortfall[i], h) / (h @ h)
        assert relative_error(weights.perturbation.matrix(0, i), change) <= 1e-13
        normal = sign[i] * (layer.kernel[0] - layer.kernel[1])
        assert relative_error(pixels.perturbation.dx[i], shortfall[i] * normal / (normal @ normal)) <= 1e-13


def gain_over_slsqp(net, x, target, on, **options):
    """By how much of our objective SLSQP's is larger, from zero, on all entries; infinite where it finds nothing."""
    result, parts = converge(net, x, target, on, **options), parts_of(net, on)
    assert result.success.all()
    theirs = [nonlinear_slsqp(net, *pair, parts, MARGIN) for pair in zip(x, target, strict=True)]
    theirs = np.array([np.inf if theta is None else theta @ theta for theta in theirs])
    return theirs / result.objective - 1


# Smooth networks


@on_any
@smooth
def test_every_attack_on_a_smooth_network_succeeds_and_is_optimal(name, on):
    """The target wins in the network itself by the margin, and the conditions of optimality hold."""
    for seed in range(3):
        net, x, target, options = problem(name, on, seed)
        result = converge(net, x, target, on, **options)
        assert result.success.all()
        assert (result.kkt_residual <= 1e-6).all()
        assert (result.iterations >= 1).all()
        is_honest(net, result)


@on_any
@smooth
def test_optimality_holds_for_the_problem_written_out(name, on):
    """θ, all entries of every ΔA_i and Δx, is a combination of gradients of active constraints, none of it negative.

    The gradients come from explicit matrices in the perturbed network, the multipliers from NNLS.
    """
    net, x, target, options = problem(name, on, seed=3, n=4)
    result, parts = converge(net, x, target, on, **options), parts_of(net, on)
    assert result.success.all()
    for i, image in enumerate(x):
        scales = relative_scales(net, image, parts)
        theta = unknowns(result.perturbation, i) / scales
        leads, G = perturbed_leads(net, image, target[i], parts, scales, theta)
        assert leads.min() >= MARGIN * (1 - 1e-3)
        active = leads <= MARGIN + 1e-6
        residual = nnls(G[active].T, theta)[1]
        assert residual <= 1e-6 * np.linalg.norm(theta)
        assert abs(result.objective[i] - theta @ theta) <= 1e-13 * result.objective[i]


@on_any
@smooth
def test_no_smooth_attack_is_longer_than_that_of_slsqp(name, on):
    """SLSQP, from zero, on all entries, never finds an objective that is smaller by more than 1e-6 of it."""
    net, x, target, options = problem(name, on, seed=4, n=3 if name in SMOOTH_IMAGES else 8)
    gain = gain_over_slsqp(net, x, target, on, **options)
    assert np.isfinite(gain).mean() >= 0.7
    assert (gain >= -1e-6)[np.isfinite(gain)].all()


@on_any
@smooth
def test_it_is_no_longer_than_a_first_order_attack_that_succeeds(name, on):
    """What only solves the linearised problem may succeed by luck, but not with less."""
    net, x, target, options = problem(name, on, seed=5, n=60)
    linear, result = attack(net, x, target, on), converge(net, x, target, on, **options)
    assert result.success[linear.success].all()
    assert (result.objective <= linear.objective * (1 + 1e-6))[linear.success].all()


@smooth
def test_more_freedom_costs_less(name):
    """To change everything is no more expensive than to change the weights alone, or the last layer alone."""
    net, x, target, _ = problem(name, "both", seed=6)
    both, weights, last = (converge(net, x, target, on).objective for on in ("both", "weights", (len(net.weighted),)))
    assert (both <= weights * (1 + 1e-6)).all()
    assert (weights <= last * (1 + 1e-6)).all()


# Networks with kinks


@on_any
@kinked
def test_every_attack_on_a_network_with_kinks_succeeds(name, on):
    """ReLUs and maxima: the target wins in the network itself."""
    for seed in range(3):
        net, x, target, options = problem(name, on, seed)
        result = converge(net, x, target, on, **options)
        assert result.success.all()
        is_honest(net, result)
