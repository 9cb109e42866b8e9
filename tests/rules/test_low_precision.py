"""Every outcome of the rules on low precision, from made-up tables."""

import pandas as pd
import pytest
from judged import CLAIMS, judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import explained


def sums(**changed):
    """A summed up table of two formats."""
    plain = {"format": ["float16", "bfloat16"], "images": 100, "beyond": 0.0, "above": 0.0, "worst": 0.4}
    rest = {"largest": 1e-3, "certified": 95, "flipped": 2, "broken": 0}
    return pd.DataFrame(plain | rest | changed)


@pytest.mark.parametrize(("beyond", "verdict"), [([0.0, 0.0], REPRODUCED), ([0.0, 0.01], CONTRADICTED)])
def test_the_worst_case(beyond, verdict):
    assert judge("N1", sums(beyond=beyond)).verdict == verdict


@pytest.mark.parametrize(
    ("above", "backward", "likely", "verdict"),
    [
        (0.05, 0.01, 0.2, REPRODUCED),
        (0.05, 0.01, 0.3, CORRECTED),  # it holds, and is hardly smaller
        (0.06, 0.01, 0.2, CONTRADICTED),
        (0.05, 0.9, 0.2, CONTRADICTED),  # not on the random layers
    ],
)
def test_the_probabilistic_bound(above, backward, likely, verdict):
    random = pd.DataFrame({"dimension": [10, 1000], "backward": backward, "likely": [0.4, likely], "worst": 0.4})
    assert judge("N2", sums(above=[0.0, above]), random).verdict == verdict


@pytest.mark.parametrize(
    ("found", "gap", "off", "verdict"),
    [
        (1.0, 0.001, 0.02, CORRECTED),
        (0.9, 0.001, 0.02, REPRODUCED),  # not found often enough
        (1.0, 0.1, 0.02, REPRODUCED),  # not enclosed well enough
        (1.0, 0.001, 0.2, CONTRADICTED),
        (0.9, 0.001, 0.2, UNDECIDED),
    ],
)
def test_what_is_not_computable(found, gap, off, verdict):
    """Formats that the claim does not name, the last row, do not count."""
    columns = {"format": ["float16", "int8"], "found": [found, 0.0], "gap": [gap, 9.0], "off": [off, 9.0], "broken": 0}
    assert judge("N3", pd.DataFrame(columns)).verdict == verdict


@pytest.mark.parametrize(
    ("certified", "broken", "verdict"),
    [([90, 95], 0, REPRODUCED), ([89, 95], 0, CORRECTED), ([95, 95], [0, 1], CONTRADICTED)],
)
def test_functioning(certified, broken, verdict):
    assert judge("N4", sums(certified=certified, broken=broken)).verdict == verdict


@pytest.mark.parametrize(("forward", "verdict"), [(0.1, REPRODUCED), (0.1001, CORRECTED), (0.1003, CONTRADICTED)])
def test_forward_by_backward(forward, verdict):
    """A row without a converged backward error does not count."""
    columns = {"forward": [forward, 9.0], "condition": 100.0, "converged": [1e-3, float("nan")]}
    assert judge("N5", pd.DataFrame(columns)).verdict == verdict


def test_nothing_is_judged_by_nothing():
    """No format that the claim names, and no backward error that was found."""
    columns = {"format": ["int8"], "found": 1.0, "gap": 0.0, "off": 0.0, "broken": 0}
    assert judge("N3", pd.DataFrame(columns)).verdict == UNDECIDED
    columns = {"forward": [1.0], "condition": 1.0, "converged": float("nan")}
    assert judge("N5", pd.DataFrame(columns)).verdict == UNDECIDED


@pytest.mark.parametrize(
    ("claim", "words"), [("N2", "at least 95%"), ("N3", "bfloat16"), ("N4", "90%"), ("N5", "1e-09")]
)
def test_the_words_hold_the_thresholds(claim, words):
    assert words in explained(CLAIMS[claim])
