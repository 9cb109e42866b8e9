"""The Keras models of the book, and the way between them and networks."""

from functools import reduce

import numpy as np

from bea.files import replacing
from bea.networks.keras_writer import put_weights
from bea.networks.layers import Activation, Dense, Flatten
from bea.networks.network import Network
from lab.keras_backend import keras


def dense_classifier(widths, activations, input_shape=(28, 28), seed=0):
    """Return an untrained Keras model: flatten, then dense layers with biases.

    Parameters
    ----------
    widths : list of int
        Neurons a layer; the last one is the number of classes.
    activations : list of str
        Keras' name of each layer's activation, "linear" for none.
    input_shape : tuple of int
    seed : int
        Fixes the initial weights, and the order of the samples in training.
    """
    if len(widths) != len(activations):
        raise ValueError(f"activations: expected {len(widths)}, one a layer, received {len(activations)}")
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(*pair) for pair in zip(widths, activations, strict=True)]
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), *layers])


def lenet(input_shape=(28, 28, 1), seed=0):
    """Return an untrained Keras model of the LeNet that comes with Caffe (paper P, section 5), for ten classes.

    20 filters of 5×5 pixels, maxima of 2×2, 50 filters of 5×5, maxima of 2×2, 500 ReLUs, ten logits. There is no
    activation after the convolutions.

    Parameters
    ----------
    input_shape : tuple of int
        Height, width and channels, at least 16×16 pixels.
    seed : int
        Fixes the initial weights, and the order of the samples in training.
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 16:
        raise ValueError(f"input_shape: expected (height, width, channels) from (16, 16, 1), received {input_shape}")
    keras.utils.set_random_seed(seed)
    layers = []
    for filters in (20, 50):
        layers += [keras.layers.Conv2D(filters, 5), keras.layers.MaxPooling2D(2)]
    layers += [keras.layers.Flatten(), keras.layers.Dense(500, "relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input(input_shape), *layers])


def save(model, path) -> None:
    """Write the Keras model to ``path`` (.keras)."""
    with replacing(path) as partial:
        model.save(partial)


def load(path):
    """Read a Keras model.

    Raises
    ------
    ValueError
        If the file is missing or no complete Keras model.
    """
    try:
        return keras.saving.load_model(path)
    except Exception as error:
        raise ValueError(f"{path}: expected a complete Keras model, found {error}") from error


BLOCK = 32  # images whose windows fit into a core's cache


class ConvolutionsAndMaxima(keras.layers.Layer):
    """Convolutions, each followed by maxima of 2×2, that share the weights of Keras' layers; flattened at the end.

    Every convolution is one product of its kernel and a matrix of all windows. The images of a block run along the last
    axis, so that shifts and maxima move whole rows of numbers.
    """

    def __init__(self, convolutions, units):
        super().__init__()
        self.convolutions, self.units = convolutions, units

    def compute_output_shape(self, shape):
        """Tell Keras, which cannot find it for a number of images that is not known."""
        return shape[0], self.units

    def call(self, x):
        """Map images (n, height, width, channels) to what a flattening layer gives, (n, units)."""
        n, *shape = x.shape
        if n <= BLOCK:
            return self.block(x)
        x = keras.ops.pad(x, [(0, -n % BLOCK), (0, 0), (0, 0), (0, 0)])
        # The windows take far more memory than all else: they are made again for the derivatives.
        y = keras.ops.map(keras.remat(self.block), keras.ops.reshape(x, (-1, BLOCK, *shape)))
        return keras.ops.reshape(y, (-1, self.units))[:n]

    def block(self, x):
        """Do the same for so few images that all of it stays in the cache."""
        y = keras.ops.transpose(x, (3, 1, 2, 0))
        for layer in self.convolutions:
            y = maxima(convolve(y, layer.kernel, layer.bias))
        return keras.ops.reshape(keras.ops.transpose(y, (3, 1, 2, 0)), (-1, self.units))


def convolve(y, kernel, bias):
    """Convolve images (channels, height, width, n) with a kernel (rows, columns, channels, filters), "valid"."""
    rows, columns, _, filters = kernel.shape
    _, height, width, n = y.shape
    height, width = height - rows + 1, width - columns + 1
    windows = keras.ops.stack([y[:, :, j : j + width] for j in range(columns)])
    windows = keras.ops.stack([windows[:, :, i : i + height] for i in range(rows)])
    products = keras.ops.reshape(kernel, (-1, filters)).T @ keras.ops.reshape(windows, (-1, height * width * n))
    return keras.ops.reshape(products, (filters, height, width, n)) + bias[:, None, None, None]


def maxima(y):
    """Return the maxima of 2×2 entries of images (channels, height, width, n); the first of equals has the derivative.

    A last row or column without a partner is left out, as in Keras.
    """
    _, height, width, _ = y.shape
    corners = [y[:, i : height - 1 + i : 2, j : width - 1 + j : 2] for i in (0, 1) for j in (0, 1)]
    return reduce(lambda a, b: keras.ops.where(a >= b, a, b), corners)


def faster_lenet(model):
    """Return a model that shares the weights of a ``lenet`` and computes the same, but trains faster with JAX on a CPU.

    There the derivatives of Keras' convolutions and maxima are slow. Up to rounding these are the same.
    """
    first, _, second, _, flat, *dense = model.layers
    convolutions = ConvolutionsAndMaxima([first, second], flat.output.shape[-1])
    return keras.Sequential([keras.Input(model.input_shape[1:]), convolutions, *dense])


@keras.saving.register_keras_serializable("bea")
class SmoothReLU(keras.layers.Layer):
    """The activation ``(v + √(v² + a²))/2`` of paper D (section 3), written as it is printed there; a > 0."""

    def __init__(self, a, **keywords):
        super().__init__(**keywords)
        self.a = a

    def call(self, v):
        """Apply the function to every entry."""
        return 0.5 * (v + keras.ops.sqrt(v * v + self.a**2))

    def get_config(self):
        """Return what Keras needs to make the layer again."""
        return super().get_config() | {"a": self.a}


def to_keras(net: Network):
    """Return the Keras model that computes the activated outputs of a network of dense layers, in Keras' precision.

    Raises
    ------
    ValueError
        For a layer that is no ``Flatten``, ``Dense`` or ``Activation``.
    """
    layers = [_to_keras(layer) for layer in net.layers]
    if net.output_activation != "linear":
        layers.append(keras.layers.Activation(net.output_activation))
    model = keras.Sequential([keras.Input(net.input_shape), *layers])
    put_weights(model, net)
    return model


def _to_keras(layer):
    match layer:
        case Flatten():
            return keras.layers.Flatten()
        case Dense():
            return keras.layers.Dense(len(layer.matrix), use_bias=layer.bias)
        case Activation(name="smooth_relu"):
            return SmoothReLU(layer.parameter)
        case Activation():
            return keras.layers.Activation(layer.name)
    raise ValueError(f"net: expected Flatten, Dense and Activation layers, received a {type(layer).__name__}")


def outputs(model, x) -> np.ndarray:
    """Return what the Keras model computes for a batch, in its precision: logits, if its last layer is linear."""
    return np.asarray(model(np.asarray(x, dtype=model.compute_dtype)))


@keras.saving.register_keras_serializable("bea")
class RadialBasis(keras.layers.Layer):
    """The Keras side of ``bea.RadialBasis``: ``h_k = exp(-γ_k ‖y - c_k‖²)`` with trainable c_k and log γ_k."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def build(self, input_shape):
        """Make the weights; ``rbf_classifier`` gives them their first values."""
        self.centres = self.add_weight(shape=(self.units, input_shape[-1]), name="centres")
        self.log_sharpness = self.add_weight(shape=(self.units,), initializer="zeros", name="log_sharpness")

    def call(self, y):
        """Map a batch (n, inputs) to (n, units)."""
        squares = keras.ops.sum(y**2, axis=1, keepdims=True) + keras.ops.sum(self.centres**2, axis=1)
        squares = keras.ops.maximum(squares - 2.0 * y @ keras.ops.transpose(self.centres), 0.0)
        return keras.ops.exp(-keras.ops.exp(self.log_sharpness) * squares)

    def get_config(self):
        """Return what the layer is made again from."""
        return super().get_config() | {"units": self.units}


def rbf_classifier(centres, sharpness, classes=10, input_shape=(28, 28), seed=0):
    """Return an untrained Keras model: flatten, Gaussian bumps about the given images, then one dense layer.

    Parameters
    ----------
    centres : array (units, *input_shape)
        Images at which the centres start.
    sharpness : float
        γ of every bump at the start, positive, in units of one over squared pixels.
    classes : int
    input_shape : tuple of int
    seed : int
        Fixes the initial weights of the dense layer, and the order of the samples in training.
    """
    centres = np.asarray(centres, dtype=float)
    if centres.shape[1:] != tuple(input_shape) or not len(centres):
        raise ValueError(f"centres: expected images of shape {tuple(input_shape)}, received shape {centres.shape}")
    if not 0.0 < sharpness < np.inf:
        raise ValueError(f"sharpness: expected a positive number, received {sharpness!r}")
    keras.utils.set_random_seed(seed)
    bumps = RadialBasis(len(centres))
    layers = [keras.layers.Flatten(), bumps, keras.layers.Dense(classes)]
    model = keras.Sequential([keras.Input(input_shape), *layers])
    bumps.set_weights([centres.reshape(len(centres), -1), np.full(len(centres), np.log(sharpness))])
    return model
