"""Derivatives, at toy size: against matrices written out, and by what they must say."""

import numpy as np
import pandas as pd
import pytest

from oracles import RNG, naive_gradient, naive_loss, random_images, random_network
from studies import gradient_and_hessian as study


@pytest.fixture(scope="module")
def net():
    """A network 6-5-4 with tanh."""
    return random_network(RNG(0), [(5, "tanh")], 4)


def test_derivative_errors(net, monkeypatch):
    """Propagation agrees with Keras to rounding, differences do not; Keras' precision is put back."""
    from lab.keras_backend import keras

    monkeypatch.setattr(study, "KINDS", ("dense, smooth ReLU", "convolution, mean"))
    table = study.derivative_errors({"toy": net}, random_images(RNG(1), net, 3), networks=1, seed=0)
    assert list(table.kind) == [*study.KINDS, "toy (trained)"]
    assert (table[["gradient", "product"]] < 1e-12).all(axis=None)
    assert table.differences.between(1e-13, 1e-6).all()
    assert keras.config.floatx() == "float32"


def test_difference_steps(net):
    """The best step lies between truncation and rounding, and its error is the plain formula's."""
    x = random_images(RNG(1), net, 2)
    label, v = (net.classify(x) + 1) % 4, study.directions(x, RNG(2))
    np.testing.assert_allclose(np.linalg.norm(v.reshape(2, -1), axis=1), 1.0)
    errors, exact = study.difference_steps(net, x, label, v, [1e-12, 1e-5, 0.1])
    assert errors.gradient.idxmin() == errors["product"].idxmin() == 1
    assert max(exact.values()) < 1e-13
    along = [
        np.vdot(naive_gradient(net, *sample), way) for sample, way in zip(zip(x, label, strict=True), v, strict=True)
    ]
    quotients = [
        (naive_loss(net, image + 0.1 * way, k) - naive_loss(net, image - 0.1 * way, k)) / 0.2
        for image, k, way in zip(x, label, v, strict=True)
    ]
    expected = np.linalg.norm(np.subtract(quotients, along)) / np.linalg.norm(along)
    assert errors.gradient[2] == pytest.approx(expected, rel=1e-6)


def test_spectra(net):
    """Eigenvalues of the Hessian by differences of the gradient, no more than units of the first layer."""
    image = random_images(RNG(1), net, 1)[0]
    found = study.spectra({"toy": net}, image)
    goal, h = int(net(image[None])[0].argsort()[-2]), 1e-5
    units = np.eye(6).reshape(6, 2, 3)
    columns = [(naive_gradient(net, image + h * e, goal) - naive_gradient(net, image - h * e, goal)) / (2 * h)
               for e in units]  # fmt: skip
    expected = np.linalg.eigvalsh(np.reshape(columns, (6, 6)))
    np.testing.assert_allclose(np.sort(found.value), np.sort(expected), atol=1e-8)
    counts = study.spectrum_numbers(found).iloc[0]
    assert counts["rank"] <= counts.width == 5
    assert counts.large == np.sum(np.abs(expected) > 0.01 * np.abs(expected).max())


def test_spectrum_numbers():
    """Counted by size, relative to the largest in size."""
    values = pd.DataFrame({"net": "a", "value": [-100.0, 2.0, 1e-14], "width": 2, "asymmetry": 0.0})
    row = study.spectrum_numbers(values).iloc[0]
    assert (row["rank"], row.large, row.largest, row.least) == (2, 2, 2.0, -100.0)


def test_clipped():
    """Where the class is less likely than the limit, Keras' gradient vanishes and ours does not."""
    net = random_network(RNG(0), [(5, "tanh")], 4, output_activation="softmax")
    x = random_images(RNG(1), net, 20)
    last = net.layers[-1]
    sure = [*net.layers[:-1], last.with_matrix(100 * last.matrix)]
    found = study.clipped(type(net)(tuple(sure), (2, 3), output_activation="softmax"), x, (net.classify(x) + 1) % 4)
    assert found["vanished"] > 0.5
    assert found["ours"] == 0.0
    assert study.clipped(net, x, net.classify(x))["vanished"] == 0.0
