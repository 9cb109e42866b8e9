"""`lab.memory`: the same again comes from disk, anything else is computed, and a stale hit is impossible."""

import shutil
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pandas as pd
import pytest

from bea import Dense, Network, attack
from lab import memory, sources
from lab.sources import files_reached

CALLS = []


def study(*arguments, **options):
    """Count the calls; return everything that can be remembered."""
    CALLS.append(arguments)
    frame = pd.DataFrame({"name": ["a", "b"], "value": [0.1, np.nan], "number": [1, 2], "good": [True, False]})
    return {"frame": frame, 3: [np.arange(3), (1.5, None, "x")], "inf": float("inf"), "one": np.float32(0.1)}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BEA_REMEMBERED", str(tmp_path / "remembered"))
    CALLS.clear()


def network(scale=1.0):
    return Network((Dense(scale * np.arange(6.0).reshape(2, 3), bias=True),), (2,))


def test_what_comes_from_disk_is_what_was_computed():
    """To the bit and in kind; the study runs once."""
    first, second = memory.remember(study, 1), memory.remember(study, 1)
    assert len(CALLS) == 1
    pd.testing.assert_frame_equal(first["frame"], second["frame"])
    assert list(first) == list(second)
    np.testing.assert_array_equal(first[3][0], second[3][0])
    assert second[3][1] == (1.5, None, "x")
    assert second["inf"] == float("inf")
    assert second["one"] == np.float32(0.1)
    assert type(second["one"]) is np.float32


def test_dataclasses_of_ours_come_back():
    """An attack with its perturbation, without any pickle."""
    arguments = network(), np.array([[0.2, 0.4]]), np.array([0])
    arguments = (*arguments[:2], 1 - network().classify(arguments[1]))
    first, second = memory.remember(attack, *arguments), memory.remember(attack, *arguments)
    np.testing.assert_array_equal(first.objective, second.objective)
    np.testing.assert_array_equal(first.perturbation.dA[0][0], second.perturbation.dA[0][0])
    assert not list(memory.folder().rglob("*.pkl"))


@pytest.mark.parametrize(
    "other",
    [
        (1.0,), (True,), ("1",), (2,), (1, 1), ([1],), ((1,),), (np.array(1),), (np.array([1]),),
        (np.array([1], np.int32),), (None,), ({1: 1},), (network(),), (network(2.0),), (-1,),
    ],
)  # fmt: skip
def test_other_arguments_are_other_studies(other):
    """Kinds and shapes count, not only values."""
    memory.remember(study, 1)
    memory.remember(study, *other)
    assert len(CALLS) == 2
    assert memory.key_of(study, other, {}) != memory.key_of(study, (1,), {})


def test_keywords_count_and_arrays_are_looked_into():
    """One entry of a large array is enough."""
    x = np.zeros(1000)
    keys = {memory.key_of(study, (x,), {}), memory.key_of(study, (), {"x": x})}
    x[500] = 1e-300
    assert len(keys | {memory.key_of(study, (x,), {})}) == 3


def test_what_a_network_has_cached_does_not_count():
    """Only what it is made of."""
    net = network()
    before = memory.key_of(study, (net,), {})
    _ = net.weight_norms
    assert memory.key_of(study, (net,), {}) == before


def test_a_file_counts_by_its_contents(tmp_path):
    """Not by its name or date."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a")
    other.write_bytes(b"a")
    same = memory.key_of(study, (one,), {})
    assert memory.key_of(study, (other,), {}) == same
    one.write_bytes(b"b")
    assert memory.key_of(study, (one,), {}) != same


def test_a_keras_model_counts_without_its_date(tmp_path):
    """A training that runs again leaves the same weights, and what was made of them is known again."""
    keys = []
    for date, weights in (("today", b"a"), ("tomorrow", b"a"), ("today", b"b")):
        with zipfile.ZipFile(tmp_path / "net.keras", "w") as model:
            model.writestr("metadata.json", date)
            model.writestr("model.weights.h5", weights)
        keys.append(memory.key_of(study, (tmp_path / "net.keras",), {}))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("result", [object(), pd.DataFrame({"x": [[1]]})])
def test_what_cannot_be_kept_is_refused(result):
    """As an argument and as a result, of which nothing is left behind."""
    with pytest.raises(TypeError, match="remember: expected numbers"):
        memory.remember(study, result)
    assert not CALLS
    with pytest.raises(TypeError, match="remember: expected numbers"):
        memory.remember(lambda: result)
    assert not [path for path in memory.folder().rglob("*") if path.is_file()]


LAZY = """HOMES = {"bea.one": "first"}


def __getattr__(name):
    import bea.one

    return bea.one.first
"""


def test_a_change_two_imports_down_is_noticed(tmp_path):
    """A study imports a module that imports another, through a package that opens lazily."""
    for name, text in {
        "bea/__init__.py": LAZY,
        "lab/__init__.py": "",
        "bea/one.py": "from bea.two import VALUE\n\n\ndef first():\n    return VALUE\n",
        "bea/two.py": "VALUE = 1\n",
        "bea/other.py": "VALUE = 1\n",
        "studies/__init__.py": "",
        "studies/mine.py": "from bea import first\n\n\ndef study():\n    return first()\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        sys.path.insert(0, ".")
        from lab.sources import digest_of
        import studies.mine
        print(digest_of(studies.mine.study, Path.cwd()))
    """)
    shutil.copy(sources.__file__, tmp_path / "lab" / "sources.py")

    def digest():
        command = [sys.executable, "-B", "-c", script]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    before = digest()
    (tmp_path / "bea" / "other.py").write_text("VALUE = 2\n")
    assert digest() == before
    (tmp_path / "bea" / "two.py").write_text("VALUE = 2\n")
    assert digest() != before


def test_nothing_is_remembered_once_a_source_has_changed(monkeypatch):
    """The code that runs was read when the process started, and the file may say something else by now."""
    memory.remember(study, 1)
    monkeypatch.setattr(memory, "STARTED", 0.0)
    memory.remember(study, 1)
    memory.remember(study, 2)
    assert len(CALLS) == 3
    assert len(list(memory.folder().rglob("*.npz"))) == 1


def test_the_class_of_an_argument_counts_with_its_sources(monkeypatch):
    """A study may use methods of a value whose module it does not import."""
    before = memory.key_of(study, (network(),), {})
    monkeypatch.setattr(memory, "digest_of", lambda code: f"changed {code.__qualname__}" if code is Dense else "same")
    others = {memory.key_of(study, (network(),), {})}
    monkeypatch.setattr(memory, "digest_of", lambda code: "same")
    assert len(others | {before, memory.key_of(study, (network(),), {})}) == 3


def test_training_does_not_reach_the_search():
    """So that a change of the search trains nothing again."""
    reached = {path.name for path in files_reached("from lab.training import train\nfrom bea import Network")}
    assert "network.py" in reached
    assert "search.py" not in reached
