"""The ball of all changes of weights and input whose relative norm is r at most: steps W1 and W2 of the tight bound.

W1. A change ΔA of a layer that meets h, with a one for the bias, moves its output by ``ΔA h``: any vector of length
   ``‖ΔA‖ ‖h‖`` (Frobenius) or less. Where no other change comes before, h is that of the image, and the outputs of the
   layer fill a ball: nothing is lost.
W2. Behind other changes ``ΔA h = α H t`` with α = ‖A‖, H no less than any ‖h‖ in the ball, and ``‖t‖ ≤ ‖ΔA‖/α``. So all
   t, and ``s = Δx/‖x‖``, are together one vector that is no longer than the relative norm of eq. (5) of paper B.
"""

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from bea.backward.closed_form import Changing
from bea.backward.reduction import holding
from bea.bounds.ball_ranges import Ball, Inputs, Stage, hidden_stages, inputs_in_ball
from bea.bounds.lipschitz import spectral_norm
from bea.bounds.minorants import sector
from bea.networks.layers import Activation, Dense
from bea.networks.network import Network
from bea.networks.sequence import run
from bea.numerics.arrays import flat, image_norms

UP = 1.0 + 1e-12  # covers the rounding of a few operations


@dataclass(frozen=True, eq=False)
class WeightBall:
    """Images of a batch, each with a vector of changes ``(z, t_2, …, t_p)`` in a ball.

    Stages are counted from the first change on: there v moves by ``basis @ (scale z)``, where the scale is ``spread``,
    or, if the input of a first layer W changes, ``scale² = β² λ + α² (β² (1 + r)² + bias)`` with ``β = spread`` and
    the eigenvalues λ of W Wᵀ; α is zero if W itself stays. The vectors ``β W s + α ‖h‖ t_1`` are within that.

    Attributes
    ----------
    stages : list of Stage
        Of the first one only the activation counts.
    image : list of arrays (n, units)
        Inputs of all activations at the image.
    alphas : list of float
        ‖A‖ of the layers of all stages and of the last layer, zero for one that stays. The first is that of W above.
    biased : list of bool
        Whether these layers have a bias.
    norms : list of float
        Spectral norms of the kernels of all stages.
    spread : array (n,)
    basis : array (units, k), orthonormal
    values : array (k,) or None
        λ, if the input changes.
    last : array (classes, inputs)
        The last kernel.
    """

    stages: list[Stage]
    image: list[np.ndarray]
    alphas: list[float]
    biased: list[bool]
    norms: list[float]
    spread: np.ndarray
    basis: np.ndarray
    values: np.ndarray | None
    last: np.ndarray

    @property
    def sizes(self) -> list[int]:
        """How many numbers z, t_2, …, t_p are; of t_p only the one by which the rival gains on the own class counts."""
        units = [len(stage.kernel) for stage in self.stages[1:]]
        changing = [bool(alpha) for alpha in self.alphas[1:]]
        return [self.basis.shape[1], *(a * b for a, b in zip([*units, 1], changing, strict=True))]

    @property
    def plain(self) -> bool:
        """Whether z is in the basis of the units."""
        return self.values is None

    @property
    def loss(self) -> float:
        """√2 α_p: times ‖h‖ t_p this is what the own class loses to the rival by ΔA_p, two rows of which change."""
        return np.sqrt(2.0) * self.alphas[-1]

    def take(self, samples) -> "WeightBall":
        """Return the same for some of the images."""
        return replace(self, image=[v[samples] for v in self.image], spread=self.spread[samples])

    def split(self, point) -> list[np.ndarray]:
        """Return z, t_2, …, t_p of points (n, numbers), arrays without columns for what does not change."""
        return np.split(point, list(accumulate(self.sizes))[:-1], axis=1)

    def scale(self, r) -> np.ndarray:
        """Return the scale of z in the ball of radius r (n,), (n, k)."""
        spread = self.spread[:, None]
        if self.values is None:
            return np.broadcast_to(spread, (len(spread), self.basis.shape[1]))
        longest = (spread * (1.0 + r[:, None])) ** 2 + self.biased[0]
        return np.sqrt(spread**2 * self.values + self.alphas[0] ** 2 * longest) * UP


def weight_ball(net: Network, x, change: Changing) -> WeightBall | None:
    """Return the ball around images (n, *input_shape); None if only the last layer changes.

    Raises
    ------
    ValueError
        If a layer from the first change on is not dense, nor an elementwise activation behind a dense one.
    """
    position, first = (0, 0) if change.input else holding(net.layers, change.layers.index(True))
    stages = hidden_stages(net, position)
    dense = [layer for layer in net.layers[position:] if isinstance(layer, Dense)]
    alphas = [a if changes else 0.0 for a, changes in zip(net.weight_norms, change.layers, strict=True)][first:]
    y, sizes, values = flat(run(net.layers[:position], x)), image_norms(x), None
    biased, norms, last = [layer.bias for layer in dense], [spectral_norm(s.kernel) for s in stages], dense[-1].kernel
    if change.input and not stages:
        # A stage that hands on the image itself: within the rows of W, the rest of it, and what is orthogonal to both.
        columns, triangle = np.linalg.qr(last.T)
        inside = y @ columns
        v = np.column_stack([inside, image_norms(y - inside @ columns.T), np.zeros(len(y))])
        last = np.column_stack([triangle.T, np.zeros((len(last), 2))])
        basis = np.eye(v.shape[1])
        stages, alphas = [Stage(basis, np.zeros(len(basis)), Activation("linear"))], [0.0, *alphas]
        biased, norms, spread = [False, *biased], [1.0], sizes
    elif change.input:
        values, basis = np.linalg.eigh(dense[0].kernel @ dense[0].kernel.T)
        values = np.maximum(values, 0.0) + 1e-12 * np.abs(values).max()
        v, spread = dense[0].forward(y), sizes
    elif stages:
        v, basis = dense[0].forward(y), np.eye(len(dense[0].matrix))
        spread = alphas[0] * image_norms(dense[0].augment(y))
    else:
        return None
    image = [v]
    for before, stage in pairwise(stages):
        image.append(before.activation.forward(image[-1]) @ stage.kernel.T + stage.bias)
    return WeightBall(stages, image, alphas, biased, norms, spread, basis, values, last)


@dataclass(frozen=True, eq=False)
class Reach:
    """What is known in the ball of radius ``r`` (n,).

    Attributes
    ----------
    ball : WeightBall
    r : array (n,)
    scale : array (n, k)
        Of z.
    inputs : list of Inputs
        Of all activations.
    lengths : list of arrays (n,)
        H of W2 for what every stage hands on.
    moved : array (n,)
        How far what the last stage hands on is moved at most.
    """

    ball: WeightBall
    r: np.ndarray
    scale: np.ndarray
    inputs: list[Inputs]
    lengths: list[np.ndarray]
    moved: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """From z to the inputs of the first activation, (n, units, k)."""
        return self.ball.basis * self.scale[:, None]

    def entering(self, number) -> np.ndarray:
        """Return α H of W2, by which the t of a stage enters its inputs, (n, 1); zero where its layer stays."""
        return (self.ball.alphas[number] * self.lengths[number - 1])[:, None]

    def take(self, samples) -> "Reach":
        """Return the same for some of the images, of their inputs no more than the ranges."""
        inputs = [Inputs(known.low[samples], known.high[samples], None, None, None) for known in self.inputs]
        lengths = [length[samples] for length in self.lengths]
        own = (array[samples] for array in (self.r, self.scale))
        return Reach(self.ball.take(samples), *own, inputs, lengths, self.moved[samples])


def reach(ball: WeightBall, r) -> Reach:
    """Return what is known in the ball of radius r (n,), by W2 and D1."""
    scale, lengths = ball.scale(r), []
    moved = [scale.max(axis=1) * r]

    def added(found):
        number = len(found)
        length, passed = _handed_on(ball.stages[number - 1], ball.image[number - 1], found[-1], moved[-1])
        lengths.append(np.sqrt(length**2 + ball.biased[number]) * UP)
        if number == len(ball.stages):
            moved.append(passed)
            return None
        own = ball.alphas[number] * lengths[-1]
        # ‖z‖ and ‖t‖ share r, so that what both move by has the length of a hypotenuse.
        moved.append(np.hypot(ball.norms[number] * passed, own * r) * UP)
        return own if ball.alphas[number] else None

    inputs = inputs_in_ball(Ball(ball.stages, ball.basis * scale[:, None], added), ball.image[0], r)
    added(inputs)
    return Reach(ball, r, scale, inputs, lengths, moved[-1])


def _handed_on(stage, image, inputs, moved):
    """Return bounds (n,) of the length of h, which a stage hands on, and of how far it moves.

    Its inputs move by ``moved`` at most. With h' = v' times slopes of chords, ``‖h‖² = ‖h(x)‖² + 2 h(x)·h' + ‖h'‖²``;
    and no entry leaves its range.
    """
    h = stage.activation.forward(image)
    middle, half = sector(stage.activation, image, inputs.low, inputs.high)
    steepest = np.abs(middle) + half
    passed, turned = steepest.max(axis=1) * moved, h * steepest
    square = np.vecdot(h, h) + 2.0 * np.sqrt(np.vecdot(turned, turned)) * moved + passed**2
    ends = np.maximum(np.abs(stage.activation.forward(inputs.low)), np.abs(stage.activation.forward(inputs.high)))
    return np.sqrt(np.minimum(square, np.vecdot(ends, ends))) * UP, passed
