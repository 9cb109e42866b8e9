"""What all explorables with exercises have in common."""

import json
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from javascript import functions

SCRIPTS = sorted((Path(__file__).resolve().parents[1] / "book" / "_static").rglob("*.js"))


@pytest.mark.parametrize("name", ["attacker", "plane", "ray", "sandwich"])
def test_without_scripts_the_page_says_what_is_missing(browser, site, name):
    """Where JavaScript is off, a sentence stands in the place of the figure."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(urljoin(site, f"book/{name}.html"))
    text = page.inner_text(f"#{name}")
    context.close()
    assert "needs JavaScript" in text


@pytest.mark.parametrize(("name", "exercises"), [("attacker", 8), ("ray", 5), ("sandwich", 5), ("tight_bound", 2)])
def test_the_code_of_the_solutions_runs(smoke, monkeypatch, name, exercises):
    """All solutions, in their order behind the first lines, as a reader pastes them."""
    monkeypatch.chdir(smoke)
    text = (smoke / "book" / f"{name}.md").read_text(encoding="utf-8")
    assert text.count("{exercise}") == text.count("{solution}") == exercises
    dataset = json.loads((smoke / "results" / "dataset.json").read_text(encoding="utf-8"))["name"]
    code = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(code) == exercises + 1
    exec("\n".join(code).replace('"mnist"', repr(dataset)), {})


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
