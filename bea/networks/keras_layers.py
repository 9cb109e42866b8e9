"""What the layers of Keras do to a value of some shape, by their kinds. Nothing here imports Keras."""

import re

import numpy as np

from bea.networks import translating
from bea.networks.layers import Activation, Flatten
from bea.networks.normalisation import PReLU
from bea.networks.radial import RadialBasis
from bea.networks.reshaping import Permute
from bea.networks.windows import AveragePool, MaxPool

# What an activation is called in ``Activation``, with the parameter that Keras has unless told otherwise.
PLAIN = {
    **{name: (name,) for name in ("exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "linear")},
    **{name: (name,) for name in ("log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softplus")},
    **{name: (name,) for name in ("softsign", "sparse_plus", "sparse_sigmoid", "tanh", "tanh_shrink")},
    **{"celu": ("celu", 1.0), "elu": ("elu", 1.0), "hard_shrink": ("hard_shrink", 0.5), "swish": ("silu",)},
    **{"hard_swish": ("hard_silu",), "leaky_relu": ("leaky_relu", 0.2), "soft_shrink": ("soft_shrink", 0.5)},
    "squareplus": ("smooth_relu", 2.0),
}
# Layers that do nothing once a model is trained, besides those that augment images at random.
NOTHING = {"ActivityRegularization", "AlphaDropout", "AugMix", "CutMix", "Dropout", "GaussianDropout", "GaussianNoise"}
NOTHING |= {"Identity", "InputLayer", "MixUp", "RandAugment", "SpatialDropout1D", "SpatialDropout2D"}


def layers_of(layer, shape, where) -> tuple:
    """Return what a layer does to a value of ``shape``; ``where`` is how errors name it.

    Raises
    ------
    NotImplementedError
        For a kind that is not known.
    ValueError
        For a setting that is not.
    """
    kind = type(layer).__name__
    if not hasattr(layer, "get_weights"):  # an operation of keras.ops
        name = re.sub(r"(?<=.)([A-Z])", r"_\1", kind).lower()
        if name not in PLAIN:
            raise NotImplementedError
        return _function(name, shape, where)
    if kind in NOTHING or (kind.startswith("Random") and kind != "RandomCrop"):
        return ()
    if kind not in KINDS:
        raise NotImplementedError
    config = layer.get_config()
    config["first"] = config.get("data_format") == "channels_first"
    layers = KINDS[kind](layer, config, shape, where)
    if kind == "Activation" or "activation" not in config:
        return layers
    for each in layers:
        shape = each.output_shape(shape)
    return (*layers, *_activation(layer, config, shape, where))


def _activation(layer, config, shape, where) -> tuple:
    """Return the activation of a layer, which may be a layer itself."""
    if hasattr(layer.activation, "get_weights"):
        return layers_of(layer.activation, shape, where)
    return _function(config["activation"], shape, where)


def _function(name, shape, where) -> tuple:
    """Return an elementwise function, or a softmax, by its name in Keras."""
    if name in ("softmax", "log_softmax"):
        return translating.softmax(-1, shape, where, name == "log_softmax")
    if not isinstance(name, str) or name not in PLAIN:
        raise ValueError(f"expected an activation out of {sorted(PLAIN)}, received {name!r}")
    return () if name == "linear" else (Activation(*PLAIN[name]),)


def _arrays(layer, count) -> list[np.ndarray]:
    found = [np.asarray(array, dtype=float) for array in layer.get_weights()]
    if len(found) != count:
        raise ValueError(f"expected {count} arrays of weights, received {len(found)}")
    return found


def _dense(layer, config, shape, where):
    kernel, *bias = _arrays(layer, 1 + config["use_bias"])
    return translating.dense(kernel.T, bias[0] if bias else None, shape)


def _spatial(config, shape):
    return shape[1:] if config["first"] else shape[:-1]


def _convolve(kernel, bias, config, shape, groups, plain=False):
    """Return a convolution with kernel (filters, channels of a group, *window), or one of single pixels if plain."""
    ones = (1,) * (kernel.ndim - 2)
    stride, dilation = (ones, ones) if plain else (config["strides"], config["dilation_rate"])
    size, padding = kernel.shape[2:], [(0, 0)] * len(ones)
    if config["padding"] == "same" and not plain:
        padding = translating.same_padding(_spatial(config, shape), size, stride, dilation)
    elif config["padding"] == "causal" and not plain:
        padding = [((size[0] - 1) * dilation[0], 0)]
    return translating.convolution(kernel, bias, stride, padding, dilation, groups, shape, config["first"])


def _convolution(layer, config, shape, where):
    kernel, *bias = _arrays(layer, 1 + config["use_bias"])
    kernel = np.moveaxis(kernel, (-1, -2), (0, 1))
    return _convolve(kernel, bias[0] if bias else None, config, shape, config["groups"])


def _each_channel(kernel):
    """Return a depthwise kernel (*window, channels, m) as one of as many groups as channels, with that number."""
    channels = kernel.shape[-2]
    kernel = np.moveaxis(kernel, (-2, -1), (0, 1))
    return kernel.reshape(-1, 1, *kernel.shape[2:]), channels


def _depthwise(layer, config, shape, where):
    kernel, *bias = _arrays(layer, 1 + config["use_bias"])
    kernel, channels = _each_channel(kernel)
    return _convolve(kernel, bias[0] if bias else None, config, shape, channels)


def _separable(layer, config, shape, where):
    each, mix, *bias = _arrays(layer, 2 + config["use_bias"])
    kernel, channels = _each_channel(each)
    layers = _convolve(kernel, None, config, shape, channels)
    for one in layers:
        shape = one.output_shape(shape)
    mix = np.moveaxis(mix, (-1, -2), (0, 1))
    return layers + _convolve(mix, bias[0] if bias else None, config, shape, 1, plain=True)


def _pool(layer, config, shape, where):
    kind = MaxPool if "Max" in type(layer).__name__ else AveragePool
    size, stride = (np.atleast_1d(config[name]) for name in ("pool_size", "strides"))
    padding = [(0, 0)] * len(size)
    if config["padding"] == "same":
        padding = translating.same_padding(_spatial(config, shape), size, stride, [1] * len(size))
    return translating.pool(kind, size, stride, padding, shape, config["first"])


def _global_pool(layer, config, shape, where):
    kind = "max" if "Max" in type(layer).__name__ else "average"
    axes = range(1, len(shape)) if config["first"] else range(len(shape) - 1)
    return translating.global_pool(kind, list(axes), config["keepdims"], shape)


def _axes(given, shape) -> list[int]:
    """Return axes of a batch, as Keras counts them, as axes of one sample."""
    return [axis - 1 if axis > 0 else axis + len(shape) for axis in np.atleast_1d(given).tolist()]


def _batch_normalization(layer, config, shape, where):
    found = _arrays(layer, 2 + config["scale"] + config["center"])
    gain = found.pop(0) if config["scale"] else 1.0
    offset = found.pop(0) if config["center"] else 0.0
    (axis,) = _axes(config["axis"], shape)
    return translating.batch_norm(*found, config["epsilon"], gain, offset, axis, shape)


def _layer_normalization(layer, config, shape, where):
    if config.get("rms_scaling"):
        raise ValueError("expected a layer normalisation that takes off the mean, received rms_scaling=True")
    axes = _axes(config["axis"], shape)
    found, sizes = _arrays(layer, config["scale"] + config["center"]), [shape[axis] for axis in axes]
    factor = found.pop(0) if config["scale"] else np.ones(sizes)
    shift = found.pop(0) if config["center"] else np.zeros(sizes)
    return translating.layer_norm(axes, factor, shift, config["epsilon"], shape)


def _group_normalization(layer, config, shape, where):
    (axis,) = _axes(config["axis"], shape)
    found = _arrays(layer, config["scale"] + config["center"])
    factor = found.pop(0) if config["scale"] else 1.0
    shift = found.pop(0) if config["center"] else 0.0
    groups = shape[axis] if config["groups"] == -1 else config["groups"]
    return translating.group_norm(groups, factor, shift, config["epsilon"], axis, shape)


def _normalization(layer, config, shape, where):
    mean, variance = (
        np.asarray(array.detach().cpu() if hasattr(array, "detach") else array, dtype=float)
        for array in (layer.mean, layer.variance)
    )
    deviation = np.maximum(np.sqrt(variance), 1e-7)  # as Keras does
    if config.get("invert"):
        return translating.scaled(deviation, mean, shape)
    return translating.scaled(1.0 / deviation, -mean / deviation, shape)


def _sides(name, sign):
    """Return how zeros are put around, or pixels cut off: ``name`` is the setting of both kinds of layers."""

    def convert(layer, config, shape, where):
        sides = np.reshape(config[name], (-1, 2))
        rest = [(0, 0)]
        sides = [tuple(sign * int(side) for side in pair) for pair in sides]
        return translating.padded(rest + sides if config["first"] else sides + rest, shape)

    return convert


def _flatten(layer, config, shape, where):
    if config["first"] and len(shape) > 1:
        return Permute((*range(1, len(shape)), 0)), Flatten()
    return (Flatten(),)


def _prelu(layer, config, shape, where):
    return (PReLU(*_arrays(layer, 1)),)


def _elu(layer, config, shape, where):
    return (Activation("elu", config["alpha"]),) if config["alpha"] else (Activation("relu"),)


def _radial_basis(layer, config, shape, where):
    centres, log_sharpness = _arrays(layer, 2)
    return (RadialBasis(centres, np.exp(log_sharpness)),)


KINDS = {
    "Activation": _activation,
    "AveragePooling1D": _pool,
    "AveragePooling2D": _pool,
    "BatchNormalization": _batch_normalization,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "Cropping1D": _sides("cropping", -1),
    "Cropping2D": _sides("cropping", -1),
    "Dense": _dense,
    "DepthwiseConv1D": _depthwise,
    "DepthwiseConv2D": _depthwise,
    "ELU": _elu,
    "Flatten": _flatten,
    "GlobalAveragePooling1D": _global_pool,
    "GlobalAveragePooling2D": _global_pool,
    "GlobalMaxPooling1D": _global_pool,
    "GlobalMaxPooling2D": _global_pool,
    "GroupNormalization": _group_normalization,
    "LayerNormalization": _layer_normalization,
    "LeakyReLU": lambda layer, config, shape, where: translating.leaky(config["negative_slope"]),
    "MaxPooling1D": _pool,
    "MaxPooling2D": _pool,
    "Normalization": _normalization,
    "PReLU": _prelu,
    "Permute": lambda layer, config, shape, where: (Permute([axis - 1 for axis in config["dims"]]),),
    "RadialBasis": _radial_basis,
    "ReLU": lambda layer, config, shape, where: translating.rectified(
        float(config["negative_slope"]), float(config["threshold"]), config["max_value"]
    ),
    "Rescaling": lambda layer, config, shape, where: translating.scaled(layer.scale, layer.offset, shape),
    "Reshape": lambda layer, config, shape, where: translating.reshaped(config["target_shape"], shape),
    "SeparableConv1D": _separable,
    "SeparableConv2D": _separable,
    "Softmax": lambda layer, config, shape, where: translating.softmax(_axes(config["axis"], shape)[0], shape, where),
    "ZeroPadding1D": _sides("padding", 1),
    "ZeroPadding2D": _sides("padding", 1),
}
