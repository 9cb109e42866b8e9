"""`bea.bounds.kantorovich`: its curvature against random points, its two ends against brute force, attack and proof."""

import numpy as np
import pytest

from bea import Activation, Dense, Network, lower_bound
from bea.attacks import backward_error_attack
from bea.bounds import distance_enclosure
from bea.bounds.ball_ranges import Ball, hidden_stages
from bea.bounds.kantorovich import curvature_in_ball, curvature_on_ray
from oracles import RNG, image_network, random_images, random_network

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

# Layers of (width, activation).
NETWORKS = {
    "tanh": [(5, "tanh")],
    "sigmoid": [(9, "sigmoid")],
    "smooth relu": [(6, Activation("smooth_relu", 0.3))],
    "relu": [(6, "relu")],
    "two tanh": [(6, "tanh"), (5, "tanh")],
    "two smooth": [(6, Activation("smooth_relu", 0.1)), (7, Activation("smooth_relu", 0.5))],
    "three": [(6, "tanh"), (5, "linear"), (5, "sigmoid")],
}
on_networks = pytest.mark.parametrize("name", NETWORKS)
both = pytest.mark.parametrize("along_ray", [False, True])


def network(name, seed, pixels=6, classes=4):
    return random_network(RNG((7, seed)), NETWORKS[name], classes, (pixels,))


def near_images(seed, net, n):
    """The n of 30 n random images whose two largest logits are nearest: their lead is short of bends."""
    x = 4.0 * random_images(RNG(seed), net, 30 * n) - 2.0
    logits = np.sort(net(x), axis=1)
    return x[np.argsort(logits[:, -1] - logits[:, -2])[1::3][:n]]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def leaving(net, x, delta, d, gradient):
    """By how much ``d·h`` leaves its tangent at x, over half the square of the step; delta (points, n, pixels)."""
    hidden = Network((*net.layers[:-1], Dense(np.eye(len(d[0])), bias=False)), net.input_shape)
    value = np.vecdot(hidden(x), d)
    moved = np.stack([np.vecdot(hidden(x + step), d) for step in delta])
    square = np.square(delta).sum(axis=2)
    return (moved - value - np.vecdot(delta, gradient)) / (0.5 * square), 1e-13 / square


@on_networks
def test_no_point_of_the_ball_leaves_the_tangent_by_more_than_the_curvature(name):
    """300 points of each of 40 balls from 0.01 to 3, and 50 of each segment."""
    nearest = 0.0
    for seed in range(5):
        net, rng = network(name, seed), RNG((8, seed))
        x, r = random_images(rng, net, 8), 10.0 ** rng.uniform(-2, 0.5, 8)
        kernel = net.layers[-1].kernel
        d = kernel[rng.integers(0, 4, 8)] - kernel[3] + 0.1
        stages = hidden_stages(net)
        ball = Ball.of(stages)
        coordinates = np.linalg.pinv(ball.rows) @ stages[0].kernel
        v = x @ stages[0].kernel.T + stages[0].bias
        hidden = Network((*net.layers[:-1], Dense(np.eye(len(d[0])), bias=False)), net.input_shape)
        gradient = hidden.gradient(x, d)
        steps = unit(rng.standard_normal((300, 8, 6))) * (r * rng.uniform(0.05, 1, (300, 8)))[:, :, None]
        (down, _), (up, _) = curvature_in_ball(ball, v, d, r), curvature_in_ball(ball, v, -d, r)
        quotient, slack = leaving(net, x, steps, d, gradient)
        assert (quotient <= up + slack).all()
        assert (-quotient <= down + slack).all()
        assert (np.isfinite(up) & np.isfinite(down)).all()
        direction = unit(rng.standard_normal((8, 6)) @ coordinates.T)
        along = curvature_on_ray(ball, v, -d, r, direction)
        shares = np.linspace(0.05, 1, 50)[:, None, None]
        quotient, slack = leaving(net, x, shares * (r[:, None] * (direction @ coordinates)), d, gradient)
        assert (quotient <= along + slack).all()
        nearest = max(nearest, (quotient.max(axis=0) / np.maximum(along, 1e-9)).max())
    assert nearest > 0.3


def test_the_curvature_of_one_unit_is_the_largest_quotient_of_its_range():
    """Of a tanh of one pixel beside a unit that is constant, on a grid, to 2e-3: a flatter parabola would cross it."""
    layers = (Dense(np.array([[2.0, 0.3], [0.0, 0.1]])), Activation("tanh"), Dense(np.eye(2), bias=False))
    net = Network(layers, (1,))
    ball = Ball.of(hidden_stages(net))
    x, r = np.array([[0.1], [0.4], [-0.2]]), np.array([0.5, 1.0, 0.2])
    d = np.tile([2.0, 0.0], (3, 1))
    v = x @ layers[0].kernel.T + layers[0].matrix[:, -1]
    gradient = 4.0 * (1 - np.tanh(v[:, :1]) ** 2)
    steps = np.concatenate([-np.geomspace(1e-3, 1, 4000), np.geomspace(1e-3, 1, 4000)])[:, None, None] * r[:, None]
    quotient, _ = leaving(net, x, steps, d, gradient)
    (down, _), (up, _) = curvature_in_ball(ball, v, d, r), curvature_in_ball(ball, v, -d, r)
    np.testing.assert_allclose(up, np.maximum(quotient.max(axis=0), 0), rtol=2e-3, atol=1e-9)
    np.testing.assert_allclose(down, np.maximum(-quotient.min(axis=0), 0), rtol=2e-3, atol=1e-9)
    sign = ball.rows[0, 0] / 2.0
    along = curvature_on_ray(ball, v, -d, r, np.full((3, 1), sign))
    ahead = steps[:, 0, 0] > 0
    np.testing.assert_allclose(along, np.maximum(quotient[ahead].max(axis=0), 0), rtol=2e-3, atol=1e-9)


def brute_force(net, x, margin, top, angles=360, radii=400):
    """The least radius on so many rays of a plane at which another class leads by the margin, infinite if none."""
    turn = np.linspace(0, 2 * np.pi, angles, endpoint=False)
    rays, s = np.stack([np.cos(turn), np.sin(turn)], axis=1), np.linspace(0, top, radii)
    logits = net((x + s[:, None, None] * rays).reshape(-1, 2)).reshape(radii, angles, -1)
    own = net.classify(x[None])[0]
    reached = (np.delete(logits, own, axis=2).max(axis=2) - logits[:, :, own] >= margin).any(axis=1)
    return s[reached.argmax()] if reached.any() else np.inf


@both
@pytest.mark.parametrize("name", ["tanh", "two tanh", "smooth relu", "relu"])
def test_brute_force_in_a_plane_is_between_the_two_ends(name, along_ray):
    """On 360 rays of 400 radii; with margins; and the ends are no empty words: some are near."""
    near = 0
    for seed in range(4):
        net = network(name, seed, pixels=2, classes=3)
        x = near_images((9, seed), net, 5)
        for margin in (0.0, 0.05)[seed % 2 :][:1]:
            found = distance_enclosure(net, x, margin=margin, along_ray=along_ray)
            for i in range(5):
                top = min(3.0 * found.first_order[i], 20.0)
                least = brute_force(net, x[i], margin, top)
                assert found.lower[i] <= least
                if found.applies[i]:
                    assert least <= found.upper[i] * (1 + 1e-5) + 2 * top / 400
                    near += found.upper[i] < 1.5 * least < 2.5 * found.lower[i]
    assert near >= 5


@both
@on_networks
def test_the_ends_are_those_of_the_majorant(name, along_ray):
    """One rival: 2/(1 + √(1 ± 2h)) times Newton's step, h ≤ ½, and the larger of the two M holds as far as the end."""
    applied = 0
    for seed in range(8):
        net = network(name, seed, classes=2)
        x = near_images((10, seed), net, 12)
        found = distance_enclosure(net, x, along_ray=along_ray)
        some = found.applies
        applied += some.sum()
        assert (found.lower <= found.first_order).all()
        assert (found.first_order <= found.upper).all()
        h, step = found.h[some], found.first_order[some]
        assert (h <= 0.5).all()
        np.testing.assert_allclose(found.upper[some], step * 2 / (1 + np.sqrt(1 - 2 * h)), rtol=1e-6)
        assert (found.h[~some] > 0).all()
        if not along_ray:
            assert (found.lower[some] >= step * 2 / (1 + np.sqrt(1 + 2 * h)) * (1 - 1e-6)).all()
        # The M of a smaller ball would not do. With more layers it need not rise with the ball throughout.
        own, kernel = net.classify(x[some]), net.layers[-1].kernel
        stages = hidden_stages(net)
        v, d = x[some] @ stages[0].kernel.T + stages[0].bias, kernel[own] - kernel[1 - own]
        ball = Ball.of(stages)
        slope = np.linalg.norm(net.gradient(x[some], np.eye(2)[own] - np.eye(2)[1 - own]), axis=1)
        if along_ray:
            coordinates = np.linalg.pinv(ball.rows) @ stages[0].kernel
            there = curvature_on_ray(ball, v, -d, found.upper[some], unit(found.dx[some]) @ coordinates.T)
        else:
            there = np.maximum(*(curvature_in_ball(ball, v, sign * d, found.upper[some])[0] for sign in (1, -1)))
        more = 1e-6 if len(NETWORKS[name]) == 1 else 0.1
        assert (there * step / slope <= h * (1 + more) + 1e-9).all()
    assert applied >= 3


@on_networks
def test_attack_and_proof_do_not_contradict_it(name):
    """The converged attack is between the ends, the tight bound below the upper one, and the change is an attack."""
    applied = {False: 0, True: 0}
    for seed in range(2):
        net = network(name, seed)
        x = near_images((11, seed), net, 12)
        own, margin = net.classify(x), 1e-6
        attack, proved = backward_error_attack(net, x, own, margin=margin), lower_bound(net, x, method="local").radius
        for along_ray in applied:
            found = distance_enclosure(net, x, margin=margin, along_ray=along_ray)
            some = found.applies
            applied[along_ray] += some.sum()
            assert (proved <= found.upper).all()
            assert (found.lower[attack.success] <= attack.l2[attack.success]).all()
            assert attack.success[some].all()
            if name != "relu":  # at kinks the attack may end in a longer local optimum
                assert (attack.l2[some] <= found.upper[some] * (1 + 1e-9)).all()
            np.testing.assert_allclose(np.linalg.norm(found.dx[some], axis=1), found.upper[some], rtol=1e-12)
            logits, rows = net(x[some] + found.dx[some]), np.arange(some.sum())
            assert (logits[rows, found.rival[some]] - logits[rows, own[some]] >= margin * (1 - 1e-6)).all()
            assert np.isnan(found.dx[~some]).all()
    assert min(applied.values()) >= 3


def test_curvature_along_the_ray_alone_decides_more():
    decided = {ray: 0 for ray in (False, True)}
    for seed in range(6):
        net = network("two tanh", seed)
        x = near_images((12, seed), net, 20)
        ends = {ray: distance_enclosure(net, x, along_ray=ray) for ray in decided}
        assert (ends[True].applies | ~ends[False].applies).all()
        decided = {ray: count + ends[ray].applies.sum() for ray, count in decided.items()}
    assert decided[True] > decided[False]


@both
def test_without_hidden_layers_the_enclosure_is_a_point(along_ray):
    net = random_network(RNG(0), [], 5, (2, 3))
    x = random_images(RNG(1), net, 20)
    found = distance_enclosure(net, x, along_ray=along_ray)
    logits, own, kernel = net(x), net.classify(x), net.layers[-1].kernel
    lengths = np.linalg.norm(kernel[own][:, None] - kernel, axis=2)
    lengths[np.arange(20), own] = np.nan
    exact = (logits[np.arange(20), own][:, None] - logits) / lengths
    for end in (found.lower, found.first_order, found.upper):
        np.testing.assert_allclose(end, np.nanmin(exact, axis=1), rtol=1e-7)
    np.testing.assert_array_equal(found.rival, np.nanargmin(exact, axis=1))
    assert found.dx.shape == x.shape


def test_at_a_kink_nothing_is_proved():
    """A ReLU at zero has no tangent; beside it, and as far as the kink, it has one without curvature."""
    layers = (Dense(np.array([[1.0, 0.0]])), Activation("relu"), Dense(np.array([[1.0, 0.1], [0.0, 0.0]])))
    net = Network(layers, (1,))
    found = distance_enclosure(net, np.array([[0.0], [1.0], [-1.0]]))
    np.testing.assert_array_equal(found.applies, [False, False, False])
    assert found.lower[0] == 0.0
    assert 0.0 < found.lower[1] <= 1.1
    falling = Network((*layers[:2], Dense(np.array([[-1.0, 1.1], [0.0, 0.0]]))), (1,))
    found = distance_enclosure(falling, np.array([[1.0], [0.0]]))
    np.testing.assert_array_equal(found.applies, [True, False])
    np.testing.assert_allclose([found.lower[0], found.upper[0]], 0.1, rtol=1e-6)


def test_a_tie_is_no_distance_away():
    net = Network((Dense(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, -1.0]])),), (1,))
    found = distance_enclosure(net, np.array([[0.5]]))
    assert found.lower[0] == 0.0


def test_networks_that_are_not_covered_and_wrong_margins_are_refused():
    net = image_network("max pools", 0)
    with pytest.raises(ValueError, match="net: expected dense layers"):
        distance_enclosure(net, random_images(RNG(0), net, 2))
    net = network("tanh", 0)
    for margin in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="margin: expected a finite number"):
            distance_enclosure(net, random_images(RNG(0), net, 2), margin=margin)
