"""What a piece of code of ours is made of: the source files it reaches by its imports, found without running it."""

import ast
import hashlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("bea", "lab", "studies")


def files_reached(code: str, root: Path = ROOT) -> set[Path]:
    """Return the files of our packages that a piece of code imports, directly or not."""
    found, waiting = set(), imported(code, root)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting |= _imported_by(path, path.stat().st_mtime_ns, root)
    return found


def imported(code: str, root: Path = ROOT) -> set[Path]:
    """Return the files of our packages that a piece of code imports itself; a lazy name counts as its module."""
    found = set()
    for node in _statements(ast.parse(code).body):
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


def sources_of(code, root: Path = ROOT) -> list[Path]:
    """Return the files that a function or class is made of: its own module and all modules of ours behind it."""
    own = Path(inspect.getsourcefile(code))
    return sorted({own, *files_reached(own.read_text(encoding="utf-8"), root)})


def digest_of(code, root: Path = ROOT) -> str:
    """Return a digest of ``sources_of`` a function or class."""
    digest = hashlib.sha256()
    for path in sources_of(code, root):
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _statements(body: list) -> Iterator[ast.AST]:
    """Yield all statements, those within others too; expressions, most of a tree, are passed over."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, part, []))


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
    init = path / "__init__.py"
    home = _lazy_homes(init, init.stat().st_mtime_ns).get(name) if init.is_file() else None
    return packages | (_files(home, None, root) if home else set(path.rglob("*.py")))


@cache
def _imported_by(path: Path, _changed: int, root: Path) -> frozenset[Path]:
    return frozenset(imported(path.read_text(encoding="utf-8"), root))


@cache
def _lazy_homes(init: Path, _changed: int) -> dict[str, str]:
    """Return name → module of a package that opens its modules lazily (see ``bea.lazy``)."""
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "HOMES":
            homes = ast.literal_eval(node.value)
            return {name: module for module, names in homes.items() for name in names.split()}
    return {}
