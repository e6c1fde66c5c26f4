"""What was measured, by us or by you: one JSON manifest per run, beside the weights or numbers it speaks of.

The idea that holds this file together: a number in a chapter is read from the manifest of the run that made it, so that
it cannot be older than the run.
"""

import json
from pathlib import Path

import torch

from .. import plots, storage
from ..errors import unknown
from .machine import machine

PACKAGE = Path(__file__).parent.parent
INSTALLED = PACKAGE / "measured"
FOLDER = INSTALLED if INSTALLED.is_dir() else PACKAGE.parent / "results"  # the latter in a checkout


def names():
    """The manifests that come with coldlab, such as "mnist-blur" (a network) or "bench-mnist-blur-cpu"."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name):
    """The manifest `name` as plain dicts, lists and numbers. An unknown name raises ColdlabError with the list."""
    if name not in names():
        raise unknown("result", name, names())
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def save(path, command, content, device="cpu"):
    """Write the manifest `path`: its name, the command that makes it again, the machine, and `content`; returns path.

    content: plain dicts, lists and numbers; what it says of "machine" counts (a network's is the one it trained on).
    """
    manifest = {"name": path.stem, "command": command, "machine": machine(torch.device(device))} | content
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_json(path, manifest)
    return path


def picture(name, alt):
    """The rows of images that were drawn with the manifest `name`, as a Picture (see `plots.stored`).

    alt: what it shows, for readers who do not see it. Raises ColdlabError where it is empty or there is none.
    """
    drawn = sorted(path.stem for path in FOLDER.glob("*.webp"))
    if name not in drawn:
        raise unknown("picture", name, drawn)
    return plots.stored(FOLDER / f"{name}.webp", alt)
