"""Floating-point formats with few digits, and rounding to them in float64 or float32 arithmetic.

A format has p significant binary digits and exponents from emin to emax: its numbers are ``m 2^(e - p + 1)`` with
whole ``|m| < 2^p`` and ``emin ≤ e ≤ emax``, subnormal ones included. Rounding to nearest takes the even m of two that
are equally near. Nothing but NumPy is needed; ml_dtypes and NumPy's own types are what the tests compare with.
"""

from dataclasses import dataclass

import numpy as np

ROUNDINGS = ("nearest", "stochastic")


@dataclass(frozen=True)
class Format:
    """One floating-point format.

    Parameters
    ----------
    name : str
    precision : int
        p, significant digits with the leading one, from 2 to 24.
    emin, emax : int
        Exponents of the smallest normal and of the largest number, within those of float32, ``-126`` and 127.
    top : float, optional
        The largest number where it is not ``(2 - 2^(1-p)) 2^emax``.
    infinities : bool
        Whether what is too large becomes an infinity; without any it becomes NaN, as ml_dtypes has it.

    Raises
    ------
    ValueError
        For digits or exponents out of range.
    """

    name: str
    precision: int
    emin: int
    emax: int
    top: float | None = None
    infinities: bool = True

    def __post_init__(self):
        if not 2 <= self.precision <= 24:
            raise ValueError(f"precision: expected 2 to 24 digits, received {self.precision!r}")
        if not -126 <= self.emin < self.emax <= 127:
            raise ValueError(f"emin, emax: expected -126 ≤ emin < emax ≤ 127, received {self.emin!r} and {self.emax!r}")

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return (2.0 - 2.0 ** (1 - self.precision)) * 2.0**self.emax if self.top is None else self.top

    @property
    def smallest_normal(self) -> float:
        """The smallest number with all its digits; what is nearer to zero is subnormal."""
        return 2.0**self.emin

    @property
    def spacing(self) -> float:
        """Distance between subnormal numbers, and the smallest positive one."""
        return 2.0 ** (self.emin - self.precision + 1)


FORMATS = {
    each.name: each
    for each in (
        Format("float32", 24, -126, 127),
        Format("float16", 11, -14, 15),
        Format("bfloat16", 8, -126, 127),
        Format("float8_e4m3", 4, -6, 8, top=448.0, infinities=False),
        Format("float8_e5m2", 3, -14, 15),
    )
}
INT8_LEVELS = 127  # of weights on either side of zero
NAMES = (*FORMATS, "int8")


def find_format(format, name="format") -> Format:
    """Return a floating-point format by its name, or as it is given; ``name`` is what an error calls it."""
    if isinstance(format, Format):
        return format
    if format not in FORMATS:
        raise ValueError(f"{name}: expected one of {tuple(FORMATS)} or a Format, received {format!r}")
    return FORMATS[format]


def unit_roundoff(format) -> float:
    """Return u, the largest relative error of rounding to nearest: ``2^-p``, without underflow and overflow.

    For "int8" the largest error of a weight relative to the largest weight that shares its scale, 1/254.

    Raises
    ------
    ValueError
        For an unknown format.
    """
    return 0.5 / INT8_LEVELS if format == "int8" else 2.0 ** -find_format(format).precision


def round_to(x, format, rounding="nearest", seed=None) -> np.ndarray:
    """Round every number to a format; the result is in float64 again, which holds all numbers of all formats.

    "nearest": to the nearest, a tie to the even digit, as the standard and all hardware do. "stochastic": up or down
    to the next numbers of the format, with probabilities that make the mean right. What then exceeds the largest number
    becomes an infinity, NaN in "float8_e4m3", which has none. Zeros keep their sign.

    Parameters
    ----------
    x : array or number
        A single number gives a single one.
    format : str or Format
    rounding : {"nearest", "stochastic"}
    seed : int or numpy.random.Generator, optional
        For "stochastic".

    Raises
    ------
    ValueError
        For an unknown format or rounding, and complex numbers.
    """
    format = find_format(format)
    check_rounding(rounding)
    if np.iscomplexobj(x):
        raise ValueError("x: expected real numbers, received complex ones")
    given = np.asarray(x, dtype=float)
    # Nothing beyond is needed to know that it is too large, and all steps stay within float64. All are in place, and
    # need an array even for a single number.
    rounded, most = np.empty_like(given), 4.0 * 2.0**format.emax
    np.clip(given, -most, most, out=rounded)
    if rounding == "nearest":
        round_nearest(rounded, format)
    else:
        round_randomly(rounded, format, np.random.default_rng(seed))
    overflow(rounded, format)
    return np.copysign(rounded, given)


def check_rounding(rounding) -> None:
    """Raise ``ValueError`` for an unknown rounding."""
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding: expected one of {ROUNDINGS}, received {rounding!r}")


def round_nearest(v: np.ndarray, format: Format, scratch: np.ndarray | None = None) -> None:
    """Round an array in float64 or float32 to nearest, in place, whatever the size of the result.

    Adding and subtracting ``C = 1.5 · 2^(t - 1)`` times the spacing of the format at v, t the digits of the arithmetic,
    leaves what the format has: C + v has its last digit there, and the addition itself rounds, to the even one. Numbers
    must be so small that C does not overflow.

    Parameters
    ----------
    v : array
        Contiguous.
    format : Format
        With at least two digits fewer than the arithmetic, or float32 itself in float32.
    scratch : array of the same shape, integers as wide as v
        Overwritten; made if it is not given.
    """
    digits, emin, kind = (23, -126, np.int32) if v.itemsize == 4 else (52, -1022, np.int64)
    dropped = digits + 1 - format.precision  # that of the arithmetic has its leading one
    if not dropped:
        return
    bits = v.view(kind)
    scratch = np.empty_like(bits) if scratch is None else scratch
    if format.emin == emin:
        # The exponents of the arithmetic itself: C could overflow, and the bits can be rounded as a whole number.
        np.right_shift(bits, dropped, out=scratch)
        np.bitwise_and(scratch, 1, out=scratch)
        np.add(scratch, (1 << (dropped - 1)) - 1, out=scratch)
        np.add(bits, scratch, out=bits)
        np.bitwise_and(bits, -1 << dropped, out=bits)
        return
    _exponents(bits, format, digits, scratch)
    np.add(scratch, dropped << digits | 1 << digits - 1, out=scratch)
    constant = scratch.view(v.dtype)
    np.add(v, constant, out=v)
    np.subtract(v, constant, out=v)


def round_randomly(v: np.ndarray, format: Format, rng: np.random.Generator) -> None:
    """Round an array in float64 up or down at random so that the mean is right, in place, whatever the size."""
    scratch = np.empty(v.shape, dtype=np.int64)
    _exponents(v.view(np.int64), format, 52, scratch)
    np.subtract(scratch, (format.precision - 1) << 52, out=scratch)
    spacing = scratch.view(float)
    np.divide(v, spacing, out=v)
    # In float32 the random numbers have 24 digits: the sum is exact, and numbers of the format stay as they are.
    np.add(v, rng.random(v.shape, dtype=np.float32), out=v)
    np.floor(v, out=v)
    np.multiply(v, spacing, out=v)


def _exponents(bits, format, digits, out) -> None:
    """Put ``2^e`` in the bits of the arithmetic, e the exponent of every number but emin at least, to ``out``."""
    bias = 127 if digits == 23 else 1023
    np.bitwise_and(bits, (2 * bias + 1) << digits, out=out)
    np.maximum(out, (format.emin + bias) << digits, out=out)


def overflow(v: np.ndarray, format: Format) -> None:
    """Replace rounded numbers beyond the largest by what the format has for them, in place."""
    beyond = np.abs(v) > format.largest
    if beyond.any():
        v[beyond] = np.copysign(np.inf, v[beyond]) if format.infinities else np.nan
