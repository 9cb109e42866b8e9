"""The smallest step along one ray, in the maximum norm, beside the smallest change in any direction, Euclidean."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, spearmanr
from threadpoolctl import threadpool_limits

from bea import Network
from bea.attacks import backward_error_attack, smallest_epsilon
from lab.witnesses import keras_classes


def two_measures(
    nets: Mapping[str, Network], files: Mapping[str, Path | None], x, labels, *, margin: float
) -> pd.DataFrame:
    """Measure every image that a network classifies correctly along its ray and in all directions.

    Parameters
    ----------
    nets : mapping of str to Network
    files : mapping of str to Path or None
        Their original Keras models; a network without one is rebuilt in Keras.
    x : array (n, *input_shape), pixels in [0, 1];  labels : int array (n,)
    margin : float
        Lead, in units of the logits, of the class that wins after the converged attack.

    Returns
    -------
    DataFrame, one row an image and network: ``net``, ``image``, ``epsilon`` (smallest step along the sign of the
    gradient that changes the class, in units of the pixels; NaN where none does), ``step`` (its Euclidean length),
    ``delta`` (length of the shortest of nine converged attacks), ``largest`` (pixel of that change), ``class_step``,
    ``class_delta`` and ``class_keras`` (reached by the step, by the attack, and by the attack in Keras), ``success``.
    """
    frames = []
    with threadpool_limits(1, "blas"):  # the matrices are small, and threads would wait for each other
        for name, net in nets.items():
            right = np.flatnonzero(net.classify(x) == labels)
            step = smallest_epsilon(net, x[right], labels[right], tolerance=1e-9)
            found = backward_error_attack(net, x[right], labels[right], margin=margin)
            columns = {
                "net": name, "image": right, "epsilon": step.epsilon, "step": step.l2, "delta": found.l2,
                "largest": found.linf, "class_step": step.found, "class_delta": found.found,
                "class_keras": keras_classes(files[name], x[right] + found.dx, net), "success": found.success,
            }  # fmt: skip
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def agreement(measures: pd.DataFrame) -> pd.DataFrame:
    """Compare the two measures, network by network, over the images whose class some step changes.

    Returns
    -------
    DataFrame, one row a network: ``net``, ``images``, ``missed`` (images without a step), medians of ``epsilon`` and
    ``delta``, ``ratio`` (median of step over δ) with its quantiles ``ratio_5`` and ``ratio_95`` and its ``least``
    value, ``below`` (images whose step is shorter than δ), the rank correlation ``rank`` with its bootstrap interval
    ``low`` to ``high`` (95 %, over images), ``pixel`` (median of the largest pixel of the change over ε_min), ``same``
    (share that ends in the same class).
    """
    rows = []
    for name, m in measures.groupby("net", sort=False):
        known = m[m.epsilon.notna()]
        pair = known.epsilon.to_numpy(), known.delta.to_numpy()
        interval = bootstrap(
            pair, lambda a, b: spearmanr(a, b).statistic, paired=True, vectorized=False, n_resamples=200,
            method="percentile", rng=0,
        ).confidence_interval  # fmt: skip
        ratio = known.step / known.delta
        rows.append({
            "net": name, "images": len(known), "missed": len(m) - len(known), "epsilon": known.epsilon.median(),
            "delta": known.delta.median(), "ratio": ratio.median(), "ratio_5": ratio.quantile(0.05),
            "ratio_95": ratio.quantile(0.95), "least": ratio.min(), "below": (ratio < 1 - 1e-6).sum(),
            "rank": spearmanr(*pair).statistic, "low": interval.low, "high": interval.high,
            "pixel": (known.largest / known.epsilon).median(), "same": (known.class_step == known.class_delta).mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def predicted(nets: Mapping[str, Network], x, labels, measures: pd.DataFrame) -> pd.DataFrame:
    """Predict both measures from the logits and one gradient a class: lead over the norm of the gradient.

    Returns
    -------
    DataFrame, one row a network: ``net``; rank correlations ``epsilon`` and ``delta`` of the measures with their
    predictions, and medians of measure over prediction, ``epsilon_quotient`` and ``delta_quotient``.
    """
    rows = []
    for name, m in measures[measures.epsilon.notna()].groupby("net", sort=False):
        by = {p: first_order_distance(nets[name], x[m.image], labels[m.image], p) for p in (1, 2)}
        rows.append({
            "net": name, "epsilon": spearmanr(by[1], m.epsilon).statistic, "delta": spearmanr(by[2], m.delta).statistic,
            "epsilon_quotient": np.median(m.epsilon / by[1]), "delta_quotient": np.median(m.delta / by[2]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def first_order_distance(net: Network, x, labels, order: int) -> np.ndarray:
    """Return the least lead of the label over the norm, of this order, of the lead's gradient, (n,); linearised."""
    linear = net.linearise(x)
    own = np.take_along_axis(linear.logits, labels[:, None], 1)
    jacobian = np.broadcast_to(linear.jacobian, (len(x), *linear.jacobian.shape[1:]))
    gradients = np.take_along_axis(jacobian, labels[:, None, None], 1) - jacobian
    with np.errstate(divide="ignore", invalid="ignore"):  # of the label itself: 0/0
        return np.nanmin((own - linear.logits) / np.linalg.norm(gradients, ord=order, axis=2), axis=1)


def rank_differences(measures: pd.DataFrame) -> pd.DataFrame:
    """Return the measures of one network with ``difference``: rank by ε_min less rank by δ, as shares of all images."""
    known = measures[measures.epsilon.notna()].reset_index(drop=True)
    ranks = [np.argsort(np.argsort(known[key].to_numpy())) / len(known) for key in ("epsilon", "delta")]
    return known.assign(difference=ranks[0] - ranks[1])
