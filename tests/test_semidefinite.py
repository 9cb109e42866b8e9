"""`bea.bounds.semidefinite`: constraints at random points, the proof against NumPy and random points, the optimum."""

from decimal import Decimal

import numpy as np
import pytest

from bea import Activation, Dense, Network
from bea.bounds import prove
from bea.bounds.ball_dense import Pairs
from bea.bounds.ball_ranges import Ball, hidden_stages
from bea.bounds.branch_nodes import ranges_in_ball
from bea.bounds.interior_point import multipliers
from bea.bounds.semidefinite import START, nearest, programme, proved
from oracles import in_balls, least_value, random_images, random_network

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
RNG = np.random.default_rng
HIDDEN = {
    "one": [(9, "relu")],
    "two": [(8, "relu"), (7, "relu")],
    "linear between": [(6, "relu"), (4, "linear"), (6, "relu")],
    "three": [(6, "relu"), (5, "relu"), (5, "relu")],
}


def cases(name, seeds=6, pixels=4):
    """Nodes of random networks: (net, image, rival, programme, r, low, high), some of their units halved at zero."""
    for rng, net, ball, x, pairs, own, rival, r, low, high in in_balls(HIDDEN[name], seeds, pixels, (1.3, 1.8)):
        relu = np.concatenate([np.full(len(s.bias), s.activation.name == "relu") for s in ball.stages])
        for i in range(2):
            split = np.zeros((2, low.shape[1]), dtype=bool)
            for unit in rng.choice(low.shape[1], 2, replace=False):
                if relu[unit] and low[i, unit] < 0.0 < high[i, unit]:
                    side = rng.integers(2)
                    (high, low)[side][i, unit], split[side, unit] = 0.0, True
            j = rival[i]
            node = programme(ball, low[i], high[i], split, pairs.v[i], pairs.d[i, j], pairs.constant[i, j], r[i])
            yield net, ball, x[i], own[i], j, node, r[i], low[i], high[i]


def points(net, ball, image, node, r, low, high, rng, n=3000):
    """Points of a node: changes (m, pixels), variables w (m, n), inputs of the units, and the logits."""
    delta = rng.standard_normal((n, len(image)))
    delta *= (r * rng.random(n) ** (1 / len(image)) / np.linalg.norm(delta, axis=1))[:, None]
    basis = np.linalg.qr(ball.stages[0].kernel.T)[0]
    h, inputs = image + delta, []
    for stage in ball.stages:
        inputs.append(h @ stage.kernel.T + stage.bias)
        h = stage.activation.forward(inputs[-1])
    v = np.concatenate(inputs, axis=1)
    inside = ((low <= v) & (v <= high)).all(axis=1)
    delta, v = delta[inside], v[inside]
    z = delta @ basis / r
    m = len(node.units)
    at, size = np.nonzero(node.rows[:m]), np.max(node.rows[:m], axis=1, initial=0.0)
    np.testing.assert_array_equal(at[0], np.arange(m))  # the p of a unit with a kink is a variable
    np.testing.assert_array_equal(size, 1.0)
    above = np.maximum(high[node.units], 1e-300)
    w = np.zeros((len(z), node.rows.shape[1]))
    w[:, 0], w[:, 1 : 1 + z.shape[1]] = 1.0, z
    w[:, at[1]] = np.maximum(v[:, node.units], 0.0) / above
    return delta, w, net(image + delta)


@pytest.mark.parametrize("name", HIDDEN)
def test_the_constraints_hold_in_the_node_and_the_lead_is_the_networks(name):
    """At random points: products of p and q vanish, others are not positive, and the lead is right up to its scale."""
    rng, seen, many = RNG(2), 0, 0
    for net, ball, image, own, j, node, r, low, high in cases(name):
        if (high[node.units] < 2e-3 * np.abs(node.rows).sum()).any():
            continue  # where a range is taken to be wider p is less than its share of it
        delta, w, logits = points(net, ball, image, node, r, low, high, rng)
        left = w @ node.rows[node.first].T
        right = w @ node.rows[node.second].T - node.less
        equal = node.less == 0.0
        assert np.abs((left * right)[:, equal]).max(initial=0.0) <= 1e-9
        assert (left * right)[:, ~equal].max(initial=-1.0) <= 1e-9
        assert (left >= -1e-9).all()
        np.testing.assert_allclose(np.vecdot(w @ node.fixed, w), (delta**2).sum(axis=1) / r**2, atol=1e-9)
        lead = logits[:, own] - logits[:, j]
        form = np.vecdot(w @ node.lead, w)
        scale = (lead @ form) / (form @ form + 1e-300)
        np.testing.assert_allclose(lead, scale * form, atol=1e-6 * np.abs(lead).max(initial=1.0))
        seen, many = seen + len(w), many + len(node.units)
    assert seen > 2000
    assert many > 10


@pytest.mark.parametrize("name", HIDDEN)
def test_no_multipliers_prove_more_than_there_is(name):
    """Random ones, and those of the search: no point of the node with the rival's class is nearer than they say."""
    rng, met, tight = RNG(3), 0, []
    for net, ball, image, own, j, node, r, low, high in cases(name):
        best, _, _ = nearest(node)
        delta, _, logits = points(net, ball, image, node, r, low, high, rng, 6000)
        lost = logits[:, own] <= logits[:, j]
        length = np.linalg.norm(delta[lost], axis=1)
        met += lost.sum()
        assert (length >= best * r).all()
        y = np.append(rng.exponential(0.2, len(node.first)), rng.exponential(1.0))
        found = proved(node, y)
        assert (length >= found * r).all()
        if len(length) > 100:
            tight.append(best * r / length.min())
    assert met > 200
    assert np.median(tight) > 0.6


def test_what_is_proved_is_the_least_value_of_the_quadratic():
    """By NumPy's solver, to 1e-5; with a negative multiplier of an inequality, or where there is no least one, zero."""
    rng, compared = RNG(4), 0
    for *_, node, _, _, _ in cases("two", 20):
        c = len(node.first)
        y = np.append(rng.exponential(0.3, c) / 9.0, 1.0 / 9.0)
        S = node.fixed + node.matrix(np.append(y, 0.0))
        left, right = node.rows[node.first], node.rows[node.second].copy()
        right[:, 0] -= node.less
        naive = sum(
            weight * (np.outer(a, b) + np.outer(b, a)) / 2 for weight, a, b in zip(y, left, right, strict=False)
        )
        naive = naive + y[c] * node.lead + node.fixed
        np.testing.assert_allclose(S, naive, atol=1e-12)
        if np.linalg.eigvalsh(S[1:, 1:])[0] > 1e-6:
            least = S[0, 0] - S[0, 1:] @ np.linalg.solve(S[1:, 1:], S[1:, 0])
            expected = np.sqrt(np.clip(least, 0.0, 1.0))
            assert expected - 1e-7 <= proved(node, y) <= expected
            compared += expected > 0.1
        else:
            assert proved(node, y) == 0.0
        assert proved(node, np.append(np.where(node.less > 0.0, -1.0, 1.0) * y[:c], 3.0)) == 0.0 or not c
        assert proved(node, np.append(y[:c], -1e-9)) == 0.0
    assert compared > 3


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_proved_holds_with_40_digits(name):
    """Multipliers of the search: the quadratic is nowhere below what one factorisation in float64 proves."""
    for *_, node, _, _, _ in cases(name, 3):
        first = np.where(node.less > 0.0, START[1], START[0])
        y, _ = multipliers(node, np.concatenate([first, [START[2], 0.0]]), 1.0, 1.0)
        found, least = proved(node, y), least_value(node, y, node.less)
        assert Decimal(found) ** 2 <= least
        assert Decimal(found) ** 2 >= min(least, 1) - Decimal("1e-7")


def test_where_no_unit_has_a_kink_the_distance_is_exact():
    """A network whose units are all on in the ball is affine there."""
    rng = RNG(5)
    hidden = [np.column_stack([rng.random((5, k)), np.full(5, 90.0)]) for k in (4, 5)]
    image, last = np.full((1, 4), 0.5), rng.standard_normal((3, 5))
    layers = [Dense(hidden[0]), Activation("relu"), Dense(hidden[1]), Activation("relu")]
    outputs = Network((*layers, Dense(np.eye(5), bias=False)), (4,))(image)[0]
    bias = np.array([0.1, 0.0, -0.1]) - last @ outputs
    net = Network((*layers, Dense(np.column_stack([last, bias]))), (4,))
    ball = Ball.of(hidden_stages(net))
    pairs = Pairs.of(ball, net, image)
    exact = pairs.first_order()[0]
    j = np.nanargmin(exact)
    r = 1.5 * exact[j : j + 1]
    low, high = ranges_in_ball(ball, pairs.v, r)
    none = np.zeros((2, 10), dtype=bool)
    node = programme(ball, low[0], high[0], none, pairs.v[0], pairs.d[0, j], pairs.constant[0, j], r[0])
    assert not len(node.units)
    assert nearest(node)[0] * r[0] == pytest.approx(exact[j], rel=2e-4)


def test_one_programme_does_what_many_parabolas_do_not():
    """Random networks of 24 and 24 ReLUs: the share of the attack that is proved, without and with few halvings."""
    rng = RNG(6)
    net = random_network(rng, [(24, "relu"), (24, "relu")], 4, (12,))
    x = random_images(rng, net, 10)
    plain = prove(net, x, gap=1e-2, nodes=0)
    shares = [found.lower / plain.upper for found in (plain, *(prove(net, x, dx=plain.dx, nodes=n) for n in (1, 10)))]
    assert (np.diff(shares, axis=0) >= 0.0).all()
    assert np.mean(shares[1]) > np.mean(shares[0]) + 0.2
    assert np.mean(shares[2]) > 0.85
