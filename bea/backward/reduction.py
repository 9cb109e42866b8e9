"""The attack of paper B, eq. (5), as a small smooth problem: minimise ½‖τ‖² subject to constraints on the logits.

Rank one is enough: given the change s_i of the pre-activations that a perturbation of A_i makes, the smallest ΔA_i is
``s_i h_{i-1}ᵀ / ‖h_{i-1}‖²``, with h_{i-1} what reaches the layer in the *perturbed* network (theorem and proof in the
book's chapter *The converged attack*). So with
``ΔA_i = α_i t_i h_{i-1}ᵀ / ‖h_{i-1}‖``, α_i = ‖A_i‖, and ``Δx = β s``, β = ‖x‖, the objective of eq. (5) is
``‖t_1‖² + … + ‖t_p‖² + ‖s‖²``, without any approximation. The unknowns of a sample are put together in one vector
τ, as long as the changing layers are wide. A convolution, whose matrix meets many patches at once, brings all of
``ΔA_i / α_i`` instead of t_i.

What comes before the first change is constant and is left out. If that change is in a dense layer, it acts like a
change of the input of what follows: ``v = A_i h_{i-1} + α_i ‖h_{i-1}‖ t_i``. And of a changing input that meets a
dense layer only the component in the row space of that layer has any effect.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate

import numpy as np

from bea.backward.choice import Changing
from bea.networks.layers import Activation, Dense, Weighted
from bea.networks.network import Network
from bea.networks.perturbation import Perturbation
from bea.networks.positions import derivatives, products, pulled_back
from bea.networks.row_space import from_row_space, in_row_space, to_row_space
from bea.networks.sequence import collect_back, leaves, run
from bea.numerics.arrays import flat, image_norms
from bea.numerics.blocks import in_blocks


@dataclass(frozen=True, eq=False)
class Tail:
    """What follows the first change, as a function of τ = (t_i of its changing layers, s of its input).

    Attributes
    ----------
    layers : tuple of layers
    x : array (n, …)
        Its unperturbed inputs.
    input_scales : array (n,) or None
        ``x + input_scales · s`` is its input; None where that stays.
    weight_scales : tuple of float or None
        α_i of every weighted layer, None for one that stays.
    output : Activation or None
        What acts on the logits, where constraints are on the activated outputs.
    """

    layers: tuple
    x: np.ndarray
    input_scales: np.ndarray | None
    weight_scales: tuple[float | None, ...]
    output: Activation | None = None

    @property
    def sizes(self) -> list[int]:
        """Number of unknowns of every changing layer, then of the input."""
        weighted = (layer for layer in leaves(self.layers) if isinstance(layer, Weighted))
        sizes = [
            len(layer.matrix) if isinstance(layer, Dense) else layer.matrix.size
            for layer, scale in zip(weighted, self.weight_scales, strict=True)
            if scale is not None
        ]
        return sizes if self.input_scales is None else [*sizes, math.prod(self.x.shape[1:])]

    @property
    def classes(self) -> int:
        """Number of logits."""
        return len(self.layers[-1].matrix) if self.layers else self.x.shape[1]

    @property
    def last_layer(self) -> slice | None:
        """Where the unknowns of the network's last layer stand in τ; None if that layer stays, or has no weights."""
        if not self.layers:
            return slice(0, self.classes)
        if not isinstance(self.layers[-1], Dense) or self.weight_scales[-1] is None:
            return None
        end = sum(self.sizes) - (0 if self.input_scales is None else self.sizes[-1])
        return slice(end - self.classes, end)

    def take(self, samples) -> "Tail":
        """Return the same for some of the samples."""
        scales = None if self.input_scales is None else self.input_scales[samples]
        return replace(self, x=self.x[samples], input_scales=scales)

    def forward(self, tau) -> tuple[np.ndarray, list]:
        """Return logits or outputs (n, classes) at τ, and for every layer what ``pull_back`` needs to remember."""
        ends = list(accumulate(self.sizes))
        parts = [tau[:, end - size : end] for end, size in zip(ends, self.sizes, strict=True)]
        y = self.x
        if self.input_scales is not None:
            y = y + (self.input_scales[:, None] * parts.pop()).reshape(y.shape)
        y, memory = _forward(self.layers, y, parts, iter(self.weight_scales))
        if self.output is not None:
            memory.append((self.output, y, self.output.forward(y), None))
            y = memory[-1][2]
        return y, memory

    def pull_back(self, rows, memory) -> np.ndarray:
        """Differentiate ``rows @`` what ``forward`` returns, rows (n, k, classes), by τ: (n, k, unknowns)."""
        parts = []
        rows = collect_back(memory, rows, parts, len(self.sizes), _through)
        parts.reverse()
        if self.input_scales is not None:
            parts.append(flat(rows, keep=2) * self.input_scales[:, None, None])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


@dataclass(frozen=True, eq=False)
class Reduction:
    """The tail of a batch of attacks, and how to come back from τ to a perturbation.

    Attributes
    ----------
    tail : Tail
    net : Network
    x : array (n, *input_shape)
    changing : Changing
    start : int
        Number of weighted layers before the tail.
    entry : Dense or None
        The layer whose change is the change of the tail's input.
    basis : array (r, pixels) or None
        Orthonormal basis of the input's components that have an effect.
    entry_scale : float
        α of the entry.
    """

    tail: Tail
    net: Network
    x: np.ndarray
    changing: Changing
    start: int
    entry: Dense | None
    basis: np.ndarray | None
    entry_scale: float = 1.0

    def to_tail(self, images) -> np.ndarray:
        """Return what reaches the tail from other images (m, *input_shape)."""
        if self.basis is not None:
            return to_row_space(images, self.basis)
        return run(self.net.layers[: len(self.net.layers) - len(self.tail.layers)], images)

    def take(self, samples) -> "Reduction":
        """Return the same for some of the samples."""
        return replace(self, tail=self.tail.take(samples), x=self.x[samples])

    def perturbation(self, tau, attained) -> Perturbation:
        """Return the perturbation of τ (n, unknowns); NaN where it is not attained."""
        _, memory = self.tail.forward(tau)
        seen = np.where(attained, 1.0, np.nan)[:, None]
        dA, dx = [None] * len(self.net.weighted), None
        for number, entry in enumerate(_kept(memory), start=self.start):
            if entry is not None:
                t, scale, h, length = entry
                if length is None:
                    dA[number] = scale * t * seen[:, :, None]
                else:
                    dA[number] = _over(scale, length) * t * seen, self.net.weighted[number].augment(h)
        if self.tail.input_scales is not None:
            s = tau[:, -self.tail.sizes[-1] :]
            if self.entry is not None:
                before = self.net.layers[: len(self.net.layers) - len(self.tail.layers) - 1]
                h = self.entry.augment(run(before, self.x))
                dA[self.start - 1] = (_over(self.entry_scale, image_norms(h)[:, None]) * s * seen, h)
            else:
                dx = self.tail.input_scales[:, None] * s * seen
                dx = from_row_space(dx, self.basis, self.x.shape)
        return Perturbation(dA, dx, self.x, self.net.weight_norms, attained)


def reduce(net: Network, x, changing: Changing, block: int, black=0.0, activated=False, relative=True) -> Reduction:
    """Return the reduced problem of a batch of images (n, *input_shape), ``block`` of which pass the net at a time.

    Δx is measured by ‖x‖, and by ``black`` where that is zero; unless ``relative``, it and all ΔA in the plain norm.
    With ``activated`` the tail ends in the outputs.
    """
    output = Activation(net.output_activation) if activated and net.output_activation != "linear" else None
    norms = net.weight_norms if relative else np.ones_like(net.weight_norms)
    alphas = [float(norm) if changes else None for norm, changes in zip(norms, changing.layers, strict=True)]
    if changing.input:
        small, basis = (net, None) if changing.layers[0] else in_row_space(net)
        inputs = x if basis is None else in_blocks(lambda part: to_row_space(part, basis), block, x)
        sizes = image_norms(x) if relative else np.ones(len(x))
        tail = Tail(small.layers, inputs, np.where(sizes > 0.0, sizes, black), tuple(alphas), output)
        return Reduction(tail, net, x, changing, 0, None, basis)
    first = changing.layers.index(True)
    position, skipped = holding(net.layers, first)
    layer, before = net.layers[position], partial(run, net.layers[:position])
    if not isinstance(layer, Dense):
        y = in_blocks(before, block, x)
        tail = Tail(net.layers[position:], y, None, tuple(alphas[skipped:]), output)
        return Reduction(tail, net, x, changing, skipped, None, None)

    def enter(part):
        y = before(part)
        return layer.forward(y), image_norms(layer.augment(y))

    values, lengths = in_blocks(enter, block, x)
    tail = Tail(net.layers[position + 1 :], values, alphas[first] * lengths, tuple(alphas[first + 1 :]), output)
    return Reduction(tail, net, x, changing, first + 1, layer, None, alphas[first])


def holding(layers, number) -> tuple[int, int]:
    """Return where the weighted layer of this number, from 0, stands among the layers, and how many come before that.

    It may stand within a layer of several paths, and then others in there may come before it.
    """
    before = 0
    for position, layer in enumerate(layers):
        behind = before + sum(isinstance(leaf, Weighted) for leaf in leaves([layer]))
        if number < behind:
            return position, before
        before = behind
    raise IndexError(number)


def _forward(layers, y, parts: list, scales) -> tuple[np.ndarray, list]:
    """Return the output, and of every layer what ``collect_back`` needs; ``parts`` of τ are taken from the front."""
    memory = []
    for layer in layers:
        if layer.paths:
            # A layer of paths keeps the memories of these.
            outputs, kept = zip(*(_forward(path, y, parts, scales) for path in layer.paths), strict=True)
            memory.append((layer, y, sum(outputs[1:], outputs[0]), kept))
            y = memory[-1][2]
            continue
        scale = next(scales) if isinstance(layer, Weighted) else None
        kept = None
        if scale is None:
            output = layer.forward(y)
        elif isinstance(layer, Dense):
            t, length = parts.pop(0), np.sqrt(np.einsum("ni,ni->n", y, y) + layer.bias)[:, None]
            output = layer.forward(y) + scale * length * t
            kept = (t, scale, y, length)
        else:
            h = layer.unfold(y)
            t = parts.pop(0).reshape(-1, *layer.matrix.shape)
            product = products(h, layer.matrix + scale * t)
            output = product.reshape(len(y), *layer.output_shape(y.shape[1:]))
            kept = (t, scale, h, None)
        memory.append((layer, y, output, kept))
        y = output
    return y, memory


def _through(rows, layer, y, output, kept, parts: list, missing: int) -> np.ndarray:
    """Put the derivative by the change of a layer's matrix into ``parts``, and pull rows back (``collect_back``)."""
    t, scale, h, length = kept
    if isinstance(layer, Dense):
        parts.append(rows * (scale * length)[:, None])
        # The perturbed matrix is A + α t hᵀ / ‖h‖.
        factor = np.vecdot(rows, t[:, None])[:, :, None] * _over(scale, length)[:, :, None]
        return layer.pull_back(rows, y, output) + factor * h[:, None]
    rows = rows.reshape(*rows.shape[:2], h.shape[1], len(layer.matrix))
    parts.append(flat(scale * derivatives(rows, h), keep=2))
    if len(parts) < missing:
        kernel = (layer.matrix + scale * t)[:, :, : layer.kernel.shape[1]]
        rows = layer.fold(pulled_back(rows, kernel, layer.groups), y.shape[1:])
    return rows


def _kept(memory) -> list:
    """Return what was kept of every weighted layer, in their order."""
    found = []
    for layer, _, _, kept in memory:
        if layer.paths:
            for path in kept:
                found += _kept(path)
        elif isinstance(layer, Weighted):
            found.append(kept)
    return found


def _over(scale, length):
    """Return scale / length, and 0 where nothing arrives, so that nothing can be changed."""
    return np.divide(scale, length, out=np.zeros_like(length), where=length > 0.0)
