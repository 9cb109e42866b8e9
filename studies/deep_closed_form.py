"""Deep networks: the closed forms against explicit matrices, convolutions, and the programme with both norms.

Studies that draw take a generator, one after the other: their order in a chapter fixes its numbers. Networks are
random and small, and oracles (``lab.explicit``) see one image at a time.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from bea import Dense, Network, attack, backward_error
from bea.backward.closed_form import first_order
from bea.networks.layers import Activation, Flatten
from bea.networks.leads import lead_over_others, other_classes
from bea.networks.windows import AveragePool, Convolution, MaxPool
from bea.numerics.quadratic import smallest_feasible
from lab import explicit
from lab.explicit import blocks_found, blocks_of, by_pinv, difference, random_network, vec

norm = np.linalg.norm
UNIT_ROUNDOFF = np.finfo(float).eps / 2
UNITS = 4  # of the layers with an activation
CASES = {  # activation, and how its pre-activations are chosen
    "identity": ("linear", lambda v: v),
    "tanh": ("tanh", lambda v: v),
    "sigmoid": ("sigmoid", lambda v: v),
    "smooth ReLU": ("smooth_relu", lambda v: v),
    "ReLU, all units on": ("relu", np.abs),
    "ReLU, one unit off": ("relu", lambda v: np.append(-abs(v[0]), np.abs(v[1:]))),
    "softmax": ("softmax", lambda v: v),
}
HIDDEN, LAST = ["linear", "tanh", "sigmoid", "smooth_relu", "relu"], ["linear", "tanh", "sigmoid"]
ROWS = (
    *("$\\Delta A_1$ as printed", "$\\Delta A_1$ completed", "$\\Delta A_i$, $1 < i < p$"),
    *("$\\Delta A_p$", "$\\Delta x$", "`bea`, all rows"),
)
CONVOLUTIONS = [  # side of the image, channels, filters, size, stride, padding
    *((5, 1, 1, 2, 1, 0), (6, 1, 2, 3, 1, 0), (6, 2, 3, 3, 1, 1), (6, 2, 2, 2, 2, 0)),
    *((7, 1, 2, 3, 2, 0), (5, 3, 2, 5, 1, 2), (6, 3, 4, 1, 1, 0)),
]


def two_layers_example(rng) -> pd.DataFrame:
    """Return 𝒜ᵀ, θ by the pseudo-inverse and θ by ``bea``: one row an unknown of two layers without bias."""
    A_1, A_2, x, dy = (rng.standard_normal(shape) for shape in ((2, 2), (2, 2), 2, 2))
    net = Network([Dense(A_1, bias=False), Dense(A_2, bias=False)], (2,))
    blocks = blocks_of([x, A_1 @ x], [A_2, np.eye(2)], A_2 @ A_1)
    p = backward_error(net, x[None], net(x[None]) + dy, on="both", relative=False)
    places = [f"$(\\Delta A_{layer})_{{{i}{j}}}$" for layer in (1, 2) for j in (1, 2) for i in (1, 2)]
    columns = (
        *(np.hstack(blocks) + 0.0),
        np.concatenate(by_pinv(blocks, [1, 1, 1], dy)),
        np.concatenate(blocks_found(p)),
    )
    names = "∂$y_1$", "∂$y_2$", "θ by pseudo-inverse", "θ by `bea`"
    return pd.DataFrame(
        {"unknown": [*places, "$\\Delta x_1$", "$\\Delta x_2$"]} | dict(zip(names, columns, strict=True))
    )


def two_layers(rng, trials: int, steps) -> pd.DataFrame:
    """Explain outputs of random networks of two affine layers, and put the perturbation into the network.

    One row a network: ``worst`` (largest relative difference of a block from the pseudo-inverse), ``order``
    (power of t with which the error falls when t Δy is asked for, t in ``steps``), ``left`` (relative, at the last t).
    """
    rows = []
    for _ in range(trials):
        outputs = rng.integers(2, 5)
        net = random_network(rng, (rng.integers(outputs, 8), rng.integers(outputs, 8), outputs), ["linear"])
        x, dy = rng.random(net.input_shape), rng.standard_normal(outputs)
        h, S, J, _, _, _ = explicit.chain(net, x, ["linear"], "linear")
        blocks, y, worst, errors = blocks_of(h, S, J), net(x[None])[0], 0.0, []
        for on, which in (("weights", slice(2)), ("input", slice(2, 3)), ("both", slice(3))):
            for relative in (False, True):
                sizes = [*net.weight_norms, norm(x)] if relative else [1, 1, 1]
                p = backward_error(net, x[None], y + dy[None], on, relative)
                worst = max(worst, difference(blocks_found(p), by_pinv(blocks[which], sizes[which], dy)))
        for t in steps:
            p = backward_error(net, x[None], y + t * dy[None], "both", relative=False)
            errors.append(norm(net.perturbed_logits(p)[0] - y - t * dy))
        order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
        rows.append((worst, order, errors[-1] / norm(steps[-1] * dy)))
    return pd.DataFrame(rows, columns=["worst", "order", "left"])


def activated_layer(name: str, W, bias) -> tuple[Network, bool]:
    """Return a layer whose activated outputs are to be explained, and whether the activation is that of the output."""
    A = np.column_stack([W, bias])
    if name in ("linear", "tanh", "sigmoid", "softmax"):
        return Network([Dense(A)], W.shape[1:], output_activation=name), True
    # bea takes no other output activation: let the identity follow, unperturbed.
    return Network([Dense(A), explicit.activation(name), Dense(np.eye(len(A)), bias=False)], W.shape[1:]), False


def activations(rng, trials: int) -> pd.DataFrame:
    """Explain activated outputs of random layers by the printed formula, by ``bea`` and by Rigal and Gaches.

    One row a layer: ``case``, ``rank`` of 𝒜, ``condition`` of 𝒜𝒜ᵀ on its range, ``attained``; relative
    differences from the pseudo-inverse: ``printed`` (infinite without an inverse), ``bea`` (NaN if not attained) and,
    weights alone changed, ``classical`` (Rigal and Gaches) and ``inserted`` (the same with the pseudo-inverse of F).
    """
    rows = []
    for case, (name, choose) in CASES.items():
        f = explicit.FUNCTIONS[name]
        for _ in range(trials):
            W, x = rng.standard_normal((UNITS, 6)), rng.random(6)
            v = choose(rng.standard_normal(UNITS))
            moved = np.abs(v + 0.3) if name == "relu" else v + 0.5 * rng.standard_normal(UNITS)
            net, activated = activated_layer(name, W, v - W @ x)
            h, F, dy = np.append(x, 1), explicit.derivative(name, v), f(moved) - f(v)
            blocks = blocks_of([h], [F], F @ W)
            calA, expected = np.hstack(blocks), by_pinv(blocks, [1, 1], dy)
            singular = np.linalg.svd(calA, compute_uv=False)
            rank = np.sum(singular > 1e-12 * singular[0])
            p = backward_error(net, x[None], f(moved)[None], (1, "input"), relative=False, activated=activated)
            try:
                g = np.linalg.inv(calA @ calA.T) @ dy
                printed = difference([vec(np.outer(F.T @ g, h)), (F @ W).T @ g], expected)
            except np.linalg.LinAlgError:
                printed = np.inf
            by_weights = by_pinv(blocks[:1], [1], dy)
            translated = np.linalg.pinv(F, rcond=1e-12) @ dy
            classical, inserted = (
                difference([vec(np.outer(d, h) / norm(h) ** 2)], by_weights) for d in (dy, translated)
            )
            found = difference(blocks_found(p), expected) if p.attained[0] else np.nan
            condition = (singular[0] / singular[rank - 1]) ** 2
            rows.append((case, rank, condition, p.attained[0], printed, found, classical, inserted))
    columns = ["case", "rank", "condition", "attained", "printed", "bea", "classical", "inserted"]
    return pd.DataFrame(rows, columns=columns)


def saturation(rng, pushes) -> pd.DataFrame:
    """Push one unit of a layer into saturation: one row a push, the condition of 𝒜𝒜ᵀ in a column an activation."""
    W, x = rng.standard_normal((UNITS, 6)), rng.random(6)
    h, rest, curves = np.append(x, 1), np.array([0.5, -0.3, 0.2]), {"push": pushes}
    for name, side in (("linear", 1), ("smooth_relu", -1), ("sigmoid", 1), ("softmax", -1), ("tanh", 1)):
        matrices = [explicit.derivative(name, np.append(side * t, rest)) for t in pushes]
        sizes = np.array([np.linalg.svd(np.hstack(blocks_of([h], [F], F @ W)), compute_uv=False) for F in matrices])
        curves[name] = (sizes[:, 0] / sizes[:, UNITS - 1 - (name == "softmax")]) ** 2
    return pd.DataFrame(curves)


def growth(curves: pd.DataFrame, least: float = 8) -> dict[str, float]:
    """Return a of e^{at} for every curve beyond a push, the power of smooth ReLU, and where tanh crosses 1/u."""
    far = curves[curves.push >= least]
    rates = {name: _slope(far.push, np.log(far[name])) for name in curves.columns[1:]}
    power = _slope(np.log(far.push), np.log(far.smooth_relu))
    beyond = np.interp(-np.log(UNIT_ROUNDOFF), np.log(curves.tanh), curves.push)
    return {"power": power, "beyond": beyond} | rates


def logits_instead(rng, saturated=(0.5, 1.0, 2.0, 3.0, 5.0)) -> pd.DataFrame:
    """Ask a tanh unit with pre-activation t for zero, weights alone changed: of its output, and of its logit.

    One row a t: ``t``, change of the pre-activation ``linearised`` and ``exact``, and the output then.
    """
    rows = []
    for t in saturated:
        W, x = rng.standard_normal((2, 6)), rng.random(6)
        net, _ = activated_layer("tanh", W, np.array([t, 0.3]) - W @ x)
        y_hat = np.array([[0.0, np.tanh(0.3)]])
        asked = backward_error(net, x[None], y_hat, relative=False, activated=True)
        exact = backward_error(net, x[None], np.arctanh(y_hat), relative=False)
        lengths = [p.norms[0, 0] * norm(np.append(x, 1)) for p in (asked, exact)]
        rows.append((t, *lengths, *(net.activate(net.perturbed_logits(p))[0, 0] + 0.0 for p in (asked, exact))))
    return pd.DataFrame(rows, columns=["t", "linearised", "exact", "output_linearised", "output_exact"])


def equation_4(rng, depth: int, trials: int) -> pd.DataFrame:
    """Compare every row of eq. (4) with the pseudo-inverse, as printed and completed.

    One row a network and row of the equation: ``row`` (out of ``ROWS``), ``p``, ``difference`` (relative).
    """
    found = []
    for p in range(1, depth + 1):
        for _ in range(trials):
            S = [np.zeros(1)]
            while not S[0].any():  # draw again when ReLUs that are off block the way
                widths = [*rng.integers(4, 8, size=p), 3]
                widths[-2] = widths[1] if p > 1 else widths[0]  # else the printed product has the wrong shape
                names, last = rng.choice(HIDDEN, size=p - 1), rng.choice(LAST)
                net = random_network(rng, widths, names, last)
                x = rng.random(widths[0])
                h, S, J, y, W, F = explicit.chain(net, x, names, last)
            y_hat = explicit.FUNCTIONS[last](net(x[None])[0] + 0.3 * rng.standard_normal(3))
            blocks = blocks_of(h, S, J)
            calA, expected = np.hstack(blocks), by_pinv(blocks, np.ones(p + 1), y_hat - y)
            g = np.linalg.inv(calA @ calA.T) @ (y_hat - y)
            theta = [vec(np.outer(S_i.T @ g, h_i)) for S_i, h_i in zip(S, h, strict=True)]
            by_bea = backward_error(net, x[None], y_hat[None], "both", relative=False, activated=True)
            pairs = [(ROWS[2], theta[i], expected[i]) for i in range(1, p - 1)]
            pairs += [(ROWS[3], theta[-1], expected[p - 1]), (ROWS[4], J.T @ g, expected[p])]
            if p > 1:
                printed = vec(np.outer((F[-1] @ W[-1] @ F[-2]).T @ g, h[0]))
                pairs += [(ROWS[0], printed, expected[0]), (ROWS[1], theta[0], expected[0])]
            found += [(row, p, difference([one], [other])) for row, one, other in pairs]
            found.append((ROWS[5], p, difference(blocks_found(by_bea), expected)))
    return pd.DataFrame(found, columns=["row", "p", "difference"])


def finite_differences(rng, steps, directions: int = 5) -> pd.DataFrame:
    """Compare derivatives of a network of three layers with difference quotients.

    One row a step, part and kind of quotient: ``part``, ``sides`` (1 or 2), ``step``, ``error`` (relative,
    median over random directions).
    """
    net = random_network(rng, (6, 8, 7, 4), ["tanh", "sigmoid"])
    x = rng.random((1, 6))
    lin, frames = net.linearise(x), []
    for part, name in ((1, "$A_1$"), (2, "$A_2$"), (0, "$x$")):
        for sides in (1, 2):
            runs = []
            for _ in range(directions):
                E = rng.standard_normal(net.weighted[part - 1].matrix.shape if part else x.shape)
                by_weights = lin.sensitivities[part - 1][0] @ E @ lin.inputs[part - 1][0] if part else None
                exact = by_weights if part else lin.jacobian[0] @ E[0]
                moved = [_moved(net, x, part, t * E) for t in steps]
                start = [_moved(net, x, part, -t * E) if sides == 2 else net(x)[0] for t in steps]
                quotients = (np.array(moved) - np.array(start)) / (sides * steps[:, None])
                runs.append(norm(quotients - exact, axis=1) / norm(exact))
            frames.append(pd.DataFrame({"part": name, "sides": sides, "step": steps, "error": np.median(runs, axis=0)}))
    return pd.concat(frames, ignore_index=True)


def _moved(net: Network, x, part: int, change) -> np.ndarray:
    """Return the logits after a change of weighted layer number ``part``, or of the input (0)."""
    if part == 0:
        return net(x + change)[0]
    own = net.weighted[part - 1]
    layers = [layer.with_matrix(layer.matrix + change) if layer is own else layer for layer in net.layers]
    return replace(net, layers=layers)(x)[0]


def fitted(errors: pd.DataFrame) -> dict[str, float]:
    """Return the slopes of the curves (median over parts), their best steps, and what error is left there."""
    rows = []
    for (_, sides), curve in errors.groupby(["part", "sides"], sort=False):
        between = {1: (1e-6, 1e-3), 2: (1e-3, 1e-1)}[sides]
        truncation, noise = (curve[curve.step.between(*ends)] for ends in (between, (1e-14, 1e-9)))
        slopes = (_slope(np.log(part.step), np.log(part.error)) for part in (truncation, noise))
        rows.append((sides, *slopes, curve.step[curve.error.idxmin()], curve.error.min()))
    fits = pd.DataFrame(rows, columns=["sides", "slope", "noise", "best", "least"])
    one, two = (fits[fits.sides == sides] for sides in (1, 2))
    return {
        "one_sided": one.slope.median(), "two_sided": two.slope.median(), "rounding": fits.noise.median(),
        "best_one": one.best.median(), "best_two": two.best.median(), "least_one": one.least.max(),
        "least_two": two.least.max(), "root": UNIT_ROUNDOFF ** (1 / 2), "cube_root": UNIT_ROUNDOFF ** (1 / 3),
    }  # fmt: skip


def _slope(x, y) -> float:
    return np.polyfit(x, y, 1)[0]


def products(rng) -> pd.DataFrame:
    """Compare convolutions with the product by their explicit matrix T: one row a configuration, as it is shown."""
    rows = []
    for side, channels, filters, size, stride, padding in CONVOLUTIONS:
        gaps, shape = [], (side, side, channels)
        for _ in range(5):
            kernel, image = rng.standard_normal((filters, size * size * channels)), rng.random((1, *shape))
            T = explicit.unrolled(kernel, size, stride, padding, shape)
            found = Convolution(kernel, size, stride, padding, bias=False).forward(image).ravel()
            gaps.append(norm(T @ image.ravel() - found) / norm(found))
        sizes = f"{side}×{side}×{channels}", f"{filters} of {size}×{size}", stride, padding
        rows.append((*sizes, f"{T.shape[0]}×{T.shape[1]}", np.mean(T != 0), kernel.size, max(gaps)))
    columns = ["image", "filters", "stride", "padding", "$T$", "not zero", "free weights", "difference"]
    return pd.DataFrame(rows, columns=columns)


def convolutional(rng, side, channels, filters, size, stride, padding, pool=()) -> Network:
    """Return convolution, tanh, perhaps pooling, and a dense layer; the convolution alone has no bias."""
    kernel = rng.standard_normal((filters, size * size * channels)) / np.sqrt(size * size * channels)
    first = [Convolution(kernel, size, stride, padding, bias=False), Activation("tanh"), *pool, Flatten()]
    shape = (side, side, channels)
    for layer in first:
        shape = layer.output_shape(shape)
    last = Dense(rng.standard_normal((3, shape[0] + 1)) / np.sqrt(shape[0]))
    return Network([*first, last], (side, side, channels))


def shared_weights(rng, networks: int) -> pd.DataFrame:
    """Compare the backward error of a convolution with that of the matrix T whose entries are free.

    𝒜 is formed from T for one weight at a time, without any patches.

    One row a network: ``image``, ``filters``, ``stride``, ``padding``, ``gap`` (largest relative difference
    from the pseudo-inverse, the convolution alone or everything changed), ``free`` and ``pattern`` (relative norm with
    shared weights over that of T, with all entries free or only those that are not zero), ``outside`` (share of the
    free ΔT, in squares, that is no convolution), ``second`` (singular value of the shared ΔA over the first; NaN if it
    has one row).
    """
    rows = []
    for configuration in CONVOLUTIONS:
        side, channels, filters, size, stride, padding = configuration
        shape, count = (side, side, channels), filters * size * size * channels
        units = [unit.reshape(filters, -1) for unit in np.eye(count)]
        R = np.array([explicit.unrolled(unit, size, stride, padding, shape) for unit in units])  # derivative of T
        for _ in range(networks):
            net = convolutional(rng, *configuration)
            image, dy = rng.random((1, *shape)), rng.standard_normal(3)
            kernel, x = net.weighted[0].matrix, image.ravel()
            T = np.tensordot(kernel.ravel(), R, 1)
            S = net.weighted[1].kernel @ explicit.derivative("tanh", T @ x)
            shared = S @ (R @ x).T
            alone = backward_error(net, image, net(image) + dy, on=(1,), relative=False).matrix(0, 0)
            both = backward_error(net, image, net(image) + dy, on="both", relative=False)
            everything = np.hstack([shared, np.kron(np.append(np.tanh(T @ x), 1), np.eye(3)), S @ T])
            mine = np.concatenate([both.matrix(0, 0).ravel(), vec(both.matrix(1, 0)), both.dx.ravel()])
            pairs = (alone.ravel(), np.linalg.pinv(shared) @ dy), (mine, np.linalg.pinv(everything) @ dy)
            gap = max(norm(found - theta) / norm(theta) for found, theta in pairs)
            free = np.outer(S.T @ np.linalg.solve(norm(x) ** 2 * S @ S.T, dy), x)
            pattern = by_pinv([np.kron(x, S) * vec(R.any(axis=0))], [1], dy)[0]
            share, weight = norm(alone) / norm(kernel), R.reshape(count, -1)
            tied = (weight @ free.ravel() / np.sum(weight, axis=1)) @ weight
            values = np.linalg.svd(alone, compute_uv=False)
            ratios = share / (norm(free) / norm(T)), share / (norm(pattern) / norm(T))
            second = values[1] / values[0] if len(values) > 1 else np.nan
            sizes = f"{side}×{side}×{channels}", f"{filters} of {size}×{size}", stride, padding
            rows.append((*sizes, gap, *ratios, 1 - norm(tied) ** 2 / norm(free) ** 2, second))
    columns = ["image", "filters", "stride", "padding", "gap", "free", "pattern", "outside", "second"]
    return pd.DataFrame(rows, columns=columns)


def pooling(rng, networks: int) -> pd.DataFrame:
    """Compare Jacobians of networks with pooling with explicit ones.

    One row a network: ``pooling``, ``window``, ``stride``, relative differences ``bea`` (of the Jacobian)
    and ``quotient`` (of a difference quotient of the network), ``norm`` (‖P‖₂).
    """
    rows = []
    for kind, name in ((MaxPool, "maximum"), (AveragePool, "average")):
        for size, stride in ((2, 2), (3, 2), (2, 1)):
            for _ in range(networks):
                net = convolutional(rng, 7, 1, 2, 3, 1, 0, [kind(size, stride)])
                image = rng.random((1, 7, 7, 1))
                T = explicit.unrolled(net.weighted[0].matrix, 3, 1, 0, (7, 7, 1))
                v = T @ image.ravel()
                P = explicit.pooling_matrix(kind is MaxPool, np.tanh(v).reshape(5, 5, 2), size, stride)
                J = net.weighted[1].kernel @ P @ explicit.derivative("tanh", v) @ T
                t, direction = 1e-6, rng.standard_normal(image.shape)
                change = (net(image + t * direction) - net(image - t * direction))[0] / (2 * t)
                quotient = norm(change - J @ direction.ravel()) / norm(change)
                gap = norm(net.linearise(image).jacobian[0] - J) / norm(J)
                rows.append((name, f"{size}×{size}", stride, gap, quotient, norm(P, 2)))
    return pd.DataFrame(rows, columns=["pooling", "window", "stride", "bea", "quotient", "norm"])


def as_printed(net: Network, x, target, on, margin: float):
    """Solve eq. (6) as printed; return the perturbation, and eq. (5) of the scaled θ for the same ŷ, (n,)."""
    plain, scaled = (first_order(net, x, on, relative) for relative in (False, True))
    inverse = replace(plain, weight_scales=1 / scaled.weight_scales, input_scales=1 / scaled.input_scales)
    G, H = plain.gram(), inverse.gram()
    cheap = G @ np.linalg.solve(H, G)  # the inverse of G⁻¹HG⁻¹
    D = lead_over_others(np.eye(net.classes)[None], target)
    c = margin - lead_over_others(plain.linearisation.logits, target)
    multipliers, solved, _ = smallest_feasible(D @ cheap @ D.swapaxes(1, 2), c)
    dy = np.einsum("nij,nkj,nk->ni", cheap, D, multipliers)[..., None]
    theta = plain.pull_back(np.linalg.solve(G, dy)[..., 0])
    return plain.perturbation(*theta, net, x, solved), np.sum(dy * np.linalg.solve(scaled.gram(), dy), axis=(1, 2))


def mixed(net: Network, x, target, on: str, margin: float) -> pd.DataFrame:
    """Compare eq. (6) as printed with the smallest perturbation in the relative norm.

    One row an attack: ``rho``, relative norm ``printed`` over the smallest, the same ``rescaled`` (with the
    scaled θ), ``share`` of the weights in the sum of squares of the plain norms.
    """
    sizes = np.tile(net.weight_norms, (len(x), 1))
    if on == "both":
        sizes = np.column_stack([sizes, norm(x.reshape(len(x), -1), axis=1)])
    least = attack(net, x, target, on=on, margin=margin).objective
    p, rescaled = as_printed(net, x, target, on, margin)
    squares = p.norms**2
    return pd.DataFrame({
        "rho": sizes.max(axis=1) / sizes.min(axis=1), "printed": np.sqrt(p.objective / least),
        "rescaled": np.sqrt(rescaled / least), "share": squares[:, :-1].sum(axis=1) / squares.sum(axis=1),
    })  # fmt: skip


def random_attacks(rng, net: Network, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (count, *input_shape) and targets other than their class."""
    x = rng.random((count, *net.input_shape))
    return x, (net.classify(x) + rng.integers(1, net.classes, count)) % net.classes


def programmes(rng, problems: int, margin: float) -> pd.DataFrame:
    """Solve eq. (5) by SLSQP, all entries of θ unknown, and single blocks by both programmes.

    One row a random network: ``slsqp`` (its objective over that of the scaled programme), ``single``
    (largest relative difference of the two programmes where one block changes).
    """
    rows = []
    for _ in range(problems):
        net = random_network(rng, (5, 5, 4), ["tanh"])
        x, target = random_attacks(rng, net, 1)
        free = _by_slsqp(rng, net, x, target, margin) / attack(net, x, target, on="both", margin=margin).objective[0]
        net = random_network(rng, (5, 4), [])
        x, target = random_attacks(rng, net, 4)
        single = [
            as_printed(net, x, target, on, margin)[0].objective / attack(net, x, target, on=on, margin=margin).objective
            for on in ("weights", "input")
        ]
        rows.append((free, np.abs(np.array(single) - 1).max()))
    return pd.DataFrame(rows, columns=["slsqp", "single"])


def _by_slsqp(rng, net: Network, x, target, margin: float) -> float:
    """Return eq. (5), linearised, of the best θ that SLSQP finds for one image; infinite if it finds none."""
    lin = net.linearise(x)
    calA = np.hstack(blocks_of([h[0] for h in lin.inputs], [S[0] for S in lin.sensitivities], lin.jacobian[0]))
    sizes = [np.full(layer.matrix.size, norm(layer.matrix)) for layer in net.weighted]
    sizes = np.concatenate([*sizes, np.full(x.size, norm(x))])
    lead = lead_over_others(np.eye(net.classes)[None], target)[0] @ (calA * sizes)  # unknowns in units of their block
    c = margin - lead_over_others(lin.logits, target)[0]
    ahead = {"type": "ineq", "fun": lambda z: lead @ z - c, "jac": lambda z: lead}
    start, options = 0.1 * rng.standard_normal(sizes.size), {"ftol": 1e-15, "maxiter": 300}
    run = minimize(lambda z: z @ z, start, jac=lambda z: 2 * z, constraints=ahead, method="SLSQP", options=options)
    return run.fun if (lead @ run.x - c).min() > -1e-9 else np.inf


def families(rng, trials: int, margin: float) -> pd.DataFrame:
    """Return ``mixed`` of several kinds of random networks, 16 attacks each, with their ``family``."""
    kinds = {  # widths, by how much sizes are spread, what may change, how many networks
        "two layers, 5-5-4": ((5, 5, 4), 1, "both", max(trials // 4, 5)),
        "three layers, 8-7-6-4": ((8, 7, 6, 4), 1, "both", max(trials // 4, 5)),
        "784-100-10": ((784, 100, 10), 1, "both", max(trials // 20, 2)),
        "784-100-10, weights only": ((784, 100, 10), 1, "weights", max(trials // 20, 2)),
        "5-5-4, sizes spread": ((5, 5, 4), 10, "both", max(trials // 4, 5)),
    }
    frames = []
    for family, (widths, factor, on, count) in kinds.items():
        for _ in range(count):
            net = random_network(rng, widths, ["tanh"] * (len(widths) - 2))
            layers = [
                layer.with_matrix(layer.matrix * factor ** rng.uniform(-1, 1)) if isinstance(layer, Dense) else layer
                for layer in net.layers
            ]
            net = replace(net, layers=layers)
            frames.append(mixed(net, *random_attacks(rng, net, 16), on, margin).assign(family=family))
    return pd.concat(frames, ignore_index=True)


def trained(nets: Mapping[str, Network], x, labels, *, images: int, on: str, margin: float) -> pd.DataFrame:
    """Return ``mixed`` of the first images that each network classifies correctly, nine targets each."""
    frames = []
    for net in nets.values():
        chosen = np.flatnonzero(net.classify(x) == labels)[:images]
        target = other_classes(labels[chosen], net.classes).ravel()
        frames.append(mixed(net, np.repeat(x[chosen].astype(float), net.classes - 1, axis=0), target, on, margin))
    return pd.concat(frames, ignore_index=True)


def ties(rng, attacks: int, margins) -> pd.DataFrame:
    """Attack the weights of one layer with several margins, zero among them, and judge in two precisions.

    One row a margin: ``margin``; shares of attacks in which argmax returns the target and in which it
    strictly leads, in double (``argmax``, ``strict``) and after rounding to single precision (``argmax_single``,
    ``strict_single``); ``extra`` (median of the norm over that of the first margin, less one).
    """
    net, rows, first = random_network(rng, (20, 10), []), [], None
    x, target = random_attacks(rng, net, attacks)
    problem, D = first_order(net, x, "weights"), lead_over_others(np.eye(net.classes)[None], target)
    K, leads = D @ problem.gram() @ D.swapaxes(1, 2), lead_over_others(problem.linearisation.logits, target)
    for margin in margins:
        multipliers, solved, _ = smallest_feasible(K, margin - leads)
        p = problem.perturbation(*problem.pull_back(np.einsum("nkj,nk->nj", D, multipliers)), net, x, solved)
        left, right = p.dA[0]
        single = (net.weighted[0].matrix + left[:, :, None] * right[:, None]).astype(np.float32)
        outputs = (
            net(x) + left * np.sum(right * right, axis=1, keepdims=True),
            np.einsum("nij,nj->ni", single, right.astype(np.float32)),
        )
        shares = [
            share for y in outputs
            for share in (np.mean(y.argmax(axis=1) == target), np.mean(lead_over_others(y, target).min(axis=1) > 0))
        ]  # fmt: skip
        size = np.sqrt(p.objective)
        first = size if first is None else first
        rows.append((margin, *shares, np.median(size / first - 1)))
    return pd.DataFrame(rows, columns=["margin", "argmax", "strict", "argmax_single", "strict_single", "extra"])
