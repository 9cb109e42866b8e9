"""Rounding and quantisation: backward errors of inference with few digits, their bounds, and which decisions change.

Formats are named as "float16", all of it in this format, or "float16/float32" with the format in which products and
sums are accumulated. Backward errors are those of the logits on all weights, √(Σ ‖ΔA_i‖²/‖A_i‖²).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from bea import Dense, Network, backward_error, condition_number, lower_bound
from bea.backward.closed_form import changing, first_order
from bea.bounds import outputs_bound
from bea.networks.leads import lead
from bea.numerics.arrays import image_norms
from bea.precision import certified, deterministic_bound, low_precision, probabilistic_bound, recompute, unit_roundoff

BLOCK = 2000  # images whose expansions are held at a time
FEWEST = 5  # flips from which on it is asked whether they can be foreseen


def split(name: str) -> tuple[str, str | None]:
    """Return format and accumulator of a name."""
    format, _, accumulator = name.partition("/")
    return format, accumulator or None


def limits(nets: Mapping[str, Network], formats: Sequence[str]) -> pd.DataFrame:
    """Bound the backward error of every network in every format.

    Columns: ``net``, ``format``, ``unit`` (u), ``worst`` (n u for the inner dimension n, whatever the roundings) and
    ``likely`` (√n u, with a probability of 95%), both with what rounding of weights and images adds.
    """
    rows = []
    for name, net in nets.items():
        for format in formats:
            form = {"form": "linear"}
            bounds = deterministic_bound(net, *split(format), **form), probabilistic_bound(net, *split(format))
            rows.append((name, format, unit_roundoff(split(format)[0]), *(bound.total for bound in bounds)))
    return pd.DataFrame(rows, columns=["net", "format", "unit", "worst", "likely"])


def over_dimension(dimensions: Sequence[int], formats: Sequence[str], *, layers: int, seed: int, rows: int = 10):
    """Measure random affine layers of growing inner dimension, weights normal and inputs between 0 and 1.

    One row a layer and format: ``dimension``, ``format``, ``unit``, ``backward``, ``worst``, ``likely`` as in
    ``limits``.
    """
    frames, rng = [], np.random.default_rng(seed)
    for n in dimensions:
        for _ in range(layers):
            net, x = Network([Dense(rng.standard_normal((rows, n + 1)))], (n,)), rng.random((1, n))
            sizes = [_sizes(net, x, low_precision(net, x, *split(format)).logits)[0] for format in formats]
            frames.append(limits({"random": net}, formats).assign(dimension=n, backward=sizes))
    return pd.concat(frames, ignore_index=True).drop(columns="net")


def decisions(nets: Mapping[str, Network], x, formats: Sequence[str]) -> pd.DataFrame:
    """Compute the logits of all images in all formats, and compare them with those of float64.

    Columns, a row a network, format and image: ``net``, ``format``, ``image``; ``flipped`` (another class, or none),
    ``certified`` (no rounding of the format can change it), ``backward`` (to first order; infinite where a logit is not
    finite), ``forward`` (‖ŷ - y‖/‖y‖), ``condition`` (number, of the network at the image), ``distance`` (smallest
    adversarial change of the weights, to first order), ``proved`` (below it no change is adversarial), ``lead`` (of the
    class, relative to ‖y‖).
    """
    frames = []
    for name, net in nets.items():
        y, own = net(x), net.classify(x)
        size, proved = image_norms(y), lower_bound(net, x, on="weights").radius
        grams = np.concatenate([_gram(net, x[k : k + BLOCK]) for k in range(0, len(x), BLOCK)])
        shared = {
            "net": name, "image": np.arange(len(x)), "condition": condition_number(net, x), "proved": proved,
            "distance": _nearest(grams, y, own), "lead": lead(y, own) / size,
        }  # fmt: skip
        for format in formats:
            found = low_precision(net, x, *split(format))
            move = np.where(found.finite[:, None], found.logits, y) - y
            errors = _through(grams, move), image_norms(move) / size
            backward, forward = (np.where(found.finite, error, np.inf) for error in errors)
            safe = certified(net, x, *split(format), radius=proved)
            own_columns = {"format": format, "flipped": found.classes != own, "certified": safe}
            frames.append(pd.DataFrame(shared | own_columns | {"backward": backward, "forward": forward}))
    return pd.concat(frames, ignore_index=True)


def enclosed(nets: Mapping[str, Network], x, formats: Sequence[str], on="weights") -> pd.DataFrame:
    """Enclose the backward error of the logits of every format, without linearisation.

    Columns, a row a network, format and image: ``net``, ``format``, ``image``, ``linear`` (the closed form),
    ``converged`` (a change that gives the logits; NaN if none was found), ``residual`` (of its conditions of
    optimality), ``proved`` (no smaller change gives them), ``forward`` and ``condition`` as in ``decisions``, all for
    changes of what ``on`` says. Logits that are not finite are left out.
    """
    frames = []
    for name, net in nets.items():
        y, condition = net(x), condition_number(net, x, on)
        for format in formats:
            found = low_precision(net, x, *split(format))
            left = np.flatnonzero(found.finite)
            problem = net, x[left], found.logits[left], on
            linear, best = (backward_error(*problem, method=way) for way in ("linearised", "converged"))
            columns = {
                "net": name, "format": format, "image": left, "linear": np.sqrt(linear.objective),
                "converged": np.where(best.attained, np.sqrt(best.objective), np.nan), "residual": best.residual,
                "proved": outputs_bound(*problem, method="local"), "condition": condition[left],
                "forward": image_norms(found.logits[left] - y[left]) / image_norms(y[left]),
            }  # fmt: skip
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def by_part(net: Network, x, formats: Sequence[str]) -> pd.DataFrame:
    """Return medians of ``enclosed`` where weights, the image, or both change.

    Columns, a row a format and choice: ``format``, ``on``, ``linear``, ``converged``, ``proved``.
    """
    parts = [enclosed({"": net}, x, formats, on).assign(on=on) for on in ("weights", "input", "both")]
    columns = ["linear", "converged", "proved"]
    return pd.concat(parts).groupby(["format", "on"], sort=False)[columns].median().reset_index()


def overview(table: pd.DataFrame, bounds: pd.DataFrame) -> pd.DataFrame:
    """Sum up ``decisions`` and ``limits``: a row a network and format.

    Columns: ``net``, ``format``, ``unit``, ``median`` and ``largest`` backward error, ``likely`` and ``worst``,
    ``above`` and ``beyond`` (shares of images above the former and the latter), ``images``, ``certified``, ``flipped``
    and ``broken`` (certified and flipped) in numbers of images.
    """
    both = table.merge(bounds, on=["net", "format"]).assign(broken=lambda t: t.certified & t.flipped)
    both = both.assign(above=both.backward > both.likely, beyond=both.backward > both.worst)
    sums = both.groupby(["net", "format"], sort=False).agg(
        unit=("unit", "first"), median=("backward", "median"), largest=("backward", "max"), likely=("likely", "first"),
        worst=("worst", "first"), above=("above", "mean"), beyond=("beyond", "mean"), images=("image", "size"),
        certified=("certified", "sum"), flipped=("flipped", "sum"), broken=("broken", "sum"),
    )  # fmt: skip
    return sums.reset_index()


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Sum up ``enclosed``: a row a format.

    Columns: ``format``, ``logits``, ``found`` (share with a change that gives them), ``gap`` (95% quantile of converged
    over proved, less one), ``off`` (95% quantile of how far linear is from converged, relative), ``broken`` (proofs
    above what is found).
    """
    gaps = table.assign(gap=table.converged / table.proved - 1, off=(table.linear / table.converged - 1).abs())
    sums = gaps.groupby("format", sort=False).agg(
        logits=("image", "size"), found=("converged", lambda size: size.notna().mean()),
        gap=("gap", lambda gap: gap.quantile(0.95)), off=("off", lambda off: off.quantile(0.95)),
        broken=("gap", lambda gap: int((gap < -1e-9).sum())),
    )  # fmt: skip
    return sums.reset_index()


def predictors(table: pd.DataFrame) -> pd.DataFrame:
    """Ask how well three numbers tell flipped decisions from others: the area under the ROC curve.

    Columns, a row a network, format with five flips or more, and predictor: ``net``, ``format``, ``predictor``
    ("ratio": backward error over distance; "distance" and "lead": known before anything is rounded), ``flips``,
    ``area``, ``low`` and ``high`` (95%).
    """
    rows = []
    for (net, format), own in table.groupby(["net", "format"], sort=False):
        flipped = own.flipped.to_numpy()
        if FEWEST <= flipped.sum() < len(own):
            scores = {"ratio": own.backward / own.distance, "distance": -own.distance, "lead": -own["lead"]}
            for name, score in scores.items():
                rows.append((net, format, name, flipped.sum(), *area_under_roc(score.to_numpy(), flipped)))
    return pd.DataFrame(rows, columns=["net", "format", "predictor", "flips", "area", "low", "high"])


def area_under_roc(score, positive) -> tuple[float, float, float]:
    """Return the area under the ROC curve with the ends of its 95% interval (DeLong et al. 1988).

    ``score`` (n,) shall be larger where ``positive`` (bool array) is true; the area is the probability that it is.
    """
    many, few = np.sum(~positive), np.sum(positive)
    ranks, above = rankdata(score), np.empty(len(score))
    above[positive] = (ranks[positive] - rankdata(score[positive])) / many
    above[~positive] = 1.0 - (ranks[~positive] - rankdata(score[~positive])) / few
    area = above[positive].mean()
    spread = [above[side].var(ddof=1) / np.sum(side) if np.sum(side) > 1 else 0.25 for side in (positive, ~positive)]
    half = 1.96 * np.sqrt(sum(spread))
    return area, max(area - half, 0.0), min(area + half, 1.0)


def recomputed(net: Network, x, format: str, thresholds: Sequence[float]) -> pd.DataFrame:
    """Compute again, with float32 sums, only components whose condition number exceeds a threshold.

    One row a threshold: ``threshold``, ``cost`` (share of the products), ``backward`` (median), ``flips``. The first
    row, with an infinite threshold, is the pass without.
    """
    own, rows = net.classify(x), []
    for threshold in [np.inf, *sorted(thresholds, reverse=True), 0.0]:
        found = recompute(net, x, *split(format)[:1], threshold, split(format)[1])
        size = np.median(_sizes(net, x, found.result.logits))
        rows.append((threshold, found.cost.mean(), size, np.sum(found.result.classes != own)))
    return pd.DataFrame(rows, columns=["threshold", "cost", "backward", "flips"])


def _gram(net, x):
    return first_order(net, x, changing(net, "weights")).gram()


def _sizes(net, x, logits):
    """Return the backward errors (n,) of logits to first order."""
    return np.sqrt(backward_error(net, x, logits).objective)


def _through(grams, move):
    """Return the length (n,) of the smallest θ with 𝒜θ = move, from 𝒜𝒜ᵀ."""
    values, vectors = np.linalg.eigh(grams)
    turned, least = np.vecmat(move, vectors), 1e-14 * values[:, -1:]
    return np.sqrt(np.sum(np.where(values > least, turned**2 / np.maximum(values, least), 0.0), axis=1))


def _nearest(grams, y, own):
    """Return how far the nearest other class is to first order, (n,): the least lead over the length of its row."""
    rows = np.arange(len(y))
    diagonal = np.diagonal(grams, axis1=1, axis2=2)
    square = diagonal + diagonal[rows, own][:, None] - 2.0 * grams[rows, own]
    leads = y[rows, own][:, None] - y
    distance = leads / np.sqrt(np.maximum(square, np.finfo(float).tiny))
    distance[rows, own] = np.inf
    return distance.min(axis=1)


def in_bits(table: pd.DataFrame) -> pd.DataFrame:
    """Return medians of ``decisions`` in bits, -log₂ of the size.

    Columns, a row a network and "attack" or format: ``net``, ``what``, ``bits``.
    """
    each = table.groupby(["net", "format"], sort=False)[["distance", "backward"]].median().reset_index()
    attacks = each.drop_duplicates("net").assign(format="attack", backward=lambda t: t.distance)
    both = pd.concat([attacks, each]).assign(bits=lambda t: -np.log2(t.backward))
    return both.rename(columns={"format": "what"})[["net", "what", "bits"]].sort_values("net", kind="stable")


def flips_by_ratio(table: pd.DataFrame, bins: int = 12) -> pd.DataFrame:
    """Sort decisions by the median backward error of their format over the image's distance, and count flips.

    Columns, a row a format and bin with ten images or more: ``format``, ``ratio`` (geometric middle of the bin),
    ``images``, ``flipped``, ``share``.
    """
    typical = table.groupby(["net", "format"]).backward.transform("median")
    edges = np.logspace(-3, 1.5, bins + 1)
    found = table.assign(bin=np.digitize(typical / table.distance, edges)).groupby(["format", "bin"], sort=False)
    sums = found.flipped.agg(images="size", flipped="sum").reset_index()
    sums = sums[(sums.images >= 10) & sums.bin.between(1, bins)].sort_values("bin", kind="stable")
    middle = np.sqrt(edges[sums.bin - 1] * edges[sums.bin])
    return sums.assign(ratio=middle, share=sums.flipped / sums.images).drop(columns="bin")


def for_the_page(net: Network, x, labels, table: pd.DataFrame, name: str, many: int = 6) -> dict:
    """Return what the explorable *safe-ball* shows: images from the closest decision to a sure one, in every format.

    ``table`` is that of ``decisions``, ``name`` the network's there.
    """
    own = table[table.net == name]
    formats = list(own.format.unique())
    order = own[own.format == formats[0]].sort_values("lead").image.to_numpy()
    chosen = order[np.unique((np.linspace(0.0, 1.0, many) ** 3 * (len(order) // 2)).astype(int))]
    logits, safe = net(x[chosen]), own.pivot(index="image", columns="format", values="certified")[formats]
    moves = [low_precision(net, x[chosen], *split(format)).logits - logits for format in formats]
    return {
        "network": name, "formats": formats, "numbers": chosen.tolist(), "labels": labels[chosen].tolist(),
        "shape": list(x.shape[1:3]), "pixels": x[chosen], "logits": logits, "moves": np.stack(moves, axis=1),
        "certified": safe.loc[chosen].to_numpy().tolist(),
    }  # fmt: skip
