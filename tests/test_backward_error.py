"""`bea.backward_error` against the pseudoinverse of the explicit 𝒜, and what a reader may rely on."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bea import Activation, Dense, Flatten, Network, backward_error
from bea.backward.closed_form import first_order
from bea.backward.linear_systems import rigal_gaches
from bea.networks.network import OUTPUT_ACTIVATIONS
from bea.networks.windows import AveragePool, Convolution, MaxPool
from oracles import (
    HIDDEN,
    PROPERTY,
    activate,
    derivatives,
    expand,
    explicit_map,
    random_images,
    random_network,
    relative_error,
    stack,
    unknowns,
)

RNG = np.random.default_rng
ONS = ("weights", "input", "both")
every_norm = pytest.mark.parametrize("relative", [True, False], ids=["relative", "plain"])
every_on = pytest.mark.parametrize("on", ONS)
seeds = st.integers(0, 2**32 - 1)


def dense(rng, rows, columns, bias=True):
    return Dense(rng.standard_normal((rows, columns + bias)) / math.sqrt(columns), bias)


def convolution(rng, filters, channels, size, stride=1, padding=0, bias=True):
    columns = math.prod(np.broadcast_to(size, 2)) * channels
    return Convolution(rng.standard_normal((filters, columns + bias)) / math.sqrt(columns), size, stride, padding, bias)


# Shape of an image, and layers with random weights.
NETWORKS = {
    "five dense": (
        (7,),
        lambda rng: [
            *(dense(rng, 8, 7), Activation("tanh"), dense(rng, 7, 8), Activation("sigmoid")),
            *(dense(rng, 9, 7, False), Activation("relu"), dense(rng, 7, 9), Activation("smooth_relu", 0.3)),
            dense(rng, 4, 7),
        ],
    ),
    "strided and padded": (
        (6, 5, 2),
        lambda rng: [convolution(rng, 3, 2, (2, 3), (2, 1), 1), Activation("relu"), Flatten(), dense(rng, 4, 60)],
    ),
    "maximum pools": (
        (9, 8, 2),
        lambda rng: [
            *(convolution(rng, 3, 2, 2), Activation("tanh"), MaxPool(2), convolution(rng, 4, 3, 2)),
            *(Activation("relu"), MaxPool((1, 2)), Flatten(), dense(rng, 6, 12), Activation("sigmoid")),
            dense(rng, 4, 6),
        ],
    ),
    "average pools": (
        (8, 7, 2),
        lambda rng: [
            *(AveragePool(3, (2, 1)), convolution(rng, 4, 2, 2, padding=((0, 1), (1, 0)), bias=False)),
            *(Activation("smooth_relu", 0.1), AveragePool((2, 1)), Flatten(), dense(rng, 6, 20), Activation("tanh")),
            dense(rng, 3, 6, False),
        ],
    ),
    "overlapping pool": (
        (5, 6, 3),
        lambda rng: [MaxPool(2, 1), Flatten(), dense(rng, 6, 60), Activation("linear"), dense(rng, 4, 6)],
    ),
    "three convolutions": (
        (7, 6, 1),
        lambda rng: [
            *(convolution(rng, 2, 1, 2), Activation("linear"), convolution(rng, 3, 2, 3, padding=1)),
            *(Activation("smooth_relu", 2.0), convolution(rng, 3, 3, 2, stride=2), Activation("sigmoid"), Flatten()),
            *(dense(rng, 8, 18), Activation("relu"), dense(rng, 4, 8)),
        ],
    ),
}


def layered_problem(name, output="linear", activated=False, n=2, seed=0):
    """A network, images, and outputs to explain that its output activation can take."""
    rng, (shape, make) = RNG(seed), NETWORKS[name]
    net = Network(make(rng), shape, output)
    x, logits = rng.random((n, *shape)), rng.standard_normal((n, net.classes))
    return net, x, np.array([activate(output, sample)[0] for sample in logits]) if activated else logits


def assert_equal(found, expected, rows=slice(None)):
    """Assert that two perturbations are the same for these samples, bit for bit."""
    assert found.attained[rows].tolist() == expected.attained[rows].tolist()
    np.testing.assert_array_equal(found.objective[rows], expected.objective[rows])
    for i in np.arange(len(found.attained))[rows]:
        np.testing.assert_array_equal(unknowns(found, i), unknowns(expected, i))


def random_problem(seed, hidden=(), n=3, classes=None, pixels=None, **options):
    """A network, a batch of images and logits to explain; every logit can be reached on the input alone."""
    rng = RNG(seed)
    classes = classes or int(rng.integers(2, 6))
    shape = (pixels or int(rng.integers(classes, 12)),)
    net = random_network(rng, hidden, classes, shape, **options)
    return net, random_images(rng, net, n), rng.standard_normal((n, classes))


def naive(net, x, y_hat, on, relative, i):
    """Return θ = D (𝒜 D)⁺ (ŷ - y) of sample i, D the diagonal matrix of scales."""
    A, scales = explicit_map(net, x[i], on, relative)
    return scales * (np.linalg.pinv(A * scales) @ (y_hat[i] - expand(net, x[i])[0]))


@every_on
@every_norm
def test_one_affine_layer_equals_the_pseudoinverse(on, relative):
    """100 random layers, with and without bias: θ is 𝒜⁺ (ŷ - y) in the norm asked for."""
    for seed in range(100):
        net, x, y_hat = random_problem(seed, bias=seed % 2 == 0)
        p = backward_error(net, x, y_hat, on, relative)
        assert p.attained.all()
        # The input's error grows with the condition of the kernel, so it is divided out.
        cond = np.linalg.cond(net.weighted[0].kernel) if on == "input" else 1.0
        for i in range(len(x)):
            assert relative_error(unknowns(p, i), naive(net, x, y_hat, on, relative, i)) <= 1e-13 * cond


@every_on
@every_norm
@pytest.mark.parametrize("name", [name for name in HIDDEN if name != "one"])
def test_several_layers_equal_the_pseudoinverse(on, relative, name):
    """Two and three layers with activations: θ is the pseudoinverse of the whole explicit 𝒜."""
    for seed in range(20):
        net, x, y_hat = random_problem(seed, HIDDEN[name], classes=3, pixels=8)
        p = backward_error(net, x, y_hat, on, relative)
        for i in range(len(x)):
            A, scales = explicit_map(net, x[i], on, relative)
            cond = np.linalg.cond(A * scales)
            assert cond > 1e6 or p.attained[i]
            if cond <= 1e6:
                assert relative_error(unknowns(p, i), naive(net, x, y_hat, on, relative, i)) <= 1e-13 * cond


@pytest.mark.parametrize("output", ["logits", *OUTPUT_ACTIVATIONS])
@pytest.mark.parametrize("name", NETWORKS)
def test_convolutions_pools_and_activated_outputs_equal_the_pseudoinverse(name, output):
    """Whatever the network, its outputs, what may change and the norm: θ is 𝒜⁺ (ŷ - y), 𝒜 from loops over windows.

    Behind softmax, 𝒜 has the rank classes - 1, and ŷ, whose sum is one, is reached all the same. Where dead units make
    the rank smaller, ŷ is not attained.
    """
    activated, attained = output != "logits", 0
    for seed in range(3):
        net, x, y_hat = layered_problem(name, output if activated else "linear", activated, seed=seed)
        explicit = [derivatives(net, image, activated) for image in x]
        p, rank = len(net.weighted), net.classes - (output == "softmax")
        for on, relative in itertools.product((*ONS, (2,), (1, p), (p - 1, "input"), ("input", 1)), (True, False)):
            found = backward_error(net, x, y_hat, on, relative, activated)
            for i in range(len(x)):
                A, scales = stack(net, x[i], explicit[i], on, relative)
                singular = np.linalg.svd(A * scales, compute_uv=False)
                assert (singular[rank:] <= 1e-14 * singular[0]).all()
                cond = singular[0] / singular[rank - 1]
                assert cond < 1e4 or cond > 1e14
                assert found.attained[i] == (cond < 1e4)
                if not found.attained[i]:
                    continue
                theta = scales * (np.linalg.pinv(A * scales, rcond=1e-12) @ (y_hat[i] - explicit[i][0]))
                assert relative_error(unknowns(found, i), theta) <= 3e-14 * cond
                size = found.objective[i] if relative else np.sum(found.norms[i] ** 2)
                assert relative_error(size, np.sum((theta / scales) ** 2)) <= 3e-14 * cond
                attained += 1
    assert attained >= 42  # half of them


@pytest.mark.parametrize("name", NETWORKS)
def test_identity_as_output_activation_changes_nothing(name):
    """Activated outputs of the identity have the backward errors of logits, bit for bit."""
    net, x, y_hat = layered_problem(name)
    for on, relative in itertools.product(ONS, (True, False)):
        logits, activated = (backward_error(net, x, y_hat, on, relative, activated) for activated in (False, True))
        assert_equal(logits, activated)


@pytest.mark.parametrize("name", ["maximum pools", "average pools", "three convolutions"])
def test_perturbed_networks_equal_the_loops_over_windows(name):
    """``perturbed_logits`` and the network of every sample compute what the loops do with A_i + ΔA_i and x + Δx."""
    net, x, y_hat = layered_problem(name)
    p = backward_error(net, x, y_hat, "both")
    for i in range(len(x)):
        other, image = net.perturbed(p, i)
        pairs = zip(other.weighted, net.weighted, strict=True)
        changes = [*((new.matrix - old.matrix).ravel() for new, old in pairs), (image - x[i]).ravel()]
        changes = np.concatenate(changes)
        assert relative_error(changes, unknowns(p, i)) <= 1e-14
        logits = derivatives(other, image)[0]
        assert relative_error(other(image[None])[0], logits) <= 1e-14
        assert relative_error(net.perturbed_logits(p)[i], logits) <= 1e-14


@pytest.mark.parametrize("output", OUTPUT_ACTIVATIONS)
@pytest.mark.parametrize("name", ["average pools", "maximum pools"])
def test_what_is_neglected_is_of_second_order(name, output):
    """A tenth of the way towards ŷ, the perturbed network misses by a hundredth."""
    net, x, y_hat = layered_problem(name, output, activated=True)
    y = net.activate(net(x))
    for on in ONS:
        ways = np.array([1e-4, 1e-5])
        errors = [backward_error(net, x, y + way * (y_hat - y), on, activated=True) for way in ways]
        misses = [
            np.linalg.norm(net.activate(net.perturbed_logits(p)) - y - way * (y_hat - y), axis=1)
            for p, way in zip(errors, ways, strict=True)
        ]
        np.testing.assert_allclose(misses[0] / misses[1], 100, rtol=0.05)


@every_norm
@pytest.mark.parametrize("on", ["weights", "input"])
def test_one_affine_layer_is_exact_on_weights_or_on_input(on, relative):
    """Nothing is neglected: the perturbed network gives ŷ to rounding."""
    for seed in range(50):
        net, x, y_hat = random_problem(seed)
        p = backward_error(net, x, y_hat, on, relative)
        for i in range(len(x)):
            other, image = net.perturbed(p, i)
            assert relative_error(expand(other, image)[0], y_hat[i]) <= 1e-13 * np.linalg.cond(net.weighted[0].kernel)


@every_norm
def test_one_affine_layer_misses_by_the_product_of_both_perturbations(relative):
    """On both, what the perturbed layer gives differs from ŷ by exactly ΔA Δx."""
    for seed in range(50):
        net, x, y_hat = random_problem(seed)
        p = backward_error(net, x, y_hat, "both", relative)
        (left, right), dx = p.dA[0], p.dx
        miss = np.array([expand(*net.perturbed(p, i))[0] for i in range(len(x))]) - y_hat
        product = np.array([np.outer(left[i], right[i])[:, :-1] @ dx[i] for i in range(len(x))])
        assert np.linalg.norm(product) > 1e-3
        assert np.linalg.norm(miss - product) <= 1e-14 * np.linalg.norm(y_hat)


@PROPERTY
@given(seed=seeds, on=st.sampled_from(ONS), relative=st.booleans(), name=st.sampled_from(sorted(HIDDEN)))
def test_no_vector_of_the_null_space_makes_it_smaller(seed, on, relative, name):
    """θ is orthogonal to the null space of 𝒜, in the norm asked for: adding a part of it can only lengthen θ."""
    net, x, y_hat = random_problem(seed, HIDDEN[name], classes=3, pixels=8)
    p = backward_error(net, x, y_hat, on, relative)
    for i in np.flatnonzero(p.attained):
        A, scales = explicit_map(net, x[i], on, relative)
        theta = unknowns(p, i) / scales
        null_space = np.linalg.svd(A * scales)[2][len(A) :]
        assert len(null_space) > 0
        assert np.linalg.norm(null_space @ theta) <= 1e-12 * np.linalg.norm(theta)


@PROPERTY
@given(
    seed=seeds,
    on=st.sampled_from(ONS),
    relative=st.booleans(),
    factor=st.floats(-1e6, 1e6).filter(lambda f: f**2 > 1e-12),
)
def test_it_grows_in_proportion_to_what_it_explains(seed, on, relative, factor):
    """f times ŷ - y needs f times the perturbation."""
    net, x, change = random_problem(seed, HIDDEN["two"], classes=3, pixels=8)
    once = backward_error(net, x, net(x) + change, on, relative)
    scaled = backward_error(net, x, net(x) + factor * change, on, relative)
    # Adding y and subtracting it again costs u ‖y‖, and the condition of 𝒜 magnifies it.
    for i in range(len(x)):
        A, scales = explicit_map(net, x[i], on, relative)
        rounding = 1e-14 * np.linalg.cond(A * scales) * (1 + 1 / abs(factor))
        assert relative_error(unknowns(scaled, i), factor * unknowns(once, i)) <= rounding


@PROPERTY
@given(seed=seeds, on=st.sampled_from(ONS), relative=st.booleans(), name=st.sampled_from(sorted(HIDDEN)))
def test_a_batch_equals_its_samples_one_by_one(seed, on, relative, name):
    """The result for an image does not depend on the others of the batch."""
    net, x, y_hat = random_problem(seed, HIDDEN[name], n=5, classes=3, pixels=8)
    whole = backward_error(net, x, y_hat, on, relative)
    for i in range(len(x)):
        alone = backward_error(net, x[i : i + 1], y_hat[i : i + 1], on, relative)
        A, scales = explicit_map(net, x[i], on, relative)
        assert alone.attained[0] == whole.attained[i]
        if whole.attained[i]:
            assert relative_error(unknowns(alone, 0), unknowns(whole, i)) <= 1e-14 * np.linalg.cond(A * scales)
            assert relative_error(alone.objective[0], whole.objective[i]) <= 1e-14 * np.linalg.cond(A * scales)


@pytest.mark.parametrize("bias", [True, False])
@every_norm
def test_one_affine_layer_is_the_formula_of_rigal_and_gaches(bias, relative):
    """One layer on the weights: ‖ΔA‖/‖A‖ is η for A h = ŷ with only A uncertain, h = (x, 1) when there is a bias."""
    net, x, y_hat = random_problem(0, n=50, bias=bias)
    p = backward_error(net, x, y_hat, relative=relative)
    A = np.broadcast_to(net.weighted[0].matrix, (50, *net.weighted[0].matrix.shape))
    h = np.column_stack([x, np.ones(50)]) if bias else x
    eta, dA, _ = rigal_gaches(A, y_hat, h, (np.linalg.norm(net.weighted[0].matrix), 0.0))
    assert relative_error(p.relative_norms[:, 0], eta) <= 1e-14
    assert relative_error(np.einsum("ni,nj->nij", *p.dA[0]), dA) <= 1e-14


@pytest.mark.parametrize("on", ONS)
def test_the_norms_are_those_of_the_written_out_perturbation(on):
    """``norms``, ``relative_norms`` and the objective are Frobenius and Euclidean norms of ΔA_i and Δx."""
    net, x, y_hat = random_problem(0, HIDDEN["three"], classes=3, pixels=8)
    p = backward_error(net, x, y_hat, on)
    for i in range(len(x)):
        dA = [0.0 if pair is None else np.linalg.norm(np.outer(pair[0][i], pair[1][i])) for pair in p.dA]
        norms = np.array([*dA, 0.0 if p.dx is None else np.linalg.norm(p.dx[i])])
        sizes = np.array([*(np.linalg.norm(layer.matrix) for layer in net.weighted), np.linalg.norm(x[i])])
        assert relative_error(p.norms[i], norms) <= 1e-14
        assert relative_error(p.relative_norms[i], norms / sizes) <= 1e-14
        assert relative_error(p.objective[i], np.sum((norms / sizes) ** 2)) <= 1e-14


@every_norm
def test_a_singular_layer_reaches_some_logits_and_reports_the_others(relative):
    """On the input of a layer of rank two: logits in its range are attained, others are NaN, one by one."""
    rng = RNG(5)
    kernel = rng.standard_normal((4, 2)) @ rng.standard_normal((2, 6))
    net = Network((Dense(np.column_stack([kernel, rng.standard_normal(4)])),), (6,))
    x = random_images(rng, net, 6)
    y_hat = net(x) + rng.standard_normal((6, 6)) @ kernel.T
    y_hat[1::2] += rng.standard_normal((3, 4))
    p = backward_error(net, x, y_hat, "input", relative)
    assert p.attained.tolist() == [True, False] * 3
    assert np.isnan(p.dx[1::2]).all()
    assert np.isnan(p.objective[1::2]).all()
    for i in (0, 2, 4):
        assert relative_error(unknowns(p, i), naive(net, x, y_hat, "input", relative, i)) <= 1e-14
    assert backward_error(net, x, y_hat, "weights", relative).attained.all()


@pytest.mark.parametrize("digits", [1, 3, 4, 6])
def test_an_ill_conditioned_layer_is_explained_as_well_as_its_condition_allows(digits):
    """Singular values from 1 to 10^-digits: attained, with the error of a method that never squares the condition."""
    rng = RNG(6)
    U, V = (np.linalg.qr(rng.standard_normal((size, size)))[0] for size in (4, 8))
    kernel = U @ (np.logspace(0, -digits, 4)[:, None] * V[:4])
    net = Network((Dense(np.column_stack([kernel, rng.standard_normal(4)])),), (8,))
    x, y_hat = random_images(rng, net, 5), rng.standard_normal((5, 4))
    p = backward_error(net, x, y_hat, "input", relative=False)
    assert p.attained.all()
    for i in range(5):
        assert relative_error(unknowns(p, i), naive(net, x, y_hat, "input", False, i)) <= 1e-15 * 10**digits


def test_a_black_image_has_no_relative_perturbation():
    """‖Δx‖ relative to ‖x‖ = 0 allows no Δx: not attained on the input, and on both only the weights move."""
    net, x, y_hat = random_problem(3, n=3)
    x[1] = 0.0
    p = backward_error(net, x, y_hat, "input")
    assert p.attained.tolist() == [True, False, True]
    assert np.isfinite(p.dx[[0, 2]]).all()
    assert backward_error(net, x, y_hat, "input", relative=False).attained.all()
    both, weights = (backward_error(net, x, y_hat, on) for on in ("both", "weights"))
    assert both.attained.all()
    assert not both.dx[1].any()
    assert relative_error(both.objective[1], weights.objective[1]) <= 1e-14


@every_on
@every_norm
def test_nothing_to_explain_needs_no_perturbation(on, relative):
    """ŷ = y has θ = 0, attained, even on a black image and a layer of zeros."""
    for net in (random_network(RNG(0)), random_network(RNG(0), bias=False), Network((Dense(np.zeros((2, 3))),), (2,))):
        x = random_images(RNG(1), net, 2)
        x[1] = 0.0
        p = backward_error(net, x, net(x), on, relative)
        assert p.attained.all()
        assert not p.norms.any()
        assert not p.objective.any()


@pytest.mark.parametrize("name", [None, "maximum pools", "three convolutions"])
def test_push_forward_is_the_explicit_map(name):
    """𝒜 θ and 𝒜𝒜ᵀ from the factors, or the entries for convolutions, equal the products with the explicit 𝒜."""
    problem = random_problem(0, HIDDEN["three"], classes=3, pixels=8) if name is None else layered_problem(name)
    net, x, g = problem
    problem = first_order(net, x, "both")
    pushed = problem.push_forward(*problem.pull_back(g))
    for i in range(len(x)):
        A, scales = explicit_map(net, x[i], "both", relative=True)
        gram = (A * scales) @ (A * scales).T
        assert relative_error(problem.gram()[i], gram) <= 1e-14
        assert relative_error(pushed[i], gram @ g[i]) <= 1e-14


def dead(rng):
    """Hidden units that are off for a black image."""
    kernel, bias = np.abs(rng.standard_normal((5, 4))), -0.1 * np.ones(5)
    return Network((Dense(np.column_stack([kernel, bias])), Activation("relu"), dense(rng, 3, 5)), (4,)), 0.0


def saturated(rng):
    """Hidden units that a bright image drives to exactly 1 or -1."""
    net = Network((dense(rng, 5, 4), Activation("tanh"), dense(rng, 3, 5)), (4,))
    return net, 1e4


def black(rng):
    """Without biases, a black image reaches no weight."""
    return random_network(rng, HIDDEN["two"], 3, (4,), bias=False), 0.0


def dead_filters(rng):
    """The same with a convolution and a pool in front."""
    matrix = np.column_stack([np.abs(rng.standard_normal((4, 4))), -0.1 * np.ones(4)])
    layers = (Convolution(matrix, 2), Activation("relu"), MaxPool(2), Flatten(), dense(rng, 3, 4))
    return Network(layers, (3, 3, 1)), 0.0


@every_norm
@pytest.mark.parametrize(
    ("make", "on"),
    [
        *((make, on) for make in (dead, saturated, dead_filters) for on in ((1,), "input", (1, "input"))),
        *((black, on) for on in ("weights", (1,), (2,))),
    ],
)
def test_a_sample_that_nothing_reaches_leaves_the_others_as_they_are(make, on, relative):
    """Not attained, and NaN, for this sample alone; the others equal, bit for bit, those of a batch without it."""
    net, factor = make(RNG(1))
    x, y_hat = random_images(RNG(2), net, 4), RNG(3).standard_normal((4, 3))
    before = backward_error(net, x, y_hat, on, relative)
    assert before.attained.all()
    x[1] *= factor
    p = backward_error(net, x, y_hat, on, relative)
    assert p.attained.tolist() == [True, False, True, True]
    assert np.isnan(p.objective[1])
    assert np.isnan(unknowns(p, 1)).all()
    assert_equal(p, before, [0, 2, 3])


@every_norm
@pytest.mark.parametrize("make", [dead, saturated, dead_filters])
def test_behind_units_that_are_stuck_only_the_last_layer_changes(make, relative):
    """Where all hidden units are dead or saturated, the last layer alone explains ŷ, on weights and on both."""
    net, factor = make(RNG(1))
    x, y_hat = factor * random_images(RNG(2), net, 3), RNG(3).standard_normal((3, 3))
    last = backward_error(net, x, y_hat, (2,), relative)
    for on in ("weights", "both"):
        p = backward_error(net, x, y_hat, on, relative)
        assert p.attained.all()
        assert not p.norms[:, [0, 2]].any()
        assert relative_error(p.norms, last.norms) <= 1e-14


@every_on
@pytest.mark.parametrize("output", ["tanh", "sigmoid", "softmax"])
def test_an_output_saturated_to_rounding_is_not_attained(output, on):
    """Outputs of exactly 0 or 1 have a zero derivative: NaN for this sample, the others bit for bit as without it."""
    rng = RNG(1)
    net = random_network(rng, (), 3, (4,), output_activation=output)
    x, y_hat = random_images(rng, net, 4), np.array([activate(output, v)[0] for v in rng.standard_normal((4, 3))])
    before = backward_error(net, x, y_hat, on, activated=True)
    assert before.attained.all()
    x[1] *= 1e6
    assert np.isin(net.activate(net(x))[1], (-1.0, 0.0, 1.0)).all()
    p = backward_error(net, x, y_hat, on, activated=True)
    assert p.attained.tolist() == [True, False, True, True]
    assert np.isnan(unknowns(p, 1)).all()
    assert_equal(p, before, [0, 2, 3])


@every_on
def test_a_sample_too_large_for_float64_is_not_attained(on):
    """Where 𝒜𝒜ᵀ overflows: NaN for this sample, the others bit for bit as without it."""
    net = random_network(RNG(0), (), 3, (4,), bias=False)
    x, y_hat = random_images(RNG(1), net, 3), RNG(2).standard_normal((3, 3))
    before = backward_error(net, x, y_hat, on)
    x[1] *= 1e200
    with np.errstate(all="ignore"):
        p = backward_error(net, x, y_hat, on)
        assert p.attained.tolist() == [True, False, True]
        assert np.isnan(unknowns(p, 1)).all()
        assert_equal(p, before, [0, 2])


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_layer_of_zeros_has_no_relative_perturbation(number):
    """‖ΔA_i‖ relative to ‖A_i‖ = 0 allows no ΔA_i: the other layers alone explain ŷ, or it is not attained."""
    net = random_network(RNG(0), [(5, "tanh"), (4, "sigmoid")], 3, (4,))
    layers = list(net.layers)
    layers[2 * number - 2] = Dense(0.0 * net.weighted[number - 1].matrix)
    net = Network(tuple(layers), (4,))
    x, y_hat = random_images(RNG(1), net, 3), RNG(2).standard_normal((3, 3))
    assert not backward_error(net, x, y_hat, (number,)).attained.any()
    for on in ("weights", "both"):
        p = backward_error(net, x, y_hat, on)
        # Without the last layer nothing passes on to the logits.
        assert p.attained.tolist() == [number < 3] * 3
        if number < 3:
            assert not p.norms[:, number - 1].any()
            assert np.isfinite(p.objective).all()
            for i in range(3):
                assert relative_error(unknowns(p, i), naive(net, x, y_hat, on, True, i)) <= 1e-13
    plain = backward_error(net, x, y_hat, (3,), relative=False)
    assert plain.attained.all()
    assert np.isinf(plain.relative_norms[:, 2]).all() == (number == 3)


@pytest.mark.parametrize(
    ("output", "size", "tolerance"),
    [
        *(("sigmoid", size, 1e-14) for size in (5, 15, 30)),
        *(("softmax", 5, 1e-14), ("softmax", 15, 2e-12), ("softmax", 30, 3e-9)),
        *(("tanh", 5, 2e-12), ("tanh", 10, 1e-7)),
    ],
)
def test_outputs_near_saturation_keep_their_digits(output, size, tolerance):
    """Logits around -size, -size/2 and 0: θ is the smallest for the logits that ŷ stands for.

    ŷ - y = F 𝒜 θ, F the derivative of the activation, is 𝒜 θ = F⁻¹ (ŷ - y); behind softmax up to a constant, which
    the oracle chooses to make θ the smallest. Only outputs near one, which float64 stores with few digits of their
    distance from one, cost some accuracy.
    """
    base = random_network(RNG(0), HIDDEN["two"], 3, (4,))
    matrix = base.weighted[-1].matrix.copy()
    matrix[:, -1] = np.array([-1.0, -0.5, 0.02]) * size
    net = Network((*base.layers[:-1], Dense(matrix)), (4,), output)
    x = random_images(RNG(1), net, 5)
    y = net(x)
    y_hat = np.array([activate(output, v)[0] for v in y + 0.5 * RNG(2).standard_normal(y.shape)])
    p = backward_error(net, x, y_hat, activated=True, relative=False)
    assert p.attained.all()
    for i in range(5):
        A, _ = explicit_map(net, x[i], "weights")
        outputs, F = activate(output, y[i])
        step = y_hat[i] - outputs
        if output == "softmax":
            theta, free = np.linalg.pinv(A) @ (step / outputs), np.linalg.pinv(A) @ np.ones(3)
            theta -= free * (free @ theta) / (free @ free)
        else:
            theta = np.linalg.pinv(A) @ (step / np.diag(F))
        assert relative_error(unknowns(p, i), theta) <= tolerance


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_hat": np.zeros(4)}, r"y_hat: expected shape \(2, 4\), received \(4,\)"),
        ({"y_hat": np.zeros((2, 3))}, r"y_hat: expected shape \(2, 4\), received \(2, 3\)"),
        ({"y_hat": np.full((2, 4), np.nan)}, "y_hat: expected finite outputs, received NaN"),
        ({"y_hat": np.full((2, 4), np.inf)}, "y_hat: expected finite outputs, received NaN or Inf"),
        ({"x": np.full((2, 2, 3), np.nan)}, "x: expected finite pixels, received NaN or Inf in image 0"),
        ({"x": np.full((2, 2, 3), -np.inf)}, "x: expected finite pixels, received NaN or Inf in image 0"),
        ({"x": np.zeros((3, 2, 3))}, r"y_hat: expected shape \(3, 4\), received \(2, 4\)"),
        ({"x": np.zeros((2, 3))}, r"x: expected a batch of shape \(n, 2, 3\), received \(2, 3\)"),
        ({"x": np.full((2, 2, 3), 255)}, "x: expected pixels between 0 and 1, received values from 255 to 255"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(change, message):
    """One ValueError that names the argument, what was expected and what came."""
    net = random_network(RNG(0), input_range=(0, 1))
    with pytest.raises(ValueError, match=message):
        backward_error(net, **({"x": np.zeros((2, 2, 3)), "y_hat": np.zeros((2, 4))} | change))


@pytest.mark.parametrize(
    "on",
    [
        *("bias", "Weights", "", True, 1, 1.5, None, (), [], {"input"}, np.array([1])),
        *((0,), (4,), (-1,), (1, 1), ("input", 1, "input"), (True,), (1.0,), ("weights",), ((1,),), (1, [2])),
    ],
    ids=repr,
)
def test_a_malformed_choice_of_what_may_change_is_refused(on):
    """Anything but the three words and tuples of distinct numbers from 1 to p = 3 and "input": one ValueError."""
    net = random_network(RNG(0), HIDDEN["three"])
    message = (
        "on: expected one of ('weights', 'input', 'both') or a tuple of distinct layer numbers from 1 to 3 "
        f'and "input", received {on!r}'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        backward_error(net, np.zeros((2, 2, 3)), np.zeros((2, 4)), on)


@pytest.mark.parametrize(
    ("output", "values", "message"),
    [
        *(("tanh", [0.5, value, -0.5], "tanh, between -1 and 1") for value in (1.0, -1.0, 1.5, -2.0)),
        *(("sigmoid", [0.5, value, 0.2], "sigmoid, between 0 and 1") for value in (1.0, 0.0, -0.1, 1.5)),
        *(("softmax", [0.5, value, 0.5 - value], "softmax, between 0 and 1") for value in (0.0, -0.1, 0.5)),
        *(("softmax", [0.2, 0.3, 0.5 + value], "softmax, summing to 1") for value in (1e-3, -1e-9, 0.4)),
    ],
)
def test_outputs_that_the_activation_never_takes_are_refused(output, values, message):
    """One ValueError that names y_hat, the activation with its range, and the sample; as logits they are fine."""
    net = random_network(RNG(0), (), 3, (4,), output_activation=output)
    x, y_hat = random_images(RNG(1), net, 3), np.full((3, 3), 1 / 3)
    y_hat[1] = values
    with pytest.raises(ValueError, match=rf"^y_hat: expected outputs of {message}.* for sample 1$"):
        backward_error(net, x, y_hat, activated=True)
    assert backward_error(net, x, y_hat).attained.all()


@pytest.mark.parametrize("name", ["x", "y_hat"])
def test_complex_numbers_are_refused(name):
    """No imaginary part is thrown away: one error that names the argument."""
    net = random_network(RNG(0), (), 3, (4,))
    arguments = {"x": np.zeros((2, 4)), "y_hat": np.zeros((2, 3))}
    with pytest.raises((ValueError, TypeError), match=f"^{name}: expected real"):
        backward_error(net, **arguments | {name: arguments[name] + 1j})


@pytest.mark.parametrize("name", NETWORKS)
def test_an_empty_batch_has_an_empty_result(name):
    """No images need no perturbation."""
    net, x, y_hat = layered_problem(name)
    p = backward_error(net, x[:0], y_hat[:0], "both")
    assert p.objective.shape == p.attained.shape == (0,)
    assert p.dx.shape == x[:0].shape
