"""What is judged about the attack beside the state of the art, on many images."""

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED
from lab.rules import Outcome


def announced_study(duels, *, networks, images, level, by) -> Outcome:
    """The announced study, from the stored benchmark: the attack and its peers on the same images of several networks.

    Any class but the label may win, pixels stay in their range, a success counts in double precision on the network
    itself, and a failure is infinitely long. The attack has no budget of passes, its peers have one; the last run of
    the benchmark counts, however many there were. On each network and for each peer it is counted on how many images
    one of the two is shorter by more than {by:.1%}, and a sign test says whether that is chance; Holm's correction is
    over all pairs of network and peer, at {level:.0%}. Reproduced when the attack is shorter than every peer on every
    network; with a correction when that is so on some networks only; contradicted when it is so on none and on every
    network some peer is shorter than the attack; undecided otherwise, and where fewer than {networks} networks with at
    least {images} images each were attacked.
    """
    table = duels.assign(
        won=(duels.holm < level) & (duels.ours > duels.peer), lost=(duels.holm < level) & (duels.ours < duels.peer)
    )
    by_net = table.groupby("net", sort=False)
    best, beaten, fewest = by_net.won.all(), by_net.lost.any(), by_net.images.min()
    enough = len(fewest) >= networks and fewest.min() >= images
    verdict = REPRODUCED if best.all() else CORRECTED if best.any() else CONTRADICTED if beaten.all() else UNDECIDED
    told = [
        f"{name}: shorter than {group.won.sum()} of {len(group)} peers, longer than {group.lost.sum()}"
        for name, group in by_net
    ]
    ahead = ", ".join(f"{row.attack} on {row.net}" for row in table[table.lost].itertuples())
    return Outcome(
        verdict if enough else UNDECIDED,
        "; ".join(told) or "nothing computed",
        "sampled",
        f"{len(fewest)} networks, {fewest.min() if len(fewest) else 0} images or more on each. "
        + (f"Ahead of the attack: {ahead}." if ahead else "No peer is ahead of the attack."),
    )
