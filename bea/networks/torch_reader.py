"""From PyTorch modules to networks, by ``torch.fx``. PyTorch is there when a module is, and imported only then."""

import copy
import math
import operator
from dataclasses import dataclass

import numpy as np

from bea.networks import translating
from bea.networks.graph import Graph
from bea.networks.layers import Activation
from bea.networks.normalisation import PReLU
from bea.networks.reading import Reading, read
from bea.networks.reshaping import Permute
from bea.networks.windows import AveragePool, MaxPool

BATCH = -1  # what stands for the number of samples in a shape, so that ``x.view(x.size(0), …)`` can be read
# What a module, function or method is called here, in small letters, without underscores, and without the 1d or 2d that
# modules end in; and elementwise functions without settings by what they are called in ``Activation``.
PLAIN = {"abs": "abs", "exp": "exponential", "hardsigmoid": "hard_sigmoid", "hardswish": "hard_silu", "mish": "mish"}
PLAIN |= {"logsigmoid": "log_sigmoid", "relu": "relu", "relu6": "relu6", "selu": "selu", "sigmoid": "sigmoid"}
PLAIN |= {"silu": "silu", "softsign": "softsign", "tanh": "tanh", "tanhshrink": "tanh_shrink"}
NOTHING = {"alphadropout", "contiguous", "double", "dropout", "featurealphadropout", "featuredropout", "float"}
NOTHING |= {"clone", "dropout1d", "dropout2d", "identity", "to"}
SUMS, DIFFERENCES = {"add", "iadd"}, {"sub", "isub"}
PRODUCTS, QUOTIENTS = {"mul", "imul"}, {"div", "truediv", "itruediv"}
INSTEAD = {
    **dict.fromkeys(("lstm", "gru", "rnn", "lstmcell", "grucell", "rnncell"), "a network without recurrence"),
    **dict.fromkeys(
        ("embedding", "embeddingbag", "multiheadattention", "transformerencoder", "transformerencoderlayer"),
        "a network of dense or convolution layers that takes numbers",
    ),
    **dict.fromkeys(("cat", "concat", "stack", "mul", "sub"), "sums of two paths (+) as in residual blocks"),
    **dict.fromkeys(("groupnorm", "instancenorm", "rmsnorm"), "BatchNorm or LayerNorm"),
    **dict.fromkeys(("convtranspose", "upsample", "interpolate"), "images of the size that the network needs"),
    **dict.fromkeys(("linear", "conv", "batchnorm"), "a module of torch.nn in place of the function"),
}


@dataclass
class Step:
    """One call of a module, function or method.

    Attributes
    ----------
    settings : dict
        By the names that PyTorch gives them.
    shape : tuple of int
        Of the value that it acts on, without the axis of the samples.
    where : str
        How errors name it.
    number : int
        Among the arguments of a function, where the value stands.
    """

    settings: dict
    shape: tuple[int, ...]
    where: str
    number: int = 0

    def get(self, name, default=None):
        """Return a setting, or the default where it is not given."""
        found = self.settings.get(name, default)
        return default if found is None else found

    def array(self, name) -> np.ndarray | None:
        """Return a parameter or buffer of a module in float64."""
        return numbers(self.settings.get(name))


def numbers(tensor) -> np.ndarray | None:
    """Return a tensor as an array in float64; None for None."""
    if tensor is None:
        return None
    return tensor.detach().cpu().double().numpy() if hasattr(tensor, "detach") else np.asarray(tensor, dtype=float)


def reading_of(module, input_shape) -> Reading:
    """Return what a PyTorch module does in ``eval`` mode to inputs of a shape.

    Raises
    ------
    TypeError
        For what is no module.
    ValueError
        For a module that cannot be traced, for a part that has no counterpart, naming it and what would work, and for a
        graph of another form than a sequence of layers and residual blocks.
    """
    import torch
    from torch import fx

    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, received a {type(module).__name__}")
    if not input_shape or not all(isinstance(size, int | np.integer) and size >= 1 for size in input_shape):
        raise ValueError(f"input_shape: expected the sizes of one input, received {input_shape!r}")
    # A copy in double precision: the comparison can be sharp, and the module stays as it is.
    module = copy.deepcopy(module).eval().double().cpu()
    try:
        if fx.Tracer().is_leaf_module(module, ""):
            module = torch.nn.Sequential(module)
        traced = fx.symbolic_trace(module).graph
        traced.eliminate_dead_code()
    except Exception as error:  # the forward of a module may do anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"model: expected a module that does the same for every input, so that torch.fx can trace it, received "
            f"one that it cannot trace ({reason})"
        ) from None
    graph = Graph("input", tuple(int(size) for size in input_shape))
    target = _Trace(module, graph, torch).run(traced.nodes)

    def compute(x):
        with torch.no_grad():
            return module(torch.tensor(x, dtype=torch.float64)).numpy()

    return read(graph, target, compute, 1e-6)  # Softplus is linear from 20 on, which makes 2e-9


class _Trace:
    """The nodes of a traced module, one after the other; what each of them stands for is a value or a constant."""

    def __init__(self, module, graph, torch):
        self.module, self.graph, self.torch = module, graph, torch
        self.constants, self.used = {}, {}

    def run(self, nodes) -> str:
        """Put all nodes down and return the name of the output."""
        for node in nodes:
            if node.op == "placeholder":
                if self.constants or len(self.graph.values) > 1 or node.name in self.used:
                    raise ValueError("model: expected one input, received several")
                self.used["input"] = node
            elif node.op == "get_attr":
                self.constants[node] = operator.attrgetter(node.target)(self.module)
            elif node.op == "output":
                if not self._is_value(node.args[0]):
                    raise ValueError("model: expected one output, received several or a constant one")
                return self._name(node.args[0])
            else:
                self._put(node)
        raise ValueError("model: expected one output, received none")

    def _is_value(self, argument) -> bool:
        return hasattr(argument, "op") and argument not in self.constants

    def _name(self, node) -> str:
        return "input" if node is self.used["input"] else node.name

    def _constant(self, argument):
        """Return an argument with the constants in place of the nodes that stand for them."""
        if isinstance(argument, tuple | list):
            return type(argument)(self._constant(each) for each in argument)
        if isinstance(argument, slice):
            return slice(*(self._constant(each) for each in (argument.start, argument.stop, argument.step)))
        return self.constants[argument] if hasattr(argument, "op") else argument

    def _put(self, node) -> None:
        arguments = list(node.args)
        if arguments and isinstance(arguments[0], list | tuple):  # torch.cat
            arguments = [*arguments[0], *arguments[1:]]
        values = [each for each in (*arguments, *node.kwargs.values()) if self._is_value(each)]
        if node.op == "call_module":
            self._module(node, values)
        elif not values:
            called = getattr(self._constant(node.args[0]), node.target) if node.op == "call_method" else node.target
            arguments = self._constant(node.args[1:] if node.op == "call_method" else node.args)
            self.constants[node] = called(*arguments, **{key: self._constant(v) for key, v in node.kwargs.items()})
        else:
            self._function(node, values, arguments)

    def _module(self, node, values) -> None:
        module = self.module.get_submodule(node.target)
        kind = type(module).__name__
        where = f"module {node.target!r} of type {kind}"
        if not type(module).__module__.startswith("torch.nn"):
            raise ValueError(f"model: {where} has no counterpart here: expected modules of torch.nn")
        if self.used.setdefault(module, node) is not node and any(True for _ in module.parameters()):
            raise ValueError(f"model: {where} is used twice: expected a module with weights to be used once")
        names = {name for base in type(module).__mro__ for name in getattr(base, "__annotations__", {})}
        names |= {*vars(module), *dict(module.named_parameters(recurse=False)), *dict(module.named_buffers())}
        names |= {"weight", "bias"} if hasattr(module, "parametrizations") else set()
        settings = {name: getattr(module, name) for name in names if hasattr(module, name)}
        name = _plain_name(kind.removesuffix("1d").removesuffix("2d"))
        self._convert(node, values, name, settings, where, MODULES)

    def _function(self, node, values, arguments) -> None:
        name = node.target if isinstance(node.target, str) else node.target.__name__
        where = f"{'method' if node.op == 'call_method' else 'function'} {name} ({node.name})"
        source = values[0]
        shape = (BATCH, *self.graph.values[self._name(source)].shape)
        # What only asks for the shape.
        if name == "size":
            axis = self._constant(node.args[1:])
            self.constants[node] = shape[axis[0]] if axis else shape
            return
        if name == "getattr" and node.args[1] == "shape":
            self.constants[node] = shape
            return
        name = _plain_name(name)
        settings = {key: self._constant(each) for key, each in node.kwargs.items() if not self._is_value(each)}
        first = next((number for number, each in enumerate(arguments) if self._is_value(each)), 0)
        others = [self._constant(each) for each in arguments if not self._is_value(each)]
        if len(values) == 1 and name in SUMS | DIFFERENCES | PRODUCTS | QUOTIENTS:
            settings |= {"other": others[0] if others else settings.get("other")}
        else:
            settings |= dict(zip(ARGUMENTS.get(name, ()), others, strict=False))
            settings["all"] = others
        self._convert(node, values, name, settings, where, FUNCTIONS, first)

    def _convert(self, node, values, name, settings, where, kinds, first=0) -> None:
        inputs = [self._name(each) for each in values]
        step = Step(settings, self.graph.values[inputs[0]].shape, where, first)
        try:
            if len(inputs) > 1:
                if name not in SUMS or settings.get("alpha", 1) != 1 or len(inputs) > 2:
                    raise NotImplementedError
                layers = ()
            elif name in NOTHING:
                layers = ()
            elif name in PLAIN:
                layers = (Activation(PLAIN[name]),)
            elif name in kinds:
                layers = kinds[name](step)
            else:
                raise NotImplementedError
        except NotImplementedError:
            instead = INSTEAD.get(name, "dense, convolution, pooling, normalisation, reshaping and activation modules")
            raise ValueError(f"model: {where} has no counterpart here: expected {instead}") from None
        except ValueError as error:
            raise ValueError(f"model: {where}: {error}") from None
        self.graph.put(node.name, inputs, layers, where)


def _plain_name(name) -> str:
    return name.lower().replace("_", "")


def _each(value, rank) -> list[int]:
    """Return one number for each axis of a window."""
    return [int(value)] * rank if np.ndim(value) == 0 else [int(each) for each in value]


def _linear(step):
    return translating.dense(step.array("weight"), step.array("bias"), step.shape)


def _conv(step):
    kernel = step.array("weight")
    rank = kernel.ndim - 2
    if step.get("padding_mode", "zeros") != "zeros":
        raise ValueError(f"expected padding with zeros, received {step.get('padding_mode')}")
    stride, dilation = (_each(step.get(name), rank) for name in ("stride", "dilation"))
    padding = step.get("padding")
    if padding == "same":
        padding = translating.same_padding(step.shape[1:], kernel.shape[2:], [1] * rank, dilation)
    else:
        padding = [(side, side) for side in _each(0 if padding == "valid" else padding, rank)]
    bias = step.array("bias")
    return translating.convolution(kernel, bias, stride, padding, dilation, step.get("groups"), step.shape, True)


def _batch_norm(step):
    if step.settings.get("running_mean") is None:
        raise ValueError("expected running statistics, received a batch normalisation without")
    mean, variance, gain, offset = (step.array(name) for name in ("running_mean", "running_var", "weight", "bias"))
    gain, offset = 1.0 if gain is None else gain, 0.0 if offset is None else offset
    return translating.batch_norm(mean, variance, step.get("eps"), gain, offset, 0, step.shape)


def _layer_norm(step):
    sizes = tuple(step.get("normalized_shape"))
    factor, shift = step.array("weight"), step.array("bias")
    axes = list(range(len(step.shape) - len(sizes), len(step.shape)))
    factor = np.ones(sizes) if factor is None else factor
    shift = np.zeros(sizes) if shift is None else shift
    return translating.layer_norm(axes, factor, shift, step.get("eps"), step.shape)


def _pool(kind):
    def convert(step):
        rank = len(step.shape) - 1
        size = _each(step.get("kernel_size"), rank)
        stride = _each(step.get("stride") or size, rank)
        padding = [(side, side) for side in _each(step.get("padding", 0), rank)]
        if step.get("return_indices") or step.get("divisor_override") or {*_each(step.get("dilation", 1), rank)} != {1}:
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


def _axes(given, shape) -> list[int]:
    """Return axes of a batch as axes of one sample."""
    rank = len(shape) + 1
    axes = sorted(int(axis) % rank for axis in np.atleast_1d(given))
    if 0 in axes:
        raise ValueError(f"expected axes of one sample, received {given}")
    return [axis - 1 for axis in axes]


def _mean(kind):
    def convert(step):
        if step.get("dim") is None:
            raise ValueError("expected axes to reduce, received none")
        return translating.global_pool(kind, _axes(step.get("dim"), step.shape), bool(step.get("keepdim")), step.shape)

    return convert


def _softmax(logarithm):
    def convert(step):
        axis = step.settings.get("dim")
        (axis,) = _axes(1 if axis is None else axis, step.shape)
        return translating.softmax(axis, step.shape, step.where, logarithm)

    return convert


def _flatten(default):
    """Return the converter; modules and functions of this name start at another axis unless told otherwise."""

    def convert(step):
        start, end = (int(step.get(name, axis)) for name, axis in (("start_dim", default), ("end_dim", -1)))
        start, end = (axis % (len(step.shape) + 1) for axis in (start, end))
        if not start:
            raise ValueError("expected the samples to stay the first axis, received start_dim = 0")
        sizes = (*step.shape[: start - 1], math.prod(step.shape[start - 1 : end]), *step.shape[end:])
        return translating.reshaped(sizes, step.shape)

    return convert


def _unflatten(step):
    (axis,) = _axes(step.get("dim"), step.shape)
    inside = [int(size) for size in step.get("unflattened_size")]
    if -1 in inside:
        inside[inside.index(-1)] = step.shape[axis] // -math.prod(inside)
    return translating.reshaped((*step.shape[:axis], *inside, *step.shape[axis + 1 :]), step.shape)


def _view(step):
    sizes = step.get("all") or [step.get("shape", step.get("size"))]
    sizes = sizes[0] if isinstance(sizes[0], tuple | list) else sizes
    if any(not isinstance(size, int) for size in sizes):
        raise ValueError(f"expected whole numbers as sizes, received {sizes}")
    first, *target = sizes
    whole = -1 not in target and math.prod(target) == math.prod(step.shape)
    if first != BATCH or not target or not (whole or -1 in target):
        raise ValueError(
            f"expected the samples to stay the first axis, as in x.view(x.size(0), …), received {sizes} for samples of "
            f"shape {step.shape}"
        )
    return translating.reshaped(target, step.shape)


def _permute(step):
    order = step.get("all") or step.get("dims")
    order = order[0] if isinstance(order[0], tuple | list) else order
    order = [int(axis) % (len(step.shape) + 1) for axis in order]
    if order[0] != 0:
        raise ValueError(f"expected the samples to stay the first axis, received {order}")
    return (Permute([axis - 1 for axis in order[1:]]),)


def _transpose(step):
    one, other = (_axes(step.get(name), step.shape)[0] for name in ("dim0", "dim1"))
    order = list(range(len(step.shape)))
    order[one], order[other] = other, one
    return (Permute(order),)


def _squeeze(step):
    if step.get("dim") is None:
        raise ValueError("expected the axis to squeeze, received none")
    axes = [axis for axis in _axes(step.get("dim"), step.shape) if step.shape[axis] == 1]
    return translating.reshaped([size for axis, size in enumerate(step.shape) if axis not in axes], step.shape)


def _unsqueeze(step):
    (axis,) = _axes(step.get("dim"), range(len(step.shape) + 1))
    return translating.reshaped((*step.shape[:axis], 1, *step.shape[axis:]), step.shape)


def _pad(step):
    pads, value = step.get("pad", step.get("padding")), step.get("value", 0.0)
    if step.get("mode", "constant") != "constant" or value:
        raise ValueError(f"expected padding with zeros, received {step.get('mode', 'constant')} {value}")
    pads = _each(pads, 2 * (len(step.shape) - 1))
    if len(pads) % 2 or len(pads) // 2 > len(step.shape):
        raise ValueError(f"expected pairs of padding, the last axis first, received {pads}")
    sides = list(zip(pads[::2], pads[1::2], strict=True))[::-1]
    return translating.padded([(0, 0)] * (len(step.shape) - len(sides)) + sides, step.shape)


def _softplus(step):
    beta = float(step.get("beta", 1.0))
    around = [] if beta == 1.0 else [translating.scaled(factor, 0.0, step.shape)[0] for factor in (beta, 1.0 / beta)]
    return (*around[:1], Activation("softplus"), *around[1:])


def _elu(name):
    def convert(step):
        alpha = float(step.get("alpha", 1.0))
        return (Activation(name, alpha),) if alpha else (Activation("relu"),)

    return convert


def _with(name, setting, default):
    """Return the converter of an elementwise function with one parameter."""
    return lambda step: (Activation(name, float(step.get(setting, default))),)


def _gelu(step):
    return (Activation("gelu_tanh" if step.get("approximate", "none") == "tanh" else "gelu"),)


def _prelu(step):
    slopes = step.array("weight")
    return (PReLU(slopes[0] if slopes.size == 1 else translating.along(slopes, 0, step.shape)),)


def _affine(name):
    """Return the converter of an operation with a number or a buffer."""

    def convert(step):
        c = step.settings["other"]
        if not isinstance(c, int | float) and (not hasattr(c, "detach") or c.requires_grad):
            raise ValueError(f"expected a number or a buffer, received a {type(c).__name__}")
        if step.get("alpha", 1) != 1:
            raise ValueError(f"expected alpha = 1, received {step.get('alpha')}")
        return translating.scaled(*translating.arithmetic(name, numbers(c), step.number > 0), step.shape)

    return convert


def _clip(low, high):
    """Return the converter of clipping, the limits of which have names and defaults."""

    def convert(step):
        limits = (step.settings.get(*low), step.settings.get(*high))
        return translating.clip(*(None if limit is None else float(limit) for limit in limits))

    return convert


# The names of the arguments of functions and methods behind the tensor.
POOLING = ("kernel_size", "stride", "padding")
ARGUMENTS = {
    **dict.fromkeys(("adaptiveavgpool1d", "adaptiveavgpool2d"), ("output_size",)),
    **dict.fromkeys(("adaptivemaxpool1d", "adaptivemaxpool2d"), ("output_size", "return_indices")),
    **dict.fromkeys(("avgpool1d", "avgpool2d"), (*POOLING, "ceil_mode", "count_include_pad", "divisor_override")),
    **dict.fromkeys(("maxpool1d", "maxpool2d"), (*POOLING, "dilation", "ceil_mode", "return_indices")),
    **dict.fromkeys(("celu", "elu"), ("alpha",)),
    **dict.fromkeys(("clamp", "clip"), ("min", "max")),
    **dict.fromkeys(("hardshrink", "softshrink"), ("lambd",)),
    **dict.fromkeys(("logsoftmax", "softmax", "squeeze", "unsqueeze"), ("dim",)),
    **dict.fromkeys(("amax", "mean"), ("dim", "keepdim")),
    "flatten": ("start_dim", "end_dim"),
    "gelu": ("approximate",),
    "hardtanh": ("min_val", "max_val"),
    "leakyrelu": ("negative_slope",),
    "pad": ("pad", "mode", "value"),
    "softplus": ("beta", "threshold"),
    "threshold": ("threshold", "value"),
    "transpose": ("dim0", "dim1"),
    "unflatten": ("dim", "unflattened_size"),
}
SHARED = {
    "celu": _elu("celu"),
    "elu": _elu("elu"),
    "gelu": _gelu,
    "hardshrink": _with("hard_shrink", "lambd", 0.5),
    "hardtanh": _clip(("min_val", -1.0), ("max_val", 1.0)),
    "leakyrelu": lambda step: translating.leaky(step.get("negative_slope", 0.01)),
    "logsoftmax": _softmax(True),
    "softmax": _softmax(False),
    "softplus": _softplus,
    "softshrink": _with("soft_shrink", "lambd", 0.5),
    "threshold": lambda step: (Activation("threshold", (float(step.get("threshold")), float(step.get("value")))),),
    "unflatten": _unflatten,
}
# Of modules, whose names have lost the 1d or 2d at their end.
MODULES = SHARED | {
    "adaptiveavgpool": _adaptive(AveragePool),
    "adaptivemaxpool": _adaptive(MaxPool),
    "avgpool": _pool(AveragePool),
    "batchnorm": _batch_norm,
    "constantpad": _pad,
    "conv": _conv,
    "flatten": _flatten(1),
    "layernorm": _layer_norm,
    "linear": _linear,
    "maxpool": _pool(MaxPool),
    "prelu": _prelu,
    "zeropad": _pad,
}
FUNCTIONS = SHARED | {
    **{name: _affine("Add") for name in SUMS},
    **{name: _affine("Sub") for name in DIFFERENCES},
    **{name: _affine("Mul") for name in PRODUCTS},
    **{name: _affine("Div") for name in QUOTIENTS},
    **dict.fromkeys(("adaptiveavgpool1d", "adaptiveavgpool2d"), _adaptive(AveragePool)),
    **dict.fromkeys(("adaptivemaxpool1d", "adaptivemaxpool2d"), _adaptive(MaxPool)),
    **dict.fromkeys(("avgpool1d", "avgpool2d"), _pool(AveragePool)),
    **dict.fromkeys(("maxpool1d", "maxpool2d"), _pool(MaxPool)),
    **dict.fromkeys(("clamp", "clip"), _clip(("min", None), ("max", None))),
    **dict.fromkeys(("reshape", "view"), _view),
    "amax": _mean("max"),
    "flatten": _flatten(0),
    "mean": _mean("average"),
    "pad": _pad,
    "permute": _permute,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "unsqueeze": _unsqueeze,
}
