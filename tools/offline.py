"""Bring MathJax into the book, so that its pages load nothing from another host.

npm fetches and checks the package; the few files that the pages use (about 2 MB) go to book/static/offline, which git
ignores. Without npm, or without a network, one line says that the pages load MathJax from its public address instead.
The extension book/_ext/coldlab_book.py looks whether the copy is there.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import console

VERSION = "3.2.2"
TARGET = Path(__file__).resolve().parents[1] / "book" / "static" / "offline" / "mathjax"
# The start file, its fonts, and the TeX extensions that it loads when a formula asks for one.
WANTED = ("es5/tex-mml-chtml.js", "es5/output/chtml/fonts/woff-v2/", "es5/input/tex/extensions/", "LICENSE")


def copy_mathjax(target: Path = TARGET) -> str | None:
    """Copy MathJax to `target`; None when done (or already there), else the reason why not."""
    marker = target / f"version-{VERSION}"
    if marker.exists():
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", f"mathjax@{VERSION}"]
        fetched = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        archives = list(Path(folder).glob("*.tgz"))
        if fetched.returncode or not archives:
            reason = next((line for line in fetched.stderr.splitlines() if line.strip()), "no reason given")
            return f"npm could not fetch it ({reason.strip()})"
        shutil.rmtree(target, ignore_errors=True)
        with tarfile.open(archives[0]) as archive:
            for member in archive.getmembers():
                name = member.name.removeprefix("package/")
                if not member.isfile() or not name.startswith(WANTED):
                    continue
                path = target / name.removeprefix("es5/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(member).read())
    marker.touch()
    return None


def main() -> int:
    problem = copy_mathjax()
    if problem:
        print(f"MathJax is not copied into the book: {problem}. Pages with formulas will load it from its CDN.")
    else:
        print(f"MathJax {VERSION} is served with the book")
    return 0


if __name__ == "__main__":
    console.degrade()
    sys.exit(main())
