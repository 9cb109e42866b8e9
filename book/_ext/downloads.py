"""What a reader can take along from a page: its figures, the chapter as a zip, and links that run it elsewhere."""

from pathlib import Path

from docutils import nodes

from lab.parameters import ROOT
from workflow.chapter_zip import write
from workflow.dependencies import all_needs

FOLDER = "chapters"  # of the rendered book, for the zips
LATE = 600  # after the theme has filled its list of buttons, and cells have got their ids
BRANCH = "main"
LAUNCHER = "book/colab.ipynb"  # Colab opens one file, and a chapter alone lacks its packages


def notebook_of(page: str) -> Path | None:
    """Return the notebook behind a page, if it has one that runs."""
    path = ROOT / "notebooks" / f"{Path(page).name}.ipynb"
    return path if Path(page).parent.name == "results" and path.is_file() else None


def launch_links(repository: str, notebook: str) -> dict[str, str]:
    """Return the services that can run a notebook of a repository, name → address; none without a repository.

    Parameters
    ----------
    repository : str
        Address of the repository at GitHub, ``https://github.com/OWNER/NAME``, or nothing.
    notebook : str
        Path of the notebook in it. Colab opens a notebook that fetches the rest and asks for the chapter.
    """
    if not repository:
        return {}
    owner, name = repository.removesuffix("/").removesuffix(".git").split("/")[-2:]
    return {
        "Binder": f"https://mybinder.org/v2/gh/{owner}/{name}/{BRANCH}?urlpath=lab/tree/{notebook}",
        "Colab": f"https://colab.research.google.com/github/{owner}/{name}/blob/{BRANCH}/{LAUNCHER}",
    }


def add_buttons(app, pagename, templatename, context, doctree) -> None:
    """Offer the chapter's zip beside the theme's downloads, and the services that can run it."""
    if "bea-figure" in context.get("body", ""):
        app.add_js_file("downloads.js", loading_method="defer")
        app.add_css_file("downloads.css")
    notebook = notebook_of(pagename)
    if notebook is None:
        return
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            group["buttons"].insert(0, _button(".zip", f"{context['pathto'](FOLDER, 1)}/{notebook.stem}.zip"))
    links = launch_links(app.config.companion_repository, f"notebooks/{notebook.name}")
    if links:
        buttons = [_button(name, address) for name, address in links.items()]
        group = {"type": "group", "tooltip": "Run this chapter", "icon": "fas fa-rocket", "buttons": buttons}
        context["header_buttons"].append(group | {"label": "launch-buttons"})


def _button(text: str, address: str) -> dict:
    tooltips = {".zip": "Download the chapter with all that it runs with"}
    return {
        "type": "link",
        "text": text,
        "url": address,
        "tooltip": tooltips.get(text, f"Run this chapter on {text}"),
        "icon": "fas fa-file",
        "label": f"take-{text.strip('.').lower()}-button",
    }


def write_zips(app, exception) -> None:
    """Put the zip of every chapter of the book beside its pages."""
    chapters = [notebook_of(page).stem for page in app.env.found_docs if notebook_of(page)]
    if exception or app.builder.name != "html" or not chapters:
        return
    needs, folder = all_needs(ROOT), Path(app.outdir) / FOLDER
    folder.mkdir(exist_ok=True)
    for name in chapters:
        write(name, folder / f"{name}.zip", ROOT, needs)


def drop_solved(app, doctree) -> None:
    """Leave out the cells called "solution" where the book's solutions are left out, in the edition for students."""
    if app.config.hide_solutions:
        for cell in list(doctree.findall(nodes.container)):
            if any(name.startswith("cell-solution") for name in cell["ids"]):
                cell.parent.remove(cell)


def setup(app) -> dict:
    """Register everything."""
    if "companion_repository" not in app.config:
        app.add_config_value("companion_repository", "", "html")
    app.connect("doctree-read", drop_solved, priority=LATE)
    app.connect("html-page-context", add_buttons, priority=LATE)
    app.connect("build-finished", write_zips)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
