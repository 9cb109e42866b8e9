"""What the tests of several explorables ask of a page."""

TEXTS = "p, th, td, button, label, figcaption, caption, span, b, strong, summary, div, text"
# A JavaScript function: the contrast of two colours [r, g, b] as the accessibility guidelines (WCAG 2) define it.
CONTRAST = """const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (one, other) => {
    const [a, b] = [luminance(one), luminance(other)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };"""
PARTS = "p, span, td, th, table, button, input, canvas, figcaption, div, svg, text"


def article(thing):
    """Return a number or a noun with its article, as pages write it."""
    return f"{'an' if str(thing)[0] in 'aeiou8' else 'a'} {thing}"


def out_of_view(page, size, selectors):
    """Return which of these elements do not lie wholly in a window of this size, the page scrolled to its top."""
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    page.evaluate("scrollTo(0, 0)")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")  # plots follow the width
    return page.evaluate(
        """(selectors) => selectors.flatMap((selector) => {
          const found = [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility());
          if (!found.length) return [`${selector} is not there`];
          return found.map((e) => e.getBoundingClientRect())
            .filter((b) => !(b.width && b.top >= 0 && b.left >= 0 && b.bottom <= innerHeight && b.right <= innerWidth))
            .map((b) => `${selector} ends at ${b.right.toFixed()}, ${b.bottom.toFixed()}`);
        })""",
        selectors,
    )


def button(page, name):
    """Return a button of the explorable by its name."""
    return page.locator(".explorable").get_by_role("button", name=name, exact=True)


def pressed(page):
    """Return the labels of the buttons that look pressed."""
    return page.locator(".explorable button[aria-pressed=true]").evaluate_all(
        "all => all.map((b) => b.ariaLabel || b.textContent)"
    )


def text_without_scripts(browser, address, name):
    """Return what stands in the place of an explorable where JavaScript is off."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    text = page.inner_text(f"#{name}")
    context.close()
    return text


def outside(page, selector=".explorable"):
    """Return what sticks out of the box of the explorable, and whether the page scrolls sideways."""
    return page.evaluate(
        """([selector, parts]) => {
          const problems = [], root = document.querySelector(selector), box = root.getBoundingClientRect();
          if (document.documentElement.scrollWidth > innerWidth) problems.push("the page scrolls sideways");
          for (const e of root.querySelectorAll(parts)) {
            const { left, right } = e.getBoundingClientRect();
            if (!e.closest(".explorable-spoken") && left < right && (left < box.left || right > box.right)) {
              problems.push(`${e.tagName} ${e.textContent}: ${left} to ${right}`);
            }
          }
          return problems;
        }""",
        [selector, PARTS],
    )


def faint(page, selector=".explorable"):
    """Return the texts whose contrast with the ground of the explorable is less than 4.5."""
    return page.evaluate(
        f"""([selector, texts]) => {{
          {CONTRAST}
          const parse = (text) => text.match(/[\\d.]+/g).map(Number);
          const root = document.querySelector(selector), ground = parse(getComputedStyle(root).backgroundColor);
          return [...root.querySelectorAll(texts)]
            .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
            .filter((e) => {{
              const style = getComputedStyle(e), ink = parse(e.tagName === "text" ? style.fill : style.color);
              return contrast(ink, ground) < 4.5;
            }}).map((e) => e.textContent);
        }}""",
        [selector, TEXTS],
    )
