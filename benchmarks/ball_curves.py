"""Activations in balls: bands around them, sectors of their chords and parabolas below them, each of them proved."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flint import arb

from bea.networks.layers import Activation
from benchmarks.balls import floats


@dataclass(frozen=True)
class Curve:
    """An activation with two derivatives, functions of balls.

    Attributes
    ----------
    value, slope, bend : functions of a ball
        f, f' and f''; at a kink f' is that from the left, f'' is zero.
    turns : function of a ball
        Where f' is so much, or jumps over it.
    """

    name: str
    value: Callable[[arb], arb]
    slope: Callable[[arb], arb]
    bend: Callable[[arb], arb]
    turns: Callable[[arb], list[arb]]

    @classmethod
    def of(cls, activation: Activation):
        """Return that of an activation."""
        return CURVES[activation.name](arb(activation.parameter or 0.0))

    def peak(self, sign: int) -> arb | None:
        """Return where ``sign f''`` is least; it falls before and rises behind. None if ``sign f`` is convex."""
        if self.name in ("tanh", "sigmoid"):
            return sign * (arb(1) / 3).sqrt().atanh() * (2 if self.name == "sigmoid" else 1)
        return arb(0) if sign < 0 and self.name in ("relu", "smooth_relu") else None


def _linear(_):
    return Curve("linear", lambda v: v, lambda v: arb(1), lambda v: arb(0), lambda slope: [])


def _relu(_):
    def slope(v):
        return arb(1) if v > 0 else arb(0) if v <= 0 else arb(0.5, 0.5)

    return Curve("relu", lambda v: v.max(arb(0)), slope, lambda v: arb(0), lambda slope: [arb(0)])


def _smooth_relu(a):
    def length(v):
        return (v * v + a * a).sqrt()

    def turns(slope):
        return [a * (2 * slope - 1) / (2 * (slope * (1 - slope)).sqrt())] if 0 < slope < 1 else []

    return Curve(
        "smooth_relu",
        lambda v: (v + length(v)) / 2,
        lambda v: (1 + v / length(v)) / 2,
        lambda v: a * a / (2 * length(v) ** 3),
        turns,
    )


def _tanh(_):
    def turns(slope):
        turn = (1 - slope).sqrt().atanh() if 0 < slope < 1 else None
        return [turn, -turn] if turn is not None else []

    return Curve("tanh", lambda v: v.tanh(), lambda v: v.sech() ** 2, lambda v: -2 * v.tanh() * v.sech() ** 2, turns)


def _sigmoid(_):
    tanh = _tanh(_)
    return Curve(
        "sigmoid",
        lambda v: (1 + tanh.value(v / 2)) / 2,
        lambda v: tanh.slope(v / 2) / 4,
        lambda v: tanh.bend(v / 2) / 8,
        lambda slope: [2 * turn for turn in tanh.turns(4 * slope)],
    )


CURVES = {"linear": _linear, "relu": _relu, "smooth_relu": _smooth_relu, "sigmoid": _sigmoid, "tanh": _tanh}


def band(curve: Curve, low: arb, high: arb, slope: arb) -> tuple[arb, arb]:
    """Return (offset, half) such that ``|f(v) - slope v - offset| ≤ half`` where low ≤ v ≤ high."""
    places = [low, high, *(turn for turn in curve.turns(slope) if not (turn < low or turn > high))]
    gaps = [curve.value(v) - slope * v for v in places]
    top, bottom = gaps[0], gaps[0]
    for gap in gaps[1:]:
        top, bottom = top.max(gap), bottom.min(gap)
    return (top + bottom) / 2, (top - bottom) / 2


def sector(curve: Curve, at: arb, low: arb, high: arb) -> tuple[arb, arb]:
    """Return (middle, half), exact: the slopes of all chords of f from a number to those of a range are within them.

    The chords' slopes are means of f' between both points. Where f' is monotone they are so, too; where it has one
    maximum they have no minimum inside, and are no larger than f' is between the points.
    """
    slopes = [curve.slope(at)]
    for end in (low, high):
        apart = end - at
        decided = apart > 0 or apart < 0
        slopes.append((curve.value(end) - curve.value(at)) / apart if decided else curve.slope(at.union(end)))
    bottom = slopes[0].min(slopes[1]).min(slopes[2])
    if curve.name in ("tanh", "sigmoid"):
        left, right = low.min(at.lower()), high.max(at.upper())
        slopes.append(curve.slope(arb(0)) if left <= 0 <= right else curve.slope(left).max(curve.slope(right)))
    top = slopes[0]
    for slope in slopes[1:]:
        top = top.max(slope)
    middle = arb(float((top + bottom) / 2))
    return middle, (top - middle).max(middle - bottom).upper()


def excess(curve: Curve, sign: int, t: arb, slope: arb, c: arb, p: arb, low: arb, high: arb) -> arb:
    """Return by how much ``sign (f(t) + slope (u - t)) - c (u - t)²`` exceeds ``sign f(u)`` at most, low ≤ u ≤ high.

    ψ is their difference, ``sign f'' + 2 c`` its second derivative. With 2 c at least ``-sign f''(t)``, ψ is convex
    with the minimum zero at t on this side of the peak of ``-sign f''``; towards the end beyond it is concave and
    then, from some point on, convex again. There it is above its tangent at p, wherever p is, and where it is concave
    above the lesser of its values at both sides.
    """
    peak = curve.peak(sign)
    if peak is None:
        return arb(0)

    def psi(u):
        return sign * (curve.value(u) - curve.value(t) - slope * (u - t)) + c * (u - t) ** 2

    before = t <= peak
    end = high if before else low
    worst = psi(end)
    if not (end <= peak if before else end >= peak) and not sign * curve.bend(end) + 2 * c < 0:
        behind = p > peak if before else p < peak
        if not (behind and sign * curve.bend(p) + 2 * c >= 0):
            p = end
        tangent = sign * (curve.slope(p) - slope) + 2 * c * (p - t)
        worst = worst.min(psi(p) + (tangent * (t - p)).min(tangent * (end - p)))
    return (-worst).max(arb(0)).upper()


@dataclass(frozen=True, eq=False)
class Parabolas:
    """``w f(u) ≥ value + slope (u - t) - c (u - t)²`` for many w and ranges of u, lists of balls."""

    t: list[arb]
    value: list[arb]
    slope: list[arb]
    c: list[arb]


def parabolas(activation: Activation, weight: list[arb], at, low: list[arb], high: list[arb], push: float) -> Parabolas:
    """Return parabolas below functions ``weight f(u)`` where low ≤ u ≤ high, weight, low and high exact.

    They touch at or near ``at`` (float64), as ``bea.bounds.minorants`` says. Where the bend that was found is too
    little, the parabola is lower by so much.
    """
    curve = Curve.of(activation)
    ends = floats(low), floats(high)
    sign = np.where(floats(weight) < 0.0, -1, 1)
    touch, bend, near = choices(activation, sign, at, *ends, push)
    found = Parabolas([], [], [], [])
    for w, s, a, b, t, c, p in zip(weight, sign.tolist(), low, high, touch, bend, near, strict=True):
        t, size = arb(t), abs(w)
        slope = arb(1) if activation.name == "relu" and t == 0 and a >= 0 else curve.slope(t)
        c = arb(c).max((-s * curve.bend(t) / 2).upper()) if curve.peak(s) is not None else arb(0)
        lower = excess(curve, s, t, slope, c, arb(p), a, b)
        found.t.append(t)
        found.value.append(w * curve.value(t) - size * lower)
        found.slope.append(w * slope)
        found.c.append(size * c)
    return found


def choices(activation: Activation, sign, at, low, high, push) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return t, c and p, in float64 and proving nothing: where to touch, how much to bend, where ψ is least."""
    bent, odd = activation.name in ("relu", "smooth_relu"), activation.name in ("tanh", "sigmoid")
    t = np.clip(at, low, high)
    if bent:
        across = (sign < 0) & (low < 0.0) & (high > 0.0)
        away = np.minimum(np.hypot(t, max(push, 1e-3) * (high - low) / 2), np.maximum(high, -low))
        side = np.where(away > np.minimum(high, -low), np.where(high + low >= 0.0, 1.0, -1.0), np.where(t >= 0, 1, -1))
        t = np.where(across, side * away, t)
    peak = sign * np.arctanh(3.0**-0.5) * (2.0 if activation.name == "sigmoid" else 1.0) if odd else np.zeros_like(t)
    end = np.where(t <= peak, high, low)
    function = activation.forward
    value, slope = function(t), activation.slope(t, function(t))

    def quotient(u):
        far = np.abs(u - t) > 1e-5
        apart = np.where(far, u - t, 1.0)
        return np.where(far, -sign * (function(u) - value - slope * apart) / apart**2, -sign * _bend(activation, t) / 2)

    # Golden sections: the quotient has one maximum between t and the end.
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    left, right = t, end
    for _ in range(45):
        width = ratio * (right - left)
        first, second = right - width, left + width
        fall = quotient(first) > quotient(second)
        left, right = np.where(fall, left, first), np.where(fall, second, right)
    p = (left + right) / 2
    p = np.where(quotient(end) >= quotient(p), end, p)
    c = np.maximum(np.maximum(quotient(p), -sign * _bend(activation, t) / 2), 0.0)
    for _ in range(3):  # to where ψ is least
        rise = sign * (activation.slope(p, function(p)) - slope) + 2.0 * c * (p - t)
        curvature = sign * _bend(activation, p) + 2.0 * c
        step = np.where(curvature > 0.0, rise / np.where(curvature > 0.0, curvature, 1.0), 0.0)
        p = np.clip(p - step, np.minimum(t, end), np.maximum(t, end))
    return t, c, p


def _bend(activation, v):
    y, a = activation.forward(v), activation.parameter
    if activation.name == "tanh":
        return -2.0 * y * (1.0 - y * y)
    if activation.name == "sigmoid":
        return y * (1.0 - y) * (1.0 - 2.0 * y)
    return a * a / (2.0 * np.hypot(v, a) ** 3) if activation.name == "smooth_relu" else np.zeros_like(v)
