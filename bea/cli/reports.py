"""What a command found, on the screen and in a folder: arrays, a table with a row an image, and a picture."""

import csv
import importlib.util
from pathlib import Path

import numpy as np

from bea.files import replacing

ROWS = 20  # shown on the screen
PICTURED = 8  # images drawn
EXACT, LINEARISED, OPTIMAL, PROVEN, NOT_FOUND = "exact", "linearised", "locally optimal", "proven", "not found"


def show(table: dict, rows: int | None = ROWS) -> str:
    """Return the first rows of a table, name of a column → its entries, as aligned text; all for None.

    Columns in which there is nothing are left out.
    """
    table = {name: column for name, column in table.items() if any(_plain(value) != "" for value in column)}
    total = len(next(iter(table.values())))
    shown = [list(table), *([_shown(column[i]) for column in table.values()] for i in range(total)[:rows])]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)).rstrip() for row in shown]
    return "\n".join(lines + ([f"… {total - len(lines) + 1} more"] if total >= len(lines) else []))


def write(folder: Path, arrays: dict[str, np.ndarray], table: dict[str, np.ndarray], images=None) -> list[str]:
    """Write ``arrays.npz``, ``table.csv`` and, where matplotlib is installed, ``picture.png``; return their names.

    Each is written under another name and then moved into place.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    arrays : dict
        Name → array.
    table : dict
        Name of a column → one entry an image.
    images : pair of arrays (n, *input_shape), optional
        Images and their changes, to be drawn if they have two dimensions; otherwise the relative norms are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "arrays.npz") as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)
    with replacing(folder / "table.csv") as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*([_plain(value) for value in column] for column in table.values()), strict=True))
    if importlib.util.find_spec("matplotlib") is None:
        return ["arrays.npz", "table.csv"]
    with replacing(folder / "picture.png") as partial:
        _draw(partial, table, images)
    return ["arrays.npz", "table.csv", "picture.png"]


def _draw(path, table, images) -> None:
    from matplotlib.figure import Figure

    if images is None or (shape := _picture_shape(images[0].shape[1:])) is None:
        figure = Figure(figsize=(6, 3.5), layout="constrained")
        axes = figure.subplots()
        for kind in dict.fromkeys(table["kind"]):
            some = np.flatnonzero(np.asarray(table["kind"]) == kind)
            axes.plot(some, table["relative_norm"][some], "o", label=kind)
        axes.set(xlabel="image", ylabel="relative norm", ylim=(0, None))
        axes.legend(frameon=False)
    else:
        x, dx = (each[:PICTURED].reshape(-1, *shape) for each in images)
        figure = Figure(figsize=(6, 2 * len(x)), layout="constrained")
        low, high = min(x.min(), 0.0), max(x.max(), 1.0)
        grid, said = figure.subplots(len(x), 3, squeeze=False), (table["class_before"], table["class_after"])
        rows = zip(grid, x, np.nan_to_num(dx), *(classes[:PICTURED] for classes in said), strict=True)
        for row, image, change, before, after in rows:
            largest = np.abs(change).max() or 1.0
            middle = change / largest if change.ndim == 2 else 0.5 + 0.5 * change / largest
            row[0].imshow(_within(image, low, high), cmap="gray", vmin=0.0, vmax=1.0)
            row[1].imshow(middle, cmap="RdBu_r", vmin=-1.0, vmax=1.0)
            row[2].imshow(_within(image + change, low, high), cmap="gray", vmin=0.0, vmax=1.0)
            row[0].set_xlabel(f"class {before}")
            row[1].set_xlabel(f"largest change {largest:.2g}")
            row[2].set_xlabel(f"class {after}")
            for axes in row:
                axes.set(xticks=[], yticks=[])
        for axes, title in zip(figure.axes[:3], ("image", "change", "both"), strict=True):
            axes.set_title(title)
    figure.savefig(path, format="png", dpi=120)


def _picture_shape(shape) -> tuple | None:
    """Return the shape in which pixels can be drawn, grey or in three colours, or None."""
    if len(shape) == 3 and shape[2] == 1:
        return shape[:2]
    return shape if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3) else None


def _within(image, low, high) -> np.ndarray:
    return np.clip((image - low) / (high - low), 0.0, 1.0)


def _plain(value):
    """Return a number as Python has it, nothing for NaN, or a text."""
    value = value.item() if isinstance(value, np.generic) else value
    return "" if value is None or value != value else value


def _shown(value) -> str:
    value = _plain(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
