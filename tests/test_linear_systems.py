"""`bea.backward.linear_systems`: Rigal and Gaches' backward error, and elimination."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from bea.backward.linear_systems import eliminate, rigal_gaches, system_error
from oracles import PROPERTY, relative_error

RNG = np.random.default_rng


def norm(array, axes):
    """Root of the sum of squares over the last ``axes`` axes."""
    return np.sqrt(np.sum(array**2, axis=tuple(range(-axes, 0))))


def random_system(rng, *shape):
    """A, b and a vector that solves A x = b badly, for ``shape`` (..., m, n)."""
    *lead, m, n = shape
    return rng.standard_normal(shape), rng.standard_normal((*lead, m)), rng.standard_normal((*lead, n))


def product(A, x):
    """A x for every system of a batch."""
    return np.einsum("...ij,...j->...i", A, x)


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 4), max_size=2), st.integers(1, 6), st.integers(1, 6))
def test_the_perturbed_equations_hold_with_norms_equal_to_eta(seed, lead, m, n):
    """(A + ΔA) x̂ = b + Δb, ‖ΔA‖ = η ‖A‖ and ‖Δb‖ = η ‖b‖, for square and rectangular A and any leading axes."""
    A, b, x_hat = random_system(RNG(seed), *lead, m, n)
    eta, dA, db = rigal_gaches(A, b, x_hat)
    assert eta.shape == tuple(lead)
    assert (dA.shape, db.shape) == (A.shape, b.shape)
    scale = norm(A, 2) * norm(x_hat, 1) + norm(b, 1)
    assert (norm(product(A + dA, x_hat) - b - db, 1) <= 1e-14 * scale).all()
    assert (np.abs(norm(dA, 2) - eta * norm(A, 2)) <= 1e-14 * norm(A, 2)).all()
    assert (np.abs(norm(db, 1) - eta * norm(b, 1)) <= 1e-14 * norm(b, 1)).all()


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(0, 2))
def test_no_other_perturbation_is_smaller(seed, spread, share):
    """For any ΔA, with the Δb that it needs, the larger of the relative norms is at least η."""
    rng = RNG(seed)
    A, b, x_hat = random_system(rng, 3, 3)
    eta, dA, _ = rigal_gaches(A, b, x_hat)
    other = share * dA + 10.0**spread * eta * rng.standard_normal((3, 3))
    db = (A + other) @ x_hat - b
    assert max(norm(other, 2) / norm(A, 2), norm(db, 1) / norm(b, 1)) >= eta * (1 - 1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_an_optimiser_ends_at_eta(seed):
    """SLSQP on min ε with ‖ΔA‖ ≤ ε ‖A‖, ‖Δb‖ ≤ ε ‖b‖, Δb eliminated, finds η and nothing smaller."""
    rng = RNG(seed)
    A, b, x_hat = random_system(rng, 2, 2)
    eta, *_ = rigal_gaches(A, b, x_hat)

    def room(z):
        dA = z[1:].reshape(2, 2)
        db = (A + dA) @ x_hat - b
        return [z[0] ** 2 * np.sum(A**2) - np.sum(dA**2), z[0] ** 2 * np.sum(b**2) - np.sum(db**2), z[0]]

    found = [
        minimize(
            lambda z: z[0],
            np.append(5.0, rng.standard_normal(4)),
            constraints={"type": "ineq", "fun": room},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        for _ in range(3)
    ]
    best = min(result.x[0] for result in found if min(room(result.x)) >= -1e-10)
    assert abs(best - eta) <= 1e-9 * eta


def test_only_the_matrix_or_only_the_right_hand_side():
    """Sizes (s, 0): Δb = 0 and ‖ΔA‖ = ‖r‖/‖x̂‖; sizes (0, s): ΔA = 0 and Δb = -r."""
    A, b, x_hat = random_system(RNG(0), 4, 3, 3)
    r = b - product(A, x_hat)
    eta, dA, db = rigal_gaches(A, b, x_hat, (2.0, 0.0))
    assert not db.any()
    assert relative_error(product(A + dA, x_hat), b) <= 1e-14
    assert relative_error(eta, norm(r, 1) / (2 * norm(x_hat, 1))) <= 1e-15
    assert relative_error(norm(dA, 2), 2 * eta) <= 1e-14
    eta, dA, db = rigal_gaches(A, b, x_hat, (0.0, np.full(4, 2.0)))
    assert not dA.any()
    assert relative_error(db, -r) <= 1e-15
    assert relative_error(eta, norm(r, 1) / 2) <= 1e-15


def test_a_zero_solution_leaves_only_the_right_hand_side():
    """x̂ = 0: Δb = -b with η = 1; and no ΔA helps, so with only the matrix uncertain η is infinite."""
    A, b, _ = random_system(RNG(1), 3, 3)
    eta, dA, db = rigal_gaches(A, b, np.zeros(3))
    assert eta == 1.0
    assert not dA.any()
    np.testing.assert_array_equal(db, -b)
    assert rigal_gaches(A, b, np.zeros(3), (1.0, 0.0))[0] == np.inf


@pytest.mark.parametrize(("A", "x_hat", "sizes"), [(1.0, 0.0, None), (0.0, 1.0, None), (1.0, 1.0, (0.0, 0.0))])
def test_what_is_solved_already_needs_no_perturbation(A, x_hat, sizes):
    """No residual: η = 0, ΔA = 0 and Δb = 0, also where nothing may change."""
    b = A * x_hat * np.ones(2)
    eta, dA, db = rigal_gaches(A * np.eye(2), b, x_hat * np.ones(2), sizes)
    assert eta == 0.0
    assert not dA.any()
    assert not db.any()


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.floats(-15, 1))
def test_forward_error_is_at_most_condition_times_backward_error(seed, digits):
    """With nothing neglected, for good and bad solutions; and over a batch it is nearly reached."""
    rng = RNG(seed)
    A, b, _ = random_system(rng, 2, 10, 3, 3)
    x = np.linalg.solve(A, b[..., None])[..., 0]
    error = system_error(A, b, x + 10.0**digits * rng.standard_normal(x.shape), x)
    rounding = 1e-15 * error.condition
    assert (error.forward <= error.condition * error.backward + rounding).all()
    if digits > -10:
        assert (error.forward >= 0.05 * error.condition * error.backward).any()


def test_a_system_solved_by_hand():
    """A = diag(3, 4), b = (3, 8), x = (1, 2), x̂ = (1, 1).

    r = (0, 4), ‖A‖ = 5, ‖b‖ = √73, so η = 4 / (5√2 + √73); forward = 1/√2; condition = (5 + √73/√2) / 3.
    """
    error = system_error(np.diag([3.0, 4.0]), [3.0, 8.0], [1.0, 1.0])
    root = np.sqrt(73.0)
    total = 5 * np.sqrt(2.0) + root
    assert error.backward == pytest.approx(4 / total, rel=1e-15)
    assert error.forward == pytest.approx(1 / np.sqrt(2.0), rel=1e-15)
    assert error.condition == pytest.approx((5 + root / np.sqrt(2.0)) / 3, rel=1e-15)
    np.testing.assert_allclose(error.dA, 5 * np.sqrt(2.0) / total * np.array([[0, 0], [2, 2]]), rtol=1e-15)
    np.testing.assert_allclose(error.db, root / total * np.array([0, -4]), rtol=1e-15)


def test_the_known_solution_replaces_the_computed_one():
    """The forward error is measured from x when it is given, from `numpy.linalg.solve` otherwise."""
    A, b, x_hat = random_system(RNG(2), 3, 3)
    x = np.linalg.solve(A, b)
    assert relative_error(system_error(A, b, x_hat).forward, norm(x_hat - x, 1) / norm(x_hat, 1)) <= 1e-15
    assert system_error(A, b, x_hat, x_hat).forward == 0.0


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 4), max_size=2), st.integers(1, 8), st.booleans())
def test_elimination_equals_numpy(seed, lead, n, pivoting):
    """Well-conditioned systems, any leading axes, with and without row exchanges; the data stay as they were."""
    rng = RNG(seed)
    A, b, _ = random_system(rng, *lead, n, n)
    # Diagonally dominant, so that no pivoting is needed; with it, rows in any order.
    A += 2 * n * np.eye(n)
    if pivoting:
        A = A[..., rng.permutation(n), :]
    before = A.copy(), b.copy()
    x = eliminate(A, b, pivoting)
    assert x.shape == b.shape
    expected = np.linalg.solve(A, b[..., None])[..., 0]
    assert np.linalg.norm(x - expected) <= 1e-14 * np.linalg.norm(expected)
    np.testing.assert_array_equal(A, before[0])
    np.testing.assert_array_equal(b, before[1])


def test_pivoting_is_what_makes_elimination_backward_stable():
    """A zero pivot needs an exchange; a tiny one costs nearly all digits without it and none with it."""
    b = np.array([1.0, 2.0])
    assert eliminate([[0.0, 1.0], [1.0, 1.0]], b).tolist() == [1.0, 1.0]
    with np.errstate(divide="ignore", invalid="ignore"):
        assert not np.isfinite(eliminate([[0.0, 1.0], [1.0, 1.0]], b, pivoting=False)).all()
    A = np.array([[1e-15, 1.0], [1.0, 1.0]])
    with_exchange, without = (rigal_gaches(A, b, eliminate(A, b, pivoting))[0] for pivoting in (True, False))
    assert with_exchange <= 1e-15
    assert without >= 1e-5


def call(change):
    """Arguments of a good call with one of them replaced."""
    return tuple(({"A": np.ones((2, 3)), "b": np.ones(2), "x_hat": np.ones(3)} | change).values())


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (rigal_gaches, call({"b": np.ones(3)}), r"b: expected shape \(2,\) for A of shape \(2, 3\), received \(3,\)"),
        (rigal_gaches, call({"b": np.ones((4, 2))}), r"b: expected shape \(2,\) .*received \(4, 2\)"),
        (rigal_gaches, call({"x_hat": np.ones(2)}), r"x_hat: expected shape \(3,\) .*received \(2,\)"),
        (rigal_gaches, call({"x_hat": np.ones((3, 1))}), r"x_hat: expected shape \(3,\) .*received \(3, 1\)"),
        (rigal_gaches, call({"A": np.full((2, 3), np.nan)}), "A: expected finite numbers, received NaN or Inf"),
        (rigal_gaches, call({"b": [np.inf, 0.0]}), "b: expected finite numbers, received NaN or Inf"),
        (rigal_gaches, call({"x_hat": [0.0, 0.0, np.nan]}), "x_hat: expected finite numbers, received NaN or Inf"),
        (rigal_gaches, call({"A": np.ones(3)}), r"A: expected .*received \(3,\)"),
        (system_error, (np.ones((2, 2)), np.ones(2), np.ones(3)), r"x_hat: expected shape \(2,\) .*received \(3,\)"),
        (system_error, (np.eye(2), np.ones(2), np.ones(2), np.ones((5, 2))), r"x: expected .*received \(5, 2\)"),
        (eliminate, (np.eye(2), np.ones(3)), r"b: expected shape \(2,\) .*received \(3,\)"),
        (eliminate, (np.ones((2, 3)), np.ones(2)), r"A: expected .*received \(2, 3\)"),
        (eliminate, (np.eye(2), [1.0, np.nan]), "b: expected finite numbers, received NaN or Inf"),
    ],
)
def test_systems_that_make_no_sense_are_refused(function, arguments, message):
    """One ValueError that names the argument, what was expected and what came."""
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_a_singular_matrix_is_refused():
    """A system without a unique solution has no forward error."""
    with pytest.raises(np.linalg.LinAlgError):
        system_error(np.ones((2, 2)), np.ones(2), np.ones(2))
