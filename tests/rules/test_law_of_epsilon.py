"""Every outcome of the rule on the law of the smallest ε, with the thresholds of the claims file."""

import numpy as np
import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import explained


@pytest.mark.parametrize(
    ("distance", "p", "std", "verdict"),
    [
        (0.02, [0.3, 0.01], 0.03, REPRODUCED),
        (0.02, [0.02, 0.01], 0.03, CORRECTED),
        (0.02, [0.3, 0.3], 0.027, CORRECTED),
        (0.06, [0.3, 0.3], 0.03, CONTRADICTED),
    ],
)
def test_the_printed_law(distance, p, std, verdict):
    laws = pd.DataFrame({"mu": [0.04, np.inf], "sigma": [0.03, np.inf], "report": [0.2, 0.3]})
    tests = pd.DataFrame({"distance": [distance, distance], "p": p})
    families = pd.DataFrame({"family": ["truncated normal", "gamma"], "first_aic": [2, 0]})
    printed = {"mean": 0.05, "std": 0.03}
    own = {"mu": 0.041, "sigma": 0.035, "mean": 0.049, "std": std}
    outcome = judge("D15", laws, tests, families, own, np.array([0.1, 0.2]), printed=printed)
    assert outcome.verdict == verdict
    assert "μ = 0.040 (0.040 to 0.040)" in outcome.ours
    assert ("parameters fit" in outcome.because) == (std == 0.03)
    assert ("not rejected" in outcome.because) == (max(p) > 0.05)


def test_thresholds_are_printed():
    assert "nowhere further than 0.05" in explained(CLAIMS["D15"])
    assert "at the level of 5%, for at most 50%" in explained(CLAIMS["D15"])
