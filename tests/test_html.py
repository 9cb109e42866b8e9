"""The pages of the smoke book as plain HTML, parsed once."""

import re
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup
from test_pages import CHAPTERS, NOTEBOOKS, NUMBERED, PAGES, fail_with

from lab.claims import LABELS


@pytest.fixture(scope="module")
def parsed(smoke) -> dict[str, BeautifulSoup]:
    """Return every page of the book, parsed, by its path."""
    folder = smoke / "_build" / "html"
    return {
        page: BeautifulSoup((folder / page).read_text(encoding="utf-8"), "html.parser")
        for page in ["index.html", *PAGES]
    }


def _target(page: str, href: str) -> tuple[str, str] | None:
    """Return file and fragment that a link of a page leads to; None if that is not in the book."""
    here = f"http://book/{page}"
    parts = urlsplit(urljoin(here, href))
    if (parts.scheme, parts.netloc) != ("http", "book"):
        return None
    return unquote(parts.path).removeprefix("/"), unquote(parts.fragment)


def _anchors(soup) -> set[str]:
    return {tag["id"] for tag in soup.find_all(id=True)}


def test_links_within_the_book_lead_somewhere(parsed, smoke):
    """Every link, script, style and image of the book names a file that is there and an anchor that is in it."""
    anchors = {page: _anchors(soup) for page, soup in parsed.items()}
    broken = set()
    for page, soup in parsed.items():
        for tag in soup.select("[href], [src]"):
            href = tag.get("href") or tag.get("src") or ""
            if tag.find_parent("svg") or not (target := _target(page, href)):
                continue
            path, fragment = target
            if not (smoke / "_build" / "html" / path).is_file():
                broken.add(f"{page}: {href} is not there")
            elif fragment and path in anchors and fragment not in anchors[path]:
                broken.add(f"{page}: {href} has no such anchor")
    fail_with(sorted(broken))


def test_no_page_names_a_script_style_or_image_on_another_machine(parsed):
    """Not even a hint to prefetch: only links that a reader follows may lead out of the book."""
    outside = {
        f"{page}: {tag}"[:200]
        for page, soup in parsed.items()
        for tag in soup.select("[src], link[href]")
        if (href := tag.get("src") or tag.get("href") or "")
        and not _target(page, href)
        and not href.startswith("data:")
    }
    fail_with(sorted(outside))


def test_chapters_are_numbered_from_one_in_their_order_and_nothing_else_is(parsed):
    """Below a page without a number the pages have none either: which is counted first would be left to chance."""
    numbers = {page: [one.get_text().strip() for one in parsed[page].select("h1 .section-number")] for page in CHAPTERS}
    wanted = {page: [f"{number}."] for number, page in enumerate(NUMBERED, start=1)}
    assert numbers == {page: wanted.get(page, []) for page in CHAPTERS}


def test_ids_are_unique_within_a_page(parsed):
    """Two cells or figures with the same id would break links and the clip paths of figures."""
    for page, soup in parsed.items():
        ids = [tag["id"] for tag in soup.select("[id]")]
        assert sorted({i for i in ids if ids.count(i) > 1}) == [], page


def test_no_output_shows_an_object_instead_of_a_number(parsed):
    """A cell whose last line returns something that nobody wants to read prints where it lies in memory."""
    shown = [
        f"{page}: {output.get_text()}"
        for page, soup in parsed.items()
        for output in soup.select(".cell_output")
        if re.search(r"<.* at 0x[0-9a-f]+>", output.get_text())
    ]
    fail_with(shown)


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_figures_and_tables_of_a_notebook_name_their_cell(page, parsed):
    """Below the output of a cell that shows a figure or table stands a line that links to that cell."""
    wrong, shown = [], 0
    for cell in parsed[page].select(".cell"):
        if not cell.select(".cell_output :is(.bea-figure, table, img)"):
            continue
        shown += 1
        output = cell.select(".cell_output")[-1]
        links = [link["href"] for line in output.find_next_siblings(class_="provenance") for link in line.select("a")]
        if not cell.get("id", "").startswith("cell-") or f"#{cell['id']}" not in links:
            wrong.append(f"cell {cell.get('id')}: {links}")
        if not all(line.select("[title]") and len(line.get_text()) < 60 for line in cell.select("p.provenance")):
            wrong.append(f"cell {cell.get('id')}: its provenance is no short line with a tooltip")
    assert shown, "no figure and no table on this page"
    fail_with(wrong)


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_a_notebook_says_how_it_was_executed(page, parsed):
    """At the foot of a notebook a fold has one line on its run, its parameters with their meaning, and the set-up."""
    (fold,) = parsed[page].select("details.run")
    assert fold.summary.get_text() == "How this was computed"
    line = fold.find("p", class_="provenance", recursive=False)
    assert re.match(r"Executed in [\d.]+ s( on \w+)? \(edition smoke, commit \S+\)\.$", line.get_text()), line
    rows = [[cell.get_text() for cell in row.select("td")] for row in fold.find("table", recursive=False).select("tr")]
    assert all(name and value and meaning for name, value, meaning in rows[1:])
    assert fold.select(".cell#cell-parameters"), "the parameters are not in the fold"
    assert not fold.find_next("section"), "something stands below the fold"


def test_figures_in_the_prose_name_the_cell_that_made_them(parsed):
    """A figure on a prose page links to an executed cell of a notebook that shows this very figure.

    That of a stored run says below when it was computed, and that the book does not do so again.
    """
    figures = [(page, box) for page in parsed if page not in NOTEBOOKS for box in parsed[page].select(".bea-figure")]
    assert any(page == CHAPTERS[0] for page, _ in figures), "no figure on the first page"
    for page, figure in figures:
        if "stored-run" in figure.parent["class"]:
            below = " ".join(tag.get_text() for tag in figure.parent.find_next_siblings())
            assert re.search(
                r"computed on \d{4}-\d\d-\d\d at commit \w+.*not computed again with the book", below, re.DOTALL
            )
            continue
        link = figure.parent.select_one(".provenance a")
        assert link, f"{page}: a figure without provenance"
        path, fragment = _target(page, link["href"])
        cell = parsed[path].find(id=fragment)
        assert cell, f"{page}: {link['href']} does not exist"
        labels = [svg.get("aria-label") for svg in cell.select(".bea-figure svg")]
        assert figure.svg["aria-label"] in labels, f"{page}: {link['href']} does not show this figure"


def test_the_book_has_exercises(parsed):
    """A student finds at least five."""
    titles = [title.get_text() for soup in parsed.values() for title in soup.select(".admonition-title")]
    assert sum(title.startswith("Exercise") for title in titles) >= 5


def test_every_claim_has_a_row_that_names_its_verdict_and_links_both_ways(parsed):
    """The row has an id and leads to the cell that judged it; the verdict in the chapter leads to the row."""
    page = parsed["book/scorecard.html"]
    rows = page.select("article.claim")
    assert len(rows) == 77
    linked = 0
    for row in rows:
        assert row.select_one("a.claim-id")["href"] == f"#{row['id']}"
        standing = row.select_one(".standing")
        assert standing.get_text(strip=True) == row["data-verdict"]
        assert standing.svg.find(True), f"{row['id']}: no shape"
        if row["data-verdict"] == "not yet examined":
            continue
        path, fragment = _target("book/scorecard.html", row.select_one(".provenance a")["href"])
        heads = [link["href"] for link in parsed[path].find(id=fragment).select("strong a")]
        assert f"../book/scorecard.html#{row['id']}" in heads, f"{row['id']}: its verdict does not lead back"
        linked += 1
    assert linked >= 71


def test_axes_of_the_scorecard_are_described(parsed):
    """Each says in words what it shows, and has a mark for either side; numbers in rows are as on paper."""
    page = parsed["book/scorecard.html"]
    for axis in page.select(".small-axis"):
        assert re.search(r"published .+, ours .+\.", axis["aria-label"])
        assert axis.select("path.published")
        assert axis.select("path.ours")
    for numbers in page.select(".claim-numbers"):
        assert not re.search(r"\d[eE][-+]\d|(?<![\d.])([\d.]+%) to \1(?!\d)", numbers.get_text())


def test_findings_say_how_sure_they_are_and_on_which_cell_they_rest(parsed):
    """Each has a label and a link to a cell, and so has every number in it."""
    page = parsed["book/findings.html"]
    kinds = [row["data-kind"] for row in page.select("article.claim")]
    assert kinds.count("finding") >= 10
    assert kinds.count("negative result") >= 5
    for row in page.select("article.claim"):
        assert row.select_one(".standing").get_text() in LABELS
        assert row.select_one(".provenance a")["href"].partition("#")[2].startswith("cell-")
        assert row.select("p:not(.provenance) a[href*='#cell-']"), f"{row['id']}: no number"


@pytest.mark.parametrize("page", PAGES)
def test_a_negative_number_has_a_minus_sign(page, parsed):
    """No hyphen, in prose, tables, labels and descriptions of figures; what is printed by code is code."""
    text = parsed[page].main
    described = [tag["aria-label"] for tag in text.select("svg[aria-label]")]
    passed = {id(string) for part in text.select("pre, code, script, style, .math") for string in part.strings}
    strings = [string for string in text.strings if id(string) not in passed]
    assert not re.findall(r".{0,30}(?<![\w.\-–])-\d.{0,20}", "\n".join([*strings, *described]))


def test_the_map_links_every_page_that_needs_another_or_is_needed(parsed, smoke):
    """Its links lead to pages of the book, and name them."""
    links = parsed["book/map.html"].select("svg.map a")
    assert len(links) > len(NOTEBOOKS)
    for link in links:
        path, _ = _target("book/map.html", link["href"])
        title = parsed[path].h1.get_text().rstrip("#").strip()
        assert " ".join(span.get_text() for span in link.select("tspan")) == title


def test_the_scorecard_says_when_every_rule_was_written_and_what_was_seen(parsed):
    """In the fold below each claim, as a list of its own; above them all, of how many it had been seen."""
    page = parsed["book/scorecard.html"]
    assert re.search(r"The rules of \d+ of 77 claims were changed", page.get_text())
    folds = page.select(".scorecard details")
    assert len(folds) == 77
    for fold in folds:
        (register,) = fold.select("ul.register")
        lines = [line.get_text() for line in register.select("li")]
        assert lines
        assert all(re.match(r"\d+ \w+ \d{4}, (before|after) its numbers were seen: ", line) for line in lines)


def test_mathjax_is_loaded_exactly_where_there_is_mathematics(parsed):
    """It is over a megabyte."""
    loaded = {page for page in PAGES if parsed[page].select("script[src*=mathjax]")}
    assert loaded == {page for page in PAGES if parsed[page].select("article .math")}
    assert CHAPTERS[0] not in loaded


def test_every_icon_of_a_page_is_in_the_small_font(parsed, smoke):
    """A missing one would be an empty box."""
    from fontTools.ttLib import TTFont

    static = smoke / "_build" / "html" / "_static"
    styles = (static / "styles" / "pydata-sphinx-theme.css").read_text(encoding="utf-8")
    codes = {code for file in ("icons", "brands") for code in TTFont(static / f"{file}.woff").getBestCmap()}
    asked = {name for page in PAGES for tag in parsed[page].select("[class*=fa-]") for name in tag["class"]}
    drawn = {}
    for name in asked:
        if found := re.search(rf'\.{re.escape(name)}:before[^{{]*{{content:"(\\?[^"]+)"', styles):
            drawn[name] = int(found[1][1:], 16) if found[1].startswith("\\") else ord(found[1])
    assert len(drawn) >= 5
    assert {name for name, code in drawn.items() if code not in codes} == set()


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_page_says_what_it_is_about(page, parsed):
    """In a description of one sentence or two; nothing that needs an address, which is not known yet."""
    (told,) = parsed[page].select("meta[name=description]")
    assert 10 < len(told["content"]) < 600
    assert not told["content"].startswith("Question")
    assert parsed[page].select("meta[property='og:title']")
    assert not parsed[page].select("meta[property='og:url'], meta[property='og:image'], link[rel=canonical]")


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_page_says_what_may_be_done_with_it(page, parsed):
    """At its foot: the licences of text and code."""
    (foot,) = parsed[page].select(".extra_footer")
    assert "CC BY 4.0" in foot.get_text()
    assert "MIT" in foot.get_text()
