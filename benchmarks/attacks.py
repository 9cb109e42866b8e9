"""The attacks of papers D and R beside foolbox's, on the same network, images and targets.

Run with ``.venv/bin/python -m benchmarks.attacks`` after ``make book``. It needs foolbox and torch, which the project
does not install: ``.venv/bin/pip install foolbox torch``. Without them nothing is compared, and it says so; likewise
for the greedy attack without ``adversarial-robustness-toolbox``. All times are wall clock on all cores, in one run.
PyTorch works in single precision, as its users do; ours in double. A success is what each library says of its own
result (of the greedy attack, what our network says); an attack that failed counts as infinitely long. Where the
loss is below 1e-7 its gradient loses its direction in single precision, and foolbox's FGSM some successes with it; in
double precision the successes on relu-0 were the same.

The converged backward-error attack is compared with DDN in ``benchmarks.two_layer``, the smallest step of FGSM with
foolbox and PyTorch in ``benchmarks.smallest_epsilon``. Box-constrained L-BFGS is no longer in foolbox 3, and not in
torchattacks or adversarial-robustness-toolbox; foolbox 2.4 had it, for Python before 3.10. The tests compare ours with
SciPy on matrices written out.
"""

import argparse

import numpy as np

from bea import Network
from bea.attacks.carlini import carlini_wagner
from bea.attacks.gradient_signs import fgsm
from bea.attacks.projected_gradient import pgd
from bea.attacks.saliency import saliency_attack
from bea.numerics.arrays import image_norms
from benchmarks.shared import NETWORKS, timed, to_torch
from lab import datasets

EPSILONS = (0.02, 0.05, 0.1, 0.2)


def to_foolbox(net):
    """Return a dense network as a foolbox model of images with pixels in [0, 1]."""
    import foolbox

    return foolbox.PyTorchModel(to_torch(net), bounds=(0, 1), device="cpu")


def by_foolbox(attack, model, x, label, target=None, epsilon=None) -> tuple[np.ndarray, np.ndarray]:
    """Return Δx and success of a foolbox attack, towards the target or away from the label."""
    import foolbox
    import torch

    images = torch.tensor(x, dtype=torch.float32)
    if target is None:
        criterion = foolbox.criteria.Misclassification(torch.tensor(label))
    else:
        criterion = foolbox.criteria.TargetedMisclassification(torch.tensor(target))
    _, found, won = attack(model, images, criterion, epsilons=epsilon)
    return (found - images).numpy().astype(float), won.numpy()


def report(name, ours, fast, theirs, slow) -> None:
    """Print success, median norm and time of both."""
    (dx, won), n = theirs, len(ours.x)
    own = np.where(ours.success, ours.l2, np.inf)
    other = np.where(won, image_norms(dx), np.inf)
    both = ours.success & won & (other > 0.0)
    ratio = own[both] / other[both]
    middle, longer = (np.median(ratio), np.mean(ratio > 1.001)) if both.any() else (np.nan, np.nan)
    print(
        f"{name}: success {ours.success.mean():.2%}, theirs {won.mean():.2%}, one without the other on "
        f"{np.sum(ours.success != won)} of {n}; median norm {np.median(own):.4f}, theirs {np.median(other):.4f}; "
        f"ours / theirs median {middle:.4f}, over 0.1 % longer on {longer:.1%}; time {1e3 * fast / n:.2f} ms an image, "
        f"theirs {slow / fast:.1f} times that",
        flush=True,
    )


def against_fast_gradient(model, net, x, label, target) -> None:
    """FGSM, untargeted: one step, so the two may differ by rounding only."""
    from foolbox.attacks import LinfFastGradientAttack

    for epsilon in EPSILONS:
        ours, fast = timed(lambda epsilon=epsilon: fgsm(net, x, label, epsilon, clip=True))
        attack = LinfFastGradientAttack()
        theirs, slow = timed(lambda epsilon=epsilon, attack=attack: by_foolbox(attack, model, x, label, None, epsilon))
        report(f"fgsm, ε = {epsilon}", ours, fast, theirs, slow)


def against_basic_iterative(model, net, x, label, target) -> None:
    """PGD from x itself, with the same steps; ours stops at the first success, theirs makes all steps."""
    from foolbox.attacks import LinfBasicIterativeAttack

    steps = 40
    for epsilon in EPSILONS:
        step = 2.5 * epsilon / steps
        attack = LinfBasicIterativeAttack(abs_stepsize=step, steps=steps)
        for aim, name in ((None, "untargeted"), (target, "targeted")):
            ours, fast = timed(
                lambda epsilon=epsilon, aim=aim, step=step: pgd(
                    net, x, label, epsilon, target=aim, steps=steps, step=step, clip=True
                )
            )
            theirs, slow = timed(
                lambda epsilon=epsilon, aim=aim, attack=attack: by_foolbox(attack, model, x, label, aim, epsilon)
            )
            report(f"pgd, {name}, ε = {epsilon}", ours, fast, theirs, slow)


def against_carlini_wagner(model, net, x, label, target, steps) -> None:
    """Carlini and Wagner's attack; theirs with tanh and Adam, nine weights from 0.001 and a step of 0.01."""
    from foolbox.attacks import L2CarliniWagnerAttack

    attack = L2CarliniWagnerAttack(binary_search_steps=9, steps=steps, stepsize=0.01)
    for aim, name in ((target, "targeted"), (None, "untargeted")):
        ours, fast = timed(lambda aim=aim: carlini_wagner(net, x, label, target=aim, clip=True))
        theirs, slow = timed(lambda aim=aim: by_foolbox(attack, model, x, label, aim))
        report(f"carlini_wagner, {name}, theirs with {steps} steps", ours, fast, theirs, slow)


def against_saliency_map(model, net, x, label, target) -> None:
    """Greedy, as few pixels as possible, targeted; theirs takes two pixels a time by the target's gradient, upwards."""
    try:
        from art.attacks.evasion import SaliencyMapMethod
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        print(f"saliency_attack not compared: {error}")
        return
    import torch

    options = {"input_shape": net.input_shape, "nb_classes": net.classes, "clip_values": (0, 1), "device_type": "cpu"}
    wrapped = PyTorchClassifier(to_torch(net), loss=torch.nn.CrossEntropyLoss(), **options)
    attack = SaliencyMapMethod(wrapped, theta=1.0, gamma=1.0, batch_size=256, verbose=False)
    images = x.astype(np.float32)
    theirs, slow = timed(lambda: attack.generate(images, target))
    won = net.classify(theirs.astype(float)) == target
    changed = np.where(won, np.count_nonzero((theirs != images).reshape(len(x), -1), axis=1), np.inf)
    for rule, take_back in (("lead", True), ("lead", False), ("printed", False)):
        ours, fast = timed(
            lambda rule=rule, take_back=take_back: saliency_attack(
                net, x, label, target=target, rule=rule, take_back=take_back
            )
        )
        pixels = np.where(ours.success, ours.l0, np.inf)
        both = np.isfinite(pixels) & np.isfinite(changed)
        print(
            f"saliency_attack, rule {rule!r}{', needless pixels put back' if take_back else ''}: success "
            f"{ours.success.mean():.2%}, theirs {won.mean():.2%}; median pixels {np.median(pixels):g}, theirs "
            f"{np.median(changed):g}; mean {pixels[both].mean():.2f}, theirs {changed[both].mean():.2f}; more than "
            f"theirs on {np.mean(pixels > changed):.1%}; time {1e3 * fast / len(x):.2f} ms an image, theirs "
            f"{slow / fast:.1f} times that",
            flush=True,
        )


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="tanh-0", help="name of a file in results/networks, dense, tanh or ReLU")
    parser.add_argument("--images", type=int, default=1000, help="correctly classified test images")
    parser.add_argument("--steps", type=int, default=1000, help="of foolbox's Carlini-Wagner attack, for each weight")
    arguments = parser.parse_args()
    try:
        import foolbox  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        print(f"nothing compared: {error}")
        return
    net, data = Network.load(NETWORKS / f"{arguments.network}.npz"), datasets.load("mnist")
    right = np.flatnonzero(net.classify(data.x_test.astype(float)) == data.y_test)[: arguments.images]
    x, label = data.x_test[right].astype(float), data.y_test[right].astype(int)
    target = (label + np.random.default_rng(0).integers(1, net.classes, len(label))) % net.classes
    print(f"{arguments.network}, {len(x)} images, targets drawn at random")
    pair = to_foolbox(net), net, x, label, target
    against_fast_gradient(*pair)
    against_basic_iterative(*pair)
    against_saliency_map(*pair)
    against_carlini_wagner(*pair, arguments.steps)


if __name__ == "__main__":
    main()
