"""The first attack on deep networks: box-constrained L-BFGS on the distance and the cross-entropy (paper R, eq. 6).

For every weight of a search (``bea.attacks.penalty``) it solves

    minimise ‖Δx‖² + weight · J(x + Δx, target)    over Δx, with ``clip`` such that x + Δx keeps within the range,

with -J(x + Δx, label) in place of J(x + Δx, target) where there is no target. J is the cross-entropy of
``bea.attacks.loss``. The range of the pixels is a bound of each variable, which L-BFGS-B handles itself (Szegedy et al.
2014, section 4.1).
"""

import numpy as np
from scipy.optimize import Bounds, minimize

from bea.attacks.common import achieved, check_aim, conclude
from bea.attacks.loss import value_and_gradient
from bea.attacks.penalty import PenaltyResult, check_search, search_weight
from bea.networks.leads import attack_lead
from bea.networks.network import Network
from bea.networks.pixels import into_range
from bea.numerics.blocks import blocks, join, one_thread
from bea.numerics.checks import check_count, check_positive
from bea.numerics.progress import counting, showing

CHUNK = 25  # samples that a process takes at a time: many chunks, as some take longer
FEW = 100  # samples below which starting processes costs more than they save


def lbfgs_attack(
    net: Network,
    x,
    label,
    *,
    target=None,
    margin=1e-3,
    clip=False,
    weights=(0.1, 1e10),
    halvings=6,
    iterations=100,
    tolerance=1e-4,
    processes=None,
    progress=False,
) -> PenaltyResult:
    """Short Δx by L-BFGS on ‖Δx‖² plus a weighted cross-entropy (paper R, eq. 6; Szegedy et al. 2014, section 4.1).

    SciPy solves one image after the other, starting from the solution with the weight before; processes side by side.
    Towards a target the class asked for leads by little more than the margin at the smallest weight that succeeds.
    Without one, -J bends down most where the lead changes sign, so that often no solution lies just beyond, and what is
    found leads by far more: ``carlini_wagner`` then gives shorter changes.

    Parameters
    ----------
    net, x, label, target, clip
        As in ``bea.attacks.gradient_signs.fgsm``.
    margin : float
        By how much, in units of the logits, the class asked for must lead before a weight counts as a success;
        positive.
    weights : pair of float
        The first weight of J to try and the largest, in squared pixels.
    halvings : int
        Weights tried between a failure and a success.
    iterations : int
        Of L-BFGS for one weight, at most.
    tolerance : float
        L-BFGS stops when a step lowers half the sum by no more than this times the smaller of the weight and one.
    processes : int, optional
        How many work side by side, by joblib; by default one a core, or only this one for few images.
    progress : bool
        Whether to show on the screen how far it is, as in ``bea.attack``.

    Returns
    -------
    PenaltyResult
        ``dx`` is NaN, and so is ``weight``, where no weight gave a success.

    Raises
    ------
    ValueError
        For images of wrong shape or range, classes of wrong shape or out of range, ``clip`` for a network without
        range, a margin or tolerance that is not positive, weights that are not a positive pair from small to large, or
        counts that are no whole numbers.
    TypeError
        For classes that are not integers.
    """
    x, aim, targeted = check_aim(net, x, label, target, clip)
    check_search(margin, weights, halvings)
    check_count("iterations", iterations)
    check_positive("tolerance", tolerance)
    if processes is None and len(x) < FEW:
        processes = 1
    if processes is not None:
        check_count("processes", processes)
    options = (targeted, margin, clip, weights, halvings, iterations, tolerance)
    chunks = [(net, x[part], aim[part], *options) for part in blocks(len(x), CHUNK)]
    found = []
    with showing(progress), counting(len(x)) as tell:
        for fields in (_chunk(*chunk) for chunk in chunks) if processes == 1 else _spread(chunks, processes):
            found.append(fields)
            tell(min(len(found) * CHUNK, len(x)))
    return PenaltyResult(*join(found))


def _spread(chunks, processes):
    """Yield what ``_chunk`` makes of all chunks, in order, in so many processes, one a core for None."""
    import joblib  # only here: one process is enough for everybody who has not installed it

    # No arrays in shared files: the images of a chunk are small.
    parallel = joblib.Parallel(n_jobs=processes or joblib.cpu_count(), max_nbytes=None, return_as="generator")
    return parallel(joblib.delayed(_chunk)(*chunk) for chunk in chunks)


def _chunk(net, x, aim, targeted, margin, clip, weights, halvings, iterations, tolerance):
    """Return the fields of the result for some samples, on one core."""
    sign = 1.0 if targeted else -1.0
    bounds = Bounds(*net.input_range) if clip else None

    def solve(rest, weight, start):
        found = np.empty_like(start)
        for i, sample in enumerate(rest):
            image, aims = x[sample].ravel(), aim[[sample]]

            # Half the sum: the distance then has the curvature that L-BFGS-B starts from. Otherwise its first step goes
            # too far, with bounds up to a corner of the box, and finds other minima.
            def objective(point, image=image, aims=aims, weight=weight[i]):
                change = point - image
                if not np.isfinite(point).all():  # too long a step, where the gradient is all but zero
                    return np.inf, np.zeros_like(point)
                loss, slope = value_and_gradient(net, point.reshape(1, *net.input_shape), aims)
                pull = 0.5 * sign * weight
                return 0.5 * (change @ change) + pull * loss[0], change + pull * slope.ravel()

            # Near small weights the sum is small; and in a saturated network so is its gradient, which stops nothing.
            options = {"maxiter": iterations, "ftol": tolerance * min(weight[i], 1.0), "gtol": 0.0}
            first = image + start[i].ravel()
            solution = minimize(objective, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            found[i] = (solution.x - image).reshape(net.input_shape)
        if clip:
            found = into_range(net, x[rest], found)
        return found, attack_lead(net(x[rest] + found), aim[rest], targeted) >= margin

    with one_thread():
        already = achieved(net.classify(x), aim, targeted)
        dx, weight = search_weight(solve, x.shape, weights=weights, halvings=halvings, already=already)
        return *conclude(net, x, dx, aim, targeted), weight
