"""Windows that slide over an image: how many there are, and which pixels they see."""

import numpy as np


def two(value):
    """Return a single value twice, and several as a tuple."""
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def pair(name, value, least=1) -> tuple[int, int]:
    """Return one or two integers as two, or raise ``ValueError``."""
    numbers = two(value)
    if len(numbers) != 2 or not all(isinstance(number, int | np.integer) and number >= least for number in numbers):
        raise ValueError(f"{name}: expected one or two integers from {least} on, received {value!r}")
    return int(numbers[0]), int(numbers[1])


def four_sides(name, value) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return numbers of pixels as ((top, bottom), (left, right)), or raise ``ValueError``."""
    sides = two(value)
    if len(sides) != 2:
        raise ValueError(f"{name}: expected ((top, bottom), (left, right)), received {value!r}")
    return tuple(pair(name, side, least=0) for side in sides)


def reach(size, dilation) -> tuple[int, int]:
    """Return height and width of what a window spans whose pixels lie ``dilation`` apart."""
    return tuple((q - 1) * d + 1 for q, d in zip(size, dilation, strict=True))


def count_windows(shape, size, stride, padding=((0, 0), (0, 0))) -> tuple[int, int]:
    """Return how many windows fit into an image of ``shape`` below and beside each other, or raise ``ValueError``."""
    if len(shape) != 3:
        raise ValueError(f"input: expected images of shape (height, width, channels), received {shape}")
    room = [length + sum(sides) - window for length, sides, window in zip(shape, padding, size, strict=False)]
    if min(room) < 0:
        raise ValueError(f"size: expected a window that fits into an image of shape {shape}, received {size}")
    return room[0] // stride[0] + 1, room[1] // stride[1] + 1


def offsets(windows, size, stride, dilation=(1, 1)):
    """Yield, for every pixel of a window, row by row, the index of this pixel of all windows at once."""
    for i in range(0, size[0] * dilation[0], dilation[0]):
        for j in range(0, size[1] * dilation[1], dilation[1]):
            down = slice(i, i + stride[0] * (windows[0] - 1) + 1, stride[0])
            yield ..., down, slice(j, j + stride[1] * (windows[1] - 1) + 1, stride[1]), slice(None)


def put_around(y, padding, value=0.0) -> np.ndarray:
    """Return images (…, height, width, channels) with ``padding`` pixels of one value around them.

    No copy where there is none.
    """
    (top, bottom), (left, right) = padding
    if not any((top, bottom, left, right)):
        return y
    *before, height, width, channels = y.shape
    padded = np.full((*before, top + height + bottom, left + width + right, channels), value)
    padded[..., top : top + height, left : left + width, :] = y
    return padded


def cut_off(y, padding) -> np.ndarray:
    """Return images (…, height, width, channels) without ``padding`` pixels around them."""
    (top, bottom), (left, right) = padding
    return y[..., top : y.shape[-3] - bottom, left : y.shape[-2] - right, :]
