"""The explorable of rounding: its arithmetic bit for bit against NumPy and rationals, its errors against `bea`."""

from fractions import Fraction
from urllib.parse import urljoin

import numpy as np
import pytest
from inline import CHAPTERS, change, chapter_page, drag, numbers, state, swipe, verdict

from bea.backward.linear_systems import system_error

NAME, VARIABLE = "rounding", "rounding"
page = chapter_page(NAME, f"#{NAME}-handle")


def nearest(value, bits):
    """Return the number with so many bits that is nearest to a rational one, ties to even."""
    value, unit = Fraction(value), Fraction(1)
    while value and abs(value) >= 2**bits * unit:
        unit *= 2
    while value and abs(value) < 2 ** (bits - 1) * unit:
        unit /= 2
    return round(value / unit) * unit


def exactly(A, b):
    """Return the solution of two equations by Cramer's rule, without any rounding."""
    ((a11, a12), (a21, a22)), (b1, b2) = [[Fraction(v) for v in row] for row in A], [Fraction(v) for v in b]
    determinant = a11 * a22 - a12 * a21
    return [(b1 * a22 - a12 * b2) / determinant, (a11 * b2 - b1 * a21) / determinant]


def eliminated(A, b, exchange, fl):
    """Return the solution by elimination, every number and every result rounded by ``fl``; None if a pivot is zero."""
    rows = [[fl(v) for v in (*row, side)] for row, side in zip(A, b, strict=True)]
    if exchange and abs(rows[1][0]) > abs(rows[0][0]):
        rows.reverse()
    (a11, a12, b1), (a21, a22, b2) = rows
    factor = fl(a21 / a11)
    pivot = fl(a22 - fl(factor * a12))
    if pivot == 0:
        return None
    second = fl(fl(b2 - fl(factor * b1)) / pivot)
    return [fl(fl(b1 - fl(a12 * second)) / a11), second]


@pytest.fixture(scope="module")
def systems(browser, site):
    """Return what the page computes for every number of bits, random angles and answers, and both methods."""
    rng = np.random.default_rng(0)
    cases = [
        {"bits": bits, "angle": int(angle), "exchange": exchange, "x": rng.uniform(0.05, 2.55, 2).tolist()}
        for bits in range(4, 25)
        for angle in (0, *rng.integers(1, 61, 7))
        for exchange in (True, False)
    ]
    page = browser.new_page()
    page.goto(urljoin(site, f"results/{CHAPTERS[NAME]}.html"))
    page.wait_for_selector(f"#{NAME}-handle")
    found = page.evaluate("cases => cases.map((c) => window.explorables.rounding.set(c))", cases)
    page.close()
    return found


def test_a_number_is_rounded_as_by_numpy_and_by_rationals(page):
    """As float16 and float32 do, and for any number of bits as defined; ties and powers of two too."""
    rng = np.random.default_rng(0)
    ties = [s * (1 + k / 2**t) for t in (8, 11, 24) for k in (1, 3, 2**t - 1) for s in (1, -1)]
    values = [*rng.standard_normal(100).tolist(), *ties, 0.0, 1.0, 2.0 - 2.0**-52, *(2.0**k for k in range(-13, 12, 4))]
    found = page.evaluate(
        "vs => Array.from({ length: 21 }, (_, k) => vs.map((v) => window.explorables.rounding.rounded(v, k + 4)))",
        values,
    )
    for bits, row in enumerate(found, start=4):
        assert row == [float(nearest(value, bits)) for value in values]
    np.testing.assert_array_equal(found[24 - 4], np.float32(values))
    normal = np.abs(values) >= np.finfo(np.float16).smallest_normal
    np.testing.assert_array_equal(np.array(found[11 - 4])[normal], np.float16(values)[normal])


def test_the_computed_answer_is_that_of_a_machine_with_so_few_bits(systems):
    """Bit for bit, with one rounding of each rational result; in single precision NumPy computes the same."""
    none = 0
    for s in systems:
        wanted = eliminated(s["A"], s["b"], s["exchange"], lambda value, bits=s["bits"]: nearest(value, bits))
        assert s["computed"] == (wanted and [float(value) for value in wanted])
        none += wanted is None
        if s["bits"] == 24:
            assert s["computed"] == eliminated(s["A"], s["b"], s["exchange"], np.float32)
    assert 0 < none < len(systems) / 4


def test_the_ring_is_the_exact_answer_and_errors_are_those_of_the_package(systems):
    """x solves the system to double precision; η, ΔA, Δb, forward error and condition number as `bea` has them."""
    for s in systems:
        np.testing.assert_allclose([float(v) for v in exactly(s["A"], s["b"])], s["x"], rtol=1e-9)
        if not s["computed"]:
            continue
        wanted = system_error(s["A"], s["b"], s["computed"], s["x"])
        for key in ("backward", "forward", "condition"):
            np.testing.assert_allclose(s[key], getattr(wanted, key), rtol=1e-6)
        np.testing.assert_allclose(s["dA"], wanted.dA, rtol=1e-6, atol=1e-15)
        np.testing.assert_allclose(s["db"], wanted.db, rtol=1e-6, atol=1e-15)
        assert s["forward"] <= s["condition"] * s["backward"] * (1 + 1e-8)


def test_the_computed_answer_is_exact_for_the_changed_lines(systems):
    """Solved without rounding, the nearby systems have the computed answer."""
    for s in systems:
        if s["computed"] and s["backward"]:
            A, b = np.add(s["A"], s["dA"]), np.add(s["b"], s["db"])
            found = np.array([float(v) for v in exactly(A, b)])
            slack = 1e-15 * s["condition"]  # of the sums A + ΔA and b + Δb in double precision
            assert np.linalg.norm(found - s["computed"]) <= slack * np.linalg.norm(s["computed"])


def test_with_row_exchange_the_backward_error_stays_at_the_unit_round_off(systems):
    """However nearly parallel the lines are, and however far off the answer; without, it does not."""
    units = {True: [], False: []}
    for s in systems:
        if s["computed"]:
            units[s["exchange"]].append(s["backward"] / s["unit"])
    assert max(units[True]) < 2
    assert max(units[False]) > 20
    assert max(s["forward"] for s in systems if s["computed"] and s["exchange"]) > 0.5


def test_the_page_shows_what_it_holds(page):
    """Sentence, bars and table have the numbers of the state; parallel lines have no answer."""
    found = change(page, VARIABLE, bits=8, angle=13, exchange=True)
    text = verdict(page, NAME)
    for key in ("forward", "backward"):
        assert f"{float(f'{100 * found[key]:.1e}'):g} %" in text
    shown = page.locator(f"#{NAME} .explorable-lengths .explorable-value").all_inner_texts()
    wanted = [found["unit"], found["backward"], found["condition"] * found["backward"], found["forward"]]
    np.testing.assert_allclose([float(value) for value in shown], wanted, rtol=0.05)
    widths = [
        sum(row)
        for row in page.locator(f"#{NAME} .explorable-lengths > div").evaluate_all(
            "all => all.map((bar) => [...bar.children].map((part) => parseFloat(part.style.width)))"
        )
    ]
    np.testing.assert_allclose(widths, 10 * (np.log10(wanted) + 8), atol=0.01)
    cells = dict(numbers(page, NAME))
    for name in ("backward error", "condition number", "forward error"):
        np.testing.assert_allclose(float(cells[name]), found[name.split()[0]], rtol=1e-3)
    assert [float(value) for value in cells["computed x̂"].split(", ")] == pytest.approx(found["computed"], rel=1e-5)
    blamed = {(0, True): "nothing is to blame", (0, False): "the method", (30, True): "the question"}
    for (angle, exchange), whom in blamed.items():
        change(page, VARIABLE, bits=11, angle=angle, exchange=exchange, x=[1.3, 1.1])
        assert verdict(page, NAME).endswith(f"{whom}.")
    assert change(page, VARIABLE, bits=4, angle=40)["computed"] is None
    assert verdict(page, NAME).startswith("No answer.")


def test_sliders_buttons_and_ring_are_operated(page):
    """By keys and mouse, and the lines keep crossing at the ring."""
    page.focus("#rounding-bits")
    page.keyboard.press("ArrowRight")
    assert state(page, VARIABLE)["bits"] == 9
    page.focus("#rounding-angle")
    page.keyboard.press("ArrowLeft")
    assert state(page, VARIABLE)["angle"] == 14
    page.locator(f"#{NAME}").get_by_role("button", name="without", exact=True).click()
    start = state(page, VARIABLE)
    assert start["exchange"] is False
    page.focus(f"#{NAME}-handle")
    page.keyboard.press("ArrowUp")
    pushed = state(page, VARIABLE)
    drag(page, NAME, -40, 30)
    dragged = state(page, VARIABLE)
    assert start["x"][1] < pushed["x"][1] > dragged["x"][1]
    assert dragged["x"][0] < pushed["x"][0]
    np.testing.assert_allclose([float(v) for v in exactly(dragged["A"], dragged["b"])], dragged["x"], rtol=1e-12)


def test_a_finger_moves_the_answer(open_explorable):
    """On a phone too, without scrolling the page."""
    page = open_explorable(f"../results/{CHAPTERS[NAME]}", f"#{NAME}-handle", width=390, has_touch=True, is_mobile=True)
    page.evaluate("document.getElementById('rounding-handle').scrollIntoView({ block: 'center' })")
    before, scrolled = state(page, VARIABLE), page.evaluate("scrollY")
    swipe(page, NAME, 30, -40)
    after = state(page, VARIABLE)
    assert after["x"][0] > before["x"][0]
    assert after["x"][1] > before["x"][1]
    assert page.evaluate("scrollY") == scrolled
