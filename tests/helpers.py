"""The list of all degradations that the tests run through, and second implementations written from the formulas.

The second implementations are slow on purpose: loops, convolutions one after another, float64, no shared code.
"""

import math
from functools import cache

import torch
import torch.nn.functional as F

from coldlab.degradations import (
    REGISTRY,
    Animorph,
    Blur,
    Compose,
    Desaturate,
    Fade,
    Mask,
    Noise,
    Pixelate,
    Snow,
    make,
)

SIZE = 16
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# Name -> how to build it. Every registered class is here with its defaults, so that a new one is tested at once.
CASES = {name: (lambda name=name: make(name, SIZE)) for name in REGISTRY if name != "compose"}
CASES |= {
    f"blur-{schedule}-{padding}": (
        lambda schedule=schedule, std=std, padding=padding: Blur(SIZE, 12, 7, std, schedule=schedule, padding=padding)
    )
    for schedule, std in (("constant", 1.5), ("incremental", 0.4), ("exponential", 0.05), ("special_6", 7.0))
    for padding in ("circular", "reflect", "zero")
}
CASES |= {
    "blur-discrete": lambda: Blur(SIZE, 6, discrete=True),
    "blur-odd-size": lambda: Blur(SIZE, 5, 3, 1.0, padding="reflect"),
    "pixelate-bicubic": lambda: Pixelate(SIZE, 4, mode="bicubic"),
    "mask-centred": lambda: Mask(SIZE, 20, 0.2, 1, centre="centred"),
    "mask-start-1": lambda: Mask(SIZE, 20, 0.1, 1),
    "snow-1": lambda: Snow(SIZE, 10, level=1),
    "snow-2": lambda: Snow(SIZE, 10, level=2),
    "snow-4": lambda: Snow(SIZE, 10, level=4),
    "snow-dull": lambda: Snow(SIZE, 10, fix_brightness=False),
    "desaturate-constant": lambda: Desaturate(T=9, schedule="constant"),
    "fade-short": lambda: Fade(SIZE, 30, 0.25),
    "noise-short": lambda: Noise(T=20),
    "animorph-short": lambda: Animorph(T=20),
    "compose": lambda: Compose((Blur(SIZE, 10), Mask(SIZE, 20), Desaturate(T=5))),
    "compose-no-z": lambda: Compose((Pixelate(SIZE, 2), Blur(SIZE, 6, 3, 1.0))),
    "compose-nested": lambda: Compose((Noise(T=10), Compose((Snow(SIZE, 20), Fade(SIZE, 15, 0.25))))),
    "compose-named": lambda: make("blur+noise", SIZE),
}


@cache
def case(name):
    return CASES[name]()


def images(batch=4, channels=3, size=SIZE, dtype=torch.float32, seed=0):
    """Random images in [-1, 1] without smoothness, so that every frequency is there, and with both ends reached."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, channels, size, size, generator=generator, dtype=torch.float64) * 2 - 1
    x[:, :, 0, 0], x[:, :, -1, -1] = -1, 1
    return x.to(dtype)


def draw(D, x0, seed=1):
    return D.draw(x0, torch.Generator(x0.device).manual_seed(seed))


def entry(z, i):
    """The latent of image i alone, as a batch of one."""
    if z is None:
        return None
    if isinstance(z, tuple):
        return tuple(entry(part, i) for part in z)
    return z[i : i + 1]


def severities(D, count=6):
    """Some of 0..T: both ends, their neighbours, and what lies between."""
    T = D.T
    return sorted({0, 1, T - 1, T} | {round(k * T / count) for k in range(count)} & set(range(T + 1)))


def rms(x):
    return x.double().square().mean().sqrt().item()


# ------------------------------------------------------------------------------- second implementations, in float64


def gaussian(kernel, std):
    half = kernel // 2
    weights = [math.exp(-((j - half) ** 2) / (2 * std * std)) for j in range(kernel)]
    return torch.tensor(weights, dtype=torch.float64) / sum(weights)


def blur_std(schedule, std, i):
    if schedule == "constant":
        return std
    if schedule == "incremental":
        return std * (i + 1)
    if schedule == "exponential":
        return math.exp(std * i)
    return 0.35 + i / 100


def blur_chain(x, T, kernel, std, schedule, padding):
    """[x_0, ..., x_T] by T depthwise convolutions with two-dimensional kernels, one after another."""
    x, half, states = x.double(), kernel // 2, [x.double()]
    mode = {"circular": "circular", "reflect": "reflect", "zero": "constant"}[padding]
    for i in range(T):
        taps = gaussian(kernel, blur_std(schedule, std, i))
        weight = torch.outer(taps, taps).expand(x.shape[1], 1, kernel, kernel)
        x = F.conv2d(F.pad(x, (half,) * 4, mode=mode), weight, groups=x.shape[1])
        states.append(x)
    return states


def mask_factor(size, t, kernel_std, initial_mask, row, column):
    """F_0 ... F_(t-1), (size, size), the hole at (row, column)."""
    y, x = torch.meshgrid(torch.arange(size).double(), torch.arange(size).double(), indexing="ij")
    total = torch.ones(size, size, dtype=torch.float64)
    for i in range(t):
        sigma = kernel_std * (i + initial_mask)
        total = total * (1 - torch.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2)))
    return total


def alpha_bar(T):
    """[abar_0, ..., abar_T] of the cosine schedule, each factor at least 0.001."""
    f = [math.cos((k / T + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(T + 1)]
    abar = [1.0]
    for k in range(1, T + 1):
        abar.append(abar[-1] * max(f[k] / f[k - 1], 0.001))
    return abar


def reference(D, x, t, z):
    """D(x, t, z) of one image batch in float64, t an int, from the formulas of paper.md and the golden files."""
    x, n, T = x.double(), x.shape[-1], D.T
    if t == 0:
        return x
    if isinstance(D, Blur):
        if D.discrete and t == T:
            return x.mean((2, 3), keepdim=True).expand_as(x)
        return blur_chain(x, t, D.kernel, D.std, D.schedule, D.padding)[t]
    if isinstance(D, Pixelate):
        if D.mode == "average":
            return F.avg_pool2d(x, 2**t).repeat_interleave(2**t, 2).repeat_interleave(2**t, 3)
        for i in range(t):
            small = F.interpolate(x, size=(n // 2 ** (i + 1),) * 2, mode="bicubic", align_corners=False)
            x = small.repeat_interleave(2 ** (i + 1), 2).repeat_interleave(2 ** (i + 1), 3)
        return x
    if isinstance(D, Mask):
        centres = z.tolist() if D.centre == "random" else [(n // 2 - 1, n // 2 - 1)] * len(x)
        factors = [mask_factor(n, t, D.kernel_std, D.initial_mask, row, column) for row, column in centres]
        return x * torch.stack(factors)[:, None]
    if isinstance(D, Fade):
        w = mask_factor(n, T - t, D.kernel_std, D.initial_mask, n // 2 - 1, n // 2 - 1)
        return (1 - w) * x + w * z.double()[:, :, None, None]
    if isinstance(D, Desaturate):
        a = 1 - t / T if D.schedule == "linear" else 0.9**t
        return a * x + (1 - a) * x.mean(1, keepdim=True)
    if isinstance(D, Noise | Animorph):
        return alpha_bar(T)[t] ** 0.5 * x + (1 - alpha_bar(T)[t]) ** 0.5 * z.double()
    if isinstance(D, Snow):
        return snow(x, t, D, *z)
    if isinstance(D, Compose):
        for part, latent in zip(D.parts, z or [None] * len(D.parts), strict=True):
            x = reference(part, x, t * part.T // T, latent)
        return x
    raise NotImplementedError(f"{type(D).__name__} has no second implementation: write one in tests/helpers.py")


SNOW = {  # level -> threshold, taps, motion, brightness; the pairs from t = 1 to t = T
    1: ((0.7, 0.3), 5, (0.5, 5), (0.95, 0.7)),
    2: ((1.15, 0.7), 11, (0.05, 12), (0.95, 0.55)),
    3: ((1.15, 0.7), 11, (0.05, 16), (0.95, 0.4)),
    4: ((1.15, 0.55), 11, (0.05, 20), (0.95, 0.3)),
}


def snow(x, t, D, field, vertical):
    threshold, taps, motion, brightness = SNOW[D.level]
    u = (t - 1) / (D.T - 1)
    flakes = field.double()[:, None].clone()
    flakes[flakes < threshold[0] + u * (threshold[1] - threshold[0])] = 0
    line = gaussian(taps, motion[0] + u * (motion[1] - motion[0]))
    flakes = flakes.clamp(0, 1)
    columns = F.conv2d(flakes, line.reshape(1, 1, taps, 1), padding=(taps // 2, 0))
    rows = F.conv2d(flakes, line.reshape(1, 1, 1, taps), padding=(0, taps // 2))
    S = torch.stack([columns[i] if down else rows[i] for i, down in enumerate(vertical.tolist())])
    o = (x + 1) / 2
    if not D.fix_brightness:
        b = brightness[0] + u * (brightness[1] - brightness[0])
        grey = 0.299 * o[:, :1] + 0.587 * o[:, 1:2] + 0.114 * o[:, 2:]
        o = b * o + (1 - b) * torch.maximum(o, 1.5 * grey + 0.5)
    return 2 * (o + S + S.flip(2, 3)).clamp(0, 1) - 1
