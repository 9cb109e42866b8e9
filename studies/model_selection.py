"""Whether a lower bound would choose the sturdiest of several networks (paper P, abstract, sections 1 and 6)."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, rankdata, spearmanr

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
    that the bound puts first and on the sturdiest one; ``place`` of the former by what is found, from 1; ``said``,
    whether Spearman's interval holds zero, in words.
    """
    rng, rows = np.random.default_rng(seed), []
    for bound in BOUNDS:
        known = nets.dropna(subset=[bound])
        values, found = known[bound].to_numpy(), known.found.to_numpy()
        picks = rng.integers(len(known), size=(draws, len(known)))
        row = {"bound": bound, "networks": len(known)}
        measures = {"spearman": (spearmanr, _rho), "kendall": (kendalltau, _tau)}
        for name, (correlation, of_draws) in measures.items():
            low, high = np.nanquantile(of_draws(values[picks], found[picks]), (0.025, 0.975))
            row |= {name: correlation(values, found).statistic, f"{name} low": low, f"{name} high": high}
        first = values.argmax()
        row |= {"chosen": found[first], "best": found.max(), "place": 1 + int((found > found[first]).sum())}
        row["said"] = _said(row["spearman low"], row["spearman high"])
        rows.append(row)
    return pd.DataFrame(rows)


def _rho(a, b) -> np.ndarray:
    """Return Spearman's correlation of each two rows, (draws,); NaN where one is constant."""
    a, b = (r - r.mean(axis=1, keepdims=True) for r in (rankdata(a, axis=1), rankdata(b, axis=1)))
    with np.errstate(invalid="ignore"):
        return np.vecdot(a, b) / np.sqrt(np.vecdot(a, a) * np.vecdot(b, b))


def _tau(a, b) -> np.ndarray:
    """Return Kendall's tau-b of each two rows, (draws,); NaN where one is constant."""
    a, b = (np.sign(r[:, :, None] - r[:, None]).reshape(len(r), -1) for r in (a, b))
    with np.errstate(invalid="ignore"):
        return np.vecdot(a, b) / np.sqrt(np.vecdot(a, a) * np.vecdot(b, b))


def _said(low: float, high: float) -> str:
    """Say whether an interval holds zero."""
    if low <= 0 <= high:
        return "cannot be told from zero"
    return "is above zero" if low > 0 else "is below zero"


def groups(nets: pd.DataFrame, members: Mapping[str, Iterable[str]], *, draws: int) -> pd.DataFrame:
    """Return ``ranks`` for several groups of networks, title → names, with the title as ``group``."""
    frames = [
        ranks(nets[nets.net.isin(list(names))], draws=draws).assign(group=title) for title, names in members.items()
    ]
    return pd.concat(frames, ignore_index=True)
