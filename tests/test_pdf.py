"""The PDF of the book. All of it is laid out for paper; a part, which takes seconds, is printed and read again."""

import re
import unicodedata
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from pypdf import PdfReader

from workflow import pdf

ROOT = Path(__file__).resolve().parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [page for part in pdf.parts_of(TOC) for page in part["pages"]]
PART = {  # a page with cards, chapters with code, tables, proofs, solutions, a figure that moves, an index of words
    "root": "book/index",
    "parts": [
        {
            "caption": "What is a backward error?",
            "chapters": [{"file": "results/10_linear_systems"}, {"file": "book/plane"}],
        },
        {"caption": "Ways through, words, runs", "chapters": [{"file": "book/map"}, {"file": "book/glossary"}]},
    ],
}
STUBS = re.compile("needs JavaScript|click to (show|toggle)|(show|hide) code|download this", re.IGNORECASE)


@pytest.fixture(scope="module")
def whole(smoke, browser):
    """The whole book as it is laid out for paper, and its outline."""
    with pdf.laid_out(browser, smoke, pdf.parts_of(TOC)) as found:
        yield found


@pytest.fixture(scope="module")
def made(smoke, browser, tmp_path_factory):
    """The PDF of a part of the book."""
    book = tmp_path_factory.mktemp("book")
    (book / "_toc.yml").write_text(yaml.safe_dump(PART), encoding="utf-8")
    (book / "_build").mkdir()
    for name in ("_config.yml", "results", "_build/html"):
        (book / name).symlink_to(smoke / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pdf, "chromium", lambda: nullcontext(browser))  # one process has room for one Playwright
        return pdf.make(book)


@pytest.fixture(scope="module")
def texts(made):
    """The words of every page, ligatures taken apart."""
    return [unicodedata.normalize("NFKC", page.extract_text()) for page in PdfReader(made).pages]


@pytest.fixture(scope="module")
def bookmarks(made):
    """Title and number of the page, from one on, of every bookmark, and whether it belongs to a part."""
    reader = PdfReader(made)

    def flat(items, inside=False):
        for item in items:
            if isinstance(item, list):
                yield from flat(item, True)
            else:
                title = unicodedata.normalize("NFKC", item.title)
                yield title, reader.get_destination_page_number(item) + 1, inside

    return list(flat(reader.outline))


def squeezed(text: str) -> str:
    """Without white space."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


# ---- the whole book, laid out -----------------------------------------------------


def test_every_page_of_the_contents_is_there_in_order(whole):
    """Under its part, with its own heading, and the solutions come last."""
    page, outline = whole
    ids = [name.removesuffix(".html").replace("/", "-") for name in PAGES]
    assert [chapter["id"] for part in outline for chapter in part["chapters"]] == ids
    found = page.evaluate("""() => [...document.querySelectorAll(".chapter")].map((chapter) =>
      [chapter.id, chapter.querySelector("h1").textContent.replace(/\\s+/g, " ").trim()])""")
    assert found == [[one["id"], one["title"]] for part in outline for one in part["chapters"]] + [
        ["solutions", "Solutions"]
    ]
    listed = page.evaluate("() => [...document.querySelectorAll('.contents a')].map((a) => a.getAttribute('href'))")
    expected = []
    for part in outline:
        expected += [f"#{part['id']}"] if part["caption"] else []
        expected += [f"#{chapter['id']}" for chapter in part["chapters"]]
    assert listed == expected


def test_solutions_stand_at_the_end_and_every_one_is_referred_to(whole):
    """As many as the sources have, none in a chapter, and each exercise's link leads to a solution of its own."""
    page, _ = whole
    sources = [*ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    asked = sum(path.read_text(encoding="utf-8").count("{solution}") for path in sources)
    count = "(where) => document.querySelectorAll(where).length"
    assert page.evaluate(count, "#solutions .solution") == asked > 100
    assert page.evaluate(count, ".chapter:not(#solutions) .solution") == 0
    targets = page.evaluate("""() => [...document.querySelectorAll(".see-solution a")].map((a) =>
      [a.hash.slice(1), document.getElementById(a.hash.slice(1))?.classList.contains("solution")])""")
    assert len({target for target, _ in targets}) == asked == len(targets)
    assert all(there for _, there in targets)


def test_all_links_inside_lead_to_something(whole):
    """And no id is given twice."""
    page, _ = whole
    lost, twice = page.evaluate("""() => {
      const ids = [...document.querySelectorAll("[id]:not(svg [id])")].map((element) => element.id);
      const links = [...document.querySelectorAll('a[href^="#"]')].map((a) => a.getAttribute("href").slice(1));
      const known = new Set(ids);
      return [links.filter((id) => !known.has(id)), ids.filter((id, i) => ids.indexOf(id) !== i)];
    }""")
    assert lost == []
    assert twice == []


def test_nothing_is_wider_than_the_paper(whole):
    """No code, table, formula or picture reaches over the right edge, and no box hides what is in it."""
    page, _ = whole
    cut = page.evaluate(
        """(width) => {
          const boxes = "pre, .highlight, .cell, .cell_output, .admonition, .unfolded";
          const seen = document.querySelectorAll("pre, table, img, .bea-figure svg, mjx-container[display=true]");
          const over = (e) => e.getBoundingClientRect().right > width + 1;
          const hides = (box) => box && getComputedStyle(box).overflow !== "visible";
          const scrolls = (e) => e.matches("pre") && e.scrollWidth > e.clientWidth + 1;
          return [...seen].filter((e) => over(e) || scrolls(e) || hides(e.closest(boxes)))
            .map((e) => `${e.closest(".chapter")?.id}: ${e.tagName} ${e.textContent.trim().slice(0, 60)}`);
        }""",
        pdf.WIDTH,
    )
    assert cut == []


def test_figures_are_there_and_nothing_that_only_a_screen_can_do(whole, smoke):
    """As many figures as the rendered pages have, a picture for each that moves, no fold, button or call to click."""
    page, _ = whole
    sources = [(smoke / "_build" / "html" / name).read_text(encoding="utf-8") for name in PAGES]
    number = {name: sum(text.count(f'class="{name}"') for text in sources) for name in ("bea-figure", "explorable")}
    found = page.evaluate("""() => ({
      "bea-figure": document.querySelectorAll(".bea-figure").length,
      "explorable": document.querySelectorAll(".still img").length,
    })""")
    assert found == number
    assert min(number.values()) > 5
    screen = "details, summary, button, input, select, noscript, template, iframe, .explorable, .toggle, .copybtn"
    left = page.evaluate(
        """(screen) => [...document.querySelectorAll(screen)].filter((e) => e.checkVisibility())
      .map((e) => e.outerHTML.slice(0, 80))""",
        screen,
    )
    assert left == []
    broken = (
        "() => [...document.images].filter((i) => !i.complete || i.naturalWidth < 10).map((i) => i.src.slice(0, 80))"
    )
    assert page.evaluate(broken) == []
    empty = """() => [...document.querySelectorAll(".unfolded, .cell, .admonition")]
      .filter((e) => !e.innerText.trim() && !e.querySelector("img, svg")).map((e) => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(empty) == []
    assert STUBS.search(page.evaluate("() => document.body.innerText")) is None


# ---- a part of it, printed --------------------------------------------------------


def test_bookmarks_lead_to_the_page_with_their_heading(bookmarks, texts):
    """In the order of the book, parts with their chapters below them."""
    captions = [part["caption"] for part in PART["parts"]]
    assert [title for title, _, inside in bookmarks if not inside][1:] == [*captions, "Solutions"]
    numbers = [number for _, number, _ in bookmarks]
    assert numbers == sorted(numbers)
    assert len(bookmarks) == 1 + 2 + 4 + 1
    for title, number, _ in bookmarks:
        assert squeezed(texts[number - 1]).removeprefix(str(number)).find(squeezed(title)) in range(60), title


def test_the_contents_name_the_page_of_each_bookmark(bookmarks, texts):
    """Line by line; and every other page has its number at the foot."""
    lines = [f"{title} {number}" for title, number, _ in bookmarks]
    assert [" ".join(line.split()) for line in texts[1].splitlines()][-len(lines) :] == lines
    assert [number for number, text in enumerate(texts[1:], start=2) if text.split()[0] != str(number)] == []


def test_exercises_name_the_page_of_their_solution(bookmarks, texts):
    """The solutions stand at the end and not before."""
    start = bookmarks[-1][1]
    named = [int(number) for text in texts for number in re.findall(r"Solution on page (\d+)", text)]
    there = [number for number, text in enumerate(texts, start=1) for _ in re.findall("Solution to", text)]
    assert named == there
    assert min(there) >= start
    assert len(there) > 5


def test_no_line_of_code_is_cut(whole, texts):
    """Every line that the chapter has on the page, of code and of what it prints, can be read in the PDF."""
    page, _ = whole
    lines = page.evaluate("""() => [...document.querySelectorAll("#results-10_linear_systems pre")]
      .flatMap((code) => code.textContent.split("\\n")).filter((line) => line.trim())""")
    words = squeezed("".join(texts))
    assert len(lines) > 20
    assert max(map(len, lines)) > 80  # some are nearly as wide as the paper
    assert [line for line in lines if squeezed(line) not in words] == []


def test_the_pdf_is_on_a4_with_its_pictures_and_small(made, texts):
    """No page without words, the figure that moves in one picture, and less than 2 MB for the part."""
    reader = PdfReader(made)
    assert {tuple(round(float(side) * 25.4 / 72) for side in page.mediabox[2:]) for page in reader.pages} == {
        (210, 297)
    }
    assert [number for number, text in enumerate(texts, start=1) if len(text.split()) < 10] == []
    assert 10 < len(texts) < 40
    assert [image.image.width for page in reader.pages for image in page.images if image.image.width > 1000]
    assert made.stat().st_size < 2_000_000
