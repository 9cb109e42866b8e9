"""Curves of several networks as one: their median, and a band from the lowest to the highest."""

import numpy as np


def draw_band(ax, x, values, colour, style="-", label=None, alpha=0.25) -> None:
    """Draw the median of curves (networks, points) as a line and their range as a band; masked entries are left out."""
    ax.plot(x, np.ma.median(values, axis=0), style, color=colour, label=label)
    ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=alpha, lw=0)


def draw_ranges(ax, x, values, colour, style, label=None) -> None:
    """Draw the medians of some lists of numbers, one at each x, as marks, and their ranges as bars."""
    middle, low, high = (np.array([of(own) for own in values]) for of in (np.median, np.min, np.max))
    ax.errorbar(x, middle, yerr=(middle - low, high - middle), fmt=style, color=colour, capsize=3, label=label)
