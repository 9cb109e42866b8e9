"""The explorable of sums with few digits: its roundings, sums and bounds are those of the package."""

import itertools

import numpy as np
import pytest
from inline import change, chapter_page, state, verdict

from bea import Dense, Network
from bea.precision import deterministic_bound, low_precision, probabilistic_bound, round_to

NAME, VARIABLE = "few-digits", "fewDigits"
NAMES = {"float16": "float16", "bfloat16": "bfloat16", "float8 e4m3": "float8_e4m3", "float8 e5m2": "float8_e5m2"}
page = chapter_page(NAME, f"#{NAME} circle")


def in_page(page, function, *arguments):
    return page.evaluate(f"all => window.explorables.{VARIABLE}.{function}(...all)", list(arguments))


def test_numbers_are_rounded_as_in_the_package(page):
    """Of all sizes, with ties and subnormal numbers; what is too large is no number of the format."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal(200) * 2.0 ** rng.integers(-30, 20, 200)
    values = np.concatenate([values, np.arange(1, 40) / 16, 2.0**-15 * np.arange(1, 20), [0.0]])
    script = f"([all, name]) => all.map((v) => window.explorables.{VARIABLE}.rounded(v, name))"
    for shown in (*NAMES, "float32"):
        found = page.evaluate(
            f"arguments => ({script})(arguments).map((v) => isFinite(v) ? v : null)", [values.tolist(), shown]
        )
        rounded = round_to(values, NAMES.get(shown, shown)).tolist()
        assert found == [value if np.isfinite(value) else None for value in rounded], shown


def test_sums_and_bounds_are_those_of_the_package(page):
    """In every format, with both accumulators; the cloud is below the worst case."""
    rng = np.random.default_rng(1)
    weights, inputs = rng.standard_normal((3, 50)), rng.random((1, 50))
    layer = Network([Dense(weights, bias=False)], (50,))
    for shown, wide in itertools.product(NAMES, (False, True)):
        arguments = NAMES[shown], "float32" if wide else None
        expected = low_precision(layer, inputs, *arguments).logits[0]
        found = [in_page(page, "sum", row.tolist(), inputs[0].tolist(), shown, wide) for row in weights]
        assert found == expected.tolist()
        for tick in (0, 48):
            found = change(page, VARIABLE, format=shown, wide=wide, tick=tick)
            net = Network([Dense(np.ones((2, found["n"])), bias=False)], (found["n"],))
            worst = deterministic_bound(net, *arguments, form="linear").normwise[0]
            assert found["worst"] == pytest.approx(worst, rel=1e-12)
            likely = probabilistic_bound(net, *arguments).normwise[0]  # of two rows at once: a little more
            assert 0.8 * likely <= found["likely"] <= likely
            assert 0 < max(value for value in found["cloud"] if value is not None) < worst


def test_controls_choose_terms_and_format_and_the_sentence_follows(page):
    page.focus("#few-digits-terms")
    page.keyboard.press("End")
    after = state(page, VARIABLE)
    assert after["n"] == round(10**3.4)
    page.locator(f"#{NAME}").get_by_role("button", name="float16", exact=True).click()
    assert state(page, VARIABLE)["format"] == "float16"
    assert verdict(page, NAME).startswith(f"{after['n']} terms: the largest of 40")
