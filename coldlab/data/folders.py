"""The names in a folder or a zip sorted out: which are images, in which split each is, and in which class.

The idea that holds this file together: no pixel is read here. A folder and a zip of it give the same names, hence the
same images; what is taken otherwise than its owner may expect is told in one sentence.
"""

import os
import posixpath
import re
from fnmatch import fnmatchcase

from ..errors import ColdlabError
from .files import few, located

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
SYSTEMS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")  # where systems keep copies and thumbnails
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLITS |= dict.fromkeys(("val", "valid", "validation"), "val")  # a folder's name in lower case -> its split
WRITTEN = ("loss.png", "samples.png", "samples-*.png")  # a run's pictures


def named(paths):
    """Image files, in the order of their names where a path is a folder: those that lie in it, not deeper.

    Raises ColdlabError for a folder that has none.
    """
    found = []
    for path in paths:
        folder, there = located(path)
        if not (there and folder.is_dir()):
            found.append(path)
            continue
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            raise ColdlabError(f"the folder {str(path)!r} cannot be read ({error.strerror}).") from None
        names = [name for name in names if name.lower().endswith((*SUFFIXES, ".npy")) and not hidden(name)]
        inside = [folder / name for name in names]
        if not inside:
            raise ColdlabError(f"there is no image file in the folder {str(path)!r}.")
        found += inside
    return found


def walk(top, skip_unreadable=False):
    """({name: real path} of every file below a folder, sentences): what is there itself first, then what links add.

    A link is followed unless it leads to a folder that it lies in or, below another link, to one seen already.
    """
    home = os.path.realpath(top)
    waiting, linked = (
        [("", home, {home}, False)],
        [],
    )  # folders: name, real path, the real ones around it, behind a link
    files, more, seen, told = {}, {}, set(), []
    while waiting or linked:
        prefix, folder, above, behind = (waiting or linked).pop()
        seen.add(folder)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            sentence = f"the folder {few([os.path.join(top, prefix)])} cannot be read ({error.strerror})"
            if not skip_unreadable:
                raise ColdlabError(f"{sentence}; make it readable, or leave it out: --skip-unreadable.") from None
            told.append(f"{sentence}; it is left out.")
            continue
        for entry in entries:
            path, link = os.path.join(folder, entry.name), entry.is_symlink()
            isdir = os.path.isdir(path) if link else entry.is_dir()
            real = os.path.realpath(path) if link or isdir else path
            if hidden(entry.name):
                continue
            if isdir:
                link = link or real != path  # Windows has other kinds of links
                if real not in above and not (link and behind and real in seen):
                    into = linked if link or behind else waiting
                    into.append((f"{prefix}{entry.name}/", real, above | {real}, link or behind))
            elif os.path.isfile(path) or not os.path.exists(path):  # no pipe: opening one may never end
                (more if link or behind else files)[tidy(f"{prefix}{entry.name}")] = real
    return files | {name: real for name, real in more.items() if name not in files}, told


def tidy(name):
    """A name with / between its parts and no more: those in zips may have \\, or begin with ./ or / or ../."""
    return re.sub(r"^(\.\./)*/*", "", posixpath.normpath(name.replace("\\", "/")))


def hidden(part):
    """Whether a file or folder of this name is the system's affair."""
    return part in SYSTEMS or part.startswith(".")


def pictures(files, where, told):
    """The names of the images among `files`, in order; raises ColdlabError where there are none."""
    names = [name for name in sorted(files) if not any(hidden(part) for part in name.split("/"))]
    images = [name for name in names if name.lower().endswith(SUFFIXES)]
    own = written(images, names)
    left = [name for name in images if name in own]
    if left:
        told.append(f"{len(left)} pictures in {where} were written by coldlab and are left out: {few(left)}.")
    if len(left) == len(images):
        but = " that coldlab did not write" if left else ""
        kinds = ", ".join(SUFFIXES)
        raise ColdlabError(f"no images ({kinds}){but} among {len(names)} files in {where}: {few(names)}.")
    return [name for name in images if name not in own]


def written(images, names):
    """Those of the images that coldlab's commands wrote: all in the folder of a run, and what `restore`, `sample` make.

    A folder is a run's if it holds config.json and log.jsonl, model.safetensors, or step-*.pt. Where all images lie in
    it (`cd photos; train --dataset . --out .`), only those with the names that a run gives are its own.
    """
    inside, own = {}, set()
    for name in names:
        folder, slash, file = name.rpartition("/")
        inside.setdefault(folder + slash, set()).add(file)
    for folder, files in inside.items():
        saved = "model.safetensors" in files or any(fnmatchcase(file, "step-*.pt") for file in files)
        if saved or {"config.json", "log.jsonl"} <= files:
            below = [name for name in images if name.startswith(folder)]
            if len(below) == len(images):
                below = [f"{folder}{file}" for file in files if any(fnmatchcase(file, kind) for kind in WRITTEN)]
            own.update(below)
        for film in (file for file in files if file.endswith("trajectory.png")):
            last = "samples.png" if film == "trajectory.png" else film.replace("-trajectory.png", "-restored.png")
            if last in files:
                own.update((f"{folder}{film}", f"{folder}{last}"))
    return own


def arrange(names, files, where, told):
    """({name: "train" or "test"}, {name: class}, or None where some images are in no folder)."""
    parts = {name: name.split("/") for name in names}
    depth = split_depth(parts.values())
    if depth is not None:
        kinds = {name: SPLITS.get(p[depth].lower()) if len(p) > depth + 1 else None for name, p in parts.items()}
        test = "test" if "test" in kinds.values() else "val"
        outside = [name for name in names if kinds[name] not in ("train", test)]
        if outside:
            what = f"{len(outside)} images in {where} lie outside of its folders for training and test"
            told.append(f"{what} and are left out: {few(outside)}.")
        parts = {name: p[:depth] + p[depth + 1 :] for name, p in parts.items() if kinds[name] in ("train", test)}
    first = {}
    for name in (name for name in files if name in parts):
        first.setdefault(files[name], name)
    copies = [name for name in parts if first[files[name]] != name]
    if copies:
        told.append(f"{len(copies)} images in {where} are links to others of it and are left out: {few(copies)}.")
    parts = {name: p for name, p in parts.items() if first[files[name]] == name}
    while all(len(p) > 1 for p in parts.values()) and len({p[0] for p in parts.values()}) == 1:
        parts = {name: p[1:] for name, p in parts.items()}  # the one folder around all the others is no class
    if depth is None:
        tell_of_near_splits(parts.values(), where, told)
        test = set(list(parts)[9::10] or list(parts)[-1:])
        sides = {name: "test" if name in test else "train" for name in parts}
    else:
        sides = {name: "train" if kinds[name] == "train" else "test" for name in parts}
    return sides, {name: p[0] for name, p in parts.items()} if all(len(p) > 1 for p in parts.values()) else None


def split_depth(parts):
    """How deep the topmost folders lie of which one is for training and another beside it for test or validation."""
    beside = {}
    for p in parts:
        for depth, name in enumerate(p[:-1]):
            if name.lower() in SPLITS:
                beside.setdefault(tuple(p[:depth]), set()).add(SPLITS[name.lower()])
    return min((len(above) for above, kinds in beside.items() if "train" in kinds and len(kinds) > 1), default=None)


def tell_of_near_splits(parts, where, told):
    """Say so where folders look like splits and are none, such as a train without a test, or trainA beside testA."""
    near = sorted({p[0] for p in parts if len(p) > 1 and re.match("train|test|val", p[0].lower())})
    kinds = {name[:2].lower() for name in near}
    if any(name.lower() in SPLITS for name in near) or ("tr" in kinds and len(kinds) > 1):
        what = "is an ordinary folder" if len(near) == 1 else "are ordinary folders"
        fix = "call two of them train and test where they are splits"
        told.append(f"{few(near)} in {where} {what} here, and every tenth image is for test; {fix}.")
