"""The reference of the package: all that is exported is there once, and is tied to the chapters that use it."""

import api_pages
import pytest
from bs4 import BeautifulSoup
from docutils import nodes

import bea
import bea.attacks
import bea.bounds
import bea.precision


@pytest.mark.parametrize("package", [bea, bea.attacks, bea.bounds, bea.precision])
def test_what_a_package_exports_has_a_place(package):
    """Under the shortest name by which it can be imported."""
    places = {own: name for name, (_, own) in api_pages.everything().items()}
    for name, home in api_pages.homes_of(package.__name__).items():
        found = places[home, name]
        assert found in (f"{package.__name__}.{name}", f"bea.{name}")
    assert set(api_pages.homes_of(package.__name__)) == set(package.__all__) - {"__version__"}


def test_imports_are_traced_to_where_a_thing_is_written():
    """By any of the names by which it can be imported."""
    code = "from bea import attack as a\nfrom bea.bounds import chain\nfrom bea.attacks.loss import lead\nimport numpy"
    expected = {
        ("bea.backward.smallest_attack", "attack"),
        ("bea.bounds.printed", "chain"),
        ("bea.attacks.loss", "lead"),
    }
    assert api_pages.imports(code) == expected


def test_mathematics_in_a_docstring_is_no_markup():
    """Bars, stars and low lines are kept as they are, code untouched."""
    lines = ["Σ h_{i-1} |x| a*b ``x_ | *y*``", "‖A_i‖"]
    api_pages.escape(None, "function", "f", None, None, lines)
    assert lines == [r"Σ h\_{i-1} \|x\| a\*b ``x_ | *y*``", "‖A_i‖"]


def test_objects_and_chapters_name_each_other(smoke):
    """In the pages as they are rendered, for every chapter and every object."""
    folder = smoke / "_build" / "html"
    uses = api_pages.uses()
    assert {"bea.attack", "bea.Network", "bea.lower_bound"} <= set(uses["50_gallery"])
    pages = {}
    for page in api_pages.PAGES:
        pages[page] = BeautifulSoup((folder / "book" / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
    for name, (page, _) in api_pages.everything().items():
        described = pages[page].find(id=name).find_parent("dl")
        below = described.find_next_sibling()
        linked = {link["href"] for link in below.select("a")} if below else set()
        for chapter, names in uses.items():
            assert (f"../results/{chapter}.html" in linked) == (name in names), (name, chapter)
    for chapter, names in uses.items():
        text = (folder / "results" / f"{chapter}.html").read_text(encoding="utf-8")
        fold = BeautifulSoup(text, "html.parser").select_one("details.run")
        linked = {link["href"].partition("#")[2] for link in fold.select("p.provenance a")}
        assert linked == set(names), chapter


def test_a_page_without_a_fold_gets_no_line():
    """Only chapters have one."""
    document = nodes.document(None, None)
    document += nodes.section("", nodes.paragraph("", "Text."))

    class App:
        class env:
            docname = "book/map"

    api_pages.tell_what_a_chapter_uses(App, document)
    assert len(document[0]) == 1
