"""The rule about the rise and fall of accuracy: made-up paths reach every verdict."""

import pandas as pd
import pytest

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import robustness_and_accuracy as rules

QUOTIENTS = pd.DataFrame({"name": ["tight", "repaired"], "median": [0.9, 0.5]})
ENDS = [{"change": 0.1, "error": 0.01, "from": 1, "to": 4, "of": "hidden layers", "apart": "overlap"}]


def path(rise, fall, peak=0.1):
    return {"rise": rise, "fall": fall, "peak": peak, "said_rise": "is", "said_fall": "is not"}


@pytest.mark.parametrize(
    ("noise", "decay", "verdict"),
    [
        (path(True, True), path(True, True), REPRODUCED),
        (path(True, True), path(False, True), CORRECTED),
        (path(False, True, 0.0), path(False, True, 0.0), CONTRADICTED),
        (path(False, True, 0.0), path(False, False, 0.0), UNDECIDED),
        (path(False, True), path(False, True), UNDECIDED),
        (path(True, False), path(True, False), UNDECIDED),
    ],
)
def test_rise_then_fall(noise, decay, verdict):
    """On both paths, on one, on none."""
    paths, said = {"noise": noise, "decay": decay}, {"noise": "this", "decay": "that"}
    titles = {"noise": "noise", "decay": "weight decay"}
    assert rules.rise_then_fall(paths, said, ENDS, QUOTIENTS, titles=titles).verdict == verdict
