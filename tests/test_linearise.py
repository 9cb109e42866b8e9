"""The explorable of the chapter on the converged attack: repeated linearisation against `bea`, and its cycles."""

import json

import numpy as np
from inline import change, chapter_data, chapter_page, drag, numbers, state, verdict

from bea import attack
from studies import the_converged_attack as study

NAME, VARIABLE, CHAPTER = "linearise", "linearise", "27_the_converged_attack"
page = chapter_page(NAME, f"#{NAME}-handle")
content = chapter_data(NAME, VARIABLE)


def press(page, name, times=1):
    """Press a button of the explorable so many times."""
    for _ in range(times):
        page.locator(f"#{NAME}").get_by_role("button", name=name, exact=True).click()


def test_the_page_has_the_sharpnesses_of_the_chapter(smoke, page, content):
    """One button each, and the chapter's own margin."""
    parameters = json.loads((smoke / "results" / f"{CHAPTER}.json").read_text())["provenance"]["parameters"]
    assert [tongue["sharpness"] for tongue in content["tongues"]] == parameters["sharpness"]
    assert content["margin"] == parameters["margin"]
    labels = page.locator(f"#{NAME} [role=group] button").all_inner_texts()
    assert [float(label) for label in labels] == parameters["sharpness"]


def test_every_step_is_that_of_the_package(page, content):
    """From the image on, step by step, and at the end the lead is the network's own."""
    for number, tongue in enumerate(content["tongues"]):
        net = study.toy(tongue["sharpness"])
        wanted = study.repeated(net, content["margin"], steps=11)
        change(page, VARIABLE, tongue=number, way=[[0, 0]])
        press(page, "linearise again")
        press(page, "ten times")
        found = state(page, VARIABLE)
        np.testing.assert_allclose(found["way"], wanted[["u", "v"]], atol=1e-4)
        np.testing.assert_allclose(max(-found["lead"], 0), wanted.violation.iloc[-1], atol=1e-4)
        np.testing.assert_allclose(found["length"], wanted.length.iloc[-1], atol=1e-4)


def test_the_nearest_point_is_that_of_the_attack(content):
    """The green point is where the converged attack of `bea` ends."""
    for tongue in content["tongues"]:
        net = study.toy(tongue["sharpness"])
        found = attack(net, study.IMAGE, study.TARGET, on="input", method="converged", margin=content["margin"])
        np.testing.assert_allclose(np.linalg.norm(tongue["nearest"]), np.sqrt(found.objective[0]), rtol=1e-4)


def test_from_any_start_the_step_solves_the_linearised_problem(page, content):
    """The ring may stand anywhere: the next point is that of the package's quadratic programme."""
    rng = np.random.default_rng(0)
    for number, tongue in enumerate(content["tongues"]):
        lead_of = study.constraints(study.toy(tongue["sharpness"]), study.IMAGE, study.TARGET, content["margin"])
        for tau in rng.uniform(-0.6, 2.0, (12, 2)):
            _, _, wanted = study.linearised(lead_of, tau[None])
            found = page.evaluate("a => window.explorables.linearise.following(...a)", [number, tau.tolist()])
            np.testing.assert_allclose(found, wanted[0], atol=1e-4)


def test_the_sharpest_tip_makes_a_cycle_and_the_bluntest_none(page, content):
    """The sentence says so, and the way does come back."""
    change(page, VARIABLE, tongue=len(content["tongues"]) - 1, way=[[0, 0]])
    press(page, "ten times")
    found = state(page, VARIABLE)
    assert found["cycle"] > 1
    np.testing.assert_allclose(found["way"][-1], found["way"][-1 - found["cycle"]], atol=1e-3)
    assert verdict(page, NAME).startswith(f"A cycle of {found['cycle']}.")
    change(page, VARIABLE, tongue=0, way=[[0, 0]])
    press(page, "ten times", 4)
    assert state(page, VARIABLE)["cycle"] == 0
    press(page, "reset")
    assert state(page, VARIABLE)["way"] == [[0, 0]]


def test_the_ring_is_moved_and_the_way_begins_there(page):
    """By keyboard and mouse; the table has what the state holds."""
    press(page, "linearise again")
    page.focus(f"#{NAME}-handle")
    before = state(page, VARIABLE)["tau"]
    page.keyboard.press("ArrowUp")
    pushed = state(page, VARIABLE)
    assert pushed["steps"] == 0
    assert pushed["tau"][1] > before[1]
    drag(page, NAME, -40, 30)
    dragged = state(page, VARIABLE)
    assert dragged["tau"][0] < pushed["tau"][0]
    assert dragged["tau"][1] < pushed["tau"][1]
    cells = dict(numbers(page, NAME))
    np.testing.assert_allclose(float(cells["its length"]), dragged["length"], rtol=1e-3)
    np.testing.assert_allclose(float(cells["distance to the nearest point"]), dragged["left"], rtol=1e-3)
