"""The pages of the smoke book, as a browser shows them."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from axe_core_python import sync_playwright as axe

from explorable import CONTRAST

TOC = yaml.safe_load((Path(__file__).resolve().parents[1] / "_toc.yml").read_text(encoding="utf-8"))


def _files(node):
    """Yield every file that a table of contents names."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key in ("root", "file"):
            yield value
        elif isinstance(value, dict | list):
            yield from _files(value)


CHAPTERS = [f"{file}.html" for file in _files(TOC)]
NUMBERED = [f"{file}.html" for part in TOC["parts"] if part.get("numbered", True) for file in _files(part)]
NOTEBOOKS = [page for page in CHAPTERS if page.startswith("results/")]
PAGES = [*CHAPTERS, "search.html", "genindex.html", "404.html"]
AXE = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


SETTLE = """async () => {
  if (window.MathJax?.startup?.promise) await MathJax.startup.promise;
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
  await document.fonts.ready;
}"""

# Every helper below works on what a reader can see, so not in folded boxes and not on text for screen readers only.
HELPERS = """
  const seen = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const name = (e) => e.tagName.toLowerCase() + [...e.classList].map((c) => "." + c).join("") + " «"
    + e.textContent.trim().replace(/\\s+/g, " ").slice(0, 40) + "»";
"""

OVERFLOW = f"""() => {{
  {HELPERS}
  const problems = [];
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth) problems.push(`the page is ${{width}} px wide in a window of ${{innerWidth}} px`);
  // What keeps the right end of e from the reader: the window, or a box that neither grows nor scrolls.
  const limit = (e, right) => {{
    for (let a = e.parentElement; a && a !== document.body; a = a.parentElement) {{
      const style = getComputedStyle(a), box = a.getBoundingClientRect();
      if (style.clip !== "auto" || style.clipPath !== "none") return null; // hidden on purpose
      if (style.display === "inline" || style.overflowX === "visible") continue;
      if (/auto|scroll/.test(style.overflowX)) return null;
      if (a instanceof SVGElement || box.width <= 2) return null;
      if (right > box.right + 1) return a;
    }}
    return right > innerWidth + 1 ? document.documentElement : null;
  }};
  for (const e of document.body.querySelectorAll("*")) {{
    const box = e.getBoundingClientRect();
    if (!(box.width && box.height && seen(e)) || getComputedStyle(e).clip !== "auto") continue;
    if (e.parentElement.closest("mjx-container")) continue; // boxes of accents are larger than their ink
    if (e instanceof SVGElement && getComputedStyle(e).clipPath !== "none") continue; // its box has what is cut off
    const by = limit(e, box.right);
    if (by) problems.push(`${{name(e)}} ends at ${{box.right.toFixed()}} px, beyond ${{name(by).slice(0, 40)}}`);
  }}
  return problems;
}}"""

FORMULAS = f"""() => {{
  {HELPERS}
  const errors = document.querySelectorAll("mjx-merror, mjx-container [mathcolor=red]"); // red: unknown macros
  const problems = [...errors].map((e) => "error in a formula: " + name(e));
  for (const e of document.querySelectorAll(".math.notranslate")) {{
    const set = e.querySelector("mjx-container"), box = set && set.getBoundingClientRect();
    if (!set) problems.push("not set: " + name(e));
    else if (seen(set) && !(box.width && box.height)) problems.push("empty: " + name(e));
  }}
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {{
    const text = walker.currentNode;
    if (text.parentElement.closest("script, style, code, pre, .highlight, mjx-container")) continue;
    if (/\\\\[([]|\\$\\$|\\$[^\\s$][^$]*\\$/.test(text.data)) {{
      problems.push("raw TeX: " + text.data.trim().slice(0, 60));
    }}
  }}
  return problems;
}}"""

IMAGES = f"""() => {{
  {HELPERS}
  const problems = [];
  for (const image of document.images) {{
    if (!(image.complete && image.naturalWidth > 0)) problems.push("not loaded: " + image.src.slice(0, 80));
    if (!image.alt.trim()) problems.push("no alt: " + image.src.slice(0, 80));
  }}
  for (const svg of document.querySelectorAll(".bea-figure svg")) {{
    const box = svg.getBoundingClientRect(), label = (svg.getAttribute("aria-label") || "").trim();
    if (!label) problems.push("a figure without aria-label: " + name(svg));
    if (!(box.width > 50 && box.height > 20)) problems.push("a figure without size: " + label);
    for (const text of svg.querySelectorAll("text")) {{
      const ink = text.getBoundingClientRect();
      const slack = parseFloat(getComputedStyle(text).fontSize) / 2; // boxes of text are larger than its ink
      if (Math.max(box.left - ink.left, ink.right - box.right, box.top - ink.top, ink.bottom - box.bottom) > slack) {{
        problems.push(`cut off at the edge of a figure: ${{name(text)}} in «${{label.slice(0, 40)}}»`);
      }}
    }}
  }}
  return problems;
}}"""

FAINT = f"""(dark) => {{
  {HELPERS}
  {CONTRAST}
  const parse = (colour) => {{
    const [r, g, b, alpha = 1] = (colour.match(/^rgba?\\((.*)\\)$/)?.[1] ?? "").split(/[\\s,/]+/).map(Number);
    return {{ rgb: [r, g, b], alpha }};
  }};
  const ground = (e) => {{
    for (; e; e = e.parentElement) {{
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.alpha > 0) return colour;
    }}
    return parse("rgb(255, 255, 255)");
  }};
  const problems = [];
  const compare = (e, colour, least) => {{
    const ratio = contrast(parse(colour).rgb, ground(e).rgb);
    if (!(ratio >= least)) problems.push(`${{name(e)}} in ${{colour}} has a contrast of ${{ratio.toFixed(1)}}`);
  }};
  for (const text of document.querySelectorAll(".bea-figure svg text, .explorable svg text")) {{
    compare(text, getComputedStyle(text).fill, 4.5);
  }}
  for (const e of dark ? document.querySelectorAll(".bea-figure svg :is(path, line, use)") : []) {{
    const {{ stroke }} = getComputedStyle(e);
    if (stroke !== "none") compare(e, stroke, 1.5); // faint is a choice, black on black is not
  }}
  return [...new Set(problems)];
}}"""

# Axe reads every element several times. A figure has a description instead, and of a formula only the text counts.
LEAN = """for (const e of document.querySelectorAll(".bea-figure svg, mjx-container")) {
  e.replaceChildren(e.localName === "svg" ? "" : e.textContent);
}"""

# What axe finds serious, but for colours.
SERIOUS = """async () => {
  const rules = { "color-contrast": { enabled: false } };
  const found = await axe.run({ exclude: [[".bea-figure svg"]] }, { resultTypes: ["violations"], rules });
  return found.violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.length} times, ${nodes.slice(0, 2).map((n) => n.html.slice(0, 150))}`);
}"""

# What axe finds too faint. Letters of the same colour, size and weight on the same ground are looked at twice at most.
COLOURS = """async () => {
  const grounds = new Map([[null, ""]]), times = new Map(), include = new Set();
  const ground = (e) => {
    if (!grounds.has(e)) {
      const style = getComputedStyle(e);
      const own = [style.backgroundColor, style.backgroundImage, style.opacity, style.filter, style.mixBlendMode];
      const behind = ground(e.parentElement), paints = own.join() !== "rgba(0, 0, 0, 0),none,1,none,normal";
      grounds.set(e, paints ? `${behind} < ${own}` : behind);
    }
    return grounds.get(e);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (include.has(e) || !walker.currentNode.data.trim() || !e.checkVisibility({ visibilityProperty: true })) continue;
    const { color, fontSize, fontWeight, textShadow } = getComputedStyle(e);
    const look = [color, fontSize, fontWeight, textShadow, ground(e)].join();
    times.set(look, (times.get(look) ?? 0) + 1);
    if (times.get(look) <= 2) include.add(e);
  }
  const options = { resultTypes: ["violations"], runOnly: ["color-contrast"] };
  const found = await axe.run({ include: [...include], exclude: [[".bea-figure svg"]] }, options);
  return found.violations.flatMap(({ id, nodes }) => nodes.map((n) => `${id}: ${n.html.slice(0, 150)}`));
}"""

# What opens or turns dark fades in, and is faint meanwhile.
STILL = "Promise.allSettled(document.getAnimations().map(({ finished }) => finished))"

# The size of the letters of every text of a figure in pixels; exponents and indices are smaller than their base.
LETTERS = """() => [...document.querySelectorAll(".bea-figure svg text")].map((text) => {
  const scale = text.ownerSVGElement.getBoundingClientRect().width / text.ownerSVGElement.viewBox.baseVal.width;
  const sizes = [text, ...text.querySelectorAll("tspan")].filter((e) => e.childElementCount === 0)
    .map((e) => parseFloat(getComputedStyle(e).fontSize));
  return [Math.max(...sizes) * scale, text.ownerSVGElement.ariaLabel.slice(0, 60)];
})"""

# How many screens of 800 px a page is long, and where its first picture begins, in screens.
LENGTH = """() => {
  const first = document.querySelector("article .bea-figure svg, article .explorable");
  const page = document.querySelector("article") ?? document.body; // that of the search is no article
  return [page.getBoundingClientRect().height / 800,
          first ? (first.getBoundingClientRect().top + scrollY) / 800 : Infinity];
}"""

THEME = """async (scheme) => {
  const page = document.documentElement.dataset;
  for (let i = 0; page.theme !== scheme && i < 100; i++) await new Promise((resume) => setTimeout(resume, 50));
  return page.theme;
}"""

SOLUTIONS = """() => [...document.querySelectorAll(".admonition")]
  .filter((e) => /^Exercise/.test(e.querySelector(".admonition-title")?.textContent.trim() ?? ""))
  .map((e) => e.nextElementSibling)
  .map((e) => e?.matches(".cell") ? e.firstElementChild : e)"""


@dataclass
class Visit:
    """What was wrong on a page, by kind."""

    traffic: list
    overflow: list
    formulas: list
    images: list
    contrast: list
    serious: list
    letters: list
    solutions: list
    length: list


def turn(page, scheme):
    """Let the reader prefer light or dark, and return what the page is then."""
    page.emulate_media(color_scheme=scheme)
    return page.evaluate(THEME, scheme)


def faint_text(page, scheme):
    """Return what axe finds too faint on a page where it is loaded."""
    turn(page, scheme)
    page.evaluate(STILL)
    return page.evaluate(COLOURS)


WIDTHS = (1280, 390)


@pytest.fixture(scope="module", params=PAGES)
def visit(request, site, browser, watch):
    """Load a page once, unfold everything, in a wide and a narrow window, and write down what is wrong.

    What axe finds takes longest, so that it is asked for last, and in the wide window only, which shows all parts of
    the frame.
    """
    wide = {"width": 1280, "height": 900}
    context = browser.new_context(viewport=wide, color_scheme="light", reduced_motion="reduce")
    traffic = watch(context, site)
    page = context.new_page()
    page.goto(site + request.param)
    page.evaluate(SETTLE)
    length = page.evaluate(LENGTH)

    page.add_style_tag(content="* { transition: none !important }")  # sidebars glide where a window gets narrower

    def in_both(look, state):
        found = []
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            found += [f"{width} px, {state}: {problem}" for problem in page.evaluate(look)]
        return found

    overflow = in_both(OVERFLOW, "as it comes")
    solutions = []
    for index, solution in enumerate(page.evaluate_handle(SOLUTIONS).get_properties().values(), start=1):
        box = solution.as_element()
        if box is None or box.evaluate("e => e.tagName") != "DETAILS":
            solutions.append(f"exercise {index} is not followed by a folded solution")
            continue
        if box.evaluate("e => e.open"):
            solutions.append(f"solution {index} is open from the start")
        box.query_selector("summary").click()
        if not box.evaluate("e => e.open && e.lastElementChild.checkVisibility()"):
            solutions.append(f"solution {index} does not open on a click")

    page.mouse.move(0, 0)  # away from what moves under it: a link shows where it leads
    page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    letters = page.evaluate(LETTERS)  # the window is narrow now
    overflow += in_both(OVERFLOW, "unfolded")
    formulas, images = in_both(FORMULAS, "unfolded"), in_both(IMAGES, "unfolded")
    page.set_viewport_size(wide)
    contrast, serious = [], []
    page.evaluate(AXE)
    for scheme in ("light", "dark"):
        if turn(page, scheme) != scheme:
            contrast.append(f"the page does not turn {scheme} for a reader who prefers that")
        contrast += [f"{scheme}: {problem}" for problem in page.evaluate(FAINT, scheme == "dark")]
    page.evaluate(LEAN)
    for scheme in ("dark", "light"):
        serious += [f"{scheme}: {problem}" for problem in faint_text(page, scheme)]
    serious += page.evaluate(SERIOUS)
    context.close()
    return Visit(traffic, overflow, formulas, images, contrast, serious, letters, solutions, length)


def fail_with(problems):
    """Fail where there are problems, and name all of them."""
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def test_a_page_loads_without_error_and_asks_no_other_machine(visit):
    """No error in the console, no request that fails, none that leaves the site: the book works offline."""
    fail_with(visit.traffic)


def test_nothing_on_a_page_is_too_wide(visit):
    """The page does not scroll sideways, and whatever is wider than its place scrolls there, folded parts included."""
    fail_with(visit.overflow)


def test_every_formula_of_a_page_is_set(visit):
    """MathJax has set every formula without error, and no TeX is left in the text."""
    fail_with(visit.formulas)


def test_images_and_figures_are_drawn_and_described(visit):
    """Images load and figures have a size; both have a text for those who cannot see them; no label is cut off."""
    fail_with(visit.images)


def test_figures_can_be_read_on_light_and_dark(visit):
    """The page follows the reader's preference, and in both cases the text of figures stands out (4.5 to 1)."""
    fail_with(visit.contrast)


def test_axe_finds_nothing_serious(visit):
    """Neither in the text nor in the theme, light or dark. (What figures show has a description instead.)"""
    fail_with(visit.serious)


def test_letters_of_figures_can_be_read_on_a_phone(visit, request):
    """Nine pixels at least, where a page is 390 wide; the first page and every notebook have some."""
    assert visit.letters or request.node.callspec.params["visit"] not in [CHAPTERS[0], *NOTEBOOKS]
    fail_with([f"{size:.1f} px in «{label}»" for size, label in visit.letters if size < 8.99])  # rounding


def test_solutions_are_folded_and_open_on_a_click(visit):
    """Every exercise is followed by its solution, which shows only when the reader asks."""
    fail_with(visit.solutions)


def test_a_chapter_begins_with_a_picture_and_ends_soon(visit, request):
    """On a wide screen: the picture in the first screen, at most twelve screens in all, boxes folded."""
    screens, first = visit.length
    if request.node.callspec.params["visit"] in NOTEBOOKS:
        assert screens <= 12
        assert first < 1


def test_the_front_door_leads_into_the_book(site, browser, watch):
    """The address of the book alone opens its first page."""
    context = browser.new_context()
    problems = watch(context, site)
    page = context.new_page()
    page.goto(site)
    page.wait_for_url(site + CHAPTERS[0], timeout=10_000)
    context.close()
    fail_with(problems)


@pytest.mark.parametrize("page", [CHAPTERS[0], "book/plane.html", NOTEBOOKS[0]])
def test_a_page_works_without_a_server(page, smoke, browser, watch):
    """Opened from the disk, a page asks for nothing but files, has no error, and shows its formulas."""
    base = (smoke / "_build" / "html").as_uri() + "/"
    context = browser.new_context()
    problems = watch(context, base)
    tab = context.new_page()
    tab.goto(base + page)
    tab.evaluate(SETTLE)
    problems += tab.evaluate(FORMULAS) + tab.evaluate(IMAGES)
    context.close()
    fail_with(problems)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_one_faint_word_among_many_is_found(scheme, site, browser):
    """Wherever its colour comes from: itself, its ground, or what lets all of it shine through."""
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(site + "book/notation.html")
    page.evaluate(AXE)
    words = page.query_selector_all("article p:not(.provenance)")
    for place, style in ((0, "color: #888c"), (0, "background: #888"), (-1, "opacity: 0.3")):
        assert faint_text(page, scheme) == []
        before = words[place].get_attribute("style") or ""
        words[place].evaluate("(e, style) => e.setAttribute('style', style)", style)
        assert any(style in problem for problem in faint_text(page, scheme))
        words[place].evaluate("(e, style) => e.setAttribute('style', style)", before)
    context.close()


@pytest.mark.parametrize("place", ["server", "disk"])
def test_the_search_finds_a_word_of_the_book(place, site, smoke, browser, watch):
    """A search for a word that is in the book lists pages that exist, with and without a server."""
    base = site if place == "server" else (smoke / "_build" / "html").as_uri() + "/"
    context = browser.new_context()
    problems = watch(context, base)
    page = context.new_page()
    page.goto(base + "search.html?q=residual")
    page.wait_for_selector("#search-results li a", timeout=10_000)
    target = page.get_attribute("#search-results li a", "href")
    context.close()
    assert (smoke / "_build" / "html" / urlsplit(target).path).is_file(), target
    if place == "server":  # from the disk, Sphinx cannot fetch the excerpts and says so
        fail_with(problems)


# ---- the scorecard, moved ------------------------------------------------------


@pytest.fixture
def open_scorecard(browser, site, watch):
    """Return a function that opens the scorecard at a state, in a window of its own."""
    contexts = []

    def open_page(state="", page="book/scorecard.html", base=site, **settings):
        contexts.append(browser.new_context(**settings))
        problems = watch(contexts[-1], base)
        tab = contexts[-1].new_page()
        tab.goto(f"{base}{page}{state}")
        return tab, problems

    yield open_page
    for context in contexts:
        context.close()


def shown_rows(page):
    """Return the ids of the rows that can be seen."""
    return page.locator("article.claim").evaluate_all("all => all.filter((e) => e.checkVisibility()).map((e) => e.id)")


@pytest.mark.parametrize("place", ["server", "disk"])
def test_rows_are_filtered_by_keyboard_and_the_address_keeps_the_state(open_scorecard, smoke, site, place):
    """By paper and words; the count is said; who opens the new address sees the same, and "Show all" ends it."""
    base = site if place == "server" else (smoke / "_build" / "html").as_uri() + "/"
    page, problems = open_scorecard(base=base)
    assert len(shown_rows(page)) == 77
    page.get_by_label("paper").focus()
    page.keyboard.press("ArrowDown")
    assert shown_rows(page) == [f"B{number}" for number in range(1, 23)]
    page.get_by_label("words").focus()
    page.keyboard.type("TABLE 2")
    found = shown_rows(page)
    assert "B13" in found
    assert len(found) < 22
    assert page.locator(".claim-filter output").inner_text() == f"{len(found)} of 77 shown"
    assert page.locator(".claim-filter output").get_attribute("aria-live") == "polite"
    assert page.locator("h2").evaluate_all("all => all.filter((e) => e.checkVisibility()).length") == 1
    again, _ = open_scorecard(base=base, state="#" + urlsplit(page.url).fragment)
    assert shown_rows(again) == found
    again.get_by_role("button", name="Show all").click()
    assert len(shown_rows(again)) == 77
    assert not urlsplit(again.url).fragment
    fail_with(problems)


def test_a_link_to_a_claim_shows_it_whatever_the_filter_was(open_scorecard):
    """Its row is in view; a state that names no value is ignored."""
    page, problems = open_scorecard("#paper=P&words=theorem&verdict=nonsense")
    assert shown_rows(page)
    assert all(name.startswith("P") for name in shown_rows(page))
    page.evaluate("location.hash = 'B13'")
    page.wait_for_function("document.getElementById('B13').checkVisibility()")
    assert page.locator("#B13").evaluate("e => e.getBoundingClientRect().top < innerHeight")
    fail_with(problems)


def test_a_claim_is_one_line_until_it_is_opened(open_scorecard):
    """By a click, the keyboard or its address; all 77 are at most twelve screens."""
    page, problems = open_scorecard("#B13", viewport={"width": 1280, "height": 800})
    opened = "all => all.filter((e) => e.open).map((e) => e.parentElement.id)"
    folds = page.locator("article.claim > details")
    assert folds.evaluate_all(opened) == ["B13"]
    assert page.locator("#B13 .claim-why").is_visible()
    page.locator("#B13 summary").click()
    page.locator("#D2 summary").focus()
    page.keyboard.press("Enter")
    assert folds.evaluate_all(opened) == ["D2"]
    page.keyboard.press("Enter")
    assert page.locator("article.claim").evaluate_all("all => Math.max(...all.map((e) => e.offsetHeight))") < 60
    assert page.evaluate("document.documentElement.scrollHeight") <= 12 * 800
    line, cut = page.locator("#B1 .claim-line p"), "e => e.scrollHeight > e.clientHeight + 1"
    assert line.evaluate(cut)
    page.locator("#B1 summary").click()
    assert not line.evaluate(cut)
    fail_with(problems)


@pytest.mark.parametrize("page", ["book/scorecard.html", "book/findings.html"])
def test_without_scripts_all_rows_are_there(open_scorecard, page):
    """And no control that would do nothing."""
    tab, problems = open_scorecard(page=page, java_script_enabled=False)
    assert tab.locator("article.claim").count() >= 15
    assert tab.locator("article.claim[hidden], .claim-filter").count() == 0
    fail_with([problem for problem in problems if not problem.endswith(": csp")])  # a script that is off


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_of_verdicts_stand_out(open_scorecard, scheme):
    """Three to one against the page, as shapes must."""
    page, problems = open_scorecard(color_scheme=scheme)
    assert page.evaluate(THEME, scheme) == scheme
    ratios = page.evaluate(
        f"""() => {{
          {CONTRAST}
          const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
          const ground = parse(getComputedStyle(document.body).backgroundColor);
          return [...document.querySelectorAll(".standing svg, .small-axis path:is(.published, .ours):not(.range)")]
            .map((e) => contrast(parse(getComputedStyle(e)[e.localName === "path" ? "fill" : "color"]), ground));
        }}"""
    )
    assert min(ratios) >= 3
    fail_with(problems)
