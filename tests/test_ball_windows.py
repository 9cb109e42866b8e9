"""`bea.bounds.ball_windows`: maxima, patches and the quadratic function one by one, and the radii against descent."""

import math
from functools import partial

import numpy as np
import pytest

from bea import Activation, Convolution, Dense, Flatten, MaxPool, Network, lower_bound
from bea.bounds import ball_windows, pooling_quadratic
from bea.bounds.ball_pooling import FARTHEST, State, convolutional_bound, windows
from bea.bounds.ball_windows import windows_bound
from bea.bounds.maxima import (
    centre_of_chords,
    deviations_basis,
    parabola_above,
    radius_of_chords,
    shares_in_ball,
)
from bea.bounds.pooling_front import take_apart
from bea.bounds.pooling_patches import Images, Patches, add_squares
from bea.bounds.pooling_quadratic import curvature, level, parts_below, room_above
from oracles import RNG, assert_the_same_alone_and_in_blocks, random_convolution

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

# Input shape, and (filters, size, stride, padding, pool) of both blocks: rows outside of windows, pools of a line and
# of one pixel, padding on one side, strides.
NETWORKS = {
    "plain": ((12, 12, 1), [(4, 3, 1, 0, 2), (4, 2, 1, 0, 2)]),
    "lopsided": ((10, 9, 1), [(3, 3, 1, 1, (3, 2)), (3, 2, 1, 0, (1, 2))]),
    "strides": ((15, 12, 2), [(3, 3, 2, ((1, 0), (0, 1)), (2, 1)), (3, (2, 3), (1, 2), 0, (2, 1))]),
    "one pixel": ((8, 8, 1), [(3, 3, 1, 0, 1), (4, 2, 1, 0, 2)]),
}
on_networks = pytest.mark.parametrize("name", NETWORKS)


def network(seed, name, units=9, classes=4):
    """Return a network with random weights, the logits of which differ about as much as they vary."""
    rng = RNG(seed)
    shape, blocks = NETWORKS[name]
    layers, inner, channels = [], shape, shape[2]
    for filters, size, stride, padding, pool in blocks:
        layers += [random_convolution(rng, filters, channels, size, stride, padding), MaxPool(pool)]
        channels = filters
    for layer in layers:
        inner = layer.output_shape(inner)
    size = math.prod(inner)
    hidden, last = rng.standard_normal((units, size + 1)), rng.standard_normal((classes, units + 1))
    layers += [Flatten(), Dense(hidden / math.sqrt(size)), Activation("relu"), Dense(last / math.sqrt(units))]
    return Network(tuple(layers), shape)


def images(rng, net, n):
    """Return random images, a third of them with ties in all windows and one grey value in half of the others."""
    x = rng.random((n, *net.input_shape)) * rng.choice([0.0, 1.0, 1.0], (n, 1, 1, 1))
    x[::2, : net.input_shape[0] // 2] = 0.0
    return x


def lengths(arrays):
    """Return the Euclidean length of every sample."""
    return np.sqrt(np.square(arrays).sum(axis=tuple(range(1, arrays.ndim))))


def stretched(arrays, length):
    """Return the samples with these lengths."""
    return arrays * (length / np.maximum(lengths(arrays), 1e-300)).reshape(-1, *[1] * (arrays.ndim - 1))


def lead_of(net, x, own, rival):
    logits, everyone = net(x), np.arange(len(x))
    return logits[everyone, own] - logits[everyone, rival]


def descended(net, x, own, rival, radius, rng, steps=10):
    """Yield points of the balls on the way to a small lead, from random ones."""
    rows = np.eye(net.classes)[own] - np.eye(net.classes)[rival]
    delta = stretched(rng.standard_normal(x.shape), radius * rng.random(len(x)))
    for step in range(steps):
        yield delta
        delta = delta - stretched(net.gradient(x + delta, rows), 2.0 * radius / (1 + step))
        delta = stretched(delta, np.minimum(lengths(delta), radius))


# ---- Maxima


def random_gaps(rng, shape):
    """Gaps of all sizes, some of them exactly zero."""
    gap = np.sort(rng.exponential(size=shape) * rng.choice([0.0, 0.1, 1.0, 10.0], shape), axis=-1)
    return gap - gap[..., :1]


@pytest.mark.parametrize("m", [1, 2, 3, 4, 9])
def test_the_excess_is_that_of_the_least_quadratic_function_above(m):
    """In closed form, ``max_j ‖e_j - p‖² width/2 - gap_j`` for weights p; random means p need no less."""
    rng = RNG(m)
    gap, width = random_gaps(rng, (400, m)), 10.0 ** rng.uniform(-3, 2, 400)

    def needed(p):
        apart = np.eye(m) - p[:, None]
        return (np.square(apart).sum(axis=2) * width[:, None] / 2 - gap).max(axis=1)

    weights, excess = parabola_above(gap, width)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    assert (weights >= 0.0).all()
    scale = width + gap.max(axis=1)
    assert (excess >= needed(weights)).all()
    assert (excess <= np.maximum(needed(weights), 0.0) + 2e-11 * scale).all()
    for _ in range(50):
        near = weights + 10.0 ** rng.uniform(-3, 0) * rng.standard_normal((400, m)) / m
        assert (needed(near / near.sum(axis=1, keepdims=True)) >= excess - 2e-11 * scale).all()
    for _ in range(50):
        moved = rng.standard_normal((400, m)) * 10.0 ** rng.uniform(-3, 2, (400, 1))
        apart = moved - moved.mean(axis=1, keepdims=True)
        above = np.vecdot(weights, moved) + excess + np.vecdot(apart, apart) / (2.0 * width)
        assert ((moved - gap).max(axis=1) <= above + 1e-12 * (scale + np.abs(moved).max(axis=1))).all()


def test_a_lead_as_wide_as_the_parabola_costs_nothing():
    """And nothing less does; two equal entries cost a quarter of the width."""
    weights, excess = parabola_above(np.array([[0.0, 2.0], [0.0, 1.99], [0.0, 0.0]]), np.full(3, 2.0))
    np.testing.assert_allclose(weights, [[1.0, 0.0], [0.9975, 0.0025], [0.5, 0.5]], rtol=1e-12)
    assert 0.0 <= excess[0] < 1e-10 < excess[1]
    assert excess[2] == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize("m", [1, 2, 4, 6])
def test_a_maximum_is_its_mean_give_or_take_kappa(m):
    """Any movement within the reach; κ is attained at a corner, and zero where no entry can overtake the largest."""
    rng = RNG((1, m))
    gap, reach = random_gaps(rng, (300, m)), rng.exponential(size=(300, m)) * rng.choice([0.0, 1.0, 20.0], (300, 1))
    shares = shares_in_ball(gap, reach)
    assert ((shares > 0.0)[:, 1:] == (reach * (1 + 1e-9) > gap)[:, 1:]).all()
    centre = centre_of_chords(shares)
    kappa = radius_of_chords(centre, shares)
    np.testing.assert_allclose(centre.sum(axis=1), 1.0, rtol=1e-12)
    assert (kappa[shares.max(axis=1) == 0.0] == 0.0).all()
    closest = np.full(300, np.inf)
    for trial in range(200):
        rise = rng.uniform(-1.5, 1.0, (300, m)) * reach
        if trial >= 100:  # one entry as far as it can, the others so that the middle is missed by most
            rise = np.where(np.eye(m, dtype=bool)[trial % m], reach, centre * reach[:, trial % m, None] * rng.random())
        rise[:, 0] = 0.0
        rise = np.minimum(rise, reach)
        apart = rise - rise.mean(axis=1, keepdims=True)
        off = np.abs((rise - gap).max(axis=1) - np.vecdot(centre, rise))
        room = kappa * np.sqrt(np.vecdot(apart, apart))
        assert (off <= room * (1.0 + 1e-9) + 1e-13 * (1.0 + reach.max(axis=1))).all()
        closest = np.minimum(closest, np.where(kappa > 0.0, 1.0 - off / np.maximum(room, 1e-300), np.inf))
    if m == 2:
        assert np.median(closest[kappa > 0.0]) < 1e-6


@pytest.mark.parametrize(("m", "expected"), [(2, math.sqrt(1 / 2)), (3, math.sqrt(2 / 3)), (4, math.sqrt(3 / 4))])
def test_tied_entries_have_the_radius_of_a_simplex(m, expected):
    """``√(1 - 1/m)`` about the mean of all."""
    shares = shares_in_ball(np.zeros((1, m)), np.ones((1, m)))
    centre = centre_of_chords(shares)
    np.testing.assert_allclose(centre, 1 / m, atol=0.02)
    assert expected * (1 - 1e-12) <= radius_of_chords(centre, shares)[0] < 1.02 * expected


@pytest.mark.parametrize("m", [1, 2, 4, 9])
def test_the_basis_of_deviations_is_orthonormal_and_has_no_mean(m):
    """So the length of what it makes of a window is that of the entries less their mean."""
    basis = deviations_basis(m)
    assert basis.shape == (m - 1, m)
    np.testing.assert_allclose(basis @ basis.T, np.eye(m - 1), atol=1e-14)
    np.testing.assert_allclose(basis.sum(axis=1), 0.0, atol=1e-14)


# ---- Patches


def linearised(net, x, centres, order):
    """Return what hidden units, first maxima and the second block's entries are of a change, maxima being means."""
    layers, rows = net.layers, np.eye(x.size).reshape(-1, *x.shape)
    found = []
    for number in (0, 1):
        convolution, pool = layers[2 * number], layers[2 * number + 1]
        rows = convolution.push_forward(rows, rows, None)
        shape, (a, b) = rows.shape[1:], pool.size
        means = np.zeros((shape[0] // a, shape[1] // b, shape[2], a * b))
        np.put_along_axis(means.reshape(-1, a * b), order[number], centres[number], 1)
        entries = np.stack(
            [rows[:, i : shape[0] // a * a : a, j : shape[1] // b * b : b] for i in range(a) for j in range(b)], axis=-1
        )
        rows = np.sum(entries * means, axis=-1)
        found += [entries, rows]
    return [
        array.reshape(x.size, -1).T for array in (found[1], found[2], rows.reshape(x.size, -1) @ layers[5].kernel.T)
    ]


@on_networks
def test_images_have_the_derivatives_of_the_layers_with_means_for_maxima(name):
    """Units as functions of the pixels and of the first maxima, entries less their means, lengths of differences."""
    net = network(2, name)
    x = images(RNG(3), net, 3)
    front = take_apart(net)
    state, patches = State.of(front, net, x), Patches.of(front, net.input_shape)
    known = Images.of(patches, state, np.array([0.1, 0.5, 2.0]))
    for i in range(3):
        inner, entries, units = linearised(net, x[i], [c[i] for c in known.centres], [o[i] for o in known.order])
        np.testing.assert_allclose(known.hidden[i], units, atol=1e-12)
        np.testing.assert_allclose(known.behind[i] @ inner, units, atol=1e-12)
        np.testing.assert_allclose(known.hidden_sizes[i], np.linalg.norm(units, axis=1), atol=1e-12)
        m = known.gap[1].shape[2]
        entries = np.take_along_axis(entries.reshape(-1, m, x[i].size), known.order[1][i][:, :, None], 1)
        np.testing.assert_allclose(known.pairs[1][i], np.linalg.norm(entries - entries[:, :1], axis=2), atol=1e-12)
        apart = np.linalg.norm(entries - entries.mean(axis=1, keepdims=True), axis=(1, 2))
        np.testing.assert_allclose(known.sizes[i], apart, atol=1e-12)


# ---- The quadratic function


def prepared(seed, name, n=12):
    """Return a network with n images, what is known of them, a rival for each, and radii of all sizes."""
    rng = RNG((4, seed))
    net = network((5, seed), name)
    front, x = take_apart(net), images(rng, net, n)
    state, radius = State.of(front, net, x), 10.0 ** rng.uniform(-2, 0.5, n)
    rival = (state.own + rng.integers(1, net.classes, n)) % net.classes
    patches = Patches.of(front, net.input_shape)
    return net, x, state, rival, radius, patches, Images.of(patches, state, radius * rng.uniform(0.5, 2.0, n))


def quadratic(net, state, rival, radius, patches, known):
    """Return (k, l, H) and the parts of which they were made."""
    kernel, who = net.layers[-1].kernel, np.arange(len(rival))
    parts = parts_below(patches, known, who, state.v, kernel[state.own] - kernel[rival], radius)
    room = room_above(patches, known, who, parts, proven=True)
    below = level(parts, state.lead[who, rival]), parts.lin, curvature(patches, known, who, parts, room)
    return below, parts, room


@on_networks
def test_the_quadratic_function_is_below_the_lead_in_the_ball(name):
    """At random points and where descent leads, for 3 networks with 12 images each, and not far below in the middle."""
    for seed in range(3):
        net, x, state, rival, radius, patches, known = prepared(seed, name)
        (k, lin, H), *_ = quadratic(net, state, rival, radius, patches, known)
        rng = RNG((6, seed))
        for _ in range(3):
            for delta in descended(net, x, state.own, rival, radius, rng):
                z = delta.reshape(len(x), -1)
                below = k + np.vecdot(lin, z) - np.vecdot(z, (H @ z[:, :, None])[:, :, 0])
                assert (below <= lead_of(net, x + delta, state.own, rival) + 1e-12).all()


def movements(net, known, x, delta, number):
    """Return how the entries of a block move, in the order of ``known``, its maxima, and these less their centres."""
    before, after = net.trace(x), net.trace(x + delta)
    pool = net.layers[2 * number + 1]
    entries = windows(after[2 * number + 1], pool) - windows(before[2 * number + 1], pool)
    entries = np.take_along_axis(entries, known.order[number], 2)
    maxima = (after[2 * number + 2] - before[2 * number + 2]).reshape(entries.shape[:2])
    return entries, maxima, maxima - np.vecdot(known.centres[number], entries)


def squares(entries):
    """Return ‖u‖² of every window."""
    apart = entries - entries.mean(axis=2, keepdims=True)
    return np.vecdot(apart, apart)


@on_networks
def test_every_step_holds_by_itself(name):
    """κ of both blocks, the lead against the movements of the second block, and these against H, for 3 networks."""
    share = 0.0
    for seed in range(3):
        net, x, state, rival, radius, patches, known = prepared(seed, name)
        (k, lin, H), parts, _ = quadratic(net, state, rival, radius, patches, known)
        weights, rng = parts.units / (1.0 + 1.0 / pooling_quadratic.SECOND_SPLIT), RNG((23, seed))
        for delta in descended(net, x, state.own, rival, radius, rng):
            z, (first, _, off) = delta.reshape(len(x), -1), movements(net, known, x, delta, 0)
            room = parts.kappa * np.sqrt(squares(first))
            assert (np.abs(off) <= room * (1.0 + 1e-9) + 1e-12).all()
            share = max(share, (np.abs(off) / np.maximum(room, 1e-9)).max())
            second, maxima, off = movements(net, known, x, delta, 1)
            room = second_kappa(patches, known, parts, radius) * np.sqrt(squares(second))
            assert (np.abs(off) <= room * (1.0 + 1e-9) + 1e-12).all()
            kernel = net.layers[5].kernel
            # As D2 and Q1 leave it, then with the second block's noise apart, then as a function of δ.
            bent = parts.second - pooled_noise(patches, known, parts, radius)
            assert (bent >= -1e-12 * parts.second.max()).all()
            seen = np.vecdot(weights, (maxima @ kernel.T) ** 2) + np.vecdot(bent, squares(second))
            means = np.vecdot(known.centres[1], second) @ kernel.T
            apart = np.vecdot(parts.units, means**2) + np.vecdot(parts.second, squares(second))
            direct = np.vecdot(parts.first, squares(first))
            lead = lead_of(net, x + delta, state.own, rival)
            assert (k + np.vecdot(lin, z) - direct - seen <= lead + 1e-12).all()
            assert (seen <= apart * (1.0 + 1e-9) + 1e-12).all()
            assert (apart + direct <= np.vecdot(z, (H @ z[:, :, None])[:, :, 0]) * (1.0 + 1e-9) + 1e-12).all()
    assert share > 0.9 or known.gap[0].shape[2] == 1


def second_kappa(patches, known, parts, radius):
    """Return κ of the second block, computed again."""
    noise = parts.kappa.max(axis=1) * patches.front.moves[0] * radius
    reach = known.pairs[1] * radius[:, None, None] + known.noise * noise[:, None, None]
    return radius_of_chords(known.centres[1], shares_in_ball(known.gap[1], reach))


def pooled_noise(patches, known, parts, radius):
    """Return the weights that the noise of the second block has, computed again."""
    kappa = second_kappa(patches, known, parts, radius)
    return pooling_quadratic.noise_of_second(patches, parts.units, kappa, known.sizes) * kappa**2


def test_units_have_parabolas_below_them_that_touch():
    """500 units of both signs, moved as far as they can be; one that bends touches its parabola on either side."""
    rng = RNG(24)
    v, d, far = rng.standard_normal((3, 1, 500)) * 10.0 ** rng.uniform(-1, 1, (3, 1, 500))
    far, width = np.abs(far), np.abs(far) * rng.choice([0.1, 1.0, 5.0], 500)
    slope, lost, bends = pooling_quadratic._units(v, d, far, width)
    assert ((bends > 0.0) == ((d < 0.0) & (far > np.abs(v)))).all()
    distance = np.where(bends > 0.0, np.maximum(np.abs(v), width), 0.0)
    for t in (*(far * part for part in np.linspace(-1.0, 1.0, 41)), distance - v, -distance - v):
        change = d * (np.maximum(v + t, 0.0) - np.maximum(v, 0.0))
        below = slope * t - lost - bends * t * t
        some = (np.abs(t) <= far) | (bends > 0.0)
        assert (below[some] <= change[some] + 1e-11 * (1.0 + np.abs(d * t))[some]).all()
    touched = np.abs(below - change) <= 1e-9 * (1.0 + np.abs(d * t))
    assert touched[bends > 0.0].all()


def test_what_the_means_do_not_see_is_counted_as_noise():
    """One window of four tied pixels, of which one rises and the others fall: no mean moves, but the maximum does."""
    one = Convolution([[1.0]], 1, bias=False)
    for pools in ((2, 1), (1, 2)):
        hidden, last = Dense([[-1.0, 0.6]]), Dense([[1.0, 0.0], [0.0, 0.0]])
        net = Network(
            (one, MaxPool(pools[0]), one, MaxPool(pools[1]), Flatten(), hidden, Activation("relu"), last), (2, 2, 1)
        )
        x, delta = np.full((1, 2, 2, 1), 0.5), np.array([1.0, *[-1 / 3] * 3]).reshape(1, 2, 2, 1)
        front, patches, radius = take_apart(net), Patches.of(take_apart(net), net.input_shape), np.ones(1)
        state = State.of(front, net, x)
        known = Images.of(patches, state, radius)
        # A unit that pulls the lead down, by weights of our own.
        parts = parts_below(patches, known, np.zeros(1, dtype=int), -state.v, np.array([[-1.0]]), radius)
        room = room_above(patches, known, np.zeros(1, dtype=int), parts, proven=True)
        H, z = curvature(patches, known, np.zeros(1, dtype=int), parts, room), delta.reshape(1, 4)
        z = z / np.linalg.norm(z)
        weight = parts.units[0, 0] / (1.0 + 1.0 / pooling_quadratic.SECOND_SPLIT)
        bent = parts.first.sum() + (parts.second - pooled_noise(patches, known, parts, radius)).sum()
        risen = z.max() ** 2
        assert risen == pytest.approx(0.75)
        found = (z @ H[0] @ z.T)[0, 0] - bent
        assert weight > 0.0
        split = pooling_quadratic.FIRST_SPLIT if pools[0] == 2 else pooling_quadratic.SECOND_SPLIT
        assert found >= (1.0 + split) * weight * risen
        assert found < 4.0 * (1.0 + split) * weight


def test_in_a_small_ball_the_quadratic_function_is_the_lead():
    """Where no window is tied: the gradient, and nothing lost."""
    net, _, state, rival, _, patches, known = prepared(0, "plain")
    x = RNG(7).random((5, *net.input_shape))
    front, radius = take_apart(net), np.full(5, 1e-7)
    state, rival = State.of(front, net, x), rival[:5] * 0
    rival = (state.own + 1) % 4
    known = Images.of(patches, state, radius)
    (k, lin, H), *_ = quadratic(net, state, rival, radius, patches, known)
    gradient = net.gradient(x, np.eye(4)[state.own] - np.eye(4)[rival])
    np.testing.assert_allclose(lin, gradient.reshape(5, -1), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(k, lead_of(net, x, state.own, rival), rtol=1e-6)
    assert (np.linalg.eigvalsh(H)[:, -1] * 1e-14 <= 1e-6 * k).all()


@on_networks
def test_squares_are_added_where_their_patches_are(name):
    """As by index, one entry at a time; what a patch has in the padding is left out."""
    rng, net = RNG(15), network((16, 0), name)
    patches = Patches.of(take_apart(net), net.input_shape)
    for shape, places in zip(
        [*patches.shapes, net.input_shape], [patches.first.patch, patches.second.patch, patches.pixels], strict=True
    ):
        count = math.prod(shape)
        total, found = np.zeros((2, count + 1, count + 1)), np.zeros((2, count, count))
        for some in places:
            squares = rng.standard_normal((2, len(some), len(some)))
            np.add.at(total, (slice(None), some[:, None], some), squares)
            add_squares(found, squares, some, shape)
        np.testing.assert_allclose(found, total[:, :count, :count], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("margins", [(0.002,), (-0.5, -0.3, 0.01), (-0.5,)])
@on_networks
def test_the_room_is_above_the_quadratic_part_in_the_first_maxima(name, margins, monkeypatch):
    """Also where the first guesses are too low and Cholesky's factorisation refuses them, or none is right."""
    net, _, state, rival, radius, patches, known = prepared(1, name)
    monkeypatch.setattr(pooling_quadratic, "MARGINS", margins)
    _, parts, room = quadratic(net, state, rival, radius, patches, known)
    convolution, pool = net.layers[2:4]
    shape = net.layers[1].output_shape(net.layers[0].output_shape(net.input_shape))
    rows = np.eye(math.prod(shape)).reshape(-1, *shape)
    rows, (a, b) = convolution.push_forward(rows, rows, None), pool.size
    entries = np.stack(
        [rows[:, i : rows.shape[1] // a * a : a, j : rows.shape[2] // b * b : b] for i in range(a) for j in range(b)],
        axis=-1,
    )
    entries = (entries - entries.mean(axis=-1, keepdims=True)).reshape(len(entries), -1, a * b)
    for i in range(len(radius)):
        N = np.einsum("iwm,w,jwm->ij", entries, parts.second[i], entries)
        N += (known.behind[i].T * parts.units[i]) @ known.behind[i]
        least = np.linalg.eigvalsh(np.diag(room[i]) - N)[0]
        assert least >= -1e-9 * room[i].max()
        if margins[0] > 0:
            assert np.linalg.eigvalsh(N / np.sqrt(np.outer(room[i], room[i])))[-1] > 0.9


# ---- The radius


@on_networks
def test_nothing_within_the_radius_changes_the_class(name):
    """Descent of the lead over every class, 3 networks with 6 images each; and it is never below the other bound."""
    gains = []
    for seed in range(3):
        net, rng = network((8, seed), name), RNG((9, seed))
        x = images(rng, net, 6)
        radius, rival = windows_bound(net, x)
        start, before = convolutional_bound(net, x)
        own = net.classify(x)
        assert (radius >= start).all()
        np.testing.assert_array_equal(rival[radius == start], before[radius == start])
        assert (rival != own).all()
        for step in (1, 2, 3):
            for delta in descended(net, x, own, (own + step) % 4, radius, rng, 8):
                assert (net.classify(x + delta) == own).all()
        gains.extend(radius[start > 0.0] / start[start > 0.0])
        best = lower_bound(net, x, method="local")
        assert (best.radius >= radius * (1 - 1e-12)).all()
    assert np.median(gains) > 1.15


def test_a_linear_network_has_its_exact_radius():
    """Pools of one pixel, and units that are always on: the distance to the nearest hyperplane."""
    rng = RNG(10)
    first, second = random_convolution(rng, 3, 1, 2), random_convolution(rng, 4, 3, 2)
    hidden = np.hstack([rng.standard_normal((5, 4 * 16)), np.full((5, 1), 1e3)])
    last = rng.standard_normal((4, 6))
    last[:, 5] -= last[:, :5].sum(axis=1) * 1e3  # so that no class leads by far
    layers = first, MaxPool(1), second, MaxPool(1), Flatten(), Dense(hidden), Activation("relu"), Dense(last)
    net = Network(layers, (6, 6, 1))
    x = rng.random((5, 6, 6, 1))
    logits, jacobian = net(x), net.linearise(x).jacobian.reshape(5, 4, -1)
    own, everyone = net.classify(x), np.arange(5)
    with np.errstate(invalid="ignore"):
        lengths_of = np.linalg.norm(jacobian[everyone, own][:, None] - jacobian, axis=2)
        exact = np.nanmin((logits[everyone, own][:, None] - logits) / lengths_of, axis=1)
    radius, _ = windows_bound(net, x)
    assert (radius <= exact).all()
    np.testing.assert_allclose(radius, exact, rtol=1e-2)


def test_an_image_has_the_same_radius_alone_and_in_any_batch(monkeypatch):
    """To the accuracy of sums in another order, also in blocks of three."""
    net = network(11, "plain")
    x = images(RNG(12), net, 7)
    blocks = partial(monkeypatch.setattr, ball_windows, "IMAGES", 3)
    assert_the_same_alone_and_in_blocks(windows_bound, net, x, blocks, rtol=1e-6)


def test_other_networks_have_the_other_bound(monkeypatch):
    """One block, and more numbers than a matrix may have rows."""
    net = network(13, "plain")
    x = RNG(14).random((3, *net.input_shape))
    expected, larger = convolutional_bound(net, x), windows_bound(net, x)
    assert (larger[0] > expected[0]).all()
    monkeypatch.setattr(ball_windows, "SIZE", 10)
    np.testing.assert_array_equal(windows_bound(net, x), expected)
    hidden = Dense(RNG(15).standard_normal((3, 13)))
    layers = random_convolution(RNG(16), 3, 1, 3), MaxPool(2), Flatten(), hidden, Activation("relu")
    one = Network((*layers, Dense(RNG(17).standard_normal((2, 4)))), (6, 6, 1))
    x = RNG(18).random((4, 6, 6, 1))
    np.testing.assert_array_equal(windows_bound(one, x), convolutional_bound(one, x))


def test_ties_and_constant_leads_stay_as_they_are():
    """No radius for a tie; the farthest one where no class can win."""
    net = network(19, "plain", classes=2)
    same = net.layers[-1].with_matrix(np.ones_like(net.layers[-1].matrix))
    ahead = same.matrix.copy()
    ahead[0, -1] += 1.0
    x = RNG(20).random((2, *net.input_shape))
    for matrix, expected in ((same.matrix, 0.0), (ahead, FARTHEST)):
        changed = Network((*net.layers[:-1], net.layers[-1].with_matrix(matrix)), net.input_shape)
        np.testing.assert_allclose(windows_bound(changed, x)[0], expected, rtol=1e-6)


def test_a_filter_that_sees_nothing_has_no_say():
    """Zero kernels: windows that never move, in either block."""
    net = network(21, "plain")
    layers = list(net.layers)
    for number in (0, 2):
        matrix = layers[number].matrix.copy()
        matrix[0] = 0.0
        layers[number] = Convolution(matrix, layers[number].size)
    net = Network(tuple(layers), net.input_shape)
    x = images(RNG(22), net, 4)
    radius, _ = windows_bound(net, x)
    assert (radius >= convolutional_bound(net, x)[0]).all()
    assert np.isfinite(radius).all()
