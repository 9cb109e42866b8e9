"""Studies of linear systems at toy size, against exact arithmetic and known inequalities."""

from fractions import Fraction

import numpy as np
import pytest

from studies import linear_systems as study

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def exact():
    """Systems whose exact solution is known."""
    return study.ill_conditioned(RNG(1), systems=6, size=5)


def test_the_formula_is_attained():
    found = study.attained(RNG(0), systems=5, size=4)
    assert len(found) == 5
    assert (found.eta > 0).all()
    assert found.residual.max() < 1e-13
    assert found.gap.max() < 1e-13


def test_no_optimiser_beats_the_formula():
    found = study.optimised(RNG(0), systems=4)
    np.testing.assert_allclose(found.found, found.eta, rtol=1e-6)


def test_backward_error_is_that_of_rigal_and_gaches():
    found = study.special_case(RNG(0), layers=5)
    assert found.difference.max() < 1e-12
    assert found.gain.abs().max() < 1e-6


def test_worst_case():
    """There the forward error equals condition times backward error, and breaks the plain form where x̂ is longer."""
    trials = study.worst_case(RNG(0), systems=10, size=4, rounding=1e-9)
    np.testing.assert_allclose(trials.ratio_computed, 1.0, rtol=1e-9)
    assert 0 < trials.plain.sum() < len(trials)
    assert (trials.plain == trials.longer).all()
    assert not trials[["rigorous", "computed"]].any(axis=None)


def test_condition_numbers_are_those_asked_for():
    np.testing.assert_allclose(np.linalg.cond(study.with_condition(RNG(0), [0, 3], 5)), [1, 1e3], rtol=1e-9)


def test_right_hand_sides_are_exact(exact):
    A, x = exact
    for matrix, solution in zip(A, x, strict=True):
        product = [sum(Fraction(a) * Fraction(s) for a, s in zip(row, solution, strict=True)) for row in matrix]
        assert product == [Fraction(entry) for entry in matrix @ solution]


def test_stability(exact):
    """Partial pivoting is backward stable, elimination without it is not; forward errors stay below their bound."""
    solved = study.stability(*exact)
    by = solved.groupby("method").backward
    assert by.max()["partial pivoting"] <= 5
    assert by.median()["no pivoting"] > 1e3
    stable = solved[solved.method == "partial pivoting"]
    bound = stable.condition * stable.backward * study.UNIT_ROUNDOFF
    assert (stable.forward <= bound * (1 + 1e-6)).all()


def test_backward_errors_follow_the_pivot(exact):
    found = study.smaller_pivots(*exact, powers=(-20, -40))
    assert list(found.entry) == ["2^-20", "2^-40"]
    assert 2**15 < found.backward[1] / found.backward[0] < 2**25
