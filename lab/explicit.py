"""The naive formulas that the closed forms are checked with: one image at a time, every matrix written out.

``bea`` forms neither a Kronecker product nor 𝒜; here both are, for small networks, with activations that are
programmed a second time. Letters are those of the chapter on backward errors: ``h`` what a layer multiplies, ``S`` the
derivative of the output with respect to its pre-activations, ``J`` that with respect to the input.
"""

import numpy as np

from bea import Activation, Dense, Network
from bea.networks.perturbation import Perturbation

FUNCTIONS = {
    "linear": lambda v: v,
    "tanh": np.tanh,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "smooth_relu": lambda v: (v + np.sqrt(v**2 + 1)) / 2,
    "relu": lambda v: np.maximum(v, 0),
    "softmax": lambda v: np.exp(v - v.max()) / np.exp(v - v.max()).sum(),
}
SLOPES = {
    "linear": lambda v: np.ones_like(v),
    "tanh": lambda v: 1 / np.cosh(v) ** 2,
    "sigmoid": lambda v: 1 / (2 + np.exp(v) + np.exp(-v)),
    "smooth_relu": lambda v: (1 + v / np.sqrt(v**2 + 1)) / 2,
    "relu": lambda v: np.where(v > 0, 1.0, 0.0),
}


def derivative(name: str, v) -> np.ndarray:
    """Return F, the derivative of an activation at the pre-activations v, as a matrix."""
    if name == "softmax":
        q = FUNCTIONS["softmax"](v)
        return np.diag(q) - np.outer(q, q)
    return np.diag(SLOPES[name](v))


def vec(matrix) -> np.ndarray:
    """Return the columns of a matrix, one below the other."""
    return matrix.reshape(-1, order="F")


def blocks_of(h: list, S: list, J) -> list[np.ndarray]:
    """Return 𝒜, block by block: a Kronecker product a layer, then the Jacobian."""
    return [np.kron(h_i, S_i) for h_i, S_i in zip(h, S, strict=True)] + [J]


def by_pinv(blocks, sizes, dy) -> list[np.ndarray]:
    """Return the smallest θ with 𝒜θ = Δy, by blocks, block i measured by ``sizes[i]``."""
    scaled = [size * block for size, block in zip(sizes, blocks, strict=True)]
    theta = np.linalg.pinv(np.hstack(scaled), rcond=1e-12) @ dy
    ends = np.cumsum([block.shape[1] for block in blocks])[:-1]
    return [size * part for size, part in zip(sizes, np.split(theta, ends), strict=True)]


def blocks_found(p: Perturbation) -> list[np.ndarray]:
    """Return the same of a perturbation of one image."""
    layers = [vec(p.matrix(i, 0)) for i, change in enumerate(p.dA) if change is not None]
    return layers + ([] if p.dx is None else [p.dx.ravel()])


def difference(found, expected) -> float:
    """Return the largest relative difference of a block."""
    return max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(found, expected, strict=True))


def random_network(rng, widths, names, last: str = "linear") -> Network:
    """Return dense layers with bias and normal weights; ``names`` are activations after all but the last one."""
    layers = []
    for columns, rows, name in zip(widths, widths[1:], [*names, None], strict=False):
        layers.append(Dense(rng.standard_normal((rows, columns + 1)) / np.sqrt(columns)))
        layers += [activation(name)] if name else []
    return Network(layers, (widths[0],), output_activation=last)


def activation(name: str) -> Activation:
    """Return an activation as a layer."""
    return Activation(name, 1.0) if name == "smooth_relu" else Activation(name)


def chain(net: Network, x, names, last: str) -> tuple:
    """Return every h_{i-1} and S_i, J, the output, every W_i and every F_i of a network of dense layers."""
    h, W, F, y = [], [], [], x
    for layer, name in zip(net.weighted, [*names, last], strict=True):
        h.append(np.append(y, 1))
        W.append(layer.kernel)
        v = layer.matrix @ h[-1]
        F.append(derivative(name, v))
        y = FUNCTIONS[name](v)
    S = [F[-1]]
    for W_next, F_i in zip(reversed(W[1:]), reversed(F[:-1]), strict=True):
        S.insert(0, S[0] @ W_next @ F_i)
    return h, S, S[0] @ W[0], y, W, F


def unrolled(kernel, size: int, stride: int, padding: int, shape) -> np.ndarray:
    """Return T of a convolution, vec(output) = T vec(image), from the definition: an output sees one window."""
    height, width, channels = shape
    wide = (height + 2 * padding, width + 2 * padding, channels)
    corners = [range(0, length - size + 1, stride) for length in wide[:2]]
    rows = []
    for top in corners[0]:
        for left in corners[1]:
            for weights in kernel:
                row = np.zeros(wide)
                row[top : top + size, left : left + size] = weights.reshape(size, size, channels)
                rows.append(row[padding : padding + height, padding : padding + width].ravel())
    return np.array(rows)


def pooling_matrix(maximum: bool, y, size: int, stride: int) -> np.ndarray:
    """Return the Jacobian of pooling, maxima or averages, at the feature maps y (height, width, channels)."""
    height, width, channels = y.shape
    rows = []
    for top in range(0, height - size + 1, stride):
        for left in range(0, width - size + 1, stride):
            for channel in range(channels):
                window = (slice(top, top + size), slice(left, left + size), channel)
                row = np.zeros(y.shape)
                row[window] = y[window] == y[window].max() if maximum else 1 / size**2
                rows.append(row.ravel())
    return np.array(rows)
