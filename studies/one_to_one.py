"""Is an attack a one-to-one mapping (paper R, eq. 3)? Two images that the fast gradient sign method makes the same.

All pixels are multiples of 2⁻¹⁰ and the step is a power of two, so that sums are exact and "the same" means every bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bea import Network
from bea.attacks.loss import scaled_gradient

FINENESS = 2.0**-10


@dataclass(frozen=True, eq=False)
class Partners:
    """What a search for a second image has found for n first ones.

    Attributes
    ----------
    first, second, common : arrays (n, *input_shape)
        ``first + ε sign ∇L(first) = common``, and the same from ``second`` where ``met``.
    met : bool array (n,)
        Whether the second image differs from the first and leads to the same one, bit for bit.
    least : array (n,)
        Smallest entry of both gradients over the largest of its own, without sign: far above 1e-16, no sign is chance.
    """

    first: np.ndarray
    second: np.ndarray
    common: np.ndarray
    met: np.ndarray
    least: np.ndarray


def paler(x, epsilon: float) -> np.ndarray:
    """Return images (n, …) with less contrast, from 2ε to 1 - 2ε, so that steps stay in range; multiples of 2⁻¹⁰."""
    return np.round((2 * epsilon + (1 - 4 * epsilon) * x) / FINENESS) * FINENESS


def partners(net: Network, x, labels, *, epsilon: float, rounds: int) -> Partners:
    """Search for a second image of the same label that the fast gradient sign method makes the same as the first.

    With X = x + ε s(x) and s the sign of the gradient of the loss, a second image is a fixed point of
    ``x' ← X - ε s(x')``. The search starts from X + ε s(x), where a loss with its peak at X would have the opposite
    signs, and corrects in every round about half of the signs that are wrong, drawn at random: all at once, it cycles.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape), labels : int array (n,)
        Images of ``paler``.
    epsilon : float
        A power of two.
    rounds : int
    """
    own, rng = scaled_gradient(net, x, labels)[0], np.random.default_rng(0)
    common, signs = x + epsilon * np.sign(own), -np.sign(own)
    for _ in range(rounds):
        found = np.sign(scaled_gradient(net, common - epsilon * signs, labels)[0])
        signs = np.where(rng.random(x.shape[1:]) < 0.5, found, signs)  # the same half for all: an image stands alone
    second = common - epsilon * signs
    slope = scaled_gradient(net, second, labels)[0]
    axes = tuple(range(1, x.ndim))
    met = (second + epsilon * np.sign(slope) == common).all(axis=axes) & (second != x).any(axis=axes)
    sizes = [np.abs(g).min(axis=axes) / np.abs(g).max(axis=axes) for g in (own, slope)]
    return Partners(x, second, common, met, np.minimum(*sizes))


def shared(nets: Mapping[str, Network], x, labels, *, epsilon: float, rounds: int) -> pd.DataFrame:
    """Count second images on every network.

    Returns
    -------
    DataFrame, one row a network and image that it has right: ``net``, ``image``, ``met``, ``pixels`` (in which the two
    differ), ``right`` (whether the second is right as well), ``fooled`` (and what both become is wrong), ``least``.
    """
    frames = []
    for name, net in nets.items():
        pale = paler(x, epsilon).reshape(-1, *net.input_shape)
        good = np.flatnonzero(net.classify(pale) == labels)
        found = partners(net, pale[good], labels[good], epsilon=epsilon, rounds=rounds)
        right = found.met & (net.classify(found.second) == labels[good])
        frames.append(pd.DataFrame({
            "net": name, "image": good, "met": found.met, "least": found.least,
            "pixels": (found.second != found.first).reshape(len(good), -1).sum(axis=1), "right": right,
            "fooled": right & (net.classify(found.common) != labels[good]),
        }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def counts(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Return one row a title: ``title``, ``images``, and how many were ``met``, ``right`` and ``fooled``."""
    own = table.assign(title=table.net.map(titles), images=1)
    return own.groupby("title", sort=False)[["images", "met", "right", "fooled"]].sum().reset_index()
