"""From PyTorch modules to networks, by ``torch.fx``. PyTorch is there when a module is, and imported only then."""

import copy
import operator

import numpy as np

from bea.networks.graph import Graph
from bea.networks.layers import Activation
from bea.networks.reading import Reading, read
from bea.networks.torch_calls import ARGUMENTS, ARITHMETIC, EXPORTED, FUNCTIONS, MODULES, NOTHING, PLAIN, SUMS
from bea.networks.torch_moves import BATCH
from bea.networks.torch_step import Step

# What would work instead of what has no counterpart.
INSTEAD = {
    **dict.fromkeys(("lstm", "gru", "rnn", "lstmcell", "grucell", "rnncell"), "a network without recurrence"),
    **dict.fromkeys(
        ("embedding", "embeddingbag", "multiheadattention", "transformerencoder", "transformerencoderlayer"),
        "a network of dense or convolution layers that takes numbers",
    ),
    **dict.fromkeys(("cat", "concat", "stack", "mul", "sub"), "sums of two paths (+) as in residual blocks"),
    "rmsnorm": "BatchNorm, GroupNorm or LayerNorm",
    **dict.fromkeys(("convtranspose", "upsample", "interpolate"), "images of the size that the network needs"),
}


def reading_of(module, input_shape) -> Reading:
    """Return what a PyTorch module does in ``eval`` mode to inputs of a shape, or what an exported programme does.

    Raises
    ------
    TypeError
        For what is neither.
    ValueError
        For a module that cannot be traced, for a part that has no counterpart, naming it and what would work, and for a
        graph of another form than a sequence of layers and residual blocks.
    """
    import torch
    from torch import fx

    batch = 0
    if type(module).__name__ == "ExportedProgram":  # a class that takes long to import
        batch, *shape = module.example_inputs[0][0].shape
        if input_shape is not None and tuple(input_shape) != tuple(shape):
            raise ValueError(f"input_shape: expected that of the programme, {tuple(shape)}, received {input_shape!r}")
        module, input_shape = module.module(), shape
    elif not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"module: expected a torch.nn.Module or an exported programme, received a {type(module).__name__}"
        )
    if not input_shape or not all(isinstance(size, int | np.integer) and size >= 1 for size in input_shape):
        raise ValueError(f"input_shape: expected the sizes of one input, received {input_shape!r}")
    # A copy in double precision: the comparison can be sharp, and the module stays as it is.
    module = copy.deepcopy(module).double().cpu()
    if not batch:
        module.eval()  # a programme knows no other mode
    try:
        if fx.Tracer().is_leaf_module(module, ""):
            module = torch.nn.Sequential(module)
        traced = fx.symbolic_trace(module).graph
        traced.eliminate_dead_code()
    except MemoryError:
        raise
    except Exception as error:  # the forward of a module may do anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"model: expected a module that does the same for every input, so that torch.fx can trace it, received "
            f"one that it cannot trace ({reason})"
        ) from None
    graph = Graph("input", tuple(int(size) for size in input_shape))
    target = _Trace(module, graph, batch).run(traced.nodes)

    def compute(x):
        with torch.no_grad():
            return module(torch.tensor(x, dtype=torch.float64)).numpy()

    return read(graph, target, compute, 1e-6, batch)  # Softplus is linear from 20 on, which makes 2e-9


class _Trace:
    """The nodes of a traced module, one after the other; what each of them stands for is a value or a constant."""

    def __init__(self, module, graph, batch):
        self.module, self.graph, self.batch = module, graph, batch
        self.constants, self.used, self.weights = {}, {}, {}

    def run(self, nodes) -> str:
        """Put all nodes down and return the name of the output."""
        for node in nodes:
            if node.op == "placeholder":
                if self.constants or len(self.graph.values) > 1 or node.name in self.used:
                    raise ValueError("model: expected one input, received several")
                self.used["input"] = node
            elif node.op == "get_attr":
                self.constants[node] = operator.attrgetter(node.target)(self.module)
            elif getattr(node.target, "__name__", "") == "_assert":  # what an exported programme asks of its inputs
                continue
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
        name = _plain_name(kind.removeprefix("Parametrized").removesuffix("1d").removesuffix("2d"))
        self._convert(node, values, name, settings, where, MODULES)

    def _function(self, node, values, arguments) -> None:
        name, _, overload = (node.target if isinstance(node.target, str) else node.target.__name__).partition(".")
        where = f"{'method' if node.op == 'call_method' else 'function'} {name} ({node.name})"
        source = values[0]
        shape = (BATCH, *self.graph.values[self._name(source)].shape)
        # What only asks for the shape.
        if name in ("size", "sym_size"):
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
        if len(values) == 1 and name in ARITHMETIC:
            settings |= {"other": others[0] if others else settings.get("other")}
        else:
            names = (overload and EXPORTED.get(name)) or ARGUMENTS.get(name, ())
            settings |= dict(zip(names, others, strict=False))
            settings["all"] = others
            if overload and name in ("reshape", "view") and others[0][0] == self.batch:
                settings["all"] = [[BATCH, *others[0][1:]]]  # written with the number of samples of the example
        self._convert(node, values, name, settings, where, FUNCTIONS, first)

    def _convert(self, node, values, name, settings, where, kinds, first=0) -> None:
        inputs = [self._name(each) for each in values]
        step = Step(settings, self.graph.values[inputs[0]].shape, where, first)
        try:
            if name.startswith(("linear", "conv")) and name in kinds:
                self._use(settings.get("weight"))
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

    def _use(self, weight) -> None:
        """Note the weights of a layer; two layers of a network cannot have the same."""
        if id(weight) in self.weights:
            raise ValueError("expected weights of its own, received those of another layer")
        self.weights[id(weight)] = weight  # kept, so that no other array gets its number


def _plain_name(name) -> str:
    return name.lower().replace("_", "")
