"""The rule about LeNet's accuracy: made-up legs reach every verdict."""

import pandas as pd
import pytest

from lab.claims import CONTRADICTED, REPRODUCED, UNDECIDED
from lab.rules import train_lenet as rules

PUBLISHED = {"mnist": 0.99, "cifar10": 0.6}
TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}


def legs(*ends):
    """Two networks of two legs each, with these test accuracies."""
    return pd.DataFrame({"net": ["a", "a", "b", "b"], "passes": [1, 2, 1, 2], "training": 0.5, "test": ends})


GOOD, POOR = legs(0.97, 0.991, 0.98, 0.992), legs(0.97, 0.98, 0.97, 0.985)
NEAR, FAR = legs(0.5, 0.62, 0.7, 0.56), legs(0.3, 0.4, 0.7, 0.8)


@pytest.mark.parametrize(
    ("tables", "verdict"),
    [
        ({"mnist": GOOD, "cifar10": NEAR}, REPRODUCED),
        ({"mnist": POOR, "cifar10": NEAR}, CONTRADICTED),
        ({"mnist": GOOD, "cifar10": FAR}, CONTRADICTED),
        ({"mnist": legs(0.9, 0.98, 0.9, 0.992), "cifar10": NEAR}, UNDECIDED),
        ({"mnist": GOOD, "cifar10": legs(0.5, 0.6, 0.6, 0.8)}, UNDECIDED),
        ({"mnist": GOOD}, UNDECIDED),
        ({"mnist": POOR}, CONTRADICTED),
    ],
)
def test_accuracies(tables, verdict):
    """Every seed, no seed, some seeds; and without CIFAR-10."""
    assert rules.accuracies(tables, published=PUBLISHED, points=0.05, titles=TITLES, note="n").verdict == verdict
