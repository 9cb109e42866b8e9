"""Steps along the gradient's sign: the gradient is that of the loss, a step FGSM's, the smallest one the smallest."""

import numpy as np
import pytest

from bea import Activation, Dense, Flatten, Network
from bea.attacks import common, epsilon_search, loss, ray_segments
from bea.attacks.epsilon_search import smallest_epsilon
from bea.attacks.gradient_signs import fgsm
from bea.attacks.loss import loss_gradient
from bea.attacks.projected_gradient import pgd, smallest_pgd
from bea.networks.network import OUTPUT_ACTIVATIONS
from bea.networks.windows import AveragePool, Convolution, MaxPool
from bea.numerics import checks
from lab import keras_models, training
from oracles import (
    FUNCTIONS,
    HIDDEN,
    expand,
    naive_gradient,
    naive_loss,
    random_case,
    random_images,
    random_network,
    relative_error,
)

RNG = np.random.default_rng
OUTPUTS = ["linear", "softmax", "sigmoid", "tanh"]
on_any_output = pytest.mark.parametrize("output", OUTPUTS)
on_any_network = pytest.mark.parametrize("name", HIDDEN)
both_ways = pytest.mark.parametrize("targeted", [False, True])


def naive_step(net, image, label, target=None):
    """The direction of FGSM."""
    if target is None:
        return np.sign(naive_gradient(net, image, label))
    return -np.sign(naive_gradient(net, image, target))


def naive_wins(net, image, label, target=None):
    found = expand(net, image)[0].argmax()
    return found != label if target is None else found == target


def pairs(label, target):
    """(label, target or None) of every image."""
    return zip(label, [None] * len(label) if target is None else target, strict=True)


@on_any_output
@on_any_network
def test_the_gradient_is_the_formula_with_the_jacobian_written_out(name, output):
    """J_xᵀ (f' ∘ (q - e_label)), for every label of every image."""
    net, x, *_ = random_case(0, name, output_activation=output)
    for label in range(4):
        found = loss_gradient(net, x, np.full(len(x), label))
        assert found.shape == x.shape
        expected = np.array([naive_gradient(net, image, label) for image in x])
        assert relative_error(found, expected) <= 1e-14


@on_any_output
@on_any_network
def test_the_gradient_is_the_slope_of_the_loss(name, output):
    """Central differences of the loss, pixel by pixel."""
    net, x, label, _ = random_case(1, name, n=4, output_activation=output)
    found, h = loss_gradient(net, x, label), 1e-5
    for i, image in enumerate(x):
        for pixel in np.ndindex(image.shape):
            step = np.zeros_like(image)
            step[pixel] = h
            slope = (naive_loss(net, image + step, label[i]) - naive_loss(net, image - step, label[i])) / (2 * h)
            assert abs(found[i][pixel] - slope) <= 1e-10


@on_any_output
def test_the_gradient_agrees_with_automatic_differentiation_of_the_keras_loss(output, double):
    """Of the loss that `training.train` minimises, by JAX, in float64."""
    keras, jax = training.keras, pytest.importorskip("jax")
    model = keras_models.dense_classifier([7, 5, 4], ["tanh", "relu", output], (2, 3), seed=3)
    model.set_weights([RNG(i).standard_normal(array.shape) for i, array in enumerate(model.get_weights())])
    net, x = Network.from_keras(model), RNG(9).random((6, 2, 3))
    label = np.arange(6) % 4
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=output != "softmax", reduction="sum")
    expected = jax.grad(lambda images: loss(label, model(images)))(x)
    assert expected.dtype == np.float64
    assert relative_error(loss_gradient(net, x, label), np.asarray(expected)) <= 1e-14


@pytest.mark.parametrize("gap", [5.0, 50.0, 500.0, 5000.0])
def test_a_label_that_is_all_but_certain_keeps_its_gradient(gap):
    """Two classes: (k_other - k_label) / (1 + exp(gap)), to all digits or zero, and a step that never stands still."""
    kernel = RNG(0).standard_normal((2, 6))
    x = RNG(1).random((1, 6))
    v = kernel @ x[0]
    net = Network((Dense(np.column_stack([kernel, [gap - v[0] + v[1], 0.0]])),), (6,))
    expected = (kernel[1] - kernel[0]) * np.exp(-np.logaddexp(0.0, gap))
    found = loss_gradient(net, x, [0])[0]
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()
    assert (found != 0).all() == (gap < 700)
    np.testing.assert_array_equal(fgsm(net, x, [0], 1.0).dx[0], np.sign(kernel[1] - kernel[0]))


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_a_saturated_output_keeps_its_direction(output):
    """Where 1 - f² or f (1 - f) would cancel to zero, the sign is that of Σ_k f'(v_k) (q - e_label)_k k_k."""
    kernel = RNG(0).standard_normal((3, 6))
    net = Network((Dense(np.column_stack([kernel, [45.0, 44.0, 60.0]])),), (6,), output)
    # All outputs are one, so q = 1/3; the steepest is the one least saturated.
    x = np.zeros((2, 6))
    twice = 2 if output == "tanh" else 1
    slopes = np.exp(-twice * np.array([45.0, 44.0, 60.0]))
    for label in ([0, 1], [1, 2]):
        expected = [np.sign((slopes * (1 / 3 - np.eye(3)[k])) @ kernel) for k in label]
        np.testing.assert_array_equal(fgsm(net, x, label, 1.0).dx, expected)


@both_ways
@on_any_output
@on_any_network
def test_a_step_is_that_of_the_naive_loop(name, output, targeted):
    """x ± ε sign ∇J one image at a time, with one ε for all or one for each, and what the network makes of it."""
    net, x, label, target = random_case(2, name, n=40, output_activation=output)
    target = target if targeted else None
    outcomes = set()
    for epsilon in (0.3, RNG(5).uniform(0.005, 1.0, len(x))):
        result = fgsm(net, x, label, epsilon, target=target)
        np.testing.assert_array_equal(result.epsilon, np.broadcast_to(epsilon, len(x)))
        for i, pair in enumerate(pairs(label, target)):
            dx = result.epsilon[i] * naive_step(net, x[i], *pair)
            np.testing.assert_array_equal(result.dx[i], dx)
            assert result.success[i] == naive_wins(net, x[i] + dx, *pair)
            assert result.found[i] == expand(net, x[i] + dx)[0].argmax()
            assert result.norm[i] == pytest.approx(np.sqrt(np.sum(dx**2) / np.sum(x[i] ** 2)), rel=1e-14)
        outcomes |= set(result.success.tolist())
    assert outcomes == {False, True}


@both_ways
def test_clipping_keeps_the_image_in_range_and_the_class_is_that_of_the_clipped_one(targeted):
    """Δx = clip(x + ε s) - x; the flag and the norm are those of what is left of the step."""
    net, x, label, target = random_case(3, n=200, input_range=(0, 1))
    target, epsilon = (target, 0.6) if targeted else (None, 0.3)
    free, clipped = (fgsm(net, x, label, epsilon, target=target, clip=clip) for clip in (False, True))
    np.testing.assert_array_equal(clipped.dx, np.clip(x + free.dx, 0, 1) - x)
    assert (x + clipped.dx >= 0).all()
    assert (x + clipped.dx <= 1).all()
    assert (clipped.norm < free.norm).any()
    wins = [naive_wins(net, x[i] + clipped.dx[i], *pair) for i, pair in enumerate(pairs(label, target))]
    assert clipped.success.tolist() == wins
    assert clipped.success.tolist() != free.success.tolist()


@both_ways
def test_a_ray_that_does_not_move_succeeds_only_where_x_does(targeted):
    """All ReLUs off: zero gradient, zero step, no success unless the class is already the one asked for."""
    last = np.column_stack([np.eye(3), [0.0, 0.5, 0.0]])
    net = Network((Dense(-np.eye(3), bias=False), Activation("relu"), Dense(last)), (3,))
    x = np.ones((2, 3))
    assert net.classify(x).tolist() == [1, 1]
    label, target = ([1, 0], None) if not targeted else ([1, 0], [0, 1])
    assert not loss_gradient(net, x, label).any()
    one = fgsm(net, x, label, 0.1, target=target)
    assert not one.dx.any()
    assert one.success.tolist() == [False, True]
    smallest = smallest_epsilon(net, x, label, target=target)
    assert smallest.success.tolist() == [False, True]
    np.testing.assert_array_equal(smallest.epsilon, [np.nan, 0.0])


def test_a_pixel_without_influence_is_left_alone():
    """sign 0 = 0."""
    kernel = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, -1.0]])
    result = fgsm(Network((Dense(kernel, bias=False),), (3,)), np.ones((1, 3)), [0], 0.25)
    np.testing.assert_array_equal(result.dx, [[-0.25, 0.0, -0.25]])


def test_a_black_image_has_no_relative_norm():
    """‖Δx‖/0 is infinite, and no warning is raised."""
    net = Network((Dense(np.array([[1.0, 0.0, 0.1], [0.0, 1.0, 0.0]])),), (2,))
    assert fgsm(net, np.zeros((1, 2)), [0], 0.5).norm.tolist() == [np.inf]


FINE = np.arange(1, 10_001) / 10_000


@both_ways
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("output", ["linear", "tanh"])
@on_any_network
def test_the_smallest_step_is_that_of_a_fine_loop(name, output, clip, targeted):
    """10 000 points along every ray, each an image through explicit matrices; none found where there is none."""
    net, x, label, target = random_case(4, name, n=20, output_activation=output, input_range=(0, 1))
    target = target if targeted else None
    result = smallest_epsilon(net, x, label, target=target, clip=clip)
    for i, pair in enumerate(pairs(label, target)):
        points = x[i] + FINE[:, None, None] * naive_step(net, x[i], *pair)
        points = np.clip(points, 0, 1) if clip else points
        found = fast_classes(net, points)
        wins = found != label[i] if target is None else found == target[i]
        if naive_wins(net, x[i], *pair):
            assert (result.epsilon[i], result.success[i], result.norm[i]) == (0.0, True, 0.0)
        elif wins.any():
            assert result.success[i]
            assert -1e-4 <= result.epsilon[i] - FINE[wins.argmax()] <= 1e-6
        else:
            assert not result.success[i]
            assert np.isnan([result.epsilon[i], result.norm[i]]).all()
            assert np.isnan(result.dx[i]).all()
            assert result.found[i] == net.classify(x)[i]
    assert (result.epsilon > 0).sum() >= 5


def fast_classes(net, points):
    """Classes of many points, by products of explicit matrices."""
    y = points.reshape(len(points), -1)
    for layer in net.layers:
        if isinstance(layer, Dense):
            y = y @ layer.matrix[:, : y.shape[1]].T + layer.matrix[:, y.shape[1] :].sum(axis=1)
        elif isinstance(layer, Activation):
            y = FUNCTIONS[layer.name][0](y)
    return y.argmax(axis=1)


@both_ways
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-12])
def test_the_smallest_step_succeeds_and_a_little_less_does_not(targeted, tolerance):
    """x + dx is a success of the network, x + dx less two tolerances is none: dx is ε times the direction of FGSM."""
    net, x, label, target = random_case(5, "two", n=100)
    target = target if targeted else None
    result = smallest_epsilon(net, x, label, target=target, tolerance=tolerance)
    some = np.flatnonzero(result.epsilon > 2 * tolerance)
    assert len(some) >= 20
    assert result.success[some].all()
    again = fgsm(net, x[some], label[some], result.epsilon[some], target=None if target is None else target[some])
    for name in ("dx", "success", "found", "epsilon", "norm"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name)[some])
    for i in some:
        pair = (label[i], None if target is None else target[i])
        less = x[i] + (result.epsilon[i] - 2 * tolerance) * np.sign(result.dx[i])
        assert naive_wins(net, x[i] + result.dx[i], *pair)
        assert not naive_wins(net, less, *pair)


@pytest.mark.parametrize("output", ["linear", "softmax"])
def test_one_affine_layer_with_two_classes_has_a_closed_form(output):
    """gap / ‖k_other - k_label‖₁, the l∞ distance to the hyperplane, with and without a target."""
    rng = RNG(6)
    net = random_network(rng, classes=2, input_shape=(4, 5), output_activation=output)
    x = random_images(rng, net, 50)
    label = net.classify(x)
    w = np.diff(net.weighted[0].kernel, axis=0)
    expected = np.abs(np.diff(net(x), axis=1)[:, 0]) / np.abs(w).sum()
    for target in (None, 1 - label):
        found = smallest_epsilon(net, x, label, target=target, tolerance=1e-10).epsilon
        assert (found >= expected - 1e-15).all()
        assert (found <= expected + 1e-10 + 1e-15).all()


@pytest.mark.parametrize("method", epsilon_search.METHODS)
def test_an_image_of_another_class_needs_no_step(method):
    """ε = 0, Δx = 0, whether it is misclassified or already has the target's class."""
    net, x, *_ = random_case(7, n=30)
    present = net.classify(x)
    label = (present + 1) % 4
    for target in (None, present):
        result = smallest_epsilon(net, x, label, target=target, method=method)
        assert not result.epsilon.any()
        assert not result.dx.any()
        assert not result.norm.any()
        assert result.success.all()
        assert result.found.tolist() == present.tolist()


def test_a_short_interval_of_successes_is_overlooked_by_all_methods_but_the_exact_one():
    """Only between 0.281 and 0.289 does class 1 win: steps of a tenth go over it, bisection sees that 1 fails."""
    bump = np.array([[1.0, -0.3], [1.0, -0.305], [1.0, -0.31], [1.0, 0.0]])
    last = np.array([[0.0, 0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 1.0, 1e-4, -1e-3]])
    net = Network((Dense(bump), Activation("relu"), Dense(last)), (1,))
    x = np.full((1, 1), 0.02)
    for options in ({"method": "scan", "step": 0.1}, {"method": "bisection"}):
        missed = smallest_epsilon(net, x, [0], **options)
        assert (np.isnan(missed.epsilon[0]), missed.success[0], missed.proved[0]) == (True, False, False)
    expected = 0.301 / 1.0001 - 0.02
    fine = smallest_epsilon(net, x, [0], method="scan", step=0.001)
    assert fine.epsilon[0] == pytest.approx(np.ceil(1000 * expected) / 1000, abs=1e-12)
    exact = smallest_epsilon(net, x, [0])
    assert 0.0 <= exact.epsilon[0] - expected <= 1e-6
    assert exact.proved.all()


def test_no_step_is_longer_than_the_largest():
    """What needs more is not found; what needs less is found as before."""
    net, x, label, _ = random_case(8, n=100)
    wide = smallest_epsilon(net, x, label)
    limit = np.nanmedian(wide.epsilon)
    narrow = smallest_epsilon(net, x, label, largest=limit)
    assert np.isnan(narrow.epsilon).tolist() == (~(wide.epsilon <= limit)).tolist()
    assert 20 < narrow.success.sum() < 80
    assert np.nanmax(np.abs(narrow.epsilon - wide.epsilon)) <= 1e-6


@pytest.mark.parametrize("method", epsilon_search.METHODS)
def test_no_method_tries_more_than_the_largest_step(method):
    """Two logits meet at 1.02: a scan in steps of 0.35 stops at 0.7, all find nothing up to one, and it beyond."""
    net = Network((Dense(np.array([[-1.0, 1.02], [0.0, 0.0]])),), (1,))
    x = np.zeros((1, 1))
    assert np.isnan(smallest_epsilon(net, x, [0], method=method, step=0.35).epsilon[0])
    found = smallest_epsilon(net, x, [0], method=method, step=0.35, largest=1.05).epsilon[0]
    assert found == pytest.approx(1.05 if method == "scan" else 1.02, abs=1e-6)


def test_bisection_ends_at_neighbouring_numbers():
    """A tolerance finer than floating point is met as well as can be."""
    net, x, label, _ = random_case(8, n=10)
    result = smallest_epsilon(net, x, label, method="bisection", largest=2.0, tolerance=1e-20)
    exact = smallest_epsilon(net, x, label, largest=2.0, tolerance=1e-12)
    known = result.epsilon > 0
    assert known.sum() >= 3
    assert (result.epsilon[known] >= exact.epsilon[known] - 1e-12).all()


def test_what_is_not_proved_is_said():
    """The label leads by rounding only, so that nothing can be proved before the first success."""
    wave = np.array([[5.0, -1.0], [5.0, -1.0], [1.0, 0.0]])
    last = np.array([[0.1, 0.2, 0.0, 1e-17], [0.2, 0.1, 0.0, 0.0], [0.0, 0.0, 1.0, -0.5]])
    net = Network((Dense(wave), Activation("tanh"), Dense(last)), (1,))
    x = np.array([[0.0], [0.55]])
    found = smallest_epsilon(net, x, [2, 0], target=[0, 2])
    assert found.proved.tolist() != [True, True]


def test_bisection_finds_something_where_the_largest_step_succeeds():
    """And nothing elsewhere, unless no step is needed; what it finds is never before the exact ε_min."""
    net, x, label, target = random_case(8, n=100)
    result = smallest_epsilon(net, x, label, target=target, method="bisection", largest=0.4)
    exact = smallest_epsilon(net, x, label, target=target, largest=0.4).epsilon
    assert (result.epsilon[result.success] >= exact[result.success] - 1e-6).all()
    ends = fgsm(net, x, label, 0.4, target=target).success | (net.classify(x) == target)
    assert result.success.tolist() == ends.tolist()
    assert 20 < ends.sum() < 80
    assert (result.epsilon[ends] < 0.4).all()


@both_ways
@on_any_network
def test_a_network_run_in_full_gives_the_same_steps(name, targeted, monkeypatch):
    """Adding up the first affine maps instead of the images is a shortcut, not another method."""
    net, x, label, target = random_case(9, name, n=50)
    target = target if targeted else None
    calls = []
    for kind in (Dense, Flatten, Activation):
        monkeypatch.setattr(kind, "forward", lambda self, y, of=kind.forward: calls.append(self) or of(self, y))
    short = smallest_epsilon(net, x, label, target=target)
    runs_of_the_first = sum(call is net.weighted[0] for call in calls)
    head = len(net.weighted) > 1  # the last layer is never part of it
    assert runs_of_the_first <= 6 or not head
    monkeypatch.setattr(ray_segments, "takewhile", lambda *_: [])
    full = smallest_epsilon(net, x, label, target=target)
    assert sum(call is net.weighted[0] for call in calls) >= runs_of_the_first + 15 * head
    np.testing.assert_allclose(short.epsilon, full.epsilon, rtol=0, atol=1e-6)
    assert (short.epsilon > 0).sum() >= 5


@pytest.mark.parametrize("pool", [AveragePool, MaxPool])
def test_a_network_with_windows_has_the_smallest_steps_too(pool):
    """Convolution and pooling at the head: the gradient is the slope of the loss, ε the first of 2 000 successes."""
    rng = RNG(11)
    layers = [Convolution(rng.standard_normal((3, 9)), 2, bias=True), pool(2), Activation("tanh"), Flatten()]
    net = Network((*layers, Dense(rng.standard_normal((4, 12)), bias=False)), (5, 5, 2))
    x = random_images(rng, net, 30)
    label = net.classify(x)
    found, way, h = loss_gradient(net, x, label), rng.standard_normal(x.shape), 1e-6
    ahead, behind = (-np.log(net_softmax(net, x + h * s * way)[np.arange(30), label]) for s in (1, -1))
    assert np.abs(np.sum(found * way, axis=(1, 2, 3)) - (ahead - behind) / (2 * h)).max() <= 1e-8
    result = smallest_epsilon(net, x, label)
    grid = np.arange(1, 2001) / 2000
    for i in range(30):
        points = x[i] + grid[:, None, None, None] * np.sign(found[i])
        wins = net.classify(points) != label[i]
        assert result.success[i] == wins.any()
        if wins.any():
            assert -1 / 2000 <= result.epsilon[i] - grid[wins.argmax()] <= 1e-6
    assert result.success.sum() >= 20


def net_softmax(net, x):
    powers = np.exp(net(x))
    return powers / powers.sum(axis=1, keepdims=True)


def test_every_output_has_its_loss():
    """What a network may end in is known here."""
    assert sorted(loss.OUTPUTS) == sorted(OUTPUTS) == sorted(OUTPUT_ACTIVATIONS)


@pytest.mark.parametrize("clip", [False, True])
@both_ways
def test_a_batch_larger_than_a_block_equals_one_block(targeted, clip, monkeypatch):
    """Blocks of three give what a single block gives, in the same order."""
    net, x, label, target = random_case(10, n=10, input_range=(0, 1))
    options = {"target": target if targeted else None, "clip": clip}
    epsilon = np.linspace(0.1, 1.0, 10)

    def everything():
        gradient = loss_gradient(net, x, label)
        return gradient, fgsm(net, x, label, epsilon, **options), smallest_epsilon(net, x, label, **options)

    whole = everything()
    monkeypatch.setattr(common, "block_size", lambda *_, **__: 3)
    parts = everything()
    assert relative_error(parts[0], whole[0]) <= 1e-14
    for found, expected in zip(parts[1:], whole[1:], strict=True):
        for name in ("success", "found"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        for name in ("dx", "epsilon", "norm"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-14)


def test_an_empty_batch_has_an_empty_result():
    """No images need no attack."""
    net = random_network(RNG(0), [(5, "tanh")])
    x, none = np.zeros((0, 2, 3)), np.zeros(0, int)
    assert loss_gradient(net, x, none).shape == (0, 2, 3)
    for target in (None, none):
        for result in (fgsm(net, x, none, 0.1, target=target), smallest_epsilon(net, x, none, target=target)):
            assert result.dx.shape == (0, 2, 3)
            for name in ("success", "found", "epsilon", "norm"):
                assert getattr(result, name).shape == (0,)


BOTH = [fgsm, smallest_epsilon]
CLASSES = [
    ({"label": [0, 3]}, ValueError, "label: expected classes from 0 to 2, received 0 to 3"),
    ({"label": [-1, 0]}, ValueError, "label: expected classes from 0 to 2, received -1 to 0"),
    ({"label": [0.0, 1.0]}, TypeError, "label: expected integers, received float64"),
    ({"label": 0}, ValueError, r"label: expected shape \(2,\), one class an image, received \(\)"),
    ({"x": np.zeros(3)}, ValueError, r"x: expected a batch of shape \(n, 3,\), received \(3,\)"),
    ({"x": np.full((2, 3), 255)}, ValueError, "x: expected pixels between 0 and 1, received .* 255 to 255"),
    ({"x": np.full((2, 3), np.nan)}, ValueError, "x: expected finite pixels, received NaN or Inf in image 0"),
]
TARGETS = [
    ({"target": [2, 3]}, ValueError, "target: expected classes from 0 to 2, received 2 to 3"),
    ({"target": [True, False]}, TypeError, "target: expected integers, received bool"),
    ({"target": [[1], [2]]}, ValueError, r"target: expected shape \(2,\), .* received \(2, 1\)"),
]


@pytest.mark.parametrize(
    ("function", "change", "error", "message"),
    [
        *((function, *row) for function in [loss_gradient, *BOTH] for row in CLASSES),
        *((function, *row) for function in BOTH for row in TARGETS),
        (fgsm, {"epsilon": 0.0}, ValueError, "epsilon: expected positive numbers, received 0.0"),
        (fgsm, {"epsilon": [0.1, -1.0]}, ValueError, "epsilon: expected positive numbers, received -1.0"),
        (fgsm, {"epsilon": np.nan}, ValueError, "epsilon: expected positive numbers, received nan"),
        (fgsm, {"epsilon": np.inf}, ValueError, "epsilon: expected positive numbers, received inf"),
        (fgsm, {"epsilon": [0.1] * 3}, ValueError, r"epsilon: expected .* shape \(2,\), received shape \(3,\)"),
        (smallest_epsilon, {"largest": 0.0}, ValueError, "largest: expected a positive number, received 0.0"),
        (smallest_epsilon, {"largest": np.inf}, ValueError, "largest: expected a positive number, received inf"),
        (smallest_epsilon, {"tolerance": -1e-6}, ValueError, "tolerance: expected a positive number, received -1e-06"),
        (smallest_epsilon, {"step": 0}, ValueError, "step: expected a positive number, received 0"),
        (
            smallest_epsilon,
            {"step": 2.0, "method": "scan"},
            ValueError,
            "step: expected at most the largest step tried, 1, received 2",
        ),
        (smallest_epsilon, {"method": "grid"}, ValueError, "method: expected one of"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_before_any_work(function, change, error, message, monkeypatch):
    """One error that names the argument, what was expected and what came, before anything is computed."""
    net = Network((Dense(np.eye(3), bias=False),), (3,), input_range=(0, 1))
    call = {"x": np.eye(3)[[0, 1]], "label": [0, 1]} | ({"epsilon": 0.1} if function is fgsm else {})
    function(net, **call)
    monkeypatch.setattr(Network, "__call__", lambda *_: pytest.fail("work was done"))
    with pytest.raises(error, match=message):
        function(net, **(call | change))


@pytest.mark.parametrize("function", BOTH)
def test_clipping_needs_a_range(function):
    """One ValueError that says so."""
    net = Network((Flatten(), Dense(np.eye(3), bias=False)), (1, 3))
    call = {"x": np.eye(3)[:, None], "label": [0, 1, 2]} | ({"epsilon": 0.1} if function is fgsm else {})
    function(net, **call)
    with pytest.raises(ValueError, match=r"clip: expected a network with an input_range .* received one without"):
        function(net, clip=True, **call)


def naive_iteration(net, image, label, target, epsilon, step, steps, clip):
    """Steps along the sign one image at a time, each brought back, until one succeeds."""
    dx = np.zeros_like(image)
    for _ in range(steps):
        if naive_wins(net, image + dx, label, target):
            break
        dx = np.clip(dx + step * naive_step(net, image + dx, label, target), -epsilon, epsilon)
        dx = np.clip(image + dx, 0, 1) - image if clip else dx
    return dx


@both_ways
@pytest.mark.parametrize("clip", [False, True])
@on_any_network
def test_iterated_steps_are_those_of_the_naive_loop(name, clip, targeted):
    """Step, bring back into the box, stop at the first success; and what the network makes of the end."""
    net, x, label, target = random_case(12, name, n=30, input_range=(0, 1))
    target = target if targeted else None
    result = pgd(net, x, label, 0.15, target=target, steps=7, step=0.06, clip=clip)
    for i, pair in enumerate(pairs(label, target)):
        dx = naive_iteration(net, x[i], *pair, 0.15, 0.06, 7, clip)
        assert np.abs(result.dx[i] - dx).max() <= 1e-15
        assert result.success[i] == naive_wins(net, x[i] + dx, *pair)
    assert set(result.success.tolist()) == {False, True}


def test_an_image_that_does_not_stop_goes_on_to_raise_the_loss():
    """All steps are made, fooled or not, and the loss is larger in the end than at the first success."""
    net, x, label, _ = random_case(12, "two", n=30, input_range=(0, 1))
    early, late = (pgd(net, x, label, 0.2, steps=7, step=0.06, clip=True, stop=stop) for stop in (True, False))
    for i, image in enumerate(x):
        dx = np.zeros_like(image)
        for _ in range(7):
            dx = np.clip(dx + 0.06 * naive_step(net, image + dx, label[i]), -0.2, 0.2)
            dx = np.clip(image + dx, 0, 1) - image
        assert np.abs(late.dx[i] - dx).max() <= 1e-15
    some = early.success
    losses = [
        naive_loss(net, x[i] + late.dx[i], label[i]) - naive_loss(net, x[i] + early.dx[i], label[i])
        for i in np.flatnonzero(some)
    ]
    assert np.mean(np.array(losses) > 0) > 0.9


@both_ways
def test_one_step_of_full_length_is_fgsm(targeted):
    """Except that an image of the wanted class stays where it is."""
    net, x, label, target = random_case(13, n=60, input_range=(0, 1))
    target = target if targeted else None
    once = pgd(net, x, label, 0.2, target=target, steps=1, step=0.2, clip=True)
    fast = fgsm(net, x, label, 0.2, target=target, clip=True)
    wanted = net.classify(x) != label if target is None else net.classify(x) == target
    np.testing.assert_allclose(once.dx[~wanted], fast.dx[~wanted], atol=1e-15)
    assert not once.dx[wanted].any()
    assert 0 < wanted.sum() < 60


def test_a_random_start_lies_in_the_box_and_follows_the_seed():
    """Without a gradient the start is all there is: uniform, repeatable, clipped, the same in blocks."""
    flat = Network((Dense(-np.eye(3), bias=False), Activation("relu"), Dense(np.zeros((3, 4)))), (3,), "linear", (0, 1))
    x = RNG(7).random((4000, 3))
    label = np.zeros(4000, int)
    dx, again, other = (pgd(flat, x, label, 0.25, random_start=True, seed=seed, clip=True).dx for seed in (0, 0, 1))
    np.testing.assert_array_equal(dx, again)
    assert (dx != other).any()
    assert (np.abs(dx) <= 0.25).all()
    assert ((x + dx >= 0) & (x + dx <= 1)).all()
    free = np.abs(x - 0.5) < 0.25
    assert np.abs(dx[free].mean()) <= 0.25 / np.sqrt(3 * free.sum()) * 4
    assert np.abs(dx[free]).max() >= 0.249


@both_ways
@pytest.mark.parametrize("clip", [False, True])
def test_the_smallest_box_is_never_larger_than_the_smallest_step(targeted, clip):
    """It succeeds, keeps every pixel within ε, and is NaN only where the largest box fails too."""
    net, x, label, target = random_case(14, "three", n=200, input_range=(0, 1))
    target = target if targeted else None
    single = smallest_epsilon(net, x, label, target=target, clip=clip, largest=0.6)
    result = smallest_pgd(net, x, label, target=target, clip=clip, largest=0.6, tolerance=1e-4)
    known = ~np.isnan(result.epsilon)
    assert (result.epsilon[known] <= np.nan_to_num(single.epsilon[known], nan=0.6)).all()
    assert (result.epsilon[known] < single.epsilon[known] - 0.01).sum() >= 3
    assert np.isnan(single.epsilon)[known].any() == targeted
    np.testing.assert_array_equal(result.success, known)
    assert (result.linf[known] <= result.epsilon[known] + 1e-15).all()
    assert (result.epsilon[net.classify(x) != label] == 0).all() or targeted
    none = np.flatnonzero(~known)
    options = {"target": target if target is None else target[none], "steps": 10, "clip": clip}
    assert not pgd(net, x[none], label[none], 0.6, **options).success.any()
    assert np.isnan(result.dx[none]).all()


def test_the_smallest_box_of_two_affine_classes_is_that_of_one_step():
    """Nothing to gain there from more steps."""
    net = random_network(RNG(6), classes=2, input_shape=(4, 5))
    x = random_images(RNG(6), net, 50)
    label = net.classify(x)
    exact = np.abs(np.diff(net(x), axis=1)[:, 0]) / np.abs(np.diff(net.weighted[0].kernel, axis=0)).sum()
    found = smallest_pgd(net, x, label, tolerance=1e-4).epsilon
    assert (found >= exact - 1e-15).all()
    assert (found <= exact + 1e-6).all()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": -0.1}, "epsilon"),
        ({"epsilon": np.inf}, "epsilon"),
        ({"epsilon": [0.1, 0.2]}, "epsilon"),
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"step": 0.0}, "step"),
        ({"step": np.nan}, "step"),
        ({"clip": True}, "clip"),
    ],
)
def test_impossible_boxes_are_refused(options, name):
    """Named, before anything is computed."""
    net, x, label, _ = random_case(0)
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        pgd(net, x, label, **({"epsilon": 0.1} | options))


@pytest.mark.parametrize(
    ("options", "name"), [({"steps": 0}, "steps"), ({"largest": 0.0}, "largest"), ({"tolerance": -1.0}, "tolerance")]
)
def test_impossible_searches_for_a_box_are_refused(options, name):
    """Named, before anything is computed."""
    net, x, label, _ = random_case(0)
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        smallest_pgd(net, x, label, **options)


def test_the_three_norms_of_a_change_are_those_of_its_pixels():
    """Pixels changed, Euclidean length, largest pixel, relative length; NaN where there is no change to offer."""
    x = np.array([[[0.0, 2.0]], [[0.0, 0.0]], [[1.0, 1.0]]])
    dx = np.array([[[0.0, -3.0]], [[0.0, 0.0]], [[np.nan, np.nan]]])
    result = common.InputAttackResult(x, dx, np.array([True] * 3), np.zeros(3, int))
    np.testing.assert_array_equal(result.l0, [1, 0, np.nan])
    np.testing.assert_array_equal(result.l2, [3, 0, np.nan])
    np.testing.assert_array_equal(result.linf, [3, 0, np.nan])
    np.testing.assert_array_equal(result.norm, [1.5, 0, np.nan])


def test_what_cannot_be_halved_further_ends_the_search():
    """A tolerance finer than floating point, a largest step below the default step of a scan."""
    net = Network((Dense(np.array([[1.0, 0.0], [-1.0, 0.5]])),), (1,), "linear", (0, 1))
    x = np.array([[0.6]])
    found = smallest_pgd(net, x, [0], tolerance=1e-18)
    assert found.epsilon[0] == pytest.approx(0.35, abs=1e-12)
    assert np.isnan(smallest_epsilon(net, x, [0], largest=5e-4).epsilon[0])
    assert np.isnan(smallest_pgd(net, x, [0], largest=5e-4).epsilon[0])


def test_nothing_found_is_no_success_even_at_a_tie():
    """Two equal logits, of which argmax gives the first: no step makes the target lead."""
    net = Network((Dense(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, -9.0]])),), (1,))
    found = smallest_epsilon(net, np.array([[0.5]]), [1], target=[0])
    assert np.isnan(found.dx).all()
    assert not found.success.any()


@pytest.mark.parametrize("value", [[1e-3, 1e-3], True, 1j, "a", None, np.nan])
def test_a_single_positive_number_is_one(value):
    """Arrays, truth values, complex numbers and text are refused by name."""
    with pytest.raises(ValueError, match=r"^tolerance: expected a positive number, received"):
        checks.check_positive("tolerance", value)


def test_labels_of_any_integer_type_are_indices():
    """Unsigned ones too, which NumPy would turn into floats in a sum."""
    net, x, label, target = random_case(0)
    for kind in (np.uint8, np.uint64, np.int16):
        found = pgd(net, x, label.astype(kind), 0.1, target=target.astype(kind))
        np.testing.assert_array_equal(found.dx, pgd(net, x, label, 0.1, target=target).dx)
        assert net.check_classes(label.astype(kind), len(x), "label").dtype == np.intp


def test_every_attack_with_a_range_ends_in_it_to_the_bit():
    """Of a range whose ends binary numbers cannot write, thousands of pixels at both ends."""
    from bea.attacks import quantised
    from bea.attacks.affine import worst_change
    from bea.attacks.by_backward_error import backward_error_attack
    from bea.attacks.carlini import carlini_wagner
    from bea.attacks.lbfgs import lbfgs_attack
    from bea.attacks.mixed_integer import fewest_pixels
    from bea.attacks.saliency import saliency_attack
    from bea.networks.quantiser import Quantise

    low, high = -0.7, 0.3
    rng = RNG(20)
    net = Network((Dense(rng.standard_normal((3, 201))),), (200,), "linear", (low, high))
    x = rng.uniform(low, high, (30, 200))
    label = net.classify(x)
    target = (label + 1) % 3
    coarse = Network((Quantise(2, low, high), *net.layers), (200,), "linear", (low, high))
    made = {
        "fgsm": fgsm(net, x, label, 0.9, clip=True),
        "pgd": pgd(net, x, label, 0.9, clip=True, stop=False, steps=5),
        "random": pgd(net, x, label, 0.9, clip=True, random_start=True, stop=False, steps=1),
        "smallest": smallest_pgd(net, x, label, target=target, clip=True),
        "worst": worst_change(net, x, label, 0.9, clip=True),
        "difference": quantised.difference_step(coarse, x, label, 0.9, directions=3),
        "factor": quantised.smallest_factor(coarse, x, label, rng.standard_normal(x.shape)),
        "carlini": carlini_wagner(net, x, label, target=target, clip=True, margin=30.0, steps=20),
        "lbfgs": lbfgs_attack(net, x, label, target=target, clip=True, margin=8.0),
        "backward": backward_error_attack(net, x, label, target=target, clip=True, margin=30.0),
        "saliency": saliency_attack(net, x, label, target=target, margin=30.0),
        "fewest": fewest_pixels(net, x, label, target=target, margin=5.0),
    }
    for name, found in made.items():
        ends = (x + found.dx)[~np.isnan(found.dx)]
        assert ends.size > 1000, name
        assert ends.min() >= low, name
        assert ends.max() <= high, name
        assert (ends == high).any() or name in ("smallest", "factor", "fewest"), name
