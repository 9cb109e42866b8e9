"""Execute one notebook with papermill and move what it made into place, only if all of it succeeded.

``python -m workflow.execute training`` runs it with the parameters of ``params.yml``; ``--set`` names another
parameter set, ``-p NAME VALUE`` changes one parameter, ``--to`` another folder for what it makes.
"""

import argparse
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from bea.files import write_text
from workflow.kernels import AsyncFileKernelManager
from workflow.plan import DONE, load_parameters, resolve_data_folder

TYPES = {"int": int, "float": (int, float), "str": str, "bool": bool}


def parameters_of(name: str) -> dict:
    """Return what the parameters cell of a notebook declares: name → type, default and help."""
    notebook = Path("notebooks") / f"{name}.ipynb"
    if not notebook.is_file():
        known = sorted(path.stem for path in Path("notebooks").glob("*.ipynb"))
        raise ValueError(f"notebook: expected one of {', '.join(known)}, received {name!r}")
    return papermill.inspect_notebook(str(notebook))


def check_parameters(name: str, parameters: dict) -> None:
    """Check names and types against the notebook's own parameters cell.

    papermill accepts any name and any type; here both are errors, before anything is executed.

    Raises
    ------
    ValueError
        For an unknown name, and a value outside the range that the comment beside the parameter states.
    TypeError
        For a value of the wrong type.
    """
    declared = parameters_of(name)
    for key, value in parameters.items():
        if key not in declared:
            raise ValueError(f"{name}: unknown parameter {key!r}, expected one of {', '.join(sorted(declared))}")
        expected = declared[key]["inferred_type_name"]
        if not _has_type(value, expected):
            raise TypeError(
                f"{name}: parameter {key!r} must be of type {expected}, "
                f"received {value!r} of type {type(value).__name__}"
            )
        _check_value(name, key, value, declared[key]["help"])


def _check_value(name: str, key: str, value, meaning: str) -> None:
    """Check a value against what the comment in the parameters cell says: "at least 1", "out of a, b"."""
    values = value if isinstance(value, list) else [value]
    problem = None
    if isinstance(value, list) and not (values and len(set(values)) == len(values)):
        problem = "a list of different values, one or more"
    if (least := re.search(r"at least ([-\d.e]*\d)", meaning)) and any(not item >= float(least[1]) for item in values):
        problem = least[0]
    if (allowed := re.search(r"out of ([\w, ]+)", meaning)) and not set(values) <= set(allowed[1].split(", ")):
        problem = f"one {allowed[0]}"
    if problem:
        raise ValueError(f"{name}: parameter {key!r} must be {problem}, received {value!r}")


def _has_type(value, expected: str) -> bool:
    if expected.startswith("list["):
        return isinstance(value, list) and all(_has_type(item, expected[5:-1]) for item in value)
    return isinstance(value, TYPES[expected]) and (expected == "bool" or not isinstance(value, bool))


def commit() -> str:
    """Return the short commit the tree is at, with a plus sign when tracked files differ from it."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed else "")


def execute(name: str, parameters: dict, provenance: dict, to=Path("results")) -> None:
    """Run ``notebooks/<name>.ipynb`` and put the executed notebook and what it wrote into the folder ``to``."""
    if "output" in parameters:
        raise ValueError(f"{name}: parameter 'output' is set by the workflow; use --to for another folder")
    check_parameters(name, parameters)
    running = to / ".running" / name
    shutil.rmtree(running, ignore_errors=True)
    running.mkdir(parents=True)
    parameters = parameters | {"output": os.path.relpath(running, "notebooks")}
    logging.getLogger("papermill").setLevel(logging.ERROR)
    os.environ["PYTHONPATH"] = str(Path.cwd())  # the kernel runs in another folder and shall find this very bea
    executed = running / f"{name}.ipynb"
    try:
        papermill.execute_notebook(
            f"notebooks/{name}.ipynb",
            str(executed),
            parameters,
            kernel_name="python3",
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
    defaults = {key: yaml.safe_load(entry["default"]) for key, entry in parameters_of(name).items()}
    shown = {key: value for key, value in (defaults | parameters).items() if key not in ("output", "inputs")}
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
    nbformat.write(content, executed)
    results = running / f"{name}.json"
    if results.is_file():
        written = json.loads(results.read_text(encoding="utf-8")) | {"provenance": provenance}
        write_text(results, json.dumps(written, indent=1, ensure_ascii=False))
    move_into_place(made, running, to, name)


def move_into_place(made: list[Path], running: Path, to: Path, name: str) -> None:
    """Replace what the last run of a notebook left in ``to`` by what this one made."""
    try:
        before = json.loads((to / f"{name}.json").read_text(encoding="utf-8"))["provenance"]["files"]
    except (OSError, ValueError, KeyError):  # no last run, or a damaged file of it: nothing to tidy up
        before = []
    for path in made:
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(running / path, to / path)
    for path in set(before) - {path.as_posix() for path in made}:
        (to / path).unlink(missing_ok=True)
    shutil.rmtree(running)
    lines = [f"{hashlib.sha256((to / path).read_bytes()).hexdigest()}  {path.as_posix()}\n" for path in made]
    done = to / DONE / name
    done.parent.mkdir(exist_ok=True)
    write_text(done, "".join(lines))


def main() -> None:
    """Read the command line and execute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook")
    parser.add_argument("--set", default="full", dest="set_name", help="parameter set of params.yml (default: full)")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="changes")
    parser.add_argument("--to", type=Path, default=Path("results"), help="folder for what it makes (default: results)")
    arguments = parser.parse_args()
    resolve_data_folder()
    try:
        chosen = load_parameters(arguments.set_name).get(arguments.notebook, {})
        chosen |= {name: yaml.safe_load(value) for name, value in arguments.changes}
        if "dataset" in parameters_of(arguments.notebook):
            decided = json.loads(Path("results/dataset.json").read_text(encoding="utf-8"))
            chosen = {"dataset": decided["name"]} | chosen
        provenance = {"set": arguments.set_name, "dataset": chosen.get("dataset")}
        execute(arguments.notebook, chosen, provenance, arguments.to)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit("\n".join(f"companion: {line}" for line in str(error).splitlines()))


if __name__ == "__main__":
    main()
