"""What is judged about the surveyed attacks, side by side on the same images."""

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome
from lab.wording import tidy


def one_step(fixed, gains, slower, many, *, found, faster) -> Outcome:
    r"""One gradient sign step and an iterated search are run at equal $\epsilon$, and their success and time compared.

    Success is the network's own word, and Keras is asked too; without a target, with the pixels in their range.
    Reproduced when one step of the largest $\epsilon$ fools more than {found:.0%} of the images and the search takes
    more than {faster:g} times as long; with a correction when it fools any at all; contradicted when none.
    """
    last = fixed.iloc[-1]
    cheap = last.one_any > found and slower > faster
    return Outcome(
        REPRODUCED if cheap else CORRECTED if last.one_any > 0 else CONTRADICTED,
        f"one step of ε = {last.epsilon:g} fools {last.one_any:.1%} of the images ({last.one_target:.1%} towards a "
        f"target), at 1/{slower:.0f} of the time of {many} steps",
        "exact",
        f"The iterated search fools up to {gains['any'].max():.0f} points more images at equal ε, with a target up to "
        f"{gains.target.max():.0f}. Success, confirmed in Keras, on one network and images it classifies correctly.",
    )


def sign_step(gains, excess, *, rounding) -> Outcome:
    r"""One-step and iterated attacks are compared at equal $\epsilon$, and the sign step with linear programmes.

    Reproduced when the sign step is the optimum of the linearised problem, by {rounding:.0e} relative, and iterating
    fools at least as many images at every $\epsilon$, with a target and without; with a correction when only the sign
    step is that optimum; contradicted when it is not.
    """
    optimal = excess.max() < rounding
    never_worse = gains.min().min() >= 0
    return Outcome(
        REPRODUCED if never_worse and optimal else CORRECTED if optimal else CONTRADICTED,
        f"iterating fools {gains.min().min():+.1f} to {gains.max().max():+.1f} points more images at equal ε",
        "exact",
        f"{len(excess)} linear programmes differ from the sign step by at most {tidy(excess.max())}: it is "
        f"{'' if optimal else 'not '}the optimum of the linearised problem. It maximises the loss, which is not the "
        "same as changing the class: a step towards a target may overshoot it.",
    )


def shortest(lengths, sign, *, reliable, unreliable) -> Outcome:
    r"""L-BFGS and Carlini and Wagner's descent get the same images and targets, with a search over the weight.

    Their lengths are set beside those of the converged backward-error attack, the pixels in their range. Contradicted
    when one of the two succeeds on fewer than {unreliable:.0%} of the images of some network; undecided unless both
    succeed on more than {reliable:.0%} everywhere; then reproduced if, with a target, a step with the sign of $L$ in
    the printed (6) reaches it as often as one with the other sign, and with a correction of that sign if not.
    """
    rates = lengths.groupby("attack", sort=False).success.agg(["min", "max"])
    medians = lengths.groupby("attack", sort=False)["median"].agg(["min", "max"])
    turned = sign["towards"] > sign["away"]
    lowest = rates["min"].min()
    success = CORRECTED if turned else REPRODUCED
    names = {"lbfgs": "L-BFGS", "cw": "Carlini-Wagner"}
    return Outcome(
        CONTRADICTED if lowest < unreliable else success if lowest > reliable else UNDECIDED,
        "; ".join(
            f"{names[name]} succeeds on {rates['min'][name]:.1%} to {rates['max'][name]:.1%}, median length "
            f"{medians['min'][name]:.3f} to {medians['max'][name]:.3f} times that of backward error"
            for name in rates.index
        ),
        "locally optimal",
        f"{lengths.net.nunique()} networks, the same images and targets, pixels in their range. "
        + (
            "The correction is the sign of L in (6), which as printed is that of an attack without a target."
            if turned
            else "The sign of L in (6) does for attacks with a target too."
        ),
    )


def greedy(pixels, more, *, reached, fewer) -> Outcome:
    """Compare the greedy attack with a saliency map with pixels in a random order, and with the best subset.

    Reproduced when it reaches more than {reached:.0%} of its targets on every network and the random order, where it
    succeeds, needs at least {fewer:g} times as many pixels (medians); with a correction when that is not so but it
    needs fewer than the random order; contradicted otherwise. The best subset, known for one affine layer, is reported.
    """
    rates, chance = pixels.greedy_success, pixels.random_success
    ratio = (pixels.random / pixels.greedy.clip(lower=1)).min()
    enough = rates.min() > reached and ratio >= fewer
    return Outcome(
        REPRODUCED if enough else CORRECTED if ratio > 1 else CONTRADICTED,
        f"{rates.min():.1%} to {rates.max():.1%} of the targets reached with a median of {pixels.greedy.min():.0f} to "
        f"{pixels.greedy.max():.0f} pixels; at random {ratio:.0f} times as many or more, and {chance.min():.0%} to "
        f"{chance.max():.0%} succeed",
        "exact",
        "For one affine layer the smallest subset is known: greedy changes "
        f"{more.sum() / max(len(more), 1):.2f} pixels more on average, over {len(more)} images.",
    )


def outside() -> Outcome:
    """ImageNet, networks of that size and people who look are outside this book, and nothing is computed.

    The verdict is always that it cannot be decided here, and the page says so.
    """
    because = "ImageNet, networks of that size and a study with observers are outside this book."
    return Outcome(UNDECIDED, "nothing computed", "exact", because)
