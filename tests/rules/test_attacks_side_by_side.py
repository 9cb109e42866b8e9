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
    assert rules.one_step(fixed, gains(0.0), slower, 40, found=0.5, faster=3).verdict == verdict


@pytest.mark.parametrize(
    ("least", "excess", "verdict"),
    [(0.0, 1e-15, REPRODUCED), (-0.1, 1e-15, CORRECTED), (0.0, 1e-3, CONTRADICTED)],
)
def test_sign_step(least, excess, verdict):
    """Iterating is never worse, and the step is the optimum."""
    assert rules.sign_step(gains(least), np.array([0.0, excess]), rounding=1e-9).verdict == verdict


@pytest.mark.parametrize(
    ("success", "away", "verdict"),
    [(1.0, 0.0, CORRECTED), (1.0, 0.6, REPRODUCED), (0.9, 0.0, UNDECIDED), (0.4, 0.0, CONTRADICTED)],
)
def test_shortest(success, away, verdict):
    """The worse of the two solvers decides, then the sign."""
    lengths = pd.DataFrame({"net": "a", "attack": ["lbfgs", "cw"], "success": [1.0, success], "median": 1.01})
    found = rules.shortest(lengths, {"away": away, "towards": 0.6}, reliable=0.99, unreliable=0.5)
    assert found.verdict == verdict


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
