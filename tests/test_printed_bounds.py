"""Paper P's printed theorems: exact programmes, singular values, and searches for perturbations that violate them."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from bea import Activation, AveragePool, Convolution, Dense, Flatten, MaxPool, Network, RadialBasis
from bea.bounds.lipschitz import lipschitz_constant
from bea.bounds.printed import (
    chain,
    convolution_bound,
    fully_connected_bound,
    jacobian_norms,
    pooling_bound,
    softmax_bound,
)
from oracles import PROPERTY, RNG, random_convolution, random_network

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def norms(batch):
    return np.linalg.norm(batch.reshape(len(batch), -1), axis=1)


def lenet(rng, side=8):
    """A small network in the order of Caffe's LeNet."""
    layers = [random_convolution(rng, 3, 1, 3), MaxPool(2), random_convolution(rng, 4, 3, 2), MaxPool(2), Flatten()]
    return Network((*layers, *random_network(rng, [(6, "relu")], 4, (4,)).layers), (side, side, 1))


def least_distance(rows, least):
    """Return ``min ‖r‖`` subject to ``rows r ≥ least``, by the reduction of Lawson and Hanson to least squares."""
    _, residual = nnls(np.vstack([rows.T, least]), np.append(np.zeros(rows.shape[1]), 1.0))
    return np.sqrt(1.0 / residual**2 - 1.0)  # ‖ρ‖² = 1/(1 + ‖r‖²)


@pytest.mark.parametrize("seed", range(8))
def test_softmax_bound_is_the_exact_smallest_perturbation(seed):
    """The programme of another class winning over all others, solved for every class, has κ₆ as its least value."""
    rng = RNG(seed)
    layer, y = Dense(rng.standard_normal((4, 6))), rng.standard_normal((1, 5))
    logits, found = layer.forward(y)[0], []
    for rival in set(range(4)) - {logits.argmax()}:
        others = [c for c in range(4) if c != rival]
        found.append(least_distance(layer.kernel[rival] - layer.kernel[others], logits[others] - logits[rival]))
    assert softmax_bound(layer, y)[0] == pytest.approx(min(found), rel=1e-10)


def test_softmax_bound_with_equal_rows():
    """Classes that differ in the bias only never change order: infinitely far, or not at all where they tie."""
    y = np.array([[1.0]])
    assert softmax_bound(Dense([[2.0, 1.0], [2.0, 0.0]]), y) == np.inf
    assert softmax_bound(Dense([[2.0, 1.0], [2.0, 1.0]]), y) == 0.0


def test_softmax_bound_of_a_class_that_does_not_lead():
    """The class may be named; then the distance is that to the hyperplanes of this class."""
    layer = Dense([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5]])
    y = np.array([[2.0], [2.0]])
    assert softmax_bound(layer, y, np.array([0, 1])) == pytest.approx([1.5, 2.0])


@given(*[st.floats(1e-9, 1e3)] * 3, st.integers(1, 1000))
@PROPERTY
def test_theorem_41_is_the_printed_formula(kappa, norm, curvature, outputs):
    """The form without cancellation equals the printed one, evaluated with 60 digits."""
    with localcontext(prec=60):
        k, j, m = map(Decimal, (kappa, norm, curvature))
        root = Decimal(outputs).sqrt() * m
        printed = float(((j * j + 2 * root * k).sqrt() - j) / root)
    assert fully_connected_bound([kappa], norm, outputs, curvature) == pytest.approx([printed], rel=1e-14)


def test_theorem_41_at_its_edges():
    """M = 0 is the limit κ/‖J‖; J = 0 leaves √(2κ/(M√n)); both zero mean no limit, and κ = 0 means none withstood."""
    kappa = np.array([0.0, 2.0, np.inf])
    assert fully_connected_bound(kappa, 4.0, 9) == pytest.approx([0.0, 0.5, np.inf])
    assert fully_connected_bound(kappa, 4.0, 9, 1e-14) == pytest.approx([0.0, 0.5, np.inf])
    assert fully_connected_bound(kappa, 0.0, 9, 3.0) == pytest.approx([0.0, (4.0 / 9.0) ** 0.5, np.inf])
    assert fully_connected_bound(kappa, np.zeros(3), 9).tolist() == [0.0, np.inf, np.inf]


@pytest.mark.parametrize("seed", range(20))
def test_theorem_41_holds_for_smooth_layers_with_the_curvature_of_every_direction(seed):
    """With M a bound of rᵀ∇²h_k r for all unit r, no perturbation as long as the bound moves a tanh layer by κ."""
    rng = RNG(seed)
    layer, activation = Dense(2.0 * rng.standard_normal((6, 5))), Activation("tanh")
    curvature = 4.0 / 27.0**0.5 * np.square(layer.kernel).sum(axis=1).max()  # |tanh''| ≤ 4/√27
    v = layer.forward(rng.standard_normal((1, 4)))
    slopes = activation.slope(v, activation.forward(v))
    norm = np.linalg.norm(slopes.T * layer.kernel, 2)
    directions = np.concatenate([rng.standard_normal((500, 4)), np.linalg.svd(slopes.T * layer.kernel)[2]])
    directions /= norms(directions)[:, None]
    for kappa in (1e-3, 0.1, 1.0):
        r = fully_connected_bound([kappa], norm, 6, curvature) * np.concatenate([directions, -directions])
        moved = norms(activation.forward(v + r @ layer.kernel.T) - activation.forward(v))
        assert moved.max() <= kappa * (1.0 + 1e-12)


def test_theorem_41_fails_if_curvature_means_the_entries_of_the_hessian():
    """h = (Σ x)²/2 has no second partial derivative above 1, yet d inputs move it d times as far as M = 1 allows."""
    r = fully_connected_bound([1.0], 0.0, 1, curvature=1.0) * np.ones(9) / 3.0
    assert 0.5 * r.sum() ** 2 == pytest.approx(9.0)


def test_theorem_41_without_curvature_fails_for_relu():
    """A unit that is off at x switches on: the output moves κ with less than κ/‖J(x)‖, but not less than κ/‖V‖."""
    layer, x, kappa = Dense([[1.0, 0.0, 0.0], [0.0, 10.0, -0.1]]), np.zeros((1, 2)), 1.0
    relu = Activation("relu")
    v = layer.forward(x + 1e-6)
    norm = np.linalg.norm(relu.slope(v, None).T * layer.kernel, 2)
    r = 0.5 * fully_connected_bound([kappa], norm, 2) * np.array([[0.0, 1.0]])
    assert norms(relu.forward(layer.forward(x + r)) - relu.forward(layer.forward(x)))[0] > kappa
    short = kappa / np.linalg.norm(layer.kernel, 2) * r / norms(r)
    assert norms(relu.forward(layer.forward(x + short)) - relu.forward(layer.forward(x)))[0] <= kappa


def test_theorem_42_fails_for_overlapping_windows():
    """A 5 × 5 kernel of ones on 16 × 16 pixels moves the output 22.7 times as far, where the theorem allows 5 times."""
    layer, kappa = Convolution(np.ones((1, 25)), 5, bias=False), 1.0
    y = np.full((1, 16, 16, 1), 0.5)
    r = np.ones_like(y)
    for _ in range(50):
        r = layer.pull_back(layer.forward(r)[:, None], y, None)[:, 0]
        r /= norms(r)
    r *= convolution_bound([kappa], layer.kernel)
    moved = norms(np.maximum(layer.forward(y + r), 0.0) - np.maximum(layer.forward(y), 0.0))[0]
    assert np.linalg.norm(layer.kernel) == 5.0
    assert 5.0 * moved == pytest.approx(22.7, abs=0.05)
    assert 5.0 * moved == pytest.approx(lipschitz_constant(layer, (16, 16, 1)), rel=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.integers(4, 9), st.integers(1, 3))
@PROPERTY
def test_theorem_42_holds_with_the_number_of_windows_that_share_a_pixel(seed, size, stride, side, channels):
    """⌈q/s⌉ ‖W‖_F is an upper bound of every convolution's norm, and ‖W‖_F is one where no windows overlap."""
    layer = random_convolution(RNG(seed), 2, channels, size, stride, 1)
    norm = lipschitz_constant(layer, (side, side, channels))
    assert norm <= -(-size // stride) * np.linalg.norm(layer.kernel) * (1.0 + 1e-8)


def test_convolution_of_zeros_is_bounded_by_nothing():
    """Its output never moves: infinity for a positive κ, and zero for zero."""
    assert convolution_bound([0.0, 1.0], np.zeros((2, 4))).tolist() == [0.0, np.inf]


def pool(y, kind, size, stride, p=None):
    """Return maxima, means or L_p norms of windows, one window at a time."""
    side = (y.shape[1] - size) // stride + 1
    output = np.empty((len(y), side, side, y.shape[3]))
    for i in range(side):
        for j in range(side):
            window = y[:, i * stride : i * stride + size, j * stride : j * stride + size]
            functions = {"max": lambda w: w.max((1, 2)), "average": lambda w: w.mean((1, 2))}
            lp = lambda w: (np.abs(w) ** p).sum((1, 2)) ** (1 / p)  # noqa: E731
            output[:, i, j] = functions.get(kind, lp)(window)
    return output


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 1), (2, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize(("kind", "p"), [("max", None), ("average", None), ("lp", 1.0), ("lp", 2.0), ("lp", 7.0)])
def test_theorem_44_is_not_violated(kind, p, size, stride):
    """Spikes, constants, noise and a climb from the worst of them never move the output by more than κ."""
    rng = RNG(0)
    y = rng.standard_normal((400, 7, 7, 2)) * rng.choice([0.0, 1e-3, 1.0], (400, 1, 1, 1))
    r = np.concatenate([np.eye(98), np.ones((2, 98)), rng.standard_normal((300, 98))]).reshape(y.shape)
    side = pool(y, kind, size, stride, p).shape[1]

    def moved(r):
        """Return the output's movement in units of κ."""
        bound = pooling_bound(1.0, side, kind, size, p)
        scaled = r * (bound / norms(r))[:, None, None, None]
        return norms(pool(y + scaled, kind, size, stride, p) - pool(y, kind, size, stride, p))

    for _ in range(30):
        tried = r + 0.3 * rng.standard_normal(r.shape) * np.abs(r).max((1, 2, 3), keepdims=True)
        r = np.where((moved(tried) > moved(r))[:, None, None, None], tried, r)
    assert moved(r).max() <= 1.0 + 1e-12


def test_theorem_44_is_the_printed_formula():
    """κ/t for maximum and average, κ/(t q^(2/p)) for L_p: 12/3, and 12/(3 · 4^(2/p)) for p = 1, 2, 4."""
    assert [pooling_bound(12.0, 3, kind) for kind in ("max", "average")] == [4.0, 4.0]
    assert [pooling_bound(12.0, 3, "lp", 4, p) for p in (1.0, 2.0, 4.0)] == [0.25, 1.0, 2.0]


@pytest.mark.parametrize("kind", ["max", "average"])
def test_theorem_44_against_the_exact_constants(kind):
    """The printed constant t is never below the exact one: the theorem holds, and by how much is known."""
    for size in range(1, 6):
        for stride in range(1, 6):
            layer = (MaxPool if kind == "max" else AveragePool)(size, stride)
            side = layer.output_shape((12, 12, 1))[0]
            assert 1.0 / pooling_bound(1.0, side, kind) >= lipschitz_constant(layer, (12, 12, 1)) * (1.0 - 1e-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "median"}, "kind: expected 'max', 'average' or 'lp', received 'median'"),
        ({"kind": "lp", "p": 2.0}, "size: expected the side of a window"),
        ({"kind": "lp", "size": 2}, "p: expected a number from 1 on"),
        ({"kind": "lp", "size": 2, "p": 0.5}, "p: expected a number from 1 on"),
    ],
)
def test_pooling_bound_refuses_what_makes_no_sense(arguments, message):
    """An unknown kind, and an L_p pooling without window or exponent."""
    with pytest.raises(ValueError, match=message):
        pooling_bound(np.ones(1), 3, **arguments)


@pytest.mark.parametrize("rows", [1, 7, 40, 200])
def test_jacobian_norms_agree_with_singular_values(rows):
    """Lanczos is right to 1e-6 for slopes of zeros and ones and in between, and for a layer that is off altogether."""
    rng = RNG(rows)
    kernel = rng.standard_normal((rows, 60)) / 60**0.5
    slopes = np.concatenate(
        [rng.integers(0, 2, (20, rows)), rng.random((20, rows)), np.zeros((1, rows)), np.eye(rows)[:1]]
    )
    expected = np.linalg.norm(slopes[:, :, None] * kernel, 2, axis=(1, 2))
    assert jacobian_norms(kernel @ kernel.T, slopes) == pytest.approx(expected, rel=1e-6, abs=1e-14)


@pytest.mark.parametrize("curvature", [0.0, 0.3])
def test_chain_is_that_of_section_5(curvature):
    """κ₆ to κ₁ of a small LeNet are those of the printed formulas, one image at a time."""
    rng = RNG(0)
    net, x = lenet(rng), rng.random((5, 8, 8, 1))
    kappa, rival = chain(net, x, curvature=curvature)
    first, _, second, _, _, dense, _, last = net.layers
    for i in range(len(x)):
        image = x[i : i + 1]
        for layer in net.layers[:5]:
            image = layer.forward(image)
        v = dense.forward(image)
        y, jacobian = np.maximum(v, 0.0), (v > 0.0).T * dense.kernel
        logits = last.forward(y)[0]
        own, k6 = logits.argmax(), {}
        for c in set(range(4)) - {own}:
            k6[c] = abs(logits[own] - logits[c]) / np.linalg.norm(last.kernel[own] - last.kernel[c])
        nearest = min(k6, key=k6.get)
        norm, m = np.linalg.norm(jacobian, 2), curvature
        k5 = k6[nearest] / norm
        if m:
            k5 = (np.sqrt(norm**2 + 2 * m * np.sqrt(6) * k6[nearest]) - norm) / (m * np.sqrt(6))
        k4 = k5 / 1
        k3 = k4 / np.linalg.norm(second.kernel)
        k2 = k3 / 3
        k1 = k2 / np.linalg.norm(first.kernel)
        assert kappa[i] == pytest.approx([k1, k2, k3, k4, k5, k5, k6[nearest], k6[nearest]], rel=1e-5)
        assert rival[i] == nearest


def test_chain_through_a_dense_layer_without_activation_and_a_smooth_one():
    """Without an activation J is the matrix; with tanh its rows are scaled by the slopes at x."""
    rng = RNG(0)
    net = random_network(rng, [(5, "tanh")], 3, (6,))
    net = Network((Dense(rng.standard_normal((6, 7))), *net.layers), (6,))
    x = rng.random((4, 6))
    kappa, _ = chain(net, x)
    v = net.layers[1].forward(net.layers[0].forward(x))
    inner = [np.linalg.norm(row[:, None] * net.layers[1].kernel, 2) for row in 1.0 - np.tanh(v) ** 2]
    assert kappa[:, 1] == pytest.approx(kappa[:, 3] / inner, rel=1e-6)
    assert kappa[:, 0] == pytest.approx(kappa[:, 1] / np.linalg.norm(net.layers[0].kernel, 2), rel=1e-12)


def test_chain_through_a_layer_that_is_off():
    """With all units off the printed limit M = 0 knows no bound; with M > 0 it has one."""
    net = Network((Dense(np.full((3, 3), -1.0)), Activation("relu"), Dense([[1.0] * 4, [0.0] * 4])), (2,))
    x = np.ones((1, 2))
    assert chain(net, x)[0][0, 0] == np.inf
    assert 0.0 < chain(net, x, curvature=1.0)[0][0, 0] < np.inf


def without_theorem(name):
    rng = RNG(0)
    convolution, shape = random_convolution(rng, 2, 1, 2), (5, 5, 1)
    inner = {
        "tanh behind a convolution": [convolution, Activation("tanh")],
        "activation first": [Activation("relu")],
        "activation behind a pool": [MaxPool(2), Activation("relu")],
        "oblong pool": [MaxPool((2, 1))],
        "bumps": [Flatten(), RadialBasis(rng.random((4, 25)), np.ones(4))],
    }[name]
    for layer in inner:
        shape = layer.output_shape(shape)
    return Network((*inner, Flatten(), Dense(rng.standard_normal((3, np.prod(shape) + 1)))), (5, 5, 1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tanh behind a convolution", r"layers\[1\], a Activation"),
        ("activation first", r"layers\[0\], a Activation"),
        ("activation behind a pool", r"layers\[1\], a Activation .* behind a MaxPool"),
        ("oblong pool", r"layers\[0\], a MaxPool"),
        ("bumps", r"layers\[1\], a RadialBasis"),
    ],
)
def test_layers_without_a_printed_theorem_are_refused(name, message):
    """The first layer that no theorem covers is named."""
    net = without_theorem(name)
    with pytest.raises(ValueError, match=message):
        chain(net, np.zeros((1, 5, 5, 1)))
