"""What part of a sample lies up to a point. Apart from drawing, so that a changed figure concerns no study."""

import numpy as np


def shares_up_to(samples, grid) -> np.ndarray:
    """Return the share of each sample's numbers up to every point of a grid, (samples, points); NaN is beyond all."""
    return np.array([np.searchsorted(np.sort(own), grid, side="right") / len(own) for own in samples])
