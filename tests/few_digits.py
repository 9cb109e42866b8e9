"""What the tests of low precision compare with: NumPy's and ml_dtypes' own types, one operation after the other."""

import ml_dtypes
import numpy as np

TYPES = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}


def cast(v, name):
    """Numbers of float32 in a type of the processor, or of ml_dtypes."""
    with np.errstate(all="ignore"):
        return np.asarray(v).astype(np.float32).astype(TYPES[name])


def added(terms, order):
    """Return the sum of a list of arrays of one type, which rounds every addition."""
    if order == "sequential":
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total
    if len(terms) == 1:
        return terms[0]
    half = 1 << (len(terms) - 1).bit_length() - 1  # the largest power of two below their number
    return added(terms[:half], order) + added(terms[half:], order)


def affine(matrix, bias, h, name, accumulator, order="sequential"):
    """Return ``fl(A h + b)`` for float64 arrays (rows, columns), (rows,) or None, and h (…, columns) of the format."""
    with np.errstate(all="ignore"):
        weights, inputs = cast(cast(matrix, name), accumulator), cast(h, accumulator)
        total = added([inputs[..., k, None] * weights[:, k] for k in range(matrix.shape[1])], order)
        if bias is not None:
            total = total + cast(cast(bias, name), accumulator)
        return cast(total, name).astype(float)


def forward(net, x, name, accumulator, order="sequential"):
    """Return the logits of a network of dense layers, convolutions, and layers that round at most their result."""
    y = cast(x, name).astype(float)
    for layer in net.layers:
        if hasattr(layer, "matrix"):
            inputs = layer.kernel.shape[1]
            h = y if y.ndim == 2 else layer.unfold(y)[..., :inputs]
            bias = layer.matrix[:, -1] if layer.bias else None
            y = affine(layer.kernel, bias, h, name, accumulator, order).reshape(-1, *layer.output_shape(y.shape[1:]))
        else:
            y = cast(layer.forward(y), name).astype(float)
    return y
