"""Render the book with Jupyter Book; a warning is an error."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from workflow.build import whole_number
from workflow.plan import DONE, LEFT, fail

JUPYTER_BOOK = [
    sys.executable,
    "-c",
    "import workflow; from jupyter_book.cli.main import main; main()",
]  # workflow first: see there


def render(folder: Path, *options: str, log: Path | None = None) -> tuple[int, Path]:
    """Run ``jupyter-book build`` on a folder; return its exit status and where everything it said is."""
    log = log or folder / "_build" / "render.log"
    log.parent.mkdir(exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        command = [*JUPYTER_BOOK, "build", str(folder), *options]
        return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode, log


def render_alone(chapter: str, made: Path, folder: Path, quoted: Path | None = Path("results")) -> Path:
    """Render one chapter as a book of its own, and return its page.

    Parameters
    ----------
    chapter : str
    made : Path
        Folder of results with this chapter's.
    folder : Path
        Of the book.
    quoted : Path, optional
        Folder of results that it quotes of others; None for a chapter about a network that a reader has brought.
    """
    results = folder / "results"
    shutil.rmtree(results, ignore_errors=True)
    (folder / "book").unlink(missing_ok=True)
    for source in filter(None, (quoted, made)):
        for path in source.rglob("*"):
            place = path.relative_to(source)
            if path.is_file() and place.parts[0] not in ("networks", DONE, LEFT, ".running"):
                (results / place).parent.mkdir(parents=True, exist_ok=True)
                (results / place).unlink(missing_ok=True)
                (results / place).symlink_to(path.resolve())
    (folder / "book").symlink_to(Path("book").resolve())
    shutil.copyfile("_config.yml", folder / "_config.yml")
    (folder / "_toc.yml").write_text(f"format: jb-book\nroot: results/{chapter}\n", encoding="utf-8")
    code, log = render(folder)  # links to pages that are not here are no error
    if code:
        raise RuntimeError(f"jupyter-book build failed, all of it: {log}")
    return folder / "_build" / "html" / "results" / f"{chapter}.html"


def problems_of(log: Path) -> str:
    """Return what a reader should see of the log of a build that failed."""
    lines = log.read_text(encoding="utf-8").splitlines()
    important = [line for line in lines if "WARNING" in line or "ERROR" in line or "rror:" in line]
    return "\n".join(["jupyter-book build failed:", *(important or lines)[-30:], f"all of it: {log}"])


def main() -> None:
    """Render the book of the present folder, and exit with what Jupyter Book returns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=whole_number, default=1, help="processes that write pages (default: 1)")
    os.environ["BEA_CORES"] = str(parser.parse_args().cores)
    code, log = render(Path(), "-W", "-n", "--keep-going")
    if code:
        fail(problems_of(log))


if __name__ == "__main__":
    main()
