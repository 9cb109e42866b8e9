"""`bea.bounds.curves`: quadratics below activations, the proof against NumPy and random points, the optimum, grids."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from bea import Activation, Dense, Network
from bea.bounds import curves as module
from bea.bounds import interior_point, prove
from bea.bounds.ball_dense import Pairs
from bea.bounds.ball_ranges import Ball, hidden_stages
from bea.bounds.curves import TARGET, curves, first_coefficients, lowered, nearest_on_curves, proved_on_curves
from bea.bounds.interior_point import multipliers
from oracles import DIGITS, in_balls, least_value, random_images, random_network

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
RNG = np.random.default_rng
ROUNDED = Activation("smooth_relu", 0.2)
HIDDEN = {
    "tanh": [(9, "tanh")],
    "sigmoid": [(8, "sigmoid")],
    "two tanh": [(6, "tanh"), (5, "tanh")],
    "rounded and sigmoid": [(6, ROUNDED), (5, "sigmoid")],
    "three": [(5, "tanh"), (5, ROUNDED), (4, ROUNDED)],
}


def cases(name, seeds=5, pixels=3):
    """Nodes of random networks: (net, ball, image, own class, rival, programme, r, low, high), two units halved."""
    farther = (2.75, 3.75) if name == "three" else (1.1, 1.5)
    for rng, net, ball, x, pairs, own, rival, r, low, high in in_balls(HIDDEN[name], seeds, pixels, farther):
        for i in range(2):
            for unit in rng.choice(low.shape[1], 2, replace=False):
                end, share = (low, high)[rng.integers(2)], rng.uniform(0.3, 0.7)
                end[i, unit] = share * low[i, unit] + (1.0 - share) * high[i, unit]
            j = rival[i]
            node = curves(ball, low[i], high[i], pairs.v[i], pairs.d[i, j], pairs.constant[i, j], r[i])
            yield net, ball, x[i], own[i], j, node, r[i], low[i], high[i]


def points(net, ball, image, node, r, low, high, rng, n=4000):
    """Points of a node: changes (m, pixels), variables w (m, n), and the logits."""
    delta = rng.standard_normal((n, len(image)))
    delta *= (r * rng.random(n) ** (1 / len(image)) / np.linalg.norm(delta, axis=1))[:, None]
    basis = np.linalg.qr(ball.stages[0].kernel.T)[0]
    h, inputs, outputs = image + delta, [], []
    for stage, layer in zip(ball.stages, node.layers, strict=True):
        inputs.append(h @ stage.kernel.T + stage.bias)
        h = stage.activation.forward(inputs[-1])
        outputs.append((h - layer.out) / layer.reach)
    v = np.concatenate(inputs, axis=1)
    inside = ((low <= v) & (v <= high)).all(axis=1)
    w = np.concatenate([np.ones((n, 1)), delta @ basis / r, *outputs[:-1]], axis=1)
    return delta[inside], w[inside], v[inside], net(image + delta[inside])


@pytest.mark.parametrize("name", HIDDEN)
def test_the_variables_are_the_networks(name):
    """At random points of nodes: the rows are inputs and outputs, scaled to their ranges, and the ball is the ball."""
    rng, seen = RNG(2), 0
    for net, ball, image, _, _, node, r, low, high in cases(name):
        delta, w, v, _ = points(net, ball, image, node, r, low, high, rng)
        middle, half = (np.concatenate([getattr(layer, part) for layer in node.layers]) for part in ("middle", "half"))
        values, units = w @ node.rows.T, len(middle)
        np.testing.assert_allclose(values[:, 1 : 1 + units] * half + middle, v, atol=1e-13)
        np.testing.assert_array_equal(values[:, 1 + units :], w[:, w.shape[1] + 1 + units - values.shape[1] :])
        assert np.abs(values).max(initial=0.0) <= 1.0 + 1e-13
        np.testing.assert_allclose(np.vecdot(w @ node.fixed, w), (delta**2).sum(axis=1) / r**2, atol=1e-13)
        seen += len(w)
    assert seen > 2000


@pytest.mark.parametrize("name", HIDDEN)
def test_no_coefficients_prove_more_than_there_is(name):
    """Those of the search and random ones near them: no point with the rival's class is nearer than they say."""
    rng, met, tight, others = RNG(3), 0, [], []
    for net, ball, image, own, j, node, r, low, high in cases(name):
        best, *_ = nearest_on_curves(node)
        delta, _, _, logits = points(net, ball, image, node, r, low, high, rng, 8000)
        length = np.linalg.norm(delta[logits[:, own] <= logits[:, j]], axis=1)
        met += len(length)
        assert (length >= best * r).all()
        y = multipliers(node, first_coefficients(node), 1.0, TARGET)[0]
        for share in (0.001, 0.02):
            found = proved_on_curves(node, y * (1.0 + share * rng.standard_normal(len(y))))
            others.append(found)
            assert (length >= found * r).all()
        if len(length) > 50:
            tight.append(best * r / length.min())
    assert met > 100
    assert np.median(tight) > (0.7 if name == "three" else 0.95)
    assert np.mean(np.array(others) > 0.1) > 0.3


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", ROUNDED])
@pytest.mark.parametrize("last", [True, False])
def test_between_points_no_quadratic_is_farther_above_than_is_allowed_for(activation, last):
    """Random coefficients and ranges, also far from zero; at 3000 points, where 40 are known."""
    rng = RNG(4)
    net = random_network(rng, [(300, activation), (300, activation)], 3, (3,))
    ball = Ball.of(hidden_stages(net))
    low = rng.uniform(-8.0, 6.0, 600) * rng.choice([0.2, 1.0], 600)
    high = low + 10.0 ** rng.uniform(-2.0, 0.8, 600)
    layer = curves(ball, low, high, np.zeros(300), rng.standard_normal(300), 0.0, 1.0).layers[int(last)]
    y = rng.standard_normal(layer.index.shape)
    if last:
        y *= 0.02 * np.abs(layer.d)[:, None]
        touching = layer.middle + layer.half * rng.uniform(-1.0, 1.0, 300)
        y[:, 1] = layer.d * layer.half * layer.activation.slope(touching, layer.activation.forward(touching))
    few, many = np.linspace(-1.0, 1.0, 40), np.linspace(-1.0, 1.0, 3000)
    above = []
    for u in (few, many):
        terms, bound = layer.at(u)
        above.append(((terms @ y[:, :, None])[:, :, 0] - bound).max(axis=1))
    allowed = layer.between(y, 1.0, few[1] - few[0])
    assert (above[1] <= above[0] + allowed + 1e-14).all()
    assert np.max((above[1] - above[0]) / (allowed + 1e-14)) > 0.85


def test_what_is_proved_is_the_least_value_of_the_quadratic():
    """By NumPy, matrix by matrix, after the same lowering, to 1.5e-4; where ν is negative it is zero."""
    rng, compared = RNG(5), 0
    for *_, node, _, _, _ in cases("rounded and sigmoid", 8):
        c, y = len(node.first), multipliers(node, first_coefficients(node), 1.0, TARGET)[0]
        y = y * (1.0 + 0.02 * rng.standard_normal(c + 1))
        lowered = y[:c].copy()
        for layer in node.layers:
            terms, bound = layer.at(np.linspace(-1.0, 1.0, 20001))
            lowered[layer.index[:, 0]] -= ((terms @ y[layer.index][:, :, None])[:, :, 0] - bound * y[c]).max(axis=1)
        pairs = zip(lowered, node.rows[node.first], node.rows[node.second], strict=True)
        S = node.fixed + y[c] * node.lead
        S = S + sum(weight * (np.outer(a, b) + np.outer(b, a)) / 2 for weight, a, b in pairs)
        if np.linalg.eigvalsh(S[1:, 1:])[0] > 1e-6:
            least = S[0, 0] - S[0, 1:] @ np.linalg.solve(S[1:, 1:], S[1:, 0])
            expected = np.sqrt(np.clip(least, 0.0, 1.0))
            assert expected - 1.5e-4 <= proved_on_curves(node, y) <= expected + 1e-12
            compared += expected > 0.1
        else:
            assert proved_on_curves(node, y) == 0.0
        assert proved_on_curves(node, np.append(y[:c], -1e-9)) == 0.0
    assert compared > 3


@pytest.mark.parametrize("name", ["tanh", "two tanh", "three"])
def test_back_and_weigh_are_what_the_slacks_say(name):
    """The transpose and the quadratic form of a linear function, by its matrix, column by column."""
    rng = RNG(6)
    node = next(cases(name))[5]
    c = len(node.first) + 2
    G = np.column_stack([node.slacks(column) for column in np.eye(c)])
    y, x, M = rng.standard_normal(c), rng.standard_normal(len(G)), np.zeros((c, c))
    np.testing.assert_allclose(node.slacks(y), G @ y, atol=1e-13)
    np.testing.assert_allclose(node.back(x), G.T @ x, atol=1e-13)
    node.weigh(M, x)
    np.testing.assert_allclose(M, G.T @ (x[:, None] * G), atol=1e-13)


def test_one_programme_does_what_many_parabolas_do_not():
    """Random networks of three times 16 units: the share of the attack that is proved, without and with halvings."""
    rng = RNG(7)
    net = random_network(rng, [(16, "tanh")] * 3, 4, (8,))
    layers = [layer.with_matrix(1.5 * layer.matrix) if isinstance(layer, Dense) else layer for layer in net.layers]
    net = Network(tuple(layers), net.input_shape)
    x = random_images(rng, net, 4)
    plain = prove(net, x, gap=1e-2, nodes=0)
    found = plain, *(prove(net, x, dx=plain.dx, gap=1e-2, nodes=nodes) for nodes in (1, 6))
    shares = [one.lower / plain.upper for one in found]
    assert (np.diff(shares, axis=0) >= 0.0).all()
    assert np.mean(shares[1]) > np.mean(shares[0]) + 0.2
    assert np.mean(shares[2]) > 0.92


def test_a_unit_whose_range_is_taken_to_be_wider_than_it_is_is_not_halved():
    """Nodes of which most ranges are narrow, or all: then there is no such unit."""
    rng, seen = RNG(9), 0
    for net, ball, image, _, j, _, r, low, high in cases("three"):
        pairs = Pairs.of(ball, net, image[None])
        middle, half = (low + high) / 2, (high - low) / 2 * 10.0 ** rng.uniform(-4.0, 0.0, len(low))
        for ranges in ((middle - half, middle + half), (middle - 1e-6 * half, middle + 1e-6 * half)):
            node = curves(ball, *ranges, pairs.v[0], pairs.d[0, j], pairs.constant[0, j], r)
            taken = np.concatenate([layer.half for layer in node.layers])
            wider = taken > (1.0 + 1e-8) * (ranges[1] - ranges[0]) / 2
            _, _, unit, place = nearest_on_curves(node)
            assert wider.all() if unit is None else not wider[unit]
            assert np.isfinite(place)
            seen += wider.any()
    assert seen > 15


def test_a_search_whose_proof_is_refused_ends_before_it_has_converged_and_keeps_the_best_proof(monkeypatch):
    """However high the value is, no proof is taken for enough here, and the later ones are worse than the first."""
    asked, often = [], []
    monkeypatch.setattr(module, "proved_on_curves", lambda *_: asked.append(1) or (0.1 if len(asked) > 1 else 0.2))
    for share in (0.0, interior_point.REFUSED):
        monkeypatch.setattr(interior_point, "REFUSED", share)
        for *_, node, _, _, _ in cases("two tanh"):
            assert nearest_on_curves(node, 0.3)[0] == 0.2
            often.append(len(asked))
            asked.clear()
    half = len(often) // 2
    assert min(often) > 1
    assert sum(often[half:]) < 0.5 * sum(often[:half])


def farthest_above(layer, y, k):
    """By how much κ or q of a tanh unit is above what it must be, at most over 101 points, in decimals."""
    a, values = [Decimal(c) for c in y[layer.index[k]]], []
    for u in (Decimal(step) / 50 for step in range(-50, 51)):
        power = (2 * (Decimal(layer.middle[k]) + Decimal(layer.half[k]) * u)).exp()
        value = (power - 1) / (power + 1)
        total = a[0] + a[1] * u + a[2] * u * u
        if layer.d is None:
            o = (value - Decimal(layer.out[k])) / Decimal(layer.reach[k])
            values.append(total + a[3] * o + a[4] * u * o + a[5] * o * o)
        else:
            values.append(total - Decimal(y[-1]) * Decimal(layer.d[k]) * value)
    return max(values)


def test_saturated_units_are_lowered_enough_with_40_digits():
    """Far out tanh hardly moves, and rounding of its values is a large part of that; random coefficients."""
    rng = RNG(8)
    net = random_network(rng, [(30, "tanh"), (3, "tanh")], 3, (2,))
    ball = Ball.of(hidden_stages(net))
    middle = np.concatenate([rng.uniform(10.0, 18.0, 30), np.zeros(3)])
    node = curves(ball, middle - 0.5, middle + 0.5, np.zeros(30), rng.standard_normal(3), 0.0, 1.0)
    y = lowered(node, np.append(rng.standard_normal(len(node.first)), 1.0))
    with localcontext(prec=DIGITS):
        assert all(farthest_above(node.layers[0], y, k) <= 0 for k in range(30))


@pytest.mark.parametrize("name", ["tanh", "two tanh"])
def test_what_is_proved_holds_with_40_digits(name):
    """Coefficients of the search: κ and q are below at 100 points, and the least value is no less than is proved."""
    for *_, node, _, _, _ in cases(name, 2):
        y, _ = multipliers(node, first_coefficients(node), 1.0, TARGET)
        found, y = proved_on_curves(node, y), lowered(node, y)
        with localcontext(prec=DIGITS):
            for layer in node.layers:
                assert all(farthest_above(layer, y, k) <= 0 for k in range(len(layer.index)))
        least = least_value(node, y, np.zeros(len(node.first)))
        assert Decimal(found) ** 2 <= least
        assert Decimal(found) ** 2 >= min(least, 1) - Decimal("1e-7")


def test_where_the_grid_has_no_programme_nothing_is_taken_for_proved():
    """A steep unit jumps between two points of the grid: the multipliers run away, and a rival is near all the same."""
    tanh, steep, place = Activation("tanh"), 456.9, 0.808
    first = np.array([[steep, 0.0, -steep * place], [0.0, 1.0, 0.0]])
    second = np.array([[6.544, 0.0, 3.272], [6.544, 0.0, -3.272], [0.0, 2.621, -0.76 * 2.621]])
    last = np.array([[0.0, 0.0, 0.0, -0.022], [0.5, -0.5, 0.5, 0.0]])
    net = Network((Dense(first, bias=True), tanh, Dense(second, bias=True), tanh, Dense(last, bias=True)), (2,))
    x, near = np.zeros((1, 2)), np.array([[0.80677435, 0.0]])
    assert net.classify(near) != net.classify(x)
    assert prove(net, x, dx=np.array([[0.0, 0.956]]), nodes=40, gap=1e-2).lower[0] <= np.linalg.norm(near)
