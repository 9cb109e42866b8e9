"""Attacks along the sign of the loss gradient: one step (FGSM), the smallest step that succeeds, and many steps (PGD).

Here a change is small if its largest pixel is. Of all Δx with ``‖Δx‖∞ ≤ ε`` the one step ``ε sign ∇J`` raises the loss
J most, to first order, and many smaller steps raise it further (paper R, eqs. 3 and 7).
"""

import numpy as np

from bea.attacks.common import StepResult, check_aim, conclude, in_image_blocks
from bea.attacks.loss import scaled_gradient
from bea.attacks.ray_segments import BLOCK_NUMBERS
from bea.networks.network import Network
from bea.networks.pixels import into_range
from bea.numerics.arrays import column
from bea.numerics.checks import check_each


def fgsm(net: Network, x, label, epsilon, *, target=None, clip=False) -> StepResult:
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
        Class to reach; without one any class but the label is a success.
    clip : bool
        Whether ``x + Δx`` is clipped to ``net.input_range``.

    Returns
    -------
    StepResult

    Raises
    ------
    ValueError
        For images of wrong shape or range, classes of wrong shape or out of range, a step that is not positive or of
        wrong shape, or ``clip`` for a network without range.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip)
    epsilon = check_each("epsilon", epsilon, len(x))

    def block(x, aim, epsilon):
        return take_step(net, x, step_direction(net, x, aim, targeted), aim, targeted, epsilon, clip)

    return StepResult(*in_image_blocks(net, block, x, aim, epsilon, numbers=BLOCK_NUMBERS))


def step_direction(net: Network, x, aim, targeted) -> np.ndarray:
    """Return the sign of the loss gradient, or its opposite towards a target: -1, 0 and 1 in the shape of x."""
    direction, _ = scaled_gradient(net, x, aim)
    return np.sign(-direction if targeted else direction)


def take_step(net: Network, x, direction, aim, targeted, epsilon, clip) -> tuple:
    """Return the fields of a ``StepResult`` after a step of ``epsilon`` (n,) along ``direction``."""
    dx = column(epsilon, x) * direction
    if clip:
        dx = into_range(net, x, dx)
    return *conclude(net, x, dx, aim, targeted), epsilon
