"""Every outcome of the rule on one layer's accuracy, with the threshold of the claims file."""

import numpy as np
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, REPRODUCED
from lab.rules import explained


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [([0.915, 0.929], REPRODUCED), ([0.92, 0.9312], CONTRADICTED), ([0.909, 0.92], CONTRADICTED)],
)
def test_all_seeds_are_near_the_published_accuracy(accuracies, verdict):
    assert judge("B11", np.array(accuracies), published=CLAIMS["B11"]["published"]).verdict == verdict


def test_the_threshold_is_printed():
    assert "within 1%" in explained(CLAIMS["B11"])
