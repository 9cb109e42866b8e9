"""Models of one affine map: the gradient sign step on 3 against 7, and the smallest changes of softmax regressions."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linprog
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from bea import Dense, Flatten, Network, attack
from bea.attacks import fgsm, pgd, smallest_change, smallest_epsilon, worst_change
from lab.datasets import Dataset
from lab.shares import shares_up_to
from lab.witnesses import keras_classes

TITLES = {"tanh": "tanh", "tanh-tanh": "tanh, tanh", "relu": "ReLU"}


def pair_of(data: Dataset) -> Dataset:
    """Return the 3s and 7s of a dataset, as classes 0 and 1."""
    parts = {}
    for split in ("train", "test"):
        x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        chosen = np.isin(y, (3, 7))
        parts |= {f"x_{split}": x[chosen], f"y_{split}": (y[chosen] == 7).astype(int)}
    return replace(data, **parts)


def penalised(pair: Dataset, penalties) -> dict[str, Network]:
    """Minimise the mean loss plus ``λ/2 ‖w‖²`` for every λ: strictly convex in w, so there is one solution and no seed.

    The weights are those of single precision, as Keras has them.
    """
    flat, nets = pair.x_train.reshape(len(pair.x_train), -1).astype(float), {}
    for penalty in penalties:
        C = 1 / (penalty * len(flat))  # scikit-learn's name for the inverse, and its sum
        found = LogisticRegression(C=C, max_iter=1000).fit(flat, pair.y_train)
        halves = np.outer([-0.5, 0.5], np.append(found.coef_[0], found.intercept_))
        layers = (Flatten(), Dense(halves.astype("f4").astype(float)))
        nets[f"λ = {penalty:g}/0"] = Network(layers, (28, 28), input_range=(0.0, 1.0))
    return nets


def steps(nets: Mapping[str, Network], x, labels) -> pd.DataFrame:
    """Find the smallest step along the sign of the gradient that fools each model, with and without the range.

    Returns
    -------
    DataFrame, one row a model, range and image: ``recipe`` (the model's name up to "/"), ``net``, ``clip``, ``epsilon``
    (units of the pixels; infinite where no step does).
    """
    frames = []
    with threadpool_limits(1, "blas"):  # the matrices are small
        for name, net in nets.items():
            for clip in (False, True):
                found = smallest_epsilon(net, x, labels, clip=clip).epsilon
                columns = {"recipe": name.rpartition("/")[0], "net": name, "clip": clip}
                frames.append(pd.DataFrame(columns | {"epsilon": np.where(np.isnan(found), np.inf, found)}))
    return pd.concat(frames, ignore_index=True)


def errors(nets: Mapping[str, Network], x, labels, epsilon: float) -> pd.DataFrame:
    """Count what each model, in Keras, gets wrong before and after the gradient sign step.

    Returns
    -------
    DataFrame, one row a model: ``recipe``, ``net``; shares ``error`` (before), ``step`` (after), ``clipped`` (after,
    pixels kept in their range); ``agree`` of ``asked`` changed images are judged by Keras as by the network itself.
    """
    rows = []
    for name, net in nets.items():
        row = {"recipe": name.rpartition("/")[0], "net": name, "agree": 0, "asked": 0}
        row["error"] = np.mean(keras_classes(None, x, net) != labels)
        for key, clip in (("step", False), ("clipped", True)):
            found = fgsm(net, x, labels, epsilon, clip=clip)
            fooled = keras_classes(None, x + found.dx, net) != labels
            row["agree"] += np.sum(fooled == found.success)
            row["asked"] += len(x)
            row[key] = np.mean(fooled)
        rows.append(row)
    return pd.DataFrame(rows)


def recipes_near(medians: pd.DataFrame, limits: Mapping[str, float], keys, within: float) -> str:
    """Name the recipes, rows of ``medians``, of which these ``keys`` are all less than ``within`` off the limits."""
    near = [(100 * medians[key] - 100 * limits[key]).abs() < 100 * within for key in keys]
    return ", ".join(medians.index[np.all(near, axis=0)]) or "none"


def share_fooled(table: pd.DataFrame, grid) -> np.ndarray:
    """Return the share of images fooled by steps up to every size of a grid, (models, sizes), of some ``steps``."""
    return shares_up_to([own.epsilon for _, own in table.groupby("net", sort=False)], grid)


def lead(net: Network, x, labels) -> np.ndarray:
    """Return the lead of the label over the other of two classes, (n,)."""
    logits = net(x)
    return np.where(labels == 1, 1, -1) * (logits[:, 1] - logits[:, 0])


def closed_forms(nets: Mapping[str, Network], x, labels, epsilon: float) -> dict[str, float]:
    """Compare the lead after the step, clipped and not, and the smallest step, with their closed forms.

    Returns
    -------
    dict
        Largest differences ``closed``, ``clipped`` and ``smallest`` over models and images; ``unproved`` steps.
    """
    low, high = np.maximum(-epsilon, -x), np.minimum(epsilon, 1 - x)
    gap, unproved = dict.fromkeys(("closed", "clipped", "smallest"), 0.0), 0
    for net in nets.values():
        kernel = net.weighted[0].kernel
        g = (kernel[labels] - kernel[1 - labels]).reshape(x.shape)
        m, size = lead(net, x, labels), np.abs(g).sum(axis=(1, 2))
        changes = {"closed": -epsilon * size, "clipped": np.minimum(g * low, g * high).sum(axis=(1, 2))}
        for key, change in changes.items():
            step = fgsm(net, x, labels, epsilon, clip=key == "clipped")
            gap[key] = max(gap[key], np.abs(lead(net, x + step.dx, labels) - m - change).max())
        found = smallest_epsilon(net, x, labels)
        difference = np.abs(found.epsilon - np.maximum(m / size, 0))
        gap["smallest"] = max(gap["smallest"], np.nanmax(difference, initial=0.0))
        unproved += np.sum(~found.proved)
    return gap | {"unproved": unproved}


def harm(
    nets: Mapping[str, Network], x, labels, epsilon: float, *, radius: float, programmes: int, points: int
) -> dict:
    """Look for anything in the box that does more harm than the step, for the first model and for all.

    Parameters
    ----------
    radius : float
        Another size of the box, at which forty steps are compared with one as well.
    programmes : int
        Images for which the least lead over the box, and the box cut with [0, 1], is found by linear programming.
    points : int
        Random changes tried on each of twenty images and for each model, and as many corners.

    Returns
    -------
    dict
        ``programme`` (largest difference of a lead from the programme's optimum), ``programmes`` (solved), ``better``
        of ``drawn`` points that do more harm, ``share`` (most harm of one over that of the step), ``differs`` of
        ``tried`` attacks in which forty steps decide otherwise than one.
    """
    some = np.linspace(0, len(x) - 1, min(programmes, len(x))).astype(int)
    few, net, rng = some[:: max(1, len(some) // 20)][:20], next(iter(nets.values())), np.random.default_rng(0)
    worst = [worst_change(net, x[some], labels[some], epsilon, clip=clip).lead for clip in (False, True)]
    optimum = np.array([_least_leads(net, x[i], labels[i], epsilon) for i in some]).T

    tried = [
        [f(net, x, labels, size, clip=clip).success for f in (fgsm, pgd)]
        for size in {epsilon, radius} - {0.0, np.inf}
        for clip in (False, True)
    ]
    better, share = 0, 0.0
    for one in nets.values():
        least = worst_change(one, x[few], labels[few], epsilon).lead
        for i, bound in zip(few, least, strict=True):
            inner = rng.uniform(-epsilon, epsilon, (points, *x.shape[1:]))
            leads = lead(one, x[i] + np.concatenate([inner, epsilon * np.sign(inner)]), labels[i])
            m = lead(one, x[i][None], labels[i])[0]
            better += np.sum(leads < bound - 1e-9)
            share = max(share, (m - leads.min()) / (m - bound))
    return {
        "programme": np.abs(optimum - worst).max(), "programmes": optimum.size, "better": better, "share": share,
        "drawn": 2 * points * len(few) * len(nets), "differs": sum(np.sum(a != b) for a, b in tried),
        "tried": sum(len(a) for a, _ in tried),
    }  # fmt: skip


def _least_leads(net, image, label, epsilon) -> list[float]:
    """Return the least lead over the box, and over what of it lies in [0, 1], of one image by linear programming."""
    kernel = net.weighted[0].kernel
    g, m = kernel[label] - kernel[1 - label], lead(net, image[None], label)[0]
    cut = np.column_stack([np.maximum(-epsilon, -image).ravel(), np.minimum(epsilon, 1 - image).ravel()])
    return [m + linprog(g, bounds=bounds).fun for bounds in ((-epsilon, epsilon), cut)]


def shape(nets: Mapping[str, Network], pair: Dataset) -> tuple[pd.DataFrame, dict[str, float]]:
    """Compare the weights, "7" less "3", with the mean 7 less the mean 3.

    Returns
    -------
    DataFrame, one row a model: ``recipe``, ``cosine`` of the two, ``same`` (share of inked pixels with the same sign),
    ``share`` of ‖w‖₁ on pixels that are blank in all training images.
    dict
        ``blank`` pixels, and the root mean square cosine of random weights, ``chance``.
    """
    flat = pair.x_train.reshape(len(pair.x_train), -1).astype(float)
    difference = flat[pair.y_train == 1].mean(axis=0) - flat[pair.y_train == 0].mean(axis=0)
    blank, rows = ~flat.any(axis=0), []
    for name, net in nets.items():
        w = net.weighted[0].kernel[1] - net.weighted[0].kernel[0]
        rows.append({
            "recipe": name.rpartition("/")[0],
            "cosine": w @ difference / np.linalg.norm(w) / np.linalg.norm(difference),
            "same": np.mean((w * difference > 0)[~blank]), "share": np.abs(w[blank]).sum() / np.abs(w).sum(),
        })  # fmt: skip
    return pd.DataFrame(rows), {"blank": np.sum(blank), "chance": 1 / np.sqrt(difference.size)}


def panels(net: Network, x, labels, epsilon: float, side: int = 5) -> pd.DataFrame:
    """Pick images of both classes in turn, and say what Keras makes of them before and after the step.

    Returns
    -------
    DataFrame, one row an image: ``image``, ``label``, ``before``, ``after`` (classes).
    """
    half = side * side // 2
    shown = np.concatenate([np.flatnonzero(labels == k)[: half + k] for k in (0, 1)])
    shown = shown[np.argsort(np.arange(len(shown)) % (half + 1), kind="stable")]
    dx = fgsm(net, x[shown], labels[shown], epsilon).dx
    before, after = (keras_classes(None, images, net) for images in (x[shown], x[shown] + dx))
    return pd.DataFrame({"image": shown, "label": labels[shown], "before": before, "after": after})


def stepped(net: Network, x, labels, epsilon: float) -> np.ndarray:
    """Return images (n, …) after the gradient sign step."""
    return x + fgsm(net, x, labels, epsilon).dx


def tiled(images, side: int, band: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Put images (n, 28, 28) into ``side`` rows, ``band`` free pixels above each, and say where to write."""
    tiles, places = np.full((side * (28 + band), side * 28), np.nan), []
    for k, image in enumerate(images):
        row, column = (28 + band) * (k // side) + band, 28 * (k % side)
        tiles[row : row + 28, column : column + 28] = image
        places.append((column + 14, row - 1))
    return tiles, places


def smallest_changes(
    nets: Mapping[str, Network], files: Mapping[str, Path | None], x, labels, *, margin: float
) -> pd.DataFrame:
    """Find the exact smallest changes of affine networks of several classes, in two norms, and put them into Keras.

    Returns
    -------
    DataFrame, one row a network and image: ``net``, ``given`` (class), ``right``, ``relative`` (Euclidean distance of
    the boundary over ‖x‖), ``largest`` (distance in the maximum norm, units of the pixels), ``nearest`` (class there),
    ``longer`` (part by which the change with the margin, in logits, exceeds the distance; NaN on the boundary),
    ``keras_2``, ``keras_inf`` (whether Keras gives the changed image another class).
    """
    sizes, frames = np.linalg.norm(x.reshape(len(x), -1), axis=1), []
    for name, net in nets.items():
        given = net.classify(x)
        found = {key: smallest_change(net, x, given, norm=n, margin=margin) for key, n in (("2", 2), ("inf", np.inf))}
        keras = {
            f"keras_{key}": change.success & (keras_classes(files[name], x + change.dx, net) != given)
            for key, change in found.items()
        }
        two, largest = found["2"], found["inf"]
        with np.errstate(divide="ignore", invalid="ignore"):
            longer = np.where(two.radius > 0, two.l2 / two.radius - 1, np.nan)
        columns = {
            "net": name, "given": given, "right": given == labels, "relative": two.radius / sizes,
            "largest": largest.radius, "nearest": largest.found, "longer": longer,
        }  # fmt: skip
        frames.append(pd.DataFrame(columns | keras))
    return pd.concat(frames, ignore_index=True)


def converged_changes(nets: Mapping[str, Network], files: Mapping[str, Path], x, *, margin: float) -> pd.DataFrame:
    """Find the shortest of the converged attacks on the input, one for each other class.

    Returns
    -------
    DataFrame, one row a network and image: ``net``, ``relative`` (length over ‖x‖), ``success`` (of all attacks on the
    image), ``keras`` (whether Keras gives the changed image another class).
    """
    sizes, frames = np.linalg.norm(x.reshape(len(x), -1), axis=1), []
    for name, net in nets.items():
        given, others = net.classify(x), net.classes - 1
        targets = (given[:, None] + np.arange(1, net.classes)) % net.classes
        images = np.repeat(x, others, axis=0)
        found = attack(net, images, targets.ravel(), "input", method="converged", margin=margin)
        dx = found.perturbation.dx.reshape(*targets.shape, *x.shape[1:])
        lengths = np.linalg.norm(dx.reshape(*targets.shape, -1), axis=2)
        success = found.success.reshape(targets.shape)
        lengths[~success] = np.inf
        best = np.arange(len(x)), lengths.argmin(axis=1)
        keras = keras_classes(files[name], x + dx[best], net) != given
        columns = {"net": name, "relative": lengths[best] / sizes, "success": success.all(axis=1), "keras": keras}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def beside_shallow(changes: pd.DataFrame, base: str, deeper) -> tuple[pd.DataFrame, pd.Series]:
    """Compare the lengths of changes image by image, in the median over the networks of a title.

    Parameters
    ----------
    changes : DataFrame
        One row a network and image, in the order of the images: ``net``, ``title``, ``relative``.
    base : str
        Title of the shallow networks.
    deeper : iterable of str
        Titles of the others.

    Returns
    -------
    DataFrame
        By title of the others: ``ratio`` to the shallow ones' length (median over the images), ``nearer`` (share of the
        images on which the shallow ones' is the shorter), ``median`` length.
    Series
        The shallow ones' length, image by image.
    """
    image = changes.groupby("net", sort=False).cumcount().rename("image")
    typical = changes.groupby([changes.title, image], sort=False).relative.median().unstack("image")
    own, others = typical.loc[base], typical.loc[list(deeper)]
    columns = {"ratio": (others / own).median(axis=1), "nearer": (others > own).mean(axis=1)}
    return pd.DataFrame(columns | {"median": others.median(axis=1)}), own


def nearest_image(data: Dataset, x, labels) -> np.ndarray:
    """Return the distance to the nearest training image of another class, over ‖x‖, (n,)."""
    train = data.x_train.reshape(len(data.x_train), -1)
    flat = x.reshape(len(x), -1)
    squares = np.vecdot(train, train) - 2 * flat.astype(train.dtype) @ train.T
    squares[labels[:, None] == data.y_train] = np.inf
    sizes = np.linalg.norm(flat, axis=1)
    return np.sqrt(squares.min(axis=1) + sizes**2) / sizes


def sign_quotients(nets: Mapping[str, Network], x, changes: pd.DataFrame) -> pd.DataFrame:
    """Compare the smallest step along the sign with the exact distance in the maximum norm, of ``smallest_changes``.

    Returns
    -------
    DataFrame, one row a network and image where both are known: ``net``, ``quotient``, ``same`` (class reached).
    """
    frames = []
    for name, net in nets.items():
        own = changes[changes.net == name]
        step = smallest_epsilon(net, x, own.given.to_numpy(), tolerance=1e-9)
        known = ~np.isnan(step.epsilon) & (own.largest > 0).to_numpy()
        columns = {
            "quotient": (step.epsilon / own.largest.to_numpy(), known),
            "same": (step.found == own.nearest, known),
        }
        frames.append(pd.DataFrame({"net": name} | {key: np.asarray(v)[k] for key, (v, k) in columns.items()}))
    return pd.concat(frames, ignore_index=True)


def boxes(net: Network, x, changes: pd.DataFrame, quantiles=(0.25, 0.5, 0.75)) -> pd.DataFrame:
    """Count what one step, forty steps and the worst point of a box fool, at quantiles of the exact distance.

    Returns
    -------
    DataFrame, one row a size: ``size`` (units of the pixels), shares ``one``, ``forty``, ``worst``.
    """
    given, rows = changes.given.to_numpy(), []
    for quantile in quantiles:
        size = changes.largest.quantile(quantile)
        one, forty, worst = (np.mean(f(net, x, given, size).success) for f in (fgsm, pgd, worst_change))
        rows.append({"size": size, "one": one, "forty": forty, "worst": worst})
    return pd.DataFrame(rows)


def three_classes() -> dict:
    """Return an example where the sign step goes astray: three classes, two pixels, an image at the origin.

    ``sign`` and ``best`` (sizes), ``ratio``; directions ``sign_step``, ``best_step``; classes ``sign_class``,
    ``best_class``.
    """
    net = Network((Dense([[0, 0, 0], [1, 1, -0.1], [-4, 1, -1.1]]),), (2,))  # bias last
    origin, label = np.zeros((1, 2)), np.array([0])
    sign, best = smallest_epsilon(net, origin, label), smallest_change(net, origin, label, norm=np.inf)
    return {
        "sign": sign.epsilon[0], "best": best.radius[0], "ratio": sign.epsilon[0] / best.radius[0],
        "sign_step": np.sign(sign.dx[0]), "best_step": np.sign(best.dx[0]),
        "sign_class": sign.found[0], "best_class": best.found[0],
    }  # fmt: skip
