"""Exact attacks on affine classifiers: the smallest change that leaves a class, and the worst one in a box.

The logits are ``v = W x + b``, so the label y leads class j by ``m_j(x) = v_y - v_j``, an affine function with gradient
``g_j = w_y - w_j``. Both problems fall into one half-space for each j:

- the smallest Δx after which some class leads the label by a margin m has the length ``min_j (m_j + m)/‖g_j‖_*``, where
  ‖·‖_* is the Euclidean norm again, or the sum of the absolute values if a change is as large as its largest pixel;
- over ``‖Δx‖∞ ≤ ε`` the smallest lead is ``min_j (m_j - ε ‖g_j‖₁)``, or, with the range of the pixels as well, the
  smallest of the m_j at the corners ``clip(x - ε sign g_j)``.
"""

from dataclasses import dataclass

import numpy as np

from bea.attacks.common import InputAttackResult, StepResult, check_aim, conclude, in_image_blocks
from bea.networks.global_pooling import GlobalAveragePool
from bea.networks.layers import Dense, Flatten, Readout
from bea.networks.leads import lead_over_each
from bea.networks.network import Network
from bea.networks.normalisation import Scale
from bea.networks.pixels import into_range
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.windows import AveragePool, Convolution
from bea.numerics.arrays import column, flat
from bea.numerics.checks import check_each, check_positive

AFFINE = (
    *(AveragePool, Convolution, Crop, Dense, Flatten, GlobalAveragePool),
    *(Pad, Permute, Readout, Reshape, Scale),
)
NORMS = (2, np.inf)


@dataclass(frozen=True, eq=False)
class SmallestChange(InputAttackResult):
    """What came of a batch of n searches for the smallest change; see ``InputAttackResult``.

    Attributes
    ----------
    radius : array (n,)
        Distance of x to where the label no longer leads, without any margin, in the norm asked for: no shorter change
        changes the class. Zero where x does not have the label's class, infinite where no change takes it away.
    """

    radius: np.ndarray
    standing = "proven"


@dataclass(frozen=True, eq=False)
class WorstChange(StepResult):
    """What came of a batch of n searches for the worst change in a box; see ``StepResult``.

    Attributes
    ----------
    lead : array (n,)
        The smallest lead of the label in the box, in units of the logits: its logit less the largest other one.
    """

    lead: np.ndarray
    standing = "proven, the worst within its box"


def smallest_change(net: Network, x, label, *, norm=2, margin=1e-3) -> SmallestChange:
    """Smallest change of an image after which another class than the label leads, the global minimum.

    Minimises ``‖Δx‖`` subject to ``v_j - v_label ≥ margin`` for some j. The pixels may leave their range. There is no
    target: one has to lead all other classes, which is no single half-space. For that ``bea.attack`` on the input is
    exact in the Euclidean norm, as the network is affine. Paper P, section 4.1, has the distance of a softmax layer.

    Parameters
    ----------
    net : Network
        Of dense layers, convolutions, averages and reshapes only.
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    label : int array (n,)
        Class to get away from: the true or the present one.
    norm : {2, numpy.inf}
        Euclidean length, or the largest change of a pixel.
    margin : float
        Lead of the other class, positive, in units of the logits.

    Returns
    -------
    SmallestChange
        ``dx`` is zero where x has another class than the label, NaN where the logits of the label and of all others
        differ by constants.

    Raises
    ------
    ValueError
        For a network that is not affine, images of wrong shape or range, labels of wrong shape or out of range, an
        unknown norm, or a margin that is not positive.
    TypeError
        For labels that are not integers.
    """
    matrix = check_affine(net)
    x, label, _ = check_aim(net, x, label)
    if norm not in NORMS:
        raise ValueError(f"norm: expected one of {NORMS}, received {norm!r}")
    check_positive("margin", margin)
    between = matrix[:, None] - matrix
    sizes = np.linalg.norm(between, ord=2 if norm == 2 else 1, axis=2)

    def block(x, label):
        logits = net(x)
        leads, size = _other(lead_over_each(logits, label), label), sizes[label]
        with np.errstate(divide="ignore", invalid="ignore"):
            radius = np.where(size > 0.0, leads / size, np.inf).min(axis=1)
            lengths = np.where(size > 0.0, (leads + margin) / size, np.inf)
        nearest = lengths.argmin(axis=1)
        length = lengths[np.arange(len(x)), nearest]
        direction = between[label, nearest]
        with np.errstate(invalid="ignore"):  # where the length is infinite
            direction = direction / sizes[label, nearest][:, None] if norm == 2 else np.sign(direction)
            dx = np.where(np.isinf(length)[:, None], np.nan, -length[:, None] * direction)
        wrong = logits.argmax(axis=1) != label
        dx[wrong], radius[wrong] = 0.0, 0.0
        return *conclude(net, x, dx.reshape(x.shape), label, False), radius

    return SmallestChange(*in_image_blocks(net, block, x, label))


def worst_change(net: Network, x, label, epsilon, *, clip=False) -> WorstChange:
    """Change of at most ε a pixel after which the label leads least, the global minimum over the box.

    Minimises ``min_j (v_label - v_j)`` at ``x + Δx`` over ``‖Δx‖∞ ≤ ε``, with ``clip`` also over ``x + Δx`` in the
    range of the pixels. With two classes this is ``bea.attacks.gradient_signs.fgsm`` (paper R, Figure 2).

    Parameters
    ----------
    net, x, label
        As in ``smallest_change``.
    epsilon : float or array (n,)
        Largest change of a pixel, positive.
    clip : bool
        Whether ``x + Δx`` is kept within ``net.input_range``.

    Returns
    -------
    WorstChange
        ``epsilon`` is the one given.

    Raises
    ------
    ValueError
        As ``smallest_change``, for an ``epsilon`` that is not positive or of wrong shape, or ``clip`` for a network
        without range.
    TypeError
        For labels that are not integers.
    """
    matrix = check_affine(net)
    x, label, _ = check_aim(net, x, label, None, clip)
    epsilon = check_each("epsilon", epsilon, len(x))

    def block(x, label, epsilon):
        leads = _other(lead_over_each(net(x), label), label)
        lead, dx = np.full(len(x), np.inf), np.zeros_like(x)
        for j in range(net.classes):
            gradient = (matrix[label] - matrix[j]).reshape(x.shape)
            corner = -column(epsilon, x) * np.sign(gradient)
            if clip:
                corner = into_range(net, x, corner)
            reached = leads[:, j] + np.vecdot(flat(gradient), flat(corner))
            worse = reached < lead
            lead[worse], dx[worse] = reached[worse], corner[worse]
        return *conclude(net, x, dx, label, False), epsilon, lead

    return WorstChange(*in_image_blocks(net, block, x, label, epsilon))


def check_affine(net) -> np.ndarray:
    """Return W (classes, pixels) of an affine network, or raise ``ValueError``."""
    for number, layer in enumerate(net.layers):
        if not isinstance(layer, AFFINE):
            names = ", ".join(kind.__name__ for kind in AFFINE)
            raise ValueError(f"net: expected an affine network ({names}), received a {type(layer).__name__} [{number}]")
    return net.linearise(np.zeros((1, *net.input_shape))).jacobian[0]


def _other(leads, label) -> np.ndarray:
    """Return the leads (n, classes) with infinity for the label's own."""
    return np.where(np.arange(leads.shape[1]) == label[:, None], np.inf, leads)
