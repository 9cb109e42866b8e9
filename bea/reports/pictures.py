"""Pictures of results: images or vectors with their changes, and distributions."""

import numpy as np

from bea.lazy import optional
from bea.numerics.arrays import flat

# Okabe and Ito's colours, told apart with any kind of colour vision.
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
LINES = ("-", "--", "-.", ":")
CHANGE = "PuOr"  # from less to more, told apart with any kind of colour vision
MARKED = 40  # features of a vector up to which each has a mark of its own
WIDE = 100  # ratio of numbers from which on their axis is logarithmic


def draw_changes(x, dx, titles):
    """Return a figure of samples before the change, of the change, and of both together.

    Parameters
    ----------
    x, dx : array (k, height, width), with 1 or 3 channels behind that, or any other batch, drawn as vectors
        NaN in ``dx`` for no change found.
    titles : sequence of k texts
    """
    channels = x.shape[3:]
    if x.ndim >= 3 and channels in ((), (1,), (3,)):
        return _images(x, dx, titles, coloured=channels == (3,))
    return _vectors(flat(x), flat(dx), titles)


def draw_shares(series: dict, label: str):
    """Return a figure of the share of samples whose number is at most so large, a curve for each entry of ``series``.

    Parameters
    ----------
    series : dict
        Name → numbers (n,), NaN and infinity for samples that have none: a curve ends below one if there are such.
    label : str
        What the numbers are, with their unit.
    """
    figure, (axes,) = _figure(1, 1, (5.5, 3.6))
    every = np.concatenate([values[np.isfinite(values) & (values > 0.0)] for values in series.values()])
    for number, (name, values) in enumerate(series.items()):
        there = np.sort(values[np.isfinite(values)])
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}
        axes[0].step(there, np.arange(1, len(there) + 1) / len(values), where="post", label=name, **style)
    if every.size and every.max() > WIDE * every.min():
        axes[0].set_xscale("log")
    axes[0].set(xlabel=label, ylabel="share of the samples", ylim=(0.0, 1.02))
    if len(series) > 1:
        axes[0].legend(frameon=False)
    return figure


def _figure(rows, columns, size):
    """Return a figure that ``pyplot`` does not keep, and its axes as an array (rows, columns)."""
    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    pyplot.close(figure)
    return figure, axes


def _images(x, dx, titles, coloured):
    """Draw the images one below the other: before, the change, behind."""
    after = x + np.nan_to_num(dx)
    low, high = min(x.min(), after.min()), max(x.max(), after.max())
    high = high if high > low else low + 1.0
    if coloured:
        change = np.linalg.norm(dx, axis=3)
        before, after = ((each - low) / (high - low) for each in (x, after))
        name, style = "length of Δx, unit of the pixels", {"cmap": "viridis", "vmin": 0.0}
    else:
        before, change, after = (each.reshape(each.shape[:3]) for each in (x, dx, after))
        name, style = "Δx, unit of the pixels", {"cmap": CHANGE}
    largest = np.nanmax(np.abs(change), initial=0.0) or 1.0
    style |= {"vmax": largest} | ({} if coloured else {"vmin": -largest})
    grey = {} if coloured else {"cmap": "gray", "vmin": low, "vmax": high}
    figure, axes = _figure(3, len(x), (1.9 * len(x) + 1.4, 5.6))
    for column, title in enumerate(titles):
        for row, (values, look) in enumerate(((before, grey), (change, style), (after, grey))):
            shown = axes[row, column].imshow(values[column], interpolation="nearest", **look)
            axes[row, column].label_outer()
            if column == len(titles) - 1 and (row == 1 or not coloured):
                figure.colorbar(
                    shown, ax=axes if coloured else axes[row], label=name if row == 1 else "x, unit of the pixels"
                )
        axes[0, column].set_title(title, fontsize="small")
        axes[2, column].set_xlabel("column, pixels")
    for row, what in enumerate(("before", "change", "changed")):
        axes[row, 0].set_ylabel(f"{what}\nrow, pixels")
    return figure


def _vectors(x, dx, titles):
    """Draw every vector before and behind the change over the numbers of its entries."""
    figure, axes = _figure(len(x), 1, (6.0, 1.0 + 1.7 * len(x)))
    places, marked = np.arange(x.shape[1]), x.shape[1] <= MARKED
    for row, title in enumerate(titles):
        for values, name, colour, marker, line in (
            (x[row], "x", BLUE, "o", "-"),
            (x[row] + dx[row], "x + Δx", VERMILLION, "^", "--"),
        ):
            style = {"marker": marker, "linestyle": "none"} if marked else {"linestyle": line}
            axes[row, 0].plot(places, values, color=colour, label=name, **style)
        axes[row, 0].set_title(title.replace("\n", ", "), fontsize="small")
        axes[row, 0].set_ylabel("value, unit of x")
    axes[0, 0].legend(frameon=False)
    axes[-1, 0].set_xlabel("number of the feature")
    for each in axes[:, 0]:
        each.xaxis.get_major_locator().set_params(integer=True)
    return figure
