"""Write the repository's address wherever it is needed; `_config.yml` is the one place where it is decided.

    python tools/stamp.py https://github.com/OWNER/NAME    # decide the address, then write it everywhere
    python tools/stamp.py                                  # write the one in _config.yml everywhere
    python tools/stamp.py --check                          # list what disagrees with it; exit code 1 if anything does

The install cell of every chapter is the one of tools/install_cell.py; it is written with the address.
An address of ours is one on GitHub whose repository has this name (or had it: coldlab), in whatever owner's account.
In a notebook only the sources of the cells concerned change; the outputs stay.
"""

import re
import sys
from pathlib import Path

import chapters
import console

from coldlab import storage

PLACES = (
    "_config.yml", "pyproject.toml", "CITATION.cff", "*.md", "LICENSE*", ".github/**/*.yml", "tools/install_cell.py",
    "coldlab/**/*.py", "book/*.md", "book/*.py", "book/*.ipynb",
)  # fmt: skip
ADDRESS = re.compile(r"https://github\.com/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)")
INSTALL_CELL_IN_SOURCE = re.compile(
    r'^(?P<head># %% tags=\["colab", "hide-cell"\]\n).*?(?=\n*^# %%|\n*\Z)', re.MULTILINE | re.DOTALL
)


def current(root: Path) -> re.Match:
    """The address in _config.yml."""
    settings = (root / "_config.yml").read_text(encoding="utf-8")
    found = re.search(rf"^  url: {ADDRESS.pattern}\s*$", settings, re.MULTILINE)
    if found is None:
        sys.exit("_config.yml holds no line '  url: https://github.com/OWNER/NAME' under 'repository:'")
    return found


def stamper(owner: str, name: str, formerly: set[str]):
    """A function that rewrites every address of ours in a text."""
    names = "|".join(re.escape(known) for known in sorted({name, "coldlab", *formerly}, key=len, reverse=True))
    ours = rf"(?:{names})(?:\.git)?(?![\w-]|\.\w)"
    host = r"(github\.com/|colab\.research\.google\.com/github/)"
    rules = [
        (re.compile(rf"{host}[\w.-]+/{ours}"), rf"\g<1>{owner}/{name}"),
        (re.compile(rf"https://[\w-]+\.github\.io/{ours}"), f"https://{owner}.github.io/{name}"),  # the published book
    ]

    def stamp(text: str) -> str:
        for pattern, replacement in rules:
            text = pattern.sub(replacement, text)
        return text

    return stamp


def restamp_notebook(path: Path, stamp, cell_source: str, write: bool) -> list[str]:
    notebook = chapters.read(path)
    changed = []
    for index, cell in enumerate(notebook.cells):
        before, installs = cell.source, cell.metadata.get("tags") == chapters.INSTALL_TAGS
        cell.source = cell_source if installs else stamp(before)
        if cell.source != before:
            changed.append(f"cell {index}")
    if changed and write:
        chapters.set_ids(notebook)
        chapters.write(notebook, path)
    return changed


def restamp_text(path: Path, stamp, cell_source: str, write: bool) -> list[str]:
    before = path.read_text(encoding="utf-8")
    after = INSTALL_CELL_IN_SOURCE.sub(lambda found: found["head"] + cell_source, stamp(before))
    if after != before and write:
        storage.write_text(path, after)
    old, new = before.splitlines(), after.splitlines()
    if len(old) != len(new):
        return ["the install cell"]
    return [f"line {number}" for number, pair in enumerate(zip(old, new, strict=True), start=1) if pair[0] != pair[1]]


def restamp(root: Path, address: str | None = None, write: bool = True) -> list[str]:
    """Bring every file in line with `address` (default: the one in _config.yml); returns the places that were not."""
    configured = current(root)
    wanted = configured if address is None else ADDRESS.fullmatch(address.removesuffix("/").removesuffix(".git"))
    if wanted is None:
        sys.exit(f"{address!r} is not an address like https://github.com/OWNER/NAME")
    stamp = stamper(wanted["owner"], wanted["name"], {configured["name"]})
    cell_source = stamp((root / "tools" / "install_cell.py").read_text(encoding="utf-8")).rstrip("\n")
    places = []
    for path in sorted({path for pattern in PLACES for path in root.glob(pattern)}):
        restamp_one = restamp_notebook if path.suffix == ".ipynb" else restamp_text
        places += [f"{path.relative_to(root)}: {place}" for place in restamp_one(path, stamp, cell_source, write)]
    return places


def main(arguments: list[str]) -> int:
    check = arguments == ["--check"]
    if not check and (len(arguments) > 1 or arguments[:1] == ["--help"]):
        print(__doc__)
        return 2
    places = restamp(chapters.ROOT, None if check else next(iter(arguments), None), write=not check)
    print("\n".join(places) if places else "every address agrees with _config.yml")
    return 1 if check and places else 0


if __name__ == "__main__":
    console.degrade()
    sys.exit(main(sys.argv[1:]))
