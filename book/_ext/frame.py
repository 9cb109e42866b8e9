"""The frame of every page: no more than it needs to load, what it says of itself, and where its source is.

The address of the repository and that of the site have one home, ``companion_repository`` and ``companion_site`` in
``_config.yml``. While they are empty, nothing that would need them is drawn.
"""

import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import sphinxext.opengraph
from docutils import nodes
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from pydata_sphinx_theme import __file__ as THEME
from sphinx.jinja2glue import BuiltinTemplateLoader

from lab.sources import digest_of

# What loads a script or style, and what a page that needs it has in its body.
NEEDED_FOR = {
    "mathjax": ("math notranslate",),
    "clipboard": ('class="highlight',),
    "copybutton": ('class="highlight',),
    "togglebutton": ("toggle", "dropdown", "tag_hide"),
    "toggleHint": ("toggle", "dropdown", "tag_hide"),
    "toggleOpenOnPrint": ("toggle", "dropdown", "tag_hide"),
    "design-tabs": ("sd-tab",),
    "sphinx-design": ('class="sd-', " sd-"),
    "mystnb": ('class="cell', "nb-"),
    "proof.css": ('class="proof',),
    "exercise.css": ("exercise", "solution"),
    "thebe": (),  # names other machines, and does nothing here
}
SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")  # the theme loads them everywhere
ICONS = (
    *("bars", "list", "magnifying-glass", "sun", "moon", "circle-half-stroke", "arrow-up", "xmark", "expand"),
    *("download", "chevron-down", "angle-left", "angle-right", "outdent", "file", "pencil", "lightbulb", "code"),
    *("circle-check", "circle-info", "triangle-exclamation", "circle-exclamation", "circle-xmark", "share", "bell"),
    *("magnifying-glass-minus", "up-right-from-square", "rocket", "github", "gitlab", "bitbucket", "file-pdf"),
)
FONTS = Path(THEME).parent / "theme/pydata_sphinx_theme/static/vendor/fontawesome/webfonts"
MATHJAX = ("tex-chtml.js", "output/chtml/", "input/tex/extensions/", "a11y/", "ui/", "sre/mathmaps/en.json")
LEAST = 40  # letters of a description; a shorter sentence takes the next with it


class Frame(BuiltinTemplateLoader):
    """Sphinx's templates, and what is mended in the pages that they make."""

    def render(self, template: str, context: dict) -> str:
        """Return the page."""
        page = super().render(template, context)
        dropped = ("fontawesome.js", *(SEARCH if context.get("pagename") != "search" else ()))
        for name in dropped:
            page = re.sub(rf"<script[^>]*{re.escape(name)}[^>]*></script>\s*", "", page)
        return re.sub(r'<(i|span) class="(?=[^"]*\bfa-)', r'<\1 aria-hidden="true" class="', page)


def load_what_is_needed(app, pagename, templatename, context, doctree) -> None:
    """Drop scripts and styles that the page has no use for."""
    body = context.get("body", "")

    def is_needed(file) -> bool:
        text = f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', {}).get('body', '')}".casefold()
        found = [marks for name, marks in NEEDED_FOR.items() if name.casefold() in text]
        return all(any(mark in body for mark in marks) for marks in found)

    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context.get(kind, []) if is_needed(file)]


def take_addresses(app, config) -> None:
    """Hand the addresses of the repository and of the site to all that want them."""
    options = config.html_theme_options
    if config.companion_repository:
        options |= {"repository_url": config.companion_repository, "repository_branch": "main", "path_to_docs": ""}
        options |= {f"use_{button}_button": True for button in ("repository", "edit_page", "issues")}
    config.ogp_site_name = config.html_title
    config.html_baseurl = config.ogp_site_url = config.companion_site
    config.ogp_social_cards = {"enable": bool(config.companion_site)}
    prefix = urlsplit(config.companion_site).path.rstrip("/") + "/"
    config.notfound_urls_prefix = prefix
    config.notfound_context = {
        "title": "No such page",
        "body": "<h1>There is no such page</h1><p>The address may be mistyped, or the page may have moved. "
        f"<a href='{prefix}index.html'>The first page</a> leads to all others, "
        f"and <a href='{prefix}search.html'>the search</a> finds them by their words.</p>",
    }


def description(doctree: nodes.document, *_) -> str:
    """Return what a page is about: the first sentence of its question, or of its first paragraph."""
    paragraphs = (
        node.astext()
        for node in doctree.findall(nodes.paragraph)
        if isinstance(node.parent, nodes.section) and "provenance" not in node["classes"]
    )
    texts = [" ".join(text.split()) for text in paragraphs]
    text = next((text for text in texts if text.startswith("Question.")), next(iter(texts), ""))
    sentences = re.split(r"(?<=[.?!:]) ", text.removeprefix("Question.").strip())
    told = sentences.pop(0)
    while len(told) < LEAST and sentences:
        told += f" {sentences.pop(0)}"
    return told


def allow_no_tree(app, pagename, templatename, context, doctree) -> None:
    """Give a page without a table of contents, as in a book of one chapter, an empty one: the theme needs a text."""
    tree = context["toctree"]
    context["toctree"] = lambda **options: tree(**options) or ""


def give_citations_their_role(app, pagename, templatename, context, doctree) -> None:
    """Give references the role of what a list must hold; that of docutils is out of use."""
    context["body"] = context.get("body", "").replace('role="doc-biblioentry"', 'role="listitem"')


def mend_links(app, pagename, templatename, context, doctree) -> None:
    """Let buttons name what they do and lead to the source of a page, not to what was made of it."""
    names = {"Suggest edit": "Edit this page", "Open issue": "Report a mistake"}
    waiting = list(context.get("header_buttons", []))
    while waiting:
        button = waiting.pop()
        waiting += button.get("buttons", [])
        if button.get("text") in names:
            button["text"] = names[button["text"]]
        repository = app.config.companion_repository
        if repository and button.get("url", "").startswith(repository):
            button["url"] = button["url"].replace("/results/", "/notebooks/")
    if not app.config.companion_site:  # the address of a page is unknown, so nothing is said about it
        context["metatags"] = re.sub(r'<meta property="og:url"[^>]*>\n?', "", context.get("metatags", ""))


def tell_the_licence(app, pagename, templatename, context, doctree) -> None:
    """Say at the foot of a page what may be done with it."""
    words = "text and figures: CC BY 4.0 · code: MIT"
    if "book/cite" in app.env.all_docs:
        words += f' · <a href="{context["pathto"]("book/cite")}">how to cite</a>'
    context["theme_extra_footer"] = f"<p>{words}</p>"


def keep_few_icons(app, error) -> None:
    """Write fonts with the icons that pages use, instead of thousands, and leave out what no page loads."""
    static = Path(app.outdir) / "_static"
    if error or not static.is_dir():
        return
    for source, name in {"fa-solid-900": "icons", "fa-brands-400": "brands"}.items():
        font = TTFont(FONTS / f"{source}.ttf")
        subset = Subsetter(Options(glyph_names=False, layout_features=[]))
        subset.populate(unicodes=[code for code, icon in font.getBestCmap().items() if icon in ICONS])
        subset.subset(font)
        font.flavor = "woff"
        font.save(static / f"{name}.woff")
    (static / "scripts" / "fontawesome.js").unlink(missing_ok=True)
    shutil.rmtree(static / "vendor" / "fontawesome", ignore_errors=True)
    for path in (static / "mathjax").rglob("*"):
        if path.is_file() and not path.relative_to(static / "mathjax").as_posix().startswith(MATHJAX):
            path.unlink()


def setup(app) -> dict:
    """Register everything. Pages are written again when any source of this extension has changed."""
    for address in ("companion_repository", "companion_site"):
        if address not in app.config:
            app.add_config_value(address, "", "html")
    app.add_config_value("frame_sources", digest_of(setup), "html")
    sphinxext.opengraph.get_description = description  # its own takes whatever letters come first
    app.connect("config-inited", take_addresses, priority=400)
    app.connect("html-page-context", allow_no_tree)  # after the page for wrong addresses, before the theme
    app.connect("html-page-context", give_citations_their_role, priority=900)
    app.connect("html-page-context", load_what_is_needed, priority=900)
    app.connect("html-page-context", mend_links, priority=900)
    app.connect("html-page-context", tell_the_licence, priority=900)
    app.connect("build-finished", keep_few_icons, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
