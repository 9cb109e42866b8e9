"""Studies of one layer at toy size: dense oracles for the algebra, nonnegative least squares for the attacks."""

import numpy as np
import pandas as pd
import pytest

import oracles
from lab.keras_models import save, to_keras
from studies import one_layer as study

MARGIN = 1e-3


@pytest.fixture(scope="module")
def layer():
    """A layer of four classes over images of shape (2, 3), five of them, and their classes."""
    net = oracles.random_network(oracles.RNG(0))
    x = oracles.random_images(oracles.RNG(1), net, 5)
    return net, x, net.classify(x)


@pytest.fixture(scope="module")
def file(layer, tmp_path_factory):
    """Where its Keras model is."""
    path = tmp_path_factory.mktemp("keras") / "one.keras"
    save(to_keras(layer[0]), path)
    return path


def smallest(net, image, target, on):
    """The relative norm of the smallest perturbation after which the target leads, by NNLS on the explicit matrix."""
    matrix, scales = oracles.explicit_map(net, image, on, relative=True)
    D = np.delete(np.eye(net.classes)[target] - np.eye(net.classes), target, axis=0)
    return np.linalg.norm(oracles.least_distance(D @ (matrix * scales), MARGIN - D @ net(image[None])[0]))


def test_a_bias_is_a_column_of_the_weights_only():
    found = study.bias_as_column(oracles.RNG(0), layers=5)
    assert found.agree.max() < 1e-13
    assert found.differ.max() > 1e-3
    assert found.differ.min() > 0


def test_identities_hold():
    found = study.kronecker(oracles.RNG(0), trials=5)
    assert found.shape == (5, 4)
    assert found.max(axis=None) < 1e-13


def test_closed_form_is_the_pseudo_inverse():
    found = study.pseudo_inverse(oracles.RNG(0), layers=3)
    assert len(found) == 18
    assert found.difference.max() < 1e-10


def test_finite_differences_see_the_neglected_product():
    errors = study.finite_differences(oracles.RNG(0), steps=np.array([1e-3, 1e-1]))
    assert errors[["weights", "input"]].max(axis=None) < 1e-11
    assert errors.both[1] / errors.both[0] == pytest.approx(100, rel=1e-6)


def test_automatic_differentiation_agrees(layer, file):
    net, x, _ = layer
    assert max(study.autodiff(net, file, x[:1].astype("float32")).values()) < 1e-6


def test_weight_attacks_are_the_smallest(layer, file):
    net, x, labels = layer
    found = study.weight_attacks({"one": net}, x[:2], labels[:2], margin=MARGIN, files={"one": file})
    assert len(found) == 6
    assert (found.success & found.in_keras).all()
    assert list(found.target[:3]) == [t for t in range(4) if t != labels[0]]
    images = np.repeat(x[:2], 3, axis=0)
    expected = [smallest(net, image, t, "weights") for image, t in zip(images, found.target, strict=True)]
    np.testing.assert_allclose(found.norm, expected, rtol=1e-6)
    by_slsqp = study.optimised(oracles.RNG(0), net, images, found.target, MARGIN)
    np.testing.assert_allclose(found.norm, by_slsqp, rtol=1e-6)


def test_images_that_are_taken_for_the_target_are_left_out(layer):
    net, x, labels = layer
    found = study.weight_attacks({"one": net}, x[:2], (labels[:2] + 1) % 4, margin=MARGIN)
    assert len(found) == 4
    assert "in_keras" not in found


def test_published_norms_are_ranked_among_ours():
    attacks = pd.DataFrame({"source": [1, 1, 1, 1], "target": [0, 0, 2, 2], "norm": [0.1, 0.3, 0.2, 0.4]})
    ranks = study.ranked(attacks, {1: {0: 0.1, 2: 0.1}})
    assert ranks.to_numpy().tolist() == [[1, 0, 0.1, 0.5], [1, 2, 0.1, 0.0]]


def test_training_lengths_are_sorted(layer):
    net, x, labels = layer
    attacks = pd.DataFrame({"net": ["length-20", "length-20", "length-5"], "norm": [1.0, 3.0, 4.0], "success": True})
    found = study.by_length({"length-20": net, "length-5": net}, attacks, x, labels)
    assert found.to_dict("list") == {"epochs": [5, 20], "accuracy": [1, 1], "median": [4, 2], "success": [1, 1]}


def test_image_changes_are_the_smallest(layer, file):
    net, x, labels = layer
    found = study.image_changes(net, file, x[0], labels[0], MARGIN)
    assert (found.label == found.target).all()
    np.testing.assert_allclose(found.images - found.changes, x[:1].repeat(3, axis=0))
    expected = [smallest(net, x[0], t, "input") for t in found.target]
    np.testing.assert_allclose(found.norms, expected, rtol=1e-6)


def test_rows_that_change_are_multiples_of_the_image(layer):
    net, x, labels = layer
    target, rows, changes = study.weight_changes(net, x[0], labels[0], MARGIN)
    assert target in rows
    assert len(rows) == len(changes) >= 2
    cosines = changes.reshape(len(rows), -1) @ x[0].ravel() / np.linalg.norm(changes, axis=(1, 2))
    np.testing.assert_allclose(np.abs(cosines), np.linalg.norm(x[0]))
    assert (cosines > 0)[rows == target].all()


def test_joint_attacks_fall_short_by_the_neglected_product(layer):
    net, x, labels = layer
    found = study.joint_attacks(net, x, labels, MARGIN)
    assert len(found) == 15
    assert (found.inner[~found.success] < 0).any()
    assert found.ahead[found.success].all()
    assert found.share.between(0, 1).all()
