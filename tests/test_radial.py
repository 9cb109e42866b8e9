"""`bea.RadialBasis`: bumps and their derivatives, its Keras counterpart, its files, and attacks on it."""

import json

import numpy as np
import pytest

from bea import Dense, Flatten, Network, RadialBasis, attack
from bea.attacks.epsilon_search import smallest_epsilon
from bea.attacks.gradient_signs import fgsm
from bea.attacks.loss import loss_gradient
from lab import keras_models, training
from lab.datasets import Dataset
from oracles import radial_layer, radial_network, relative_error

RNG = np.random.default_rng
SHAPE = (2, 3)


def naive(bumps, image):
    """One bump at a time, from the differences."""
    pairs = zip(bumps.centres, bumps.sharpness, strict=True)
    return np.array([np.exp(-gamma * sum((a - b) ** 2 for a, b in zip(image, c, strict=True))) for c, gamma in pairs])


def test_bumps_equal_their_formula():
    """exp(-γ ‖y - c‖²), one sample and one bump at a time."""
    bumps, y = radial_layer(RNG(1)), RNG(2).random((7, 6))
    assert bumps.output_shape((6,)) == (5,)
    assert relative_error(bumps.forward(y), [naive(bumps, image) for image in y]) <= 1e-15


def test_a_bump_is_one_at_its_centre_and_never_more():
    """The matrix product leaves ‖y - c‖² within rounding of zero there, on either side, and negative values are cut."""
    centres = RNG(3).random((50, 784))
    bumps = RadialBasis(centres, np.full(50, 1e-2))
    own = np.diag(bumps.forward(centres))
    assert (own <= 1.0).all()
    assert own.min() >= 1.0 - 1e-14
    squares = np.vecdot(centres, centres)
    assert (squares - 2 * np.diag(centres @ centres.T) + squares < 0).any()


def test_pull_back_equals_central_differences():
    """For every output and every pixel; the rows of all samples may be one."""
    bumps, y, h = radial_layer(RNG(4)), RNG(5).random((3, 6)), 1e-5
    output = bumps.forward(y)
    jacobian = bumps.pull_back(np.eye(5)[None], y, output)
    assert jacobian.shape == (3, 5, 6)
    steps = h * np.eye(6)
    slope = [(bumps.forward(y + step) - bumps.forward(y - step)) / (2 * h) for step in steps]
    assert np.abs(jacobian - np.stack(slope, axis=2)).max() <= 1e-10
    rows = RNG(6).standard_normal((3, 2, 5))
    assert relative_error(bumps.pull_back(rows, y, output), rows @ jacobian) <= 1e-15


def test_far_away_there_is_nothing():
    """Value and slope underflow to exact zeros, without a warning, and an attack finds no direction."""
    bumps = RadialBasis(np.zeros((2, 6)), [1.0, 2.0])
    net = Network([Flatten(), bumps, Dense([[1.0, 0.0, 0.2], [0.0, 1.0, 0.1]])], SHAPE)
    x = np.full((1, *SHAPE), 20.0)
    assert not bumps.forward(x.reshape(1, 6)).any()
    assert not loss_gradient(net, x, [0]).any()
    assert np.isnan(smallest_epsilon(net, x, [0]).epsilon).all()


def test_a_batch_may_be_empty():
    """No sample in, none out."""
    bumps, y = radial_layer(RNG(7)), np.zeros((0, 6))
    output = bumps.forward(y)
    assert output.shape == (0, 5)
    assert bumps.pull_back(np.eye(5)[None], y, output).shape == (0, 5, 6)


def test_arguments_stay_as_they_were_and_the_layer_cannot_be_changed():
    """Centres and sharpness are copies that refuse to be written to."""
    centres, sharpness = RNG(8).random((2, 3)), np.ones(2)
    bumps = RadialBasis(centres, sharpness)
    centres[:], sharpness[:] = 7.0, 7.0
    assert bumps.centres.max() < 1.0
    assert bumps.sharpness.tolist() == [1.0, 1.0]
    for array in (bumps.centres, bumps.sharpness):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


@pytest.mark.parametrize(
    ("centres", "sharpness", "message"),
    [
        (np.ones(3), [1.0], r"centres: expected shape \(rows, inputs\), at least one row, received \(3,\)"),
        (np.ones((0, 3)), [], r"centres: expected shape .* at least one row, received \(0, 3\)"),
        (np.ones((2, 3)), 1.0, r"sharpness: expected shape \(rows,\), at least one row, received \(\)"),
        (np.ones((2, 3)), np.ones(3), r"sharpness: expected shape \(2,\), received \(3,\)"),
        (np.ones((2, 3)), [1.0, 0.0], r"sharpness: expected positive numbers, received 0\.0"),
        (np.ones((2, 3)), [1.0, np.inf], r"sharpness: expected finite numbers, received inf at \(1,\)"),
        ([[1.0, np.nan]], [1.0], r"centres: expected finite numbers, received nan at \(0, 1\)"),
        (np.ones((2, 3)) * 1j, np.ones(2), "centres: expected real numbers"),
    ],
)
def test_a_layer_that_makes_no_sense_is_refused(centres, sharpness, message):
    """One ValueError that says what is wrong."""
    with pytest.raises(ValueError, match=message):
        RadialBasis(centres, sharpness)


def test_an_input_that_does_not_fit_is_refused():
    """A network names the layer, the columns it needs and those it has."""
    with pytest.raises(ValueError, match=r"layers\[1\]: centres: expected 6 columns .* received shape \(5, 4\)"):
        Network([Flatten(), radial_layer(RNG(0), inputs=4), Dense(np.ones((2, 6)))], SHAPE)


def test_the_loss_gradient_equals_central_differences():
    """Of -log softmax, through bumps, activations and affine maps."""
    net, x, h = radial_network(), RNG(9).random((4, *SHAPE)), 1e-5
    label = np.array([0, 1, 2, 3])

    def loss(x):
        logits = net(x)
        return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(4), label]

    found = loss_gradient(net, x, label)
    for pixel in np.ndindex(SHAPE):
        step = np.zeros(SHAPE)
        step[pixel] = h
        slope = (loss(x + step) - loss(x - step)) / (2 * h)
        assert np.abs(found[:, *pixel] - slope).max() <= 1e-9


def test_steps_along_a_ray_are_those_of_a_fine_scan():
    """FGSM's step, and ε_min: nothing on a grid up to just below it succeeds, and it does."""
    net, x = radial_network(1), RNG(10).random((40, *SHAPE))
    label = net.classify(x)
    found = smallest_epsilon(net, x, label)
    known = np.isfinite(found.epsilon)
    assert known.sum() >= 15
    assert found.success[known].all()
    ray = fgsm(net, x, label, 1.0).dx
    wins = np.array([net.classify(x + step * ray) != label for step in np.linspace(0.0, 1.0, 2001)])
    first = np.where(wins.any(axis=0), wins.argmax(axis=0) / 2000, np.nan)
    np.testing.assert_array_equal(np.isnan(first), ~known)
    assert (np.abs(found.epsilon - first + 0.00025)[known] <= 0.00025 + 2e-6).all()


def test_attacks_on_input_and_weights_reach_their_target():
    """Paper B's programme needs only derivatives; it moves the affine maps and leaves centres and sharpness alone."""
    net, x = radial_network(2), RNG(11).random((6, *SHAPE))
    target = np.argsort(net(x), axis=1)[:, -2]
    for on in ("input", "weights"):
        result = attack(net, x, target, on=on, method="converged")
        assert result.success.all()
        for i in range(6):
            other, image = net.perturbed(result.perturbation, i)
            assert other.layers[1] is net.layers[1]
            assert other.classify(image[None]) == target[i]


def test_saving_and_loading_changes_nothing(tmp_path):
    """Several such layers come back bit for bit, from a file without pickle."""
    rng = RNG(12)
    layers = [Flatten(), radial_layer(rng), radial_layer(rng, 3, 5), Dense(rng.random((2, 4)))]
    net = Network(layers, SHAPE, "softmax", (0, 1))
    net.save(tmp_path / "net.npz")
    again = Network.load(tmp_path / "net.npz")
    for k in (1, 2):
        assert again.layers[k].centres.tobytes() == net.layers[k].centres.tobytes()
        assert again.layers[k].sharpness.tobytes() == net.layers[k].sharpness.tobytes()
    x = rng.random((3, *SHAPE))
    assert again(x).tobytes() == net(x).tobytes()


@pytest.mark.parametrize(
    ("entry", "arrays", "message"),
    [
        ({"shape": [2, 6]}, {"S1": np.ones(2)}, r"expected C1 of shape \[2, 6\], found none"),
        (
            {"shape": [2, 6]},
            {"C1": np.ones((3, 6)), "S1": np.ones(2)},
            r"expected C1 of shape \[2, 6\], found \[3, 6\]",
        ),
        ({"shape": [2, 6]}, {"C1": np.ones((2, 6)), "S1": np.ones(3)}, r"expected S1 of shape \[2\], found \[3\]"),
        ({"shape": [2, 6]}, {"C1": np.ones((2, 6)), "S1": -np.ones(2)}, "sharpness: expected positive numbers"),
        ({}, {"C1": np.ones((2, 6)), "S1": np.ones(2)}, r"expected \['shape'\] of a RadialBasis"),
    ],
)
def test_a_file_with_a_wrong_layer_is_refused(tmp_path, entry, arrays, message):
    """One ValueError that names path and layer, what was expected and what was found."""
    layers = [{"kind": "Flatten"}, {"kind": "RadialBasis"} | entry, {"kind": "Dense", "shape": [2, 3], "bias": True}]
    header = {"format": "bea network 1", "layers": layers, "input_shape": SHAPE}
    header |= {"output_activation": "linear", "input_range": None}
    path = tmp_path / "net.npz"
    np.savez(path, header=np.array(json.dumps(header)), A1=np.ones((2, 3)), **arrays)
    with pytest.raises(ValueError, match=f"{path}: layer 1: {message}"):
        Network.load(path)


def model(seed=0):
    """The classifier of the book, small, its weights moved away from where it starts."""
    made = keras_models.rbf_classifier(RNG(13).random((5, *SHAPE)), 0.7, 4, SHAPE, seed)
    rng = RNG(14)
    made.set_weights([array + 0.3 * rng.standard_normal(array.shape) for array in made.get_weights()])
    return made


def test_a_converted_model_and_its_jacobian_are_those_of_keras(double):
    """Logits and their derivatives, the latter by JAX, in float64."""
    theirs, x = model(), RNG(15).random((6, *SHAPE))
    net = Network.from_keras(theirs)
    assert [type(one) for one in net.layers] == [Flatten, RadialBasis, Dense]
    assert relative_error(net(x), keras_models.outputs(theirs, x)) <= 1e-15
    jacobian = pytest.importorskip("jax").jacobian(lambda image: theirs(image[None])[0])
    expected = [np.reshape(jacobian(image), (4, 6)) for image in x]
    assert relative_error(net.linearise(x).jacobian, expected) <= 1e-14


def test_a_keras_model_comes_back_from_its_file(tmp_path):
    """With its own layer, all weights bit for bit, and the same outputs."""
    before = model()
    keras_models.save(before, tmp_path / "model.keras")
    after = keras_models.load(tmp_path / "model.keras")
    for found, array in zip(after.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(found, array)
    x = RNG(16).random((3, *SHAPE))
    np.testing.assert_array_equal(keras_models.outputs(after, x), keras_models.outputs(before, x))


def test_a_classifier_starts_where_it_was_told_to():
    """Centres, sharpness and classes; the seed fixes the rest."""
    centres = RNG(17).random((5, *SHAPE)).astype(np.float32)
    first, second, other = (
        Network.from_keras(keras_models.rbf_classifier(centres, 0.7, 4, SHAPE, seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.layers[1].centres, centres.reshape(5, 6))
    assert np.abs(first.layers[1].sharpness - 0.7).max() <= 1e-7
    np.testing.assert_array_equal(first.weighted[0].matrix, second.weighted[0].matrix)
    assert not np.array_equal(first.weighted[0].matrix, other.weighted[0].matrix)


@pytest.mark.parametrize(
    ("centres", "sharpness", "message"),
    [
        (np.ones((5, 6)), 1.0, r"centres: expected images of shape \(2, 3\), received shape \(5, 6\)"),
        (np.ones((0, 2, 3)), 1.0, r"centres: expected images .* received shape \(0, 2, 3\)"),
        (np.ones((5, 2, 3)), 0.0, r"sharpness: expected a positive number, received 0\.0"),
        (np.ones((5, 2, 3)), np.nan, "sharpness: expected a positive number, received nan"),
    ],
)
def test_a_classifier_without_a_start_is_refused(centres, sharpness, message):
    """One ValueError, before a model is made."""
    with pytest.raises(ValueError, match=message):
        keras_models.rbf_classifier(centres, sharpness, 4, SHAPE)


def rings(n=600):
    """Two classes that no straight line separates: within a distance of the middle, and beyond a larger one."""
    rng = RNG(18)
    labels = rng.integers(0, 2, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = rng.uniform(0.0, 0.15, n) + 0.3 * labels
    x = 0.5 + radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    x = x.reshape(n, 1, 2).astype(np.float32)
    return Dataset("rings", "", x[:400], labels[:400], x[400:], labels[400:])


def test_training_stops_at_the_accuracy_asked_for_and_goes_on_from_there():
    """The last look is the first that reaches it; another call continues; looks are limited."""
    data = rings()
    one = keras_models.rbf_classifier(data.x_train[:20], 10.0, 2, (1, 2))
    options = {"rate": 0.01, "batch_size": 20, "images": 200}
    seen = training.train_until(one, data, 0.8, most=200, **options)
    assert seen[-1] >= 0.8
    assert (seen[:-1] < 0.8).all()
    more = training.train_until(one, data, 1.0, most=200, **options)
    assert more[-1] == 1.0
    assert more[0] >= 0.7
    assert np.mean(Network.from_keras(one).classify(data.x_test) == data.y_test) == 1.0
    assert len(training.train_until(one, data, 1.1, most=3, **options)) == 3
