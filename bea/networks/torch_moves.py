"""What the calls of PyTorch do that only move entries, or put zeros around them."""

import math

from bea.networks import translating
from bea.networks.reshaping import Permute
from bea.networks.torch_step import axes_of, one_each

BATCH = -1  # what stands for the number of samples in a shape, so that ``x.view(x.size(0), …)`` can be read


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
    (axis,) = axes_of(step.get("dim"), step.shape)
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
    one, other = (axes_of(step.get(name), step.shape)[0] for name in ("dim0", "dim1"))
    order = list(range(len(step.shape)))
    order[one], order[other] = other, one
    return (Permute(order),)


def _squeeze(step):
    if step.get("dim") is None:
        raise ValueError("expected the axis to squeeze, received none")
    axes = [axis for axis in axes_of(step.get("dim"), step.shape) if step.shape[axis] == 1]
    return translating.reshaped([size for axis, size in enumerate(step.shape) if axis not in axes], step.shape)


def _unsqueeze(step):
    (axis,) = axes_of(step.get("dim"), range(len(step.shape) + 1))
    return translating.reshaped((*step.shape[:axis], 1, *step.shape[axis:]), step.shape)


def _pad(step):
    pads, value = step.get("pad", step.get("padding")), step.get("value", 0.0)
    if step.get("mode", "constant") != "constant" or value:
        raise ValueError(f"expected padding with zeros, received {step.get('mode', 'constant')} {value}")
    pads = one_each(pads, 2 * (len(step.shape) - 1))
    if len(pads) % 2 or len(pads) // 2 > len(step.shape):
        raise ValueError(f"expected pairs of padding, the last axis first, received {pads}")
    sides = list(zip(pads[::2], pads[1::2], strict=True))[::-1]
    return translating.padded([(0, 0)] * (len(step.shape) - len(sides)) + sides, step.shape)


MODULES = {"constantpad": _pad, "flatten": _flatten(1), "unflatten": _unflatten, "zeropad": _pad}
FUNCTIONS = {
    **dict.fromkeys(("reshape", "view"), _view),
    "flatten": _flatten(0),
    "pad": _pad,
    "permute": _permute,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "unflatten": _unflatten,
    "unsqueeze": _unsqueeze,
}
# The names of the arguments of functions and methods behind the tensor.
ARGUMENTS = {
    "flatten": ("start_dim", "end_dim"),
    "pad": ("pad", "mode", "value"),
    "squeeze": ("dim",),
    "transpose": ("dim0", "dim1"),
    "unflatten": ("dim", "unflattened_size"),
    "unsqueeze": ("dim",),
}
