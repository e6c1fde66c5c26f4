"""The datasets that are known by name, and where they lie; a path goes to `reading`.

The idea: one call, `load`, gives any of them as uint8 (N, C, H, W) and labels, and every failure in one sentence.
"""

import os
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from ..errors import ColdlabError, unknown
from .files import check_size, fit_uint8, located, reason
from .reading import from_path, read, refuse

KINDS = {1: "grey", 3: "colour"}  # what images of so many channels are called
NAMES = ("digits", "mnist", "fashion-mnist", "cifar10", "celeba")
ALIGNED = "celeba-aligned-89x109"  # a folder of aligned CelebA JPEGs at half their usual size


def load(name, split="train", size=None, zoom=None, skip_unreadable=False):
    """Images uint8 (N, C, H, W) of one split, and labels long (N,), or None where there are none.

    name: one of NAMES, or the path of a folder or .zip of images. "digits" needs no download; the others come through
    torchvision into `folder()`. "celeba" also takes a folder celeba-aligned-89x109 there: numbers to 009000 are train.

    A folder or zip: where folders `train` and `test` lie beside one another (Train, testing, val, validation, ... count
    as well, at any depth), they are the splits; otherwise every tenth image by name is test. Labels number the other
    folders in alphabetical order; a folder that holds all the others is none of them. C is 1 if every file is grey,
    otherwise 3. Hidden files, what coldlab itself wrote, and links to what is there already are left out; a warning
    says so, and also where folders only look like splits.

    size: side of the square result; None keeps the files' own size, which must be one square (CelebA: its centre).
    zoom: resize to int(zoom * size), then cut the centre; None is 1.0, plain resizing. Without size it has no effect.
    The paper's code enlarges by 1.12 in training, but its tables were made with plainly resized images (chapter 2).
    skip_unreadable: leave out files that cannot be decoded instead of stopping at them. For split "train" of a folder
    or zip the test images are decoded too, so that a broken one is told before the training and not after it.

    Raises ColdlabError for an unknown name, split or size, a failed download, and files that cannot be used.
    """
    if split not in ("train", "test"):
        raise ColdlabError(f"split is {split!r}; it is either 'train' or 'test'.")
    check_size(size)
    if zoom is not None and not 1 <= zoom <= 10:
        raise ColdlabError(f"zoom is {zoom!r}; it lies in 1..10, where 1 resizes without cutting.")
    name, (path, there) = os.fspath(name), located(name)
    there = there and name != ""  # which Path takes for the folder one is in
    key = name if name in NAMES or there else name.lower()
    zoom = zoom or 1.0
    if key not in NAMES and there:
        return from_path(path, split, size, zoom, skip_unreadable)
    if key not in NAMES:
        if path.suffix.lower() == ".zip" or name.startswith((".", "~")) or "/" in name or "\\" in name:
            raise ColdlabError(f"no folder or zip at {name!r}; check the path, or name one of {', '.join(NAMES)}.")
        raise unknown("dataset", name, NAMES)
    if key == "celeba":
        files = {str(file): file for file in _celeba(split)}
        images, _, bad = read(files, lambda file: file.open("rb"), False, size, zoom, key, square=True)
        refuse({split: (files, bad)}, skip_unreadable, key)
        return images, None
    images, labels = _digits(split) if key == "digits" else _torchvision(key, split)
    return fit_uint8(images, size, zoom), labels


def folder():
    """Where datasets live: COLDLAB_DATA, or `coldlab` in the user's cache folder."""
    if os.environ.get("COLDLAB_DATA"):
        return located(os.environ["COLDLAB_DATA"])[0]
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "coldlab"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/coldlab"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coldlab"


def _digits(split):
    """scikit-learn's 1,797 digits: 8x8 -> 24x24 (bicubic), a steep sigmoid at 0.45, 4 black pixels around."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    x = torch.tensor(raw.images / 16)[:, None]
    x = F.interpolate(x, size=24, mode="bicubic", align_corners=False)
    x, low, high = (torch.sigmoid(12 * (v - 0.45)) for v in (x, *torch.tensor([0.0, 1.0], dtype=x.dtype)))
    x = ((x - low) / (high - low)).clamp(0, 1)  # black is 0 and white 255 exactly
    images = F.pad((x * 255).round().to(torch.uint8), (4, 4, 4, 4))
    part = slice(0, 1500) if split == "train" else slice(1500, None)
    return images[part].clone(), torch.tensor(raw.target, dtype=torch.long)[part].clone()


def _torchvision(name, split):
    """MNIST, Fashion-MNIST or CIFAR-10 in their own size."""
    kind = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}[name]
    dataset = _fetch(name, kind, train=split == "train")
    images = torch.as_tensor(dataset.data)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.contiguous(), torch.as_tensor(dataset.targets, dtype=torch.long)


def _celeba(split):
    """The files of torchvision's CelebA where it is there, of the aligned folder, or of a fresh download."""
    root = folder()
    if (root / ALIGNED).is_dir() and not (root / "celeba/img_align_celeba").is_dir():
        files = sorted(file for file in (root / ALIGNED).glob("*.jpg") if file.stem.isdigit())
        files = [file for file in files if (int(file.stem) <= 9000) == (split == "train")]
        if not files:
            raise ColdlabError(f"no {split} images in {root / ALIGNED}: numbers to 009000 are train, the rest test.")
        return files
    names = _fetch("celeba", "CelebA", split=split, target_type=[]).filename
    return [root / "celeba/img_align_celeba" / name for name in names]


def _fetch(name, kind, **options):
    """torchvision's dataset object, downloaded only where its files are missing; every failure told in one sentence."""
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # a mismatched pair raises RuntimeError
        raise ColdlabError(
            f"{name} needs torchvision, which does not import beside torch {torch.__version__} ({reason(error)}); "
            "install a matched pair (pip install --upgrade torch torchvision), or use 'digits', which needs none."
        ) from error
    make, root = getattr(datasets, kind), folder()
    source = getattr(make, "mirrors", [getattr(make, "url", "Google Drive, through gdown")])[0]
    try:
        return make(root, download=False, **options)
    except Exception as error:
        if "not found" not in str(error):
            fix = "delete its folder there and load it again, or use 'digits', which needs no download"
            raise ColdlabError(f"the files of {name} in {root} are broken ({reason(error)}); {fix}.") from error
    try:
        return make(root, download=True, **options)
    except Exception as error:
        raise ColdlabError(
            f"{name} is not in {root} and could not be downloaded from {source} ({reason(error)}); set COLDLAB_DATA "
            "to a folder that has it, or use 'digits', which needs no download."
        ) from error
