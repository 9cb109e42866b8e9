"""From ONNX models to networks, by ONNX' own reader; the package ``onnx`` is imported when one is read."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bea.networks import translating
from bea.networks.graph import Graph
from bea.networks.layers import Activation, Flatten, Readout
from bea.networks.normalisation import PReLU
from bea.networks.reading import Reading, read
from bea.networks.reshaping import Permute, Reshape
from bea.networks.tidying import Foldable
from bea.networks.windows import AveragePool, MaxPool

BATCH = 0  # what stands for the number of samples in a shape: in a Reshape, 0 is "as in the input"
# Elementwise functions without settings, by what they are called in ``Activation``.
PLAIN = {"Abs": "abs", "Exp": "exponential", "HardSwish": "hard_silu", "Mish": "mish", "Relu": "relu"}
PLAIN |= {"Sigmoid": "sigmoid", "Softplus": "softplus", "Softsign": "softsign", "Tanh": "tanh"}
# A function of y that is the product of y and another function of y.
PRODUCTS = {("Sigmoid",): "silu", ("HardSigmoid",): "hard_silu", ("Tanh", "Softplus"): "mish"}
INSTEAD = {
    **dict.fromkeys(
        ("LSTM", "GRU", "RNN", "Loop", "Scan", "If"), "a network without recurrence or branches of control"
    ),
    **dict.fromkeys(("Gather", "Attention"), "a network of dense or convolution layers that takes numbers"),
    **dict.fromkeys(("Mul", "Concat", "Sub", "Max", "Min"), "sums of two paths (Add) as in residual blocks"),
    **dict.fromkeys(("Erf", "Div"), "GELU as one node: an export with operator set 20 or later"),
    **dict.fromkeys(("ConvTranspose", "Resize", "Upsample"), "images of the size that the network needs"),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), "BatchNormalization or LayerNormalization"),
    **dict.fromkeys(("TreeEnsembleClassifier", "SVMClassifier"), "a neural network or a logistic regression"),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "QLinearConv"), "the model before its quantisation"),
}


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
    weights : set
        Names of arrays that have become the weights of a layer.
    fold : function
        Computes a node without the input among its arguments.
    """

    graph: Graph
    made_by: dict
    constants: dict
    weights: set
    fold: Callable


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
    """
    try:
        import onnx
        from onnx.reference import ReferenceEvaluator
    except ImportError:
        raise ImportError(
            "Network.from_onnx needs the package onnx, which is not installed: pip install 'bea[onnx]'"
        ) from None
    if not isinstance(model, onnx.ModelProto):
        model = _load(onnx, Path(model))
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

    initial = set(constants)
    known = Model(Graph(source, shape), made_by, constants, set(), fold)
    for node in nodes:
        _put(onnx, known, node)
    if target not in known.graph.values:
        raise ValueError("model: expected an output that depends on the input, received a constant one")
    whole = evaluator(nodes, [i for i in model.graph.input if i.name == source], [onnx.ValueInfoProto(name=target)])

    def compute(x):
        size = fixed or len(x)
        parts = [x[i : i + size] for i in range(0, len(x), size)]
        parts = [np.resize(part, (size, *part.shape[1:])).astype(dtype) for part in parts]
        found = [np.asarray(whole.run(None, {source: part})[0], dtype=float).reshape(size, -1) for part in parts]
        return np.concatenate(found)[: len(x)]

    return read(known.graph, target, compute, 1e-4)  # single precision leaves about 1e-6


def _load(onnx, path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected an ONNX model, found none")
    try:
        model = onnx.load(path)
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


def _put(onnx, model, node) -> None:
    """Put down what one node makes: a constant, or a value of the graph."""
    where = f"node {node.name or node.output[0]!r} of type {node.op_type}"
    values = model.graph.values
    inputs = [name for name in node.input if name in values]
    if not inputs:
        model.constants |= dict(zip(node.output, model.fold(node), strict=True))
        return
    shape, attributes = values[inputs[0]].shape, {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
    if node.op_type == "Shape":
        model.constants[node.output[0]] = np.array([BATCH, *shape])
        return
    settings = Settings(model, node, attributes)
    try:
        if len(inputs) > 1:
            inputs, layers = _joined(settings, inputs, shape)
        elif node.op_type in PLAIN:
            layers = (Activation(PLAIN[node.op_type]),)
        elif node.op_type in KINDS:
            layers = KINDS[node.op_type](settings, shape)
        else:
            raise NotImplementedError
    except NotImplementedError:
        instead = INSTEAD.get(node.op_type, "dense, convolution, pooling, normalisation and activation operators")
        raise ValueError(f"model: {where} has no counterpart here: expected {instead}") from None
    except ValueError as error:
        raise ValueError(f"model: {where}: {error}") from None
    # The name of the node is for errors about a softmax that is not the last.
    model.graph.put(node.output[_which(node, model)], inputs, layers, where)


def _which(node, model) -> int:
    """Return the number of the output that counts: of a LinearClassifier the second, its scores."""
    return 1 if node.op_type == "LinearClassifier" else 0


@dataclass
class Settings:
    """One node, with its attributes and the arrays among its inputs."""

    model: Model
    node: object
    attributes: dict

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

    @property
    def where(self) -> str:
        """How errors name the node."""
        return f"node {self.node.name or self.node.output[0]!r} of type {self.node.op_type}"


def _joined(settings, inputs, shape) -> tuple:
    """Return inputs and layers of a node that joins values: a sum, or one function of a single value in parts."""
    node, model = settings.node, settings.model
    if node.op_type in ("Add", "Sum"):
        return inputs, ()
    if node.op_type == "Mul":
        for y, other in (inputs, inputs[::-1]):
            kinds, name = [], other
            while name != y and (made := model.made_by.get(name)) is not None and len(made.input) == 1:
                kinds.append(made.op_type)
                name = made.input[0]
            if name == y and tuple(kinds) in PRODUCTS:
                if "HardSigmoid" in kinds and not _is_usual(model.made_by[other]):
                    continue
                return [y], (Activation(PRODUCTS[tuple(kinds)]),)
    if node.op_type == "Concat":
        # Scikit-learn's classifiers of two classes: one minus the sigmoid, and the sigmoid.
        first, second = (model.made_by.get(name) for name in inputs)
        one_minus = first is not None and first.op_type == "Sub" and first.input[1] == inputs[1]
        one_minus = one_minus and np.all(model.constants.get(first.input[0]) == 1.0)
        if len(inputs) == 2 and one_minus and second is not None and second.op_type == "Sigmoid" and shape == (1,):
            readout = Readout.of_one_output()
            return [second.input[0]], (readout, *translating.softmax(0, (2,), settings.where))
    raise NotImplementedError


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
            padding = ceil_padding_for(kind, count, shape[1:], size, stride, padding)
        options = {"count_padding": count} if kind is AveragePool else {}
        return translating.pool(kind, size, stride, padding, shape, True, **options)

    return convert


def ceil_padding_for(kind, count, lengths, size, stride, padding):
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
        if c.ndim == len(shape) + 1 and len(c) == 1:
            c = c[0]
        if first and operation == "Div":
            raise ValueError("expected a division by a constant, received one of a constant")
        factor, shift = {
            "Add": (1.0, c),
            "Sub": (-1.0, c) if first else (1.0, -c),
            "Mul": (c, 0.0),
            "Div": (1.0 / c, 0.0),
        }[operation]
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
