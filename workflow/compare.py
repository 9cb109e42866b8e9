"""Compare two books: every number, verdict and published value that both have, and what only one of them has.

``python -m workflow.compare BEFORE AFTER [CHAPTER ...]`` takes two editions, such as full and smoke, or folders of
results. A chapter with another name now is found under its old one by ``RENAMED``. It exits with 1 if a number moved by
more than 1e-9 of itself; with ``--page FILE`` it writes a page instead: verdicts that changed, and what moved most.
With ``--files`` it names every file of the two that is not the same, to the last bit. With ``--keep``, too, it writes
how many there are of two builds of one edition into ``book/status.json``, for the page about running again.
"""

import argparse
import hashlib
import html
import json
import math
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bea.files import write_text
from lab.parameters import EDITIONS
from workflow.editions import folder
from workflow.faults import keep
from workflow.plan import commit

TOLERANCE = 1e-9  # relative
PARTS = ("cells", "claims", "dataset")
MOST = 20  # rows of a chapter on a page
STYLE = "body{font-family:sans-serif;margin:2em auto;max-width:60em}td,th{text-align:left;padding:.1em .6em;\
overflow-wrap:anywhere}table{border-collapse:collapse}tr{border-bottom:1px solid #ccc}"
RENAMED = {  # new name of a chapter → old one
    "10_linear_systems": "primer",
    "11_train_one_layer": "training",
    "12_one_layer": "one_layer",
    "13_deep_closed_form": "backward_error",
    "14_train_deeper": "deep_training",
    "15_table_2": "tables",
    "16_pictures_against_fgsm": "pictures",
    "17_weights_or_input": "beyond",
    "18_data_of_the_attacker": "attacker",
    "20_train_by_hand": "scratch",
    "21_first_hundred_images": "hundred",
    "22_smallest_epsilon": "epsilon",
    "23_law_of_epsilon": "distribution",
    "24_confidence_along_the_ray": "ray",
    "25_ray_or_all_directions": "bridge",
    "26_what_makes_sturdier": "sturdier",
    "30_gradient_and_hessian": "derivatives",
    "31_shallow_models": "logistic",
    "32_attacks_side_by_side": "attacks",
    "33_transfer": "transfer",
    "34_hidden_gradient": "hidden",
    "40_train_lenet": "lenet",
    "41_four_theorems": "audit",
    "42_bounds_as_published": "lower_bounds",
    "43_bounds_against_attacks": "sandwich",
    "44_inside_the_ball": "ball",
    "45_robustness_and_accuracy": "robustness",
}


GONE = object()  # in place of a value that is not there


def changes(before, after, place: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield place, value before and value after for all that ``after`` lacks, as ``GONE``, or has otherwise."""
    if isinstance(before, dict) and before:
        for key, value in before.items():
            here = f"{place}.{key}" if place else key
            if not isinstance(after, dict) or key not in after:
                yield here, value, GONE
            else:
                yield from changes(value, after[key], here)
    elif isinstance(before, list) and isinstance(after, list) and len(after) == len(before):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from changes(*pair, f"{place}.{number}")
    elif _is_number(before) and _is_number(after):
        if not math.isclose(before, after, rel_tol=TOLERANCE, abs_tol=0.0):
            yield place, before, after
    elif before != after:
        yield place, before, after


def differences(before, after, place: str = "") -> Iterator[str]:
    """Yield a line for every value of ``before`` that ``after`` lacks or has otherwise."""
    for where, old, new in changes(before, after, place):
        if new is GONE:
            yield f"{where}: gone, was {_short(old)}"
        elif _is_number(old) and _is_number(new):
            yield f"{where}: {old!r} became {new!r}"
        else:
            yield f"{where}: {_short(old)} became {_short(new)}"


def compare(before: Path, after: Path, chapters=()) -> dict[str, list[str]]:
    """Return chapter → what differs, for all chapters of ``after`` or these."""
    found = {}
    for name, old, one, other in _pairs(before, after, chapters):
        found[name] = [f"new: {old} is not there"]
        if one is not None:
            found[name] = [line for part in PARTS for line in differences(one.get(part), other.get(part), part)]
    return found


def _pairs(before: Path, after: Path, chapters) -> Iterator[tuple[str, Path, dict | None, dict]]:
    """Yield name, file before, content before or None, and content after, for all chapters of ``after`` or these."""
    for path in sorted(after.glob("*.json")):
        if path.stem != "dataset" and (not chapters or path.stem in chapters):
            old = before / path.name
            if not old.is_file():
                old = before / f"{RENAMED.get(path.stem, path.stem)}.json"
            one, other = (
                json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None for file in (old, path)
            )
            yield path.stem, old, one, other


def changed_verdicts(one: dict, other: dict) -> Iterator[tuple[str, str, str]]:
    """Yield claim, verdict before and after, "none" where there is none, of two results of a chapter."""
    for claim in sorted(one.get("claims", {}).keys() | other.get("claims", {}).keys()):
        old, new = (book.get("claims", {}).get(claim, {}).get("verdict", "none") for book in (one, other))
        if old != new:
            yield claim, old, new


def page(before: Path, after: Path, chapters=()) -> str:
    """Return a page in HTML: which verdicts changed, and for each chapter what moved most, relative to what it was."""
    verdicts, sections = [], []
    for name, _, one, other in _pairs(before, after, chapters):
        if one is None:
            sections.append(f"<h2>{html.escape(name)}</h2><p>Only the second has it.</p>")
            continue
        verdicts += [(claim, name, *pair) for claim, *pair in changed_verdicts(one, other)]
        moved = [(_by(old, new), where, _short(old), "gone" if new is GONE else _short(new))
                 for where, old, new in changes(one.get("cells"), other.get("cells"))]  # fmt: skip
        moved.sort(key=lambda row: (-row[0], row[1]))
        rows = [(where, old, new, f"{by:.2%}" if math.isfinite(by) else "") for by, where, old, new in moved[:MOST]]
        more = f"<p>and {len(moved) - MOST} more, which moved less</p>" if len(moved) > MOST else ""
        table = _table(("number", "before", "after", "moved by"), rows) + more if rows else "<p>Nothing moved.</p>"
        sections.append(f"<h2>{html.escape(name)}: {len(moved)} differences</h2>{table}")
    said = _table(("claim", "chapter", "before", "after"), verdicts) if verdicts else "<p>No verdict changed.</p>"
    title = f"{html.escape(str(before))} and {html.escape(str(after))}"
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><h2>Verdicts</h2>{said}{''.join(sections)}</html>"
    )


def _by(old, new) -> float:
    """Return by how much a number moved, relative to what it was; infinity for what is no number or was zero."""
    return abs(new - old) / abs(old) if _is_number(old) and _is_number(new) and old else math.inf


def _table(headers, rows) -> str:
    lines = ["".join(f"<td>{html.escape(str(value))}</td>" for value in row) for row in rows]
    head = "".join(f"<th>{name}</th>" for name in headers)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def hashes(results: Path) -> dict[str, str]:
    """Return file → hash of what a book says: numbers, figures, tables, networks, explorables.

    Not of when and how fast it was made, which stands in a result file beside its numbers and in a Keras archive beside
    its weights. Executed notebooks are left out: they show these files, between the times of their cells.
    """
    return {
        path.relative_to(results).as_posix(): hashlib.sha256(_lasting(path)).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file() and not path.relative_to(results).parts[0].startswith(".") and path.suffix != ".ipynb"
    }


def _lasting(path: Path) -> bytes:
    """Return the content of a file without when and how fast it was made."""
    if path.suffix == ".json":
        said = json.loads(path.read_text(encoding="utf-8"))
        for word in ("seconds", "commit"):
            said.get("provenance", {}).pop(word, None)
        return json.dumps(said).encode()
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in sorted(archive.namelist())}
        metadata = json.loads(members.pop("metadata.json"))
        metadata.pop("date_saved", None)
        return b"".join([json.dumps(metadata).encode(), *members.values()])
    return path.read_bytes()


def different_files(before: Path, after: Path) -> dict[str, str]:
    """Return file → how it differs, for every file that two folders of results do not have alike."""
    one, other = hashes(before), hashes(after)
    said = {name: "only in one of them" for name in one.keys() ^ other.keys()}
    said |= {name: "another content" for name in one.keys() & other.keys() if one[name] != other[name]}
    return {name: said[name] for name in sorted(said)}


def twice(before: Path, after: Path) -> tuple[str, dict]:
    """Return the edition of two folders of results, and what they have alike.

    That is how many ``files`` the two have, how many are the ``same``, how many of each chapter are not (``others``),
    how many ``verdicts`` differ, and the ``commits`` at which the chapters of either were made.

    Raises
    ------
    ValueError
        If they are not of one edition.
    """
    pairs = [(one or {}, other) for _, _, one, other in _pairs(before, after, ())]
    made = [[pair[side]["provenance"] for pair in pairs if pair[side]] for side in (0, 1)]
    editions = [sorted({one["edition"] for one in some}) for some in made]
    if editions[0] != editions[1] or len(editions[0]) != 1:
        raise ValueError(f"{before}, {after}: expected builds of one edition, found {editions[0]} and {editions[1]}")
    chapter_of = {file: one["notebook"] for some in made for one in some for file in one["files"]}
    different, files = different_files(before, after), hashes(before).keys() | hashes(after).keys()
    return editions[0][0], {
        "files": len(files),
        "same": len(files) - len(different),
        "others": dict(Counter(chapter_of.get(name, name) for name in different)),
        "verdicts": sum(len(list(changed_verdicts(*pair))) for pair in pairs),
        "commits": [sorted({one["commit"] for one in some}) for some in made],
    }


def results_of(name: str) -> Path:
    """Return the folder of results of an edition or, where a name is none, the folder of this name.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    found = folder(name) / "results" if name in EDITIONS else Path(name)
    if not found.is_dir():
        raise FileNotFoundError(f"expected one of {', '.join(EDITIONS)} that was made, or a folder, found no {found}")
    return found


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:160]} …"


def main() -> None:
    """Print what differs, chapter by chapter or file by file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("chapters", nargs="*")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write a page instead of lines")
    parser.add_argument("--files", action="store_true", help="name the files that are not the same to the last bit")
    parser.add_argument("--keep", action="store_true", help="write how many are the same into book/status.json")
    arguments = parser.parse_args()
    if arguments.keep and not arguments.files:
        parser.error("--keep: expected --files, too")
    try:
        before, after = map(results_of, (arguments.before, arguments.after))
        if arguments.keep:
            edition, found = twice(before, after)
            keep("twice", edition, {"date": datetime.now(UTC).date().isoformat(), "commit": commit(), **found})
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    if arguments.page:
        arguments.page.parent.mkdir(parents=True, exist_ok=True)
        write_text(arguments.page, page(before, after, arguments.chapters))
        print(f"Open this page in a browser:\n  {arguments.page.resolve()}")
        return
    if arguments.files:
        lines = [f"{name}: {said}" for name, said in different_files(before, after).items()]
        print(*lines, f"{len(lines)} of {len(hashes(after))} files are not the same", sep="\n")
        sys.exit(bool(lines))
    found = compare(before, after, arguments.chapters)
    for chapter, lines in found.items():
        print(f"{chapter}: {len(lines)} differences", *lines, sep="\n  ")
    sys.exit(any(found.values()))


if __name__ == "__main__":
    main()
