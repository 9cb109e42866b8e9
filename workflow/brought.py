"""What changes in a chapter to which a reader brings a network: some cells are left out, and the page says so.

A cell tagged ``ours`` is about the networks of the book, or holds their numbers against printed ones; one tagged
``yours`` is for a network that is brought. A chapter is run without the ones or without the others.
"""

import re
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from lab.wording import literal

OURS, YOURS = "ours", "yours"


def fitted(notebook: NotebookNode, model: str) -> tuple[NotebookNode, list[str]]:
    """Return a notebook without the cells that are not for this ``model``, "" for those of the book.

    Returns
    -------
    NotebookNode
    left_out : list of str
        Headings of the sections that are left out.
    """
    other = OURS if model else YOURS
    gone = [cell for cell in notebook.cells if other in cell.metadata.get("tags", [])]
    notebook.cells = [cell for cell in notebook.cells if cell not in gone]
    text = "\n".join(cell.source for cell in gone if cell.cell_type == "markdown")
    return notebook, re.findall(r"^## (.*?)(?: \([A-Z]\d.*\))?$", text, re.MULTILINE)


def banner(parameters: dict, numbers: dict, left_out: list[str]) -> NotebookNode:
    """Return the cell below the title that says what the page is about.

    Parameters
    ----------
    parameters : dict
        Of the chapter, with ``model``, ``images``, ``labels`` and ``most``.
    numbers : dict
        What the chapter has found in these files: how many ``images``, their ``shape``, ``classes``, ``weights``.
    left_out : list of str
        Headings.
    """
    model, images, labels = (literal(Path(parameters[key]).name) for key in ("model", "images", "labels"))
    said = (
        f"their classes are those of **{labels}**"
        if labels
        else "no labels were given, so their classes are those that the network itself gives, and none is wrong"
    )
    without = f"\n\nLeft out, as it is about networks of the book: *{'*; *'.join(left_out)}*." if left_out else ""
    there, most = numbers["images"], parameters["most"]
    text = (
        f"**{model}**, {numbers['weights']:,} weights and {numbers['classes']} classes, on **{images}**, "
        f"{f'at most {most:,} of ' if most < there else ''}{there:,} images of shape {numbers['shape']}; {said}. No "
        "claim of the papers is judged."
    )
    return new_markdown_cell(
        f":::{{admonition}} About a network that was brought along\n{text}{without}\n:::", id="brought"
    )
