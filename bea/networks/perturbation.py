"""Perturbations (ΔA_1, …, ΔA_p, Δx) of a network and its input, one for every sample of a batch."""

from dataclasses import dataclass

import numpy as np

from bea.numerics.arrays import image_norms


@dataclass(frozen=True, eq=False)
class Perturbation:
    """A batch of n perturbations of weights and input.

    Attributes
    ----------
    dA : list of (left, right), arrays or None
        One entry a weighted layer, None where it is untouched. For a dense layer ``left`` (n, rows) and ``right``
        (n, columns) are the factors of ``ΔA_i = left rightᵀ``, with the change of the bias in the last column. The
        change of a convolution, which meets many patches at once, is no product: an array (n, rows, columns).
    dx : array (n, *input_shape) or None
        Change of the input; None where it is untouched.
    x : array (n, *input_shape)
        The unperturbed inputs.
    weight_norms : array (p,)
        ‖A_i‖, Frobenius, of the unperturbed layers.
    attained : bool array (n,)
        False where no first-order perturbation exists; the factors of such a sample are NaN.
    """

    dA: list[tuple[np.ndarray, np.ndarray] | None]
    dx: np.ndarray | None
    x: np.ndarray
    weight_norms: np.ndarray
    attained: np.ndarray

    def matrix(self, layer: int, i: int) -> np.ndarray | float:
        """Return ΔA of weighted layer number ``layer`` (from 0) for sample ``i``, (rows, columns); 0.0 if untouched."""
        change = self.dA[layer]
        if change is None:
            return 0.0
        return np.outer(change[0][i], change[1][i]) if isinstance(change, tuple) else change[i]

    @property
    def norms(self) -> np.ndarray:
        """‖ΔA_1‖, …, ‖ΔA_p‖ (Frobenius) and ‖Δx‖, (n, p + 1)."""
        n = len(self.attained)
        columns = [np.zeros(n) if change is None else _norms(change) for change in self.dA]
        columns.append(np.zeros(n) if self.dx is None else image_norms(self.dx))
        return np.stack(columns, axis=1)

    @property
    def relative_norms(self) -> np.ndarray:
        """‖ΔA_i‖/‖A_i‖ for every weighted layer, then ‖Δx‖/‖x‖, (n, p + 1).

        Infinite where something that is zero changes.
        """
        norms = self.norms
        sizes = np.column_stack([np.broadcast_to(self.weight_norms, norms[:, :-1].shape), image_norms(self.x)])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(norms == 0.0, 0.0, norms / sizes)

    @property
    def objective(self) -> np.ndarray:
        """The sum of squares of the relative norms, eq. (5) of paper B, (n,)."""
        return np.sum(self.relative_norms**2, axis=1)


def _norms(change) -> np.ndarray:
    """Return ‖ΔA‖ of every sample, from its factors or its entries."""
    if isinstance(change, tuple):
        left, right = change
        return np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return image_norms(change)
