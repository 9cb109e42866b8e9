"""What every hidden unit of a dense network can reach while the input stays in a ball: step D1 of the tight bound."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bea.bounds.minorants import ROUNDING, band, chord_slope, slope_at
from bea.networks.activations import BELL_SHAPED
from bea.networks.layers import Activation, Dense, Flatten
from bea.networks.network import Network


@dataclass(frozen=True, eq=False)
class Stage:
    """A hidden layer ``h -> f(W h + b)`` with its activation f."""

    kernel: np.ndarray
    bias: np.ndarray
    activation: Activation


def hidden_stages(net: Network, start=0) -> list[Stage]:
    """Return the hidden layers of a network that is of dense layers from ``start`` on, or raise ``ValueError``."""
    stages, kernel = [], None
    for number, layer in enumerate(net.layers[start:], start):
        if isinstance(layer, Dense):
            if kernel is not None:
                stages.append(Stage(*kernel, Activation("linear")))
            kernel = layer.kernel, layer.matrix[:, -1] if layer.bias else np.zeros(len(layer.matrix))
        elif isinstance(layer, Activation) and kernel is not None and layer.name in BELL_SHAPED:
            stages.append(Stage(*kernel, layer))
            kernel = None
        elif not isinstance(layer, Flatten):
            raise ValueError(
                f"net: expected dense layers, each with one activation at most, for the method 'local', "
                f"received a {type(layer).__name__} as layers[{number}]"
            )
    return stages


@dataclass(frozen=True, eq=False)
class Ball:
    """A network around images, the change δ of the image measured in an orthonormal basis of the rows of A_1.

    Attributes
    ----------
    stages : list of Stage
    rows : array (rows of A_1, k)
        A_1 in that basis. For ``inputs_in_ball`` every image may have its own, (n, rows of A_1, k).
    added : function, optional
        For ``inputs_in_ball``: takes the inputs known so far and returns a number (n,), by which as many new numbers of
        the ball as there are next inputs move these, one each; or None for no new ones.
    """

    stages: list[Stage]
    rows: np.ndarray
    added: Callable | None = None

    @classmethod
    def of(cls, stages):
        """Return that of a network with these hidden layers."""
        return cls(stages, np.linalg.qr(stages[0].kernel.T)[1].T)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is known of the inputs v of one activation in a ball.

    They are between ``low`` and ``high``, and ``v = centre + linear z + W ε`` with |ε| ≤ ``box``. W is the kernel in
    front of the activation; for the first layer there is no ε.
    """

    low: np.ndarray
    high: np.ndarray
    centre: np.ndarray
    linear: np.ndarray
    box: np.ndarray | None


def inputs_in_ball(ball: Ball, v, r, within=None) -> list[Inputs]:
    """Return what is known of the inputs of every activation where ‖δ‖ ≤ r (n,); v (n, rows) are the first ones.

    Two affine forms are carried along, with the slopes of chords of the ranges and with the slopes at the image.
    The range is what both leave; the first form is returned. With ``within``, a range (low, high) for each activation,
    arrays (n, units), it is known of those δ only whose inputs are in these ranges, too; a range with ends the wrong
    way round says that there is none.
    """
    norms = np.linalg.norm(ball.rows, axis=-1)
    low, high = _widened(v, v, norms * r[:, None])
    if within is not None:
        low, high = np.maximum(low, within[0][0]), np.minimum(high, within[0][1])
    found = [Inputs(low, high, v, ball.rows, None)]
    forms, image = [(v, ball.rows, np.zeros_like(v))] * 2, v
    for before, stage in zip(ball.stages, ball.stages[1:], strict=False):
        slopes = chord_slope(before.activation, low, high), slope_at(before.activation, image)
        image = before.activation.forward(image) @ stage.kernel.T + stage.bias
        own = None if ball.added is None else ball.added(found)
        boxes, passed = [], []
        for (centre, linear, spread), slope in zip(forms, slopes, strict=True):
            offset, half = band(before.activation, low, high, slope)
            box = np.abs(slope) * spread + half
            centre = (slope * centre + offset) @ stage.kernel.T + stage.bias
            linear = stage.kernel @ (slope[:, :, None] * linear)
            if own is not None:
                linear = np.concatenate([linear, own[:, None, None] * np.eye(len(stage.kernel))], axis=2)
            passed.append((centre, linear, box @ np.abs(stage.kernel).T))
            boxes.append(box)
        forms = passed
        sides = [_widened(c, c, np.sqrt(np.vecdot(B, B)) * r[:, None] + spread) for c, B, spread in forms]
        low = np.maximum(*(side[0] for side in sides))
        high = np.minimum(*(side[1] for side in sides))
        if within is not None:
            low, high = np.maximum(low, within[len(found)][0]), np.minimum(high, within[len(found)][1])
        found.append(Inputs(low, high, *forms[0][:2], boxes[0]))
    return found


def surely_lead(stage: Stage, known: Inputs, d, constant, r, loss=0.0) -> np.ndarray:
    """Return where ``constant + d·h - loss t`` is positive in the ball, by D1 alone, (n, classes).

    h is what the stage, the last one, makes of the inputs known; d (n, classes, its units), constant (n, classes). The
    number t, with ``loss`` (n, 1), is one more direction of the ball.
    """
    slope = chord_slope(stage.activation, known.low, known.high)
    offset, half = band(stage.activation, known.low, known.high, slope)
    rows = d * slope[:, None]
    pieces = [d * (slope * known.centre + offset)[:, None], -np.abs(d) * half[:, None]]
    if known.box is not None:
        pieces.append(-np.abs(rows @ stage.kernel) * known.box[:, None])
    linear = rows @ known.linear
    reach = np.sqrt(np.vecdot(linear, linear) + loss**2) * r[:, None]
    size = np.abs(constant) + reach + sum(np.abs(piece).sum(axis=2) for piece in pieces)
    return constant + sum(piece.sum(axis=2) for piece in pieces) - reach > ROUNDING * size


def _widened(low, high, half):
    half = half * (1.0 + 1e-9) + ROUNDING * (np.abs(low) + half)
    return low - half, high + half
