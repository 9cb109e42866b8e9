"""Every outcome of the rules on the printed lower bounds, from made-up tables."""

import pandas as pd
import pytest

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import bounds_as_published as rules

TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
BOTH = ["mnist", "cifar10"]


def factors(sets, convolution=1.2):
    """One network of each set, the factor of one convolution given."""
    row = {"convolution_1": convolution, "pooling_1": 12.0, "convolution_2": 1.1, "pooling_2": 4.0, "dense": 1.0}
    return pd.DataFrame([{"set": kind, "median": 50.0, "printed": 0.01, "repaired": 0.5} | row for kind in sets])


def counts(printed):
    """One attack with so many perturbations below the printed bound."""
    return pd.DataFrame([{"set": "mnist", "witnesses": 9, "below printed": printed, "below repaired": 0}])


def layer(moved):
    """One layer whose input moved by so much of its κ."""
    return pd.DataFrame([
        {"set": "mnist", "tests": 5, "moved printed": moved, "below printed": int(moved < 1), "below repaired": 0}
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("table", "below", "moved", "verdict"),
    [
        (factors(["mnist"]), 0, 3.0, REPRODUCED),
        (factors(["mnist"], 0.6), 0, 3.0, CORRECTED),
        (factors(["mnist"]), 1, 3.0, CONTRADICTED),
        (factors(["mnist"]), 0, 0.9, CONTRADICTED),
        (factors([]), 0, 3.0, UNDECIDED),
    ],
)
def test_chain_holds(table, below, moved, verdict):
    """Factors decide unless something is below; without networks nothing does."""
    assert rules.chain_holds(table, counts(below), layer(moved)).verdict == verdict


def quotients(*sets):
    """Table 1 beside ours: pairs of a set and both quotients."""
    rows = [
        {"set": kind, "mean": 1.0, "median": 1.0, "quotient mean": q, "quotient median": q}
        for kind, q in zip(BOTH, sets, strict=False)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("found", "zeros", "verdict"),
    [
        (quotients(1.9, 0.6), quotients(1.0, 1.0), REPRODUCED),
        (quotients(1.9, 5.0), quotients(3.0, 1.5), UNDECIDED),
        (quotients(1.9, 5.0), quotients(1.0, 2.5), UNDECIDED),
        (quotients(1.0), quotients(1.0), UNDECIDED),
    ],
)
def test_norms_agree(found, zeros, verdict):
    """Within a factor of two on both sets; what zeros would do is told and decides nothing."""
    outcome = rules.norms_agree(found, zeros, TITLES, within=2)
    assert outcome.verdict == verdict
    assert ("only when misclassified" in outcome.because) == (list(zeros["quotient mean"]) == [3.0, 1.5])
    assert ("no CIFAR-10" in outcome.because) == (len(found) == 1)


@pytest.mark.parametrize(
    ("limit", "smooth", "sets", "verdict"),
    [
        ([0.5, 3.0], [0.9, 0.8], BOTH, REPRODUCED),
        ([0.5, 3.0], [3.0, 0.5], BOTH, UNDECIDED),
        ([0.5], [0.5], ["mnist"], UNDECIDED),
    ],
)
def test_bounds_agree(limit, smooth, sets, verdict):
    """One and the same kind of M within a factor of ten on every network."""
    rows = [
        {"set": kind, "kind": text, "off": off, "M": 1e9, "mean": 1e-6}
        for text, values in (("0", limit), ("smooth", smooth), ("needed", [0.0] * len(sets)))
        for kind, off in zip(sets, values, strict=True)
    ]
    assert rules.bounds_agree(pd.DataFrame(rows), TITLES, within=10).verdict == verdict


@pytest.mark.parametrize(
    ("least", "off", "sets", "verdict"),
    [
        (2.0, 0.9, BOTH, REPRODUCED),
        (2.0, 1.1, BOTH, UNDECIDED),
        (0.5, 0.9, BOTH, CONTRADICTED),
        (2.0, 0.9, ["mnist"], UNDECIDED),
    ],
)
def test_ratio_centred(least, off, sets, verdict):
    """Sign first, then the distance of the centre."""
    table = pd.DataFrame([{"set": kind, "least": least, "median": 100.0, "off": off} for kind in sets])
    assert rules.ratio_centred(table, TITLES, within=10).verdict == verdict


@pytest.mark.parametrize(
    ("below", "moved", "sets", "verdict"),
    [
        (0, 2.0, BOTH, REPRODUCED),
        (1, 2.0, BOTH, CONTRADICTED),
        (0, 0.5, ["mnist"], CONTRADICTED),
        (0, 2.0, ["mnist"], UNDECIDED),
    ],
)
def test_none_below(below, moved, sets, verdict):
    """One violation is enough; none says something about both sets only."""
    flat = pd.DataFrame([{"net": "relu-0", "chain": "M → 0", "below": 3, "witnesses": 9}])
    outcome = rules.none_below(counts(below), layer(moved), factors(sets), flat)
    assert outcome.verdict == verdict
    assert "relu-0: 3 of 9" in outcome.because


@pytest.mark.parametrize(
    ("printed", "share", "units", "sets", "verdict"),
    [
        ((0.01, 0.4), 0.4, ["length", "length"], BOTH, REPRODUCED),
        ((0.01, 0.4), 0.4, ["length", "divided"], BOTH, CORRECTED),
        ((0.01, 0.4), 0.6, ["length", "length"], BOTH, CORRECTED),
        ((0.01, 0.6), 0.4, ["length", "length"], BOTH, UNDECIDED),
        ((0.01, 0.4), 0.4, ["length", "length"], ["mnist"], UNDECIDED),
        ((0.6, 0.9), 0.4, ["length", "length"], BOTH, CONTRADICTED),
    ],
)
def test_closer_when_smallest(printed, share, units, sets, verdict):
    """The paper's tables decide about its networks, before ours and the units do."""
    row = {"own": 10 * share, "average": 10.0, "others": 0.1, "share": share}
    table = pd.DataFrame([{"set": kind} | row for kind in sets])
    tables = pd.DataFrame(
        [
            {"set": "mnist", "average": 10.0, "least": 0.01, "most": 0.02},
            {"set": "cifar10", "average": 10.0, "least": 10 * printed[0], "most": 10 * printed[1]},
        ]
    )
    assert rules.closer_when_smallest(table, tables, units, clear=0.5).verdict == verdict


@pytest.mark.parametrize(
    ("divided", "dimension", "verdict"),
    [(0.9, 0.5, REPRODUCED), (0.9, 1.5, CORRECTED), (1.1, 0.5, CONTRADICTED), (None, 0.5, UNDECIDED)],
)
def test_smaller_on_colour(divided, dimension, verdict):
    """What is divided by the dimension decides, then the causes; no pair decides nothing."""
    rows = [
        {"kind": k, "which": w, "plain": 2.0, "divided": divided}
        for k in ("found", "bound")
        for w in ("mean", "median")
    ]
    table = pd.DataFrame(rows if divided else [], columns=["kind", "which", "plain", "divided"])
    causes = {"change": ["dimension", "accuracy", "both"], "found": [dimension, 0.8, 1], "bound": [0.5, 0.8, 1]}
    outcome = rules.smaller_on_colour(table, pd.DataFrame(causes), clear=0.9)
    assert outcome.verdict == verdict
    assert ("shortens: accuracy (found), dimension and accuracy (bound)" in outcome.because) == (dimension > 1)
    assert ("not borne out" in outcome.because) == (verdict == CORRECTED)
