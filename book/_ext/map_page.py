"""``{map}``: which page needs which, drawn from the table of contents, the code of the chapters, and a list by hand."""

import html
import math
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from lab.sources import digest_of
from workflow.dependencies import all_needs

RESULTS = "results/"  # where the pages of chapters are
LEADS_TO = {  # what a reader should know first, and no code tells: page → those that build on it
    "results/10_linear_systems": ["book/plane", "results/12_one_layer"],
    "results/12_one_layer": [
        "results/13_deep_closed_form",
        "results/27_the_converged_attack",
        "book/attacker",
        "results/19_componentwise",
    ],
    "results/13_deep_closed_form": ["results/15_table_2"],
    "results/27_the_converged_attack": [
        "results/15_table_2",
        "results/17_weights_or_input",
        "results/16_pictures_against_fgsm",
        "results/25_ray_or_all_directions",
        "results/32_attacks_side_by_side",
        "results/46_kantorovich",
        "results/47_both_sides",
        "results/48_state_of_the_art",
        "results/49_low_precision",
    ],
    "results/20_train_by_hand": ["results/21_first_hundred_images", "results/22_smallest_epsilon"],
    "results/22_smallest_epsilon": [
        "results/23_law_of_epsilon",
        "book/ray",
        "results/24_confidence_along_the_ray",
        "results/25_ray_or_all_directions",
        "results/26_what_makes_sturdier",
    ],
    "results/30_gradient_and_hessian": ["results/31_shallow_models", "results/32_attacks_side_by_side"],
    "results/32_attacks_side_by_side": ["results/33_transfer", "results/34_hidden_gradient"],
    "results/41_four_theorems": ["results/42_bounds_as_published", "book/tight_bound"],
    "results/42_bounds_as_published": ["results/43_bounds_against_attacks"],
    "book/tight_bound": ["results/43_bounds_against_attacks", "results/46_kantorovich", "results/47_both_sides"],
    "results/43_bounds_against_attacks": ["results/44_inside_the_ball", "results/45_robustness_and_accuracy"],
}
WIDTH, LEFT, LINE, LETTERS, BEND = 440, 104, 17, 44, 11  # pixels, but letters to a line; BEND: of the nearest arc


class Map(nodes.General, nodes.Element):
    """Place of the picture, which can be drawn when the titles of all pages are known."""


class MapDirective(SphinxDirective):
    """``{map}`` draws what needs what, with a link to every page."""

    def run(self):
        """Return its place."""
        self.env.note_reread()
        return [Map()]


def parts_of(contents: Mapping) -> dict[str, list[str]]:
    """Return part → its pages, from a table of contents."""
    return {part["caption"]: list(_files(part["chapters"])) for part in contents["parts"]}


def _files(entries: list) -> Iterator[str]:
    for entry in entries:
        yield entry["file"]
        yield from _files(entry.get("sections", []))


def read_before(pages: list[str]) -> dict[str, list[str]]:
    """Return page → the pages to read right before it; what those need in turn is left out."""
    every = {page: {other for other in pages if page in LEADS_TO.get(other, ())} for page in pages}
    return {page: _nearest(before, every) for page, before in every.items()}


def used_by(pages: list[str], reading: Mapping[str, list[str]], root: Path) -> dict[str, list[str]]:
    """Return page → the pages whose networks or numbers it uses, but those that are read before it anyway."""
    needs = {RESULTS + name: [RESULTS + other for other in own.chapters] for name, own in all_needs(root).items()}
    return {page: [o for o in needs.get(page, []) if o in pages and o not in _behind(page, reading)] for page in pages}


def _nearest(before: set[str], every: Mapping[str, set[str]]) -> list[str]:
    return sorted(o for o in before if not any(o in _behind(other, every) for other in before - {o}))


def _behind(page: str, every: Mapping) -> set[str]:
    """Return all that a page needs, directly or not."""
    found, waiting = set(), set(every[page])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting |= set(every[other])
    return found


def drawn(parts: Mapping, reading: Mapping, used: Mapping, titles: Mapping, addresses: Mapping) -> str:
    """Return the picture: pages from top to bottom, and an arc from each to those that need it.

    Parameters
    ----------
    parts : mapping
        Part of the book → its pages.
    reading, used : mapping
        Page → pages to read before it, and others whose networks or numbers it uses.
    titles, addresses : mapping
        Page → its title, and where it is.
    """
    places, texts, y = {}, [], 0
    for caption, pages in parts.items():
        y += LINE
        for line in textwrap.wrap(caption, LETTERS - 8):  # bold letters are wider
            y += LINE
            texts.append(f'<text class="part" x="{LEFT}" y="{y}">{html.escape(line)}</text>')
        for page in pages:
            y += LINE + 6
            places[page] = (len(places), y)
            before = ", ".join(titles[other] for other in reading[page])
            label = titles[page] + (f". To be read before it: {before}." if before else "")
            texts.append(_link(places[page], titles[page], label, addresses[page]))
            y += LINE * (len(textwrap.wrap(titles[page], LETTERS)) - 1)
    kinds = {"reading": reading, "used": used}
    pairs = [(kind, o, page) for kind, needs in kinds.items() for page, before in needs.items() for o in before]
    longest = max(abs(places[page][1] - places[other][1]) for _, other, page in pairs)
    arcs = "".join(_arc(kind, places[other], places[page], longest) for kind, other, page in pairs)
    # Who points at a page sees its own arcs stand out.
    lit = ",".join(f".map:has(#map-{n}:is(:hover,:focus-visible)) .at-{n}" for n, _ in places.values())
    return (
        f'<svg class="map" role="group" viewBox="0 0 {WIDTH} {y + LINE}" aria-label="Map of the pages: lines lead from '
        f'each page to those that need it."><style>{lit}{{stroke:var(--pst-color-primary);stroke-width:3;opacity:1}}'
        f"</style>{arcs}{''.join(texts)}</svg>"
    )


def _link(place: tuple[int, int], title: str, label: str, address: str) -> str:
    """Return a page of the map: a dot, and its title, which leads to it."""
    number, y = place
    spans = "".join(
        f'<tspan x="{LEFT}" dy="{LINE if n else 0}">{html.escape(line)}</tspan>'
        for n, line in enumerate(textwrap.wrap(title, LETTERS))
    )
    return (
        f'<a id="map-{number}" href="{html.escape(address)}" aria-label="{html.escape(label)}">'
        f'<circle cx="{LEFT - 12}" cy="{y - 4}" r="4"/><text y="{y}">{spans}</text></a>'
    )


def _arc(kind: str, start: tuple[int, int], end: tuple[int, int], longest: float) -> str:
    """Return the arc between two pages, (number, height) each; the farther they are apart, the wider it is."""
    (first, top), (second, bottom) = start, end
    x, wide = LEFT - 12, BEND + (LEFT - 16 - BEND) * math.sqrt(abs(bottom - top) / longest)
    control = f"{x - 1.3 * wide:.1f}"  # a cubic with both controls there bulges by three quarters of it
    path = f"M{x} {top - 4}C{control} {top - 4} {control} {bottom - 4} {x} {bottom - 4}"
    return f'<path class="{kind} at-{first} at-{second}" d="{path}"/>'


def draw_maps(app, doctree, docname) -> None:
    """Put the picture where a page has its place. Parts of the book in which nothing needs anything are left out."""
    for place in list(doctree.findall(Map)):
        parts = parts_of(yaml.safe_load((Path(app.srcdir) / "_toc.yml").read_text(encoding="utf-8")))
        pages = [page for part in parts.values() for page in part]
        reading = read_before(pages)
        used = used_by(pages, reading, Path(app.srcdir))
        tied = {page for needs in (reading, used) for page, before in needs.items() if before}
        parts = {caption: part for caption, part in parts.items() if tied.intersection(part)}
        titles = {page: app.env.titles[page].astext() for page in pages}
        addresses = {page: app.builder.get_relative_uri(docname, page) for page in pages}
        picture = drawn(parts, reading, used, titles, addresses)
        place.replace_self(nodes.raw("", f'<div class="map-box">{picture}</div>', format="html"))


def with_style(app, pagename, templatename, context, doctree) -> None:
    """Load the style where there is a map."""
    if 'class="map-box"' in context.get("body", ""):
        app.add_css_file("map.css")


def setup(app) -> dict:
    """Register the directive. Its page is read again in every build."""
    app.add_config_value("map_sources", digest_of(setup), "env")
    app.add_node(Map)
    app.add_directive("map", MapDirective)
    app.connect("doctree-resolved", draw_maps)
    app.connect("html-page-context", with_style)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
