"""How diffuse a perturbation is (paper B, section 4.2.2: patterns "more diffuse" than the uniform ones of FGSM).

All measures take a batch (n, …), treat every sample as a vector d of pixels, do not depend on its scale, and are NaN
where d is zero or not finite.
"""

import numpy as np

from bea.numerics.arrays import flat


def participation_ratio(dx) -> np.ndarray:
    """Share of the pixels that effectively take part: ``(Σ d²)² / Σ d⁴`` over the number of pixels, (n,).

    One for a pattern of uniform magnitude, 1/pixels for a single pixel, k/pixels for k pixels of equal magnitude.

    Raises
    ------
    ValueError
        If ``dx`` is not a batch of arrays with pixels.
    """
    squares = _magnitudes(dx) ** 2
    return np.sum(squares, axis=1) ** 2 / np.sum(squares**2, axis=1) / squares.shape[1]


def energy_share(dx, share=0.9) -> np.ndarray:
    """Smallest share of the pixels that carries ``share`` of ``Σ d²``, (n,).

    The pixels of largest magnitude carry most, so they are the ones counted; 1e-12 of the energy is left to rounding.

    Raises
    ------
    ValueError
        If ``dx`` is not a batch of arrays with pixels, or ``share`` not in (0, 1].
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share: expected a number above 0 and up to 1, received {share!r}")
    energy = np.cumsum(-np.sort(-(_magnitudes(dx) ** 2), axis=1), axis=1)
    needed = (share - 1e-12) * energy[:, -1:]
    counts = 1 + np.sum(energy < needed, axis=1)
    return np.where(np.isnan(needed[:, 0]), np.nan, counts / energy.shape[1])


def distinct_magnitudes(dx, rounding=1e-9) -> np.ndarray:
    """Count the different |d| > 0, (n,): 1 for a step of FGSM, whatever pixels it leaves alone.

    Sorted magnitudes count as one, and small ones as zero, where they follow each other by no more than ``rounding``
    times the largest.

    Raises
    ------
    ValueError
        If ``dx`` is not a batch of arrays with pixels, or ``rounding`` not in [0, 1).
    """
    if not 0.0 <= rounding < 1.0:
        raise ValueError(f"rounding: expected a number from 0 to below 1, received {rounding!r}")
    steps = np.diff(np.sort(_magnitudes(dx), axis=1), axis=1, prepend=0.0)
    return np.where(np.isnan(steps[:, -1]), np.nan, np.sum(steps > rounding, axis=1))


def _magnitudes(dx):
    """Return |d| over its maximum, (n, pixels); NaN throughout where that is zero or not finite."""
    dx = np.asarray(dx, dtype=float)
    if dx.ndim < 2 or 0 in dx.shape[1:]:
        raise ValueError(f"dx: expected a batch of shape (n, …) with at least one pixel, received {dx.shape}")
    d = np.abs(flat(dx))
    largest = d.max(axis=1, keepdims=True)
    largest = np.where((largest > 0.0) & np.isfinite(largest), largest, np.nan)
    return d / largest
