"""`attack(..., "input", clip=True)`: the smallest change that keeps every pixel within its range."""

from functools import cache

import numpy as np
import pytest
from scipy.optimize import minimize

from bea import Network, attack
from bea.attacks import backward_error_attack
from bea.backward.in_range import smallest_in_box
from bea.networks.leads import lead_over_others
from oracles import HIDDEN, random_images, random_network

RNG = np.random.default_rng
METHODS = ("first-order", "converged")
NAMES = ("one", "two", "two-relu", "three-linear")


def case(name="two", n=12, **options):
    """A network on [0, 1], images and targets."""
    net = random_network(RNG(3), HIDDEN[name], 4, (2, 3), input_range=(0, 1), **options)
    x = random_images(RNG(4), net, n)
    return net, x, (net.classify(x) + 1 + np.arange(n) % 3) % 4


@cache
def solved(name, method, clip):
    """The attack on the input of ``case(name)``."""
    return attack(*case(name), "input", method=method, clip=clip)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_pixels_stay_in_their_range_to_the_last_bit(name, method):
    """And a success is one of the network itself, no smaller than without the range."""
    net, _, target = case(name)
    free, kept = (solved(name, method, clip) for clip in (False, True))
    there = kept.perturbation.attained
    assert there.sum() >= 3
    assert kept.images[there].min() >= 0.0
    assert kept.images[there].max() <= 1.0
    assert np.isnan(kept.images[~there]).all()
    np.testing.assert_array_equal(net.classify(kept.images[kept.success]), target[kept.success])
    both = kept.success & free.success
    assert (kept.objective[both] >= free.objective[both] * (1.0 - 1e-7)).all()


@pytest.mark.parametrize("name", NAMES)
def test_converged_it_is_as_short_as_the_attack_of_that_name(name):
    """Two ways to call one search; where no pixel leaves its range, bit for bit what is found without it."""
    net, x, target = case(name)
    free, kept = (solved(name, "converged", clip) for clip in (False, True))
    theirs = backward_error_attack(net, x, net.classify(x), target=target, clip=True)
    np.testing.assert_array_equal(kept.success, theirs.success)
    won, close = kept.success, 1e-2 if name == "two-relu" else 3e-4  # searches over ReLUs end at one kink or another
    np.testing.assert_allclose(kept.perturbation.norms[won, -1], theirs.l2[won], rtol=close)
    inside = free.success & ((free.images >= 0.0) & (free.images <= 1.0)).all(axis=(1, 2))
    assert inside.any()
    np.testing.assert_array_equal(kept.images[inside], free.images[inside])
    np.testing.assert_array_equal(kept.kkt_residual[inside], free.kkt_residual[inside])


@pytest.mark.parametrize("name", NAMES)
def test_it_fails_only_where_no_image_of_the_range_has_the_class(name):
    """As far as two thousand random ones tell, some of them corners of the box."""
    net, _, target = case(name)
    random = RNG(5).random((2000, 2, 3))
    known = net.classify(np.concatenate([random, np.round(random)]))
    kept = solved(name, "converged", True)
    assert not np.isin(target[~kept.success], known).any()


def test_a_residual_of_zero_is_an_optimum():
    """Of smooth networks the last programme has nothing to add, but for the tolerance of the search."""
    kept = solved("two", "converged", True)
    assert kept.success.sum() >= 5
    assert kept.kkt_residual[kept.success].max() <= 1e-3
    assert kept.perturbation.standing == kept.standing == "locally optimal"


def test_to_first_order_it_is_the_solution_of_the_programme_with_limits():
    """SLSQP on eq. (6) with the range, one image at a time; where that has no solution, none is attained."""
    net, x, target = case("two", 12)
    kept = attack(net, x, target, "input", clip=True, margin=0.01)
    linear = net.linearise(x)
    G, c = lead_over_others(linear.jacobian, target), 0.01 - lead_over_others(linear.logits, target)
    for i in range(12):
        image, rows, right = x[i].ravel(), G[i], c[i]
        best = minimize(
            lambda d: d @ d,
            np.zeros(6),
            jac=lambda d: 2 * d,
            method="SLSQP",
            bounds=list(zip(-image, 1.0 - image, strict=True)),
            constraints={"type": "ineq", "fun": lambda d, G=rows, c=right: G @ d - c, "jac": lambda d, G=rows: G},
            options={"ftol": 1e-14, "maxiter": 300},
        )
        feasible = (rows @ best.x - right).min() >= -1e-9
        assert kept.perturbation.attained[i] == feasible
        if feasible:
            np.testing.assert_allclose(kept.perturbation.dx[i].ravel(), best.x, atol=1e-6)
    assert 3 <= kept.perturbation.attained.sum() < 12
    assert kept.kkt_residual[kept.perturbation.attained].max() <= 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_black_images_and_empty_batches(method):
    """Eq. (5) cannot measure the change of a black image: a failure, as without the range. No images, no results."""
    net, x, target = case(n=4)
    x[1] = 0.0
    target = (net.classify(x) + 1) % 4
    kept = attack(net, x, target, "input", method=method, clip=True)
    assert not kept.success[1]
    assert not kept.perturbation.attained[1]
    assert attack(net, x[:0], target[:0], "input", method=method, clip=True).images.shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"on": "both"}, "^on: expected \"input\", which clip is about, received 'both'"),
        ({"on": "weights"}, '^on: expected "input"'),
        ({"activated": True}, "^activated: expected False with clip, received True"),
    ],
)
def test_what_cannot_be_clipped_is_refused(change, message):
    """Weights have no range, and the constraints are on the logits."""
    net, x, target = case(n=4, output_activation="tanh")
    with pytest.raises(ValueError, match=message):
        attack(net, x, target, **({"on": "input", "clip": True} | change))
    with pytest.raises(ValueError, match=r"^clip: expected a network with an input_range"):
        attack(Network(net.layers, (2, 3)), x, target, "input", clip=True)


def test_a_programme_has_the_same_solution_from_wherever_it_starts():
    """From no multipliers, from those of a programme like it, and from any others."""
    G, c = RNG(0).standard_normal((30, 5, 12)), RNG(1).uniform(-0.5, 1.5, (30, 5))
    low, high = RNG(2).uniform(-1.0, 0.0, (30, 12)), RNG(3).uniform(0.0, 1.0, (30, 12))
    expected, multipliers, _ = smallest_in_box(G, c, low, high)
    there = ~np.isnan(multipliers).any(axis=1)
    assert there.sum() == 29
    assert ((expected == low) | (expected == high))[there].any()
    _, near, _ = smallest_in_box(G, 0.9 * c, low, high)
    for start in (np.nan_to_num(near), RNG(4).uniform(0.0, 3.0, (30, 5))):
        found, again, _ = smallest_in_box(G, c, low, high, start)
        np.testing.assert_array_equal(np.isnan(again).any(axis=1), ~there)
        np.testing.assert_allclose(found[there], expected[there], atol=1e-6)
