"""The command line asks the package and keeps what it says; whatever is wrong is one line and the exit code 2."""

import csv
import importlib.util
import pickle
import sys
from dataclasses import replace
from io import BytesIO
from zipfile import ZipFile

import click
import numpy as np
import pytest
from click.testing import CliRunner

from bea import Activation, Convolution, Dense, Flatten, MaxPool, Network, attack, backward_error, lower_bound
from bea.attacks import smallest_epsilon
from bea.cli import entry
from bea.cli.commands import bea
from bea.cli.optional import bring
from bea.precision import summary

RNG = np.random.default_rng


def run(*arguments):
    """What a command printed, which must not have failed."""
    done = CliRunner().invoke(bea, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def table(folder):
    """Name of a column → its entries, as text."""
    with open(folder / "table.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def column(folder, name):
    """The numbers of a column."""
    return np.array(table(folder)[name], dtype=float)


def dense(hidden=(), shape=(3, 4), seed=1):
    """A network of dense layers for images with pixels between 0 and 1."""
    rng, layers, size = RNG(seed), [Flatten()], int(np.prod(shape))
    for width in hidden:
        layers += [Dense(rng.standard_normal((width, size + 1)) / 2), Activation("tanh")]
        size = width
    return Network((*layers, Dense(rng.standard_normal((5, size + 1)))), shape, "softmax", (0.0, 1.0))


def filed(folder, net, x):
    """Write network and images, and return both paths."""
    net.save(folder / "net.npz")
    np.save(folder / "x.npy", x)
    return folder / "net.npz", folder / "x.npy"


@pytest.fixture
def affine(tmp_path):
    """Return a network of one layer, images, and both paths."""
    net, x = dense(), RNG(2).random((6, 3, 4))
    return net, x, *filed(tmp_path, net, x)


@pytest.fixture
def deep(tmp_path):
    """Return a network of two layers, images, and both paths."""
    net, x = dense((6,)), RNG(2).random((6, 3, 4))
    return net, x, *filed(tmp_path, net, x)


# ---- commands ---------------------------------------------------------------------


def test_every_command_explains_itself():
    """In words and with every option; the first page lists them all."""
    page = run("--help")
    assert set(bea.commands) == {"attack", "backward-error", "bound", "epsilon", "info", "precision"}
    for name, command in bea.commands.items():
        text = run(name, "--help")
        assert f"  {name} " in page
        assert len(text.split()) > 40
        assert all(each.help for each in command.params if isinstance(each, click.Option) and each.name != "method")


def test_formats_are_reported_a_line_each(deep):
    """The numbers of the table of the package, for the images asked for."""
    net, x, model, images = deep
    said = [line.split() for line in run("precision", model, images, "--first", 4, "--order", "pairwise").splitlines()]
    rows = summary(net, x[:4], order="pairwise")
    assert said[0][:3] == ["format", "accumulator", "backward_error"]
    assert [line[:3] for line in said[1:]] == [[r.format, r.accumulator, f"{r.backward_error:.4g}"] for r in rows]
    expected = [[str(each) for each in (r.stable, r.certified, r.at_risk, r.flipped, r.not_finite)] for r in rows]
    assert [line[4:] for line in said[1:]] == expected


@pytest.mark.parametrize(("on", "kind"), [("input", "exact"), ("weights", "exact"), ("both", "linearised")])
def test_an_attack_is_the_package_s(affine, tmp_path, on, kind):
    """The same changes, norms and classes; those of the target's class already are left out and said so."""
    net, x, model, images = affine
    target = int(net.classify(x)[0])
    said = run("attack", model, images, "--target", target, "--on", on, "--out", tmp_path / "found")
    some = np.flatnonzero(net.classify(x) != target)
    assert 0 < len(some) < len(x)
    assert f"{len(x) - len(some)} of 6 images are of the class asked for already" in said
    expected = attack(net, x[some], np.full(len(some), target), on)
    found = table(tmp_path / "found")
    assert found["image"] == [str(i) for i in some]
    assert found["kind"] == [kind if won else "not found" for won in expected.success]
    assert found["class_before"] == [str(c) for c in net.classify(x[some])]
    assert found["class_in_model"] == [""] * len(some)
    np.testing.assert_array_equal(column(tmp_path / "found", "relative_norm"), np.sqrt(expected.objective))
    with np.load(tmp_path / "found" / "arrays.npz") as arrays:
        for i in range(len(some)):
            changed = net if on == "input" else replace(net, layers=(Flatten(), Dense(
                net.layers[1].matrix + np.outer(arrays["left_1"][i], arrays["right_1"][i])
            )))  # fmt: skip
            image = x[some][i] + (arrays["dx"][i] if on != "weights" else 0.0)
            assert changed(image[None]).argmax() == int(found["class_after"][i])
        np.testing.assert_array_equal(arrays["success"], expected.success)
        np.testing.assert_array_equal(arrays["relative_norms"], expected.perturbation.relative_norms)


def test_a_converged_attack_is_locally_optimal(deep, tmp_path):
    """On layers by their numbers and the input, with a target for each image from a file."""
    net, x, model, images = deep
    target = (net.classify(x) + 1) % 5
    np.save(tmp_path / "target.npy", target)
    said = run("attack", model, images, "--target", tmp_path / "target.npy", "--on", "2,input", "--method", "converged",
               "--margin", "0.01", "--first", "4", "--out", tmp_path / "found")  # fmt: skip
    expected = attack(net, x[:4], target[:4], (2, "input"), method="converged", margin=0.01)
    assert expected.success.all()
    assert table(tmp_path / "found")["kind"] == ["locally optimal"] * 4
    np.testing.assert_array_equal(column(tmp_path / "found", "relative_norm"), np.sqrt(expected.objective))
    np.testing.assert_array_equal(column(tmp_path / "found", "class_after"), target[:4])
    assert all(f"{value:.4g}" in said for value in np.sqrt(expected.objective))
    assert "class_in_model" not in said


def test_clipped_changes_stay_in_the_range_of_the_pixels(deep, tmp_path):
    """Which may be that of the model, or be said."""
    net, x, model, images = deep
    target = (net.classify(x) + 1) % 5
    np.save(tmp_path / "t.npy", target)
    run("attack", model, images, "--target", tmp_path / "t.npy", "--on", "input", "--range", -0.05, 1.0, "--clip",
        "--method", "converged", "--out", tmp_path / "found")  # fmt: skip
    wider = replace(net, input_range=(-0.05, 1.0))
    expected = attack(wider, x, target, "input", method="converged", clip=True)
    np.testing.assert_array_equal(column(tmp_path / "found", "relative_norm"), np.sqrt(expected.objective))
    with np.load(tmp_path / "found" / "arrays.npz") as arrays:
        assert -0.05 <= (x + arrays["dx"]).min() <= -0.05 + 1e-15
        assert (x + arrays["dx"]).max() <= 1.0


def test_a_bound_is_proven_unless_it_is_printed(deep, tmp_path):
    """With the label's zero for a misclassified image."""
    net, x, model, images = deep
    label = net.classify(x)
    label[2] = (label[2] + 1) % 5
    np.save(tmp_path / "label.npy", label)
    for method, kind in (("lipschitz", "proven"), ("local", "proven"), ("peck", "as printed")):
        run("bound", model, images, "--method", method, "--label", tmp_path / "label.npy", "--out", tmp_path / method)
        radius = lower_bound(net, x, label, method=method).radius
        assert radius[2] == 0.0
        np.testing.assert_array_equal(column(tmp_path / method, "norm"), radius)
        np.testing.assert_allclose(
            column(tmp_path / method, "relative_norm"), radius / np.linalg.norm(x, axis=(1, 2)), rtol=1e-15
        )
        assert table(tmp_path / method)["kind"] == [kind] * len(x)


def test_a_bound_of_weights_is_relative(deep, tmp_path):
    """There is no norm in the unit of the pixels."""
    net, x, model, images = deep
    run("bound", model, images, "--on", "1,input", "--method", "local", "--out", tmp_path / "found")
    radius = lower_bound(net, x, on=(1, "input"), method="local").radius
    np.testing.assert_array_equal(column(tmp_path / "found", "relative_norm"), radius)
    assert table(tmp_path / "found")["norm"] == [""] * len(x)


def test_an_epsilon_is_proven_by_the_exact_method_only(deep, tmp_path):
    """What is proven of each image is the package's word."""
    net, x, model, images = deep
    label = net.classify(x)
    for method in ("exact", "bisection"):
        run("epsilon", model, images, "--method", method, "--largest", "0.5", "--clip", "--out", tmp_path / method)
        expected = smallest_epsilon(net, x, label, method=method, largest=0.5, clip=True)
        np.testing.assert_array_equal(column_or_nan(tmp_path / method, "epsilon"), expected.epsilon)
        proven = [kind == "proven" for kind in table(tmp_path / method)["kind"]]
        assert proven == expected.proved.tolist()
        assert any(proven) == (method == "exact")


def column_or_nan(folder, name):
    """The numbers of a column, NaN where there is none."""
    return np.array([value or "nan" for value in table(folder)[name]], dtype=float)


def test_a_backward_error_explains_outputs(affine, tmp_path):
    """Exactly, for one layer: with the change the network gives them."""
    net, x, model, images = affine
    y_hat = net(x) + 0.1 * RNG(3).standard_normal((6, 5))
    np.save(tmp_path / "y.npy", y_hat)
    run("backward-error", model, images, "--outputs", tmp_path / "y.npy", "--out", tmp_path / "found")
    expected = backward_error(net, x, y_hat)
    assert table(tmp_path / "found")["kind"] == ["exact"] * 6
    np.testing.assert_array_equal(column(tmp_path / "found", "relative_norm"), np.sqrt(expected.objective))
    np.testing.assert_array_equal(column(tmp_path / "found", "class_after"), y_hat.argmax(axis=1))


def test_info_says_what_a_model_consists_of(tmp_path):
    """Every layer with its output, and the size and norm of its weights."""
    rng = RNG(4)
    layers = [Convolution(rng.random((3, 9)), (2, 2)), MaxPool(2), Flatten(), Dense(rng.random((4, 7)))]
    net = Network(layers, (5, 4, 2), "softmax", (0, 255))
    net.save(tmp_path / "net.npz")
    rows = [line.split() for line in run("info", tmp_path / "net.npz").splitlines()]
    assert rows[0] == ["input", "5×4×2,", "pixels", "between", "0", "and", "255"]
    assert rows[2] == ["Convolution", "4×3×3", "1:", "3", "×", "9", f"{net.weight_norms[0]:.4g}"]
    assert rows[3] == ["MaxPool", "2×1×3"]
    assert rows[5] == ["Dense", "4", "2:", "4", "×", "7", f"{net.weight_norms[1]:.4g}"]
    assert rows[6] == ["4", "classes,", "output", "activation", "softmax"]


def test_a_keras_model_has_its_own_word(tmp_path):
    """On changed images, and on changed weights, which it gets and loses again."""
    from lab.keras_backend import keras
    from lab.keras_models import outputs, put_weights

    layers = keras.layers
    made = [layers.Conv2D(2, 3, activation="tanh"), layers.Flatten(), layers.Dense(3)]
    model = keras.Sequential([keras.Input((5, 4, 1)), *made])
    model.save(tmp_path / "model.keras")
    net, x = Network.from_keras(model), RNG(5).random((4, 5, 4, 1))
    np.save(tmp_path / "x.npy", x)
    target = (net.classify(x) + 1) % 3
    np.save(tmp_path / "t.npy", target)
    for on in ("input", "weights"):
        run("attack", tmp_path / "model.keras", tmp_path / "x.npy", "--target", tmp_path / "t.npy", "--margin", "0.1",
            "--on", on, "--out", tmp_path / on)  # fmt: skip
        change = attack(net, x, target, on, margin=0.1).perturbation
        own = []
        for i in range(4):
            other, image = net.perturbed(change, i)
            put_weights(model, other)
            own.append(str(outputs(model, image[None]).argmax()))
        put_weights(model, net)
        assert table(tmp_path / on)["class_in_model"] == own
        assert own == [str(c) for c in net.perturbed_logits(change).argmax(axis=1)]


def kept_in_onnx(folder):
    """A convolution, a ReLU and a dense layer in an ONNX file: its path and the network."""
    onnx = pytest.importorskip("onnx", reason="no onnx here, so no ONNX model was read")
    rng = RNG(5)
    arrays = {"k": rng.standard_normal((2, 1, 2, 3)), "w": rng.standard_normal((3, 18)), "b": rng.standard_normal(3)}
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[N, 1, 4, 5] x) => (float[N, 3] y) '
        "{ c = Conv (x, k) r = Relu (c) f = Flatten (r) y = Gemm <transB: int = 1> (f, w, b) }"
    )
    for name, array in arrays.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx", Network.from_onnx(model)


def kept_in_torch(folder):
    """The same as an exported programme of PyTorch."""
    torch = pytest.importorskip("torch", reason="no PyTorch here, so no programme was read")
    for name in ("networkx", "sympy"):
        pytest.importorskip(name, reason=f"PyTorch exports nothing without {name}")
    from torch import export, nn

    torch.manual_seed(5)
    module = nn.Sequential(nn.Conv2d(1, 2, (2, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)).eval()
    export.save(export.export(module, (torch.zeros(2, 1, 4, 5),)), folder / "model.pt2")
    return folder / "model.pt2", Network.from_torch(module, (1, 4, 5))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kept", [kept_in_onnx, kept_in_torch])
def test_models_of_other_frameworks_are_read(kept, tmp_path):
    """What is said of them is the package's word on the network that they are."""
    model, net = kept(tmp_path)
    x = RNG(5).random((4, 1, 4, 5))
    np.save(tmp_path / "x.npy", x)
    assert f"{net.weight_norms[1]:.4g}" in run("info", model)
    target = (net.classify(x) + 1) % 3
    np.save(tmp_path / "t.npy", target)
    run("attack", model, tmp_path / "x.npy", "--target", tmp_path / "t.npy", "--on", "both", "--out", tmp_path / "a")
    expected = attack(net, x, target, "both")
    np.testing.assert_allclose(column(tmp_path / "a", "relative_norm"), np.sqrt(expected.objective), rtol=1e-12)
    after = net.perturbed_logits(expected.perturbation).argmax(axis=1)
    np.testing.assert_array_equal(column(tmp_path / "a", "class_after"), after)
    assert table(tmp_path / "a")["class_in_model"] == [""] * 4
    run("bound", model, tmp_path / "x.npy", "--method", "local", "--out", tmp_path / "b")
    np.testing.assert_allclose(column(tmp_path / "b", "norm"), lower_bound(net, x, method="local").radius, rtol=1e-12)


# ---- images -----------------------------------------------------------------------


@pytest.fixture
def bytes_of_images(tmp_path):
    """Return a model for images with one channel, whole numbers of pixels, and files of every kind with them."""
    from PIL import Image

    net, x = dense(shape=(3, 4, 1)), RNG(6).integers(0, 256, (3, 3, 4))
    net.save(tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", images=x[..., None], labels=np.arange(3))
    np.savetxt(tmp_path / "x.csv", x.reshape(3, 12), delimiter=",")
    names = ",".join(f"pixel {i}" for i in range(12))
    (tmp_path / "named.csv").write_text(names + "\n" + (tmp_path / "x.csv").read_text())
    (tmp_path / "folder").mkdir()
    for name, image in zip("abc", x, strict=True):
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / "folder" / f"{name}.png")
    return net, x[..., None] / 255, tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("x.npy", "--divide", "255"),
        ("x.npz", "--array", "images", "--divide", "255"),
        ("x.csv", "--divide", "255"),
        ("named.csv", "--divide", "255"),
        ("folder",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_images_come_from_files_of_every_kind(bytes_of_images, arguments):
    """And are the same, those of .png files but for the single precision in which they are read."""
    net, x, folder = bytes_of_images
    run("bound", folder / "net.npz", folder / arguments[0], *arguments[1:], "--out", folder / "found")
    np.testing.assert_allclose(column(folder / "found", "norm"), lower_bound(net, x).radius, rtol=1e-5)
    names = ["a", "b", "c"] if arguments[0] == "folder" else ["0", "1", "2"]
    assert table(folder / "found")["image"] == names


# ---- what is written --------------------------------------------------------------


def test_three_files_are_written_and_nothing_else(affine, tmp_path):
    """Into a folder that is made; a picture of images and changes where they have two dimensions."""
    _, _, model, images = affine
    for on in ("input", "weights"):
        run("attack", model, images, "--target", 3, "--on", on, "--out", tmp_path / "a" / on)
        made = {path.name for path in (tmp_path / "a" / on).iterdir()}
        assert made == {"arrays.npz", "table.csv", "picture.png"}
        assert (tmp_path / "a" / on / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_colours_are_drawn_as_colours(tmp_path):
    """Image, change and both, three pictures in a row for each image that is drawn."""
    from matplotlib.image import imread

    net, x = dense(shape=(4, 4, 3)), np.zeros((10, 4, 4, 3))
    x[..., 0] = 1.0
    model, images = filed(tmp_path, net, x)
    target = int(net.classify(x[:1] * 0.9)[0] + 1) % 5
    run("attack", model, images, "--target", target, "--on", "input", "--out", tmp_path / "found")
    pixels = imread(tmp_path / "found" / "picture.png")[..., :3]
    red = (pixels == [1.0, 0.0, 0.0]).all(axis=2)
    assert red.mean() > 0.1
    assert pixels.shape[0] == 8 * 2 * 120


def test_without_matplotlib_there_is_no_picture(affine, tmp_path, monkeypatch):
    """And it is said how to get one."""
    _, _, model, images = affine
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = run("bound", model, images, "--out", tmp_path / "found")
    assert said.endswith('arrays.npz, table.csv; for a picture: pip install "bea[plot]"\n')
    assert {path.name for path in (tmp_path / "found").iterdir()} == {"arrays.npz", "table.csv"}


def test_a_failed_write_leaves_what_was_there(affine, tmp_path, monkeypatch):
    """One line, and neither half a file nor a temporary one."""
    _, _, model, images = affine
    run("bound", model, images, "--out", tmp_path / "found")
    before = {path.name: path.read_bytes() for path in (tmp_path / "found").iterdir()}

    def full_disk(file, **arrays):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    assert refused("bound", model, images, "--out", tmp_path / "found") == "bea: no space left on device\n"
    assert {path.name: path.read_bytes() for path in (tmp_path / "found").iterdir()} == before


# ---- what is wrong ----------------------------------------------------------------


def refused(*arguments):
    """What a command says that fails: one line."""
    done = CliRunner().invoke(bea, [str(argument) for argument in arguments])
    assert done.exit_code == 2, done.output
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("bea: ")
    return done.stderr


@pytest.fixture
def files(affine, tmp_path):
    """Name → path of files with which something is wrong, and of those with which nothing is."""
    net, x, model, images = affine
    replace(net, input_range=None).save(tmp_path / "free.npz")
    for name, array in {"wide": x[:, :, :3], "bright": 2 * x, "text": np.array(["a"]), "none": x[:0]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez(tmp_path / "two.npz", a=x, b=x)
    (tmp_path / "damaged.npy").write_bytes(images.read_bytes()[:200])
    (tmp_path / "damaged.npz").write_bytes(model.read_bytes()[:200])
    (tmp_path / "damaged.csv").write_text("1,2\n3,x\n")
    (tmp_path / "short.csv").write_text("1,2\n3,4\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "images.tiff").write_bytes(b"")
    for name in ("damaged.onnx", "damaged.pt2", "pickled.pt"):
        (tmp_path / name).write_bytes(b"PK")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nonsense", "No such command 'nonsense'"),
        ("bound net.npz", "Missing argument 'IMAGES'"),
        ("attack net.npz x.npy", "Missing option '--target'"),
        ("bound net.npz x.npy --method best", "'best' is not one of 'lipschitz', 'local', 'peck'"),
        ("bound net.npz x.npy --first 0", "--first"),
        ("bound none.npz x.npy", "none.npz: expected a model, found no such file"),
        ("bound x.npy x.npy", "expected a model that ends in one of .npz, .keras"),
        ("bound damaged.npz x.npy", "damaged.npz: expected a complete network file"),
        ("info damaged.onnx", "damaged.onnx: expected an ONNX model, found none"),
        ("bound pickled.pt x.npy", "pickled.pt: expected a model that is no pickle"),
        ("bound net.npz none-there.npy", "none-there.npy: expected arrays, found no such file"),
        ("bound net.npz none.csv", "none.csv: expected a table, found no such file"),
        ("bound net.npz images.tiff", "expected a folder of .png files or a file that ends in"),
        ("bound net.npz wide.npy", "wide.npy: expected a batch of shape (n, 3, 4), received (6, 3, 3)"),
        ("bound net.npz bright.npy", "bright.npy: expected pixels between 0 and 1"),
        ("bound net.npz text.npy", "text.npy: expected numbers"),
        ("bound net.npz none.npy", "none.npy: expected at least one image"),
        ("bound net.npz damaged.npy", "damaged.npy: expected arrays without pickle"),
        ("bound net.npz two.npz", "expected the name of one of its arrays ['a', 'b'] (--array)"),
        ("bound net.npz two.npz --array c", "received c"),
        ("bound net.npz damaged.csv", "damaged.csv: expected a row of numbers separated by commas"),
        ("bound net.npz short.csv", "short.csv: expected 12 numbers a row, found 2"),
        ("bound net.npz empty", "empty: expected .png files in this folder, found none"),
        ("bound net.npz x.npy --label many", "label: expected a class from 0 on, or a .npy file"),
        ("attack net.npz x.npy --target 7", "target: expected classes from 0 to 4"),
        ("attack net.npz x.npy --target 3 --on 2", "on: expected one of"),
        ("attack net.npz x.npy --target 3 --margin -1", "margin: expected a positive number"),
        ("attack net.npz x.npy --target 3 --on weights --clip", 'on: expected "input", which clip is about'),
        (
            "attack free.npz x.npy --target 3 --on input --clip",
            "--clip: expected a range of the pixels (--range LOW HIGH)",
        ),
        ("epsilon free.npz x.npy --clip", "--clip: expected a range of the pixels (--range LOW HIGH), received none"),
        ("epsilon net.npz x.npy --largest 0", "largest: expected a positive number"),
        ("backward-error net.npz x.npy --outputs x.npy", "y_hat: expected shape (6, 5)"),
        ("bound net.npz x.npy --out x.npy", "x.npy"),
    ],
)
def test_what_is_wrong_is_one_line(files, arguments, message, monkeypatch):
    """With the exit code 2, and no trace of the program."""
    monkeypatch.chdir(files)
    assert message in refused(*arguments.split())


class Touch:
    """An object that leaves a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("part", ["data.pkl", "data/constants/opaque_obj_0", "data/sample_inputs/model.pt", None])
def test_an_exported_programme_runs_no_code_when_it_is_read(part, tmp_path):
    """A pickle in its archive, wherever PyTorch would unpickle it, is refused in one line and left unread."""
    model, _ = kept_in_torch(tmp_path)
    if part is None:
        model.write_bytes(model.read_bytes()[:3000])
        assert "expected a complete exported programme, found File is not a zip file" in refused("info", model)
        return
    import torch

    pickled = BytesIO()
    torch.save((Touch(tmp_path / "touched"),), pickled)
    with ZipFile(model) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(model, "w") as archive:
        for name, content in (parts | {f"model/{part}": pickled.getvalue()}).items():
            archive.writestr(name, content)
    said = refused("info", model)
    assert "found objects other than arrays" in said or f"found 'model/{part}', which may run when it is read" in said
    assert not (tmp_path / "touched").exists()
    pickle.loads(pickle.dumps(Touch(tmp_path / "touched"))).close()
    assert (tmp_path / "touched").exists()  # so that the test can fail


def test_a_package_that_is_missing_is_named_with_its_extra():
    """As pip takes it."""
    with pytest.raises(ValueError, match=r'no_such is needed and not installed: pip install "bea\[onnx\]"'):
        bring("no_such.part", "onnx")


def test_without_click_one_line_says_so(monkeypatch, capsys):
    """With the same exit code."""
    monkeypatch.setitem(sys.modules, "click", None)
    monkeypatch.delitem(sys.modules, "bea.cli.commands")
    with pytest.raises(SystemExit) as caught:
        entry.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == 'bea: the command line needs click: pip install "bea[cli]"\n'
