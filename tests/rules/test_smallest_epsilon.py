"""Every outcome of the rules on the smallest ε, with the thresholds of the claims file."""

import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import explained

COLUMNS = ["near", "near_right", "near_all", "mean", "mean_all", "std", "std_all", "fooled", "fooled_right"]


def numbers(**columns):
    """Two networks; a column that is not given lies far from everything."""
    return pd.DataFrame({"wrong": [9000, 9001]} | {name: [50.0, 51.0] for name in COLUMNS} | columns)


@pytest.mark.parametrize(("accuracy", "verdict"), [(0.88, REPRODUCED), (0.87, CONTRADICTED)])
@pytest.mark.parametrize("wrong", [[100, 130], [150, 160]])
def test_misclassified(wrong, accuracy, verdict):
    """Our own count, which was chosen, does not enter."""
    published = {"misclassified": 120, "images": 1000, "accuracy": accuracy}
    assert judge("D9", numbers(wrong=wrong), 1000, published=published).verdict == verdict


@pytest.mark.parametrize(
    ("change", "largest", "verdict"),
    [
        ({}, [0.1, 0.2], REPRODUCED),
        ({}, [0.2, 0.3], UNDECIDED),
        ({"unproved": 1}, [0.1, 0.2], UNDECIDED),
        ({"apart": 1}, [0.1, 0.2], CONTRADICTED),
        ({"never": 1}, [0.1, 0.2], CONTRADICTED),
        ({"in_time": False}, [0.2, 0.3], CONTRADICTED),
    ],
)
def test_methods(change, largest, verdict):
    agreement = {"apart": 0, "never": 0, "in_time": True, "unproved": 0, "pairs": 20} | change
    assert judge("D10", agreement, largest, published={"largest": 0.165}).verdict == verdict


@pytest.mark.parametrize(
    ("odd", "unresolved", "confirmed", "clipped", "verdict"),
    [
        ([0, 0], 0, [], False, REPRODUCED),
        ([0, 0], 0, [False], False, REPRODUCED),
        ([0, 0], 0, [True], False, CORRECTED),
        ([0, 0], 0, [True], True, REPRODUCED),
        ([0, 0], 1, [True], False, UNDECIDED),
        ([0, 1], 1, [], False, CONTRADICTED),
    ],
)
def test_images_that_return(odd, unresolved, confirmed, clipped, verdict):
    away = pd.DataFrame({"net": "relu-0", "confirmed": confirmed}).astype({"confirmed": bool}).assign(clipped=clipped)
    away["clipped"] = away["clipped"].astype(bool)
    assert judge("D11", pd.DataFrame({"odd": odd, "unresolved": unresolved}), 100, away).verdict == verdict


@pytest.mark.parametrize(
    ("reading", "verdict"),
    [("near_right", CORRECTED), ("near", REPRODUCED), ("near_all", UNDECIDED), ("mean", UNDECIDED)],
)
def test_share(reading, verdict):
    assert judge("D12", numbers(**{reading: [0.07, 0.08]}), published={"share": 0.075}).verdict == verdict


@pytest.mark.parametrize(
    ("columns", "verdict"),
    [
        ({"mean": [0.04, 0.06], "std": [0.02, 0.04]}, REPRODUCED),
        ({"mean_all": [0.04, 0.06], "std_all": [0.02, 0.04]}, REPRODUCED),
        ({"mean": [0.04, 0.06], "std_all": [0.02, 0.04]}, UNDECIDED),
        ({"mean": [0.051, 0.053], "std": [0.031, 0.032]}, UNDECIDED),
    ],
)
def test_moments(columns, verdict):
    assert judge("D13", numbers(**columns), published={"mean": 0.05, "std": 0.03}).verdict == verdict


PRINTED = {
    "D9": {"misclassified": 120}, "D10": {"largest": 0.165}, "D12": {"share": 0.075},
    "D13": {"mean": 0.05, "std": 0.03}, "D21": {"share": 0.95},
}  # fmt: skip
INSIDE = {"wrong": [100, 130], "near": [0.07, 0.08], "mean": [0.04, 0.06], "std": [0.02, 0.04], "fooled": [0.96, 0.97]}


@pytest.mark.parametrize(
    ("change", "largest", "outside"),
    [
        ({}, [0.1, 0.2], ""),
        ({}, [0.2, 0.3], "D10"),
        ({"wrong": [130, 140]}, [0.1, 0.2], "D9"),
        ({"near": [0.08, 0.09]}, [0.1, 0.2], "D12"),
        ({"std": [0.031, 0.04]}, [0.2, 0.3], "D10 and D13"),
        ({"fooled": [0.94, 0.97]}, [0.1, 0.2], "D21"),
    ],
)
def test_curve(change, largest, outside):
    """It passes through all that is printed, or those that it misses are named."""
    outcome = judge("D14", numbers(**INSIDE | change), largest, 0.004, printed=PRINTED)
    assert outcome.verdict == (UNDECIDED if outside else REPRODUCED)
    assert (f"not those of {outside};" in outcome.ours) == bool(outside)


@pytest.mark.parametrize(
    ("fooled", "verdict"), [([0.96, 0.97], REPRODUCED), ([0.94, 0.97], UNDECIDED), ([0.9, 0.95], UNDECIDED)]
)
def test_passed(fooled, verdict):
    assert judge("D21", numbers(fooled=fooled), published={"share": 0.95, "epsilon": 0.1}).verdict == verdict


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
    assert judge("D23", path, path[:1], published={"epsilon": 0.01}).verdict == verdict


def test_more_units_that_gain_more_accuracy_are_a_correction():
    path = pd.DataFrame({"epochs": [1, 3], "accuracy": [0.8, 0.9], "fooled": [0.3, 0.2], "mean": [0.04, 0.05]})
    wider = path.assign(accuracy=[0.8, 0.95])
    assert judge("D23", path, path[:1], published={"epsilon": 0.01}).verdict == REPRODUCED
    assert judge("D23", path, wider, published={"epsilon": 0.01}).verdict == CORRECTED


def test_thresholds_are_printed():
    assert "add up to one, within 1e-09" in explained(CLAIMS["D9"])
