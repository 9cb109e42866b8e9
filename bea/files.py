"""Files are written to a temporary name and moved into place, so that no reader ever sees half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; afterwards move it there, or remove it if the block raised."""
    path = Path(path)
    partial = path.with_name(f"partial-{os.getpid()}-{path.name}")  # two processes may write the same file
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
