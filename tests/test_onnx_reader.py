"""`Network.from_onnx`: operators one at a time, as ONNX' reference computes them, and what is refused."""

import re

import numpy as np
import pytest

from bea import Network
from oracles import relative_error

onnx = pytest.importorskip("onnx", reason="no onnx here, so no ONNX model was read")
IMAGE, LINE, VECTOR = (2, 6, 6), (3, 8), (5,)
PLAIN = ("Abs", "Celu", "Elu", "Exp", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Relu", "Selu", "Shrink")
PLAIN += ("Sigmoid", "Softplus", "Softsign", "Tanh", "ThresholdedRelu")

# The nodes that make y of x, in ONNX' own notation. An array of random numbers is written as its shape: w[4x2x3x3].
OPERATORS = {
    "Gemm": (VECTOR, "y = Gemm <alpha: float = 0.5, beta: float = 2.0> (x, w[5x4], b[4])"),
    "Gemm, transposed": (VECTOR, "y = Gemm <transB: int = 1> (x, w[4x5])"),
    "MatMul and Add": (VECTOR, "a = MatMul (x, w[5x4]) y = Add (b[1x4], a)"),
    "MatMul on lines": (LINE, "y = MatMul (x, w[8x4])"),
    "Conv": (IMAGE, "y = Conv (x, w[4x2x3x3], b[4])"),
    "Conv, pads": (IMAGE, "y = Conv <pads: ints = [1, 0, 2, 1], strides: ints = [2, 1]> (x, w[4x2x3x2])"),
    "Conv, groups": (IMAGE, "y = Conv <group: int = 2, dilations: ints = [2, 1]> (x, w[4x1x3x3], b[4])"),
    "Conv, same": (IMAGE, 'y = Conv <auto_pad: string = "SAME_UPPER", strides: ints = [2, 2]> (x, w[3x2x3x3])'),
    "Conv, same lower": (IMAGE, 'y = Conv <auto_pad: string = "SAME_LOWER", strides: ints = [1, 1]> (x, w[3x2x2x2])'),
    "Conv of lines": (LINE, "y = Conv <pads: ints = [1, 2]> (x, w[4x3x3], b[4])"),
    "BatchNormalization": (
        IMAGE,
        "a = Conv (x, w[4x2x3x3]) y = BatchNormalization <epsilon: float = 0.01> (a, g[4], b[4], m[4], v[4])",
    ),
    "GroupNormalization": (
        IMAGE,
        "c = Conv (x, k[4x2x1x1]) y = GroupNormalization <num_groups: int = 2, epsilon: float = 0.1> (c, s[2], b[2])",
    ),
    "GroupNormalization, 21": (
        IMAGE,
        "c = Conv (x, k[4x2x1x1]) y = GroupNormalization <num_groups: int = 2> (c, s[4], b[4])",
    ),
    "GroupNormalization of PyTorch": (
        IMAGE,
        "i = Constant <value_ints: ints = [0, 1, -1]> () a = Reshape (x, i) n = InstanceNormalization (a, o[1], z[1]) "
        "s = Shape (x) r = Reshape (n, s) m = Mul (r, g[2x1x1]) y = Add (m, b[2x1x1])",
    ),
    "InstanceNormalization": (IMAGE, "y = InstanceNormalization <epsilon: float = 0.1> (x, s[2], b[2])"),
    "LayerNormalization": (IMAGE, "y = LayerNormalization <axis: int = 2> (x, w[6x6], b[6x6])"),
    "MaxPool": (IMAGE, "y = MaxPool <kernel_shape: ints = [3, 2], pads: ints = [1, 1, 1, 1]> (x)"),
    "MaxPool, ceil": (
        IMAGE,
        "y = MaxPool <kernel_shape: ints = [3, 3], strides: ints = [2, 2], ceil_mode: int = 1> (x)",
    ),
    "AveragePool": (IMAGE, "y = AveragePool <kernel_shape: ints = [3, 3], pads: ints = [1, 1, 1, 1]> (x)"),
    "AveragePool, all": (
        IMAGE,
        "y = AveragePool <kernel_shape: ints = [3, 3], pads: ints = [1, 1, 1, 1], count_include_pad: int = 1> (x)",
    ),
    "AveragePool of lines": (LINE, "y = AveragePool <kernel_shape: ints = [2], strides: ints = [2]> (x)"),
    "GlobalAveragePool": (IMAGE, "y = GlobalAveragePool (x)"),
    "GlobalMaxPool": (IMAGE, "y = GlobalMaxPool (x)"),
    "ReduceMean": (
        IMAGE,
        "axes = Constant <value_ints: ints = [2, 3]> () y = ReduceMean <keepdims: int = 0> (x, axes)",
    ),
    "ReduceMean of the first axes": (
        IMAGE,
        "axes = Constant <value_ints: ints = [1, 2]> () y = ReduceMean <keepdims: int = 1> (x, axes)",
    ),
    "Flatten": (IMAGE, "y = Flatten (x)"),
    "Reshape": (IMAGE, "s = Constant <value_ints: ints = [0, -1, 4]> () y = Reshape (x, s)"),
    "Reshape by Shape": (
        IMAGE,
        "s = Shape (x) i = Constant <value_ints: ints = [0]> () n = Gather (s, i) "
        "r = Constant <value_ints: ints = [-1]> () t = Concat <axis: int = 0> (n, r) y = Reshape (x, t)",
    ),
    "Squeeze, Unsqueeze": (
        IMAGE,
        "a = GlobalMaxPool (x) i = Constant <value_ints: ints = [3]> () b = Squeeze (a, i) y = Unsqueeze (b, i)",
    ),
    "Transpose": (IMAGE, "y = Transpose <perm: ints = [0, 2, 3, 1]> (x)"),
    "Pad": (IMAGE, "p = Constant <value_ints: ints = [0, 0, 1, 2, 0, 0, 0, 3]> () y = Pad (x, p)"),
    "Identity, Cast, Dropout": (VECTOR, "a = Identity (x) b = Cast <to: int = 1> (a) y = Dropout (b)"),
    "residual block": (
        IMAGE,
        "a = Conv <pads: ints = [1, 1, 1, 1]> (x, w[2x2x3x3]) b = Relu (a) c = Add (x, b) y = Relu (c)",
    ),
    "arithmetic": (
        IMAGE,
        "a = Sub (x, m[2x1x1]) b = Div (a, s[1x2x1x1]) c = Mul (b, t[6]) d = Add (c, u[1]) e = Neg (d) "
        "y = Sub (o[1], e)",
    ),
    "Clip": (
        VECTOR,
        "l = Constant <value_float: float = -0.5> () h = Constant <value_float: float = 1.5> () y = Clip (x, l, h)",
    ),
    "Clip at six": (
        VECTOR,
        "l = Constant <value_float: float = 0.0> () h = Constant <value_float: float = 6.0> () y = Clip (x, l, h)",
    ),
    "PRelu": (IMAGE, "y = PRelu (x, s[2x1x1])"),
    "Softmax": (VECTOR, "y = Softmax (x)"),
    "LogSoftmax": (VECTOR, "y = LogSoftmax <axis: int = 1> (x)"),
    "GELU by Erf": (
        VECTOR,
        "r = Constant <value_float: float = 1.41421356> () i = Constant <value_float: float = 1.0> () "
        "h = Constant <value_float: float = 0.5> () a = Div (x, r) b = Erf (a) c = Add (b, i) d = Mul (x, c) "
        "y = Mul (d, h)",
    ),
    "GELU by Tanh": (
        VECTOR,
        "h = Constant <value_float: float = 0.5> () k = Constant <value_float: float = 0.044715> () "
        "r = Constant <value_float: float = 0.79788456> () i = Constant <value_float: float = 1.0> () a = Mul (x, h) "
        "b = Mul (x, x) c = Mul (b, x) d = Mul (c, k) e = Add (x, d) f = Mul (e, r) g = Tanh (f) j = Add (g, i) "
        "y = Mul (a, j)",
    ),
    "Softsign of three nodes": (
        VECTOR,
        "i = Constant <value_float: float = 1.0> () a = Abs (x) b = Add (a, i) y = Div (x, b)",
    ),
    "LogSigmoid of two nodes": (VECTOR, "a = Sigmoid (x) y = Log (a)"),
    "Tanhshrink of two nodes": (VECTOR, "a = Tanh (x) y = Sub (x, a)"),
    "Silu of two nodes": (VECTOR, "a = Sigmoid (x) y = Mul (x, a)"),
    "Mish of three nodes": (VECTOR, "a = Softplus (x) b = Tanh (a) y = Mul (b, x)"),
    "MLPClassifier of two classes": (
        VECTOR,
        "a = MatMul (x, w[5x4]) h = Relu (a) b = MatMul (h, v[4x1]) p = Sigmoid (b) "
        "one = Constant <value_float: float = 1.0> () q = Sub (one, p) y = Concat <axis: int = 1> (q, p)",
    ),
    "LogisticRegression of two classes": (
        (2,),
        "l, y = ai.onnx.ml.LinearClassifier <classlabels_ints: ints = [0, 1], coefficients: floats = "
        '[0.5, -1.0, -0.5, 1.0], intercepts: floats = [0.25, -0.25], post_transform: string = "LOGISTIC"> (x)',
    ),
    "LogisticRegression of three classes": (
        (2,),
        "s = ai.onnx.ml.Scaler <offset: floats = [0.5, 0.25], scale: floats = [2.0, 3.0]> (x) "
        "l, p = ai.onnx.ml.LinearClassifier <classlabels_ints: ints = [0, 1, 2], coefficients: floats = "
        "[0.5, -1.0, 0.25, 0.75, 1.5, -0.25], intercepts: floats = [0.25, -0.25, 0.5], "
        'post_transform: string = "SOFTMAX"> (s) y = ai.onnx.ml.Normalizer <norm: string = "L1"> (p)',
    ),
    **{kind: (VECTOR, f"y = {kind} (x)") for kind in PLAIN},
    "Gelu": (VECTOR, "y = Gelu (x)"),
    "Gelu, tanh": (VECTOR, 'y = Gelu <approximate: string = "tanh"> (x)'),
    "Shrink, soft": (VECTOR, "y = Shrink <bias: float = 0.25, lambd: float = 0.25> (x)"),
    "HardSigmoid of PyTorch": (VECTOR, "y = HardSigmoid <alpha: float = 0.16666667, beta: float = 0.5> (x)"),
}
REFUSED = {
    "LSTM": (LINE, "y = LSTM <hidden_size: int = 2> (x, w[1x8x8], r[1x8x2])", "'y' of type LSTM .*without recurrence"),
    "Resize": (
        IMAGE,
        "e = Constant <value_floats: floats = [1.0, 1.0, 2.0, 2.0]> () y = Resize (x, , e)",
        "'y' of type Resize .*images of the size",
    ),
    "LpNormalization": (IMAGE, "y = LpNormalization (x)", "'y' of type LpNormalization .*or LayerNormalization"),
    "Concat": (VECTOR, "a = Relu (x) y = Concat <axis: int = 1> (x, a)", "'y' of type Concat .*sums of two paths"),
    "Mul of paths": (VECTOR, "a = Relu (x) y = Mul (x, a)", "'y' of type Mul .*sums of two paths"),
    "softmax within": (VECTOR, "a = Softmax (x) y = Relu (a)", "'a' of type Softmax: expected a softmax at the end"),
    "weights used twice": (
        VECTOR,
        "w = Identity (v[5x5]) a = MatMul (x, w) b = Relu (a) y = MatMul (b, w)",
        "'y' of type MatMul: expected weights of its own, received 'w'",
    ),
    "the samples moved": (
        LINE,
        "y = Transpose <perm: ints = [1, 0, 2]> (x)",
        "'y' of type Transpose: expected the samples to stay the first axis",
    ),
    "one output": (VECTOR, "y = MatMul (x, w[5x1])", "expected at least two outputs.*regression"),
    "padding with ones": (
        IMAGE,
        "p = Constant <value_ints: ints = [0, 0, 1, 1, 0, 0, 1, 1]> () "
        "o = Constant <value_float: float = 1.0> () y = Pad (x, p, o)",
        "'y' of type Pad: expected padding with zeros",
    ),
}


def parsed(shape, text, batch="N", version=20):
    """Return the model of the nodes of a text, its output flattened."""
    rng, arrays = np.random.default_rng(0), []

    def array(found):
        values = rng.standard_normal([int(size) for size in found[2].split("x")]) / 2
        if (found[1] in "sv" and "BatchN" in text) or "Div" in text:
            values = np.abs(values) + 0.5  # variances and divisors
        arrays.append(onnx.numpy_helper.from_array(values.astype(np.float32), found[1]))
        return found[1]

    text = re.sub(r"(\w+)\[(\d+(?:x\d+)*)\]", array, text)
    sizes = ", ".join(map(str, (batch, *shape)))
    graph = onnx.parser.parse_graph(f"g (float[{sizes}] x) => (float[{batch}, K] out) {{ {text} out = Flatten (y) }}")
    graph.initializer.extend(arrays)
    opsets = [onnx.helper.make_opsetid("", version), onnx.helper.make_opsetid("ai.onnx.ml", 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_computes_what_the_reference_of_onnx_computes(name):
    """To single precision, on inputs that no reader has seen."""
    shape, text = OPERATORS[name]
    model = parsed(shape, text, version=21 if name.endswith("21") else 20)
    net = Network.from_onnx(model)
    x = np.random.default_rng(5).uniform(-3.0, 3.0, (3, *shape))
    (expected,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x.astype(np.float32)})
    found = np.log(net.activate(net(x))) if name == "LogSoftmax" else net.activate(net(x))
    assert relative_error(found, expected) <= 5e-7


@pytest.mark.parametrize("name", REFUSED)
def test_an_operator_without_counterpart_is_refused_in_one_line(name):
    """It names the node, its kind, and what would work."""
    shape, text, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        Network.from_onnx(parsed(shape, text))
    assert "\n" not in str(caught.value)


def test_padding_of_max_pools_is_that_of_the_standard():
    """The reference takes the padding (top, left, bottom, right) in another order, the reader does not."""
    text = "y = MaxPool <kernel_shape: ints = [3, 2], strides: ints = [2, 2], pads: ints = [0, 0, 1, 0]> (x)"
    x = np.random.default_rng(5).uniform(-3.0, 3.0, (2, *IMAGE))
    windows = [[x[:, :, i : i + 3, j : j + 2].max(axis=(2, 3)) for j in (0, 2, 4)] for i in (0, 2, 4)]
    expected = np.moveaxis(np.array(windows), (2, 3), (0, 1)).reshape(2, -1)
    np.testing.assert_array_equal(Network.from_onnx(parsed(IMAGE, text))(x), expected)


def test_a_model_for_a_fixed_number_of_samples_converts():
    """One that was exported for a batch of two is compared two at a time."""
    text = "s = Constant <value_ints: ints = [2, 72]> () a = Reshape (x, s) y = MatMul (a, w[72x3])"
    net = Network.from_onnx(parsed(IMAGE, text, batch="2"))
    assert net(np.ones((5, *IMAGE))).shape == (5, 3)


def test_a_file_is_read_or_refused(tmp_path):
    """By its path; one that is missing or no model is named."""
    path = tmp_path / "model.onnx"
    with pytest.raises(FileNotFoundError, match=f"{path}: expected an ONNX model, found none"):
        Network.from_onnx(path)
    onnx.save(parsed(VECTOR, "y = MatMul (x, w[5x3])"), path)
    assert Network.from_onnx(str(path)).classes == 3
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match=f"{path}: expected an ONNX model, found none"):
        Network.from_onnx(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("y = Gemm (x)", "IndexError"),  # no weights
        ("a = Relu (nothing) y = Add (x, a)", "RuntimeError"),  # a value that nobody makes
        ("y = Relu (x, x, x)", "TypeError"),  # two inputs too many
    ],
)
def test_a_model_that_no_standard_allows_is_refused_in_one_line(text, found):
    """Such as a fuzzer makes of good ones."""
    with pytest.raises(ValueError, match=f"model: expected one that ONNX itself can run, found {found}") as caught:
        Network.from_onnx(parsed(VECTOR, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["onnx.load", "onnx.reference.ReferenceEvaluator.run"])
def test_a_lack_of_memory_says_nothing_about_the_model(tmp_path, monkeypatch, where):
    """While a file is read, or while its model runs: it is raised as what it is."""
    onnx.save(parsed(VECTOR, "y = MatMul (x, w[5x3])"), tmp_path / "model.onnx")

    def too_large(*_arguments, **_options):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(where, too_large)
    with pytest.raises(MemoryError, match="Unable to allocate 9 TiB"):
        Network.from_onnx(tmp_path / "model.onnx")


def test_a_copy_that_differs_is_refused(monkeypatch):
    """Were a reader wrong, the comparison would say so."""
    from bea.networks import onnx_operators

    monkeypatch.setitem(onnx_operators.PLAIN, "Sigmoid", "tanh")
    with pytest.raises(ValueError, match=r"model: expected outputs that equal those of its copy .* differ by \d"):
        Network.from_onnx(parsed(VECTOR, "a = Sigmoid (x) y = MatMul (a, w[5x3])"))
