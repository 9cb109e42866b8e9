"""The rules about attacks side by side: made-up numbers reach every verdict."""

import numpy as np
import pandas as pd
import pytest

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import attacks_side_by_side as rules


def gains(least):
    return pd.DataFrame({"any": [least, 3.0], "target": [1.0, 20.0]})


@pytest.mark.parametrize(
    ("share", "slower", "verdict"),
    [(0.9, 10, REPRODUCED), (0.9, 2, CORRECTED), (0.4, 10, CORRECTED), (0.0, 10, CONTRADICTED)],
)
def test_one_step(share, slower, verdict):
    """Success and its price."""
    fixed = pd.DataFrame({"epsilon": [0.1, 0.3], "one_any": [1.0, share], "one_target": [0.2, 0.3]})
    found = rules.one_step(fixed.assign(agree=9, asked=10), gains(0.0), slower, 40, found=0.5, faster=3)
    assert found.verdict == verdict
    assert "Keras confirms 18 of 20" in found.because


@pytest.mark.parametrize(
    ("least", "excess", "verdict"),
    [(0.0, 1e-15, REPRODUCED), (-0.1, 1e-15, CORRECTED), (0.0, 1e-3, CONTRADICTED)],
)
def test_sign_step(least, excess, verdict):
    """Iterating is never worse, and the step is the optimum."""
    assert rules.sign_step(gains(least), np.array([0.0, excess]), rounding=1e-9).verdict == verdict


@pytest.mark.parametrize(
    ("printed", "turned", "verdict"),
    [
        (1.0, 0.9, REPRODUCED),
        (0.9, 1.0, CORRECTED),
        (0.9, 0.9, UNDECIDED),
        (0.4, 0.9, UNDECIDED),
        (0.4, 0.4, CONTRADICTED),
    ],
)
def test_shortest(printed, turned, verdict):
    """The worse of the two solvers decides, as printed and with the sign turned."""
    tables = [
        pd.DataFrame({"net": "a", "attack": ["lbfgs", "cw"], "success": [1.0, success], "median": 1.01})
        for success in (printed, turned)
    ]
    sign = {"away": 0.0, "towards": 0.6, "label": 0.9}
    assert rules.shortest(*tables, sign, reliable=0.99, unreliable=0.5).verdict == verdict


@pytest.mark.parametrize(
    ("beaten", "missed", "verdict"),
    [
        ((), 0, REPRODUCED),
        ((), 1, CORRECTED),
        (("first-order",), 0, CORRECTED),
        (("exact",), 0, CONTRADICTED),
        (("converged",), 1, CONTRADICTED),
    ],
)
def test_optimal_by_construction(beaten, missed, verdict):
    """One shorter change decides, whose network it is and how rare; a difference within the threshold does not."""
    kinds = ["exact", "first-order", "converged", "converged"]
    duels = pd.DataFrame({"net": ["one layer", "tanh", "tanh", "ReLU"], "kind": kinds, "rival": "L-BFGS", "both": 1000})
    least = [0.9 if kind in beaten else 0.9995 for kind in kinds]
    duels = duels.assign(least=least, smaller=[int(one < 0.999) for one in least])
    found = rules.optimal_by_construction(duels, {"missed": missed, "attempts": 36}, by=0.001)
    assert found.verdict == verdict
    assert ("L-BFGS on ReLU, 0.1% of 1000" in found.ours) == ("converged" in beaten)


def test_where_never_both_succeed_no_share_is_told():
    """A competitor that never succeeds is not the one that is shorter most often."""
    duels = pd.DataFrame({"net": ["tanh", "ReLU"], "kind": "converged", "rival": ["L-BFGS", "Newton"], "both": [10, 0]})
    duels = duels.assign(least=[0.9, 1.0], smaller=[1, 0])
    found = rules.optimal_by_construction(duels, {"missed": 0, "attempts": 36}, by=0.001)
    assert "L-BFGS on tanh, 10.0% of 10" in found.ours


@pytest.mark.parametrize(
    ("success", "random", "verdict"),
    [(1.0, 60, REPRODUCED), (0.9, 60, CORRECTED), (1.0, 15, CORRECTED), (1.0, 10, CONTRADICTED)],
)
def test_greedy(success, random, verdict):
    """Success, and how many times fewer pixels than the random order."""
    pixels = pd.DataFrame({"greedy": [10.0, 9.0], "random": [random, 90.0], "greedy_success": [1.0, success]})
    found = rules.greedy(pixels.assign(random_success=0.5), pd.Series([0.0, 1.0]), reached=0.99, fewer=3)
    assert found.verdict == verdict


def test_outside():
    """Nothing is computed, so nothing is decided."""
    assert rules.outside().verdict == UNDECIDED
