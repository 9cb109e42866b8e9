"""From ONNX models to networks, by ONNX' own reader; the package ``onnx`` is imported when one is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bea.networks import translating
from bea.networks.graph import Graph
from bea.networks.layers import Activation, Readout
from bea.networks.onnx_functions import GRID, Functions
from bea.networks.onnx_node import BATCH, Model, Settings
from bea.networks.onnx_operators import KINDS, PLAIN
from bea.networks.reading import Reading, read

INSTEAD = {
    **dict.fromkeys(
        ("LSTM", "GRU", "RNN", "Loop", "Scan", "If"), "a network without recurrence or branches of control"
    ),
    **dict.fromkeys(("Gather", "Attention"), "a network of dense or convolution layers that takes numbers"),
    **dict.fromkeys(("Mul", "Concat", "Sub", "Max", "Min"), "sums of two paths (Add) as in residual blocks"),
    **dict.fromkeys(("Erf", "Div"), "GELU as one node: an export with operator set 20 or later"),
    **dict.fromkeys(("ConvTranspose", "Resize", "Upsample"), "images of the size that the network needs"),
    **dict.fromkeys(("LpNormalization", "RMSNormalization"), "BatchNormalization or LayerNormalization"),
    **dict.fromkeys(("TreeEnsembleClassifier", "SVMClassifier"), "a neural network or a logistic regression"),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "QLinearConv"), "the model before its quantisation"),
}


def reading_of(model) -> Reading:
    """Return what an ONNX model, or the file of one, is made of.

    Raises
    ------
    ImportError
        Without the package ``onnx``.
    FileNotFoundError
        If there is no such file.
    ValueError
        For a file that is no ONNX model, for a node that has no counterpart, naming it and what would work, and for a
        graph of another form than a sequence of layers and residual blocks.
    MemoryError
        Where there is not enough memory, which says nothing about the model.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError(
            "Network.from_onnx needs the package onnx, which is not installed: pip install 'bea[onnx]'"
        ) from None
    if not isinstance(model, onnx.ModelProto):
        model = _load(onnx, Path(model))
    with _refused():
        return _reading(onnx, model)


@contextmanager
def _refused() -> Iterator[None]:
    """Make one kind of error of all but a lack of memory: what is no model of its standard may fail in any way."""
    try:
        yield
    except (ValueError, ImportError, MemoryError):
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"model: expected one that ONNX itself can run, found {found}") from None


def _reading(onnx, model) -> Reading:
    from onnx.reference import ReferenceEvaluator

    constants = {array.name: onnx.numpy_helper.to_array(array) for array in model.graph.initializer}
    source, shape, fixed, dtype = _input(onnx, model, constants)
    made_by = {name: node for node in model.graph.node for name in node.output}
    target = _output(onnx, model, made_by)
    nodes = _needed(model, made_by, target)

    def evaluator(nodes, inputs, outputs):
        """Return the evaluator of some nodes, from some values to others."""
        part = onnx.helper.make_graph(nodes, "part", inputs, outputs, model.graph.initializer)
        whole = onnx.helper.make_model(part, opset_imports=model.opset_import, functions=model.functions)
        whole.ir_version = model.ir_version
        return ReferenceEvaluator(whole)

    def fold(node):
        inputs = [name for name in node.input if name in constants and name not in initial]
        infos = [onnx.helper.make_tensor_value_info(name, _type(onnx, constants[name]), None) for name in inputs]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
        return evaluator([node], infos, outputs).run(None, {name: constants[name] for name in inputs})

    def on_grid(parts, root, name):
        chosen = {id(part) for part in parts}
        info = onnx.helper.make_tensor_value_info(root, onnx.helper.np_dtype_to_tensor_dtype(dtype), None)
        part = evaluator([each for each in nodes if id(each) in chosen], [info], [onnx.ValueInfoProto(name=name)])
        return part.run(None, {root: GRID.astype(dtype)})[0]

    initial = set(constants)
    known = Model(Graph(source, shape), made_by, constants, fold)
    functions = Functions(made_by, constants, on_grid)
    for node in nodes:
        _put(onnx, known, functions, node)
    if target in known.unknown:
        raise known.unknown[target]
    if target not in known.graph.values:
        raise ValueError("model: expected an output that depends on the input, received a constant one")
    inputs, outputs = [i for i in model.graph.input if i.name == source], [onnx.ValueInfoProto(name=target)]
    whole = evaluator([part for node in nodes for part in _padded_apart(onnx, node)], inputs, outputs)

    def compute(x):
        with _refused():
            return whole.run(None, {source: x.astype(dtype)})[0]

    return read(known.graph, target, compute, 1e-4, fixed)  # single precision leaves about 1e-6


def _padded_apart(onnx, node) -> list:
    """Return a MaxPool with padding as a Pad and a MaxPool without, and other nodes as they are.

    The reference of ONNX takes the padding of a MaxPool in another order than the standard has it.
    """
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    pads = attributes.pop("pads", [0])
    if node.op_type != "MaxPool" or not any(pads) or attributes.get("ceil_mode"):
        return [node]
    rank = len(pads) // 2
    names = [f"{node.output[0]} {what}" for what in ("pads", "lowest", "padded")]
    return [
        onnx.helper.make_node("Constant", [], names[:1], value_ints=[0, 0, *pads[:rank], 0, 0, *pads[rank:]]),
        onnx.helper.make_node("Constant", [], names[1:2], value_float=-np.inf),
        onnx.helper.make_node("Pad", [node.input[0], *names[:2]], names[2:]),
        onnx.helper.make_node("MaxPool", names[2:], list(node.output), **attributes),
    ]


def _load(onnx, path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected an ONNX model, found none")
    try:
        model = onnx.load(path)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(f"{path}: expected an ONNX model, found none ({type(error).__name__}: {error})") from None
    if not model.graph.node:
        raise ValueError(f"{path}: expected an ONNX model, found none, or one without nodes")
    return model


def _type(onnx, array):
    return onnx.helper.np_dtype_to_tensor_dtype(array.dtype)


def _input(onnx, model, constants) -> tuple:
    """Return name, shape of one sample, number of samples if it is fixed, and type of the one input."""
    inputs = [each for each in model.graph.input if each.name not in constants]
    if len(inputs) != 1:
        raise ValueError(f"model: expected one input, received {[each.name for each in inputs]}")
    kind = inputs[0].type.tensor_type
    batch, *sizes = [each.dim_value for each in kind.shape.dim] or [0]
    if not sizes or not all(sizes):
        raise ValueError(
            f"model: expected an input of fixed shape behind the axis of the samples, received "
            f"{[each.dim_value or each.dim_param or None for each in kind.shape.dim]} for {inputs[0].name!r}"
        )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"model: expected an input of float32 or float64, received {dtype} for {inputs[0].name!r}")
    return inputs[0].name, tuple(sizes), batch, dtype


def _output(onnx, model, made_by) -> str:
    """Return the name of the one output, or of the probabilities behind those of a classifier of scikit-learn."""
    found = []
    for output in model.graph.output:
        node = made_by.get(output.name)
        if node is not None and node.op_type == "ZipMap":
            found.append(node.input[0])
        elif output.type.tensor_type.elem_type in (0, onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            found.append(output.name)
    if len(found) != 1:
        raise ValueError(f"model: expected one output of floating point numbers, received {found or 'none'}")
    return found[0]


def _needed(model, made_by, target) -> list:
    """Return the nodes on which a value depends, in their order."""
    wanted, waiting = set(), [target]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None and id(node) not in wanted:
            wanted.add(id(node))
            waiting += node.input
    return [node for node in model.graph.node if id(node) in wanted]


def _put(onnx, model, functions, node) -> None:
    """Put down what one node makes: a constant, or a value of the graph, or an error for when the value is needed."""
    where, output = f"node {node.name or node.output[0]!r} of type {node.op_type}", _output_of(node)
    values, unknown = model.graph.values, model.unknown
    inputs = [name for name in node.input if name in values or name in unknown]
    if not inputs:
        model.constants |= dict(zip(node.output, model.fold(node), strict=True))
        return
    functions.note(node, inputs)
    errors = [unknown[name] for name in inputs if name in unknown]
    try:
        if errors:
            raise errors[0]
        shape = values[inputs[0]].shape
        if node.op_type == "Shape":
            model.constants[output] = np.array([BATCH, *shape])
            return
        inputs, layers = _converted(Settings(model, node, _attributes(onnx, node), where), inputs, shape)
    except NotImplementedError:
        instead = INSTEAD.get(node.op_type, "dense, convolution, pooling, normalisation and activation operators")
        errors = [ValueError(f"model: {where} has no counterpart here: expected {instead}")]
    except ValueError as error:
        errors = errors or [ValueError(f"model: {where}: {error}")]
    if errors:
        found = functions.layers_of(output)
        if found is None:
            unknown[output] = errors[0]
            return
        inputs, layers = [found[0]], found[1]
    model.graph.put(output, inputs, layers, where)


def _attributes(onnx, node) -> dict:
    found = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def _output_of(node) -> str:
    """Return the output that counts: of a LinearClassifier the second, its scores."""
    return node.output[1 if node.op_type == "LinearClassifier" else 0]


def _converted(settings, inputs, shape) -> tuple:
    """Return inputs and layers of a node."""
    kind = settings.node.op_type
    if len(inputs) > 1:
        return _joined(settings, inputs, shape)
    if kind in PLAIN:
        return inputs, (Activation(PLAIN[kind]),)
    if kind not in KINDS:
        raise NotImplementedError
    return inputs, KINDS[kind](settings, shape)


def _joined(settings, inputs, shape) -> tuple:
    """Return inputs and layers of a node that joins values: a sum, or the two classes of one sigmoid."""
    node, model = settings.node, settings.model
    if node.op_type in ("Add", "Sum"):
        return inputs, ()
    if node.op_type == "Concat" and len(inputs) == 2 and shape == (1,):
        # Scikit-learn's classifiers of two classes: one minus the sigmoid, and the sigmoid.
        first, second = (model.made_by.get(name) for name in inputs)
        one_minus = first is not None and first.op_type == "Sub" and first.input[1] == inputs[1]
        one_minus = one_minus and np.all(model.constants.get(first.input[0]) == 1.0)
        if one_minus and second is not None and second.op_type == "Sigmoid":
            readout = Readout.of_one_output()
            return [second.input[0]], (readout, *translating.softmax(0, (2,), settings.where))
    raise NotImplementedError
