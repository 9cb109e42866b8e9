"""What ``sweeps.yml`` says: which study or chapter is called with which values, and how the calls are shared out."""

import hashlib
import importlib
import itertools
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import datasets
from lab.parameters import EDITIONS, ROOT, declared, parse
from lab.sources import files_reached
from workflow.dependencies import said_by

KEYS = {
    *("title", "study", "chapter", "dataset", "lists", "together", "fixed", "gather", "a_process", "needs", "figure"),
    *EDITIONS,
}
MAPPINGS = ("lists", "fixed", "gather", "needs", "figure")
NEEDS = ("cores", "memory", "minutes")
FIGURE = {"x", "y", "label", "form", "published"}
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Sweep:
    """One sweep in one edition.

    Attributes
    ----------
    name, title : str
    study : str
        ``MODULE.FUNCTION`` of studies, or "".
    chapter : str
        Name of a notebook, or "".
    dataset : str or None
        What the study gets first.
    lists : dict
        Parameter → its values.
    together : tuple of str
        Lists that are handed over whole.
    fixed : dict
        Other parameters.
    gather : dict
        Column → ``cell.key`` of the chapter's results.
    a_process : int
        Calls in one process.
    needs : dict
        ``cores``, ``memory`` (MB) and ``minutes`` of a process.
    figure : dict
        Columns ``x`` and ``y``, ``label`` and ``form`` of y, and perhaps a ``published`` value.
    edition : str
    """

    name: str
    title: str
    study: str
    chapter: str
    dataset: str | None
    lists: dict
    together: tuple[str, ...]
    fixed: dict
    gather: dict
    a_process: int
    needs: dict
    figure: dict
    edition: str

    def calls(self) -> list[dict]:
        """Return the values of every call, in the order of the lists."""
        apart = {name: values for name, values in self.lists.items() if name not in self.together}
        whole = {name: self.lists[name] for name in self.together} | self.fixed
        return [dict(zip(apart, own, strict=True)) | whole for own in itertools.product(*apart.values())]

    def parts(self) -> list[list[dict]]:
        """Return the calls of every process."""
        calls = self.calls()
        return [calls[start : start + self.a_process] for start in range(0, len(calls), self.a_process)]

    def points(self) -> int:
        """Return how many combinations of values there are."""
        return len(self.calls()) * len(list(itertools.product(*(self.lists[name] for name in self.together))))

    def command(self, python: str) -> str:
        """Return the start of the shell command of every process, run by this Python; ``--part`` or more follows."""
        return f"{shlex.quote(python)} -m workflow.sweep {self.name} --edition {self.edition}"

    def gathered(self, cells: dict) -> dict:
        """Return column → value, from the results of one run of the chapter, cell → values.

        Raises
        ------
        ValueError
            For an address that these do not have.
        """
        row = {}
        for column, address in self.gather.items():
            value, seen = cells, []
            for word in address.split("."):
                known = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
                key = int(word) if isinstance(value, list) and word.isdecimal() else word
                if key not in known:
                    there = ", ".join(map(str, known)) or "nothing more"
                    raise ValueError(
                        f"sweeps.yml, {self.name}, gather, {column}: expected CELL.KEY of {self.chapter}, received "
                        f"{address!r}; {'.'.join(seen) or self.chapter} has {there}"
                    )
                value = value[key]
                seen.append(word)
            row[column] = value
        return row

    def function(self) -> Callable:
        """Return the study."""
        module, _, name = self.study.partition(".")
        return getattr(importlib.import_module(f"studies.{module}"), name)

    def made_of(self) -> str:
        """Return a digest of the program that every call runs and of the data it gets."""
        own = ROOT / (f"studies/{self.study.partition('.')[0]}.py" if self.study else f"notebooks/{self.chapter}.ipynb")
        code = own.read_text(encoding="utf-8") if self.study else said_by(own).code  # found without running any of it
        digest = hashlib.sha256(own.read_bytes())
        for path in sorted(files_reached(code)):
            digest.update(path.read_bytes())
        return json.dumps([self.study, self.chapter, self.dataset, self.edition, self.gather, digest.hexdigest()])

    def key(self, call: dict, made_of: str) -> str:
        """Return the name under which the result of a call is kept."""
        return hashlib.sha256(f"{made_of} {json.dumps(call, sort_keys=True)}".encode()).hexdigest()[:32]


def load(name: str, edition: str = "full", root: Path = ROOT) -> Sweep:
    """Return a sweep of ``sweeps.yml``.

    Raises
    ------
    ValueError
        Naming the sweep and the word, for whatever is missing, unknown or not what it should be.
    """
    found = parse((root / "sweeps.yml").read_text(encoding="utf-8"), "sweeps.yml")
    if not isinstance(found, dict):
        raise ValueError(f"sweeps.yml: expected sweeps by their names, received {found!r}")
    if name not in found or not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"NAME: expected a sweep, one of {', '.join(map(str, found)) or 'none'}, received {name!r}")
    entry, place = found[name], f"sweeps.yml, {name}"
    if not isinstance(entry, dict) or not {"title", "lists", "needs", "figure"} <= entry.keys() <= KEYS:
        raise ValueError(f"{place}: expected title, lists, needs, figure and words out of {sorted(KEYS)}")
    own = entry.get(edition, {})
    for part in (own, *(given.get(word, {}) for given in (entry, own) for word in MAPPINGS if isinstance(given, dict))):
        if not isinstance(part, dict) or not all(isinstance(name, str) for name in part):
            raise ValueError(f"{place}: expected {', '.join(MAPPINGS)} and {edition} with names, received {part!r}")
    lists, fixed = entry["lists"] | own.get("lists", {}), entry.get("fixed", {}) | own.get("fixed", {})
    for word, values in lists.items():
        if (
            not isinstance(values, list)
            or not values
            or len({json.dumps(value, default=str) for value in values}) < len(values)
        ):
            raise ValueError(f"{place}, lists, {word}: expected different values, received {values!r}")
    if bool(entry.get("study")) == bool(entry.get("chapter")):
        raise ValueError(f"{place}: expected either a study or a chapter")
    together = entry.get("together", [])
    if not isinstance(together, list) or not all(isinstance(name, str) for name in together):
        raise ValueError(f"{place}, together: expected names of lists, received {together!r}")
    if not set(together) <= lists.keys() or lists.keys() & fixed.keys() or (together and entry.get("chapter")):
        raise ValueError(f"{place}: expected together out of the lists of a study, and fixed apart from them")
    if entry["needs"].keys() != set(NEEDS) or not all(_counts(value) for value in entry["needs"].values()):
        raise ValueError(f"{place}, needs: expected {', '.join(NEEDS)} from 1 on, received {entry['needs']!r}")
    if not {"x", "y"} <= entry["figure"].keys() <= FIGURE:
        raise ValueError(f"{place}, figure: expected x, y and words out of {sorted(FIGURE)}")
    a_process = own.get("a_process", entry.get("a_process", 1))
    if not _counts(a_process):
        raise ValueError(f"{place}, a_process: expected a number from 1 on, received {a_process!r}")
    study, chapter, gather = entry.get("study", ""), entry.get("chapter", ""), entry.get("gather", {})
    if study and not re.fullmatch(r"\w+\.\w+", str(study)):
        raise ValueError(f"{place}, study: expected MODULE.FUNCTION of studies, received {study!r}")
    if chapter:
        if unknown := (lists.keys() | fixed.keys()) - declared(chapter, root).keys():
            raise ValueError(f"{place}: {chapter} has no parameter {', '.join(sorted(unknown))}")
        if not gather or not all(re.fullmatch(r"[\w-]+(\.[\w-]+)+", str(address)) for address in gather.values()):
            raise ValueError(f"{place}, gather: expected column: CELL.KEY, received {gather!r}")
    if (dataset := entry.get("dataset")) not in [None, *datasets.NAMES]:
        raise ValueError(f"{place}, dataset: expected one of {', '.join(datasets.NAMES)}, received {dataset!r}")
    return Sweep(
        *(name, str(entry["title"]), study, chapter, dataset, lists, tuple(together), fixed, gather),
        *(a_process, entry["needs"], entry["figure"], edition),
    )


def _counts(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
