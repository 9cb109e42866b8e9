"""From Keras models to networks. Nothing here imports Keras: a model brings it along."""

import re

import numpy as np

from bea.networks import translating
from bea.networks.graph import Graph
from bea.networks.layers import Activation, Flatten
from bea.networks.normalisation import PReLU
from bea.networks.radial import RadialBasis
from bea.networks.reading import Reading, read
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
# What would work instead of layers that have no counterpart.
INSTEAD = {
    r"\w*(LSTM|GRU|RNN)\w*|Bidirectional|TimeDistributed": "a network without recurrence, of dense or Conv1D layers",
    r"\w*Attention\w*|Embedding|TextVectorization|Hashing|\w*Lookup": "a network of dense or convolution layers that "
    "takes numbers",
    r"Lambda": "the layer of Keras that does the same, for example Rescaling, Reshape or Activation",
    r"Concatenate|Multiply|Maximum|Minimum|Average|Dot|Subtract": "sums of two paths (Add) as in residual blocks",
    r"(UpSampling|Conv\dDTranspose|Resizing|CenterCrop|RandomCrop)\w*": "images of the size that the network needs",
    r"\w*3D": "layers for images or lines (2D, 1D)",
    r"(Group|Unit|RMS|Spectral)Normalization": "BatchNormalization or LayerNormalization",
    r"Adaptive\w*": "GlobalAveragePooling2D, or AveragePooling2D with a window of fixed size",
}


def reading_of(model) -> Reading:
    """Return what a built Keras model is made of, all of a kind known here.

    Raises
    ------
    ValueError
        For a layer that has no counterpart, naming it and what would work, and for a graph of another form than a
        sequence of layers and residual blocks.
    """
    try:
        inputs, outputs = model.input_shape, model.output_shape
    except AttributeError:
        raise ValueError(
            "model: expected a Sequential or functional Keras model that knows its input shape (give it a "
            f"keras.Input), received a {type(model).__name__} without"
        ) from None
    if not isinstance(inputs, tuple) or not isinstance(outputs, tuple):
        raise ValueError("model: expected one input and one output, received several")
    if None in inputs[1:]:
        raise ValueError(f"model: expected an input of fixed shape, received {inputs[1:]}")
    graph = Graph("input", inputs[1:])
    target = _go_through(graph, model, "input", "")
    dtype = "float64" if model.compute_dtype == "float64" else "float32"

    def compute(x):
        found = model(x.astype(dtype), training=False)
        # A tensor of PyTorch is to forget its derivatives before it becomes an array.
        return np.asarray(found.detach().cpu() if hasattr(found, "detach") else found)

    # Single precision leaves about 1e-6, half precision 1e-3; a wrong layer or order leaves far more.
    half = any("16" in str(layer.compute_dtype) for layer in model.layers)
    return read(graph, target, compute, 2e-2 if half else 1e-4)


def _bases(layer) -> set[str]:
    return {base.__name__ for base in type(layer).__mro__}


def _go_through(graph, model, source, path) -> str:
    """Put all layers of a model behind a value, and return the name of the value that comes out."""
    if "Sequential" in _bases(model):
        for layer in model.layers:
            source = _put(graph, layer, [source], f"{path}{layer.name}")
        return source
    if "Functional" not in _bases(model) or "layers" not in (config := _config(model)):
        raise ValueError(
            f"model: expected a Sequential or functional Keras model, received {model.name!r} of type "
            f"{type(model).__name__}, whose layers may do anything in its own call"
        )
    operations = {operation.name: operation for operation in model.operations}
    begin, end = (_ends(config[name], f"{path}{model.name}", name) for name in ("input_layers", "output_layers"))
    values, waiting = {begin: source}, {}
    for entry in config["layers"]:
        operation = operations[entry["name"]]
        first = int("Functional" in _bases(operation))  # the node 0 of a model is its own
        calls = {(operation.name, first + number): call for number, call in enumerate(entry["inbound_nodes"])}
        if len(calls) > 1 and getattr(operation, "weights", ()):
            raise ValueError(
                f"model: layer {path + operation.name!r} of type {type(operation).__name__} is used "
                f"{len(calls)} times: expected a layer with weights to be used once"
            )
        waiting |= calls
    while end not in values:
        ready = {key: _tensors(call) for key, call in waiting.items()}
        ready = {key: inputs for key, inputs in ready.items() if inputs and all(each in values for each in inputs)}
        for key, inputs in ready.items():
            name = f"{path}{key[0]}"
            name += f" (call {key[1]})" if name in graph.values else ""
            values[key] = _put(graph, operations[key[0]], [values[each] for each in inputs], name)
            del waiting[key]
    return values[end]


def _config(model) -> dict:
    """Return how a functional model describes its layers, or name the one that cannot describe itself."""
    for operation in model.operations:
        try:
            operation.get_config()
        except NotImplementedError:
            raise _no_counterpart(operation, operation.name) from None
    return model.get_config()


def _ends(found, where, name) -> tuple:
    """Return the one (layer, call) of the inputs or outputs of a functional model."""
    if not isinstance(found[0], str):
        if len(found) > 1:
            raise ValueError(f"model: {where!r}: expected one input and one output, received {len(found)} {name}")
        found = found[0]
    return tuple(found[:2])


def _tensors(call) -> list:
    """Return (layer, call) for every tensor among the arguments of a call, wherever it stands."""
    if isinstance(call, dict):
        if call.get("class_name") == "__keras_tensor__":
            return [tuple(call["config"]["keras_history"][:2])]
        call = list(call.values())
    return [each for part in call for each in _tensors(part)] if isinstance(call, list | tuple) else []


def _put(graph, layer, inputs, name) -> str:
    """Put one layer, or all those of a model, behind values, and return the name of the value that comes out."""
    kind, where = type(layer).__name__, f"layer {name!r} of type {type(layer).__name__}"
    if kind == "Add" and len(inputs) > 1:
        graph.put(name, inputs, (), where)
        return name
    if len(inputs) > 1:
        raise _no_counterpart(layer, name)
    if _bases(layer) & {"Sequential", "Functional"}:
        return _go_through(graph, layer, inputs[0], f"{name}/")
    try:
        layers = _layers_of(layer, graph.values[inputs[0]].shape, where)
    except (NotImplementedError, TypeError):
        raise _no_counterpart(layer, name) from None
    except ValueError as error:
        raise ValueError(f"model: {where}: {error}") from None
    graph.put(name, inputs, layers, where)
    return name


def _no_counterpart(layer, name) -> ValueError:
    kind = type(layer).__name__
    instead = next((text for pattern, text in INSTEAD.items() if re.fullmatch(pattern, kind)), None)
    return ValueError(
        f"model: layer {name!r} of type {kind} has no counterpart here: expected "
        f"{instead or 'dense, convolution, pooling, normalisation, reshaping and activation layers of Keras'}"
    )


def _layers_of(layer, shape, where) -> tuple:
    """Return what a layer does to a value of ``shape``."""
    kind = type(layer).__name__
    if not hasattr(layer, "get_weights"):  # an operation of keras.ops
        return _function(re.sub(r"(?<=.)([A-Z])", r"_\1", kind).lower(), shape, where)
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
        return _layers_of(layer.activation, shape, where)
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
