"""The componentwise attack on 1000 test images, on one core, beside SciPy's linear programmes on one layer.

Run with ``.venv/bin/python -m benchmarks.componentwise`` after ``make book``, on one core with ``taskset -c 0`` before
it; name networks to try others. Prints the seconds, how many attacks succeed, ε, and what the linear programme
at the end still promises to save.
"""

import sys

import numpy as np
from scipy.optimize import linprog

from bea import Network
from bea.attacks import componentwise_attack
from benchmarks.shared import NETWORKS, timed
from lab import datasets

NAMES = ("one_layer-0", "tanh-tanh-0", "tanh-0", "relu-0", "scratch-64-1-0")
IMAGES, PROGRAMMES, MARGIN = 1000, 10, 1e-3


def by_linprog(net, image, label) -> float:
    """Return the least ε for one image of a network of one layer: a linear programme for every other class."""
    logits, kernel, scale = net(image[None])[0], net.weighted[0].kernel, np.abs(image.ravel())
    k, found = len(scale), []
    box = [np.column_stack([sign * np.eye(k), -np.ones(k)]) for sign in (1.0, -1.0)]
    for j in range(net.classes):
        if j != label:
            rows = np.vstack([np.append((kernel[label] - kernel[j]) * scale, 0.0), *box])
            right = np.append(logits[j] - logits[label] - MARGIN, np.zeros(2 * k))
            bounds = [(None, None)] * k + [(0, None)]
            found.append(linprog(np.append(np.zeros(k), 1.0), rows, right, bounds=bounds).fun)
    return min(found)


def programmes(net, x, label) -> list[float]:
    """Return the least ε for the first few images of a network of one layer."""
    return [by_linprog(net, *pair) for pair in zip(x[:PROGRAMMES], label, strict=False)]


def main() -> None:
    """Attack, and compare on one layer."""
    data = datasets.load("mnist")
    for name in sys.argv[1:] or NAMES:
        net = Network.load(NETWORKS / f"{name}.npz")
        images = data.x_test.reshape(-1, *net.input_shape)
        right = np.flatnonzero(net.classify(images[: 2 * IMAGES]) == data.y_test[: 2 * IMAGES])[:IMAGES]
        x, label = images[right].astype(float), data.y_test[right]
        found, seconds = timed(lambda net=net, x=x, label=label: componentwise_attack(net, x, label, margin=MARGIN))
        low, middle, high = np.quantile(found.epsilon, [0.05, 0.5, 0.95])
        print(
            f"{name:16s} {len(x)} images in {seconds:.1f} s, {found.success.sum()} succeed, ε {middle:.3f} "
            f"({low:.3f} to {high:.3f}), residual {np.quantile(found.residual, 0.99):.0e} (99 %)",
            flush=True,
        )
        if len(net.weighted) == 1:
            theirs, slow = timed(lambda net=net, x=x, label=label: programmes(net, x, label))
            gap = np.abs(np.array(theirs) / found.epsilon[:PROGRAMMES] - 1).max()
            ratio = (slow / PROGRAMMES) / (seconds / len(x))
            print(f"    linear programmes by HiGHS: {ratio:.0f} times as long an image; differ by {gap:.1e} (relative)")


if __name__ == "__main__":
    main()
