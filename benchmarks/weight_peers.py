"""What a user would write to find the smallest change of the weights, beside the attack by backward error.

There is no library for it: attacks on weights that others publish flip bits of stored numbers. So these are three
optimisers on problem (5), for each image the class that is nearest to first order: Adam on ½‖z‖² + c max(0, m - lead),
z being all changes over ‖A_i‖, with eight weights c by bisection; L-BFGS-B on the augmented Lagrangian of the nine
constraints; SLSQP on the problem as this package reduces it. ``make benchmarks`` runs it; it writes
``lab/peers/weights.csv``: sizes √(eq. 5), infinite for a failure, and milliseconds of one core.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize

from bea import Dense, Network, attack, lower_bound
from bea.attacks.by_backward_error import nearest_classes
from bea.backward.closed_form import changing
from bea.backward.reduction import reduce
from bea.networks.leads import lead_over_others
from benchmarks.shared import MARGIN, NETWORKS, OUT
from lab import datasets

NAMES = ("one_layer-0", "tanh-0", "relu-0")
STEPS, WEIGHTS = 300, 8  # of Adam: steps for a weight of the penalty, and weights
CURVES = {"tanh": torch.tanh, "relu": torch.relu}


class Changed:
    """A dense network as a function of the changes z of all its weights, for n images (n, …) at once."""

    def __init__(self, net: Network, x, target):
        self.matrices = [torch.tensor(layer.matrix) for layer in net.weighted]
        self.curves = [CURVES[layer.name] for layer in net.layers if hasattr(layer, "steepest")]
        self.x, self.target = torch.tensor(x.reshape(len(x), -1)), torch.tensor(target)
        self.sizes = [matrix.numel() for matrix in self.matrices]

    def leads(self, z):
        """Return by how much the targets lead every other class, (n, classes - 1), z being (n, weights)."""
        h = self.x
        for k, (matrix, part) in enumerate(zip(self.matrices, z.split(self.sizes, dim=1), strict=True)):
            own = matrix + torch.linalg.norm(matrix) * part.reshape(-1, *matrix.shape)
            h = torch.einsum("nij,nj->ni", own[:, :, :-1], h) + own[:, :, -1]
            h = self.curves[k](h) if k < len(self.curves) else h
        goal = h.gather(1, self.target[:, None])
        return (goal - h)[torch.arange(h.shape[1]) != self.target[:, None]].reshape(len(h), -1)


def adam(net, x, target):
    """Descend with a penalty; return the shortest success met."""
    problem, n = Changed(net, x, target), len(x)
    best, low, high = torch.full((n,), torch.inf, dtype=float), torch.full((n,), -4.0), torch.full((n,), 2.0)
    for _ in range(WEIGHTS):
        middle, won = (low + high) / 2, torch.zeros(n, dtype=bool)
        z = torch.zeros(n, sum(problem.sizes), dtype=float, requires_grad=True)
        optimiser = torch.optim.Adam([z], lr=3e-5)
        pace = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS, 1e-7)
        for _ in range(STEPS):
            short, size = MARGIN - problem.leads(z).amin(1), z.square().sum(1)
            there = (short <= 0.0).detach()
            best = torch.where(there, torch.minimum(best, size.detach().sqrt()), best)
            won |= there
            optimiser.zero_grad()
            (0.5 * size + 10.0**middle * short.clamp(min=0.0)).sum().backward()
            optimiser.step()
            pace.step()
        low, high = torch.where(won, low, middle), torch.where(won, middle, high)
    return best.numpy()


def augmented(net, x, target, rounds=10):
    """Minimise augmented Lagrangians one after the other, image by image."""
    sizes = []
    for i in range(len(x)):
        problem = Changed(net, x[i : i + 1], target[i : i + 1])
        z, multipliers, weight = np.zeros(sum(problem.sizes)), torch.zeros(net.classes - 1, dtype=float), 1e-4

        def lagrangian(z, problem=problem):
            z = torch.tensor(z[None], requires_grad=True)
            pull = (multipliers + weight * (2.0 * MARGIN - problem.leads(z)[0])).clamp(min=0.0)  # noqa: B023
            value = 0.5 * z.square().sum() + 0.5 * pull.square().sum() / weight  # noqa: B023
            value.backward()
            return value.item(), z.grad[0].numpy()

        options, best = {"maxiter": 200, "ftol": 1e-15, "gtol": 1e-9}, np.inf
        for _ in range(rounds):
            z = minimize(lagrangian, z, jac=True, method="L-BFGS-B", options=options).x
            leads = problem.leads(torch.tensor(z[None]))[0].detach()
            if leads.min() >= MARGIN:
                best = min(best, np.linalg.norm(z))
            multipliers, weight = (multipliers + weight * (2.0 * MARGIN - leads)).clamp(min=0.0), 3.0 * weight
        sizes.append(best)
    return np.array(sizes)


def slsqp(net, x, target):
    """Let SLSQP solve the reduced problem, image by image, from zero."""
    reduction, sizes = reduce(net, x, changing(net, "weights"), len(x)), []
    rows = lead_over_others(np.eye(net.classes)[None], target)
    for i in range(len(x)):
        tail, own = reduction.tail.take(np.array([i])), rows[i : i + 1]

        def lead(tau, tail=tail, own=own):
            return own[0] @ tail.forward(tau[None])[0][0] - MARGIN

        def slope(tau, tail=tail, own=own):
            return tail.pull_back(own, tail.forward(tau[None])[1])[0]

        found = minimize(
            lambda tau: (0.5 * tau @ tau, tau), np.full(sum(tail.sizes), 1e-9), jac=True, method="SLSQP",
            constraints={"type": "ineq", "fun": lead, "jac": slope}, options={"maxiter": 300, "ftol": 1e-14},
        )  # fmt: skip
        sizes.append(np.linalg.norm(found.x) if lead(found.x).min() > -MARGIN else np.inf)
    return np.array(sizes)


def ours(net, x, target, method):
    """Return the sizes of our attacks."""
    found = attack(net, x, target, "weights", method=method, margin=MARGIN)
    return np.where(found.success, np.sqrt(found.objective), np.inf)


ATTACKS = {
    "backward error": lambda net, x, target: ours(net, x, target, "converged"),
    "first order": lambda net, x, target: ours(net, x, target, "first-order"),
    "Adam, penalty": adam,
    "L-BFGS, augmented Lagrangian": augmented,
    "SLSQP, reduced": slsqp,
    "proved": lambda net, x, target: lower_bound(net, x, on="weights", rival=target, method="local").radius,
}


def main() -> None:
    """Compare everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--networks", type=Path, default=NETWORKS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, rows = datasets.load("mnist"), []
    for name in options.names:
        net = Network.load(options.networks / f"{name}.npz")
        assert all(isinstance(layer, Dense) for layer in net.weighted)
        right = np.flatnonzero(net.classify(data.x_test.astype(float)) == data.y_test)[: options.images]
        x, label = data.x_test[right].astype(float), data.y_test[right].astype(int)
        target = nearest_classes(net, x, label)[:, 0]
        for attack_name, run in ATTACKS.items():
            start = time.process_time()
            size = run(net, x, target)
            used = 1e3 * (time.process_time() - start) / len(x)
            frame = {"net": name, "image": right, "target": target, "attack": attack_name, "size": size, "ms": used}
            rows.append(pd.DataFrame(frame))
            print(
                f"{name} {attack_name}: median {np.median(size):.6f}, {np.isinf(size).sum()} fail, {used:.3g} ms",
                flush=True,
            )
    options.out.mkdir(exist_ok=True)
    pd.concat(rows).to_csv(options.out / "weights.csv", index=False, float_format="%.7g")


if __name__ == "__main__":
    main()
