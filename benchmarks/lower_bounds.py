"""Our lower bounds beside CLEVER, the estimate that adversarial-robustness-toolbox offers, on the same images.

Run with ``.venv/bin/python -m benchmarks.lower_bounds`` after ``make book``. CLEVER needs
``.venv/bin/pip install adversarial-robustness-toolbox six``, which the project does not install; without it nothing is
compared, and it says so. CLEVER samples gradients in a ball and extrapolates their largest norm: no proof, and the
benchmark counts where it exceeds a real attack, which a lower bound cannot. All times are wall clock on all cores, in
one run; CLEVER gets our own gradients, so that its time is theirs and its sampling, in a Python loop, its own.
auto_LiRPA is not compared: it asks for a PyTorch older than any for Python 3.11, so it does not install beside ``bea``.
"""

import argparse

import numpy as np

from bea import Network, datasets, lower_bound
from bea.backward_error_attack import backward_error_attack, nearest_classes
from benchmarks.shared import NETWORKS, timed


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


def main() -> None:
    """Print, for each network, the ratio of each bound to the converged attack, and the time an image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=2, help="nearest classes that CLEVER looks at")
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args()
    try:
        import art  # noqa: F401
    except ImportError as error:
        print(f"nothing compared: {error}")
        return
    data = datasets.load("mnist")
    for name in ("one_layer-0", "tanh-0", "relu-0", "lenet-mnist-0"):
        net = Network.load(NETWORKS / f"{name}.npz")
        x = data.x_test[: options.images].astype(float).reshape(-1, *net.input_shape)
        label = net.classify(x)
        attacked = backward_error_attack(net, x, label, margin=1e-6, candidates=options.candidates)
        rivals = nearest_classes(net, x, label)[:, : options.candidates]
        lower_bound(net, x[:1], method="local")  # constants of the network, once
        print(f"{name}, {len(x)} images: ratio to the attack, median (5 to 95 %), above it, ms an image")
        for title, compute in (
            ("lipschitz", lambda net=net, x=x: lower_bound(net, x, method="lipschitz").radius),
            ("local", lambda net=net, x=x: lower_bound(net, x, method="local").radius),
            (
                "CLEVER",
                lambda net=net, x=x, rivals=rivals: clever(net, x, rivals, options.batches, options.samples, 5.0),
            ),
        ):
            values, seconds = timed(compute)
            ratio = values / attacked.l2
            low, middle, high = np.quantile(ratio, [0.05, 0.5, 0.95])
            above = int(np.sum(ratio > 1.0))
            each = 1e3 * seconds / len(x)
            print(
                f"  {title:10} {middle:.3f} ({low:.3f} to {high:.3f}), {above} of {len(x)}, {each:.1f} ms", flush=True
            )


if __name__ == "__main__":
    main()
