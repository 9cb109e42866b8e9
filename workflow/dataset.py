"""Decide from which dataset the book is computed, and write that to ``results/dataset.json``.

The dataset asked for in ``params.yml`` is used when it can be had. When it is nowhere to be had the embedded digits
take its place and the file says why; a file that is there but wrong stops everything.
"""

import json
import sys
from pathlib import Path

from bea.files import write_text
from lab import datasets
from lab.parameters import common
from workflow.plan import resolve_data_folder


def decide(edition: str) -> None:
    """Write ``results/dataset.json``: what was asked for, what is used, what to say about it, and why it is used.

    The file is left alone when nothing in it changes, so that what depends on it does not run again. A dataset that
    could not be had is asked for again every time.
    """
    resolve_data_folder()
    entry, reason = common()["dataset"], None
    asked = entry.get(edition, entry["full"])
    try:
        data = datasets.load(asked)
    except datasets.DatasetUnavailableError as error:
        reason = str(error)
        print(f"{reason}\ngoing on with the embedded digits", flush=True)
        data = datasets.load("digits")
    content = {"asked": asked, "name": data.name, "note": data.note, "reason": reason, "edition": edition}
    path, text = Path("results/dataset.json"), json.dumps(content, indent=1, ensure_ascii=False)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        write_text(path, text)


if __name__ == "__main__":
    try:
        decide(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
