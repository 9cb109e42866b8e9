"""The attempts of paper B's tables and figures: one image of every digit, to become each other class."""

from collections.abc import Mapping

import numpy as np

from bea.networks.leads import other_classes
from bea.networks.network import Network


def right_for_all(networks: Mapping[str, Network], x, labels) -> np.ndarray:
    """Return which images (n, …) all networks classify as labelled, (n,)."""
    return np.all([net.classify(x) == labels for net in networks.values()], axis=0)


def first_right(networks: Mapping[str, Network], x, labels, digits) -> np.ndarray:
    """Return which image of every digit is the first that all networks classify correctly, (digits,).

    Parameters
    ----------
    networks : mapping of str to Network
    x : array (n, *input_shape);  labels : int array (n,)
    digits : sequence of int

    Raises
    ------
    ValueError
        Where there is no such image of a digit.
    """
    right = right_for_all(networks, x, labels)
    chosen = [right & (labels == digit) for digit in digits]
    for digit, images in zip(digits, chosen, strict=True):
        if not images.any():
            raise ValueError(f"digits: expected an image of each that all networks classify correctly, none of {digit}")
    return np.argmax(chosen, axis=1)


def to_every_target(x, labels, classes: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images, present classes and targets of all attempts: every image (n, …) to every class but its own."""
    target = other_classes(np.asarray(labels), classes).ravel()
    return np.repeat(np.asarray(x, dtype=float), classes - 1, axis=0), np.repeat(labels, classes - 1), target
