"""What a build says while it works: what runs, what is done, and how much time is left."""

import shutil
import sys
import time
from collections.abc import Iterable, Mapping

from workflow.durations import chains

EVERY = 60.0  # seconds between two lines where lines cannot be rewritten


class Progress:
    """Keeps count of the jobs of one build.

    Parameters
    ----------
    seconds : mapping of str to float
        Job → how long it takes from nothing.
    before : mapping of str to iterable of str
        Job → those that have to end before it begins.
    cores : int
        How many run at once.
    """

    def __init__(self, seconds: Mapping[str, float], before: Mapping[str, Iterable[str]], cores: int):
        self.seconds, self.before, self.cores = dict(seconds), before, cores
        self.waiting: set[str] = set()
        self.running: dict[str, float] = {}
        self.done: dict[str, float] = {}

    def plan(self, job: str) -> None:
        """Note that a job is to be done."""
        self.waiting.add(job)

    def start(self, job: str, now: float) -> None:
        """Note that a job has begun."""
        self.waiting.discard(job)
        self.running[job] = now

    def finish(self, job: str, now: float) -> None:
        """Note that a job has ended well."""
        self.done[job] = now - self.running.pop(job, now)
        self.waiting.discard(job)

    @property
    def started(self) -> bool:
        """Whether anything is to be done, or was."""
        return bool(self.waiting or self.running or self.done)

    def left(self, now: float) -> float:
        """Return the seconds that are left: the longest chain of jobs, or all work shared out, whichever is more.

        The expectation is corrected by how fast the jobs have been so far: another machine, or remembered studies.
        """
        planned = sum(self.seconds.get(job, 0.0) for job in self.done)
        pace = sum(self.done.values()) / planned if planned else 1.0
        rest = {job: pace * self.seconds.get(job, 0.0) for job in self.waiting}
        rest |= {
            job: max(pace * self.seconds.get(job, 0.0) - (now - start), 1.0) for job, start in self.running.items()
        }
        return max(sum(rest.values()) / self.cores, *chains(rest, self.before).values(), 0.0)

    def text(self, now: float) -> str:
        """Return all of it in a line."""
        total = len(self.waiting) + len(self.running) + len(self.done)
        parts = [f"{len(self.done)} of {total} done"]
        if self.running:
            parts.append("running " + ", ".join(f"{job} {now - at:.0f} s" for job, at in self.running.items()))
        if self.waiting or self.running:
            parts.append(f"about {spoken(self.left(now))} left")
        return " · ".join(parts)


class Line:
    """The line of a build: rewritten in place on a terminal, printed when something happened elsewhere."""

    def __init__(self, stream=None):
        self.stream = stream or sys.stdout
        self.terminal = self.stream.isatty()
        self.last = time.monotonic()
        self.open = False

    def show(self, text: str, happened: bool) -> None:
        """Show the state; ``happened`` says whether a job has begun or ended since the last call."""
        now = time.monotonic()
        if self.terminal:
            self.stream.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
            self.open = True
        elif happened or now - self.last >= EVERY:
            self.stream.write(f"{text}\n")
            self.last = now
        self.stream.flush()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.close()
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def close(self) -> None:
        """Leave the line that was being rewritten."""
        if self.open:
            self.stream.write("\r\x1b[K")
            self.open = False


def spoken(seconds: float) -> str:
    """Return a length of time as one says it."""
    return f"{max(seconds, 1):.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
