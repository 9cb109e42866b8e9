"""Rules of the chapter on the network written by hand."""

from itertools import pairwise

import numpy as np
import pandas as pd

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome
from lab.wording import tidy


def derived_gradients(errors: pd.DataFrame, apart, accuracy, widths, *, differences, keras, training, works) -> Outcome:
    """Build the network as described, check every derived gradient, and train it.

    Each gradient is compared with central differences and with automatic differentiation, each step of training with
    Keras', and the network is trained for one epoch from several seeds. Reproduced when all gradients agree, to the
    order of their factors, within {differences:.0e} with the differences and within {keras:.0e} with Keras (relative
    to the largest entry), the weights stay within {training:.0e}, and every network classifies more than {works:.0%}
    of the test images; contradicted otherwise.
    """
    by_keras, by_differences, far = errors["keras"].max(), errors["differences"].max(), np.max(apart)
    right = by_differences <= differences and by_keras <= keras and far <= training
    numbers = sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))
    return Outcome(
        REPRODUCED if right and accuracy["lowest"] > works else CONTRADICTED,
        f"gradients within {tidy(by_keras)} of automatic differentiation and {tidy(by_differences)} of difference "
        f"quotients; {len(apart)} steps of training within {tidy(far)} of Keras'; {accuracy['median']:.1%} after one "
        f"epoch ({accuracy['lowest']:.1%} to {accuracy['highest']:.1%} over {accuracy['seeds']} seeds)",
        "sampled",
        f"A {'-'.join(map(str, widths))} network of {numbers} numbers, in NumPy alone. The products of the report need "
        "transposes for their shapes to fit.",
    )


def smooth_relu_is_as_said(errors: pd.DataFrame, points, *, rounding, halves) -> Outcome:
    """Check derivative, monotonicity, value at 0 and limits by computation, for several a and thousands of points.

    The largest distance from ReLU is measured too. Reproduced when derivative and value at 0 are right to
    {rounding:.0e}, the function never falls, the largest distance is a/2 to {halves:.0e} of a and at 0, and the
    derivative is off its limits by no more than its tail a²/(2v²) at the last point v; contradicted otherwise.
    """
    derivative, last = errors[["derivative", "code"]].to_numpy().max(), np.max(points)
    holds = (
        max(derivative, errors["zero"].max()) <= rounding
        and errors["falls"].sum() == 0
        and np.all(np.abs(errors["distance"] - 0.5) <= halves)
        and np.all(errors["at"] == 0)
        and (errors["tails"] <= errors["a"] ** 2 / (2 * last**2)).all()
    )
    return Outcome(
        REPRODUCED if holds else CONTRADICTED,
        f"derivative right to {tidy(derivative)}, f never falls, f(0) = a/2, and f is never further than "
        f"{errors['distance'].max():.3f} a from ReLU, at 0",
        "exact",
        f"Checked at {len(points)} points up to ±{last:g} for {len(errors)} values of a. The derivative tends to its "
        f"limits like a²/(4v²), not faster: at v = -10a it is {0.5 * (1 - 10 / np.sqrt(101)):.4f}.",
    )


def result_and_line(errors: pd.DataFrame, *, published, within) -> Outcome:
    """Compare the result and the printed line of its derivation with central differences, for every class.

    Reproduced when both lie within {within:.0e} of the differences, for the true class and for the others; with a
    correction when only the result does; contradicted when it does not.
    """
    result, line = errors.set_index("formula").loc[["result", "line"], ["true", "others"]].to_numpy()
    right, line_right = max(result) <= within, max(line) <= within
    return Outcome(
        (REPRODUCED if line_right else CORRECTED) if right else CONTRADICTED,
        f"q - y within {tidy(max(result))} of difference quotients in all {published['classes']} classes; the printed "
        f"line within {tidy(line[0])} for the true class, off by up to {line[1]:.2f} for the others",
        "exact",
        "For a class other than the true one the printed line is zero, since it carries only the term of its own class "
        "of the loss. The derivative of the true class's term by the other logits is missing.",
    )


def accuracies_follow(table: pd.DataFrame, level, images, *, published, within, train_images, last_quarter) -> Outcome:
    """Set what is not printed to meet the one-epoch figure, from several seeds; every other accuracy follows.

    Learning rate, batch size and a are not printed. Cannot be decided unless all figures are made again from
    {train_images} images. Order and shape are right when wider and longer never lower the median accuracy, width adds
    less than epochs do, the longest training ends within {within:.0%} of the test images of the asymptote and gains at
    most {last_quarter:.0%} in its last quarter. Contradicted when they are not. Reproduced when moreover each published
    accuracy lies within {within:.0%} of our median; cannot be decided when one does not, since another learning rate
    may mend it. The two figures for one and the same network are compared with the standard deviation over seeds.
    """
    known, cases = table[table["published"].notna()], table.drop_duplicates("net")
    far = known[known["difference"].abs() > within]
    wide = cases[cases["epochs"] == 1]["median"].to_numpy()
    longer = cases[cases["width"] == cases["width"].iloc[0]].sort_values("epochs")["median"].to_numpy()
    shape = (
        np.all(np.diff(wide) >= 0)
        and np.all(np.diff(longer) >= 0)
        and wide[-1] - wide[0] < longer[-1] - longer[0]
        and abs(longer[-1] - published["asymptote"]) <= within
        and level["gain"] <= last_quarter
    )
    printed = len(published["widths"]) + len(published["epochs"])
    complete = len(known) == printed and images == train_images
    verdict = (UNDECIDED if len(far) else REPRODUCED) if shape else CONTRADICTED
    lacking = f"Only {len(known)} of {printed} figures were made again, from {images} images. "
    outside = "".join(
        f"; {row.width}-{row.width} after {row.epochs} epochs has {100 * abs(row.difference):.1f} points "
        f"{'less' if row.difference < 0 else 'more'} here"
        for row in far.itertuples()
    )
    apart, spread = abs(published["widths"][64] - published["epochs"][1]), cases["deviation"].iloc[0]
    return Outcome(
        verdict if complete else UNDECIDED,
        ", ".join(
            f"{row.width}-{row.width} after {row.epochs}: {row.median:.2%} ({row.lowest:.2%} to {row.highest:.2%})"
            for row in cases.itertuples()
        )
        + f"; {cases['seeds'].min()} to {cases['seeds'].max()} seeds",
        "sampled",
        ("" if complete else lacking)
        + f"{len(known) - len(far)} of {len(known)} published accuracies lie within {100 * within:g} point of our "
        + f"median{outside}. "
        + (
            "Order and shape are as reported: wider adds little, longer adds more, and the gain fades near "
            f"{published['asymptote']:.0%}. "
            if shape
            else "Order or shape differ from the report. "
        )
        + (
            "Whether the report's learning rate, which is not printed, gives all its figures is open. "
            if len(far)
            else ""
        )
        + f"The two figures for one and the same network, {100 * apart:.2f} points apart, differ by "
        f"{apart / spread if spread else 0:.1f} standard deviations of ours over seeds.",
    )
