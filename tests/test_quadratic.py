"""`bea.numerics.quadratic`: the smallest θ with G θ ≥ c, against NNLS, quadprog, SLSQP, optimality conditions."""

import numpy as np
import pytest
import quadprog
from hypothesis import given
from hypothesis import strategies as st

from bea.numerics.quadratic import smallest_feasible
from oracles import PROPERTY, least_distance, relative_error, slsqp

RNG = np.random.default_rng


def gram(G):
    """K = G Gᵀ of a batch."""
    return G @ G.swapaxes(-1, -2)


def gaussian(rng, n, k, m):
    return rng.standard_normal((n, k, m)), rng.standard_normal((n, k))


def integer(rng, n, k, m):
    """Small integers: ties, dependent rows, zero rows, exact contradictions."""
    return rng.integers(-2, 3, (n, k, m)).astype(float), rng.integers(-2, 3, (n, k)).astype(float)


def repeated(rng, n, k, m):
    """Rows drawn with repetition, so that some are equal; right-hand sides may differ."""
    G, c = integer(rng, n, k, m)
    return np.take_along_axis(G, rng.integers(0, k, (n, k, 1)), axis=1), c


def low_rank(rng, n, k, m):
    """Rank two or one and feasible, several constraints through one point."""
    rank = min(2, m)
    G = rng.standard_normal((n, k, rank)) @ rng.standard_normal((n, rank, m))
    inside = (G @ rng.standard_normal((n, m, 1)))[..., 0]
    return G, inside - rng.exponential(1.0, (n, k)) * (rng.random((n, k)) < 0.7)


KINDS = {f.__name__: f for f in (gaussian, integer, repeated, low_rank)}
SHAPES = [(9, 30), (9, 9), (5, 3), (6, 2), (9, 5), (2, 2), (1, 4), (4, 1)]


def check_optimality(K, c, multipliers):
    """λ ≥ 0, K λ ≥ c and λᵀ(K λ - c) = 0, up to the rounding of the sums Σ |K_ij| λ_j.

    That is no bound at all for multipliers of 1e15, so K λ ≥ c is also asked for in units of ‖g_i‖ ‖θ‖ + |c_i|.
    """
    slack = np.einsum("...ij,...j->...i", K, multipliers) - c
    rounding = np.einsum("...ij,...j->...i", np.abs(K), multipliers) + np.abs(c)
    assert (multipliers >= 0).all()
    assert (-slack <= 1e-14 * rounding).all()
    length = np.sqrt(np.maximum(np.einsum("...i,...ij,...j->...", multipliers, K, multipliers), 0.0))
    sizes = np.sqrt(np.einsum("...ii->...i", K)) * length[..., None] + np.abs(c)
    assert (-slack <= 1e-9 * sizes).all()
    assert (np.abs(np.sum(multipliers * slack, -1)) <= 1e-14 * np.sum(multipliers * rounding, -1)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "m"), SHAPES)
def test_it_agrees_with_nonnegative_least_squares(kind, k, m):
    """100 problems in one batch: NNLS (Lawson and Hanson's least distance) finds the same θ, or none either."""
    G, c = KINDS[kind](RNG(k * 100 + m), 100, k, m)
    multipliers, solved, iterations = smallest_feasible(gram(G), c)
    assert multipliers.shape == c.shape
    assert solved.shape == iterations.shape == (100,)
    for i in range(100):
        expected = least_distance(G[i], c[i])
        assert solved[i] == (expected is not None)
        if solved[i]:
            theta = G[i].T @ multipliers[i]
            # NNLS works with G, this with K = G Gᵀ, whose condition is the square.
            assert np.linalg.norm(theta - expected) <= 1e-9 * (1 + np.linalg.norm(expected) ** 2)
        else:
            assert np.isnan(multipliers[i]).all()


def goldfarb_idnani(G, c):
    """Smallest θ with G θ ≥ c by quadprog, which works with the rows of G; None where it finds them inconsistent."""
    try:
        return quadprog.solve_qp(np.eye(G.shape[1]), np.zeros(G.shape[1]), np.array(G.T, order="F"), c)[0]
    except ValueError as error:
        if "inconsistent" not in str(error):
            raise
        return None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "m"), SHAPES)
def test_it_agrees_with_quadprog(kind, k, m):
    """1000 problems a case: the θ of quadprog, or none where there is none.

    Where several constraints meet in one point quadprog finds up to one problem in ten inconsistent that is not, and
    NNLS a few; there the conditions of optimality decide. We give up one in a thousand of these, and none elsewhere.
    """
    G, c = KINDS[kind](RNG(k * 100 + m + 7), 1000, k, m)
    K = gram(G)
    multipliers, solved, _ = smallest_feasible(K, c)
    compared = given_up = 0
    for i in range(1000):
        expected = goldfarb_idnani(G[i], c[i])
        if expected is not None and solved[i]:
            compared += 1
            error = np.linalg.norm(G[i].T @ multipliers[i] - expected)
            assert error <= 1e-9 * (1 + np.linalg.norm(expected) ** 2)
        elif solved[i]:
            check_optimality(K[i], c[i], multipliers[i])
        else:
            given_up += kind == "low_rank" or least_distance(G[i], c[i]) is not None
    assert compared >= 290
    assert given_up <= (2 if kind == "low_rank" else 0)


def guesses(multipliers, rng):
    """Guesses of the active constraints: right, all, none, the wrong ones, some at random."""
    active = np.nan_to_num(multipliers) > 0
    everything = np.ones_like(active)
    return {
        "right": active,
        "all": everything,
        "none": ~everything,
        "wrong": ~active,
        "random": rng.random(active.shape) < 0.5,
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "m"), SHAPES)
def test_a_guess_of_the_active_constraints_changes_nothing_but_the_work(kind, k, m):
    """300 problems, contradictory ones among them: the same are solved, by the same θ, whatever was guessed."""
    G, c = KINDS[kind](RNG(k * 100 + m + 8), 300, k, m)
    K = gram(G)
    multipliers, solved, iterations = smallest_feasible(K, c)
    theta = np.einsum("nij,ni->nj", G, multipliers)[solved]
    length = np.linalg.norm(theta, axis=1)
    for name, guess in guesses(multipliers, RNG(0)).items():
        before = guess.copy()
        guessed, again, work = smallest_feasible(K, c, guess)
        np.testing.assert_array_equal(guess, before)
        np.testing.assert_array_equal(again, solved)
        assert np.isnan(guessed[~solved]).all()
        difference = np.linalg.norm(np.einsum("nij,ni->nj", G, guessed)[solved] - theta, axis=1)
        assert (difference <= 1e-10 * (length + length**2)).all()
        if name == "right" and kind == "gaussian":
            assert not work[solved].any()
        if name == "none":
            np.testing.assert_array_equal(work, iterations)


@pytest.mark.parametrize("exponent", [3, 6, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_each_constraint_may_have_its_own_unit(kind, exponent):
    """Rows and right-hand sides times d_i from 10^-exponent to 10^exponent: the same θ, with and without a guess."""
    rng = RNG(5)
    G, c = KINDS[kind](rng, 300, 9, 30)
    d = 10.0 ** rng.uniform(-exponent, exponent, c.shape)
    multipliers, solved, _ = smallest_feasible(gram(G), c)
    theta = np.einsum("nij,ni->nj", G, multipliers)
    for guess in (None, *guesses(multipliers, rng).values()):
        scaled, again, _ = smallest_feasible(gram(d[:, :, None] * G), d * c, guess)
        both = solved & again
        assert np.sum(solved != again) <= (2 if kind == "low_rank" else 0)
        difference = np.linalg.norm(np.einsum("nij,ni->nj", G, scaled * d) - theta, axis=1)
        assert (difference <= 1e-11 * np.linalg.norm(theta, axis=1))[both].all()


@pytest.mark.parametrize(
    ("exponent", "tolerance"), [(2, 2e-13), (3, 3e-12), (4, 3e-11), (5, 3e-10), (6, 1e-7), (7, 3e-7), (8, 5e-8)]
)
def test_nearly_dependent_constraints_cost_digits_and_no_more(exponent, tolerance):
    """Two active rows that differ by 10^-exponent: θ is the one that the multipliers were chosen for.

    K loses the square of the difference, so that half of the digits may go. Whether the guess is right, or all
    constraints, makes no difference.
    """
    rng = RNG(exponent)
    G = rng.standard_normal((300, 5, 12))
    G[:, 1] = G[:, 0] + 10.0**-exponent * rng.standard_normal((300, 12))
    chosen = rng.exponential(1.0, (300, 5)) * (rng.random((300, 5)) < 0.6)
    chosen[:, :2] = rng.exponential(1.0, (300, 2))
    theta = np.einsum("nij,ni->nj", G, chosen)
    c = np.einsum("nij,nj->ni", G, theta) - (chosen == 0) * rng.exponential(1.0, (300, 5))
    for guess in (None, chosen > 0, np.ones_like(chosen, bool)):
        multipliers, solved, _ = smallest_feasible(gram(G), c, guess)
        assert solved.all()
        error = np.linalg.norm(np.einsum("nij,ni->nj", G, multipliers) - theta, axis=1)
        assert (error <= tolerance * np.linalg.norm(theta, axis=1)).all()


@pytest.mark.parametrize(("k", "m"), [(9, 30), (9, 9), (9, 5), (6, 2), (5, 3)])
def test_constraints_through_one_point_are_rarely_given_up(k, m):
    """Of 2000 feasible problems of rank two in which most constraints meet in one point at most 4 go unsolved."""
    G, c = low_rank(RNG(k * 100 + m + 9), 2000, k, m)
    assert np.sum(~smallest_feasible(gram(G), c)[1]) <= 4


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_method_finds_a_shorter_one(kind):
    """SLSQP, started anywhere, ends with the same length where it converges."""
    G, c = KINDS[kind](RNG(7), 40, 5, 8)
    multipliers, solved, _ = smallest_feasible(gram(G), c)
    compared = 0
    for i in np.flatnonzero(solved):
        theta = slsqp(G[i], c[i], RNG(i).standard_normal(8))
        if theta is not None and (G[i] @ theta >= c[i] - 1e-10).all():
            compared += 1
            assert abs(np.linalg.norm(theta) - np.linalg.norm(G[i].T @ multipliers[i])) <= 1e-12
    assert compared >= 20


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(KINDS)), st.integers(1, 9), st.integers(1, 12))
def test_what_it_calls_solved_is_optimal(seed, kind, k, m):
    """For every shape the multipliers satisfy the conditions of Karush, Kuhn and Tucker to rounding."""
    G, c = KINDS[kind](RNG(seed), 20, k, m)
    K = gram(G)
    multipliers, solved, _ = smallest_feasible(K, c)
    check_optimality(K[solved], c[solved], multipliers[solved])


@pytest.mark.parametrize(
    ("seed", "k", "m"), [(172, 4, 2), (2353, 4, 2), (15, 6, 2), (127, 6, 2), (134, 9, 4), (100, 9, 4)]
)
def test_dependent_constraints_that_contradict_each_other_are_reported(seed, k, m):
    """More constraints than dimensions and no θ: reported, although in rounded K the rows look independent."""
    rng = RNG(seed)
    G, c = rng.standard_normal((k, m)), rng.standard_normal(k)
    assert least_distance(G, c) is None
    assert smallest_feasible(gram(G)[None], c[None])[1].tolist() == [False]


def test_a_problem_solved_by_hand():
    """G = [[1, 0], [1, 1]]: c = (1, 3) needs θ = (3/2, 3/2) and only the second row, c = (2, 3) θ = (2, 1) and both."""
    G = np.array([[1.0, 0.0], [1.0, 1.0]])
    multipliers, solved, _ = smallest_feasible(np.array([gram(G)] * 2), np.array([[1.0, 3.0], [2.0, 3.0]]))
    assert solved.all()
    np.testing.assert_array_equal(multipliers, [[0.0, 1.5], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("G", "c"),
    [
        ([[0.0, 0.0], [1.0, 0.0]], [1.0, 1.0]),  # 0 ≥ 1
        ([[0.0, 0.0], [0.0, 0.0]], [1e-8, -1.0]),
        ([[1.0, 2.0], [-1.0, -2.0]], [1.0, 1.0]),  # g θ ≥ 1 and g θ ≤ -1
        ([[1.0, 2.0], [-1.0, -2.0]], [1.0, -0.999]),
        ([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]], [1.0, 1.0, 1.0]),  # the rows sum to zero
    ],
)
def test_contradictory_constraints_are_reported_and_disturb_no_one(G, c):
    """No θ: not solved and NaN; the others of the batch get exactly what they get without it."""
    k = len(c)
    others, right_hand_sides = gaussian(RNG(1), 6, k, 12)
    alone = smallest_feasible(gram(others), right_hand_sides)
    batch = np.insert(gram(others), 3, gram(np.array(G)), axis=0), np.insert(right_hand_sides, 3, c, axis=0)
    multipliers, solved, iterations = smallest_feasible(*batch)
    assert alone[1].all()
    assert solved.tolist() == [True] * 3 + [False] + [True] * 3
    assert np.isnan(multipliers[3]).all()
    np.testing.assert_array_equal(np.delete(multipliers, 3, axis=0), alone[0])
    np.testing.assert_array_equal(np.delete(iterations, 3), alone[2])


def test_rows_of_zeros_that_ask_for_nothing_change_nothing():
    """0 ≥ 0 and 0 ≥ -1 hold for every θ: their multipliers are zero, the others those without the rows."""
    G, c = gaussian(RNG(2), 20, 4, 6)
    padded = np.concatenate([G, np.zeros((20, 2, 6))], axis=1), np.column_stack([c, np.zeros(20), -np.ones(20)])
    multipliers, solved, _ = smallest_feasible(gram(padded[0]), padded[1])
    assert solved.all()
    assert not multipliers[:, 4:].any()
    assert relative_error(multipliers[:, :4], smallest_feasible(gram(G), c)[0]) <= 1e-14


def test_constraints_that_hold_at_the_origin_need_nothing():
    """c ≤ 0: θ = 0, without an iteration."""
    G, c = gaussian(RNG(3), 20, 5, 3)
    c = -np.abs(c)
    c[:, 0] = 0.0
    multipliers, solved, iterations = smallest_feasible(gram(G), c)
    assert solved.all()
    assert not multipliers.any()
    assert not iterations.any()


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(-40, 40), st.integers(-40, 40))
def test_the_units_do_not_matter(seed, exponent_G, exponent_c):
    """With s G and t c, s and t powers of two from 1e-12 to 1e12, λ is exactly t/s² times what it was."""
    G, c = gaussian(RNG(seed), 10, 5, 7)
    s, t = 2.0**exponent_G, 2.0**exponent_c
    multipliers, solved, iterations = smallest_feasible(gram(G), c)
    scaled = smallest_feasible(gram(s * G), t * c)
    np.testing.assert_array_equal(scaled[0], multipliers * (t / s**2))
    np.testing.assert_array_equal(scaled[1], solved)
    np.testing.assert_array_equal(scaled[2], iterations)


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_neither_the_order_of_constraints_nor_the_batch_matters(seed, k):
    """Constraints permuted, or problems taken one by one: the same multipliers."""
    rng = RNG(seed)
    G, c = gaussian(rng, 5, k, 10)
    multipliers, solved, _ = smallest_feasible(gram(G), c)
    assert solved.all()
    order = rng.permutation(k)
    permuted = smallest_feasible(gram(G[:, order]), c[:, order])[0]
    single = np.concatenate([smallest_feasible(gram(G[i : i + 1]), c[i : i + 1])[0] for i in range(5)])
    assert np.linalg.norm(permuted - multipliers[:, order]) <= 1e-14 * np.linalg.norm(multipliers)
    assert np.linalg.norm(single - multipliers) <= 1e-14 * np.linalg.norm(multipliers)


def test_an_empty_batch_has_an_empty_result():
    """No problems, no multipliers."""
    multipliers, solved, iterations = smallest_feasible(np.zeros((0, 3, 3)), np.zeros((0, 3)))
    assert multipliers.shape == (0, 3)
    assert solved.shape == iterations.shape == (0,)
