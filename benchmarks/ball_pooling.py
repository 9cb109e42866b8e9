"""Radii of the tight bound for convolutions with max pooling (``bea.bounds.ball_pooling``) proved again in balls.

The theorem is the same, with its steps P1 to P5; which entries a mean is of, the parabolas and the multipliers are
chosen in float64 again, and what follows from them is computed in balls. Not proved again are the constants T and R of
the network (P6): they come from ``bea.bounds.pooling_front``, which proves them by Cholesky factorisations in float64.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from flint import arb, arb_mat, ctx

from bea.bounds.pooling_front import Front, take_apart
from bea.networks.network import Network
from benchmarks.ball_layerwise import affine, biases, layerwise_reach, leads_apart
from benchmarks.balls import BITS, difference, dot, floats, framed, least_eigenvalue, matrix, root

WIDTHS, SHARES, TYPICAL = (0.1, 0.2), np.geomspace(0.03, 1.0, 12), 1.0 / 15  # as in ``bea.bounds.ball_pooling``


@dataclass(frozen=True, eq=False)
class Block:
    """A convolution and its pooling in balls.

    Attributes
    ----------
    kernel : arb_mat (filters, columns)
    bias : list of arb
    pixels : array (positions, columns) of int
        Which number of the input every column of a window is, -1 in the padding.
    entries : array (windows, m) of int
        Which outputs of the convolution a window of the pooling has, position by position and filter by filter.
    inputs : int
    move : float
        T.
    """

    kernel: arb_mat
    bias: list[arb]
    pixels: np.ndarray
    entries: np.ndarray
    inputs: int
    move: float

    @classmethod
    def of(cls, convolution, pool, shape, move):
        """Return that of two layers for inputs of a shape."""
        size = math.prod(shape)
        bare = replace(convolution, matrix=convolution.kernel, bias=False)
        pixels = bare.unfold(np.arange(1.0, size + 1.0).reshape(1, *shape))[0].astype(int) - 1
        height, width, filters = inside = convolution.output_shape(shape)
        (a, b), (rows, columns) = pool.size, (height // pool.size[0], width // pool.size[1])
        places = np.arange(math.prod(inside)).reshape(inside)[: rows * a, : columns * b]
        places = places.reshape(rows, a, columns, b, filters).transpose(0, 2, 4, 1, 3)
        return cls(matrix(convolution.kernel), biases(convolution), pixels, places.reshape(-1, a * b), size, move)

    def forward(self, y: list[arb]) -> list[arb]:
        """Return the outputs of the convolution, position by position."""
        padded = [*y, arb(0)]
        windows = arb_mat([[padded[i] for i in row] for row in self.pixels.tolist()])
        rows = (windows * self.kernel.transpose()).tolist()
        return [entry + bias for row in rows for entry, bias in zip(row, self.bias, strict=True)]

    def pull_back(self, rows: list[arb]) -> list[arb]:
        """Return the sum of what every output has as its row times what its window multiplies."""
        filters, total = len(self.bias), [arb(0)] * (self.inputs + 1)
        products = arb_mat(len(self.pixels), filters, rows) * self.kernel
        for place, entry in zip(self.pixels.ravel().tolist(), products.entries(), strict=True):
            total[place] += entry
        return total[:-1]


@dataclass(frozen=True, eq=False)
class Maxima:
    """The windows of one block at an image, their entries from the largest to the smallest.

    ``gap`` is how far each is below the largest at least, exact; ``first`` how far the one in front is at most.
    """

    order: np.ndarray
    gap: list[list[arb]]
    gaps: np.ndarray
    first: list[arb]


@dataclass(frozen=True, eq=False)
class PooledProof:
    """A network of convolutions with max pooling, one hidden layer of ReLUs and the last layer, in balls."""

    net: Network
    front: Front
    blocks: list[Block]
    hidden: arb_mat
    last: arb_mat
    products: list[list[arb]]

    @classmethod
    @ctx.workprec(BITS)
    def of(cls, net: Network):
        """Return that of a network, or raise ``ValueError`` for another one."""
        front, shape, blocks = take_apart(net), net.input_shape, []
        for (convolution, pool), move in zip(front.blocks, front.moves, strict=True):
            blocks.append(Block.of(convolution, pool, shape, move))
            shape = pool.output_shape(convolution.output_shape(shape))
        hidden = matrix(front.hidden.kernel)
        return cls(net, front, blocks, hidden, matrix(front.last.kernel), (hidden * hidden.transpose()).tolist())

    @ctx.workprec(BITS)
    def proves(self, image, radius: float) -> bool:
        """Return whether the class of an image (input_shape) is proved to lead all others within the radius."""
        if not radius > 0.0:
            return True
        own, maxima, v, logits = self.at(image)
        leads = [logits[own] - logit for logit in logits]
        if all(
            self.most_lost(maxima, v, own, rival, radius, enough=lead) < lead
            for rival, lead in enumerate(leads)
            if rival != own
        ):
            return True
        # Where one constant a layer gave more, it counts.
        return leads_apart(self.front.last, logits, own, layerwise_reach(self.net) * arb(radius))

    def at(self, image) -> tuple[int, list[Maxima], list[arb], list[arb]]:
        """Return the class of an image, its windows, the inputs of the ReLUs and the logits."""
        y, maxima = [arb(number) for number in image.ravel().tolist()], []
        for block in self.blocks:
            found, y = _maxima(block, block.forward(y))
            maxima.append(found)
        v = affine(self.hidden, self.front.hidden, y)
        logits = affine(self.last, self.front.last, [number.max(arb(0)) for number in v])
        return int(self.net.classify(image[None])[0]), maxima, v, logits

    def most_lost(
        self, maxima: list[Maxima], v: list[arb], own: int, rival: int, radius: float, enough: arb | float
    ) -> arb:
        """Return an upper bound of what the lead over a rival can lose; the first one found that is less than enough.

        The first is cruder than step P2: every unit loses as much as if the others did not move.
        """
        r, rows = arb(radius), self.front.last.kernel
        d = [arb(a) - arb(b) for a, b in zip(rows[own].tolist(), rows[rival].tolist(), strict=True)]
        on = [bool(number > 0) for number in v]
        q = (arb_mat([[a if o else arb(0) for a, o in zip(d, on, strict=True)]]) * self.hidden).entries()
        # A unit of which the sign is not known may lose what it has.
        lost = dot([abs(a) for a in d], [abs(number).upper() if number.contains(0) else arb(0) for number in v])
        for block, found in zip(self.blocks[::-1], maxima[::-1], strict=True):
            loss, q = _through_maxima(block, found, q, radius)
            lost += loss
            q = block.pull_back(q)
        lost += root(dot(q, q)) * r
        reach = arb(self.front.reach) * r
        distance = [arb(number.abs_lower()) for number in v]
        farthest = [root(self.products[i][i]) * reach for i in range(len(v))]
        units = [i for i, a in enumerate(d) if not a >= 0 and not farthest[i] < distance[i]]
        weight, distance, farthest = (
            [(-d[i]).upper() for i in units],
            [distance[i] for i in units],
            [farthest[i] for i in units],
        )
        crude = dot(weight, [(far - near).max(arb(0)) for far, near in zip(farthest, distance, strict=True)])
        if lost + crude < enough or not units:
            return lost + crude
        best = arb("inf")
        for share in WIDTHS:
            best = best.min(self._switching(units, weight, distance, farthest, share, reach))
            if lost + best < enough:
                break
        return lost + best

    def _switching(self, units, weight, distance, farthest, share, reach) -> arb:
        """Return an upper bound of what the units lose that may switch (step P2)."""
        w = [near.max(arb(share * float(far))) for near, far in zip(distance, farthest, strict=True)]
        scale = [(a / (4 * b)).sqrt() for a, b in zip(weight, w, strict=True)]
        together = framed(scale, arb_mat([[self.products[i][j] for j in units] for i in units]))
        largest = arb(float(np.linalg.eigvalsh(floats(together))[-1]) * (1.0 + 1e-9))
        if not least_eigenvalue(difference([largest] * len(units), together)) > 0:
            return arb("inf")
        return dot(weight, [a - b for a, b in zip(w, distance, strict=True)]) + largest * reach * reach


def _maxima(block: Block, outputs: list[arb]) -> tuple[Maxima, list[arb]]:
    """Return the windows and their maxima."""
    middles = floats(outputs)[block.entries]
    order = np.take_along_axis(block.entries, np.argsort(-middles, axis=1, kind="stable"), 1)
    gaps, first, maxima = [], [], []
    for row in order.tolist():
        entries = [outputs[i] for i in row]
        top = entries[0]
        for entry in entries[1:]:
            top = top.max(entry)
        maxima.append(top)
        first.append((top - entries[0]).upper().max(arb(0)))
        gaps.append([(top - entry).lower().max(arb(0)) for entry in entries])
    return Maxima(order, gaps, np.array([floats(row) for row in gaps]), first), maxima


def _through_maxima(block: Block, found: Maxima, q: list[arb], radius: float) -> tuple[arb, list[arb]]:
    """Return what windows with q < 0 lose at most against means of entries, and q of these entries (P3 and P4)."""
    m, guess, length = block.entries.shape[1], floats(q), block.move * radius
    slopes = np.sqrt(1.0 + np.outer([-1.0, 1.0], 1.0 / np.arange(1, m + 1)))
    expected = np.maximum(slopes[0] * TYPICAL * length, slopes[1] * TYPICAL * length - np.roll(found.gaps, -1, axis=1))
    expected[:, -1] = slopes[0, -1] * TYPICAL * length
    chosen = np.where(guess < 0.0, expected.argmin(axis=1), 0)
    rows, lost, lines = [arb(0)] * (len(block.pixels) * len(block.bias)), arb(0), []
    steep = [[(1 - arb(1) / s).sqrt(), (1 + arb(1) / s).sqrt()] for s in range(1, m + 1)]
    for number, (weight, s) in enumerate(zip(q, chosen.tolist(), strict=True)):
        for place in found.order[number, : s + 1].tolist():
            rows[place] = weight / (s + 1)
        down = (-weight).upper().max(arb(0))
        if not weight < 0:
            lost += abs(weight) * found.first[number]
        if down > 0:
            lines.append((down, steep[s][0], arb(0)))
            lines.append((down, steep[s][1], -found.gap[number][s + 1]) if s + 1 < m else lines[-1])
    return lost + _shared(lines, length), rows


def _shared(lines, length: float) -> arb:
    """Return an upper bound of ``Σ down max(offset + slope t)₊`` over pairs of lines where ``Σ t² ≤ length²``."""
    if not lines or length == 0.0:
        return arb(0)  # no offset is above zero
    whole = arb(length)
    down, slope, offset = (floats([line[k] for line in lines]).reshape(-1, 2) for k in range(3))
    reached = (offset + slope * length).max(axis=1) > 0.0
    scale = np.sqrt(np.sum((down[reached] * slope[reached]).max(axis=1) ** 2)) / (2.0 * length) + 1e-280

    def value(multiplier):
        return np.maximum((down * offset + (down * slope) ** 2 / (4.0 * multiplier)).max(axis=1), 0.0)[reached].sum()

    multiplier = arb(min(SHARES * scale, key=lambda number: value(number) + number * length**2))
    total = multiplier * whole * whole
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        if not all(b + a * whole <= 0 for _, a, b in (first, second)):
            gains = [w * b + (w * a) ** 2 / (4 * multiplier) for w, a, b in (first, second)]
            total += gains[0].max(gains[1]).max(arb(0))
    return total
