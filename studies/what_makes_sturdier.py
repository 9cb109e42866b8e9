"""What makes a network sturdier: adversarial examples in training, radial basis functions; and which digits fall."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from time import process_time

import numpy as np
import pandas as pd
from scipy.special import softmax
from scipy.stats import spearmanr, t
from threadpoolctl import threadpool_limits

from bea import Network
from bea.attacks import fgsm, smallest_epsilon, smallest_pgd
from bea.numerics.blocks import blocks
from lab import by_hand
from lab.datasets import Dataset
from lab.shares import shares_up_to
from lab.trained import seed_of

BEFORE = "(before)"
VARIANTS = {  # short name → what is added to the training images
    "all": "all misclassified",
    "new": "newly misclassified",
    "same": "the same images, unperturbed",
    "random": "random images, unperturbed",
}
MEASURES = ["accuracy", "fooled", "both"]
PORTIONS = {"early": 1500, "late": 6000}  # training images between two looks at the accuracy
RATES = {"radial": 0.02, "relu": 0.001}  # of Adam
# Whose ray is tried on a kind of network, besides its own.
CROSSED = [("radial", "scratch"), ("scratch", "radial"), ("relu", "scratch"), ("sturdy", "scratch")]
CROSSED += [("scratch", "sturdy")]


def only(data: Dataset, images: int) -> Dataset:
    """Return the data with its first training images."""
    return replace(data, x_train=data.x_train[:images], y_train=data.y_train[:images])


def of_shared_seeds(late: Mapping[str, Network], early: Mapping[str, Network], most: int) -> dict[str, Network]:
    """Return the first late networks, at most so many, whose seeds early ones have too."""
    seeds = {seed_of(name) for name in early}
    return {name: late[name] for name in [name for name in late if seed_of(name) in seeds][:most]}


def learn(x, y, *, seed: int, hidden: int, rate, batch_size: int, a, passes: int = 1, refresh=None) -> Network:
    """Train a network by hand on images (n, …), as the chapter on it does; ``refresh`` as in ``train``."""
    way = {"epochs": passes, "rate": rate, "batch_size": batch_size, "a": a, "seed": seed, "refresh": refresh}
    with threadpool_limits(1, "blas"):  # small matrices: threads would wait for each other
        *_, weights = by_hand.train([hidden, hidden], x.reshape(len(x), -1), y, **way)
    return by_hand.to_network(weights, a, x.shape[1:])


def retrained(name: str, net: Network, data: Dataset, **recipe) -> float:
    """Train a network of one epoch again; return the largest difference of a test logit.

    Raises
    ------
    ValueError
        If the training is not the one that made the network.
    """
    again = learn(data.x_train, data.y_train, seed=seed_of(name), **recipe)
    difference = np.abs(again(data.x_test) - net(data.x_test)).max()
    if difference > 1e-6:
        raise ValueError(f"images: expected the training of scratch, received logits that differ by {difference:.1e}")
    return float(difference)


def perturbed(weights, x, y, step, a) -> np.ndarray:
    """Return images after a step along the sign of dY_0, by the back-propagation of the report."""
    pixels = x.reshape(len(x), -1)
    moved = np.empty(pixels.shape)
    for part in blocks(len(x), 500):  # what stays in the cache
        _, slope = by_hand.gradients(weights, pixels[part], y[part], a)
        moved[part] = pixels[part] + step * np.sign(slope)
    return moved.reshape(x.shape)


def additions(nets: Mapping[str, Network], data: Dataset, *, step: float, **recipe) -> pd.DataFrame:
    """Train every network again with more images, four ways.

    One row a network and way: ``net``, ``added`` (a short name of ``VARIANTS``, or ``BEFORE``), ``images`` added,
    ``accuracy`` on the test images, share ``fooled`` of the right ones within ``step``, share of wrong or fooled ones,
    ``both``.
    """
    x, y, rows = data.x_train, data.y_train, []
    tests = data.x_test.astype(float), data.y_test
    for name, net in nets.items():
        rows.append((name, BEFORE, 0, *_measured(net, *tests, step)))
        for kind, (more, labels) in _extras(net, seed_of(name), x, y, step, recipe["a"]).items():
            found = learn(np.concatenate([x, more]), np.concatenate([y, labels]), seed=seed_of(name), **recipe)
            rows.append((name, kind, len(labels), *_measured(found, *tests, step)))
    return pd.DataFrame(rows, columns=["net", "added", "images", *MEASURES])


def _extras(net, seed, x, y, step, a) -> dict:
    """Return the images to add in each variant, and their labels."""
    weights = [(layer.kernel, layer.matrix[:, -1]) for layer in net.weighted]
    moved = perturbed(weights, x, y, step, a)
    wrong = net.classify(moved) != y
    new = wrong & (net.classify(x) == y)
    drawn = np.random.default_rng(seed).permutation(len(x))[: wrong.sum()]
    return {
        "all": (moved[wrong], y[wrong]),
        "new": (moved[new], y[new]),
        "same": (x[wrong], y[wrong]),
        "random": (x[drawn], y[drawn]),
    }


def _measured(net, x, y, step) -> tuple:
    steps = smallest_epsilon(net, x, y, largest=step).epsilon
    right, fooled = np.mean(steps != 0), np.mean(steps > 0)
    return right, fooled / max(right, 1e-9), 1 - right + fooled


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """Return by how much each measure changes, indexed by ``added`` and ``net``; below, all less same and random."""
    own = table.set_index(["added", "net"])[MEASURES]
    change = {kind: own.loc[kind] - own.loc[BEFORE] for kind in VARIANTS}
    change |= {f"versus_{kind}": change["all"] - change[kind] for kind in ("same", "random")}
    return pd.concat(change, names=["added"])


def intervals(change: pd.DataFrame, level: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the mean of every change over the networks and the half width of its interval by Student's t."""
    groups = change.groupby("added", sort=False)
    n = groups.size().iloc[0]
    return groups.mean(), t.ppf(0.5 + level / 2, n - 1) * groups.std(ddof=1) / np.sqrt(n)


def points(mean: pd.DataFrame, half: pd.DataFrame) -> pd.DataFrame:
    """Return mean and interval of every change as text, in percentage points."""
    pairs = zip(mean.to_numpy().ravel(), half.to_numpy().ravel(), strict=True)
    text = np.array([f"{100 * m:+z.2f} ± {100 * h:.2f}" for m, h in pairs])
    return pd.DataFrame(text.reshape(-1, len(MEASURES)), mean.index, MEASURES)


def shaken(data: Dataset, seeds: Iterable[int], *, epsilon: float, passes: int, **recipe) -> dict[str, Network]:
    """Train networks on images, half of which, chosen anew every epoch, are perturbed against the present weights."""
    x, y, mixed, found = data.x_train.astype(float), data.y_train, np.empty(data.x_train.shape), {}
    for seed in seeds:
        rng = np.random.default_rng(seed)

        def refresh(weights, rng=rng):
            part, mixed[:] = rng.permutation(len(x))[: len(x) // 2], x
            mixed[part] = perturbed(weights, x[part], y[part], epsilon, recipe["a"])
            return mixed.reshape(len(mixed), -1), y

        found[f"sturdy-{seed}"] = learn(x, y, seed=seed, passes=passes, refresh=refresh, **recipe)
    return found


def trained_alike(kind: str, data: Dataset, goals: Mapping[str, float], *, seed: int, hidden: int, units: int) -> dict:
    """Train a radial or a ReLU network in Keras until it is as accurate as each goal, one after the other.

    ``goals`` is stage → accuracy on the test images. Returns stage → ``lab.training.Trained``.
    """
    from lab import keras_models
    from lab.training import Trained, train_until

    shape, found = data.x_train.shape[1:], {}
    if kind == "radial":
        chosen = np.random.default_rng(seed).permutation(len(data.x_train))
        first, second = (data.x_train[part].astype(float) for part in np.array_split(chosen[:1000], 2))
        squares = np.sum((first - second[: len(first)]) ** 2, axis=(1, 2))
        centres = data.x_train[chosen[:units]].astype(float)
        model = keras_models.rbf_classifier(centres, 4 / squares.mean(), input_shape=shape, seed=seed)
    else:
        model = keras_models.dense_classifier([hidden, hidden, 10], ["relu", "relu", "linear"], shape, seed)
    for stage, goal in goals.items():
        start, pace = process_time(), {"rate": RATES[kind], "batch_size": 100, "images": PORTIONS[stage], "most": 60}
        seen = train_until(model, data, goal, **pace)
        found[stage] = Trained(model.to_json(), model.get_weights(), {"val_accuracy": seen}, process_time() - start)
    return found


def partners(early: Mapping[str, Network], late: Mapping[str, Network], data: Dataset, **sizes) -> dict:
    """Train a radial and a ReLU partner for every late network, as accurate as it and as the early one of its seed."""
    found, first = {}, {seed_of(name): net for name, net in early.items()}
    for kind in RATES:
        for name, net in late.items():
            seed, goals = seed_of(name), {"early": first[seed_of(name)], "late": net}
            goals = {stage: accuracy_of(one, data.x_test, data.y_test) for stage, one in goals.items()}
            trained = trained_alike(kind, data, goals, seed=seed, **sizes)
            found |= {f"{kind}-{stage}-{seed}": one for stage, one in trained.items()}
    return found


def accuracy_of(net: Network, x, labels) -> float:
    """Return the share of images that a network classifies as labelled."""
    return float(np.mean(net.classify(x) == labels))


def staged(early: Mapping[str, Network], late: Mapping[str, Network], sturdy, others) -> dict[str, Network]:
    """Return all networks that are compared, under names of the form "kind-stage-seed"."""
    seeds = [seed_of(name) for name in late]
    found = {f"scratch-early-{seed_of(name)}": net for name, net in early.items() if seed_of(name) in seeds}
    found |= {f"scratch-late-{seed_of(name)}": net for name, net in late.items()}
    return found | {f"sturdy-late-{seed_of(name)}": net for name, net in sturdy.items()} | dict(others)


def late_ones(nets: Mapping[str, Network]) -> dict[str, Network]:
    """Return the networks at the late stage that were trained without adversarial examples."""
    return {name: net for name, net in nets.items() if "-late-" in name and not name.startswith("sturdy")}


def ones(found: Mapping, kind: str, title: str) -> dict:
    """Return the networks or models of a kind at the late stage, named by a title and the seed."""
    return {f"{title}-{seed_of(name)}": one for name, one in found.items() if name.startswith(f"{kind}-late-")}


@dataclass(frozen=True, eq=False)
class Smallest:
    """Smallest steps along the sign of the gradient."""

    epsilon: np.ndarray  # 0 where the image is wrong already, 1 where none was found, (networks, n)
    becomes: np.ndarray  # the class there, (networks, n)

    @property
    def right(self) -> np.ndarray:
        """Whether the unperturbed image is right, (networks, n)."""
        return self.epsilon > 0


def smallest(nets: Mapping[str, Network], x, y) -> Smallest:
    """Return the smallest steps of images (n, …) on every network."""
    found = [smallest_epsilon(net, x, y) for net in nets.values()]
    return Smallest(np.array([np.nan_to_num(r.epsilon, nan=1.0) for r in found]), np.array([r.found for r in found]))


def three_attacks(nets: Mapping[str, Network], x, labels) -> pd.DataFrame:
    """Attack images by FGSM, by its iteration and along the ray of another network with the same stage and seed.

    One row an image and pair of networks: ``kind``, ``stage``, ``seed``, ``against`` (the other's kind), ε of
    ``fgsm`` and the smallest of the three, ``best``; 0 where the image is wrong, 1 where none succeeds.
    """
    alone = {name: smallest_epsilon(net, x, labels).epsilon for name, net in nets.items()}
    iterated = {name: smallest_pgd(net, x, labels, tolerance=5e-4).epsilon for name, net in nets.items()}
    rays, frames = {name: fgsm(net, x, labels, 1.0).dx for name, net in nets.items()}, []
    for name, net in nets.items():
        kind, stage, seed = name.split("-")
        for against in (b for a, b in CROSSED if a == kind and f"{b}-{stage}-{seed}" in nets):
            crossed = _along(net, x, rays[f"{against}-{stage}-{seed}"], labels, np.arange(1, 101) / 250)
            best = np.fmin(iterated[name], np.where(alone[name] == 0, 0.0, crossed))
            row = {"kind": kind, "stage": stage, "seed": int(seed), "against": against}
            frames.append(pd.DataFrame(row | {"fgsm": np.nan_to_num(alone[name], nan=1.0), "best": best}))
    return pd.concat(frames, ignore_index=True)


def _along(net, x, ray, label, steps) -> np.ndarray:
    """Return the first of the rising steps with which the ray fools; 1 for none."""
    first = np.ones(len(x))
    for step in steps[::-1]:
        first[net.classify(x + step * ray) != label] = step
    return first


def medians_of(attacks: pd.DataFrame) -> pd.DataFrame:
    """Return the median ε of the right images, 0 without any, for every pair of networks, and ``missed`` rays."""
    keys = ["kind", "stage", "seed", "against"]
    middle = attacks[["fgsm", "best"]].where(attacks.fgsm > 0).groupby([attacks[key] for key in keys], sort=False)
    missed = (attacks.fgsm == 1).groupby([attacks[key] for key in keys], sort=False).sum()
    return middle.median().fillna(0.0).assign(missed=missed).reset_index()


def accuracies_of(nets: Mapping[str, Network], x, labels) -> pd.DataFrame:
    """Return ``kind``, ``stage``, ``seed`` and ``accuracy`` of every network."""
    rows = [(*name.split("-"), accuracy_of(net, x, labels)) for name, net in nets.items()]
    return pd.DataFrame(rows, columns=["kind", "stage", "seed", "accuracy"]).astype({"seed": int})


def compared(middle: pd.DataFrame) -> pd.DataFrame:
    """Divide medians of radial networks by those of partners: ``other``, ``stage``, ``seed``, ``fgsm``, ``best``."""
    own = middle[middle.against != "sturdy"].set_index(["kind", "stage", "seed"])[["fgsm", "best"]]
    parts = {other: own.loc["radial"] / own.loc[other].clip(lower=1e-9) for other in ("scratch", "relu")}
    return pd.concat(parts, names=["other"]).reset_index()


def apart(accuracies: pd.DataFrame) -> float:
    """Return by how much the accuracy of a radial or ReLU network differs from its partner's at most."""
    wide = accuracies[accuracies.kind != "sturdy"].pivot(index=["stage", "seed"], columns="kind", values="accuracy")
    return float(np.abs(wide.sub(wide["scratch"], axis=0)).to_numpy().max())


def robustness(steps: Mapping[str, Smallest], stronger: Mapping[str, np.ndarray], *, small, step) -> pd.DataFrame:
    """Return one row a kind of ``training`` and network: ``accuracy``, share ``fooled`` at ``small`` of those right.

    Then the share of wrong or fooled at ``step``, the ``median`` ε of those right, and ``strong``, the same of
    ``stronger`` attacks, arrays (networks, images).
    """
    frames = []
    for training, found in steps.items():
        right, epsilon = found.right, found.epsilon
        fooled = (right & (epsilon <= small)).sum(axis=1) / np.maximum(right.sum(axis=1), 1)
        frames.append(pd.DataFrame({
            "training": training, "accuracy": right.mean(axis=1), "fooled": fooled,
            "step": np.mean(epsilon <= step, axis=1), "median": [_median(own[own > 0]) for own in epsilon],
            "strong": [_median(own[own > 0]) for own in stronger[training]],
        }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def _median(values) -> float:
    return float(np.median(values)) if np.size(values) else 0.0


def cumulative(epsilon, grid) -> np.ndarray:
    """Return the share of images, in per cent, with ε up to each point of a grid, (networks, points)."""
    return 100 * shares_up_to(epsilon, grid)


def by_seed(attacks: pd.DataFrame, kind: str, against: str, method: str, stage: str = "late") -> np.ndarray:
    """Return the ε of a kind of network by one method, (networks, n)."""
    own = attacks[(attacks.kind == kind) & (attacks.stage == stage) & (attacks.against == against)]
    return np.array([each.to_numpy() for _, each in own.groupby("seed", sort=False)[method]])


def slopes(net: Network, x) -> tuple[np.ndarray, np.ndarray]:
    """Return the lead of the winner over the second, (n,), and the gradient of this lead, (n, *input_shape)."""
    logits = net(x)
    order = np.argsort(logits, axis=1)[:, -2:]
    weights = np.zeros_like(logits)
    np.put_along_axis(weights, order, [[-1.0, 1.0]], axis=1)
    return np.sum(weights * logits, axis=1), net.gradient(x, weights)


def gradients(nets: Mapping[str, Network], x, dead) -> pd.DataFrame:
    """Describe the gradient of the lead, one row a network "kind-stage-seed" at its late stage.

    ``kind``, medians over images (n, height, width) of the lead over its norms, ``l1`` and ``l2``, the share of the
    l_1 norm on ``dead`` pixels (height, width), ``dead``, and the ``grain`` (1 for white noise, 0 for a constant).
    """
    rows = []
    for name, net in nets.items():
        lead, g = slopes(net, x)
        size, squares = np.abs(g).sum(axis=(1, 2)), np.sum(g**2, axis=(1, 2))
        steps = (np.diff(g, axis=1) ** 2).mean(axis=(1, 2)) + (np.diff(g, axis=2) ** 2).mean(axis=(1, 2))
        on_dead = np.mean(np.abs(g[:, dead]).sum(axis=1) / size)
        lengths = np.median(lead / size), np.median(lead / np.sqrt(squares))
        rows.append((name.split("-")[0], *lengths, on_dead, np.mean(0.25 * steps / squares * dead.size)))
    return pd.DataFrame(rows, columns=["kind", "l1", "l2", "dead", "grain"])


def confidences(nets: Mapping[str, Network], x, labels, levels) -> pd.DataFrame:
    """Return how sure networks are of images that are fooled on the ray of FGSM.

    One row a network and ``level`` of ε, in per cent: ``kind``, ``net``, ``level`` and ``sure``, the mean largest
    probability of the fooled images, NaN without any; at level 0 of the right ones.
    """
    rows = []
    for name, net in nets.items():
        right = net.classify(x) == labels
        own, label = x[right], labels[right]
        ray = fgsm(net, own, label, 1.0).dx
        for level in (0.0, *levels):
            p = softmax(net(own + level * ray), axis=1)
            shown = p.argmax(axis=1) != label if level else np.ones(len(own), dtype=bool)
            sure = 100 * p.max(axis=1)[shown].mean() if shown.any() else np.nan
            rows.append((name.split("-")[0], name, level, sure))
    return pd.DataFrame(rows, columns=["kind", "net", "level", "sure"])


def by_digit(steps: Smallest, labels, small: float) -> pd.DataFrame:
    """Return one row a digit.

    ``right`` and ``median`` ε as lists over the networks, ``fooled`` within ``small`` (share of all), and what it
    ``becomes`` most often.
    """
    rows = []
    for digit in range(10):
        own = labels == digit
        epsilon, right = steps.epsilon[:, own], steps.right[:, own]
        counts = np.bincount(steps.becomes[:, own][right], minlength=10)
        top = ", ".join(f"{k} ({counts[k] / max(counts.sum(), 1):.0%})" for k in np.argsort(-counts)[:2])
        medians, fooled = [_median(e[e > 0]) for e in epsilon], np.mean(right & (epsilon <= small))
        rows.append((digit, right.mean(axis=1).tolist(), medians, fooled, top))
    return pd.DataFrame(rows, columns=["digit", "right", "median", "fooled", "becomes"])


def drawing(x) -> dict[str, np.ndarray]:
    """Return ink, thickness and lean of images (n, height, width)."""
    ink, total = x.mean(axis=(1, 2)), x.sum(axis=(1, 2))
    variation = np.abs(np.diff(x, axis=1)).sum(axis=(1, 2)) + np.abs(np.diff(x, axis=2)).sum(axis=(1, 2))
    row, column = np.indices(x.shape[1:])
    rows, columns = (side - ((x * side).sum(axis=(1, 2)) / total)[:, None, None] for side in (row, column))
    lean = -(x * rows * columns).sum(axis=(1, 2)) / (x * rows**2).sum(axis=(1, 2))
    return {"ink": ink, "thickness": 2 * total / variation, "lean": lean}


def features(nets: Mapping[str, Network], steps: Smallest, x) -> pd.DataFrame:
    """Set features of the right images beside their smallest steps, one row a network and ``feature``.

    ``correlation``: Spearman's with ε; ``distance``: mean of the most fragile tenth less that of the rest, in standard
    deviations.
    """
    drawn, rows = drawing(x), []
    for net, step, ok in zip(nets.values(), steps.epsilon, steps.right, strict=True):
        lead, gradient = slopes(net, x)
        size, step = np.abs(gradient).sum(axis=(1, 2)), step[ok]
        fragile = step <= np.quantile(step, 0.1)
        for name, values in (drawn | {"lead": lead, "‖∇‖₁": size, "lead/‖∇‖₁": lead / size}).items():
            own = values[ok]
            distance = (own[fragile].mean() - own[~fragile].mean()) / own.std()
            rows.append((name, spearmanr(own, step).statistic, distance))
    return pd.DataFrame(rows, columns=["feature", "correlation", "distance"])


def agreement(steps: Smallest) -> np.ndarray:
    """Return Spearman's correlation of the steps of every two networks, over images that both have right."""
    pairs = combinations(zip(steps.epsilon, steps.right, strict=True), 2)
    return np.array([spearmanr(a[p & q], b[p & q]).statistic for (a, p), (b, q) in pairs if (p & q).any()])


def ranking(steps: Smallest, labels) -> pd.DataFrame:
    """Return the images that all networks have right, the most fragile first.

    ``image``, mean ``epsilon`` over the networks, the ``digit`` and the class that it ``becomes`` in most networks.
    """
    always, mean = np.flatnonzero(steps.right.all(axis=0)), steps.epsilon.mean(axis=0)
    image = always[np.argsort(mean[always])]
    becomes = [np.bincount(steps.becomes[:, i], minlength=10).argmax() for i in image]
    columns = {"image": image, "epsilon": mean[image], "digit": labels[image]}
    return pd.DataFrame(columns | {"becomes": np.array(becomes, dtype=int)})
