"""Attacks on the input proved optimal by branch and bound: how many, to which gap, at what price.

Run with ``.venv/bin/python -m benchmarks.branch_and_bound`` after ``make book``, or with options: ``--images 200``,
``--nodes 1000``, ``--networks`` for another folder of them, ``--only`` for one network. The first images of the test
set count, also those that are misclassified: the distance is that to another class than the network's own. Times are
wall clock on all cores, and those of the processor, over all images; the attack is timed apart.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from bea import Network
from bea.attacks.by_backward_error import backward_error_attack
from bea.bounds import prove
from benchmarks.shared import NETWORKS, timed
from lab import datasets

GAPS = {"tanh-0": 1e-3, "relu-0": 1e-2}  # asked for


def main() -> None:
    """Prove what can be proved, and print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--networks", type=Path, default=NETWORKS)
    parser.add_argument("--only", choices=GAPS)
    options = parser.parse_args()
    pictures = datasets.load("mnist").x_test[: options.images].astype(float)
    for name, gap in GAPS.items():
        if options.only not in (None, name):
            continue
        net = Network.load(options.networks / f"{name}.npz")
        x = pictures.reshape(-1, *net.input_shape)
        found, attacking = timed(lambda net=net, x=x: backward_error_attack(net, x, net.classify(x), margin=1e-7))
        plain = prove(net, x, dx=found.dx, gap=gap, nodes=0)
        busy = time.process_time()
        proved, seconds = timed(
            lambda net=net, x=x, dx=found.dx, gap=gap: prove(net, x, dx=dx, gap=gap, nodes=options.nodes)
        )
        busy = time.process_time() - busy
        shares = proved.lower / proved.upper
        branched = proved.nodes > 0
        print(
            f"{name}: {len(x)} images, gap {gap:g}, at most {options.nodes} nodes\n"
            f"  proved to 0.1 %: {np.mean(shares >= 1 - 1e-3):.1%}, to 0.5 %: {np.mean(shares >= 1 - 5e-3):.1%}, "
            f"to 1 %: {np.mean(shares >= 1 - 1e-2):.1%}; least share {shares.min():.3f}\n"
            f"  mean distance from {proved.lower.mean():.5f} to {proved.upper.mean():.5f} "
            f"({proved.lower.mean() / proved.upper.mean():.2%}); "
            f"the tight bound and the attack alone {plain.lower.mean():.5f} to {plain.upper.mean():.5f} "
            f"({plain.lower.mean() / plain.upper.mean():.2%})\n"
            f"  attacks shortened by more than the gap: {np.sum(proved.upper < found.l2 * (1 - gap))}; "
            f"{branched.sum()} images branched, nodes in the median {np.median(proved.nodes[branched]):.0f}, "
            f"at most {proved.nodes.max()}\n"
            f"  {1e3 * seconds / len(x):.0f} ms an image, {1e3 * busy / len(x):.0f} ms of the processor; "
            f"the attack {1e3 * attacking / len(x):.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
