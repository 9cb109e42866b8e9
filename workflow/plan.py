"""What the steps of the workflow agree on: where the data are, and what the record of a good run is."""

import hashlib
import os
import re
from pathlib import Path

DONE = ".done"  # in results: one file a notebook, the checksums of what its last good run made


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
