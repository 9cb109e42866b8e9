"""Bounds of changes of the weights: against changes written out as matrices, attacks, closed forms, and mutants."""

import os
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest

from bea import Activation, Dense, Network, Residual, attack, lower_bound
from bea.backward.closed_form import changing
from bea.bounds import ball_quadratic, weight_ball, weight_lipschitz, weight_local, weight_quadratic
from bea.bounds.ball_dense import local_bound
from bea.bounds.weight_lipschitz import changed_length
from oracles import image_network, random_convolution, random_images, random_network

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
RNG = np.random.default_rng

COUNT = int(os.environ.get("BEA_WEIGHT_NETWORKS", "30"))  # more of them for a night
ACTIVATIONS = (*map(Activation, ("tanh", "sigmoid", "relu", "linear")), Activation("smooth_relu", 0.2))
IMAGES = 4
everyone = np.arange(IMAGES)


def some_network(seed):
    """A network of no to three hidden layers, some without bias, weights of all sizes; images; and what may change."""
    rng = RNG((1, seed))
    layers, inputs, depth = [], 5, rng.integers(0, 4)
    for width in [*rng.integers(3, 7, depth), 3]:
        bias, size = rng.random() < 0.7, np.exp(rng.uniform(-0.7, 0.7))
        layers.append(Dense(size * rng.standard_normal((width, inputs + bias)) / np.sqrt(inputs), bias))
        layers.append(ACTIVATIONS[rng.integers(len(ACTIVATIONS))])
        inputs = width
    net = Network(tuple(layers[:-1]), (5,))
    on = tuple(part for part in (*range(1, depth + 2), "input") if rng.random() < 0.6)
    return net, 10.0 ** rng.uniform(-1.5, 0.5) * random_images(rng, net, IMAGES), on or ("weights", "both")[seed % 2]


def changed_lead(net, x, on, u, i, j):
    """Logit i, or for None the largest other one, less logit j in every image's own network; its gradient by u.

    u (n, numbers) are all matrices ΔA_i/‖A_i‖ and Δx/‖x‖ one after the other, every entry written out.
    """
    n, change = len(x), changing(net, on)
    alphas = np.where(change.layers, net.weight_norms, 0.0)
    sizes = [layer.matrix.size for layer in net.weighted]
    *parts, s = np.split(u, list(accumulate(sizes)), axis=1)
    beta = np.linalg.norm(x, axis=1, keepdims=True) * change.input
    h, memory, number = x + beta * s, [], 0
    for layer in net.layers:
        if isinstance(layer, Dense):
            A = layer.matrix + alphas[number] * parts[number].reshape(n, *layer.matrix.shape)
            met = np.column_stack([h, np.ones(n)]) if layer.bias else h
            memory.append((A, met, alphas[number], h.shape[1]))
            h, number = np.einsum("nrc,nc->nr", A, met), number + 1
        else:
            memory.append((layer, h))
            h = layer.forward(h)
    rival, found = np.eye(net.classes)[j], []
    above = np.argmax(h - np.where(rival, np.inf, 0.0), axis=1) if i is None else i
    row = np.eye(net.classes)[above] - rival
    lead = np.sum(row * h, axis=1)
    for part in reversed(memory):
        if isinstance(part[0], Activation):
            layer, v = part
            row = row * layer.slope(v, layer.forward(v))
        else:
            A, met, alpha, width = part
            found.append((alpha * row[:, :, None] * met[:, None]).reshape(n, -1))
            row = np.einsum("nr,nrc->nc", row, A)[:, :width]
    return lead, np.concatenate([*found[::-1], beta * row], axis=1)


def unit(rows):
    """Rows of length one, or zero."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)


def least_found(net, x, on, r, i, j, rng, steps=25):
    """The least lead that changes of at most the relative norm r are found to leave, at random and by descent."""
    numbers = sum(layer.matrix.size for layer in net.weighted) + x.shape[1]
    least = np.full(len(x), np.inf)
    zero = changed_lead(net, x, on, np.zeros((len(x), numbers)), i, j)[1]
    for start in (-zero, rng.standard_normal(zero.shape) * (zero != 0.0)):
        u = r[:, None] * unit(start)
        for step in range(steps):
            lead, gradient = changed_lead(net, x, on, u, i, j)
            least = np.minimum(least, lead)
            u = u + (-r[:, None] * unit(gradient) - u) * (1.0 if step < 3 else 0.5)
            u = unit(u) * np.minimum(np.linalg.norm(u, axis=1), r)[:, None]
    return least


def contradictions(seed):
    """How many changes within the radii of a network change the class, and the ratios of radii to attacks.

    Changes are attacks on both other classes, and descent in the network itself.
    """
    net, x, on = some_network(seed)
    bound, own = lower_bound(net, x, on=on, method="local").radius, net.classify(x)
    x, bound, own = np.concatenate([x, x]), np.tile(bound, 2), np.tile(own, 2)
    rival = (own + np.repeat([1, 2], IMAGES)) % 3
    each = lower_bound(net, x, on=on, method="local", rival=rival).radius
    known = attack(net, x, rival, on, method="converged", margin=1e-7)
    length, radius = np.sqrt(known.objective), np.maximum(bound, each)
    left = least_found(net, x, on, radius, None, rival, RNG((2, seed)))
    some = known.success & (length > 0.0)
    return np.sum(known.success & (length < radius)) + np.sum(left < 0.0), (each / length)[some]


def test_no_change_within_the_radius_changes_the_class():
    """Random networks and parts of them; and most radii are nearly as long as the shortest change that is known."""
    counts, ratios = zip(*map(contradictions, range(COUNT)), strict=True)
    print(
        f"{COUNT} networks, {sum(counts)} contradictions, ratio in the median {np.median(np.concatenate(ratios)):.4f}"
    )
    assert sum(counts) == 0
    assert np.median(np.concatenate(ratios)) > 0.97


def bound_and_least(seed):
    """A bound of the lead in a ball of any size, at any point, and the least lead found there."""
    net, x, on = some_network(seed)
    rng = RNG((3, seed))
    ball = weight_ball.weight_ball(net, x, changing(net, on))
    own, last = net.classify(x), net.layers[-1]
    j = (own + rng.integers(1, 3)) % 3
    if ball is None:
        return np.zeros(1), np.zeros(1)
    r = 10.0 ** rng.uniform(-2, 0.5, IMAGES)
    known = weight_ball.reach(ball, r)
    d, bias = ball.last[own] - ball.last[j], last.matrix[:, -1] * last.bias
    point = rng.standard_normal((IMAGES, sum(ball.sizes)))
    if seed % 3:
        point = weight_quadratic.descend(known, d, point)
    point *= (r * rng.uniform(0, 1, IMAGES) ** (seed % 2) / np.linalg.norm(point, axis=1))[:, None]
    bound = weight_quadratic.least_lead(known, d, bias[own] - bias[j], point, tries=((rng.uniform(0, 1), 1.0),))
    return bound, least_found(net, x, on, r, own, j, rng)


def test_the_bound_is_below_the_lead_everywhere_in_the_ball():
    """Balls of all sizes, up to three times all weights, tight or not."""
    bounds, least = np.concatenate([bound_and_least(seed) for seed in range(120)], axis=1)
    assert np.isfinite(bounds).all()
    assert (bounds <= least).all()
    assert np.mean(bounds > least - 0.02 * (1.0 + np.abs(least))) > 0.2  # and not far below


def test_the_last_layer_takes_no_more_than_its_quadratic_says():
    """W3 at random points of any distance, and equal at the point itself."""
    rng = RNG(4)
    for bias in (False, True):
        net = Network(
            (Dense(rng.standard_normal((6, 5)), False), Dense(rng.standard_normal((3, 6 + bias)), bias)), (5,)
        )
        x = rng.standard_normal((500, 5))
        ball = weight_ball.weight_ball(net, x, changing(net, "weights"))
        known = weight_ball.reach(ball, 10.0 ** rng.uniform(-3, 0, 500))
        d, h, t = rng.standard_normal((500, 6)), rng.standard_normal((500, 6)), rng.random((500, 1))
        terms, weight, linear, squares = weight_quadratic._last_layer(known, d, h, t)
        for size in (0.0, 0.01, 1.0, 10.0):
            dh, dt = size * rng.standard_normal(h.shape), size * rng.standard_normal(t.shape)
            length = np.sqrt(np.sum((h + dh) ** 2, axis=1) + bias)
            lead = np.sum(d * (h + dh), axis=1) - np.sqrt(2) * net.weight_norms[1] * length * (t + dt)[:, 0]
            y = np.hstack([dh, dt])
            below = sum(term.sum(axis=1) for term in terms) + np.sum(
                np.hstack([weight, linear]) * y - squares * y * y, 1
            )
            above = (lead - below) / (1.0 + size) ** 2
            assert above.min() > -1e-10
            assert size or np.abs(above).max() < 1e-10


@pytest.mark.parametrize("diagonal", [False, True])
def test_a_quadratic_goes_through_an_activation_and_leaves_other_numbers_alone(diagonal):
    """D3 with further numbers (W4), at random v' and slopes within their sectors, their ends among them."""
    rng = RNG(5)
    N = rng.standard_normal((500, 7, 3))
    N = rng.random((500, 7)) if diagonal else N @ N.swapaxes(1, 2)
    middle, half = rng.uniform(-1, 1, (500, 4)), rng.uniform(0, 1, (500, 4)) * (rng.random((500, 4)) < 0.7)
    Q, least = weight_quadratic._through(N, middle, half, rng.uniform(0, 3, (500, 4))), np.full(500, np.inf)
    for _ in range(500):
        v, rest = rng.standard_normal((500, 4)), rng.standard_normal((500, 3))
        y = np.hstack([v * (middle + half * np.clip(2 * rng.standard_normal((500, 4)), -1, 1)), rest])
        v = np.hstack([v, rest])
        under = np.sum(N * y * y, axis=1) if diagonal else np.vecdot(y, np.matvec(N, y))
        over = np.sum(Q * v * v, axis=1) if diagonal else np.vecdot(v, np.matvec(Q, v))
        least = np.minimum(least, (over - under) / np.vecdot(v, v))
    assert least.min() > -1e-9
    assert np.median(least) < 1.0


def _ranges_without_new_directions(ball, v, r):
    def none(found):
        ball.added(found)

    return inputs_in_ball(replace(ball, added=none), v, r)


def _length_at_the_image(stage, image, inputs, moved):
    return np.linalg.norm(stage.activation.forward(image), axis=1), handed_on(stage, image, inputs, moved)[1]


def _without_curvature(known, d, h, t):
    *others, squares = last_layer(known, d, h, t)
    return *others, 0.0 * squares


handed_on, inputs_in_ball, scale = weight_ball._handed_on, weight_ball.inputs_in_ball, weight_ball.WeightBall.scale
last_layer, diagonal_minimum = weight_quadratic._last_layer, ball_quadratic.diagonal_minimum
MUTANTS = {  # what each forgets
    "the bias in the length of the image": (weight_ball, "image_norms", lambda h: np.linalg.norm(h[:, :-1], axis=1)),
    "the bias in the last length": (weight_quadratic, "_length", lambda known, h: np.linalg.norm(h, axis=1)),
    "that two rows change": (weight_ball.WeightBall, "loss", property(lambda ball: ball.alphas[-1])),
    "that lengths grow in the ball": (weight_ball, "_handed_on", _length_at_the_image),
    "that the image grows in the ball": (weight_ball.WeightBall, "scale", lambda ball, r: scale(ball, 0.0 * r)),
    "that ranges widen by changes behind the first": (weight_ball, "inputs_in_ball", _ranges_without_new_directions),
    "that a length bends": (weight_quadratic, "_last_layer", _without_curvature),
    "a hundredth of the ball": (ball_quadratic, "diagonal_minimum", lambda *a: diagonal_minimum(*a[:3], 0.99 * a[3])),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_bound_that_forgets_something_is_found_out(name, monkeypatch):
    """By one of the networks above, in the bound at some radius."""
    monkeypatch.setattr(*MUTANTS[name])
    assert any((bound > least).any() for bound, least in map(bound_and_least, range(300)))


def test_one_affine_layer_is_exact():
    """Lead over √2 ‖A‖ ‖h‖, what the attack finds; and with the image changing, too, as far as the search goes."""
    for bias in (False, True):
        net = random_network(RNG(6), [], 5, (2, 3), bias=bias)
        x = random_images(RNG(7), net, 30)
        logits, own = net(x), net.classify(x)
        second = np.where(np.eye(5)[own] > 0, -np.inf, logits).argmax(axis=1)
        lead = logits.max(axis=1) - logits[np.arange(30), second]
        length = np.sqrt(np.sum(x**2, axis=(1, 2)) + bias)
        for method in ("local", "lipschitz"):
            bound = lower_bound(net, x, on="weights", method=method)
            np.testing.assert_allclose(bound.radius, lead / (np.sqrt(2) * net.weight_norms[0] * length), rtol=1e-9)
            np.testing.assert_array_equal(bound.rival, second)
        known = np.sqrt(attack(net, x, second, "both", method="converged", margin=1e-9).objective)
        radius = lower_bound(net, x, on="both", method="local", rival=second).radius
        assert ((radius <= known) & (radius > (1 - 2e-3) * known)).all()


def test_changes_of_one_layer_are_changes_of_its_outputs():
    """W1: the radius is that of what follows, over ‖A‖ ‖h‖; also where convolutions come before."""
    net = random_network(RNG(8), [(6, "tanh"), (5, "relu")], 4, (6,))
    front, x = net.layers[:3], random_images(RNG(9), net, 20)
    v = front[2].forward(front[1].forward(front[0].forward(x)))
    behind = Network((Dense(np.eye(5), False), *net.layers[3:]), (5,))
    length = np.sqrt(np.sum(front[1].forward(front[0].forward(x)) ** 2, axis=1) + 1)
    radius = lower_bound(net, x, on=(2,), method="local").radius
    np.testing.assert_allclose(radius * net.weight_norms[1] * length, local_bound(behind, v)[0], rtol=2e-3)
    images = image_network("two convolutions", 1)
    assert (lower_bound(images, random_images(RNG(1), images, 3), on=(3,), method="local").radius > 0).all()


def test_the_input_alone_is_measured_in_two_ways():
    """By the word in the unit of the pixels, as ever; in a tuple relative to the image."""
    net = random_network(RNG(10), [(6, "tanh"), (5, "relu")], 4, (6,))
    x = random_images(RNG(11), net, 20)
    for method in ("local", "lipschitz"):
        plain, relative = (lower_bound(net, x, on=on, method=method) for on in ("input", ("input",)))
        np.testing.assert_array_equal(plain.layers, lower_bound(net, x, method=method).layers)
        ratio = relative.radius * np.linalg.norm(x, axis=1) / plain.radius  # by other tries, for a ReLU
        assert ratio.min() > 0.99
        assert np.median(ratio) < 1.002
        assert plain.measured()[0] != relative.measured()[0]
    np.testing.assert_array_equal(lower_bound(net, x, method="local").radius, local_bound(net, x)[0])


def test_a_rival_has_to_lead_every_class(monkeypatch):
    """The last layer alone: the radius is the attack's, whatever is in its way. Deeper, more than by the own class."""
    net = random_network(RNG(12), [(6, "tanh")], 5, (4,))
    x = random_images(RNG(13), net, 40)
    last = net(x).argmin(axis=1)  # all others are above it
    known = attack(net, x, last, (2,), method="converged", margin=1e-9)
    radius = lower_bound(net, x, on=(2,), rival=last, method="local").radius
    np.testing.assert_allclose(radius, np.sqrt(known.objective), rtol=1e-6)
    for on in ("weights", (1,), "both"):
        both = lower_bound(net, x, on=on, rival=last, method="local").radius
        with monkeypatch.context() as without:
            without.setattr(weight_local, "smallest_feasible", lambda K, c: (np.zeros_like(c), None, None))
            alone = lower_bound(net, x, on=on, rival=last, method="local").radius
        assert (both >= alone).all()
        assert (both > 1.02 * alone).sum() > 5
        known = attack(net, x, last, on, method="converged", margin=1e-7)
        assert (both <= np.sqrt(known.objective)).all()


@pytest.mark.parametrize("method", ["local", "lipschitz"])
def test_rivals_one_by_one_give_what_all_of_them_give(method):
    """The least radius of all rivals; none for the class itself and where the label is another; images alone, too."""
    net = random_network(RNG(12), [(6, "tanh"), (5, "sigmoid")], 4, (6,))
    x = random_images(RNG(13), net, 12)
    bound, own = lower_bound(net, x, on="both", method=method), net.classify(x)
    each = np.array([lower_bound(net, x, on="both", method=method, rival=np.full(12, j)).radius for j in range(4)])
    assert (each[own, np.arange(12)] == 0.0).all()
    each[own, np.arange(12)] = np.inf
    np.testing.assert_allclose(each.min(axis=0), bound.radius, rtol=2e-3)
    assert (each[bound.rival, np.arange(12)] <= each.min(axis=0) * 1.002).all()
    assert bound.layers.shape == (12, 1)
    assert list(bound.columns()) == ["radius", "rival"]
    some = lower_bound(net, x, (own + np.arange(12) % 2) % 4, on="both", method=method).radius
    np.testing.assert_array_equal(some, np.where(np.arange(12) % 2, 0.0, bound.radius))
    np.testing.assert_allclose(lower_bound(net, x[3:4], on="both", method=method).radius, bound.radius[3], rtol=1e-6)
    assert lower_bound(net, x[:0], on="weights", method=method).radius.shape == (0,)


@pytest.mark.parametrize("name", ["convolution", "two convolutions", "pool first", "max pools"])
def test_constants_bound_networks_for_images(name):
    """Convolutions, pooling and dense layers: no attack on any layer, or on all, is shorter."""
    net = image_network(name, 2)
    x = random_images(RNG(14), net, 4)
    for on in [(1,), (len(net.weighted),), "weights", "both"]:
        bound = lower_bound(net, x, on=on)
        assert (bound.radius > 0).all()
        known = attack(net, x, bound.rival, on, method="converged", margin=1e-7)
        assert (bound.radius**2 <= known.objective)[known.success].all()


def test_constants_bound_paths_that_meet_again():
    """A change within a path, before it or behind it; the ball does not cover it, and says so."""
    net = random_network(RNG(16), [(5, "tanh")], 4, (6,))
    inner = random_network(RNG(17), [(3, "sigmoid")], 5, (5,)).layers
    net = replace(net, layers=(*net.layers[:2], Residual(inner), *net.layers[2:]))
    x = random_images(RNG(18), net, 6)
    for on in [(1,), (2,), (3, "input"), (4,), "both"]:
        bound = lower_bound(net, x, on=on)
        known = attack(net, x, bound.rival, on, method="converged", margin=1e-7)
        ratio = (bound.radius / np.sqrt(known.objective))[known.success]
        assert ((ratio > 0.05) & (ratio <= 1.0)).all()
        assert len(ratio) > 1
    with pytest.raises(ValueError, match=r"expected no other paths .* received a Residual as layers\[2\]"):
        lower_bound(net, x, on=(2,), method="local")


@pytest.mark.parametrize("groups", [1, 2])
def test_the_length_of_patches_is_their_largest_singular_value(groups):
    """Of the group where it is largest, and a movement of the image adds no more than ``growth`` times its length."""
    rng = RNG(15)
    layer = random_convolution(rng, 4, 4 // groups, (3, 2), (2, 1), 1)
    layer = replace(layer, groups=groups)
    y = rng.standard_normal((5, 6, 5, 4))
    y[0] = 0.0
    step = weight_lipschitz._step(layer, y, layer.forward(y), iter([1.0]), np.zeros(5))

    def norms(y):
        h = layer.unfold(y)
        return [
            max(np.linalg.norm(part, 2) for part in np.moveaxis(each.reshape(len(each), groups, -1), 1, 0))
            for each in h
        ]

    np.testing.assert_allclose(changed_length(layer, y), norms(y), rtol=1e-6)
    assert (changed_length(layer, y) >= norms(y)).all()
    change = np.zeros_like(y)
    change[:, 2:5, 1:4] = 1.0
    grown = step.length + step.growth * np.linalg.norm(change.reshape(5, -1), axis=1)
    assert (np.array(norms(y + change)) <= grown).all()
    assert (layer.unfold(change)[..., :-1] ** 2).sum() > 0.5 * (step.growth**2 * change**2).sum()


def test_rounding_and_ties_leave_no_radius():
    """A lead that is rounding, a tie, and a class that a change of the first layer cannot reach."""
    rounding = Network((Dense([[0.1, 0.2, 0.0], [0.3, 0.0, 0.0], [-1.0, 0.0, 0.0]]),), (2,))
    tie = Network((Dense(np.ones((3, 3))), Activation("tanh"), Dense(np.ones((2, 4)))), (2,))
    fixed = Network((Dense(np.ones((3, 3))), Activation("tanh"), Dense(np.eye(2, 4)[:, ::-1] * [[0.0], [1.0]])), (2,))
    for method in ("local", "lipschitz"):
        for net in (rounding, tie):
            assert lower_bound(net, np.ones((1, 2)), on="both", method=method).radius == 0.0
    apart = Network((*fixed.layers[:2], Dense([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])), (2,))
    assert lower_bound(apart, np.ones((1, 2)), on=(1,), method="local").radius == np.inf


BAD = [
    ({"on": "nothing"}, ValueError, "on: expected one of"),
    ({"on": (4,)}, ValueError, "on: expected one of"),
    ({"on": "weights", "method": "peck"}, ValueError, "on: expected \"input\" for the method 'peck'"),
    ({"rival": np.zeros(2, int)}, ValueError, 'rival: expected none with on="input"'),
    ({"on": "both", "rival": np.zeros(3, int)}, ValueError, r"rival: expected shape \(2,\)"),
    ({"on": "both", "rival": np.zeros(2)}, TypeError, "rival: expected integers"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_bad_input_is_refused(arguments, error, message):
    """What makes no sense is named."""
    net = random_network(RNG(0), [(5, "relu")])
    with pytest.raises(error, match=message):
        lower_bound(net, np.zeros((2, 2, 3)), **arguments)


def test_what_the_ball_does_not_cover_is_refused():
    """By the name of the layer, and with the method that covers it."""
    net = image_network("convolution", 1)
    x = random_images(RNG(0), net, 2)
    for options in ({"on": "weights"}, {"on": (1,), "rival": net.classify(x)}, {"on": (1, 2)}):
        with pytest.raises(
            ValueError, match=r"received a Convolution as layers.0.; the method 'lipschitz' covers more"
        ):
            lower_bound(net, x, method="local", **options)
