"""From Keras models to networks. Nothing here imports Keras: a model brings it along."""

import re

import numpy as np

from bea.networks.graph import Graph
from bea.networks.keras_layers import layers_of
from bea.networks.reading import Reading, read

# What would work instead of layers that have no counterpart.
INSTEAD = {
    r"\w*(LSTM|GRU|RNN)\w*|Bidirectional|TimeDistributed": "a network without recurrence, of dense or Conv1D layers",
    r"\w*Attention\w*|Embedding|TextVectorization|Hashing|\w*Lookup": "a network of dense or convolution layers that "
    "takes numbers",
    r"Lambda": "the layer of Keras that does the same, for example Rescaling, Reshape or Activation",
    r"Concatenate|Multiply|Maximum|Minimum|Average|Dot|Subtract": "sums of two paths (Add) as in residual blocks",
    r"(UpSampling|Conv\dDTranspose|Resizing|CenterCrop|RandomCrop)\w*": "images of the size that the network needs",
    r"\w*3D": "layers for images or lines (2D, 1D)",
    r"(Unit|RMS|Spectral)Normalization": "BatchNormalization, GroupNormalization or LayerNormalization",
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
    several = {entry["name"] for entry in config["layers"] if len(entry["inbound_nodes"]) > 1}

    def key_of(layer, call):
        # The calls of a model within a model are not counted from the same number everywhere.
        return layer, call if layer in several else 0

    values, waiting = {key_of(*begin): source}, {}
    for entry in config["layers"]:
        operation = operations[entry["name"]]
        calls = {(operation.name, number): call for number, call in enumerate(entry["inbound_nodes"])}
        if len(calls) > 1 and (getattr(operation, "weights", ()) or hasattr(operation, "layers")):
            raise ValueError(
                f"model: layer {path + operation.name!r} of type {type(operation).__name__} is used "
                f"{len(calls)} times: expected a model, or a layer with weights, to be used once"
            )
        waiting |= calls
    while (end := key_of(*end)) not in values:
        ready = {key: [key_of(*each) for each in _tensors(call)] for key, call in waiting.items()}
        ready = {key: inputs for key, inputs in ready.items() if inputs and all(each in values for each in inputs)}
        if not ready:
            raise ValueError(f"model: {path + model.name!r}: expected layers that lead from its input to its output")
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
        layers = layers_of(layer, graph.values[inputs[0]].shape, where)
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
