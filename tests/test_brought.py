"""A network that a reader brings to a chapter: what is read, what is refused, and what the page then says."""

import ast
import builtins
import json

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from bea import Dense, Flatten, Network
from lab.brought import NAME, Chapter
from lab.parameters import ROOT, declared, values
from lab.rules import smallest_epsilon as rules
from lab.subject import read
from workflow.brought import OURS, YOURS, banner, fitted
from workflow.small_book import run

TAKES = sorted(
    path.stem for path in ROOT.glob("notebooks/*.ipynb") if "lab.brought" in path.read_text(encoding="utf-8")
)
WAYS = {"low": 0.0, "high": 1.0, "divide": 255.0}


@pytest.fixture
def files(tmp_path):
    """A network of one layer and eight images in files; the second label is wrong."""
    rng = np.random.default_rng(1)
    net = Network((Flatten(), Dense(rng.standard_normal((3, 7)))), (2, 3), input_range=(0.0, 1.0))
    x = rng.random((8, 2, 3))
    labels = net.classify(x)
    labels[1] = (labels[1] + 1) % 3
    net.save(tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", 255.0 * x)
    np.save(tmp_path / "y.npy", labels)
    return [str(tmp_path / name) for name in ("net.npz", "x.npy", "y.npy")]


def opened(name, given, folder):
    """A chapter with these parameters and its own for all others."""
    more = {"dataset": "mnist", "inputs": str(folder), "output": str(folder)}
    return Chapter(name, values(name, "smoke") | more | given)


# ---- what is read ----------------------------------------------------------------


def test_files_are_what_a_chapter_is_about(files):
    """Bytes become pixels, and all images are there."""
    found = read(*files, **WAYS)
    assert found.name == "net.npz on x.npy"
    np.testing.assert_allclose(found.x, np.load(files[1]) / 255.0)
    np.testing.assert_array_equal(found.labels, np.load(files[2]))


def test_without_labels_no_image_is_wrong(files):
    """The classes are the network's own."""
    found = read(*files[:2], "", **WAYS)
    np.testing.assert_array_equal(found.labels, found.net.classify(found.x))


def test_nothing_brought_is_nothing_read():
    """Then a chapter is about the networks of the book."""
    assert read("", "", "", **WAYS) is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({0: ""}, ValueError, "model, images, labels: expected a model and images, or none of the three"),
        ({1: ""}, ValueError, "expected a model and images"),
        ({0: "", 1: ""}, ValueError, "expected a model and images"),
        ({0: "none.npz"}, FileNotFoundError, "model: expected a file, absolute or from the root, found no 'none.npz'"),
        ({1: "none.npy"}, FileNotFoundError, "images: expected a file"),
        ({2: "2"}, FileNotFoundError, "labels: expected a file"),
        ({1: np.zeros((8, 2, 2))}, ValueError, r"expected a batch of shape \(n, 2, 3\), received \(8, 2, 2\)"),
        ({2: np.zeros(7, int)}, ValueError, r"labels: expected shape \(8,\), one class an image, received \(7,\)"),
        ({2: np.zeros(99, int)}, ValueError, r"one class an image, received \(99,\)"),
        ({2: np.full(8, 3)}, ValueError, "labels: expected classes from 0 to 2"),
    ],
)
def test_files_that_do_not_fit_are_refused(files, tmp_path, change, error, message):
    """In one line, before any work."""
    given = list(files)
    for number, content in change.items():
        given[number] = content
        if isinstance(content, np.ndarray):
            given[number] = str(tmp_path / f"{number}.npy")
            np.save(given[number], content)
    with pytest.raises(error, match=message):
        read(*given, **WAYS)


def test_images_of_which_none_is_right_are_refused(files):
    """It is said how many there were."""
    np.save(files[2], (read(*files[:2], "", **WAYS).labels + 1) % 3)
    with pytest.raises(ValueError, match="found none of 8"):
        read(*files, **WAYS)


# ---- the chapters that take one --------------------------------------------------


def test_these_chapters_take_a_network():
    """On ε_min, the converged attack, all attacks, bounds, and the one that is about nothing else."""
    assert [name[:2] for name in TAKES] == ["22", "27", "32", "43", "51"]


@pytest.mark.parametrize("name", TAKES)
def test_their_parameters_are_the_same(name):
    """With the same meaning, and empty in every edition; how many images at most is each chapter's own."""
    own, other = declared(name), declared("51_own_network")
    for key in ("model", "images", "labels", "low", "high", "divide"):
        assert own[key] == other[key]
    assert own["model"]["full"] == own["model"]["smoke"] == ""
    assert own["most"]["least"] >= 1


@pytest.mark.parametrize("name", TAKES)
def test_no_cell_asks_for_what_is_left_out(name):
    """What a cell says of a number is said of a cell that is there too: for ours, and for a network that is brought."""
    for model in ("", "some.npz"):
        path = ROOT / "notebooks" / f"{name}.ipynb"
        cells = fitted(nbformat.read(path, as_version=4), model)[0].cells
        there = {cell.id for cell in cells if cell.cell_type == "code"}
        said = [part for cell in cells if cell.cell_type == "markdown" for part in cell.source.split(f"`{name}#")[1:]]
        assert {part.partition(".")[0] for part in said} <= there


@pytest.mark.parametrize("name", TAKES)
def test_no_cell_uses_a_name_of_one_that_is_left_out(name):
    """Both ways, every name is assigned or imported in a cell that is there."""
    for model in ("", "some.npz"):
        cells = fitted(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4), model)[0].cells
        nodes = [node for cell in cells if cell.cell_type == "code" for node in ast.walk(ast.parse(cell.source))]
        names = [node for node in nodes if isinstance(node, ast.Name)]
        known = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(dir(builtins))
        known |= {alias.asname or alias.name for node in nodes if hasattr(node, "names") for alias in node.names}
        known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        assert {node.id for node in names} <= known


def test_a_chapter_has_what_was_brought_in_place_of_its_own(files, tmp_path):
    """Whichever families it names, and its dataset says whose images they are."""
    given = dict(zip(("model", "images", "labels"), files, strict=True)) | WAYS
    chapter = opened("22_smallest_epsilon", given, tmp_path)
    assert list(chapter.networks("scratch", "lenet", first=1)) == [NAME]
    assert chapter.data.x_test.shape == (8, 2, 3)
    assert chapter.dataset == chapter.data.name == chapter.content["dataset"] == "net.npz on x.npy"
    assert chapter.keras_file(NAME) is None


def test_no_claim_is_judged_by_it(files, tmp_path):
    """Also none that is about no dataset; the rule is not even asked."""
    given = dict(zip(("model", "images"), files, strict=False)) | WAYS
    chapter = opened("22_smallest_epsilon", given, tmp_path)
    for claim in ("D10", "R10"):
        chapter.judge("some", claim, rules.methods_agree, {}, [])
    judged = json.loads((tmp_path / "22_smallest_epsilon.json").read_text())["claims"]
    assert {entry["verdict"] for entry in judged.values()} == {"cannot be decided"}
    assert "here everything was computed from net.npz on x.npy" in judged["D10"]["because"]
    assert "about other networks" in judged["R10"]["because"]


def test_without_a_model_a_chapter_judges(tmp_path):
    """By its rule."""
    chapter = opened("22_smallest_epsilon", {}, tmp_path)
    checks = {"apart": 1, "never": 0, "in_time": True, "unproved": 0, "pairs": 2}
    assert chapter.judge("some", "D10", rules.methods_agree, checks, [0.1, 0.2]).verdict == "contradicted"


# ---- the page --------------------------------------------------------------------


def test_cells_are_left_out_for_the_one_or_for_the_other():
    """And headings in them are named, without the claims behind them."""
    notebook = new_notebook(cells=[
        new_markdown_cell("# Title"),
        new_markdown_cell("## Ours, seen (D9, D12)\n\ntext", metadata={"tags": [OURS]}),
        new_code_cell("1", metadata={"tags": ["setup", YOURS]}),
    ])  # fmt: skip
    cells, left_out = fitted(nbformat.from_dict(notebook), "m.npz")
    assert [cell.source for cell in cells.cells] == ["# Title", "1"]
    assert left_out == ["Ours, seen"]
    cells, left_out = fitted(new_notebook(cells=notebook.cells[:2]), "")
    assert len(cells.cells) == 2
    assert not left_out


def test_the_banner_says_what_the_page_is_about():
    """Files by their names; how many images, where not all are taken; and whose the classes are."""
    parameters = {"model": "a/m.onnx", "images": "b/rows.csv", "labels": "", "most": 12}
    numbers = {"images": 30, "shape": "13", "classes": 3, "weights": 1207}
    text = banner(parameters, numbers, ["One", "Two"]).source
    assert "**m.onnx**, 1,207 weights and 3 classes, on **rows.csv**, at most 12 of 30 images of shape 13" in text
    assert "no labels were given" in text
    assert "*One*; *Two*" in text
    text = banner(parameters | {"labels": "y.npy", "most": 30}, numbers, []).source
    assert "on **rows.csv**, 30 images of shape 13; their classes are those of **y.npy**" in text
    assert "Left out" not in text


def test_a_chapter_runs_on_what_was_brought(files, tmp_path):
    """Alone, without what other chapters make; its first lines say what it is about, and its claims are undecided."""
    made = tmp_path / "made"
    given = dict(zip(("model", "images"), files, strict=False)) | {"divide": "255"}
    changes = [part for key, value in given.items() for part in ("-p", key, value)]
    options = ("--edition", "smoke", "--to", str(made))
    result = run(ROOT, "workflow.execute", "22_smallest_epsilon", *options, *changes)
    assert result.returncode == 0, result.stderr
    cells = nbformat.read(made / "22_smallest_epsilon.ipynb", as_version=4).cells
    assert "**net.npz**, 21 weights and 3 classes, on **x.npy**, 8 images of shape 2×3; no labels" in cells[1].source
    assert not [cell.id for cell in cells if OURS in cell.metadata.get("tags", [])]
    written = json.loads((made / "22_smallest_epsilon.json").read_text())
    assert written["cells"]["found"]["wrong"] == 0
    assert {entry["verdict"] for entry in written["claims"].values()} == {"cannot be decided"}
    assert written["provenance"]["dataset"] == "x.npy"
