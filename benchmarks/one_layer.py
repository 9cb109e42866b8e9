"""How much faster is the batched attack than a general optimiser, one attack at a time? Prints ratios.

Run with ``.venv/bin/python -m benchmarks.one_layer`` after ``make book``. Both solve eq. (6) of paper B for weight
attacks on the trained one-layer network; SLSQP works on the ten changes of the logits, without forming ΔA.
"""

import time

import numpy as np
from scipy.optimize import minimize

from bea import Network, attack
from lab import datasets

MARGIN = 1e-3


def by_slsqp(y, target):
    """Return the norm of the smallest change of the logits after which the target leads."""
    others = np.delete(np.arange(len(y)), target)
    rows = np.eye(len(y))[target] - np.eye(len(y))[others]
    lead = {"type": "ineq", "fun": lambda d: rows @ (y + d) - MARGIN, "jac": lambda d: rows}
    return np.sqrt(minimize(lambda d: d @ d, np.zeros(len(y)), jac=lambda d: 2 * d, constraints=lead).fun)


def main() -> None:
    """Time both in one run and compare what they find."""
    net = Network.load("results/networks/one_layer-0.npz")
    data = datasets.load("mnist")
    right = data.x_test[net.classify(data.x_test) == data.y_test]
    baseline, norms = None, None
    for count in (100, 1000, 9000):
        x = np.repeat(right[:count], 9, axis=0)
        target = (np.repeat(net.classify(right[:count]), 9) + np.tile(np.arange(1, 10), count)) % 10
        start = time.perf_counter()
        result = attack(net, x, target, margin=MARGIN)
        ours = (time.perf_counter() - start) / len(x)
        if baseline is None:
            logits = net(x)
            start = time.perf_counter()
            theirs = [by_slsqp(*pair) for pair in zip(logits, target, strict=True)]
            baseline = (time.perf_counter() - start) / len(x)
            lengths = np.linalg.norm(net.linearise(x).inputs[0], axis=1)
            norms = np.array(theirs) / lengths / result.perturbation.norms[:, 0]
        print(f"{len(x):6d} attacks: {1e6 * ours:6.1f} µs each, {baseline / ours:6.0f} times faster than SLSQP")
    print(f"SLSQP's norm / ours: from {norms.min():.9f} to {norms.max():.9f}")


if __name__ == "__main__":
    main()
