"""What is judged about models of one affine map."""

import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome
from lab.wording import counted, spread

PUBLISHED = {"error": "error", "step": "error_adversarial", "clipped": "error_adversarial"}


def step_is_worst(errors, gaps, harm, *, main, published, points, rounding) -> Outcome:
    """The model is trained on the two digits from several seeds, its error measured before and after the step.

    The step is compared with the optimum of linear programmes over the box and with random points of it: exact when no
    lead differs from its closed form or a programme's optimum by {rounding:.0e}, no random point does more harm, and
    forty steps never decide otherwise than one. Reproduced when it is exact and all errors of the main recipe, the one
    after the step both clipped and not, lie within {points:.0%} of all images of the published ones; with a correction
    when it is exact and those of another recipe do; contradicted otherwise.
    """
    exact = max(gaps["closed"], gaps["clipped"], harm["programme"]) < rounding and not harm["better"] + harm["differs"]
    limits = pd.Series({key: published[name] for key, name in PUBLISHED.items()})
    off = (errors[limits.index] - limits).abs().max(axis=1)
    worst = off.groupby(errors.recipe, sort=False).max()
    others = [name for name, value in worst.items() if value <= points + 1e-12]
    own = errors[errors.recipe == main]
    return Outcome(
        REPRODUCED if exact and main in others else CORRECTED if exact and others else CONTRADICTED,
        f"{spread(own.error, '.1%')} error, {spread(own.step, '.2%')} after the step, {spread(own.clipped, '.2%')} "
        f"clipped; {counted(len(own), 'seed')}",
        "exact",
        f"The error furthest from its published value is {100 * worst[main]:.2f} percentage points away, "
        f"{100 * points:g} allowed, and "
        + (
            "no perturbation of the box does more harm, by proof and by "
            if exact
            else "the step is not the optimum of some of "
        )
        + f"{harm['programmes']} linear programmes. Recipes that meet all numbers: {', '.join(others) or 'none'}.",
    )


def shallow_is_vulnerable(fooled, medians, ratios, *, agree, asked, small, share) -> Outcome:
    """The exact smallest perturbations of a softmax regression, from several seeds, are computed on the whole test set.

    They are also compared with those of deeper networks. Reproduced when for every seed more than {share:.0%} of the
    images are fooled by perturbations that are small beside the image, and Keras confirms all of them; contradicted
    otherwise.
    """
    return Outcome(
        REPRODUCED if min(fooled) > share and agree == asked else CONTRADICTED,
        f"{spread(fooled, '.0%')} of the images fooled by less than {small:.0%} of their norm; "
        f"{counted(len(fooled), 'seed')}; median length {spread(medians, '.1%')}",
        "exact",
        f"The smallest changes are known in closed form; {agree} of {asked} are confirmed by Keras. Deeper networks "
        f"need {min(ratios):.2f} to {max(ratios):.2f} times as much (locally optimal, medians).",
    )
