"""Assumption 4.3 of paper P, ``z(X + R) ≤ z(X) + z(R)`` for pooling: whether it holds, and what follows from it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bea import Network
from bea.attacks import fgsm
from bea.networks.windows import MaxPool
from bea.numerics.arrays import image_norms

ROUNDING = 1e-12  # of the largest entry: X + R is rounded
TESTS = ("assumption", "grows", "moves", "norm_grows", "norm_moves", "lipschitz")


def movements(net: Network, x, labels, *, epsilon: float) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return what enters each pooling of maxima, and how far a sign step of ε moves it.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape), labels : int array (n,)
    epsilon : float
        In units of the pixels.

    Returns
    -------
    dict
        Number of the layer → X, R, each of shape (n, height, width, channels).
    """
    before = net.trace(x)
    after = net.trace(x + fgsm(net, x, labels, epsilon).dx)
    places = [k for k, layer in enumerate(net.layers) if isinstance(layer, MaxPool)]
    return {k: (before[k], after[k] - before[k]) for k in places}


def tests(layer: MaxPool, X, R) -> dict[str, np.ndarray]:
    """Test the assumption, and what a proof would like to conclude, on every window or image.

    Parameters
    ----------
    layer : MaxPool
    X, R : arrays (n, height, width, channels)

    Returns
    -------
    dict of bool arrays
        A window each: "assumption", ``z(X + R) ≤ z(X) + z(R)``; "grows", ``|z(X + R)| ≤ |z(X)| + |z(R)|``; "moves",
        ``|z(X + R) - z(X)| ≤ |z(R)|``. An image each: "norm_grows" and "norm_moves", the same with Frobenius norms of
        all windows; "lipschitz", ``‖Z(X + R) - Z(X)‖ ≤ ‖R‖``.
    """
    a, b, c = layer.forward(X), layer.forward(R), layer.forward(X + R)
    slack = ROUNDING * max(np.abs(X).max(initial=0), np.abs(R).max(initial=0))
    all_slack = slack * np.sqrt(a[0].size) if len(a) else slack
    return {
        "assumption": c <= a + b + slack,
        "grows": np.abs(c) <= np.abs(a) + np.abs(b) + slack,
        "moves": np.abs(c - a) <= np.abs(b) + slack,
        "norm_grows": image_norms(c) <= image_norms(a) + image_norms(b) + all_slack,
        "norm_moves": image_norms(c - a) <= image_norms(b) + all_slack,
        "lipschitz": image_norms(c - a) <= image_norms(R) + all_slack,
    }


def how_often(nets: Mapping[str, Network], x, labels, *, epsilon: float) -> pd.DataFrame:
    """Count how often each of ``TESTS`` holds in trained networks, for the movement by a sign step.

    Returns
    -------
    DataFrame, one row a network and pooling: ``net``, ``pooling`` (from 1), ``windows`` (over all images), and the
    share of windows or images in which each test holds.
    """
    rows = []
    for name, net in nets.items():
        for number, (k, (X, R)) in enumerate(movements(net, x, labels, epsilon=epsilon).items(), start=1):
            found = tests(net.layers[k], X, R)
            row = {"net": name, "pooling": number, "windows": found["moves"].size}
            rows.append(row | {key: found[key].mean() for key in TESTS})
    return pd.DataFrame(rows)


def cloud(net: Network, x, labels, *, epsilon: float, most: int) -> pd.DataFrame:
    """Return ``own``, z(R), and ``moved``, z(X + R) - z(X), for windows of the first pooling, evenly picked."""
    k, (X, R) = next(iter(movements(net, x, labels, epsilon=epsilon).items()))
    own, moved = net.layers[k].forward(R).ravel(), (net.layers[k].forward(X + R) - net.layers[k].forward(X)).ravel()
    some = np.linspace(0, len(own) - 1, most).astype(int)
    return pd.DataFrame({"own": own[some], "moved": moved[some]})


def smallest_case() -> dict[str, float]:
    """Return a window of two entries, (1, 0), and a change, (-1, 0), for which the maximum moves and z(R) does not."""
    X, R = np.array([1.0, 0.0]).reshape(1, 1, 2, 1), np.array([-1.0, 0.0]).reshape(1, 1, 2, 1)
    a, b, c = (float(MaxPool((1, 2)).forward(values).item()) for values in (X, R, X + R))
    return {"before": a, "after": c, "moved": abs(c - a), "own": b}
