"""A small axis on which published numbers and ours stand side by side, as SVG."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from lab.wording import signed, tidy, tidy_span

WIDTH, ROW, FOOT, EDGE = 300, 18, 18, 14  # pixels: of the picture, of a row, of the numbers below, beside the axis
LETTER = 6.5  # about the width of a letter
MOST_TICKS = 4


@dataclass(frozen=True)
class Pair:
    """What a paper prints and what we find, a number or several each.

    Attributes
    ----------
    label : str
        Of what, where an axis has more than one pair.
    published, ours : sequence of float
    """

    label: str
    published: Sequence[float]
    ours: Sequence[float]


def ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    """Return at most ``MOST_TICKS`` round numbers between two ends."""
    if not logarithmic:
        step = 10.0 ** math.ceil(math.log10(high - low))
        while (last := math.floor(high / step)) - (first := math.ceil(low / step)) < 1:
            step /= 2 if f"{step:e}"[0] in "12" else 2.5  # 1, 0.5, 0.2, 0.1, ...
        return [round(k * step, 15) for k in range(first, last + 1)]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**k for k in range(first, last + 1) for digit in digits]
        found = [value for value in found if low <= value <= high]
        if len(found) <= MOST_TICKS:
            return found
    return found[:: math.ceil(len(found) / MOST_TICKS)]


def written(value: float, percent: bool) -> str:
    """Return the number below a tick."""
    if percent:
        return signed(f"{100 * value:.4g}%")
    if value == 0 or 1e-4 < abs(value) < 1e5:
        return signed(f"{value:.4g}")
    return tidy(value, ".0e").removeprefix("1·")


def described(pairs: Sequence[Pair], form: str) -> str:
    """Return in words what the axis shows."""
    parts = []
    for pair in pairs:
        name = f"{pair.label}: " if pair.label else ""
        parts.append(f"{name}published {tidy_span(pair.published, form)}, ours {tidy_span(pair.ours, form)}")
    return "; ".join(parts) + "."


def small_axis(pairs: Sequence[Pair], form: str) -> str:
    """Return the picture: a row for each pair, logarithmic where the numbers differ by more than ten times.

    Parameters
    ----------
    pairs : sequence of Pair
    form : str
        Format of the numbers in the description; with a per cent sign the axis is in per cent.
    """
    values = [float(value) for pair in pairs for value in (*pair.published, *pair.ours)]
    least, most = min(values), max(values)
    logarithmic = least > 0 and most > 10 * least
    scale = math.log if logarithmic else float
    margin = 0.06 * (scale(most) - scale(least)) or 0.1 * abs(scale(most)) or 1.0
    start, end = scale(least) - margin, scale(most) + margin
    left = EDGE + LETTER * max(len(pair.label) for pair in pairs)

    def x(value: float) -> float:
        return left + (WIDTH - EDGE - left) * (scale(value) - start) / (end - start)

    parts = [_row(pair, ROW * (number + 0.5), left, x) for number, pair in enumerate(pairs)]
    foot = ROW * len(pairs)
    low, high = (math.exp(start), math.exp(end)) if logarithmic else (start, end)
    for value in ticks(low, high, logarithmic):
        parts.append(f'<path class="tick" d="M{x(value):.1f} 2V{foot}"/>')
        text = written(value, form.endswith("%"))
        parts.append(f'<text x="{x(value):.1f}" y="{foot + 13}" text-anchor="middle">{text}</text>')
    size = f'width="{WIDTH}" height="{foot + FOOT}" viewBox="0 0 {WIDTH} {foot + FOOT}"'
    label = html.escape(described(pairs, form) + (" The axis is logarithmic." if logarithmic else ""), quote=True)
    return f'<svg class="small-axis" role="img" {size} aria-label="{label}">{"".join(parts)}</svg>'


def _row(pair: Pair, y: float, left: float, x) -> str:
    """Return the marks of a pair: a diamond for what is published, a disc for ours, at the median of several."""
    parts = [f'<path class="line" d="M{left:.1f} {y}H{WIDTH - EDGE}"/>']
    if pair.label:
        parts.append(f'<text x="0" y="{y + 4}">{html.escape(pair.label)}</text>')
    for who, values in (("ours", pair.ours), ("published", pair.published)):
        at = x(median(values))
        if len(values) > 1:
            parts.append(f'<path class="{who} range" d="M{x(min(values)):.1f} {y}H{x(max(values)):.1f}"/>')
        shape = (
            f"M{at:.1f} {y - 5}l5 5l-5 5l-5 -5z"
            if who == "published"
            else f"M{at - 4:.1f} {y}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"
        )
        parts.append(f'<path class="{who}" d="{shape}"/>')
    return "".join(parts)
