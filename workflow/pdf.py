"""``make pdf``: the whole book as one PDF, printed by Chromium from the rendered pages.

All pages become one document, so that links lead inside and every font is there once. It is printed twice: the first
time tells on which page everything is, the second time the table of contents says so.
"""

import argparse
import base64
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from pypdf import PdfReader, PdfWriter

from workflow.browser import chromium, served
from workflow.editions import folder

SOURCES = Path(__file__).with_name("print")
WIDTH = 642  # pixels between the margins of the paper, 170 mm
NAME = "how-little-must-change.pdf"
EMPTY = '<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><body>'
# Everything but the links that ask for a page keeps its place unpainted: half of the work of printing.
UNSEEN = "main :not(a), main { visibility: hidden !important; } main a.paged { visibility: visible !important; }"
LONGEST = 120_000  # milliseconds for anything that a browser is asked


def parts_of(toc: dict) -> list[dict]:
    """Return the parts of the book, caption and pages, as ``_toc.yml`` lists them; the first page has no caption."""
    groups = toc.get("parts") or [{"chapters": toc.get("chapters", [])}]
    parts = [{"caption": part.get("caption", ""), "pages": _pages(part.get("chapters", []))} for part in groups]
    return [{"caption": "", "pages": [f"{toc['root']}.html"]}, *parts]


def _pages(entries: list[dict]) -> list[str]:
    found = []
    for entry in entries:
        found += [f"{entry['file']}.html"] if "file" in entry else []
        found += _pages(entry.get("sections", []))
    return found


def title_of(book: Path) -> str:
    """Return the title of the book in a folder."""
    return yaml.safe_load((book / "_config.yml").read_text(encoding="utf-8"))["title"]


def lines_of(book: Path) -> list[str]:
    """Return what stands below the title: the authors, and from what the book was computed."""
    settings = yaml.safe_load((book / "_config.yml").read_text(encoding="utf-8"))
    decided = json.loads((book / "results" / "dataset.json").read_text(encoding="utf-8"))
    made = {json.loads(path.read_text(encoding="utf-8")).get("provenance", {}).get("commit") for path in _runs(book)}
    lines = [settings["author"], f"Computed from {decided['name']}, commit {', '.join(sorted(filter(None, made)))}."]
    if decided["edition"] == "smoke":
        lines.append("Made with the smoke parameters, for tests: the numbers mean little.")
    return lines


def _runs(book: Path) -> list[Path]:
    return [path for path in sorted((book / "results").glob("*.json")) if re.match(r"\d", path.name)]


def pictures(browser, base: str, pages: list[str]) -> dict[str, str]:
    """Take a picture of every figure that moves, as it begins; return id → address of the picture, which holds it all.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
    base : str
        Address of the rendered pages.
    pages : list of str
    """
    found = {}
    page = browser.new_page(viewport={"width": 900, "height": 900}, device_scale_factor=2, reduced_motion="reduce")
    page.set_default_timeout(LONGEST)
    page.route("**/mathjax/**", lambda route: route.abort())  # formulas stand elsewhere, and setting them takes long
    for name in pages:
        page.goto(f"{base}{name}")
        page.add_style_tag(content=".explorable details { display: none !important; }")  # folds stay shut on paper
        for explorable in page.locator(".explorable").all():
            explorable.locator("svg, canvas").first.wait_for()
            picture = base64.b64encode(explorable.screenshot()).decode()
            found[explorable.get_attribute("id")] = f"data:image/png;base64,{picture}"
    page.close()
    return found


def with_explorables(html: Path, parts: list[dict]) -> list[str]:
    """Return the pages that have a figure that moves."""
    pages = [page for part in parts for page in part["pages"]]
    return [page for page in pages if 'class="explorable"' in (html / page).read_text(encoding="utf-8")]


@contextmanager
def laid_out(browser, book: Path, parts: list[dict]) -> Iterator[tuple]:
    """Lay the pages of these parts out for paper, as one document.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
    book : Path
        Folder with ``_config.yml``, ``results`` and the rendered pages.
    parts : list of dict
        As :func:`parts_of` returns them, or some of them.

    Yields
    ------
    page : playwright.sync_api.Page
    outline : list of dict
        Parts: id, caption, which may be empty, and chapters with id and title.
    """
    html = book / "_build" / "html"
    given = {"title": title_of(book), "lines": lines_of(book), "parts": parts}
    given["style"] = (SOURCES / "printed.css").read_text(encoding="utf-8")
    with served(html) as base:
        given |= {"base": base, "pictures": pictures(browser, base, with_explorables(html, parts))}
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, reduced_motion="reduce")
        page.set_default_timeout(LONGEST)
        page.emulate_media(media="print", color_scheme="light")
        page.route(f"{base}printed.html", lambda route: route.fulfill(content_type="text/html", body=EMPTY))
        page.goto(f"{base}printed.html")
        page.add_script_tag(path=SOURCES / "printed.js")
        yield page, page.evaluate("(book) => printed.fill(book)", given)
        page.close()


def page_numbers(pdf: bytes) -> dict[str, int]:
    """Return anchor → number of its page, from one on, for all anchors that the document links to."""
    reader = PdfReader(io.BytesIO(pdf))
    return {
        name.removeprefix("/"): reader.get_destination_page_number(target) + 1
        for name, target in reader.named_destinations.items()
    }


def printed(page, outline: list[dict], title: str, to: Path) -> None:
    """Print what was laid out, with page numbers where they are asked for, and with bookmarks.

    Parameters
    ----------
    page : playwright.sync_api.Page
        As :func:`laid_out` yields it, and the outline.
    outline : list of dict
    title : str
        Of the book.
    to : Path
    """
    hidden = page.add_style_tag(content=UNSEEN)
    first = page.pdf(prefer_css_page_size=True)
    hidden.evaluate("(style) => style.remove()")
    page.evaluate("(pages) => printed.number(pages)", page_numbers(first))
    second = page.pdf(prefer_css_page_size=True, print_background=True)
    pages = page_numbers(second)
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it counts the objects of Chromium's files otherwise
    writer = PdfWriter(clone_from=io.BytesIO(second))
    for part in outline:
        above = None
        if part["caption"]:
            above = writer.add_outline_item(title=part["caption"], page_number=pages[part["id"]] - 1, is_open=False)
        for chapter in part["chapters"]:
            writer.add_outline_item(title=chapter["title"], page_number=pages[chapter["id"]] - 1, parent=above)
    writer.page_mode = "/UseOutlines"
    writer.add_metadata({"/Title": title})
    writer.write(to)


def make(book: Path) -> Path:
    """Print the rendered book of a folder, and return the PDF."""
    to = book / "_build" / NAME
    parts = parts_of(yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8")))
    with chromium() as browser, laid_out(browser, book, parts) as (page, outline):
        printed(page, outline, title_of(book), to)
    return to


def main() -> None:
    """Print the book of an edition, and say where the PDF is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", default="full")
    arguments = parser.parse_args()
    try:
        made = make(folder(arguments.edition))
    except FileNotFoundError as error:
        sys.exit(f"pdf: {error}")
    print(f"Open this in a reader of PDF:\n  {made.resolve()}")


if __name__ == "__main__":
    main()
