"""The frame of the pages: how much they load, whether they are found, and whether everybody can use them."""

import functools
import gzip
import http.server
import importlib
import re
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from docutils import nodes
from test_pages import CHAPTERS, SETTLE, fail_with

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {"raw": 1_500_000, "compressed": 600_000}  # bytes of the first page


@pytest.fixture(scope="module")
def extension():
    """Return a function that imports a module of the book's extensions."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "book" / "_ext"))


@pytest.fixture
def open_page(browser, site, watch):
    """Return a function that opens a page; whatever goes wrong on it fails the test in the end."""
    opened = []

    def open_in(name, **settings):
        context = browser.new_context(reduced_motion="reduce", **settings)
        opened.append((context, watch(context, site)))
        page = context.new_page()
        page.goto(site + name)
        page.evaluate(SETTLE)
        return page

    yield open_in
    for context, _ in opened:
        context.close()
    fail_with([problem for _, problems in opened for problem in problems])


# ---- light -------------------------------------------------------------------


def test_the_first_page_is_light(browser, site):
    """All that a browser loads for it counts, as it is and as a server would compress it."""
    context = browser.new_context()
    page = context.new_page()
    responses = []
    page.on("response", lambda response: responses.append(response))  # Playwright cannot wrap a bound method
    page.goto(site + CHAPTERS[0], wait_until="networkidle")
    bodies = {response.url: response.body() for response in responses}
    context.close()
    sizes = {"raw": len, "compressed": lambda body: min(len(body), len(gzip.compress(body)))}
    for kind, size in sizes.items():
        each = sorted(((size(body), url) for url, body in bodies.items()), reverse=True)
        total = sum(bytes_ for bytes_, _ in each)
        assert len(each) > 5
        assert total <= LIMITS[kind], f"{kind}: {total} bytes, most of them {each[:5]}"


# ---- found -------------------------------------------------------------------


FIRST = {  # query: which pages may come first
    "backward error": "linear_systems|plane",
    "batch normalisation": "four_theorems",
    "Peck": r"/4\d_|sandwich",
    "Newton's step": "kantorovich",
}


@pytest.mark.parametrize("query", FIRST)
def test_the_search_puts_the_chapter_about_it_first(query, open_page):
    """And quotes a sentence of it, not code."""
    page = open_page(f"search.html?q={query.replace(' ', '+')}")
    page.wait_for_selector("#search-results li p.context")
    assert re.search(FIRST[query], page.get_attribute("#search-results li a", "href"))
    page.wait_for_function("!document.querySelector('#search-results h2').textContent.includes('Searching')")
    quotes = page.locator("#search-results p.context").all_text_contents()
    assert quotes
    assert [quote for quote in quotes if re.search(r"\bimport \w|chapter\.save|\\\(|function\s*\(", quote)] == []


def test_the_search_knows_the_prose_and_not_the_code(smoke):
    """Its index has the words of the text, how often they stand there, and no name of a variable."""
    from sphinx.search import js_index

    index = js_index.loads((smoke / "_build" / "html" / "searchindex.js").read_text(encoding="utf-8"))
    assert {"backward", "pixel", "peck"} <= index["terms"].keys()
    assert {"ncol", "fontsiz", "figsiz", "set_xlabel"} & index["terms"].keys() == set()
    assert [term for term in index["terms"] if "_" in term or term.isdigit()] == []
    assert max(index["counts"]["backward"].values()) > 1
    assert len(index["lengths"]) == len(index["docnames"])


def test_the_description_is_the_first_sentence_of_the_question(extension):
    """Or of the first paragraph; a very short one takes the next with it."""
    frame = extension("frame")

    def page(*texts):
        section = nodes.section("", *(nodes.paragraph("", text) for text in texts))
        document = nodes.document(None, None)
        document += section
        return document

    question = "Question. How little must the weights of a trained classifier change? And the image?"
    assert frame.description(page("Before.", question)) == question[10:].split("? ")[0] + "?"
    assert frame.description(page("Short one. Then a second.", "Other.")) == "Short one. Then a second."
    assert frame.description(page()) == ""


def test_addresses_are_drawn_once_they_are_known(extension):
    """From the address of the repository come the buttons, from that of the site the cards; from none, nothing."""
    frame = extension("frame")

    def config(**addresses):
        found = SimpleNamespace(html_theme_options={}, html_title="The book", **addresses)
        frame.take_addresses(None, found)
        return found

    without = config(companion_repository="", companion_site="")
    assert without.html_theme_options == {}
    assert without.ogp_social_cards == {"enable": False}
    assert without.notfound_urls_prefix == "/"
    known = config(companion_repository="https://code.example/a/b", companion_site="https://book.example/b/")
    assert known.html_theme_options["repository_url"] == "https://code.example/a/b"
    assert known.html_theme_options["use_edit_page_button"]
    assert known.html_baseurl == known.ogp_site_url == "https://book.example/b/"
    assert known.notfound_urls_prefix == "/b/"


def test_buttons_lead_to_the_source_of_a_chapter(extension):
    """The page is made from the executed copy in results; what a reader edits lies in notebooks."""
    frame = extension("frame")
    edit = {"text": "Suggest edit", "url": "https://code.example/a/b/edit/main/results/12_one_layer.ipynb"}
    group = {"type": "group", "buttons": [edit, {"text": "Open issue"}]}
    context = {"header_buttons": [group], "metatags": '<meta property="og:url" />\n'}
    config = SimpleNamespace(companion_site="", companion_repository="https://code.example/a/b")
    app = SimpleNamespace(config=config)
    frame.mend_links(app, "results/12_one_layer", "", context, None)
    assert edit["url"].endswith("/edit/main/notebooks/12_one_layer.ipynb")
    assert [button["text"] for button in group["buttons"]] == ["Edit this page", "Report a mistake"]
    assert group.keys() == {"type", "buttons"}
    assert context["metatags"] == ""


def test_a_wrong_address_leads_to_a_page_of_the_book(browser, smoke, watch):
    """As a server shows it for any address that is not there, however deep."""
    folder = smoke / "_build" / "html"

    class Server(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def translate_path(self, path):
            found = super().translate_path(path)
            return found if Path(found).exists() else str(folder / "404.html")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}/"
        context = browser.new_context()
        problems = watch(context, base)
        page = context.new_page()
        page.goto(f"{base}a/b/c.html", wait_until="networkidle")  # with its icon
        assert page.inner_text("article h1") == "There is no such page"
        page.click("article a")
        page.wait_for_url(f"{base}{CHAPTERS[0]}")
        context.close()
        server.shutdown()
    fail_with(problems)


def test_the_page_on_citing_agrees_with_the_citation_file():
    """Title, version and year have their home there."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    text = " ".join((ROOT / "book" / "cite.md").read_text(encoding="utf-8").replace("{A}", "A").split())
    assert text.count(citation["title"]) == 2
    assert text.count(citation["version"]) == 2
    assert f"({citation['preferred-citation']['year']})" in text
    assert citation["preferred-citation"]["title"] == citation["title"]
    assert citation["preferred-citation"]["license"] in (ROOT / "LICENSE-text").read_text(encoding="utf-8")


# ---- for everybody -----------------------------------------------------------


def test_a_link_shows_what_it_leads_to(open_page):
    """By pointer and by keyboard; what is shown can be pointed at, goes away with Escape, and has no id twice."""
    page = open_page("results/12_one_layer.html")
    link = page.locator("article a.internal[href*='references.html#']").first
    link.scroll_into_view_if_needed()
    link.hover()
    page.wait_for_selector("#preview .citation")
    page.hover("#preview")
    page.wait_for_timeout(500)
    assert page.locator("#preview").count() == 1
    assert link.get_attribute("aria-describedby") == "preview"
    page.keyboard.press("Escape")
    assert page.locator("#preview").count() == 0
    page.mouse.move(0, 0)
    page.keyboard.press("Tab")
    link.focus()
    page.wait_for_selector("#preview .citation")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
