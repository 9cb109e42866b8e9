"""Changes measured entry by entry, relative to what changes: ``|ΔA_i| ≤ ε |A_i|`` and ``|Δx| ≤ ε |x|``.

With ``ΔA_i = |A_i| ∘ V_i`` and ``Δx = |x| ∘ s`` this says that no entry of V_i and s is larger than ε. All of them
stand in one vector v a sample, those of the changing layers first, row by row, then the pixels that are not zero. As
many pixels as the fullest image of the batch has are taken of every image; what is zero among them stays zero.
"""

from dataclasses import dataclass, replace

import numpy as np

from bea.backward.closed_form import Changing
from bea.networks.layers import Weighted
from bea.networks.network import Network
from bea.networks.positions import derivatives, products, pulled_back
from bea.networks.sequence import collect_back
from bea.numerics.arrays import flat


@dataclass(frozen=True, eq=False)
class RelativeChanges:
    """The logits of a batch as a function of v; ``relative_changes`` makes one.

    Attributes
    ----------
    net : Network
    x : array (n, *input_shape)
    changing : Changing
        Which layers may change, and whether the input.
    pixels : int array (n, k)
        Numbers of the pixels that stand in v.
    """

    net: Network
    x: np.ndarray
    changing: Changing
    pixels: np.ndarray

    @property
    def sizes(self) -> list[int]:
        """Number of unknowns of every changing layer, then of the input."""
        layers = zip(self.net.weighted, self.changing.layers, strict=True)
        sizes = [layer.matrix.size for layer, changes in layers if changes]
        return sizes + [self.pixels.shape[1]] * self.changing.input

    def take(self, samples) -> "RelativeChanges":
        """Return the same for some of the samples, which may repeat."""
        return replace(self, x=self.x[samples], pixels=self.pixels[samples])

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the largest v, (n, unknowns), with which ``x + Δx`` stays in ``net.input_range``."""
        shape = len(self.x), sum(self.sizes)
        low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
        if self.changing.input:
            seen = np.take_along_axis(flat(self.x), self.pixels, 1)
            for room, limit in zip((low, high), self.net.input_range, strict=True):
                parts = (limit - seen) / np.where(seen == 0.0, 1.0, np.abs(seen))
                room[:, shape[1] - seen.shape[1] :] = np.where(seen == 0.0, 0.0, parts)
        return low, high

    def perturbation(self, v) -> tuple[list[np.ndarray | None], np.ndarray | None]:
        """Return ΔA (n, rows, columns) of every weighted layer, None where it stays, and Δx (n, *input_shape)."""
        parts, dx = np.split(v, np.cumsum(self.sizes)[:-1], axis=1), None
        if self.changing.input:
            relative = np.zeros_like(flat(self.x))
            np.put_along_axis(relative, self.pixels, parts.pop(), 1)
            dx = np.abs(self.x) * relative.reshape(self.x.shape)
        layers = zip(self.net.weighted, self.changing.layers, strict=True)
        return [
            np.abs(layer.matrix) * parts.pop(0).reshape(len(v), *layer.matrix.shape) if changes else None
            for layer, changes in layers
        ], dx

    def forward(self, v) -> tuple[np.ndarray, list]:
        """Return the logits (n, classes), and what ``gradient`` needs to remember."""
        dA, dx = self.perturbation(v)
        return _forward(self.net.layers, self.x if dx is None else self.x + dx, iter(dA))

    def gradient(self, memory, weights) -> np.ndarray:
        """Return the derivative of ``Σ_k weights_k logits_k``, weights (n, classes), with respect to v."""
        parts = []
        missing = sum(self.changing.layers) + self.changing.input
        rows = collect_back(memory, weights[:, None], parts, missing, _through)
        parts.reverse()
        if self.changing.input:
            parts.append(np.take_along_axis(flat(rows[:, 0] * np.abs(self.x)), self.pixels, 1))
        return np.concatenate(parts, axis=1)


def _forward(layers, y, changes) -> tuple[np.ndarray, list]:
    """Return the output with the next of the changes in every matrix, and what ``collect_back`` needs to remember."""
    memory = []
    for layer in layers:
        if layer.paths:
            outputs, kept = zip(*(_forward(path, y, changes) for path in layer.paths), strict=True)
            memory.append((layer, y, sum(outputs[1:], outputs[0]), kept))
            y = memory[-1][2]
            continue
        change = next(changes) if isinstance(layer, Weighted) else None
        if change is None:
            output, kept = layer.forward(y), None
        else:
            kept = layer.unfold(y), layer.matrix + change
            output = products(*kept).reshape(len(y), *layer.output_shape(y.shape[1:]))
        memory.append((layer, y, output, kept))
        y = output
    return y, memory


def _through(rows, layer, y, output, kept, parts: list, missing: int) -> np.ndarray:
    """Put the derivative by the changes of a layer's weights into ``parts``, and pull rows (n, 1, …) back."""
    h, matrix = kept
    slopes = rows.reshape(len(h), 1, h.shape[1], len(layer.matrix))
    parts.append((derivatives(slopes, h)[:, 0] * np.abs(layer.matrix)).reshape(len(h), layer.matrix.size))
    groups = h.shape[2] if h.ndim == 4 else 1
    return layer.fold(pulled_back(slopes, matrix[:, :, : layer.kernel.shape[1]], groups), y.shape[1:])


def relative_changes(net: Network, x, changing: Changing) -> RelativeChanges:
    """Return the logits of images (n, *input_shape) as a function of relative changes."""
    blank = flat(x) == 0.0
    most = int(np.sum(~blank, axis=1).max(initial=1))
    return RelativeChanges(net, x, changing, np.argsort(blank, axis=1, kind="stable")[:, :most])
