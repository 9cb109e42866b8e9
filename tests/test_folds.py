"""`book/_ext/folds.py`: marked sections keep heading and first paragraph, and fold the rest."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from docutils import nodes
from folds import TAG, fold, marks

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def notebook(path, *cells):
    """Write a notebook of Markdown cells, (source, tags) each."""
    made = [nbformat.v4.new_markdown_cell(source, metadata={"tags": tags}) for source, tags in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def page(*sections):
    """Return a document of sections, (title, texts) each, below a first one."""
    top = nodes.section("", nodes.title("", "Top"))
    for title, texts in sections:
        top += nodes.section("", nodes.title("", title), *[nodes.paragraph("", text) for text in texts])
    document = nodes.document(SimpleNamespace(), SimpleNamespace())
    document += top
    return document


@pytest.fixture
def app(tmp_path):
    """Return what the extension reads of Sphinx."""
    return SimpleNamespace(env=SimpleNamespace(docname="some", doc2path=lambda name: str(tmp_path / f"{name}.ipynb")))


def test_marks_follow_the_headings_and_not_what_is_in_fences(tmp_path):
    """The first heading of a tagged cell is marked, no other."""
    cells = (
        ("# Top\n\n```python\n# no heading\n```", []),
        ("text", [TAG]),
        ("## One\n\n### Two", [TAG]),
        ("## Three", []),
    )
    assert marks(notebook(tmp_path / "some.ipynb", *cells)) == [False, True, False, False]


def test_a_marked_section_keeps_its_first_paragraph(app, tmp_path):
    """The box holds the rest; a section that is not marked stays as it is."""
    notebook(tmp_path / "some.ipynb", ("# Top", []), ("## One\n\na\n\nb", [TAG]), ("## Two\n\nc", []))
    document = page(("One", ["a", "b"]), ("Two", ["c"]))
    fold(app, document)
    one, two = document[0][1:]
    assert [child.astext()[:8] for child in one] == ["One", "a", "<details", "b", "</detail"]
    assert [child.astext() for child in two] == ["Two", "c"]


def test_headings_that_do_not_match_are_reported(app, tmp_path, caplog):
    """A page whose sections are others is left as it is, with a warning."""
    notebook(tmp_path / "some.ipynb", ("# Top", [TAG]))
    document = page(("One", ["a", "b"]))
    before = document.astext()
    fold(app, document)
    assert document.astext() == before
    assert "some.ipynb: expected 1 headings, found 2 sections" in caplog.text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_what_stays_of_a_folded_section_is_whole_sentences(path):
    """The paragraph below its heading ends one; a formula or a list that goes on with it would be hidden."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown" and TAG in cell.metadata.get("tags", []):
            stays = re.search(r"^#{1,6} .*\n\n((?:.+\n?)+)", cell.source, re.MULTILINE)
            assert stays, f"{cell.id}: no paragraph below the heading"
            assert re.fullmatch(r"(?![-:|#]|\$\$).*[.?!]", stays[1].strip(), re.DOTALL), f"{cell.id}: {stays[1]}"
