"""What is judged about robustness against accuracy."""

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome


def rise_then_fall(paths, said, ends, quotients, *, titles) -> Outcome:
    """Accuracy is followed against robustness along two paths of regularisation, noise and weight decay.

    Bounds are also set against L-BFGS and stronger attacks, and networks of several depths and widths compared. Only
    the expected rise and fall is judged. The peak of a path is the strength with the highest mean accuracy. A rise is
    seen when the worst network there is both more accurate and more robust than the best without regularisation, a
    fall when, at a stronger setting, every network is more robust and less accurate than every one at the peak.
    Reproduced when both are seen on both paths, with a correction when both are on one only, contradicted when on
    both paths no strength has a higher mean accuracy than none and a fall is seen; otherwise it cannot be decided.
    """
    whole = [path["rise"] and path["fall"] for path in paths.values()]
    never = [path["peak"] == 0.0 and path["fall"] for path in paths.values()]
    verdict = UNDECIDED
    if all(never):
        verdict = CONTRADICTED
    if any(whole):
        verdict = REPRODUCED if all(whole) else CORRECTED
    seen = "; ".join(
        f"{titles[name]}: a rise {path['said_rise']} seen beyond the spread over seeds, a fall {path['said_fall']}"
        for name, path in paths.items()
    )
    median = quotients.set_index("name")["median"]
    changes = "; ".join(
        f"{end['change']:+.3f} ± {end['error']:.3f} from {end['from']} to {end['to']} {end['of']}, where the ranges "
        f"over seeds {end['apart']}"
        for end in ends
    )
    return Outcome(
        verdict,
        ". ".join(f"With {titles[name]} {text}" for name, text in said.items()),
        "sampled",
        f"{seen.capitalize()}. Against L-BFGS the tight bound is {median['tight']:.1%} in the median, the repaired one "
        f"{median['repaired']:.0%}. Changes of the ρ found in pairs over the images, with standard errors: {changes}.",
    )
