"""``make soak``: what happens to builds that are killed, again and again, at random moments, and to damaged files.

A book of two small chapters (``tests/tiny.py``, its pages left out) is built, and killed with signal 9: the kernel,
Snakemake with who started it, or the whole group, in turn. Afterwards the same command has to finish. A fault is
repeated work (a study that had been remembered is computed again), a result other than that of an undisturbed build,
or a command that needs a hand. What was found is written to ``book/status.json``, with its date.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from bea.files import write_text
from lab.parameters import ROOT
from workflow.compare import fingerprint
from workflow.plan import alone, commit

STATUS = ROOT / "book" / "status.json"
WHOM = ("kernel", "workflow", "group")
BUILD = (sys.executable, "-m", "workflow.build", "--edition", "smoke", "--cores", "2")


def family(process: subprocess.Popen) -> list[psutil.Process]:
    """Return a process and all that it has started."""
    try:
        own = psutil.Process(process.pid)
        return [own, *own.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def victims(whom: str, members: list[psutil.Process]) -> list[psutil.Process]:
    """Return whom to kill: the ``kernel``, the ``workflow`` (Snakemake and who started it), or all the ``group``."""

    def says(member: psutil.Process, word: str) -> bool:
        try:
            return word in " ".join(member.cmdline())
        except psutil.Error:
            return False

    if whom == "group":
        return members
    words = ("ipykernel",) if whom == "kernel" else ("snakemake", "workflow.build")
    return [member for member in members if any(says(member, word) for word in words)]


def killed_build(tree: Path, environment: dict, whom: str, after: float) -> bool:
    """Build, kill ``whom`` after some seconds, orphans going on; return whether there was anybody to kill."""
    with open(tree / "_build.out", "wb") as out:
        process = subprocess.Popen(BUILD, cwd=tree, env=environment, stdout=out, stderr=out, start_new_session=True)
    end, hit = time.monotonic() + after, False
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    members = family(process)
    chosen = victims(whom, members)
    for member in chosen:
        try:
            member.send_signal(signal.SIGKILL)
            hit = True
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(chosen, timeout=20)
    return hit


def soak(tree: Path, environment: dict, kills: int, longest: float, seed: int = 0) -> Counter:
    """Kill builds of a tree, starting each time from where the last one ended, and count what went wrong.

    Parameters
    ----------
    tree : Path
        A small book of which nothing is made.
    environment : dict
        Of the builds.
    kills : int
        How many, shared out to the three kinds in turn.
    longest : float
        Seconds after which a build is killed at the latest.
    seed : int

    Returns
    -------
    Counter
        ``kills`` of each kind, ``nobody`` to kill any more, ``lost`` results, ``repeated`` studies, ``refused`` builds.
    """
    rng, found = np.random.default_rng(seed), Counter()
    trace = tree / "trace" / "calls"

    def finish() -> bool:
        done = subprocess.run(BUILD, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            found["refused"] += 1
            found[f"said: {(done.stdout + done.stderr)[-200:]}"] += 1
        return not done.returncode

    def forget() -> None:
        for name in ("results", "_build", ".snakemake"):
            shutil.rmtree(tree / name, ignore_errors=True)
        trace.unlink(missing_ok=True)

    if not finish():
        return found
    whole, studies = fingerprint(tree / "results"), sorted(trace.read_text().split())
    for number in range(kills):
        forget()
        whom = WHOM[number % len(WHOM)]
        found[f"{whom}, killed" if killed_build(tree, environment, whom, rng.uniform(0.5, longest)) else "nobody"] += 1
        before = Counter(trace.read_text().split() if trace.is_file() else [])
        remembered = {path.name for path in (tree / "_build/remembered").rglob("norms-*.npz")}
        if not finish():
            continue
        after = Counter(trace.read_text().split())
        # A study that was killed before its result was kept is computed once more, and no other.
        if sum((after - before).values()) > len(studies) - len(remembered):
            found["repeated"] += 1
        if fingerprint(tree / "results") != whole:
            found["lost"] += 1
    return found


def keep(part: str, name: str | None, entry: dict) -> None:
    """Put what was found into the status, at once: a soak takes long."""
    with alone(ROOT / "_build" / "status.lock", "", wait=True):
        status = json.loads(STATUS.read_text(encoding="utf-8")) if STATUS.is_file() else {}
        status[part] = status.get(part, {}) | {name: entry} if name else entry
        write_text(STATUS, json.dumps(status, indent=1, ensure_ascii=False))
    print(part, name or "", entry, flush=True)


def main() -> None:
    """Kill, fuzz, and write down what came of it."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tiny import RENDER, environment, tiny_tree
    from workflow.fuzz import fuzz, loaders

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=150)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds until a build is killed at the latest")
    parser.add_argument("--inputs", type=int, default=100_000, help="damaged files a loader")
    parser.add_argument("--only", nargs="*", help="loaders; all if left out")
    parser.add_argument("--folder", type=Path, help="where to work; one in memory is quicker")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    now = {"date": datetime.now(UTC).date().isoformat(), "commit": commit()}
    with TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.kills:
            tree = tiny_tree(Path(folder) / "tree")
            (tree / "workflow" / "render.py").write_text(RENDER)
            found = soak(tree, environment(tree), arguments.kills, arguments.longest, arguments.seed)
            keep("kills", None, now | {"number": arguments.kills, "found": dict(found)})
        if arguments.inputs:
            for loader in loaders(Path(folder)):
                if arguments.only is None or loader.name in arguments.only:
                    found = fuzz(loader, arguments.inputs, Path(folder), arguments.seed)
                    found["slowest"] = round(found["slowest"], 3)
                    keep("loaders", loader.name, now | {"number": arguments.inputs, "found": dict(found)})


if __name__ == "__main__":
    main()
