"""What happens when something goes wrong, and what one can ask for. Works in a book of two small chapters."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from lab.parameters import ROOT, check_tree, checked, parse, read
from tiny import edit, would_run
from workflow import durations
from workflow.build import whole_number
from workflow.chapter import changes_in
from workflow.durations import chains
from workflow.execute import execute
from workflow.plan import MEMORY, alone, keep_compiled, keep_memory
from workflow.progress import Line, Progress, spoken
from workflow.small_book import RENDER, SPECIFICATION, environment, run, small_book


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A book of two chapters, made once."""
    tree = small_book(tmp_path_factory.mktemp("tiny") / "tree")
    result = build(tree)
    assert result.returncode == 0, result.stdout + result.stderr
    (tree / "output").write_text(result.stdout)
    return tree


@pytest.fixture
def copy(made, tmp_path):
    """A copy of it, in which files may be changed."""
    return shutil.copytree(made, tmp_path / "tree")


@pytest.fixture
def bare(made, tmp_path):
    """The same before anything was made."""
    left_out = shutil.ignore_patterns("results", "_build", ".snakemake", "calls")
    return shutil.copytree(made, tmp_path / "tree", ignore=left_out)


@pytest.fixture
def half(copy):
    """A copy in which the second chapter has still to be made, and nothing is remembered of it."""
    (copy / "results" / "second.json").unlink()
    shutil.rmtree(copy / "_build" / "remembered")
    (copy / "trace" / "calls").unlink()
    return copy


def build(folder, **variables):
    return run(folder, "workflow.build", "--edition", "smoke", "--cores", "2", **variables)


def fingerprints(folder):
    files = [*folder.glob("results/*.*"), *folder.glob("results/*/*.*"), *folder.glob("_build/html/**/*.html")]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}


def calls(folder):
    return (folder / "trace" / "calls").read_text().split()


# ---- what runs ---------------------------------------------------------------


def test_a_build_says_what_runs_and_how_far_it_is(made):
    """Line by line where lines cannot be rewritten, and the page to open at the end."""
    said = (made / "output").read_text()
    assert re.search(r"^0 of 3 done · running first \d+ s · about \d+ (s|min) left$", said, re.MULTILINE)
    assert re.search(r"^1 of 3 done · running second", said, re.MULTILINE)
    assert re.search(r"^3 of 3 done$\n3 steps, \d+ s$", said, re.MULTILINE)
    assert str(made / "_build/html/index.html") in said


def test_nothing_changed_means_nothing_runs(copy):
    """And the page to open is printed all the same."""
    result = build(copy)
    assert result.returncode == 0
    assert "nothing had changed" in result.stdout
    assert str(copy / "_build/html/index.html") in result.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("book/claims.yml", "Weights have a norm.", "Weights are long.", {"book"}),
        ("book/claims.yml", "least: 1.0", "least: 50.0", {"first", "second", "book"}),
        ("book/published.yml", "norm: 3", "norm: 4", {"first", "second", "book"}),
        ("book/register.yml", "First", "Only now", {"book"}),
        ("studies/toy.py", "import os", "\nimport os", {"second", "book"}),
    ],
)
def test_of_a_claim_only_what_is_applied_runs_a_chapter_again(copy, file, old, new, expected):
    """A statement is only on the page; a threshold is the first chapter's, whose networks the second reads."""
    edit(copy / file, old, new)
    assert would_run(copy) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("norm = np.linalg.norm(net", "norm = np.linalg.norm( net", ["first", "book"]),  # as a changed picture
        ("scale * np.arange", "2 * scale * np.arange", ["first", "second", "book"]),
    ],
)
def test_others_run_again_only_if_numbers_or_networks_of_a_chapter_have_changed(copy, old, new, expected):
    """Of the chapter that they read: its text and its pictures are nothing to them."""
    (copy / "workflow" / "render.py").write_text(RENDER)
    edit(copy / "notebooks" / "first.ipynb", old, new)
    result = build(copy)
    assert result.returncode == 0, result.stdout + result.stderr
    ran = re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", (copy / "_build/make.log").read_text(), re.MULTILINE)
    assert [name for name in ran if name != "all"] == expected


def test_lost_and_damaged_files_are_made_again(copy):
    """Though nothing else changed; and an existing book is not taken for granted."""
    (copy / "_build" / "html" / "results" / "first.html").unlink()
    assert would_run(copy) == {"book"}
    (copy / "results" / "figures" / "second-picture.svg").unlink()
    assert would_run(copy) == {"second", "book"}
    (copy / "results" / "first.json").write_text("{}")
    assert would_run(copy) == {"first", "second", "book"}


# ---- what goes wrong ---------------------------------------------------------


def test_a_failing_notebook_stops_the_build_and_leaves_the_last_pages(copy):
    """The message has the notebook, the cell and the error; it fails again until it is mended; old files stay."""
    before = fingerprints(copy)
    edit(
        copy / "notebooks" / "second.ipynb", "one = chapter", "raise RuntimeError('out of luck')\\n\", \"one = chapter"
    )
    result = build(copy)
    assert result.returncode == 1
    assert "notebook second, cell 'one': RuntimeError: out of luck" in result.stdout
    assert fingerprints(copy) == before
    assert would_run(copy) == {"second", "book"}


def test_a_rendering_error_stops_the_build(copy):
    """A number that no cell computed is a warning, and a warning is an error."""
    with open(copy / "book" / "index.md", "a") as file:
        file.write("\nA number from nowhere: {result}`first#train.nothing`.\n")
    result = build(copy)
    assert result.returncode == 1
    assert "nothing for 'first#train.nothing'" in result.stdout


def test_a_killed_kernel_costs_one_study_at_most(half):
    """The next build goes on inside the chapter: what was remembered before is not computed again."""
    second = ["snakemake", "results/.done/second", "--cores", "1", "--nolock", "--config", "edition=smoke"]
    (half / "trace" / "trap").write_text("")
    result = run(half, *second)
    assert result.returncode == 1
    assert "notebook second: DeadKernelError" in result.stdout + result.stderr
    assert calls(half) == ["one"]
    assert run(half, *second, "--rerun-incomplete").returncode == 0
    assert calls(half) == ["one", "two"]


def test_a_build_that_was_killed_leaves_a_run_that_the_next_one_waits_for(half):
    """The kernel goes on without anybody above it; nothing is computed twice, and no lock needs a hand."""
    (half / "trace" / "wait").touch()
    command = [sys.executable, "-m", "workflow.build", "--edition", "smoke", "--cores", "1"]
    kernel = half / "trace" / "kernel"
    kernel.unlink(missing_ok=True)
    first = subprocess.Popen(command, cwd=half, env=environment(half), start_new_session=True)
    while not kernel.is_file():
        assert first.poll() is None
        time.sleep(0.1)
    for member in (psutil.Process(first.pid), *psutil.Process(first.pid).children()):  # and Snakemake
        member.kill()
    first.wait()
    second = subprocess.Popen(command, cwd=half, env=environment(half), stdout=subprocess.PIPE, text=True)
    (half / "trace" / "wait").unlink()
    assert "steps" in second.communicate()[0]
    assert second.returncode == 0
    assert calls(half) == ["one", "two"]


def test_an_interrupted_build_leaves_nothing_behind_and_can_be_repeated(half):
    """No process, no lock; and what had finished is kept. A terminal sends the first signal, `kill` the second."""
    wait, kernel = half / "trace" / "wait", half / "trace" / "kernel"
    wait.write_text("")
    for number in (signal.SIGINT, signal.SIGTERM):
        kernel.unlink()
        command = [sys.executable, "-m", "workflow.build", "--edition", "smoke", "--cores", "2"]
        with subprocess.Popen(command, cwd=half, env=environment(half), stderr=subprocess.PIPE, text=True) as process:
            until = time.monotonic() + 300
            while not (kernel.is_file() and kernel.read_text()) and process.poll() is None and time.monotonic() < until:
                time.sleep(0.1)
            working = psutil.Process(int(kernel.read_text()))
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said == "interrupted; what had finished is kept, and the next call goes on from there\n"
        psutil.wait_procs([working], timeout=10)
        assert not working.is_running() or working.status() == psutil.STATUS_ZOMBIE
    wait.unlink()
    result = build(half)
    assert result.returncode == 0, result.stdout + result.stderr
    assert calls(half) == ["one", "two"]
    assert "rule first" not in (half / "_build" / "make.log").read_text()


def test_a_build_that_cannot_write_its_log_says_so_and_ends(copy):
    """And leaves nothing running; on a full disk it waited for ever."""
    (copy / "_build" / "make.log").unlink()
    (copy / "_build" / "make.log").symlink_to("/dev/full")
    result = build(copy)
    assert result.returncode == 1
    assert result.stderr == "[Errno 28] No space left on device\n"
    assert not [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(copy)]


def test_a_second_build_in_a_folder_is_refused(copy):
    """In a line, at once; the lock ends with who holds it."""
    with alone(copy / "_build" / "make.lock", ""):
        result = build(copy)
    assert result.returncode == 1
    assert result.stderr == "another `make book` is running in this folder\n"


def test_without_dataset_and_network_the_book_is_made_from_digits(bare, tmp_path):
    """In one go; every page says so and why, and no claim about MNIST is judged."""
    result = build(bare, KERAS_HOME=str(tmp_path), https_proxy="http://127.0.0.1:9", BEA_DATA="")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "going on with the embedded digits" in result.stdout
    for page in ("book/index", "results/first", "results/second"):
        html = (bare / f"_build/html/{page}.html").read_text()
        assert re.search(r"computed from the UCI digits .* because mnist could not be had", html), page
    verdicts = {
        claim: entry["verdict"]
        for name in ("first", "second")
        for claim, entry in json.loads((bare / f"results/{name}.json").read_text())["claims"].items()
    }
    assert verdicts == {"B1": "reproduced", "B2": "cannot be decided"}


def test_a_wrong_dataset_file_stops_the_build(copy, tmp_path):
    """A file that is there but broken is an error, not a reason to take other data."""
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 and no more")
    result = build(copy, BEA_DATA=str(tmp_path))
    assert result.returncode == 1
    assert re.search(r"mnist\.npz: expected a complete \.npz file", result.stderr)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "params.yml",
            "images: {type",
            "image: {type",
            "second: the parameters cell lacks 'image', which params.yml has",
        ),
        ("params.yml", "full: 20", "full: 0", "params.yml, second, images, full must be at least 1, received 0"),
        ("params.yml", "least: 1", "leest: 1", "params.yml, second, images: expected type, meaning, full and smoke"),
        ("params.yml", "least: 1", "least: few", "params.yml, second, images, least: expected int, received 'few'"),
        ("params.yml", "second:", "third:", "params.yml, third: expected notebooks/third.ipynb, which is not there"),
        ("params.yml", "second:", "first:", "params.yml: expected YAML, received first stands twice"),
        ("params.yml", "{type: int", "{type: integer", "params.yml, second, images, type: expected one of int, float"),
        ("params.yml", "{type: int", "{type: int]", "params.yml: expected YAML, received while parsing"),
        ("notebooks/second.ipynb", "images = 20", "images = 20\\nsize = 2", "the parameters cell has 'size'"),
    ],
)
def test_a_wrong_word_about_a_parameter_is_found_before_anything_runs(made, tmp_path, file, old, new, message):
    """Names, values, ranges and types of all chapters, wherever the chapter stands."""
    shutil.copytree(made / "notebooks", tmp_path / "notebooks")
    shutil.copy(made / "params.yml", tmp_path)
    check_tree(tmp_path)
    edit(tmp_path / file, old, new)
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        check_tree(tmp_path)


def test_a_number_is_changed_in_one_place(made, tmp_path):
    """A build takes the values of params.yml, so a changed one need not stand in the notebook as well."""
    shutil.copytree(made / "notebooks", tmp_path / "notebooks")
    shutil.copy(made / "params.yml", tmp_path)
    edit(tmp_path / "params.yml", "full: 20", "full: 30")
    check_tree(tmp_path)


def test_a_build_with_wrong_parameters_says_so_in_a_line(copy):
    """And runs nothing."""
    before = fingerprints(copy)
    edit(copy / "params.yml", "full: 20", "full: many")
    result = build(copy)
    assert result.returncode == 1
    assert result.stderr == "params.yml, second, images, full must be of type int, received 'many' of type str\n"
    assert fingerprints(copy) == before


@pytest.mark.parametrize("cores", ["0", "-1", "two", "1.5", ""])
def test_cores_are_counted_from_one(cores):
    """Snakemake would wait for ever for no core."""
    with pytest.raises(SystemExit, match=f"cores: expected a whole number, at least 1, received '{cores}'"):
        whole_number(cores)
    assert whole_number("3") == 3


# ---- one chapter, other parameters, other editions ---------------------------


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"epoch": 3}, ValueError, "11_train_one_layer: unknown parameter 'epoch', expected one of .*epochs"),
        ({"epochs": "3"}, TypeError, "parameter 'epochs' must be of type int, received '3' of type str"),
        ({"epochs": True}, TypeError, "parameter 'epochs' must be of type int, received True of type bool"),
        ({"epochs": 1.5}, TypeError, "parameter 'epochs' must be of type int"),
        ({"seeds": 3}, TypeError, r"parameter 'seeds' must be of type list\[int\], received 3"),
        ({"epochs": 0}, ValueError, "parameter 'epochs' must be at least 1, received 0"),
        ({"seeds": []}, ValueError, "parameter 'seeds' must be a list of different values"),
        ({"seeds": [0, 0]}, ValueError, "parameter 'seeds' must be a list of different values"),
        ({"seeds": [0, -1]}, ValueError, "parameter 'seeds' must be at least 0"),
        ({"dataset": "cifar10"}, ValueError, "parameter 'dataset' must be one out of mnist, digits"),
        ({"seeds": [1, "2"]}, TypeError, r"parameter 'seeds' must be of type list\[int\]"),
    ],
)
def test_wrong_parameters_are_refused(parameters, error, message):
    """papermill takes anything; we do not."""
    with pytest.raises(error, match=message):
        checked("11_train_one_layer", parameters)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-.5e+2", -50.0),
        ("1.e-3", 1e-3),
        ("12", 12),
        ("[1e-3, 2]", [1e-3, 2]),
        ("e5", "e5"),
    ],
)
def test_numbers_are_read_as_one_writes_them(text, value):
    """YAML 1.1 takes 1e-3 for a word."""
    assert parse(text, "P") == value
    assert type(parse(text, "P")) is type(value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("scale", "[1"), "first: parameter 'scale': expected YAML, received while parsing"),
        (("scale", "1e-3"), "first: parameter 'scale' must be at least 0.5, received 0.001"),
        (("size", "3"), "first: unknown parameter 'size', expected one of"),
    ],
)
def test_wrong_parameters_stop_before_any_work(copy, change, message):
    """On the command line: one message, no traceback, and nothing was written."""
    before = fingerprints(copy)
    result = run(copy, "workflow.execute", "first", "--edition", "smoke", "-p", *change)
    assert result.returncode == 1
    assert result.stderr.startswith(f"companion: {message}")
    assert result.stderr.count("\n") == 1
    assert fingerprints(copy) == before


def test_in_a_fresh_clone_a_chapter_says_what_to_run_first(bare):
    """After deciding on the dataset itself; one that needs nothing just runs."""
    result = run(bare, "workflow.execute", "second", "--edition", "smoke")
    assert result.returncode == 1
    assert "first run first, or all in one go: make chapter NAME=second" in result.stderr
    assert result.stderr.count("\n") == 1
    assert json.loads((bare / "results" / "dataset.json").read_text())["edition"] == "smoke"
    assert run(bare, "workflow.execute", "first", "--edition", "smoke").returncode == 0


def test_one_chapter_with_other_parameters_leaves_the_book_alone(copy):
    """Its numbers move, its page is printed, and it has no other chapter's."""
    before = fingerprints(copy)
    result = run(copy, "workflow.chapter", "--edition", "smoke", "--cores", "1", "first", "scale=2e0")
    assert result.returncode == 0, result.stdout + result.stderr
    folder = copy / "_build" / "chapters" / "first"
    page = folder / "_build" / "html" / "results" / "first.html"
    assert result.stdout.endswith(f"Open this page in a browser:\n  {page}\n")
    assert "<td>2.0</td>" in page.read_text()
    mine, theirs = (json.loads(path.read_text()) for path in (folder / "made/first.json", copy / "results/first.json"))
    assert mine["provenance"]["parameters"]["scale"] == 2.0
    assert mine["cells"]["train"]["norm"] == pytest.approx(2 * theirs["cells"]["train"]["norm"])
    assert fingerprints(copy) == before


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("margin=1e-3 seeds=[0, 1]", {"margin": "1e-3", "seeds": "[0, 1]"}),
        ("  a=1   b= 2 ", {"a": "1", "b": " 2"}),
        ("", {}),
    ],
)
def test_changes_are_told_apart(text, found):
    """Blanks may stand in a list."""
    assert changes_in(text) == found


@pytest.mark.parametrize("text", ["margin", "3 margin=1", "=1"])
def test_what_is_no_change_is_refused(text):
    """And shown."""
    with pytest.raises(ValueError, match=f"P: expected NAME=VALUE, one or more, received '{text}'"):
        changes_in(text)


def test_another_edition_is_made_in_a_folder_of_its_own(made, tmp_path):
    """A copy of the tree with its own modules, results and pages, and the memory of the tree."""
    tree = shutil.copytree(made, tmp_path / "tree", ignore=shutil.ignore_patterns("_build", ".snakemake"))
    (tree / ".gitignore").write_text("results/\n_build/\ntrace/\noutput\n")
    (tree / "probe.py").write_text("import os, lab\nprint(os.getcwd(), lab.__file__, os.environ['BEA_REMEMBERED'])\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)
    program = "import sys; from workflow.editions import run_in; sys.exit(run_in('complete', 'probe'))"
    variables = environment(tree)
    del variables["BEA_REMEMBERED"]
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=tree, env=variables, capture_output=True, text=True, check=True)
    copy = tree / "_build" / "editions" / "complete"
    assert result.stdout.split() == [str(copy), str(copy / "lab/__init__.py"), str(tree / "_build/remembered")]
    assert not (copy / "results").exists()
    assert (copy / "params.yml").read_text() == (tree / "params.yml").read_text()


def test_a_bundle_is_read_at_once_and_continued_from(made, bare):
    """On another machine nothing has to run, and a changed chapter runs alone."""
    assert run(made, "workflow.bundle").returncode == 0
    result = run(bare, "workflow.bundle", "--unpack", str(made / "_build" / "bundle-full.zip"))
    assert result.returncode == 0, result.stderr
    assert (bare / "_build/html/index.html").read_bytes() == (made / "_build/html/index.html").read_bytes()
    assert would_run(bare) == set()
    assert run(bare, "workflow.manifest").returncode == 0
    edit(bare / "results" / "first.json", "norm", "mron")
    assert "results/first.json: changed" in run(bare, "workflow.manifest").stderr


def test_papermill_alone_runs_a_notebook(copy, tmp_path):
    """Without our workflow, as the book says it can be done."""
    command = ["papermill", "first.ipynb", str(tmp_path / "out.ipynb"), "-p", "scale", "1.5"]
    command += ["-p", "output", str(tmp_path / "out"), "-k", "python3"]
    for _ in range(3):  # papermill by itself speaks to the kernel through ports, which something else may have taken
        result = run(copy / "notebooks", *command, PYTHONPATH=str(copy), BEA_TRACE=str(copy / "trace"))
        if "Address already in use" not in result.stderr:
            break
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "first.json").is_file()


# ---- time, kernels, pages ----------------------------------------------------


def test_time_left_is_the_longest_chain_or_the_work_shared_out():
    """At the pace so far."""
    seconds, before = {"a": 10.0, "b": 20.0, "c": 4.0, "d": 6.0}, {"b": ("a",), "c": (), "d": ("a", "b", "c")}
    progress = Progress(seconds, before, cores=2)
    for job in seconds:
        progress.plan(job)
    assert progress.left(0.0) == 36  # a, b, d
    progress.start("a", 0.0)
    assert progress.left(4.0) == 32
    assert progress.text(4.0) == "0 of 4 done · running a 4 s · about 32 s left"
    progress.finish("a", 5.0)  # twice as fast
    assert progress.left(5.0) == 13
    assert Progress(seconds, {}, cores=1).left(0.0) == 0
    assert [spoken(0.2), spoken(80), spoken(400)] == ["1 s", "80 s", "7 min"]
    assert chains(seconds, before) == {"a": 36, "b": 26, "c": 10, "d": 6}


class Terminal(io.StringIO):
    """A stream on which lines can be rewritten."""

    def isatty(self):
        return True


def test_on_a_terminal_one_line_is_rewritten_and_elsewhere_lines_are_printed():
    """What a step has to say stays, above it; where nothing has happened, nothing is printed."""
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        line = Line(stream)
        line.show("1 of 2", happened=True)
        line.show("1 of 2", happened=False)
        line.say("a warning")
        line.close()
    back = "\r\x1b[K"
    assert terminal.getvalue() == f"{back}1 of 2{back}1 of 2{back}a warning\n"
    assert pipe.getvalue() == "1 of 2\na warning\n"


def test_durations_are_those_of_the_last_results_of_an_edition(tmp_path, monkeypatch):
    """Others are left as they were; a chapter that never ran takes a middling time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(durations, "FILE", tmp_path / "durations.yml")
    monkeypatch.setattr(sys, "argv", ["durations", "full"])
    (tmp_path / "durations.yml").write_text("full: {book: 9.0, first: 1.0}\nsmoke: {first: 2.0}\n")
    (tmp_path / "results").mkdir()
    for name, edition, seconds in (("first", "full", 3.0), ("second", "smoke", 5.0)):
        record = {"provenance": {"edition": edition, "seconds": seconds}}
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(record))
    durations.main()
    assert durations.expected("full", ["book", "first", "other"]) == {"book": 9.0, "first": 3.0, "other": 6.0}
    assert durations.expected("smoke", ["first"]) == {"first": 2.0}


@pytest.mark.parametrize("chosen", [{}, {"JAX_COMPILATION_CACHE_DIR": "/elsewhere"}])
def test_what_is_compiled_is_kept_beside_what_studies_found(chosen, tmp_path, monkeypatch):
    """However small it is; a place that the reader has chosen counts."""
    monkeypatch.setattr(os, "environ", {"BEA_REMEMBERED": str(tmp_path), **chosen})
    keep_compiled()
    if chosen:
        assert os.environ.items() >= chosen.items()
    else:
        assert Path(os.environ["JAX_COMPILATION_CACHE_DIR"]).is_relative_to(tmp_path / "compiled")
    assert os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0"


@pytest.mark.parametrize("chosen", [{}, {"MALLOC_ARENA_MAX": "4"}])
def test_processes_keep_the_memory_of_arrays(chosen, monkeypatch):
    """Unless the reader has chosen otherwise."""
    monkeypatch.setattr(os, "environ", dict(chosen))
    keep_memory()
    assert os.environ == MEMORY | chosen


def test_no_grammar_of_addresses_is_parsed_where_notebooks_are_read():
    """Importing it takes a second, in every chapter."""
    code = "import sys, workflow.execute, nbformat.validator; print('lark' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "False\n"


HOW = """import json
from ipykernel.connect import get_connection_file

with open(get_connection_file()) as file:
    assert json.load(file)["transport"] == "ipc", "this kernel is spoken to through ports, which others may take\""""


def test_kernels_need_no_ports(tmp_path, monkeypatch):
    """Neither those that make the book nor nbval's: two that start at once can pick the same port, and one dies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")  # which execute() sets
    cells = [nbformat.v4.new_code_cell(source) for source in ("output = ''", HOW)]
    cells[0].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": SPECIFICATION})
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "11_train_one_layer.ipynb")
    execute("11_train_one_layer", {}, {})
    options = ["-p", "workflow.kernels", "-p", "no:cacheprovider", "--nbval-lax", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path / "results" / "11_train_one_layer.ipynb")]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_set_up_folds_at_the_foot_and_long_tables_fold_where_they_are(made):
    """The first thing on a page is not code; every table can be had as a file."""
    html = (made / "_build/html/results/second.html").read_text()
    foot = html.index("<details class='run'><summary>How this was computed</summary>")
    assert html.index('id="cell-picture"') < foot < html.index('id="cell-parameters"') < html.index('id="cell-setup"')
    assert html.index("images looked at") > foot
    assert re.search(r"<details class=[^>]*sd-dropdown.*?Forty rows.*?</details>", html, re.DOTALL)
    assert len(re.findall(r'<a class="reference download internal"[^>]*second-(?:two|long)\.csv', html)) == 2
    assert 'title="images = 10 · data mnist · commit unknown"' in html
    index = (made / "_build/html/book/index.html").read_text()
    assert "Reproduced when the norm is at least 1.0, contradicted otherwise." in index
    assert re.search(r"images looked at.*?at least 1.*?>20<.*?>10<.*?>20<", index, re.DOTALL)
    assert read(made)["second"]["images"]["full"] == 20
