"""The operators of ONNX, one node with one input at a time: what each does to a value of some shape."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bea.networks import translating
from bea.networks.graph import Graph
from bea.networks.layers import Activation, Flatten, Readout
from bea.networks.normalisation import PReLU
from bea.networks.reshaping import Permute, Reshape
from bea.networks.tidying import Foldable
from bea.networks.windows import AveragePool, MaxPool

BATCH = 0  # what stands for the number of samples in a shape: in a Reshape, 0 is "as in the input"
# Elementwise functions without settings, by what they are called in ``Activation``.
PLAIN = {"Abs": "abs", "Exp": "exponential", "HardSwish": "hard_silu", "Mish": "mish", "Relu": "relu"}
PLAIN |= {"Sigmoid": "sigmoid", "Softplus": "softplus", "Softsign": "softsign", "Tanh": "tanh"}


@dataclass
class Model:
    """What is known of a model while its nodes are gone through.

    Attributes
    ----------
    graph : Graph
    made_by : dict
        The node that makes a value.
    constants : dict
        Arrays that do not depend on the input.
    fold : function
        Computes a node without the input among its arguments.
    weights : set
        Names of arrays that have become the weights of a layer.
    unknown : dict
        Values that no layers make, with the errors for when they are needed.
    """

    graph: Graph
    made_by: dict
    constants: dict
    fold: Callable
    weights: set = field(default_factory=set)
    unknown: dict = field(default_factory=dict)


@dataclass
class Settings:
    """One node, with its attributes and the arrays among its inputs."""

    model: Model
    node: object
    attributes: dict
    where: str

    def get(self, name, default=None):
        """Return an attribute."""
        return self.attributes.get(name, default)

    def array(self, number, default=None) -> np.ndarray | None:
        """Return an input that is a constant, in float64, or the default where there is none."""
        if number >= len(self.node.input) or not self.node.input[number]:
            return default
        if self.node.input[number] not in self.model.constants:
            raise ValueError(f"expected input {number} to be constant, received one that depends on the image")
        return np.asarray(self.model.constants[self.node.input[number]], dtype=float)

    def whole(self, number, name) -> list[int] | None:
        """Return whole numbers that are an input, or in older models an attribute; None for neither."""
        found = self.array(number)
        found = self.get(name) if found is None else found
        return None if found is None else [int(each) for each in np.atleast_1d(found)]

    def weights(self, number) -> np.ndarray:
        """Return the array that becomes the weights of a layer, of this one alone."""
        name, found = self.node.input[number], self.array(number)
        if name in self.model.weights:
            raise ValueError(f"expected weights of its own, received {name!r}, which another layer has too")
        self.model.weights.add(name)
        return found


def _is_usual(node) -> bool:
    """Return whether a HardSigmoid is that of Keras and PyTorch."""
    alpha = next((each.f for each in node.attribute if each.name == "alpha"), 0.2)
    beta = next((each.f for each in node.attribute if each.name == "beta"), 0.5)
    return math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5


def _gemm(settings, shape):
    if settings.get("transA", 0) or settings.node.input[0] in settings.model.constants:
        raise ValueError("expected the input to be the first factor and not transposed")
    matrix, bias = settings.weights(1) * settings.get("alpha", 1.0), settings.array(2)
    matrix = matrix if settings.get("transB", 0) else matrix.T
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), len(matrix)) * settings.get("beta", 1.0)
    return translating.dense(matrix, bias, shape)


def _mat_mul(settings, shape):
    if settings.node.input[0] in settings.model.constants:
        raise ValueError("expected the input to be the first factor")
    matrix = settings.weights(1)
    if matrix.ndim != 2:
        raise ValueError(f"expected a matrix as second factor, received an array of shape {matrix.shape}")
    return translating.dense(matrix.T, None, shape)


def _linear_classifier(settings, shape):
    bias = np.array(settings.get("intercepts", [0.0]), dtype=float)
    matrix = np.array(settings.get("coefficients"), dtype=float).reshape(-1, shape[0])
    ending = settings.get("post_transform", "NONE")
    bias = np.broadcast_to(bias, len(matrix))
    if ending == "LOGISTIC" and len(matrix) == 2 and (matrix[0] == -matrix[1]).all() and bias[0] == -bias[1]:
        # The model itself has one row.
        layers = (*translating.dense(matrix[1:], bias[1:], shape), Readout.of_one_output())
        return (*layers, *translating.softmax(0, (2,), settings.where))
    layers = translating.dense(matrix, bias, shape)
    if ending == "SOFTMAX":
        return (*layers, *translating.softmax(0, (len(matrix),), settings.where))
    if ending == "NONE":
        return layers
    raise ValueError(f"expected a softmax, or two classes with a logistic function, received {ending} of {len(matrix)}")


def _normalizer(settings, shape):
    made = settings.model.made_by.get(settings.node.input[0])
    softmax = made is not None and (made.op_type == "Softmax" or _ending(made) == b"SOFTMAX")
    if settings.get("norm", "MAX") != "L1" or not softmax:
        raise ValueError("expected it to follow a softmax, whose outputs have the sum 1 already")
    return ()


def _ending(node):
    return next((each.s for each in node.attribute if each.name == "post_transform"), None)


def _window(settings, size, shape, dilation):
    """Return stride and padding of a window."""
    rank = len(size)
    stride = settings.get("strides", [1] * rank)
    pads = settings.get("pads", [0] * 2 * rank)
    padding = list(zip(pads[:rank], pads[rank:], strict=True))
    auto = settings.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        padding = translating.same_padding(shape[1:], size, stride, dilation, auto == "SAME_LOWER")
    elif auto == "VALID":
        padding = [(0, 0)] * rank
    return stride, padding


def _conv(settings, shape):
    kernel = settings.weights(1)
    size = kernel.shape[2:]
    dilation = settings.get("dilations", [1] * len(size))
    stride, padding = _window(settings, size, shape, dilation)
    groups = settings.get("group", 1)
    return translating.convolution(kernel, settings.array(2), stride, padding, dilation, groups, shape, True)


def _pool(kind):
    def convert(settings, shape):
        size = settings.get("kernel_shape")
        ones = [1] * len(size)
        if settings.get("dilations", ones) != ones or len(settings.node.output) > 1:
            raise ValueError("expected a pooling without dilation or indices")
        stride, padding = _window(settings, size, shape, ones)
        count = bool(settings.get("count_include_pad", 0))
        if settings.get("ceil_mode", 0):
            padding = _ceil_padding(kind, count, shape[1:], size, stride, padding)
        options = {"count_padding": count} if kind is AveragePool else {}
        return translating.pool(kind, size, stride, padding, shape, True, **options)

    return convert


def _ceil_padding(kind, count, lengths, size, stride, padding):
    """Return the padding of a pooling whose last windows may hang over the edge, where it can be said so."""
    found = translating.ceil_padding(lengths, size, stride, padding)
    if kind is AveragePool and count and found != [tuple(pair) for pair in padding]:
        raise ValueError("expected windows that fit, received ceil_mode with the padding counted in averages")
    return found


def _axes(given, shape) -> list[int]:
    """Return axes of a batch as axes of one sample."""
    rank = len(shape) + 1
    axes = sorted(int(axis) % rank for axis in given)
    if 0 in axes:
        raise ValueError(f"expected axes of one sample, received {list(given)}")
    return [axis - 1 for axis in axes]


def _reduce(kind):
    def convert(settings, shape):
        axes = settings.whole(1, "axes")
        axes = list(range(len(shape))) if axes is None else _axes(axes, shape)
        return translating.global_pool(kind, axes, bool(settings.get("keepdims", 1)), shape)

    return convert


def _global(kind):
    return lambda settings, shape: translating.global_pool(kind, list(range(1, len(shape))), True, shape)


def _batch_normalization(settings, shape):
    gain, offset, mean, variance = (settings.array(number) for number in range(1, 5))
    return translating.batch_norm(mean, variance, settings.get("epsilon", 1e-5), gain, offset, 0, shape)


def _layer_normalization(settings, shape):
    axis = settings.get("axis", -1) % (len(shape) + 1)
    if not axis:
        raise ValueError("expected a normalisation within one sample, received axis 0")
    axes = list(range(axis - 1, len(shape)))
    sizes = [shape[each] for each in axes]
    factor = np.broadcast_to(settings.array(1), sizes)
    shift = np.broadcast_to(settings.array(2, np.zeros(sizes)), sizes)
    return translating.layer_norm(axes, factor, shift, settings.get("epsilon", 1e-5), shape)


def _affine(operation):
    """Return the converter of an elementwise operation with a constant."""

    def convert(settings, shape):
        first = settings.node.input[0] in settings.model.constants
        c = settings.array(0 if first else 1)
        factor, shift = translating.arithmetic(operation, c, first)
        # A sum is the bias of a MatMul before it; what multiplies stays what it is.
        (scale,) = translating.scaled(factor, shift, shape)
        return (Foldable(scale.factor, scale.shift),) if operation == "Add" else (scale,)

    return convert


def _pad(settings, shape):
    pads, value, axes = settings.whole(1, "pads"), settings.array(2, settings.get("value", 0.0)), settings.whole(3, "")
    if settings.get("mode", "constant") != "constant" or np.any(value):
        raise ValueError(f"expected padding with zeros, received {settings.get('mode', 'constant')} {value}")
    rank = len(shape) + 1
    sides = np.zeros((2, rank), dtype=int)
    sides[:, range(rank) if axes is None else axes] = np.reshape(pads, (2, -1))
    if sides[:, 0].any():
        raise ValueError(f"expected no padding along the samples, received {pads}")
    return translating.padded([tuple(pair) for pair in sides.T[1:].tolist()], shape)


def _reshape(settings, shape):
    batch, *target = settings.whole(1, "shape")
    target = [shape[number] if size == 0 and number < len(shape) else size for number, size in enumerate(target)]
    whole = -1 not in target and math.prod(target) == math.prod(shape)
    if not target or not (whole or batch == BATCH or (-1 in target and batch > 0)):
        raise ValueError(f"expected the samples to stay the first axis, received {[batch, *target]} for {shape}")
    return translating.reshaped(target, shape)


def _flatten(settings, shape):
    if settings.get("axis", 1) % (len(shape) + 1) != 1:
        raise ValueError(f"expected the samples to stay the first axis, received axis {settings.get('axis')}")
    return (Flatten(),)


def _transpose(settings, shape):
    order = settings.get("perm", list(range(len(shape), -1, -1)))
    if order[0] != 0:
        raise ValueError(f"expected the samples to stay the first axis, received {order}")
    return (Permute([axis - 1 for axis in order[1:]]),)


def _squeeze(settings, shape):
    axes = settings.whole(1, "axes")
    axes = [axis for axis, size in enumerate(shape) if size == 1] if axes is None else _axes(axes, shape)
    return (Reshape([size for axis, size in enumerate(shape) if axis not in axes]),)


def _unsqueeze(settings, shape):
    axes = settings.whole(1, "axes")
    rank = len(shape) + len(axes)
    sizes, axes = iter(shape), _axes(axes, range(rank))
    return (Reshape([1 if axis in axes else next(sizes) for axis in range(rank)]),)


def _cast(settings, shape):
    if settings.get("to") not in (1, 11):  # float, double
        raise ValueError(f"expected a cast to float32 or float64, received type number {settings.get('to')}")
    return ()


def _softmax(settings, shape):
    axis = settings.get("axis", -1) % (len(shape) + 1)
    if not axis:
        raise ValueError("expected a softmax over classes, received one over samples")
    return translating.softmax(axis - 1, shape, settings.where, settings.node.op_type == "LogSoftmax")


def _clip(settings, shape):
    low, high = (settings.array(number, settings.get(name)) for number, name in ((1, "min"), (2, "max")))
    return translating.clip(*(None if limit is None else float(limit) for limit in (low, high)))


def _hard_sigmoid(settings, shape):
    if _is_usual(settings.node):
        return (Activation("hard_sigmoid"),)
    scale = translating.scaled(settings.get("alpha", 0.2), settings.get("beta", 0.5), shape)
    return (*scale, *translating.clip(0.0, 1.0))


def _selu(settings, shape):
    alpha, gamma = settings.get("alpha", 1.6732632), settings.get("gamma", 1.0507010)
    if not (math.isclose(alpha, 1.6732632, rel_tol=1e-6) and math.isclose(gamma, 1.0507010, rel_tol=1e-6)):
        raise ValueError(f"expected the usual alpha and gamma, received {alpha} and {gamma}")
    return (Activation("selu"),)


def _gelu(settings, shape):
    return (Activation("gelu_tanh" if settings.get("approximate", "none") == "tanh" else "gelu"),)


def _swish(settings, shape):
    if settings.get("alpha", 1.0) != 1.0:
        raise ValueError(f"expected alpha = 1, received {settings.get('alpha')}")
    return (Activation("silu"),)


def _shrink(settings, shape):
    bias, width = settings.get("bias", 0.0), settings.get("lambd", 0.5)
    if bias not in (0.0, width):
        raise ValueError(f"expected a bias of zero or lambd, received {bias} and {width}")
    return (Activation("soft_shrink" if bias else "hard_shrink", width),)


def _prelu(settings, shape):
    slopes = settings.array(1)
    return (PReLU(slopes[0] if slopes.ndim == len(shape) + 1 else slopes),)


def _parameter(name, default):
    """Return the converter of an elementwise function with the parameter alpha."""
    return lambda settings, shape: (Activation(name, settings.get("alpha", default)),)


def _nothing(settings, shape):
    return ()


KINDS = {
    **{kind: _affine(kind) for kind in ("Add", "Div", "Mul", "Sub")},
    "AveragePool": _pool(AveragePool),
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Celu": _parameter("celu", 1.0),
    "Clip": _clip,
    "Conv": _conv,
    "Dropout": _nothing,
    "Elu": _parameter("elu", 1.0),
    "Flatten": _flatten,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global("average"),
    "GlobalMaxPool": _global("max"),
    "HardSigmoid": _hard_sigmoid,
    "Identity": _nothing,
    "LayerNormalization": _layer_normalization,
    "LeakyRelu": lambda settings, shape: translating.leaky(settings.get("alpha", 0.01)),
    "LinearClassifier": _linear_classifier,
    "LogSoftmax": _softmax,
    "MatMul": _mat_mul,
    "MaxPool": _pool(MaxPool),
    "Neg": lambda settings, shape: translating.scaled(-1.0, 0.0, shape),
    "Normalizer": _normalizer,
    "PRelu": _prelu,
    "Pad": _pad,
    "ReduceMax": _reduce("max"),
    "ReduceMean": _reduce("average"),
    "Reshape": _reshape,
    "Scaler": lambda settings, shape: translating.scaled(
        np.array(settings.get("scale")), -np.array(settings.get("offset")) * np.array(settings.get("scale")), shape
    ),
    "Selu": _selu,
    "Shrink": _shrink,
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Swish": _swish,
    "ThresholdedRelu": lambda settings, shape: (Activation("threshold", (settings.get("alpha", 1.0), 0.0)),),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
