"""Every outcome of the rule on a hidden gradient, from a made-up grid."""

import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import explained


def outcome_of(gradient=0.0, above=0.6, below=0.6, flowing=0.9, stuck=0.0, unlimited=0.9):
    """The outcome where one attack by the gradient, one other and noise fooled everything without the rounding."""
    rows = [
        *(("PGD", side, 1.0, gradient) for side in (True, False)),
        *(("differences", side, 1.0, after) for side, after in ((True, above), (False, below))),
        *(("noise", side, 1.0, 0.0) for side in (True, False)),
    ]
    cells = pd.DataFrame(rows, columns=["attack", "above", "before", "after"]).assign(most=lambda frame: frame.after)
    return judge("R9", cells, ("FGSM", "PGD"), flowing, stuck, unlimited)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, REPRODUCED),
        ({"below": 0.4}, CORRECTED),
        ({"flowing": 0.5}, CONTRADICTED),
        ({"gradient": 0.02}, CONTRADICTED),
        ({"stuck": 0.02}, CONTRADICTED),
        ({"above": 0.4}, CONTRADICTED),
        ({"unlimited": 0.5}, CONTRADICTED),
    ],
)
def test_only_attacks_by_the_gradient_may_break(changed, verdict):
    assert outcome_of(**changed).verdict == verdict


def test_the_cases_are_counted_apart():
    assert "broken in 0 of 1 cases with ε > h/2, in 1 of 1 with ε < h/2" in outcome_of(below=0.4).ours


def test_the_thresholds_are_printed():
    assert "fools more than 1% on any network" in explained(CLAIMS["R9"])
    assert "at most 5% of the combinations" in explained(CLAIMS["R9"])
