"""Real images as tensors: named datasets, anybody's folder or zip, and single files of 8 or 16 bits.

The idea: images rest as uint8 (N, C, H, W), one tensor per split, and only three functions know the other ranges:
`to_float` ([-1, 1], networks and degradations), `to_unit` ([0, 1], metrics and plots) and `to_uint8` (back to rest).
Every image is fitted the same way: the centre square, resized (bilinear, antialiased), and the centre of that.
"""

import os
import sys
import textwrap
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from .errors import ColdlabError, unknown

NAMES = ("digits", "mnist", "fashion-mnist", "cifar10", "celeba")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
ALIGNED = "celeba-aligned-89x109"  # a folder of aligned CelebA JPEGs at half their usual size
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")  # Pillow's names


def load(name, split="train", size=None, zoom=None, skip_unreadable=False):
    """Images uint8 (N, C, H, W) of one split, and labels long (N,), or None where there are none.

    name: one of NAMES, or the path of a folder or .zip of images. "digits" needs no download; the others come through
    torchvision into `folder()`. "celeba" also takes a folder celeba-aligned-89x109 there: numbers to 009000 are train.

    A folder or zip: `train` and `test` subfolders are the splits where both exist, otherwise every tenth image by name
    is test. Labels number the (other) subfolders in alphabetical order. C is 1 if every file is grey, otherwise 3.

    size: side of the square result; None keeps the files' own size (CelebA: its centre square).
    zoom: resize to int(zoom * size), then cut the centre. None is the dataset's protocol: 1.12 for mnist and
    fashion-mnist (28 -> 35 -> 32, as in the paper), 1.0 otherwise. Without size it has no effect.
    skip_unreadable: leave out files that cannot be decoded instead of stopping at them.

    Raises ColdlabError for an unknown name, split or size, a failed download, and files that cannot be used.
    """
    if split not in ("train", "test"):
        raise ColdlabError(f"split is {split!r}; it is either 'train' or 'test'.")
    _check_size(size)
    if zoom is not None and not 1 <= zoom <= 10:
        raise ColdlabError(f"zoom is {zoom!r}; it lies in 1..10, where 1 resizes without cutting.")
    name, path = os.fspath(name), Path(name).expanduser()
    key = name if name in NAMES or path.exists() else name.lower()
    zoom = zoom or (1.12 if key in ("mnist", "fashion-mnist") else 1.0)
    if key not in NAMES and path.exists():
        return _from_path(path, split, size, zoom, skip_unreadable)
    if key not in NAMES:
        if path.suffix == ".zip" or name.startswith((".", "~")) or "/" in name or "\\" in name:
            raise ColdlabError(f"no folder or zip at {name!r}; check the path, or name one of {', '.join(NAMES)}.")
        raise unknown("dataset", name, NAMES)
    if key == "celeba":
        files = _celeba(split)
        return _read(files, lambda file: open(file, "rb"), False, size, zoom, skip_unreadable, key, square=True)[
            0
        ], None
    images, labels = _digits(split) if key == "digits" else _torchvision(key, split)
    return _fit_uint8(images, size, zoom), labels


def to_float(images):
    """uint8 images (any shape) as float32 in [-1, 1]: images / 127.5 - 1, so that 0 is -1 and 255 is 1."""
    if images.dtype != torch.uint8:
        raise ColdlabError(f"to_float takes uint8 images, not {images.dtype}; float images are in [-1, 1] already.")
    return images.float() / 127.5 - 1


def to_unit(x):
    """Images in [-1, 1] (or uint8) as floats in [0, 1], clamped: what metrics and plots take."""
    if x.dtype == torch.uint8:
        return x.float() / 255
    if not x.is_floating_point():
        raise ColdlabError(f"to_unit takes float images in [-1, 1] or uint8 ones, not {x.dtype}.")
    x = x if x.dtype == torch.float64 else x.float()  # half precision would round the sum
    return ((x + 1) / 2).clamp(0, 1)


def to_uint8(x):
    """Images in [-1, 1] as uint8: rounded (truncation would darken by half a level) and clamped."""
    return (to_unit(x) * 255).round().to(torch.uint8)


def folder():
    """Where datasets live: COLDLAB_DATA, or `coldlab` in the user's cache folder."""
    if os.environ.get("COLDLAB_DATA"):
        return Path(os.environ["COLDLAB_DATA"]).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "coldlab"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/coldlab"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coldlab"


def read_image(path, channels=None, size=None):
    """One image file as x (1, C, H, W), float32 in [-1, 1], and the bits of its values: 8, 16 or 24.

    PNG, JPEG and whatever else Pillow opens; 16-bit grey PNG and TIFF keep their 16 bits (Pillow reads 16-bit *colour*
    as 8). A .npy file holds (H, W), (C, H, W), (H, W, C) or (1, C, H, W): uint8, uint16, or floats in [-1, 1], whose
    24 bits are float32's significand. Transparent parts become white; the camera's orientation is applied.

    channels: 1 (luma) or 3, None as in the file. size: the centre square resized; None leaves every pixel alone.
    Raises ColdlabError where there is no such file or it cannot be read.
    """
    path = Path(path).expanduser()
    if channels not in (None, 1, 3):
        raise ColdlabError(f"channels is {channels!r}; it is 1, 3 or None.")
    _check_size(size)
    if not path.is_file():
        raise ColdlabError(f"there is no image file {str(path)!r}.")
    try:
        pixels, bits = _npy(path) if path.suffix.lower() == ".npy" else _decode(path)
    except Exception as error:  # decoders fail on hostile bytes with almost any type
        raise ColdlabError(f"{str(path)!r} cannot be read as an image ({_reason(error)}).") from error
    x = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    if bits < 24:
        x = x / ((2**bits - 1) / 2) - 1
    if channels == 1 and x.shape[1] == 3:
        x = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)  # ITU-R BT.601
    elif channels == 3:
        x = x.expand(-1, 3, -1, -1)
    return (x if size is None else _fit(x, size, 1.0)).contiguous(), bits


def _digits(split):
    """scikit-learn's 1,797 digits: 8x8 -> 24x24 (bicubic), a steep sigmoid at 0.45, 4 black pixels around."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    x = torch.tensor(raw.images / 16)[:, None]
    x = F.interpolate(x, size=24, mode="bicubic", align_corners=False)
    low, x, high = (torch.sigmoid(12 * (v - 0.45)) for v in (torch.zeros(()), x, torch.ones(())))
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
            f"{name} needs torchvision, which does not import beside torch {torch.__version__} ({_reason(error)}); "
            "install a matched pair (pip install --upgrade torch torchvision), or use 'digits', which needs none."
        ) from error
    make, root = getattr(datasets, kind), folder()
    source = getattr(make, "mirrors", [getattr(make, "url", "Google Drive, through gdown")])[0]
    try:
        return make(root, download=False, **options)
    except Exception as error:
        if "not found" not in str(error):
            fix = "delete its folder there and load it again, or use 'digits', which needs no download"
            raise ColdlabError(f"the files of {name} in {root} are broken ({_reason(error)}); {fix}.") from error
    try:
        return make(root, download=True, **options)
    except Exception as error:
        raise ColdlabError(
            f"{name} is not in {root} and could not be downloaded from {source} ({_reason(error)}); set COLDLAB_DATA "
            "to a folder that has it, or use 'digits', which needs no download."
        ) from error


def _from_path(path, split, size, zoom, skip_unreadable):
    """Images and labels of a folder or a zip; a zip is read in place, nothing is unpacked to disk."""
    if path.is_dir():
        found = (Path(top, file) for top, _, files in os.walk(path, followlinks=True) for file in files)
        names = [file.relative_to(path).as_posix() for file in found]
        return _from_names(names, lambda name: open(path / name, "rb"), split, size, zoom, skip_unreadable, path)
    if not zipfile.is_zipfile(path):
        raise ColdlabError(f"{str(path)!r} is neither a folder nor a zip of images; read_image reads a single image.")
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        return _from_names(names, archive.open, split, size, zoom, skip_unreadable, path)


def _from_names(names, opened, split, size, zoom, skip_unreadable, where):
    """Sort the files' names into splits and classes, then read one split."""
    names = [n for n in sorted(names) if not any(p == "__MACOSX" or p[0] == "." for p in n.split("/"))]
    parts = {name: name.split("/") for name in names if name.lower().endswith(SUFFIXES)}
    if not parts:
        raise ColdlabError(f"no images ({', '.join(SUFFIXES)}) among {len(names)} files in {where}: {_few(names)}.")
    if where.is_file() and len({p[0] for p in parts.values()}) == 1 and all(len(p) > 1 for p in parts.values()):
        parts = {name: p[1:] for name, p in parts.items()}  # a zipped folder: its own name is no class
    if {"train", "test"} <= {p[0] for p in parts.values()}:
        chosen = [name for name, p in parts.items() if p[0] == split]
        parts = {name: p[1:] for name, p in parts.items() if p[0] in ("train", "test")}
    else:
        test = set(list(parts)[9::10] or list(parts)[-1:])
        chosen = [name for name in parts if (name in test) == (split == "test")]
    if not chosen:
        raise ColdlabError(f"{where} holds one image, which is the test split; add more, or give split='test'.")
    modes = (_mode(opened, name) for name in parts)  # of both splits, so that they get the same channels
    grey = all(mode in GREY_MODES for mode in modes if mode)
    images, kept = _read(chosen, opened, grey, size, zoom, skip_unreadable, where)
    if min(len(p) for p in parts.values()) < 2:
        return images, None
    classes = sorted({p[0] for p in parts.values()})
    return images, torch.tensor([classes.index(parts[chosen[i]][0]) for i in kept])


def _read(names, opened, grey, size, zoom, skip_unreadable, where, square=False):
    """Decode and fit one file after the other: uint8 (N, C, H, W), and the indices of the names that were readable."""
    from tqdm import tqdm

    images, kept, bad = None, [], {}
    for i, name in enumerate(tqdm(names, desc=f"reading {where}", delay=2, leave=False, disable=None)):
        try:
            with opened(name) as file:
                pixels, bits = _decode(file)
        except Exception as error:  # decoders fail on broken bytes with almost any type
            bad[str(name)] = _reason(error)
            continue
        pixels = np.round(pixels / 257).astype(np.uint8) if bits == 16 else pixels
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].expand(-1, 1 if grey else 3, -1, -1)
        x = _fit_uint8(x, size or (min(x.shape[-2:]) if square else None), zoom)[0]
        if images is None:
            _check_memory(len(names) * x.numel(), where)
            images = torch.empty(len(names), *x.shape, dtype=torch.uint8)
        if x.shape != images.shape[1:]:
            sizes = [f"{n} is {v.shape[-1]}x{v.shape[-2]}" for n, v in ((names[kept[0]], images), (name, x))]
            raise ColdlabError(f"images in {where} differ in size ({', '.join(sizes)}); give a size, such as size=64.")
        images[len(kept)] = x
        kept.append(i)
    if bad and not (skip_unreadable and kept):
        fix = f"mend them, or give skip_unreadable=True to use the other {len(kept)}" if kept else "no others are left"
        reason = next(iter(bad.values()))
        raise ColdlabError(f"cannot read {len(bad)} of {len(names)} images in {where}: {_few(bad)} ({reason}); {fix}.")
    return images[: len(kept)], kept


def _decode(file):
    """Pixels (H, W, C) of an image file, upright and opaque, and their bits: uint8 and 8, or uint16 and 16."""
    from PIL import Image, ImageOps

    with Image.open(file) as image:
        image, grey = ImageOps.exif_transpose(image), image.mode in GREY_MODES
        if image.mode in ("I", "F") or image.mode.startswith("I;"):  # 16-bit grey is I in older versions of Pillow
            pixels = np.asarray(image)[..., None]
            if image.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
                raise ValueError("32-bit pixels have no agreed range: save 16-bit ones, or a .npy in [-1, 1]")
            return pixels.astype(np.uint16), 16
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        pixels = np.array(image.convert("L" if grey else "RGB"))
        return pixels.reshape(*pixels.shape[:2], -1), 8


def _mode(opened, name):
    """Pillow's name for the colours of a file, from its header; None if it is unreadable, which `_read` reports."""
    from PIL import Image

    try:
        with opened(name) as file, Image.open(file) as image:
            return image.mode
    except Exception:
        return None


def _npy(path):
    """Pixels (H, W, C) of a .npy file and their bits."""
    array = np.load(path, allow_pickle=False)
    pixels = array[0] if array.ndim == 4 and len(array) == 1 else array
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
        raise ValueError(f"its shape is {array.shape}, not (H, W), (C, H, W), (H, W, C) or (1, C, H, W) with C 1 or 3")
    bits = {"uint8": 8, "uint16": 16, "float16": 8, "float32": 24, "float64": 24}.get(array.dtype.name)
    if bits is None:
        raise ValueError(f"its type is {array.dtype}, not uint8, uint16 or float")
    if (
        array.dtype.kind == "f" and not np.abs(pixels).max() <= 10
    ):  # noise may leave [-1, 1]; 0..255 and NaN are refused
        raise ValueError(f"its values reach from {pixels.min()} to {pixels.max()}; floats are in [-1, 1]")
    if array.dtype.kind == "f" and pixels.min() >= 0:
        warnings.warn(f"{path} has no value below 0; floats are taken to be in [-1, 1], not [0, 1].", stacklevel=3)
    return pixels, bits


def _fit(x, size, zoom):
    """The centre square of float images, resized to int(zoom * size), and the centre size x size of that."""
    x, side = _centre(x, min(x.shape[-2:])), int(zoom * size)
    if x.shape[-1] != side:
        x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return _centre(x, size)


def _fit_uint8(images, size, zoom):
    """`_fit` for uint8 images (N, C, H, W), rounded; chunks keep the float copy small."""
    if size is None:
        return images
    return torch.cat([_fit(chunk.float(), size, zoom).round().to(torch.uint8) for chunk in images.split(1024)])


def _centre(x, side):
    """The centre; an odd margin goes where torchvision's CenterCrop puts it."""
    top, left = (round((n - side) / 2) for n in x.shape[-2:])
    return x[..., top : top + side, left : left + side]


def _check_size(size):
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ColdlabError(f"size is {size!r}; it is a whole number of pixels from 1, or None.")


def _check_memory(need, where):
    """Say that the images do not fit before the system kills the process."""
    if hasattr(os, "sysconf") and need > (have := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
        much = f"{need / 2**30:.0f} GiB, more than this machine's {have / 2**30:.0f}"
        raise ColdlabError(f"the images of {where} take {much}; give a smaller size, such as size=64.")


def _few(names):
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or "none"


def _reason(error):
    """An error's first words on one line."""
    return textwrap.shorten(" ".join(str(error).split()) or type(error).__name__, 160, placeholder=" ...")
