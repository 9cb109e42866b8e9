"""Weight attacks on two layers, at toy size: against SLSQP in the entries of the matrices, and by their properties."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from bea.networks.leads import lead_over_others
from lab.attempts import first_right, right_for_all, to_every_target
from oracles import RNG, random_images, random_network
from studies import saturation
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


@pytest.mark.parametrize("activated", [False, True])
def test_slsqp_solves_the_same_programme(toy, activated):
    """The objective, the outputs and the constraints agree, whatever is constrained."""
    nets, x, _, target = toy
    found = study.slsqp(nets["a"], x, target, margin=MARGIN, pairs=4, seed=0, activated=activated)
    assert len(found) == 4
    assert found.objective.abs().max() < 1e-6
    assert found.slack.min() > -1e-9


@pytest.mark.parametrize("activated", [False, True])
def test_the_printed_form(toy, activated):
    """Its solution is what SLSQP finds that minimises the weighed norms of plain-norm perturbations."""
    nets, x, _, target = toy
    net, printed = nets["a"], study.as_printed(nets, x, target, margin=MARGIN, activated=activated)["a"]
    plain = study.first_order(net, x, "weights", relative=False, activated=activated)
    P = np.linalg.inv(plain.gram()[0])
    Q = replace(plain, weight_scales=1 / net.weight_norms).gram()[0]
    y, D = plain.linearisation.logits[0], lead_over_others(np.eye(4)[None], target)[0]
    leads = {"type": "ineq", "fun": lambda d: D @ (y + d) - MARGIN}
    run = minimize(lambda d: d @ P @ Q @ P @ d, np.ones(4), constraints=leads, options={"ftol": 1e-15})
    np.testing.assert_allclose(printed.objective[0], run.fun, rtol=1e-6)
    np.testing.assert_allclose(plain.push_forward(printed.dA, None)[0], run.x, rtol=1e-4)


def test_readings(toy):
    """The two norms of A differ by at most the root of the rank."""
    nets, x, _, target = toy
    linearised = study.attacks(nets, x, target, margin=MARGIN)
    both = study.readings(nets, {"scaled": study.perturbations(linearised)})
    one, other = (both[both["size"] == size].norm.to_numpy() for size in ("Frobenius", "spectral"))
    np.testing.assert_allclose(one, study.norms(nets, linearised).norm)
    assert ((other >= one) & (other <= np.sqrt(5) * one)).all()


def test_the_table(toy):
    """Norms of the network that is asked for, and over all networks how often a pair is won."""
    nets, x, source, target = toy
    some = np.flatnonzero(source == source[0])
    found = saturation.both_forms(nets, x[some], source[some], target[some], margin=MARGIN)
    printed = {source[0]: dict(zip(target[some], (0.1, 0.2, 0.3), strict=True))}
    table = study.table_two(found, "b", printed)
    assert table.published.tolist() == [0.1, 0.2, 0.3]
    for form, activated in saturation.FORMS.items():
        p = study.attacks(nets, x[some], target[some], margin=MARGIN, activated=activated)["b"].perturbation
        np.testing.assert_allclose(table[form], p.relative_norms.max(axis=1))
    own = found[(found.form == "outputs") & (found.method == "first-order")]
    assert table.most_won.tolist() == own.won.to_numpy().reshape(2, 3).sum(axis=0).tolist()


def test_margins_and_keras(toy, tmp_path, monkeypatch):
    """A larger margin needs a larger perturbation; the original model is asked, here one that computes the same."""
    nets, x, _, target = toy
    monkeypatch.setattr(study, "keras_logits_perturbed", lambda file, net, p, activated: net.perturbed_logits(p))
    table = study.margins(nets["a"], tmp_path, x, target, [1e-3, 0.1])
    assert table.norm.is_monotonic_increasing
    assert (table.bea == len(x)).all()
    assert (table.keras == len(x)).all()
