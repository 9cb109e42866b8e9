"""The smallest fooling step of every test image beside what a user would pick instead: PyTorch, and foolbox.

Run with ``.venv/bin/python -m benchmarks.smallest_epsilon`` after ``make book``. The parts about PyTorch and foolbox
need them, which the project does not install: ``.venv/bin/pip install foolbox torch``; without, they are left out. All
times are wall clock, the best of a few calls, on all cores, in one run. PyTorch works in single precision, as its users
do; ours in double.
"""

import argparse

import numpy as np

from bea import Network
from bea.attacks import rays
from bea.attacks.epsilon_search import smallest_epsilon
from bea.attacks.loss import loss_gradient
from benchmarks.shared import NETWORKS, timed, to_torch
from lab import datasets


def best(function, repeats=5) -> tuple[object, float]:
    """Return what ``function`` returns, and the least of the seconds it took."""
    calls = [timed(function) for _ in range(repeats)]
    return calls[-1][0], min(seconds for _, seconds in calls)


def by_torch(model, x, labels, halvings=20):
    """Return ε_min by plain bisection of [0, 1], all images at once."""
    import torch

    images = torch.tensor(x, dtype=torch.float32).requires_grad_()
    classes = torch.tensor(labels)
    torch.nn.functional.cross_entropy(model(images), classes, reduction="sum").backward()
    way = images.grad.sign().flatten(1)
    with torch.no_grad():
        flat = images.flatten(1)
        low, high = torch.zeros(len(x)), torch.ones(len(x))
        high[model(flat).argmax(1) != classes] = 0.0
        for _ in range(halvings):
            middle = 0.5 * (low + high)
            wrong = model(flat + middle[:, None] * way).argmax(1) != classes
            low, high = torch.where(wrong, low, middle), torch.where(wrong, middle, high)
    return high.numpy()


def by_foolbox(model, x, labels, steps=1000):
    """Return ε_min on a grid of 1001 values, from foolbox's fast gradient attack (which clips to [0, 1])."""
    import foolbox
    import torch

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    grid = np.arange(steps + 1) / steps
    images, classes = torch.tensor(x[:, None], dtype=torch.float32), torch.tensor(labels)
    _, _, success = foolbox.attacks.LinfFastGradientAttack()(wrapped, images, classes, epsilons=grid.tolist())
    success = success.numpy()
    return np.where(success.any(axis=0), grid[success.argmax(axis=0)], np.nan)


def main() -> None:
    """Compare, and print times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="scratch-64-1-0", help="name of a file in results/networks, 64-64 dense")
    parser.add_argument("--images", type=int, default=10000)
    parser.add_argument(
        "--foolbox-images", type=int, default=1000, help="as foolbox runs the network for all 1001 values"
    )
    arguments = parser.parse_args()
    net = Network.load(NETWORKS / f"{arguments.network}.npz")
    data = datasets.load("mnist")
    x, labels = data.x_test[: arguments.images].astype(float), data.y_test[: arguments.images]

    ours, seconds = best(lambda: smallest_epsilon(net, x, labels, tolerance=1e-6))
    print(f"ours, exact: {len(x)} images in {seconds:.2f} s, {ours.proved.mean():.2%} proved")
    for method in ("bisection", "scan"):
        found, other = best(lambda method=method: smallest_epsilon(net, x, labels, method=method), repeats=2)
        gap = np.abs(found.epsilon - ours.epsilon).max()
        print(f"ours, {method}: {other / seconds:.1f} times that; largest difference {gap:.1e}")
    direction = np.sign(loss_gradient(net, x, labels))
    for clip in (False, True):
        _, whole = best(lambda clip=clip: rays.changes(net, x, direction, labels, clip=clip), repeats=2)
        print(f"all changes of class in [0, 1]{', clipped' if clip else ''}: {whole:.1f} s")
    try:
        import torch  # noqa: F401
    except ImportError:
        print("PyTorch is not installed, so it is left out")
        return
    model = to_torch(net)
    theirs, other = best(lambda: by_torch(model, x, labels), repeats=3)
    gap = np.abs(theirs - ours.epsilon).max()
    print(f"PyTorch, plain bisection to 1e-6: {other / seconds:.1f} times ours; largest difference {gap:.1e}")
    try:
        import foolbox  # noqa: F401
    except ImportError:
        print("foolbox is not installed, so it is left out")
        return
    few = slice(0, arguments.foolbox_images)
    clipped, fast = best(lambda: smallest_epsilon(net, x[few], labels[few], clip=True))
    theirs, slow = best(lambda: by_foolbox(model, x[few], labels[few]), repeats=1)
    late = theirs - clipped.epsilon
    print(
        f"foolbox, 1001 values, {len(late)} images, clipped: {slow / fast:.0f} times ours; "
        f"later than the exact one by {np.nanmin(late):.1e} to {np.nanmax(late):.1e}"
    )


if __name__ == "__main__":
    main()
