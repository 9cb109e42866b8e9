"""The explorable of the chapter on the law of ε: how many images a step fools, what laws say, which images appear."""

import numpy as np
from inline import change, chapter_data, chapter_page, read_dataset, state, unpack, verdict

from bea import Network
from bea.attacks import smallest_epsilon
from bea.measures.truncated_normal import fit_truncated_normal
from lab import datasets

NAME, VARIABLE = "threshold", "threshold"
page = chapter_page(NAME, f"#{NAME} figure")
content = chapter_data(NAME, VARIABLE)


def test_shares_are_those_of_the_sample_and_of_the_fitted_law(page, content):
    """Counted and integrated anew, at many places."""
    epsilon = unpack(content["epsilon"])
    fit = fit_truncated_normal(epsilon)
    for at in np.linspace(0, content["top"], 23).tolist():
        found = change(page, VARIABLE, epsilon=at)
        at = found["epsilon"]
        assert found["fooled"] == np.sum(epsilon <= at)
        assert found["images"] == len(epsilon)
        np.testing.assert_allclose(found["laws"][0]["share"], fit.cdf(np.array([at]))[0], atol=1e-4)


def test_the_pictures_turn_at_the_threshold_of_the_package(smoke, page, content):
    """What `bea` finds for these images on this network is where their frames appear, and the class they turn to."""
    name = sorted(path.name for path in (smoke / "results" / "networks").glob("scratch-64-1-*.npz"))[0]
    net = Network.load(smoke / "results" / "networks" / name)
    data = datasets.load(read_dataset(smoke))
    x, labels = data.x_test[content["numbers"]].astype(float), data.y_test[content["numbers"]]
    assert labels.tolist() == content["labels"]
    found = smallest_epsilon(net, x, labels).epsilon
    np.testing.assert_allclose(content["first"], found, atol=1e-4)
    for place, at in enumerate(content["first"]):
        for shift, fooled in ((-1e-7, False), (1e-7, True)):
            assert change(page, VARIABLE, epsilon=at + shift)["pictures"][place] is fooled
    change(page, VARIABLE, epsilon=content["top"])
    captions = page.locator(f"#{NAME} figcaption").all_inner_texts()
    assert captions == [f"{a} → {b}" for a, b in zip(content["labels"], content["seen"], strict=True)]
    assert page.locator(f"#{NAME} .explorable-threshold-is-fooled").count() == len(captions)


def test_the_step_is_moved_by_mouse_and_keyboard_and_the_sentence_follows(page):
    """The bar follows a mouse on the histogram, the slider the keys; laws come and go."""
    plot = page.locator(f"#{NAME} .explorable-threshold-plot svg").bounding_box()
    y = plot["y"] + plot["height"] / 2
    page.mouse.move(plot["x"] + plot["width"] * 0.4, y)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] * 0.5, y, steps=3)
    page.wait_for_timeout(50)
    before = state(page, VARIABLE)
    page.mouse.move(plot["x"] + plot["width"] * 0.7, y, steps=3)
    page.mouse.up()
    page.wait_for_function("before => window.explorables.threshold.state().epsilon > before", arg=before["epsilon"])
    page.focus("#threshold-epsilon")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    after = state(page, VARIABLE)
    assert 0 < after["epsilon"] < before["epsilon"]
    laws = page.locator(f"#{NAME} [aria-labelledby=threshold-laws] button")
    for number, law in enumerate(after["laws"]):
        if not after["shown"][number]:
            laws.nth(number).click()
        share = f"{law['name']}: {100 * law['share']:.1f} %"
        assert share in verdict(page, NAME)
    laws.nth(0).click()
    assert after["laws"][0]["name"] not in verdict(page, NAME)
    assert f"fools {after['fooled']} of {after['images']} images" in verdict(page, NAME)
