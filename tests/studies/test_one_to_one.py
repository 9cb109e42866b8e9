"""Two images with one adversarial image: by hand on one pixel, and none for a convex loss."""

from dataclasses import replace

import numpy as np
import pytest

import oracles
from bea import Activation, Dense, Network
from bea.attacks import fgsm
from studies import one_to_one as study

STEP = 0.125


@pytest.fixture(scope="module")
def peak():
    """One pixel whose loss for class 0 has a peak at one half: logit 1 less logit 0 is 1 - |x - ½|."""
    first = Dense(np.array([[1.0, -0.5], [-1.0, 0.5]]))
    return Network(
        (first, Activation("relu"), Dense(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))), (1,), input_range=(0, 1)
    )


def test_both_sides_of_a_peak_become_the_peak(peak):
    x, labels = np.array([[0.375], [0.625]]), np.zeros(2, int)
    found = study.partners(peak, x, labels, epsilon=STEP, rounds=12)
    assert found.met.all()
    np.testing.assert_array_equal(found.common, 0.5)
    np.testing.assert_array_equal(found.second, x[::-1])
    for images in (found.first, found.second):
        np.testing.assert_array_equal(images + fgsm(peak, images, labels, STEP).dx, found.common)


def test_elsewhere_nothing_is_met(peak):
    found = study.partners(peak, np.array([[0.25]]), np.zeros(1, int), epsilon=STEP, rounds=12)
    assert not found.met.any()


def test_none_is_met_on_one_layer():
    net, x, labels, _ = oracles.random_case(0, "one", n=40)
    table = study.shared({"net": net}, x, labels, epsilon=STEP, rounds=20)
    assert len(table) > 10
    assert not table.met.any()
    assert not table.fooled.any()


def test_paler_images_leave_room_for_two_steps_and_sum_exactly():
    pale = study.paler(np.random.default_rng(0).random((5, 2, 3)), STEP)
    assert pale.min() >= 2 * STEP
    assert pale.max() <= 1 - 2 * STEP
    np.testing.assert_array_equal(np.round(pale * 1024), pale * 1024)
    np.testing.assert_array_equal((pale + STEP) - STEP, pale)


def test_counts_are_those_of_the_table(peak):
    """With logit 1 at a sixteenth both images are right, and what they become is wrong; at less than 0 it is right."""
    x = np.array([0.25, 0.75])[:, None]  # paler: 0.375 and 0.625
    nets = {}
    for name, second in (("fooled", 0.0625), ("again", 0.0625), ("right", -1.0)):
        last = peak.layers[-1].with_matrix(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, second]]))
        nets[name] = replace(peak, layers=(*peak.layers[:-1], last))
    table = study.shared(nets, x, np.zeros(2, int), epsilon=STEP, rounds=12)
    assert (table.pixels == 1).all()
    rows = study.counts(table, {"fooled": "a", "again": "a", "right": "b"})
    assert rows.to_numpy().tolist() == [["a", 4, 4, 4, 4], ["b", 2, 2, 2, 0]]
    valley = study.shared({"peak": peak}, x, np.ones(2, int), epsilon=STEP, rounds=12)  # of the loss of class 1
    assert study.counts(valley, {"peak": "a"}).to_numpy().tolist() == [["a", 2, 0, 0, 0]]
