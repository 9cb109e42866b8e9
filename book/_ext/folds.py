"""Sections that few need are folded: a chapter marks the heading's cell with the tag ``fold``.

The heading and its first paragraph stay, what follows opens by a click. A link into it opens it, too.
"""

import re
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.util import logging

from lab.sources import digest_of

logger = logging.getLogger(__name__)
FENCED = re.compile(r"^(`{3,}|:{3,}).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
TAG = "fold"


def marks(path: Path) -> list[bool]:
    """Return for every heading of a notebook, in order, whether what follows it is folded."""
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            number = len(HEADING.findall(FENCED.sub("", cell.source)))
            found += [TAG in cell.metadata.get("tags", [])] * min(number, 1) + [False] * (number - 1)
    return found


def fold(app, doctree) -> None:
    """Put the content of the marked sections of a page into boxes that are closed at first."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    sections = [node for node in doctree.findall(nodes.section) if isinstance(node.next_node(), nodes.title)]
    folded = marks(path)
    if len(folded) != len(sections):
        logger.warning("%s: expected %d headings, found %d sections", path.name, len(folded), len(sections))
        return
    for section, whether in zip(sections, folded, strict=True):
        if whether:
            start = 2 if isinstance(section[1], nodes.paragraph) else 1
            section.insert(start, nodes.raw("", "<details class='more'><summary>More on this</summary>", format="html"))
            section.append(nodes.raw("", "</details>", format="html"))


def setup(app) -> dict:
    """Register it, before the foot of the page is made."""
    app.add_config_value("folds_sources", digest_of(setup), "env")
    app.connect("doctree-read", fold, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
