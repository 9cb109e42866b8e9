"""A substitute for a network that can only be asked for labels (Papernot et al. 2017).

The victim O gives a class for an image and nothing else: no logits, no gradient, no training data. The attacker
trains a network F of their own on a few images S and the victim's labels O(S), and then doubles S again and again by

    S ← S ∪ {x + λ sign ∇_x F_{O(x)}(x) : x in S},

F_k being the probability that F gives class k: new images where the answers of F change most with the pixels. What
is made against F is then shown to the victim, in the hope that it transfers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bea.attacks.common import in_image_blocks
from bea.attacks.loss import scaled_gradient
from bea.networks.network import Network
from bea.numerics.checks import check_count
from bea.reports.texts import outlined, wrapped


@dataclass(frozen=True, eq=False)
class SubstituteResult:
    """What came of the questions.

    Attributes
    ----------
    nets : tuple of Network, rounds + 1
        The substitute after the first training and after each round.
    images : array (n · 2^rounds, *input_shape)
        All images the victim was asked about, in the order of the questions.
    labels : int array (n · 2^rounds,)
        Its answers.
    queries : int array (rounds + 1,)
        Images the victim had been asked about when each substitute was trained.
    agreement : array (rounds,)
        Share of the new images of a round to which the substitute gave the victim's label before it saw the answers.
        Not an estimate for test images: the new images are chosen by the substitute, not drawn.
    """

    nets: tuple[Network, ...]
    images: np.ndarray
    labels: np.ndarray
    queries: np.ndarray
    agreement: np.ndarray

    def __repr__(self) -> str:
        return wrapped(outlined(self))

    @property
    def net(self) -> Network:
        """The last substitute."""
        return self.nets[-1]


def substitute(
    ask: Callable, fit: Callable, images, *, rounds: int, step: float = 0.1, input_range=(0.0, 1.0)
) -> SubstituteResult:
    """Train a network on the labels that another one gives (Papernot et al. 2017, section 4).

    Parameters
    ----------
    ask : function (m, *input_shape) → int (m,)
        The victim: the class of every image. Called once for ``images`` and once a round, and for nothing else.
    fit : function (images, labels) → Network
        Trains a substitute, from the start, on all images so far and the victim's labels.
    images : array (n, *input_shape)
        The attacker's own images, within ``input_range``; no labels are needed.
    rounds : int
        How often the images are doubled; 0 trains on the first ones only.
    step : float
        λ, not zero, in units of the pixels; a negative one leads away from the victim's class.
    input_range : pair of float
        Ends of the range of the pixels, to which the new images are clipped.

    Returns
    -------
    SubstituteResult

    Raises
    ------
    ValueError
        For images that are no batch within the range, a range, ``rounds`` or a ``step`` that make no sense, answers
        of ``ask`` of wrong shape or negative, and a network of ``fit`` that has another input shape or no such
        classes.
    TypeError
        For answers that are not integers, and a result of ``fit`` that is no ``Network``.
    """
    images = np.asarray(images, dtype=float)
    limits = np.asarray(input_range, dtype=float)
    if limits.shape != (2,) or not limits[0] < limits[1]:
        raise ValueError(f"input_range: expected (low, high) with low < high, received {input_range!r}")
    if images.ndim < 2 or not images.size:
        raise ValueError(f"images: expected a batch of shape (n, ...), received {images.shape}")
    if not ((images >= limits[0]) & (images <= limits[1])).all():
        raise ValueError(f"images: expected pixels between {limits[0]:g} and {limits[1]:g}, received others")
    check_count("rounds", rounds, 0)
    if not np.isfinite(step) or step == 0.0:
        raise ValueError(f"step: expected a number other than 0, received {step!r}")
    labels = _answers(ask, images)
    nets, queries, agreement = [_trained(fit, images, labels)], [len(images)], []
    for _ in range(rounds):
        new = np.clip(images + step * np.sign(_slope(nets[-1], images, labels)), *limits)
        given = _answers(ask, new)
        agreement.append(np.mean(nets[-1].classify(new) == given))
        images, labels = np.concatenate([images, new]), np.concatenate([labels, given])
        nets.append(_trained(fit, images, labels))
        queries.append(len(images))
    return SubstituteResult(tuple(nets), images, labels, np.array(queries), np.array(agreement))


def _slope(net, images, labels):
    """Return ``∇_x F_label`` but for a positive factor: log F_label is minus the loss."""
    return in_image_blocks(net, lambda x, label: -scaled_gradient(net, x, label)[0], images, labels)


def _answers(ask, images):
    """Return the victim's labels, checked."""
    labels = np.asarray(ask(images))
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"ask: expected integers, received {labels.dtype}")
    if labels.shape != (len(images),):
        raise ValueError(f"ask: expected one label an image, {(len(images),)}, received shape {labels.shape}")
    if labels.min() < 0:
        raise ValueError(f"ask: expected classes from 0 on, received {labels.min()}")
    return labels


def _trained(fit, images, labels):
    """Return the substitute, checked."""
    net = fit(images, labels)
    if not isinstance(net, Network):
        raise TypeError(f"fit: expected a Network, received {type(net).__name__}")
    if net.input_shape != images.shape[1:]:
        raise ValueError(f"fit: expected a network for images {images.shape[1:]}, received one for {net.input_shape}")
    if net.classes <= labels.max():
        raise ValueError(f"fit: expected more than {labels.max()} classes, received {net.classes}")
    return net
