"""Attacks by backward error on the input that keep the pixels in their range: ``bea.attack(..., "input", clip=True)``.

To first order that is eq. (6) of paper B with ``low ≤ x + Δx ≤ high`` as well, a convex programme. Converged, what was
found without the range is the solution where it lies within, and where the search of ``bea.backward.in_range`` starts
where it does not; with maxima among the layers ``bea.backward.annealing`` searches instead, as it does there without
the range. A black image, whose Δx eq. (5) cannot measure, is a failure, as it is without the range.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from bea.backward.annealing import annealed, planned
from bea.backward.in_range import shortest_to_some_class, smallest_in_box, step_in_range
from bea.backward.result import AttackResult, attack_in_blocks, judge
from bea.networks.leads import lead_over_others
from bea.networks.network import Network
from bea.networks.perturbation import Perturbation
from bea.networks.pixels import into_range, limits
from bea.numerics.arrays import column, flat, image_norms
from bea.numerics.blocks import block_size, in_blocks


def linearised_in_range(net: Network, x, target, margin) -> AttackResult:
    """Return the smallest changes of eq. (6) within the range for one block of images, none of the target class."""
    linear = net.linearise(x)
    G, c = lead_over_others(linear.jacobian, target), margin - lead_over_others(linear.logits, target)
    low, high = limits(net, x)
    dx, multipliers, iterations = smallest_in_box(G, c, low, high)
    attained = ~np.isnan(multipliers).any(axis=1) & (image_norms(x) > 0.0)
    slack = np.matvec(G, dx) - c
    infeasibility = np.maximum(-slack, 0.0).max(axis=1) / np.abs(c).max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        complementarity = np.abs(multipliers * slack).max(axis=1) / np.vecdot(dx, dx)
    dx = into_range(net, x, np.where(attained[:, None], dx, np.nan).reshape(x.shape))
    conditions = iterations, np.maximum(infeasibility, complementarity)
    return judge(net, _of_input(net, x, dx), target, margin, linear.logits, *conditions)


def kept_in_range(net: Network, x, target, margin, found: AttackResult, examples=None) -> AttackResult:
    """Return the attack that keeps in the range, from what the converged one ``found`` without it.

    Where the range stands between the image and the target, the search starts from no change, and then from the nearest
    image with the class of the target among the ``examples`` and x.
    """
    low, high = net.input_range
    dx = np.where(column(found.success, x), found.perturbation.dx, np.nan)
    fits = flat((x + dx >= low) & (x + dx <= high)).all(axis=1)
    some = np.flatnonzero(~fits & (image_norms(x) > 0.0))
    dx[~fits] = np.nan
    starts, lengths = found.perturbation.dx[some], np.where(found.success, image_norms(found.perturbation.dx), np.inf)
    known = x if examples is None else np.concatenate([examples, x])
    elsewhere = (lambda rows, aims: np.zeros_like(x[some[rows]]), partial(_to_nearest, net, x[some], known))
    dx[some] = shortest_to_some_class(
        net, x[some], target[some, None], starts[:, None], lengths[some, None], margin, elsewhere
    )
    residual = found.kkt_residual.copy()
    residual[some] = _steps_left(net, x[some], target[some], margin, dx[some])
    return _put_through(net, x, target, margin, dx, found.iterations, residual)


def annealed_attack(net: Network, x, target, margin, starts=None, examples=None, seed=0) -> AttackResult:
    """Return the converged attack on the input of a network with maxima, within its ``input_range`` if it has one.

    ``bea.backward.annealing`` searches. Where nothing is found, one more search starts from the nearest image as
    ``kept_in_range`` has it.
    """
    dx, some = np.full_like(x, np.nan), np.flatnonzero(image_norms(x) > 0.0)
    known, plan = x if examples is None else np.concatenate([examples, x]), planned(net, starts)
    elsewhere = partial(_to_nearest, net, x[some], known)
    dx[some] = annealed(net, x[some], target[some, None], margin, elsewhere, seed, plan)
    residual = _steps_left(net, x, target, margin, dx)
    return _put_through(net, x, target, margin, dx, np.full(len(x), plan.length), residual)


def _steps_left(net, x, target, margin, dx) -> np.ndarray:
    """Return ``step_in_range`` of blocks of images."""
    block = block_size(net.layers, net.input_shape)
    return in_blocks(lambda x, target, dx: step_in_range(net, x, target, margin, dx), block, x, target, dx)


def _put_through(net, x, target, margin, dx, iterations, residual) -> AttackResult:
    """Return the attack that makes these changes."""

    def block(part: slice) -> AttackResult:
        change = replace(_of_input(net, x[part], dx[part]), standing="locally optimal")
        conditions = (iterations[part], residual[part])
        return judge(net, change, target[part], margin, net(x[part]), *conditions)

    return attack_in_blocks(block, x, block_size(net.layers, net.input_shape))


def _of_input(net, x, dx) -> Perturbation:
    """Return the perturbation of the input alone; not attained where dx is NaN."""
    return Perturbation([None] * len(net.weighted), dx, x, net.weight_norms, ~np.isnan(flat(dx)).any(axis=1))


def _to_nearest(net, x, known, rows, aims):
    """Return the way from some images to the nearest known one that has the class aimed at, zero for none."""
    way, classes = np.zeros_like(x[rows]), net.classify(known)
    for aim in np.unique(aims):
        some, there = np.flatnonzero(aims == aim), known[classes == aim]
        if len(there):
            nearest = cdist(flat(x[rows[some]]), flat(there)).argmin(axis=1)
            way[some] = there[nearest] - x[rows[some]]
    return way
