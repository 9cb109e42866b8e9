"""`bea.networks.layers`: every layer against loops over single pixels, differences and adjoints, and what is refused.

The tolerances are a few times the largest error measured over the cases, which is rounding in all but the differences.
"""

import itertools
import json
import math

import numpy as np
import pytest

from bea.networks.activations import ACTIVATIONS
from bea.networks.layers import Activation, Dense, Flatten, Weighted
from bea.networks.network import Network
from bea.networks.windows import AveragePool, Convolution, MaxPool
from oracles import FUNCTIONS, relative_error

RNG = np.random.default_rng

# Image shape, filters, size, stride, padding.
CONVOLUTIONS = {
    "lenet": ((9, 8, 1), 4, 5, 1, 0),
    "one pixel": ((3, 4, 2), 3, 1, 1, 0),
    "whole image": ((3, 4, 2), 3, (3, 4), 1, 0),
    "oblong": ((6, 5, 3), 2, (2, 3), 1, 0),
    "strided": ((8, 7, 2), 3, (3, 2), (2, 3), 0),
    "gaps": ((7, 8, 2), 2, 2, 3, 0),
    "padded": ((4, 5, 2), 3, 3, 1, 1),
    "asymmetric": ((5, 6, 2), 3, (2, 4), (2, 1), ((0, 1), (1, 2))),
    "strided and padded": ((5, 5, 3), 2, 3, 2, (2, 1)),
    "one filter": ((4, 4, 1), 1, 2, 1, 0),
}

# Image shape, size, stride.
POOLS = {
    "halves": ((6, 8, 3), 2, None),
    "leftovers": ((7, 5, 2), 2, None),
    "oblong": ((6, 6, 2), (3, 2), None),
    "overlapping": ((7, 6, 2), 3, (2, 1)),
    "gaps": ((7, 8, 1), 2, 3),
    "one pixel": ((3, 4, 2), 1, None),
    "whole image": ((3, 4, 2), (3, 4), None),
}


def four_sides(padding):
    """Top, bottom, left, right."""
    return np.broadcast_to(np.reshape(padding, (-1, 1)) if np.ndim(padding) == 1 else padding, (2, 2)).ravel()


@pytest.fixture(params=[(name, bias) for name in CONVOLUTIONS for bias in (True, False)], ids=str)
def convolution(request):
    """A random convolution and five images."""
    name, bias = request.param
    shape, filters, size, stride, padding = CONVOLUTIONS[name]
    rng = RNG(1)
    columns = math.prod(np.broadcast_to(size, 2)) * shape[2] + bias
    return Convolution(rng.standard_normal((filters, columns)), size, stride, padding, bias), rng.random((5, *shape))


def windows(image, size, stride, padding=0):
    """Yield the position of every window and the pixels of the padded image that it holds."""
    top, bottom, left, right = four_sides(padding)
    image = np.pad(image, ((top, bottom), (left, right), (0, 0)))
    (q1, q2), (s1, s2) = np.broadcast_to(size, 2), np.broadcast_to(size if stride is None else stride, 2)
    for a, b in itertools.product(range((len(image) - q1) // s1 + 1), range((image.shape[1] - q2) // s2 + 1)):
        yield (a, b), [(a * s1 + i, b * s2 + j) for i in range(q1) for j in range(q2)], image


def convolve(layer, image):
    """Every filter at every position, pixel by pixel."""
    pixels, channels = math.prod(layer.size), image.shape[2]
    weights = layer.matrix[:, : pixels * channels].reshape(-1, pixels, channels)
    output = {}
    for place, window, padded in windows(image, layer.size, layer.stride, layer.padding):
        for f, kernel in enumerate(weights):
            value = layer.matrix[f, -1] if layer.bias else 0.0
            for number, pixel in enumerate(window):
                for c in range(channels):
                    value += kernel[number, c] * padded[(*pixel, c)]
            output[(*place, f)] = value
    return as_array(output)


def pool(choose, size, stride, image):
    """``choose`` of every window and channel."""
    output = {}
    for place, window, _ in windows(image, size, stride):
        for c in range(image.shape[2]):
            output[(*place, c)] = choose([image[(*pixel, c)] for pixel in window])
    return as_array(output)


def as_array(entries):
    """The array with these entries, by index."""
    array = np.full(np.max(list(entries), axis=0) + 1, np.nan)
    for index, value in entries.items():
        array[index] = value
    return array


def jacobian(function, image):
    """The matrix of an affine function, from its values at all unit images."""
    units = np.eye(image.size).reshape(-1, *image.shape)
    return np.stack([(function(unit) - function(0 * image)).ravel() for unit in units], axis=1)


def random_rows(layer, y, k=3, n=None):
    """Three rows for every output of the layer, and the output."""
    output = layer.forward(y)
    return RNG(2).standard_normal((len(y) if n is None else n, k, *output.shape[1:])), output


def pulled(layer, y, jacobians):
    """Rows pulled back by the layer and by the explicit Jacobians of all samples."""
    rows, output = random_rows(layer, y)
    expected = [r.reshape(len(r), -1) @ J for r, J in zip(rows, jacobians, strict=True)]
    found = layer.pull_back(rows, y, output)
    assert found.shape == (*rows.shape[:2], *y.shape[1:])
    return found.reshape(np.shape(expected)), np.array(expected)


def test_convolution_equals_the_loop_over_pixels(convolution):
    """Σ over window and channels of weight times pixel, plus the bias; and the shape is the one announced."""
    layer, y = convolution
    found = layer.forward(y)
    assert found.shape[1:] == layer.output_shape(y.shape[1:])
    assert relative_error(found, np.array([convolve(layer, image) for image in y])) <= 2e-15


def test_convolution_pulls_back_by_the_explicit_matrix(convolution):
    """Rows times the Jacobian, whose columns are the images of all unit images."""
    layer, y = convolution
    found, expected = pulled(layer, y, [jacobian(lambda image: convolve(layer, image), y[0])] * len(y))
    assert relative_error(found, expected) <= 2e-15


def test_unfolding_lists_the_windows(convolution):
    """Position by position, row by row, the pixels of the window with the channel fastest, and a one."""
    layer, y = convolution
    found = layer.unfold(y)
    for sample, image in zip(found, y, strict=True):
        listed = list(windows(image, layer.size, layer.stride, layer.padding))
        assert len(sample) == len(listed)
        for h, (_, window, padded) in zip(sample, listed, strict=True):
            np.testing.assert_array_equal(h, [*np.ravel([padded[pixel] for pixel in window]), *[1.0] * layer.bias])


@pytest.mark.parametrize("n", [5, 1])
def test_folding_is_the_adjoint_of_unfolding(convolution, n):
    """⟨rows, unfold(y)⟩ = ⟨fold(rows), y⟩ for every sample and class, bias column left out."""
    layer, y = convolution
    y, columns = y[:n], layer.kernel.shape[1]
    h = layer.unfold(y)[..., :columns]
    rows = RNG(3).standard_normal((n, 3, *h.shape[1:]))
    found = np.einsum("nkhwc,nhwc->nk", layer.fold(rows, y.shape[1:]), y)
    assert relative_error(found, np.einsum("nkpc,npc->nk", rows, h)) <= 5e-15


def weighted_layers():
    """One of each kind, with an input shape."""
    rng = RNG(4)
    return {
        "dense": (Dense(rng.standard_normal((4, 7))), (6,)),
        "dense without bias": (Dense(rng.standard_normal((4, 6)), bias=False), (6,)),
        "convolution": (Convolution(rng.standard_normal((4, 13)), (2, 3), (1, 2), 1), (4, 5, 2)),
    }


@pytest.mark.parametrize("name", weighted_layers())
def test_forward_and_pull_back_are_unfold_and_fold_with_the_matrix(name):
    """What the linearisation assumes of every weighted layer: A times h, and fold(rows A) without the bias column."""
    layer, shape = weighted_layers()[name]
    y = RNG(5).random((5, *shape))
    rows, output = random_rows(layer, y)
    positions = math.prod(output.shape[1:-1])
    h = layer.unfold(y)
    assert h.shape == (5, positions, layer.matrix.shape[1])
    assert relative_error((h @ layer.matrix.T).reshape(output.shape), output) <= 2e-15
    each = rows.reshape(5, 3, positions, len(layer.matrix)) @ layer.kernel
    assert relative_error(layer.fold(each, shape), layer.pull_back(rows, y, output)) <= 2e-15


@pytest.mark.parametrize("name", weighted_layers())
def test_another_matrix_leaves_the_rest_of_a_layer(name):
    """`with_matrix` changes the matrix and nothing else, and the old layer not at all."""
    layer, _ = weighted_layers()[name]
    before = layer.matrix.copy()
    other = layer.with_matrix(2 * before)
    np.testing.assert_array_equal(other.matrix, 2 * before)
    np.testing.assert_array_equal(layer.matrix, before)
    assert isinstance(other, Weighted)
    assert type(other) is type(layer)
    assert {**vars(other), "matrix": 0} == {**vars(layer), "matrix": 0}


@pytest.mark.parametrize("bias", [True, False])
def test_dense_pulls_back_by_its_kernel(bias):
    """Rows times A without the bias column."""
    layer, y = Dense(RNG(1).standard_normal((4, 6 + bias)), bias), RNG(2).random((5, 6))
    found, expected = pulled(layer, y, [layer.matrix[:, :6]] * 5)
    assert relative_error(found, expected) <= 2e-15


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize(("kind", "choose"), [(MaxPool, max), (AveragePool, np.mean)])
def test_pooling_equals_the_loop_over_windows(name, kind, choose):
    """The largest or mean entry of every window and channel; and the shape is the one announced."""
    shape, size, stride = POOLS[name]
    layer, y = kind(size, stride), RNG(1).standard_normal((5, *shape))
    found = layer.forward(y)
    assert found.shape[1:] == layer.output_shape(shape)
    assert relative_error(found, np.array([pool(choose, size, stride, image) for image in y])) <= 2e-15


@pytest.mark.parametrize("name", POOLS)
def test_average_pooling_pulls_back_by_the_explicit_matrix(name):
    """Rows times the Jacobian, whose columns are the images of all unit images."""
    shape, size, stride = POOLS[name]
    y = RNG(1).random((5, *shape))
    matrix = jacobian(lambda image: pool(np.mean, size, stride, image), y[0])
    found, expected = pulled(AveragePool(size, stride), y, [matrix] * 5)
    assert relative_error(found, expected) <= 2e-15


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_maximum_pooling_pulls_back_to_the_first_maximum(name, levels):
    """One entry of each row of the Jacobian, that of the first of the largest pixels; few levels have many ties."""
    shape, size, stride = POOLS[name]
    y = RNG(1).integers(0, levels, (5, *shape)) - levels // 2.0
    jacobians = []
    for image in y:
        rows = []
        for _, window, _ in windows(image, size, stride):
            for c in range(shape[2]):
                row = np.zeros(shape)
                row[(*window[int(np.argmax([image[(*pixel, c)] for pixel in window]))], c)] = 1.0
                rows.append(row.ravel())
        jacobians.append(np.array(rows))
    found, expected = pulled(MaxPool(size, stride), y, jacobians)
    assert relative_error(found, expected) <= 2e-15


ELEMENTWISE = [*((name, None) for name in ACTIVATIONS), ("smooth_relu", 1.0), ("smooth_relu", 0.1), ("smooth_relu", 7)]


@pytest.mark.parametrize(("name", "parameter"), ELEMENTWISE)
def test_activations_equal_their_formulas(name, parameter):
    """Values and derivatives, written in another way."""
    layer, v = Activation(name, parameter), RNG(1).standard_normal((5, 3, 2))
    function, derivative = (
        FUNCTIONS[name] if parameter is None else (lambda v, f=f: f(v, parameter) for f in FUNCTIONS[name])
    )
    assert relative_error(layer.forward(v), function(v)) <= 2e-15
    found, expected = pulled(layer, v, [np.diag(derivative(sample).ravel()) for sample in v])
    assert relative_error(found, expected) <= 2e-15


SMOOTH = {
    **{f"{name} {a}": (Activation(name, a), (3, 2)) for name, a in ELEMENTWISE if name != "relu"},
    "convolution": (Convolution(RNG(4).standard_normal((4, 13)), (2, 3), (1, 2), 1), (4, 5, 2)),
    "dense": (Dense(RNG(4).standard_normal((4, 7))), (6,)),
    "average": (AveragePool(3, 2), (5, 5, 2)),
    "maximum": (MaxPool(3, 2), (5, 5, 2)),  # smooth near an image without ties
    "flatten": (Flatten(), (2, 3, 2)),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_pull_back_equals_central_differences(name):
    """⟨row, f(y + t d) - f(y - t d)⟩ / 2t for a random direction d, up to the square of t."""
    layer, shape = SMOOTH[name]
    y, step = RNG(5).standard_normal((5, *shape)), 1e-5
    d = RNG(6).standard_normal(y.shape)
    rows, output = random_rows(layer, y)
    difference = (layer.forward(y + step * d) - layer.forward(y - step * d)) / (2 * step)
    expected = np.einsum("nki,ni->nk", rows.reshape(5, 3, -1), difference.reshape(5, -1))
    found = np.einsum("nki,ni->nk", layer.pull_back(rows, y, output).reshape(5, 3, -1), d.reshape(5, -1))
    assert relative_error(found, expected) <= 1e-9


def test_smooth_relu_has_no_cancellation():
    """Far to the left it is a²/4|v| and its derivative a²/4v², to the last digits; far to the right it is v."""
    layer, v = Activation("smooth_relu", 0.1), np.array([[-1e4, -1e8, -1e100, 1e8, 1e150]])
    found = layer.forward(v)
    np.testing.assert_allclose(found[0, :3], 0.0025 / np.abs(v[0, :3]) * [1 - 2.5e-11, 1, 1], rtol=1e-15)
    np.testing.assert_array_equal(found[0, 3:], v[0, 3:])
    derivative = layer.pull_back(np.ones((1, 1, 5)), v, found)[0, 0]
    np.testing.assert_allclose(derivative[:3], 0.0025 / v[0, :3] ** 2 * [1 - 7.5e-11, 1, 1], rtol=1e-15)
    assert derivative[3:].tolist() == [1.0, 1.0]


EVERY = {
    **{name: SMOOTH[name] for name in ("convolution", "dense", "average", "maximum", "flatten")},
    "relu": (Activation("relu"), (3, 2)),
    "smooth_relu": (Activation("smooth_relu", 0.1), (3, 2)),
}


@pytest.mark.parametrize("name", EVERY)
def test_an_empty_batch_is_a_batch(name):
    """No samples in, none out, in the right shapes."""
    layer, shape = EVERY[name]
    y = np.zeros((0, *shape))
    rows, output = random_rows(layer, y)
    assert output.shape == (0, *layer.output_shape(shape))
    assert layer.pull_back(rows, y, output).shape == (0, 3, *shape)
    if isinstance(layer, Weighted):
        h = layer.unfold(y)
        assert h.shape == (0, *layer.unfold(np.zeros((1, *shape))).shape[1:])
        assert layer.fold(np.zeros((0, 3, h.shape[1], layer.kernel.shape[1])), shape).shape == (0, 3, *shape)


@pytest.mark.parametrize("name", EVERY)
def test_rows_that_all_samples_share_give_what_each_of_them_gives(name):
    """A first axis of length one stands for the same rows for every sample."""
    layer, shape = EVERY[name]
    y = RNG(5).standard_normal((5, *shape))
    rows, output = random_rows(layer, y, n=1)
    found = layer.pull_back(rows, y, output)
    assert len(found) in (1, 5)
    expected = layer.pull_back(np.repeat(rows, 5, axis=0), y, output)
    assert relative_error(np.broadcast_to(found, expected.shape), expected) <= 2e-15


@pytest.mark.parametrize("name", EVERY)
def test_layers_leave_their_arguments_as_they_were(name):
    """Neither images nor rows are written to."""
    layer, shape = EVERY[name]
    y = RNG(5).standard_normal((5, *shape))
    rows, output = random_rows(layer, y)
    for array in (y, rows):
        array.flags.writeable = False
    assert layer.forward(y).tobytes() == output.tobytes()
    layer.pull_back(rows, y, output)


FILTERS = np.ones((3, 13))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Convolution(np.ones(3), 2), r"matrix: expected two dimensions .* received shape \(3,\)"),
        (lambda: Convolution(1j * FILTERS, 2), "matrix: expected real weights"),
        (lambda: Convolution(FILTERS * np.inf, 2), r"matrix: expected finite weights, received inf at \(0, 0\)"),
        (lambda: Convolution(FILTERS, 0), "size: expected one or two integers from 1 on, received 0"),
        (lambda: Convolution(FILTERS, (2, 3, 1)), r"size: expected .* received \(2, 3, 1\)"),
        (lambda: Convolution(FILTERS, 2.5), "size: expected .* received 2.5"),
        (lambda: Convolution(FILTERS, (2, 3), 0), "stride: expected .* from 1 on, received 0"),
        (lambda: Convolution(FILTERS, (2, 3), (1, -1)), r"stride: expected .* received \(1, -1\)"),
        (lambda: Convolution(FILTERS, (2, 3), 1, -1), "padding: expected .* from 0 on, received -1"),
        (lambda: Convolution(FILTERS, (2, 3), 1, ((0, 1), (0, -2))), r"padding: expected .* received \(0, -2\)"),
        (lambda: Convolution(FILTERS, (2, 3), 1, (1, 2, 3)), r"padding: expected \(\(top.* received \(1, 2, 3\)"),
        (lambda: MaxPool(0), "size: expected .* from 1 on, received 0"),
        (lambda: AveragePool((2, "2")), r"size: expected .* received \(2, '2'\)"),
        (lambda: MaxPool(2, 0), "stride: expected .* from 1 on, received 0"),
        (lambda: Activation("smooth_relu"), "parameter: expected a positive finite number for smooth_relu.*None"),
        (lambda: Activation("smooth_relu", 0.0), "parameter: expected a positive finite .* received 0.0"),
        (lambda: Activation("smooth_relu", -1), "parameter: expected a positive finite .* received -1"),
        (lambda: Activation("smooth_relu", np.nan), "parameter: expected a positive finite .* received nan"),
        (lambda: Activation("smooth_relu", np.inf), "parameter: expected a positive finite .* received inf"),
        (lambda: Activation("smooth_relu", "1"), "parameter: expected a positive finite .* received '1'"),
        (lambda: Activation("relu", 0.1), "parameter: expected none for relu, received 0.1"),
        (lambda: Activation("relu2"), "activation: expected one of .*'smooth_relu'.* received 'relu2'"),
    ],
)
def test_a_layer_that_makes_no_sense_is_refused(make, message):
    """One ValueError that names the argument, what was expected and what came."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Convolution(FILTERS, (2, 3)), (4, 5, 3), r"matrix: expected 18 input columns .* one bias .*\(3, 13\)"),
        (Convolution(FILTERS, 2, bias=False), (4, 5, 3), r"matrix: expected 12 input columns .*\(4, 5, 3\), received"),
        (Convolution(FILTERS, (2, 3)), (4, 5), r"input: expected images of shape .* received \(4, 5\)"),
        (Convolution(FILTERS, (2, 3)), (1, 5, 2), r"size: .* fits into .*\(1, 5, 2\), received \(2, 3\)"),
        (Convolution(FILTERS, (2, 3), 1, ((0, 0), (0, 0))), (5, 2, 2), r"size: .* fits into an image of shape"),
        (MaxPool(2), (4, 5), r"input: expected images of shape .* received \(4, 5\)"),
        (MaxPool((3, 2)), (2, 5, 1), r"size: .* fits into .*\(2, 5, 1\), received \(3, 2\)"),
        (AveragePool(6, 1), (6, 5, 1), r"size: .* fits into .*\(6, 5, 1\), received \(6, 6\)"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(layer, shape, message):
    """One ValueError that names the argument, what was expected and what came."""
    with pytest.raises(ValueError, match=message):
        layer.output_shape(shape)


def lenet(rng):
    """A small net of every kind of layer."""
    layers = [
        Convolution(rng.standard_normal((3, 9)), 2, padding=((0, 1), (1, 0))),
        Activation("smooth_relu", 0.1),
        MaxPool(2, 1),
        Convolution(rng.standard_normal((4, 6)), (1, 2), (2, 1), bias=False),
        Activation("tanh"),
        AveragePool((2, 1)),
        Flatten(),
        Dense(rng.standard_normal((5, 25))),
        Activation("relu"),
        Dense(rng.standard_normal((3, 5)), bias=False),
    ]
    return Network(layers, (7, 8, 2), "softmax", (0, 1))


def test_saving_and_loading_changes_nothing(tmp_path):
    """Every kind of layer comes back with the same parameters and, bit for bit, the same weights."""
    net, x = lenet(RNG(1)), RNG(2).random((4, 7, 8, 2))
    net.save(tmp_path / "net.npz")
    again = Network.load(tmp_path / "net.npz")
    for found, layer in zip(again.layers, net.layers, strict=True):
        assert type(found) is type(layer)
        assert {**vars(found), "matrix": 0} == {**vars(layer), "matrix": 0}
        if isinstance(layer, Weighted):
            assert found.matrix.tobytes() == layer.matrix.tobytes()
    assert again(x).tobytes() == net(x).tobytes()


def write(path, *layers, **matrices):
    """A network file with these entries in its header."""
    header = {"format": "bea network 1", "layers": layers, "input_shape": [2, 2, 1]}
    header |= {"output_activation": "linear", "input_range": None}
    np.savez(path, header=np.array(json.dumps(header)), **matrices)


DENSE = {"kind": "Dense", "shape": [2, 5], "bias": True}


def test_files_from_before_convolutions_are_still_read(tmp_path):
    """Activations had no parameter then."""
    matrices = {"A1": RNG(1).random((4, 5)), "A2": RNG(2).random((2, 5))}
    first = {"kind": "Dense", "shape": [4, 5], "bias": True}
    write(tmp_path / "old.npz", {"kind": "Flatten"}, first, {"kind": "Activation", "name": "tanh"}, DENSE, **matrices)
    x = RNG(3).random((3, 2, 2, 1))
    h = np.tanh(x.reshape(3, 4) @ matrices["A1"][:, :4].T + matrices["A1"][:, 4])
    expected = h @ matrices["A2"][:, :4].T + matrices["A2"][:, 4]
    assert relative_error(Network.load(tmp_path / "old.npz")(x), expected) <= 2e-15


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "MaxPool", "size": [1, 1]}, r"layer 0: expected \['size', 'stride'\] of a MaxPool, found"),
        ({"kind": "MaxPool", "size": [0, 1], "stride": [1, 1]}, "layer 0: size: expected one or two integers"),
        ({"kind": "MaxPool", "size": [1, 1], "stride": [1, 1], "shape": 3}, "layer 0: expected .* of a MaxPool"),
        ({"kind": "Activation", "name": "smooth_relu"}, "layer 0: parameter: expected a positive"),
        ({"kind": "Weighted"}, "layer 0: expected a known kind of layer, found .*Weighted"),
        (
            {"kind": "Convolution", "shape": [1, 5], "bias": True},
            r"layer 0: expected \['bias', 'padding', .* of a Convolution",
        ),
        ({"kind": "Dense", "shape": [1, 5], "bias": True}, r"layer 0: expected A1 of shape \[1, 5\], found \[2, 5\]"),
        ({"kind": "Dense", "shape": [2, 5]}, r"layer 0: expected \['bias', 'shape'\] of a Dense"),
    ],
)
def test_a_file_with_a_wrong_layer_is_refused(tmp_path, entry, message):
    """One ValueError that names path and layer, what was expected and what was found."""
    path = tmp_path / "net.npz"
    write(path, entry, {"kind": "Flatten"}, DENSE, A1=np.ones((2, 5)))
    with pytest.raises(ValueError, match=f"{path}: {message}"):
        Network.load(path)
