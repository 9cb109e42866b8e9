"""Lipschitz constants: explicit matrices and their singular values, perturbations that try to go beyond, and proofs."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bea import Activation, AveragePool, Convolution, Dense, Flatten, MaxPool, RadialBasis
from bea.bounds import lipschitz
from bea.bounds.lipschitz import lipschitz_constant, spectral_norm, stacked_norm
from bea.networks.quantiser import Quantise
from oracles import PROPERTY, RNG, random_convolution

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

# Filters, channels, size, stride, padding, shape: overlap or none, gaps, both sides of the matrix the larger one.
CONVOLUTIONS = {
    "plain": (3, 2, 3, 1, 0, (7, 6, 2)),
    "same": (3, 2, 3, 1, 1, (5, 6, 2)),
    "stride": (4, 1, 3, 2, 0, (8, 7, 1)),
    "no overlap": (2, 3, 2, 2, 0, (6, 6, 3)),
    "gaps": (2, 1, 2, 3, 0, (8, 8, 1)),
    "lopsided": (3, 2, (2, 4), (1, 3), ((2, 0), (1, 3)), (5, 7, 2)),
    "padding wider than the window": (2, 1, 2, 1, 3, (3, 3, 1)),
    "one window": (5, 2, 4, 1, 0, (4, 4, 2)),
}


def explicit(layer, shape, torus=None):
    """Return the matrix of a convolution, pixel by pixel; on a torus, of all its windows, if its sides are given."""
    height, width, channels = shape
    (top, _), (left, _) = layer.padding
    windows = layer.output_shape(shape)[:2]
    if torus is not None:
        height, width = torus
        windows = [side // stride for side, stride in zip(torus, layer.stride, strict=True)]
    matrix = np.zeros((*windows, len(layer.matrix), height, width, channels))
    for a in range(windows[0]):
        for b in range(windows[1]):
            for column in range(layer.kernel.shape[1]):
                pixel, channel = divmod(column, channels)
                i, j = divmod(pixel, layer.size[1])
                i, j = a * layer.stride[0] + i - top, b * layer.stride[1] + j - left
                if torus is not None:
                    i, j = i % height, j % width
                if 0 <= i < height and 0 <= j < width:
                    matrix[a, b, :, i, j, channel] += layer.kernel[:, column]
    return matrix.reshape(math.prod(matrix.shape[:3]), -1)


def convolution(name, seed=0):
    *arguments, shape = CONVOLUTIONS[name]
    return random_convolution(RNG(seed), *arguments), shape


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_has_the_norm_of_its_explicit_matrix(name):
    """For every stride and padding the constant is the largest singular value, exceeded by no more than 1e-7 of it."""
    layer, shape = convolution(name)
    exact = np.linalg.norm(explicit(layer, shape), 2)
    assert exact * (1.0 - 1e-14) <= lipschitz_constant(layer, shape) <= exact * (1.0 + 1e-7)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_torus_bounds_a_large_convolution_from_above(name, monkeypatch):
    """Without the matrix, the constant is the norm on a torus of blocks of stride size, which contains the image."""
    monkeypatch.setattr(lipschitz, "MATRIX_SIZE", 0)
    layer, shape = convolution(name)
    constant = lipschitz_constant(layer, shape)
    blocks = [-(-q // s) for q, s in zip(layer.size, layer.stride, strict=True)]
    windows = layer.output_shape(shape)[:2]
    torus = [(n + b - 1) * s for n, b, s in zip(windows, blocks, layer.stride, strict=True)]
    assert constant == pytest.approx(np.linalg.norm(explicit(layer, shape, torus), 2), rel=1e-7)
    assert constant >= np.linalg.norm(explicit(layer, shape), 2)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_aligned_perturbations_of_a_convolution_come_close_and_stay_below(name):
    """Power iteration finds a perturbation that moves the output by nearly the constant times its length, not more."""
    layer, shape = convolution(name, 1)
    y, r = RNG(2).standard_normal((2, 1, *shape))
    for _ in range(300):
        r = layer.pull_back(layer.push_forward(r, y, None)[:, None], y, None)[:, 0]
        r /= np.linalg.norm(r)
    moved = np.linalg.norm(layer.forward(y + r) - layer.forward(y))
    assert 0.99 < moved / lipschitz_constant(layer, shape) <= 1.0 + 1e-12


@pytest.mark.parametrize("exponent", [0, -600, 500])
def test_stacked_convolutions_have_the_norm_of_their_stacked_matrices(exponent):
    """Filters, windows, strides and padding may differ; and kernels so small or large that their squares are lost."""
    shape, rng = (7, 6, 2), RNG(3)
    parts = [
        (0.7, random_convolution(rng, 3, 2, (2, 3), (2, 1), 1)),
        (1.9, random_convolution(rng, 5, 2, 2)),
        (1e-3, random_convolution(rng, 1, 2, 4, 3, ((0, 2), (1, 0)))),
    ]
    exact = np.linalg.norm(np.vstack([number * explicit(layer, shape) for number, layer in parts]), 2)
    assert exact * (1.0 - 1e-14) <= stacked_norm(parts, shape) <= exact * (1.0 + 1e-7)
    scaled = [(number, layer.with_matrix(np.ldexp(layer.matrix, exponent))) for number, layer in parts]
    assert stacked_norm(scaled, shape) == pytest.approx(math.ldexp(exact, exponent), rel=1e-7, abs=0.0)


def test_a_single_convolution_and_zeros_stacked_have_its_norm():
    """Times its number; and nothing but zeros has the norm zero."""
    layer, shape = convolution("same")
    zeros = layer.with_matrix(np.zeros_like(layer.matrix))
    exact = 3.0 * np.linalg.norm(explicit(layer, shape), 2)
    assert exact * (1.0 - 1e-14) <= stacked_norm([(1.0, zeros), (3.0, layer)], shape) <= exact * (1.0 + 1e-7)
    assert stacked_norm([(1.0, zeros), (2.0, zeros)], shape) == 0.0


def test_lanczos_and_the_proof_on_a_convolution_of_lenet_size():
    """Beyond 400 inputs Lanczos guesses the norm; it still agrees with LAPACK's singular value to 1e-7."""
    layer = random_convolution(RNG(0), 6, 4, 5)
    exact = np.linalg.norm(explicit(layer, (12, 12, 4)), 2)
    assert exact * (1.0 - 1e-14) <= lipschitz_constant(layer, (12, 12, 4)) <= exact * (1.0 + 1e-7)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40), st.integers(-200, 200))
@PROPERTY
def test_dense_layer_has_its_spectral_norm(seed, rows, columns, exponent):
    """The constant is the largest singular value, whatever the shape and the size of the weights; the bias is none."""
    matrix = RNG(seed).standard_normal((rows, columns + 1)) * 10.0**exponent
    exact = np.linalg.norm(matrix[:, :-1], 2)
    assert exact * (1.0 - 1e-13) <= lipschitz_constant(Dense(matrix), (columns,)) <= exact * (1.0 + 1e-8)


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30))
@PROPERTY
def test_constant_is_never_below_a_norm_known_exactly(seed, rows, columns):
    """The norm of a product a bᵀ of whole numbers is √(‖a‖²‖b‖²); its square is compared in rational arithmetic."""
    rng = RNG(seed)
    a, b = rng.integers(-1000, 1000, rows), rng.integers(-1000, 1000, columns)
    square = int(a @ a) * int(b @ b)
    constant = Fraction(spectral_norm(np.outer(a, b).astype(float)))
    assert square <= constant**2 <= square * (1 + Fraction(1, 10**7))


@pytest.mark.parametrize("guess", [0.0, 0.5, 1.0 - 1e-6])
@pytest.mark.parametrize("n", [5, 450])
def test_proof_does_not_trust_the_guess(monkeypatch, guess, n):
    """An eigenvalue guessed too small cannot be proved, and the constant stays an upper bound."""
    matrix = RNG(0).standard_normal((n, n))
    exact = np.linalg.norm(matrix, 2)
    monkeypatch.setattr(lipschitz, "_guess", lambda products: guess * exact**2 / lipschitz._scaled(matrix)[1] ** 2)
    assert spectral_norm(matrix) >= exact


def test_lanczos_that_fails_is_replaced(monkeypatch):
    """When Lanczos does not converge, LAPACK guesses."""

    def fail(*_, **__):
        raise lipschitz.ArpackError(-1)

    monkeypatch.setattr(lipschitz, "eigsh", fail)
    matrix = RNG(0).standard_normal((450, 460))
    assert spectral_norm(matrix) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-8)


def test_constants_are_remembered(monkeypatch):
    """The second call for the same layer and shape computes nothing; another shape does."""
    layer, shape = convolution("plain")
    first = lipschitz_constant(layer, shape)

    def fail(*_):
        raise AssertionError

    monkeypatch.setattr(lipschitz, "_largest_root", fail)
    assert lipschitz_constant(layer, shape) == first
    with pytest.raises(AssertionError):
        lipschitz_constant(layer, (9, 9, 2))


@pytest.mark.parametrize(
    "layer", [Dense(np.zeros((3, 5))), random_convolution(RNG(0), 2, 1, 2).with_matrix(np.zeros((2, 5)))]
)
def test_layer_of_zeros_has_the_constant_zero(layer):
    """A layer whose output never moves has the constant 0, exactly."""
    assert lipschitz_constant(layer, (4,) if isinstance(layer, Dense) else (4, 4, 1)) == 0.0


POOLS = [(2, 2), (2, 1), (3, 2), (2, 3), ((3, 1), (1, 1)), ((2, 3), (2, 1)), (5, 1)]


@pytest.mark.parametrize(("size", "stride"), POOLS)
def test_average_pooling_has_the_norm_of_its_matrix(size, stride):
    """The product of two lines is the largest singular value of the matrix written out, windows overlapping or not."""
    layer, shape = AveragePool(size, stride), (7, 6, 2)
    matrix = layer.forward(np.eye(math.prod(shape)).reshape(-1, *shape)).reshape(math.prod(shape), -1)
    assert lipschitz_constant(layer, shape) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-8)
    assert lipschitz_constant(layer, shape) >= np.linalg.norm(matrix, 2) * (1.0 - 1e-14)


@pytest.mark.parametrize(("size", "stride"), POOLS)
def test_max_pooling_attains_its_constant_and_never_exceeds_it(size, stride):
    """One bright pixel in the most windows attains the constant; random and spiky perturbations stay below."""
    layer, shape, rng = MaxPool(size, stride), (7, 6, 2), RNG(0)
    constant = lipschitz_constant(layer, shape)
    spikes = layer.forward(np.eye(math.prod(shape)).reshape(-1, *shape))
    assert constant == pytest.approx(np.sqrt(np.square(spikes).sum((1, 2, 3))).max(), rel=1e-15)
    y = rng.standard_normal((2000, *shape)) * rng.choice([0.0, 0.01, 1.0], (2000, 1, 1, 1))
    r = rng.standard_normal(y.shape) * (rng.random(y.shape) < rng.random((2000, 1, 1, 1)))
    moved = np.sqrt(np.square(layer.forward(y + r) - layer.forward(y)).sum((1, 2, 3)))
    assert (moved <= constant * np.sqrt(np.square(r).sum((1, 2, 3))) * (1.0 + 1e-12)).all()


def test_max_pooling_without_overlap_has_the_constant_one():
    """Exactly one, also with gaps between the windows."""
    assert [lipschitz_constant(MaxPool(2, stride), (6, 6, 1)) for stride in (2, 3)] == [1.0, 1.0]


@pytest.mark.parametrize(
    "layer",
    [*map(Activation, ("linear", "relu", "sigmoid", "tanh")), Activation("smooth_relu", 0.1)],
    ids=lambda layer: layer.name,
)
def test_activation_has_its_largest_slope(layer):
    """Difference quotients on a fine grid come within 1e-4 of the constant and never exceed it."""
    v = np.linspace(-20.0, 20.0, 40_001)
    slopes = np.diff(layer.forward(v)) / np.diff(v)
    assert 1.0 - 1e-4 < slopes.max() / lipschitz_constant(layer, (3,)) <= 1.0 + 1e-9


def test_one_bump_attains_its_constant():
    """A single bump has the slope √(2γ/e) at the distance 1/√(2γ)."""
    layer = RadialBasis(np.zeros((1, 2)), [3.0])
    y = np.array([[1.0 / math.sqrt(6.0), 0.0]])
    slope = layer.push_forward(np.array([[-1.0, 0.0]]), y, layer.forward(y))
    assert slope.item() == pytest.approx(lipschitz_constant(layer, (2,)), rel=1e-12)


def test_bumps_never_move_further_than_their_constant():
    """The spectral norm of the Jacobian stays below the constant at random points near the centres."""
    rng = RNG(0)
    layer = RadialBasis(rng.random((6, 3)), rng.uniform(0.5, 20.0, 6))
    y = rng.random((500, 3))
    jacobians = layer.pull_back(np.eye(6)[None], y, layer.forward(y))
    assert np.linalg.norm(jacobians, 2, axis=(1, 2)).max() <= lipschitz_constant(layer, (3,))


def test_flatten_is_an_isometry():
    """Its constant is one."""
    assert lipschitz_constant(Flatten(), (2, 3)) == 1.0


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Quantise(4), (3,), "layer: expected one with a Lipschitz constant, received a Quantise"),
        (Dense(np.ones((2, 4))), (5,), "matrix: expected 5 input columns"),
        (Convolution(np.ones((1, 5)), 2), (4, 4, 2), "matrix: expected 8 input columns"),
        (MaxPool(3), (2, 2, 1), "size: expected a window that fits"),
    ],
)
def test_bad_input_is_refused(layer, shape, message):
    """A layer that jumps and a shape that does not fit are named."""
    with pytest.raises(ValueError, match=message):
        lipschitz_constant(layer, shape)
