"""The loss that attacks raise or lower, and its derivatives with respect to the input.

The loss is the cross-entropy ``J(x, k) = log Σ_j exp(y_j) - y_k`` of the softmax of y, where y are the logits if the
trained model ends in "linear" or "softmax", and the activated outputs if it ends in "tanh" or "sigmoid". That is what
Keras minimises, with ``from_logits=True`` unless the last activation is softmax; paper B names the loss (section 4),
not what is done about its tanh.
"""

import math

import numpy as np
from scipy.special import expit

from bea.attacks.common import check_aim, in_image_blocks
from bea.networks.network import Network
from bea.numerics.arrays import column


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
    x, label, _ = check_aim(net, x, label)

    def block(x, label):
        direction, log_size = scaled_gradient(net, x, label)
        return np.exp(log_size) * direction

    return in_image_blocks(net, block, x, label)


def scaled_gradient(net: Network, x, label) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss gradient but for a positive factor a sample, and the logarithm of that (n, 1, …).

    For attacks that want its direction only, or would lose it where the loss or the gradient is too small for float64.
    """
    _, direction, log_size = _value_and_gradient(net, x, label)
    return direction, log_size


def value_and_gradient(net: Network, x, label) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss J(x, label), (n,), and its gradient with respect to the input, from one pass, unchecked.

    Like the gradient, the loss of a label that is all but certain keeps its digits.
    """
    value, direction, log_size = _value_and_gradient(net, x, label)
    return value, np.exp(log_size) * direction


def odds(y, own) -> tuple[np.ndarray, np.ndarray]:
    """Return log (1 - q_k)/q_k, (n, 1), of the softmax q of y (n, classes), and log q_j/(1 - q_k), (n, classes).

    ``own`` (n, classes) marks class k of every sample. All digits are kept where q_k is nearly one.
    """
    others = np.where(own, -np.inf, y)
    total = np.logaddexp.reduce(others, axis=1, keepdims=True)
    return total - y[own][:, None], others - total


def _value_and_gradient(net, x, label):
    """Return the loss, its gradient but for a positive factor a sample, and the logarithm of that."""
    function, log_slope = OUTPUTS[net.output_activation]
    own = np.arange(net.classes) == label[:, None]
    value, log_size = np.empty(len(x)), np.empty((len(x), 1))

    def weights(logits):
        """f'(v) ∘ (q - e_label) over 1 - q_label, its largest entry set to one."""
        y = function(logits)
        gap, log_shares = odds(y, own)
        value[:] = np.logaddexp(0.0, gap)[:, 0]
        log_weights = np.where(own, 0.0, log_shares) + log_slope(logits)
        largest = log_weights.max(axis=1, keepdims=True)
        log_size[:] = largest - np.logaddexp(0.0, -gap)
        return np.where(own, -1.0, 1.0) * np.exp(log_weights - largest)

    direction = net.gradient(x, weights)
    return value, direction, column(log_size, x)
