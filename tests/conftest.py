"""What the tests of the built pages share: the smoke book, a server for it, a browser, and an eye on its traffic."""

import importlib
import os
import re
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urljoin

import pytest

from workflow import check
from workflow.browser import chromium, served

ROOT = Path(__file__).resolve().parents[1]
# Modules that take longest: a module goes to one worker, and one that begins last would let the others wait.
LONGEST = (
    *("test_pages", "test_converged_attack", "test_workflow", "test_changes", "test_ball_pooling", "test_training"),
    *("test_transfer", "test_site", "test_backward_error_attack", "test_ray", "test_keras", "test_take_along"),
    *("test_kantorovich", "test_attacker", "test_inline_explorables", "test_train_one_layer", "test_ball_dense"),
    *("test_gradient_and_hessian", "test_sandwich", "test_rays", "test_datasets", "test_plane", "test_jacobian_keras"),
    *("test_what_makes_sturdier", "test_penalty_attacks", "test_newton", "test_train_by_hand", "test_pdf", "test_html"),
)


def pytest_collection_modifyitems(items):
    """Begin with the modules that take longest; the others stay in their order behind them."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def smoke() -> Path:
    """Return the copy of the tree that holds the book made with smoke parameters."""
    folder = ROOT / check.COPY
    if not (folder / "_build" / "html" / "index.html").is_file():
        pytest.fail(f"no book in {folder}: run `make test`, which makes the smoke book first")
    return folder


@pytest.fixture(scope="session")
def site(smoke):
    """Return the address of a server for the smoke book, ending in a slash."""
    with served(smoke / "_build" / "html") as address:
        yield address


@pytest.fixture(scope="module")  # no longer than a module: a running Playwright occupies the worker's event loop
def browser():
    """Return Chromium. Without one, skip; with BEA_REQUIRE_BROWSER in the environment, fail."""
    missing = pytest.fail if os.environ.get("BEA_REQUIRE_BROWSER") else pytest.skip
    with ExitStack() as stack:
        try:
            found = stack.enter_context(chromium())
        except (FileNotFoundError, ImportError) as error:
            missing(f"{error}, so the pages were not looked at in a browser")
        yield found


def _watch(context, base: str) -> list[str]:
    problems = []
    elsewhere = re.compile(f"^(?!{re.escape(base)}|data:|blob:|about:)")
    context.route(elsewhere, lambda route: route.abort())
    context.on("request", lambda r: elsewhere.match(r.url) and problems.append(f"asked for {r.url}"))
    # A font that is on its way when the page is left is aborted; what is not there has a status.
    context.on(
        "requestfailed",
        lambda r: r.failure != "net::ERR_ABORTED" and problems.append(f"did not get {r.url}: {r.failure}"),
    )
    context.on("response", lambda r: r.status >= 400 and problems.append(f"status {r.status} for {r.url}"))
    context.on("weberror", lambda e: problems.append(f"uncaught: {e.error}"))
    context.on("console", lambda m: m.type == "error" and problems.append(f"console: {m.text}"))
    context.on("page", lambda page: page.on("websocket", lambda w: problems.append(f"opened {w.url}")))
    return problems


@pytest.fixture(scope="session")
def watch():
    """Return a function of a browser context and an address.

    It returns a list that collects every error on the context's pages, and every request that fails or goes anywhere
    but below the address; the latter are also stopped.
    """
    return _watch


@pytest.fixture
def open_explorable(browser, site, watch):
    """Return a function that opens the page of an explorable and waits for a part of it.

    Any error on these pages, and any request to elsewhere, fails the test in the end.
    """
    opened = []

    def open_page(name, part, base=site, width=1280, state="visible", **settings):
        context = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce", **settings)
        opened.append((context, watch(context, base)))
        page = context.new_page()
        page.goto(urljoin(base, f"book/{name}.html"))
        page.wait_for_selector(part, state=state)
        return page

    yield open_page
    for context, _ in opened:
        context.close()
    assert [problem for _, problems in opened for problem in problems] == []


@pytest.fixture(scope="session")
def nameless():
    """Return a function of a page that lists what can be operated or seen but has no name for those who listen."""
    return lambda page: page.evaluate("""() => [...document.querySelectorAll(".explorable :is(button, input, [role])")]
      .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.textContent.trim() || e.labels?.length
        || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent))
      .map((e) => e.outerHTML.slice(0, 80))""")


@pytest.fixture
def double(monkeypatch):
    """Let Keras and JAX compute in float64."""
    import jax

    from lab.keras_backend import keras

    def set_precision(floatx, policy, x64):
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)
        jax.config.update("jax_enable_x64", x64)

    before = keras.config.floatx(), keras.config.dtype_policy(), jax.config.jax_enable_x64
    # Keras computes tanh, among others, of float64 in float32, whatever its floatx.
    monkeypatch.setattr(importlib.import_module("keras.src.backend.common.dtypes"), "BIT64_TO_BIT32_DTYPE", {})
    set_precision("float64", "float64", True)
    yield
    set_precision(*before)
