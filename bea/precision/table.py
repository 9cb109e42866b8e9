"""A table for whoever runs a network with few digits: which format is good enough, and which decisions are at risk."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from bea.backward.closed_form import backward_error
from bea.lazy import optional
from bea.networks.network import Network
from bea.precision.certificate import certified
from bea.precision.formats import unit_roundoff
from bea.precision.forward import low_precision
from bea.precision.growth import deterministic_bound, probabilistic_bound

if TYPE_CHECKING:
    from pandas import DataFrame

USUAL = (  # formats with their accumulators, as hardware has them, from many digits to few
    ("float32", "float32"),
    ("float16", "float16"),
    ("float16", "float32"),
    ("bfloat16", "bfloat16"),
    ("bfloat16", "float32"),
    ("float8_e4m3", "float32"),
    ("float8_e5m2", "float32"),
    ("int8", "float32"),
)
STABLE = 10.0  # units of roundoff


@dataclass(frozen=True)
class FormatReport:
    """What is known of one format on n images.

    Attributes
    ----------
    format, accumulator : str
    unit : float
        Unit roundoff of the format.
    backward_error, largest_error : float
        Median and largest backward error of the logits on the weights: relative, to first order, over the images with
        finite logits; NaN if there are none, or if no change of the weights explains one of them to first order.
    deterministic, probable : float
        Bounds of it, the latter with a probability of 95 % under its assumptions; NaN for networks without.
    stable : bool
        Whether the largest is at most ten units: the logits are those of a network that is as good as the rounded one.
    images, certified, at_risk, flipped : int
        Images; those whose class no rounding can change; all others; those of them that have another class now.
    not_finite, overflowed, subnormal : int
        Images with such logits, or with such numbers on the way.
    """

    format: str
    accumulator: str
    unit: float
    backward_error: float
    largest_error: float
    deterministic: float
    probable: float
    stable: bool
    images: int
    certified: int
    at_risk: int
    flipped: int
    not_finite: int
    overflowed: int
    subnormal: int


def summary(net: Network, x, formats=USUAL, order="sequential") -> list[FormatReport]:
    """Return one row a format: how good it is for these images, and how many decisions are safe, at risk, and changed.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        At least one image.
    formats : sequence of str or of pairs (format, accumulator)
        As in ``bea.precision.low_precision``; a format alone is its own accumulator, and float32 that of "int8".
    order : {"sequential", "pairwise"}

    Raises
    ------
    ValueError
        For no image or format, and what ``low_precision`` refuses.
    """
    x = net.check_images(x)
    pairs = [_pair(each) for each in formats]
    if not len(x) or not pairs:
        raise ValueError(f"x, formats: expected at least one of each, received {len(x)} and {len(pairs)}")
    own = net.classify(x)
    return [_row(net, x, own, format, accumulator, order) for format, accumulator in pairs]


def report(model, x, formats=USUAL, order="sequential", input_range=None) -> "DataFrame":
    """Return the table of ``summary`` for a Keras model, or a network, as a frame with a row a format.

    Parameters
    ----------
    model : Network or keras.Model
        The latter as ``Network.from_keras`` takes it.
    x : array (n, *input_shape)
        Images as the model takes them.
    formats, order
        As in ``summary``.
    input_range : pair of float, optional
        Smallest and largest pixel value, for a Keras model.

    Raises
    ------
    ImportError
        If pandas is not installed; the extra ``frame`` brings it.
    ValueError
        As ``summary`` and ``Network.from_keras``.
    """
    pandas = optional("pandas", "frame")
    net = model if isinstance(model, Network) else Network.from_keras(model, input_range)
    return pandas.DataFrame(columns(summary(net, x, formats, order)))


def columns(rows: list[FormatReport]) -> dict[str, list]:
    """Return the rows of ``summary`` as columns: name of an attribute → one entry a format."""
    return {field.name: [getattr(row, field.name) for row in rows] for field in fields(FormatReport)}


def _pair(each):
    format, accumulator = (each, None) if isinstance(each, str) else each
    return format, ("float32" if format == "int8" else format) if accumulator is None else accumulator


def _row(net, x, own, format, accumulator, order):
    found = low_precision(net, x, format, accumulator, order=order)
    safe = certified(net, x, format, accumulator, order=order)
    errors, unit = np.array([np.nan]), unit_roundoff(format)
    if found.finite.any():
        change = backward_error(net, x[found.finite], found.logits[found.finite], "weights")
        errors = np.sqrt(change.objective)
    try:
        form = "linear"  # holds for every length, and is the smaller one
        bounds = [
            deterministic_bound(net, format, accumulator, order=order, form=form).total,
            probabilistic_bound(net, format, accumulator, order=order).total,
        ]
    except ValueError:  # other layers have none
        bounds = [np.nan, np.nan]
    return FormatReport(
        format,
        accumulator,
        unit,
        float(np.median(errors)),
        float(np.max(errors)),
        *bounds,
        bool(found.finite.all() and np.max(errors) <= STABLE * unit),
        *(int(np.sum(each)) for each in (np.ones(len(x)), safe, ~safe, found.classes != own)),
        *(int(np.sum(each)) for each in (~found.finite, found.overflowed, found.subnormal)),
    )
