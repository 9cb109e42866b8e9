"""`bea.backward.reduction`: the small problem of an attack is the whole problem, with the right derivatives."""

import itertools
import math

import numpy as np
import pytest

from bea import Network
from bea.backward.closed_form import changing
from bea.backward.reduction import reduce
from bea.networks.layers import Dense
from oracles import (
    KINKED_IMAGES,
    SMOOTH_IMAGES,
    image_network,
    perturbed_leads,
    random_network,
    relative_error,
    relative_scales,
)

RNG = np.random.default_rng

# Widths and activations before the logits, input shape, bias. A first layer with fewer rows than pixels has a basis.
DENSE = {
    "one layer": ([], (7,), True),
    "one layer with few pixels": ([], (3,), True),
    "few rows": ([(5, "tanh")], (2, 4), True),
    "few rows without bias": ([(3, "sigmoid"), (4, "tanh")], (6,), False),
    "as many rows as pixels": ([(5, "sigmoid")], (5,), False),
    "many rows": ([(6, "tanh"), (5, "relu")], (4,), True),
    "three hidden layers": ([(4, "tanh"), (6, "relu"), (5, "sigmoid")], (2, 3), True),
}
NAMES = [*DENSE, *SMOOTH_IMAGES, *KINKED_IMAGES]
on_every_network = pytest.mark.parametrize("name", NAMES)


def problem(name, seed=0, n=4):
    """A network and images."""
    if name in DENSE:
        hidden, shape, bias = DENSE[name]
        net = random_network(RNG(seed), hidden, 4, shape, bias)
    else:
        net = image_network(name, seed)
    return net, RNG(seed + 1).random((n, *net.input_shape))


def choices(net):
    """Everything that ``on`` can be: all subsets of layers and input."""
    parts = [*range(1, len(net.weighted) + 1), "input"]
    return [on for size in range(1, len(parts) + 1) for on in itertools.combinations(parts, size)]


def reduced(net, x, on):
    """The reduced problem, and its number of unknowns."""
    reduction = reduce(net, x, changing(net, on), len(x))
    return reduction, sum(reduction.tail.sizes)


def whole(n):
    return np.ones(n, bool)


@on_every_network
def test_it_computes_the_logits_of_the_perturbed_network_and_the_objective(name):
    """For any τ, small or large, the tail's logits are those of its perturbation, and ‖τ‖² is eq. (5)."""
    net, x = problem(name)
    for on in choices(net):
        reduction, unknowns = reduced(net, x, on)
        for size in (0.1, 1.0, 3.0):
            tau = size * RNG(unknowns).standard_normal((len(x), unknowns))
            perturbation = reduction.perturbation(tau, whole(len(x)))
            logits = reduction.tail.forward(tau)[0]
            expected = net.perturbed_logits(perturbation)
            assert np.abs(logits - expected).max() <= 1e-14 * np.abs(expected).max()
            assert relative_error(perturbation.objective, np.sum(tau**2, axis=1)) <= 2e-15
            assert [change is not None for change in perturbation.dA] == [i + 1 in on for i in range(len(net.weighted))]
            assert (perturbation.dx is not None) == ("input" in on)


@on_every_network
def test_one_sample_goes_through_the_network_written_out(name):
    """The same with ΔA_i as explicit matrices in a second network, one sample at a time."""
    net, x = problem(name, seed=1, n=2)
    for on in choices(net):
        reduction, unknowns = reduced(net, x, on)
        tau = 0.5 * RNG(unknowns).standard_normal((len(x), unknowns))
        perturbation = reduction.perturbation(tau, whole(len(x)))
        logits = reduction.tail.forward(tau)[0]
        for i in range(len(x)):
            other, image = net.perturbed(perturbation, i)
            assert relative_error(other(image[None])[0], logits[i]) <= 1e-14


def test_only_what_has_an_effect_is_unknown():
    """Dense layers count their rows, a changing input no more than the rows of the first layer, convolutions A."""
    sizes = {
        ("few rows", (1,)): 5,
        ("few rows", ("input",)): 5,
        ("few rows", (1, "input")): 5 + 8,
        ("few rows", (2, "input")): 4 + 5,
        ("many rows", ("input",)): 4,
        ("many rows", (2, 3)): 5 + 4,
        ("convolution", (1, 2)): 39 + 5,
        ("convolution", (3, "input")): 4 + 32,
        ("two convolutions", (2,)): 32,
    }
    for (name, on), unknowns in sizes.items():
        assert reduced(*problem(name), on)[1] == unknowns


@on_every_network
def test_derivatives_agree_with_differences(name):
    """``pull_back`` is what central differences of ``forward`` say, for rows that are given, all at once.

    A step may cross a kink, which is why the tenth of the differences that is worst is not looked at there.
    """
    net, x = problem(name, seed=2)
    errors, step = [], 1e-5
    for on in choices(net):
        reduction, unknowns = reduced(net, x, on)
        tau = 0.5 * RNG(3).standard_normal((len(x), unknowns))
        rows = RNG(4).standard_normal((len(x), 2, net.classes))
        derivatives = reduction.tail.pull_back(rows, reduction.tail.forward(tau)[1])
        assert derivatives.shape == (len(x), 2, unknowns)
        difference = np.empty_like(derivatives)
        for j, unit in enumerate(step * np.eye(unknowns)):
            change = reduction.tail.forward(tau + unit)[0] - reduction.tail.forward(tau - unit)[0]
            difference[:, :, j] = np.einsum("nkc,nc->nk", rows, change) / (2 * step)
        size = np.linalg.norm(derivatives, axis=2).max()
        errors.append((np.abs(derivatives - difference) / size).ravel())
    kinked = name in KINKED_IMAGES or any(function == "relu" for _, function in DENSE.get(name, [[]])[0])
    assert np.quantile(np.concatenate(errors), 0.9 if kinked else 1.0) <= (1e-9 if kinked else 5e-9)


@on_every_network
def test_one_sample_of_the_tail_is_the_tail_of_one_sample(name):
    """``take`` gives what the samples give in the whole batch: logits, derivatives and perturbations."""
    net, x = problem(name)
    some = np.array([2, 0])
    for on in choices(net):
        reduction, unknowns = reduced(net, x, on)
        tau, rows = RNG(5).standard_normal((len(x), unknowns)), RNG(6).standard_normal((len(x), 1, net.classes))
        logits, memory = reduction.tail.forward(tau)
        fewer = reduction.take(some)
        again, remembered = fewer.tail.forward(tau[some])
        np.testing.assert_allclose(again, logits[some], rtol=0, atol=1e-13)
        derivatives = reduction.tail.pull_back(rows, memory)[some]
        np.testing.assert_allclose(fewer.tail.pull_back(rows[some], remembered), derivatives, rtol=1e-12, atol=1e-13)
        found = fewer.perturbation(tau[some], whole(2))
        np.testing.assert_allclose(found.norms, reduction.perturbation(tau, whole(len(x))).norms[some], rtol=1e-14)


def random_change(net, image, on, rng):
    """Any change of the matrices and the input, of any rank: θ, measured relatively, and its scales."""
    scales = relative_scales(net, image, on)
    return 0.7 * rng.standard_normal(len(scales)) / math.sqrt(len(scales)), scales


def compressed(reduction, net, image, on, theta, scales):
    """τ with the effect of θ: of a dense ΔA_i what it does to what reaches it, of Δx what the tail sees."""
    sizes = [image.size if part == "input" else net.weighted[part - 1].matrix.size for part in on]
    pieces = dict(zip(on, np.split(theta * scales, np.cumsum(sizes)[:-1]), strict=True))
    y, number, found = image[None], 0, []
    if "input" in on:
        y = y + pieces["input"].reshape(y.shape)
    for layer in net.layers:
        if not hasattr(layer, "matrix"):
            y = layer.forward(y)
            continue
        number += 1
        if number not in on:
            y = layer.forward(y)
            continue
        change, size = pieces[number].reshape(layer.matrix.shape), np.linalg.norm(layer.matrix)
        if isinstance(layer, Dense):
            h = layer.augment(y)[0]
            found.append(change @ h / (size * np.linalg.norm(h)))
        else:
            found.append(change.ravel() / size)
        y = layer.with_matrix(layer.matrix + change).forward(y)
    if "input" in on:
        pixels = (image + pieces["input"].reshape(image.shape))[None]
        found.append((reduction.to_tail(pixels) - reduction.to_tail(image[None])).ravel() / np.linalg.norm(image))
    elif isinstance(net.weighted[on[0] - 1], Dense):
        found.append(found.pop(0))  # acts on the tail's input, whose unknowns come last
    return np.concatenate(found)[None]


@on_every_network
def test_no_perturbation_with_the_same_effect_is_smaller(name):
    """For any ΔA_i, of full rank, and any Δx there is a τ with the same logits that is no longer; often it is shorter.

    So nothing is lost by looking for rank-one changes, and for changes of the input in the row space of A_1.
    """
    net, x = problem(name, seed=3)
    shorter = 0
    for on in choices(net):
        reduction, _ = reduced(net, x, on)
        for i, image in enumerate(x):
            theta, scales = random_change(net, image, on, RNG(i))
            tau = compressed(reduction.take(np.array([i])), net, image, on, theta, scales)
            logits = reduction.take(np.array([i])).tail.forward(tau)[0][0]
            leads, _ = perturbed_leads(net, image, 0, on, scales, theta)
            np.testing.assert_allclose(logits[0] - logits[1:], leads, rtol=0, atol=1e-14)
            assert np.linalg.norm(tau) <= np.linalg.norm(theta) * (1 + 1e-14)
            shorter += np.linalg.norm(tau) < 0.9 * np.linalg.norm(theta)
    assert shorter > 0


@pytest.mark.parametrize("name", ["few rows", "few rows without bias", "three hidden layers"])
def test_what_the_first_layer_does_not_see_would_only_cost(name):
    """Adding to Δx something that A_1 maps to zero leaves the logits as they are and makes the objective larger."""
    net, x = problem(name)
    reduction, unknowns = reduced(net, x, "input")
    perturbation = reduction.perturbation(RNG(0).standard_normal((len(x), unknowns)), whole(len(x)))
    flat = perturbation.dx.reshape(len(x), -1)
    unseen = np.linalg.svd(net.weighted[0].kernel)[2][len(net.weighted[0].kernel) :]
    assert np.abs(flat @ unseen.T).max() <= 1e-14
    longer = perturbation.__class__(
        perturbation.dA, (flat + unseen[0]).reshape(x.shape), x, net.weight_norms, perturbation.attained
    )
    np.testing.assert_allclose(net.perturbed_logits(longer), net.perturbed_logits(perturbation), rtol=0, atol=1e-14)
    assert (longer.objective > perturbation.objective).all()


def test_other_images_reach_the_tail_as_its_own_do():
    """``to_tail`` of the images themselves is the tail's unperturbed input."""
    for name in NAMES:
        net, x = problem(name)
        for on in choices(net):
            reduction, _ = reduced(net, x, on)
            own = reduction.tail.x.reshape(len(x), -1)
            np.testing.assert_allclose(reduction.to_tail(x).reshape(own.shape), own, rtol=0, atol=1e-14)


def test_what_is_not_attained_is_nan():
    """Where there is no perturbation every number of it is NaN; the others are untouched."""
    net, x = problem("few rows")
    attained = np.array([True, False, True, True])
    for on in ("weights", "input", "both"):
        reduction, unknowns = reduced(net, x, on)
        tau = RNG(0).standard_normal((len(x), unknowns))
        found, expected = reduction.perturbation(tau, attained), reduction.perturbation(tau, whole(len(x)))
        assert np.isnan(found.objective).tolist() == (~attained).tolist()
        np.testing.assert_array_equal(found.objective[attained], expected.objective[attained])
        if found.dx is not None:
            assert np.isnan(found.dx[1]).all()


def test_what_is_zero_cannot_change():
    """A black image on input, a matrix of zeros, a layer without bias that nothing reaches: no effect and no cost."""
    net, x = problem("few rows without bias")
    x[1] = 0.0
    for on in ("input", (1,), (1, "input")):
        reduction, unknowns = reduced(net, x, on)
        tau = RNG(0).standard_normal((len(x), unknowns))
        perturbation = reduction.perturbation(tau, whole(len(x)))
        np.testing.assert_array_equal(reduction.tail.forward(tau)[0][1], net(x)[1])
        assert perturbation.objective[1] == 0.0
        assert (perturbation.objective[[0, 2, 3]] > 0).all()
    layers = list(net.layers)
    layers[2] = layers[2].with_matrix(np.zeros_like(layers[2].matrix))
    net = Network(tuple(layers), net.input_shape)
    reduction, unknowns = reduced(net, x, (2,))
    tau = RNG(0).standard_normal((len(x), unknowns))
    np.testing.assert_array_equal(reduction.tail.forward(tau)[0], net(x))
    assert not reduction.perturbation(tau, whole(len(x))).objective.any()
