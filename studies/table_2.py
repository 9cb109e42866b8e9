"""Attacks on the weights of two layers: what Table 2 of paper B measures, and what else could have been measured.

Their success, norm and spread along saturation is the matter of ``studies.saturation``.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from bea import AttackResult, Network, Perturbation, attack
from bea.backward.closed_form import first_order
from bea.networks.leads import lead, lead_over_others
from bea.numerics.quadratic import smallest_feasible
from lab.witnesses import keras_logits_perturbed


def attacks(nets: Mapping[str, Network], x, target, *, margin: float, **options) -> dict[str, AttackResult]:
    """Attack every image (n, …) towards its target (n,) on the weights of every network, as ``bea.attack`` does."""
    return {name: attack(net, x, target, margin=margin, **options) for name, net in nets.items()}


def norms(nets: Mapping[str, Network], found) -> pd.DataFrame:
    """Return, a row an attack, ``net``, ``norm`` (the largest of the layers' relative norms) and ``objective``."""
    frames = []
    for name in nets:
        p = found[name].perturbation
        columns = {"net": name, "norm": p.relative_norms.max(axis=1), "objective": found[name].objective}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def table_two(found: pd.DataFrame, net: str, printed: Mapping) -> pd.DataFrame:
    """Set the attacks of ``saturation.both_forms`` on one network beside the printed norms, source → target → norm.

    Columns, a row a pair of digit and target: ``source``, ``target``, ``published``; norms ``outputs``, ``logits``
    (first-order) and ``converged`` (on the logits); ``outputs_won``, ``logits_won``; over all networks, ``most_won`` is
    how many have the pair won with constraints on the outputs.
    """
    pair = ["source", "target"]
    first, best = (found[found.method == method] for method in ("first-order", "converged"))
    outputs, logits = (
        first[(first.form == form) & (first.net == net)].set_index(pair) for form in ("outputs", "logits")
    )
    best = best[(best.form == "logits") & (best.net == net)].set_index(pair)
    columns = {
        "published": [printed[digit][target] for digit, target in outputs.index], "outputs": outputs.norm,
        "logits": logits.norm, "converged": best.norm, "outputs_won": outputs.won, "logits_won": logits.won,
        "most_won": first[first.form == "outputs"].groupby(pair, sort=False).won.sum(),
    }  # fmt: skip
    return pd.DataFrame(columns).reset_index()


def slsqp(net: Network, x, target, *, margin: float, pairs: int, seed: int, activated: bool = False) -> pd.DataFrame:
    """Solve the programme (6) of ``pairs`` random attacks again, in the unknowns ŷ - y, by SLSQP from random starts.

    Columns: ``attack``, ``objective`` (SLSQP's over ours, less one),
    ``output`` (by how much ŷ - y differs, relative), ``slack`` (smallest lead less the margin, negative if violated).
    """
    result = attack(net, x, target, margin=margin, activated=activated)
    rng, rows = np.random.default_rng(seed), []
    linear = first_order(net, x, "weights", activated=activated)
    y, ours = linear.linearisation.logits, linear.push_forward(result.perturbation.dA, None)
    inverse, D = np.linalg.inv(linear.gram()), lead_over_others(np.eye(net.classes)[None], target)
    for i in np.sort(rng.permutation(len(x))[:pairs]):
        H = inverse[i] / result.objective[i]
        leads = {"type": "ineq", "fun": lambda d, i=i: D[i] @ (y[i] + d) - margin, "jac": lambda d, i=i: D[i]}
        run = minimize(
            lambda d, H=H: d @ H @ d, rng.standard_normal(net.classes), jac=lambda d, H=H: 2 * H @ d,
            constraints=leads, options={"ftol": 1e-15, "maxiter": 500},
        )  # fmt: skip
        differs = np.linalg.norm(run.x - ours[i]) / np.linalg.norm(ours[i])
        rows.append({"attack": i, "objective": run.fun - 1, "output": differs, "slack": leads["fun"](run.x).min()})
    return pd.DataFrame(rows)


def perturbations(found) -> dict[str, Perturbation]:
    """Return the perturbations of attacks: network → perturbation."""
    return {name: result.perturbation for name, result in found.items()}


def as_printed(nets: Mapping[str, Network], x, target, *, margin: float, activated=False) -> dict[str, Perturbation]:
    """Solve (6) with its blocks as printed: smallest in the plain norm, and weighed by 1/‖A_i‖ afterwards.

    With P the Gram matrix in the plain norm, and Q the same weighed, it minimises ``Δyᵀ P⁻¹ Q P⁻¹ Δy``. With
    ``activated`` the constraints are on the outputs.
    """
    found = {}
    for name, net in nets.items():
        plain = first_order(net, x, "weights", relative=False, activated=activated)
        P, Q = plain.gram(), replace(plain, weight_scales=1 / net.weight_norms).gram()
        away, D = np.linalg.solve(Q, P), lead_over_others(np.eye(net.classes)[None], target)  # Q⁻¹P
        missing = margin - np.matvec(D, plain.linearisation.logits)
        multipliers = smallest_feasible(D @ P @ away @ D.swapaxes(1, 2), missing)[0]
        g = np.matvec(away, np.vecmat(multipliers, D))
        found[name] = plain.perturbation(*plain.pull_back(g), net, x, np.ones(len(x), bool))
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


def margins(net: Network, file: Path | None, x, target, values) -> pd.DataFrame:
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
