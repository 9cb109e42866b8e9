"""What is judged about the mean smallest norm."""

import numpy as np

from lab.claims import CONTRADICTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome


def enclosed(table, nets) -> Outcome:
    """The mean smallest norm is enclosed between the mean proven lower bound and the mean over the strongest attacks.

    A definition cannot fail, an enclosure can: reproduced when the proven bound is at most the shortest witness for
    every image and every image has a witness, contradicted when a bound is above a witness; undecided when some image
    has none. The width of the enclosure and its sampling error are reported.
    """
    broken, known = int((table.tight > table.upper).sum()), bool(np.isfinite(table.upper).all())
    quotient = nets.high / nets.low
    ours = "; ".join(f"{row.net} {row.low:.3f} to {row.high:.3f} ± {row.high_error:.3f}" for row in nets.itertuples())
    return Outcome(
        CONTRADICTED if broken else REPRODUCED if known else UNDECIDED,
        f"{ours} (± standard error of the upper end)",
        "sampled",
        f"The proven bound is above the shortest witness for {broken} of {len(table)} pairs of network and image"
        + ("" if known or broken else ", but not every image has a witness")
        + f". The mean of the attacks is {quotient.min():.4f} to {quotient.max():.1f} times the proven mean.",
    )
