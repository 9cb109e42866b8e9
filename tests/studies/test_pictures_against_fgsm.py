"""Attacks on the input beside FGSM, at toy size: against scans along the rays, and by their properties."""

from dataclasses import replace

import numpy as np
import pytest

from bea import attack
from bea.attacks import fgsm
from lab.attempts import to_every_target
from oracles import RNG, random_images, random_network
from studies import pictures_against_fgsm as study
from studies.table_2 import attacks

MARGIN = 1e-6


@pytest.fixture(scope="module")
def toy():
    """A network 6-5-4 and one a hundredth smaller, three images with three targets each, and both kinds of attack."""
    net = random_network(RNG(5), [(5, "tanh")], 4, output_activation="tanh")
    close = [layer.with_matrix(0.99 * layer.matrix) if hasattr(layer, "matrix") else layer for layer in net.layers]
    nets = {"a": net, "b": replace(net, layers=tuple(close))}
    images = random_images(RNG(5), net, 3)
    x, source, target = to_every_target(images, net.classify(images), 4)
    first = attacks(nets, x, target, margin=MARGIN, on="input")
    converged = attacks(nets, x, target, margin=MARGIN, on="input", method="converged")
    return nets, x, source, target, first, converged


def test_one_layer():
    """The brightest change is of a black pixel, and no step of FGSM is shorter than the exact attack."""
    net = random_network(RNG(3), [], 4)
    images = np.where(RNG(4).random((2, 2, 3)) < 0.5, 0.0, 0.5)
    x, source, target = to_every_target(images, net.classify(images), 4)
    found = attacks({"net": net}, x, target, margin=1e-6, on="input")
    table = study.one_layer({"net": net}, found, source)
    dx = found["net"].perturbation.dx
    expected = [max(0, *change[image == 0]) for change, image in zip(dx, x, strict=True)]
    np.testing.assert_allclose(table.brightest, expected)
    assert np.isfinite(table.gradient).any()
    assert (table.gradient >= (1 - 1e-3) * table.norm).all()


def test_first_steps_and_factors(toy):
    """The first step to a class is the first of a scan, one image at a time; likewise the factor."""
    net, x, source, target = toy[0]["a"], *toy[1:4]
    steps, ray = study.first_steps(net, x, source, 40), fgsm(net, x, source, 1.0).dx
    seen = np.array([net.classify(x + k / 40 * ray) for k in range(1, 41)])
    for i, classes in enumerate(seen.T):
        for k in range(4):
            there = np.flatnonzero(classes == k)
            assert steps[i, k] == ((there[0] + 1) / 40 if there.size else np.inf)
    factors = study.smallest_factor(net, x, ray, target, np.arange(1, 41) / 40)
    np.testing.assert_array_equal(factors, steps[range(9), target])


def test_pairs_and_counts(toy):
    """Converged attacks are the smallest; what is finite has reached its target; wins and ends add up."""
    nets, x, source, target, first, converged = toy
    table = study.pairs(nets, first, converged, source, margin=MARGIN)
    assert table.success.all()
    others = table[["first-order along its ray", "FGSM", "targeted FGSM"]].min(axis=1)
    assert (table.converged <= 1.01 * others).all()
    assert (table["first-order"][table.wins] >= table.converged[table.wins] * (1 - 1e-6)).all()
    far = x + table.factor.to_numpy()[:9, None, None] * first["a"].perturbation.dx
    there = np.isfinite(table.factor[:9])
    np.testing.assert_array_equal(nets["a"].classify(far[there]), target[there])
    own, shortened = table["after the last tanh"], table["after the last tanh, along its ray"]
    literal = attack(nets["a"], x, target, on="input", margin=MARGIN, activated=True).perturbation.dx
    np.testing.assert_array_equal(np.isfinite(own[:9]), nets["a"].classify(x + literal) == target)
    assert np.isfinite(own).any()
    assert (shortened <= own).all()
    wins = study.who_wins(table)["converged"]
    assert wins["reached"].tolist() == [9, 9]
    assert (wins["ours"] + wins["theirs"] <= wins["both"]).all()
    assert wins["both"].sum() == np.isfinite(table.gradient).sum()
    ends = study.ends(table)
    assert (ends.target + ends.old + ends.third == 9).all()


def test_grid(toy):
    """A place a class and a row a digit; who missed leaves an empty place and an arrow."""
    nets, x, source, target, first, converged = toy
    changes = study.shown(nets["a"], first["a"], converged["a"], source)
    dx, reached = changes["targeted FGSM"]
    classes = nets["a"].classify(x + dx)
    np.testing.assert_array_equal(classes[reached], target[reached])
    images, titles, columns, own = study.grid(x, dx, reached, classes, source, target)
    assert columns == 4
    assert len(images) == len(titles) == 12
    np.testing.assert_array_equal(images[own], x[::3])
    assert titles[own[0]] == f"a {source[0]}"
    place = target[0]
    assert titles[place].startswith(f"{target[0]} (") if reached[0] else np.isnan(images[place]).all()
    assert sum(title.startswith("→") for title in titles) == (~reached).sum()


def test_statistics(toy):
    """Every class is reached after convergence; FGSM has one magnitude; its curve of energy is a straight line."""
    net = toy[0]["a"]
    x = random_images(RNG(8), net, 30)
    blank = np.zeros((2, 3), dtype=bool)
    blank[0, 0] = True
    stats = study.statistics(toy[0], x, net.classify(x), blank, images=20, margin=MARGIN)
    assert stats.reached.net.value_counts().to_dict() == {"a": 20, "b": 1}
    assert (stats.reached.converged == 3).all()
    assert (stats.reached["first-order"] <= stats.reached["first-order along its ray"]).all()
    right = x[:1]  # of a network all of whose images are right, the first one
    aims = np.flatnonzero(np.arange(4) != net.classify(right)[0])
    literal = attack(net, np.repeat(right, 3, axis=0), aims, on="input", margin=MARGIN, activated=True).perturbation.dx
    assert stats.reached["after the last tanh"][0] == np.sum(net.classify(right + literal) == aims)
    assert len(stats.attacks) == 60
    assert (stats.attacks.fast >= stats.attacks.converged * 0.99)[stats.attacks.fast_wins].all()
    patterns = stats.patterns.set_index("method")
    assert patterns.magnitudes["FGSM"] == 1 < patterns.magnitudes["converged"]
    np.testing.assert_allclose(stats.curves["FGSM"], np.arange(1, 7) / 6)
    assert 0 < stats.never < 1
