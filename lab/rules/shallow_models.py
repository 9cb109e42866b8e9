"""What is judged about models of one affine map."""

import numpy as np
import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome
from lab.wording import counted, spread

PUBLISHED = {"error": "error", "step": "error_adversarial", "clipped": "error_adversarial"}


def step_is_worst(errors, gaps, harm, *, main, published, points, rounding) -> Outcome:
    """The model is trained on the two digits from several seeds, its error measured before and after the step.

    The step is compared with the optimum of linear programmes over the box and with random points of it: exact when no
    lead differs from its closed form or a programme's optimum by {rounding:.0e}, no random point does more harm, and
    forty steps never decide otherwise than one. A recipe meets the published numbers when its errors before and after
    the step, medians over its seeds, are both at most {points:.1%} of all images off them; whether the paper clipped it
    does not say, so either may do. Reproduced when the step is exact and the main recipe meets them; with a correction
    when it is exact and only another recipe does; contradicted otherwise.
    """
    exact = max(gaps["closed"], gaps["clipped"], harm["programme"]) < rounding and not harm["better"] + harm["differs"]
    limits = pd.Series({key: published[name] for key, name in PUBLISHED.items()})
    off = (errors.groupby("recipe", sort=False)[list(limits.index)].median() - limits).abs()
    worst = np.maximum(off.error, off[["step", "clipped"]].min(axis=1))
    others = list(worst.index[worst <= points])
    own = errors[errors.recipe == main]
    return Outcome(
        REPRODUCED if exact and main in others else CORRECTED if exact and others else CONTRADICTED,
        f"{spread(own.error, '.1%')} error, {spread(own.step, '.2%')} after the step, {spread(own.clipped, '.2%')} "
        f"clipped; {counted(len(own), 'seed')}",
        "sampled",
        f"The main recipe is {100 * worst[main]:.2f} percentage points away from a published number in its median, "
        f"{100 * points:g} allowed, and "
        + (
            "no perturbation of the box does more harm, by proof and by "
            if exact
            else "the step is not the optimum of some of "
        )
        + f"{harm['programmes']} linear programmes. Recipes that meet the numbers: {', '.join(others) or 'none'}.",
    )


def shallow_is_vulnerable(fooled, medians, ratios, *, agree, asked, small, share) -> Outcome:
    """The exact smallest perturbations of a softmax regression, from several seeds, are computed on the whole test set.

    They are also compared with those of deeper networks. Reproduced when for every seed more than {share:.0%} of the
    images are fooled by a perturbation of less than {small:.0%} of their norm, and Keras confirms all of them;
    contradicted otherwise.
    """
    return Outcome(
        REPRODUCED if min(fooled) > share and agree == asked else CONTRADICTED,
        f"{spread(fooled, '.0%')} of the images fooled by less than {small:.0%} of their norm; "
        f"{counted(len(fooled), 'seed')}; median length {spread(medians, '.1%')}",
        "sampled",
        f"The smallest changes are known in closed form; {agree} of {asked} are confirmed by Keras. Deeper networks "
        f"need {min(ratios):.2f} to {max(ratios):.2f} times as much (locally optimal, medians).",
    )
