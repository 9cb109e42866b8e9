"""What a chapter needs, found by reading its code: nothing is listed by hand.

A chapter opens with ``chapter = Chapter(...)``. What it says to that name, as literal text, tells the rest:

- ``chapter.networks("tanh")`` waits for the chapter that says ``chapter.keep("tanh", ...)``;
- ``chapter.found("16_pictures", "cell")`` waits for the chapter it names;
- a parameter ``dataset`` waits for the decision on the dataset;
- ``chapter.judge(cell, "B13", ...)``, ``chapter.published("B13")`` and ``chapter.threshold("B13", ...)`` depend on
  that claim: its rule with all thresholds, its data and what is printed of it, but not on how its statement is worded;
- an ``import`` depends on the module, all modules of ours behind it, and numbers stored in a package (.csv, .json).

A chapter that hides any of this, behind a variable or by handing ``chapter`` on, is refused with the cell's name.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.claims import load_claims
from lab.parameters import assigned, cells_of, python
from lab.sources import files_reached

COUNTS = ("rule", "data", "shown", "place", "published", "by_definition")  # of a claim, for the chapter that judges it
# method → where the claim stands among its arguments
CLAIMED = {"judge": 1, "record": 1, "published": 0, "threshold": 0}
FAMILIES = {"networks": None, "keep": 1}  # method → how many of its arguments are families; None for all
WATCHED = {*CLAIMED, *FAMILIES, "found", "inputs"}


@dataclass(frozen=True)
class Said:
    """What the code of a chapter says.

    Attributes
    ----------
    networks : tuple of (str, str)
        Families of trained networks that it reads, each with the cell that names it.
    keeps : tuple of str
        Families that it trains.
    reads : tuple of (str, str)
        Chapters whose numbers it reads, each with the cell that names it.
    claims : tuple of str
        Claims that it judges or quotes.
    dataset : bool
        Whether it is computed from the dataset of the book.
    code : str
        All of its code.
    """

    networks: tuple[tuple[str, str], ...]
    keeps: tuple[str, ...]
    reads: tuple[tuple[str, str], ...]
    claims: tuple[str, ...]
    dataset: bool
    code: str


@dataclass(frozen=True)
class Needs:
    """What a chapter is made of, besides its notebook and its parameters.

    Attributes
    ----------
    chapters : tuple of str
        Those that have to run before.
    dataset : bool
        Whether the dataset has to be decided on before.
    files : tuple of str
        Modules of ours, relative to the root, in alphabetical order.
    claims : str
        Digest of what counts of the claims that it judges.
    """

    chapters: tuple[str, ...]
    dataset: bool
    files: tuple[str, ...]
    claims: str


def all_needs(root: Path = Path()) -> dict[str, Needs]:
    """Return chapter → what it needs, for every notebook.

    Raises
    ------
    ValueError
        For a family that no chapter or more than one keeps, an unknown claim or chapter, and code that hides what it
        needs.
    """
    said = {path.stem: said_by(path) for path in sorted((root / "notebooks").glob("*.ipynb"))}
    claims = load_claims(root / "book" / "claims.yml")
    homes = {}
    for name, chapter in said.items():
        for family in chapter.keeps:
            if homes.get(family, name) != name:
                raise ValueError(
                    f"networks {family!r}: expected one chapter to keep them, {homes[family]} and {name} do"
                )
            homes[family] = name
        for other, cell in chapter.reads:
            if other not in said or other == name:
                raise ValueError(f"{name}, cell {cell!r}: expected another chapter to read from, received {other!r}")
    return {name: _needs(name, chapter, homes, claims, root) for name, chapter in said.items()}


def _needs(name: str, chapter: Said, homes: dict, claims: dict, root: Path) -> Needs:
    before = {}
    for family, cell in chapter.networks:
        if family not in homes:
            known = ", ".join(sorted(homes)) or "none"
            raise ValueError(f"{name}, cell {cell!r}: no chapter keeps networks {family!r}, there are {known}")
        before[homes[family]] = None
    before |= {other: None for other, _ in chapter.reads}
    reached = files_reached(chapter.code, root)
    packages = [path.parent for path in reached if path.name == "__init__.py"]
    stored = [file for package in packages for kind in ("*.csv", "*.json") for file in package.glob(kind)]
    files = {path.relative_to(root).as_posix() for path in (*reached, *stored)}
    for claim in chapter.claims:
        if claim not in claims:
            raise ValueError(f"{name}: expected a claim of book/claims.yml, received {claim!r}")
    counts = {claim: [claims[claim].get(key) for key in COUNTS] for claim in chapter.claims}
    digest = hashlib.sha256(json.dumps(counts).encode()).hexdigest() if counts else ""
    return Needs(tuple(other for other in before if other != name), chapter.dataset, tuple(sorted(files)), digest)


def said_by(path: Path) -> Said:
    """Read a notebook.

    Raises
    ------
    ValueError
        Naming the cell, for code that is not Python, a family, a chapter or a claim that is not literal text, and a
        ``chapter`` that is handed on.
    """
    networks, keeps, reads, claims, code = [], [], [], [], []
    cells = list(_cells(path))
    chapter = next(filter(None, (opens(tree) for _, _, tree in cells)), None)
    for cell, source, tree in cells:
        code.append(source)
        for method, call in _uses(tree, chapter, f"{path.stem}, cell {cell!r}"):
            place = f"{path.stem}, cell {cell!r}: {chapter}.{method}"
            if method in CLAIMED:
                claims += _literals(call.args[CLAIMED[method] :][:1], place, "the id of a claim")
                continue
            if method == "found":
                reads += [(name, cell) for name in _literals(call.args[:1], place, "the name of a chapter")]
                continue
            found = _literals(call.args[: FAMILIES[method]], place, "families")
            networks += [(family, cell) for family in found if method == "networks"]
            keeps += found if method == "keep" else []
    dataset = "dataset" in assigned(path)
    return Said(tuple(networks), tuple(keeps), tuple(reads), tuple(sorted(set(claims))), dataset, "\n".join(code))


def opens(code: str | ast.AST) -> str | None:
    """Return the name that a piece of code gives to its ``Chapter(...)``; None if it opens none."""
    for node in ast.walk(ast.parse(code) if isinstance(code, str) else code):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="Chapter") | ast.Attribute(attr="Chapter")),
            ):
                return name
    return None


def _cells(path: Path) -> Iterator[tuple[str, str, ast.Module]]:
    """Yield id, source and syntax tree of every code cell."""
    for cell, kind, _, source in cells_of(path):
        if kind == "code":
            yield cell, source, python(source, f"{path.stem}, cell {cell!r}")


def _uses(tree: ast.AST, chapter: str | None, place: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls of the methods of ``chapter`` that tell what it needs; refuse what would hide some."""
    nodes, called, spoken_to = list(ast.walk(tree)), {}, set()
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name)) as method) if name == chapter:
                called[id(method)] = node
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=name) as owner, attr=method) if name == chapter:
                spoken_to.add(id(owner))
                if method == "inputs":
                    raise ValueError(f"{place}: {chapter}.inputs hides what is read; call {chapter}.networks")
                if method in WATCHED:
                    if id(node) not in called:
                        raise ValueError(f"{place}: expected a call of {chapter}.{method}, received it as a value")
                    yield method, called[id(node)]
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name == chapter and id(node) not in spoken_to:
                raise ValueError(f"{place}: {chapter} is handed on, which hides what the chapter needs")


def _literals(arguments: list[ast.expr], place: str, what: str) -> list[str]:
    """Return the arguments as text."""
    for argument in arguments:
        if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
            raise ValueError(f"{place}: expected {what} as literal text, received {ast.unparse(argument)}")
    if not arguments:
        raise ValueError(f"{place}: expected {what} as literal text, received nothing")
    return [argument.value for argument in arguments]
