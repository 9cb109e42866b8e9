"""Below which size no change of weights or input gives wanted logits: a proof under ``backward_error``.

The problem: a number that ``min √(Σ ‖ΔA_i‖²/α_i² + ‖Δx‖²/β²)`` subject to ``logits(A + ΔA, x + Δx) = y_hat`` cannot
fall below.

Let u be any vector of length one. Changes of size r move what reaches the last layer by ``γ r`` at most
(``bea.bounds.weight_lipschitz``, W5), and ``u · logits`` by ``(‖W_pᵀ u‖² γ² + α_p² H²)^½ r``, with W_p the last
layer's matrix without the bias and H the longest input that it can meet. It must move by ``u · (y_hat - y)``. So the
size at which the two are equal is a bound, for every u; the best of two is taken: the direction of ``y_hat - y``, and
that in which the linearised problem is hardest, ``(𝒜𝒜ᵀ)⁻¹ (y_hat - y)``.
"""

import numpy as np

from bea.backward.closed_form import changing, first_order
from bea.bounds.lipschitz import gamma
from bea.bounds.rounding import error_of
from bea.bounds.weight_lipschitz import UP, withstood
from bea.networks.network import Network
from bea.numerics.blocks import block_size, in_blocks


def outputs_bound(net: Network, x, y_hat, on="weights") -> np.ndarray:
    """Return a proven lower bound (n,) of the relative size of every change with which the logits are ``y_hat``.

    Parameters
    ----------
    net : Network
        All layers with a Lipschitz constant.
    x : array (n, *input_shape)
    y_hat : array (n, classes)
        The logits to be explained.
    on : {"weights", "input", "both"} or tuple
        What may change, as in ``bea.backward_error``; the bound is for √objective of what that returns, relative.

    Raises
    ------
    ValueError
        For images or logits of wrong shape or range, an unknown ``on``, and a layer without a Lipschitz constant.
    """
    x, change = net.check_images(x), changing(net, on)
    y_hat = np.asarray(y_hat, dtype=float)
    if y_hat.shape != (len(x), net.classes) or not np.isfinite(y_hat).all():
        raise ValueError(f"y_hat: expected finite logits of shape {(len(x), net.classes)}, received {y_hat.shape}")

    def each(x, y_hat):
        values = net.trace(x)
        move, error = y_hat - values[-1], error_of(net, values)
        pulls = np.linalg.pinv(first_order(net, x, change).gram(), rcond=1e-13, hermitian=True)
        found = np.zeros(len(x))
        for u in (move, np.matvec(pulls, move)):
            size = np.linalg.norm(u, axis=1, keepdims=True)
            u = np.divide(u, size, out=np.zeros_like(u), where=size > 0.0)
            # What is certain in spite of rounding, of y and of this product.
            doubt = np.vecdot(np.abs(u), error + gamma(net.classes + 4) * (np.abs(y_hat) + np.abs(values[-1])))
            wanted = np.maximum(np.vecdot(u, move) - doubt * UP, 0.0)
            rows = np.linalg.norm(u @ net.layers[-1].kernel, axis=1) * UP * (1.0 + gamma(8 * net.classes))
            found = np.maximum(found, withstood(net, x, values, wanted[:, None], rows[:, None], 1.0, change)[0])
        return found

    return in_blocks(each, block_size(net.layers, net.input_shape), x, y_hat)
