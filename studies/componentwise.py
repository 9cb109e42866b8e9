"""How little must every pixel change, by its own measure: componentwise backward errors beside norm-wise ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bea import Network
from bea.attacks import backward_error_attack, componentwise_attack
from bea.backward.closed_form import changing
from bea.backward.componentwise import class_error
from bea.backward.relative_changes import relative_changes
from bea.networks.leads import attack_lead, lead_over_others, other_classes
from bea.numerics.arrays import flat
from bea.numerics.smallest_maximum import box_programme
from lab.witnesses import keras_classes

PLACES = ("input", "weights", "both")
GREY = 0.5 / 255  # half a grey level: smaller changes are lost when the image is stored


def two_measures(
    nets: Mapping[str, Network], files: Mapping[str, Path | None], x, labels, *, margin: float
) -> pd.DataFrame:
    """Attack every image that a network classifies correctly, norm-wise and componentwise.

    Parameters
    ----------
    nets : mapping of str to Network
    files : mapping of str to Path or None
        Their original Keras models; a network without one is rebuilt in Keras.
    x : array (n, *input_shape), pixels in [0, 1];  labels : int array (n,)
    margin : float
        Lead, in units of the logits, of the class that wins.

    Returns
    -------
    DataFrame, one row an image and network: ``net``, ``image``; ``epsilon`` (componentwise, pixels may leave their
    range), its ``length`` (‖Δx‖/‖x‖) and ``residual``; ``inside`` (ε within the range, three nearest
    classes; NaN where none was found);
    ``norm`` (‖Δx‖/‖x‖ of the norm-wise attack on the two nearest classes); ``damped`` (ε by steps of a tenth, see
    there); ``blank`` pixels of the image, and how many of them the norm-wise attack changes, ``touched`` at all and
    ``seen`` by half a grey level or more, and the componentwise one, ``inked``; classes by bea and by Keras: ``found``,
    ``keras``, ``norm_found``, ``norm_keras``, ``inside_found``, ``inside_keras``.
    """
    frames = []
    with threadpool_limits(1, "blas"):  # the matrices are small, and threads would wait for each other
        for name, net in nets.items():
            right = np.flatnonzero(net.classify(x) == labels)
            images, aim = x[right], labels[right]
            ink = componentwise_attack(net, images, aim, margin=margin)
            kept = componentwise_attack(net, images, aim, margin=margin, clip=True, candidates=3)
            norm = backward_error_attack(net, images, aim, margin=margin, candidates=2)
            blank = flat(images) == 0.0
            moved, inked = np.abs(flat(norm.dx)), np.abs(flat(ink.dx))
            seen = {
                key: keras_classes(files[name], images + np.nan_to_num(one.dx), net)
                for key, one in {"keras": ink, "norm_keras": norm, "inside_keras": kept}.items()
            }
            columns = {
                "net": name, "image": right, "epsilon": ink.epsilon, "length": ink.norm, "residual": ink.residual,
                "inside": kept.epsilon, "norm": norm.norm, "damped": damped(net, images, aim, margin=margin),
                "blank": blank.sum(axis=1), "touched": np.sum(blank & (moved > 0.0), axis=1),
                "seen": np.sum(blank & (moved >= GREY), axis=1), "inked": np.sum(blank & (inked > 0.0), axis=1),
                "found": ink.found, "norm_found": norm.found, "inside_found": kept.found,
            }  # fmt: skip
            frames.append(pd.DataFrame(columns | seen))
    return pd.concat(frames, ignore_index=True)


def damped(net: Network, x, labels, *, margin: float, part=0.1, steps=30) -> np.ndarray:
    """Return ε (n,) by a scheme of fixed damped steps, as in the public code of Beerens and D. J. Higham (2023).

    From the present change go a tenth of the way to the solution of the programme linearised there, thirty times at
    most and no farther than to where the class changes; then find the shortest success on the ray, with the margin and
    up to twice as far.
    Theirs is towards a target, in PyTorch and with a general solver; here the rival is the nearest class to first order
    and the programme is solved in closed form.
    """
    changes = relative_changes(net, x, changing(net, "input"))
    every, v = np.arange(len(x)), np.zeros(changes.pixels.shape)
    logits, memory = changes.forward(v)
    rivals = other_classes(labels, net.classes)
    slopes = np.abs(lead_over_others(net.linearise(x).jacobian, labels) * flat(x)[:, None])
    lags = lead_over_others(logits, labels) / np.maximum(slopes.sum(axis=2), np.finfo(float).tiny)
    weights = np.eye(net.classes)[rivals[every, lags.argmin(axis=1)]] - np.eye(net.classes)[labels]
    for _ in range(steps):
        ahead, G = np.vecdot(weights, logits) - margin, changes.gradient(memory, weights)
        u = box_programme(G, np.vecdot(G, v) - ahead, v, np.full(len(x), np.inf))
        v = np.where((logits.argmax(axis=1) == labels)[:, None], v + part * (u - v), v)
        logits, memory = changes.forward(v)

    def misses(factors):
        return attack_lead(changes.forward(factors[:, None] * v)[0], labels, False) < margin

    short, enough = np.zeros(len(x)), np.full(len(x), 2.0)
    lost = misses(enough)
    for _ in range(30):
        middle = 0.5 * (short + enough)
        missed = misses(middle)
        short, enough = np.where(missed, middle, short), np.where(missed, enough, middle)
    return np.where(lost, np.nan, enough * np.abs(v).max(axis=1))


def summary(measures: pd.DataFrame, rounding=1e-9) -> pd.DataFrame:
    """Compare the two measures, network by network.

    Returns
    -------
    DataFrame, one row a network: ``net``, ``images``; medians of ``epsilon``, ``inside``, ``norm``, ``length``, of the
    ``ratio`` ε over norm, its ``least`` value and images ``below`` one (there should be none: ‖Δx‖ ≤ ε ‖x‖); shares of
    the blank pixels that change, ``touched``, ``seen`` and ``inked``; the ``found`` and ``confirmed`` (by Keras)
    witnesses of all three attacks; ``within`` (images with a success in the range); ``residual`` (quantile 0.99);
    ``damped`` (median of the damped scheme's ε over ours), its quantiles ``damped_low`` and ``damped_high`` (5 and
    95 %), and ``shorter``, images where it is smaller by a thousandth.
    """
    rows = []
    for name, m in measures.groupby("net", sort=False):
        ratio, other = m.epsilon / m.norm, m.damped / m.epsilon
        pairs = [("found", "keras"), ("norm_found", "norm_keras"), ("inside_found", "inside_keras")]
        won = [np.isfinite(m[key]) for key in ("epsilon", "norm", "inside")]
        blank = m.blank.sum()
        rows.append({
            "net": name, "images": len(m), "epsilon": m.epsilon.median(), "inside": m.inside.median(),
            "norm": m.norm.median(), "length": m.length.median(), "ratio": ratio.median(), "least": ratio.min(),
            "below": np.sum(ratio < 1 - rounding), "touched": m.touched.sum() / blank, "seen": m.seen.sum() / blank,
            "inked": m.inked.sum() / blank, "found": sum(w.sum() for w in won),
            "confirmed": sum(np.sum((m[a] == m[b]) & w) for (a, b), w in zip(pairs, won, strict=True)),
            "within": won[2].sum(), "residual": m.residual.quantile(0.99), "damped": other.median(),
            "damped_low": other.quantile(0.05), "damped_high": other.quantile(0.95), "shorter": np.sum(other < 0.999),
        })  # fmt: skip
    return pd.DataFrame(rows)


def one_layer(net: Network, x, labels, *, margin: float) -> pd.DataFrame:
    """Hold the search against the closed form on one layer.

    Returns
    -------
    DataFrame, one row an image classified correctly: ``image``, ``input`` and ``weights`` (ε of the closed form, with
    the margin), ``searched`` (ε of the search on the input), ``gap`` (of ``input`` and it, relative), ``used``
    (pixels that the change of the input moves), ``inked`` pixels (not zero), ``dead`` ones among these (no class's
    weight differs there).
    """
    right = np.flatnonzero(net.classify(x) == labels)
    images, aim = x[right], labels[right]
    exact, weights = (class_error(net, images, aim, on=on, margin=margin) for on in ("input", "weights"))
    found, inked = componentwise_attack(net, images, aim, margin=margin), flat(images) != 0.0
    columns = {
        "image": right, "input": exact.epsilon, "weights": weights.epsilon, "searched": found.epsilon,
        "gap": np.abs(found.epsilon / exact.epsilon - 1), "used": np.sum(flat(exact.dx) != 0.0, axis=1),
        "inked": inked.sum(axis=1), "dead": np.sum(inked & (np.ptp(net.weighted[-1].kernel, axis=0) == 0.0), axis=1),
    }  # fmt: skip
    return pd.DataFrame(columns)


def places(nets: Mapping[str, Network], x, labels, *, images: int, margin: float) -> pd.DataFrame:
    """Let the input change, the weights, or both, for the first images that a network classifies correctly.

    Returns
    -------
    DataFrame, one row a network: ``net``, ``images``, medians of ε for ``input``, ``weights`` and ``both``, and the
    ``won`` attacks of all three.
    """
    rows = []
    for name, net in nets.items():
        right = np.flatnonzero(net.classify(x) == labels)[:images]
        found = {
            on: componentwise_attack(net, x[right], labels[right], on=on, margin=margin, candidates=3) for on in PLACES
        }
        medians = {on: np.median(one.epsilon) for on, one in found.items()}
        won = sum(one.success.sum() for one in found.values())
        rows.append({"net": name, "images": len(right), **medians, "won": won})
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Changes of n images, norm-wise and componentwise, (n, height, width), and ``table``: see ``pictures``."""

    norm_wise: np.ndarray
    componentwise: np.ndarray
    table: pd.DataFrame


def pictures(net: Network, x, labels, *, margin: float) -> Pictures:
    """Attack images (n, height, width) in both measures, within the range of the pixels.

    The table has a row an image and measure: ``image``, ``measure``, ``norm`` (‖Δx‖/‖x‖), ``epsilon`` (largest change
    of a pixel relative to it; infinite where a blank one changes), ``blank`` pixels changed by half a grey level or
    more, class ``found``.
    """
    both = {
        "norm-wise": backward_error_attack(net, x, labels, margin=margin, clip=True),
        "componentwise": componentwise_attack(net, x, labels, margin=margin, clip=True),
    }
    frames = []
    for name, one in both.items():
        change, pixels = np.abs(flat(one.dx)), flat(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(change == 0.0, 0.0, change / pixels).max(axis=1)
        blank = np.sum((pixels == 0.0) & (change >= GREY), axis=1)
        columns = {"measure": name, "norm": one.norm, "epsilon": part, "blank": blank, "found": one.found}
        frames.append(pd.DataFrame({"image": np.arange(len(x))} | columns))
    return Pictures(*(one.dx for one in both.values()), pd.concat(frames, ignore_index=True))
