"""How the claims of the chapter on the printed lower bounds are judged, from tables of its study."""

import numpy as np

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome
from lab.wording import spans, tidy, tidy_span

LAYERS = ("convolution_1", "pooling_1", "convolution_2", "pooling_2", "dense")
NO_COLOUR = "There is no CIFAR-10 on this machine."
NOT_PRINTED = "the paper prints neither its networks nor their training"


def chain_holds(factors, violations, inner) -> Outcome:
    r"""Judge the chain of one set by its printed factors over proven constants and by attacks.

    Caffe's LeNet is trained and the chain computed for test images as printed, in the limit $M \to 0$, and with one
    proven constant a layer; converged attacks and the sign of the gradient test both. Reproduced when the printed
    factor of no layer is below its proven constant for any image and network; with a correction when one is;
    contradicted when a perturbation goes below the printed chain, or moves the input of a layer by less than its
    printed $\kappa$. Without networks of the set it cannot be decided.
    """
    if not len(factors):
        return Outcome(UNDECIDED, "not computed", None, NO_COLOUR)
    below = violations["below printed"].sum() + (inner["moved printed"] < 1).sum()
    holds = (factors[[*LAYERS]] >= 1).all(axis=None)
    first, second, dense = (tidy_span(factors[name], ".2f") for name in ("convolution_1", "convolution_2", "dense"))
    printed, repaired = (tidy_span(factors[name], ".2g") for name in ("printed", "repaired"))
    return Outcome(
        CONTRADICTED if below else REPRODUCED if holds else CORRECTED,
        f"median κ₁ {printed} as printed (M → 0), {repaired} repaired, pixels in [0, 1]",
        "sampled",
        f"{below} perturbations below the printed chain. Printed factor over proven constant, smallest over the "
        f"images: first convolution {first}, second {second}, dense layer {dense}; "
        f"{'all steps hold' if holds else 'a step below one is not proven'}. The repaired chain is "
        f"{'violated' if violations['below repaired'].any() else 'not violated'}.",
    )


def norms_agree(found, zeros, titles, *, within) -> Outcome:
    r"""Judge the norms of Table 1 by means and medians on all networks.

    The smallest working $\epsilon$ up to 100 is found by the paper's bisection for test images, and norms are compared
    in the paper's units: pixels in $[0, 255]$, divided by the dimension. Reproduced when mean and median agree within a
    factor of {within:g} on both sets and every network. Otherwise, or without CIFAR-10, it cannot be decided, because
    the paper prints neither its networks nor their training. Whether they agree after misclassified images have been
    counted as zero is reported and not judged: the least norms in the paper's table are positive.
    """
    colour = "cifar10" in set(found["set"])
    plain, counted = (
        {
            kind: bool(
                own[["quotient mean", "quotient median"]].map(lambda q: 1 / within <= q <= within).all(axis=None)
            )
            for kind, own in table.groupby("set", sort=False)
        }
        for table in (found, zeros)
    )
    agree = [titles[kind] for kind in plain if plain[kind]]
    only_zeros = [titles[kind] for kind in plain if counted[kind] and not plain[kind]]
    text = spans(found, "set", plain, mean=".2g", median=".2g", quotient=".2f")
    aside = (
        f", and on {' and '.join(only_zeros)} only when misclassified images count with a norm of zero, against which "
        "the paper's positive minima speak"
    )
    quotient = spans(zeros, "set", plain, quotient=".2f").get("cifar10", {}).get("quotient")
    more = (
        f"; on CIFAR-10 ours are {text['cifar10']['quotient']} times as large ({quotient} times if misclassified "
        f"images count with zero). T{NOT_PRINTED[1:]}."
        if colour
        else f"; t{NO_COLOUR[1:]}"
    )
    return Outcome(
        REPRODUCED if colour and all(plain.values()) else UNDECIDED,
        "; ".join(f"{titles[kind]}: mean {text[kind]['mean']}, median {text[kind]['median']}" for kind in plain),
        "sampled",
        f"Agrees within a factor of {within:g} on "
        f"{' and '.join(agree) or 'neither set'}{aside if only_zeros else ''}{more} A bisection finds a boundary "
        "along the ray, not always the first.",
    )


def bounds_agree(curvatures, titles, *, within) -> Outcome:
    r"""Judge the bounds of Table 2 for the two values of $M$ that can be defended, $M \to 0$ and that of a smooth unit.

    The printed chain is computed for test images and compared in the paper's units, pixels in $[0, 255]$ and divided
    by the dimension. Reproduced when, for one of the two values, mean and median agree within a factor of {within:g}
    on every network of both sets; otherwise, or without CIFAR-10, it cannot be decided, for want of the paper's $M$,
    whose estimate is in an appendix that we do not have.
    """
    kinds = list(dict.fromkeys(curvatures["set"]))
    off = curvatures[curvatures["kind"].isin(("0", "smooth"))]
    agree = bool((off.groupby("kind")["off"].max() <= np.log10(within)).any())
    limit, needed = (curvatures[curvatures["kind"] == kind] for kind in ("0", "needed"))
    mean, M = spans(limit, "set", kinds, mean=".1e"), spans(needed, "set", kinds, M=".0e")
    goals = " and ".join(f"{M[kind]['M']} on {titles[kind]}" for kind in kinds)
    return Outcome(
        REPRODUCED if agree and "cifar10" in kinds else UNDECIDED,
        "; ".join(f"{titles[kind]}: mean {mean[kind]['mean']} for M → 0" for kind in kinds),
        "sampled",
        f"For M → 0 and for a smooth unit's M, mean and median are {'within' if agree else 'not within'} a factor of "
        f"{within:g} of the published ones on every network; the closest is off by a factor of "
        f"{tidy(10 ** off['off'].min(), '.0e')}. The published means would need M = {goals}. How the paper estimated "
        f"M is in an appendix that we do not have, and {NOT_PRINTED.replace('the paper', 'it')}.",
    )


def ratio_centred(ratios, titles, *, within) -> Outcome:
    r"""Judge the histograms by the sign and the centre of the logarithm of norm over bound.

    The histograms are drawn again for our networks, for $M \to 0$, beside the means and medians of Tables 1 and 2.
    Contradicted when the logarithm is negative or zero for any image. Reproduced when it is positive throughout and
    its median, on every network, is within a factor of {within:g} of the ratio of the published means and of
    that of the published medians; otherwise, or without CIFAR-10, it cannot be decided without the paper's $M$ and
    networks.
    """
    kinds = list(dict.fromkeys(ratios["set"]))
    positive, centred = bool((ratios["least"] > 1).all()), bool((ratios["off"] <= np.log10(within)).all())
    median = spans(ratios, "set", kinds, median=".0f")
    return Outcome(
        CONTRADICTED if not positive else REPRODUCED if centred and "cifar10" in kinds else UNDECIDED,
        "; ".join(f"{titles[kind]}: median ratio {median[kind]['median']}" for kind in kinds),
        "sampled",
        f"The logarithm of the ratio is {'positive throughout' if positive else 'negative for some images'}. Its "
        f"median is {tidy_span(ratios['off'], '.1f')} orders of magnitude from the ratio of the published means or "
        f"medians, {'within' if centred else 'not within'} {np.log10(within):g}. The bound, for M → 0 where it is "
        "largest, makes the difference; the paper prints neither M nor its networks.",
    )


def none_below(violations, inner, factors, flat) -> Outcome:
    """Judge by the count of perturbations of LeNets below the printed bounds, image by image and layer by layer.

    They come from the sign of the gradient, from converged attacks that Keras confirms, and from converged attacks on
    the inputs of inner layers. Reproduced when there is none on both sets, contradicted when there is one; without
    CIFAR-10 it cannot be decided that there is none. Networks without pooling, which the paper does not test, are
    reported and do not count. The reason is sought by computing what the pooling bounds give away against what the
    convolution bounds lack.
    """
    kinds = list(dict.fromkeys(factors["set"]))
    total, sound = (
        violations[f"below {kind}"].sum() + inner[f"below {kind}"].sum() for kind in ("printed", "repaired")
    )
    table = factors.assign(
        given=factors["pooling_1"] * factors["pooling_2"],
        lacking=factors["convolution_1"] * factors["convolution_2"] * factors["dense"],
    )
    each = spans(table, "set", kinds, median=".1f", given=".0f", lacking=".2f").values()
    gain, given, lacking = (" and ".join(text[key] for text in each) for key in ("median", "given", "lacking"))
    limit = flat[flat["chain"] == "M → 0"] if len(flat) else flat
    aside = "; ".join(f"{row.net}: {row.below} of {row.witnesses}" for row in limit.itertuples())
    return Outcome(
        CONTRADICTED if total else REPRODUCED if "cifar10" in kinds else UNDECIDED,
        f"{total} violations by {violations['witnesses'].sum()} perturbations of images and in {inner['tests'].sum()} "
        "comparisons layer by layer",
        "sampled",
        f"The repaired bounds have {sound} violations. On LeNet the printed bound is below the repaired one by a "
        f"factor of {gain} (median): the two poolings give away {given} times, and convolutions and ‖J‖ together come "
        f"to {lacking} of what is proven (smallest over the images). Networks without pooling, of which the paper "
        f"tests none: {aside} witnesses below the printed chain for M → 0.",
    )


def closer_when_smallest(closeness, printed, units, *, clear) -> Outcome:
    r"""Judge by the paper's own two tables, by networks of ours, and by the units of the two published numbers.

    The smallest perturbation divided by its own bound is set beside the mean perturbation divided by the mean bound;
    much closer means at most {clear:g} times. Table 2 does not name the bound of the smallest perturbation, which is
    one from its least to its largest. Contradicted when on some set no bound of this range makes it much closer; cannot
    be decided when not every one does, or without CIFAR-10. Else reproduced when it is much closer on every network of
    ours too, for $M \to 0$, and the two numbers have one unit; with a correction, of the units or of the networks for
    which it holds, when not.
    """
    smaller, colour = closeness["share"] <= clear, "cifar10" in set(closeness["set"])
    most, least = (printed[key] / printed["average"] for key in ("most", "least"))
    same, settled = len(set(units)) == 1, bool((most <= clear).all())
    against_mean = (closeness["others"] <= clear * closeness["average"]).sum()
    own, average = (tidy_span(closeness[key], ".0f") for key in ("own", "average"))
    if (least > clear).any():
        verdict = CONTRADICTED
    elif not settled or not colour:
        verdict = UNDECIDED
    else:
        verdict = REPRODUCED if smaller.all() and same else CORRECTED
    return Outcome(
        verdict,
        f"own ratio of the smallest {own}, average ratio {average}; by the paper's tables at most "
        f"{' and '.join(tidy(q, '.1e') for q in printed['most'])} against "
        f"{' and '.join(tidy(q, '.1e') for q in printed['average'])}",
        "sampled",
        f"By the paper's own tables the ratio is at most {' and '.join(tidy(q, '.1g') for q in most)} of the average "
        f"one, even with the least bound: {'that settles it for its networks' if settled else 'that leaves it open'}. "
        f"On ours, for M → 0, it is {tidy_span(closeness['share'], '.2f')} of the average one, at most {clear:g} of it "
        f"for {smaller.sum()} of {len(smaller)} networks; against the mean bound, with which it says nothing about "
        f"looseness, for {against_mean}. "
        f"{'The units of the two numbers agree' if same else 'Only one of the numbers is divided by the dimension'}.",
    )


def smaller_on_colour(quotients, effects, *, clear) -> Outcome:
    """Judge by all pairs of networks, one of each set, and by digits on which each of the two causes acts alone.

    Means and medians of perturbations and bounds are compared with and without division by the dimension; the causes
    are tested by enlarging images and by stopping the training early at lower accuracy, lengths not divided.
    Contradicted unless, divided by the dimension as in the paper, all are smaller on CIFAR-10. Then reproduced when
    each cause alone makes both the perturbations found and the bounds at most {clear:g} times as long, with a
    correction when one does not. Without CIFAR-10 it cannot be decided.
    """
    if not len(quotients):
        return Outcome(UNDECIDED, "not computed", None, NO_COLOUR)
    largest = quotients.groupby(["kind", "which"])[["plain", "divided"]].max()
    smaller = (largest < 1).all(axis=1)
    mean = quotients[quotients["which"] == "mean"].groupby("kind")
    plain, divided = ({kind: tidy_span(q[unit], ".2g") for kind, q in mean} for unit in ("plain", "divided"))
    alone = effects.set_index("change").loc[["dimension", "accuracy"]]
    carry = {
        kind: " and ".join(alone.index[(alone[kind] > 0) & (alone[kind] <= clear)]) or "neither"
        for kind in ("found", "bound")
    }
    caused = carry == dict.fromkeys(carry, " and ".join(alone.index))
    factor = {name: f"{row.found:.2f} and the bound by {row.bound:.2f}" for name, row in alone.iterrows()}
    return Outcome(
        CONTRADICTED if not (largest["divided"] < 1).all() else REPRODUCED if caused else CORRECTED,
        f"lengths on CIFAR-10 over those on MNIST: found {plain['found']}, bound {plain['bound']} (means); divided by "
        f"d {divided['found']} and {divided['bound']}",
        "sampled",
        f"Smaller on CIFAR-10 in {smaller.sum()} of {len(smaller)} comparisons with and without division by the "
        "dimension. On digits (one seed) the dimension alone changes the mean found by a factor of "
        f"{factor['dimension']}, the lower accuracy alone by {factor['accuracy']}. Which cause shortens: "
        f"{carry['found']} (found), {carry['bound']} (bound)."
        + ("" if caused else " So the direction holds, and on digits a cause that the paper offers is not borne out."),
    )
