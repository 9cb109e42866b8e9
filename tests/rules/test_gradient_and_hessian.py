"""The rules about derivatives: made-up numbers reach every verdict."""

import pandas as pd
import pytest

from lab.claims import CONTRADICTED, REPRODUCED, UNDECIDED
from lab.rules import gradient_and_hessian as rules


@pytest.mark.parametrize(
    ("gradient", "differences", "verdict"),
    [(1e-14, 1e-9, REPRODUCED), (1e-9, 1e-9, CONTRADICTED), (1e-14, 1e-3, CONTRADICTED)],
)
def test_propagated(gradient, differences, verdict):
    """Both comparisons, on every kind."""
    errors = pd.DataFrame({"gradient": [1e-15, gradient], "differences": [differences, 1e-10]})
    assert rules.propagated(errors, rounding=1e-12, differences=1e-6).verdict == verdict


def minima(quotient=1.0, converged=1.0, won=9):
    columns = {"net": ["a", "b"], "quotient": [1.0, quotient], "converged": [1.0, converged], "won": [9, won]}
    return pd.DataFrame(columns | {"newton": 6.0, "gradient": 60.0, "lower": 1.0})


@pytest.mark.parametrize(
    ("networks", "seeds", "verdict"),
    [
        (minima(), minima(), REPRODUCED),
        (minima(quotient=1.01), minima(), CONTRADICTED),
        (minima(), minima(converged=0.9), CONTRADICTED),
        (minima(won=0), minima(), UNDECIDED),
        (minima(), minima(quotient=float("nan"), won=0), UNDECIDED),
        (minima(), minima()[:0], UNDECIDED),
    ],
)
def test_second_order(networks, seeds, verdict):
    """Distances and convergence, on all networks and seeds; nothing to compare decides nothing."""
    assert rules.second_order(networks, seeds, longer=1.001, converged=0.99).verdict == verdict
