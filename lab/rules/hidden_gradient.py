"""Verdict of the chapter on a hidden gradient."""

import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome


def lives_on_the_gradient(
    cells: pd.DataFrame, gradient, flowing: float, stuck: float, unlimited: float, *, standing, share, few, half
) -> Outcome:
    r"""Cut the flow by rounding the pixels, and run attacks by the gradient and around it, before and after.

    The attacks by the gradient work while it flows when each fools more than {half:.0%} of the images on every network,
    with the largest $\varepsilon$ where it takes one. An attack breaks where it fools less than {share:.0%} of what it
    fools without the rounding, in the mean over the networks of a kind. The attacks by the gradient stop when none
    fools more than {standing:.0%} on any network. The others (a pretended derivative, the network behind, another
    network, differences of outputs; no noise) go on when at most {few:.0%} of the combinations of attack, kind, levels
    and $\varepsilon$ break among those with $\varepsilon$ above half a step of the rounding, and the two attacks with
    the nearest pre-image, without a limit on the pixel, fool more than {half:.0%} at the coarsest rounding on every
    network. Contradicted unless the first work while the gradient flows and stop when it is cut, and the others go on;
    reproduced when at most {few:.0%} break below half a step too, with a correction otherwise.
    """
    most = cells.loc[cells.attack.isin(gradient), "most"].max()
    others = cells[~cells.attack.isin([*gradient, "noise"])]
    broken, total = others.after < share * others.before, others.above.value_counts()
    above, above_of = (broken & others.above).sum(), total.get(True, 0)
    below, below_of = (broken & ~others.above).sum(), total.get(False, 0)
    stopped, through = max(most, stuck) <= standing, above <= few * above_of and unlimited > half
    works, spared = flowing > half, below <= few * below_of
    verdict = REPRODUCED if spared else CORRECTED
    verdict = verdict if works and stopped and through else CONTRADICTED
    smaller = (
        "they also go on where it is smaller than half a step of the rounding"
        if spared
        else "below half a step of the rounding many of them break too, gradient or not"
    )
    return Outcome(
        verdict,
        ours=f"with the gradient at least {flowing:.0%} fooled while it flows, at most {most:.0%} when it is cut; "
        f"other attacks broken in {above} of {above_of} cases with ε > h/2, in {below} of {below_of} with ε < h/2; "
        f"without a limit on the pixel at least {unlimited:.0%} fooled",
        label="sampled",
        because=f"The gradient attacks {'work' if works else 'do not all work'} while it flows and "
        f"{'stop' if stopped else 'do not stop'} when it is cut, on the networks that were tried; that every network "
        "is open as long as it flows no experiment shows. Attacks that do not need it "
        f"{'go on' if through else 'do not all go on'} where a change is large enough to be seen; {smaller}.",
    )
