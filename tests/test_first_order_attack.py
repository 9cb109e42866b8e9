"""`bea.attack`: optimal for one affine layer, honest for the others."""

import importlib

import numpy as np
import pytest

from bea import Dense, Network, attack
from oracles import HIDDEN, expand, explicit_map, least_distance, random_images, random_network, relative_error, slsqp

RNG = np.random.default_rng
on_one = pytest.mark.parametrize("on", ["weights", "input"])
on_any = pytest.mark.parametrize("on", ["weights", "input", "both"])


def random_attack(seed, hidden=(), n=6, classes=4, pixels=8, **options):
    """A network, images, and for each a class other than its present one."""
    rng = RNG(seed)
    net = random_network(rng, hidden, classes, (pixels,), **options)
    x = random_images(rng, net, n)
    return net, x, (net.classify(x) + rng.integers(1, classes, n)) % classes


def explicit_programme(net, image, target, on, margin):
    """Return G and c of eq. (6) for θ measured relatively: its objective is ‖θ‖²."""
    A, scales = explicit_map(net, image, on, relative=True)
    logits = expand(net, image)[0]
    D = np.delete(np.eye(len(logits))[target] - np.eye(len(logits)), target, axis=0)
    return D @ (A * scales), margin - D @ logits


def lead_in_network(net, x, result, i):
    """Target's logit less the largest other one in the network perturbed for sample i."""
    if not result.perturbation.attained[i]:
        return np.nan
    logits = expand(*net.perturbed(result.perturbation, i))[0]
    return logits[result.target[i]] - np.delete(logits, result.target[i]).max()


@on_one
@pytest.mark.parametrize("margin", [1e-3, 0.5])
@pytest.mark.parametrize("bias", [True, False])
def test_one_affine_layer_always_yields_exactly_the_margin(on, margin, bias):
    """Nothing is neglected: every attack succeeds, a constraint is active, and the conditions of optimality hold."""
    for seed in range(20):
        net, x, target = random_attack(seed, bias=bias)
        result = attack(net, x, target, on, margin=margin)
        assert result.success.all()
        assert result.perturbation.attained.all()
        assert (result.iterations >= 1).all()
        assert (result.kkt_residual <= 1e-14).all()
        leads = [lead_in_network(net, x, result, i) for i in range(len(x))]
        assert np.abs(np.array(leads) - margin).max() <= 1e-13
        assert np.abs(result.margin - leads).max() <= 1e-14


@on_any
@pytest.mark.parametrize("name", HIDDEN)
def test_the_objective_is_that_of_the_explicit_programme(on, name):
    """min ‖θ‖² subject to the linearised constraints, by NNLS with 𝒜 written out; NaN where there is no such θ."""
    net, x, target = random_attack(1, HIDDEN[name], n=20)
    result = attack(net, x, target, on)
    for i in range(len(x)):
        theta = least_distance(*explicit_programme(net, x[i], target[i], on, result.margin_asked))
        assert result.perturbation.attained[i] == (theta is not None)
        if theta is None:
            assert np.isnan(result.objective[i])
        else:
            assert relative_error(result.objective[i], theta @ theta) <= 1e-12
    assert result.perturbation.attained.any()


@on_one
def test_no_other_optimiser_finds_a_smaller_perturbation(on):
    """SLSQP from the origin and from two random points is never better, and comes as close."""
    net, x, target = random_attack(2, n=8)
    result = attack(net, x, target, on)
    for i in range(len(x)):
        G, c = explicit_programme(net, x[i], target[i], on, result.margin_asked)
        starts = [np.zeros(G.shape[1]), *(0.1 * RNG(i).standard_normal((2, G.shape[1])))]
        found = [theta for theta in (slsqp(G, c, start) for start in starts) if theta is not None]
        assert len(found) > 0
        best = min(theta @ theta for theta in found)
        assert abs(best - result.objective[i]) <= 1e-12 * result.objective[i]


@pytest.mark.parametrize("bias", [True, False])
def test_two_classes_have_a_closed_form(bias):
    """The distance to a hyperplane: (gap + margin)² / (2 ‖A‖² ‖h‖²) on weights, / (‖x‖² ‖k_t - k_o‖²) on input."""
    net, x, target = random_attack(3, n=10, classes=2, bias=bias)
    layer = net.weighted[0]
    shortfall = (np.abs(np.diff(net(x), axis=1)[:, 0]) + 1e-3) ** 2
    columns = np.sum(x**2, axis=1) + bias
    weights = shortfall / (2 * np.sum(layer.matrix**2) * columns)
    pixels = shortfall / (np.sum(x**2, axis=1) * np.sum((layer.matrix[0, :8] - layer.matrix[1, :8]) ** 2))
    both = shortfall / (shortfall / weights + shortfall / pixels)
    for on, expected in (("weights", weights), ("input", pixels), ("both", both)):
        assert relative_error(attack(net, x, target, on).objective, expected) <= 1e-14


@on_any
@pytest.mark.parametrize("name", HIDDEN)
def test_success_is_what_the_perturbed_network_itself_says(on, name):
    """Flag and margin are those of `net.perturbed`, one sample at a time; NaN and no success where there is none."""
    net, x, target = random_attack(4, HIDDEN[name], n=30)
    result = attack(net, x, target, on, margin=0.1)
    leads = np.array([lead_in_network(net, x, result, i) for i in range(len(x))])
    reached = result.perturbation.attained
    assert np.isnan(leads[~reached]).all()
    assert np.isnan(result.margin[~reached]).all()
    assert np.abs(result.margin - leads)[reached].max() <= 1e-14
    assert result.success.tolist() == [bool(lead >= 0.1 - 1e-9) for lead in leads]


@pytest.mark.parametrize(("on", "name"), [("both", "one"), ("weights", "two"), ("input", "three")])
def test_a_linearised_attack_may_fail_and_says_so(on, name):
    """Among 200 attacks that neglect something some fail, some succeed, and all are optimal for what is linearised."""
    net, x, target = random_attack(5, HIDDEN[name], n=200)
    result = attack(net, x, target, on)
    assert 0 < result.success.sum() < 200
    reached = result.perturbation.attained
    assert (result.margin[reached & ~result.success] < result.margin_asked).all()
    assert (result.kkt_residual[reached] <= 1e-14).all()


@on_one
@pytest.mark.parametrize("margin", [1e-3, 1e-16])
def test_success_means_that_the_target_wins(on, margin):
    """Where the flag is set the target has the largest logit, also for a margin that rounding swallows."""
    net, x, target = random_attack(6, n=200)
    result = attack(net, x, target, on, margin=margin)
    assert result.success.any()
    reached = net.perturbed_logits(result.perturbation)
    assert (reached.argmax(axis=1) == target)[result.success].all()
    assert (result.margin > 0)[result.success].all()


def test_an_attack_that_cannot_be_is_reported_and_disturbs_no_one():
    """Class 1 has the kernel of class 0 and a lower bias, so no input reaches it: NaN, not attained, no success."""
    net, x, target = random_attack(7, n=6, classes=3)
    matrix = net.weighted[0].matrix.copy()
    matrix[1] = matrix[0] - np.eye(9)[8]
    net = Network((Dense(matrix),), (8,))
    target = np.where(net.classify(x) == 2, 0, 2)
    alone = attack(net, x, target, "input")
    mixed = attack(net, np.insert(x, 2, x[0], axis=0), np.insert(target, 2, 1), "input")
    hopeless = np.arange(7) == 2
    assert (mixed.perturbation.attained == ~hopeless).all()
    assert (mixed.success == ~hopeless).all()
    assert np.isnan(mixed.objective[2])
    assert np.isnan(mixed.perturbation.dx[2]).all()
    assert relative_error(mixed.objective[~hopeless], alone.objective) <= 1e-14
    assert attack(net, x[:1], [1], "weights").success.all()


@pytest.mark.parametrize(("pixels", "classes", "hard"), [(2, 6, [107, 136]), (2, 10, [660, 867]), (4, 10, [])])
def test_with_fewer_pixels_than_classes_what_is_attained_succeeds(pixels, classes, hard):
    """Constraints outnumber unknowns: attained exactly where a perturbation exists, and then one layer is exact."""
    for seed in [*range(40), *hard]:
        net, x, target = random_attack(seed, n=20, classes=classes, pixels=pixels)
        result = attack(net, x, target, "input")
        programmes = [explicit_programme(net, *pair, "input", 1e-3) for pair in zip(x, target, strict=True)]
        exists = [least_distance(*programme) is not None for programme in programmes]
        assert result.perturbation.attained.tolist() == exists
        assert result.success.tolist() == exists


@on_any
def test_a_batch_larger_than_a_block_equals_one_block(on, monkeypatch):
    """Blocks of three give what a single block gives, in the same order."""
    net, x, target = random_attack(8, HIDDEN["two"], n=10)
    whole = attack(net, x, target, on)
    attacks, sizes = importlib.import_module("bea.backward.smallest_attack"), []
    take = attacks.linearised_attack
    monkeypatch.setattr(attacks, "block_size", lambda *_: 3)
    monkeypatch.setattr(
        attacks, "linearised_attack", lambda net, x, *rest: (sizes.append(len(x)), take(net, x, *rest))[1]
    )
    parts = attack(net, x, target, on)
    assert sorted(sizes) == [1, 3, 3, 3]
    for name in ("target", "success", "iterations", "margin_asked"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    for name in ("objective", "margin"):
        assert relative_error(getattr(parts, name), getattr(whole, name)) <= 1e-13
    found, expected = parts.perturbation, whole.perturbation
    assert parts.kkt_residual.shape == found.attained.shape == (10,)
    assert relative_error(found.relative_norms, expected.relative_norms) <= 1e-14
    assert relative_error(net.perturbed_logits(found), net.perturbed_logits(expected)) <= 1e-14


def test_an_empty_batch_has_an_empty_result():
    """No images need no attack."""
    result = attack(random_network(RNG(0), input_shape=(3,)), np.zeros((0, 3)), np.zeros(0, int))
    assert result.success.shape == result.objective.shape == result.margin.shape == (0,)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"target": [0, 3]}, ValueError, "target: expected classes from 0 to 2, received 0 to 3"),
        ({"target": [-1, 0]}, ValueError, "target: expected classes from 0 to 2, received -1 to 0"),
        ({"target": [0.0, 2.0]}, TypeError, "target: expected integers, received float64"),
        ({"target": [True, False]}, TypeError, "target: expected integers, received bool"),
        ({"target": 0}, ValueError, r"target: expected shape \(2,\), .* received \(\)"),
        ({"target": [0, 2, 2]}, ValueError, r"target: expected shape \(2,\), .* received \(3,\)"),
        ({"target": [[0], [2]]}, ValueError, r"target: expected shape \(2,\), .* received \(2, 1\)"),
        ({"margin": 0.0}, ValueError, "margin: expected a positive number, received 0.0"),
        ({"margin": -1e-3}, ValueError, "margin: expected a positive number, received -0.001"),
        ({"margin": np.nan}, ValueError, "margin: expected a positive number, received nan"),
        ({"margin": np.inf}, ValueError, "margin: expected a positive number, received inf"),
        (
            {"on": "bias"},
            ValueError,
            r"on: expected one of \('weights', 'input', 'both'\) or a tuple .* received 'bias'",
        ),
        ({"x": np.zeros(3)}, ValueError, r"x: expected a batch of shape \(n, 3,\), received \(3,\)"),
        ({"x": np.full((2, 3), 255)}, ValueError, "x: expected pixels between 0 and 1, received .* 255 to 255"),
        ({"x": np.full((2, 3), np.nan)}, ValueError, "x: expected finite pixels, received NaN or Inf in image 0"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_before_any_work(change, error, message, monkeypatch):
    """One error that names the argument, what was expected and what came, before anything is linearised."""
    net = Network((Dense(np.eye(3), bias=False),), (3,), input_range=(0, 1))
    call = {"x": np.eye(3)[[1, 1]], "target": [0, 2]}
    assert attack(net, **call).success.all()
    monkeypatch.setattr(Network, "linearise", lambda *_: pytest.fail("work was done"))
    with pytest.raises(error, match=message):
        attack(net, **(call | change))


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9])
def test_classes_that_are_nearly_alike_cost_no_accuracy(gap):
    """Two classes whose kernels differ by w, of any size: Δx = (c / ‖w‖²) w."""
    rng = RNG(0)
    one = rng.standard_normal(30)
    matrix = np.column_stack([np.stack([one, one + gap * rng.standard_normal(30)]), [0.0, 0.0]])
    net, x = Network((Dense(matrix),), (30,)), rng.standard_normal((20, 30))
    target = 1 - net.classify(x)
    result = attack(net, x, target, "input", margin=1e-3)
    w = (matrix[target] - matrix[1 - target])[:, :-1]
    needed = 1e-3 - np.sum(w * x, axis=1)
    expected = needed / np.linalg.norm(w, axis=1) / np.linalg.norm(x, axis=1)
    assert relative_error(np.sqrt(result.objective), expected) <= 1e-15 / gap + 1e-14
    assert result.perturbation.attained.all()
