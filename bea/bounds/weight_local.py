"""Lower bounds of the smallest change of the weights that changes the class, from bounds in a ball of changes.

The problem: for the own class c of an image and a rival j, the least relative norm of eq. (5) of paper B,
``(Σ_i ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²)^½``, with which j may win; find a large r that is surely below it. All changes with
the relative norm r are within one ball (W1, W2 in ``bea.bounds.weight_ball``), in which the lead of c over j has a
quadratic below it (W3, W4 in ``bea.bounds.weight_quadratic``), and the rest is as in ``bea.bounds.ball_dense``, with
its allowances for rounding: D5, and the search D6. If only the last layer changes, all is exact.

A rival that is given must lead not the own class alone but all classes, and so every mean of their logits. The radius
is the larger one of two: with the own logit, and with the mean by the multipliers of the attack to first order.
"""

import numpy as np

from bea.backward.closed_form import Changing
from bea.bounds.ball_dense import PAIR_NUMBERS
from bea.bounds.ball_ranges import surely_lead
from bea.bounds.printed import ratio
from bea.bounds.radius_search import FARTHEST, largest_radius, nearest_rival
from bea.bounds.rounding import error_of
from bea.bounds.weight_ball import reach, weight_ball
from bea.bounds.weight_quadratic import descend, lead_and_gradient, least_lead
from bea.networks.leads import lead_over_others, other_classes
from bea.networks.network import Network
from bea.numerics.arrays import image_norms
from bea.numerics.blocks import in_blocks
from bea.numerics.quadratic import smallest_feasible
from bea.numerics.small_matrices import gram


def weight_bound(net: Network, x, rivals, change: Changing) -> tuple[np.ndarray, np.ndarray]:
    """Return how large a change must be at least before a rival can win, and the rival that limits it.

    A tie has the radius 0, and so has a rival that is the class itself.

    Parameters
    ----------
    net : Network
        From the first layer that changes on of ``Dense`` layers with elementwise activations between them.
    x : array (n, *input_shape)
    rivals : int array (n, 1) or (n, 0)
        The only class that counts; any class without columns.
    change : Changing

    Returns
    -------
    radius : array (n,)
        Relative norm; at it the bound was positive. ``FARTHEST`` at most unless only the last layer changes.
    rival : array (n,) of int

    Raises
    ------
    ValueError
        For a network with other layers.
    """
    weight_ball(net, x[:0], change)  # a network that is not covered is refused before any work
    widest = 2 + sum(len(layer.matrix) for layer in net.weighted)
    return in_blocks(lambda *part: _search(net, *part, change), max(8, PAIR_NUMBERS // widest**2), x, rivals)


def _search(net, x, rivals, change):
    values, ball = net.trace(x), weight_ball(net, x, change)
    own = np.eye(net.classes)[values[-1].argmax(axis=1)]
    radius, rival, weights = _proved(net, ball, values, own, rivals)
    if rivals.shape[1]:  # the rival must lead all classes, not the own one alone
        radius = np.maximum(radius, _proved(net, ball, values, weights, rivals)[0])
    return radius, rival


def _proved(net, ball, values, weights, rivals):
    """Return what is proved, with a mean of the logits by these ``weights`` (n, classes) in place of the own logit.

    As long as such a mean is above the rival's logit, one of the others is.

    Returns
    -------
    radius : array (n,)
    rival : int array (n,)
    weights : array (n, classes) or None
        Those that a search to first order finds for a rival that is given: its multipliers.
    """
    last, logits, error = net.layers[-1], values[-1], error_of(net, values)

    def above_each(numbers):
        return np.vecdot(weights, numbers)[:, None] - numbers

    doubt = error + np.vecdot(weights, error)[:, None]
    lead, own = above_each(logits) - doubt, logits.argmax(axis=1)
    if ball is None:
        alpha = net.weight_norms[-1] * image_norms(last.augment(values[-2]))[:, None]
        rows = weights[:, None] - np.eye(net.classes)
        distance = ratio(np.maximum(lead, 0.0), alpha * np.sqrt(np.vecdot(rows, rows)))
        rival = _order(distance, own, rivals)[:, 0]
        radius = distance[np.arange(len(own)), rival] * (1.0 - 1e-12)
        return radius, rival, _multipliers(lead, alpha[:, :, None] * rows, weights, rivals)
    bias = last.matrix[:, -1] if last.bias else np.zeros(len(last.matrix))
    constant = above_each(np.broadcast_to(bias, logits.shape)) - doubt
    d = (weights @ ball.last)[:, None] - ball.last
    here = reach(ball, np.zeros(len(logits)))
    gradient = lead_and_gradient(here, d, np.zeros((len(logits), sum(ball.sizes))))[1]
    distance = ratio(np.maximum(lead, 0.0), np.sqrt(np.vecdot(gradient, gradient)))

    def largest(i, j, limit=None):
        part, direction, rows, fixed = ball.take(i), -gradient[i, j], d[i, j], constant[i, j]

        def bound_at(some, r):
            known = reach(part.take(some), r)
            point = direction[some] = descend(known, rows[some], direction[some])
            return least_lead(known, rows[some], fixed[some], point)

        start = np.clip(0.95 * distance[i, j], 0.0, FARTHEST)
        never = ~rows.any(axis=1) & (ball.loss == 0.0)
        return largest_radius(bound_at, lead[i, j], start, limit, never=never)

    def clear(radius):
        known = reach(ball, radius)
        loss = ball.loss * known.lengths[-1][:, None]
        return surely_lead(ball.stages[-1], known.inputs[-1], d, constant, radius, loss)

    found = nearest_rival(_order(distance, own, rivals), largest, clear)
    return *found, _multipliers(lead, gradient, weights, rivals)


def _multipliers(lead, gradient, weights, rivals):
    """Return how much each class counts against the rival given, (n, classes), in its attack to first order.

    The attack asks that it leads all others. Where no multiplier is positive the ``weights`` stay; None without rivals.
    """
    if not rivals.shape[1]:
        return None
    rival = rivals[:, 0]
    rows, missing = lead_over_others(gradient, rival), lead_over_others(lead, rival)
    multipliers = np.nan_to_num(smallest_feasible(gram(rows), missing)[0])
    total = multipliers.sum(axis=1, keepdims=True)
    found = np.zeros_like(weights)
    np.put_along_axis(found, other_classes(rival, weights.shape[1]), multipliers / np.maximum(total, 1e-300), axis=1)
    return np.where(total > 0.0, found, weights)


def _order(distance, own, rivals):
    """Return the rivals of every image, the nearest first, or the one that is given."""
    if rivals.shape[1]:
        return rivals
    others = np.where(np.arange(distance.shape[1]) == own[:, None], np.nan, distance)
    return others.argsort(axis=1)[:, :-1]
