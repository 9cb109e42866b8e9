"""Newton's method for the attack by a penalty, against gradient descent, L-BFGS and the nearest point."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from bea import Network, attack
from bea.attacks import lbfgs_attack, newton_attack
from bea.attacks.newton import Minimum, NewtonResult, minimise
from bea.numerics.arrays import image_norms
from lab.witnesses import keras_classes

MOST_STEPS = {"newton": 100, "gradient": 3000}


@dataclass(frozen=True, eq=False)
class Run:
    """Newton's attack on n images, ``whole``, and ``minima`` of its sum at the weights that it found.

    These are by "newton" and by "gradient", from zero, for the images on which the attack succeeds; ``target`` is (n,),
    and ``seconds`` the processor time of each of the three.
    """

    target: np.ndarray
    whole: NewtonResult
    minima: dict[str, Minimum]
    seconds: dict[str, float]


def newton_runs(nets: Mapping[str, Network], x, targets, *, margin: float, halvings: int) -> dict[str, Run]:
    """Run Newton's attack on every network, and both methods at the weights it found, each towards its ``targets``."""
    runs = {}
    for (name, net), target in zip(nets.items(), targets, strict=True):
        present, seconds, minima = net.classify(x), {}, {}
        with threadpool_limits(1, "blas"):  # the matrices are small, and threads would wait for each other
            began = time.process_time()
            whole = newton_attack(net, x, present, target=target, margin=margin, halvings=halvings)
            seconds["whole"], won = time.process_time() - began, np.flatnonzero(whole.success)
            some, options = (x[won], present[won], whole.weight[won]), {"target": target[won], "tolerance": 1e-6}
            for method, steps in MOST_STEPS.items():
                began = time.process_time()
                found = minimise(net, *some, method=method, steps=steps, **options)
                seconds[method] = time.process_time() - began
                norms = found.gradient_norms[:, : found.iterations.max(initial=0) + 1]
                minima[method] = replace(found, gradient_norms=norms)
        runs[name] = Run(target, whole, minima, seconds)
    return runs


def random_targets(nets: Mapping[str, Network], x, rng) -> list[np.ndarray]:
    """Return for every network a random class of each image, other than the present one."""
    return [(net.classify(x) + rng.integers(1, net.classes, len(x))) % net.classes for net in nets.values()]


def per_image(runs: Mapping[str, Run]) -> pd.DataFrame:
    """Return what came of both methods, a row a ``net``, ``method`` and image.

    ``length`` of Δx (pixels 0 to 1), ``value`` of the sum, ``converged``, ``iterations``, ``evaluations``,
    ``products``, ``time`` (processor, of the whole batch, in milliseconds an image).
    """
    counts = ("value", "converged", "iterations", "evaluations", "products")
    return pd.concat([
        pd.DataFrame({"net": name, "method": method, "length": image_norms(found.dx)}
                     | {count: getattr(found, count) for count in counts}
                     | {"time": 1e3 * run.seconds[method] / max(len(found.dx), 1)})
        for name, run in runs.items() for method, found in run.minima.items()
    ], ignore_index=True)  # fmt: skip


def methods_table(images: pd.DataFrame) -> pd.DataFrame:
    """Return medians over the images, a row a ``net`` and ``method``; the mean of ``converged``."""
    groups = images.groupby(["net", "method"], sort=False)
    medians = groups[["length", "iterations", "evaluations", "products", "time"]].median()
    return medians.assign(converged=groups.converged.mean()).reset_index()


def same_minima(images: pd.DataFrame) -> pd.DataFrame:
    """Compare the minima, a row a ``net``: Newton's length over the gradient's, ``quotient`` (median) and ``longest``.

    ``lower`` is the share of images on which Newton's sum is the same or lower, ``converged`` that on which it
    converged, ``won`` their number; ``newton`` and ``gradient`` are median steps.
    """
    rows = []
    for name, one in images.groupby("net", sort=False):
        newton, gradient = (one[one.method == method].reset_index() for method in MOST_STEPS)
        quotient = newton.length / gradient.length
        rows.append({
            "net": name, "quotient": quotient.median(), "longest": quotient.max(),
            "lower": np.mean(newton.value <= gradient.value + 1e-6 * gradient.value.abs()), "won": len(newton),
            "converged": newton.converged.mean(), "newton": newton.iterations.median(),
            "gradient": gradient.iterations.median(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def quoted(methods: pd.DataFrame, minima: pd.DataFrame) -> dict[str, dict]:
    """Return both tables as network (blanks underlined) → method → numbers, and what compares the methods."""
    both = {net: rows.drop(columns="net").set_index("method").T.to_dict() for net, rows in methods.groupby("net")}
    compared = minima.set_index("net")[["quotient", "longest", "lower", "won"]].to_dict("index")
    return {net.replace(" ", "_"): both[net] | compared[net] for net in both}


def residuals(runs: Mapping[str, Run]) -> pd.DataFrame:
    """Return quartiles ``low``, ``middle``, ``high`` of the residual relative to the start: a row a method and step."""
    frames = []
    for name, run in runs.items():
        for method, found in run.minima.items():
            norms = found.gradient_norms
            last = np.take_along_axis(norms, found.iterations[:, None], 1)  # what has converged stays where it is
            quartiles = np.quantile(np.where(np.isnan(norms), last, norms) / norms[:, :1], (0.25, 0.5, 0.75), axis=0)
            columns = {"net": name, "method": method, "step": np.arange(1, norms.shape[1] + 1)}
            frames.append(pd.DataFrame(columns | dict(zip(("low", "middle", "high"), quartiles, strict=True))))
    return pd.concat(frames, ignore_index=True)


def orders(runs: Mapping[str, Run]) -> pd.DataFrame:
    """Return the median ``order`` of convergence from the last three residuals near the minimum, a row a method.

    ``images`` are those with three falling residuals below a tenth of the first and above rounding.
    """
    rows = []
    for name, run in runs.items():
        for method, found in run.minima.items():
            near = [norms[(norms < 0.1 * norms[0]) & (norms > 1e-12)][-3:] for norms in found.gradient_norms]
            r = np.log([norms for norms in near if len(norms) == 3 and norms[2] < norms[1] < norms[0]]).reshape(-1, 3)
            order = np.median((r[:, 2] - r[:, 1]) / (r[:, 1] - r[:, 0])) if len(r) else 0.0
            rows.append([name, method, order, len(r)])
    return pd.DataFrame(rows, columns=["net", "method", "order", "images"])


def rivals(nets: Mapping[str, Network], runs: Mapping[str, Run], x, *, margin, halvings, others) -> pd.DataFrame:
    """Attack the same targets by L-BFGS, the first ``others`` images, and by backward error.

    One row an image: ``net``; lengths (pixels 0 to 1; NaN without success) by ``newton``, ``lbfgs`` and
    ``nearest``, backward error; ``share``, the runner-up's of the probability that the target leaves after Newton's;
    of the batch, processor time in milliseconds an image, ``newton_ms``, ``lbfgs_ms``, ``nearest_ms``.
    """
    frames = []
    for name, net in nets.items():
        run, present, few = runs[name], net.classify(x), slice(others)
        with threadpool_limits(1, "blas"):
            times = [time.process_time()]
            quasi = lbfgs_attack(
                net, x[few], present[few], target=run.target[few], margin=margin, halvings=halvings, tolerance=1e-12,
                processes=1,
            )  # fmt: skip
            times.append(time.process_time())
            nearest = attack(net, x, run.target, "input", method="converged", margin=margin)
            times.append(time.process_time())
        y = net(x + np.nan_to_num(run.whole.dx))
        wrong = np.where(np.arange(net.classes) == run.target[:, None], -np.inf, y)
        columns = {
            "net": name, "newton": np.where(run.whole.success, run.whole.l2, np.nan),
            "lbfgs": np.resize(np.append(np.where(quasi.success, quasi.l2, np.nan), np.full(len(x), np.nan)), len(x)),
            "nearest": np.where(nearest.success, image_norms(nearest.perturbation.dx), np.nan),
            "share": 1.0 / np.exp(wrong - wrong.max(axis=1, keepdims=True)).sum(axis=1),
            "newton_ms": 1e3 * run.seconds["whole"] / len(x),
            "lbfgs_ms": 1e3 * (times[1] - times[0]) / len(quasi.success),
            "nearest_ms": 1e3 * (times[2] - times[1]) / len(x),
        }  # fmt: skip
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def excess(attacked: pd.DataFrame, alone: float = 0.9) -> pd.DataFrame:
    """Say how much longer Newton's changes are than the nearest, a row a ``net``, over images on which both succeed.

    Columns: ``success`` (share, of Newton's attack), ``lbfgs`` (Newton's length over L-BFGS', median),
    ``excess`` and ``excess_high`` (median and 95 % quantile of the quotient, less 1), ``least`` quotient, ``rank``
    (correlation of the excess with 1 - share), ``alone`` (part of the images on which the runner-up has this share at
    least), ``excess_alone`` and ``excess_rest`` (medians on these, and on the others; 0 where there are none).
    """
    rows = []
    for name, one in attacked.groupby("net", sort=False):
        ratio = (one.newton / one.nearest).dropna()
        share = one.share[ratio.index]
        parts = [ratio[share >= alone], ratio[share < alone]]
        medians = [part.median() - 1 if len(part) else 0.0 for part in parts]
        rows.append({
            "net": name, "success": one.newton.notna().mean(), "lbfgs": (one.newton / one.lbfgs).median(),
            "excess": ratio.median() - 1, "excess_high": ratio.quantile(0.95) - 1, "least": ratio.min(),
            "rank": spearmanr(1 - share, ratio - 1).statistic, "alone": len(parts[0]) / len(ratio),
            "excess_alone": medians[0], "excess_rest": medians[1],
        })  # fmt: skip
    return pd.DataFrame(rows)


def rivals_table(attacked: pd.DataFrame, others: int) -> pd.DataFrame:
    """Return a row a ``net`` and ``attack``: ``success`` (share), ``length`` (median on the first images), ``ms``."""
    few, rows = attacked.groupby("net").head(others), []
    for name, one in attacked.groupby("net", sort=False):
        own = few[few.net == name]
        for attack_name in ("newton", "lbfgs", "nearest"):
            given = own if attack_name == "lbfgs" else one
            spent = one[f"{attack_name}_ms"].iloc[0]
            rows.append([name, attack_name, given[attack_name].notna().mean(), own[attack_name].median(), spent])
    return pd.DataFrame(rows, columns=["net", "attack", "success", "length", "ms"])


def confirmed(nets: Mapping[str, Network], files: Mapping[str, Path | None], runs: Mapping[str, Run], x):
    """Count successes that Keras was ``asked`` about, those where it does ``agree``, and images ``outside`` range."""
    counts = {"agree": 0, "asked": 0, "outside": 0}
    for name, run in runs.items():
        won = run.whole.success
        changed = (x + run.whole.dx)[won]
        counts["agree"] += np.sum(keras_classes(files[name], changed, nets[name]) == run.target[won])
        counts["asked"] += np.sum(won)
        counts["outside"] += np.sum(((changed < 0) | (changed > 1)).any(axis=(1, 2)))
    return counts
