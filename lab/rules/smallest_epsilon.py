"""Rules of the chapter on the smallest ε that fools."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome


def _within(values, number: float) -> bool:
    return bool(np.min(values) <= number <= np.max(values))


def counts_add_up(numbers: pd.DataFrame, images: int, *, published, within, rounding) -> Outcome:
    """Compare the two printed numbers with each other and with the counts of one-epoch networks from several seeds.

    Reproduced when they add up to one, within {rounding:.0e}, and the printed count lies within our range, or within
    {within:.0%} of the images of our median; contradicted otherwise.
    """
    wrong, count = numbers["wrong"].to_numpy(), published["misclassified"]
    adds_up = abs(1 - count / published["images"] - published["accuracy"]) < rounding
    near = np.abs(np.median(wrong) - count) / published["images"] <= within
    return Outcome(
        REPRODUCED if adds_up and (near or _within(wrong, count)) else CONTRADICTED,
        f"{np.median(wrong):.0f} of {images} ({wrong.min()} to {wrong.max()} over {len(wrong)} seeds)",
        "exact",
        f"The two printed numbers {'add up' if adds_up else 'do not add up'}. Learning rate and batch size are ours, "
        "chosen with this number in view, so its size is no finding.",
    )


def methods_agree(agreement: Mapping, largest, *, published) -> Outcome:
    """Run scan, bisection and an exact search along the rays of the whole test set.

    They agree when every pair of network and image has a step below 1, bisection finds it to its tolerance on every
    network, and the scan to its step on the first. Reproduced when they agree and the published largest value lies
    within our range over seeds; with a correction when only one of the two holds; contradicted when neither does.
    """
    said, (low, high) = published["largest"], (np.min(largest), np.max(largest))
    inside = _within(largest, said)
    agree = not agreement["apart"] and not agreement["never"] and agreement["in_time"]
    fooled = agreement["pairs"] - agreement["never"]
    return Outcome(
        REPRODUCED if inside and agree else CORRECTED if agree or inside else CONTRADICTED,
        f"largest ε_min {np.median(largest):.3f} (median; {low:.3f} to {high:.3f} over {len(largest)} seeds)",
        "exact",
        f"{fooled} of {agreement['pairs']} pairs of network and image are fooled before ε = 1; bisection differs from "
        f"the exact value for {agreement['apart']} of them. The published {said} lies "
        f"{'within' if inside else 'outside'} our range; the largest of {agreement['pairs'] // len(largest)} values "
        "belongs to a single image.",
    )


def one_interval(own, images: int, away: pd.DataFrame) -> Outcome:
    """Find all changes of class along each ray, prove them to be all, and count images that return to their class.

    Contradicted by a single image that returns in a network of the report's kind; with a correction when only other
    networks of the book have such images, confirmed in Keras; reproduced when there is none at all.
    """
    others, right = away["net"].nunique(), int(away["confirmed"].sum())
    return Outcome(
        CONTRADICTED if np.sum(own) else CORRECTED if right else REPRODUCED,
        f"{np.sum(own)} exceptions among {len(own) * images} rays of {len(own)} one-epoch networks; {len(away)} on the "
        f"other networks, {'all' if right == len(away) else right} confirmed in Keras",
        "exact",
        "For the network it was stated for, the hypothesis is proved image by image instead of tested on a grid. "
        + (
            f"It is not true of networks in general: {len(away)} rays of {others} other networks in this book return "
            "to the label."
            if right
            else "No network of this book contradicts it."
        ),
    )


def share_in_range(numbers: pd.DataFrame, *, published) -> Outcome:
    """Compute the share over seeds, with and without the images misclassified from the start.

    Reproduced when the published value lies within our range, either among the images correct at the start or with the
    misclassified ones counted among all; with a correction when it does as a share of all images without them;
    contradicted otherwise.
    """
    inside = {name: _within(numbers[name], published["share"]) for name in ("near", "near_right", "near_all")}
    middle, right = numbers.median(), numbers["near_right"]
    return Outcome(
        REPRODUCED if inside["near_right"] or inside["near_all"] else CORRECTED if inside["near"] else CONTRADICTED,
        f"{middle['near_right']:.2%} of the images correct at the start ({right.min():.2%} to {right.max():.2%} over "
        f"{len(right)} seeds), which are {middle['near']:.2%} of all",
        "exact",
        f"The printed share {'may' if inside['near_all'] else 'cannot'} count those misclassified from the start: with "
        f"them ours is near {middle['near_all']:.0%}. Of the images correct at the start it lies "
        f"{'within' if inside['near_right'] else 'outside'} our range, of all images "
        f"{'within' if inside['near'] else 'outside'} it.",
    )


def moments_in_range(numbers: pd.DataFrame, *, published, within) -> Outcome:
    """Compute mean and standard deviation from several seeds, with and without the images where it is 0.

    Reproduced when the published pair lies within our range for one of the two readings; with a correction when our
    medians, without those images, are within {within:.0%} of it; contradicted otherwise.
    """
    fits = {
        ending: all(_within(numbers[name + ending], published[name]) for name in ("mean", "std"))
        for ending in ("", "_all")
    }
    middle = numbers.median()
    close = max(abs(middle[name] / published[name] - 1) for name in ("mean", "std"))
    gaps = {which: abs(middle[name] - published["mean"]) for which, name in (("without", "mean"), ("with", "mean_all"))}
    mean, std = (
        f"{middle[name]:.4f} ({numbers[name].min():.4f} to {numbers[name].max():.4f})" for name in ("mean", "std")
    )
    return Outcome(
        REPRODUCED if any(fits.values()) else CORRECTED if close <= within else CONTRADICTED,
        f"mean {mean}, standard deviation {std} over {len(numbers)} seeds, images correct at the start",
        "exact",
        f"Of the two readings the one {min(gaps, key=gaps.get)} the zeros comes nearer: with them the mean is "
        f"{middle['mean_all']:.4f}. The published pair lies {'within' if fits[''] else 'outside'} our range; our "
        f"medians are within {close:.0%} of it.",
    )


def curve_passes(distance: float, seeds: int, *, within, near) -> Outcome:
    """Draw both figures again, and hold the curve against the numbers printed along them (D9, D10, D12, D21).

    Reproduced when all of them lie within the band of the curves over seeds or at most {within:.0%} of the images
    outside; with a correction up to {near:.0%}; contradicted beyond.
    """
    return Outcome(
        REPRODUCED if distance <= within else CORRECTED if distance <= near else CONTRADICTED,
        f"the published numbers lie at most {100 * distance:.2f} percentage points outside the band of {seeds} seeds",
        "exact",
        "The figures themselves carry no numbers, so the curve is held against those that the text prints: the shares "
        "at 0 and 0.01, the lower bound at 0.1, and the largest value.",
    )


def passed_by_then(numbers: pd.DataFrame, *, published) -> Outcome:
    """Read the cumulative curve at the printed step, for one-epoch networks from several seeds.

    Reproduced when the share exceeds the printed one for all of them, contradicted when for none, with a correction
    when for some.
    """
    fooled, middle = numbers["fooled"], numbers.median()
    over = fooled > published["share"]
    return Outcome(
        REPRODUCED if over.all() else CONTRADICTED if not over.any() else CORRECTED,
        f"{middle['fooled']:.1%} at ε = {published['epsilon']} ({fooled.min():.1%} to {fooled.max():.1%} over "
        f"{len(fooled)} seeds), counting those wrong from the start",
        "exact",
        f"The share passes {published['share']:.0%} for {over.sum()} of {len(over)} networks. Of the images that are "
        f"correct at the start {middle['fooled_right']:.1%} are fooled by then.",
    )


def accurate_is_robust(longer: pd.DataFrame, wider: pd.DataFrame, *, published) -> Outcome:
    """Follow accuracy, the share fooled at the printed step and the mean smallest ε over epochs, widths and seeds.

    Only images correct at the start count; medians over seeds. Reproduced when from the fewest to the most epochs
    the share falls and the mean rises, both at every step; with a correction when one of them is better at the end
    than at the beginning, or both but not steadily; contradicted when neither is.
    """
    first, last, level = longer.iloc[0], longer.iloc[-1], published["epsilon"]
    fewer, further = last["fooled"] < first["fooled"], last["mean"] > first["mean"]
    falls, rises = (longer["fooled"].diff()[1:] <= 0).all(), (longer["mean"].diff()[1:] >= 0).all()
    better = (wider["fooled"].diff()[1:] < 0).all() and (wider["mean"].diff()[1:] > 0).all()
    gain, width = last["accuracy"] - first["accuracy"], wider["accuracy"].iloc[-1] - wider["accuracy"].iloc[0]
    best = longer.loc[longer["mean"].idxmax()]
    return Outcome(
        REPRODUCED if fewer and further and falls and rises else CORRECTED if fewer or further else CONTRADICTED,
        f"from {first['epochs']:.0f} to {last['epochs']:.0f} epochs accuracy {first['accuracy']:.1%} to "
        f"{last['accuracy']:.1%}, fooled at {level} {first['fooled']:.1%} to {last['fooled']:.1%}, mean ε_min "
        f"{first['mean']:.4f} to {last['mean']:.4f} (medians over seeds)",
        "exact",
        f"More epochs gain {100 * gain:.1f} percentage points of accuracy, more units {100 * width:.1f}. With more "
        f"epochs the share fooled at {level} {'falls' if fewer else 'does not fall'}"
        f"{' at every step' if falls and fewer else ', not at every step'}; the mean ε_min is at most "
        f"{best['mean']:.4f}, after {best['epochs']:.0f} epochs, and ends {'above' if further else 'below'} where it "
        f"began. With more units {'both measures improve' if better else 'not both measures improve'}.",
    )
