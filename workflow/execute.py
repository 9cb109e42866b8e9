"""Execute one notebook with papermill and move what it made into place, only if all of it succeeded.

``python -m workflow.execute 11_train_one_layer`` runs it with the parameters of ``params.yml``; ``--edition`` names
another edition, ``-p NAME VALUE`` changes one parameter, ``--to`` another folder for what it makes. It may be called
from any folder, and paths count from there.
"""

import argparse
import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from bea.files import write_text
from lab.memory import contents_of
from lab.parameters import EDITIONS, ROOT, assigned, checked, parse, place, values
from lab.subject import FILES
from lab.trained import names_of, results_of
from workflow.brought import banner, fitted
from workflow.dataset import decide
from workflow.dependencies import all_needs, said_by
from workflow.kernels import AsyncFileKernelManager
from workflow.plan import DONE, LEFT, alone, commit, fail, keep_compiled, keep_memory, resolve_data_folder


def execute(name: str, parameters: dict, provenance: dict, to=Path("results"), wait=False) -> None:
    """Run ``notebooks/<name>.ipynb`` and put the executed notebook and what it wrote into the folder ``to``.

    Another run of it into this folder is an error, or is waited for: a build that was killed leaves one behind.
    """
    if "output" in parameters:
        raise ValueError(f"{name}: parameter 'output' is set by the workflow; use --to for another folder")
    checked(name, parameters)
    running = to / ".running" / name
    with alone(running.with_suffix(".lock"), f"another run of {name} into {to} is under way", wait):
        _execute(name, parameters, provenance, to, running)


def _execute(name: str, parameters: dict, provenance: dict, to: Path, running: Path) -> None:
    shutil.rmtree(running, ignore_errors=True)
    running.mkdir(parents=True)
    parameters = parameters | {"output": os.path.relpath(running, "notebooks")}
    logging.getLogger("papermill").setLevel(logging.ERROR)
    os.environ["PYTHONPATH"] = str(Path.cwd())  # the kernel runs in another folder and shall find this very bea
    executed = running / f"{name}.ipynb"
    notebook, left_out = fitted(nbformat.read(f"notebooks/{name}.ipynb", as_version=4), parameters.get("model", ""))
    nbformat.write(notebook, executed)
    try:
        papermill.execute_notebook(
            str(executed),
            str(executed),
            parameters,
            kernel_name="python3",
            request_save_on_cell_execute=False,  # before and after every cell: seconds a chapter, and nobody reads it
            kernel_manager_class=AsyncFileKernelManager,
            cwd="notebooks",
            progress_bar=False,
            extra_arguments=["--IPKernelApp.log_level=40"],
        )
    except PapermillExecutionError as error:
        cells = nbformat.read(executed, as_version=4).cells
        failed = next(c.id for c in cells if any(o.output_type == "error" for o in c.get("outputs", [])))
        raise RuntimeError(
            f"notebook {name}, cell {failed!r}: {error.ename}: {error.evalue}\nthe notebook up to this cell: {executed}"
        ) from None
    except Exception as error:  # a kernel that dies, a notebook that cannot be read
        raise RuntimeError(f"notebook {name}: {type(error).__name__}: {error}") from error

    content = nbformat.read(executed, as_version=4)
    times = content.metadata.pop("papermill")
    shown = {key: value for key, value in parameters.items() if key not in ("output", "inputs")}
    made = sorted(path.relative_to(running) for path in running.rglob("*") if path.is_file())
    provenance = provenance | {
        "notebook": name,
        "parameters": shown,
        "commit": commit(),
        "seconds": round(times["duration"], 1),
        "files": [path.as_posix() for path in made],
    }
    content.metadata["bea"] = provenance
    for cell in content.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    results = running / f"{name}.json"
    if results.is_file():
        written = json.loads(results.read_text(encoding="utf-8")) | {"provenance": provenance}
        if "brought" in written:
            content.cells.insert(1, banner(parameters, written["brought"], left_out))
        write_text(results, json.dumps(written, indent=1, ensure_ascii=False))
    nbformat.write(content, executed)
    move_into_place(made, running, to, name)


def move_into_place(made: list[Path], running: Path, to: Path, name: str) -> None:
    """Replace what the last run of a notebook left in ``to`` by what this one made."""
    try:
        files = json.loads((to / f"{name}.json").read_text(encoding="utf-8"))["provenance"]["files"]
        before = [path for path in files if (to / path).resolve().is_relative_to(to.resolve())]
    except (OSError, ValueError, KeyError, TypeError):  # no last run, or a damaged file of it: nothing to tidy up
        before = []
    for path in made:
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(running / path, to / path)
    for path in set(before) - {path.as_posix() for path in made}:
        (to / path).unlink(missing_ok=True)
    shutil.rmtree(running)
    lines = [f"{hashlib.sha256((to / path).read_bytes()).hexdigest()}  {path.as_posix()}\n" for path in made]
    for folder, text in ((LEFT, left(to, name, made)), (DONE, "".join(lines))):
        (to / folder).mkdir(exist_ok=True)
        write_text(to / folder / name, text)


def left(results: Path, name: str, made: list[Path]) -> str:
    """Return what other chapters can read of a notebook, as checksums: its networks and its numbers."""
    networks = [path for path in made if path.parts[0] == "networks"]
    lines = [f"{contents_of(results / path)}  {path.as_posix()}\n" for path in networks]
    if (path := results / f"{name}.json").is_file():
        told = json.loads(path.read_text(encoding="utf-8"))
        numbers = json.dumps([told.get(part) for part in ("dataset", "cells", "networks")])
        lines.append(f"{hashlib.sha256(numbers.encode()).hexdigest()}  numbers\n")
    return "".join(lines)


def check_inputs(name: str, inputs: Path, dataset: str | None) -> None:
    """Raise ValueError, naming the chapters to run first and the command, if what they leave is not there.

    The same for networks that were trained on another dataset.
    """
    said = said_by(Path(f"notebooks/{name}.ipynb"))
    try:
        for family, _ in said.networks:
            names_of(inputs, family, dataset)
        for other, _ in said.reads:
            results_of(inputs, other)
    except FileNotFoundError as error:
        before = ", ".join(all_needs()[name].chapters)
        raise ValueError(f"{error}; first run {before}, or all in one go: make chapter NAME={name}") from None


def chosen_values(name: str, edition: str, changes: list[tuple[str, str]], here: Path = Path()) -> dict:
    """Return the parameters of a chapter: those of the edition, the dataset decided on, and the changes as YAML.

    Paths in the changes count from the folder ``here``, as they do where the command was given.

    Raises
    ------
    ValueError, TypeError
        For a change that is not YAML, has no such parameter, or is outside its range.
    """
    chosen = values(name, edition)
    changed = {key: parse(value, f"{name}: parameter {key!r}") for key, value in changes}
    if "dataset" in assigned(Path(f"notebooks/{name}.ipynb")) and not changed.get("model"):
        if not Path("results/dataset.json").is_file():
            decide(edition)
        chosen["dataset"] = json.loads(Path("results/dataset.json").read_text(encoding="utf-8"))["name"]
    chosen = checked(name, chosen | changed)
    if "inputs" in chosen:
        chosen["inputs"] = os.path.relpath(place("inputs", chosen["inputs"], here), "notebooks")
    for key in FILES if "model" in chosen else ():
        chosen[key] = chosen[key] and os.path.relpath(here / chosen[key])
    return chosen


def main() -> None:
    """Read the command line and execute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook")
    parser.add_argument("--edition", default="full", choices=EDITIONS, help="column of params.yml (default: full)")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="changes")
    parser.add_argument("--to", type=Path, help="folder for what it makes (default: that of the book)")
    parser.add_argument("--wait", action="store_true", help="wait for another run into this folder; else an error")
    arguments = parser.parse_args()
    resolve_data_folder()
    here = Path.cwd()
    os.chdir(ROOT)
    keep_compiled()
    keep_memory()
    to = place("output", arguments.to, here)
    try:
        chosen = chosen_values(arguments.notebook, arguments.edition, arguments.changes, here)
        data = Path(chosen["images"]).name if chosen.get("model") else chosen.get("dataset")
        if not chosen.get("model"):  # a network that is brought needs no other chapter
            check_inputs(arguments.notebook, place("inputs", chosen.get("inputs"), Path("notebooks")), data)
        provenance = {"edition": arguments.edition, "dataset": data}
        execute(arguments.notebook, chosen, provenance, to, arguments.wait)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        fail(str(error))


if __name__ == "__main__":
    main()
