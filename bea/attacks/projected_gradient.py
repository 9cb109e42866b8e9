"""Projected gradient descent, and the smallest radius at which it succeeds."""

import numpy as np

from bea.attacks.common import StepResult, achieved, check_aim, conclude, in_image_blocks
from bea.attacks.epsilon_search import smallest_epsilon
from bea.attacks.gradient_signs import step_direction
from bea.networks.network import Network
from bea.networks.pixels import into_range
from bea.numerics.arrays import column
from bea.numerics.checks import check_count, check_each, check_positive
from bea.numerics.progress import showing


def pgd(
    net: Network,
    x,
    label,
    epsilon,
    *,
    target=None,
    steps=40,
    step=None,
    random_start=False,
    seed=0,
    clip=False,
    stop=True,
    progress=False,
) -> StepResult:
    """Repeated steps along the sign of the loss gradient, each brought back into the box (paper R, after eq. 7).

    Maximises ``J(x + Δx, label)``, or minimises ``J(x + Δx, target)``, over ``‖Δx‖∞ ≤ ε``, with ``clip`` also over
    ``x + Δx`` in the range of the pixels: projected gradient ascent that looks at the sign only, as for small ε one
    step would be exact. One step of length ε is ``fgsm``.

    Parameters
    ----------
    net, x, label, target, clip
        As in ``fgsm``.
    epsilon : float or array (n,)
        Largest change of a pixel, positive.
    steps : int
        Steps at most.
    step : float or array (n,), optional
        Length of one step in units of the pixels, ``2.5 epsilon / steps`` unless given.
    random_start : bool
        Whether to start at a random point of the box instead of at x, drawn with ``seed`` for the batch as a whole.
    stop : bool
        Whether an image stops at its first success, without a random start at x if it has the class already. One that
        goes on is more likely to fool other networks too.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Returns
    -------
    StepResult
        ``epsilon`` is the one given.

    Raises
    ------
    ValueError
        As ``fgsm``, and for ``steps`` that are no positive whole number or a ``step`` that is not positive.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip)
    epsilon = check_each("epsilon", epsilon, len(x))
    check_count("steps", steps)
    step = 2.5 * epsilon / steps if step is None else check_each("step", step, len(x))
    dx = np.zeros_like(x)
    if random_start:
        dx = column(epsilon, x) * np.random.default_rng(seed).uniform(-1.0, 1.0, x.shape)

    def block(x, dx, aim, epsilon, step):
        return *_iterate(net, x, dx, aim, targeted, epsilon, step, steps, clip, stop), epsilon

    with showing(progress):
        return StepResult(*in_image_blocks(net, block, x, dx, aim, epsilon, step))


def smallest_pgd(
    net: Network, x, label, *, target=None, steps=10, largest=1.0, tolerance=1e-3, clip=False, progress=False
) -> StepResult:
    """Small box in which ``pgd`` succeeds: starts from the smallest step of FGSM and halves what is below it.

    Success need not be monotone in ε, so this is an upper bound of the smallest ε, never above that of FGSM.

    Parameters
    ----------
    net, x, label, target, clip
        As in ``fgsm``.
    steps : int
        Steps of ``pgd`` at most, each of length ``2.5 ε / steps``.
    largest : float
        Largest ε tried.
    tolerance : float
        Accuracy of the halving, absolute, in units of the pixels.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Returns
    -------
    StepResult
        ``epsilon`` is 0 where x itself has the class that is asked for, NaN where nothing was found.

    Raises
    ------
    ValueError
        As ``pgd``, and for ``largest`` or ``tolerance`` that are not positive.
    TypeError
        For classes that are not integers.
    """
    check_count("steps", steps)
    check_positive("tolerance", tolerance)
    first = smallest_epsilon(net, x, label, target=target, largest=largest, clip=clip, progress=progress)
    x, aim, targeted = check_aim(net, x, label, target, clip)

    def block(x, dx, aim, high):
        none = np.isnan(high)
        low, high, dx = np.zeros(len(x)), np.where(none, largest, high), np.nan_to_num(dx)
        trial = np.where(none, largest, 0.5 * high)  # where FGSM found nothing the largest box is tried first
        # Neighbours in floating point have nothing between them.
        while (rest := np.flatnonzero((high - low > tolerance) & (low < trial) & (trial < high) | none)).size:
            zero, edge = np.zeros_like(x[rest]), trial[rest]
            _, found, won, _ = _iterate(net, x[rest], zero, aim[rest], targeted, edge, 2.5 * edge / steps, steps, clip)
            dx[rest[won]] = found[won]
            low[rest[~won]], high[rest[won]] = edge[~won], edge[won]
            low[none & (low > 0.0)] = np.nan  # nothing at all
            high[np.isnan(low)] = np.nan
            none[:] = False
            trial = 0.5 * (low + high)
        dx[np.isnan(high)] = np.nan
        return *conclude(net, x, dx, aim, targeted), high

    with showing(progress):
        return StepResult(*in_image_blocks(net, block, first.x, first.dx, aim, first.epsilon))


def _iterate(net, x, dx, aim, targeted, epsilon, step, steps, clip, stop=True):
    """Return the fields of an ``InputAttackResult`` after so many steps from dx, or at the first success."""
    edge = np.broadcast_to(column(epsilon, x), x.shape)
    low, high = -edge, edge
    if clip:
        low, high = np.maximum(low, net.input_range[0] - x), np.minimum(high, net.input_range[1] - x)
    dx, rest = np.clip(dx, low, high), np.arange(len(x))
    for _ in range(steps):
        if stop:
            rest = rest[~achieved(net.classify(x[rest] + dx[rest]), aim[rest], targeted)]
        ahead = dx[rest] + column(step[rest], x) * step_direction(net, x[rest] + dx[rest], aim[rest], targeted)
        dx[rest] = np.clip(ahead, low[rest], high[rest])
    dx = into_range(net, x, dx) if clip else dx
    return conclude(net, x, dx, aim, targeted)
