"""Keras with its backend chosen. Importing this module imports Keras (seconds), so import it where it is needed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("KERAS_BACKEND", "jax")  # must be set before Keras is imported
if "sklearn" not in sys.modules:  # which takes a third of the time, for wrappers that nobody here uses
    sys.modules["sklearn"] = None
    try:
        import keras
    finally:
        del sys.modules["sklearn"]
import keras

__all__ = ["double_precision", "keras"]


@contextmanager
def double_precision() -> Iterator[None]:
    """Let Keras and JAX compute in double precision for a while."""
    import jax

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        with jax.enable_x64(True):
            yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
