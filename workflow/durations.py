"""How long the chapters take: ``durations.yml`` has the seconds of a run from nothing, for every edition.

``python -m workflow.durations EDITION`` (``make durations``) writes them anew from the last build of this edition.
They order the work and tell how much time is left; nothing else depends on them.
"""

import json
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from bea.files import write_text
from workflow.editions import folder

FILE = Path(__file__).with_name("durations.yml")
BOOK = "book"  # the rule that renders
HEADER = "# Seconds from nothing, a chapter a core, on two cores. Written by `make durations`.\n"


def expected(edition: str, names: Iterable[str]) -> dict[str, float]:
    """Return chapter → seconds; one that never ran here is taken for a middling one."""
    known = (yaml.safe_load(FILE.read_text(encoding="utf-8")) or {}).get(edition, {})
    middling = statistics.median(known.values()) if known else 1.0
    return {name: known.get(name, middling) for name in names}


def chains(seconds: Mapping[str, float], before: Mapping[str, Iterable[str]]) -> dict[str, float]:
    """Return chapter → seconds of the longest chain that begins with it, of those that wait for one another.

    Parameters
    ----------
    seconds : mapping of str to float
    before : mapping of str to iterable of str
        Chapter → those that have to run before it.
    """
    found = {}

    def chain(name: str) -> float:
        if name not in found:
            found[name] = 0.0  # ends a circle, which Snakemake reports
            after = [other for other, needs in before.items() if name in needs and other in seconds]
            found[name] = seconds[name] + max(map(chain, after), default=0.0)
        return found[name]

    return {name: chain(name) for name in seconds}


def measured(results: Path, edition: str) -> dict[str, float]:
    """Return chapter → seconds of its last run in this edition."""
    found = {}
    for path in sorted(results.glob("*.json")):
        provenance = json.loads(path.read_text(encoding="utf-8")).get("provenance", {})
        if provenance.get("edition") == edition:
            found[path.stem] = provenance["seconds"]
    return found


def main() -> None:
    """Write what was measured over what the file has."""
    edition = sys.argv[1]
    found = measured(folder(edition) / "results", edition)
    if not found:
        sys.exit(f"durations: expected results of the edition {edition}, found none")
    all_of_them = yaml.safe_load(FILE.read_text(encoding="utf-8")) or {}
    all_of_them[edition] = {BOOK: all_of_them.get(edition, {}).get(BOOK, 120.0)} | found
    write_text(FILE, HEADER + yaml.safe_dump(all_of_them, sort_keys=True))


if __name__ == "__main__":
    main()
