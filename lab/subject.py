"""A network that a reader brings, with images and labels: all from files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bea.cli.images import read_classes, read_images
from bea.cli.models import read_model
from bea.networks.network import Network
from lab.parameters import ROOT

FILES = ("model", "images", "labels")  # the parameters of a chapter that name them
EVERY = 2**62  # labels: all that a file has, so that too many are refused


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, images and their labels; ``name`` says whose they are."""

    name: str
    net: Network
    x: np.ndarray
    labels: np.ndarray


def check_files(model: str, images: str, labels: str) -> None:
    """Raise unless a reader brings nothing, or a model and images, and all files are there; see ``read``."""
    if bool(model) != bool(images) or (labels and not model):
        given = ", ".join(map(repr, (model, images, labels)))
        raise ValueError(f"model, images, labels: expected a model and images, or none of the three, received {given}")
    for name, path in zip(FILES, (model, images, labels), strict=True):
        if path and not (ROOT / path).exists():
            raise FileNotFoundError(f"{name}: expected a file, absolute or from the root, found no {path!r}")


def read(model: str, images: str, labels: str, low: float, high: float, divide: float) -> Subject | None:
    """Read what a reader brings; None without a model.

    Parameters
    ----------
    model, images, labels : str
        Files as the command line takes them, their paths absolute or from the root of the repository; without labels
        the classes are the network's own.
    low, high : float
        Smallest and largest value of a pixel.
    divide : float
        What all pixels are divided by, 255 for bytes.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        For a model without images, images or labels without a model, files that cannot be read or do not fit each
        other, and if the network has no image right.
    """
    check_files(model, images, labels)
    if not model:
        return None
    net = read_model(ROOT / model, (low, high)).net
    _, x = read_images(ROOT / images, net, divide=divide)
    own = read_classes(str(ROOT / labels), EVERY, "labels") if labels else net.classify(x)
    own = net.check_classes(own, len(x), "labels")
    if not (net.classify(x) == own).any():
        raise ValueError(f"labels: expected the class that the network gives for some image, found none of {len(x)}")
    return Subject(f"{Path(model).name} on {Path(images).name}", net, x, own)
