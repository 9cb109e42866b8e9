"""``make soak``: what happens to builds that are killed, again and again, at random moments, and to damaged files.

A small book is built, killed, and finished by the same command (``workflow.kills``), or suffers full disks and the like
(``workflow.mishaps``); loaders get damaged files (``workflow.fuzz``). What was found is written to ``book/status.json``
as it is found, with its date.
"""

import argparse
import json
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from bea.files import write_text
from lab.parameters import ROOT
from workflow.fuzz import fuzz, loaders
from workflow.kills import WHOM, soak
from workflow.mishaps import MISHAPS, suffer
from workflow.plan import alone, commit
from workflow.small_book import RENDER, TRAININGS, environment, small_book

STATUS = ROOT / "book" / "status.json"
PACE = 0.25  # seconds a study of the small book takes


def keep(part: str, name: str | None, entry: dict) -> None:
    """Put what was found into the status, at once: a soak takes long. Without a name it is all of that part."""
    with alone(ROOT / "_build" / "status.lock", "", wait=True):
        status = json.loads(STATUS.read_text(encoding="utf-8")) if STATUS.is_file() else {}
        status[part] = status.get(part, {}) | {name: entry} if name else entry
        write_text(STATUS, json.dumps(status, indent=1, ensure_ascii=False))
    print(part, name or "", entry, flush=True)


def main() -> None:
    """Kill, fuzz, and write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help=f"of each of {', '.join(WHOM)}")
    parser.add_argument("--with-pages", type=int, default=3, help="as many more, of builds that render the pages too")
    parser.add_argument("--inputs", type=int, default=100_000, help="damaged files a loader")
    parser.add_argument("--only", nargs="*", help="loaders and mishaps, perhaps none; all if left out")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "_build", help="where to work, not below /tmp; in memory is quicker"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    now = {"date": datetime.now(UTC).date().isoformat(), "commit": commit()}
    arguments.folder.mkdir(exist_ok=True)

    def chosen(name: str) -> bool:
        return arguments.only is None or name in arguments.only

    with TemporaryDirectory(dir=arguments.folder) as folder:
        for name, kills in (("results", arguments.kills), ("pages", arguments.with_pages)):
            if kills:
                tree = small_book(Path(folder) / name)
                if name == "results":
                    (tree / "workflow" / "render.py").write_text(RENDER)

                def report(found: Counter, name=name) -> None:
                    keep("kills", name, now | {"found": dict(found)})

                soak(tree, environment(tree, BEA_PACE=str(PACE)), kills, report, arguments.seed, TRAININGS * PACE)
        if mishaps := [name for name in MISHAPS if chosen(name)]:
            suffer(Path(folder), mishaps, lambda name, found: keep("faults", name, now | {"found": found}))
        for loader in loaders(Path(folder)):
            if chosen(loader.name):
                found = fuzz(loader, arguments.inputs, Path(folder), arguments.seed)
                for path in Path(folder).glob("failed-*"):  # what it was that failed
                    shutil.move(path, ROOT / "_build" / path.name)
                found["slowest"] = round(found["slowest"], 3)
                keep("loaders", loader.name, now | {"number": arguments.inputs, "found": dict(found)})


if __name__ == "__main__":
    main()
