"""The rules about attacks on two layers: made-up outcomes reach every verdict."""

import numpy as np
import pandas as pd
import pytest

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, load_claims
from lab.parameters import ROOT
from lab.rules import rule_of

CLAIMS = load_claims(ROOT / "book" / "claims.yml")
PUBLISHED = {"accuracy": 0.97, "norms": {7: {0: 0.08, 1: 0.06}, 8: {0: 0.06, 1: 0.04}}, "attempts": 4}


def judge(claim, *tables, **named):
    """The verdict by the rule and the thresholds of the claims file."""
    rule, thresholds = rule_of(CLAIMS[claim])
    return rule(*tables, **named, **thresholds).verdict


def outcomes(keras=(0, 1, 0, 0), norm=0.05, kkt=1e-14, winner=1):
    """Return four attacks on each of two networks."""
    columns = {"net": np.repeat(["a", "b"], 4), "keras": np.tile(np.array(keras, dtype=bool), 2), "norm": norm}
    return pd.DataFrame(columns | {"kkt": kkt, "winner": winner, "target": 1})


@pytest.mark.parametrize(
    ("first", "accuracies", "verdict"),
    [
        (outcomes(), [0.965, 0.972], REPRODUCED),
        (outcomes(norm=0.02), [0.965, 0.972], CORRECTED),
        (outcomes(norm=0.2), [0.965, 0.972], CORRECTED),
        (outcomes(), [0.955, 0.972], CONTRADICTED),
        (outcomes(keras=(1, 1, 1, 1)), [0.965, 0.972], CONTRADICTED),
    ],
)
def test_some_fail(first, accuracies, verdict):
    """Accuracy, failures and norms; a network on which all succeed contradicts."""
    assert judge("B13", first, np.array(accuracies), published=PUBLISHED) == verdict


@pytest.mark.parametrize(
    ("first", "converged", "gain", "verdict"),
    [
        (outcomes(), outcomes(keras=(1, 1, 1, 1)), 1e-9, CONTRADICTED),
        (outcomes(), outcomes(), 1e-9, CORRECTED),
        (outcomes(kkt=1e-3), outcomes(keras=(1, 1, 1, 1)), 1e-9, CORRECTED),
        (outcomes(), outcomes(keras=(1, 1, 1, 1)), -1e-3, CORRECTED),
        (outcomes(keras=(1, 1, 1, 1)), outcomes(keras=(1, 1, 1, 1)), 1e-9, REPRODUCED),
    ],
)
def test_not_the_optimiser(first, converged, gain, verdict):
    """Solved, missed and recovered; without a miss there is nothing to explain."""
    slsqp, one_layer = pd.DataFrame({"objective": [gain, 0.0]}), pd.DataFrame({"norm": [0.06]})
    assert judge("B14", first, converged, slsqp, one_layer) == verdict


@pytest.mark.parametrize(
    ("winner", "exponents", "verdict"),
    [(1, [1.9, 2.1], REPRODUCED), (2, [1.9, 2.1], CORRECTED), (1, [1.7, 2.0], CONTRADICTED)],
)
def test_square_law(winner, exponents, verdict):
    """The growth, and whether it matters."""
    assert judge("B19", outcomes(winner=winner), np.array(exponents), np.array([0.2])) == verdict
