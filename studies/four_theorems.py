"""The theorems behind the printed bound for LeNet (paper P, section 4), one by one: a search looks for violations.

A pair (y, r) violates a theorem when κ = ‖h(y + r) - h(y)‖ put into its formula gives more than ‖r‖.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from bea import Activation, Dense, Flatten, Network
from bea.attacks import backward_error_attack
from bea.bounds import printed as peck
from bea.bounds.cost import chain_without_norm, lanczos_products, multiplications
from bea.bounds.lipschitz import lipschitz_constant, overlap
from bea.bounds.searches import exact_distances, farthest_move
from bea.networks.sequence import pull_back, trace
from bea.networks.windows import AveragePool, Convolution, MaxPool
from bea.numerics.arrays import image_norms

RADII = np.geomspace(0.01, 30, 10)  # of the search on smooth layers
MULTIPLES = np.geomspace(0.01, 100, 9)  # of κ₅, of the search on LeNet's ReLUs
CLASSIFIERS = ((3, 2), (10, 5), (10, 50), (20, 10))  # classes, inputs
KERNELS = (  # filters, channels, size, stride, side of the image; the first one of ones
    (1, 1, 5, 1, 16), (1, 1, 5, 1, 16), (4, 1, 5, 1, 16), (20, 1, 5, 1, 16), (8, 8, 3, 1, 8),
    (1, 1, 5, 2, 17), (1, 1, 6, 3, 18), (4, 2, 5, 5, 15), (1, 1, 4, 4, 16),
)  # fmt: skip
POOLS = (  # layer, size, stride, side of the image
    (MaxPool, 2, 2, 24), (MaxPool, 2, 2, 8), (MaxPool, 3, 2, 9), (MaxPool, 3, 1, 8), (MaxPool, 3, 1, 5),
    (AveragePool, 2, 2, 24), (AveragePool, 2, 2, 8), (AveragePool, 3, 1, 8),
)  # fmt: skip
NORM_POOLS = ((1, 2, 2, 8), (2, 2, 2, 8), (4, 3, 3, 9), (1, 3, 1, 5), (2, 3, 1, 5))  # p, size, stride, side
WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # LeNets whose cost is counted


@dataclass(frozen=True)
class RandomLayers:
    """What the search finds on random layers, one row a layer (see the functions of the same names)."""

    softmax: pd.DataFrame
    smooth: pd.DataFrame
    kernels: pd.DataFrame
    pooling: pd.DataFrame


def random_layers(layers: int, steps: int, seed: int, trained: Dense, images) -> RandomLayers:
    """Test all theorems on ``layers`` random layers of every kind, and 4.1 on a trained tanh layer at images (n, d)."""
    rng = np.random.default_rng(seed)  # one stream for all, in this order
    softmax = softmax_layers(rng, layers)
    smooth = smooth_layers(rng, layers, steps, trained, images)
    return RandomLayers(softmax, smooth, random_kernels(rng, layers, steps, seed), pooling_layers(rng, layers, steps))


def changes_at_the_foot(nets: Mapping[str, Network], x) -> pd.DataFrame:
    """Go from the last hidden layer's output to the foot on the nearest hyperplane between two classes.

    Returns, for every image and network, ``net``, the ``rise`` of the norm over the step's, and the foot's ``lowest``
    entry.
    """
    frames = []
    for name, net in nets.items():
        last, (y, logits) = net.layers[-1], net.trace(x)[-2:]
        distance = peck.hyperplanes(last, y)
        normal = last.kernel[distance.argmin(axis=1)] - last.kernel[logits.argmax(axis=1)]
        r = normal * (distance.min(axis=1) / image_norms(normal))[:, None]
        rise = (image_norms(y + r) - image_norms(y)) / image_norms(r)
        frames.append(pd.DataFrame({"net": name, "rise": rise, "lowest": (y + r).min(axis=1)}))
    return pd.concat(frames)


def by_scipy(layer: Dense, y) -> float:
    """Return the least of ``exact_distances`` for one y (inputs,), by SLSQP."""
    logits, W = layer.forward(y[None])[0], layer.kernel
    found = []
    for t in np.delete(range(len(W)), logits.argmax()):
        gap, slope = logits[t] - logits, W[t] - W
        lead = {"type": "ineq", "fun": lambda r, a=gap, G=slope: a + G @ r, "jac": lambda r, G=slope: G}
        options = {"ftol": 1e-14, "maxiter": 300}
        end = minimize(lambda r: r @ r, 0.1 * W[t], jac=lambda r: 2 * r, constraints=lead, options=options)
        if end.success and lead["fun"](end.x).min() > -1e-9:
            found.append(np.linalg.norm(end.x))
    return min(found)


def softmax_layers(rng, layers: int) -> pd.DataFrame:
    """Return the ``ratio`` of κ₆ and the exact smallest change of random last layers, by ``kind``.

    Of all targets so many are ``reached``, on their ``own`` hyperplane, and lead ``nowhere``; ``scipy`` is the relative
    difference of SLSQP from the exact (NaN where it was not asked).
    """
    rows = []
    for classes, size in CLASSIFIERS:
        for number in range(layers):
            layer, y = Dense(rng.standard_normal((classes, size + 1))), rng.standard_normal((1, size))
            exact, solved = exact_distances(layer, y)
            reached = np.isfinite(exact[0])
            own = exact[0][reached] <= (1 + 1e-9) * peck.hyperplanes(layer, y)[0][reached]
            rows.append({
                "kind": f"{classes} of {size}", "ratio": peck.softmax_bound(layer, y)[0] / exact.min(),
                "reached": reached.sum(), "own": own.sum(), "nowhere": np.sum(~solved),
                "scipy": by_scipy(layer, y[0]) / exact.min() - 1 if number < 3 else np.nan,
            })  # fmt: skip
    return pd.DataFrame(rows)


def largest_quotient(rng, layers: Sequence, y, curvatures, steps: int, starts: int = 2) -> np.ndarray:
    """Return the largest bound of theorem 4.1 over ‖r‖ that the search meets, for each M."""
    found = trace(layers, y)
    J = pull_back(layers, np.eye(found[-1].shape[1])[None], found)
    norms, leading = np.linalg.norm(J, 2, axis=(1, 2)), np.linalg.svd(J, full_matrices=False)[2][:, 0]
    r = [leading, -leading, *rng.standard_normal((starts, *y.shape))]
    r = np.concatenate([u / image_norms(u)[:, None] for u in r])
    repeats, best = len(r) // len(y), np.zeros(len(curvatures))
    y, norms = np.tile(y, (repeats, 1)), np.tile(norms, repeats)
    for radius in RADII:
        _, κ = farthest_move(layers, y, radius * r, steps)
        bounds = [peck.fully_connected_bound(κ, norms, J.shape[1], M).max() for M in curvatures]
        best = np.maximum(best, np.array(bounds) / radius)
    return best


def smooth_layers(rng, layers: int, steps: int, trained: Dense, images) -> pd.DataFrame:
    """Return ``kind`` and the largest bound over ‖r‖ with M by ``norms`` and by ``entries`` (NaN for two layers)."""

    def weights(rows, columns):
        scale = np.exp(rng.uniform(-1, 1))
        return scale * rng.standard_normal((rows, columns + 1)) / np.sqrt(columns)

    rows, tanh = [], Activation("tanh")
    for _ in range(layers):
        d, n = rng.integers(1, 30, 2)
        layer, y = Dense(weights(n, d)), rng.standard_normal((2, d))
        found = largest_quotient(rng, [layer, tanh], y, peck.tanh_curvatures(layer.kernel), steps)
        rows.append(("one tanh layer", *found))
        first, second = Dense(weights(15, d)), Dense(weights(n, 15))
        M = peck.tanh_pair_curvature(first.kernel, second.kernel)
        found = largest_quotient(rng, [first, tanh, second, tanh], y, [M], steps)
        rows.append(("two tanh layers", *found, np.nan))
    found = largest_quotient(rng, [trained, tanh], images, peck.tanh_curvatures(trained.kernel), steps, 1)
    rows.append(("trained tanh layer", *found))
    return pd.DataFrame(rows, columns=["kind", "norms", "entries"])


def sum_of_squares(d: int) -> dict[str, float]:
    """Return ‖r‖ and the bounds, M = 1 and M = d, for h(y) = (y₁ + … + y_d)²/2 at 0 and r of ones."""
    κ = 0.5 * d**2
    bound, repaired = (float(peck.fully_connected_bound(κ, 0.0, 1, M)) for M in (1.0, float(d)))
    return {"dimension": d, "bound": bound, "repaired": repaired, "length": np.sqrt(d)}


def off_unit() -> dict:
    """Return what the bound with J at one point says of a ReLU that is off, and a change that turns it on."""
    hidden, last = Dense(np.array([[1.0]]), bias=False), Dense(np.array([[0.0, 0.5], [1.0, 0.0]]))
    net, y, change = Network([hidden, Activation("relu"), last], (1,)), np.array([[-1.0]]), 1.5 + 1e-9
    κ = peck.softmax_bound(last, np.array([[0.0]]))[0]
    infinite, moved = bool(np.isinf(peck.chain(net, y)[0][0, 0])), net.classify(y + change)[0] != net.classify(y)[0]
    return {
        "infinite": infinite,
        "changes": bool(moved),
        "change": change,
        "safe": κ / np.linalg.norm(hidden.kernel, 2),
    }


def dense_relus(nets: Mapping[str, Network], x, steps: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Move the output of LeNet's dense ReLU layer as far as the search can.

    Returns ``net``, ``multiple`` (length of r in units of κ₅ = κ₆/‖J‖), and output moved over r, divided by ‖J‖ at
    the image, ``local``, and by the norm of the weights, ``safe``; then ``net`` and the ``quotient`` of a converged
    attack on the layer's input and κ₅.
    """
    moves, attacks = [], []
    for name, net in nets.items():
        (dense, relu, last), (y, v, h) = net.layers[-3:], net.trace(x)[-4:-1]
        V = dense.kernel
        norms, safe = peck.jacobian_norms(V @ V.T, relu.slope(v, h)), np.linalg.norm(V, 2)
        κ5 = peck.softmax_bound(last, h) / norms
        leading = np.linalg.svd(V, full_matrices=False)[2][0]
        for multiple in MULTIPLES:
            radius = (multiple * κ5)[:, None]
            moved = [farthest_move([dense, relu], y, sign * radius * leading, steps // 2)[1] for sign in (1, -1)]
            quotient = np.max(moved, axis=0) / radius[:, 0]
            local = quotient / norms
            moves.append(pd.DataFrame({"net": name, "multiple": multiple, "local": local, "safe": quotient / safe}))
        head = Network([dense, relu, last], y.shape[1:])
        found = backward_error_attack(head, y, head.classify(y), margin=1e-6, candidates=3)
        attacks.append(pd.DataFrame({"net": name, "quotient": found.l2 / κ5}))
    return pd.concat(moves), pd.concat(attacks)


def overlapping_ones() -> pd.DataFrame:
    """Contradict theorem 4.2 with kernels of ones, on a ``line`` of three pixels and on a ``square`` of nine.

    Returns ``key``, ``kappa``, what the ``theorem`` promises, the ``length`` of a perturbation, how far the output is
    ``moved``, whether the class ``changes``, operator ``norm`` and ``frobenius`` norm.
    """
    rows = []
    for key, size, side, R in (
        ("line", (1, 2), (1, 3, 1), np.array([1.0, 2, 1]) / 3),
        ("square", (2, 2), (3, 3, 1), np.outer([1, 2, 1], [1, 2, 1]) / 9),
    ):
        first = Convolution(np.ones((1, np.prod(size))), size, bias=False)
        out = np.prod(first.output_shape(side))
        parted = np.vstack([np.zeros(out + 1), np.append(np.ones(out), -float(out))])  # by the sum of what comes out
        net = Network([first, Activation("relu"), Flatten(), Dense(parted)], side)
        zero = np.zeros((1, *side))
        R = (1 + 1e-9) * R.reshape(zero.shape)
        κ, theorem = peck.chain(net, zero)[0][0, [-1, 0]]
        rows.append({
            "key": key, "kappa": κ, "theorem": theorem, "length": image_norms(R)[0],
            "moved": image_norms(trace(net.layers[:3], R)[-1] - trace(net.layers[:3], zero)[-1])[0],
            "changes": bool(net.classify(zero)[0] != net.classify(zero + R)[0]),
            "norm": lipschitz_constant(first, side), "frobenius": np.linalg.norm(first.kernel),
        })  # fmt: skip
    return pd.DataFrame(rows)


def operator_norm(layer: Convolution, shape, power: int, seed: int) -> tuple[dict[str, float], np.ndarray]:
    """Return norms of a convolution, and the leading direction (1, *shape) that the power method finds.

    They are ``found`` from below, ``proven`` from above, ``frobenius``, and a ``safe`` factor for the latter.
    """
    linear = Convolution(layer.kernel, layer.size, layer.stride, bias=False)
    start = np.random.default_rng(seed).standard_normal((1, *shape))
    R, moved = farthest_move([linear], np.zeros_like(start), start / image_norms(start), power)
    frobenius = np.linalg.norm(layer.kernel)
    shared = overlap(layer.size, layer.stride, linear.output_shape(shape))
    norms = {"found": moved[0], "proven": lipschitz_constant(linear, shape), "frobenius": frobenius}
    return norms | {"safe": np.sqrt(shared) * frobenius}, R


def random_kernels(rng, layers: int, steps: int, seed: int) -> pd.DataFrame:
    """Return ``kind`` of kernel, ``shape``, whether windows ``overlap``, and the norms of ``operator_norm``."""
    rows = []
    for number, (k, c, q, s, side) in enumerate(KERNELS):
        for _ in range(max(layers // 20, 2) if number else 1):
            W = rng.standard_normal((k, q * q * c))
            layer = Convolution(W if number else np.ones_like(W), q, s, bias=False)
            norms, _ = operator_norm(layer, (side, side, c), 10 * steps, seed)
            shape = f"{k}, {c}, {q} × {q}, {s} on {side} × {side}"
            rows.append({"kind": "random" if number else "ones", "shape": shape, "overlap": s < q, **norms})
    return pd.DataFrame(rows)


def first_layers(nets: Mapping[str, Network], steps: int, seed: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return the norms of every network's first layer, ``net`` with those of ``operator_norm``, and the directions."""
    found = {name: operator_norm(net.layers[0], net.input_shape, 20 * steps, seed) for name, net in nets.items()}
    frame = pd.DataFrame([{"net": name, **norms} for name, (norms, _) in found.items()])
    return frame, {name: R for name, (_, R) in found.items()}


def rises(layer: Convolution, x, R, sizes, steps: int) -> dict[float, float]:
    """Return ‖r‖ → share of images for which a search from R finds a growth of the output's norm beyond ‖W‖_F ‖r‖."""
    found, before, frobenius = {}, image_norms(layer.forward(x)), np.linalg.norm(layer.kernel)
    for size in sizes:
        grown = np.broadcast_to(size * R, x.shape)
        for _ in range(steps):
            out = layer.forward(x + grown)
            g = layer.pull_back(out[:, None], x, out)[:, 0]
            grown = g * (size / image_norms(g)).reshape(-1, 1, 1, 1)
        found[size] = np.mean(image_norms(layer.forward(x + grown)) - before > (1 + 1e-6) * size * frobenius)
    return found


def pooling_layers(rng, layers: int, steps: int) -> pd.DataFrame:
    """Return ``kind``, ``size``, ``stride``, ``t``, and Lipschitz constants ``found``, ``proven`` and ``printed``."""
    rows = []
    for kind, q, s, side in POOLS:
        layer, shape = kind(q, s), (side, side, 1)
        t, name = layer.output_shape(shape)[0], "max" if kind is MaxPool else "average"
        rows.append((name, q, s, t, farthest(rng, layer, shape, layers, steps), lipschitz_constant(layer, shape), t))
    for p, q, s, side in NORM_POOLS:
        n = 20 * layers
        y, R = rng.standard_normal((2, n, side, side))
        y *= np.exp(rng.uniform(-5, 2, (n, 1, 1)))
        y[: n // 4] = 0
        R[: n // 8], R[n // 8] = 1, 0
        R[n // 8, side // 2, side // 2] = 1
        moved = image_norms(power_norms(y + R, p, q, s) - power_norms(y, p, q, s))
        t = (side - q) // s + 1
        proven = max(1, q ** (2 / p - 1)) * min(-(-q // s), t)
        rows.append((f"L{p}", q, s, t, (moved / image_norms(R)).max(), proven, t * q ** (2 / p)))
    return pd.DataFrame(rows, columns=["kind", "size", "stride", "t", "found", "proven", "printed"])


def farthest(rng, layer, shape, layers: int, steps: int) -> float:
    """Return the largest output/input quotient that the search meets, from spikes at every offset and random images."""
    spike = np.zeros((1, *shape))
    middle = layer.stride[0] * ((shape[0] - 1) // (2 * layer.stride[0]))
    centre = min(middle + layer.size[0] - 1, shape[0] - 1)
    starts = []
    for i in range(max(centre - layer.size[0] + 1, 0), centre + 1):
        one_pixel = spike.copy()
        one_pixel[0, i, i] = 1
        starts.append((spike, one_pixel))
    for _ in range(max(layers // 40, 3)):
        R = rng.standard_normal(spike.shape)
        starts += [(rng.standard_normal(spike.shape), R), (spike, R)]
    y, R = (np.concatenate(part) for part in zip(*starts, strict=True))
    unit = R / image_norms(R).reshape(-1, 1, 1, 1)
    return max(farthest_move([layer], y, length * unit, steps)[1].max() / length for length in (0.1, 1, 10))


def power_norms(y, p, q: int, s: int) -> np.ndarray:
    """Return the L_p norms of the windows of y (n, side, side)."""
    windows = np.abs(np.lib.stride_tricks.sliding_window_view(y, (q, q), (1, 2))[:, ::s, ::s])
    return (windows**p).sum(axis=(3, 4)) ** (1 / p)


def chain_factors(nets: Mapping[str, Network], x) -> pd.DataFrame:
    """Divide the printed factor of every layer of LeNet by its proven constant, with the smallest ‖J‖ over the images.

    Returns "convolution 1" to "pooling 2", "dense, M → 0" (NaN without images), and their ``product``.
    """
    rows = []
    for net in nets.values():
        row, shape = {}, net.input_shape
        for number, layer in enumerate(net.layers[:4]):
            proven, shape = lipschitz_constant(layer, shape), layer.output_shape(shape)
            pooling = isinstance(layer, MaxPool)
            printed = shape[0] if pooling else np.linalg.norm(layer.kernel)
            row[f"{'pooling' if pooling else 'convolution'} {number // 2 + 1}"] = printed / proven
        row["dense, M → 0"] = np.nan
        if len(x):
            (dense, relu, _), (v, h) = net.layers[-3:], net.trace(x)[-3:-1]
            norms = peck.jacobian_norms(dense.kernel @ dense.kernel.T, relu.slope(v, h))
            row["dense, M → 0"] = norms.min() / lipschitz_constant(dense, (dense.kernel.shape[1],))
        rows.append(row | {"product": np.nanprod(list(row.values()))})
    return pd.DataFrame(rows)


def units_in_text(table_1: Mapping, text: Mapping) -> pd.DataFrame:
    """Find the unit of the smallest norms that the text of paper P gives.

    Returns ``set``, ``text``; Table 1's ``least``, the ``dimension``, their product, ``length``; the text's ``unit``:
    "length" or "divided", whichever it is within 5 % of, or "neither".
    """
    rows = []
    for name in ("mnist", "cifar10"):
        least, size = table_1[name]["min"], table_1["dimension"][name]
        close = {"length": least * size, "divided": least, "neither": text[name]}
        unit = next(unit for unit, number in close.items() if np.isclose(text[name], number, rtol=0.05))
        rows.append((name, text[name], least, size, least * size, unit))
    return pd.DataFrame(rows, columns=["set", "text", "least", "dimension", "length", "unit"])


def widened(factor: float, seed: int, side: int = 28) -> Network:
    """Return a LeNet with random weights, its filters and units times a factor."""
    k1, k2, n = (int(factor * number) for number in (20, 50, 500))
    draw = np.random.default_rng(seed).standard_normal
    inner = (((side - 4) // 2 - 4) // 2) ** 2 * k2
    first, second = Convolution(draw((k1, 26)) / 5, 5), Convolution(draw((k2, 25 * k1 + 1)) / np.sqrt(25 * k1), 5)
    dense, last = Dense(draw((n, inner + 1)) / np.sqrt(inner)), Dense(draw((10, n + 1)) / np.sqrt(n))
    return Network([first, MaxPool(2), second, MaxPool(2), Flatten(), dense, Activation("relu"), last], (side, side, 1))


def processor_time(work: Callable, *arguments, repeats: int = 1) -> float:
    """Return the shortest of a few times, in seconds."""
    began = [time.process_time()]
    for _ in range(repeats):
        work(*arguments)
        began.append(time.process_time())
    return max(np.diff(began).min(), 1e-6)


def costs(largest: float, seed: int) -> pd.DataFrame:
    """Count what the chain costs for one image on LeNets of all widths, and time it up to the width ``largest``.

    Returns ``width``, ``parameters``; multiplications ``plain`` (without ‖J‖), ``svd`` (‖J‖ by singular values),
    ``lanczos`` (to six digits); the processor's seconds, "time plain" to "time lanczos" (NaN beyond); how often an
    image ``uses`` each weight of the first layer.
    """
    rows = []
    for width in WIDTHS:
        net = widened(width, seed)
        image = np.random.default_rng(seed).uniform(size=(1, *net.input_shape))
        parameters, plain = multiplications(net)
        J = net.layers[-3].kernel * (net.trace(image)[-3] > 0).T
        n, d = sorted(J.shape)
        row = {"width": width, "parameters": parameters, "plain": plain, "svd": plain + 2 * d * n**2 - 2 * n**3 / 3}
        row["lanczos"] = plain + lanczos_products(J, seed) * n * d
        row["uses"] = int(np.prod(net.layers[0].output_shape(net.input_shape)[:2]))
        if width <= largest:
            row["time plain"] = processor_time(chain_without_norm, net, image, repeats=3)
            row["time svd"] = row["time plain"] + processor_time(np.linalg.norm, J, 2)
            row["time lanczos"] = row["time plain"] + processor_time(lanczos_products, J, seed)
        rows.append(row)
    return pd.DataFrame(rows)


def slopes(table: pd.DataFrame) -> dict[str, float]:
    """Return the powers with which the columns of ``costs`` grow with the parameters, by least squares."""
    ways = [f"{unit}{way}" for unit in ("", "time ") for way in ("plain", "svd", "lanczos")]
    known = {way: table[way].notna() for way in ways}
    return {way: np.polyfit(np.log(table.parameters[k]), np.log(table[way][k]), 1)[0] for way, k in known.items()}
