"""Verdicts of the chapter on what makes a network sturdier."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome


def more_examples(
    table: pd.DataFrame, change: pd.DataFrame, mean: pd.DataFrame, half: pd.DataFrame, *, published: Mapping
) -> Outcome:
    """Repeat the procedure from many seeds, in pairs with and without the added images.

    Cannot be decided when the mean change of the share has zero in its 95% interval over the seeds. Else reproduced
    when the mean has the published sign and the published change lies within the range of the single ones, with a
    correction when the accuracy changes too (its interval leaves out zero); contradicted otherwise.
    """
    gap, fooled, known = published["after"] - published["before"], change.loc["all", "fooled"], table.set_index("added")
    share, wide = mean.loc["all", "fooled"], half.loc["all", "fooled"]
    fits = fooled.min() <= gap <= fooled.max() and share * gap > 0
    same_accuracy = abs(mean.loc["all", "accuracy"]) <= half.loc["all", "accuracy"]
    without = mean.loc["random", "fooled"] < -half.loc["random", "fooled"]
    verdict = (REPRODUCED if same_accuracy else CORRECTED) if fits else CONTRADICTED
    before, after = (known.loc[name, "fooled"].mean() for name in ("(before)", "all"))
    return Outcome(
        verdict if abs(share) > wide else UNDECIDED,
        f"{before:.2%} to {after:.2%}: {100 * share:+.2f} ± {100 * wide:.2f} points (mean and 95% interval over "
        f"{len(fooled)} networks in pairs; single ones {100 * fooled.min():+.2f} to {100 * fooled.max():+.2f})",
        "exact",
        f"The report's change is {100 * gap:+.2f} points, ours with the newly misclassified images only "
        f"{_written(mean, half, 'new', 'fooled')}. The accuracy changes by {_written(mean, half, 'all', 'accuracy')} "
        "points, where the report sees none. Repeating as many unchanged training images, drawn at random, changes "
        f"the share by {_written(mean, half, 'random', 'fooled')}"
        f"{': a decrease needs no adversarial example' if without else ''}.",
    )


def radial_resists(ratios: pd.DataFrame, accuracies_apart: float, epochs: int, *, apart, larger) -> Outcome:
    r"""Attack radial networks and their partners alike; the report's other two proposals are described, not judged.

    Cannot be decided when accuracies of partners differ by more than {apart:.0%} of the test images. Else reproduced
    when the median $\epsilon$ of the radial network is more than {larger:g} times that of the report's network and of
    a ReLU network, by FGSM and by the best of three attacks, early and late and with every seed; with a correction
    when that holds for the report's network only; contradicted when the best of three attacks finds it to be less than
    {larger:g} times that of the report's network each time; cannot be decided otherwise.
    """
    numbers = ratios.set_index("other")[["fgsm", "best"]]
    lowest = {other: numbers.loc[other].to_numpy().min() for other in ("scratch", "relu")}
    own = ratios[ratios.other == "scratch"]
    middle = own.groupby("stage")[["fgsm", "best"]].median()
    if accuracies_apart > apart:
        verdict = UNDECIDED
    elif lowest["scratch"] > larger:
        verdict = REPRODUCED if lowest["relu"] > larger else CORRECTED
    else:
        verdict = CONTRADICTED if own.best.max() < larger else UNDECIDED
    early, late = middle.loc["early"], middle.loc["late"]
    return Outcome(
        verdict,
        "median ε of the radial network over that of the report's network, at its accuracy after 1 and "
        f"{epochs} epochs: FGSM {early.fgsm:.2f} and {late.fgsm:.2f}, best of three attacks {early.best:.2f} and "
        f"{late.best:.2f} (at least {lowest['scratch']:.2f} for each of {len(np.unique(own.seed))} seeds)",
        "locally optimal",
        f"Accuracies of partners differ by at most {100 * accuracies_apart:.1f} points. Against a ReLU network with "
        f"the same training the ratio is at least {lowest['relu']:.2f}. Only this statement is judged; the most "
        "fragile images and a better adversarial training, also proposed in the report, are described in this chapter.",
    )


def _written(mean, half, added, measure) -> str:
    return f"{100 * mean.loc[added, measure]:+z.2f} ± {100 * half.loc[added, measure]:.2f}"
