"""Figures that read well on light and dark pages: vector graphics in which ink takes the colour of the text."""

import html
import io
import math
import re
from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text

from bea.reports.pictures import BLUE, COLOURS, GREEN, SKY, VERMILLION
from bea.reports.pictures import ORANGE as ORANGE
from bea.reports.pictures import PURPLE as PURPLE  # chapters take all colours from here
from lab.wording import signed

INK = "#010203"  # drawn as the colour of the surrounding text
GREY = "#808080"  # stands out as much on a light page as on a dark one
MARKS = "os^vDPX*"
LEGIBLE = 9  # pixels: letters are never smaller on the screen; a figure scrolls before they are
CHANGE = LinearSegmentedColormap.from_list("change", [BLUE, "#ffffff", VERMILLION])  # from less to more
STYLE = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "boxplot.boxprops.color": INK,
    "boxplot.capprops.color": INK,
    "boxplot.medianprops.color": BLUE,
    "boxplot.whiskerprops.color": INK,
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 11,
    "legend.frameon": False,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def new_figure(width=5.6, height=3.4, rows=1, columns=1, **keywords) -> tuple[Figure, np.ndarray]:
    """Return a figure in the book's style and its axes, (rows, columns); sizes in inches."""
    mpl.rcParams.update(STYLE)  # for good: what is drawn into the figure later shall have this style too
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **keywords)


def looks(names) -> dict[str, dict[str, str]]:
    """Return a colour and a mark for every name; of the first eight each has its own, and later ones another pair."""
    colours = (*COLOURS, INK, GREY)
    return {name: {"color": colours[k % 8], "marker": MARKS[(k + k // 8) % 8]} for k, name in enumerate(names)}


def show_image(axes, image, title="", change=False, size=10) -> None:
    """Draw an image of pixels in grey between 0 and 1, or a change in blue (less) and orange (more) about zero."""
    scale = {"cmap": "gray_r", "vmin": 0.0, "vmax": 1.0}
    if change:
        limit = np.abs(image).max() or 1.0
        scale = {"cmap": CHANGE, "vmin": -limit, "vmax": limit}
    axes.imshow(image, interpolation="nearest", **scale)
    axes.set_title(title, fontsize=size)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.5, edgecolor=INK)


def mosaic(images, titles, columns: int, framed=()) -> Figure:
    """Return a figure of images (n, 28, 28) in rows, dark on light, each with its title above.

    An image of NaN leaves its place to the title; the numbers in ``framed`` are of images with a frame.
    """
    rows = -(-len(images) // columns)
    figure, ((ax,),) = new_figure(7.0, 7.0 * 42 * rows / (34 * columns))
    canvas = np.full((42 * rows, 34 * columns), np.nan)
    for k, (image, title) in enumerate(zip(images, titles, strict=True)):
        top, left, empty = 42 * (k // columns) + 11, 34 * (k % columns) + 3, np.isnan(image).all()
        canvas[top : top + 28, left : left + 28] = image
        ax.text(left + 13.5, top + (16 if empty else -3.5), title, ha="center", fontsize=10 if empty else 8.5)
        if k in framed:
            sides = [-1.5, 28.5, 28.5, -1.5, -1.5], [-1.5, -1.5, 28.5, 28.5, -1.5]
            ax.plot(np.add(sides[0], left), np.add(sides[1], top), color=VERMILLION, lw=2)
    ax.imshow(canvas, cmap="gray_r", vmin=0, vmax=1, interpolation="none")
    ax.set_axis_off()
    return figure


def sheet(images, titles, columns: int, height=1.15, size=7) -> Figure:
    """Return a figure of images (n, 28, 28) in rows, grey on white, each with a title, of several lines if need be.

    ``height`` is that of a row in inches, ``size`` that of the letters in points.
    """
    rows = max(-(-len(images) // columns), 1)
    figure, axes = new_figure(7.0, height * rows, rows, columns)
    for ax in axes.flat[len(images) :]:
        ax.set_axis_off()
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        show_image(ax, image, title, size=size)
    return figure


def rows_of(labels, marks: Mapping, ends=None, at=None, **axis) -> Figure:
    """Return a figure with a row for each label, from above: marks, name → values, and a bar between its two ends.

    ``at`` is where a thin line stands; ``axis`` is for the horizontal axis, such as its label.
    """
    figure, ((ax,),) = new_figure(7.0, 0.9 + 0.25 * len(labels))
    places, looks = range(len(labels)), zip("oDs^", [BLUE, VERMILLION, INK, GREEN], strict=True)
    if ends is not None:
        ax.hlines(places, *ends, color=SKY, lw=4, alpha=0.6)
    for (name, values), (mark, colour) in zip(marks.items(), looks, strict=False):
        ax.plot(values, places, mark, ms=6, mfc="none", mew=1.5, color=colour, label=name)
    if at is not None:
        ax.axvline(at, color=INK, lw=0.8, ls="--")
    ax.set(yticks=places, yticklabels=map(signed, labels), **axis)
    ax.invert_yaxis()
    ax.tick_params("y", labelsize=9)
    figure.legend(loc="outside upper center", ncols=len(marks))
    return figure


def to_svg(figure: Figure, name: str, alt: str) -> str:
    """Return the figure as one ``<svg>`` element with alternative text, its ids prefixed by ``name``.

    It is as wide as its place, but no wider than drawn, and no narrower than its smallest letters can be read.
    """
    for text in figure.findobj(lambda artist: isinstance(artist, Text) and "-" in artist.get_text()):
        text.set_text(signed(text.get_text()))
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # everything has its place; to find it again for the pixels takes as long
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<image\b[^>]*) id="[^"]*"', r"\1", svg)  # made from its content, so not unique
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(INK, "currentColor").replace(BLUE.lower(), f"var(--figure-blue, {BLUE})")
    width = re.search(r'width="([\d.]+)pt"', svg).group(1)
    style = f"width: 100%; max-width: {width}pt"
    if letters := smallest_letters(svg):
        style += f"; min-width: {math.ceil(LEGIBLE * float(width) / letters)}px"
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"|height="[\d.]+pt" width="[\d.]+pt"', "", svg, count=1)
    label = html.escape(signed(alt), quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}" style="{style}"', 1)


def smallest_letters(svg: str) -> float | None:
    """Return the size of the smallest text of a figure, exponents and indices aside; None where there is none."""
    texts = re.findall(r"<text\b.*?</text>", svg, re.DOTALL)
    sizes = [[float(size) for size in re.findall(r"font(?:-size)?:[^;\"]*?([\d.]+)px", text)] for text in texts]
    return min((max(of_text) for of_text in sizes if of_text), default=None)


def to_png(figure: Figure, path) -> None:
    """Write the figure to ``path`` as pixels on white, for slides and for pages that cannot show vector graphics."""
    figure.savefig(path, format="png", dpi=150, transparent=False, facecolor="white", metadata={"Software": None})
