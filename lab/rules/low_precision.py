"""Verdicts of the chapter on low precision: what an analysis of rounding errors promises for networks."""

import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome
from lab.wording import tidy


def worst_case(table: pd.DataFrame) -> Outcome:
    r"""Compare the backward error of computed logits, to first order, with its bound for the worst case.

    The bound is $n u$ with the inner dimension $n$, layer by layer, and what rounding of weights and images adds.
    Reproduced when no image is beyond it, in any network and floating-point format; contradicted otherwise. By how much
    the bound overestimates is reported.
    """
    beyond, over = table.beyond.max(), table.worst / table.largest
    return Outcome(
        REPRODUCED if beyond == 0 else CONTRADICTED,
        ours=f"{beyond:.2%} beyond at most; the bound is {tidy(over.min(), '.0f')} to {tidy(over.max(), '.0f')} times "
        "the largest error",
        label="linearised",
        because=f"{len(table)} pairs of network and format, {table.images.max()} images each.",
    )


def sharper(table: pd.DataFrame, random: pd.DataFrame, *, share, times) -> Outcome:
    r"""Ask whether the probabilistic bound holds as often as it says, and is the smaller one.

    Reproduced when at least {share:.0%} of the images in every network and floating-point format, and of the random
    layers, are below it, and on the layers of the largest inner dimension it is smaller than the bound for the worst
    case by a factor of at least {times:g}; with a correction when it holds but is not that much smaller; contradicted
    otherwise.
    """
    held = min(1 - table.above.max(), (random.backward <= random.likely).mean())
    widest = random[random.dimension == random.dimension.max()]
    factor = (widest.worst / widest.likely).min()
    verdict = CONTRADICTED if held < share else REPRODUCED if factor >= times else CORRECTED
    return Outcome(
        verdict,
        ours=f"{held:.2%} below it at least; smaller by a factor of {factor:.1f} at inner dimension "
        f"{widest.dimension.iloc[0]}",
        label="linearised",
        because=f"{len(table)} pairs of network and format and {len(random)} random layers; its assumption is that "
        "rounding errors are random with mean zero.",
    )


def not_computable(table: pd.DataFrame, *, share, gap, close, formats) -> Outcome:
    r"""Try to compute what is said not to be directly computable, and compare the linearised error with it.

    It counts as computed where, for at least {share:.0%} of the logits of each of the formats {formats}, a change
    that gives them was found, and 95% of these are within {gap:.0%} of what is proved to be needed. The linearised
    error is good enough where 95% are within {close:.0%} of the found ones. Reproduced when it is good enough and the
    exact one was not computed; with a correction when it is good enough, and the exact one is known too; contradicted
    when the exact one is known and the linearised one is not good enough; undecided otherwise, and without any logits.
    """
    table = table[table.format.isin(formats)]
    if table.empty:
        return Outcome(UNDECIDED, "no logits", "locally optimal", "None of the formats was tried.")
    known = bool((table.found >= share).all() and (table.gap <= gap).all())
    good = bool((table.off <= close).all())
    verdict = (CORRECTED if known else REPRODUCED) if good else CONTRADICTED if known else UNDECIDED
    return Outcome(
        verdict,
        ours=f"found for {table.found.min():.1%} of the logits at least, enclosed to {table.gap.max():.2%}; the "
        f"linearised one is within {table.off.max():.2%}",
        label="locally optimal",
        because=f"The worst of {len(table)} formats; proofs above what was found: {table.broken.sum()}. Computed by "
        "iteration, and enclosed from below by a proof.",
    )


def functioning(table: pd.DataFrame, *, least, formats) -> Outcome:
    r"""Count decisions that are certified against every rounding of a format, and those of them that change.

    Reproduced when no certified decision is flipped and at least {least:.0%} are certified in each of the formats
    {formats}; with a correction when none is flipped but fewer are certified there; contradicted when one is flipped.
    """
    own = table[table.format.isin(formats)].assign(share=lambda t: t.certified / t.images)
    broken, low = int(table.broken.sum()), own.share.min()
    verdict = CONTRADICTED if broken else REPRODUCED if low >= least else CORRECTED
    each = ", ".join(f"{name} {group.share.min():.0%}" for name, group in own.groupby("format", sort=False))
    return Outcome(
        verdict,
        ours=f"{broken} of {table.certified.sum()} certified decisions flipped; certified at least: {each}",
        label="exact",
        because=f"{table.flipped.sum()} decisions were flipped in all, out of {table.images.sum()}; every one of them "
        "without a certificate." if not broken else "A certificate was wrong.",
    )  # fmt: skip


def forward_by_backward(table: pd.DataFrame, *, rounding, second_order) -> Outcome:
    r"""Count images whose forward error exceeds the condition number of the network times the backward error.

    The backward error is the converged one, so the inequality is one to first order. Reproduced when it is never
    exceeded by more than rounding ({rounding:.0e}, relative); with a correction when it is by at most {second_order:g}
    times the backward error (relative to the right side), contradicted otherwise. Undecided when no backward error was
    found.
    """
    known = table.dropna(subset="converged")
    if known.empty:
        return Outcome(UNDECIDED, "no backward errors", "locally optimal", "None was found.")
    excess = known.forward / (known.condition * known.converged) - 1
    broken = excess > rounding
    second = bool((excess[broken] <= second_order * known.converged[broken]).all())
    return Outcome(
        REPRODUCED if not broken.any() else CORRECTED if second else CONTRADICTED,
        ours=f"{broken.sum()} of {len(known)} beyond; {(excess.max() + 1):.2f} of the right side at most",
        label="locally optimal",
        because="Condition number of the logits for relative changes of all weights at the image, in the Euclidean "
        "norm.",
    )
