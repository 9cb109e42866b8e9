"""The rules about attacks on two layers: made-up outcomes reach every verdict."""

import numpy as np
import pandas as pd
import pytest
from judged import judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED

PUBLISHED = {"accuracy": 0.97, "norms": {7: {0: 0.08, 1: 0.06}, 8: {0: 0.06, 1: 0.04}}, "attempts": 4}
SPREAD = 0.17  # the median of 1/7 and 1/5


def axis(free=None, penalised=None, logits=None):
    """Return what came of four attacks on a free and a penalised network, in both forms and both methods."""
    usual = {"accuracy": 0.97, "won": 3, "third": 0, "mean": 0.06, "spread": SPREAD, "kkt": 1e-14}
    rows = []
    for net, penalty, own in (("a", 0.0, free), ("b", 0.02, penalised)):
        for form in ("outputs", "logits"):
            for method in ("first-order", "converged"):
                row = usual | {
                    "net": net,
                    "penalty": penalty,
                    "form": form,
                    "method": method,
                    "attempts": 4,
                    "size": 1.0,
                }
                row |= (own if form == "outputs" and method == "first-order" else logits) or {}
                rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("table", "verdict"),
    [
        (axis(), REPRODUCED),
        (axis(penalised={"won": 4}), REPRODUCED),
        (axis(free={"mean": 1e3}), CORRECTED),
        (axis(free={"spread": 1.0}), CORRECTED),
        (axis(free={"mean": 1e3}, penalised={"won": 4}), CONTRADICTED),
        (axis(free={"won": 0}, penalised={"accuracy": 0.9}), CONTRADICTED),
        (axis(free={"mean": 0.01}, penalised={"mean": 0.2}), CONTRADICTED),
        (axis().assign(accuracy=0.9), CONTRADICTED),
    ],
)
def test_some_fail(table, verdict):
    """Accuracy, failures, norms and spread; the free networks reproduce, any network on the axis corrects."""
    assert judge("B13", table, published=PUBLISHED).verdict == verdict


def test_the_logits_are_judged_beside():
    """Their numbers do not change the verdict, and stand in the reason with a verdict of their own."""
    outcome = judge("B13", axis(logits={"won": 0}), published=PUBLISHED)
    assert outcome.verdict == REPRODUCED
    assert "0 of 4 win, mean norms 6.0·10⁻²; 0 of 2 networks agree with Table 2, 0 of them" in outcome.because
    assert f": {CONTRADICTED}." in outcome.because


def early(third=0, mean=0.06):
    """Return what two stopped solvers leave on both networks."""
    return pd.DataFrame({"net": ["a", "b"], "solver": "active set", "steps": 2, "third": third, "mean": mean})


@pytest.mark.parametrize(
    ("table", "stopped", "gain", "verdict"),
    [
        (axis(), early(), 1e-9, CONTRADICTED),
        (axis(), early(third=2), 1e-9, UNDECIDED),
        (axis(), early(third=2, mean=0.5), 1e-9, CONTRADICTED),
        (axis(free={"won": 4}, penalised={"won": 4}), early(third=2), 1e-9, REPRODUCED),
        (axis(free={"won": 4}, penalised={"won": 4}), early(), 1e-9, CONTRADICTED),
        (axis(), early(third=2), -1e-3, REPRODUCED),
        (axis(free={"kkt": 1e-3}), early(third=2), 1e-9, REPRODUCED),
        (axis(free={"mean": 1e3}, penalised={"accuracy": 0.9}), early(third=2), 1e-9, UNDECIDED),
    ],
)
def test_two_causes(table, stopped, gain, verdict):
    """The optimiser needed, not needed, or one of two ways; a network with such norms must be there."""
    slsqp, one_layer = pd.DataFrame({"objective": [gain, 0.0]}), pd.DataFrame({"norm": [0.04]})
    assert judge("B14", table, stopped, slsqp, one_layer, published=PUBLISHED).verdict == verdict


def test_two_layers_that_need_no_more_than_one_explain_nothing():
    """Then only the stopped solver is left."""
    slsqp, one_layer = pd.DataFrame({"objective": [0.0]}), pd.DataFrame({"norm": [0.07]})
    assert judge("B14", axis(), early(third=2), slsqp, one_layer, published=PUBLISHED).verdict == REPRODUCED


@pytest.mark.parametrize(
    ("won", "exponents", "verdict"),
    [([1, 1], [1.9, 2.1], REPRODUCED), ([1, 0], [1.9, 2.1], CORRECTED), ([1, 1], [1.7, 2.0], CONTRADICTED)],
)
@pytest.mark.parametrize("logits", [0, 1])
def test_square_law(won, exponents, verdict, logits):
    """The growth, and whether it matters where the paper puts its constraints; the logits change no verdict."""
    gaps = pd.DataFrame({"form": ["outputs", "logits"], "slope": exponents, "at_one": 0.2})
    forms = np.repeat(["outputs", "logits"], 2)
    attacks = pd.DataFrame({"net": "a", "form": forms, "method": "first-order", "won": [*won, logits, logits]})
    assert judge("B19", gaps, attacks).verdict == verdict
