"""The attack that changes as few pixels as there can be, for an affine network: the optimum of p = 0, proved.

Minimises ``‖Δx‖₀`` such that the target leads every other class by a margin, or without a target any class but
the label leads the label by it, and ``low ≤ x + Δx ≤ high`` (paper R, eq. 6 with p = 0). With affine leads ``m_j +
g_j·Δx`` this is a mixed-integer linear programme,

    minimise Σ_k z_k  over  z_k ∈ {0, 1},  (low - x_k) z_k ≤ Δx_k ≤ (high - x_k) z_k,  m_j + g_j·Δx ≥ margin,

which SciPy's HiGHS solves to a proved optimum. It is what the greedy ``bea.attacks.saliency`` is to be measured
against.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, hstack

from bea.attacks.affine import check_affine
from bea.attacks.common import InputAttackResult, achieved, check_aim, conclude
from bea.networks.leads import lead_over_others
from bea.networks.network import Network
from bea.networks.pixels import into_range, limits
from bea.numerics.checks import check_positive
from bea.numerics.progress import counting, showing


@dataclass(frozen=True, eq=False)
class FewestPixels(InputAttackResult):
    """What came of a batch of n searches for the fewest pixels; see ``InputAttackResult``.

    Attributes
    ----------
    proved : bool array (n,)
        Whether the optimum was proved, or, where ``dx`` is NaN, that there is none.
    """

    proved: np.ndarray

    @property
    def standing(self) -> str:
        """For how many samples it is proven."""
        return f"proven for {np.count_nonzero(self.proved)}"


def fewest_pixels(net: Network, x, label, *, target=None, margin=1e-3, seconds=60.0, progress=False) -> FewestPixels:
    """Change the smallest number of coordinates, within the range, after which the aim is reached by a margin.

    Towards a target one programme a sample, about a tenth of a second for 784 pixels and ten classes. Without one, a
    programme for every class but the label, whose only constraint is a lead over the label.

    Parameters
    ----------
    net : Network
        Of affine layers only, with an ``input_range``.
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    label : int array (n,)
        Class to get away from: the true or the present one.
    target : int array (n,), optional
        Class to reach; without one any class but the label is a success.
    margin : float
        By how much, in units of the logits, the target must lead, or any other class the label; positive.
    seconds : float
        Time for one programme, after which the best change found so far counts, unproved.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Returns
    -------
    FewestPixels
        ``dx`` is NaN where no change within the range reaches the aim, or none was found in time.

    Raises
    ------
    ValueError
        For a network that is not affine or has no range, images of wrong shape or range, classes of wrong shape or out
        of range, and a margin or time that is not positive.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip=True)
    W = check_affine(net)
    check_positive("margin", margin)
    check_positive("seconds", seconds)
    logits = net(x)
    leads = lead_over_others(logits, aim)
    low, high = limits(net, x)
    dx, proved = np.zeros_like(low), np.ones(len(x), dtype=bool)
    rest = np.flatnonzero(~achieved(logits.argmax(axis=1), aim, targeted))
    with showing(progress), counting(len(rest)) as tell:
        for done, i in enumerate(rest, 1):
            slopes = lead_over_others(W[None], aim[[i]])[0]
            if targeted:
                dx[i], proved[i] = _solve(slopes, margin - leads[i], low[i], high[i], seconds)
            else:  # the other classes' leads over the label
                found = [
                    _solve(-slopes[[j]], margin + leads[i, [j]], low[i], high[i], seconds) for j in range(len(slopes))
                ]
                counts = [np.inf if np.isnan(change).any() else np.count_nonzero(change) for change, _ in found]
                dx[i], proved[i] = found[np.argmin(counts)][0], all(sure for _, sure in found)
            tell(done)
    dx = into_range(net, x, dx.reshape(x.shape))
    return FewestPixels(*conclude(net, x, dx, aim, targeted), proved)


def _solve(G, c, low, high, seconds):
    """Return the change with the fewest entries for one sample, NaN for none, and whether that was proved."""
    n = len(low)
    # The solver's tolerances are absolute.
    size = np.maximum(np.abs(np.column_stack([G, c])).max(axis=1), np.finfo(float).tiny)
    G, c = G / size[:, None], c / size
    every = eye_array(n)
    # Δx = low ∘ a + high ∘ b with a, b in [0, 1]: better scaled than Δx itself.
    found = milp(
        np.repeat([0.0, 0.0, 1.0], n),
        constraints=[
            LinearConstraint(csr_array(np.hstack([G * low, G * high, np.zeros_like(G)])), c, np.inf),
            LinearConstraint(hstack([every, every, -every]), -np.inf, 0.0),
        ],
        bounds=(0.0, 1.0),
        integrality=np.repeat([0, 0, 1], n),
        options={"time_limit": seconds},
    )
    if found.x is None:
        return np.full(n, np.nan), found.status == 2
    a, b, z = found.x.reshape(3, n)
    return np.where(z > 0.5, low * a + high * b, 0.0), found.status == 0
