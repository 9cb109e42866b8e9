"""Attacks proved optimal by branch and bound: how many, to which gap, at what price.

Run with ``.venv/bin/python -m benchmarks.branch_and_bound`` after ``make book``, or with options: ``--images 200``,
``--nodes 1000``, ``--networks`` for another folder of them, ``--only`` for one network, ``--to`` for a file that gets
a column a network (book/branch_and_bound.csv is one). The first images of the test set count, also those that are
misclassified: the distance is that to another class than the network's own. Seconds are those of the processor, over
all images, without the attack.
"""

import argparse
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import scipy

from bea import Network
from bea.attacks.by_backward_error import backward_error_attack
from bea.bounds import prove
from benchmarks.shared import NETWORKS
from lab import datasets

GAPS = {"tanh-0": 1e-3, "relu-0": 1e-2}  # asked for
AT_A_TIME = 50  # images


def settled(net, x, gap: float, nodes: int) -> pd.DataFrame:
    """Return both ends, the attack's length, nodes and seconds for every image."""
    found = backward_error_attack(net, x, net.classify(x), margin=1e-7)
    plain = prove(net, x, dx=found.dx, gap=gap, nodes=0)
    busy = time.process_time()
    ends = prove(net, x, dx=found.dx, gap=gap, nodes=nodes)
    seconds = (time.process_time() - busy) / len(x)
    columns = {"lower": ends.lower, "upper": ends.upper, "plain": plain.lower, "length": found.l2, "nodes": ends.nodes}
    return pd.DataFrame(columns).assign(seconds=seconds)


def summary(name: str, table: pd.DataFrame, gap: float, nodes: int) -> dict:
    """Return a row for the table of the book."""
    shares = table.lower / table.upper
    now = datetime.now(UTC).date()
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}"
    return {
        "network": name,
        "images": len(table),
        "gap asked for": f"{gap:.1%}",
        "proved optimal": f"{np.mean(shares >= 1.0 - gap):.1%}",
        "mean distance, at least": f"{table.lower.mean():.4f}",
        "at most": f"{table.upper.mean():.4f}",
        "the tight bound alone": f"{table.plain.mean():.4f}",
        "attacks shortened": np.sum(table.upper < table.length * (1.0 - gap)),
        "nodes after which none is halved": nodes,
        "nodes bounded, at first one a rival, median": f"{table.nodes[table.nodes > 0].median():.0f}",
        "seconds an image": f"{table.seconds.mean():.2f}",
        "run": f"{now}, {os.cpu_count()} cores, {versions}",
    }


def main() -> None:
    """Prove what can be proved, and print a line for each network as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=8000)
    parser.add_argument("--networks", type=Path, default=NETWORKS)
    parser.add_argument("--only", choices=GAPS)
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    pictures = datasets.load("mnist").x_test[: options.images].astype(float)
    rows = []
    for name, gap in GAPS.items():
        if options.only not in (None, name):
            continue
        net, tables = Network.load(options.networks / f"{name}.npz"), []
        for start in range(0, len(pictures), AT_A_TIME):
            x = pictures[start : start + AT_A_TIME].reshape(-1, *net.input_shape)
            tables.append(settled(net, x, gap, options.nodes))
            row = summary(name, pd.concat(tables), gap, options.nodes)
            print("; ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
        rows.append(row)
        if options.to:
            pd.DataFrame(rows).set_index("network").T.to_csv(options.to, index_label="network")


if __name__ == "__main__":
    main()
