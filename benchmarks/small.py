"""Two small networks that are the same to the last bit wherever they are made, and what peers reach on them.

``python -m benchmarks.small``, in the environment of ``make benchmarks``, writes ``tests/peers.csv``: the lengths of
five peers, by which ``tests/test_peers.py`` notices when the attack gets worse.
"""

from pathlib import Path

import numpy as np
from scipy.special import expit

from bea import Activation, Dense, Flatten, Network

TABLE = Path("tests/peers.csv")
PEERS = ("DeepFool", "DDN", "FMN", "ALMA", "PDGD")
IMAGES = 40


def boards() -> dict[str, tuple[Network, np.ndarray, np.ndarray]]:
    """Return name → network, images (n, 6, 6) with many pixels at the ends of the range, and their classes."""
    found = {}
    for seed, (name, widths) in enumerate({"tanh": (12,), "relu": (12, 12)}.items()):
        rng, layers, inputs = np.random.default_rng(seed), [Flatten()], 36
        for width in widths:
            layers += [_dense(rng, width, inputs), Activation(name)]
            inputs = width
        net = Network([*layers, _dense(rng, 10, inputs)], (6, 6), input_range=(0.0, 1.0))
        x = np.round(expit(6.0 * rng.standard_normal((IMAGES, 6, 6))), 3)
        found[name] = net, x, net.classify(x)
    return found


def _dense(rng, outputs: int, inputs: int) -> Dense:
    """Return a layer whose weights have six digits, so that no library of linear algebra has a say in them."""
    return Dense(np.round(rng.standard_normal((outputs, inputs + 1)) * 1.5 / np.sqrt(inputs), 6))


def main() -> None:
    """Let the peers run."""
    import pandas as pd

    from benchmarks import peers
    from benchmarks.leaderboard import Board

    tables = []
    for name, (net, x, label) in boards().items():
        board = Board("range", None, name, net, x, label, np.arange(len(x)))
        for attack in PEERS:
            board.theirs(attack, "adv-lib", peers.RANGED[attack])
        tables.append(board.table)
    pd.concat(tables).to_csv(TABLE, index=False, float_format="%.7g")


if __name__ == "__main__":
    main()
