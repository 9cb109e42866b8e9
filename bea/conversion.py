"""From Keras models to networks. Nothing here imports Keras: a model brings it along."""

import numpy as np

from bea.layers import ACTIVATIONS, Activation, Dense, Flatten
from bea.network import Network


def from_keras(model, input_range=None) -> Network:
    """Convert a built Keras model whose layers are all known here.

    Parameters
    ----------
    model : keras.Model
        A sequence of ``Flatten``, ``Dense``, ``Activation``, ``ReLU`` and ``Dropout`` layers.
    input_range : pair of float, optional
        As in ``Network``; Keras does not store it.

    Raises
    ------
    ValueError
        For a layer that has no counterpart, naming it, and for a model whose layers are no plain sequence.
    """
    layers, output_activation = [], "linear"
    for layer in model.layers:
        kind, config = type(layer).__name__, layer.get_config()
        activation = config.get("activation", "linear")
        if kind == "Flatten" and config.get("data_format") != "channels_first":
            layers.append(Flatten())
        elif kind == "Dense":
            weights = [np.asarray(array, dtype=float) for array in layer.get_weights()]
            matrix = np.column_stack([weights[0].T, *weights[1:]])
            layers.append(Dense(matrix, bias=config["use_bias"]))
        elif kind == "ReLU" and not (config["max_value"] or config["negative_slope"] or config["threshold"]):
            activation = "relu"
        elif kind not in ("Activation", "Dropout", "InputLayer"):
            raise ValueError(f"model: layer {layer.name!r} of type {kind} with {config} has no counterpart in bea")
        if activation == "linear":
            continue
        if layer is model.layers[-1]:
            output_activation = activation
        elif isinstance(activation, str) and activation in ACTIVATIONS:
            layers.append(Activation(activation))
        else:
            raise ValueError(
                f"model: layer {layer.name!r}: expected an activation out of {sorted(ACTIVATIONS)}, "
                f"received {activation!r}"
            )
    if not isinstance(model.input_shape, tuple) or not isinstance(model.output_shape, tuple):
        raise ValueError("model: expected one input and one output, received several")
    net = Network(tuple(layers), model.input_shape[1:], output_activation, input_range)
    _check_copy(net, model)
    return net


def _check_copy(net: Network, model) -> None:
    """Raise ``ValueError`` unless the Keras model computes the same outputs as ``net`` on two random images."""
    probe = np.random.default_rng(0).random((2, *net.input_shape))
    theirs = np.asarray(model(probe.astype(model.compute_dtype)), dtype=float)
    ours = net(probe)
    if net.output_activation == "softmax":
        ours = np.exp(ours - ours.max(axis=1, keepdims=True))
        ours /= ours.sum(axis=1, keepdims=True)
    else:
        ours = ACTIVATIONS[net.output_activation][0](ours)
    gap = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1.0)
    if not gap <= 1e-3:  # single precision leaves about 1e-6; a wrong order of layers or pixels leaves about one
        raise ValueError(
            f"model: expected a plain sequence of layers with the channels last, received one whose outputs "
            f"differ from those of its layers in sequence by {gap:.1e}"
        )
