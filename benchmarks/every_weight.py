"""The smallest change of the weights for every correctly classified test image and each of the nine other classes.

``make benchmarks`` runs it on the networks of the last ``make book``: what chapter 48 does with some images. It writes
sums of it into ``lab/peers``, in files whose names begin with ``every_``: by network, by pair of classes, by lead in
logits, by share of the attacks; the most and the least fragile images; all attacks on the first images; and, as JSON,
date, machine and networks. The tables of all attacks, which are large, are left in ``_build/every_weight``.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from bea import Network
from benchmarks.shared import MARGIN, NETWORKS, OUT, machine
from lab import datasets
from lab.peers import digest
from studies import weights_at_scale as study

NAMES = ("one_layer-0", "tanh-0", "tanh-tanh-0", "relu-0", "lenet-0")
ALL = Path("_build/every_weight")
EXTREMES, FIRST = 10, 20  # images that chapter 48 may show, and on which it runs the attack again


def sums(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return name of a file → table of what is stored."""
    return {
        "network": study.summary(table),
        "pair": study.by_pair(table),
        "lead": study.by_lead(table),
        "share": study.by_share(table),
        "extreme": pd.concat([study.extremes(own, EXTREMES) for _, own in table.groupby("net", sort=False)]),
        "first": table[table.image < FIRST],
    }


def main() -> None:
    """Attack everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=NAMES, help="networks")
    parser.add_argument("--images", type=int, default=10_000, help="first test images for dense networks")
    parser.add_argument("--lenet-images", type=int, default=500, help="for LeNet")
    parser.add_argument("--kept", action="store_true", help="take the tables of all attacks that are in _build")
    parser.add_argument("--networks", type=Path, default=NETWORKS, help="folder of the networks")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the tables")
    options = parser.parse_args()
    ALL.mkdir(parents=True, exist_ok=True)
    data, digests, tables = datasets.load("mnist"), {}, []
    given = data.x_test.astype(float), data.y_test.astype(int)
    for name in options.names:
        net, path = Network.load(options.networks / f"{name}.npz"), ALL / f"{name}.csv"
        if not options.kept:
            images = options.images if len(net.input_shape) == 2 else options.lenet_images
            study.changes({name: net}, *given, images={name: images}, margin=MARGIN).to_csv(path, index=False)
        tables.append(pd.read_csv(path))
        digests[name] = digest(net)
        print(study.summary(tables[-1]).to_string(index=False), flush=True)
    for file, found in sums(pd.concat(tables, ignore_index=True)).items():
        found.to_csv(options.out / f"every_{file}.csv", index=False, float_format="%.7g")
    about = machine("numpy", "scipy") | {"networks": digests, "dataset": data.name}
    (options.out / "every.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
