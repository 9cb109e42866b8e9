"""Every outcome of the rule on the curves of the ray, with the thresholds of the claims file."""

import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import explained

PUBLISHED = {"kink": 0.37, "confidence_lost": 0.1}


def outcome_of(change=None, most=0.05, first=0.01):
    confidences = pd.DataFrame({"image": [7, 7, 315, 315], "seed": [0, 1] * 2, "most": [first, most, 0.02, 0.03]})
    places = pd.DataFrame({"number": [6, 6, 6, 7], "net": [0, 0, 1, 0], "place": [0.36, 0.38, 0.8, 0.371]})
    measured = {"complete": True, "gap": 1e-12, "error": 1e-6, "relative": 0.1, "fall": 1.9, "kinks": 3}
    below = {"limit": 0.1, "lowest": 0.7, "highest": 0.8}
    return judge("D16", confidences, places, measured | (change or {}), below, published=PUBLISHED)


def test_low_everywhere_and_not():
    outcome = outcome_of()
    assert outcome.verdict == REPRODUCED
    assert "1 for image 7, 0 for image 315 (1 for image 7, 0 for image 315 if" in outcome.because
    assert "between 0.360 and 0.800" in outcome.ours
    assert outcome_of(most=0.2).verdict == CORRECTED
    assert outcome_of(most=0.2, first=0.3).verdict == CONTRADICTED


@pytest.mark.parametrize(
    "change", [{"complete": False}, {"gap": 1e-8}, {"error": 0.01}, {"relative": 0.001}, {"fall": 1.2}]
)
def test_every_measurement_of_the_kinks_counts(change):
    assert outcome_of(change).verdict == CONTRADICTED


def test_thresholds_are_printed():
    assert "is below 10%, that of a guess" in explained(CLAIMS["D16"])
    assert "less than 1e-09" in explained(CLAIMS["D16"])
