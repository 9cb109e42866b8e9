"""What operators of ONNX with weights, normalisation and pooling do, one node at a time."""

import numpy as np

from bea.networks import translating
from bea.networks.layers import Readout
from bea.networks.onnx_node import axes_of
from bea.networks.windows import AveragePool, MaxPool


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


def _reduce(kind):
    def convert(settings, shape):
        axes = settings.whole(1, "axes")
        axes = list(range(len(shape))) if axes is None else axes_of(axes, shape)
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


def _group_normalization(settings, shape):
    return _of_groups(settings, settings.get("num_groups"), shape)


def _instance_normalization(settings, shape):
    return _of_groups(settings, shape[0], shape)


def _of_groups(settings, groups, shape):
    # Before operator set 21 a group has one number, not each of its channels.
    factor, shift = (np.repeat(array, shape[0] // len(array)) for array in (settings.array(1), settings.array(2)))
    return translating.group_norm(groups, factor, shift, settings.get("epsilon", 1e-5), 0, shape)


KINDS = {
    "AveragePool": _pool(AveragePool),
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "Gemm": _gemm,
    "GlobalAveragePool": _global("average"),
    "GlobalMaxPool": _global("max"),
    "GroupNormalization": _group_normalization,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "LinearClassifier": _linear_classifier,
    "MatMul": _mat_mul,
    "MaxPool": _pool(MaxPool),
    "Normalizer": _normalizer,
    "ReduceMax": _reduce("max"),
    "ReduceMean": _reduce("average"),
}
