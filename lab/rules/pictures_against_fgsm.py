"""What is judged about attacks on the input, beside FGSM and general optimisers."""

import numpy as np

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome


def stains_show(ones, *, published, least, most) -> Outcome:
    """Measure how bright the brightest stain on the black background is at the published norm, on every network.

    A stain grows in proportion to the norm, so each attack gives one level, a share of the full scale. Contradicted
    when the median level is below {least:.1%} on every network, where a picture with 255 grey levels shows nothing, or
    above {most:.0%} on every network, where no stain is slight. Otherwise it cannot be decided: at which level a stain
    begins to show is for an eye to say, and some level meets any norm. So no outcome is reproduced, and the parameter
    `visible` of the pictures is not used.
    """
    said = published["visible"]
    level = said * ones.brightest / ones.norm
    by_net = level.groupby(ones.net).median()
    denied = (by_net < least).all() or (by_net > most).all()
    return Outcome(
        CONTRADICTED if denied else UNDECIDED,
        f"at a norm of {said} the brightest stain has {level.median():.1%} of the full scale, "
        f"{255 * level.median():.0f} of 255 grey levels (median; {by_net.min():.1%} to {by_net.max():.1%} over "
        f"{len(by_net)} seeds; single attacks {level.min():.0%} to {level.max():.0%})",
        "sampled",
        f"There is {'no slight stain' if denied else 'a stain'} at the published norm. The norm at which it begins to "
        "show is proportional to the level that one calls visible, and that level no computation gives: it depends on "
        "the reader, the screen and the room. What a person would read is left to the reader, too.",
    )


def each_wins_somewhere(wins, milder) -> Outcome:
    """Run the first-order attacks with their own step, as the paper does, on the same digits and targets as FGSM.

    FGSM takes its smallest step that reaches the class, in the better one of its two forms, without and with a target;
    norms are compared wherever both reach it, by the class that the network gives; on the logits our step has to have
    its margin, too. The constraint of (6) is read in two ways: on the outputs after the last tanh, as printed, and on
    the logits. Reproduced when, as printed, each method is smaller for some pair on every network trained as the paper
    says; with a correction when that is so only on some networks, only on networks whose outputs a penalty in training
    keeps from saturating, or only for the logits; contradicted when on no network of any kind. Attacks walked along
    their ray and converged ones are reported and not judged. The norms above the pictures are lost in the text we have
    and cannot be compared.
    """
    names = ("after the last tanh", "first-order", "first-order along its ray", "converged")
    printed, logits, ray, converged = (wins[name] for name in names)
    kept = milder[names[0]]
    each, other, mild = ((w["ours"] > 0) & (w["theirs"] > 0) for w in (printed, logits, kept))
    said = "; ".join(
        f"{name}: smaller in {w['ours'].sum()}, FGSM in {w['theirs'].sum()} of the {w['both'].sum()} pairs that both "
        f"reach, both win somewhere on {both.sum()} of {len(both)} networks"
        for name, w, both in (
            ("constraint after the last tanh", printed, each),
            ("the same, outputs kept from saturating", kept, mild),
            ("on the logits", logits, other),
        )
    )
    return Outcome(
        REPRODUCED if each.all() else CORRECTED if (each.any() or mild.any() or other.any()) else CONTRADICTED,
        said,
        "sampled",
        f"The attack's own step reaches {printed['reached'].sum()} targets with the one constraint and "
        f"{logits['reached'].sum()} with the other. Walked along its ray, which the paper does not do, the attack is "
        f"smaller in {ray['ours'].sum()} pairs and FGSM in {ray['theirs'].sum()}; after convergence FGSM is smaller in "
        f"{converged['theirs'].sum()} of {converged['both'].sum()}. How saturated the paper's outputs were, how it "
        "chose FGSM's steps, and its norms, we do not know.",
    )


def more_classes(means, milder, patterns) -> Outcome:
    """Count how many target classes each attack reaches from an image, on the same images.

    The first-order attack takes its own step; one longer than FGSM's longest, of the full scale in every pixel, does
    not count. The constraint of (6) is read in two ways: on the outputs after the last tanh, as printed, and on the
    logits. Reproduced when, as printed, it reaches more classes on average than FGSM without a target and than FGSM
    with one, on every network trained as the paper says; with a correction when on each of these it reaches only more
    than FGSM without a target, or does so only on every network whose outputs a penalty in training keeps from
    saturating, or only for the logits; contradicted otherwise. Whether a pattern is diffuse is reported in two senses
    and not judged, since FGSM's step, one strength in every pixel, stands at the end of both scales before anything is
    computed: *graded*, in distinct magnitudes, where it has the fewest, and *spread*, by the participation ratio, where
    it has the most.
    """
    printed, logits = means["after the last tanh"], means["first-order"]
    plain, targeted = means["FGSM"], means["targeted FGSM"]
    magnitudes, shares = patterns.magnitudes, patterns.participation
    spread = {name: f"{v.iloc[0]:.2f} ({v.min():.2f} to {v.max():.2f})" for name, v in means.items()}
    more = (printed > plain).all()
    kept = milder["after the last tanh"] > milder["FGSM"]
    some = more or kept.all() or (logits > plain).all()
    counts = "; ".join(
        f"{name}: more than FGSM without a target on {np.sum(table[own] > table['FGSM'])} of {len(table)} networks, "
        f"than with one on {np.sum(table[own] > table['targeted FGSM'])}"
        for name, table, own in (
            ("constraint after the last tanh", means, "after the last tanh"),
            ("the same, outputs kept from saturating", milder, "after the last tanh"),
            ("on the logits", means, "first-order"),
        )
    )
    return Outcome(
        REPRODUCED if more and (printed > targeted).all() else CORRECTED if some else CONTRADICTED,
        f"classes per image: FGSM {spread['FGSM']}, targeted FGSM {spread['targeted FGSM']}, first-order after the "
        f"last tanh {spread['after the last tanh']}, of any length {spread['after the last tanh, any length']}, on the "
        f"logits {spread['first-order']}, converged {spread['converged']}",
        "sampled",
        f"{counts[0].upper()}{counts[1:]}; converged attacks reach {means['converged'].min():g} or more. The "
        f"pattern is more diffuse if that means graded ({magnitudes['first-order']:.0f} distinct magnitudes against "
        f"{magnitudes['FGSM']:.0f}), less diffuse if it means spread over the pixels (participation ratio "
        f"{shares['first-order']:.0%} against {shares['FGSM']:.0%}); neither could have come out otherwise.",
    )


def alone_it_does_the_same(report, name) -> Outcome:
    """Run the attack in a process of its own, from a file with the weights and a single image.

    Every file it opens is recorded, and its results are compared with the usual run. Reproduced when they are the same
    bit for bit, nothing else was opened, and neither Keras nor data nor losses were loaded, contradicted otherwise; the
    derivatives of the logits that it does need are named.
    """
    clean = set(report["opened"]) <= {f"{name}.npz", "image.npy"} and not report["modules"]
    return Outcome(
        REPRODUCED if report["same"] and clean else CONTRADICTED,
        f"{report['attacks']} attacks from {' and '.join(sorted(set(report['opened'])))} alone; "
        f"{'the same bits as' if report['same'] else 'other numbers than'} in this notebook",
        "exact",
        f"{'No label, no training image and no loss' if clean else 'More than network and image'} entered. What the "
        "attack does need is the derivatives of the logits: "
        "for ten classes ten rows, where the gradient of a loss is one combination of them, so it asks for more "
        "derivatives, not fewer; and a list of all weights, which an attacker does not always have.",
    )
