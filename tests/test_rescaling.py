"""`bea.measures.rescaling`: the change has the norm asked for, or there is none."""

import numpy as np
import pytest
from scipy.optimize import brentq

from bea import Dense, Network
from bea.measures.rescaling import at_norm, wilson

RNG = np.random.default_rng


def network(pixels=6, input_range=(0.0, 1.0)):
    return Network([Dense(np.eye(2, pixels + 1))], (pixels,), input_range=input_range)


def size(dx, order):
    return np.linalg.norm(dx.reshape(len(dx), -1), ord=order, axis=1)


def by_root_finder(image, direction, norm, order, limits):
    """The change of norm ``norm``, from the definition."""

    def moved(t):
        return np.clip(image + t * direction, *limits) - image

    t = brentq(lambda t: np.linalg.norm(moved(t), ord=order) - norm, 0.0, 1e6, xtol=1e-15, rtol=1e-14)
    return moved(t)


@pytest.mark.parametrize("order", [2, np.inf])
def test_without_a_range_the_change_is_scaled(order):
    """δ Δx / ‖Δx‖, for changes so small or large that their squares are no numbers of float64."""
    rng = RNG(0)
    dx = rng.normal(size=(50, 6)) * 10.0 ** rng.uniform(-200, 200, (50, 1))
    norm = rng.uniform(0.1, 5.0, 50)
    scaled = dx / np.abs(dx).max(axis=1, keepdims=True)
    expected = norm[:, None] * scaled / size(scaled, order)[:, None]
    found = at_norm(network(input_range=None), rng.normal(size=(50, 6)), dx, norm, order=order)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_a_full_pixel_leaves_the_rest_to_the_others():
    """Closed form: room 0.3 and direction (1, 1) at norm 0.5 gives (0.3, 0.4)."""
    found = at_norm(network(2), [[0.7, 0.5]], [[2.0, 2.0]], 0.5)
    np.testing.assert_allclose(found, [[0.3, 0.4]], rtol=1e-15)


def test_a_full_pixel_counts_for_nothing_in_the_largest_one():
    """Closed form: the first pixel has no room for 0.4, the second reaches it with twice the factor."""
    found = at_norm(network(2), [[0.7, 0.5]], [[2.0, -1.0]], 0.4, order=np.inf)
    np.testing.assert_allclose(found, [[0.3, -0.4]], rtol=1e-15)


@pytest.mark.parametrize("order", [2, np.inf])
@pytest.mark.parametrize("limits", [(0.0, 1.0), (-1.0, 1.0), (-0.1, 0.7)])
def test_agrees_with_a_root_finder_a_sample(order, limits):
    """The norm of the clipped change as a function of t, inverted by scipy; the range holds bitwise."""
    rng = RNG(1)
    net = network(40, limits)
    x = rng.uniform(*limits, (200, 40))
    x[rng.random(x.shape) < 0.3] = limits[0]  # as black pixels are
    dx = rng.normal(size=x.shape) * (rng.random(x.shape) < 0.7)
    norm = rng.uniform(0.05, 0.9, 200) * size(
        np.where(dx > 0, limits[1] - x, np.where(dx < 0, x - limits[0], 0)), order
    )
    found = at_norm(net, x, dx, norm, order=order)
    for image, direction, length, change in zip(x, dx, norm, found, strict=True):
        np.testing.assert_allclose(change, by_root_finder(image, direction, length, order, limits), atol=1e-12)
    np.testing.assert_allclose(size(found, order), norm, rtol=1e-14)
    assert (x + found).min() >= limits[0]
    assert (x + found).max() <= limits[1]


@pytest.mark.parametrize("order", [2, np.inf])
def test_where_there_is_none_the_change_is_nan(order):
    """Zero, NaN, and no room: such samples are NaN throughout, and the others are as without them."""
    x = np.full((4, 2), 0.5)
    dx = np.array([[0.0, 0.0], [np.nan, 1.0], [1.0, 0.0], [1.0, 0.0]])
    found = at_norm(network(2), x, dx, [0.1, 0.1, 0.6, 0.4], order=order)
    assert np.isnan(found[:3]).all()
    np.testing.assert_allclose(found[3], [0.4, 0.0], rtol=1e-15)
    assert at_norm(network(2), x[:0], dx[:0], 0.1).shape == (0, 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dx": np.ones((3, 3))}, r"dx: expected the shape of the images, \(3, 2\), received \(3, 3\)"),
        ({"norm": 0.0}, "norm: expected positive numbers, received 0.0"),
        ({"norm": [1.0]}, r"norm: expected a number or shape \(3,\), received shape \(1,\)"),
        ({"order": 1}, "order: expected one of .*, received 1"),
        ({"x": np.full((3, 2), 1.5)}, "x: expected pixels between 0 and 1"),
    ],
)
def test_bad_input_is_named(changed, message):
    """One clear error each."""
    arguments = {"x": np.full((3, 2), 0.5), "dx": np.ones((3, 2)), "norm": 0.1, "order": 2} | changed
    order = arguments.pop("order")
    with pytest.raises(ValueError, match=message):
        at_norm(network(2), *arguments.values(), order=order)


def test_the_interval_covers_the_share_and_has_the_textbook_ends():
    """The roots of ``(p - k/n)² = z² p (1 - p)/n``; without any sample nothing is known."""
    for k, n in ((0, 1), (1, 1), (0, 300), (300, 300), (7, 20), (123, 1000)):
        low, high = wilson(k, n)
        share, z = k / n, 1.959963984540054
        roots = np.sort(np.roots([1 + z * z / n, -2 * share - z * z / n, share * share]))
        np.testing.assert_allclose([low, high], roots, atol=1e-12)
    np.testing.assert_array_equal(wilson(0, 0), [0.0, 1.0])
    assert wilson(np.array([[1, 2], [3, 4]]), 10).shape == (2, 2, 2)
