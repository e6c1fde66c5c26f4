"""What all tests share: one thread, because on busy machines the threads of tiny networks wait for each other.

And a browser, with a server on localhost for what it opens; tests that need them are skipped, saying so, without one.
"""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest
import torch

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def browser_path() -> str | None:
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site():
    """A function that serves a folder on localhost and returns its address."""
    servers = []

    def serve(folder: Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="pages are not opened: playwright is not installed")
    path = browser_path()
    if path is None:
        pytest.skip(f"pages are not opened: none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        # As root in a container Chromium has no sandbox; it opens nothing here but pages of this repository.
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()
