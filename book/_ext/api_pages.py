"""``{api} api_attacks``: the public objects of a room from their docstrings, and the chapters that use each.

Which chapter uses what is read from the code of the notebooks and of the studies that they reach.
"""

import ast
import inspect
import json
import re
from functools import cache
from importlib import import_module
from pathlib import Path

from companion import ROOT, FromMarkdown
from docutils import nodes

from lab.sources import digest_of
from workflow.dependencies import all_needs

PAGES = {  # page → modules and packages that it documents
    "api_backward": ("bea.backward", "bea.backward.componentwise", "bea.backward.linear_systems"),
    "api_attacks": ("bea.attacks",),
    "api_bounds": ("bea.bounds",),
    "api_precision": ("bea.precision",),
    "api_networks": ("bea.networks",),
    "api_measures": ("bea.measures.diffuseness", "bea.measures.rescaling", "bea.measures.truncated_normal"),
}
FEW = 8  # chapters that are named without a fold
OF_REPORTS = "columns, draw, measured, tally"  # methods by which a result tells its base class what it is


def homes_of(module: str) -> dict[str, str]:
    """Return name → the module where it is written, of all that a package exports; none for a plain module."""
    homes = getattr(import_module(module), "HOMES", {})
    return {name: home for home, names in homes.items() for name in names.split() if not name.startswith("_")}


def objects_of(module: str) -> dict[str, tuple[str, str]]:
    """Return full name → (home, name) of what a module documents: the name that is shorter to import comes first."""
    top = {name: home for name, home in homes_of("bea").items() if home.startswith(f"{module}.")}
    found = {f"bea.{name}": (home, name) for name, home in top.items()}
    exported = homes_of(module)
    if not hasattr(import_module(module), "__path__"):
        content = vars(import_module(module))
        exported = {name: module for name, value in content.items() if _own(name, value, module)}
    return found | {f"{module}.{name}": (home, name) for name, home in exported.items() if name not in top}


def _own(name, value, module) -> bool:
    written_here = getattr(value, "__module__", None) == module
    return written_here and not name.startswith("_") and (inspect.isfunction(value) or inspect.isclass(value))


@cache
def everything() -> dict[str, tuple[str, tuple[str, str]]]:
    """Return full name → page and (home, name) of all objects; one that two modules export is there once."""
    found, homes = {}, set()
    for page, modules in PAGES.items():
        objects = {name: home for module in modules for name, home in objects_of(module).items()}
        for name in sorted(objects, key=lambda name: (_is_class(objects[name]), name.lower())):
            if objects[name] not in homes:
                homes.add(objects[name])
                found[name] = page, objects[name]
    return found


def _is_class(home: tuple[str, str]) -> bool:
    return inspect.isclass(getattr(import_module(home[0]), home[1]))


@cache
def uses(root: Path = ROOT) -> dict[str, list[str]]:
    """Return chapter → full names of the objects that its notebook and its studies import."""
    names = {home: name for name, (_, home) in everything().items()}
    found = {}
    for chapter, needs in all_needs(root).items():
        cells = json.loads((root / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        code += [(root / file).read_text(encoding="utf-8") for file in needs.files if file.startswith("studies/")]
        homes = {home for piece in code for home in imports(piece)}
        found[chapter] = sorted(names[home] for home in homes & names.keys())
    return found


def imports(code: str) -> set[tuple[str, str]]:
    """Return (home, name) of what a piece of code imports from ``bea``."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bea":
            homes = homes_of(node.module)
            found |= {(homes.get(alias.name, node.module), alias.name) for alias in node.names}
    return found


def first_line(name: str) -> str:
    """Return the first line of an object's docstring as Markdown."""
    home, own = everything()[name][1]
    line = inspect.getdoc(getattr(import_module(home), own)).partition("\n")[0]
    parts = re.split(r"(``[^`]*``)", line)
    return "".join(part if part.startswith("``") else re.sub(r"([*_|<\[\]$])", r"\\\1", part) for part in parts)


class Api(FromMarkdown):
    """``{api} page`` documents all objects of a page, each with the chapters that use it."""

    required_arguments = 1

    def run(self):
        """Return their descriptions."""
        for path in (ROOT / "notebooks").glob("*.ipynb"):
            self.env.note_dependency(str(path))
        return [
            node
            for name, (page, home) in everything().items()
            if page == self.arguments[0]
            for node in self.parse(self.described(name, home), "api")
        ]

    @staticmethod
    def described(name: str, home: tuple[str, str]) -> str:
        """Return what Sphinx and a reader need of an object."""
        kind = "class" if _is_class(home) else "function"
        lines = ["```{eval-rst}", f".. auto{kind}:: {name}"]
        if kind == "class":
            lines += ["   :members:", f"   :exclude-members: {OF_REPORTS}"]
        lines.append("```")
        users = [f"{{doc}}`../results/{chapter}`" for chapter, used in uses().items() if name in used]
        if len(users) > FEW:
            lines += [f"```{{dropdown}} Used in {len(users)} chapters", ", ".join(users), "```"]
        elif users:
            lines += ["", f"Used in {', '.join(users)}."]
        return "\n".join(lines)


class ApiList(FromMarkdown):
    """``{api-list}`` lists the objects of all pages, a line each."""

    def run(self):
        """Return the lists, each under a link to its page."""
        lines = []
        for page in PAGES:
            names = [name for name, (own, _) in everything().items() if own == page]
            lines += ["", f"**{{doc}}`{page}`**", "", *(f"- {{py:obj}}`{name}`: {first_line(name)}" for name in names)]
        return self.parse("\n".join(lines))


def escape(app, what, name, thing, options, lines) -> None:
    """Let a docstring be read as it is written: bars, stars and low lines of mathematics are no markup."""
    parts = re.split(r"(``.+?``)", "\n".join(lines), flags=re.DOTALL)
    plain = [part if part.startswith("``") else re.sub(r"([*|]|_(?!\w))", r"\\\1", part) for part in parts]
    lines[:] = "".join(plain).split("\n")


def tell_what_a_chapter_uses(app, doctree) -> None:
    """Name the objects of ``bea`` that a chapter uses, in the fold at its foot."""
    if app.env.docname.startswith("book/api"):  # the list of all objects is their index, and the book has its own
        app.env.get_domain("index").entries[app.env.docname] = []
    folder, _, chapter = app.env.docname.rpartition("/")
    names = uses().get(chapter, []) if folder == "results" else []
    page = next(doctree.findall(nodes.section), doctree)
    if not names or not isinstance(page.children[-1], nodes.raw):
        return
    line = nodes.paragraph("", "Of the package it uses ", classes=["provenance"])
    for name in names:
        line += [] if name == names[0] else nodes.Text(", ")
        uri = f"../book/{everything()[name][0]}.html#{name}"
        line += nodes.reference("", "", nodes.literal("", name), refuri=uri, internal=True)
    page.insert(len(page.children) - 1, line)


def setup(app) -> dict:
    """Register everything."""
    app.add_config_value("api_sources", digest_of(setup), "env")
    app.add_directive("api", Api)
    app.add_directive("api-list", ApiList)
    app.connect("autodoc-process-docstring", escape, priority=400)  # before napoleon reads it
    app.connect("doctree-read", tell_what_a_chapter_uses, priority=900)  # after the fold is there
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
