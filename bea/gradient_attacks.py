"""Attacks along the sign of the loss gradient: the fast gradient sign method (FGSM) and its smallest successful step.

The loss is the cross-entropy ``J(x, k) = log Σ_j exp(y_j) - y_k`` of the softmax of y, where y are the logits if the
trained model ends in "linear" or "softmax", and the activated outputs if it ends in "tanh" or "sigmoid". That is what
Keras minimises, with ``from_logits=True`` unless the last activation is softmax; paper B names the loss (section 4),
not what is done about its tanh.
"""

import math
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from scipy.special import expit, logsumexp

from bea.layers import AveragePool, Flatten, Weighted
from bea.network import Network
from bea.perturbation import image_norms

# Samples a block: bounds the memory of all that is computed between the layers.
BLOCK = 512
# Layers that are affine maps: at their head a network need not be run anew for every step along a ray.
AFFINE = (AveragePool, Flatten, Weighted)


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

    return _in_blocks(block, x, label)[0]


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
    _check_positive("epsilon", epsilon)

    def block(x, aim, epsilon):
        return _arrive(net, x, _ray(net, x, aim, targeted), aim, targeted, epsilon, clip)

    return GradientAttackResult(*_in_blocks(block, x, aim, np.broadcast_to(epsilon, len(x))))


def smallest_epsilon(
    net: Network, x, label, *, target=None, largest=1.0, steps=200, tolerance=1e-6, clip=False
) -> GradientAttackResult:
    """Smallest step along the sign of the loss gradient that succeeds (paper D, section 5.2.1).

    ``ε_min = min {ε ≥ 0 : x + ε s has the class that is asked for}``, s the direction of ``fgsm``. Paper D searches
    either on a grid or by bisection; here the grid ``largest · k / steps`` gives the first success, and bisection
    narrows the interval before it until it is no longer than ``tolerance``. The end that succeeds is returned, so
    ε_min is too large by at most ``tolerance``, unless an interval of successes shorter than ``largest / steps`` hides
    between two points of the grid.

    Parameters
    ----------
    net, x, label, target, clip
        As in ``fgsm``.
    largest : float
        Longest step tried, in units of the pixels.
    steps : int
        Points of the grid.
    tolerance : float
        Accuracy of ε_min, absolute, in units of the pixels.

    Returns
    -------
    GradientAttackResult
        ``epsilon`` is ε_min: 0 where x itself has the class that is asked for, NaN where no step up to ``largest``
        succeeds, for instance because the gradient is zero. ``success`` is what the network says of ``x + dx``: for a
        tolerance near rounding it may be False although a step was found.

    Raises
    ------
    ValueError
        As ``fgsm``, and for ``largest``, ``steps`` or ``tolerance`` that are not positive.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = _check(net, x, label, target, clip)
    _check_positive("largest", largest)
    _check_positive("tolerance", tolerance)
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"steps: expected an integer of at least 1, received {steps!r}")
    grid = largest * np.arange(steps + 1) / steps
    halvings = max(math.ceil(math.log2(largest / steps / tolerance)), 0)

    def block(x, aim):
        ray = _ray(net, x, aim, targeted)
        wins = _along(net, x, ray, aim, targeted, clip)
        epsilon, rest = np.full(len(x), np.nan), np.arange(len(x))
        for step in grid:
            won = wins(rest, step)
            epsilon[rest[won]] = step
            rest = rest[~won]
            if not rest.size:
                break
        some = np.flatnonzero(epsilon > 0.0)
        high = epsilon[some]
        low = high - largest / steps
        for _ in range(halvings):
            middle = 0.5 * (low + high)
            won = wins(some, middle)
            low, high = np.where(won, low, middle), np.where(won, middle, high)
        epsilon[some] = high
        return _arrive(net, x, ray, aim, targeted, epsilon, clip)

    return GradientAttackResult(*_in_blocks(block, x, aim))


def _gradient(net, x, label):
    """Return the loss gradient but for a positive factor a sample, and the logarithm of that (n, 1, …)."""
    logits = net(x)
    function, log_slope = OUTPUTS[net.output_activation]
    y = function(logits)
    own = np.arange(net.classes) == label[:, None]
    others = np.where(own, -np.inf, y)
    total = logsumexp(others, axis=1, keepdims=True)
    # f'(v) ∘ (q - e_label) over 1 - q_label, its largest entry set to one.
    log_weights = np.where(own, 0.0, others - total) + log_slope(logits)
    largest = log_weights.max(axis=1, keepdims=True)
    weights = np.where(own, -1.0, 1.0) * np.exp(log_weights - largest)
    log_uncertainty = -np.logaddexp(0.0, y[own][:, None] - total)
    return net.gradient(x, weights), _column(largest + log_uncertainty, x)


def _ray(net, x, aim, targeted):
    """Return the direction of the step, of entries -1, 0 and 1."""
    direction, _ = _gradient(net, x, aim)
    return np.sign(-direction if targeted else direction)


def _along(net, x, ray, aim, targeted, clip):
    """Return a function of samples (m,) and their steps (m,) or () that says which of them succeed."""
    head = [] if clip else list(takewhile(lambda layer: isinstance(layer, AFFINE), net.layers))
    start = _apply(head, x)
    direction = _apply(head, ray) - _apply(head, np.zeros_like(x[:1]))

    def wins(samples, step):
        y = start[samples] + _column(step, start) * direction[samples]
        if clip:
            y = np.clip(y, *net.input_range)
        return _succeeds(_apply(net.layers[len(head) :], y).argmax(axis=1), aim[samples], targeted)

    return wins


def _arrive(net, x, ray, aim, targeted, epsilon, clip):
    """Return the fields of the result after a step of ``epsilon`` (n,)."""
    dx = _column(epsilon, x) * ray
    if clip:
        dx = np.clip(x + dx, *net.input_range) - x
    known = ~np.isnan(epsilon)
    found = net.classify(np.where(_column(known, x), x + dx, x))
    norms = image_norms(dx)
    with np.errstate(divide="ignore", invalid="ignore"):
        norms = np.where(norms == 0.0, 0.0, norms / image_norms(x))
    return dx, _succeeds(found, aim, targeted), found, epsilon, norms


def _succeeds(found, aim, targeted):
    return (found == aim) == targeted


def _apply(layers, y):
    for layer in layers:
        y = layer.forward(y)
    return y


def _column(values, like):
    """Reshape one number a sample, or a single one, so that it multiplies a batch of arrays."""
    return np.reshape(values, (-1,) + (1,) * (like.ndim - 1))


def _in_blocks(function, *arrays):
    """Apply to blocks of samples, and join every array that comes back."""
    starts = range(0, max(len(arrays[0]), 1), BLOCK)
    parts = [function(*(array[i : i + BLOCK] for array in arrays)) for i in starts]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _check(net, x, label, target=None, clip=False):
    """Return the images, the class whose loss is differentiated, and whether it is a target."""
    x = net.check_images(x)
    label = _check_classes(net, x, label, "label")
    if clip and net.input_range is None:
        raise ValueError("clip: expected a network with an input_range to clip to, received one without")
    if target is None:
        return x, label, False
    target = _check_classes(net, x, target, "target")
    if (target == label).any():
        first = int(np.argmax(target == label))
        raise ValueError(
            f"target: expected a class other than the label, received {target[first]} for both of image {first}"
        )
    return x, target, True


def _check_classes(net, x, values, name):
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"{name}: expected integers, received {values.dtype}")
    if values.shape != (len(x),):
        raise ValueError(f"{name}: expected shape {(len(x),)}, one class an image, received {values.shape}")
    if values.size and not (values.min() >= 0 and values.max() < net.classes):
        raise ValueError(
            f"{name}: expected classes from 0 to {net.classes - 1}, received {values.min()} to {values.max()}"
        )
    return values


def _check_positive(name, value):
    bad = ~(np.isfinite(value) & (np.asarray(value) > 0.0))
    if bad.any():
        raise ValueError(f"{name}: expected positive numbers, received {np.asarray(value)[bad].flat[0]}")
