"""Layers beyond dense ones and plain windows: each against JAX, its Lipschitz constant, and what files keep."""

import functools
import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bea import (
    Activation,
    AveragePool,
    Convolution,
    Crop,
    Dense,
    Flatten,
    GlobalAveragePool,
    GlobalMaxPool,
    LayerNormalization,
    MaxPool,
    Network,
    Pad,
    Permute,
    PReLU,
    Readout,
    Reshape,
    Residual,
    Scale,
    batch_normalisation,
    fold_scales,
    lower_bound,
)
from bea.bounds.along_ray import slope_bounds
from bea.bounds.lipschitz import lipschitz_constant
from bea.bounds.rounding import logit_error
from bea.networks.positions import derivatives, products, pulled_back
from bea.networks.sequence import leaves, trace
from oracles import RNG, random_convolution, relative_error


def grouped(rng, filters, channels, size, groups, **options):
    """A convolution in groups with Gaussian weights."""
    columns = math.prod(np.broadcast_to(size, 2)) * channels // groups + 1
    return Convolution(rng.standard_normal((filters, columns)), size, groups=groups, **options)


def convolve(layer):
    """The function of a convolution in JAX."""
    kernel = layer.kernel.reshape(len(layer.matrix), *layer.size, -1).transpose(1, 2, 3, 0)

    def function(y):
        product = jax.lax.conv_general_dilated(
            *(y[None], kernel, layer.stride, layer.padding),
            rhs_dilation=layer.dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=layer.groups,
        )
        return product[0] + layer.matrix[:, -1]

    return function


def pool(start, function, layer):
    """The sum or maximum of every window in JAX."""
    padding = (*layer.padding, (0, 0))
    return lambda y: jax.lax.reduce_window(y, start, function, (*layer.size, 1), (*layer.stride, 1), padding)


def average(layer):
    """The mean of every window in JAX."""
    total = pool(0.0, jax.lax.add, layer)
    if layer.count_padding:
        return lambda y: total(y) / math.prod(layer.size)
    return lambda y: total(y) / total(jnp.ones_like(y))


def normalise(layer):
    """Layer normalisation in JAX, from its definition."""
    axes = tuple(range(-layer.factor.ndim, 0))

    def function(y):
        variance = jnp.var(y, axes, keepdims=True)
        return layer.factor * (y - y.mean(axes, keepdims=True)) / jnp.sqrt(variance + layer.epsilon) + layer.shift

    return function


def cases():
    """Name → layer, shape of an input, the function of one input in JAX."""
    rng = RNG(1)
    convolutions = {
        "dilated": (random_convolution(rng, 3, 2, (2, 3)), {"dilation": (3, 2), "stride": (1, 2)}, (8, 8, 2)),
        "groups": (grouped(rng, 6, 4, 3, 2, padding=1), {}, (6, 5, 4)),
        "depthwise": (grouped(rng, 8, 4, (3, 2), 4, stride=2, padding=((1, 0), (2, 1))), {}, (7, 6, 4)),
        "dilated depthwise": (grouped(rng, 4, 4, 3, 4, dilation=2, padding=2), {}, (5, 6, 4)),
    }
    found = {}
    for name, (layer, options, shape) in convolutions.items():
        if options:
            layer = Convolution(layer.matrix, layer.size, **options)
        found[name] = layer, shape, convolve(layer)
    maximum, same = MaxPool(3, 2, ((1, 2), (0, 1))), AveragePool(3, 2, ((1, 1), (0, 1)))
    counted, matrix = AveragePool((2, 3), 1, 1, count_padding=True), rng.standard_normal((4, 6))
    vector, image = rng.standard_normal(5), rng.standard_normal((2, 5))
    layer_norm, whole = LayerNormalization(vector, vector[::-1], 1e-3), LayerNormalization(image, -image, 0.1)
    inner = (Dense(rng.standard_normal((3, 6))), Activation("tanh"), Dense(rng.standard_normal((5, 4))))
    residual = Residual((*inner, LayerNormalization(vector, vector, 0.5)))
    crossed = Residual((residual, Activation("silu")), (Scale(2.0, 1.0), Dense(rng.standard_normal((5, 6)))))

    def through(y):
        y = jnp.tanh(inner[0].kernel @ y + inner[0].matrix[:, -1])
        return normalise(residual.branch[-1])(inner[2].kernel @ y + inner[2].matrix[:, -1])

    def both(y):
        last = crossed.shortcut[1]
        return jax.nn.silu(through(y) + y) + last.kernel @ (2.0 * y + 1.0) + last.matrix[:, -1]

    return found | {
        "maximum, padded": (maximum, (6, 5, 2), pool(-jnp.inf, jax.lax.max, maximum)),
        "average of real pixels": (same, (6, 5, 2), average(same)),
        "average with zeros": (counted, (4, 5, 2), average(counted)),
        "global average": (GlobalAveragePool(), (3, 4, 2), lambda y: y.mean((0, 1))),
        "global maximum": (GlobalMaxPool(), (3, 4, 2), lambda y: y.max((0, 1))),
        "global of a line": (GlobalAveragePool(), (4, 3), lambda y: y.mean(0)),
        "reshape": (Reshape((4, 3, 2)), (2, 3, 4), lambda y: y.reshape(4, 3, 2)),
        "permute": (Permute((2, 0, 1)), (2, 3, 4), lambda y: y.transpose(2, 0, 1)),
        "pad": (Pad(((1, 0), (2, 3))), (2, 3, 2), lambda y: jnp.pad(y, ((1, 0), (2, 3), (0, 0)))),
        "crop": (Crop(((1, 0), (0, 2))), (4, 5, 2), lambda y: y[1:, :-2]),
        "scale a channel": (Scale(vector, 2.0), (2, 3, 5), lambda y: vector * y + 2.0),
        "scale an entry": (Scale(image, vector), (2, 5), lambda y: image * y + vector),
        "scale all": (Scale(-3.0, 1.0), (2, 3), lambda y: 1.0 - 3.0 * y),
        "prelu": (PReLU(vector), (2, 3, 5), lambda y: jnp.where(y > 0, y, vector * y)),
        "layer normalisation": (layer_norm, (2, 3, 5), normalise(layer_norm)),
        "of an image": (whole, (3, 2, 5), normalise(whole)),
        "readout": (Readout(matrix, True), (5,), lambda y: matrix[:, :5] @ y + matrix[:, 5]),
        "residual": (residual, (5,), lambda y: through(y) + y),
        "crossed": (crossed, (5,), both),
    }


CASES = cases()
CURVED = ("layer normalisation", "of an image", "residual", "crossed")


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=CASES)
def case(request):
    """A layer, four inputs, and its values and Jacobians (4, *output, *input) there by JAX."""
    return expected(request.param)


@functools.cache
def expected(name):
    """What ``case`` returns; JAX compiles once."""
    layer, shape, function = CASES[name]
    y = RNG(2).standard_normal((4, *shape))
    y.flags.writeable = False
    values, jacobians = jax.jit(jax.vmap(lambda y: (function(y), jax.jacrev(function)(y))))(y)
    return layer, y, np.asarray(values), np.asarray(jacobians).reshape(4, -1, math.prod(shape))


def test_values_and_first_derivatives_are_those_of_jax(case):
    """Forward, rows times the Jacobian, and the Jacobian times a tangent; arguments stay as they were."""
    layer, y, values, jacobians = case
    output = layer.forward(y)
    assert output.shape[1:] == layer.output_shape(y.shape[1:])
    assert relative_error(output, values) <= 2e-15
    rng = RNG(3)
    rows, dy = rng.standard_normal((4, 3, *output.shape[1:])), rng.standard_normal(y.shape)
    expected = rows.reshape(4, 3, -1) @ jacobians
    pulled = layer.pull_back(rows, y, output)
    assert pulled.shape == (4, 3, *y.shape[1:])
    assert relative_error(pulled.reshape(expected.shape), expected) <= 4e-15
    shared = np.broadcast_to(layer.pull_back(rows[:1], y, output), pulled.shape)
    assert relative_error(shared.reshape(expected.shape), rows[:1].reshape(1, 3, -1) @ jacobians) <= 4e-15
    pushed = layer.push_forward(dy, y, output)
    assert relative_error(pushed.reshape(4, -1), np.matvec(jacobians, dy.reshape(4, -1))) <= 4e-15


def test_an_empty_batch_is_a_batch(case):
    layer, y, values, _ = case
    output = layer.forward(y[:0])
    assert output.shape == (0, *values.shape[1:])
    assert layer.pull_back(np.zeros((0, 3, *values.shape[1:])), y[:0], output).shape == (0, 3, *y.shape[1:])


def test_no_direction_is_stretched_by_more_than_the_constant(case):
    """No Jacobian has a larger norm, and no chord is longer; an affine layer has that very norm."""
    layer, y, _, jacobians = case
    constant = lipschitz_constant(layer, y.shape[1:])
    norms = np.linalg.norm(jacobians, 2, axis=(1, 2))
    assert norms.max() <= constant * (1 + 1e-12)
    r = RNG(4).standard_normal(y.shape) * 10.0 ** RNG(5).uniform(-2, 1, (4, *[1] * (y.ndim - 1)))
    moved = np.linalg.norm((layer.forward(y + r) - layer.forward(y)).reshape(4, -1), axis=1)
    assert (moved <= constant * np.linalg.norm(r.reshape(4, -1), axis=1) * (1 + 1e-12)).all()
    kinds = MaxPool | GlobalMaxPool | PReLU | LayerNormalization | Residual
    if not isinstance(layer, kinds):
        assert constant <= norms.max() * (1 + 1e-5)


@pytest.mark.parametrize("name", CURVED)
def test_second_derivatives_are_those_of_jax(name):
    """The derivative of the rows pulled back, along a direction."""
    layer, shape, function = CASES[name]
    rng = RNG(6)
    y, dy = rng.standard_normal((2, 4, *shape))
    output = layer.forward(y)
    rows = rng.standard_normal((4, 2, *output.shape[1:]))

    def second(y, dy, row):
        return jax.jvp(jax.grad(lambda y: jnp.vdot(row, function(y))), (y,), (dy,))[1]

    expected = jax.jit(jax.vmap(jax.vmap(second, (None, None, 0))))(y, dy, rows)
    assert relative_error(layer.bend(rows, dy, y, output), np.asarray(expected)) <= 1e-14


def test_layer_normalisation_comes_as_close_to_its_constant_as_one_likes():
    """Where an input varies little, a direction is stretched by the largest factor over √ε, but for its mean."""
    factor = np.array([1.0, 0.1, 0.1, 3.0, 0.1, 0.1, 0.1, 0.1])
    layer = LayerNormalization(factor, np.zeros(8), 1e-3)
    y = 1e-6 * RNG(1).standard_normal((1, 8)) + 5.0
    found = np.linalg.norm(layer.push_forward(np.eye(8), np.repeat(y, 8, 0), None), 2)
    assert 0.9 * lipschitz_constant(layer, (8,)) <= found <= lipschitz_constant(layer, (8,))


@pytest.mark.parametrize("name", ["dilated", "groups", "depthwise", "dilated depthwise"])
def test_convolutions_unfold_into_what_meets_their_matrix(name):
    """Patches times the matrix, its derivative, and the way back with a matrix of each sample's own."""
    layer, shape, _ = CASES[name]
    rng = RNG(7)
    y = rng.standard_normal((3, *shape))
    h, output = layer.unfold(y), layer.forward(y)
    assert relative_error(products(h, layer.matrix).reshape(output.shape), output) <= 2e-15
    rows = rng.standard_normal((3, 2, math.prod(output.shape[1:3]), output.shape[3]))
    E = rng.standard_normal((3, *layer.matrix.shape))
    changed = np.stack([layer.with_matrix(E[i]).forward(y[i : i + 1])[0] for i in range(3)]).reshape(rows[:, 0].shape)
    assert relative_error(products(h, E), changed) <= 2e-15
    slopes = np.einsum("nkrc,nrc->nk", derivatives(rows, h), E)
    assert relative_error(slopes, np.einsum("nkpr,npr->nk", rows, changed)) <= 2e-14
    kernels = E[:, :, : layer.kernel.shape[1]]
    pulled = layer.fold(pulled_back(rows, kernels, layer.groups), shape)
    for i, k in itertools.product(range(3), range(2)):
        own = layer.with_matrix(E[i])
        expected = own.pull_back(rows[i : i + 1, k : k + 1].reshape(1, 1, *output.shape[1:]), y[i : i + 1], None)
        assert relative_error(pulled[i, k], expected[0, 0]) <= 4e-15


def test_large_grouped_convolutions_have_the_constant_of_a_torus():
    """Beyond the size up to which a matrix is written out it is a little larger, and no smaller."""
    layer = grouped(RNG(8), 20, 20, 3, 10, padding=((1, 0), (1, 2)), stride=(2, 1), dilation=(1, 2))
    small, large = lipschitz_constant(layer, (14, 14, 20)), lipschitz_constant(layer, (15, 14, 20))
    assert small <= large * (1 + 1e-6)
    assert large <= 1.2 * small


def everything(rng):
    """A network of most kinds, whose last layer has no weights."""
    layers = [
        Scale(2.0, [-1.0, -1.0]),
        Pad(1),
        random_convolution(rng, 4, 2, 3),
        LayerNormalization(rng.random(4) + 0.5, rng.random(4), 0.5),
        PReLU(rng.random(4)),
        Residual((grouped(rng, 4, 4, 3, 4, padding=1), Activation("gelu")), (Scale(rng.random(4)),)),
        AveragePool(3, 2, 1),
        Residual((random_convolution(rng, 3, 4, 1), Activation("clip", (-1, 2))), (random_convolution(rng, 3, 4, 1),)),
        MaxPool(2, 1, ((1, 0), (0, 1))),
        Permute((1, 0, 2)),
        Reshape((9, 3)),
        GlobalMaxPool(),
        Readout.identity(3),
    ]
    return Network(layers, (5, 5, 2))


def test_files_keep_every_layer(tmp_path):
    """The same logits to the last bit, and the same layers with weights in the same order."""
    net, x = everything(RNG(9)), RNG(10).random((3, 5, 5, 2))
    net.save(tmp_path / "net.npz")
    again = Network.load(tmp_path / "net.npz")
    assert again(x).tobytes() == net(x).tobytes()
    for one, other in zip(net.weighted, again.weighted, strict=True):
        np.testing.assert_array_equal(one.matrix, other.matrix)
    assert [type(layer) for layer in leaves(net.layers)] == [type(layer) for layer in leaves(again.layers)]


def test_bounds_hold_for_a_network_of_every_kind():
    """A proven radius, positive, within which 2000 changes leave the class; the rounding of the logits is small."""
    net, x = everything(RNG(9)), RNG(10).random((3, 5, 5, 2))
    bound = lower_bound(net, x)
    assert (bound.radius > 0.0).all()
    assert (logit_error(net, x) < 1e-8).all()
    directions = RNG(11).standard_normal((2000, *x.shape[1:]))
    directions *= 0.999 * bound.radius[0] / np.linalg.norm(directions.reshape(2000, -1), axis=1)[:, None, None, None]
    assert (net.classify(x[0] + directions) == net.classify(x[:1])).all()


def test_rounding_stays_within_its_bound():
    """What single layers get wrong, by the same in extended precision."""
    rng = RNG(12)
    scale, norm = Scale(rng.random(6), rng.random(6)), LayerNormalization(rng.random(6), rng.random(6), 1e-3)
    branch = (Dense(rng.standard_normal((6, 7))), norm, Activation("silu"), Dense(rng.standard_normal((6, 7))))
    layers = [Flatten(), scale, Residual(branch, (Activation("leaky_relu", 0.3),)), Dense(rng.standard_normal((3, 7)))]
    net, x = Network(layers, (2, 3)), 10.0 * rng.random((50, 2, 3))
    exact = x.astype(np.longdouble)
    for layer in net.layers:
        exact = layer.forward(exact)
    assert exact.dtype == np.longdouble
    gap = np.abs((net(x) - exact).astype(float))
    assert gap.max() > 0.0
    assert (gap <= logit_error(net, x)).all()


def test_slopes_along_a_segment_lie_within_their_bounds():
    """Of every layer's output, at 200 points between the ends: sums of paths, maxima, normalisation, scales, groups."""
    rng = RNG(16)
    layers = [
        LayerNormalization(rng.standard_normal((5, 2)), rng.random((5, 2)), 0.01),
        Scale(rng.standard_normal(2), 1.0),
        random_convolution(rng, 4, 2, 3, padding=1),
        Residual((grouped(rng, 4, 4, 3, 2, padding=1), Activation("tanh")), (Activation("relu"),)),
        MaxPool(3, 2, 1),
        Residual((LayerNormalization(rng.standard_normal(4), rng.random(4), 0.01),), (Activation("softsign"),)),
        Residual((GlobalMaxPool(),), (GlobalAveragePool(),)),
    ]
    x, d, width = rng.random((1, 5, 5, 2)), rng.standard_normal((1, 5, 5, 2)), 0.05
    steps = np.linspace(0.0, width, 201)[:, None, None, None]
    values = trace(layers, x + steps * d)
    low = high = d
    for layer, y, output in zip(layers, values, values[1:], strict=False):
        low, high = slope_bounds(layer, y[:1], y[-1:], output[:1], low, high, np.array([width]))
        slopes = np.diff(output, axis=0) / (width / 200)
        assert (low - 1e-9 <= slopes).all()
        assert (slopes <= high + 1e-9).all()
    with pytest.raises(
        TypeError, match="expected layers whose slopes are known here, received the activation threshold"
    ):
        slope_bounds(Activation("threshold", (0.0, 1.0)), y[:1], y[-1:], output[:1], low, high, np.array([width]))


def test_files_from_before_these_layers_are_still_read(tmp_path):
    """Convolutions had no gaps and no groups, pools no padding, and activations no parameter."""
    layers = [random_convolution(RNG(1), 3, 2, 2), Activation("tanh"), MaxPool(2), AveragePool(1), Flatten()]
    net = Network([*layers, Dense(RNG(2).random((2, 13)))], (5, 5, 2))
    net.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    for entry, names in zip(header["layers"], (["dilation", "groups"], ["parameter"], ["padding"]), strict=False):
        for name in names:
            del entry[name]
    for name in ("padding", "count_padding"):
        del header["layers"][3][name]
    np.savez(tmp_path / "old.npz", **arrays | {"header": np.array(json.dumps(header))})
    x = RNG(3).random((2, 5, 5, 2))
    assert Network.load(tmp_path / "old.npz")(x).tobytes() == net(x).tobytes()


@pytest.mark.parametrize("kind", ["before", "behind", "dense", "groups", "padded", "entries"])
def test_folding_leaves_the_function(kind):
    """A batch normalisation before or behind a layer with weights goes into it, where that can be."""
    rng = RNG(13)
    norm = batch_normalisation(rng.random(4), rng.random(4), 1e-3, rng.random(4) + 0.5, rng.random(4))
    convolution = Convolution(rng.standard_normal((4, 36)), 3, bias=False)
    padded = Convolution(rng.standard_normal((4, 36)), 3, padding=1, bias=False)
    layers = {
        "before": [convolution, norm],
        "behind": [Activation("relu"), norm, convolution],
        "dense": [Residual((Flatten(), Dense(rng.standard_normal((4, 101))), norm), (GlobalMaxPool(),))],
        "groups": [Activation("relu"), norm, grouped(rng, 8, 4, 3, 2, stride=2)],
        "padded": [norm, padded],
        "entries": [convolution, Scale(rng.random((3, 3, 4)))],
    }[kind]
    folded, y = fold_scales(layers, (5, 5, 4)), rng.standard_normal((3, 5, 5, 4))
    found, expected = y, y
    for layer in folded:
        found = layer.forward(found)
    for layer in layers:
        expected = layer.forward(expected)
    assert relative_error(found, expected) <= 2e-15
    assert any(isinstance(layer, Scale) for layer in leaves(folded)) == (kind in ("padded", "entries"))


def test_batch_normalisation_is_its_formula():
    """γ (y - mean)/√(variance + ε) + β."""
    rng = RNG(14)
    mean, variance, gain, offset = rng.random((4, 3))
    y = rng.standard_normal((2, 5, 5, 3))
    expected = gain * (y - mean) / np.sqrt(variance + 1e-3) + offset
    assert relative_error(batch_normalisation(mean, variance, 1e-3, gain, offset).forward(y), expected) <= 1e-15


def test_one_output_is_read_as_two_classes():
    """Their softmax is that of the sigmoid, and the last layer keeps its one row."""
    rng = RNG(15)
    one = Dense(rng.standard_normal((1, 5)))
    net, x = Network([one, Readout.of_one_output()], (4,), "softmax"), rng.standard_normal((6, 4))
    z = x @ one.kernel[0] + one.matrix[0, -1]
    np.testing.assert_allclose(net.activate(net(x))[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-13)
    assert net.classes == 2
    assert net.weight_norms == pytest.approx([np.linalg.norm(one.matrix)])
    distance = np.abs(z) / np.linalg.norm(one.kernel)
    np.testing.assert_allclose(lower_bound(net, x).radius, distance, rtol=1e-9)


IMAGE = (4, 5, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Convolution(np.ones((3, 19)), 3, groups=2), "groups: expected a divisor of 3 filters, received 2"),
        (
            lambda: Convolution(np.ones((3, 10)), 3, groups=3).output_shape(IMAGE),
            "groups: expected a divisor of 2 channels, received 3",
        ),
        (lambda: Convolution(np.ones((3, 19)), 3, dilation=2).output_shape(IMAGE), "size: .* fits into an image"),
        (lambda: MaxPool(2, padding=2), r"padding: expected less than the size \(2, 2\) on every side"),
        (lambda: AveragePool(2, count_padding=1), "count_padding: expected True or False, received 1"),
        (lambda: GlobalMaxPool().output_shape((3,)), r"input: expected shape \(…, channels\), received \(3,\)"),
        (lambda: Reshape((2, -1)), "shape: expected sizes from 1 on"),
        (lambda: Reshape((2, 3)).output_shape(IMAGE), r"shape: expected 40 entries as in \(4, 5, 2\)"),
        (lambda: Permute((1, 2, 3)), "axes: expected each of 0, 1, … once"),
        (lambda: Permute((1, 0)).output_shape(IMAGE), "axes: expected 3 of them"),
        (lambda: Pad(-1), "padding: expected one or two integers from 0 on"),
        (lambda: Crop(2).output_shape(IMAGE), r"cropping: expected pixels of \(4, 5, 2\) to be left"),
        (lambda: Scale([1.0, 2.0], [1.0, 2.0, 3.0]), r"shift: expected a shape that fits factor's \(2,\)"),
        (lambda: Scale([1.0] * 3).output_shape(IMAGE), r"factor: expected a shape that fits the last axes of"),
        (lambda: PReLU([np.nan]), "slopes: expected finite numbers"),
        (lambda: LayerNormalization([1.0], [0.0], 0.0), "epsilon: expected a positive finite number, received 0.0"),
        (lambda: LayerNormalization([1.0], [[0.0]], 1.0), "factor, shift: expected arrays of one shape"),
        (lambda: Residual(()), "branch: expected at least one layer, received none"),
        (lambda: Residual((Crop(1),)).output_shape(IMAGE), "shortcut: expected the output shape .* of the branch"),
        (lambda: Residual((Flatten(), Crop(1))).output_shape(IMAGE), r"branch\[1\]: input: expected images"),
        (lambda: batch_normalisation([0.0], [-1.0], 1e-3), "variance: expected numbers that are positive"),
        (lambda: Network([GlobalMaxPool()], IMAGE), "layers: expected a last layer with weights.* or a Readout"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    """One ValueError that names the argument, what was expected and what came."""
    with pytest.raises(ValueError, match=message):
        make()
