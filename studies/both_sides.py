"""Both sides of the smallest change: attacks that suffice, and proofs of what is needed, on weights and on the input.

Sizes of changes of the weights, or of weights and input together, are √objective, eq. (5) of paper B; those of the
input alone are Euclidean, in the unit of the pixels.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bea import Network, attack, lower_bound
from bea.attacks import backward_error_attack, carlini_wagner, lbfgs_attack, newton_attack
from bea.bounds import prove
from bea.networks.leads import other_classes
from bea.numerics.arrays import image_norms

RIVALS = {"Newton": newton_attack, "L-BFGS": lbfgs_attack, "Carlini-Wagner": carlini_wagner}


def table_two(nets: Mapping[str, Network], x, source, target, printed: Mapping, *, margin: float) -> pd.DataFrame:
    """Enclose the smallest change of all weights for every attempt of Table 2, of every network.

    Columns: ``net``, ``source``, ``target``, ``printed`` (the larger of the two layers' relative norms), ``first``
    (first-order attack) and ``won`` (whether it succeeds), ``converged`` (NaN if it fails), ``proved`` (no smaller
    change makes this target win).
    """
    frames = []
    for name, net in nets.items():
        first, best = (attack(net, x, target, margin=margin, method=way) for way in ("first-order", "converged"))
        columns = {
            "net": name, "source": source, "target": target,
            "printed": [printed[digit][other] for digit, other in zip(source, target, strict=True)],
            "first": np.sqrt(first.objective), "won": first.success,
            "converged": np.where(best.success, np.sqrt(best.objective), np.nan),
            "proved": lower_bound(net, x, on="weights", rival=target, method="local").radius,
        }  # fmt: skip
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def parts(net: Network) -> dict[str, object]:
    """Return what may change, by name: every layer with weights alone, all of them, and these and the input."""
    layers = {f"layer {number}": (number,) for number in range(1, len(net.weighted) + 1)}
    return layers | {"all weights": "weights", "weights and input": "both"}


def enclosed(nets: Mapping[str, Network], x, *, margin: float, candidates: int) -> pd.DataFrame:
    """Enclose the smallest change of every part after which any other class wins, image by image.

    The attack tries the ``candidates`` nearest classes to first order. Columns: ``net``, ``image``, ``part`` (of
    ``parts``), ``first`` (smallest first-order attack, whether or not it succeeds), ``upper`` (smallest converged
    attack; NaN if none succeeds), ``lower`` (proved).
    """
    frames = []
    for name, net in nets.items():
        others = other_classes(net.classify(x), net.classes)
        for part, on in parts(net).items():
            each = np.repeat(x, others.shape[1], axis=0)
            first = np.sqrt(attack(net, each, others.ravel(), on, margin=margin).objective).reshape(others.shape)
            nearest = np.take_along_axis(others, first.argsort(axis=1), 1)[:, :candidates]
            each = np.repeat(x, nearest.shape[1], axis=0)
            found = attack(net, each, nearest.ravel(), on, method="converged", margin=margin)
            size = np.where(found.success, np.sqrt(found.objective), np.nan).reshape(nearest.shape)
            columns = {
                "net": name, "image": np.arange(len(x)), "part": part, "first": first.min(axis=1),
                "upper": np.fmin.reduce(size, axis=1), "lower": lower_bound(net, x, on=on, method="local").radius,
            }  # fmt: skip
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True).assign(share=lambda t: t.lower / t.upper)


def middles(table: pd.DataFrame) -> pd.DataFrame:
    """Return, for every network and part of ``enclosed``: ``net``, ``part``, ``key`` ("tanh_all_weights"), quantiles.

    These are ``low`` (5%), ``median`` and ``high`` (95%) of proved over attack.
    """
    by = table.groupby(["net", "part"], sort=False).share.quantile([0.05, 0.5, 0.95]).unstack()
    found = by.set_axis(["low", "median", "high"], axis=1).reset_index()
    return found.assign(key=(found.net.str.rpartition("-")[0] + "_" + found.part).str.replace("[- ]", "_", regex=True))


def weakest(table: pd.DataFrame) -> pd.DataFrame:
    """Say which layer alone is changed least, by the attack, and whether it is proved that no other needs less.

    ``table`` is that of ``enclosed``; networks of one layer are left out. Columns, a row a network and layer that is
    the weak one of some image: ``net``, ``part``, ``images``, ``proved`` (of how many no other layer can do with less),
    ``factor`` (median of what is proved of the others over its attack).
    """
    alone = table[table.part.str.startswith("layer")]
    upper, lower = (alone.pivot(index=["net", "image"], columns="part", values=end) for end in ("upper", "lower"))
    several = upper.notna().sum(axis=1) > 1
    upper, lower = upper[several], lower[several]
    layer = upper.idxmin(axis=1)
    others = lower.mask(lower.columns.to_numpy() == layer.to_numpy()[:, None]).min(axis=1)
    by = pd.DataFrame({"part": layer, "factor": others / upper.min(axis=1)}).groupby(["net", "part"]).factor
    return by.agg(images="size", proved=lambda factor: (factor > 1).sum(), factor="median").reset_index()


def shortest(nets: Mapping[str, Network], x, labels, gaps: Mapping[str, float], *, nodes: int, margin: float):
    """Enclose the shortest change of the input by branch and bound, and measure several attacks by it.

    Columns, a row a network, image and attack: ``net``, ``image``, ``attack`` ("backward error" or a name of
    ``RIVALS``), ``length`` (NaN for a failure), ``lower`` and ``upper`` (ends of the enclosure), ``nodes``, ``optimal``
    (whether this attack is the shortest change there is, up to the gap that ``gaps`` asks for on this network),
    ``over`` (length over ``lower``, less one). Only images classified as labelled.
    """
    frames = []
    for name, net in nets.items():
        right = np.flatnonzero(net.classify(x) == labels)
        images, own = x[right], labels[right]
        found = {"backward error": backward_error_attack(net, images, own, margin=margin)}
        found |= {key: run(net, images, own, margin=margin) for key, run in RIVALS.items()}
        ends = prove(net, images, own, dx=found["backward error"].dx, gap=gaps[name], nodes=nodes)
        for key, result in found.items():
            columns = {
                "net": name, "image": right, "attack": key,
                "length": np.where(result.success, image_norms(result.dx), np.nan),
                "lower": ends.lower, "upper": ends.upper, "nodes": ends.nodes,
            }  # fmt: skip
            frames.append(pd.DataFrame(columns | {"optimal": columns["length"] * (1 - gaps[name]) <= ends.lower}))
    return pd.concat(frames, ignore_index=True).assign(over=lambda t: t.length / t.lower - 1)


def first_layers(nets: Mapping[str, Network], x, *, gap: float, nodes: int) -> pd.DataFrame:
    """Enclose the smallest change of the first layer's weights by branch and bound: a row a network and image.

    Columns: ``kind`` of the network, ``plain`` (the tight bound alone) and ``lower``, both over the shortest change
    that is known, and ``optimal`` (whether ``lower`` is within ``gap`` of it).
    """
    frames = []
    for name, net in nets.items():
        found = prove(net, x, on=(1,), gap=gap, nodes=nodes)
        plain = lower_bound(net, x, on=(1,), method="local").radius / found.upper
        columns = {"kind": name.rpartition("-")[0], "plain": plain, "lower": found.lower / found.upper}
        frames.append(pd.DataFrame(columns | {"optimal": found.proved_optimal}))
    return pd.concat(frames, ignore_index=True)


def settled(table: pd.DataFrame, close: float) -> pd.DataFrame:
    """Sum up what ``shortest`` says of the attacks by backward error: a row a network.

    Columns: ``kind`` of the network, ``images``, ``optimal``, means of ``lower`` and ``upper``, by how much these are
    ``apart``, ``most`` nodes, ``shorter`` (changes found that are shorter than the attack's by more than ``close``).
    """
    own = table[table.attack == "backward error"]
    own = own.assign(shorter=own.upper < own.length * (1 - close), kind=own.net.str.rpartition("-")[0])
    sums = own.groupby("kind", sort=False).agg(
        images=("image", "size"), optimal=("optimal", "sum"), lower=("lower", "mean"), upper=("upper", "mean"),
        most=("nodes", "max"), shorter=("shorter", "sum"),
    ).reset_index()  # fmt: skip
    return sums.assign(apart=sums.upper / sums.lower - 1)


def attacks_measured(table: pd.DataFrame) -> pd.DataFrame:
    """Sum up ``shortest``: a row a network and attack.

    Columns: ``net``, ``attack``, ``images``, ``failed``, ``optimal`` (number of images), ``median`` and ``most`` of
    ``over``.
    """
    by = table.groupby(["net", "attack"], sort=False)
    return by.agg(
        images=("image", "size"), failed=("length", lambda length: length.isna().sum()),
        optimal=("optimal", "sum"), median=("over", "median"), most=("over", "max"),
    ).reset_index()  # fmt: skip
