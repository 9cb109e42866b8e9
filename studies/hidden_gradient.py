"""A quantiser before a network: which attacks it stops, and what a change behind it costs before it.

Networks come as ``groups``, kind → name → network. Studies that draw take a generator, one after the other.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bea import Network, Quantise, attack, attacks
from bea.attacks.loss import loss_gradient
from bea.measures.rescaling import at_norm
from lab.trained import longest_trained, of_kind
from lab.witnesses import keras_classes
from lab.wording import span

GRADIENT = ("FGSM", "PGD")  # what follows the gradient through the quantiser
STRAIGHT = ", straight through"
ATTACKS = [*GRADIENT, *(name + STRAIGHT for name in GRADIENT)]
ATTACKS += [f"{name}, {where}" for name in GRADIENT for where in ("on f", "other kind", "other seed")]
ATTACKS += ["differences", "noise"]
BARE, BEHIND, NEAREST = "backward error on f, no Q", "backward error on f", "stretched, nearest pre-image"
GREEDY, OUTPUTS = "greedy, nearest pre-image", "backward error on f(Q)"
PARTS = {  # name in the prose → attack and column
    "plain": (BARE, "fooled"), "rounded": (BEHIND, "fooled"), "factor": ("stretched", "factor"),
    "stretched": ("stretched", "fooled"), "length": ("stretched", "length"), "nearest": (NEAREST, "length"),
    "original": (BEHIND, "length"), "greedy": (GREEDY, "fooled"), "greedy_length": (GREEDY, "length"),
    "greedy_pixels": ("greedy on f", "pixels"),
    "labels": (OUTPUTS, "fooled"), "labels_length": (OUTPUTS, "length"),
    "noise": ("noise of that length", "fooled"), "quotient": (NEAREST, "quotient"),
}  # fmt: skip
one_thread = threadpool_limits.wrap(limits=1, user_api="blas")  # small matrices: threads would wait for each other


def grouped(nets: Mapping[str, Network], first: int) -> dict[str, dict[str, Network]]:
    """Return kind → name → network, the ``first`` few; of the smooth ReLU after seven epochs, or else after most."""
    seven = "scratch-64-7" if of_kind(nets, "scratch-64-7") else longest_trained(nets)
    kinds = {"tanh": "tanh-tanh", "smooth ReLU": seven, "ReLU": "relu"}
    return {title: of_kind(nets, kind, first) for title, kind in kinds.items()}


def _listed(groups) -> list[tuple]:
    """Return kind, name and network of every network."""
    return [(kind, name, net) for kind, group in groups.items() for name, net in group.items()]


def behind(levels: int, net: Network, straight_through: bool = False) -> Network:
    """Return the network that sees the quantised image only."""
    return replace(net, layers=(Quantise(levels, straight_through=straight_through), *net.layers))


def right(net: Network, levels: int, x, labels) -> np.ndarray:
    """Return which images (n, …) are classified correctly with and without the quantiser, (n,)."""
    return (net.classify(x) == labels) & (behind(levels, net).classify(x) == labels)


def ranges(frame: pd.DataFrame, rows: list[str], column: str, value: str, form: str = ".0%") -> pd.DataFrame:
    """Return the lowest and highest value over the networks as text: a row each choice of ``rows``, a column each."""
    table = frame.groupby([*rows, column], sort=False)[value].agg(span, form)
    return table.unstack(sort=False).reset_index()


def accuracies(groups, x, labels, levels) -> pd.DataFrame:
    """Classify images: a row a network and rounding, ``kind``, ``net``, ``levels`` (text), ``accuracy``, ``lost``."""
    seen, rows = {"none": x} | {str(number): Quantise(number).forward(x) for number in levels}, []
    for kind, name, net in _listed(groups):
        shares = {number: np.mean(net.classify(z) == labels) for number, z in seen.items()}
        rows += [(kind, name, number, share, shares["none"] - share) for number, share in shares.items()]
    return pd.DataFrame(rows, columns=["kind", "net", "levels", "accuracy", "lost"])


def gradients(net: Network, file: Path, x, labels, levels: int) -> dict[str, float]:
    """Take the gradient of the loss through the quantiser, by JAX of the Keras model and by ours.

    Returns how many ``pixels`` there are and for how many it is not zero by ``keras`` and by ``bea``, and the relative
    ``difference`` of the two straight through.
    """
    import jax

    from lab.keras_backend import keras
    from lab.keras_models import load

    model, step, single = load(file), 1 / (levels - 1), x.astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")

    def rounded(z):
        return keras.ops.round(z / step) * step

    theirs = jax.grad(lambda z: loss(labels, model(rounded(z))))(single)
    # The same value, with the derivative of the identity for that of Q.
    straight = jax.grad(lambda z: loss(labels, model(z + jax.lax.stop_gradient(rounded(z) - z))))(single)
    ours, expected = (loss_gradient(behind(levels, net, through), x, labels) for through in (False, True))
    difference = np.linalg.norm(np.asarray(straight) - expected) / np.linalg.norm(expected)
    nonzero = {"keras": np.count_nonzero(np.asarray(theirs)), "bea": np.count_nonzero(ours)}
    return {**nonzero, "pixels": ours.size, "difference": difference}


def signs(name: str, net: Network, x, labels, epsilon: float, steps: int):
    """Return the result of FGSM or of PGD."""
    if name == "FGSM":
        return attacks.fgsm(net, x, labels, epsilon, clip=True)
    return attacks.pgd(net, x, labels, epsilon, steps=steps, clip=True)


def _five(net, x, labels, epsilon, steps):
    """Run the attacks that need a derivative, the slow ones on the first twenty images."""
    found = {name: signs(name, net, x, labels, epsilon, steps) for name in GRADIENT}
    x, labels = x[:20], labels[:20]
    found["L-BFGS"] = attacks.lbfgs_attack(net, x, labels, clip=True, halvings=0)
    found["Carlini-Wagner"] = attacks.carlini_wagner(net, x, labels, clip=True, halvings=0, steps=50)
    return found | {"greedy (p = 0)": attacks.saliency_attack(net, x, labels)}


@one_thread
def stuck(groups, x, labels, levels: int, *, epsilon: float, steps: int) -> pd.DataFrame:
    """Attack by the gradient, without and with the quantiser.

    One row a network and attack: ``kind``, ``net``, ``attack``, ``fooled, f`` and ``fooled, f(Q)`` (shares of the
    images), ``moved`` (pixels that move behind the quantiser, over all images).
    """
    rows = []
    for kind, name, net in _listed(groups):
        chosen = right(net, levels, x, labels)
        plainly, hidden = (
            _five(each, x[chosen], labels[chosen], epsilon, steps) for each in (net, behind(levels, net))
        )
        for which, found in hidden.items():
            moved = np.count_nonzero(np.nan_to_num(found.dx))
            rows.append((kind, name, which, plainly[which].success.mean(), found.success.mean(), moved))
    return pd.DataFrame(rows, columns=["kind", "net", "attack", "fooled, f", "fooled, f(Q)", "moved"])


@one_thread
def limited(rng, groups, files, x, labels, levels, epsilons, *, steps: int, directions: int, seed: int) -> pd.DataFrame:
    """Attack with at most ε in every pixel, by the gradient and around it.

    One row a network, ε, rounding and attack: ``kind``, ``net``, ``epsilon``, ``levels``, ``attack``, ``before`` and
    ``after`` (shares fooled without and with the quantiser, of the images that are right), ``agree`` of ``asked``
    (images with the same class from the Keras model behind a quantiser in NumPy; at the largest ε only).
    """
    asking, rows = {"directions": directions, "seed": seed}, []
    lent = {
        (which, name, epsilon): signs(which, net, x, labels, epsilon, steps)
        for (_, name, net), epsilon, which in product(_listed(groups), epsilons, GRADIENT)
    }
    for (kind, name, net), epsilon in product(_listed(groups), epsilons):
        blind = {"noise": np.clip(x + rng.choice([-epsilon, epsilon], x.shape), 0, 1)}
        for (where, other), which in product(_others(groups, kind, name).items(), GRADIENT):
            dx = lent[which, other, epsilon].dx
            if which == "PGD":  # it stops when it has fooled its own network
                dx = np.nan_to_num(at_norm(net, x, dx, epsilon, order=np.inf))
            blind[f"{which}, {where}"] = x + dx
        before = {which: net.classify(z) != labels for which, z in blind.items()}
        before |= {which + more: lent[which, name, epsilon].success for which in GRADIENT for more in ("", STRAIGHT)}
        before["differences"] = attacks.difference_step(net, x, labels, epsilon, **asking).success
        for number in levels:
            chosen, q = right(net, number, x, labels), behind(number, net)
            y, k = x[chosen], labels[chosen]
            made = {which: z[chosen] for which, z in blind.items()}
            for which, through in product(GRADIENT, (False, True)):
                found = signs(which, behind(number, net, through), y, k, epsilon, steps)
                made[which + STRAIGHT * through] = y + found.dx
            made["differences"] = y + attacks.difference_step(q, y, k, epsilon, **asking).dx
            wins = {which: q.classify(z) for which, z in made.items()}
            agree = _agreeing(files[name], net, number, made, wins) if epsilon == epsilons[-1] else {}
            for which, won in wins.items():
                shares = before[which][chosen].mean(), np.mean(won != k)
                rows.append((kind, name, epsilon, number, which, *shares, agree.get(which, 0), len(k) * bool(agree)))
    columns = ["kind", "net", "epsilon", "levels", "attack", "before", "after", "agree", "asked"]
    return pd.DataFrame(rows, columns=columns).sort_values("attack", key=pd.Index(ATTACKS).get_indexer, kind="stable")


def _others(groups, kind: str, name: str) -> dict[str, str]:
    """Return which networks an attacker may have: where → name."""
    names = list(groups[kind])
    seed = {"other seed": names[(names.index(name) + 1) % len(names)]} if len(names) > 1 else {}
    return {"on f": name, "other kind": next(iter(groups["smooth ReLU" if kind == "tanh" else "tanh"]))} | seed


def _agreeing(file, net, levels, made, wins) -> dict[str, int]:
    """Count the images to which Keras, behind a quantiser in NumPy, gives the same class: attack → number."""
    seen = np.rint(np.concatenate(list(made.values())) * (levels - 1)) / (levels - 1)
    classes = np.split(keras_classes(file, seen, net), len(made))
    return {which: np.sum(given == wins[which]) for which, given in zip(made, classes, strict=True)}


def means(grid: pd.DataFrame) -> pd.DataFrame:
    """Return the means over the networks of a kind.

    One row an ``attack``, ``kind``, ``levels`` and ``epsilon``: ``before``, ``after``, ``most`` (the largest ``after``)
    and whether ε is ``above`` half a step.
    """
    by = grid.groupby(["attack", "kind", "levels", "epsilon"], sort=False)
    found = by.agg(before=("before", "mean"), after=("after", "mean"), most=("after", "max")).reset_index()
    return found.assign(above=found.epsilon > 0.5 / (found.levels - 1))


def breaks(grid: pd.DataFrame, share: float) -> pd.DataFrame:
    """Count where an attack fools less than this share of what it did without the quantiser, noise left out.

    One row an attack: ``attack``, ``above`` of ``above_of`` cases with ε above half a step, ``below`` of ``below_of``.
    """
    cells = means(grid[grid.attack != "noise"])
    for side, there in (("above", cells.above), ("below", ~cells.above)):
        cells[side], cells[f"{side}_of"] = there & (cells.after < share * cells.before), there
    return cells.groupby("attack", sort=False)[["above", "above_of", "below", "below_of"]].sum().reset_index()


def without_limit(rng, net: Network, levels: int, x, labels, examples) -> tuple[dict, np.ndarray]:
    """Attack without a limit on the pixel: attack → changed images, and by how much the attack on f is stretched, (n,).

    The attack on f(Q) may start from ``examples``.
    """
    layer, q, order = Quantise(levels), behind(levels, net), np.argsort(net(x), axis=1)
    target = np.where(order[:, -1] == labels, order[:, -2], order[:, -1])
    plainly = np.nan_to_num(attacks.backward_error_attack(net, x, labels, target=target, clip=True).dx)
    scaled = attacks.smallest_factor(q, x, labels, plainly)
    made = {BEHIND: x + plainly, "stretched": x + np.nan_to_num(scaled.dx)}
    made[NEAREST] = attacks.nearest_preimage(layer, x, layer.forward(made["stretched"]))
    there = attack(q, x, target, "input", method="converged", examples=examples).perturbation.dx
    made[OUTPUTS], z = np.clip(x + np.nan_to_num(there), 0, 1), layer.forward(x)
    pixels = z + np.nan_to_num(attacks.saliency_attack(net, z, labels).dx)
    made |= {"greedy on f": np.where(pixels == z, x, pixels), GREEDY: attacks.nearest_preimage(layer, x, pixels)}
    length = np.linalg.norm((made[NEAREST] - x).reshape(len(x), -1), axis=1)
    noise = at_norm(net, x, rng.standard_normal(x.shape), np.maximum(length, 1e-9))
    return made | {"noise of that length": x + np.nan_to_num(noise)}, scaled.factor


def copies(rng, net: Network, levels: int, x, labels, examples, *, epsilon, steps) -> dict[str, np.ndarray]:
    """Return an image, of five that are right the first that the greedy attack changes, and copies: title → image."""
    chosen = np.flatnonzero(right(net, levels, x, labels))[:5]
    y, k = x[chosen], labels[chosen]
    made, _ = without_limit(rng, net, levels, y, k, examples)
    straight = y + signs("PGD", behind(levels, net, True), y, k, epsilon, steps).dx
    picked = np.argmax(behind(levels, net).classify(made[GREEDY]) != k)
    shown = {"image": y, f"PGD, straight\nε = {epsilon:g}": straight, "backward error\non f": made[BEHIND]}
    shown |= {"stretched,\nnearest": made[NEAREST], "greedy,\nnearest": made[GREEDY], "outputs only": made[OUTPUTS]}
    return {title: images[picked] for title, images in shown.items()}


@one_thread
def unlimited(rng, groups, files, x, labels, levels, examples, *, first: int) -> pd.DataFrame:
    """Attack the first few images that are right without a limit on the pixel.

    One row a network, rounding and attack: ``kind``, ``net``, ``levels``, ``attack``, ``fooled`` (share), ``length``
    (‖Δx‖), ``pixels`` (that move), ``factor`` (of stretching) and ``quotient`` (of the lengths of the nearest pre-image
    and of what fools f), all four medians, ``off`` (farthest pixel of the nearest pre-image from its level, in steps),
    ``agree`` of ``asked`` as in ``limited``, where the attack goes through the quantiser.
    """
    rows = []
    for (kind, name, net), number in product(_listed(groups), levels):
        chosen = np.flatnonzero(right(net, number, x, labels))[:first]
        y, k, q = x[chosen], labels[chosen], behind(number, net)
        made, factor = without_limit(rng, net, number, y, k, examples)
        off = np.abs(made[NEAREST] - Quantise(number).forward(made[NEAREST])).max() * (number - 1)
        wins = {which: q.classify(z) for which, z in made.items()}
        agree = _agreeing(files[name], net, number, made, wins)
        made, wins = {BARE: made[BEHIND]} | made, {BARE: net.classify(made[BEHIND])} | wins
        moved = {which: (z - y).reshape(len(y), -1) for which, z in made.items()}
        length = {which: np.linalg.norm(dx, axis=1) for which, dx in moved.items()}
        quotient, middle = np.median(length[NEAREST] / length[BEHIND]), np.median(factor[~np.isnan(factor)])
        for which, won in wins.items():
            sizes = np.median(length[which]), np.median(np.count_nonzero(moved[which], axis=1)), middle, quotient, off
            counts = agree.get(which, 0), len(k) * (which in agree)
            rows.append((kind, name, number, which, np.mean(won != k), *sizes, *counts))
    columns = ["kind", "net", "levels", "attack", "fooled", "length", "pixels", "factor", "quotient", "off"]
    return pd.DataFrame(rows, columns=[*columns, "agree", "asked"])


def extremes(found: pd.DataFrame, levels: int) -> dict[str, float]:
    """Return the lowest and the highest number of all networks, where there is one, for every entry of ``PARTS``."""
    own, ends = found[found.levels == levels], {"levels": levels}
    for short, (which, column) in PARTS.items():
        values = own.loc[own.attack == which, column].dropna()
        ends |= {f"{short}_low": values.min(), f"{short}_high": values.max()} if len(values) else {}
    return ends
