"""Layers that look through windows: convolution and pooling."""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from bea.networks.layers import Layer, Weighted


@dataclass(frozen=True, eq=False)
class Convolution(Weighted):
    """The affine map of every window of an image, ``y -> A h`` (Keras' ``Conv2D``).

    Output pixel (a, b) is A times the window with the corner (a s₁, b s₂) of the padded image, flattened with the
    channel fastest, and a one if there is a bias. The positions are the output pixels, row by row.

    Parameters
    ----------
    matrix : array (filters, columns)
        A; column (i q₂ + j) channels + c multiplies channel c of pixel (i, j) of the window, the last one is the bias.
    size : int or pair of int
        Height q₁ and width q₂ of a window.
    stride : int or pair of int
        Steps s₁, s₂ from one window to the next.
    padding : int, pair of int, or ((top, bottom), (left, right))
        Pixels of zeros around the image.
    bias : bool
        Whether the last column of ``matrix`` is a bias.
    dilation : int or pair of int
        How many pixels lie from one pixel of a window to the next, 1 for neighbours.
    groups : int
        Into how many parts of equal size the channels and the filters are divided; a filter sees the channels of its
        own part only, and A has columns for these alone. As many as channels for a depthwise convolution, where filter
        c m + k is the k-th of the m ones that see channel c.
    """

    matrix: np.ndarray
    size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    bias: bool = True
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "size", _pair("size", self.size))
        object.__setattr__(self, "stride", _pair("stride", self.stride))
        sides = _two(self.padding)
        if len(sides) != 2:
            raise ValueError(f"padding: expected ((top, bottom), (left, right)), received {self.padding!r}")
        object.__setattr__(self, "padding", tuple(_pair("padding", side, least=0) for side in sides))

    def output_shape(self, shape):
        height, width = _count_windows(shape, self.size, self.stride, self.padding)
        inputs = math.prod(self.size) * shape[2]
        if inputs != self.kernel.shape[1]:
            raise self.columns_error(inputs, shape)
        return height, width, len(self.matrix)

    def unfold(self, y):
        (top, bottom), (left, right) = self.padding
        n, height, width, channels = y.shape
        if any((top, bottom, left, right)):
            padded = np.zeros((n, top + height + bottom, left + width + right, channels))
            padded[:, top : top + height, left : left + width] = y
            y = padded
        windows = np.lib.stride_tricks.sliding_window_view(y, self.size, (1, 2))
        windows = windows[:, :: self.stride[0], :: self.stride[1]].transpose(0, 1, 2, 4, 5, 3)
        h = np.empty((*windows.shape[:3], self.matrix.shape[1]))
        h[..., : self.kernel.shape[1]].reshape(windows.shape)[:] = windows  # a view, as only one axis is split
        if self.bias:
            h[..., -1] = 1.0
        return h.reshape(n, math.prod(h.shape[1:3]), h.shape[3])

    def fold(self, rows, shape):
        return self._add_up(rows, lambda columns: rows[..., columns], shape)

    def forward(self, y):
        h = self.unfold(y)
        product = h.reshape(math.prod(h.shape[:2]), h.shape[2]) @ self.matrix.T
        return product.reshape(len(y), *self.output_shape(y.shape[1:]))

    def pull_back(self, rows, y, output):
        # One offset at a time: all columns together would take as many times the memory as a window has pixels.
        each = rows.reshape(math.prod(rows.shape[:4]), rows.shape[4])
        return self._add_up(rows, lambda columns: each @ self.kernel[:, columns], y.shape[1:])

    def push_forward(self, dy, y, output):
        return replace(self, matrix=self.kernel, bias=False).forward(dy)

    def _add_up(self, rows, block, shape):
        """Add ``block(columns)``, one pixel (channels,) for every row, to the pixels that these columns multiply."""
        (top, bottom), (left, right) = self.padding
        height, width, channels = shape
        total = np.zeros((*rows.shape[:2], top + height + bottom, left + width + right, channels))
        windows = _count_windows(shape, self.size, self.stride, self.padding)
        for number, pixels in enumerate(_offsets(windows, self.size, self.stride)):
            columns = slice(number * channels, (number + 1) * channels)
            total[pixels] += block(columns).reshape(*rows.shape[:2], *windows, channels)
        return total[:, :, top : top + height, left : left + width]


@dataclass(frozen=True)
class Pool(Layer):
    """What the pooling layers share: every window of every channel becomes one number.

    Parameters
    ----------
    size : int or pair of int
        Height and width of a window.
    stride : int or pair of int, optional
        Steps from one window to the next, ``size`` unless given; windows may overlap. Pixels at the far edges that
        fill no window are left out.
    padding : int, pair of int, or ((top, bottom), (left, right))
        Pixels around the image, fewer on a side than the window is long. They never are the largest, and count in an
        average only if that is asked for.
    """

    size: tuple[int, int]
    stride: tuple[int, int] | None = None
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    def __post_init__(self):
        object.__setattr__(self, "size", _pair("size", self.size))
        object.__setattr__(self, "stride", self.size if self.stride is None else _pair("stride", self.stride))

    def output_shape(self, shape):
        return *_count_windows(shape, self.size, self.stride), shape[2]

    def offsets(self, y):
        """Yield, for every pixel of a window, the index of this pixel of all windows of the batch y."""
        return _offsets(_count_windows(y.shape[1:], self.size, self.stride), self.size, self.stride)


class MaxPool(Pool):
    """The largest entry of every window of every channel; parameters as in ``Pool``."""

    def forward(self, y):
        return functools.reduce(np.maximum, (y[pixels] for pixels in self.offsets(y)))

    def pull_back(self, rows, y, output):
        total = np.zeros((len(y), rows.shape[1], *y.shape[1:]))
        for pixels, found in self._maxima(y, output):
            total[pixels] += rows * found[:, None]
        return total

    def push_forward(self, dy, y, output):
        return sum(dy[pixels] * found for pixels, found in self._maxima(y, output))

    def _maxima(self, y, output):
        """Yield the offsets and which windows have their maximum there: of equal ones the first, row by row."""
        looking = np.ones(output.shape, dtype=bool)
        for pixels in self.offsets(y):
            found = looking & (y[pixels] == output)
            looking &= ~found
            yield pixels, found


@dataclass(frozen=True)
class AveragePool(Pool):
    """The mean of every window of every channel; parameters as in ``Pool``, and one more.

    Parameters
    ----------
    count_padding : bool
        Whether the zeros of the padding are counted (PyTorch, unless ``count_include_pad=False``), or the mean is that
        of the pixels of the image alone (Keras' padding "same").
    """

    count_padding: bool = False

    def forward(self, y):
        return sum(y[pixels] for pixels in self.offsets(y)) / math.prod(self.size)

    def pull_back(self, rows, y, output):
        total = np.zeros((*rows.shape[:2], *y.shape[1:]))
        share = rows / math.prod(self.size)
        for pixels in self.offsets(y):
            total[pixels] += share
        return total

    def push_forward(self, dy, y, output):
        return self.forward(dy)


def _two(value):
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def _pair(name, value, least=1) -> tuple[int, int]:
    """Return one or two integers as two, or raise ``ValueError``."""
    pair = _two(value)
    if len(pair) != 2 or not all(isinstance(number, int | np.integer) and number >= least for number in pair):
        raise ValueError(f"{name}: expected one or two integers from {least} on, received {value!r}")
    return int(pair[0]), int(pair[1])


def _count_windows(shape, size, stride, padding=((0, 0), (0, 0))) -> tuple[int, int]:
    """Return how many windows fit into an image of ``shape`` below and beside each other, or raise ``ValueError``."""
    if len(shape) != 3:
        raise ValueError(f"input: expected images of shape (height, width, channels), received {shape}")
    room = [length + sum(sides) - window for length, sides, window in zip(shape, padding, size, strict=False)]
    if min(room) < 0:
        raise ValueError(f"size: expected a window that fits into an image of shape {shape}, received {size}")
    return room[0] // stride[0] + 1, room[1] // stride[1] + 1


def _offsets(windows, size, stride):
    """Yield, for every pixel of a window, row by row, the index of this pixel of all windows at once."""
    for i in range(size[0]):
        for j in range(size[1]):
            down = slice(i, i + stride[0] * (windows[0] - 1) + 1, stride[0])
            yield ..., down, slice(j, j + stride[1] * (windows[1] - 1) + 1, stride[1]), slice(None)
