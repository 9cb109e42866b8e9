"""Every outcome of the rules on the smallest ε, with the thresholds of the claims file."""

import pandas as pd
import pytest

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, load_claims
from lab.parameters import ROOT
from lab.rules import explained, rule_of

CLAIMS = load_claims(ROOT / "book" / "claims.yml")
COLUMNS = ["near", "near_right", "near_all", "mean", "mean_all", "std", "std_all", "fooled", "fooled_right"]


def judge(claim, *tables, published=None):
    rule, thresholds = rule_of(CLAIMS[claim])
    named = {} if published is None else {"published": published}
    return rule(*tables, **named, **thresholds).verdict


def numbers(**columns):
    """Two networks; a column that is not given lies far from everything."""
    return pd.DataFrame({"wrong": [9000, 9001]} | {name: [50.0, 51.0] for name in COLUMNS} | columns)


@pytest.mark.parametrize(
    ("wrong", "accuracy", "verdict"),
    [
        ([100, 130], 0.88, REPRODUCED),
        ([121, 129], 0.88, REPRODUCED),
        ([150, 160], 0.88, CONTRADICTED),
        ([100, 130], 0.87, CONTRADICTED),
    ],
)
def test_misclassified(wrong, accuracy, verdict):
    published = {"misclassified": 120, "images": 1000, "accuracy": accuracy}
    assert judge("D9", numbers(wrong=wrong), 1000, published=published) == verdict


@pytest.mark.parametrize(
    ("change", "largest", "verdict"),
    [
        ({}, [0.1, 0.2], REPRODUCED),
        ({}, [0.2, 0.3], CORRECTED),
        ({"apart": 1}, [0.1, 0.2], CORRECTED),
        ({"never": 1}, [0.2, 0.3], CONTRADICTED),
        ({"in_time": False}, [0.2, 0.3], CONTRADICTED),
    ],
)
def test_methods(change, largest, verdict):
    agreement = {"apart": 0, "never": 0, "in_time": True, "pairs": 20} | change
    assert judge("D10", agreement, largest, published={"largest": 0.165}) == verdict


@pytest.mark.parametrize(
    ("own", "confirmed", "verdict"),
    [([0, 0], [], REPRODUCED), ([0, 0], [False], REPRODUCED), ([0, 0], [True], CORRECTED), ([0, 1], [], CONTRADICTED)],
)
def test_images_that_return(own, confirmed, verdict):
    away = pd.DataFrame({"net": ["relu-0"] * len(confirmed), "confirmed": pd.Series(confirmed, dtype=bool)})
    assert judge("D11", own, 100, away) == verdict


@pytest.mark.parametrize(
    ("reading", "verdict"),
    [("near_right", REPRODUCED), ("near_all", REPRODUCED), ("near", CORRECTED), ("mean", CONTRADICTED)],
)
def test_share(reading, verdict):
    assert judge("D12", numbers(**{reading: [0.07, 0.08]}), published={"share": 0.075}) == verdict


@pytest.mark.parametrize(
    ("columns", "verdict"),
    [
        ({"mean": [0.04, 0.06], "std": [0.02, 0.04]}, REPRODUCED),
        ({"mean_all": [0.04, 0.06], "std_all": [0.02, 0.04]}, REPRODUCED),
        ({"mean": [0.051, 0.053], "std": [0.031, 0.032]}, CORRECTED),
        ({"mean": [0.051, 0.053], "std": [0.04, 0.05]}, CONTRADICTED),
    ],
)
def test_moments(columns, verdict):
    assert judge("D13", numbers(**columns), published={"mean": 0.05, "std": 0.03}) == verdict


@pytest.mark.parametrize(("distance", "verdict"), [(0.01, REPRODUCED), (0.02, CORRECTED), (0.04, CONTRADICTED)])
def test_curve(distance, verdict):
    assert judge("D14", distance, 3) == verdict


@pytest.mark.parametrize(
    ("fooled", "verdict"), [([0.96, 0.97], REPRODUCED), ([0.94, 0.97], CORRECTED), ([0.9, 0.95], CONTRADICTED)]
)
def test_passed(fooled, verdict):
    assert judge("D21", numbers(fooled=fooled), published={"share": 0.95, "epsilon": 0.1}) == verdict


@pytest.mark.parametrize(
    ("fooled", "mean", "verdict"),
    [
        ([0.3, 0.2, 0.1], [0.04, 0.05, 0.06], REPRODUCED),
        ([0.2, 0.3, 0.1], [0.04, 0.05, 0.06], CORRECTED),
        ([0.3, 0.2, 0.1], [0.04, 0.05, 0.03], CORRECTED),
        ([0.1, 0.2, 0.3], [0.04, 0.05, 0.06], CORRECTED),
        ([0.1, 0.2, 0.3], [0.06, 0.05, 0.04], CONTRADICTED),
    ],
)
def test_accuracy_and_robustness(fooled, mean, verdict):
    path = pd.DataFrame({"epochs": [1, 3, 7], "accuracy": [0.8, 0.9, 0.95], "fooled": fooled, "mean": mean})
    assert judge("D23", path, path[:1], published={"epsilon": 0.01}) == verdict


def test_thresholds_are_printed():
    assert "at most 1% of the images outside; with a correction up to 3%" in explained(CLAIMS["D14"])
    assert "are within 10% of it" in explained(CLAIMS["D13"])
