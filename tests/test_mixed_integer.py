"""`bea.attacks.mixed_integer`: no smaller set of pixels can do it."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import linprog

from bea import Activation, Dense, Network
from bea.attacks.mixed_integer import fewest_pixels
from bea.attacks.saliency import saliency_attack
from oracles import random_images, random_network

RNG = np.random.default_rng
MARGIN = 0.01


def smallest_subset(net, image, target):
    """Number of pixels in the smallest subset for which a linear programme has a solution, infinity for none."""
    W, v = net.weighted[0].kernel, net(image[None])[0]
    G = W[target] - np.delete(W, target, axis=0)
    c = MARGIN - (v[target] - np.delete(v, target))
    x = image.ravel()
    for count in range(len(x) + 1):
        for subset in combinations(range(len(x)), count):
            bounds = [(-x[k], 1 - x[k]) if k in subset else (0, 0) for k in range(len(x))]
            if linprog(np.zeros(len(x)), A_ub=-G, b_ub=-c, bounds=bounds).status == 0:
                return count
    return np.inf


def case(n=12):
    """An affine network with four classes, images, labels and targets."""
    net = random_network(RNG(2), (), 4, (2, 3), input_range=(0, 1))
    last = net.weighted[0].matrix.copy()
    last[1, -1] -= 1.0  # so that the range rules out class 1 for some
    net = Network((net.layers[0], Dense(last)), (2, 3), "linear", (0, 1))
    x = random_images(RNG(3), net, n)
    label = net.classify(x)
    return net, x, label, (label + 1 + np.arange(n) % 3) % 4


def test_the_number_of_pixels_is_the_smallest_of_all_subsets():
    """Every subset tried, a linear programme each; NaN where none works, and that is proved too."""
    net, x, label, target = case()
    result = fewest_pixels(net, x, label, target=target, margin=MARGIN)
    expected = np.array([smallest_subset(net, image, t) for image, t in zip(x, target, strict=True)])
    np.testing.assert_array_equal(np.where(result.success, result.l0, np.inf), expected)
    assert result.proved.all()
    assert {1, 2} <= set(expected[np.isfinite(expected)].tolist())
    assert np.isinf(expected).any()
    moved = (x + result.dx)[result.success]
    assert moved.min() >= 0.0
    assert moved.max() <= 1.0


def test_without_a_target_the_nearest_class_over_the_label_counts():
    """One half-space a class: there the pixels that gain most, one after the other, are the fewest."""
    net = random_network(RNG(0), (), 5, (5, 6), input_range=(0, 1))
    x = random_images(RNG(1), net, 20)
    label, margin = net.classify(x), 1.0
    result = fewest_pixels(net, x, label, margin=margin)
    expected = []
    for image, own in zip(x, label, strict=True):
        W, v = net.weighted[0].kernel, net(image[None])[0]
        counts = []
        for j in set(range(5)) - {own}:
            slope = W[j] - W[own]
            gains = np.sort(np.where(slope > 0.0, (1.0 - image.ravel()) * slope, -image.ravel() * slope))[::-1]
            enough = v[j] - v[own] + np.cumsum(gains) >= margin
            counts.append(1 + enough.argmax() if enough.any() else np.inf)
        expected.append(min(counts))
    np.testing.assert_array_equal(np.where(result.success, result.l0, np.inf), expected)
    assert result.proved.all()
    assert len(set(expected)) >= 3
    assert (result.found != label)[result.success].all()


def test_greedy_is_never_below_it():
    """And sometimes above; with two classes it is the same."""
    net = random_network(RNG(0), (), 5, (5, 6), input_range=(0, 1))
    x = random_images(RNG(1), net, 30)
    label = net.classify(x)
    target = (label + 1 + np.arange(30) % 4) % 5
    best, greedy = (attack(net, x, label, target=target) for attack in (fewest_pixels, saliency_attack))
    both = greedy.success
    assert both.sum() >= 20
    assert best.success[both].all()
    assert (greedy.l0 >= best.l0)[both].all()
    assert (greedy.l0 > best.l0)[both].any()
    two = random_network(RNG(4), (), 2, (5, 6), input_range=(0, 1))
    label = two.classify(x)
    best, greedy = (attack(two, x, label, target=1 - label) for attack in (fewest_pixels, saliency_attack))
    np.testing.assert_array_equal(best.l0, greedy.l0)


def test_an_image_of_the_target_needs_no_pixel():
    """Whatever its label."""
    net, x, *_ = case()
    present = net.classify(x)
    result = fewest_pixels(net, x, (present + 1) % 4, target=present)
    assert not result.dx.any()
    assert result.success.all()
    assert result.proved.all()


def test_without_time_nothing_is_claimed():
    """A change may be found or not, but the optimum is not called proved."""
    net = random_network(RNG(5), (), 10, (28, 28), input_range=(0, 1))
    x = random_images(RNG(6), net, 2)
    label = net.classify(x)
    result = fewest_pixels(net, x, label, target=(label + 1) % 10, seconds=1e-6)
    assert not result.proved.any()
    np.testing.assert_array_equal(result.success, np.isfinite(result.l0))


def test_what_it_cannot_solve_is_refused():
    """Networks that are not affine or have no range, and impossible options, by name."""
    net, x, label, target = case()
    bent = Network(
        (*net.layers[:-1], Dense(np.eye(6), False), Activation("tanh"), net.layers[-1]), (2, 3), "linear", (0, 1)
    )
    free = Network(net.layers, (2, 3))
    with pytest.raises(ValueError, match=r"^net: expected an affine network"):
        fewest_pixels(bent, x, label, target=target)
    with pytest.raises(ValueError, match=r"^clip: expected a network with an input_range"):
        fewest_pixels(free, x, label, target=target)
    for name in ("margin", "seconds"):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            fewest_pixels(net, x, label, target=target, **{name: 0.0})


def test_the_size_of_the_weights_does_not_matter():
    """The solver's own tolerances are absolute, the answer is not."""
    net, x, label, target = case()
    expected = fewest_pixels(net, x, label, target=target, margin=MARGIN).l0
    for factor in (1e-8, 1e8):
        scaled = Network((net.layers[0], Dense(factor * net.weighted[0].matrix)), (2, 3), "linear", (0, 1))
        np.testing.assert_array_equal(
            fewest_pixels(scaled, x, label, target=target, margin=factor * MARGIN).l0, expected
        )
