"""One call of a module, function or method of PyTorch, as its converters see it."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Step:
    """One call of a module, function or method.

    Attributes
    ----------
    settings : dict
        By the names that PyTorch gives them.
    shape : tuple of int
        Of the value that it acts on, without the axis of the samples.
    where : str
        How errors name it.
    number : int
        Among the arguments of a function, where the value stands.
    """

    settings: dict
    shape: tuple[int, ...]
    where: str
    number: int = 0

    def get(self, name, default=None):
        """Return a setting, or the default where it is not given."""
        found = self.settings.get(name, default)
        return default if found is None else found

    def array(self, name) -> np.ndarray | None:
        """Return a parameter or buffer of a module in float64."""
        return numbers(self.settings.get(name))


def numbers(tensor) -> np.ndarray | None:
    """Return a tensor as an array in float64; None for None."""
    if tensor is None:
        return None
    return tensor.detach().cpu().double().numpy() if hasattr(tensor, "detach") else np.asarray(tensor, dtype=float)


def one_each(value, rank) -> list[int]:
    """Return one number for each axis of a window."""
    return [int(value)] * rank if np.ndim(value) == 0 else [int(each) for each in value]


def axes_of(given, shape) -> list[int]:
    """Return axes of a batch as axes of one sample."""
    rank = len(shape) + 1
    axes = sorted(int(axis) % rank for axis in np.atleast_1d(given))
    if 0 in axes:
        raise ValueError(f"expected axes of one sample, received {given}")
    return [axis - 1 for axis in axes]
