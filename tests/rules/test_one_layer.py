"""Every outcome of the rules on one affine layer, from made-up tables."""

import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import explained


@pytest.mark.parametrize(("difference", "verdict"), [(1e-10, REPRODUCED), (1.1e-10, CONTRADICTED)])
def test_the_closed_form(difference, verdict):
    checks = pd.DataFrame({"on": ["weights", "input", "both"], "difference": [1e-16, difference, 1e-16]})
    assert judge("B1", checks).verdict == verdict


@pytest.mark.parametrize(
    ("agree", "differ", "verdict"),
    [(1e-14, 1e-14, REPRODUCED), (1e-14, 0.1, CORRECTED), (1e-12, 0.1, CONTRADICTED), (1e-12, 0, CONTRADICTED)],
)
def test_a_bias_as_a_column(agree, differ, verdict):
    assert judge("B9", pd.DataFrame({"agree": [0.0, agree], "differ": [0.0, differ]})).verdict == verdict


@pytest.mark.parametrize(("gap", "verdict"), [(1e-13, REPRODUCED), (1e-12, CONTRADICTED)])
def test_kronecker(gap, verdict):
    assert judge("B10", pd.DataFrame({"norm": [0.0, 0.0], "vec": [0.0, gap]})).verdict == verdict


@pytest.mark.parametrize(
    ("norms", "in_keras", "success", "verdict"),
    [
        ((0.005, 0.0149), True, True, REPRODUCED),  # the median of the published ones rounds to 1 %
        ((0.005, 0.03), True, True, CORRECTED),
        ((0.005, 0.0149), False, True, CONTRADICTED),
        ((0.005, 0.03), True, False, CONTRADICTED),
    ],
)
def test_table_one(norms, in_keras, success, verdict):
    attacks = pd.DataFrame({"net": ["one", "two"], "norm": [0.01, 0.02], "in_keras": [True, in_keras]})
    whole, lengths = pd.DataFrame({"norm": [0.01, 0.02], "success": [True, success]}), pd.DataFrame({"median": [0.01]})
    published = {"norms": {7: dict(enumerate(norms))}, "typical": 0.01}
    assert judge("B12", attacks, whole, lengths, published=published).verdict == verdict


@pytest.mark.parametrize(
    ("claim", "words"), [("B1", "1e-10"), ("B9", "1e-13"), ("B10", "1e-13"), ("B12", "2 decimals")]
)
def test_the_words_hold_the_thresholds(claim, words):
    assert words in explained(CLAIMS[claim])
