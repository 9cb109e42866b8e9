"""The surveyed attacks on the same images: what they reach, how far they go, and how long they take."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linprog
from threadpoolctl import threadpool_limits

from bea import Network, attacks
from bea.attacks.loss import loss_gradient
from lab.second_opinion import classes_by
from lab.wording import by_row
from studies.duels import by_network

TITLES = {
    "fgsm": "FGSM, smallest ε", "iterated": "iterated, smallest ε", "lbfgs": "L-BFGS", "cw": "Carlini-Wagner",
    "saliency": "saliency map", "be": "backward error", "newton": "Newton, no range",
    "be_free": "backward error, no range",
}  # fmt: skip
RANGED = list(TITLES)[:6]  # these keep every pixel in its range
NORMS = {"linf": "ℓ∞: largest change of a pixel", "l2": "ℓ₂: length of the change", "l0": "ℓ₀: pixels changed"}
FUNCTIONS = {
    "fgsm": attacks.smallest_epsilon, "iterated": attacks.smallest_pgd, "lbfgs": attacks.lbfgs_attack,
    "cw": attacks.carlini_wagner, "saliency": attacks.saliency_attack, "be": attacks.backward_error_attack,
    "newton": attacks.newton_attack, "be_free": attacks.backward_error_attack,
}  # fmt: skip
GREY = 1 / 510  # half a grey level: what changes less is not counted as a changed pixel


def run(name: str, net: Network, file: Path | None, x, label, target=None, *, margin: float):
    """Run the attack of this name: its result, which successes Keras confirms (n,), and milliseconds an image."""
    options = {"clip": True} if name in ("fgsm", "iterated", "lbfgs", "cw", "be") else {}
    options |= {} if name in ("fgsm", "iterated") else {"margin": margin}
    began = time.process_time()
    with threadpool_limits(1, "blas"):  # another chapter has the other core
        result = FUNCTIONS[name](net, x, label, target=target, **options)
    spent = 1e3 * (time.process_time() - began) / len(x)
    found = classes_by(file, net, x + np.nan_to_num(result.dx))
    return result, result.success & (found != label if target is None else found == target), spent


def compare(
    nets: Mapping[str, Network], files: Mapping[str, Path | None], x, label, target=None, *, margin: float
) -> pd.DataFrame:
    """Run every attack on every network, towards targets or, without, away from the label.

    One row an image, attack and network: ``net``, ``attack`` (key of ``TITLES``), ``success`` (says the
    network), ``won`` (says Keras too, where there is a file), ``in_range`` (all pixels), ``pixels`` (that change at
    all), and, NaN unless won, ``l0`` (pixels that change by more than half a grey level), ``l2`` and ``linf`` (in units
    of the pixels); ``ms`` (processor time of the whole batch, in milliseconds an image).
    """
    frames = []
    for title, net in nets.items():
        for name in TITLES:
            result, won, spent = run(name, net, files[title], x, label, target, margin=margin)
            changed = (x + np.nan_to_num(result.dx)).reshape(len(x), -1)
            pixels = np.sum(np.abs(result.dx).reshape(len(x), -1) > GREY, axis=1)
            norms = {"l0": pixels, "l2": result.l2, "linf": result.linf}
            columns = {"net": title, "attack": name, "success": result.success, "won": won}
            columns["in_range"] = (changed.min(axis=1) >= net.input_range[0]) & (
                changed.max(axis=1) <= net.input_range[1]
            )
            columns |= {"pixels": result.l0, "ms": spent}
            frames.append(pd.DataFrame(columns | {norm: np.where(won, size, np.nan) for norm, size in norms.items()}))
    return pd.concat(frames, ignore_index=True)


def changes(names, net: Network, file: Path | None, x, label, target, *, margin: float) -> dict[str, np.ndarray]:
    """Return the change of every image by each of these attacks, (n, …); NaN where Keras does not confirm it."""
    found = {name: run(name, net, file, x, label, target, margin=margin) for name in names}
    return {name: np.where(won[:, None, None], result.dx, np.nan) for name, (result, won, _) in found.items()}


def summary(attacked: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network and attack: ``success`` (share), medians of ``l0``, ``l2``, ``linf`` (0: none), ``ms``."""
    groups = attacked.groupby(["net", "attack"], sort=False)
    medians = groups[["l0", "l2", "linf"]].median().fillna(0.0)
    return pd.concat([groups.won.mean().rename("success"), medians, groups.ms.first()], axis=1).reset_index()


def quoted(table: pd.DataFrame) -> dict[str, dict]:
    """Return a summary as network → attack → numbers."""
    groups = table.groupby("net", sort=False)
    return {net.replace(" ", "-"): by_row(rows.drop(columns="net"), "attack") for net, rows in groups}


def witnesses(*runs: pd.DataFrame) -> dict[str, int]:
    """Count what succeeds, what Keras confirms, and the batches of one attack on one network that keep to the range."""
    batches = [frame[frame.attack.isin(RANGED)].groupby(["net", "attack"]).in_range.all() for frame in runs]
    return {
        "asked": sum(map(len, runs)), "successes": sum(frame.success.sum() for frame in runs),
        "confirmed": sum(frame.won.sum() for frame in runs), "kept": sum(batch.sum() for batch in batches),
        "ranged": sum(map(len, batches)),
    }  # fmt: skip


def relative_lengths(attacked: pd.DataFrame, names, over: str) -> pd.DataFrame:
    """Compare Euclidean lengths of some attacks, image by image, with those of the attack ``over``.

    One row a network and attack: ``net``, ``attack``, ``success`` (share), and of the quotient of lengths
    ``median``, quantiles ``q05`` and ``q95``, and ``shorter``, the share that is shorter by a thousandth or more.
    """
    rows = []
    for net, own in attacked.groupby("net", sort=False):
        lengths = {name: group.l2.to_numpy() for name, group in own.groupby("attack")}
        for name in names:
            quotient = lengths[name] / lengths[over]
            quotient = quotient[np.isfinite(quotient)]
            low, median, high = np.quantile(quotient, [0.05, 0.5, 0.95]) if quotient.size else np.zeros(3)
            rows.append({
                "net": net, "attack": name, "success": own.won[own.attack == name].mean(), "median": median,
                "q05": low, "q95": high, "shorter": np.mean(quotient < 1 - 1e-3) if quotient.size else 0.0,
            })  # fmt: skip
    return pd.DataFrame(rows)


def duels(runs: Mapping[str, pd.DataFrame], *, by: float) -> pd.DataFrame:
    """Set every attack beside the one by backward error that has the same range, image by image.

    ``runs`` has tables of ``compare``, aim → table. Returns rows as of ``studies.duels.by_network``; the competitors'
    names say the aim, and the range where there is one. Without a range ours is exact on the network "one layer".
    """
    frames = []
    for aim, attacked in runs.items():
        numbered = attacked.assign(image=attacked.groupby(["net", "attack"]).cumcount())
        lengths = numbered.pivot(index=["net", "image"], columns="attack", values="l2").reset_index()
        ranged = {name: f"{TITLES[name]} ({aim}, range)" for name in RANGED if name != "be"}
        frames += [
            by_network(lengths, "be", ranged, by=by),
            by_network(lengths, "be_free", {"newton": f"Newton ({aim})"}, by=by, exact=["one layer"]),
        ]
    return pd.concat(frames, ignore_index=True)


def fixed_steps(net: Network, file: Path | None, x, label, target, epsilons, *, many: int) -> pd.DataFrame:
    """Run one gradient sign step and ``many`` projected ones at equal ε, clipped to the range.

    One row a step: ``epsilon`` (full scale of a pixel = 1); shares of images fooled ``one_any`` and
    ``many_any`` (into any class), ``one_target`` and ``many_target``; mean processor time ``one_seconds`` and
    ``many_seconds``; successes ``asked`` and how many of them Keras confirms, ``agree``.
    """
    rows = []
    for epsilon in epsilons:
        row = {"epsilon": epsilon, "one_seconds": 0.0, "many_seconds": 0.0, "agree": 0, "asked": 0}
        for method, function, options in (("one", attacks.fgsm, {}), ("many", attacks.pgd, {"steps": many})):
            for aim, goal in (("any", None), ("target", target)):
                began = time.process_time()
                result = function(net, x, label, epsilon, target=goal, clip=True, **options)
                row[f"{method}_seconds"] += (time.process_time() - began) / 2
                row[f"{method}_{aim}"] = result.success.mean()
                agree = classes_by(file, net, x + result.dx) == result.found
                row["agree"] += np.sum(agree & result.success)
                row["asked"] += np.sum(result.success)
        rows.append(row)
    return pd.DataFrame(rows)


def linear_programmes(net: Network, x, label, *, epsilon: float) -> np.ndarray:
    """Return optima of the linearised loss over what sign steps attain, less 1, without and with the range, (2n,)."""
    slopes, pixels = loss_gradient(net, x, label).reshape(len(x), -1), x.reshape(len(x), -1)
    excess = []
    for clip in (False, True):
        steps = attacks.fgsm(net, x, label, epsilon, clip=clip).dx.reshape(len(x), -1)
        for g, step, image in zip(slopes, steps, pixels, strict=True):
            low, high = np.full_like(g, -epsilon), np.full_like(g, epsilon)
            if clip:
                low, high = np.maximum(low, net.input_range[0] - image), np.minimum(high, net.input_range[1] - image)
            size = np.abs(g).max()  # the solver's tolerances are absolute
            best = -linprog(-g / size, bounds=np.column_stack([low, high])).fun * size
            excess.append(best / (g @ step) - 1)
    return np.array(excess)


def signs(net: Network, x, label, target, *, size: float) -> dict[str, float]:
    """Take one step with either sign of eq. (6).

    Returns shares: of images that reach the target with -L of the target as printed, ``away``, and with +L,
    ``towards``; and of those that leave the label with -L of the label, ``label``.
    """
    away = attacks.fgsm(net, x, target, size, clip=True).found == target
    towards = attacks.fgsm(net, x, label, size, target=target, clip=True).found == target
    left = attacks.fgsm(net, x, label, size, clip=True).success
    return {"away": away.mean(), "towards": towards.mean(), "label": left.mean()}


def pixel_rules(nets: Mapping[str, Network], attacked: pd.DataFrame, x, label, target, *, some: int, margin, seed):
    """Compare greedy with the map as printed and with pixels picked at random, these on the first ``some`` images.

    One row a network: ``net``; medians of the pixels changed, ``greedy``, ``printed`` and ``random`` (0: no
    success), and shares of success ``greedy_success``, ``printed_success``, ``random_success``.
    """
    rows, options = [], {"target": target, "margin": margin}
    few = {"target": target[:some], "margin": margin, "rule": "random", "take_back": False, "seed": seed}
    for title, net in nets.items():
        own = attacked[(attacked.net == title) & (attacked.attack == "saliency")]
        found = {
            "printed": attacks.saliency_attack(net, x, label, rule="printed", **options),
            "random": attacks.saliency_attack(net, x[:some], label[:some], **few),
        }
        pixels = {"greedy": own.pixels} | {rule: pd.Series(result.l0) for rule, result in found.items()}
        row = {"net": title} | {rule: np.nan_to_num(count.median()) for rule, count in pixels.items()}
        row |= {f"{rule}_success": result.success.mean() for rule, result in found.items()}
        rows.append(row | {"greedy_success": own.won.mean()})
    return pd.DataFrame(rows)


def subsets(net: Network, greedy, x, label, target, *, margin: float) -> pd.DataFrame:
    """Compare the pixels ``greedy`` (n,) changes with the fewest there are, on an affine network.

    One row an image: ``greedy``, ``best`` (NaN: none found), ``proved`` (by the solver).
    """
    best = attacks.fewest_pixels(net, x, label, target=target, margin=margin)
    return pd.DataFrame({"greedy": np.asarray(greedy), "best": best.l0, "proved": best.proved})
