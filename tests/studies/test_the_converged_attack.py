"""The search in the plane: its path, its optima and the theorem, against dense looking and plain formulas."""

import numpy as np
import pytest
from scipy.optimize import minimize

from bea import attack
from bea.networks.leads import lead
from studies import the_converged_attack as study

MARGIN = 1e-3


@pytest.fixture(scope="module")
def found():
    """The search from zero, on the network of the first picture."""
    return study.path(study.toy(), MARGIN)


def test_the_search_ends_where_the_attack_does(found):
    result = attack(study.toy(), study.IMAGE, study.TARGET, "input", method="converged", margin=MARGIN)
    end = found.iloc[-1]
    assert result.success[0]
    np.testing.assert_allclose(end[["u", "v"]].astype(float), result.perturbation.dx[0], atol=1e-9)
    assert end.step == result.iterations[0]
    assert end.residual <= 1e-7


def test_no_other_change_in_the_plane_is_shorter(found):
    """All directions, looked at in steps of a half degree and of a ten-thousandth."""
    angle, radius = np.meshgrid(np.linspace(0, 2 * np.pi, 721), np.arange(1.0, 1.2, 1e-4))
    moves = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1, 2)
    wins = lead(study.toy()(study.IMAGE + moves), np.ones(len(moves), int)) >= MARGIN
    nearest = radius.ravel()[wins].min()
    assert found.length.iloc[-1] <= nearest <= found.length.iloc[-1] + 1e-3


def test_the_merit_never_rises(found):
    """While the penalty stays as it is; and it does on this path."""
    assert found.penalty.nunique() == 1
    assert (np.diff(found.merit) <= 1e-12).all()
    np.testing.assert_allclose(found.merit, found.length**2 / 2 + found.penalty * found.violation)


def test_repeated_linearisation_converges_as_the_bending_says():
    """Its factor tends to |bending| below one; with a sharp tip it does not arrive at all."""
    blunt, sharp = study.sharper_tips([0.9, 1.5], MARGIN, steps=60).itertuples()
    assert -1 < blunt.bending < 0
    assert blunt.rate == pytest.approx(-blunt.bending, abs=0.01)
    assert sharp.bending < -1
    assert sharp.left > 0.1
    assert max(blunt.residual, sharp.residual) <= 1e-7


def test_the_page_gets_the_networks_and_where_their_attacks_end():
    """Its matrices make the very logits of the toy, and its nearest point is the converged attack's."""
    content = study.tongues([1.0, 1.4], 1e-3)
    change = np.array([[0.3, -0.2]])
    for tongue in content["tongues"]:
        net = study.toy(tongue["sharpness"])
        first, last = (np.array(matrix) for matrix in tongue["matrices"])
        hidden = np.tanh(first @ [*(content["image"] + change[0]), 1.0])
        np.testing.assert_allclose(last @ [*hidden, 1.0], net(study.IMAGE + change)[0], rtol=1e-12)
        found = attack(net, study.IMAGE, study.TARGET, on="input", method="converged", margin=content["margin"])
        np.testing.assert_allclose(tongue["nearest"], found.perturbation.dx[0], atol=1e-6)


def test_the_bending_is_distance_times_curvature(found):
    """The same from the border itself: how fast the distance to the image grows along it."""
    net, end = study.toy(), found[["u", "v"]].to_numpy()[-1]
    length, angle = np.linalg.norm(end), np.arctan2(end[1], end[0])
    constraint = study.constraints(net, study.IMAGE, study.TARGET, MARGIN)

    def border(turn):
        low, high = 0.9 * length, 1.2 * length
        for _ in range(60):
            middle = (low + high) / 2
            point = middle * np.array([[np.cos(angle + turn), np.sin(angle + turn)]])
            low, high = (middle, high) if constraint.value(point)[0].min() < 0 else (low, middle)
        return high

    h = 1e-3
    second = (border(h) - 2 * border(0.0) + border(-h)) / h**2
    # In polar coordinates the curvature of r(φ) where r' = 0 is (r - r'') / r²: positive if it bends around the image.
    assert study.bending(net, MARGIN, end) == pytest.approx(1 - second / length, rel=1e-3)


def test_the_slope_is_that_of_the_merit():
    first = study.merit_along(study.toy(), MARGIN, points=100_001)
    slope = (first.merit[1] - first.merit[0]) / (first.part[1] - first.part[0])
    model = (first.model[1] - first.model[0]) / (first.part[1] - first.part[0])
    assert slope == pytest.approx(model, rel=1e-3)
    np.testing.assert_allclose(first.merit.iloc[0], first.model.iloc[0])


def test_every_end_is_an_optimum_of_its_surroundings():
    """SLSQP, started there, goes nowhere; different ends are apart; the shares are of all starts."""
    found = study.ends(study.toy(), MARGIN, reach=6.0, side=11)
    constraint = study.constraints(study.toy(), study.IMAGE, study.TARGET, MARGIN)
    options = {
        "method": "SLSQP",
        "constraints": {"type": "ineq", "fun": lambda tau: constraint.value(tau[None])[0][0]},
        "options": {"ftol": 1e-14},
    }
    for optimum in found.optima:
        again = minimize(lambda tau: tau @ tau, optimum, jac=lambda tau: 2 * tau, **options)
        assert np.linalg.norm(again.x - optimum) <= 1e-4
    assert len(found.optima) >= 2
    assert (np.diff(found.lengths) > 0).all()
    assert found.shares.sum() == pytest.approx(1.0)
    assert found.shares[1] == np.mean(found.which == 0)


def test_rank_one_is_enough():
    tried = study.theorem_tried({"one": (), "three": (5, 4)}, trials=10, seed=3)
    assert tried.difference.max() <= 1e-13
    assert (tried["most"] < 1).all()


def test_compressed_changes_have_rank_one():
    net = study.random_network(np.random.default_rng(0), (4, 5), "tanh", inputs=6)
    rng = np.random.default_rng(1)
    changes = [rng.standard_normal(layer.matrix.shape) for layer in net.weighted]
    replaced, _ = study.compressed(net, rng.standard_normal((3, 6)), changes, np.zeros((3, 6)))
    for change in replaced:
        assert (np.linalg.matrix_rank(change, tol=1e-10) == 1).all()


def test_unknowns_are_rows():
    counted = study.unknowns(20, 7, 3).set_index("on")
    assert counted.entries.to_dict() == {"weights": 7 * 21 + 3 * 8, "input": 20, "both": 7 * 21 + 3 * 8 + 20}
    assert counted.unknowns.to_dict() == {"weights": 10, "input": 7, "both": 30}


def test_what_the_grid_proves():
    """Attacks on a network of one layer are never longer than a change on the grid; counts are of attacks."""
    counts = study.census(
        {"affine": ((), "tanh"), "tanh": ((4,), "tanh")}, seed=0, networks=1, images=20, margin=MARGIN, reach=4.0,
        side=61, starts=2, known=50,
    )  # fmt: skip
    assert len(counts) == 6
    assert (counts.attacks > 0).all()
    affine = counts[counts.net == "affine"]
    assert (affine[["missed", "longer", "unseen"]] == 0).all(axis=None)
    assert (counts.unseen <= counts.longer).all()
    assert (counts.longer + counts.missed <= counts.attacks).all()
