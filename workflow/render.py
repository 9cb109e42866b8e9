"""Render the book with Jupyter Book; a warning is an error."""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run ``jupyter-book build -W -n --keep-going`` and exit with what it returns."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    log = Path("_build/render.log")
    log.parent.mkdir(exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        code = subprocess.run(
            [*command, "build", ".", "-W", "-n", "--keep-going"], stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code:
        lines = log.read_text(encoding="utf-8").splitlines()
        important = [line for line in lines if "WARNING" in line or "ERROR" in line or "rror:" in line]
        report = ["jupyter-book build failed:", *(important or lines)[-30:], f"all of it: {log}"]
        sys.exit("\n".join(f"companion: {line}" for line in report))


if __name__ == "__main__":
    main()
