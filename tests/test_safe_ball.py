"""The explorable of logits within a ball: radius, shares and classes are those that NumPy finds in the same numbers."""

import numpy as np
from inline import change, chapter_data, chapter_page, read_dataset, unpack, verdict

from bea import Network
from bea.precision import low_precision
from lab import datasets

NAME, VARIABLE = "safe-ball", "safeBall"
page = chapter_page(NAME, f"#{NAME} circle")
content = chapter_data(NAME, VARIABLE)


def test_the_ball_is_half_the_way_to_the_rival(page, content):
    """A lead over √2 in the space of logits: within it no other class, and what is flipped is outside."""
    count, formats = len(content["labels"]), content["formats"]
    logits = unpack(content["logits"]).reshape(count, -1)
    moves = unpack(content["moves"]).reshape(count, len(formats), -1)
    for i in range(count):
        found = change(page, VARIABLE, image=i)
        second, first = np.argsort(logits[i])[-2:]
        assert (found["own"], found["rival"]) == (first, second)
        radius = (logits[i, first] - logits[i, second]) / np.sqrt(2)
        assert np.isclose(found["radius"], radius, rtol=1e-12)
        for f, point in enumerate(found["points"]):
            assert np.isclose(point["part"], np.linalg.norm(moves[i, f]) / radius, rtol=1e-9)
            assert point["seen"] == (logits[i] + moves[i, f]).argmax()
            assert point["part"] >= 1 or point["seen"] == first
            assert not (point["certified"] and point["seen"] != first)
    page.locator(f"#{NAME} .explorable-thumb").nth(1).click()
    page.focus("#safe-ball-format")
    page.keyboard.press("Home")
    assert verdict(page, NAME).startswith(f"{formats[0]} moves the logits by ")


def test_the_logits_are_those_of_the_network(smoke, content):
    """Computed anew for the images that are shown."""
    net = Network.load(sorted((smoke / "results" / "networks").glob("tanh-tanh-*.npz"))[0])
    x = datasets.load(read_dataset(smoke)).x_test[content["numbers"]].astype(float)
    np.testing.assert_allclose(unpack(content["logits"]).reshape(len(x), -1), net(x), rtol=1e-6, atol=1e-6)
    format, _, accumulator = content["formats"][0].partition("/")
    moves = unpack(content["moves"]).reshape(len(x), len(content["formats"]), -1)[:, 0]
    expected = low_precision(net, x, format, accumulator or None).logits - net(x)
    np.testing.assert_allclose(moves, expected, rtol=1e-5, atol=1e-9)
