"""What is judged about attacks on the input, beside FGSM and general optimisers."""

import numpy as np

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED
from lab.rules import Outcome


def stains_show(ones, visible, *, published, factor) -> Outcome:
    """Attacked images are shown in order of their relative norm, with the brightest change on the black background.

    A change by the parameter `visible`, a share of the full scale, is taken as just visible. The norm at which an
    attack passes that level is extrapolated along its own pattern. Reproduced when, for every network, the median of
    these norms lies within a factor of {factor:g} of the published one, contradicted otherwise; what a person would
    read remains the reader's judgement and is said to be so.
    """
    passed, said, shows = visible * ones.norm / ones.brightest, published["visible"], ones.brightest >= visible
    by_net, small = passed.groupby(ones.net).median(), ones.norm < said
    return Outcome(
        REPRODUCED if by_net.between(said / factor, said * factor).all() else CONTRADICTED,
        f"stains pass {visible:.0%} of the full scale at a norm of {passed.median():.3f} (median over the pairs; "
        f"{by_net.min():.3f} to {by_net.max():.3f} over {len(by_net)} seeds; single attacks {passed.min():.2f} to "
        f"{passed.max():.2f})",
        "exact",
        f"Of the attacks below a norm of {said}, {shows[small].mean():.0%} have a visible stain, of the others "
        f"{shows[~small].mean():.0%}. The level is our choice, and the norm is proportional to it. What a person would "
        "read is left to the reader.",
    )


def each_wins_somewhere(wins, reached) -> Outcome:
    """Run the attacks on the same digits and targets, each with the smallest successful step along its ray.

    FGSM's norm is the smaller one of its two forms, without and with a target; norms are compared wherever both reach
    the class. Reproduced when on every network each method is smaller for some pair, with a correction when only on
    some networks, contradicted when on none. The norms above the pictures are lost in the text we have and cannot be
    compared.
    """
    fair, first, converged = (wins[key] for key in ("first-order along its ray", "first-order", "converged"))
    each = (fair["ours"] > 0) & (fair["theirs"] > 0)
    return Outcome(
        REPRODUCED if each.all() else CORRECTED if each.any() else CONTRADICTED,
        "smallest steps along the rays: of the pairs that both reach, backward error is smaller in "
        f"{fair['ours'].sum()} and FGSM in {fair['theirs'].sum()} ({len(each)} networks; both win somewhere on "
        f"{each.sum()} of them)",
        "linearised",
        f"Without the walk along the ray, the first-order attack reaches its target in {reached.sum()} of "
        f"{len(reached)} cases and is smaller in {first['ours'].sum()} of the {first['both'].sum()} that FGSM reaches "
        f"too; after convergence it reaches it in {converged['reached'].sum()} and FGSM is smaller in "
        f"{converged['theirs'].sum()}. How the paper chose its steps, and its norms, we do not know.",
    )


def optimal_by_construction(duels, reached, above, ended, *, by) -> Outcome:
    """First-order and converged attacks are compared with FGSM, targeted FGSM and eq. (8), in the same norm.

    A general optimiser on the problem itself, started at our solution, audits them. A competitor counts as smaller
    when it is so by more than {by:.1%}. Contradicted when a competitor with a loss gradient is smaller than an
    exact attack on one layer or a converged one on two, or when the optimiser that starts there ends below it; else
    reproduced when all first-order attacks on two layers succeed and none of these competitors is smaller than they,
    with a correction when not.
    """
    beaten = duels.of[duels.ratio < 1 - by]
    smaller = {key: int((beaten == key).sum()) for key in ("one", "first", "ray", "converged", "stay")}
    after = smaller["one"] == smaller["converged"] == smaller["stay"] == 0
    before = smaller["first"] == 0 and reached.all()
    local = smaller["converged"] == smaller["stay"] == 0
    return Outcome(
        CONTRADICTED if not after else REPRODUCED if before else CORRECTED,
        f"attacks with a loss gradient that are smaller: one layer {smaller['one']}; two layers, first-order "
        f"{smaller['first']}, along its ray {smaller['ray']}, converged {smaller['converged']}; SLSQP started "
        f"elsewhere ends below the converged attack in {np.sum(ended < 1 - by)} of {len(ended)}",
        "locally optimal",
        f"One affine layer: {'not optimal' if smaller['one'] else 'optimal, exactly'}. Two layers, by construction: "
        f"{'yes' if before else 'no'}, the first-order attack misses in {(~reached).sum()} of {len(reached)} cases, "
        f"and where it succeeds its norm is {above:.2f} times the converged one (median). After convergence it is "
        f"{'' if local else 'not '}optimal among its neighbours, which is not the same as smallest.",
    )


def more_classes_graded(means, patterns, *, times) -> Outcome:
    """Count how many target classes each attack reaches from an image, and the distinct magnitudes of pixel changes.

    Contradicted unless on every network the first-order attack reaches more classes on average than FGSM without a
    target, and its changes have more than {times:g} times as many distinct magnitudes (medians, first network); then
    reproduced when it also reaches more classes than FGSM with a target on every network, with a correction when not.
    The participation ratio is reported and not judged.
    """
    first, plain, targeted = means["first-order"], means["FGSM"], means["targeted FGSM"]
    magnitudes, shares = patterns.magnitudes, patterns.participation
    graded = magnitudes["first-order"] > times * magnitudes["FGSM"]
    spread = {name: f"{v.iloc[0]:.2f} ({v.min():.2f} to {v.max():.2f})" for name, v in means.items()}
    holds, less = (first > plain).all() and graded, shares["first-order"] < shares["FGSM"]
    return Outcome(
        CONTRADICTED if not holds else REPRODUCED if (first > targeted).all() else CORRECTED,
        f"classes per image: FGSM {spread['FGSM']}, targeted FGSM {spread['targeted FGSM']}, first-order "
        f"{spread['first-order']}, converged {spread['converged']}; distinct magnitudes {magnitudes['FGSM']:.0f} "
        f"against {magnitudes['first-order']:.0f}; participation ratio {shares['FGSM']:.0%} against "
        f"{shares['first-order']:.0%}",
        "linearised",
        f"More classes than FGSM without a target on {np.sum(first > plain)} of {len(first)} networks, than targeted "
        f"FGSM on {np.sum(first > targeted)}; converged attacks reach {means['converged'].min():g} or more. The "
        f"pattern is {'' if graded else 'not '}graded where FGSM has one strength; in the sense of being spread over "
        f"more pixels it is the {'less' if less else 'more'} diffuse of the two.",
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
