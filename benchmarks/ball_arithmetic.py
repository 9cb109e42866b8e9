"""Radii of the tight bound confirmed in ball arithmetic, or lowered until they are.

Run with ``.venv/bin/python -m benchmarks.ball_arithmetic`` after ``make book``; ``--to`` puts the rows into a file.
``lower_bound(method="local")`` computes in float64 and subtracts allowances for rounding, which are generous but no
proof. Here each radius is proved again, in balls of 128 bits, by the same theorems and other code (see
``benchmarks.ball_proofs`` and ``benchmarks.ball_pooling``). Where that fails, the radius is lowered until it succeeds,
and the table says by how much. A dense network of two hidden layers takes half a second of one core an image, LeNet
two and a half. On LeNet it is the bound of steps P1 to P6 that is proved again, not what Q1 to Q5 add to it.
"""

import argparse
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

from bea import Convolution, Dense, Network, lower_bound
from bea.bounds import ball_dense
from bea.bounds.ball_pooling import convolutional_bound
from benchmarks.ball_layerwise import Affine
from benchmarks.ball_pooling import PooledProof
from benchmarks.ball_proofs import Proof
from benchmarks.shared import NETWORKS
from lab import datasets

NAMES = ("one_layer-0", "tanh-0", "tanh-tanh-0", "relu-0", "scratch-64-12-0", "sturdy-0", "lenet-mnist-0")
HEAD = (
    "| network | images | confirmed | lowered | largest lowering | seconds of one core |\n|---|---|---|---|---|---|\n"
)
TITLE = """\
Radii of `lower_bound(method="local")` for the first test images of MNIST, proved again in balls of 128 bits.
Written by `python -m benchmarks.ball_arithmetic --to benchmarks/ball_arithmetic.md` from the networks of the full book.

"""
LEAST, STEPS = 1e-9, 6  # first lowering that is tried, and how often the interval that holds it is halved


@contextmanager
def recorded() -> Iterator[list]:
    """Record where every bound is tight that holds meanwhile, as ``Proof.touched``: the radius is all that is returned.

    These points prove nothing; they are where a proof is looked for first.
    """
    found, original = [], ball_dense.least_lead

    def spy(ball, v, d, constant, r, point, **options):
        bound = original(ball, v, d, constant, r, point, **options)
        for i in np.flatnonzero(bound > 0.0):
            found.append((v[i], d[i], np.linalg.lstsq(ball.rows.T, point[i])[0]))
        return bound

    with mock.patch.object(ball_dense, "least_lead", spy):
        yield found


def claimed(net: Network, x) -> tuple[np.ndarray, object]:
    """Return the radii of the tight bound (n,), and what proves them: ``proves(image, radius)`` says whether it can.

    With pooling they are those of steps P1 to P6, which ``bea.bounds.ball_windows`` may enlarge.
    """
    if any(isinstance(layer, Convolution) for layer in net.layers):
        return np.maximum(convolutional_bound(net, x)[0], lower_bound(net, x).radius), PooledProof.of(net)
    with recorded() as touched:
        radius = lower_bound(net, x, method="local").radius
    return radius, Affine(net) if sum(isinstance(layer, Dense) for layer in net.layers) == 1 else Proof.of(net, touched)


def lowering(proof, image, radius: float) -> float:
    """Return the share by which a radius must be less to be proved, to a factor of 1.04; 1 where that is over 0.1."""
    if proof.proves(image, radius):
        return 0.0
    high = LEAST
    while not proof.proves(image, radius * (1.0 - high)):
        if high >= 0.1:
            return 1.0
        high *= 10.0
    low = high / 10.0
    for _ in range(STEPS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if proof.proves(image, radius * (1.0 - middle)) else (middle, high)
    return high


def main() -> None:
    """Print and, if asked, write one row a network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NAMES)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--to", type=Path, metavar="FILE", help="put the rows into the table there, too")
    options = parser.parse_args()
    data = datasets.load("mnist")
    print(HEAD, end="", flush=True)
    for name in options.networks:
        net = Network.load(NETWORKS / f"{name}.npz")
        x = data.x_test[: options.images].astype(float).reshape(-1, *net.input_shape)
        radius, proof = claimed(net, x)

        start = time.process_time()
        less = np.array([lowering(proof, image, r) for image, r in zip(x, radius.tolist(), strict=True)])
        seconds = time.process_time() - start
        kept = int(np.sum(less == 0.0))
        row = f"| {name} | {len(x)} | {kept} | {len(x) - kept} | {less.max():.1e} | {seconds:.0f} |\n"
        print(row, end="", flush=True)
        if options.to:
            write_row(options.to, name, row)


def write_row(path: Path, name: str, row: str) -> None:
    """Put the row of a network into the table of a file, in the place of one that is there."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    others = [line for line in lines[len((TITLE + HEAD).splitlines()) :] if not line.startswith(f"| {name} |")]
    path.write_text(TITLE + HEAD + "".join(sorted([*others, row])), encoding="utf-8")


if __name__ == "__main__":
    main()
