"""Rules of the chapter on the smallest ε that fools.

The report does not print learning rate, batch size and a. So a number of its own network that lies outside our range
decides nothing; contradicted is what no setting can mend.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome


def _within(values, number: float) -> bool:
    return bool(np.min(values) <= number <= np.max(values))


def counts_add_up(numbers: pd.DataFrame, images: int, *, published, rounding) -> Outcome:
    """Compare the two printed numbers with each other: the count of errors and the accuracy.

    Reproduced when they add up to one, within {rounding:.0e}; contradicted otherwise. The counts of our one-epoch
    networks are reported and not judged: learning rate and batch size, which the report does not print, were chosen
    with its accuracy in view.
    """
    wrong, count = numbers["wrong"].to_numpy(), published["misclassified"]
    adds_up = abs(1 - count / published["images"] - published["accuracy"]) < rounding
    return Outcome(
        REPRODUCED if adds_up else CONTRADICTED,
        f"{count} of {published['images']} are {count / published['images']:.2%}",
        "exact",
        f"The two printed numbers {'add up' if adds_up else 'do not add up'}. Our networks misclassify "
        f"{np.median(wrong):.0f} of {images} ({wrong.min()} to {wrong.max()} over {len(wrong)} seeds, sampled). That "
        "this is near is no finding: learning rate and batch size were chosen with this number in view.",
    )


def methods_agree(agreement: Mapping, largest, *, published) -> Outcome:
    """Run scan, bisection and an exact search along the rays of the whole test set.

    Contradicted when they disagree or a step is missing: a pair of network and image without a step below 1, one where
    bisection differs by more than its tolerance, or an image where the scan, run on the first network, is off by more
    than its step. Reproduced when they agree and the published largest value lies within our range over seeds. Cannot
    be decided when it lies outside, since it belongs to one image of the report's own network, whose settings are not
    printed, or when the exact search has left a pair unresolved. That bisection is the faster one is not judged.
    """
    said, (low, high) = published["largest"], (np.min(largest), np.max(largest))
    inside = _within(largest, said)
    agree = not agreement["apart"] and not agreement["never"] and agreement["in_time"]
    fooled = agreement["pairs"] - agreement["never"]
    return Outcome(
        CONTRADICTED if not agree else REPRODUCED if inside and not agreement["unproved"] else UNDECIDED,
        f"largest ε_min {np.median(largest):.3f} (median; {low:.3f} to {high:.3f} over {len(largest)} seeds)",
        "sampled",
        f"{fooled} of {agreement['pairs']} pairs of network and image are fooled before ε = 1; bisection differs from "
        f"the exact value for {agreement['apart']} of them, and {agreement['unproved']} are unresolved. The published "
        f"{said} lies {'within' if inside else 'outside'} our range; the largest of "
        f"{agreement['pairs'] // len(largest)} values belongs to a single image of a single network, and the report's "
        "network is not there to be asked.",
    )


def one_interval(own: pd.DataFrame, images: int, away: pd.DataFrame) -> Outcome:
    """Find all changes of class along each ray, not clipped, as in the report; count images that return to their class.

    Contradicted by a single image that returns in a network of the report's kind; cannot be decided when there is none
    but a ray of theirs is unresolved; with a correction, of what it holds for, when only other networks of the book
    have such images, confirmed in Keras; reproduced when there is none at all.
    """
    away = away[~away["clipped"]]
    others, right, left = away["net"].nunique(), int(away["confirmed"].sum()), int(own["unresolved"].sum())
    odd, rays = int(own["odd"].sum()), len(own) * images
    return Outcome(
        CONTRADICTED if odd else UNDECIDED if left else CORRECTED if right else REPRODUCED,
        f"{odd} exceptions among {rays} unclipped rays of {len(own)} one-epoch networks, {left} unresolved; "
        f"{len(away)} on the other networks, {'all' if right == len(away) else right} confirmed in Keras",
        "sampled",
        f"These are networks of the report's kind; its own is not available. On each of our {rays - left} resolved "
        "rays all changes were found, by bounds that leave room for rounding but are not proved to contain it. "
        + (
            f"The hypothesis is not true of networks in general: {len(away)} rays of {others} other networks in this "
            "book return to the label."
            if right
            else "No other network of this book contradicts the hypothesis."
        ),
    )


def share_in_range(numbers: pd.DataFrame, *, published) -> Outcome:
    """Compute the share over seeds; images misclassified from the start count as none.

    Reproduced when the published value lies within our range as a share of all images, as the words say; with a
    correction, of what it is a share of, when only as one of the images correct at the start. Cannot be decided
    otherwise, since it belongs to the report's own network, whose settings are not printed.
    """
    inside = _shares_inside(numbers, published["share"])
    middle, right = numbers.median(), numbers["near_right"]
    return Outcome(
        REPRODUCED if inside["near"] else CORRECTED if inside["near_right"] else UNDECIDED,
        f"{middle['near_right']:.2%} of the images correct at the start ({right.min():.2%} to {right.max():.2%} over "
        f"{len(right)} seeds), which are {middle['near']:.2%} of all ({numbers['near'].min():.2%} to "
        f"{numbers['near'].max():.2%})",
        "sampled",
        f"Of all images the printed share lies {'within' if inside['near'] else 'outside'} our range, of those correct "
        f"at the start {'within' if inside['near_right'] else 'outside'} it. With those misclassified from the start "
        f"ours is near {middle['near_all']:.0%}.",
    )


def moments_in_range(numbers: pd.DataFrame, *, published) -> Outcome:
    """Compute mean and standard deviation from several seeds, with and without the images where it is 0.

    Reproduced when the published pair lies within our range for one of the two readings, which is named; cannot be
    decided otherwise, since it belongs to the report's own network, whose settings are not printed.
    """
    fits, middle = _moments_inside(numbers, published), numbers.median()
    far = max(abs(middle[name] / published[name] - 1) for name in ("mean", "std"))
    gaps = {which: abs(middle[name] - published["mean"]) for which, name in (("without", "mean"), ("with", "mean_all"))}
    mean, std = (
        f"{middle[name]:.4f} ({numbers[name].min():.4f} to {numbers[name].max():.4f})" for name in ("mean", "std")
    )
    return Outcome(
        REPRODUCED if any(fits.values()) else UNDECIDED,
        f"mean {mean}, standard deviation {std} over {len(numbers)} seeds, images correct at the start",
        "sampled",
        f"Of the two readings the one {min(gaps, key=gaps.get)} the zeros comes nearer: with them the mean is "
        f"{middle['mean_all']:.4f}. The published pair lies {'within' if fits[''] else 'outside'} our range without "
        f"the zeros and {'within' if fits['_all'] else 'outside'} it with them; without, our medians differ from it by "
        f"up to {far:.0%}.",
    )


def curve_passes(numbers: pd.DataFrame, largest, distance: float, *, printed: Mapping) -> Outcome:
    """Draw both figures again, and hold the numbers printed along them against our range over seeds.

    They are those of D9, D10, D12, D13 and D21, each read as the rule of its own claim reads it. Reproduced when all
    lie within our range; cannot be decided otherwise, since they belong to the report's own network, whose settings are
    not printed. How far they lie off the band of the curves is reported and not judged.
    """
    inside = {
        "D9": _within(numbers["wrong"], printed["D9"]["misclassified"]),
        "D10": _within(largest, printed["D10"]["largest"]),
        "D12": any(_shares_inside(numbers, printed["D12"]["share"]).values()),
        "D13": any(_moments_inside(numbers, printed["D13"]).values()),
        "D21": bool((numbers["fooled"] > printed["D21"]["share"]).all()),
    }
    outside = [name for name, within in inside.items() if not within]
    missed = " and ".join(filter(None, [", ".join(outside[:-1]), *outside[-1:]]))
    return Outcome(
        UNDECIDED if outside else REPRODUCED,
        f"of {len(inside)} printed numbers {len(inside) - len(outside)} lie within our range over {len(numbers)} seeds"
        f"{f', not those of {missed}' if outside else ''}; none lies more than {100 * distance:.2f} "
        "percentage points off the band of the curves",
        "sampled",
        "The figures themselves carry no numbers, so the curve is held against those that the text prints. "
        + (
            "It has the same shape, but whether it is the same curve cannot be told without the report's network."
            if outside
            else "It passes through all of them."
        ),
    )


def passed_by_then(numbers: pd.DataFrame, *, published) -> Outcome:
    """Read the cumulative curve at the printed step, for one-epoch networks from several seeds.

    Reproduced when the share exceeds the printed one for all of them; cannot be decided otherwise, since the printed
    one belongs to the report's own network, whose settings are not printed.
    """
    fooled, middle = numbers["fooled"], numbers.median()
    over = fooled > published["share"]
    return Outcome(
        REPRODUCED if over.all() else UNDECIDED,
        f"{middle['fooled']:.1%} at ε = {published['epsilon']} ({fooled.min():.1%} to {fooled.max():.1%} over "
        f"{len(fooled)} seeds), counting those wrong from the start",
        "sampled",
        f"The share passes {published['share']:.0%} for {over.sum()} of {len(over)} networks. Of the images that are "
        f"correct at the start {middle['fooled_right']:.1%} are fooled by then.",
    )


def _shares_inside(numbers: pd.DataFrame, share: float) -> dict[str, bool]:
    """Return reading → whether the printed share lies within our range: of all images, of those correct at first."""
    return {name: _within(numbers[name], share) for name in ("near", "near_right")}


def _moments_inside(numbers: pd.DataFrame, printed: Mapping) -> dict[str, bool]:
    """Return reading → whether printed mean and standard deviation lie within our range, without and with zeros."""
    return {
        ending: all(_within(numbers[name + ending], printed[name]) for name in ("mean", "std"))
        for ending in ("", "_all")
    }


def accurate_is_robust(longer: pd.DataFrame, wider: pd.DataFrame, *, published) -> Outcome:
    """Follow accuracy, the share fooled at the printed step and the mean smallest ε over epochs, widths and seeds.

    Only images correct at the start count; medians over seeds. From the fewest to the most epochs the share should
    fall and the mean rise. Reproduced when both do, without a step back, and more epochs gain more accuracy than more
    units; with a correction, of the measure or of the steps for which it holds, when one of the two is better at the
    end than at the beginning, or both but not so; contradicted when neither is.
    """
    first, last, level = longer.iloc[0], longer.iloc[-1], published["epsilon"]
    fewer, further = last["fooled"] < first["fooled"], last["mean"] > first["mean"]
    falls, rises = (longer["fooled"].diff()[1:] <= 0).all(), (longer["mean"].diff()[1:] >= 0).all()
    better = (wider["fooled"].diff()[1:] < 0).all() and (wider["mean"].diff()[1:] > 0).all()
    gain, width = last["accuracy"] - first["accuracy"], wider["accuracy"].iloc[-1] - wider["accuracy"].iloc[0]
    best = longer.loc[longer["mean"].idxmax()]
    holds = fewer and further and falls and rises and gain > width
    return Outcome(
        REPRODUCED if holds else CORRECTED if fewer or further else CONTRADICTED,
        f"from {first['epochs']:.0f} to {last['epochs']:.0f} epochs accuracy {first['accuracy']:.1%} to "
        f"{last['accuracy']:.1%}, fooled at {level} {first['fooled']:.1%} to {last['fooled']:.1%}, mean ε_min "
        f"{first['mean']:.4f} to {last['mean']:.4f} (medians over seeds)",
        "sampled",
        f"More epochs gain {100 * gain:.1f} percentage points of accuracy, more units {100 * width:.1f}. With more "
        f"epochs the share fooled at {level} {'falls' if fewer else 'does not fall'}"
        f"{' at every step' if falls and fewer else ', not at every step'}; the mean ε_min is at most "
        f"{best['mean']:.4f}, after {best['epochs']:.0f} epochs, and ends {'above' if further else 'below'} where it "
        f"began. With more units {'both measures improve' if better else 'not both measures improve'}.",
    )
