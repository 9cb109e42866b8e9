"""``make slides``: the slides of a class of 90 minutes, from the results of the book; they open without a network."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from workflow.editions import folder
from workflow.render import problems_of

PLACE = Path("_build/slides")
FIRST = "book/slides/index.html"
LEAD_ON = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={FIRST}">\n'


def make(book: Path) -> Path:
    """Make the slides of the book in a folder, and return the page to open."""
    to = book / PLACE
    to.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "sphinx", "-b", "revealjs", "-W", "-n", "--keep-going"]
    command += ["-c", "book/slides", "-d", str(PLACE / ".doctrees"), ".", str(PLACE)]
    log = to / "slides.log"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # the modules of the book
    with open(log, "w", encoding="utf-8") as file:
        run = subprocess.run(command, cwd=book, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
    if run.returncode:
        sys.exit(problems_of(log))
    (to / "index.html").write_text(LEAD_ON, encoding="utf-8")
    return to / "index.html"


def main() -> None:
    """Make the slides of an edition, and print the page to open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edition", default="full")
    arguments = parser.parse_args()
    print(f"Open this page in a browser (S shows the notes):\n  {make(folder(arguments.edition)).resolve()}")


if __name__ == "__main__":
    main()
