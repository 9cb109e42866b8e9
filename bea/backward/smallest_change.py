"""Backward errors of given outputs (paper B, section 2): the smallest change that explains them."""

import numpy as np

from bea.backward.closed_form import changing, closed_form
from bea.backward.explained import explained
from bea.networks.network import Network
from bea.networks.perturbation import Perturbation

METHODS = {"linearised": closed_form, "converged": explained}


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
    if method not in METHODS:
        raise ValueError(f"method: expected one of {tuple(METHODS)}, received {method!r}")
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
        if method == "converged" and net.output_activation == "softmax":
            raise ValueError("activated: expected an output activation that acts elementwise, received 'softmax'")
    return METHODS[method](net, x, y_hat, changing(net, on), relative, activated)


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
