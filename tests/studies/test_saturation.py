"""Both forms of the programme at toy size, against exact solutions and closed forms."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bea import Dense, Network, attack
from bea.backward.closed_form import first_order
from lab.attempts import first_right, to_every_target
from oracles import RNG, random_images, random_network
from studies import saturation as study

MARGIN = 0.01


@pytest.fixture(scope="module")
def toy():
    """A network 6-5-4 with small and with saturated outputs; three images, to become each of the other classes."""
    net = random_network(RNG(5), [(5, "tanh")], 4, output_activation="tanh")
    steep = net.layers[-1].with_matrix(5 * net.layers[-1].matrix)
    nets = {"small": net, "saturated": replace(net, layers=(*net.layers[:-1], steep))}
    images = random_images(RNG(5), net, 50)
    x = images[first_right(nets, images, net.classify(images), np.unique(net.classify(images))[:3])]
    return nets, *to_every_target(x, net.classify(x), 4)


def test_starts_and_saturation(toy):
    """Every penalty takes the first networks; larger logits mean smaller slopes and the same classes."""
    nets, x, source, _ = toy
    begun, penalty = study.starts(nets, [0.5, 0.02], repeats=1)
    assert penalty == {"penalty-0.5-0": 0.5, "penalty-0.02-0": 0.02}
    assert all(net is nets["small"] for net in begun.values())
    table = study.saturation(nets, {"saturated": 0.5}, x, source).set_index("net")
    np.testing.assert_allclose(table["size"].saturated, 5 * table["size"].small)
    assert table.slope.saturated < table.slope.small
    assert table.accuracy.tolist() == [1, 1]
    assert table.penalty.tolist() == [0, 0.5]


def test_both_forms(toy):
    """Attacks are those of ``bea.attack``; all converged ones win, for Keras too, and both forms end at one norm."""
    nets, x, source, target = toy
    found = study.both_forms(nets, x, source, target, margin=MARGIN)
    assert len(found) == 2 * 2 * 2 * len(x)
    net = nets["saturated"]
    p = attack(net, x, target, margin=MARGIN, activated=True).perturbation
    mine = found[(found.net == "saturated") & (found.form == "outputs") & (found.method == "first-order")]
    np.testing.assert_allclose(mine.norm, p.relative_norms.max(axis=1))
    y = np.tanh(net.perturbed_logits(p))
    assert (mine.won == (y.argmax(axis=1) == target)).all()
    best = found[found.method == "converged"]
    assert best.won.all()
    keras = found.dropna(subset="keras")
    assert (keras.keras <= keras.won).all()  # in single precision two outputs may both be 1
    assert np.mean(keras.keras == keras.won) > 0.75
    assert set(found.keras.isna()[(found.method == "converged") & (found.form == "outputs")]) == {True}
    lengths = best.pivot_table(index=["net", "source", "target"], columns="form", values="objective")
    assert np.median(lengths.outputs / lengths.logits) < 1.1


def test_a_third_class_is_neither_the_old_nor_the_wanted_one():
    """One layer, so that what wins can be written down."""
    net = Network((Dense(np.eye(3), bias=False),), (3,), "tanh")
    x, source, target = np.array([[1.0, 0.9, 0.0]] * 3), np.zeros(3, int), np.full(3, 2)
    found = attack(net, x, target, margin=MARGIN)
    left = np.array([[0, 0, 2.0], [-0.5, 0, 0], [0, 0, 0.1]])
    p = replace(found.perturbation, dA=[(left, np.array([[1.0, 0, 0]] * 3))])
    table = study.judged(net, p, source, target, True)
    assert table.won.tolist() == [True, False, False]
    assert table.third.tolist() == [False, True, False]


def test_summary():
    """Counts, means and spreads of a table written by hand."""
    columns = {"net": "a", "source": [7, 7, 8, 8], "norm": [1.0, 3.0, 2.0, 2.0], "won": [True, False, True, True]}
    row = study.summary(pd.DataFrame(columns).assign(third=False), by=("net",)).iloc[0]
    assert (row.attempts, row.won, row.third, row["mean"]) == (4, 3, 0, 2.0)
    assert (row.spread_7, row.spread_8, row.spread) == (0.5, 0.0, 0.25)
    assert study.nearest(pd.DataFrame({"mean": [0.01, 0.07, 0.5]}), 0.1)["mean"] == 0.07


def test_the_closed_form():
    """Two outputs of one layer, exactly; and of independent equal weights, with any two logits."""
    table = study.two_outputs([0.1, 1.0, 3.0], margin=1e-3)
    np.testing.assert_allclose(table.ratio, table.closed, rtol=1e-10)
    z = np.array([[2.0, -0.5], [1.0, -1.0]])
    net = Network((Dense(np.eye(2), bias=False),), (2,), "tanh")
    zero = np.zeros(2, int)
    norms = [
        np.sqrt(attack(net, z, zero + 1, (1,), margin=1e-9, activated=activated).objective)
        for activated in (True, False)
    ]
    np.testing.assert_allclose(study.predicted(z, zero, zero + 1), norms[0] / norms[1], rtol=1e-7)
    np.testing.assert_allclose(study.predicted(z, zero, zero + 1)[1], np.sinh(2) / 2)


@pytest.mark.parametrize("solver", ["interior point", "active set"])
def test_solvers_that_are_not_stopped_end_at_the_solution(toy, solver):
    """And the active set meets one more constraint at every step."""
    nets, x, source, target = toy
    stopped = study.stopped_early(nets, x, source, target, margin=MARGIN, steps=25)
    for name, net in nets.items():
        exact = attack(net, x, target, margin=MARGIN, activated=True)
        mine = stopped[(stopped.net == name) & (stopped.solver == solver)]
        np.testing.assert_allclose(mine[mine.steps == 25].objective, exact.objective, rtol=1e-6)
        one = mine[mine.steps == 1].objective.to_numpy()
        assert not np.allclose(one, exact.objective, rtol=1e-3)
        if solver == "active set":
            assert (one <= exact.objective * (1 + 1e-9)).all()  # fewer constraints cost less


def test_an_active_set_of_one_step_meets_the_most_violated_constraint(toy):
    """Linearised, that target leads by the margin over the class that was farthest ahead."""
    nets, x, _, target = toy
    problem = first_order(nets["small"], x, "weights", activated=True)
    gram, y = problem.gram(), problem.linearisation.logits
    D = study.lead_over_others(np.eye(4)[None], target)
    g = next(study.active_set(gram, D, MARGIN - np.matvec(D, y), 1))
    leads = np.matvec(D, y + np.matvec(gram, g))
    worst = np.matvec(D, y).argmin(axis=1)
    np.testing.assert_allclose(leads[np.arange(len(x)), worst], MARGIN, rtol=1e-9)


def test_pushed_attacks_are_longer_and_alike(toy):
    """The lead that is asked for grows, so do the norms, and their spread falls."""
    nets, x, source, target = toy
    table = study.summary(study.pushed(nets, x, source, target, [0.01, 1e4]), by=("net", "margin"))
    small, large = (table[table.margin == margin].reset_index() for margin in (0.01, 1e4))
    assert (large["mean"] > small["mean"]).all()
    assert (large.spread < small.spread).all()


def test_the_gap_grows_with_the_square(toy):
    """In both forms; at an attack's own size the gap is what the perturbed network says."""
    nets, x, _, target = toy
    table = study.gaps(nets, x, target, [1e-5, 1e-4, 1e-3], margin=MARGIN)
    fitted = study.exponents(table)
    assert len(fitted) == 2 * 2 * len(x)
    np.testing.assert_allclose(fitted.slope, 2, atol=0.1)
    net = nets["small"]
    p = attack(net, x, target, margin=MARGIN, activated=True).perturbation
    problem = first_order(net, x, "weights", activated=True)
    promised = problem.push_forward(p.dA, None)
    missing = np.tanh(net.perturbed_logits(p)) - problem.linearisation.logits - promised
    mine = fitted[(fitted.net == "small") & (fitted.form == "outputs")]
    np.testing.assert_allclose(mine.at_one, np.linalg.norm(missing, axis=1) / np.linalg.norm(promised, axis=1))
