"""Lower bounds: chains by hand, perturbations that try to change the class below them, and exact arithmetic."""

from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest

from bea import Activation, AveragePool, Dense, Flatten, MaxPool, Network, RadialBasis
from bea.bounds import rounding
from bea.bounds.lipschitz import lipschitz_constant
from bea.bounds.methods import lower_bound
from bea.bounds.rounding import logit_error
from bea.networks.quantiser import Quantise
from oracles import (
    HIDDEN,
    KINKED_IMAGES,
    RNG,
    SMOOTH_IMAGES,
    image_network,
    random_convolution,
    random_images,
    random_network,
)

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
EXAMPLES = [*HIDDEN, *SMOOTH_IMAGES, *KINKED_IMAGES, "bumps", "smooth"]


def network(name, seed):
    rng = RNG(seed)
    if name == "bumps":
        last = random_network(rng, [], 3, (5,)).layers
        return Network((RadialBasis(rng.random((5, 6)), rng.uniform(0.5, 4.0, 5)), *last), (6,))
    if name == "smooth":
        return random_network(rng, [(7, Activation("smooth_relu", 0.1)), (5, Activation("smooth_relu", 0.01))])
    return image_network(name, seed) if name not in HIDDEN else random_network(rng, HIDDEN[name])


def lengths(r):
    return np.linalg.norm(r.reshape(len(r), -1), axis=1)


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_perturbation_below_the_radius_changes_the_class(name):
    """Along noise, along the leads' gradients, and climbing: for 14 networks a kind the lead stays where it is."""
    tried = 0
    for seed in range(14):
        net, rng = network(name, seed), RNG(1000 + seed)
        x = random_images(rng, net, 6)
        bound = lower_bound(net, x)
        own = net.classify(x)
        assert (bound.radius > 0.0).all()
        images = np.repeat(x, 10, axis=0)
        leader, rival = np.repeat(own, 10), np.repeat(bound.rival, 10)
        weights = np.eye(net.classes)[rival] - np.eye(net.classes)[leader]
        radius = np.repeat(bound.radius, 10).reshape(-1, *[1] * (x.ndim - 1)) * (1.0 - 1e-9)
        r = (
            net.gradient(images, weights)
            + rng.standard_normal(images.shape)
            * np.tile([0.0, 0.1, 3.0, 30.0, 300.0], 12)[(...,) + (None,) * (x.ndim - 1)]
        )
        for _ in range(4):
            size = lengths(r).reshape(radius.shape)
            r = np.divide(r, size, out=np.zeros_like(r), where=size > 0.0) * radius
            assert (net.classify(images + r) == leader).all()
            tried += len(r)
            r = net.gradient(images + r, weights)
    assert tried == 14 * 60 * 4


@pytest.mark.parametrize("name", EXAMPLES)
def test_radius_is_the_chain_of_constants(name):
    """κ of every layer is the distance to the nearest hyperplane divided by the constants in between."""
    net = network(name, 3)
    x = random_images(RNG(0), net, 5)
    bound = lower_bound(net, x)
    logits, kernel = net(x), net.layers[-1].kernel
    shape, constants = net.input_shape, []
    for layer in net.layers[:-1]:
        constants.append(lipschitz_constant(layer, shape))
        shape = layer.output_shape(shape)
    for i in range(len(x)):
        own = logits[i].argmax()
        distances = {
            c: (logits[i, own] - logits[i, c]) / np.linalg.norm(kernel[own] - kernel[c])
            for c in set(range(net.classes)) - {own}
        }
        assert bound.rival[i] == min(distances, key=distances.get)
        expected = [min(distances.values()) / np.prod(constants[number:]) for number in range(len(net.layers))]
        assert bound.layers[i] == pytest.approx(expected, rel=1e-10)
    assert (bound.layers[:, 0] == bound.radius).all()


def test_radius_of_one_affine_layer_is_attained():
    """For one layer the bound is the smallest perturbation: a billionth more of it changes the class to the rival."""
    net = random_network(RNG(0), [], 5, (2, 3))
    x = random_images(RNG(1), net, 200)
    bound, own = lower_bound(net, x), net.classify(x)
    kernel = net.layers[-1].kernel
    r = (kernel[bound.rival] - kernel[own]).reshape(x.shape)
    r *= (bound.radius / lengths(r))[:, None, None]
    assert (net.classify(x + (1.0 - 1e-9) * r) == own).all()
    assert (net.classify(x + (1.0 + 1e-9) * r) == bound.rival).all()


def tanh(v):
    return (2 / (1 + (-2 * abs(v)).exp()) - 1).copy_sign(v)


def exact_logits(net, image):
    """Return the logits with 60 digits; the matrices of convolutions and means are read off at unit images."""
    decimal = np.vectorize(Decimal, otypes=[object])
    functions = {
        "linear": lambda v: v,
        "relu": lambda v: max(v, Decimal(0)),
        "sigmoid": lambda v: (-abs(v)).exp() ** (v < 0) / (1 + (-abs(v)).exp()),
        "tanh": tanh,
    }
    y, shape = decimal(image.ravel()), net.input_shape
    for layer in net.layers:
        units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
        if isinstance(layer, Dense):
            y = decimal(layer.matrix) @ (np.append(y, Decimal(1)) if layer.bias else y)
        elif isinstance(layer, Activation) and layer.name == "smooth_relu":
            y = np.array([(v + (v * v + Decimal(layer.parameter) ** 2).sqrt()) / 2 for v in y])
        elif isinstance(layer, Activation):
            y = np.array([functions[layer.name](v) for v in y])
        elif isinstance(layer, AveragePool):
            ones = decimal((layer.forward(units) > 0.0).reshape(len(units), -1).astype(float).T)
            y = ones @ y / int(np.prod(layer.size))
        elif isinstance(layer, MaxPool):
            inside = layer.forward(units).reshape(len(units), -1).T > 0.0
            y = np.array([max(y[window]) for window in inside])
        elif isinstance(layer, RadialBasis):
            squares = [((y - centre) ** 2).sum() for centre in decimal(layer.centres)]
            y = np.array([(-Decimal(g) * s).exp() for g, s in zip(layer.sharpness, squares, strict=True)])
        elif not isinstance(layer, Flatten):
            matrix = replace(layer, matrix=layer.kernel, bias=False).forward(units).reshape(len(units), -1).T
            bias = layer.matrix[:, -1] if layer.bias else np.zeros(len(layer.matrix))
            y = decimal(matrix) @ y + decimal(np.tile(bias, len(matrix) // len(bias)))
        shape = layer.output_shape(shape)
    return y


@pytest.mark.parametrize("name", EXAMPLES)
def test_rounding_error_of_the_logits_is_bounded(name):
    """Logits with 60 digits lie within the bound, which is tiny, also where large terms cancel."""
    for seed in range(4):
        net = network(name, seed)
        if seed > 1:  # biases that dwarf the rest, so that logits are mostly rounding
            layers = [
                layer.with_matrix(np.column_stack([layer.kernel, layer.matrix[:, -1] + 1e6]))
                if isinstance(layer, Dense) and layer.bias
                else layer
                for layer in net.layers
            ]
            net = replace(net, layers=tuple(layers))
        x = random_images(RNG(seed), net, 3)
        error, logits = logit_error(net, x), net(x)
        with localcontext(prec=60):
            for i in range(len(x)):
                wrong = np.abs(np.vectorize(Decimal, otypes=[object])(logits[i]) - exact_logits(net, x[i]))
                assert (wrong.astype(float) <= error[i]).all()
        assert error.max() <= (1e-12 if seed < 2 else 1e-7)


def test_rounding_of_one_layer_goes_through_the_next():
    """What large terms leave behind when they cancel is wrong by far more than the last layer's own rounding."""
    rng = RNG(0)
    terms = rng.random(20) * 1e8
    first = Dense(np.concatenate([terms, -terms[::-1]])[rng.permutation(40)][None], False)
    net = Network((first, Activation("linear"), Dense([[1.0, 0.0], [-0.5, 0.0]])), (40,))
    x = np.ones((1, 40))
    with localcontext(prec=60):
        wrong = [abs(Decimal(logit) - exact) for logit, exact in zip(net(x)[0], exact_logits(net, x[0]), strict=True)]
    error = logit_error(net, x)[0]
    assert (np.array(wrong, dtype=float) <= error).all()
    assert float(wrong[0]) > 1e-9
    assert error.max() < 1e-4


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "smooth_relu"])
def test_rounding_of_an_activation_is_bounded(name):
    """Values with 60 digits lie within the bound of a layer of one unit, over many orders of magnitude."""
    layer = Activation(name, 0.1) if name == "smooth_relu" else Activation(name)
    v = np.outer([-1.0, 1.0], 10.0 ** np.linspace(-8.0, 2.5, 400)).reshape(-1, 1)
    net = Network((layer, Dense(np.eye(2)[:, :1], False)), (1,))
    values = net.trace(v)
    with localcontext(prec=60):
        exact = [exact_logits(net, image)[0] for image in v]
        wrong = np.array([abs(Decimal(f) - e) for f, e in zip(values[1][:, 0], exact, strict=True)], dtype=float)
    error = rounding._local(layer, np.abs(v[:, 0]), v, values[1])
    assert (wrong <= error).all()
    assert (wrong > 0.01 * error).any()


def test_lead_that_is_rounding_gives_no_radius():
    """0.1 + 0.2 exceeds 0.3 in float64 by its rounding only; the rival is the class next to it all the same."""
    net = Network((Dense([[0.1, 0.2, 0.0], [0.3, 0.0, 0.0], [-1.0, 0.0, 0.0]]),), (2,))
    x = np.ones((1, 2))
    bound = lower_bound(net, x)
    assert net(x)[0, 0] > net(x)[0, 1]
    assert bound.radius.tolist() == [0.0]
    assert bound.rival.tolist() == [1]


@pytest.mark.parametrize("method", ["lipschitz", "peck"])
def test_misclassified_images_have_no_radius(method):
    """Where the label is another class all κ are zero; elsewhere nothing changes."""
    net = random_network(RNG(0), [(5, "relu")])
    x = random_images(RNG(1), net, 8)
    label = net.classify(x)
    label[::2] = (label[::2] + 1) % net.classes
    free, bound = lower_bound(net, x, method=method), lower_bound(net, x, label, method=method)
    assert not bound.radius[::2].any()
    assert not bound.layers[::2].any()
    assert (bound.layers[1::2] == free.layers[1::2]).all()
    assert (bound.rival == free.rival).all()


@pytest.mark.parametrize("method", ["lipschitz", "peck"])
def test_empty_batch_has_empty_bounds(method):
    """No image, no bound, and the shapes are right."""
    net = random_network(RNG(0), [(5, "relu")])
    bound = lower_bound(net, np.zeros((0, *net.input_shape)), np.zeros(0, dtype=int), method=method)
    assert (bound.radius.shape, bound.layers.shape, bound.rival.shape) == ((0,), (0, len(net.layers)), (0,))


@pytest.mark.parametrize("method", ["lipschitz", "peck"])
def test_blocks_do_not_matter(method):
    """A batch of many blocks has the bounds of its images, each on its own."""
    net = random_network(RNG(0), [(300, "relu")], 4, (20, 20))
    x = random_images(RNG(1), net, 1500)
    bound = lower_bound(net, x, method=method)
    for i in (0, 700, 1499):
        single = lower_bound(net, x[i : i + 1], method=method)
        assert bound.layers[i] == pytest.approx(single.layers[0], rel=1e-5)


def test_constant_network_has_an_infinite_radius():
    """If a layer of zeros cuts the logits off, nothing changes the class, and a tie is still no lead."""
    layers = Dense(np.zeros((3, 3))), Activation("relu"), Dense([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    assert lower_bound(Network(layers, (2,)), np.ones((1, 2))).radius == np.inf
    tie = (*layers[:2], Dense([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]]))
    assert lower_bound(Network(tie, (2,)), np.ones((1, 2))).radius == 0.0


def test_printed_chain_of_a_deep_convolution_lies_above_what_is_true():
    """Two wide kernels of ones without pooling: an image changes class at a fifth of the printed bound."""
    rng = RNG(0)
    convolution = random_convolution(rng, 1, 1, 5, bias=False).with_matrix(np.ones((1, 25)))
    size = 8 * 8
    last = Dense(np.stack([np.append(np.ones(size), 0.0), np.append(-np.ones(size), 2.0 * 8**4)]))
    net = Network((convolution, convolution, Flatten(), last), (16, 16, 1))
    x = np.ones((1, 16, 16, 1))
    printed, proven = lower_bound(net, x, method="peck").radius, lower_bound(net, x).radius
    assert proven < printed
    r = net.gradient(x, np.array([[-1.0, 1.0]]))
    r *= printed / 5.0 / np.linalg.norm(r)
    assert net.classify(x + r) != net.classify(x)


BAD = [
    ({"method": "exact"}, ValueError, "method: expected one of"),
    ({"method": "peck", "curvature": -1.0}, ValueError, "curvature: expected a finite number from 0 on, received -1.0"),
    ({"method": "peck", "curvature": np.nan}, ValueError, "curvature: expected a finite number from 0 on"),
    ({"method": "peck", "curvature": np.inf}, ValueError, "curvature: expected a finite number from 0 on"),
    ({"curvature": 0.5}, ValueError, "curvature: expected none for the method 'lipschitz', received 0.5"),
    ({"x": np.zeros((2, 7))}, ValueError, "x: expected a batch of shape"),
    ({"x": np.full((2, 2, 3), np.nan)}, ValueError, "x: expected finite pixels"),
    ({"label": np.zeros(3, dtype=int)}, ValueError, r"label: expected shape \(2,\)"),
    ({"label": np.array([0, 4])}, ValueError, "label: expected classes from 0 to 3"),
    ({"label": np.zeros(2)}, TypeError, "label: expected integers"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_bad_input_is_refused(arguments, error, message):
    """Methods, curvatures, images and labels that make no sense are named."""
    net = random_network(RNG(0), [(5, "relu")])
    with pytest.raises(error, match=message):
        lower_bound(net, **({"x": np.zeros((2, 2, 3))} | arguments))


@pytest.mark.parametrize(
    ("method", "message"), [("lipschitz", "received a Quantise"), ("peck", r"layers\[0\], a Quantise")]
)
def test_networks_that_jump_are_refused(method, message):
    """A quantiser has no bound of either kind."""
    net = random_network(RNG(0), [(5, "relu")])
    net = replace(net, layers=(Quantise(4), *net.layers))
    with pytest.raises(ValueError, match=message):
        lower_bound(net, np.zeros((2, 2, 3)), method=method)
