"""What runs again after a change, and what happens when something goes wrong. Works in copies of the smoke book."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from workflow.execute import check_parameters, execute

NOTEBOOKS = {path.stem for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb")}
TOC_PAGES = ("book/index", "book/scorecard", "results/primer", "results/one_layer")


@pytest.fixture
def copy(smoke, tmp_path):
    """A copy of the smoke book, in which files may be changed."""
    target = tmp_path / "tree"
    shutil.copytree(smoke, target)
    return target


def run(folder, *command, **environment):
    variables = os.environ | {"PYTHONPATH": str(folder)} | environment
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def build(folder, **environment):
    return run(folder, "workflow.build", "--set", "smoke", "--cores", "2", **environment)


def would_run(folder):
    """The rules that the next build would run."""
    result = run(folder, "snakemake", "--cores", "1", "--config", "set=smoke", "--dry-run")
    assert result.returncode == 0, result.stdout + result.stderr
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", result.stdout + result.stderr, re.MULTILINE | re.DOTALL)
    return {line.split()[0] for line in table[1].splitlines()} - {"all"} if table else set()


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def fingerprints(folder):
    files = [*folder.glob("results/*.*"), *folder.glob("results/*/*.*"), *folder.glob("_build/html/**/*.html")]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}


def test_nothing_changed_means_nothing_runs(copy):
    """And the page to open is printed all the same."""
    assert would_run(copy) == set()
    result = build(copy)
    assert result.returncode == 0
    assert "nothing had changed" in result.stdout
    assert str(copy / "_build/html/index.html") in result.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            "params.yml",
            "training: {epochs: 2",
            "training: {epochs: 3",
            {
                "training",
                "one_layer",
                "backward_error",
                "tables",
                "pictures",
                "epsilon",
                "derivatives",
                "logistic",
                "attacks",
            }
            | {"transfer", "lower_bounds", "sandwich", "ball", "book"},
        ),
        ("params.yml", "size: 8", "size: 9", {"primer", "book"}),
        ("params.yml", "images: 500", "images: 400", {"one_layer", "book"}),
        ("params.yml", "epochs: 5", "epochs: 6", set()),  # of the other parameter set
        ("bea/backward/linear_systems.py", "import numpy", "\nimport numpy", {"primer", "book"}),
        ("lab/results.py", "import numpy", "\nimport numpy", {*NOTEBOOKS, "book"}),
        ("notebooks/one_layer.ipynb", "Can an optimiser", "Can some optimiser", {"one_layer", "book"}),
        ("book/notation.md", "# Notation", "# The notation", {"book"}),
        ("book/_static/explorables/plane.js", "use strict", "use  strict", {"book"}),
    ],
)
def test_a_change_runs_what_depends_on_it_and_nothing_else(copy, file, old, new, expected):
    """Parameters, modules, notebooks and prose."""
    edit(copy / file, old, new)
    assert would_run(copy) == expected


def test_a_lost_file_is_made_again(copy):
    """A result that somebody deleted makes its notebook run, though nothing else changed."""
    (copy / "results" / "figures" / "primer-stability-figure.svg").unlink()
    assert "primer" in would_run(copy)


def test_damaged_results_and_lost_pages_are_made_again(copy):
    """Whatever was in the file; and an existing book is not taken for granted."""
    (copy / "results" / "primer.json").write_text("{}")
    page = copy / "_build" / "html" / "book" / "notation.html"
    page.unlink()
    result = build(copy)
    assert result.returncode == 0, result.stdout
    assert "stability-table" in json.loads((copy / "results" / "primer.json").read_text())["cells"]
    assert page.is_file()


def test_a_failing_notebook_stops_the_build_and_leaves_the_last_pages(copy):
    """The message has the notebook, the cell and the error; it fails again until it is mended; old files stay."""
    before = fingerprints(copy)
    edit(copy / "notebooks" / "primer.ipynb", "x_hat = np.array([1.4, 0.6])", "raise RuntimeError('out of luck')")
    for _ in range(2):
        result = build(copy)
        assert result.returncode != 0
        assert "notebook primer, cell 'example': RuntimeError: out of luck" in result.stdout
    assert fingerprints(copy) == before


def test_a_rendering_error_stops_the_build(copy):
    """A number that no cell computed is a warning, and a warning is an error."""
    with open(copy / "book" / "notation.md", "a") as file:
        file.write("\nA number from nowhere: {result}`primer#example.nothing`.\n")
    result = build(copy)
    assert result.returncode != 0
    assert "nothing for 'primer#example.nothing'" in result.stdout


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"epoch": 3}, ValueError, "training: unknown parameter 'epoch', expected one of .*epochs"),
        ({"epochs": "3"}, TypeError, "parameter 'epochs' must be of type int, received '3' of type str"),
        ({"epochs": True}, TypeError, "parameter 'epochs' must be of type int, received True of type bool"),
        ({"epochs": 1.5}, TypeError, "parameter 'epochs' must be of type int"),
        ({"seeds": 3}, TypeError, r"parameter 'seeds' must be of type list\[int\], received 3"),
        ({"epochs": 0}, ValueError, "parameter 'epochs' must be at least 1, received 0"),
        ({"seeds": []}, ValueError, "parameter 'seeds' must be a list of different values"),
        ({"seeds": [0, 0]}, ValueError, "parameter 'seeds' must be a list of different values"),
        ({"seeds": [0, -1]}, ValueError, "parameter 'seeds' must be at least 0"),
        ({"dataset": "cifar10"}, ValueError, "parameter 'dataset' must be one out of mnist, digits"),
        ({"seeds": [1, "2"]}, TypeError, r"parameter 'seeds' must be of type list\[int\]"),
    ],
)
def test_wrong_parameters_are_refused(monkeypatch, parameters, error, message):
    """papermill takes anything; we do not."""
    monkeypatch.chdir(Path(__file__).parents[1])
    with pytest.raises(error, match=message):
        check_parameters("training", parameters)


def test_wrong_parameters_stop_before_any_work(copy):
    """On the command line: one message, no traceback, and nothing was written."""
    before = fingerprints(copy)
    result = run(copy, "workflow.execute", "training", "--set", "smoke", "-p", "epoch", "3")
    assert result.returncode != 0
    assert "unknown parameter 'epoch'" in result.stderr
    assert "Traceback" not in result.stderr
    assert fingerprints(copy) == before


def test_one_notebook_runs_alone_with_other_parameters(copy, tmp_path):
    """The numbers move, they land in the folder asked for, and the book's own results stay."""
    before = fingerprints(copy)
    target = tmp_path / "mine"
    result = run(copy, "workflow.execute", "primer", "--set", "smoke", "-p", "size", "5", "--to", str(target))
    assert result.returncode == 0, result.stderr
    mine, theirs = (json.loads((folder / "primer.json").read_text()) for folder in (target, copy / "results"))
    assert mine["provenance"]["parameters"]["size"] == 5
    assert mine["cells"]["stability-table"] != theirs["cells"]["stability-table"]
    assert mine["cells"]["example"] == theirs["cells"]["example"]
    assert fingerprints(copy) == before


def test_papermill_alone_runs_a_notebook(copy, tmp_path):
    """Without our workflow, as the book says it can be done."""
    command = ["papermill", "primer.ipynb", str(tmp_path / "out.ipynb"), "-p", "systems", "5", "-p", "size", "4"]
    command += ["-p", "output", str(tmp_path / "out"), "-k", "python3"]
    for _ in range(3):  # papermill by itself speaks to the kernel through ports, which something else may have taken
        result = run(copy / "notebooks", *command, PYTHONPATH=str(copy))
        if "Address already in use" not in result.stderr:
            break
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "primer.json").is_file()


HOW = """import json
from ipykernel.connect import get_connection_file

with open(get_connection_file()) as file:
    assert json.load(file)["transport"] == "ipc", "this kernel is spoken to through ports, which others may take\""""


def test_kernels_need_no_ports(tmp_path, monkeypatch):
    """Neither those that make the book nor nbval's: two that start at once can pick the same port, and one dies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")  # which execute() sets
    cells = [nbformat.v4.new_code_cell(source) for source in ("output = ''", HOW)]
    cells[0].metadata["tags"] = ["parameters"]
    specification = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": specification})
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "how.ipynb")
    execute("how", {}, {})
    options = ["-p", "workflow.kernels", "-p", "no:cacheprovider", "--nbval-lax", "--rootdir", str(tmp_path)]
    result = run(Path(__file__).parents[1], "pytest", *options, str(tmp_path / "results" / "how.ipynb"))
    assert result.returncode == 0, result.stdout + result.stderr


def test_without_dataset_and_network_the_book_is_made_from_digits(copy, tmp_path):
    """In one go; every page says so and why, and no claim about MNIST is judged."""
    shutil.rmtree(copy / "results")
    variables = {"KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "BEA_DATA": ""}
    result = build(copy, **variables)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "going on with the embedded digits" in result.stdout
    for page in TOC_PAGES:
        html = (copy / f"_build/html/{page}.html").read_text()
        assert re.search(r"computed from the UCI digits .* because mnist could not be had", html), page
    claims = json.loads((copy / "results/one_layer.json").read_text())["claims"]
    assert claims["B12"]["verdict"] == "cannot be decided"
    assert claims["B1"]["verdict"] == "reproduced"


def test_a_wrong_dataset_file_stops_the_build(copy, tmp_path):
    """A file that is there but broken is an error, not a reason to take other data."""
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 and no more")
    result = build(copy, BEA_DATA=str(tmp_path))
    assert result.returncode != 0
    assert re.search(r"mnist\.npz: expected a complete \.npz file", result.stdout)
