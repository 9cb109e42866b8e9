"""The attack by componentwise backward error: no entry may change by more than its own part ε.

Minimises ε such that ``|Δx| ≤ ε |x|`` entry by entry, and ``|ΔA_i| ≤ ε |A_i|`` where weights may change, and the
network gives another class. A pixel that is zero stays zero, and one that the network does not look at is left
alone. It is paper B's problem (section 3) in the measure of Oettli and Prager (1964) instead of that of Rigal and
Gaches; Beerens and D. J. Higham (2023) have attacked images in this measure.

With ``Δx = |x| ∘ s`` it reads: minimise ``‖s‖∞`` subject to a lead. Without a target each other class is a problem with
a single constraint, its lead over the label, and ``bea.numerics.smallest_maximum`` solves linear programmes in closed
form, one after the other. A target must lead all other classes; the least of these leads is replaced by a smooth one,
``y_t - τ log Σ_j exp(y_j/τ)``, which is never larger, with τ smaller and smaller, and the constraint is single again.
Kinks of ReLUs are rounded off less and less in the same way. What the search returns is then made shorter or longer on
its own ray, by bisection, in the network itself: a success is one there.
"""

from dataclasses import dataclass, replace

import numpy as np

from bea.attacks.common import InputAttackResult, achieved, check_aim
from bea.backward.closed_form import changing
from bea.backward.relative_changes import relative_changes
from bea.networks.activations import softmax
from bea.networks.leads import attack_lead, lead, other_classes
from bea.networks.network import Network
from bea.networks.smoothing import has_kinks, round_off_kinks
from bea.numerics.arrays import column
from bea.numerics.blocks import in_blocks
from bea.numerics.checks import check_count, check_positive
from bea.numerics.progress import showing
from bea.numerics.smallest_maximum import smallest_maximum

# Widths of smooth ReLUs and of τ, relative, one search after the other; once more from zero where kinks are near.
WIDTHS, FINE = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001), (0.01, 0.003, 0.001)
PLAIN = (0.0, 0.0)  # where nothing is rounded off
TOLERANCE = 1e-4  # of the last search: the part of ε that its linear programme still promises to save
LOOSE = 1e-2  # of the searches before
ITERATIONS = (30, 100)  # linear programmes at most, of the searches before and of the last
REACH = 0.1  # of ‖v‖∞: the first step of every search but the first
PROMISING = (3.0, 1.1)  # times the least ε of an image, to first order and after a search: other classes are given up
STRETCHES = (1.0, 1.0 + 1e-4, 1.01, 1.1, 1.5, 2.0)  # of what was found, until it succeeds
HALVINGS = 40
NUMBERS = 2**20  # in one array of a block


@dataclass(frozen=True, eq=False)
class ComponentwiseResult(InputAttackResult):
    """What came of a batch of n attacks; see ``InputAttackResult``.

    ``success`` and ``found`` are those of the network with its weights changed too, where they may.

    Attributes
    ----------
    epsilon : array (n,)
        The largest ``|Δx_k|/|x_k|``, and ``|ΔA_i|/|A_i|``, over all entries; NaN where none was found.
    residual : array (n,)
        Part of ε that the linear programme at the end promises to save, at most: zero at a local optimum. For
        networks with ReLUs, and towards a target, of the problem rounded off as far as it was.
    dA : list of arrays (n, rows, columns) or None
        ΔA_i of every weighted layer, None where it stays.
    """

    epsilon: np.ndarray
    residual: np.ndarray
    dA: list[np.ndarray | None]
    standing = "locally optimal"


def componentwise_attack(
    net: Network, x, label, *, target=None, on="input", margin=1e-3, clip=False, candidates=None, progress=False
) -> ComponentwiseResult:
    """Smallest ε with ``|Δx| ≤ ε |x|`` after which the target, or any class but the label, leads by a margin.

    Locally optimal; for an affine network and a change of the input alone, without a target, optimal
    (``bea.backward.componentwise`` has the closed form for one layer).

    Parameters
    ----------
    net, x, label, target, clip
        As in ``bea.attacks.gradient_signs.fgsm``; without ``clip`` x + Δx may leave the range.
    on : {"input", "weights", "both"} or tuple
        What may change, as in ``bea.attack``. Weights take as much memory as the network for each image.
    margin : float
        By how much, in units of the logits, that class must lead; positive.
    candidates : int, optional
        How many classes are tried without a target, the nearest to first order; all others unless given. A class that
        is three times as far as the nearest to first order is left out, and one that falls behind by a tenth.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Returns
    -------
    ComponentwiseResult
        ``dx`` is zero where nothing needs to change or weights alone may, NaN where nothing was found.

    Raises
    ------
    ValueError
        For images of wrong shape or range, classes of wrong shape or out of range, an unknown ``on``, a margin that is
        not positive, ``candidates`` that are no positive whole number, or ``clip`` for a network without range.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip)
    check_positive("margin", margin)
    change = changing(net, on)
    if candidates is not None:
        check_count("candidates", candidates)

    def block(x, aim):
        every = relative_changes(net, x, change)
        v, residual = np.zeros((len(x), sum(every.sizes))), np.zeros(len(x))
        rest = np.flatnonzero(~achieved(net.classify(x), aim, targeted))
        if rest.size:
            v[rest], residual[rest] = _search(every.take(rest), aim[rest], targeted, margin, clip, candidates)
        found = every.forward(np.nan_to_num(v))[0].argmax(axis=1)
        there, (dA, dx) = ~np.isnan(v).any(axis=1), every.perturbation(v)
        dx = np.where(column(there, x), 0.0 if dx is None else dx, np.nan)
        return x, dx, achieved(found, aim, targeted) & there, found, np.abs(v).max(axis=1), residual, dA

    unknowns, tries = sum(relative_changes(net, x, change).sizes), 1 if targeted else net.classes - 1
    with showing(progress):
        return ComponentwiseResult(*in_blocks(block, max(NUMBERS // (unknowns * tries), 1), x, aim))


def _search(every, aim, targeted, margin, clip, candidates):
    """Return the best v of every image, (n, unknowns), NaN for none, and its residual."""
    pairs = _pairs(every, aim, targeted, margin, candidates)
    rounded = has_kinks(every.net.layers) or targeted
    best, left = np.full((len(aim), sum(every.sizes)), np.nan), np.full(len(aim), np.nan)
    least = np.full(len(aim), np.inf)
    for widths in (WIDTHS, FINE) if rounded else (PLAIN,):
        image, v, residual = _descend(every, aim, *pairs, targeted, margin, clip, widths)
        v = _on_its_ray(every.take(image), v, aim[image], targeted, margin, clip)
        size = np.abs(v).max(axis=1)
        shortest = _least(size, image, len(aim))
        first = np.flatnonzero((size == shortest[image]) & (size < least[image]))
        best[image[first]], left[image[first]], least[image[first]] = v[first], residual[first], size[first]
    return best, left


def _descend(every, aim, image, rival, targeted, margin, clip, widths):
    """Search for every pair of an image and a rival, with kinks rounded off by each width after the other.

    Returns the images of the pairs that were not given up, their v (pairs, unknowns), and the residual (pairs,).
    """
    kinked = has_kinks(every.net.layers)
    scale = np.maximum(np.abs(lead(every.net(every.x), aim)), margin)
    v, reach = np.zeros((len(image), sum(every.sizes))), None
    for number, width in enumerate(widths, 1):
        last = number == len(widths)
        layers = round_off_kinks(every.net.layers, width, relative=True) if kinked else every.net.layers
        rounded = replace(every.take(image), net=replace(every.net, layers=layers))
        lead_of = _lead_of(aim[image], rival, targeted, width * scale[image])

        def constraint(some, v, rounded=rounded, lead_of=lead_of):
            here = rounded.take(some)
            logits, memory = here.forward(v)
            ahead, weights = lead_of(some, logits)
            return ahead - margin, here.gradient(memory, weights)

        options = {"tolerance": TOLERANCE if last else LOOSE, "max_iterations": ITERATIONS[last]}
        found = smallest_maximum(constraint, v, rounded.limits() if clip else None, reach=reach, **options)
        size = np.where(found.met, np.abs(found.v).max(axis=1), np.nan)
        # A network rounded off widely may take an image for another class as it is.
        kept = ~(size > PROMISING[1] * _least(size, image, len(aim))[image]) | (width > FINE[0])
        image, rival, v, reach = image[kept], rival[kept], found.v[kept], REACH
    return image, v, found.residual[kept]


def _pairs(every, aim, targeted, margin, candidates):
    """Return numbers of images and, beside each, a class that may win there: those that are near to first order."""
    if targeted:
        return np.arange(len(aim)), aim
    rivals = other_classes(aim, every.net.classes)
    logits, memory = every.forward(np.zeros((len(aim), sum(every.sizes))))
    sizes = np.empty(rivals.shape)
    for size, rival in zip(sizes.T, rivals.T, strict=True):
        weights = _difference(rival, aim, every.net.classes)
        slopes = np.abs(every.gradient(memory, weights)).sum(axis=1)
        size[:] = (margin - np.vecdot(weights, logits)) / np.maximum(slopes, np.finfo(float).tiny)
    rank = sizes.argsort(axis=1).argsort(axis=1)
    near = (sizes <= PROMISING[0] * sizes.min(axis=1)[:, None]) & (rank < (candidates or len(rank.T)))
    image, place = np.nonzero(near)
    return image, rivals[image, place]


def _least(sizes, image, n) -> np.ndarray:
    """Return the least of the sizes for every image, (n,), NaN left out; infinite where there is none."""
    least = np.full(n, np.inf)
    np.fmin.at(least, image, sizes)
    return least


def _lead_of(aim, rival, targeted, temperature):
    """Return a function of logits (k, classes) of some pairs: the lead that is asked for (k,), and its derivative."""

    def plain(some, logits):
        weights = _difference(rival[some], aim[some], logits.shape[1])
        return np.vecdot(weights, logits), weights

    def smooth(some, logits):
        own, width = np.arange(logits.shape[1]) == aim[some, None], temperature[some, None]
        others = np.where(own, -np.inf, logits)
        top = others.max(axis=1, keepdims=True)
        largest = top + width * np.log(np.exp((others - top) / width).sum(axis=1, keepdims=True))
        return (logits[own] - largest[:, 0]), own - softmax(others / width)

    return smooth if targeted else plain


def _difference(plus, minus, classes) -> np.ndarray:
    """Return rows e_plus - e_minus, (n, classes)."""
    return np.eye(classes)[plus] - np.eye(classes)[minus]


def _on_its_ray(every, v, aim, targeted, margin, clip):
    """Return v times the factor at which it begins to succeed in the network itself, NaN where none was met."""
    limits = every.limits() if clip else None

    def stretched(some, factors):
        longer = factors[:, None] * v[some]
        return np.clip(longer, *(limit[some] for limit in limits)) if clip else longer

    def holds(some, factors):
        logits, _ = every.take(some).forward(stretched(some, factors))
        return attack_lead(logits, aim[some], targeted) >= margin

    short, enough = np.zeros(len(v)), np.full(len(v), np.nan)
    rest = np.arange(len(v))
    for factor in STRETCHES:
        won = holds(rest, np.full(len(rest), factor))
        enough[rest[won]], short[rest[~won]] = factor, factor
        rest = rest[~won]
        if not rest.size:
            break
    some = np.flatnonzero(~np.isnan(enough))
    for _ in range(HALVINGS):
        middle = 0.5 * (short[some] + enough[some])
        won = holds(some, middle)
        enough[some[won]], short[some[~won]] = middle[won], middle[~won]
    return stretched(np.arange(len(v)), enough)
