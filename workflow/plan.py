"""Read ``params.yml`` and find out what a notebook depends on."""

import ast
import hashlib
import json
import os
import re
from functools import cache
from pathlib import Path

import yaml

PACKAGES = ("bea", "lab", "studies")
SETS = ("full", "smoke")
DONE = ".done"  # in results: one file a notebook, the checksums of what its last good run made


def load_parameters(name: str) -> dict:
    """Return one of the two parameter sets of ``params.yml``."""
    sets = yaml.safe_load(Path("params.yml").read_text(encoding="utf-8"))
    if name not in SETS or name not in sets:
        raise ValueError(f"set: expected one of {SETS}, in params.yml, received {name!r}")
    expected = {"dataset"} | {path.stem for path in Path("notebooks").glob("*.ipynb")}
    if set(sets[name]) != expected:
        raise ValueError(
            f"params.yml, set {name}: expected the sections {', '.join(sorted(expected))}, "
            f"received {', '.join(sorted(sets[name]))}"
        )
    return sets[name]


def resolve_data_folder() -> None:
    """Make ``BEA_DATA`` absolute, so that it means the same in the folder where a notebook runs."""
    if os.environ.get("BEA_DATA"):
        os.environ["BEA_DATA"] = str(Path(os.environ["BEA_DATA"]).resolve())
    else:
        os.environ.pop("BEA_DATA", None)


def forget_incomplete(results=Path("results"), book=Path("_build")) -> None:
    """Remove the record of everything whose files are missing or not what was made, so that it is made again."""
    for record in (results / DONE).glob("*"):
        for line in record.read_text(encoding="utf-8").splitlines():
            digest, name = line.split("  ", 1)
            path = results / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                record.unlink()
                break
    pages = re.findall(r"(?:root|file): (\S+)", Path("_toc.yml").read_text(encoding="utf-8"))
    if not all((book / "html" / f"{page}.html").is_file() for page in [*pages, "index"]):
        (book / "book.done").unlink(missing_ok=True)


def modules_of(notebook: str) -> list[str]:
    """Return the files of our packages that a notebook imports, directly or not, in alphabetical order."""
    cells = json.loads(Path(f"notebooks/{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    waiting = set()
    for cell in cells:
        if cell["cell_type"] == "code":
            waiting |= imported("".join(cell["source"]))
    found = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting |= imported(path.read_text(encoding="utf-8"))
    return sorted(path.as_posix() for path in found)


def imported(code: str, root=Path()) -> set[Path]:
    """Return the files of our packages that a piece of code imports itself; a lazy name counts as its module."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in names:
            if module.split(".")[0] in PACKAGES:
                found |= _files(module, name, root)
    return found


def _files(module: str, name: str | None, root: Path) -> set[Path]:
    """Return the files that ``import module`` or ``from module import name`` opens."""
    path = root.joinpath(*module.split("."))
    packages = {parent / "__init__.py" for parent in [path, *path.parents] if (parent / "__init__.py").is_file()}
    if path.with_suffix(".py").is_file():
        return packages | {path.with_suffix(".py")}
    if name and (path / f"{name}.py").is_file():
        return packages | {path / f"{name}.py"}
    if name and (path / name).is_dir():
        return packages | set((path / name).rglob("*.py"))
    home = _lazy_homes(path / "__init__.py").get(name)
    return packages | (_files(home, None, root) if home else set(path.rglob("*.py")))


@cache
def _lazy_homes(init: Path) -> dict[str, str]:
    """Return name → module of a package that opens its modules lazily (see ``bea.lazy``)."""
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "HOMES":
            homes = ast.literal_eval(node.value)
            return {name: module for module, names in homes.items() for name in names.split()}
    return {}
