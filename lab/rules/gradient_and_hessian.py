"""What is judged about first and second derivatives of the loss."""

from lab.claims import CONTRADICTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome
from lab.wording import tidy


def propagated(errors, *, rounding, differences) -> Outcome:
    """Compare gradients by back-propagation with automatic differentiation and with central differences.

    On random networks of all layer types and on trained ones, in double precision. Reproduced when the relative
    difference to the former is at most {rounding:.0e}, and to the best of six differences at most {differences:.0e},
    on every network; contradicted otherwise.
    """
    most, least = errors.gradient.max(), errors.differences.max()
    agrees = most <= rounding and least <= differences
    return Outcome(
        REPRODUCED if agrees else CONTRADICTED,
        f"relative difference at most {tidy(most)} to automatic differentiation, {tidy(least)} to differences",
        "exact",
        f"The gradient was propagated backwards through {len(errors)} kinds of networks, random and trained; it "
        f"{'agrees' if agrees else 'does not agree'} with both, to rounding and to the accuracy of the differences.",
    )


def second_order(minima, seeds, *, longer, converged) -> Outcome:
    """Run a Newton method with exact Hessian products on smooth networks, beside gradient descent on the same sums.

    Reproduced when, on every network and every seed of smooth ReLU, its distances are at most {longer:g} times those of
    gradient descent (median) and it converges for at least {converged:.0%} of the images; contradicted otherwise;
    undecided where the attack succeeds on no image of some network or seed. Iterations are reported, and time beside
    them.
    """
    every = [minima, seeds]
    close = all((table.quotient <= longer).all() and (table.converged >= converged).all() for table in every)
    known = all(len(table) and (table.won > 0).all() for table in every)
    steps = "; ".join(f"{one.net}: {one.newton:.0f} steps against {one.gradient:.0f}" for one in minima.itertuples())
    return Outcome(
        UNDECIDED if not known else REPRODUCED if close else CONTRADICTED,
        f"{steps}; {seeds.newton.min():.0f} to {seeds.newton.max():.0f} against {seeds.gradient.min():.0f} to "
        f"{seeds.gradient.max():.0f} over {len(seeds)} seeds of smooth ReLU",
        "sampled",
        f"Newton's method converged for {', '.join(f'{part:.1%}' for part in minima.converged)} of the images. Median "
        "quotient of the distances, Newton over gradient descent: "
        + ", ".join(f"{one.quotient:.4f} ({one.net})" for one in minima.itertuples())
        + f"; its value of φ is the same or lower for {', '.join(f'{part:.1%}' for part in minima.lower)}.",
    )
