"""The attack of paper B, eq. (5), as a small smooth problem: minimise ½‖τ‖² subject to constraints on the logits.

Given the change s_i of the pre-activations that a perturbation of A_i makes, the smallest ΔA_i is
``s_i h_{i-1}ᵀ / ‖h_{i-1}‖²``, with h_{i-1} what reaches the layer in the *perturbed* network. So with
``ΔA_i = α_i t_i h_{i-1}ᵀ / ‖h_{i-1}‖``, α_i = ‖A_i‖, and ``Δx = β s``, β = ‖x‖, the objective of eq. (5) is
``‖t_1‖² + … + ‖t_p‖² + ‖s‖²``, without any approximation. The unknowns of a sample are put together in one vector
τ = (t_1, …, t_p, s), as long as the layers are wide; a convolution, whose matrix meets many patches at once, brings
all of ``ΔA_i / α_i`` instead of t_i.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from bea.layers import Dense, Flatten, Weighted, flat
from bea.network import Network
from bea.perturbation import Perturbation, image_norms


@dataclass(frozen=True, eq=False)
class Reduced:
    """The logits of a batch as functions of τ.

    Attributes
    ----------
    net : Network
        The network, in coordinates of ``basis`` where there is one.
    x : array (n, …)
        Images, in the same coordinates.
    scales : array (p,)
        α_i.
    changing : tuple of bool (p,)
        Which layers may change.
    input_scales : array (n,) or None
        β; None where the input stays.
    """

    net: Network
    x: np.ndarray
    scales: np.ndarray
    changing: tuple[bool, ...]
    input_scales: np.ndarray | None

    def __len__(self):
        return len(self.x)

    @property
    def sizes(self) -> list[int]:
        """Unknowns of every changing layer, then of the input."""
        sizes = []
        for layer, changes in zip(self.net.weighted, self.changing, strict=True):
            if changes:
                sizes.append(len(layer.matrix) if isinstance(layer, Dense) else layer.matrix.size)
        return sizes if self.input_scales is None else [*sizes, math.prod(self.net.input_shape)]

    def take(self, samples) -> "Reduced":
        """Return the problem for some of the samples."""
        scales = None if self.input_scales is None else self.input_scales[samples]
        return replace(self, x=self.x[samples], input_scales=scales)

    def split(self, tau) -> tuple[list, np.ndarray | None]:
        """Return (t_i or None) for every weighted layer, and s or None."""
        parts = iter(np.split(tau, np.cumsum(self.sizes)[:-1], axis=1))
        ts = []
        for layer, changes in zip(self.net.weighted, self.changing, strict=True):
            t = next(parts) if changes else None
            ts.append(t if t is None or isinstance(layer, Dense) else t.reshape(-1, *layer.matrix.shape))
        return ts, None if self.input_scales is None else next(parts)

    def forward(self, tau) -> tuple[np.ndarray, list]:
        """Return the logits (n, classes) at τ, and what ``pull_back`` needs to remember."""
        ts, s = self.split(tau)
        y = self.x if s is None else self.x + (self.input_scales[:, None] * s).reshape(self.x.shape)
        memory, factors = [], iter(zip(ts, self.scales, strict=True))
        for layer in self.net.layers:
            t, scale = next(factors) if isinstance(layer, Weighted) else (None, None)
            if t is None:
                output, kept = layer.forward(y), None
            elif isinstance(layer, Dense):
                h = layer.augment(y)
                length = np.sqrt(np.einsum("ni,ni->n", h, h))[:, None]
                output = h @ layer.matrix.T + scale * length * t
                kept = (t, scale, h, length)
            else:
                h = layer.unfold(y)
                output = (h @ (layer.matrix + scale * t).swapaxes(1, 2)).reshape(
                    len(y), *layer.output_shape(y.shape[1:])
                )
                kept = (t, scale, h, None)
            memory.append((layer, y, output, kept))
            y = output
        return y, memory

    def pull_back(self, rows, memory) -> np.ndarray:
        """Return the derivative with respect to τ of ``rows @ logits``; rows (n, k, classes), result (n, k, unknowns)."""
        parts = []
        for layer, y, output, kept in reversed(memory):
            if kept is None:
                rows = layer.pull_back(rows, y, output)
                continue
            t, scale, h, length = kept
            if isinstance(layer, Dense):
                parts.append(rows * (scale * length)[:, None])
                pulled = rows @ layer.kernel
                # The perturbed matrix is A + α t hᵀ/‖h‖.
                inner = np.matmul(rows, t[:, :, None]) * (scale / length)[:, None]
                rows = pulled + inner * h[:, None, : pulled.shape[2]]
            else:
                rows = rows.reshape(*rows.shape[:2], h.shape[1], -1)
                parts.append(flat(scale * np.einsum("nkpr,npc->nkrc", rows, h, optimize=True), keep=2))
                kernel = (layer.matrix + scale * t)[:, None, :, : layer.kernel.shape[1]]
                rows = layer.fold(rows @ kernel, y.shape[1:])
        if self.input_scales is not None:
            parts.append(flat(rows, keep=2) * self.input_scales[:, None, None])
        parts = [np.broadcast_to(part, (len(self.x), *part.shape[1:])) for part in parts]
        ordered = parts[-2::-1] + parts[-1:] if self.input_scales is not None else parts[::-1]
        return ordered[0] if len(ordered) == 1 else np.concatenate(ordered, axis=2)


def reduce(net: Network, x, changing, on_input: bool) -> tuple[Reduced, np.ndarray | None]:
    """Return the reduced problem of a batch, and the basis of its input (r, pixels) or None.

    If the input meets a dense layer that does not change, only its component in the row space of that layer has any
    effect: then images are written in an orthonormal basis of that space, with r coordinates instead of all pixels.
    """
    scales, input_scales = net.weight_norms, image_norms(x) if on_input else None
    first = next(i for i, layer in enumerate(net.layers) if not isinstance(layer, Flatten))
    layer, basis = net.layers[first], None
    if on_input and isinstance(layer, Dense) and not changing[0] and len(layer.matrix) < layer.kernel.shape[1]:
        columns, triangle = np.linalg.qr(layer.kernel.T)
        basis = columns.T
        small = np.column_stack([triangle.T, layer.matrix[:, -1]]) if layer.bias else triangle.T
        layers = (layer.with_matrix(small), *net.layers[first + 1 :])
        net = replace(net, layers=layers, input_shape=(len(basis),), input_range=None)
        x = flat(x) @ columns
    return Reduced(net, x, scales, tuple(changing), input_scales), basis
