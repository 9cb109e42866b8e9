"""The tree keeps its promises: pins, claims, notebooks, README."""

import ast
import inspect
import json
import re
import statistics
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from lab.claims import OPEN, STANDINGS, load_claims, shown
from lab.parameters import assigned, check_tree, common, declared, read
from lab.rules import explained, rule_of
from workflow.dependencies import all_needs, opens
from workflow.readme import BLOCK, README

ROOT = Path(__file__).parents[1]
WAITING = ()  # claims that no chapter examines yet
NOTEBOOKS = sorted(path.stem for path in ROOT.glob("notebooks/*.ipynb"))
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def cells(notebook):
    return json.loads(Path(f"notebooks/{notebook}.ipynb").read_text())["cells"]


def code_of(notebook):
    """(cell id, source) of every code cell."""
    return [(cell["id"], "".join(cell["source"])) for cell in cells(notebook) if cell["cell_type"] == "code"]


def opened(notebook):
    """What the notebook calls its chapter."""
    return next(filter(None, (opens(source) for _, source in code_of(notebook))))


def calls(notebook, *methods):
    """(cell id, method, arguments) of every call of a method of the chapter."""
    owner = opened(notebook)
    for cell, source in code_of(notebook):
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if name == owner:
                    if method in methods:
                        yield cell, method, node.args


def locked():
    """Name → version of every package in the lock that Python 3.11 on Linux installs."""
    environment = {"python_version": "3.11", "python_full_version": "3.11.9", "sys_platform": "linux"}
    pins = {}
    for line in re.findall(r"^[a-z0-9].*==[^\\\n]*", LOCK, re.MULTILINE):
        requirement = Requirement(line.strip())
        if requirement.marker is None or requirement.marker.evaluate(environment):
            pins[requirement.name] = str(requirement.specifier).removeprefix("==")
    return pins


def asked_for(project, extra):
    """Return what the package and an extra ask for, the extras that it names included."""
    found = set(project["dependencies"])
    for text in project["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if requirement.name == project["name"]:
            found = found.union(*(asked_for(project, other) for other in requirement.extras))
        else:
            found.add(text)
    return found


def test_environment_pins_agree_with_the_lock():
    """What conda users get is what everybody gets, and all that is asked for."""
    dependencies = yaml.safe_load(Path("environment.yml").read_text())["dependencies"]
    pins = dict(line.split("==") for line in dependencies[-1]["pip"])
    assert pins.items() <= locked().items()
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert {Requirement(text).name for text in asked_for(project, "book")} <= pins.keys()


def test_the_lock_covers_what_pyproject_asks_for():
    """Every direct dependency is pinned, and its pin satisfies it."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    pins = locked()
    for text in asked_for(project, "dev"):
        requirement = Requirement(text)
        assert pins[requirement.name] in requirement.specifier, text
    assert "torch" not in pins


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


PAPERS = (("B", 22), ("D", 23), ("R", 11), ("P", 16), ("N", 5))


def test_there_are_77_claims_in_order():
    """All of B, D, R, P and N, each with everything the scorecard shows."""
    claims = load_claims("book/claims.yml")
    expected = [f"{paper}{i}" for paper, n in PAPERS for i in range(1, n + 1)]
    assert list(claims) == expected
    for claim in claims.values():
        judged = "judged" if claim["id"] in WAITING else "rule"
        entry = {"id", "paper", "place", "statement", "published", "shown", judged, "data", "chapter"}
        assert claim.keys() - {"by_definition"} == entry
        assert claim["data"] in (None, "mnist", "cifar10")
        assert shown(claim)
        assert "|" not in claim["statement"] + shown(claim)


RULED = [claim for claim in load_claims(ROOT / "book" / "claims.yml").values() if "rule" in claim]


@pytest.mark.parametrize("claim", RULED, ids=[claim["id"] for claim in RULED])
def test_a_rule_takes_its_thresholds_from_the_claim_and_says_how_it_judges(claim):
    """None is left over, none has a default in the code, and the words on the page are filled in."""
    rule, thresholds = rule_of(claim)
    signature = inspect.signature(rule).parameters.values()
    named = {parameter.name for parameter in signature if parameter.kind is parameter.KEYWORD_ONLY} - {"published"}
    assert set(thresholds) <= named
    assert not [p.name for p in signature if p.name in thresholds and p.default is not p.empty]
    text = explained(claim)
    assert len(text.split()) > 5
    assert not set(re.findall(r"\{(\w+)[:}]", text)) & named


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
    """The first argument of save, figure, table and judge is the cell's id, so a link leads to the right place."""
    found = list(calls(notebook, "save", "figure", "table", "judge"))
    assert found
    for cell, method, arguments in found:
        assert arguments[0].value == cell, f"{method} in cell {cell}"


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_chapters_have_their_parts(notebook):
    """Question, goals, limits, and exercises with folded solutions."""
    text = "\n".join("".join(cell["source"]) for cell in cells(notebook))
    assert "**Question.**" in text
    assert "**After this chapter you can**" in text
    assert "## What is wrong with this result" in text
    assert text.count("{exercise}") == text.count("{solution}") >= 2


def test_parameters_have_one_home():
    """Cells and params.yml say the same, everything has a meaning, and every number a range."""
    check_tree(ROOT)
    for chapter in NOTEBOOKS:
        entries = common(ROOT) | declared(chapter, ROOT)
        cell = assigned(ROOT / "notebooks" / f"{chapter}.ipynb")
        assert cell == {name: entries[name]["full"] for name in cell}, chapter
    for chapter, entries in read(ROOT).items():
        for name, entry in entries.items():
            if entry["type"] in ("int", "float", "list[int]", "list[float]"):
                assert {"least", "of"} & entry.keys(), f"{chapter}, {name}: a number without a range"


def test_a_notebook_depends_on_the_modules_it_imports():
    """Directly, through another module, and inside functions; and on no others."""
    needs = all_needs(ROOT)
    assert "bea/backward/linear_systems.py" in needs["10_linear_systems"].files
    assert "lab/figures.py" in needs["10_linear_systems"].files
    assert "bea/numerics/quadratic.py" in needs["12_one_layer"].files
    assert "bea/backward/linear_systems.py" not in needs["12_one_layer"].files
    assert "lab/peers/range.csv" in needs["48_state_of_the_art"].files  # a stored table
    assert not [file for file in needs["10_linear_systems"].files if file.startswith("bea/attacks/")]


# ---- a chapter is a story, not a program ---------------------------------------

BY_HAND = {"20_train_by_hand"}  # its network is written by hand: that is the lesson


def lines_of(*patterns):
    """How many lines the files have."""
    return sum(len(path.read_text().splitlines()) for pattern in patterns for path in ROOT.glob(pattern))


def prints(loop):
    """Whether a loop does nothing but print."""
    return all(isinstance(node, ast.Expr) and ast.unparse(node).startswith("print(") for node in loop.body)


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_chapter_calls_studies_and_has_no_function_of_its_own(notebook):
    """Cells of 40 lines at most, 12 in the median; loops only where a figure is drawn or rows are printed."""
    found = code_of(notebook)
    lengths = {cell: len(source.splitlines()) for cell, source in found}
    assert max(lengths.values()) <= 40, max(lengths, key=lengths.get)
    assert statistics.median(lengths.values()) <= 12
    for cell, source in found:
        nodes = list(ast.walk(ast.parse(source)))
        drawn = any(isinstance(node, ast.Attribute) and node.attr == "figure" for node in nodes)
        functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        loops = [node for node in nodes if isinstance(node, ast.For | ast.While) and not prints(node)]
        assert not functions or notebook in BY_HAND, f"{cell} defines {functions}"
        assert not loops or drawn or notebook in BY_HAND, f"{cell} loops"


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_chapter_reads_what_it_assigns(notebook):
    """Every name but a parameter and ``_``, in whichever cell."""
    names = [node for _, code in code_of(notebook) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)} | set(declared(notebook, ROOT)) | {"_"}
    assert not {node.id for node in names} - read - common(ROOT).keys()


def test_the_house_stays_small(capsys):
    """Notebooks 6,000 lines of code, with studies and lab 15,600: blank lines, comments and docstrings left out."""
    code = [source for notebook in NOTEBOOKS for _, source in code_of(notebook)]
    notebooks = sum(len(source.splitlines()) for source in code)
    studies, lab = (
        sum(lines_of_code(path.read_text()) for path in ROOT.glob(f"{room}/**/*.py")) for room in ("studies", "lab")
    )
    functions = sum(isinstance(node, ast.FunctionDef) for source in code for node in ast.walk(ast.parse(source)))
    with capsys.disabled():
        print(
            f"\n{len(NOTEBOOKS)} notebooks: {notebooks} lines of code in {len(code)} cells, {functions} functions; "
            f"studies {studies} lines, lab {lab}, all {notebooks + studies + lab}; "
            f"as files {lines_of('studies/**/*.py')} and {lines_of('lab/**/*.py')}"
        )
    assert notebooks <= 6_000
    assert notebooks + studies + lab < 15_600


FOLDED = {"parameters", "setup", "hide-input", "hide-cell", "remove-input", "remove-cell"}
DISPLAYED = re.compile(r"^\$\$.*?^\$\$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"(`{3,})(.*)")
LANGUAGES = {"python", "bash", "text", "{code-block}"}
EXERCISES = {"{exercise}", "{solution}"}


def words_of(text):
    """How many words a page has outside its exercises, and how many within; code and displayed formulas left out."""
    counts, code, exercise = [0, 0], None, None
    for line in DISPLAYED.sub("", text).splitlines():
        fence, kind = match.groups() if (match := FENCE.fullmatch(line)) else ("", "")
        kind, inside = kind.strip().partition(" ")[0], code
        if code:
            code = None if fence == code and not kind else code
        elif kind in LANGUAGES:
            code = inside = fence
        elif kind in EXERCISES:
            exercise = fence
        if not inside:
            counts[exercise is not None] += len(line.split())
            exercise = None if fence and fence == exercise and not kind else exercise
    return counts


def test_words_are_counted_as_they_are():
    """Of prose and of exercises, behind a fence that ends as before one that begins; code and formulas are neither."""
    page = "one two\n````{exercise} three\nfour\n```python\ncode\n```\nfive\n````\nsix\n"
    page += "\n$$\nx + y\n$$\n\n```bash\ncode\n```\nseven"
    assert words_of(page) == [4, 5]


def test_a_reader_gets_through_the_book(capsys):
    """At most 60,000 words of prose and captions, 15,000 of exercises, and 1,500 lines of code that are not folded."""
    texts = [path.read_text() for path in ROOT.glob("book/*.md")]
    shown = []
    for notebook in NOTEBOOKS:
        for cell in cells(notebook):
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                texts.append(source)
            elif not FOLDED.intersection(cell["metadata"].get("tags", [])):
                shown.append(source)
            if cell["cell_type"] == "code" and "chapter.figure(" in source:
                texts += re.findall(r'f?"([^"]*)"', source.partition("chapter.figure(")[2])
    prose, exercises = map(sum, zip(*map(words_of, texts), strict=True))
    lines = sum(len(source.splitlines()) for source in shown)
    with capsys.disabled():
        print(f"\n{prose} words of prose, {exercises} of exercises, {lines} lines of code shown")
    assert prose <= 60_000
    assert exercises <= 15_000
    assert lines <= 1_500


def lines_of_code(source):
    """How many lines of a module are neither blank nor comment nor docstring."""
    lines = {number for number, line in enumerate(source.splitlines(), 1) if line.strip() and line.strip()[0] != "#"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def test_readme_counts_are_those_of_the_notebooks():
    """The block that `make readme` writes has all claims, and as many judged ones as the notebooks judge."""
    block = BLOCK.search(README.read_text())[2]
    columns = len(PAPERS) + 1
    found = re.findall(r"\| ([a-z ]+?) *" + r"\| *(\d+) *" * columns, block)
    rows = {row[0]: [int(n) for n in row[1:]] for row in found}
    judged = {arguments[1].value for notebook in NOTEBOOKS for _, _, arguments in calls(notebook, "judge")}
    assert set(rows) == {*STANDINGS, "claims"}
    assert rows["claims"] == [*(n for _, n in PAPERS), 77]
    assert [sum(row[i] for name, row in rows.items() if name != "claims") for i in range(columns)] == rows["claims"]
    assert 77 - rows[OPEN][-1] == len(judged)


def test_readme_shows_the_two_commands_that_the_makefile_has():
    """And CI calls the test command as it stands there."""
    makefile, readme = Path("Makefile").read_text(), README.read_text()
    for target in ("book", "test"):
        assert f"\nmake {target}\n" in readme
        assert f"\n{target}: .venv/ready ## " in makefile
    assert "\nmake test\n" in Path(".ci/run").read_text()


def test_make_help_lists_every_target():
    """With a few words each."""
    listed = subprocess.run(["make", "help"], capture_output=True, text=True, check=True).stdout
    targets = re.search(r"^\.PHONY: (.*)$", Path("Makefile").read_text(), re.MULTILINE)[1].split()
    assert re.findall(r"^(\w+) +\S", listed, re.MULTILINE) == targets


# ---- references -----------------------------------------------------------------

UNPUBLISHED = {"dauphine2024", "report2"}  # a student report and one without author or date: no address is known
PRINTED = {"kantorovich1948"}  # on paper; its note says where the translation is


def references():
    """Key → fields, name → text, of every entry of the bibliography, none of them there twice."""
    text = Path("book/references.bib").read_text()
    entries = re.findall(r"^@\w+\{(\w+),\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL)
    found = {key: dict(re.findall(r"^ +(\w+) *= \{(.*)\},?$", body, re.MULTILINE)) for key, body in entries}
    assert len(found) == text.count("\n@") + text.startswith("@")
    return found


def test_every_reference_has_a_doi_or_an_address():
    """And a title and a year; a DOI stands without a resolver, an address with one."""
    for key, fields in references().items():
        assert fields.keys() & {"doi", "url"} or key in UNPUBLISHED | PRINTED, key
        assert "title" in fields, key
        assert re.fullmatch(r"\d{4}", fields.get("year", "")) or key in UNPUBLISHED, key
        assert re.fullmatch(r"10\.\d{4,}/\S+", fields.get("doi", "10.1000/1")), key
        assert re.fullmatch(r"https?://\S+", fields.get("url", "https://x")), key


def test_references_and_citations_are_the_same():
    """No entry that nothing cites, and no citation without an entry."""
    pages = [path.read_text() for pattern in ("book/*.md", "notebooks/*.ipynb") for path in ROOT.glob(pattern)]
    cited = {
        key.strip()
        for page in pages
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]*)`", page)
        for key in keys.split(",")
    }
    assert cited == references().keys()
