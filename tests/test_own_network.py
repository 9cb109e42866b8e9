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
from lab.subject import Subject
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
    assert [command.split()[0] for command in commands] == ["info", "attack", "bound", "precision"]
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


def test_images_that_the_network_has_wrong_are_left_out():
    """And no more than asked for are taken, the first ones."""
    rng = RNG(1)
    net, x = Network((Flatten(), Dense(rng.standard_normal((3, 7)))), (2, 3)), rng.random((8, 2, 3))
    labels = net.classify(x)
    labels[1] = (labels[1] + 1) % 3
    found = study.right(Subject("some", net, x, labels), 5)
    np.testing.assert_array_equal(found.x, x[[0, 2, 3, 4, 5]])
    assert (found.net.classify(found.x) == found.labels).all()


def test_for_one_layer_proof_and_attack_meet():
    """Both are the distance to the plane between two classes, so only the margin keeps them apart."""
    rng = RNG(2)
    net = Network((Flatten(), Dense(rng.standard_normal((2, 7)))), (2, 3))
    x = rng.random((6, 2, 3))
    subject = Subject("two classes", net, x, net.classify(x))
    table = study.distances(subject, study.changes(subject, margin=1e-9), method="local", longest=100.0)
    matrix, logits = net.layers[-1].matrix, net(x)
    expected = np.abs(logits[:, 0] - logits[:, 1]) / np.linalg.norm(matrix[0, :-1] - matrix[1, :-1])
    np.testing.assert_allclose(table.proven, expected, rtol=1e-9)
    np.testing.assert_allclose(table.attack, expected, rtol=1e-6)
    assert (table.ray >= expected).all()
    assert (table.half < table.weights).all()
    np.testing.assert_array_equal(table.proven, lower_bound(net, x, method="local").radius)


def test_searches_are_held_against_the_distance_to_a_plane():
    """For one layer with two classes all three find the same change of the input, up to the margin."""
    rng = RNG(2)
    net = Network((Flatten(), Dense(rng.standard_normal((2, 7)))), (2, 3))
    x = rng.random((6, 2, 3))
    table = study.searches(Subject("two classes", net, x, net.classify(x)), margin=1e-9, starts=2)
    own = table[table.on == "input"]
    matrix, logits = net.layers[-1].matrix, net(x)
    expected = np.abs(logits[:, 0] - logits[:, 1]) / np.linalg.norm(matrix[0, :-1] - matrix[1, :-1])
    expected /= np.linalg.norm(x.reshape(6, -1), axis=1)
    for way in ("first", "converged", "several"):
        np.testing.assert_allclose(own[way], expected, rtol=1e-6)
    assert (table.several <= table.converged * (1 + 1e-9)).all()
    assert (own.rival == 1 - own.label).all()


def test_the_small_network_knows_its_digits():
    """Without files, the chapter has something to show."""
    whole = study.small_network()
    assert whole.net.input_shape == (8, 8)
    assert np.mean(whole.net.classify(whole.x) == whole.labels) > 0.9
