"""What else can happen to a build: a full disk, a read-only folder, a second build, a clock put back, a full /tmp.

Each is done for real to a small book on a file system of its own, which is mounted for it. The build may end with a
message, but not with a traceback; afterwards the same command has to finish, as in ``workflow.kills``.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from workflow.kills import BUILD, LOOK, again, family, finished, forget, undisturbed, victims
from workflow.small_book import RENDER, environment, small_book

SIZE = "200m"  # of the file system
DAY = 86400.0  # seconds
LEFT = (0, 50, 150, 300)  # kilobytes on a full disk; the book takes about 500
FULL = 'for at in /tmp /var/tmp; do mount -t tmpfs -o size=4k tmpfs $at; yes > $at/full; done 2>&1 | tail -0; exec "$@"'
CHANGE = ("float(np.linalg.norm(layer.matrix))", "2 * float(np.linalg.norm(layer.matrix))")
TRACEBACK = "a traceback"


class NotPermittedError(Exception):
    """What the machine does not let us do, with what it says about it."""


@dataclass(frozen=True)
class Place:
    """A small book at ``tree`` on a file system of its own, mounted at ``disk``, and the environment of its builds."""

    disk: Path
    tree: Path
    environment: dict


def permitted(*command: str) -> None:
    """Run a command; NotPermittedError with what it says if that fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotPermittedError(str(error)) from None
    if done.returncode:
        raise NotPermittedError(done.stderr.strip() or f"{' '.join(command)} fails")


@contextmanager
def mounted(at: Path, *options: str) -> Iterator[None]:
    """Have a folder mounted in a way that ``mount`` understands."""
    permitted("mount", *options, str(at))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def built(place: Place, *by: str) -> str:
    """Build, perhaps by way of another command; return "finished" or the last that it said."""
    done = subprocess.run(
        [*by, *BUILD], cwd=place.tree, env=place.environment, capture_output=True, text=True, check=False
    )
    said = (done.stdout + done.stderr).strip().replace(f"{place.tree}/", "").splitlines()
    if "Traceback" in done.stdout + done.stderr:
        return f"{TRACEBACK}: {said[-1]}"
    why = [line for line in said if "Errno" in line]
    return f"refused: {[*said[-1:], *why][-1]}" if done.returncode else "finished"


def begun(place: Place, until: Callable[[subprocess.Popen], object]) -> subprocess.Popen:
    """Begin a build, and return it when it is where it shall be, or is over."""
    with open(place.disk / "begun.log", "wb") as out:
        options = {"cwd": place.tree, "env": place.environment, "stdout": out, "stderr": out}
        process = subprocess.Popen(BUILD, **options, start_new_session=True)
    while process.poll() is None and not until(process):
        time.sleep(LOOK)
    return process


def full_disk(place: Place, left: int) -> str:
    """Build with some kilobytes left on the disk."""
    ballast = place.disk / "ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(place.disk).free - left * 1024)
    try:
        return built(place)
    finally:
        ballast.unlink()


def read_only(place: Place) -> str:
    """Build where nothing can be written."""
    permitted("mount", "-o", "remount,ro", str(place.disk))
    try:
        return built(place)
    finally:
        permitted("mount", "-o", "remount,rw", str(place.disk))


def read_only_results(place: Place) -> str:
    """Build where only the results cannot be written."""
    results = place.tree / "results"
    results.mkdir()
    with mounted(results, "--bind", str(results)):
        permitted("mount", "-o", "remount,ro,bind", str(results))
        return built(place)


def full_tmp(place: Place) -> str:
    """Build with a full /tmp and a full /var/tmp, which this process alone sees."""
    permitted("unshare", "--mount", "true")
    return built(place, "unshare", "--mount", "sh", "-c", FULL, "sh")


def two_builds(place: Place) -> str:
    """Begin another build while one has a kernel at work."""
    first = begun(place, lambda process: victims("kernel", family(process)))
    said = built(place)
    return f"{said}; the first one {'fails' if first.wait() else 'finishes'}"


def clock_put_back(place: Place) -> str:
    """Kill a build when a chapter has finished, and date all files a day later, as if the clock had been put back."""
    first = begun(place, lambda _: finished(place.tree))
    for member in family(first):
        member.kill()
    first.wait()
    date_later(place.tree)
    return "killed after the first chapter"


def change_after_clock(place: Place) -> str:
    """Build, date all files a day later, change a study and build; the change has to be seen. Then take it back."""
    said, study = [built(place)], place.tree / "studies" / "toy.py"
    date_later(place.tree)
    before, table = study.read_text(), place.tree / "results" / "tables" / "second-two.csv"
    numbers = table.read_text()
    study.write_text(before.replace(*CHANGE))
    said.append(built(place))
    seen = table.read_text() != numbers
    study.write_text(before)
    return f"{', '.join(said)}; the change is {'seen' if seen else 'missed'}"


def date_later(tree: Path) -> None:
    """Date all files of a tree a day later."""
    for path in [tree, *tree.rglob("*")]:
        status = path.stat(follow_symlinks=False)
        os.utime(path, (status.st_atime + DAY, status.st_mtime + DAY), follow_symlinks=False)


# what is done → function of the place
MISHAPS = {f"disk full, {left} kB left": partial(full_disk, left=left) for left in LEFT} | {
    "read-only folder": read_only,
    "read-only results": read_only_results,
    "`/tmp` and `/var/tmp` full": full_tmp,
    "two builds at once": two_builds,
    "clock put back by a day, build killed": clock_put_back,
    "clock put back by a day, study changed": change_after_clock,
}


def suffer(folder: Path, names: Iterable[str], report: Callable[[str, dict], None]) -> None:
    """Do some of ``MISHAPS`` to a small book in a folder, finish each by the same command, and report what was found.

    Parameters
    ----------
    folder : Path
        Not below /tmp, which one of them fills.
    names : iterable of str
    report : function
        Told the name of each and what came of it: what was ``said``, or why it was ``not tried``, and what went wrong
        afterwards, of ``FAULTS``.
    """
    disk = folder / "disk"
    disk.mkdir()
    try:
        with mounted(disk, "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs"):
            tree = small_book(disk / "tree")
            (tree / "workflow" / "render.py").write_text(RENDER)
            place = Place(disk, tree, environment(tree, TMPDIR="/tmp"))
            undisturbed(tree, place.environment)  # compiles the modules
            whole, studies, _ = undisturbed(tree, place.environment)
            for name in names:
                forget(tree)
                try:
                    said = MISHAPS[name](place)
                except NotPermittedError as error:
                    report(name, {"not tried": str(error)})
                    continue
                report(name, {"said": said} | again(tree, place.environment, whole, len(studies)))
    except NotPermittedError as error:
        for name in names:
            report(name, {"not tried": str(error)})
