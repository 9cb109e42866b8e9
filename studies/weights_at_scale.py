"""The smallest change of the weights with which a network gives an image each other class: many images, nine targets.

Sizes are √(eq. 5) of paper B, relative to the norms of the layers.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from bea import Dense, Network, attack, lower_bound
from bea.numerics.blocks import blocks
from lab.attempts import to_every_target

BLOCK = 100  # images at a time: the changes of LeNet's weights for all of them are gigabytes


def changes(nets: Mapping[str, Network], x, labels, *, images: Mapping[str, int], margin: float) -> pd.DataFrame:
    """Attack every correctly classified one of the first images, to each other class; ``images``: network → how many.

    Columns, a row a network, image and target: ``net``, ``image`` (its number in x), ``source``, ``target``, ``lead``
    (of the class over the target, in logits), ``first`` (size to first order) and ``won`` (whether that suffices),
    ``converged`` (NaN if it fails), ``proved`` (no smaller change makes the target win; NaN with convolutions, for
    which nothing sharp is known), ``layer 1``, … (share of eq. (5) that each layer carries).
    """
    frames = []
    for name, net in nets.items():
        dense = all(isinstance(layer, Dense) for layer in net.weighted)
        for block in blocks(min(images[name], len(x)), BLOCK):
            shaped = x[block].reshape(-1, *net.input_shape)
            right = np.flatnonzero(net.classify(shaped) == labels[block])
            each, source, target = to_every_target(shaped[right], labels[block][right], net.classes)
            logits, rows = np.repeat(net(shaped[right]), net.classes - 1, axis=0), np.arange(len(each))
            first, best = (attack(net, each, target, margin=margin, method=way) for way in ("first-order", "converged"))
            proved = lower_bound(net, each, on="weights", rival=target, method="local").radius if dense else np.nan
            columns = {
                "net": name, "image": block.start + np.repeat(right, net.classes - 1), "source": source,
                "target": target, "lead": logits[rows, source] - logits[rows, target],
                "first": np.sqrt(first.objective), "won": first.success,
                "converged": np.where(best.success, np.sqrt(best.objective), np.nan), "proved": proved,
            }  # fmt: skip
            shares = best.perturbation.relative_norms[:, :-1] ** 2 / best.objective[:, None]
            layers = {f"layer {number}": share for number, share in enumerate(shares.T, 1)}
            frames.append(pd.DataFrame(columns | layers))
    return pd.concat(frames, ignore_index=True)


def by_pair(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network and pair of classes: ``net``, ``source``, ``target``, ``attacks``, ``median`` size."""
    groups = table.groupby(["net", "source", "target"], sort=False).converged
    return groups.agg(attacks="size", median="median").reset_index()


def grid(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the medians of one network's ``by_pair`` from each class (rows) to each other (columns)."""
    return pairs.pivot(index="source", columns="target", values="median").reindex(index=range(10), columns=range(10))


def by_lead(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network and twentieth of its attacks, in the order of the lead.

    Columns: ``net``, ``lead`` (median), ``low``, ``median`` and ``high`` (5, 50 and 95 % of the converged sizes).
    """
    rows = []
    for net, own in table.groupby("net", sort=False):
        part = pd.qcut(own.lead.rank(method="first"), 20, labels=False)
        sizes = own.converged.groupby(part).quantile([0.05, 0.5, 0.95]).unstack()
        sizes.columns = ["low", "median", "high"]
        rows.append(sizes.assign(net=net, lead=own.lead.groupby(part).median()))
    return pd.concat(rows, ignore_index=True)


def by_share(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network and hundredth: ``net``, ``share``, and the ``size`` that the share of attacks is below."""
    sizes = table.groupby("net", sort=False).converged.quantile(np.arange(101) / 100)
    return sizes.rename_axis(["net", "share"]).rename("size").reset_index()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Sum up ``changes``: a row a network.

    Columns: ``net``, ``images``, ``attacks``, ``failed``, ``first`` (share of first-order attacks that suffice),
    ``excess`` (median of converged over first, of all), ``median``, ``low`` and ``high`` (5 % and 95 %) of the
    converged sizes, ``proved`` (median of proved over converged), ``above`` (how often it is more), ``layers`` (mean
    shares, as text), ``rank`` (rank correlation of lead and size).
    """
    rows = []
    for net, own in table.groupby("net", sort=False):
        low, middle, high = own.converged.quantile([0.05, 0.5, 0.95])
        shares = own.filter(like="layer ").mean().dropna()
        met = own[own.converged.notna()]
        rows.append({
            "net": net, "images": own.image.nunique(), "attacks": len(own), "failed": own.converged.isna().sum(),
            "first": own.won.mean(), "excess": (own.converged / own["first"]).median(),
            "median": middle, "low": low, "high": high,
            "proved": (own.proved / own.converged).median(), "above": (own.proved > own.converged * (1 + 1e-6)).sum(),
            "layers": ", ".join(f"{share:.0%}" for share in shares),
            "rank": spearmanr(met.lead, met.converged).statistic,
        })  # fmt: skip
    return pd.DataFrame(rows)


def extremes(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the nearest other class of the ``count`` most and least fragile images of one network, in order."""
    nearest = table.loc[table.groupby("image").converged.idxmin()].sort_values("converged")
    return pd.concat([nearest.head(count), nearest.tail(count)])
