"""`bea.attacks.affine`: the smallest change and the worst one are those that linear and quadratic programmes find."""

import numpy as np
import pytest
from scipy.optimize import linprog

from bea import Activation, Dense, Flatten, Network, attack
from bea.attacks.affine import smallest_change, worst_change
from bea.attacks.gradient_signs import fgsm
from bea.networks.windows import AveragePool
from oracles import RNG, expand, least_distance, random_convolution, random_images, random_network, relative_error

MARGIN = 1e-3
in_both_norms = pytest.mark.parametrize("norm", [2, np.inf])
with_and_without_range = pytest.mark.parametrize("clip", [False, True])


def random_case(seed, classes=4, n=12, **options):
    """A network of one affine layer whose classes all occur, images, and labels, mostly the present classes."""
    rng = RNG(seed)
    net = random_network(rng, [], classes, input_range=(0.0, 1.0), **options)
    x = random_images(rng, net, n)
    matrix = net.weighted[0].matrix.copy()
    matrix[:, -1] -= net(x).mean(axis=0)
    net = Network((Flatten(), Dense(matrix)), net.input_shape, input_range=(0.0, 1.0))
    label = np.where(rng.random(n) < 0.8, net.classify(x), rng.integers(0, classes, n))
    return net, x, label


def leads_and_gradients(net, image, label):
    """m_j and g_j of every class but the label, from the matrix written out."""
    logits, _, _, jacobian = expand(net, image)
    others = [j for j in range(len(logits)) if j != label]
    return [(logits[label] - logits[j], jacobian[label] - jacobian[j]) for j in others]


def smallest_by_programme(net, image, label, norm, margin):
    """Shortest Δx with v_j - v_label ≥ margin, the best over all j: NNLS for the length, a linear programme for ∞."""
    found = []
    for m, g in leads_and_gradients(net, image, label):
        if norm == 2:
            found.append(np.linalg.norm(least_distance(-g[None], np.array([m + margin]))))
            continue
        # Unknowns Δx and t: minimise t subject to |Δx_k| ≤ t and g·Δx ≤ -(m + margin).
        eye, ones = np.eye(len(g)), np.ones((len(g), 1))
        above = np.vstack([np.append(g, 0.0), np.hstack([eye, -ones]), np.hstack([-eye, -ones])])
        right = np.append(-(m + margin), np.zeros(2 * len(g)))
        bounds = [(None, None)] * len(g) + [(0, None)]
        found.append(linprog(np.append(np.zeros(len(g)), 1.0), above, right, bounds=bounds).fun)
    return min(found)


def worst_by_programme(net, image, label, epsilon, clip):
    """Smallest lead over the box by one linear programme for each other class."""
    pixels = image.ravel()
    low, high = pixels - epsilon, pixels + epsilon
    if clip:
        low, high = np.maximum(low, 0.0), np.minimum(high, 1.0)
    bounds = np.column_stack([low, high]) - pixels[:, None]
    return min(m + linprog(g, bounds=bounds).fun for m, g in leads_and_gradients(net, image, label))


@in_both_norms
@pytest.mark.parametrize("classes", [2, 4])
def test_the_smallest_change_is_that_of_the_programmes(classes, norm):
    """Length with the margin against one programme for each other class; the radius is its limit without a margin."""
    net, x, label = random_case(0, classes)
    found = smallest_change(net, x, label, norm=norm, margin=MARGIN)
    right = net.classify(x) == label
    assert 0 < right.sum() < len(x)
    pairs = [(image, y) for image, y, keep in zip(x, label, right, strict=True) if keep]
    expected = np.array([smallest_by_programme(net, image, y, norm, MARGIN) for image, y in pairs])
    radius = np.array([smallest_by_programme(net, image, y, norm, 0.0) for image, y in pairs])
    size = found.l2 if norm == 2 else found.linf
    assert relative_error(size[right], expected) <= 1e-14
    assert relative_error(found.radius[right], radius) <= 1e-14
    assert not found.dx[~right].any()
    assert not found.radius[~right].any()


@in_both_norms
def test_the_other_class_leads_by_the_margin(norm):
    """At x + Δx some class leads the label by the margin, to rounding, and the network confirms the change of class."""
    net, x, label = random_case(1, n=40)
    found = smallest_change(net, x, label, norm=norm, margin=MARGIN)
    assert found.success.all()
    moved = found.radius > 0
    assert moved.any()
    leads = [min(m for m, _ in leads_and_gradients(net, *pair)) for pair in zip(x + found.dx, label, strict=True)]
    assert np.abs(np.array(leads)[moved] + MARGIN).max() <= 1e-15


def test_the_smallest_of_the_attacks_on_all_targets_is_as_long():
    """Backward error with every target, exact for one affine layer, where the nearest class is met without others."""
    net, x, _ = random_case(2, 5, n=30)
    label = net.classify(x)
    targets = (label[:, None] + np.arange(1, 5)) % 5
    every = attack(net, np.repeat(x, 4, axis=0), targets.ravel(), "input", margin=1e-9)
    lengths = np.linalg.norm(every.perturbation.dx.reshape(30, 4, -1), axis=2)
    found = smallest_change(net, x, label, margin=1e-9)
    # A target has to lead all classes, so it is never nearer; the nearest class leads all at the nearest point.
    assert np.abs(lengths.min(axis=1) / found.l2 - 1).max() <= 1e-8


@with_and_without_range
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("epsilon", [0.01, 0.3])
def test_the_worst_change_is_that_of_the_programmes(epsilon, classes, clip):
    """The lead against the best of one linear programme for each other class, and it is the lead at x + Δx."""
    net, x, label = random_case(3, classes)
    found = worst_change(net, x, label, epsilon, clip=clip)
    expected = [worst_by_programme(net, image, y, epsilon, clip) for image, y in zip(x, label, strict=True)]
    assert np.abs(found.lead - expected).max() <= 1e-14
    there = [min(m for m, _ in leads_and_gradients(net, *pair)) for pair in zip(x + found.dx, label, strict=True)]
    assert np.abs(found.lead - there).max() <= 1e-14
    assert found.linf.max() <= epsilon * (1 + 1e-12)
    if clip:
        assert (x + found.dx).min() >= 0.0
        assert (x + found.dx).max() <= 1.0
    np.testing.assert_array_equal(found.success, net.classify(x + found.dx) != label)


@with_and_without_range
def test_with_two_classes_the_worst_change_is_the_sign_step(clip):
    """And with more classes it is at least as bad, somewhere worse."""
    net, x, label = random_case(4, 2, n=40)
    np.testing.assert_array_equal(
        worst_change(net, x, label, 0.1, clip=clip).dx, fgsm(net, x, label, 0.1, clip=clip).dx
    )
    net, x, label = random_case(5, 6, n=200)
    step, worst = fgsm(net, x, label, 0.1, clip=clip), worst_change(net, x, label, 0.1, clip=clip)
    assert (worst.success >= step.success).all()
    assert worst.success.sum() > step.success.sum()


def test_the_box_of_the_radius_is_the_first_that_holds_another_class():
    """No corner of a box a little smaller changes the class, one of a box a little larger does."""
    net, x, label = random_case(6, n=40)
    found = smallest_change(net, x, label, norm=np.inf)
    moved = found.radius > 0
    inside = worst_change(net, x[moved], label[moved], found.radius[moved] * (1 - 1e-9))
    outside = worst_change(net, x[moved], label[moved], found.radius[moved] * (1 + 1e-9))
    assert not inside.success.any()
    assert outside.success.all()


def test_affine_layers_may_be_stacked():
    """A convolution, an average and two dense layers are the affine map that they make together."""
    rng = RNG(7)
    layers = (random_convolution(rng, 2, 1, 2), AveragePool(2), Flatten(), *random_network(rng, [], 5, (8,)).layers)
    deep = Network((*layers, Dense(rng.standard_normal((3, 6)))), (5, 5, 1))
    columns = np.eye(25).reshape(-1, 5, 5, 1)
    bias = deep(np.zeros((1, 5, 5, 1)))[0]
    flat = Network((Flatten(), Dense(np.column_stack([(deep(columns) - bias).T, bias]))), (5, 5, 1))
    x = random_images(rng, deep, 8)
    label = deep.classify(x)
    for norm in (2, np.inf):
        pair = [smallest_change(net, x, label, norm=norm).dx for net in (deep, flat)]
        assert relative_error(*pair) <= 1e-12
    pair = [worst_change(net, x, label, 0.1).lead for net in (deep, flat)]
    assert relative_error(*pair) <= 1e-13


@in_both_norms
def test_classes_that_differ_by_a_constant_are_never_reached(norm):
    """Equal rows: NaN, no success and an infinite radius; a third class with another row is found."""
    equal = np.array([[1.0, 2.0, 1.0], [1.0, 2.0, 0.0]])
    net = Network((Dense(equal),), (2,))
    found = smallest_change(net, np.ones((1, 2)), np.array([0]), norm=norm)
    tie = Network((Dense(equal[[0, 0]]),), (2,))
    assert np.isinf(smallest_change(tie, np.ones((1, 2)), np.array([0]), norm=norm).radius).all()
    assert np.isnan(found.dx).all()
    assert not found.success.any()
    assert np.isinf(found.radius).all()
    worst = worst_change(net, np.ones((1, 2)), np.array([0]), 0.5)
    assert not worst.dx.any()
    assert worst.lead == 1.0
    net = Network((Dense(np.vstack([equal, [0.0, 2.0, 1.0]])),), (2,))
    found = smallest_change(net, np.ones((1, 2)), np.array([0]), norm=norm)
    assert found.success.all()
    assert found.radius == 1.0
    assert found.found == 2


def test_every_image_is_attacked_by_itself():
    """More images than a block holds, in reverse order: the same changes to the last digit or two."""
    net, x, label = random_case(10, n=2500)
    for attacked in (lambda x, y: smallest_change(net, x, y), lambda x, y: worst_change(net, x, y, 0.1, clip=True)):
        found, back = attacked(x, label), attacked(x[::-1], label[::-1])
        assert np.abs(found.dx - back.dx[::-1]).max() <= 1e-14
        np.testing.assert_array_equal(found.found, back.found[::-1])


def test_an_empty_batch_is_no_error():
    """Empty in, empty out."""
    net, x, label = random_case(8)
    assert smallest_change(net, x[:0], label[:0]).dx.shape == (0, 2, 3)
    assert worst_change(net, x[:0], label[:0], 0.1, clip=True).lead.shape == (0,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": 1}, "norm: expected one of"),
        ({"margin": 0.0}, "margin: expected a positive number"),
        ({"margin": np.nan}, "margin: expected a positive number"),
        ({"label": np.zeros(3, dtype=int)}, "label: expected shape"),
        ({"label": np.full(12, 4)}, "label: expected classes"),
        ({"x": np.zeros((12, 3, 2))}, "x: expected a batch"),
        ({"x": np.full((12, 2, 3), 1.5)}, "x: expected pixels between"),
        ({"net": random_network(RNG(0), [(5, "tanh")])}, "net: expected an affine network .* received a Activation"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(options, message):
    """One clear error each."""
    net, x, label = random_case(9)
    arguments = {"net": net, "x": x, "label": label} | options
    with pytest.raises(ValueError, match=message):
        smallest_change(**arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.0}, "epsilon: expected positive"),
        ({"epsilon": np.ones(3)}, "epsilon: expected a number or shape"),
        ({"clip": True, "net": random_network(RNG(0))}, "clip: expected a network with an input_range"),
        ({"net": Network((Flatten(), Activation("relu"), Dense(np.ones((4, 7)))), (2, 3))}, "net: expected an affine"),
    ],
)
def test_a_box_that_is_none_is_refused(options, message):
    """One clear error each."""
    net, x, label = random_case(9)
    arguments = {"net": net, "x": x, "label": label, "epsilon": 0.1} | options
    with pytest.raises(ValueError, match=message):
        worst_change(**arguments)


def test_labels_are_integers():
    """As everywhere."""
    net, x, label = random_case(9)
    for attacked in (lambda y: smallest_change(net, x, y), lambda y: worst_change(net, x, y, 0.1)):
        with pytest.raises(TypeError, match="label: expected integers"):
            attacked(label.astype(float))
