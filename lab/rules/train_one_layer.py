"""Rules of the chapter on training one layer."""

import numpy as np

from lab.claims import CONTRADICTED, REPRODUCED
from lab.rules import Outcome
from lab.wording import span


def close_to_published(accuracies, *, published, within) -> Outcome:
    """Train the same network from several seeds and measure its accuracy on the 10000 test images.

    Reproduced when the accuracies of all seeds lie within {within:.0%} of the test images of the published figure,
    contradicted otherwise.
    """
    furthest = np.abs(accuracies - published["accuracy"]).max()
    return Outcome(
        REPRODUCED if furthest <= within else CONTRADICTED,
        f"{np.median(accuracies):.1%}, from {span(accuracies, '.1%')} over {len(accuracies)} seeds",
        "sampled",
        f"The network furthest from the published figure is {100 * furthest:.2f} percentage points away; "
        f"{100 * within:g} is allowed.",
    )
