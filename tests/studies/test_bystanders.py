"""What the figure of the bystanders is given: attacks on a layer, and images that had no part in them."""

import numpy as np

from bea import Dense, Network
from bea.networks.layers import Flatten
from studies import bystanders


def test_the_page_gets_attacks_that_work_and_images_that_are_right():
    """The rank-one change makes every target win by the margin; every bystander is right, and none is a victim."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((3, 5))
    matrix[:, -1] = -matrix[:, :-1].sum(axis=1) / 2  # so that every class wins somewhere
    net, x = Network((Flatten(), Dense(matrix, bias=True)), (2, 2)), rng.uniform(size=(400, 2, 2))
    labels = net.classify(x)
    labels[7] = (labels[7] + 1) % 3  # one that the network gets wrong
    victims = [int(np.argmax(labels == digit)) for digit in range(2)]
    found = bystanders.for_the_page(net, x, labels, victims, margin=0.01, each=5)
    images = found["levels"] / bystanders.LEVELS
    assert np.abs(images - x[found["numbers"]].reshape(-1, 4)).max() <= 0.5 / bystanders.LEVELS + 1e-12
    heads = np.column_stack([images, np.ones(len(images))])
    np.testing.assert_allclose(found["logits"], heads @ matrix.T, rtol=1e-12)
    assert found["numbers"][:2] == victims
    assert len(set(found["numbers"])) == len(found["numbers"]) == 17
    assert 7 not in found["numbers"][2:]
    assert found["labels"][2:] == [digit for digit in range(3) for _ in range(5)]
    np.testing.assert_allclose(found["norm"], np.linalg.norm(matrix))
    for place, left in enumerate(found["left"]):
        victim, target = place // 2, found["targets"][place // 2][place % 2]
        logits = (matrix + np.outer(left, heads[victim])) @ heads[victim]
        assert logits[target] - np.delete(logits, target).max() >= 0.01 - 1e-9
