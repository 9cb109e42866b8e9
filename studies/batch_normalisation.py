"""Batch normalisation, which paper P leaves for later (section 6): at inference it is affine, and folds away.

Once trained, the layer maps every feature k by ``γ_k (v_k - m_k)/√(s_k + η) + β_k`` with the mean m and variance s that
training has averaged. Behind an affine layer ``v = A h + b`` it makes the affine layer with the rows
``γ_k/√(s_k + η) A_k`` and the bias ``γ_k (b_k - m_k)/√(s_k + η) + β_k``. While it is trained it is no map of one image.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bea import Activation, Dense, Flatten, Network, lower_bound
from bea.attacks import backward_error_attack
from bea.networks.layers import Weighted
from lab.datasets import Dataset

METHODS = {"printed": "peck", "repaired": "lipschitz", "tight": "local"}


def folded(layer: Weighted, scale, shift) -> Weighted:
    """Return an affine layer and the map ``v → scale v + shift`` of its features behind it as one affine layer.

    Parameters
    ----------
    layer : Weighted
        Dense, or a convolution, of which every filter is a feature.
    scale, shift : arrays (features,)
    """
    bias = layer.matrix[:, -1] if layer.bias else np.zeros(len(layer.matrix))
    matrix = np.column_stack([scale[:, None] * layer.kernel, scale * bias + shift])
    return layer.__class__(**(vars(layer) | {"matrix": matrix, "bias": True}))


def scale_and_shift(layer) -> tuple[np.ndarray, np.ndarray]:
    """Return what a trained Keras layer of batch normalisation multiplies every feature by, and adds."""
    gamma, beta, mean, variance = (np.asarray(array, dtype=float) for array in layer.get_weights())
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - scale * mean


def normalised(data: Dataset, *, units: int, images: int, passes: int, seed: int) -> tuple[dict, dict]:
    """Train a network of two hidden ReLU layers, each behind a batch normalisation, and fold it.

    Parameters
    ----------
    data : Dataset
    units, images, passes, seed : int
        Of each hidden layer; training images and passes over them; of weights and order.

    Returns
    -------
    dict of str to Network
        "folded" (three affine layers) and "apart" (every normalisation a diagonal layer of its own).
    dict
        Largest difference of a logit of a test image from the folded network's, over its largest logit: ``keras`` (in
        single precision, which is all that Keras computes this layer in) and ``apart``; how many of the ``images`` get
        the ``same`` class from Keras.
    """
    from lab.keras_backend import keras

    x, y = data.x_train[:images], data.y_train[:images]
    shape = x.shape[1:]
    keras.utils.set_random_seed(seed)
    model = _model(keras, shape, units)
    model.compile(keras.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=100, epochs=passes, verbose=0)
    nets = _networks(model, shape)
    tests = data.x_test.astype(float)
    ours, apart, theirs = nets["folded"](tests), nets["apart"](tests), model.predict(data.x_test, verbose=0)
    gaps = {
        name: np.abs(other - ours).max() / np.abs(ours).max() for name, other in (("keras", theirs), ("apart", apart))
    }
    same = np.sum(theirs.argmax(axis=1) == ours.argmax(axis=1))
    return nets, gaps | {"same": int(same), "images": len(ours)}


def _model(keras, shape, units):
    hidden = [
        layer
        for _ in range(2)
        for layer in (keras.layers.Dense(units), keras.layers.BatchNormalization(), keras.layers.ReLU())
    ]
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), *hidden, keras.layers.Dense(10)])


def _networks(model, shape) -> dict[str, Network]:
    together, apart = [Flatten()], [Flatten()]
    for layer in model.layers[1:]:
        kind = type(layer).__name__
        if kind == "Dense":
            kernel, bias = (np.asarray(array, dtype=float) for array in layer.get_weights())
            together.append(Dense(np.column_stack([kernel.T, bias])))
            apart.append(together[-1])
        elif kind == "BatchNormalization":
            scale, shift = scale_and_shift(layer)
            together[-1] = folded(together[-1], scale, shift)
            apart.append(Dense(np.column_stack([np.diag(scale), shift])))
        else:
            together.append(Activation("relu"))
            apart.append(Activation("relu"))
    return {
        name: Network(tuple(layers), shape, input_range=(0.0, 1.0))
        for name, layers in (("folded", together), ("apart", apart))
    }


def bounds(nets: Mapping[str, Network], x, *, margin: float) -> pd.DataFrame:
    """Bound and attack both forms of the network.

    Returns
    -------
    DataFrame, one row a form: ``form``, median ``printed``, ``repaired`` and ``tight`` bound of images (n, …), of
    "apart" without the last, which looks at the whole network anyway, ``attack`` (median length that the converged
    attack finds on the folded one) and ``above`` (proven bounds above it).
    """
    rows = []
    with threadpool_limits(1, "blas"):
        found = backward_error_attack(nets["folded"], x, nets["folded"].classify(x), margin=margin)
        length = np.where(found.success, found.l2, np.inf)
        for form, net in nets.items():
            methods = METHODS if form == "folded" else {key: METHODS[key] for key in ("printed", "repaired")}
            radii = {key: lower_bound(net, x, method=method).radius for key, method in methods.items()}
            above = sum(int(np.sum(radii[key] > length)) for key in radii if key != "printed")
            medians = {key: np.median(radius) for key, radius in radii.items()}
            rows.append({"form": form, **medians, "attack": np.median(length), "above": above})
    return pd.DataFrame(rows).reindex(columns=["form", *METHODS, "attack", "above"])
