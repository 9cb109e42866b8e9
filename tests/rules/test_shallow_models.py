"""The rules about shallow models: made-up errors reach every verdict."""

import pandas as pd
import pytest

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import shallow_models as rules

PUBLISHED = {"error": 0.016, "error_adversarial": 0.99}
GAPS = {"closed": 1e-13, "clipped": 1e-13}
HARM = {"programme": 1e-12, "programmes": 10, "better": 0, "differs": 0}


def errors(main, other):
    """Two models of the main recipe, alike, and one of another: error, after the step, clipped."""
    columns = dict(zip(("error", "step", "clipped"), zip(main, main, other, strict=True), strict=True))
    return pd.DataFrame({"recipe": ["main", "main", "other"]} | columns)


GOOD, POOR, SURE = (0.017, 1.0, 0.986), (0.03, 0.994, 0.986), (0.016, 1.0, 1.0)


@pytest.mark.parametrize(
    ("table", "gaps", "harm", "verdict"),
    [
        (errors(GOOD, POOR), {}, {}, REPRODUCED),
        (errors(POOR, GOOD), {}, {}, CORRECTED),
        (errors(POOR, POOR), {}, {}, CONTRADICTED),
        (errors(SURE, GOOD), {}, {}, CORRECTED),
        (errors(GOOD, GOOD), {"clipped": 1e-3}, {}, CONTRADICTED),
        (errors(GOOD, GOOD), {}, {"programme": 1e-3}, CONTRADICTED),
        (errors(GOOD, GOOD), {}, {"better": 1}, CONTRADICTED),
        (errors(GOOD, GOOD), {}, {"differs": 1}, CONTRADICTED),
    ],
)
def test_step_is_worst(table, gaps, harm, verdict):
    """Numbers, and each way in which the step is not the worst."""
    options = {"main": "main", "published": PUBLISHED, "points": 0.005, "rounding": 1e-9}
    assert rules.step_is_worst(table, GAPS | gaps, HARM | harm, **options).verdict == verdict


@pytest.mark.parametrize(
    ("fooled", "agree", "verdict"),
    [([0.6, 0.9], 10, REPRODUCED), ([0.5, 0.9], 10, CONTRADICTED), ([0.6, 0.9], 9, CONTRADICTED)],
)
def test_shallow_is_vulnerable(fooled, agree, verdict):
    """Most images for every seed, all of them in Keras."""
    options = {"agree": agree, "asked": 10, "small": 0.1, "share": 0.5}
    assert rules.shallow_is_vulnerable(fooled, [0.05, 0.06], [1.5, 2.0], **options).verdict == verdict
