"""Pictures larger than those a network was trained on, whole: D for their size, R as it is, tile by tile if need be.

The idea that holds this file together: a convolutional network has no size. What it learnt on thumbnails it does to
each part of a photograph, if D leaves there what it would leave of a thumbnail; only the tables of D are made anew.
"""

import torch
from torch import nn

from .checkpoints import ready
from .degradations import Pixelate, make
from .errors import ColdlabError
from .unet import Preconditioned

TILE, MARGIN = 512, 384  # pixels on a side of a tile's middle, and around it: no network that ships looks further


class Tiles(nn.Module):
    """A network over an image (B, C, H, W) tile by tile: each tile is shown with a margin, and its middle is kept.

    net: a UNet without attention, which would look beyond any margin. tile, margin: multiples of net.multiple, in
    pixels. Memory then grows with the tile, not with the image; what is kept differs from the whole image's by what
    reaches across the margin.
    """

    def __init__(self, net, tile=TILE, margin=MARGIN):
        super().__init__()
        self.net, self.tile, self.margin, self.channels, self.inputs = net, tile, margin, net.channels, net.inputs
        if tile % net.multiple or margin % net.multiple or tile < 1 or margin < 0:
            raise ColdlabError(f"tiles of {tile} with a margin of {margin}; both are multiples of {net.multiple}.")

    def forward(self, x, t, label=None):
        (B, _, H, W), tile, margin = x.shape, self.tile, self.margin
        if max(H, W) <= tile:
            return self.net(x, t, label)
        out = x.new_empty(B, self.channels, H, W, dtype=torch.float32)
        for top in range(0, H, tile):
            for left in range(0, W, tile):
                up, before = max(0, top - margin), max(0, left - margin)
                part = x[..., up : top + tile + margin, before : left + tile + margin]
                part = self.net(part, t, label)[..., top - up :, left - before :][..., :tile, :tile]
                out[..., top : top + part.shape[-2], left : left + part.shape[-1]] = part
        return out


def fitting(D, x):
    """The part of an image (..., H, W) that a D of its kind can take: pixelation needs whole blocks.

    Raises ColdlabError where there is no such part.
    """
    block, (height, width) = 2**D.T if isinstance(D, Pixelate) else 1, x.shape[-2:]
    if min(height, width) < block:
        raise ColdlabError(f"a picture of {width} x {height} pixels has no whole block of {block} x {block}.")
    return x[..., : x.shape[-2] // block * block, : x.shape[-1] // block * block]


def resized(R, height, width, tile=TILE, margin=MARGIN):
    """R for images of height x width pixels: its network as it is, with D made for that size; R.D is that D.

    A blur whose border was a circle gets mirrors: a photograph's left edge does not go on at its right. Raises
    ColdlabError for a network with attention, and where D cannot have that size (`fitting` says which it can).
    """
    config, options = R.config, dict(R.config.options)
    if config.attention:
        raise ColdlabError(
            "this network has attention, which ties it to the size it was trained on; train one without."
        )
    if config.degradation == "blur" and options.get("padding", "circular") == "circular":
        options["padding"] = "reflect"
    D, blank = make(config.degradation, (height, width), **options), torch.zeros(2, config.channels, height, width)
    try:  # once, before hours of it: a D of one's own may know nothing but squares
        D(blank, 1, D.draw(blank))
    except (TypeError, ValueError, RuntimeError) as error:
        told = "its class takes rows and columns from self.shape, (height, width), and not from self.size"
        raise ColdlabError(
            f"{config.degradation} cannot be made for {width} x {height} pixels: {error}; {told}."
        ) from None
    preconditioned = isinstance(R, Preconditioned)
    net = Tiles(R.net if preconditioned else R, tile, margin)
    return ready(Preconditioned(net, D) if preconditioned else net, D, config)
