"""One step along the sign of the loss gradient: how many images it turns, how surely, and whether it can be seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from bea import Network
from bea.attacks import fgsm, smallest_epsilon

CURVES = ("all", "new", "all_best", "new_best")
ROOMS = {"dark room": 0.002, "office": 0.01, "daylight": 0.05}  # light reflected, in units of the screen's white
GREYS = {"black": 0.0, "middle grey": 0.5, "nearly white": 0.95}

HEADERS = {
    "epsilon": "ε", "visible": "visible: report", "before": "misclassified before: report", "count": "after: report",
    "new_median": "ours, new", "new_lowest": "lowest", "new_highest": "highest", "all_median": "ours, all",
    "rate": "new per hundred of the test set", "best": "best confidence: report", "new_sure": "ours, new",
    "new_networks": "networks with a new one", "all_sure": "ours, all",
}  # fmt: skip


def follow(nets: Mapping[str, Network], x, labels, grid) -> pd.DataFrame:
    """Count along the rays of images x (n, *input_shape); the first layer is affine, so it is applied once.

    One row for each network, named "scratch-WIDTH-EPOCHS-SEED", and each step of ``grid``: ``width``, ``seed``,
    ``epsilon`` (the step, in units of the pixels), ``all`` (images misclassified), ``new`` (those correct without a
    step), ``all_best`` and ``new_best`` (largest softmax in one of them, 0 without any), ``repaired`` (images
    misclassified only without a step).
    """
    rows = []
    for name, net in nets.items():
        flatten, dense, *rest = net.layers
        tail = Network(rest, (len(dense.matrix),), net.output_activation)
        direction = fgsm(net, x, labels, 1.0).dx
        start = dense.forward(flatten.forward(x))
        move = dense.forward(flatten.forward(x + direction)) - start
        wrong = tail.classify(start) != labels
        best, fooled = np.empty((2, len(grid), len(x)))
        for part in np.array_split(np.arange(len(x)), -(-len(x) // 500)):
            for k, epsilon in enumerate(grid):
                sure = tail.activate(tail(start[part] + epsilon * move[part]))
                best[k, part] = sure.max(axis=1)
                fooled[k, part] = sure.argmax(axis=1) != labels[part]
        new, (_, width, _, seed) = fooled * ~wrong, name.split("-")
        counts = {"all": fooled.sum(axis=1).astype(int), "new": new.sum(axis=1).astype(int)}
        bests = {"all_best": (best * fooled).max(axis=1), "new_best": (best * new).max(axis=1)}
        repaired = np.sum(wrong & (fooled == 0), axis=1)
        own = {"width": int(width), "seed": int(seed), "epsilon": grid}
        rows.append(pd.DataFrame(own | counts | bests | {"repaired": repaired}))
    return pd.concat(rows, ignore_index=True)


def table_of(followed: pd.DataFrame, width: int, column: str) -> np.ndarray:
    """Return a column of what ``follow`` found for the networks of a width, (networks, steps)."""
    own = followed[followed.width == width]
    return own[column].to_numpy().reshape(own.seed.nunique(), -1)


def counts_agree(nets: Mapping[str, Network], x, labels, hundred: pd.DataFrame) -> bool:
    """Return whether perturbed images, sent through the whole networks, are misclassified as ``follow`` says."""
    steps = hundred.epsilon.unique()
    counts = [fgsm(net, x, labels, epsilon).success.sum() for net in nets.values() for epsilon in steps]
    return counts == hundred["all"].tolist()


def beside_report(hundred: pd.DataFrame, whole: pd.DataFrame, images: int, width: int, said: Mapping) -> pd.DataFrame:
    """Set a table of the report, ``said``, beside ours, in both readings.

    ``hundred`` and ``whole`` are what ``follow`` found at the report's steps, falling, on its images, and on ``images``
    of the test set. One row a step: ``epsilon``, ``visible``, ``before``, ``count``, ``best`` (the report's), and
    ``rate`` (new ones per hundred of the whole test set, median). For the readings ``new`` and ``all``: ``new_median``,
    ``new_lowest``, ``new_highest`` of the counts, ``new_sure`` (median best confidence; of networks that have one, NaN
    without), ``new_networks`` (how many those are), ``new_counts`` and ``new_confidences`` (whether the report's lies
    within our range).
    """
    frame = pd.DataFrame(said["rows"], columns=["epsilon", "before", "count", "best"])
    frame.insert(1, "visible", ["yes" if epsilon in said["visible_epsilons"] else "no" for epsilon in frame.epsilon])
    rates = whole[(whole.width == width) & whole.epsilon.isin(frame.epsilon)].groupby("epsilon").new.median()
    frame["rate"] = 100 * rates.loc[frame.epsilon].to_numpy() / images
    for name in ("new", "all"):
        counts, sure = (pd.DataFrame(table_of(hundred, width, column)) for column in (name, f"{name}_best"))
        sure = sure.where(counts > 0) if name == "new" else sure
        low, high = counts.min(), counts.max()
        own = {"median": counts.median(), "lowest": low, "highest": high, "sure": sure.median()}
        own |= {"networks": sure.count(), "counts": (low <= frame["count"]) & (frame["count"] <= high)}
        own |= {"confidences": (sure.min() <= frame.best) & (frame.best <= sure.max())}
        frame = frame.assign(**{f"{name}_{key}": values for key, values in own.items()})
    return frame


def fits_of(compared: pd.DataFrame) -> dict[str, dict]:
    """Return reading → in how many rows the report's count, its confidence and ``both`` lie within our range."""
    found = {}
    for name in ("new", "all"):
        counts, sure = compared[f"{name}_counts"], compared[f"{name}_confidences"]
        found[name] = {
            "counts": sum(counts),
            "confidences": sum(sure),
            "both": sum(counts & sure),
            "each": list(counts),
        }
    return found


def chances(compared: pd.DataFrame, whole: pd.DataFrame, images: int, hundred: int, accuracy: float) -> dict:
    """Return how probable the report's counts are for images drawn at random from the whole test set.

    ``none`` and ``two``: no image, at most two, misclassified at this ``accuracy``; ``tail``: for every step, at least
    as many new ones as reported, from our rate (mean over networks).
    """
    few = {key: stats.binom.cdf(k, hundred, 1 - accuracy) for key, k in (("none", 0), ("two", 2))}
    rates = whole[(whole.width == 64) & whole.epsilon.isin(compared.epsilon)].groupby("epsilon").new.mean() / images
    tail = stats.binom.sf(compared["count"] - 1, hundred, rates.loc[compared.epsilon])
    return few | {"expected": hundred * (1 - accuracy), "tail": tail}


def fewer_when_wider(hundred: pd.DataFrame, whole: pd.DataFrame, images: int) -> pd.DataFrame:
    """Compare networks of 64 and 128 units of equal seed: new ones of the former less those of the latter.

    One row a step, falling: ``epsilon``, ``pairs``, ``fewer`` and its standard deviation ``spread`` on the
    first hundred images, ``fewer_whole`` and ``spread_whole`` per hundred of the whole test set.
    """
    steps, columns = hundred.epsilon.unique(), {}
    for ending, frame, scale in (("", hundred, 1), ("_whole", whole, 100 / images)):
        new = frame.pivot(index=["epsilon", "seed"], columns="width", values="new").dropna()
        difference = (scale * (new[64] - new[128])).groupby("epsilon")
        columns |= {f"fewer{ending}": difference.mean(), f"spread{ending}": difference.std().fillna(0.0)}
        columns |= {"pairs": difference.size()}
    return pd.DataFrame(columns).loc[steps].rename_axis("epsilon").reset_index()


def longer_training(nets: Mapping[str, Network], x, labels, *, epochs, first: int, epsilon: float) -> pd.DataFrame:
    """Take one step with the networks of 64 units that were trained for one of these numbers of epochs.

    One row a network: ``epochs``, ``seed``; images misclassified without a step and newly with it, among the
    ``first`` ones (``wrong_first``, ``new_first``) and as shares of all (``wrong``, ``new``); ``new_of_correct``.
    """
    rows = []
    for name, net in nets.items():
        width, passes, seed = map(int, name.split("-")[1:])
        if width != 64 or passes not in epochs:
            continue
        wrong = net.classify(x) != labels
        new = fgsm(net, x, labels, epsilon).success & ~wrong
        shares = wrong.mean(), new.mean(), new.sum() / np.sum(~wrong)
        rows.append((passes, seed, wrong[:first].sum(), new[:first].sum(), *shares))
    columns = ["epochs", "seed", "wrong_first", "new_first", "wrong", "new", "new_of_correct"]
    return pd.DataFrame(rows, columns=columns)


def smallest_steps(nets: Mapping[str, Network], x, labels, places: Mapping[str, int], epsilons) -> pd.DataFrame:
    """Find the smallest step that fools each network on one image, which is looked for in several places of a set.

    One row a place: ``counted`` (how one comes to it), ``index``, ``label``, ``networks``, ``median``,
    ``lowest`` and ``highest`` step (infinite where none fools), ``fooled`` and ``fooled_2`` (networks that are right
    without a step and fooled by the first and the second of ``epsilons``), ``easiest`` (network fooled by least).
    """
    rows = []
    for counted, i in places.items():
        steps = [smallest_epsilon(net, x[i : i + 1], labels[i : i + 1]).epsilon[0] for net in nets.values()]
        steps = np.nan_to_num(steps, nan=np.inf)
        fooled = [int(np.sum((steps > 0) & (steps <= epsilon))) for epsilon in epsilons]
        easiest = list(nets)[int(np.argmin(np.where(steps > 0, steps, np.inf)))]
        rows.append((counted, i, labels[i], len(nets), np.median(steps), steps.min(), steps.max(), *fooled, easiest))
    columns = ["counted", "index", "label", "networks", "median", "lowest", "highest", "fooled", "fooled_2", "easiest"]
    return pd.DataFrame(rows, columns=columns)


def fooled_most(steps: pd.DataFrame) -> pd.Series:
    """Return the place at which most networks are fooled, by the first step and then by the second."""
    return steps.sort_values(["fooled", "fooled_2"], ascending=False, kind="stable").iloc[0]


@dataclass(frozen=True, eq=False)
class Stepped:
    """Images (n, …) before and after one step, their classes and the network's confidences in them, (n,)."""

    before: np.ndarray
    after: np.ndarray
    was: np.ndarray
    was_sure: np.ndarray
    now: np.ndarray
    now_sure: np.ndarray


def stepped(net: Network, x, labels, epsilon) -> Stepped:
    """Take one step of ``epsilon``, a number or one an image (0 for none), and ask the network before and after."""
    epsilon = np.broadcast_to(np.asarray(epsilon, dtype=float), len(x))
    after = x + epsilon.reshape(-1, *[1] * (x.ndim - 1)) * fgsm(net, x, labels, 1.0).dx
    sure, then = net.activate(net(x)), net.activate(net(after))
    return Stepped(x, after, sure.argmax(axis=1), sure.max(axis=1), then.argmax(axis=1), then.max(axis=1))


def newly_fooled(net: Network, x, labels, epsilon: float, most: int) -> tuple[Stepped, float]:
    """Return the first ``most`` images that one step turns from right to wrong, and the median confidence in all."""
    every = stepped(net, x, labels, epsilon)
    new = np.flatnonzero((every.was == labels) & (every.now != labels))[:most]
    return stepped(net, x[new], labels[new], epsilon), np.median(every.was_sure)


def contrast(grey: float, room: float, epsilon) -> np.ndarray:
    """Return the Weber contrast between a pixel and the same one brighter by ε, by the sRGB curve."""
    v = np.stack(np.broadcast_arrays(grey, grey + np.asarray(epsilon)))
    low, high = np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0.04045) + 0.055) / 1.055) ** 2.4)
    return (high - low) / (low + room)


def visible_steps(contrasts) -> pd.DataFrame:
    """Return the smallest step, ``epsilon``, that reaches each ``contrast`` in each ``room`` for each ``grey``."""
    size = np.linspace(0, 0.05, 50001)
    cases = list(product(contrasts, ROOMS, GREYS))
    steps = [size[np.argmax(contrast(GREYS[grey], ROOMS[room], size) >= c)] for c, room, grey in cases]
    return pd.DataFrame(cases, columns=["contrast", "room", "grey"]).assign(epsilon=steps)


def falls(followed: Mapping[str, pd.DataFrame], largest: float) -> pd.DataFrame:
    """Look for steps at which a count or a best confidence falls although ε grows.

    One row a set of images, curve and network: ``images``, ``curve``, ``width``, ``seed``, and the largest fall from
    one step to the next up to ``largest`` (``within``) and ``beyond``; 0 where there is none.
    """
    found = []
    for (images, frame), name in product(followed.items(), CURVES):
        networks = [frame.width, frame.seed]
        fall = np.maximum(-frame.groupby(networks)[name].diff(), 0.0).fillna(0.0)
        inside = frame.epsilon <= largest
        parts = {"within": fall.where(inside, 0.0), "beyond": fall.where(~inside, 0.0)}
        most = pd.DataFrame({key: part.groupby(networks).max() for key, part in parts.items()})
        found.append(most.reset_index().assign(images=images, curve=name))
    return pd.concat(found, ignore_index=True)[["images", "curve", "width", "seed", "within", "beyond"]]


def linear_models(dimensions, *, trials: int, epsilon: float, seed: int) -> tuple[pd.DataFrame, float]:
    """Change the output of linear models with standard normal weights, along their sign and at random.

    One row a number of pixels ``n``: ``change`` along the sign, ``error`` (relative, of ε m n), root mean
    squares with random signs (``random``) and in the box (``uniform``), ``largest`` of these; and by how much, as a
    share, the largest change over all corners of a box in ten dimensions exceeds ε‖w‖₁.
    """
    rng, rows = np.random.default_rng(seed), []
    for n in dimensions:
        w = rng.standard_normal(n)
        change = w @ (epsilon * np.sign(w))
        signs = epsilon * np.array([w @ rng.choice([-1.0, 1.0], n) for _ in range(trials)])
        inside = epsilon * np.array([w @ rng.uniform(-1, 1, n) for _ in range(trials)])
        means = [np.sqrt(np.mean(some**2)) for some in (signs, inside)]
        law, largest = epsilon * np.abs(w).mean() * n, max(np.abs(signs).max(), np.abs(inside).max())
        rows.append((n, change, abs(change / law - 1), *means, largest))
    w = rng.standard_normal(10)
    corners = epsilon * np.array(list(product([-1.0, 1.0], repeat=10))) @ w
    frame = pd.DataFrame(rows, columns=["n", "change", "error", "random", "uniform", "largest"])
    return frame, abs(corners.max() / (epsilon * np.abs(w).sum()) - 1)


def growth_rate(n, values, otherwise: float) -> float:
    """Return the exponent of a power law through the points, ``otherwise`` for a single one."""
    return np.polyfit(np.log(n), np.log(values), 1)[0] if len(n) > 1 else otherwise
