"""``make test``: make the smoke book in a copy of the tree, then run everything that tests.

Making the book executes every notebook once. Only a few quick ones run a second time, from nothing and by nbval, which
compares the outputs of cells tagged ``nbval-check-output`` with those of the first.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workflow.build import begin, interruptible, whole_number
from workflow.editions import folder, run_in

EDITION = "smoke"
COPY = folder(EDITION)
COMPARED = 2  # notebooks that run twice
# Every core has a process of its own, and threads of linear algebra besides would wait for each other.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# What JAX compiles for one chapter or test, be it as quick and small as here, is compiled for all.
COMPILED = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}


def compared(results: Path) -> list[Path]:
    """Return the quickest of the executed notebooks that have outputs to compare."""
    seconds = {}
    for path in results.glob("*.ipynb"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if any("nbval-check-output" in cell["metadata"].get("tags", []) for cell in content["cells"]):
            seconds[path] = content["metadata"]["bea"]["seconds"]
    return sorted(seconds, key=seconds.get)[:COMPARED]


def make_and_test(cores: str, scratch: Path) -> int:
    """Make the smoke book and test; return the exit status."""
    os.environ |= {name: "1" for name in ONE_THREAD}
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": str(scratch / "compiled"), **COMPILED}
    print("1 of 2 steps: the book with smoke parameters", flush=True)
    if code := run_in(EDITION, "workflow.build", "--edition", EDITION, "--cores", cores):
        print("the smoke book was not made, so nothing was tested", file=sys.stderr)
        return code
    print("2 of 2 steps: the tests", flush=True)
    command = [sys.executable, "-m", "pytest", "-p", "workflow.kernels"]
    command += ["-n", cores, "--dist", "loadscope", "--no-loadscope-reorder"]
    command += ["--nbval-lax", "--nbval-cell-timeout", "300", "tests", *map(str, compared(COPY / "results"))]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "BEA_REMEMBERED": str(scratch / "remembered")}
    return subprocess.run(command, env=environment, check=False).returncode


def main() -> None:
    """Run the steps, saying which one it is and how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=whole_number, default=2)
    cores = str(parser.parse_args().cores)
    start = time.monotonic()
    begin(EDITION)
    with tempfile.TemporaryDirectory() as scratch:
        code = make_and_test(cores, Path(scratch))
    print(f"the tests took {time.monotonic() - start:.0f} s")
    sys.exit(code)


if __name__ == "__main__":
    interruptible(main)
