"""What the attacks of papers D and R share: the change of an image, who judges it, and the checks at the door.

All of them take ``(net, x, label, *, target=None, …)`` and look for a small Δx after which ``x + Δx`` has the target's
class or, without a target, any class but the label. They differ in what small means and in how they search.
"""

from dataclasses import dataclass

import numpy as np

from bea.blocks import block_size, blocks, side_by_side
from bea.layers import flat
from bea.network import Network
from bea.perturbation import image_norms


@dataclass(frozen=True, eq=False)
class InputAttackResult:
    """What came of a batch of n attacks.

    Attributes
    ----------
    x : array (n, *input_shape)
        The images before the attack.
    dx : array (n, *input_shape)
        Change of the input, in units of the pixels; NaN where the attack found none to offer.
    success : bool array (n,)
        Whether the network itself gives ``x + dx`` the class that was asked for: the target, or any but the label.
    found : int array (n,)
        Class of ``x + dx``; that of x where ``dx`` is NaN.
    """

    x: np.ndarray
    dx: np.ndarray
    success: np.ndarray
    found: np.ndarray

    @property
    def norm(self) -> np.ndarray:
        """‖Δx‖/‖x‖ (Euclidean), as paper B reports (section 4.2), (n,); infinite where a black image changes."""
        size = self.l2
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(size == 0.0, 0.0, size / image_norms(self.x))

    @property
    def l0(self) -> np.ndarray:
        """Number of pixels that change, (n,); NaN where ``dx`` is."""
        pixels = flat(self.dx)
        return np.where(np.isnan(pixels).any(axis=1), np.nan, np.count_nonzero(pixels, axis=1))

    @property
    def l2(self) -> np.ndarray:
        """‖Δx‖, Euclidean, (n,)."""
        return image_norms(self.dx)

    @property
    def linf(self) -> np.ndarray:
        """Largest change of a pixel, (n,)."""
        return np.abs(flat(self.dx)).max(axis=1)


def check_aim(net: Network, x, label, target=None, clip=False) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the images, the class to reach or to get away from, and whether it is one to reach.

    Raises
    ------
    ValueError
        For images of wrong shape or range, classes of wrong shape or out of range, a target that is the label, or
        ``clip`` for a network without range.
    TypeError
        For classes that are not integers.
    """
    x = net.check_images(x)
    label = net.check_classes(label, len(x), "label")
    check_clip(net, clip)
    if target is None:
        return x, label, False
    target = net.check_classes(target, len(x), "target")
    if (target == label).any():
        first = int(np.argmax(target == label))
        raise ValueError(
            f"target: expected a class other than the label, received {target[first]} for both of image {first}"
        )
    return x, target, True


def achieved(found, aim, targeted) -> np.ndarray:
    """Return whether these classes (n,) are what was asked for."""
    return (found == aim) == targeted


def differences(logits, aim) -> np.ndarray:
    """Return the logit of the aim less each one, (n, classes)."""
    return np.take_along_axis(logits, aim[:, None], 1) - logits


def lead(logits, aim) -> np.ndarray:
    """Return the logit of the aim less the largest other one, (n,)."""
    own = np.arange(logits.shape[1]) == aim[:, None]
    return np.where(own, np.inf, differences(logits, aim)).min(axis=1)


def ahead(logits, aim, targeted) -> np.ndarray:
    """Return by how much the target's logit, or the largest one but the label's, exceeds all others, (n,)."""
    return lead(logits, aim) if targeted else -lead(logits, aim)


def into_range(net, x, dx) -> np.ndarray:
    """Return the change that takes x to where ``x + dx`` is nearest within ``net.input_range``, to the last bit.

    NaN stays NaN.
    """
    low, high = net.input_range
    dx = np.clip(x + dx, low, high) - x
    outside = (x + dx < low) | (x + dx > high)  # by rounding of the difference
    return np.where(outside, np.nextafter(dx, 0.0), dx)


def conclude(net: Network, x, dx, aim, targeted) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the fields of an ``InputAttackResult``: the network itself says what came of the change."""
    found = net.classify(x + np.nan_to_num(dx))
    return x, dx, achieved(found, aim, targeted) & ~np.isnan(flat(dx)).any(axis=1), found


def in_blocks(net: Network, function, *arrays, **options) -> list[np.ndarray]:
    """Apply a function to blocks of samples side by side, and join every array that comes back.

    ``options`` are those of ``bea.blocks.block_size``.
    """
    parts = blocks(len(arrays[0]), block_size(net.layers, net.input_shape, **options))
    done = side_by_side(lambda part: function(*(array[part] for array in arrays)), parts)
    return [np.concatenate(part) for part in zip(*done, strict=True)]


def column(values, like) -> np.ndarray:
    """Reshape one number a sample, or a single one, so that it multiplies a batch of arrays."""
    return np.reshape(values, (-1,) + (1,) * (like.ndim - 1))


def check_positive(name, value) -> None:
    """Raise ``ValueError`` unless the value is a single number, positive and finite."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not 0.0 < value < np.inf:
        raise ValueError(f"{name}: expected a positive number, received {value!r}")


def check_count(name, value, least=1) -> None:
    """Raise ``ValueError`` unless the value is a whole number of at least ``least``."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number from {least} on, received {value!r}")


def check_each(name, value, n: int) -> np.ndarray:
    """Return one positive number for each of n samples, from such an array or a single number; or ``ValueError``."""
    value = np.asarray(value, dtype=float)
    if value.shape not in ((), (n,)):
        raise ValueError(f"{name}: expected a number or shape {(n,)}, received shape {value.shape}")
    bad = ~(np.isfinite(value) & (value > 0.0))
    if bad.any():
        raise ValueError(f"{name}: expected positive numbers, received {value[bad].flat[0]}")
    return np.broadcast_to(value, n)


def check_clip(net: Network, clip) -> None:
    """Raise ``ValueError`` if there is no range to clip to."""
    if clip and net.input_range is None:
        raise ValueError("clip: expected a network with an input_range to clip to, received one without")
