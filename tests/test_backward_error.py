"""`bea.backward_error` against the pseudoinverse of the explicit 𝒜, and what a reader may rely on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bea import Dense, Network, backward_error
from bea.backward_error import first_order
from bea.linear_systems import rigal_gaches
from oracles import HIDDEN, PROPERTY, expand, explicit_map, random_images, random_network, relative_error, unknowns

RNG = np.random.default_rng
ONS = ("weights", "input", "both")
every_norm = pytest.mark.parametrize("relative", [True, False], ids=["relative", "plain"])
every_on = pytest.mark.parametrize("on", ONS)
seeds = st.integers(0, 2**32 - 1)


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


def test_without_bias_it_is_the_formula_of_rigal_and_gaches():
    """One layer without bias on the weights: ‖ΔA‖/‖A‖ is η for A x = ŷ with only A uncertain."""
    net, x, y_hat = random_problem(0, n=50, bias=False)
    p = backward_error(net, x, y_hat)
    A = np.broadcast_to(net.weighted[0].matrix, (50, *net.weighted[0].matrix.shape))
    eta, dA, _ = rigal_gaches(A, y_hat, x, (np.linalg.norm(net.weighted[0].matrix), 0.0))
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


def test_push_forward_is_the_explicit_map():
    """𝒜 θ and 𝒜𝒜ᵀ from the factors equal the products with the explicit 𝒜."""
    net, x, g = random_problem(0, HIDDEN["three"], classes=3, pixels=8)
    problem = first_order(net, x, "both")
    pushed = problem.push_forward(*problem.pull_back(g))
    for i in range(len(x)):
        A, scales = explicit_map(net, x[i], "both", relative=True)
        gram = (A * scales) @ (A * scales).T
        assert relative_error(problem.gram()[i], gram) <= 1e-14
        assert relative_error(pushed[i], gram @ g[i]) <= 1e-14


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_hat": np.zeros(4)}, r"y_hat: expected shape \(2, 4\), received \(4,\)"),
        ({"y_hat": np.zeros((2, 3))}, r"y_hat: expected shape \(2, 4\), received \(2, 3\)"),
        ({"y_hat": np.full((2, 4), np.nan)}, "y_hat: expected finite outputs, received NaN"),
        ({"y_hat": np.full((2, 4), np.inf)}, "y_hat: expected finite outputs, received NaN or Inf"),
        ({"on": "bias"}, r"on: expected one of \('weights', 'input', 'both'\), received 'bias'"),
        ({"x": np.zeros((2, 3))}, r"x: expected a batch of shape \(n, 2, 3\), received \(2, 3\)"),
        ({"x": np.full((2, 2, 3), 255)}, "x: expected pixels between 0 and 1, received values from 255 to 255"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(change, message):
    """One ValueError that names the argument, what was expected and what came."""
    net = random_network(RNG(0), input_range=(0, 1))
    with pytest.raises(ValueError, match=message):
        backward_error(net, **({"x": np.zeros((2, 2, 3)), "y_hat": np.zeros((2, 4))} | change))


def test_an_empty_batch_has_an_empty_result():
    """No images need no perturbation."""
    p = backward_error(random_network(RNG(0), input_shape=(3,)), np.zeros((0, 3)), np.zeros((0, 4)), "both")
    assert p.objective.shape == p.attained.shape == (0,)
