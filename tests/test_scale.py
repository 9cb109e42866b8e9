"""`make soak` attacks a million images and runs many jobs; here fewer, and what it has stored."""

import json
from datetime import date

import numpy as np
import pytest
import yaml
from stored_runs import Scale

from bea import Dense, Flatten, Network
from lab.parameters import ROOT
from workflow import faults, scale

STATUS = json.loads((ROOT / "book" / "status.json").read_text())


def test_images_are_noisy_copies(tmp_path):
    """Of those given, in their order; no two are alike, no byte overflows."""
    images = np.random.default_rng(0).integers(0, 256, (7, 5, 5), dtype=np.uint8)
    scale.write_images(tmp_path / "x.npy", images, scale.BLOCK + 3)
    made = np.load(tmp_path / "x.npy").astype(int)
    noise = made - images[np.arange(len(made)) % 7]
    assert (noise.min(), noise.max(), made.max()) == (0, 15, 255)
    assert len({image.tobytes() for image in made}) == len(made)


def test_a_half_and_all_are_attacked_and_shares_agree(tmp_path, monkeypatch):
    """Several blocks, more than there are shares."""
    monkeypatch.setattr(scale, "PARTS", (2, 1))
    monkeypatch.setattr(scale, "SHARES", 2)
    rng = np.random.default_rng(0)
    Network((Flatten(), Dense(rng.normal(size=(4, 10)), True)), (3, 3)).save(tmp_path / "net.npz")
    images = rng.integers(0, 240, (50, 3, 3), dtype=np.uint8)
    found = scale.attacks(tmp_path / "net.npz", images, 3 * scale.BLOCK, tmp_path)
    assert [size for size, *_ in found["sizes"]] == [7500, 15000]
    assert found["identical"]
    assert found["success"] == 1
    assert "| net | 15,000 |" in Scale.attacks({"net": found | {"date": "", "commit": ""}})


def test_what_is_measured_is_written_into_its_part_of_the_status(tmp_path, monkeypatch):
    """One of several entries by its name, or all of a part."""
    monkeypatch.setattr(faults, "ROOT", tmp_path)
    monkeypatch.setattr(faults, "STATUS", tmp_path / "status.json")
    (tmp_path / "_build").mkdir()
    for part, name, entry in (("attacks", "a", {"x": 1}), ("attacks", "b", {"x": 2}), ("jobs", None, {"calls": 3})):
        faults.keep(part, name, entry)
    written = json.loads((tmp_path / "status.json").read_text())
    assert written == {"attacks": {"a": {"x": 1}, "b": {"x": 2}}, "jobs": {"calls": 3}}


def test_a_module_that_fails_is_no_measurement(tmp_path):
    """What it said last is in the message."""
    with pytest.raises(RuntimeError, match=r"expected exit status 0, received 1: .+no_such_module"):
        scale.measured(["no_such_module"], tmp_path)


@pytest.mark.parametrize(("other", "identical"), [(b"1", True), (b"2", False)])
def test_tables_of_queues_are_compared(tmp_path, monkeypatch, other, identical):
    """With that of this machine; how many calls a job makes is that of the sweep in groups."""
    monkeypatch.setattr(scale, "swept", lambda name, profile, folder: (b"1" if profile == "local" else other, 0.0))
    found = scale.queues(21, tmp_path / "tree", ["generic"])
    assert found == {"calls": 21, "jobs": 3, "profiles": ["generic"], "identical": identical}
    assert ("bit for bit" in Scale.queues(found | {"date": "", "commit": ""})) == identical
    sweeps = yaml.safe_load((tmp_path / "tree/sweeps.yml").read_text())
    assert [len(sweep["lists"]["seed"]) for sweep in sweeps.values()] == [21, 21]


def test_what_is_stored_keeps_what_was_promised():
    """A million images on both networks, at most 2 GB, and 150 jobs; the page shows how long they took."""
    assert STATUS["attacks"].keys() == set(scale.NETWORKS)
    for entry in STATUS["attacks"].values():
        sizes, _, memory = zip(*entry["sizes"], strict=True)
        assert date.fromisoformat(entry["date"])
        assert sizes == (250_000, 500_000, 1_000_000)
        assert entry["identical"]
        assert max(memory) < 2000
    jobs = STATUS["jobs"]
    assert jobs["calls"] == jobs["separate"][0] == 150
    assert jobs["grouped"][0] == 15
    assert jobs["identical"]
    queues = STATUS["queues"]
    assert (queues["calls"], queues["profiles"], queues["identical"]) == (150, ["slurm", "generic"], True)
