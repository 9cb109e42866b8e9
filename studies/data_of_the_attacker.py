"""What the page *Attack the classifier* computes with, and the numbers it is held against."""

from dataclasses import replace

import numpy as np
import pandas as pd

from bea import Network, attack, lower_bound


def in_single_precision(net: Network) -> tuple[Network, float]:
    """Return the network with its weights rounded to single precision, and the most that a weight changes by."""
    single = [layer.with_matrix(layer.matrix.astype("float32").astype(float)) for layer in net.weighted]
    rounded = iter(single)
    layers = tuple(next(rounded) if hasattr(layer, "matrix") else layer for layer in net.layers)
    lost = max(np.abs(new.matrix - old.matrix).max() for new, old in zip(single, net.weighted, strict=True))
    return replace(net, layers=layers), float(lost)


def references(net: Network, x, target, *, margins) -> list[dict]:
    """Attack weights, input and both with every margin; a converged attack is one search from zero.

    Returns a dictionary a run: ``on``, ``margin``, and of both methods arrays (n, …): ``relative`` norms of ΔA_1, … and
    Δx, ``objective`` (eq. 5), ``lead`` of the target, ``success``, ``kkt`` (violation of the conditions of optimality).
    """
    runs = []
    for on, margin in [(on, margin) for on in ("weights", "input", "both") for margin in margins]:
        run = {"on": on, "margin": margin}
        for method, starts in (("first-order", None), ("converged", 1)):
            found = attack(net, x, target, on, method=method, margin=margin, starts=starts)
            run[method] = {
                "relative": found.perturbation.relative_norms, "objective": found.objective, "lead": found.margin,
                "success": found.success, "kkt": found.kkt_residual,
            }  # fmt: skip
        runs.append(run)
    return runs


def proved(net: Network, x) -> np.ndarray:
    """Bound from below what every attack of the page can find: (3, n, classes), for the input, the weights and both.

    Relative norms of eq. (5), whatever the margin, rounded down to single precision; zero for the class itself.
    """
    target, images = np.tile(np.arange(net.classes), len(x)), np.repeat(x, net.classes, axis=0)
    parts = (lower_bound(net, images, on=on, rival=target, method="local") for on in (("input",), "weights", "both"))
    radii = np.array([found.radius.reshape(len(x), -1) for found in parts])
    return np.nextafter(radii.astype("float32"), np.float32(0.0))


def summary(runs: list[dict]) -> pd.DataFrame:
    """Return, a row a run, how often each method wins, and the ``least`` to ``most`` of converged over first norms."""
    rows = []
    for run in runs:
        first, best = run["first-order"], run["converged"]
        ratios = np.quantile(np.sqrt(best["objective"] / first["objective"]), [0, 0.5, 1])
        rows.append([run["on"], run["margin"], first["success"].mean(), best["success"].mean(), *ratios])
    return pd.DataFrame(rows, columns=["on", "margin", "first", "converged", "least", "median", "most"])
