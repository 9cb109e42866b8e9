"""`bea`'s derivatives against JAX's automatic differentiation of the Keras model itself, in float64.

The tolerance, 1e-14, is a few times the largest error measured, 3e-15.
"""

import numpy as np
import pytest

from bea import Network, backward_error
from oracles import relative_error

keras, jax = pytest.importorskip("keras"), pytest.importorskip("jax")
layers = keras.layers
RNG = np.random.default_rng
pytestmark = pytest.mark.usefixtures("double")
TOLERANCE = 1e-14

# Shape of an image, and what comes before the last dense layer.
MODELS = {
    "lenet": (
        (10, 9, 2),
        lambda: [
            *(layers.Conv2D(3, 3, activation="tanh"), layers.MaxPooling2D(2)),
            *(layers.Conv2D(4, 2, activation="relu"), layers.Flatten(), layers.Dense(6, "sigmoid")),
        ],
    ),
    "averages": (
        (8, 7, 1),
        lambda: [
            *(layers.AveragePooling2D(2, 1), layers.Conv2D(3, (3, 2), (2, 1), "same", activation="sigmoid")),
            *(layers.AveragePooling2D((2, 3)), layers.Flatten(), layers.Dense(5, "tanh")),
        ],
    ),
    "no bias": (
        (7, 8, 2),
        lambda: [
            *(layers.Conv2D(4, 2, 2, use_bias=False, activation="relu"), layers.MaxPooling2D(2, 1)),
            *(layers.Conv2D(3, 2, padding="same", use_bias=False), layers.Activation("tanh"), layers.Flatten()),
        ],
    ),
    "dense": (
        (3, 4),
        lambda: [layers.Flatten(), layers.Dense(7, "tanh"), layers.Dense(12, "relu"), layers.Dense(5, "sigmoid")],
    ),
}
OUTPUTS = ("softmax", "sigmoid", "tanh")
every_model = pytest.mark.parametrize("name", MODELS)
every_output = pytest.mark.parametrize("output", OUTPUTS)


def build(name, output="softmax", n=3):
    """A model with random weights, biases included, the same up to its logits, and images."""
    rng, (shape, make) = RNG(1), MODELS[name]
    *hidden, last = make(), layers.Dense(4, name="last")
    inputs = y = keras.Input(shape)
    for layer in hidden[0]:
        y = layer(y)
    logits = last(y)
    model = keras.Model(inputs, layers.Activation(output)(logits))
    model.set_weights([rng.standard_normal(array.shape) / 2 for array in model.get_weights()])
    return model, keras.Model(inputs, logits), rng.random((n, *shape))


def function(model):
    """The outputs of one image as a function of all kernels and biases and of the image; the kernels and biases."""
    state = [variable.value for variable in model.non_trainable_variables]

    def outputs(weights, image):
        return model.stateless_call(weights, state, image[None], training=False)[0][0]

    return outputs, [variable.value for variable in model.trainable_variables]


def derivatives(net, lin, i):
    """The derivatives of all outputs of sample i by every A_i, (classes, rows, columns): Σ_positions S hᵀ."""
    for layer, S, h in zip(net.weighted, lin.sensitivities, lin.inputs, strict=True):
        S, h = S[i % len(S)], h[i]
        subscripts = "cpr,pk->crk" if h.ndim == 2 else "cr,k->crk"
        yield layer, np.einsum(subscripts, S, h)


def assert_agree(net, lin, i, theirs):
    """Assert that Keras' kernels and biases, in its order and shapes, have these derivatives."""
    theirs = iter(theirs)
    for layer, found in derivatives(net, lin, i):
        kernel = np.asarray(next(theirs))
        columns = layer.kernel.shape[1]
        expected = kernel.reshape(len(kernel), columns, -1).swapaxes(1, 2)
        assert relative_error(found[:, :, :columns], expected) <= TOLERANCE
        if layer.bias:
            assert relative_error(found[:, :, columns], np.asarray(next(theirs))) <= TOLERANCE
    assert next(theirs, None) is None


@every_model
def test_derivatives_of_the_logits_by_all_weights_and_pixels_are_those_of_jax(name):
    """J, and S_i h_{i-1}ᵀ for every kernel and bias, equal the Jacobians of the Keras model's logits."""
    model, logits, x = build(name)
    net = Network.from_keras(model)
    assert net.output_activation == "softmax"
    lin = net.linearise(x)
    outputs, weights = function(logits)
    jacobians = jax.jit(jax.jacobian(outputs, argnums=(0, 1)))
    for i, image in enumerate(x):
        by_weights, by_pixels = jacobians(weights, image)
        assert relative_error(lin.logits[i], np.asarray(outputs(weights, image))) <= TOLERANCE
        assert relative_error(lin.jacobian[i % len(lin.jacobian)], np.reshape(by_pixels, (4, -1))) <= TOLERANCE
        assert_agree(net, lin, i, by_weights)


@every_model
@every_output
def test_derivatives_of_activated_outputs_are_those_of_jax(name, output):
    """The same for what softmax, sigmoid and tanh make of the logits."""
    model, _, x = build(name, output)
    net = Network.from_keras(model)
    lin = net.linearise(x, activated=True)
    outputs, weights = function(model)
    jacobians = jax.jit(jax.jacobian(outputs, argnums=(0, 1)))
    for i, image in enumerate(x):
        by_weights, by_pixels = jacobians(weights, image)
        assert relative_error(lin.logits[i], np.asarray(outputs(weights, image))) <= TOLERANCE
        assert relative_error(lin.jacobian[i % len(lin.jacobian)], np.reshape(by_pixels, (4, -1))) <= TOLERANCE
        assert_agree(net, lin, i, by_weights)


@every_model
def test_one_logit_at_a_time_has_the_gradient_of_jax(name):
    """`jax.grad` of a single logit by all kernels and biases is the row of that logit in S_i h_{i-1}ᵀ."""
    model, logits, x = build(name)
    net = Network.from_keras(model)
    lin = net.linearise(x)
    outputs, weights = function(logits)
    gradient = jax.jit(jax.grad(lambda weights, image, k: outputs(weights, image)[k]))
    for i, image in enumerate(x):
        for k in range(4):
            theirs = [np.asarray(array) for array in gradient(weights, image, k)]
            for layer, found in derivatives(net, lin, i):
                kernel = theirs.pop(0)
                expected = kernel.reshape(-1, kernel.shape[-1]).T
                if layer.bias:
                    expected = np.column_stack([expected, theirs.pop(0)])
                assert relative_error(found[k], expected) <= TOLERANCE
            assert not theirs


@every_model
def test_the_gradient_by_the_image_is_that_of_jax(name):
    """`net.gradient(x, weights)` is the derivative of a weighted sum of logits, sample by sample."""
    model, logits, x = build(name, n=5)
    net, sums = Network.from_keras(model), RNG(2).standard_normal((5, 4))
    theirs = jax.grad(lambda images: (sums * logits(images)).sum())(x)
    assert relative_error(net.gradient(x, sums), np.asarray(theirs)) <= TOLERANCE


@every_model
def test_the_change_that_a_perturbation_makes_is_jax_s_directional_derivative(name):
    """𝒜 θ of `backward_error`'s perturbation, pushed through the Keras model by `jax.jvp`, is ŷ - y."""
    model, _, x = build(name)
    net, rng = Network.from_keras(model), RNG(3)
    assert net.output_activation == "softmax"
    logits = rng.standard_normal((len(x), 4))
    y_hat = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    outputs, weights = function(model)
    change_of = jax.jit(lambda image, steps, dx: jax.jvp(outputs, (weights, image), (steps, dx)))
    for relative in (True, False):
        p = backward_error(net, x, y_hat, "both", relative, activated=True)
        assert p.attained.all()
        for i, image in enumerate(x):
            steps = []
            for number, layer in enumerate(net.weighted):
                matrix, columns = p.matrix(number, i), layer.kernel.shape[1]
                steps.append(matrix[:, :columns].T.reshape(weights[len(steps)].shape))
                if layer.bias:
                    steps.append(matrix[:, columns])
            y, change = change_of(image, steps, p.dx[i])
            assert relative_error(np.asarray(y + change), y_hat[i]) <= TOLERANCE
