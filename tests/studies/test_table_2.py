"""Weight attacks on two layers, at toy size: against SLSQP in the entries of the matrices, and by their properties."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from bea.networks.leads import lead_over_others
from lab.attempts import first_right, right_for_all, to_every_target
from oracles import RNG, random_images, random_network
from studies import table_2 as study

MARGIN = 0.01


@pytest.fixture(scope="module")
def toy():
    """Two networks 6-5-4, tanh at the output too; three images of different classes, to become each of the others."""
    net = random_network(RNG(5), [(5, "tanh")], 4, output_activation="tanh")
    close = [layer.with_matrix(0.99 * layer.matrix) if hasattr(layer, "matrix") else layer for layer in net.layers]
    nets = {"a": net, "b": replace(net, layers=tuple(close))}
    images = random_images(RNG(5), net, 50)
    x = images[first_right(nets, images, net.classify(images), np.unique(net.classify(images))[:3])]
    return nets, *to_every_target(x, net.classify(x), 4)


def test_attempts():
    """The first image of a digit that all classify correctly; every class but its own is a target."""
    net = random_network(RNG(0), [(5, "tanh")], 4)
    x = random_images(RNG(1), net, 40)
    labels = net.classify(x)
    wrong = labels.copy()
    wrong[np.argmax(labels == labels[0])] = (labels[0] + 1) % 4
    assert first_right({"": net}, x, wrong, [labels[0]]) == np.flatnonzero(wrong == labels[0])[0] > 0
    assert right_for_all({"": net}, x, labels).all()
    opposite = replace(net, layers=(*net.layers[:-1], net.layers[-1].with_matrix(-net.layers[-1].matrix)))
    assert not right_for_all({"": net, "other": opposite}, x, labels).any()
    with pytest.raises(ValueError, match="digits: expected"):
        first_right({"": net}, x, (labels + 1) % 4, [0])
    images, source, target = to_every_target(x[:2], labels[:2], 4)
    assert len(images) == 6
    assert [set(part) for part in target.reshape(2, 3)] == [set(range(4)) - {label} for label in labels[:2]]
    np.testing.assert_array_equal(source, labels[:2].repeat(3))


def test_outcomes_and_counts(toy):
    """Converged attacks win by the margin; what first-order ones cover, and where they end, is counted right."""
    nets, x, source, target = toy
    linearised = study.attacks(nets, x, target, margin=MARGIN)
    first = study.outcomes(nets, linearised, source)
    converged = study.outcomes(nets, study.attacks(nets, x, target, margin=MARGIN, method="converged"), source)
    assert (converged.winner == converged.target).all()
    assert (converged.covered > 1).all()
    logits = nets["b"].perturbed_logits(linearised["b"].perturbation)
    mine = first[first.net == "b"]
    np.testing.assert_array_equal(mine.covered > 1, logits[range(len(x)), target] > logits[range(len(x)), source])
    tables = (frame.assign(keras=frame.winner == frame.target) for frame in (first, converged))
    count = study.counts(*tables).set_index("net")
    assert (count.target + count.old + count.third == len(x)).all()
    assert (count.converged == len(x)).all()
    ends = study.ends(nets, {"first": study.perturbations(linearised)}, source, target).iloc[0]
    assert ends.target == count.target.sum() / (2 * len(x))
    assert ends.old == count.old.sum() / (2 * len(x))


def test_slsqp_solves_the_same_programme(toy):
    """The objective, the outputs and the constraints agree."""
    nets, x, _, target = toy
    linearised = study.attacks(nets, x, target, margin=MARGIN)["a"]
    found = study.slsqp(nets["a"], linearised, pairs=4, seed=0)
    assert len(found) == 4
    assert found.objective.abs().max() < 1e-6
    assert found.slack.min() > -1e-9


def test_the_gap_grows_with_the_square(toy):
    """And stretching by nothing keeps every class, by one gives the attack itself."""
    nets, x, source, target = toy
    linearised = study.attacks(nets, x, target, margin=MARGIN)
    gaps = study.growth(nets, linearised, np.geomspace(1e-4, 1, 9))
    np.testing.assert_allclose(study.slopes(gaps, below=0.02), 2.0, atol=0.1)
    shares = study.stretched(nets, linearised, source, target, [0.0, 1.0]).set_index("candidate")
    assert shares.old[0.0] == 1
    now = study.outcomes(nets, linearised, source)
    assert shares.target[1.0] == np.mean(now.winner == now.target)


def test_constraints_on_outputs(toy):
    """The longer network has the outputs for logits; the slopes of tanh worsen the condition by what they differ."""
    nets, x, source, target = toy
    longer = study.with_outputs(nets)
    np.testing.assert_allclose(longer["a"](x), np.tanh(nets["a"](x)))
    found = study.attacks(longer, x, target, margin=MARGIN, on=(1, 2), method="converged")
    table = study.outcomes(nets, found, source)
    assert (table.winner == table.target).all()
    assert (table.lead >= 0.999 * MARGIN).all()
    condition = study.conditions(nets, x[::3])
    assert len(condition) == 2 * len(x) // 3
    slopes = [1 - np.tanh(net(x[::3])) ** 2 for net in nets.values()]
    spread = np.concatenate([s.max(axis=1) / s.min(axis=1) for s in slopes])
    assert (condition.outputs <= condition.logits * spread**2 * (1 + 1e-9)).all()


def test_the_printed_form(toy):
    """Its solution is what SLSQP finds that minimises the weighed norms of plain-norm perturbations."""
    nets, x, _, target = toy
    net, printed = nets["a"], study.as_printed(nets, x, target, margin=MARGIN)["a"]
    plain = study.first_order(net, x, "weights", relative=False)
    P = np.linalg.inv(plain.gram()[0])
    Q = replace(plain, weight_scales=1 / net.weight_norms).gram()[0]
    D = lead_over_others(np.eye(4)[None], target)[0]
    leads = {"type": "ineq", "fun": lambda d: D @ (net(x)[0] + d) - MARGIN}
    run = minimize(lambda d: d @ P @ Q @ P @ d, np.ones(4), constraints=leads, options={"ftol": 1e-15})
    np.testing.assert_allclose(printed.objective[0], run.fun, rtol=1e-6)


def test_readings_and_table(toy):
    """The two norms of A differ by at most the root of the rank; the table takes the first network's norms."""
    nets, x, source, target = toy
    linearised = study.attacks(nets, x, target, margin=MARGIN)
    both = study.readings(nets, {"scaled": study.perturbations(linearised)})
    one, other = (both[both["size"] == size].norm.to_numpy() for size in ("Frobenius", "spectral"))
    first = study.outcomes(nets, linearised, source)
    np.testing.assert_allclose(one, first.norm)
    assert ((other >= one) & (other <= np.sqrt(5) * one)).all()
    unique = np.r_[:3, len(x) : len(x) + 3]  # one image, so that every pair of classes is there once
    frame = first.iloc[unique].assign(keras=[True, False, False, True, True, False])
    table = study.table_two(frame, frame, {source[0]: dict(zip(target[:3], (0.1, 0.2, 0.3), strict=True))})
    assert table.published.tolist() == [0.1, 0.2, 0.3]
    np.testing.assert_array_equal(table["first"], first.norm[:3])
    np.testing.assert_allclose(table.most, np.maximum(first.norm[:3], first.norm[len(x) : len(x) + 3].to_numpy()))
    assert table.won_first.tolist() == [2, 1, 0]


def test_margins_and_keras(toy, tmp_path, monkeypatch):
    """A larger margin needs a larger perturbation; the original model is asked, here one that computes the same."""
    nets, x, _, target = toy
    monkeypatch.setattr(study, "keras_logits_perturbed", lambda file, net, p, activated: net.perturbed_logits(p))
    table = study.margins(nets["a"], tmp_path, x, target, [1e-3, 0.1])
    assert table.norm.is_monotonic_increasing
    assert (table.bea == len(x)).all()
    assert (table.keras == len(x)).all()
