"""The exact change of a last layer against NNLS', and the search for a far move against the singular value."""

import numpy as np
import pytest

import oracles
from bea.bounds.searches import exact_distances, farthest_move
from bea.networks.layers import Activation, Dense
from bea.networks.sequence import pull_back, trace


def test_exact_distances_are_those_of_the_programme():
    """For every target as the dense programme solved by NNLS; infinite for the class that leads."""
    rng = np.random.default_rng(0)
    layer, y = Dense(rng.standard_normal((4, 6))), rng.standard_normal((3, 5))
    found, solved = exact_distances(layer, y)
    for image, logits in enumerate(layer.forward(y)):
        for target in np.delete(range(4), logits.argmax()):
            others = np.delete(range(4), target)
            G, c = layer.kernel[target] - layer.kernel[others], logits[others] - logits[target]
            r = oracles.least_distance(G, c)
            assert solved[image, target] == (r is not None)
            np.testing.assert_allclose(found[image, target], np.inf if r is None else np.linalg.norm(r), rtol=1e-6)
        assert np.isinf(found[image, logits.argmax()])


def test_far_moves_of_a_linear_layer_reach_the_singular_value():
    """Lengths are kept, and the power method ends at the norm of the kernel."""
    rng = np.random.default_rng(0)
    layer, r = Dense(rng.standard_normal((4, 6))), rng.standard_normal((2, 5))
    best, moved = farthest_move([layer], np.zeros((2, 5)), r, 400)
    np.testing.assert_allclose(np.linalg.norm(best, axis=1), np.linalg.norm(r, axis=1))
    np.testing.assert_allclose(moved, np.linalg.norm(layer.kernel, 2) * np.linalg.norm(r, axis=1), rtol=1e-6)


def test_a_search_never_ends_below_its_start():
    """On layers that bend the best of all is kept; the pulled back rows are the Jacobian."""
    rng = np.random.default_rng(0)
    layers = [Dense(rng.standard_normal((4, 4))), Activation("tanh")]
    y, r = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    start = np.linalg.norm(trace(layers, y + r)[-1] - trace(layers, y)[-1], axis=1)
    best, moved = farthest_move(layers, y, r, 6)
    assert (moved >= start).all()
    assert moved == pytest.approx(np.linalg.norm(trace(layers, y + best)[-1] - trace(layers, y)[-1], axis=1))
    J, h = pull_back(layers, np.eye(4)[None], trace(layers, y)), 1e-6 * np.eye(3)[0]
    slope = (trace(layers, y + h)[-1] - trace(layers, y - h)[-1]) / 2e-6
    np.testing.assert_allclose(J[:, :, 0], slope, atol=1e-8)
