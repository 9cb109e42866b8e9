"""``make test``: make the smoke book in a copy of the tree, then run everything that tests.

Making the book executes every notebook once. A second time only ``AGAIN`` are run, by nbval, which compares the outputs
of cells tagged ``nbval-check-output`` with those of the first.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from workflow.build import begin, interruptible, whole_number
from workflow.editions import folder, run_in

EDITION = "smoke"
COPY = folder(EDITION)
AGAIN = ("one_layer",)  # quick ones


def main() -> None:
    """Run the steps, saying which one it is and how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", default="2")
    cores = str(whole_number(parser.parse_args().cores))
    start = time.monotonic()
    begin(EDITION)
    print("1 of 2 steps: the book with smoke parameters", flush=True)
    if code := run_in(EDITION, "workflow.build", "--edition", EDITION, "--cores", cores):
        print("the smoke book was not made, so nothing was tested", file=sys.stderr)
        sys.exit(code)
    print("2 of 2 steps: the tests", flush=True)
    command = [sys.executable, "-m", "pytest", "-n", cores, "--dist", "loadscope", "-p", "workflow.kernels"]
    command += ["--nbval-lax", "--nbval-cell-timeout", "300", "tests"]
    command += [str(COPY / "results" / f"{name}.ipynb") for name in AGAIN]
    code = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())}, check=False).returncode
    print(f"the tests took {time.monotonic() - start:.0f} s")
    sys.exit(code)


if __name__ == "__main__":
    interruptible(main)
