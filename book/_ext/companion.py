"""What this book adds to Sphinx: numbers, figures and verdicts taken from the result files, each linked to its cell.

Roles and directives read ``results/*.json`` and register the file as a dependency of the page, so that a page is made
again when a number changes. Nothing here computes.
"""

import html
import importlib.metadata
import json
import re
from pathlib import Path

import nbformat
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from lab.parameters import EDITIONS, ROOT, common, declared, range_of, read
from lab.sources import digest_of
from lab.wording import literal, signed, tidied, tidy

logger = logging.getLogger(__name__)
NOTEBOOK_SCRIPTS = "results/static"  # where the scripts are that notebooks make; they get into _static itself
SCRIPTS = {"book/_static/explorables": "_static/explorables", NOTEBOOK_SCRIPTS: "_static"}  # folder: that of the page
SHARED = ("elements", "axes", "pixels", "network")  # scripts that every explorable may use, in the order of their needs
FOOT = {"parameters", "setup"}  # tags of cells that go to the foot of the page
ADDRESS = r"(\w+)#([\w-]+)\.([\w.-]+)"  # notebook#cell.key, of a number in a result file
PIPE = r"\|"  # in a table of Markdown
MEASURED = ("image/", "text/html", "text/markdown")  # outputs that get a line of provenance


def results_folder(env) -> Path:
    """Return the folder with the results of the last run."""
    return Path(env.srcdir) / "results"


def read_results(env, notebook: str) -> dict:
    """Return the result file of a notebook and note that the present page depends on it."""
    path = results_folder(env) / f"{notebook}.json"
    env.note_dependency(str(path))
    return json.loads(path.read_text(encoding="utf-8"))


def result_at(env, address: str):
    """Return what ``notebook#cell.key`` names in a result file; LookupError where nothing of this name is there."""
    notebook, cell, keys = re.fullmatch(ADDRESS, address).groups()
    value = read_results(env, notebook)["cells"][cell]
    for key in keys.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def link_to_cell(notebook: str, cell: str, *children, **attributes) -> nodes.Node:
    """Return a link to the executed cell, resolved by Sphinx; a cell that does not exist is a warning."""
    reference = addnodes.pending_xref(
        "", refdomain="std", reftype="ref", reftarget=f"cell-{notebook}-{cell}", refexplicit=True, refwarn=True
    )
    inline = nodes.inline("", "", *children, **attributes)
    reference += inline
    return reference


def provenance_line(provenance: dict, cell: str, here: str) -> nodes.paragraph:
    """Return the small line under a figure or table: a link to its cell, with what that was run with as tooltip.

    Parameters
    ----------
    provenance : dict
        Of the notebook that made it.
    cell : str
    here : str
        Name of the page that it stands on.
    """
    notebook = provenance["notebook"]
    settings = [f"{name} = {value}" for name, value in provenance["parameters"].items() if name != "dataset"]
    data = f"data {provenance['dataset']}" if provenance["dataset"] else "no data"
    facts = html.escape(" · ".join([*settings, data, f"commit {provenance['commit']}"]), quote=True)
    text = f"cell {cell}" if Path(here).name == notebook else f"{notebook}, cell {cell}"
    return nodes.paragraph(
        "",
        "",
        nodes.raw("", f'<span title="{facts}">', format="html"),
        link_to_cell(notebook, cell, nodes.Text(text)),
        nodes.raw("", "</span>", format="html"),
        classes=["provenance"],
    )


class ResultRole(SphinxRole):
    """``notebook#cell.key:format``, a number from a result file, linked to the cell that computed it."""

    def run(self):
        """Return the link."""
        match = re.fullmatch(f"({ADDRESS})(?::(.+))?", self.text)
        if not match:
            message = f"result: expected notebook#cell.key:format, received {self.text!r}"
            return [], [self.inliner.reporter.warning(message, line=self.lineno)]
        address, notebook, cell, _, form = match.groups()
        try:
            value = result_at(self.env, address)
            text = tidy(value, form) if form else signed(str(value))
        except (OSError, LookupError, ValueError) as error:
            message = f"result: nothing for {self.text!r} ({type(error).__name__}: {error})"
            return [], [self.inliner.reporter.warning(message, line=self.lineno)]
        return [link_to_cell(notebook, cell, nodes.Text(text), classes=["result"])], []


class ResultFigure(SphinxDirective):
    """``{result-figure} notebook#cell`` shows a figure that a notebook made; its content is the caption.

    With the option ``targets``, the figure is one of nine columns, one for each digit but the cell's ``source``: each
    becomes a link to the page of that name, which is asked to make that digit win.
    """

    required_arguments = 1
    has_content = True
    option_spec = {"targets": directives.unchanged}  # noqa: RUF012

    def run(self):
        """Return figure, caption and provenance."""
        notebook, cell = self.arguments[0].split("#")
        content = read_results(self.env, notebook)
        path = results_folder(self.env) / content["figures"][cell]
        self.env.note_dependency(str(path))
        box = nodes.container(classes=["bea-figure-box"])
        picture = path.read_text(encoding="utf-8")
        if page := self.options.get("targets"):
            picture = _with_targets(picture, page, int(content["cells"][cell]["source"]))
        box += nodes.raw("", f'<figure class="bea-figure">{picture}</figure>', format="html")
        self.state.nested_parse(self.content, self.content_offset, box)
        box += provenance_line(content["provenance"], cell, self.env.docname)
        return [box]


def _with_targets(picture: str, page: str, source: int) -> str:
    """Return a figure as wide as before, under nine links side by side, one for each digit but ``source``."""
    links = "".join(
        f'<a href="{page}.html?target={k}" aria-label="Make this {source} a {k} yourself" title="Make it a {k}"></a>'
        for k in range(10)
        if k != source
    )
    (width,) = re.findall(r"max-width: [\d.]+pt", picture)[:1]
    return f'<div class="bea-targets" style="{width}">{picture}<nav aria-label="Attack this digit">{links}</nav></div>'


class FromMarkdown(SphinxDirective):
    """Base of the directives that write Markdown for Sphinx to parse."""

    def parse(self, text: str, *classes: str) -> list[nodes.Node]:
        """Return what ``text`` says, in a container with these classes."""
        box = nodes.container(classes=list(classes))
        self.state.nested_parse(text.splitlines(), self.content_offset, box)
        return [box]


class Runs(FromMarkdown):
    """``{runs}`` lists the notebooks of this book: how long they took, on which data, at which commit, with what."""

    def run(self):
        """Return the table."""
        lines = ["| notebook | took | dataset | commit | parameters |", "|---|---|---|---|---|"]
        for path in sorted(results_folder(self.env).glob("*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            self.env.note_dependency(str(path))
            if provenance := content.get("provenance"):
                settings = ", ".join(
                    f"{name} = {literal(str(value))}" for name, value in provenance["parameters"].items()
                )
                page = f"{{doc}}`{path.stem} <../results/{path.stem}>`"
                facts = [page, f"{provenance['seconds']} s", provenance["dataset"] or "none", provenance["commit"]]
                lines.append(f"| {' | '.join([*facts, settings])} |")
        return self.parse("\n".join(lines), "runs")


class Parameters(FromMarkdown):
    """``{parameters}`` lists the parameters of every chapter: type, range, meaning, and the value in each edition."""

    def run(self):
        """Return a table a chapter."""
        self.env.note_dependency(str(ROOT / "params.yml"))
        tables = [self.table(name, entries) for name, entries in read().items()]
        return [node for table in tables for node in self.parse(table, "settings")]

    @staticmethod
    def table(chapter: str, entries: dict) -> str:
        """Return the table of a chapter, with a link to it, or of what is common to all."""
        own = f"**{{doc}}`../results/{chapter}`**, `{chapter}`"
        lines = ["**Every chapter that names them**" if chapter == "common" else own, ""]
        lines += [
            f"| name | meaning | type | range | {' | '.join(EDITIONS)} |",
            f"|---|---|---|---|{'---|' * len(EDITIONS)}",
        ]
        for name, entry in entries.items():
            values = [f"`{entry.get(edition, entry['full'])}`" for edition in EDITIONS]
            words = [f"`{name}`", entry["meaning"], f"`{entry['type']}`", tidied(range_of(entry)) or "any", *values]
            lines.append(f"| {' | '.join(word.replace('|', PIPE) for word in words)} |")
        return "\n".join(lines)


class Versions(FromMarkdown):
    """``{versions} numpy scipy …`` lists the versions of these packages."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        """Return the table."""
        lines = ["| package | version |", "|---|---|"]
        lines += [f"| {name} | {importlib.metadata.version(name)} |" for name in self.arguments[0].split()]
        return self.parse("\n".join(lines))


class Explorable(SphinxDirective):
    """``{explorable} name`` shows what ``explorables/name.js`` makes; its content stands there until that has run.

    The shared scripts are loaded first, once a page. The option ``scripts`` names others that it needs, to be loaded
    before it; a notebook may have made them.
    """

    required_arguments = 1
    has_content = True
    option_spec = {"scripts": directives.unchanged}  # noqa: RUF012

    def run(self):
        """Return the element that the script fills, and the scripts."""
        name = directives.uri(self.arguments[0])
        fallback = " ".join(self.content)
        loaded = self.env.temp_data.setdefault("explorable_scripts", [])  # by those above on this page
        files = [file for file in (*SHARED, *self.options.get("scripts", "").split(), name) if file not in loaded]
        loaded.extend(files)
        root = "../" * self.env.docname.count("/")
        scripts = "".join(f'<script src="{root}{self.address(file)}"></script>' for file in files)
        return [nodes.raw("", f'<div class="explorable" id="{name}"><p>{fallback}</p></div>{scripts}', format="html")]

    def address(self, file: str) -> str:
        """Return where a script is, seen from the first page."""
        root = Path(self.env.srcdir)
        for folder, there in SCRIPTS.items():
            if (root / folder / f"{file}.js").is_file():
                return f"{there}/{file}.js"
        logger.warning("explorable: no %s.js in %s", file, " or ".join(SCRIPTS), location=self.get_location())
        return f"{SCRIPTS[NOTEBOOK_SCRIPTS]}/{file}.js"


def tie_cells(app, doctree) -> None:
    """Give every cell of an executed notebook its id as anchor, its figures and tables a line of provenance.

    Cells that a reader need not see, those tagged ``parameters`` or ``setup``, go to the foot of the page.
    """
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    notebook = nbformat.read(path, as_version=4)
    provenance = notebook.metadata.get("bea")
    if provenance is None:
        logger.warning("%s was not executed by this book's workflow; run `make book`", path.name)
        return
    labels, foot = app.env.domaindata["std"], []
    for cell in [node for node in doctree.findall(nodes.container) if node.get("nb_element") == "cell_code"]:
        tags = cell["cell_metadata"].get("tags", [])
        if "injected-parameters" in tags:
            cell.parent.remove(cell)
            continue
        name = notebook.cells[cell["cell_index"]]["id"]
        anchor, label = f"cell-{name}", f"cell-{path.stem}-{name}"
        cell["ids"].append(anchor)
        labels["anonlabels"][label.lower()] = labels["anonlabels"][label] = (app.env.docname, anchor)
        shows = [node for node in cell.findall(nodes.container) if node.get("mime_type", "").startswith(MEASURED)]
        if shows:
            cell.append(provenance_line(provenance, name, app.env.docname))
        if FOOT.intersection(tags):
            cell.parent.remove(cell)
            foot.append(cell)
    app.env.note_dependency(str(ROOT / "params.yml"))
    page = next(doctree.findall(nodes.section), doctree)
    page.append(nodes.raw("", "<details class='run'><summary>How this was computed</summary>", format="html"))
    page.append(_run_line(provenance))
    page.append(nodes.raw("", _settings(provenance), format="html"))
    page.extend(foot)
    page.append(nodes.raw("", "</details>", format="html"))


def _run_line(provenance: dict) -> nodes.paragraph:
    """Return the line that says how long the notebook of a page ran, and on what."""
    data = f" on {provenance['dataset']}" if provenance["dataset"] else ""
    text = (
        f"Executed in {provenance['seconds']} s{data} (edition {provenance['edition']}, commit {provenance['commit']})."
    )
    return nodes.paragraph("", "", nodes.Text(text), classes=["provenance"])


def _settings(provenance: dict) -> str:
    """Return the table of a notebook's parameters as HTML: name, value, meaning."""
    entries = common() | declared(provenance["notebook"])
    rows = [
        f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(str(value)) or 'none'}</td>"
        f"<td>{html.escape(entries[name]['meaning'])}</td></tr>"
        for name, value in provenance["parameters"].items()
    ]
    head = "<thead><tr><th>parameter</th><th>value</th><th>meaning</th></tr></thead>"
    return f"<table class='table'>{head}<tbody>{''.join(rows)}</tbody></table>"


def announce(app, config) -> None:
    """Put a banner on every page when the book is not what it should be."""
    path = Path(app.srcdir) / "results" / "dataset.json"
    if not path.is_file():
        logger.warning("results/dataset.json is missing: run `make book` first")
        return
    decided = json.loads(path.read_text(encoding="utf-8"))
    parts = []
    if decided["name"] == "digits":
        why = "as params.yml asks" if not decided["reason"] else f"because {decided['asked']} could not be had"
        parts.append(f"This book was computed from {decided['note']}, {why}. No claim about MNIST is judged.")
    if decided["edition"] == "smoke":
        parts.append("This book was made with the smoke parameters, for tests: its numbers mean little.")
    if parts:
        config.html_theme_options["announcement"] = " ".join(parts)


def simple_navigation(app, config) -> None:
    """Remove the theme's second search bar, and close the parts in the sidebar but for the present one."""
    config.html_theme_options["show_navbar_depth"] = 0
    for part in ("persistent", "start", "center", "end"):
        config.html_theme_options[f"navbar_{part}"] = []


def take_scripts_of_notebooks(app, config) -> None:
    """Copy what notebooks made for pages to the other scripts."""
    scripts = Path(app.srcdir) / NOTEBOOK_SCRIPTS
    if scripts.is_dir():
        config.html_static_path.append(str(scripts))


def number_proofs(app, doctree) -> None:
    """Give proofs, exercises and solutions of a page ids of their own: what their extensions make has the same."""
    for name in ("proof", "proof-content", "exercise-content", "solution-content"):
        alike = [node for node in doctree.findall(nodes.Element) if name in node.get("ids", [])]
        for number, node in enumerate(alike[1:], start=2):
            node["ids"] = [f"{name}-{number}" if own == name else own for own in node["ids"]]


def setup(app) -> dict:
    """Register everything. Pages are read again when any source of this extension has changed."""
    app.add_config_value("companion_sources", digest_of(setup), "env")
    app.add_role("result", ResultRole())
    for name, directive in {
        "result-figure": ResultFigure,
        "runs": Runs,
        "parameters": Parameters,
        "versions": Versions,
        "explorable": Explorable,
    }.items():
        app.add_directive(name, directive)
    app.connect("config-inited", announce)
    app.connect("config-inited", simple_navigation)
    app.connect("config-inited", take_scripts_of_notebooks)
    app.connect("doctree-read", tie_cells)
    app.connect("doctree-read", number_proofs)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
