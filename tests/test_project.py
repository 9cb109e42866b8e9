"""The tree keeps its promises: pins, claims, notebooks, README."""

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from lab.claims import OPEN, VERDICTS, load_claims, shown
from workflow.execute import check_parameters
from workflow.plan import SETS, load_parameters, modules_of
from workflow.readme import BLOCK, README

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path.stem for path in ROOT.glob("notebooks/*.ipynb"))
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def cells(notebook):
    return json.loads(Path(f"notebooks/{notebook}.ipynb").read_text())["cells"]


def calls(notebook, *methods):
    """(cell id, method, arguments) of every call of a method of ``results``."""
    for cell in cells(notebook):
        if cell["cell_type"] == "code":
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                match node:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id="results"), attr=name)) if name in methods:
                        yield cell["id"], name, node.args


def locked():
    """Name → version of every package in the lock that Python 3.11 on Linux installs."""
    environment = {"python_version": "3.11", "python_full_version": "3.11.9", "sys_platform": "linux"}
    pins = {}
    for line in re.findall(r"^[a-z0-9].*==[^\\\n]*", LOCK, re.MULTILINE):
        requirement = Requirement(line.strip())
        if requirement.marker is None or requirement.marker.evaluate(environment):
            pins[requirement.name] = str(requirement.specifier).removeprefix("==")
    return pins


def test_environment_pins_agree_with_the_lock():
    """What conda users get is what everybody gets."""
    dependencies = yaml.safe_load(Path("environment.yml").read_text())["dependencies"]
    pins = dict(line.split("==") for line in dependencies[-1]["pip"])
    assert pins == {name: locked()[name] for name in pins}
    assert len(pins) >= 10


def test_the_lock_covers_what_pyproject_asks_for():
    """Every direct dependency is pinned, and its pin satisfies it."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    pins = locked()
    for text in project["dependencies"] + project["optional-dependencies"]["dev"]:
        requirement = Requirement(text)
        assert pins[requirement.name] in requirement.specifier, text


def test_every_pin_has_a_hash_and_names_no_host():
    """The lock can be checked, and installs from whichever registry is configured."""
    blocks = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) > 100
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"https?://|--index|--find-links", LOCK)


def test_no_file_names_a_registry_or_a_path_of_a_machine():
    """Committed text runs anywhere."""
    # Written in pieces, so that this file does not name them either.
    hosts = "|".join(["pypi" + r"\.org", "python" + r"hosted\.org", "registry" + r"\.npmjs", "debian" + r"\.org"])
    pattern = f"({hosts}|(^|[^A-Za-z0-9_.])/(wo" + "rk|root|ho" + "me)/)"
    found = subprocess.run(["git", "grep", "-nIE", pattern], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_there_are_72_claims_in_order():
    """All of B, D, R and P, each with everything the scorecard shows."""
    claims = load_claims("book/claims.yml")
    expected = [f"{paper}{i}" for paper, n in (("B", 22), ("D", 23), ("R", 11), ("P", 16)) for i in range(1, n + 1)]
    assert list(claims) == expected
    for claim in claims.values():
        assert claim.keys() == {"id", "paper", "place", "statement", "published", "shown", "judged", "data", "chapter"}
        assert claim["data"] in (None, "mnist", "cifar10")
        assert shown(claim)
        assert "|" not in claim["statement"] + claim["judged"] + shown(claim)


def test_table_1_is_complete():
    """Four digits, nine targets each, as published."""
    norms = load_claims("book/claims.yml")["B12"]["published"]["norms"]
    assert {digit: sorted(row) for digit, row in norms.items()} == {
        digit: [t for t in range(10) if t != digit] for digit in (7, 8, 5, 4)
    }
    assert norms[5][1] == 0.0563
    assert norms[8][7] == 0.0214


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebooks_are_stripped(notebook):
    """No count, no trace of an execution, and no output but those that are kept to be compared."""
    content = json.loads(Path(f"notebooks/{notebook}.ipynb").read_text())
    assert set(content["metadata"]) <= {"kernelspec", "language_info"}
    for cell in content["cells"]:
        assert bool(cell.get("outputs")) == ("keep_output" in cell["metadata"].get("tags", []))
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_results_are_tied_to_the_cell_that_saves_them(notebook):
    """The first argument of save, figure and judge is the id of the cell, so a link leads to the right place."""
    found = list(calls(notebook, "save", "figure", "record", "judge"))
    assert found
    for cell, method, arguments in found:
        assert arguments[0].value == cell, f"results.{method} in cell {cell}"


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_chapters_have_their_parts(notebook):
    """Question, goals, limits, and exercises with folded solutions."""
    text = "\n".join("".join(cell["source"]) for cell in cells(notebook))
    assert "**Question.**" in text
    assert "**After this chapter you can**" in text
    assert "## What is wrong with this result" in text
    assert text.count("{admonition} Exercise") == text.count("{dropdown} Solution") >= 2


@pytest.mark.parametrize("notebook", NOTEBOOKS)
@pytest.mark.parametrize("set_name", SETS)
def test_both_parameter_sets_fit_their_notebooks(notebook, set_name):
    """Names and types of params.yml are those of the parameters cell."""
    values = load_parameters(set_name)[notebook]
    assert values
    check_parameters(notebook, values)


def test_a_notebook_depends_on_the_modules_it_imports():
    """Directly, through another module, and inside functions; and on no others."""
    assert "bea/backward/linear_systems.py" in modules_of("primer")
    assert "lab/figures.py" in modules_of("primer")
    assert "bea/numerics/quadratic.py" in modules_of("one_layer")
    assert "bea/backward/linear_systems.py" not in modules_of("one_layer")
    assert "lab/datasets.py" not in modules_of("primer")


def test_readme_counts_are_those_of_the_notebooks():
    """The block that `make readme` writes has 72 claims, and as many judged ones as the notebooks judge."""
    block = BLOCK.search(README.read_text())[2]
    rows = {row[0]: [int(n) for n in row[1:]] for row in re.findall(r"\| ([a-z ]+?) *" + r"\| *(\d+) *" * 5, block)}
    judged = {arguments[1].value for notebook in NOTEBOOKS for _, _, arguments in calls(notebook, "record", "judge")}
    assert set(rows) == {*VERDICTS, "claims"}
    assert rows["claims"] == [22, 23, 11, 16, 72]
    assert [sum(row[i] for name, row in rows.items() if name != "claims") for i in range(5)] == rows["claims"]
    assert 72 - rows[OPEN][-1] == len(judged)


def test_readme_shows_the_two_commands_that_the_makefile_has():
    """And CI calls the test command as it stands there."""
    makefile, readme = Path("Makefile").read_text(), README.read_text()
    for target in ("book", "test"):
        assert f"\nmake {target}\n" in readme
        assert f"\n{target}: .venv/ready\n" in makefile
    assert "\nmake test\n" in Path(".ci/run").read_text()
