"""Our lower bounds beside CROWN and α-CROWN (auto_LiRPA), CLEVER and the product of norms, on the same images.

Run with ``.venv/bin/python -m benchmarks.lower_bounds`` after ``make book``; ``--crown`` and the path of an interpreter
that has auto_LiRPA (see ``benchmarks/crown.py``) brings CROWN and α-CROWN in, ``--to`` writes a table of all
(book/bounds_of_others.csv is one). All are compared with the shortest of two converged attacks. Seconds are those of
one processor, and everything a method does counts.

CLEVER samples gradients in a ball and extrapolates their largest norm by a Weibull distribution: no proof, and the
table counts where it exceeds a real attack, which a lower bound cannot. CROWN bounds the logits from below by lines
through the layers: a proof for a given radius, up to rounding in single precision, which bisection enlarges up to the
attack.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from scipy.stats import weibull_max

from bea import Network, lower_bound
from bea.attacks.by_backward_error import backward_error_attack, nearest_classes
from bea.bounds import prove
from benchmarks.shared import NETWORKS
from lab import datasets

NETS = {"tanh-0": 20, "relu-0": 20, "lenet-mnist-0": 3}
RIVALS = 2  # nearest classes that the attack and CLEVER look at
BATCHES, SAMPLES, RADIUS = 50, 100, 5.0  # of CLEVER
SHAPES = (0.1, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0)  # from which a Weibull distribution is fitted
FAR = 2.0  # an end farther beyond the largest slope met is left out


def clever(net, x, label, seed=0):
    """Return CLEVER's estimate for the nearest classes of every image, the least of them, (n,)."""
    rng, found = np.random.default_rng(seed), np.full(len(x), np.inf)
    rivals, logits, units = nearest_classes(net, x, label)[:, :RIVALS], net(x), np.eye(net.classes)
    for i, own in enumerate(label):
        for rival in rivals[i]:
            step = rng.standard_normal((BATCHES * SAMPLES, x[i].size))
            step *= (RADIUS * rng.random(len(step)) ** (1.0 / x[i].size) / np.linalg.norm(step, axis=1))[:, None]
            rows = np.tile(units[own] - units[rival], (len(step), 1))
            slopes = np.linalg.norm(
                net.gradient(x[i] + step.reshape(-1, *x[i].shape), rows).reshape(step.shape), axis=1
            )
            most = slopes.reshape(BATCHES, SAMPLES).max(axis=1)
            fits = [weibull_max.fit(most, shape, loc=most.max(), scale=most.std()) for shape in SHAPES]
            ends = [fit[1] for fit in fits if fit[1] <= FAR * most.max()]  # others have drifted off
            end = np.median(ends) if ends else most.max()
            found[i] = min(found[i], (logits[i, own] - logits[i, rival]) / end, RADIUS)
    return found


def crown(python, network, net, x, label, largest, method):
    """Return the radii of CROWN or α-CROWN, (n,), and the seconds that they took, from another interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        images, found = Path(folder) / "images.npz", Path(folder) / "found.npz"
        np.savez(images, x=x, label=label, largest=largest)
        script = Path(__file__).with_name("crown.py")
        command = [python, script, network, images, found, method]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"CROWN did not run:\n{done.stderr}")
        with np.load(found) as file:
            np.testing.assert_allclose(file["logits"], net(x), rtol=0, atol=1e-5)  # single precision: 6e-6 measured
            return file["radius"], float(file["seconds"])


def timed(function):
    """Return what a function returns, and the seconds of the processor."""
    start = time.process_time()
    return function(), time.process_time() - start


def compared(name: str, folder: Path, pictures, python) -> pd.DataFrame:
    """Return a row for each bound of one network."""
    net = Network.load(folder / f"{name}.npz")
    x = pictures[: NETS[name]].reshape(-1, *net.input_shape)
    label = net.classify(x)
    attacked = backward_error_attack(net, x, label, margin=1e-6, candidates=RIVALS)
    runs = {"the product of norms": lambda: lower_bound(net, x, method="lipschitz").radius}
    runs["the tight bound"] = lambda: lower_bound(net, x, method="local").radius
    if not name.startswith("lenet"):
        runs["branch and bound, 1 %"] = lambda: prove(net, x, dx=attacked.dx, gap=1e-2, nodes=400).lower
    runs["CLEVER, no proof"] = lambda: clever(net, x, label)
    lower_bound(net, x[:1], method="local")  # constants of the network, once
    found = {key: timed(run) for key, run in runs.items()}
    if python:
        for key, method in {"CROWN": "CROWN", "α-CROWN": "CROWN-Optimized"}.items():
            if name.startswith("lenet") and key != "CROWN":
                continue  # minutes an image
            found[key] = crown(python, folder / f"{name}.npz", net, x, label, attacked.l2, method)
    rows = []
    for key, (radius, seconds) in found.items():
        share = radius / attacked.l2
        rows.append(
            {
                "network": name,
                "images": len(x),
                "bound": key,
                "of the attack, median": f"{np.median(share):.3f}",
                "least": f"{share.min():.3f}",
                "most": f"{share.max():.3f}",
                "beyond the attack": np.sum(share > 1.0),
                "seconds an image": f"{seconds / len(x):.2g}",
            }
        )
        print("; ".join(f"{key}: {value}" for key, value in rows[-1].items()), flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Compare everything, network by network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NETS))
    parser.add_argument("--networks", type=Path, default=NETWORKS)
    parser.add_argument("--crown", metavar="PYTHON", help="interpreter that has auto_LiRPA")
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    pictures = datasets.load("mnist").x_test[: max(NETS.values())].astype(float)
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}"
    print(f"{datetime.now(UTC).date()}, {os.cpu_count()} cores, {versions}")
    tables = []
    for name in options.names:
        tables.append(compared(name, options.networks, pictures, options.crown))
        if options.to:
            pd.concat(tables).to_csv(options.to, index=False)


if __name__ == "__main__":
    main()
