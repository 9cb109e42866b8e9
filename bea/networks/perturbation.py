"""Perturbations (ΔA_1, …, ΔA_p, Δx) of a network and its input, one for every sample of a batch."""

from dataclasses import dataclass

import numpy as np

from bea.networks import keras_writer, torch_writer
from bea.numerics.arrays import image_norms
from bea.reports.pictures import draw_changes, draw_shares
from bea.reports.results import Report, first_few


@dataclass(frozen=True, eq=False)
class Perturbation(Report):
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
    standing : str
        What is known of it: "linearised" or "locally optimal".
    iterations : int array (n,), optional
        Linearisations after the first, of ``backward_error`` with ``method="converged"``.
    residual : array (n,), optional
        How far it is from wanted outputs and optimality there, relative; see ``bea.numerics.equality``.
    """

    dA: list[tuple[np.ndarray, np.ndarray] | None]
    dx: np.ndarray | None
    x: np.ndarray
    weight_norms: np.ndarray
    attained: np.ndarray
    standing: str = "linearised"
    iterations: np.ndarray | None = None
    residual: np.ndarray | None = None

    @property
    def images(self) -> np.ndarray:
        """The perturbed images x + Δx, (n, *input_shape); NaN where none exists."""
        return self.x if self.dx is None else self.x + self.dx

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

    def keras_model(self, model, i: int):
        """Return a copy of the Keras model that was read, with the perturbed weights of sample ``i`` in its precision.

        The image that goes with it is ``images[i]``.

        Raises
        ------
        ValueError
            For a model with other weights than those that were perturbed, or with weights that are not those of its
            dense layers and convolutions one by one, and for a sample that has no perturbation.
        """
        return keras_writer.perturbed_copy(model, self, i)

    def torch_model(self, module, i: int):
        """Return a copy of the PyTorch module that was read, with the perturbed weights of sample ``i``.

        In its precision, and in training or ``eval`` mode as it is. The image that goes with it is ``images[i]``.

        Raises
        ------
        TypeError
            For what is no module.
        ValueError
            For a module with other weights than those that were perturbed, or with weights that are not those of its
            linear layers and convolutions one by one, and for a sample that has no perturbation.
        """
        return torch_writer.perturbed_copy(module, self, i)

    def columns(self) -> dict[str, np.ndarray]:
        """Return ``attained``, ``relative_norm`` = √objective, and the relative norms ``layer_1``, … and ``input``."""
        relative = self.relative_norms
        names = [*(f"layer_{number}" for number in range(1, len(self.dA) + 1)), "input"]
        return {"attained": self.attained, "relative_norm": np.sqrt(self.objective)} | dict(
            zip(names, relative.T, strict=True)
        )

    def measured(self) -> tuple[str, np.ndarray]:
        """Return √objective, the norm of all changes relative to what they change."""
        return "√(Σ ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²)", np.sqrt(self.objective)

    def tally(self) -> str:
        """Return in words how many perturbations exist."""
        return f"{np.count_nonzero(self.attained)} of {len(self.attained)} samples attained"

    def draw(self, samples, titles=None):
        """Return a figure of the images, where they change, and else of the relative norms of all layers that do."""
        if self.dx is None:
            chosen = slice(None) if samples is None else samples
            relative, changing = self.relative_norms[chosen], [change is not None for change in self.dA]
            series = {f"layer {k + 1}": relative[:, k] for k in np.flatnonzero(changing)}
            return draw_shares(series, "‖ΔA‖/‖A‖, no unit")
        chosen = first_few(self.attained) if samples is None else samples
        titles = [f"sample {i}" for i in range(len(self.x))] if titles is None else titles
        return draw_changes(self.x[chosen], self.dx[chosen], [titles[i] for i in chosen])


def _norms(change) -> np.ndarray:
    """Return ‖ΔA‖ of every sample, from its factors or its entries."""
    if isinstance(change, tuple):
        left, right = change
        return np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return image_norms(change)
