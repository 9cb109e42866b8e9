"""Training of several networks of two layers at once: the same images pass all of them, in one product of matrices."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from bea.networks.layers import Dense
from bea.networks.network import Network
from lab.datasets import Dataset

DECAY, SQUARES, TINY = 0.9, 0.999, 1e-7  # Keras' defaults for Adam


def with_small_outputs(
    nets: Mapping[str, Network],
    data: Dataset,
    penalties,
    *,
    rates,
    batch_size: int,
    images: int | None = None,
    seed: int = 0,
) -> dict[str, Network]:
    """Train tanh-tanh networks further with Adam, in single precision, so that their outputs are not saturated.

    Minimises, each network for itself, the mean over the images of the cross-entropy of softmax(y), with outputs
    ``y = tanh z``, plus ``½ c ‖z‖²``: paper B's training but for the penalty c on the last pre-activations z.

    Parameters
    ----------
    nets : mapping of str to Network
        Of two dense layers with biases and a tanh after each, all of one shape.
    data : Dataset
    penalties : sequence of float
        c of every network, not negative.
    rates : sequence of float
        Adam's learning rate, one an epoch.
    batch_size : int
    images : int, optional
        Training images at most.
    seed : int
        Fixes the order of the images, the same for all networks.

    Returns
    -------
    dict of str to Network

    Raises
    ------
    ValueError
        Where there is not one penalty a network, or one is negative.
    """
    c = np.array(penalties, dtype=np.float32)
    if c.shape != (len(nets),) or not (c >= 0).all():
        raise ValueError(f"penalties: expected {len(nets)} numbers from 0 on, received {penalties!r}")
    x, labels = data.x_train[:images].reshape(len(data.x_train[:images]), -1), data.y_train[:images]
    theta = _stacked(list(nets.values()))
    moments, squares = ([np.zeros_like(part) for part in theta] for _ in range(2))
    rng, step = np.random.default_rng(seed), 0
    with threadpool_limits(1, "blas"):
        for rate in rates:
            order = rng.permutation(len(x))
            for start in range(0, len(x), batch_size):
                chosen, step = order[start : start + batch_size], step + 1
                size = rate * np.sqrt(1 - SQUARES**step) / (1 - DECAY**step)
                gradients = _gradients(theta, x[chosen], labels[chosen], c)
                for part, g, m, v in zip(theta, gradients, moments, squares, strict=True):
                    m += (1 - DECAY) * (g - m)
                    np.multiply(g, g, out=g)
                    v += (1 - SQUARES) * (g - v)
                    part -= np.float32(size) * m / (np.sqrt(v) + np.float32(TINY))
    return dict(zip(nets, _apart(theta, list(nets.values())), strict=True))


def _gradients(theta, x, labels, c):
    """Return the derivatives of the loss of every network for one batch of images (n, pixels)."""
    A1, b1, A2, b2 = theta
    networks, units, _ = A2.shape
    h = np.tanh(x @ A1 + b1).reshape(len(x), networks, units).swapaxes(0, 1)
    z = h @ A2 + b2[:, None]
    y = np.tanh(z)
    powers = np.exp(y)  # at most e
    dy = powers / powers.sum(axis=2, keepdims=True)
    dy[:, np.arange(len(x)), labels] -= 1
    dz = (dy * (1 - y * y) + c[:, None, None] * z) / np.float32(len(x))
    dh = ((dz @ A2.swapaxes(1, 2)) * (1 - h * h)).swapaxes(0, 1).reshape(len(x), -1)
    return x.T @ dh, dh.sum(axis=0), h.swapaxes(1, 2) @ dz, dz.sum(axis=1)


def _stacked(nets: list[Network]) -> list[np.ndarray]:
    """Return the first layers side by side, their biases, the second layers one behind another, their biases."""
    first, second = ([net.weighted[k].matrix.T.astype(np.float32) for net in nets] for k in (0, 1))
    return [
        np.hstack([matrix[:-1] for matrix in first]),
        np.hstack([matrix[-1] for matrix in first]),
        np.stack([matrix[:-1] for matrix in second]),
        np.stack([matrix[-1] for matrix in second]),
    ]


def _apart(theta, nets: list[Network]) -> list[Network]:
    """Return the networks with the stacked weights put in."""
    A1, b1, A2, b2 = theta
    first = np.split(np.vstack([A1, b1]).T.astype(float), len(nets))
    second = np.concatenate([A2, b2[:, None]], axis=1).swapaxes(1, 2).astype(float)
    found = []
    for net, *matrices in zip(nets, first, second, strict=True):
        left = iter(matrices)
        layers = [layer.with_matrix(next(left)) if isinstance(layer, Dense) else layer for layer in net.layers]
        found.append(replace(net, layers=tuple(layers)))
    return found
