"""``make book``: let Snakemake run what has to run, show its progress, and print the page to open."""

import argparse
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from workflow.dataset import decide
from workflow.plan import SETS, resolve_data_folder

PREFIX = "companion: "  # how the steps mark what a reader should see


def build(set_name: str, cores: int) -> int:
    """Run the workflow in the present folder and return its exit status."""
    start = time.monotonic()
    try:
        decide(set_name)
    except ValueError as error:
        print(error)
        return 1
    log = Path("_build/make.log")
    snakemake = [sys.executable, "-m", "snakemake"]
    if any(Path(".snakemake/locks").glob("*")):  # ours is the only build here, so a killed one left them
        subprocess.run([*snakemake, "--unlock", "--config", f"set={set_name}"], capture_output=True, check=False)
    command = [*snakemake, "--cores", str(cores), "--config", f"set={set_name}"]
    command += ["--quiet", "host", "reason", "rules", "--rerun-incomplete"]
    steps, said, rule = 0, False, ""
    with (
        open(log, "w", encoding="utf-8") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as process,
        _stopped_with(process),
    ):
        for line in process.stdout:
            file.write(line)
            file.flush()
            if finished := re.match(r"Finished jobid: \d+ \(Rule: (\w+)\)", line):
                rule = finished[1]
            elif progress := re.match(r"(\d+) of (\d+) steps", line):
                steps = int(progress[2])
                print(f"{progress[1]} of {steps} steps: {rule} ({time.monotonic() - start:.0f} s)", flush=True)
            elif total := re.match(r"total\s+(\d+)", line):
                print(f"0 of {total[1]} steps", flush=True)
            elif line.startswith(PREFIX):
                said = True
                print(line[len(PREFIX) :], end="", flush=True)
    if process.returncode:
        tail = [] if said else log.read_text(encoding="utf-8").splitlines()[-30:]
        print("\n".join([*tail, f"the book was not made; all output is in {log}"]), file=sys.stderr)
    else:
        took = f"{time.monotonic() - start:.0f} s"
        print(f"{f'{steps} steps' if steps else 'nothing had changed'}, {took}. Open this page in a browser:")
        print(f"  {Path('_build/html/index.html').resolve()}")
    return process.returncode


@contextmanager
def _stopped_with(process):
    """Stop the process and all it started when this one is interrupted or told to end."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print("\ninterrupted; what had finished is kept, and the next call goes on from there", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    """Read the command line and build; one build at a time in a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="full", choices=SETS, dest="set_name")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    resolve_data_folder()
    Path("_build").mkdir(exist_ok=True)
    with open("_build/make.lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another `make book` is running in this folder")
        sys.exit(build(arguments.set_name, arguments.cores))


if __name__ == "__main__":
    main()
