"""One image file as a tensor: decoded, brought to grey or RGB, and fitted to a size.

The idea that holds this file together: what a file cannot give is told with its name, and a range of values is never
guessed. Every image is fitted the same way: the centre square, resized (bilinear, antialiased), the centre of that.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import ColdlabError

GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")  # Pillow's names


def read_image(path, channels=None, size=None):
    """One image file as x (1, C, H, W), float32 in [-1, 1], and the bits of its values: 8, 12, 16 or 24.

    PNG, JPEG and whatever else Pillow opens; grey PNG and TIFF of 12 or 16 bits keep them (Pillow reads 16-bit *colour*
    as 8), signed and 32-bit pixels are refused, for their range is a guess. A .npy file holds (H, W), (C, H, W),
    (H, W, C) or (1, C, H, W): uint8, uint16, or floats in [-1, 1], whose 24 bits are float32's significand. Transparent
    parts become white; the camera's orientation is applied.

    channels: 1 (luma) or 3, None as in the file. size: the centre square resized; None leaves every pixel alone.
    Raises ColdlabError where there is no such file or it cannot be read.
    """
    path, there = located(path)
    if channels not in (None, 1, 3):
        raise ColdlabError(f"channels is {channels!r}; it is 1, 3 or None.")
    check_size(size)
    if not (there and path.is_file()):
        raise ColdlabError(f"there is no image file {str(path)!r}.")
    try:
        pixels, bits = read_npy(path) if path.suffix.lower() == ".npy" else decode(path)
    except Exception as error:  # decoders fail on hostile bytes with almost any type
        raise ColdlabError(f"{str(path)!r} cannot be read as an image ({reason(error)}).") from error
    x = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    if pixels.dtype.kind == "u":
        x = x / ((2**bits - 1) / 2) - 1
    if channels == 1 and x.shape[1] == 3:
        x = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)  # ITU-R BT.601
    elif channels == 3:
        x = x.expand(-1, 3, -1, -1)
    return (x if size is None else fit(x, size, 1.0)).contiguous(), bits


def check_size(size):
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ColdlabError(f"size is {size!r}; it is a whole number of pixels from 1, or None.")


def located(path):
    """(the path, ~ written out, and whether anything is there); raises ColdlabError where looking is forbidden."""
    try:
        path = Path(path).expanduser()
        return path, path.exists()
    except PermissionError as error:
        raise ColdlabError(f"{str(path)!r} cannot be looked at ({error.strerror}); check its permissions.") from None
    except (OSError, RuntimeError, ValueError):  # too long, of a user that is not here, or with a zero byte
        return Path(path), False


def decode(file):
    """Pixels (H, W, C) of an image file, upright and opaque, and their bits: uint8 and 8, or uint16 and 12 or 16."""
    from PIL import Image, ImageOps

    with Image.open(file) as image:
        tags, grey = getattr(image, "tag_v2", {}), image.mode in GREY_MODES  # the tags of TIFF
        depth, signed, inverted = max(tags.get(258, (8,))), 2 in tags.get(339, ()), tags.get(262) == 0
        image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "F") or image.mode.startswith("I;"):  # 16-bit grey is I in older versions of Pillow
            pixels, bits = np.asarray(image)[..., None], 12 if depth == 12 else 16
            if image.mode == "F" or depth > 16 or signed or pixels.min() < 0 or pixels.max() > 65535:
                fix = "save unsigned ones of 8 or 16 bits, or a .npy in [-1, 1]"
                raise ValueError(f"signed and 32-bit pixels have no agreed range: {fix}")
            pixels = pixels.astype(np.uint16)
            return (2**bits - 1 - pixels if inverted else pixels), bits  # Pillow leaves 16-bit "white is zero" as it is
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        pixels = np.array(image.convert("L" if grey else "RGB"))
        return pixels.reshape(*pixels.shape[:2], -1), 8


def read_npy(path):
    """Pixels (H, W, C) of a .npy file and their bits."""
    array = np.load(path, allow_pickle=False)
    pixels = array[0] if array.ndim == 4 and len(array) == 1 else array
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
        raise ValueError(f"its shape is {array.shape}, not (H, W), (C, H, W), (H, W, C) or (1, C, H, W) with C 1 or 3")
    bits = {"uint8": 8, "uint16": 16, "float16": 8, "float32": 24, "float64": 24}.get(array.dtype.name)  # float16: 11
    if bits is None:
        raise ValueError(f"its type is {array.dtype}, not uint8, uint16 or float")
    if array.dtype.kind == "f" and not np.abs(pixels).max() <= 10:  # noise leaves [-1, 1]; 0..255 and NaN are refused
        raise ValueError(f"its values reach from {pixels.min()} to {pixels.max()}; floats are in [-1, 1]")
    if array.dtype.kind == "f" and pixels.min() >= 0:
        warnings.warn(f"{path} has no value below 0; floats are taken to be in [-1, 1], not [0, 1].", stacklevel=3)
    return pixels, bits


def fit(x, size, zoom):
    """The centre square of float images, resized to int(zoom * size), and the centre size x size of that."""
    x, side = _centre(x, min(x.shape[-2:])), int(zoom * size)
    if x.shape[-1] != side:
        x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return _centre(x, size)


def fit_uint8(images, size, zoom):
    """`fit` for uint8 images (N, C, H, W), rounded, halves up.

    In float64, and a hair above: the same file then gives the same levels on every processor, and one `fingerprint`.
    """
    if size is None:
        return images
    fitted = torch.empty(*images.shape[:2], size, size, dtype=torch.uint8)
    each = max(1, 2**24 // max(1, images[:1].numel()))  # few enough for the float64 copy to stay small
    for done, chunk in zip(fitted.split(each), images.split(each), strict=True):
        done.copy_((fit(chunk.double(), size, zoom) + 0.5 + 1e-6).floor())
    return fitted


def _centre(x, side):
    """The centre; an odd margin goes where torchvision's CenterCrop puts it."""
    top, left = (round((n - side) / 2) for n in x.shape[-2:])
    return x[..., top : top + side, left : left + side]


def few(names):
    """The first three of some names, each short and on one line; a name may hold anything, a line break too."""
    names = list(names)
    return ", ".join(short(name, 80) for name in names[:3]) + (", ..." if len(names) > 3 else "") or "none"


def reason(error):
    """An error's first words on one line."""
    if type(error).__name__ == "UnidentifiedImageError":  # whose text is an object of Python's
        return "in no format that Pillow knows"
    return short(str(error) or type(error).__name__, 160)


def short(text, most):
    """A text on one line, its middle left out where it is longer than `most`."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else f"{text[: most // 2 - 3]} ... {text[-(most // 2 - 3) :]}"
