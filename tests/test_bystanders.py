"""The explorable of the bystanders in the chapter on one layer: who flips, against the network with changed weights."""

import json

import numpy as np
from inline import change, chapter_data, chapter_page, state, verdict

from bea import Dense, Network, attack
from lab import datasets

NAME, VARIABLE, CHAPTER = "bystanders", "bystanders", "12_one_layer"
page = chapter_page(NAME, f"#{NAME} .explorable-crowd canvas")
content = chapter_data(NAME, VARIABLE)


def test_who_flips_is_what_the_changed_network_says(smoke, page, content):
    """The attack made anew by `bea`, its weights put into the network, and every image classified again."""
    run = json.loads((smoke / "results" / f"{CHAPTER}.json").read_text(encoding="utf-8"))["provenance"]
    data = datasets.load(run["dataset"])
    first = sorted((smoke / "results" / "networks").glob("one_layer-*.npz"))[0]
    net = Network.load(first)
    images = np.round(255 * data.x_test[content["numbers"]]) / 255
    count = len(content["targets"])
    for victim, target, part in [(0, 9, 1.0), (1, 0, 0.5), (2, 3, 1.5), (3, 9, 1.25), (0, 1, 0.0)]:
        found = change(page, VARIABLE, victim=victim, target=target, part=part)
        made = attack(net, images[[victim]], [target], on="weights", margin=run["parameters"]["margin"]).perturbation
        matrix = net.weighted[0].matrix + part * made.matrix(0, 0)
        changed = Network((*net.layers[:-1], Dense(matrix, bias=True)), net.input_shape)
        np.testing.assert_allclose(found["logits"], changed(images[[victim]])[0], atol=1e-4)
        np.testing.assert_allclose(found["size"], part * made.relative_norms[0, 0], rtol=1e-4, atol=1e-9)
        assert found["seen"] == changed.classify(images[count:]).tolist()
        assert found["flips"] == np.sum(np.array(found["seen"]) != content["labels"][count:])


def test_the_frames_and_the_sentence_are_what_the_page_holds(page, content):
    """As many frames as flips, each with its new class; nothing flips where nothing was put in."""
    frames = page.locator(f"#{NAME} .explorable-crowd-flipped")
    last = change(page, VARIABLE, victim=0, target=9, part=1.5)
    assert last["flips"] > 0
    assert frames.count() == last["flips"]
    wanted = [str(seen) for seen, on in zip(last["seen"], last["flipped"], strict=True) if on]
    assert frames.locator("span").all_inner_texts() == wanted
    assert f"{last['flips']} of {len(last['seen'])} other images" in verdict(page, NAME)
    none = change(page, VARIABLE, part=0)
    assert none["flips"] == frames.count() == 0
    assert none["victimSeen"] == content["labels"][0]


def test_slider_images_and_classes_are_operated(page, content):
    """Keys put the change in; a press takes another image or class; its own class is no target."""
    page.focus("#bystanders-part")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert 0 < state(page, VARIABLE)["part"] < 0.05
    box = page.locator(f"#{NAME}")
    box.get_by_role("button", name=f"image {content['numbers'][1]},").click()
    found = state(page, VARIABLE)
    assert found["victim"] == 1
    assert box.get_by_role("button", name=str(found["label"]), exact=True).is_disabled()
    target = next(k for k in content["targets"][1] if k != found["target"])
    box.get_by_role("button", name=str(target), exact=True).click()
    assert state(page, VARIABLE)["target"] == target
