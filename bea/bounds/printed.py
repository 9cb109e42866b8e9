"""The lower bounds of paper P as they are printed: theorems 4.1, 4.2 and 4.4 and the softmax bound, and their chain.

The problem: if the input of the next layer has to move by κ before the class can change, how far has the input of this
one to move? Each theorem answers it for one kind of layer, and the chain goes from the output to the image. These are
the printed answers, not proven ones: theorem 4.2 fails where windows overlap, and theorem 4.1 with M = 0 where units
switch. ``bea.bounds.lower_bound`` offers what can be proved. Lengths are Euclidean.
"""

import numpy as np

from bea.networks.activations import BELL_SHAPED
from bea.networks.layers import Activation, Dense, Flatten
from bea.networks.leads import lead_over_each
from bea.networks.network import Network
from bea.networks.windows import AveragePool, Convolution, MaxPool

ACCURACY = 1e-6  # of a Jacobian's spectral norm
BEND = 4 / (3 * np.sqrt(3))  # the largest |tanh''|
STEPS = 10  # of Lanczos between two looks at the accuracy


def softmax_bound(layer: Dense, y, own=None) -> np.ndarray:
    """Return κ₆ (n,), the distance to the nearest hyperplane between two classes (paper P, section 4.1).

    ``min over c' ≠ c of |(w_c' - w_c)·y + b_c' - b_c| / ‖w_c' - w_c‖``; infinite where the rows w are equal and the
    biases are not.

    Parameters
    ----------
    layer : Dense
        The last one, whose output is the logits.
    y : array (n, inputs)
        Inputs of this layer.
    own : array (n,) of int, optional
        Class c; the leading one unless given.
    """
    return hyperplanes(layer, np.asarray(y, dtype=float), own).min(axis=1)


def hyperplanes(layer: Dense, y, own=None) -> np.ndarray:
    """Return the distance to the hyperplane between class c and every other, (n, classes), infinite for c itself."""
    logits = layer.forward(y)
    own = logits.argmax(axis=1) if own is None else own
    norms = np.linalg.norm(layer.kernel[:, None] - layer.kernel, axis=2)
    distances = ratio(np.abs(lead_over_each(logits, own)), norms[own])
    distances[np.arange(len(y)), own] = np.inf
    return distances


def fully_connected_bound(kappa, jacobian_norm, outputs, curvature=0.0) -> np.ndarray:
    """Return the bound of theorem 4.1 (paper P, section 4.2), in a form without cancellation.

    ``(√(‖J‖² + 2 M √n κ) - ‖J‖) / (M √n) = 2 κ / (‖J‖ + √(‖J‖² + 2 M √n κ))``, which for M = 0 is the limit κ / ‖J‖.
    Where J and M are both zero it is infinite, as the limit says, though the function may grow from there on.

    Parameters
    ----------
    kappa : array (n,)
        What the next layer withstands.
    jacobian_norm : array (n,) or float
        ‖J(x)‖, spectral.
    outputs : int
        n, the outputs of the layer.
    curvature : float
        M, a bound of the second derivatives; not negative.
    """
    kappa = np.asarray(kappa, dtype=float)
    bend = 2.0 * curvature * np.sqrt(outputs)
    # Infinite κ has an infinite bound, which the quotient of two infinities would not give.
    finite = np.where(np.isfinite(kappa), kappa, 1.0)
    root = np.sqrt(np.square(jacobian_norm) + bend * finite)
    return np.where(np.isfinite(kappa), ratio(2.0 * finite, jacobian_norm + root), np.inf)


def tanh_curvatures(V) -> tuple[float, float]:
    """Return M of theorem 4.1 for ``tanh(V y + b)``: a bound of the Hessians' norms, and one of their entries.

    The Hessian of output k is ``tanh''(v_k) V_kᵀ V_k``, and ``|tanh''|`` is at most 4/(3√3).

    Parameters
    ----------
    V : array (outputs, inputs)
    """
    return BEND * np.square(np.linalg.norm(V, axis=1)).max(), BEND * np.square(V).max()


def tanh_pair_curvature(V, U) -> float:
    """Return a bound of the Hessians' norms for ``tanh(U tanh(V y + b) + c)``.

    ``max_k μ (‖U_k‖ ‖V‖)² + μ ‖Vᵀ diag|U_k| V‖`` with μ = 4/(3√3): the bend of the second layer and of the first.
    """
    outer = BEND * (np.linalg.norm(V, 2) * np.linalg.norm(U, axis=1)) ** 2
    return (outer + BEND * np.linalg.norm(V.T @ (np.abs(U)[:, :, None] * V), 2, axis=(1, 2))).max()


def convolution_bound(kappa, kernel) -> np.ndarray:
    """Return the bound of theorem 4.2 (paper P, section 4.3), ``κ / ‖W‖_F``.

    Infinite for a kernel W of zeros, whose output never moves.
    """
    return ratio(kappa, np.linalg.norm(kernel))


def pooling_bound(kappa, output_side, kind="max", size=None, p=None) -> np.ndarray:
    """Return the bound of theorem 4.4 (paper P, section 4.4).

    ``κ / t`` for maximum and average, ``κ / (t q^(2/p))`` for L_p pooling.

    Parameters
    ----------
    kappa : array (n,)
        What the next layer withstands.
    output_side : int
        t, the side of the square output.
    kind : {"max", "average", "lp"}
    size : int
        q, the side of a window; for ``"lp"`` only.
    p : float
        For ``"lp"`` only; at least one.

    Raises
    ------
    ValueError
        For another kind, or if ``size`` or ``p`` is missing or makes no sense.
    """
    if kind not in ("max", "average", "lp"):
        raise ValueError(f"kind: expected 'max', 'average' or 'lp', received {kind!r}")
    if kind != "lp":
        return np.asarray(kappa, dtype=float) / output_side
    if size is None or size < 1:
        raise ValueError(f"size: expected the side of a window, at least 1, for 'lp', received {size!r}")
    if p is None or not p >= 1.0:
        raise ValueError(f"p: expected a number from 1 on for 'lp', received {p!r}")
    return np.asarray(kappa, dtype=float) / (output_side * size ** (2.0 / p))


def chain(net: Network, x, own=None, curvature=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Walk the printed bounds from the logits back to the image (paper P, section 5).

    A dense layer and the activation behind it are one fully connected layer, with J at x alone; so are a convolution
    and its ReLU. The entry of such an activation repeats that of the layer behind it, since no theorem parts the two.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape)
    own : array (n,) of int, optional
        Class of every image; the leading one unless given.
    curvature : float
        M of theorem 4.1, for all fully connected layers.

    Returns
    -------
    kappa : array (n, layers)
        How far the input of every layer has to move, according to the theorems.
    rival : array (n,) of int
        The class whose hyperplane is nearest.

    Raises
    ------
    ValueError
        If a layer stands where no printed theorem covers it.
    """
    steps = printed_steps(net)
    values = net.trace(x)
    distances = hyperplanes(net.layers[-1], values[-2], own)
    kappa = np.empty((len(x), len(net.layers)))
    kappa[:, -1] = distances.min(axis=1)
    for number in range(len(net.layers) - 2, -1, -1):
        kappa[:, number] = steps[number](kappa[:, number + 1], values[number + 1], values[number + 2], curvature)
    return kappa, distances.argmin(axis=1)


def printed_steps(net: Network) -> list:
    """Return what a theorem makes of κ at every layer but the last, or raise ``ValueError`` where there is none."""
    steps, shape = [], net.input_shape
    for number, layer in enumerate(net.layers[:-1]):
        before, behind = net.layers[number - 1] if number else None, net.layers[number + 1]
        shape = layer.output_shape(shape)
        joined = isinstance(before, Dense) or (isinstance(before, Convolution) and layer == Activation("relu"))
        printed = not isinstance(layer, Activation) or layer.name in BELL_SHAPED
        if isinstance(layer, Flatten) or (isinstance(layer, Activation) and joined and printed):
            steps.append(_unchanged)
        elif isinstance(layer, Dense):
            steps.append(_fully_connected(layer, behind if isinstance(behind, Activation) else None))
        elif isinstance(layer, Convolution) and layer.plain:
            steps.append(lambda kappa, v, y, curvature, layer=layer: convolution_bound(kappa, layer.kernel))
        elif isinstance(layer, MaxPool | AveragePool) and shape[0] == shape[1]:
            steps.append(lambda kappa, v, y, curvature, side=shape[0]: pooling_bound(kappa, side))
        else:
            raise ValueError(
                f"net: expected layers that a theorem of the paper covers, received layers[{number}], "
                f"a {type(layer).__name__} with output {shape}{f' behind a {type(before).__name__}' if before else ''}"
            )
    return steps


def _unchanged(kappa, v, y, curvature):
    return kappa


def _fully_connected(layer, activation):
    if activation is None:
        norm = np.linalg.norm(layer.kernel, 2)
        return lambda kappa, v, y, curvature: fully_connected_bound(kappa, norm, len(layer.kernel), curvature)
    products = layer.kernel @ layer.kernel.T

    def bound(kappa, v, y, curvature):
        norms = jacobian_norms(products, activation.slope(v, y))
        return fully_connected_bound(kappa, norms, len(layer.kernel), curvature)

    return bound


def jacobian_norms(products, slopes) -> np.ndarray:
    """Return the spectral norms (n,) of ``diag(slopes) V`` for every row of slopes (n, rows), given ``V Vᵀ``.

    Lanczos for the whole batch side by side, from one fixed start, until the residuals say that every norm is right to
    1e-6 of it. As with every iteration of this kind that rests on a start that is not orthogonal to the vector looked
    for, and an estimate that is off is too small.
    """
    n, rows = slopes.shape
    if not n:
        return np.zeros(0)
    start = slopes * np.random.default_rng(0).standard_normal(rows)
    vector, previous, coupling = _unit(start)[0], np.zeros_like(slopes), np.zeros(n)
    diagonal, beside = [], []
    while True:
        step = slopes * ((slopes * vector) @ products)
        diagonal.append(np.vecdot(vector, step))
        step -= diagonal[-1][:, None] * vector + coupling[:, None] * previous
        previous = vector
        vector, coupling = _unit(step)
        if len(diagonal) % STEPS == 0 or len(diagonal) >= rows:
            values, vectors = np.linalg.eigh(_tridiagonal(diagonal, beside))
            residual = coupling * np.abs(vectors[:, -1, -1])
            if len(diagonal) >= rows or (residual <= ACCURACY * values[:, -1]).all():
                return np.sqrt(np.maximum(values[:, -1], 0.0))
        beside.append(coupling)


def _unit(step):
    """Return the rows divided by their lengths, rows of zeros left as they are, and the lengths."""
    lengths = np.sqrt(np.vecdot(step, step))
    return step / np.where(lengths > 0.0, lengths, 1.0)[:, None], lengths


def _tridiagonal(diagonal, beside):
    size = len(diagonal)
    matrices = np.zeros((len(diagonal[0]), size, size))
    places = np.arange(size)
    matrices[:, places, places] = np.stack(diagonal, axis=1)
    if beside:  # the lower triangle is enough for eigh
        matrices[:, places[1:], places[:-1]] = np.stack(beside, axis=1)
    return matrices


def ratio(kappa, constant) -> np.ndarray:
    """Return κ divided by a constant; where that is zero, infinity for a positive κ and zero for zero."""
    kappa, constant = np.broadcast_arrays(np.asarray(kappa, dtype=float), np.asarray(constant, dtype=float))
    infinite = np.where(kappa > 0.0, np.inf, 0.0)
    return np.divide(kappa, constant, out=infinite, where=constant > 0.0)
