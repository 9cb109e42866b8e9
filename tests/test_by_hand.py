"""`lab.by_hand`: its gradients are those of the loss, and its training is that of Keras, step by step."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from bea.attacks.loss import loss_gradient
from lab import by_hand, keras_models, training
from lab.by_hand import descend, forward, gradients, initial_weights, softmax, to_network, train
from oracles import random_convolution, random_network, relative_error

keras, jax = training.keras, pytest.importorskip("jax")
RNG = np.random.default_rng
every_a = pytest.mark.parametrize("a", [1.0, 0.1, 0.01])
GOOD = {"epochs": 2, "rate": 0.1, "batch_size": 4, "a": 0.1, "classes": 3}


def case(seed=0, widths=(6, 8, 7, 4), n=5):
    """Weights, biases too, images in [0, 1) and labels."""
    rng = RNG(seed)
    weights = [(W, 0.3 * rng.standard_normal(len(b))) for W, b in initial_weights(list(widths), rng)]
    return weights, rng.random((n, widths[0])), rng.integers(0, widths[-1], n)


def loss(weights, images, labels, a):
    """The mean cross-entropy, from the printed formulas of the network."""
    y = images
    for W, b in weights[:-1]:
        v = y @ W.T + b
        y = (v + np.sqrt(v**2 + a**2)) / 2
    W, b = weights[-1]
    return -np.mean(log_softmax(y @ W.T + b, axis=1)[np.arange(len(labels)), labels])


def difference_quotients(function, array, step):
    """Central difference quotients of a function of no argument by every entry of an array that it reads."""
    result = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept, values = array[index], []
        for sign in (1, -1):
            array[index] = kept + sign * step
            values.append(function())
        array[index] = kept
        result[index] = (values[0] - values[1]) / (2 * step)
    return result


def keras_gradients(weights, images, labels, a):
    """JAX's derivatives of Keras' loss of the Keras model by W and b of every layer, and by the images."""
    net = to_network(weights, a, images.shape[1:], None)
    model = keras_models.to_keras(replace(net, output_activation="linear"))
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def value(variables, x):
        return entropy(labels, model.stateless_call(variables, [], x)[0])

    slopes, by_images = jax.grad(value, argnums=(0, 1))(
        [variable.value for variable in model.trainable_variables], images
    )
    slopes = [np.asarray(array) for array in slopes]
    return [(dW.T, db) for dW, db in zip(slopes[::2], slopes[1::2], strict=True)], np.asarray(by_images)


@every_a
@pytest.mark.parametrize("widths", [(5, 4), (6, 8, 4), (6, 8, 7, 4), (5, 6, 5, 6, 3)])
def test_gradients_are_those_of_finite_differences(widths, a):
    """Every entry of every dW and db, and of dY_0; the quotients themselves are right to about 1e-8."""
    weights, images, labels = case(widths=widths)
    found, by_images = gradients(weights, images, labels, a)
    pairs = [
        (array, slope)
        for own, slopes in zip(weights, found, strict=True)
        for array, slope in zip(own, slopes, strict=True)
    ]
    for array, slope in [*pairs, (images, by_images)]:
        expected = difference_quotients(lambda: loss(weights, images, labels, a), array, step=1e-6)
        assert slope.shape == array.shape
        assert relative_error(slope, expected) <= 2e-8


@every_a
@pytest.mark.parametrize("widths", [(6, 8, 7, 4), (784, 64, 64, 10)])
def test_gradients_are_those_of_keras(widths, a, double):
    """In float64, by automatic differentiation of the same network."""
    weights, images, labels = case(1, widths, n=20)
    (found, by_images), (expected, by_pixels) = (f(weights, images, labels, a) for f in (gradients, keras_gradients))
    for slopes, theirs in zip(found, expected, strict=True):
        for slope, other in zip(slopes, theirs, strict=True):
            assert relative_error(slope, other) <= 1e-14
    assert relative_error(by_images, by_pixels) <= 1e-14


@pytest.mark.parametrize("a", [1.0, 0.1])
def test_training_takes_the_steps_of_keras(a, double):
    """Forty batches of SGD in Keras, in float64 from the same start: the same weights after each."""
    weights, images, labels = case(2, (12, 9, 8, 4), n=160)
    model = keras_models.to_keras(replace(to_network(weights, a, (12,), None), output_activation="linear"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss, jit_compile=False)
    start = weights[0][0].copy()
    for batch in np.split(np.arange(160), 40):
        model.train_on_batch(images[batch], labels[batch])
        descend(weights, images[batch], labels[batch], rate=0.5, batch_size=4, a=a, rng=RNG(0))
        theirs = model.get_weights()
        for (W, b), V, c in zip(weights, theirs[::2], theirs[1::2], strict=True):
            assert relative_error(W, V.T) <= 2e-15
            assert relative_error(b, c) <= 5e-15
    assert relative_error(weights[0][0], start) > 0.1


def test_q_minus_y_is_the_derivative_of_the_loss_by_the_logits():
    """In every class. The line of the report that leads there holds for the true class only."""
    logits, labels = RNG(3).standard_normal((6, 10)), np.arange(6)
    y, q = np.eye(10)[labels], softmax(logits)
    expected = difference_quotients(lambda: -(y * log_softmax(logits, axis=1)).sum(), logits, step=1e-5)
    odds = np.exp(logits)
    total = odds.sum(axis=1, keepdims=True)
    printed = -y / q * (odds * total - odds**2) / total**2
    np.testing.assert_allclose(q - y, expected, atol=1e-10)
    np.testing.assert_allclose(printed[y == 1], expected[y == 1], atol=1e-10)
    assert np.all(printed[y == 0] == 0.0)
    assert expected[y == 0].min() > 0.001


def test_softmax_of_large_logits_does_not_overflow():
    """Adding a number to all logits of a sample changes nothing; a lead of 1e4 is certainty."""
    logits = RNG(4).standard_normal((5, 4))
    np.testing.assert_allclose(softmax(logits + 1e4), softmax(logits), rtol=1e-11)
    np.testing.assert_array_equal(softmax(np.array([[1e4, 0.0]])), [[1.0, 0.0]])


@every_a
def test_the_network_has_the_same_logits(a):
    """`to_network` keeps weights, biases and a; images keep their shape."""
    weights, images, _ = case(widths=(6, 8, 7, 4))
    net = to_network(weights, a, input_shape=(2, 3))
    assert (net.output_activation, net.input_range) == ("softmax", (0.0, 1.0))
    assert relative_error(net(images.reshape(-1, 2, 3)), forward(weights, images, a)[1][-1]) <= 1e-15
    np.testing.assert_array_equal(net.activate(net(images.reshape(-1, 2, 3))), softmax(net(images.reshape(-1, 2, 3))))


@every_a
def test_the_gradient_by_the_images_is_that_of_the_attacks(a):
    """dY_0, which is of the mean over the batch, is the attacks' gradient over n."""
    weights, images, labels = case()
    expected = loss_gradient(to_network(weights, a, (6,)), images, labels)
    assert relative_error(5 * gradients(weights, images, labels, a)[1], expected) <= 1e-14


def test_the_gradient_by_the_images_can_be_left_out():
    """Those by the weights are the same, bit for bit."""
    (found, nothing), (expected, _) = (gradients(*case(), 0.1, by_images=wanted) for wanted in (False, True))
    assert nothing is None
    for slopes, others in zip(found, expected, strict=True):
        for slope, other in zip(slopes, others, strict=True):
            np.testing.assert_array_equal(slope, other)


def test_initial_weights_are_normal_and_scaled_by_the_inputs():
    """Mean 0, standard deviation 1/√inputs and kurtosis 3 within 4 standard errors; biases of zero."""
    for (W, b), (rows, inputs) in zip(initial_weights([400, 300, 50], RNG(5)), [(300, 400), (50, 300)], strict=True):
        assert W.shape == (rows, inputs)
        np.testing.assert_array_equal(b, np.zeros(rows))
        scaled, n = W * np.sqrt(inputs), W.size
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (4, 3, 96)):
            assert abs(np.mean(scaled**power) - moment) <= 4 * np.sqrt(variance / n)


def stripes(n=400, seed=6):
    """Images of 3×4 pixels, one of whose three rows is lit; the row is the label."""
    rng = RNG(seed)
    labels = rng.integers(0, 3, n)
    return np.clip(0.6 * np.repeat(np.eye(3)[labels], 4, axis=1) + 0.4 * rng.random((n, 12)), 0, 1), labels


def test_training_learns():
    """Rows of light are told apart after a few epochs, and the loss falls in every one of them."""
    (x, y), (x_test, y_test) = stripes(), stripes(seed=7)
    every = list(train([8], x, y, **GOOD | {"epochs": 6}))
    losses = [loss(weights, x, y, 0.1) for weights in every]
    assert np.all(np.diff(losses) < 0)
    assert np.all(to_network(every[-1], 0.1, (12,)).classify(x_test) == y_test)


def test_the_seed_fixes_everything():
    """The same weights after every epoch for the same seed, other first weights and another order for another."""
    runs = [list(train([5], *stripes(), seed=seed, **GOOD)) for seed in (3, 3, 4)]
    for first, second in zip(runs[0], runs[1], strict=True):
        for pair, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(pair[0], other[0])
            np.testing.assert_array_equal(pair[1], other[1])
    assert not np.array_equal(runs[0][1][0][0], runs[2][1][0][0])


def test_longer_training_goes_on_from_shorter():
    """The first epochs of a run are the run of fewer epochs, and what was yielded is not changed by later epochs."""
    short, long = (list(train([5], *stripes(), **GOOD | {"epochs": epochs})) for epochs in (2, 5))
    assert len(long) == 5
    for found, expected in zip(long[:2], short, strict=True):
        np.testing.assert_array_equal(found[0][0], expected[0][0])


@pytest.mark.parametrize(("n", "sizes"), [(10, [4, 4, 2]), (9, [4, 4, 1]), (8, [4, 4]), (3, [3])])
def test_an_epoch_visits_every_image_once(n, sizes, monkeypatch):
    """In batches of four, the last one smaller, in an order that changes from one epoch to the next."""
    seen = []

    def spy(weights, images, labels, a, **options):
        seen.append(images[:, 0])
        assert images[:, 0].tolist() == (labels / 16).tolist()
        return gradients(weights, images, labels, a, **options)

    monkeypatch.setattr(by_hand, "gradients", spy)
    images = np.arange(n)[:, None] / [16, 32]
    list(train([3], images, np.arange(n), **GOOD | {"classes": 10}))
    assert [len(batch) for batch in seen] == 2 * sizes
    epochs = np.split(np.concatenate(seen), 2)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), images[:, 0])
    assert n < 8 or not np.array_equal(*epochs)


def test_the_mean_over_a_smaller_last_batch_is_its_own():
    """Three images in batches of two: a step along the mean of two, and one along the single third."""
    weights, images, labels = case(n=3)
    order = RNG(8).permutation(3)
    expected = [[array.copy() for array in pair] for pair in weights]
    for batch in (order[:2], order[2:]):
        slopes, _ = gradients(expected, images[batch], labels[batch], 0.1)
        expected = [[W - 0.3 * dW, b - 0.3 * db] for (W, b), (dW, db) in zip(expected, slopes, strict=True)]
    descend(weights, images, labels, rate=0.3, batch_size=2, a=0.1, rng=RNG(8))
    for found, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(found[0], other[0])
        np.testing.assert_array_equal(found[1], other[1])


def test_images_are_refreshed_once_an_epoch():
    """Before each, with the weights of that moment; what comes back is what is learnt from."""
    x, y = stripes(40)
    given = []

    def refresh(weights):
        given.append(weights[0][0].copy())
        return np.concatenate([x, x]), np.concatenate([y, y])

    parts = {"rate": 0.1, "a": 0.1, "classes": 3, "batch_size": 80}
    found = list(train([5], x, y, epochs=3, refresh=refresh, **parts))
    # Every image twice in one batch: the same mean as every image once.
    expected = list(train([5], x, y, epochs=3, **parts | {"batch_size": 40}))
    assert len(given) == 3
    for now, before in zip(given[1:], found, strict=False):
        np.testing.assert_array_equal(now, before[0][0])
    assert relative_error(found[0][0][0], expected[0][0][0]) <= 1e-15


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epochs", value) for value in (0, -1, 1.5, np.inf)),
        *(("batch_size", value) for value in (0, -4, 2.5)),
        *((name, value) for name in ("rate", "a") for value in (0.0, -0.1, np.nan, np.inf)),
        *(("hidden", value) for value in ([0], [5, -2], [2.5])),
        *(("images", value) for value in (np.zeros((6, 2, 3)), np.zeros(6), np.zeros((0, 4)), np.zeros((6, 0)))),
        *(("images", np.full((6, 4), value)) for value in (np.nan, np.inf)),
        *(("labels", np.array(value)) for value in ([0, 1, 2], [[0]] * 6, [0, 1, 2, 0, 1, 3], [0, 1, -1, 0, 1, 2])),
        *(("labels", np.array(value)) for value in ([0.0, 1, 2, 0, 1, 2], [True] * 6, ["0"] * 6)),
    ],
    ids=str,
)
def test_a_bad_argument_is_refused_by_its_name(name, value):
    """One ValueError that says what was expected and what came, before the first epoch is asked for."""
    good = GOOD | {"hidden": [4], "images": np.zeros((6, 4)), "labels": np.array([0, 1, 2, 0, 1, 2])}
    train(**good)
    with pytest.raises(ValueError, match=f"^{name}: expected .*, received "):
        train(**good | {name: value})


@pytest.mark.parametrize("output", ["linear", "softmax", "tanh", "sigmoid"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_network_becomes_the_keras_model_that_computes_the_same(output, bias, double):
    """Activated outputs in float64, with and without biases; and back again."""
    hidden = [(5, "tanh"), (4, "relu"), (6, "sigmoid")]
    net = random_network(RNG(9), hidden, bias=bias, output_activation=output)
    x = RNG(10).random((20, 2, 3))
    model = keras_models.to_keras(net)
    assert relative_error(keras_models.outputs(model, x), net.activate(net(x))) <= 1e-15
    assert relative_error(type(net).from_keras(model)(x), net(x)) == 0.0


def test_a_keras_model_with_a_smooth_relu_can_be_saved(tmp_path):
    """The file brings a along; in single precision the outputs are those of the network to 1e-6."""
    weights, images, _ = case()
    net = to_network(weights, 0.3, (6,))
    path = tmp_path / "model.keras"
    keras_models.save(keras_models.to_keras(net), path)
    found = keras_models.outputs(keras_models.load(path), images)
    assert found.dtype == np.float32
    assert relative_error(found, net.activate(net(images))) <= 1e-6


def test_a_network_that_is_not_dense_does_not_become_a_keras_model():
    """One ValueError that names the layer."""
    net = random_network(RNG(11), [], input_shape=(6,))
    convolution = random_convolution(RNG(12), 2, 1, 2)
    net = replace(net, layers=(convolution, by_hand.Flatten(), *net.layers), input_shape=(2, 4, 1))
    with pytest.raises(
        ValueError, match=re.escape("net: expected Flatten, Dense and Activation layers, received a Convolution")
    ):
        keras_models.to_keras(net)
