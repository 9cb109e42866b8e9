"""`bea.attacks.quantised`: ways past a quantiser, against brute force over levels, factors and differences."""

import numpy as np
import pytest

from bea import Dense, Network, Quantise
from bea.attacks.quantised import difference_step, nearest_preimage, smallest_factor
from oracles import random_images, random_network

RNG = np.random.default_rng
SHAPE = (2, 3)
on_any_number_of_levels = pytest.mark.parametrize("levels", [2, 3, 4, 16])


def hidden(levels, seed=0):
    """A network behind a quantiser, its logits centred, so that classes change often."""
    inner = random_network(RNG(seed), [(6, "tanh")])
    x = random_images(RNG(seed + 1), inner, 300)
    last = inner.layers[-1]
    matrix = 5 * np.column_stack([last.kernel, last.matrix[:, -1] - inner(x).mean(axis=0)])
    return Network((Quantise(levels), *inner.layers[:-1], last.with_matrix(matrix)), SHAPE, input_range=(0.0, 1.0))


@pytest.mark.parametrize(("levels", "low", "high"), [(2, 0.0, 1.0), (3, 0.0, 1.0), (16, 0.0, 1.0), (5, -2.0, 1.5)])
def test_the_nearest_preimage_is_the_nearest_one_of_a_fine_grid(levels, low, high):
    """It is rounded to what is wanted, also as x + dx; no nearer point of a grid is; never beyond half a step."""
    layer, rng = Quantise(levels, low, high), RNG(levels)
    x = rng.uniform(low, high, (40, 6))
    x[0], x[1] = low, high
    wanted = layer.forward(rng.uniform(low, high, x.shape))
    found = nearest_preimage(layer, x, wanted)
    np.testing.assert_array_equal(layer.forward(found), wanted)
    np.testing.assert_array_equal(layer.forward(x + (found - x)), wanted)
    grid = np.linspace(low, high, 20001)
    rounded = layer.forward(grid)
    for pixel, want, near in zip(x.ravel(), wanted.ravel(), found.ravel(), strict=True):
        best = np.abs(grid[np.abs(rounded - want) < 1e-9] - pixel).min()
        assert abs(near - pixel) <= best + 1e-12 * (high - low)
    step = (high - low) / (levels - 1)
    assert (np.abs(found - wanted) <= 0.5 * step).all()
    stay = layer.forward(x) == wanted
    assert (np.abs(found - x)[stay] <= 1e-12 * step).all()


@on_any_number_of_levels
@pytest.mark.parametrize("targeted", [False, True])
def test_the_smallest_factor_is_the_first_of_a_fine_grid(levels, targeted):
    """10001 factors up to the largest: none before succeeds, and what is found does, by the network itself."""
    net, rng = hidden(levels), RNG(7)
    x = random_images(rng, net, 60)
    label = net.classify(x)
    target = (label + 1) % net.classes if targeted else None
    dx = 0.5 * rng.standard_normal(x.shape)
    dx[rng.random(x.shape) < 0.2] = 0.0
    result = smallest_factor(net, x, label, dx, target=target, largest=3.0)
    assert 10 <= result.success.sum() < 60
    np.testing.assert_array_equal(np.isnan(result.factor), ~result.success)
    grid = np.linspace(0.0, 3.0, 10001)
    for i in range(len(x)):
        found = net.classify(np.clip(x[i] + grid[:, None, None] * dx[i], 0.0, 1.0))
        won = found == target[i] if targeted else found != label[i]
        if result.success[i]:
            assert not won[grid < result.factor[i] * (1 - 1e-8)].any()
            moved = x[i] + result.dx[i]
            np.testing.assert_allclose(moved, np.clip(x[i] + result.factor[i] * dx[i], 0, 1), rtol=0, atol=1e-15)
            assert net.classify(moved[None])[0] == result.found[i]
        else:
            assert not won.any()


def test_an_image_of_the_class_asked_for_has_the_factor_zero():
    """And a change of nothing has none."""
    net = hidden(4)
    x = random_images(RNG(1), net, 5)
    label = net.classify(x)
    result = smallest_factor(net, x, (label + 1) % 4, np.ones_like(x))
    assert not result.factor.any()
    assert not result.dx.any()
    assert np.isnan(smallest_factor(net, x, label, np.zeros_like(x)).factor).all()
    assert smallest_factor(net, x[:0], label[:0], x[:0]).factor.shape == (0,)


@pytest.mark.parametrize("targeted", [False, True])
def test_a_step_by_differences_is_that_of_the_naive_loop(targeted):
    """One image and one direction at a time, with the same signs."""
    net = hidden(4)
    x = random_images(RNG(2), net, 12)
    label = net.classify(x)
    target = (label + 1) % 4
    aim = target if targeted else label
    epsilon = RNG(3).uniform(0.2, 0.5, 12)
    result = difference_step(net, x, label, epsilon, target=target if targeted else None, directions=7, seed=5)
    rng = RNG(5)
    signs = [rng.choice([-1.0, 1.0], SHAPE) for _ in range(7)]

    def lead(image, k):
        logits = net(np.clip(image, 0, 1)[None])[0]
        return logits[k] - max(np.delete(logits, k))

    for i in range(12):
        e = epsilon[i]
        total = sum(u * (lead(x[i] + e * u, aim[i]) - lead(x[i] - e * u, aim[i])) for u in signs)
        step = e * np.sign(total) * (1 if targeted else -1)
        np.testing.assert_array_equal(result.dx[i], np.clip(x[i] + step, 0, 1) - x[i])
    np.testing.assert_array_equal(result.found, net.classify(x + result.dx))


def test_differences_find_the_gradient_of_an_affine_map():
    """Two classes, no clipping: with many directions the signs are those of the gradient, though Q hides it."""
    rng = RNG(4)
    inner = random_network(rng, [], 2)
    net = Network((Quantise(64), *inner.layers), SHAPE, input_range=(0.0, 1.0))
    x = 0.5 + 0.1 * rng.random((20, *SHAPE))
    label = net.classify(x)
    slope = inner.layers[-1].kernel
    way = np.sign((slope[1 - label] - slope[label]).reshape(-1, *SHAPE))
    result = difference_step(net, x, label, 0.3, directions=2000)
    assert not net.linearise(x).jacobian.any()
    np.testing.assert_allclose(result.dx, 0.3 * way, rtol=0, atol=1e-15)


def test_bad_input_is_named():
    """One error, before any work."""
    net = hidden(4)
    x = random_images(RNG(1), net, 2)
    label, layer = net.classify(x), net.layers[0]
    with pytest.raises(ValueError, match=r"wanted: expected the shape of x, \(2, 2, 3\)"):
        nearest_preimage(layer, x, x[:1])
    with pytest.raises(ValueError, match=r"wanted: expected levels of the quantiser, received 0\.5"):
        nearest_preimage(layer, x, np.full_like(x, 0.5))
    with pytest.raises(ValueError, match="wanted: expected levels of the quantiser, received nan"):
        nearest_preimage(layer, x, np.full_like(x, np.nan))
    with pytest.raises(ValueError, match="net: expected a Quantise as its first layer, received a Flatten"):
        smallest_factor(Network(net.layers[1:], SHAPE, input_range=(0.0, 1.0)), x, label, x)
    with pytest.raises(ValueError, match="clip: expected a network with an input_range"):
        smallest_factor(Network(net.layers, SHAPE), x, label, x)
    with pytest.raises(ValueError, match="dx: expected finite numbers"):
        smallest_factor(net, x, label, np.full_like(x, np.nan))
    with pytest.raises(ValueError, match="largest: expected a positive number"):
        smallest_factor(net, x, label, x, largest=0.0)
    with pytest.raises(ValueError, match="directions: expected a whole number from 1 on"):
        difference_step(net, x, label, 0.1, directions=0)
    with pytest.raises(ValueError, match="epsilon: expected positive"):
        difference_step(net, x, label, 0.0)


@pytest.mark.parametrize("start", [0.5, 0.5 - 1e-8, 0.5 - 1e-13])
def test_an_image_at_the_edge_of_a_cell_gets_through(start):
    """The smallest factor is all but zero, and it is found."""
    net = Network((Quantise(2), Dense(np.array([[1.0, 0.0], [-1.0, 0.5]]))), (1,), "linear", (0, 1))
    x = np.array([[start]])
    label = net.classify(x)
    assert label[0] == 1
    found = smallest_factor(net, x, label, np.ones((1, 1)))
    assert found.success[0]
    assert 0.0 < found.factor[0] <= 0.5 - start + 1e-8
