"""Every way of ruining an image that the course knows, each one class in one place.

The idea that holds this file together: a degradation is a table over the severity t = 0..T and one line that applies
it. `register` lists a class under its name; the tests, the command line and the widgets find it there.
"""

import functools
from dataclasses import dataclass, fields
from typing import get_origin, get_type_hints

import torch
from torch import nn

from ..data import load, to_float
from ..errors import ColdlabError, unknown
from .base import Degradation, Separable, regularised
from .kernels import LARGE, WAVES, convolution_matrix, gaussian_taps
from .registry import REGISTRY, register


def make(name, size, **options):
    """The degradation `name` for images of size x size, or of size = (height, width); "blur+mask" composes.

    options: its settings; those of a composition say of which part: {"blur.T": 5, "mask.kernel_std": 0.2}.
    Raises ColdlabError for unknown names and options.
    """
    if "+" in name:
        dots = tuple(f"{part}." for part in name.split("+"))
        if strays := [option for option in options if not option.startswith(dots)]:
            raise ColdlabError(f"option {strays[0]} of {name}; say of which part, such as {dots[0]}T=5.")
        own = [{o.removeprefix(dot): options[o] for o in options if o.startswith(dot)} for dot in dots]
        return Compose(tuple(make(part, size, **o) for part, o in zip(name.split("+"), own, strict=True)))
    if name == "compose":
        raise ColdlabError("compose needs its parts: name them with a plus, such as blur+mask.")
    if name not in REGISTRY:
        found = unknown("degradation", name, REGISTRY)
        own = "One of your own is known once its module was imported, by a file that starts coldlab (chapter 8)."
        raise ColdlabError(f"{found} {own}")
    types = get_type_hints(REGISTRY[name])  # also where annotations are strings, or such as tuple[int, ...]
    kinds = {f.name: get_origin(types[f.name]) or types[f.name] for f in fields(REGISTRY[name]) if f.name != "size"}
    for option, value in options.items():
        if option not in kinds and hasattr(REGISTRY[name], option):
            raise ColdlabError(f"{option} of {name} has no type, so it cannot be set: write {option}: int = ... there.")
        if option not in kinds:
            raise unknown(f"option of {name}", option, kinds)
        right = isinstance(value, (int, float) if kinds[option] is float else kinds[option])
        if not right or isinstance(value, bool) is not (kinds[option] is bool):
            default = getattr(REGISTRY[name], option)
            told = f"option {option}={value} of {name} is no {kinds[option].__name__}"
            raise ColdlabError(f"{told}; try {option}={default}.")
    return REGISTRY[name](size, **options)


# ------------------------------------------------------------------------------ linear and separable: blur, pixelate


BLUR_STD = {  # the standard deviation of blur step i = 0, 1, ...
    "constant": lambda i, std: std,
    "incremental": lambda i, std: std * (i + 1),
    "exponential": lambda i, std: torch.tensor(std * i, dtype=torch.float64).exp(),
    "special_6": lambda i, std: 0.35 + i / 100,
}


@register("blur")
@dataclass(eq=False)
class Blur(Separable):
    """Gaussian blur: x_t = K_{t-1} * ... * K_0 * x0, kernel x kernel taps, standard deviations by `schedule`.

    schedule: constant (std) | incremental (std (i + 1)) | exponential (e^(std i)) | special_6 (0.35 + i/100, no std).
    padding: circular | reflect | zero. discrete: x_T is the spatial mean of each channel. Defaults: MNIST in the paper.

    Beyond LARGE = 256 pixels T matrices would fill gigabytes. But all blurs of one border share their waves, so that
    A_t = V diag(g_t) V^-1 with one V: 2 n^2 numbers for an axis of n pixels, not T n^2 (zero and discrete have none).
    """

    size: int | tuple[int, int]
    T: int = 20
    kernel: int = 11
    std: float = 7.0
    schedule: str = "constant"
    padding: str = "circular"
    discrete: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.schedule not in BLUR_STD:
            raise unknown("blur schedule", self.schedule, BLUR_STD)
        taps = [gaussian_taps(self.kernel, BLUR_STD[self.schedule](i, self.std)) for i in range(self.T)]
        self.waves = max(self.shape) > LARGE and self.padding in WAVES and not self.discrete
        if not self.waves:
            self.chain(lambda n: (convolution_matrix(n, step, self.padding) for step in taps))
            return
        for axis, n in self.axes:
            V, gains = WAVES[self.padding](n, torch.stack(taps))
            self.table("V" + axis, V[None]), self.table("W" + axis, torch.linalg.inv(V)[None])
            self.table("g" + axis, torch.cat([torch.ones(1, n, dtype=torch.float64), gains.cumprod(0)]))

    def degrade(self, x0, t, z):
        if not self.waves:
            return super().degrade(x0, t, z)
        x = self.in_waves(x0, self.pairs(t, x0))
        clean = (t == 0).to(x.device).reshape(-1, 1, 1, 1) if torch.is_tensor(t) else torch.tensor(t == 0)
        return torch.where(clean, x0, x)  # there and back would round

    def invert(self, x, t, eps, z):
        return self.in_waves(x, regularised(self.pairs(t, x), eps)) if self.waves else super().invert(x, t, eps, z)

    def in_waves(self, x, gain):
        """x taken apart into waves, each multiplied by its gain, and put together again."""
        wide = x if x.device.type == "mps" else x.double()  # long sums: float32 would lose what the inverse lives on
        (V, V2), (W, W2) = self.both("V", 0, wide), self.both("W", 0, wide)
        return (V @ (W @ wide @ W2.mT * gain) @ V2.mT).to(x.dtype)


@register("pixelate")
@dataclass(eq=False)
class Pixelate(Separable):
    """Resolution halved t times, each pixel copied back over its block; T halvings, 2^T must divide size.

    mode: average (mean of the block) | bicubic (a = -3/4, no antialias: the official code's first step).
    """

    size: int | tuple[int, int]
    T: int = 3
    mode: str = "average"

    def __post_init__(self):
        super().__post_init__()
        if self.mode not in ("average", "bicubic"):
            raise unknown("pixelate mode", self.mode, ("average", "bicubic"))
        if any(n % 2**self.T for n in self.shape):
            raise ColdlabError(f"size {self.size} cannot be halved T = {self.T} times; use a smaller T or other size.")
        self.chain(lambda n: (self.halve(n, 2 ** (i + 1)) for i in range(self.T)))

    def halve(self, n, f):
        """Shrink by the factor f = 2, 4, ..., copy back. Bicubic reads the four pixels around each block's middle."""
        blocks = n // f
        taps = {"average": [1 / f] * f, "bicubic": [-3 / 32, 19 / 32, 19 / 32, -3 / 32]}[self.mode]
        taps = torch.tensor(taps, dtype=torch.float64).expand(blocks, -1)
        source = torch.arange(blocks)[:, None] * f + f // 2 + torch.arange(taps.shape[1]) - taps.shape[1] // 2
        shrink = torch.zeros(blocks, n, dtype=torch.float64)
        return shrink.scatter_add_(1, source.clamp(0, n - 1), taps).repeat_interleave(f, dim=0)


# --------------------------------------------------------------------------------------- pixelwise: colour


@register("desaturate")
@dataclass(eq=False)
class Desaturate(Degradation):
    """x_t = a_t x0 + (1 - a_t) m, m the plain mean of the channels. schedule: linear (1 - t/T) | constant (0.9^t)."""

    size: int | None = None
    T: int = 20
    schedule: str = "linear"

    def __post_init__(self):
        super().__post_init__()
        t = torch.arange(self.T + 1, dtype=torch.float64)
        schedules = {"linear": 1 - t / self.T, "constant": 0.9**t}
        if self.schedule not in schedules:
            raise unknown("desaturate schedule", self.schedule, schedules)
        self.table("a", schedules[self.schedule])

    def check(self, x0, t, z):
        t = super().check(x0, t, z)
        if x0.shape[1] < 2:
            raise ColdlabError("Desaturate got 1 channel; it needs colour images, (B, 3, H, W).")
        return t

    def degrade(self, x0, t, z):
        a = self.at("a", t, x0)
        return a * x0 + (1 - a) * x0.mean(1, keepdim=True)

    def invert(self, x, t, eps, z):
        grey = x.mean(1, keepdim=True)
        return grey + (x - grey) * regularised(self.at("a", t, x), eps)


# ------------------------------------------------------------------------------ towards another image: noise, animorph


class Blend(Degradation):
    """x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) z, cosine schedule: abar_k ~ cos^2((k/T + 0.008) / 1.008 * pi/2)."""

    needs_z = True

    def __post_init__(self):
        super().__post_init__()
        k = torch.arange(self.T + 1, dtype=torch.float64)
        f = torch.cos((k / self.T + 0.008) / 1.008 * torch.pi / 2) ** 2
        abar = torch.cat([torch.ones(1, dtype=torch.float64), (f[1:] / f[:-1]).clamp(min=0.001).cumprod(0)])
        self.table("a", abar.sqrt()), self.table("b", (1 - abar).sqrt())

    def degrade(self, x0, t, z):
        return self.at("a", t, x0) * x0 + self.at("b", t, x0) * z.to(x0.dtype)

    def infer(self, x, x0_hat, t):
        """The z that makes D(x0_hat, t, z) = x, for t >= 1. As z of a sampler it turns both algorithms into DDIM."""
        return (x - self.at("a", t, x) * x0_hat) / self.at("b", t, x)


@register("noise")
@dataclass(eq=False)
class Noise(Blend):
    """Gaussian noise, z ~ N(0, I): the hot baseline. `infer` as a sampler's z gives DDIM with eta = 0."""

    size: int | None = None
    T: int = 200

    def draw(self, x0, generator=None):
        return torch.randn(x0.shape, generator=generator, device=x0.device, dtype=x0.dtype)


@register("animorph")
@dataclass(eq=False)
class Animorph(Blend):
    """Morph into another image z, such as an animal's. `draw` pairs each image with another one of its batch.

    into: a dataset or folder, as in data.load; `draw` then takes z from its training images, in the colours of x0.
    """

    size: int | None = None
    T: int = 200
    into: str = ""

    def draw(self, x0, generator=None):
        if self.into:
            others = images_of(self.into, max(x0.shape[-2:]))[..., : x0.shape[-2], : x0.shape[-1]]
            chosen = torch.randint(len(others), (len(x0),), generator=generator, device=x0.device).cpu()
            z = to_float(others[chosen]).to(x0)
            return z.mean(1, keepdim=True) if x0.shape[1] == 1 else z.expand_as(x0)
        if len(x0) < 2:
            raise ColdlabError("Animorph cannot pair a batch of 1 with another image of it; pass z, the target image.")
        shift = torch.randint(1, len(x0), (1,), generator=generator, device=x0.device)
        return x0[(torch.arange(len(x0), device=x0.device) + shift) % len(x0)]


@functools.lru_cache(maxsize=4)
def images_of(name, size):
    """The training images of a set that others morph into, uint8 (N, C, size, size), read once."""
    return load(name, "train", size)[0]


# ------------------------------------------------------------------------------------------------------ compositions


@register("compose")
@dataclass(eq=False)
class Compose(Degradation):
    """Several degradations, one after another, each on its own clock t * part.T // T; z: a tuple, one entry a part."""

    parts: tuple

    def __post_init__(self):
        if isinstance(self.parts, Degradation) or not self.parts:
            raise ColdlabError("Compose takes at least one degradation in a tuple: Compose((Blur(32), Mask(32))).")
        self.T = max(part.T for part in self.parts)
        super().__post_init__()
        self.size = next((part.size for part in self.parts if part.size is not None), None)
        self.needs_z = any(part.needs_z for part in self.parts)
        self.members = nn.ModuleList(self.parts)

    def draw(self, x0, generator=None):
        return tuple(part.draw(x0, generator) for part in self.parts)

    def degrade(self, x0, t, z):
        for part, latent in zip(self.parts, z or [None] * len(self.parts), strict=True):
            x0 = part.degrade(x0, t * part.T // self.T, latent)
        return x0

    def check(self, x0, t, z):
        t = super().check(x0, t, z)
        if z is not None and len(z) != len(self.parts):
            raise ColdlabError(f"Compose of {len(self.parts)} parts got z for {len(z)}; draw it with D.draw(x0).")
        for part, latent in zip(self.parts, z or [None] * len(self.parts), strict=True):
            part.check(x0, t * part.T // self.T, latent)
        return t
