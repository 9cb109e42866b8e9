"""`bea.backward.annealing`: shortest changes over the kinks of pooling, within the range and without."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize

from bea import Activation, Dense, Flatten, MaxPool, Network, attack
from bea.attacks import backward_error_attack
from bea.backward import annealing
from bea.networks.leads import lead, other_classes
from bea.numerics.arrays import image_norms
from oracles import random_convolution, random_images, random_network

RNG = np.random.default_rng


def pooled(**options):
    """A network of two convolutions with maxima behind them, on [0, 1], and images."""
    rng = RNG(0)
    layers = [random_convolution(rng, 4, 1, 3), MaxPool(2), random_convolution(rng, 6, 4, 2), MaxPool(2), Flatten()]
    layers += random_network(rng, [(8, "relu")], 4, (24,)).layers
    net = Network(tuple(layers), (12, 12, 1), input_range=(0, 1), **options)
    return net, random_images(RNG(1), net, 4)


def by_ddn(net, x, target, steps=800, share=0.02):
    """Lengths of what the attack DDN (Rony et al., 2019) finds, with smaller and smaller steps; infinite for nothing.

    Written anew for the tests: steps along the gradient of the lead, a radius that shrinks by a share after a success
    and grows by it after a failure.
    """
    delta, radius, best = np.zeros_like(x), np.ones(len(x)), np.full(len(x), np.inf)
    rows = np.arange(len(x))
    for step in np.geomspace(1.0, 0.003, steps):
        logits = net(x + delta)
        won = lead(logits, target) > 0.0
        best[won] = np.minimum(best, image_norms(delta))[won]
        others = other_classes(target, net.classes)
        weights = (
            np.eye(net.classes)[target] - np.eye(net.classes)[others[rows, logits[rows[:, None], others].argmax(1)]]
        )
        gradient = net.gradient(x + delta, weights)
        delta = delta + (step / np.maximum(image_norms(gradient), 1e-12))[:, None, None, None] * gradient
        radius *= np.where(won, 1.0 - share, 1.0 + share)
        delta *= (radius / image_norms(delta))[:, None, None, None]
        delta = np.clip(x + delta, 0.0, 1.0) - x
    return best


def test_over_maxima_it_is_as_short_as_many_more_steps_of_ddn():
    """For every target of every image; over random weights both end in local optima, ours mostly in the shorter one."""
    net, x = pooled()
    present = net.classify(x)
    images, label, target = np.repeat(x, 3, axis=0), np.repeat(present, 3), other_classes(present, 4).ravel()
    theirs = by_ddn(net, images, target)
    ours = backward_error_attack(net, images, label, target=target, margin=1e-6, clip=True)
    known = np.isfinite(theirs)
    assert known.sum() == 8
    assert ours.success[known].all()
    assert np.median((ours.l2 / theirs)[known]) < 1.0
    assert (ours.l2 <= 1.05 * theirs)[known].all()


@pytest.mark.parametrize("short", [False, True])
def test_what_is_found_is_a_success_within_the_range(monkeypatch, short):
    """To the last bit, called as an attack of either form; also where no start leads anywhere but one from afar."""
    net, x = pooled()
    present = net.classify(x)
    if short:
        monkeypatch.setattr(annealing, "HOT", annealing.Schedule((1.0, 1.0), (0.1, 0.1)))
        monkeypatch.setattr(annealing, "POOLED", annealing.Plan((1, 1, 40, 30), starts=2, rounds=1))
    any_class = backward_error_attack(net, x, present, clip=True)
    assert any_class.success.all()
    target = any_class.found
    kept = attack(net, x, target, "input", method="converged", clip=True, examples=x + any_class.dx)
    assert kept.success.all()
    assert (kept.perturbation.norms[:, -1] <= any_class.l2 * (1.0 + 1e-12)).all()
    for images in (x + any_class.dx, kept.images):
        assert images.min() >= 0.0
        assert images.max() <= 1.0
        np.testing.assert_array_equal(net.classify(images), target)
    named = backward_error_attack(net, x, present, target=target, clip=True)
    if not short:
        np.testing.assert_array_equal(kept.perturbation.dx, named.dx)


def test_a_class_out_of_reach_and_no_images():
    """A logit that is never largest is a failure that says so; no images have no results."""
    net, x = pooled()
    last = net.layers[-1]
    matrix = last.matrix.copy()
    matrix[3] = 0.0
    matrix[3, -1] = -100.0
    hopeless = Network((*net.layers[:-1], last.with_matrix(matrix)), net.input_shape, input_range=(0, 1))
    found = backward_error_attack(hopeless, x[:2], hopeless.classify(x[:2]), target=[3, 3], clip=True)
    assert np.isnan(found.dx).all()
    assert not found.success.any()
    assert backward_error_attack(net, x[:0], np.zeros(0, int), clip=True).dx.shape == (0, 12, 12, 1)


def test_where_all_units_are_off_there_is_no_direction_and_no_nan():
    """The gradient is zero there, from no change on and from others; a search that cannot move says that it failed."""
    off = Dense(np.hstack([np.zeros((3, 4)), -np.ones((3, 1))]))
    net = Network((off, Activation("relu"), random_network(RNG(2), [], 3, (3,)).layers[-1]), (4,), input_range=(0, 1))
    x = random_images(RNG(3), net, 2)
    target = (net.classify(x) + 1) % 3
    for start in (np.zeros((2, 4)), np.full((2, 4), 0.1)):
        with np.errstate(over="raise", invalid="raise"):
            best, size = annealing.anneal(net, x, target, 1e-6, start, np.ones(2), annealing.HOT, 40)
        assert np.isnan(best).all()
        assert np.isinf(size).all()


def windows_of_four(n):
    """A network of 4³ affine pieces: each of three maxima is one of four pixels. And images, the last one black."""
    rng = RNG(5)
    layers = (random_convolution(rng, 3, 2, 1), MaxPool(2), Flatten(), *random_network(rng, [], 3, (3,)).layers)
    net = Network(layers, (2, 2, 2))
    return net, np.concatenate([random_images(RNG(6), net, n - 1), np.zeros((1, 2, 2, 2))])


def shortest_of_all_pieces(net, x, target, margin):
    """The global optimum: SLSQP on every affine piece, with the constraints that say where the piece is."""
    convolution, last, best = net.layers[0], net.layers[-1].matrix, np.inf
    before = np.kron(np.eye(4), convolution.matrix[:, :2]).reshape(4, 3, 8)  # of one pixel after the other
    values = before @ x.ravel() + convolution.matrix[:, 2]
    for piece in product(range(4), repeat=3):
        largest = list(piece), range(3)
        rows = [before[largest][None] - before, values[largest][None] - values]
        leads = np.delete(last[target] - last, target, axis=0)
        G = np.concatenate([leads[:, :3] @ before[largest], rows[0].reshape(12, 8)])
        c = np.concatenate([leads[:, :3] @ values[largest] + leads[:, 3] - margin, rows[1].ravel()])
        held = {"type": "ineq", "fun": lambda d, G=G, c=c: G @ d + c, "jac": lambda d, G=G: G}
        found = minimize(lambda d: d @ d, np.zeros(8), jac=lambda d: 2 * d, method="SLSQP", constraints=held)
        if found.success and held["fun"](found.x).min() > -1e-7:
            best = min(best, np.linalg.norm(found.x))
    return best


def test_without_a_range_it_finds_the_optimum_over_all_affine_pieces():
    """By either call, also from a black image, whose change only the one of them can measure."""
    net, x = windows_of_four(5)
    present = net.classify(x)
    target = (present + 1) % 3
    optimum = np.array([shortest_of_all_pieces(net, *each, 1e-6) for each in zip(x, target, strict=True)])
    named = backward_error_attack(net, x, present, target=target, margin=1e-6)
    other = attack(net, x, target, "input", method="converged", margin=1e-6)
    np.testing.assert_array_equal(net.classify(named.images), target)
    np.testing.assert_allclose(named.l2, optimum, rtol=1e-13)
    np.testing.assert_allclose(other.perturbation.norms[:4, -1], named.l2[:4], rtol=1e-12)
    np.testing.assert_array_equal(other.success, [True] * 4 + [False])


def test_without_a_range_a_change_is_no_longer_than_within_it():
    """Here even with fewer starts; more of them, as a caller may ask for, are no worse in the median."""
    net, x = pooled()
    present = net.classify(x)
    target = backward_error_attack(net, x, present, clip=True).found
    kept, free, more = (
        attack(net, x, target, "input", method="converged", **options).perturbation.norms[:, -1]
        for options in ({"clip": True}, {}, {"starts": 12})
    )
    assert (free <= kept).all()
    assert np.median(more) <= np.median(free)


def test_alone_it_searches_any_network():
    """Of a dense network with ReLUs, on request: mostly as short as with linearisations, too."""
    net = replace(random_network(RNG(7), [(12, "relu")], 4, (9,)), input_range=(0, 1))
    x = random_images(RNG(8), net, 20)
    label = net.classify(x)
    alone, together = (backward_error_attack(net, x, label, clip=True, annealing=only) for only in (True, False))
    assert alone.success.all()
    longer = alone.l2 / together.l2 - 1.0
    assert np.mean(np.abs(longer) < 1e-6) >= 0.9
    assert longer.max() < 0.08
