"""The attack by backward error beside the state of the art: lengths of many attacks on the same images.

A table of lengths has a row an image and network, with the columns ``net``, ``image`` and one an attack; infinite where
it fails. Lengths are Euclidean, in the unit of the pixels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm

from bea import Network, lower_bound
from bea.attacks import backward_error_attack
from lab.peers import attacks_of
from lab.shares import shares_up_to
from studies.transfer import mean_interval


def fractions(table: pd.DataFrame, attacks: Sequence[str], grid) -> pd.DataFrame:
    """Return robust accuracies, the share of images that an attack leaves alone up to a radius, of one network.

    A row a radius of ``grid``, in the column ``radius``; a column an attack, and ``envelope`` for all of them together.
    """
    lengths = table[list(attacks)].assign(envelope=table[list(attacks)].min(axis=1))
    return pd.DataFrame(1.0 - shares_up_to(lengths.to_numpy().T, grid).T, columns=lengths.columns).assign(radius=grid)


def optimality(table: pd.DataFrame, attacks: Sequence[str], by: float) -> pd.DataFrame:
    """Measure attacks by the area above their curves of robust accuracy, up to the radius where the envelope is zero.

    Columns, a row a network and attack: ``relative`` (the area over that of the envelope of all attacks, AttackBench's
    local optimality) and ``proved`` (over that of the column ``proved``: 1 means that no change is shorter; NaN without
    such a column); ``images``, ``success``, ``median`` length, and ``near``, the share of images on which an attack is
    longer than the envelope by no more than the share ``by``.
    """
    rows = []
    for net, own in table.groupby("net", sort=False):
        there = own[list(attacks)].dropna(axis=1, how="all")  # who did not take part on this network is NaN
        lengths, best = there.to_numpy(), there.min(axis=1).to_numpy()
        end = best[np.isfinite(best)].max()
        limit = own.proved.to_numpy() if "proved" in own else np.nan
        area = np.sum(end - np.minimum(lengths, end), axis=0)
        columns = {
            "net": net, "attack": there.columns, "images": len(own), "success": np.isfinite(lengths).mean(axis=0),
            "median": np.median(lengths, axis=0), "near": np.mean(lengths <= (1 + by) * best[:, None], axis=0),
            "relative": area / np.sum(end - np.minimum(best, end)),
            "proved": area / np.sum(end - np.minimum(limit, end)),
        }  # fmt: skip
        rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True)


def duels(table: pd.DataFrame, ours: str, peers: Sequence[str], *, by: float, level: float = 0.05) -> pd.DataFrame:
    """Set our attack beside every peer on the same images, network by network; a failure is infinitely long.

    Columns: ``net``, ``attack`` (the peer), ``images``, ``ours`` and ``peer`` (on how many images that one is shorter
    by more than the share ``by``), ``p`` of the sign test, ``holm`` (by Holm's correction over all rows), ``excluded``
    (images on which one of the two fails, which have no difference), ``excess`` (mean by how much longer the peer is,
    relative, on the others) with the ends ``low`` and ``high`` of its interval at ``1 - level``.
    """
    rows = []
    for net, own in table.groupby("net", sort=False):
        for peer in own[list(peers)].dropna(axis=1, how="all"):
            pair = own[[ours, peer]].to_numpy()
            wins = [int(np.sum(a < b * (1 - by))) for a, b in (pair.T, pair.T[::-1])]
            both = pair[np.isfinite(pair).all(axis=1)]
            excess = both[:, 1] / both[:, 0] - 1
            half = norm.ppf(1 - level / 2) * excess.std(ddof=1) / np.sqrt(len(both))
            rows.append({
                "net": net, "attack": peer, "images": len(pair), "ours": wins[0], "peer": wins[1],
                "p": binomtest(wins[0], sum(wins)).pvalue if sum(wins) else 1.0, "excluded": len(pair) - len(both),
                "excess": excess.mean(), "low": excess.mean() - half, "high": excess.mean() + half,
            })  # fmt: skip
    found = pd.DataFrame(rows)
    return found.assign(holm=holm(found.p.to_numpy()))


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for looking at all of them at once: Holm's step-down, which assumes nothing else."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(steps, 1.0)[np.argsort(order)]


def beaten(table: pd.DataFrame, ours: str, peers: Sequence[str], by: float) -> pd.DataFrame:
    """Say where some peer is shorter than our attack by more than the share ``by``.

    Columns, a row a network: ``images``, ``shorter`` (on how many), ``most`` (largest excess of ours over the
    envelope), ``peer`` (who is shortest there most often; "none" where no peer is), and ``median`` lengths: ours, and
    ``theirs``, the smallest one of a peer.
    """
    rows = []
    for net, own in table.groupby("net", sort=False):
        best, excess = own[list(peers)].idxmin(axis=1), own[ours] / own[list(peers)].min(axis=1) - 1
        lost = own[list(peers)].min(axis=1) < own[ours] * (1 - by)
        first = best[lost].mode().iloc[0] if lost.any() else "none"
        medians = {"median": own[ours].median(), "theirs": own[list(peers)].median().min()}
        rows.append(
            {"net": net, "images": len(own), "shorter": lost.sum(), "most": excess.max(), "peer": first} | medians
        )
    return pd.DataFrame(rows)


def live(nets: Mapping[str, Network], x, labels, *, images: int, margin: float) -> pd.DataFrame:
    """Attack the first correctly classified ``images`` of every network now, within the range and without.

    Columns: ``net``, ``image`` (its number in x), ``range`` and ``free`` lengths, ``proved`` to be needed.
    """
    frames = []
    for name, net in nets.items():
        shaped = x.reshape(-1, *net.input_shape)
        right = np.flatnonzero(net.classify(shaped) == labels)[:images]
        own = shaped[right], labels[right]
        found = [backward_error_attack(net, *own, clip=clip, margin=margin) for clip in (True, False)]
        ranged, free = (np.where(result.success, result.l2, np.inf) for result in found)
        proved = lower_bound(net, own[0], method="local").radius
        frames.append(pd.DataFrame({"net": name, "image": right, "range": ranged, "free": free, "proved": proved}))
    return pd.concat(frames, ignore_index=True)


def leaderboard(problems: Mapping[str, pd.DataFrame], runs: pd.DataFrame, by: float) -> pd.DataFrame:
    """Return ``optimality`` of all attacks on several problems, name → lengths, with ``passes`` and ``ms`` an image.

    ``runs`` has a row a problem, network and attack. The problem stands in the first column, ``problem``.
    """
    boards = [optimality(own, attacks_of(own), by).assign(problem=problem) for problem, own in problems.items()]
    keys = ["problem", "net", "attack"]
    found = pd.concat(boards, ignore_index=True).merge(runs[[*keys, "passes", "ms"]], on=keys)
    return found[["problem", *found.columns.drop("problem")]]


def over_seeds(table: pd.DataFrame, ours: str, free: str, peers: Sequence[str], by: float) -> pd.DataFrame:
    """Return how headline numbers vary from one trained network of a kind to the next.

    ``table`` has lengths of ``ours`` and the ``peers`` within the range, of ``free`` without, what is ``proved`` of
    these and the change of the ``weights``; its networks are named "kind-seed". Columns, a row a kind and measure:
    ``kind``, ``measure``, ``networks``, ``mean`` and ``half`` the width of its 95 % interval by Student's t. Measures:
    ``success``, ``relative`` and ``near`` as in ``optimality`` among the peers; ``ahead``, the share of images on which
    a peer is shorter by more than the share ``by``; ``proved``, the optimality of ``free``; medians in the ``range``,
    without one (``free``) and of the ``weights``.
    """
    own = optimality(table.drop(columns="proved"), [ours, *peers], by).query("attack == @ours").set_index("net")
    lost, medians = beaten(table, ours, peers, by).set_index("net"), table.groupby("net")[[free, "weights"]].median()
    measures = own[["success", "relative", "near"]].assign(
        ahead=lost.shorter / lost.images, proved=optimality(table, [free], by).set_index("net").proved,
        range=own["median"], free=medians[free], weights=medians.weights,
    )  # fmt: skip
    long = measures.assign(kind=[name.rpartition("-")[0] for name in measures.index]).melt("kind", var_name="measure")
    groups = long.groupby(["kind", "measure"], sort=False).value
    columns = ["kind", "measure", "networks", "mean", "half"]
    return pd.DataFrame([(*key, len(values), *mean_interval(values)) for key, values in groups], columns=columns)


def sizes(written: pd.DataFrame) -> pd.DataFrame:
    """Sum up changes of weights: ``net``, ``attack``, ``size``, ``over`` (over the attack by backward error), ``ms``.

    Columns, a row a network and attack: ``images``, ``failed``, the medians of ``over``, and ``ms`` an image.
    """
    by = written.assign(lost=np.isinf(written["size"])).groupby(["net", "attack"], sort=False)
    return by.agg(
        images=("lost", "size"), failed=("lost", "sum"), over=("over", "median"), ms=("ms", "first")
    ).reset_index()
