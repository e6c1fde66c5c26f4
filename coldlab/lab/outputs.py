"""No command writes over what it reads: its outputs and its inputs are compared before it does anything.

The idea that holds this file together: one question, is this file that file, asked of every pair, by whatever name:
through links, through hard links, in other letters where a file system takes them for the same, or inside a folder.
"""

import os
import shlex
import sys
from pathlib import Path

from .. import checkpoints, data
from ..errors import ColdlabError

RUN = ("config.json", "log.jsonl", "model.safetensors", "loss.png", "samples.png")  # what a run writes, in its folder
STEPS = ("samples-*.png", "weights-*.safetensors", "step-*.pt")  # and at steps of its own choice
SETS = ("MNIST", "FashionMNIST", "cifar-10-batches-py", "celeba", data.ALIGNED)  # folders of the named datasets


def spare(outputs, inputs):
    """Raise ColdlabError if an output is an input, lies inside one (a picture among images is one), or cannot be."""
    outputs, inputs = list(map(Path, outputs)), list(map(Path, inputs))
    for output in outputs:
        for source in inputs:
            if same(output, source):
                raise ColdlabError(f"{output} would be written over the input {source}; choose another --out.")
            if any(same(parent, source) for parent in full(output).parents):
                raise ColdlabError(f"{output} would lie inside the input {source}; choose an --out outside of it.")
        top = next((parent for parent in full(output).parents if parent.exists()), Path("/"))
        if not (top.is_dir() and os.access(top, os.W_OK)):
            raise ColdlabError(f"{output} cannot be written, for {top} is no folder to write in; choose another --out.")
    known = {identity(path): output for output in outputs for path in (output, *full(output).parents)}
    for folder in filter(os.path.isdir, inputs):
        for path, key in entries(folder):
            if key in known:
                why = f"{known[key]} would be written through {path}, a link among the images"
                raise ColdlabError(f"{why}; choose another --out.")


def entries(folder):
    """(path, identity) of all that lies below a folder, links followed, each folder looked into once."""
    waiting, seen = [folder], set()
    while waiting:
        try:
            found = list(os.scandir(waiting.pop()))
        except OSError:  # reading it will tell
            continue
        for entry in found:
            key = identity(entry)
            yield entry.path, key
            if key not in seen and entry.is_dir():
                seen.add(key)
                waiting.append(entry.path)


def identity(path):
    """What is the same for all names of a file or folder that is there; else the path."""
    try:
        there = os.stat(path)
        return there.st_dev, there.st_ino
    except (OSError, ValueError):
        return os.fspath(path)


def same(a, b):
    """Whether two paths are one file or folder, or may be: equal letter for letter but for capitals."""
    if str(full(a)).casefold() == str(full(b)).casefold():
        return True
    try:
        return os.path.samefile(a, b)
    except (OSError, ValueError):  # one of them is not there yet, or can be nowhere
        return False


def full(path):
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):  # links that go round in circles
        return Path(os.path.abspath(path))


def network(pretrained):
    """The files that a network is read from: none of a shipped one, one, or those of a run's folder."""
    if str(pretrained) in checkpoints.pretrained():
        return []
    path = Path(pretrained)
    return [*of_run(path), *path.glob("*.pt")] if path.is_dir() else [path]


def images(dataset):
    """Where the images of a dataset lie: its folder or zip, or what there is of the named ones."""
    return [data.folder() / name for name in SETS] if by_name(dataset) else [Path(dataset)]


def by_name(dataset):
    """Whether a dataset is one of those that are known by name, as `data.load` sees it."""
    return dataset in data.NAMES or (dataset.lower() in data.NAMES and not Path(dataset).expanduser().exists())


def of_run(out):
    """What a run writes into its folder: the names that are known beforehand, and what is there of the others."""
    return [Path(out) / name for name in RUN] + [path for kind in STEPS for path in sorted(Path(out).glob(kind))]


def of_result(folders, name):
    """What `reproduce` may write into the folders of its results and its run."""
    ends = (".json", ".webp", "-steps.webp", "-progress.webp", "-nearest.webp", "-morph.webp", ".safetensors")
    return [Path(folder) / f"{name}{end}" for folder in folders for end in ends]


def of_image(out, path):
    """The three files that `restore` writes for an image: the image, its film strip, a GIF."""
    return [out / f"{path.stem}-restored.png", out / f"{path.stem}-trajectory.png", out / f"{path.stem}.gif"]


def of_samples(out):
    """The two files that `sample` writes: the images and a film strip."""
    return [out / "samples.png", out / "trajectory.png"]


def program():
    """What to type to start this program again: `python -m coldlab`, or a reader's own file that imports a class."""
    started = Path(sys.argv[0])
    own = started.suffix == ".py" and started.name != "__main__.py"
    return f"python {shlex.quote(str(started))}" if own else "python -m coldlab"
