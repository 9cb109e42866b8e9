"""What layers of PyTorch with weights, normalisation and pooling do, one call at a time."""

import numpy as np

from bea.networks import translating
from bea.networks.normalisation import PReLU
from bea.networks.torch_step import axes_of, one_each
from bea.networks.windows import AveragePool, MaxPool


def _linear(step):
    return translating.dense(step.array("weight"), step.array("bias"), step.shape)


def _conv(step):
    kernel = step.array("weight")
    rank = kernel.ndim - 2
    if step.get("padding_mode", "zeros") != "zeros":
        raise ValueError(f"expected padding with zeros, received {step.get('padding_mode')}")
    stride, dilation = (one_each(step.get(name, 1), rank) for name in ("stride", "dilation"))
    padding = step.get("padding", 0)
    if padding == "same":
        padding = translating.same_padding(step.shape[1:], kernel.shape[2:], [1] * rank, dilation)
    else:
        padding = [(side, side) for side in one_each(0 if padding == "valid" else padding, rank)]
    bias = step.array("bias")
    return translating.convolution(kernel, bias, stride, padding, dilation, step.get("groups", 1), step.shape, True)


def _batch_norm(step):
    if step.get("running_mean") is None or step.get("training"):
        raise ValueError("expected running statistics, received a batch normalisation without, or one that trains")
    mean, variance, gain, offset = (step.array(name) for name in ("running_mean", "running_var", "weight", "bias"))
    gain, offset = 1.0 if gain is None else gain, 0.0 if offset is None else offset
    return translating.batch_norm(mean, variance, step.get("eps", 1e-5), gain, offset, 0, step.shape)


def _layer_norm(step):
    sizes = tuple(step.get("normalized_shape"))
    factor, shift = step.array("weight"), step.array("bias")
    axes = list(range(len(step.shape) - len(sizes), len(step.shape)))
    factor = np.ones(sizes) if factor is None else factor
    shift = np.zeros(sizes) if shift is None else shift
    return translating.layer_norm(axes, factor, shift, step.get("eps", 1e-5), step.shape)


def _group_norm(step):
    return _of_groups(step, step.get("num_groups"))


def _instance_norm(step):
    if step.get("track_running_stats", False) or not step.get("use_input_stats", True):
        return _batch_norm(step)
    return _of_groups(step, step.shape[0])


def _of_groups(step, groups):
    factor, shift = step.array("weight"), step.array("bias")
    factor, shift = 1.0 if factor is None else factor, 0.0 if shift is None else shift
    return translating.group_norm(groups, factor, shift, step.get("eps", 1e-5), 0, step.shape)


def _prelu(step):
    slopes = step.array("weight")
    return (PReLU(slopes[0] if slopes.size == 1 else translating.along(slopes, 0, step.shape)),)


def _pool(kind):
    def convert(step):
        rank = len(step.shape) - 1
        size = one_each(step.get("kernel_size"), rank)
        stride = one_each(step.get("stride") or size, rank)
        padding = [(side, side) for side in one_each(step.get("padding", 0), rank)]
        if (
            step.get("return_indices")
            or step.get("divisor_override")
            or {*one_each(step.get("dilation", 1), rank)} != {1}
        ):
            raise ValueError("expected a pooling without dilation, indices or a divisor of its own")
        count = kind is AveragePool and bool(step.get("count_include_pad", True))
        if step.get("ceil_mode"):
            found = translating.ceil_padding(step.shape[1:], size, stride, padding)
            if count and found != padding:
                raise ValueError("expected windows that fit, received ceil_mode with the padding counted in averages")
            padding = found
        options = {"count_padding": count} if kind is AveragePool else {}
        return translating.pool(kind, size, stride, padding, step.shape, True, **options)

    return convert


def _adaptive(kind):
    def convert(step):
        lengths = step.shape[1:]
        asked = step.get("output_size")
        asked = [asked] * len(lengths) if np.ndim(asked) == 0 else list(asked)
        sizes = [length if each is None else int(each) for each, length in zip(asked, lengths, strict=True)]
        if set(sizes) == {1}:
            name = "average" if kind is AveragePool else "max"
            return translating.global_pool(name, list(range(1, len(step.shape))), True, step.shape)
        if any(length % size for length, size in zip(lengths, sizes, strict=True)):
            raise ValueError(f"expected sizes that divide {lengths}, received {sizes}: windows would differ in size")
        windows = [length // size for length, size in zip(lengths, sizes, strict=True)]
        return translating.pool(kind, windows, windows, [(0, 0)] * len(windows), step.shape, True)

    return convert


def _mean(kind):
    def convert(step):
        if step.get("dim") is None:
            raise ValueError("expected axes to reduce, received none")
        return translating.global_pool(
            kind, axes_of(step.get("dim"), step.shape), bool(step.get("keepdim")), step.shape
        )

    return convert


MODULES = {
    "adaptiveavgpool": _adaptive(AveragePool),
    "adaptivemaxpool": _adaptive(MaxPool),
    "avgpool": _pool(AveragePool),
    "batchnorm": _batch_norm,
    "conv": _conv,
    "groupnorm": _group_norm,
    "instancenorm": _instance_norm,
    "layernorm": _layer_norm,
    "linear": _linear,
    "maxpool": _pool(MaxPool),
    "prelu": _prelu,
}
FUNCTIONS = {
    **dict.fromkeys(("adaptiveavgpool1d", "adaptiveavgpool2d"), _adaptive(AveragePool)),
    **dict.fromkeys(("adaptivemaxpool1d", "adaptivemaxpool2d"), _adaptive(MaxPool)),
    **dict.fromkeys(("avgpool1d", "avgpool2d"), _pool(AveragePool)),
    **dict.fromkeys(("conv1d", "conv2d"), _conv),
    **dict.fromkeys(("maxpool1d", "maxpool2d"), _pool(MaxPool)),
    "amax": _mean("max"),
    "batchnorm": _batch_norm,
    "groupnorm": _group_norm,
    "instancenorm": _instance_norm,
    "layernorm": _layer_norm,
    "linear": _linear,
    "mean": _mean("average"),
    "prelu": _prelu,
}
# The names of the arguments of functions and methods behind the tensor.
WINDOW = ("kernel_size", "stride", "padding")
ARGUMENTS = {
    **dict.fromkeys(("adaptiveavgpool1d", "adaptiveavgpool2d"), ("output_size",)),
    **dict.fromkeys(("adaptivemaxpool1d", "adaptivemaxpool2d"), ("output_size", "return_indices")),
    **dict.fromkeys(("avgpool1d", "avgpool2d"), (*WINDOW, "ceil_mode", "count_include_pad", "divisor_override")),
    **dict.fromkeys(("conv1d", "conv2d"), ("weight", "bias", "stride", "padding", "dilation", "groups")),
    **dict.fromkeys(("maxpool1d", "maxpool2d"), (*WINDOW, "dilation", "ceil_mode", "return_indices")),
    **dict.fromkeys(("amax", "mean"), ("dim", "keepdim")),
    "batchnorm": ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "groupnorm": ("num_groups", "weight", "bias", "eps"),
    "instancenorm": ("running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps"),
    "layernorm": ("normalized_shape", "weight", "bias", "eps"),
    "linear": ("weight", "bias"),
    "prelu": ("weight",),
}
# In exported programmes some stand in another order.
AVERAGES = ("weight", "bias", "running_mean", "running_var")
EXPORTED = {
    "batchnorm": (*AVERAGES, "training", "momentum", "eps"),
    "instancenorm": (*AVERAGES, "use_input_stats", "momentum", "eps"),
}
