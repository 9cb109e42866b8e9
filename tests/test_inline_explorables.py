"""What all explorables that stand in a chapter have in common: they fit, can be read, and need no server."""

from urllib.parse import urljoin

import pytest
from inline import CHAPTERS, verdict

from explorable import faint, outside, text_without_scripts


@pytest.fixture
def open_inline(open_explorable):
    """Return a function that opens the chapter of an explorable and waits until its sentence stands there."""

    def open_page(name, *where, **settings):
        part = f"#{name} .explorable-verdict strong"
        page = open_explorable(f"../results/{CHAPTERS[name]}", part, *where, **settings)
        page.locator(f"#{name}").scroll_into_view_if_needed()
        return page

    return open_page


@pytest.mark.parametrize("name", CHAPTERS)
def test_without_scripts_the_chapter_says_what_is_missing(browser, site, name):
    """Where JavaScript is off, a sentence stands in the place of the figure."""
    address = urljoin(site, f"results/{CHAPTERS[name]}.html")
    assert "needs JavaScript" in text_without_scripts(browser, address, name)


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
@pytest.mark.parametrize("name", CHAPTERS)
def test_picture_controls_and_sentence_are_seen_at_once(open_inline, name, size):
    """The whole explorable fits into the window below the header, and nothing sticks out of its box, opened or not."""
    width, height = size
    page = open_inline(name, width=width)
    page.set_viewport_size({"width": width, "height": height})
    free = page.evaluate(
        """(name) => {
          const header = document.querySelector(".bd-header-article")?.getBoundingClientRect().height || 0;
          return innerHeight - header - document.getElementById(name).getBoundingClientRect().height;
        }""",
        name,
    )
    assert free >= 0
    assert outside(page, f"#{name}") == []
    for title in page.locator(f"#{name} summary").all():
        title.click()
    assert outside(page, f"#{name}") == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_it_can_be_read_on_dark_and_light_without_a_server(open_inline, smoke, name):
    """Opened from the disk, every text stands out from its ground, also when the reader's preference changes."""
    page = open_inline(name, (smoke / "_build" / "html").as_uri() + "/", color_scheme="dark")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("(scheme) => document.documentElement.dataset.theme === scheme", arg=scheme)
        assert faint(page, f"#{name}") == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_everything_has_a_name_and_the_sentence_is_spoken(open_inline, nameless, name):
    """Who listens hears what each control is, and the same sentence that others read."""
    page = open_inline(name)
    assert nameless(page) == []
    spoken = page.locator(f"#{name} [aria-live=polite]")
    page.wait_for_function("e => e.textContent", arg=spoken.element_handle())
    assert spoken.inner_text().replace("\u00a0", " ") == verdict(page, name)
