"""Our lower bounds beside CLEVER (adversarial-robustness-toolbox) and CROWN (auto_LiRPA), on the same images.

Run with ``.venv/bin/python -m benchmarks.lower_bounds`` after ``make book``. The project installs neither of the two:
CLEVER needs ``.venv/bin/pip install adversarial-robustness-toolbox six``; CROWN runs in an interpreter of its own, see
``benchmarks/crown.py``, and is compared with ``--crown`` and the path of that interpreter.

CLEVER samples gradients in a ball and extrapolates their largest norm: no proof, and the benchmark counts where it
exceeds a real attack, which a lower bound cannot. It gets our own gradients, so that its time is theirs and its
sampling, in a Python loop, its own. CROWN bounds the logits from below by lines through the layers: a proof for a given
radius, which bisection enlarges up to the attack, and all its steps count. All times are wall clock on all cores, in
one run.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bea import Network, lower_bound
from bea.attacks.by_backward_error import backward_error_attack, nearest_classes
from benchmarks.shared import NETWORKS, timed
from lab import datasets


def to_art(net):
    """Return a network as ART sees a classifier with gradients of its logits."""
    from art.estimators import BaseEstimator
    from art.estimators.classification import ClassGradientsMixin, ClassifierMixin

    class Classifier(ClassGradientsMixin, ClassifierMixin, BaseEstimator):
        estimator_params = BaseEstimator.estimator_params

        def __init__(self):
            super().__init__(model=None, clip_values=None)
            self._nb_classes = net.classes

        @property
        def input_shape(self):
            return net.input_shape

        def predict(self, x, **options):
            return net(np.asarray(x, dtype=float))

        def class_gradient(self, x, label=None, **options):
            rows = np.zeros((len(x), net.classes))
            rows[:, label] = 1.0
            return net.gradient(np.asarray(x, dtype=float), rows)[:, None]

        def loss_gradient(self, x, y, **options):
            raise NotImplementedError

        def fit(self, x, y, **options):
            raise NotImplementedError

    return Classifier()


def clever(net, x, rivals, batches, samples, radius):
    """Return CLEVER for the nearest classes of every image, the least of them, (n,)."""
    from art.metrics import clever_t

    classifier = to_art(net)
    return np.array(
        [
            min(clever_t(classifier, image, int(j), batches, samples, radius, norm=2) for j in others)
            for image, others in zip(x, rivals, strict=True)
        ]
    )


def crown(python, network, net, x, label, largest):
    """Return CROWN's radii for all images, (n,), and the seconds that it took, from another interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        images, found = Path(folder) / "images.npz", Path(folder) / "found.npz"
        np.savez(images, x=x, label=label, largest=largest)
        script = Path(__file__).with_name("crown.py")
        done = subprocess.run([python, script, network, images, found], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"CROWN did not run:\n{done.stderr}")
        with np.load(found) as file:
            np.testing.assert_allclose(file["logits"], net(x), rtol=0, atol=1e-5)  # single precision: 6e-6 measured
            return file["radius"], float(file["seconds"])


def main() -> None:
    """Print, for each network, the ratio of each bound to the converged attack, and the time an image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=2, help="nearest classes that the attack and CLEVER look at")
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--crown", metavar="PYTHON", help="interpreter that has auto_LiRPA")
    options = parser.parse_args()
    with_clever = importlib.util.find_spec("art") is not None
    if not (with_clever or options.crown):
        print("nothing to compare with: adversarial-robustness-toolbox is not installed, and no --crown was given")
        return
    data = datasets.load("mnist")
    for name in ("one_layer-0", "tanh-0", "relu-0", "lenet-mnist-0"):
        network = NETWORKS / f"{name}.npz"
        net = Network.load(network)
        x = data.x_test[: options.images].astype(float).reshape(-1, *net.input_shape)
        label = net.classify(x)
        attacked = backward_error_attack(net, x, label, margin=1e-6, candidates=options.candidates)
        lower_bound(net, x[:1], method="local")  # constants of the network, once
        print(f"{name}, {len(x)} images: ratio to the attack, median (5 to 95 %), above it, ms an image")
        for method in ("lipschitz", "local"):
            bound, seconds = timed(lambda net=net, x=x, method=method: lower_bound(net, x, method=method))
            report(method, bound.radius, seconds, attacked.l2)
        if options.crown:
            report("CROWN", *crown(options.crown, network, net, x, label, attacked.l2), attacked.l2)
        if with_clever:
            rivals = nearest_classes(net, x, label)[:, : options.candidates]
            arguments = (net, x, rivals, options.batches, options.samples, 5.0)
            report("CLEVER", *timed(lambda arguments=arguments: clever(*arguments)), attacked.l2)


def report(title: str, values, seconds: float, attacked) -> None:
    """Print one line of the comparison."""
    ratio = values / attacked
    low, middle, high = np.quantile(ratio, [0.05, 0.5, 0.95])
    above, each = int(np.sum(ratio > 1.0)), 1e3 * seconds / len(values)
    line = f"{middle:.3f} ({low:.3f} to {high:.3f}), {above} of {len(values)}, {each:.1f} ms"
    print(f"  {title:10} {line}", flush=True)


if __name__ == "__main__":
    main()
