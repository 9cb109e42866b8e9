"""Keras with its backend chosen. Importing this module imports Keras (seconds), so import it where it is needed."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # must be set before Keras is imported
import keras

__all__ = ["keras"]
