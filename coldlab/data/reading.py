"""Many image files as one tensor: a split of a folder or a zip, decoded and fitted one file after the other.

The idea that holds this file together: what cannot be used is told before anything is returned, of both splits at once,
so that nobody trains for hours towards a broken test image. Nothing is unpacked to disk.
"""

import os
import warnings
import zipfile

import numpy as np
import torch

from ..errors import ColdlabError
from .files import GREY_MODES, decode, few, fit_uint8, reason, short
from .folders import arrange, pictures, tidy, walk


def from_path(path, split, size, zoom, skip_unreadable):
    """Images and labels of a folder or a zip, as `load` describes them; a zip is read in place."""
    if path.is_dir():
        files, told = walk(path, skip_unreadable)
        return _from_files(files, told, lambda file: open(file, "rb"), split, size, zoom, skip_unreadable, path)
    with _archive(path) as archive:
        files = {tidy(name): name for name in archive.namelist() if not name.endswith(("/", "\\"))}
        return _from_files(files, [], archive.open, split, size, zoom, skip_unreadable, path)


def _archive(path):
    """The zip at `path`, or one sentence."""
    if not path.is_file():
        raise ColdlabError(f"{str(path)!r} is neither a folder nor a file; give a folder or a zip of images.")
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise ColdlabError(f"{str(path)!r} cannot be read ({error.strerror}).") from None
    except Exception as error:  # hostile bytes raise more than BadZipFile
        if path.suffix.lower() == ".zip":
            fix = "make or download it again"
            raise ColdlabError(f"{str(path)!r} cannot be read as a zip ({reason(error)}); {fix}.") from None
        what = "neither a folder nor a zip of images"
        raise ColdlabError(f"{str(path)!r} is {what}; read_image reads a single image.") from None


def _from_files(files, told, opened, split, size, zoom, skip_unreadable, where):
    """Sort out the names, say what is remarkable, then read one split. files: {name: what `opened` opens}."""
    sides, classes = arrange(pictures(files, where, told), files, where, told)
    for sentence in told:
        warnings.warn(sentence, stacklevel=4)  # at the line that called `load`
    mine, others = ([name for name in sides if (sides[name] == split) == asked] for asked in (True, False))
    if not mine:
        raise ColdlabError(f"{where} holds one image, which is the test split; add more, or give split='test'.")
    headers = {name: header for name in sides if (header := _header(opened, files[name]))}
    if size is None:
        _check_sizes({name: size for name, (_, size) in headers.items()}, where)
    grey = all(mode in GREY_MODES for mode, _ in headers.values())  # of both splits: they get the same channels
    images, kept, bad = read({name: files[name] for name in mine}, opened, grey, size, zoom, where)
    tried = {split: (mine, bad)}
    if split == "train":
        checked = {name: error for name in bar(others, f"checking {where}") if (error := _trial(opened, files[name]))}
        tried["test"] = others, checked
    refuse(tried, skip_unreadable, where)
    if classes is None:
        return images, None
    known = sorted(set(classes.values()))
    return images, torch.tensor([known.index(classes[name]) for name in kept])


def read(files, opened, grey, size, zoom, where, square=False):
    """Decode and fit one file after the other. files: {name: what `opened` opens}.

    Returns images uint8 (N, C, H, W) of those that could be read, their names, and {name: why not} of the others.
    square: without a size, the centre square of each.
    """
    images, kept, bad = torch.empty(0, dtype=torch.uint8), [], {}
    for name in bar(files, f"reading {where}"):
        try:
            with opened(files[name]) as file:
                pixels, bits = decode(file)
        except Exception as error:  # decoders fail on broken bytes with almost any type
            bad[name] = reason(error)
            continue
        pixels = np.round(pixels / ((2**bits - 1) / 255)).astype(np.uint8) if bits > 8 else pixels
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].expand(-1, 1 if grey else 3, -1, -1)
        x = fit_uint8(x, size or (min(x.shape[-2:]) if square else None), zoom)[0]
        images = images if kept else _room(len(files), x.shape, where)
        if x.shape != images.shape[1:]:
            _check_sizes({kept[0]: images.shape[:1:-1], name: x.shape[:0:-1]}, where)
        images[len(kept)] = x
        kept.append(name)
    return images[: len(kept)], kept, bad


def refuse(tried, skip, where):
    """Raise ColdlabError for what cannot be read. tried: {split: (its names, {name: why it cannot be read})}.

    skip: only where nothing is left of a split.
    """
    bad = {name: error for _, errors in tried.values() for name, error in errors.items()}
    count = sum(len(names) for names, _ in tried.values())
    for split, (names, errors) in tried.items():
        if names and len(errors) == len(names):
            told = f"none of the {len(names)} images for {'training' if split == 'train' else 'test'} in {where}"
            raise ColdlabError(f"{told} can be read: {few(errors)} ({next(iter(errors.values()))}); mend one at least.")
    if bad and not skip:
        fix = "mend them, or leave them out: --skip-unreadable, in Python skip_unreadable=True, uses the other"
        told = f"cannot read {len(bad)} of {count} images in {where}: {few(bad)} ({next(iter(bad.values()))})"
        raise ColdlabError(f"{told}; {fix} {count - len(bad)}.")


def bar(names, text):
    """The names, with a progress bar where it takes more than two seconds."""
    from tqdm import tqdm

    return tqdm(names, short(text, 60), delay=2, leave=False, disable=None)


def _header(opened, file):
    """Pillow's name for the colours of a file and its (width, height), or None if it is unreadable."""
    from PIL import Image

    try:
        with opened(file) as content, Image.open(content) as image:
            return image.mode, image.size
    except Exception:
        return None


def _trial(opened, file):
    """Why a file cannot be decoded, or None."""
    try:
        with opened(file) as content:
            decode(content)
    except Exception as error:
        return reason(error)


def _check_sizes(sizes, where):
    """Raise ColdlabError unless the images, {name: (width, height)}, are squares of one size."""
    items = list(sizes.items())
    other = next((item for item in items if sorted(item[1]) != sorted(items[0][1])), None)
    oblong = next((item for item in items if item[1][0] != item[1][1]), None)
    if other or oblong:
        what, shown = ("differ in size", [items[0], other]) if other else ("are not square", [oblong])
        shown = ", ".join(f"{few([name])} is {width}x{height}" for name, (width, height) in shown)
        raise ColdlabError(f"images in {where} {what} ({shown}); give a size, such as size=64 (--size 64).")


def _room(count, shape, where):
    """Room for so many images, or a ColdlabError before the system kills the process."""
    need, fix = count * shape.numel(), "give a smaller size, such as size=64 (--size 64)"
    told = f"the images of {where} take {need / 2**30:.1f} GiB"
    if hasattr(os, "sysconf") and need > (have := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
        raise ColdlabError(f"{told}, more than this machine's {have / 2**30:.1f}; {fix}.")
    try:
        return torch.empty(count, *shape, dtype=torch.uint8)
    except RuntimeError:
        raise ColdlabError(f"{told}, more than is free; {fix}.") from None
