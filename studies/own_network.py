"""A reader's own network: its model and images from files, and what is known of every image, one row each."""

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from bea import Activation, Dense, Flatten, Network, attack, backward_error, lower_bound
from bea.attacks import smallest_epsilon
from lab.subject import Subject


def as_network(model: MLPClassifier, input_shape, input_range=None) -> Network:
    """Return scikit-learn's classifier with one hidden layer of tanh as a network."""
    first, last = (
        Dense(np.column_stack([weights.T, bias])) for weights, bias in zip(model.coefs_, model.intercepts_, strict=True)
    )
    return Network((Flatten(), first, Activation("tanh"), last), input_shape, "softmax", input_range)


def small_network(units=16, seed=0) -> Subject:
    """Return a network with one hidden layer for scikit-learn's digits, 8×8 pixels between 0 and 1, and test images."""
    x, labels = load_digits(return_X_y=True)
    x, learnt = x / 16.0, len(x) // 2
    model = MLPClassifier((units,), "tanh", learning_rate_init=0.02, tol=0.01, random_state=seed)
    model.fit(x[:learnt], labels[:learnt])
    net = as_network(model, (8, 8), (0.0, 1.0))
    return Subject("a small network for scikit-learn's digits", net, x[learnt:].reshape(-1, 8, 8), labels[learnt:])


def right(subject: Subject, most: int) -> Subject:
    """Return the first images that the network has right, ``most`` at most."""
    chosen = np.flatnonzero(subject.net.classify(subject.x) == subject.labels)[:most]
    return replace(subject, x=subject.x[chosen], labels=subject.labels[chosen])


def rivals(net: Network, x) -> np.ndarray:
    """Return the class with the second largest logit of every image, (n,)."""
    return np.argsort(net(x), axis=1)[:, -2]


def changes(subject: Subject, *, margin: float) -> dict:
    """Return the smallest changes to the rival that are found: of the input and of all weights, an attack each."""
    target = rivals(subject.net, subject.x)
    return {
        on: attack(subject.net, subject.x, target, on=on, method="converged", margin=margin)
        for on in ("input", "weights")
    }


def distances(subject: Subject, found: dict, *, method: str, longest: float) -> pd.DataFrame:
    """Return one row an image: how little must change, found or proven.

    Columns: ``image`` (its number), ``label``, ``rival``; Euclidean lengths in units of the pixels ``proven`` (no
    shorter change of the image alters its class), ``attack`` (one that does, NaN if none was found) and ``ray`` (along
    the sign of the gradient); ``epsilon``, largest change of a pixel along that ray; relative norms ``weights`` (of all
    weights, for the rival to win) and ``half`` (backward error of logits rounded to half precision).
    """
    net, x, labels = subject.net, subject.x, subject.labels
    along = smallest_epsilon(net, x, labels, largest=longest)
    rounded = net(x).astype(np.float16).astype(float)
    return pd.DataFrame(
        {
            "image": np.arange(len(x)),
            "label": labels,
            "rival": found["input"].target,
            "proven": lower_bound(net, x, labels, method=method).radius,
            "attack": np.where(found["input"].success, found["input"].perturbation.norms[:, -1], np.nan),
            "ray": along.l2,
            "epsilon": along.epsilon,
            "weights": np.where(found["weights"].success, np.sqrt(found["weights"].objective), np.nan),
            "half": np.sqrt(backward_error(net, x, rounded, on="weights").objective),
        }
    )


def searches(subject: Subject, *, margin: float, starts: int) -> pd.DataFrame:
    """Attack every image towards its rival, to first order, converged, and with several searches.

    Columns, a row an image and what may change: ``on``, ``image``, ``label``, ``rival``; the relative norms (root of
    the objective (5)) ``first``, ``converged`` and ``several``, NaN where the rival does not win by the margin; the
    ``residual`` of the conditions of optimality, of the converged attack.
    """
    net, x, target = subject.net, subject.x, rivals(subject.net, subject.x)
    ways = {"first": {}, "converged": {"method": "converged"}, "several": {"method": "converged", "starts": starts}}
    frames = []
    for on in ("input", "weights"):
        found = {name: attack(net, x, target, on=on, margin=margin, **chosen) for name, chosen in ways.items()}
        norms = {name: np.where(run.success, np.sqrt(run.objective), np.nan) for name, run in found.items()}
        known = {"on": on, "image": np.arange(len(x)), "label": subject.labels, "rival": target}
        frames.append(pd.DataFrame(known | norms | {"residual": found["converged"].kkt_residual}))
    return pd.concat(frames, ignore_index=True)
