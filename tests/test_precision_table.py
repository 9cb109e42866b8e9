"""`bea.precision.conditioning` and `.table`: κ by differences, what is computed again, and what the table says."""

import math

import numpy as np
import pytest

from bea import Activation, Dense, Flatten, Network, Readout, Residual, backward_error
from bea.precision import certified, component_conditions, low_precision, recompute, report, summary
from bea.precision.table import USUAL, columns
from oracles import HIDDEN, image_network, random_images, random_network

RNG = np.random.default_rng


@pytest.mark.parametrize("hidden", ["one", "two", "two-relu", "three", "three-linear"])
def test_conditions_are_worst_relative_changes(hidden):
    """Of a component when all of its products change by the same small share, each in the direction that adds up."""
    net = random_network(RNG(1), HIDDEN[hidden])
    x = random_images(RNG(2), net, 30)
    step, h, found = 1e-6, x, component_conditions(net, x)
    numbers = iter(found)
    for layer, following in zip(net.layers, (*net.layers[1:], None), strict=True):
        v = layer.forward(h)
        if isinstance(layer, Dense):
            sizes = layer.with_matrix(np.abs(layer.matrix)).forward(np.abs(h))
            f = following.forward if isinstance(following, Activation) else lambda v: v
            change = (f(v + step * sizes) - f(v - step * sizes)) / (2.0 * step)
            expected = np.divide(np.abs(change), np.abs(f(v)), out=np.zeros_like(v), where=f(v) != 0.0)
            # κ u is far below one here but where the sum nearly cancels, and differences are no derivative.
            clear = np.abs(v) > 100 * step * sizes
            np.testing.assert_allclose(next(numbers)[clear], expected[clear], rtol=1e-5, atol=1e-9)
            assert clear.mean() > 0.99
        h = v
    assert len(found) == len(net.weighted)


def test_conditions_of_sums_that_vanish():
    """Infinite where terms cancel, one where there are none, and zero where the activation is flat."""
    net = Network(
        (Dense([[1.0, -1.0], [0.0, 0.0], [-1.0, 0.0]], False), Activation("relu"), Dense(np.ones((2, 4)))), (2,)
    )
    np.testing.assert_array_equal(component_conditions(net, np.ones((1, 2)))[0], [[0.0, 0.0, 0.0]])
    linear = Network((net.layers[0],), (2,))
    np.testing.assert_array_equal(component_conditions(linear, np.ones((1, 2)))[0], [[np.inf, 1.0, 1.0]])


@pytest.mark.parametrize("name", ["max pools", "three"])
def test_all_or_nothing_is_computed_again(name):
    """With the threshold infinity as without, with zero as with the other accumulator."""
    net = image_network(name, 3) if name == "max pools" else random_network(RNG(3), HIDDEN[name])
    x = random_images(RNG(4), net, 20)
    none, every = (recompute(net, x, "bfloat16", threshold) for threshold in (np.inf, 0.0))
    np.testing.assert_array_equal(none.result.logits, low_precision(net, x, "bfloat16").logits)
    np.testing.assert_array_equal(none.share, 0.0)
    # Relu is flat on one side, and such components are left; in the first and the last layer there are none.
    assert np.sum(np.all(every.share == 1.0, axis=0)) == 2
    better = low_precision(net, x, "bfloat16", "float32")
    assert np.mean(every.result.logits == better.logits) > 0.9


def test_some_are_computed_again_and_help():
    """Each component is one of the two passes', by its κ; shares fall with the threshold, and errors rise."""
    rng = RNG(5)
    net = random_network(rng, [], 6, (200,))
    x = rng.random((400, 200))
    low, high = (low_precision(net, x, "bfloat16", accumulator).logits for accumulator in (None, "float32"))
    kappa = component_conditions(net, x)[0]
    errors, shares = [], []
    for threshold in (1.0, 10.0, 30.0, np.inf):
        found = recompute(net, x, "bfloat16", threshold)
        clear = np.abs(kappa / threshold - 1.0) > 0.5  # κ is an estimate from few digits
        expected = np.where(kappa > threshold, high, low)
        assert np.mean(found.result.logits[clear] == expected[clear]) > 0.9
        errors.append(np.median(np.abs(found.result.logits - net(x)) / np.abs(net(x))))
        shares.append(found.share.mean())
        np.testing.assert_allclose(found.cost, found.share[:, 0])
    assert errors == sorted(errors)
    assert shares == sorted(shares, reverse=True)
    assert errors[0] < 0.3 * errors[-1]
    assert shares[0] == 1.0
    assert shares[-1] == 0.0


def test_what_is_not_finite_is_computed_again():
    net = Network((Dense([[300.0, 300.0], [1.0, 0.0]], False), Activation("tanh"), Dense(np.eye(2, 3))), (2,))
    x = np.array([[300.0, -300.0], [0.001, 0.001]])
    assert not low_precision(net, x, "float16").finite[0]
    found = recompute(net, x, "float16", np.inf)
    assert found.result.finite.all()
    np.testing.assert_array_equal(found.share, [[0.5, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(found.cost, [2.0 / 10.0, 0.0])
    np.testing.assert_array_equal(found.result.overflowed, [True, False])


def test_an_infinite_logit_is_computed_again():
    """Beside an infinite sum its terms are nothing, so that κ alone would not tell."""
    net = Network((Dense([[300.0, 1.0], [1.0, 0.0]], False),), (2,))
    x = np.array([[300.0, -60000.0]])
    assert np.isposinf(low_precision(net, x, "float16").logits[0, 0])
    found = recompute(net, x, "float16", np.inf)
    np.testing.assert_array_equal(found.result.logits, [[30000.0, 300.0]])
    np.testing.assert_array_equal(found.share, [[0.5]])


def test_what_is_wrong_is_said():
    net = random_network(RNG(6))
    x = random_images(RNG(7), net, 2)
    residual = Network((Residual((Dense(np.ones((2, 3))),)), Readout.identity(2)), (2,))
    for wrong in (-1.0, math.nan):
        with pytest.raises(ValueError, match="threshold: expected"):
            recompute(net, x, "float16", wrong)
    with pytest.raises(ValueError, match="received a residual sum"):
        component_conditions(residual, np.ones((1, 2)))
    with pytest.raises(ValueError, match="high: expected one of"):
        recompute(net, x, "float16", 1.0, high="double")
    for images, formats in ((x[:0], USUAL), (x, ())):
        with pytest.raises(ValueError, match="x, formats: expected at least one of each"):
            summary(net, images, formats)


def test_the_table_says_what_the_package_says():
    """Each row from the functions themselves; the flipped are among those at risk."""
    net = random_network(RNG(8), HIDDEN["two"], 10)
    x = random_images(RNG(9), net, 200)
    rows = summary(net, x, ["float32", "bfloat16", ("float8_e5m2", "float32"), "int8"])
    accumulators = ["float32", "bfloat16", "float32", "float32"]
    assert [row.accumulator for row in rows] == accumulators
    for row in rows:
        found = low_precision(net, x, row.format, row.accumulator)
        errors = np.sqrt(backward_error(net, x, found.logits, "weights").objective)
        assert (row.backward_error, row.largest_error) == (np.median(errors), errors.max())
        assert row.largest_error <= row.deterministic
        assert row.certified == np.sum(certified(net, x, row.format, row.accumulator))
        assert row.flipped == np.sum(found.classes != net.classify(x)) <= row.at_risk
        assert row.certified + row.at_risk == row.images == 200
        assert row.stable
    flipped = [row.flipped for row in rows]
    assert flipped[0] == 0 < flipped[2]


def test_what_overflows_is_neither_stable_nor_safe():
    """And where there is no finite logit there is no backward error; other layers have no bound."""
    net = Network((Dense([[300.0], [1.0]], False),), (1,))
    (row,) = summary(net, np.full((3, 1), 300.0), ["float16"])
    assert (row.not_finite, row.overflowed, row.flipped, row.at_risk) == (3, 3, 3, 3)
    assert not row.stable
    assert np.isnan(row.backward_error)
    pool = image_network("pool first", 10)
    (row,) = summary(pool, random_images(RNG(11), pool, 4), ["bfloat16"])
    assert np.isnan(row.deterministic)
    assert row.stable


def test_one_call_reports_on_a_keras_model():
    """The frame is that of the network that the model is read as."""
    from lab.keras_backend import keras

    model = keras.Sequential([keras.Input((2, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
    x = RNG(12).random((5, 2, 3))
    frame = report(model, x)
    net = Network.from_keras(model)
    assert isinstance(net.layers[0], Flatten)
    assert frame.to_dict("list") == columns(summary(net, x)) == report(net, x).to_dict("list")
    assert list(zip(frame["format"], frame["accumulator"], strict=True)) == list(USUAL)
