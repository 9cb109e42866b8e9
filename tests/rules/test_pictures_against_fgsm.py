"""The rules about attacks on the input: made-up tables reach every verdict."""

import numpy as np
import pandas as pd
import pytest

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, load_claims
from lab.parameters import ROOT
from lab.rules import rule_of

CLAIMS = load_claims(ROOT / "book" / "claims.yml")


def judge(claim, *tables, **named):
    """The outcome by the rule and the thresholds of the claims file."""
    rule, thresholds = rule_of(CLAIMS[claim])
    return rule(*tables, **named, **thresholds)


@pytest.mark.parametrize(
    ("brightest", "verdict"),
    [([0.1, 0.2, 0.11, 0.19], REPRODUCED), ([0.1, 0.2, 0.05, 0.1], CONTRADICTED), ([0.2, 0.4, 0.1, 0.2], CONTRADICTED)],
)
def test_stains_show(brightest, verdict):
    """The median of every network decides, not that of all."""
    ones = pd.DataFrame({"net": ["a", "a", "b", "b"], "norm": [0.1, 0.2, 0.1, 0.2], "brightest": brightest})
    assert judge("B15", ones, 0.1, published={"visible": 0.1}).verdict == verdict


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [([3, 1], [1, 2], REPRODUCED), ([3, 0], [1, 2], CORRECTED), ([3, 2], [0, 0], CONTRADICTED)],
)
def test_each_wins_somewhere(ours, theirs, verdict):
    """On all networks, on some, on none."""
    counts = {"ours": np.array(ours), "theirs": np.array(theirs), "both": np.array([4, 4]), "reached": np.array([4, 4])}
    wins = dict.fromkeys(("first-order along its ray", "first-order", "converged"), counts)
    assert judge("B16", wins, pd.Series([True, False])).verdict == verdict


@pytest.mark.parametrize(
    ("smaller", "reached", "verdict"),
    [
        ((), True, REPRODUCED),
        ((), False, CORRECTED),
        (("first", "ray", "zero"), True, CORRECTED),
        (("one",), True, CONTRADICTED),
        (("converged",), True, CONTRADICTED),
        (("stay",), False, CONTRADICTED),
    ],
)
def test_optimal_by_construction(smaller, reached, verdict):
    """What is smaller decides; a smaller one elsewhere does not, nor does a difference within the threshold."""
    of = ["one", "first", "ray", "converged", "stay", "zero", "elsewhere"]
    duels = pd.DataFrame({"of": of, "ratio": [0.9 if name in smaller else 0.9995 for name in of]})
    found = judge("B17", duels, pd.Series([True, reached]), 1.2, np.array([0.9, 1.0]))
    assert found.verdict == verdict
    assert "in 1 of 2" in found.ours


@pytest.mark.parametrize(
    ("first", "magnitudes", "verdict"),
    [([4, 5], 700, REPRODUCED), ([4, 3], 700, CORRECTED), ([4, 1], 700, CONTRADICTED), ([4, 5], 9, CONTRADICTED)],
)
def test_more_classes_graded(first, magnitudes, verdict):
    """Against FGSM with and without a target, and the magnitudes."""
    means = pd.DataFrame(
        {"FGSM": [2.0, 2.0], "targeted FGSM": [3.0, 4.0], "first-order": first, "converged": [9.0, 9.0]}
    )
    columns = {"magnitudes": [1, magnitudes], "participation": [0.8, 0.2]}
    patterns = pd.DataFrame(columns, index=["FGSM", "first-order"])
    assert judge("B18", means, patterns).verdict == verdict


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, REPRODUCED),
        ({"same": False}, CONTRADICTED),
        ({"opened": ["net.npz", "labels.npy"]}, CONTRADICTED),
        ({"modules": ["keras"]}, CONTRADICTED),
    ],
)
def test_alone_it_does_the_same(change, verdict):
    """Other bits, another file, another module: each contradicts."""
    report = {"same": True, "opened": ["net.npz", "image.npy"], "modules": [], "attacks": 18} | change
    assert judge("B21", report, "net").verdict == verdict
