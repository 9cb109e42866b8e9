"""One quadratic function below a lead of two blocks of convolution and max pooling, in a ball.

The problem is that of ``bea.bounds.ball_pooling``. There every block loses its own worst share; here all that is lost
is a quadratic function of the same δ. The steps are proved under these names in book/tight_bound.md:

Q1. Above a maximum that pulls the lead down lies a quadratic function of its entries (``bea.bounds.maxima``), and above
   a unit that does so a parabola (D2). Those that pull it up cost nothing.
Q2. In the ball, Δmax is a mean of the Δ of the entries, give or take κ times the length by which they move apart; κ is
   small where the largest entry leads by far, and zero where no other one can overtake it.
Q3. A quadratic part in the maxima becomes one in the entries: that of the means, times 1 + 1/s, and one of all windows
   apart, with the weights ``(1 + s) T κ²``, where the diagonal matrix T is above the quadratic part.
Q4. T of the first block is a number times a guess of what is best. A Cholesky factorisation proves that T is above.
Q5. What is left in front of the first block is ``k + lᵀδ - δᵀHδ``; step D5 bounds its minimum in the ball.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf

from bea.bounds.ball_pooling import ROUNDING, from_windows
from bea.bounds.ball_quadratic import diagonal_minimum, large_ball_minimum
from bea.bounds.maxima import parabola_above, radius_of_chords, shares_in_ball
from bea.bounds.pooling_patches import Images, Patches, add_squares

WIDTHS = (0.2, 0.7)  # of the parabolas of both blocks, in units of what their windows move by at most
UNIT_WIDTH = 2.0  # the same for the units, without the noise
FIRST_SPLIT, SECOND_SPLIT = 1.0, 0.3  # s of step Q3
FIRST_POWER, SECOND_POWER = 0.3, 0.7  # of the quotient that T goes with
STEPS = 25  # of Lanczos' method
MARGINS = (0.002, 0.01, 0.03, 0.1, 0.3)  # of the largest eigenvalue over the guess
PROVEN = 1e-7  # above what the rounding of such a factorisation can hide


@dataclass(frozen=True, eq=False)
class Parts:
    """A quadratic function below the leads of n pairs of image and rival, but for the first block's noise.

    Attributes
    ----------
    loss, size : arrays (n,)
        What the lead loses at the image already, and the sum of the numbers that rounding may have touched.
    lin : array (n, pixels)
    first, second : arrays (n, windows)
        Weights of ``‖u‖²``, u what the entries of a window move by, less their mean.
    units : array (n, units)
        Weights of the squares of what the hidden layer's inputs move by.
    kappa : array (n, windows of the first block)
    """

    loss: np.ndarray
    size: np.ndarray
    lin: np.ndarray
    first: np.ndarray
    second: np.ndarray
    units: np.ndarray
    kappa: np.ndarray


def parts_below(patches: Patches, images: Images, who, v, d, r) -> Parts:
    """Return what steps Q1 to Q3 leave for pairs of image ``who`` (n,) and a rival where ‖δ‖ ≤ r (n,).

    v (n, units) are the hidden layer's inputs at the image, d (n, units) the difference of the last rows.
    """
    front, first = patches.front, patches.first
    shares, kappa = [None, None], [None, None]
    shares[0] = shares_in_ball(images.gap[0][who], images.pairs[0][who] * r[:, None, None])
    kappa[0] = radius_of_chords(images.centres[0][who], shares[0])
    noise = kappa[0].max(axis=1) * front.moves[0] * r
    reach = images.pairs[1][who] * r[:, None, None] + images.noise[who] * noise[:, None, None]
    shares[1] = shares_in_ball(images.gap[1][who], reach)
    kappa[1] = radius_of_chords(images.centres[1][who], shares[1])
    near, rows = images.hidden_sizes[who] * r[:, None], np.sqrt(np.diag(front.products))
    far = near + images.behind_sizes[who] * noise[:, None] + rows * (kappa[1].max(axis=1) * front.moves[1] * r)[:, None]
    slope, units_lost, units = _units(v, d, np.minimum(far, rows * front.reach * r[:, None]), UNIT_WIDTH * near)
    loss, size, bent = units_lost.sum(axis=1), (np.abs(d) @ rows) * front.reach * r, [None, None]
    sizes = np.tile(np.sqrt(np.square(first.apart).sum(axis=(1, 2))), len(first.patch)), images.sizes[who]
    q = slope @ front.hidden.kernel
    for number in (1, 0):
        width = WIDTHS[number] * sizes[number] * r[:, None]
        gap, order = images.gap[number][who], images.order[number][who]
        weights, lost, bent[number] = _maxima(q, gap, shares[number].max(axis=2) > 0.0, width)
        loss = loss + lost.sum(axis=1)
        q = _back(q, weights, order, front.blocks[number], patches.shapes[number])
    units = (1.0 + 1.0 / SECOND_SPLIT) * units
    second = bent[1] + noise_of_second(patches, units, kappa[1], sizes[1]) * kappa[1] ** 2
    return Parts(loss, size + loss, q, bent[0], second, units, kappa[0])


def _units(v, d, far, width):
    """Return slopes, losses and curvatures (n, units) of parabolas below the units, whose inputs move by ``far``."""
    bends = (d < 0.0) & (far * (1.0 + 1e-9) + 1e-300 > np.abs(v))
    a = np.where(bends, np.maximum(np.abs(v), width) + 1e-300, 1.0)
    # ReLU(u) ≤ (u + a)²/(4a), which touches it at u = ±a.
    slope = d * np.where(bends, (v + a) / (2.0 * a), v > 0.0)
    lost = np.where(bends, -d * ((v + a) ** 2 / (4.0 * a) - np.maximum(v, 0.0)), 0.0)
    return slope, lost, np.where(bends, -d / (4.0 * a), 0.0)


def _maxima(q, gap, uncertain, width):
    """Return weights (n, windows, m), losses and curvatures (n, windows) of what stands for q times the maxima (Q1)."""
    down = (q < 0.0) & uncertain
    width = np.where(down, width + 1e-9 * width.max() + 1e-100, 1.0)
    weights, excess = parabola_above(gap, width)
    # Where it is the same to the lead, all entries that are the largest share.
    largest = gap <= 0.0
    weights = np.where(down[:, :, None], weights, largest / largest.sum(axis=2, keepdims=True))
    return weights, np.where(down, -q * excess, 0.0), np.where(down, -q / (2.0 * width), 0.0)


def _back(q, weights, order, block, shape):
    """Return q (n, windows) as a linear function of what enters the block."""
    convolution, pool = block
    spread = np.zeros_like(weights)
    np.put_along_axis(spread, order, weights * q[:, :, None], 2)
    rows = from_windows(spread, pool, convolution.output_shape(shape))[:, None]
    return convolution.pull_back(rows, np.empty((len(q), *shape)), None)[:, 0].reshape(len(q), -1)


def noise_of_second(patches, units, kappa, sizes):
    """Return (1 + s) T for the quadratic part in the second block's maxima, which have so few units."""
    rows = _rows(units / (1.0 + 1.0 / SECOND_SPLIT), np.zeros(len(units), dtype=int), patches.front.hidden.kernel[None])
    guess = _guess(np.square(rows).sum(axis=1), kappa * sizes, SECOND_POWER)
    rows = rows / np.sqrt(guess)[:, None]
    largest = np.linalg.eigvalsh(rows @ rows.swapaxes(1, 2))[:, -1]
    return (1.0 + SECOND_SPLIT) * (1.0 + ROUNDING) * np.maximum(largest, 0.0)[:, None] * guess


def _guess(diagonal, noise, power):
    """Return what T shall go with: the root of N's diagonal by the noise is best where N has rank one."""
    noise = np.maximum(noise, 1e-3 * noise.max(axis=1, keepdims=True)) + 1e-100
    diagonal = diagonal + 1e-6 * diagonal.max(axis=1, keepdims=True) + 1e-100
    guess = diagonal**power / noise ** (2.0 * power)
    return guess / guess.max(axis=1, keepdims=True)


def _rows(weights, who, table):
    """Return the rows ``table[who]`` (n, k, columns) that have a weight, times its root; k is the same for all."""
    count = max(1, int(np.count_nonzero(weights, axis=1).max(initial=0)))
    some = np.argsort(weights == 0.0, axis=1, kind="stable")[:, :count]
    return np.sqrt(np.take_along_axis(weights, some, 1))[:, :, None] * table[who[:, None], some]


def room_above(patches: Patches, images: Images, who, parts: Parts, *, proven: bool) -> np.ndarray:
    """Return a diagonal matrix T (n, windows) above the quadratic part in the first block's maxima (Q4).

    Without ``proven`` it is above as far as Lanczos' method tells. With it, Cholesky's factorisation proves it.
    """
    second = patches.second
    n, (filters, m, size) = len(who), second.apart.shape
    weights = parts.second.reshape(n, len(second.patch), filters)
    behind = _rows(parts.units, who, images.behind)
    diagonal = _scatter(weights @ np.square(second.apart).sum(axis=1), second.patch, behind.shape[2])
    diagonal = diagonal + np.square(behind).sum(axis=1)
    sizes = np.tile(np.sqrt(np.square(patches.first.apart).sum(axis=(1, 2))), len(patches.first.patch))
    guess = _guess(diagonal, parts.kappa * sizes, FIRST_POWER)
    scale, rows = 1.0 / np.sqrt(guess), second.apart.reshape(filters * m, size)
    weights = np.repeat(weights, m, axis=2)

    def apply(h):
        h = h * scale
        inner = (h[:, second.patch] @ rows.T * weights) @ rows
        outer = (behind @ h[:, :, None]).swapaxes(1, 2) @ behind
        return scale * (_scatter(inner, second.patch, h.shape[1]) + outer[:, 0])

    largest = _largest_eigenvalue(apply, np.sqrt(diagonal) * scale + 1e-3)
    if not proven:
        return (1.0 + MARGINS[0]) * largest[:, None] * guess
    behind, roots = behind * scale[:, None], np.sqrt(weights)
    matrix = behind.swapaxes(1, 2) @ behind
    for number, places in enumerate(second.patch):
        scaled = roots[:, number, :, None] * (rows * scale[:, None, places])
        add_squares(matrix, scaled.swapaxes(1, 2) @ scaled, places, patches.shapes[1])
    trace = np.sum(diagonal / guess, axis=1)
    return _proved(matrix, largest, trace)[:, None] * guess


def _proved(matrices, largest, trace):
    """Return an upper bound (n,) of the largest eigenvalues of matrices (n, m, m), which are lost."""
    bound, factor = trace * (1.0 + PROVEN), np.empty(matrices.shape[1:])  # no eigenvalue is above the trace
    # One by one, as a batch that fails does not tell which matrix it was.
    for number, matrix in enumerate(matrices):
        np.negative(matrix, out=matrix)
        diagonal, before = np.einsum("ii->i", matrix), 0.0
        for margin in MARGINS:
            diagonal += (1.0 + margin - before) * largest[number]
            before = 1.0 + margin
            factor[:] = matrix
            if dpotrf(factor.T, lower=True, clean=False, overwrite_a=True)[1]:
                continue
            bound[number] = min(bound[number], (1.0 + margin) * (1.0 + PROVEN) * largest[number])
            break
    return bound


def _scatter(numbers, patch, count):
    """Return the sums (n, count) of numbers (n, positions, patch) at the places of the patches."""
    total = np.zeros((len(numbers), count))
    for number, places in enumerate(patch):
        total[:, places] += numbers[:, number]
    return total


def _largest_eigenvalue(apply, start):
    """Return the largest Ritz value (n,) of Lanczos' method for symmetric matrices (n, m, m)."""
    basis, diagonal, beside = [start / np.linalg.norm(start, axis=1)[:, None]], [], []
    for _ in range(STEPS):
        image = apply(basis[-1])
        diagonal.append(np.vecdot(image, basis[-1]))
        known = np.stack(basis, axis=1)
        for _ in range(2):
            image = image - ((known @ image[:, :, None]).swapaxes(1, 2) @ known)[:, 0]
        beside.append(np.linalg.norm(image, axis=1))
        # Where nothing but rounding is left, it has no direction.
        done = beside[-1] <= 1e-8 * np.abs(diagonal).max(axis=0)
        beside[-1] = np.where(done, 0.0, beside[-1])
        basis.append(np.where(done, 0.0, 1.0 / np.where(done, 1.0, beside[-1]))[:, None] * image)
    small = np.stack(diagonal, axis=1)[:, :, None] * np.eye(STEPS)
    off = np.stack(beside, axis=1)[:, :-1]
    places = np.arange(STEPS - 1)
    small[:, places, places + 1] = small[:, places + 1, places] = off
    return np.maximum(np.linalg.eigvalsh(small)[:, -1], 1e-300)


def curvature(patches: Patches, images: Images, who, parts: Parts, room) -> np.ndarray:
    """Return H (n, pixels, pixels) of what lies below the leads in the ball (Q5); ``room`` is T of the first block."""
    first, second, n = patches.first, patches.second, len(who)
    filters, m, _ = second.apart.shape
    rows = _rows(parts.units, who, images.hidden)
    H = rows.swapaxes(1, 2) @ rows
    roots = np.sqrt(parts.second).reshape(n, len(second.patch), filters, 1, 1)
    for number, places in enumerate(patches.pixels):
        rows = (roots[:, number] * images.apart[who, number]).reshape(n, filters * m, len(places))
        add_squares(H, rows.swapaxes(1, 2) @ rows, places, patches.shapes[0])
    H *= 1.0 + 1.0 / FIRST_SPLIT
    weights = parts.first + (1.0 + FIRST_SPLIT) * room * parts.kappa**2
    products = first.apart.swapaxes(1, 2) @ first.apart
    shape = n, len(first.patch), *products.shape
    products = (weights.reshape(shape[:3]) @ products.reshape(len(products), -1)).reshape(*shape[:2], *shape[3:])
    for number, places in enumerate(first.patch):
        add_squares(H, products[:, number], places, patches.shapes[0])
    return H


def level(parts: Parts, lead) -> np.ndarray:
    """Return what is left (n,) of the leads at the image, less what rounding may have done."""
    return lead - parts.loss - ROUNDING * (np.abs(lead) + parts.size)


def least_in_ball(patches: Patches, images: Images, who, parts: Parts, room, lead, r) -> np.ndarray:
    """Return a lower bound (n,) of the leads where ‖δ‖ ≤ r (n,), after its rounding; ``lead`` is that at the image."""
    H = curvature(patches, images, who, parts, room)
    start = parts.lin + 1e-3 * np.abs(parts.lin).max() + 1e-100
    largest = _largest_eigenvalue(lambda v: (H @ v[:, :, None])[:, :, 0], start)
    return large_ball_minimum(level(parts, lead), parts.lin, H, r, largest)


def together(parts: Parts, k: int) -> Parts:
    """Return parts (n,) of which the curvature is no less than that of ``parts`` (n k,), k pairs an image."""

    def largest(array):
        return array.reshape(-1, k, array.shape[1]).max(axis=1)

    weights = (largest(array) for array in (parts.first, parts.second, parts.units, parts.kappa))
    return Parts(parts.loss[::k], parts.size[::k], parts.lin[::k], *weights)


def all_least_in_ball(patches: Patches, images: Images, parts: Parts, lead, r) -> np.ndarray:
    """Return the bounds (n, k) of ``least_in_ball`` for k rivals of every image, from one curvature an image, proven.

    ``parts`` are those of the pairs, one image after the other; lead (n, k), r (n,).
    """
    (n, k), everyone = lead.shape, np.arange(len(r))
    above = together(parts, k)
    room = room_above(patches, images, everyone, above, proven=True)
    eigenvalues, vectors = np.linalg.eigh(curvature(patches, images, everyone, above, room))
    along = parts.lin.reshape(n, k, -1) @ vectors
    eigenvalues = np.repeat(eigenvalues, k, axis=0)
    least = diagonal_minimum(level(parts, lead.ravel()), along.reshape(n * k, -1), eigenvalues, np.repeat(r, k))
    return least.reshape(n, k)
