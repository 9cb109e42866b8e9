"""The modules, functions and methods of PyTorch that are known, by their names, and what the elementwise ones do.

Names are in small letters, without underscores, and without the 1d or 2d that modules end in.
"""

from bea.networks import torch_layers, torch_moves, translating
from bea.networks.layers import Activation
from bea.networks.torch_step import axes_of, numbers

# Elementwise functions without settings, by what they are called in ``Activation``.
PLAIN = {"abs": "abs", "exp": "exponential", "hardsigmoid": "hard_sigmoid", "hardswish": "hard_silu", "mish": "mish"}
PLAIN |= {"logsigmoid": "log_sigmoid", "relu": "relu", "relu6": "relu6", "selu": "selu", "sigmoid": "sigmoid"}
PLAIN |= {"silu": "silu", "softsign": "softsign", "tanh": "tanh", "tanhshrink": "tanh_shrink"}
NOTHING = {"alphadropout", "contiguous", "double", "dropout", "featurealphadropout", "featuredropout", "float"}
NOTHING |= {"clone", "dropout1d", "dropout2d", "identity", "to"}
SUMS = {"add", "iadd"}
# What is done with a number or a buffer.
ARITHMETIC = dict.fromkeys(SUMS, "Add") | dict.fromkeys(("sub", "isub"), "Sub") | dict.fromkeys(("mul", "imul"), "Mul")
ARITHMETIC |= dict.fromkeys(("div", "truediv", "itruediv"), "Div")


def _softmax(logarithm):
    def convert(step):
        axis = step.settings.get("dim")
        (axis,) = axes_of(1 if axis is None else axis, step.shape)
        return translating.softmax(axis, step.shape, step.where, logarithm)

    return convert


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
}
# Of modules, whose names have lost the 1d or 2d at their end.
MODULES = SHARED | torch_layers.MODULES | torch_moves.MODULES
FUNCTIONS = {
    **SHARED,
    **{name: _affine(operation) for name, operation in ARITHMETIC.items()},
    **dict.fromkeys(("clamp", "clip"), _clip(("min", None), ("max", None))),
    **torch_layers.FUNCTIONS,
    **torch_moves.FUNCTIONS,
}
# The names of the arguments of functions and methods behind the tensor.
ARGUMENTS = {
    **dict.fromkeys(("celu", "elu"), ("alpha",)),
    **dict.fromkeys(("clamp", "clip"), ("min", "max")),
    **dict.fromkeys(("hardshrink", "softshrink"), ("lambd",)),
    **dict.fromkeys(("logsoftmax", "softmax"), ("dim",)),
    "gelu": ("approximate",),
    "hardtanh": ("min_val", "max_val"),
    "leakyrelu": ("negative_slope",),
    "softplus": ("beta", "threshold"),
    "threshold": ("threshold", "value"),
    **torch_layers.ARGUMENTS,
    **torch_moves.ARGUMENTS,
}
EXPORTED = torch_layers.EXPORTED
