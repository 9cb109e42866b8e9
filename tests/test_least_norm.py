"""The explorable *least norm* of the chapter on one layer: its numbers against `bea`, and how it is moved."""

import numpy as np
from inline import change, chapter_page, drag, numbers, state, swipe, verdict

from bea import Dense, Network, backward_error

NAME, VARIABLE = "least-norm", "leastNorm"
page = chapter_page(NAME, f"#{NAME}-handle")


def by_bea(A, x, wanted, relative):
    """Return ΔA, Δx, the two relative norms and the output of the changed network, for y = A x.

    The network has a second output, always zero: `bea` asks for at least two.
    """
    net, image = Network((Dense(np.array([[A], [0.0]]), bias=False),), (1,)), np.array([[x]])
    found = backward_error(net, image, np.array([[wanted, 0.0]]), on="both", relative=relative)
    assert found.attained.all()
    changed, moved = net.perturbed(found, 0)
    return found.matrix(0, 0)[0, 0], found.dx[0, 0], *found.relative_norms[0], changed(moved[None])[0, 0]


def test_the_minimiser_is_that_of_the_package(page):
    """In the plain norm, in that of eq. (5), and, with other units of weight and input, for any ratio."""
    rng = np.random.default_rng(0)
    for A, x, wanted, ratio in rng.uniform(0.2, 2.0, (20, 4)).tolist():
        compute = "(inputs) => window.explorables.leastNorm.compute(inputs)"
        given = {"A": A, "x": x, "wanted": wanted}
        plain, relative, other = (page.evaluate(compute, given | {"ratio": r}) for r in (1.0, A / x, ratio))
        keys = ("dA", "dx", "relativeA", "relativeX", "output")
        np.testing.assert_allclose([plain[key] for key in keys], by_bea(A, x, wanted, False), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose([relative[key] for key in keys], by_bea(A, x, wanted, True), rtol=1e-10, atol=1e-12)
        unit = np.sqrt(ratio)  # measured by it the plain norm weighs the two as the ratio does
        dA, dx, *_ = by_bea(A / unit, x * unit, wanted, False)
        np.testing.assert_allclose([other["dA"], other["dx"]], [dA * unit, dx / unit], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(other["objective"], other["dA"] ** 2 + (ratio * other["dx"]) ** 2, rtol=1e-12)


def test_the_page_shows_what_it_holds(page):
    """The sentence and the table have the numbers of the state."""
    found = change(page, VARIABLE, wanted=1.7, ratio=3.0)
    text = verdict(page, NAME)
    for key in ("relativeA", "relativeX"):
        assert f"{float(f'{100 * found[key]:.1e}'):g} %" in text
    cells = dict(numbers(page, NAME))
    np.testing.assert_allclose(float(cells["cost of both"]), found["objective"], rtol=1e-3)
    np.testing.assert_allclose(float(cells["(A + ΔA)(x + Δx)"]), found["output"], rtol=1e-3)
    np.testing.assert_allclose(found["output"], 1.7 + found["neglected"], rtol=1e-12)


def test_the_minimiser_slides_along_the_line(page):
    """By the slider, by the keyboard and by the mouse the ratio changes, and the equation stays true."""
    start = state(page, VARIABLE)
    line = start["x"] * start["dA"] + start["A"] * start["dx"]
    page.focus("#least-norm-ratio")
    page.keyboard.press("ArrowRight")
    slid = state(page, VARIABLE)
    assert slid["ratio"] > start["ratio"]
    page.focus(f"#{NAME}-handle")
    page.keyboard.press("ArrowUp")
    pushed = state(page, VARIABLE)
    assert pushed["ratio"] < slid["ratio"]
    drag(page, NAME, 12, 25)
    dragged = state(page, VARIABLE)
    assert dragged["ratio"] > pushed["ratio"]
    for found in (slid, pushed, dragged):
        np.testing.assert_allclose(found["x"] * found["dA"] + found["A"] * found["dx"], line, rtol=1e-12)


def test_a_finger_drags_the_minimiser(open_explorable):
    """On a phone too, without scrolling the page."""
    page = open_explorable("../results/12_one_layer", f"#{NAME}-handle", width=390, has_touch=True, is_mobile=True)
    page.evaluate("document.getElementById('least-norm-handle').scrollIntoView({ block: 'center' })")
    before, scrolled = state(page, VARIABLE), page.evaluate("scrollY")
    swipe(page, NAME, 20, 40)
    assert state(page, VARIABLE)["ratio"] > before["ratio"]
    assert page.evaluate("scrollY") == scrolled


def test_the_relative_norm_lets_both_pay_alike(page):
    """Measured by their own sizes, weight and input change by the same share."""
    page.locator(f"#{NAME}").get_by_role("button", name="relative norm, eq. (5)").click()
    found = state(page, VARIABLE)
    np.testing.assert_allclose(found["relativeA"], found["relativeX"], rtol=1e-12)
    page.locator(f"#{NAME}").get_by_role("button", name="plain norm").click()
    assert state(page, VARIABLE)["ratio"] == 1
