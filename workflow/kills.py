"""Builds of a small book that are killed with signal 9 at random moments, and finished by the same command.

A fault is repeated work (a study that had been remembered, or a chapter that had finished, is computed again), a result
or a page other than that of an undisturbed build, or a command that needs a hand.
"""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from workflow.plan import DONE

# whom → words in the command lines of those who are killed; None for all. A training is its kernel and who drives it.
WHOM = {
    "kernel": ("ipykernel",),
    "training": ("ipykernel", "workflow.execute"),
    "workflow": ("snakemake", "workflow.build"),
    "group": None,
}
FAULTS = ("lost", "repeated", "refused")
BUILD = (sys.executable, "-m", "workflow.build", "--edition", "smoke", "--cores", "2")
LOOK = 0.05  # seconds
OUT = "killed.log"
MADE = ("results", "_build", ".snakemake", "trace")


def family(process: subprocess.Popen) -> list[psutil.Process]:
    """Return a process and all that it has started."""
    try:
        own = psutil.Process(process.pid)
        return [own, *own.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def victims(whom: str, members: list[psutil.Process]) -> list[psutil.Process]:
    """Return whom of a family to kill, one of ``WHOM``."""

    def says(member: psutil.Process, word: str) -> bool:
        try:
            return word in " ".join(member.cmdline())
        except psutil.Error:
            return False

    words = WHOM[whom]
    return members if words is None else [one for one in members if any(says(one, word) for word in words)]


def calls(tree: Path) -> list[str]:
    """Return the names of the studies and trainings that were begun in a small book."""
    path = tree / "trace" / "calls"
    return path.read_text().split() if path.is_file() else []


def finished(tree: Path) -> dict[str, int]:
    """Return chapter → when its record of a good run was written, in nanoseconds."""
    found = {}
    for path in (tree / "results" / DONE).glob("[!p]*"):  # not one that is partial
        found[path.name] = path.stat().st_mtime_ns
    return found


def remembered(tree: Path) -> int:
    """Return of how many studies the results are kept."""
    return sum(not path.name.startswith("partial-") for path in (tree / "_build" / "remembered").rglob("*.npz"))


def killed_build(tree: Path, environment: dict, whom: str, after: float) -> str:
    """Build and kill: ``after`` some seconds, which count from the first kernel, or from the first training.

    Returns "killed"; or, when it ended before, "over" and "refused".
    """
    with open(tree / OUT, "wb") as out:
        process = subprocess.Popen(BUILD, cwd=tree, env=environment, stdout=out, stderr=out, start_new_session=True)

    def wait_for(what: Callable[[], list]) -> list:
        while process.poll() is None:
            if found := what():
                return found
            time.sleep(LOOK)
        return []

    def who() -> list[psutil.Process]:
        return victims(whom, family(process))

    begun = len(calls(tree))
    if whom in ("kernel", "training"):
        wait_for(who if whom == "kernel" else lambda: calls(tree)[begun:])
    end = time.monotonic() + after
    while process.poll() is None and time.monotonic() < end:
        time.sleep(min(LOOK, max(0.0, end - time.monotonic())))
    chosen = wait_for(who)
    for member in chosen:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    code = process.wait()
    psutil.wait_procs(chosen, timeout=20)
    return "killed" if chosen else "refused" if code else "over"


def fingerprint(tree: Path) -> dict[str, str]:
    """Return file → hash of what a reader sees: numbers, figures, tables, networks, pages, without how long it took."""
    found = {}
    for path in sorted([*(tree / "results").rglob("*.*"), *(tree / "_build" / "html" / "results").rglob("*.html")]):
        name = path.relative_to(tree).as_posix()
        if path.is_file() and "/.running/" not in name:
            content = path.read_bytes()
            if path.suffix == ".json":
                told = json.loads(content)
                told.get("provenance", {}).pop("seconds", None)
                content = json.dumps(told).encode()
            elif path.suffix == ".ipynb":  # papermill names a cell at random
                told = json.loads(content)["cells"]
                content = json.dumps([[cell["source"], cell.get("outputs")] for cell in told]).encode()
            elif path.suffix == ".html":
                content = re.sub(rb"\b\d+(\.\d+)? s\b", b"", content)
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def forget(tree: Path) -> None:
    """Remove all that builds have made in a tree."""
    for name in MADE:
        shutil.rmtree(tree / name, ignore_errors=True)
    (tree / "trace").mkdir()


def undisturbed(tree: Path, environment: dict) -> tuple[dict[str, str], list[str], float]:
    """Build a tree of which nothing is made; return its ``fingerprint``, the studies it called, and the seconds.

    Raises
    ------
    RuntimeError
        If that does not succeed.
    """
    forget(tree)
    start = time.monotonic()
    done = subprocess.run(BUILD, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"small book: expected an undisturbed build to succeed, received {done.stdout}{done.stderr}")
    return fingerprint(tree), calls(tree), time.monotonic() - start


@dataclass(frozen=True)
class State:
    """What a small book had when a build of it began: studies ``begun`` and ``kept``, and chapters ``finished``."""

    begun: int
    kept: int
    finished: dict[str, int]

    @classmethod
    def of(cls, tree: Path) -> "State":
        """Return that of a tree."""
        return cls(len(calls(tree)), remembered(tree), finished(tree))

    def repeated(self, tree: Path, studies: int) -> Counter:
        """Return whether a build has ``repeated`` one of so many ``studies``, and how many chapters have run ``twice``.

        A study that was stopped before its result was kept is begun once more, and no other. A chapter is run twice
        where it had finished, but nobody was left to note how it was made; it finds its studies remembered.
        """
        begun, now = len(calls(tree)) - self.begun, finished(tree)
        twice = sum(now.get(name, when) != when for name, when in self.finished.items())
        return Counter({"repeated": begun > max(studies - self.kept, 0), "twice": twice})


def again(tree: Path, environment: dict, whole: dict[str, str], studies: int) -> Counter:
    """Finish a build that was disturbed, by the same command, and return what of ``FAULTS`` is wrong with it then.

    Parameters
    ----------
    tree, environment
        Of the small book.
    whole : dict
        ``fingerprint`` of an undisturbed build.
    studies : int
        How many it calls.
    """
    before = State.of(tree)
    done = subprocess.run(BUILD, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return Counter({"refused": 1, f"said: {(done.stdout + done.stderr)[-200:]}": 1})
    return before.repeated(tree, studies) + Counter({"lost": fingerprint(tree) != whole})


def soak(
    tree: Path, environment: dict, kills: int, report: Callable[[Counter], None], seed: int = 0, training: float = 0.5
) -> Counter:
    """Kill builds of a tree, finish them by the same command, and count what went wrong.

    A build goes on from what the one that was killed before has left; when all kinds have been killed, or it is over
    before, it is finished and compared with an undisturbed one, and the next begins with nothing.

    Parameters
    ----------
    tree : Path
        A small book.
    environment : dict
        Of the builds.
    kills : int
        How many of each of ``WHOM``; a build that was over before anybody was killed does not count.
    report : function
        Told what was found so far after every build: a soak takes long, and may be killed itself.
    seed : int
    training : float
        Seconds that the trainings of the book take.

    Returns
    -------
    Counter
        Kills of each kind, builds that were ``over`` before and that were ``finished``, and of ``FAULTS`` and
        chapters that ran ``twice`` how many.

    Raises
    ------
    RuntimeError
        If an undisturbed build fails, or makes something else than another one.
    """
    rng, found = np.random.default_rng(seed), Counter()
    first, *_ = undisturbed(tree, environment)  # compiles the modules
    whole, studies, seconds = undisturbed(tree, environment)
    if first != whole:
        differ = sorted(name for name in first.keys() | whole.keys() if first.get(name) != whole.get(name))
        raise RuntimeError(f"small book: expected two builds to make the same, received others of {', '.join(differ)}")
    longest = {"kernel": seconds / 2, "training": training, "workflow": seconds, "group": seconds}
    while turns := [whom for whom in rng.permutation(list(WHOM)).tolist() if found[whom] < kills]:
        forget(tree)
        if found["training"] <= min(found[whom] for whom in WHOM):  # it comes early in a build, if at all
            turns.sort(key=lambda whom: whom != "training")
        for whom in turns:
            before = State.of(tree)
            end = killed_build(tree, environment, whom, rng.uniform(0.0, longest[whom]))
            # Moments are spread over the whole of a build, however long it takes just now.
            longest[whom] *= 1.05 if end == "killed" else 0.8
            found.update([whom if end == "killed" else end])
            found += before.repeated(tree, len(studies))
            report(found)
            if end != "killed":
                break
        found.update(again(tree, environment, whole, len(studies)) + Counter(["finished"]))
        report(found)
    return found
