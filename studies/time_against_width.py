"""What broader layers cost against more epochs (paper D, section 5.2), for the network written by hand."""

import time
from itertools import pairwise

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lab import by_hand
from lab.datasets import Dataset
from lab.training_by_hand import pixels_of


def multiplications(widths) -> int:
    """Return how many products of numbers one image of training takes, in the matrix products alone.

    Forwards one a weight, backwards one a weight for its slope and, behind the first layer, one more to pass the slope
    on: three times the weights less those of the first layer.

    Parameters
    ----------
    widths : list of int
        Pixels, units of the hidden layers, classes.
    """
    weights = [a * b for a, b in pairwise(widths)]
    return 3 * sum(weights) - weights[0]


def costs(
    data: Dataset, widths, *, steps: int, repeats: int, rate: float, batch_size: int, a: float, seed: int = 0
) -> pd.DataFrame:
    """Count and time the training of two hidden layers of every width.

    Parameters
    ----------
    data : Dataset
    widths : list of int
    steps, repeats : int
        Batches timed at once, and how often; the shortest time counts.
    rate, batch_size, a, seed
        As in ``lab.by_hand.train``.

    Returns
    -------
    DataFrame, one row a width: ``width``, ``parameters``, ``products`` an image (``multiplications``), processor's
    ``milliseconds`` a batch; ``work`` and ``time``, products and time over those of the first width.
    """
    x, y = pixels_of(data.x_train, data.y_train, steps * batch_size)
    rows = []
    with threadpool_limits(1, "blas"):
        for width in widths:
            sizes, rng = [x.shape[1], width, width, 10], np.random.default_rng(seed)
            weights = by_hand.initial_weights(sizes, rng)
            seconds = []
            for _ in range(repeats):
                start = time.process_time()
                by_hand.descend(weights, x, y, rate=rate, batch_size=batch_size, a=a, rng=rng)
                seconds.append(time.process_time() - start)
            parameters = sum(W.size + b.size for W, b in weights)
            batches = -(-len(x) // batch_size)
            rows.append((width, parameters, multiplications(sizes), 1000 * min(seconds) / batches))
    table = pd.DataFrame(rows, columns=["width", "parameters", "products", "milliseconds"])
    return table.assign(work=table.products / table.products[0], time=table.milliseconds / table.milliseconds[0])


def for_the_same(table: pd.DataFrame, curve, broad: float) -> dict[str, float]:
    """Say what the time that one epoch of the broadest layers takes would buy with the narrowest ones.

    Parameters
    ----------
    table : DataFrame
        Of ``costs``.
    curve : array (epochs,)
        Accuracy of the narrowest network after every epoch.
    broad : float
        Accuracy of the broadest after one.

    Returns
    -------
    dict
        ``ratio`` of the times; whole ``epochs`` that fit into it and are in the curve, at least one, with their
        ``accuracy``; ``broad``; and the ``needed`` epochs for at least that accuracy, 0 if the curve never has it.
    """
    ratio = float(table.time.iloc[-1])
    epochs = max(1, min(int(ratio), len(curve)))
    reached = np.flatnonzero(np.asarray(curve) >= broad)
    needed = int(reached[0]) + 1 if len(reached) else 0
    return {"ratio": ratio, "epochs": epochs, "accuracy": float(curve[epochs - 1]), "broad": broad, "needed": needed}
