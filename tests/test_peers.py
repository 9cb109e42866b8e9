"""The attack beside what other libraries reach: a stored table on small networks notices when it gets worse."""

import numpy as np
import pandas as pd
import pytest

from bea.attacks import backward_error_attack
from benchmarks.small import PEERS, TABLE, boards
from lab import peers
from lab.parameters import ROOT

BOARDS = boards()


@pytest.mark.parametrize("name", BOARDS)
def test_no_peer_is_shorter(name):
    """Success on every image, and within 0.1 % of the best of five peers on all but a few; never far behind."""
    net, x, label = BOARDS[name]
    table = pd.read_csv(ROOT / TABLE).query("net == @name")
    np.testing.assert_array_equal(table.label, label)  # the networks are those of the table
    found = backward_error_attack(net, x, label, clip=True, margin=1e-6)
    assert found.success.all()
    excess = found.l2 / table[list(PEERS)].min(axis=1).to_numpy() - 1
    assert np.mean(excess <= 0.001) >= 0.97
    assert excess.max() < 0.01


def test_stored_tables_belong_together():
    """The same images for every attack, each known to the runs; no success is shorter than what is proved."""
    runs = peers.stored("runs")
    for problem in ("range", "free", "targets"):
        table = peers.stored(problem)
        known = runs[runs.problem == problem].groupby("net").attack.apply(set)
        for net, own in table.groupby("net"):
            met = own[peers.attacks_of(own)].dropna(axis=1, how="all")
            assert set(met) == known[net]
            assert met.notna().all(axis=None)
        if "proved" in table:
            lengths = table[peers.attacks_of(table)].min(axis=1)
            assert (lengths >= table.proved * (1 - 1e-6)).all()
    assert set(peers.stored("range").net) == set(peers.about()["networks"])
    seeds = peers.stored("seeds")
    kinds = pd.Series(seeds.net.unique()).str.rpartition("-")[0].value_counts()
    assert (kinds >= 10).all()
    assert (seeds.groupby("net").size() >= 20).all()
    assert seeds.notna().all(axis=None)
    assert (seeds[peers.attacks_of(seeds)].min(axis=1) >= seeds.proved * (1 - 1e-6)).all()


def test_stored_weights_belong_together():
    """Every image meets nine classes, nothing fails or is below its proof, and the sums are those of the same table."""
    tables = {name: peers.stored(f"every_{name}") for name in ("network", "pair", "lead", "share", "extreme", "first")}
    every = tables["network"].set_index("net")
    assert (every.attacks == 9 * every.images).all()
    assert every[["failed", "above"]].to_numpy().sum() == 0
    assert set(every.index) == set(peers.about("every")["networks"])
    assert tables["pair"].groupby("net").attacks.sum().to_dict() == every.attacks.to_dict()
    middle = tables["share"].query("share == 0.5").set_index("net")["size"]
    np.testing.assert_allclose(middle[every.index], every["median"], rtol=1e-6)
    ends = tables["share"].query("share == 0").set_index("net")["size"]
    np.testing.assert_allclose(tables["extreme"].groupby("net").converged.min()[ends.index], ends, rtol=1e-6)
    assert (tables["lead"].groupby("net").size() == 20).all()
    assert (tables["lead"].low <= tables["lead"].high).all()
    first = tables["first"]
    assert (first.groupby(["net", "image"]).size() == 9).all()
    assert not (first.proved > first.converged * (1 + 1e-6)).any()
