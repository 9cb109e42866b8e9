"""Backward errors in closed form (paper B, section 2).

To first order the logits change by ``Δy = 𝒜 θ``, θ stacking the entries of ΔA_1, …, ΔA_p and Δx. The smallest θ is
``𝒜⁺ Δy = 𝒜ᵀ (𝒜𝒜ᵀ)⁻¹ Δy``. No 𝒜 is formed: with S_i and h_{i-1} of the linearisation,
``𝒜𝒜ᵀ = Σ_i α_i² ‖h_{i-1}‖² S_i S_iᵀ + β² J Jᵀ`` has as many rows as there are classes, and
``ΔA_i = α_i² (S_iᵀ g) h_{i-1}ᵀ``, ``Δx = β² Jᵀ g`` for ``g = (𝒜𝒜ᵀ)⁻¹ Δy``.
The weights α_i, β are one for the plain norm, ‖A_i‖ and ‖x‖ for the relative norm of eq. (5).
"""

from dataclasses import dataclass

import numpy as np

from bea.network import Linearisation, Network
from bea.perturbation import Perturbation, image_norms

ON = ("weights", "input", "both")
CORRECTIONS = 5


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """The linear map ``θ -> 𝒜 θ`` of a batch and the norm in which θ is measured.

    Attributes
    ----------
    linearisation : Linearisation
    on : {"weights", "input", "both"}
        What may change.
    weight_scales : array (p,)
        α_i.
    input_scales : array (n,)
        β.
    """

    linearisation: Linearisation
    on: str
    weight_scales: np.ndarray
    input_scales: np.ndarray

    def gram(self) -> np.ndarray:
        """Return 𝒜𝒜ᵀ, (n, classes, classes)."""
        lin = self.linearisation
        n, classes = lin.logits.shape
        gram = np.zeros((n, classes, classes))
        if self.on != "input":
            for scale, h, rows in zip(self.weight_scales, lin.inputs, lin.sensitivities, strict=True):
                gram += (scale**2 * np.sum(h * h, axis=1))[:, None, None] * (rows @ rows.swapaxes(1, 2))
        if self.on != "weights":
            gram += (self.input_scales**2)[:, None, None] * (lin.jacobian @ lin.jacobian.swapaxes(1, 2))
        return gram

    def pull_back(self, g) -> tuple[list, np.ndarray | None]:
        """Return θ = 𝒜ᵀ g in factored form: the pairs of factors of every ΔA_i, and Δx flattened (n, pixels)."""
        lin = self.linearisation
        if self.on == "input":
            pairs = [None] * len(lin.inputs)
        else:
            pairs = [
                (scale**2 * _times(g, rows), h)
                for scale, h, rows in zip(self.weight_scales, lin.inputs, lin.sensitivities, strict=True)
            ]
        dx = None if self.on == "weights" else (self.input_scales**2)[:, None] * _times(g, lin.jacobian)
        return pairs, dx

    def push_forward(self, pairs, dx) -> np.ndarray:
        """Return 𝒜 θ, the first-order change of the logits, (n, classes)."""
        lin = self.linearisation
        change = np.zeros_like(lin.logits)
        for pair, h, rows in zip(pairs, lin.inputs, lin.sensitivities, strict=True):
            if pair is not None:
                change += _times(pair[0] * np.sum(pair[1] * h, axis=1, keepdims=True), rows.swapaxes(1, 2))
        if dx is not None:
            change += _times(dx, lin.jacobian.swapaxes(1, 2))
        return change

    def perturbation(self, pairs, dx, net: Network, x, attained) -> Perturbation:
        """Return θ as a ``Perturbation``; NaN where it is not attained."""
        seen = np.where(attained, 1.0, np.nan)[:, None]
        return Perturbation(
            dA=[pair and (pair[0] * seen, pair[1]) for pair in pairs],
            dx=None if dx is None else (dx * seen).reshape(x.shape),
            x=x,
            weight_norms=net.weight_norms,
            attained=attained,
        )


def first_order(net: Network, x, on="weights", relative=True) -> FirstOrder:
    """Linearise the logits of ``net`` at the images ``x`` (n, *input_shape) and choose the norm."""
    if on not in ON:
        raise ValueError(f"on: expected one of {ON}, received {on!r}")
    sizes = image_norms(x)
    return FirstOrder(
        net.linearise(x),
        on,
        net.weight_norms if relative else np.ones_like(net.weight_norms),
        sizes if relative else np.ones_like(sizes),
    )


def backward_error(net: Network, x, y_hat, on="weights", relative=True) -> Perturbation:
    """Smallest first-order perturbation that explains given logits (paper B, sections 2.1 and 2.4, eq. 4).

    Minimises ``Σ_i ‖ΔA_i‖²/α_i² + ‖Δx‖²/β²`` subject to ``𝒜 (ΔA_1, …, ΔA_p, Δx) = y_hat - net(x)``, one problem a
    sample. For one affine layer with only weights or only the input perturbed nothing is neglected and the result
    is exact; otherwise it is linearised.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    y_hat : array (n, classes)
        The logits to be explained.
    on : {"weights", "input", "both"}
        What may change.
    relative : bool
        Measure ΔA_i by ‖A_i‖ and Δx by ‖x‖ as in eq. (5); otherwise the plain norm of section 2.

    Returns
    -------
    Perturbation
        ``attained`` is False, and the factors are NaN, for a sample whose logits no such perturbation can reach
        (𝒜𝒜ᵀ singular and y_hat outside its range).

    Raises
    ------
    ValueError
        For images or logits of wrong shape or range, and an unknown ``on``.
    """
    x = net.check_images(x)
    y_hat = np.asarray(y_hat, dtype=float)
    if y_hat.shape != (len(x), net.classes):
        raise ValueError(f"y_hat: expected shape {(len(x), net.classes)}, received {y_hat.shape}")
    if not np.isfinite(y_hat).all():
        raise ValueError("y_hat: expected finite logits, received NaN or Inf")
    problem = first_order(net, x, on, relative)
    change = y_hat - problem.linearisation.logits

    eigenvalues, vectors = np.linalg.eigh(problem.gram())
    # Eigenvalues of a Gram matrix carry an absolute error of about u times the largest one.
    cutoff = net.classes * np.finfo(float).eps * eigenvalues[:, -1:]
    inverse = np.where(eigenvalues > cutoff, 1.0 / np.where(eigenvalues > cutoff, eigenvalues, 1.0), 0.0)

    def solve(right_hand_side):
        return np.einsum("nij,nj,nkj,nk->ni", vectors, inverse, vectors, right_hand_side, optimize=True)

    # 𝒜𝒜ᵀ has the square of the condition of 𝒜: correct θ by the residual of 𝒜 θ itself until that is rounding.
    theta, residual, wanted = None, change, np.linalg.norm(change, axis=1)
    for _ in range(CORRECTIONS):
        theta = _add(theta, problem.pull_back(solve(residual)))
        residual = change - problem.push_forward(*theta)
        if (np.linalg.norm(residual, axis=1) <= 4 * np.finfo(float).eps * wanted).all():
            break
    attained = np.linalg.norm(residual, axis=1) <= 1e-8 * wanted
    return problem.perturbation(*theta, net, x, attained)


def _add(theta, step):
    """Add two θ in factored form; the right factors h_{i-1} are the same."""
    if theta is None:
        return step
    pairs = [one and (one[0] + other[0], one[1]) for one, other in zip(theta[0], step[0], strict=True)]
    return pairs, None if step[1] is None else theta[1] + step[1]


def _times(vectors, matrices) -> np.ndarray:
    """Return the row vectors (n, k) times the matrices (n or 1, k, l), one product a sample."""
    if len(matrices) == 1:
        return vectors @ matrices[0]
    return (vectors[:, None] @ matrices)[:, 0]
