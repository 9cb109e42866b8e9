"""A reader's own network: its model and images from files, and what is known of every image, one row each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from bea import Activation, Dense, Flatten, Network, attack, backward_error, lower_bound
from bea.attacks import smallest_epsilon
from bea.cli.images import read_classes, read_images
from bea.cli.models import read_model
from lab.parameters import ROOT


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, images that it has right, and their labels; ``name`` says whose they are."""

    name: str
    net: Network
    x: np.ndarray
    labels: np.ndarray


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


def opened(model: str, images: str, labels: str, *, low: float, high: float, divide: float, first: int) -> Subject:
    """Read what a reader brings; without a model, ``small_network``. Images that the network has wrong are left out.

    Parameters
    ----------
    model, images, labels : str
        Files as the command line takes them, their paths absolute or from the root of the repository; without labels
        the classes are the network's own.
    low, high : float
        Smallest and largest value of a pixel.
    divide : float
        What all pixels are divided by, 255 for bytes.
    first : int
        How many images, at most.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        For a model without images or images without a model, for files that cannot be read, and if no image is right.
    """
    if bool(model) != bool(images):
        raise ValueError(f"model, images: expected both or none, received {model!r} and {images!r}")
    if not model:
        found = small_network()
    else:
        net = read_model(ROOT / model, (low, high)).net
        _, x = read_images(ROOT / images, net, divide=divide)
        own = read_classes(str(ROOT / labels), len(x), "labels") if labels else net.classify(x)
        found = Subject(f"{Path(model).name} on {Path(images).name}", net, x, net.check_classes(own, len(x), "labels"))
    right = np.flatnonzero(found.net.classify(found.x) == found.labels)[:first]
    if not len(right):
        raise ValueError(
            f"labels: expected the class that the network gives for some image, found none of {len(found.x)}"
        )
    return Subject(found.name, found.net, found.x[right], found.labels[right])


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
