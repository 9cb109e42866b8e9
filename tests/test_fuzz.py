"""Every loader reads a damaged file or refuses it as it says; `make soak` tries far more of them."""

import json
import re
from datetime import date

import numpy as np
import pytest

from lab.parameters import ROOT
from workflow.fuzz import damaged, fuzz, loaders

STATUS = json.loads((ROOT / "book" / "status.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the good files are."""
    return tmp_path_factory.mktemp("good")


NAMES = (
    *("network", "network, ONNX", "dataset", "dataset, JPEG", "images, mapped", "images, npy", "images, csv"),
    *("parameters", "a parameter", "claims", "sweeps", "results", "networks of a folder", "notebook"),
    *("parameters cell", "manifest"),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_no_damage_gets_through(folder, name):
    """200 files each; the good one is read, and some damage must be seen."""
    (loader,) = [loader for loader in loaders(folder) if loader.name == name]
    (folder / loader.file).write_bytes(loader.good)
    loader.read(folder)
    found = fuzz(loader, 200, folder, seed=5, longest=float("inf"))
    assert not [word for word in found if word.startswith("failed")], found
    assert found["refused"] > 50
    assert found["read"] + found["refused"] == 200


def test_the_stored_run_found_nothing(folder):
    """All loaders, with date and number; none failed."""
    assert {loader.name for loader in loaders(folder)} == set(NAMES) == STATUS["loaders"].keys()
    assert min(entry["number"] for entry in STATUS["loaders"].values()) >= 100_000
    for entry in STATUS["loaders"].values():
        assert date.fromisoformat(entry["date"])
        assert entry["number"] > 0
        assert not [word for word in entry["found"] if word.startswith("failed")]


def test_damage_is_damage():
    """Nearly always another file, and the same for the same seed."""
    good = b"a: [1, 2]\nb: text\n" * 5
    made = [damaged(np.random.default_rng(seed), good) for seed in range(300)]
    assert sum(one != good for one in made) > 280
    assert made == [damaged(np.random.default_rng(seed), good) for seed in range(300)]
    assert re.search(rb"script|python|etc/passwd", b"".join(made))
