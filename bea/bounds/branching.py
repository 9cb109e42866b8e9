"""The distance to the nearest other class, enclosed as tightly as asked for: branch and bound on the tight bound.

The problem: for the own class c of an image x find ``ρ = min {‖δ‖ : another class leads at x + δ}`` to a relative gap.
From above an attack gives it: a change δ that does change the class. From below the bound of ``bea.bounds.ball_dense``
gives it, which is loose where many units bend within the ball. Six steps close the gap. The page "The tight bound:
theorem and proof" of the book (book/tight_bound.md) proves them under the same names.

B1. A node is a part of the ball ‖δ‖ ≤ r, r a little less than the attack: the δ for which the inputs of some hidden
   units are within ranges. The whole ball is one. Halving the range of a unit makes two nodes out of one, and no δ is
   lost. On smaller ranges D1 to D4 give a tighter quadratic; a ReLU that is halved at zero is linear in both halves.
B2. Each half is a half-space of δ, or lies in one if the unit is in a later layer. Half-spaces that leave little of the
   ball leave a smaller ball, in which D1 starts; those that leave none leave no node.
B3. In a node no rival is nearer than what weak duality says, with multipliers for the ball and for the half-spaces.
B4. The least of what is proved of all nodes of all rivals is proved of the image. So it is always the node of which
   least is proved that is halved, where its bound loses most, until all have reached r. Whenever a node's worst point
   leads downhill to another class, that attack is shorter, and r falls.
B5. If all units are ReLUs, a semidefinite programme bounds a node that B3 leaves open (``bea.bounds.semidefinite``). It
   takes all kinks at once, and hardly any node has to be halved after it; but it takes many times as long.
B6. So does another one if all units are smooth (``bea.bounds.curves``): it finds the best quadratics below all of them.

The search decides how soon the gap closes, not whether the ends hold. What is free in it does not depend on time or
on which other images there are. Rounding is allowed for as in ``bea.bounds.ball_dense``.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from bea.backward.closed_form import changing
from bea.backward.smallest_attack import attack
from bea.bounds.ball_dense import Pairs, descend, images_at_once, local_bound
from bea.bounds.ball_ranges import Ball, hidden_stages
from bea.bounds.branch_nodes import Nodes, bounded, ranges_in_ball
from bea.networks.layers import Dense
from bea.networks.leads import other_classes
from bea.networks.network import Network
from bea.networks.sequence import run
from bea.numerics.arrays import column, flat, image_norms
from bea.numerics.blocks import blocks, in_blocks
from bea.numerics.checks import check_count
from bea.numerics.progress import showing
from bea.reports.pictures import draw_shares
from bea.reports.results import Report

IMAGES = 1000  # attacked at a time: a change for each of their rivals is held
MARGIN = 1e-7  # by which the rival leads in an attack, in units of the logits
AT_A_TIME = 16  # nodes of one image that are halved side by side
STEPS = 12  # of bisection between a proved radius and a shorter attack
SMALL = 0.05  # steps downhill, relative, and how much farther they are taken
ROOM = 2e-9  # relative, by which the radius that nodes must reach is beyond the one asked for


@dataclass(frozen=True, eq=False)
class ProvedDistance(Report):
    """Both ends of the distance to the nearest other class, for n images; Euclidean, in the unit of the pixels.

    Changes may leave the range of the pixels. Of the weights of the first layer it is ‖ΔA_1‖/‖A_1‖.

    Attributes
    ----------
    lower : array (n,)
        Proved: no change that is shorter changes the class. Zero for a misclassified image where labels were given.
    upper : array (n,)
        Length of this change; infinite where no change of class is known.
    dx : array (n, *input_shape)
        After this change another class leads, as the network computes it; NaN where none is known. Of the weights it is
        (n, outputs of the first layer), the change ΔA_1 x̃ of these, and ``ΔA_1 = dx x̃ᵀ/‖x̃‖²``.
    rival : array (n,) of int
        That class; where none is known, the one that limits ``lower``.
    nodes : array (n,) of int
        How many nodes were bounded; none where the tight bound alone has closed the gap.
    gap : float
        What was asked for.
    on : str or tuple
        What changes.
    """

    lower: np.ndarray
    upper: np.ndarray
    dx: np.ndarray
    rival: np.ndarray
    nodes: np.ndarray
    gap: float = field(metadata={"shared": True})
    on: str | tuple = field(default="input", metadata={"shared": True})
    standing = "proven"

    @property
    def proved_optimal(self) -> np.ndarray:
        """Whether no change of class is shorter than ``(1 - gap) upper``, (n,)."""
        return np.isfinite(self.upper) & (self.lower >= self.upper * (1.0 - self.gap))

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays with a number a sample, and ``proved_optimal``."""
        names = ("lower", "upper", "rival", "nodes", "proved_optimal")
        return {name: getattr(self, name) for name in names}

    def measured(self) -> tuple[str, np.ndarray]:
        """Return the lower end."""
        return f"{self._unit} at least", self.lower

    def tally(self) -> str:
        """Return in words for how many images the gap is closed."""
        return f"{np.count_nonzero(self.proved_optimal)} of {len(self.lower)} samples are optimal to {self.gap:.3g}"

    def draw(self, samples):
        """Return a figure of how both ends are distributed."""
        chosen = slice(None) if samples is None else samples
        return draw_shares({"lower": self.lower[chosen], "upper": self.upper[chosen]}, self._unit)

    @property
    def _unit(self):
        return "‖Δx‖, unit of the pixels," if self.on == "input" else "‖ΔA₁‖/‖A₁‖"


def prove(net: Network, x, label=None, *, on="input", dx=None, gap=1e-3, nodes=1000, progress=False) -> ProvedDistance:
    """Enclose the distance of every image to the nearest other class, and so tell whether an attack is optimal.

    Parameters
    ----------
    net : Network
        Of ``Dense`` layers with sigmoid, tanh, ReLU, smooth or not, or no activation between them.
    x : array (n, *input_shape)
    label : array (n,) of int, optional
        Where the class is another, all is zero. The class itself unless given.
    on : {"input", (1,)}
        What changes: the input, or the weights of the first layer alone, whose outputs are then the input of the rest.
    dx : array (n, *input_shape), optional
        Changes of x that an attack has found, with ``(1,)`` of the first layer's outputs; NaN where there is none.
        Those that change the class count. Unless given, ``bea.attack(…, "input", method="converged")`` looks for them.
    gap : float
        Relative, between the ends: at which the search ends. At least 1e-6.
    nodes : int
        No node of an image is halved once so many were bounded; it begins with one for each rival that may be near, and
        up to 16 are halved side by side, so somewhat more may be. With 0 the tight bound is all there is. A node may
        cost from a tenth of a second to seconds (B5, B6; with the cube of the number of units that bend, and without B6
        where more than 500 units are smooth), and few are needed.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Raises
    ------
    ValueError
        For other layers, another ``on``, a gap out of range, a number of nodes that is none, changes of wrong shape,
        images of wrong shape or range, labels of wrong shape or range.
    TypeError
        For labels that are not integers.
    """
    stages = hidden_stages(net)
    if on != "input":
        return _first_layer(net, x, label, on, dx=dx, gap=gap, nodes=nodes, progress=progress)
    if not 1e-6 <= gap < 1.0:
        raise ValueError(f"gap: expected a number from 1e-6 to 1, received {gap!r}")
    check_count("nodes", nodes, 0)
    x = net.check_images(x)
    label = None if label is None else net.check_classes(label, len(x), "label")
    own = net.classify(x)
    with showing(progress):
        dx = _shortest(net, x, own) if dx is None else _checked(x, dx)
        dx, upper, reached = _judged(net, x, own, dx)
        lower, rival = local_bound(net, x)
        rival = np.where(np.isfinite(upper), reached, rival)
        used = np.zeros(len(x), dtype=int)
        rest = np.flatnonzero(np.isfinite(upper) & (lower > 0.0) & (lower < upper * (1.0 - gap)))
        if len(rest) and stages and nodes:
            ball = Ball.of(stages)
            size, parts = images_at_once(ball), (x[rest], dx[rest], lower[rest])
            found = in_blocks(lambda *part: _search(net, ball, gap, nodes, *part), size, *parts)
            dx[rest], lower[rest], used[rest] = found
            dx, upper, rival = _judged(net, x, own, dx)
    if label is not None:
        wrong = own != label
        lower[wrong], upper[wrong], dx[wrong], rival[wrong] = 0.0, 0.0, 0.0, own[wrong]
    return ProvedDistance(lower, upper, dx, rival, used, gap)


def _first_layer(net, x, label, on, **options):
    """Return what is proved of the first layer's weights: a bound on its outputs, over ‖A_1‖ ‖x̃‖ (W1)."""
    change = changing(net, on)
    if change.input or change.layers != (True, *(False for _ in change.layers[1:])):
        raise ValueError(f'on: expected "input" or (1,), received {on!r}')
    x = net.check_images(x)
    number = next(number for number, layer in enumerate(net.layers) if isinstance(layer, Dense))
    layer, y = net.layers[number], flat(run(net.layers[:number], x))
    rest = Network((Dense(np.eye(len(layer.matrix)), bias=False), *net.layers[number + 1 :]), (len(layer.matrix),))
    found = prove(rest, layer.forward(y), label, **options)
    longer = layer.augment(y)
    length = net.weight_norms[0] * image_norms(longer)
    # The outputs themselves are known up to the rounding of their sums.
    doubt = 2.0**-52 * layer.matrix.shape[1] * image_norms(np.abs(longer) @ np.abs(layer.matrix).T)
    lower = np.maximum(found.lower - doubt, 0.0) / length * (1.0 - 1e-12)
    return replace(found, lower=lower, upper=found.upper / length, on=on)


def _search(net, ball, gap, budget, x, dx, lower):
    """Return shorter changes, larger lower bounds, and how many nodes that took, for a block of images."""
    pairs, n = Pairs.of(ball, net, x), len(x)
    basis = np.linalg.qr(ball.stages[0].kernel.T)[0]
    dx, upper = dx.copy(), image_norms(dx)
    goal = upper * (1.0 - gap) * (1.0 + ROOM)
    rivals = ~pairs.clear(goal)
    rivals[np.arange(n), pairs.own] = False
    image, rival = np.nonzero(rivals)
    new = _roots(pairs, image, rival, goal)
    nodes = new.take(slice(0))
    used = np.zeros(n, dtype=int)
    while True:
        used += np.bincount(image[new.pair], minlength=n)
        new = _bounded(pairs, image, rival, new, goal)
        some = np.flatnonzero(new.reach < goal[image[new.pair]])
        i, j = image[new.pair[some]], rival[new.pair[some]]
        i, change = _downhill(net, pairs, basis, x, goal, lower, i, j, new.take(some))
        dx[i], upper[i] = change, image_norms(change)
        goal = upper * (1.0 - gap) * (1.0 + ROOM)
        nodes = Nodes.joined([nodes, new])
        nodes = nodes.take(~(nodes.reach >= goal[image[nodes.pair]]))
        of = image[nodes.pair]
        order = np.lexsort((nodes.reach, of))
        order = order[used[of[order]] < budget]
        if not len(order):
            break
        rank = np.arange(len(order)) - np.searchsorted(of[order], of[order])
        chosen = order[rank < AT_A_TIME]
        new, nodes = nodes.take(chosen).halves(), nodes.take(np.delete(np.arange(len(nodes.pair)), chosen))
    least = goal.copy()
    np.minimum.at(least, of, nodes.reach)
    return dx, np.maximum(lower, least * (1.0 - 1e-9)), used


def _roots(pairs, image, rival, goal):
    """Return the whole ball as one node for each pair."""
    images, which = np.unique(image, return_inverse=True)
    low, high = ranges_in_ball(pairs.ball, pairs.v[images], goal[images])
    n, start = len(image), -pairs.gradients()[image, rival]
    point = descend(pairs.ball, pairs.v[image], pairs.d[image, rival], goal[image], start)
    none, zero, units = np.zeros(n, dtype=int), np.zeros(n), low.shape[1]
    split, level = np.zeros((n, 2, units), dtype=bool), np.zeros((n, units))
    return Nodes(np.arange(n), low[which], high[which], split, zero, point, point, point, level, none, zero)


def _bounded(pairs, image, rival, nodes, goal):
    """Return the nodes with their bounds, some at a time."""
    parts = []
    for part in blocks(len(nodes.pair), images_at_once(pairs.ball)):
        some = nodes.take(part)
        i, j = image[some.pair], rival[some.pair]
        parts.append(bounded(pairs.ball, some, pairs.v[i], pairs.d[i, j], pairs.constant[i, j], goal[i]))
    return Nodes.joined(parts)


def _downhill(net, pairs, basis, x, goal, lower, i, j, nodes):
    """Return images and changes of their class shorter than the goal, found downhill from the points of pairs (i, j).

    The first trials are at the goal, and where the bound says that a rival may be, there and just beyond with small
    steps. If that leads to one, the radius is halved again and again between there and the lower bound.
    """
    just = np.minimum(np.sqrt(np.vecdot(nodes.worst, nodes.worst)), goal[i])
    pace = np.repeat([1.0, 1.0, SMALL], len(i))
    r = np.concatenate([goal[i], just, np.minimum(just * (1.0 + SMALL), goal[i])])
    i, j = np.tile(i, 3), np.tile(j, 3)
    inner, outer, point = lower[i], r, np.concatenate([nodes.home, nodes.worst, nodes.worst])
    for step in range(STEPS):
        found = descend(pairs.ball, pairs.v[i], pairs.d[i, j], r, point, pace)
        other = net.classify(x[i] + (found @ basis.T).reshape(-1, *x.shape[1:])) != pairs.own[i]
        other &= np.isfinite(found).all(axis=1)  # else there is no class
        if step == 0:
            i, j, point, inner, outer, pace = (array[other] for array in (i, j, found, inner, outer, pace))
        else:
            point = np.where(other[:, None], found, point)
            inner, outer = np.where(other, inner, r), np.where(other, r, outer)
        if not len(i):
            break
        r = (inner + outer) / 2
    order = np.lexsort((outer, i))
    images, first = np.unique(i[order], return_index=True)
    return images, (point[order[first]] @ basis.T).reshape(-1, *x.shape[1:])


def _shortest(net, x, own):
    """Return the shortest change of class that an attack finds (n, *input_shape), NaN where it finds none."""
    parts = []
    for part in blocks(len(x), IMAGES):
        others = other_classes(own[part], net.classes)
        images = np.repeat(x[part], net.classes - 1, axis=0)
        found = attack(net, images, others.ravel(), "input", method="converged", margin=MARGIN)
        changes = np.where(column(found.success, images), found.perturbation.dx, np.nan)
        length = np.where(found.success, image_norms(found.perturbation.dx), np.inf).reshape(others.shape)
        best = length.argmin(axis=1) + np.arange(len(others)) * (net.classes - 1)
        parts.append(changes[best])
    return np.concatenate(parts)


def _judged(net, x, own, dx):
    """Return the changes that change the class, NaN for others, their lengths, infinite for others, and the classes."""
    reached = net.classify(x + np.nan_to_num(dx))
    there = (reached != own) & np.isfinite(dx).all(axis=tuple(range(1, dx.ndim)))
    dx = np.where(column(there, dx), dx, np.nan)
    return dx, np.where(there, image_norms(dx), np.inf), reached


def _checked(x, dx):
    """Return changes as an array of the shape of the images, or raise ``ValueError``."""
    dx = np.asarray(dx, dtype=float)
    if dx.shape != x.shape:
        raise ValueError(f"dx: expected changes of shape {x.shape}, received shape {dx.shape}")
    return dx
