"""Changes made on one network and shown to others: all brought to one size.

For a direction Δx and a norm δ the problem is

    find t ≥ 0 such that ‖clip(x + t Δx) - x‖ = δ,

the smallest one if there are several. The left side grows with t from 0 to the size of what the range of the pixels
leaves room for, so there is a solution exactly if δ is at most that.
"""

import numpy as np
from scipy.stats import binomtest

from bea.networks.network import Network
from bea.networks.pixels import into_range
from bea.numerics.arrays import column, flat
from bea.numerics.checks import check_each

ORDERS = (2, np.inf)


def at_norm(net: Network, x, dx, norm, *, order=2) -> np.ndarray:
    """Stretch or shrink changes of images to a given norm within the range of the pixels; exact up to rounding.

    A pixel at an end of ``net.input_range`` stays there while the others go on. With ``r_k`` the room of pixel k in
    the direction of its change ``d_k``, its change after a factor t is ``min(t |d_k|, r_k)``. In the Euclidean norm
    t follows from sorting the ``r_k / |d_k|``, in the largest pixel it is ``δ / |d_k|`` of the first pixel that may
    go as far as δ.

    Parameters
    ----------
    net : Network
        Whose ``input_range`` holds for ``x + dx``; without one nothing is clipped.
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    dx : array (n, *input_shape)
        Changes, of any size, in units of the pixels.
    norm : float or array (n,)
        δ, positive, in units of the pixels.
    order : {2, inf}
        Euclidean norm, or the largest change of a pixel.

    Returns
    -------
    array (n, *input_shape)
        The changes of norm δ. NaN where there is none: where ``dx`` is zero or not finite, or where the range leaves
        no room for so large a change.

    Raises
    ------
    ValueError
        For images of wrong shape or range, changes of another shape, a norm that is not positive or of wrong shape, or
        an unknown order.
    """
    x = net.check_images(x)
    dx = np.asarray(dx, dtype=float)
    if dx.shape != x.shape:
        raise ValueError(f"dx: expected the shape of the images, {x.shape}, received {dx.shape}")
    norm = check_each("norm", norm, len(x))
    if order not in ORDERS:
        raise ValueError(f"order: expected one of {ORDERS}, received {order!r}")
    low, high = net.input_range or (-np.inf, np.inf)
    d, y = flat(dx), flat(x)
    usable = np.isfinite(d).all(axis=1) & d.any(axis=1)
    d = np.where(usable[:, None], d, 1.0)
    d = d / np.abs(d).max(axis=1, keepdims=True)  # no square overflows or vanishes
    room = np.where(d == 0.0, 0.0, np.where(d > 0.0, high - y, y - low))
    t = (_euclidean if order == 2 else _largest)(np.abs(d), room, norm)
    dx = column(np.where(usable, t, np.nan), x) * d.reshape(x.shape)
    return dx if net.input_range is None else into_range(net, x, dx)


def wilson(successes, n, confidence=0.95) -> np.ndarray:
    """Return the Wilson score interval of a share, (2, …): lower and upper ends; 0 and 1 where n is 0.

    Parameters
    ----------
    successes, n : int arrays (…)
        How many of how many.
    confidence : float
        Probability that such intervals cover the share, for one large sample of independent images.
    """

    def ends(k, n):
        return tuple(binomtest(int(k), int(n)).proportion_ci(confidence, "wilson")) if n else (0.0, 1.0)

    return np.stack(np.vectorize(ends, otypes=[float, float])(successes, n))


def _euclidean(d, room, norm):
    """Return t (n,) with ``Σ_k min(t d_k, r_k)² = norm²``, NaN where there is none; d and r are not negative."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.where(d > 0.0, room / d, 0.0)
        order = ends.argsort(axis=1)
        d, room, ends = (np.take_along_axis(values, order, 1) for values in (d, room, ends))
        # Between two ends those before are full and those from there on still grow.
        full = np.cumsum(room[:, :-1] ** 2, axis=1)
        full = np.concatenate([np.zeros_like(d[:, :1]), full], axis=1)
        growing = np.cumsum(d[:, ::-1] ** 2, axis=1)[:, ::-1]
        t = np.sqrt(np.maximum(norm[:, None] ** 2 - full, 0.0) / growing)
    fits = (t <= ends) & (growing > 0.0)
    first = fits.argmax(axis=1)[:, None]
    return np.where(fits.any(axis=1), np.take_along_axis(t, first, 1)[:, 0], np.nan)


def _largest(d, room, norm):
    """Return the smallest t (n,) with ``max_k min(t d_k, r_k) = norm``, NaN where there is none."""
    with np.errstate(divide="ignore"):
        t = np.where((room >= norm[:, None]) & (d > 0.0), norm[:, None] / d, np.inf).min(axis=1)
    return np.where(np.isfinite(t), t, np.nan)
