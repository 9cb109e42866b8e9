"""Every correctly classified test image and each of the nine other classes, on weights and on the input.

Run with ``.venv/bin/python -m benchmarks.whole_test_set`` after ``make book``; name networks to try fewer of them.
Prints how many attacks succeed, the largest KKT residual (of meaning for smooth networks only), the time, and how many
of 1000 random successes the original Keras model confirms.
"""

import resource
import sys
import time

import numpy as np

from bea import Network, attack
from benchmarks.shared import NETWORKS
from lab import datasets, keras_models

NAMES = ("one_layer-0", "tanh-0", "tanh-tanh-0", "relu-0", "lenet-0")
LENET_IMAGES = 200
CHECKED = 1000


def pairs(net, images, labels):
    """Return the correctly classified images nine times each, and their targets."""
    present = net.classify(images)
    right = np.flatnonzero(present == labels)
    others = (np.repeat(present[right], 9) + np.tile(np.arange(1, 10), len(right))) % 10
    return np.repeat(images[right].astype(float), 9, axis=0), others


def confirmed(name, net, result, on, rng) -> tuple[int, int]:
    """Return how many of some random successes the Keras model confirms, and how many were asked."""
    model = keras_models.load(NETWORKS / f"{name}.keras")
    chosen = rng.choice(np.flatnonzero(result.success), min(CHECKED, result.success.sum()), replace=False)
    perturbation = result.perturbation
    if on == "input":
        images = perturbation.x[chosen] + perturbation.dx[chosen]
        return int(np.sum(keras_models.outputs(model, images).argmax(axis=1) == result.target[chosen])), len(chosen)
    right = 0
    for i in chosen:
        changed, image = net.perturbed(perturbation, i)
        keras_models.put_weights(model, changed)
        right += int(keras_models.outputs(model, image[None])[0].argmax() == result.target[i])
    return right, len(chosen)


def main() -> None:
    """Attack everything."""
    data, rng = datasets.load("mnist"), np.random.default_rng(0)
    for name in sys.argv[1:] or NAMES:
        net = Network.load(NETWORKS / f"{name}.npz")
        count = LENET_IMAGES if name.startswith("lenet") else len(data.x_test)
        images = data.x_test[:count].reshape(-1, *net.input_shape)
        x, target = pairs(net, images, data.y_test[:count])
        for on in ("input", "weights"):
            start = time.perf_counter()
            result = attack(net, x, target, on, method="converged")
            seconds = time.perf_counter() - start
            agreed, asked = confirmed(name, net, result, on, rng)
            print(
                f"{name:12s} {on:8s} {len(x):6d} attacks, {len(x) - result.success.sum()} fail, "
                f"largest KKT residual {result.kkt_residual.max():.1e}, {1e3 * seconds / len(x):.3f} ms each, "
                f"Keras agrees on {agreed} of {asked}; "
                f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB so far",
                flush=True,
            )
            del result  # so that its memory is not counted with the next


if __name__ == "__main__":
    main()
