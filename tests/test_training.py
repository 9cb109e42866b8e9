"""`lab.training`: Caffe's LeNet, convolutions on their way back to Keras, and what the loss takes outputs for."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bea import Activation, Dense, Flatten, Network, attack
from bea.networks.windows import Convolution, MaxPool
from keras_support import blobs
from lab import keras_models, training

layers = training.keras.layers


@pytest.mark.parametrize(("shape", "pooled"), [((28, 28, 1), (12, 4)), ((32, 32, 3), (14, 5)), ((16, 16, 2), (6, 1))])
def test_lenet_is_that_of_caffe(shape, pooled):
    """Layers, sizes after pooling (paper P: 12 and 4 on MNIST, 14 and 5 on CIFAR-10) and no activation in between."""
    net = Network.from_keras(keras_models.lenet(shape, seed=1))
    kinds = [Convolution, MaxPool, Convolution, MaxPool, Flatten, Dense, Activation, Dense]
    assert [type(layer) for layer in net.layers] == kinds
    first, _, second, _, _, dense, relu, last = net.layers
    assert (first.size, second.size, relu.name, net.output_activation) == ((5, 5), (5, 5), "relu", "linear")
    assert first.matrix.shape == (20, 25 * shape[2] + 1)
    assert second.matrix.shape == (50, 25 * 20 + 1)
    assert dense.matrix.shape == (500, 50 * pooled[1] ** 2 + 1)
    assert last.matrix.shape == (10, 501)
    half = first.output_shape(shape)[0] // 2
    assert (half, second.output_shape((half, half, 20))[0] // 2) == pooled


def test_the_seed_fixes_lenet():
    """The same weights for the same seed, others for another."""
    weights = [keras_models.lenet(seed=seed).get_weights()[0] for seed in (4, 4, 5)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


@pytest.mark.parametrize("shape", [(28, 28), (15, 28, 1), (28, 15, 1)])
def test_lenet_needs_an_image_with_channels_and_room_for_its_windows(shape):
    """One ValueError that names the argument."""
    with pytest.raises(ValueError, match=r"input_shape: expected .* received"):
        keras_models.lenet(shape)


def digits(shape, n, seed=3):
    """Images of noise over a dark ground, as MNIST has it, and labels."""
    rng = np.random.default_rng(seed)
    x = np.clip(rng.normal(-0.5, 1.0, (n, *shape)), 0.0, 1.0).astype(np.float32)
    x[:, :6] = 0.0
    return x, rng.integers(0, 10, n)


@pytest.mark.parametrize(("shape", "n"), [((28, 28, 1), 70), ((18, 17, 3), 32), ((16, 16, 2), 1)])
def test_the_faster_lenet_computes_the_same(shape, n):
    """Logits of blocks of images, whole and in part, of one image, and with maxima of odd sides."""
    model = keras_models.lenet(shape, seed=1)
    x, _ = digits(shape, n)
    found, expected = (keras_models.outputs(each, x) for each in (keras_models.faster_lenet(model), model))
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=2e-6)


def keras_fit(model, *given, **options):
    """Train as Keras does by itself."""
    return model.fit(*given, verbose=0, **options)


@pytest.mark.parametrize(("batch_size", "weight_decay"), [(16, 0.0), (40, 0.3)])
def test_the_faster_lenet_learns_as_keras_does(batch_size, weight_decay, monkeypatch):
    """The same order of images, the same steps: weights, accuracies and losses of Keras' `fit`, up to rounding."""
    data = blobs()
    x, y = digits((16, 16, 1), 88)
    data = replace(data, x_train=x[:72], y_train=y[:72], x_test=x[72:], y_test=y[72:])
    models, histories = [], []
    for way, fit in ((keras_models.faster_lenet, training.fit), (lambda model: model, keras_fit)):
        monkeypatch.setattr(training, "fit", fit)
        model = keras_models.lenet((16, 16, 1), seed=1)
        start = model.get_weights()
        histories.append(training.train(way(model), data, 2, batch_size, weight_decay))
        models.append(model)
    for found, expected, before in zip(*(m.get_weights() for m in models), start, strict=True):
        moved = np.abs(expected - before).max()
        assert moved > 1e-3
        # Measured: 7e-5. Adam divides by small gradients, and their rounding grows.
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=3e-4 * moved)
    for name in histories[0]:
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-6)


def small_convolutional():
    training.keras.utils.set_random_seed(2)
    return training.keras.Sequential(
        [
            training.keras.Input((7, 6, 2)),
            layers.Conv2D(3, (2, 3), padding="same", use_bias=False),
            layers.MaxPooling2D(2),
            layers.Conv2D(4, 2, activation="tanh"),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )


@pytest.mark.parametrize("n", [2300, 64 * 32, 40])
def test_steps_in_one_call_leave_the_weights_of_keras(n):
    """Whole calls, a rest of whole batches and a cut batch: all as Keras' own ``fit``, to the last bit."""
    rng = np.random.default_rng(n)
    x, y = rng.random((n, 6, 6)).astype(np.float32), rng.integers(0, 10, n)
    learnt = []
    for fit in (training.fit, keras_fit):
        model = keras_models.dense_classifier([7, 10], ["tanh", "linear"], (6, 6))
        model.compile(
            "adam", training.keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
        )
        curves = [fit(model, x, y, size, epochs=2).history for size in (64, 32)]
        learnt.append((model.get_weights(), curves))
    for ours, theirs in zip(*(weights for weights, _ in learnt), strict=True):
        assert np.array_equal(ours, theirs)
    for ours, theirs in zip(*(curves for _, curves in learnt), strict=True):
        assert ours.keys() == theirs.keys()
        for name, values in ours.items():
            assert np.allclose(values, theirs[name], rtol=1e-6)


@pytest.mark.parametrize("make", [keras_models.lenet, small_convolutional], ids=["lenet", "small"])
def test_putting_weights_of_convolutions_back_restores_the_model(make):
    """`put_weights` is the inverse of `from_keras`, bit for bit."""
    model = make()
    before = model.get_weights()
    net = Network.from_keras(model)
    model.set_weights([0 * array for array in before])
    keras_models.put_weights(model, net)
    for found, array in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, array)


def test_weights_of_another_architecture_are_refused():
    """A convolution whose kernel has as many entries, but another form."""
    models = []
    for size in ((1, 3), (3, 1)):
        parts = [layers.Conv2D(2, size, padding="same"), layers.Flatten(), layers.Dense(2)]
        models.append(training.keras.Sequential([training.keras.Input((6, 6, 1)), *parts]))
    with pytest.raises(ValueError, match="shape"):
        keras_models.put_weights(models[0], Network.from_keras(models[1]))


def test_keras_is_fooled_by_perturbed_convolutions():
    """The perturbed kernels, put into the Keras model, give the target."""
    model = small_convolutional()
    net = Network.from_keras(model)
    x = np.random.default_rng(0).random((6, 7, 6, 2))
    target = (net.classify(x) + 1) % 4
    result = attack(net, x, target, method="converged", margin=0.01)
    assert result.success.all()
    for i in range(len(x)):
        other, image = net.perturbed(result.perturbation, i)
        keras_models.put_weights(model, other)
        found = keras_models.outputs(model, image[None])[0]
        np.testing.assert_allclose(found, net.perturbed_logits(result.perturbation)[i], atol=1e-5)
        assert found.argmax() == target[i]


def two_classes(*last, width=2):
    training.keras.utils.set_random_seed(6)
    return training.keras.Sequential([training.keras.Input((2, 2)), layers.Flatten(), layers.Dense(width), *last])


def test_a_softmax_of_its_own_is_no_logit():
    """A layer Softmax, which has no activation, is trained like an activation softmax: on probabilities."""
    lasts = layers.Softmax(), layers.Activation("softmax")
    histories = [training.train(two_classes(last), blobs(), epochs=3, batch_size=10) for last in lasts]
    np.testing.assert_allclose(histories[0]["val_loss"], histories[1]["val_loss"], rtol=1e-6)


@pytest.mark.parametrize("last", [layers.ReLU, lambda: layers.Dropout(0.1), lambda: layers.Reshape((2,))])
def test_a_last_layer_that_is_no_softmax_gives_logits(last):
    """The loss that training reports is that of the outputs taken as logits, also if that layer has no activation."""
    model, data = two_classes(last()), blobs()
    history = training.train(model, data, epochs=2, batch_size=50)
    outputs = keras_models.outputs(model, data.x_test).astype(float)
    expected = np.mean(np.log(np.exp(outputs).sum(axis=1)) - outputs[np.arange(len(outputs)), data.y_test])
    np.testing.assert_allclose(history["val_loss"][-1], expected, rtol=1e-5)


def test_with_tanh_outputs_the_loss_has_a_floor():
    """Above log(1 + e⁻²) for two classes, and near it once they are learnt."""
    model = keras_models.dense_classifier([8, 2], ["tanh", "tanh"], (2, 2))
    history = training.train(model, blobs(), epochs=40, batch_size=10)
    floor = math.log(1 + math.exp(-2))
    assert history["val_accuracy"][-1] == 1.0
    assert floor < history["val_loss"][-1] < floor + 0.1
