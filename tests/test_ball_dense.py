"""`bea.bounds.ball_dense`: every step against dense grids, random points and attacks, closed forms, and SciPy."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq

from bea import Activation, Dense, Flatten, Network, RadialBasis
from bea.attacks.by_backward_error import backward_error_attack
from bea.bounds import ball_dense, ball_quadratic
from bea.bounds.ball_dense import descend, local_bound
from bea.bounds.ball_quadratic import ball_minimum, large_ball_minimum, least_lead
from bea.bounds.ball_ranges import Ball, hidden_stages, inputs_in_ball
from bea.bounds.minorants import band, chord_slope, minorant, sector
from bea.networks.windows import MaxPool
from oracles import assert_the_same_alone_and_in_blocks, image_network, random_images, random_network

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
RNG = np.random.default_rng

ACTIVATIONS = {
    **{name: Activation(name) for name in ("linear", "relu", "sigmoid", "tanh")},
    **{f"smooth relu {a}": Activation("smooth_relu", a) for a in (0.01, 0.1, 2.0)},
}
on_any = pytest.mark.parametrize("name", ACTIVATIONS)

# Layers of (width, activation) over six pixels.
NETWORKS = {
    "relu": [(7, "relu")],
    "tanh": [(5, "tanh")],
    "wide": [(9, "sigmoid")],
    "two relu": [(8, "relu"), (6, "relu")],
    "two smooth": [(6, Activation("smooth_relu", 0.1)), (7, Activation("smooth_relu", 0.1))],
    "mixed": [(6, "tanh"), (5, "relu")],
    "three": [(6, "relu"), (5, "linear"), (5, "tanh")],
    "four": [(5, "relu"), (6, Activation("smooth_relu", 0.5)), (5, "sigmoid"), (4, "relu")],
}
on_networks = pytest.mark.parametrize("name", NETWORKS)


def network(name, seed, scale=1.0, **options):
    """A random network whose weights are so many times those of `random_network`."""
    net = random_network(RNG(seed), NETWORKS[name], 4, (6,), **options)
    layers = [layer.with_matrix(layer.matrix * scale) if isinstance(layer, Dense) else layer for layer in net.layers]
    return Network(tuple(layers), net.input_shape)


def cases(n, seed=1):
    """Weights, touching points and ranges of all sizes, some on one side of zero, some points outside or on an end."""
    rng = RNG(seed)
    width = 10.0 ** rng.uniform(-6, 3, n)
    low = np.where(rng.random(n) < 0.5, -width * rng.random(n), 4.0 * rng.standard_normal(n))
    v = low + width * rng.choice([0.0, 1.0, -0.3, 1.4, 0.5], n) * rng.random(n)
    v[::7], low[::11] = 0.0, 0.0
    weight = rng.standard_normal(n) * 10.0 ** rng.uniform(-3, 3, n)
    weight[::13] = 0.0
    return weight, v, low, low + width


def grid(low, high, t):
    """Points of every range, many near its ends, its middle, zero and t: (points, n)."""
    steps = np.concatenate([np.linspace(0, 1, 801), np.geomspace(1e-7, 1, 200), 1 - np.geomspace(1e-7, 1, 200)])
    points = low + (high - low) * steps[:, None]
    around = np.concatenate([-np.geomspace(1e-4, 1, 100), np.geomspace(1e-4, 1, 100)])[:, None] * (high - low)
    near_zero = np.concatenate([-np.geomspace(1e-6, 10, 100), np.geomspace(1e-6, 10, 100)])[:, None] + 0 * low
    return np.clip(np.concatenate([points, t + around, -t + around, near_zero]), low, high)


@on_any
@pytest.mark.parametrize("push", [0.0, 0.3, 1.0])
def test_a_minorant_is_below_the_function_on_its_range(name, push):
    """At a thousand points of each of 3000 ranges, from 1e-6 to 1e3 wide; c bounds the same quotient from above."""
    activation = ACTIVATIONS[name]
    weight, v, low, high = cases(3000)
    t, value, slope, c = minorant(activation, weight, v, low, high, push)
    assert np.isfinite([t, value, slope, c]).all()
    assert (c >= 0).all()
    assert ((low <= t) & (t <= high)).all()
    u = grid(low, high, t)
    function = activation.forward
    above = weight * function(u) - (value + slope * (u - t) - c * (u - t) ** 2)
    size = np.abs(weight) * (np.abs(function(t)) + np.abs(u) + np.abs(t)) + c * (u - t) ** 2
    assert (above >= -1e-14 * size).all()


@on_any
def test_a_minorant_could_not_bend_less(name):
    """c is the largest quotient on a dense grid to 0.1 %, but for a few ranges on which the grid misses the largest.

    In long doubles, as the quotient cancels.
    """
    activation = ACTIVATIONS[name]
    weight, v, low, high = cases(2000, 2)
    t, _, slope, c = minorant(activation, weight, v, low, high, 0.3)
    u = grid(low, high, t).astype(np.longdouble)
    far = np.abs(u - t) > 1e-4
    apart = np.where(far, u - t, 1.0)
    functions = {
        "linear": lambda v: v,
        "relu": lambda v: np.maximum(v, 0),
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "tanh": np.tanh,
    }
    a = activation.parameter
    function = functions.get(name, lambda v: (v + np.sqrt(v * v + np.longdouble(a or 1) ** 2)) / 2)
    rest = weight * (function(u) - function(t.astype(np.longdouble))) - slope * apart
    quotient = np.where(far, -rest / apart**2, 0.0).max(axis=0)
    wide = high - low > 1e-2
    assert (c <= 1.001 * np.maximum(quotient, 0.0) + 1e-4 * np.abs(weight))[wide].mean() > 0.98
    assert (c >= quotient * (1 - 1e-9) - 1e-10 * np.abs(weight) * (1 + np.abs(t))).all()


@on_any
def test_a_band_holds_the_function_and_is_no_wider_than_it(name):
    """On dense grids, for the slope of the chord and for others; its lines are touched, up to the grid."""
    activation = ACTIVATIONS[name]
    _, v, low, high = cases(2000, 3)
    v = np.clip(v, low, high)
    for slope in (chord_slope(activation, low, high), activation.slope(v, activation.forward(v)), RNG(4).random(2000)):
        offset, half = band(activation, low, high, slope)
        u = grid(low, high, v)
        gap = activation.forward(u) - slope * u - offset
        size = np.abs(u) + np.abs(offset)
        assert (np.abs(gap) <= half + 1e-15 * size).all()
        assert (np.abs(gap).max(axis=0) >= half * (1 - 1e-3) - 1e-10 * size.max(axis=0)).mean() > 0.97


@on_any
def test_chords_are_in_their_sector(name):
    """From points in or off the range to a dense grid; and they fill three quarters of the sector."""
    activation = ACTIVATIONS[name]
    _, v, low, high = cases(2000, 3)
    middle, half = sector(activation, v, low, high)
    u = grid(low, high, v)
    far = np.abs(u - v) > 1e-6
    apart = np.where(far, u - v, 1.0)
    slopes = np.where(far, (activation.forward(u) - activation.forward(v)) / apart, middle)
    assert (np.abs(slopes - middle) <= half + 4e-16 * (1 + np.abs(u) + np.abs(v)) / np.abs(apart)).all()
    assert (np.abs(slopes - middle).max(axis=0) >= 0.75 * half - 1e-6).mean() > 0.9


def test_a_quadratic_goes_through_sectors_from_below():
    """At random v' and random slopes within their sectors, their ends among them."""
    rng = RNG(24)
    root = rng.standard_normal((500, 6, 3))
    N = root @ root.swapaxes(1, 2)
    middle, half = rng.uniform(-1, 1, (500, 6)), rng.uniform(0, 1, (500, 6)) * (rng.random((500, 6)) < 0.7)
    Q = ball_quadratic._through(N, middle, half, rng.uniform(0, 3, (500, 6)))
    least = np.full(500, np.inf)
    for _ in range(500):
        v = rng.standard_normal((500, 6))
        h = v * (middle + half * np.clip(2 * rng.standard_normal((500, 6)), -1, 1))
        above = np.vecdot(v, (Q @ v[:, :, None])[:, :, 0]) - np.vecdot(h, (N @ h[:, :, None])[:, :, 0])
        least = np.minimum(least, above / np.vecdot(v, v))
    assert (least >= -1e-9).all()


def ball_of(net, x):
    """The ball of a network, the first inputs at x, and a map of changes of x to the basis of the ball."""
    stages = hidden_stages(net)
    first = stages[0]
    ball = Ball.of(stages)
    # rows Qᵀ = A_1 determines the coordinates Qᵀ δ.
    coordinates = np.linalg.pinv(ball.rows) @ first.kernel
    return ball, x @ first.kernel.T + first.bias, coordinates


def changes(rng, radius, pixels):
    """Random changes (n, pixels) of at most these lengths, half of them of just that length."""
    delta = rng.standard_normal((len(radius), pixels))
    delta *= (radius / np.linalg.norm(delta, axis=1))[:, None]
    return delta * np.where(rng.random(len(radius)) < 0.5, 1.0, rng.random(len(radius)))[:, None]


@on_networks
def test_inputs_of_activations_stay_in_their_ranges_and_boxes(name):
    """Of 2000 random changes each, on balls from 0.01 to 10."""
    rng = RNG(5)
    net = network(name, 6)
    x = rng.random((2000, 6))
    radius = 10.0 ** rng.uniform(-2, 1, 2000)
    ball, v, coordinates = ball_of(net, x)
    delta = changes(rng, radius, 6)
    z, values = delta @ coordinates.T, net.trace(x + delta)
    dense = [number for number, layer in enumerate(net.layers) if isinstance(layer, Dense)]
    for number, (known, layer) in enumerate(zip(inputs_in_ball(ball, v, radius), dense, strict=False)):
        inputs = values[layer + 1]
        assert ((known.low <= inputs) & (inputs <= known.high)).all()
        left = inputs - known.centre - (known.linear @ z[:, :, None])[:, :, 0]
        slack = 0.0 if number == 0 else known.box @ np.abs(net.layers[layer].kernel).T
        assert (np.abs(left) <= slack + 1e-12 * (1.0 + np.abs(inputs))).all()


def test_a_direction_without_length_ends_at_a_point_of_a_ball_however_wide():
    """A length that is zero is divided by something that no radius overflows."""
    net = network("wide", 3)
    ball, v, _ = ball_of(net, random_images(RNG(4), net, 2))
    d = np.ones((2, net.layers[-1].kernel.shape[1]))
    with np.errstate(over="raise", invalid="raise"):
        point = descend(ball, v, d, np.full(2, 1e12), np.zeros((2, ball.rows.shape[1])))
    assert np.isfinite(point).all()


@on_networks
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_bound_is_below_the_lead_everywhere_in_the_ball(name, scale):
    """Networks, images and balls at random; changes at random, along the descent, and by gradient steps in the ball.

    24 cases of 25 networks with 20 images each: 12,000 bounds, each against 40 random changes and 40 steps of descent.
    """
    worst = np.inf
    for seed in range(25):
        rng = RNG((7, seed))
        net = network(name, rng, scale)
        x = random_images(rng, net, 20)
        radius = 10.0 ** rng.uniform(-2, 1, 20)
        ball, v, coordinates = ball_of(net, x)
        kernel, bias = net.layers[-1].kernel, net.layers[-1].matrix[:, -1]
        i, j = rng.permuted(np.tile(np.arange(4), (20, 1)), axis=1)[:, :2].T
        d, constant = kernel[i] - kernel[j], bias[i] - bias[j]
        options = {} if seed % 2 else {"tries": ((rng.uniform(0, 1), rng.uniform(0, 1)),)}
        point = descend(ball, v, d, radius, rng.standard_normal((20, ball.rows.shape[1])))
        if seed % 3 == 0:  # a bad point costs tightness only
            point = rng.standard_normal(point.shape)
        bound = least_lead(ball, v, d, constant, radius, point, **options)
        assert np.isfinite(bound).all()

        def lead(delta, net=net, x=x, i=i, j=j):
            logits = net(x + delta)
            return logits[np.arange(20), i] - logits[np.arange(20), j]

        least = np.full(20, np.inf)
        for _ in range(40):
            least = np.minimum(least, lead(changes(rng, radius, 6)))
        rows = np.zeros((20, 4))
        rows[np.arange(20), i], rows[np.arange(20), j] = 1.0, -1.0
        for start in (point @ coordinates, changes(rng, radius, 6)):
            delta = start
            for step in range(20):
                delta = delta - radius[:, None] * (0.5 / (1 + step)) * unit(net.gradient(x + delta, rows))
                delta = unit(delta) * np.minimum(np.linalg.norm(delta, axis=1), radius)[:, None]
                least = np.minimum(least, lead(delta))
        worst = min(worst, (least - bound).min())
        assert (bound <= least).all()
    assert worst > 0


def unit(rows):
    """Rows of length one, or zero."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)


def by_factors(k, lin, H, r):
    """The other routine, told somewhat too little of the largest eigenvalues."""
    largest = np.maximum(np.linalg.eigvalsh(H)[:, -1], 0.0) * (1 - 3e-5 * RNG(7).random(len(H))) + 1e-300
    return large_ball_minimum(k, lin, H, r, largest)


on_both = pytest.mark.parametrize("minimum", [ball_minimum, by_factors])


@on_both
@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_minimum_in_the_ball_is_that_of_the_secular_equation(size, minimum):
    """Below the exact minimum by 1e-4 of its terms at most, whatever H: indefinite rank, zero, huge, the hard case."""
    rng = RNG(8)
    n = 600
    root = rng.standard_normal((n, size, size)) * 10.0 ** rng.uniform(-2, 2, (n, 1, 1))
    root[::5, :, 0] = 0.0
    root[::17] = 0.0
    H = root @ root.swapaxes(1, 2)
    lin, k, r = rng.standard_normal((n, size)), rng.standard_normal(n), 10.0 ** rng.uniform(-2, 2, n)
    lin[::7] *= 1e-3
    found = minimum(k, lin, H, r)
    for i in range(n):
        values, vectors = np.linalg.eigh(H[i])
        q, top = vectors.T @ lin[i], values[-1]

        def shortfall(mu, q=q, values=values, i=i):
            return np.linalg.norm(q / (mu - values)) - 2 * r[i]

        mu = brentq(shortfall, top + 1e-12 * (1 + top), top + np.linalg.norm(q) / (2 * r[i]) + 1.0, xtol=1e-15)
        z = -q / (2 * (mu - values))
        exact = k[i] + q @ z - z @ (values * z)
        terms = np.abs(k[i]) + np.abs(q) @ np.abs(z) + z @ (np.abs(values) * z)
        assert exact - 1e-4 * terms <= found[i] <= exact + 1e-10 * terms


@on_both
def test_a_hard_case_is_bounded_too(minimum):
    """Without a linear part the minimum is -λ r², in which the largest eigenvalue counts."""
    H = np.diag([1.0, 3.0, 2.0])[None]
    found = minimum(np.zeros(1), np.zeros((1, 3)), H, np.array([2.0]))
    assert -12.0 * (1 + 1e-4) < found[0] <= -12.0
    assert minimum(np.ones(1), np.zeros((1, 3)), 0 * H, np.array([2.0]))[0] == pytest.approx(1.0)


@on_networks
def test_no_attack_is_shorter_than_the_radius(name):
    """Converged attacks on 24 images of four networks; and descent on the sphere just within finds no other class."""
    ratios = []
    for seed in range(4):
        net = network(name, (9, seed), 1.5)
        x = random_images(RNG((10, seed)), net, 6)
        radius, rival = local_bound(net, x)
        own = net.classify(x)
        assert radius.shape == rival.shape == (6,)
        assert ((radius > 0) & (rival != own)).all()
        found = backward_error_attack(net, x, own, margin=1e-7)
        assert (found.l2[found.success] >= radius[found.success]).all()
        ratios.extend((radius / found.l2)[found.success])
        rng = RNG((11, seed))
        for other in range(4):
            rows = np.eye(4)[own] - np.eye(4)[other]
            delta = changes(rng, radius, 6)
            for step in range(30):
                delta = delta - (radius * (1.0 / (1 + step)))[:, None] * unit(net.gradient(x + delta, rows))
                delta = unit(delta) * np.minimum(np.linalg.norm(delta, axis=1), radius)[:, None]
                assert (net.classify(x + delta) == own).all()
    assert len(ratios) > 12
    assert np.median(ratios) > {"four": 0.1, "three": 0.3, "mixed": 0.7}.get(name, 0.8)


@pytest.mark.parametrize("bias", [True, False])
def test_the_radius_of_an_affine_network_is_exact(bias):
    """Lead over the length of the difference of the rows, to 1e-10 and from below."""
    net = random_network(RNG(12), [], 5, (2, 3), bias=bias)
    x = random_images(RNG(13), net, 50)
    radius, rival = local_bound(net, x)
    logits, own = net(x), net.classify(x)
    kernel = net.layers[-1].kernel
    exact = np.array(
        [
            [
                (logits[i, own[i]] - logits[i, j]) / np.linalg.norm(kernel[own[i]] - kernel[j])
                if j != own[i]
                else np.inf
                for j in range(5)
            ]
            for i in range(50)
        ]
    )
    np.testing.assert_array_equal(rival, exact.argmin(axis=1))
    np.testing.assert_allclose(radius, exact.min(axis=1), rtol=1e-10)
    assert (radius <= exact.min(axis=1)).all()


@pytest.mark.parametrize("hidden", [[(6, "linear")], [(8, "linear"), (5, "linear")]])
def test_linear_hidden_layers_cost_only_the_accuracy(hidden):
    """The affine network that the product of the matrices is has the same radii."""
    net = random_network(RNG(14), hidden, 4, (6,))
    x = random_images(RNG(15), net, 40)
    offset = net(np.zeros((1, 6)))[0]
    product = net(np.eye(6)).T - offset[:, None]
    flat = Network((Dense(np.column_stack([product, offset])),), (6,))
    without = Network(tuple(layer for layer in net.layers if isinstance(layer, Dense)), (6,))
    exact, rival = local_bound(flat, x)
    for same in (net, without):
        radius, found = local_bound(same, x)
        np.testing.assert_array_equal(found, rival)
        np.testing.assert_allclose(radius, exact, rtol=1e-3)
        assert (radius <= exact).all()


@on_any
def test_the_radius_of_one_neuron_is_exact(name):
    """f(w·x + b) against a constant: the boundary is a hyperplane, where f has the value of the constant."""
    if name == "linear":
        return
    activation, rng = ACTIVATIONS[name], RNG(16)
    w, bias = rng.standard_normal(6), -0.1
    x = rng.random((40, 6))
    level = 0.4
    net = Network((Dense(np.append(w, bias)[None]), activation, Dense(np.array([[1.0, 0.0], [0.0, level]]))), (6,))
    edge = brentq(lambda v: activation.forward(np.array([v]))[0] - level, -3, 3, xtol=1e-15)
    exact = np.abs(x @ w + bias - edge) / np.linalg.norm(w)
    radius, rival = local_bound(net, x)
    np.testing.assert_array_equal(rival, 1 - net.classify(x))
    assert (radius <= exact * (1 + 1e-12)).all()
    # Where f saturates within the ball, a parabola below it falls off beyond the edge.
    assert np.median(radius / exact) > (0.7 if name in ("tanh", "sigmoid") else 0.995)


def test_the_search_is_no_part_of_the_proof_and_batches_no_part_of_the_result(monkeypatch):
    """An image alone, in a batch, or in blocks of eight has the same radius."""
    net = network("two relu", 17)
    x = random_images(RNG(18), net, 30)
    blocks = partial(monkeypatch.setattr, ball_dense, "PAIR_NUMBERS", 1)
    assert_the_same_alone_and_in_blocks(local_bound, net, x, blocks, rtol=1e-6)


def test_ties_have_no_radius_and_constant_leads_an_infinite_one():
    """Equal rows: with equal biases a tie of two classes, with others a class that never wins."""
    rng = RNG(19)
    hidden = Dense(rng.standard_normal((5, 7)))
    row = rng.standard_normal(5)
    x = rng.random((6, 6))
    for front in ((hidden, Activation("tanh")), ()):
        row = row if front else rng.standard_normal(6)
        for biases, expected in (([0.0, 0.0], 0.0), ([0.0, 1.0], np.inf)):
            last = Dense(np.column_stack([np.stack([row, row]), biases]))
            radius, rival = local_bound(Network((*front, last), (6,)), x)
            np.testing.assert_array_equal(radius, expected)
            np.testing.assert_array_equal(rival, 1 if expected == 0.0 else 0)


def test_a_class_out_of_reach_has_the_largest_radius_tried():
    """A bounded activation cannot make up for the bias, however far the image moves; nor can weights of zero."""
    hidden = Dense(RNG(20).standard_normal((5, 7)))
    last = Dense(np.column_stack([np.stack([np.zeros(5), np.ones(5)]), [10.0, 0.0]]))
    x = RNG(21).random((4, 6))
    for first in (hidden, hidden.with_matrix(0 * hidden.matrix)):
        radius, _ = local_bound(Network((first, Activation("tanh"), last), (6,)), x)
        np.testing.assert_allclose(radius, ball_dense.FARTHEST, rtol=1e-8)


def test_flattened_images_and_wide_first_layers_are_covered():
    """More hidden numbers than pixels, images of two dimensions, no biases, an empty batch."""
    net = random_network(RNG(22), [(11, "relu")], 3, (2, 3), bias=False)
    x = random_images(RNG(23), net, 9)
    radius, _ = local_bound(net, x)
    flat = Network(net.layers[1:], (6,))
    np.testing.assert_allclose(radius, local_bound(flat, x.reshape(9, 6))[0], rtol=1e-9)
    assert (radius <= backward_error_attack(net, x, net.classify(x), margin=1e-7).l2).all()
    assert [a.shape for a in local_bound(net, x[:0])] == [(0,), (0,)]
    assert [a.shape for a in local_bound(random_network(RNG(0), []), x[:0])] == [(0,), (0,)]


def test_what_is_not_covered_is_refused():
    """Other layers by their name and place, before any work; and images that are none of the network's."""
    dense, last = Dense(np.ones((4, 5))), Dense(np.ones((2, 5)))
    with pytest.raises(ValueError, match="Convolution as layers\\[0\\]"):
        local_bound(image_network("convolution", 1), None)
    with pytest.raises(ValueError, match="RadialBasis as layers\\[1\\]"):
        local_bound(Network((dense, RadialBasis(np.ones((4, 4)), np.ones(4)), last), (4,)), None)
    with pytest.raises(ValueError, match="Activation as layers\\[2\\]"):
        local_bound(Network((dense, Activation("relu"), Activation("tanh"), last), (4,)), None)
    with pytest.raises(ValueError, match="Activation as layers\\[0\\]"):
        local_bound(Network((Activation("relu"), dense, last), (4,)), None)
    with pytest.raises(ValueError, match="MaxPool as layers\\[0\\]"):
        local_bound(Network((MaxPool(2), Flatten(), last), (4, 4, 1)), None)
    net = Network((dense, Activation("relu"), last), (4,), input_range=(0, 1))
    with pytest.raises(ValueError, match="x: expected a batch of shape"):
        local_bound(net, np.zeros((3, 5)))
    with pytest.raises(ValueError, match="x: expected pixels between 0 and 1"):
        local_bound(net, np.full((3, 4), 2.0))


def test_the_page_proves_the_steps_that_the_code_names():
    """D1 to D6, P1 to P6 and W1 to W5, each the head of a paragraph there and named in a docstring here."""
    root = Path(__file__).parents[1]
    page = (root / "book" / "tight_bound.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (root / "bea" / "bounds").glob("*.py"))
    proved = set(re.findall(r"^\*\*([DPW]\d)\. ", page, re.MULTILINE))
    lasts = {"D": 6, "P": 6, "W": 5}
    assert proved == {f"{letter}{number}" for letter, last in lasts.items() for number in range(1, last + 1)}
    assert set(re.findall(r"^([DPW]\d)\. ", code, re.MULTILINE)) == proved
