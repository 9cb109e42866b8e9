"""The studies of the printed chain at toy size: small LeNets in a toy set, against the chain walked again."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bea.bounds.methods import lower_bound
from lab import keras_models, training
from lab.datasets import Dataset
from oracles import random_network
from studies import bounds_as_published as study
from studies import fragility
from studies.four_theorems import widened

PUBLISHED = {
    "found": {"mnist": {"mean": 1.0, "median": 1.0, "min": 1e-4, "std": 0.1, "max": 9.0}},
    "bound": {"mnist": {"mean": 1e-7, "median": 1e-7, "min": 1e-9, "std": 1e-8, "max": 1e-6}},
}
PUBLISHED = {kind: tables | {"cifar10": tables["mnist"]} for kind, tables in PUBLISHED.items()}


@pytest.fixture(scope="module")
def samples():
    """The same LeNet of a tenth of the width twice, on images of which all but two have the class that it gives."""
    nets = dict.fromkeys(("lenet-mnist-0", "lenet-mnist-1"), widened(0.1, 0))
    x = np.random.default_rng(0).uniform(size=(12, 28, 28)).astype(np.float32)
    labels = nets["lenet-mnist-0"].classify(x[..., None].astype(float))
    labels[-2:] = (labels[-2:] + 1) % 10
    return study.samples(nets, {"mnist": SimpleNamespace(x_test=x, y_test=labels)}, 12, 12)


@pytest.fixture(scope="module")
def measures(samples):
    """Bounds and steps of the samples."""
    steps = study.sign_steps(samples, largest=1.0, tolerance=1e-3)
    return study.bounds(samples).assign(epsilon=steps.epsilon, length=steps.length)


def test_samples_are_classified_correctly(samples):
    """Labels agree on the one part and on none of the other; the first network comes first."""
    first = samples["lenet-mnist-0"]
    assert (len(first.x), len(first.missed)) == (10, 2)
    assert (first.net.classify(first.x) == first.labels).all()
    assert list(study.first_seeds(samples)) == ["lenet-mnist-0"]


def test_bounds_and_steps(samples, measures):
    """κ₁ is the printed radius; a step has √784 times the length of a pixel's, but for pixels without slope."""
    s = samples["lenet-mnist-0"]
    own = measures[measures.net == "lenet-mnist-0"]
    np.testing.assert_allclose(own["printed κ₁"], lower_bound(s.net, s.x, s.labels, method="peck").radius)
    assert (own.length.dropna() <= 28 * own.epsilon.dropna() * (1 + 1e-9)).all()
    factors = study.factors(measures)
    assert (factors.pooling_1.round(6) == 12).all()
    chain = factors[list(study.FACTORS)].prod(axis=1)
    assert (factors.least >= chain * (1 - 1e-6)).all()


def test_curvatures(samples, measures):
    """The short form is the chain walked again, M → 0 the largest bound, and the needed M gives the mean."""
    table = study.curvatures(samples, measures, PUBLISHED["bound"])
    assert (table.groupby("net")["mean"].max() == table[table.kind == "0"].set_index("net")["mean"]).all()
    assert table.difference.max() < 1e-9
    np.testing.assert_allclose(table.short[table.kind == "needed"], 1, rtol=1e-3)
    assert len(study.main_curvatures(table)) == table.net.nunique()


def test_statistics_and_closeness(measures):
    """Means in the paper's units, zeros put in; the ratio of the smallest by hand."""
    missed = dict.fromkeys(measures.net, 3)
    plain, zeros = (study.statistics(measures, "length", PUBLISHED["found"], z) for z in (None, missed))
    own = measures[measures.net == plain.net[0]].length.dropna()
    assert plain["mean"][0] == pytest.approx(255 * own.mean() / 784)
    assert zeros["mean"][0] == pytest.approx(plain["mean"][0] * len(own) / (len(own) + 3))
    least = measures.loc[own.idxmin()]
    assert study.closeness(measures).own[0] == pytest.approx(least.length / least["printed κ₁"])
    paper = study.closeness_as_printed(PUBLISHED).iloc[0]
    found, bound = (PUBLISHED[name]["mnist"] for name in ("found", "bound"))
    assert paper.least * bound["max"] == pytest.approx(paper.most * bound["min"]) == pytest.approx(found["min"])
    assert paper.average * bound["mean"] == pytest.approx(found["mean"])
    assert study.ratios(measures, PUBLISHED).least[0] == (own / measures["printed κ₁"][own.index]).min()


def test_attacks_are_compared_with_every_layer(samples, measures, monkeypatch):
    """A witness moves every layer by at least its proven κ; counts are those of a comparison by hand."""
    first = study.first_seeds(samples)
    monkeypatch.setattr(study, "keras_classes", lambda file, x, net=None: first[file].net.classify(x))
    attacks = study.converged(first, {name: name for name in first}, measures, attacked=4)
    inner = study.inner_attacks(first, layered=2)
    table = study.layer_by_layer(measures, attacks, inner)
    assert (table["below repaired"] == 0).all()
    assert (table["moved repaired"] >= 1 - 1e-9).all()
    assert len(inner) == 4 * 2
    np.testing.assert_allclose(attacks["moved κ₁"], attacks.length)
    below = study.violations(measures, attacks.assign(length=1e-12))
    assert below.set_index("attack").loc["converged", "below printed"] == 4


def test_networks_without_pooling(monkeypatch):
    """Every witness is beyond the repaired bound; without witnesses medians are zero."""
    nets = {"relu-0": random_network(np.random.default_rng(0), ((4, "relu"),))}
    x = np.random.default_rng(1).uniform(size=(5, 2, 3))
    monkeypatch.setattr(study, "keras_classes", lambda file, x, net=None: net.classify(x))
    labels = nets["relu-0"].classify(x)
    flat = study.without_pooling(nets, {"relu-0": None}, x, labels).set_index("chain")
    assert flat.below["repaired"] == 0
    assert flat.witnesses["repaired"] > 0
    assert study.without_pooling(nets, {"relu-0": None}, x, (labels + 1) % 4)["median"].eq(0).all()


def test_set_quotients_and_effects():
    """Quotients over pairs, and factors of made-up means."""
    rows = {"net": ["a", "b", "c"], "set": ["mnist", "mnist", "cifar10"], "pixels": [784, 784, 3072]}
    measures = pd.DataFrame(rows | {"length": [2.0, 4.0, 1.0], "printed κ₁": [1.0, 1.0, 3.0]})
    table = fragility.set_quotients(measures, PUBLISHED).query("which == 'mean' and kind == 'found'")
    np.testing.assert_allclose(table.plain, [0.5, 0.25])
    np.testing.assert_allclose(table.divided, table.plain * 784 / 3072)
    assert fragility.set_quotients(measures[:2], PUBLISHED).empty
    goals = [("28×28", 0.6), ("28×28", 0.97), ("32×32×3", 0.6), ("32×32×3", 0.97)]
    means = pd.DataFrame(goals, columns=["size", "goal"]).assign(found=[2.0, 1.0, 4.0, 3.0], bound=[0.0, 0.0, 1.0, 1.0])
    effect = fragility.effects(means)
    assert list(effect.found) == [3.0, 2.0, 4.0]
    assert list(effect.bound) == [0.0, 0.0, 0.0]
    assert "opposite" in fragility.direction(effect, {"found": 0.5})
    assert "same" in fragility.direction(effect, {"found": 2.0})
    assert "cannot" in fragility.direction(effect, {})
    assert "one cause" in fragility.direction(effect.assign(found=[0.5, 2.0, 1.0]), {"found": 2.0})


def test_causes_at_toy_size(monkeypatch):
    """Four networks of two sizes; enlarged images keep their mean in the middle and their range."""
    x = np.random.default_rng(0).uniform(size=(20, 28, 28)).astype(np.float32)
    assert fragility.enlarged(x).shape == (20, 32, 32, 3)
    np.testing.assert_allclose(fragility.enlarged(np.full_like(x, 0.3)), 0.3, rtol=1e-6)
    data = Dataset("digits", "made up", x, np.arange(20) % 10, x, np.arange(20) % 10)
    monkeypatch.setattr(training, "train_until", lambda *_, **__: np.array([0.1]))
    monkeypatch.setattr(keras_models, "lenet", small)
    monkeypatch.setattr(keras_models, "faster_lenet", lambda model: model)
    table = fragility.causes(data, stopped=1, compared=6, largest=0.4)
    assert list(table["size"]) == ["28×28"] * 2 + ["32×32×3"] * 2
    assert (table.images <= 6).all()


def small(input_shape, seed):
    """Return an untrained Keras model of one convolution, maxima and one dense layer."""
    keras = keras_models.keras
    layers = [keras.layers.Conv2D(2, 5), keras.layers.MaxPooling2D(2), keras.layers.Flatten(), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input(input_shape), *layers])
