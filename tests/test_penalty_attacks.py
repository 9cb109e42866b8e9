"""`penalty`, `lbfgs` and `carlini` of the attacks: solutions of the penalised problem that SciPy finds too."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import minimize

from bea import Dense, Network
from bea.attacks import penalty
from bea.attacks.carlini import carlini_wagner
from bea.attacks.lbfgs import lbfgs_attack
from bea.attacks.loss import loss_gradient, value_and_gradient
from bea.attacks.newton import newton_attack
from bea.networks import leads, pixels
from oracles import FUNCTIONS, HIDDEN, expand, random_images, random_network

RNG = np.random.default_rng
MARGIN = 1e-3
both_ways = pytest.mark.parametrize("targeted", [False, True])
both_boxes = pytest.mark.parametrize("clip", [False, True])
both_attacks = pytest.mark.parametrize("attack", [carlini_wagner, lbfgs_attack])


def random_case(seed, name="two", n=10, box=(0.0, 1.0), **options):
    """A network, images, the present classes and targets other than these."""
    rng = RNG(seed)
    net = random_network(rng, HIDDEN[name], 4, (2, 3), input_range=box, **options)
    x = box[0] + (box[1] - box[0]) * random_images(rng, net, n)
    x[rng.random(x.shape) < 0.3] = box[0]  # as in pictures of digits
    x[rng.random(x.shape) < 0.1] = box[1]
    # Without a class that wins everywhere, as random biases make one, most classes can be reached.
    last = net.weighted[-1].matrix.copy()
    last[:, -1] -= net(x).mean(axis=0)
    net = Network((*net.layers[:-1], Dense(last)), net.input_shape, input_range=box, **options)
    label = net.classify(x)
    return net, x, label, (label + rng.integers(1, 4, n)) % 4


def naive_leads(net, image, label, target):
    """By how much the classes asked for lead, and their derivatives: all others behind the target, or one each."""
    logits, _, _, jacobian = expand(net, image)
    if target is None:
        others = np.delete(np.arange(4), label)
        return logits[others] - logits[label], jacobian[others] - jacobian[label]
    others = np.delete(np.arange(4), target)
    return logits[target] - logits[others], jacobian[target] - jacobian[others]


def bounds_of(net, image, clip):
    return list(zip(*np.subtract.outer(net.input_range, image.ravel()), strict=True)) if clip else None


def by_slsqp(net, image, label, target, clip, starts=4):
    """Shortest Δx with a lead of the margin that SLSQP finds; infinity when none."""
    best, bounds, rng = np.inf, bounds_of(net, image, clip), RNG(0)
    wanted = [None] if target is not None else range(3)  # without target one problem for every other class

    for row in wanted:
        rows = slice(None) if row is None else slice(row, row + 1)

        def lead(dx, rows=rows):
            return naive_leads(net, image + dx.reshape(image.shape), label, target)[0][rows] - MARGIN

        def slope(dx, rows=rows):
            return naive_leads(net, image + dx.reshape(image.shape), label, target)[1][rows]

        for start in range(starts):
            first = rng.standard_normal(image.size) * (start > 0)
            first = first if bounds is None else np.clip(first, *np.transpose(bounds))
            found = minimize(
                lambda dx: dx @ dx,
                first,
                jac=lambda dx: 2 * dx,
                bounds=bounds,
                constraints={"type": "ineq", "fun": lead, "jac": slope},
                method="SLSQP",
                options={"ftol": 1e-12, "maxiter": 200},
            )
            if found.success and (lead(found.x) >= -1e-9).all():
                best = min(best, np.linalg.norm(found.x))
    return best


def naive_loss(net, image, label):
    """Cross-entropy of the logits' softmax and its gradient, from the matrices written out."""
    logits, _, _, jacobian = expand(net, image)
    q = np.exp(logits) / np.exp(logits).sum()
    return -np.log(q[label]), jacobian.T @ (q - np.eye(4)[label])


def by_szegedy(net, image, label, target, clip, grid):
    """Solution with the first weight of a grid, from above, before one whose solution is no success any more."""
    sign, aim = (-1.0, label) if target is None else (1.0, target)
    best, dx = None, np.zeros(image.size)
    for weight in grid:

        def total(dx, weight=weight):
            value, slope = naive_loss(net, image + dx.reshape(image.shape), aim)
            return dx @ dx + sign * weight * value, 2 * dx + sign * weight * slope

        found = minimize(total, dx, jac=True, method="L-BFGS-B", bounds=bounds_of(net, image, clip), tol=1e-14)
        dx = found.x
        leads = naive_leads(net, image + dx.reshape(image.shape), label, target)[0]
        if (leads.max() if target is None else leads.min()) < MARGIN:
            break
        best = np.linalg.norm(dx)
    return best


@pytest.mark.parametrize("output", ["linear", "softmax", "sigmoid", "tanh"])
def test_value_and_gradient_of_the_loss_belong_together(output):
    """The value is -log of the softmax, the gradient that of `loss_gradient`, and the slope of the value."""
    net, x, label, _ = random_case(0, output_activation=output)
    value, gradient = value_and_gradient(net, x, label)
    np.testing.assert_array_equal(gradient, loss_gradient(net, x, label))
    function = FUNCTIONS[{"softmax": "linear"}.get(output, output)][0]
    for i, image in enumerate(x):
        y = function(expand(net, image)[0])
        assert value[i] == pytest.approx(np.log(np.exp(y).sum()) - y[label[i]], rel=1e-13)
    h = 1e-5
    for pixel in np.ndindex(net.input_shape):
        step = np.zeros(net.input_shape)
        step[pixel] = h
        ahead, behind = (value_and_gradient(net, x + sign * step, label)[0] for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, *pixel], (ahead - behind) / (2 * h), atol=1e-10)


def test_the_loss_of_a_label_that_is_all_but_certain_keeps_its_digits():
    """Two classes with gap 50: log(1 + exp(-50)), where 1 - q would be zero."""
    net = Network((Dense(np.array([[0.0, 50.0], [0.0, 0.0]])),), (1,))
    value = value_and_gradient(net, np.zeros((1, 1)), np.array([0]))[0]
    assert value[0] == pytest.approx(np.exp(-50.0), rel=1e-14)


def solver(threshold, calls):
    """Return a solver whose solutions are as long as the weight, and succeed from a threshold each on."""

    def solve(rest, weight, start):
        calls.append(rest)
        return weight[:, None], weight >= threshold[rest]

    return solve


def test_the_weight_found_is_the_smallest_success_to_the_accuracy_of_the_halvings():
    """Thresholds from below the first weight to near the largest, all in one batch."""
    threshold, calls = np.array([1e-7, 0.03, 0.1, 0.5, 999.0, 1e3]), []
    dx, weight = penalty.search_weight(solver(threshold, calls), (6, 1), weights=(0.1, 1e3), halvings=7)
    np.testing.assert_array_equal(dx[:, 0], weight)
    ratio = weight / threshold
    assert (ratio >= 1.0).all()
    assert (ratio <= 10 ** (1 / 2**7) * (1 + 1e-12)).all()
    assert sum(5 in rest for rest in calls) == 5 + 1 + 7  # 0.1 to 1000, back to 100, and halvings


def test_samples_where_no_weight_succeeds_are_nan_and_samples_that_need_none_are_not_solved():
    """Threshold just above the largest weight; and a sample that is done already."""
    calls = []
    solve = solver(np.array([1001.0, 1.0, 1.0]), calls)
    already = np.array([False, True, False])
    dx, weight = penalty.search_weight(solve, (3, 1), weights=(0.1, 1e3), halvings=3, already=already)
    assert np.isnan(dx[0]).all()
    assert np.isnan(weight[0])
    assert dx[1] == weight[1] == 0.0
    assert not any(1 in rest for rest in calls)
    assert 1.0 <= weight[2] < 10.0


def test_the_shortest_success_counts_even_where_length_does_not_grow_with_the_weight():
    """Solutions of length 1/weight: the first success is the shortest."""

    def solve(rest, weight, start):
        return 1.0 / weight[:, None], weight >= 5.0

    dx, weight = penalty.search_weight(solve, (1, 1), weights=(1.0, 1e3), halvings=4)
    assert weight[0] == 10.0
    assert dx[0, 0] == 0.1


def test_the_search_goes_back_below_weights_that_failed_on_the_way_out():
    """A success at 10 from zero, but from a success already at 0.2."""

    def solve(rest, weight, start):
        won = weight >= np.where(start[:, 0] > 0.0, 0.2, 5.0)
        return np.where(won, weight, 0.0)[:, None], won

    _, weight = penalty.search_weight(solve, (1, 1), weights=(0.1, 1e3), halvings=5)
    assert 0.2 <= weight[0] <= 0.2 * 10 ** (1 / 2**5)


@both_boxes
@both_ways
@pytest.mark.parametrize("name", ["one", "two", "two-relu", "three"])
def test_carlini_wagner_comes_as_close_as_slsqp_from_several_starts(name, targeted, clip):
    """Success equal, nothing shorter than the best of four, and no longer in the median.

    At the kinks of ReLU it is SLSQP that now and then fails or stops early.
    """
    net, x, label, target = random_case(3, name)
    target = target if targeted else None
    result = carlini_wagner(net, x, label, target=target, clip=clip)
    expected = [by_slsqp(net, x[i], label[i], target[i] if targeted else None, clip) for i in range(len(x))]
    assert result.success.all()
    ratio = result.l2 / expected
    assert np.median(ratio) <= 1.001
    if name != "two-relu":
        assert np.isfinite(expected).all()
        assert (ratio >= 1.0 - 1e-6).all()


@both_boxes
@both_ways
@pytest.mark.parametrize("name", ["one", "two"])
def test_lbfgs_comes_to_the_solution_that_a_naive_search_on_a_fine_grid_finds(name, targeted, clip):
    """Szegedy's recipe with matrices written out, 1.5 % from weight to weight."""
    net, x, label, target = random_case(4, name, n=4)
    target = target if targeted else None
    result = lbfgs_attack(net, x, label, target=target, clip=clip, weights=(0.1, 1e4), halvings=9, tolerance=1e-10)
    assert result.success.all()
    for i, image in enumerate(x):
        grid = result.weight[i] * 1.015 ** np.arange(30, -30, -1)
        expected = by_szegedy(net, image, label[i], target[i] if targeted else None, clip, grid)
        assert result.l2[i] == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def two_classes():
    """One affine layer with two classes, images, their classes, and the difference of the two rows."""
    rng = RNG(5)
    matrix = rng.standard_normal((2, 7))
    net, x = Network((Dense(matrix),), (6,)), rng.standard_normal((8, 6))
    label = net.classify(x)
    return net, x, label, (matrix[1 - label] - matrix[label])[:, :6]


@both_ways
def test_for_two_classes_of_an_affine_layer_carlini_wagner_steps_to_the_hyperplane(two_classes, targeted):
    """Δx = (margin - lead) d / ‖d‖², d the difference of the two rows."""
    net, x, label, way = two_classes
    logits, rows = net(x), np.arange(len(x))
    short = MARGIN + logits[rows, label] - logits[rows, 1 - label]
    expected = (short / np.sum(way**2, axis=1))[:, None] * way
    result = carlini_wagner(net, x, label, target=1 - label if targeted else None, margin=MARGIN)
    assert result.success.all()
    assert np.abs(result.dx - expected).max() <= 1e-3 * np.abs(expected).max()
    assert (result.l2 >= np.linalg.norm(expected, axis=1) * (1 - 1e-12)).all()


@both_ways
def test_for_two_classes_of_an_affine_layer_lbfgs_meets_the_condition_of_optimality(two_classes, targeted):
    """Δx = weight/2 (1 - q) d with q the target's probability; or the other class's, q d, without a target.

    With a target the lead at the smallest weight is the margin; without, some solutions jump past it.
    """
    net, x, label, way = two_classes
    result = lbfgs_attack(net, x, label, target=1 - label if targeted else None, halvings=12, tolerance=1e-12)
    logits, rows = net(x + result.dx), np.arange(len(x))
    lead = logits[rows, 1 - label] - logits[rows, label]
    pull = 1 / (1 + np.exp(lead if targeted else -lead))
    assert result.success.all()
    assert np.abs(result.dx - (0.5 * result.weight * pull)[:, None] * way).max() <= 2e-8
    assert (lead >= MARGIN).all()
    assert (lead.max() <= 2 * MARGIN) == targeted


@both_attacks
@both_ways
def test_pixels_keep_within_the_range_to_the_last_bit_and_success_is_what_the_network_says(attack, targeted):
    """A range whose ends are no binary fractions, and images that touch them."""
    net, x, label, target = random_case(6, "two", n=40, box=(-0.7, 0.3))
    result = attack(net, x, label, target=target if targeted else None, clip=True)
    free = attack(net, x, label, target=target if targeted else None)
    ends = np.array([-0.7, 0.3])
    changed = (x + result.dx)[result.success]
    assert (changed >= ends[0]).all()
    assert (changed <= ends[1]).all()
    assert np.isin(changed, ends).any()
    assert ((x + free.dx < ends[0]) | (x + free.dx > ends[1])).any()
    for found in (result, free):
        np.testing.assert_array_equal(found.success, np.isfinite(found.weight))
        np.testing.assert_array_equal(found.success, np.isfinite(found.l2))
        wins = net.classify((x + found.dx)[found.success])
        np.testing.assert_array_equal(wins, found.found[found.success])
        own = (target if targeted else label)[found.success]
        np.testing.assert_array_equal(wins == own, targeted)
        lead = leads.attack_lead(net((x + found.dx)[found.success]), own, targeted)
        assert (lead >= MARGIN - 1e-12).all()


def test_a_change_into_the_range_is_the_nearest_one():
    """Bitwise at ends where the difference is rounded outwards."""
    low, high = -0.7, 1.0
    net = Network((Dense(np.ones((2, 2))),), (1,), input_range=(low, high))
    x = RNG(7).random((20_000, 1))
    ends = x + pixels.into_range(net, x, RNG(8).choice([-9.0, 9.0], x.shape))
    assert ((low <= ends) & (ends <= high)).all()
    assert (np.minimum(ends - low, high - ends) <= 2.0**-52).all()
    assert set(np.unique(ends < 0.0)) == {False, True}
    plain = np.clip(x - 9.0, low, high) - x
    assert (x + plain < low).any()
    inside = pixels.into_range(net, x, np.zeros_like(x))
    np.testing.assert_array_equal(inside, 0.0)


@both_attacks
def test_images_that_have_the_class_already_are_left_alone(attack):
    """Wrong labels, and targets that are given already: Δx = 0 and weight 0."""
    net, x, label, target = random_case(8)
    for result in (attack(net, x, target), attack(net, x, target, target=label)):
        assert result.success.all()
        np.testing.assert_array_equal(result.dx, 0.0)
        np.testing.assert_array_equal(result.weight, 0.0)


@both_attacks
def test_weights_that_never_succeed_are_a_stated_status(attack):
    """All too small: no Δx, no weight, no success, and the class of x."""
    net, x, label, target = random_case(9)
    result = attack(net, x, label, target=target, weights=(1e-9, 1e-7))
    assert not result.success.any()
    assert np.isnan(result.dx).all()
    assert np.isnan(result.weight).all()
    np.testing.assert_array_equal(result.found, label)


@both_attacks
def test_a_target_that_no_image_in_the_range_can_have_is_not_found(attack):
    """One class far below the others wherever the pixels are."""
    net, x, *_ = random_case(10, "one", n=4)
    last = net.weighted[-1].matrix.copy()
    last[2, -1] -= 1e3
    net = Network((*net.layers[:-1], Dense(last)), net.input_shape, input_range=(0.0, 1.0))
    result = attack(net, x, net.classify(x), target=np.full(4, 2), clip=True)
    assert not result.success.any()
    assert np.isnan(result.dx).all()


BAD = {
    "weights": [(1.0, 0.1), (0.0, 1.0), (-1.0, 1.0), (1.0, np.inf), (1.0, np.nan), (1.0,), 3.0],
    "margin": [0.0, -1.0, np.nan],
    "halvings": [-1, 1.5, True],
    "target": [np.arange(3), np.full(10, 4)],
    "steps": [0, 2.0],
    "iterations": [0, 1.0],
    "tolerance": [0.0, np.inf],
    "processes": [0, 1.5],
}
ONLY = {
    "steps": [carlini_wagner],
    "iterations": [lbfgs_attack],
    "tolerance": [lbfgs_attack],
    "processes": [lbfgs_attack],
}


@pytest.mark.parametrize(
    ("attack", "name", "value"),
    [
        (attack, name, value)
        for name, values in BAD.items()
        for value in values
        for attack in ONLY.get(name, [carlini_wagner, lbfgs_attack])
    ],
)
def test_bad_arguments_are_named_before_any_work(attack, name, value, monkeypatch):
    """The error begins with the name, and the network is not run."""
    net, x, label, target = random_case(11)
    monkeypatch.setattr(Network, "trace", lambda *_: pytest.fail("the network was run"))
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        attack(net, x, label, **{"target": target, name: value})


@both_attacks
def test_bad_images_labels_and_boxes_are_named(attack):
    """Pixels outside the range, floats as classes, no range to keep within."""
    net, x, label, _ = random_case(11)
    with pytest.raises(ValueError, match=r"^x: expected pixels between 0 and 1"):
        attack(net, x + 2.0, label, clip=True)
    with pytest.raises(TypeError, match=r"^label: expected integers"):
        attack(net, x, label.astype(float))
    free = Network(net.layers, net.input_shape)
    with pytest.raises(ValueError, match=r"^clip: expected a network with an input_range"):
        attack(free, x, label, clip=True)


@both_attacks
@both_boxes
def test_an_empty_batch_gives_an_empty_result(attack, clip):
    """Shapes (0, …) throughout."""
    net, x, label, target = random_case(12)
    result = attack(net, x[:0], label[:0], target=target[:0], clip=clip)
    assert result.dx.shape == (0, 2, 3)
    assert result.success.shape == result.weight.shape == result.found.shape == result.l2.shape == (0,)


@both_attacks
@both_ways
def test_a_batch_gives_what_each_image_gives_alone(attack, targeted):
    """To rounding: matrix products round differently with the size of the batch."""
    net, x, label, target = random_case(13, "two", n=16)
    target = target if targeted else None
    together = attack(net, x, label, target=target, clip=True)
    for i in range(len(x)):
        one = slice(i, i + 1)
        alone = attack(net, x[one], label[one], target=None if target is None else target[one], clip=True)
        np.testing.assert_allclose(alone.dx, together.dx[one], rtol=0, atol=1e-9)
        np.testing.assert_array_equal(alone.weight, together.weight[one])


def test_processes_give_what_one_process_gives():
    """Bitwise, over more than one chunk."""
    net, x, label, target = random_case(14, n=60)
    one, two = (lbfgs_attack(net, x, label, target=target, clip=True, processes=count) for count in (1, 2))
    for name in ("dx", "success", "found", "weight"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_a_script_without_a_guard_may_use_processes(tmp_path):
    """As notebooks and short scripts are written: no `if __name__ == "__main__"`."""
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\n"
        "from bea import Dense, Network\n"
        "from bea.attacks.lbfgs import lbfgs_attack\n"
        "net = Network((Dense(np.array([[1.0, 0.0], [0.0, 0.5]])),), (1,))\n"
        "result = lbfgs_attack(net, np.zeros((60, 1)), np.ones(60, int), processes=2)\n"
        "print(result.success.sum())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "60\n", done.stderr


def test_a_saturated_network_is_no_reason_to_leave_the_numbers():
    """A gap of 380 logits: success or not, no warning, no NaN evaluated."""
    net = Network((Dense(np.array([[1.0, 380.0], [-1.0, 0.0]])),), (1,))
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        for attack in (lbfgs_attack, carlini_wagner, newton_attack):
            found = attack(net, np.zeros((1, 1)), [0])
            assert found.success[0] == np.isfinite(found.dx).all()


def test_the_last_point_of_a_descent_counts():
    """One step is enough for an affine lead, if the weight is the multiplier."""
    net = Network((Dense(np.array([[1.0, 0.0, 0.2], [0.0, 1.0, 0.0]])),), (2,))
    found = carlini_wagner(net, np.zeros((1, 2)), [0], steps=1, halvings=30)
    assert found.success[0]
    assert found.l2[0] == pytest.approx(0.201 / np.sqrt(2), rel=1e-6)
