"""R, the restoration network: a U-Net that sees a degraded image and its severity, and says what was there.

The idea that holds this file together: one block, used everywhere. It looks around (depthwise 7 x 7), hears the
severity (a shift per channel), and thinks (two 3 x 3 convolutions). Levels halve the image, attention lets distant
pixels talk, skips carry detail across. The constructor's defaults are the paper's network, weight for weight.
"""

import functools
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from .degradations import FLOAT32
from .depthwise import Depthwise
from .errors import ColdlabError, unknown

PADDINGS = ("zeros", "replicate", "reflect", "circular")


class TimeEmbedding(nn.Module):
    """t (B,) -> (B, width): sines and cosines of t at width/2 frequencies from 1 to 1/10000, then a small MLP."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(0, -4, width // 2), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, t):
        phase = t[:, None].float() * self.frequencies
        return self.mlp(torch.cat([phase.sin(), phase.cos()], 1))


class LayerNorm(nn.Module):
    """Normalise the channels of each pixel: (x - mean) / sqrt(var + 1e-5) * weight + bias."""

    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)


class Block(nn.Module):
    """ConvNeXt block, (B, C_in, H, W) -> (B, C_out, H, W), severity added as a shift per channel, residual."""

    def __init__(self, c_in, c_out, embedding=None, norm=True):
        super().__init__()
        self.look = Depthwise(c_in, 7)
        self.hear = nn.Sequential(nn.GELU(), nn.Linear(embedding, c_in)) if embedding else None
        self.think = nn.Sequential(
            LayerNorm(c_in) if norm else nn.Identity(),
            nn.Conv2d(c_in, 2 * c_out, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * c_out, c_out, 3, padding=1),
        )
        self.carry = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x, embedding=None):
        h = self.look(x)
        if self.hear is not None:
            h = h + self.hear(embedding)[:, :, None, None]
        return self.think(h) + self.carry(x)


class LinearAttention(nn.Module):
    """Residual attention over all pixels at linear cost: out = q (softmax(k)^T v), 4 heads of 32 channels."""

    def __init__(self, channels, heads=4, head=32):
        super().__init__()
        self.heads, self.scale = heads, head**-0.5
        self.norm = LayerNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * heads * head, 1, bias=False)
        self.out = nn.Conv2d(heads * head, channels, 1)

    def forward(self, x):
        q, k, v = rearrange(self.qkv(self.norm(x)), "b (three h c) y x -> three (b h) c (y x)", three=3, h=self.heads)
        summary = k.softmax(-1) @ v.mT  # (B h, c, c): what the image holds, whatever its size
        out = summary.mT @ (q * self.scale)
        return x + self.out(rearrange(out, "(b h) c (y x) -> b (h c) y x", h=self.heads, y=x.shape[2]))


class UNet(nn.Module):
    """R(x_t, t) -> x0_hat, both (B, channels, H, W), any H and W; t an int or (B,) long; label (B,) long or None.

    Images of any float; what comes back has the precision of the weights.

    width, mults: level i has width * mults[i] channels, and each level halves the image. inputs: channels of what it is
    shown (default: channels). attention: on every level (True), none (False), or the levels listed, such as (1, 2); the
    middle has it where any level has. time, skips: switches for ablations. patch: fold patch x patch pixels into
    channels first, which is cheaper. residual: predict what to add to the last `channels` of what it is shown: to x_t,
    or to D's inverse beside it. classes: number of labels; without a label (None, or -1 for one image) R restores
    whatever fits. padding: what convolutions see beyond the border, zeros, replicate, reflect or circular. refine:
    channels between two last convolutions on single pixels, added to the answer; 0 for none.
    The defaults are the paper's, 56,612,916 weights. Raises ColdlabError for a network that cannot be.
    """

    def __init__(self, channels=1, width=64, mults=(1, 2, 4, 8), *, inputs=None, attention=True, time=True, skips=True,
                 patch=1, residual=False, classes=None, padding="zeros", refine=0):  # fmt: skip
        super().__init__()
        attention = range(len(mults)) if attention is True else attention or ()
        its_own = set(attention) <= set(range(len(mults)))
        if width < 2 or width % 2 or not mults or not its_own or (classes and not time):
            raise ColdlabError(
                f"no UNet with width {width}, mults {mults}, attention {attention}, time {time}, classes {classes}; "
                "it needs an even width, a level, attention on its own levels (from 0), and time to have classes."
            )
        if padding not in PADDINGS:
            raise unknown("padding", padding, PADDINGS)
        self.channels, self.inputs, self.patch, self.residual = channels, inputs or channels, patch, residual
        self.skips, self.classes = skips, classes
        self.multiple = patch * 2 ** (len(mults) - 1)
        widths = [self.inputs * patch**2, *(width * m for m in mults)]
        embedding = width if time else None
        self.time = TimeEmbedding(width) if time else None
        self.label = nn.Embedding(classes + 1, width) if classes else None  # the last entry means "any"

        levels = list(pairwise(widths))

        def stage(c_in, c_out, attends, resample=None, norm=True):
            mix = LinearAttention(c_out) if attends else nn.Identity()
            blocks = [Block(c_in, c_out, embedding, norm), Block(c_out, c_out, embedding)]
            return nn.ModuleList([*blocks, mix, resample or nn.Identity()])

        self.down = nn.ModuleList(
            stage(a, b, i in attention, nn.Conv2d(b, b, 4, 2, 1) if i < len(levels) - 1 else None, norm=i > 0)
            for i, (a, b) in enumerate(levels)
        )
        self.middle = stage(widths[-1], widths[-1], bool(attention))[:3]
        self.up = nn.ModuleList(
            stage(b * 2 if skips else b, a, i in attention, nn.ConvTranspose2d(a, a, 4, 2, 1))
            for i, (a, b) in reversed(list(enumerate(levels))[1:])
        )
        # The way up has one stage less than the way down: in the paper the first level's skip is stored and never used.
        self.last = Block(widths[1], widths[1])
        self.out = nn.Conv2d(widths[1], channels * patch**2, 1)
        self.refine = None
        if refine:
            wide = nn.Conv2d(self.inputs + channels, refine, 3, padding=1)
            self.refine = nn.Sequential(wide, nn.GELU(), nn.Conv2d(refine, channels, 3, padding=1))
            nn.init.zeros_(self.refine[-1].weight), nn.init.zeros_(self.refine[-1].bias)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.stride == (1, 1) and layer.kernel_size != (1, 1):
                layer.padding_mode = padding

    def forward(self, x, t, label=None):
        self.check(x, t, label)
        x = x.to(self.out.weight.dtype)
        height, width = x.shape[-2:]
        h = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        if self.patch > 1:
            h = rearrange(h, "b c (y i) (x j) -> b (c i j) y x", i=self.patch, j=self.patch)  # i, j: within a patch
        e = self.embed(x, t, label)
        passed = []
        for first, second, mix, resample in self.down:
            h = mix(second(first(h, e), e))
            passed.append(h)
            h = resample(h)
        first, second, mix = self.middle
        h = second(mix(first(h, e)), e)
        for first, second, mix, resample in self.up:
            if self.skips:
                h = torch.cat([h, passed.pop()], 1)
            h = resample(mix(second(first(h, e), e)))
        h = self.out(self.last(h))
        if self.patch > 1:
            h = rearrange(h, "b (c i j) y x -> b c (y i) (x j)", i=self.patch, j=self.patch)
        h = h[..., :height, :width]
        h = x[:, -self.channels :] + h if self.residual else h
        return h if self.refine is None else h + self.refine(torch.cat([x, h], 1))

    def embed(self, x, t, label):
        """The severity and the label as one vector per image, (B, width), or None where the network has neither."""
        t = torch.as_tensor(t, device=x.device).expand(len(x))
        e = self.time(t) if self.time is not None else None
        if self.label is not None:
            label = torch.full_like(t, -1) if label is None else label
            e = e + self.label(torch.where(label < 0, self.classes, label))
        return e

    def check(self, x, t, label):
        if x.ndim != 4 or x.shape[1] != self.inputs:
            raise ColdlabError(f"this UNet takes (B, {self.inputs}, H, W) images, not {tuple(x.shape)}.")
        if torch.is_tensor(t) and t.shape not in ((), x.shape[:1]):
            raise ColdlabError(f"this UNet got {len(x)} images and t {tuple(t.shape)}; t is an int or one per image.")
        if label is not None and self.label is None:
            raise ColdlabError("this UNet was built without labels; build it with classes=10 or leave the label out.")


class Preconditioned(nn.Module):
    """R(x_t, t) = net([x_t, D_t^+ x_t], t): beside x_t the network sees D's regularised inverse, if D has one.

    Near T the pixels of a blurred image differ by one 8-bit level; the inverse brings what is left to full contrast.
    Where D leaves more of some pixels than of others (a hole), it sees between the two how much is left, F = D.left,
    and R = F D_t^+ x_t + (1 - F) net: what is whole stays as it is.
    eps: the relative error of the images, a float or (B,); 2e-6 for float32, 4e-3 for 8-bit files (D.inverse).
    z: D's latent; by default it is read off x_t, which needs a D that is `blind`.
    In use (`eval`) the inverse is taken in float64 and only then the net rounds what it sees: what float32 rounds off
    before would come back 250,000 times as large, differently in each batch. Training, whose t differ, does without.
    """

    wide = True  # samplers may hand it their float64 states

    def __init__(self, net, D):
        super().__init__()
        self.net, self.D = net, D

    def forward(self, x, t, label=None, eps=FLOAT32, z=None):
        channels = getattr(self.net, "channels", None)  # checked here, since the net counts the inverse's, too
        if x.ndim != 4 or channels not in (None, x.shape[1]):
            found = f"this network takes (B, {channels}, H, W) images, not {tuple(x.shape)}; for images of another kind"
            raise ColdlabError(f"{found} train one on them: python -m coldlab train --dataset FOLDER.")
        x = x if self.training or x.device.type == "mps" else x.double()  # Apple's GPUs have no float64
        z = self.D.infer(x, None, t) if self.D.blind and z is None else z
        inverse, left = self.D.inverse(x, t, eps, z), self.D.left(x, t, z)
        if left is None:
            return self.net(torch.cat([x, inverse], 1), t, label)
        left = left.expand(len(x), -1, -1, -1)
        x0 = self.net(torch.cat([x, left, inverse], 1), t, label)
        x0 = x0 if self.training else x0.clamp(-1, 1)  # or Algorithm 2's own states drive it ever further out
        return (left * inverse + (1 - left) * x0).to(x0.dtype)  # what is left needs no guess


def tellable(R):
    """Whether R can be told what is known of its images; it may have been told, or be spread over several processes."""
    net = getattr(R, "func", R)
    return isinstance(getattr(net, "module", net), Preconditioned)


def told(R, **known):
    """R told what is known of its images (eps, z: see `Preconditioned`), where it can be told; any other R as it is."""
    if not tellable(R):
        return R
    R = functools.partial(R, **known)
    R.wide = True
    return R


def device_of(R):
    """The device of R's weights; the CPU for an R without any."""
    return next((p.device for p in R.parameters()), torch.device("cpu"))


def count(module):
    """The number of trainable weights."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
