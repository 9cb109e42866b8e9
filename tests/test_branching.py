"""`bea.bounds.branching`: against global answers by enumeration and on grids, and every step against random points."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from bea import Activation, Dense, Network, attack
from bea.bounds import branching, prove
from bea.bounds.ball_dense import Pairs, local_bound
from bea.bounds.ball_ranges import Ball, hidden_stages
from bea.bounds.branch_nodes import Nodes, bounded, ranges_in_ball, units_of
from bea.bounds.half_spaces import ball_around, least_distance
from bea.bounds.minorants import minorant
from bea.numerics.quadratic import smallest_feasible
from oracles import image_network, random_images, random_network

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
RNG = np.random.default_rng

# Layers of (width, activation), at most twelve units.
BENT = {
    "one relu": [(10, "relu")],
    "two relu": [(6, "relu"), (5, "relu")],
    "mixed": [(5, "relu"), (3, "linear"), (4, "relu")],
}
SMOOTH = {
    "tanh": [(8, "tanh")],
    "two tanh": [(5, "tanh"), (4, "tanh")],
    "sigmoid": [(7, "sigmoid")],
    "smooth relu": [(5, Activation("smooth_relu", 0.1)), (4, Activation("smooth_relu", 0.3))],
    "kinks last": [(5, "tanh"), (4, "relu")],
}


def network(hidden, seed, pixels, scale=2.0):
    """A random network of three classes whose weights are so many times those of `random_network`."""
    net = random_network(RNG(seed), hidden, 3, (pixels,))
    layers = [layer.with_matrix(layer.matrix * scale) if isinstance(layer, Dense) else layer for layer in net.layers]
    return Network(tuple(layers), net.input_shape)


def by_enumeration(net, image, own):
    """The distance of an image to another class of a ReLU network: a quadratic programme for every pattern of units."""
    stages, last = hidden_stages(net), net.layers[-1]
    switches = [stage.activation.name == "relu" for stage in stages for _ in stage.bias]
    on = np.array(list(product(*([0.0, 1.0] if switch else [1.0] for switch in switches))))
    W, b = np.eye(len(image))[None], image[None]
    rows, levels, start = [], [], 0
    for stage, part in zip(stages, units_of(Ball.of(stages)), strict=True):
        W, b, pattern = stage.kernel @ W, b @ stage.kernel.T + stage.bias, on[:, part]
        if stage.activation.name == "relu":
            sign = 2.0 * pattern - 1.0
            rows.append(sign[:, :, None] * W)
            levels.append(-sign * b)
        W, b = W * pattern[:, :, None], b * pattern
        start += len(stage.bias)
    W, b = last.kernel @ W, b @ last.kernel.T + last.matrix[:, -1]
    shortest = np.inf
    for rival in set(range(net.classes)) - {own}:
        G = np.concatenate([*rows, (W[:, rival] - W[:, own])[:, None]], axis=1)
        c = np.concatenate([*levels, (b[:, own] - b[:, rival])[:, None]], axis=1)
        λ, solved, _ = smallest_feasible(G @ G.swapaxes(1, 2), c)
        lengths = np.linalg.norm(np.einsum("nc,nck->nk", λ, G), axis=1)
        shortest = min(shortest, lengths[solved].min(initial=np.inf))
    return shortest


def on_a_grid(net, image, own, farthest, angles=4000, radii=150):
    """The same of a network with two pixels: the first change of class along many rays, to 1e-9 by bisection."""
    turn = np.linspace(0.0, 2.0 * np.pi, angles, endpoint=False)
    ray = np.column_stack([np.cos(turn), np.sin(turn)])
    r = np.linspace(0.0, farthest, radii + 1)[1:]
    other = net.classify((image + r[:, None, None] * ray).reshape(-1, 2)).reshape(radii, angles) != own
    ray, first = ray[other.any(axis=0)], other[:, other.any(axis=0)].argmax(axis=0)
    low, high = np.append(0.0, r)[first], r[first]
    for _ in range(40):
        middle = (low + high) / 2
        other = net.classify(image + middle[:, None] * ray) != own
        low, high = np.where(other, low, middle), np.where(other, middle, high)
    return high.min(initial=np.inf)


@pytest.mark.parametrize("name", BENT)
def test_the_ends_enclose_the_distance_by_enumeration_of_relu_patterns(name):
    """For all images to the gap asked for; the tight bound alone does not."""
    plain, proved = [], []
    for seed in (1, 2):
        net = network(BENT[name], (1, seed), 4)
        x = random_images(RNG((2, seed)), net, 4)
        exact = np.array([by_enumeration(net, image, own) for image, own in zip(x, net.classify(x), strict=True)])
        found = prove(net, x, gap=1e-4)
        known = np.isfinite(found.upper)
        assert (found.lower <= exact * (1.0 + 1e-9)).all()
        assert (found.upper[known] >= exact[known] * (1.0 - 1e-9)).all()
        assert (found.proved_optimal == known).all()
        assert (found.lower >= exact * (1.0 - 1.1e-4))[known].all()
        plain.extend((local_bound(net, x)[0] >= exact * (1.0 - 1e-3))[known])
        proved.extend(known)
    assert np.mean(plain) < 0.8
    assert len(proved) >= 4


@pytest.mark.parametrize("name", SMOOTH)
def test_the_ends_enclose_the_distance_on_a_grid(name):
    """Smooth networks of two pixels; a grid is no nearer than the distance, and 1e-5 of it farther at most."""
    proved, gained = [], []
    for seed in range(4):
        net = network(SMOOTH[name], (3, seed), 2, 4.0 if name == "sigmoid" else 1.5)
        x = random_images(RNG((4, seed)), net, 3)
        found = prove(net, x, gap=1e-3, nodes=60)
        gained.extend(found.lower / np.maximum(local_bound(net, x)[0], 1e-300))
        for i, own in enumerate(net.classify(x)):
            if np.isfinite(found.upper[i]):
                exact = on_a_grid(net, x[i], own, 1.1 * found.upper[i])
                assert found.lower[i] <= exact
                assert found.upper[i] >= exact * (1.0 - 1e-5)
                proved.append(found.proved_optimal[i])
                if proved[-1]:
                    assert found.lower[i] >= exact * (1.0 - 1.02e-3)
    assert min(gained) >= 1.0
    assert max(gained) > 1.3
    assert np.mean(proved) >= (0.25 if name == "kinks last" else 1.0)


def halved(net, x, r, rounds, seed=0):
    """All nodes of the pairs of images and the nearest class after some rounds in which every node is halved."""
    ball = Ball.of(hidden_stages(net))
    pairs, everyone = Pairs.of(ball, net, x), np.arange(len(x))
    rival = np.where(np.arange(net.classes) == pairs.own[:, None], -np.inf, net(x)).argmax(axis=1)
    d, constant = pairs.d[everyone, rival], pairs.constant[everyone, rival]
    low, high = ranges_in_ball(ball, pairs.v, r)
    rng, (n, units) = RNG(seed), low.shape
    start = rng.standard_normal((n, ball.rows.shape[1]))
    start *= (r / np.linalg.norm(start, axis=1))[:, None]
    split, none = np.zeros((n, 2, units), dtype=bool), np.zeros(n, dtype=int)
    nodes = Nodes(
        everyone, low, high, split, np.zeros(n), start, start, start, rng.random((n, units)), none, np.zeros(n)
    )
    for step in range(rounds + 1):
        if step:
            nodes = nodes.take(nodes.reach < np.inf).halves()
        i = nodes.pair
        nodes = bounded(ball, nodes, pairs.v[i], d[i], constant[i], r[i])
        if step % 2:  # not where it is best, too
            unit = rng.integers(units, size=len(i))
            at = (
                nodes.low[np.arange(len(i)), unit]
                + rng.random(len(i)) * (nodes.high - nodes.low)[np.arange(len(i)), unit]
            )
            nodes = replace(nodes, unit=unit, at=at)
    return nodes, rival


@pytest.mark.parametrize("name", [*BENT, *SMOOTH])
def test_every_point_of_the_ball_is_in_a_node_that_reaches_no_farther(name):
    """2000 random points for each of ten images, after four halvings; those of the rival are no nearer than proved."""
    rng, met = RNG(5), 0
    for seed in range(4):
        net = network((BENT | SMOOTH)[name], (6, seed), 3, 4.0 if name == "sigmoid" else rng.uniform(1.0, 2.5))
        x = random_images(RNG((7, seed)), net, 10)
        r = np.minimum(local_bound(net, x)[0], 30.0) * rng.uniform(1.0, 3.0, 10)
        nodes, rival = halved(net, x, r, 4, seed)
        own = net.classify(x)
        for i in range(10):
            delta = rng.standard_normal((2000, 3))
            delta *= (r[i] * rng.random(2000) ** (1 / 3) / np.linalg.norm(delta, axis=1))[:, None]
            values = net.trace(x[i] + delta)
            inputs = [values[k + 1] for k, layer in enumerate(net.layers[:-1]) if isinstance(layer, Dense)]
            v = np.concatenate(inputs, axis=1)[:, None]
            mine = nodes.take(nodes.pair == i)
            live = mine.take(np.isfinite(mine.reach))
            inside = ((live.low <= v) & (v <= live.high)).all(axis=2)
            assert inside.any(axis=1).all()
            lost = values[-1][:, own[i]] <= values[-1][:, rival[i]]
            met += lost.sum()
            length = np.linalg.norm(delta, axis=1)[:, None]
            assert (~(inside & lost[:, None]) | (length >= live.reach)).all()
    assert met > 500


def half_space_cases(rng, n=300, size=4, count=3):
    """Random half-spaces, some of them empty rows, and radii."""
    A, s = rng.standard_normal((n, count, size)), rng.standard_normal((n, count))
    none = rng.random((n, count)) < 0.2
    A[none], s[none] = 0.0, 0.0
    return A, s, np.zeros((n, count)), 10.0 ** rng.uniform(-0.3, 0.7, n)


def test_a_ball_around_the_part_in_half_spaces():
    """It holds random points of that part, is that part's own for one half-space, and empty only if there is none."""
    rng = RNG(8)
    A, s, doubt, r = half_space_cases(rng)
    centre, radius = ball_around(A, s, doubt, r)
    z = rng.standard_normal((20000, 4))
    z *= (rng.random(20000) ** 0.25 / np.linalg.norm(z, axis=1))[:, None]
    smaller = 0
    for i in range(len(r)):
        points = r[i] * z
        inside = (points @ A[i].T >= s[i]).all(axis=1)
        if np.isnan(radius[i]):
            assert not inside.any()
        else:
            assert (np.linalg.norm(points[inside] - centre[i], axis=1) <= radius[i]).all()
            smaller += radius[i] < 0.7 * r[i]
    assert smaller > 20
    assert np.isnan(radius).sum() > 20
    some = (s[:, 0] > 0.0) & (s[:, 0] < r)
    unit, s, r = A[some, :1] / np.linalg.norm(A[some, :1], axis=2, keepdims=True), s[some, :1], r[some]
    _, radius = ball_around(unit, s, 0.0 * s, r)
    np.testing.assert_allclose(radius, np.sqrt(r**2 - s[:, 0] ** 2), rtol=1e-8)


@pytest.mark.parametrize("bent", [0.0, 0.3])
def test_the_least_distance_is_that_of_scipy_from_below(bent):
    """For H = 0 a quadratic programme, met to 1e-3; otherwise a minimum by SLSQP from several starts is no nearer."""
    rng = RNG(9)
    A, s, doubt, r = half_space_cases(rng, 60)
    r = r * 4.0
    root = rng.standard_normal((60, 4, 3)) * np.sqrt(bent)
    H = root @ root.swapaxes(1, 2)
    lin, k = rng.standard_normal((60, 4)), rng.random(60)
    found, point, axis = least_distance(k, lin, H, A, s, doubt, r)
    assert (np.linalg.norm(point, axis=1) <= r * (1.0 + 1e-9)).all()
    np.testing.assert_allclose(np.linalg.norm(axis, axis=1), 1.0)
    close = 0
    for i in range(60):
        constraints = [
            {"type": "ineq", "fun": lambda z, i=i: -(k[i] + lin[i] @ z - z @ H[i] @ z)},
            {"type": "ineq", "fun": lambda z, i=i: A[i] @ z - s[i]},
        ]
        lengths = [r[i]]
        for start in (0 * lin[i], -lin[i], *rng.standard_normal((3, 4)) * 2.0):
            best = minimize(lambda z: z @ z, start, constraints=constraints, method="SLSQP")
            if best.success:
                lengths.append(np.sqrt(best.fun))
        assert found[i] <= min(lengths) * (1.0 + 1e-6)
        close += found[i] >= min(lengths) * (1.0 - 1e-3)
    assert close == 60 if bent == 0.0 else close > 30


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "smooth_relu"])
def test_a_parabola_below_a_convex_piece_opens_upwards(name):
    """On ranges on one side of zero c is negative for one sign, and the parabola is below; elsewhere c is as before."""
    activation = Activation(name, 0.3) if name == "smooth_relu" else Activation(name)
    rng = RNG(10)
    low = rng.uniform(-3.0, 2.0, 2000)
    high = low + 10.0 ** rng.uniform(-3.0, 0.6, 2000)
    v, weight = rng.uniform(low, high), rng.standard_normal(2000)
    t, value, slope, c = minorant(activation, weight, v, low, high, 0.0, convex=True)
    u = low + (high - low) * np.linspace(0.0, 1.0, 400)[:, None]
    above = weight * activation.forward(u) - value - slope * (u - t) + c * (u - t) ** 2
    assert (above >= -1e-13 * (1.0 + np.abs(weight))).all()
    before = minorant(activation, weight, v, low, high, 0.0)[3]
    np.testing.assert_array_equal(c[c > 0.0], before[c > 0.0])
    assert (c <= before).all()
    assert (c < -1e-3).mean() > 0.1
    touching = np.where(np.abs(u - t) > 1e-2 * (high - low), above / (u - t) ** 2, np.inf).min(axis=0)
    wide = high - low > 0.1
    assert np.median((touching / np.abs(weight))[wide]) < 1e-3


@pytest.mark.parametrize(("name", "seed"), [("two relu", 1), ("tanh", 3)])
def test_an_image_alone_has_the_same_ends(name, seed, monkeypatch):
    """As in a batch of twelve, and in blocks of eight."""
    net = network((BENT | SMOOTH)[name], (1, seed), 4)
    x = random_images(RNG((2, seed)), net, 12)
    dx = prove(net, x, nodes=0).dx
    gap = 1e-5 if name in BENT else 1e-4
    found = prove(net, x, dx=dx, gap=gap, nodes=40)
    assert found.nodes.max() > 5
    alone = [prove(net, x[i : i + 1], dx=dx[i : i + 1], gap=gap, nodes=40) for i in range(12)]
    monkeypatch.setattr("bea.bounds.ball_dense.PAIR_NUMBERS", 1)
    parts = prove(net, x, dx=dx, gap=gap, nodes=40)
    for field in ("lower", "upper", "nodes"):
        each = np.concatenate([getattr(one, field) for one in alone])
        np.testing.assert_allclose(each, getattr(found, field), rtol=1e-7)
        np.testing.assert_allclose(getattr(parts, field), getattr(found, field), rtol=1e-7)


def test_without_nodes_it_is_the_tight_bound_and_with_more_it_is_never_less():
    """And a budget ends the search, with ends that hold."""
    net = network(BENT["two relu"], (1, 1), 4)
    x = random_images(RNG((2, 1)), net, 5)
    plain, _ = local_bound(net, x)
    none = prove(net, x, nodes=0)
    np.testing.assert_array_equal(none.lower, plain)
    np.testing.assert_array_equal(none.nodes, 0)
    found = [prove(net, x, gap=1e-5, nodes=nodes) for nodes in (1, 5, 100)]
    for one in found:
        assert (one.lower >= plain).all()
    assert found[0].lower.mean() < found[1].lower.mean() < found[2].lower.mean()
    assert found[0].nodes.max() == net.classes - 1  # one for each rival, and none is halved
    assert found[1].nodes.max() < 5 + 2 * branching.AT_A_TIME + 2
    assert found[2].proved_optimal.mean() > found[0].proved_optimal.mean()


def test_a_poor_attack_is_replaced_by_the_shortest_one():
    """Changes three times as long as needed: the search finds shorter ones, run through the network."""
    net = network(BENT["two relu"], (15, 2), 4)
    x = random_images(RNG(16), net, 20)
    own, best = net.classify(x), prove(net, x)
    known = np.isfinite(best.upper) & (best.lower > 0.0)
    long = best.dx * 3.0
    known &= net.classify(x + np.nan_to_num(long)) != own
    found = prove(net, x[known], dx=long[known])
    np.testing.assert_allclose(found.upper, best.upper[known], rtol=2e-3)
    assert found.proved_optimal.all()
    np.testing.assert_array_equal(net.classify(x[known] + found.dx), found.rival)
    assert (found.rival != own[known]).all()
    np.testing.assert_allclose(np.linalg.norm(found.dx, axis=1), found.upper)


@pytest.mark.parametrize("name", ["tanh", "two relu"])
def test_the_first_layers_weights_are_the_inputs_of_the_rest(name):
    """As long as the converged attack on them, which is not below what is proved; and the change that is told wins."""
    net = network((BENT | SMOOTH)[name], 17, 4)
    x = random_images(RNG(18), net, 12)
    first, own = net.layers[0], net.classify(x)
    found = prove(net, x, on=(1,), gap=1e-2)
    targets = np.array([[j for j in range(3) if j != c] for c in own])
    attacks = [attack(net, x, target, on=(1,), method="converged", margin=1e-7) for target in targets.T]
    shortest = np.min([np.where(a.success, np.sqrt(a.perturbation.objective), np.inf) for a in attacks], axis=0)
    some = np.isfinite(shortest) & np.isfinite(found.upper)
    assert some.sum() > 8
    assert (found.lower[some] <= shortest[some]).all()
    assert (found.upper[some] <= shortest[some] * 1.01).all()
    assert np.isclose(found.upper, shortest, rtol=1e-2)[some].mean() > 0.8  # the attack may end in a poor optimum
    assert found.proved_optimal[some].mean() > 0.8
    for i in np.flatnonzero(some):
        longer = np.append(x[i], 1.0)
        change = np.outer(found.dx[i], longer) / (longer @ longer)
        changed = Network((first.with_matrix(first.matrix + change), *net.layers[1:]), net.input_shape)
        assert changed.classify(x[i : i + 1]) == found.rival[i] != own[i]
        assert np.linalg.norm(change) / np.linalg.norm(first.matrix) == pytest.approx(found.upper[i], rel=1e-9)
    assert "‖ΔA₁‖/‖A₁‖" in repr(found)


def test_special_images_and_networks():
    """No hidden layer, a wrong label, changes that change no class, no rival within reach, an empty batch."""
    net = random_network(RNG(19), [], 4, (5,))
    x = random_images(RNG(20), net, 10)
    found = prove(net, x, gap=1e-5)
    assert found.proved_optimal.all()
    assert not found.nodes.any()
    assert prove(net, x[:0]).lower.shape == (0,)
    label = net.classify(x)
    label[3] = (label[3] + 1) % 4
    wrong = prove(net, x, label)
    assert wrong.lower[3] == wrong.upper[3] == 0.0
    assert (np.delete(wrong.lower, 3) > 0.0).all()
    hidden = Dense(RNG(21).standard_normal((5, 6)))
    far = Network((hidden, Activation("tanh"), Dense(np.array([[0.0] * 5 + [10.0], [1.0] * 5 + [0.0]]))), (5,))
    no_attack = prove(net, x, dx=np.zeros_like(x))
    assert np.isinf(no_attack.upper).all()
    assert np.isnan(no_attack.dx).all()
    never = prove(far, x)
    assert np.isinf(never.upper).all()
    assert np.isnan(never.dx).all()
    assert not never.proved_optimal.any()


def test_what_is_not_covered_is_refused():
    """By name, before any work."""
    with pytest.raises(ValueError, match="Convolution as layers\\[0\\]"):
        prove(image_network("convolution", 1), None)
    net = network(SMOOTH["tanh"], 0, 2)
    x = np.full((3, 2), 0.5)
    for on in ("weights", (2,), ("input", 1)):
        with pytest.raises(ValueError, match='on: expected "input" or \\(1,\\), received'):
            prove(net, x, on=on)
    with pytest.raises(ValueError, match="gap: expected a number from 1e-6 to 1, received 0"):
        prove(net, x, gap=0)
    with pytest.raises(ValueError, match="nodes: expected a whole number from 0 on, received -1"):
        prove(net, x, nodes=-1)
    with pytest.raises(ValueError, match=re.escape("dx: expected changes of shape (3, 2), received shape (2,)")):
        prove(net, x, dx=x[0])
    with pytest.raises(ValueError, match="x: expected a batch of shape"):
        prove(net, np.zeros((3, 5)))


def test_the_page_proves_the_steps_that_the_code_names():
    """B1 to B6, each the head of a paragraph there and named in a docstring here."""
    root = Path(__file__).parents[1]
    page = (root / "book" / "tight_bound.md").read_text(encoding="utf-8")
    steps = {f"B{number}" for number in range(1, 7)}
    assert set(re.findall(r"^\*\*(B\d)\. ", page, re.MULTILINE)) == steps
    assert set(re.findall(r"^(B\d)\. ", branching.__doc__, re.MULTILINE)) == steps
