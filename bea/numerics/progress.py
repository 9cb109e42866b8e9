"""How far a long computation is, on the screen, for who asks for it with ``progress=True``.

Whoever offers that wraps its work in ``showing``; whoever goes through many samples says in ``counting`` how far it is.
There is one bar at a time: what is counted within a count, or in a thread beside it, is not shown.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from bea.lazy import optional

_SHOWN = ContextVar("shown", default=False)


@contextmanager
def showing(progress: bool) -> Iterator[None]:
    """Show within this block, if ``progress``, how far what counts its samples is.

    Raises
    ------
    ImportError
        If tqdm, which draws the bar, is not installed; before the block is entered.
    """
    if progress:
        optional("tqdm", "progress")
    token = _SHOWN.set(bool(progress))
    try:
        yield
    finally:
        _SHOWN.reset(token)


@contextmanager
def counting(total: int) -> Iterator[Callable[[int], None]]:
    """Give a function to call with the number of samples done so far, out of so many."""
    if not (_SHOWN.get() and total):
        yield lambda done: None
        return
    with optional("tqdm", "progress").tqdm(total=total, unit="sample", leave=False) as bar, showing(False):
        yield lambda done: bar.update(done - bar.n)
