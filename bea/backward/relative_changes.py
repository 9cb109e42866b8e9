"""Changes measured entry by entry, relative to what changes: ``|ΔA_i| ≤ ε |A_i|`` and ``|Δx| ≤ ε |x|``.

With ``ΔA_i = |A_i| ∘ V_i`` and ``Δx = |x| ∘ s`` this says that no entry of V_i and s is larger than ε. All of
them stand in one vector v a sample, those of the changing layers first, row by row, then those of the input.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from bea.backward.closed_form import Changing
from bea.networks.layers import Weighted
from bea.networks.network import Network

TINY = np.finfo(float).tiny


@dataclass(frozen=True, eq=False)
class RelativeChanges:
    """The logits of a batch as a function of v.

    Attributes
    ----------
    net : Network
    x : array (n, *input_shape)
    changing : Changing
        Which layers may change, and whether the input.
    """

    net: Network
    x: np.ndarray
    changing: Changing

    @property
    def sizes(self) -> list[int]:
        """Number of unknowns of every changing layer, then of the input."""
        layers = zip(self.net.weighted, self.changing.layers, strict=True)
        return [layer.matrix.size for layer, changes in layers if changes] + [
            math.prod(self.net.input_shape)
        ] * self.changing.input

    def take(self, samples) -> "RelativeChanges":
        """Return the same for some of the samples, which may repeat."""
        return replace(self, x=self.x[samples])

    def limits(self, clip: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the largest v, (n, unknowns); with ``clip``, ``x + Δx`` stays in ``net.input_range``."""
        shape = len(self.x), sum(self.sizes)
        if not (clip and self.changing.input):
            return np.broadcast_to(-np.inf, shape), np.broadcast_to(np.inf, shape)
        low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
        pixels = self.x.reshape(len(self.x), self.sizes[-1])
        for room, limit in zip((low, high), self.net.input_range, strict=True):
            room[:, -pixels.shape[1] :] = np.where(
                pixels == 0.0, 0.0, (limit - pixels) / np.maximum(np.abs(pixels), TINY)
            )
        return low, high

    def perturbation(self, v) -> tuple[list[np.ndarray | None], np.ndarray | None]:
        """Return ΔA (n, rows, columns) of every weighted layer, None where it stays, and Δx (n, *input_shape)."""
        parts = np.split(v, np.cumsum(self.sizes)[:-1], axis=1)
        dx = np.abs(self.x) * parts.pop().reshape(self.x.shape) if self.changing.input else None
        layers = zip(self.net.weighted, self.changing.layers, strict=True)
        return [
            np.abs(layer.matrix) * parts.pop(0).reshape(len(v), *layer.matrix.shape) if changes else None
            for layer, changes in layers
        ], dx

    def forward(self, v) -> tuple[np.ndarray, list]:
        """Return the logits (n, classes), and what ``gradient`` needs to remember."""
        dA, dx = self.perturbation(v)
        y, memory = self.x if dx is None else self.x + dx, []
        changes = iter(dA)
        for layer in self.net.layers:
            change = next(changes) if isinstance(layer, Weighted) else None
            if change is None:
                output, kept = layer.forward(y), None
            else:
                kept = layer.unfold(y), layer.matrix + change
                output = (kept[0] @ kept[1].swapaxes(1, 2)).reshape(len(y), *layer.output_shape(y.shape[1:]))
            memory.append((layer, y, output, kept))
            y = output
        return y, memory

    def gradient(self, memory, weights) -> np.ndarray:
        """Return the derivative of ``Σ_k weights_k logits_k``, weights (n, classes), with respect to v."""
        rows, parts, missing = weights[:, None], [], sum(self.changing.layers)
        for layer, y, output, kept in reversed(memory):
            if not (missing or self.changing.input):
                break
            if kept is None:
                rows = layer.pull_back(rows, y, output)
                continue
            (h, matrix), missing = kept, missing - 1
            slopes = rows.reshape(len(h), h.shape[1], len(layer.matrix))
            parts.insert(0, (slopes.swapaxes(1, 2) @ h * np.abs(layer.matrix)).reshape(len(h), layer.matrix.size))
            inputs = layer.kernel.shape[1]
            rows = layer.fold((slopes @ matrix[:, :, :inputs])[:, None], y.shape[1:])
        if self.changing.input:
            parts.append((rows[:, 0] * np.abs(self.x)).reshape(len(self.x), self.sizes[-1]))
        return np.concatenate(parts, axis=1)
