"""Inner products as a machine with few digits computes them: every product and every sum is rounded.

``s_1 = fl(w_1 h_1)``, ``s_k = fl(s_(k-1) + fl(w_k h_k))``, the bias last; or the same products added in pairs. What is
rounded here is rounded once: the product of two numbers with p digits has 2p, and a sum that is rounded to t ≥ 2p + 2
digits and then to p digits is the same as if it were rounded at once (Figueroa 1995). Numbers of up to 11 digits are
therefore worked with in float32, others in float64.
"""

from dataclasses import dataclass, field

import numpy as np

from bea.precision.formats import (
    Format,
    check_rounding,
    find_format,
    overflow,
    round_nearest,
    round_randomly,
    round_to,
)

ORDERS = ("sequential", "pairwise")
AT_ONCE = 2**14  # numbers in each array of the innermost loop, so that all of them stay near the processor
FLOAT32 = find_format("float32")


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """How a machine computes.

    Attributes
    ----------
    format : Format
        Of inputs, weights and outputs of every layer.
    accumulator : Format
        Of products and sums within an inner product.
    rounding : {"nearest", "stochastic"}
    order : {"sequential", "pairwise"}
    rng : numpy.random.Generator
    """

    format: Format
    accumulator: Format
    rounding: str = "nearest"
    order: str = "sequential"
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    @property
    def work(self) -> type:
        """The type whose operations are exact enough to round their results."""
        short = max(self.format.precision, self.accumulator.precision) <= 11
        return np.float32 if self.rounding == "nearest" and (short or self.native) else np.float64

    @property
    def native(self) -> bool:
        """Whether the accumulator is what the processor has itself."""
        return self.accumulator == FLOAT32 and self.rounding == "nearest"

    @property
    def unit(self) -> float:
        """The largest relative error of a number that is stored: u of the format, 2u with stochastic rounding."""
        return 2.0**-self.format.precision * (1.0 if self.rounding == "nearest" else 2.0)

    @property
    def sum_unit(self) -> float:
        """The same of a product or a sum."""
        return 2.0**-self.accumulator.precision * (1.0 if self.rounding == "nearest" else 2.0)

    def roundings(self, columns: int, bias: bool) -> int:
        """Return in how many roundings a term of an inner product of so many columns takes part, before it is stored.

        Its product, all sums from there on at most, or with pairs as many as halvings make one of them; and the bias.
        """
        sums = columns - 1 if self.order == "sequential" else (columns - 1).bit_length()
        return 1 + sums + bias

    def stored(self, v) -> np.ndarray:
        """Return numbers rounded to the format, in float64."""
        return round_to(v, self.format, self.rounding, self.rng)

    def accumulated(self, v) -> np.ndarray:
        """Return numbers rounded to the accumulator's format, in float64."""
        return round_to(v, self.accumulator, self.rounding, self.rng)


def arithmetic(
    format, accumulator=None, rounding="nearest", order="sequential", seed=None, name="format"
) -> Arithmetic:
    """Return an ``Arithmetic`` from names, or raise ``ValueError``; without an accumulator it has the same format."""
    format = find_format(format, name)
    accumulator = format if accumulator is None else find_format(accumulator, "accumulator")
    check_rounding(rounding)
    check_order(order)
    return Arithmetic(format, accumulator, rounding, order, np.random.default_rng(seed))


def check_order(order) -> None:
    """Raise ``ValueError`` for an unknown order of summation."""
    if order not in ORDERS:
        raise ValueError(f"order: expected one of {ORDERS}, received {order!r}")


def inner_products(matrix, bias, h, machine: Arithmetic) -> np.ndarray:
    """Return ``A h + b`` as the machine accumulates it, before it is stored, (n, rows) in float64.

    A sum is infinite or NaN if, and only if, a product or a partial sum was too large for the accumulator's format.

    Parameters
    ----------
    matrix : array (rows, columns)
        Numbers of the machine's format, as all others.
    bias : array (rows,) or None
        Added last.
    h : array (n, columns)
    machine : Arithmetic
    """
    work, rows = machine.work, len(matrix)
    columns = matrix.astype(work).T[:, :, None]  # column k stands below itself: rows down, samples to the right
    last = None if bias is None else bias.astype(work)[:, None]
    sums = np.empty((len(h), rows))
    size = max(16, AT_ONCE // rows)
    for start in range(0, len(h), size):
        part = slice(start, start + size)
        inputs = np.ascontiguousarray(h[part].astype(work).T)
        with np.errstate(over="ignore", invalid="ignore"):
            rounder = _Rounder(machine, (rows, inputs.shape[1]), _might_overflow(matrix, bias, h[part], machine))
            add = _sequentially if machine.order == "sequential" else _in_pairs
            total = add(columns, inputs, rounder)
            if last is not None:
                np.add(total, last, out=total)
                rounder(total)
        sums[part] = total.T
    return sums


def _might_overflow(matrix, bias, h, machine):
    """Return whether a partial sum could be too large, whatever the roundings.

    One of k terms differs by at most k ε Σ |w h| from the exact one, ε = 2u, if rounding is to nearest (Jeannerod and
    Rump 2013). At random each rounding may enlarge it by 1 + ε.
    """
    total = np.abs(h) @ np.abs(matrix.T) + (0.0 if bias is None else np.abs(bias))
    share = (matrix.shape[1] + 3) * 2.0 ** (1 - machine.accumulator.precision)
    growth = 1.0 + share if machine.rounding == "nearest" else np.exp(share)
    return not growth * total.max(initial=0.0) < machine.accumulator.largest


class _Rounder:
    """Rounds arrays (rows, samples) in place to the accumulator's format."""

    def __init__(self, machine, shape, watch):
        self.machine, self.format, self.watch = machine, machine.accumulator, watch
        self.scratch = np.empty(shape, dtype=np.int32 if machine.work is np.float32 else np.int64)

    def __call__(self, v):
        if self.machine.native:
            return  # it is rounded already, and an infinity stays one or becomes NaN
        if self.machine.rounding == "nearest":
            round_nearest(v, self.format, self.scratch)
        else:
            round_randomly(v, self.format, self.machine.rng)
        if self.watch:
            overflow(v, self.format)


def _sequentially(columns, inputs, rounder):
    """Return the sums (rows, n) of the products, added one after the other."""
    total = columns[0] * inputs[0]
    rounder(total)
    product = np.empty_like(total)
    for column, entries in zip(columns[1:], inputs[1:], strict=True):
        np.multiply(column, entries, out=product)
        rounder(product)
        np.add(total, product, out=total)
        rounder(total)
    return total


def _in_pairs(columns, inputs, rounder):
    """Return the same, neighbours added first: sums of 2^k products wait until there is another of their size."""
    waiting = []
    for number, (column, entries) in enumerate(zip(columns, inputs, strict=True), start=1):
        waiting.append(column * entries)
        rounder(waiting[-1])
        # As many as the number has zeros at its end in binary.
        for _ in range((number & -number).bit_length() - 1):
            _join(waiting, rounder)
    while len(waiting) > 1:
        _join(waiting, rounder)
    return waiting[0]


def _join(waiting, rounder):
    last = waiting.pop()
    np.add(waiting[-1], last, out=waiting[-1])
    rounder(waiting[-1])


def partial_sums(matrix, bias, h) -> np.ndarray:
    """Return ``Σ_k |s_k|`` of the partial sums of ``A h + b``, added one after the other, the bias last, (n, rows).

    Parameters
    ----------
    matrix, bias, h
        As in ``inner_products``; in float64, nothing is rounded to fewer digits.
    """
    rows = len(matrix)
    sums, size = np.empty((len(h), rows)), max(16, AT_ONCE // rows)
    for start in range(0, len(h), size):
        part = slice(start, start + size)
        total, sizes = np.zeros((2, rows, len(h[part])))
        product = np.empty_like(total)
        for column, entries in zip(matrix.T[:, :, None], np.ascontiguousarray(h[part].T), strict=True):
            np.multiply(column, entries, out=product)
            np.add(total, product, out=total)
            np.abs(total, out=product)
            np.add(sizes, product, out=sizes)
        sums[part] = (sizes if bias is None else sizes + np.abs(total + bias[:, None])).T
    return sums
