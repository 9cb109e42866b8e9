"""`studies.gallery`: the models of the recipes are what the recipes say."""

import numpy as np
import pytest

from bea import Network
from studies import gallery as study

pytest.importorskip("jax")


def test_wines_are_standardised_and_told_apart():
    """Measurements of both signs, without a range."""
    wines = study.wines()
    np.testing.assert_allclose([wines.x.mean(), wines.x.std()], [0.0, 1.0], atol=1e-12)
    assert wines.net.input_range is None
    assert np.mean(wines.net.classify(wines.x) == wines.labels) > 0.95


def test_a_disc_has_most_of_the_colour_that_its_label_says():
    """Within its range, grey around; the same seed gives the same images."""
    x, labels = study.coloured_discs(30, seed=3)
    assert x.shape == (30, 32, 32, 3)
    assert x.min() >= 0.0
    assert x.max() <= 1.0
    corner = x[:, 0, 0]
    assert np.ptp(corner, axis=1).max() < 0.3  # noise
    assert np.mean(x[:, 15, 15].argmax(axis=1) == labels) > 0.5
    np.testing.assert_array_equal(study.coloured_discs(30, seed=3)[0], x)


def test_the_keras_models_have_learnt_something():
    """Better than by chance on images that they have not seen; the residual one is read as such."""
    x, labels = study.coloured_discs(100, seed=4)
    net = Network.from_keras(study.colour_model(100), input_range=(0.0, 1.0))
    assert np.mean(net.classify(x) == labels) > 0.6
    model, x, labels = study.residual_model()
    deep = Network.from_keras(model)
    assert any(type(layer).__name__ == "Residual" for layer in deep.layers)
    assert np.mean(deep.classify(x) == labels) > 0.8
