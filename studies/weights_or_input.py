"""Attacks on any part of a network: what each part costs, how parts share the cost, and what linearising leaves out.

A ``found`` is what ``attacks`` returns: place → one result of a batch of attempts for every network.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bea import AttackResult, Network, attack
from bea.networks.leads import lead, other_classes

PLACES = {
    "layer 1": (1,), "layer 2": (2,), "all weights": "weights", "input": "input", "layer 1 and input": (1, "input"),
    "layer 2 and input": (2, "input"), "everything": "both",
}  # fmt: skip
PARTS = {
    "all weights and input": ("everything", "all weights", "input"),
    "layers 1 and 2": ("all weights", "layer 1", "layer 2"),
    "layer 2 and input": ("layer 2 and input", "layer 2", "input"),
}


def attacks(nets: Mapping[str, Network], x, target, places=tuple(PLACES), **options) -> dict[str, list[AttackResult]]:
    """Attack every image (n, …) towards its target (n,) in each place, on every network, as ``bea.attack`` does."""
    return {place: [attack(net, x, target, on=PLACES[place], **options) for net in nets.values()] for place in places}


def objectives(found, place: str) -> np.ndarray:
    """Return the objective (5) of all attacks in a place, (networks, n)."""
    return np.array([result.objective for result in found[place]])


def where(first, best) -> pd.DataFrame:
    """Compare the places by the relative norm, the root of the objective (5), of converged attacks.

    One row a place: ``place``, ``median``, ``lowest`` and ``highest`` (medians of single networks),
    ``converged`` (attacks that reach the target), ``first``, ``least`` and ``most`` (first-order ones that do, a
    network: median and range), ``kkt`` (largest residual of the converged).
    """
    rows = []
    for place, results in best.items():
        norms = np.sqrt(objectives(best, place))
        medians, reached = np.median(norms, axis=1), [result.success.sum() for result in first[place]]
        rows.append({
            "place": place, "median": np.median(norms), "lowest": medians.min(), "highest": medians.max(),
            "converged": sum(result.success.sum() for result in results), "first": int(np.median(reached)),
            "least": min(reached), "most": max(reached), "kkt": max(result.kkt_residual.max() for result in results),
        })  # fmt: skip
    return pd.DataFrame(rows)


def joint(found) -> pd.DataFrame:
    """Return what joint attacks cost: ``parts`` (of ``PARTS``), ``ratio`` to the bound, and to the ``cheapest`` part.

    One row a joint attack; the bound is 1 / (1/a + 1/b), with the objectives a and b of attacks on the two parts.
    """
    frames = []
    for name, (whole, *parts) in PARTS.items():
        c, a, b = (objectives(found, place).ravel() for place in (whole, *parts))
        frames.append(pd.DataFrame({"parts": name, "ratio": c * (1 / a + 1 / b), "cheapest": c / np.fmin(a, b)}))
    return pd.concat(frames, ignore_index=True)


def bound_table(attacked: pd.DataFrame) -> pd.DataFrame:
    """Summarise ``joint``, a row for each choice of ``parts``.

    ``lowest``, ``median``, ``highest`` of the ratio to the bound; attacks ``above`` it, and ``dearer`` than the cheaper
    part, the ``dearest`` by this factor; ``saved``, the share of the cheaper part's relative norm (median).
    """
    rows = [
        {
            "parts": name, "lowest": one.ratio.min(), "median": one.ratio.median(), "highest": one.ratio.max(),
            "above": np.sum(one.ratio > 1 + 1e-9), "dearer": np.sum(one.cheapest > 1 + 1e-9),
            "dearest": one.cheapest.max(), "saved": 1 - np.sqrt(one.cheapest).median(),
        }
        for name, one in attacked.groupby("parts", sort=False)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def on_everything(nets: Mapping[str, Network], counts: Mapping[str, tuple[int, int]], x, labels, *, margin: float):
    """Attack everything of each network: name → result, for ``counts``, name → images and targets an image."""
    found = {}
    for name, (images, targets) in counts.items():
        net, pool = nets[name], x[: 20 * images].reshape(-1, *nets[name].input_shape)
        usable = np.flatnonzero(net.classify(pool) == labels[: len(pool)])[:images]
        chosen = np.linspace(0, net.classes - 2, targets).round().astype(int)
        goals = other_classes(labels[usable], net.classes)[:, chosen].ravel()
        options = {"on": "both", "method": "converged", "margin": margin}
        found[name] = attack(net, np.repeat(pool[usable], targets, axis=0), goals, **options)
    return found


def shares(results: Mapping[str, list[AttackResult]]) -> pd.DataFrame:
    """Say how layers and input share the objective (5), for name → results of attacks on everything.

    One row a name and part: ``net``, ``part`` ("layer 1", …, "input"), share of the objective as ``mean``
    and quantiles ``low`` and ``high`` (5 and 95 %); of the whole batch the ``attacks``, ``success`` (share) and
    ``residual`` (median of the conditions of optimality).
    """
    rows = []
    for name, found in results.items():
        parts = np.concatenate([result.perturbation.relative_norms**2 for result in found])
        parts /= parts.sum(axis=1, keepdims=True)
        batch = {
            "attacks": len(parts), "success": np.mean(np.concatenate([result.success for result in found])),
            "residual": np.median(np.concatenate([result.kkt_residual for result in found])),
        }  # fmt: skip
        names = [*(f"layer {k}" for k in range(1, parts.shape[1])), "input"]
        for part, share in zip(names, parts.T, strict=True):
            low, high = np.quantile(share, [0.05, 0.95])
            rows.append({"net": name, "part": part, "mean": share.mean(), "low": low, "high": high} | batch)
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane through an image, a ``first``-order and a ``converged`` change of it, both (2,), on a grid.

    ``u`` and ``v`` (91, 91) run along the first-order change and across it, relative to the norm of the image;
    ``heights`` and ``linear`` are the lead of the target there, the network's and linearised at the image.
    """

    u: np.ndarray
    v: np.ndarray
    heights: np.ndarray
    linear: np.ndarray
    first: np.ndarray
    converged: np.ndarray


def plane(net: Network, image, target: int, first, converged) -> Plane:
    """Look at the lead of a target in the plane through an image (*input_shape) and two changes of it."""
    size = np.linalg.norm(image)
    one, end = (change.ravel() / size for change in (first, converged))
    along = one / np.linalg.norm(one)
    across = end - (end @ along) * along
    axes = np.stack([along, across / np.linalg.norm(across)])
    ends = axes @ one, axes @ end
    reach = 1.35 * max(map(np.linalg.norm, ends))
    u, v = np.meshgrid(np.linspace(-0.2 * reach, reach, 91), np.linspace(-0.35 * reach, 0.85 * reach, 91))
    moves = size * np.stack([u, v], axis=-1).reshape(-1, 2) @ axes
    real, linear = (height.reshape(u.shape) for height in leads(net, image, target, moves))
    return Plane(u, v, real, linear, *ends)


def leads(net: Network, image, target: int, moves) -> tuple[np.ndarray, np.ndarray]:
    """Return the lead of the target after ``moves`` (n, pixels) of an image: the network's, and linearised there."""
    linear, goals = net.linearise(image[None]), np.full(len(moves), target)
    seen = linear.logits[0] + moves @ linear.jacobian.reshape(net.classes, -1).T
    return lead(net(image + moves.reshape(-1, *image.shape)), goals), lead(seen, goals)


def ways(net: Network, image, target: int, first, converged) -> pd.DataFrame:
    """Follow the straight way from an image to its first-order change, and from there to the converged one.

    One row a point: ``way`` (0 or 1), ``part`` of the way, ``lead`` of the target, ``linearised`` at the
    image, ``norm`` of the change relative to the image's.
    """
    part, frames = np.linspace(0, 1, 201), []
    for way, (begin, end) in enumerate(((np.zeros_like(first), first), (first, converged))):
        moves = begin.ravel() + np.multiply.outer(part, (end - begin).ravel())
        real, seen = leads(net, image, target, moves)
        norm = np.linalg.norm(moves, axis=1) / np.linalg.norm(image)
        frames.append(pd.DataFrame({"way": way, "part": part, "lead": real, "linearised": seen, "norm": norm}))
    return pd.concat(frames, ignore_index=True)


def starts_table(single, several, best) -> pd.DataFrame:
    """Compare attacks with one start, with several, and with the default number, place by place.

    One row a place: ``place``; attacks whose relative norm falls by more than a thousandth with several
    starts, ``better``, ``least`` and ``most`` of a network; the largest ``gain`` (share of the norm); ``default``,
    attacks that fall as much with the default starts; ``attacks``.
    """
    rows = []
    for place in several:
        one = objectives(single, place)
        ratio, default = (np.sqrt(objectives(found, place)[: len(one)] / one) for found in (several, best))
        each = np.sum(ratio < 0.999, axis=1)
        rows.append({
            "place": place, "better": each.sum(), "least": each.min(), "most": each.max(), "gain": 1 - ratio.min(),
            "default": np.sum(default < 0.999), "attacks": ratio.size,
        })  # fmt: skip
    return pd.DataFrame(rows)
