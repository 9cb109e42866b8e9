"""Newton's method for the attack by a penalty (paper R, sections B and C, n = 2).

Minimise ``φ(Δx) = ‖Δx‖² + weight · loss(x + Δx)`` with the loss J(·, target), or -J(·, label), over all
Δx, for the smallest weight that gives a success (``bea.attacks.penalty``), with the products of
``bea.attacks.hessian``. There is no box here: the pixels may leave their range. Newton's step solves ``(2 I ± weight H)
p = -∇φ`` by conjugate gradients, to a part of ‖∇φ‖ that vanishes with it, so that near a minimum the residual is
squared from step to step. H has no larger rank than the network has units and classes behind its first affine layer,
and all its other directions share the eigenvalue 2, so that few products are needed. Where a direction has no positive
curvature, φ is no valley: p goes that way, and from step to step twice as far. A step is halved until φ falls in
proportion.

If the first layer is dense with fewer rows than pixels, ∇J lies in its row space, and with it every Δx: the work is
done in coordinates of that space, the same problem with fewer unknowns.
"""

from dataclasses import dataclass, fields

import numpy as np

from bea.attacks.common import achieved, check_aim, conclude, in_image_blocks
from bea.attacks.hessian import expand, loss_values
from bea.attacks.penalty import PenaltyResult, check_search, search_weight
from bea.networks.leads import attack_lead
from bea.networks.network import Network
from bea.networks.row_space import from_row_space, in_row_space, to_row_space
from bea.numerics.arrays import column, flat, image_norms
from bea.numerics.checks import check_count, check_each, check_positive
from bea.numerics.progress import showing

METHODS = ("newton", "gradient")
DESCENT = 0.3  # part of the fall that the slope promises, at least, for a step to count; a valley's bottom has half
SHORTEST = 2.0**-20  # of a step: below, φ does not fall, or has a kink
MOST_PRODUCTS = 200  # of the Hessian, for one step
FLAT = 1e-8  # curvature below, relative to that of ‖Δx‖², counts as none
LOOSEST = 0.1  # residual of a Newton step, relative to ∇φ


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where ``‖Δx‖² + weight · loss`` of n samples has a minimum, or how far the search for it came.

    Attributes
    ----------
    dx : array (n, *input_shape)
        In units of the pixels.
    value : array (n,)
        φ there, in squared pixels.
    converged : bool array (n,)
        Whether ‖∇φ‖ fell to ``tolerance`` times the size of its two parts, ``‖2 Δx‖ + weight ‖∇J‖``.
    gradient_norms : array (n, steps + 1)
        ‖∇φ‖ before every step and behind the last one, then NaN.
    iterations, products, evaluations : int arrays (n,)
        Steps; products of the Hessian; passes through the network for the loss, or the loss and its gradient.
    """

    dx: np.ndarray
    value: np.ndarray
    converged: np.ndarray
    gradient_norms: np.ndarray
    iterations: np.ndarray
    products: np.ndarray
    evaluations: np.ndarray


@dataclass(frozen=True, eq=False)
class NewtonResult(PenaltyResult):
    """What came of a batch of n attacks by Newton's method; see ``PenaltyResult``.

    Attributes
    ----------
    iterations, products : int arrays (n,)
        Steps, and products of the Hessian, for all weights together.
    gradient_norm : array (n,)
        ‖∇φ‖ at ``dx``, for its weight: small beside ``2 ‖dx‖`` at a minimum; 0 where no change was needed.
    """

    iterations: np.ndarray
    products: np.ndarray
    gradient_norm: np.ndarray
    standing = "locally optimal for their weights"


def minimise(
    net: Network, x, label, weight, *, target=None, start=None, method="newton", steps=100, tolerance=1e-8
) -> Minimum:
    """Minimise ``‖Δx‖² + weight · loss(x + Δx)`` over all Δx, for a fixed weight (paper R, eq. 6).

    The loss is J(·, target), or -J(·, label) without a target. "gradient" goes along -∇φ instead of Newton's direction,
    with the same rule for the length of a step, which is tried first at twice the last one.

    Parameters
    ----------
    net, x, label, target
        As in ``newton_attack``.
    weight : float or array (n,)
        Positive.
    start : array (n, *input_shape), optional
        Where to begin, zero unless given. What of it has no effect on a dense first layer is dropped at once.
    method : {"newton", "gradient"}
    steps : int
        Steps at most.
    tolerance : float
        For ``Minimum.converged``; a sample stops there.

    Raises
    ------
    ValueError
        As ``newton_attack``, for a weight that is not positive, a start of wrong shape or not finite, or an unknown
        method.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target)
    weight = check_each("weight", weight, len(x))
    start = np.zeros_like(x) if start is None else np.asarray(start, dtype=float)
    if start.shape != x.shape or not np.isfinite(start).all():
        raise ValueError(f"start: expected finite numbers of shape {x.shape}, received shape {start.shape}")
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, received {method!r}")
    _check_stopping(steps, tolerance)
    small, basis = in_row_space(net)
    factor = weight if targeted else -weight

    def block(x, aim, factor, start):
        images = x.shape
        found = _minimise(
            small, to_row_space(x, basis), aim, factor, to_row_space(start, basis), method, steps, tolerance
        )
        dx, *others = (getattr(found, field.name) for field in fields(found))
        return from_row_space(dx, basis, images), *others

    return Minimum(*in_image_blocks(net, block, x, aim, factor, start))


def newton_attack(
    net: Network,
    x,
    label,
    *,
    target=None,
    margin=1e-3,
    weights=(0.1, 1e10),
    halvings=10,
    steps=50,
    tolerance=1e-8,
    progress=False,
) -> NewtonResult:
    """Minimum of ``‖Δx‖² + weight · loss`` by Newton's method, for a weight as small as may be (paper R, eq. 6).

    The loss is the cross-entropy J(·, target), or without a target -J(·, label). Of all weights tried, the shortest Δx
    counts after which the target, or any class but the label, leads by ``margin``. The minima are local: where φ has
    several, as it often has with an untargeted loss, the search follows one from weight to weight. For smooth networks:
    on the kinks of a ReLU, where minima like to lie, ∇φ does not vanish, and the steps end after ``steps`` or sooner.

    Parameters
    ----------
    net, x, label, target
        As in ``bea.attacks.gradient_signs.fgsm``; ``x + dx`` may leave the range.
    margin : float
        By how much, in units of the logits, the new class must lead; positive.
    weights : pair of float
        The first weight to try, and the largest.
    halvings : int
        Weights to try after the first success, at most: intervals between a failure and a success are halved in the
        logarithm.
    steps : int
        Newton steps for one weight, at most.
    tolerance : float
        Of ‖∇φ‖, relative to its two parts, for one weight.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Returns
    -------
    NewtonResult
        Without success, and with ``dx`` NaN, where no weight up to the largest gave one.

    Raises
    ------
    ValueError
        For images of wrong shape or range, classes of wrong shape or out of range, and a margin, weights, halvings,
        steps or tolerance that make no sense.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target)
    check_search(margin, weights, halvings)
    _check_stopping(steps, tolerance)
    small, basis = in_row_space(net)

    def block(x, aim):
        y, iterations, products = to_row_space(x, basis), np.zeros(len(x), int), np.zeros(len(x), int)
        sign = 1.0 if targeted else -1.0

        def solve(rest, weight, start):
            found = _minimise(small, y[rest], aim[rest], sign * weight, start, "newton", steps, tolerance)
            iterations[rest] += found.iterations
            products[rest] += found.products
            return found.dx, attack_lead(small(y[rest] + found.dx), aim[rest], targeted) >= margin

        already = achieved(net.classify(x), aim, targeted)
        dx, weight = search_weight(solve, y.shape, weights=weights, halvings=halvings, already=already)
        point = expand(small, y + np.nan_to_num(dx), aim)
        slope = 2.0 * dx + column(sign * np.nan_to_num(weight), dx) * point.gradient
        return (
            *conclude(net, x, from_row_space(dx, basis, x.shape), aim, targeted),
            weight,
            iterations,
            products,
            image_norms(slope),
        )

    with showing(progress):
        return NewtonResult(*in_image_blocks(net, block, x, aim))


def _minimise(net, x, aim, factor, start, method, steps, tolerance) -> Minimum:
    """Minimise ``φ = ‖Δx‖² + factor J(x + Δx, aim)`` for one block; see ``minimise``."""
    dx, length, rest = start.copy(), np.full(len(x), 0.5 if method == "newton" else 0.25), np.arange(len(x))
    norms, converged = np.full((len(x), steps + 1), np.nan), np.zeros(len(x), dtype=bool)
    iterations, products, evaluations = np.zeros((3, len(x)), int)
    for step in range(steps + 1):
        point = expand(net, x[rest] + dx[rest], aim[rest])
        pull = column(factor[rest], x) * point.gradient
        slope = 2.0 * dx[rest] + pull
        norms[rest, step] = image_norms(slope)
        evaluations[rest] += 1
        scale = 2.0 * image_norms(dx[rest]) + image_norms(pull)
        converged[rest] = norms[rest, step] <= tolerance * scale
        going = ~converged[rest]
        if step == steps or not going.any():
            break
        rest, point, slope, scale = rest[going], point.take(going), slope[going], scale[going]
        if method == "newton":
            goal = norms[rest, step] * np.minimum(LOOSEST, norms[rest, step] / scale)
            direction, valley, used = _newton_direction(point, slope, factor[rest], goal)
            products[rest] += used
            first = np.where(valley, 1.0, 2.0 * length[rest])
        else:
            direction, first = -slope, 2.0 * length[rest]
        length[rest], tries = _backtrack(
            net, x[rest], dx[rest], aim[rest], factor[rest], point, slope, direction, first
        )
        evaluations[rest] += tries
        dx[rest] += column(length[rest], x) * direction
        rest = rest[length[rest] > 0.0]
        iterations[rest] += 1
    value = image_norms(dx) ** 2 + factor * loss_values(net, x + dx, aim)
    return Minimum(dx, value, converged, norms, iterations, products, evaluations)


def _newton_direction(point, slope, factor, goal):
    """Solve ``(2 I + factor H) p = -slope`` by conjugate gradients, each sample to its ``goal``.

    Returns p, whether all curvature met was positive, and the number of products of every sample. Where it was not, the
    last p goes on along the direction without, as far as the size of the curvature would let it, or that of ‖Δx‖².
    """
    n = len(slope)
    p, convex, products, rest = np.zeros_like(slope), np.ones(n, bool), np.zeros(n, int), np.arange(n)
    residual = -slope
    search, square = residual.copy(), np.vecdot(flat(residual), flat(residual))
    for _ in range(MOST_PRODUCTS):
        image = 2.0 * search + column(factor[rest], slope) * point.product(search)
        products[rest] += 1
        curvature, twice = np.vecdot(flat(search), flat(image)), 2.0 * np.vecdot(flat(search), flat(search))
        valley = curvature > FLAT * twice
        convex[rest] = valley
        with np.errstate(divide="ignore", invalid="ignore"):
            advance = square / np.where(valley, curvature, np.maximum(np.abs(curvature), twice))
        advance = np.where(np.isfinite(advance), advance, 0.0)  # a gradient too small for float64 leads nowhere
        p[rest] += column(advance, slope) * search
        residual = residual - column(advance, slope) * image
        left = np.vecdot(flat(residual), flat(residual))
        going = valley & (np.sqrt(left) > goal[rest])
        if not going.any():
            break
        search = residual[going] + column(left[going] / square[going], slope) * search[going]
        rest, residual, square = rest[going], residual[going], left[going]
        point = point if going.all() else point.take(going)
    return p, convex, products


def _backtrack(net, x, dx, aim, factor, point, slope, direction, first):
    """Halve a step until φ falls by a part of what its slope promises.

    Returns the length of the step in units of ``direction``, zero where it became too short, and the lengths tried.
    """
    before = np.vecdot(flat(dx), flat(dx))
    promised = np.vecdot(flat(slope), flat(direction))
    length, tries, rest = first.copy(), np.zeros(len(x), int), np.arange(len(x))
    while rest.size:
        there = dx[rest] + column(length[rest], x) * direction[rest]
        after, loss = np.vecdot(flat(there), flat(there)), loss_values(net, x[rest] + there, aim[rest])
        rise = after - before[rest] + factor[rest] * (loss - point.loss[rest])
        # Near a minimum φ falls by less than rounding lets see.
        rounding = 1e-14 * (after + np.abs(factor[rest] * loss))
        tries[rest] += 1
        rest = rest[~(rise <= DESCENT * length[rest] * promised[rest] + rounding)]
        length[rest] *= 0.5
        length[rest[length[rest] < SHORTEST]] = 0.0
        rest = rest[length[rest] > 0.0]
    return length, tries


def _check_stopping(steps, tolerance):
    """Raise ``ValueError`` unless these can end a search."""
    check_count("steps", steps)
    check_positive("tolerance", tolerance)
