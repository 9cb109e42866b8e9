"""A sweep makes one table of all combinations, the same wherever its jobs run, and repeats nothing."""

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import fastparquet
import numpy as np
import pandas as pd
import pytest
import slurm

from lab.parameters import ROOT
from workflow.small_book import environment, run, small_book
from workflow.sweep import run_part
from workflow.sweeps import load

SWEEPS = """\
sums:
  title: Sums with noise
  study: sums.rows
  lists: {a: [%s], b: [1, 2, 3, 4, 5], c: [0.1, 1e-3]}
  together: [c]
  a_process: 75
  needs: {cores: 1, memory: 300, minutes: 5}
  figure: {x: b, y: total, form: .2f, published: 3}
  smoke: {lists: {a: [1, 2]}, a_process: 5}
chapter:
  title: A chapter
  chapter: first
  lists: {scale: [1e+1]}
  gather: {norm: train.norm}
  needs: {cores: 1, memory: 500, minutes: 5}
  figure: {x: scale, y: norm}
""" % ", ".join(map(str, range(30)))  # noqa: UP031
STUDY = '''"""A made-up study, which leaves a trace of every call."""

import os
from pathlib import Path

import numpy as np
import pandas as pd


def rows(*, a, b, c):
    """Return one row a value of c: ``total``."""
    with open(Path(os.environ["BEA_TRACE"]) / "sums", "a") as file:
        file.write(f"{a} {b}\\n")
    return pd.DataFrame({"c": c, "total": a * b * np.array(c) + np.random.default_rng(a).normal()})
'''


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A small book with two sweeps."""
    tree = small_book(tmp_path_factory.mktemp("tiny") / "tree")
    shutil.copytree(ROOT / "profiles", tree / "profiles")
    (tree / "sweeps.yml").write_text(SWEEPS)
    (tree / "studies/sums.py").write_text(STUDY)
    return tree


@pytest.fixture(scope="module")
def made(tree):
    """The folder of the sweep of sums, made on this machine."""
    result = run(tree, "workflow.sweep", "sums")
    folder = tree / "_build/sweeps/sums-full"
    assert result.returncode == 0, result.stderr + (folder / "log").read_text()
    assert result.stdout.startswith("300 points")
    return folder


def calls(tree):
    return (tree / "trace/sums").read_text().split("\n")[:-1]


def test_the_table_has_every_combination_once(tree, made):
    """In the order of the lists, all digits of it, with the study called once for those it takes together."""
    table = pd.read_csv(made / "table.csv")
    expected = [(a, b, c) for a in range(30) for b in range(1, 6) for c in (0.1, 1e-3)]
    assert list(table[["a", "b", "c"]].itertuples(index=False, name=None)) == expected
    total = [a * b * c + np.random.default_rng(a).normal() for a, b, c in expected]
    assert (table.total == total).all()
    assert sorted(calls(tree)) == sorted(f"{a} {b}" for a in range(30) for b in range(1, 6))
    assert "<svg" in (made / "figure.svg").read_text()
    summary = json.loads((made / "summary.json").read_text())
    assert (summary["points"], summary["calls"], summary["processes"]) == (300, 150, 2)
    as_parquet = fastparquet.ParquetFile(str(made / "table.parquet")).to_pandas()
    pd.testing.assert_frame_equal(as_parquet, table, check_exact=True)
    levels = table[table.b == 2].total.quantile([0.05, 0.5, 0.95])
    assert summary["levels"][1] == pytest.approx([2, *levels])


def test_a_sweep_goes_on_where_it_was_killed(tree, made):
    """What was found is not computed again; what is missing is, and the table is the same to the last bit."""
    before, found = (made / "table.csv").read_bytes(), calls(tree)
    gone = sorted((made / "points").iterdir())[:3]
    for path in (*gone, made / "parts/0", made / "parts/1"):
        path.unlink()
    (made / "points" / f"partial-1-{gone[0].name}").write_text('{"rows": [')  # of a process that was killed
    for number in ("0", "1"):
        assert run(tree, "workflow.sweep", "sums", "--part", number).returncode == 0
    assert run(tree, "workflow.sweep", "sums", "--gather").returncode == 0
    assert len(calls(tree)) == len(found) + 3
    assert (made / "table.csv").read_bytes() == before


def test_any_shell_can_run_the_processes(tree, made):
    """By the commands that are printed."""
    printed = run(tree, "workflow.sweep", "sums", "--edition", "smoke", "--commands").stdout
    assert printed.count("\n") == 2
    done = subprocess.run(["sh", "-e"], input=printed, text=True, cwd=tree, env=environment(tree), check=False)
    assert done.returncode == 0
    assert run(tree, "workflow.sweep", "sums", "--edition", "smoke", "--gather").returncode == 0
    table, whole = (pd.read_csv(tree / f"_build/sweeps/sums-{name}/table.csv") for name in ("smoke", "full"))
    pd.testing.assert_frame_equal(table, whole[whole.a.isin([1, 2])].reset_index(drop=True))


@pytest.mark.parametrize("number", [-1, 3])
def test_a_process_that_is_none_is_refused(tmp_path, number):
    """Also one that a list of Python would count from its end."""
    with pytest.raises(ValueError, match=f"part: expected 0 to 2, received {number}"):
        run_part(load("table_1_norm"), number, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_chapter_is_swept_like_a_study(tree):
    """The table has the number that a cell of it saves."""
    result = run(tree, "workflow.sweep", "chapter", "--part", "0")
    assert result.returncode == 0, result.stderr
    assert run(tree, "workflow.sweep", "chapter", "--gather").returncode == 0
    table = pd.read_csv(tree / "_build/sweeps/chapter-full/table.csv")
    assert table.scale.tolist() == [10]
    assert table.norm[0] == pytest.approx(np.linalg.norm(np.arange(7850) / 1e3), rel=1e-12)


def through(profile: str, tree, made, **variables):
    """Make the smoke sweep through a profile, and compare it with what this machine makes by itself."""
    folder = tree / "_build/sweeps/sums-smoke"
    shutil.rmtree(folder, ignore_errors=True)
    path = ":".join([str(tree), *(entry for entry in sys.path if entry.endswith("plugins"))])
    result = run(
        tree, "workflow.sweep", "sums", "--edition", "smoke", "--profile", profile, PYTHONPATH=path, **variables
    )
    assert result.returncode == 0, result.stderr + (folder / "log").read_text()
    lines = (made / "table.csv").read_text().splitlines(keepends=True)
    assert (folder / "table.csv").read_text() == "".join([lines[0], *lines[11:31]])


def test_slurm_makes_the_same_table(tree, made, tmp_path):
    """Two virtual nodes; jobs declare cores, memory and time."""
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("no plugin of Snakemake for SLURM: the extra `cluster` has it")
    if why := slurm.why_not():
        pytest.skip(why)
    profile = tree / "profiles/slurm/config.yaml"
    profile.write_text(profile.read_text().replace("# slurm-", "slurm-"))  # no accounting here
    with slurm.cluster(tmp_path / "slurm") as variables:
        through("slurm", tree, made, **variables)


def test_a_queue_makes_the_same_table(tree, made):
    """That of this machine, which takes the place of any that runs a script."""
    if not importlib.util.find_spec("snakemake_executor_plugin_cluster_generic"):
        pytest.skip("no generic plugin of Snakemake for clusters: the extra `cluster` has it")
    through("generic", tree, made, PATH=f"{sys.prefix}/bin:/usr/bin:/bin")


def test_the_sweep_of_the_book_is_stored_whole():
    """What the page shows is what sweeps.yml asks for, 150 points."""
    sweep, folder = load("table_1_norm"), ROOT / "book/sweeps/table_1_norm"
    table = pd.read_csv(folder / "table.csv")
    as_parquet = fastparquet.ParquetFile(str(folder / "table.parquet")).to_pandas()
    pd.testing.assert_frame_equal(as_parquet, table, check_exact=True)
    expected = [(seed, epochs) for seed in sweep.lists["seed"] for epochs in sweep.lists["epochs"]]
    assert list(table[["seed", "epochs"]].itertuples(index=False, name=None)) == expected
    assert sweep.points() == 150
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["edition"], summary["lists"], summary["fixed"]) == ("full", sweep.lists, sweep.fixed)
    assert (table.success == 1).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("study: sums.rows", "study: ../x", r"study: expected MODULE.FUNCTION of studies, received '../x'"),
        ("b: [1, 2, 3, 4, 5]", "b: [1, 1]", "lists, b: expected different values"),
        ("together: [c]", "together: [d]", "expected together out of the lists of a study"),
        ("a_process: 75", "a_process: 0", "a_process: expected a number from 1 on, received 0"),
        ("memory: 300, ", "", "needs: expected cores, memory, minutes from 1 on"),
        ("figure: {x: b, y", "figure: {x: b, z", "figure: expected x, y and words out of"),
        ("title: Sums with noise", "titel: Sums", "sums: expected title, lists, needs, figure and words"),
        ("study: sums.rows", "study: sums.rows\n  chapter: first", "expected either a study or a chapter"),
        ("together: [c]", "dataset: letters", "dataset: expected one of mnist"),
        ("sums:", "Sums:", "NAME: expected a sweep, one of Sums, chapter, received 'sums'"),
    ],
)
def test_a_wrong_word_about_a_sweep_is_refused(tree, tmp_path, old, new, message):
    """Before anything runs, naming the sweep and the word."""
    assert SWEEPS.count(old) == 1
    (tmp_path / "sweeps.yml").write_text(SWEEPS.replace(old, new))
    with pytest.raises(ValueError, match=message):
        load("sums", root=tmp_path)


@pytest.mark.parametrize(
    ("address", "there"),
    [("train.nrom", "train has norm, both"), ("trian.norm", "first has train"), ("train.both.2", "train.both has 0, 1"),
     ("train.both.x", "train.both has 0, 1"), ("train.norm.x", "train.norm has nothing more")],
)  # fmt: skip
def test_a_wrong_address_of_a_number_is_one_error(tree, address, there):
    """It names the column and what there is instead; a right one finds its number."""
    cells, sweep = {"train": {"norm": 3.0, "both": [1, 2]}}, load("chapter", root=tree)
    assert sweep.gathered(cells) == {"norm": 3.0}
    with pytest.raises(
        ValueError, match=f"chapter, gather, norm: expected CELL.KEY of first, received '{address}'; {there}$"
    ):
        replace(sweep, gather={"norm": address}).gathered(cells)
