"""Studies of deep networks at toy size: a second dense oracle, exact optima, and the properties they must have."""

import numpy as np
import pytest

import oracles
from bea import Activation, attack, backward_error
from lab import explicit
from studies import deep_closed_form as study

RNG = np.random.default_rng
MARGIN = 1e-3


@pytest.fixture
def net():
    """Three layers, 6-5-4-3, over flat images."""
    return oracles.random_network(oracles.RNG(0), [(5, "tanh"), (4, "sigmoid")], 3, (6,))


def test_explicit_blocks_are_those_of_another_oracle(net):
    """Columns of 𝒜 stand for the same unknowns, column by column here and row by row there."""
    image = RNG(1).random(6)
    h, S, J, y, _, _ = explicit.chain(net, image, ["tanh", "sigmoid"], "linear")
    expected_y, blocks, jacobian = oracles.derivatives(net, image)
    np.testing.assert_allclose(y, expected_y)
    for mine, theirs, layer in zip(
        explicit.blocks_of(h, S, J), [*blocks, jacobian], [*net.weighted, None], strict=True
    ):
        by_rows = np.arange(theirs.shape[1])
        if layer is not None:
            by_rows = by_rows.reshape(layer.matrix.shape).ravel(order="F")
        np.testing.assert_allclose(mine, theirs[:, by_rows], atol=1e-14)


def test_the_smallest_solution_is_that_of_least_squares(net):
    """In the norm of the sizes; and ``backward_error`` finds it."""
    image, dy = RNG(1).random(6), RNG(2).standard_normal(3)
    h, S, J, *_ = explicit.chain(net, image, ["tanh", "sigmoid"], "linear")
    blocks, sizes = explicit.blocks_of(h, S, J), [*net.weight_norms, np.linalg.norm(image)]
    found = explicit.by_pinv(blocks, sizes, dy)
    scaled = np.hstack([size * block for size, block in zip(sizes, blocks, strict=True)])
    least, *_ = np.linalg.lstsq(scaled, dy, rcond=None)
    np.testing.assert_allclose(np.concatenate([f / s for f, s in zip(found, sizes, strict=True)]), least, atol=1e-12)
    p = backward_error(net, image[None], net(image[None]) + dy, "both")
    assert explicit.difference(explicit.blocks_found(p), found) < 1e-12


@pytest.mark.parametrize("name", list(explicit.FUNCTIONS))
def test_slopes_are_those_of_the_functions(name):
    v, t = np.array([0.7, -0.4, 1.3]), 1e-6
    steps = t * np.eye(3)
    f = explicit.FUNCTIONS[name]
    quotients = np.array([(f(v + step) - f(v - step)) / (2 * t) for step in steps]).T
    np.testing.assert_allclose(explicit.derivative(name, v), quotients, atol=1e-8)


def test_two_layers():
    example = study.two_layers_example(RNG(0))
    np.testing.assert_allclose(example["θ by `bea`"], example["θ by pseudo-inverse"])
    found = study.two_layers(RNG(0), 3, 10.0 ** np.arange(-4, -1))
    assert found.worst.max() < 1e-10
    assert (found.order - 2).abs().max() < 0.1


def test_activations():
    found = study.activations(RNG(0), 3).set_index("case")
    regular = found.drop(["softmax", "ReLU, one unit off"])
    assert regular[["printed", "bea", "inserted"]].max(axis=None) < 1e-9
    assert found.bea["softmax"].max() < 1e-10
    assert (found["rank"]["softmax"] == 3).all()
    assert not found.attained["ReLU, one unit off"].any()
    assert found.classical["identity"].max() < 1e-10 < found.classical["tanh"].min()


def test_saturation_squares_the_slope():
    """1 - tanh² falls like 4e^{-2t}, the sigmoid's slope like e^{-t}."""
    rates = study.growth(study.saturation(RNG(0), np.linspace(0.5, 12, 24)))
    assert rates["linear"] == pytest.approx(0, abs=1e-9)
    assert rates["tanh"] == pytest.approx(4, rel=0.02)
    assert rates["sigmoid"] == pytest.approx(2, rel=0.02)


def test_logits_instead():
    found = study.logits_instead(RNG(0), (0.5, 3.0))
    np.testing.assert_allclose(found.linearised, np.sinh(2 * found.t) / 2)
    np.testing.assert_allclose(found.exact, found.t)
    np.testing.assert_allclose(found.output_exact, 0, atol=1e-12)


def test_first_row_of_equation_4_lacks_factors():
    found = study.equation_4(RNG(0), depth=3, trials=3)
    printed = found.row == study.ROWS[0]
    assert found.difference[printed & (found.p > 2)].min() > 1e-3
    assert found.difference[~(printed & (found.p > 2))].max() < 1e-10
    assert set(found.row) == set(study.ROWS)


def test_finite_differences_have_their_orders():
    fits = study.fitted(study.finite_differences(RNG(0), 10.0 ** np.arange(-15, 0.1, 0.5), directions=2))
    assert fits["one_sided"] == pytest.approx(1, abs=0.1)
    assert fits["two_sided"] == pytest.approx(2, abs=0.1)
    assert fits["rounding"] == pytest.approx(-1, abs=0.2)
    assert fits["least_two"] < fits["least_one"] < 1e-6


def test_convolutions_are_products():
    found = study.products(RNG(0))
    assert len(found) == len(study.CONVOLUTIONS)
    assert found.difference.max() < 1e-13


def test_sharing_weights_costs():
    """Without padding never less than free entries; and the pseudo-inverse agrees."""
    found = study.shared_weights(RNG(0), networks=1)
    assert found.gap.max() < 1e-10
    assert found.free[found.padding == 0].min() > 1
    assert (found.pattern <= found.free * (1 + 1e-9)).all()
    assert found.outside.between(0, 1).all()
    assert found.second.isna().sum() == 1


def test_pooling():
    found = study.pooling(RNG(0), networks=1)
    assert found.bea.max() < 1e-12
    assert found.quotient.max() < 1e-6
    apart = found[found.window == "2×2"].set_index(["pooling", "stride"])["norm"]
    assert apart["maximum", 2] == pytest.approx(1)
    assert apart["average", 2] == pytest.approx(0.5)


def test_printed_programme_is_the_best_output_for_the_plain_functions():
    """Relative norms of θ = 𝒜⁺ Δy, the least over all Δy in which the target leads; within the bound of the best θ."""
    net = explicit.random_network(RNG(0), (6, 5, 4), ["tanh"])
    x, target = study.random_attacks(RNG(1), net, 3)
    p, _ = study.as_printed(net, x, target, "both", MARGIN)
    for i, (image, t) in enumerate(zip(x, target, strict=True)):
        matrix, scales = oracles.explicit_map(net, image, "both", relative=True)
        root = np.linalg.qr(np.linalg.pinv(matrix) / scales[:, None])[1]
        D = np.delete(np.eye(4)[t] - np.eye(4), t, axis=0)
        smallest = oracles.least_distance(D @ np.linalg.inv(root), MARGIN - D @ net(image[None])[0])
        assert np.sqrt(p.objective[i]) == pytest.approx(np.linalg.norm(smallest), rel=1e-6)
    found = study.mixed(net, x, target, "both", MARGIN)
    bound = (found.rho + 1 / found.rho) / 2
    assert found.printed.between(1 - 1e-9, bound * (1 + 1e-9)).all()
    assert (found.rescaled <= found.printed * (1 + 1e-9)).all()
    alone = study.mixed(net, x, target, "input", MARGIN)
    np.testing.assert_allclose(alone.printed, 1)


def test_programmes_and_families():
    found = study.programmes(RNG(0), 2, MARGIN)
    np.testing.assert_allclose(found.slsqp, 1, rtol=1e-6)
    assert found.single.max() < 1e-10
    net = oracles.random_network(oracles.RNG(0), [], 4, (6,))
    x = RNG(1).random((5, 6))
    trained = study.trained({"one": net}, x, net.classify(x), images=2, on="both", margin=MARGIN)
    assert len(trained) == 6
    assert (trained.printed >= 1 - 1e-9).all()


def test_families_are_spread():
    found = study.families(RNG(0), trials=10, margin=MARGIN)
    sizes = found.groupby("family").rho.median()
    assert len(sizes) == 5
    assert sizes["5-5-4, sizes spread"] > 2 * sizes["two layers, 5-5-4"]
    assert (found.printed <= (found.rho + 1 / found.rho) / 2 * (1 + 1e-9)).all()


def test_ties_need_a_margin():
    found = study.ties(RNG(0), 60, (0.0, MARGIN))
    assert found.strict[0] < 0.9
    assert (found.loc[1, ["argmax", "strict", "argmax_single", "strict_single"]] == 1).all()
    assert found.extra[0] == 0 < found.extra[1] < 0.1


def test_activated_layers_compute_the_activation():
    W, b, x = RNG(0).standard_normal((4, 6)), RNG(1).standard_normal(4), RNG(2).random((1, 6))
    for name in ("tanh", "softmax", "relu", "smooth_relu"):
        net, activated = study.activated_layer(name, W, b)
        y = net.activate(net(x)) if activated else net(x)
        np.testing.assert_allclose(y[0], explicit.FUNCTIONS[name](W @ x[0] + b))
        assert activated != any(isinstance(layer, Activation) for layer in net.layers)


def test_smallest_attack_is_what_losses_are_measured_by():
    """``rescaled`` is never below one: nothing beats the scaled programme."""
    net = explicit.random_network(RNG(3), (6, 4), [])
    x, target = study.random_attacks(RNG(4), net, 4)
    found = study.mixed(net, x, target, "both", MARGIN)
    least = attack(net, x, target, on="both", margin=MARGIN)
    assert (found.rescaled >= 1 - 1e-9).all()
    np.testing.assert_allclose(least.kkt_residual, 0, atol=1e-8)
