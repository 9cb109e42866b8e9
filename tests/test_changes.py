"""What of the real book runs again after a change. Nothing is computed: the book is imagined to have been made."""

import json
import re
import shutil

import pytest

from lab.parameters import ROOT
from tiny import dry_run, edit, imagined_tree, would_run
from workflow.dependencies import all_needs
from workflow.durations import expected

NEEDS = all_needs(ROOT)
TRAININGS = {"11_train_one_layer", "14_train_deeper", "20_train_by_hand", "40_train_lenet"}
READ = {other for needs in NEEDS.values() for other in needs.chapters}
SECONDS = expected("full", NEEDS)
LONGEST = max(NEEDS.keys() - READ, key=lambda name: (SECONDS[name], name))
DOC, CHANGED = '"""\n', '"""\n# changed\n'  # the end of a module's docstring


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return imagined_tree(tmp_path_factory.mktemp("imagined") / "tree")


@pytest.fixture
def tree(made, tmp_path):
    """A copy of the imagined book, in which files may be changed."""
    return shutil.copytree(made, tmp_path / "tree")


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("params.yml", "full: 20, smoke: 8", "full: 20, smoke: 9", {"10_linear_systems", "book"}),
        ("bea/backward/linear_systems.py", DOC, CHANGED, {"10_linear_systems", "19_componentwise", "book"}),
        ("lab/results.py", DOC, CHANGED, {*NEEDS, "book"}),
    ],
)
def test_a_change_runs_what_depends_on_it_and_nothing_else(tree, file, old, new, expected):
    """Parameters and modules."""
    edit(tree / file, old, new)
    assert would_run(tree) == expected


def test_prose_scripts_and_parameters_of_another_edition_concern_the_pages_alone(tree):
    """Each of them does; a page lists the parameters of all editions."""
    edits = {
        "params.yml": ("full: 20, smoke: 8", "full: 21, smoke: 8"),
        "book/notation.md": ("# Notation", "# The notation"),
        "book/_static/explorables/plane.js": ("use strict", "use  strict"),
    }
    for file, (old, new) in edits.items():
        edit(tree / file, old, new)
    runs, said = dry_run(tree)
    assert runs == {"book"}
    (reason,) = re.findall("Updated input files: (.*)", said)
    assert set(reason.split(", ")) == edits.keys()


def test_a_changed_figure_of_the_longest_chapter_renders_this_chapter_again(tree):
    """And runs no other; its studies are remembered."""
    path = tree / "notebooks" / f"{LONGEST}.ipynb"
    content = json.loads(path.read_text())
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    drawing = [cell for cell in cells if ".figure(" in "".join(cell["source"])]
    drawing[0]["source"] = ["".join(drawing[0]["source"]), "\n# changed"]
    path.write_text(json.dumps(content))
    assert would_run(tree) == {LONGEST, "book"}


def test_a_change_of_the_search_trains_nothing(tree):
    """How attacks are computed is behind the chapters that attack, not behind those that train."""
    edit(tree / "bea" / "backward" / "search.py", DOC, CHANGED)
    runs = would_run(tree)
    assert not runs & TRAININGS
    assert {"15_table_2", "book"} <= runs


def test_other_networks_concern_those_that_read_them(tree):
    """Directly or not, and no others."""
    edit(tree / "params.yml", "full: 5, smoke: 2", "full: 5, smoke: 3")  # the epochs of training
    readers = {name for name, needs in NEEDS.items() if "11_train_one_layer" in needs.chapters}
    assert would_run(tree) == {"11_train_one_layer", "book"} | readers
    assert "12_one_layer" in readers
    assert not {"10_linear_systems", "25_ray_or_all_directions"} & readers
