"""What deeper networks learn, and how a tanh after the last layer shuts their derivatives off."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bea import Network
from lab.training import Trained

LEAST_LOSS = np.log(1 + 9 * np.exp(-2.0))  # of ten outputs between -1 and 1
BINS = np.geomspace(1e-12, 1, 61)


def final_accuracies(families: Mapping[str, Mapping[str, Trained]]) -> pd.DataFrame:
    """Compare families of networks by their accuracy on the test images after the last pass.

    One row a family: ``net`` (its name), ``seeds``, ``weights`` (weights and biases of a network),
    ``lowest``, ``median`` and ``highest`` accuracy, and ``each``, a list.
    """
    rows = []
    for name, trained in families.items():
        own = np.array([one.curves["val_accuracy"][-1] for one in trained.values()])
        size = sum(array.size for array in next(iter(trained.values())).weights)
        rows.append((name, len(own), size, own.min(), np.median(own), own.max(), own.tolist()))
    return pd.DataFrame(rows, columns=["net", "seeds", "weights", "lowest", "median", "highest", "each"])


def output_slopes(nets: Mapping[str, Network], x) -> tuple[pd.DataFrame, np.ndarray]:
    """Measure how much of the derivatives a tanh after the last layer lets through.

    One row a network: ``net``, ``saturated`` (share of outputs with a slope below 0.01), ``median`` (of the
    slopes), ``largest`` (size of a logit); and the slopes of the first network, (n, classes).
    """
    rows, slopes = [], []
    for name, net in nets.items():
        logits = net(x)
        slopes.append(1 - np.tanh(logits) ** 2)  # the factor by which the last tanh multiplies every derivative
        rows.append((name, np.mean(slopes[-1] < 0.01), np.median(slopes[-1]), np.abs(logits).max()))
    return pd.DataFrame(rows, columns=["net", "saturated", "median", "largest"]), slopes[0]


def slope_shares(slopes, labels) -> dict[str, np.ndarray]:
    """Return the shares (%) of slopes between any two of ``BINS``, ``right`` for the right classes and ``others``."""
    right = labels[:, None] == np.arange(slopes.shape[1])
    counts = {
        name: np.histogram(np.clip(slopes[mask], BINS[0], 1), BINS)[0]
        for name, mask in (("right", right), ("others", ~right))
    }
    return {name: own / own.sum() * 100 for name, own in counts.items()}
