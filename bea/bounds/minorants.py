"""Straight lines and parabolas around the activations, on the range that their input has in a ball.

``bea.bounds.ball_dense`` makes its bounds of them: ``band`` serves step D1, ``minorant`` D2 and ``sector`` D3. Every
constant is in closed form: the largest quotient of what an activation leaves over its tangent, by the square of the
step, is attained at one known place for each of them.
"""

import numpy as np

ROUNDING = 1e-11
BENT = ("relu", "smooth_relu")  # convex, one with a kink, one rounded off


def band(activation, low, high, slope):
    """Return (offset, half) such that ``|f(v) - slope v - offset| ≤ half`` where low ≤ v ≤ high.

    f(v) - slope v is extreme at an end or where f' is the slope.
    """
    turns = [np.clip(turn, low, high) for turn in _turns(activation, slope)]
    gaps = np.stack([activation.forward(v) - slope * v for v in (low, high, *turns)])
    top, bottom = gaps.max(axis=0), gaps.min(axis=0)
    half = (top - bottom) / 2
    return (top + bottom) / 2, half + ROUNDING * (np.abs(gaps).max(axis=0) + np.abs(slope) * (high - low))


def _turns(activation, slope):
    """Return where f' has the slope, or jumps over it."""
    name, a = activation.name, activation.parameter
    if name == "linear":
        return ()
    if name == "relu":
        return (np.zeros_like(slope),)
    if name == "smooth_relu":
        inner = np.clip(slope, 1e-15, 1.0 - 1e-15)
        return (a * (2.0 * inner - 1.0) / (2.0 * np.sqrt(inner * (1.0 - inner))),)
    # tanh' = 1 - tanh², and sigmoid(v) = (1 + tanh(v/2))/2.
    scale = 2.0 if name == "sigmoid" else 1.0
    turn = scale * np.arctanh(np.sqrt(np.clip(1.0 - scale**2 * slope, 0.0, 1.0 - 1e-15)))
    return turn, -turn


def chord_slope(activation, low, high):
    """Return the slope of the chord of f over a range, that of f in its middle where the range is short."""
    middle = (low + high) / 2
    width = high - low
    chord = (activation.forward(high) - activation.forward(low)) / np.maximum(width, 1e-6)
    return np.where(width > 1e-6, chord, slope_at(activation, middle))


def slope_at(activation, v):
    """Return f'(v)."""
    return activation.slope(v, activation.forward(v))


def minorant(activation, weight, v, low, high, push=0.0, convex=False):
    """Return (t, value, slope, c) with ``weight f(u) ≥ value + slope (u - t) - c (u - t)²`` where low ≤ u ≤ high.

    t is v, or for a ReLU, smooth or not, whose weight is negative, further from the kink: √(v² + σ²) away, σ being
    ``push`` times half the range. As c is about 1/(4 |t|), the gap at u is (|u| - |t|)²/(4 |t|), which is least in the
    mean for u that are v give or take σ. With ``push`` None t is v for these too, which must be no kink within the
    range. No c is negative unless with ``convex``, where the function may bend upwards all over the range.
    """
    t = np.clip(v, low, high)
    if activation.name in BENT and push is not None:
        push = max(push, 1e-3)  # at the kink itself c would be infinite
        # Further from it than the shorter side of the range: on the longer one.
        longer = np.where(high + low >= 0.0, 1.0, -1.0)
        distance = np.hypot(t, push * (high - low) / 2)
        distance = np.minimum(distance, np.maximum(high, -low))
        beyond = distance > np.minimum(high, -low)
        pushed = np.where(beyond, longer, np.where(t >= 0.0, 1.0, -1.0)) * distance
        t = np.where((weight < 0.0) & (low < 0.0) & (high > 0.0), pushed, t)
    y = activation.forward(t)
    slope = activation.slope(t, y)
    if activation.name == "relu":
        slope = np.where(low >= 0.0, 1.0, slope)  # also at zero
    bend = _bend(activation, np.sign(weight), t, low, high)
    if convex:
        bend = np.where(bend > 0.0, bend, np.minimum(_least_bend(activation, np.sign(weight), t, low, high), 0.0))
    c = np.abs(weight) * (bend * (1.0 + np.copysign(1e-9, bend)) + 1e-14)
    return t, weight * y, weight * slope, c * (weight != 0.0)


def _bend(activation, sign, t, low, high):
    """Return the largest ``- sign (f(u) - f(t) - f'(t) (u - t)) / (u - t)²`` where low ≤ u ≤ high, or 0 if it is less.

    As a function of u the quotient has one maximum, where the mean of f'(t) and f'(u) is the slope between t and u.
    """
    name = activation.name
    if name == "linear":
        return np.zeros_like(t)
    if name in BENT:
        # Convex, and that maximum is at u = -t.
        return np.where(sign < 0.0, _relu_quotient(t, np.clip(-t, low, high), activation.parameter or 0.0), 0.0)
    scale = 2.0 if name == "sigmoid" else 1.0  # sigmoid(v) = (1 + tanh(v/2))/2
    t, low, high = t / scale, low / scale, high / scale
    # tanh is odd: a minus in front is a minus inside, too.
    t, low, high = np.where(sign < 0.0, t, -t), np.where(sign < 0.0, low, -high), np.where(sign < 0.0, high, -low)
    step = np.clip(_tanh_step(t), low - t, high - t)
    return np.maximum(_tanh_quotient(t, step), 0.0) / (8.0 if name == "sigmoid" else 1.0)


def _least_bend(activation, sign, t, low, high):
    """Return the same where it is not positive: then it is largest at an end of the range, or at the one maximum."""
    name = activation.name
    if name in ("linear", "relu"):
        return np.zeros_like(t)
    if name in BENT:
        a = activation.parameter
        ends = np.minimum(_relu_quotient(t, low, a), _relu_quotient(t, high, a))
        return np.where(sign > 0.0, -ends, 0.0)
    scale = 2.0 if name == "sigmoid" else 1.0
    t, low, high = t / scale, low / scale, high / scale
    t, low, high = np.where(sign < 0.0, t, -t), np.where(sign < 0.0, low, -high), np.where(sign < 0.0, high, -low)
    steps = np.clip(_tanh_step(t), low - t, high - t), low - t, high - t
    return np.maximum.reduce([_tanh_quotient(t, step) for step in steps]) / (8.0 if name == "sigmoid" else 1.0)


def sector(activation, v, low, high):
    """Return (middle, half) such that the slope of every chord of f from v to a point of the range is within them.

    On a side of v these slopes are largest and smallest at its ends where f is convex. For tanh and sigmoid, whose
    chords have one maximum, only the smallest are at the ends, and f' bounds the largest.
    """
    y, here = activation.forward(v), slope_at(activation, v)
    slopes = [here]
    for end in (low, high):
        apart = np.abs(end - v) > 1e-6 * (1.0 + np.abs(v))
        chord = (activation.forward(end) - y) / np.where(apart, end - v, 1.0)
        slopes.append(np.where(apart, chord, slope_at(activation, end)))
    top, bottom = np.maximum.reduce(slopes), np.minimum.reduce(slopes)
    if activation.name in ("tanh", "sigmoid"):
        steepest = np.clip(np.zeros_like(v), np.minimum(low, v), np.maximum(high, v))
        top = np.maximum(top, slope_at(activation, steepest))
    return (top + bottom) / 2, (top - bottom) / 2 + 1e-9


def _relu_quotient(t, u, a):
    """Return (f(u) - f(t) - f'(t) (u - t)) / (u - t)² for the ReLU that is rounded off by a."""
    apart = np.where(u == t, 1.0, u - t) ** 2
    if a == 0.0:
        return np.where(t * u < 0.0, np.abs(u) / apart, 0.0)
    at_t, at_u = np.hypot(t, a), np.hypot(u, a)
    # Two forms of the same, as the first cancels where u is near t and the second where they are far apart.
    across = 0.5 * (at_u - at_t - t / at_t * (u - t)) / apart
    near = 0.5 * a * a / (at_t * np.maximum(at_u * at_t + a * a + t * u, a * a))
    return np.where(t * u < -a * a, across, near)


def _tanh_quotient(t, w):
    """Return (tanh(t + w) - tanh(t) - tanh'(t) w) / w²."""
    y, T = np.tanh(t), np.tanh(w)
    slope, safe = 1.0 - y * y, np.where(np.abs(w) > 0.5, w, 1.0)
    direct = (np.tanh(t + safe) - y - slope * safe) / (safe * safe)
    # With the addition theorem nothing cancels that would be divided by w².
    small = np.where(np.abs(w) > 0.5, 0.1, w)
    safe = np.where(np.abs(small) < 1e-3, 1.0, small)
    cubic = np.where(np.abs(small) < 1e-3, -small / 3.0, (T - safe) / (safe * safe))
    ratio = np.where(np.abs(small) < 1e-3, 1.0 - small * small / 3.0, T / safe)
    near = slope * (cubic - ratio * y) / np.where(np.abs(w) > 0.5, 1.0, 1.0 + T * y)
    return np.where(np.abs(w) > 0.5, direct, near)


def _tanh_steps():
    """Return a table of t and of the w at which the quotient of tanh is largest: ``t = -(arcosh Φ(w) + w)/2``.

    A derivative that vanishes says ``cosh(2t + w) = Φ(w) = (sinh w cosh w - w)/(w cosh w - sinh w)``, even in w.
    """
    size = np.concatenate([np.linspace(1e-3, 20.0, 8000), np.geomspace(20.0, 1e8, 8000)[1:]])
    middle = np.clip(size, 0.05, 20.0)
    phi = (np.sinh(middle) * np.cosh(middle) - middle) / (middle * np.cosh(middle) - np.sinh(middle))
    phi = np.where(size < 0.05, 2.0 + 0.2 * size * size, phi)
    angle = np.where(size < 20.0, np.arccosh(phi), size - np.log(np.maximum(size, 2.0) - 1.0))
    t = -(np.concatenate([angle[::-1], angle]) + np.concatenate([size[::-1], -size])) / 2
    return t, np.concatenate([size[::-1], -size])


_TANH_STEPS = _tanh_steps()


def _tanh_step(t):
    return np.interp(t, *_TANH_STEPS)
