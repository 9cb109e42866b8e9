"""Every outcome of the rules on sturdier networks, from made-up tables."""

import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import explained


@pytest.mark.parametrize(
    ("fooled", "half", "accuracy", "versus", "verdict"),
    [
        ((-0.006, -0.002), 0.003, 0.0001, -0.004, REPRODUCED),
        ((-0.006, -0.002), 0.003, 0.02, -0.004, CORRECTED),
        ((-0.006, -0.002), 0.003, 0.0001, -0.002, CORRECTED),  # the control does nearly as much
        ((-0.006, -0.002), 0.003, 0.0001, 0.004, CORRECTED),
        ((-0.006, -0.002), 0.005, 0.02, -0.006, UNDECIDED),
        ((-0.009, -0.006), 0.003, 0.0001, -0.004, UNDECIDED),  # the report's -0.42 points lie outside
        ((0.002, 0.006), 0.003, 0.0001, -0.004, CONTRADICTED),
    ],
)
def test_more_examples(fooled, half, accuracy, versus, verdict):
    index = pd.MultiIndex.from_product(
        [["all", "new", "random", "versus_random"], ["one", "two"]], names=["added", "net"]
    )
    change = pd.DataFrame({"accuracy": accuracy, "fooled": [*fooled] * 3 + [versus] * 2}, index=index)
    mean = change.groupby("added").mean()
    table = pd.DataFrame({"added": ["(before)", "all"], "fooled": [0.08, 0.07]})
    widths = mean * 0 + [0.001, half]
    outcome = judge("D17", table, change, mean, widths, published=CLAIMS["D17"]["published"])
    assert outcome.verdict == verdict
    assert outcome.ours.startswith("8.00% to 7.00%")
    assert ("they do more than the control" in outcome.because) == (versus < -half)


@pytest.mark.parametrize(
    ("scratch", "relu", "apart", "verdict"),
    [
        ((1.1, 1.1), (1.1, 1.1), 0.01, REPRODUCED),
        ((1.1, 1.1), (1.1, 0.9), 0.01, CORRECTED),
        ((0.9, 0.9), (1.1, 1.1), 0.01, CONTRADICTED),
        ((0.9, 1.1), (1.1, 1.1), 0.01, UNDECIDED),
        ((1.1, 1.1), (1.1, 1.1), 0.03, UNDECIDED),
    ],
)
def test_radial_networks_resist(scratch, relu, apart, verdict):
    rows = [("scratch", stage, 0, *scratch) for stage in ("early", "late")] + [("relu", "late", 0, *relu)]
    ratios = pd.DataFrame(rows, columns=["other", "stage", "seed", "fgsm", "best"])
    assert judge("D22", ratios, apart, 7).verdict == verdict


def test_the_words_hold_the_thresholds():
    assert "more than 2% of the test images" in explained(CLAIMS["D22"])
    assert "Intervals are of 95%" in explained(CLAIMS["D17"])
