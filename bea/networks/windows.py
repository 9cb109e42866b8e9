"""Layers that look through windows: convolution and pooling."""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from bea.networks.layers import Layer, Weighted
from bea.networks.sliding import count_windows, cut_off, four_sides, offsets, pair, put_around, reach
from bea.numerics.checks import check_count


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
        object.__setattr__(self, "size", pair("size", self.size))
        object.__setattr__(self, "stride", pair("stride", self.stride))
        object.__setattr__(self, "padding", four_sides("padding", self.padding))
        object.__setattr__(self, "dilation", pair("dilation", self.dilation))
        check_count("groups", self.groups)
        object.__setattr__(self, "groups", int(self.groups))
        if len(self.matrix) % self.groups:
            raise ValueError(f"groups: expected a divisor of {len(self.matrix)} filters, received {self.groups}")

    @property
    def plain(self) -> bool:
        """Whether it has neither gaps in its windows nor groups."""
        return self.dilation == (1, 1) and self.groups == 1

    def windows(self, shape) -> tuple[int, int]:
        """Return how many windows an image of ``shape`` has below and beside each other."""
        return count_windows(shape, reach(self.size, self.dilation), self.stride, self.padding)

    def output_shape(self, shape):
        height, width = self.windows(shape)
        if shape[2] % self.groups:
            raise ValueError(f"groups: expected a divisor of {shape[2]} channels, received {self.groups}")
        inputs = math.prod(self.size) * shape[2] // self.groups
        if inputs != self.kernel.shape[1]:
            raise self.columns_error(inputs, shape)
        return height, width, len(self.matrix)

    def unfold(self, y):
        y = put_around(y, self.padding)
        windows = np.lib.stride_tricks.sliding_window_view(y, reach(self.size, self.dilation), (1, 2))
        windows = windows[:, :: self.stride[0], :: self.stride[1], :, :: self.dilation[0], :: self.dilation[1]]
        n, height, width, channels = windows.shape[:4]
        # One axis for the groups, before the pixels of a window.
        parts = windows.reshape(n, height, width, self.groups, channels // self.groups, *self.size)
        parts = parts.transpose(0, 1, 2, 3, 5, 6, 4)
        h = np.empty((*parts.shape[:4], self.matrix.shape[1]))
        h[..., : self.kernel.shape[1]].reshape(parts.shape)[:] = parts  # a view, as only one axis is split
        if self.bias:
            h[..., -1] = 1.0
        return h.reshape(n, height * width, *([self.groups] if self.groups > 1 else []), h.shape[-1])

    def fold(self, rows, shape):
        return self._add_up(rows, lambda columns: rows[..., columns], shape)

    def forward(self, y):
        if self.groups > 1:
            return self._forward_in_groups(y)
        h = self.unfold(y)
        product = h.reshape(math.prod(h.shape[:2]), h.shape[2]) @ self.matrix.T
        return product.reshape(len(y), *self.output_shape(y.shape[1:]))

    def pull_back(self, rows, y, output):
        # One offset at a time: all columns together would take as many times the memory as a window has pixels.
        each = rows.reshape(math.prod(rows.shape[:4]), rows.shape[4])
        if y.shape[3] == 1:  # but a single channel's, which are single columns, and take what ``forward`` takes
            products = self.kernel.T @ each.T
            return self._add_up(rows, lambda columns: products[columns], y.shape[1:])
        if self.groups == 1:
            return self._add_up(rows, lambda columns: each @ self.kernel[:, columns], y.shape[1:])
        each = each.reshape(len(each), self.groups, each.shape[1] // self.groups).swapaxes(0, 1)
        kernel = self.kernel.reshape(*each.shape[::2], self.kernel.shape[1])
        return self._add_up(rows, lambda columns: (each @ kernel[..., columns]).swapaxes(0, 1), y.shape[1:])

    def push_forward(self, dy, y, output):
        return replace(self, matrix=self.kernel, bias=False).forward(dy)

    def _forward_in_groups(self, y):
        """Return the output one pixel of the windows after the other: unfolded they would take far more memory."""
        shape = self.output_shape(y.shape[1:])
        padded, channels = put_around(y, self.padding), y.shape[3] // self.groups
        kernel = self.kernel.reshape(self.groups, len(self.matrix) // self.groups, -1).swapaxes(1, 2)
        positions, total = len(y) * math.prod(shape[:2]), 0.0
        for number, pixels in enumerate(offsets(shape[:2], self.size, self.stride, self.dilation)):
            parts = padded[pixels].reshape(positions, self.groups, channels).swapaxes(0, 1)
            total = total + parts @ kernel[:, number * channels : (number + 1) * channels]
        total = total.swapaxes(0, 1).reshape(len(y), *shape)
        return total + self.matrix[:, -1] if self.bias else total

    def _add_up(self, rows, block, shape):
        """Add ``block(columns)``, one pixel (channels,) for every row, to the pixels that these columns multiply."""
        (top, bottom), (left, right) = self.padding
        height, width, channels = shape
        total = np.zeros((*rows.shape[:2], top + height + bottom, left + width + right, channels))
        windows, each = self.windows(shape), channels // self.groups
        for number, pixels in enumerate(offsets(windows, self.size, self.stride, self.dilation)):
            columns = slice(number * each, (number + 1) * each)
            total[pixels] += block(columns).reshape(*rows.shape[:2], *windows, channels)
        return cut_off(total, self.padding)


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
        object.__setattr__(self, "size", pair("size", self.size))
        object.__setattr__(self, "stride", self.size if self.stride is None else pair("stride", self.stride))
        object.__setattr__(self, "padding", four_sides("padding", self.padding))
        if any(max(sides) >= length for sides, length in zip(self.padding, self.size, strict=True)):
            raise ValueError(f"padding: expected less than the size {self.size} on every side, received {self.padding}")

    def output_shape(self, shape):
        return *count_windows(shape, self.size, self.stride, self.padding), shape[2]

    def offsets(self, shape):
        """Yield, for every pixel of a window, the index of this pixel of all windows, in a batch with its padding."""
        return offsets(self.output_shape(shape)[:2], self.size, self.stride)


class MaxPool(Pool):
    """The largest entry of every window of every channel; parameters as in ``Pool``."""

    def forward(self, y):
        padded = put_around(y, self.padding, -np.inf)
        return functools.reduce(np.maximum, (padded[pixels] for pixels in self.offsets(y.shape[1:])))

    def pull_back(self, rows, y, output):
        total = put_around(np.zeros((len(y), rows.shape[1], *y.shape[1:])), self.padding)
        apart = all(step >= length for step, length in zip(self.stride, self.size, strict=True))
        for pixels, found in self._maxima(y, output):
            if apart:  # no pixel is in two windows
                np.multiply(rows, found[:, None], out=total[pixels])
            else:
                total[pixels] += rows * found[:, None]
        return cut_off(total, self.padding)

    def push_forward(self, dy, y, output):
        dy = put_around(dy, self.padding)
        return sum(dy[pixels] * found for pixels, found in self._maxima(y, output))

    def _maxima(self, y, output):
        """Yield the offsets and which windows have their maximum there: of equal ones the first, row by row."""
        padded, looking = put_around(y, self.padding, -np.inf), np.ones(output.shape, dtype=bool)
        for pixels in self.offsets(y.shape[1:]):
            found = padded[pixels] == output
            found &= looking
            looking ^= found
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

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.count_padding, bool | np.bool_):
            raise ValueError(f"count_padding: expected True or False, received {self.count_padding!r}")
        object.__setattr__(self, "count_padding", bool(self.count_padding))

    def counts(self, shape) -> np.ndarray | int:
        """Return by what the sum of every window is divided, (height, width, 1), or one number for all of them."""
        if self.count_padding or not any(map(any, self.padding)):
            return math.prod(self.size)
        ones = put_around(np.ones((*shape[:2], 1)), self.padding)
        return sum(ones[pixels] for pixels in self.offsets(shape))

    def forward(self, y):
        padded = put_around(y, self.padding)
        return sum(padded[pixels] for pixels in self.offsets(y.shape[1:])) / self.counts(y.shape[1:])

    def pull_back(self, rows, y, output):
        total = put_around(np.zeros((*rows.shape[:2], *y.shape[1:])), self.padding)
        share = rows / self.counts(y.shape[1:])
        for pixels in self.offsets(y.shape[1:]):
            total[pixels] += share
        return cut_off(total, self.padding)

    def push_forward(self, dy, y, output):
        return self.forward(dy)
