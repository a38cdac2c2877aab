from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from tests.browser.living import PATIENCE_S, Living, live, wait

from seakeep.dashboard.app import create_app

CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} refused ${event.blockedURI}`));
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What this folder holds drives a browser, over a project that takes a while to make."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}"))


@pytest.fixture(scope="package")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """The simulated project, served; one for all tests, which may ask it for more but take nothing back."""
    with live(tmp_path_factory.mktemp("living") / "shop") as one:
        yield one


@pytest.fixture(scope="package")
def chromium(living: Living) -> Iterator[Any]:
    """Started after the project is made: while it runs, this thread can run no event loop."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(QUIET))
        yield browser
        browser.close()


class Window:
    """A page of a fresh browser context; what is wrong with it is gathered and told at the end of the test.

    Attributes
    ----------
    faults
        Errors on the console or in a script, and requests to anybody but this machine. A test that provokes some
        empties the list.
    requests
        Paths asked for, with their queries.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(1_000 * PATIENCE_S)
        page.add_init_script(TELL_VIOLATIONS)
        page.on("console", lambda message: message.type in {"error", "warning"} and self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", self._on_request)

    def _on_request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        self.requests.append(f"{parts.path}?{parts.query}" if parts.query else parts.path)
        if parts.hostname != "127.0.0.1":
            self.faults.append(f"a request to {request.url}")

    def go(self, address: str) -> Any:
        """Open an address and wait until the charts are drawn; the page."""
        self.page.goto(self.url + address, wait_until="load")
        return self.page

    def text(self, selector: str) -> str:
        """What is to be read in an element, with plain spaces."""
        return " ".join(self.page.locator(selector).first.inner_text().split())

    def texts(self, selector: str) -> list[str]:
        return [" ".join(text.split()) for text in self.page.locator(selector).all_inner_texts()]

    def until(self, condition: str, argument: Any = None) -> None:
        """Wait until a JavaScript function of the argument is true."""
        self.page.wait_for_function(condition, arg=argument)


Opener = Callable[..., Window]


@pytest.fixture
def window(living: Living, chromium: Any) -> Iterator[Opener]:
    """Opens windows: keyword arguments are those of a browser context; ``url`` names another dashboard."""
    opened: list[Window] = []
    with contextlib.ExitStack() as stack:

        def open_window(address: str = "", *, url: str = living.url, **context: Any) -> Window:
            made = chromium.new_context(**context)
            stack.callback(made.close)
            one = Window(made.new_page(), url)
            opened.append(one)
            if address:
                one.go(address)
            return one

        yield open_window
        assert [fault for one in opened for fault in one.faults] == []


@contextlib.contextmanager
def served(source: Any, *, refresh_s: float = 0.1) -> Iterator[str]:
    """A dashboard over any source of pages; its address."""
    app = create_app(source, name="simulated", refresh_s=refresh_s)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait(lambda: server.started, "the server")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
