"""How far gradient and curvature alone enclose the distance to another class, beside proof and attack."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bea import Dense, Network, lower_bound
from bea.attacks import backward_error_attack
from bea.bounds import distance_enclosure

FORMS = {"ball": False, "ray": True}  # where the curvature counts → ``along_ray``
ROUNDING = 1e-9  # relative, of the comparison between lengths that were rounded


def narrow(nets: Mapping[str, Network], widest: int) -> dict[str, Network]:
    """Return the networks of dense layers with at most so many units in each."""
    return {
        name: net
        for name, net in nets.items()
        if all(isinstance(layer, Dense) and len(layer.kernel) <= widest for layer in net.weighted)
    }


def enclosures(
    nets: Mapping[str, Network], x, labels, *, few: int, proved: int, margin: float, candidates: int
) -> pd.DataFrame:
    """Enclose how far every image is from another class, on the first network of each kind, and on few for the others.

    Parameters
    ----------
    nets : mapping of str to Network
        Names are a kind and a seed, "tanh-0".
    x : array (n, …), labels : int array (n,)
    few : int
        Images of a network that is not the first of its kind.
    proved : int
        Images of each that get the tight bound, too, at most.
    margin : float
        Lead in logits of the new class, of all lengths but the tight bound.
    candidates : int
        Nearest classes that the attack tries.

    Returns
    -------
    DataFrame, one row a network and image: ``net``, ``kind``, ``image``, ``right``, ``newton`` (first-order length),
    ``tight`` (NaN without), ``attack`` (infinite where it fails), and for the forms "ball" and "ray" the columns
    ``… lower``, ``… upper`` (infinite where undecided), ``… h``, ``… became`` (whether the class is another after the
    change that ``upper`` is the length of; False where there is none). Lengths are Euclidean, pixels from 0 to 1.
    """
    frames, seen = [], set()
    with threadpool_limits(1, "blas"):  # the matrices are small, and threads would wait for each other
        for name, net in nets.items():
            kind = name.rpartition("-")[0]
            pixels = x[: few if kind in seen else None].astype(float).reshape(-1, *net.input_shape)
            seen.add(kind)
            own = net.classify(pixels)
            attack = backward_error_attack(net, pixels, own, margin=margin, candidates=candidates)
            tight = np.full(len(pixels), np.nan)
            tight[:proved] = lower_bound(net, pixels[:proved], own[:proved], method="local").radius
            columns = {
                "net": name, "kind": kind, "image": np.arange(len(pixels)), "right": own == labels[: len(pixels)],
                "tight": tight, "attack": np.where(attack.success, attack.l2, np.inf),
            }  # fmt: skip
            for form, along_ray in FORMS.items():
                found = distance_enclosure(net, pixels, margin=margin, along_ray=along_ray)
                became = net.classify(pixels + np.nan_to_num(found.dx)) != own
                columns |= {"newton": found.first_order, f"{form} lower": found.lower, f"{form} upper": found.upper}
                columns |= {f"{form} h": found.h, f"{form} became": became & found.applies}
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def decided(table: pd.DataFrame) -> pd.DataFrame:
    """Count what was decided.

    Returns
    -------
    DataFrame, one row a kind: ``kind``, ``networks``, ``images`` (pairs), and for each form the number decided
    ``… decided`` and its ``… share``, the median of ``… lower`` and ``… upper`` over Newton's step where decided, and
    the numbers of contradictions: ``… outside`` (attack not between the two), ``… against`` (tight bound above the
    upper end), ``… kept`` (changes of the upper end that leave the class as it is); ``least``, ``middle`` and ``most``
    (attack over Newton's step, where it succeeds).
    """
    rows = []
    for kind, m in table.groupby("kind", sort=False):
        ratio = (m.attack / m.newton)[np.isfinite(m.attack)]
        row = {"kind": kind, "networks": m.net.nunique(), "images": len(m)}
        for form in FORMS:
            some = m[np.isfinite(m[f"{form} upper"])]
            lower, upper = some[f"{form} lower"], some[f"{form} upper"]
            outside = (some.attack < lower * (1 - ROUNDING)) | (some.attack > upper * (1 + ROUNDING))
            row |= {
                f"{form} decided": len(some), f"{form} share": len(some) / len(m),
                f"{form} lower": (lower / some.newton).median(), f"{form} upper": (upper / some.newton).median(),
                f"{form} outside": outside.sum(), f"{form} against": (some.tight > upper).sum(),
                f"{form} kept": (~some[f"{form} became"]).sum(),
            }  # fmt: skip
        rows.append(row | {"least": ratio.min(), "middle": ratio.median(), "most": ratio.max()})
    return pd.DataFrame(rows)


def majorant(h) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper end in units of Newton's step, 2/(1 + √(1 ± 2h)), for h from 0 to ½."""
    h = np.asarray(h, dtype=float)
    return 2 / (1 + np.sqrt(1 + 2 * h)), 2 / (1 + np.sqrt(1 - 2 * h))


def example(table: pd.DataFrame, h: float) -> pd.Series:
    """Return the row, decided in the ball, whose h is nearest to a value, and whose ends are those of one rival."""
    some = table[np.isfinite(table["ball upper"])]
    ends = np.stack(majorant(some["ball h"]))
    found = some[["ball lower", "ball upper"]].to_numpy().T / some.newton.to_numpy()
    same = (np.abs(found / ends - 1) < [[0.02], [1e-6]]).all(axis=0)
    some = some[same] if same.any() else some
    return some.loc[(some["ball h"] - h).abs().idxmin()]


def along_gradient(net: Network, x, *, margin: float, points: int) -> pd.DataFrame:
    """Follow the lead of one image (*input_shape) against its gradient, with Kantorovich's two parabolas.

    Returns
    -------
    DataFrame, one row a point: ``s`` (length), ``lead`` (over the rival, less the margin), ``tangent``, ``above`` and
    ``below`` (tangent and M s²/2), with the M of the ball as in ``distance_enclosure``; logits.
    """
    x = x.astype(float).reshape(1, *net.input_shape)
    found = distance_enclosure(net, x, margin=margin)
    own, rival = net.classify(x)[0], found.rival[0]
    weights = np.zeros((1, net.classes))
    weights[0, own], weights[0, rival] = 1.0, -1.0
    slope = np.linalg.norm(net.gradient(x, weights))
    s = np.linspace(0.0, 1.1 * found.upper[0], points)
    logits = net(x + s.reshape(-1, *[1] * (x.ndim - 1)) * found.dx / found.upper[0])
    lead = logits[:, own] - logits[:, rival] - margin
    bend = 0.5 * found.h[0] * slope**2 / lead[0] * s**2
    tangent = lead[0] - slope * s
    return pd.DataFrame({"s": s, "lead": lead, "tangent": tangent, "above": tangent + bend, "below": tangent - bend})
