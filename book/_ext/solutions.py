"""Solutions of exercises are folded without any script: what sphinx-exercise makes becomes a ``<details>``."""

import html

from docutils import nodes
from sphinx_exercise.nodes import solution_node

from lab.sources import digest_of


def without_link(node) -> list[nodes.Node]:
    """Return a node of the title, or what is linked there: a click on a summary opens it and does nothing else."""
    return node.children if isinstance(node, nodes.reference) else [node]


def fold(app, doctree, docname) -> None:
    """Turn every solution of class ``dropdown`` into a box that opens by a click on its title."""
    for solution in [node for node in doctree.findall(solution_node) if "dropdown" in node["classes"]]:
        title, *content = solution.children
        name = html.escape(solution["ids"][0], quote=True)
        solution.parent.replace(solution, [
            nodes.raw("", f'<details class="solution" id="{name}"><summary>', format="html"),
            *(part for child in title.children for part in without_link(child)),
            nodes.raw("", "</summary>", format="html"),
            *content,
            nodes.raw("", "</details>", format="html"),
        ])  # fmt: skip


def setup(app) -> dict:
    """Register it, after what sphinx-exercise does."""
    app.add_config_value("solutions_sources", digest_of(setup), "env")
    app.connect("doctree-resolved", fold, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
