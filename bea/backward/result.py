"""What an attack by backward error returns, and the network's own word on whether it succeeded."""

from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np

from bea.networks.leads import allowed_shortfall, lead
from bea.networks.perturbation import Perturbation
from bea.numerics.blocks import blocks, side_by_side

SHARED = ("x", "weight_norms", "margin_asked")  # by all samples of a result, or put together elsewhere


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
        the converged one (see ``bea.numerics.sequential.solve``). With ReLUs or maxima an optimum often lies on a
        kink, where these conditions mean nothing.
    """

    perturbation: Perturbation
    target: np.ndarray
    success: np.ndarray
    objective: np.ndarray
    margin: np.ndarray
    margin_asked: float
    iterations: np.ndarray
    kkt_residual: np.ndarray


def _judge(net, perturbation, target, margin, logits, iterations, kkt_residual) -> AttackResult:
    """Put the perturbations through the network itself and say what came of them."""
    reached = net.perturbed_logits(perturbation)
    ahead = lead(reached, target)
    return AttackResult(
        perturbation=perturbation,
        target=target,
        success=(ahead >= margin - allowed_shortfall(logits, margin)) & (ahead > 0),
        objective=perturbation.objective,
        margin=ahead,
        margin_asked=margin,
        iterations=iterations,
        kkt_residual=kkt_residual,
    )


def _in_blocks(make, x, size) -> AttackResult:
    """Put together what ``make`` returns for the blocks of samples."""
    whole, parts = None, blocks(len(x), size)
    for part, result in zip(parts, side_by_side(make, parts), strict=True):
        whole = _store(whole, result, part, len(x))
    return replace(whole, perturbation=replace(whole.perturbation, x=x))


def _store(whole, block, part: slice, n: int):
    """Copy the arrays of a block's result, however nested, to their place in those of all n samples."""
    if isinstance(block, np.ndarray):
        whole = np.empty((n, *block.shape[1:]), block.dtype) if whole is None else whole
        whole[part] = block
        return whole
    if isinstance(block, tuple | list):
        return type(block)(_store(whole and whole[i], item, part, n) for i, item in enumerate(block))
    if is_dataclass(block):
        parts = {field.name: getattr(block, field.name) for field in fields(block) if field.name not in SHARED}
        stored = {name: _store(whole and getattr(whole, name), value, part, n) for name, value in parts.items()}
        return replace(block, **stored)
    return block
