"""Quadratic functions above the largest of m numbers, and the chords of the largest number in a ball.

Steps Q1 and Q2 of the tight bound for pooling (``bea.bounds.pooling_quadratic``; book/tight_bound.md proves them): what
``bea.bounds.minorants`` is for an activation, for a window of a max pooling.
"""

import numpy as np

ROUNDING = 1e-11


def parabola_above(gap, width):
    """Return (weights, excess) of a quadratic function above a maximum, by step Q1.

    With u what the entries less their mean have moved by, ``Δmax ≤ weights·Δe + excess + ‖u‖² / (2 width)`` everywhere.
    Of all quadratic functions with this last term it has the least excess.

    Parameters
    ----------
    gap : array (…, m)
        How far every entry is below the largest, rising from zero.
    width : array (…)
        Positive. A lead of the largest entry as wide as this has no excess.

    Returns
    -------
    weights : array (…, m), a mean
    excess : array (…)
    """
    m = gap.shape[-1]
    entries, total = -gap, np.cumsum(-gap, axis=-1)
    levels = (total - width[..., None]) / np.arange(1, m + 1)
    # The level above which the entries hold `width` in sum: that of as many entries as are above their level.
    level = np.take_along_axis(levels, (entries > levels).sum(axis=-1, keepdims=True) - 1, -1)
    above = np.maximum(entries - level, 0.0)
    weights = above / above.sum(axis=-1, keepdims=True)
    # ‖e_j - weights‖² width/2 less its gap, where that is largest.
    farther = 1.0 - 2.0 * weights + np.vecdot(weights, weights)[..., None]
    excess = (farther * width[..., None] / 2.0 - gap).max(axis=-1)
    return weights, np.maximum(excess, 0.0) + ROUNDING * (width + gap[..., -1])


def shares_in_ball(gap, reach):
    """Return the largest share (…, m) of every other entry in a chord of the maximum: ``1 - gap/reach``, or zero.

    ``reach`` (…, m) is how far every entry can rise against entry 0, which is the largest. Step Q2.
    """
    reach = reach * (1.0 + 1e-9)
    shares = np.where(reach > gap, 1.0 - gap / np.maximum(reach, 1e-300), 0.0)
    shares[..., 0] = 0.0
    return shares


def centre_of_chords(shares, steps=40):
    """Return the mean (…, m) in the middle of ``e_1 + share_j (e_j - e_1)``, nearly of least radius; entry 0 is e_1."""
    corners = _corners(shares)
    centre = corners[..., 0, :]
    for step in range(1, steps):
        # Bădoiu and Clarkson: towards the farthest point, less each time.
        apart = corners - centre[..., None, :]
        farthest = np.vecdot(apart, apart).argmax(axis=-1)[..., None, None]
        centre = centre + np.take_along_axis(apart, farthest, -2)[..., 0, :] / (step + 1)
    return centre


def radius_of_chords(centre, shares):
    """Return κ (…) with ``|Δmax - centre·Δe| ≤ κ ‖u‖`` where every entry has at most this share."""
    apart = _corners(shares) - centre[..., None, :]
    return np.sqrt(np.vecdot(apart, apart).max(axis=-1)) * (1.0 + 1e-12)


def _corners(shares):
    m = shares.shape[-1]
    first = np.eye(m)[0]
    return first + shares[..., None] * (np.eye(m) - first)


def deviations_basis(m) -> np.ndarray:
    """Return an orthonormal basis (m - 1, m) of the numbers with mean zero (Helmert's)."""
    rows = np.tril(np.ones((m, m)), -1)[1:] - np.diag(np.arange(m))[1:]
    return rows / np.sqrt(np.arange(1, m) * np.arange(2, m + 1))[:, None]
