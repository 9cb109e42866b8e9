"""The elementwise functions of ``Activation``: values, first and second derivatives, steepest slopes and kinks.

All are written so that large numbers neither overflow nor cancel. The steepest slope is ``sup |f'|`` over all numbers.
Where f' is monotone on either side of zero, or of the ends of its pieces, it can be read off; the others:

- gelu: ``f'' = φ(v) (2 - v²)`` vanishes at ±√2, so that it is ``Φ(√2) + √2 φ(√2)``.
- silu: ``f'' = σ' (2 - v tanh(v/2))`` vanishes at ±2.39936, so that it is ``1/2 + 2.39936/4``.
- gelu_tanh, mish: f' has its maximum at 1.41850 and 1.49057.

These four are rounded up in their 14th digit, and a test proves all of them by interval arithmetic.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bea.networks import formulas
from bea.networks.activations import ACTIVATIONS, PARAMETRIC, SECOND

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. (2017)
POSITIVE, NOT_NEGATIVE, FINITE = "a positive finite number", "a finite number from 0 on", "a finite number"


def _no_kinks(*parameters):
    return ()


@dataclass(frozen=True)
class Elementwise:
    """One function f; all its functions take its parameters behind their other arguments.

    Attributes
    ----------
    value : function of v
    slope : function of v and f(v)
        f', at a kink that of one side.
    steepest : function
        ``sup |f'|``, or None where f jumps or has no such bound.
    bend : function of v and f(v), or None
        f''; None where it is zero but for the kinks.
    kinks : function
        Pairs (place, jump of f'), where f' jumps.
    parameters : tuple
        What each parameter must be.
    turns : tuple of float
        Where f' has a local maximum or minimum other than at a kink.
    """

    value: Callable
    slope: Callable
    steepest: Callable
    bend: Callable | None = None
    kinks: Callable = _no_kinks
    parameters: tuple[str, ...] = ()
    turns: tuple[float, ...] = ()


def read_parameters(name, given) -> tuple[float, ...]:
    """Return the parameters of a function as numbers, or raise ``ValueError``."""
    if name not in ELEMENTWISE:
        raise ValueError(f"activation: expected one of {sorted(ELEMENTWISE)}, received {name!r}")
    asked = ELEMENTWISE[name].parameters
    if not asked:
        if given is not None:
            raise ValueError(f"parameter: expected none for {name}, received {given!r}")
        return ()
    found = given if len(asked) > 1 else (given,)
    if not isinstance(found, tuple | list) or len(found) != len(asked):
        raise ValueError(f"parameter: expected {len(asked)} numbers for {name}, received {given!r}")
    for value, what in zip(found, asked, strict=True):
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
        if not number or (what == POSITIVE and value <= 0) or (what == NOT_NEGATIVE and value < 0):
            raise ValueError(f"parameter: expected {what} for {name}, received {given!r}")
    if name in ("clip", "clipped_relu") and found[-2] > found[-1]:
        raise ValueError(f"parameter: expected the last number of {name} to be the largest, received {given!r}")
    return tuple(float(value) for value in found)


def _constant(steepest):
    return lambda *parameters: steepest


ELEMENTWISE = {
    "linear": Elementwise(*ACTIVATIONS["linear"], _constant(1.0)),
    "relu": Elementwise(*ACTIVATIONS["relu"], _constant(1.0), kinks=lambda: ((0.0, 1.0),)),
    "sigmoid": Elementwise(
        *ACTIVATIONS["sigmoid"], _constant(0.25), lambda v, y: SECOND["sigmoid"](v, y, None), turns=(0.0,)
    ),
    "tanh": Elementwise(*ACTIVATIONS["tanh"], _constant(1.0), lambda v, y: SECOND["tanh"](v, y, None), turns=(0.0,)),
    "smooth_relu": Elementwise(
        *PARAMETRIC["smooth_relu"], _constant(1.0), SECOND["smooth_relu"], parameters=(POSITIVE,)
    ),
    "abs": Elementwise(np.abs, lambda v, y: np.sign(v), _constant(1.0), kinks=lambda: ((0.0, 2.0),)),
    "celu": Elementwise(
        lambda v, a: np.where(v > 0.0, v, a * np.expm1(np.minimum(v, 0.0) / a)),
        lambda v, y, a: formulas.exponential_left(v / a, 1.0),
        _constant(1.0),
        lambda v, y, a: np.where(v > 0.0, 0.0, np.exp(np.minimum(v, 0.0) / a) / a),
        parameters=(POSITIVE,),
    ),
    "clip": Elementwise(
        lambda v, low, high: np.clip(v, low, high),
        lambda v, y, low, high: formulas.between(v, low, high),
        lambda low, high: 1.0 if low < high else 0.0,
        kinks=lambda low, high: ((low, 1.0), (high, -1.0)),
        parameters=(FINITE, FINITE),
    ),
    "clipped_relu": Elementwise(
        formulas.clipped_relu,
        lambda v, y, slope, threshold, largest: np.where(v > threshold, (v < largest).astype(v.dtype), slope),
        lambda slope, threshold, largest: max(1.0, abs(slope)) if threshold == 0.0 else None,
        kinks=lambda slope, threshold, largest: ((threshold, 1.0 - slope), (largest, -1.0)),
        parameters=(FINITE, NOT_NEGATIVE, NOT_NEGATIVE),
    ),
    "elu": Elementwise(
        lambda v, a: np.where(v > 0.0, v, a * np.expm1(np.minimum(v, 0.0))),
        lambda v, y, a: formulas.exponential_left(v, a),
        lambda a: max(1.0, a),
        lambda v, y, a: np.where(v > 0.0, 0.0, a * np.exp(np.minimum(v, 0.0))),
        lambda a: ((0.0, 1.0 - a),),
        (POSITIVE,),
    ),
    "exponential": Elementwise(np.exp, lambda v, y: y, _constant(None), lambda v, y: y),
    "gelu": Elementwise(
        lambda v: v * formulas.distribution(v),
        lambda v, y: formulas.distribution(v) + v * formulas.density(v),
        _constant(1.1289041451852),
        lambda v, y: formulas.density(v) * (2.0 - np.clip(v, -40.0, 40.0) ** 2),
        turns=(-math.sqrt(2.0), math.sqrt(2.0)),
    ),
    "gelu_tanh": Elementwise(
        lambda v: v * formulas.sigmoid(formulas.gelu_argument(v)[0]),
        formulas.gelu_tanh_slope,
        _constant(1.1289930686588),
        formulas.gelu_tanh_bend,
        turns=(-1.4185040087908278, 1.4185040087908278),
    ),
    "hard_shrink": Elementwise(
        lambda v, t: np.where(np.abs(v) > t, v, 0.0),
        lambda v, y, t: (np.abs(v) > t).astype(v.dtype),
        lambda t: None if t else 1.0,
        parameters=(NOT_NEGATIVE,),
    ),
    "hard_sigmoid": Elementwise(
        formulas.hard_sigmoid,
        lambda v, y: formulas.between(v, -3.0, 3.0) / 6.0,
        _constant(math.nextafter(1.0 / 6.0, 1.0)),
        kinks=lambda: ((-3.0, 1.0 / 6.0), (3.0, -1.0 / 6.0)),
    ),
    "hard_silu": Elementwise(
        lambda v: v * formulas.hard_sigmoid(v),
        lambda v, y: np.where(v < 3.0, (2.0 * v + 3.0) / 6.0 * (v > -3.0), 1.0),
        _constant(1.5),
        lambda v, y: formulas.between(v, -3.0, 3.0) / 3.0,
        lambda: ((-3.0, -0.5), (3.0, -0.5)),
    ),
    "hard_tanh": Elementwise(
        lambda v: np.clip(v, -1.0, 1.0),
        lambda v, y: formulas.between(v, -1.0, 1.0),
        _constant(1.0),
        kinks=lambda: ((-1.0, 1.0), (1.0, -1.0)),
    ),
    "leaky_relu": Elementwise(
        lambda v, slope: np.where(v > 0.0, v, slope * v),
        lambda v, y, slope: np.where(v > 0.0, 1.0, slope),
        lambda slope: max(1.0, abs(slope)),
        kinks=lambda slope: ((0.0, 1.0 - slope),),
        parameters=(FINITE,),
    ),
    "log_sigmoid": Elementwise(
        lambda v: -formulas.softplus(-v),
        lambda v, y: formulas.sigmoid(-v),
        _constant(1.0),
        lambda v, y: -formulas.bell(v),
    ),
    "mish": Elementwise(
        lambda v: v * formulas.mish_parts(v)[0],
        formulas.mish_slope,
        _constant(1.0884981612518),
        formulas.mish_bend,
        turns=(-2.256376396360793, 1.4905711794854284),
    ),
    "relu6": Elementwise(
        lambda v: np.clip(v, 0.0, 6.0),
        lambda v, y: formulas.between(v, 0.0, 6.0),
        _constant(1.0),
        kinks=lambda: ((0.0, 1.0), (6.0, -1.0)),
    ),
    "selu": Elementwise(
        lambda v: SELU_SCALE * np.where(v > 0.0, v, SELU_ALPHA * np.expm1(np.minimum(v, 0.0))),
        lambda v, y: SELU_SCALE * formulas.exponential_left(v, SELU_ALPHA),
        _constant(math.nextafter(SELU_SCALE * SELU_ALPHA, 2.0)),
        lambda v, y: np.where(v > 0.0, 0.0, SELU_SCALE * SELU_ALPHA * np.exp(np.minimum(v, 0.0))),
        lambda: ((0.0, SELU_SCALE * (1.0 - SELU_ALPHA)),),
    ),
    "silu": Elementwise(
        lambda v: v * formulas.sigmoid(v),
        lambda v, y: formulas.sigmoid(v) + v * formulas.bell(v),
        _constant(1.0998393201289),
        lambda v, y: formulas.bell(v) * (2.0 + v * (1.0 - 2.0 * formulas.sigmoid(v))),
        turns=(-2.3993572805154675, 2.3993572805154675),
    ),
    "soft_shrink": Elementwise(
        lambda v, t: v - np.clip(v, -t, t),
        lambda v, y, t: (np.abs(v) > t).astype(v.dtype),
        _constant(1.0),
        kinks=lambda t: ((-t, -1.0), (t, 1.0)),
        parameters=(NOT_NEGATIVE,),
    ),
    "softplus": Elementwise(
        formulas.softplus, lambda v, y: formulas.sigmoid(v), _constant(1.0), lambda v, y: formulas.bell(v)
    ),
    "softsign": Elementwise(
        lambda v: v / (1.0 + np.abs(v)),
        lambda v, y: formulas.softsign_slope(v),
        _constant(1.0),
        lambda v, y: -2.0 * np.sign(v) * formulas.softsign_slope(v) / (1.0 + np.abs(v)),
        turns=(0.0,),
    ),
    "sparse_plus": Elementwise(
        lambda v: np.where(v < 1.0, 0.25 * np.clip(v + 1.0, 0.0, 2.0) ** 2, v),
        lambda v, y: 0.5 * np.clip(v + 1.0, 0.0, 2.0),
        _constant(1.0),
        lambda v, y: 0.5 * formulas.between(v, -1.0, 1.0),
    ),
    "sparse_sigmoid": Elementwise(
        lambda v: 0.5 * np.clip(v + 1.0, 0.0, 2.0),
        lambda v, y: 0.5 * formulas.between(v, -1.0, 1.0),
        _constant(0.5),
        kinks=lambda: ((-1.0, 0.5), (1.0, -0.5)),
    ),
    "tanh_shrink": Elementwise(
        lambda v: v - np.tanh(v),
        lambda v, y: np.tanh(v) ** 2,
        _constant(1.0),
        lambda v, y: 2.0 * np.tanh(v) * (1.0 - np.tanh(v) ** 2),
        turns=(0.0,),
    ),
    "threshold": Elementwise(
        lambda v, threshold, value: np.where(v > threshold, v, value),
        lambda v, y, threshold, value: (v > threshold).astype(v.dtype),
        lambda threshold, value: 1.0 if value == threshold else None,
        kinks=lambda threshold, value: ((threshold, 1.0),) if value == threshold else (),
        parameters=(FINITE, FINITE),
    ),
}
