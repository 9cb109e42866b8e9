"""The studies of sturdier networks, at toy size."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, ttest_1samp

import oracles
from bea.attacks import fgsm
from lab.by_hand import to_network, train
from lab.datasets import Dataset
from studies import what_makes_sturdier as study

RNG = np.random.default_rng
RECIPE = {"hidden": 6, "rate": 0.5, "batch_size": 8, "a": 0.1}


@pytest.fixture(scope="module")
def clouds():
    """Ten classes of 3×3 pixels, one bright pixel each, the tenth dark."""
    labels = RNG(0).integers(0, 10, 160)
    x = (0.5 * np.eye(10)[labels, :9] + 0.3 * RNG(1).random((160, 9))).reshape(160, 3, 3).astype(np.float32)
    return Dataset("clouds", "", x[:120], labels[:120], x[120:], labels[120:])


@pytest.fixture(scope="module")
def early(clouds):
    """Two networks of one epoch."""
    x = clouds.x_train.astype(float)
    return {f"scratch-6-1-{seed}": study.learn(x, clouds.y_train, seed=seed, **RECIPE) for seed in (0, 1)}


@pytest.fixture(scope="module")
def nets():
    """A smooth network of four classes over 2×3 pixels, and a radial one beside it, with images and labels."""
    net, x, labels, _ = oracles.random_case(0, n=30)
    return {"scratch-late-0": net, "radial-late-0": oracles.radial_network(0, input_range=net.input_range)}, x, labels


def test_learning_is_training_by_hand(clouds, early):
    x, y = clouds.x_train.reshape(120, -1).astype(float), clouds.y_train
    *_, weights = train([6, 6], x, y, epochs=1, rate=0.5, batch_size=8, a=0.1, seed=1)
    net = to_network(weights, 0.1, (3, 3))
    np.testing.assert_array_equal(early["scratch-6-1-1"](clouds.x_test), net(clouds.x_test))
    assert study.retrained("scratch-6-1-1", net, clouds, **RECIPE) == 0
    with pytest.raises(ValueError, match="expected the training of scratch"):
        study.retrained("scratch-6-1-0", net, clouds, **RECIPE)


def test_perturbed_images_are_those_of_fgsm(clouds, early):
    net, x = early["scratch-6-1-0"], clouds.x_test.astype(float)
    weights = [(layer.kernel, layer.matrix[:, -1]) for layer in net.weighted]
    found = study.perturbed(weights, x, clouds.y_test, 0.1, 0.1)
    np.testing.assert_allclose(found, x + fgsm(net, x, clouds.y_test, 0.1).dx, atol=1e-12)


def test_additions(clouds, early):
    table = study.additions(early, clouds, step=0.05, **RECIPE)
    assert list(table.added[:5]) == [study.BEFORE, *study.VARIANTS]
    right = [study.accuracy_of(net, clouds.x_test, clouds.y_test) for net in early.values()]
    np.testing.assert_allclose(table[table.added == study.BEFORE].accuracy, right)
    np.testing.assert_allclose(table.both, 1 - table.accuracy * (1 - table.fooled))
    sizes = table.pivot(index="net", columns="added", values="images")
    assert (sizes["all"] == sizes["same"]).all()
    assert (sizes["all"] == sizes["random"]).all()
    assert (sizes["new"] <= sizes["all"]).all()
    change = study.changes(table)
    mean, half = study.intervals(change, 0.95)
    own = change.loc["all", "fooled"]
    low, high = ttest_1samp(own, 0).confidence_interval()
    np.testing.assert_allclose(
        [mean.fooled["all"] - half.fooled["all"], mean.fooled["all"] + half.fooled["all"]], [low, high]
    )
    assert study.points(mean, half).loc["all", "fooled"].startswith(f"{100 * own.mean():+z.2f}".replace("-", "−"))
    np.testing.assert_allclose(change.loc["versus_same"], change.loc["all"] - change.loc["same"])


def test_without_a_step_shaken_networks_are_plain(clouds):
    found = study.shaken(clouds, [0], epsilon=0.0, passes=2, **RECIPE)["sturdy-0"]
    plain = study.learn(clouds.x_train.astype(float), clouds.y_train, seed=0, passes=2, **RECIPE)
    np.testing.assert_array_equal(found(clouds.x_test), plain(clouds.x_test))
    moved = study.shaken(clouds, [0], epsilon=0.1, passes=2, **RECIPE)["sturdy-0"]
    assert np.abs(moved(clouds.x_test) - plain(clouds.x_test)).max() > 1e-3


@pytest.mark.parametrize("kind", ["radial", "relu"])
def test_partners_are_trained_until_they_are_as_accurate(clouds, kind):
    found = study.trained_alike(kind, clouds, {"early": 0.3, "late": 0.5}, seed=0, hidden=6, units=20)
    assert found["early"].curves["val_accuracy"][-1] >= 0.3
    assert found["late"].curves["val_accuracy"][-1] >= 0.5


def test_three_attacks(nets):
    networks, x, labels = nets
    found = study.three_attacks(networks, x, labels)
    assert list(found.kind.unique()) == ["scratch", "radial"]
    assert (found.best <= found.fgsm + 5e-4).all()
    own = found[found.kind == "scratch"].reset_index()
    wrong = networks["scratch-late-0"].classify(x) != labels
    assert ((own.best == 0) == wrong).all()
    crossed = fgsm(networks["radial-late-0"], x, labels, 1.0).dx
    beaten = networks["scratch-late-0"].classify(x + 0.4 * crossed) != labels
    assert (own.best[beaten] <= 0.4).all()
    middle = study.medians_of(found)
    right = own.fgsm[own.fgsm > 0]
    assert middle.fgsm[0] == right.median()
    assert middle.missed[0] == (right == 1).sum()
    np.testing.assert_array_equal(study.by_seed(found, "scratch", "radial", "best"), [own.best])


def test_ratios_and_accuracies():
    rows = [(kind, "late", 0, "x", fgsm, 2.0, 0) for kind, fgsm in (("radial", 6.0), ("scratch", 2.0), ("relu", 3.0))]
    middle = pd.DataFrame(rows, columns=["kind", "stage", "seed", "against", "fgsm", "best", "missed"])
    assert list(study.compared(middle).fgsm) == [3, 2]
    accuracy = pd.DataFrame(
        {"kind": ["radial", "scratch", "relu"], "stage": "late", "seed": 0, "accuracy": [0.8, 0.9, 0.95]}
    )
    assert study.apart(accuracy) == pytest.approx(0.1)


def test_smallest_steps_and_their_summaries(nets):
    networks, x, labels = nets
    steps = study.smallest(networks, x, labels)
    for net, own, becomes in zip(networks.values(), steps.epsilon, steps.becomes, strict=True):
        np.testing.assert_array_equal(own > 0, net.classify(x) == labels)
        moved = net.classify(x + (1 + 1e-9) * own[:, None, None] * fgsm(net, x, labels, 1.0).dx)
        np.testing.assert_array_equal(moved[own < 1], becomes[own < 1])
    summary = study.robustness({"with": steps}, {"with": steps.epsilon}, small=0.1, step=0.2)
    np.testing.assert_allclose(summary["median"], summary.strong)
    np.testing.assert_allclose(summary.step, (steps.epsilon <= 0.2).mean(axis=1))
    curve = study.cumulative(steps.epsilon, np.array([0.0, 0.2]))
    np.testing.assert_allclose(curve, 100 * np.column_stack([1 - summary.accuracy, summary.step]))
    ranked = study.ranking(steps, labels)
    assert ranked.epsilon.is_monotonic_increasing
    assert set(ranked.image) == set(np.flatnonzero(steps.right.all(axis=0)))
    (agree,) = study.agreement(steps)
    assert agree == pytest.approx(spearmanr(*steps.epsilon[:, ranked.image]).statistic)
    digits = study.by_digit(steps, labels, 0.1)
    assert digits["right"][labels[0]] == [(own[labels == labels[0]] > 0).mean() for own in steps.epsilon]
    found = study.features(networks, steps, x).groupby("feature").correlation.median()
    assert set(found.index) == {"ink", "thickness", "lean", "lead", "‖∇‖₁", "lead/‖∇‖₁"}


def test_slopes_are_derivatives(nets):
    net, x = nets[0]["scratch-late-0"], nets[1]
    lead, gradient = study.slopes(net, x)
    moved, _ = study.slopes(net, x + 1e-7 * gradient)
    np.testing.assert_allclose((moved - lead) / 1e-7, np.sum(gradient**2, axis=(1, 2)), rtol=1e-3)


def test_grain_and_dead_pixels(nets):
    networks, x, _ = nets
    found = study.gradients(networks, x, np.array([[True, True, True], [False, False, False]]))
    other = study.gradients(networks, x, np.array([[False, False, False], [True, True, True]]))
    np.testing.assert_allclose(found.dead + other.dead, 1)
    assert (found.grain > 0).all()


def test_confidence(nets):
    networks, x, labels = nets
    found = study.confidences(networks, x, labels, [0.5]).set_index(["net", "level"]).sure
    net, own = networks["scratch-late-0"], networks["scratch-late-0"].classify(x) == labels
    p = np.exp(net(x[own]))
    assert found["scratch-late-0", 0.0] == pytest.approx(100 * (p.max(axis=1) / p.sum(axis=1)).mean())
    assert found.dropna().between(25, 100).all()


def test_a_stripe_has_its_width_and_leans():
    image = np.zeros((1, 9, 12))
    image[:, :, 4:7] = 1
    found = study.drawing(image)
    assert found["thickness"] == pytest.approx(3)
    assert found["lean"] == pytest.approx(0)
    slanted = np.array([[[0, 0, 1], [0, 1, 0], [1, 0, 0]]])
    assert study.drawing(slanted)["lean"] == pytest.approx(1)
