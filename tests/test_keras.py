"""`lab.training` and `Network.from_keras`: Keras and `bea` compute the same, in values and in derivatives."""

from dataclasses import replace

import numpy as np
import pytest

from bea import Activation, Dense, Flatten, Network, attack
from bea.networks.windows import AveragePool, Convolution, MaxPool
from keras_support import CONVOLUTIONAL, MODELS, blobs, build
from lab import keras_models, training
from lab.keras_backend import keras
from oracles import relative_error

jax, layers = pytest.importorskip("jax"), keras.layers
RNG = np.random.default_rng


def images(n):
    return RNG(2).random((n, 2, 3))


@pytest.mark.parametrize("name", MODELS)
def test_logits_agree_with_keras_in_float64(name, double):
    """A converted model computes what Keras computes, to rounding."""
    model = build(name)
    assert relative_error(Network.from_keras(model)(images(20)), keras_models.outputs(model, images(20))) <= 1e-14


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "tanh"])
def test_an_output_activation_is_set_aside(name, activation, double):
    """Whether in the last layer or after it, it is named, and applied to bea's logits gives Keras' output."""
    function = {
        "softmax": lambda y: np.exp(y) / np.exp(y).sum(axis=1, keepdims=True),
        "sigmoid": lambda y: 1 / (1 + np.exp(-y)),
        "tanh": np.tanh,
    }[activation]
    x = images(20)
    for ending in ([layers.Dense(3, activation)], [layers.Dense(3), layers.Activation(activation)]):
        model = build(name, ending)
        net = Network.from_keras(model)
        assert net.output_activation == activation
        assert relative_error(function(net(x)), keras_models.outputs(model, x)) <= 1e-14
        assert net.classify(x).tolist() == keras_models.outputs(model, x).argmax(axis=1).tolist()


@pytest.mark.parametrize("name", MODELS)
def test_linearisation_agrees_with_automatic_differentiation(name, double):
    """J, and S_i h_{i-1}ᵀ for every kernel and bias, are the Jacobians that JAX finds for the Keras model."""
    model, x = build(name), images(4)
    net = Network.from_keras(model)
    lin = net.linearise(x)
    variables = [variable.value for variable in model.trainable_variables]
    state = [variable.value for variable in model.non_trainable_variables]

    def logits(weights, image):
        return model.stateless_call(weights, state, image[None], training=False)[0][0]

    for i, image in enumerate(x):
        derivatives, jacobian = jax.jacobian(logits, argnums=(0, 1))(variables, image)
        assert relative_error(lin.jacobian[i % len(lin.jacobian)], np.reshape(jacobian, (4, 6))) <= 1e-14
        derivatives = iter(derivatives)
        for layer, S, h in zip(net.weighted, lin.sensitivities, lin.inputs, strict=True):
            found = np.einsum("cr,k->ckr", S[i % len(S)], h[i])
            columns = layer.kernel.shape[1]
            assert relative_error(found[:, :columns], next(derivatives)) <= 1e-14
            if layer.bias:
                assert relative_error(found[:, columns], next(derivatives)) <= 1e-14
        assert next(derivatives, None) is None


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_logits_and_their_jacobian_agree_with_keras_in_float64(name, double):
    """A converted model computes what Keras computes, and has the Jacobian that JAX finds for it."""
    model, x = build(name), RNG(2).random((5, 9, 8, 2))
    net = Network.from_keras(model)
    assert relative_error(net(x), keras_models.outputs(model, x)) <= 1e-14
    found = net.linearise(x).jacobian
    for i, image in enumerate(x):
        jacobian = jax.jacobian(lambda image: model(image[None])[0])(image)
        assert relative_error(found[i % len(found)], np.reshape(jacobian, (4, 144))) <= 1e-14


def test_convolutional_layers_are_converted_as_they_are():
    """Kinds, sizes, strides, paddings and biases are those of the Keras layers."""
    net = Network.from_keras(build("same with strides"))
    first, sigmoid, second, *_ = net.layers
    assert (first.size, first.stride, first.padding, first.bias) == ((4, 3), (3, 2), ((0, 1), (0, 1)), False)
    assert (second.size, second.stride, second.padding, second.bias) == ((2, 2), (2, 2), ((0, 1), (0, 0)), True)
    assert sigmoid == Activation("sigmoid")
    net = Network.from_keras(build("overlapping pools"))
    assert [type(layer) for layer in net.layers[:4]] == [MaxPool, Convolution, Activation, AveragePool]
    assert net.layers[0] == MaxPool(3, (2, 1))
    assert net.layers[3] == AveragePool((1, 2), (2, 1))


@pytest.mark.parametrize("name", ["one layer", "lenet"])
def test_a_softmax_at_the_end_is_set_aside_wherever_it_stands(name):
    """As a layer, or in a dense layer that Dropout follows: the classes' probabilities, to single precision."""
    x = images(20) if name in MODELS else RNG(2).random((20, 9, 8, 2))
    for ending in (
        [layers.Dense(3), layers.Softmax()],
        [layers.Dense(3, "softmax"), layers.Dropout(0.5)],
        [layers.Dense(3), layers.Dropout(0.5), layers.Softmax(), layers.Dropout(0.5)],
    ):
        model = build(name, ending)
        net = Network.from_keras(model)
        assert net.output_activation == "softmax"
        odds = np.exp(net(x))
        assert relative_error(odds / odds.sum(axis=1, keepdims=True), keras_models.outputs(model, x)) <= 5e-7


@pytest.mark.parametrize(("on", "name"), [("weights", "one layer"), ("weights", "hidden"), ("input", "no bias")])
def test_keras_is_fooled_by_the_perturbed_network(on, name, double):
    """The perturbed weights, put into the Keras model, or the perturbed image, shown to it, give the target."""
    model, x = build(name), images(12)
    net = Network.from_keras(model)
    target = (net.classify(x) + 1) % 4
    result = attack(net, x, target, on, margin=0.3)
    wins = result.margin > 0
    assert wins.sum() >= 3
    for i in np.flatnonzero(result.perturbation.attained):
        other, image = net.perturbed(result.perturbation, i)
        keras_models.put_weights(model, other)
        found = keras_models.outputs(model, image[None])[0]
        assert relative_error(found, net.perturbed_logits(result.perturbation)[i]) <= 1e-14
        assert (found.argmax() == target[i]) == wins[i]


@pytest.mark.parametrize("name", ["no bias", "same with strides"])
def test_a_result_gives_the_perturbed_keras_model(name, double):
    """It puts the image of the sample in the class that bea says; the model that was read stays as it is."""
    model = build(name)
    before = model.get_weights()
    net = Network.from_keras(model)
    x = RNG(2).random((2, *net.input_shape))
    result = attack(net, x, (net.classify(x) + 1) % net.classes, "both", margin=0.3)
    for i in np.flatnonzero(result.perturbation.attained):
        changed = result.keras_model(model, i)
        found = keras_models.outputs(changed, result.images[[i]])[0]
        assert relative_error(found, net.perturbed_logits(result.perturbation)[i]) <= 1e-13
    for found, array in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, array)
    assert result.perturbation.attained.any()


def test_another_model_has_no_such_perturbation():
    """Its norms tell; nor has a model whose weights are not those of its layers, or a sample without one."""
    model, x = build("hidden"), images(2)
    net = Network.from_keras(model)
    perturbation = attack(net, x, (net.classify(x) + 1) % 4).perturbation
    other = build("hidden")
    other.set_weights([2.0 * array for array in other.get_weights()])
    with pytest.raises(ValueError, match=r"^model: expected the one that was read, with weights of the norms"):
        perturbation.keras_model(other, 0)
    lost = replace(perturbation, attained=np.array([False, True]))
    with pytest.raises(ValueError, match=r"^i: expected a sample with a perturbation, received 0, which has none"):
        lost.keras_model(model, 0)
    bumps = keras_models.rbf_classifier(x, 0.5, 4, (2, 3))
    net = Network.from_keras(bumps)
    perturbation = attack(net, x, (net.classify(x) + 1) % 4).perturbation
    with pytest.raises(ValueError, match=r"^model: expected weights of the shapes"):
        perturbation.keras_model(bumps, 0)


@pytest.mark.parametrize("name", MODELS)
def test_putting_weights_back_restores_the_model(name):
    """`put_weights` is the inverse of `from_keras`, in float32 bit for bit."""
    model = build(name)
    before = model.get_weights()
    assert before[0].dtype == np.float32
    net = Network.from_keras(model)
    model.set_weights([0 * array for array in before])
    keras_models.put_weights(model, net)
    for found, array in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, array)


def test_a_classifier_is_built_as_asked():
    """Widths, activations and input shape are those asked for, and the seed fixes the weights."""
    model = keras_models.dense_classifier([5, 3], ["tanh", "softmax"], (2, 4), seed=7)
    net = Network.from_keras(model)
    kinds = [type(layer) for layer in net.layers]
    assert kinds == [Flatten, Dense, Activation, Dense]
    assert [layer.matrix.shape for layer in net.weighted] == [(5, 9), (3, 6)]
    assert (net.input_shape, net.output_activation) == ((2, 4), "softmax")
    for seed, equal in ((7, True), (8, False)):
        other = Network.from_keras(keras_models.dense_classifier([5, 3], ["tanh", "softmax"], (2, 4), seed=seed))
        assert np.array_equal(other.weighted[0].matrix, net.weighted[0].matrix) is equal
    with pytest.raises(ValueError, match="activations: expected 2, one a layer, received 1"):
        keras_models.dense_classifier([5, 3], ["tanh"])


@pytest.mark.parametrize("activation", ["linear", "softmax"])
def test_training_learns_and_reports_every_epoch(activation):
    """Separable classes are learnt from logits and from probabilities alike; one number a quantity and epoch."""
    model = keras_models.dense_classifier([8, 2], ["tanh", activation], (2, 2))
    history = training.train(model, blobs(), epochs=12, batch_size=10)
    assert {name: values.shape for name, values in history.items()} == {
        name: (12,) for name in ("accuracy", "loss", "val_accuracy", "val_loss")
    }
    assert history["val_accuracy"][-1] == 1.0
    assert history["loss"][-1] < history["loss"][0] / 2


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("epochs", -1), ("batch_size", 0)])
def test_training_for_nothing_is_refused(name, value):
    """No epoch, or no image in a batch: one ValueError, before the model is compiled."""
    model = keras_models.dense_classifier([2], ["linear"], (2, 2))
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, received {value}"):
        training.train(model, blobs(), **({"epochs": 1, "batch_size": 10} | {name: value}))
    assert not model.compiled


def test_saving_and_loading_a_model_changes_nothing(tmp_path):
    """The weights come back bit for bit, and no other file is left."""
    model, path = build("hidden"), tmp_path / "model.keras"
    keras_models.save(model, path)
    for found, array in zip(keras_models.load(path).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, array)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_model_is_refused(tmp_path, keep):
    """One ValueError that names the path and what was expected."""
    path = tmp_path / "model.keras"
    keras_models.save(build("hidden"), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(ValueError, match=f"{path}: expected a complete Keras model, found"):
        keras_models.load(path)


def test_a_missing_model_is_refused(tmp_path):
    """One ValueError that names the path."""
    with pytest.raises(ValueError, match=f"{tmp_path / 'no.keras'}: expected a complete Keras model"):
        keras_models.load(tmp_path / "no.keras")
