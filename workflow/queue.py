"""A queue of this machine, for sweeps where there is no cluster: ``python -m workflow.queue SCRIPT`` submits a script.

Scripts wait until one of ``BEA_SLOTS`` places is free, two if it does not say, and print a number as all queues do.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLACES = Path(tempfile.gettempdir()) / f"bea-queue-{os.getuid()}"


def run(script: str, slots: int) -> int:
    """Wait for a place, run the script there, and return its exit status; the system frees the place in any case."""
    PLACES.mkdir(exist_ok=True)
    while True:
        for place in range(slots):
            with open(PLACES / str(place), "w", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                return subprocess.run(["sh", script], check=False).returncode
        time.sleep(0.1)


def main() -> None:
    """Submit a script, or, with ``--wait``, run it when there is a place."""
    script = sys.argv[-1]
    if "--wait" in sys.argv:
        sys.exit(run(script, int(os.environ.get("BEA_SLOTS") or 2)))
    with open(f"{script}.log", "w", encoding="utf-8") as log:
        command = [sys.executable, "-m", "workflow.queue", "--wait", script]
        print(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True).pid)


if __name__ == "__main__":
    main()
