"""Every outcome of the rule on transfer, from made-up tables."""

import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, REPRODUCED, UNDECIDED
from lab.rules import explained

SETTING = {"norm": 2.5, "hardest": "RBF", "questions": 100}


@pytest.mark.parametrize(
    ("low", "pairs", "smooth", "lenet", "verdict"),
    [
        (0.2, True, (True, False), (False, True), REPRODUCED),
        (0.2, True, (True, True), (False, False), UNDECIDED),  # one victim never falls
        (0.2, False, (True, True), (True, True), UNDECIDED),
        (0.05, True, (True, True), (True, True), UNDECIDED),
        (0.05, False, (True, True), (False, False), CONTRADICTED),
    ],
)
def test_transfer(low, pairs, smooth, lenet, verdict):
    names = ["FGSM", "PGD", "backward error", "saliency", "signs", "Gaussian"]
    lows = [low, 0.2, 0.2, 0.0, 0.0, 0.0]
    attacks = pd.DataFrame({"mean": 0.3, "low": lows, "high": 0.1, "beats": 1, "pairs": 2}, index=names)
    halves = [("disjoint", "one", "FGSM", 0.4), ("noise", "any", "signs", 0.1)]
    halves = pd.DataFrame(halves, columns=["data", "architectures", "attack", "rate"])
    rows = [
        (victim, learner, level, 0.5, clear)
        for victim, falls in (("smooth ReLU", smooth), ("LeNet", lenet))
        for level, falls_there in zip((0.1, 0.2), falls, strict=True)
        for learner, clear in (("dense", False), ("convolutional", falls_there), ("noise", False), ("itself", True))
    ]
    ended = pd.DataFrame(rows, columns=["victim", "learner", "level", "share", "clear"])
    single = pd.DataFrame({"rate": [0.1, 0.5]})
    outcome = judge("R7", attacks, single, halves, pd.Series([True, pairs]), ended, SETTING)
    assert outcome.verdict == verdict


def test_the_words_hold_the_attacks():
    assert "for FGSM, PGD, backward error; between halves" in explained(CLAIMS["R7"])
