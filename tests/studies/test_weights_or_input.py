"""Attacks on any part of a network, at toy size: by their properties, and by what the network itself says."""

import numpy as np
import pytest

from bea.networks.leads import lead
from oracles import RNG, random_images, random_network
from studies import weights_or_input as study


@pytest.fixture(scope="module")
def toy():
    """Two networks 6-5-4, attacks in every place, first-order and converged."""
    nets = {str(seed): random_network(RNG(seed), [(5, "tanh")], 4) for seed in (0, 1)}
    x = random_images(RNG(2), nets["0"], 60)
    labels = nets["0"].classify(x)
    x, labels = (array[labels == nets["1"].classify(x)][:6] for array in (x, labels))
    target = (labels + 1) % 4
    attacks = [study.attacks(nets, x, target, margin=0.01, method=method) for method in ("first-order", "converged")]
    return nets, x, labels, target, *attacks


def test_where(toy):
    """What may change more costs less; the last layer alone is exact to first order."""
    *_, first, best = toy
    table = study.where(first, best).set_index("place")
    assert (table.converged == 12).all()
    assert table["first"]["layer 2"] == 6
    assert (table.lowest <= table["median"]).all()
    assert (table["median"] <= table.highest).all()
    linear = {place: study.objectives(first, place) for place in study.PLACES}
    for part in ("all weights", "input", "layer 1"):
        assert (linear["everything"] <= linear[part] * (1 + 1e-9)).all()


def test_bound(toy):
    """Linearised, no joint attack is above the bound or dearer than its cheaper part."""
    *_, first, _ = toy
    attacked = study.joint(first)
    assert len(attacked) == 3 * 12
    table = study.bound_table(attacked)
    assert (table[["above", "dearer"]] == 0).all(axis=None)
    assert (table.highest <= 1 + 1e-9).all()
    a, b, c = (study.objectives(first, place).ravel() for place in ("layer 2", "input", "layer 2 and input"))
    np.testing.assert_allclose(attacked.ratio[attacked.parts == "layer 2 and input"], c * (a + b) / (a * b), rtol=1e-12)


def test_shares(toy):
    """Shares are those of the squares of relative norms, and add up to one."""
    nets, x, labels, _, _, best = toy
    table = study.shares({"both": best["everything"]})
    assert list(table.part) == ["layer 1", "layer 2", "input"]
    assert table["mean"].sum() == pytest.approx(1)
    squares = np.concatenate([result.perturbation.relative_norms**2 for result in best["everything"]])
    np.testing.assert_allclose(table["mean"], (squares / squares.sum(axis=1, keepdims=True)).mean(axis=0), rtol=1e-12)
    found = study.on_everything(nets, {"1": (2, 3)}, x, labels, margin=0.01)["1"]
    np.testing.assert_array_equal(found.target, [k for label in labels[:2] for k in range(4) if k != label])


def test_plane_and_ways(toy):
    """The ends lie where they should, and the heights there are the network's leads."""
    nets, x, _, target, first, best = toy
    net, one, end = nets["0"], first["input"][0].perturbation.dx[0], best["input"][0].perturbation.dx[0]
    plane = study.plane(net, x[0], target[0], one, end)
    size = np.linalg.norm(x[0])
    assert np.linalg.norm(plane.first) == pytest.approx(np.linalg.norm(one) / size)
    assert np.linalg.norm(plane.converged) == pytest.approx(np.linalg.norm(end) / size)
    assert plane.first @ plane.converged == pytest.approx(np.vdot(one, end) / size**2)
    way = study.ways(net, x[0], target[0], one, end)
    here = lead(net(np.stack([x[0], x[0] + one, x[0] + end])), np.full(3, target[0]))
    np.testing.assert_allclose(way.lead.iloc[[0, 200, -1]], here, atol=1e-12)
    assert way.linearised[200] >= 0.01 - 1e-9  # the first-order attack wins in the linearised network
    nearest = np.argmin(plane.u**2 + plane.v**2)
    assert plane.heights.flat[nearest] == pytest.approx(here[0], abs=0.5)


def test_starts(toy):
    """More starts are never worse than one."""
    nets, x, _, target, _, best = toy
    options = {"margin": 0.01, "method": "converged", "places": ("all weights",)}
    single, several = (study.attacks(nets, x, target, starts=starts, **options) for starts in (1, 4))
    row = study.starts_table(single, several, best).iloc[0]
    ratio = np.sqrt(study.objectives(several, "all weights") / study.objectives(single, "all weights"))
    assert ratio.max() <= 1 + 1e-9
    assert (row.better, row.attacks) == (np.sum(ratio < 0.999), 12)
    assert row.gain == 1 - ratio.min()
