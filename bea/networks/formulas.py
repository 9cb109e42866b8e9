"""Formulas of elementwise functions that need more than a line, without overflow and cancellation."""

import math

import numpy as np

from bea.networks.activations import ACTIVATIONS


def sigmoid(v):
    """Return σ(v)."""
    return ACTIVATIONS["sigmoid"][0](v)


def bell(v):
    """Return σ'(v) = σ(v) σ(-v)."""
    return sigmoid(v) * sigmoid(-v)


def distribution(v):
    """Return Φ(v), the distribution function of the normal distribution."""
    from scipy.special import ndtr  # here, as a network without it need not wait for SciPy

    return ndtr(v)


def density(v):
    """Return φ(v), the density of the normal distribution; zero in float64 beyond 40."""
    return np.exp(-0.5 * np.clip(v, -40.0, 40.0) ** 2) / math.sqrt(2.0 * math.pi)


def softplus(v):
    """Return log(1 + exp(v))."""
    return np.maximum(v, 0.0) + np.log1p(np.exp(-np.abs(v)))


def between(v, low, high):
    """Return 1 between two numbers and 0 elsewhere."""
    return ((v > low) & (v < high)).astype(v.dtype)


def gelu_argument(v):
    """Return u, u' and u'' with ``v σ(u)`` the approximate gelu; beyond 100 σ(u) is 0 or 1 in float64."""
    v, c = np.clip(v, -100.0, 100.0), 2.0 * math.sqrt(2.0 / math.pi)
    return c * (v + 0.044715 * v**3), c * (1.0 + 0.134145 * v * v), c * 0.26829 * v


def gelu_tanh_slope(v, y):
    """Return the derivative of ``v σ(u)``."""
    u, first, _ = gelu_argument(v)
    return sigmoid(u) + v * (bell(u) * first)


def gelu_tanh_bend(v, y):
    """Return its second derivative."""
    u, first, second = gelu_argument(v)
    return bell(u) * (2.0 * first + v * ((1.0 - 2.0 * sigmoid(u)) * first**2 + second))


def mish_parts(v):
    """Return t = tanh(softplus(v)) and 1 - t, both without cancellation."""
    e = np.exp(-np.abs(v))
    right = 1.0 + 2.0 * e + 2.0 * e * e
    left = e * e + 2.0 * e + 2.0
    return np.where(v > 0.0, (1.0 + 2.0 * e) / right, (e * e + 2.0 * e) / left), np.where(
        v > 0.0, 2.0 * e * e / right, 2.0 / left
    )


def mish_slope(v, y):
    """Return the derivative of ``v tanh(softplus(v))``."""
    t, rest = mish_parts(v)
    return t + v * (rest * (1.0 + t) * sigmoid(v))


def mish_bend(v, y):
    """Return its second derivative."""
    t, rest = mish_parts(v)
    s = sigmoid(v)
    first = rest * (1.0 + t) * s
    return 2.0 * first + v * (first * (sigmoid(-v) - 2.0 * t * s))


def exponential_left(v, alpha):
    """Return α exp(v) left of zero, 1 right of it."""
    return np.where(v > 0.0, 1.0, alpha * np.exp(np.minimum(v, 0.0)))


def hard_sigmoid(v):
    """Return ``relu6(v + 3)/6``."""
    return np.clip(v + 3.0, 0.0, 6.0) / 6.0


def clipped_relu(v, slope, threshold, largest):
    """Return ``min(v, largest)`` from the threshold on, and ``slope (v - threshold)`` left of it."""
    return np.where(v >= threshold, np.minimum(v, largest), slope * (v - threshold))


def softsign_slope(v):
    """Return ``1/(1 + |v|)²``."""
    return (1.0 / (1.0 + np.abs(v))) ** 2
