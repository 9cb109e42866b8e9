"""What a change of weights that was made for one image does to others: one layer, some attacks, a hundred images."""

import numpy as np

from bea import Network, attack
from lab.attempts import to_every_target

LEVELS = 255  # of a pixel, as a page gets it


def for_the_page(net: Network, x, labels, victims, *, margin: float, each: int = 10) -> dict:
    """Return attacks on the weights of one affine layer, and images that had no part in them.

    Parameters
    ----------
    net : Network
        One dense layer.
    x : array (n, height, width)
        Images, pixels from 0 to 1; they are rounded to ``LEVELS``, for all that follows.
    labels : int array (n,)
    victims : int array (v,)
        Numbers of the images that are attacked, each towards every other class.
    margin : float
        By how much a target has to lead.
    each : int
        Bystanders of every class: the first that the network classifies as labelled, no victim among them.

    Returns
    -------
    dict
        ``levels`` (images, height · width; uint8) of the victims and then of the bystanders, ``shape``, their
        ``numbers``, ``labels`` and ``logits``; of every attack, victim by victim, ``targets`` and the ``left`` factor
        of ΔA = left hᵀ, where h is the victim with a one appended; and ``norm``, ‖A‖.
    """
    right = net.classify(x) == labels
    right[victims] = False
    others = np.concatenate([np.flatnonzero(right & (labels == digit))[:each] for digit in range(net.classes)])
    numbers = np.concatenate([victims, others])
    levels = np.round(LEVELS * x[numbers]).astype(np.uint8)
    images = levels / LEVELS
    image, _, target = to_every_target(images[: len(victims)], labels[victims], net.classes)
    (left, _), *_ = attack(net, image, target, on="weights", margin=margin).perturbation.dA
    return {
        "levels": levels.reshape(len(levels), -1), "shape": list(x.shape[1:3]), "numbers": numbers.tolist(),
        "labels": labels[numbers].tolist(), "logits": net(images), "norm": float(net.weight_norms[0]),
        "targets": target.reshape(len(victims), -1).tolist(), "left": left,
    }  # fmt: skip
