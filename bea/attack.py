"""Attacks by backward error (paper B, section 3): the smallest perturbation after which a chosen class wins."""

from dataclasses import dataclass, replace

import numpy as np

from bea.backward_error import changing, first_order
from bea.network import Linearisation, Network
from bea.perturbation import Perturbation
from bea.quadratic import smallest_feasible

METHODS = ("first-order",)
# Samples a block: bounds the memory of the linearisation, (block, classes, pixels) numbers for deep networks.
BLOCK = 1024


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
        Changes of the active set.
    kkt_residual : array (n,)
        Largest violation of the optimality conditions of eq. (6): constraints relative to the largest right-hand side,
        complementarity relative to the objective.
    """

    perturbation: Perturbation
    target: np.ndarray
    success: np.ndarray
    objective: np.ndarray
    margin: np.ndarray
    margin_asked: float
    iterations: np.ndarray
    kkt_residual: np.ndarray


def attack(net: Network, x, target, on="weights", *, method="first-order", margin=1e-3) -> AttackResult:
    """Smallest perturbation, to first order, after which ``target`` wins (paper B, eqs. 5 and 6).

    Minimises ``Σ_i ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²`` over first-order perturbations subject to
    ``logit_target - logit_j ≥ margin`` for every other class j. For one affine layer with only weights or only the
    input perturbed the result is exact: the global optimum. Otherwise it is linearised, and ``success`` says whether
    it holds in the network itself.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    target : int array (n,)
        Class that shall win, different from the present one.
    on : {"weights", "input", "both"}
        What may change.
    method : {"first-order"}
        How the problem is solved: linearised once, at the unperturbed network.
    margin : float
        By how much, in units of the logits, the target must lead; positive, so that no tie is left to ``argmax``.

    Returns
    -------
    AttackResult

    Raises
    ------
    ValueError
        For images of wrong shape or range, targets out of range or equal to the present class, a margin that is not
        positive, an unknown ``on`` or ``method``.
    TypeError
        For targets that are not integers.
    """
    x = net.check_images(x)
    target = check_targets(net, x, target)
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, received {method!r}")
    if not (np.isfinite(margin) and margin > 0):
        raise ValueError(f"margin: expected a positive number, received {margin!r}")
    starts = range(0, max(len(x), 1), BLOCK)
    blocks = [_attack_block(net, x[i : i + BLOCK], target[i : i + BLOCK], on, margin) for i in starts]
    return blocks[0] if len(blocks) == 1 else _join(blocks, x)


def check_targets(net: Network, x, target) -> np.ndarray:
    """Return ``target`` as an integer array (n,), or raise as ``attack`` says."""
    target = np.asarray(target)
    if not np.issubdtype(target.dtype, np.integer):
        raise TypeError(f"target: expected integers, received {target.dtype}")
    if target.shape != (len(x),):
        raise ValueError(f"target: expected shape {(len(x),)}, one class an image, received {target.shape}")
    if target.size and not (target.min() >= 0 and target.max() < net.classes):
        raise ValueError(
            f"target: expected classes from 0 to {net.classes - 1}, received {target.min()} to {target.max()}"
        )
    same = net.classify(x) == target
    if same.any():
        first = int(np.argmax(same))
        raise ValueError(
            f"target: expected a class other than the present one, received {target[first]} for image {first}, "
            f"which is already classified as {target[first]}"
        )
    return target


def _attack_block(net, x, target, on, margin) -> AttackResult:
    problem = first_order(net, x, on, relative=True)
    logits = problem.linearisation.logits
    n, classes = logits.shape
    rows = np.arange(n)[:, None]
    # The classes other than the target, in ascending order, (n, classes - 1).
    others = np.arange(classes - 1) + (np.arange(classes - 1) >= target[:, None])

    def lead(values):
        """Apply D, "target minus other", along the axis of the classes."""
        values = np.broadcast_to(values, (n, *values.shape[1:]))
        return values[rows, target[:, None]] - values[rows, others]

    # D is applied before the Gram matrix is formed: the other way round close classes cancel.
    lin = problem.linearisation
    programme = replace(
        problem,
        linearisation=Linearisation(
            lead(logits), lin.inputs, [lead(rows_i) for rows_i in lin.sensitivities], lead(lin.jacobian)
        ),
    )
    K, c = programme.gram(), margin - programme.linearisation.logits
    multipliers, solved, iterations = smallest_feasible(K, c)
    theta = programme.pull_back(multipliers)
    perturbation = problem.perturbation(*theta, net, x, solved)

    slack = programme.push_forward(*theta) - c
    infeasibility = np.maximum(-slack, 0.0).max(axis=1) / np.abs(c).max(axis=1)
    complementarity = np.abs(multipliers * slack).max(axis=1) / np.sum(c * multipliers, axis=1)

    reached = lead(net.perturbed_logits(perturbation)).min(axis=1)
    rounding = np.minimum(1e-9 * np.abs(logits).max(axis=1), 1e-3 * margin)
    return AttackResult(
        perturbation=perturbation,
        target=target,
        success=(reached >= margin - rounding) & (reached > 0),
        objective=perturbation.objective,
        margin=reached,
        margin_asked=margin,
        iterations=iterations,
        kkt_residual=np.maximum(infeasibility, complementarity),
    )


def _join(blocks, x) -> AttackResult:
    """Put the results of consecutive blocks together."""

    def stack(pick):
        return np.concatenate([pick(block) for block in blocks])

    parts = [block.perturbation for block in blocks]
    first = parts[0]
    perturbation = Perturbation(
        dA=[
            None if pair is None else tuple(np.concatenate([part.dA[i][side] for part in parts]) for side in (0, 1))
            for i, pair in enumerate(first.dA)
        ],
        dx=None if first.dx is None else np.concatenate([part.dx for part in parts]),
        x=x,
        weight_norms=first.weight_norms,
        attained=stack(lambda block: block.perturbation.attained),
    )
    return AttackResult(
        perturbation=perturbation,
        margin_asked=blocks[0].margin_asked,
        **{
            name: stack(lambda block, name=name: getattr(block, name))
            for name in ("target", "success", "objective", "margin", "iterations", "kkt_residual")
        },
    )
