"""Every outcome of the rules on the theorems behind the printed bound, from made-up tables."""

import pandas as pd
import pytest

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import four_theorems as rules


@pytest.mark.parametrize(
    ("ratio", "verdict"), [([1.0, 0.9], REPRODUCED), ([0.8, 0.9], CONTRADICTED), ([1.0, 1.001], CONTRADICTED)]
)
def test_softmax_exact(ratio, verdict):
    """Attained somewhere and exceeded nowhere."""
    assert rules.softmax_exact(pd.DataFrame({"ratio": ratio}), rounding=1e-9).verdict == verdict


@pytest.mark.parametrize(
    ("norms", "entries", "infinite", "local", "safe", "verdict"),
    [
        (1.0, 1.0, False, 1.0, 1.0, REPRODUCED),
        (1.0, 1.1, False, 1.0, 1.0, CORRECTED),
        (1.0, 1.0, True, 1.0, 1.0, CORRECTED),
        (1.0, 1.0, False, 1.1, 1.0, CORRECTED),
        (1.1, 1.1, False, 1.0, 1.0, CONTRADICTED),
        (1.0, 1.0, False, 1.0, 1.1, REPRODUCED),
    ],
)
def test_dense_layer(norms, entries, infinite, local, safe, verdict):
    """ReLU or the other reading of M asks for a correction; smooth layers may not fail; the repair is reported."""
    smooth = pd.DataFrame({"kind": ["one tanh layer"], "norms": [norms], "entries": [entries]})
    off, moves = {"infinite": infinite, "changes": True}, pd.DataFrame({"local": [local], "safe": [safe]})
    outcome = rules.dense_layer(smooth, off, moves, rounding=1e-9, beyond=1e-4)
    assert outcome.verdict == verdict
    assert ("sometimes violated" in outcome.because) == (safe > 1)


@pytest.mark.parametrize(
    ("length", "kernel", "first", "verdict"),
    [
        (2.0, 1.0, 1.0, REPRODUCED),
        (0.5, 1.0, 1.0, CONTRADICTED),
        (2.0, 1.5, 1.0, CONTRADICTED),
        (2.0, 1.0, 1.5, CONTRADICTED),
    ],
)
def test_convolution(length, kernel, first, verdict):
    """One violation of any kind is enough."""
    ones = pd.DataFrame({"changes": [True], "length": [length], "theorem": [1.0]})
    norms = {"frobenius": 1.0, "proven": 2.0, "safe": 3.0}
    kernels = pd.DataFrame([{"kind": "ones", "overlap": True, "found": kernel} | norms])
    layers = pd.DataFrame([{"found": first} | norms])
    assert rules.convolution(ones, kernels, layers, rounding=1e-6).verdict == verdict


@pytest.mark.parametrize(
    ("found", "proven", "verdict"), [(4.0, 4.0, REPRODUCED), (4.0, 4.2, UNDECIDED), (4.1, 4.2, CONTRADICTED)]
)
def test_pooling_layer(found, proven, verdict):
    """A constant proves the factor, a perturbation refutes it, and a search that finds none does neither."""
    pooling = pd.DataFrame({"found": [1.0, found], "proven": [1.0, proven], "printed": [12.0, 4.0]})
    assert rules.pooling_layer(pooling, 12, rounding=1e-9).verdict == verdict


@pytest.mark.parametrize(
    ("plain", "svd", "verdict"), [(1.0, 1.0, REPRODUCED), (1.0, 1.4, CORRECTED), (1.1, 1.4, CONTRADICTED)]
)
def test_linear_cost(plain, svd, verdict):
    """The power without the norm first, then with it."""
    assert rules.linear_cost({"plain": plain, "svd": svd, "lanczos": 1.0}, 5, power=1.02).verdict == verdict
