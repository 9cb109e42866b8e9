"""The explorable of three pixels against theorem 4.2: its bounds against `bea`, its region, and how it is moved."""

import numpy as np
from inline import change, chapter_page, drag, state, verdict

from bea.bounds.lipschitz import lipschitz_constant
from bea.bounds.printed import convolution_bound
from bea.networks.windows import Convolution
from studies.four_theorems import overlapping_ones

NAME, VARIABLE = "three-pixels", "threePixels"
page = chapter_page(NAME, f"#{NAME}-handle")


def test_lengths_are_those_of_the_package(page):
    """For random kernels and changes: what the convolution moves, the printed bound, and the proven one."""
    rng = np.random.default_rng(0)
    for kernel, R in zip(rng.standard_normal((20, 2)), rng.standard_normal((20, 3)), strict=True):
        found = page.evaluate("a => window.explorables.threePixels.compute(...a)", [kernel.tolist(), R.tolist()])
        layer = Convolution(kernel[None], (1, 2), bias=False)
        moved = layer.forward(R.reshape(1, 1, 3, 1)).ravel()
        np.testing.assert_allclose(found["output"], moved, atol=1e-12)
        kappa = np.linalg.norm(moved)
        np.testing.assert_allclose(found["printed"], convolution_bound(kappa, layer.kernel), rtol=1e-10)
        np.testing.assert_allclose(found["proved"], kappa / lipschitz_constant(layer, (1, 3, 1)), rtol=1e-6)
        assert found["proved"] <= found["length"] * (1 + 1e-9)
        assert found["fails"] == (found["printed"] > np.linalg.norm(R))


def test_the_worst_change_is_the_counterexample_of_the_chapter(page):
    """For the kernel of ones it is (1, 2, 1)/3, with the lengths of the table; every overlapping kernel has one."""
    box = page.locator(f"#{NAME}")
    box.get_by_role("button", name="the worst change").click()
    found, line = state(page, VARIABLE), overlapping_ones().iloc[0]
    np.testing.assert_allclose(found["change"], np.array([1, 2, 1]) / 3)
    np.testing.assert_allclose(found["length"], line.length, rtol=1e-6)
    np.testing.assert_allclose(found["printed"], line.theorem, rtol=1e-6)
    assert verdict(page, NAME).startswith("Here the theorem is false.")
    for number, (a, b) in enumerate(page.evaluate("window.explorables.threePixels.kernels")):
        change(page, VARIABLE, kernel=number)
        box.get_by_role("button", name="the worst change").click()
        found = state(page, VARIABLE)
        assert found["fails"] == (a * b != 0)
        np.testing.assert_allclose(found["proved"], found["length"], rtol=1e-9)


def test_the_shaded_region_is_where_the_theorem_fails(page):
    """Points of the plane, for several kernels and middle pixels, inside the drawn ellipse or not."""
    rng = np.random.default_rng(1)
    for kernel, middle in [(0, 0.7), (1, -0.4), (2, 0.3)]:
        change(page, VARIABLE, kernel=kernel, change=[0, middle, 0])
        found = page.evaluate(
            """points => {
              const region = document.querySelector("#three-pixels .explorable-region");
              const ring = document.getElementById("three-pixels-handle");
              const at = (name) => Number(region.getAttribute(name));
              return points.map(([r1, r3]) => {
                const now = window.explorables.threePixels.state();
                const { fails } = window.explorables.threePixels.set({ change: [r1, now.change[1], r3] });
                const [x, y] = ring.getAttribute("transform").match(/[-\\d.]+/g).map(Number);
                return [fails, ((x - at("cx")) / at("rx")) ** 2 + ((y - at("cy")) / at("ry")) ** 2 < 1];
              });
            }""",
            rng.uniform(-1.5, 1.5, (200, 2)).tolist(),
        )
        fails, shaded = np.array(found).T
        np.testing.assert_array_equal(fails, shaded)
        assert 0 < fails.sum() < len(fails)


def test_the_pixels_are_moved_and_the_bars_follow(page):
    """The ring by keys and mouse, the middle pixel by its slider; the printed lengths are those of the state."""
    start = state(page, VARIABLE)["change"]
    page.focus(f"#{NAME}-handle")
    page.keyboard.press("ArrowRight")
    right = state(page, VARIABLE)["change"]
    assert right[0] > start[0]
    assert right[1:] == start[1:]
    drag(page, NAME, 50, -30)
    dragged = state(page, VARIABLE)["change"]
    assert dragged[0] > right[0]
    assert dragged[2] > right[2]
    page.focus("#three-pixels-middle")
    page.keyboard.press("ArrowLeft")
    found = state(page, VARIABLE)
    assert found["change"][1] < dragged[1]
    shown = page.locator(f"#{NAME} .explorable-lengths .explorable-value").all_inner_texts()
    np.testing.assert_allclose(
        [float(text) for text in shown], [found["length"], found["printed"], found["proved"]], rtol=6e-3
    )
