"""What a network is given: images of its shape and range, and classes that it has."""

import numpy as np


def check_images(x, shape, limits, name="x") -> np.ndarray:
    """Return ``x`` as a float64 batch ``(n, *shape)`` of pixels within ``limits``, or raise ``ValueError``."""
    if np.iscomplexobj(x):
        raise ValueError(f"{name}: expected real pixels, received complex ones")
    x = np.asarray(x, dtype=float)
    if x.shape[1:] != shape or x.ndim != len(shape) + 1:
        raise ValueError(f"{name}: expected a batch of shape (n, {str(shape)[1:]}, received {x.shape}")
    if not x.size:
        return x
    smallest, largest = x.min(), x.max()  # NaN if there is one
    if not np.isfinite([smallest, largest]).all():
        raise ValueError(f"{name}: expected finite pixels, received NaN or Inf in image {_first(~np.isfinite(x))}")
    low, high = limits or (-np.inf, np.inf)
    if smallest < low or largest > high:
        raise ValueError(
            f"{name}: expected pixels between {low:g} and {high:g}, "
            f"received values from {smallest:g} to {largest:g} (first in image {_first((x < low) | (x > high))})"
        )
    return x


def check_classes(values, n, classes, name) -> np.ndarray:
    """Return ``values`` as n of so many classes, one an image; or raise ``TypeError`` or ``ValueError``."""
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"{name}: expected integers, received {values.dtype}")
    if values.shape != (n,):
        raise ValueError(f"{name}: expected shape {(n,)}, one class an image, received {values.shape}")
    if values.size and not (values.min() >= 0 and values.max() < classes):
        raise ValueError(f"{name}: expected classes from 0 to {classes - 1}, received {values.min()} to {values.max()}")
    return values.astype(np.intp)


def _first(mask) -> int:
    """Return the index of the first sample in which ``mask`` is true anywhere."""
    return int(np.argmax(mask.reshape(len(mask), -1).any(axis=1)))
