"""The slides: made by ``make slides`` from the results of the book, with its roles and directives."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "book" / "_ext")]

project = "How little must change?"
root_doc = "book/slides/index"
include_patterns = ["book/slides/*.md"]
extensions = ["myst_parser", "sphinx.ext.mathjax", "sphinx-mathjax-offline", "sphinx_revealjs"]
extensions += ["companion", "scorecard_pages"]
myst_enable_extensions = ["amsmath", "dollarmath"]
suppress_warnings = ["myst.domains"]
revealjs_style_theme = "white"
revealjs_static_path = ["../_static", "_static", str(ROOT / "results" / "static")]
revealjs_css_files = ["companion.css", "explorables.css", "slides.css"]
revealjs_script_plugins = [{"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"}]
# The arrow keys move what has the focus in an explorable, and the slides elsewhere.
revealjs_script_conf = """{
  width: 1280, height: 760, margin: 0.02, hash: true, touch: false, slideNumber: "c/t", transition: "none",
  scrollActivationWidth: null,
  keyboardCondition: () => !document.activeElement?.closest(".explorable"),
}"""


def without_link(app, env, node, content):
    """Leave a number or a name as it is where the slides lack the page that it would lead to."""
    return content


def setup(app) -> None:
    """Register what belongs to the slides alone."""
    app.connect("missing-reference", without_link)
