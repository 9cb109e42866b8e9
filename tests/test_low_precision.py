"""`bea.precision.low_precision`: bit for bit what NumPy and ml_dtypes compute, and what goes wrong is reported."""

import numpy as np
import pytest

from bea import (
    Activation,
    AveragePool,
    Convolution,
    Dense,
    Flatten,
    MaxPool,
    Network,
    RadialBasis,
    Readout,
    Residual,
)
from bea.precision import Format, low_precision, quantised
from bea.precision.products import arithmetic, inner_products, partial_sums
from few_digits import TYPES, affine, cast, forward
from oracles import HIDDEN, image_network, random_images, random_network

RNG = np.random.default_rng
MACHINES = [*((name, name) for name in TYPES), *((name, "float32") for name in TYPES if name != "float32")]
ORDERS = ["sequential", "pairwise"]


def of_format(rng, shape, name, scale=1.0):
    """Random numbers of a format."""
    return cast(rng.standard_normal(shape) * scale, name).astype(float)


def two_classes(matrix, x=None):
    """A network of one dense layer without a bias, and images; one pixel for each column."""
    net = Network((Dense(matrix, bias=False),), (np.shape(matrix)[1],))
    return net if x is None else (net, np.array(x, dtype=float))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("name", "accumulator"), MACHINES)
def test_inner_products_are_those_of_the_types(name, accumulator, order, monkeypatch):
    """Of any length, with and without a bias, also where sums are too large or subnormal, and in several blocks."""
    monkeypatch.setattr("bea.precision.products.AT_ONCE", 64)
    rng, machine = RNG(1), arithmetic(name, accumulator, order=order)
    for columns, biased, scale in [
        (1, True, 1.0),
        (2, False, 1.0),
        (37, True, 1.0),
        (64, False, 40.0),
        (21, True, 0.01),
    ]:
        matrix, h = of_format(rng, (3, columns), name, scale), of_format(rng, (70, columns), name, scale)
        bias = of_format(rng, 3, name, scale) if biased else None
        sums = inner_products(matrix, bias, h, machine)
        expected = affine(matrix, bias, h, name, accumulator, order)
        np.testing.assert_array_equal(cast(sums, name).astype(float), expected)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("name", "accumulator"), MACHINES)
@pytest.mark.parametrize("hidden", ["one", "two", "three"])
def test_networks_compute_what_the_types_compute(hidden, name, accumulator, order):
    rng = RNG(2)
    net = random_network(rng, HIDDEN[hidden])
    x = random_images(rng, net, 40)
    found = low_precision(net, x, name, accumulator, order=order)
    np.testing.assert_array_equal(found.logits, forward(net, x, name, accumulator, order))
    np.testing.assert_array_equal(found.classes, found.logits.argmax(axis=1))
    assert found.finite.all()


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e5m2"])
def test_convolutions_and_maxima_compute_what_the_types_compute(name):
    net = image_network("max pools", 3)
    x = random_images(RNG(4), net, 5)
    found = low_precision(net, x, name)
    np.testing.assert_array_equal(found.logits, forward(net, x, name, name))


def test_average_pooling_and_residual_sums_round_every_operation():
    """In float16, written out by hand."""
    rng, half = RNG(5), np.float16
    net = Network(
        (AveragePool((1, 3)), Flatten(), Residual((Dense(rng.standard_normal((2, 3))),)), Readout.identity(2)),
        (1, 6, 1),
    )
    x = random_images(rng, net, 30)
    pixels = x.reshape(-1, 2, 3).astype(half)
    means = ((pixels[..., 0] + pixels[..., 1]) + pixels[..., 2]) / half(3)
    A = net.layers[2].branch[0].matrix.astype(half)
    expected = (means[:, :1] * A[:, 0] + means[:, 1:] * A[:, 1] + A[:, 2]) + means
    np.testing.assert_array_equal(low_precision(net, x, "float16").logits, expected.astype(float))


def test_blocks_of_images_change_nothing(monkeypatch):
    net = image_network("max pools", 6)
    x = random_images(RNG(7), net, 9)
    whole = low_precision(net, x, "bfloat16")
    monkeypatch.setattr("bea.precision.forward.block_size", lambda layers, shape: 4)
    parts = low_precision(net, x[::-1], "bfloat16")
    for name in ("logits", "classes", "finite", "overflowed", "subnormal"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name)[::-1])


# ---- what goes wrong ----------------------------------------------------------------


def test_numbers_that_are_too_large_are_reported_image_by_image():
    """In float16: an input, a product, a sum, a stored result; infinite and NaN logits have no class."""
    net, x = two_classes([[300.0, 300.0, 1.0], [-300.0, 300.0, 0.0]], [
        [1.0, 1.0, 1.0],  # nothing
        [0.0, 0.0, 7e4],  # the input
        [300.0, 0.0, 0.0],  # a product
        [210.0, 210.0, 0.0],  # only the sum, and only in the first row
        [300.0, -300.0, 0.0],  # +inf - inf
    ])  # fmt: skip
    found = low_precision(net, x, "float16")
    np.testing.assert_array_equal(found.overflowed, [False, True, True, True, True])
    np.testing.assert_array_equal(found.finite, [True, False, False, False, False])
    np.testing.assert_array_equal(found.classes, [0, -1, -1, -1, -1])
    assert np.isnan(found.logits[4, 0])
    # In float32 the sums fit, but not what is stored of them; in bfloat16 all does.
    np.testing.assert_array_equal(low_precision(net, x[2:4], "float16", "float32").overflowed, [True, True])
    assert low_precision(net, x, "bfloat16").finite.all()


def test_an_image_may_overflow_on_the_way_and_have_finite_logits():
    """tanh makes one of an infinity; this is reported all the same."""
    net = Network((Dense([[6e4, 6e4]], False), Activation("tanh"), Dense([[1.0, 0.0], [2.0, 0.0]])), (2,))
    found = low_precision(net, np.array([[1.0, 1.0], [0.1, 0.1]]), "float16")
    np.testing.assert_array_equal(found.overflowed, [True, False])
    assert found.finite.all()
    np.testing.assert_array_equal(found.logits[0], [1.0, 2.0])


def test_e4m3_has_nan_beyond_its_largest_number():
    net, x = two_classes([[16.0], [1.0]], [[28.0], [29.0], [64.0]])
    found = low_precision(net, x, "float8_e4m3")
    np.testing.assert_array_equal(found.logits[:, 0], [448.0, 448.0, np.nan])
    np.testing.assert_array_equal(found.overflowed, [False, False, True])


def test_subnormal_numbers_are_reported_image_by_image():
    """An input, a product, a stored result; not zeros, and not where the format reaches further."""
    small = 2.0**-14  # of float16
    net, x = two_classes([[0.5, 0.5], [1.0, 0.0]], [
        [1.0, 0.0],
        [0.75 * small, 1.0],  # the input
        [small, 1.0],  # a product, 0.5 small
        [1.0, 0.0],
        [4.0 * small, -1.5 * small],  # the second product, of which the other row has none
        [2.0, -2.0],  # a sum that is zero
    ])  # fmt: skip
    np.testing.assert_array_equal(low_precision(net, x, "float16").subnormal, [False, True, True, False, True, False])
    assert not low_precision(net, x, "bfloat16").subnormal.any()
    one = two_classes([[1.0, 1.0], [1.0, 0.0]])
    found = low_precision(one, np.array([[1.25 * small, -small], [0.0, 0.0]]), "float16")
    np.testing.assert_array_equal(found.subnormal, [True, False])  # the result


def test_weights_that_do_not_fit_are_counted():
    net = two_classes([[7e4, 1e-6], [1.0, 0.0]])
    found = low_precision(net, np.array([[1.0, 1.0], [0.0, 1.0]]), "float16")
    assert (found.weights_overflowed, found.weights_subnormal) == (1, 1)
    np.testing.assert_array_equal(found.classes, -1)  # also 0 times infinity
    assert found.overflowed.all()


# ---- weights in 8 bits --------------------------------------------------------------


@pytest.mark.parametrize("per", ["per_tensor", "per_channel"])
def test_weights_are_rounded_to_the_nearest_of_255_levels(per):
    """The largest weight of a scale stays, all others move by half a step at most, and the bias does not."""
    net = random_network(RNG(8), HIDDEN["two"])
    for before, after in zip(net.weighted, quantised(net, per).weighted, strict=True):
        largest = np.abs(before.kernel).max(axis=1 if per == "per_channel" else None, keepdims=True)
        step = largest / 127.0
        numbers = after.kernel / step
        np.testing.assert_allclose(numbers, np.round(numbers), atol=1e-12)
        assert np.abs(numbers).max() == pytest.approx(127.0, rel=1e-14)
        assert np.abs(after.kernel - before.kernel).max() <= 0.5 * step.max() * (1.0 + 1e-12)
        np.testing.assert_allclose(numbers, np.round(before.kernel / step), atol=1e-12)
        np.testing.assert_array_equal(after.matrix[:, -1], before.matrix[:, -1])


def test_rows_without_weights_stay_zero_and_are_counted():
    """A scale of zero is no NaN."""
    net, x = two_classes([[0.0, 0.0], [1.0, -0.3]], [[1.0, 1.0]])
    found = low_precision(net, x, "int8")
    assert found.zero_scales == 1
    assert low_precision(net, x, "int8", int8="per_tensor").zero_scales == 0
    np.testing.assert_array_equal(found.logits[0, 0], 0.0)
    np.testing.assert_allclose(found.logits[0, 1], 1.0 - 38.0 / 127.0, rtol=1e-6)


def test_int8_is_the_network_with_those_weights_in_the_format_of_the_activations():
    net = random_network(RNG(9), HIDDEN["three"])
    x = random_images(RNG(10), net, 20)
    for per, activations in [("per_channel", "float32"), ("per_tensor", "bfloat16")]:
        found = low_precision(net, x, "int8", int8=per, activations=activations)
        expected = low_precision(quantised(net, per), x, activations)
        np.testing.assert_array_equal(found.logits, expected.logits)
    fewer = quantised(net, bits=3).weighted[0].kernel[0]
    assert len(np.unique(np.abs(fewer))) <= 4


# ---- rounding at random, other formats ------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["float32", "bfloat16", "float8_e5m2"])
def test_sums_rounded_at_random_are_right_in_the_mean(name, order):
    """As products and sums are: the mean of N is within five standard deviations of the exact sum."""
    rng, draws = RNG(11), 4000
    matrix, bias, h = of_format(rng, (3, 12), name), of_format(rng, 3, name), of_format(rng, (1, 12), name)
    machine = arithmetic(name, rounding="stochastic", order=order, seed=1)
    sums = inner_products(matrix, bias, np.tile(h, (draws, 1)), machine)
    deviation = np.abs(sums.mean(axis=0) - (h @ matrix.T + bias)[0])
    assert np.all(deviation <= 5.0 * sums.std(axis=0) / np.sqrt(draws))
    assert np.all(sums.std(axis=0) > 0.0)


def test_rounding_at_random_is_the_same_for_a_seed_and_draws_for_every_image():
    net = random_network(RNG(12), HIDDEN["two"])
    x = np.tile(random_images(RNG(13), net, 1), (6, 1, 1))
    found = [low_precision(net, x, "bfloat16", rounding="stochastic", seed=seed).logits for seed in (1, 1, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.any(found[0] != found[2])
    assert len(np.unique(found[0][:, 0])) > 1


def test_with_many_digits_it_is_the_network():
    """24 digits and all exponents: within a few of their units of float64."""
    net = image_network("max pools", 12)
    x = random_images(RNG(13), net, 6)
    found = low_precision(net, x, Format("mine", 24, -126, 127))
    np.testing.assert_array_equal(found.logits, low_precision(net, x, "float32").logits)
    np.testing.assert_allclose(found.logits, net(x), atol=40 * 2.0**-24)
    assert np.all(found.logits != net(x))


def test_partial_sums_are_added_up_in_size():
    rng = RNG(14)
    matrix, bias, h = rng.standard_normal((3, 9)), rng.standard_normal(3), rng.standard_normal((50, 9))
    sums = np.cumsum(h[:, None] * matrix, axis=2)
    sizes = np.abs(sums).sum(axis=2)
    np.testing.assert_allclose(partial_sums(matrix, None, h), sizes, rtol=1e-14)
    np.testing.assert_allclose(partial_sums(matrix, bias, h), sizes + np.abs(sums[..., -1] + bias), rtol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "float64"}, "format: expected one of"),
        ({"format": "float16", "accumulator": "int8"}, "accumulator: expected one of"),
        ({"format": "int8", "activations": "int8"}, "activations: expected one of"),
        ({"format": "int8", "int8": "per_row"}, "int8: expected one of"),
        ({"format": "float16", "rounding": "down"}, "rounding: expected one of"),
        ({"format": "float16", "order": "backwards"}, "order: expected one of"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    net = two_classes([[1.0], [2.0]])
    with pytest.raises(ValueError, match=message):
        low_precision(net, np.ones((1, 1)), **arguments)


def test_layers_without_a_pass_are_refused_by_name():
    rng = RNG(15)
    radial = Network((RadialBasis(rng.random((3, 2)), np.ones(3)), Dense(rng.random((2, 4)))), (2,))
    with pytest.raises(ValueError, match="received a RadialBasis"):
        low_precision(radial, np.ones((1, 2)), "float16")
    grouped = Convolution(rng.random((2, 2)), 1, groups=2)
    net = Network((grouped, MaxPool(1), Flatten(), Dense(rng.random((2, 3)))), (1, 1, 2))
    with pytest.raises(ValueError, match="without groups, received one with 2"):
        low_precision(net, np.ones((1, 1, 1, 2)), "float16")
    for wrong in ({"per": "row"}, {"bits": 1}, {"bits": 2.5}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
            quantised(net, **wrong)
