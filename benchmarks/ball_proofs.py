"""Radii of the tight bound (``bea.bounds.ball_dense``) proved again in ball arithmetic, without its code.

The problem: given a radius r that ``lower_bound`` claims for an image, prove that the own class leads every other one
wherever ‖δ‖ ≤ r. The theorem is the same, with its steps D1 to D5. What it leaves free (slopes of bands, the point δ̂,
where parabolas touch, sectors, T and μ) is chosen in float64 again; what it then says is computed in balls, weights and
image being exact. Instead of an orthonormal basis of the rows of A_1 there is ``G = A_1 A_1ᵀ``, and δ̂ is ``A_1ᵀ w``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from flint import arb, arb_mat, ctx

from bea.bounds.ball_ranges import Stage, hidden_stages
from bea.networks.network import Network
from benchmarks.ball_curves import Curve, band, parabolas, sector
from benchmarks.ball_duality import least_in_ball, through
from benchmarks.ball_layerwise import affine, biases, layerwise_reach, leads_apart
from benchmarks.balls import BITS, dot, floats, matrix, root, times

# (push, part) as in ``bea.bounds.ball_quadratic``: how far parabolas touch from a kink, and the part of δ̂.
TRIES = {"bent": ((0.15, 1.0), (0.3, 1.0)), "smooth": ((0.0, 1.0), (0.0, 0.6))}


@dataclass(frozen=True, eq=False)
class Proof:
    """A network of dense layers in balls, and in float64 for the choices.

    Attributes
    ----------
    stages : list of Stage
        Its hidden layers.
    kernels, biases : lists
        Theirs, in balls.
    products : arb_mat
        G.
    guess : array (rows, rows)
        G in float64.
    last : array (classes, units)
    offset : list of arb
    touched : list of (v, d, w)
        Where the bound was tight as it held, for the first inputs v and a difference d of last rows: at ``A_1ᵀ w``.
    """

    net: Network
    stages: list[Stage]
    kernels: list[arb_mat]
    biases: list[list[arb]]
    products: arb_mat
    guess: np.ndarray
    last: np.ndarray
    offset: list[arb]
    touched: list[tuple[np.ndarray, np.ndarray, np.ndarray]]

    @classmethod
    @ctx.workprec(BITS)
    def of(cls, net: Network, touched: list[tuple[np.ndarray, np.ndarray, np.ndarray]]):
        """Return that of a network with a hidden layer, or raise ``ValueError`` for another one."""
        stages = hidden_stages(net)
        if not stages:
            raise ValueError("net: expected a hidden layer, received none")
        kernels = [matrix(stage.kernel) for stage in stages]
        bias = [[arb(number) for number in stage.bias.tolist()] for stage in stages]
        products = kernels[0] * kernels[0].transpose()
        last = net.layers[-1]
        return cls(net, stages, kernels, bias, products, floats(products), last.kernel, biases(last), touched)

    def proves(self, image, radius: float) -> bool:
        """Return whether the class of an image (input_shape) is proved to lead all others within the radius."""
        if not radius > 0.0:
            return True
        at = self.at(image)
        with ctx.workprec(BITS):
            known = at.known(radius)
            if all(at.leads(known, rival, radius) for rival in range(self.net.classes) if rival != at.own):
                return True
            # Where one constant a layer gave more, it counts.
            return leads_apart(self.net.layers[-1], at.logits(), at.own, layerwise_reach(self.net) * arb(radius))

    def at(self, image) -> "At":
        """Return what a proof needs of an image (input_shape)."""
        with ctx.workprec(BITS):
            first = [a + b for a, b in zip(times(self.kernels[0], image.ravel().tolist()), self.biases[0], strict=True)]
        return At(self, first, floats(first), int(self.net.classify(image[None])[0]))


@dataclass(frozen=True, eq=False)
class Known:
    """Step D1 for one activation: ranges of its inputs, exact, and ``v = centre + B A_1 δ + W ε``, |ε| ≤ box."""

    low: list[arb]
    high: list[arb]
    centre: list[arb]
    linear: arb_mat
    box: list[arb] | None


@dataclass(frozen=True, eq=False)
class At:
    """An image: the inputs ``first`` of its first activation, and its class."""

    proof: Proof
    first: list[arb]
    guess: np.ndarray
    own: int

    def logits(self) -> list[arb]:
        """Return the logits of the image."""
        v, stages, layer = self.first, self.proof.stages, self.proof.net.layers[-1]
        for number, stage in enumerate(stages):
            y = [Curve.of(stage.activation).value(ball) for ball in v]
            if number + 1 < len(stages):
                v = _plus(times(self.proof.kernels[number + 1], y), self.proof.biases[number + 1])
        return affine(matrix(layer.kernel), layer, y)

    def leads(self, known: list[Known], rival: int, radius: float) -> bool:
        """Return whether the own class is proved to lead a rival within the radius."""
        if self.least_affine(known, rival, radius) > 0:
            return True
        bent = any(stage.activation.name in ("relu", "smooth_relu") for stage in self.proof.stages)
        return any(
            self.least_lead(known, rival, radius, part * point, push) > 0
            for point in self.points(rival, radius)
            for push, part in TRIES["bent" if bent else "smooth"]
        )

    def difference(self, rival: int) -> tuple[list[arb], arb]:
        """Return the last row and bias of the own class less those of the rival."""
        proof = self.proof
        rows = zip(proof.last[self.own].tolist(), proof.last[rival].tolist(), strict=True)
        constant = proof.offset[self.own] - proof.offset[rival]
        return [arb(a) - arb(b) for a, b in rows], constant

    def known(self, radius: float) -> list[Known]:
        """Return what is known of the inputs of every activation within the radius (step D1)."""
        proof, r = self.proof, arb(radius)
        size = len(self.first)
        half = [root(proof.products[i, i]) * r for i in range(size)]
        low = [(v - h).lower() for v, h in zip(self.first, half, strict=True)]
        high = [(v + h).upper() for v, h in zip(self.first, half, strict=True)]
        unit = arb_mat(size, size, [arb(int(i == j)) for i in range(size) for j in range(size)])
        found = [Known(low, high, self.first, unit, None)]
        forms, image = [(self.first, unit, [arb(0)] * size)] * 2, self.first
        for number, stage in enumerate(proof.stages[1:], 1):
            curve = Curve.of(proof.stages[number - 1].activation)
            kernel, bias, absolute = proof.kernels[number], proof.biases[number], matrix(np.abs(stage.kernel))
            chords = [_chord(curve, a, b) for a, b in zip(low, high, strict=True)]
            slopes = chords, [_exact(curve.slope(v)) for v in image]
            image = _plus(times(kernel, [curve.value(v) for v in image]), bias)
            sides, passed, boxes = [], [], []
            for (centre, linear, spread), slope in zip(forms, slopes, strict=True):
                bands = [band(curve, a, b, s) for a, b, s in zip(low, high, slope, strict=True)]
                box = [abs(s) * w + half for s, w, (_, half) in zip(slope, spread, bands, strict=True)]
                moved = [s * c + offset for s, c, (offset, _) in zip(slope, centre, bands, strict=True)]
                centre = _plus(times(kernel, moved), bias)
                rows = linear.tolist()
                linear = kernel * arb_mat([[s * entry for entry in row] for s, row in zip(slope, rows, strict=True)])
                spread = times(absolute, box)
                reached = [root(square) * r + w for square, w in zip(self._squares(linear), spread, strict=True)]
                sides.append([(c - h, c + h) for c, h in zip(centre, reached, strict=True)])
                passed.append((centre, linear, spread))
                boxes.append(box)
            forms = passed
            low = [a[0].lower().max(b[0].lower()) for a, b in zip(*sides, strict=True)]
            high = [a[1].upper().min(b[1].upper()) for a, b in zip(*sides, strict=True)]
            found.append(Known(low, high, *forms[0][:2], boxes[0]))
        return found

    def _squares(self, linear: arb_mat) -> list[arb]:
        """Return the squared lengths of the rows of ``linear A_1``."""
        return [dot(a, b) for a, b in zip((linear * self.proof.products).tolist(), linear.tolist(), strict=True)]

    def least_affine(self, known: list[Known], rival: int, radius: float) -> arb:
        """Return a lower bound of the lead within the radius from step D1 alone."""
        (d, constant), last, stage = self.difference(rival), known[-1], self.proof.stages[-1]
        curve = Curve.of(stage.activation)
        slope = [_chord(curve, a, b) for a, b in zip(last.low, last.high, strict=True)]
        bands = [band(curve, a, b, s) for a, b, s in zip(last.low, last.high, slope, strict=True)]
        rows = [a * s for a, s in zip(d, slope, strict=True)]
        lead = constant + dot(rows, last.centre) + dot(d, [offset for offset, _ in bands])
        lead -= dot([abs(a) for a in d], [half for _, half in bands])
        row = arb_mat([rows])
        if last.box is not None:
            lead -= dot([abs(a) for a in (row * self.proof.kernels[-1]).entries()], last.box)
        return (lead - root(self._squares(row * last.linear)[0]) * arb(radius)).lower()

    def least_lead(self, known: list[Known], rival: int, radius: float, point: np.ndarray, push: float) -> arb:
        """Return a lower bound of the lead within the radius, tight near ``A_1ᵀ point`` (steps D2 to D5)."""
        proof, (d, constant) = self.proof, self.difference(rival)
        moved = times(proof.products, point.tolist())
        reached, outputs = [_plus(self.first, moved)], []
        for number, stage in enumerate(proof.stages[:-1]):
            outputs.append([Curve.of(stage.activation).value(v) for v in reached[-1]])
            reached.append(_plus(times(proof.kernels[number + 1], outputs[-1]), proof.biases[number + 1]))
        lead, weight, above = constant, d, None
        for number in range(len(proof.stages) - 1, -1, -1):
            stage, here, at = proof.stages[number], known[number], reached[number]
            exact = [w.mid() for w in weight]  # what is left of the weight counts against the lead
            below = parabolas(stage.activation, exact, floats(at), here.low, here.high, push)
            curve = Curve.of(stage.activation)
            for w, a, b in zip(weight, here.low, here.high, strict=True):
                lead -= w.rad() * abs(curve.value(a)).max(abs(curve.value(b)))
            off = [v - t for v, t in zip(at, below.t, strict=True)]
            lead += sum(below.value, arb(0)) + dot(below.slope, off)
            lead -= sum((c * o * o for c, o in zip(below.c, off, strict=True)), arb(0))
            g = [s - 2 * c * o for s, c, o in zip(below.slope, below.c, off, strict=True)]
            quadratic = below.c
            if above is not None:
                sectors = [sector(curve, v, a, b) for v, a, b in zip(at, here.low, here.high, strict=True)]
                quadratic = through(above, sectors, floats(here.high) - floats(here.low))
                for i, c in enumerate(below.c):
                    quadratic[i, i] += c
            if number > 0:
                kernel = proof.kernels[number]
                weight = (arb_mat([g]) * kernel).entries()
                lead -= dot(weight, outputs[number - 1])
                above = kernel.transpose() * _scaled(quadratic, kernel)
        return least_in_ball(proof.products, lead, g, quadratic, moved, radius)

    def points(self, rival: int, radius: float) -> Iterator[np.ndarray]:
        """Return one w after the other for which the lead is small at ``A_1ᵀ w`` (step D6, in float64).

        The last two at which the bound held, if they were recorded; then what steps along the gradient find, from the
        image and from shorter and longer changes.
        """
        d = self.proof.last[self.own] - self.proof.last[rival]
        near = [w for v, e, w in self.proof.touched if np.array_equal(e, d) and np.allclose(v, self.guess, atol=1e-9)]
        yield from near[:-3:-1]
        for factors in ((1.0,), (0.5, 0.8, 0.95, 1.0), (2.0, 1.4, 1.1, 1.0)):
            w = np.zeros(len(self.guess))
            for factor in factors:
                w = self.descend(rival, factor * radius, w)
            yield w

    def descend(self, rival: int, radius: float, start: np.ndarray, steps: int = 20) -> np.ndarray:
        """Return the point with the least lead over the rival that some steps along its gradient find, as a w."""
        proof, w, best, least = self.proof, start, start, np.inf
        d, G = proof.last[self.own] - proof.last[rival], proof.guess
        for step in range(steps + 1):
            w = w * (radius / max(np.sqrt(max(w @ G @ w, 0.0)), 1e-300))
            v, slopes = self.guess + G @ w, []
            for number, stage in enumerate(proof.stages):
                y = stage.activation.forward(v)
                slopes.append(stage.activation.slope(v, y))
                if number + 1 < len(proof.stages):
                    v = proof.stages[number + 1].kernel @ y + proof.stages[number + 1].bias
            if w.any() and d @ y < least:
                best, least = w, d @ y
            row = d * slopes[-1]
            for stage, slope in zip(proof.stages[:0:-1], slopes[-2::-1], strict=True):
                row = (row @ stage.kernel) * slope
            turn = -row * (radius / max(np.sqrt(max(row @ G @ row, 0.0)), 1e-300))
            w = turn if step < 3 else (w + turn) / 2
        return best


def _chord(curve, low, high):
    """Return the slope of a chord, about: any slope will do."""
    width = high - low
    return _exact((curve.value(high) - curve.value(low)) / width if width > 1e-6 else curve.slope((low + high) / 2))


def _exact(ball):
    return arb(max(float(ball), 0.0))


def _plus(left, right):
    return [a + b for a, b in zip(left, right, strict=True)]


def _scaled(quadratic, kernel):
    """Return Q times a kernel, Q given by its diagonal or as a matrix."""
    if not isinstance(quadratic, list):
        return quadratic * kernel
    return arb_mat([[c * entry for entry in row] for c, row in zip(quadratic, kernel.tolist(), strict=True)])
