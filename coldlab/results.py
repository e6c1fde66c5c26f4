"""What was measured, by us or by you: one JSON manifest per run, beside the weights or numbers it speaks of.

The idea that holds this file together: a number in a chapter is read from the manifest of the run that made it, so that
it cannot be older than the run.
"""

import json
from pathlib import Path

from .errors import unknown

INSTALLED = Path(__file__).parent / "measured"
FOLDER = INSTALLED if INSTALLED.is_dir() else Path(__file__).parent.parent / "results"  # the latter in a checkout


def names():
    """The manifests that come with coldlab, such as "mnist-blur" (a network) or "bench-mnist-blur-cpu"."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name):
    """The manifest `name` as plain dicts, lists and numbers. An unknown name raises ColdlabError with the list."""
    if name not in names():
        raise unknown("result", name, names())
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def picture(name):
    """The path of the picture that was drawn with the manifest `name`; raises ColdlabError where there is none."""
    drawn = sorted(path.stem for path in FOLDER.glob("*.png"))
    if name not in drawn:
        raise unknown("picture", name, drawn)
    return str(FOLDER / f"{name}.png")
