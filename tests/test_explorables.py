"""What all explorables with exercises have in common."""

import json
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from javascript import functions

from explorable import out_of_view, text_without_scripts

BOOK = Path(__file__).resolve().parents[1] / "book"
SCRIPTS = sorted((BOOK / "_static").rglob("*.js"))


@pytest.mark.parametrize("name", ["attacker", "plane", "ray", "sandwich"])
def test_without_scripts_the_page_says_what_is_missing(browser, site, name):
    """Where JavaScript is off, a sentence stands in the place of the figure."""
    assert "needs JavaScript" in text_without_scripts(browser, urljoin(site, f"book/{name}.html"), name)


# What shows the result of each explorable, and what a reader moves.
FIRST = {
    "attacker": [
        *("#attacker .explorable-attack canvas", "#attacker .explorable-attack figcaption"),
        *("#attacker .explorable-verdict", "[aria-labelledby=attacker-digits] button"),
        *("[aria-labelledby=attacker-targets] button", "[aria-labelledby=attacker-on] button"),
    ],
    "plane": ["#plane .explorable-buttons button", "#plane svg:has(#plane-handle)", "#plane .explorable-verdict"],
    "ray": [
        *("#ray .explorable-ray-plot", "#ray .explorable-ray-after", "#ray .explorable-verdict", "#ray-epsilon"),
        *("[aria-labelledby=ray-images] button", "[aria-labelledby=ray-networks] button"),
    ],
    "sandwich": [
        *("#sandwich .explorable-sandwich-plot", "#sandwich .explorable-verdict", "#sandwich-radius"),
        *("[aria-labelledby=sandwich-networks] button", "[aria-labelledby=sandwich-images] button"),
    ],
}


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desk", "phone"])
@pytest.mark.parametrize("name", FIRST)
def test_the_result_and_the_controls_are_in_the_first_screen(open_explorable, name, size):
    """Whoever opens the page sees what there is to move and what it does, and need not scroll."""
    page = open_explorable(name, f"#{name} .explorable-verdict", width=size[0])
    assert out_of_view(page, size, FIRST[name]) == []


@pytest.mark.parametrize("name", FIRST)
def test_two_sentences_at_most_stand_before_an_explorable(name):
    """Nothing has to be read before the first move, and three moves follow."""
    text = (BOOK / f"{name}.md").read_text(encoding="utf-8")
    above, below = text.split("```{explorable}")
    assert len(re.findall(r"[.?!](?=\s)", above[above.index("# ") :].split("\n", 1)[1])) <= 2
    moves = below.split("\n## ")[1]
    assert moves.startswith("Three moves")
    assert re.findall(r"^(\d)\. \*\*", moves, flags=re.MULTILINE) == ["1", "2", "3"]


def exercises_of(name, folder=BOOK):
    """Return the first lines of code of a page, and of every exercise its title, its checks and its solution's code."""
    text = (folder / f"{name}.md").read_text(encoding="utf-8")
    boxes = re.findall(r"^(`{3,})\{(exercise|solution)\} ?([^\n]*)\n(.*?)^\1$", text, flags=re.DOTALL | re.MULTILINE)
    kinds = [kind for _, kind, _, _ in boxes]
    assert kinds == ["exercise", "solution"] * (len(boxes) // 2)
    code = [re.findall(r"```python\n(.*?)```", body, flags=re.DOTALL) for *_, body in boxes]
    first = re.search(r"```python\n(.*?)```", text[text.index("## Exercises") :], flags=re.DOTALL)[1]
    titles = [title for _, kind, title, _ in boxes if kind == "exercise"]
    return first, [(title, "".join(a), "".join(b)) for title, a, b in zip(titles, code[::2], code[1::2], strict=True)]


@pytest.mark.parametrize(
    ("name", "exercises"), [("attacker", 8), ("plane", 2), ("ray", 5), ("sandwich", 5), ("tight_bound", 2)]
)
def test_the_code_of_the_solutions_runs(smoke, monkeypatch, name, exercises):
    """All solutions, in their order behind the first lines, as a reader pastes them, pass what the exercises check."""
    monkeypatch.chdir(smoke)
    first, found = exercises_of(name, smoke / "book")
    assert len(found) == exercises
    dataset = json.loads((smoke / "results" / "dataset.json").read_text(encoding="utf-8"))["name"]
    code = [first, *(part for _, checks, solution in found for part in (solution, checks))]
    exec("\n".join(code).replace('"mnist"', repr(dataset)), {})


@pytest.mark.parametrize("name", FIRST)
def test_exercises_say_how_hard_they_are_and_code_is_checked(name):
    """Every title has one to three stars; those in code, a third at least, show what the code has to pass."""
    _, found = exercises_of(name)
    assert all(re.match(r"★{1,3} [A-Z]", title) for title, _, _ in found)
    in_code = [title.endswith("(code)") for title, _, _ in found]
    assert in_code == ["assert " in checks for _, checks, _ in found]
    assert 3 * sum(in_code) >= len(found)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_function_of_a_script_is_over_100_lines(path):
    """Whoever reads one sees it whole; a function around the whole file would count as one too."""
    found = list(functions(path.read_text(encoding="utf-8")))
    assert found
    assert [(name, first, lines) for name, first, lines in found if lines > 100] == []


def test_functions_are_found_whatever_stands_around_them():
    """Brackets in strings, comments, templates and patterns count for nothing; bodies without braces do count."""
    text = r"""
      const plain = (v) => v / 2; // an opening { here
      /* function no() { */
      function outer({ a, b } = {}) {
        const text = "}" + '"{' + `(${[1, 2].map((k) => `${k}}`).join("}")}{`, brackets = /[/{]\/\(/g;
        if (a) { b(); }
        return { inner(x) {
          return x;
        }, arrow: k =>
          k + 1 };
      }
      (function () {
      })();"""
    assert sorted(functions(text)) == [
        *[("", 5, 1), ("", 12, 2), ("arrow", 9, 2)],
        *[("inner", 7, 3), ("outer", 4, 8), ("plain", 2, 1)],
    ]
    long = "const build = (root) => {" + "\n  root.textContent = '}';" * 99 + "\n};"
    assert list(functions(long)) == [("build", 1, 101)]


@pytest.mark.parametrize("text", ["function f() {", "f(];", "`${1"])
def test_what_cannot_be_read_is_an_error(text):
    """No file passes because the end of a function was not found."""
    with pytest.raises(ValueError, match="text: expected"):
        list(functions(text))
