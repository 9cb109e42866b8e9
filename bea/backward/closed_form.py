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

from bea.networks.linearisation import Linearisation
from bea.networks.network import Network
from bea.networks.perturbation import Perturbation
from bea.networks.positions import derivatives, products
from bea.numerics.arrays import flat, image_norms
from bea.numerics.blocks import blocks, join

CORRECTIONS = 5
NUMBERS = 2**28  # about how many may be held at a time, 2 GB


@dataclass(frozen=True)
class Changing:
    """What may change: which of the weighted layers, and whether the input."""

    layers: tuple[bool, ...]
    input: bool


def changing(net: Network, on) -> Changing:
    """Read ``on``: "weights", "input", "both", or a tuple of layer numbers from 1 to p and "input"."""
    p = len(net.weighted)
    everything = tuple(range(1, p + 1))
    words = {"weights": everything, "input": ("input",), "both": (*everything, "input")}
    parts = words.get(on) if isinstance(on, str) else on
    known = (
        isinstance(parts, tuple | list)
        and len(parts) > 0
        and all(
            part == "input" or (isinstance(part, int | np.integer) and not isinstance(part, bool) and 1 <= part <= p)
            for part in parts
        )
    )
    if not known or len(set(parts)) < len(parts):
        raise ValueError(
            f'on: expected one of {tuple(words)} or a tuple of distinct layer numbers from 1 to {p} and "input", '
            f"received {on!r}"
        )
    return Changing(tuple(number in parts for number in everything), "input" in parts)


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


def closed_form(net: Network, x, y_hat, change: Changing, relative=True, activated=False) -> Perturbation:
    """Return what ``backward_error`` does by the closed form, for checked arguments."""
    parts = blocks(len(x), max(NUMBERS // net.numbers(change.layers), 1))
    found = [_solved(net, x[part], y_hat[part], change, relative, activated) for part in parts]
    dA, dx, attained = join([(each.dA, each.dx, each.attained) for each in found])
    return replace(found[0], dA=dA, dx=dx, x=x, attained=attained)


def _solved(net, x, y_hat, on, relative, activated) -> Perturbation:
    """Return what ``closed_form`` does for one block of checked images and outputs."""
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
