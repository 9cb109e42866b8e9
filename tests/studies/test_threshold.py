"""What the page about thresholds is given: a distribution, laws, and images with their steps."""

import numpy as np
from scipy import stats

from bea.attacks import smallest_epsilon
from oracles import random_case
from studies import threshold


def test_the_page_gets_thresholds_laws_and_images_that_are_fooled_there():
    """Rising thresholds, laws on one grid, and images that keep their class before their own ε and lose it there."""
    net, x, labels, _ = random_case(3, "two", n=30, input_range=(0.0, 1.0))
    epsilon = smallest_epsilon(net, x, labels).epsilon
    law = stats.uniform(0, 0.5)
    found = threshold.for_the_page(net, x, labels, epsilon, {"even": law}, pictures=4)
    np.testing.assert_array_equal(found["epsilon"], np.sort(epsilon[epsilon > 0]))
    grid = np.linspace(0, found["top"], threshold.POINTS)
    np.testing.assert_allclose(found["laws"][0]["cdf"], law.cdf(grid))
    np.testing.assert_allclose(found["laws"][0]["pdf"], law.pdf(grid))
    assert found["first"] == sorted(found["first"])
    assert len(set(found["numbers"])) == 4
    first = np.array(found["first"]).reshape(-1, *[1] * (x.ndim - 1))
    for share, wanted in ((0.99, found["labels"]), (1.0, found["seen"])):
        moved = x[found["numbers"]] + share * first * found["signs"]
        assert net.classify(moved).tolist() == wanted
    assert not set(zip(found["numbers"], found["seen"], strict=True)) & set(enumerate(labels.tolist()))
