"""Verdicts of the chapter on deep networks."""

import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome
from lab.wording import tidy


def two_layers(pairs: pd.DataFrame, *, rounding, power) -> Outcome:
    r"""Compare the closed form with the pseudo-inverse of the explicit matrix on small random two-layer networks.

    And the output of the perturbed network with the wanted one. Reproduced when blocks agree to rounding
    ({rounding:.0e}, relative) and what remains of the output error is of second order (it falls with a power of the
    change asked for that is 2 within {power}), contradicted otherwise.
    """
    worst, orders = pairs.worst.max(), pairs.order
    return Outcome(
        REPRODUCED if worst <= rounding and (orders - 2).abs().max() < power else CONTRADICTED,
        ours=f"blocks agree to {tidy(worst)}; the output error falls with the power {orders.min():.2f} to "
        f"{orders.max():.2f} of the change asked for",
        label="linearised",
        because=f"Largest relative difference of a block, and range of the power, over {len(pairs)} random networks; "
        f"{tidy(rounding)} is allowed for rounding and {power} for the power 2.",
    )


def activations(layers: pd.DataFrame, *, rounding, misses) -> Outcome:
    r"""Compare the closed form with the pseudo-inverse of the explicit matrix for several activations.

    Its behaviour is followed as $\mathcal{A}\mathcal{A}^T$ becomes singular (softmax, saturated tanh). Reproduced when
    the inverse exists for every differentiable activation and both agree to rounding ({rounding:.0e}, relative); with a
    correction when for softmax the printed inverse misses in more than {misses:.0%} of the layers and the formula needs
    the pseudo-inverse of $\mathcal{A}\mathcal{A}^T$ instead; contradicted when the formula fails where the inverse
    exists, or with the pseudo-inverse too. A ReLU with a unit off, where nothing explains the change to first order, is
    shown and not judged.
    """
    softmax = layers[layers.case == "softmax"]
    agree = layers.printed[~layers.case.isin(["softmax", "ReLU, one unit off"])].max()
    missed, repaired = (softmax.printed > rounding).mean(), softmax.bea.max()
    if agree > rounding or (missed > misses and repaired > rounding):
        verdict = CONTRADICTED
    else:
        verdict = CORRECTED if missed > misses else REPRODUCED
    return Outcome(
        verdict,
        ours=f"with an inverse, blocks agree to {tidy(agree)}; for softmax the printed inverse misses in {missed:.0%} "
        f"of the layers, the pseudo-inverse agrees to {tidy(repaired)}",
        label="linearised",
        because=f"Over {len(softmax)} random layers for each activation; {tidy(rounding)} is allowed for rounding. "
        "Softmax is differentiable, but 𝒜𝒜ᵀ then never has an inverse: take the pseudo-inverse, or ask the logits.",
    )


def equation_4(deep: pd.DataFrame, *, rounding) -> Outcome:
    r"""Compare every row of eq. (4) with the pseudo-inverse of the explicit matrix on random deep networks.

    The row for $\Delta A_1$ is taken both as printed and with all factors down to $A_2 f'_1$. Reproduced when all
    printed rows agree to rounding ({rounding:.0e}, relative), with a correction when that row agrees for three or more
    layers only once it is completed, contradicted when a completed or another row, or that row for two layers, does
    not agree.
    """
    printed = deep.row.str.contains("as printed")
    truncated, others = deep.difference[printed & (deep.p > 2)], deep.difference[~printed].max()
    two = deep.difference[printed & (deep.p == 2)].max()
    networks = (deep.row[deep.p == 1] == deep.row.iloc[0]).sum()
    verdict = CORRECTED if (truncated > rounding).any() else REPRODUCED
    return Outcome(
        CONTRADICTED if max(others, two) > rounding else verdict,
        ours=f"first row as printed, for three and more layers, off by {truncated.median():.0%} (median; smallest "
        f"{truncated.min():.0%}); completed, and all other rows, {tidy(others)} (largest)",
        label="linearised",
        because=f"Relative differences from the pseudo-inverse over {networks} random networks of each depth from 1 to "
        f"{deep.p.max()}. The row for ΔA₁ lacks the factors from A₍ₚ₋₁₎ down to f′₁, a slip in print: the paper's "
        "section 3 has them.",
    )


def convolutions(products: pd.DataFrame, shared: pd.DataFrame, *, rounding, larger) -> Outcome:
    """Compare convolutions of several sizes, strides and numbers of channels with the product by their matrix.

    And the backward error of a convolution with shared kernel weights with that of the matrix with free entries.
    Reproduced when the products and the formulas for shared weights agree to rounding ({rounding:.0e}, relative); with
    a correction when sharing the weights makes the relative norm more than {larger:g} times as large (median without
    padding); contradicted when they do not agree.
    """
    product, agree, ratio = products.difference.max(), shared.gap.max(), shared.free[shared.padding == 0]
    verdict = CORRECTED if ratio.median() > larger else REPRODUCED
    return Outcome(
        CONTRADICTED if max(product, agree) > rounding else verdict,
        ours=f"products agree to {tidy(product)}; relative norm with shared weights {ratio.median():.2f} times that of "
        f"the free matrix (median, {ratio.min():.2f} to {ratio.max():.2f})",
        label="linearised",
        because="A convolution is a matrix product, but the smallest change of that matrix is not a convolution. With "
        f"patches and sensitivities added up over the positions the formulas hold, to {tidy(agree)} of the "
        "pseudo-inverse.",
    )


def two_norms(solved: pd.DataFrame, mixed: pd.DataFrame, *, gains, loses, excess) -> Outcome:
    r"""Compare eq. (6), blocks as printed and blocks scaled first, with a general optimiser on the linearised problem.

    Section 2 minimises the plain norm and eq. (5) a relative one, so blocks are scaled by $\lVert A_i \rVert$ and
    $\lVert x \rVert$. The optimiser works on random networks, norms are compared on trained ones too. Reproduced when
    the printed form attains the optimum, with a correction when only the scaled form does (the optimiser's objective is
    smaller by at most {gains:.0e} and larger by at most {loses:.0e}, relative, while the norm of the printed form is
    somewhere larger by more than {excess:.0e}), contradicted when the scaled form does not.
    """
    gain, loss = 1 - solved.slsqp.min(), solved.slsqp.max() - 1
    medians = mixed.groupby("family", sort=False).printed.median() - 1
    verdict = CORRECTED if mixed.printed.max() - 1 > excess else REPRODUCED
    return Outcome(
        verdict if gain <= gains and loss <= loses else CONTRADICTED,
        ours=f"scaled first, (6) has the optimum of (5) within {tidy(max(loss, abs(gain)))}; as printed its norm is "
        f"larger by a median of {medians.iloc[0]:.1%} (small random networks) and {medians.iloc[-1]:.0%} "
        f"({medians.index[-1]})",
        label="linearised",
        because=f"SLSQP, in {len(solved)} problems, gains {tidy(max(gain, 0))} at most. Section 2 minimises the plain "
        "norm, eq. (5) the relative one: scale every block before the pseudo-inverse. With a single block nothing is "
        "lost.",
    )
