"""Networks with max pooling taken apart, and by how much their parts can move.

Maxima of windows that do not overlap are means with weights that depend on the image; apart from the plain mean they
move by at most √(1 - 1/m) times what the entries less their means move by, m pixels in a window.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from bea.bounds.lipschitz import MATRIX_SIZE, lipschitz_constant, stacked_norm
from bea.networks.layers import Activation, Dense, Flatten
from bea.networks.network import Network
from bea.networks.windows import Convolution, MaxPool


@dataclass(frozen=True, eq=False)
class Front:
    """A network taken apart: blocks of a convolution and a pooling, one hidden layer of ReLUs, and the last layer.

    Attributes
    ----------
    blocks : list of (Convolution, MaxPool)
    hidden, last : Dense
    moves : list of float
        T of every block: ``(Σ_w ‖u_w‖²)^½ ≤ T ‖δ‖``, u_w what the entries of window w move by less its mean.
    reach : float
        R: ‖Δφ‖ ≤ R ‖δ‖.
    products : array (units, units)
        V Vᵀ of the hidden layer.
    """

    blocks: list
    hidden: Dense
    last: Dense
    moves: list[float]
    reach: float
    products: np.ndarray


@functools.lru_cache(maxsize=16)
def take_apart(net: Network) -> Front:
    """Return the parts of the network and their constants, or raise ``ValueError``; remembered for each network."""
    layers = net.layers
    pairs = [(layers[i], layers[i + 1]) for i in range(0, len(layers) - 4, 2)]
    fits = len(layers) >= 6 and len(layers) % 2 == 0 and isinstance(layers[-4], Flatten)
    fits = fits and all(isinstance(c, Convolution) and isinstance(p, MaxPool) for c, p in pairs)
    fits = fits and all(c.plain and not any(map(any, p.padding)) for c, p in pairs)
    fits = fits and isinstance(layers[-3], Dense) and layers[-2] == Activation("relu") and isinstance(layers[-1], Dense)
    if not fits:
        raise ValueError(
            "net: expected dense layers, or Convolution and MaxPool in turn, Flatten, Dense, ReLU, Dense, for the "
            f"method 'local', received {', '.join(type(layer).__name__ for layer in layers)}"
        )
    for number, (convolution, pool) in enumerate(pairs):
        if pool.stride != pool.size:
            raise ValueError(
                f"layers[{2 * number + 1}]: expected windows that do not overlap for the method 'local', "
                f"received size {pool.size} and stride {pool.stride}"
            )
        if number and any(map(any, convolution.padding)):
            raise ValueError(
                f"layers[{2 * number}]: expected no padding behind the first convolution for the method 'local', "
                f"received {convolution.padding}"
            )
    moves, reach = pool_constants(pairs, net.input_shape)
    kernel = layers[-3].kernel
    return Front(pairs, layers[-3], layers[-1], moves, reach, kernel @ kernel.T)


def pool_constants(pairs, shape) -> tuple[list[float], float]:
    """Return T of every block and R, as ``Front`` describes them, proven in floating point (step P6)."""
    moves, reach, before = [], [1.0], None
    for convolution, pool in pairs:
        apart = deviations(convolution, pool)
        if before is None:
            moves.append(lipschitz_constant(apart, shape))
            reach.append(lipschitz_constant(convolution, shape))
        else:
            moves.append(reach[-2] * _through_pool(apart, *before))
            reach.append(reach[-2] * _through_pool(convolution, *before))
        before = convolution, pool, shape
        shape = pool.output_shape(convolution.output_shape(shape))
    return moves, reach[-1]


def window_mean(convolution, pool) -> Convolution:
    """Return the convolution that gives the mean of every window of the pooling."""
    return _of_windows(convolution, pool, np.full((1, math.prod(pool.size)), 1.0 / math.prod(pool.size)))


def deviations(convolution, pool) -> Convolution:
    """Return the convolution that gives every entry of every window of the pooling, less the mean of its window."""
    m = math.prod(pool.size)
    return _of_windows(convolution, pool, np.eye(m) - 1.0 / m)


def composed(outer, inner) -> Convolution:
    """Return the convolution ``outer ∘ inner`` without biases; only ``inner`` may be padded."""
    size = [q + (p - 1) * s for q, p, s in zip(inner.size, outer.size, inner.stride, strict=True)]
    kernel = np.zeros((len(outer.kernel), *size, inner.kernel.shape[1] // math.prod(inner.size)))
    small = inner.kernel.reshape(len(inner.kernel), *inner.size, -1)
    large = outer.kernel.reshape(len(outer.kernel), *outer.size, -1)
    for i in range(outer.size[0]):
        for j in range(outer.size[1]):
            down = slice(i * inner.stride[0], i * inner.stride[0] + inner.size[0])
            across = slice(j * inner.stride[1], j * inner.stride[1] + inner.size[1])
            kernel[:, down, across] += np.tensordot(large[:, i, j], small, 1)
    stride = tuple(a * b for a, b in zip(outer.stride, inner.stride, strict=True))
    return Convolution(kernel.reshape(len(kernel), -1), tuple(size), stride, inner.padding, bias=False)


def _of_windows(convolution, pool, weights):
    """Return the convolution that gives linear functions of every window, ``weights`` (functions, pixels)."""
    filters = len(convolution.kernel)
    outer = weights.reshape(len(weights), 1, -1, 1) * np.eye(filters)[:, None]  # (functions, filters, pixels, filters)
    outer = Convolution(outer.reshape(len(weights) * filters, -1), pool.size, pool.stride, bias=False)
    return composed(outer, convolution)


def _through_pool(outer, convolution, pool, shape):
    """Return an upper bound of ``‖outer(Δh)‖ / ‖δ‖``, Δh the change behind a convolution and a pooling.

    Δh is the change of the windows' means, plus at most √(1 - 1/m) times that of the deviations, so for every t > 0
    ``‖outer(Δh)‖² ≤ (1 + t) ‖outer(means)‖² + (1 + 1/t) (1 - 1/m) ‖outer‖² ‖deviations‖²``.
    """
    pooled = pool.output_shape(convolution.output_shape(shape))
    largest = lipschitz_constant(outer, pooled)
    plain = largest * lipschitz_constant(convolution, shape)
    mean, apart = composed(outer, window_mean(convolution, pool)), deviations(convolution, pool)
    m = math.prod(pool.size)
    share = math.sqrt(1.0 - 1.0 / m) * largest
    a, b = lipschitz_constant(mean, shape), share * lipschitz_constant(apart, shape)
    if not a * b > 0.0 or math.prod(shape) > MATRIX_SIZE:
        return plain
    t = b / a
    return min(plain, stacked_norm([(math.sqrt(1.0 + t), mean), (math.sqrt(1.0 + 1.0 / t) * share, apart)], shape))
