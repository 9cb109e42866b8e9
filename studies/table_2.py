"""Attacks on the weights of two layers: what Table 2 of paper B measures, and what else could have been measured.

``found`` is, throughout, what ``attacks`` returns: network → result of a batch of n attacks.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from bea import Activation, AttackResult, Dense, Network, Perturbation, attack, backward_error
from bea.backward.closed_form import first_order
from bea.networks.leads import lead, lead_over_others
from bea.numerics.quadratic import smallest_feasible
from lab.witnesses import keras_logits_perturbed


def attacks(nets: Mapping[str, Network], x, target, *, margin: float, **options) -> dict[str, AttackResult]:
    """Attack every image (n, …) towards its target (n,) on the weights of every network, as ``bea.attack`` does."""
    return {name: attack(net, x, target, margin=margin, **options) for name, net in nets.items()}


def with_outputs(nets: Mapping[str, Network]) -> dict[str, Network]:
    """Return the networks with an identity after the last activation, so that ``attack`` takes outputs for logits."""
    longer = {}
    for name, net in nets.items():
        layers = [*net.layers, Activation(net.output_activation), Dense(np.eye(net.classes), bias=False)]
        longer[name] = Network(layers, net.input_shape, input_range=net.input_range)
    return longer


def outcomes(nets: Mapping[str, Network], found, source, files: Mapping[str, Path] | None = None) -> pd.DataFrame:
    """Say what came of attacks, in the networks themselves and, with ``files``, in their original Keras models.

    Columns, a row an attack: ``net``, ``source``, ``target``, ``norm`` (the largest of the layers' relative norms,
    as Table 2 has it), ``objective`` (eq. 5), ``winner`` (class afterwards), ``lead`` (of the target, in what was
    attacked), ``covered`` (share of its way to the present class that the target covers), ``iterations``, ``kkt``
    (violation of the conditions of optimality), ``keras`` (whether the target's output is the largest).
    """
    frames = []
    for name, net in nets.items():
        result, p = found[name], _on_layers_of(net, found[name].perturbation)
        logits, rows = net.perturbed_logits(p), np.arange(len(p.x))
        before, after = (y[rows, source] - y[rows, result.target] for y in (net(p.x), logits))
        columns = {
            "net": name, "source": source, "target": result.target, "norm": p.relative_norms.max(axis=1),
            "objective": result.objective, "winner": logits.argmax(axis=1), "lead": result.margin,
            "covered": 1 - after / before, "iterations": result.iterations, "kkt": result.kkt_residual,
        }  # fmt: skip
        if files is not None:
            outputs = keras_logits_perturbed(files[name], net, p, activated=True)
            columns["keras"] = lead(outputs, result.target) > 0
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def table_two(first: pd.DataFrame, converged: pd.DataFrame, printed: Mapping) -> pd.DataFrame:
    """Set outcomes beside the printed norms, source → target → norm, a row a pair of digit and target.

    Columns: ``source``, ``target``, ``published``; of the first network ``first``
    and ``converged`` (norms), ``root_first`` and ``root_converged`` (of eq. 5), ``wins`` (first-order, in Keras);
    over all networks ``least`` and ``most`` (converged norms), ``won_first`` and ``won_converged`` (in Keras).
    """
    pair, name = ["source", "target"], first.net.iloc[0]
    mine, best = (frame[frame.net == name].set_index(pair) for frame in (first, converged))
    over = converged.groupby(pair, sort=False)
    columns = {
        "published": [printed[digit][target] for digit, target in mine.index], "first": mine.norm,
        "converged": best.norm, "least": over.norm.min(), "most": over.norm.max(),
        "root_first": np.sqrt(mine.objective), "root_converged": np.sqrt(best.objective), "wins": mine.keras,
        "won_first": first.groupby(pair, sort=False).keras.sum(), "won_converged": over.keras.sum(),
    }  # fmt: skip
    return pd.DataFrame(columns).reset_index()


def counts(first: pd.DataFrame, converged: pd.DataFrame) -> pd.DataFrame:
    """Count, a row a ``net``, first-order ends (``target`` in Keras, ``old``, ``third``) and ``converged`` wins."""
    old = first.winner == first.source
    columns = {"net": first.net, "target": first.keras, "old": old, "third": ~old & (first.winner != first.target)}
    table = pd.DataFrame(columns | {"converged": converged.keras}).groupby("net", sort=False).sum()
    return table.reset_index()


def slsqp(net: Network, result: AttackResult, *, pairs: int, seed: int) -> pd.DataFrame:
    """Solve the programme (6) of ``pairs`` random attacks again, in the unknowns ŷ - y, by SLSQP from random starts.

    Columns: ``attack``, ``objective`` (SLSQP's over ours, less one),
    ``output`` (by how much ŷ - y differs, relative), ``slack`` (smallest lead less the margin, negative if violated).
    """
    p, rng, rows = result.perturbation, np.random.default_rng(seed), []
    linear = first_order(net, p.x, "weights")
    logits, ours = net(p.x), linear.push_forward(p.dA, None)
    inverse, D = np.linalg.inv(linear.gram()), lead_over_others(np.eye(net.classes)[None], result.target)
    for i in np.sort(rng.permutation(len(p.x))[:pairs]):
        H = inverse[i] / result.objective[i]
        leads = {"type": "ineq", "fun": lambda d, i=i: D[i] @ (logits[i] + d) - result.margin_asked,
                 "jac": lambda d, i=i: D[i]}  # fmt: skip
        run = minimize(
            lambda d, H=H: d @ H @ d, rng.standard_normal(net.classes), jac=lambda d, H=H: 2 * H @ d,
            constraints=leads, options={"ftol": 1e-15, "maxiter": 500},
        )  # fmt: skip
        differs = np.linalg.norm(run.x - ours[i]) / np.linalg.norm(ours[i])
        rows.append({"attack": i, "objective": run.fun - 1, "output": differs, "slack": leads["fun"](run.x).min()})
    return pd.DataFrame(rows)


def growth(nets: Mapping[str, Network], found, scales) -> pd.DataFrame:
    """Compare the change of the logits that linearising promises with the one attained, for scaled perturbations.

    Columns: ``net``, ``attack``, ``scale``, ``gap`` (attained less promised, relative to the change that is needed).
    """
    frames = []
    for name, net in nets.items():
        p = found[name].perturbation
        promised, before = first_order(net, p.x, "weights").push_forward(p.dA, None), net(p.x)
        for t in scales:
            missing = net.perturbed_logits(scaled(p, t)) - before - t * promised
            gap = np.linalg.norm(missing, axis=1) / np.linalg.norm(promised, axis=1)
            frames.append(pd.DataFrame({"net": name, "attack": np.arange(len(gap)), "scale": t, "gap": gap}))
    return pd.concat(frames, ignore_index=True)


def slopes(gaps: pd.DataFrame, below: float) -> np.ndarray:
    """Return the exponent with which each attack's gap grows, fitted to the scales below some value, (attacks,)."""
    table = gaps[gaps.scale < below].pivot(index="scale", columns=["net", "attack"], values="gap")
    return np.polyfit(np.log(table.index), np.log(table.to_numpy()), 1)[0]


def ends(nets: Mapping[str, Network], candidates: Mapping, source, target) -> pd.DataFrame:
    """Return, a row a ``candidate`` (network → perturbation), in which shares ``target``, ``third``, ``old`` win."""
    rows = []
    for name, found in candidates.items():
        logits = [net.perturbed_logits(_on_layers_of(net, found[key])) for key, net in nets.items()]
        wins = np.argmax(logits, axis=2)
        shares = [np.mean(wins == target), np.mean((wins != target) & (wins != source)), np.mean(wins == source)]
        rows.append([name, *shares])
    return pd.DataFrame(rows, columns=["candidate", "target", "third", "old"])


def perturbations(found, scale: float = 1.0) -> dict[str, Perturbation]:
    """Return the perturbations of the weights alone, every ΔA times ``scale``: network → perturbation."""
    return {name: scaled(result.perturbation, scale) for name, result in found.items()}


def stretched(nets: Mapping[str, Network], found, source, target, scales) -> pd.DataFrame:
    """Return ``ends`` of the attacks with every ΔA multiplied by each of the scales, ``candidate`` being the scale."""
    return ends(nets, {float(t): perturbations(found, t) for t in scales}, source, target)


def conditions(nets: Mapping[str, Network], x) -> pd.DataFrame:
    """Return condition numbers of 𝒜𝒜ᵀ, scaled, for ``logits`` and ``outputs``: one row a ``net`` and image."""
    frames = []
    for name, net in nets.items():
        grams = [first_order(net, x, "weights", activated=activated).gram() for activated in (False, True)]
        logits, outputs = np.linalg.cond(grams)
        frames.append(pd.DataFrame({"net": name, "logits": logits, "outputs": outputs}))
    return pd.concat(frames, ignore_index=True)


def as_printed(nets: Mapping[str, Network], x, target, *, margin: float) -> dict[str, Perturbation]:
    """Solve (6) with its blocks as printed: smallest in the plain norm, and weighed by 1/‖A_i‖ afterwards.

    With P the Gram matrix in the plain norm, and Q the same weighed, it minimises ``Δyᵀ P⁻¹ Q P⁻¹ Δy``.
    """
    found = {}
    for name, net in nets.items():
        plain, y = first_order(net, x, "weights", relative=False), net(x)
        P, Q = plain.gram(), replace(plain, weight_scales=1 / net.weight_norms).gram()
        inverse, D = P @ np.linalg.solve(Q, P), lead_over_others(np.eye(net.classes)[None], target)
        missing = margin - np.einsum("nij,nj->ni", D, y)
        multipliers = smallest_feasible(D @ inverse @ D.swapaxes(1, 2), missing)[0]
        y_hat = y + np.einsum("nij,nkj,nk->ni", inverse, D, multipliers)
        found[name] = backward_error(net, x, y_hat, relative=False)
    return found


def readings(nets: Mapping[str, Network], forms: Mapping) -> pd.DataFrame:
    """Measure the solutions of several forms of (6), name → network → perturbation, relative to two norms of A_i.

    Columns: ``form``, ``size`` ("Frobenius" or "spectral", of A_i), ``net``, ``norm`` (largest of the layers' norms
    over that of A_i), ``objective`` (eq. 5); a row a form, kind of norm and attack.
    """
    frames = []
    for form, found in forms.items():
        for size, order in (("Frobenius", "fro"), ("spectral", 2)):
            for name, net in nets.items():
                by = [np.linalg.norm(layer.matrix, order) for layer in net.weighted]
                norms = (found[name].norms[:, :-1] / by).max(axis=1)
                columns = {"form": form, "size": size, "net": name, "norm": norms, "objective": found[name].objective}
                frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def margins(net: Network, file: Path, x, target, values) -> pd.DataFrame:
    """Attack one network with several margins, a row each.

    Columns: ``margin``; of the converged attacks the mean ``norm`` and how many succeed in ``bea`` and in ``keras``; in
    how many ``first``-order attacks the target leads.
    """
    rows = []
    for margin in values:
        best, first = (attack(net, x, target, method=name, margin=margin) for name in ("converged", "first-order"))
        outputs = keras_logits_perturbed(file, net, best.perturbation, activated=True)
        rows.append({
            "margin": margin, "norm": best.perturbation.relative_norms.max(axis=1).mean(), "bea": best.success.sum(),
            "keras": (lead(outputs, target) > 0).sum(), "first": (first.margin > 0).sum(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def scaled(perturbation: Perturbation, t: float) -> Perturbation:
    """Return the same with every ΔA multiplied by t; dense layers."""
    changes = [change and (t * change[0], change[1]) for change in perturbation.dA]
    return replace(perturbation, dA=changes)


def _on_layers_of(net: Network, p: Perturbation) -> Perturbation:
    """Leave out the changes of layers that were put after the network's own."""
    layers = len(net.weighted)
    return replace(p, dA=p.dA[:layers], weight_norms=p.weight_norms[:layers])
