"""Between an image and its nearest change of class: three lower bounds, two attacks, four directions."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bea import Activation, Dense, Network, lower_bound
from bea.attacks import backward_error_attack, smallest_epsilon
from bea.attacks.loss import scaled_gradient
from bea.attacks.rays import sampled_changes
from bea.numerics.arrays import image_norms

METHODS = {"published": "peck", "repaired": "lipschitz", "tight": "local"}
LENGTHS = (*METHODS, "FGS", "attack")
LARGEST = 100 / 255  # of the steps that the paper's FGS tries
AT = (0.0, 0.3, 1.0, 3.0)  # radii at which a page's own program is checked
FUNCTIONS = {"linear": lambda v: v, "relu": lambda v: np.maximum(v, 0), "tanh": np.tanh}


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What one network sees around n images; lengths are Euclidean, pixels from 0 to 1.

    Attributes
    ----------
    lengths : mapping of str to array (n,)
        Three lower bounds ("published", "repaired", "tight"), the shortest step of FGS and the converged attack; NaN
        where an attack found nothing.
    attack, gradient : arrays (n, *input_shape)
        The attack's change, and the gradient of the loss over its largest entry; in single precision, as on the page.
    directions : mapping of str to array (n, *input_shape)
        Of the attack, of FGS, of the gradient and a random one, unit length; zero where there is none.
    walks : mapping of str to list of n lists
        For every direction ``[(radius, class from there on), …]``, from radius 0.
    top : float
        Up to which radius was looked.
    """

    lengths: dict[str, np.ndarray]
    attack: np.ndarray
    gradient: np.ndarray
    directions: dict[str, np.ndarray]
    walks: dict[str, list]
    top: float

    @property
    def sound(self) -> np.ndarray:
        """The larger of the two proven bounds, (n,)."""
        return np.maximum(self.lengths["repaired"], self.lengths["tight"])

    @property
    def left(self) -> dict[str, np.ndarray]:
        """Direction → radius at which the first class is left, (n,); infinite where it is not."""
        return {
            kind: np.array([walk[1][0] if len(walk) > 1 else np.inf for walk in found])
            for kind, found in self.walks.items()
        }

    @property
    def shortest(self) -> np.ndarray:
        """The shortest change known that is misclassified, (n,); NaN where none is."""
        ends = np.fmin(self.lengths["FGS"], self.lengths["attack"])
        for radius in self.left.values():
            ends = np.fmin(ends, np.where(ends > 0, radius, 0.0))
        return np.where(np.isinf(ends), np.nan, ends)


def images_for(nets: Mapping[str, Network], x, labels, *, shown: int, most: int = 500) -> np.ndarray:
    """Return the numbers of images: the first of each class in turn that all networks get right, then one they do not.

    Parameters
    ----------
    nets : mapping of str to Network
    x : array (n, …), labels : int array (n,)
        The first ``most`` are looked at.
    shown : int
        How many numbers at most.
    """
    x, labels = x[:most], labels[:most]
    right = np.all([net.classify(x.reshape(-1, *net.input_shape)) == labels for net in nets.values()], axis=0)
    good, bad = np.flatnonzero(right), np.flatnonzero(~right)
    turn = np.array([np.sum(labels[good[:i]] == labels[k]) for i, k in enumerate(good)])
    return np.append(good[np.lexsort((labels[good], turn))][: shown - 1], bad[:1]).astype(int)


def shaped(nets, datasets, sets, numbers) -> dict[str, np.ndarray]:
    """Return network → its images, in the shape that it asks for; arguments as in ``page_data``."""
    return {
        name: datasets[sets[name]].x_test[numbers[name]].astype(float).reshape(-1, *net.input_shape)
        for name, net in nets.items()
    }


def surroundings(
    nets: Mapping[str, Network], x, labels, *, points: int, margin: float, candidates: int, seed: int
) -> dict[str, Surroundings]:
    """Measure what every network sees around the images (n, …), network by network.

    ``points`` radii are looked at on every ray, evenly spaced in the logarithm from the proven bound to the longest
    step that FGS tries; ``margin`` is what the attack's class leads by, in units of the logits; ``candidates`` classes
    are tried by the attack on a network of convolutions; ``seed`` gives the random direction.
    """
    direction = np.random.default_rng(seed).standard_normal((1, *x.shape[1:]))
    direction = _single(direction / np.linalg.norm(direction))
    with threadpool_limits(1, "blas"):  # the matrices are small, and threads would wait
        return {
            name: _around(net, x.reshape(-1, *net.input_shape), labels, direction, points, margin, candidates)
            for name, net in nets.items()
        }


def _around(net, x, labels, direction, points, margin, candidates) -> Surroundings:
    dense = all(isinstance(layer, Dense) for layer in net.weighted)
    lengths = {key: lower_bound(net, x, labels, method=method).radius for key, method in METHODS.items()}
    lengths["FGS"] = smallest_epsilon(net, x, labels, largest=LARGEST, method="bisection").l2
    attack = _single(backward_error_attack(net, x, labels, margin=margin, candidates=None if dense else candidates).dx)
    changed = net.classify(x + np.nan_to_num(attack)) != labels  # said of what was rounded
    lengths["attack"] = np.where(changed, image_norms(attack), np.nan)

    gradient = scaled_gradient(net, x, labels)[0]
    largest = np.abs(gradient).max(axis=tuple(range(1, x.ndim)), keepdims=True)
    gradient = _single(gradient / np.maximum(largest, 1e-300))
    directions = {
        "attack": _unit(attack),
        "FGS": _unit(np.sign(gradient)),
        "gradient": _unit(gradient),
        "random": _unit(np.broadcast_to(direction.reshape(1, *x.shape[1:]), x.shape)),
    }
    top = LARGEST * np.sqrt(x[0].size)
    sound = np.maximum(lengths["repaired"], lengths["tight"])
    first = np.minimum(np.where(sound > 0, sound, 1e-3), top / 2)
    radii = np.column_stack([np.zeros(len(x)), np.geomspace(first, top, points, axis=1)])
    walks = {kind: _walk(net, x, unit, radii) for kind, unit in directions.items()}
    return Surroundings(lengths, attack, gradient, directions, walks, top)


def _walk(net, x, direction, radii) -> list:
    sample, radius, seen = sampled_changes(net, x, direction, radii)
    return [
        list(zip(radius[own].tolist(), seen[own].tolist(), strict=True)) for own in sample == np.arange(len(x))[:, None]
    ]


def _single(values) -> np.ndarray:
    return values.astype("f4").astype(float)


def _unit(dx) -> np.ndarray:
    size = image_norms(dx).reshape(-1, *[1] * (dx.ndim - 1))
    return np.divide(dx, size, out=np.zeros_like(dx), where=np.isfinite(size) & (size > 0))


def shares(around: Mapping[str, Surroundings]) -> pd.DataFrame:
    """Set the proven bound beside the shortest change known.

    Returns
    -------
    DataFrame, one row a network: ``net``, ``compared`` (images with a change known), ``median`` and ``least`` of bound
    over change, ``settled`` (images where it exceeds a half) and ``above`` (one), ``other`` (images where something
    else than the attack is shortest), ``published_above`` (images whose published bound exceeds the change).
    """
    rows = []
    for name, one in around.items():
        compared = one.shortest > 0  # NaN is not
        found, attack = one.shortest[compared], np.nan_to_num(one.lengths["attack"][compared], nan=np.inf)
        ratio = one.sound[compared] / found
        rows.append({
            "net": name, "compared": len(ratio), "median": np.median(ratio) if ratio.size else 0.0,
            "least": ratio.min(initial=1.0), "settled": np.sum(ratio > 0.5), "above": np.sum(ratio > 1),
            "other": np.sum(found < 0.999 * attack),
            "published_above": np.sum(one.lengths["published"][compared] > found * (1 + 1e-9)),
        })  # fmt: skip
    return pd.DataFrame(rows)


def lengths_table(around: Mapping[str, Surroundings], numbers: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return one row an image and network: ``net``, ``image`` (from 1), the five lengths, ``sound``, ``shortest``."""
    frames = [
        pd.DataFrame(
            {"net": name, "image": numbers[name] + 1} | one.lengths | {"sound": one.sound, "shortest": one.shortest}
        )
        for name, one in around.items()
    ]
    return pd.concat(frames, ignore_index=True)


def directions_table(around: Mapping[str, Surroundings]) -> pd.DataFrame:
    """Say where the class is lost, over the images classified correctly.

    Returns
    -------
    DataFrame, one row a network and direction: ``net``, ``direction``, ``radius`` (median where it is lost; NaN if
    nowhere), ``lost`` (images), ``correct`` (images), ``top`` (up to which radius was looked).
    """
    rows = []
    for name, one in around.items():
        for kind, radius in one.left.items():
            here = radius[one.sound > 0]
            lost = here[np.isfinite(here)]
            rows.append({
                "net": name, "direction": kind, "radius": np.median(lost) if lost.size else np.nan,
                "lost": len(lost), "correct": len(here), "top": one.top,
            })  # fmt: skip
    return pd.DataFrame(rows)


def counts(around: Mapping[str, Surroundings]) -> dict[str, int]:
    """Count changes of class below the proven bound (``early`` of ``total`` rays), and FGS missing what its ray has."""
    every = around.values()
    return {
        "early": sum(np.sum(radius < one.sound * (1 - 1e-9)) for one in every for radius in one.left.values()),
        "total": sum(len(one.walks) * len(one.sound) for one in every),
        "missed": sum(np.sum(np.isnan(one.lengths["FGS"]) & np.isfinite(one.left["FGS"])) for one in every),
    }


def page_data(nets, around, titles, sets, datasets, numbers, missing) -> dict:
    """Return what the page is given: networks without convolutions with their weights, images, lengths, walks.

    ``sets`` is network → name of its dataset, ``datasets`` name → Dataset, ``numbers`` network → image numbers.
    """
    pictures = {}
    for name, one in around.items():
        data, index = datasets[sets[name]], numbers[name]
        pictures.setdefault(sets[name], {
            "shape": list(data.x_test.shape[1:]), "random": one.directions["random"][0].reshape(-1),
            "numbers": (index + 1).tolist(), "labels": data.y_test[index].tolist(), "pixels": data.x_test[index],
        })  # fmt: skip
    networks = [
        {
            "key": name, "name": titles[name], "set": sets[name], "weights": _weights(nets[name]),
            "lengths": {kind: [None if np.isnan(v) else float(v) for v in one.lengths[kind]] for kind in LENGTHS},
            "attacks": np.nan_to_num(one.attack), "gradients": one.gradient, "walks": one.walks, "top": one.top,
        }
        for name, one in around.items()
    ]  # fmt: skip
    return {"missing": missing, "sets": pictures, "networks": networks}


def _weights(net):
    if not all(isinstance(layer, Dense) for layer in net.weighted):
        return None
    kinds = [layer.name for layer in net.layers if isinstance(layer, Activation)]
    matrices = [layer.matrix for layer in net.weighted]
    return {"activations": [*kinds, "linear"], "matrices": matrices, "shapes": [list(A.shape) for A in matrices]}


def page_check(nets, around, x: Mapping[str, np.ndarray], content: Mapping) -> dict:
    """Multiply the matrices of the page (read back from its script) plainly, and compare classes with ``bea``.

    Returns ``at`` (radii), ``kinds`` (directions), ``classes`` (network → (images, directions and radii)), and how many
    of the ``compared`` classes, those not decided by rounding, are ``differing``.
    """
    differing, compared, classes = 0, 0, {}
    for entry in content["networks"]:
        name = entry["key"]
        images = x[name]
        moved = np.stack([images + r * u for u in around[name].directions.values() for r in AT])
        logits = nets[name](moved.reshape(-1, *images.shape[1:])).reshape(*moved.shape[:2], -1)
        classes[name] = logits.argmax(axis=2).T
        if entry["weights"]:
            theirs = _plainly(entry["weights"], moved.reshape(*moved.shape[:2], -1))
            clear = np.diff(np.sort(logits, axis=2)[..., -2:], axis=2)[..., 0] > 1e-9
            differing += np.sum((theirs.argmax(axis=2) != logits.argmax(axis=2)) & clear)
            compared += clear.sum()
    kinds = list(next(iter(around.values())).directions)
    return {"at": list(AT), "kinds": kinds, "classes": classes, "differing": differing, "compared": compared}


def _plainly(written, y):
    for text, shape, kind in zip(written["matrices"], written["shapes"], written["activations"], strict=True):
        A = np.frombuffer(base64.b64decode(text), "<f4").reshape(shape).astype(float)
        y = FUNCTIONS[kind](y @ A[:, :-1].T + A[:, -1])
    return y
