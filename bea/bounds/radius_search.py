"""The search of step D6: the largest radius with a positive bound, and the rival that allows the smallest one."""

from collections.abc import Callable

import numpy as np

ACCURACY = 5e-4  # of the radius, relative: between one with a positive bound and one without
FARTHEST = 1e4  # no larger radius is tried


def largest_radius(bound_at: Callable, lead, start, limit=None, never=False) -> np.ndarray:
    """Return the largest radius (n,) with a positive bound that the search finds.

    The search is no part of a proof: what it returns has a positive bound, or is zero.

    Parameters
    ----------
    bound_at : function
        Takes indices (k,) and a radius (k,) for each of them; returns the bounds (k,).
    lead : array (n,)
        The bound for the radius zero; where it is not positive, the radius is zero.
    start : array (n,)
        What is tried first.
    limit : array (n,), optional
        No more than this, which is then tried first.
    never : bool array (n,), optional
        Where the lead cannot be lost; the radius is infinite there.
    """
    never, r = (lead > 0.0) & never, start if limit is None else np.minimum(limit, FARTHEST)
    low, high = np.zeros(len(lead)), np.full(len(lead), np.inf)
    at_low, at_high, last = lead.copy(), np.full(len(lead), -np.inf), np.zeros(len(lead))
    for trial in range(40):
        known = (lead <= 0.0) | never | (low >= FARTHEST)
        open_ = np.flatnonzero(~known & (high > (1.0 + ACCURACY) * low))
        if not len(open_):
            break
        each = r[open_]
        bound = bound_at(open_, each)
        good = bound > 0.0
        up, down = open_[good], open_[~good]
        # A side that stays twice counts for less, so that the secant does not creep towards the other one.
        at_high[up[last[up] > 0]] *= 0.5
        at_low[down[last[down] < 0]] *= 0.5
        last[up], last[down] = 1.0, -1.0
        low[up], at_low[up] = each[good], bound[good]
        high[down], at_high[down] = each[~good], np.fmax(bound[~good], -3.0 * lead[down])
        if limit is not None and trial == 0:
            high[up] = low[up]
        r = _next_radius(low, high, at_low, at_high, lead)
    return np.where(never, np.inf, low)


def nearest_rival(order, largest: Callable, clear: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Return the radius (n,) that is proved for all rivals of an image, and the rival that limits it.

    Parameters
    ----------
    order : int array (n, k)
        The rivals, the one that is likely to be the nearest first.
    largest : function
        Takes images (m,), a rival (m,) for each, and optionally a limit (m,), and returns radii (m,), as
        ``largest_radius`` does.
    clear : function
        Takes radii (n,) and returns which classes (n, classes) surely cannot win within them.
    """
    everyone, rival = np.arange(len(order)), order[:, 0].copy()
    radius = largest(everyone, rival)
    if order.shape[1] > 1:
        doubtful = ~clear(np.minimum(radius, FARTHEST))
    for rank in range(1, order.shape[1]):
        some = np.flatnonzero((radius > 0.0) & doubtful[everyone, order[:, rank]])
        j = order[some, rank]
        found = largest(some, j, radius[some])
        closer = found < radius[some]
        radius[some[closer]], rival[some[closer]] = found[closer], j[closer]
    return radius * (1.0 - 1e-9), rival


def _next_radius(low, high, at_low, at_high, lead):
    bounded = np.isfinite(high)
    with np.errstate(divide="ignore", invalid="ignore"):
        secant = low + (high - low) * at_low / (at_low - at_high)
        beyond = low * np.clip(lead / np.maximum(lead - at_low, 1e-300), 1.02, 4.0)
    # A little to the side of the secant's zero that is less well known, so that the next two points enclose it.
    width = np.where(bounded, high - low, 0.0)
    nearer = secant + np.where(secant - low < high - secant, 0.4, -0.4) * ACCURACY * secant
    inner = np.clip(nearer, low + 0.05 * width, high - 0.05 * width)
    return np.minimum(np.where(bounded, inner, beyond), FARTHEST)
