"""Proven bounds of changes of the weights against converged attacks, on test images.

Run with ``.venv/bin/python -m benchmarks.weight_bounds`` after ``make book``; name networks to try fewer of them, and
give ``--images`` for fewer images. For every part that may change it prints how often the attack on the class that
limits the bound is smaller than the bound, which must be never; the ratio of the two, and how often it is above 0.99;
and the time that a processor spends on the bound of an image.
"""

import argparse
import time

import numpy as np

from bea import Network, attack, lower_bound
from benchmarks.shared import NETWORKS
from lab import datasets

NAMES = ("one_layer-0", "tanh-0", "tanh-tanh-0", "relu-0")
PARTS = ((1,), "weights", "both")


def compare(net, x, on) -> str:
    """Return a line about the bounds of images and the attacks on them."""
    start = time.process_time()
    bound = lower_bound(net, x, on=on, method="local")
    seconds = time.process_time() - start
    found = attack(net, x, bound.rival, on, method="converged", margin=1e-7)
    ratio = (bound.radius / np.sqrt(found.objective))[found.success]
    return (
        f"{np.sum(ratio > 1.0)} contradictions in {len(ratio)} of {len(x)}; ratio {np.median(ratio):.4f} (median), "
        f"{np.quantile(ratio, 0.1):.4f} (10 %), {ratio.min():.4f} (least), above 0.99 in {np.mean(ratio > 0.99):.1%}; "
        f"{1e3 * seconds / len(x):.1f} ms"
    )


def main() -> None:
    """Compare everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--images", type=int, default=10000)
    options = parser.parse_args()
    images = datasets.load("mnist").x_test[: options.images].astype(float)
    for name in options.names:
        net = Network.load(NETWORKS / f"{name}.npz")
        for on in PARTS:
            print(f"{name:12s} {on!s:8s} {compare(net, images.reshape(-1, *net.input_shape), on)}", flush=True)


if __name__ == "__main__":
    main()
