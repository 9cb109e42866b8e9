"""From Keras models to networks. Nothing here imports Keras: a model brings it along."""

import numpy as np

from bea.networks.activations import ACTIVATIONS
from bea.networks.layers import Activation, Dense, Flatten, Layer
from bea.networks.radial import RadialBasis
from bea.networks.windows import AveragePool, Convolution, MaxPool

POOLS = {"MaxPooling2D": MaxPool, "AveragePooling2D": AveragePool}
FUNCTIONS = {"ReLU": "relu", "Softmax": "softmax"}  # layers that are an activation and nothing else


def layers_of(model) -> tuple[tuple[Layer, ...], str]:
    """Return the layers of a built Keras model, all of a kind known here, and its output activation.

    Raises
    ------
    ValueError
        For a layer that has no counterpart, naming it, and for a model whose layers are no plain sequence.
    """
    if not isinstance(model.input_shape, tuple) or not isinstance(model.output_shape, tuple):
        raise ValueError("model: expected one input and one output, received several")
    shape = model.input_shape[1:]
    if None in shape:
        raise ValueError(f"model: expected an input of fixed shape, received {shape}")
    steps = [layer for layer in model.layers if type(layer).__name__ not in ("Dropout", "InputLayer")]
    layers, output_activation = [], "linear"
    for step in steps:
        kind, config = type(step).__name__, step.get_config()
        if kind != "Activation" and not _is_function(kind, config):
            layers.append(_convert(step, kind, config, shape))
            try:
                shape = layers[-1].output_shape(shape)
            except ValueError as error:
                raise ValueError(f"model: layer {step.name!r}: {error}") from None
        activation = FUNCTIONS.get(kind) or config.get("activation", "linear")
        if activation == "linear":
            continue
        if step is steps[-1]:
            output_activation = activation
        elif isinstance(activation, str) and activation in ACTIVATIONS:
            layers.append(Activation(activation))
        else:
            raise ValueError(
                f"model: layer {step.name!r}: expected an activation out of {sorted(ACTIVATIONS)}, "
                f"received {activation!r}"
            )
    return tuple(layers), output_activation


def _is_function(kind, config) -> bool:
    """Return whether a Keras layer is just one of ``FUNCTIONS``."""
    if kind == "ReLU":
        return not (config["max_value"] or config["negative_slope"] or config["threshold"])
    return kind == "Softmax" and config["axis"] == -1


def _convert(layer, kind, config, shape) -> Layer:
    """Return the counterpart of a Keras layer, without its activation, for inputs of ``shape``."""
    match config | {"kind": kind, "data_format": config.get("data_format", "channels_last")}:
        case {"kind": "Flatten", "data_format": "channels_last"}:
            return Flatten()
        case {"kind": "Dense"}:
            return Dense(_matrix(layer), bias=config["use_bias"])
        case {"kind": "Conv2D", "data_format": "channels_last", "dilation_rate": (1, 1), "groups": 1}:
            size, stride, padding = config["kernel_size"], config["strides"], 0
            if config["padding"] == "same":
                padding = [_same(*lengths) for lengths in zip(shape, size, stride, strict=False)]
            return Convolution(_matrix(layer), size, stride, padding, config["use_bias"])
        case {"kind": "MaxPooling2D" | "AveragePooling2D", "data_format": "channels_last", "padding": "valid"}:
            return POOLS[kind](config["pool_size"], config["strides"])
        case {"kind": "RadialBasis"}:
            centres, log_sharpness = (np.asarray(array, dtype=float) for array in layer.get_weights())
            return RadialBasis(centres, np.exp(log_sharpness))
    raise ValueError(f"model: layer {layer.name!r} of type {kind} with {config} has no counterpart in bea")


def _matrix(layer) -> np.ndarray:
    """Return the weights of a Keras layer with the outputs as rows, and the bias as last column if there is one."""
    kernel, *bias = [np.asarray(array, dtype=float) for array in layer.get_weights()]
    return np.column_stack([kernel.reshape(-1, kernel.shape[-1]).T, *bias])


def _same(length, window, stride) -> tuple[int, int]:
    """Return the zeros before and after ``length`` pixels that Keras' padding "same" means."""
    total = max((-(-length // stride) - 1) * stride + window - length, 0)
    return total // 2, total - total // 2


def check_copy(net, model) -> None:
    """Raise ``ValueError`` unless the Keras model computes the same outputs as ``net`` on two random images."""
    probe = np.random.default_rng(0).random((2, *net.input_shape))
    theirs = np.asarray(model(probe.astype(model.compute_dtype)), dtype=float)
    ours = net.activate(net(probe))
    gap = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1.0)
    if not gap <= 1e-3:  # single precision leaves about 1e-6; a wrong order of layers or pixels leaves about one
        raise ValueError(
            f"model: expected a plain sequence of layers with the channels last, received one whose outputs "
            f"differ from those of its layers in sequence by {gap:.1e}"
        )
