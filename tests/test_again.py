"""A chapter can be run again from any folder, in any way, with the same checks and the same words."""

import importlib.util
import json
import re
import subprocess
from html import unescape
from pathlib import Path

import pytest

from lab.parameters import ROOT, place, read
from lab.trained import names_of
from lab.wording import literal
from workflow.brought import banner
from workflow.execute import execute
from workflow.plan import alone
from workflow.small_book import run, small_book


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A book of two chapters, of which nothing is made."""
    return small_book(tmp_path_factory.mktemp("tiny") / "tree")


def test_paths_count_from_where_a_command_is_given(tree, tmp_path):
    """Also those in parameters: what the first chapter leaves, the second one reads under the same name."""
    variables = {"PYTHONPATH": str(tree), "BEA_TRACE": str(tree / "trace")}
    for command in (["first", "--to", "mine"], ["second", "-p", "inputs", "mine", "--to", "mine/too"]):
        result = run(tmp_path, "workflow.execute", *command, "--edition", "smoke", **variables)
        assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "mine/too/second.json").read_text())["cells"].keys() == set()
    assert (tmp_path / "mine/too/figures/second-picture.svg").is_file()
    assert not (tree / "results/second.json").exists()


def test_papermill_and_jupyter_work_from_any_folder(tree, tmp_path):
    """The default folders are those of the book; the notebook itself stays as it is."""
    variables = {"PYTHONPATH": str(tree), "BEA_TRACE": str(tree / "trace")}
    before = (tree / "notebooks/first.ipynb").read_bytes()
    for command in (
        ["jupyter", "execute", str(tree / "notebooks/first.ipynb")],
        ["papermill", str(tree / "notebooks/second.ipynb"), "out.ipynb", "-p", "output", "out", "-k", "python3"],
    ):
        for _ in range(3):  # these speak to the kernel through ports, which something else may have taken
            result = run(tmp_path, *command, **variables)
            if "Address already in use" not in result.stderr:
                break
        assert result.returncode == 0, result.stderr
    assert (tree / "notebooks/first.ipynb").read_bytes() == before
    assert (tree / "results/first.json").is_file()
    assert (tmp_path / "out/second.json").is_file()


def test_jupyter_lab_opens_on_the_chapters():
    """`make lab` calls one that set-up installs, and takes it to the folder of the notebooks."""
    said = subprocess.run(["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    module, page = re.search(r"-m (\w+) .*--LabApp.default_url=/lab/tree/(\S+)", said, re.DOTALL).groups()
    assert list((ROOT / page).glob("*.ipynb"))
    assert f"\n{module}==" in (ROOT / "requirements.lock").read_text()
    assert importlib.util.find_spec(module)


def test_default_folders_are_those_of_the_book(tmp_path, monkeypatch):
    """Wherever the notebook runs; others count from there."""
    monkeypatch.chdir(tmp_path)
    for given in (None, "../results"):
        assert place("inputs", given).resolve() == ROOT / "results"
    assert place("output", "mine").resolve() == tmp_path / "mine"
    assert place("output", "mine", Path("further")).resolve() == tmp_path / "further/mine"
    assert place("output", str(ROOT)).resolve() == ROOT


@pytest.fixture
def trained(tmp_path):
    """A folder of results with one network, trained on MNIST."""
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks/toy-0.npz").touch()
    (tmp_path / "first.json").write_text(json.dumps({"dataset": "mnist", "networks": {"toy": ["toy-0"]}}))
    return tmp_path


def test_networks_of_other_images_are_refused(trained):
    """Else what is computed of them would bear the name of a dataset that they have never seen."""
    assert names_of(trained, "toy", "mnist") == names_of(trained, "toy") == ["toy-0"]
    with pytest.raises(ValueError, match=r"dataset: networks .toy. in .* were trained on mnist, received 'digits'"):
        names_of(trained, "toy", "digits")


def test_a_network_without_its_file_is_missed_by_name(trained):
    """Before any cell runs."""
    (trained / "networks/toy-0.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"networks 'toy': expected .*toy-0.npz, which is not there"):
        names_of(trained, "toy")


def test_a_second_run_into_one_folder_is_refused(tmp_path):
    """And leaves the first one, whose half-made files lie there, alone."""
    running = tmp_path / ".running/11_train_one_layer"
    running.mkdir(parents=True)
    with (
        alone(running.with_suffix(".lock"), "held"),
        pytest.raises(BlockingIOError, match=r"another run of 11_train_one_layer into .* is under way"),
    ):
        execute("11_train_one_layer", {}, {}, tmp_path)
    assert running.is_dir()


def test_parameters_that_are_no_text_are_refused(tmp_path):
    """In a line that names the file."""
    (tmp_path / "params.yml").write_bytes(b"common: \xff")
    with pytest.raises(ValueError, match=r"params.yml: expected text in UTF-8"):
        read(tmp_path)


def test_names_of_files_are_no_markup():
    """Neither HTML nor Markdown: what a reader brings is shown as it is, on every page that names it."""
    from markdown_it import MarkdownIt

    for name in ("<img src=x onerror=alert(1)>", "[a](javascript:b)", "**a**|b", "`a` $b$ {role}`c`", "a\\<b>&lt;"):
        shown = MarkdownIt().render(literal(name)).removeprefix("<p>").removesuffix("</p>\n")
        assert unescape(shown) == name
        assert "<" not in shown
    numbers = {"images": 1, "shape": "2", "classes": 3, "weights": 4}
    named = dict.fromkeys(("model", "images", "labels"), "a<b>.npy") | {"most": 1}
    assert "<b>" not in banner(named, numbers, []).source.replace("\\<b\\>", "")


@pytest.mark.parametrize("name", ["10_linear_systems", "18_data_of_the_attacker"])
def test_a_chapter_leaves_the_same_files_each_time(smoke, tmp_path, name):
    """Numbers, figures, tables and scripts, bit for bit; how long it took is the only thing that may differ."""
    result = run(ROOT, "workflow.execute", name, "--edition", "smoke", "-p", "inputs", str(smoke / "results"),
                 "--to", str(tmp_path), PYTHONPATH=str(ROOT))  # fmt: skip
    assert result.returncode == 0, result.stderr
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*") if path.is_file()]
    made = [path for path in made if path.parts[0] != ".running" and path.suffix != ".ipynb"]
    assert len(made) > 3
    for path in made:
        one, other = ((folder / path).read_bytes() for folder in (tmp_path, smoke / "results"))
        if path == Path(f"{name}.json"):
            one, other = (json.loads(text) | {"provenance": None} for text in (one, other))
        assert one == other, path
