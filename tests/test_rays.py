"""Changes of class along rays: fine grids, break points enumerated by hand, and the bounds that the proof rests on."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bea import (
    Activation,
    AveragePool,
    Convolution,
    Dense,
    Flatten,
    GlobalMaxPool,
    LayerNormalization,
    MaxPool,
    Network,
    Quantise,
    RadialBasis,
    Residual,
)
from bea.attacks import ray_segments, rays
from bea.attacks.epsilon_search import smallest_epsilon
from bea.attacks.loss import loss_gradient
from bea.bounds import along_ray
from bea.networks.activations import ACTIVATIONS, PARAMETRIC
from bea.networks.layers import Layer
from bea.numerics.arrays import column

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
RNG = np.random.default_rng
FINE = 5_000


def dense(rng, rows, inputs, size=1.0):
    return Dense(size * rng.standard_normal((rows, inputs + 1)) / np.sqrt(inputs))


def network(name, rng):
    """A small network that bends a lot, so that rays change class more than once."""
    shape = (5, 5, 2) if name in ("max pool", "average pool", "residual and global maximum") else (6,)
    if name in ("max pool", "average pool"):
        pool = MaxPool(2, 1) if name == "max pool" else AveragePool(2)
        layers = [Convolution(2.0 * rng.standard_normal((3, 9)), 2, bias=True), pool, Activation("tanh"), Flatten()]
        inputs = layers[0].output_shape(shape)
        inputs = int(np.prod(pool.output_shape(inputs)))
    elif name == "radial":
        layers, inputs = [RadialBasis(rng.random((12, 6)), np.full(12, 3.0))], 12
    elif name == "radial behind tanh":
        layers = [dense(rng, 5, 6, 4.0), Activation("tanh"), RadialBasis(rng.uniform(-1, 1, (12, 5)), np.full(12, 2.0))]
        inputs = 12
    elif name == "residual and global maximum":
        first, branch = (Convolution(2.0 * rng.standard_normal((4, columns)), 2) for columns in (9, 17))
        block = Residual((Activation("tanh"), branch), (MaxPool(2, 1),))
        layers, inputs = [first, block, GlobalMaxPool()], 4
    elif name == "layer normalisation":
        norms = (LayerNormalization(rng.random(8) + 0.5, rng.standard_normal(8), 0.01) for _ in range(2))
        block = Residual((next(norms), Activation("tanh"), dense(rng, 8, 8, 3.0)))
        layers, inputs = [dense(rng, 8, 6, 4.0), block, next(norms)], 8
    elif name == "one layer":
        layers, inputs = [], 6
    else:
        activation = Activation(name, 0.05) if name == "smooth_relu" else Activation(name)
        layers, inputs = [dense(rng, 9, 6, 6.0), activation, dense(rng, 8, 9, 3.0), activation], 8
    return balanced(Network((*layers, dense(rng, 3, inputs, 3.0)), shape, "softmax", (0.0, 1.0)), rng)


def balanced(net, rng):
    """Shift the logits so that none is largest on most images."""
    matrix = net.weighted[-1].matrix.copy()
    matrix[:, -1] -= np.median(net(rng.random((500, *net.input_shape))), axis=0)
    return replace(net, layers=(*net.layers[:-1], Dense(matrix)))


NAMES = (
    "one layer",
    "relu",
    "smooth_relu",
    "tanh",
    "sigmoid",
    "max pool",
    "average pool",
    "radial",
    "radial behind tanh",
    "residual and global maximum",
    "layer normalisation",
)


def problem(name, seed=0, n=60):
    """A network, images, directions of signs and zeros, classes: some of the images are of that class at the start."""
    rng = RNG([seed, NAMES.index(name)])
    net = network(name, rng)
    x = rng.random((n, *net.input_shape))
    return net, x, rng.choice([-1.0, 0.0, 1.0], x.shape, p=[0.45, 0.1, 0.45]), rng.integers(0, 3, n)


def on_grid(net, x, direction, aim, clip, points):
    """Return for points (k,) of every ray whether the network gives the class, (n, k), one image at a time."""
    images = x[:, None] + points.reshape(-1, *[1] * (x.ndim - 1)) * direction[:, None]
    images = np.clip(images, 0.0, 1.0) if clip else images
    return np.array([net.classify(ray) == goal for ray, goal in zip(images, aim, strict=True)])


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_all_changes_of_a_fine_grid_are_found(name, clip):
    """Each between two points of the grid that differ; what lies between points that agree comes in pairs."""
    net, x, direction, aim = problem(name)
    found = rays.changes(net, x, direction, aim, clip=clip, tolerance=1e-9)
    points = np.linspace(0.0, 1.0, FINE + 1)
    gives = on_grid(net, x, direction, aim, clip, points)
    assert not found.unresolved.any()
    np.testing.assert_array_equal(found.begins, gives[:, 0])
    cells = np.ceil(found.epsilon * FINE - 1e-4).astype(int)  # the change lies between points cell - 1 and cell
    number = np.zeros((len(x), FINE + 1), dtype=int)
    np.add.at(number, (found.sample, cells), 1)
    np.testing.assert_array_equal(number[:, 1:] % 2 == 1, gives[:, 1:] != gives[:, :-1])
    assert found.count.sum() >= 20


@pytest.mark.parametrize("name", ["relu", "smooth_relu", "tanh", "sigmoid", "max pool", "radial"])
def test_the_problems_of_these_tests_have_rays_that_return(name):
    """Otherwise they would not test much: some rays lose a class and win it again."""
    counts = [rays.changes(*problem(name, seed, 200)).count for seed in range(3)]
    assert np.concatenate(counts).max() >= 2


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_differs_on_the_two_sides_of_a_change(name):
    """One tolerance before a change the class is not what it is at the change."""
    net, x, direction, aim = problem(name, seed=1)
    found = rays.changes(net, x, direction, aim, tolerance=1e-7)
    for sample, epsilon in zip(found.sample, found.epsilon, strict=True):
        ray = x[sample] + np.array([epsilon - 1e-7, epsilon]).reshape(-1, *[1] * (x.ndim - 1)) * direction[sample]
        before, after = net.classify(ray) == aim[sample]
        assert before != after
    assert len(found.sample) >= 20


def test_break_points_of_a_hidden_layer_of_relus_give_the_same_changes():
    """Between the points where a unit switches the logits are straight lines, whose order is found by hand."""
    rng = RNG(5)
    first, last = rng.standard_normal((12, 5)), rng.standard_normal((3, 13))
    net = balanced(Network((Dense(3.0 * first), Activation("relu"), Dense(last)), (4,)), rng)
    last = net.weighted[-1].matrix
    x, direction, aim = rng.random((200, 4)), rng.choice([-1.0, 1.0], (200, 4)), rng.integers(0, 3, 200)
    found = rays.changes(net, x, direction, aim, tolerance=1e-12)
    total = 0
    for i in range(len(x)):
        u, d = 3.0 * first @ [*x[i], 1.0], 3.0 * first @ [*direction[i], 0.0]
        switches = -u / d
        edges = np.array([0.0, *np.sort(switches[(switches > 0.0) & (switches < 1.0)]), 1.0])
        changes = []
        for left, right in pairwise(edges):
            on = u + 0.5 * (left + right) * d > 0.0
            value = last[:, :-1] @ (on * u) + last[:, -1]
            slope = last[:, :-1] @ (on * d)
            others = np.delete(np.arange(3), aim[i])
            for other in others:
                gap, rate = value[aim[i]] - value[other], slope[aim[i]] - slope[other]
                place = -gap / rate
                third = np.setdiff1d(others, other)
                leads = value[aim[i]] + place * slope[aim[i]] > value[third] + place * slope[third]
                if left < place <= right and leads:
                    changes.append(place)
        total += len(changes)
        np.testing.assert_allclose(found.epsilon[found.sample == i], np.sort(changes), rtol=0, atol=1e-12)
    assert total >= 100


def test_a_class_that_is_lost_for_a_moment_is_noticed():
    """A dip a billionth wide, which no grid would meet."""
    width = 1e-9
    dip = np.array([[1.0, -0.3], [1.0, -0.3 - width / 2], [1.0, -0.3 - width]])
    last = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 1.0, -width / 4]])
    net = Network((Dense(dip), Activation("relu"), Dense(last)), (1,))
    found = rays.changes(net, np.zeros((1, 1)), np.ones((1, 1)), [0], tolerance=1e-12)
    assert found.begins.tolist() == [True]
    np.testing.assert_allclose(found.epsilon, [0.3 + width / 4, 0.3 + 3 * width / 4], rtol=0, atol=2e-12)


def test_narrow_bumps_are_found_on_long_rays():
    """Bounds of the exponent of a radial basis function far away are useless, and do not overflow."""
    net = Network(
        (RadialBasis(np.array([[3.0]]), np.array([1000.0])), Dense(np.array([[0.0, 0.0], [1.0, -0.5]]))), (1,)
    )
    found = rays.changes(net, np.zeros((1, 1)), np.ones((1, 1)), [0], largest=10.0, tolerance=1e-12)
    width = np.sqrt(np.log(2.0) / 1000.0)
    np.testing.assert_allclose(found.epsilon, [3.0 - width, 3.0 + width], rtol=0, atol=2e-12)
    assert not found.unresolved.any()


def test_overflow_is_called_unresolved():
    """Logits near the largest number leave no bound to trust."""
    net = Network(
        (Dense(np.array([[1e200, -3e199], [1.0, 0.0]])), Activation("relu"), Dense(1e200 * np.eye(2, 3))), (1,)
    )
    with np.errstate(all="ignore"):
        found = rays.changes(net, np.zeros((1, 1)), np.ones((1, 1)), [1])
    assert found.unresolved[0] > 0 or found.count[0] == 1


def test_a_tie_over_a_stretch_begins_where_it_begins():
    """Before 0.3 the first class leads, after 0.9 the second, between them neither: a zero is no place to stop at."""
    first = np.array([[-1.0, 0.3], [1.0, -0.9]])
    net = Network((Dense(first), Activation("relu"), Dense(np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]]))), (1,))
    x, way = np.zeros((1, 1)), np.ones((1, 1))
    for largest in (1.0, 10.0):
        for aim, place in ((0, 0.3), (1, 0.9)):
            found = rays.changes(net, x, way, [aim], largest=largest)
            np.testing.assert_allclose(found.epsilon, [place], rtol=0, atol=1e-9)
    assert smallest_epsilon(net, x, [0]).epsilon[0] == pytest.approx(0.3, abs=1e-6)
    assert smallest_epsilon(net, x, [0], target=[1]).epsilon[0] == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("edge", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "smooth_relu"])
def test_a_change_at_the_end_of_a_segment_is_found_once(name, edge):
    """Rays that start so that a known change lies where segments meet: rounding must not count it twice or never."""
    net, x, direction, aim = problem(name, seed=9, n=300)
    net = replace(net, input_range=None)
    known = rays.changes(net, x, direction, aim, tolerance=1e-15)
    some = np.flatnonzero(known.count == 1)
    place = known.first[some]
    moved = x[some] + (place - edge).reshape(-1, 1) * direction[some]
    found = rays.changes(net, moved, direction[some], aim[some], tolerance=1e-9)
    assert not np.isnan(found.epsilon).any()
    near = np.abs(found.epsilon - edge) <= 1e-8
    np.testing.assert_array_equal(np.bincount(found.sample[near], minlength=len(some)), 1)
    assert len(some) >= 20


def test_a_layer_whose_slopes_are_unknown_is_refused():
    """Not taken for an affine one."""
    with pytest.raises(TypeError, match="net: expected layers whose slopes are known here, received a Layer"):
        along_ray.slope_bounds(Layer(), *np.zeros((5, 1, 1)), np.ones(1))


@pytest.mark.parametrize(
    ("layer", "words"), [(Quantise(4), "a Quantise"), (Activation("hard_shrink", 0.5), "the activation hard_shrink")]
)
def test_what_jumps_is_refused_before_any_work_by_a_line_that_names_what_works(layer, words):
    """And the methods that are named do work."""
    rng = RNG(3)
    net = Network((dense(rng, 5, 6), Residual((layer,)), dense(rng, 3, 5)), (6,))
    x = rng.random((4, 6))
    label = net.classify(x)
    message = f"^method: expected 'bisection' or 'scan' for a network with {words}, .* received 'exact'$"
    with pytest.raises(ValueError, match=message):
        smallest_epsilon(net, x, label)
    for method in ("bisection", "scan"):
        found = smallest_epsilon(net, x, label, method=method, largest=8.0)
        assert found.success.any()
        assert not found.proved.any()
    with pytest.raises(
        ValueError, match=f"^net: expected layers whose slopes are known, received {words}: sampled_cha"
    ):
        rays.changes(net, x, x, label)


@pytest.mark.parametrize("name", [*ACTIVATIONS, *PARAMETRIC])
def test_every_activation_is_steepest_at_zero_or_at_an_end(name):
    """Slopes are never negative, rise up to zero, and from there rise or fall throughout: what the bounds assume."""
    layer = Activation(name, 0.3) if name in PARAMETRIC else Activation(name)
    v = np.linspace(-8.0, 8.0, 4001)
    steps = np.diff(layer.slope(v, layer.forward(v)))
    below, above = steps[v[1:] <= 0.0], steps[v[:-1] >= 0.0]
    assert (layer.slope(v, layer.forward(v)) >= 0.0).all()
    assert (below >= -1e-15).all()
    assert (above >= -1e-15).all() or (above <= 1e-15).all()


def test_a_ray_that_does_not_move_never_changes():
    """Nor does one along which two classes are exactly equal throughout: a tie is no lead."""
    net = Network((Dense(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.5]])),), (1,))
    found = rays.changes(net, np.ones((2, 1)), np.array([[0.0], [1.0]]), [0, 0])
    assert not found.count.any()
    assert not found.unresolved.any()
    assert np.isnan(found.first).all()
    assert not found.begins.any()


def test_a_tie_up_to_rounding_is_called_unresolved():
    """Two logits that differ by rounding only: nothing is proved, nothing hangs, other rays are not affected."""
    wave = np.array([[5.0, -1.0], [5.0, -1.0], [1.0, 0.0]])
    last = np.array([[0.1, 0.2, 0.0, 0.0], [0.2, 0.1, 0.0, 1e-17], [0.0, 0.0, 1.0, -10.0]])
    net = Network((Dense(wave), Activation("tanh"), Dense(last)), (1,))
    found = rays.changes(net, np.array([[0.0], [0.5]]), np.ones((2, 1)), [0, 2])
    assert (found.unresolved > 0).tolist() == [True, False]


@pytest.mark.parametrize("clip", [False, True])
def test_scan_bisection_and_the_exact_method_agree(clip):
    """To step and tolerance wherever the class is lost only once; where it comes back, none is before the exact one."""
    net, x, *_ = problem("smooth_relu", seed=3, n=300)
    label = net.classify(x)
    exact, bisection, scan = (
        smallest_epsilon(net, x, label, method=method, clip=clip).epsilon for method in ("exact", "bisection", "scan")
    )
    count = rays.changes(net, x, np.sign(loss_gradient(net, x, label)), label, clip=clip).count
    once = count == 1
    assert once.sum() >= 30
    assert np.abs(bisection - exact)[once].max() <= 1e-6
    assert (scan - exact)[once].min() >= -1e-6
    assert (scan - exact)[once].max() <= 1e-3
    assert np.isnan(exact[count == 0]).all()
    for other in (bisection, scan):
        known = ~np.isnan(other)
        assert (other[known] >= exact[known] - 1e-6).all()


@pytest.mark.parametrize("name", NAMES)
def test_slopes_between_any_two_points_lie_within_the_bounds(name):
    """Layer by layer along random segments: what the proof rests on, against differences of the layers themselves."""
    net, x, direction, aim = problem(name, seed=4, n=40)
    rng = RNG(6)
    way = ray_segments.Rays(net, x, direction, aim, clip=True)
    samples, left = np.arange(40), rng.random(40)
    right = left + 10.0 ** rng.uniform(-3, 0, 40)
    y, z = way.at(samples, left), way.at(samples, right)
    low, high = way._first_slopes(samples, left, right)
    inner = left + np.linspace(0.0, 1.0, 33)[:, None] * (right - left)
    values = [way.at(samples, point) for point in inner]
    for layer in (None, *net.layers):
        if layer is not None:
            v, w = layer.forward(y), layer.forward(z)
            low, high = along_ray.slope_bounds(layer, y, z, v, low, high, right - left)
            y, z, values = v, w, [layer.forward(value) for value in values]
        slopes = np.diff(values, axis=0) / column((right - left) / 32, y)
        scale = 1.0 + np.abs(slopes).max()
        rounding = 2e-11 * scale  # of differences over short steps; values themselves have far less
        assert (slopes >= low - rounding).all(), layer
        assert (slopes <= high + rounding).all(), layer
        least, most = along_ray.value_bounds(y, z, low, high, right - left)
        assert (np.array(values) >= least - 1e-14 * scale).all(), layer
        assert (np.array(values) <= most + 1e-14 * scale).all(), layer


@given(st.lists(st.floats(-5.0, 5.0), min_size=2, max_size=8), st.lists(st.floats(0.01, 1.0), min_size=8, max_size=8))
@settings(max_examples=300, deadline=None)
def test_values_of_a_curve_lie_within_the_bounds_and_can_reach_them(slopes, lengths):
    """A curve of straight pieces, and the two-piece curve of the same end points that uses its extreme slopes."""
    widths = np.array(lengths[: len(slopes)])
    curve = np.concatenate([[0.3], 0.3 + np.cumsum(np.array(slopes) * widths)])
    low, high, width = min(slopes), max(slopes), widths.sum()
    least, most = (
        bound[0] for bound in along_ray.value_bounds(*(np.array([v]) for v in (curve[0], curve[-1], low, high, width)))
    )
    assert least - 1e-12 <= curve.min()
    assert curve.max() <= most + 1e-12
    if low < 0.0 < high:
        falls = (high * width - (curve[-1] - curve[0])) / (high - low)  # how long the curve falls first
        assert least == pytest.approx(curve[0] + low * falls, abs=1e-10)


def test_blocks_make_no_difference(monkeypatch):
    """Blocks of seven rays, and of seven segments, find what one block finds."""
    net, x, direction, aim = problem("relu", seed=7)
    whole = rays.changes(net, x, direction, aim)
    monkeypatch.setattr(rays, "block_size", lambda *_, **__: 7)
    parts = rays.changes(net, x, direction, aim)
    np.testing.assert_array_equal(parts.sample, whole.sample)
    np.testing.assert_allclose(parts.epsilon, whole.epsilon, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(parts.begins, whole.begins)


def test_an_empty_batch_has_no_changes():
    """Arrays of length zero."""
    net, x, direction, aim = problem("tanh")
    found = rays.changes(net, x[:0], direction[:0], aim[:0])
    assert len(found.sample) == len(found.epsilon) == len(found.begins) == len(found.count) == 0


def test_changes_are_sorted_and_the_first_is_the_smallest_epsilon():
    """By ray, then by place; `first` agrees with `smallest_epsilon` where the class is given at the start."""
    net, x, *_ = problem("smooth_relu", seed=8, n=100)
    label = net.classify(x)
    found = rays.changes(net, x, np.sign(loss_gradient(net, x, label)), label)
    assert (np.diff(found.sample) >= 0).all()
    assert (np.diff(found.epsilon)[np.diff(found.sample) == 0] > 0).all()
    exact = smallest_epsilon(net, x, label, tolerance=1e-9)
    assert exact.proved.all()
    np.testing.assert_allclose(found.first, exact.epsilon, rtol=0, atol=2e-9)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"direction": np.zeros((2, 5))}, ValueError, r"direction: expected finite numbers of shape \(2, 6\)"),
        ({"direction": np.full((2, 6), np.nan)}, ValueError, "direction: expected finite numbers"),
        ({"x": np.full((2, 6), np.inf)}, ValueError, "x: expected finite pixels"),
        ({"x": np.full((2, 6), 1.5)}, ValueError, "x: expected pixels between 0 and 1"),
        ({"aim": [0, 3]}, ValueError, "aim: expected classes from 0 to 2, received 0 to 3"),
        ({"aim": [0.0, 1.0]}, TypeError, "aim: expected integers, received float64"),
        ({"aim": [0]}, ValueError, r"aim: expected shape \(2,\)"),
        ({"largest": 0.0}, ValueError, "largest: expected a positive number, received 0"),
        ({"tolerance": np.nan}, ValueError, "tolerance: expected a positive number, received nan"),
    ],
)
def test_bad_input_is_refused(change, error, message):
    """Before anything is computed, naming what was wrong."""
    net, x, direction, aim = problem("tanh", n=2)
    given_ = {"x": x, "direction": direction, "aim": aim} | change
    with pytest.raises(error, match=message):
        rays.changes(net, **given_)


def test_clipping_needs_a_range():
    """A network that knows none refuses."""
    net, x, direction, aim = problem("tanh")
    free = Network(net.layers, net.input_shape)
    with pytest.raises(ValueError, match="clip: expected a network with an input_range"):
        rays.changes(free, x, direction, aim, clip=True)


@pytest.mark.parametrize("name", NAMES)
def test_sampled_changes_meet_the_proved_ones(name):
    """With many places, what is said of the true class is what `changes` proves, and all classes named are seen."""
    rng = RNG(7)
    net = network(name, rng)
    x = rng.random((12, *net.input_shape))
    direction, label = rng.standard_normal(x.shape), net.classify(x)
    radii = np.tile(np.linspace(0.0, 3.0, 800), (len(x), 1))
    sample, radius, seen = rays.sampled_changes(net, x, direction, radii)
    proved = rays.changes(net, x, direction, label, largest=3.0, tolerance=1e-13)
    assert not proved.unresolved.any()
    assert (np.diff(sample) >= 0).all()
    for i, own in enumerate(label):
        at, classes = radius[sample == i], seen[sample == i]
        assert at[0] == 0.0
        assert (np.diff(at) > 0).all()
        assert (np.diff(classes) != 0).all()
        assert classes[0] == own
        flips = at[1:][(classes[1:] == own) != (classes[:-1] == own)]
        np.testing.assert_allclose(flips, proved.epsilon[proved.sample == i], rtol=0, atol=1.1e-13)
        middles = (at + np.append(at[1:], 3.0)) / 2
        moved = x[i] + middles.reshape(-1, *[1] * (x.ndim - 1)) * direction[i]
        assert net.classify(moved).tolist() == classes.tolist()
    assert len(sample) > 1.5 * len(x)


def test_classes_between_two_places_are_found_one_after_the_other():
    """On a line with four classes a place at each end is enough; a class that comes and goes is not seen."""
    points = np.array([0.0, 0.3, 0.6, 0.9])  # the nearest of these is the class
    net = Network((Dense(np.column_stack([2.0 * points, -(points**2)])),), (1,), "softmax")
    ends = np.array([[0.0, 1.0]])
    sample, radius, seen = rays.sampled_changes(net, np.zeros((1, 1)), np.ones((1, 1)), ends)
    assert sample.tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(radius, [0.0, 0.15, 0.45, 0.75], rtol=0, atol=2.0**-40)
    assert seen.tolist() == [0, 1, 2, 3]
    hidden, tent = Dense(np.array([[1.0, -0.5], [-1.0, 0.5]])), Dense(np.array([[0.0, 0.0, 0.0], [-1.0, -1.0, 0.1]]))
    net = Network((hidden, Activation("relu"), tent), (1,), "softmax")  # class 1 where |x - 0.5| < 0.1
    assert rays.sampled_changes(net, np.zeros((1, 1)), np.ones((1, 1)), ends)[2].tolist() == [0]
    assert all(a.size == 0 for a in rays.sampled_changes(net, np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 2))))
    thirds = np.array([[0.0, 0.5, 1.0]])
    assert rays.sampled_changes(net, np.zeros((1, 1)), np.ones((1, 1)), thirds)[2].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"radii": np.zeros((3, 0))},
            r"radii: .* finite rising .* \(3, places\), received shape \(3, 0\)",
        ),
        (
            {"radii": np.ones((3, 2))},
            r"radii: .* finite rising .* \(3, places\), received shape \(3, 2\)",
        ),
        ({"radii": np.arange(2.0)}, r"radii: .* finite rising .* \(3, places\), received shape \(2,\)"),
        ({"radii": np.full((3, 2), np.nan)}, "radii: expected finite rising numbers"),
        ({"radii": np.full((3, 1), np.inf)}, "radii: expected finite rising numbers"),
        ({"direction": np.ones((3, 5))}, r"direction: .* finite numbers of shape \(3, 6\), received shape \(3, 5\)"),
    ],
)
def test_sampling_without_sense_is_refused(change, message):
    """One error that names the argument."""
    net = network("tanh", RNG(0))
    call = {"x": np.full((3, 6), 0.5), "direction": np.ones((3, 6)), "radii": np.tile([0.0, 1.0], (3, 1))} | change
    with pytest.raises(ValueError, match=message):
        rays.sampled_changes(net, **call)
