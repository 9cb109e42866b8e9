"""Newton's method beside gradient descent, at toy size: by stationarity, made-up frames, and the nearest point."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bea.attacks.loss import loss_gradient
from oracles import RNG, random_images, random_network
from studies import newton as study


@pytest.fixture(scope="module")
def toy():
    """An affine and a smooth network, images, and both methods run on them."""
    nets = {"affine": random_network(RNG(0), [], 2), "deep": random_network(RNG(1), [(5, "tanh")], 4)}
    x = random_images(RNG(2), nets["deep"], 6)
    targets = study.random_targets(nets, x, RNG(3))
    return nets, x, study.newton_runs(nets, x, targets, margin=1e-3, halvings=30)


def test_random_targets(toy):
    """Never the present class."""
    nets, x, runs = toy
    assert all((run.target != nets[name].classify(x)).all() for name, run in runs.items())


def test_minima(toy):
    """Both methods end where 2 Δx = -w ∇J."""
    nets, x, runs = toy
    run = runs["deep"]
    assert run.whole.success.all()
    for found in run.minima.values():
        assert found.converged.all()
        slope = 2 * found.dx + run.whole.weight[:, None, None] * loss_gradient(nets["deep"], x + found.dx, run.target)
        np.testing.assert_allclose(slope, 0.0, atol=1e-5)
    images = study.per_image(runs)
    table = study.methods_table(images).set_index(["net", "method"])
    assert table.iterations["deep", "newton"] < table.iterations["deep", "gradient"]
    same = study.same_minima(images).set_index("net")
    assert same.quotient["affine"] == pytest.approx(1.0, abs=1e-5)
    quoted = study.quoted(study.methods_table(images), study.same_minima(images))["deep"]
    assert quoted["newton"]["iterations"] == table.iterations["deep", "newton"]
    assert quoted["won"] == 6


def test_residuals_and_orders(toy):
    """A residual that squares itself has order two; what has converged stays where it is."""
    run = toy[2]["deep"]
    norms = np.array([[1.0, 1e-2, 1e-4, 1e-8, np.nan], [1.0, 1e-2, 1e-4, 1e-6, 1e-8]])
    made = replace(run.minima["newton"], gradient_norms=norms, iterations=np.array([3, 4]))
    runs = {"a": replace(run, minima={"newton": made})}
    assert study.residuals(runs).middle.iloc[-1] == pytest.approx(1e-8)
    row = study.orders(runs).iloc[0]
    assert (row.order, row.images) == (pytest.approx(1.5), 2)  # the median of two and one


def test_rivals(toy):
    """With two classes the penalised minimum is the nearest point; elsewhere it is no shorter."""
    nets, x, runs = toy
    found = study.rivals(nets, runs, x, margin=1e-3, halvings=30, others=2)
    assert found.lbfgs.notna().sum() == 4
    table = study.excess(found).set_index("net")
    assert table.excess["affine"] == pytest.approx(0.0, abs=1e-6)
    assert table.alone["affine"] == 1.0
    assert table.lbfgs["deep"] == pytest.approx(1.0, abs=1e-3)
    shown = study.rivals_table(found, others=2).set_index(["net", "attack"])
    assert (shown.success == 1.0).all()
    assert shown.length["deep", "nearest"] == found[found.net == "deep"].nearest[:2].median()


def test_excess():
    """Medians over both parts, and a correlation of one where the excess grows with what the runner-up lacks."""
    columns = {"net": "a", "newton": [1.0, 1.1, 1.3], "lbfgs": [1.0, np.nan, np.nan], "nearest": 1.0}
    row = study.excess(pd.DataFrame(columns | {"share": [0.95, 0.8, 0.5]})).iloc[0]
    assert (row.excess_alone, row["rank"], row.alone) == (0.0, pytest.approx(1.0), pytest.approx(1 / 3))
    assert row.excess_rest == pytest.approx(0.2)


def test_confirmed(toy):
    """Keras, built from the network, agrees; who leaves the range is counted."""
    nets, x, runs = toy
    counts = study.confirmed(nets, dict.fromkeys(nets), runs, x)
    moved = [x + run.whole.dx for run in runs.values()]
    assert counts["agree"] == counts["asked"] == 12
    assert counts["outside"] == sum(int(((image < 0) | (image > 1)).any()) for part in moved for image in part)
