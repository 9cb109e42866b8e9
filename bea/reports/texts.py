"""How arrays, and what is made of them, are abbreviated where somebody prints them."""

import textwrap
from collections.abc import Iterable
from dataclasses import fields, is_dataclass

import numpy as np

FEW = 4  # entries of a sequence that are written out, at most
MOST = 10  # lines of a list, at most
WIDTH = 100
KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex"}


def abbreviated(value) -> str:
    """Return a value in a few words: of a large array the kind and the shape, of something of ours the name."""
    if isinstance(value, np.ndarray):
        if value.ndim == 1 and value.size <= FEW:
            return f"[{', '.join(abbreviated(item) for item in value)}]"
        return f"{KINDS.get(value.dtype.kind, value.dtype)} {value.shape}"
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        items = [abbreviated(item) for item in value[:FEW]] + ["…"] * (len(value) > FEW)
        return f"({', '.join(items)})" if isinstance(value, tuple) else f"[{', '.join(items)}]"
    return type(value).__name__ if is_dataclass(value) else repr(value)


def outlined(thing) -> str:
    """Return the name of a dataclass and its fields, abbreviated."""
    listed = ", ".join(f"{field.name}={abbreviated(getattr(thing, field.name))}" for field in fields(thing))
    return f"{type(thing).__name__}({listed})"


def wrapped(text: str) -> str:
    """Return a text in lines that are not too long, all but the first set in."""
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def listed(head: str, lines: Iterable[str]) -> str:
    """Return a head and lines below it, of many the first and the last ones."""
    lines = [textwrap.shorten(line, WIDTH, placeholder=" …") for line in lines]
    if len(lines) > MOST:
        left_out = len(lines) - MOST + 1
        lines = [*lines[: MOST // 2], f"… {left_out} more …", *lines[MOST // 2 + left_out :]]
    return "\n".join([wrapped(head), *(f"  {line}" for line in lines)])


def spread(values) -> str:
    """Return the median, the range of nine tenths, and the largest of some numbers, NaN left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return "none to measure"
    low, high = np.quantile(values, [0.05, 0.95], method="inverted_cdf")  # nothing between infinite ones
    return f"median {np.median(values):.3g}, 5 % to 95 % {low:.3g} to {high:.3g}, largest {values.max():.3g}"
