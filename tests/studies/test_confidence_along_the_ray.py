"""The studies of confidence along the ray, at toy size."""

from functools import cache

import numpy as np
import pytest
from scipy.special import softmax

from bea.attacks import smallest_epsilon
from oracles import random_case
from studies import confidence_along_the_ray as study

STEPS = 400


@cache
def toy():
    """Two smooth networks of three layers, images, labels and their curves."""
    net, x, labels, _ = random_case(5, "two", n=12, input_range=(0.0, 1.0))
    nets = {"n-0": net, "n-1": random_case(6, "two", n=2, input_range=(0.0, 1.0))[0]}
    return nets, x, labels, study.follow(nets, x, labels, range(12), STEPS)


def test_curves_and_kinks_are_those_of_a_fine_grid():
    nets, x, labels, runs = toy()
    kinks = 0
    for i, curves in runs.items():
        for net, run in zip(nets.values(), curves, strict=True):
            fine = np.linspace(0, 1, 40 * STEPS + 1)
            direction = study.direction_of(net, x[i], labels[i])
            q = softmax(net(x[i] + fine[:, None, None] * direction), axis=1)
            np.testing.assert_allclose(run.correct, q[::40, labels[i]], rtol=1e-10)
            q[:, labels[i]] = -1
            np.testing.assert_allclose(run.wrong, q[::40].max(axis=1), rtol=1e-10)
            found = np.flatnonzero(np.diff(q.argmax(axis=1)))
            np.testing.assert_allclose(run.place, fine[found], atol=1 / (40 * STEPS))
            kinks += len(found)
    assert kinks >= 3
    assert len(study.places(runs)) == kinks


def test_slopes_are_derivatives():
    nets, x, labels, _ = toy()
    net, label, h = nets["n-0"], labels[0], 1e-5
    direction, classes = study.direction_of(net, x[0], label), np.full(3, (label + 1) % 4)
    at = np.array([0.1, 0.5, 0.9])
    found = study.slope(net, study.at(x[0], direction, at), direction, classes)
    ends = [study.confidence(net, study.at(x[0], direction, at + step), classes) for step in (-h, h)]
    np.testing.assert_allclose(found, (ends[1] - ends[0]) / (2 * h), rtol=1e-6, atol=1e-9)


def test_a_maximum_of_smooth_functions_jumps_upwards():
    nets, x, labels, runs = toy()
    summary = study.kink_summary(study.kinks(nets, x, runs))
    assert summary["upward"] == summary["kinks"] == len(study.places(runs))
    assert summary["gap"] < 1e-10
    assert summary["error"] < 1e-2
    smooth = study.smoothness(nets, x, runs)
    assert smooth.cell.tolist() == [4 / STEPS, 2 / STEPS, 1 / STEPS]
    assert (smooth.largest.diff()[1:] < 0).all()
    counted = study.without_grid(nets, x, labels, range(12))
    assert counted.changes.tolist() == [2 * len(run.place) for curves in runs.values() for run in curves]
    assert counted.unresolved.sum() == 0


def test_no_kinks_at_all():
    nets, x, _, runs = toy()
    none = {i: [run for run in curves if not run.place.size][:1] for i, curves in runs.items()}
    none = {i: curves for i, curves in none.items() if curves}
    assert len(none) > 0
    assert study.kink_summary(study.kinks({"n": nets["n-0"]}, x, {})) == dict.fromkeys(
        ["kinks", "smallest", "relative", "upward", "error", "gap"], 0
    )
    assert len(study.places(none)) == 0


def test_overview_and_labels_of_a_made_up_curve():
    grid, empty = np.linspace(0, 1, 5), np.zeros(1)
    correct, wrong = np.array([0.9, 0.3, 0.05, 0.08, 0.02]), np.linspace(0, 0.8, 5)
    run = study.Curve(
        3,
        grid,
        correct,
        wrong,
        np.array([1, 1, 2, 2, 2]),
        empty,
        np.array([0.3]),
        np.array([1]),
        np.array([2]),
        empty,
        empty,
    )
    row = study.overview({6: [run]}, [0], lost=0.25, near=0.1).iloc[0]
    assert (row.image, row.start, row.lost, row.most, row.steady) == (7, 0.9, 0.3, 0.3, 0.5)
    assert row.changes == "1→2 at 0.3000"
    assert run.told() == "1, then 2 from 0.300"
    (first, second) = run.takeovers()
    assert first == (0.0, 0.0, 1, False)
    assert second == (0.3, pytest.approx(0.24), 2, False)


def test_images_for_the_page():
    """At most as many as wanted, each with its reason; every ε_min is that of the search."""
    nets, x, labels, _ = toy()
    net, epsilon = nets["n-0"], study.smallest(nets["n-0"], x, labels)
    chosen = study.choose(net, x, labels, epsilon, searched=6, figures=[2], shown=8)
    assert len(set(chosen.numbers.tolist())) == len(chosen.reasons) == 8
    right = net.classify(x) == labels
    for number, reason in zip(chosen.numbers, chosen.reasons, strict=True):
        assert right[number] or reason != "right"
        assert not right[number] or reason != "misclassified"
    assert 1 in chosen.numbers
    for number in chosen.numbers[[reason == "a class comes back" for reason in chosen.reasons]]:
        seen = net.classify(
            study.at(x[number], study.direction_of(net, x[number], labels[number]), np.linspace(0, 1, 51))
        )
        runs = [seen[0], *seen[1:][np.diff(seen) != 0]]
        assert len(runs) > len(set(runs))
    np.testing.assert_allclose(
        study.after_step(nets, x, labels, 0.0)[0], softmax(net(x), axis=1)[np.arange(12), labels]
    )


def test_references_and_clipping():
    nets, x, labels, _ = toy()
    net = nets["n-0"]
    runs, entry = study.references([net], x, labels, [0.0, 0.3])
    assert [run["clip"] for run in runs] == [False, True]
    assert runs[0]["confidence"].shape == (12, 2, 4)
    assert 0 < entry < 1
    free, clipped = (smallest_epsilon(net, x, labels, clip=clip).epsilon for clip in (False, True))
    found = study.clipping(net, x, labels, free)
    both = (net.classify(x) == labels) & np.isfinite(free) & np.isfinite(clipped)
    assert found["compared"] == both.sum()
    assert found["smaller"] == np.sum(clipped[both] < free[both] - 1e-5)
    assert found["never"] == np.isnan(clipped).sum()
    assert found["outside"] == 0
