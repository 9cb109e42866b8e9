"""The layers that a network is made of (paper B, eq. 3).

A new kind needs the methods of ``Layer``; a kind with weights is a ``Weighted`` and also offers what that class
describes to the linearisation. Images have their channels last: (height, width, channels).
"""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

# f and f', the latter written in terms of (v, f(v)); all of them act elementwise.
ACTIVATIONS = {
    "linear": (lambda v: v, lambda v, y: np.ones_like(v)),
    "relu": (lambda v: np.maximum(v, 0.0), lambda v, y: (v > 0.0).astype(v.dtype)),
    "sigmoid": (lambda v: np.exp(np.minimum(v, 0.0)) / (1.0 + np.exp(-np.abs(v))), lambda v, y: y * (1.0 - y)),
    "tanh": (np.tanh, lambda v, y: 1.0 - y * y),
}


def _smooth_relu(v, a):
    # The two roots of t² - v t = a²/4 have the product -a²/4, and the one without cancellation gives the other.
    larger = v * v
    larger += a * a
    np.sqrt(larger, out=larger)
    larger += np.abs(v)
    larger *= 0.5
    return np.where(v < 0.0, 0.25 * a * a / larger, larger)


# The same with a parameter a > 0. f = (v + √(v² + a²))/2 has the derivative f/√(v² + a²), and is relu for a = 0.
PARAMETRIC = {"smooth_relu": (_smooth_relu, lambda v, y, a: y / np.sqrt(v * v + a * a))}


def _smooth_relu_bend(v, a):
    # a²/(2 s³) with s = √(v² + a²), whose cube would overflow.
    length = np.hypot(v, a)
    return 0.5 * (a / length) ** 2 / length


# f'' in terms of (v, f(v), a) where it is not zero; relu has none, its kink left aside.
SECOND = {
    "sigmoid": lambda v, y, a: y * (1.0 - y) * (1.0 - 2.0 * y),
    "smooth_relu": lambda v, y, a: _smooth_relu_bend(v, a),
    "tanh": lambda v, y, a: -2.0 * y * (1.0 - y * y),
}


class Layer:
    """One map of the sequence. Batches have the sample as their first axis."""

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of one output for one input of ``shape``, or raise ``ValueError``."""
        raise NotImplementedError

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Map a batch (n, *shape)."""
        raise NotImplementedError

    def pull_back(self, rows: np.ndarray, y: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Multiply rows (n or 1, classes, *output shape) by the Jacobian at y; the result ends in ``shape``."""
        raise NotImplementedError

    def push_forward(self, dy: np.ndarray, y: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Multiply the Jacobian at y by a tangent dy (n, *shape) of y; the result is one of the output."""
        raise NotImplementedError

    def bend(self, rows: np.ndarray, dy: np.ndarray, y: np.ndarray, output: np.ndarray) -> np.ndarray | float:
        """Return the derivative of ``pull_back(rows, y, output)`` when y moves along dy (n, *shape), rows fixed.

        Zero, as here, where the map is affine or made of affine pieces.
        """
        return 0.0


@dataclass(frozen=True)
class Flatten(Layer):
    """Reshape a batch of arrays to a batch of vectors, last index fastest."""

    def output_shape(self, shape):
        return (math.prod(shape),)

    def forward(self, y):
        return flat(y)

    def pull_back(self, rows, y, output):
        return rows.reshape(*rows.shape[:2], *y.shape[1:])

    def push_forward(self, dy, y, output):
        return flat(dy)


@dataclass(frozen=True)
class Activation(Layer):
    """An elementwise function, by its name in ``ACTIVATIONS`` or, with its parameter a > 0, in ``PARAMETRIC``."""

    name: str
    parameter: float | None = None

    def __post_init__(self):
        a = self.parameter
        if self.name in PARAMETRIC:
            if not (isinstance(a, int | float | np.number) and 0.0 < a < math.inf):
                raise ValueError(f"parameter: expected a positive finite number for {self.name}, received {a!r}")
            object.__setattr__(self, "parameter", float(a))
        elif self.name not in ACTIVATIONS:
            raise ValueError(
                f"activation: expected one of {sorted([*ACTIVATIONS, *PARAMETRIC])}, received {self.name!r}"
            )
        elif a is not None:
            raise ValueError(f"parameter: expected none for {self.name}, received {a!r}")

    def output_shape(self, shape):
        return shape

    def forward(self, y):
        if self.name in PARAMETRIC:
            return PARAMETRIC[self.name][0](y, self.parameter)
        return ACTIVATIONS[self.name][0](y)

    def slope(self, v, y):
        """Return f'(v) where y = f(v)."""
        if self.name in PARAMETRIC:
            return PARAMETRIC[self.name][1](v, y, self.parameter)
        return ACTIVATIONS[self.name][1](v, y)

    def pull_back(self, rows, y, output):
        return rows * self.slope(y, output)[:, None]

    def push_forward(self, dy, y, output):
        return dy * self.slope(y, output)

    def bend(self, rows, dy, y, output):
        if self.name not in SECOND:
            return 0.0
        return rows * (SECOND[self.name](y, output, self.parameter) * dy)[:, None]


class Weighted(Layer):
    """An affine map ``y -> A h``, the same matrix at every position.

    At a position, h holds the inputs that the matrix sees there, and a one if there is a bias. A dense layer has a
    single position, a convolution one for every pixel of its output.

    Attributes
    ----------
    matrix : array (rows, columns)
        A, with the bias as its last column when there is one; read-only.
    bias : bool
        Whether the last column of ``matrix`` is a bias.
    """

    matrix: np.ndarray
    bias: bool

    def __post_init__(self):
        matrix = _constant("matrix", self.matrix, "weights")
        if matrix.ndim != 2:
            raise ValueError(f"matrix: expected two dimensions (rows, columns), received shape {matrix.shape}")
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "bias", bool(self.bias))

    @property
    def kernel(self) -> np.ndarray:
        """A without its bias column: what multiplies the input, (rows, inputs)."""
        return self.matrix[:, :-1] if self.bias else self.matrix

    def with_matrix(self, matrix) -> "Weighted":
        """Return the same layer with another matrix."""
        return replace(self, matrix=matrix)

    def unfold(self, y: np.ndarray) -> np.ndarray:
        """Return h at every position, (n, positions, columns)."""
        raise NotImplementedError

    def fold(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Apply the adjoint of ``unfold`` without the ones.

        Takes ``rows`` (n, k, positions, inputs) to (n, k, *shape), where ``shape`` is that of one input of the layer.
        """
        raise NotImplementedError

    def _columns_error(self, expected, shape):
        return ValueError(
            f"matrix: expected {expected} input columns for an input of shape {shape}"
            f"{' and one bias column' if self.bias else ''}, received shape {self.matrix.shape}"
        )


@dataclass(frozen=True, eq=False)
class Dense(Weighted):
    """The affine map of a vector, ``y -> A h``, h being y with a one appended if there is a bias.

    Parameters
    ----------
    matrix : array (rows, columns)
        A, with the bias as its last column when there is one.
    bias : bool
        Whether the last column of ``matrix`` is a bias.
    """

    matrix: np.ndarray
    bias: bool = True

    def augment(self, y):
        """Return h: y (n, inputs) with a column of ones when there is a bias, (n, columns)."""
        return np.column_stack([y, np.ones(len(y))]) if self.bias else y

    def unfold(self, y):
        return self.augment(y)[:, None]

    def fold(self, rows, shape):
        return rows.reshape(*rows.shape[:2], *shape)

    def output_shape(self, shape):
        if shape != (self.kernel.shape[1],):
            raise self._columns_error(math.prod(shape), shape)
        return (len(self.matrix),)

    def forward(self, y):
        product = y @ self.kernel.T
        if self.bias:
            product += self.matrix[:, -1]
        return product

    def pull_back(self, rows, y, output):
        # One product for the batch; NumPy would otherwise do one a sample.
        product = rows.reshape(math.prod(rows.shape[:2]), rows.shape[2]) @ self.kernel
        return product.reshape(*rows.shape[:2], self.kernel.shape[1])

    def push_forward(self, dy, y, output):
        return dy @ self.kernel.T


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
    """

    matrix: np.ndarray
    size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    bias: bool = True

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
            raise self._columns_error(inputs, shape)
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


@dataclass(frozen=True, eq=False)
class RadialBasis(Layer):
    """Gaussian bumps of a vector: ``h_k = exp(-γ_k ‖y - c_k‖²)``.

    This is no ``Weighted`` layer: its centres meet y in a distance, not in a product, so there is no ΔA of paper B for
    them, and perturbations of the weights leave them alone. A bump further than ``√(745/γ_k)`` away is zero in float64,
    and so is its derivative.

    Parameters
    ----------
    centres : array (rows, inputs)
        c_k; read-only.
    sharpness : array (rows,)
        γ_k, positive; a width σ_k, the standard deviation of the bump, is ``γ_k = 1/(2 σ_k²)``. Read-only.

    Raises
    ------
    ValueError
        For arrays of wrong shape, complex or not finite, and a sharpness that is not positive.
    """

    centres: np.ndarray
    sharpness: np.ndarray

    def __post_init__(self):
        for name, dimensions in (("centres", 2), ("sharpness", 1)):
            array = _constant(name, getattr(self, name), "numbers")
            if array.ndim != dimensions or not len(array):
                shape = ("(rows,)", "(rows, inputs)")[dimensions - 1]
                raise ValueError(f"{name}: expected shape {shape}, at least one row, received {array.shape}")
            object.__setattr__(self, name, array)
        if self.sharpness.shape != self.centres.shape[:1]:
            raise ValueError(f"sharpness: expected shape {self.centres.shape[:1]}, received {self.sharpness.shape}")
        if self.sharpness.min() <= 0.0:
            raise ValueError(f"sharpness: expected positive numbers, received {self.sharpness.min()}")

    def output_shape(self, shape):
        if shape != self.centres.shape[1:]:
            raise ValueError(
                f"centres: expected {math.prod(shape)} columns for an input of shape {shape}, "
                f"received shape {self.centres.shape}"
            )
        return self.centres.shape[:1]

    def exponents(self, y):
        """Return -γ_k ‖y - c_k‖², (n, rows)."""
        # ‖y‖² - 2 c·y + ‖c‖² is one matrix product; rounding may leave it a little below zero.
        squares = np.vecdot(y, y)[:, None] - 2.0 * (y @ self.centres.T) + np.vecdot(self.centres, self.centres)
        return -self.sharpness * np.maximum(squares, 0.0)

    def forward(self, y):
        return np.exp(self.exponents(y))

    def pull_back(self, rows, y, output):
        # Σ_k w_k (c_k - y) with w_k = 2 γ_k h_k rows_k, as one product for the batch.
        weights = rows * (2.0 * self.sharpness * output)[:, None]
        product = weights.reshape(math.prod(weights.shape[:2]), weights.shape[2]) @ self.centres
        product = product.reshape(*weights.shape[:2], self.centres.shape[1])
        return product - weights.sum(axis=2, keepdims=True) * y[:, None]

    def push_forward(self, dy, y, output):
        return 2.0 * self.sharpness * output * (dy @ self.centres.T - np.vecdot(y, dy)[:, None])

    def bend(self, rows, dy, y, output):
        # Both factors of w_k (c_k - y) move: w_k with h_k, to which it is proportional, and y.
        moved = self.pull_back(rows, y, self.push_forward(dy, y, output))
        return moved - np.vecdot(rows, (2.0 * self.sharpness * output)[:, None])[:, :, None] * dy[:, None]


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
    """

    size: tuple[int, int]
    stride: tuple[int, int] | None = None

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


class AveragePool(Pool):
    """The mean of every window of every channel; parameters as in ``Pool``."""

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


@dataclass(frozen=True)
class Quantise(Layer):
    """Every entry rounded to the nearest of so many equidistant values, those outside to an end; a tie to the even one.

    The derivative is zero wherever there is one, and ``pull_back`` says so: no gradient gets past this layer.

    Parameters
    ----------
    levels : int
        How many values, at least two.
    low, high : float
        The smallest and the largest of them.
    straight_through : bool
        Whether ``pull_back`` pretends that the layer is the identity instead, as Bengio et al. (2013) train through
        such steps and Athalye et al. (2018) attack through them. That is no derivative of anything here.

    Raises
    ------
    ValueError
        For ``levels`` that are no whole number from two on, and ends that are not finite or not in order.
    """

    levels: int
    low: float = 0.0
    high: float = 1.0
    straight_through: bool = False

    def __post_init__(self):
        if not isinstance(self.levels, int | np.integer) or isinstance(self.levels, bool) or self.levels < 2:
            raise ValueError(f"levels: expected a whole number from 2 on, received {self.levels!r}")
        ends = self.low, self.high
        if not (
            all(isinstance(end, int | float | np.number) for end in ends) and -math.inf < ends[0] < ends[1] < math.inf
        ):
            raise ValueError(f"low, high: expected finite numbers, low < high, received {self.low!r} and {self.high!r}")
        if not isinstance(self.straight_through, bool | np.bool_):
            raise ValueError(f"straight_through: expected True or False, received {self.straight_through!r}")
        for name, kind in (("levels", int), ("low", float), ("high", float), ("straight_through", bool)):
            object.__setattr__(self, name, kind(getattr(self, name)))

    def output_shape(self, shape):
        return shape

    @property
    def step(self) -> float:
        """Distance between neighbouring levels."""
        return (self.high - self.low) / (self.levels - 1)

    def forward(self, y):
        steps = self.levels - 1
        number = np.rint((np.clip(y, self.low, self.high) - self.low) * (steps / (self.high - self.low)))
        return self.low + number / steps * (self.high - self.low)

    def push_forward(self, dy, y, output):
        return dy if self.straight_through else np.zeros_like(dy)

    def pull_back(self, rows, y, output):
        if self.straight_through:
            return rows
        return np.zeros((*rows.shape[:2], *y.shape[1:]))


def _constant(name, value, what) -> np.ndarray:
    """Return a read-only copy in float64, or raise ``ValueError`` for what is complex or not finite."""
    if np.iscomplexobj(value):
        raise ValueError(f"{name}: expected real {what}, received complex ones")
    array = np.array(value, dtype=float)
    if not np.isfinite(array).all():
        bad = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise ValueError(f"{name}: expected finite {what}, received {array[bad]} at {bad}")
    array.flags.writeable = False
    return array


def flat(y, keep=1) -> np.ndarray:
    """Reshape all axes but the first ``keep`` ones to a single one; empty batches have no ``-1``."""
    return y.reshape(*y.shape[:keep], math.prod(y.shape[keep:]))


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
