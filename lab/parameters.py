"""Parameters of the chapters: one home, ``params.yml``, for name, type, range, meaning and the value in each edition.

papermill takes any name and any value. Here both are checked, before anything is computed, whoever starts the chapter.
"""

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


@cache
def _read(path: Path, _changed: int) -> dict[str, dict[str, dict]]:
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"params.yml: expected YAML, found {' '.join(str(error).split())}") from None
    if not isinstance(sections, dict) or "common" not in sections:
        raise ValueError("params.yml: expected a section for every chapter and one called common")
    for chapter, entries in sections.items():
        for name, entry in (entries or {}).items():
            place = f"params.yml, {chapter}, {name}"
            if not isinstance(entry, dict) or not {"type", "meaning", "full", "smoke"} <= entry.keys() <= KEYS:
                raise ValueError(f"{place}: expected type, meaning, full and smoke, and a range, received {entry!r}")
            for edition in EDITIONS:
                if edition in entry:
                    check(f"{place}, {edition}", entry[edition], entry)
    return {chapter: entries or {} for chapter, entries in sections.items()}


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
