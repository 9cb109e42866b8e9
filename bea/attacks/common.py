"""What the attacks of papers D and R share: the change of an image, who judges it, and the checks at the door.

All of them take ``(net, x, label, *, target=None, …)`` and look for a small Δx after which ``x + Δx`` has the target's
class or, without a target, any class but the label. They differ in what small means and in how they search. An image
that has the class asked for already is a success without any change, but for the attacks whose step is given.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from bea.networks.network import Network
from bea.networks.pixels import check_clip
from bea.numerics.arrays import flat, image_norms
from bea.numerics.blocks import block_size, in_blocks
from bea.reports.pictures import draw_changes
from bea.reports.results import Report, first_few, tally


@dataclass(frozen=True, eq=False)
class InputAttackResult(Report):
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
    def images(self) -> np.ndarray:
        """The changed images x + Δx, (n, *input_shape); NaN where none was found."""
        return self.x + self.dx

    @property
    def already(self) -> np.ndarray:
        """Whether x itself has the class that was asked for and nothing changes, (n,)."""
        return self.success & (self.l2 == 0.0)

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

    def columns(self) -> dict[str, np.ndarray]:
        """Return success, class and norms of every sample, and all other arrays with an entry a sample."""
        own = {name: getattr(self, name) for name in ("success", "already", "found", "norm", "l0", "l2", "linf")}
        more = {field.name: getattr(self, field.name) for field in fields(self)}
        return own | {name: value for name, value in more.items() if isinstance(value, np.ndarray) and value.ndim == 1}

    def measured(self) -> tuple[str, np.ndarray]:
        """Return ‖Δx‖/‖x‖ of the successes."""
        return "‖Δx‖/‖x‖", np.where(self.success, self.norm, np.nan)

    def tally(self) -> str:
        """Return in words how many attacks succeed."""
        return tally(self.success, self.already)

    def draw(self, samples):
        """Return a figure of the images and their changes."""
        chosen = first_few(self.success & ~self.already) if samples is None else samples
        titles = [f"sample {i}\n{'' if self.success[i] else 'no success, '}class {self.found[i]}" for i in chosen]
        return draw_changes(self.x[chosen], self.dx[chosen], titles)


def check_aim(net: Network, x, label, target=None, clip=False) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the images, the class to reach or to get away from, and whether it is one to reach.

    Raises
    ------
    ValueError
        For images of wrong shape or range, classes of wrong shape or out of range, or ``clip`` for a network without
        range.
    TypeError
        For classes that are not integers.
    """
    x = net.check_images(x)
    label = net.check_classes(label, len(x), "label")
    check_clip(net, clip)
    if target is None:
        return x, label, False
    target = net.check_classes(target, len(x), "target")
    return x, target, True


def achieved(found, aim, targeted) -> np.ndarray:
    """Return whether these classes (n,) are what was asked for."""
    return (found == aim) == targeted


def conclude(net: Network, x, dx, aim, targeted) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the fields of an ``InputAttackResult``: the network itself says what came of the change."""
    found = net.classify(x + np.nan_to_num(dx))
    return x, dx, achieved(found, aim, targeted) & ~np.isnan(flat(dx)).any(axis=1), found


def in_image_blocks(net: Network, function: Callable, *arrays, **options):
    """Apply a function to blocks of as many images as suit the network, and join what it returns for them.

    ``options`` are those of ``bea.numerics.blocks.block_size``.
    """
    return in_blocks(function, block_size(net.layers, net.input_shape, **options), *arrays)


@dataclass(frozen=True, eq=False)
class StepResult(InputAttackResult):
    """What came of a batch of n attacks that keep every pixel within a step; see ``InputAttackResult``.

    Attributes
    ----------
    epsilon : array (n,)
        Length of the step before clipping, in units of the pixels; NaN where no step was found.
    """

    epsilon: np.ndarray
