"""Shallow models at toy size: against SciPy, by hand, and by their properties."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from bea import Dense, Flatten, Network
from oracles import RNG, random_images, random_network
from studies import shallow_models as study


@pytest.fixture(scope="module")
def pair():
    """Two models of two classes on images of 2×3 pixels, six images and their labels."""
    make = lambda seed: random_network(RNG(seed), (), 2, input_range=(0.0, 1.0))  # noqa: E731
    nets = {"main/0": make(0), "main/1": make(1)}
    return nets, random_images(RNG(2), nets["main/0"], 6), np.array([0, 1, 0, 1, 0, 1])


def test_closed_forms_hold_and_nothing_does_more_harm(pair):
    """To rounding, and to the tolerance of the search for the smallest step."""
    gaps = study.closed_forms(*pair, 0.1)
    assert max(gaps["closed"], gaps["clipped"]) < 1e-13
    assert gaps["smallest"] < 1e-5
    found = study.harm(*pair, 0.1, radius=0.3, programmes=4, points=20)
    assert found["programme"] < 1e-8
    assert (found["better"], found["differs"]) == (0, 0)
    assert 0.0 < found["share"] <= 1.0
    assert (found["programmes"], found["tried"]) == (8, 24)


def test_errors_and_curves_count_the_same(pair):
    """The share fooled by the step of a size is the curve at that size."""
    nets, x, labels = pair
    errors, steps = study.errors(nets, x, labels, 0.2), study.steps(nets, x, labels)
    assert (errors.agree == errors.asked).all()
    for clip, key in ((False, "step"), (True, "clipped")):
        curve = study.share_fooled(steps[steps["clip"] == clip], [0.0, 0.2])
        np.testing.assert_allclose(curve[:, 1], errors[key])
        np.testing.assert_allclose(curve[:, 0], errors.error)


def test_recipes_are_named_that_meet_all_numbers():
    """In every key asked for; none is said so."""
    medians = pd.DataFrame({"error": [0.016, 0.03], "step": [0.99, 0.99]}, ["a", "b"])
    limits = {"error": 0.018, "step": 0.992}
    assert study.recipes_near(medians, limits, ("error", "step"), 0.005) == "a"
    assert study.recipes_near(medians, limits, ("step",), 0.005) == "a, b"
    assert study.recipes_near(medians, limits, ("error", "step"), 0.001) == "none"


def test_the_penalised_solution_is_that_of_a_general_optimiser():
    """BFGS on the mean loss plus λ/2 ‖w‖²."""
    rng = RNG(4)
    x, y = rng.random((40, 28, 28)), np.repeat([0, 1], 20)
    x[20:, :2] += 0.3
    (net,) = study.penalised(SimpleNamespace(x_train=x, y_train=y), [0.1]).values()
    flat, sign = x.reshape(40, -1), np.where(y == 1, 1.0, -1.0)

    def loss(w):
        return np.mean(np.logaddexp(0.0, -sign * (flat @ w[:-1] + w[-1]))) + 0.05 * w[:-1] @ w[:-1]

    best = minimize(loss, np.zeros(785), method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10**7, "ftol": 1e-14})
    w = np.diff(net.weighted[0].matrix, axis=0)[0]
    assert loss(w) <= best.fun * (1 + 1e-5)


def test_the_example_goes_astray_as_exercise_3_says():
    """(1 + η)/5 against η/2 for η = 0.1."""
    example = study.three_classes()
    assert example["sign"] == pytest.approx(1.1 / 5, abs=1e-6)
    assert example["best"] == pytest.approx(0.05, rel=1e-12)
    assert example["sign_step"].tolist() == [-1.0, 1.0]


def test_distances_of_affine_networks():
    """By hand for each class, in both norms; Keras confirms; the sign step is never shorter."""
    net = random_network(RNG(3), (), 4)
    x = random_images(RNG(5), net, 5)
    found = study.smallest_changes({"a": net}, {"a": None}, x, net.classify(x), margin=1e-4)
    assert found.keras_2.all()
    assert found.keras_inf.all()
    kernel, logits = net.weighted[0].kernel, net(x)
    for i, c in enumerate(found.given):
        others = np.delete(np.arange(4), c)
        leads, g = logits[i, c] - logits[i, others], kernel[c] - kernel[others]
        assert found.relative[i] * np.linalg.norm(x[i]) == pytest.approx((leads / np.linalg.norm(g, axis=1)).min())
        assert found.largest[i] == pytest.approx((leads / np.abs(g).sum(axis=1)).min())
    assert (study.sign_quotients({"a": net}, x, found).quotient >= 1 - 1e-6).all()
    table = study.boxes(net, x, found)
    assert (table.one <= table.worst).all()
    assert (table.forty <= table.worst).all()


def test_converged_changes_of_an_affine_network_are_the_smallest():
    """Where both are known."""
    net = random_network(RNG(3), (), 4)
    x = random_images(RNG(5), net, 4)
    exact = study.smallest_changes({"a": net}, {"a": None}, x, net.classify(x), margin=1e-6).relative
    found = study.converged_changes({"a": net}, {"a": None}, x, margin=1e-6)
    np.testing.assert_allclose(found.relative, exact, rtol=1e-4)


def test_weights_that_are_the_difference_of_means():
    """Have cosine one with it, and no share on blank pixels."""
    x = np.zeros((4, 1, 3))
    x[2:, 0, 0] = x[:2, 0, 1] = 1.0
    data = SimpleNamespace(x_train=x, y_train=np.array([0, 0, 1, 1]))
    net = Network((Flatten(), Dense([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])), (1, 3))
    table, facts = study.shape({"a/0": net}, data)
    assert table.cosine[0] == pytest.approx(1.0)
    assert (table.same[0], table.share[0], facts["blank"]) == (1.0, 0.0, 1)


def test_tiles_and_panels(pair):
    """As many tiles as images, each below its place for a label."""
    tiles, places = study.tiled(np.ones((4, 28, 28)), 2, 10)
    assert np.nansum(tiles) == 4 * 784
    assert places[3] == (42, 47)
    nets, x, labels = pair
    chosen = study.panels(nets["main/0"], x, labels, 0.1, side=2)
    np.testing.assert_array_equal(chosen.label, labels[chosen.image])
    assert study.stepped(nets["main/0"], x, labels, 0.1).shape == x.shape


def test_deeper_networks_are_compared_image_by_image():
    """The median over the seeds first, then over the images."""
    lengths = {"a": ("flat", [1.0, 2.0]), "b": ("flat", [3.0, 2.0]), "c": ("deep", [1.0, 6.0])}
    frames = [pd.DataFrame({"net": net, "title": title, "relative": own}) for net, (title, own) in lengths.items()]
    found, base = study.beside_shallow(pd.concat(frames, ignore_index=True), "flat", ["deep"])
    assert base.tolist() == [2.0, 2.0]
    assert found.loc["deep"].tolist() == [1.75, 0.5, 3.5]


def test_the_nearest_image_of_another_class():
    """Over the norm of the image."""
    data = SimpleNamespace(x_train=np.array([[[0.0, 2.0]], [[3.0, 0.0]]]), y_train=np.array([1, 0]))
    assert study.nearest_image(data, np.array([[[0.0, 1.0]]]), np.array([0]))[0] == pytest.approx(1.0)
