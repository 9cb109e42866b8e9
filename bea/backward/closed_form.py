"""Backward errors in closed form (paper B, section 2).

To first order the logits change by ``Δy = 𝒜 θ``, θ stacking the entries of ΔA_1, …, ΔA_p and Δx. The smallest θ is
``𝒜⁺ Δy = 𝒜ᵀ (𝒜𝒜ᵀ)⁻¹ Δy``. No 𝒜 is formed: with S_i and h_{i-1} of the linearisation,
``𝒜𝒜ᵀ = Σ_i α_i² ‖h_{i-1}‖² S_i S_iᵀ + β² J Jᵀ`` has as many rows as there are classes, and
``ΔA_i = α_i² (S_iᵀ g) h_{i-1}ᵀ``, ``Δx = β² Jᵀ g`` for ``g = (𝒜𝒜ᵀ)⁻¹ Δy``.
The weights α_i, β are one for the plain norm, ‖A_i‖ and ‖x‖ for the relative norm of eq. (5).
For a convolution, patches h and sensitivities S are multiplied and added up over the positions: the derivative of
logit k with respect to A_i is ``Σ_positions S_{i,k} hᵀ``, as large as A_i itself.
"""

from dataclasses import dataclass, replace

import numpy as np

from bea.backward.choice import Changing, changing
from bea.backward.explained import explained
from bea.networks.linearisation import Linearisation
from bea.networks.network import Network
from bea.networks.perturbation import Perturbation
from bea.networks.positions import derivatives, products
from bea.numerics.arrays import flat, image_norms
from bea.numerics.blocks import blocks, join

METHODS = ("linearised", "converged")
CORRECTIONS = 5
NUMBERS = 2**28  # about how many may be held at a time, 2 GB


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """The linear map ``θ -> 𝒜 θ`` of a batch and the norm in which θ is measured.

    Attributes
    ----------
    linearisation : Linearisation
    changing : Changing
        What may change.
    weight_scales : array (p,)
        α_i.
    input_scales : array (n,)
        β.
    """

    linearisation: Linearisation
    changing: Changing
    weight_scales: np.ndarray
    input_scales: np.ndarray

    def gram(self) -> np.ndarray:
        """Return 𝒜𝒜ᵀ, (n, classes, classes)."""
        lin = self.linearisation
        n, classes = lin.logits.shape
        gram = np.zeros((n, classes, classes))
        for scale, h, rows in self._blocks():
            if h.ndim == 2:
                gram += (scale**2 * np.sum(h * h, axis=1))[:, None, None] * (rows @ rows.swapaxes(1, 2))
            else:
                each = flat(derivatives(rows, h), keep=2)
                gram += scale**2 * (each @ each.swapaxes(1, 2))
        if self.changing.input:
            gram += (self.input_scales**2)[:, None, None] * (lin.jacobian @ lin.jacobian.swapaxes(1, 2))
        return gram

    def pull_back(self, g) -> tuple[list, np.ndarray | None]:
        """Return θ = 𝒜ᵀ g: the factors, or for a convolution the entries, of every ΔA_i, and Δx (n, pixels)."""
        found = []
        for scale, h, rows in self._blocks():
            if h.ndim == 2:
                found.append((scale**2 * _times(g, rows), h))
            elif h.ndim == 3:
                found.append(scale**2 * np.einsum("nk,nkpr,npc->nrc", g, rows, h, optimize=True))
            else:
                found.append(scale**2 * derivatives(np.einsum("nk,nkpr->npr", g, rows)[:, None], h)[:, 0])
        changes = [found.pop(0) if changes else None for changes in self.changing.layers]
        dx = (self.input_scales**2)[:, None] * _times(g, self.linearisation.jacobian) if self.changing.input else None
        return changes, dx

    def push_forward(self, changes, dx) -> np.ndarray:
        """Return 𝒜 θ, the first-order change of the logits, (n, classes)."""
        lin = self.linearisation
        logits = np.zeros_like(lin.logits)
        for change, (_, h, rows) in zip((c for c in changes if c is not None), self._blocks(), strict=True):
            if h.ndim == 2:
                left, right = change
                logits += _times(left * np.sum(right * h, axis=1, keepdims=True), rows.swapaxes(1, 2))
            elif h.ndim == 3:
                logits += np.einsum("nkpr,nrc,npc->nk", rows, change, h, optimize=True)
            else:
                logits += np.einsum("nkpr,npr->nk", rows, products(h, change))
        if dx is not None:
            logits += _times(dx, lin.jacobian.swapaxes(1, 2))
        return logits

    def perturbation(self, changes, dx, net: Network, x, attained) -> Perturbation:
        """Return θ as a ``Perturbation``; NaN where it is not attained."""
        seen = np.where(attained, 1.0, np.nan)[:, None]
        return Perturbation(
            dA=[_scale(change, seen) for change in changes],
            dx=None if dx is None else (dx * seen).reshape(x.shape),
            x=x,
            weight_norms=net.weight_norms,
            attained=attained,
        )

    def _blocks(self):
        """Yield α_i, h_{i-1} and S_i of every layer that may change."""
        lin = self.linearisation
        for changes, *block in zip(
            self.changing.layers, self.weight_scales, lin.inputs, lin.sensitivities, strict=True
        ):
            if changes:
                yield block


def first_order(net: Network, x, on="weights", relative=True, activated=False) -> FirstOrder:
    """Linearise the logits of ``net`` at the images ``x`` (n, *input_shape) and choose the norm.

    ``on`` is what ``changing`` returned, or what it reads.
    """
    sizes, change = image_norms(x), on if isinstance(on, Changing) else changing(net, on)
    return FirstOrder(
        net.linearise(x, activated, change.layers),
        change,
        net.weight_norms if relative else np.ones_like(net.weight_norms),
        sizes if relative else np.ones_like(sizes),
    )


def backward_error(
    net: Network, x, y_hat, on="weights", relative=True, activated=False, *, method="linearised"
) -> Perturbation:
    """Smallest perturbation that explains given outputs (paper B, sections 2.1 to 2.4, eq. 4).

    Minimises ``Σ_i ‖ΔA_i‖²/α_i² + ‖Δx‖²/β²``, one problem a sample. ("linearised") subject to
    ``𝒜 (ΔA_1, …, ΔA_p, Δx) = y_hat - y``, where y are the logits ``net(x)`` or, if ``activated``, what the output
    activation makes of them: the closed form. For one affine layer with only weights or only the input perturbed, and
    logits, nothing is neglected and the result is exact. ("converged") subject to the equation itself, that the
    perturbed network has the outputs ``y_hat``: linearised again at every point that is found until the conditions of
    optimality hold, see ``bea.backward.explained``. Locally optimal; ``bea.bounds.outputs_bound`` is a number that no
    perturbation of the wanted kind is below.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    y_hat : array (n, classes)
        The outputs to be explained.
    on : {"weights", "input", "both"} or tuple
        What may change; a tuple holds numbers of weighted layers, from 1, and "input".
    relative : bool
        Measure ΔA_i by ‖A_i‖ and Δx by ‖x‖ as in eq. (5); otherwise the plain norm of section 2.
    activated : bool
        Whether ``y_hat`` are activated outputs (sections 2.3 and 2.4) instead of logits.
    method : {"linearised", "converged"}

    Returns
    -------
    Perturbation
        ``attained`` is False, and the entries are NaN, for a sample whose outputs no such perturbation can reach
        (𝒜𝒜ᵀ singular, as with dead or saturated units, and y_hat outside its range). Converged: where none was found;
        ``residual`` says by how much the conditions are missed, and ``iterations`` after how many steps.

    Raises
    ------
    ValueError
        For images or outputs of wrong shape or range, an unknown ``on`` or ``method``, and ``activated`` outputs of a
        softmax with the method "converged".
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, received {method!r}")
    if method == "converged" and activated and net.output_activation == "softmax":
        raise ValueError("activated: expected an output activation that acts elementwise, received 'softmax'")
    x = net.check_images(x)
    if np.iscomplexobj(y_hat):
        raise ValueError("y_hat: expected real outputs, received complex ones")
    y_hat = np.asarray(y_hat, dtype=float)
    if y_hat.shape != (len(x), net.classes):
        raise ValueError(f"y_hat: expected shape {(len(x), net.classes)}, received {y_hat.shape}")
    if not np.isfinite(y_hat).all():
        raise ValueError("y_hat: expected finite outputs, received NaN or Inf")
    if activated:
        _check_range(y_hat, net.output_activation)
    solve = explained if method == "converged" else _closed_form
    return solve(net, x, y_hat, changing(net, on), relative, activated)


def _closed_form(net: Network, x, y_hat, change: Changing, relative=True, activated=False) -> Perturbation:
    """Return what ``backward_error`` does by the closed form, for checked arguments."""
    parts = blocks(len(x), max(NUMBERS // net.numbers(change.layers), 1))
    found = [_solved(net, x[part], y_hat[part], change, relative, activated) for part in parts]
    dA, dx, attained = join([(each.dA, each.dx, each.attained) for each in found])
    return replace(found[0], dA=dA, dx=dx, x=x, attained=attained)


def _solved(net, x, y_hat, on, relative, activated) -> Perturbation:
    """Return what ``backward_error`` does for one block of checked images and outputs."""
    problem = first_order(net, x, on, relative, activated)
    change = y_hat - problem.linearisation.logits

    with np.errstate(over="ignore", invalid="ignore"):
        gram = problem.gram()
        finite = np.isfinite(gram).all(axis=(1, 2)) & np.isfinite(change).all(axis=1)
    gram[~finite], change[~finite] = 0.0, 1.0  # too large for float64: reported as not attained

    # Every output in units of the length of its row of 𝒜: the same θ, and outputs near saturation keep their digits.
    sizes = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    largest = sizes.max(axis=1, keepdims=True)
    units = np.where(sizes > 0.0, sizes, np.where(largest > 0.0, largest, 1.0))
    eigenvalues, vectors = np.linalg.eigh(gram / units[:, :, None] / units[:, None])
    # Eigenvalues of a Gram matrix carry an absolute error of about u times the largest one.
    cutoff = net.classes * np.finfo(float).eps * eigenvalues[:, -1:]
    inverse = np.where(eigenvalues > cutoff, 1.0 / np.where(eigenvalues > cutoff, eigenvalues, 1.0), 0.0)

    def solve(right_hand_side):
        return np.einsum("nij,nj,nkj,nk->ni", vectors, inverse, vectors, right_hand_side / units, optimize=True) / units

    # 𝒜𝒜ᵀ has the square of the condition of 𝒜: correct θ by the residual of 𝒜 θ itself until that is rounding.
    theta, wanted, finished = None, np.linalg.norm(change / units, axis=1), np.zeros(len(x), dtype=bool)
    residual = change
    for _ in range(CORRECTIONS):
        # A sample that is finished stays as it is, whatever the others of the batch need.
        theta = _add(theta, problem.pull_back(solve(np.where(finished[:, None], 0.0, residual))))
        residual = change - problem.push_forward(*theta)
        missing = np.linalg.norm(residual / units, axis=1)
        finished |= missing <= 4 * np.finfo(float).eps * wanted
        if finished.all():
            break
    attained = finite & (missing <= 1e-8 * wanted)
    return problem.perturbation(*theta, net, x, attained)


def _check_range(y_hat, activation) -> None:
    """Raise ``ValueError`` for activated outputs that the activation never takes."""
    limits = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0)}.get(activation)
    if limits is None:
        return
    outside = (y_hat <= limits[0]) | (y_hat >= limits[1])
    if outside.any():
        raise ValueError(
            f"y_hat: expected outputs of {activation}, between {limits[0]:g} and {limits[1]:g}, received "
            f"{y_hat[outside][0]:g} for sample {np.flatnonzero(outside.any(axis=1))[0]}"
        )
    sums = y_hat.sum(axis=1)
    if activation == "softmax" and (np.abs(sums - 1.0) > 1e-12).any():
        worst = int(np.argmax(np.abs(sums - 1.0)))
        raise ValueError(
            f"y_hat: expected outputs of softmax, summing to 1, received {float(sums[worst])!r} for sample {worst}"
        )


def _add(theta, step):
    """Add two θ; the right factors h_{i-1} are the same."""
    if theta is None:
        return step

    def plus(one, other):
        if one is None:
            return None
        return (one[0] + other[0], one[1]) if isinstance(one, tuple) else one + other

    changes = [plus(one, other) for one, other in zip(theta[0], step[0], strict=True)]
    return changes, None if step[1] is None else theta[1] + step[1]


def _scale(change, factors):
    """Multiply a ΔA, given by its factors or entries, by one number (n, 1) a sample."""
    if change is None:
        return None
    return (change[0] * factors, change[1]) if isinstance(change, tuple) else change * factors[:, :, None]


def _times(vectors, matrices) -> np.ndarray:
    """Return the row vectors (n, k) times the matrices (n or 1, k, l), one product a sample."""
    if len(matrices) == 1:
        return vectors @ matrices[0]
    return (vectors[:, None] @ matrices)[:, 0]
