"""Every outcome of the rule on one layer's accuracy, with the threshold of the claims file."""

import numpy as np
import pytest

from lab.claims import CONTRADICTED, REPRODUCED, load_claims
from lab.parameters import ROOT
from lab.rules import explained, rule_of

CLAIM = load_claims(ROOT / "book" / "claims.yml")["B11"]


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [([0.915, 0.929], REPRODUCED), ([0.92, 0.9312], CONTRADICTED), ([0.909, 0.92], CONTRADICTED)],
)
def test_all_seeds_are_near_the_published_accuracy(accuracies, verdict):
    rule, thresholds = rule_of(CLAIM)
    assert rule(np.array(accuracies), published=CLAIM["published"], **thresholds).verdict == verdict


def test_the_threshold_is_printed():
    assert "within 1%" in explained(CLAIM)
