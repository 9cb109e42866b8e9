"""Checks of numbers at the door: one clear error each."""

import numpy as np


def check_positive(name, value) -> None:
    """Raise ``ValueError`` unless the value is a single number, positive and finite."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not 0.0 < value < np.inf:
        raise ValueError(f"{name}: expected a positive number, received {value!r}")


def check_count(name, value, least=1) -> None:
    """Raise ``ValueError`` unless the value is a whole number of at least ``least``."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number from {least} on, received {value!r}")


def check_each(name, value, n: int) -> np.ndarray:
    """Return one positive number for each of n samples, from such an array or a single number; or ``ValueError``."""
    value = np.asarray(value, dtype=float)
    if value.shape not in ((), (n,)):
        raise ValueError(f"{name}: expected a number or shape {(n,)}, received shape {value.shape}")
    bad = ~(np.isfinite(value) & (value > 0.0))
    if bad.any():
        raise ValueError(f"{name}: expected positive numbers, received {value[bad].flat[0]}")
    return np.broadcast_to(value, n)
