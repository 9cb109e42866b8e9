"""Every outcome of the rules on the first hundred images, with the thresholds of the claims file."""

import numpy as np
import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import explained

EPSILONS = [0.02, 0.01, 0.001, 0.0001]


def compared():
    """A table of four steps in which our counts are 3."""
    counts = {f"{name}_{key}": 3 for name in ("new", "all") for key in ("median", "lowest", "highest")}
    return pd.DataFrame({"epsilon": EPSILONS}).assign(**counts)


def fits(new, everything=0):
    return {name: {"counts": n, "both": n} for name, n in (("new", new), ("all", everything))}


@pytest.mark.parametrize(
    ("new", "everything", "column", "verdict"),
    [
        (4, 0, [2, 2, 2, 2], REPRODUCED),
        (0, 4, [2, 2, 2, 2], REPRODUCED),
        (4, 0, [2, 0, 0, 0], CORRECTED),
        (4, 0, [0, 0, 0, 0], CORRECTED),
        (3, 2, [2, 2, 2, 2], UNDECIDED),
    ],
)
def test_rows_that_fit_and_a_constant_column(new, everything, column, verdict):
    published = {"rows": [(e, n, 3, 0.5) for e, n in zip(EPSILONS, column, strict=True)], "images": 100}
    assert judge("D5", compared(), fits(new, everything), np.array([1, 3]), 0.9, published=published).verdict == verdict


@pytest.mark.parametrize(
    ("fewer", "counts", "least", "verdict"),
    [
        ([2, 2, 2, 2], 4, 0, REPRODUCED),
        ([2, 2, 2, 2], 4, 1, CORRECTED),
        ([2, 2, 2, 2], 3, 0, CORRECTED),
        ([2, 2, 2, 0], 4, 0, CORRECTED),
        ([2, 2, 0, 0], 4, 0, UNDECIDED),
        ([-2, -2, -2, 2], 4, 0, CONTRADICTED),
    ],
)
def test_the_spread_may_hide_the_difference(fewer, counts, least, verdict):
    table = pd.DataFrame({"epsilon": EPSILONS, "fewer": fewer, "fewer_whole": fewer})
    table = table.assign(spread=1.0, spread_whole=1.0, pairs=5)
    tables = compared(), fits(counts), table, np.array([least, 3]), 2, 0.9
    assert judge("D6", *tables, published={"images": 100}).verdict == verdict


@pytest.mark.parametrize(
    ("first", "last", "share", "verdict"),
    [
        ([8, 9], [3, 4], [0.05, 0.04], REPRODUCED),
        ([7, 8], [3, 4], [0.05, 0.04], UNDECIDED),
        ([8, 9], [3, 4], [0.05, 0.07], CONTRADICTED),
        ([8, 9], None, [0.05, 0.04], UNDECIDED),
    ],
)
def test_counts_and_the_decline_on_the_whole_test_set(first, last, share, verdict):
    rows = [(1, seed, n, 0.06) for seed, n in enumerate(first)]
    rows += [(40, seed, n, s) for seed, (n, s) in enumerate(zip(last or [], share, strict=False))]
    longer = pd.DataFrame(rows, columns=["epochs", "seed", "new_first", "new"])
    assert judge("D7", longer, published={"misclassified": {1: 9, 40: 4}, "images": 100}).verdict == verdict


@pytest.mark.parametrize(("fooled", "verdict"), [(2, REPRODUCED), (1, UNDECIDED), (0, UNDECIDED)])
def test_a_fifth_of_the_networks_is_enough(fooled, verdict):
    row = {"counted": "from 1", "networks": 10, "fooled": fooled, "fooled_2": 0, "median": 0.1, "lowest": 0.0}
    steps = pd.DataFrame([row | {"highest": 0.2}])
    assert judge("D8", steps, steps.iloc[0], published={"epsilons": [0.01, 0.009]}).verdict == verdict


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        ([0.012, 0.013, 0.015], REPRODUCED),
        ([0.001, 0.01, 0.009], CONTRADICTED),
        ([0.02, 0.03, 0.04], CONTRADICTED),
        ([0.001, 0.012, 0.03], UNDECIDED),
    ],
)
def test_the_measure_decides_only_if_all_agree(limits, verdict):
    steps = pd.DataFrame({"contrast": [0.005, 0.01, 0.05], "epsilon": limits})
    published = {"invisible": [0.01, 0.001], "visible": [0.021, 0.015], "threshold": 0.01}
    assert judge("D19", steps, EPSILONS, published=published).verdict == verdict


FALLS = ["images", "curve", "width", "seed", "within", "beyond"]


def falls(whole=(0, 0), best=(0, 0), few=(0, 0, 0)):
    """Falls of four networks: of a count and a confidence on a hundred images, of a confidence on the first few."""
    rows = [
        (images, curve, 64, seed, 0, 0)
        for images in ("whole", "few")
        for curve in ("all", "new_best")
        for seed in range(4)
    ]
    frame = (
        pd.DataFrame(rows, columns=FALLS)
        .replace({"images": {"few": "hundred"}})
        .astype({"within": float, "beyond": float})
    )
    frame.loc[0, ["within", "beyond"]] = whole
    frame.loc[4, ["within", "beyond"]] = best
    frame.loc[12 : 11 + len(few), "within"] = few
    return frame


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({}, REPRODUCED),
        ({"best": (1e-13, 0)}, REPRODUCED),
        ({"whole": (1, 0), "best": (0, 0.3)}, CORRECTED),
        ({"whole": (0, 9), "best": (0.005, 0)}, CORRECTED),
        ({"few": (0.3, 0.2)}, CORRECTED),
        ({"few": (0.3, 0.2, 0.1)}, CONTRADICTED),
        ({"whole": (2, 0)}, CONTRADICTED),
        ({"best": (0.02, 0)}, CONTRADICTED),
    ],
)
def test_falls_count_on_few_images_and_on_many(given, verdict):
    outcome = judge("D20", falls(**given), 100, 10, points=9, largest=0.02)
    assert outcome.verdict == verdict
    assert f"falls for {sum(n > 0 for n in given.get('few', ()))} of 4 networks" in outcome.because


@pytest.mark.parametrize(
    ("error", "largest", "excess", "verdict"),
    [
        (1e-16, 0.5, 0.0, REPRODUCED),
        (1e-09, 0.5, 0.0, CONTRADICTED),
        (1e-16, 1.1, 0.0, CONTRADICTED),
        (1e-16, 0.5, 1e-09, CONTRADICTED),
    ],
)
def test_nothing_in_the_box_exceeds_the_law(error, largest, excess, verdict):
    models = pd.DataFrame({"n": [10], "change": [1.0], "error": [error], "largest": [largest]})
    assert judge("D18", models, excess, 5).verdict == verdict


def test_thresholds_are_printed():
    assert "at least 50% of the ε" in explained(CLAIMS["D6"])
    assert "at least 20% of the networks" in explained(CLAIMS["D8"])
    assert "of the contrasts [0.005, 0.01, 0.05] is" in explained(CLAIMS["D19"])
    assert "by more than 1% of all images" in explained(CLAIMS["D20"])
