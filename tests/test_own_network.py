"""The page on a reader's own network: its lines run as they are printed, and what it says that converts does."""

import ast
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bea import Dense, Flatten, Network, lower_bound
from bea.cli.commands import bea
from studies import own_network as study
from three_frameworks import SHAPE, grown, in_onnx

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "own_network.md").read_text(encoding="utf-8")
PYTHON = [part.split("```")[0] for part in PAGE.split("```python\n")[1:]]
RNG = np.random.default_rng


def blocks(word):
    """The Python blocks with a word in them."""
    return [block for block in PYTHON if word in block]


@pytest.fixture
def own():
    """A Keras model with one layer, and images."""
    pytest.importorskip("jax")
    from lab.keras_backend import keras

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(4, "softmax")]
    return keras.Sequential([keras.Input((3, 3)), *layers]), RNG(0).random((5, 3, 3))


def test_every_block_of_the_page_is_run_here():
    """Two need a framework of their own."""
    assert len(PYTHON) == len({*blocks("from_torch"), *blocks("from_onnx")}) + 4


def test_the_lines_for_keras_run_as_printed(own, capsys):
    """One after the other, with a model and images of the reader's own; for one layer the bound is the distance."""
    names = dict(zip(("model", "images"), own, strict=True))
    for block in PYTHON:
        if "from_torch" not in block and "from_onnx" not in block:
            exec(block, names)
    printed = capsys.readouterr().out
    assert printed.startswith("AttackResult: 5 of 5 samples succeed; locally optimal\n")
    assert "proven (lipschitz)" in printed
    assert printed.endswith(f"{names['bound'].radius}\n")
    weights = names["model"].get_weights()[0].astype(float)
    logits, label = names["net"](names["images"]), names["labels"][:, None]
    leads = np.take_along_axis(logits, label, 1) - logits
    apart = np.linalg.norm(weights[:, label] - weights[:, None], axis=0)
    distances = np.divide(leads, apart, out=np.full_like(leads, np.inf), where=apart > 0)
    np.testing.assert_allclose(names["bound"].radius, distances.min(1), rtol=1e-12)


def test_what_the_page_says_of_a_result_is_there(own):
    """Of changes of the weights, the Keras model is fooled in its own precision."""
    model, images = own
    names = {"model": model, "images": images}
    exec(blocks("from_keras")[0].replace('"input"', '"weights"').replace(", clip=True", ""), names)
    fooled = np.asarray(names["found"].keras_model(model, 0)(images[:1].astype(np.float32)))
    assert fooled.argmax() == names["target"][0]
    assert {"sample", "success", "layer_1"} <= set(names["found"].to_frame().columns)
    assert names["found"].plot().axes


def test_the_line_for_pytorch_runs_as_printed():
    """With a module for images as large as the line says."""
    torch = pytest.importorskip("torch", reason="no torch here, so the line of the page for it was not run")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 3))
    names = {"Network": Network, "module": module}
    exec(blocks("from_torch")[0], names)
    assert names["net"].classes == 3


def test_the_line_for_onnx_runs_as_printed(tmp_path, monkeypatch):
    """With a file of the name that the line says."""
    onnx = pytest.importorskip("onnx", reason="no onnx here, so the line of the page for it was not run")
    monkeypatch.chdir(tmp_path)
    onnx.save(in_onnx(grown("dense")), "model.onnx")
    names = {"Network": Network}
    exec(blocks("from_onnx")[0], names)
    assert names["net"].input_shape == SHAPE


def test_the_commands_of_the_page_run_as_printed(own, tmp_path, monkeypatch):
    """In a folder with a model and images of the names that they say."""
    monkeypatch.chdir(tmp_path)
    own[0].save("model.keras")
    np.save("images.npy", own[1])
    commands = re.findall(r"^bea (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        done = CliRunner().invoke(bea, shlex.split(command))
        assert done.exit_code == 0, done.output
    assert (tmp_path / "found" / "table.csv").is_file()


def test_a_model_may_be_cut_behind_a_layer(own):
    """As the page says to do with a layer that has no counterpart."""
    from lab.keras_backend import keras

    layers = [keras.layers.Embedding(7, 2), keras.layers.Flatten(), keras.layers.Dense(3)]
    model, k = keras.Sequential([keras.Input((4,)), *layers]), 0
    with pytest.raises(ValueError, match="Embedding"):
        Network.from_keras(model)
    (line,) = re.findall(r"`(keras\.Sequential\([^`]*)`", PAGE)
    net = Network.from_keras(eval(line, {"keras": keras, "model": model, "k": k, "shape": (4, 2)}))
    assert net.input_shape == (4, 2)


def test_the_page_lists_the_layers_that_convert_and_those_that_are_refused():
    """Those, and no others, that the tests of the reader build."""
    tree = ast.parse((ROOT / "tests" / "own_models.py").read_text(encoding="utf-8"))
    said, converted, refused = [], set(), set()
    for table in PAGE.split("| kind | layers |")[1:]:
        rows = table.partition("\n\n")[0]
        said.append(set(re.findall(r"`(\w+)`", rows)))
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="REFUSED")], value=ast.Dict(values=values)):
                refused |= kinds(*values)
            case _:
                converted |= kinds(node)
    assert said[0] == converted
    assert said[1] == refused - converted


def kinds(*nodes):
    """The layers of Keras that are named in pieces of code."""
    return {
        node.attr
        for piece in nodes
        for node in ast.walk(piece)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "layers"
    } - {"Layer"}


# ---- the chapter ----------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """A network of one layer and eight images in files; the second label is wrong."""
    rng = RNG(1)
    net = Network((Flatten(), Dense(rng.standard_normal((3, 7)))), (2, 3), input_range=(0.0, 1.0))
    x = rng.random((8, 2, 3))
    labels = net.classify(x)
    labels[1] = (labels[1] + 1) % 3
    net.save(tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", 255.0 * x)
    np.save(tmp_path / "y.npy", labels)
    return [str(tmp_path / name) for name in ("net.npz", "x.npy", "y.npy")]


WAYS = {"low": 0.0, "high": 1.0, "divide": 255.0, "first": 5}


def test_a_readers_files_are_what_the_chapter_is_about(files):
    """Images that the network has wrong are left out, and no more than asked for are taken."""
    found = study.opened(*files, **WAYS)
    assert found.name == "net.npz on x.npy"
    np.testing.assert_allclose(found.x, np.load(files[1])[[0, 2, 3, 4, 5]] / 255.0)
    assert (found.net.classify(found.x) == found.labels).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: ""}, "model, images: expected both or none, received ''"),
        ({1: ""}, "model, images: expected both or none"),
        ({2: "2"}, "labels: expected a class"),
    ],
)
def test_files_that_do_not_fit_are_refused(files, change, message):
    """In one line, before any work."""
    given = [change.get(number, name) for number, name in enumerate(files)]
    with pytest.raises(ValueError, match=message):
        study.opened(*given, **WAYS)


def test_images_of_which_none_is_right_are_refused(files):
    """It is said how many there were."""
    np.save(files[2], (study.opened(files[0], files[1], "", **WAYS | {"first": 8}).labels + 1) % 3)
    with pytest.raises(ValueError, match="found none of 8"):
        study.opened(*files, **WAYS)


def test_for_one_layer_proof_and_attack_meet():
    """Both are the distance to the plane between two classes, so only the margin keeps them apart."""
    rng = RNG(2)
    net = Network((Flatten(), Dense(rng.standard_normal((2, 7)))), (2, 3))
    x = rng.random((6, 2, 3))
    subject = study.Subject("two classes", net, x, net.classify(x))
    table = study.distances(subject, study.changes(subject, margin=1e-9), method="local", longest=100.0)
    matrix, logits = net.layers[-1].matrix, net(x)
    expected = np.abs(logits[:, 0] - logits[:, 1]) / np.linalg.norm(matrix[0, :-1] - matrix[1, :-1])
    np.testing.assert_allclose(table.proven, expected, rtol=1e-9)
    np.testing.assert_allclose(table.attack, expected, rtol=1e-6)
    assert (table.ray >= expected).all()
    assert (table.half < table.weights).all()
    np.testing.assert_array_equal(table.proven, lower_bound(net, x, method="local").radius)


def test_the_small_network_knows_its_digits():
    """Without files, the chapter has something to show."""
    found = study.opened("", "", "", **WAYS | {"divide": 1.0})
    assert found.net.input_shape == (8, 8)
    whole = study.small_network()
    assert np.mean(whole.net.classify(whole.x) == whole.labels) > 0.9
