"""What is judged about attacks on the weights of two layers."""

import numpy as np

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome
from lab.wording import tidy


def some_fail(first, accuracies, *, published, points, factor) -> Outcome:
    """Networks of this kind, trained from several seeds, are attacked with the programme (6) solved exactly.

    Successes are counted in the original Keras model. Contradicted unless every network reaches the printed accuracy
    within {points:.0%} (of all test images) and some of its attacks fail; then reproduced when the median of the norms
    over all networks is within a factor of {factor:g} of the published median, and with a correction when it is not.
    Which cells failed cannot be compared.
    """
    theirs = np.median([norm for row in published["norms"].values() for norm in row.values()])
    won, median = first.groupby("net").keras.sum(), first.norm.median()
    close = bool(np.all(np.abs(accuracies - published["accuracy"]) <= points))
    holds = close and bool((won < published["attempts"]).all())
    inside = 1 / factor <= median / theirs <= factor
    return Outcome(
        CONTRADICTED if not holds else REPRODUCED if inside else CORRECTED,
        f"{accuracies.min():.1%} to {accuracies.max():.1%} accuracy; {won.min()} to {won.max()} of "
        f"{published['attempts']} succeed over {len(won)} seeds; norms {first.norm.min():.2%} to "
        f"{first.norm.max():.2%}, median {median:.1%} against a published {theirs:.1%}",
        "linearised",
        f"The accuracy is {'within' if close else 'not within'} {100 * points:g} percentage points on every network, "
        f"and attacks fail on {(won < published['attempts']).sum()} of {len(won)}. In the declared norm, (6) solved "
        f"exactly, the median is {theirs / median:.1f} times below that of Table 2. What closes the gap, the printed "
        "form in the spectral norm or a solution beyond the optimum, cannot be settled without the paper's code.",
    )


def not_the_optimiser(first, converged, slsqp, one_layer, *, residual, gain) -> Outcome:
    """(6) is solved exactly, its conditions of optimality are checked, and it is linearised again until convergence.

    An exact optimum of (6) that still misses its target speaks against the optimiser as the cause and for the
    first-order truncation. Contradicted when all of three hold: no condition of optimality is violated by more than
    {residual:.0e} and SLSQP's objective differs by at most {gain:.0e} (both relative); some attack misses its target in
    Keras; none does after convergence. With a correction when some attack misses but not all three hold, reproduced
    when none misses. The means of both published tables (stored under B12 and B13) and of ours are set side by side.
    """
    kkt, wins = first.kkt.max(), int(converged.keras.sum())
    solved = kkt <= residual and slsqp.objective.abs().max() <= gain
    missed = 1 - first.keras.mean()
    less = first.norm.mean() < one_layer.norm.mean()
    contradicted = solved and missed > 0 and wins == len(converged)
    cause = (
        "Exact optima of (6) miss, and linearising again cures it: the failures come from the linearisation, not from "
        "the optimiser."
        if contradicted
        else "That the failures come from the linearisation is not shown."
    )
    return Outcome(
        CONTRADICTED if contradicted else CORRECTED if missed > 0 else REPRODUCED,
        f"KKT residual of (6) at most {tidy(kkt)}, yet {missed:.0%} miss; {wins} of {len(converged)} succeed after "
        f"re-linearising. Means: Table 1 {one_layer.norm.mean():.1%}, Table 2 {first.norm.mean():.1%}, converged "
        f"{converged.norm.mean():.1%}",
        "locally optimal",
        f"{cause} Solved exactly and in the declared norm, two layers need {'less' if less else 'more'} than one, "
        f"{'so' if less else 'but'} the network's complexity {'does not explain' if less else 'may explain'} the "
        "larger norms.",
    )


def square_law(first, slopes, at_one, *, exponent, within) -> Outcome:
    """Scale the perturbation up to what attacks need, and measure the gap between wanted and attained output.

    The growth holds when the exponents, one fitted to each attack, all differ from {exponent:g} by less than
    {within:g}; the reassurance when every attack reaches its target all the same. Reproduced when both hold, with a
    correction when only the growth does, contradicted otherwise.
    """
    square = bool(np.all(np.abs(slopes - exponent) < within))
    misses = np.mean(first.winner != first.target)
    return Outcome(
        CONTRADICTED if not square else CORRECTED if misses > 0 else REPRODUCED,
        f"slope {np.median(slopes):.2f} ({slopes.min():.2f} to {slopes.max():.2f}); at the size of the attack the gap "
        f"is {np.median(at_one):.0%} of the change needed (median; {at_one.min():.0%} to {at_one.max():.0%}), and "
        f"{misses:.0%} of the targets are missed",
        "exact",
        f"{len(first)} attacks on {first.net.nunique()} networks. The square law {'holds' if square else 'fails'}; "
        f"that it does not matter for attacks is {'contradicted' if misses > 0 else 'confirmed'}: a relative norm of "
        f"{first.norm.median():.1%} is {'already too large' if misses > 0 else 'small enough'} for the linearisation.",
    )
