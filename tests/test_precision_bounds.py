"""`bea.precision.growth` and `.certificate`: no rounding exceeds its bound, and no certified decision changes."""

import math

import numpy as np
import pytest

from bea import Activation, AveragePool, Dense, Flatten, Network, Readout, Residual, backward_error, lower_bound
from bea.precision import (
    Format,
    certified,
    deterministic_bound,
    enclosed_logits,
    layer_errors,
    likely_growth,
    low_precision,
    probabilistic_bound,
    quantised,
    unit_roundoff,
    worst_growth,
)
from bea.precision.growth import multiplier_of, proven_total
from oracles import HIDDEN, image_network, random_images, random_network

RNG = np.random.default_rng
FOUR_DIGITS = Format("four digits", 4, -126, 127)
PAIRS = [("float32", None), ("float16", None), ("float16", "float32"), ("bfloat16", None), ("bfloat16", "float32")]
PAIRS += [("float8_e4m3", "float32"), ("float8_e5m2", "float32"), ("int8", None)]


def shares(net, x, logits):
    """Smallest β with ``|ΔA| ≤ β |A|`` entry by entry that explains logits of one layer (Oettli and Prager 1964)."""
    layer, h = net.layers[-1], np.abs(x.reshape(len(x), -1))
    sizes = h @ np.abs(layer.kernel).T + (np.abs(layer.matrix[:, -1]) if layer.bias else 0.0)
    return (np.abs(logits - net(x)) / sizes).max(axis=1)


# ---- backward error bounds ------------------------------------------------------------


@pytest.mark.parametrize("accumulator", [None, "float32"])
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_one_layer_keeps_to_both_bounds(name, accumulator):
    """10,000 images: all below the deterministic bound and at least 95 % below the other, in either norm."""
    net = random_network(RNG(1), [], 5, (100,))
    x = RNG(2).random((10_000, 100))
    found = low_precision(net, x, name, accumulator).logits
    each = shares(net, x, found)
    whole = np.sqrt(backward_error(net, x, found, "weights").objective)
    worst = deterministic_bound(net, name, accumulator, form="linear")
    likely = probabilistic_bound(net, name, accumulator)
    assert np.all(each <= worst.componentwise[0])
    assert np.all(whole <= worst.total)
    assert np.mean(each <= likely.componentwise[0]) >= 0.95
    assert np.mean(whole <= likely.total) >= 0.95
    assert worst.componentwise[0] <= deterministic_bound(net, name, accumulator).componentwise[0]
    assert each.max() > 0.02 * worst.componentwise[0]  # and the bound is about what is bounded


def test_a_single_product_nearly_attains_its_bound():
    """Many weights, one pixel: three roundings, of both and of the product."""
    rng, u = RNG(3), unit_roundoff("bfloat16")
    net = Network((Dense(1.0 + 0.1 * rng.random((300, 1)), bias=False),), (1,))
    x = 1.0 + 0.1 * rng.random((300, 1))
    found = shares(net, x, low_precision(net, x, "bfloat16").logits)
    bound = deterministic_bound(net, "bfloat16")
    assert bound.terms[0] == 1
    assert 0.75 * bound.total < found.max() <= bound.total
    assert bound.total == pytest.approx(3.0 * u / (1.0 - 3.0 * u), rel=1e-14)


@pytest.mark.parametrize(
    ("order", "bias", "terms"), [("sequential", True, 38), ("sequential", False, 37), ("pairwise", True, 8)]
)
def test_roundings_are_counted(order, bias, terms):
    """37 products: 36 sums one after the other, or 6 at most in pairs, and one more with a bias."""
    net = random_network(RNG(4), [(6, "tanh"), (5, "relu")], 3, (37,), bias)
    last = 5 + bias if order == "sequential" else 1 + 3 + bias
    assert deterministic_bound(net, "float16", order=order).terms.tolist()[::2] == [terms, last]
    u, v = unit_roundoff("float16"), unit_roundoff("float32")
    found = deterministic_bound(net, "float16", order=order).componentwise
    # Behind tanh one more, behind relu none: weight and input, weight and tanh, weight.
    own, others = deterministic_bound(net, "float16", order=order).terms, np.array([2, 2, 1])
    counts = own + others
    np.testing.assert_allclose(found, counts * u / (1.0 - counts * u), rtol=1e-12)
    # With another accumulator the stored result is one more.
    stored = others + 1
    mixed = (1.0 + own * v / (1.0 - own * v)) * (1.0 + stored * u / (1.0 - stored * u)) - 1.0
    found = deterministic_bound(net, "float16", "float32", order=order).componentwise
    np.testing.assert_allclose(found, mixed, rtol=1e-12)
    found = deterministic_bound(net, "float16", rounding="stochastic", order=order).componentwise
    np.testing.assert_allclose(found, counts * 2 * u / (1.0 - counts * 2 * u), rtol=1e-12)


def test_the_total_is_the_norm_of_all_layers():
    net = random_network(RNG(5), HIDDEN["three"])
    for bound in (
        deterministic_bound(net, "float16"),
        probabilistic_bound(net, "float16"),
        deterministic_bound(net, "int8"),
    ):
        assert bound.total == pytest.approx(math.sqrt(np.sum(bound.normwise**2)), rel=1e-14)
        assert np.all(bound.normwise <= bound.componentwise)
    for accumulator in (None, "float32"):  # few roundings: what is likely is never more than what is possible
        worst = deterministic_bound(net, "bfloat16", accumulator, form="linear")
        assert np.all(probabilistic_bound(net, "bfloat16", accumulator).normwise <= worst.normwise)


@pytest.mark.parametrize(("name", "accumulator"), [*PAIRS[1:5], (FOUR_DIGITS, "float32"), ("int8", None)])
@pytest.mark.parametrize("hidden", ["two", "two-relu", "three"])
def test_the_theorem_for_networks_holds_layer_by_layer(hidden, name, accumulator):
    """``|v̂ - A h| ≤ β |A| |h|``, h = f(v̂ of the layer before): with such weights the logits are the computed ones."""
    net = random_network(RNG(6), HIDDEN[hidden])
    x = random_images(RNG(7), net, 300)
    errors = layer_errors(net, x, name, accumulator)
    for form in ("gamma", "linear"):
        assert np.all(errors <= deterministic_bound(net, name, accumulator, form=form).componentwise)
    # Image 0 by hand: its changes of the weights, by those shares at most, give the computed logits.
    h, layers, number = x[:1], [], 0
    for end, layer in enumerate(net.layers, start=1):
        if isinstance(layer, Dense):
            stored = low_precision(Network(net.layers[:end], net.input_shape), x[:1], name, accumulator).logits
            one = layer.augment(h)
            share = (stored - layer.forward(h)) / (np.abs(one) @ np.abs(layer.matrix).T)
            assert np.abs(share).max() == pytest.approx(errors[0, number], rel=1e-6)
            layers.append(layer.with_matrix(layer.matrix + share.T * np.abs(layer.matrix) * np.sign(one)))
            h, number = stored, number + 1
        else:
            layers.append(layer)
            h = layer.forward(h)
    found = Network(tuple(layers), net.input_shape)(x[:1])
    np.testing.assert_allclose(found, low_precision(net, x[:1], name, accumulator).logits, rtol=1e-12, atol=1e-14)


def test_componentwise_errors_of_one_layer_are_those_of_oettli_and_prager():
    """And of a convolution, at each position; zero where nothing is rounded, not finite for an infinity."""
    net = random_network(RNG(26), [], 5, (100,))
    x = RNG(27).random((50, 100))
    expected = shares(net, x, low_precision(net, x, "bfloat16").logits)
    np.testing.assert_allclose(layer_errors(net, x, "bfloat16")[:, 0], expected, rtol=1e-12)
    images = image_network("max pools", 28)
    y = random_images(RNG(29), images, 20)
    errors = layer_errors(images, y, "float16")
    assert np.all(errors <= deterministic_bound(images, "float16").componentwise)
    assert np.all(errors > 0.0)
    exact = Network((Dense([[1.0, 0.5], [2.0, 0.0]], bias=False),), (2,))
    np.testing.assert_array_equal(layer_errors(exact, [[1.0, 2.0], [0.0, 0.0]], "bfloat16"), 0.0)
    assert not np.isfinite(layer_errors(exact, [[7e4, 1.0]], "float16")).any()
    residual = Network((Residual((Dense(np.ones((2, 3))),)), Readout.identity(2)), (2,))
    with pytest.raises(ValueError, match="received a residual sum"):
        layer_errors(residual, np.ones((1, 2)), "float16")


def test_growth_is_that_of_products():
    """γ_n is a bound of n factors 1 ± u, and γ̃ of random ones as often as it says."""
    u, n = 2.0**-8, 60
    extremes = abs((1.0 + u) ** n - 1.0), abs((1.0 - u) ** -n - 1.0)
    assert max(extremes) <= worst_growth(n, u)
    assert worst_growth(256, u) == np.inf
    random = np.abs(np.prod(1.0 + u * RNG(8).uniform(-1.0, 1.0, (20_000, n)), axis=1) - 1.0)
    lam = multiplier_of(0.9, 1, u)
    assert 2.0 * math.exp(-(lam**2) * (1.0 - u) ** 2 / 2.0) == pytest.approx(0.1, rel=1e-12)
    assert np.mean(random > likely_growth(n, u, lam)) <= 0.1
    assert likely_growth(n, u, lam) < worst_growth(n, u) / 2.0
    # Signs at random are the worst distribution: there little is given away.
    signs = np.abs(np.prod(1.0 + u * RNG(9).choice([-1.0, 1.0], (20_000, n)), axis=1) - 1.0)
    assert 0.0 < np.mean(signs > likely_growth(n, u, lam)) <= 0.1


def test_layers_whose_roundings_are_no_change_of_weights_are_refused():
    rng = RNG(10)
    layers = (AveragePool(1), Flatten(), Dense(rng.random((2, 5))))
    with pytest.raises(ValueError, match="received a AveragePool"):
        deterministic_bound(Network(layers, (2, 2, 1)), "float16")
    residual = Network((Residual((Dense(rng.random((2, 3))),)), Readout.identity(2)), (2,))
    with pytest.raises(ValueError, match="received a Residual"):
        probabilistic_bound(residual, "float16")


def test_activations_that_round_without_weights_between_them_are_refused():
    """What is rounded before the second one is a change inside it, which it may magnify."""
    layer = Dense(RNG(11).random((2, 3)))
    first = Network((Activation("sigmoid"), layer), (2,))
    for bound in (deterministic_bound, probabilistic_bound):
        with pytest.raises(ValueError, match="next one that does, received sigmoid"):
            bound(first, "float16")
    between = (layer, Activation("tanh"), Activation("relu"), Activation("sigmoid"), layer)
    with pytest.raises(ValueError, match="next one that does, received sigmoid"):
        deterministic_bound(Network(between, (2,)), "float16")
    # One that rounds nothing hands on what is rounded, no matter where.
    plain, bent = (layer, Activation("tanh"), layer), (Activation("relu"), *between[:3], layer)
    found = [deterministic_bound(Network(layers, (2,)), "float16").total for layers in (plain, bent)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "best"}, "form: expected one of"),
        ({"form": "linear", "rounding": "stochastic"}, 'form: expected "gamma"'),
        ({"confidence": 1.0}, "confidence: expected a number between 0 and 1"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    call = probabilistic_bound if "confidence" in arguments else deterministic_bound
    with pytest.raises(ValueError, match=message):
        call(random_network(RNG(11)), "float16", **arguments)


# ---- certificates -----------------------------------------------------------------------


def networks():
    """Networks with leads of all sizes, by name; their weights are 0.3 and 2 times Gaussian."""
    rng = RNG(12)
    found = {hidden: random_network(rng, HIDDEN[hidden], 4) for hidden in ("one", "two", "two-relu", "three")}
    found["smooth"] = random_network(rng, [(6, Activation("smooth_relu", 0.1)), (6, "gelu")], 4)
    found |= {name: image_network(name, 13) for name in ("max pools", "pool first", "convolution")}
    branch = (Dense(rng.standard_normal((6, 7))), Activation("tanh"))
    found["residual"] = Network((Flatten(), Residual(branch), Activation("relu"), Dense(rng.random((3, 7)))), (2, 3))
    return found


NETWORKS = networks()


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_lie_in_their_intervals_and_no_certified_decision_changes(name):
    """Nine networks, eight formats and accumulators, two orders, rounding to nearest and at random."""
    net, safe = NETWORKS[name], 0
    x = random_images(RNG(14), net, 60)
    own = net.classify(x)
    for format, accumulator in PAIRS:
        for order in ("sequential", "pairwise"):
            for rounding in ("nearest", "stochastic"):
                options = {"accumulator": accumulator, "rounding": rounding}
                middle, radius = enclosed_logits(net, x, format, order=order, **options)
                of_any, wider = enclosed_logits(net, x, format, order="any", **options)
                found = certified(net, x, format, order=order, **options)
                computed = low_precision(net, x, format, order=order, seed=15, **options)
                assert np.all(np.abs(computed.logits - middle) <= radius)
                assert np.all(np.abs(computed.logits - of_any) <= wider)
                assert np.all(radius <= wider)
                assert np.all(computed.classes[found] == own[found])
                assert not np.any(certified(net, x, format, order="any", **options) & ~found)
                safe += found.sum()
    assert safe > 0.2 * 60 * len(PAIRS) * 4


def test_sums_in_any_order_stay_in_the_interval():
    """Columns and pixels in 50 other orders: the exact logits are the same, the computed ones are not."""
    rng = RNG(16)
    net = random_network(rng, [], 4, (40,))
    x = rng.random((50, 40))
    middle, radius = enclosed_logits(net, x, "bfloat16", order="any")
    seen = set()
    for _ in range(50):
        order = rng.permutation(40)
        layer = net.layers[0]
        other = Network((layer.with_matrix(layer.matrix[:, [*order, 40]]),), (40,))
        logits = low_precision(other, x[:, order], "bfloat16").logits
        assert np.all(np.abs(logits - middle) <= radius)
        seen.add(logits[0, 0])
    assert len(seen) > 5


def test_subnormal_numbers_are_within_the_interval():
    """All weights, products and logits of float16 are subnormal, where relative errors have no bound."""
    rng = RNG(17)
    net = random_network(rng, [], 3, (10,))
    net = Network((net.layers[0].with_matrix(net.layers[0].matrix * 1e-5),), (10,))
    x = rng.random((200, 10))
    for order in ("sequential", "pairwise", "any"):
        middle, radius = enclosed_logits(net, x, "float16", order=order)
        computed = low_precision(net, x, "float16", order="sequential" if order == "any" else order)
        assert computed.subnormal.all()
        assert np.all(np.abs(computed.logits - middle) <= radius)
        assert np.any(np.abs(computed.logits - middle) > unit_roundoff("float16") * np.abs(middle) * 40)


def test_what_may_overflow_is_not_certified():
    """In float16, an input, a product, a sum or a stored result too large, though the class may be right."""
    net = Network((Dense([[300.0, 1.0], [-300.0, 1.0]], bias=False),), (2,))
    x = np.array([[1.0, 1.0], [0.0, 7e4], [250.0, 0.0], [210.0, 6e4]])
    for order in ("sequential", "any"):
        np.testing.assert_array_equal(certified(net, x, "float16", order=order), [True, False, False, False])
        assert certified(net, x, "bfloat16", order=order)[[0, 2]].all()
    # Sums that float32 holds and float16 does not, and weights.
    np.testing.assert_array_equal(certified(net, x, "float16", "float32"), [True, False, False, False])
    large = Network((Dense([[7e4], [1.0]], bias=False),), (1,))
    for rounding in ("nearest", "stochastic"):
        assert not certified(large, np.full((2, 1), 1e-3), "float16", rounding=rounding).any()


def test_units_may_be_switched_on_by_rounding():
    """400 units of relu whose sums nearly vanish: the interval holds what is positive here and negative there."""
    rng, units = RNG(31), 400
    kernel, x = rng.standard_normal((units, 40)), rng.random((1, 40))
    first = Dense(np.column_stack([kernel, -kernel @ x[0]]))
    net = Network((first, Activation("relu"), Readout.identity(units)), (40,))
    middle, radius = enclosed_logits(net, x, "bfloat16")
    computed = low_precision(net, x, "bfloat16").logits
    assert np.sum((middle == 0.0) & (computed > 0.0)) > 10
    assert np.all(np.abs(computed - middle) <= radius)


@pytest.mark.parametrize("accumulator", [None, "float32"])
def test_single_products_rounded_at_random_nearly_reach_the_ends_of_their_interval(accumulator):
    """Weight, pixel, and product or result, each by up to two units."""
    rng = RNG(32)
    net = Network((Dense(1.0 + 0.05 * rng.random((400, 1)), bias=False),), (1,))
    x = 1.0 + 0.05 * rng.random((400, 1))
    middle, radius = enclosed_logits(net, x, "bfloat16", accumulator, "stochastic")
    computed = low_precision(net, x, "bfloat16", accumulator, "stochastic", seed=33).logits
    share = np.abs(computed - middle) / radius
    assert 0.8 < share.max() <= 1.0


def test_what_subnormal_numbers_lose_is_in_the_proved_total():
    """All weights and products of float16 are subnormal: the usual bound is exceeded, the proved one is not."""
    rng = RNG(30)
    layer = Dense(np.column_stack([1e-6 * rng.standard_normal((3, 10)), np.zeros(3)]))
    net = Network((layer,), (10,))
    x = rng.random((200, 10))
    errors = np.sqrt(backward_error(net, x, low_precision(net, x, "float16", "float32").logits, "weights").objective)
    assert errors.max() > 3.0 * deterministic_bound(net, "float16", "float32").total
    assert errors.max() < proven_total(net, "float16", "float32", "nearest", "sequential", "per_channel", "float32")


def test_a_proved_radius_certifies_where_all_roundings_are_less():
    """With the bounds of ``lower_bound`` on the weights; never what overflows, and no convolution."""
    net = random_network(RNG(18), HIDDEN["two"])
    x = random_images(RNG(19), net, 80)
    radius = lower_bound(net, x, on="weights").radius
    total = proven_total(net, "float8_e4m3", "float32", "nearest", "sequential", "per_channel", "float32")
    assert deterministic_bound(net, "float8_e4m3", "float32", form="linear").total < total < 1.5
    with_radius = certified(net, x, "bfloat16", radius=radius)
    alone = certified(net, x, "bfloat16")
    limit = proven_total(net, "bfloat16", None, "nearest", "sequential", "per_channel", "float32")
    np.testing.assert_array_equal(with_radius, alone | (radius > limit))
    assert np.all(low_precision(net, x, "bfloat16").classes[with_radius] == net.classify(x)[with_radius])
    assert certified(net, x, "bfloat16", radius=np.full(80, 10.0)).all()
    assert not certified(net, 1e6 + x, "float16", radius=np.full(80, 10.0)).any()
    images = image_network("max pools", 20)
    y = random_images(RNG(21), images, 4)
    np.testing.assert_array_equal(
        certified(images, y, "float8_e5m2", radius=np.full(4, 10.0)), certified(images, y, "float8_e5m2")
    )
    with pytest.raises(ValueError, match=r"radius: expected shape \(80,\)"):
        certified(net, x, "bfloat16", radius=[1.0])


def test_an_unknown_order_is_refused():
    net = random_network(RNG(22))
    with pytest.raises(ValueError, match="order: expected one of"):
        certified(net, random_images(RNG(23), net, 1), "float16", order="best")


def test_rounded_weights_are_known_and_cost_nothing():
    """The interval of int8 lies around the logits of the quantised network, not around those of the network."""
    net = random_network(RNG(24), HIDDEN["two"])
    x = random_images(RNG(25), net, 20)
    middle, radius = enclosed_logits(net, x, "int8")
    np.testing.assert_allclose(middle, quantised(net)(x), atol=1e-5)
    assert np.all(radius < 1e-4)
    assert np.abs(middle - net(x)).max() > 1e-3
