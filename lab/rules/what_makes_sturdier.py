"""Verdicts of the chapter on what makes a network sturdier."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome


def more_examples(
    table: pd.DataFrame, change: pd.DataFrame, mean: pd.DataFrame, half: pd.DataFrame, *, published: Mapping, level
) -> Outcome:
    """Repeat the procedure from many seeds, in pairs with and without the added images, and with a control.

    The control repeats as many training images, drawn at random and not perturbed. Intervals are of {level:.0%}, by
    Student's t over the seeds. Cannot be decided when that of the mean change of the share has zero in it; contradicted
    when the mean has not the published sign; cannot be decided when the published change lies outside the range of the
    single ones. Else with a correction when the accuracy changes too (its interval leaves out zero), or when the share
    is not lowered by more than in the control (the interval of the paired difference reaches zero); reproduced when
    neither.
    """
    gap, fooled, known = published["after"] - published["before"], change.loc["all", "fooled"], table.set_index("added")
    share, wide = mean.loc["all", "fooled"], half.loc["all", "fooled"]
    in_range = fooled.min() <= gap <= fooled.max()
    same_accuracy = abs(mean.loc["all", "accuracy"]) <= half.loc["all", "accuracy"]
    more = mean.loc["versus_random", "fooled"] < -half.loc["versus_random", "fooled"]
    if abs(share) <= wide:
        verdict = UNDECIDED
    elif share * gap <= 0:
        verdict = CONTRADICTED
    elif not in_range:
        verdict = UNDECIDED
    else:
        verdict = REPRODUCED if same_accuracy and more else CORRECTED
    before, after = (known.loc[name, "fooled"].mean() for name in ("(before)", "all"))
    return Outcome(
        verdict,
        f"{before:.2%} to {after:.2%}: {100 * share:+.2f} ± {100 * wide:.2f} points (mean and {level:.0%} interval "
        f"over {len(fooled)} networks in pairs; single ones {100 * fooled.min():+.2f} to {100 * fooled.max():+.2f})",
        "sampled",
        f"The report's change is {100 * gap:+.2f} points. Repeating as many unchanged training images, drawn at "
        f"random, changes the share by {_written(mean, half, 'random', 'fooled')}, and the misclassified ones differ "
        f"from that by {_written(mean, half, 'versus_random', 'fooled')}: "
        + (
            "they do more than the control. "
            if more
            else "that they do more than any repeated images is not shown, so the decrease cannot be put down to them. "
        )
        + f"With the newly misclassified images only it is {_written(mean, half, 'new', 'fooled')}. The accuracy "
        f"changes by {_written(mean, half, 'all', 'accuracy')} points, where the report sees none.",
    )


def radial_resists(ratios: pd.DataFrame, accuracies_apart: float, epochs: int, *, apart, larger) -> Outcome:
    r"""Attack radial networks and their partners alike; the report's other two proposals are described, not judged.

    Cannot be decided when accuracies of partners differ by more than {apart:.0%} of the test images. Else reproduced
    when the median $\epsilon$ of the radial network is more than {larger:g} times that of the report's network and of
    a ReLU network, by FGSM and by the best of three attacks, early and late and with every seed; with a correction
    when that holds for the report's network only; contradicted when the best of three attacks finds it to be less than
    {larger:g} times that of the report's network each time; cannot be decided otherwise. An attack that finds nothing
    nearer does not prove that there is nothing.
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
        "sampled",
        f"Accuracies of partners differ by at most {100 * accuracies_apart:.1f} points. Against a ReLU network with "
        f"the same training the ratio is at least {lowest['relu']:.2f}. Only this statement is judged; the most "
        "fragile images and a better adversarial training, also proposed in the report, are described in this chapter.",
    )


def _written(mean, half, added, measure) -> str:
    return f"{100 * mean.loc[added, measure]:+z.2f} ± {100 * half.loc[added, measure]:.2f}"
