"""Attacks along the sign of the loss gradient: the fast gradient sign method (FGSM) and its smallest successful step.

The loss is the cross-entropy ``J(x, k) = log Σ_j exp(y_j) - y_k`` of the softmax of y, where y are the logits if the
trained model ends in "linear" or "softmax", and the activated outputs if it ends in "tanh" or "sigmoid". That is what
Keras minimises, with ``from_logits=True`` unless the last activation is softmax; paper B names the loss (section 4),
not what is done about its tanh.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from bea.blocks import block_size, blocks, side_by_side
from bea.network import Network
from bea.perturbation import image_norms
from bea.rays import BLOCK_NUMBERS, NARROWEST, Rays, check_clip, check_positive, column, isolate, locate

METHODS = ("exact", "bisection", "scan")
COARSE = 16  # steps of the grid on which "exact" looks for a first success


def _log_slope(v):
    """Return the logarithm of the derivative of the sigmoid."""
    return -np.logaddexp(0.0, v) - np.logaddexp(0.0, -v)


# y as a function f of the logits v, and log f'(v): the logarithm, because f' itself cancels where f saturates.
OUTPUTS = {
    "linear": (lambda v: v, np.zeros_like),
    "softmax": (lambda v: v, np.zeros_like),
    "sigmoid": (expit, _log_slope),
    "tanh": (np.tanh, lambda v: math.log(4.0) + _log_slope(2.0 * v)),
}


@dataclass(frozen=True, eq=False)
class GradientAttackResult:
    """What came of a batch of n attacks.

    Attributes
    ----------
    dx : array (n, *input_shape)
        Change of the input, in units of the pixels; NaN where ``epsilon`` is.
    success : bool array (n,)
        Whether the network itself gives ``x + dx`` the class that was asked for: the target, or any but the label.
    found : int array (n,)
        Class of ``x + dx``; that of x where ``dx`` is NaN.
    epsilon : array (n,)
        Length of the step before clipping, in units of the pixels; NaN where no step was found.
    norm : array (n,)
        ‖Δx‖/‖x‖ (Euclidean), as paper B reports (section 4.2); infinite where a black image changes.
    """

    dx: np.ndarray
    success: np.ndarray
    found: np.ndarray
    epsilon: np.ndarray
    norm: np.ndarray


@dataclass(frozen=True, eq=False)
class SmallestEpsilon(GradientAttackResult):
    """What came of a search for the smallest step.

    Attributes
    ----------
    proved : bool array (n,)
        Whether it was proved that no step succeeds that is smaller by more than the tolerance, or, where ``epsilon``
        is NaN, none at all. Only the method "exact" proves anything.
    """

    proved: np.ndarray


def loss_gradient(net: Network, x, label) -> np.ndarray:
    """Gradient of the loss J(x, label) with respect to the input, (n, *input_shape).

    ``∇_x J = J_xᵀ (f'(v) ∘ (q - e_label))`` with J_x the Jacobian of the logits v and q the softmax of ``y = f(v)``
    (paper D, section 3: q - y; see also paper R, eq. 7). ``1 - q_label`` is summed from the other
    classes, so it keeps its digits for a label that is all but certain.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    label : int array (n,)
        Class whose loss is differentiated.

    Raises
    ------
    ValueError
        For images of wrong shape or range, labels of wrong shape or out of range.
    TypeError
        For labels that are not integers.
    """
    x, label, _ = _check(net, x, label)

    def block(x, label):
        direction, log_size = _gradient(net, x, label)
        return (np.exp(log_size) * direction,)

    return _in_blocks(net, block, x, label)[0]


def fgsm(net: Network, x, label, epsilon, *, target=None, clip=False) -> GradientAttackResult:
    """One step along the sign of the loss gradient (paper D, section 4; paper R, eq. 7; paper B, section 4.2.2).

    Untargeted ``Δx = ε sign ∇_x J(x, label)``, targeted ``Δx = -ε sign ∇_x J(x, target)``, with sign 0 = 0. Where the
    gradient is zero in every pixel the ray does not move: no success, unless x itself has the class that is asked for.
    Only the sign of the gradient is needed, so a loss or a gradient too small for float64 does no harm.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    label : int array (n,)
        Class to get away from: the true or the present one.
    epsilon : float or array (n,)
        Step, positive, in units of the pixels.
    target : int array (n,), optional
        Class to reach, different from the label; without one any class but the label is a success.
    clip : bool
        Whether ``x + Δx`` is clipped to ``net.input_range``.

    Returns
    -------
    GradientAttackResult

    Raises
    ------
    ValueError
        For images of wrong shape or range, classes of wrong shape or out of range, a target that is the label, a step
        that is not positive or of wrong shape, or ``clip`` for a network without range.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = _check(net, x, label, target, clip)
    epsilon = np.asarray(epsilon, dtype=float)
    if epsilon.shape not in ((), (len(x),)):
        raise ValueError(f"epsilon: expected a number or shape {(len(x),)}, received shape {epsilon.shape}")
    check_positive("epsilon", epsilon)

    def block(x, aim, epsilon):
        return _arrive(net, x, _ray(net, x, aim, targeted), aim, targeted, epsilon, clip)

    return GradientAttackResult(*_in_blocks(net, block, x, aim, np.broadcast_to(epsilon, len(x))))


def smallest_epsilon(
    net: Network, x, label, *, target=None, method="exact", largest=1.0, step=0.001, tolerance=1e-6, clip=False
) -> SmallestEpsilon:
    """Smallest step along the sign of the loss gradient that succeeds (paper D, section 5.2.1).

    ``ε_min = min {ε ≥ 0 : x + ε s has the class that is asked for}``, s the direction of ``fgsm``.

    - "scan" tries 0, ``step``, 2 ``step``, … as the report does first. It overlooks successes between two steps.
    - "bisection" halves [0, ``largest``] as the report does then. It finds ε_min if the steps that succeed form an
      interval up to ``largest``; if not, it finds some boundary of them, or, where ``largest`` fails, nothing.
    - "exact" needs no such assumption: it locates a boundary and proves, as ``bea.rays`` describes, that no step
      before it succeeds, or else takes the first of those it finds instead.

    The end that succeeds is returned, so the boundary that was found is at most ``tolerance`` below it, or ``step`` in
    a scan. Where two logits are equal and larger than all others, neither class counts as given.

    Parameters
    ----------
    net, x, label, target, clip
        As in ``fgsm``.
    method : {"exact", "bisection", "scan"}
    largest : float
        Longest step tried, in units of the pixels.
    step : float
        Step of the scan, in units of the pixels.
    tolerance : float
        Accuracy of ε_min by the other methods, absolute, in units of the pixels.

    Returns
    -------
    SmallestEpsilon
        ``epsilon`` is ε_min: 0 where x itself has the class that is asked for, NaN where no step up to ``largest``
        succeeds, for instance because the gradient is zero. ``success`` is what the network says of ``x + dx``: at a
        tie, and for a tolerance near rounding, it may be False although a step was found.

    Raises
    ------
    ValueError
        As ``fgsm``, for an unknown method, and for ``largest``, ``step`` or ``tolerance`` that are not positive, or a
        step beyond ``largest``.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = _check(net, x, label, target, clip)
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, received {method!r}")
    for name, value in (("largest", largest), ("step", step), ("tolerance", tolerance)):
        check_positive(name, value)
    if step > largest:
        raise ValueError(f"step: expected at most the largest step tried, {largest:g}, received {step:g}")
    search = {
        "exact": lambda succeeds, rays: _exactly(succeeds, rays, targeted, largest, tolerance),
        "bisection": lambda succeeds, rays: _by_bisection(succeeds, len(rays.x), largest, tolerance),
        "scan": lambda succeeds, rays: _by_scan(
            succeeds, len(rays.x), step * np.arange(math.floor(largest / step * (1.0 + 1e-12)) + 1)
        ),
    }[method]

    def block(x, aim):
        rays = Rays(net, x, _ray(net, x, aim, targeted), aim, clip)
        epsilon, proved = search(lambda samples, step: (rays.lead(samples, step) > 0.0) == targeted, rays)
        return *_arrive(net, x, rays.direction, aim, targeted, epsilon, clip), proved

    return SmallestEpsilon(*_in_blocks(net, block, x, aim))


def _by_scan(succeeds, n, grid):
    """Return the first value of a grid that succeeds, NaN where none does, and that nothing was proved."""
    epsilon, rest = np.full(n, np.nan), np.arange(n)
    for step in grid:
        won = succeeds(rest, np.full(len(rest), step))
        epsilon[rest[won]] = step
        rest = rest[~won]
        if not rest.size:
            break
    return epsilon, np.zeros(n, dtype=bool)


def _by_bisection(succeeds, n, largest, tolerance):
    """Halve [0, largest] until it is no longer than the tolerance."""
    samples, low, high = np.arange(n), np.zeros(n), np.full(n, largest)
    never = ~succeeds(samples, high)
    high[succeeds(samples, low)] = 0.0
    while (high - low).max(initial=0.0) > tolerance:
        middle = 0.5 * (low + high)
        if ((middle == low) | (middle == high)).all():  # neighbours in floating point
            break
        won = succeeds(samples, middle)
        low, high = np.where(won, low, middle), np.where(won, middle, high)
    return np.where(never & (high > 0.0), np.nan, high), np.zeros(n, dtype=bool)


def _exactly(succeeds, rays, targeted, largest, tolerance):
    """Return the first change of class, located and proved to be the first, and where that was proved."""
    n = len(rays.x)
    epsilon, _ = _by_scan(succeeds, n, largest * np.arange(COARSE + 1) / COARSE)
    some = np.flatnonzero(epsilon > 0.0)
    goal = np.full(n, targeted)  # whether the aim leads where the attack succeeds
    last, epsilon[some] = locate(rays, some, epsilon[some] - largest / COARSE, epsilon[some], goal[some], tolerance)
    clear = np.where(np.isnan(epsilon), largest, 0.0)  # up to where no success is known
    clear[some] = last
    some = np.flatnonzero(clear > 0.0)
    start, neither = np.zeros(len(some)), ~goal[some]
    found, unresolved = isolate(rays, some, start, clear[some], neither, neither, NARROWEST * largest)
    samples, _, _, won = found
    _, first = locate(rays, *found, tolerance)
    earlier = (won == targeted) & succeeds(samples, first)
    np.fmin.at(epsilon, samples[earlier], first[earlier])
    return epsilon, np.bincount(unresolved, minlength=n) == 0


def _gradient(net, x, label):
    """Return the loss gradient but for a positive factor a sample, and the logarithm of that (n, 1, …)."""
    function, log_slope = OUTPUTS[net.output_activation]
    own = np.arange(net.classes) == label[:, None]
    log_size = np.empty((len(x), 1))

    def weights(logits):
        """f'(v) ∘ (q - e_label) over 1 - q_label, its largest entry set to one."""
        y = function(logits)
        others = np.where(own, -np.inf, y)
        total = np.logaddexp.reduce(others, axis=1, keepdims=True)
        log_weights = np.where(own, 0.0, others - total) + log_slope(logits)
        largest = log_weights.max(axis=1, keepdims=True)
        log_size[:] = largest - np.logaddexp(0.0, y[own][:, None] - total)
        return np.where(own, -1.0, 1.0) * np.exp(log_weights - largest)

    return net.gradient(x, weights), column(log_size, x)


def _ray(net, x, aim, targeted):
    """Return the direction of the step, of entries -1, 0 and 1."""
    direction, _ = _gradient(net, x, aim)
    return np.sign(-direction if targeted else direction)


def _arrive(net, x, ray, aim, targeted, epsilon, clip):
    """Return the fields of the result after a step of ``epsilon`` (n,)."""
    dx = column(epsilon, x) * ray
    if clip:
        dx = np.clip(x + dx, *net.input_range) - x
    found = net.classify(x + (np.nan_to_num(dx) if np.isnan(epsilon).any() else dx))
    norms = image_norms(dx)
    with np.errstate(divide="ignore", invalid="ignore"):
        norms = np.where(norms == 0.0, 0.0, norms / image_norms(x))
    return dx, _succeeds(found, aim, targeted), found, epsilon, norms


def _succeeds(found, aim, targeted):
    return (found == aim) == targeted


def _in_blocks(net, function, *arrays):
    """Apply to blocks of samples, and join every array that comes back."""
    parts = blocks(len(arrays[0]), block_size(net.layers, net.input_shape, numbers=BLOCK_NUMBERS))
    done = side_by_side(lambda part: function(*(array[part] for array in arrays)), parts)
    return [np.concatenate(part) for part in zip(*done, strict=True)]


def _check(net, x, label, target=None, clip=False):
    """Return the images, the class whose loss is differentiated, and whether it is a target."""
    x = net.check_images(x)
    label = net.check_classes(label, len(x), "label")
    check_clip(net, clip)
    if target is None:
        return x, label, False
    target = net.check_classes(target, len(x), "target")
    if (target == label).any():
        first = int(np.argmax(target == label))
        raise ValueError(
            f"target: expected a class other than the label, received {target[first]} for both of image {first}"
        )
    return x, target, True
