"""Elementwise functions with their first and second derivatives, and the softmax."""

import numpy as np

# f and f', the latter written in terms of (v, f(v)); all of them act elementwise.
ACTIVATIONS = {
    "linear": (lambda v: v, lambda v, y: np.ones_like(v)),
    "relu": (lambda v: np.maximum(v, 0.0), lambda v, y: (v > 0.0).astype(v.dtype)),
    "sigmoid": (lambda v: np.exp(np.minimum(v, 0.0)) / (1.0 + np.exp(-np.abs(v))), lambda v, y: y * (1.0 - y)),
    "tanh": (np.tanh, lambda v, y: 1.0 - y * y),
}


def _smooth_relu(v, a):
    # The two roots of t² - v t = a²/4 have the product -a²/4, and the one without cancellation gives the other.
    larger = v * v
    larger += a * a
    np.sqrt(larger, out=larger)
    larger += np.abs(v)
    larger *= 0.5
    return np.where(v < 0.0, 0.25 * a * a / larger, larger)


# The same with a parameter a > 0. f = (v + √(v² + a²))/2 has the derivative f/√(v² + a²), and is relu for a = 0.
PARAMETRIC = {"smooth_relu": (_smooth_relu, lambda v, y, a: y / np.sqrt(v * v + a * a))}


# Those that never fall, whose slope is least at an end of any interval, and largest at an end or at zero.
BELL_SHAPED = (*ACTIVATIONS, *PARAMETRIC)


def softmax(v) -> np.ndarray:
    """Return ``exp(v_k) / Σ_j exp(v_j)``, the probabilities of the classes, (n, classes)."""
    powers = np.exp(v - v.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _smooth_relu_bend(v, a):
    # a²/(2 s³) with s = √(v² + a²), whose cube would overflow.
    length = np.hypot(v, a)
    return 0.5 * (a / length) ** 2 / length


# f'' in terms of (v, f(v), a) where it is not zero; relu has none, its kink left aside.
SECOND = {
    "sigmoid": lambda v, y, a: y * (1.0 - y) * (1.0 - 2.0 * y),
    "smooth_relu": lambda v, y, a: _smooth_relu_bend(v, a),
    "tanh": lambda v, y, a: -2.0 * y * (1.0 - y * y),
}
