"""What the tests of explorables that stand in a chapter share."""

import base64
import re

import numpy as np
import pytest

from lab.page_data import read_back

CHAPTERS = {  # explorable: the chapter in which it stands
    "rounding": "10_linear_systems",
    "least-norm": "12_one_layer",
    "linearise": "27_the_converged_attack",
    "bystanders": "12_one_layer",
    "threshold": "23_law_of_epsilon",
    "three-pixels": "41_four_theorems",
    "few-digits": "49_low_precision",
    "safe-ball": "49_low_precision",
}


def chapter_page(name, part):
    """Return a fixture: the chapter, opened at the explorable once this part of it is there."""

    @pytest.fixture
    def page(open_explorable):
        found = open_explorable(f"../results/{CHAPTERS[name]}", part)
        found.locator(f"#{name}").scroll_into_view_if_needed()
        return found

    return page


def chapter_data(name, variable):
    """Return a fixture: what a notebook has made for an explorable, as the page loads it."""

    @pytest.fixture(scope="module")
    def content(smoke):
        return read_back(smoke / "results" / "static" / f"{name}-data.js", f"{variable}Data")

    return content


def _ring(page, name):
    box = page.locator(f"#{name}-handle .explorable-ring").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, name, right, down):
    """Drag the ring of an explorable by so many pixels with the mouse."""
    x, y = _ring(page, name)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=4)
    page.mouse.up()


def swipe(page, name, right, down):
    """Drag the ring of an explorable by so many pixels with a finger."""
    x, y = _ring(page, name)
    touch = page.context.new_cdp_session(page)
    for kind, part in [("touchStart", 0), ("touchMove", 0.5), ("touchMove", 1)]:
        point = {"x": x + part * right, "y": y + part * down}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def state(page, variable):
    """Return the inputs and numbers that an explorable holds."""
    return page.evaluate(f"window.explorables.{variable}.state()")


def change(page, variable, **inputs):
    """Give an explorable other inputs; return what it then holds."""
    return page.evaluate(f"change => window.explorables.{variable}.set(change)", inputs)


def verdict(page, name):
    """Return the sentence that says what is seen."""
    return page.inner_text(f"#{name} .explorable-verdict").replace("\u00a0", " ")


def numbers(page, name):
    """Return the table of numbers, row by row, opened or not."""
    rows = page.locator(f"#{name} table tbody tr")
    return rows.evaluate_all("all => all.map((row) => [...row.children].map((cell) => cell.textContent))")


def unpack(text):
    """Return the numbers that the notebook wrote in base64."""
    return np.frombuffer(base64.b64decode(text), "<f4").astype(float)


def read_dataset(smoke):
    """Return the name of the dataset that the book was made from."""
    return re.search(r'"name": "(\w+)"', (smoke / "results" / "dataset.json").read_text(encoding="utf-8"))[1]
