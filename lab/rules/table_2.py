"""What is judged about attacks on the weights of two layers, constraints on the outputs and on the logits apart."""

import numpy as np

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome
from lab.wording import counted, span, tidy, tidy_span

UNKNOWN = "How saturated the paper's network was, and which norm and optimiser tolerance it used, is not known."


def some_fail(axis, *, published, points, factor, spread) -> Outcome:
    """The programme (6) is solved exactly, on networks trained as printed and on others with outputs less saturated.

    A network agrees when its accuracy is within {points:.0%} (of all test images) of the printed one, some but not all
    of its attacks miss their target, and the mean of its norms is within a factor of {factor:g} of the mean of Table 2.
    Its spread is the coefficient of variation of the norms of a digit's targets, median of the digits. The verdict is
    that of the form the paper prints, constraints on the outputs. Reproduced when every network trained as printed
    agrees and its spread is within a factor of {spread:g} of the published one; with a correction when some network
    agrees, and contradicted when none does. Constraints on the logits are put to the same test beside it. Which cells
    failed cannot be compared.
    """
    norms = {digit: np.array([*row.values()]) for digit, row in published["norms"].items()}
    mean = np.mean(np.concatenate([*norms.values()]))
    wide = np.median([row.std() / row.mean() for row in norms.values()])
    first = axis[axis.method == "first-order"]
    said, verdicts = [], {}
    for form in ("outputs", "logits"):
        own = first[first.form == form]
        close = (own.accuracy - published["accuracy"]).abs() <= points
        agrees = close & (own.won > 0) & (own.won < own.attempts) & _within(own["mean"], mean, factor)
        like, free = agrees & _within(own.spread, wide, spread), own.penalty == 0
        verdicts[form] = REPRODUCED if like[free].all() else CORRECTED if agrees.any() else CONTRADICTED
        few = own[close] if close.any() else own
        said.append(
            f"constraints on the {form}: {span(few.won, 'd')} of {own.attempts.iloc[0]} win, mean norms "
            f"{tidy_span(few['mean'], '.1e')}; {agrees.sum()} of {len(own)} networks agree with Table 2, "
            f"{like.sum()} of them in the spread as well ({span(few.spread, '.2f')} against {wide:.2f})"
        )
    numbers = first[(first.form == "outputs") & _within(first["mean"], mean, factor)]
    sizes = f", where the median |z| is {span(numbers['size'], '.1f')}" if len(numbers) else ""
    return Outcome(
        verdicts["outputs"],
        said[0],
        "sampled",
        f"The published mean of {mean:.1%} is met within a factor of {factor:g} by "
        f"{counted(len(numbers), 'network')}{sizes}. "
        f"{said[1][0].upper()}{said[1][1:]}: {verdicts['logits']}. {UNKNOWN}",
    )


def two_causes(axis, early, slsqp, one_layer, *, published, points, factor, residual, gain) -> Outcome:
    """(6) with constraints on the outputs is solved exactly, and by two solvers that are stopped early.

    Looked at are networks whose accuracy is within {points:.0%} of the printed one and whose exact mean norm is within
    a factor of {factor:g} of the mean of Table 2. *Without the optimiser*: the solutions are exact (conditions of
    optimality to {residual:.0e}, SLSQP's objective to {gain:.0e}, relative), some of them miss their target, and on
    every network their mean norm is larger than that of one layer. *With it*: for some number of steps a stopped solver
    leaves more attacks that end in a third class than the exact solution does, its mean norm within the same factor.
    Cannot be decided when both hold, or where there is no such network; contradicted when only the first or neither
    does, reproduced when only the second does. The converged attack, and constraints on the logits, are set beside it.
    """
    mean = np.mean([norm for row in published["norms"].values() for norm in row.values()])
    table = axis[(axis.accuracy - published["accuracy"]).abs() <= points]
    exact = table[(table.form == "outputs") & (table.method == "first-order") & _within(table["mean"], mean, factor)]
    logits, other = (
        table[(table.form == form) & (table.method == method) & table.net.isin(exact.net)]
        for form, method in (("logits", "first-order"), ("logits", "converged"))
    )
    solved = exact.kkt.max() <= residual and slsqp.objective.abs().max() <= gain
    missing = (exact.attempts - exact.won).sum()
    without = bool(solved and missing > 0 and (exact["mean"] > one_layer.norm.mean()).all())
    own = early[early.net.isin(exact.net)].merge(exact[["net", "third"]], on="net", suffixes=("", "_exact"))
    worse = own[(own.third > own.third_exact) & _within(own["mean"], mean, factor)]
    withit = len(worse) > 0
    verdict = UNDECIDED if without == withit and (withit or exact.empty) else REPRODUCED if withit else CONTRADICTED
    if exact.empty:
        return Outcome(verdict, "no network has norms like those of Table 2", "sampled", UNKNOWN)
    causes = [
        f"exact solutions miss as well, {exact.third.sum()} of them in a third class, without help of the optimiser"
        if without
        else "the exact solutions do not explain it",
        f"a solver that is stopped early ({', '.join(dict.fromkeys(worse.solver))}) leaves up to {worse.third.max()} "
        "attacks in a third class"
        if withit
        else "no solver stopped early sends more attacks to a third class at such norms",
    ]
    cheaper = (other["mean"] < one_layer.norm.mean()).sum()
    return Outcome(
        verdict,
        f"on {len(exact)} networks, outputs: KKT residual {tidy(exact.kkt.max())}, {missing} of {exact.attempts.sum()} "
        f"miss, mean {span(exact['mean'], '.1%')}; logits: {(logits.attempts - logits.won).sum()} miss, mean "
        f"{span(logits['mean'], '.1%')}; converged {span(other['mean'], '.1%')}; one layer {one_layer.norm.mean():.1%}",
        "sampled",
        f"{causes[0][0].upper()}{causes[0][1:]}; {causes[1]}. Converged, two layers need less than one on {cheaper} of "
        f"{len(other)} networks. {UNKNOWN}",
    )


def _within(values, of: float, factor: float):
    """Return which values are within a factor of a number."""
    return (values <= factor * of) & (values >= of / factor)


def square_law(gaps, attacks, *, exponent, within) -> Outcome:
    """Attacks are scaled far down and to their own size; the gap is what linearising promises less what is attained.

    The growth holds when the exponents, one fitted to each attack scaled down, differ from {exponent:g} by less than
    {within:g} in both forms; the reassurance when every attack with constraints on the outputs, as printed, reaches its
    target all the same. Reproduced when both hold, with a correction when only the growth does, contradicted otherwise.
    Constraints on the logits are counted beside it.
    """
    square = bool(((gaps.slope - exponent).abs() < within).all())
    first = attacks[attacks.method == "first-order"]
    misses = {form: 1 - own.won.mean() for form, own in first.groupby("form")}
    at_one = {form: own.at_one.median() for form, own in gaps.groupby("form")}
    matters = misses["outputs"] > 0
    return Outcome(
        CONTRADICTED if not square else CORRECTED if matters else REPRODUCED,
        f"exponents {span(gaps.slope, '.2f')}; at the size of the attack the gap is {at_one['outputs']:.0%} of the "
        f"change of the outputs asked for, {at_one['logits']:.0%} of that of the logits (medians); "
        f"{misses['outputs']:.0%} and {misses['logits']:.0%} of the targets are missed",
        "sampled",
        f"{len(first) // 2} attacks a form on {first.net.nunique()} networks. The square law "
        f"{'holds' if square else 'fails'} for small changes. That the neglected terms do not matter for attacks is "
        f"{'contradicted' if matters else 'confirmed'} with constraints on the outputs, and "
        f"{'contradicted' if misses['logits'] > 0 else 'confirmed'} with constraints on the logits.",
    )
