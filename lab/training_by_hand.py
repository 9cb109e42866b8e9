"""Trainings of the network written by hand, in a module of their own: they are remembered, and take minutes."""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from lab.by_hand import Weights, forward, train
from lab.datasets import Dataset


@dataclass(frozen=True, eq=False)
class Learnt:
    """One training: test accuracy after every epoch, and after some the weights and the accuracy on training images."""

    width: int
    curve: np.ndarray
    weights: dict[int, Weights]
    training: dict[int, float]


def learn(
    data: Dataset, *, width: int, seed: int, passes: int, rate: float, batch_size: int, a: float, images: int, kept=()
) -> Learnt:
    """Train one network of two hidden layers on the first ``images``; ``kept`` are the epochs to keep it after."""
    x, y = data.x_train[:images].reshape(len(data.x_train[:images]), -1), data.y_train[:images]
    tests, few = pixels_of(data.x_test, data.y_test), len(data.x_test)
    way = {"epochs": passes, "rate": rate, "batch_size": batch_size, "a": a, "seed": seed}
    curve, weights, training = [], {}, {}
    with threadpool_limits(1, "blas"):  # the matrices are small, and threads would wait for each other
        for epoch, now in enumerate(train([width, width], x, y, **way), start=1):
            curve.append(_accuracy(now, a, *tests))
            if epoch in kept:
                weights[epoch], training[epoch] = now, _accuracy(now, a, x[:few], y[:few])
    return Learnt(width, np.array(curve), weights, training)


def pixels_of(images, labels, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the first images as rows of float64, and their labels."""
    return images[:most].reshape(len(images[:most]), -1).astype(float), labels[:most]


def _accuracy(weights: Weights, a, x, y) -> float:
    parts = np.split(x, range(500, len(x), 500))  # blocks that stay in the cache
    return np.mean(np.concatenate([forward(weights, part, a)[1][-1].argmax(axis=1) for part in parts]) == y)
