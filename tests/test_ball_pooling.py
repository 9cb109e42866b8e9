"""`bea.bounds.ball_pooling`: every step against explicit matrices, loops and descent, and the radii against attacks."""

import itertools
import math
from functools import partial

import numpy as np
import pytest

from bea import Activation, AveragePool, Convolution, Dense, Flatten, MaxPool, Network
from bea.bounds import ball_pooling, pooling_front
from bea.bounds.ball_pooling import (
    FARTHEST,
    State,
    convolutional_bound,
    from_windows,
    loss_of_lead,
    mean_weights,
    shared_loss,
    switching_loss,
    windows,
)
from bea.bounds.ball_windows import windows_bound
from bea.bounds.lipschitz import lipschitz_constant
from bea.bounds.methods import lower_bound
from bea.bounds.pooling_front import composed, deviations, pool_constants, take_apart, window_mean
from oracles import RNG, assert_the_same_alone_and_in_blocks, random_convolution

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

RELU = Activation("relu")
# Input shape, and (filters, size, stride, padding, pool) of every block: rows outside of windows, pools of a line,
# padding on one side, strides, pools of one pixel.
NETWORKS = {
    "one": ((6, 6, 1), [(3, 3, 1, 0, 2)]),
    "one lopsided": ((7, 8, 2), [(2, (2, 3), (2, 1), ((1, 0), (1, 1)), (1, 3))]),
    "one, pool of one pixel": ((4, 4, 1), [(3, 2, 1, 0, 1)]),
    "two": ((8, 8, 1), [(3, 3, 1, 1, 2), (4, 2, 1, 0, (1, 3))]),
    "two lopsided": ((10, 9, 1), [(2, 3, 1, 1, (3, 2)), (3, 2, 1, 0, (1, 2))]),
    "two with strides": ((15, 12, 2), [(3, 3, 2, ((1, 0), (0, 1)), (2, 1)), (3, (2, 3), (1, 2), 0, (2, 1))]),
    "three": ((12, 12, 1), [(2, 3, 1, 1, 2), (3, 2, 1, 0, 2), (4, (2, 1), 1, 0, (1, 2))]),
}
on_networks = pytest.mark.parametrize("name", NETWORKS)


def random_blocks(rng, name):
    """Return the input shape, and the pairs of a convolution and a pooling."""
    shape, blocks = NETWORKS[name]
    pairs, channels = [], shape[2]
    for filters, size, stride, padding, pool in blocks:
        pairs.append((random_convolution(rng, filters, channels, size, stride, padding), MaxPool(pool)))
        channels = filters
    return shape, pairs


def network(seed, name, units=7, classes=4):
    """Return a network with random weights, the logits of which differ about as much as they vary."""
    rng = RNG(seed)
    shape, pairs = random_blocks(rng, name)
    layers = [*itertools.chain(*pairs), Flatten()]
    inner = shape
    for layer in layers:
        inner = layer.output_shape(inner)
    layers += [Dense(rng.standard_normal((units, inner[0] + 1)) / math.sqrt(inner[0])), RELU]
    return Network((*layers, Dense(rng.standard_normal((classes, units + 1)) / math.sqrt(units))), shape)


def lengths(arrays):
    """Return the Euclidean length of every sample."""
    return np.sqrt(np.square(arrays).sum(axis=tuple(range(1, arrays.ndim))))


def stretched(arrays, length):
    """Return the samples with these lengths; zero stays zero."""
    factor = length / np.maximum(lengths(arrays), 1e-300)
    return arrays * factor.reshape(-1, *[1] * (arrays.ndim - 1))


def inside_ball(delta, radius):
    """Return the nearest points of balls of these radii."""
    return stretched(delta, np.minimum(lengths(delta), radius))


def explicit(function, shape):
    """Return the matrix of a linear function of batches, column by column."""
    return function(np.eye(math.prod(shape)).reshape(-1, *shape)).reshape(math.prod(shape), -1).T


def naive_windows(values, pool):
    """Yield (image, window, entries) in the order of the flattened output of the pooling, by loops."""
    (a, b), (_, height, width, channels) = pool.size, values.shape
    for i, image in enumerate(values):
        corners = itertools.product(range(0, height - a + 1, a), range(0, width - b + 1, b), range(channels))
        for number, (row, column, channel) in enumerate(corners):
            yield i, number, image[row : row + a, column : column + b, channel].ravel()


# ---- Convolutions of windows


POOLED = [
    ((7, 8, 2), (3, (2, 3), (2, 1), ((1, 0), (2, 1))), (2, 3)),
    ((6, 6, 1), (2, 3, 1, 0), 2),
    ((9, 7, 3), (4, 2, (1, 2), 1), (3, 1)),
    ((8, 5, 1), (2, (3, 1), (1, 1), ((0, 2), (0, 0))), (1, 2)),
    ((5, 5, 2), (2, 2, 1, 0), 1),
]
on_pools = pytest.mark.parametrize(("shape", "arguments", "size"), POOLED)


def pooled(shape, arguments, size, seed=0):
    filters, *rest = arguments
    return random_convolution(RNG(seed), filters, shape[2], *rest), MaxPool(size), RNG(seed + 1).random((5, *shape))


@on_pools
def test_window_means_are_average_pools_behind_the_convolution_without_its_bias(shape, arguments, size):
    """To rounding, with strides, padding, and rows outside of windows."""
    convolution, pool, y = pooled(shape, arguments, size)
    expected = AveragePool(size).forward(convolution.push_forward(y, y, None))
    np.testing.assert_allclose(window_mean(convolution, pool).forward(y), expected, atol=1e-14)
    assert window_mean(convolution, pool).output_shape(shape) == expected.shape[1:]


@on_pools
def test_deviations_are_the_entries_of_every_window_less_their_mean(shape, arguments, size):
    """One by one, in any order of the entries."""
    convolution, pool, y = pooled(shape, arguments, size)
    found = deviations(convolution, pool).forward(y)
    n, rows, columns, _ = found.shape
    m, filters = math.prod(pool.size), len(convolution.kernel)
    found = found.reshape(n, rows * columns, m, filters).swapaxes(2, 3).reshape(n, -1, m)
    count = 0
    for i, number, entries in naive_windows(convolution.push_forward(y, y, None), pool):
        np.testing.assert_allclose(found[i, number], entries - entries.mean(), atol=1e-14)
        count += 1
    assert count == n * found.shape[1]


@pytest.mark.parametrize("padding", [0, ((2, 1), (0, 3))])
@pytest.mark.parametrize(("inner", "outer"), [((3, 1), (2, 1)), (((2, 3), (2, 1)), ((3, 2), (1, 2))), ((1, 1), (1, 3))])
def test_a_composed_convolution_is_one_after_the_other(inner, outer, padding):
    """For windows and strides of all kinds; the biases are left out."""
    rng = RNG(0)
    inner = random_convolution(rng, 3, 2, *inner, padding)
    outer = random_convolution(rng, 4, 3, *outer)
    y = rng.random((4, 11, 10, 2))
    middle = inner.push_forward(y, y, None)
    expected = outer.push_forward(middle, middle, None)
    both = composed(outer, inner)
    assert not both.bias
    np.testing.assert_allclose(both.forward(y), expected, atol=1e-13)


@pytest.mark.parametrize(("shape", "size"), [((6, 6, 2), 2), ((7, 5, 3), (2, 3)), ((4, 9, 1), (3, 1)), ((3, 3, 2), 1)])
def test_windows_are_those_of_a_loop_and_go_back_to_their_places(shape, size):
    """Their maxima are the flattened output of the pooling; what lies outside of windows comes back as zero."""
    pool, values = MaxPool(size), RNG(2).random((3, *shape)) + 1.0
    found = windows(values, pool)
    np.testing.assert_array_equal(found.max(axis=2), Flatten().forward(pool.forward(values)))
    for i, number, entries in naive_windows(values, pool):
        np.testing.assert_array_equal(found[i, number], entries)
    back = from_windows(found, pool, shape)
    (a, b), (height, width) = pool.size, shape[:2]
    expected = values.copy()
    expected[:, height // a * a :], expected[:, :, width // b * b :] = 0.0, 0.0
    np.testing.assert_array_equal(back, expected)


# ---- Constants of the network


def block_values(pairs, y):
    """Return what every convolution and every pooling gives out."""
    found = []
    for convolution, pool in pairs:
        found.append(convolution.forward(y))
        found.append(pool.forward(found[-1]))
        y = found[-1]
    return found


def spread_of_windows(change, pool):
    """Return (Σ ‖u_w‖²)^½ of all windows, by a loop."""
    total = np.zeros(len(change))
    for i, _, entries in naive_windows(change, pool):
        total[i] += np.square(entries - entries.mean()).sum()
    return np.sqrt(total)


@on_networks
def test_no_perturbation_moves_further_than_the_constants(name):
    """Random ones and some that follow the gradient of what they move, from images with and without ties."""
    for seed in range(2):
        rng = RNG((seed, 3))
        shape, pairs = random_blocks(rng, name)
        moves, reach = pool_constants(pairs, shape)
        y = rng.random((30, *shape)) * rng.choice([0.0, 0.01, 1.0], (30, 1, 1, 1))
        delta = stretched(rng.standard_normal(y.shape), 10.0 ** rng.uniform(-2, 1, 30))
        before = block_values(pairs, y)
        for block in [None, *range(len(pairs))]:
            for _ in range(8):
                after = block_values(pairs, y + delta)
                changes = [b - a for a, b in zip(before, after, strict=True)]
                for number, (_, pool) in enumerate(pairs):
                    spread = spread_of_windows(changes[2 * number], pool)
                    assert (spread <= moves[number] * lengths(delta) * (1 + 1e-9) + 1e-13).all()
                assert (lengths(changes[-1]) <= reach * lengths(delta) * (1 + 1e-9)).all()
                # Up the gradient of ‖Δφ‖², or of what the windows of a block move by.
                if block is None:
                    rows, last = changes[-1], 2 * len(pairs) - 1
                else:
                    pool, last = pairs[block][1], 2 * block
                    apart = windows(changes[last], pool)
                    rows = from_windows(apart - apart.mean(axis=2, keepdims=True), pool, changes[last].shape[1:])
                values = [y + delta, *after]
                layers = list(itertools.chain(*pairs))
                rows = rows[:, None]
                for k in range(last, -1, -1):
                    rows = layers[k].pull_back(rows, values[k], values[k + 1])
                delta = stretched(rows[:, 0] + 1e-9 * rng.standard_normal(y.shape), lengths(delta))


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("one")])
def test_constants_of_the_first_block_are_norms_of_explicit_matrices(name):
    """T of the convolution followed by I - 1/m on every window, R of the convolution."""
    shape, pairs = random_blocks(RNG(4), name)
    (convolution, pool), (moves, reach) = pairs[0], pool_constants(pairs, shape)
    m = math.prod(pool.size)

    def apart(y):
        entries = windows(convolution.push_forward(y, y, None), pool)
        return entries @ (np.eye(m) - 1.0 / m)

    assert moves == pytest.approx([np.linalg.norm(explicit(apart, shape), 2)], rel=1e-6, abs=1e-12)
    norm = np.linalg.norm(explicit(lambda y: convolution.push_forward(y, y, None), shape), 2)
    assert reach == pytest.approx(norm, rel=1e-6)


def through(outer, convolution, pool, shape):
    """The bound of ``_through_pool`` from explicit matrices: two of them stacked, or the product of the norms."""
    inner = explicit(lambda y: convolution.push_forward(y, y, None), shape)
    inside = convolution.output_shape(shape)
    m, after = math.prod(pool.size), pool.output_shape(inside)
    average = explicit(AveragePool(pool.size).forward, inside)
    apart = explicit(lambda h: windows(h, pool) @ (np.eye(m) - 1.0 / m), inside)
    last = explicit(lambda h: outer.push_forward(h, h, None), after)
    mean, rest = last @ average @ inner, math.sqrt((m - 1) / m) * np.linalg.norm(last, 2) * apart @ inner
    plain = np.linalg.norm(last, 2) * np.linalg.norm(inner, 2)
    if m == 1:
        return plain
    t = np.linalg.norm(rest, 2) / np.linalg.norm(mean, 2)
    stacked = np.vstack([math.sqrt(1 + t) * mean, math.sqrt(1 + 1 / t) * rest])
    return min(plain, np.linalg.norm(stacked, 2))


@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.startswith("one")])
def test_constants_behind_a_pooling_are_those_of_the_stacked_matrices(name):
    """Both of every further block, from what the block before it is given; blocks in front of that by their norms."""
    shape, pairs = random_blocks(RNG(5), name)
    moves, reach = pool_constants(pairs, shape)
    reaches = [1.0, lipschitz_constant(pairs[0][0], shape)]
    for number in range(1, len(pairs)):
        (first, pool), (second, last) = pairs[number - 1 : number + 1]
        expected = reaches[number - 1] * through(deviations(second, last), first, pool, shape)
        assert moves[number] == pytest.approx(expected, rel=1e-6)
        reaches.append(reaches[number - 1] * through(second, first, pool, shape))
        shape = pool.output_shape(first.output_shape(shape))
    assert reach == pytest.approx(reaches[-1], rel=1e-6)


def test_pooling_in_between_is_better_than_the_product_of_the_norms_where_means_are_small():
    """A filter that takes the mean of its input away: what passes is at most √(1 - 1/m) of the product."""
    first = Convolution([[1.0]], 1, bias=False)
    outer = Convolution(np.array([[1.0, -1.0]]) / math.sqrt(2.0), (1, 2), bias=False)
    shape = (1, 8, 1)
    plain = lipschitz_constant(outer, (1, 2, 1)) * lipschitz_constant(first, shape)
    found = pooling_front._through_pool(outer, first, MaxPool((1, 4)), shape)
    assert found <= plain
    assert found == pytest.approx(through(outer, first, MaxPool((1, 4)), shape), rel=1e-6)


def test_the_share_of_a_window_is_attained():
    """Two pixels far apart in brightness: their maximum follows the brighter one, to the last digit of the constant."""
    first, outer = (Convolution([[1.0]], 1, bias=False) for _ in range(2))
    moves, reach = pool_constants([(first, MaxPool((1, 2))), (outer, MaxPool(1))], (1, 2, 1))
    assert reach == pytest.approx(1.0, rel=1e-6)
    assert reach >= 1.0
    assert moves == [pytest.approx(1.0, rel=1e-6), 0.0]


def test_large_images_take_the_product_of_the_norms(monkeypatch):
    """Where the matrix is too large to write out."""
    shape, pairs = random_blocks(RNG(6), "two")
    small = pool_constants(pairs, shape)
    monkeypatch.setattr(pooling_front, "MATRIX_SIZE", 10)
    moves, reach = pool_constants(pairs, shape)
    (first, pool), (second, last) = pairs
    inner = lipschitz_constant(first, shape)
    after = pool.output_shape(first.output_shape(shape))
    assert reach == inner * lipschitz_constant(second, after) >= small[1]
    assert moves[1] == inner * lipschitz_constant(deviations(second, last), after) >= small[0][1]


# ---- The three losses


def random_gaps(rng, shape):
    """Gaps of all sizes, some of them exactly zero."""
    gap = np.sort(rng.exponential(size=shape) * rng.choice([0.0, 0.1, 1.0, 10.0], shape), axis=2)
    return gap - gap[:, :, :1]


@pytest.mark.parametrize("m", [1, 2, 3, 4, 9])
def test_a_maximum_never_rises_above_its_lines(m):
    """``Δmax - Δmean`` of 400 windows, each moved at random, and along what attains a line."""
    rng = RNG(m)
    gap, q = random_gaps(rng, (20, 20, m)), rng.standard_normal((20, 20))
    q[:, :3] = 0.0
    weights, offset, slope = mean_weights(gap, q, 10.0 ** rng.uniform(-2, 1, 20))
    np.testing.assert_allclose(weights.sum(axis=2), 1.0, rtol=1e-14)
    assert (weights >= 0.0).all()
    assert (weights[q >= 0.0] == np.eye(m)[0]).all()
    closest = np.full(q.shape, np.inf)
    for trial in range(60 + 3 * m):
        u = rng.standard_normal(gap.shape) * 10.0 ** rng.uniform(-2, 1.5, (20, 20, 1))
        if trial >= 60:  # one entry up, the mean down
            u = (np.eye(m)[trial % m] - weights) * 10.0 ** rng.uniform(-1, 3, (20, 20, 1))
        rise = (u - gap).max(axis=2) - np.sum(weights * u, axis=2)
        t = lengths((u - u.mean(axis=2, keepdims=True)).reshape(-1, m)).reshape(q.shape)
        line = (offset + slope * t).max(axis=0)
        assert (rise <= line + 1e-12 * (1.0 + np.abs(u).max(axis=2))).all()
        closest = np.minimum(closest, (line - rise) / (1e-9 + t))
    # Where an entry moves alone against the mean, a line is attained.
    assert (closest[q < 0.0] <= 1e-9).all()


@pytest.mark.parametrize("typical", [1e-9, 0.3, 1e9])
def test_the_mean_is_the_one_that_is_outrun_least(typical):
    """By the definition, over all numbers of entries; where little moves, the largest alone unless it is tied."""
    rng = RNG(7)
    gap = random_gaps(rng, (5, 30, 4))
    weights, offset, slope = mean_weights(gap, -np.ones((5, 30)), np.full(5, typical))
    for i, w in itertools.product(range(5), range(30)):
        least = []
        for s in range(1, 5):
            lines = [math.sqrt(1 - 1 / s) * typical]
            if s < 4:
                lines.append(math.sqrt(1 + 1 / s) * typical - gap[i, w, s])
            least.append(max(lines))
        s = int(np.argmin(least)) + 1
        assert (offset[:, i, w] + slope[:, i, w] * typical).max() == pytest.approx(least[s - 1], rel=1e-12)
        np.testing.assert_allclose(weights[i, w], [1 / s] * s + [0] * (4 - s))


def best_share(q, offset, slope, length, rng):
    """The largest ``Σ q max(line)₊`` that projected ascent on the sphere finds, from many starts, (starts,)."""
    value = lambda t: np.sum(q * np.maximum((offset[:, None] + slope[:, None] * t).max(axis=0), 0.0), axis=1)  # noqa: E731
    starts = np.abs(rng.standard_normal((200, len(q)))) ** rng.choice([1, 3, 6], (200, 1))
    starts[: len(q)] = np.eye(len(q))
    starts[-1] = q * slope.max(axis=0) + 1e-12
    t = starts * (length / np.linalg.norm(starts, axis=1))[:, None]
    best = value(t).max()
    for _ in range(60):
        lines = offset[:, None] + slope[:, None] * t
        steep = np.where(lines[0] >= lines[1], slope[0], slope[1])
        t = np.where(lines.max(axis=0) > 0.0, q * steep, 0.0) + 1e-15
        t *= (length / np.linalg.norm(t, axis=1))[:, None]
        best = max(best, value(t).max())
    return best


def test_the_shared_loss_is_above_every_share_and_close_to_the_worst():
    """150 problems of up to 6 windows: never below what ascent from 200 starts finds, above it by a third as a rule."""
    excess = []
    for seed in range(150):
        rng = RNG((8, seed))
        count, length = rng.integers(1, 7), 10.0 ** rng.uniform(-1, 1)
        q = rng.exponential(size=count) * rng.choice([0.0, 1.0, 1.0, 5.0], count)
        gap = random_gaps(rng, (1, count, 4))
        _, offset, slope = mean_weights(gap, -np.ones((1, count)), np.array([length / 3]))
        found = shared_loss(q[None], offset, slope, np.array([length]))[0]
        best = best_share(q, offset[:, 0], slope[:, 0], length, rng)
        assert found >= best * (1.0 - 1e-12)
        if best > 0.0:
            excess.append(found / best - 1.0)
    assert len(excess) > 100
    assert np.median(excess) < 0.35
    assert np.min(excess) < 1e-3


def test_the_shared_loss_without_thresholds_is_that_of_cauchy_and_schwarz():
    """With lines through zero the worst share is known: ``‖q slope‖ length``, reached to rounding."""
    rng = RNG(9)
    q, slope, length = rng.random((6, 9)), rng.random((6, 9)), rng.random(6)
    found = shared_loss(q, np.zeros((2, 6, 9)), np.stack([slope, 0.5 * slope]), length)
    np.testing.assert_allclose(found, np.linalg.norm(q * slope, axis=1) * length, rtol=1e-12)


def test_the_shared_loss_of_nothing_is_nothing():
    """No weights, or nothing that can move."""
    rng = RNG(10)
    lines = -rng.random((2, 3, 5)), rng.random((2, 3, 5))
    np.testing.assert_allclose(shared_loss(np.zeros((3, 5)), *lines, np.ones(3)), 0.0, atol=1e-200)
    np.testing.assert_allclose(shared_loss(rng.random((3, 5)), *lines, np.zeros(3)), 0.0, atol=1e-90)


def test_the_switching_loss_is_above_every_change_and_close_to_the_worst():
    """200 problems against ascent on the sphere from 100 starts; thresholds just reached and beyond, weights 0."""
    excess = []
    for seed in range(200):
        rng = RNG((11, seed))
        units, inputs = rng.integers(1, 6, 2)
        V = rng.standard_normal((units, inputs))
        reach = 10.0 ** rng.uniform(-1, 1)
        norms = np.linalg.norm(V, axis=1)
        distance = norms * reach * rng.choice([0.0, 0.01, 0.2, 0.7, 0.9, 1.0, 1.5], units)
        weight = rng.exponential(size=units) * (rng.random(units) < 0.8)
        found = switching_loss(V @ V.T, weight[None], distance[None], np.array([reach]))[0]
        starts = np.vstack([rng.standard_normal((100, inputs)), V])
        for _ in range(40):
            starts *= (reach / np.linalg.norm(starts, axis=1))[:, None]
            t = starts @ V.T
            best = (np.maximum(np.abs(t) - distance, 0.0) @ weight).max()
            assert found >= best - 1e-12 * (weight @ norms) * reach
            starts = (np.sign(t) * weight * (np.abs(t) > distance)) @ V + 1e-3 * starts
        if best > 1e-9 * reach:
            excess.append(found / best)
    assert len(excess) > 100
    assert np.median(excess) < 2.0


def test_the_switching_loss_of_one_unit_is_that_of_its_parabola():
    """At a zero distance ``c ‖v‖ reach`` costs w/reach = 0.2: ``(1/0.8 + 0.2)`` of it; nothing beyond its reach."""
    found = switching_loss(np.full((1, 1), 4.0), np.full((3, 1), 3.0), np.array([[0.0], [2.0], [1.0]]), np.ones(3))
    # Of c (t²/(4w) + w - |v|) with c = 3, t = 2, and w the distance but 0.2 t at least.
    np.testing.assert_allclose(found, [3 * (4 / 1.6 + 0.4), 0.0, 3 * (4 / 4.0 + 1.0 - 1.0)], rtol=1e-12)


def test_an_images_losses_do_not_depend_on_the_batch():
    """Other images with more units that count leave them as they are."""
    rng = RNG(12)
    V = rng.standard_normal((8, 5))
    weight = rng.exponential(size=(20, 8)) * (rng.random((20, 8)) < rng.random((20, 1)))
    distance, reach = 2.0 * rng.random((20, 8)), rng.random(20)
    alone = [switching_loss(V @ V.T, *(a[i : i + 1] for a in (weight, distance, reach)))[0] for i in range(20)]
    np.testing.assert_allclose(switching_loss(V @ V.T, weight, distance, reach), alone, rtol=1e-12)


# ---- The lead in a ball


def shapes_of(net):
    """Shapes of the input and of what every block gives out."""
    shapes, shape = [net.input_shape], net.input_shape
    for number, layer in enumerate(net.layers[:-4]):
        shape = layer.output_shape(shape)
        if number % 2:
            shapes.append(shape)
    return shapes


def lead_of(net, x, own, rival):
    logits, everyone = net(x), np.arange(len(x))
    return logits[everyone, own] - logits[everyone, rival]


def least_found(net, x, own, rival, radius, rng, steps=15, starts=2):
    """The least lead that projected gradient descent finds in the ball, from the image and from random points."""
    rows = np.eye(net.classes)[own] - np.eye(net.classes)[rival]
    least = np.full(len(x), np.inf)
    for start in range(starts):
        delta = stretched(rng.standard_normal(x.shape), radius * start)
        for step in range(steps):
            gradient = net.gradient(x + delta, rows)
            size = 2.0 / (1 + step) if step else 1.0
            delta = inside_ball(delta - stretched(gradient, radius * size), radius)
            least = np.minimum(least, lead_of(net, x + delta, own, rival))
    return least


@on_networks
def test_the_lead_never_falls_by_more_than_the_loss(name):
    """4 networks with 20 images each, some with ties in all windows; balls from 0.01 to 10, and any rival."""
    ratios = []
    for seed in range(4):
        rng = RNG((13, seed))
        net = network((14, seed), name)
        front, x = take_apart(net), rng.random((20, *net.input_shape)) * rng.choice([0.0, 1.0, 10.0], (20, 1, 1, 1))
        state = State.of(front, net, x)
        rival = (state.own + rng.integers(1, 4, 20)) % 4
        radius = 10.0 ** rng.uniform(-2, 1, 20)
        lost = loss_of_lead(front, state, shapes_of(net), rival, radius)
        assert (np.isfinite(lost) & (lost >= 0.0)).all()
        lead = lead_of(net, x, state.own, rival)
        fallen = lead - least_found(net, x, state.own, rival, radius, rng, 10)
        assert (fallen <= lost * (1.0 + 1e-9) + 1e-12).all()
        assert (loss_of_lead(front, state, shapes_of(net), rival, 2.0 * radius) >= lost).all()
        ratios.extend(fallen / lost)
    assert np.median(ratios) > (0.2, 0.1, 0.05)[len(front.blocks) - 1]
    assert np.max(ratios) > 0.9


def test_the_loss_of_a_small_ball_is_that_of_the_gradient():
    """Where no maximum and no unit changes, the lead is linear and so is its loss; to first order in the radius."""
    for name in NETWORKS:
        net = network(15, name)
        front, x = take_apart(net), RNG(16).random((10, *net.input_shape))
        state = State.of(front, net, x)
        rival = (state.own + 1) % 4
        radius = np.full(10, 1e-7)
        lost = loss_of_lead(front, state, shapes_of(net), rival, radius)
        gradient = net.gradient(x, np.eye(4)[state.own] - np.eye(4)[rival])
        np.testing.assert_allclose(lost, lengths(gradient) * radius, rtol=1e-3)


def test_the_loss_covers_sums_that_cancel():
    """1 + 2⁻⁶⁰ - 1 is zero in floating point in one order; the lead falls by 2⁻⁶⁰ times the perturbation."""
    hidden = Dense([[1.0, 1.0], [2.0**-60, 1.0], [-1.0, 1.0]])
    last = Dense([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    net = Network((Convolution([[1.0]], 1, bias=False), MaxPool(1), Flatten(), hidden, RELU, last), (1, 1, 1))
    front, x = take_apart(net), np.full((1, 1, 1, 1), 0.25)
    lost = loss_of_lead(front, State.of(front, net, x), shapes_of(net), np.array([1]), np.array([0.1]))
    assert 0.1 * 2.0**-60 < lost[0] < 1e-8


def test_the_state_is_that_of_the_layers():
    """Entries sorted, gaps from the largest, inputs of the units, and leads less rounding that is tiny but there."""
    net = network(17, "two lopsided")
    front, x = take_apart(net), RNG(18).random((6, *net.input_shape))
    state, values = State.of(front, net, x), [x]
    for layer in net.layers:
        values.append(layer.forward(values[-1]))
    for number, (_, pool) in enumerate(front.blocks):
        for i, w, entries in naive_windows(values[2 * number + 1], pool):
            order = state.order[number][i, w]
            np.testing.assert_array_equal(entries[order], np.sort(entries)[::-1])
            np.testing.assert_array_equal(state.gap[number][i, w], entries.max() - np.sort(entries)[::-1])
    np.testing.assert_array_equal(state.v, values[-3])
    np.testing.assert_array_equal(state.own, net.classify(x))
    exact = values[-1].max(axis=1)[:, None] - values[-1]
    assert ((state.lead < exact) & (state.lead > exact - 1e-11)).all()
    part = state.take(np.array([4, 1]))
    np.testing.assert_array_equal(part.lead, state.lead[[4, 1]])
    np.testing.assert_array_equal(part.gap[1], state.gap[1][[4, 1]])
    np.testing.assert_array_equal(part.order[0], state.order[0][[4, 1]])
    np.testing.assert_array_equal(part.own, state.own[[4, 1]])
    np.testing.assert_array_equal(part.v, state.v[[4, 1]])


# ---- The radius


@on_networks
def test_nothing_within_the_radius_changes_the_class(name):
    """Descent of the lead of every class in the ball, 11 networks with 8 images each; twelve radii away it succeeds."""
    within = []
    for seed in range(11):
        rng = RNG((19, seed))
        net = network((20, seed), name, units=int(rng.integers(1, 12)))
        x = rng.random((8, *net.input_shape))
        radius, rival = convolutional_bound(net, x)
        assert radius.shape == rival.shape == (8,)
        own = net.classify(x)
        assert ((radius > 0.0) & (rival != own)).all()
        factor, every, step = map(np.ravel, np.meshgrid([1.0, 3.0, 12.0], np.arange(8), [1, 2, 3], indexing="ij"))
        every, step = every.astype(int), step.astype(int)
        least = least_found(net, x[every], own[every], (own[every] + step) % 4, factor * radius[every], rng, 6)
        changed = least.reshape(3, 8, 3).min(axis=2) <= 0.0
        assert not changed[0].any()
        within.append(changed.any(axis=0))
    assert np.mean(within) > (0.7, 0.4, 0.2)[len(net.layers) // 2 - 3]


@on_networks
def test_the_radius_is_no_smaller_than_that_of_one_constant_a_layer_nor_larger_than_the_linear_one(name):
    """``lower_bound`` takes the better of the two, or what ``ball_windows`` makes of it; none is past first order."""
    net = network(21, name)
    x = RNG(22).random((30, *net.input_shape))
    assert np.median(convolutional_bound(net, x)[0] / lower_bound(net, x).radius) > 1.2
    radius, rival = windows_bound(net, x)
    chain, best = lower_bound(net, x), lower_bound(net, x, method="local")
    np.testing.assert_array_equal(best.radius, np.maximum(radius, chain.radius))
    np.testing.assert_array_equal(best.layers[:, 1:], chain.layers[:, 1:])
    np.testing.assert_array_equal(best.rival[radius > chain.radius], rival[radius > chain.radius])
    logits, jacobian = net(x), net.linearise(x).jacobian
    own, everyone = net.classify(x), np.arange(30)
    with np.errstate(invalid="ignore"):
        linear = (logits[everyone, own][:, None] - logits) / lengths(
            (jacobian[everyone, own][:, None] - jacobian).reshape(120, -1)
        ).reshape(30, 4)
    assert (radius <= np.nanmin(linear, axis=1)).all()


@on_networks
def test_the_radius_is_proved_for_every_rival(name):
    """The loss there is less than each lead, and not much less than that of the class that limits it."""
    for seed in range(3):
        net = network((42, seed), name, classes=7)
        front, x = take_apart(net), RNG((43, seed)).random((40, *net.input_shape))
        radius, rival = convolutional_bound(net, x)
        state, everyone = State.of(front, net, x), np.arange(40)
        for step in range(1, 7):
            other = (state.own + step) % 7
            assert (loss_of_lead(front, state, shapes_of(net), other, radius) < state.lead[everyone, other]).all()
        lost = loss_of_lead(front, state, shapes_of(net), rival, radius)
        assert np.median(lost / state.lead[everyone, rival]) > 0.8


def test_labels_that_are_wrong_leave_no_radius():
    """And only these."""
    net = network(23, "two")
    x = RNG(24).random((12, *net.input_shape))
    label = net.classify(x)
    label[::3] = (label[::3] + 1) % 4
    found, free = lower_bound(net, x, label, method="local"), lower_bound(net, x, method="local")
    np.testing.assert_array_equal(found.radius[::3], 0.0)
    np.testing.assert_array_equal(np.delete(found.radius, np.s_[::3]), np.delete(free.radius, np.s_[::3]))
    assert (free.radius > 0.0).all()


def test_an_image_has_the_same_radius_alone_and_in_any_batch(monkeypatch):
    """To rounding, also in blocks of five; and the parts of the network are remembered."""
    net = network(25, "two with strides")
    x = RNG(26).random((17, *net.input_shape))
    blocks = partial(monkeypatch.setattr, ball_pooling, "IMAGES", 5)
    assert_the_same_alone_and_in_blocks(convolutional_bound, net, x, blocks, rtol=1e-9)
    assert take_apart(net) is take_apart(net)


@pytest.mark.parametrize("factor", [2.0**-40, 8.0, 2.0**30])
def test_the_radius_has_the_unit_of_the_pixels(factor):
    """Larger pixels and a kernel as much smaller: the radius grows by the factor; larger leads change nothing."""
    net = network(27, "two")
    x = RNG(28).random((10, *net.input_shape))
    first = net.layers[0].matrix.copy()
    first[:, :-1] /= factor
    same = Network((net.layers[0].with_matrix(first), *net.layers[1:]), net.input_shape)
    radius, _ = convolutional_bound(net, x)
    farthest = np.minimum(radius * factor, FARTHEST)
    found, _ = convolutional_bound(same, factor * x)
    np.testing.assert_allclose(found, farthest, rtol=1e-6)
    louder = Network((*net.layers[:-1], net.layers[-1].with_matrix(net.layers[-1].matrix * factor)), net.input_shape)
    np.testing.assert_allclose(convolutional_bound(louder, x)[0], radius, rtol=1e-6)


def with_last(net, matrix):
    """Return the network with another last layer."""
    return Network((*net.layers[:-1], Dense(matrix)), net.input_shape)


@on_networks
def test_ties_have_no_radius(name):
    """Two classes with the same row and bias, both of them ahead of the others."""
    net = network(29, name)
    row = RNG(30).standard_normal(8)
    matrix = np.stack([row, row, np.append(0 * row[1:], -100.0)])
    x = RNG(31).random((5, *net.input_shape))
    radius, rival = convolutional_bound(with_last(net, matrix), x)
    np.testing.assert_array_equal(radius, 0.0)
    np.testing.assert_array_equal(rival, 1)


@pytest.mark.parametrize("lead", [1e-3, 1.0, 1e9, 1e200])
def test_a_constant_lead_has_the_largest_radius_tried(lead):
    """Rows that are the same, biases that are not; and the farthest of several classes does not count."""
    net = network(32, "one")
    row = RNG(33).standard_normal(7)
    x = RNG(34).random((5, *net.input_shape))
    matrix = np.column_stack([np.stack([row, row, row]), [0.0, lead, -lead]])
    radius, rival = convolutional_bound(with_last(net, matrix), x)
    np.testing.assert_allclose(radius, FARTHEST, rtol=1e-8)
    assert (radius <= FARTHEST).all()
    assert np.isin(rival, [0, 2]).all()
    other = np.vstack([matrix, np.append(RNG(35).standard_normal(7), 0.9 * lead)])
    radius, _ = convolutional_bound(with_last(net, other), x)
    assert (radius < FARTHEST).all() or lead > 1.0


@pytest.mark.parametrize("block", [0, 1])
def test_kernels_of_zeros_never_change_the_class(block):
    """Nothing moves behind them, and nothing is divided by their constants."""
    net = network(36, "two")
    layers = list(net.layers)
    matrix = layers[2 * block].matrix.copy()
    matrix[:, :-1] = 0.0
    layers[2 * block] = layers[2 * block].with_matrix(matrix)
    x = RNG(37).random((4, *net.input_shape))
    radius, _ = convolutional_bound(Network(tuple(layers), net.input_shape), x)
    np.testing.assert_allclose(radius, FARTHEST, rtol=1e-8)


@pytest.mark.parametrize("exponent", [-300, -160, 150])
def test_kernels_of_any_size_keep_the_proof(exponent):
    """The second kernel times 2ᵏ and the hidden one divided by it: the same network, the same radius."""
    net = network(38, "two")
    layers = list(net.layers)
    bias = layers[2].matrix[:, -1:]
    layers[2] = layers[2].with_matrix(np.ldexp(layers[2].matrix, exponent))
    hidden = layers[5].matrix.copy()
    hidden[:, :-1] = np.ldexp(hidden[:, :-1], -exponent)
    layers[5] = layers[5].with_matrix(hidden)
    assert bias.any()
    x = RNG(39).random((6, *net.input_shape))
    expected = convolutional_bound(net, x)
    found = convolutional_bound(Network(tuple(layers), net.input_shape), x)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4)
    np.testing.assert_array_equal(found[1], expected[1])


def test_one_pixel_one_unit_is_exact():
    """|c x| through everything, against a level: the boundary is where the unit has the level."""
    net = Network(
        (
            *(Convolution([[2.0, 0.1]], 1), MaxPool(1), Flatten()),
            *(Dense([[1.5, 0.2]]), RELU, Dense([[1.0, 0.0], [0.0, 1.0]])),
        ),
        (1, 1, 1),
    )
    x = np.array([0.05, 0.2, 0.4, 3.0]).reshape(-1, 1, 1, 1)
    edge = ((1.0 - 0.2) / 1.5 - 0.1) / 2.0
    radius, rival = convolutional_bound(net, x)
    exact = np.abs(x.ravel() - edge)
    assert (radius <= exact).all()
    # Above the edge the unit only ever switches off beyond it; below, it is linear upwards.
    np.testing.assert_allclose(radius, exact, rtol=0.01)
    np.testing.assert_array_equal(rival, 1 - net.classify(x))


def test_an_empty_batch_has_empty_bounds():
    """With the right shapes and types."""
    net = network(40, "two")
    radius, rival = convolutional_bound(net, np.zeros((0, *net.input_shape)))
    assert radius.shape == rival.shape == (0,)
    assert np.issubdtype(rival.dtype, np.integer)
    assert lower_bound(net, np.zeros((0, *net.input_shape)), method="local").radius.shape == (0,)


# ---- What is refused


def refused(layers, shape=(8, 8, 1)):
    """Return the network whose dense layers fit behind these layers."""
    inner = shape
    for layer in layers:
        inner = layer.output_shape(inner)
    columns = math.prod(inner)
    return Network((*layers, Flatten(), Dense(np.ones((3, columns + 1))), RELU, Dense(np.eye(3, 4))), shape)


CONVOLUTION, SECOND = Convolution(np.ones((2, 5)), 2), Convolution(np.ones((2, 9)), 2)
REFUSED = {
    "overlapping pools": (
        refused([CONVOLUTION, MaxPool(3, 2)]),
        r"layers\[1\]: expected windows that do not overlap for the method 'local', received size \(3, 3\) and stride",
    ),
    "overlap in the second pool": (
        refused([CONVOLUTION, MaxPool(2), SECOND, MaxPool(2, 1)]),
        r"layers\[3\]: .* stride",
    ),
    "gaps between windows": (refused([CONVOLUTION, MaxPool(2, 3)]), r"layers\[1\]: .* stride \(3, 3\)"),
    "padding behind": (
        refused([CONVOLUTION, MaxPool(2), Convolution(np.ones((2, 9)), 2, 1, ((0, 0), (0, 1))), MaxPool(2)]),
        r"layers\[2\]: expected no padding behind the first convolution for the method 'local', received .*\(0, 1\)",
    ),
    "average pools": (refused([CONVOLUTION, AveragePool(2)]), "net: .* received Convolution, AveragePool, Flatten"),
    "activations": (refused([CONVOLUTION, RELU, MaxPool(2)]), "received Convolution, Activation, MaxPool, Flatten"),
    "activation for pool": (refused([CONVOLUTION, RELU]), "received Convolution, Activation, Flatten"),
    "pool first": (refused([MaxPool(2), CONVOLUTION]), "received MaxPool, Convolution, Flatten"),
    "no pool": (refused([CONVOLUTION]), "received Convolution, Flatten"),
    "pool missing": (refused([CONVOLUTION, MaxPool(2), SECOND]), "received Convolution, MaxPool, Convolution, Flatten"),
    "two hidden layers": (
        Network(
            (
                *(CONVOLUTION, MaxPool(7), Flatten(), Dense(np.ones((3, 2)), False), RELU),
                *(Dense(np.eye(3), False), RELU, Dense(np.eye(3), False)),
            ),
            (8, 8, 1),
        ),
        "net: expected dense layers, or Convolution and MaxPool in turn, Flatten, Dense, ReLU, Dense",
    ),
    "no hidden layer": (
        Network((CONVOLUTION, MaxPool(7), Flatten(), Dense(np.eye(2), False)), (8, 8, 1)),
        "received Convolution, MaxPool, Flatten, Dense",
    ),
    "tanh": (
        Network(
            (CONVOLUTION, MaxPool(7), Flatten(), Dense(np.eye(2), False), Activation("tanh"), Dense(np.eye(2), False)),
            (8, 8, 1),
        ),
        "received Convolution, MaxPool, Flatten, Dense, Activation, Dense",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_networks_are_refused_by_their_layers(name):
    """Before any work, whatever the images are; ``lower_bound`` takes another bound for all of them but tanh."""
    net, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        convolutional_bound(net, None)
    x = np.zeros((1, *net.input_shape))
    if name == "tanh":
        with pytest.raises(ValueError, match="received the activation tanh as layers"):
            lower_bound(net, x, method="local")
    else:
        assert lower_bound(net, x, method="local").radius >= lower_bound(net, x).radius


def test_images_of_other_shapes_and_ranges_are_refused():
    """As everywhere."""
    net = network(41, "one")
    with pytest.raises(ValueError, match="x: expected a batch of shape"):
        convolutional_bound(net, np.zeros((3, 5, 5, 1)))
    with pytest.raises(ValueError, match="x: expected finite pixels"):
        convolutional_bound(net, np.full((3, 6, 6, 1), np.nan))
    ranged = Network(net.layers, net.input_shape, input_range=(0, 1))
    with pytest.raises(ValueError, match="x: expected pixels between 0 and 1"):
        convolutional_bound(ranged, np.full((3, 6, 6, 1), 2.0))
