"""Networks with sums of two paths and convolutions in groups: linearised and attacked, by JAX's derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bea import (
    Activation,
    Convolution,
    Dense,
    GlobalAveragePool,
    Network,
    Residual,
    Scale,
    attack,
    backward_error,
)
from bea.attacks.hessian import hessian_product
from bea.backward.closed_form import changing, first_order
from bea.backward.relative_changes import relative_changes
from bea.networks.layers import Weighted
from oracles import RNG, least_distance, random_convolution, relative_error, relative_scales, unknowns

SHAPE = (4, 3, 2)
PARTS = {
    "input": ["input"],
    "weights": range(1, 8),
    "both": [*range(1, 8), "input"],
    (2, 6): [2, 6],  # the layer in groups, and one on a shortcut
    (4, 5, "input"): [4, 5, "input"],
}


def network(activation="silu", seed=0):
    """Convolutions and dense layers within two sums, one of them within a branch."""
    rng, act = RNG(seed), Activation(activation)
    inner = Residual((Convolution(rng.standard_normal((4, 10)) / 3, 3, padding=1, groups=4), act))
    layers = [
        random_convolution(rng, 4, 2, 2, padding=((0, 1), (1, 0))),
        Residual((inner, random_convolution(rng, 4, 4, 1, bias=False)), (Scale(rng.random(4)),)),
        act,
        GlobalAveragePool(),
        Residual((Dense(rng.standard_normal((5, 5))), act, Dense(rng.standard_normal((3, 6)))), (dense(rng, 3, 4),)),
        dense(rng, 3, 3),
    ]
    return Network(layers, SHAPE)


def dense(rng, rows, columns):
    """A dense layer with Gaussian weights."""
    return Dense(rng.standard_normal((rows, columns + 1)))


def images(n=4):
    return RNG(1).random((n, *SHAPE))


def in_jax(layers, matrices, y):
    """One input through the layers in JAX, each with weights with the next of the matrices."""
    for layer in layers:
        match layer:
            case Residual():
                y = sum(in_jax(path, matrices, y) for path in layer.paths)
            case Dense():
                y = next(matrices) @ jnp.append(y, 1.0)
            case Convolution():
                matrix = next(matrices)
                kernel = matrix[:, : layer.kernel.shape[1]].reshape(len(matrix), *layer.size, -1).transpose(1, 2, 3, 0)
                options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": layer.groups}
                y = jax.lax.conv_general_dilated(y[None], kernel, layer.stride, layer.padding, **options)[0]
                y = y + matrix[:, -1] if layer.bias else y
            case Scale():
                y = layer.factor * y + layer.shift
            case Activation():
                y = {"silu": jax.nn.silu, "relu": jax.nn.relu}[layer.name](y)
            case GlobalAveragePool():
                y = y.mean((0, 1))
    return y


class Explicit:
    """The logits of a network and all their derivatives, compiled once."""

    def __init__(self, net):
        self.net = net

        def logits(matrices, x):
            return in_jax(net.layers, iter(matrices), x)

        with jax.enable_x64(True):
            self.values = jax.jit(lambda matrices, x: (logits(matrices, x), jax.jacrev(logits, (0, 1))(matrices, x)))

    def __call__(self, x, perturbation=None, i=None):
        """Return logits and the derivatives (classes, entries) by each matrix, then by the input."""
        matrices = [layer.matrix for layer in self.net.weighted]
        if perturbation is not None:
            matrices = [matrix + perturbation.matrix(k, i) for k, matrix in enumerate(matrices)]
            x = x if perturbation.dx is None else x + perturbation.dx[i]
        with jax.enable_x64(True):
            logits, (weights, pixels) = self.values(matrices, x)
        return np.asarray(logits), [np.asarray(part).reshape(len(logits), -1) for part in (*weights, pixels)]

    def map(self, x, parts, *perturbed):
        """Return logits, and 𝒜 in units of ‖A_i‖ and ‖x‖ of the unperturbed ones."""
        logits, blocks = self(x, *perturbed)
        chosen = [blocks[-1 if part == "input" else part - 1] for part in parts]
        return logits, np.hstack(chosen) * relative_scales(self.net, x, parts)


@pytest.fixture(scope="module")
def explicit():
    return Explicit(network())


def test_layers_with_weights_count_branch_first():
    """In the order of the sequence, those of a branch before those of its shortcut."""
    net = network()
    shapes = [layer.matrix.shape for layer in net.weighted]
    assert shapes == [(4, 9), (4, 10), (4, 4), (5, 5), (3, 6), (3, 5), (3, 4)]
    assert net.weight_norms == pytest.approx([np.linalg.norm(layer.matrix) for layer in net.weighted])
    assert all(isinstance(layer, Weighted) for layer in net.weighted)


def test_linearisation_is_that_of_jax(explicit):
    """Logits, and the derivatives by every entry of every matrix and every pixel."""
    net, x = explicit.net, images()
    problem = first_order(net, x, "both", relative=False)
    rng = RNG(2)
    changes = [
        rng.standard_normal((4, *layer.matrix.shape))
        if isinstance(layer, Convolution)
        else (rng.standard_normal((4, len(layer.matrix))), rng.standard_normal((4, layer.matrix.shape[1])))
        for layer in net.weighted
    ]
    dx = rng.standard_normal((4, x[0].size))
    found = problem.push_forward(changes, dx)
    for i in range(4):
        logits, blocks = explicit(x[i])
        entries = [(np.outer(c[0][i], c[1][i]) if isinstance(c, tuple) else c[i]).ravel() for c in changes]
        expected = np.hstack(blocks) @ np.concatenate([*entries, dx[i]])
        assert relative_error(net(x)[i], logits) <= 4e-15
        assert relative_error(found[i], expected) <= 1e-14
        assert relative_error(net.linearise(x).jacobian[i], blocks[-1]) <= 1e-14


def test_a_partial_linearisation_is_part_of_the_whole():
    """Only what is wanted is kept."""
    net, x = network(), images()
    whole, part = net.linearise(x), net.linearise(x, layers=[number == 1 for number in range(7)])
    np.testing.assert_array_equal(part.inputs[1], whole.inputs[1])
    np.testing.assert_array_equal(part.sensitivities[1], whole.sensitivities[1])
    assert [h is None for h in part.inputs] == [number != 1 for number in range(7)]


@pytest.mark.parametrize("on", PARTS, ids=str)
def test_backward_errors_are_those_of_the_pseudoinverse(explicit, on):
    """θ = 𝒜⁺ Δy with 𝒜 written out; what is perturbed is the network itself."""
    net, x = explicit.net, images()
    change = 1e-7 * RNG(3).standard_normal((4, 3))
    found = backward_error(net, x, net(x) + change, on)
    assert found.attained.all()
    for i in range(4):
        _, A = explicit.map(x[i], PARTS[on])
        expected = np.linalg.pinv(A) @ change[i] * relative_scales(net, x[i], PARTS[on])
        assert relative_error(unknowns(found, i), expected) <= 1e-8
        perturbed, image = net.perturbed(found, i)
        assert relative_error(perturbed(image[None])[0], explicit(x[i], found, i)[0]) <= 1e-14
        assert relative_error(net.perturbed_logits(found)[i], explicit(x[i], found, i)[0]) <= 1e-14
    np.testing.assert_allclose(net.perturbed_logits(found) - net(x), change, rtol=0, atol=1e-10)


def test_a_batch_in_blocks_is_the_same_batch(monkeypatch):
    """Where memory is short, samples are taken a few at a time."""
    net, x = network(), images(5)
    y_hat = net(x) + RNG(4).standard_normal((5, 3))
    whole = backward_error(net, x, y_hat, "both")
    monkeypatch.setattr("bea.backward.closed_form.NUMBERS", 2 * net.numbers([True] * 7))
    parts = backward_error(net, x, y_hat, "both")
    np.testing.assert_allclose(parts.norms, whole.norms, rtol=1e-12)
    assert parts.x is whole.x or np.array_equal(parts.x, whole.x)


@pytest.mark.parametrize("on", PARTS, ids=str)
def test_the_first_order_attack_is_the_smallest_of_its_problem(explicit, on):
    """As non-negative least squares find it with 𝒜 written out."""
    net, x = explicit.net, images()
    target = (net.classify(x) + 1) % 3
    result = attack(net, x, target, on)
    for i in range(4):
        logits, A = explicit.map(x[i], PARTS[on])
        D = np.delete(np.eye(3)[target[i]] - np.eye(3), target[i], axis=0)
        smallest = least_distance(D @ A, 1e-3 - D @ logits)
        assert result.objective[i] == pytest.approx(smallest @ smallest, rel=1e-9)


@pytest.mark.parametrize("on", PARTS, ids=str)
def test_the_converged_attack_is_optimal_in_the_network_itself(explicit, on):
    """The target leads by the margin, and θ = Gᵀ λ with λ ≥ 0, G the derivatives by all entries at the perturbation."""
    net, x = explicit.net, images()
    target = (net.classify(x) + 1) % 3
    result = attack(net, x, target, on, method="converged")
    assert result.success.all()
    for i in range(4):
        logits, A = explicit.map(x[i], PARTS[on], result.perturbation, i)
        D = np.delete(np.eye(3)[target[i]] - np.eye(3), target[i], axis=0)
        leads = D @ logits
        assert leads.min() == pytest.approx(1e-3, rel=1e-4)
        theta = unknowns(result.perturbation, i) / relative_scales(net, x[i], PARTS[on])
        active = (D @ A)[leads < 1e-3 * (1 + 1e-4)]
        multipliers, *_ = np.linalg.lstsq(active.T, theta, rcond=None)
        assert (multipliers >= 0).all()
        assert relative_error(active.T @ multipliers, theta) <= 1e-5


def test_kinks_within_paths_are_searched_round(explicit):
    """With ReLUs, weights and input: the target wins, with no more than a random change of that length would need."""
    net, x = network("relu"), images()
    target = (net.classify(x) + 1) % 3
    result = attack(net, x, target, "weights", method="converged")
    assert result.success.all()
    assert (result.objective <= 2.0 * attack(net, x, target, "weights").objective).all()


def test_componentwise_changes_have_the_derivatives_of_jax(explicit):
    """Of the logits by relative changes of every entry of two layers and of the input."""
    net, x = explicit.net, images()
    changes, parts = relative_changes(net, x, changing(net, (2, 6, "input"))), [2, 6, "input"]
    v = 0.1 * RNG(5).standard_normal((4, sum(changes.sizes)))
    logits, memory = changes.forward(v)
    weights = RNG(6).standard_normal((4, 3))
    found, (dA, dx) = changes.gradient(memory, weights), changes.perturbation(v)
    for i in range(4):
        matrices = [layer.matrix + (0 if c is None else c[i]) for layer, c in zip(net.weighted, dA, strict=True)]
        with jax.enable_x64(True):
            expected, (by, pixels) = jax.tree.map(np.asarray, explicit.values(matrices, x[i] + dx[i]))
        assert relative_error(logits[i], expected) <= 4e-15
        blocks = [
            weights[i]
            @ (pixels if part == "input" else by[part - 1]).reshape(3, -1)
            * np.abs(x[i] if part == "input" else net.weighted[part - 1].matrix).ravel()
            for part in parts
        ]
        blocks[-1] = blocks[-1][changes.pixels[i]]
        assert relative_error(found[i], np.concatenate(blocks)) <= 1e-13


def test_products_with_the_hessian_are_differences_of_gradients():
    """Through sums, by second derivatives of their paths."""
    net, x = network(), images()
    label, d, step = net.classify(x), RNG(7).standard_normal(images().shape), 1e-5
    found = hessian_product(net, x, label, d)

    def slope(x):
        def weights(logits):
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True) - np.eye(3)[label]

        return net.gradient(x, weights)

    assert relative_error(found, (slope(x + step * d) - slope(x - step * d)) / (2 * step)) <= 1e-8
