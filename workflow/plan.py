"""Read ``params.yml`` and find out what a notebook depends on."""

import hashlib
import json
import os
import re
from pathlib import Path

from lab.parameters import EDITIONS
from lab.sources import files_reached

SETS = EDITIONS
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


def modules_of(notebook: str) -> list[str]:
    """Return the files of our packages that a notebook imports, directly or not, in alphabetical order."""
    cells = json.loads(Path(f"notebooks/{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return sorted(path.as_posix() for path in files_reached(code, Path()))
