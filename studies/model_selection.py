"""Whether a lower bound would choose the sturdiest of several networks (paper P, abstract, sections 1 and 6)."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, spearmanr

from bea import Network
from studies.robustness_and_accuracy import enclosed

BOUNDS = {"printed": "κ₁ as printed", "repaired": "repaired", "tight": "tight"}


def enclosed_elsewhere(nets: Mapping[str, Network], x, *, margin: float, candidates: int) -> pd.DataFrame:
    """Enclose the least change of images (n, height, width) on networks "kind-seed" of other chapters, all tightly.

    Returns
    -------
    DataFrame
        As ``studies.robustness_and_accuracy.enclosed``, the networks named "kind/seed".
    """
    frames = [
        enclosed({"/".join(name.rsplit("-", 1)): net}, x.reshape(-1, *net.input_shape), margin=margin,
                 candidates=candidates, wide=len(x))
        for name, net in nets.items()
    ]  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def averages(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Average over the images.

    Parameters
    ----------
    tables : iterable of DataFrame
        Of ``enclosed``, of different networks and the same images.

    Returns
    -------
    DataFrame, one row a network: ``kind``, ``net``, mean lengths ``found``, ``printed``, ``repaired`` and ``tight``
    (NaN where it was not computed for all images).
    """
    table = pd.concat(tables, ignore_index=True)
    return table.groupby(["kind", "net"], sort=False)[["found", *BOUNDS]].agg(_mean).reset_index()


def _mean(values: pd.Series) -> float:
    return float(values.to_numpy().mean())  # NaN if one is


def ranks(nets: pd.DataFrame, *, draws: int, seed: int = 0) -> pd.DataFrame:
    """Compare the order of networks by a bound with their order by what an attack finds.

    Parameters
    ----------
    nets : DataFrame
        Of ``averages``; a bound is judged on the networks that have it.
    draws : int
        Of as many networks with replacement, for the intervals.
    seed : int

    Returns
    -------
    DataFrame, one row a bound: ``bound``, ``networks``; ``spearman`` and ``kendall`` (tau-b), each with the ends of the
    central 95 % of the draws, "spearman low" and so on; ``chosen`` and ``best``, the mean length found on the network
    that the bound puts first and on the sturdiest one; ``place`` of the former by what is found, from 1.
    """
    rng, rows = np.random.default_rng(seed), []
    for bound in BOUNDS:
        known = nets.dropna(subset=[bound])
        values, found = known[bound].to_numpy(), known.found.to_numpy()
        picks = rng.integers(len(known), size=(draws, len(known)))
        row = {"bound": bound, "networks": len(known)}
        for name, correlation in (("spearman", spearmanr), ("kendall", kendalltau)):
            drawn = [correlation(values[pick], found[pick]).statistic for pick in picks if np.ptp(pick)]
            low, high = np.nanquantile(drawn, (0.025, 0.975))
            row |= {name: correlation(values, found).statistic, f"{name} low": low, f"{name} high": high}
        first = values.argmax()
        row |= {"chosen": found[first], "best": found.max(), "place": 1 + int((found > found[first]).sum())}
        rows.append(row)
    return pd.DataFrame(rows)


def groups(nets: pd.DataFrame, members: Mapping[str, Iterable[str]], *, draws: int) -> pd.DataFrame:
    """Return ``ranks`` for several groups of networks, title → names, with the title as ``group``."""
    frames = [
        ranks(nets[nets.net.isin(list(names))], draws=draws).assign(group=title) for title, names in members.items()
    ]
    return pd.concat(frames, ignore_index=True)
