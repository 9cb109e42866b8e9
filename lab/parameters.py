"""Parameters of the chapters: one home, ``params.yml``, for name, type, range, meaning and the value in each edition.

papermill takes any name and any value. Here both are checked, before anything is computed, whoever starts the chapter.
"""

import ast
import json
import os
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
EDITIONS = ("full", "smoke", "complete")
TYPES = {"int": int, "float": (int, float), "str": str, "bool": bool}
KEYS = {"type", "least", "most", "of", "multiple", "rising", "meaning", *EDITIONS}


def declared(chapter: str, root: Path = ROOT) -> dict[str, dict]:
    """Return what ``params.yml`` says of a chapter's own parameters: name → type, range, meaning and values.

    Raises
    ------
    ValueError
        For a file that cannot be read, and a chapter that it does not have.
    """
    sections = read(root)
    if chapter not in sections or chapter == "common":
        known = ", ".join(name for name in sections if name != "common")
        raise ValueError(f"chapter: expected one of {known}, received {chapter!r}")
    return sections[chapter]


def common(root: Path = ROOT) -> dict[str, dict]:
    """Return the same for the parameters that every chapter may have: dataset, inputs and output."""
    return read(root)["common"]


def read(root: Path = ROOT) -> dict[str, dict[str, dict]]:
    """Return all of ``params.yml``, checked: chapter → name → type, range, meaning and values.

    Raises
    ------
    ValueError
        Naming the chapter and the parameter, for a value that its own type or range excludes, and for a word that no
        entry may have.
    """
    path = root / "params.yml"
    return _read(path, path.stat().st_mtime_ns)


def place(name: str, given: str | None, here: Path = Path(), root: Path = ROOT) -> Path:
    """Return the folder that ``inputs`` or ``output`` names, as seen from the present one.

    Their default is the folder of the book, wherever a notebook runs; anything else counts from the folder ``here``.
    """
    default = common(root)[name]["full"]
    return Path(os.path.relpath(root / "notebooks" / default if given in (None, default) else here / given))


@cache
def _read(path: Path, _changed: int) -> dict[str, dict[str, dict]]:
    try:
        sections = parse(path.read_text(encoding="utf-8"), "params.yml")
    except UnicodeDecodeError as error:
        raise ValueError(f"params.yml: expected text in UTF-8, received {error}") from None
    if not isinstance(sections, dict) or "common" not in sections:
        raise ValueError("params.yml: expected a section for every chapter and one called common")
    for chapter, entries in sections.items():
        if not isinstance(entries, dict | None):
            raise ValueError(f"params.yml, {chapter}: expected parameters, received {entries!r}")
        for name, entry in (entries or {}).items():
            _check_entry(f"params.yml, {chapter}, {name}", entry)
    return {chapter: entries or {} for chapter, entries in sections.items()}


def _check_entry(place: str, entry) -> None:
    """Raise unless an entry has a type, a meaning, a range of this type, and values that fit."""
    if not isinstance(entry, dict) or not {"type", "meaning", "full", "smoke"} <= entry.keys() <= KEYS:
        raise ValueError(f"{place}: expected type, meaning, full and smoke, and a range, received {entry!r}")
    kind = str(entry["type"]).removeprefix("list[").removesuffix("]")
    if kind not in TYPES or entry["type"] not in (kind, f"list[{kind}]"):
        raise ValueError(
            f"{place}, type: expected one of {', '.join(TYPES)}, or a list[...], received {entry['type']!r}"
        )
    if not isinstance(entry["meaning"], str) or not entry["meaning"]:
        raise ValueError(f"{place}, meaning: expected a few words, received {entry['meaning']!r}")
    if not isinstance(entry.get("rising", True), bool):
        raise ValueError(f"{place}, rising: expected true or false, received {entry['rising']!r}")
    if not isinstance(entry.get("of", []), list):
        raise ValueError(f"{place}, of: expected a list, received {entry['of']!r}")
    for word in ("least", "most", "multiple", "of"):
        for value in entry[word] if word == "of" and word in entry else [entry[word]] if word in entry else []:
            if not _has_type(value, kind):
                raise ValueError(f"{place}, {word}: expected {kind}, received {value!r}")
    for edition in EDITIONS:
        if edition in entry:
            try:
                check(f"{place}, {edition}", entry[edition], entry)
            except TypeError as error:
                raise ValueError(str(error)) from None


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as everybody writes it, and refuses a name that stands twice in a mapping."""

    def construct_mapping(self, node, deep=False):
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := {str(name) for name in names if names.count(name) > 1}:
            raise yaml.YAMLError(f"{', '.join(sorted(twice))} stands twice{node.start_mark}")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+[.]?\d*|[.]\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse(text: str, what: str):
    """Return what YAML says; ``what`` begins the message of the ValueError for text that is none."""
    try:
        return yaml.load(text, _Loader)
    except (OverflowError, RecursionError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{what}: expected YAML, received {' '.join(str(error).split())}") from None


def cells_of(notebook: Path) -> list[tuple[str, str, list, str]]:
    """Return id, kind, tags and source of every cell; ValueError for a file that is no notebook."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return [
            (str(cell["id"]), cell["cell_type"], [*cell["metadata"].get("tags", [])], "".join(cell["source"]))
            for cell in cells
        ]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"{notebook.name}: expected a notebook whose cells have ids, received {said}") from None


def python(source: str, what: str) -> ast.Module:
    """Return the syntax tree of a piece of code; ``what`` begins the message of the ValueError for what is none."""
    try:
        return ast.parse(source)
    except (MemoryError, RecursionError, SyntaxError, ValueError) as error:
        raise ValueError(f"{what}: expected Python, {error}") from None


def assigned(notebook: Path) -> dict:
    """Return the values that a notebook's cell tagged ``parameters`` assigns, name → value.

    Raises
    ------
    ValueError
        For a notebook without such a cell, and for a value that is not literal.
    """
    tagged = [source for _, _, tags, source in cells_of(notebook) if "parameters" in tags]
    if len(tagged) != 1:
        raise ValueError(f"{notebook.name}: expected one cell tagged parameters, found {len(tagged)}")
    found = {}
    for node in python(tagged[0], f"{notebook.name}, cell tagged parameters").body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        try:
            found[target.id] = ast.literal_eval(node.value)
        except (AttributeError, ValueError):
            raise ValueError(f"{notebook.name}: expected NAME = VALUE, received {ast.unparse(node)}") from None
    return found


def check_tree(root: Path = ROOT) -> None:
    """Raise ValueError unless ``params.yml`` and the parameters cells of all notebooks name the same.

    Every cell has the chapter's own parameters and ``output``; every section has its notebook. The values of a cell are
    for who runs a notebook by hand: a build takes those of ``params.yml``.
    """
    sections, shared = read(root), common(root)
    found = {path.stem: assigned(path) for path in sorted((root / "notebooks").glob("*.ipynb"))}
    for chapter in sections.keys() - {"common"} - found.keys():
        raise ValueError(f"params.yml, {chapter}: expected notebooks/{chapter}.ipynb, which is not there")
    for chapter, cell in found.items():
        wanted = sections.get(chapter, {})
        for name in wanted.keys() - cell.keys():
            raise ValueError(f"{chapter}: the parameters cell lacks {name!r}, which params.yml has")
        for name in cell.keys() - wanted.keys() - shared.keys():
            raise ValueError(f"{chapter}: the parameters cell has {name!r}, which params.yml lacks")
        if "output" not in cell:
            raise ValueError(f"{chapter}: the parameters cell lacks 'output'")


def values(chapter: str, edition: str, root: Path = ROOT) -> dict:
    """Return the values of a chapter's own parameters in an edition."""
    if edition not in EDITIONS:
        raise ValueError(f"edition: expected one of {', '.join(EDITIONS)}, received {edition!r}")
    return {name: entry.get(edition, entry["full"]) for name, entry in declared(chapter, root).items()}


def checked(chapter: str, received: Mapping, root: Path = ROOT) -> dict:
    """Return the parameters of a chapter out of these values, after checking every one of them.

    Raises
    ------
    ValueError
        For an unknown name, and a value outside its range.
    TypeError
        For a value of the wrong type.
    """
    entries = declared(chapter, root) | common(root)
    for name, value in received.items():
        if name not in entries:
            raise ValueError(f"{chapter}: unknown parameter {name!r}, expected one of {', '.join(sorted(entries))}")
        check(f"{chapter}: parameter {name!r}", value, entries[name])
    return dict(received)


def check(what: str, value, entry: Mapping) -> None:
    """Raise unless a value has the type and the range of an entry; ``what`` begins the message."""
    kind = entry["type"]
    if not _has_type(value, kind):
        raise TypeError(f"{what} must be of type {kind}, received {value!r} of type {type(value).__name__}")
    several = isinstance(value, list)
    items = value if several else [value]
    problem = None
    if several and not (items and len(set(items)) == len(items)):
        problem = "a list of different values, one or more"
    elif "least" in entry and not all(item >= entry["least"] for item in items):
        problem = f"at least {entry['least']}"
    elif "most" in entry and not all(item <= entry["most"] for item in items):
        problem = f"at most {entry['most']}"
    elif "of" in entry and not set(items) <= set(entry["of"]):
        problem = f"one out of {', '.join(map(str, entry['of']))}"
    elif "multiple" in entry and any(item % entry["multiple"] for item in items):
        problem = f"a multiple of {entry['multiple']}"
    elif entry.get("rising") and not all(one < other for one, other in pairwise(items)):
        problem = "a list in which every value is larger than the one before"
    elif kind.removeprefix("list[").startswith("float") and not all(abs(item) < float("inf") for item in items):
        problem = "finite"
    if problem:
        raise ValueError(f"{what} must be {problem}, received {value!r}")


def range_of(entry: Mapping) -> str:
    """Return the range of an entry in words."""
    words = [f"at {word} {entry[word]}" for word in ("least", "most") if word in entry]
    words += [f"one of {', '.join(map(str, entry['of']))}"] if "of" in entry else []
    words += [f"a multiple of {entry['multiple']}"] if "multiple" in entry else []
    return "; ".join([*words, *(["rising"] if entry.get("rising") else [])])


def _has_type(value, kind: str) -> bool:
    if kind.startswith("list["):
        return isinstance(value, list) and all(_has_type(item, kind[5:-1]) for item in value)
    return isinstance(value, TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
