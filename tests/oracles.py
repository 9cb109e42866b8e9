"""The naive formulas that the tests compare `bea` with: one sample at a time, every matrix written out."""

import math
from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
from hypothesis import settings
from scipy.optimize import minimize, nnls

from bea import Activation, Dense, Flatten, Network, RadialBasis
from bea.bounds.ball_dense import Pairs, local_bound
from bea.bounds.ball_ranges import Ball, hidden_stages
from bea.bounds.branch_nodes import ranges_in_ball
from bea.networks.layers import Weighted
from bea.networks.windows import AveragePool, Convolution, MaxPool
from bea.numerics.blocks import one_thread

RNG = np.random.default_rng

# The same examples in every run, nothing stored in the tree, no assertion on time.
PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=60)

# Widths and activations of the weighted layers but the last, over images of shape (2, 3).
HIDDEN = {
    "one": [],
    "two": [(5, "tanh")],
    "two-relu": [(6, "relu")],
    "three": [(7, "sigmoid"), (5, "relu")],
    "three-linear": [(6, "linear"), (4, "tanh")],
}

# Layers with random weights over small images, the first dict without kinks.
SMOOTH_IMAGES = {
    "convolution": (
        (4, 4, 2),
        lambda rng: [
            *(random_convolution(rng, 3, 2, (2, 3), (2, 1), 1), Activation("tanh"), AveragePool((1, 2)), Flatten()),
            *random_network(rng, [(5, "sigmoid")], 4, (18,)).layers,
        ],
    ),
    "two convolutions": (
        (6, 5, 1),
        lambda rng: [
            *(random_convolution(rng, 2, 1, 3), Activation("smooth_relu", 0.3), AveragePool((2, 1))),
            *(random_convolution(rng, 4, 2, 2, bias=False), Activation("tanh"), Flatten()),
            *random_network(rng, [], 3, (8,)).layers,
        ],
    ),
    "pool first": (
        (4, 4, 2),
        lambda rng: [
            AveragePool(2),
            Activation("tanh"),
            Flatten(),
            *random_network(rng, [(5, "tanh")], 3, (8,)).layers,
        ],
    ),
}
KINKED_IMAGES = {
    "max pools": (
        (6, 5, 1),
        lambda rng: [
            *(random_convolution(rng, 3, 1, 2), MaxPool((2, 1)), random_convolution(rng, 3, 3, 2), Activation("relu")),
            *(Flatten(), *random_network(rng, [(5, "relu")], 4, (9,)).layers),
        ],
    ),
    "max first": (
        (5, 4, 2),
        lambda rng: [MaxPool(2, 1), Flatten(), *random_network(rng, [(6, "tanh")], 4, (24,)).layers],
    ),
}

FUNCTIONS = {
    "linear": (lambda v: v, lambda v: np.ones_like(v)),
    "relu": (lambda v: np.where(v > 0, v, 0.0), lambda v: np.where(v > 0, 1.0, 0.0)),
    "sigmoid": (lambda v: 1 / (1 + np.exp(-v)), lambda v: 1 / (2 + np.exp(v) + np.exp(-v))),
    "smooth_relu": (
        lambda v, a=0.1: (v + np.sqrt(v * v + a * a)) / 2,
        lambda v, a=0.1: (1 + v / np.sqrt(v * v + a * a)) / 2,
    ),
    "tanh": (lambda v: np.sinh(v) / np.cosh(v), lambda v: 1 / np.cosh(v) ** 2),
}


def random_network(rng, hidden=(), classes=4, input_shape=(2, 3), bias=True, **options) -> Network:
    """Return a network with Gaussian weights of unit-sized pre-activations."""
    layers, columns = [Flatten()] if len(input_shape) > 1 else [], math.prod(input_shape)
    for width, activation in [*hidden, (classes, None)]:
        layers.append(Dense(rng.standard_normal((width, columns + bias)) / math.sqrt(columns), bias))
        if activation is not None:
            layers.append(activation if isinstance(activation, Activation) else Activation(activation))
        columns = width
    return Network(tuple(layers), input_shape, **options)


def random_convolution(rng, filters, channels, size, stride=1, padding=0, bias=True) -> Convolution:
    """Return a convolution with Gaussian weights of unit-sized outputs."""
    columns = math.prod(np.broadcast_to(size, 2)) * channels
    matrix = rng.standard_normal((filters, columns + bias)) / math.sqrt(columns)
    return Convolution(matrix, size, stride, padding, bias)


def image_network(name, seed) -> Network:
    """Return one of the networks over small images."""
    shape, make = (SMOOTH_IMAGES | KINKED_IMAGES)[name]
    return Network(tuple(make(RNG(seed))), shape)


def random_images(rng, net, n):
    """Return a batch of images in [0, 1)."""
    return rng.random((n, *net.input_shape))


def assert_the_same_alone_and_in_blocks(bound, net, x, in_small_blocks, rtol):
    """Check that a bound of images (n, …), radius and rival, does not depend on the others in a batch.

    ``in_small_blocks`` is called before the last look, at the images the other way round.
    """
    radius, rival = bound(net, x)
    alone = [bound(net, image[None]) for image in x]
    np.testing.assert_allclose(radius, np.concatenate([a[0] for a in alone]), rtol=rtol)
    np.testing.assert_array_equal(rival, np.concatenate([a[1] for a in alone]))
    in_small_blocks()
    np.testing.assert_allclose(bound(net, x[::-1])[0], radius[::-1], rtol=rtol)


def elementwise(layer):
    """Return the function of an activation layer and its derivative."""
    parameter = [] if layer.parameter is None else [layer.parameter]
    return [lambda v, f=f: f(v, *parameter) for f in FUNCTIONS[layer.name]]


def expand(net, image):
    """Return the logits, all h_{i-1}, all S_i and J of one image, from products of explicit matrices."""
    y, hs, tails = image.reshape(-1), [], []
    jacobian = np.eye(len(y))
    for layer in net.layers:
        if isinstance(layer, Dense):
            h = np.append(y, 1.0) if layer.bias else y
            hs.append(h)
            step, y = layer.matrix[:, : len(y)], layer.matrix @ h
        elif isinstance(layer, Activation):
            function, derivative = elementwise(layer)
            step, y = np.diag(derivative(y)), function(y)
        elif isinstance(layer, Flatten):
            continue
        else:
            raise NotImplementedError(layer)
        tails = [step @ tail for tail in tails]
        if isinstance(layer, Dense):
            tails.append(np.eye(len(y)))
        jacobian = step @ jacobian
    return y, hs, tails, jacobian


def derivatives(net, image, activated=False):
    """Return the outputs of one image, their derivatives by every entry of every A_i, row by row, and by the pixels.

    The chain of explicit matrices, of any layers: what multiplies a pixel is found window by window.
    """
    y, blocks, jacobian = image, [], np.eye(image.size)
    for layer in net.layers:
        own = []
        if isinstance(layer, Weighted):
            # A h is linear in A, so that its derivative by an entry of A is its value where only this entry is one.
            own = [_columns(lambda A, layer=layer, y=y: _affine(layer, A, y), layer.matrix.shape)]
            only_kernel = layer.matrix * np.append(np.ones(layer.kernel.shape[1]), [0.0] * layer.bias)
            step = _columns(lambda y, layer=layer, A=only_kernel: _affine(layer, A, y), y.shape)
            y = _affine(layer, layer.matrix, y)
        elif isinstance(layer, Activation):
            function, derivative = elementwise(layer)
            y, step = function(y), np.diag(derivative(y).ravel())
        elif isinstance(layer, MaxPool | AveragePool):
            step, shape = _pooling(layer, y)
            y = (step @ y.ravel()).reshape(shape)
        elif isinstance(layer, Flatten):
            y, step = y.ravel(), np.eye(y.size)
        else:
            raise NotImplementedError(layer)
        blocks, jacobian = [*(step @ block for block in blocks), *own], step @ jacobian
    if activated:
        y, step = activate(net.output_activation, y)
        blocks, jacobian = [step @ block for block in blocks], step @ jacobian
    return y, blocks, jacobian


def activate(name, logits):
    """Return the activated outputs of one image, and their derivatives by the logits."""
    if name == "softmax":
        p = np.exp(logits) / np.exp(logits).sum()
        return p, np.diag(p) - np.outer(p, p)
    function, derivative = FUNCTIONS[name]
    return function(logits), np.diag(derivative(logits))


def _columns(function, shape):
    """Return the matrix of a linear function of arrays of ``shape``: its values at all unit arrays."""
    return np.stack([function(unit).ravel() for unit in np.eye(math.prod(shape)).reshape(-1, *shape)], axis=1)


def _affine(layer, matrix, y):
    """Return ``matrix`` times every window that the layer sees, or times all of y; with a one for a bias."""
    one = [1.0] * layer.bias
    if isinstance(layer, Dense):
        return matrix @ np.append(y, one)
    padded = np.pad(y, (*layer.padding, (0, 0)))
    places, windows = _windows(padded, layer.size, layer.stride)
    products = [matrix @ np.append(padded[window].ravel(), one) for window in windows]
    return np.reshape(products, (*places, len(matrix)))


def _pooling(layer, y):
    """Return the matrix of a pooling layer at one image, a row for every window and channel, and its output's shape."""
    rows, index = [], np.arange(y.size).reshape(y.shape)
    places, windows = _windows(y, layer.size, layer.stride)
    for window in windows:
        for channel in range(y.shape[2]):
            pixels = index[window][..., channel].ravel()
            row = np.zeros(y.size)
            if isinstance(layer, MaxPool):
                row[max(pixels, key=lambda pixel: y.ravel()[pixel])] = 1.0
            else:
                row[pixels] = 1.0 / len(pixels)
            rows.append(row)
    return np.array(rows), (*places, y.shape[2])


def _windows(image, size, stride):
    """Return how many windows there are, down and across, and the slices of every one."""
    corners = [range(0, n - q + 1, s) for n, q, s in zip(image.shape, size, stride, strict=False)]
    slices = [(slice(a, a + size[0]), slice(b, b + size[1])) for a in corners[0] for b in corners[1]]
    return tuple(map(len, corners)), slices


def explicit_map(net, image, on, relative=False, activated=False):
    """Return 𝒜 of one image, and the scale of every unknown (rows of ΔA_i, then Δx)."""
    return stack(net, image, derivatives(net, image, activated), on, relative)


def stack(net, image, derived, on, relative):
    """Return 𝒜 and the scales for what may change according to ``on``, out of all ``derivatives``."""
    _, blocks, jacobian = derived
    numbers = range(1, len(blocks) + 1)
    parts = {"weights": numbers, "input": ["input"], "both": [*numbers, "input"]}.get(on, on)
    sizes = [np.sqrt(np.sum(layer.matrix**2)) for layer in net.weighted]
    chosen = [(block, size) for i, block, size in zip(numbers, blocks, sizes, strict=True) if i in parts]
    if "input" in parts:
        chosen.append((jacobian, np.sqrt(np.sum(image**2))))
    scales = [np.full(block.shape[1], size if relative else 1.0) for block, size in chosen]
    return np.hstack([block for block, _ in chosen]), np.concatenate(scales)


def unknowns(perturbation, i):
    """Return θ of sample i, in the order of the columns of ``explicit_map``."""
    changes = [change for change in perturbation.dA if change is not None]
    parts = [np.outer(c[0][i], c[1][i]).ravel() if isinstance(c, tuple) else c[i].ravel() for c in changes]
    if perturbation.dx is not None:
        parts.append(perturbation.dx[i].ravel())
    return np.concatenate(parts)


def relative_error(found, expected):
    """Return ‖found - expected‖ / ‖expected‖ over all entries."""
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def least_distance(G, c):
    """Smallest θ with G θ ≥ c by Lawson and Hanson's reduction to NNLS, or None when there is none."""
    E = np.vstack([G.T, c])
    u, length = nnls(E, np.append(np.zeros(G.shape[1]), 1.0), maxiter=1000)
    residual = E @ u
    residual[-1] -= 1.0
    return None if length < 1e-7 else -residual[:-1] / residual[-1]


def slsqp(G, c, start):
    """Smallest θ with G θ ≥ c by SciPy's sequential quadratic programming; None when it reports failure."""
    result = minimize(
        lambda theta: 0.5 * theta @ theta,
        start,
        jac=lambda theta: theta,
        constraints={"type": "ineq", "fun": lambda theta: G @ theta - c, "jac": lambda theta: G},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return result.x if result.success else None


def perturbed_leads(net, image, target, parts, scales, theta):
    """Return target's logit less the others, and their derivatives by θ, where θ, measured relatively, is put in.

    ``parts`` are the numbers of the layers that change, from 1, and "input"; θ holds their entries, row by row.
    """
    numbers = [part for part in parts if part != "input"]
    sizes = [net.weighted[number - 1].matrix.size for number in numbers]
    pieces = np.split(theta * scales, np.cumsum(sizes))
    changes, layers, number = dict(zip(numbers, pieces, strict=False)), [], 0
    for layer in net.layers:
        if isinstance(layer, Weighted):
            number += 1
            if number in changes:
                layer = layer.with_matrix(layer.matrix + changes[number].reshape(layer.matrix.shape))
        layers.append(layer)
    image = image + pieces[-1].reshape(image.shape) if "input" in parts else image
    perturbed = replace(net, layers=tuple(layers))
    if all(isinstance(layer, Dense | Activation | Flatten) for layer in layers):
        logits, hs, tails, jacobian = expand(perturbed, image)
        blocks = [np.kron(tail, h) for tail, h in zip(tails, hs, strict=True)]  # the same as below, but fast
    else:
        logits, blocks, jacobian = derivatives(perturbed, image)
    matrix = np.hstack([*(blocks[number - 1] for number in numbers), *([jacobian] if "input" in parts else [])])
    D = np.delete(np.eye(len(logits))[target] - np.eye(len(logits)), target, axis=0)
    return D @ logits, D @ (matrix * scales)


def with_changes(net, changes, i):
    """Return the network with sample i of a change (n, rows, columns) added to each matrix, None for one that stays."""
    left, layers = iter(changes), []
    for layer in net.layers:
        if isinstance(layer, Weighted) and (change := next(left)) is not None:
            layer = layer.with_matrix(layer.matrix + change[i])
        layers.append(layer)
    return replace(net, layers=tuple(layers))


def relative_scales(net, image, parts):
    """Return ‖A_i‖ for every entry of a changing matrix, row by row, and ‖x‖ for every pixel of a changing input."""
    arrays = [image if part == "input" else net.weighted[part - 1].matrix for part in parts]
    return np.concatenate([np.full(array.size, np.sqrt(np.sum(array**2))) for array in arrays])


def nonlinear_slsqp(net, image, target, parts, margin):
    """Smallest θ after which the target leads by the margin, by SLSQP from zero on all entries; None if it fails."""
    scales = relative_scales(net, image, parts)
    last = [None, None]

    def leads(theta):
        if last[0] is None or not np.array_equal(theta, last[0]):
            last[:] = theta.copy(), perturbed_leads(net, image, target, parts, scales, theta)
        return last[1]

    with one_thread():  # small matrices
        result = minimize(
            lambda theta: 0.5 * theta @ theta,
            np.zeros(len(scales)),
            jac=lambda theta: theta,
            constraints={"type": "ineq", "fun": lambda t: leads(t)[0] - margin, "jac": lambda t: leads(t)[1]},
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 100},
        )
    return result.x if (leads(result.x)[0] >= margin - 1e-9).all() else None


def radial_layer(rng, rows=5, inputs=6):
    """Bumps of any place and width."""
    return RadialBasis(rng.random((rows, inputs)), rng.uniform(0.3, 2.0, rows))


def radial_network(seed=0, **options):
    """Bumps and a smooth activation between two affine maps, no class the largest everywhere."""
    rng = RNG(seed)
    layers = [Flatten(), radial_layer(rng), Dense(4 * rng.standard_normal((4, 6))), Activation("tanh")]
    kernel = 2 * rng.standard_normal((4, 4))
    values = rng.random((200, 6))
    for one in layers:
        values = one.forward(values)
    last = Dense(np.column_stack([kernel, -(values @ kernel.T).mean(axis=0)]))
    return Network([*layers, last], (2, 3), **options)


def random_case(seed, name="two", n=12, pixels=(2, 3), **options):
    """A network, images, labels (mostly the present classes) and targets other than the labels."""
    rng = RNG(seed)
    net = random_network(rng, HIDDEN[name], 4, pixels, **options)
    x = random_images(rng, net, n)
    # Without a class that wins everywhere, as random biases make one, most rays meet another class.
    last = net.weighted[-1].matrix.copy()
    last[:, -1] -= net(x).mean(axis=0)
    net = Network((*net.layers[:-1], Dense(last)), net.input_shape, **options)
    label = np.where(rng.random(n) < 0.8, net.classify(x), rng.integers(0, 4, n))
    return net, x, label, (label + rng.integers(1, 4, n)) % 4


def output_and_slope(net, logits):
    """f(v) and f'(v), f being what the trained model applies to the logits; softmax belongs to the loss."""
    function, derivative = FUNCTIONS[{"softmax": "linear"}.get(net.output_activation, net.output_activation)]
    return function(logits), derivative(logits)


def naive_loss(net, image, label):
    """-log of the softmax at the label."""
    y, _ = output_and_slope(net, expand(net, image)[0])
    return np.log(np.exp(y).sum()) - y[label]


def naive_gradient(net, image, label):
    """J_xᵀ (f' ∘ (q - e_label)) with the Jacobian written out."""
    logits, _, _, jacobian = expand(net, image)
    y, slope = output_and_slope(net, logits)
    q = np.exp(y) / np.exp(y).sum()
    return (jacobian.T @ (slope * (q - np.eye(len(y))[label]))).reshape(image.shape)


def in_balls(widths, seeds, pixels, farther):
    """Random networks and two images of each, with ranges in balls ``farther`` times the bound, about.

    Yields (rng, net, ball, images, pairs, own classes, rivals, r, low, high).
    """
    for seed in range(seeds):
        rng = np.random.default_rng((1, seed))
        net = random_network(rng, widths, 3, (pixels,))
        x = random_images(rng, net, 2)
        ball = Ball.of(hidden_stages(net))
        pairs, own = Pairs.of(ball, net, x), net.classify(x)
        radius, rival = local_bound(net, x)
        r = np.minimum(radius, 20.0) * rng.uniform(*farther, 2)
        yield rng, net, ball, x, pairs, own, rival, r, *ranges_in_ball(ball, pairs.v, r)


DIGITS = 40  # more than 128 bits


def least_value(node, y, less) -> Decimal:
    """Return the least ``wᵀSw`` over all w with ``w_0 = 1``, S being what multipliers y (c + 1,) make of a programme.

    ``less`` (c,) is subtracted from the second row of each product. Minus infinity where there is no least value. The
    numbers of the programme are taken as they are; with 40 digits they are multiplied, added up, and eliminated.
    """
    n, c = node.rows.shape[1], len(node.first)
    with localcontext(prec=DIGITS):
        S = [[Decimal(node.fixed[a, b]) + Decimal(y[c]) * Decimal(node.lead[a, b]) for b in range(n)] for a in range(n)]
        rows = [[Decimal(value) for value in row] for row in node.rows]
        for weight, i, j, minus in zip(y[:c], node.first, node.second, less, strict=True):
            half, right = Decimal(weight) / 2, [rows[j][0] - Decimal(minus), *rows[j][1:]]
            for a in range(n):
                for b in range(n) if rows[i][a] else ():
                    S[a][b] += half * rows[i][a] * right[b]
                    S[b][a] += half * rows[i][a] * right[b]
        for k in range(n - 1, 0, -1):  # one variable after the other
            if S[k][k] <= 0:
                return Decimal("-inf")
            for a in range(k):
                share = S[a][k] / S[k][k]
                for b in range(k):
                    S[a][b] -= share * S[k][b]
        return S[0][0]
