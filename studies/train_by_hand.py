"""The network of paper D written by hand: whether its derivatives are right, and what its accuracies hang on."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from bea import Network
from lab import by_hand
from lab.by_hand import SLOPE, SMOOTH_RELU, Weights, forward, to_network
from lab.datasets import Dataset
from lab.training_by_hand import Learnt, learn, pixels_of

POINTS = np.geomspace(1e-8, 1e4, 2001)
POINTS = np.concatenate([-POINTS[::-1], [0.0], POINTS])
STEP = 1e-5  # of difference quotients


def beside_keras(
    data: Dataset, *, images: int, width: int, a: float, seed: int, steps: int, rate: float, batch_size: int, batch: int
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Compare gradients written by hand, for the first ``batch`` images, with two others, and then the training.

    One row an array: ``array``, ``shape``, ``entries`` compared with central differences,
    ``differences``, ``size`` (entries compared with Keras) and ``keras``: largest distances, relative to the array's
    largest entry. Then, for ``steps`` of training on the first ``images``, how far the matrix of each layer is from
    Keras' after each step, relative, (steps, 3), and how far it has moved in the end, (3,).
    """
    from lab.keras_backend import double_precision

    rng, (x, y) = np.random.default_rng(seed), pixels_of(data.x_train, data.y_train, images)
    weights = by_hand.initial_weights([x.shape[1], width, width, 10], rng)
    first, labels = x[:batch].copy(), y[:batch]
    slopes, by_images = by_hand.gradients(weights, first, labels, a)
    arrays = [array for pair in weights for array in pair] + [first]
    found = [array for pair in slopes for array in pair] + [by_images]
    names = [f"d{letter}_{i + 1}" for i in range(3) for letter in "Wb"] + ["dY_0"]
    rows = []
    with double_precision():
        model, entropy = _keras_model(weights, a, rate)
        others = _keras_gradients(model, entropy, first, labels)
        for name, array, slope, other in zip(names, arrays, found, others, strict=True):
            chosen = [np.unravel_index(place, array.shape) for place in rng.permutation(array.size)[:100]]
            by_differences = [_quotient(lambda: _loss(weights, first, labels, a), array, place) for place in chosen]
            gap = np.abs([slope[place] for place in chosen] - np.array(by_differences)).max()
            largest, shape = np.abs(slope).max(), "×".join(map(str, array.shape))
            rows.append((name, shape, len(chosen), gap / largest, array.size, np.abs(slope - other).max() / largest))
        apart, before = np.empty((steps, 3)), [W.copy() for W, _ in weights]
        order = np.random.default_rng(seed).permutation(len(x))
        for step, now in enumerate(np.resize(order, (steps, min(batch_size, len(order))))):
            model.train_on_batch(x[now], y[now])
            by_hand.descend(weights, x[now], y[now], rate=rate, batch_size=batch_size, a=a, rng=rng)
            kernels = model.get_weights()[::2]
            pairs = zip((W for W, _ in weights), (V.T for V in kernels), strict=True)
            apart[step] = [np.linalg.norm(W - V) / np.linalg.norm(W) for W, V in pairs]
    moved = [np.linalg.norm(W - V) / np.linalg.norm(V) for (W, _), V in zip(weights, before, strict=True)]
    frame = pd.DataFrame(rows, columns=["array", "shape", "entries", "differences", "size", "keras"])
    return frame, apart, np.array(moved)


def _keras_model(weights: Weights, a, rate):
    """Return the same network in Keras, without its softmax, ready for training, and its loss."""
    from lab.keras_backend import keras
    from lab.keras_models import to_keras

    net = to_network(weights, a, weights[0][0].shape[1:], None)
    model = to_keras(replace(net, output_activation="linear"))
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), entropy)
    return model, entropy


def _keras_gradients(model, entropy: Callable, x, y) -> list[np.ndarray]:
    """Return the derivatives of Keras' loss by kernels and biases, transposed to our order, and by the pixels."""
    import jax

    variables = [variable.value for variable in model.trainable_variables]
    loss = jax.grad(lambda own, x: entropy(y, model.stateless_call(own, [], x)[0]), argnums=(0, 1))
    slopes, by_pixels = loss(variables, x)
    return [np.asarray(slope).T for slope in slopes] + [np.asarray(by_pixels)]


def _loss(weights: Weights, x, y, a) -> float:
    return -np.mean(log_softmax(forward(weights, x, a)[1][-1], axis=1)[np.arange(len(y)), y])


def _quotient(function: Callable, array, place) -> float:
    """Return the central difference quotient of a function of no argument by one entry of an array that it reads."""
    kept, values = array[place], []
    for sign in (1, -1):
        array[place] = kept + sign * STEP
        values.append(function())
    array[place] = kept
    return (values[0] - values[1]) / (2 * STEP)


def smooth_relu_errors(smoothings) -> pd.DataFrame:
    """Check the smooth ReLU at ``POINTS``, its derivative by a complex step, which cancels nothing.

    One row a value of ``a``: errors of f' as printed (``derivative``) and in the code (``code``), ``falls``
    (how often f decreases), ``zero`` (relative error of f(0) = a/2), ``distance`` (largest f - ReLU, in units of a),
    ``at`` (where, without sign), ``tails`` (f' off its limits at the ends), ``naive`` (relative error of f as printed).
    """
    rows = []
    for a in smoothings:
        z, root, f = POINTS + 1e-20j, np.sqrt(POINTS * POINTS + a**2), SMOOTH_RELU(POINTS, a)
        exact = (0.5 * (z + np.sqrt(z * z + a**2))).imag / 1e-20
        printed, gap = 0.5 * (1 + POINTS / root), f - np.maximum(POINTS, 0)
        rows.append({
            "a": a, "derivative": np.abs(printed - exact).max(), "code": np.abs(SLOPE(POINTS, f, a) - exact).max(),
            "falls": int(np.sum(np.diff(f) < 0) + np.sum(printed < 0)),
            "zero": abs(SMOOTH_RELU(np.zeros(1), a)[0] / (a / 2) - 1),
            "distance": gap.max() / a, "at": abs(POINTS[gap.argmax()]), "tails": max(printed[0], 1 - printed[-1]),
            "naive": np.abs(0.5 * (POINTS + root) / f - 1).max(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def softmax_errors(*, samples: int, classes: int, seed: int) -> pd.DataFrame:
    """Compare two formulas for the derivative of the loss by the logits with central differences.

    Rows ``result`` (q - y) and ``line`` (the line printed on the way to it): ``formula``; largest distance
    from the differences for the ``true`` class and the ``others``; largest ``size`` of the formula for the others.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2.0, size=(samples, classes))
    labels = np.eye(classes)[rng.integers(0, classes, samples)]
    true, q, units = labels == 1, by_hand.softmax(logits), STEP * np.eye(classes)

    def losses(logits):
        return -(labels * log_softmax(logits, axis=1)).sum(axis=1)

    measured = np.stack([(losses(logits + h) - losses(logits - h)) / (2 * STEP) for h in units], axis=1)
    odds, total = np.exp(logits), np.exp(logits).sum(axis=1, keepdims=True)
    formulas = {"result": q - labels, "line": -labels / q * (odds * total - odds**2) / total**2}
    rows = [
        (name, np.abs(own - measured)[true].max(), np.abs(own - measured)[~true].max(), np.abs(own[~true]).max())
        for name, own in formulas.items()
    ]
    return pd.DataFrame(rows, columns=["formula", "true", "others", "size"])


def one_epoch(
    data: Dataset, *, rates, batch_sizes, smoothings, rate: float, batch_size: int, a: float, seeds: int, **options
) -> pd.DataFrame:
    """Vary what the report leaves open, one thing at a time, and train for one epoch.

    One row a network: ``varied`` ("rate", "batch", "ratio": the batch size with the ratio of rate to batch
    size kept, "smoothing"), ``value`` (of what is varied), ``seed``, ``accuracy`` (on the test images).
    """
    ways = [("rate", value, (value, batch_size, a)) for value in rates]
    ways += [("batch", value, (rate, value, a)) for value in batch_sizes]
    ways += [("ratio", value, (rate * value / batch_size, value, a)) for value in batch_sizes]
    ways += [("smoothing", value, (rate, batch_size, value)) for value in smoothings]
    found, rows = {}, []
    for varied, value, way in ways:
        for seed in range(seeds):
            if (way, seed) not in found:  # the usual way comes four times
                chosen = dict(zip(("rate", "batch_size", "a"), way, strict=True))
                found[way, seed] = learn(data, seed=seed, passes=1, **chosen, **options).curve[0]
            rows.append((varied, value, seed, found[way, seed]))
    return pd.DataFrame(rows, columns=["varied", "value", "seed", "accuracy"])


def by_width_and_epochs(learnt: Mapping[str, Learnt], *, widths, epochs, published: Mapping) -> pd.DataFrame:
    """Summarise accuracies over seeds, for each width after one epoch and for the first width after several.

    Columns: ``net`` ("64-1": width and epochs), ``width``, ``epochs``, ``published`` (NaN where the report has
    none), ``median``, ``lowest``, ``highest`` on the test images, ``seeds``, ``deviation`` (standard, over seeds),
    ``difference`` (median less published), ``training`` (median on as many training images), ``needed`` (epochs until
    the median curve of the first width reaches the published accuracy, straight between two epochs; NaN for one epoch,
    and where it does not).
    """
    # The report prints accuracies by epochs for the network of 64-64 units, a second one for its first epoch.
    by_epochs = published["epochs"] if widths[0] == 64 else {}
    cases = [(width, 1, published["widths"].get(width, np.nan)) for width in widths]
    cases += [(widths[0], n, by_epochs.get(n, np.nan)) for n in sorted({1, *epochs})]
    median = np.maximum.accumulate(np.median(curves_of(learnt, widths[0]), axis=0))
    rows = []
    for width, n, said in cases:
        runs = [one for one in learnt.values() if one.width == width and len(one.curve) >= n]
        own = np.array([one.curve[n - 1] for one in runs])
        reached = n > 1 and median[0] <= said <= median[-1]
        rows.append({
            "net": f"{width}-{n}", "width": width, "epochs": n, "published": said, "median": np.median(own),
            "lowest": own.min(), "highest": own.max(), "seeds": len(own),
            "deviation": own.std(ddof=min(1, len(own) - 1)), "difference": np.median(own) - said,
            "training": np.median([one.training[n] for one in runs]),
            "needed": np.interp(said, median, np.arange(1, len(median) + 1)) if reached else np.nan,
        })  # fmt: skip
    return pd.DataFrame(rows)


def curves_of(learnt: Mapping[str, Learnt], width: int) -> np.ndarray:
    """Return the curves of a width, those that were trained longest, (networks, epochs)."""
    curves = [one.curve for one in learnt.values() if one.width == width]
    return np.array([curve for curve in curves if len(curve) == max(map(len, curves))])


def levelling(curves) -> dict[str, float]:
    """Return how much curves (networks, epochs) gain in their last quarter, and where they end; medians."""
    last = curves.shape[1]
    quarter = max(1, last // 4)
    gain = curves[:, -1] - curves[:, -1 - quarter] if last > quarter else curves[:, -1]
    return {"last": last, "quarter": quarter, "gain": np.median(gain), "end": np.median(curves[:, -1])}


def as_networks(learnt: Mapping[str, Learnt], a: float, input_shape) -> dict[str, Network]:
    """Return all kept weights as networks, named by width, epochs and seed, in this order of making."""
    return {
        f"scratch-{one.width}-{n}-{name.rpartition('-')[2]}": to_network(weights, a, input_shape)
        for name, one in learnt.items()
        for n, weights in one.weights.items()
    }


def seeds_of(nets: Mapping[str, Network]) -> dict[str, list[int]]:
    """Return the seeds of the networks of each kind, in order: kind, "64-1", → seeds."""
    kinds = {}
    for name in nets:
        _, width, epochs, seed = name.split("-")
        kinds.setdefault(f"{width}-{epochs}", []).append(int(seed))
    return {kind: sorted(seeds) for kind, seeds in kinds.items()}


def file_gap(nets: Mapping[str, Network], learnt: Mapping[str, Learnt], a: float, x) -> float:
    """Return the largest difference between a logit of a network and of the weights that it came from."""
    logits = [forward(own, x.reshape(len(x), -1), a)[1][-1] for one in learnt.values() for own in one.weights.values()]
    return max(np.abs(net(x) - own).max() for net, own in zip(nets.values(), logits, strict=True))
