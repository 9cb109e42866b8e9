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
from workflow.plan import keep_compiled, keep_memory

EDITION = "smoke"
COPY = folder(EDITION)
COMPARED = 2  # notebooks that run twice
QUICK = {
    # Every core has a process of its own, and threads of linear algebra besides would wait for each other.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # What is small runs no longer than compiling it well would take.
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
}


def compared(results: Path) -> list[Path]:
    """Return the quickest of the executed notebooks that have outputs to compare."""
    seconds = {}
    for path in results.glob("*.ipynb"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if any("nbval-check-output" in cell["metadata"].get("tags", []) for cell in content["cells"]):
            seconds[path] = content["metadata"]["bea"]["seconds"]
    return sorted(seconds, key=seconds.get)[:COMPARED]


def main() -> None:
    """Run the steps, saying which one it is and how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=whole_number, default=2)
    cores = str(parser.parse_args().cores)
    start = time.monotonic()
    begin(EDITION)
    os.environ |= QUICK
    keep_compiled()
    keep_memory()
    print("1 of 2 steps: the book with smoke parameters", flush=True)
    if code := run_in(EDITION, "workflow.build", "--edition", EDITION, "--cores", cores):
        print("the smoke book was not made, so nothing was tested", file=sys.stderr)
        sys.exit(code)
    print("2 of 2 steps: the tests", flush=True)
    command = [sys.executable, "-m", "pytest", "-p", "workflow.kernels"]
    command += ["-n", cores, "--dist", "loadscope", "--no-loadscope-reorder"]
    command += ["--nbval-lax", "--nbval-cell-timeout", "300", "tests", *map(str, compared(COPY / "results"))]
    with tempfile.TemporaryDirectory() as nothing:
        environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "BEA_REMEMBERED": nothing}
        code = subprocess.run(command, env=environment, check=False).returncode
    print(f"the tests took {time.monotonic() - start:.0f} s")
    sys.exit(code)


if __name__ == "__main__":
    interruptible(main)
