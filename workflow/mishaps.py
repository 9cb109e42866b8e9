"""What else can happen to a build: a full disk, a read-only folder, a second build, a clock put back, a full /tmp.

Each is done for real to a small book on a file system of its own, which is mounted for it. The build may end with a
message of its own, not with a traceback; afterwards the same command has to finish, as in ``workflow.kills``.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workflow.kills import BUILD, family, finished, victims

SIZE = "200m"  # of the file system
DAY = 86400.0  # seconds


class NotPermittedError(Exception):
    """What the machine does not let us do, with what it says about it."""


@dataclass(frozen=True)
class Place:
    """A small book at ``tree`` on a file system of its own, mounted at ``disk``, and the environment of its builds."""

    disk: Path
    tree: Path
    environment: dict


def mount(*arguments: str) -> None:
    """Call ``mount``; NotPermittedError with what it says if that fails."""
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotPermittedError(str(error)) from None
    if done.returncode:
        raise NotPermittedError(done.stderr.strip() or f"mount {' '.join(arguments)} fails")


@contextmanager
def mounted(at: Path, size: str = SIZE) -> Iterator[Path]:
    """Give a folder with a file system of its own, in memory."""
    at.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at))
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def built(place: Place, *before: str) -> str:
    """Build, perhaps by way of another command; return how that ended and what it said last."""
    done = subprocess.run(
        [*before, *BUILD], cwd=place.tree, env=place.environment, capture_output=True, text=True, check=False
    )
    said = (done.stderr or done.stdout).strip()
    if "Traceback" in said:
        return f"traceback: {said[-600:]}"
    return f"exit {done.returncode}: {said[-300:]}"


def full_disk(place: Place, left: int) -> str:
    """Build with some kilobytes left on the disk."""
    ballast = place.disk / "ballast"
    free = shutil.disk_usage(place.disk).free
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - left * 1024)
    try:
        return built(place)
    finally:
        ballast.unlink()


def read_only(place: Place) -> str:
    """Build where nothing can be written."""
    mount("-o", "remount,ro", str(place.disk))
    try:
        return built(place)
    finally:
        mount("-o", "remount,rw", str(place.disk))


def read_only_results(place: Place) -> str:
    """Build where only the results cannot be written."""
    results = place.tree / "results"
    results.mkdir(exist_ok=True)
    mount("--bind", str(results), str(results))
    try:
        mount("-o", "remount,ro,bind", str(results))
        return built(place)
    finally:
        subprocess.run(["umount", "--lazy", str(results)], check=True)


def two_builds(place: Place) -> str:
    """Begin another build while one has a kernel at work."""
    with open(place.disk / "first.log", "wb") as out:
        first = subprocess.Popen(
            BUILD, cwd=place.tree, env=place.environment, stdout=out, stderr=out, start_new_session=True
        )
    while first.poll() is None and not victims("kernel", family(first)):
        time.sleep(0.05)
    said = built(place)
    return f"{said}; the first: exit {first.wait()}"


def clock_put_back(place: Place) -> str:
    """Kill a build when one chapter has finished, and date all files a day later: the clock now says yesterday."""
    with open(place.disk / "first.log", "wb") as out:
        first = subprocess.Popen(
            BUILD, cwd=place.tree, env=place.environment, stdout=out, stderr=out, start_new_session=True
        )
    while first.poll() is None and not finished(place.tree):
        time.sleep(0.05)
    for member in family(first):
        member.kill()
    first.wait()
    later(place.tree)
    return "killed after one chapter"


def later(tree: Path) -> None:
    """Date all files of a tree a day later."""
    for path in [tree, *tree.rglob("*")]:
        status = path.stat(follow_symlinks=False)
        os.utime(path, (status.st_atime + DAY, status.st_mtime + DAY), follow_symlinks=False)
