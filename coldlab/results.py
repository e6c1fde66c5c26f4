"""What was measured, by us or by you: one JSON manifest per run, beside the weights or numbers it speaks of.

The idea that holds this file together: a number in a chapter is read from the manifest of the run that made it, so that
it cannot be older than the run.
"""

import json
from pathlib import Path

from .errors import unknown

FOLDERS = (Path(__file__).parent / "measured", Path(__file__).parent.parent / "results")  # installed; a checkout


def names():
    """The manifests that come with coldlab, such as "mnist-blur" (a network) or "bench-mnist-blur-cpu"."""
    return sorted({path.stem for folder in FOLDERS for path in folder.glob("*.json")})


def load(name):
    """The manifest `name` as plain dicts, lists and numbers. An unknown name raises ColdlabError with the list."""
    for folder in FOLDERS:
        if name in {path.stem for path in folder.glob("*.json")}:
            return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    raise unknown("result", name, names())


def picture(name):
    """The path of the picture that was drawn with the manifest `name`; raises ColdlabError where there is none."""
    found = {path.stem: path for folder in reversed(FOLDERS) for path in folder.glob("*.png")}
    if name not in found:
        raise unknown("picture", name, found)
    return str(found[name])
