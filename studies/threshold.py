"""What the figure needs in which a reader drags ε along the distribution of ε_min (paper D, section 5.2.2)."""

from collections.abc import Mapping

import numpy as np

from bea import Network
from bea.attacks import fgsm

POINTS = 241  # where a law is handed over; between them the page interpolates


def for_the_page(net: Network, x, labels, epsilon, laws: Mapping, *, pictures: int = 12) -> dict:
    """Return the distribution of ε_min, some laws, and a few images with their steps.

    Parameters
    ----------
    net : Network
    x : array (n, height, width)
        Images.
    labels, epsilon : arrays (n,)
        Their classes, and ε_min: 0 where the network is wrong at the start, NaN where no step fools.
    laws : mapping of str to an object with ``pdf`` and ``cdf``
    pictures : int
        How many images, evenly spread in the order of their ε_min.

    Returns
    -------
    dict
        ``epsilon`` (those above 0, rising), ``top`` (the largest), ``laws`` (``name``, ``pdf`` and ``cdf`` at evenly
        spaced points from 0 to ``top``), and of each picture ``numbers``, ``labels``, ``first`` (its ε_min),
        ``seen`` (the class there), ``pixels``, and ``signs`` of the step, in ``shape``.
    """
    correct = np.flatnonzero(epsilon > 0)
    order = correct[np.argsort(epsilon[correct], kind="stable")]
    chosen = order[((np.arange(pictures) + 0.5) / pictures * len(order)).astype(int)]
    steps = fgsm(net, x[chosen], labels[chosen], epsilon[chosen]).dx
    grid = np.linspace(0, epsilon[order[-1]], POINTS)
    return {
        "epsilon": epsilon[order], "top": float(grid[-1]),
        "laws": [{"name": name, "pdf": law.pdf(grid), "cdf": law.cdf(grid)} for name, law in laws.items()],
        "numbers": chosen.tolist(), "labels": labels[chosen].tolist(), "first": epsilon[chosen].tolist(),
        "seen": net.classify(x[chosen] + steps).tolist(), "pixels": x[chosen], "signs": np.sign(steps),
        "shape": list(x.shape[1:3]),
    }  # fmt: skip
