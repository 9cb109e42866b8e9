"""`bea.Quantise`: the nearest level, no derivative but a pretended one, its files, and what attacks make of it."""

import json

import jax
import numpy as np
import pytest

from bea import Activation, Dense, Flatten, Network, Quantise, attack
from bea.attacks import rays
from bea.attacks.epsilon_search import smallest_epsilon
from bea.attacks.gradient_signs import fgsm
from bea.attacks.projected_gradient import pgd
from bea.attacks.saliency import saliency_attack
from oracles import random_images, random_network, relative_error

RNG = np.random.default_rng
SHAPE = (2, 3)
CASES = [(2, 0.0, 1.0), (3, 0.0, 1.0), (16, 0.0, 1.0), (5, -1.0, 2.5), (256, -7.0, -0.1)]
on_any_grid = pytest.mark.parametrize(("levels", "low", "high"), CASES)


def hidden(seed=0, levels=4, straight_through=False, **options):
    """A network behind a quantiser, and the network itself."""
    inner = random_network(RNG(seed), [(6, "tanh")], **options)
    return Network((Quantise(levels, 0.0, 1.0, straight_through), *inner.layers), SHAPE, **options), inner


@on_any_grid
def test_entries_go_to_the_nearest_level(levels, low, high):
    """By the distances to all levels, one entry at a time; beyond the ends the nearest level is an end."""
    y = RNG(1).uniform(low - 1.0, high + 1.0, (7, *SHAPE))
    grid = [low + (high - low) * k / (levels - 1) for k in range(levels)]
    nearest = [min(grid, key=lambda level: abs(level - entry)) for entry in y.ravel()]
    layer = Quantise(levels, low, high)
    assert layer.output_shape(SHAPE) == SHAPE
    assert np.abs(layer.forward(y) - np.reshape(nearest, y.shape)).max() <= 1e-15 * max(abs(low), abs(high))
    assert len(np.unique(layer.forward(np.linspace(low, high, 5000)))) == levels


@on_any_grid
def test_levels_stay_where_they_are(levels, low, high):
    """Quantising twice is quantising once, to the last bit."""
    layer = Quantise(levels, low, high)
    once = layer.forward(RNG(2).uniform(low, high, (5, 100)))
    np.testing.assert_array_equal(layer.forward(once), once)


def test_black_and_white_are_levels_and_ties_go_to_the_even_one():
    """0 and 1 are fixed points for any number of levels; half a step above level k goes to k + 1 if k is odd."""
    for levels in (2, 3, 7, 16, 32):
        np.testing.assert_array_equal(Quantise(levels).forward(np.array([[0.0, 1.0]])), [[0.0, 1.0]])
    ties = (np.arange(4) + 0.5) / 4
    np.testing.assert_array_equal(Quantise(5).forward(ties[None]), [[0.0, 0.5, 0.5, 1.0]])


def test_its_derivative_is_zero_as_differences_and_jax_have_it():
    """Between the ties, where differences mean something; by JAX through the same formula."""
    layer, y = Quantise(4), RNG(3).random((50, 6))
    y = y[(np.abs(3 * y % 1 - 0.5) > 1e-3).all(axis=1)]
    assert len(y) > 20
    rows = RNG(4).standard_normal((len(y), 3, 6))
    pulled = layer.pull_back(rows, y, layer.forward(y))
    assert pulled.shape == rows.shape
    assert not pulled.any()
    assert not (layer.forward(y + 1e-4) - layer.forward(y - 1e-4)).any()
    assert not np.asarray(jax.vmap(jax.grad(lambda v: jax.numpy.sum(jax.numpy.round(3 * v) / 3)))(y)).any()


def test_straight_through_gives_the_gradient_of_the_rest_at_the_quantised_image():
    """So J is that of the network behind, taken at Q(x)."""
    net, inner = hidden(straight_through=True)
    x = random_images(RNG(5), net, 8)
    z = net.layers[0].forward(x)
    np.testing.assert_array_equal(net(x), inner(z))
    np.testing.assert_array_equal(net.linearise(x).jacobian, inner.linearise(z).jacobian)
    weights = RNG(6).standard_normal((8, 4))
    np.testing.assert_array_equal(net.gradient(x, weights), inner.gradient(z, weights))


def test_inside_a_network_only_what_is_before_it_loses_its_derivative():
    """The layers behind keep their sensitivities, those before it and the input get zeros."""
    rng = RNG(7)
    first, last = Dense(rng.standard_normal((5, 7))), Dense(rng.standard_normal((4, 6)))
    net = Network((Flatten(), first, Activation("tanh"), Quantise(8, -1.0, 1.0), last), SHAPE)
    linear = net.linearise(random_images(rng, net, 3))
    assert not linear.jacobian.any()
    assert not linear.sensitivities[0].any()
    np.testing.assert_array_equal(linear.sensitivities[1], np.eye(4)[None])


def test_gradient_attacks_do_not_move():
    """The step is zero: success only where the class was wrong before; the greedy attack has no pixel to choose."""
    net, _ = hidden(input_range=(0.0, 1.0))
    x = random_images(RNG(8), net, 40)
    label = np.where(np.arange(40) < 30, net.classify(x), (net.classify(x) + 1) % 4)
    for result in (fgsm(net, x, label, 0.5, clip=True), pgd(net, x, label, 0.5, clip=True)):
        assert not result.dx.any()
        np.testing.assert_array_equal(result.success, np.arange(40) >= 30)
    result = saliency_attack(net, x, label)
    np.testing.assert_array_equal(np.isnan(result.dx).all(axis=(1, 2)), np.arange(40) < 30)
    np.testing.assert_array_equal(result.success, np.arange(40) >= 30)


def test_backward_error_attacks_say_what_came_of_them():
    """First order: no change exists, a failure. Converged: from other starts, and only what the network confirms."""
    net, _ = hidden(levels=2)
    x = random_images(RNG(9), net, 10)
    target = (net.classify(x) + 1) % 4
    result = attack(net, x, target, "input")
    assert not result.success.any()
    assert not result.perturbation.attained.any()
    result = attack(net, x, target, "input", method="converged")
    won = result.success
    np.testing.assert_array_equal(net.classify((x + result.perturbation.dx)[won]), target[won])


def test_no_proof_is_given_along_a_ray():
    """Slopes do not bound a step, so the ray module refuses; a search that proves nothing is free to try."""
    net, _ = hidden()
    x = random_images(RNG(10), net, 3)
    label = net.classify(x)
    for straight_through in (False, True):
        net, _ = hidden(straight_through=straight_through)
        with pytest.raises(ValueError, match="received a Quantise"):
            rays.changes(net, x, np.ones_like(x), label)
        with pytest.raises(ValueError, match="with a Quantise"):
            smallest_epsilon(net, x, label)
        assert not smallest_epsilon(net, x, label, method="bisection").proved.any()


@pytest.mark.parametrize("straight_through", [False, True])
def test_a_file_brings_it_back(tmp_path, straight_through):
    """All four fields, and the same logits."""
    net, _ = hidden(levels=7, straight_through=straight_through)
    net.save(tmp_path / "net.npz")
    again = Network.load(tmp_path / "net.npz")
    assert again.layers[0] == net.layers[0] == Quantise(7, 0.0, 1.0, straight_through)
    x = random_images(RNG(11), net, 5)
    np.testing.assert_array_equal(again(x), net(x))


def test_a_file_with_a_bad_or_missing_field_is_refused(tmp_path):
    """With the name of the field."""
    net, _ = hidden()
    net.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    for change, message in (
        ({"levels": 1}, "levels: expected"),
        ({"low": 2.0}, "low, high: expected"),
        ({"low": None}, "low: expected float"),
    ):
        bad = header | {"layers": [header["layers"][0] | change, *header["layers"][1:]]}
        np.savez(tmp_path / "bad.npz", **(arrays | {"header": json.dumps(bad)}))
        with pytest.raises(ValueError, match=message):
            Network.load(tmp_path / "bad.npz")
    del header["layers"][0]["high"]
    np.savez(tmp_path / "bad.npz", **(arrays | {"header": json.dumps(header)}))
    with pytest.raises(ValueError, match=r"expected .*high"):
        Network.load(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1,), "levels: expected a whole number from 2 on, received 1"),
        ((2.0,), "levels: expected"),
        ((True,), "levels: expected"),
        ((4, 1.0, 0.0), "low < high, received 1.0 and 0.0"),
        ((4, 0.0, 0.0), "low < high"),
        ((4, 0.0, np.inf), "low, high: expected finite"),
        ((4, np.nan, 1.0), "low, high: expected finite"),
        ((4, "0", 1.0), "low, high: expected finite"),
        ((4, 0.0, 1.0, 1), "straight_through: expected True or False, received 1"),
    ],
)
def test_bad_input_is_named(arguments, message):
    """One message that says what was expected and what came."""
    with pytest.raises(ValueError, match=message):
        Quantise(*arguments)


def test_numpy_scalars_are_taken():
    """As they come out of arrays; what is kept are Python's own numbers, which JSON can hold."""
    layer = Quantise(np.int64(3), np.float32(0.0), np.int64(2), np.bool_(True))
    assert layer == Quantise(3, 0.0, 2.0, True)
    assert [type(value) for value in vars(layer).values()] == [int, float, float, bool]
    assert relative_error(layer.forward(np.array([[0.4, 0.6]])), [[0.0, 1.0]]) == 0.0
