"""Robustness of dense networks, between an attack and bounds, against breadth, depth, training and accuracy."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bea import Network, lower_bound
from bea.attacks import backward_error_attack, lbfgs_attack
from bea.attacks.by_backward_error import nearest_classes
from lab import by_hand

WIDE = 128  # units of a layer beyond which a tight bound takes long
PARTS = 5  # of a pass, after each of which the weights shrink
RECIPE = {"rate": 0.1, "batch_size": 32, "a": 0.1}
BOUNDS = {"share": "tight", "layerwise": "repaired", "printed": "as printed"}


def trained(
    kinds: Mapping[str, Mapping], data, *, seeds: int, size: int, passes: int, units: int
) -> dict[str, Network]:
    """Train networks of smooth ReLUs, each seed on its own draw of images, noise new each time an image is seen.

    Parameters
    ----------
    kinds : mapping of str to mapping
        Kind → ``depth`` (hidden layers, 2), ``noise`` (standard deviation, pixels, 0), ``decay`` (share of the weights
        lost a pass, 0).
    data : Dataset
    seeds : int
        Networks a kind; those of one seed differ by the kind only.
    size, passes, units : int
        Training images, passes over them, units of each hidden layer.

    Returns
    -------
    dict
        "kind/seed" → network.
    """
    x, shape = data.x_train.astype(float), data.x_test.shape[1:]
    with threadpool_limits(1, "blas"):  # small matrices: threads would wait
        return {
            f"{kind}/{seed}": _trained(x, data.y_train, shape, seed, size, passes, units, **options)
            for kind, options in kinds.items()
            for seed in range(seeds)
        }


def _trained(x, labels, shape, seed, size, passes, units, depth=2, noise=0.0, decay=0.0) -> Network:
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(x))[:size]
    pixels, labels = x[chosen].reshape(len(chosen), -1), labels[chosen]
    portion = -(-len(chosen) // PARTS)

    def refresh(weights):
        for W, _ in weights:
            W *= (1.0 - decay) ** (1.0 / PARTS)
        some = rng.permutation(len(chosen))[:portion]
        return pixels[some] + noise * rng.standard_normal((portion, pixels.shape[1])), labels[some]

    options = {"epochs": PARTS * passes, "seed": seed, "refresh": refresh} | RECIPE
    *_, weights = by_hand.train([units] * depth, pixels, labels, **options)
    return by_hand.to_network(weights, RECIPE["a"], shape)


def enclosed(nets: Mapping[str, Network], x, *, margin: float, candidates: int, wide: int) -> pd.DataFrame:
    """Enclose the least change of every image (n, *input_shape) that changes its class, right or wrong.

    Parameters
    ----------
    nets : mapping
        "kind/seed" → network.
    margin, candidates
        Of the converged attack: lead of the new class in logits, and classes that are tried.
    wide : int
        Images with a tight bound where a layer has more than ``WIDE`` units.

    Returns
    -------
    DataFrame, one row a network and image: ``kind``, ``net``, ``image``, ``found`` (norm of the attack; the repaired
    bound where it fails), ``missed`` (whether it fails), ``printed``, ``repaired``, ``tight`` (bounds; NaN where the
    last was not computed). Pixels from 0 to 1, Euclidean.
    """
    frames = []
    with threadpool_limits(1, "blas"):
        for name, net in nets.items():
            n = wide if max(len(layer.matrix) for layer in net.weighted) > WIDE else len(x)
            found = backward_error_attack(net, x, net.classify(x), margin=margin, candidates=candidates)
            repaired = lower_bound(net, x, method="lipschitz").radius
            tight = np.full(len(x), np.nan)
            tight[:n] = lower_bound(net, x[:n], method="local").radius
            frames.append(pd.DataFrame({
                "kind": name.rpartition("/")[0], "net": name, "image": np.arange(len(x)),
                "found": np.where(found.success, found.l2, repaired), "missed": ~found.success,
                "printed": lower_bound(net, x, method="peck").radius, "repaired": repaired, "tight": tight,
            }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def summary(table: pd.DataFrame, accuracies: Mapping[str, float]) -> pd.DataFrame:
    """Average over the images.

    Returns
    -------
    DataFrame, one row a network: ``kind``, ``net``, ``accuracy`` (share), ``rho`` (mean norm found), ``upper`` (that,
    infinite if the attack ever fails), ``proven`` (mean of the best bound), ``bounded`` (images with a tight bound),
    ``error`` (standard error of rho), mean bounds over the mean norm found: ``share`` (tight), ``layerwise``
    (repaired) and ``printed``, ``missed`` (attacks that fail), ``crossed`` (tight bounds above the attack).
    """
    rows = []
    for (kind, name), m in table.groupby(["kind", "net"], sort=False):
        known = m[m.tight.notna()]
        rows.append({
            "kind": kind, "net": name, "accuracy": accuracies[name], "rho": m.found.mean(),
            "upper": np.inf if m.missed.any() else m.found.mean(), "proven": m.tight.fillna(m.repaired).mean(),
            "bounded": len(known), "error": m.found.std() / np.sqrt(len(m)),
            "share": known.tight.mean() / known.found.mean(), "layerwise": m.repaired.mean() / m.found.mean(),
            "printed": m.printed.mean() / m.found.mean(), "missed": m.missed.sum(),
            "crossed": (known.tight > known.found).sum(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def sides(nets: pd.DataFrame, kind: str) -> dict[str, float]:
    """Return ``median``, ``low`` and ``high`` of the robustness found over the seeds of a kind."""
    rho = nets.rho[nets.kind == kind]
    return {"median": rho.median(), "low": rho.min(), "high": rho.max()}


def proven_change(nets: pd.DataFrame, first: str, last: str) -> str:
    """Say what attacks and bounds prove of ρ itself, from every network of one kind to every one of another."""
    a, b = nets[nets.kind == first], nets[nets.kind == last]
    if a.upper.max() < b.proven.min():
        return f"is proven to rise, from at most {a.upper.max():.3f} to at least {b.proven.min():.3f}"
    if b.upper.max() < a.proven.min():
        return f"is proven to fall, from at least {a.proven.min():.3f} to at most {b.upper.max():.3f}"
    if min(a.bounded.min(), b.bounded.min()) < nets.bounded.max():
        return "stays undecided, with the tight bound computed for few images only"
    return "is not proven to change, as its enclosures overlap"


def change(table: pd.DataFrame, nets: pd.DataFrame, first: str, last: str) -> dict:
    """Compare two kinds: ranges over seeds, and the change in pairs over the images, in the mean over seeds.

    Returns
    -------
    dict
        ``first`` and ``last`` (``sides``), ``apart`` (whether their ranges overlap, in words), ``change`` with its
        standard ``error``, ``beyond`` (whether that is more than twice the error), ``itself`` (``proven_change``).
    """
    start, end = sides(nets, first), sides(nets, last)
    means = table.groupby(["kind", "image"]).found.mean()
    pairs = (means[last] - means[first]).to_numpy()
    by, error = pairs.mean(), pairs.std(ddof=1) / np.sqrt(len(pairs))
    overlap = start["low"] <= end["high"] and end["low"] <= start["high"]
    return {
        "first": start, "last": end, "apart": "overlap" if overlap else "do not overlap", "change": by, "error": error,
        "beyond": "is" if abs(by) > 2 * error else "is not", "itself": proven_change(nets, first, last),
    }  # fmt: skip


def rise_and_fall(nets: pd.DataFrame, strengths: Mapping[str, float]) -> dict:
    """Follow accuracy and robustness along a path of kinds, from no regularisation to most.

    Parameters
    ----------
    nets : DataFrame
        Of ``summary``.
    strengths : mapping
        Kind → strength, rising from 0.

    Returns
    -------
    dict
        ``peak`` (strength of the highest mean accuracy); ``rise``, whether the worst network there is more accurate and
        more robust than the best without regularisation; ``fall``, whether at a stronger setting every network is more
        robust and less accurate than every one at the peak; the same in words; ``gain`` of accuracy at the peak, in
        points and pairs over seeds, with ``gain_low`` and ``gain_high``; median robustness ``rho_none``, ``rho_peak``
        and ``rho_most``, at strength ``most``, where accuracy has ``lost`` points; ``itself`` (``proven_change``).
    """
    kinds, values = list(strengths), list(strengths.values())
    accuracy, rho = (np.array([nets[name][nets.kind == kind] for kind in kinds]) for name in ("accuracy", "rho"))
    peak, most = int(accuracy.mean(axis=1).argmax()), int(rho.mean(axis=1).argmax())
    rise = bool(accuracy[peak].min() > accuracy[0].max() and rho[peak].min() > rho[0].max())
    falls = (accuracy.max(axis=1) < accuracy[peak].min()) & (rho.min(axis=1) > rho[peak].max())
    fall, gain = bool(falls[peak + 1 :].any()), 100 * (accuracy[peak] - accuracy[0])
    return {
        "peak": values[peak], "rise": rise, "fall": fall, "itself": proven_change(nets, kinds[0], kinds[peak]),
        "said_rise": "is" if rise else "is not", "said_fall": "is" if fall else "is not", "gain": gain.mean(),
        "gain_low": gain.min(), "gain_high": gain.max(), "rho_none": np.median(rho[0]),
        "rho_peak": np.median(rho[peak]), "rho_most": np.median(rho[most]), "most": values[most],
        "lost": 100 * np.mean(accuracy[most] - accuracy[peak]),
    }  # fmt: skip


def along(path: Mapping, seeds: int) -> str:
    """Say where the accuracy is highest on a path (``rise_and_fall``), and what follows."""
    if path["peak"] > 0.0:
        text = (
            f"the mean accuracy is highest at strength {path['peak']:g}, {path['gain']:+.2f} points from none in pairs "
            f"over {seeds} seeds ({path['gain_low']:+.2f} to {path['gain_high']:+.2f}), as the ρ found goes from "
            f"{path['rho_none']:.2f} to {path['rho_peak']:.2f} and ρ itself over these images {path['itself']}"
        )
    else:
        text = f"no strength has a higher mean accuracy than none, where the ρ found is {path['rho_none']:.2f}"
    if path["most"] == path["peak"]:
        return f"{text}; there the ρ found is largest, too"
    lost = abs(path["lost"])
    return f"{text}; at the largest ρ found, {path['rho_most']:.2f}, the accuracy is {lost:.2f} points lower"


def against_lbfgs(net: Network, x, *, margin: float, candidates: int) -> pd.DataFrame:
    """Set three bounds and three attacks on the same images side by side.

    Returns
    -------
    DataFrame, one row an image: norms ``as printed``, ``repaired``, ``tight``, ``converged attack``, ``L-BFGS`` (the
    least over the nearest classes) and ``L-BFGS in range``; NaN where an attack fails.
    """
    with threadpool_limits(1, "blas"):
        own = net.classify(x)
        aims = nearest_classes(net, x, own)[:, :candidates]
        found = backward_error_attack(net, x, own, margin=margin, candidates=candidates)
        methods = {"as printed": "peck", "repaired": "lipschitz", "tight": "local"}
        norms = {name: lower_bound(net, x, method=method).radius for name, method in methods.items()}
        norms["converged attack"] = np.where(found.success, found.l2, np.nan)
        for name, clip in {"L-BFGS": False, "L-BFGS in range": True}.items():
            tries = [lbfgs_attack(net, x, own, target=aim, clip=clip, margin=margin).l2 for aim in aims.T]
            norms[name] = np.fmin.reduce(tries)
    return pd.DataFrame(norms)


def quotients(norms: pd.DataFrame) -> pd.DataFrame:
    """Return every column of norms over L-BFGS': ``name``, ``mean`` norm, ``median``, ``low`` and ``high`` quotient."""
    rows = []
    for name, values in norms.items():
        low, middle, high = np.quantile(values / norms["L-BFGS"], (0, 0.5, 1)) if len(norms) else np.zeros(3)
        rows.append({"name": name, "mean": values.mean(), "median": middle, "low": low, "high": high})
    return pd.DataFrame(rows)
