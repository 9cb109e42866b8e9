"""Attacks by backward error (paper B, section 3): the smallest perturbation after which a chosen class wins."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from bea.backward_error import changing, first_order
from bea.layers import Activation
from bea.network import Linearisation, Network
from bea.perturbation import Perturbation
from bea.quadratic import smallest_feasible
from bea.reduction import Reduction, Tail, reduce
from bea.sequential import solve

METHODS = ("first-order", "converged")
BLOCK_BYTES = 2**24  # for one array of derivatives; blocks run side by side and hold a handful of them
LARGEST_BLOCK = 1024
TOLERANCE = 1e-7
MAX_ITERATIONS = 200
SLOW = 9  # linearisations after which another start is worth its time
# Where other searches start, as multiples of the point found first.
FARTHER = (2.0, 1.5)
# ReLUs are rounded off by these fractions of their input's typical size, one after the other.
ROUNDINGS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What came of a batch of n attacks.

    Attributes
    ----------
    perturbation : Perturbation
    target : int array (n,)
    success : bool array (n,)
        Whether the target wins in the perturbed network itself, nothing linearised, by at least ``margin_asked`` up
        to rounding.
    objective : array (n,)
        Eq. (5): the sum of squares of the relative norms.
    margin : array (n,)
        Target's logit less the largest other one, in the perturbed network.
    margin_asked : float
    iterations : int array (n,)
        Changes of the active set (first-order); linearisations of the search that was best (converged).
    kkt_residual : array (n,)
        Largest violation of the conditions of optimality, of eq. (6) for the first-order method, where constraints
        are relative to the largest right-hand side and complementarity to the objective, and of eq. (5) itself for
        the converged one (see ``bea.sequential.solve``). With ReLUs or maxima an optimum often lies on a kink, where
        these conditions mean nothing.
    """

    perturbation: Perturbation
    target: np.ndarray
    success: np.ndarray
    objective: np.ndarray
    margin: np.ndarray
    margin_asked: float
    iterations: np.ndarray
    kkt_residual: np.ndarray


def attack(
    net: Network, x, target, on="weights", *, method="first-order", margin=1e-3, starts=None, examples=None, seed=0
) -> AttackResult:
    """Smallest perturbation after which ``target`` wins (paper B, eqs. 5 and 6).

    Minimises ``Σ_i ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²`` subject to ``logit_target - logit_j ≥ margin`` for every other class
    j. An increasing output activation does not change who wins, so the constraints are on the logits. ("first-order")
    solves the problem linearised at the unperturbed network; for one affine layer with only weights or only the
    input perturbed that is exact: the global optimum. Otherwise it is linearised, and ``success`` says whether it
    holds in the network itself. ("converged") linearises again at every point it finds until the conditions of
    optimality of (5) hold: locally optimal.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    target : int array (n,)
        Class that shall win, different from the present one.
    on : {"weights", "input", "both"} or tuple
        What may change; a tuple holds numbers of weighted layers, from 1, and "input".
    method : {"first-order", "converged"}
    margin : float
        By how much, in units of the logits, the target must lead; positive, so that no tie is left to ``argmax``.
    starts : int, optional
        How many searches for each sample ("converged"); the best counts. The first starts from zero, the second and
        the third beyond the point that this one found, others at random. By default three where the first was slow,
        as it is where constraints bend much, and one elsewhere.
    examples : array (m, *input_shape), optional
        Images to start from ("converged", with a changing input) where no other search has succeeded: the nearest
        one that is classified as the target.
    seed : int
        Of the random starts.

    Returns
    -------
    AttackResult

    Raises
    ------
    ValueError
        For images of wrong shape or range, targets out of range or equal to the present class, a margin that is not
        positive, an unknown ``on`` or ``method``, fewer than one start.
    TypeError
        For targets that are not integers.
    """
    x = net.check_images(x)
    target = check_targets(net, x, target)
    change = changing(net, on)
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, received {method!r}")
    if not (np.isfinite(margin) and margin > 0):
        raise ValueError(f"margin: expected a positive number, received {margin!r}")
    if starts is not None and (not isinstance(starts, int) or starts < 1):
        raise ValueError(f"starts: expected a whole number from 1, received {starts!r}")
    if examples is not None:
        examples = net.check_images(examples, "examples")

    def one_block(part: slice) -> AttackResult:
        if method == "first-order":
            return _first_order(net, x[part], target[part], on, margin)
        rng = np.random.default_rng([seed, part.start])
        return _converged(reduce(net, x[part], change), target[part], margin, starts, examples, rng)

    size = _block_size(net, change)
    parts = [slice(i, i + size) for i in range(0, max(len(x), 1), size)]
    if len(parts) == 1:
        return one_block(parts[0])
    whole = None
    # Blocks side by side, each on one core: small matrices gain nothing from threads within a product.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        for part, block in zip(parts, pool.map(one_block, parts), strict=True):
            whole = _store(whole, block, part, len(x))
    return replace(whole, perturbation=replace(whole.perturbation, x=x))
