"""Attacks by backward error (paper B, section 3): the smallest perturbation after which a chosen class wins."""

from dataclasses import replace

import numpy as np

from bea.backward.clipped import annealed_attack, kept_in_range, linearised_in_range
from bea.backward.closed_form import Changing, changing
from bea.backward.linearised import linearised_attack
from bea.backward.reduction import reduce
from bea.backward.result import AttackResult, among_others, attack_in_blocks, judge
from bea.backward.search import search
from bea.networks.leads import allowed_shortfall
from bea.networks.network import Network
from bea.networks.pixels import check_clip
from bea.networks.smoothing import has_maxima
from bea.numerics.blocks import block_size, in_blocks, one_thread
from bea.numerics.checks import check_count, check_positive
from bea.numerics.progress import showing

METHODS = ("first-order", "converged")


def attack(
    net: Network,
    x,
    target,
    on="weights",
    *,
    method="first-order",
    margin=1e-3,
    activated=False,
    clip=False,
    starts=None,
    examples=None,
    seed=0,
    progress=False,
) -> AttackResult:
    """Smallest perturbation after which ``target`` wins (paper B, eqs. 5 and 6).

    Minimises ``Σ_i ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²`` subject to ``logit_target - logit_j ≥ margin`` for every other class
    j; with ``activated`` the constraints are, as the paper writes them, on the outputs ``f_p(logits)``. An increasing
    f_p does not change who wins, so both ask for the same class. To first order they are two problems: the derivative
    of an output carries the slope of f_p, tiny where it is saturated. Converged, only the margin tells them apart.

    ("first-order") solves the problem linearised at the unperturbed network; for one affine layer with only weights or
    only the input perturbed, and logits, that is exact: the global optimum. Otherwise it is linearised, and ``success``
    says whether it holds in the network itself. ("converged") linearises again at every point it finds until the
    conditions of optimality of (5) hold: locally optimal. How, and when that fails: the book's chapter *The converged
    attack*. An image that has the target's class already needs no change: it gets none, and is a success.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    target : int array (n,)
        Class that shall win.
    on : {"weights", "input", "both"} or tuple
        What may change; a tuple holds numbers of weighted layers, from 1, and "input".
    method : {"first-order", "converged"}
    margin : float
        By how much the target must lead, in units of what is constrained; positive, so that no tie is left to
        ``argmax``. Logits have no scale of their own. Outputs of tanh lead by less than 2, those of a sigmoid by less
        than 1; near saturation the same lead of outputs asks for a far larger one of the logits.
    activated : bool
        Whether the constraints are on the activated outputs instead of the logits, as in ``backward_error``. The
        output activation must act elementwise; where it is "linear", the two are the same.
    clip : bool
        Whether ``x + Δx`` is kept within ``net.input_range``; for a change of the input alone, and constraints on the
        logits.
    starts : int, optional
        How many searches for each sample ("converged"); the best counts. The first starts from zero, the others in
        random directions, the same for all samples, several times as far as what the first one found. By default
        three where the first was slow, as it is where constraints bend much, and one elsewhere. Of the input alone,
        over maxima, two, and with ``clip`` five and more from the best so far.
    examples : array (m, *input_shape), optional
        Images to start one more search from ("converged", with a changing input): from the nearest one that is
        classified as the target.
    seed : int
        Of the random starts.
    progress : bool
        Whether to show on the screen how far it is: the samples that are done, of each search anew. That needs tqdm,
        which the extra ``progress`` brings.

    Returns
    -------
    AttackResult

    Raises
    ------
    ValueError
        For images of wrong shape or range, targets of wrong shape or out of range, a margin that is not positive or
        that no activated outputs can have, ``activated`` for a softmax, an unknown ``on`` or ``method``, ``clip`` for a
        network without range, with weights that change, or with constraints on activated outputs, fewer than one start.
    TypeError
        For targets that are not integers.
    ImportError
        For ``progress`` without tqdm.
    """
    x = net.check_images(x)
    target = net.check_classes(target, len(x), "target")
    change = changing(net, on)
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, received {method!r}")
    check_positive("margin", margin)
    if activated:
        _check_activated(net, margin)
    if starts is not None:
        check_count("starts", starts)
    if examples is not None:
        examples = net.check_images(examples, "examples")

    if clip:
        _check_range(net, on, change, activated)

    input_only = not any(change.layers) and (not activated or net.output_activation == "linear")

    def solve(x, target) -> AttackResult:
        if method == "converged" and input_only and has_maxima(net.layers):
            limited = net if clip else replace(net, input_range=None)
            return annealed_attack(limited, x, target, margin, starts, examples, seed)
        if method == "converged":
            options = {"starts": starts, "examples": examples, "seed": seed}
            found = converged(net, x, target, change, margin, activated=activated, **options)
            return kept_in_range(net, x, target, margin, found, examples) if clip else found

        def block(part: slice) -> AttackResult:
            if clip:
                return linearised_in_range(net, x[part], target[part], margin)
            return linearised_attack(net, x[part], target[part], change, margin, activated)

        with one_thread():  # blocks run side by side, and small matrices gain nothing from more threads
            return attack_in_blocks(block, x, block_size(net.layers, net.input_shape))

    with showing(progress):
        rest = np.flatnonzero(net.classify(x) != target)
        if len(rest) == len(x):
            return solve(x, target)
        return among_others(solve(x[rest], target[rest]), rest, net, x, target, activated)


def converged(
    net: Network, x, target, change: Changing, margin, *, activated=False, black=0.0, **options
) -> AttackResult:
    """Return what ``attack`` does with ``method="converged"``, for checked arguments.

    Δx of a black image is measured by ``black``: with 0, as eq. (5) has it, it cannot change.
    """
    block = block_size(net.layers, net.input_shape)
    with one_thread():
        outputs = in_blocks(net, block, x)
        if activated:
            outputs = net.activate(outputs)
        allowed = allowed_shortfall(outputs, margin)
        reduction = reduce(net, x, change, block, black, activated)
        found = search(reduction, target, margin, allowed, **options)

        def put_through(part: slice) -> AttackResult:
            some, conditions = reduction.take(part), (found.iterations[part], found.kkt_residual[part])

            def judged(won) -> AttackResult:
                perturbation = replace(some.perturbation(found.tau[part], won), standing="locally optimal")
                return judge(net, perturbation, target[part], margin, outputs[part], *conditions, activated)

            result = judged(found.won[part])
            # Far out the reduced problem may have taken rounding for a lead; NaN, where nothing won, is not below.
            rounded = result.margin < margin - 1e-9 * np.abs(outputs[part]).max(axis=1)
            return judged(found.won[part] & ~rounded) if rounded.any() else result

        return attack_in_blocks(put_through, x, block)


def _check_activated(net: Network, margin) -> None:
    """Raise ``ValueError`` where constraints on the activated outputs make no sense."""
    widest = {"linear": np.inf, "tanh": 2.0, "sigmoid": 1.0}.get(net.output_activation)
    if widest is None:
        raise ValueError(
            f"activated: expected an output activation that acts elementwise, received {net.output_activation!r}"
        )
    if margin >= widest:
        raise ValueError(
            f"margin: expected less than {widest:g}, which no lead of outputs of {net.output_activation} reaches, "
            f"received {margin!r}"
        )


def _check_range(net: Network, on, change: Changing, activated) -> None:
    """Raise ``ValueError`` where there is no range to keep to, or something else than the input changes."""
    check_clip(net, True)
    if any(change.layers):
        raise ValueError(f'on: expected "input", which clip is about, received {on!r}')
    if activated and net.output_activation != "linear":
        raise ValueError(f"activated: expected False with clip, received {activated!r}")
