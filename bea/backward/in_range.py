"""The attack by backward error on the input within the range of the pixels: ``bea.attack(..., "input", clip=True)``.

Minimises ``‖Δx‖`` such that the target leads every other class by a margin and ``low ≤ x + Δx ≤ high``, by linearising
the leads again and again, as ``bea.attack`` does without ``clip``. The programme linearised at a point,

    minimise ½ ‖δ‖²  subject to  G δ ≥ c  and  low - x ≤ δ ≤ high - x,

has the solution ``δ = clip(Gᵀ λ)`` for the right λ ≥ 0. If it is known which pixels end at a limit, the others solve a
programme without limits, nine unknowns in all (``bea.numerics.quadratic``); that tells anew which ones do, until
nothing changes. A line search on ``½ ‖Δx‖²`` plus a penalty of the largest violation makes the whole converge.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bea.backward.annealing import GLANCE, annealed
from bea.networks.leads import allowed_shortfall, lead, lead_over_others
from bea.networks.network import Network
from bea.networks.pixels import into_range, limits
from bea.networks.smoothing import has_kinks, round_off_kinks
from bea.numerics.arrays import flat, image_norms
from bea.numerics.blocks import block_size, in_blocks
from bea.numerics.quadratic import smallest_feasible

MORE = 1.01  # of the margin is aimed at, so that the margin is met from the right side
ITERATIONS = (20, 100)  # linearisations at most, of rounded networks but the last, and of the last
WIDTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)  # a of the smooth ReLUs, one after the other
REPAIRS = 5  # more searches with the last of them where the ReLUs themselves miss the margin
FINE = 1e-4  # margins from here on are wide beside what a search leaves: it ends where it ends, and nothing is mended
MENDS = 8  # steps, at most, towards the margin where the last search has ended without it
SWEEPS = 30  # guesses at the pixels that end at a limit, at most
ROUNDING = 1e-10  # relative, of multipliers: a step no longer than that ends a programme
PROXIMAL = 1e-8  # of the mean square of a row of G
MISSED = 1e-6  # relative to the largest right-hand side: a programme that misses more has no solution
TOGETHER, CLASSES = 16, 3  # searches or steps, and classes of an image, that are tried at once of few images
SUFFICIENT = 1e-4  # share of the predicted decrease that a step must bring
SHORTEST = 2.0**-20  # step of the line search
TOLERANCE = (3e-3, 1e-4)  # of the length of Δx, of the same: a step no longer than that ends the search


def shortest_to_some_class(
    net: Network, x, aims, changes, lengths, margin, elsewhere: Sequence[Callable]
) -> np.ndarray:
    """Return the shortest change within the range that reaches one of several classes, the nearest without it first.

    Only classes whose change without the range is shorter than what was found within it are tried. Networks with kinks
    are searched by ``bea.backward.annealing`` as well, and smooth ones from where a short annealing ends.

    Parameters
    ----------
    net : Network
        With an ``input_range``.
    x : array (n, *input_shape)
    aims : int array (n, tries)
        None of them the present class.
    changes : array (n, tries, *input_shape)
        Shortest changes without the range, from which to start; NaN for none.
    lengths : array (n, tries)
        Theirs, infinite for none.
    margin : float
    elsewhere : functions
        Of the numbers of some images (m,) and a class for each (m,): changes (m, *input_shape) to start from for the
        images without success so far, where the range stands between.
    """
    best, size = np.full_like(x, np.nan), np.full(len(x), np.inf)
    block = block_size(net.layers, net.input_shape)

    def found(some, target, start):
        dx = in_blocks(
            lambda x, target, start: shortest_in_range(net, x, target, margin, start), block, x[some], target, start
        )
        return dx, image_norms(dx)

    def keep(some, dx, length):
        shorter = length < size[some]
        best[some[shorter]], size[some[shorter]] = dx[shorter], length[shorter]

    order = lengths.argsort(axis=1)
    aims, lengths, changes = (array[np.arange(len(x))[:, None], order] for array in (aims, lengths, changes))
    if has_kinks(net.layers):  # rounded off, kinks lead to one local optimum of many: one more opinion
        dx = annealed(net, x, aims, margin)
        keep(np.arange(len(x)), dx, image_norms(dx))
    elif len(net.weighted) > 1:  # of smooth networks there are fewer: the nearest class has one more start, the first
        dx = annealed(net, x, aims[:, :1], margin, plan=GLANCE)
        aims, lengths = (np.column_stack([array[:, 0], array]) for array in (aims, lengths))
        changes = np.concatenate([dx[:, None], changes], axis=1)
    lengths[:, 0] = 0.0  # the first is tried in any case
    # Of few images several are tried at once, in about the time of one; what counts is the same.
    few = int(np.clip(TOGETHER // max(len(x), 1), 1, CLASSES))
    for first in range(0, aims.shape[1], few):
        columns = np.arange(first, min(first + few, aims.shape[1]))
        some, ranks = np.nonzero(lengths[:, columns] < size[:, None])
        if not some.size:
            break  # nor is any class farther away nearer
        chosen = columns[ranks]
        dx, length = found(some, aims[some, chosen], np.nan_to_num(changes[some, chosen]))
        for column in columns:
            now = np.flatnonzero((chosen == column) & (lengths[some, column] < size[some]))
            keep(some[now], dx[now], length[now])
    for start in elsewhere:
        some = np.flatnonzero(np.isinf(size))
        if not some.size:
            break
        target = aims[some, 0]
        keep(some, *found(some, target, start(some, target)))
    return best


def step_in_range(net: Network, x, target, margin, dx) -> np.ndarray:
    """Return how far the programme linearised at ``x + dx`` goes on from dx, relative to ‖dx‖, (n,): 0 at an optimum.

    It keeps to the range of the network, if it has one. Over a kink it says little, and nothing, NaN, where that
    programme contradicts itself.
    """
    d = flat(dx)
    low, high = limits(net, x)
    linear = net.linearise(x + dx)
    g = lead_over_others(linear.logits, target) - margin
    G = lead_over_others(linear.jacobian, target)
    aimed, multipliers, _ = smallest_in_box(G, np.matvec(G, d) - g, low, high)
    with np.errstate(invalid="ignore", divide="ignore"):
        length = image_norms(aimed - d) / image_norms(d)
    return np.where(np.isnan(multipliers).any(axis=1), np.nan, length)


def shortest_in_range(net: Network, x, target, margin, start) -> np.ndarray:
    """Return a locally shortest change within the range for every image, NaN where none was met that succeeds.

    Kinks are rounded off first, as at a kink a linearisation says what happens on one side only: networks with ReLUs
    are replaced by ones with smooth ReLUs that turn sharper, each starting where the one before has ended.

    Parameters
    ----------
    net : Network
        With an ``input_range``.
    x : array (n, *input_shape)
    target : int array (n,)
        None of them the present class.
    margin : float
        By how much, in units of the logits, it must lead.
    start : array (n, *input_shape)
        Where to start; zero where nothing better is known.
    """
    low, high = limits(net, x)
    delta, best = np.clip(flat(start), low, high), np.full((len(x), low.shape[1]), np.nan)

    def judge(some, points):
        """Keep the points that succeed in the network itself; return by how much each of them misses the margin."""
        here = into_range(net, x[some], points.reshape(x[some].shape))
        logits = net(x[some] + here)
        short = margin - allowed_shortfall(logits, margin) - lead(logits, target[some])
        better = (short <= 0.0) & ~(image_norms(here) >= image_norms(best[some]))
        best[some[better]] = flat(here)[better]
        return short

    rest, asked = np.arange(len(x)), np.full(len(x), margin)
    smooth = has_kinks(net.layers)
    widths = (*WIDTHS, *[WIDTHS[-1]] * REPAIRS) if smooth else (None,)
    for number, width in enumerate(widths, 1):
        last = not smooth or number >= len(WIDTHS)
        arrays = (array[rest] for array in (x, target, asked, delta, low, high))
        rounded = replace(net, layers=round_off_kinks(net.layers, width)) if smooth else net
        delta[rest], met = _descend(rounded, *arrays, last)
        ended = np.where(np.isnan(met), delta[rest], met)
        short = judge(rest, ended)
        if last:
            # What the sharpest smooth ReLU still gets wrong is asked for on top, and a little more.
            asked[rest] += np.maximum(1.5 * short, 2.0 * margin)
            # A success of a blunter one may be far longer than where the sharpest ends and just misses a fine margin.
            length = image_norms(best[rest])
            longer = (length > (1.0 + TOLERANCE[last]) * image_norms(ended)) & (margin < FINE)
            rest = rest[longer | np.isnan(length)]
        if not rest.size:
            break
    judge(np.arange(len(x)), np.clip(flat(start), low, high))  # which may be shorter: more than the margin is aimed at
    return best.reshape(x.shape)


def _descend(net, x, target, margin, delta, low, high, last):
    """Return where the search has ended, and the shortest point met with the margin, NaN for none."""
    delta, rest = delta.copy(), np.arange(len(x))
    best, size, penalty = np.full(delta.shape, np.nan), np.full(len(x), np.inf), np.zeros(len(x))
    weight = np.zeros((len(x), net.classes - 1))

    def look(rest):
        """Linearise at some of the points, and keep those that meet the margin."""
        d = delta[rest]
        linear = net.linearise(x[rest] + d.reshape(x[rest].shape))
        g = lead_over_others(linear.logits, target[rest]) - MORE * margin[rest, None]
        length, violation = np.linalg.norm(d, axis=1), np.maximum(-g, 0.0).max(axis=1)
        met = violation <= (MORE - 1.0) * margin[rest]
        better = met & (length < size[rest])
        best[rest[better]], size[rest[better]] = d[better], length[better]
        return d, g, lead_over_others(linear.jacobian, target[rest]), length, violation, met

    for _ in range(ITERATIONS[last]):
        d, g, G, length, violation, _ = look(rest)
        aimed, multipliers, _ = smallest_in_box(G, np.matvec(G, d) - g, low[rest], high[rest], weight[rest])
        step, weight[rest] = aimed - d, np.nan_to_num(multipliers)
        penalty[rest] = np.maximum(penalty[rest], 2.0 * weight[rest].sum(axis=1))
        slope = np.vecdot(d, step) - penalty[rest] * violation
        merit = 0.5 * np.vecdot(d, d) + penalty[rest] * violation
        there = np.linalg.norm(step, axis=1) <= TOLERANCE[last] * length
        waiting = np.flatnonzero(~np.isnan(multipliers).any(axis=1) & ~there & (slope < 0.0))
        share, moved = 1.0, np.zeros(len(rest), dtype=bool)
        while len(waiting) and share >= SHORTEST:
            some, tried = rest[waiting], 1 if share == 1.0 else max(TOGETHER // len(waiting), 1)
            shares = np.maximum(share * 0.5 ** np.arange(tried)[:, None], SHORTEST)
            trial = d[waiting] + shares[:, :, None] * step[waiting]
            logits = net((flat(x[some]) + trial).reshape(-1, *x.shape[1:])).reshape(tried * len(some), -1)
            reached = lead_over_others(logits, np.tile(target[some], tried)).reshape(tried, len(some), -1)
            missed = np.maximum(MORE * margin[some, None] - reached, 0.0).max(axis=2)
            value = 0.5 * np.vecdot(trial, trial) + penalty[some] * missed
            good = value <= merit[waiting] + SUFFICIENT * shares * slope[waiting]
            won, longest = good.any(axis=0), good.argmax(axis=0)
            delta[some[won]], moved[waiting[won]] = trial[longest[won], won], True
            waiting, share = waiting[~won], 0.5 * shares[-1, 0]
        rest = rest[moved]
        if not rest.size:
            break
    # A step that is short beside Δx may still miss a small margin by far. Unless a point as short has met it already,
    # the smallest steps that mend that are taken.
    longer = size > (1.0 + TOLERANCE[last]) * np.linalg.norm(delta, axis=1)
    rest = np.flatnonzero(longer & (margin < FINE) & last)
    for _ in range(MENDS):
        if not rest.size:
            break
        d, g, G, _, _, met = look(rest)
        step, multipliers, _ = smallest_in_box(G, -g, low[rest] - d, high[rest] - d)
        go_on = ~met & ~np.isnan(multipliers).any(axis=1)
        rest = rest[go_on]
        delta[rest] = np.clip((d + step)[go_on], low[rest], high[rest])
    return delta, best


def smallest_in_box(G, c, low, high, start=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the smallest δ (n, pixels) between limits with ``G δ ≥ c``, its multipliers (n, k), and the steps (n,).

    The multipliers are NaN where none was found; there δ means nothing. ``start`` holds those of a programme like it,
    from which the way may be shorter; zero where there is none.

    Newton's method on the dual: its piece at λ, where some pixels are at a limit, is a programme in the free ones. A
    small proximal term keeps it regular where few are free.
    """
    n, k = c.shape
    weight = np.zeros((n, k)) if start is None else start.copy()
    delta = np.clip(np.vecmat(weight, G), low, high)
    value, near = _dual(G, c, weight, delta), PROXIMAL * np.einsum("nkp,nkp->n", G, G) / k
    rest, size, steps = np.arange(n), np.abs(c).max(axis=1), np.zeros(n, int)
    for _ in range(SWEEPS):
        steps[rest] += 1
        rows, g, old = G[rest], c[rest], weight[rest]
        pull = np.vecmat(old, rows)
        known = (old > 0.0).any(axis=1)  # from multipliers of zero on, all pixels are taken to be free
        free = (pull > low[rest]) & (pull < high[rest]) | ~known[:, None]
        part = np.where(free, 0.0, delta[rest])
        K = (rows * free[:, None]) @ rows.swapaxes(1, 2) + near[rest, None, None] * np.eye(k)
        right, guess = g - np.matvec(rows, part) + near[rest, None] * old, old > 0.0
        ahead, solved, _ = smallest_feasible(K, right, guess if known.any() else None)
        step = np.where(solved[:, None], ahead - old, 0.0)
        done = np.abs(step).max(axis=1) <= ROUNDING * np.abs(old).max(axis=1)
        waiting, share = np.flatnonzero(~done), 1.0
        while len(waiting) and share > SHORTEST:
            some = rest[waiting]
            trial = old[waiting] + share * step[waiting]
            there = np.clip(np.vecmat(trial, G[some]), low[some], high[some])
            reached = _dual(G[some], c[some], trial, there)
            good = reached > value[some]
            weight[some[good]], delta[some[good]], value[some[good]] = trial[good], there[good], reached[good]
            waiting, share = waiting[~good], 0.25 * share
        done[waiting] = True
        rest = rest[~done]
        if not rest.size:
            break
    missed = (c - np.matvec(G, delta)).max(axis=1) > MISSED * size
    weight[missed] = np.nan
    again = np.flatnonzero(missed & (start > 0.0).any(axis=1)) if start is not None else np.zeros(0, int)
    if again.size:  # a piece far from the solution may have none of its own
        delta[again], weight[again], more = smallest_in_box(G[again], c[again], low[again], high[again])
        steps[again] += more
    return delta, weight, steps


def _dual(G, c, weight, delta):
    """Return the dual's value at multipliers and the δ that belongs to them, (n,)."""
    return 0.5 * np.vecdot(delta, delta) + np.vecdot(weight, c - np.matvec(G, delta))
