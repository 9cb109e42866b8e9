"""Lower bounds of the smallest change of the weights that changes the class, from bounds in a ball of changes.

The problem: for the own class c of an image and a rival j, the least relative norm of eq. (5) of paper B,
``(Σ_i ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²)^½``, with which j may win; find a large r that is surely below it. All changes with
the relative norm r are within one ball (W1, W2 in ``bea.bounds.weight_ball``), in which the lead of c over j has a
quadratic below it (W3, W4 in ``bea.bounds.weight_quadratic``), and the rest is as in ``bea.bounds.ball_dense``, with
its allowances for rounding: D5, and the search D6. If only the last layer changes, all is exact.
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
from bea.networks.leads import lead_over_each
from bea.networks.network import Network
from bea.numerics.arrays import image_norms
from bea.numerics.blocks import in_blocks


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
    values, last = net.trace(x), net.layers[-1]
    logits, error, everyone = values[-1], error_of(net, values), np.arange(len(x))
    own = logits.argmax(axis=1)
    doubt = error + error[everyone, own][:, None]
    lead = lead_over_each(logits, own) - doubt
    ball = weight_ball(net, x, change)
    if ball is None:
        lengths = np.sqrt(2.0) * net.weight_norms[-1] * image_norms(last.augment(values[-2]))
        return _exact(lead, lengths, own, rivals)
    bias = last.matrix[:, -1] if last.bias else np.zeros(len(last.matrix))
    constant, d = bias[own][:, None] - bias - doubt, ball.last[own][:, None] - ball.last
    here = reach(ball, np.zeros(len(x)))
    gradient = lead_and_gradient(here, d, np.zeros((len(x), sum(ball.sizes))))[1]
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

    return nearest_rival(_order(distance, own, rivals), largest, clear)


def _exact(lead, lengths, own, rivals):
    """Return radius and rival where the last layer alone takes ``lengths`` (n,) times the radius from every lead."""
    distance = ratio(np.maximum(lead, 0.0), lengths[:, None])
    rival = _order(distance, own, rivals)[:, 0]
    return distance[np.arange(len(own)), rival] * (1.0 - 1e-12), rival


def _order(distance, own, rivals):
    """Return the rivals of every image, the nearest first, or the one that is given."""
    if rivals.shape[1]:
        return rivals
    others = np.where(np.arange(distance.shape[1]) == own[:, None], np.nan, distance)
    return others.argsort(axis=1)[:, :-1]
