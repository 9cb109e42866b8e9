"""The range that pixels have, kept to the last bit."""

import numpy as np

from bea.networks.network import Network


def into_range(net, x, dx) -> np.ndarray:
    """Return the change that takes x to where ``x + dx`` is nearest within ``net.input_range``, to the last bit.

    NaN stays NaN.
    """
    low, high = net.input_range
    dx = np.clip(x + dx, low, high) - x
    outside = (x + dx < low) | (x + dx > high)  # by rounding of the difference
    return np.where(outside, np.nextafter(dx, 0.0), dx)


def check_clip(net: Network, clip) -> None:
    """Raise ``ValueError`` if there is no range to clip to."""
    if clip and net.input_range is None:
        raise ValueError("clip: expected a network with an input_range to clip to, received one without")
