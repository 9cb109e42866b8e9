"""The shortest change of an image between proofs from below and witnesses from above, for whole networks."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from bea import Activation, Dense, Network, lower_bound
from bea.attacks import backward_error_attack, smallest_epsilon
from bea.bounds.minorants import minorant
from lab.second_opinion import classes_by
from lab.wording import spans

BOUNDS = {"published": "peck", "repaired": "lipschitz", "tight": "local"}
ROUNDING = 1e-9  # relative: proven bounds are rounded down


def five_lengths(
    net: Network, file: Path | None, x, labels, *, margin: float, firm: float, candidates: int, largest: float
) -> pd.DataFrame:
    """Enclose the shortest change of every image that alters its class, right or wrong; Euclidean, pixels from 0 to 1.

    Parameters
    ----------
    net : Network
    file : Path or None
        Its original Keras model, through which every witness goes again; without one the network is asked.
    x : array (n, *input_shape), labels : int array (n,)
        Images, and what they show.
    margin, firm : float
        Lead in logits of the class that the attack reaches, and where Keras' single precision asks for more.
    candidates : int
        Nearest classes tried by the attack on a network of convolutions.
    largest : float
        Step up to which FGS looks, in units of the pixels.

    Returns
    -------
    DataFrame, one row an image: ``image``, ``label`` (the network's), ``right``; bounds ``published`` (not proven),
    ``repaired``, ``tight``; lengths ``attack`` and ``fgs``, infinite where they fail; ``found`` (class reached),
    ``keras`` (whether Keras confirms it), ``again`` (only with the lead ``firm``), ``longer`` (by so much).
    """
    with threadpool_limits(1, "blas"):  # the matrices are small, and threads would wait for each other
        own = net.classify(x)
        radii = {name: lower_bound(net, x, own, method=method).radius for name, method in BOUNDS.items()}
        attack = backward_error_attack(net, x, own, margin=margin, candidates=_tries(net, candidates))
        step = smallest_epsilon(net, x, own, largest=largest, method="bisection")
        keras, again, longer = _confirmed(net, file, x, own, attack, firm)
    return pd.DataFrame({
        "image": np.arange(len(x)), "label": own, "right": own == labels, **radii,
        "attack": np.where(attack.success, attack.l2, np.inf), "fgs": np.where(step.success, step.l2, np.inf),
        "found": attack.found, "keras": keras, "again": again, "longer": longer,
    })  # fmt: skip


def changes(net: Network, x, *, margin: float, candidates: int) -> np.ndarray:
    """Return the changes (n, *input_shape) that the attack of ``five_lengths`` makes."""
    with threadpool_limits(1, "blas"):
        own = net.classify(x)
        return backward_error_attack(net, x, own, margin=margin, candidates=_tries(net, candidates)).dx


def _tries(net, candidates):
    return None if all(isinstance(layer, Dense) for layer in net.weighted) else candidates


def _confirmed(net, file, x, own, attack, firm):
    """Ask Keras for the class of every witness; search those again, with a larger lead, that it does not confirm."""
    dx = np.nan_to_num(attack.dx)
    keras = attack.success & (classes_by(file, net, x + dx) == attack.found)
    again, longer = np.zeros(len(x), bool), np.zeros(len(x))
    rest = np.flatnonzero(attack.success & ~keras)
    if len(rest):
        second = backward_error_attack(net, x[rest], own[rest], target=attack.found[rest], margin=firm)
        classes = classes_by(file, net, x[rest] + np.nan_to_num(second.dx))
        again[rest] = second.success & (classes == attack.found[rest])
        longer[rest] = np.where(again[rest], second.l2 - attack.l2[rest], 0.0)
    return keras, again, longer


def cost(net: Network, x, *, margin: float, candidates: int, largest: float) -> dict[str, float]:
    """Measure the processor time of every length, in milliseconds an image (n, *input_shape).

    ``once`` is what the first image took for the two proven bounds, in seconds, with the constants of the network that
    later images share.
    """
    found, once = {}, 0.0
    with threadpool_limits(1, "blas"):
        own = net.classify(x)
        for name, method in BOUNDS.items():
            start = time.process_time()
            lower_bound(net, x[:1], own[:1], method=method)
            once += time.process_time() - start if name != "published" else 0.0
            start = time.process_time()
            lower_bound(net, x, own, method=method)
            found[name] = time.process_time() - start
        start = time.process_time()
        backward_error_attack(net, x, own, margin=margin, candidates=_tries(net, candidates))
        found["attack"] = time.process_time() - start
        start = time.process_time()
        smallest_epsilon(net, x, own, largest=largest, method="bisection")
        found["fgs"] = time.process_time() - start
    return {"once": once} | {name: 1000 * seconds / len(x) for name, seconds in found.items()}


def together(tables: Mapping[str, pd.DataFrame], kinds: Mapping[str, str]) -> pd.DataFrame:
    """Put the tables of networks under each other, with ``net``, ``kind``, ``upper`` and ``ratio``.

    ``upper`` is the shorter of the two witnesses, ``ratio`` the tight bound over it.
    """
    frames = [pd.DataFrame({"net": name, "kind": kinds[name]}, index=t.index).join(t) for name, t in tables.items()]
    table = pd.concat(frames, ignore_index=True)
    table["upper"] = table[["attack", "fgs"]].min(axis=1)
    return table.assign(ratio=table.tight / table.upper)


def networks(table: pd.DataFrame, settled: float) -> pd.DataFrame:
    """Summarise every network.

    Returns
    -------
    DataFrame, one row a network: ``net``, ``kind``, ``images``, ``right`` (share), medians of the lengths
    ``published``, ``repaired``, ``tight``, ``attack``, ``fgs``; ``median`` and ``least`` ratio; ``above`` and
    ``share`` of images whose ratio exceeds 1 less ``settled``; ``part_repaired`` and ``part_published`` (medians of
    bounds over witness), ``fgs_attack`` (median of the quotient), ``low`` and ``high`` (means of tight bound and
    shorter witness) with their standard errors ``low_error`` and ``high_error``, ``low_right`` and ``high_right``
    (images classified correctly); bounds above a witness ``above_repaired``, ``above_tight``, ``above_published``;
    ``over`` (share of the images whose published bound exceeds the repaired one), ``over_tight`` (number that exceeds
    the tight one), ``nearest`` (largest published bound over a witness).
    """
    rows = []
    for (name, kind), m in table.groupby(["net", "kind"], sort=False):
        finite = m[np.isfinite(m.upper)]
        right = finite[finite.right]
        medians = m[["published", "repaired", "tight", "attack", "fgs"]].median().to_dict()
        with np.errstate(invalid="ignore"):
            quotient = (m.fgs / m.attack).median()
        rows.append({
            "net": name, "kind": kind, "images": len(m), "right": m.right.mean(), **medians,
            "median": m.ratio.median(), "least": m.ratio.min(), "above": (m.ratio > 1 - settled).sum(),
            "share": (m.ratio > 1 - settled).mean(), "part_repaired": (m.repaired / m.upper).median(),
            "part_published": (m.published / m.upper).median(), "fgs_attack": quotient,
            "low": m.tight.mean(), "high": finite.upper.mean(), "low_error": _error(m.tight),
            "high_error": _error(finite.upper, len(m)), "low_right": right.tight.mean(),
            "high_right": right.upper.mean(),
            **{f"above_{bound}": (m[bound] > m.upper).sum() for bound in BOUNDS},
            "over": (m.published > (1 + ROUNDING) * m.repaired).mean(),
            "over_tight": (m.published > (1 + ROUNDING) * m.tight).sum(), "nearest": (m.published / m.upper).max(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _error(values: pd.Series, n: int | None = None) -> float:
    """Return the standard error of a mean; zero for one image."""
    n = len(values) if n is None else n
    return values.std() / np.sqrt(n) if n > 1 else 0.0


def ranges(nets: pd.DataFrame, kinds, column, form) -> dict[str, str]:
    """Return kind → smallest and largest number of its networks, as text."""
    return {kind: text[column] for kind, text in spans(nets, "kind", kinds, **{column: form}).items()}


def rank_correlations(table: pd.DataFrame, kinds) -> dict[str, float]:
    """Return kind → rank correlation of ratio and length in its first network; 0 where nothing varies or is known."""
    found = dict.fromkeys(kinds, 0.0)
    for kind, m in table.groupby("kind", sort=False):
        first = m[m.net == m.net.iloc[0]]
        if len(first) > 2 and np.ptp(first.ratio) > 0:
            found[kind] = spearmanr(first.upper, first.ratio).statistic
    return found


def evenly(m: pd.DataFrame, by: str, most: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return at most so many rows, evenly spaced in the order of a column, and the share of rows up to each."""
    ordered = m.sort_values(by, kind="stable")
    some = np.unique(np.linspace(0, len(ordered) - 1, most).astype(int))
    return ordered.iloc[some], (some + 0.5) / len(ordered)


def closed(m: pd.DataFrame, settled: float, shown: int = 6) -> pd.DataFrame:
    """Pick images whose enclosure has closed, evenly over the length of the attack; the nearest where none has."""
    rows = m[m.ratio > 1 - settled]
    rows = m.nlargest(shown, "ratio") if rows.empty else rows
    ordered = rows.sort_values("attack")
    return ordered.iloc[np.linspace(0, len(ordered) - 1, shown).astype(int)]


def parabolas(image=0.7, worst=1.7, half=1.0) -> dict[str, tuple[float, float]]:
    """Return three parabolas below minus tanh on an interval about the image: title → where it touches, coefficient."""
    unit, ends = Activation("tanh"), (np.array([image - half]), np.array([image + half]))
    found = {"Theorem 4.1, both sides, everywhere": (image, 2 / np.sqrt(27))}  # half the largest second derivative
    for title, at in (("one side, in the ball", image), ("and about the worst point", worst)):
        found[title] = at, float(minorant(unit, -np.ones(1), np.array([at]), *ends)[3][0])
    return found
