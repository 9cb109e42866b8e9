"""The verdict of the chapter on transfer."""

import pandas as pd

from lab.claims import CONTRADICTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome

NOISE = ["signs", "Gaussian"]


def fools_others(
    attacks: pd.DataFrame, pairs: pd.DataFrame, halves: pd.DataFrame, beside_noise, ended: pd.DataFrame,
    setting: dict, *, middle, judged,
) -> Outcome:  # fmt: skip
    r"""Measure transfer between architectures, between networks on disjoint halves, and through a substitute.

    Each is set against random noise of equal size; intervals are of 95%. Between architectures the bootstrap interval
    of the mean must lie above those of noise for {judged}; between halves Wilson's interval must do so for every single
    attack and pair with disjoint data; and every victim must be fooled through a substitute more often than by noise,
    interval above interval with every seed, by at least one kind of substitute and one attack at one of the steps.
    Reproduced when all three hold, contradicted when none does, and cannot be decided otherwise.
    """
    top, clear = attacks.high[NOISE].max(), attacks.drop(NOISE)
    clear, fgsm = clear[clear.low > top], attacks.loc["FGSM"]
    own = ended[~ended.learner.isin(["noise", "itself"])]
    fallen = own.groupby(["victim", "level"]).clear.any()
    parts = {
        "between architectures": set(judged.split(", ")) <= set(clear.index),
        "between halves": bool(beside_noise.all()),
        "through a substitute": fallen.groupby("victim").any().all(),
    }
    best = own[own.level == middle].groupby("victim").share.max()
    noise = ended[(ended.learner == "noise") & (ended.level == middle)].set_index("victim").share
    other = halves[(halves.data == "disjoint") & (halves.architectures == "one") & (halves.attack == "FGSM")].rate
    hardest, questions = setting["hardest"], setting["questions"]
    return Outcome(
        REPRODUCED if all(parts.values()) else UNDECIDED if any(parts.values()) else CONTRADICTED,
        f"FGSM at norm {setting['norm']:g} fools another architecture in {fgsm['mean']:.0%} of the images "
        f"({pairs.rate.min():.0%} to {pairs.rate.max():.0%} over the pairs), noise in "
        f"{attacks['mean'][NOISE].max():.1%}; a network trained on the other half {other.mean():.0%} "
        f"({other.min():.0%} to {other.max():.0%}), noise {halves[halves.data == 'noise'].rate.mean():.1%}; through a "
        f"substitute at ε = {middle:g} {best['smooth ReLU']:.0%} (smooth ReLU) and {best['LeNet']:.0%} (LeNet) after "
        f"{questions} questions, noise {noise['smooth ReLU']:.0%} and {noise['LeNet']:.0%}",
        "sampled",
        "How often *often* is the paper does not say; judged is whether more often than by noise. "
        f"Clearly above noise: {', '.join(name for name, holds in parts.items() if holds) or 'nowhere'}. Between "
        f"architectures the interval of the mean is above noise for {len(clear)} of {len(attacks) - len(NOISE)} "
        f"attacks, and FGSM beats noise in {fgsm.beats:.0f} of {fgsm.pairs:.0f} pairs, {hardest} being the hardest "
        f"victim; {beside_noise.sum()} of {len(beside_noise)} pairs on disjoint halves; {fallen.sum()} of "
        f"{len(fallen)} combinations of victim and step.",
    )
