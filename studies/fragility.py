"""Why perturbations are smaller on one set of images than on another (paper P, section 5): dimension and accuracy."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from bea import Network
from bea.attacks import smallest_epsilon
from bea.bounds.methods import lower_bound
from lab.datasets import Dataset

KINDS = {"found": "length", "bound": "printed κ₁"}
POOR, GOOD = 0.6, 0.97  # accuracies at which training stops
REFERENCE = "28×28", GOOD
CHANGES = {"dimension": ("32×32×3", GOOD), "accuracy": ("28×28", POOR), "both": ("32×32×3", POOR)}
KEYS = tuple(f"{kind}_{which}" for kind in KINDS for which in ("mean", "median"))


def set_quotients(measures: pd.DataFrame, published: Mapping[str, Mapping]) -> pd.DataFrame:
    """Divide what CIFAR-10 has by what the first set has, for all pairs of networks.

    ``measures`` has one row an image. Returns ``key``, ``kind`` ("found" or "bound"), ``which`` ("mean" or "median"),
    the quotient of the lengths, ``plain``, of lengths over the number of pixel values, ``divided``, and that of the
    ``paper``. Empty without CIFAR-10.
    """
    frames = [pd.DataFrame(columns=["key", "kind", "which", "plain", "divided", "paper"])]
    for kind, which in ((kind, which) for kind in KINDS for which in ("mean", "median")):
        by = measures.groupby(["set", "net"]).agg(length=(KINDS[kind], which), pixels=("pixels", "first"))
        each = {name: group for name, group in by.groupby("set")}
        if "cifar10" in each:
            plain, size = (each["cifar10"].to_numpy()[:, None] / each["mnist"].to_numpy()).reshape(-1, 2).T
            paper = published[kind]["cifar10"][which] / published[kind]["mnist"][which]
            row = {"key": f"{kind}_{which}", "kind": kind, "which": which, "plain": plain, "divided": plain / size}
            frames.append(pd.DataFrame(row | {"paper": paper}))
    return pd.concat(frames[1:] or frames)


def enlarged(x) -> np.ndarray:
    """Return images of 28×28 as 32×32×3, interpolated between pixel centres."""
    side = x.shape[1]
    at = np.clip((np.arange(32) + 0.5) * side / 32 - 0.5, 0, side - 1)
    low = np.minimum(at.astype(int), side - 2)
    weights = np.zeros((32, side), dtype=x.dtype)
    weights[np.arange(32), low] = 1 - (at - low)
    weights[np.arange(32), low + 1] = at - low
    return np.repeat((weights @ x @ weights.T)[..., None], 3, axis=3)


def causes(data: Dataset, *, stopped: int, compared: int, largest: float) -> pd.DataFrame:
    """Train a LeNet on digits of both sizes until two accuracies, all with one seed, and measure it.

    ``stopped`` is how often the accuracy is looked at at most. Returns ``size``, ``goal`` and reached ``accuracy``,
    ``images`` out of ``compared``, mean length ``found`` along the sign of the gradient by steps up to ``largest``,
    mean printed ``bound``, share ``missing`` for which nothing was found.
    """
    from lab import keras_models, training

    few, rows = slice(0, min(10000, 1024 * stopped)), []
    for size, form in (("28×28", lambda x: x[..., None]), ("32×32×3", enlarged)):
        test, labels = form(data.x_test[:compared]), data.y_test[:compared]
        part = replace(data, x_train=form(data.x_train[few]), y_train=data.y_train[few], x_test=test, y_test=labels)
        model = keras_models.lenet(test.shape[1:], seed=0)
        worker = keras_models.faster_lenet(model)
        for goal, batches in ((POOR, 2), (GOOD, 16)):
            pace = {"rate": 0.001, "batch_size": 64, "images": 64 * batches, "most": stopped}
            seen = training.train_until(model, part, goal, worker=worker, **pace)
            net, x = Network.from_keras(model, input_range=(0.0, 1.0)), test.astype(float)
            right = net.classify(x) == labels
            x, own = x[right], labels[right]
            length = smallest_epsilon(net, x, own, largest=largest, method="bisection", tolerance=1e-4).l2
            bound, some = lower_bound(net, x, own, method="peck").radius, np.isfinite(length)
            rows.append({
                "size": size, "goal": goal, "accuracy": seen[-1], "images": len(x),
                "found": length[some].mean() if some.any() else 0.0, "bound": bound.mean() if len(x) else 0.0,
                "missing": np.mean(~some) if len(x) else 1.0,
            })  # fmt: skip
    return pd.DataFrame(rows)


def effects(measured: pd.DataFrame) -> pd.DataFrame:
    """Return by what factor every ``change`` alters the mean length ``found`` and the mean ``bound``; of 0, zero."""
    means = measured.set_index(["size", "goal"])[list(KINDS)]
    before = means.loc[REFERENCE]
    rows = [(means.loc[after] / before.where(before > 0)).fillna(0.0) for after in CHANGES.values()]
    return pd.DataFrame({"change": list(CHANGES), **pd.DataFrame(rows).reset_index(drop=True)})


def direction(effect: pd.DataFrame, target: Mapping[str, float]) -> str:
    """Say whether dimension and accuracy alone change what is found in the direction of ``target``."""
    alike = {(factor < 1) == (target["found"] < 1) for factor in effect.found[:2]} if target else set()
    return {
        (): "in a direction that cannot be compared without CIFAR-10",
        (True,): "in the same direction as on CIFAR-10 for both causes",
        (False,): "in the opposite direction to CIFAR-10 for both causes",
    }.get(tuple(alike), "in the direction of CIFAR-10 for one cause only")
