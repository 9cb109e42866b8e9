"""The range that pixels have, kept to the last bit."""

import numpy as np

from bea.networks.network import Network
from bea.numerics.arrays import flat


def limits(net, x) -> tuple[np.ndarray, np.ndarray]:
    """Return between what changes x stays within ``net.input_range``, two arrays (n, pixels); infinite without one."""
    low, high = net.input_range or (-np.inf, np.inf)
    return flat(low - x), flat(high - x)


def into_range(net, x, dx) -> np.ndarray:
    """Return the change that takes x to where ``x + dx`` is nearest within ``net.input_range``, to the last bit.

    NaN stays NaN, and without a range all stays as it is.
    """
    if net.input_range is None:
        return dx
    low, high = net.input_range
    dx = np.clip(x + dx, low, high) - x
    outside = (x + dx < low) | (x + dx > high)  # by rounding of the difference
    return np.where(outside, np.nextafter(dx, 0.0), dx)


def check_clip(net: Network, clip) -> None:
    """Raise ``ValueError`` if there is no range to clip to."""
    if clip and net.input_range is None:
        raise ValueError("clip: expected a network with an input_range to clip to, received one without")
