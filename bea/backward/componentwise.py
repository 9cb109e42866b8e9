"""Componentwise backward errors in closed form: of a linear system, and of the class that one layer gives.

For ``A x = b`` and a computed solution x̂ with residual ``r = b - A x̂``, Oettli and Prager (1964) found the smallest ε
for which ``(A + ΔA) x̂ = b + Δb`` with ``|ΔA| ≤ ε E`` and ``|Δb| ≤ ε f`` entry by entry: the largest
``|r_i|/(E |x̂| + f)_i`` (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2002, Theorem 7.3). With E = |A|
and f = |b| an entry that is zero stays zero.

A layer ``y = A h``, h being x with a one appended if there is a bias, gives x the class of the largest y. With
``g = a_label - a_j``, the lead of the label over j falls by

- ``ε |g|·|x|`` at most if ``|Δx| ≤ ε |x|``: every pixel goes against the sign of ``g_k``;
- ``ε (|a_label| + |a_j|)·|h|`` at most if ``|ΔA| ≤ ε |A|``: both rows go against the signs of h.

So the smallest ε is the lead over that, the least over all other classes. The rows of A change independently of each
other, so that with weights a target can win over all others at once, and ε is the largest over them.
"""

from dataclasses import dataclass

import numpy as np

from bea.backward.linear_systems import check_system, twice_precise_residual
from bea.networks.layers import Dense, Flatten
from bea.networks.leads import lead_over_each
from bea.networks.network import Network
from bea.numerics.arrays import flat


def oettli_prager(A, b, x_hat, sizes=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ε, ΔA, Δb: the componentwise backward error of ``x_hat`` and a perturbation that attains it.

    ε is infinite, and ΔA and Δb do not explain ``x_hat``, where nothing that may change can change the residual.

    Parameters
    ----------
    A : array (..., m, n)
    b : array (..., m)
    x_hat : array (..., n)
    sizes : pair of array, optional
        E (..., m, n) and f (..., m), what ΔA and Δb are measured by, not negative; the absolute values of
        A and b when not given. Zero for what must not change.

    Returns
    -------
    epsilon : array (...)
    dA : array (..., m, n)
        ``D E diag(sign x̂)``, D the diagonal matrix of ``r_i/(E |x̂| + f)_i``.
    db : array (..., m)
        ``-D f``.

    Raises
    ------
    ValueError
        If shapes do not match, something is not finite, or a size is negative.
    """
    A, b, x_hat = check_system(A, b, x_hat)
    E, f = (np.abs(A), np.abs(b)) if sizes is None else (np.asarray(size, dtype=float) for size in sizes)
    for name, size, like in (("E", E, A), ("f", f, b)):
        if size.shape != like.shape or not (np.isfinite(size) & (size >= 0.0)).all():
            raise ValueError(f"sizes: expected {name} of shape {like.shape}, not negative, received shape {size.shape}")
    residual = twice_precise_residual(A, b, x_hat)
    room = np.matvec(E, np.abs(x_hat)) + f
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(residual == 0.0, 0.0, residual / room)
    epsilon = np.abs(shares).max(axis=-1, initial=0.0)
    shares = np.where(np.isfinite(shares), shares, 0.0)
    return epsilon, shares[..., :, None] * E * np.sign(x_hat)[..., None, :], -shares * f


@dataclass(frozen=True, eq=False)
class ClassError:
    """How little one layer or its input must change, entry by entry, for another class to tie with the label.

    Attributes
    ----------
    epsilon : array (n,)
        The smallest ε; zero where the class is no longer the label's, infinite where nothing that may change helps.
    rival : int array (n,)
        The class that ties.
    dA : array (n, rows, columns) or None
        The change of the layer that attains it, None where that stays; NaN where ε is infinite.
    dx : array (n, *input_shape) or None
        The change of the input, likewise.
    """

    epsilon: np.ndarray
    rival: np.ndarray
    dA: np.ndarray | None
    dx: np.ndarray | None


def class_error(net: Network, x, label, *, on="input", target=None, margin=0.0) -> ClassError:
    """Componentwise backward error of another class, for one dense layer: exact, the global minimum.

    Minimises ε subject to ``|Δx| ≤ ε |x|`` ("input") or ``|ΔA| ≤ ε |A|`` ("weights", the bias among them) and
    ``y_j - y_label ≥ margin`` for some class j, or ``y_target - y_j ≥ margin`` for every j. Pixels may leave their
    range.

    Parameters
    ----------
    net : Network
        Of one dense layer.
    x : array (n, *input_shape)
    label : int array (n,)
        Class to get away from.
    on : {"input", "weights"}
    target : int array (n,), optional
        Class to reach, with weights alone: a change of the input has to serve all classes at once, and there is no
        closed form (``bea.attacks.componentwise_attack`` searches).
    margin : float
        In units of the logits, not negative.

    Raises
    ------
    ValueError
        For a network of more than one layer, images of wrong shape or range, classes of wrong shape or out of range, an
        unknown ``on``, a target with ``on="input"``, or a negative margin.
    TypeError
        For classes that are not integers.
    """
    layer = net.layers[-1]
    if any(not isinstance(other, Flatten) for other in net.layers[:-1]) or not isinstance(layer, Dense):
        raise ValueError(f"net: expected one dense layer, received {[type(each).__name__ for each in net.layers]}")
    x, label = net.check_images(x), net.check_classes(label, len(x), "label")
    if on not in ("input", "weights"):
        raise ValueError(f'on: expected "input" or "weights", received {on!r}')
    if target is not None and on == "input":
        raise ValueError('target: expected none with on="input", which has no closed form, received one')
    if not 0.0 <= margin < np.inf:
        raise ValueError(f"margin: expected a number that is not negative, received {margin!r}")
    aim = label if target is None else net.check_classes(target, len(x), "target")
    # What an aim must lose to one class, or gain on all, and by how much ε = 1 changes it.
    wanted = margin + lead_over_each(net(x), aim) * (1.0 if target is None else -1.0)
    h, own = layer.augment(flat(x)), np.arange(net.classes) == aim[:, None]
    if on == "input":
        room = np.matvec(np.abs(layer.kernel[aim][:, None] - layer.kernel), np.abs(flat(x)))
    else:
        each = np.abs(h) @ np.abs(layer.matrix).T
        room = np.take_along_axis(each, aim[:, None], 1) + each
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.where(wanted <= 0.0, 0.0, wanted / room)
    sizes[own] = np.inf if target is None else 0.0
    rival = sizes.argmin(axis=1) if target is None else sizes.argmax(axis=1)
    epsilon = np.take_along_axis(sizes, rival[:, None], 1)[:, 0]
    reach = np.where(np.isinf(epsilon), np.nan, epsilon)
    if on == "input":
        against = np.sign(layer.kernel[rival] - layer.kernel[aim])
        dx = (reach[:, None] * against * np.abs(flat(x))).reshape(x.shape)
        return ClassError(epsilon, rival, None, dx)
    rises = own if target is not None else np.arange(net.classes) == rival[:, None]
    falls = ~own if target is not None else own
    ways = rises.astype(float) - falls
    dA = (reach[:, None] * ways)[:, :, None] * np.sign(h)[:, None] * np.abs(layer.matrix)
    return ClassError(epsilon, rival, dA, None)
