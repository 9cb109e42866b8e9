"""How far a pass with few digits can be from float64 behind every layer, entry by entry.

Let H be the input of a layer in float64, with image and weights rounded to the format, and ``|ĥ - H| ≤ E`` entry by
entry. Then for an affine layer of n terms, u and η the relative and absolute errors of a rounding,

    |v̂ - (A H + b)| ≤ |A| E + R,    R ≤ n u (|A| (|H| + E) + |b|) + n η

whatever the order of the sums (Jeannerod and Rump 2013; γ_n in place of n u where rounding is stochastic). In a known
order ``R ≤ (1 + u)^n Σ_k (u |s_k| + u |A| E + e_k)`` with the partial sums s_k of ``A H + b`` and the errors e_k of the
products: a running error analysis (Wilkinson 1963), which profits from sums that cancel. The smaller one is taken. With
stochastic rounding, image and weights are not known but within 2u, which E and R hold as well.

What is computed here in float64 is enlarged so that its own rounding cannot do harm.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from bea.bounds.lipschitz import gamma
from bea.bounds.rounding import EXACT, OTHERS
from bea.networks.activations import BELL_SHAPED
from bea.networks.global_pooling import GlobalMaxPool
from bea.networks.layers import Activation, Dense, Flatten, Readout
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.residual import Residual
from bea.networks.windows import AveragePool, Convolution, MaxPool
from bea.numerics.arrays import flat
from bea.precision.growth import ROUNDS_NOTHING, worst_growth
from bea.precision.products import Arithmetic, partial_sums

RISING = (*BELL_SHAPED, "elu", "hard_sigmoid", "hard_tanh", "relu6", "selu", "softplus", "softsign")  # never fall
SLACK = 1.0 + 1e-9  # for the rounding of bounds that are computed in float64


def all_of(mask) -> np.ndarray:
    """Return for which samples (n, …) all entries are true."""
    return flat(mask).all(axis=1)


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of n images behind a layer: their numbers are within ``error`` of y, if ``sound`` (n,)."""

    y: np.ndarray
    error: np.ndarray
    sound: np.ndarray

    def moved(self, move) -> "Known":
        """Return the same behind a layer that only moves numbers or picks the largest."""
        return Known(move(self.y), move(self.error), self.sound)


@dataclass(frozen=True, eq=False)
class Sums:
    """What is known of the sums of a layer, all (n, positions, rows) but ``sound`` (n,).

    Attributes
    ----------
    value : array
        The sums of the middles.
    passed : array
        What the errors of the input do to them at most.
    of_weights : array
        What weights do that are not known, with stochastic rounding.
    rest : array
        What the roundings of products, sums and the result do.
    sound : bool array (n,)
    """

    value: np.ndarray
    passed: np.ndarray
    of_weights: np.ndarray
    rest: np.ndarray
    sound: np.ndarray


@dataclass(frozen=True, eq=False)
class Run:
    """How one block of images is followed through a network; the weights are known numbers or the middles of them."""

    machine: Arithmetic
    weights: dict
    order: str

    def stored(self, sizes) -> np.ndarray:
        """Return how far numbers of these sizes move at most when they are stored."""
        return self.machine.unit * sizes + self.spacing(self.machine.format)

    def spacing(self, format) -> float:
        """Return the error of a rounding to a format among its subnormal numbers."""
        return format.spacing * (0.5 if self.machine.rounding == "nearest" else 1.0)

    def through(self, layers, known: Known) -> Known:
        """Return what is known behind a sequence of layers."""
        for layer in layers:
            known = _step(layer, known, self)
        return known

    def kept(self, y, error, sound) -> Known:
        """Return what is known of numbers within ``error`` of y after they are stored."""
        sizes = np.abs(y) + error
        moved = error + self.stored(sizes) + gamma(2) * sizes  # the last for sums and quotients in float64
        return Known(y, moved * SLACK, sound & all_of(sizes * SLACK <= self.machine.format.largest))

    def affine(self, layer, h, error) -> Sums:
        """Return what is known of ``A ĥ + b`` as it is stored, for ĥ within ``error`` of h, (n, positions, inputs)."""
        matrix, machine, size = self.weights[layer], self.machine, h.shape[2]
        kernel, bias = matrix[:, :size], matrix[:, size:].sum(axis=1)
        value = h @ kernel.T + bias
        passed = error @ np.abs(kernel).T
        sizes, of_weights = np.abs(h) @ np.abs(kernel).T + passed + np.abs(bias), np.zeros_like(value)
        if machine.rounding == "stochastic":
            unknown = self.stored(np.abs(matrix))
            of_weights = (np.abs(h) + error) @ unknown[:, :size].T + unknown[:, size:].sum(axis=1)
            sizes += of_weights
        rest = self._of_sums(layer, kernel, bias, h, sizes, passed + of_weights)
        rest += 4.0 * gamma(size + 8) * sizes  # of float64
        sound = np.all((sizes + rest) * SLACK <= machine.accumulator.largest, axis=(1, 2))
        sound &= np.abs(matrix).max() <= machine.format.largest
        if machine.accumulator != machine.format:
            reached = np.abs(value) + passed + of_weights + rest
            rest += self.stored(reached)
            sound &= np.all(reached * SLACK <= machine.format.largest, axis=(1, 2))
        return Sums(value, passed, of_weights, rest, sound)

    def _of_sums(self, layer, kernel, bias, h, sizes, moved):
        """Return R: what the roundings of products and sums do at most."""
        machine, inputs = self.machine, kernel.shape[1]
        unit, terms = machine.sum_unit, inputs + bool(layer.bias)
        lost = inputs * self.spacing(machine.accumulator)  # of products that are subnormal
        if machine.rounding == "nearest":
            growth = (terms - 1) * unit * (1.0 + unit) + unit
        else:
            growth = worst_growth(terms, unit)
        if self.order == "pairwise":
            growth = np.minimum(growth, worst_growth(machine.roundings(inputs, layer.bias), unit))
        found = growth * sizes + lost * (1.0 + growth)
        if self.order != "sequential" or growth < machine.unit:  # the result itself is rounded by more
            return found
        flat_h = h.reshape(-1, inputs)
        partial = partial_sums(kernel, bias if layer.bias else None, flat_h).reshape(sizes.shape)
        running = (1.0 + unit) ** terms * (unit * (partial + terms * moved + sizes) + lost)
        return np.minimum(found, running * SLACK)


@functools.singledispatch
def _step(layer, known, run):
    raise ValueError(f"net: expected layers with a bound of their rounding, received a {type(layer).__name__}")


@_step.register
def _(layer: Flatten | Reshape | Permute | Pad | Crop | MaxPool | GlobalMaxPool, known, run):
    return known.moved(layer.forward)


@_step.register
def _(layer: Dense | Readout, known, run):
    sums = run.affine(layer, known.y[:, None], known.error[:, None])
    error = (sums.passed + sums.of_weights + sums.rest) * SLACK
    return Known(sums.value[:, 0], error[:, 0], known.sound & sums.sound)


@_step.register
def _(layer: Convolution, known, run):
    if layer.groups > 1:
        raise ValueError(f"net: expected convolutions without groups, received one with {layer.groups}")
    inputs, shape = layer.kernel.shape[1], layer.output_shape(known.y.shape[1:])
    sums = run.affine(layer, *(layer.unfold(each)[..., :inputs] for each in (known.y, known.error)))
    error = (sums.passed + sums.of_weights + sums.rest) * SLACK
    return Known(*(each.reshape(-1, *shape) for each in (sums.value, error)), known.sound & sums.sound)


@_step.register
def _(layer: Activation, known, run):
    y = layer.forward(known.y)
    if layer.name in RISING:
        ends = (layer.forward(known.y + sign * known.error) for sign in (-1.0, 1.0))
        error = functools.reduce(np.maximum, (np.abs(end - y) for end in ends))
    else:
        error = (np.inf if layer.steepest is None else layer.steepest) * known.error
    if layer.name not in EXACT:
        error = error + 4.0 * gamma(OTHERS) * (np.abs(y) + np.abs(known.y) + known.error)
    if layer.name in ROUNDS_NOTHING:
        return Known(y, error * SLACK, known.sound)
    return run.kept(y, error, known.sound)


@_step.register
def _(layer: AveragePool, known, run):
    machine, count = run.machine, math.prod(layer.size)
    means = layer.forward(np.abs(known.y) + known.error)  # as the layer takes them, sums over what it divides by
    error = (
        layer.forward(known.error) + worst_growth(count, machine.sum_unit) * means + run.spacing(machine.accumulator)
    )
    sound = known.sound & all_of((means + error) * count * SLACK <= machine.accumulator.largest)
    return run.kept(layer.forward(known.y), error + gamma(count + 1) * means, sound)


@_step.register
def _(layer: Residual, known, run):
    branch, shortcut = (run.through(path, known) for path in layer.paths)
    return run.kept(branch.y + shortcut.y, branch.error + shortcut.error, branch.sound & shortcut.sound)
