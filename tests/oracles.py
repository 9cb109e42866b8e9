"""The naive formulas that the tests compare `bea` with: one sample at a time, every matrix written out."""

import math

import numpy as np
from hypothesis import settings
from scipy.optimize import minimize, nnls

from bea import Activation, Dense, Flatten, Network

# The same examples in every run, nothing stored in the tree, no assertion on time.
PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=60)

# Widths and activations of the weighted layers but the last, over images of shape (2, 3).
HIDDEN = {
    "one": [],
    "two": [(5, "tanh")],
    "two-relu": [(6, "relu")],
    "three": [(7, "sigmoid"), (5, "relu")],
    "three-linear": [(6, "linear"), (4, "tanh")],
}

FUNCTIONS = {
    "linear": (lambda v: v, lambda v: np.ones_like(v)),
    "relu": (lambda v: np.where(v > 0, v, 0.0), lambda v: np.where(v > 0, 1.0, 0.0)),
    "sigmoid": (lambda v: 1 / (1 + np.exp(-v)), lambda v: 1 / (2 + np.exp(v) + np.exp(-v))),
    "tanh": (lambda v: np.sinh(v) / np.cosh(v), lambda v: 1 / np.cosh(v) ** 2),
}


def random_network(rng, hidden=(), classes=4, input_shape=(2, 3), bias=True, **options) -> Network:
    """Return a network with Gaussian weights of unit-sized pre-activations."""
    layers, columns = [Flatten()] if len(input_shape) > 1 else [], math.prod(input_shape)
    for width, activation in [*hidden, (classes, None)]:
        layers.append(Dense(rng.standard_normal((width, columns + bias)) / math.sqrt(columns), bias))
        if activation is not None:
            layers.append(Activation(activation))
        columns = width
    return Network(tuple(layers), input_shape, **options)


def random_images(rng, net, n):
    """Return a batch of images in [0, 1)."""
    return rng.random((n, *net.input_shape))


def expand(net, image):
    """Return the logits, all h_{i-1}, all S_i and J of one image, from products of explicit matrices."""
    y, hs, tails = image.reshape(-1), [], []
    jacobian = np.eye(len(y))
    for layer in net.layers:
        if isinstance(layer, Dense):
            h = np.append(y, 1.0) if layer.bias else y
            hs.append(h)
            step, y = layer.matrix[:, : len(y)], layer.matrix @ h
        elif isinstance(layer, Activation):
            function, derivative = FUNCTIONS[layer.name]
            step, y = np.diag(derivative(y)), function(y)
        else:
            continue
        tails = [step @ tail for tail in tails]
        if isinstance(layer, Dense):
            tails.append(np.eye(len(y)))
        jacobian = step @ jacobian
    return y, hs, tails, jacobian


def explicit_map(net, image, on, relative=False):
    """Return 𝒜 of one image with Kronecker products, and the scale of every unknown (rows of ΔA_i, then Δx)."""
    _, hs, sensitivities, jacobian = expand(net, image)
    blocks, scales = [], []
    if on != "input":
        for layer, S, h in zip(net.weighted, sensitivities, hs, strict=True):
            blocks.append(np.kron(S, h[None]))
            scales.append(np.full(blocks[-1].shape[1], np.sqrt(np.sum(layer.matrix**2)) if relative else 1.0))
    if on != "weights":
        blocks.append(jacobian)
        scales.append(np.full(jacobian.shape[1], np.sqrt(np.sum(image**2)) if relative else 1.0))
    return np.hstack(blocks), np.concatenate(scales)


def unknowns(perturbation, i):
    """Return θ of sample i, in the order of the columns of ``explicit_map``."""
    parts = [np.outer(pair[0][i], pair[1][i]).ravel() for pair in perturbation.dA if pair is not None]
    if perturbation.dx is not None:
        parts.append(perturbation.dx[i].ravel())
    return np.concatenate(parts)


def relative_error(found, expected):
    """Return ‖found - expected‖ / ‖expected‖ over all entries."""
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def least_distance(G, c):
    """Smallest θ with G θ ≥ c by Lawson and Hanson's reduction to NNLS, or None when there is none."""
    E = np.vstack([G.T, c])
    u, length = nnls(E, np.append(np.zeros(G.shape[1]), 1.0), maxiter=1000)
    residual = E @ u
    residual[-1] -= 1.0
    return None if length < 1e-7 else -residual[:-1] / residual[-1]


def slsqp(G, c, start):
    """Smallest θ with G θ ≥ c by SciPy's sequential quadratic programming; None when it reports failure."""
    result = minimize(
        lambda theta: 0.5 * theta @ theta,
        start,
        jac=lambda theta: theta,
        constraints={"type": "ineq", "fun": lambda theta: G @ theta - c, "jac": lambda theta: G},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return result.x if result.success else None
