"""Every outcome of the rule on the law of the smallest ε, with the thresholds of the claims file."""

import numpy as np
import pandas as pd
import pytest

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, load_claims
from lab.parameters import ROOT
from lab.rules import explained, rule_of

CLAIM = load_claims(ROOT / "book" / "claims.yml")["D15"]


@pytest.mark.parametrize(
    ("printed", "p", "verdict"),
    [
        (0.02, [0.3, 0.01], REPRODUCED),
        (0.02, [0.02, 0.01], CORRECTED),
        (0.04, [0.3, 0.3], CORRECTED),
        (0.06, [0.3, 0.3], CONTRADICTED),
    ],
)
def test_the_printed_law(printed, p, verdict):
    rule, thresholds = rule_of(CLAIM)
    laws = pd.DataFrame({"mu": [0.04, np.inf], "sigma": [0.03, np.inf], "report": printed})
    tests = pd.DataFrame({"distance": [0.015, 0.016], "p": p})
    families = pd.DataFrame({"family": ["truncated normal", "gamma"], "first_aic": [2, 0]})
    named = thresholds | {"published": {"sigma": 0.02}}
    outcome = rule(laws, tests, families, {"mu": 0.041, "sigma": 0.035}, np.array([0.1, 0.2]), **named)
    assert outcome.verdict == verdict
    assert "μ = 0.040 (0.040 to 0.040)" in outcome.ours
    assert "a wider law than the trial" in outcome.because


def test_thresholds_are_printed():
    assert "at most 1.5 times" in explained(CLAIM)
    assert "at the level of 5% for at most 50%" in explained(CLAIM)
