"""Confidence along the sign of the loss gradient, and where its curves have kinks (paper D, section 5.2.3).

The ray of an image x with the label k is ``x + ε sign ∇_x J(x, k)`` for ε in [0, 1], in units of the pixels, nothing
clipped unless said. A confidence is a softmax probability; the strongest class is that of the largest among the wrong
ones. Test images are numbered from 0 here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import softmax

from bea import Network
from bea.attacks import rays
from bea.attacks.epsilon_search import smallest_epsilon
from bea.attacks.loss import loss_gradient


def direction_of(net: Network, image, label) -> np.ndarray:
    """Return the direction of the ray of one image."""
    return np.sign(loss_gradient(net, image[None], np.array([label])))


def at(image, direction, epsilon) -> np.ndarray:
    """Return the image at the steps (k,), (k, 28, 28)."""
    return image + np.reshape(epsilon, (-1, 1, 1)) * direction


def strongest(net: Network, x, label) -> np.ndarray:
    """Return the strongest wrong class of images (n, …) of one label, (n,)."""
    logits = net(x)
    logits[:, label] = -np.inf
    return logits.argmax(axis=1)


def confidence(net: Network, x, classes) -> np.ndarray:
    """Return the confidence in a class for every image, (n,)."""
    return softmax(net(x), axis=1)[np.arange(len(x)), classes]


def slope(net: Network, x, direction, classes) -> np.ndarray:
    """Return the derivative along the ray, q_k (y_k' - Σ q_i y_i'), of the confidence in the classes (n,), (n,)."""

    def weights(logits):
        q = softmax(logits, axis=1)
        return np.take_along_axis(q, classes[:, None], axis=1) * (np.eye(net.classes)[classes] - q)

    return np.sum(net.gradient(x, weights) * direction, axis=(1, 2))


@dataclass(frozen=True, eq=False)
class Curve:
    """One image on one network: curves on a grid of steps, and its kinks."""

    label: int
    epsilon: np.ndarray  # the grid, (k,)
    correct: np.ndarray  # confidence in the label, (k,)
    wrong: np.ndarray  # largest confidence in a wrong class, (k,)
    classes: np.ndarray  # the strongest class, (k,)
    cell: np.ndarray  # cell of the grid with a kink, (kinks,)
    place: np.ndarray  # where another class becomes the strongest, to 1e-12
    before: np.ndarray
    after: np.ndarray
    left: np.ndarray  # slope of the class before, just left of the place
    right: np.ndarray

    def takeovers(self) -> list[tuple[float, float, int, bool]]:
        """Return every strongest class with the step and the confidence where it begins, and whether it is crowded."""
        start = np.append(0.0, self.place)
        crowded = np.diff(start[1:], prepend=-1.0) <= 0.06
        values, seen = np.interp(start, self.epsilon, self.wrong), np.append(self.classes[0], self.after)
        return list(zip(start, values, seen, np.append(False, crowded), strict=True))

    def told(self) -> str:
        """Return the strongest classes in words: "9, then 8 from 0.372"."""
        pairs = zip(self.after, self.place, strict=True)
        return ", then ".join([f"{self.classes[0]}", *(f"{k} from {place:.3f}" for k, place in pairs)])


def curve(net: Network, image, label: int, steps: int) -> Curve:
    """Follow one image over a grid of ``steps`` cells, and bisect where the strongest class changes."""
    epsilon, direction = np.linspace(0.0, 1.0, steps + 1), direction_of(net, image, label)
    x = at(image, direction, epsilon)
    q, classes = softmax(net(x), axis=1), strongest(net, x, label)
    cell = np.flatnonzero(classes[1:] != classes[:-1])
    low, high, before, after = epsilon[cell], epsilon[cell + 1], classes[cell], classes[cell]
    left = right = np.zeros(0)
    if cell.size:
        while np.max(high - low) > 1e-12:
            middle = (low + high) / 2
            same = strongest(net, at(image, direction, middle), label) == before
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        after = strongest(net, at(image, direction, high), label)
        left = slope(net, at(image, direction, low), direction, before)
        right = slope(net, at(image, direction, high), direction, after)
    wrong = q[np.arange(len(q)), classes]
    return Curve(int(label), epsilon, q[:, label], wrong, classes, cell, high, before, after, left, right)


def follow(nets: Mapping[str, Network], x, labels, numbers: Sequence[int], steps: int) -> dict[int, list[Curve]]:
    """Return number → a curve a network, for these images of x (n, 28, 28)."""
    return {i: [curve(net, x[i].astype(float), labels[i], steps) for net in nets.values()] for i in numbers}


def overview(runs: Mapping[int, Sequence[Curve]], seeds: Sequence[int], *, lost: float, near: float) -> pd.DataFrame:
    """Return a row an image and network.

    Columns: ``image`` (from 1), ``seed``, confidences in the label ``start`` (at 0), ``lost`` (at that step) and
    ``most`` (largest from there on), ``steady`` (the step from which it stays below ``near``), ``changes`` (in words).
    """
    rows = []
    for number, curves in runs.items():
        for seed, run in zip(seeds, curves, strict=True):
            after = run.correct[run.epsilon >= lost]
            last = np.flatnonzero(run.correct >= near).max(initial=-1)
            steady = run.epsilon[last + 1] if run.correct[-1] < near else np.inf
            kinks = zip(run.before, run.after, run.place, strict=True)
            told = ", ".join(f"{a}→{b} at {place:.4f}" for a, b, place in kinks) or "none"
            rows.append((number + 1, seed, run.correct[0], after[0], after.max(), steady, told))
    return pd.DataFrame(rows, columns=["image", "seed", "start", "lost", "most", "steady", "changes"])


def places(runs: Mapping[int, Sequence[Curve]]) -> pd.DataFrame:
    """Return a row a kink: ``number`` of the image, ``net`` (number), ``place``."""
    rows = [(i, k, place) for i, curves in runs.items() for k, run in enumerate(curves) for place in run.place]
    return pd.DataFrame(rows, columns=["number", "net", "place"]).astype({"number": int, "net": int, "place": float})


def quotients(net: Network, image, label: int, place, h=1e-5) -> tuple[np.ndarray, np.ndarray]:
    """Return one-sided difference quotients, of second order, of the largest wrong confidence."""
    direction = direction_of(net, image, label)

    def wrong(step):
        return np.delete(softmax(net(at(image, direction, step)), axis=1), label, axis=1).max(axis=1)

    here = 3 * wrong(place)
    left = (here - 4 * wrong(place - h) + wrong(place - 2 * h)) / (2 * h)
    return left, (-here + 4 * wrong(place + h) - wrong(place + 2 * h)) / (2 * h)


def kinks(nets: Mapping[str, Network], x, runs: Mapping[int, Sequence[Curve]]) -> pd.DataFrame:
    """Return a row a kink: ``jump`` of the slope, ``relative`` (to the steeper side), ``error``, ``gap``.

    ``error`` is the larger difference, relative, between a slope and the quotient on its side; ``gap`` is the
    difference between the confidences in the two classes that meet.
    """
    frames = []
    for number, curves in runs.items():
        image = x[number].astype(float)
        for net, run in zip(nets.values(), curves, strict=True):
            if run.place.size:
                size, jump = np.maximum(np.abs(run.left), np.abs(run.right)), run.right - run.left
                left, right = quotients(net, image, run.label, run.place)
                error = np.maximum(np.abs(left - run.left), np.abs(right - run.right)) / size
                there = at(image, direction_of(net, image, run.label), run.place)
                gap = np.abs(confidence(net, there, run.before) - confidence(net, there, run.after))
                frames.append(np.column_stack([jump, np.abs(jump) / size, error, gap]))
    rows = np.concatenate(frames) if frames else np.zeros((0, 4))
    return pd.DataFrame(rows, columns=["jump", "relative", "error", "gap"])


def kink_summary(table: pd.DataFrame) -> dict:
    """Return how many ``kinks``, ``smallest`` jump and ``relative`` one, how many ``upward``, ``error`` and ``gap``."""
    least, most = table.abs().min().fillna(0.0), table.abs().max().fillna(0.0)
    return {
        "kinks": len(table), "smallest": least["jump"], "relative": least["relative"],
        "upward": int((table["jump"] > 0).sum()), "error": most["error"], "gap": most["gap"],
    }  # fmt: skip


def smoothness(nets: Mapping[str, Network], x, runs: Mapping[int, Sequence[Curve]]) -> pd.DataFrame:
    """Return ``cell`` of a grid and the ``largest`` change of slope within one without a change of class."""
    found = {4: [], 2: [], 1: []}
    for number, curves in runs.items():
        image = x[number].astype(float)
        for net, run in zip(nets.values(), curves, strict=True):
            direction = direction_of(net, image, run.label)
            slopes = slope(net, at(image, direction, run.epsilon), direction, run.classes)
            for stride, inside in found.items():
                change = np.diff(run.classes[::stride]) != 0
                # Two changes within one coarse cell can hide each other: ask the finest grid.
                change[np.unique(run.cell // stride)] = True
                inside.append(np.abs(np.diff(slopes[::stride]))[~change].max())
    steps = len(next(iter(runs.values()))[0].epsilon) - 1
    return pd.DataFrame([(k / steps, max(inside)) for k, inside in found.items()], columns=["cell", "largest"])


def without_grid(nets: Mapping[str, Network], x, labels, numbers: Sequence[int]) -> pd.DataFrame:
    """Find all changes of the strongest class: a row an image and network, ``changes`` and ``unresolved`` segments.

    Without the row of the label in the last matrix, the class of the network is the strongest wrong one; each kink is
    one class lost and another one won, two changes.
    """
    rows = []
    for i in numbers:
        for net in nets.values():
            *others, last = net.layers
            rivals = replace(net, layers=(*others, last.with_matrix(np.delete(last.matrix, labels[i], axis=0))))
            image, repeat = x[i].astype(float), (rivals.classes, 1, 1)
            direction, aims = direction_of(net, image, labels[i]), np.arange(rivals.classes)
            found = rays.changes(rivals, np.tile(image, repeat), np.tile(direction, repeat), aims)
            rows.append((found.count.sum(), found.unresolved.sum()))
    return pd.DataFrame(rows, columns=["changes", "unresolved"])


def after_step(nets: Mapping[str, Network], x, labels, step: float) -> np.ndarray:
    """Return the confidence in the label of images (n, …) after one step, (networks, n)."""
    moved = (x + step * np.sign(loss_gradient(net, x, labels)) for net in nets.values())
    return np.array([confidence(net, there, labels) for net, there in zip(nets.values(), moved, strict=True)])


def smallest(net: Network, x, labels) -> np.ndarray:
    """Return ε_min of images (n, …) without clipping, (n,)."""
    return smallest_epsilon(net, x, labels).epsilon


@dataclass(frozen=True, eq=False)
class Chosen:
    """Test images for the page, and what was seen among those that were searched."""

    numbers: np.ndarray  # from 0
    reasons: list[str]
    searched: int
    returning: int  # images that come back to their class, clipped or not
    most: int  # changes of class on a coarse grid
    unresolved: int  # segments of rays about which nothing is proved


def choose(net: Network, x, labels, epsilon, *, searched: int, figures: Sequence[int], shown: int) -> Chosen:
    """Choose images (n, …) with ε_min (n,): right, of the figures (from 1), wrong, fragile, robust, changeable ones."""
    right = net.classify(x) == labels
    order = np.argsort(np.where(np.isnan(epsilon), np.inf, epsilon), kind="stable")
    some, k = x[:searched], labels[:searched]
    direction = np.sign(loss_gradient(net, some, k))
    seen = np.array([net.classify(some + step * direction) for step in np.linspace(0, 1, 51)])
    often = np.sum(seen[1:] != seen[:-1], axis=0)
    again = often + 1 > np.sum([np.any(seen == c, axis=0) for c in range(net.classes)], axis=0)
    free, clipped = (rays.changes(net, some, direction, k, clip=clip) for clip in (False, True))
    # The first change loses the class, unless it was not there: any other one wins it back.
    returning = (free.count > free.begins) | (clipped.count > clipped.begins)
    groups = {
        "right": [np.flatnonzero(right & (labels == c))[:1] for c in range(net.classes)],
        "of the figures": [np.array(figures) - 1],
        "misclassified": [np.flatnonzero(~right)[:2]],
        "most fragile": [order[epsilon[order] > 0][:2]],
        "most robust": [order[::-1][:2]],
        "the right class comes back": [np.flatnonzero(returning)[:1]],
        "a class comes back": [np.flatnonzero(again)[:2]],
        "changes class often": [np.argsort(-often, kind="stable")],
    }
    reasons = {}
    for reason, parts in groups.items():
        for number in np.concatenate(parts).tolist():
            if len(reasons) < shown:
                reasons.setdefault(number, reason)
    unresolved = int(free.unresolved.sum() + clipped.unresolved.sum())
    numbers, told = np.array(list(reasons)), list(reasons.values())
    return Chosen(numbers, told, len(some), int(returning.sum()), int(often.max()), unresolved)


def references(nets: Sequence[Network], x, labels, steps: Sequence[float]) -> tuple[list[dict], float]:
    """Return what the page is held against, and the smallest entry of a gradient, relative to its image's largest.

    Of every network, free and clipped: ``clip``, ``epsilon`` (ε_min or None), ``confidence`` (n, steps, classes).
    """
    runs, entry = [], np.inf
    for net in nets:
        gradient = loss_gradient(net, x, labels)
        sizes = np.abs(gradient).reshape(len(x), -1)
        entry = min(entry, np.min(sizes.min(axis=1) / sizes.max(axis=1)))
        for clip in (False, True):
            least = smallest_epsilon(net, x, labels, clip=clip, tolerance=1e-9).epsilon
            moved = [x + step * np.sign(gradient) for step in steps]
            q = [softmax(net(np.clip(z, 0, 1) if clip else z), axis=1) for z in moved]
            epsilon = [None if np.isnan(e) else e for e in least.tolist()]
            runs.append({"clip": clip, "epsilon": epsilon, "confidence": np.swapaxes(q, 0, 1)})
    return runs, float(entry)


def clipping(net: Network, x, labels, epsilon) -> dict:
    """Compare ε_min with and without clipping, ``epsilon`` (n,) being the latter.

    Returns ``outside`` (share of pixels that leave the range at once), ``early`` (share of images with ε_min ≤ 0.1),
    ``compared`` images, of which ``smaller`` with clipping, ``median`` ratio, and ``never`` (fooled when clipped).
    """
    clipped = smallest_epsilon(net, x, labels, clip=True).epsilon
    both = (net.classify(x) == labels) & ~np.isnan(epsilon) & ~np.isnan(clipped)
    ratio, direction = clipped[both] / epsilon[both], np.sign(loss_gradient(net, x, labels))
    return {
        "outside": np.mean(((x == 0) & (direction < 0)) | ((x == 1) & (direction > 0))),
        "early": np.mean(epsilon <= 0.1), "compared": len(ratio),
        "smaller": np.sum(clipped[both] < epsilon[both] - 1e-5),
        "median": np.median(ratio) if ratio.size else 0.0, "never": np.isnan(clipped).sum(),
    }  # fmt: skip
