"""The condition number of a network at an image: how much a small relative change is magnified at most.

Backward errors became forward errors for linear systems through the condition number (claim B7). For the logits y of a
network the map ``θ -> 𝒜 θ`` of section 2.4, θ in the relative norm of eq. (5), is all there is to first order, so

``‖y_hat - y‖/‖y‖ ≤ K η + O(η²)``,  ``K = ‖𝒜‖₂/‖y‖``,

with η the relative backward error of ``y_hat``. Linearised η makes it an inequality without remainder: ``y_hat - y`` is
``𝒜 θ`` for a θ of length η. It is attained by changes along the first singular vector.
"""

import numpy as np

from bea.backward.closed_form import NUMBERS, changing, first_order
from bea.networks.network import Network
from bea.numerics.blocks import blocks


def condition_number(net: Network, x, on="weights") -> np.ndarray:
    """Return K (n,), relative and norm-wise, of the logits of every image; infinite where all logits are zero.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
    on : {"weights", "input", "both"} or tuple
        What may change, as in ``bea.backward_error``.

    Raises
    ------
    ValueError
        For images of wrong shape or range, and an unknown ``on``.
    """
    x, change = net.check_images(x), changing(net, on)
    parts = blocks(len(x), max(NUMBERS // net.numbers(change.layers), 1))
    return np.concatenate([_condition(first_order(net, x[part], change)) for part in parts])


def _condition(problem) -> np.ndarray:
    largest = np.linalg.eigvalsh(problem.gram())[:, -1]
    sizes = np.linalg.norm(problem.linearisation.logits, axis=1)
    return np.divide(np.sqrt(np.maximum(largest, 0.0)), sizes, out=np.full(len(sizes), np.inf), where=sizes > 0.0)
