"""Is an image a copy of a training image, even one that was moved, mirrored or made noisy?

The idea that holds this file together: near is relative. A thin one lies near to a thousand ones, while a copied eight
lies nearer to *one* training image than to any other. So the training images are dealt out into parts, and what tells
a copy is the ratio: the distance to the nearest of all, over the median of the parts' nearest.
"""

import math
import sys

import torch
from tqdm import tqdm

from ..errors import ColdlabError
from .diversity import nearest
from .pixels import span

PARTS = 10
WAVES = 8  # per direction: the thumbnails of the coarse search are the 8 x 8 lowest frequencies of each channel
KEPT = 4  # candidates of each part that are then compared pixel by pixel


class Originals:
    """The training images that others may be copies of: `Originals(training)(x)` searches them.

    training: uint8 (M, C, H, W). shift: an image may be moved by so many pixels, in both directions. mirror: it may
    also be mirrored. parts: training image i belongs to part i % parts, so an order by class does no harm.
    Raises ColdlabError for other images, for fewer than two of them per part, and where no pixels are left to compare.
    """

    def __init__(self, training, shift=2, mirror=False, parts=PARTS):
        if training.ndim != 4 or training.dtype != torch.uint8 or len(training) < 2 * parts:
            found = f"{training.dtype} of shape {tuple(training.shape)}"
            raise ColdlabError(f"training images are {found}; give uint8 (M, C, H, W) with M at least {2 * parts}.")
        if not 0 <= shift < min(training.shape[-2:]) // 2:
            raise ColdlabError(f"shift = {shift} leaves nothing of {tuple(training.shape[-2:])} pixels to compare.")
        self.shift, self.mirror, self.parts = shift, mirror, parts
        height, width = training.shape[-2] - 2 * shift, training.shape[-1] - 2 * shift
        self.size = height, width
        self.inner = training[:, :, shift : shift + height, shift : shift + width]
        self.thumbnails = [
            torch.cat([self.thumbnail(pixels(chunk)) for chunk in part.split(2048)])
            for part in (self.inner[first::parts] for first in range(parts))
        ]

    def __call__(self, x, batch=16):
        """(distance, index, ratio), each (N,), of images x (N, C, H, W) in [0, 1], as `told` gives them.

        The distance is the RMSE of the inner pixels to the training image `index`, the least over all moves. Coarse to
        fine: the distance of thumbnails is a lower bound, and of each part the four best by it are compared in full.
        """
        if x.shape[1:] != (self.inner.shape[1], *(side + 2 * self.shift for side in self.size)):
            raise ColdlabError(f"images have shape {tuple(x.shape)}; they must have that of the training images.")
        found, inside = span(x) if len(x) else ("none", True)
        if not inside:
            raise ColdlabError(f"images are {found}; copies are searched in [0, 1]: use coldlab.data.to_unit.")
        found = [self.search(part) for part in progress(x.split(batch), "copies")]
        return told(*(torch.cat(column) for column in zip(*found, strict=True)))

    def search(self, x):
        """(distance, index), each (N, parts): the nearest training image of each part, in float64."""
        moved = self.moves(x)  # (N, S, F)
        n, moves, _ = moved.shape
        coarse = self.thumbnail(moved.flatten(0, 1).unflatten(1, (-1, *self.size)))
        best = []
        for first, thumbnails in enumerate(self.thumbnails):
            apart = (thumbnails.square().sum(1) - 2 * coarse @ thumbnails.T).view(n, moves, -1)
            apart = (apart + coarse.square().sum(1).view(n, moves, 1)).amin(1)
            best.append(apart.topk(min(KEPT, apart.shape[1]), largest=False).indices * self.parts + first)
        index = torch.stack(best, 1)  # (N, parts, KEPT)
        theirs = pixels(self.inner[index.flatten()]).flatten(1).view(n, -1, moved.shape[2])
        apart = theirs.square().sum(2)[:, :, None] - 2 * theirs @ moved.mT + moved.square().sum(2)[:, None]
        apart, move = apart.view(*index.shape, moves).min(3)
        pick = apart.argmin(2, keepdim=True)
        index, move = index.gather(2, pick)[..., 0], move.gather(2, pick)[..., 0]
        theirs = pixels(self.inner[index.flatten()]).flatten(1).view(n, self.parts, -1).double()
        ours = moved.gather(1, move[..., None].expand(-1, -1, moved.shape[2])).double()
        return (ours - theirs).square().mean(2).sqrt(), index  # the product form finds, the exact one measures

    def moves(self, x):
        """Every window of x, and of its mirror image, that may lie on a training image's inner pixels: (N, S, F)."""
        x = x.float().cpu()
        whole = [x, x.flip(3)] if self.mirror else [x]
        steps, (height, width) = range(2 * self.shift + 1), self.size
        windows = [y[:, :, i : i + height, j : j + width].flatten(1) for y in whole for i in steps for j in steps]
        return torch.stack(windows, 1)

    def thumbnail(self, x):
        """The lowest frequencies (N, K) of images (N, C, h, w), orthonormal: their distance is at most that of x."""
        down, across = (cosines(side) for side in self.size)
        return (down @ x @ across.T).flatten(1)


def neighbours(x, training, parts=PARTS):
    """(distance, index, ratio), each (N,), as `told` gives them, for rows x (N, F) among rows training (M, F)."""
    found = [nearest(x, training[first::parts]) for first in range(min(parts, len(training)))]
    distance, index = (torch.stack(column, 1) for column in zip(*found, strict=True))
    return told(distance, index * parts + torch.arange(index.shape[1]))


def told(distance, index):
    """(distance, index, ratio) of the nearest of all, from those of each part (N, parts).

    ratio: the least distance over the median of the parts', from 0 (a copy) to 1 (nothing stands out).
    """
    least, part = distance.min(1)
    middle = distance.median(1).values.clamp(min=torch.finfo(distance.dtype).tiny)
    return least, index.gather(1, part[:, None])[:, 0], least / middle


def cosines(side):
    """The lowest WAVES rows of the orthonormal cosine transform of `side` points."""
    k, n = torch.arange(min(WAVES, side))[:, None], torch.arange(side)
    rows = torch.cos(math.pi * k * (2 * n + 1) / (2 * side)) * math.sqrt(2 / side)
    return rows * torch.where(k == 0, math.sqrt(0.5), 1.0)


def pixels(images):
    """uint8 -> [0, 1]."""
    return images.float() / 255


def progress(parts, name):
    return tqdm(parts, name, leave=False, delay=2, disable=not sys.stderr.isatty())
