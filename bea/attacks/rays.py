"""Where along a ray the class of an image changes (paper D, section 5.2.1): all such places, without a grid.

What is proved of segments of a ray, and how, is in ``bea.attacks.ray_segments``.
"""

from dataclasses import dataclass

import numpy as np

from bea.attacks.ray_segments import BLOCK_NUMBERS, NARROWEST, Rays, isolate, locate
from bea.bounds.along_ray import unknown_slopes
from bea.networks.network import Network
from bea.networks.pixels import check_clip
from bea.numerics.arrays import column
from bea.numerics.blocks import block_size, blocks, join, side_by_side
from bea.numerics.checks import check_positive

PIECES = 4  # segments of a ray to start from


@dataclass(frozen=True, eq=False)
class RayChanges:
    """All changes between one class and the others along the rays of a batch of n.

    Attributes
    ----------
    sample : int array (k,)
        Ray of each change, rising.
    epsilon : array (k,)
        Where it is, rising along each ray: of an interval no longer than the tolerance the end with the new answer.
    begins : bool array (n,)
        Whether the class leads at ε = 0.
    unresolved : int array (n,)
        Segments of the ray about which nothing could be proved; changes that they may hide are not listed.
    """

    sample: np.ndarray
    epsilon: np.ndarray
    begins: np.ndarray
    unresolved: np.ndarray

    @property
    def count(self) -> np.ndarray:
        """Number of changes along each ray, (n,)."""
        return np.bincount(self.sample, minlength=len(self.begins))

    @property
    def first(self) -> np.ndarray:
        """Place of the first change of each ray, (n,); NaN where there is none."""
        first = np.full(len(self.begins), np.nan)
        samples, places = np.unique(self.sample, return_index=True)
        first[samples] = self.epsilon[places]
        return first


def changes(net: Network, x, direction, aim, *, largest=1.0, clip=False, tolerance=1e-9) -> RayChanges:
    """Find all ε in [0, largest] at which the class ``aim`` is lost or won along ``x + ε direction``.

    Parameters
    ----------
    net : Network
        Of layers that ``slope_bounds`` knows: all of ``bea`` but those that jump.
    x : array (n, *input_shape)
        Images, pixels within ``net.input_range``.
    direction : array (n, *input_shape)
        Finite; where it is zero throughout, the ray does not move and nothing changes.
    aim : int array (n,)
        The true label, or a target.
    largest : float
        Length of the rays, in units of ε.
    clip : bool
        Whether ``x + ε direction`` is clipped to ``net.input_range``.
    tolerance : float
        Accuracy of each place, in units of ε.

    Raises
    ------
    ValueError
        For images or directions of wrong shape or range or not finite, classes of wrong shape or out of range,
        ``largest`` or ``tolerance`` that are not positive, ``clip`` for a network without range, or a network that
        jumps.
    TypeError
        For classes that are not integers.
    """
    x, direction = _check_rays(net, x, direction)
    aim = net.check_classes(aim, len(x), "aim")
    check_positive("largest", largest)
    check_positive("tolerance", tolerance)
    check_clip(net, clip)
    if unknown := unknown_slopes(net.layers):
        raise ValueError(f"net: expected layers whose slopes are known, received {unknown}: sampled_changes needs none")

    def part(block):
        rays = Rays(net, x[block], direction[block], aim[block], clip)
        samples, edges = np.arange(len(rays.x)), largest * np.arange(PIECES + 1) / PIECES
        leads = np.array([rays.lead(samples, np.full(len(samples), edge)) > 0.0 for edge in edges])
        left, right = np.repeat(edges[:-1], len(samples)), np.repeat(edges[1:], len(samples))
        found, unresolved = isolate(
            rays, np.tile(samples, PIECES), left, right, leads[:-1].ravel(), leads[1:].ravel(), NARROWEST * largest
        )
        _, after = locate(rays, *found, tolerance)
        order = np.lexsort((after, found[0]))
        sample = found[0][order] + block.start
        return sample, after[order], leads[0], np.bincount(unresolved, minlength=len(samples))

    size = block_size(net.layers, net.input_shape, numbers=BLOCK_NUMBERS)
    return RayChanges(*join(list(side_by_side(part, blocks(len(x), size)))))


def sampled_changes(net: Network, x, direction, radii) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes along ``x + r direction``, looked at in places: all classes at once, without the proof of ``changes``.

    Between two places with different classes bisection finds where the first gives way, then the next, until the second
    is reached. A class that comes and goes between two places escapes.

    Parameters
    ----------
    net, x, direction
        As in ``changes``.
    radii : array (n, places)
        Where each ray is looked at, rising along it.

    Returns
    -------
    sample, radius, seen : arrays (k,)
        Ray, place and the class from there on, by ray and then by place. Each ray begins with its first place; the
        others are accurate to 1e-12 of the step between two places.

    Raises
    ------
    ValueError
        For images or directions of wrong shape or range or not finite, or radii of wrong shape or that do not rise.
    """
    x, direction = _check_rays(net, x, direction)
    radii = np.asarray(radii, dtype=float)
    rising = radii.ndim == 2 and np.isfinite(radii).all() and (np.diff(radii, axis=1) > 0.0).all()
    if not rising or len(radii) != len(x) or not radii.shape[1]:
        expected = f"finite rising numbers of shape ({len(x)}, places)"
        raise ValueError(f"radii: expected {expected}, received shape {radii.shape}")

    size = block_size(net.layers, net.input_shape, numbers=BLOCK_NUMBERS)

    def classes(samples, at):
        parts = [(samples[part], at[part]) for part in blocks(len(at), size)]
        return np.concatenate([net.classify(x[some] + column(r, x) * direction[some]) for some, r in parts])

    n, places = radii.shape
    sample = np.repeat(np.arange(n), places)
    seen = classes(sample, radii.ravel()).reshape(n, places)
    found = [(np.arange(n), radii[:, 0], seen[:, 0])]
    ray, cell = np.nonzero(np.diff(seen, axis=1))
    start, end, before, last = radii[ray, cell], radii[ray, cell + 1], seen[ray, cell], seen[ray, cell + 1]
    while ray.size:
        low, high = start, end
        for _ in range(40):
            middle = (low + high) / 2.0
            same = classes(ray, middle) == before
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        after = classes(ray, high)
        found.append((ray, high, after))
        more = (after != last) & (high < end)  # another class lies between
        ray, start, end, before, last = ray[more], high[more], end[more], after[more], last[more]
    sample, radius, seen = map(np.concatenate, zip(*found, strict=True))
    order = np.lexsort((radius, sample))
    return sample[order], radius[order], seen[order]


def _check_rays(net, x, direction):
    """Return images and directions as arrays, or raise the one ValueError that names what is wrong."""
    x, direction = net.check_images(x), np.asarray(direction, dtype=float)
    if direction.shape != x.shape or not np.isfinite(direction).all():
        raise ValueError(f"direction: expected finite numbers of shape {x.shape}, received shape {direction.shape}")
    return x, direction
