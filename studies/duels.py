"""Backward-error attacks beside competitors, wherever a chapter compares them: who is shorter, and how often."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd


def by_network(
    lengths: pd.DataFrame, ours: str, rivals: Mapping[str, str], *, by: float, exact: Collection[str] = ()
) -> pd.DataFrame:
    """Compare lengths image by image, network by network.

    Parameters
    ----------
    lengths : DataFrame
        One row an image: ``net``, and lengths in the column ``ours`` and in one a competitor; NaN or infinite where an
        attack fails.
    ours : str
    rivals : mapping of str to str
        Column → how the competitor is called.
    by : float
        Share of our length by which a competitor has to be shorter to count as smaller.
    exact : collection of str
        Networks on which our attack is the exact solution; on the others it is a converged one.

    Returns
    -------
    DataFrame, one row a network and competitor: ``net``, ``kind`` ("exact" or "converged"), ``rival``, ``both`` (images
    on which both succeed), ``smaller`` (of these, the competitor's), ``least`` (quotient of lengths, the competitor's
    over ours, 1 at most).
    """
    rows = []
    for net, own in lengths.groupby("net", sort=False):
        for column, rival in rivals.items():
            pair = own[[ours, column]].to_numpy(dtype=float)
            pair = pair[np.isfinite(pair).all(axis=1)]
            quotient = pair[:, 1] / pair[:, 0]
            rows.append({
                "net": net, "kind": "exact" if net in exact else "converged", "rival": rival, "both": len(quotient),
                "smaller": int(np.sum(quotient < 1 - by)), "least": float(quotient.min(initial=1.0)),
            })  # fmt: skip
    return pd.DataFrame(rows)


def gathered(found: Mapping[str, Sequence[Mapping]]) -> pd.DataFrame:
    """Return the rows of several chapters, chapter → rows as of ``by_network``, as one table, ``chapter`` first."""
    frames = [pd.DataFrame(list(rows)).assign(chapter=chapter) for chapter, rows in found.items()]
    table = pd.concat(frames, ignore_index=True)
    return table[["chapter", *table.columns.drop("chapter")]]
