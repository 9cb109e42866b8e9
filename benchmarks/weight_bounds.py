"""Proven bounds of changes of the weights against converged attacks, on test images.

Run with ``.venv/bin/python -m benchmarks.weight_bounds`` after ``make book``; name networks to try fewer of them, and
give ``--images`` for fewer images. For every part that may change it prints how often the attack on the class that
limits the bound is smaller than the bound, which must be never; the ratio of the two, and how often it is above 0.99;
and the time that a processor spends on an image. A line is about all images so far.
"""

import argparse
import time

import numpy as np

from bea import Network, attack, lower_bound
from benchmarks.shared import NETWORKS
from lab import datasets

NAMES = ("one_layer-0", "tanh-0", "tanh-tanh-0", "relu-0")
AT_A_TIME = 250  # images; a line is printed after each so many
PARTS = ((1,), "weights", "both")


def compare(net, x, on) -> tuple[np.ndarray, float, float]:
    """Return bound over attack for images, NaN where the attack fails, and the seconds that each of the two took."""
    start = time.process_time()
    bound = lower_bound(net, x, on=on, method="local")
    half_way = time.process_time()
    found = attack(net, x, bound.rival, on, method="converged", margin=1e-7)
    ratio = np.where(found.success, bound.radius / np.sqrt(found.objective), np.nan)
    return ratio, half_way - start, time.process_time() - half_way


def told(parts) -> str:
    """Return a line about what ``compare`` returned for some blocks of images."""
    ratios, bounding, attacking = zip(*parts, strict=True)
    ratio = np.concatenate(ratios)
    n, ratio = len(ratio), ratio[np.isfinite(ratio)]
    return (
        f"{np.sum(ratio > 1.0)} contradictions in {len(ratio)} of {n}; ratio {np.median(ratio):.4f} (median), "
        f"{np.quantile(ratio, 0.1):.4f} (10 %), {ratio.min():.4f} (least), above 0.99 in {np.mean(ratio > 0.99):.1%}; "
        f"{1e3 * sum(bounding) / n:.1f} ms for the bound, {1e3 * sum(attacking) / n:.1f} ms for the attack"
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
        found = {on: [] for on in PARTS}
        for start in range(0, len(images), AT_A_TIME):
            x = images[start : start + AT_A_TIME].reshape(-1, *net.input_shape)
            for on, parts in found.items():
                parts.append(compare(net, x, on))
                print(f"{name:12s} {on!s:8s} {told(parts)}", flush=True)


if __name__ == "__main__":
    main()
