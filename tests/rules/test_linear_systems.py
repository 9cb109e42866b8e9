"""Every outcome of the rules on linear systems, from made-up tables."""

import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import explained


@pytest.mark.parametrize(
    ("difference", "gain", "verdict"),
    [(1e-13, -1e-9, REPRODUCED), (1e-11, -1e-9, CONTRADICTED), (1e-13, 1e-7, CONTRADICTED)],
)
def test_the_special_case(difference, gain, verdict):
    layers = pd.DataFrame({"difference": [0.0, difference], "gain": [-1e-9, gain]})
    assert judge("B2", layers).verdict == verdict


@pytest.mark.parametrize(
    ("plain", "rigorous", "ratio", "verdict"),
    [
        (False, False, 1.0, REPRODUCED),
        (True, False, 1.1, CORRECTED),
        (True, True, 1.1, CONTRADICTED),  # nor does the rigorous form hold
        (True, False, 1.3, CONTRADICTED),  # not even to first order
    ],
)
def test_forward_by_backward(plain, rigorous, ratio, verdict):
    trials = pd.DataFrame({"plain": [False, plain], "rigorous": rigorous, "ratio": [0.9, ratio], "forward": 0.1})
    assert judge("B7", trials.assign(computed=False)).verdict == verdict


@pytest.mark.parametrize(
    ("pivoting", "without", "verdict"),
    [(5.0, 1e6, REPRODUCED), (5.1, 1e6, CONTRADICTED), (5.0, 999.0, CONTRADICTED)],
)
def test_backward_stable(pivoting, without, verdict):
    backward = {"partial pivoting": pivoting, "no pivoting": without, "computed inverse": 1e9}
    solved = pd.DataFrame({"method": list(backward), "backward": list(backward.values()), "condition": 1e8})
    assert judge("B22", solved, order=5).verdict == verdict


@pytest.mark.parametrize(("claim", "words"), [("B2", "1e-08"), ("B7", "at most 2 times"), ("B22", "1000 $u$")])
def test_the_words_hold_the_thresholds(claim, words):
    assert words in explained(CLAIMS[claim])
