"""The printed chain of bounds on LeNet beside what attacks find (paper P, section 5).

Lengths are Euclidean, in units of the pixels' range; *the paper's units* are pixels to 255 and lengths divided by the
number of pixel values. A set is "mnist" or "cifar10", as in the networks' names; the digits of another dataset stand in
for the former. Frames have one row an image (those classified correctly, in their order) or one a network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bea import Network
from bea.attacks import backward_error_attack, fgsm, smallest_epsilon
from bea.bounds.methods import lower_bound
from bea.bounds.printed import fully_connected_bound, tanh_curvatures
from bea.networks.layers import Dense
from lab.datasets import Dataset
from lab.witnesses import keras_classes

SETS = ("mnist", "cifar10")
CHAINS = {"printed": "peck", "repaired": "lipschitz"}
KAPPAS = {"κ₁": 0, "κ₂": 1, "κ₃": 2, "κ₄": 3, "κ₅": 5, "κ₆": 7}  # the layer whose input has to move that far
FACTORS = {
    "convolution_1": ("κ₁", "κ₂"), "pooling_1": ("κ₂", "κ₃"), "convolution_2": ("κ₃", "κ₄"),
    "pooling_2": ("κ₄", "κ₅"), "dense": ("κ₅", "κ₆"),
}  # fmt: skip
STATISTICS = {"mean": np.mean, "median": np.median, "std": np.std, "min": np.min, "max": np.max}
CURVATURES = (0.0, 1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True, eq=False)
class Sample:
    """A network of a set, images that it classifies correctly, their labels, and images that it does not."""

    set: str
    net: Network
    x: np.ndarray
    labels: np.ndarray
    missed: np.ndarray


def samples(nets: Mapping[str, Network], sets: Mapping[str, Dataset], images: int, others: int) -> dict[str, Sample]:
    """Part the test images of every network "lenet-SET-SEED": ``images`` for a set's first network, else ``others``."""
    found = {}
    for name, net in nets.items():
        kind = name.split("-")[1]
        n = others if kind in {sample.set for sample in found.values()} else images
        x, labels = sets[kind].x_test[:n].astype(float), sets[kind].y_test[:n]
        x = x if x.ndim == 4 else x[..., None]
        right = net.classify(x) == labels
        found[name] = Sample(kind, net, x[right], labels[right], x[~right])
    return found


def first_seeds(found: Mapping[str, Sample]) -> dict[str, Sample]:
    """Return the first network of every set."""
    names = {found[name].set: name for name in reversed(found)}
    return {names[kind]: found[names[kind]] for kind in SETS if kind in names}


def bounds(found: Mapping[str, Sample]) -> pd.DataFrame:
    """Return ``net``, ``set``, ``image``, ``pixels`` (values an image), and "printed κ₁" to "repaired κ₆"."""
    frames = []
    for name, s in found.items():
        table = {"net": name, "set": s.set, "image": np.arange(len(s.x)), "pixels": np.prod(s.net.input_shape)}
        for chain, method in CHAINS.items():
            layers = lower_bound(s.net, s.x, s.labels, method=method).layers
            table |= {f"{chain} {symbol}": layers[:, column] for symbol, column in KAPPAS.items()}
        frames.append(pd.DataFrame(table))
    return pd.concat(frames, ignore_index=True)


def sign_steps(found: Mapping[str, Sample], *, largest: float, tolerance: float) -> pd.DataFrame:
    """Bisect along the sign of the gradient, where a step is below 100 tolerances to a thousandth of one.

    Returns ``epsilon``, of all pixels, and its ``length``, NaN where ``largest`` does not change the class.
    """
    frames = []
    for s in found.values():
        steps = smallest_epsilon(s.net, s.x, s.labels, largest=largest, method="bisection", tolerance=tolerance)
        epsilon, length, limit = steps.epsilon.copy(), steps.l2.copy(), 100 * tolerance
        near = np.flatnonzero(epsilon < limit)
        finer = smallest_epsilon(
            s.net, s.x[near], s.labels[near], largest=limit, method="bisection", tolerance=1e-3 * tolerance
        )
        better = finer.l2 < length[near]
        epsilon[near[better]], length[near[better]] = finer.epsilon[better], finer.l2[better]
        frames.append(pd.DataFrame({"epsilon": epsilon, "length": length}))
    return pd.concat(frames, ignore_index=True)


def in_paper_units(measures: pd.DataFrame) -> pd.DataFrame:
    """Return ``net``, ``set``, and in the paper's units the length ``found`` and the printed ``bound``."""
    unit = 255 / measures.pixels
    return measures[["net", "set"]].assign(found=unit * measures.length, bound=unit * measures["printed κ₁"])


def typical(measures: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Return medians for every set's first network: ``κ`` of what ``input``, both chains, and the ``gain``."""
    places, frames = ("image", "maxima 1", "convolution 2", "maxima 2", "dense 500", "dense 10"), []
    for kind, own in measures.groupby("set", sort=False):
        own = own[own.net == own.net.iloc[0]]
        table = {chain: [own[f"{chain} {symbol}"].median() for symbol in KAPPAS] for chain in CHAINS}
        frame = pd.DataFrame({"set": titles[kind], "κ": list(KAPPAS), "input": places, **table})
        frames.append(frame.assign(gain=frame.repaired / frame.printed)[::-1])
    return pd.concat(frames)


def factors(measures: pd.DataFrame) -> pd.DataFrame:
    """Compare the two chains of every network.

    Returns ``net``, ``set``; ``least`` and ``median`` of repaired over printed bound; ``below``, the per cent of images
    whose printed bound is not above the repaired one; medians ``printed`` and ``repaired``; for every layer of
    ``FACTORS`` the printed factor over the proven constant, smallest over the images.
    """
    rows = []
    for (name, kind), m in measures.groupby(["net", "set"], sort=False):
        gain = m["repaired κ₁"] / m["printed κ₁"]
        row = {
            "net": name,
            "set": kind,
            "least": gain.min(),
            "median": gain.median(),
            "below": 100 * (gain >= 1).mean(),
        }
        row |= {chain: m[f"{chain} κ₁"].median() for chain in CHAINS}
        for layer, (a, b) in FACTORS.items():
            row[layer] = (m[f"printed {b}"] / m[f"printed {a}"] / (m[f"repaired {b}"] / m[f"repaired {a}"])).min()
        rows.append(row)
    return pd.DataFrame(rows)


def with_curvature(m: pd.DataFrame, outputs: int, M: float) -> np.ndarray:
    """Return the printed bound for another M, from κ₆ and ‖J‖ = κ₆/κ₅."""
    κ5, κ6 = m["printed κ₅"].to_numpy(), m["printed κ₆"].to_numpy()
    return m["printed κ₁"].to_numpy() * fully_connected_bound(κ6, κ6 / κ5, outputs, M) / κ5


def curvatures(found: Mapping[str, Sample], measures: pd.DataFrame, published: Mapping) -> pd.DataFrame:
    """Try values of M on every network.

    Returns ``net``, ``set``, ``kind`` (of M: a number as text, "smooth" for softplus units, "needed" for the published
    mean), ``M``; ``mean`` and ``median`` in the paper's units, ``spread`` (std over mean), ``least`` (min over mean),
    ``short`` (mean over the published one), ``off`` (from the published, orders of magnitude), ``paper_spread``;
    ``difference`` of the short way to the bounds, at most, from a chain that is walked again for 50 images and M = 10.
    """
    rows = []
    for (name, kind), m in measures.groupby(["net", "set"], sort=False):
        V, paper = found[name].net.layers[5].kernel, published[kind]
        x, labels = found[name].x[:50], found[name].labels[:50]
        again = lower_bound(found[name].net, x, labels, method="peck", curvature=10.0).radius
        difference = np.abs(again / with_curvature(m[:50], len(V), 10.0) - 1).max(initial=0)
        smooth = 0.25 * np.square(np.linalg.norm(V, axis=1)).max()
        tried = [(f"{M:g}", M) for M in CURVATURES]
        for text, M in [*tried, ("smooth", smooth), ("needed", needed(m, len(V), paper["mean"]))]:
            bound = 255 * with_curvature(m, len(V), M) / m.pixels.to_numpy()
            mean, median = bound.mean(), np.median(bound)
            rows.append({
                "net": name, "set": kind, "kind": text, "M": M, "mean": mean, "median": median,
                "spread": bound.std() / mean, "least": bound.min() / mean, "short": mean / paper["mean"],
                "off": max(abs(np.log10(mean / paper["mean"])), abs(np.log10(median / paper["median"]))),
                "paper_spread": paper["std"] / paper["mean"], "difference": difference,
            })  # fmt: skip
    return pd.DataFrame(rows)


def needed(m: pd.DataFrame, outputs: int, mean: float) -> float:
    """Return the M for which the mean is this one, by bisection of its logarithm; 0 where even that is too small."""
    low, high = -10.0, 40.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        larger = np.mean(255 * with_curvature(m, outputs, 10.0**middle) / m.pixels) > mean
        low, high = (middle, high) if larger else (low, middle)
    return 10.0**low if low > -9 else 0.0


def main_curvatures(table: pd.DataFrame) -> pd.DataFrame:
    """Return what ``curvatures`` says of M → 0, with M ``needed``, the ``smooth`` one and its ``short_smooth``."""
    limit, smooth, goal = (table[table.kind == kind].reset_index(drop=True) for kind in ("0", "smooth", "needed"))
    return limit.assign(needed=goal.M, smooth=smooth.M, short_smooth=smooth.short)


def statistics(
    measures: pd.DataFrame, column: str, published: Mapping, zeros: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """Return the statistics of a table of the paper for every network, of a column where it is not NaN.

    ``zeros`` says how many images of each network count with zero besides. Returns ``net``, ``set``, ``mean`` to
    ``max`` in the paper's units, "quotient mean" and "quotient median" (over the published), ``missing`` (per cent of
    NaN).
    """
    rows = []
    for (name, kind), m in measures.groupby(["net", "set"], sort=False):
        own = (255 * m[column] / m.pixels).dropna().to_numpy()
        own = np.concatenate([own, np.zeros(zeros[name] if zeros else 0)])
        row = {which: float(form(own)) for which, form in STATISTICS.items()}
        quotients = {f"quotient {which}": row[which] / published[kind][which] for which in ("mean", "median")}
        rows.append({"net": name, "set": kind, **row, **quotients, "missing": 100 * m[column].isna().mean()})
    return pd.DataFrame(rows)


def beside_published(table: pd.DataFrame, published: Mapping, titles: Mapping[str, str]) -> pd.DataFrame:
    """Return the statistics below the published lines of the sets."""
    lines = [{"net": f"{titles[kind]}, paper", **published[kind]} for kind in table.set.unique()]
    return pd.concat([pd.DataFrame(lines), table])[["net", *STATISTICS]]


def all_images(found: Mapping[str, Sample], measures: pd.DataFrame) -> dict[str, float]:
    """Return set → mean printed bound of all images, with the class the network gives, over that of the right ones."""
    result = {}
    for name, s in first_seeds(found).items():
        own = measures.loc[measures.net == name, "printed κ₁"]
        rest = lower_bound(s.net, s.missed, method="peck").radius
        result[s.set] = np.concatenate([own, rest]).mean() / own.mean()
    return result


def published_ratios(published: Mapping[str, Mapping]) -> dict[str, dict[str, float]]:
    """Return set → "mean" and "median" → the quotient of the published ``found`` and ``bound``."""
    found, bound = published["found"], published["bound"]
    return {kind: {key: found[kind][key] / bound[kind][key] for key in ("mean", "median")} for kind in SETS}


def ratios(measures: pd.DataFrame, published: Mapping[str, Mapping]) -> pd.DataFrame:
    """Return ``least`` and ``median`` length over bound, with ``net`` and ``set``.

    ``off`` is how far the median is from the quotient of the published means or of the medians, whichever is further,
    in orders of magnitude.
    """
    rows = []
    for (name, kind), m in measures[measures.length.notna()].groupby(["net", "set"], sort=False):
        ratio = (m.length / m["printed κ₁"])[m["printed κ₁"] > 0]
        off = max(abs(np.log10(ratio.median() / number)) for number in published_ratios(published)[kind].values())
        rows.append({"net": name, "set": kind, "least": ratio.min(), "median": ratio.median(), "off": off})
    return pd.DataFrame(rows)


def converged(
    found: Mapping[str, Sample], files: Mapping[str, Path], measures: pd.DataFrame, *, attacked: int
) -> pd.DataFrame:
    """Attack until nothing shorter is near, towards the class that is nearest to first order, and ask Keras.

    Returns, for every attacked image, ``net``, ``set``, ``image``, ``length`` (NaN without a witness that Keras
    confirms), ``quotient`` (the sign's length over it), "moved κ₁" to "moved κ₆" (how far the witness moves the input
    of each layer), ``sign`` (100 or 0: whether Keras confirms the end of the bisection; NaN where there is none).
    """
    frames = []
    for name, s in found.items():
        x, labels = s.x[:attacked], s.labels[:attacked]
        attack = backward_error_attack(s.net, x, labels, margin=1e-4, candidates=1)
        won = np.flatnonzero(attack.success)
        won = won[keras_classes(files[name], x[won] + attack.dx[won]) != labels[won]]
        own = measures[measures.net == name][:attacked].reset_index(drop=True)
        some = np.flatnonzero(own.epsilon.notna())
        ends = x[some] + fgsm(s.net, x[some], labels[some], own.epsilon[some].to_numpy()).dx
        confirmed = keras_classes(files[name], ends) != labels[some]
        frame = own[["net", "set", "image"]].assign(sign=pd.Series(100.0 * confirmed, some))
        frame = frame.assign(length=pd.Series(attack.l2[won], won))
        before, after = s.net.trace(x[won]), s.net.trace(x[won] + attack.dx[won])
        for symbol, i in KAPPAS.items():
            moved = np.linalg.norm((after[i] - before[i]).reshape(len(won), -1), axis=1)
            frame[f"moved {symbol}"] = pd.Series(moved, won)
        frames.append(frame.assign(quotient=own.length / frame.length))
    return pd.concat(frames, ignore_index=True)


def inner_attacks(found: Mapping[str, Sample], *, layered: int) -> pd.DataFrame:
    """Attack the inputs of the inner layers as if they were images: ``net``, ``κ``, ``image``, ``length`` (or NaN)."""
    frames = []
    for name, s in found.items():
        values = s.net.trace(s.x[:layered])
        for symbol in ("κ₂", "κ₃", "κ₄", "κ₅"):
            y = values[KAPPAS[symbol]]
            tail = Network(s.net.layers[KAPPAS[symbol] :], y.shape[1:])
            attack = backward_error_attack(tail, y, s.labels[:layered], margin=1e-6, candidates=1)
            length = np.where(attack.success, attack.l2, np.nan)
            frames.append(pd.DataFrame({"net": name, "κ": symbol, "image": np.arange(len(y)), "length": length}))
    return pd.concat(frames, ignore_index=True)


def violations(measures: pd.DataFrame, attacks: pd.DataFrame) -> pd.DataFrame:
    """Count perturbations below the bounds for every network and attack, "sign" or "converged".

    Returns ``net``, ``set``, ``attack``, ``witnesses``, for both chains how many are "below printed" and the "least
    printed", smallest length over bound.
    """
    kappa, rows = measures.drop(columns="length"), []
    strong = attacks[["net", "image", "length"]].merge(kappa, on=["net", "image"])
    for attack, table in (("sign", measures), ("converged", strong)):
        for (name, kind), m in table.groupby(["net", "set"], sort=False):
            known = m[m.length.notna()]
            row = {"net": name, "set": kind, "attack": attack, "witnesses": len(known)}
            for chain in CHAINS:
                bound = known[f"{chain} κ₁"]
                row[f"below {chain}"] = int((known.length < bound).sum())
                row[f"least {chain}"] = (known.length / bound)[bound > 0].min()
            rows.append(row)
    return pd.DataFrame(rows)


def layer_by_layer(measures: pd.DataFrame, attacks: pd.DataFrame, inner: pd.DataFrame) -> pd.DataFrame:
    """Compare how far the inputs of the layers move with their κ, for every set and κ.

    Returns ``set``, ``κ``, ``tests``; for both chains the least quotient, "moved printed", that of the attacks on inner
    layers alone, "attacked printed" (NaN without), and how many are "below printed".
    """
    rows = []
    for (name, kind), a in attacks.groupby(["net", "set"], sort=False):
        kappa = measures[measures.net == name].reset_index(drop=True)
        for symbol in KAPPAS:
            direct, row = inner[(inner.net == name) & (inner["κ"] == symbol)], {"set": kind, "κ": symbol}
            for chain in CHAINS:
                k = kappa[f"{chain} {symbol}"].to_numpy()
                moved = (a[f"moved {symbol}"] / k[a.image]).dropna()
                tail = (direct.length / k[direct.image]).dropna()
                both = pd.concat([moved, tail])
                row |= {f"moved {chain}": both.min(), f"attacked {chain}": tail.min(), "tests": len(both)}
                row[f"below {chain}"] = int((both < 1).sum())
            rows.append(row)
    return pd.DataFrame(rows)


def without_pooling(nets: Mapping[str, Network], files: Mapping[str, Path], x, labels) -> pd.DataFrame:
    """Attack dense networks "KIND-SEED", and bound them by the printed chain, for tanh also with M of theorem 4.1.

    Returns ``net``, ``chain``, ``median`` bound and ``attack``, ``witnesses`` that Keras confirms, how many of them are
    ``below`` the bound, and the ``least`` of their lengths over it; medians of none are zero.
    """
    rows = []
    for name, net in nets.items():
        right = net.classify(x) == labels
        images, own = x[right], labels[right]
        attack = backward_error_attack(net, images, own, margin=1e-4, candidates=3)
        won = attack.success & (keras_classes(files[name], images + np.nan_to_num(attack.dx), net) != own)
        length, radii = attack.l2[won], {"M → 0": lower_bound(net, images, own, method="peck").radius}
        if name.startswith("tanh"):
            V = next(layer for layer in net.layers if isinstance(layer, Dense)).kernel
            M, _ = tanh_curvatures(V)
            radii[f"M = {M:.2g}"] = lower_bound(net, images, own, method="peck", curvature=M).radius
        radii["repaired"] = lower_bound(net, images, own, method="lipschitz").radius
        for chain, radius in radii.items():
            ratio = length / np.maximum(radius[won], np.finfo(float).tiny)
            rows.append({
                "net": name, "chain": chain, "median": np.median(radius) if len(radius) else 0.0,
                "attack": np.median(length) if len(length) else 0.0, "witnesses": len(length),
                "below": int((ratio < 1).sum()), "least": ratio.min() if len(ratio) else 0.0,
            })  # fmt: skip
    return pd.DataFrame(rows)


def closeness_as_printed(published: Mapping) -> pd.DataFrame:
    """Compare the smallest length of the paper's Table 1 with the bounds of its Table 2.

    Its own bound is not named, but it is in Table 2. Returns ``set``; mean length over mean bound (``average``); of the
    smallest length the quotient with the largest bound (``least``) and with the smallest one (``most``).
    """
    rows = []
    for kind in SETS:
        found, bound = published["found"][kind], published["bound"][kind]
        rows.append({
            "set": kind, "average": found["mean"] / bound["mean"],
            "least": found["min"] / bound["max"], "most": found["min"] / bound["min"],
        })  # fmt: skip
    return pd.DataFrame(rows)


def closeness(measures: pd.DataFrame) -> pd.DataFrame:
    """Compare the smallest lengths of every network with the bounds.

    Returns ``net``, ``set``; mean length over mean bound (``average``); of the smallest length, the quotient with the
    mean bound (``others``) and with its own (``own``); the geometric mean of the latter over the smallest one per cent
    (``group``); ``share`` and ``group_share`` of the average.
    """
    rows = []
    for (name, kind), m in measures.groupby(["net", "set"], sort=False):
        use = m[(m.length > 0) & (m["printed κ₁"] > 0)].sort_values("length", kind="stable")
        length, bound = use.length.to_numpy(), use["printed κ₁"].to_numpy()
        lowest = slice(0, max(len(use) // 100, 1))
        average, own = length.mean() / bound.mean(), length[0] / bound[0]
        group = np.exp(np.mean(np.log(length[lowest] / bound[lowest])))
        rows.append({
            "net": name, "set": kind, "average": average, "others": length[0] / bound.mean(), "own": own,
            "group": group, "share": own / average, "group_share": group / average,
        })  # fmt: skip
    return pd.DataFrame(rows)
