"""Shortest changes of the input of networks full of kinks, as maxima of pooling and ReLUs make them.

The lead is made of so many affine pieces that a search which converges on a few of them ends in one of many local
optima, on LeNet up to twice as far as the best. Long gradient steps that shorten slowly average over the pieces, and
see the coarse shape first. So each search walks on a sphere around the image, as in the attack DDN (Rony et al., 2019):

(A1) A step along the gradient of the lead over the other classes, all lengths alike; at first three radii long, so
that little but the direction of the gradients counts, at the end a small share of one.
(A2) Back to the sphere, and into the range of the network, if it has one.
(A3) The radius follows the lead, by Newton's method along the ray, a few per cent at a time; so nearly every point is
close to the boundary, and the shortest on its right side counts. DDN changes it by a fixed share.

Some forty steps find an optimum to a few tenths of a per cent. Which one depends on the start: there are several. Then,
in rounds, the search goes on from the shortest change so far and a random one as long as that, which leads to shorter
ones than as many starts near the image. For windows the random ones are smooth, as white noise averages out in them.
The best is annealed again from lower temperatures, which leaves some 1e-4 of the length. On LeNet an image costs about
650 values of the network with a gradient each. Without a range, where what is found stands beside proofs a third as
long, there are no rounds: then a median image is 0.3 % longer.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from bea.networks.leads import lead, lead_over_others
from bea.networks.network import Network
from bea.networks.pixels import into_range, limits
from bea.networks.sequence import pull_back
from bea.networks.smoothing import has_maxima
from bea.numerics.arrays import flat, image_norms
from bea.numerics.blocks import block_size, blocks, in_blocks

TINY = np.finfo(float).tiny
FAR = 10.0  # times an image's length, where no range ends it


@dataclass(frozen=True)
class Schedule:
    """How one annealing cools down: from the first to the last of each pair, along half a cosine.

    Attributes
    ----------
    length : pair of float
        Of a step, in units of the radius to first order.
    radius : pair of float
        Largest relative change of the radius.
    """

    length: tuple[float, float]
    radius: tuple[float, float]


@dataclass(frozen=True)
class Plan:
    """How much is searched.

    Attributes
    ----------
    steps : tuple of int
        Of every annealing: ``HOT``, again ``HOT`` in the rounds, ``WARM``, ``COOL``.
    starts : int
        Of a nearest class: no change, and random ones.
    rounds : int
        From the shortest change so far, ``KICKS`` random ones added to it.
    distant : float
        Classes are tried from no change as far as this beside the nearest, to first order.
    nearest : bool
        Whether the nearest is tried from the other starts as well, however far its first search has ended.
    """

    steps: tuple[int, int, int, int]
    starts: int
    rounds: int
    distant: float = 1.6
    nearest: bool = False

    @property
    def length(self) -> int:
        """Number of steps on the way to what is returned."""
        hot, again, warm, cool = self.steps
        return hot + self.rounds * again + warm + cool


HOT = Schedule((3.0, 0.008), (0.05, 0.05))
WARM = Schedule((0.15, 0.0015), (0.02, 0.002))
COOL = Schedule((0.02, 0.0004), (0.005, 0.0005))
THOROUGH, QUICK = Plan((35, 25, 40, 30), starts=5, rounds=5), Plan((30, 0, 20, 20), starts=2, rounds=0)
POOLED = replace(THOROUGH, distant=1.4, nearest=True)  # of 400 images of LeNet none changes to a class beyond 1.3
GLANCE = Plan((30, 0, 0, 0), starts=1, rounds=0)  # of smooth networks, whose optima a search converges to
AWAY = 1.0  # length of random starts, in units of the radius to first order
TIED = 1.02  # and in the rounds, as they shorten a change by a few per cent at most
KICKS, KICK = 2, 1.0  # random changes a round, and their length in units of the change they are added to
SMOOTH = 1.0  # pixels that a random change of a round is smoothed over, for windows
CLASSES = 5  # so many are tried from no change, at most
CLOSE = 1.04  # classes that are reached within so many times the shortest change are tried from the other starts
IMAGES = 500  # searched at a time: many times as many changes are held
ROUNDS, STRETCH = 2, 4.0  # of the way onto a sphere within the limits, and how much a square may grow in one


def anneal(net: Network, x, target, margin, start, unit, schedule, steps) -> tuple[np.ndarray, np.ndarray]:
    """Return the shortest changes met with which the target leads by the margin (n, pixels), NaN for none, and lengths.

    Parameters
    ----------
    net : Network
        Changes keep to its ``input_range``, if it has one.
    x : array (n, *input_shape)
    target : int array (n,)
    margin : float
    start : array (n, pixels)
        Where to start; from zero, the first step goes as far as ``unit``.
    unit : array (n,)
        Length of a change, about as long as what is looked for.
    schedule : Schedule
    steps : int
    """
    low, high = limits(net, x)
    delta = start
    best, size = np.full_like(low, np.nan), np.full(len(x), np.inf)
    for number in range(steps):
        warmth = 0.5 + 0.5 * np.cos(np.pi * number / steps)
        length, share = (last + (first - last) * warmth for first, last in (schedule.length, schedule.radius))
        values = net.trace(x + delta.reshape(x.shape))
        ahead = lead(values[-1], target) - margin
        here = image_norms(delta)
        better = (ahead >= 0.0) & (here < size)
        best[better], size[better] = delta[better], here[better]
        if number == steps - 1:
            break
        gradient = flat(pull_back(net.layers, _lead_slopes(values[-1], target)[:, None], values))
        free = np.where((delta > low) & (delta < high), delta, 0.0)
        along = np.vecdot(gradient, free)
        # Where the lead does not grow outwards, or would far out only, the free pixels change as much as they may.
        rise = -ahead / np.maximum(along, np.abs(ahead) / share + TINY)
        longer = np.sqrt(here**2 + rise * (2.0 + rise) * np.vecdot(free, free))
        radius = np.where(here > 0.0, longer, unit)
        delta = delta + (length * unit)[:, None] * _directions(gradient)
        delta = _onto_sphere(delta, radius, low, high)
    return best, size


def _onto_sphere(delta, radius, low, high) -> np.ndarray:
    """Return changes within the limits in the directions given, of about the length wanted: what is cut off counts."""
    delta, scale = _directions(delta), radius.copy()
    for _ in range(ROUNDS):
        ahead = scale[:, None] * delta
        inside = np.clip(ahead, low, high)
        free = np.where(inside == ahead, ahead, 0.0)
        missing = radius**2 - np.vecdot(inside, inside)
        square = np.maximum(np.vecdot(free, free), np.abs(missing) / STRETCH + TINY)
        scale *= np.sqrt(np.maximum(1.0 + missing / square, 1.0 / STRETCH))
    return np.clip(scale[:, None] * delta, low, high)


def _directions(vectors) -> np.ndarray:
    """Return vectors (n, pixels) of length one; zero stays zero, as a gradient is where all units are off."""
    sizes = image_norms(vectors)[:, None]
    return np.divide(vectors, sizes, out=np.zeros_like(vectors), where=sizes > 0.0)


def _lead_slopes(logits, target) -> np.ndarray:
    """Return the derivatives of the lead by the logits, (n, classes): one for the target, minus one for its rival."""
    rows, slopes, others = np.arange(len(logits)), np.zeros_like(logits), logits.copy()
    others[rows, target] = -np.inf
    slopes[rows, target], slopes[rows, others.argmax(axis=1)] = 1.0, -1.0
    return slopes


@dataclass(frozen=True, eq=False)
class Ends:
    """Where annealings have ended: changes (m, pixels) of some images, for a class each, and their lengths."""

    image: np.ndarray
    target: np.ndarray
    unit: np.ndarray
    delta: np.ndarray
    length: np.ndarray

    def take(self, some) -> "Ends":
        """Return some of them."""
        return Ends(*(getattr(self, field.name)[some] for field in fields(self)))

    def joined(self, other) -> "Ends":
        """Return both together."""
        return Ends(*(np.concatenate([getattr(one, field.name) for one in (self, other)]) for field in fields(self)))

    def shortest(self, within=1.0) -> "Ends":
        """Return the shortest of every image, and of its classes that are reached within so many times that length."""
        order = np.lexsort((self.length, self.image))
        ends = self.take(order[np.isfinite(self.length[order])])
        _, first, number = np.unique(ends.image, return_index=True, return_inverse=True)
        _, pairs = np.unique(np.stack([ends.image, ends.target]), axis=1, return_index=True)
        return ends.take(pairs[ends.length[pairs] <= within * ends.length[first][number[pairs]]])


def planned(net: Network, starts: int | None = None) -> Plan:
    """Return how much is searched unless it is said: within a range a thorough plan, and with so many ``starts``."""
    plan = (POOLED if has_maxima(net.layers) else THOROUGH) if net.input_range else QUICK
    return replace(plan, starts=starts) if starts else plan


def annealed(net: Network, x, aims, margin, elsewhere: Callable | None = None, seed=0, plan=None) -> np.ndarray:
    """Return the shortest change found that reaches one of several classes, NaN for none.

    Parameters
    ----------
    net : Network
        Changes keep to its ``input_range``, if it has one.
    x : array (n, *input_shape)
    aims : int array (n, tries)
        None of them the present class; the nearest first, as only a few are tried.
    margin : float
        By how much, in units of the logits, that class must lead.
    elsewhere : function, optional
        Of the numbers of some images (m,) and a class for each (m,): changes (m, *input_shape) to start from where no
        other start has led to the nearest class.
    seed : int
        Of the random starts, which are the same for all images.
    plan : Plan, optional
        What ``planned`` says unless given.
    """
    plan = plan or planned(net)
    hot, again, warm, cool = zip((HOT, HOT, WARM, COOL), plan.steps, strict=True)
    random = np.random.default_rng(seed).standard_normal((plan.starts - 1 + KICKS * plan.rounds, flat(x).shape[1]))
    away, kicks = np.split(_directions(random), [plan.starts - 1])
    kicks = _smooth(kicks, net.input_shape).reshape(plan.rounds, KICKS, random.shape[1])
    dx, still = np.full_like(x, np.nan), np.zeros((1, random.shape[1]))
    for part in blocks(len(x), IMAGES):
        first, pixels = part.start, x[part]
        ends = _ends(net, pixels, aims[part, :CLASSES], margin, plan, away, hot)
        lost = np.setdiff1d(np.arange(len(pixels)), ends.image)
        if lost.size and elsewhere is not None:
            target = aims[first + lost, 0]
            start = flat(elsewhere(first + lost, target))
            ends = ends.joined(_run(net, pixels, margin, lost, target, image_norms(start), start, warm))
        best = ends.shortest(TIED)
        for kick in kicks:
            best = best.joined(_from_there(net, pixels, margin, best, kick, again)).shortest(TIED)
        for schedule in (warm, cool):
            best = best.joined(_from_there(net, pixels, margin, best, still, schedule)).shortest()
        found = best.delta.reshape(-1, *net.input_shape)
        dx[first + best.image] = into_range(net, pixels[best.image], found)
    return dx


def _smooth(changes, shape) -> np.ndarray:
    """Return directions (k, pixels) without what changes from one pixel to the next, where there are channels."""
    if len(shape) != 3 or not len(changes):
        return changes
    return _directions(flat(gaussian_filter(changes.reshape(-1, *shape), SMOOTH, axes=(1, 2))))


def _ends(net: Network, x, aims, margin, plan, away, hot) -> Ends:
    """Return where the searches end that start from no change, and for the nearest classes from random ones, too."""
    units = in_blocks(lambda x, aims: _radii(net, x, aims, margin), block_size(net.layers, net.input_shape), x, aims)
    image, number = np.nonzero(units <= plan.distant * units.min(axis=1, keepdims=True))
    still = np.zeros((len(image), away.shape[1]))
    ends = _run(net, x, margin, image, aims[image, number], units[image, number], still, hot)
    lengths = np.full(aims.shape, np.inf)
    lengths[image, number] = ends.length
    close = lengths <= CLOSE * lengths.min(axis=1, keepdims=True)
    image, number = np.nonzero(close | (plan.nearest & (units == units.min(axis=1, keepdims=True))))
    unit, target = np.repeat(units[image, number], len(away)), np.repeat(aims[image, number], len(away))
    start = AWAY * unit[:, None] * np.tile(away, (len(image), 1))
    ends = ends.joined(_run(net, x, margin, np.repeat(image, len(away)), target, unit, start, hot))
    return ends.take(np.isfinite(ends.length))


def _from_there(net: Network, x, margin, best, kicks, schedule) -> Ends:
    """Return where the searches end that start from the changes that are best, each of the kicks (k, pixels) added."""
    some = best.take(np.repeat(np.arange(len(best.image)), len(kicks)))
    start = some.delta + KICK * some.length[:, None] * np.tile(kicks, (len(best.image), 1))
    return _run(net, x, margin, some.image, some.target, some.unit, start, schedule)


def _run(net: Network, x, margin, image, target, unit, start, schedule) -> Ends:
    """Anneal changes of some of the images, in blocks; ``schedule`` comes with its number of steps."""

    def part(x, target, start, unit):
        return anneal(net, x, target, margin, start, unit, *schedule)

    size = block_size(net.layers, net.input_shape)
    return Ends(image, target, unit, *in_blocks(part, size, x[image], target, start, unit))


def _radii(net: Network, x, aims, margin) -> np.ndarray:
    """Return the distance of every aim to first order, (n, tries), no longer than the range is wide.

    Without a range, ``FAR`` times as long as the image at most.
    """
    linear = net.linearise(x, layers=[False] * len(net.weighted))
    radii = []
    for aim in aims.T:
        steep = np.linalg.norm(lead_over_others(linear.jacobian, aim), axis=2)
        radii.append((margin - lead_over_others(linear.logits, aim)) / np.maximum(steep, TINY))
    low, high = limits(net, x)
    widest = np.linalg.norm(high - low, axis=1)
    longest = np.where(np.isinf(widest), FAR * np.maximum(image_norms(x), 1.0), widest)
    return np.minimum(np.max(radii, axis=2).T, longest[:, None])
