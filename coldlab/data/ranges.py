"""The three ranges of pixels: uint8 at rest, [-1, 1] in networks, [0, 1] in metrics and plots.

The idea: only these functions know more than one of them. Images at rest have a fingerprint.
"""

import hashlib

import torch

from ..errors import ColdlabError


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


def eight_bits(x):
    """What an 8-bit file keeps of x in [-1, 1]: rounded to 256 levels."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def fingerprint(images):
    """16 hex digits that tell uint8 images (N, C, H, W) from any others, their order, number and shape included.

    BLAKE2b of shape and bytes, about one second for a GB. The same files read with the same size and zoom have the same
    one wherever they lie and on every processor; only another JPEG decoder may give other levels.
    """
    if not torch.is_tensor(images) or images.dtype != torch.uint8:
        kind = images.dtype if torch.is_tensor(images) else type(images).__name__
        raise ColdlabError(f"fingerprint takes uint8 images, not {kind}; `load` gives such.")
    total = hashlib.blake2b(repr(tuple(images.shape)).encode(), digest_size=8)
    for chunk in images.split(1024):  # a view or a GPU's tensor is copied in small parts
        total.update(chunk.cpu().contiguous().numpy().reshape(-1))
    return total.hexdigest()
