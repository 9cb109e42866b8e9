"""The rule of the chapter on how the smallest ε is distributed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome


def looks_truncated_normal(
    laws: pd.DataFrame, tests: pd.DataFrame, families: pd.DataFrame, own: Mapping, spike,
    *, published, near, level, most, eye,
) -> Outcome:  # fmt: skip
    """Compare the fit by eye, a maximum likelihood fit and rival families by their distance from the empirical curve.

    A bootstrap tests the fit; images misclassified at 0 are left out, their share is reported. Reproduced when the
    median distance of the printed parameters is at most {near} times that of the best truncated normal law, and this
    one is rejected at the level of {level:.0%} for at most {most:.0%} of the networks; with a correction when both
    median distances are at most {eye}, which an eye takes for agreement; contradicted otherwise.
    """
    best, printed, n = tests["distance"].median(), laws["report"].median(), len(laws)
    rejected = int((tests["p"] <= level).sum())
    accepted, as_well = rejected <= most * n, printed <= near * best
    mu, sigma = (
        values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
        for values in (laws["mu"], laws["sigma"])
    )
    width = "wider" if np.median(sigma) > published["sigma"] else "narrower"
    ours = families.set_index("family")["first_aic"]["truncated normal"]
    return Outcome(
        REPRODUCED if as_well and accepted else CORRECTED if printed <= eye and best <= eye else CONTRADICTED,
        f"images classified correctly: μ = {np.median(mu):.3f} ({np.min(mu):.3f} to {np.max(mu):.3f}), "
        f"σ = {np.median(sigma):.3f} ({np.min(sigma):.3f} to {np.max(sigma):.3f}), medians and ranges over {n} seeds; "
        f"largest distance between distribution functions {best:.3f} (report's parameters: {printed:.3f}); rejected "
        f"for {rejected} of {n} seeds",
        "exact",
        f"It looks like one: best of {len(families)} families for {ours} of {n} seeds by Akaike's criterion, and a "
        f"share of images read from it is wrong by {100 * best:.1f} percentage points at most (median). A test that "
        f"allows for the fitted parameters {'does' if not accepted else 'does not'} tell it from one, on all images "
        f"classified correctly. Largest likelihood asks for a {width} law than the trial; the report's own printed "
        f"mean and standard deviation give μ = {own['mu']:.3f}, σ = {own['sigma']:.3f}. With the misclassified images "
        f"at 0, the distance is at least their share, {np.median(spike):.1%}.",
    )
