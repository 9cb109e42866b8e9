"""Shapes and norms of batches."""

import math

import numpy as np


def column(values, like) -> np.ndarray:
    """Reshape one number a sample, or a single one, so that it multiplies a batch of arrays."""
    return np.reshape(values, (-1,) + (1,) * (like.ndim - 1))


def read_only(name, value, what) -> np.ndarray:
    """Return a read-only copy in float64, or raise ``ValueError`` for what is complex or not finite."""
    if np.iscomplexobj(value):
        raise ValueError(f"{name}: expected real {what}, received complex ones")
    array = np.array(value, dtype=float)
    if not np.isfinite(array).all():
        bad = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise ValueError(f"{name}: expected finite {what}, received {array[bad]} at {bad}")
    array.flags.writeable = False
    return array


def flat(y, keep=1) -> np.ndarray:
    """Reshape all axes but the first ``keep`` ones to a single one; empty batches have no ``-1``."""
    return y.reshape(*y.shape[:keep], math.prod(y.shape[keep:]))


def image_norms(x) -> np.ndarray:
    """Return the Euclidean norm of every image of a batch (n, …), (n,)."""
    pixels = x.reshape(len(x), math.prod(x.shape[1:]))
    return np.sqrt(np.vecdot(pixels, pixels))
