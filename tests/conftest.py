"""What all tests share: one thread, because on busy machines the threads of tiny networks wait for each other.

And a browser, with a server on localhost for what it opens; tests that need them are skipped, saying so, without one.
What imports torch is imported inside: see conftest.py in the folder above.
"""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def site():
    """A function that serves a folder on localhost and returns its address."""
    import weigh

    servers = []

    def serve(folder: Path) -> str:
        servers.append(weigh.serve(folder))
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="pages are not opened: playwright is not installed")
    import weigh

    path = weigh.browser_path()
    if path is None:
        pytest.skip(f"pages are not opened: none of {', '.join(weigh.BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        # As root in a container Chromium has no sandbox; it opens nothing here but pages of this repository, since it
        # finds no other host.
        alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", alone]
        )
        yield started
        started.close()
