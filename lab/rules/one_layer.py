"""Verdicts of the chapter on one affine layer."""

from collections.abc import Mapping

import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome
from lab.wording import tidy


def closed_form(checks: pd.DataFrame, *, rounding) -> Outcome:
    r"""Compare the closed form with the pseudo-inverse of the explicit matrix $\mathcal{A}$.

    On small random layers, for perturbations of the weights, of the input and of both. Reproduced when the largest
    relative difference is at most {rounding:.0e}, contradicted otherwise.
    """
    largest = checks.groupby("on", sort=False).difference.max()
    return Outcome(
        REPRODUCED if largest.max() <= rounding else CONTRADICTED,
        ours=", ".join(f"{on} {tidy(difference)}" for on, difference in largest.items()),
        label="linearised",
        because=f"Largest relative differences over {len(checks) // 6} random layers and both norms. For weights alone "
        "or the input alone nothing was neglected, and there the formula is exact.",
    )


def bias_as_column(layers: pd.DataFrame, *, rounding, visible) -> Outcome:
    r"""Compare, on random layers, the layer with a bias and the augmented layer without one.

    Reproduced when their output, their matrix $\mathcal{A}$ and their backward errors agree to rounding
    ({rounding:.0e}, relative); with a correction when those for the input differ (by more than {visible:.0e}, relative,
    somewhere), so agree only if the appended 1 is kept fixed; contradicted when anything else differs.
    """
    agree, differ = layers.agree.max(), layers.differ.max()
    verdict = CORRECTED if differ > visible else REPRODUCED
    return Outcome(
        CONTRADICTED if agree > rounding else verdict,
        ours=f"output, 𝒜 and weight backward error agree to {tidy(agree)}; on the input the augmented layer's is "
        f"{layers.differ.median():.0%} too small (median), {differ:.0%} at most",
        label="exact",
        because=f"Over {len(layers)} random layers. The loss of generality is in the input: an attacker cannot change "
        "the appended one, so its column has to be left out of the Jacobian.",
    )


def kronecker(gaps: pd.DataFrame, *, rounding) -> Outcome:
    """Evaluate each of the four identities on both sides, for random matrices of several shapes.

    Reproduced when all four hold to rounding ({rounding:.0e}, relative), contradicted when one does not.
    """
    largest = gaps.max()
    return Outcome(
        REPRODUCED if largest.max() <= rounding else CONTRADICTED,
        ours="relative differences " + ", ".join(f"{name} {tidy(gap)}" for name, gap in largest.items()),
        label="exact",
        because=f"The largest over {len(gaps)} random choices of shapes and matrices; {tidy(rounding)} is allowed for "
        "rounding.",
    )


def table_one(
    attacks: pd.DataFrame, whole: pd.DataFrame, lengths: pd.DataFrame, *, published: Mapping, decimals
) -> Outcome:
    """Put thirty-six attacks a network back into the Keras model: all must succeed.

    So must, in double precision, the attacks on the whole test set in the first network. The text's typical norm of 1%
    is set beside the median of the published table: reproduced when that, rounded to {decimals} decimals, is the
    typical norm; with a correction when it is not; contradicted when an attack fails. The level of our own norms, over
    seeds, the whole test set and training lengths, is reported and not judged.
    """
    theirs = pd.Series([value for row in published["norms"].values() for value in row.values()])
    typical, median = published["typical"], theirs.median()
    near = REPRODUCED if round(median, decimals) == typical else CORRECTED
    most, by_seed = typical + 0.5 * 10**-decimals, attacks.groupby("net").norm.median()
    return Outcome(
        near if attacks.in_keras.all() and whole.success.all() else CONTRADICTED,
        ours=f"{attacks.in_keras.sum()} of {len(attacks)} succeed in Keras over {len(by_seed)} seeds; median norm "
        f"{attacks.norm.median():.2%}, from {by_seed.min():.2%} to {by_seed.max():.2%} over the seeds; whole test set "
        f"{whole.norm.median():.2%}; other training lengths {lengths['median'].min():.1%} to "
        f"{lengths['median'].max():.1%}",
        label="sampled",
        because=f"{whole.success.sum()} of {len(whole)} attacks on the whole test set succeed. The text's typical norm "
        f"is {typical:.0%}, but the median of its own table is {median:.2%}; {(theirs < most).sum()} of the "
        f"{len(theirs)} lie below {most:.1%}. The level of our norms depends on the training length, which the paper "
        "does not state.",
    )
