"""The rule of the chapter on how the smallest ε is distributed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome


def looks_truncated_normal(
    laws: pd.DataFrame, tests: pd.DataFrame, families: pd.DataFrame, own: Mapping, spike,
    *, printed, eye, moments, level, most,
) -> Outcome:  # fmt: skip
    """Ask whether a truncated normal law looks like the data, and whether the printed one fits the report's own.

    Looks are judged on our networks, without the images misclassified at 0: contradicted unless the best truncated
    normal law, by largest likelihood, is nowhere further than {eye} from the empirical curve (median over networks).
    The printed parameters belong to the report's network and are judged by what it prints of its sample (D13): they fit
    when mean and standard deviation of the printed law are within {moments:.0%} of the printed ones. Reproduced when
    they do and a bootstrap rejects the best law, at the level of {level:.0%}, for at most {most:.0%} of our networks;
    with a correction otherwise: of the parameters in the first case, of a law to a mere description in the second.
    """
    best, trial, n = tests["distance"].median(), laws["report"].median(), len(laws)
    rejected = int((tests["p"] <= level).sum())
    off = {name: own[name] / printed[name] - 1 for name in ("mean", "std")}
    looks, fits, accepted = best <= eye, max(map(abs, off.values())) <= moments, rejected <= most * n
    mu, sigma = (
        values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
        for values in (laws["mu"], laws["sigma"])
    )
    first = families.set_index("family")["first_aic"]["truncated normal"]
    return Outcome(
        CONTRADICTED if not looks else REPRODUCED if fits and accepted else CORRECTED,
        f"the printed law has mean {own['mean']:.4f} and standard deviation {own['std']:.4f}; our networks: "
        f"μ = {np.median(mu):.3f} ({np.min(mu):.3f} to {np.max(mu):.3f}), σ = {np.median(sigma):.3f} "
        f"({np.min(sigma):.3f} to {np.max(sigma):.3f}), medians and ranges over {n} seeds; largest distance between "
        f"distribution functions {best:.3f} (report's parameters: {trial:.3f}); rejected for {rejected} of {n} seeds",
        "sampled",
        f"It {'looks' if looks else 'does not look'} like one: best of {len(families)} families for {first} of {n} "
        f"seeds by Akaike's criterion, and a share of images read from it is wrong by {100 * best:.1f} percentage "
        f"points at most (median). As a law it is {'not ' if accepted else ''}rejected by a test that allows for the "
        f"fitted parameters. The printed parameters {'fit' if fits else 'do not fit'} the report's own sample: mean "
        f"and standard deviation of their law are {100 * off['mean']:+.0f}% and {100 * off['std']:+.0f}% off those it "
        f"prints, which ask for μ = {own['mu']:.3f}, σ = {own['sigma']:.3f} if they leave out the images at 0. With "
        f"these, the distance is at least their share, {np.median(spike):.1%} here.",
    )
