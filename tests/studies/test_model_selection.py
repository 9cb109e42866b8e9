"""Rank correlations of bounds with what is found, on made-up tables and a toy network."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

import oracles
from bea import lower_bound
from studies import model_selection as study


def made_up(printed, found):
    n = len(found)
    columns = {"found": found, "printed": printed, "repaired": found, "tight": [np.nan, *found[1:]]}
    return pd.DataFrame({"kind": "k", "net": [f"k/{i}" for i in range(n)], **columns})


def test_orders_that_agree_and_disagree():
    found = [1.0, 2.0, 3.0, 4.0, 5.0]
    rows = study.ranks(made_up(found[::-1], found), draws=50).set_index("bound")
    assert rows.spearman["printed"] == pytest.approx(-1)
    assert rows.kendall["repaired"] == pytest.approx(1)
    assert rows.networks["tight"] == 4
    assert rows.chosen["printed"] == 1
    assert rows.place["printed"] == 5
    assert rows.place["repaired"] == 1
    assert (rows.best == 5).all()
    assert rows["spearman high"]["printed"] == pytest.approx(-1)


def test_intervals_hold_the_estimate_and_widen_with_noise():
    rng = np.random.default_rng(0)
    found = rng.random(40)
    rows = study.ranks(made_up(found + 0.5 * rng.random(40), found), draws=200).set_index("bound")
    for name in ("spearman", "kendall"):
        low, high = rows[f"{name} low"]["printed"], rows[f"{name} high"]["printed"]
        assert low < rows[name]["printed"] < high
        assert high - low > 0.05
    groups = study.groups(
        made_up(found, found), {"a": ["k/0", "k/1", "k/2"], "b": [f"k/{i}" for i in range(9)]}, draws=20
    )
    assert list(groups.networks[groups.bound == "printed"]) == [3, 9]


def test_draws_are_correlated_as_scipy_does():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 6, (2, 5, 12)).astype(float)  # with ties
    for own, theirs in ((study._rho, spearmanr), (study._tau, kendalltau)):
        np.testing.assert_allclose(own(a, b), [theirs(*pair).statistic for pair in zip(a, b, strict=True)], atol=1e-12)


def test_what_is_said_of_an_interval():
    assert [study._said(*ends) for ends in ((-1, 1), (0.1, 1), (-1, -0.1))] == [
        "cannot be told from zero", "is above zero", "is below zero",
    ]  # fmt: skip


def test_averages_are_those_of_the_bounds():
    net, x, _, _ = oracles.random_case(0, "two-relu", n=5)
    table = study.enclosed_elsewhere({"relu-3": net}, x, margin=1e-6, candidates=3)
    row = study.averages([table]).iloc[0]
    assert (row.kind, row.net) == ("relu", "relu/3")
    for bound, method in {"printed": "peck", "repaired": "lipschitz", "tight": "local"}.items():
        assert row[bound] == pytest.approx(lower_bound(net, x, method=method).radius.mean())
    assert row.repaired <= row.tight <= row.found
    assert np.isnan(study.averages([table.assign(tight=[np.nan, 1, 1, 1, 1])]).tight[0])
