"""`bea.precision.formats`: NumPy's and ml_dtypes' own rounding, bit for bit; and rounding at random."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bea.precision import Format, round_to, unit_roundoff
from bea.precision.formats import FORMATS, overflow, round_nearest
from few_digits import TYPES, cast
from oracles import PROPERTY

RNG = np.random.default_rng


def same(one, other):
    """Whether two arrays are equal bit for bit, all kinds of NaN being one."""
    one, other = (np.where(np.isnan(each), np.nan, each).view(np.int64) for each in (one, other))
    return np.array_equal(one, other)


def numbers_of(name):
    """All finite numbers of a format, of float32 some."""
    if name == "float32":
        bits = RNG(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    else:
        bits = np.arange(2 ** (8 * TYPES[name](0).itemsize)).astype(f"u{TYPES[name](0).itemsize}")
    with np.errstate(invalid="ignore"):  # some NaN do not like to be converted
        found = bits.view(TYPES[name]).astype(float)
    return np.unique(found[np.isfinite(found)])


@pytest.mark.parametrize("name", TYPES)
def test_every_number_every_tie_and_its_neighbours_are_rounded_as_by_the_type_itself(name):
    """Ties to the even digit, subnormal numbers, infinity or NaN beyond the largest, the sign of zero."""
    own = numbers_of(name)
    ties = (own[1:] + own[:-1]) / 2.0
    ties = ties[ties == ties.astype(np.float32)].astype(np.float32) if name != "float32" else own.astype(np.float32)
    beside = [np.nextafter(ties, np.float32(end)) for end in (-np.inf, np.inf)]
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 448.0, 464.0, 465.0, 65519.0, 65520.0, -65520.0, 3e38, 1e-45]
    x = np.concatenate([own, ties, *beside, edges]).astype(np.float32).astype(float)
    assert len(x) > 700
    assert same(round_to(x, name), cast(x, name).astype(float))


@pytest.mark.parametrize("name", TYPES)
@PROPERTY
@given(x=arrays(np.float32, 20, elements=st.floats(width=32)))
def test_any_number_is_rounded_as_by_the_type_itself(name, x):
    assert same(round_to(x, name), cast(x, name).astype(float))


@pytest.mark.parametrize("name", ["float16", "float32"])
@PROPERTY
@given(x=arrays(np.float64, 20, elements=st.floats()))
def test_float64_is_rounded_once(name, x):
    """Not to float32 on the way to float16."""
    with np.errstate(all="ignore"):
        assert same(round_to(x, name), x.astype(TYPES[name]).astype(float))


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("name", TYPES)
def test_a_single_number_is_rounded_as_in_an_array(name, rounding):
    for number in (0.3, -0.0, 1e30, math.nan):
        for x in (number, np.float32(number), np.array(number)):
            found = round_to(x, name, rounding, 1)
            assert np.ndim(found) == 0
            assert same(found, round_to([x], name, rounding, 1)[0])


@pytest.mark.parametrize("name", TYPES)
def test_operations_are_those_of_the_type(name):
    """A product and a sum in float64 of two numbers of the format, rounded, are what the type computes."""
    rng = RNG(1)
    own = numbers_of(name)
    own = own[np.abs(own) < 1e15]  # no products of float32 that float64 cannot hold
    a, b = rng.choice(own, (2, 20_000))
    if name in ("float32", "bfloat16"):  # of all exponents there are, so that sums would not meet
        b = cast(np.ldexp(b, np.frexp(a)[1] - np.frexp(b)[1] + rng.integers(-9, 9, len(a))), name).astype(float)
    with np.errstate(all="ignore"):
        for operation in (np.multiply, np.add):
            expected = operation(cast(a, name), cast(b, name)).astype(float)
            np.testing.assert_array_equal(round_to(operation(a, b), name), expected)


@pytest.mark.parametrize("name", TYPES)
def test_rounding_in_float32_is_that_in_float64(name):
    """For numbers and ties of the format and any others."""
    own = numbers_of(name)
    x = np.concatenate([own, (own[1:] + own[:-1]) / 2.0, RNG(2).standard_normal(2_000)]).astype(np.float32)
    rounded = x.copy()
    with np.errstate(all="ignore"):
        round_nearest(rounded, FORMATS[name])
        overflow(rounded, FORMATS[name])
    np.testing.assert_array_equal(rounded, round_to(x, name))


@pytest.mark.parametrize(("name", "exponent_bits"), [("float16", 5), ("bfloat16", 8), ("float8_e5m2", 5)])
@PROPERTY
@given(x=arrays(np.float64, 30, elements=st.floats(-57344.0, 57344.0)))
def test_arrays_are_rounded_as_by_pychop(name, exponent_bits, x):
    """Within the range; beyond the largest number pychop 0.6 returns zeros, where NumPy has infinities."""
    pychop = pytest.importorskip("pychop")
    chop = pychop.Chop(exponent_bits, FORMATS[name].precision - 1, rmode=1, subnormal=True)
    np.testing.assert_array_equal(round_to(x, name), chop(x))


@pytest.mark.parametrize("name", TYPES)
def test_the_unit_and_the_ends_are_those_of_the_type(name):
    found, expected = FORMATS[name], ml_dtypes.finfo(TYPES[name])
    assert unit_roundoff(name) == float(expected.eps) / 2.0
    assert found.largest == float(expected.max)
    assert found.smallest_normal == float(expected.smallest_normal)
    assert found.spacing == float(expected.smallest_subnormal)


@pytest.mark.parametrize("name", TYPES)
def test_rounding_at_random_takes_the_neighbours_with_the_right_mean(name):
    """The mean of N draws is within five of its standard deviations, and numbers of the format stay as they are."""
    rng = RNG(3)
    x = np.concatenate([rng.standard_normal(40), rng.standard_normal(40) * FORMATS[name].smallest_normal])
    draws = 2_000
    found = round_to(np.tile(x, (draws, 1)), name, "stochastic", seed=4)
    below, above = found.min(axis=0), found.max(axis=0)
    nearest = round_to(x, name)
    assert np.all((below <= x) & (x <= above))
    assert np.all((nearest == below) | (nearest == above))
    assert np.all((found == below) | (found == above))
    spread = (above - below) * 0.5 / np.sqrt(draws)
    assert np.all(np.abs(found.mean(axis=0) - x) <= 5.0 * spread)
    own = numbers_of(name)
    np.testing.assert_array_equal(round_to(own, name, "stochastic", seed=5), own)
    np.testing.assert_array_equal(round_to(x, name, "stochastic", 6), round_to(x, name, "stochastic", 6))


def test_a_format_of_one_s_own():
    """Three digits, exponents from -1 to 1: 0.125 is the smallest, 3.5 the largest."""
    tiny = Format("tiny", 3, -1, 1)
    x = [0.0624, 0.0625, 0.0626, 0.3, 0.5625, 0.6875, 1.1, 2.75, 3.25, 3.74, 3.75, -9.0]
    expected = [0.0, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 3.0, 3.0, 3.5, np.inf, -np.inf]
    np.testing.assert_array_equal(round_to(x, tiny), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: round_to([1.0], "float64"), "format: expected one of"),
        (lambda: round_to([1.0], "int8"), "format: expected one of"),
        (lambda: round_to([1.0], "float16", "up"), "rounding: expected one of"),
        (lambda: round_to([1j], "float16"), "x: expected real numbers"),
        (lambda: unit_roundoff("half"), "format: expected one of"),
        (lambda: Format("wide", 25, -14, 15), "precision: expected 2 to 24"),
        (lambda: Format("odd", 8, 15, -14), "emin, emax: expected"),
    ],
)
def test_what_is_wrong_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_int8_has_half_a_step_of_254():
    assert unit_roundoff("int8") == pytest.approx(1.0 / 254.0, rel=1e-15)
