"""The rule of the chapter on confidence along the ray."""

from collections.abc import Mapping

import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome


def kinks_are_changes(
    confidences: pd.DataFrame, places: pd.DataFrame, measured: Mapping, below: Mapping,
    *, published, near, gap, quotient, jump, fall, around,
) -> Outcome:  # fmt: skip
    """Draw the curves of both images for several networks, and locate kinks as changes of the strongest wrong class.

    Every kink is such a change when the two confidences there differ by less than {gap:.0e}, the slopes agree within
    {quotient:.0e} with difference quotients and differ by more than {jump:.0%}, the change of slope in other cells
    falls by more than {fall} whenever the grid is twice as fine, and a search without a grid finds no further change.
    Contradicted when this does not hold, or when in no network the confidence in both images is below {near:.0%}, that
    of a guess, from the printed step on. Reproduced when in every one it is for both images, with a correction, in
    which networks it is, when in some. The place of the kink belongs to one network and is reported with its spread,
    and with how many networks have one within {around} of the printed one.
    """
    explained = (
        measured["complete"]
        and measured["gap"] < gap
        and measured["error"] < quotient
        and measured["relative"] > jump
        and measured["fall"] > fall
    )
    lost, images, networks = published["confidence_lost"], confidences["image"].unique(), confidences["seed"].nunique()
    most = confidences.groupby("image", sort=False)["most"]
    low = confidences.assign(low=confidences["most"] < near).groupby("image", sort=False)["low"].sum()
    first = places[places["number"] == images[0] - 1]["place"]
    close = places[(places["place"] - published["kink"]).abs() < around].groupby("number")["net"].nunique()
    both = confidences.groupby("seed")["most"].max() < near
    all_low = both.all()
    return Outcome(
        CONTRADICTED if not (explained and both.any()) else REPRODUCED if all_low else CORRECTED,
        f"from ε = {lost} on, the largest confidence in the correct digit is "
        + " and ".join(f"{own.min():.1%} to {own.max():.1%} (image {n})" for n, own in most)
        + f" over {networks} seeds; {measured['kinks']} kinks, those of image {images[0]} "
        + (f"between {first.min():.3f} and {first.max():.3f}" if len(first) else "nowhere")
        + f"; of all test images {below['lowest']:.0%} to {below['highest']:.0%} are below "
        f"{below['limit']:.0%} at {lost}",
        "sampled",
        f"{'Every' if explained else 'Not every'} kink is a change of the strongest wrong digit, and the curve is "
        f"{'smooth' if explained else 'not shown to be smooth'} elsewhere. Confidence stays below {near:.0%} from "
        f"{lost} on for "
        + " and ".join(f"{count} of {networks} networks (image {n})" for n, count in low.items())
        + f", so *close to 0* {'holds' if all_low else 'is too much said for some'}. "
        f"Networks with a kink within {around} of {published['kink']}: "
        + ", ".join(f"{close.get(n - 1, 0)} for image {n}" for n in images)
        + " ("
        + ", ".join(f"{close.get(n, 0)} for image {n}" for n in images)
        + f" if images are counted from 0), out of {networks}: the place of a kink belongs to one network.",
    )
