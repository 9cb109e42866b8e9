"""The attack that changes as few pixels as possible, however far (p = 0 in paper R, eq. 6): greedy, by a saliency map.

Minimises ``‖Δx‖₀``, the number of pixels that change, such that ``x + Δx`` has the target's class, or any but the
label, and lies in the range of the pixels. Which pixels is a question of subsets, so the search is greedy: one pixel
after another goes to an end of the range, each chosen by a map of the influence that the pixels have there.
"""

from functools import partial

import numpy as np

from bea.attacks.common import InputAttackResult, achieved, check_aim, conclude, in_image_blocks
from bea.networks.leads import attack_lead, lead_over_each
from bea.networks.network import Network
from bea.networks.pixels import into_range
from bea.numerics.arrays import flat
from bea.numerics.checks import check_count, check_positive
from bea.numerics.progress import counting, showing

RULES = ("lead", "printed", "random")


def saliency_attack(
    net: Network,
    x,
    label,
    *,
    target=None,
    margin=1e-3,
    pixels=None,
    rule="lead",
    take_back=True,
    seed=0,
    progress=False,
) -> InputAttackResult:
    """Change one pixel after another until the class is what was asked for (paper R, section B; Papernot et al. 2016).

    The network is linearised again after every change, ``logits ≈ v + J Δx``. The rules for the next pixel k are

    - "lead": the one, and the end of the range, that lead to the largest *predicted* lead. For a target t that is
      ``min_j (v_t - v_j + (J_t - J_j)_k Δx_k)``; without one, ``max_j (v_j - v_label + (J_j - J_label)_k Δx_k)``.
    - "printed": the largest entry ``α_k |β_k|`` of Papernot's saliency map (their eq. 8), with ``α = J_t`` and ``β``
      the sum of the other rows, where α > 0 > β; pixels only go up. Without a target t is the largest other class.
    - "random": the next pixel of a random order, the same for all images, to the better end by the predicted lead. It
      is no attack, but what the others must be compared with.

    A pixel that was changed is not touched again until the attack has succeeded. Then, in the order of the choices,
    every pixel is put back without which it succeeds too. Greedy: an upper bound of the smallest number of pixels.

    Parameters
    ----------
    net, x, label, target
        As in ``bea.attacks.gradient_signs.fgsm``; the network has an ``input_range``, to whose ends the pixels go.
    margin : float
        By how much, in units of the logits, that class must lead; positive.
    pixels : int, optional
        How many coordinates may change, all of them unless given; every channel of a pixel is one.
    rule : {"lead", "printed", "random"}
    take_back : bool
        Whether pixels that are not needed are put back.
    seed : int
        Of the random order.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Returns
    -------
    InputAttackResult
        ``dx`` is NaN where the pixels did not suffice, or where none is left that the rule could choose, for instance
        because all derivatives are zero.

    Raises
    ------
    ValueError
        For a network without range, images of wrong shape or range, classes of wrong shape or out of range, a margin
        that is not positive, ``pixels`` below 1 or above the number of coordinates, or an unknown rule.
    TypeError
        For classes that are not integers.
    """
    if net.input_range is None:
        raise ValueError("net: expected a network with an input_range, to whose ends pixels go, received one without")
    x, aim, targeted = check_aim(net, x, label, target)
    check_positive("margin", margin)
    size = int(np.prod(net.input_shape))
    pixels = size if pixels is None else pixels
    check_count("pixels", pixels)
    if pixels > size:
        raise ValueError(f"pixels: expected at most the {size} coordinates of an image, received {pixels}")
    if rule not in RULES:
        raise ValueError(f"rule: expected one of {RULES}, received {rule!r}")
    order = np.random.default_rng(seed).permutation(size)
    score = {"lead": _predicted_lead, "printed": _printed_map, "random": partial(_random_rank, order)}[rule]

    def block(x, aim):
        z, chosen, won = _greedy(net, x, aim, targeted, margin, pixels, score)
        if take_back:
            _take_back(net, x, z, aim, targeted, margin, chosen, won)
        dx = into_range(net, x, z - x)
        dx[~won] = np.nan
        return conclude(net, x, dx, aim, targeted)

    with showing(progress):
        return InputAttackResult(*in_image_blocks(net, block, x, aim))


def _greedy(net, x, aim, targeted, margin, pixels, score):
    """Return the changed images, the coordinates in the order of their choice (n, most), -1 behind, and who has won."""
    z, free = x.copy(), np.ones(x.shape, bool)
    pixel, open_ = flat(z), flat(free)  # views
    low, high = net.input_range
    won, rest = achieved(net.classify(x), aim, targeted), np.arange(len(x))
    rest, orders = rest[~won], []
    with counting(len(x)) as tell:
        for count in range(pixels + 1):
            linear = net.linearise(z[rest])
            reached = attack_lead(linear.logits, aim[rest], targeted) >= margin
            won[rest[reached]] = True
            tell(len(x) - np.count_nonzero(~reached))
            if reached.all() or count == pixels:
                break
            rest, logits = rest[~reached], linear.logits[~reached]
            jacobian = np.broadcast_to(linear.jacobian, (len(reached), *linear.jacobian.shape[1:]))[~reached]
            useful = open_[rest] & jacobian.any(axis=1)
            values = [
                np.where(
                    useful & (pixel[rest] != end),
                    score(logits, jacobian, end - pixel[rest], aim[rest], targeted),
                    -np.inf,
                )
                for end in (high, low)
            ]
            best = np.maximum(*values)
            k, some = best.argmax(axis=1), np.arange(len(rest))
            going = best[some, k] > -np.inf
            upwards = values[0][some, k] >= values[1][some, k]
            rest, k, upwards = rest[going], k[going], upwards[going]
            pixel[rest, k] = np.where(upwards, high, low)
            open_[rest, k] = False
            orders.append(np.full(len(x), -1))
            orders[-1][rest] = k
    return z, np.array(orders, dtype=int).reshape(len(orders), len(x)).T, won


def _take_back(net, x, z, aim, targeted, margin, chosen, won):
    """Put back, in z, every chosen coordinate without which the lead suffices too."""
    pixel, before = flat(z), flat(x)
    for k in chosen.T:
        some = np.flatnonzero(won & (k >= 0))
        without = z[some]
        rows, k = np.arange(len(some)), k[some]
        flat(without)[rows, k] = before[some, k]
        spare = attack_lead(net(without), aim[some], targeted) >= margin
        pixel[some[spare], k[spare]] = before[some[spare], k[spare]]


def _best(gaps, aim, targeted):
    """Return the lead that follows from the logit of the aim less each other one, (n, classes, …)."""
    own = np.arange(gaps.shape[1]) == aim[:, None]
    least = np.where(own.reshape(*own.shape, *[1] * (gaps.ndim - 2)), np.inf, gaps).min(axis=1)
    return least if targeted else -least


def _predicted_lead(logits, jacobian, change, aim, targeted):
    """Return the lead after the change of each coordinate alone, to first order, (n, coordinates)."""
    slopes = jacobian[np.arange(len(aim)), aim][:, None] - jacobian
    return _best(lead_over_each(logits, aim)[:, :, None] + slopes * change[:, None], aim, targeted)


def _printed_map(logits, jacobian, change, aim, targeted):
    """Return the saliency map of Papernot et al. (eq. 8), (n, coordinates), -inf where it forbids a coordinate."""
    own = np.arange(logits.shape[1]) == aim[:, None]
    top = aim if targeted else np.where(own, -np.inf, logits).argmax(axis=1)
    alpha = jacobian[np.arange(len(top)), top]
    beta = jacobian.sum(axis=1) - alpha
    return np.where((alpha > 0.0) & (beta < 0.0) & (change > 0.0), alpha * np.abs(beta), -np.inf)


def _random_rank(order, *arguments):
    """Return the place in a random order, and less than one more for the predicted lead, (n, coordinates)."""
    gain = _predicted_lead(*arguments)
    return order + 0.5 * (1.0 + gain / (1.0 + np.abs(gain)))
