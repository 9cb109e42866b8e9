"""Verdicts of the chapter on linear systems."""

import numpy as np
import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome
from lab.wording import tidy


def special_case(layers: pd.DataFrame, *, rounding, optimiser) -> Outcome:
    r"""Compare the formula with that of Rigal and Gaches, on random layers.

    With the input left alone it shall be $\Delta A = \Delta y\,x^T / \lVert x \rVert^2$; a numerical optimiser
    searches for a smaller perturbation with the same output. Reproduced when the two differ by at most {rounding:.0e}
    (relative) and the optimiser gains at most {optimiser:.0e}, contradicted otherwise.
    """
    difference, gain, loss = layers.difference.max(), layers.gain.max(), layers.gain.abs().max()
    return Outcome(
        REPRODUCED if difference <= rounding and gain <= optimiser else CONTRADICTED,
        ours=f"relative difference {tidy(difference)}; the optimiser comes within {tidy(loss)} and gains "
        f"{tidy(max(gain, 0))} at most",
        label="exact",
        because=f"The largest of each over {len(layers)} random layers; {tidy(rounding)} is allowed for rounding and "
        f"{tidy(optimiser)} for the optimiser's own tolerance.",
    )


def forward_by_backward(trials: pd.DataFrame, *, rounding, second_order) -> Outcome:
    r"""Count violations of the inequality on many linear systems of growing condition number $\kappa$.

    They are counted, where they exceed rounding ({rounding:.0e}, relative), for the plain inequality and for the
    rigorous one, whose right side is divided by $1 - \lVert A^{-1} \rVert \lVert A \rVert \eta$ ($\eta$ the backward
    error). Reproduced when the plain form is never violated; with a correction when it is violated by at most
    {second_order:g} times the forward error (relative), so holds to first order, and the rigorous form is never
    violated; contradicted otherwise.
    """
    plain = trials.plain.to_numpy()
    excess, forward = trials.ratio.to_numpy()[plain] - 1, trials.forward.to_numpy()[plain]
    second = bool((excess <= second_order * forward).all())
    if not plain.any():
        verdict = REPRODUCED
    elif not trials.rigorous.any() and second:
        verdict = CORRECTED
    else:
        verdict = CONTRADICTED
    return Outcome(
        verdict,
        ours=f"relative to x, {plain.sum()} violations in {len(trials)} worst-case trials and {trials.rigorous.sum()} "
        f"with the denominator; relative to x̂, {trials.computed.sum()}",
        label="sampled",
        because="The paper does not say relative to what. Where the inequality fails, the excess is at most "
        f"{np.max(excess / forward, initial=0):.2f} times the forward error itself: "
        f"{'an effect' if second else 'no effect'} of second order.",
    )


def backward_stable(solved: pd.DataFrame, order: int, *, unstable) -> Outcome:
    r"""Compare backward errors, in units of $u$, of elimination with and without partial pivoting.

    The systems have condition numbers up to about $10^{13}$; elimination without pivoting is not backward stable.
    Reproduced when the first stay at most $n u$ ($n$ the order of the system) whatever the condition number, while the
    second exceed {unstable:g} $u$ in the median; contradicted otherwise.
    """
    largest = solved.backward[solved.method == "partial pivoting"].max()
    without = solved.backward[solved.method == "no pivoting"].median()
    return Outcome(
        REPRODUCED if largest <= order and without > unstable else CONTRADICTED,
        ours=f"at most {largest:.1f} u with partial pivoting for condition numbers up to "
        f"{tidy(solved.condition.max())}; {tidy(without)} u without pivoting (median)",
        label="sampled",
        because=f"The criterion: at most n u = {order} u for the stable method, and more than {unstable:g} u for the "
        "other.",
    )
