"""The attack beside its peers once more, on networks trained from several seeds.

``make benchmarks`` runs it on the networks of ``benchmarks.trained_anew`` and writes ``lab/peers/seeds.csv``: a row a
network and image, lengths with pixels in their range, what our attack needs without one, what is proved of that, and
the median over nine targets of the smallest change of all weights.
"""

import argparse
import datetime
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bea import Network, attack
from bea.networks.leads import other_classes
from benchmarks.leaderboard import OURS, Board, in_range, proved, shortest
from benchmarks.shared import ANEW, MARGIN, OUT
from lab import datasets


def changed_weights(net, x, label) -> np.ndarray:
    """Return the median over the other classes of the smallest relative change of all weights, (n,)."""
    target = other_classes(label, net.classes)
    images = np.repeat(x, target.shape[1], axis=0)
    found = attack(net, images, target.ravel(), "weights", method="converged", margin=MARGIN)
    sizes = np.where(found.success, np.sqrt(found.objective), np.inf)
    return np.median(sizes.reshape(target.shape), axis=1)


def main() -> None:
    """Compare everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=20, help="first test images that a network has right")
    parser.add_argument("--nodes", type=int, default=200, help="pieces of a ball, at most, in the proofs")
    parser.add_argument("--networks", type=Path, default=ANEW, help="folder of the networks")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, tables = datasets.load("mnist"), []
    for path in sorted(options.networks.glob("*.npz")):
        net = Network.load(path)
        images = data.x_test.reshape(-1, *net.input_shape).astype(float)
        index = np.flatnonzero(net.classify(images) == data.y_test)[: options.images]
        given = None, path.stem, net, images[index], data.y_test[index].astype(int), index
        loose, board = Board("free", *given), in_range(*given)
        loose.ours(OURS, shortest)
        columns = {f"{OURS}, no range": loose.table[OURS], "proved": proved(loose, options.nodes)}
        tables.append(board.table.assign(**columns, weights=changed_weights(net, loose.x, loose.label)))
        pd.concat(tables).to_csv(options.out / "seeds.csv", index=False, float_format="%.7g")
    made = json.dumps({"date": datetime.date.today().isoformat()}) + "\n"
    (options.out / "seeds.json").write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
