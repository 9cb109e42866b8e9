"""The rules about attacks on the input: made-up tables reach every verdict."""

import numpy as np
import pandas as pd
import pytest
from judged import judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED


@pytest.mark.parametrize(
    ("brightest", "verdict"),
    [
        ([0.1, 0.2, 0.11, 0.19], UNDECIDED),
        ([0.001, 0.002, 0.001, 0.001], CONTRADICTED),
        ([0.001, 0.002, 0.1, 0.2], UNDECIDED),
        ([0.6, 1.2, 0.7, 1.2], CONTRADICTED),
    ],
)
def test_stains_show(brightest, verdict):
    """Too faint or too bright for a slight stain on every network contradicts; nothing computed confirms."""
    ones = pd.DataFrame({"net": ["a", "a", "b", "b"], "norm": [0.1, 0.2, 0.1, 0.2], "brightest": brightest})
    assert judge("B15", ones, published={"visible": 0.1}).verdict == verdict


BOTH, SOME, NONE = ([3, 1], [1, 2]), ([3, 0], [1, 2]), ([3, 2], [0, 0])


@pytest.mark.parametrize(
    ("printed", "mild", "logits", "ray", "verdict"),
    [
        (BOTH, NONE, NONE, NONE, REPRODUCED),
        (SOME, NONE, NONE, NONE, CORRECTED),
        (NONE, SOME, NONE, NONE, CORRECTED),
        (NONE, NONE, SOME, NONE, CORRECTED),
        (NONE, NONE, NONE, BOTH, CONTRADICTED),
    ],
)
def test_each_wins_somewhere(printed, mild, logits, ray, verdict):
    """On all networks, on some, on none; what the paper does not do cannot save it."""
    names = ("after the last tanh", "first-order", "first-order along its ray", "converged")
    four = np.array([4, 4])
    wins, milder = (
        {
            name: {"ours": np.array(ours), "theirs": np.array(theirs), "both": four, "reached": four}
            for name, (ours, theirs) in zip(names, counts, strict=True)
        }
        for counts in ((printed, logits, ray, BOTH), (mild, BOTH, BOTH, BOTH))
    )
    assert judge("B16", wins, milder).verdict == verdict


@pytest.mark.parametrize(
    ("printed", "mild", "logits", "verdict"),
    [
        ([4, 5], [1, 1], [1, 1], REPRODUCED),
        ([4, 3], [1, 1], [1, 1], CORRECTED),
        ([4, 2], [3, 3], [1, 1], CORRECTED),
        ([4, 2], [3, 2], [3, 3], CORRECTED),
        ([4, 2], [5, 2], [5, 2], CONTRADICTED),
    ],
)
def test_more_classes(printed, mild, logits, verdict):
    """Against FGSM with and without a target, as printed and otherwise; both senses of diffuse are said."""
    usual = {"FGSM": [2.0, 2.0], "targeted FGSM": [3.0, 4.0], "after the last tanh, any length": 9.0, "converged": 9.0}
    means, milder = (pd.DataFrame(usual | {"after the last tanh": own}) for own in (printed, mild))
    patterns = pd.DataFrame({"magnitudes": [1, 700], "participation": [0.8, 0.2]}, index=["FGSM", "first-order"])
    found = judge("B18", means.assign(**{"first-order": logits}), milder, patterns)
    assert found.verdict == verdict
    assert "700 distinct magnitudes against 1" in found.because
    assert "20% against 80%" in found.because


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, REPRODUCED),
        ({"same": False}, CONTRADICTED),
        ({"opened": ["net.npz", "labels.npy"]}, CONTRADICTED),
        ({"modules": ["keras"]}, CONTRADICTED),
    ],
)
def test_alone_it_does_the_same(change, verdict):
    """Other bits, another file, another module: each contradicts."""
    report = {"same": True, "opened": ["net.npz", "image.npy"], "modules": [], "attacks": 18} | change
    assert judge("B21", report, "net").verdict == verdict
