"""One affine layer: checks of the closed form on random layers, and attacks on the weights and the image.

Studies that draw take a generator, one after the other: their order in a chapter fixes its numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from bea import Dense, Network, attack, backward_error
from bea.networks.leads import other_classes
from lab.explicit import blocks_of, vec
from lab.witnesses import keras_classes, keras_logits_perturbed

norm = np.linalg.norm


def random_layer(rng, rows: int, columns: int) -> tuple[np.ndarray, ...]:
    """Return [W, b], an input (with a one appended: what multiplies the matrix) and an output to be explained."""
    W, b = rng.standard_normal((rows, columns)), rng.standard_normal(rows)
    return np.column_stack([W, b]), np.append(rng.standard_normal(columns), 1.0), rng.standard_normal(rows)


def bias_as_column(rng, layers: int = 100) -> pd.DataFrame:
    """Compare a layer with a bias with the layer without one whose matrix and input are augmented.

    One row a random layer: ``agree`` (largest relative difference of output, 𝒜 and weight backward error),
    ``differ`` (by how much the backward error on the input is smaller for the augmented layer, relative).
    """
    rows = []
    for _ in range(layers):
        A, h, y_hat = random_layer(rng, 3, columns=rng.integers(4, 9))
        x, W = h[:-1], A[:, :-1]
        layer, augmented = Network([Dense(A)], x.shape), Network([Dense(A, bias=False)], h.shape)
        one, other = layer.linearise(x[None]), augmented.linearise(h[None])
        weights, inputs = (
            [
                backward_error(net, image[None], y_hat[None], on, relative=False).norms.max()
                for net, image in ((layer, x), (augmented, h))
            ]
            for on in ("weights", "input")
        )
        agree = (
            norm(W @ x + A[:, -1] - other.logits[0]) / norm(other.logits),
            norm(one.inputs[0] - other.inputs[0]) / norm(h),
            norm(one.jacobian - other.jacobian[..., :-1]) / norm(W),
            abs(weights[0] / weights[1] - 1),
        )
        rows.append((max(agree), 1 - inputs[1] / inputs[0]))
    return pd.DataFrame(rows, columns=["agree", "differ"])


def kronecker(rng, trials: int = 100) -> pd.DataFrame:
    """Evaluate both sides of four identities: one row a choice of matrices, a column of relative differences each."""
    rows = []
    for _ in range(trials):
        k, m, n, p, q, r = rng.integers(1, 6, size=6)
        A, B, C, D, X = (rng.standard_normal(shape) for shape in ((k, m), (m, n), (p, q), (q, r), (m, p)))
        sides = {
            "mixed product": (np.kron(A, C) @ np.kron(B, D), np.kron(A @ B, C @ D)),
            "norm": (norm(np.kron(A, B)), norm(A) * norm(B)),
            "absolute value": (np.abs(np.kron(A, B)), np.kron(np.abs(A), np.abs(B))),
            "vec": (vec(A @ X @ C), np.kron(C.T, A) @ vec(X)),
        }
        rows.append({name: norm(left - right) / norm(right) for name, (left, right) in sides.items()})
    return pd.DataFrame(rows)


def pseudo_inverse(rng, layers: int = 100) -> pd.DataFrame:
    """Compare the closed form with the pseudo-inverse of the explicit 𝒜.

    One row a layer, norm and choice of what changes: ``on``, ``relative``, ``difference`` (relative).
    """
    rows, which = [], {"weights": slice(1), "input": slice(1, 2), "both": slice(2)}
    for _ in range(layers):
        classes = rng.integers(2, 5)
        A, h, y_hat = random_layer(rng, classes, columns=rng.integers(classes + 1, 9))
        layer, x = Network([Dense(A)], (len(h) - 1,)), h[None, :-1]
        for relative in (False, True):
            sizes = (norm(A), norm(x)) if relative else (1.0, 1.0)
            explicit = blocks_of([h], [np.eye(classes)], A[:, :-1])
            blocks = [size * block for size, block in zip(sizes, explicit, strict=True)]
            for on, part in which.items():
                expected = np.linalg.pinv(np.hstack(blocks[part])) @ (y_hat - layer(x)[0])
                p = backward_error(layer, x, y_hat[None], on=on, relative=relative)
                found = [] if on == "input" else [vec(p.matrix(0, 0)) / sizes[0]]
                found += [] if on == "weights" else [p.dx[0] / sizes[1]]
                rows.append((on, relative, norm(np.concatenate(found) - expected) / norm(expected)))
    return pd.DataFrame(rows, columns=["on", "relative", "difference"])


def finite_differences(rng, steps) -> pd.DataFrame:
    """Move a random layer along a random direction and compare with 𝒜θ: one row a step, a column of errors each."""
    A, h, _ = random_layer(rng, 4, 6)
    dA, dh = rng.standard_normal(A.shape), np.append(rng.standard_normal(6), 0.0)
    errors = {"step": steps}
    for on, (E, e) in {"weights": (dA, 0 * dh), "input": (0 * dA, dh), "both": (dA, dh)}.items():
        exact = E @ h + A[:, :-1] @ e[:-1]
        errors[on] = [norm(((A + t * E) @ (h + t * e) - A @ h) / t - exact) / norm(exact) for t in steps]
    return pd.DataFrame(errors)


def autodiff(net: Network, file: Path, image) -> dict[str, float]:
    """Compare the derivatives with those that JAX takes of the Keras model: largest differences, relative."""
    import jax

    from lab.keras_models import load

    model = load(file)
    variables = [variable.value for variable in model.trainable_variables]
    derivatives = jax.jacobian(lambda *v: model.stateless_call([*v[:2]], [], v[2])[0][0], argnums=(0, 1, 2))
    lin, unit = net.linearise(image), np.eye(net.classes)
    expected = np.einsum("p,jk->jpk", lin.inputs[0][0, :-1], unit), unit, lin.jacobian[0]
    pairs = zip(("kernel", "bias", "image"), derivatives(*variables, image), expected, strict=True)
    return {name: np.abs(np.reshape(ours, b.shape) - b).max() / np.abs(b).max() for name, ours, b in pairs}


def weight_attacks(nets: Mapping[str, Network], x, labels, *, margin: float, files=None) -> pd.DataFrame:
    """Attack every image (n, …) towards every class but its own, on the weights of every network.

    One row an attack: ``net``, ``source``, ``target``, ``norm`` (‖ΔA‖/‖A‖), ``success``, ``kkt`` (violation
    of the conditions of optimality) and, with ``files`` of Keras models, ``in_keras`` (whether the target wins there).
    Images that a network takes for the target already are left out.
    """
    frames = []
    for name, net in nets.items():
        aims, rivals = other_classes(labels, net.classes).ravel(), net.classes - 1
        left = np.flatnonzero(np.repeat(net.classify(x), rivals) != aims)
        for part in np.array_split(left, len(left) // 10000 + 1):  # a perturbation is as large as all its images
            image, target = part // rivals, aims[part]
            result = attack(net, x[image], target, on="weights", margin=margin)
            frame = pd.DataFrame({
                "net": name, "source": labels[image], "target": target, "success": result.success,
                "norm": result.perturbation.relative_norms[:, 0], "kkt": result.kkt_residual,
            })  # fmt: skip
            if files is not None:
                logits = keras_logits_perturbed(files[name], net, result.perturbation)
                frame["in_keras"] = logits.argmax(axis=1) == target
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def ranked(whole: pd.DataFrame, published: Mapping) -> pd.DataFrame:
    """Return ``source``, ``target``, ``published`` norm, and its ``rank`` among ours: the share that is not larger."""
    rows = [(a, b, value) for a, row in published.items() for b, value in row.items()]
    ours = {pair: norms.to_numpy() for pair, norms in whole.groupby(["source", "target"]).norm}
    ranks = [np.mean(ours[a, b] <= value) for a, b, value in rows]
    return pd.DataFrame(rows, columns=["source", "target", "published"]).assign(rank=ranks)


def by_length(nets: Mapping[str, Network], attacks: pd.DataFrame, x, labels) -> pd.DataFrame:
    """Return one row a training length: ``epochs``, ``accuracy``, ``median`` norm and ``success`` of the attacks."""
    found = attacks.groupby("net", sort=False).agg(median=("norm", "median"), success=("success", "mean"))
    found.insert(0, "accuracy", [np.mean(nets[name].classify(x) == labels) for name in found.index])
    found.insert(0, "epochs", [int(name.rpartition("-")[2]) for name in found.index])
    return found.sort_values("epochs")


def optimised(rng, net: Network, x, target, margin: float, starts: int = 3) -> np.ndarray:
    """Return the smallest ‖ΔA‖/‖A‖ that SLSQP finds for images (n, …) and targets, (n,); infinite where it finds none.

    Its unknowns are the changes d of the logits, ΔA being d hᵀ/‖h‖².
    """
    found, options = [], {"ftol": 1e-15, "maxiter": 500}
    for y, t in zip(net(x), target, strict=True):
        D = np.delete(np.eye(len(y))[t] - np.eye(len(y)), t, axis=0)
        lead = {"type": "ineq", "fun": lambda d, D=D, y=y: D @ (y + d) - margin, "jac": lambda d, D=D: D}
        runs = [
            minimize(lambda d: d @ d, d, jac=lambda d: 2 * d, constraints=lead, options=options)
            for d in rng.standard_normal((starts, len(y)))
        ]
        feasible = [np.sqrt(run.fun) for run in runs if (D @ (y + run.x) - margin).min() > -1e-10]
        found.append(min(feasible, default=np.inf))
    return np.array(found) / norm(net.linearise(x).inputs[0], axis=1) / net.weight_norms[0]


@dataclass(frozen=True)
class Changes:
    """The smallest changes of one image, one for every class but its own."""

    target: np.ndarray  # class asked for, (n,)
    label: np.ndarray  # class that the Keras model gives then, (n,)
    images: np.ndarray  # the image, changed, (n, *input_shape)
    changes: np.ndarray  # Δx, (n, *input_shape)
    norms: np.ndarray  # ‖Δx‖/‖x‖, (n,)


def image_changes(net: Network, file: Path, image, digit: int, margin: float) -> Changes:
    """Return the smallest changes of one image."""
    target = other_classes(np.array([digit]), net.classes)[0]
    p = attack(net, np.repeat(image[None], len(target), axis=0), target, on="input", margin=margin).perturbation
    return Changes(target, keras_classes(file, p.x + p.dx, net), p.x + p.dx, p.dx, p.relative_norms[:, -1])


def weight_changes(net: Network, image, digit: int, margin: float) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the target that involves most classes, these classes (k,), and how their rows change."""
    target = other_classes(np.array([digit]), net.classes)[0]
    images = np.repeat(image[None], len(target), axis=0)
    left, right = attack(net, images, target, on="weights", margin=margin).perturbation.dA[0]
    active = np.abs(left) > 1e-12 * np.abs(left).max(axis=1, keepdims=True)
    most = active.sum(axis=1).argmax()
    rows = np.flatnonzero(active[most])
    return target[most], rows, np.outer(left[most, rows], right[most, :-1]).reshape(-1, *image.shape)


def joint_attacks(net: Network, x, labels, margin: float) -> pd.DataFrame:
    """Attack images (n, …) on weights and image together, to first order.

    One row an attack: ``success`` (the target leads by the margin), ``ahead`` (it leads at all), ``inner``
    (x·Δx), ``share`` (largest entry of the neglected product over the change that is needed).
    """
    target, x = other_classes(labels, net.classes).ravel(), np.repeat(x, net.classes - 1, axis=0)
    both, y = attack(net, x, target, on="both", margin=margin), net(x)
    (left, right), dx = both.perturbation.dA[0], both.perturbation.dx.reshape(len(x), -1)
    product = left * np.sum(right[:, :-1] * dx, axis=1, keepdims=True)
    needed = np.abs(y[np.arange(len(x)), target] - y.max(axis=1))
    return pd.DataFrame({
        "success": both.success, "ahead": net.perturbed_logits(both.perturbation).argmax(axis=1) == target,
        "inner": np.sum(x.reshape(len(x), -1) * dx, axis=1), "share": np.abs(product).max(axis=1) / needed,
    })  # fmt: skip
