"""What is judged about LeNet's accuracy."""

from lab.claims import CONTRADICTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome
from lab.wording import counted


def accuracies(legs, *, published, points, titles, note) -> Outcome:
    """Caffe's LeNet is trained on both datasets from several seeds, in legs.

    After its last leg every seed must exceed the published accuracy on MNIST, and on CIFAR-10 be within {points:.0%} of
    all test images of the published one: reproduced when both hold. Contradicted when either fails for every seed.
    Otherwise, or without CIFAR-10, it cannot be decided. The length of training was chosen with both accuracies in
    view, so this says that such networks can be had, not how the paper got its own.
    """
    ends = {name: table.groupby("net", sort=False).test.last() for name, table in legs.items()}
    over = ends["mnist"] > published["mnist"]
    near = None
    if "cifar10" in legs:
        near = (ends["cifar10"] - published["cifar10"]).abs() <= points
    holds = near is not None and over.all() and near.all()
    fails = not over.any() or (near is not None and not near.any())
    spreads = [
        f"{100 * own.mean():.2f}% ({100 * own.min():.2f} to {100 * own.max():.2f}) on {titles[name]}"
        for name, own in ends.items()
    ]
    return Outcome(
        REPRODUCED if holds else CONTRADICTED if fails else UNDECIDED,
        f"{', '.join(spreads)}, mean and range over {counted(len(over), 'seed')}",
        "sampled",
        f"{over.sum()} of {len(over)} trainings exceed {published['mnist']:.0%} on MNIST; "
        + (
            "there is no CIFAR-10 on this machine."
            if near is None
            else f"{near.sum()} of {len(near)} come within {100 * points:g} points of {published['cifar10']:.0%} on "
            f"CIFAR-10 ({note})."
        ),
    )
