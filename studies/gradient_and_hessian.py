"""Derivatives of the loss with respect to the image: how exact they are, and the spectrum of its Hessian."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd

from bea import Activation, Dense, Flatten, Network
from bea.attacks.hessian import hessian_product
from bea.attacks.loss import loss_gradient, value_and_gradient

SHAPE = (8, 9, 2)
KINDS = (
    "dense, sigmoid", "dense, tanh twice", "dense, ReLU", "convolution, mean", "strides, padding",
    "convolution, maximum", "dense, smooth ReLU", "Gaussian bumps",
)  # fmt: skip
ERRORS = ["gradient", "product", "differences", "product_differences"]


def derivative_errors(trained: Mapping[str, Network], x, *, networks: int, seed: int) -> pd.DataFrame:
    """Compare derivatives of ``bea`` with automatic differentiation by Keras and with differences, in double precision.

    Parameters
    ----------
    trained : mapping of str to Network
    x : array (n, *input_shape), images for these; random networks get ten random ones. All are mixed with noise.
    networks : int
        Random ones of each of ``KINDS``.

    One row a kind: ``kind``, and the largest relative difference over its networks, of the ``gradient`` and
    of a Hessian ``product`` from Keras', and from the best of six central ``differences`` (``product_differences``).
    """
    rng, rows = np.random.default_rng(seed), []
    with _double():
        for kind in KINDS:
            pairs = [_random_pair(kind, rng) for _ in range(networks)]
            images = rng.random((10, *SHAPE))
            rows.append([kind, *np.max([_errors(*pair, images, rng) for pair in pairs], axis=0)])
        rows += [[f"{name} (trained)", *_errors(net, _to_keras(net), x, rng)] for name, net in trained.items()]
    return pd.DataFrame(rows, columns=["kind", *ERRORS])


def _errors(net, model, images, rng) -> list[float]:
    """Return the entries of ``ERRORS`` for one network, at images mixed with a tenth of noise."""
    x = 0.9 * images.reshape(-1, *net.input_shape) + 0.1 * rng.random((len(images), *net.input_shape))
    label, v = rng.integers(0, net.classes, len(x)), directions(x, rng)
    ours, theirs = _derivatives(net, model, x, label, v)
    differences = [_difference_errors(net, x, label, v, h, ours) for h in 10.0 ** np.arange(-7, -1)]
    return [*map(_distance, ours, theirs), *np.min(differences, axis=0)]


def directions(x, rng) -> np.ndarray:
    """Return a random direction of unit length for every image."""
    v = rng.standard_normal(x.shape)
    return v / np.linalg.norm(v.reshape(len(v), -1), axis=1).reshape(-1, *[1] * (v.ndim - 1))


def difference_steps(net: Network, x, label, v, steps) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return relative errors of central differences along v: ``step``, of the ``gradient`` and a Hessian ``product``.

    The second result is what propagation differs from automatic differentiation by, under the same names.
    """
    with _double():
        ours, theirs = _derivatives(net, _to_keras(net), x, label, v)
    rows = [[h, *_difference_errors(net, x, label, v, h, ours)] for h in steps]
    exact = dict(zip(("gradient", "product"), map(_distance, ours, theirs), strict=True))
    return pd.DataFrame(rows, columns=["step", "gradient", "product"]), exact


def clipped(net: Network, x, label) -> dict[str, float]:
    """Return the ``limit`` at which Keras clips probabilities, and shares of images whose gradient is zero.

    ``vanished`` of Keras' loss of probabilities, ``ours`` of the cross-entropy; ``net`` ends in softmax.
    """
    import jax

    from lab.keras_backend import keras
    from lab.keras_models import to_keras

    with _double():
        model, cost = to_keras(net), keras.losses.SparseCategoricalCrossentropy(from_logits=False, reduction="sum")
        theirs = np.asarray(jax.grad(lambda points: cost(label, model(points)))(x))
    vanished = [1 - gradient.any(axis=(1, 2)).mean() for gradient in (theirs, loss_gradient(net, x, label))]
    return {"limit": keras.config.epsilon(), "vanished": vanished[0], "ours": vanished[1]}


@contextmanager
def _double() -> Iterator[None]:
    """Let Keras compute everything in float64; otherwise it takes tanh, among others, of float64 in float32."""
    from lab.keras_backend import double_precision

    narrower = importlib.import_module("keras.src.backend.common.dtypes").BIT64_TO_BIT32_DTYPE
    before = dict(narrower)
    narrower.clear()
    try:
        with double_precision():
            yield
    finally:
        narrower.update(before)


def _derivatives(net, model, x, label, v):
    """Return gradient and Hessian product by ``bea``, and by JAX of the Keras model."""
    import jax

    from lab.keras_backend import keras

    cost = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    gradient = jax.grad(lambda images: cost(label, model(images)))
    theirs = jax.jit(lambda images, moves: jax.jvp(gradient, (images,), (moves,)))(x, v)  # compiles once, not a step
    return (loss_gradient(net, x, label), hessian_product(net, x, label, v)), tuple(map(np.asarray, theirs))


def _difference_errors(net, x, label, v, h, ours) -> list[float]:
    ahead, behind = (value_and_gradient(net, x + s * h * v, label) for s in (1, -1))
    expected = np.sum((ours[0] * v).reshape(len(v), -1), axis=1), ours[1]
    return [_distance((a - b) / (2 * h), mine) for a, b, mine in zip(ahead, behind, expected, strict=True)]


def _distance(found, expected) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def _random_pair(kind, rng):
    """Return a random network of this kind and its Keras model, pixels of unit size."""
    from lab import keras_models
    from lab.keras_backend import keras

    layers = keras.layers
    heads = {
        "dense, sigmoid": lambda: [layers.Flatten(), layers.Dense(12, "sigmoid")],
        "dense, tanh twice": lambda: [layers.Flatten(), layers.Dense(12, "tanh"), layers.Dense(9, "tanh")],
        "dense, ReLU": lambda: [layers.Flatten(), layers.Dense(12, "relu")],
        "convolution, mean": lambda: [
            layers.Conv2D(3, 3, activation="tanh"), layers.AveragePooling2D(2), layers.Flatten()
        ],
        "strides, padding": lambda: [layers.Conv2D(4, (3, 2), 2, "same", activation="sigmoid"), layers.Flatten()],
        "convolution, maximum": lambda: [layers.Conv2D(3, 3), layers.MaxPooling2D(2), layers.Flatten()],
    }  # fmt: skip
    if kind == "dense, smooth ReLU":
        hidden, last = Dense(rng.standard_normal((12, 145)) / 12), Dense(rng.standard_normal((5, 13)) / 3)
        net = Network((Flatten(), hidden, Activation("smooth_relu", 0.1), last), SHAPE)
        return net, keras_models.to_keras(net)
    if kind == "Gaussian bumps":
        model = keras_models.rbf_classifier(rng.random((12, *SHAPE)), 0.05, 5, SHAPE)
        model.layers[-1].set_weights([10 * rng.standard_normal((12, 5)), rng.standard_normal(5)])
    else:
        model = keras.Sequential([keras.Input(SHAPE), *heads[kind](), layers.Dense(5)])
        shapes = [array.shape for array in model.get_weights()]
        model.set_weights([rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1])) for shape in shapes])
    return Network.from_keras(model), model


def _to_keras(net):
    """Return the Keras model of a trained network, without a softmax at its end.

    Of probabilities Keras takes no loss below the logarithm of its epsilon, so that is left to the loss.
    """
    from lab import keras_models

    if bumps := [layer for layer in net.layers if hasattr(layer, "centres")]:
        centres = bumps[0].centres
        model = keras_models.rbf_classifier(centres.reshape(-1, *net.input_shape), 1.0, net.classes, net.input_shape)
        model.layers[1].set_weights([centres, np.log(bumps[0].sharpness)])
        model.layers[2].set_weights([net.weighted[0].kernel.T, net.weighted[0].matrix[:, -1]])
        return model
    if len(net.input_shape) == 3:
        model = keras_models.lenet(net.input_shape)
        keras_models.put_weights(model, net)
        return model
    softmax = net.output_activation == "softmax"
    return keras_models.to_keras(replace(net, output_activation="linear") if softmax else net)


def spectra(nets: Mapping[str, Network], image) -> pd.DataFrame:
    """Return all eigenvalues of the Hessian of the loss at an image, for the class that comes second.

    One row an eigenvalue, the largest in size first: ``net``, ``value``, ``width`` (rows of the first
    layer), ``asymmetry`` (of the computed Hessian, relative to its largest entry).
    """
    frames, units = [], np.eye(image.size).reshape(-1, *image.shape)
    for name, net in nets.items():
        goal = np.full(image.size, net(image[None])[0].argsort()[-2])
        hessian = hessian_product(net, np.repeat(image[None], image.size, axis=0), goal, units)
        hessian = hessian.reshape(image.size, image.size)
        values = np.linalg.eigvalsh(0.5 * (hessian + hessian.T))
        columns = {"net": name, "value": values[np.argsort(-np.abs(values))], "width": len(net.weighted[0].matrix)}
        apart = np.abs(hessian - hessian.T).max() / np.abs(hessian).max()
        frames.append(pd.DataFrame(columns | {"asymmetry": apart}))
    return pd.concat(frames, ignore_index=True)


def spectrum_numbers(eigenvalues: pd.DataFrame) -> pd.DataFrame:
    """Count eigenvalues above rounding, ``rank``, and a hundredth of the largest, ``large``: one row a network."""
    rows = []
    for name, one in eigenvalues.groupby("net", sort=False):
        size = one.value.abs() / one.value.abs().max()
        rows.append({
            "net": name, "rank": np.sum(size > 1e-12), "width": one.width.iloc[0], "largest": one.value.max(),
            "least": one.value.min(), "asymmetry": one.asymmetry.iloc[0], "large": np.sum(size > 0.01),
        })  # fmt: skip
    return pd.DataFrame(rows)
