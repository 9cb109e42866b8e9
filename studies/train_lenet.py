"""Caffe's LeNet: what its layers see, how its training went, and what its first filters are."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bea import Convolution, Dense, MaxPool, Network
from lab.training import Trained

SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


def layers(nets: Mapping[str, Network]) -> pd.DataFrame:
    """Describe networks of convolutions, maxima without overlap and dense layers.

    Returns
    -------
    DataFrame, one row a network and layer: ``net``, ``layer``, ``output`` ("24×24×20"), ``side`` (of the output, or its
    length), ``weights`` (with biases), ``sees`` (side of the square of the image that a unit sees, pixels; 0 for all).
    """
    rows = []
    for name, net in nets.items():
        shape, sees, step = net.input_shape, 1, 1
        for layer in net.layers:
            shape = layer.output_shape(shape)
            match layer:
                case Convolution():
                    title = f"{len(layer.matrix)} filters {layer.size[0]}×{layer.size[1]}"
                case MaxPool():
                    title = f"maxima {layer.size[0]}×{layer.size[1]}"
                case Dense():
                    title = f"dense {len(layer.matrix)}"
                case _:
                    continue
            if not isinstance(layer, Dense):
                sees += (layer.size[0] - 1) * step
                step *= layer.stride[0]
            weights = 0 if isinstance(layer, MaxPool) else layer.matrix.size
            rows.append({
                "net": name, "layer": title, "output": "×".join(map(str, shape)), "side": shape[0], "weights": weights,
                "sees": 0 if isinstance(layer, Dense) else sees,
            })  # fmt: skip
    return pd.DataFrame(rows)


def constants(table: pd.DataFrame) -> pd.DataFrame:
    """Pick what the bounds of paper P use out of the layers.

    Returns
    -------
    DataFrame, one row a network: ``net``, ``t1`` and ``t2`` (sides of what the pooling layers give out), ``n`` (hidden
    units), ``parameters`` (weights and biases), ``dense`` (share of them in the largest layer), ``sees`` (what a
    unit after the last maximum sees, pixels).
    """
    rows = []
    for name, own in table.groupby("net", sort=False):
        pools = own[own.layer.str.startswith("maxima")]
        rows.append({
            "net": name, "t1": pools.side.iloc[0], "t2": pools.side.iloc[1],
            "n": own[own.layer.str.startswith("dense")].side.iloc[0], "parameters": own.weights.sum(),
            "dense": own.weights.max() / own.weights.sum(), "sees": pools.sees.iloc[-1],
        })  # fmt: skip
    return pd.DataFrame(rows)


def curves(trained: Mapping[str, Trained], data, images: int) -> pd.DataFrame:
    """Return one row a network and leg: ``net``, ``passes`` (over the training images so far), ``training``, ``test``.

    Accuracies are shares, that on the training images measured while the leg goes on; ``images`` is the most that a leg
    takes of those in ``data``.
    """
    share = min(images, len(data.x_train)) / len(data.x_train)
    frames = []
    for name, one in trained.items():
        passes = np.cumsum(np.full(len(one.curves["accuracy"]), share))
        columns = {"passes": passes, "training": one.curves["accuracy"], "test": one.curves["val_accuracy"]}
        frames.append(pd.DataFrame({"net": name} | columns))
    return pd.concat(frames, ignore_index=True)


def accuracy(legs: Mapping[str, pd.DataFrame], tested: Mapping[str, int], published: Mapping) -> pd.DataFrame:
    """Summarise the accuracies after the last leg, set by set.

    Returns
    -------
    DataFrame, one row a set of images: ``set``, ``seeds``, ``lowest``, ``highest``, ``mean`` (shares), ``error``
    (standard error of a share of as many test images, in points), ``lead`` (mean less the published one, in points).
    """
    rows = []
    for name, table in legs.items():
        own = table.groupby("net", sort=False).test.last()
        error = np.sqrt(own.mean() * (1 - own.mean()) / tested[name])
        rows.append({
            "set": name, "seeds": len(own), "lowest": own.min(), "highest": own.max(), "mean": own.mean(),
            "error": 100 * error, "lead": 100 * (own.mean() - published[name]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def last_rise(legs: pd.DataFrame | None) -> str:
    """Say by how many points the median test accuracy rose in the last leg."""
    ends = [] if legs is None else 100 * legs.groupby("passes").test.median()
    return f"{ends.diff().iloc[-1]:.1f}" if len(ends) > 1 else "an unknown number of"


def sorted_filters(kernel) -> tuple[np.ndarray, dict]:
    """Sort the filters (rows, columns, channels, filters) of a convolution by their norm, the largest first.

    Returns
    -------
    array (filters, rows, columns, channels)
    dict
        ``filters``; ``both``, how many have at least a fifth of their absolute weight in each sign; ``grey``, the share
        of the squared weight that is equal in all channels; ``norm`` of all, ``largest`` and ``smallest`` norm of one.
    """
    filters = np.moveaxis(kernel, -1, 0)
    norms = np.sqrt((filters**2).sum(axis=(1, 2, 3)))
    positive = np.maximum(filters, 0).sum(axis=(1, 2, 3)) / np.abs(filters).sum(axis=(1, 2, 3))
    grey = filters.shape[-1] * (filters.mean(axis=3) ** 2).sum() / (filters**2).sum()
    facts = {
        "filters": len(filters), "both": np.sum((positive > 0.2) & (positive < 0.8)), "grey": grey,
        "norm": np.sqrt((norms**2).sum()), "largest": norms.max(), "smallest": norms.min(),
    }  # fmt: skip
    return filters[np.argsort(-norms)], facts


def largest_gap(nets: Mapping[str, Network], models: Mapping, images: Mapping[str, np.ndarray], through=None) -> float:
    """Return the largest difference of a logit between networks and Keras models, network → images (n, …).

    With ``through``, between the Keras models and what this function makes of them.
    """
    from lab.keras_models import outputs

    gaps = [0.0]
    for name, model in models.items():
        x = images[name].reshape(-1, *model.input_shape[1:])
        theirs = nets[name](x) if through is None else outputs(through(model), x)
        gaps.append(np.abs(theirs - outputs(model, x)).max())
    return float(max(gaps))
