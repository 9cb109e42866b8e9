"""Global pooling: one number for every channel, whatever the size of the image."""

import math
from dataclasses import dataclass

import numpy as np

from bea.networks.layers import Layer


@dataclass(frozen=True)
class GlobalPool(Layer):
    """What the global poolings share: (…, channels) becomes (channels,)."""

    def output_shape(self, shape):
        if len(shape) < 2:
            raise ValueError(f"input: expected shape (…, channels), received {shape}")
        return shape[-1:]


class GlobalAveragePool(GlobalPool):
    """The mean of every channel over all positions."""

    def forward(self, y):
        return lines(y).mean(axis=1)

    def pull_back(self, rows, y, output):
        share = rows / math.prod(y.shape[1:-1])
        share = share.reshape(*rows.shape[:2], *(1,) * (y.ndim - 2), y.shape[-1])
        return np.broadcast_to(share, (*rows.shape[:2], *y.shape[1:]))

    def push_forward(self, dy, y, output):
        return self.forward(dy)


class GlobalMaxPool(GlobalPool):
    """The largest entry of every channel over all positions; of equal ones the first counts, as in ``MaxPool``."""

    def forward(self, y):
        return lines(y).max(axis=1)

    def pull_back(self, rows, y, output):
        entries = lines(y)
        first = np.arange(entries.shape[1])[:, None] == entries.argmax(axis=1)[:, None]
        return (rows[:, :, None] * first[:, None]).reshape(len(y), rows.shape[1], *y.shape[1:])

    def push_forward(self, dy, y, output):
        return np.take_along_axis(lines(dy), lines(y).argmax(axis=1)[:, None], 1)[:, 0]


def lines(y):
    """Return a batch (n, …, channels) as (n, positions, channels)."""
    return y.reshape(len(y), math.prod(y.shape[1:-1]), y.shape[-1])
