"""General optimisers on the problem of the attack, and an attacker in a process of its own.

A norm is ‖Δx‖/‖x‖, infinite where nothing was reached.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits

from bea import Dense, Network, attack
from bea.networks.leads import other_classes
from studies.pictures_against_fgsm import Statistics


def nearest_of_target(x, target, images, labels, most: int = 2000) -> np.ndarray:
    """Return, for every image (n, …), the nearest of the ``most`` first ones labelled as its target."""
    near = []
    for image, goal in zip(x, target, strict=True):
        candidates = images[np.flatnonzero(labels == goal)[:most]]
        near.append(candidates[np.argmin(np.sum((candidates - image) ** 2, axis=(1, 2)))])
    return np.array(near, dtype=float)


def compete(nets: Mapping[str, Network], converged, ones, x_one, near, *, pairs: int, margin: float) -> pd.DataFrame:
    """Let general optimisers attack some ``pairs`` of digit and target a network, other ones for every network.

    ``converged`` are our attacks on ``nets`` of two layers, at which SLSQP starts, as it does at the images ``near``
    (n, …); ``x_one`` (n, …) are the images for networks ``ones`` of one layer.

    Columns, a row a pair: ``row`` and ``one_row`` (networks in order, n rows each), norms ``penalty`` (eq. 8),
    ``stay``, ``zero`` and ``elsewhere`` (SLSQP from our solution, from zero, from ``near``), ``one_penalty`` (eq. 8,
    one layer).
    """
    rows, names = [], list(ones)
    with threadpool_limits(1, "blas"):  # the matrices are small, and threads would wait for each other
        for k, (name, net) in enumerate(nets.items()):
            p, target = converged[name].perturbation, converged[name].target
            n, other = len(target), k % len(ones)
            for i in (np.linspace(0, n, min(pairs, n), endpoint=False).astype(int) + k) % n:
                image, goal = p.x[i], target[i]
                starts = {"stay": p.dx[i], "zero": np.zeros_like(image), "elsewhere": near[i] - image}
                row = {key: _by_slsqp(net, image, goal, start, margin) for key, start in starts.items()}
                row["penalty"] = _by_eq_8(net, image, goal, margin)
                row["one_penalty"] = _by_eq_8(ones[names[other]], x_one[i], goal, margin)
                rows.append({"row": n * k + i, "one_row": n * other + i} | row)
    return pd.DataFrame(rows)


def duels(table: pd.DataFrame, ones: pd.DataFrame, stats: Statistics, found: pd.DataFrame) -> pd.DataFrame:
    """Compare norms wherever both are finite: the tables of ``pairs``, ``one_layer``, ``statistics`` and ``compete``.

    Columns: ``of`` (for which sentence), ``ours``, ``rival``, ``ratio`` (rival's norm over ours), a row a comparison.
    """
    here, there, fgsm_name = table.iloc[found.row], ones.iloc[found.one_row], "FGSM, targeted or not"
    fast = stats.attacks.fast.where(stats.attacks.fast_wins, np.inf)
    ray, best = "two layers, first-order along its ray", "two layers, converged"
    cases = [
        ("one", "one layer, exact", fgsm_name, ones.norm, ones.gradient),
        ("one", "one layer, exact", "eq. (8)", there.norm, found.one_penalty),
        ("first", "two layers, first-order", fgsm_name, table["first-order"], table.gradient),
        ("first", "two layers, first-order", "eq. (8)", here["first-order"], found.penalty),
        ("ray", ray, fgsm_name, table["first-order along its ray"], table.gradient),
        ("ray", ray, "eq. (8)", here["first-order along its ray"], found.penalty),
        ("converged", best, fgsm_name, table.converged, table.gradient),
        ("converged", best, "targeted FGSM, whole statistics", stats.attacks.converged, fast),
        ("converged", best, "eq. (8)", here.converged, found.penalty),
        ("stay", best, "SLSQP from our solution", here.converged, found.stay),
        ("zero", best, "SLSQP from zero", here.converged, found.zero),
        ("elsewhere", best, "SLSQP from an image of the target", here.converged, found.elsewhere),
    ]
    frames = []
    for of, ours, rival, norms, others in cases:
        both = np.array([norms, others])
        both = both[:, np.isfinite(both).all(axis=0)]
        frames.append(pd.DataFrame({"of": of, "ours": ours, "rival": rival, "ratio": both[1] / both[0]}))
    return pd.concat(frames, ignore_index=True)


KINDS = {"one": "exact", "first": "first-order", "ray": "first-order"}  # the others are converged attacks


def told(table: pd.DataFrame) -> list[dict]:
    """Return a ``summary`` as rows of ``studies.duels``, for the chapter that gathers them."""
    kinds = table["of"].map(KINDS).fillna("converged")
    nets = np.where(kinds == "exact", "one layer", "tanh, tanh")
    rows = table.assign(net=nets, kind=kinds, least=table["least"].clip(upper=1.0))
    return rows[["net", "kind", "rival", "both", "smaller", "least"]].to_dict("records")


def summary(duels: pd.DataFrame, by: float) -> pd.DataFrame:
    """Return, a row a pair of rivals, how often ``both`` succeed and the rival is ``smaller`` by more than a share."""
    table = duels.assign(smaller=duels.ratio < 1 - by).groupby(["of", "ours", "rival"], sort=False)
    columns = {"both": table.size(), "smaller": table.smaller.sum(), "least": table.ratio.min()}
    return pd.DataFrame(columns | {"median": table.ratio.median()}).reset_index()


ATTACKER = """
import json, sys
import numpy as np
from bea import Network, attack

opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
net, image = Network.load(sys.argv[1]), np.load(sys.argv[2])
target = np.delete(np.arange(net.classes), net.classify(image[None])[0])
images, margin = np.repeat(image[None], len(target), axis=0), float(sys.argv[3])
found = [
    attack(net, images, target, on="input", method=method, margin=margin).perturbation.dx
    for method in ("first-order", "converged")
]
data = [name for name in opened if not name.endswith((".py", ".pyc")) and not name.startswith("/proc/self/")]
unneeded = ("keras", "jax", "lab", "bea.attacks.loss", "bea.attacks.gradient_signs")
np.save(sys.argv[4], np.array(found))
print(json.dumps({"opened": data, "modules": [name for name in unneeded if name in sys.modules]}))
"""


def alone(name: str, net: Network, image, *, margin: float) -> dict:
    """Attack an image in a process of its own, from one file of the network and one of the image.

    Returns how many ``attacks`` it made, two towards every other class; whether they are the ``same`` as those of this
    process, bit for bit; which files were ``opened``, sources left out; which ``modules`` of Keras, data and losses
    were loaded.
    """
    target = other_classes(net.classify(image[None]), net.classes)[0]
    images = np.repeat(image[None], len(target), axis=0)
    usual = [
        attack(net, images, target, on="input", method=method, margin=margin).perturbation.dx
        for method in ("first-order", "converged")
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / file for file in (f"{name}.npz", "image.npy", "answer.npy")]
        net.save(files[0])
        np.save(files[1], image)
        command = [sys.executable, "-c", ATTACKER, *map(str, files[:2]), repr(margin), str(files[2])]
        outside = {key: value for key, value in os.environ.items() if key != "BEA_DATA"}
        run = subprocess.run(command, cwd=folder, env=outside, capture_output=True, text=True, check=True, timeout=300)
        answer, report = np.load(files[2]), json.loads(run.stdout)
    same = np.array(usual).tobytes() == answer.tobytes()
    opened = [Path(file).name for file in report["opened"]]
    return {"same": same, "opened": opened, "modules": report["modules"], "attacks": len(usual) * len(target)}


def _row_space(net: Network, image) -> tuple[np.ndarray, Network]:
    """Return a basis of the row space of A_1, and the network as a function of coordinates z: Δx = ‖x‖ basis z."""
    A, b = net.weighted[0].kernel, net.weighted[0].matrix[:, -1]
    basis = np.linalg.qr(A.T)[0]
    layer = Dense(np.column_stack([np.linalg.norm(image) * A @ basis, A @ image.ravel() + b]))
    return basis, Network([layer, *net.layers[2:]], basis.shape[1:])


def _by_eq_8(net: Network, image, goal, margin, halvings=10) -> float:
    """Return the norm of the minimiser of eq. (8), at the largest weight c of the norm that succeeds."""
    basis, inner = _row_space(net, image)
    best, low, high, own = np.inf, -5.0, 3.0, np.eye(net.classes)[goal]

    def loss(z, c):
        logits = inner(z[None])[0]
        slope = inner.gradient(z[None], (softmax(logits) - own)[None])[0]
        return c * z @ z - log_softmax(logits)[goal], 2 * c * z + slope

    for _ in range(halvings):
        middle = (low + high) / 2
        z = minimize(loss, np.zeros(basis.shape[1]), (10.0**middle,), "L-BFGS-B", jac=True).x
        logits = inner(z[None])[0]
        won = logits[goal] - np.delete(logits, goal).max() >= margin
        low, high = (middle, high) if won else (low, middle)
        best = min(best, np.linalg.norm(z)) if won else best
    return best


def _by_slsqp(net: Network, image, goal, start, margin) -> float:
    """Return the norm at which SLSQP on problem (5) ends; inf if it ends without success."""
    basis, inner = _row_space(net, image)
    others = np.delete(np.arange(net.classes), goal)

    def lead(z):
        logits = inner(z[None])[0]
        return logits[goal] - logits[others] - margin

    def slope(z):
        jacobian = inner.linearise(z[None]).jacobian[0]
        return jacobian[goal] - jacobian[others]

    z = basis.T @ start.ravel() / np.linalg.norm(image)
    z = minimize(
        lambda z: (z @ z, 2 * z), z, method="SLSQP", jac=True, constraints={"type": "ineq", "fun": lead, "jac": slope},
        options={"maxiter": 300, "ftol": 1e-12},
    ).x  # fmt: skip
    return np.linalg.norm(z) if lead(z).min() > -1e-6 else np.inf
