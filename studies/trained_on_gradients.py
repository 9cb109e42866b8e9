"""Whether training on gradient signs leaves a network open to backward errors (paper B, section 4.2.2)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bea import Network, attack
from bea.attacks import backward_error_attack, lbfgs_attack, smallest_epsilon, smallest_pgd
from bea.attacks.by_backward_error import nearest_classes
from lab.trained import seed_of

ATTACKS = {  # short name → title; the first two need no Euclidean length but a step of all pixels
    "fgsm": "FGSM",
    "pgd": "iterated FGSM",
    "lbfgs": "L-BFGS",
    "backward": "backward error, converged",
}


def sizes(nets: Mapping[str, Network], x, labels, *, margin: float, compared: int) -> pd.DataFrame:
    """Find how large each attack has to be on every network.

    Parameters
    ----------
    nets : mapping of str to Network
        "kind-seed" → network.
    x : array (n, …) of pixels in [0, 1], labels : int array (n,)
    margin : float
        By how much the new class must lead after the last two attacks, in units of the logits.
    compared : int
        Images of L-BFGS, which takes longest.

    Returns
    -------
    DataFrame, one row a network, attack and image that the network has right: ``kind``, ``seed``, ``attack`` (of
    ``ATTACKS``), ``image``, ``size``, NaN where the attack fails. Sizes are ε, in units of the pixels, for "fgsm" and
    "pgd" (upper bounds of the smallest), and Euclidean lengths for the other two (locally optimal).
    """
    frames = []
    with threadpool_limits(1, "blas"):  # the matrices are small, and threads would wait for each other
        for name, net in nets.items():
            right = np.flatnonzero(net.classify(x) == labels)
            few = right[right < compared]
            found = {
                "fgsm": smallest_epsilon(net, x[right], labels[right]).epsilon,
                "pgd": smallest_pgd(net, x[right], labels[right], tolerance=5e-4).epsilon,
                "lbfgs": _lbfgs(net, x[few], labels[few], margin),
                "backward": backward_error_attack(net, x[right], labels[right], margin=margin).l2,
            }
            own = {"kind": name.rpartition("-")[0], "seed": seed_of(name)}
            for key, size in found.items():
                frames.append(pd.DataFrame(own | {"attack": key, "image": right[: len(size)], "size": size}))
    return pd.concat(frames, ignore_index=True)


def _lbfgs(net, x, labels, margin):
    """Return the shorter of the lengths that L-BFGS finds towards the two classes nearest to first order."""
    aims = nearest_classes(net, x, labels)[:, :2].T
    lengths = [lbfgs_attack(net, x, labels, target=aim, margin=margin, processes=1).l2 for aim in aims]
    return np.fmin.reduce(lengths) if len(x) else np.zeros(0)


def printed_form(nets: Mapping[str, Network], x, labels, *, margin: float) -> pd.DataFrame:
    """Attack by backward error as printed, to first order and towards the nearest class.

    Returns
    -------
    DataFrame, one row a network: ``kind``, ``seed``, ``images`` that it has right, the share ``turned`` (given another
    class in the network itself), and the median ``length`` of the changes, successful or not.
    """
    rows = []
    with threadpool_limits(1, "blas"):
        for name, net in nets.items():
            right = net.classify(x) == labels
            own, label = x[right], labels[right]
            found = attack(net, own, nearest_classes(net, own, label)[:, 0], on="input", margin=margin)
            dx = found.perturbation.dx
            turned = net.classify(own + dx) != label
            length = np.linalg.norm(dx.reshape(len(own), -1), axis=1)
            rows.append((name.rpartition("-")[0], seed_of(name), len(own), turned.mean(), np.median(length)))
    return pd.DataFrame(rows, columns=["kind", "seed", "images", "turned", "length"])


def growth(table: pd.DataFrame, before: str, after: str) -> pd.DataFrame:
    """Divide the sizes on one kind of network by those on another of the same seed, image by image.

    Returns
    -------
    DataFrame, one row an attack, seed and image that both have right and the attack turns on both: ``attack``,
    ``seed``, ``image``, ``before``, ``after``, ``grown`` (the quotient).
    """
    wide = table.pivot(index=["attack", "seed", "image"], columns="kind", values="size")
    wide = wide[[before, after]].dropna().set_axis(["before", "after"], axis=1)
    return wide.assign(grown=wide.after / wide.before).reset_index()


def summary(grown: pd.DataFrame) -> pd.DataFrame:
    """Summarise ``growth``.

    Returns
    -------
    DataFrame, one row an attack, in the order of ``ATTACKS``: ``attack``, ``pairs`` (of image and seed), medians
    ``before`` and ``after``, ``grown`` (median over the seeds of the median quotient), with the ``lowest`` and
    ``highest`` seed, ``easier`` (share of the pairs that need less than before) and ``still`` (share that needs no
    more than the median before, where it was a half).
    """
    rows = []
    for key in ATTACKS:
        own = grown[grown.attack == key]
        each = own.groupby("seed").grown.median()
        middle = own.groupby("seed").before.transform("median")
        rows.append({
            "attack": key, "pairs": len(own), "before": own.before.median(), "after": own.after.median(),
            "grown": each.median(), "lowest": each.min(), "highest": each.max(), "easier": (own.grown < 1).mean(),
            "still": (own.after <= middle).mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def said(table: pd.DataFrame) -> dict[str, str]:
    """Say what ``summary`` means for the conjecture, in words: ``open`` and ``beside`` (FGSM's growth)."""
    own = table.set_index("attack")
    backward, signs = own.loc["backward"], own.loc["fgsm"]
    if backward.lowest > 1:
        answer = "no: on the network of every seed the attack by backward error has to be larger after the training"
    elif backward.highest < 1:
        answer = "yes: on the network of every seed a smaller change is enough after the training"
    else:
        answer = "neither yes nor no: it depends on the seed whether a larger change is needed"
    if signs.lowest > backward.highest:
        beside = "less than that of FGSM on every seed"
    elif signs.highest < backward.lowest:
        beside = "more than that of FGSM on every seed"
    else:
        beside = "like that of FGSM, as far as the seeds can tell"
    return {"open": answer, "beside": beside}
