"""Table 2 of paper B along an axis: how saturated the outputs are, with constraints on the outputs or on the logits.

``form`` is "outputs" where the programme (6) constrains the outputs after the last tanh, as the paper prints it, and
"logits" where it constrains what goes into that tanh.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from bea import Dense, Network, attack
from bea.backward.closed_form import first_order
from bea.networks.leads import lead, lead_over_others
from bea.networks.perturbation import Perturbation
from bea.numerics.quadratic import smallest_feasible
from lab.witnesses import keras_logits_perturbed

FORMS = {"outputs": True, "logits": False}  # form → whether the constraints are on activated outputs
METHODS = ("first-order", "converged")
CENTRING, TO_BOUNDARY, FINISHED = 0.1, 0.99, 1e-14  # of the interior-point method
IDLE = -1e30  # right-hand side of a constraint that is not looked at


def starts(nets: Mapping[str, Network], penalties, repeats: int) -> tuple[dict[str, Network], dict[str, float]]:
    """Return the first few networks once for every penalty, under names like "penalty-0.02-1", and their penalties."""
    first, pairs = list(nets.values())[:repeats], {}
    for c in penalties:
        pairs |= {f"penalty-{c:g}-{k}": (net, c) for k, net in enumerate(first)}
    return {name: net for name, (net, _) in pairs.items()}, {name: c for name, (_, c) in pairs.items()}


def saturation(nets: Mapping[str, Network], penalty: Mapping[str, float], x, labels) -> pd.DataFrame:
    """Measure, a row a ``net``, how far its outputs are saturated at test images (n, …).

    Columns: ``penalty`` (0 where ``penalty`` names none), ``size`` (median |z| of all logits), ``slope`` (median of
    1 - tanh² z), ``accuracy``.
    """
    rows = []
    for name, net in nets.items():
        z = net(x)
        accuracy = np.mean(z.argmax(axis=1) == labels)
        rows.append((name, penalty.get(name, 0.0), np.median(np.abs(z)), np.median(1 - np.tanh(z) ** 2), accuracy))
    return pd.DataFrame(rows, columns=["net", "penalty", "size", "slope", "accuracy"])


def both_forms(nets: Mapping[str, Network], x, source, target, *, margin: float) -> pd.DataFrame:
    """Attack every image (n, …) on the weights of every network in both forms, to first order and converged.

    Columns, a row an attack: ``net``, ``form``, ``method``, then those of ``judged``; ``objective`` (eq. 5), ``kkt``
    (violation of the conditions of optimality), ``ratio`` (what ``predicted`` says) and, but for converged attacks on
    the outputs, ``keras`` (whether the target's output is the largest when Keras computes it in single precision).
    """
    frames = []
    for name, net in nets.items():
        ratio = predicted(net(x), source, target)
        for form, activated in FORMS.items():
            for method in METHODS:
                found = attack(net, x, target, method=method, margin=margin, activated=activated, starts=1)
                p = found.perturbation
                frame = judged(net, p, source, target, activated).assign(ratio=ratio, objective=found.objective)
                if method == "first-order" or not activated:
                    outputs = keras_logits_perturbed(None, net, p, activated=True)
                    frame["keras"] = (lead(outputs, target) > 0).astype(float)
                frames.append(frame.assign(net=name, form=form, method=method, kkt=found.kkt_residual))
    return pd.concat(frames, ignore_index=True)


def predicted(z, source, target) -> np.ndarray:
    """Return how many times the norm that logits ask for outputs should ask for, (n,), from the logits z alone.

    Of two classes c and j, of which weights change the logits independently and equally, outputs ask for a norm of
    ``(y_c - y_j) / √(s_c² + s_j²)`` and logits for one of ``(z_c - z_j) / √2``, in one unit; y = tanh z, s = 1 - y².
    For z_c = t = -z_j the ratio is sinh 2t / 2t.
    """
    rows = np.arange(len(z))
    own, other = z[rows, source], z[rows, target]
    steep = np.hypot(*(1 - np.tanh(each) ** 2 for each in (own, other)))
    return np.sqrt(2) * (np.tanh(own) - np.tanh(other)) / (steep * (own - other))


def judged(net: Network, p: Perturbation, source, target, activated: bool) -> pd.DataFrame:
    """Say what came of perturbed weights, in the network itself, in double precision.

    Columns, a row an attack: ``source``, ``target``, ``norm`` (the larger of the layers' relative norms, as Table 2 has
    it), ``won`` (whether the target leads strictly, in what was constrained), ``third`` (whether neither the target nor
    the old class leads).
    """
    reached = net.perturbed_logits(p)
    values = net.activate(reached) if activated else reached
    won, winner = lead(values, target) > 0, reached.argmax(axis=1)
    third = ~won & (winner != source) & (winner != target)
    columns = {"source": source, "target": target, "norm": p.relative_norms.max(axis=1), "won": won, "third": third}
    return pd.DataFrame(columns)


def summary(attacks: pd.DataFrame, by=("net", "form", "method")) -> pd.DataFrame:
    """Sum up attacks, a row a group.

    Columns: those of ``by``; ``attempts``, ``won``, ``third``, ``keras``; ``mean`` and ``median`` norm; ``spread`` (the
    median over the digits of ``spread_7``, …, the coefficient of variation over a digit's targets); ``kkt`` (largest).
    """
    groups = attacks.groupby(list(by), sort=False)
    counts = {name: groups[name].sum(min_count=1) for name in ("won", "third", "keras") if name in attacks}
    table = pd.DataFrame(
        {"attempts": groups.size(), **counts, "mean": groups.norm.mean(), "median": groups.norm.median()}
    )
    spreads = attacks.groupby([*by, "source"], sort=False).norm.agg(variation).unstack("source")
    table["spread"] = spreads.median(axis=1)
    for digit in spreads:
        table[f"spread_{digit}"] = spreads[digit]
    if "kkt" in attacks:
        table["kkt"] = groups.kkt.max()
    return table.reset_index()


def variation(values) -> float:
    """Return the coefficient of variation: standard deviation over mean."""
    values = np.asarray(values, dtype=float)
    return values.std() / values.mean()


def pushed(nets: Mapping[str, Network], x, source, target, margins) -> pd.DataFrame:
    """Attack with constraints on the logits, to first order, that ask for leads of other sizes.

    Columns, a row an attack: ``net``, ``margin``, those of ``judged``.
    """
    frames = []
    for name, net in nets.items():
        for margin in margins:
            p = attack(net, x, target, margin=margin).perturbation
            frames.append(judged(net, p, source, target, False).assign(net=name, margin=margin))
    return pd.concat(frames, ignore_index=True)


def nearest(ways: pd.DataFrame, mean: float) -> pd.Series:
    """Return the row of a table whose ``mean`` is nearest to a number, as a ratio."""
    return ways.loc[np.log(ways["mean"] / mean).abs().idxmin()]


def two_outputs(halves, margin: float) -> pd.DataFrame:
    """Attack one layer with two tanh outputs, at t and -t, in both forms.

    Columns: ``t``, ``ratio`` of the norms (outputs over logits), ``closed`` (sinh 2t / 2t, with the margin put in).
    """
    rows = []
    for t in halves:
        net = Network((Dense(np.array([[t], [-t]]), bias=False),), (1,), "tanh")
        outputs, logits = (
            attack(net, np.ones((1, 1)), np.array([1]), margin=margin, activated=activated).objective[0]
            for activated in FORMS.values()
        )
        closed = (np.sinh(2 * t) + margin * np.cosh(t) ** 2) / (2 * t + margin)
        rows.append((t, np.sqrt(outputs / logits), closed))
    return pd.DataFrame(rows, columns=["t", "ratio", "closed"])


def stopped_early(nets: Mapping[str, Network], x, source, target, *, margin: float, steps: int) -> pd.DataFrame:
    """Solve (6), constraints on the outputs, by two methods that are stopped after every number of steps.

    "interior point" is the primal-dual method, all constraints at once, from ŷ = y; "active set" adds the most violated
    constraint, one a step, and keeps those it has. Both end at the exact solution.

    Columns, a row an attack: ``net``, ``solver``, ``steps``, those of ``judged``, ``objective`` (eq. 5).
    """
    frames = []
    for name, net in nets.items():
        problem = first_order(net, x, "weights", activated=True)
        gram, D = problem.gram(), lead_over_others(np.eye(net.classes)[None], target)
        missing = margin - lead_over_others(problem.linearisation.logits, target)
        solvers = {"interior point": interior_point, "active set": active_set}
        for solver, solve in solvers.items():
            for step, multipliers in enumerate(solve(gram, D, missing, steps), start=1):
                p = problem.perturbation(*problem.pull_back(multipliers), net, x, np.ones(len(x), bool))
                about = {"net": name, "solver": solver, "steps": step, "objective": p.objective}
                frames.append(judged(net, p, source, target, True).assign(**about))
    return pd.concat(frames, ignore_index=True)


def interior_point(gram, D, missing, steps: int):
    """Yield g = (𝒜𝒜ᵀ)⁻¹ (ŷ - y), (n, classes), after every step towards ``min ½ gᵀ 𝒜𝒜ᵀ g, D 𝒜𝒜ᵀ g ≥ missing``.

    Newton's method on the conditions of optimality, products of slacks and multipliers being led to zero (Nocedal and
    Wright, Numerical Optimization, section 16.6).
    """
    size = np.einsum("nii->n", gram)[:, None, None] / gram.shape[1]
    H = np.linalg.inv(gram / size)
    d = np.zeros((len(gram), gram.shape[1]))
    s, lam = np.ones_like(missing), np.ones_like(missing)
    for _ in range(steps):
        centre = CENTRING * np.mean(s * lam, axis=1, keepdims=True)
        dual = np.matvec(H, d) - np.vecmat(lam, D)
        primal = np.matvec(D, d) - missing - s
        system = H + D.swapaxes(1, 2) @ ((lam / s)[:, :, None] * D)
        right = -dual - np.vecmat(lam - (centre - lam * primal) / s, D)
        step = np.linalg.solve(system, right[:, :, None])[:, :, 0]
        ds = np.matvec(D, step) + primal
        dlam = (centre - lam * ds) / s - lam
        with np.errstate(divide="ignore"):
            room = np.concatenate([np.where(ds < 0, -s / ds, np.inf), np.where(dlam < 0, -lam / dlam, np.inf)], axis=1)
        length = np.minimum(1.0, TO_BOUNDARY * room.min(axis=1, keepdims=True))
        length[centre < FINISHED] = 0  # nothing is left to gain, and the system becomes singular
        d, s, lam = d + length * step, s + length * ds, lam + length * dlam
        yield np.matvec(H, d) / size[:, :, 0]


def active_set(gram, D, missing, steps: int):
    """Yield g as ``interior_point`` does: the solution with the constraints looked at so far, one more a step."""
    K, looked_at = D @ gram @ D.swapaxes(1, 2), np.zeros(missing.shape, bool)
    rows, multipliers = np.arange(len(missing)), np.zeros_like(missing)
    for _ in range(steps):
        slack = np.where(looked_at, np.inf, np.matvec(K, multipliers) - missing)
        worst = slack.argmin(axis=1)
        looked_at[rows, worst] |= slack[rows, worst] < 0
        multipliers = smallest_feasible(K, np.where(looked_at, missing, IDLE))[0]
        yield np.vecmat(multipliers, D)


def gaps(nets: Mapping[str, Network], x, target, sizes, *, margin: float) -> pd.DataFrame:
    """Compare the change that linearising promises with the one attained, along every first-order attack.

    Columns, a row an attack and size: ``net``, ``form``, ``attack``, ``size`` (the larger relative norm, to which the
    attack is scaled: ``sizes``, and its own), ``whole`` (whether it is its own), ``gap`` (of outputs or logits:
    attained less promised, relative to all the change that is needed).
    """
    frames = []
    for name, net in nets.items():
        for form, activated in FORMS.items():
            problem = first_order(net, x, "weights", activated=activated)
            p = attack(net, x, target, margin=margin, activated=activated).perturbation
            promised, before = problem.push_forward(p.dA, None), problem.linearisation.logits
            own = p.relative_norms.max(axis=1)
            for size in (*sizes, own):
                t = size / own
                reached = net.perturbed_logits(_scaled(p, t))
                missing = (net.activate(reached) if activated else reached) - before - t[:, None] * promised
                gap = np.linalg.norm(missing, axis=1) / np.linalg.norm(promised, axis=1)
                columns = {"net": name, "form": form, "attack": np.arange(len(x)), "size": size, "gap": gap}
                frames.append(pd.DataFrame(columns).assign(whole=size is own))
    return pd.concat(frames, ignore_index=True)


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Return, a row an attack, ``net``, ``form``, ``slope`` (exponent of its gaps), ``at_one`` (gap at its own size).

    The exponent is fitted to the gaps at the common sizes.
    """
    small = table[~table.whole].pivot(index="size", columns=["net", "form", "attack"], values="gap")
    fitted = np.polyfit(np.log(small.index), np.log(small.to_numpy()), 1)[0]
    at_one = table[table.whole].set_index(["net", "form", "attack"]).gap
    return pd.DataFrame({"slope": fitted, "at_one": at_one[small.columns]}).reset_index()


def _scaled(p: Perturbation, t) -> Perturbation:
    """Multiply every ΔA of sample i by t_i."""
    return replace(p, dA=[(left * t[:, None], right) for left, right in p.dA])
