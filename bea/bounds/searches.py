"""What the theorems of ``bea.bounds.printed`` are tested against: the exact answer, or a search where there is none."""

from collections.abc import Sequence

import numpy as np

from bea.networks.layers import Dense
from bea.networks.sequence import pull_back, trace
from bea.numerics.arrays import column, image_norms
from bea.numerics.quadratic import smallest_feasible


def exact_distances(layer: Dense, y) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the input of a last layer must move until a class leads; ``softmax_bound`` is the least of them.

    The problem: ``min ‖r‖`` such that the logits of y + r are largest for class t, a quadratic programme for every t.

    Parameters
    ----------
    layer : Dense
    y : array (n, inputs)

    Returns
    -------
    distance : array (n, classes)
        Infinite for the class that leads already and where there is no such r.
    solved : bool array (n, classes)
        Whether there is one.
    """
    logits, classes = layer.forward(y), len(layer.kernel)
    others = np.array([np.delete(range(classes), t) for t in range(classes)])
    G = layer.kernel[:, None] - layer.kernel[others]
    c = logits[:, others] - logits[:, :, None]
    K = np.broadcast_to(G @ G.swapaxes(1, 2), (len(y), *G.shape[:2], classes - 1))
    λ, solved, _ = smallest_feasible(K.reshape(-1, classes - 1, classes - 1), c.reshape(-1, classes - 1))
    square = np.vecdot(λ, c.reshape(λ.shape))  # λᵀKλ = cᵀλ at the solution
    length = np.sqrt(np.where(solved, np.maximum(square, 0), np.inf)).reshape(logits.shape)
    np.put_along_axis(length, logits.argmax(1)[:, None], np.inf, axis=1)
    return length, solved.reshape(logits.shape)


def farthest_move(layers: Sequence, y, r, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn every r, its length kept, so that the output ``h(y + r)`` of some layers moves far from ``h(y)``.

    ``r ← ‖r‖ g/‖g‖`` with ``g = J(y + r)ᵀ(h(y + r) - h(y))``, the power method if h is linear; locally optimal if not.

    Parameters
    ----------
    layers : sequence of Layer
    y, r : array (n, …)
        Inputs, and the changes to start from.
    steps : int

    Returns
    -------
    r : array (n, …)
        The best that was met; those with ``g = 0`` stay.
    moved : array (n,)
        How far it moves the output.
    """
    radius, start = column(image_norms(r), r), trace(layers, y)[-1]
    best, farthest = r, np.full(len(r), -np.inf)
    for step in range(steps + 1):
        found = trace(layers, y + r)
        moved = image_norms(found[-1] - start)
        best = np.where(column(moved > farthest, r), r, best)
        farthest = np.maximum(moved, farthest)
        if step < steps:
            g = pull_back(layers, (found[-1] - start)[:, None], found)[:, 0]
            size = column(image_norms(g), g)
            r = np.where(size > 0, g * (radius / np.where(size > 0, size, 1)), r)
    return best, farthest
