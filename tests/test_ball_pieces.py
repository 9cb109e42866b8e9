"""`bea.bounds.ball_pieces`: ranges, falls and radii against sampling, descent and attacks, on many architectures."""

import math

import numpy as np
import pytest

from bea import (
    Activation,
    AveragePool,
    Convolution,
    Dense,
    Flatten,
    GlobalAveragePool,
    GlobalMaxPool,
    LayerNormalization,
    MaxPool,
    Network,
    Pad,
    Permute,
    PReLU,
    Quantise,
    RadialBasis,
    Readout,
    Residual,
    Scale,
    attack,
    lower_bound,
)
from bea.bounds import ball_pieces, piece_ranges
from bea.bounds.ball_dense import local_bound
from bea.bounds.ball_pieces import FARTHEST, fall, pieces_bound, shared_cost
from bea.bounds.ball_pooling import convolutional_bound
from bea.bounds.piece_ranges import Image, Windows, ranges_in_ball
from bea.bounds.pieces import _signs, has_only_kinks, linear_pieces
from bea.bounds.searches import farthest_move
from bea.networks.elementwise import ELEMENTWISE
from bea.networks.sequence import trace
from oracles import RNG, random_convolution, random_network

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

RELU = Activation("relu")
SAME = ((1, 1), (1, 1))


def network(name, seed=0, classes=4):
    """Return a small network with random weights of one of these kinds, no class the largest everywhere."""
    rng = RNG((seed, list(KINDS).index(name)))
    shape, front, hidden = KINDS[name]
    layers, inner = [], shape
    for make in front:
        layers.append(make(rng, inner))
        inner = layers[-1].output_shape(inner)
    for width in hidden:
        layers += [Dense(rng.standard_normal((width, inner[0] + 1)) / math.sqrt(inner[0])), RELU]
        inner = (width,)
    last = rng.standard_normal((classes, inner[0] + 1)) / math.sqrt(inner[0])
    last[:, -1] = -trace(layers, rng.random((50, *shape)))[-1].mean(axis=0) @ last[:, :-1].T
    return Network((*layers, Dense(last)), shape)


def conv(filters, size, stride=1, padding=0, **options):
    """Return what makes a convolution with Gaussian weights for inputs of a shape."""
    if options:
        return lambda rng, shape: Convolution(
            rng.standard_normal((filters, math.prod(np.broadcast_to(size, 2)) * shape[2] // options.get("groups", 1))),
            *(size, stride, padding, False),
            **options,
        )
    return lambda rng, shape: random_convolution(rng, filters, shape[2], size, stride, padding)


def fixed(layer):
    """Return what makes this layer."""
    return lambda rng, shape: layer


def scale(rng, shape):
    """Return a batch normalisation that stands by itself, with factors of both signs."""
    return Scale(rng.uniform(0.5, 1.5, shape[2]) * (-1.0) ** np.arange(shape[2]), rng.random(shape[2]))


relu, flatten = fixed(RELU), fixed(Flatten())
KINDS = {
    "usual": ((10, 10, 1), [conv(3, 3), relu, fixed(MaxPool(2)), conv(4, 2), relu, fixed(MaxPool(3)), flatten], [6]),
    "same": ((6, 6, 2), [conv(3, 3, 1, SAME), relu, fixed(MaxPool(2)), conv(3, 3, 1, SAME), relu, flatten], []),
    "strides": ((9, 8, 1), [conv(3, 3, 2), relu, conv(4, 2), relu, flatten], [5]),
    "average": ((8, 8, 1), [conv(3, 3), relu, fixed(AveragePool(2)), conv(4, 2), relu, flatten], [6, 5]),
    "average at the edge": ((5, 5, 1), [conv(3, 2), relu, fixed(AveragePool(3, 2, 1)), flatten], [5]),
    "scales": ((8, 8, 1), [scale, conv(3, 3), scale, relu, fixed(MaxPool(2)), scale, flatten], [5]),
    "overlap": ((8, 8, 1), [conv(3, 3), relu, fixed(MaxPool(3, 2, 1)), conv(3, 2), relu, flatten], [5]),
    "global": ((6, 6, 1), [conv(3, 3), relu, conv(6, 3, 2), relu, fixed(GlobalAveragePool())], []),
    "groups and gaps": ((7, 7, 2), [conv(4, 2, groups=2), relu, conv(3, 2, dilation=2), relu, flatten], [5]),
    "channels first": ((2, 6, 5), [fixed(Permute((1, 2, 0))), conv(3, 3), relu, fixed(MaxPool(2)), flatten], [5]),
    "zeros around": ((5, 5, 1), [fixed(Pad(((1, 0), (0, 2)))), conv(3, 3), relu, flatten], [5]),
    "leaky": ((6, 6, 1), [conv(3, 3), fixed(Activation("leaky_relu", 0.2)), fixed(MaxPool(2)), flatten], [5]),
    "prelu": ((6, 6, 1), [conv(3, 3), fixed(PReLU(np.array([0.3, -0.5, 1.7]))), fixed(MaxPool(2)), flatten], [5]),
    "clipped": ((6, 6, 1), [conv(3, 3), fixed(Activation("clip", (-0.3, 0.4))), fixed(MaxPool(2)), flatten], [5]),
    "shrinking": ((6, 6, 1), [conv(3, 3), fixed(Activation("soft_shrink", 0.3)), fixed(MaxPool(2)), flatten], [5]),
    "abs first": ((4, 4, 1), [fixed(Activation("abs")), fixed(MaxPool(2, 1)), conv(2, 2), relu, flatten], []),
    "dense": ((3, 2), [flatten], [7, 6]),
}
on_kinds = pytest.mark.parametrize("name", KINDS)


def images(seed, net, n):
    """Return images of many kinds: any pixels, all zero in one part, and all the same."""
    rng = RNG(seed)
    x = rng.random((n, *net.input_shape))
    x[::3, net.input_shape[0] // 2 :] = 0.0
    x[1::5] = 0.5
    return x


def lengths(delta):
    return np.sqrt(np.square(delta).sum(axis=tuple(range(1, delta.ndim))))


def within(delta, radius):
    """Return the changes, the longer ones cut to these lengths."""
    factor = np.minimum(1.0, radius / np.maximum(lengths(delta), 1e-300))
    return delta * factor.reshape(-1, *[1] * (delta.ndim - 1))


def least_lead(net, x, own, rival, radius, rng, steps=12):
    """The least lead that projected descent finds in the ball, from random points, the gradient, and noise."""
    rows = np.eye(net.classes)[own] - np.eye(net.classes)[rival]
    delta, least = within(rng.standard_normal(x.shape) * 10.0, radius * rng.random(len(x))), np.full(len(x), np.inf)
    for step in range(steps):
        least = np.minimum(least, np.vecdot(net(x + delta), rows))
        gradient = net.gradient(x + delta, rows)
        push = gradient / np.maximum(lengths(gradient), 1e-300).reshape(-1, *[1] * (x.ndim - 1))
        delta = within(delta - push * (2.0 / (1 + step) * radius).reshape(-1, *[1] * (x.ndim - 1)), radius)
    return least


@on_kinds
def test_descent_and_attacks_find_no_change_within_the_radius(name):
    """Nor is it shorter than that of one constant a layer; some way beyond it the class does change."""
    beyond = []
    for seed in range(2):
        net, rng = network(name, seed), RNG((1, seed))
        x = images((2, seed), net, 8)
        found, chain, own = lower_bound(net, x, method="local"), lower_bound(net, x), net.classify(x)
        assert (found.radius >= chain.radius).all()
        assert (found.rival != own).all()
        radius, rival = pieces_bound(net, x)
        assert (radius > 0.0).all()
        every, step, factor = map(np.ravel, np.meshgrid(np.arange(8), [1, 2, 3], [1.0, 30.0], indexing="ij"))
        other = (own[every] + step) % 4
        least = least_lead(net, x[every], own[every], other, factor * radius[every], rng)
        changed = (least <= 0.0).reshape(8, 3, 2).any(axis=1)
        assert not changed[:, 0].any()
        beyond.append(changed[:, 1].mean())
        reached = attack(net, x, rival, on="input", method="converged")
        moved = lengths(reached.perturbation.dx)[reached.success]
        assert (moved >= found.radius[reached.success]).all()
    assert np.mean(beyond) > 0.5


def three_lengths(net, x):
    """Return (n, 3) lengths: one constant a layer, this bound, and the converged attack on the rival that it names.

    The recipe to see what the bound is worth on a network of your own: the change of class nearest to an image lies
    between the second and the third column.
    """
    chain, local = lower_bound(net, x), lower_bound(net, x, method="local")
    reached = attack(net, x, local.rival, on="input", method="converged")
    moved = np.where(reached.success, lengths(reached.perturbation.dx), np.inf)
    return np.column_stack([chain.radius, local.radius, moved])


@pytest.mark.parametrize("name", ["usual", "same", "strides", "average"])
def test_the_bound_is_clearly_better_than_one_constant_a_layer(name):
    """In the median of 24 images, and it stays below the attack."""
    net = network(name, 30)
    found = three_lengths(net, images(31, net, 24))
    assert (np.diff(found, axis=1) >= 0.0).all()
    assert np.median(found[:, 1] / found[:, 0]) > 1.4


@on_kinds
def test_no_number_leaves_its_range_and_no_function_falls_by_more(name):
    """Images moved at random and along gradients in balls of any size: residuals, units and leads are bounded."""
    for seed, size in enumerate((1e-3, 0.2, 2.0)):
        net, rng = network(name, seed), RNG((3, seed))
        x, pieces = images((4, seed), net, 6), linear_pieces(net)
        r = size * rng.uniform(0.5, 2.0, 6)
        image = Image.of(pieces, x, r)
        image = Image.of(pieces, x, 0.5 * r, ranges_in_ball(pieces, image, r, fall))
        ranges = ranges_in_ball(pieces, image, r, fall)
        last = len(pieces.layers) - 1
        for number in (i for i in range(1, last + 1) if has_only_kinks(pieces.layers[i]) or i == last):
            y = image.values[number]
            q = rng.standard_normal((6, 3, *y.shape[1:]))
            bound = fall(pieces, image, ranges, q, number, r)
            assert np.isfinite(bound).all()
            for trial in range(6):
                gradient = q[:, trial % 3]
                for back in range(number - 1, -1, -1):
                    layer = pieces.layers[back]
                    gradient = layer.pull_back(gradient[:, None], image.values[back], image.values[back + 1])[:, 0]
                direction = -gradient if trial < 3 else rng.standard_normal(x.shape)
                delta = within(1e9 * direction, r * (1.0 if trial < 3 else rng.random(6)))
                moved = trace(pieces.layers, x + delta)[number] - y
                fallen = -(q * moved[:, None]).reshape(6, 3, -1).sum(axis=2)
                assert (fallen <= bound * (1.0 + 1e-12) + 1e-12).all()


@on_kinds
def test_the_layers_taken_apart_are_the_network(name):
    """Bit for bit behind all maxima that changed places, and the signs of affine layers add up to them."""
    net = network(name, 5)
    pieces, x = linear_pieces(net), images(6, net, 5)
    np.testing.assert_array_equal(trace(pieces.layers, x)[-1], net(x))
    for layer, y, parts in zip(pieces.layers, trace(pieces.layers, x), pieces.signs, strict=False):
        if parts is not None:
            dy = RNG(7).standard_normal(y.shape)
            split = parts[0].push_forward(dy, y, None) - (parts[1].push_forward(dy, y, None) if parts[1] else 0.0)
            np.testing.assert_allclose(split, layer.push_forward(dy, y, None), atol=1e-12)
            assert all((part.push_forward(np.abs(dy), y, None) >= 0.0).all() for part in parts if part)


@pytest.mark.parametrize(
    "name", ["usual", "same", "overlap", "scales", "channels first", "zeros around", "groups and gaps"]
)
def test_rows_have_the_norms_of_the_derivative_written_out(name):
    """With the slopes and means at hand every number's derivative by all pixels, one pixel at a time."""
    net = network(name, 8)
    pieces, x = linear_pieces(net), images(9, net, 2)
    r = np.array([0.3, 0.7])
    image = Image.of(pieces, x, r)
    image = Image.of(pieces, x, r, ranges_in_ball(pieces, image, r, fall))
    pixels = math.prod(net.input_shape)
    for n in range(2):
        dy = np.eye(pixels).reshape(-1, *net.input_shape)
        for i, layer in enumerate(pieces.layers[: pieces.window.stop]):
            if isinstance(layer, MaxPool):
                windows, entries = image.windows[i], entries_of(layer, dy)
                mean = (entries * windows.weights[n]).sum(axis=2)
                expected = np.sqrt(np.square(entries - mean[:, :, None]).sum(axis=0))
                inside = windows.gap[n] < 1e99
                np.testing.assert_allclose(image.rows[i][n][inside], expected[inside], atol=1e-6)
                dy = mean.reshape(pixels, *image.values[i + 1].shape[1:])
            elif has_only_kinks(layer):
                np.testing.assert_allclose(image.rows[i][n], np.sqrt(np.square(dy).sum(axis=0)), atol=1e-6)
                dy = dy * image.slope(layer, i)[n]
            else:
                dy = layer.push_forward(dy, dy, None)


@on_kinds
def test_no_input_moves_by_more_than_the_constants_say(name):
    """Along changes that the power method has turned; and a first kernel ten times as large moves all ten times."""
    net, rng = network(name, 32), RNG(33)
    pieces, x = linear_pieces(net), images(34, net, 5)
    delta = rng.standard_normal(x.shape)
    for i in range(1, len(pieces.layers)):
        moved = farthest_move(pieces.layers[:i], x, delta, 5)[1]
        assert (moved <= pieces.reach[i] * lengths(delta)).all()
        if isinstance(pieces.layers[i], MaxPool):
            turned = farthest_move(pieces.layers[:i], x, delta, 5)[0]
            before, after = (entries_of(pieces.layers[i], trace(pieces.layers[:i], y)[-1]) for y in (x, x + turned))
            apart = after - before - (after - before).mean(axis=2, keepdims=True)
            if not any(map(any, pieces.layers[i].padding)):
                assert (lengths(apart) <= pieces.apart[i] * lengths(delta)).all()
    first = next(i for i, layer in enumerate(net.layers) if isinstance(layer, Convolution | Dense))
    layers = list(net.layers)
    layers[first] = layers[first].with_matrix(10.0 * layers[first].matrix)
    larger = linear_pieces(Network(tuple(layers), net.input_shape))
    np.testing.assert_allclose(larger.reach[first + 1 :], 10.0 * np.array(pieces.reach[first + 1 :]), rtol=1e-4)
    np.testing.assert_allclose(larger.apart[first:], 10.0 * np.array(pieces.apart[first:]), rtol=1e-4)


def test_a_maximum_that_pulls_up_falls_with_its_largest_entry():
    """Exactly by r, also where a mean stands for those that pull down; these never rise by more than r."""
    net = Network((MaxPool((1, 2)), Flatten(), Dense([[1.0, 0.0], [0.0, 0.1]])), (1, 2, 1))
    pieces, r = linear_pieces(net), np.array([0.05])
    image = Image.of(pieces, np.array([0.1, 0.0]).reshape(1, 1, 2, 1), np.array([10.0]))
    np.testing.assert_array_equal(image.windows[0].weights, 0.5)
    ranges = ranges_in_ball(pieces, image, r, fall)
    up, down = (fall(pieces, image, ranges, q * np.ones((1, 1, 1)), 2, r)[0, 0] for q in (1.0, -1.0))
    np.testing.assert_allclose(up, 0.05, rtol=1e-6)
    assert 0.05 <= down < 0.08


AFFINE = {
    "convolution": (conv(3, 2, 2, SAME), (4, 5, 2)),
    "groups": (conv(4, 2, groups=2), (3, 3, 4)),
    "average": (fixed(AveragePool(2, 1, 1)), (3, 4, 2)),
    "scale": (scale, (3, 2, 4)),
    "dense": (lambda rng, shape: Dense(rng.standard_normal((4, shape[0] + 1)) + 1.0), (6,)),
}


@pytest.mark.parametrize("name", AFFINE)
def test_affine_ranges_are_those_of_a_box(name):
    """With the matrix written out: the least and most of every row over the box, and over a ball where it is small."""
    make, shape = AFFINE[name]
    rng = RNG(35)
    layer = make(rng, shape)
    units = np.eye(math.prod(shape)).reshape(-1, *shape)
    matrix = layer.push_forward(units, units, None).reshape(len(units), -1).T
    low, high = rng.random((3, *shape)), rng.random((3, *shape)) + 1.0
    signs = _signs(layer)
    found = [a.reshape(3, -1) for a in piece_ranges._of_affine(layer, signs, low, high, np.full(3, 1e9))]
    plus, minus = np.maximum(matrix, 0.0), np.maximum(-matrix, 0.0)
    a, b = low.reshape(3, -1), high.reshape(3, -1)
    np.testing.assert_allclose(found[0], a @ plus.T + b @ minus.T, rtol=1e-12)
    np.testing.assert_allclose(found[1], b @ plus.T + a @ minus.T, rtol=1e-12)
    if isinstance(layer, Convolution | Dense):
        small = piece_ranges._of_affine(layer, signs, low, high, np.full(3, 0.1))
        norms = np.linalg.norm(matrix, axis=1)
        for side, box in zip(small, found, strict=True):
            assert (side.reshape(3, -1) >= np.minimum(box, 0.1 * norms) * (1.0 - 1e-12)).all()
            assert (side.reshape(3, -1) <= 0.1 * np.linalg.norm(layer.kernel, axis=1).max() * (1.0 + 1e-12)).all()


def corners(rng, low, high):
    """A point of each box -low ≤ e ≤ high, half of its entries at an end."""
    free = rng.uniform(-low, high)
    return np.where(rng.random(low.shape) < 0.5, free, np.where(rng.random(low.shape) < 0.5, -low, high))


def test_ranges_of_maxima_are_safe_and_nearly_attained():
    """Windows of any gaps; movements whose parts without their mean are bounded, and errors in a box."""
    rng, pool, n = RNG(36), MaxPool((1, 3)), 400
    y = rng.random((n, 1, 3, 1)) * rng.choice([0.0, 0.3, 1.0], (n, 1, 1, 1))
    windows = Windows.of(pool, y, np.zeros(n), rng.choice([0.0, 0.2, 5.0], n))
    assert len(set(np.count_nonzero(windows.weights, axis=2).ravel().tolist())) == 3
    rows, r = rng.random((n, 1, 3)), rng.uniform(0.1, 1.0, n)
    low, high = (0.3 * rng.random((n, 1, 3, 1)) for _ in range(2))
    most, below, above, _ = piece_ranges._of_maxima(pool, windows, rows, low, high, r)
    w = windows.weights[:, 0]
    largest, least, lowest = np.full(n, -np.inf), np.full(n, np.inf), np.full(n, -np.inf)
    for _ in range(4000):
        u = corners(rng, np.ones((n, 3)), np.ones((n, 3)))
        u = u - np.vecdot(u, w)[:, None]
        u = u * (rows[:, 0] * r[:, None] / np.maximum(np.abs(u), 1e-9)).min(axis=1)[:, None]
        e = corners(rng, low, high).reshape(n, 3)
        risen = (y.reshape(n, 3) + u + e).max(axis=1) - y.max(axis=(1, 2, 3))
        largest = np.maximum(largest, risen - np.vecdot(u + e, w))
        lowest, least = np.maximum(lowest, risen - np.vecdot(u, w)), np.minimum(least, risen - np.vecdot(u, w))
    assert (largest <= most[:, 0] + 1e-12).all()
    assert (lowest <= above[:, 0] + 1e-12).all()
    assert (least >= -below[:, 0] - 1e-12).all()
    assert np.median(largest[most[:, 0] > 0.0] / most[most > 0.0]) > 0.7
    assert np.median(-least / below[:, 0]) > 0.3


@pytest.mark.parametrize(
    "layer",
    [RELU, Activation("abs"), Activation("clip", (-0.2, 0.3)), PReLU(np.array(-0.5)), Activation("relu6")],
    ids=repr,
)
def test_ranges_of_kinks_are_safe_and_nearly_attained(layer):
    """A number moves straight by a bounded length, and by an error within a box; chord, lines and e are kept."""
    rng, n = RNG(37), 500
    v = rng.uniform(-1.0, 1.0, (n, 1)) * rng.choice([0.0, 0.1, 1.0], (n, 1))
    straight, low, high = (rng.uniform(0.05, 0.5, (n, 1)) for _ in range(3))
    first = np.array([-9.0])
    left = layer.slope(first, layer.forward(first))
    slopes = [rng.choice([0.0, 0.3, 1.0], (n, 1)) for _ in layer.kinks]
    image = Image([v], [np.zeros(n)], [None], [left], [slopes], [None])
    kinks = piece_ranges._kinks(layer, image, 0, straight + low, straight + high)
    below, above, added, bent = piece_ranges._of_kinks(layer, image, 0, straight + low, straight + high, low, high)
    largest, least, rises = np.full((n, 1), -np.inf), np.full((n, 1), np.inf), [np.full((n, 1), -np.inf) for _ in kinks]
    for _ in range(600):
        s, e = corners(rng, straight, straight), corners(rng, low, high)
        moved = layer.forward(v + s + e) - layer.forward(v)
        largest, least = (
            np.maximum(largest, moved - image.slope(layer, 0) * s),
            np.minimum(least, moved - image.slope(layer, 0) * s),
        )
        beside = np.abs(moved - image.slope(layer, 0) * (s + e))[:, 0]
        assert (beside <= np.minimum(added, bent * np.abs(s + e)[:, 0]) + 1e-12).all()
        for kink, (place, _), rise in zip(kinks, layer.kinks, rises, strict=True):
            c, t = v - place, s + e
            over = np.maximum(c + t, 0.0) - np.maximum(c, 0.0) - kink.chord * t
            assert (over <= np.maximum((kink.lines[0] + kink.lines[1] * np.abs(t)).max(axis=0), 0.0) + 1e-10).all()
            np.maximum(rise, over, out=rise)
    assert (largest <= above + 1e-12).all()
    assert (least >= -below - 1e-12).all()
    assert np.median(largest[above > 1e-9] / above[above > 1e-9]) > 0.3
    assert np.median(-least[below > 1e-9] / below[below > 1e-9]) > 0.3
    for kink, rise in zip(kinks, rises, strict=True):
        assert (rise <= kink.most + 1e-12).all()
        assert (rise[kink.most > 0.0] > 0.99 * kink.most[kink.most > 0.0]).all()


def entries_of(pool, values):
    """The entries of every window by loops, (n, windows, m), zeros outside."""
    (top, bottom), (left, right) = pool.padding
    padded = np.pad(values, ((0, 0), (top, bottom), (left, right), (0, 0)))
    rows, columns, channels = pool.output_shape(values.shape[1:])
    (a, b), (s, t) = pool.size, pool.stride
    found = [
        padded[:, i * s : i * s + a, j * t : j * t + b, c].reshape(len(values), -1)
        for i in range(rows)
        for j in range(columns)
        for c in range(channels)
    ]
    return np.stack(found, axis=1)


def test_shared_cost_is_above_every_share():
    """Random movements of one length, thresholds and limits; and close to what descent finds where nothing limits."""
    rng = RNG(10)
    weight, most = rng.random((5, 3, 8)), rng.random((5, 1, 8))
    β, distance = rng.uniform(0.0, 0.5, (5, 1, 8)), rng.random((5, 1, 8))
    lines = np.stack([np.zeros_like(β), -distance]), np.stack([β, 1.0 - β])
    length = rng.uniform(0.1, 5.0, (5, 1))
    bound = shared_cost(weight, most, *lines, length)
    largest = np.zeros((5, 3))
    for _ in range(3000):
        t = rng.exponential(size=(5, 1, 8)) ** rng.choice([0.5, 2.0, 5.0])
        t *= (length / np.sqrt(np.square(t).sum(axis=2)))[:, :, None]
        e = np.minimum(np.maximum((lines[0] + lines[1] * t).max(axis=0), 0.0), most)
        largest = np.maximum(largest, (weight * e).sum(axis=2))
    assert (largest <= bound).all()
    assert np.median(largest / bound) > 0.7
    # Without a limit or a threshold it is the length times that of the weights.
    free = shared_cost(weight, 1e9 * np.ones_like(most), np.zeros_like(lines[0]), np.ones_like(lines[1]), length)
    np.testing.assert_allclose(free, np.linalg.norm(weight, axis=2) * length, rtol=1e-12)


def test_every_function_of_straight_lines_is_the_sum_of_its_kinks():
    """So that the bounds of the kinks are those of the function; no other function passes for one."""
    v = np.linspace(-9.0, 9.0, 1801)
    parameters = {"leaky_relu": 0.3, "soft_shrink": 0.5, "clip": (-1.0, 2.0), "clipped_relu": (0.2, 0.0, 5.0)}
    parameters |= {"hard_shrink": 0.0, "threshold": (1.0, 1.0), "celu": 0.5, "elu": 0.5, "smooth_relu": 0.5}
    straight = []
    for name in ELEMENTWISE:
        layer = Activation(name, parameters.get(name))
        if has_only_kinks(layer):
            straight.append(name)
            left = layer.slope(np.array([-20.0]), layer.forward(np.array([-20.0])))
            total = left * (v + 9.0) + sum(jump * (np.maximum(v - p, 0.0) - 0.0) for p, jump in layer.kinks)
            np.testing.assert_allclose(layer.forward(v) - layer.forward(v[:1]), total, atol=1e-12)
    assert {"relu", "abs", "clip", "leaky_relu", "relu6", "hard_tanh", "hard_sigmoid", "soft_shrink"} <= set(straight)
    assert not {"tanh", "gelu", "elu", "hard_silu", "exponential", "smooth_relu"} & set(straight)


def test_dense_networks_have_radii_of_the_size_that_parabolas_prove():
    """On ReLU networks of two hidden layers this bound is within a factor of two of ``local_bound``."""
    net = random_network(RNG(11), [(12, "relu"), (10, "relu")], 4, (3, 4))
    x = RNG(12).random((40, 3, 4))
    radius, parabolas = pieces_bound(net, x)[0], local_bound(net, x)[0]
    assert 0.5 < np.median(radius / parabolas) < 1.2
    assert np.median(radius / lower_bound(net, x).radius) > 1.5


def test_networks_covered_before_keep_their_bounds_bit_for_bit():
    """Dense layers, and LeNet without activations behind its convolutions."""
    dense = random_network(RNG(13), [(6, "tanh"), (5, "relu")])
    rng = RNG(14)
    convolution = random_convolution(rng, 3, 1, 3)
    tail = random_network(rng, [(5, "relu")], 4, (12,)).layers
    pooled = Network((convolution, MaxPool(2), Flatten(), *tail), (6, 6, 1))
    for net, bound in ((dense, local_bound), (pooled, convolutional_bound)):
        x = RNG(15).random((8, *net.input_shape))
        expected = np.maximum(bound(net, x)[0], lower_bound(net, x).radius)
        np.testing.assert_array_equal(lower_bound(net, x, method="local").radius, expected)


def test_a_linear_network_has_its_exact_radius():
    """Convolution, average, scale: the distance to the nearest hyperplane, as nothing can bend."""
    rng = RNG(16)
    layers = (random_convolution(rng, 3, 1, 3), AveragePool(2), Flatten(), Dense(rng.standard_normal((4, 13))))
    net = Network(layers, (6, 6, 1))
    x = rng.random((10, 6, 6, 1))
    logits, jacobian, own = net(x), net.linearise(x).jacobian, net.classify(x)
    everyone = np.arange(10)
    with np.errstate(invalid="ignore"):
        exact = (logits[everyone, own][:, None] - logits) / np.linalg.norm(jacobian[0, own][:, None] - jacobian, axis=2)
    np.testing.assert_allclose(pieces_bound(net, x)[0], np.nanmin(exact, axis=1), rtol=0.02)


def test_ties_constant_leads_and_empty_batches():
    """No radius, the largest tried, and arrays of no images."""
    net = network("usual", 17)
    x = images(18, net, 5)
    row = RNG(19).standard_normal(6)
    tie = np.stack([[*row, 0.0], [*row, 0.0], [*np.zeros(6), -100.0]])
    radius, rival = pieces_bound(Network((*net.layers[:-1], Dense(tie)), net.input_shape), x)
    np.testing.assert_array_equal(radius, 0.0)
    np.testing.assert_array_equal(rival, 1)
    constant = np.stack([[*row, 1.0], [*row, 0.0]])
    radius, _ = pieces_bound(Network((*net.layers[:-1], Dense(constant)), net.input_shape), x)
    np.testing.assert_allclose(radius, FARTHEST, rtol=1e-8)
    assert lower_bound(net, x[:0], method="local").radius.shape == (0,)


def test_an_image_has_the_same_radius_alone_and_with_rows_in_small_blocks(monkeypatch):
    """To rounding, whatever the order."""
    net = network("usual", 20)
    x = images(21, net, 7)
    radius, rival = pieces_bound(net, x)
    monkeypatch.setattr(ball_pieces, "NUMBERS", 500)
    again, other = pieces_bound(net, x[::-1])
    np.testing.assert_allclose(again[::-1], radius, rtol=1e-9)
    np.testing.assert_array_equal(other[::-1], rival)


@pytest.mark.parametrize("factor", [2.0**-30, 2.0**20])
def test_the_radius_has_the_unit_of_the_pixels(factor):
    """Larger pixels and a kernel as much smaller: the radius grows by the factor; larger leads change nothing."""
    net = network("same", 22)
    x = images(23, net, 6)
    first = net.layers[0].matrix.copy()
    first[:, :-1] /= factor
    same = Network((net.layers[0].with_matrix(first), *net.layers[1:]), net.input_shape)
    radius, _ = pieces_bound(net, x)
    np.testing.assert_allclose(pieces_bound(same, factor * x)[0], np.minimum(factor * radius, FARTHEST), rtol=1e-6)
    louder = Network((*net.layers[:-1], net.layers[-1].with_matrix(net.layers[-1].matrix * factor)), net.input_shape)
    np.testing.assert_allclose(pieces_bound(louder, x)[0], radius, rtol=1e-6)


def refused(*layers, shape=(6, 6, 1)):
    """Return the network with a last layer of ones that fits behind these."""
    inner = shape
    for layer in layers:
        inner = layer.output_shape(inner)
    return Network((*layers, Dense(np.ones((3, inner[0] + 1)))), shape)


CONVOLUTION = Convolution(np.ones((2, 5)), 2)
REFUSED = {
    "a Residual as layers\\[1\\]": refused(CONVOLUTION, Residual((RELU,)), Flatten()),
    "a LayerNormalization as layers\\[1\\]": refused(
        Flatten(), LayerNormalization(np.ones(36), np.zeros(36), 1e-3), RELU
    ),
    "the activation gelu as layers\\[1\\]": refused(CONVOLUTION, Activation("gelu"), Flatten()),
    "a GlobalMaxPool as layers\\[2\\]": refused(CONVOLUTION, RELU, GlobalMaxPool()),
    "a RadialBasis as layers\\[0\\]": refused(RadialBasis(np.ones((4, 3)), np.ones(4)), shape=(3,)),
    "a MaxPool behind a Permute": refused(CONVOLUTION, Permute((1, 0, 2)), MaxPool(5), Flatten()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_networks_are_refused_by_the_method_that_works(name):
    """Before any work, whatever the images are; "lipschitz" does work."""
    net = REFUSED[name]
    message = f"'local', received {name}; the method 'lipschitz' covers it$"
    with pytest.raises(ValueError, match=message):
        pieces_bound(net, None)
    with pytest.raises(ValueError, match=message):
        lower_bound(net, np.zeros((1, *net.input_shape)), method="local")
    lower_bound(net, np.zeros((1, *net.input_shape)))


HOPELESS = {
    "a Quantise as layers\\[0\\]": Quantise(4),
    "the activation exponential as layers\\[0\\]": Activation("exponential"),
    "the activation threshold as layers\\[0\\]": Activation("threshold", (0.0, 1.0)),
    "a Residual as layers\\[0\\]": Residual((Activation("hard_shrink", 0.5),)),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_networks_that_no_method_covers_are_not_sent_to_another(name):
    """Which would refuse them too."""
    net = refused(HOPELESS[name], Flatten())
    x = np.zeros((1, *net.input_shape))
    with pytest.raises(ValueError, match=f"'local', received {name}; no other method covers it, as it has a layer"):
        lower_bound(net, x, method="local")
    with pytest.raises(ValueError, match="expected one with a Lipschitz constant"):
        lower_bound(net, x)


def test_a_readout_behind_the_layers_is_covered():
    """The logits of a network that ends in a global average."""
    rng = RNG(24)
    layers = random_convolution(rng, 3, 1, 3), RELU, random_convolution(rng, 3, 3, 2), GlobalAveragePool()
    net = Network((*layers, Readout.identity(3)), (6, 6, 1))
    x = rng.random((10, 6, 6, 1))
    radius = pieces_bound(net, x)[0]
    assert (radius > 0.0).all()
    own = net.classify(x)
    for step in (1, 2):
        assert (least_lead(net, x, own, (own + step) % 3, radius, rng) > 0.0).all()
