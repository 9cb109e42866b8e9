"""The operators of ONNX that are known, one node with one input at a time, and what the elementwise ones do."""

import math

import numpy as np

from bea.networks import onnx_layers, onnx_moves, translating
from bea.networks.layers import Activation
from bea.networks.normalisation import PReLU
from bea.networks.tidying import Foldable

# Elementwise functions without settings, by what they are called in ``Activation``.
PLAIN = {"Abs": "abs", "Exp": "exponential", "HardSwish": "hard_silu", "Mish": "mish", "Relu": "relu"}
PLAIN |= {"Sigmoid": "sigmoid", "Softplus": "softplus", "Softsign": "softsign", "Tanh": "tanh"}


def _is_usual(node) -> bool:
    """Return whether a HardSigmoid is that of Keras and PyTorch."""
    alpha = next((each.f for each in node.attribute if each.name == "alpha"), 0.2)
    beta = next((each.f for each in node.attribute if each.name == "beta"), 0.5)
    return math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5


def _affine(operation):
    """Return the converter of an elementwise operation with a constant."""

    def convert(settings, shape):
        first = settings.node.input[0] in settings.model.constants
        c = settings.array(0 if first else 1)
        factor, shift = translating.arithmetic(operation, c, first)
        # A sum is the bias of a MatMul before it; what multiplies stays what it is.
        (scale,) = translating.scaled(factor, shift, shape)
        return (Foldable(scale.factor, scale.shift),) if operation == "Add" else (scale,)

    return convert


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
    "Cast": _cast,
    "Celu": _parameter("celu", 1.0),
    "Clip": _clip,
    "Dropout": _nothing,
    "Elu": _parameter("elu", 1.0),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "Identity": _nothing,
    "LeakyRelu": lambda settings, shape: translating.leaky(settings.get("alpha", 0.01)),
    "LogSoftmax": _softmax,
    "Neg": lambda settings, shape: translating.scaled(-1.0, 0.0, shape),
    "PRelu": _prelu,
    "Scaler": lambda settings, shape: translating.scaled(
        np.array(settings.get("scale")), -np.array(settings.get("offset")) * np.array(settings.get("scale")), shape
    ),
    "Selu": _selu,
    "Shrink": _shrink,
    "Softmax": _softmax,
    "Swish": _swish,
    "ThresholdedRelu": lambda settings, shape: (Activation("threshold", (settings.get("alpha", 1.0), 0.0)),),
    **onnx_layers.KINDS,
    **onnx_moves.KINDS,
}
