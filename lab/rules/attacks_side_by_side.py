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
        "sampled",
        f"The iterated search fools up to {gains['any'].max():.0f} points more images at equal ε, with a target up to "
        f"{gains.target.max():.0f}. One network, and images it classifies correctly; Keras confirms "
        f"{fixed.agree.sum()} of {fixed.asked.sum()} successes.",
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
        "sampled",
        f"{len(excess)} linear programmes differ from the sign step by at most {tidy(excess.max())}: it is "
        f"{'' if optimal else 'not '}the optimum of the linearised problem. It maximises the loss, which is not the "
        "same as changing the class: a step towards a target may overshoot it.",
    )


def shortest(printed, turned, sign, *, reliable, unreliable) -> Outcome:
    r"""L-BFGS and Carlini and Wagner's descent get the same images, with a search over the weight, in two problems.

    One is (6) as printed, $-L$ of the label, which leads away from it; the other has the sign of $L$ turned and leads
    to a target. Their lengths are set beside those of the converged backward-error attack, the pixels in their range.
    Reproduced when, as printed, both succeed on more than {reliable:.0%} of the images of every network; with a
    correction when they do so only with the sign turned; contradicted when in both problems one of them succeeds on
    fewer than {unreliable:.0%} on some network; undecided otherwise.
    """
    lowest = [table.success.min() for table in (printed, turned)]
    reliably = [share > reliable for share in lowest]
    failed = all(share < unreliable for share in lowest)
    known = REPRODUCED if reliably[0] else CORRECTED if reliably[1] else CONTRADICTED if failed else UNDECIDED
    names = {"lbfgs": "L-BFGS", "cw": "Carlini-Wagner"}
    said = []
    for way, table in (("as printed", printed), ("towards a target", turned)):
        ends = table.groupby("attack", sort=False)[["success", "median"]].agg(["min", "max"])
        said += [
            f"{names[name]} {way} succeeds on {row['success', 'min']:.1%} to {row['success', 'max']:.1%}, at "
            f"{row['median', 'min']:.3f} to {row['median', 'max']:.3f} times the length of backward error (medians)"
            for name, row in ends.iterrows()
        ]
    return Outcome(
        known,
        "; ".join(said),
        "sampled",
        f"{turned.net.nunique()} networks, the same images for both solvers, pixels in their range. With y the label, "
        f"a step as printed leaves it for {sign['label']:.1%} of the images. With y a target, a step as printed "
        f"reaches it for {sign['away']:.1%}, one with the sign turned for {sign['towards']:.1%}. Lengths are locally "
        "optimal at best.",
    )


def optimal_by_construction(duels, first, *, by) -> Outcome:
    """Gather comparisons, from six chapters, of a backward-error attack with another way to make the same change.

    The competitors follow the gradient of a loss or are general optimisers. They get the same network, the same image,
    the same target or freedom of class and the same range of the pixels, and the same margin but for steps along signs,
    which need none; norms are compared wherever both succeed, and a competitor counts as smaller when it is so by more
    than {by:.1%}. First-order attacks have their constraints on the logits. Reproduced when every first-order attack on
    more than one layer succeeds and no competitor is ever smaller; with a correction when competitors are smaller than
    first-order attacks only, or some of these miss, and none is smaller than an exact attack on one affine layer or a
    converged one on more; contradicted when one is.
    """
    table = duels.assign(beaten=duels.least < 1 - by)
    count = (
        table.groupby("kind")[["smaller", "both"]].sum().reindex(["exact", "first-order", "converged"], fill_value=0)
    )
    beaten = table.groupby("kind").beaten.any().reindex(count.index, fill_value=False)
    better = beaten["exact"] or beaten["converged"]
    share = (
        table[table.kind == "converged"]
        .assign(part=lambda t: t.smaller / t.both)
        .sort_values("part", na_position="first")
    )
    most = share.iloc[-1]
    missed = f"misses {first['missed']} of {first['attempts']} targets and is"
    return Outcome(
        CONTRADICTED if better else CORRECTED if beaten["first-order"] or first["missed"] else REPRODUCED,
        "a competitor is smaller in "
        + ", ".join(f"{row.smaller} of {row.both} comparisons ({kind})" for kind, row in count.iterrows())
        + f"; most often {most.rival} on {most.net}, {most.part:.1%} of {most.both}",
        "sampled",
        f"One affine layer without a range: {'not optimal' if beaten['exact'] else 'optimal, exactly'}. On more layers "
        f"the first-order attack {missed} {'beaten' if beaten['first-order'] else 'not beaten'} where it succeeds. A "
        f"converged attack is optimal among its neighbours; on {share[share.beaten].net.nunique()} of "
        f"{share.net.nunique()} networks a competitor finds a smaller change elsewhere.",
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
        "sampled",
        "For one affine layer the smallest subset is known: greedy changes "
        f"{more.sum() / max(len(more), 1):.2f} pixels more on average, over {len(more)} images.",
    )


def outside() -> Outcome:
    """ImageNet, networks of that size and people who look are outside this book, and nothing is computed.

    The verdict is always that it cannot be decided here, and the page says so.
    """
    because = "ImageNet, networks of that size and a study with observers are outside this book."
    return Outcome(UNDECIDED, "nothing computed", None, because)
