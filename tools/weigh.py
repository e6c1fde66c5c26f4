"""What a page costs its reader: bytes loaded before it is touched, and when its largest piece stands on the screen.

    python tools/weigh.py                   # every page of the built book (make book), from this machine
    python tools/weigh.py index.html        # these only

Bytes are those that lie on the server, uncompressed. The time is the browser's "largest contentful paint" with the
processor slowed down four times, as a phone's is, the best of three: machines are busy, pages never too fast.
"""

import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import chapters
import console

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LOADED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""
PAINTED = """() => new Promise((answer) => {
    let last = 0;
    new PerformanceObserver((list) => { for (const entry of list.getEntries()) last = entry.startTime; })
        .observe({type: "largest-contentful-paint", buffered: true});
    setTimeout(() => answer(last), 300);
})"""


def browser_path() -> str | None:
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # one connection for many files, as elsewhere

    def log_message(self, *arguments):
        pass


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    """A server of a folder on localhost, running in a thread; its port is `server_port`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    return server


def bytes_before_touch(browser, urls: list[str]) -> Iterator[int]:
    """What each page loads in a desktop's window, in a browser that keeps nothing of it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    for url in urls:
        page.goto(url, wait_until="load")
        page.wait_for_timeout(200)
        yield page.evaluate(LOADED)
    context.close()


def painted(browser, url: str, slowdown: float = 4, tries: int = 3, enough: float = 0) -> float:
    """Seconds to the largest contentful paint on a phone: the best of some tries, or the first under `enough`."""
    best = float("inf")
    for _ in range(tries):
        if best <= enough:
            break
        context = browser.new_context(viewport={"width": 380, "height": 800})
        page = context.new_page()
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
        page.goto(url, wait_until="load")
        best = min(best, page.evaluate(PAINTED) / 1000)
        context.close()
    return best


def main(names: list[str]) -> int:
    from playwright.sync_api import sync_playwright

    pages = chapters.ROOT / "_build" / "html" / "book"
    if not pages.is_dir():
        sys.exit("there is no built book yet: make book")
    if browser_path() is None:
        sys.exit(f"this needs a browser, one of {', '.join(BROWSERS)}")
    server = serve(pages.parent)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        names = names or sorted(path.name for path in pages.glob("*.html"))
        urls = [f"http://127.0.0.1:{server.server_port}/book/{name}" for name in names]
        for name, url, weight in zip(names, urls, bytes_before_touch(browser, urls), strict=True):
            print(f"{name:28} {weight / 1e6:5.2f} MB {painted(browser, url):5.2f} s", flush=True)
        browser.close()
    server.shutdown()
    return 0


if __name__ == "__main__":
    console.degrade()
    sys.exit(main(sys.argv[1:]))
