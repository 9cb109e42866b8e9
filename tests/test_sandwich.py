"""The explorable of the page "Between proof and attack": classes against those of `bea`, verdicts, controls."""

import base64
import functools
import json
import re

import numpy as np
import pytest

from bea import Network
from explorable import article, button, faint, outside, pressed
from lab.page_data import read_back

SET = "change => window.explorables.sandwich.set(change)"
STATE = "window.explorables.sandwich.state()"
KINDS = ("attack", "FGS", "gradient", "random")
HEADS = {
    "proved": "Proved: no image closer than ",
    "unknown": "Nobody knows: ",
    "attacked": "An attack is known: ",
}


@pytest.fixture
def open_sandwich(open_explorable):
    """Return a function that opens the page; see `open_explorable`."""
    return functools.partial(open_explorable, "sandwich", "#sandwich table", state="attached")


@pytest.fixture(scope="module")
def cells(smoke):
    """Return what the notebook has stored, cell by cell."""
    return json.loads((smoke / "results" / "44_inside_the_ball.json").read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def content(smoke):
    """Return what the page loads."""
    return read_back(smoke / "results" / "static" / "sandwich-data.js", "sandwichData")


@pytest.fixture(scope="module")
def nets(smoke, cells):
    """Return the networks of the page, read from their own files."""
    files = [source["file"] for source in cells["networks"]["sources"].values()]
    return [Network.load(smoke / "results" / "networks" / f"{file}.npz") for file in files]


def unpack(text, shape):
    """Return the numbers that the notebook wrote in base64."""
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape).astype(float)


def parts(content, net, number):
    """Return images, labels and, kind by kind, unit vectors (0 where there is none) of a network of the page."""
    entry = content["networks"][number]
    chosen = content["sets"][entry["set"]]
    shape = (len(chosen["labels"]), *net.input_shape)
    gradients = unpack(entry["gradients"], shape)
    random = np.broadcast_to(unpack(chosen["random"], net.input_shape), shape)
    changes = dict(zip(KINDS, (unpack(entry["attacks"], shape), np.sign(gradients), gradients, random), strict=True))
    for kind, change in changes.items():
        sizes = np.linalg.norm(change.reshape(len(change), -1), axis=1).reshape(-1, *[1] * (change.ndim - 1))
        changes[kind] = change / np.where(sizes > 0, sizes, 1)
    return unpack(chosen["pixels"], shape), np.array(chosen["labels"]), changes


def attacked(content, number):
    """Return the first image of a network for which the attack found a change."""
    return next(i for i, length in enumerate(content["networks"][number]["lengths"]["attack"]) if length)


def usual(content, number):
    """Return an image of a network with room between its bound and the shortest change known, or None."""
    entry = content["networks"][number]
    for image, attack in enumerate(entry["lengths"]["attack"]):
        bound = max(entry["lengths"][kind][image] for kind in ("repaired", "tight"))
        lost = [radius for walks in entry["walks"].values() for radius, _ in walks[image][1:2]]
        if attack and bound and min([attack, *lost]) > bound * (1 + 1e-7):
            return image
    return None


def assert_page_right(page):
    """Check that the page shows the numbers it holds. Return them."""
    state, verdict, ratio, label, captions, tables = page.evaluate(f"""() => [
      {STATE},
      document.querySelector("#sandwich .explorable-verdict").textContent,
      document.querySelector("#sandwich .explorable-sandwich-ratio").textContent,
      document.querySelector("label[for=sandwich-radius]").textContent,
      [...document.querySelectorAll("#sandwich figcaption")].map((c) => [...c.children].map((e) => e.textContent)),
      [...document.querySelectorAll("#sandwich table")].map((t) => [...t.querySelectorAll("tbody tr")]
        .map((r) => [...r.children].map((c) => c.textContent))),
    ]""")
    radius, bound, attack = state["radius"], state["bound"], state["attack"]
    if attack == 0:
        assert state["zone"] == "misclassified"
        assert verdict.startswith("Misclassified without any change")
    else:
        beyond = attack is not None and radius >= attack
        assert state["zone"] == ("proved" if radius <= bound else "attacked" if beyond else "unknown")
        assert verdict.startswith(HEADS[state["zone"]])
    np.testing.assert_allclose(float(label.split()[1].replace("−", "-")), radius, rtol=6e-3)
    if attack:
        np.testing.assert_allclose(float(re.search(r"known = ([\d.]+\d)", ratio)[1]), bound / attack, atol=5.1e-4)
    else:
        assert "no ratio" in ratio
    for (_, value, _), length in zip(tables[0], state["lengths"].values(), strict=True):
        assert (value == "none") == (length is None)
        if length is not None:
            np.testing.assert_allclose(float(value.replace("−", "-")), length, rtol=6e-3)
    for kind, caption in zip(KINDS, captions[1:], strict=True):
        if caption[1] != "no such direction":
            assert caption[1].startswith("seen as")
            assert (state["lost"][kind] is None) == caption[2].startswith("class kept")
    if state["zone"] in ("proved", "unknown"):
        assert set(state["seen"].values()) == {state["plain"]}
    return state


def test_classes_equal_those_of_the_package(open_sandwich, content, nets):
    """Computed or looked up: for every network, image and direction, at radii the notebook has not looked at."""
    page, count = open_sandwich(), 0
    radii = np.append(0.0, np.geomspace(0.013, 10.7, 9))
    for number, net in enumerate(nets):
        x, _, changes = parts(content, net, number)
        for kind, change in changes.items():
            moved = x[:, None] + radii.reshape(-1, *[1] * (x.ndim - 1)) * change[:, None]
            logits = net(moved.reshape(-1, *net.input_shape)).reshape(len(x), len(radii), -1)
            gap = np.diff(np.sort(logits, axis=2)[..., -2:], axis=2)[..., 0]
            found = page.evaluate(
                """([n, images, kind, radii]) => images.map((i) =>
                  radii.map((r) => window.explorables.sandwich.classAt(n, i, kind, r)))""",
                [number, list(range(len(x))), kind, radii.tolist()],
            )
            clear = gap > 1e-9
            np.testing.assert_array_equal(np.array(found)[clear], logits.argmax(axis=2)[clear])
            count += clear.sum()
    assert count > 0.99 * len(radii) * sum(4 * len(content["sets"][e["set"]]["labels"]) for e in content["networks"])


def test_no_change_of_class_lies_below_a_proven_bound(content, nets):
    """On the four rays of every image; and the converged attack has the length it is said to have, and succeeds."""
    succeeded = 0
    for number, net in enumerate(nets):
        entry, (x, labels, changes) = content["networks"][number], parts(content, net, number)
        for i, length in enumerate(entry["lengths"]["attack"]):
            bound = max(entry["lengths"][kind][i] for kind in ("repaired", "tight"))
            for kind in KINDS:
                assert all(radius >= bound for radius, _ in entry["walks"][kind][i][1:])
                assert entry["walks"][kind][i][0] == [0, net.classify(x[i : i + 1])[0]]
            if length:
                assert net.classify((x + length * changes["attack"])[i : i + 1])[0] != labels[i]
                succeeded += 1
            elif length == 0:
                assert net.classify(x[i : i + 1])[0] != labels[i]
                assert bound == 0
    assert succeeded


def test_notebook_and_page_agree_on_the_shares(open_sandwich, cells, content):
    """The median of bound over shortest known change, network by network."""
    page = open_sandwich()
    for number, entry in enumerate(content["networks"]):
        ours, theirs = page.evaluate(SET, {"network": number}), cells["shares"]["networks"][entry["key"]]
        assert ours["shares"] == theirs["compared"]
        if theirs["compared"]:
            np.testing.assert_allclose(ours["median"], theirs["median"], rtol=1e-12)


def test_the_notebook_multiplies_as_the_page_does(cells):
    """The plain check in the notebook found no difference, and looked at something."""
    assert cells["check"]["differing"] == 0 < cells["check"]["compared"]
    assert cells["changes"]["early"] == 0
    assert cells["shares"]["above"] == 0


def test_the_verdict_follows_the_radius_through_the_zones(open_sandwich, content):
    """Proved up to the bound, unknown beyond, attacked from the attack on: to a relative 1e-9 on either side."""
    page, tried = open_sandwich(), 0
    for number in range(len(content["networks"])):
        image = usual(content, number)
        if image is None:
            continue
        state = page.evaluate(SET, {"network": number, "image": image})
        bound, attack = state["bound"], state["attack"]
        for radius, zone in [
            (bound * (1 - 1e-9), "proved"),
            (bound, "proved"),
            (bound * (1 + 1e-9), "unknown"),
            (attack * (1 - 1e-9), "unknown"),
            (attack, "attacked"),
        ]:
            page.evaluate(SET, {"radius": radius})
            assert assert_page_right(page)["zone"] == zone
        tried += 1
    assert tried


def test_the_mouse_chooses_network_image_and_radius(open_sandwich, content):
    """Each click changes its own choice only, its button looks pressed, and all numbers follow."""
    page = open_sandwich()
    before = assert_page_right(page)
    chosen = content["sets"][content["networks"][2]["set"]]
    button(page, content["networks"][2]["name"]).click()
    network = assert_page_right(page)
    assert (network["network"], network["image"]) == (2, before["image"])
    assert network["radius"] == max(before["radius"], page.evaluate(STATE)["radius"])
    name = f"image {chosen['numbers'][1]}, {article(chosen['labels'][1])}"
    button(page, name).click()
    assert pressed(page) == [content["networks"][2]["name"], name]
    page.evaluate(SET, {"image": attacked(content, 2)})
    for label, kind in [("tight bound", "tight"), ("converged attack", "attack"), ("published bound", "published")]:
        button(page, label).click()
        state = assert_page_right(page)
        assert state["radius"] == state["lengths"][kind]


def test_the_attack_shows_at_its_length_and_not_before(open_sandwich, content):
    """Set to the converged attack, the picture along it has another class and is marked; at the bound none is."""
    page = open_sandwich()
    for number in range(len(content["networks"])):
        image = attacked(content, number)
        page.evaluate(SET, {"network": number, "image": image})
        button(page, "converged attack").click()
        state = assert_page_right(page)
        assert state["seen"]["attack"] != state["label"]
        assert page.locator("#sandwich figure").nth(1).evaluate("f => f.className.includes('sandwich-changed')")
        button(page, "tight bound").click()
        assert page.locator("#sandwich .explorable-sandwich-changed").count() == 0


def test_the_pictures_are_the_moved_images(open_sandwich, content, nets):
    """Every pixel on the canvas is that of the image plus radius times unit vector, drawn as 0 to 1."""
    page, radius = open_sandwich(), 2.5
    for number, net in enumerate(nets):
        x, _, changes = parts(content, net, number)
        page.evaluate(SET, {"network": number, "image": 0, "radius": radius})
        radius_shown = page.evaluate(STATE)["radius"]
        for place, change in enumerate([np.zeros_like(x), *changes.values()]):
            drawn = (
                page.locator("#sandwich figure canvas")
                .nth(place)
                .evaluate("c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")
            )
            drawn = np.array(drawn, dtype=float).reshape(*x.shape[1:3], 4)[..., :3]
            moved = np.clip(x[0] + radius_shown * change[0], 0, 1)
            colour = x.shape[1:][-1] == 3
            expected = 255 * moved if colour else 255 * (1 - moved.reshape(*x.shape[1:3], 1))
            assert np.abs(drawn - expected).max() <= 0.51


def axis_place(page, share):
    """Return where a place of the axis lies in the window, 0 its left end and 1 its right one."""
    box = page.locator("#sandwich .explorable-sandwich-plot svg").bounding_box()
    return box["x"] + 9 + share * (box["width"] - 18), box["y"] + box["height"] / 2


def test_a_drag_on_the_axis_moves_the_radius(open_sandwich, content):
    """The radius follows the mouse on the logarithmic axis, and stays on it."""
    page = open_sandwich()
    page.locator("#sandwich .explorable-sandwich-plot").scroll_into_view_if_needed()
    low, high = page.evaluate("document.querySelector('.explorable-sandwich-plot svg').ariaLabel").split(" to ")[:2]
    low, high = float(low.split()[-1].replace("−", "-")), content["networks"][1]["top"]
    page.mouse.move(*axis_place(page, 0.2))
    page.mouse.down()
    page.mouse.move(*axis_place(page, 0.7), steps=4)
    page.wait_for_function(f"Math.abs(Math.log({STATE}.radius / {low * (high / low) ** 0.7})) < 0.05")
    page.mouse.move(axis_place(page, 1)[0] + 60, axis_place(page, 1)[1])
    page.mouse.up()
    page.wait_for_function(f"{STATE}.radius === {high}")
    assert_page_right(page)


def test_the_keyboard_does_all_of_it(open_sandwich, content):
    """Buttons by Enter and Space, the radius by arrows, Home and End, the tables by Enter."""
    page = open_sandwich()
    button(page, content["networks"][0]["name"]).focus()
    page.keyboard.press("Enter")
    assert assert_page_right(page)["network"] == 0
    page.locator("#sandwich .explorable-thumb").nth(1).focus()
    page.keyboard.press("Space")
    assert assert_page_right(page)["image"] == 1
    page.focus("#sandwich-radius")
    page.keyboard.press("End")
    page.wait_for_function(f"{STATE}.radius === {content['networks'][0]['top']}")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"{STATE}.radius < {content['networks'][0]['top']}")
    page.keyboard.press("Home")
    page.wait_for_function(f"{STATE}.radius < 1e-1 || {STATE}.radius === 0.1")
    lowest = assert_page_right(page)["radius"]
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{STATE}.radius > {lowest}")
    state = assert_page_right(page)
    assert lowest < state["radius"] < 1.05 * lowest
    head = page.text_content("#sandwich .explorable-verdict strong")
    assert head in page.get_attribute("#sandwich-radius", "aria-valuetext")
    page.locator("#sandwich summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#sandwich table").first.is_visible()


def test_a_screen_reader_hears_the_verdict(open_sandwich, content):
    """It is spoken after a change, once things have settled."""
    page = open_sandwich()
    page.evaluate(SET, {"radius": content["networks"][1]["top"]})
    said = page.text_content("#sandwich .explorable-verdict strong")
    page.wait_for_function(f"document.querySelector('#sandwich [aria-live]').textContent.startsWith({said!r})")


def test_a_misclassified_image_and_missing_lengths_are_said(open_sandwich, content):
    """Nothing is drawn for a length that is zero or was not found; the button for it is off."""
    page, states = open_sandwich(), set()
    for number, entry in enumerate(content["networks"]):
        for image, label in enumerate(content["sets"][entry["set"]]["labels"]):
            page.evaluate(SET, {"network": number, "image": image})
            state = assert_page_right(page)
            marks = page.locator("#sandwich .explorable-sandwich-mark").count()
            assert marks == sum(bool(length) for length in state["lengths"].values())
            assert button(page, "FGS").is_disabled() == (not state["lengths"]["FGS"])
            assert state["label"] == label
            states.add(state["zone"])
    assert "misclassified" in states


def changed_data(smoke, change):
    """Return the script of the data after ``change`` of its content, or an empty one."""
    found = read_back(smoke / "results" / "static" / "sandwich-data.js", "sandwichData")
    change(found)
    return f"window.explorables = Object.assign(window.explorables || {{}}, {{ sandwichData: {json.dumps(found)} }});"


def without_networks(found):
    """Take the LeNets away, and the FGS, the attack and the gradients of the others."""
    found["networks"] = [net for net in found["networks"] if net["weights"]]
    found["sets"] = {key: found["sets"][key] for key in {net["set"] for net in found["networks"]}}
    found["missing"] = ["LeNet, MNIST", "LeNet, CIFAR-10"]
    for net in found["networks"]:
        net["lengths"]["FGS"] = net["lengths"]["attack"] = [None] * len(net["lengths"]["FGS"])
        for kind in ("attacks", "gradients"):
            net[kind] = base64.b64encode(bytes(len(base64.b64decode(net[kind])))).decode()
        net["walks"] = {kind: [walk[:1] for walk in walks] for kind, walks in net["walks"].items()}


@pytest.mark.parametrize("script", ["none", "less"])
def test_without_its_data_or_with_less_the_page_says_so(browser, site, watch, smoke, script):
    """No file: a sentence instead. Networks, attacks and gradients missing: said, and everything else works."""
    body = "" if script == "none" else changed_data(smoke, without_networks)
    context = browser.new_context()
    problems = watch(context, site)
    page = context.new_page()
    page.route("**/sandwich-data.js", lambda route: route.fulfill(body=body, content_type="text/javascript"))
    page.goto(f"{site}book/sandwich.html")
    page.wait_for_selector("#sandwich *")
    if script == "none":
        assert "made by the notebook “44_inside_the_ball”" in page.text_content("#sandwich")
    else:
        assert button(page, "LeNet, CIFAR-10: not trained here").is_disabled()
        state = assert_page_right(page)
        assert state["attack"] is None
        assert page.locator("#sandwich figcaption", has_text="no such direction").count() == 3
        page.evaluate(SET, {"radius": 5})
        assert "no attack is known at all" in page.text_content("#sandwich .explorable-verdict")
    context.close()
    assert problems == []


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_its_window(open_sandwich, content, width):
    """Whatever is chosen, the page does not scroll sideways and nothing sticks out of the box, the axis included."""
    page = open_sandwich(width=width)
    page.locator("#sandwich details summary").click()
    for number, net in enumerate(content["networks"]):
        for image in (0, 1, len(content["sets"][net["set"]]["labels"]) - 1):
            for radius in (1e-6, 1.0, 100.0):
                page.evaluate(SET, {"network": number, "image": image, "radius": radius})
                assert outside(page) == []
    size = page.locator("#sandwich .explorable-sandwich-plot text").first.evaluate(
        "e => e.getBoundingClientRect().height"
    )
    assert size >= 11, "text of the axis shrinks with the window"


def test_a_finger_moves_the_radius(open_sandwich, content):
    """On a phone, a finger that slides sideways on the axis moves the radius."""
    page = open_sandwich(width=390, has_touch=True, is_mobile=True)
    page.evaluate("document.querySelector('#sandwich .explorable-sandwich-plot').scrollIntoView({ block: 'center' })")
    touch = page.context.new_cdp_session(page)
    for kind, share in [("touchStart", 0.2), *(("touchMove", 0.2 + 0.16 * k) for k in range(1, 6)), ("touchEnd", None)]:
        at = [] if share is None else [dict(zip("xy", axis_place(page, share), strict=True))]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    page.wait_for_function(f"Math.abs({STATE}.radius / {content['networks'][1]['top']} - 1) < 0.05")
    assert_page_right(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_works_without_a_server_on_light_and_dark(open_sandwich, smoke, content, scheme):
    """Opened from the disk, in either colour scheme, the page works, and all its text stands out from the ground."""
    page = open_sandwich((smoke / "_build" / "html").as_uri() + "/", color_scheme=scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.locator("#sandwich details summary").click()
    page.evaluate(SET, {"network": len(content["networks"]) - 1, "radius": 100})
    assert_page_right(page)
    assert faint(page) == []


def test_lengths_and_zones_are_told_apart_by_more_than_colour(open_sandwich, content):
    """Every length has a mark of its own shape and its name, what is not proven is dashed, and a change is written."""
    page = open_sandwich()
    page.evaluate(SET, {"network": 1, "image": attacked(content, 1), "radius": content["networks"][1]["top"]})
    state = page.evaluate(STATE)
    shapes = page.locator("#sandwich .explorable-sandwich-mark").evaluate_all(
        "all => all.map((m) => m.getAttribute('d'))"
    )
    drawn = sum(bool(length) for length in state["lengths"].values())
    assert len(set(shapes)) == len(shapes) == drawn
    text = " ".join(page.locator("#sandwich .explorable-labels text").all_text_contents())
    for name in ("published bound", "repaired bound", "tight bound", "converged attack", "FGS"):
        assert name in text
    assert page.locator("#sandwich .explorable-thin.explorable-dashed").count() == 1
    changed = page.locator("#sandwich .explorable-sandwich-changed figcaption b").first
    assert "changed" in changed.evaluate("e => getComputedStyle(e, '::before').content")


def test_pictures_and_controls_have_names(open_sandwich, nameless):
    """Who cannot see the page hears what each control does and what each picture shows."""
    page = open_sandwich()
    assert nameless(page) == []
    assert page.locator("#sandwich canvas[role=img]:visible").count() == 5
    assert page.locator("#sandwich table caption").count() == 2
    assert "converged attack: " in page.get_attribute("#sandwich .explorable-sandwich-plot svg", "aria-label")
