"""Layers that only move entries: other shapes and orders, zeros around an image, pixels cut off."""

import math
from dataclasses import dataclass

import numpy as np

from bea.networks.layers import Layer
from bea.networks.sliding import cut_off, four_sides, put_around


@dataclass(frozen=True)
class Reshape(Layer):
    """The same entries in another shape, last index fastest.

    Parameters
    ----------
    shape : sequence of int
        Shape of one output, without the axis of the samples; all sizes given, none ``-1``.
    """

    shape: tuple[int, ...]

    def __post_init__(self):
        sizes = tuple(self.shape)
        if not sizes or not all(isinstance(size, int | np.integer) and size >= 1 for size in sizes):
            raise ValueError(f"shape: expected sizes from 1 on, received {self.shape!r}")
        object.__setattr__(self, "shape", tuple(int(size) for size in sizes))

    def output_shape(self, shape):
        if math.prod(shape) != math.prod(self.shape):
            raise ValueError(f"shape: expected {math.prod(shape)} entries as in {shape}, received {self.shape}")
        return self.shape

    def forward(self, y):
        return y.reshape(len(y), *self.shape)

    def pull_back(self, rows, y, output):
        return rows.reshape(*rows.shape[:2], *y.shape[1:])

    def push_forward(self, dy, y, output):
        return self.forward(dy)


@dataclass(frozen=True)
class Permute(Layer):
    """The axes of every sample in another order.

    Parameters
    ----------
    axes : sequence of int
        Axis k of the output is axis ``axes[k]`` of the input, from 0, the axis of the samples not counted:
        ``Permute((2, 0, 1))`` puts the channels of (height, width, channels) first.
    """

    axes: tuple[int, ...]

    def __post_init__(self):
        axes = tuple(self.axes)
        if not axes or sorted(axes) != list(range(len(axes))):
            raise ValueError(f"axes: expected each of 0, 1, … once, received {self.axes!r}")
        object.__setattr__(self, "axes", tuple(int(axis) for axis in axes))

    def output_shape(self, shape):
        if len(shape) != len(self.axes):
            raise ValueError(f"axes: expected {len(shape)} of them for an input of shape {shape}, received {self.axes}")
        return tuple(shape[axis] for axis in self.axes)

    def forward(self, y):
        return y.transpose(0, *(axis + 1 for axis in self.axes))

    def pull_back(self, rows, y, output):
        return rows.transpose(0, 1, *(self.axes.index(axis) + 2 for axis in range(len(self.axes))))

    def push_forward(self, dy, y, output):
        return self.forward(dy)


@dataclass(frozen=True)
class Pad(Layer):
    """Zeros around an image (height, width, channels).

    Parameters
    ----------
    padding : int, pair of int, or ((top, bottom), (left, right))
        Pixels on every side.
    """

    padding: tuple[tuple[int, int], tuple[int, int]]

    def __post_init__(self):
        object.__setattr__(self, "padding", four_sides("padding", self.padding))

    def output_shape(self, shape):
        height, width, channels = _image(shape)
        return height + sum(self.padding[0]), width + sum(self.padding[1]), channels

    def forward(self, y):
        return put_around(y, self.padding)

    def pull_back(self, rows, y, output):
        return cut_off(rows, self.padding)

    def push_forward(self, dy, y, output):
        return self.forward(dy)


@dataclass(frozen=True)
class Crop(Layer):
    """An image (height, width, channels) without its outer pixels.

    Parameters
    ----------
    cropping : int, pair of int, or ((top, bottom), (left, right))
        Pixels that are cut off on every side.
    """

    cropping: tuple[tuple[int, int], tuple[int, int]]

    def __post_init__(self):
        object.__setattr__(self, "cropping", four_sides("cropping", self.cropping))

    def output_shape(self, shape):
        height, width, channels = _image(shape)
        left = height - sum(self.cropping[0]), width - sum(self.cropping[1])
        if min(left) < 1:
            raise ValueError(f"cropping: expected pixels of {shape} to be left, received {self.cropping}")
        return *left, channels

    def forward(self, y):
        return cut_off(y, self.cropping)

    def pull_back(self, rows, y, output):
        return put_around(rows, self.cropping)

    def push_forward(self, dy, y, output):
        return self.forward(dy)


def _image(shape):
    if len(shape) != 3:
        raise ValueError(f"input: expected images of shape (height, width, channels), received {shape}")
    return shape
