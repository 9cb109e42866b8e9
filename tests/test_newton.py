"""Hessian and Newton attack: products against matrices, differences, JAX; minima against SciPy and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, minimize

from bea import Activation, Dense, Flatten, Network, RadialBasis
from bea.attacks import common, newton
from bea.attacks.hessian import hessian_product
from bea.attacks.loss import loss_gradient
from bea.attacks.newton import newton_attack
from bea.networks import leads, row_space
from bea.networks.layers import Layer
from bea.networks.windows import AveragePool, MaxPool
from keras_support import CONVOLUTIONAL, build
from lab import keras_models, training
from oracles import (
    FUNCTIONS,
    HIDDEN,
    KINKED_IMAGES,
    SMOOTH_IMAGES,
    image_network,
    naive_gradient,
    naive_loss,
    radial_network,
    random_case,
    random_convolution,
    random_images,
    random_network,
    relative_error,
)

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
RNG = np.random.default_rng
OUTPUTS = ["linear", "softmax", "sigmoid", "tanh"]
both_ways = pytest.mark.parametrize("targeted", [False, True])

LAYERS = {
    "dense": (Dense(RNG(4).standard_normal((4, 7))), (6,)),
    "dense without bias": (Dense(RNG(4).standard_normal((4, 6)), bias=False), (6,)),
    "convolution": (random_convolution(RNG(4), 4, 2, (2, 3), (1, 2), 1), (4, 5, 2)),
    "flatten": (Flatten(), (2, 3, 2)),
    "average": (AveragePool(3, 2), (5, 5, 2)),
    "maximum": (MaxPool(3, 2), (5, 5, 2)),
    "radial": (RadialBasis(RNG(4).standard_normal((5, 6)), RNG(5).uniform(0.05, 0.3, 5)), (6,)),
    **{name: (Activation(name), (3, 2)) for name in ("linear", "relu", "sigmoid", "tanh")},
    **{f"smooth relu {a}": (Activation("smooth_relu", a), (3, 2)) for a in (0.1, 1.0, 7.0)},
}
on_any_layer = pytest.mark.parametrize("name", LAYERS)
NETWORKS = [*HIDDEN, *SMOOTH_IMAGES, *KINKED_IMAGES, "radial"]


def network(name, seed=3, **options):
    """Return one of the small networks."""
    if name == "radial":
        return radial_network(seed, **options)
    if name in HIDDEN:
        return random_network(RNG(seed), HIDDEN[name], **options)
    return replace(image_network(name, seed), **options)


def at_layer(name, n=5):
    """A layer, inputs, a tangent, rows, and the output."""
    layer, shape = LAYERS[name]
    y, dy = RNG(1).standard_normal((2, n, *shape))
    output = layer.forward(y)
    return layer, y, dy, RNG(2).standard_normal((n, 3, *output.shape[1:])), output


@on_any_layer
def test_tangents_are_pushed_by_the_jacobian_that_rows_are_pulled_by(name):
    """⟨row, F' dy⟩ = ⟨F'ᵀ row, dy⟩ for three rows a sample, also where a maximum has ties."""
    layer, inputs, dy, rows, _ = at_layer(name)
    for y in (inputs, np.round(inputs)):
        output = layer.forward(y)
        pushed = layer.push_forward(dy, y, output)
        assert pushed.shape == output.shape
        ahead = np.einsum("nki,ni->nk", rows.reshape(5, 3, -1), pushed.reshape(5, -1))
        back = np.einsum("nki,ni->nk", layer.pull_back(rows, y, output).reshape(5, 3, -1), dy.reshape(5, -1))
        assert relative_error(ahead, back) <= 2e-15


@on_any_layer
def test_what_bends_is_the_slope_of_what_is_pulled_back(name):
    """Central differences of ``pull_back(rows)`` along dy, and of the output for ``push_forward``."""
    layer, y, dy, rows, output = at_layer(name)
    h = 1e-5
    ends = [y + h * dy, y - h * dy]
    after, before = (layer.forward(end) for end in ends)
    assert relative_error(layer.push_forward(dy, y, output), (after - before) / (2 * h)) <= 1e-9
    after, before = (layer.pull_back(rows, end, layer.forward(end)) for end in ends)
    found, slope = layer.bend(rows, dy, y, output), (after - before) / (2 * h)
    if name in ("radial", "sigmoid", "tanh") or name.startswith("smooth"):
        assert relative_error(found, slope) <= 1e-8
    else:
        np.testing.assert_array_equal(found, 0.0)
        assert np.abs(slope).max() <= 1e-10


def test_the_bend_of_smooth_relu_does_not_overflow():
    """a²/2|v|³ far out, to the last digits or zero, and 1/2a at zero."""
    layer, v = Activation("smooth_relu", 0.1), np.array([[0.0, -1e4, 1e4, 1e90, -1e150]])
    found = layer.bend(np.ones((1, 1, 5)), np.ones((1, 5)), v, layer.forward(v))[0, 0]
    np.testing.assert_allclose(found, [5.0, 0.005e-12, 0.005e-12, 0.005e-270, 0.0], rtol=2e-10)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_products_of_the_hessian_are_the_slopes_of_the_gradient(name, output):
    """Central differences of ``loss_gradient`` along random directions, for networks of every kind of layer."""
    net = network(name, output_activation=output)
    x, v, h = random_images(RNG(1), net, 8), RNG(2).standard_normal((8, *net.input_shape)), 2e-6
    label = np.arange(8) % net.classes
    slope = (loss_gradient(net, x + h * v, label) - loss_gradient(net, x - h * v, label)) / (2 * h)
    found = hessian_product(net, x, label, v)
    assert found.shape == x.shape
    assert np.abs(found).max() >= 1e-3
    assert relative_error(found, slope) <= 1e-8


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_the_hessian_of_one_hidden_layer_is_the_product_of_its_matrices(activation):
    """W₁ᵀ (D W₂ᵀ (diag q - q qᵀ) W₂ D + diag(f'' ∘ W₂ᵀ (q - e))) W₁, column by column."""
    layer = Activation(activation, 0.1 if activation == "smooth_relu" else None)
    net = random_network(RNG(0), [(5, layer)], input_shape=(6,))
    W1, W2 = (layer.kernel for layer in net.weighted)
    x = random_images(RNG(1), net, 4)
    for image in x:
        v = net.weighted[0].matrix @ np.append(image, 1.0)
        function, slope = FUNCTIONS[activation]
        logits = net.weighted[1].matrix @ np.append(function(v), 1.0)
        q, h = np.exp(logits) / np.exp(logits).sum(), 1e-4
        second = (slope(v + h) - slope(v - h)) / (2 * h)
        for label in range(4):
            inner = np.diag(slope(v)) @ W2.T @ (np.diag(q) - np.outer(q, q)) @ W2 @ np.diag(slope(v))
            inner += np.diag(second * (W2.T @ (q - np.eye(4)[label])))
            found = hessian_product(net, np.tile(image, (6, 1)), np.full(6, label), np.eye(6))
            assert relative_error(found, W1.T @ inner @ W1) <= 1e-6


def keras_hessian_product(model, output, x, label, v):
    """The directional derivative of the gradient of the Keras loss, by JAX."""
    keras, jax = training.keras, pytest.importorskip("jax")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=output != "softmax", reduction="sum")
    gradient = jax.grad(lambda images: loss(label, model(images)))
    product = jax.jvp(gradient, (jax.numpy.asarray(x),), (jax.numpy.asarray(v),))[1]
    assert product.dtype == np.float64
    return np.asarray(product)


@pytest.mark.parametrize("output", OUTPUTS)
def test_products_agree_with_automatic_differentiation_of_the_keras_loss(output, double):
    """`jax.jvp` of `jax.grad` of the loss that `training.train` minimises, in float64."""
    model = keras_models.dense_classifier([7, 5, 4], ["tanh", "sigmoid", output], (2, 3), seed=3)
    model.set_weights([RNG(i).standard_normal(array.shape) for i, array in enumerate(model.get_weights())])
    net, x, v = Network.from_keras(model), RNG(9).random((6, 2, 3)), RNG(8).standard_normal((6, 2, 3))
    label = np.arange(6) % 4
    expected = keras_hessian_product(model, output, x, label, v)
    assert relative_error(hessian_product(net, x, label, v), expected) <= 1e-14


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_products_agree_with_automatic_differentiation(name, double):
    """Convolutions with strides and padding, and pools that overlap."""
    model = build(name)
    x, v = RNG(2).random((5, 9, 8, 2)), RNG(3).standard_normal((5, 9, 8, 2))
    label = np.arange(5) % 4
    expected = keras_hessian_product(model, "linear", x, label, v)
    assert relative_error(hessian_product(Network.from_keras(model), x, label, v), expected) <= 1e-14


def test_radial_products_agree_with_automatic_differentiation(double):
    """Bumps, whose layer depends on its input in two ways."""
    model = keras_models.rbf_classifier(RNG(0).random((5, 2, 3)), 0.7, 4, (2, 3))
    model.layers[-1].set_weights([3 * RNG(1).standard_normal((5, 4)), RNG(2).standard_normal(4)])
    x, v = RNG(3).random((6, 2, 3)), RNG(4).standard_normal((6, 2, 3))
    label = np.arange(6) % 4
    expected = keras_hessian_product(model, "linear", x, label, v)
    assert relative_error(hessian_product(Network.from_keras(model), x, label, v), expected) <= 1e-14


@pytest.mark.parametrize("name", NETWORKS)
def test_the_hessian_is_symmetric(name):
    """v·H w = w·H v."""
    net = network(name)
    x, label = random_images(RNG(1), net, 8), np.arange(8) % net.classes
    v, w = RNG(2).standard_normal((2, *x.shape))
    one, other = (
        np.sum(a * hessian_product(net, x, label, b), axis=tuple(range(1, x.ndim))) for a, b in ((v, w), (w, v))
    )
    assert relative_error(one, other) <= 1e-14


@pytest.mark.parametrize("gap", [5.0, 50.0, 500.0])
def test_a_label_that_is_all_but_certain_keeps_its_curvature(gap):
    """Two classes: q (1 - q) w wᵀ, where 1 - q is far below the rounding of q."""
    kernel, x, v = RNG(0).standard_normal((2, 6)), RNG(1).random((1, 6)), RNG(2).standard_normal((1, 6))
    lead = (kernel[0] - kernel[1]) @ x[0]
    net = Network((Dense(np.column_stack([kernel, [gap - lead, 0.0]])),), (6,))
    w = kernel[1] - kernel[0]
    expected = np.exp(-gap) / (1 + np.exp(-gap)) ** 2 * (w @ v[0]) * w
    np.testing.assert_allclose(hessian_product(net, x, [0], v)[0], expected, rtol=2e-13 * gap)


def objective(net, image, aim, factor):
    """φ(Δx) and its gradient, for one image, with explicit matrices."""

    def function(dx):
        point = image + dx.reshape(image.shape)
        slope = 2 * dx + factor * naive_gradient(net, point, aim).ravel()
        return dx @ dx + factor * naive_loss(net, point, aim), slope

    return function


@pytest.mark.parametrize("method", newton.METHODS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", ["one", "two", "three-linear"])
def test_minima_are_those_of_bfgs(name, output, method):
    """With a target and a weight for which φ is convex near: the same Δx and value as SciPy's on explicit matrices."""
    net, x, label, target = random_case(0, name, output_activation=output)
    found = newton.minimise(net, x, label, 3.0, target=target, method=method, steps=1000, tolerance=1e-6)
    assert found.converged.all()
    for i, image in enumerate(x):
        function = objective(net, image, target[i], 3.0)
        best = minimize(function, np.zeros(image.size), jac=True, method="BFGS", options={"gtol": 1e-9})
        assert np.abs(found.dx[i].ravel() - best.x).max() <= 2e-6
        assert abs(found.value[i] - best.fun) <= 1e-11
        last = found.gradient_norms[i, found.iterations[i]]
        assert last == pytest.approx(np.linalg.norm(function(found.dx[i].ravel())[1]), abs=1e-13)


@both_ways
def test_every_minimum_is_one(targeted):
    """Without a gradient, by explicit matrices, and with no direction of negative curvature."""
    net, x, label, target = random_case(3, "three-linear", n=30)
    weight = RNG(1).uniform(0.5, 20.0, 30)
    found = newton.minimise(net, x, label, weight, target=target if targeted else None)
    assert found.converged.all()
    for i in range(30):
        aim, factor = (target[i], weight[i]) if targeted else (label[i], -weight[i])
        _, slope = objective(net, x[i], aim, factor)(found.dx[i].ravel())
        assert np.linalg.norm(slope) <= 5e-8 * np.linalg.norm(found.dx[i]) + 1e-13
        point = np.tile(x[i] + found.dx[i], (6, 1, 1))
        hessian = hessian_product(net, point, np.full(6, aim), np.eye(6).reshape(6, 2, 3)).reshape(6, 6)
        assert np.linalg.eigvalsh(2 * np.eye(6) + factor * hessian).min() > 0


def test_negative_curvature_does_not_stop_the_search():
    """Away from the label φ is a saddle at the start for most of these, and every step goes down all the same."""
    net, x, label, _ = random_case(5, "two", n=40)
    label, weight = net.classify(x), 100.0
    images, units = np.repeat(x, 6, axis=0), np.tile(np.eye(6).reshape(6, 2, 3), (40, 1, 1))
    hessians = hessian_product(net, images, np.repeat(label, 6), units).reshape(40, 6, 6)
    saddles = np.linalg.eigvalsh(2 * np.eye(6) - weight * hessians)[:, 0] < 0
    assert saddles.sum() >= 20
    values = np.array([newton.minimise(net, x, label, weight, steps=steps).value for steps in (1, 2, 3, 5, 10, 100)])
    assert (np.diff(values, axis=0) <= 1e-10).all()
    assert newton.minimise(net, x, label, weight).converged.all()


def test_the_end_of_the_search_is_quadratic():
    """The residual of a step is about the square of the one before: an order of 2, at least 1.7 for each image."""
    net, x, label, target = random_case(3, "three-linear", n=60)
    found = newton.minimise(net, x, label, 10.0, target=target, tolerance=1e-13, steps=30)
    orders = []
    for norms in found.gradient_norms:
        norms = norms[(norms < 0.3) & (norms > 1e-13)]
        if len(norms) >= 3:
            logs = np.log(norms[-3:])
            orders.append((logs[2] - logs[1]) / (logs[1] - logs[0]))
    assert len(orders) >= 30
    assert min(orders) >= 1.7
    assert 1.8 <= np.median(orders) <= 2.6
    slow = newton.minimise(net, x, label, 10.0, target=target, tolerance=1e-6, method="gradient", steps=500)
    assert slow.converged.all()
    assert not slow.products.any()
    assert np.median(slow.iterations) >= 2 * np.median(found.iterations)


def two_classes(seed=6, n=20, **options):
    """One affine layer, images, their classes, and w = k_target - k_label with the gap to close."""
    net = random_network(RNG(seed), classes=2, input_shape=(4, 5), **options)
    x = random_images(RNG(seed + 1), net, n)
    label = net.classify(x)
    w = np.diff(net.weighted[0].kernel, axis=0) * np.where(label == 0, 1.0, -1.0)[:, None]
    return net, x, label, w, np.abs(np.diff(net(x), axis=1)[:, 0])


@pytest.mark.parametrize("weight", [1e-3, 1.0, 1e3, 1e6])
def test_one_affine_layer_with_two_classes_has_a_closed_form(weight):
    """Δx = t w with 2 t = weight / (1 + exp(t ‖w‖² - gap)), one root of one unknown."""
    net, x, label, w, gap = two_classes()
    found = newton.minimise(net, x, label, weight, target=1 - label)
    assert found.converged.all()
    for i in range(len(x)):

        def slope(t, square=w[i] @ w[i], gap=gap[i]):
            return 2 * t - weight * np.exp(-np.logaddexp(0.0, t * square - gap))

        t = brentq(slope, 0, weight, xtol=1e-15)
        assert np.abs(found.dx[i].ravel() - t * w[i]).max() <= 1e-8 * max(1.0, t)
        assert found.products[i] <= 2 * found.iterations[i]  # the Hessian has rank one


def test_the_smallest_weight_takes_two_classes_to_the_hyperplane():
    """‖Δx‖ = (gap + margin)/‖w‖, to the accuracy of the halvings; the weight has a closed form too."""
    net, x, label, w, gap = two_classes()
    found = newton_attack(net, x, label, target=1 - label, margin=1e-2, halvings=45)
    lengths = np.linalg.norm(w, axis=1)
    assert found.success.all()
    np.testing.assert_allclose(found.l2, (gap + 1e-2) / lengths, rtol=2e-8)
    np.testing.assert_allclose(found.weight, 2 * (gap + 1e-2) / lengths**2 * (1 + np.exp(1e-2)), rtol=1e-7)


@both_ways
@pytest.mark.parametrize("name", ["one", "two", "three-linear"])
def test_an_attack_succeeds_and_sits_at_a_minimum(name, targeted):
    """The network gives the class, by the margin; ∇φ vanishes for the weight that is said to have led there."""
    net, x, label, target = random_case(2, name, n=60)
    found = newton_attack(net, x, label, target=target if targeted else None, margin=0.05)
    assert found.success.mean() >= 0.9
    moved = found.success & (found.weight > 0)
    assert 20 <= moved.sum() < 60
    logits = net(x + found.dx)
    gaps = leads.lead(logits, target if targeted else label)
    assert ((gaps if targeted else -gaps)[moved] >= 0.05 - 1e-12).all()
    for i in np.flatnonzero(moved):
        aim, factor = (target[i], found.weight[i]) if targeted else (label[i], -found.weight[i])
        _, slope = objective(net, x[i], aim, factor)(found.dx[i].ravel())
        assert found.gradient_norm[i] == pytest.approx(np.linalg.norm(slope), abs=1e-11 * max(1.0, found.weight[i]))
        assert found.gradient_norm[i] <= 5e-8 * found.l2[i] + 1e-12
    assert (found.products >= found.iterations).all()


def test_the_weight_is_the_smallest_that_succeeds():
    """A tenth less gives no success, with one affine layer, where the target's lead rises with the weight."""
    net, x, label, target = random_case(4, "one", n=40)
    found = newton_attack(net, x, label, target=target)
    moved = found.weight > 0
    less = newton.minimise(net, x[moved], label[moved], 0.9 * found.weight[moved], target=target[moved])
    assert moved.sum() >= 20
    assert (leads.lead(net(x[moved] + less.dx), target[moved]) < 1e-3).all()


def test_an_image_of_another_class_needs_no_step():
    """Δx = 0 with weight 0, whether it is misclassified or already has the target's class."""
    net, x, *_ = random_case(7, n=30)
    present = net.classify(x)
    for target in (None, present):
        found = newton_attack(net, x, (present + 1) % 4, target=target)
        assert found.success.all()
        for values in (found.dx, found.weight, found.iterations, found.products, found.gradient_norm):
            assert not values.any()


def test_no_weight_is_large_enough_for_a_class_that_cannot_win():
    """No success, NaN, and no word of a weight; the other samples of the batch are as without it."""
    matrix = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, -1.0]])
    net = Network((Dense(matrix),), (3,))
    x = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.5]])
    found = newton_attack(net, x, [0, 0], target=[2, 1], weights=(0.1, 1e3))
    alone = newton_attack(net, x[1:], [0], target=[1], weights=(0.1, 1e3))
    assert found.success.tolist() == [False, True]
    for values in (found.dx, found.l2, found.weight, found.gradient_norm):
        assert np.isnan(values[0]).all()
        assert np.isfinite(values[1]).all()
    assert found.found.tolist() == [0, 1]
    np.testing.assert_allclose(found.dx[1], alone.dx[0], rtol=1e-12)
    weak = newton_attack(net, x, [0, 0], target=[2, 1], weights=(1e-6, 1e-5))
    assert not weak.success.any()
    assert np.isnan(weak.dx).all()


def test_a_network_without_slope_leaves_the_image_where_it_is():
    """All ReLUs off: ∇φ = 0 at once, converged, and an attack that finds nothing."""
    last = np.column_stack([np.eye(3), [0.0, 0.5, 0.0]])
    net = Network((Dense(-np.eye(3), bias=False), Activation("relu"), Dense(last)), (3,))
    found = newton.minimise(net, np.ones((1, 3)), [1], 10.0)
    assert found.converged.all()
    assert (found.iterations[0], found.evaluations[0], np.abs(found.dx).max()) == (0, 1, 0.0)
    assert not newton_attack(net, np.ones((1, 3)), [1], weights=(0.1, 10.0)).success.any()


def test_kinks_end_the_search_without_convergence():
    """Minima of ReLU networks lie on kinks for some of these images: said so, no step goes up, and the search ends."""
    net, x, label, target = random_case(8, "two-relu", n=60)
    found = newton.minimise(net, x, label, 5.0, target=target, steps=1000)
    assert 0 < (~found.converged).sum() < 60
    assert (found.iterations < 200).all()
    starts = [naive_loss(net, image, aim) for image, aim in zip(x, target, strict=True)]
    assert (found.value <= 5.0 * np.array(starts)).all()
    for i in range(60):
        value, slope = objective(net, x[i], target[i], 5.0)(found.dx[i].ravel())
        assert found.value[i] == pytest.approx(value, abs=1e-12)
        assert found.converged[i] == (np.linalg.norm(slope) <= 1e-7 * np.linalg.norm(found.dx[i]))


def test_steps_are_no_more_than_allowed():
    """After one step: not converged, two norms known, no NaN among them."""
    net, x, label, target = random_case(9, n=20)
    found = newton.minimise(net, x, label, 10.0, target=target, steps=1)
    assert found.gradient_norms.shape == (20, 2)
    assert np.isfinite(found.gradient_norms).all()
    assert (found.iterations == 1).all()
    assert not found.converged.any()


def test_a_start_at_the_minimum_stays_there():
    """No step, and where Δx leaves the row space of the first layer that part is dropped first."""
    net, x, label, target = random_case(9, "two", n=20, pixels=(3, 4))
    found = newton.minimise(net, x, label, 2.0, target=target)
    assert found.converged.all()
    again = newton.minimise(net, x, label, 2.0, target=target, start=found.dx, tolerance=1e-7)
    assert not again.iterations.any()
    off = np.linalg.svd(net.weighted[0].kernel)[2][-1].reshape(3, 4)
    again = newton.minimise(net, x, label, 2.0, target=target, start=found.dx + off, tolerance=1e-7)
    assert not again.iterations.any()
    np.testing.assert_allclose(again.dx, found.dx, atol=1e-8)


@both_ways
def test_fewer_unknowns_are_a_shortcut_only(targeted, monkeypatch):
    """In the row space of the first layer, or in all pixels: the same minima, steps and products."""
    net, x, label, target = random_case(10, "two", n=30, pixels=(4, 5))
    target = target if targeted else None

    def everything():
        return newton_attack(net, x, label, target=target), newton.minimise(net, x, label, 2.0, target=target)

    short = everything()
    assert row_space.in_row_space(net)[0].input_shape == (5,)
    monkeypatch.setattr(newton, "in_row_space", lambda net: (net, None))
    for found, expected in zip(everything(), short, strict=True):
        np.testing.assert_allclose(found.dx, expected.dx, atol=1e-7)
        assert np.abs(found.iterations - expected.iterations).max() <= 2


@both_ways
def test_a_batch_equals_one_by_one(targeted, monkeypatch):
    """Neither the other samples nor the blocks matter."""
    net, x, label, target = random_case(11, "three-linear", n=10)
    options = {"target": target if targeted else None}
    whole = newton_attack(net, x, label, **options), newton.minimise(net, x, label, 4.0, **options)
    v = RNG(1).standard_normal(x.shape)
    product = hessian_product(net, x, label, v)
    for i in range(10):
        one = {"target": target[i : i + 1] if targeted else None}
        alone = newton_attack(net, x[i : i + 1], label[i : i + 1], **one)
        np.testing.assert_allclose(alone.dx[0], whole[0].dx[i], atol=1e-8)
        assert alone.weight[0] == pytest.approx(whole[0].weight[i], rel=1e-12, nan_ok=True)
        np.testing.assert_allclose(hessian_product(net, x[[i]], label[[i]], v[[i]])[0], product[i], rtol=1e-10)
    monkeypatch.setattr(common, "block_size", lambda *_, **__: 3)
    parts = newton_attack(net, x, label, **options), newton.minimise(net, x, label, 4.0, **options)
    for found, expected in zip(parts, whole, strict=True):
        np.testing.assert_allclose(found.dx, expected.dx, atol=1e-8)
    assert relative_error(hessian_product(net, x, label, v), product) <= 1e-14


def test_an_empty_batch_has_an_empty_result():
    """No images need no attack."""
    net = random_network(RNG(0), [(5, "tanh")])
    x, none = np.zeros((0, 2, 3)), np.zeros(0, int)
    assert hessian_product(net, x, none, x).shape == (0, 2, 3)
    assert newton.minimise(net, x, none, 1.0).gradient_norms.shape == (0, 101)
    for target in (None, none):
        found = newton_attack(net, x, none, target=target)
        assert found.dx.shape == (0, 2, 3)
        for name in ("success", "found", "weight", "iterations", "products", "gradient_norm", "l2"):
            assert getattr(found, name).shape == (0,)


CLASSES = [
    ({"label": [0, 3]}, ValueError, "label: expected classes from 0 to 2, received 0 to 3"),
    ({"label": [0.0, 1.0]}, TypeError, "label: expected integers, received float64"),
    ({"x": np.full((2, 3), 255)}, ValueError, "x: expected pixels between 0 and 1, received .* 255 to 255"),
]
SEARCHES = [
    ({"steps": 0}, ValueError, "steps: expected a whole number from 1 on, received 0"),
    ({"steps": 2.5}, ValueError, "steps: expected a whole number from 1 on, received 2.5"),
    ({"tolerance": 0.0}, ValueError, "tolerance: expected a positive number, received 0.0"),
]


@pytest.mark.parametrize(
    ("function", "change", "error", "message"),
    [
        *((function, *row) for function in (hessian_product, newton.minimise, newton_attack) for row in CLASSES),
        *((function, *row) for function in (newton.minimise, newton_attack) for row in SEARCHES),
        (
            hessian_product,
            {"direction": np.eye(3)},
            ValueError,
            r"direction: .* shape \(2, 3\), received shape \(3, 3\)",
        ),
        (hessian_product, {"direction": np.full((2, 3), np.nan)}, ValueError, "direction: expected finite numbers"),
        (newton.minimise, {"weight": 0.0}, ValueError, "weight: expected positive numbers, received 0.0"),
        (
            newton.minimise,
            {"weight": [1.0] * 3},
            ValueError,
            r"weight: expected .* shape \(2,\), received shape \(3,\)",
        ),
        (newton.minimise, {"start": np.zeros(3)}, ValueError, r"start: .* shape \(2, 3\), received shape \(3,\)"),
        (newton.minimise, {"start": np.full((2, 3), np.inf)}, ValueError, "start: expected finite numbers"),
        (newton.minimise, {"method": "secant"}, ValueError, "method: expected one of .* received 'secant'"),
        (newton_attack, {"margin": 0.0}, ValueError, "margin: expected a positive number, received 0.0"),
        (newton_attack, {"weights": (1.0, 0.1)}, ValueError, "weights: expected the first at most the largest"),
        (newton_attack, {"weights": (0.0, 1.0)}, ValueError, "weights: expected a positive number, received 0.0"),
        (newton_attack, {"weights": 1.0}, ValueError, r"weights: expected \(first, largest\), received 1.0"),
        (newton_attack, {"halvings": -1}, ValueError, "halvings: expected a whole number from 0 on, received -1"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_before_any_work(function, change, error, message, monkeypatch):
    """One error that names the argument, what was expected and what came, before anything is computed."""
    net = Network((Dense(np.eye(3), bias=False),), (3,), input_range=(0, 1))
    extra = {hessian_product: {"direction": np.ones((2, 3))}, newton.minimise: {"weight": 1.0}}.get(function, {})
    call = {"x": np.eye(3)[[0, 1]], "label": [0, 1]} | extra
    function(net, **call)
    for kind in (Dense, Layer):
        monkeypatch.setattr(kind, "forward", lambda *_: pytest.fail("work was done"))
    with pytest.raises(error, match=message):
        function(net, **(call | change))
