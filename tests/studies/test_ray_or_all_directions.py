"""One ray beside all directions, at toy size: the inequality between the norms, and made-up tables."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from oracles import RNG, random_images, random_network
from studies import ray_or_all_directions as study

MARGIN = 1e-6


@pytest.fixture
def measured(monkeypatch):
    """A function that measures twenty images, the first with a wrong label; the network stands for its Keras model."""
    monkeypatch.setattr(study, "keras_classes", lambda file, images, net: net.classify(images))

    def measure(hidden):
        net = random_network(RNG(2), hidden, 4, input_range=(0.0, 1.0))
        x = random_images(RNG(1), net, 20)
        labels = net.classify(x)
        labels[0] = (labels[0] + 1) % 4
        return net, x, labels, study.two_measures({"net": net}, {"net": None}, x, labels, margin=MARGIN)

    return measure


def test_no_step_is_shorter_than_the_attack(measured):
    """Images that are wrong as they stand are left out; classes are those of the changed images."""
    _, _, labels, found = measured([(5, "tanh")])
    assert list(found.image) == list(range(1, 20))
    assert found.success.all()
    known = found[found.epsilon.notna()]
    assert len(known) > 0
    np.testing.assert_allclose(known.step, np.sqrt(6) * known.epsilon)
    assert (known.step >= (1 - 1e-6) * known.delta).all()
    np.testing.assert_array_equal(found.class_keras, found.class_delta)
    assert (known.class_step != labels[known.image]).all()


def test_one_gradient_is_exact_for_an_affine_network(measured):
    """Distances to the nearest border, by its normal; of the attack they are the lengths."""
    net, x, labels, found = measured([])
    W, y = net.weighted[0].kernel, net(x)
    for order in (1, 2):
        expected = [
            min((y[i, k] - y[i, j]) / np.linalg.norm(W[k] - W[j], order) for j in range(4) if j != k)
            for i, k in zip(found.image, labels[found.image], strict=True)
        ]
        distance = study.first_order_distance(net, x[found.image], labels[found.image], order)
        np.testing.assert_allclose(distance, expected)
    np.testing.assert_allclose(found.delta, distance, rtol=1e-4)
    row = study.predicted({"net": net}, x, labels, found).iloc[0]
    assert row.delta == pytest.approx(1)
    assert row.delta_quotient == pytest.approx(1, rel=1e-4)


def test_agreement_of_made_up_measures():
    """Images without a step are counted and left out."""
    delta = RNG(0).uniform(1, 2, 30)
    epsilon = np.append(RNG(1).uniform(0.1, 0.2, 29), np.nan)
    made = pd.DataFrame({"net": "a", "epsilon": epsilon, "delta": delta, "step": 2 * delta, "largest": 3 * epsilon})
    made = made.assign(class_step=1, class_delta=[1] * 20 + [2] * 10)
    made.loc[0, "step"] = 0.5 * delta[0]
    row = study.agreement(made).iloc[0]
    assert (row.images, row.missed, row.below, row.ratio, row.least) == (29, 1, 1, 2, 0.5)
    assert row.pixel == pytest.approx(3)
    assert row.same == pytest.approx(20 / 29)
    assert row["rank"] == spearmanr(epsilon[:-1], delta[:-1]).statistic
    assert row.low < row["rank"] < row.high


def test_ranks_are_shares_of_all_images():
    made = pd.DataFrame({"epsilon": [0.1, np.nan, 0.2, 0.3], "delta": [3.0, 9.0, 2.0, 1.0]})
    np.testing.assert_allclose(study.rank_differences(made).difference, [-2 / 3, 0, 2 / 3])
