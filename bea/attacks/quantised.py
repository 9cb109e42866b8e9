"""Ways past a quantiser before a network f: attacks on ``f(Q(x))`` that need no derivative of Q (paper R, section C).

- The smallest factor of a change that gets through: ``min {t ≥ 0 : f(Q(x + t Δx)) has the class asked for}``. Along a
  ray the quantised image changes at finitely many t only, so that trying them in order is exact.
- The backward error of a change behind Q: ``min {‖x' - x‖ : Q(x') = w}``. It splits into the pixels: each moves to the
  nearest point of its level's cell, which reaches half a step to both sides: in every norm the least.
- A step along signs that are estimated from the outputs alone, by differences that are no smaller than the step.
"""

from dataclasses import dataclass

import numpy as np

from bea.attacks.common import InputAttackResult, StepResult, achieved, check_aim, conclude, in_image_blocks
from bea.networks.leads import lead
from bea.networks.network import Network
from bea.networks.pixels import into_range
from bea.networks.quantiser import Quantise
from bea.numerics.arrays import column, flat
from bea.numerics.checks import check_count, check_each
from bea.numerics.progress import showing

INSIDE = 1e-12  # of a step: how far inside its cell a pixel stays, so that rounding does not take it out again
BEHIND = 1e-9  # of a factor: how far behind the edge of a cell the image is looked at


@dataclass(frozen=True, eq=False)
class FactorResult(InputAttackResult):
    """What came of a batch of n changes that were stretched or shrunk; see ``InputAttackResult``.

    Attributes
    ----------
    factor : array (n,)
        By which the change was multiplied; 0 where x has the class asked for already, NaN where none was found.
    """

    factor: np.ndarray


def nearest_preimage(layer: Quantise, x, wanted) -> np.ndarray:
    """Return the images nearest to x that the layer rounds to the wanted ones, of the shape of x.

    ``min ‖x' - x‖`` subject to ``Q(x') = wanted``: pixel by pixel ``x'`` is x clipped to the cell of the wanted level,
    less 1e-12 of a step at its edges, because a tie belongs to one side only.

    Parameters
    ----------
    layer : Quantise
    x : array
        Images before the layer.
    wanted : array of the same shape
        What the layer shall give, levels of it.

    Raises
    ------
    ValueError
        If the shapes differ, or ``wanted`` holds numbers that are no levels.
    """
    x, wanted = np.asarray(x, dtype=float), np.asarray(wanted, dtype=float)
    if wanted.shape != x.shape:
        raise ValueError(f"wanted: expected the shape of x, {x.shape}, received {wanted.shape}")
    step = layer.step
    level = layer.forward(wanted)
    off = ~(np.abs(level - wanted) <= INSIDE * step)
    if off.any():
        raise ValueError(f"wanted: expected levels of the quantiser, received {wanted[off].flat[0]}")
    half = (0.5 - INSIDE) * step
    below = np.where(level == layer.low, -np.inf, level - half)
    above = np.where(level == layer.forward(np.array(layer.high)), np.inf, level + half)
    return np.clip(x, below, above)


def smallest_factor(net: Network, x, label, dx, *, target=None, largest=np.inf, progress=False) -> FactorResult:
    """Stretch or shrink a change until it gets through the quantiser (paper R, section C).

    ``min {t ≥ 0 : f(Q(clip(x + t Δx))) has the class asked for}``, clipped to the range of the pixels. Between two
    factors at which a pixel crosses the edge of a cell nothing changes, so the network is asked just behind each of
    them, in rising order: exact up to 1e-9 of the factor and 1e-12 of a step of the quantiser.

    Parameters
    ----------
    net : Network
        Whose first layer is a ``Quantise``, with an ``input_range``.
    x, label, target
        As in ``bea.attacks.gradient_signs.fgsm``.
    dx : array (n, *input_shape)
        The changes, finite.
    largest : float
        Largest factor tried.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Raises
    ------
    ValueError
        For a network without quantiser or range, images of wrong shape or range, classes of wrong shape or out of
        range, changes of wrong shape or not finite, or ``largest`` not positive.
    TypeError
        For classes that are not integers.
    """
    layer = net.layers[0]
    if not isinstance(layer, Quantise):
        raise ValueError(f"net: expected a Quantise as its first layer, received a {type(layer).__name__}")
    x, aim, targeted = check_aim(net, x, label, target, clip=True)
    dx = np.asarray(dx, dtype=float)
    if dx.shape != x.shape or not np.isfinite(dx).all():
        raise ValueError(f"dx: expected finite numbers of shape {x.shape}, received shape {dx.shape}")
    if not largest > 0.0:
        raise ValueError(f"largest: expected a positive number, received {largest}")
    step = layer.step
    edges = layer.low + (np.arange(layer.levels - 1) + 0.5) * step
    edges = edges[(edges > net.input_range[0]) & (edges < net.input_range[1])]

    def block(x, dx, aim):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            crossings = (edges - flat(x)[:, :, None]) / flat(dx)[:, :, None]
            # Where x lies at an edge, the factor's own digits do not lead behind it.
            behind = np.maximum(BEHIND * crossings, INSIDE * step / np.abs(flat(dx)[:, :, None]))
            crossings = np.where((crossings >= 0.0) & (crossings <= largest), crossings + behind, np.inf)
        crossings = np.sort(flat(crossings), axis=1)
        factor = np.where(achieved(net.classify(x), aim, targeted), 0.0, np.nan)
        rest = np.flatnonzero(np.isnan(factor))
        for t in crossings.T:
            rest = rest[np.isfinite(t[rest])]
            if not rest.size:
                break
            found = net.classify(np.clip(x[rest] + column(t[rest], x) * dx[rest], *net.input_range))
            won = achieved(found, aim[rest], targeted)
            factor[rest[won]] = t[rest[won]]
            rest = rest[~won]
        change = into_range(net, x, column(factor, x) * dx)
        return *conclude(net, x, change, aim, targeted), factor

    unknowns = x[0].size * len(edges) if len(x) else 0
    with showing(progress):
        return FactorResult(*in_image_blocks(net, block, x, dx, aim, unknowns=unknowns))


def difference_step(
    net: Network, x, label, epsilon, *, target=None, directions=200, seed=0, progress=False
) -> StepResult:
    """One step along signs estimated from the logits alone, without a derivative.

    ``Δx = ±ε sign Σ_u (m(x + ε u) - m(x - ε u)) u`` over random vectors u of signs, m the lead of the target, or, with
    the sign minus, of the label; all images clipped to the range. The sum is an estimate of a gradient of m that is
    smoothed over the box, in which cells of a quantiser narrower than the box do not show. The network is asked
    ``2 directions`` times.

    Parameters
    ----------
    net, x, label, target
        As in ``bea.attacks.gradient_signs.fgsm``; the network needs an ``input_range``.
    epsilon : float or array (n,)
        Step, and largest change of a pixel, positive.
    directions : int
    seed : int
        Of the random signs.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Raises
    ------
    ValueError
        As ``fgsm`` with ``clip``, and for ``directions`` below one.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip=True)
    epsilon = check_each("epsilon", epsilon, len(x))
    check_count("directions", directions)

    def block(x, aim, epsilon):
        # The same signs for every sample: no sample depends on its place in the batch.
        rng, total = np.random.default_rng(seed), np.zeros_like(x)
        for _ in range(directions):
            u = rng.choice([-1.0, 1.0], x.shape[1:])
            ends = [lead(net(np.clip(x + sign * column(epsilon, x) * u, *net.input_range)), aim) for sign in (1, -1)]
            total += column(ends[0] - ends[1], x) * u
        change = column(epsilon, x) * np.sign(total if targeted else -total)
        dx = into_range(net, x, change)
        return *conclude(net, x, dx, aim, targeted), epsilon

    with showing(progress):
        return StepResult(*in_image_blocks(net, block, x, aim, epsilon))
