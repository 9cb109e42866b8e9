"""The bound for LeNet from one quadratic function beside that from a loss for every block, as parts of the attack.

Run with ``.venv/bin/python -m benchmarks.ball_windows`` after ``make book``; ``--networks`` names files of networks
with two blocks of convolution and max pooling, for instance some that were trained without weight decay. A row has the
medians over the images of ``bea.bounds.convolutional_bound`` and ``bea.bounds.windows_bound``, both over the length of
the converged attack on the two nearest classes; how many bounds are above an attack, which a bound cannot be; and the
seconds of the processor an image, without what is computed once a network.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from bea import Network
from bea.attacks import backward_error_attack
from bea.bounds import convolutional_bound, windows_bound
from benchmarks.shared import NETWORKS
from lab import datasets

HEAD = (
    "| network | images | before / attack | now / attack | least gain | above an attack | seconds, before | now |\n"
    "|---|---|---|---|---|---|---|---|"
)


def row(name: str, net: Network, x) -> str:
    """Return what was found for a network, on its test images (n, *input_shape)."""
    attack = backward_error_attack(net, x, net.classify(x), margin=1e-4, candidates=2)
    length = np.where(attack.success, attack.l2, np.inf)
    radii, seconds = [], []
    for bound in (convolutional_bound, windows_bound):
        bound(net, x[:1])
        start = time.process_time()
        radii.append(bound(net, x)[0])
        seconds.append((time.process_time() - start) / len(x))
    before, now = (np.median(radius / length) for radius in radii)
    above = np.count_nonzero(radii[1] > length)
    gain = (radii[1] / radii[0]).min()
    return (
        f"| {name} | {len(x)} | {before:.3f} | {now:.3f} | {gain:.2f} | {above} | {seconds[0]:.2f} | {seconds[1]:.2f} |"
    )


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=Path, nargs="+", default=[NETWORKS / "lenet-mnist-0.npz"])
    parser.add_argument("--images", type=int, default=200, help="test images of MNIST")
    arguments = parser.parse_args()
    print(HEAD)
    with threadpool_limits(1, "blas"):
        for path in arguments.networks:
            net = Network.load(path)
            x = datasets.load("mnist").x_test[: arguments.images].reshape(-1, *net.input_shape).astype(float)
            print(row(path.stem, net, x), flush=True)


if __name__ == "__main__":
    main()
