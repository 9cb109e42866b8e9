"""Networks of the kinds that meet their peers, each trained anew from several seeds, for ``make benchmarks``.

Run with ``.venv/bin/python -m benchmarks.trained_anew``: it trains as the chapter on deeper networks does, and leaves
one file a network. One that is there already is not trained again.
"""

import argparse
from pathlib import Path

import numpy as np

from bea.networks.network import Network
from benchmarks.shared import ANEW
from lab import datasets, keras_models
from lab.parameters import values
from lab.training import train_from_seed

WAY = values("14_train_deeper", "full")
DENSE = {"make": keras_models.dense_classifier, "epochs": WAY["epochs"], "batch_sizes": [WAY["batch_size"]]}
KINDS = {
    "tanh": DENSE | {"widths": [100, 10], "activations": ["tanh", "linear"]},
    "relu": DENSE | {"widths": [64, 64, 10], "activations": ["relu", "relu", "linear"]},
    "lenet": {
        "make": keras_models.lenet,
        "through": keras_models.faster_lenet,
        "epochs": WAY["lenet_epochs"],
        "images": WAY["lenet_images"],
        "batch_sizes": [WAY["batch_size"]],
    },
}


def main() -> None:
    """Train what is not there."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="networks of each kind")
    parser.add_argument("--to", type=Path, default=ANEW, help="folder of the networks")
    options = parser.parse_args()
    data = datasets.load("mnist")
    options.to.mkdir(parents=True, exist_ok=True)
    for kind, way in KINDS.items():
        for seed in range(options.seeds):
            path = options.to / f"{kind}-{seed}.npz"
            if path.is_file():
                continue
            trained = train_from_seed(data=data, seed=seed, **way)
            net = Network.from_keras(trained.model(), input_range=(0.0, 1.0))
            net.save(path)
            right = np.mean(net.classify(data.x_test.reshape(-1, *net.input_shape).astype(float)) == data.y_test)
            print(f"{path.name}: {right:.2%} of the test images right", flush=True)


if __name__ == "__main__":
    main()
