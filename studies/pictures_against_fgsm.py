"""Attacks on the input by backward error beside FGSM: Figures 1 to 4 of paper B, and more.

Images (n, 28, 28), present classes ``source`` and targets (n,) are those of ``lab.attempts.to_every_target``; ``found``
is what ``studies.table_2.attacks`` returns, network → result. A norm is ‖Δx‖/‖x‖, infinite where nothing was reached.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bea import Network, attack
from bea.attacks import fgsm, smallest_epsilon
from bea.measures.diffuseness import distinct_magnitudes, energy_share, participation_ratio
from bea.networks.leads import other_classes
from bea.numerics.arrays import flat, image_norms

METHODS = ["FGSM", "targeted FGSM", "first-order", "converged"]
VERSIONS = [
    "after the last tanh", "first-order", "after the last tanh, along its ray", "first-order along its ray", "converged"
]  # fmt: skip


def one_layer(nets: Mapping[str, Network], found, source) -> pd.DataFrame:
    """Say what the attacks on networks of one layer look like, and what FGSM needs, a row an attack.

    Columns: ``net``, ``norm``, ``success``, ``brightest`` (largest change of a pixel that was
    black, full scale = 1), ``gradient`` (norm of FGSM or targeted FGSM, the smaller one).
    """
    frames = []
    for name, net in nets.items():
        result = found[name]
        x, dx = result.perturbation.x, result.perturbation.dx
        columns = {
            "net": name, "norm": result.perturbation.relative_norms[:, -1], "success": result.success,
            "brightest": flat(np.where(x == 0, dx, 0)).max(axis=1),
            "gradient": np.fmin(*gradient_norms(net, x, source, result.target)),
        }  # fmt: skip
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def first_steps(net: Network, x, label, steps: int) -> np.ndarray:
    """Return FGSM's first step ε (n, classes), of ``steps`` up to one, that gives each class; inf where none does."""
    ray, epsilon = fgsm(net, x, label, 1.0).dx, np.full((len(x), net.classes), np.inf)
    for step in np.arange(steps, 0, -1) / steps:
        epsilon[np.arange(len(x)), net.classify(x + step * ray)] = step
    return epsilon


def gradient_norms(net: Network, x, source, target) -> tuple[np.ndarray, np.ndarray]:
    """Return norms (n,) of FGSM's first step, of 500 up to ε = 1, to each target, and of targeted FGSM's smallest."""
    fast = smallest_epsilon(net, x, source, target=target)
    length = image_norms(fgsm(net, x, source, 1.0).dx) / image_norms(x)
    return first_steps(net, x, source, 500)[np.arange(len(x)), target] * length, np.where(
        fast.success, fast.norm, np.inf
    )


def smallest_factor(net: Network, x, dx, target, factors) -> np.ndarray:
    """Return the smallest of the rising ``factors`` (n,) with which dx leads to the target; inf where none does."""
    found = np.full(len(x), np.inf)
    for factor in factors:
        rest = np.flatnonzero(np.isinf(found))
        found[rest[net.classify(x[rest] + factor * dx[rest]) == target[rest]]] = factor
    return found


def pairs(nets: Mapping[str, Network], first, converged, source, *, margin: float) -> pd.DataFrame:
    """Set the norms of four versions of the attack and of two of FGSM side by side.

    Columns, a row an attack: ``net``, ``source``, ``target``; ``class`` after the first-order attack, ``wins`` (whether
    it succeeds), ``factor`` by which it must be stretched (of 300 from 0.1 to 10); norms ``first-order``, ``first-order
    along its ray`` (stretched), ``after the last tanh`` (constraints on the outputs; judged by the class, as FGSM is,
    since saturated outputs lead by less than any margin) and the same ``…, along its ray``, ``converged``, ``FGSM``,
    ``targeted FGSM``, ``gradient`` (the smaller of the two); ``success`` and ``kkt`` (violation of the conditions of
    optimality) of the converged attack.
    """
    frames = []
    for name, net in nets.items():
        result, best, p = first[name], converged[name], first[name].perturbation
        x, target = p.x, result.target
        factor = smallest_factor(net, x, p.dx, target, np.geomspace(0.1, 10, 300))
        literal = attack(net, x, target, on="input", margin=margin, activated=True).perturbation
        won = net.classify(x + literal.dx) == target
        shorter = smallest_factor(net, x, literal.dx, target, np.geomspace(1e-6, 1, 500))
        free, fast = gradient_norms(net, x, source, target)
        norm = p.relative_norms[:, -1]
        columns = {
            "net": name, "source": source, "target": target, "class": net.classify(x + p.dx), "wins": result.success,
            "first-order": np.where(result.success, norm, np.inf), "first-order along its ray": norm * factor,
            "after the last tanh": np.where(won, literal.relative_norms[:, -1], np.inf),
            "after the last tanh, along its ray": literal.relative_norms[:, -1] * shorter, "factor": factor,
            "converged": best.perturbation.relative_norms[:, -1], "FGSM": free, "targeted FGSM": fast,
            "gradient": np.fmin(free, fast), "success": best.success, "kkt": best.kkt_residual,
        }  # fmt: skip
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """Count, a row a network, first-order attacks that end at the target, in the old or a third class, or get there."""
    there, same = table["class"] == table.target, table["class"] == table.source
    columns = {"target": there, "old": same, "third": ~(there | same), "stretched": np.isfinite(table.factor)}
    return pd.DataFrame(columns).groupby(table.net, sort=False).sum()


def who_wins(table: pd.DataFrame) -> dict[str, dict]:
    """Count, for every version of the attack, pairs that it and FGSM reach, and whose norm is smaller.

    Returns version → ``reached``, ``both``, ``ours``, ``theirs`` (networks,), and ``ratio`` (median, FGSM over ours).
    """
    wins, gradient = {}, table.gradient
    for name in VERSIONS:
        both = np.isfinite(table[name]) & np.isfinite(gradient)
        ours, theirs = both & (table[name] < gradient), both & (table[name] > gradient)
        marks = {"reached": np.isfinite(table[name]), "both": both, "ours": ours, "theirs": theirs}
        counts = pd.DataFrame(marks).groupby(table.net, sort=False).sum()
        ratio = median((gradient / table[name])[both])
        wins[name] = {key: column.to_numpy() for key, column in counts.items()} | {"ratio": ratio}
    return wins


def shown(net: Network, first, converged, source) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return, method → change (n, …) and whether it reached its target, what Figures 2 to 4 show of one network.

    Where FGSM does not reach a target its longest step stands, ε = 1.
    """
    x, target = first.perturbation.x, first.target
    steps, fast = (
        first_steps(net, x, source, 500)[np.arange(len(x)), target],
        smallest_epsilon(net, x, source, target=target),
    )
    free = np.where(np.isfinite(steps), steps, 1.0)[:, None, None] * fgsm(net, x, source, 1.0).dx
    longest = fgsm(net, x, source, 1.0, target=target).dx
    changes = np.where(fast.success[:, None, None], fast.dx, longest)
    ours = [(result.perturbation.dx, result.success) for result in (first, converged)]
    return dict(zip(METHODS, [(free, np.isfinite(steps)), (changes, fast.success), *ours], strict=True))


def grid(x, dx, reached, classes, source, target) -> tuple[np.ndarray, list[str], int, np.ndarray]:
    """Return images and titles, a row a digit and a column a class, the columns, and the places of the originals.

    Where the target was not reached there is no image, only an arrow and the class obtained.
    """
    columns = len(np.unique(target))
    row, digits = np.arange(len(x)) // (columns - 1), source[:: columns - 1]
    place, own = columns * row + target, columns * np.arange(len(digits)) + digits
    images, titles = np.full((columns * len(digits), *x.shape[1:]), np.nan), [""] * (columns * len(digits))
    images[place], images[own] = np.where(reached[:, None, None], x + dx, np.nan), x[:: columns - 1]
    for i, norm in enumerate(image_norms(dx) / image_norms(x)):
        titles[place[i]] = f"{classes[i]} ({norm:.2f})" if reached[i] else f"→ {classes[i]}"
        titles[own[row[i]]] = f"a {source[i]}"
    return images, titles, columns, own


@dataclass(frozen=True, eq=False)
class Statistics:
    """What attacks on many images reach, towards every other class each.

    ``reached`` has a row an image: ``net``, and how many classes each method reaches. Constraints are on the logits;
    first-order attacks have them also ``after the last tanh``, as printed, judged by the class as FGSM is. A step
    longer than FGSM's longest, ε = 1, does not count, but for ``after the last tanh, any length`` and ``first-order
    along its ray``, up to five times the step. ``attacks`` has a row an attack on the first network: norms ``first``,
    ``converged``, ``fast`` (targeted FGSM), whether each succeeds, and ``kkt`` of the converged one. ``patterns`` has a
    row a ``method``: medians of ``participation`` (ratio), ``energy`` (share of the pixels with 90 % of it) and
    distinct ``magnitudes``, ``least`` of these. ``curves`` has a column a method: median share of Σ Δx² in the
    strongest 1, 2, … pixels. ``never`` is the share of converged attacks' Σ Δx² in pixels that no training image uses.
    """

    reached: pd.DataFrame
    attacks: pd.DataFrame
    patterns: pd.DataFrame
    curves: pd.DataFrame
    never: float


def statistics(nets: Mapping[str, Network], x, labels, blank, *, images: int, margin: float) -> Statistics:
    """Attack the first correctly classified ``images``, of the networks but the first a twentieth, in all ways.

    ``blank`` (28, 28) says which pixels no training image uses.
    """
    frames, kept = [], None
    for name, net in nets.items():
        right = np.flatnonzero(net.classify(x) == labels)[: max(images // 20, 1) if kept else images]
        single, own = x[right], labels[right]
        goal = other_classes(own, net.classes).ravel()
        many, source = (np.repeat(values, net.classes - 1, axis=0) for values in (single, own))
        first = attack(net, many, goal, on="input", margin=margin)
        best = attack(net, many, goal, on="input", method="converged", margin=margin)
        printed = attack(net, many, goal, on="input", margin=margin, activated=True).perturbation.dx
        fast = smallest_epsilon(net, many, source, target=goal)
        walked, rest = first.success.copy(), np.flatnonzero(~first.success)
        steps = smallest_factor(net, many[rest], first.perturbation.dx[rest], goal[rest], np.linspace(1.1, 5, 40))
        walked[rest] = np.isfinite(steps)
        free = np.isfinite(first_steps(net, single, own, 100))
        free[np.arange(len(own)), own] = False
        longest, there = image_norms(fgsm(net, many, source, 1.0).dx), net.classify(many + printed) == goal
        short, short_best = (image_norms(found.perturbation.dx) <= longest for found in (first, best))
        won = {
            "targeted FGSM": fast.success, "after the last tanh": there & (image_norms(printed) <= longest),
            "after the last tanh, any length": there, "first-order": first.success & short,
            "first-order along its ray": walked, "converged": best.success & short_best,
        }  # fmt: skip
        counts = {method: wins.reshape(len(own), -1).sum(axis=1) for method, wins in won.items()}
        frames.append(pd.DataFrame({"net": name, "FGSM": free.sum(axis=1)} | counts))
        kept = kept or (first, best, fast, smallest_epsilon(net, single, own).dx)
    first, best, fast, free = kept
    changes = [free, fast.dx[fast.success], first.perturbation.dx, best.perturbation.dx]
    attacks = {
        "first": first.perturbation.relative_norms[:, -1], "converged": best.perturbation.relative_norms[:, -1],
        "fast": fast.norm, "first_wins": first.success, "converged_wins": best.success, "fast_wins": fast.success,
        "kkt": best.kkt_residual,
    }  # fmt: skip
    squares = best.perturbation.dx**2
    return Statistics(
        pd.concat(frames, ignore_index=True),
        pd.DataFrame(attacks),
        pd.DataFrame([{"method": name} | _pattern(dx) for name, dx in zip(METHODS, changes, strict=True)]),
        pd.DataFrame({name: _energy(dx) for name, dx in zip(METHODS, changes, strict=True)}),
        float(squares[:, blank].sum() / squares.sum()),
    )


def median(values) -> float:
    """Return the median, 0 for no values at all."""
    return float(np.median(values)) if np.size(values) else 0.0


def _pattern(dx) -> dict[str, float]:
    measures = participation_ratio(dx), energy_share(dx, 0.9), distinct_magnitudes(dx)
    return dict(zip(("participation", "energy", "magnitudes"), np.nanmedian(measures, axis=1), strict=True)) | {
        "least": np.nanmin(measures[2])
    }


def _energy(dx) -> np.ndarray:
    share = np.cumsum(np.sort(flat(dx) ** 2, axis=1)[:, ::-1], axis=1)
    return np.nanmedian(share / share[:, -1:], axis=0)
