"""The study of networks trained on gradient signs, at toy size."""

import numpy as np
import pandas as pd
import pytest

import oracles
from studies import trained_on_gradients as study


@pytest.fixture(scope="module")
def pair():
    """An affine network of four classes over 2×3 pixels, and the same with logits that grow half as fast."""
    net, x, *_ = oracles.random_case(0, "one", n=12)
    rows = net.layers[-1].matrix.copy()
    rows[:, :-1] *= 0.5
    layers = (*net.layers[:-1], net.layers[-1].with_matrix(rows))
    slow = net.__class__(layers, net.input_shape, net.output_activation, net.input_range)
    return {"plain-0": net, "slow-0": slow}, x, net.classify(x)


def test_sizes_are_the_closed_forms_of_an_affine_network(pair):
    nets, x, labels = pair
    margin = 1e-9
    table = study.sizes(nets, x, labels, margin=margin, compared=3)
    net, own = nets["plain-0"], table[table.kind == "plain"].set_index(["attack", "image"])["size"]
    matrix = net.layers[-1].matrix
    for i, (image, c) in enumerate(zip(x, labels, strict=True)):
        rows = matrix[c] - np.delete(matrix, c, axis=0)
        leads = rows @ np.append(image.ravel(), 1.0)
        least = (leads / np.linalg.norm(rows[:, :-1], axis=1)).min()
        np.testing.assert_allclose(own["backward", i], least, rtol=1e-6)
        box = (leads / np.abs(rows[:, :-1]).sum(axis=1)).min()
        assert own["pgd", i] >= box - 1e-9
        assert not own["pgd", i] > own["fgsm", i]  # NaN where the one step finds none
    lbfgs = table[(table.attack == "lbfgs") & (table.kind == "plain")]
    assert set(lbfgs.image) == {0, 1, 2}
    backward = own["backward"].loc[lbfgs.image].to_numpy()
    assert (lbfgs["size"] >= backward * (1 - 1e-6)).all()


def test_the_printed_form_is_exact_for_one_layer(pair):
    nets, x, labels = pair
    rows = study.printed_form(nets, x, labels, margin=1e-6)
    assert list(rows.kind) == ["plain", "slow"]
    assert rows.turned[0] == 1
    assert rows.images[0] == len(x)


def test_growth_is_paired_and_summarised():
    table = pd.DataFrame(
        [("a", 0, key, i, s) for key in study.ATTACKS for i, s in enumerate((1.0, 2.0, 3.0))]
        + [("b", 0, key, i, s) for key in study.ATTACKS for i, s in enumerate((3.0, 1.0, np.nan))],
        columns=["kind", "seed", "attack", "image", "size"],
    )
    grown = study.growth(table, "a", "b")
    assert len(grown) == 2 * len(study.ATTACKS)
    row = study.summary(grown).set_index("attack").loc["fgsm"]
    assert row.pairs == 2
    assert row.grown == row.lowest == row.highest == pytest.approx(np.median([3.0, 0.5]))
    assert row.easier == 0.5
    assert row.still == 0.5


@pytest.mark.parametrize(
    ("backward", "signs", "answer", "beside"),
    [
        ((1.1, 1.2), (1.5, 1.6), "no:", "less"),
        ((0.8, 0.9), (0.5, 0.6), "yes:", "more"),
        ((0.9, 1.1), (1.0, 1.2), "neither", "like"),
    ],
)
def test_every_answer_can_be_said(backward, signs, answer, beside):
    table = pd.DataFrame(
        {"attack": ["fgsm", "backward"], "lowest": [signs[0], backward[0]], "highest": [signs[1], backward[1]]}
    )
    said = study.said(table)
    assert said["open"].startswith(answer)
    assert said["beside"].startswith(beside)
