"""What the steps of the workflow agree on: where the data are, what the record of a good run is, how one fails."""

import fcntl
import hashlib
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import IO, NoReturn

DONE = ".done"  # in results: one file a notebook, the checksums of what its last good run made
LEFT = ".left"  # in results: one file a notebook, the checksums of what others read of it, so neither text nor pictures
SOURCES = ("bea", "book", "lab", "notebooks", "studies", "workflow")
APART = 600.0  # seconds that the clock of a disk may be before that of the machine
PREFIX = "companion: "  # how the steps mark what a reader should see
MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "2000000000",
    "NUMPY_MADVISE_HUGEPAGE": "0",
}


def fail(message: str) -> NoReturn:
    """End this step with a message for the reader."""
    sys.exit("\n".join(f"{PREFIX}{line}" for line in message.splitlines()))


def commit() -> str:
    """Return the short commit the tree is at, with a plus sign when tracked files differ from it."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed else "")


@contextmanager
def alone(lock: Path, otherwise: str, wait: bool = False) -> Iterator[IO]:
    """Hold a file that one process at a time can hold; ``otherwise`` is said where another one does, or waited for it.

    The system lets go of it with the process, however that ends, so nobody ever has to remove the file.

    Raises
    ------
    BlockingIOError
        If another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BlockingIOError(otherwise) from None
        yield file


def resolve_data_folder() -> None:
    """Make ``BEA_DATA`` absolute, so that it means the same in the folder where a notebook runs."""
    if os.environ.get("BEA_DATA"):
        os.environ["BEA_DATA"] = str(Path(os.environ["BEA_DATA"]).resolve())
    else:
        os.environ.pop("BEA_DATA", None)


def keep_memory() -> None:
    """Let the processes that start from here keep the memory of arrays they are done with, for the next ones.

    Otherwise it goes back to the system, which clears every page before it hands it out again: up to a third of the
    processor time of a chapter. NumPy and the C library of Linux read these as a process starts; others ignore them.
    """
    for name, value in MEMORY.items():
        os.environ.setdefault(name, value)


def keep_compiled() -> None:
    """Let JAX keep what it compiles, which takes longer than most of it runs, beside what studies found.

    All chapters and tests that follow read it there. What was compiled for one machine is for no other.
    """
    folder = Path(os.environ.get("BEA_REMEMBERED") or "_build/remembered").resolve() / "compiled" / platform.node()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    # Whatever it is, however quickly it was compiled:
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def doubt_the_clock() -> None:
    """Where files are dated later than now, the clock was put back: forget the records among them, date the others now.

    A record with such a date may be older than a change that is dated before it, and Snakemake refuses to make anything
    from a file with one. A chapter that runs again finds its studies remembered.
    """
    records = [*Path("results", DONE).glob("*"), *Path("results", LEFT).glob("*"), Path("_build/book.done")]
    sources = chain.from_iterable(Path(folder).rglob("*") for folder in SOURCES)
    for path in filter(_of_the_future, records):
        path.unlink(missing_ok=True)
    for path in filter(_of_the_future, chain(Path().glob("*.*"), Path("results").glob("*.json"), sources)):
        with suppress(OSError):  # a file of somebody else, or gone in between
            os.utime(path)


def _of_the_future(path: Path) -> bool:
    """Return whether a file of ours is dated later than now, by more than the clocks of disks differ."""
    with suppress(OSError):
        return path.is_file() and not path.is_symlink() and path.stat().st_mtime > time.time() + APART
    return False


def forget_incomplete(results=Path("results"), book=Path("_build")) -> None:
    """Remove the record of everything whose files are missing or not what was made, so that it is made again."""
    for record in (results / DONE).glob("*"):
        for line in record.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            path = results / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                record.unlink()
                break
    pages = re.findall(r"(?:root|file): (\S+)", Path("_toc.yml").read_text(encoding="utf-8"))
    if not all((book / "html" / f"{page}.html").is_file() for page in [*pages, "index"]):
        (book / "book.done").unlink(missing_ok=True)
