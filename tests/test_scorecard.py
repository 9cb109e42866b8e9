"""What the scorecard and the map are drawn from, without a book."""

import json
import math
import re
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from map_page import LEADS_TO, drawn, parts_of, read_before, used_by
from marks import SHAPES, mark
from scorecard_pages import _at, _numbers, _several
from small_axis import MOST_TICKS, Pair, small_axis, ticks

from lab.claims import STANDINGS, load_claims

ROOT = Path(__file__).resolve().parents[1]
COMPARED = yaml.safe_load((ROOT / "book" / "compared.yml").read_text(encoding="utf-8"))
PARTS = parts_of(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
PAGES = [page for pages in PARTS.values() for page in pages]


def parsed(svg):
    return BeautifulSoup(svg, "html.parser")


def starts(svg, who):
    """Return where the marks of one side begin, from left to right."""
    marks = parsed(svg).select(f"path.{who}:not(.range)")
    return [float(re.match(r"M([\d.]+)", path["d"])[1]) for path in marks]


def test_every_verdict_has_a_shape_of_its_own():
    """So that colour is not all that tells them apart."""
    assert tuple(SHAPES) == STANDINGS
    assert len({shape for _, shape in SHAPES.values()}) == len(STANDINGS)
    for standing in STANDINGS:
        soup = parsed(mark(standing))
        assert soup.get_text(strip=True) == standing
        assert soup.svg.find(True)


@pytest.mark.parametrize(("low", "high"), [(0.9195, 0.9285), (0.0286, 0.0479), (1200, 1300), (-3, 5), (0, 1)])
def test_linear_ticks_are_few_round_numbers_between_the_ends(low, high):
    """At least two."""
    found = ticks(low, high, logarithmic=False)
    assert 2 <= len(found) <= 2 * MOST_TICKS
    assert all(low <= value <= high for value in found)
    assert all(f"{value:.4g}" == f"{value:.12g}" for value in found)


@pytest.mark.parametrize(("low", "high"), [(0.5, 6), (0.9, 22), (1e-8, 2), (1e-13, 1e-3)])
def test_logarithmic_ticks_are_powers_of_ten_and_simple_parts(low, high):
    """Among them at least one power of ten, and not too many."""
    found = ticks(low, high, logarithmic=True)
    assert 1 <= len(found) <= MOST_TICKS
    assert all(low <= value <= high for value in found)
    assert any(math.isclose(math.log10(value), round(math.log10(value)), abs_tol=1e-12) for value in found)


def test_an_axis_is_logarithmic_where_its_numbers_differ_by_more_than_ten_times():
    """On it equal quotients are equal distances, and it says so."""
    svg = small_axis([Pair("", [1.0], [1.0]), Pair("", [10.0], [10.0]), Pair("", [100.0], [100.0])], ".0f")
    first, second, third = starts(svg, "published")
    assert third - second == pytest.approx(second - first, abs=0.2)
    assert "logarithmic" in parsed(svg).svg["aria-label"]
    svg = small_axis([Pair("", [1.0], [1.0]), Pair("", [2.0], [2.0]), Pair("", [4.0], [4.0])], ".0f")
    first, second, third = starts(svg, "published")
    assert third - second == pytest.approx(2 * (second - first), abs=0.3)
    assert "logarithmic" not in parsed(svg).svg["aria-label"]


def test_an_axis_says_what_it_shows_and_tells_the_sides_apart_by_shape():
    """Ours as a disc at the median and a bar from the least to the most, published as a diamond."""
    svg = small_axis([Pair("a & b", [0.92], [0.926, 0.923, 0.928])], ".1%")
    soup = parsed(svg)
    assert soup.svg["aria-label"] == "a & b: published 92.0%, ours 92.3% to 92.8%."
    assert soup.select_one("text").get_text() == "a & b"
    (published,), (ours,) = starts(svg, "published"), starts(svg, "ours")
    low, high = map(float, re.findall(r"[MH]([\d.]+)", soup.select_one(".ours.range")["d"]))
    assert published < low < ours + 4 < high
    assert "l5 5" in soup.select_one(".published")["d"]
    assert "a4 4" in soup.select_one(".ours:not(.range)")["d"]


def test_what_is_compared_is_published_and_saved():
    """Every entry names a claim, published numbers of it, and a cell that saves numbers."""
    claims = load_claims(ROOT / "book" / "claims.yml")
    assert len(COMPARED) > 10
    for claim, entry in COMPARED.items():
        for pair in entry["pairs"]:
            assert _numbers([_at(claims[claim]["published"], path) for path in _several(pair["published"])]), claim
            for address in _several(pair["ours"]):
                notebook, cell = re.fullmatch(r"(\w+)#([\w-]+)\..+", address).groups()
                cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
                code = "".join("".join(own["source"]) for own in cells if own["id"] == cell)
                assert re.search(rf"""chapter\.save\(\s*["']{cell}["']""", code), address


def test_what_is_read_before_a_page_stands_above_it():
    """All of it is in the table of contents, so that a renamed page is noticed."""
    for other, pages in LEADS_TO.items():
        for page in pages:
            assert PAGES.index(other) < PAGES.index(page), f"{other} is to be read before {page}"


def test_the_map_leaves_out_what_follows_from_the_rest():
    """Of a chain only its last link is drawn, and what is read before is not drawn once more as used."""
    pages = ["results/10_linear_systems", "results/12_one_layer", "results/13_deep_closed_form"]
    assert read_before(pages) == {pages[0]: [], pages[1]: [pages[0]], pages[2]: [pages[1]]}
    reading = read_before(PAGES)
    used = used_by(PAGES, reading, ROOT)
    assert "results/11_train_one_layer" in used["results/12_one_layer"]
    assert not any(set(reading[page]) & set(used[page]) for page in PAGES)


def test_every_page_of_the_map_is_a_link_with_what_comes_before_it():
    """A dot and a title a page, an arc a need; long titles are broken and lose nothing."""
    titles = {"a": "First & last", "b": "A title " + "that is long " * 6 + "at its end", "c": "Third"}
    svg = drawn(
        {"Part": ["a", "b", "c"]}, {"a": [], "b": ["a"], "c": []}, {"c": ["a"]}, titles, {p: f"{p}.html" for p in "abc"}
    )
    soup = parsed(svg)
    links = soup.select("a")
    assert [link["href"] for link in links] == ["a.html", "b.html", "c.html"]
    assert [" ".join(span.get_text() for span in link.select("tspan")) for link in links] == list(titles.values())
    assert links[1]["aria-label"].endswith("To be read before it: First & last.")
    assert [path["class"] for path in soup.select("path")] == [["reading", "at-0", "at-1"], ["used", "at-0", "at-2"]]
