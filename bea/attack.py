"""Attacks by backward error (paper B, section 3): the smallest perturbation after which a chosen class wins."""

from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from bea.backward_error import Changing, changing, first_order
from bea.blocks import block_size, blocks, in_blocks, side_by_side
from bea.input_attacks import check_count, check_positive, lead
from bea.network import Linearisation, Network
from bea.perturbation import Perturbation
from bea.quadratic import smallest_feasible
from bea.reduction import reduce
from bea.search import allowed_shortfall, over_others, search

METHODS = ("first-order", "converged")
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
        How many searches for each sample ("converged"); the best counts. The first starts from zero, the others in
        random directions, the same for all samples, several times as far as what the first one found. By default
        three where the first was slow, as it is where constraints bend much, and one elsewhere.
    examples : array (m, *input_shape), optional
        Images to start one more search from ("converged", with a changing input): from the nearest one that is
        classified as the target.
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
    check_positive("margin", margin)
    if starts is not None:
        check_count("starts", starts)
    if examples is not None:
        examples = net.check_images(examples, "examples")

    if method == "converged":
        return converged(net, x, target, change, margin, starts=starts, examples=examples, seed=seed)
    with threadpool_limits(1, "blas"):  # blocks run side by side, and small matrices gain nothing from more threads
        block = block_size(net.layers, net.input_shape)
        return _in_blocks(lambda part: _first_order(net, x[part], target[part], on, margin), x, block)


def converged(net: Network, x, target, change: Changing, margin, *, black=0.0, **options) -> AttackResult:
    """Return what ``attack`` does with ``method="converged"``, for checked arguments.

    Δx of a black image is measured by ``black``: with 0, as eq. (5) has it, it cannot change.
    """
    block = block_size(net.layers, net.input_shape)
    with threadpool_limits(1, "blas"):
        logits = in_blocks(net, x, block)
        allowed = allowed_shortfall(logits, margin)
        reduction = reduce(net, x, change, block, black)
        found = search(reduction, target, margin, allowed, **options)

        def put_through(part: slice) -> AttackResult:
            some, conditions = reduction.take(part), (found.iterations[part], found.kkt_residual[part])

            def judged(won) -> AttackResult:
                perturbation = some.perturbation(found.tau[part], won)
                return _judge(net, perturbation, target[part], margin, logits[part], *conditions)

            result = judged(found.won[part])
            # Far out the reduced problem may have taken rounding for a lead; NaN, where nothing won, is not below.
            rounded = result.margin < margin - 1e-9 * np.abs(logits[part]).max(axis=1)
            return judged(found.won[part] & ~rounded) if rounded.any() else result

        return _in_blocks(put_through, x, block)


def check_targets(net: Network, x, target) -> np.ndarray:
    """Return ``target`` as an integer array (n,), or raise as ``attack`` says."""
    target = net.check_classes(target, len(x), "target")
    same = net.classify(x) == target
    if same.any():
        first = int(np.argmax(same))
        raise ValueError(
            f"target: expected a class other than the present one, received {target[first]} for image {first}, "
            f"which is already classified as {target[first]}"
        )
    return target


def _first_order(net, x, target, on, margin) -> AttackResult:
    problem = first_order(net, x, on, relative=True)
    logits = problem.linearisation.logits
    # D, "target minus other", is applied before the Gram matrix is formed: the other way round close classes cancel.
    lin = problem.linearisation
    sensitivities = [over_others(rows, target) for rows in lin.sensitivities]
    differences = Linearisation(
        over_others(logits, target), lin.inputs, sensitivities, over_others(lin.jacobian, target)
    )
    programme = replace(problem, linearisation=differences)
    K, c = programme.gram(), margin - programme.linearisation.logits
    multipliers, solved, iterations = smallest_feasible(K, c)
    theta = programme.pull_back(multipliers)
    perturbation = problem.perturbation(*theta, net, x, solved)

    slack = programme.push_forward(*theta) - c
    infeasibility = np.maximum(-slack, 0.0).max(axis=1) / np.abs(c).max(axis=1)
    complementarity = np.abs(multipliers * slack).max(axis=1) / np.sum(c * multipliers, axis=1)

    return _judge(net, perturbation, target, margin, logits, iterations, np.maximum(infeasibility, complementarity))


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
