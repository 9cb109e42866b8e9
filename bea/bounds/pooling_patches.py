"""Two blocks of convolution and max pooling as matrices of patches, and what they do at images."""

import math
from dataclasses import dataclass

import numpy as np

from bea.bounds.maxima import centre_of_chords, deviations_basis, shares_in_ball
from bea.bounds.pooling_front import Front, composed, window_mean
from bea.networks.windows import Convolution


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of one pooling, each as what its entries are of a patch of the block's input.

    Attributes
    ----------
    entries : array (filters, m, patch)
    apart : array (filters, m - 1, patch)
        The entries less their mean, in an orthonormal basis.
    patch : array (positions, patch) of int
        Which numbers of the input a position sees; their count for a pixel of the padding.
    pairs : array (filters, m, m)
        Length of the difference of two rows of ``entries``.
    """

    entries: np.ndarray
    apart: np.ndarray
    patch: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(cls, convolution, pool, shape):
        """Return those of a block whose input has this shape."""
        m, filters = math.prod(pool.size), len(convolution.kernel)
        entries = whole_windows(convolution, pool).kernel.reshape(m, filters, -1).swapaxes(0, 1)
        apart = deviations_basis(m) @ entries
        pairs = np.linalg.norm(entries[:, :, None] - entries[:, None], axis=3)
        return cls(entries, apart, seen(whole_windows(convolution, pool), shape), pairs)


def whole_windows(convolution, pool) -> Convolution:
    """Return the convolution that gives every entry of every window of the pooling, without biases."""
    m, filters = math.prod(pool.size), len(convolution.kernel)
    outer = np.eye(m).reshape(m, 1, -1, 1) * np.eye(filters)[:, None]
    return composed(Convolution(outer.reshape(m * filters, -1), pool.size, pool.stride, bias=False), convolution)


def seen(convolution, shape) -> np.ndarray:
    """Return which numbers of the input every position of a convolution sees, their count for the padding."""
    count = math.prod(shape)
    numbers = np.arange(1.0, count + 1.0).reshape(1, *shape)
    places = convolution.unfold(numbers)[0].astype(int) - 1
    return np.where(places < 0, count, places)


@dataclass(frozen=True, eq=False)
class Patches:
    """The two blocks of a network, and the pixels behind a window of the second.

    Attributes
    ----------
    front : Front
    shapes : list of the shapes of the inputs of both blocks
    first, second : Windows
    pixels : array (positions of the second block, pixels of a patch) of int
    local : array (patch of the second block, patch of the first) of int
        Where in ``pixels`` the patches of the first block are.
    count : int
        Pixels of the image.
    """

    front: Front
    shapes: list
    first: Windows
    second: Windows
    pixels: np.ndarray
    local: np.ndarray
    count: int

    @classmethod
    def of(cls, front, shape):
        """Return those of a network taken apart, for images of this shape."""
        (inner, pool), (outer, last) = front.blocks
        between = pool.output_shape(inner.output_shape(shape))
        small, large = window_mean(inner, pool), whole_windows(outer, last)
        both = composed(large, small)
        places = np.arange(math.prod(both.size) * shape[2]).reshape(*both.size, shape[2])
        local = [
            places[
                i * small.stride[0] : i * small.stride[0] + small.size[0],
                j * small.stride[1] : j * small.stride[1] + small.size[1],
            ].ravel()
            for i in range(large.size[0])
            for j in range(large.size[1])
        ]
        return cls(
            front,
            [shape, between],
            Windows.of(inner, pool, shape),
            Windows.of(outer, last, between),
            seen(both, shape),
            np.repeat(local, between[2], axis=0),
            math.prod(shape),
        )


@dataclass(frozen=True, eq=False)
class Images:
    """What n images fix, at about the radius that is looked for.

    Attributes
    ----------
    order, gap : lists of arrays (n, windows, m)
        As in ``bea.bounds.ball_pooling.State``.
    centres : list of arrays (n, windows, m)
        What stands for the maxima of either block in quadratic parts, in that order.
    pairs : list of arrays (n, windows, m)
        How far every entry rises against the first one where ‖δ‖ = 1, with the centres for the first block.
    noise : array (n, windows, m)
        The same for the second block where the rest of the first has the length 1.
    apart : array (n, positions, filters, m - 1, pixels of a patch)
        The second block's entries less their means.
    hidden : array (n, units, pixels)
        The hidden layer's inputs.
    behind : array (n, units, windows of the first block)
        The same as functions of the first block's maxima.
    sizes, hidden_sizes, behind_sizes : arrays (n, windows), (n, units), (n, units)
        Lengths of what ``apart`` has of a window, and of the rows of the other two.
    """

    order: list
    gap: list
    centres: list
    pairs: list
    noise: np.ndarray
    apart: np.ndarray
    hidden: np.ndarray
    behind: np.ndarray
    sizes: np.ndarray
    hidden_sizes: np.ndarray
    behind_sizes: np.ndarray

    @classmethod
    def of(cls, patches, state, r):
        """Return that of the images of a ``State`` for radii about r (n,)."""
        first, second, front = patches.first, patches.second, patches.front
        n = len(r)
        reach = [_pairs(first.pairs, state.order[0]), None]
        noise = _pairs(second.pairs, state.order[1])
        centres = [centre_of_chords(shares_in_ball(state.gap[0], reach[0] * r[:, None, None])), None]
        # The first block's maxima as functions of pixels, then the second block's entries.
        inner = _unsorted(state.order[0], centres[0]).reshape(n, len(first.patch), *first.entries.shape[:2])
        rows = np.einsum("npfm,fmc->npfc", inner, first.entries) * (first.patch < patches.count)[:, None]
        rows = rows.reshape(n, -1, rows.shape[3])
        spread = np.zeros((n, *second.patch.shape, patches.pixels.shape[1]))
        places = np.broadcast_to(patches.local, (*spread.shape[:3], rows.shape[2]))
        np.put_along_axis(spread, places, rows[:, second.patch], 3)
        filters, m, size = second.entries.shape
        entries = (second.entries.reshape(-1, size) @ spread).reshape(n, -1, filters, m, spread.shape[3])
        entries = entries.reshape(n, -1, m, spread.shape[3])
        first_ones = np.take_along_axis(entries, state.order[1][:, :, :1, None], 2)
        reach[1] = np.take_along_axis(np.linalg.norm(entries - first_ones, axis=3), state.order[1], 2)
        rest = math.sqrt(1.0 - 1.0 / first.entries.shape[1]) * front.moves[0] * r
        about = reach[1] * r[:, None, None] + noise * rest[:, None, None]
        centres[1] = centre_of_chords(shares_in_ball(state.gap[1], about))
        means = _unsorted(state.order[1], centres[1])
        maxima = (means[:, :, None] @ entries)[:, :, 0].reshape(n, len(second.patch), filters, -1)
        apart = (deviations_basis(m) @ entries).reshape(n, len(second.patch), filters, m - 1, entries.shape[3])
        kernel = front.hidden.kernel.reshape(-1, len(second.patch), filters).swapaxes(0, 1)
        hidden = scattered(kernel @ maxima, patches.pixels, patches.count)
        weights = means.reshape(n, len(second.patch), filters, m)
        behind = np.einsum("puf,npfm->npufm", kernel, weights).reshape(n, len(second.patch), -1, filters * m)
        behind = scattered(behind @ second.entries.reshape(-1, size), second.patch, state.order[0].shape[1])
        sizes = np.sqrt(np.square(apart).sum(axis=(3, 4))).reshape(n, -1)
        lengths = np.linalg.norm(hidden, axis=2), np.linalg.norm(behind, axis=2)
        return cls(state.order, state.gap, centres, reach, noise, apart, hidden, behind, sizes, *lengths)


def scattered(rows, patch, count):
    """Return the sum over positions of rows (n, positions, k, patch) as functions of all ``count`` inputs."""
    total = np.zeros((*rows.shape[:1], rows.shape[2], count + 1))
    for number, places in enumerate(patch):
        total[:, :, places] += rows[:, number]
    return total[:, :, :count]


def add_squares(total, squares, places, shape) -> None:
    """Add what a position has, (n, patch, patch), at its places of matrices (n, count, count), in place.

    A patch is a rectangle of the input, which has this shape, so that they are added as slices; by index it takes far
    longer.
    """
    inside, across = places < math.prod(shape), math.prod(shape[1:])
    if not inside.all():
        squares, places = squares[:, inside][:, :, inside], places[inside]
    (top, left), (bottom, right) = divmod(places[0], across), divmod(places[-1], across)
    height, width = slice(top, bottom + 1), slice(left, right + 1)
    part = total.reshape(len(total), shape[0], across, shape[0], across)[:, height, width, height, width]
    part += squares.reshape(part.shape)


def _pairs(lengths, order):
    """Return the lengths (filters, m, m) of every window's entries against its first, (n, windows, m)."""
    filters = np.arange(order.shape[1]) % len(lengths)
    return lengths[filters[:, None], order[:, :, :1], order]


def _unsorted(order, sorted_values):
    values = np.empty_like(sorted_values)
    np.put_along_axis(values, order, sorted_values, 2)
    return values
