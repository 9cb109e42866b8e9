"""``make test``: make the smoke book in a copy of the tree, then run everything that tests."""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from workflow.plan import resolve_data_folder

COPY = Path("_build/smoke")


def copy_tree(to: Path) -> None:
    """Bring the files of the tree that git does not ignore to ``to``, and remove others that were there before."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    wanted = {name for name in listed if Path(name).is_file()}
    for name in sorted(wanted):
        source, target = Path(name), to / name
        if not target.is_file() or not filecmp.cmp(source, target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    kept = {"results", "_build", ".snakemake"}
    for path in [path for path in to.rglob("*") if path.is_file()]:
        name = path.relative_to(to)
        if name.parts[0] not in kept and name.as_posix() not in wanted:
            path.unlink()


def main() -> None:
    """Run the steps, saying which one it is and how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", default="2")
    cores = parser.parse_args().cores
    start = time.monotonic()
    resolve_data_folder()
    print("1 of 2 steps: the book with smoke parameters", flush=True)
    copy_tree(COPY)
    build = [sys.executable, "-m", "workflow.build", "--set", "smoke", "--cores", cores]
    if subprocess.run(build, cwd=COPY, check=False).returncode:
        sys.exit("the smoke book was not made, so nothing was tested")
    print("2 of 2 steps: the tests, and every notebook once more", flush=True)
    command = [sys.executable, "-m", "pytest", "-n", cores, "--dist", "loadscope", "-p", "workflow.kernels"]
    command += ["--nbval-lax", "--nbval-cell-timeout", "300", "tests", str(COPY / "results")]
    code = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())}, check=False).returncode
    print(f"the tests took {time.monotonic() - start:.0f} s")
    sys.exit(code)


if __name__ == "__main__":
    main()
