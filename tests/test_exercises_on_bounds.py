"""The code in the exercises of the chapters on lower bounds does what the reader is told it does."""

import re
from pathlib import Path

import nbformat
import pytest

CHAPTERS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("4*.ipynb"))
BOX = re.compile(r"^(`{3,})\{(exercise|solution)\} (.*?)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def boxes(path):
    """(title, code, lines of import, code of the solution) of every exercise of a chapter, in their order."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    found = [(head, "".join(CODE.findall(body))) for _, _, head, body in BOX.findall(text)]
    for (title, check), (_, solution) in zip(found[::2], found[1::2], strict=True):
        imports = "\n".join(line for line in check.splitlines() if line.startswith(("import ", "from ")))
        yield title, check, imports, solution


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_solutions_pass_the_checks_that_the_reader_sees(path, monkeypatch):
    """In their order, as a reader pastes them; a check does not pass without its solution."""
    monkeypatch.chdir(path.parents[1])
    names = {}
    for title, check, imports, solution in boxes(path):
        if "(code)" in title:
            assert "assert" in check, title
            with pytest.raises(NameError):
                exec(check, dict(names))
            exec(f"{imports}\n{solution}", names)
            exec(check, names)
        else:
            assert not check + solution, title


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_exercises_are_graded_a_third_is_code_and_one_is_a_prediction(path):
    """The title has one to three stars; one exercise changes a parameter of this chapter and names the command."""
    titles = [title for title, *_ in boxes(path)]
    assert all(re.match(r"★{1,3} \S", title) for title in titles), titles
    assert 3 * sum("(code)" in title for title in titles) >= len(titles)
    assert sum("(parameter)" in title for title in titles) == 1
    assert f"make chapter NAME={path.stem} P=" in path.read_text(encoding="utf-8")
