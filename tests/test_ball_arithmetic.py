"""`benchmarks.balls` and the proofs made of them: they prove what is true, and refuse a radius that is too large."""

from dataclasses import replace

import numpy as np
import pytest
from flint import arb, ctx
from scipy.optimize import brentq

from bea import Activation, Dense, Flatten, Network, lower_bound
from bea.attacks.by_backward_error import backward_error_attack
from bea.bounds.ball_pooling import State, loss_of_lead
from bea.bounds.ball_quadratic import least_lead
from bea.bounds.ball_ranges import Ball, hidden_stages
from bea.bounds.minorants import minorant
from bea.bounds.pooling_front import take_apart
from bea.networks.windows import MaxPool
from benchmarks import ball_arithmetic, ball_curves
from benchmarks.ball_arithmetic import claimed, lowering
from benchmarks.ball_curves import Curve, band, parabolas, sector
from benchmarks.ball_proofs import Proof
from benchmarks.balls import BITS, dominance, floats, inverse_form, least_eigenvalue, matrix, root_above
from oracles import random_convolution, random_images, random_network

RNG = np.random.default_rng
MUTANT = 1e-6  # by so much of itself a radius is inflated

ACTIVATIONS = {
    **{name: Activation(name) for name in ("linear", "relu", "sigmoid", "tanh")},
    **{f"smooth relu {a}": Activation("smooth_relu", a) for a in (0.01, 2.0)},
}
on_any = pytest.mark.parametrize("name", ACTIVATIONS)

# Layers of (width, activation) over six pixels.
DENSE = {
    "affine": [],
    "tanh": [(5, "tanh")],
    "sigmoid": [(9, "sigmoid")],
    "relu": [(7, "relu")],
    "two relu": [(8, "relu"), (6, "relu")],
    "two smooth": [(6, Activation("smooth_relu", 0.1)), (7, Activation("smooth_relu", 0.1))],
    "three": [(6, "relu"), (5, "linear"), (5, "tanh")],
}
POOLED = {
    "one": (
        (6, 6, 1),
        lambda rng: [random_convolution(rng, 3, 1, 3, padding=1), MaxPool(2), *dense_end(rng, 27)],
    ),
    "two": (
        (9, 9, 1),
        lambda rng: [
            *(random_convolution(rng, 2, 1, 2), MaxPool(2), random_convolution(rng, 3, 2, 3), MaxPool((2, 1))),
            *dense_end(rng, 6),
        ],
    ),
}
NETWORKS = [*DENSE, *POOLED]


def dense_end(rng, columns):
    """Return a flattening, a hidden layer of ReLUs and a last layer of three classes."""
    hidden, last = rng.standard_normal((6, columns + 1)) / np.sqrt(columns), rng.standard_normal((3, 7))
    return Flatten(), Dense(hidden), Activation("relu"), Dense(last)


def network(name, seed=1):
    """Return one of the networks."""
    if name in DENSE:
        return random_network(RNG(seed), DENSE[name], 4, (6,))
    shape, make = POOLED[name]
    return Network(tuple(make(RNG(seed))), shape)


def ranges(n, seed=2):
    """Return weights, points and ranges of all sizes, as floats; some points on an end, some weights zero."""
    rng = RNG(seed)
    width = 10.0 ** rng.uniform(-4, 1.5, n)
    low = np.where(rng.random(n) < 0.5, 3.0 * rng.standard_normal(n), -width * rng.random(n))
    high = low + width
    v = np.where(np.arange(n) % 5 == 0, low, low + (high - low) * rng.random(n))
    return rng.standard_normal(n) * (np.arange(n) % 9 > 0), v, low, high


def below(activation, push, weight, v, low, high):
    """Return the parabolas for these numbers, and none of them is above its function at some thirty points."""
    curve = Curve.of(activation)
    found = parabolas(activation, *exact(weight), v, *exact(low, high), push)
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        for u in points(a, b, float(found.t[i])):
            apart = u - found.t[i]
            assert not found.value[i] + found.slope[i] * apart - found.c[i] * apart**2 > weight[i] * curve.value(u)
    return found


def exact(*arrays):
    """Return lists of balls of no radius."""
    return [[arb(number) for number in array] for array in arrays]


def points(low, high, touch):
    """Return balls of no radius in a range, some near where a parabola touches and near zero."""
    places = [*np.linspace(low, high, 25), *(touch + (high - low) * np.array([-1e-3, 1e-6, 1e-3])), 0.0, -touch]
    return [arb(place) for place in places if low <= place <= high]


@on_any
@pytest.mark.parametrize("push", [0.0, 0.3])
def test_parabolas_are_below_and_bend_as_little_as_those_of_the_bound(name, push):
    """In 128 bits at some thirty points of each range; the bend is that of the closed form to 1e-6."""
    activation = ACTIVATIONS[name]
    weight, v, low, high = ranges(60)
    with ctx.workprec(BITS):
        found = below(activation, push, weight, v, low, high)
    t, value, slope, c = minorant(activation, weight, v, low, high, push)
    np.testing.assert_allclose(floats(found.t), t, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(floats(found.value), value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(floats(found.slope), slope, rtol=1e-9, atol=1e-12)
    wide = high - low > 0.01
    np.testing.assert_allclose(floats(found.c)[wide], c[wide], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "smooth relu 0.01"])
def test_a_parabola_that_bends_too_little_is_lowered(name, monkeypatch):
    """With four fifths of the bend, by what it is above the function at least."""
    choices = ball_curves.choices

    def mutant(*arguments):
        t, c, p = choices(*arguments)
        return t, 0.8 * c, p

    activation, curve, numbers = ACTIVATIONS[name], Curve.of(ACTIVATIONS[name]), ranges(200)
    monkeypatch.setattr(ball_curves, "choices", mutant)
    with ctx.workprec(BITS):
        found = below(activation, 0.3, *numbers)
        touching = [w * curve.value(t) for w, t in zip(numbers[0], found.t, strict=True)]
    assert np.sum(floats(found.value) < floats(touching) - 1e-6) > 5


@on_any
def test_bands_and_sectors_hold(name):
    """At some thirty points of each range, for the slope of the chord and for another."""
    curve = Curve.of(ACTIVATIONS[name])
    _, v, low, high = ranges(40, 3)
    with ctx.workprec(BITS):
        for at, a, b in zip(v.tolist(), low.tolist(), high.tolist(), strict=True):
            a, b, at = arb(a), arb(b), arb(at)
            bands = [
                (arb(s), *band(curve, a, b, arb(s))) for s in (float((curve.value(b) - curve.value(a)) / (b - a)), 0.3)
            ]
            middle, half = sector(curve, at, a, b)
            for u in points(float(a), float(b), float(at)):
                for slope, offset, width in bands:
                    assert not abs(curve.value(u) - slope * u - offset) > width
                if u != at:
                    assert not abs((curve.value(u) - curve.value(at)) / (u - at) - middle) > half


def test_a_matrix_that_is_not_positive_is_never_proved_so():
    """Eigenvalues from 1e-9 and -1e-9 on, and a singular one; a root lies above its matrix."""
    basis = np.linalg.qr(RNG(4).standard_normal((8, 8)))[0]
    with ctx.workprec(BITS):
        for least in (1e-9, 1e-3, 1.0, 0.0, -1e-9, -1.0):
            values = np.append(least, 1.0 + np.arange(7.0))
            turned = matrix(basis)
            symmetric = turned.transpose() * matrix(np.diag(values)) * turned
            proved = least_eigenvalue(symmetric)
            assert (proved > 0) == (least > 0.0)
            assert not proved > least
            if least >= 0.0:
                root = root_above(symmetric)
                rest = root.transpose() * root - symmetric
                assert dominance(rest) > 0
                assert np.abs(floats(rest)).max() < 1e-10
            if least > 1e-6:
                q = RNG(11).standard_normal(8)
                exact_form = np.sum((basis @ q) ** 2 / values)
                np.testing.assert_allclose(float(inverse_form(symmetric, [arb(a) for a in q])), exact_form, rtol=1e-9)
        assert not dominance(matrix([[1.0, 1.0], [1.0, 1.0]])) > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_the_radii_of_the_tight_bound_are_confirmed(name):
    """All of them, on networks of every kind; for two blocks with pooling, what steps P1 to P6 give of them."""
    net = network(name)
    x = random_images(RNG(5), net, 4)
    radius, proof = claimed(net, x)
    local = lower_bound(net, x, method="local").radius
    np.testing.assert_array_equal(radius, np.minimum(radius, local) if name == "two" else local)
    assert (radius > 0.0).all()
    assert [lowering(proof, image, r) for image, r in zip(x, radius.tolist(), strict=True)] == [0.0] * 4


@pytest.mark.parametrize("name", NETWORKS)
def test_a_radius_that_reaches_another_class_is_refused(name):
    """The length of an attack; and where it is a little more than the bound, it is lowered to what can be proved."""
    net = network(name)
    x = random_images(RNG(6), net, 3)
    found = backward_error_attack(net, x, net.classify(x), margin=1e-9)
    assert found.success.all()
    radius, proof = claimed(net, x)
    length = found.l2 * 1.0001
    assert not any(proof.proves(image, r) for image, r in zip(x, length.tolist(), strict=True))
    i = np.argmax(radius / length)
    if radius[i] > 0.95 * length[i]:
        less = lowering(proof, x[i], float(length[i]))
        assert proof.proves(x[i], length[i] * (1.0 - less))
        assert 1e-5 < less < 1.1 * (1.0 - radius[i] / length[i])


def test_the_distance_to_a_hyperplane_inflated_by_a_millionth_is_refused():
    """Without a hidden layer the bound is exact, and so is the refusal; it is lowered by what it was inflated by."""
    net = network("affine")
    x = random_images(RNG(7), net, 20)
    radius, proof = claimed(net, x)
    for image, claim in zip(x, radius.tolist(), strict=True):
        assert proof.proves(image, claim)
        assert not proof.proves(image, claim * (1.0 + MUTANT))
        assert 0.99 * MUTANT < lowering(proof, image, claim * (1.0 + MUTANT)) < 1.06 * MUTANT


@pytest.mark.parametrize("name", [name for name in DENSE if name != "affine"])
@pytest.mark.parametrize("attempt", [0, 1])
def test_a_bound_inflated_by_a_millionth_beyond_the_theorem_is_refused(name, attempt):
    """With the same choices: proved at the largest radius of the bound in float64, refused beyond."""
    net = network(name)
    ball, proof = Ball.of(hidden_stages(net)), Proof.of(net, [])
    bent = any(stage.activation.name in ("relu", "smooth_relu") for stage in proof.stages)
    push, part = [[(0.0, 1.0), (0.0, 0.6)], [(0.15, 1.0), (0.3, 1.0)]][bent][attempt]
    for image in random_images(RNG(8), net, 3):
        at = proof.at(image)
        own, rival = at.own, (at.own + 1) % net.classes
        d = net.layers[-1].kernel[own] - net.layers[-1].kernel[rival]
        constant = net.layers[-1].matrix[own, -1] - net.layers[-1].matrix[rival, -1]
        towards = at.descend(rival, 1.0, np.zeros(len(at.guess)))

        def bound(r, towards=part * towards, d=d, constant=constant, at=at):
            point = r * towards @ ball.rows
            numbers = [np.array([number]) for number in (at.guess, d, constant, r, point)]
            return least_lead(ball, *numbers, tries=[(push, 1.0)])[0]

        far = 0.01
        while bound(far) > 0.0:
            far *= 1.5
        radius = brentq(bound, far / 1.5, far, xtol=1e-12, rtol=1e-12)
        with ctx.workprec(BITS):
            less, more = (
                at.least_lead(at.known(r), rival, r, part * r * towards, push)
                for r in (radius, radius * (1.0 + MUTANT))
            )
        assert less > 0
        assert not more > 0


@pytest.mark.parametrize("name", POOLED)
def test_a_pooled_bound_inflated_by_a_millionth_beyond_the_theorem_is_refused(name):
    """The largest radius at which the lead exceeds the loss in float64, and so much more."""
    net = network(name)
    front, x = take_apart(net), random_images(RNG(9), net, 3)
    _, proof = claimed(net, x)
    state, shapes = State.of(front, net, x), [net.input_shape]
    for convolution, pool in front.blocks:
        shapes.append(pool.output_shape(convolution.output_shape(shapes[-1])))
    for i, image in enumerate(x):
        with ctx.workprec(BITS):
            own, maxima, v, logits = proof.at(image)
            for rival in range(3):
                if rival == own:
                    continue

                def spare(r, i=i, j=rival):
                    lost = loss_of_lead(front, state.take([i]), shapes, np.array([j]), np.array([r]))
                    return state.lead[i, j] - lost[0]

                radius, lead = brentq(spare, 1e-6, 10.0, xtol=1e-13, rtol=1e-13), logits[own] - logits[rival]
                assert proof.most_lost(maxima, v, own, rival, radius * (1.0 - 1e-8), 0.0) < lead
                assert not proof.most_lost(maxima, v, own, rival, radius * (1.0 + MUTANT), 0.0) < lead


def test_nothing_is_claimed_of_a_radius_of_zero():
    """It is confirmed for any image, of any network."""
    for name in NETWORKS:
        net = network(name)
        x = random_images(RNG(9), net, 1)
        assert claimed(net, x)[1].proves(x[0], 0.0)


def test_the_table_says_what_was_lowered_and_by_how_much(tmp_path, monkeypatch, capsys):
    """Where every bound is a tenth of a per cent too large, none is confirmed."""
    net = network("affine")
    net.save(tmp_path / "toy.npz")

    class Data:
        x_test = random_images(RNG(10), net, 5)

    def inflated(*arguments, **options):
        found = lower_bound(*arguments, **options)
        return replace(found, radius=found.radius * 1.001)

    monkeypatch.setattr(ball_arithmetic, "NETWORKS", tmp_path)
    monkeypatch.setattr(ball_arithmetic.datasets, "load", lambda name: Data)
    monkeypatch.setattr("sys.argv", ["", "toy", "--images", "4", "--to", str(tmp_path / "table.md")])
    ball_arithmetic.main()
    table = (tmp_path / "table.md").read_text()
    assert "| toy | 4 | 4 | 0 | 0.0e+00 |" in table
    assert table.endswith(capsys.readouterr().out)
    ball_arithmetic.write_row(tmp_path / "table.md", "another", "| another | 1 |\n")
    monkeypatch.setattr(ball_arithmetic, "lower_bound", inflated)
    ball_arithmetic.main()
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert [line.rsplit("|", 2)[0] for line in lines[-2:]] == ["| another ", "| toy | 4 | 0 | 4 | 1.0e-03 "]
    assert len(lines) == len(table.splitlines()) + 1
