"""How the claims on the theorems behind the printed bound are judged, from tables of ``studies.four_theorems``."""

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome


def softmax_exact(softmax, *, rounding) -> Outcome:
    """Compare the bound with the exact smallest change, of the quadratic programme over all classes, on random layers.

    Reproduced when the bound never exceeds the exact value, but for a rounding of {rounding:.0e} of it, and is
    attained, within the same, for some layers; contradicted otherwise. How often it is attained is reported.
    """
    above = (softmax["ratio"] > 1 + rounding).sum()
    tight = ((softmax["ratio"] - 1).abs() < rounding).mean()
    return Outcome(
        REPRODUCED if not above and tight > 0 else CONTRADICTED,
        f"exceeded by {above} of {len(softmax)} layers"
        if above
        else f"attained by {tight:.0%} of {len(softmax)} random layers, exceeded by none",
        "exact",
        f"The quotient of the bound and the exact smallest perturbation is at most {softmax['ratio'].max():.9f}. "
        "Without a target the bound is exact, for any classifier of this kind.",
    )


def dense_layer(smooth, off, moves, *, rounding, beyond) -> Outcome:
    r"""Search for perturbations that violate the bound.

    On smooth layers $M$ is read in two ways, as a bound of the Hessians' norms and as one of single second
    derivatives. For ReLU, which is not twice differentiable though the experiments use it, the limit $M
    \to 0$ with the Jacobian at one point is tested in the same way, on one unit and on LeNet's layer. Contradicted when
    a smooth layer violates the bound with the first reading, by more than {rounding:.0e} of it; with a correction when
    only the second reading is violated, by as much, or the limit for ReLU, on the unit or by more than {beyond:.0e} on
    LeNet; reproduced when the search violates none of these. Whether anything violates
    $\kappa / \lVert V_1 \rVert$, which is ours for ReLU, is reported.
    """
    violated = (smooth["norms"] > 1 + rounding).sum()
    safe, local = moves["safe"].max() <= 1 + rounding, moves["local"].max()
    entries = smooth.loc[smooth["kind"] == "one tanh layer", "entries"]
    single = (entries > 1 + rounding).sum()
    switches = (off["infinite"] and off["changes"]) or local > 1 + beyond
    return Outcome(
        CONTRADICTED if violated else CORRECTED if switches or single else REPRODUCED,
        f"a search finds {violated} violations on {len(smooth)} smooth layers; for ReLU κ/‖J‖ is up to {local:.2f} "
        "times the length of a change that moves LeNet's layer by κ, and for one unit any number of times",
        "sampled",
        "With M a bound of the norms of the Hessians the theorem "
        f"{'fails in some tests' if violated else 'holds in every test'}. ReLU has no second derivative, and with J "
        f"at one point the limit M → 0 is no bound; κ/‖V‖ is {'never' if safe else 'sometimes'} violated. With M a "
        f"bound of the single second derivatives {single} of {len(entries)} smooth layers "
        "violate it.",
    )


def convolution(ones, kernels, first, *, rounding) -> Outcome:
    r"""Compare operator norms of many convolutions, overlapping or not, with $\lVert W \rVert_F$.

    Norms are found from below by a perturbation that is put through the layer. Contradicted when one, with random
    kernels or in a trained first layer, moves the output further than the theorem allows by more than {rounding:.0e}
    of it, or when a kernel of ones lets the class change below the bound; reproduced otherwise. A safe factor is
    checked too.
    """
    kernels, first = (t.assign(violated=t["found"] > (1 + rounding) * t["frobenius"]) for t in (kernels, first))
    false = ones["changes"] & (ones["length"] < ones["theorem"])
    safe = (kernels["proven"] / kernels["safe"]).max() <= 1 + rounding
    apart = kernels.loc[~kernels["overlap"], "violated"].any()
    example = kernels[kernels["kind"] == "ones"].iloc[0]
    return Outcome(
        CONTRADICTED if false.any() or kernels["violated"].any() or first["violated"].any() else REPRODUCED,
        f"kernel of ones: {example['found']:.1f} against {example['frobenius']:g}; {kernels['violated'].sum()} of "
        f"{len(kernels)} kernels, and {first['violated'].sum()} of {len(first)} trained first layers, violate it",
        "exact",
        f"Three pixels and the kernel (1, 1) are {'a' if false.any() else 'no'} counterexample. "
        f"{'It fails even' if apart else 'It holds'} when windows do not overlap; ⌈q/s⌉‖W‖ is "
        f"{'safe in every test' if safe else 'not safe either'}, the operator norm itself is better.",
    )


def pooling_layer(pooling, side, *, rounding) -> Outcome:
    """Compare the printed factors with proven Lipschitz constants, with and without overlap of the windows.

    And search for perturbations that move the output of a layer further than the printed factor allows. Reproduced
    when, for every kind of pooling, the constant is at most the factor, but for a rounding of {rounding:.0e} of it;
    contradicted when a perturbation goes further, by more than that; undecided otherwise. How loose the factors are is
    reported.
    """
    violations = (pooling["found"] > pooling["printed"] * (1 + rounding)).sum()
    slack = pooling["printed"] / pooling["proven"]
    proved = slack.min() >= 1 - rounding
    return Outcome(
        CONTRADICTED if violations else REPRODUCED if proved else UNDECIDED,
        f"{violations} violations in {len(pooling)} kinds of pooling; the printed factor is {slack.min():.0f} to "
        f"{slack.max():.0f} times the proven constant",
        "exact",
        f"The proven constants are {'nowhere' if proved else 'somewhere'} above the printed "
        "factors. For LeNet's maximum over windows that do not overlap the constant is 1, and the theorem says t, "
        f"{side} in the first pooling layer.",
    )


def linear_cost(powers, networks, *, power) -> Outcome:
    """Count multiplications for LeNets of growing width, without and with the spectral norm of the Jacobian.

    The formula needs that norm. Contradicted when the count without it grows faster than the number of parameters to
    the power {power:g}; with a correction when only the norm, by a singular value decomposition, makes it do so;
    reproduced otherwise. Times are measured and do not count.
    """
    plain, svd = powers["plain"] <= power, powers["svd"] <= power
    return Outcome(
        CONTRADICTED if not plain else REPRODUCED if svd else CORRECTED,
        f"multiplications grow like the parameters to the power {powers['plain']:.2f} without the norm of J, "
        f"{powers['svd']:.2f} with it by singular values, {powers['lanczos']:.2f} by Lanczos to six digits",
        "exact",
        f"Counted on {networks} LeNets of growing width. "
        f"{'Without the norm it is at most linear' if plain else 'Even without the norm it is more than linear'}; "
        f"{'with the norm too' if svd else 'the norm costs more'}. An iteration is cheaper, but it estimates the "
        "norm from below.",
    )
