"""``make book``: let Snakemake run what has to run, say how far it is, and print the page to open."""

import argparse
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import psutil

from lab.parameters import EDITIONS, check_tree
from workflow import manifest, plan
from workflow.dataset import decide
from workflow.dependencies import Needs, all_needs
from workflow.durations import BOOK, expected
from workflow.editions import needs_copy, run_in
from workflow.plan import PREFIX, resolve_data_folder
from workflow.progress import Line, Progress

INTERRUPTED = 130
LOCK, BUSY = Path("_build/make.lock"), "another `make book` is running in this folder"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def build(edition: str, cores: int, lock: IO, chapters: tuple[str, ...] = ()) -> int:
    """Bring the whole book of the present folder up to date, or some chapters, and return the exit status.

    ``lock`` is what ``alone`` gives; Snakemake holds it too, so that an orphaned one keeps others away.
    """
    start = time.monotonic()
    try:
        check_tree(Path())
        plan.doubt_the_clock()
        needs = all_needs()
        decide(edition)
    except (OSError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    before = {name: need.chapters for name, need in needs.items()} | {BOOK: tuple(needs)}
    progress = Progress(expected(edition, before), before, cores)
    log = Path("_build/make.log")
    # Only one build runs in a folder (`alone`), so Snakemake's own locks would only outlive one that was killed.
    options = [
        "--cores",
        str(cores),
        "--nolock",
        "--rerun-incomplete",
        "--quiet",
        "host",
        "--config",
        f"edition={edition}",
    ]
    with open(log, "w", encoding="utf-8") as file:
        first = records(edited(needs, chapters or tuple(needs)))
        for targets in ([first] if first else []) + [records(chapters) or ["all"]]:
            command = [sys.executable, "-m", "snakemake", *targets, *options]
            code, said = _watch(command, progress, file, lock.fileno())
            if code:
                break
    if code:
        tail = [] if said else log.read_text(encoding="utf-8").splitlines()[-30:]
        print("\n".join([*tail, f"not everything was made; all output is in {log}"]), file=sys.stderr)
    else:
        if not chapters and (progress.done or not Path("_build", manifest.NAME).is_file()):
            manifest.write(edition)
        steps = f"{len(progress.done)} steps" if progress.done else "nothing had changed"
        print(f"{steps}, {time.monotonic() - start:.0f} s", flush=True)
    return code


def records(chapters: Iterable[str]) -> list[str]:
    """Return what Snakemake makes last of some chapters."""
    return [f"results/{plan.DONE}/{name}" for name in chapters]


def edited(needs: Mapping[str, Needs], chapters: tuple[str, ...]) -> list[str]:
    """Return which of those that ``chapters`` read, and so on, have notebooks newer than what they have left.

    They go first. Snakemake plans all that waits for a job once that is to run; planned afterwards, the others run only
    if numbers or networks have changed.
    """

    def newer(name: str) -> bool:
        left = Path("results", plan.LEFT, name)
        return left.is_file() and Path(f"notebooks/{name}.ipynb").stat().st_mtime > left.stat().st_mtime

    read, rest = set(), list(chapters)
    while rest:
        new = set(needs[rest.pop()].chapters) - read
        read |= new
        rest += new
    return sorted(filter(newer, read))


def _watch(command: list[str], progress: Progress, log: IO, lock: int) -> tuple[int, bool]:
    """Run Snakemake and show its progress; return its exit status and whether a step had something to say."""
    line, said, happened = Line(), False, False
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(lock,)
        ) as process,
        ended_with(process),
    ):
        try:
            for text in _lines(process.stdout):
                if text is None:
                    if progress.started:
                        line.show(progress.text(time.monotonic()), happened)
                        happened = False
                    continue
                log.write(f"{text}\n")
                log.flush()
                if text.startswith(PREFIX):
                    said = True
                    line.say(text[len(PREFIX) :])
                happened |= _note(text, progress)
        finally:
            line.close()
    if happened:
        line.show(progress.text(time.monotonic()), happened)
    line.close()
    return process.returncode, said


def _note(text: str, progress: Progress) -> bool:
    """Tell the progress what a line of Snakemake says; return whether a job began or ended."""
    now = time.monotonic()
    if planned := re.match(r"(\w+) +1$", text):  # in the table of jobs, which comes first
        if planned[1] not in ("all", "total"):
            progress.plan(planned[1])
    elif (started := re.match(r"(?:local)?rule (\w+):", text)) and started[1] != "all":
        progress.start(started[1], now)
        return True
    elif (finished := re.match(r"Finished jobid: \d+ \(Rule: (\w+)\)", text)) and finished[1] != "all":
        progress.finish(finished[1], now)
        return True
    return False


def _lines(stream) -> Iterator[str | None]:
    """Yield what is printed, line by line, and None whenever nothing has come for a moment."""
    rest = b""
    while True:
        if not select.select([stream], [], [], 0.5)[0]:
            yield None
            continue
        read = os.read(stream.fileno(), 65536)
        *complete, rest = (rest + read).split(b"\n")
        yield from (text.decode("utf-8", "replace") for text in complete)
        if not read:
            return


@contextmanager
def ended_with(process: subprocess.Popen) -> Iterator[None]:
    """End the process and all that it started, kernels too, when this one is interrupted, told to end, or fails."""
    try:
        yield
    except BaseException as error:
        try:
            tree = psutil.Process(process.pid)
            family = [tree, *tree.children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=10)
        if not isinstance(error, KeyboardInterrupt):
            raise
        print("interrupted; what had finished is kept, and the next call goes on from there", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _interrupt(*_) -> None:
    for number in SIGNALS:  # once is enough: nothing shall stop the cleaning up
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def alone() -> Iterator[IO]:
    """Hold the folder: one build at a time, and none while one that was killed has left Snakemake running."""
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(plan.alone(LOCK, BUSY))
        except BlockingIOError as error:
            sys.exit(str(error))
        yield lock


def whole_number(text: str) -> int:
    """Return the number of cores that a text names."""
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        sys.exit(f"cores: expected a whole number, at least 1, received {text!r}")
    return int(text)


def begin(edition: str) -> None:
    """Let the signals that end a process interrupt this one, and refuse an edition that there is not."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    resolve_data_folder()
    os.environ["TMPDIR"] = tempfile.gettempdir()  # one that can be written: Snakemake would take a full /tmp
    if edition not in EDITIONS:
        sys.exit(f"edition: expected one of {', '.join(EDITIONS)}, received {edition!r}")


def command_line(parser: argparse.ArgumentParser, module: str) -> argparse.Namespace:
    """Return what the command line says; an edition that has a folder of its own goes on there, and this ends with it.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Gets ``--edition`` and ``--cores`` as well.
    module : str
        What is running: ``python -m module`` with the same command line goes on.
    """
    parser.add_argument("--edition", default="full")
    parser.add_argument("--cores", type=whole_number, default=os.cpu_count())
    arguments = parser.parse_args()
    begin(arguments.edition)
    if needs_copy(arguments.edition):
        sys.exit(run_in(arguments.edition, module, *sys.argv[1:]))
    return arguments


def interruptible(program: Callable[[], None]) -> None:
    """Run a program; an interruption, a full disk and a folder that cannot be written end it without a traceback."""
    try:
        program()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        sys.exit(str(error))


def main() -> None:
    """Read the command line and build."""
    arguments = command_line(argparse.ArgumentParser(description=__doc__), "workflow.build")
    with alone() as lock:
        code = build(arguments.edition, arguments.cores, lock)
    if code == 0:
        print(f"Open this page in a browser:\n  {Path('_build/html/index.html').resolve()}")
    sys.exit(code)


if __name__ == "__main__":
    interruptible(main)
