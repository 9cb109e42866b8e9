"""The explorable of the page "Backward error in the plane": what it computes, prints and does when it is moved."""

import math

import numpy as np
import pytest

from bea.backward.linear_systems import system_error
from explorable import outside

STATE = "window.explorables.plane.state()"
START = "well conditioned"
PRESETS = [START, "stretched", "nearly singular"]


@pytest.fixture
def open_plane(open_explorable):
    """Return a function that opens the page, its ring in view; see `open_explorable`."""

    def open_page(*where, **settings):
        page = open_explorable("plane", "#plane-handle", *where, **settings)
        page.locator("#plane-handle").scroll_into_view_if_needed()
        return page

    return open_page


def assert_right(found):
    """Hold what the page computed against `bea` and NumPy."""
    A, b, x_hat = (np.array(found[key], dtype=float) for key in ("A", "b", "xhat"))
    error = system_error(A, b, x_hat)
    r = b - A @ x_hat
    wanted = {
        "eta": error.backward,
        "dA": error.dA,
        "db": error.db,
        "forward": error.forward,
        "cond": error.condition,
        "bound": error.condition * error.backward,
        "kappa2": np.linalg.cond(A),
        "x": np.linalg.solve(A, b),
        "r": r,
        "residual_axes": np.linalg.norm(r) / np.linalg.svd(A, compute_uv=False),
    }
    for key, value in wanted.items():
        slack = 1e-10 * np.abs(value).max()
        np.testing.assert_allclose(found[key], value, rtol=1e-6, atol=slack, err_msg=f"{key} of {found}")
    dA, db = np.array(found["dA"]), np.array(found["db"])
    np.testing.assert_allclose((A + dA) @ x_hat, b + db, rtol=1e-12, atol=1e-12 * np.abs(A).max() * np.abs(x_hat).max())


def assert_printed(text, value, digits):
    """Compare a number on the page, rounded to some digits, with the number itself."""
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1) if value else 0
    assert abs(float(text.replace("−", "-")) - value) <= 0.501 * unit, f"the page says {text} for {value}"


def assert_page_right(page):
    """Check the numbers that the page holds, and that it shows the same. Return them."""
    state = page.evaluate(STATE)
    assert_right(state)
    A, b, dA, db = (np.array(state[key]) for key in ("A", "b", "dA", "db"))
    values = [state["eta"], np.linalg.norm(dA) / np.linalg.norm(A), np.linalg.norm(db) / np.linalg.norm(b)]
    values += [state[key] for key in ("forward", "cond", "bound", "kappa2")]
    texts = page.locator(".explorable-table td.explorable-value").all_text_contents()
    for text, value in zip(texts, values, strict=True):
        assert_printed(text, value, digits=4)
    texts = page.locator(".explorable-results .explorable-matrix span").all_text_contents()
    for text, value in zip(texts, [*(A + dA).ravel(), *(b + db)], strict=True):
        assert_printed(text, value, digits=6)
    fields = page.locator(".explorable-inputs input").evaluate_all("inputs => inputs.map(i => Number(i.value))")
    np.testing.assert_allclose(fields, [*A.ravel(), *b, *state["xhat"]], rtol=1e-5)
    verdict = page.inner_text(".explorable-verdict").replace("\u00a0", " ")
    assert f" {float(f'{100 * values[0]:.1e}'):g} %" in verdict, f"{verdict} for η = {values[0]}"
    return state


def ring(page):
    """Return where the ring's centre is in the window, in pixels."""
    box = page.locator("#plane-handle .explorable-ring").bounding_box()
    return np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])


def test_numbers_equal_those_of_the_package(open_plane):
    """On random systems with condition numbers from 1 to 10⁴, whatever the page computes is what `bea` computes."""
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((50, 2, 2)))[0] for _ in range(2))
    sizes = np.exp(rng.standard_normal((50, 1))) * np.stack([np.ones(50), np.logspace(0, -4, 50)], axis=1)
    A = (U * sizes[:, None, :]) @ V
    b, x_hat = rng.standard_normal((2, 50, 2))
    systems = [[A.tolist(), b.tolist(), x.tolist()] for A, b, x in zip(A, b, x_hat, strict=True)]
    found = open_plane().evaluate("systems => systems.map((s) => window.explorables.plane.compute(...s))", systems)
    for (A, b, x), numbers in zip(systems, found, strict=True):
        assert_right({"A": A, "b": b, "xhat": x, **numbers})


def test_the_mouse_moves_the_solution_and_nothing_else(open_plane):
    """The ring stays under the mouse, x̂ goes the same way on equal scales, and every number shown follows."""
    page = open_plane()
    before, start = assert_page_right(page), ring(page)
    way = np.array([-60, -40])  # left and up
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*(start + way), steps=5)
    np.testing.assert_allclose(ring(page), start + way, atol=1.5)
    dragged = assert_page_right(page)
    page.mouse.up()
    after = assert_page_right(page)
    step = np.subtract(after["xhat"], before["xhat"])
    assert step[0] < 0 < step[1]
    np.testing.assert_allclose(step[0] / step[1], -60 / 40, rtol=0.05)
    assert after["xhat"] == dragged["xhat"]
    assert (after["A"], after["b"]) == (before["A"], before["b"])
    page.mouse.move(*start, steps=20)
    assert page.evaluate(STATE)["xhat"] == after["xhat"], "the ring follows a mouse that has let go"


def test_the_keyboard_moves_the_solution(open_plane):
    """Arrows move one coordinate, finer with Shift, coarser with the page keys; the other stays to the last bit."""
    page = open_plane()
    page.focus("#plane-handle")
    arrows = [("ArrowRight", 0, 1), ("ArrowLeft", 0, -1), ("ArrowUp", 1, 1), ("ArrowDown", 1, -1)]
    fine = [(f"Shift+{key}", axis, size / 10) for key, axis, size in arrows]
    coarse = [("PageUp", 1, 10), ("PageDown", 1, -10), ("Home", 0, -10), ("End", 0, 10)]
    unit = None
    for key, axis, size in [*arrows, *fine, *coarse]:
        before = page.evaluate(STATE)["xhat"]
        page.keyboard.press(key)
        after = assert_page_right(page)["xhat"]
        step = after[axis] - before[axis]
        unit = unit or step
        assert after[1 - axis] == before[1 - axis], key
        np.testing.assert_allclose(step, size * unit, rtol=0.02, err_msg=key)
    value = page.get_attribute("#plane-handle", "aria-valuetext")
    assert f"{after[0]:.5f}" in value, "a screen reader hears another place"


def test_a_finger_moves_the_solution_and_not_the_page(open_plane):
    """On a phone, a finger on the ring drags it while the page stays; beside the panel, a finger scrolls the page."""
    page = open_plane(width=390, has_touch=True, is_mobile=True)
    page.evaluate("document.getElementById('plane-handle').scrollIntoView({ block: 'center' })")
    touch = page.context.new_cdp_session(page)

    def swipe(start, way):
        steps = [start + way * k / 8 for k in range(9)]
        for kind, at in [("touchStart", steps[0]), *(("touchMove", at) for at in steps[1:]), ("touchEnd", None)]:
            points = [] if at is None else [{"x": float(at[0]), "y": float(at[1])}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before, start, scrolled = assert_page_right(page), ring(page), page.evaluate("scrollY")
    swipe(start, np.array([-50, -70]))
    after = assert_page_right(page)
    assert after["xhat"][0] < before["xhat"][0]
    assert after["xhat"][1] > before["xhat"][1]
    assert page.evaluate("scrollY") == scrolled
    swipe(np.array([8, 500]), np.array([0, -200]))
    page.wait_for_function("before => scrollY > before + 50", arg=scrolled, timeout=5000)
    assert page.evaluate(STATE)["xhat"] == after["xhat"]


def test_the_examples_show_ever_worse_conditioned_systems(open_plane):
    """Each button sets its system, only its button looks pressed, and reset goes back to its start."""
    page = open_plane()
    pressed = page.locator(".explorable-buttons button[aria-pressed=true]")
    assert pressed.all_inner_texts() == [START]
    states = []
    for name in [*PRESETS[1:], PRESETS[0]]:
        page.get_by_role("button", name=name, exact=True).click()
        assert pressed.all_inner_texts() == [name]
        start = assert_page_right(page)
        page.focus("#plane-handle")
        page.keyboard.press("ArrowUp")
        moved = assert_page_right(page)
        assert moved["xhat"][1] > start["xhat"][1]
        page.get_by_role("button", name="reset", exact=True).click()
        assert assert_page_right(page) == start
        states.append(start)
    stretched, singular, well = (state["kappa2"] for state in states)
    assert well < 5 < stretched < 100 < 1000 < singular
    assert len({tuple(state["xhat"]) for state in states}) == 3


@pytest.mark.parametrize(
    ("label", "text", "message", "fields"),
    [
        ("A, row 2, column 2", "0.5", "A is singular", ["A, row 1, column 1", "A, row 1, column 2"]),
        ("b, entry 1", "", "b₁ needs a number", ["b, entry 1"]),
        ("A, row 1, column 2", "", "a₁₂ needs a number", ["A, row 1, column 2"]),
        ("computed solution, entry 2", "", "x̂₂ needs a number", ["computed solution, entry 2"]),
    ],
)
def test_invalid_data_are_named_and_change_nothing(open_plane, label, text, message, fields):
    """One alert says what is wrong and where, the page keeps the last valid numbers, and recovers with the field."""
    page = open_plane()
    alerts = page.locator("[role=alert]").filter(has_text=".")
    before, place = assert_page_right(page), page.get_attribute("#plane-handle", "transform")
    assert alerts.count() == 0
    field = page.get_by_label(label, exact=True)
    valid = field.input_value()
    field.fill(text)
    assert alerts.count() == 1
    assert alerts.inner_text().startswith(message)
    marked = page.locator("input[aria-invalid=true]").evaluate_all("all => all.map(e => e.ariaLabel)")
    assert marked[: len(fields)] == fields
    assert len(marked) == (4 if "singular" in message else 1)
    assert page.evaluate(STATE) == before
    assert page.get_attribute("#plane-handle", "transform") == place
    field.fill(valid)
    assert alerts.count() == 0
    assert page.locator("input[aria-invalid=true]").count() == 0
    assert assert_page_right(page) == before


def test_a_number_typed_in_is_used(open_plane):
    """A field takes any number, and only its own entry changes."""
    page = open_plane()
    before = page.evaluate(STATE)
    page.get_by_label("A, row 1, column 2", exact=True).fill("-1.25")
    page.get_by_label("computed solution, entry 1", exact=True).fill("3e-1")
    after = assert_page_right(page)
    assert after["A"] == [[before["A"][0][0], -1.25], before["A"][1]]
    assert after["xhat"] == [0.3, before["xhat"][1]]
    assert after["b"] == before["b"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_works_without_a_server_on_light_and_dark(open_plane, smoke, scheme):
    """Opened from the disk, in either colour scheme, the page works and asks for nothing but files."""
    page = open_plane((smoke / "_build" / "html").as_uri() + "/", color_scheme=scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    before = assert_page_right(page)
    page.focus("#plane-handle")
    page.keyboard.press("ArrowRight")
    assert assert_page_right(page)["xhat"][0] > before["xhat"][0]


@pytest.mark.parametrize("width", [320, 390])
def test_it_fits_a_narrow_window(open_plane, width):
    """Whatever the example and wherever x̂ is, the page does not scroll sideways and nothing sticks out of the box."""
    page = open_plane(width=width)
    for name in PRESETS:
        page.get_by_role("button", name=name, exact=True).click()
        assert outside(page) == []
        page.focus("#plane-handle")
        for key in ("End", "End", "PageUp", "Home"):
            page.keyboard.press(key)
            assert outside(page) == []
