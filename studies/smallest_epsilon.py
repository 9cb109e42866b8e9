"""The smallest step along the sign of the loss gradient that fools, and rays on which an image comes back.

Paper D, section 5.2.1. Every ε is in units of the pixels; ε_min is 0 for an image that is misclassified as it stands,
and NaN where no step up to 1 fools. Networks are named by kind and seed, "scratch-64-1-0".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bea import Network
from bea.attacks import rays
from bea.attacks.epsilon_search import smallest_epsilon
from bea.attacks.loss import loss_gradient
from lab.shares import shares_up_to
from lab.witnesses import keras_classes

TITLES = {"one_layer": "one layer", "rbf": "radial basis", "sturdy": "adversarially trained"}
MEASURES = ("accuracy", "fooled", "mean")


@dataclass(frozen=True, eq=False)
class Steps:
    """What a search for the smallest step found; all arrays (networks, images)."""

    epsilon: np.ndarray
    success: np.ndarray  # whether the network is wrong there
    proved: np.ndarray  # that no smaller step fools


def smallest_steps(nets: Mapping[str, Network], x, labels, *, tolerance: float, method="exact", step=0.001) -> Steps:
    """Return ε_min of images (n, …) on every network, by one of the three methods of ``smallest_epsilon``."""
    with threadpool_limits(1, "blas"):  # the matrices are small, and threads would wait for each other
        found = [
            smallest_epsilon(net, x, labels, method=method, step=step, tolerance=tolerance) for net in nets.values()
        ]
    return Steps(*(np.array([getattr(run, name) for run in found]) for name in ("epsilon", "success", "proved")))


def by_method(found: Mapping[str, Steps]) -> pd.DataFrame:
    """Return, for the first network, ``method``, ``gap`` (largest from "exact"), ``success`` (share), ``largest``."""
    exact, most = found["exact"].epsilon[0], partial(np.nanmax, initial=0.0)
    rows = [
        (name, most(np.abs(run.epsilon[0] - exact)), run.success[0].mean(), most(run.epsilon[0]))
        for name, run in found.items()
    ]
    return pd.DataFrame(rows, columns=["method", "gap", "success", "largest"])


def agreement(found: Mapping[str, Steps], step: float, tolerance: float) -> dict:
    """Compare the methods: the scan on the first network, bisection on all.

    Returns ``agree`` (images of the first network on which all three do), ``earliest`` and ``in_time`` (of the scan),
    ``apart`` (pairs where bisection differs), ``never`` (pairs without a step), ``unproved`` and ``pairs``.
    """
    exact, halved = found["exact"], found["bisection"].epsilon
    late = found["scan"].epsilon[0] - exact.epsilon[0]
    never = np.isnan(exact.epsilon)
    in_time = (late > -tolerance) & (late < step + tolerance) | never[0] & np.isnan(found["scan"].epsilon[0])
    apart = (np.abs(halved - exact.epsilon) > tolerance) | (np.isnan(halved) != never)
    return {
        "agree": np.sum(~apart[0] & in_time), "earliest": late.min(), "in_time": bool(in_time.all()),
        "apart": apart.sum(), "never": never.sum(), "unproved": np.sum(~exact.proved),
        "pairs": exact.proved.size,
    }  # fmt: skip


def shares(epsilon, level: float, late: float) -> pd.DataFrame:
    """Return what ε_min (networks, n) says of all images ("_all") and of those correct at the start ("_right").

    One row a network: ``wrong`` (misclassified at 0); shares ``near`` (0 < ε_min ≤ level, of all images),
    ``near_right``, ``near_all``; ``mean``, ``std`` and the same with "_all"; shares ``fooled`` (ε_min ≤ late, of
    all images) and ``fooled_right``.
    """
    rows = []
    for e in epsilon:
        right = e[e > 0]
        rows.append({
            "wrong": np.sum(e == 0), "near": np.mean((e > 0) & (e <= level)), "near_right": np.mean(right <= level),
            "near_all": np.mean(e <= level), "mean": right.mean(), "mean_all": e.mean(), "std": right.std(),
            "std_all": e.std(), "fooled": np.mean(e <= late), "fooled_right": np.mean(right <= late),
        })  # fmt: skip
    return pd.DataFrame(rows)


def over_seeds(frame: pd.DataFrame) -> dict[str, dict]:
    """Return column → ``median``, ``lowest``, ``highest`` and ``each``."""
    return {
        name: {"median": column.median(), "lowest": column.min(), "highest": column.max(), "each": column.tolist()}
        for name, column in frame.items()
    }


@dataclass(frozen=True, eq=False)
class Curves:
    """Shares of images wrong at or before a step, and the published numbers."""

    grid: np.ndarray  # steps (k,)
    share: np.ndarray  # (networks, k)
    points: np.ndarray  # published step and share, (3, 2)
    bound: tuple[float, float]  # step, and a share that is published as passed there
    distance: float  # the most that one of them lies outside the band of the networks


def distribution_curves(epsilon, top: float, wrong: Mapping, largest: Mapping, near: Mapping, late: Mapping) -> Curves:
    """Hold the distribution functions of ε_min (networks, n) up to ``top`` against what D9, D10, D12, D21 print."""
    grid = np.linspace(0, top, 400)
    share = shares_up_to(epsilon, grid)
    start = wrong["misclassified"] / wrong["images"]
    points = np.array([
        (0, start), (near["epsilon"], start + near["share"] * (1 - start)), (largest["largest"], 1.0)
    ])  # fmt: skip
    low, high = share.min(axis=0), share.max(axis=0)
    off = [max(np.interp(e, grid, low) - v, v - np.interp(e, grid, high), 0.0) for e, v in points]
    short = max(late["share"] - np.interp(late["epsilon"], grid, low), 0.0)  # this one is a lower bound
    return Curves(grid, share, points, (late["epsilon"], late["share"]), max(*off, short))


def title_of(name: str) -> str:
    """Return what a network's kind is called, by its name."""
    kind, *parts = name.split("-")
    if kind == "scratch":
        return f"{parts[0]} smooth ReLUs twice, {parts[1]} epoch{'s' * (parts[1] != '1')}"
    return TITLES.get(kind, name.rpartition("-")[0])


def first_of_each(nets: Mapping[str, Network]) -> dict[str, Network]:
    """Return the first network of every kind, name → network."""
    names = {name.rpartition("-")[0]: name for name in reversed(nets)}
    return {name: net for name, net in nets.items() if name in names.values()}


@dataclass(frozen=True, eq=False)
class OddRay:
    """A ray on which the images that count as successes are no interval: see ``changes_along``."""

    net: str
    image: int
    clip: bool
    away: bool  # from the label; otherwise to a target
    aim: int  # that label, or target
    begins: bool  # whether the aim is the class at ε = 0
    places: np.ndarray  # ε of all changes between the aim and other classes

    def at(self, net: Network, x, epsilon) -> np.ndarray:
        """Return the image at the steps (k,), as the network takes it."""
        pixels = x[self.image : self.image + 1].reshape(1, *net.input_shape)
        gradient = np.sign(loss_gradient(net, pixels, np.array([self.aim])))
        steps = np.reshape(epsilon, (-1,) + (1,) * (pixels.ndim - 1))
        moved = pixels + steps * (1.0 if self.away else -1.0) * gradient
        return np.clip(moved, *net.input_range) if self.clip else moved

    def edges(self) -> list[float]:
        """Return where stretches end, from the beginning of the first without the label, or with the target, on."""
        return [*self.places, 1.0] if self.begins == self.away else [0.0, *self.places, 1.0]


def targets_of(labels, classes: int = 10) -> np.ndarray:
    """Return a target for every image, another class than its label, all of these in turn."""
    return (labels + 1 + np.arange(len(labels)) % (classes - 1)) % classes


def changes_along(name: str, net: Network, x, aim, *, clip: bool, away: bool) -> tuple[list[OddRay], int]:
    """Find all changes of class along rays of images (n, 28, 28), and return the odd rays and how many are not proved.

    Away from the label an image is to lose its class once and for all; to a target, it is to reach it and stay, or to
    leave it once.
    """
    pixels = x.reshape(-1, *net.input_shape)
    way = 1.0 if away else -1.0
    with threadpool_limits(1, "blas"):
        found = rays.changes(net, pixels, way * np.sign(loss_gradient(net, pixels, aim)), aim, clip=clip)
    # The label is there at first, or the target is not; one change more than an interval needs is an exception.
    most = np.where(found.begins, 2, 1) if away else np.where(found.begins, 2, 3)
    odd = [
        OddRay(name, int(i), clip, away, int(aim[i]), bool(found.begins[i]), found.epsilon[found.sample == i])
        for i in np.flatnonzero(found.count >= most)
    ]
    return odd, int(np.sum(found.unresolved > 0))


def interval_hypothesis(nets, x, labels, *, others: int, clipped: int, slow: int) -> tuple[pd.DataFrame, list[OddRay]]:
    """Find all changes of class on four rays of every image and network.

    The first network takes all images (n, 28, 28), the others at most ``others``, ``clipped`` where rays are clipped,
    and ``slow`` if they are LeNets or radial basis networks. Returns a frame, a row a network and kind of ray (``net``,
    ``clip``, ``away``, ``rays``, ``odd``, ``unresolved``), and the odd rays.
    """
    rows, found, target = [], [], targets_of(labels, next(iter(nets.values())).classes)
    for number, (name, net) in enumerate(nets.items()):
        most = slow if name.startswith(("lenet", "rbf")) else others if number else len(x)
        for clip in (False, True):
            n = min(most, clipped, len(x)) if clip and number else min(most, len(x))
            for away, aim in ((True, labels[:n]), (False, target[:n])):
                odd, unresolved = changes_along(name, net, x[:n], aim, clip=clip, away=away)
                rows.append((name, clip, away, n, len(odd), unresolved))
                found += odd
    return pd.DataFrame(rows, columns=["net", "clip", "away", "rays", "odd", "unresolved"]), found


def interval_table(counts: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network: its title, and "odd of rays" for rays away and clipped, to a target and clipped."""
    text = counts.assign(text=counts.odd.astype(str) + " of " + counts.rays.astype(str))
    wide = text.pivot(index="net", columns=["away", "clip"], values="text").loc[counts.net.unique()]
    wide = wide[[(True, False), (True, True), (False, False), (False, True)]]
    wide.columns = ["away", "away, clipped", "target", "target, clipped"]
    return wide.reset_index(names="network").assign(network=lambda frame: frame.network.map(title_of))


def returns(nets: Mapping[str, Network], x, labels) -> pd.DataFrame:
    """Return, a row a network, ``odd`` and ``unresolved`` unclipped rays away from the labels."""
    found = [changes_along(*net, x, labels, clip=False, away=True) for net in nets.items()]
    return pd.DataFrame([(len(odd), unresolved) for odd, unresolved in found], columns=["odd", "unresolved"])


def in_turn(odd: Sequence[OddRay], most: int) -> list[OddRay]:
    """Return the first odd ray of each network, then the second, and so on, ``most`` in all."""
    turn = [sum(ray.net == other.net for other in odd[:k]) for k, ray in enumerate(odd)]
    return [odd[k] for k in sorted(range(len(odd)), key=turn.__getitem__)][:most]


def first_stretches(nets: Mapping[str, Network], odd: Sequence[OddRay], x, labels) -> tuple[np.ndarray, list[str]]:
    """Return the images (k, 28, 28) at the middle of their first stretch without the label, or with the target."""
    images, titles = np.zeros((len(odd), *x.shape[1:])), []
    for k, ray in enumerate(odd):
        net, (start, end, *_) = nets[ray.net], ray.edges()
        image, label = ray.at(net, x, [np.mean([start, end])]), labels[ray.image]
        images[k] = image.reshape(x.shape[1:])
        back = f"→{label}" if ray.away else ""
        stretch = "–".join(dict.fromkeys([f"{start:.2f}", f"{end:.2f}"]))  # one number for a short one
        titles.append(f"{label}→{net.classify(image)[0]}{back}\n{stretch}")
    return images, titles


def leads(nets: Mapping[str, Network], odd: Sequence[OddRay], x, epsilon) -> np.ndarray:
    """Return by how much the logit of the aim leads at the steps (k,) of some rays, (rays, k)."""
    found = np.empty((len(odd), len(epsilon)))
    for row, ray in zip(found, odd, strict=True):
        logits = nets[ray.net](ray.at(nets[ray.net], x, epsilon))
        row[:] = logits[:, ray.aim] - np.delete(logits, ray.aim, axis=1).max(axis=1)
    return found


def in_keras(nets, files: Mapping[str, Path | None], odd: Sequence[OddRay], x) -> pd.DataFrame:
    """Look into every stretch of rays away from labels in Keras.

    Returns ``net``, whether the ray is ``clipped``, and whether all its changes are ``confirmed``.
    """
    found = []
    for ray in odd:
        edges, net = np.array([0.0, *ray.places, 1.0]), nets[ray.net]
        classes = keras_classes(files[ray.net], ray.at(net, x, 0.5 * (edges[1:] + edges[:-1])), net)
        expected = (np.arange(len(classes)) % 2 == 0) == ray.begins  # the label in every other stretch
        found.append(np.array_equal(classes == ray.aim, expected))
    names, clipped = [ray.net for ray in odd], np.array([ray.clip for ray in odd], dtype=bool)
    return pd.DataFrame({"net": names, "clipped": clipped, "confirmed": np.array(found, dtype=bool)})


def robustness(names: Sequence[str], epsilon, level: float) -> pd.DataFrame:
    """Return, from ε_min (networks, n), how accurate and how robust networks "scratch-WIDTH-EPOCHS-SEED" are.

    One row a network: ``kind``, ``width``, ``epochs``, ``accuracy``, and of the images correct at the start the
    share ``fooled`` at ε ≤ level and the ``mean`` ε_min.
    """
    rows = []
    for name, e in zip(names, epsilon, strict=True):
        _, width, epochs, _ = name.split("-")
        measures = np.mean(e > 0), np.mean(e[e > 0] <= level), np.nanmean(e[e > 0])
        rows.append((f"{width}-{epochs}", int(width), int(epochs), *measures))
    return pd.DataFrame(rows, columns=["kind", "width", "epochs", *MEASURES])


def medians(networks: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the medians over seeds by rising epochs, at 64 units, and by rising width, after one epoch."""
    middle = networks.groupby(["width", "epochs"], as_index=False)[list(MEASURES)].median()
    return middle[middle.width == 64].sort_values("epochs"), middle[middle.epochs == 1].sort_values("width")


def gains(longer: pd.DataFrame, wider: pd.DataFrame) -> dict[str, float]:
    """Return what more epochs and more units do, from the first row to the last."""
    first, last = longer.iloc[0], longer.iloc[-1]
    return {
        "gain": last.accuracy - first.accuracy, "wider": wider.accuracy.iloc[-1] - wider.accuracy.iloc[0],
        "fooled_first": first.fooled, "fooled_last": last.fooled, "mean_first": first["mean"],
        "mean_last": last["mean"],
    }  # fmt: skip
