"""`bea.networks.network`: the forward map, its linearisation, files, and what the constructors refuse."""

import contextlib
import io
import json
import pickle
import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from bea import Activation, Dense, Flatten, Network, Perturbation
from oracles import HIDDEN, expand, random_images, random_network, relative_error

RNG = np.random.default_rng


@pytest.fixture(params=[(name, bias) for name in HIDDEN for bias in (True, False)], ids=str)
def case(request):
    """A random network of one to three layers and five images."""
    name, bias = request.param
    net = random_network(RNG(1), HIDDEN[name], bias=bias)
    return net, random_images(RNG(2), net, 5)


def random_perturbation(net, x, skip=None, with_dx=True):
    """A perturbation of every weighted layer but ``skip``."""
    rng, n = RNG(3), len(x)
    shapes = [layer.matrix.shape for layer in net.weighted]
    pairs = [(rng.standard_normal((n, rows)), rng.standard_normal((n, columns))) for rows, columns in shapes]
    if skip is not None:
        pairs[skip] = None
    dx = rng.standard_normal((n, *net.input_shape)) if with_dx else None
    return Perturbation(pairs, dx, x, net.weight_norms, np.ones(n, bool))


def test_forward_equals_the_loop_over_samples(case):
    """The batched logits are A_p h_{p-1} of every sample by itself, and the class is their first maximum."""
    net, x = case
    expected = np.array([expand(net, image)[0] for image in x])
    assert relative_error(net(x), expected) <= 1e-14
    assert net.classify(x).tolist() == [int(np.argmax(row)) for row in expected]


def test_linearise_equals_the_product_of_explicit_matrices(case):
    """h_{i-1}, S_i and J are the products of the layers' Jacobian matrices, one sample at a time."""
    net, x = case
    lin = net.linearise(x)
    for i, image in enumerate(x):
        logits, hs, sensitivities, jacobian = expand(net, image)
        found = [lin.logits, *lin.inputs, *lin.sensitivities, lin.jacobian]
        for array, expected in zip(found, [logits, *hs, *sensitivities, jacobian], strict=True):
            assert relative_error(array[i if len(array) > 1 else 0], expected) <= 1e-13


def test_linearise_equals_central_differences(case):
    """The change of the logits along a random direction is Σ S_i ΔA_i h_{i-1} + J Δx up to the step's square."""
    net, x = case
    lin, step = net.linearise(x), 1e-5
    whole = random_perturbation(net, x)
    for part in [*range(len(whole.dA)), "dx"]:
        pairs = [pair if i == part else None for i, pair in enumerate(whole.dA)]
        dx = whole.dx if part == "dx" else None
        scaled = [
            Perturbation(
                [None if pair is None else (t * pair[0], pair[1]) for pair in pairs],
                None if dx is None else t * dx,
                *(whole.x, whole.weight_norms, whole.attained),
            )
            for t in (step, -step)
        ]
        difference = (net.perturbed_logits(scaled[0]) - net.perturbed_logits(scaled[1])) / (2 * step)
        if part == "dx":
            expected = [J @ d.ravel() for J, d in zip(np.broadcast_to(lin.jacobian, (len(x), 4, 6)), dx, strict=True)]
        else:
            (left, right), S, h = whole.dA[part], lin.sensitivities[part], lin.inputs[part]
            expected = [S[i if len(S) > 1 else 0] @ np.outer(left[i], right[i]) @ h[i] for i in range(len(x))]
        assert relative_error(difference, np.array(expected)) <= 1e-7


@pytest.mark.parametrize(("skip", "with_dx"), [(None, True), (0, True), (-1, False)])
def test_perturbed_logits_equal_the_perturbed_networks_one_by_one(case, skip, with_dx):
    """`perturbed_logits` is the loop that builds the network of every sample and runs its image through it."""
    net, x = case
    p = random_perturbation(net, x, skip, with_dx)
    expected = []
    for i in range(len(x)):
        other, image = net.perturbed(p, i)
        expected.append(expand(other, image)[0])
        for layer, changed, pair in zip(net.weighted, other.weighted, p.dA, strict=True):
            change = 0.0 if pair is None else np.outer(pair[0][i], pair[1][i])
            np.testing.assert_array_equal(changed.matrix, layer.matrix + change)
    assert relative_error(net.perturbed_logits(p), np.array(expected)) <= 1e-14


def test_perturbing_leaves_network_and_images_as_they_were(case):
    """The original matrices and pixels keep their values."""
    net, x = case
    before = [layer.matrix.copy() for layer in net.weighted], x.copy()
    p = random_perturbation(net, x)
    net.perturbed(p, 0)
    net.perturbed_logits(p)
    np.testing.assert_array_equal(x, before[1])
    for layer, matrix in zip(net.weighted, before[0], strict=True):
        np.testing.assert_array_equal(layer.matrix, matrix)


def test_a_network_cannot_be_changed():
    """Matrices are read-only copies and the dataclasses are frozen."""
    matrix = np.ones((2, 3))
    net = Network([Dense(matrix)], [2])
    matrix[0, 0] = 7.0
    assert net.weighted[0].matrix[0, 0] == 1.0
    assert isinstance(net.layers, tuple)
    with pytest.raises(ValueError, match="read-only"):
        net.weighted[0].matrix[0, 0] = 7.0
    for target, name in [
        (net, "layers"),
        (net, "input_range"),
        (net.layers[0], "matrix"),
        (Activation("relu"), "name"),
    ]:
        with pytest.raises(FrozenInstanceError):
            setattr(target, name, None)


def test_what_a_network_computes_once_cannot_be_changed():
    """Writing into ``weight_norms``, or into the list of weighted layers, does not change the network."""
    net = Network([Dense(np.ones((2, 3)))], [2])
    for change in (lambda: net.weight_norms.fill(7.0), lambda: net.weighted.clear()):
        with contextlib.suppress(ValueError, AttributeError):
            change()
    assert net.weight_norms.tolist() == [np.sqrt(6.0)]
    assert len(net.weighted) == 1


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        ([Flatten()], {}, "layers: expected a last layer with weights"),
        ([], {}, "layers: expected a last layer with weights"),
        ([Flatten(), Dense(np.ones((3, 7))), Activation("relu")], {}, "layers: expected a last layer with weights"),
        ([Flatten(), Dense(np.ones((1, 7)))], {}, "at least two classes, received 1"),
        ([Flatten(), Dense(np.ones((3, 6)))], {}, r"layers\[1\]: matrix: expected 6 input .* received shape \(3, 6\)"),
        ([Flatten(), Dense(np.ones((3, 7)), False)], {}, r"layers\[1\]: matrix: expected 6 input .* \(3, 7\)"),
        ([Dense(np.ones((3, 7)))], {}, r"layers\[0\]: matrix: .* input of shape \(2, 3\)"),
        ([Flatten(), Dense(np.ones((3, 7)))], {"output_activation": "relu"}, "output_activation: .* received 'relu'"),
    ],
)
def test_a_network_that_does_not_fit_together_is_refused(layers, options, message):
    """One ValueError that names the layer or argument, what was expected and what came."""
    with pytest.raises(ValueError, match=message):
        Network(layers, (2, 3), **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(np.ones(3)), r"matrix: expected two dimensions .* received shape \(3,\)"),
        (lambda: Dense(np.ones((1, 2, 3))), r"matrix: expected two dimensions .* received shape \(1, 2, 3\)"),
        (lambda: Dense([[1.0, 2.0], [3.0, np.nan]]), r"matrix: expected finite weights, received nan at \(1, 1\)"),
        (lambda: Dense([[1.0, -np.inf]]), r"matrix: expected finite weights, received -inf at \(0, 1\)"),
        (lambda: Activation("softmax"), "activation: expected one of .*'tanh'.*received 'softmax'"),
    ],
)
def test_a_layer_that_makes_no_sense_is_refused(make, message):
    """One ValueError that names the argument, what was expected and what came."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 3)), r"images: expected a batch of shape \(n, 2, 3\), received \(2, 3\)"),
        (np.zeros((5, 3, 2)), r"images: expected a batch of shape \(n, 2, 3\), received \(5, 3, 2\)"),
        (np.zeros((5, 2, 3, 1)), r"images: expected a batch of shape \(n, 2, 3\), received \(5, 2, 3, 1\)"),
        (np.stack([np.zeros((2, 3)), np.full((2, 3), np.nan)]), "images: expected finite pixels.* image 1"),
        (np.arange(12).reshape(2, 2, 3) * 23, "images: expected pixels between 0 and 1.* from 0 to 253 .*image 0"),
        (np.stack([np.ones((2, 3)), np.full((2, 3), -0.1)]), "images: expected pixels .* from -0.1 to 1 .*image 1"),
    ],
)
def test_images_that_the_network_was_not_made_for_are_refused(x, message):
    """Unbatched, transposed, not finite or 0..255 images: the message names argument, expected and received."""
    with pytest.raises(ValueError, match=message):
        random_network(RNG(0), input_range=(0, 1)).check_images(x, "images")


def test_accepted_images_come_back_as_a_float64_batch():
    """Integer and float32 images in range, the ends included, keep their values."""
    net = random_network(RNG(0), input_range=(0, 1))
    for dtype in (int, np.float32, float):
        x = net.check_images(np.eye(2, 3, dtype=dtype)[None])
        assert x.dtype == float
        np.testing.assert_array_equal(x[0], np.eye(2, 3))


def test_an_empty_batch_is_a_batch():
    """No images have no logits, of shape (0, classes)."""
    assert random_network(RNG(0))(np.zeros((0, 2, 3))).shape == (0, 4)


@pytest.fixture
def saved(tmp_path):
    """A network of every kind of layer, and the file it was saved to."""
    net = random_network(RNG(4), HIDDEN["three"], output_activation="softmax", input_range=(0.0, 1.0))
    path = tmp_path / "net.npz"
    net.save(path)
    return net, path


def rewrite(path, header=(), **arrays):
    """Change entries of the header (None removes one) and whole arrays of a network file."""
    with np.load(path) as file:
        content = {name: file[name] for name in file.files}
    fields = json.loads(str(content["header"])) | dict(header)
    content["header"] = np.array(json.dumps({key: value for key, value in fields.items() if value is not None}))
    np.savez(path, **(content | arrays))


def test_saving_and_loading_changes_nothing(saved):
    """Every weight comes back bit for bit, and so does everything else; no other file is left."""
    net, path = saved
    again = Network.load(path)
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in net.layers]
    assert [layer.name for layer in again.layers if isinstance(layer, Activation)] == ["sigmoid", "relu"]
    for found, layer in zip(again.weighted, net.weighted, strict=True):
        assert found.bias is layer.bias
        assert found.matrix.tobytes() == layer.matrix.tobytes()
    for name in ("input_shape", "output_activation", "input_range"):
        assert getattr(again, name) == getattr(net, name)
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_save_leaves_the_old_file(saved, monkeypatch):
    """An error halfway through writing leaves the file that was there, byte for byte."""
    net, path = saved
    before = path.read_bytes()

    def full_disk(file, **arrays):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="no space left"):
        net.save(path)
    assert path.read_bytes() == before


def test_a_missing_file_is_named(tmp_path):
    """FileNotFoundError with the path."""
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "no.npz"))):
        Network.load(tmp_path / "no.npz")


def test_a_truncated_file_is_refused_at_every_length(saved):
    """Whatever the length it was cut to, one ValueError names the path, what was expected, and the size found."""
    _, path = saved
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 7), *range(len(whole) - 30, len(whole))]:
        path.write_bytes(whole[:length])
        message = f"{re.escape(str(path))}: expected a complete network file .*, found {length} bytes"
        with pytest.raises(ValueError, match=message):
            Network.load(path)


def array_file():
    """Return the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def nested(change):
    """Return header fields with ``change`` made to the entry of the first weighted layer."""
    entries = [{"kind": "Flatten"}, {"kind": "Dense", "shape": [7, 7], "bias": True} | change]
    entries += [{"kind": "Activation", "name": "sigmoid"}, {"kind": "Dense", "shape": [5, 8], "bias": True}]
    return {"layers": [*entries, {"kind": "Dense", "shape": [4, 6], "bias": True}]}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: np.savez(path, images=np.zeros(3)), "expected a complete network file .*header"),
        (
            lambda path: np.savez(path, header=np.array([{}], object)),
            "expected a complete network file .*expected a text",
        ),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "expected a complete network file"),
        (lambda path: path.write_bytes(b"PK\x03\x04 not a zip file"), "expected a complete network file"),
        (lambda path: path.write_bytes(array_file()), "expected a complete network file"),
        (lambda path: rewrite(path, {"format": "bea network 0"}), "expected .*bea network 1.*bea network 0"),
        (lambda path: rewrite(path, A2=np.full((5, 8), np.nan)), r"layer 3: matrix: expected finite .* at \(0, 0\)"),
        (lambda path: rewrite(path, A1=np.full((7, 7), {})), r"layer 1: expected A1 of float64, found \|O"),
        (lambda path: rewrite(path, A2=np.ones((5, 9))), r"expected A2 of shape \[5, 8\], found \[5, 9\]"),
        (lambda path: rewrite(path, nested({"shape": [7, 6]})), r"expected A1 of shape \[7, 6\], found \[7, 7\]"),
        (lambda path: rewrite(path, nested({"kind": "Conv9D"})), "layer 1: .*Conv9D"),
        (lambda path: rewrite(path, nested({"bias": False})), r"layers\[1\]: matrix: expected 6 input columns"),
        (lambda path: rewrite(path, {"input_shape": [2, 4]}), r"layers\[1\]: matrix: expected 8 input columns"),
        (lambda path: rewrite(path, {"output_activation": "relu"}), "output_activation: expected .*'relu'"),
        (lambda path: rewrite(path, {"output_activation": None}), "output_activation"),
        (lambda path: rewrite(path, {"layers": None}), "layers"),
        (lambda path: rewrite(path, {"layers": [{}]}), "kind"),
        (lambda path: rewrite(path, {"input_range": [0.0]}), "input_range"),
    ],
)
def test_a_file_that_is_no_network_is_refused(saved, damage, message):
    """One ValueError that names the path, what was expected and what was found."""
    _, path = saved
    damage(path)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: .*{message}"):
        Network.load(path)
