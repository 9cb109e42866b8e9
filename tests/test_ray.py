"""The explorable of the page "How far to another class?": its numbers against those of `bea`, its controls."""

import base64
import functools
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from bea import Network
from bea.attacks.loss import loss_gradient
from explorable import article, button, faint, outside, pressed
from lab.page_data import read_back

SET = "change => window.explorables.ray.set(change)"
STATE = "window.explorables.ray.state()"


@pytest.fixture
def open_ray(open_explorable):
    """Return a function that opens the page; see `open_explorable`."""
    return functools.partial(open_explorable, "ray", "#ray table", state="attached")


@pytest.fixture(scope="module")
def cells(smoke):
    """Return what the notebook has stored, cell by cell."""
    return json.loads((smoke / "results" / "24_confidence_along_the_ray.json").read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def content(smoke):
    """Return what the page loads: networks, images and labels."""
    content = read_back(smoke / "results" / "static" / "ray-data.js", "rayData")
    content["images"] = np.frombuffer(base64.b64decode(content["images"]), "<f4").reshape(-1, 28, 28).astype(float)
    return content


@pytest.fixture(scope="module")
def nets(smoke, cells):
    """Return the networks of the page, read from their own files and rounded as the notebook does."""

    def rounded(layer):
        return layer.with_matrix(layer.matrix.astype("f4").astype(float)) if hasattr(layer, "matrix") else layer

    loaded = [Network.load(smoke / "results" / "networks" / f"{name}.npz") for name in cells["networks"]["files"]]
    return [replace(net, layers=tuple(rounded(layer) for layer in net.layers)) for net in loaded]


def problems(cells):
    """Yield (network, image, clipped, ε_min, confidences) for every stored reference."""
    for index, run in enumerate(cells["references"]["runs"]):
        for image, (epsilon, confidence) in enumerate(zip(run["epsilon"], run["confidence"], strict=True)):
            yield index // 2, image, run["clip"], epsilon, confidence


def solve(page, network, image, clipped):
    """Return ε_min, intervals and kinks as the page finds them."""
    return page.evaluate(
        """([network, image, clipped]) => {
          const { epsilonMin, intervals, kinks, back } = window.explorables.ray.solve(network, image, clipped);
          return { epsilonMin, intervals, kinks, back };
        }""",
        [network, image, clipped],
    )


def confidences(page, network, image, clipped, steps):
    """Return the page's confidences (steps, classes)."""
    call = "([n, i, c, steps]) => window.explorables.ray.confidences(n, i, c, steps)"
    return np.array(page.evaluate(call, [network, image, clipped, list(steps)]))


def on_ray(net, content, image, clipped, steps):
    """Return the logits of `bea`'s network along the ray, (steps, classes)."""
    x, label = content["images"][image], np.array([content["labels"][image]])
    moved = x + np.reshape(steps, (-1, 1, 1)) * np.sign(loss_gradient(net, x[None], label))
    return net(np.clip(moved, 0, 1) if clipped else moved)


def assert_page_right(page):
    """Check that the page shows the numbers it holds. Return them."""
    state, tables, sentence, label, captions = page.evaluate(f"""() => [
      {STATE},
      [...document.querySelectorAll("#ray table")].map((t) => [...t.querySelectorAll("tbody tr")]
        .map((r) => [...r.children].map((c) => c.textContent))),
      ["verdict", "ray-loss"].map((part) => document.querySelector("#ray .explorable-" + part).textContent),
      document.querySelector("label[for=ray-epsilon]").textContent,
      [...document.querySelectorAll("#ray figcaption")].map((c) => c.textContent),
    ]""")
    q = np.array(state["confidences"])
    np.testing.assert_allclose(q.sum(), 1, rtol=1e-12)
    assert state["seen"] == q.argmax()
    classes, wins, kinks = tables
    for k, row in enumerate(classes):
        assert row[0] == (f"{k} (right)" if k == state["label"] else str(k))
        shown = row[2].replace("\u00a0", " ")
        if 0 < q[k] < 5e-4:
            assert shown == "below 0.05 %"
        else:  # halves are rounded up by JavaScript, to the even digit by Python
            assert re.fullmatch(r"\d+\.\d %", shown)
            assert abs(float(shown[:-2]) - 100 * q[k]) <= 0.05 + 1e-9
    for row, interval in zip(wins, state["intervals"], strict=True):
        assert int(row[0].split()[0]) == interval["k"]
        np.testing.assert_allclose([float(row[1]), float(row[2])], [interval["from"], interval["to"]], rtol=6e-4)
    if state["kinks"]:
        for row, kink in zip(kinks, state["kinks"], strict=True):
            assert [int(row[0]), int(row[1])] == [kink["after"], kink["before"]]
            np.testing.assert_allclose(float(row[2]), kink["at"], rtol=6e-4)
    assert f"the network sees {article(state['seen'])}, " in sentence[0]
    assert f"Test image {state['number']} is {article(state['label'])}." in sentence[1]
    assert captions[0] == f"seen as {article(state['seen'])}"
    step = float(re.search(r"ε = ([\d.e−-]+)", label)[1].replace("−", "-"))
    np.testing.assert_allclose(step, state["epsilon"], rtol=6e-4)
    return state


def test_numbers_equal_those_of_the_package(open_ray, cells, nets):
    """ε_min to the tolerance of both searches, confidences to rounding, for every network, image, clipped or not."""
    page, worst, largest = open_ray(), 0.0, 0.0
    count = 0
    for network, image, clipped, epsilon, confidence in problems(cells):
        found = solve(page, network, image, clipped)["epsilonMin"]
        assert (found is None) == (epsilon is None)
        worst = max(worst, abs(found - epsilon) if epsilon is not None else 0.0)
        theirs = confidences(page, network, image, clipped, cells["references"]["at"])
        largest = max(largest, np.abs(theirs - confidence).max())
        count += 1
    print(f"{count} rays: ε_min differs by at most {worst:.1e}, confidences by {largest:.1e}")
    assert count == 2 * len(nets) * cells["images"]["shown"]
    assert worst <= 1e-9
    assert largest <= 1e-12


def test_the_references_hold_fragile_robust_and_misclassified_images(cells):
    """So that the comparison is not one of easy cases only."""
    (free, *_), names = cells["references"]["runs"], cells["references"]
    values = np.array([np.nan if epsilon is None else epsilon for epsilon in free["epsilon"]])
    assert (values == 0).sum() >= 2
    positive = values[values > 0]
    assert positive.max() > 20 * positive.min()
    assert names["entry"] > 1e-12, "a gradient is zero to rounding in some pixel: its sign is not safe"


def test_the_band_and_the_kinks_are_those_of_the_package(open_ray, content, nets):
    """At 3001 steps the winner and the strongest wrong class of `bea`'s network are what the page's intervals say."""
    page, steps = open_ray(), np.linspace(0, 1, 3001)
    changes = 0
    for network, image, clipped in [(0, 10, False), (0, 10, True), (0, 11, False), (len(nets) - 1, 19, False)]:
        found, label = solve(page, network, image, clipped), content["labels"][image]
        logits = on_ray(nets[network], content, image, clipped, steps)
        ends = np.array([interval["to"] for interval in found["intervals"]])
        expected = np.array([interval["k"] for interval in found["intervals"]])
        far = np.abs(steps[:, None] - ends[:-1]).min(axis=1, initial=1) > 1e-8
        inside = np.minimum(np.searchsorted(ends, steps), len(ends) - 1)
        np.testing.assert_array_equal(logits.argmax(axis=1)[far], expected[inside][far])

        logits[:, label] = -np.inf
        strongest, places = logits.argmax(axis=1), np.array([kink["at"] for kink in found["kinks"]])
        cell = np.flatnonzero(np.diff(strongest))
        assert len(cell) == len(places)
        assert (np.abs(places - (steps[cell] + steps[cell + 1]) / 2) <= 0.5 / 3000 + 1e-8).all()
        assert [kink["after"] for kink in found["kinks"]] == strongest[cell + 1].tolist()
        assert [kink["before"] for kink in found["kinks"]] == strongest[cell].tolist()
        changes += len(ends) - 1 + len(places)
        if found["epsilonMin"]:
            either = on_ray(nets[network], content, image, clipped, found["epsilonMin"] + np.array([-2e-9, 0]))
            assert (either.argmax(axis=1) == label).tolist() == [True, False]
    assert changes >= 4


def test_on_the_last_image_a_class_comes_back(open_ray, content):
    """As the third of the moves to begin with promises."""
    classes = [interval["k"] for interval in solve(open_ray(), 0, len(content["labels"]) - 1, False)["intervals"]]
    assert content["reasons"][-1] == "a class comes back"
    assert len(classes) > len(set(classes))


def test_the_mouse_chooses_image_network_pixels_and_range(open_ray, content):
    """Each click changes its own choice only, its button looks pressed, and all numbers follow."""
    page = open_ray()
    before = assert_page_right(page)
    names = [f"image {n}, {article(k)}" for n, k in zip(content["numbers"], content["labels"], strict=True)]
    button(page, names[3]).click()
    image = assert_page_right(page)
    assert (image["image"], image["label"]) == (3, content["labels"][3])
    assert image["epsilon"] == before["epsilon"]
    button(page, content["networks"][1]["name"]).click()
    network = assert_page_right(page)
    assert network["network"] == 1
    assert network["confidences"] != image["confidences"]
    button(page, "clipped to 0…1").click()
    clipped = assert_page_right(page)
    assert clipped["clipped"]
    assert clipped["confidences"] != network["confidences"]
    assert "all pixels are between 0 and 1" in page.locator("#ray .explorable-strip").text_content()
    button(page, "0.2").click()
    assert pressed(page) == [names[3], content["networks"][1]["name"], "clipped to 0…1", "0.2"]
    assert assert_page_right(page)["confidences"] == clipped["confidences"]
    button(page, "free").click()
    assert "drawn as 0 to 1" in page.locator("#ray .explorable-strip").text_content()


def plot_place(page, step, confidence, span):
    """Return where a point of the plot lies in the window."""
    frame = page.locator("#ray .explorable-ray-plot .explorable-frame").bounding_box()
    return frame["x"] + step / span * frame["width"], frame["y"] + (1 - confidence) * frame["height"]


def test_a_drag_in_the_plot_moves_the_step_and_a_pointer_picks_out_a_curve(open_ray):
    """The step follows the mouse to a pixel; near a curve the page says whose it is, away from all it does not."""
    page = open_ray()
    plot = page.locator("#ray .explorable-ray-plot svg")
    plot.scroll_into_view_if_needed()
    page.mouse.move(*plot_place(page, 0.3, 0.5, 1))
    page.mouse.down()
    page.mouse.move(*plot_place(page, 0.62, 0.5, 1), steps=5)
    page.mouse.up()
    page.wait_for_function(f"Math.abs({STATE}.epsilon - 0.62) < 0.003")
    state = assert_page_right(page)
    top = np.argmax(state["confidences"])
    page.mouse.move(*plot_place(page, 0.62, state["confidences"][top], 1))
    readout = page.locator("#ray .explorable-ray-readout")
    assert f"class {top}: {100 * state['confidences'][top]:.1f}" in readout.text_content()
    page.mouse.move(*plot_place(page, 0.62, 0.5, 1))
    page.mouse.move(2, 2)
    assert "Move over the curves" in readout.text_content()


def test_the_keyboard_does_all_of_it(open_ray, content):
    """Buttons by Enter and Space, the step by arrows, Home and End, a class by focus, the tables by Enter."""
    page = open_ray()
    button(page, f"image {content['numbers'][1]}, {article(content['labels'][1])}").focus()
    page.keyboard.press("Enter")
    button(page, "clipped to 0…1").focus()
    page.keyboard.press("Space")
    page.focus("#ray-epsilon")
    page.keyboard.press("Home")
    page.wait_for_function(f"{STATE}.epsilon === 0")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{STATE}.epsilon === 0.004")
    state = assert_page_right(page)
    assert (state["image"], state["clipped"]) == (1, True)
    assert page.get_attribute("#ray-epsilon", "aria-valuetext") == f"ε 0.004, seen as {state['seen']}"
    page.keyboard.press("End")
    page.wait_for_function(f"{STATE}.epsilon === 1")
    button(page, "0.2").focus()
    page.keyboard.press("Enter")
    assert assert_page_right(page)["epsilon"] == 0.2
    page.focus("#ray-epsilon")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"{STATE}.epsilon === 0.1998")

    chosen = page.locator("#ray .explorable-ray-classes button").nth(6)
    chosen.focus()
    readout = page.locator("#ray .explorable-ray-readout")
    assert readout.text_content().startswith("class 6: ")
    assert page.locator("#ray .explorable-ray-chosen").count() == 1
    page.keyboard.press("Enter")
    page.focus("#ray-epsilon")
    assert page.evaluate(STATE)["picked"] == 6
    assert page.locator("#ray .explorable-ray-chosen").count() == 1
    page.locator("#ray summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#ray table").first.is_visible()


def test_the_button_goes_to_the_smallest_step_that_fools(open_ray, cells):
    """There the class is wrong and a billionth before it is right; where the image is misclassified, it is zero."""
    page = open_ray()
    (free, *_) = cells["references"]["runs"]
    positive = next(i for i, epsilon in enumerate(free["epsilon"]) if epsilon)
    zero = free["epsilon"].index(0.0)
    page.evaluate(SET, {"image": positive})
    button(page, "ε = ε_min").click()
    state = assert_page_right(page)
    assert state["epsilon"] == state["epsilonMin"]
    assert state["seen"] != state["label"]
    assert page.evaluate(SET, {"epsilon": state["epsilonMin"] - 1e-9})["seen"] == state["label"]
    button(page, "ε = 0").click()
    assert assert_page_right(page)["epsilon"] == 0
    page.evaluate(SET, {"image": zero})
    assert "misclassified from the start, so ε_min\u00a0=\u00a00" in page.text_content("#ray .explorable-ray-loss")


def test_a_screen_reader_hears_the_result(open_ray):
    """The sentence is spoken after a change, once things have settled."""
    page = open_ray()
    page.evaluate(SET, {"epsilon": 0.123})
    page.wait_for_function("document.querySelector('#ray [aria-live]').textContent.includes('ε\u00a0=\u00a00.123')")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_its_window(open_ray, width):
    """Whatever is chosen, the page does not scroll sideways and nothing sticks out of the box, the plot included."""
    page = open_ray(width=width)
    page.locator("#ray details summary").click()
    for image in (0, 10, 15, 19):
        for change in ({"range": 1, "clipped": False, "epsilon": 0.9}, {"range": 0.2, "clipped": True}):
            page.evaluate(SET, {"image": image, **change})
            assert outside(page) == []
    size = page.locator("#ray .explorable-ray-plot text").first.evaluate("e => e.getBoundingClientRect().height")
    assert size >= 11, "text of the plot shrinks with the window"


def test_a_finger_moves_the_step(open_ray):
    """On a phone, a finger that slides sideways in the plot moves the step."""
    page = open_ray(width=390, has_touch=True, is_mobile=True)
    page.evaluate("document.querySelector('#ray .explorable-ray-plot').scrollIntoView({ block: 'center' })")
    touch = page.context.new_cdp_session(page)
    for kind, step in [("touchStart", 0.2), *(("touchMove", 0.2 + 0.1 * k) for k in range(1, 6)), ("touchEnd", None)]:
        at = [] if step is None else [dict(zip("xy", plot_place(page, step, 0.7, 1), strict=True))]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    page.wait_for_function(f"Math.abs({STATE}.epsilon - 0.7) < 0.01")
    assert_page_right(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_works_without_a_server_on_light_and_dark(open_ray, smoke, scheme):
    """Opened from the disk, in either colour scheme, the page works, and all its text stands out from the ground."""
    page = open_ray((smoke / "_build" / "html").as_uri() + "/", color_scheme=scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.locator("#ray details summary").click()
    page.evaluate(SET, {"picked": 3, "range": 0.2})
    assert_page_right(page)
    assert faint(page) == []


def test_curves_are_told_apart_by_more_than_colour(open_ray, content):
    """The right class is drawn solid and bold, its strongest rival dashed, and every curve that rises has its digit."""
    page = open_ray()
    state = page.evaluate(SET, {"image": 10, "epsilon": 0.05})
    drawn = page.locator("#ray .explorable-ray-plot path.explorable-bold").evaluate_all(
        "all => all.map((p) => [getComputedStyle(p).strokeDasharray, p.getAttribute('class')])"
    )
    assert len(drawn) == 2
    dashes = {("exact" if "explorable-exact" in name else "rival"): dash for dash, name in drawn}
    assert dashes["exact"] == "none" != dashes["rival"]
    labels = page.locator("#ray .explorable-ray-plot .explorable-labels text").all_text_contents()
    peaks = confidences(page, 0, 10, False, np.linspace(0, 1, 401)).max(axis=0)
    expected = {f"{k} right" if k == state["label"] else str(k) for k in range(10) if peaks[k] > 0.05}
    assert expected <= set(labels)


def test_pictures_and_controls_have_names(open_ray, nameless):
    """Who cannot see the page hears what each control does and what each picture shows."""
    page = open_ray()
    assert nameless(page) == []
    assert page.locator("#ray canvas[role=img]:visible").count() == 3
    assert page.locator("#ray table caption").count() == 3
    assert "Classes that win, in order" in page.get_attribute("#ray .explorable-ray-plot svg", "aria-label")
