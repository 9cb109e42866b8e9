"""Rules of the chapter on FGSM and the first hundred images.

The report does not print learning rate, batch size and a. So a number of its own network that lies outside our range
decides nothing; contradicted is what no setting can mend.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import binom

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome
from lab.wording import spread, tidy


def table_again(compared: pd.DataFrame, fits: Mapping, before, accuracy, *, published) -> Outcome:
    """Make the table again from several seeds, for both ways of counting; the one that fits more rows counts.

    A row fits when count and best confidence lie within our range over seeds. The column of originally misclassified
    images cannot depend on ε. Reproduced when all rows fit, and that column is constant and within our range; with a
    correction, of that column, when all rows fit but it is not; cannot be decided when a row does not fit, since it
    belongs to the report's own network, whose settings are not printed.
    """
    column = np.array([row[1] for row in published["rows"]])
    constant = np.all(column == column[0]) and before.min() <= column[0] <= before.max()
    reading = max(("new", "all"), key=lambda name: fits[name]["both"])
    both, first, last = fits[reading]["both"], compared.iloc[0], compared.iloc[-1]
    at = [
        f"{row[f'{reading}_median']:g} ({row[f'{reading}_lowest']:g} to {row[f'{reading}_highest']:g})"
        for row in (last, first)
    ]
    return Outcome(
        UNDECIDED if both < len(compared) else REPRODUCED if constant else CORRECTED,
        f"{at[0]} of {published['images']} at ε = {last.epsilon:g} and {at[1]} at {first.epsilon:g}, medians and "
        f"ranges over {len(before)} seeds, counting {'images correct before' if reading == 'new' else 'all images'}; "
        f"misclassified from the start {before.min()} to {before.max()}",
        "sampled",
        f"Count and best confidence both lie within our range in {both} of {len(compared)} rows, counts in "
        f"{fits[reading]['counts']}. The column of originally misclassified images cannot depend on ε, and "
        f"{np.bincount(column).argmax()} of {published['images']} drawn at random has a probability of "
        f"{tidy(binom.cdf(0, published['images'], 1 - accuracy))} at the report's own accuracy: it must count "
        "something else.",
    )


def wider_has_fewer(
    compared: pd.DataFrame, fits: Mapping, fewer: pd.DataFrame, before, report, accuracy, *, published, rows, at
) -> Outcome:
    """Make the table again from several seeds, paired with the narrower networks of D5, counting new images.

    Reproduced when all counts lie within our range over seeds, some network misclassifies no image to begin with, and
    the wider network has fewer misclassified images at every ε, by more than the standard deviation over seeds; cannot
    be decided when this spread hides the difference for at least {rows:.0%} of the ε; with a correction, of the ε or
    the counts for which it holds, when the difference is clear for at least as many; contradicted otherwise.
    """
    clear, hidden = fewer.fewer > fewer.spread, fewer.fewer.abs() <= fewer.spread
    counts, most = fits["new"]["counts"], rows * len(fewer)
    first, whole = fewer.iloc[0], fewer.iloc[(fewer.epsilon - at).abs().argmin()]
    own = compared.iloc[0]
    return Outcome(
        REPRODUCED
        if clear.all() and counts == len(fewer) and before.min() == 0
        else UNDECIDED
        if hidden.sum() >= most
        else CORRECTED
        if clear.sum() >= most
        else CONTRADICTED,
        f"{own.new_median:g} ({own.new_lowest:g} to {own.new_highest:g}) of {published['images']} at ε = "
        f"{own.epsilon:g}; number for 64 units minus that for 128: {first.fewer:.1f} ± {first.spread:.1f} over "
        f"{first.pairs:g} pairs of seeds (report: {report}); misclassified from the start {before.min()} to "
        f"{before.max()}",
        "sampled",
        f"The spread over seeds hides the difference for {hidden.sum()} of {len(fewer)} ε, and {counts} counts lie "
        f"within our range. On the whole test set the wider networks have {whole.fewer_whole:.2f} ± "
        f"{whole.spread_whole:.2f} fewer per hundred at ε = {whole.epsilon:g}. That no image is misclassified to begin "
        f"with has, for a hundred drawn at random and the report's accuracy of {accuracy:.2%}, a probability of "
        f"{tidy(binom.cdf(0, published['images'], 1 - accuracy))}.",
    )


def fewer_after_longer_training(longer: pd.DataFrame, *, published) -> Outcome:
    """Make the counts again from several seeds, on the first hundred and on the whole test set, counting new images.

    Cannot be decided unless networks of all printed numbers of epochs are there. Contradicted when on the whole test
    set the share does not fall, from the shortest to the longest training, for every seed that both have. Reproduced
    when it does and all printed counts lie within our range over seeds; cannot be decided when one does not, since it
    belongs to the report's own network, whose settings are not printed.
    """
    said = published["misclassified"]
    counts = {epochs: longer.new_first[longer.epochs == epochs] for epochs in said if epochs in set(longer.epochs)}
    inside = [own.min() <= said[epochs] <= own.max() for epochs, own in counts.items()]
    share = longer.pivot(index="seed", columns="epochs", values="new")
    first, last = min(counts), max(counts)
    fall = (share[first] - share[last]).dropna()
    falls = len(fall) > 0 and fall.min() > 0
    complete = len(fall) > 0 and list(counts) == list(said)
    verdict = (REPRODUCED if all(inside) else UNDECIDED) if falls else CONTRADICTED
    return Outcome(
        verdict if complete else UNDECIDED,
        "; ".join(f"{n} epoch{'s' if n > 1 else ''}: {spread(own, 'g')}" for n, own in counts.items())
        + f" of {published['images']}; whole test set {share[first].median():.2%} to {share[last].median():.2%}",
        "sampled",
        f"{sum(inside)} of {len(inside)} printed counts lie within our range over seeds, counting images correct "
        f"before. On the whole test set the share falls for {(fall > 0).sum()} of {len(fall)} seeds from {first} to "
        f"{last} epochs; a hundred images alone would not tell 3 from 4.",
    )


def demonstration_possible(steps: pd.DataFrame, way, *, published, share) -> Outcome:
    """Find the smallest ε that fools one-epoch networks from many seeds on that image, counted from 0 and from 1.

    The way of counting counts by which more networks are fooled. Reproduced when the smallest ε is at most the first
    printed value for at least {share:.0%} of the networks; cannot be decided otherwise, since what the report shows of
    its own network cannot be contradicted by others.
    """
    part = way.fooled / way.networks
    how = "can happen, on a fair share" if part >= share else "can happen, on a few" if part else "happened on none"
    both = zip(published["epsilons"], (way.fooled, way.fooled_2), strict=True)
    return Outcome(
        REPRODUCED if part >= share else UNDECIDED,
        f"smallest ε of the image {way.counted}: {way['median']:.4f} ({way.lowest:.4f} to {way.highest:.4f} over "
        f"{way.networks} seeds); " + ", ".join(f"fooled at {epsilon:g}: {n} of {way.networks}" for epsilon, n in both),
        "sampled",
        f"It {how} of our networks. Counted the other way the image is fooled at "
        f"{published['epsilons'][0]:g} for {steps.fooled.min()} of them. The report's example belongs to its own "
        f"network, which we do not have{'' if part >= share else '; most of ours need a larger step'}.",
    )


def visible_above(steps: pd.DataFrame, epsilons, *, published, contrasts) -> Outcome:
    """Express the change in grey levels, and compare it with Weber contrasts about a just noticeable one.

    The second of the contrasts {contrasts} is the rule of thumb. Pictures at the report's values are shown side by
    side. What an eye sees depends on screen and reader. Reproduced when every contrast, pixel and room makes a change
    visible between the largest ε that the report calls invisible and the smallest that it calls visible; contradicted
    when all do so at or below the former, or all above the latter; cannot be decided otherwise, since then the measure
    is not decisive.
    """
    low, high, limits = max(published["invisible"]), min(published["visible"]), steps.epsilon
    agrees, denies = ((low < limits) & (limits <= high)).all(), (limits <= low).all() or (limits > high).all()
    least, rule_of_thumb, most = contrasts
    plain, coarse = (limits[steps.contrast == level] for level in (rule_of_thumb, most))
    undecided = "The measure is not decisive: the threshold lies on either side of the printed one"
    return Outcome(
        REPRODUCED if agrees else CONTRADICTED if denies else UNDECIDED,
        f"ε = {published['threshold']} is {255 * published['threshold']:.1f} of 255 grey levels; a Weber contrast of "
        f"{least:.1%} to {most:.0%} is reached between ε = {limits.min():.4f} and {limits.max():.4f}, depending on "
        "pixel, room and contrast",
        "exact",
        f"{'The measure decides' if agrees or denies else undecided}, and no published threshold is made for "
        f"single pixels. At exactly {rule_of_thumb:.0%}, {(plain <= low).sum()} of {len(plain)} combinations of pixel "
        f"and room make ε = {low:g} visible, which speaks against the report; at {most:.0%}, {(coarse <= low).sum()} "
        f"do. What is certain: below ε = 1/510 = {1 / 510:.5f} nothing is left in a picture rounded to 8 bits, so "
        f"{np.sum(np.asarray(epsilons) < 1 / 510)} of the report's {len(epsilons)} values leave no trace there.",
    )


def growth_never_falls(
    falls: pd.DataFrame, images: int, hundred: int, points: int, largest: float, *, rounding, little, most
) -> Outcome:
    """Follow counts and best confidences over a fine grid, on the report's hundred images and on the whole test set.

    All images are counted, and only new ones, for networks of several seeds; a fall by {rounding:.0e} is rounding.
    Reproduced when nothing ever falls. Contradicted when, within the report's range of ε, something falls on the whole
    test set by more than {little:.0%} of all images, or of a confidence of one, or falls on the hundred for more than
    {most:.0%} of the networks. With a correction, of where it holds, when there are other falls.
    """
    whole, networks = falls.images == "whole", len(falls.drop_duplicates(["width", "seed"]))
    units = np.where(falls.curve.str.endswith("best"), 1, np.where(whole, images, hundred))
    parts = falls[["within", "beyond"]].where(falls[["within", "beyond"]] > rounding, 0.0).div(units, axis=0)
    (within, beyond), (few, _) = parts[whole].max(), parts[~whole].max()
    fallen = (parts.within > 0)[~whole].groupby(falls.curve[~whole]).sum()
    never = parts.to_numpy().max() == 0
    against = within > little or fallen.max() > most * networks
    new = parts.within[~whole & (falls.curve == "new_best")].max()
    return Outcome(
        CONTRADICTED if against else REPRODUCED if never else CORRECTED,
        f"largest fall of a count or a best confidence on {images} images: {tidy(100 * within, '.1g')}% up to ε = "
        f"{largest:g}, {tidy(100 * beyond, '.1g')}% up to 1 ({points} steps, {networks} networks); on the first "
        f"{hundred}: {tidy(100 * few, '.1g')}% up to {largest:g}",
        "sampled",
        f"{'No count or best confidence falls' if never else 'Some counts or best confidences fall'} on this grid, of "
        "all misclassified images or of new ones. "
        f"On the report's own {hundred} images and in its range the best confidence in a new one falls for "
        f"{fallen['new_best']} of {networks} networks, by up to {tidy(100 * new, '.1g')} points"
        f"{'.' if never else ': growth is the rule for many images together, and no law for few.'}",
    )


def linear_growth(models: pd.DataFrame, excess, trials, *, rounding) -> Outcome:
    """Compute the change for random weights of growing dimension, beside random changes of the same size.

    Reproduced when it equals ε m n within {rounding:.0e}, relative, and nothing tried in the box, among it all corners
    in ten dimensions, exceeds it by more; contradicted otherwise.
    """
    error, more = models.error.max(), (models.largest > models.change).sum()
    holds = error <= rounding and (models.largest <= models.change * (1 + rounding)).all() and excess <= rounding
    return Outcome(
        REPRODUCED if holds else CONTRADICTED,
        f"change / (ε m n) - 1 at most {tidy(error)} for n up to {models.n.iloc[-1]}; of {2 * trials * len(models)} "
        f"random changes in the box {more} exceed it, of all {2**10} corners in ten dimensions none by more than "
        f"{tidy(max(excess, error))}",
        "exact",
        "ε m n is ε‖w‖₁ written otherwise, the bound in Hölder's inequality. The growth is linear in n if m does not "
        "shrink, which is an assumption about training: with initial weights of size 1/√n, as in this network, it "
        "is √n.",
    )
