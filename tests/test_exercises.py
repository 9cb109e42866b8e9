"""Exercises in code: a reader's check passes with the printed solution, and fails without it."""

import re
from pathlib import Path

import nbformat
import pytest

from lab.parameters import checked, parse, values
from workflow.chapter import changes_in

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = [*sorted(path.stem for path in ROOT.glob("notebooks/1*.ipynb")), "27_the_converged_attack"]
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXERCISE = re.compile(r"^(`{3,})\{exercise\} (★{1,3}) ([^\n]+)\n:label: (\S+)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
SOLUTION = re.compile(r"^(`{3,})\{solution\} (\S+)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


def text_of(chapter: str) -> str:
    """Return the prose of a chapter."""
    cells = nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def in_code() -> dict[str, tuple[str, str]]:
    """Return label → the check of an exercise in code and the code of its solution."""
    found = {}
    for chapter in CHAPTERS:
        text = text_of(chapter)
        solutions = {label: "\n".join(CODE.findall(body)) for _, label, body in SOLUTION.findall(text)}
        for *_, title, label, body in EXERCISE.findall(text):
            if title.endswith("(code)"):
                found[label] = "\n".join(CODE.findall(body)), solutions[label]
    return found


CHECKS = in_code()


@pytest.mark.parametrize("label", CHECKS)
def test_the_check_of_an_exercise_passes_with_its_solution(label):
    """The names that the solution defines are all that the check needs besides its own imports."""
    check, solution = CHECKS[label]
    assert "assert " in check
    names = {}
    exec(solution, names)
    exec(check, names)


@pytest.mark.parametrize("label", CHECKS)
def test_the_check_of_an_exercise_needs_a_solution(label):
    """Without one it stops at the name that the reader has to define, and not earlier."""
    check, solution = CHECKS[label]
    with pytest.raises(NameError) as caught:
        exec(check, {})
    assert f"def {caught.value.name}(" in solution


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_has_exercises_of_each_kind(chapter):
    """All have a title with their difficulty and one solution; one at least is in code with a hint."""
    text = text_of(chapter)
    exercises = EXERCISE.findall(text)
    assert sorted(label for *_, label, _ in exercises) == sorted(label for _, label, _ in SOLUTION.findall(text))
    assert len(exercises) == text.count("{exercise}") >= 2
    assert any(title.endswith("(code)") and "{dropdown} Hint" in body for *_, title, _, body in exercises)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_has_a_parameter_to_change(chapter):
    """The command of an exercise names a parameter of this chapter, with a value that is allowed and not the book's."""
    commands = re.findall(rf'`make chapter NAME={chapter} P="(.*?)"`', text_of(chapter))
    assert commands
    for command in commands:
        changes = {name: parse(value, name) for name, value in changes_in(command).items()}
        assert checked(chapter, changes)
        assert not changes.items() <= values(chapter, "full").items()
