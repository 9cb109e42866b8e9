"""`bea.measures.diffuseness`: known patterns have known measures, whatever their scale."""

import numpy as np
import pytest

from bea.measures.diffuseness import distinct_magnitudes, energy_share, participation_ratio
from oracles import relative_error

RNG = np.random.default_rng
MEASURES = [participation_ratio, energy_share, distinct_magnitudes]
on_any_measure = pytest.mark.parametrize("measure", MEASURES)


def signs(rng, n, pixels, shape, active):
    """n patterns of ±1 on ``active`` pixels chosen at random, zero elsewhere."""
    d = np.zeros((n, pixels))
    for row in d:
        row[rng.choice(pixels, active, replace=False)] = rng.choice([-1.0, 1.0], active)
    return d.reshape(n, *shape)


@pytest.mark.parametrize("active", [1, 7, 20, 24])
@pytest.mark.parametrize("scale", [1.0, 0.007, 1e-200, 1e200])
def test_a_step_of_fgsm_is_uniform_on_its_pixels(active, scale):
    """k pixels of equal magnitude out of 24: k/24 take part, ⌈0.9 k⌉/24 carry 90 %, one magnitude."""
    d = scale * signs(RNG(active), 5, 24, (4, 6), active)
    assert relative_error(participation_ratio(d), np.full(5, active / 24)) <= 1e-14
    assert energy_share(d).tolist() == [np.ceil(0.9 * active - 1e-9) / 24] * 5
    assert distinct_magnitudes(d).tolist() == [1.0] * 5


def test_the_measures_are_those_of_the_naive_loop():
    """One pattern at a time, with pixels counted one by one."""
    d = RNG(0).standard_normal((30, 3, 5)) * (RNG(1).random((30, 3, 5)) < 0.8)
    d[:, 0] = np.round(d[:, 0], 0)
    ratio, energy, distinct = (measure(d) for measure in MEASURES)
    less = energy_share(d, 0.5)
    for i, pattern in enumerate(d):
        values = np.abs(pattern).ravel()
        assert ratio[i] == pytest.approx(np.sum(values**2) ** 2 / np.sum(values**4) / 15, rel=1e-14)
        for share, found in ((0.9, energy[i]), (0.5, less[i])):
            carried, count = 0.0, 0
            for value in sorted(values, reverse=True):
                if carried < share * np.sum(values**2):
                    carried, count = carried + value**2, count + 1
            assert found == count / 15
        assert distinct[i] == len(set(values[values > 0]))
    assert (less < energy).any()


@pytest.mark.parametrize("share", [0.07, 0.3, 0.55, 0.57, 0.9, 1.0])
def test_rounding_asks_for_no_further_pixel(share):
    """A hundred equal pixels: the share itself, also where its product with the sum is rounded up."""
    assert energy_share(np.full((1, 100), 0.1), share).tolist() == [share]


def test_all_the_energy_is_in_the_pixels_that_move():
    """A share of one counts the non-zero pixels."""
    d = np.array([[3.0, 0.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert energy_share(d, 1.0).tolist() == [0.5, 0.25]


def test_magnitudes_within_rounding_are_one():
    """Gaps are measured relative to the largest magnitude, from zero upwards."""
    d = 1e-3 * np.array([[1.0, 1.0 - 1e-10, -0.5, 0.5 + 1e-10, 1e-10], [1.0, 0.9, -0.8, 0.7, -0.6]])
    assert distinct_magnitudes(d).tolist() == [2.0, 5.0]
    assert distinct_magnitudes(d, rounding=1e-11).tolist() == [5.0, 5.0]
    assert distinct_magnitudes(d, rounding=0.15).tolist() == [2.0, 1.0]


@on_any_measure
@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_no_pattern_has_no_measure(measure, bad):
    """Zero, NaN and infinite perturbations give NaN, without a warning and without harm to the others."""
    d = RNG(2).standard_normal((3, 4))
    alone = measure(d)
    d[1] = 0.0
    d[1, 2] = bad
    found = measure(d)
    assert np.isnan(found).tolist() == [False, True, False]
    np.testing.assert_array_equal(found[[0, 2]], alone[[0, 2]])


@on_any_measure
def test_an_empty_batch_has_an_empty_result(measure):
    """Of shape (0,)."""
    assert measure(np.zeros((0, 2, 3))).shape == (0,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *((lambda m=m: m(np.ones(3)), r"dx: expected a batch .* received \(3,\)") for m in MEASURES),
        *((lambda m=m: m(np.ones((3, 0))), r"dx: expected .* at least one pixel, received \(3, 0\)") for m in MEASURES),
        (lambda: energy_share(np.ones((1, 3)), 0.0), r"share: expected a number above 0 and up to 1, received 0\.0"),
        (lambda: energy_share(np.ones((1, 3)), 90), "share: expected a number above 0 and up to 1, received 90"),
        (lambda: energy_share(np.ones((1, 3)), np.nan), "share: expected .* received nan"),
        (lambda: distinct_magnitudes(np.ones((1, 3)), -1.0), r"rounding: expected .* received -1\.0"),
        (lambda: distinct_magnitudes(np.ones((1, 3)), 1.0), r"rounding: expected .* received 1\.0"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(call, message):
    """One ValueError that names the argument, what was expected and what came."""
    with pytest.raises(ValueError, match=message):
        call()
