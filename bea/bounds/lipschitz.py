"""Lipschitz constants of layers in Euclidean norms, ``sup ‖f(y + r) - f(y)‖ / ‖r‖``, proven in spite of rounding.

For a linear map K it is the spectral norm, the root of the largest eigenvalue of KᵀK. Lanczos or LAPACK only guess it,
from below. What proves a number μ is the Cholesky factorisation of ``μ I - KᵀK``: if it runs to its end in floating
point, no eigenvalue of KᵀK exceeds μ by more than a known multiple of the rounding unit (Demmel 1989; Rump 2006). The
rounding of KᵀK itself is bounded by γ_k ‖K‖_F², and both are added.
"""

import functools
import math

import numpy as np
from scipy.sparse.linalg import ArpackError, eigsh

from bea.networks.global_pooling import GlobalAveragePool, GlobalMaxPool
from bea.networks.layers import Activation, Dense, Flatten, Layer, Readout
from bea.networks.normalisation import LayerNormalization, PReLU, Scale
from bea.networks.radial import RadialBasis
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.residual import Residual
from bea.networks.sliding import reach
from bea.networks.windows import AveragePool, Convolution, MaxPool

UNIT = 2.0**-53  # rounding unit of float64
MATRIX_SIZE = 4096  # inputs up to which the matrix KᵀK of a convolution is written out
DENSE_EIGENVALUES = 400  # rows up to which LAPACK guesses the largest eigenvalue, Lanczos beyond
MARGINS = (1e-9, 1e-7, 1e-5, 1e-3, 1e-1, 10.0)  # above the guess, tried in turn until one can be proved


def gamma(terms: int) -> float:
    """Return a bound of the relative error of a sum of so many products, in any order, of float64 numbers.

    k u/(1 - k u) with the rounding unit u (Higham 2002, section 3.1), and one per cent more, which covers the rounding
    of bounds that are computed with it.
    """
    return 1.01 * terms * UNIT


def lipschitz_constant(layer: Layer, input_shape: tuple[int, ...]) -> float:
    """Return an upper bound of ``sup ‖f(y + r) - f(y)‖ / ‖r‖`` over all y and r ≠ 0, proven in floating point.

    Dense layers: the spectral norm. Convolutions of at most 4096 input numbers: the spectral norm on this image size,
    with its stride and padding. Both exceed the exact value by 1e-6 of it or less as a rule (a clustered spectrum can
    make it 1e-4). Larger convolutions: the norm of the convolution on a torus that holds the image, which is a little
    more. With groups: the largest norm of a group, as they share neither inputs nor outputs. Pooling and elementwise
    functions: exact but for the last digits. Radial bumps: the root of the sum of their largest squared slopes. Layer
    normalisation: its Jacobian is ``diag(factor) (P - z zᵀ/N)/√(v + ε)`` with P - z zᵀ/N between 0 and 1, so that it is
    the largest factor over √ε, which inputs of no variance attain: large, but there is no smaller one for all inputs.
    Residual: the sum over its two paths of the products along them.

    A convolution is computed once and remembered, and so is a dense layer.

    Parameters
    ----------
    layer : Layer
    input_shape : tuple of int
        Shape of one input.

    Raises
    ------
    ValueError
        If the layer cannot take this shape or has no constant: a ``Quantise`` jumps, and so do some activations.
    """
    shape = tuple(int(size) for size in input_shape)
    layer.output_shape(shape)
    return _constant(layer, shape)


@functools.singledispatch
def _constant(layer, shape):
    raise ValueError(f"layer: expected one with a Lipschitz constant, received a {type(layer).__name__}")


@_constant.register
def _(layer: Flatten | Reshape | Permute | Pad | Crop | GlobalMaxPool, shape):
    return 1.0


@_constant.register
def _(layer: Activation, shape):
    if layer.steepest is None:
        raise ValueError(
            f"layer: expected one with a Lipschitz constant, received the activation {layer.name}"
            f"{f' with {layer.parameter}' if layer.parameters else ''}, which jumps or has slopes of any size"
        )
    return layer.steepest


@_constant.register
def _(layer: PReLU, shape):
    return float(np.abs(layer.slopes).max(initial=1.0))


@_constant.register
def _(layer: Scale, shape):
    return float(np.abs(layer.factor).max(initial=0.0))


@_constant.register
def _(layer: LayerNormalization, shape):
    return float(np.abs(layer.factor).max()) / math.sqrt(layer.epsilon) * (1.0 + gamma(4))


@_constant.register
def _(layer: GlobalAveragePool, shape):
    return 1.0 / math.sqrt(math.prod(shape[:-1])) * (1.0 + gamma(4))


@_constant.register
def _(layer: Readout, shape):
    return spectral_norm(layer.kernel)


@_constant.register
def _(layer: Residual, shape):
    total = 0.0
    for path in layer.paths:
        product, inner = 1.0, shape
        for part in path:
            product *= lipschitz_constant(part, inner)
            inner = part.output_shape(inner)
        total += product * (1.0 + gamma(len(path) + 2))
    return total


@_constant.register
def _(layer: RadialBasis, shape):
    # One bump is steepest at the distance 1/√(2γ), where its slope is √(2γ/e).
    return math.sqrt(2.0 * layer.sharpness.sum() / math.e) * (1.0 + gamma(len(layer.sharpness) + 8))


@_constant.register
def _(layer: MaxPool, shape):
    # |max(y + r) - max(y)| ≤ max |r| in a window, and no r is counted in more windows than share a pixel.
    shared = overlap(layer.size, layer.stride, layer.output_shape(shape))
    return 1.0 if shared == 1 else _up(math.sqrt(shared))


@_constant.register
def _(layer: AveragePool, shape):
    # The Kronecker product of two averages of lines, so that the norms multiply.
    norms = []
    for length, size, stride, sides in zip(shape, layer.size, layer.stride, layer.padding, strict=False):
        starts = np.arange(-sides[0], length + sides[1] - size + 1, stride)
        places = np.arange(length) - starts[:, None]
        seen = ((places >= 0) & (places < size)).astype(float)
        if layer.count_padding or not any(sides):
            norms.append(spectral_norm(seen) / size)
        else:
            norms.append(spectral_norm(seen / seen.sum(axis=1, keepdims=True)))
    return math.prod(norms) * (1.0 + gamma(8))


@_constant.register
@functools.lru_cache(maxsize=256)
def _(layer: Dense, shape):
    return spectral_norm(layer.kernel)


@_constant.register
@functools.lru_cache(maxsize=256)
def _(layer: Convolution, shape):
    if layer.groups > 1:
        options = layer.size, layer.stride, layer.padding, False, layer.dilation
        own = *shape[:2], shape[2] // layer.groups
        groups = np.split(layer.kernel, layer.groups)
        return max(_norm(Convolution(kernel, *options), own, math.prod(shape)) for kernel in groups)
    return _norm(layer, shape, math.prod(shape))


def _norm(layer, shape, size):
    """Return an upper bound of the norm of a convolution without groups, one of those that take ``size`` numbers."""
    kernel, scale = _scaled(layer.kernel)
    if size > MATRIX_SIZE:
        return scale * _torus_norm(layer, kernel, shape)
    return scale * _largest_root(_window_products(layer, kernel, shape), len(kernel) + math.prod(layer.size))


def overlap(size, stride, windows) -> int:
    """Return how many windows share a pixel at most, when so many lie below and beside each other."""
    return math.prod(min(n, -(-q // s)) for q, s, n in zip(size, stride, windows, strict=False))


def spectral_norm(matrix) -> float:
    """Return an upper bound of the spectral norm of a real matrix, proven in floating point."""
    matrix, scale = _scaled(matrix if len(matrix) <= matrix.shape[1] else matrix.T)
    return scale * _largest_root(matrix @ matrix.T, matrix.shape[1])


def stacked_norm(parts, shape) -> float:
    """Return an upper bound of the norm of several convolutions of one image as one map, each times a number > 0.

    ``parts`` are pairs (number, Convolution); their KᵀK are added up as for a single one, up to 4096 inputs.
    """
    weights = [number * layer.kernel for number, layer in parts]
    scale = _scaled(np.concatenate([weight.ravel() for weight in weights]))[1]
    products = sum(_window_products(layer, w / scale, shape) for (_, layer), w in zip(parts, weights, strict=True))
    terms = sum(len(layer.kernel) + math.prod(layer.size) for _, layer in parts)
    return scale * _largest_root(products, terms + 4 * len(parts))


def _scaled(matrix):
    """Return the matrix divided by a power of two, and this power, so that no square over- or underflows."""
    exponent = math.frexp(np.abs(matrix).max(initial=0.0))[1]
    return np.ldexp(matrix, -exponent), math.ldexp(1.0, exponent)


def _window_products(layer, kernel, shape):
    """Return KᵀK of a convolution on images of ``shape``: what each pair of pixels has in common in all windows."""
    height, width, channels = shape
    (top, bottom), (left, right) = layer.padding
    pixels = np.full((top + height + bottom, left + width + right), height * width)  # zeros around it: one index more
    pixels[top : top + height, left : left + width] = np.arange(height * width).reshape(height, width)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, reach(layer.size, layer.dilation))
    windows = windows[:: layer.stride[0], :: layer.stride[1], :: layer.dilation[0], :: layer.dilation[1]]
    windows = windows.reshape(-1, math.prod(layer.size)).T
    products = (kernel.T @ kernel).reshape(len(windows), channels, len(windows), channels)
    total = np.zeros((height * width + 1, height * width + 1, channels, channels))
    for first, block in zip(windows, products, strict=True):
        for number, second in enumerate(windows):
            total[first, second] += block[:, number]
    total = total[:-1, :-1].transpose(0, 2, 1, 3)
    return total.reshape(math.prod(shape), math.prod(shape))


def _torus_norm(layer, kernel, shape):
    """Return an upper bound of the norm of a convolution: that of the convolution on a torus that contains it.

    With stride s it is one of stride 1 over blocks of s₁ × s₂ pixels, taken as channels. On a torus of blocks the
    discrete Fourier transform takes it apart into one matrix for every frequency.
    """
    windows, filters, norm = layer.output_shape(shape)[:2], len(kernel), float(np.linalg.norm(kernel))
    (q1, q2), (s1, s2), (d1, d2) = reach(layer.size, layer.dilation), layer.stride, layer.dilation
    b1, b2 = -(-q1 // s1), -(-q2 // s2)
    padded = np.zeros((filters, b1 * s1, b2 * s2, shape[2]))
    padded[:, :q1:d1, :q2:d2] = kernel.reshape(filters, *layer.size, shape[2])
    kernel = padded.reshape(filters, b1, s1, b2, s2, shape[2]).transpose(1, 3, 0, 2, 4, 5).reshape(b1, b2, filters, -1)
    if kernel.shape[2] > kernel.shape[3]:
        kernel = kernel.swapaxes(2, 3)
    down, across = (_waves(n + b - 1, b) for n, b in zip(windows, (b1, b2), strict=True))
    largest = 0.0
    for wave in down[: len(down) // 2 + 1]:  # the other half are their conjugates
        matrices = np.tensordot(across, np.tensordot(wave, kernel, 1), 1)
        products = matrices @ matrices.conj().swapaxes(1, 2)
        largest = max(largest, _largest_root(products, 4 * kernel.shape[3]))
    # A wave is wrong by 22 units at most, a sum of b₁ b₂ products by a few more, and Σ|w| ≤ √(b₁ b₂) ‖w‖.
    return _up(largest + gamma(64 + 4 * (b1 + b2)) * math.sqrt(b1 * b2) * norm)


def _waves(period, count):
    return np.exp(2j * np.pi * (np.outer(np.arange(period), np.arange(count)) % period / period))


def _largest_root(products, terms):
    """Return an upper bound of the largest singular value of all K, given KKᵀ (…, n, n), sums of so many products.

    The factorisation proves ``λ ≤ μ + γ_{n+1} n μ``, the rounding of KKᵀ adds ``γ_k ‖K‖_F²`` at most.
    """
    if not products.any():
        return 0.0
    n, trace = products.shape[-1], float(products.trace(axis1=-2, axis2=-1).real.max())
    guess = _guess(products)
    diagonal = np.arange(n)
    for margin in MARGINS:
        bound = (1.0 + margin) * guess
        difference = -products
        difference[..., diagonal, diagonal] += bound
        try:
            np.linalg.cholesky(difference)
        except np.linalg.LinAlgError:
            continue
        break
    else:
        bound = trace * (1.0 + gamma(n))
    # Four times as much, for complex numbers; one more term for the subtraction on the diagonal.
    bound += gamma(4 * (n + 2)) * n * bound + gamma(terms + 2) * trace
    return _up(math.sqrt(bound))


def _guess(products):
    """Return an estimate of the largest eigenvalue of symmetric matrices (…, n, n)."""
    if products.ndim > 2 or len(products) <= DENSE_EIGENVALUES:
        return float(np.linalg.eigvalsh(products)[..., -1].max())
    start = np.random.default_rng(0).standard_normal(len(products))
    try:
        return float(eigsh(products, 1, which="LA", v0=start, ncv=40, tol=1e-9, return_eigenvectors=False)[0])
    except ArpackError:  # not converged
        return float(np.linalg.eigvalsh(products)[-1])


def _up(number):
    """Return the next float: an upper bound of what was rounded to nearest."""
    return math.nextafter(number, math.inf)
