"""Every outcome of the rules on deep networks, from made-up tables."""

import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import explained

FINE, OFF = 1e-15, 1e-3


@pytest.mark.parametrize(
    ("worst", "order", "verdict"),
    [(FINE, 2.05, REPRODUCED), (OFF, 2.0, CONTRADICTED), (FINE, 2.2, CONTRADICTED), (FINE, 1.8, CONTRADICTED)],
)
def test_two_layers(worst, order, verdict):
    assert judge("B3", pd.DataFrame({"worst": [FINE, worst], "order": [2.0, order]})).verdict == verdict


@pytest.mark.parametrize(
    ("tanh", "softmax", "repaired", "verdict"),
    [
        (FINE, FINE, FINE, REPRODUCED),
        (FINE, OFF, FINE, CORRECTED),
        (FINE, OFF, OFF, CONTRADICTED),  # the pseudo-inverse does not help
        (OFF, OFF, FINE, CONTRADICTED),  # wrong where there is an inverse
    ],
)
def test_activations(tanh, softmax, repaired, verdict):
    cases = ["tanh", "softmax", "softmax", "ReLU, one unit off"]
    layers = pd.DataFrame({"case": cases, "printed": [tanh, softmax, softmax, OFF], "bea": [FINE, FINE, repaired, OFF]})
    assert judge("B4", layers).verdict == verdict


@pytest.mark.parametrize(
    ("two", "three", "others", "verdict"),
    [
        (FINE, FINE, FINE, REPRODUCED),
        (FINE, OFF, FINE, CORRECTED),
        (FINE, OFF, OFF, CONTRADICTED),
        (OFF, OFF, FINE, CONTRADICTED),
    ],
)
def test_equation_4(two, three, others, verdict):
    rows = [("last", 1, FINE), ("first as printed", 2, two), ("first as printed", 3, three), ("completed", 3, others)]
    assert judge("B5", pd.DataFrame(rows, columns=["row", "p", "difference"])).verdict == verdict


@pytest.mark.parametrize(
    ("slsqp", "printed", "verdict"),
    [
        (1.0, 1.0, REPRODUCED),
        (1.0, 1.2, CORRECTED),
        (0.99, 1.2, CONTRADICTED),  # the optimiser gains
        (1.01, 1.0, CONTRADICTED),  # it comes nowhere near, so that nothing is confirmed
    ],
)
def test_two_norms(slsqp, printed, verdict):
    mixed = pd.DataFrame({"family": ["small", "trained"], "printed": [1.0, printed]})
    assert judge("B6", pd.DataFrame({"slsqp": [1.0, slsqp]}), mixed).verdict == verdict


@pytest.mark.parametrize(
    ("product", "gap", "ratio", "verdict"),
    [
        (FINE, FINE, 1.0, REPRODUCED),
        (FINE, FINE, 1.5, CORRECTED),
        (OFF, FINE, 1.5, CONTRADICTED),
        (FINE, OFF, 1.0, CONTRADICTED),
    ],
)
def test_convolutions(product, gap, ratio, verdict):
    shared = pd.DataFrame({"gap": [FINE, gap], "free": [ratio, 9.0], "padding": [0, 1]})
    assert judge("B8", pd.DataFrame({"difference": [FINE, product]}), shared).verdict == verdict


@pytest.mark.parametrize(
    ("claim", "words"), [("B3", "within 0.1"), ("B4", "50%"), ("B6", "1e-08"), ("B8", "1.01 times")]
)
def test_the_words_hold_the_thresholds(claim, words):
    assert words in explained(CLAIMS[claim])
