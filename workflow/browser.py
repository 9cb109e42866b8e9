"""A browser for the tools and tests that look at pages, and a server on this machine for the pages."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@contextmanager
def chromium() -> Iterator:
    """Yield Chromium, as Playwright's ``Browser``.

    Raises
    ------
    FileNotFoundError
        Where there is none.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = [path for path in map(shutil.which, BROWSERS) if path]
        path = Path(found[0] if found else playwright.chromium.executable_path)
        if not path.is_file():
            raise FileNotFoundError(f"none of {', '.join(BROWSERS)} was found")
        with playwright.chromium.launch(executable_path=path, args=FLAGS) as browser:
            yield browser


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder to this machine alone; yield the address, ending in a slash."""
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
