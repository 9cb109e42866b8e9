"""Two ways through a network that meet again in a sum."""

from dataclasses import dataclass

from bea.networks.layers import Layer
from bea.networks.sequence import bend, pull_back, push_forward, run, trace


@dataclass(frozen=True, eq=False)
class Residual(Layer):
    """The sum of two sequences of layers of one input, ``branch(y) + shortcut(y)``.

    Layers with weights inside count among ``net.weighted``, those of the branch first, then those of the shortcut.
    A branch may hold a ``Residual`` itself. An activation behind the sum is a layer of its own.

    Parameters
    ----------
    branch : sequence of layers
        At least one.
    shortcut : sequence of layers
        None for the identity.
    """

    branch: tuple
    shortcut: tuple = ()

    def __post_init__(self):
        for name in ("branch", "shortcut"):
            path = tuple(getattr(self, name))
            if not all(isinstance(layer, Layer) for layer in path):
                raise TypeError(f"{name}: expected layers, received {path}")
            object.__setattr__(self, name, path)
        if not self.branch:
            raise ValueError("branch: expected at least one layer, received none")

    @property
    def paths(self):
        """The two sequences."""
        return self.branch, self.shortcut

    def with_paths(self, branch, shortcut) -> "Residual":
        """Return the sum of two other sequences."""
        return Residual(branch, shortcut)

    def output_shape(self, shape):
        branch, shortcut = (_shapes(name, getattr(self, name), shape)[-1] for name in ("branch", "shortcut"))
        if branch != shortcut:
            raise ValueError(f"shortcut: expected the output shape {branch} of the branch, received {shortcut}")
        return branch

    def widest(self, shape):
        return max(
            layer.widest(before)
            for path in self.paths
            for layer, before in zip(path, _shapes("branch", path, shape), strict=False)
        )

    def forward(self, y):
        one, other = (run(path, y) for path in self.paths)
        return one + other

    def pull_back(self, rows, y, output):
        one, other = (pull_back(path, rows, trace(path, y)) for path in self.paths)
        return one + other

    def push_forward(self, dy, y, output):
        one, other = (push_forward(path, dy, trace(path, y))[-1] for path in self.paths)
        return one + other

    def bend(self, rows, dy, y, output):
        one, other = (bend(path, rows, dy, trace(path, y)) for path in self.paths)
        return one + other


def _shapes(name, layers, shape) -> list[tuple[int, ...]]:
    """Return the shape of the input and of the output of every layer, or raise ``ValueError``."""
    shapes = [shape]
    for number, layer in enumerate(layers):
        try:
            shapes.append(layer.output_shape(shapes[-1]))
        except ValueError as error:
            raise ValueError(f"{name}[{number}]: {error}") from None
    return shapes
