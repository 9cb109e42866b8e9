"""What the first-order expansion of a network consists of (paper B, section 2.4)."""

from dataclasses import dataclass

import numpy as np

from bea.reports.texts import outlined, wrapped


@dataclass(frozen=True, eq=False)
class Linearisation:
    """First-order expansion of the logits of a batch in weights and input (section 2.4).

    ``logits(A + ΔA, x + Δx) ≈ logits + Σ_i S_i ΔA_i h_{i-1} + J Δx``, one sample at a time. Quantities that are the
    same for every sample have a first axis of length one. A convolution meets one h_{i-1} at every position and adds
    up ``S_i ΔA_i h_{i-1}`` over the positions; there h and S_i have one more axis, and h another one for its groups if
    it has several (see ``bea.networks.positions``).

    Attributes
    ----------
    logits : array (n, classes)
        Or the activated outputs, when these were asked for.
    inputs : list of arrays (n, columns_i), for convolutions (n, positions_i, columns_i)
        h_{i-1}, what each weighted layer multiplies.
    sensitivities : list of arrays (n or 1, classes, rows_i), for convolutions (n, classes, positions_i, rows_i)
        S_i, the derivative of the logits with respect to A_i h_{i-1}.
    jacobian : array (n or 1, classes, pixels)
        J, the derivative of the logits with respect to the input, flattened.
    """

    logits: np.ndarray
    inputs: list[np.ndarray]
    sensitivities: list[np.ndarray]
    jacobian: np.ndarray

    def __repr__(self) -> str:
        return wrapped(outlined(self))
